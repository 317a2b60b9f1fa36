"""Real files of the mirror: read whole with the totals their producers publish, or refused when damaged."""

from __future__ import annotations

import csv
import gzip
import io
import zipfile
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.catalog.loading import CATALOG, load_card
from diagnostics.catalog.models import Source
from diagnostics.errors import SourceError
from diagnostics.sources.contract import check, require
from diagnostics.sources.observe import observe, read_table
from diagnostics.sources.readers import LAYOUTS, read, to_parquet

APL = {"sheet": "APL 2023", "header": "Code commune INSEE", "units_rows": 1}
FILES = {
    "workbook": ("drees_apl/data_apl_infirmiers.xlsx", "workbook", APL),
    "zip": ("insee_comparateur_rp2018/base_cc_comparateur_csv.zip", "zip_csv", {"member": "base_cc_comparateur.CSV"}),
    "gzip": ("irsn_radon/radon.csv.gz", "csv", {}),
    "cartosante": ("cartosante_zonage/infirmier_2026.csv.gz", "cartosante", {}),
    "parquet": ("ecolab_2024/radiance.parquet", "parquet", {}),
    "geojson": ("anct_qpv_2024/centroide-4326_qpv.geojson", "geojson_properties", {}),
    "dbf": ("metric_gironde/couples_infra_couples_coordonnees_gironde_2_HC.dbf", "dbf", {}),
}


# --- against other readers of the same file --------------------------------------------------------------------------


def test_apl_workbook_equals_openpyxl(mirror):
    path = mirror / FILES["workbook"][0]
    ours = read(path, "workbook", APL)
    sheet = openpyxl.load_workbook(path, read_only=True)["APL 2023"]
    lines = list(sheet.iter_rows(min_row=9, values_only=True))
    width = len(ours.columns)
    assert list(ours.columns) == [" ".join(str(cell).split()) for cell in lines[0][:width]]
    theirs = [line[:width] for line in lines[2:] if any(cell is not None for cell in line)]
    assert len(ours) == len(theirs) == 34954
    for i in range(0, len(theirs), 97):
        expected = [str(cell) if isinstance(cell, str) else float(cell) for cell in theirs[i]]
        found = ours.iloc[i].tolist()
        assert [a if isinstance(b, str) else float(a) for a, b in zip(found, expected, strict=True)] == expected


def test_comparateur_zip_equals_the_csv_module(mirror):
    path = mirror / FILES["zip"][0]
    ours = read(path, "zip_csv", {"member": "base_cc_comparateur.CSV"})
    with zipfile.ZipFile(path) as archive:
        text = io.TextIOWrapper(archive.open("base_cc_comparateur.CSV"), encoding="utf-8", newline="")
        theirs = list(csv.reader(text, delimiter=";"))
    assert list(ours.columns) == theirs[0]
    ours = ours.sort_values("CODGEO").fillna("").to_numpy().tolist()
    assert ours == sorted(theirs[1:], key=lambda row: row[0])


# --- whole chain, with published totals ------------------------------------------------------------------------------


def test_population_of_reference(mirror, card):
    block = {"geo": [{"type": "commune", "code": "COM"}], "period": "2023", "values": {"pop": "PMUN"}}
    control = {"variable": "pop", "period": "2023", "sum": 68_094_280, "source": "README du miroir"}
    source = card(block, rows=[34_900, 34_900], controls=[control])
    frame = observe(source, source.distributions[0], mirror / "insee_popref/donnees_communes_rp2023.csv.gz")
    require(check(source, source.distributions[0], frame))
    assert frame.set_index("geo_code").loc["57463", "value"] == 122_572


def test_population_of_overseas_keyed_by_two_columns(mirror, card):
    code = "left(CODDEP, 2) || CODCOM"
    block = {"geo": [{"type": "commune", "code": code}], "period": "2020", "values": {"pop": "PMUN"}}
    source = card(block)
    frame = observe(source, source.distributions[0], mirror / "insee_popref/donnees_communes_rp2020.csv.gz")
    assert frame["value"].sum() == 67_162_154


