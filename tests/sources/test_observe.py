"""From a file and a card to observations: every figure has its status, and nothing is guessed."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.catalog.models import Source
from diagnostics.errors import SourceError
from diagnostics.sources.contract import COLUMNS
from diagnostics.sources.observe import observe, read_table

COMMUNE = [{"type": "commune", "code": "CODGEO"}]


@pytest.fixture
def file(tmp_path):
    def write(*lines: str) -> Path:
        path = tmp_path / "f.csv"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    return write


def facts(source: Source, path: Path) -> pd.DataFrame:
    return observe(source, source.distributions[0], path)


def told(frame: pd.DataFrame) -> dict[tuple[str, str], float | str]:
    """(variable, zone) -> value when known, else the status."""
    return {(row.variable, row.geo_code): row.value if row.status == "ok" else row.status for row in frame.itertuples()}


def test_contract_of_the_table(card, file):
    source = card({"geo": COMMUNE, "period": "2022", "values": {"pop": "PMUN"}})
    frame = facts(source, file("CODGEO;PMUN", "54395;104 885", "01001;"))
    assert list(frame.columns) == COLUMNS
    assert frame.dtypes.astype(str).to_dict() == {
        **dict.fromkeys(COLUMNS, "str"), "cog_year": "Int64", "value": "float64",
    }  # fmt: skip


def test_an_unknown_token_is_never_guessed(card, file):
    source = card(
        {"geo": COMMUNE, "period": "2022", "values": {"pop": "PMUN"}}, markers={"secret": ["s"], "missing": ["nd"]}
    )
    with pytest.raises(SourceError) as error:
        facts(source, file("CODGEO;PMUN", "54395;12", "01001;c", "01002;s", "01004;c", "01005;<5", "01006;c"))
    for part in ("jeu, f.csv", "« PMUN »", "« c » (3 fois)", "« <5 » (1 fois)", "01001 (2022) = « c »", "`markers`"):
        assert part in str(error.value)
    assert str(error.value).count("(2022) =") == 3


def test_markers_blanks_and_decimal_marks(card, file):
    source = card(
        {"geo": COMMUNE, "period": "2021", "values": {"rate": "TP60", "median": "MED"}},
        markers={"secret": ["s", "N/A - secret statistique"], "missing": ["nd", "9999"]},
    )
    path = file(
        "CODGEO;TP60;MED", "54395;24,0;20 940", "01001;s;", "2A004; N/A - secret statistique ;9999", "97105;nd;-1.5"
    )
    assert told(facts(source, path)) == {
        ("rate", "54395"): 24.0, ("median", "54395"): 20940.0,
        ("rate", "01001"): "secret", ("median", "01001"): "missing",
        ("rate", "2A004"): "secret", ("median", "2A004"): "missing",
        ("rate", "97105"): "missing", ("median", "97105"): -1.5,
    }  # fmt: skip


def test_a_blank_is_secret_where_the_card_says_so(card, file):
    source = card({"geo": COMMUNE, "period": "2019", "values": {"median": "Q2"}}, markers={"secret": [""]})
    assert told(facts(source, file("CODGEO;Q2", "54395;20010", "01001;"))) == {
        ("median", "54395"): 20010.0, ("median", "01001"): "secret",
    }  # fmt: skip


def test_expressions_carry_secrets_and_holes(card, file):
    source = card(
        {
            "geo": COMMUNE,
            "period": "2022",
            "values": {
                "total": '"A" + "B"',
                "share": '"A" / "B" * 100',
                "safe": 'CASE WHEN "B" = 0 THEN 0 ELSE "A" END',
            },
        },
        markers={"secret": ["s"], "missing": ["nd"]},
    )
    path = file(
        "CODGEO;A;B", "01001;1;4", "01002;s;4", "01004;nd;4", "01005;s;nd", "01006;;0", "01007;3;0", "01008;s;0"
    )
    assert told(facts(source, path)) == {
        ("total", "01001"): 5.0, ("share", "01001"): 25.0, ("safe", "01001"): 1.0,
        ("total", "01002"): "secret", ("share", "01002"): "secret", ("safe", "01002"): "secret",
        ("total", "01004"): "missing", ("share", "01004"): "missing", ("safe", "01004"): "missing",
        ("total", "01005"): "secret", ("share", "01005"): "secret", ("safe", "01005"): "secret",
        # The card provides for a blank share of nothing; nobody provides for a secret, nor for a quotient by zero.
        ("total", "01006"): "missing", ("share", "01006"): "missing", ("safe", "01006"): 0.0,
        ("total", "01007"): 3.0, ("share", "01007"): "missing", ("safe", "01007"): 0.0,
        ("total", "01008"): "secret", ("share", "01008"): "secret", ("safe", "01008"): "secret",
    }  # fmt: skip


def test_several_geographies_and_periods_in_one_file(card, file):
    source = card(
        {
            "geo": [
                {"type": "commune", "code": "CODE", "where": "niveau = 'COM'"},
                {"type": "departement", "code": 'substr("CODE", 1, 2)', "where": "niveau = 'DEP'"},
                {"type": "france", "code": "'FR'", "where": "\"niveau\" = 'FR'"},
            ],
            "period_column": "ANNEE",
            "where": "\"sexe\" = 'Ensemble'",
            "values": {"deaths": "N"},
        }
    )
    path = file(
        "niveau;CODE;ANNEE;sexe;N",
        "COM;54395;2023;Ensemble;900", "COM;54395;2024;Ensemble;910", "COM;54395;2024;Femmes;470",
        "DEP;54;2024;Ensemble;7100", "FR;;2024;Ensemble;646000",
    )  # fmt: skip
    frame = facts(source, path)
    found = [tuple(row) for row in frame[["geo_type", "geo_code", "period", "value"]].itertuples(index=False)]
    assert sorted(found) == [
        ("commune", "54395", "2023", 900.0), ("commune", "54395", "2024", 910.0),
        ("departement", "54", "2024", 7100.0), ("france", "FR", "2024", 646000.0),
    ]  # fmt: skip
    assert frame.loc[frame["geo_type"] != "commune", "cog_year"].isna().all()
    assert (frame.loc[frame["geo_type"] == "commune", "cog_year"] == 2024).all()


def test_long_files_and_melodi_statuses(card, tmp_path):
    source = card(
        {
            "geo": [{"type": "commune", "code": "GEO", "where": "GEO_OBJECT = 'COM'"}],
            "period_column": "TIME_PERIOD",
            "variable_column": '"RP_MEASURE" || \'/\' || "AGE"',
            "value_column": "OBS_VALUE",
            "values": {"pop": "POP/_T", "pop_65plus": "POP/Y_GE65"},
        },
        layout="melodi",
    )
    path = tmp_path / "f.csv"
    path.write_text(
        "GEO;GEO_OBJECT;AGE;RP_MEASURE;TIME_PERIOD;OBS_VALUE;OBS_STATUS;CONF_STATUS\n"
        "2026-COM-54395;COM;_T;POP;2022;104260.4;A;F\nCOM-54395;COM;Y_GE65;POP;2022;1;A;C\n"
        "54001;COM;_T;POP;2022;;K;F\n54001;COM;Y_GE65;POP;2022;;O;F\n54001;COM;Y_LT15;POP;2022;???;A;F\n"
        "DEP-54;DEP;_T;POP;2022;731000;A;F\n"
    )
    assert told(facts(source, path)) == {
        ("pop", "54395"): 104260.4, ("pop_65plus", "54395"): "secret",
        ("pop", "54001"): "missing", ("pop_65plus", "54001"): "missing",
    }  # fmt: skip


def test_a_code_that_vanished_from_a_long_file(card, file):
    source = card(
        {
            "geo": COMMUNE, "period": "2022", "variable_column": "AGE", "value_column": "N",
            "values": {"pop": "_T", "old": "Y_GE80"},
        }
    )  # fmt: skip
    with pytest.raises(SourceError, match=r"Y_GE80 introuvable.*`AGE`.*Codes trouvés : Y_GE85, _T"):
        facts(source, file("CODGEO;AGE;N", "54395;_T;10", "54395;Y_GE85;2"))


def test_labels_become_numbers_and_a_new_label_is_refused(card, file):
    codes = {"1_Tres_sous_dotee": 1, "4_Tres_dotee": 4, "Petites villes, bourgs": 5.5}
    source = card(
        {"geo": COMMUNE, "period": "2026", "values": {"zone": {"column": "Zonage", "codes": codes}}},
        markers={"missing": ["N/A - résultat non disponible"]},
    )
    lines = ["CODGEO;Zonage", "01001;1_Tres_sous_dotee", "01002;N/A - résultat non disponible", "01004;",
             '01005;"Petites villes, bourgs"']  # fmt: skip
    assert told(facts(source, file(*lines))) == {
        ("zone", "01001"): 1.0, ("zone", "01002"): "missing", ("zone", "01004"): "missing", ("zone", "01005"): 5.5,
    }  # fmt: skip
    with pytest.raises(SourceError, match=r"« 2_Sous_dotee ».*libellés admis : 1_Tres_sous_dotee, 4_Tres_dotee"):
        facts(source, file(*lines, "01006;2_Sous_dotee"))


def test_a_column_that_vanished_is_named_with_its_nearest(card, file):
    source = card({"geo": COMMUNE, "period": "2022", "values": {"pop": "P22_POP"}})
    with pytest.raises(SourceError) as error:
        facts(source, file("CODGEO;P23_POP;P23_MEN", "54395;1;2"))
    message = str(error.value)
    for part in (
        "jeu, f.csv",
        "« P22_POP »",
        "`values.pop`",
        "Les plus proches : « P23_POP »",
        "(3) : CODGEO, P23_POP",
    ):
        assert part in message


@pytest.mark.parametrize(
    "block",
    [
        {"geo": [{"type": "commune", "code": "lpad(\"INSEE\", 5, '0')"}], "period": "2022", "values": {"pop": "P"}},
        {"geo": [{"type": "commune", "code": "INSEE"}], "period": "2022", "values": {"pop": "P"}},
        {"geo": COMMUNE, "where": "INSEE = 'x'", "period": "2022", "values": {"pop": "P"}},
        {"geo": COMMUNE, "period_column": "INSEE", "values": {"pop": "P"}},
        {"geo": COMMUNE, "period": "2022", "values": {"pop": '"P" / "INSEE"'}},
        {"geo": COMMUNE, "period": "2022", "values": {"pop": "P + INSEE"}},
        {"geo": COMMUNE, "period": "2022", "values": {"pop": {"column": "INSEE", "codes": {"a": 1}}}},
        {"geo": COMMUNE, "period": "2022", "aggregate": "count", "values": {"pop": "\"INSEE\" = 'x'"}},
    ],
)
def test_wherever_the_vanished_column_stood(card, file, block):
    with pytest.raises(SourceError, match=r"jeu, f\.csv.*INSEE.*Colonnes trouvées"):
        facts(card(block), file("CODGEO;P", "54395;1"))


def test_codes_that_lost_their_zeros_are_refused_unless_the_card_restores_them(card, file):
    lines = ["CODGEO;P", "1001;1", "1002;2", "54395;3"]
    block = {"geo": COMMUNE, "period": "2022", "values": {"pop": "P"}}
    with pytest.raises(SourceError, match=r"2 ligne\(s\).*« 1001 », « 1002 ».*lpad"):
        facts(card(block), file(*lines))
    restored = {**block, "geo": [{"type": "commune", "code": "lpad(CODGEO, 5, '0')"}]}
    assert sorted(facts(card(restored), file(*lines))["geo_code"]) == ["01001", "01002", "54395"]


@pytest.mark.parametrize("code", ["", "977ZZ", "2C001", "540395", "99", "54395 ;"])
def test_what_is_not_a_commune(card, file, code):
    with pytest.raises(SourceError, match=r"n'est pas celui d'une zone « commune »"):
        facts(card({"geo": COMMUNE, "period": "2022", "values": {"pop": "P"}}), file("CODGEO;P", f'"{code}";1'))


@pytest.mark.parametrize("aggregate", ["none", "sum", "count"])
def test_lines_of_one_zone(card, file, aggregate):
    block = {"geo": COMMUNE, "period": "2022", "aggregate": aggregate, "values": {"places": "CAP"}}
    source = card(block, markers={"secret": ["s"]})
    path = file("CODGEO;CAP", "54395;10", "54395;20", "54001;5", "88160;s", "88160;7", "88160;", "57463;", "57463;4")
    if aggregate == "none":
        with pytest.raises(SourceError, match=r"3 clé\(s\) répétée\(s\).*88160 / 2022 \(3 fois\)"):
            facts(source, path)
        return
    expected = {
        "sum": {"54395": 30.0, "54001": 5.0, "88160": "secret", "57463": "missing"},
        "count": {"54395": 2.0, "54001": 1.0, "88160": 2.0, "57463": 1.0},
    }[aggregate]
    assert told(facts(source, path)) == {("places", code): value for code, value in expected.items()}


def test_counting_lines_and_tests(card, file):
    source = card(
        {
            "geo": [{"type": "commune", "code": "departement || commune"}],
            "period": "2025",
            "aggregate": "count",
            "values": {"all": "*", "ehpad": "categetab = '500'"},
        }
    )
    path = file("commune;departement;categetab", "395;54;500", "395;54;620", "001;54;")
    assert told(facts(source, path)) == {
        ("all", "54395"): 2.0, ("ehpad", "54395"): 1.0, ("all", "54001"): 1.0, ("ehpad", "54001"): 0.0,
    }  # fmt: skip


def test_a_filter_that_keeps_nothing_is_an_error(card, file):
    source = card({"geo": COMMUNE, "where": "TYP = 'COM'", "period": "2022", "values": {"pop": "P"}})
    with pytest.raises(SourceError, match=r"aucune ligne retenue.*TYP = 'COM'"):
        facts(source, file("CODGEO;TYP;P", "54395;commune;1"))


def test_communes_without_a_cog_year_are_refused(card, file):
    source = card({"geo": COMMUNE, "period": "2022", "values": {"pop": "P"}}, cog_year=None)
    with pytest.raises(SourceError, match="cog_year"):
        facts(source, file("CODGEO;P", "54395;1"))


def test_columns_with_spaces_accents_and_any_case(card, file):
    values = {"apl": '"APL aux  médecins\ngénéralistes"', "apl_65": "apl aux médecins de 65 ans ou moins"}
    source = card({"geo": [{"type": "commune", "code": "Code commune INSEE"}], "period": "2023", "values": values})
    path = file("Code commune INSEE;APL aux médecins généralistes;APL aux médecins de 65 ans ou moins", "54395;4,1;3,2")
    assert told(facts(source, path)) == {("apl", "54395"): 4.1, ("apl_65", "54395"): 3.2}


def test_native_numbers_of_parquet(card, tmp_path):
    path = tmp_path / "f.parquet"
    data = {"CODGEO": ["54395", "54001", "88160", "57463"], "N": [1.5, float("nan"), 9999.0, None], "K": [1, 2, 3, 4]}
    pd.DataFrame(data).to_parquet(path)
    source = card(
        {"geo": COMMUNE, "period": "2022", "values": {"n": "N", "twice": '"K" * 2'}},
        layout="parquet", markers={"missing": ["9999"]},
    )  # fmt: skip
    found = told(facts(source, path))
    assert [found["n", code] for code in data["CODGEO"]] == [1.5, "missing", "missing", "missing"]
    assert [found["twice", code] for code in data["CODGEO"]] == [2.0, 4.0, 6.0, 8.0]


def test_reference_tables(card, file):
    source = card(
        layout="csv", options={"separator": ","},
        table={"code": "COM", "name": "LIBELLE", "departement": "left(COM, 2)"}, table_where="TYPECOM = 'COM'",
    )  # fmt: skip
    path = file("TYPECOM,COM,LIBELLE", "COM,01001,L'Abergement", "COMD,01001,Autre", "COM,2A004,")
    frame = read_table(source, source.distributions[0], path)
    assert frame.astype(object).where(frame.notna(), None).to_numpy().tolist() == [
        ["01001", "L'Abergement", "01"], ["2A004", None, "2A"],
    ]  # fmt: skip
    assert frame.attrs["rows"] == 3
    with pytest.raises(SourceError, match=r"la colonne « COM », attendue par `table.code`"):
        read_table(source, source.distributions[0], file("TYPECOM,CODE,LIBELLE", "COM,01001,x"))


@pytest.mark.parametrize("aggregate", ["none", "sum"])
def test_two_readings_give_the_same_lines_in_the_same_order(card, tmp_path, aggregate):
    path = tmp_path / "f.csv"
    path.write_text("CODGEO;P;Q\n" + "".join(f"{10000 + i * 7 % 80000};{i};{i % 13}\n" for i in range(60_000)))
    source = card({"geo": COMMUNE, "period": "2022", "aggregate": aggregate, "values": {"p": "P", "q": "Q"}})
    pd.testing.assert_frame_equal(facts(source, path), facts(source, path))


@pytest.mark.parametrize("lines", [["CODGEO;P", "54395"], ["CODGEO;P", '54395;"1']])
def test_what_a_reader_refuses_names_the_dataset_too(card, file, lines):
    source = card({"geo": COMMUNE, "period": "2022", "values": {"pop": "P"}})
    with pytest.raises(SourceError, match=r"^jeu, f\.csv : lecture impossible, ligne 2"):
        facts(source, file(*lines))


# --- a dumb reader in Python agrees ----------------------------------------------------------------------------------

cells = st.sampled_from(["0", "12", "3,5", "1 000", "s", "nd", "", "-2"])


@given(st.lists(st.tuples(st.integers(1, 9), cells, cells), min_size=1, max_size=30), st.sampled_from(["sum", "count"]))
def test_aggregates_agree_with_a_loop(card, tmp_path_factory, lines, aggregate):
    path = tmp_path_factory.mktemp("loop") / "f.csv"
    path.write_text("CODGEO;A;B\n" + "".join(f"5400{code};{a};{b}\n" for code, a, b in lines))
    value = '"A" + "B"' if aggregate == "sum" else "A"
    source = card(
        {"geo": COMMUNE, "period": "2022", "aggregate": aggregate, "values": {"x": value}},
        markers={"secret": ["s"], "missing": ["nd"]},
    )
    expected: dict[str, float | str] = {}
    for code, a, b in lines:
        zone = f"5400{code}"
        if aggregate == "count":
            expected[zone] = expected.get(zone, 0.0) + (a != "")
            continue
        so_far = expected.get(zone, 0.0)
        if "s" in (a, b, so_far) or so_far == "secret":
            expected[zone] = "secret"
        elif a in ("nd", "") or b in ("nd", "") or so_far == "missing":
            expected[zone] = "missing"
        else:
            expected[zone] = so_far + sum(float(x.replace(",", ".").replace(" ", "")) for x in (a, b))
    assert told(facts(source, path)) == {("x", zone): value for zone, value in expected.items()}
