"""What the observatory reads out, against plain loops over a small country."""

import numpy as np
import pandas as pd
import pytest

from diagnostics.catalog import Catalog, Indicator, Territory, Theme
from diagnostics.indicators.reading import Around, observatory, similar, vigilance_rows
from diagnostics.statistics import rates

EPCI = [f"{n:09d}" for n in range(40)]
COMMUNES = [f"54{n:03d}" for n in range(12)]
AROUND = Around([("cls", "essai")], ("region", "44"), "Grand Est", ("departement", "54"), "Meurthe", "epci", COMMUNES)
RATIO = {"kind": "ratio", "numerator": "sick@2022", "denominator": "people@2022", "multiplier": 100}


def indicator(id_, formula=RATIO, **more):
    base = {"label": id_, "short": id_, "definition": "d", "unit": "%", "direction": "higher_is_worse"}
    return Indicator.model_validate({"id": id_, "formula": formula} | base | more)


def rows(name, zone_type, counts, people=1000.0, interval=True):
    """The public rows of a share: `counts` by zone code."""
    codes, count = list(counts), np.array(list(counts.values()), dtype=float)
    found = rates.wilson(count, np.full(len(count), people), 100)
    bounds = {n: found[n] if interval else np.nan for n in ("ci_low", "ci_high")}
    return pd.DataFrame(
        {
            "indicator_id": name, "zone_type": zone_type, "zone_code": codes, "period": "2022", "numerator": count,
            "denominator": people, "value": found["value"], "reliability": "ok", **bounds,
        }
    )  # fmt: skip


def country(name="share", own=300.0, interval=True):
    inside = {code: 200.0 + 15 * n for n, code in enumerate(COMMUNES)}
    return pd.concat(
        [
            rows(name, "cls", {"essai": own}, interval=interval),
            rows(name, "region", {"44": 200.0}, interval=interval),
            rows(name, "epci", {code: 100.0 + 10 * n for n, code in enumerate(EPCI)}, interval=interval),
            rows(name, "commune", inside, interval=interval),
        ],
        ignore_index=True,
    )


CLASSES = pd.Series([1, 1, 2, 2, 2, 3, 3, 4, 4, 5, 5, 5], index=COMMUNES)


def test_a_figure_is_tested_against_the_region_ranked_among_its_peers_and_read_inside():
    card = indicator("share", interval="wilson")
    values = country()
    row = observatory([card], "mirror", values, AROUND, CLASSES).iloc[0]
    assert row["comparison"] == "worse"
    assert row["benchmark"] == 20
    peers = values[values["zone_type"] == "epci"]
    assert row["ranked"] == 41
    better = sum(value < 30 for value in peers["value"])
    same = sum(value == 30 for value in peers["value"])
    assert row["rank"] == 1 + better + same / 2
    low = values.loc[values["zone_type"] == "cls", "ci_low"].iloc[0]
    assert row["rank_low"] == 1 + sum(high < low for high in peers["ci_high"])
    assert row["unequal"]
    assert row["sii"] > 0


def test_many_tests_make_a_small_difference_count_for_less():
    """One difference just under 5 % is `worse` alone, and `similar` among thirty that are nothing."""
    values = country("alone", own=225.0)
    alone = observatory([indicator("alone", interval="wilson")], "mirror", values, AROUND, CLASSES).iloc[0]
    assert alone["comparison"] == "worse"
    crowd = [indicator("alone", interval="wilson")] + [indicator(f"calm{n}", interval="wilson") for n in range(30)]
    values = pd.concat([values, *(country(f"calm{n}", own=200.0) for n in range(30))], ignore_index=True)
    among = observatory(crowd, "mirror", values, AROUND, CLASSES).set_index("indicator_id")
    assert among.loc["alone", "p_value"] == alone["p_value"]
    assert among.loc["alone", "comparison"] == "similar"