@pytest.mark.parametrize(("sheet", "mean", "total"), [("2022", 3.789, 67_162_154), ("2023", 3.745, 67_408_052)])
def test_apl_of_general_practitioners(mirror, card, sheet, mean, total):
    census = str(int(sheet) - 2)
    block = {
        "geo": [{"type": "commune", "code": "Code commune INSEE"}],
        "period": sheet,
        "values": {
            "apl": "APL aux médecins généralistes",
            "standard": f"Population standardisée {census} pour la médecine générale",
            "total": f"Population totale {census}",
        },
    }
    controls = [
        {
            "variable": "apl",
            "period": sheet,
            "mean": mean,
            "weight": "standard",
            "tolerance": 0.0005,
            "source": "README",
        },
        {"variable": "total", "period": sheet, "sum": total, "source": "README"},
    ]
    options = {**APL, "sheet": f"APL {sheet}"}
    source = card(block, layout="workbook", options=options, controls=controls)
    frame = observe(source, source.distributions[0], mirror / "drees_apl/apl_generalistes.xlsx")
    require(check(source, source.distributions[0], frame))


def test_radon_with_lost_zeros_and_damaged_overseas(mirror, card):
    values = {"radon": {"column": "classe_potentiel", "codes": {"1": 1, "2": 2, "3": 3}}}
    block = {"geo": [{"type": "commune", "code": "insee_com"}], "period": "2019", "values": values}
    path = mirror / "irsn_radon/radon.csv.gz"
    source = card(block)
    with pytest.raises(SourceError, match=r"n'est pas celui d'une zone « commune ».*lpad"):
        observe(source, source.distributions[0], path)
    restored = [{"type": "commune", "code": "lpad(insee_com, 5, '0')"}]
    source = card({**block, "where": "reg = 'FR'", "geo": restored}, cog_year=2016)
    frame = observe(source, source.distributions[0], path)
    assert frame["value"].value_counts().to_dict() == {1.0: 26_744, 3.0: 6_999, 2.0: 2_055}


def test_iris_parquet(mirror, card):
    block = {"geo": [{"type": "iris", "code": "code"}], "period": "2022", "values": {"pop": "P22_POP"}}
    source = card(block, layout="parquet", rows=[48_487, 48_487])
    frame = observe(source, source.distributions[0], mirror / "insee_rp2022_iris/iris_rp2022.parquet")
    require(check(source, source.distributions[0], frame))
    assert round(frame["value"].sum()) == 65_765_984


def test_filosofi_decimal_comma_and_markers(mirror, card):
    block = {
        "geo": [{"type": "commune", "code": "CODGEO"}],
        "period": "2021",
        "values": {"median": "MED21", "poverty": "TP6021", "tax": "PIMPOT21"},
    }
    path = mirror / "insee_filosofi_2021_com/cc_filosofi_2021_COM.csv.gz"
    source = card(block, markers={"missing": ["nd"]})
    with pytest.raises(SourceError, match=r"« MED21 »|« TP6021 »"):
        observe(source, source.distributions[0], path)
    source = card(block, markers={"secret": ["s"], "missing": ["nd"]})
    frame = observe(source, source.distributions[0], path)
    known = frame[frame["status"] == "ok"].groupby("variable").size()
    assert (known["median"], known["poverty"]) == (31_304, 4_397)
    metz = frame[frame["geo_code"] == "57463"].set_index("variable")["value"]
    assert (metz["median"], metz["poverty"]) == (20_940, 24.0)


def test_bpe_workbook_needs_a_header_cell_of_its_own_row(mirror, card):
    path = mirror / "insee_bpe_sante/equip-serv-sante-com-2020.xlsx"
    block = {
        "geo": [{"type": "commune", "code": "CODGEO"}], "period": "2020",
        "values": {"pharmacies": "NB_D307", "msp": "NB_D113", "emergency": "NB_D106"},
    }  # fmt: skip
    with pytest.raises(SourceError, match=r"plusieurs lignes \(5, 6\)"):
        read(path, "workbook", {"sheet": "COM", "header": "CODGEO"})
    source = card(block, layout="workbook", options={"sheet": "COM", "header": "NB_D307"}, rows=[34_965, 34_965])
    frame = observe(source, source.distributions[0], path)
    require(check(source, source.distributions[0], frame))
    assert frame.groupby("variable")["value"].sum().to_dict() == {"pharmacies": 21_580, "msp": 1_514, "emergency": 698}


def test_cartosante_zoning_labels(mirror, card):
    path = mirror / "cartosante_zonage/infirmier_2026.csv.gz"
    labels = sorted(set(read(path, "cartosante")["Zonage infirmiers"].dropna()) - {"N/A - résultat non disponible"})
    codes = {label: float(label[0]) for label in labels}
    block = {
        "geo": [{"type": "commune", "code": "Code", "where": "regexp_full_match(Code, '(\\d{2}|2[AB])\\d{3}')"}],
        "period": "2026",
        "values": {"zone": {"column": "Zonage infirmiers", "codes": codes}},
    }
    source = card(block, layout="cartosante", markers={"missing": ["N/A - résultat non disponible"]})
    frame = observe(source, source.distributions[0], path)
    assert len(frame) > 34_900
    assert set(frame["value"].dropna()) == set(codes.values())


