"""The contract of a card: clauses kept, clauses broken, and corrections that must one day leave."""

from __future__ import annotations

import pandas as pd
import pytest

from diagnostics.errors import SourceError
from diagnostics.sources.contract import check, require
from diagnostics.sources.observe import observe

COMMUNE = [{"type": "commune", "code": "CODGEO"}]
BLOCK = {"geo": COMMUNE, "period": "2023", "values": {"apl": "APL", "pop": "POP"}}
LINES = ["CODGEO;APL;POP", "54395;4,0;100", "01001;1,0;300", "97105;;50"]
CONTROLS = [
    {"variable": "pop", "period": "2023", "sum": 450, "source": "manifeste"},
    {"variable": "apl", "period": "2023", "mean": 1.75, "weight": "pop", "tolerance": 0.001, "source": "DREES"},
    {"variable": "pop", "period": "2023", "where": "geo_code NOT LIKE '97%'", "sum": 400, "source": "manifeste"},
]


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "f.csv"
    file.write_text("\n".join(LINES) + "\n")
    return file


def outcome(source, frame) -> dict[str, bool]:
    return {result.name: result.passed for result in check(source, source.distributions[0], frame)}


def test_every_clause_of_a_good_file_passes(card, path):
    source = card(BLOCK, rows=[3, 3], controls=CONTROLS, variables={"apl": {"label": "APL", "minimum": 0}})
    frame = observe(source, source.distributions[0], path)
    assert outcome(source, frame) == {
        "schema": True, "unique_keys": True, "forbidden_columns": True, "rows": True, "range_apl": True,
        "control_pop_2023": True, "control_apl_2023": True, "control_pop_2023_2": True,
    }  # fmt: skip
    require(check(source, source.distributions[0], frame))


@pytest.mark.parametrize(
    ("more", "name", "told"),
    [
        ({"rows": [34000, 36000]}, "rows", "3 lignes lues"),
        ({"variables": {"pop": {"label": "Population", "maximum": 200}}}, "range_pop", "1 ligne(s)"),
        ({"variables": {"apl": {"label": "APL", "minimum": 2, "maximum": 3}}}, "range_apl", "2 ligne(s)"),
        ({"variables": {"pop": {"label": "Population", "part_of": "apl"}}}, "part_pop", "dépasse `apl` sur 2 ligne(s)"),
        ({"controls": [{**CONTROLS[0], "sum": 451}]}, "control_pop_2023", "450 trouvé, 451 attendu"),
        ({"controls": [{**CONTROLS[1], "mean": 1.8}]}, "control_apl_2023", "1,75 trouvé, 1,8 attendu"),
    ],
)
def test_a_broken_clause_is_named_with_what_was_found(card, path, more, name, told):
    source = card(BLOCK, **more)
    frame = observe(source, source.distributions[0], path)
    broken = [result for result in check(source, source.distributions[0], frame) if not result.passed]
    assert [result.name for result in broken] == [name]
    assert told in broken[0].detail.replace("\u202f", " ")
    with pytest.raises(SourceError, match=name):
        require(broken, "jeu")


def test_a_control_of_a_period_that_vanished_fails(card, path):
    source = card(BLOCK, controls=[CONTROLS[0]])
    frame = observe(source, source.distributions[0], path)
    assert outcome(source, frame[frame["variable"] == "apl"].reset_index(drop=True))["control_pop_2023"] is False


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda f: f.assign(value=f["value"].fillna(0.0)), "schema"),
        (lambda f: f.assign(status="inconnu"), "schema"),
        (lambda f: f.assign(geo_code=f["geo_code"].str.lstrip("0")), "schema"),
        (lambda f: f.assign(cog_year=pd.array([None] * len(f), "Int64")), "schema"),
        (lambda f: f.assign(value=f["value"].astype("str")), "schema"),
        (lambda f: f[["value", *[c for c in f.columns if c != "value"]]], "schema"),
        (lambda f: pd.concat([f, f.head(1)], ignore_index=True), "unique_keys"),
    ],
)
def test_a_table_out_of_shape_is_refused(card, path, change, name):
    source = card(BLOCK)
    frame = change(observe(source, source.distributions[0], path))
    broken = [result for result in check(source, source.distributions[0], frame) if not result.passed]
    assert [result.name for result in broken] == [name]
    assert broken[0].failed_rows is not None
    assert len(broken[0].failed_rows)


def test_integer_twins_are_forbidden(card, tmp_path):
    file = tmp_path / "f.csv"
    file.write_text("CODGEO;honoraires_integer\n54395;0\n")
    source = card({"geo": COMMUNE, "period": "2023", "values": {"fees": "honoraires_integer"}})
    assert outcome(source, observe(source, source.distributions[0], file))["forbidden_columns"] is False


CORRECTION = {
    "distribution": "fichier", "where": "CODGEO = '01001'", "column": "POP", "expect": "300", "replace": "301",
    "because": "faute de frappe signalée au producteur",
}  # fmt: skip


def test_a_correction_mends_its_cell_alone(card, path):
    source = card(BLOCK, corrections=[CORRECTION])
    frame = observe(source, source.distributions[0], path)
    assert frame[frame["variable"] == "pop"].set_index("geo_code")["value"].to_dict() == {
        "54395": 100, "01001": 301, "97105": 50,
    }  # fmt: skip


def test_a_correction_the_producer_made_useless_fails(card, path):
    source = card(BLOCK, corrections=[{**CORRECTION, "expect": "299"}])
    with pytest.raises(SourceError, match=r"faute de frappe.*ne trouve plus « 299 ».*retirer cette correction"):
        observe(source, source.distributions[0], path)


def test_a_correction_may_mend_a_code_and_rests_on_columns_the_values_do_not_use(card, tmp_path):
    file = tmp_path / "f.csv"
    file.write_text("CODGEO;NOM;POP\n5439;Nancy;100\n")
    nancy = {**CORRECTION, "where": "NOM = 'Nancy'", "column": "CODGEO", "expect": "5439", "replace": "54395"}
    source = card({"geo": COMMUNE, "period": "2023", "values": {"pop": "POP"}}, corrections=[nancy])
    assert observe(source, source.distributions[0], file)["geo_code"].tolist() == ["54395"]


def test_the_row_count_survives_parquet(card, path, tmp_path):
    source = card(BLOCK, rows=[3, 3])
    observe(source, source.distributions[0], path).to_parquet(tmp_path / "o.parquet")
    back = pd.read_parquet(tmp_path / "o.parquet")
    assert outcome(source, back)["rows"] is True
