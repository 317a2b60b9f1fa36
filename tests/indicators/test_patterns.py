"""Concentrations, families of territories and smoothing read from a public table: levels, masks, words, refusals."""

from __future__ import annotations

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
from shapely.geometry import box

from diagnostics.catalog import Indicator
from diagnostics.indicators import patterns
from diagnostics.indicators.clusters import told_clusters

SIDE = 12
COMMUNES = [f"{i:05}" for i in range(SIDE * SIDE)]
EPCI = [f"2000000{i:02}" for i in range(36)]
"""Each EPCI is a square of four communes."""
OWN = {code for i, code in enumerate(COMMUNES) if i // SIDE < 4 and i % SIDE < 4}


def epci_of(position):
    return EPCI[(position // SIDE // 2) * 6 + position % SIDE // 2]


OWN_EPCI = {epci_of(i) for i, code in enumerate(COMMUNES) if code in OWN}


@pytest.fixture(scope="module")
def grounds():
    cells = [box(x, y, x + 1, y + 1) for x in range(SIDE) for y in range(SIDE)]
    communes = gpd.GeoDataFrame({"code": COMMUNES}, geometry=cells, crs=2154)
    epci = communes.assign(code=[epci_of(i) for i in range(len(COMMUNES))]).dissolve("code").reset_index()
    return {
        "commune": patterns.ground_of(communes, COMMUNES, OWN),
        "epci": patterns.ground_of(epci, EPCI, OWN_EPCI),
    }


def card(space="value", **more):
    return Indicator(
        id=more.pop("id", "essai"), label="Essai", short="Essai", definition="Essai", unit="%",
        direction="higher_is_worse", unavailable="essai", space=space, **more,
    )  # fmt: skip


def table(values, level="commune", period="2022", indicator="essai", **columns):
    codes = COMMUNES if level == "commune" else EPCI
    frame = pd.DataFrame({"zone_code": codes, "value": np.asarray(values, dtype=float), **columns})
    return frame.assign(
        indicator_id=indicator, zone_type=level, period=period, numerator=frame.get("numerator", np.nan),
        denominator=frame.get("denominator", np.nan),
    )  # fmt: skip


def west_low(noise=0.01, seed=1):
    values = np.where(np.arange(SIDE * SIDE) // SIDE < 6, 0.0, 10.0)
    return values + np.random.default_rng(seed).normal(0, noise, SIDE * SIDE)


def look(rows, grounds, indicator=None):
    found = patterns.concentrations("essai", [indicator or card()], rows, grounds, ["54", "57"])
    return found.zones, found.moran.iloc[0]


def test_two_halves_are_seen_by_commune_and_the_territory_is_in_the_low_one(grounds):
    zones, moran = look(table(west_low()), grounds)
    assert (moran.zone_type, moran.period, moran.zones, moran.departements) == ("commune", "2022", 144, "54,57")
    assert moran.morans_i > 0.8
    assert moran.p_value == 0.001
    inside = zones[zones["inside"]]
    assert set(inside["zone_code"]) == OWN
    assert "low_low" in set(inside["cluster"])
    assert not set(inside["cluster"]) & {"high_high", "high_low", "low_high"}


def test_a_rate_is_looked_at_as_comparable_counts(grounds):
    people = pd.Series(np.random.default_rng(2).integers(200, 5_000, 144), dtype=float)
    events = (people * np.where(np.arange(144) // SIDE < 6, 0.05, 0.15)).round()
    rows = table(100 * events / people, numerator=events, denominator=people)
    zones, _ = look(rows, grounds, card("rate"))
    rate = events.sum() / people.sum()
    spread = (people * (events / people - rate) ** 2).sum() / people.sum() - rate / people.mean()
    wanted = [(o / n - rate) / (spread + rate / n) ** 0.5 for o, n in zip(events, people, strict=True)]
    wanted = (np.array(wanted) - np.mean(wanted)) / np.std(wanted)
    assert zones["standard"].to_numpy() == pytest.approx(wanted, rel=1e-9)


def test_what_is_masked_enters_nothing(grounds):
    values = west_low()
    values[[3, 40, 100]] = np.nan
    shown, hidden = table(values, numerator=5.0), table(values, numerator=5.0)
    hidden.loc[hidden["value"].isna(), "numerator"] = 999.0
    first, second = look(shown, grounds)[0], look(hidden, grounds)[0]
    pd.testing.assert_frame_equal(first, second)
    assert (first["cluster"] == "not_tested").sum() == 3


def test_epci_stand_in_when_too_few_communes_are_published(grounds):
    few = west_low()
    few[: SIDE * 6 : 2] = np.nan
    rows = pd.concat([table(few), table(np.arange(36.0), "epci", "2020-2022")])
    zones, moran = look(rows, grounds)
    assert (moran.zone_type, moran.period, moran.zones) == ("epci", "2020-2022", 36)
    assert set(zones.loc[zones["inside"], "zone_code"]) == OWN_EPCI


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.full(144, np.nan), "aucune valeur dans le territoire et ses environs"),
        (np.where(np.arange(144) < 9, 1.0, np.nan), "9 communes publiées, 20 au moins sont nécessaires"),
        (np.where(np.arange(144) < 50, np.arange(144.0), np.nan), "trop peu de communes publiées"),
        (np.ones(144), "même valeur partout"),
    ],
)
def test_what_cannot_be_looked_at_says_why(grounds, values, reason):
    zones, moran = look(table(values), grounds)
    assert moran.reason.startswith(reason)
    assert pd.isna(moran.zone_type)
    assert zones.empty
    assert zones.dtypes.astype(str).to_dict()["standard"] == "float64"


def test_one_period_the_latest_that_is_known_well_enough(grounds):
    partial = west_low()
    partial[:30] = np.nan
    rows = pd.concat(
        [table(west_low(), period="2016"), table(west_low(), period="2021"), table(partial, period="2023")]
    )
    assert look(rows, grounds)[1].period == "2021"


def test_departements_that_touch():
    squares = gpd.GeoDataFrame(
        {"code": ["54", "55", "57", "75"]},
        geometry=[box(x, 0, x + 10_000, 10_000) for x in (0, 10_300, 20_600, 90_000)],
        crs=2154,
    )
    assert patterns.departements_around(squares, ["54"]) == ["54", "55"]
    assert patterns.departements_around(squares, ["54", "57"]) == ["54", "55", "57"]


# --- families ---------------------------------------------------------------------------------------------------------


class Catalogue:
    def __init__(self, cards):
        self.indicators = {c.id: c for c in cards}


def families(names=("a", "b", "c", "d"), size=120, seed=3):
    cards = [
        card("none", id=name, typology={"levels": ["epci"], "high": f"{name} élevé", "low": f"{name} faible"})
        for name in names
    ]
    truth = np.arange(size) % 3
    centres = np.array([[20.0, 10, 3, 1], [10, 22, 4, 8], [8, 8, 9, 4]])
    data = centres[truth] + np.random.default_rng(seed).normal(0, 0.4, (size, 4))
    rows = [("population", i, 1_000.0 * (truth[i] + 1)) for i in range(size)]
    rows += [(name, i, data[i, j]) for j, name in enumerate(names) for i in range(size)]
    frame = pd.DataFrame(rows, columns=["indicator_id", "zone_code", "value"])
    frame["zone_code"] = frame["zone_code"].map("{:09}".format)
    return Catalogue(cards), frame.assign(zone_type="epci", period="2022"), truth


def test_families_are_found_named_and_do_not_depend_on_the_order_of_rows():
    catalog, rows, truth = families()
    found = patterns.types_of_territory(catalog, rows, "population")
    assert found.zones.groupby(truth)["class"].nunique().tolist() == [1, 1, 1]
    assert found.classes["zones"].tolist() == [40, 40, 40]
    assert found.classes["population"].is_monotonic_decreasing
    assert found.classes["name"].str.contains("élevé|faible").all()
    traits = found.classes.loc[0, "description"].split("\u202f; ")
    assert [trait.partition(" : ")[0] for trait in traits] == ["Essai", "essai", "essai", "essai"][: len(traits)]
    assert found.classes["stability"].iloc[0] == pytest.approx(1)
    again = patterns.types_of_territory(catalog, rows.sample(frac=1, random_state=1), "population")
    pd.testing.assert_frame_equal(again.zones.sort_values("zone_code", ignore_index=True), found.zones)
    pd.testing.assert_frame_equal(again.classes, found.classes)


def test_a_zone_with_a_withheld_value_is_not_classified():
    catalog, rows, _ = families()
    rows.loc[(rows["indicator_id"] == "b") & (rows["zone_code"] == "000000007"), "value"] = np.nan
    found = patterns.types_of_territory(catalog, rows, "population")
    assert found.zones.loc[found.zones["class"].isna(), "zone_code"].tolist() == ["000000007"]


def test_too_few_variables_give_no_class_and_typed_tables():
    catalog, rows, _ = families()
    found = patterns.types_of_territory(catalog, rows[rows["indicator_id"] != "a"], "population")
    assert found.zones.empty
    assert found.classes.empty
    assert str(found.zones["class"].dtype) == "Int64"


# --- smoothing --------------------------------------------------------------------------------------------------------


def counts(masked=()):
    generator = np.random.default_rng(4)
    people = generator.integers(100, 3_000, 144).astype(float)
    events = generator.poisson(people * np.where(np.arange(144) % 2, 0.02, 0.006)).astype(float)
    frame = pd.DataFrame({"zone_code": COMMUNES, "numerator": events, "denominator": people})
    frame["value"] = 1_000 * frame["numerator"] / frame["denominator"]
    frame.loc[list(masked), "value"] = np.nan
    return frame


def test_smoothed_values_against_a_loop():
    rows = counts()
    found = patterns.smoothed(rows, OWN, 1_000)
    mean = rows["numerator"].sum() / rows["denominator"].sum()
    variance = 0.0
    for row in rows.itertuples():
        variance += row.denominator * (row.numerator / row.denominator - mean) ** 2
    variance = variance / rows["denominator"].sum() - mean / (rows["denominator"].sum() / len(rows))
    for row in rows.itertuples():
        trust = variance / (variance + mean / row.denominator)
        raw = row.numerator / row.denominator
        assert found[row.zone_code] == pytest.approx(1_000 * (mean + trust * (raw - mean)), rel=1e-9)


def test_a_masked_commune_moves_no_other_and_gets_nothing():
    rows = counts(masked=(5, 60))
    other = rows.copy()
    other.loc[[5, 60], "numerator"] = 9_999.0
    first, second = patterns.smoothed(rows, OWN, 1_000), patterns.smoothed(other, OWN, 1_000)
    pd.testing.assert_series_equal(first, second)
    assert not {COMMUNES[5], COMMUNES[60]} & set(first.index)


def test_no_smoothed_map_where_it_has_no_use():
    positions = [i for i, code in enumerate(COMMUNES) if code in OWN]
    assert patterns.smoothed(counts(masked=positions[:9]), OWN, 1_000) is None
    many = counts().assign(numerator=lambda f: f["numerator"] + 500, denominator=lambda f: f["denominator"] + 20_000)
    assert patterns.smoothed(many, OWN, 1_000) is None
    alike = counts().assign(numerator=5.0, denominator=500.0)
    assert patterns.smoothed(alike, OWN, 1_000) is None


# --- words ------------------------------------------------------------------------------------------------------------


def test_concentrations_are_told_in_french():
    seen = ["high_high"] * 10 + ["low_high"] + ["not_significant"] * 20
    assert told_clusters(seen, "commune") == (
        "10 communes sur 31 sont dans une concentration de valeurs élevées et 1 est plus faible que ses voisines"
    )
    assert told_clusters(["low_low"], "epci") == "1 intercommunalité est dans une concentration de valeurs faibles"
    assert told_clusters(["not_tested"], "epci") == (
        "Aucune concentration significative parmi les intercommunalités du territoire"
    )