def test_strict_ooxml_workbook(mirror):
    path = mirror / "insee_estim_pop_dep/estim-pop-dep-sexe-aq-1975-2022.xlsx"
    frame = read(path, "workbook", {"sheet": "2022", "header": "Ensemble"})
    assert len(frame) > 95


# --- every card of the catalogue that the mirror can feed ------------------------------------------------------------


@pytest.mark.parametrize("file", sorted((CATALOG / "sources").glob("*.yaml")), ids=lambda file: file.stem)
def test_mirror_cards_read_and_keep_their_contract(mirror, file):
    source = load_card(file, Source)
    mirrored = [d for d in source.distributions if d.address.startswith("mirror://")]
    if not mirrored:
        pytest.skip("cette fiche n'a pas de fichier dans le miroir")
    for distribution in mirrored:
        path = mirror / distribution.address.removeprefix("mirror://")
        if distribution.table:
            assert len(read_table(source, distribution, path))
        if distribution.observations:
            place = f"{source.id}.{distribution.id}"
            require(check(source, distribution, observe(source, distribution, path)), place)


# --- damaged files: an error, or the whole table ---------------------------------------------------------------------


def outcome(path: Path, layout: str, options: dict) -> pd.DataFrame | str:
    """The table, or the message of the error."""
    try:
        return read(path, layout, options)
    except SourceError as error:
        return str(error)


@pytest.fixture(scope="module")
def whole(mirror):
    return {name: read(mirror / file, layout, options) for name, (file, layout, options) in FILES.items()}


@pytest.mark.parametrize("name", sorted(FILES))
@settings(max_examples=8)
@given(data=st.data())
def test_a_cut_file_is_refused(mirror, tmp_path_factory, name, data):
    file, layout, options = FILES[name]
    content = (mirror / file).read_bytes()
    path = tmp_path_factory.mktemp("cut") / Path(file).name
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 2))])
    with pytest.raises(SourceError, match=path.name):
        read(path, layout, options)


@pytest.mark.parametrize("name", ["workbook", "zip", "gzip", "cartosante"])
@settings(max_examples=6)
@given(data=st.data())
def test_damaged_archives_never_give_another_table(mirror, tmp_path_factory, whole, name, data):
    file, layout, options = FILES[name]
    content = bytearray((mirror / file).read_bytes())
    for _ in range(3):
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    path = tmp_path_factory.mktemp("bits") / Path(file).name
    path.write_bytes(content)
    found = outcome(path, layout, options)
    assert path.name in found if isinstance(found, str) else found.equals(whole[name])


@settings(max_examples=12)
@given(data=st.data())
def test_a_cut_plain_csv_is_refused_by_its_cells_or_by_its_row_count(mirror, card, tmp_path_factory, data):
    content = gzip.decompress((mirror / "insee_popref/donnees_communes_rp2023.csv.gz").read_bytes())
    path = tmp_path_factory.mktemp("cut") / "donnees_communes.csv"
    path.write_bytes(content[: data.draw(st.integers(0, len(content) - 20))])
    block = {"geo": [{"type": "commune", "code": "COM"}], "period": "2023", "values": {"pop": "PMUN"}}
    source = card(block, rows=[34_900, 34_900])
    with pytest.raises(SourceError):
        require(check(source, source.distributions[0], observe(source, source.distributions[0], path)))


@settings(max_examples=60)
@given(st.binary(min_size=1, max_size=400), st.sampled_from(sorted(LAYOUTS)))
def test_any_bytes_in_any_layout_give_a_table_or_a_clear_error(tmp_path_factory, content, layout):
    options = {
        "zip_csv": {"member": "*.csv"}, "workbook": {"header": "Code"}, "finess": {"section": "structureet"},
    }.get(layout, {})  # fmt: skip
    path = tmp_path_factory.mktemp("bytes") / "anything.bin"
    path.write_bytes(content)
    found = outcome(path, layout, options)
    assert "anything.bin" in found if isinstance(found, str) else len(found.columns)


def test_a_big_file_cut_on_the_way_leaves_no_parquet(mirror, tmp_path):
    content = (mirror / "irsn_radon/radon.csv.gz").read_bytes()
    path = tmp_path / "radon.csv.gz"
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(SourceError, match="tronqué"):
        to_parquet(path, "csv", {}, tmp_path / "radon.parquet")
    assert [file.name for file in tmp_path.iterdir()] == ["radon.csv.gz"]