def test_a_context_figure_is_that_of_the_departement_against_france():
    card = indicator("helped", nature="context")
    values = pd.concat(
        [
            rows("helped", "departement", {f"{n:02d}": 10.0 * n for n in range(1, 80)}, interval=False),
            rows("helped", "france", {"FR": 300.0}, interval=False),
        ]
    )
    row = observatory([card], "mirror", values, AROUND, CLASSES).iloc[0]
    assert (row["value"], row["benchmark"], row["zone_name"]) == (54, 30, "Meurthe")
    assert row["rank"] == 54
    assert row["comparison"] == "not_compared"


def test_counts_and_unknown_figures_are_left_out():
    count = indicator("count", {"kind": "sum", "numerator": "sick@2022"})
    values = pd.concat([country("count"), country("hidden").assign(value=np.nan)])
    table = observatory([count, indicator("hidden")], "mirror", values, AROUND, CLASSES)
    assert table.empty


def test_vigilance_rows_repeat_an_indicator_in_each_axis_that_names_it():
    card = indicator("share", interval="wilson", reserve="Réserve.")
    theme = Theme(theme="test", title="Essai", palette="care", indicators=[card])
    axes = [{"id": "a", "title": "A", "indicators": ["share"]}, {"id": "b", "title": "B", "complementary": ["share"]}]
    territory = Territory.model_validate(
        {
            "id": "essai",
            "name": "Essai",
            "kind": "free",
            "cog_year": 2025,
            "communes": COMMUNES,
            "axes": axes,
            "source": "s",
        }
    )
    table = observatory([card], "mirror", country(), AROUND, CLASSES)
    found = vigilance_rows(table, territory, Catalog(None, {}, {"test": theme}, {}))
    assert found["axis"].tolist() == ["a", "b"]
    assert set(found["reserve"]) == {"Réserve."}


def test_similar_territories_are_the_nearest_by_a_plain_loop():
    draw = np.random.default_rng(4)
    traits = ("pop_municipal", "pop_density", "age_share_75plus")
    table = {name: dict(zip(["essai", *EPCI], draw.uniform(5, 50, 41), strict=True)) for name in traits}
    values = pd.DataFrame(
        [
            (name, "cls" if code == "essai" else "epci", code, "2022", value)
            for name, column in table.items()
            for code, value in column.items()
        ],
        columns=["indicator_id", "zone_type", "zone_code", "period", "value"],
    )
    found, used = similar(values, AROUND)
    assert used == list(traits)
    scaled = {}
    for name in traits:
        column = np.array(list(table[name].values()))
        column = np.log(column) if name != "age_share_75plus" else column
        scaled[name] = (column - column.mean()) / column.std()
    distance = np.sqrt(sum((column - column[0]) ** 2 for column in scaled.values()))
    nearest = [code for _, code in sorted(zip(distance[1:], EPCI, strict=True))][:8]
    assert found["zone_code"].tolist() == nearest
    assert found["distance"].to_numpy() == pytest.approx(np.sort(distance[1:])[:8])


def test_nothing_is_similar_to_a_territory_whose_structure_is_unknown():
    values = pd.DataFrame(columns=["indicator_id", "zone_type", "zone_code", "period", "value"])
    found, used = similar(values, AROUND)
    assert found.empty
    assert used == []


def test_a_share_that_grew_between_two_censuses_is_worsening_and_says_since_when():
    now, before = country(own=300.0), rows("share", "cls", {"essai": 220.0}).assign(period="2016")
    card = indicator("share", interval="wilson")
    row = observatory([card], "mirror", pd.concat([now, before]), AROUND, CLASSES).iloc[0]
    assert (row["trend"], row["trend_from"], row["trend_to"]) == ("worsening", 2016, 2022)
    near = before.assign(period="2019")
    assert observatory([card], "mirror", pd.concat([now, near]), AROUND, CLASSES).iloc[0]["trend"] == "not_tested"
