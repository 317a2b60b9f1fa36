"""What the observatory reads out, against plain loops over a small country."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from diagnostics.catalog import Catalog, Indicator, Territory, Theme
from diagnostics.indicators.reading import (
    Around,
    comparisons,
    dashboard,
    read_out,
    similar,
    similar_values,
    vigilance_rows,
)
from diagnostics.statistics import rates

EPCI = [f"{n:09d}" for n in range(40)]
COMMUNES = [f"54{n:03d}" for n in range(12)]
REGION, FRANCE = ("region", "44"), ("france", "FR")
AROUND = Around(
    own=[("cls", "essai")],
    members=[],
    benchmarks={
        ("departement", "54"): "Meurthe",
        ("departement", "57"): "Moselle",
        REGION: "Grand Est",
        FRANCE: "France",
    },
    main=REGION,
    departements={"54": COMMUNES[:9], "57": COMMUNES[9:]},
    peers="epci",
    communes=COMMUNES,
)
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


def read(cards, values, classes=CLASSES):
    return read_out(cards, "mirror", values, AROUND, classes)


def line(reading, zone=("cls", "essai")):
    table = reading.table
    return table[(table["zone_type"] == zone[0]) & (table["zone_code"] == zone[1])].iloc[0]


def verdict(reading, name, target=REGION):
    table = reading.compared
    same = (table["indicator_id"] == name) & (table["zone_type"] == "cls")
    return table[same & (table["benchmark_type"] == target[0]) & (table["benchmark_code"] == target[1])].iloc[0]


def test_a_figure_is_tested_against_the_region_ranked_among_its_peers_and_read_inside():
    card = indicator("share", interval="wilson")
    values = country()
    reading = read([card], values)
    assert verdict(reading, "share")["verdict"] == "worse"
    assert verdict(reading, "share")["benchmark"] == 20
    row = line(reading)
    peers = values[values["zone_type"] == "epci"]
    assert row["ranked"] == 41
    better = sum(value < 30 for value in peers["value"])
    same = sum(value == 30 for value in peers["value"])
    assert row["rank"] == 1 + better + same / 2
    low = values.loc[values["zone_type"] == "cls", "ci_low"].iloc[0]
    assert row["rank_low"] == 1 + sum(high < low for high in peers["ci_high"])
    assert row["unequal"]
    assert row["sii_low"] > 0


def test_a_member_is_ranked_among_its_peers_and_compared_with_the_region():
    member = ("epci", EPCI[3])
    around = replace(AROUND, members=[member])
    reading = read_out([indicator("share", interval="wilson")], "mirror", country(), around, CLASSES)
    row = line(reading, member)
    assert (row["rank"], row["ranked"]) == (4, 40)
    assert np.isnan(row["sii"])
    ours = reading.compared[reading.compared["zone_type"] == "epci"]
    assert ours[["zone_code", "benchmark_type", "verdict"]].to_numpy().tolist() == [[EPCI[3], "region", "better"]]


def test_many_tests_make_a_small_difference_count_for_less():
    """One difference just under 5 % is `worse` alone, and `similar` among thirty that are nothing."""
    values = country("alone", own=225.0)
    alone = verdict(read([indicator("alone", interval="wilson")], values), "alone")
    assert alone["verdict"] == "worse"
    crowd = [indicator("alone", interval="wilson")] + [indicator(f"calm{n}", interval="wilson") for n in range(30)]
    values = pd.concat([values, *(country(f"calm{n}", own=200.0) for n in range(30))], ignore_index=True)
    among = verdict(read(crowd, values), "alone")
    assert among["p_value"] == alone["p_value"]
    assert among["p_adjusted"] == pytest.approx(min(1.0, 31 * alone["p_value"]))
    assert among["verdict"] == "similar"


def test_one_benchmark_is_one_family_of_tests():
    """What is tested against France does not weigh on what is tested against the region."""
    values = country("alone", own=225.0)
    besides = [rows(f"calm{n}", "cls", {"essai": 200.0}) for n in range(30)]
    besides += [rows(f"calm{n}", "france", {"FR": 200.0}) for n in range(30)]
    cards = [indicator("alone", interval="wilson")] + [indicator(f"calm{n}", interval="wilson") for n in range(30)]
    assert verdict(read(cards, pd.concat([values, *besides])), "alone")["verdict"] == "worse"


def test_what_is_standardised_on_france_compares_with_france_only():
    card = indicator("icm", interval="wilson", reference="france")
    values = pd.concat([country("icm"), rows("icm", "france", {"FR": 250.0})])
    found = comparisons([card], "mirror", values, AROUND)
    assert found["benchmark_type"].tolist() == ["france"]
    territory, catalog = house(card)
    (row,) = (
        vigilance_rows(read([card], values), AROUND, territory, catalog)
        .drop_duplicates("indicator_id")
        .to_dict("records")
    )
    assert (row["benchmark_name"], row["comparison"]) == ("France", "worse")


def test_a_context_figure_is_that_of_each_departement_against_france():
    card = indicator("helped", nature="context")
    people = rows("pop_municipal", "commune", dict.fromkeys(COMMUNES, 100.0), interval=False)
    people["value"] = 100.0
    values = pd.concat(
        [
            rows("helped", "departement", {f"{n:02d}": 10.0 * n for n in range(1, 80)}, interval=False),
            rows("helped", "france", {"FR": 300.0}, interval=False),
            people,
        ]
    )
    reading = read([card], values)
    found = reading.compared.round({"value": 9})
    assert found[["zone_code", "value", "benchmark", "verdict"]].to_numpy().tolist() == [
        ["54", 54, 30, "not_compared"], ["57", 57, 30, "not_compared"],
    ]  # fmt: skip
    assert [line(reading, ("departement", code))["rank"] for code in ("54", "57")] == [54, 57]
    territory, catalog = house(card)
    told = vigilance_rows(reading, AROUND, territory, catalog).drop_duplicates("indicator_id").iloc[0]
    assert (told["value"], told["benchmark"]) == (54, 30)
    assert told["zone_name"] == "Meurthe, 75\u202f% des habitants ; Moselle : 57,0\u202f%"


def test_counts_and_unknown_figures_are_not_compared():
    count = indicator("count", {"kind": "sum", "numerator": "sick@2022"})
    values = pd.concat([country("count"), country("hidden").assign(value=np.nan)])
    reading = read([count, indicator("hidden")], values)
    assert reading.compared.empty
    assert reading.table["indicator_id"].tolist() == ["count"]
    assert np.isnan(line(reading)["rank"])


def test_what_makes_deprivation_is_not_read_by_deprivation():
    assert not line(read([indicator("unemployment_rate_rp")], country("unemployment_rate_rp")))["unequal"]


def test_an_inequality_is_not_read_on_a_small_part_of_the_people():
    values = country()
    masked = (values["zone_type"] == "commune") & (values["zone_code"] > COMMUNES[8])
    values.loc[masked, ["value", "numerator"]] = np.nan
    values.loc[values["zone_type"] == "cls", "denominator"] = 12_000.0
    assert np.isnan(line(read([indicator("share")], values))["sii"])


def house(card):
    theme = Theme(theme="test", title="Essai", palette="care", indicators=[card])
    axes = [{"id": "a", "title": "A", "indicators": [card.id]}, {"id": "b", "title": "B", "complementary": [card.id]}]
    fields = {"id": "essai", "name": "Essai", "kind": "free", "cog_year": 2025, "communes": COMMUNES, "source": "s"}
    return Territory.model_validate(fields | {"axes": axes}), Catalog(None, {}, {"test": theme}, {})


def test_vigilance_rows_repeat_an_indicator_in_each_axis_that_names_it():
    card = indicator("share", interval="wilson", reserve="Réserve.")
    territory, catalog = house(card)
    found = vigilance_rows(read([card], country()), AROUND, territory, catalog)
    assert found["axis"].tolist() == ["a", "b"]
    assert set(found["reserve"]) == {"Réserve."}
    assert set(found["comparison"]) == {"worse"}


def test_the_dashboard_has_a_line_per_zone_and_benchmark():
    card = indicator("share", interval="wilson")
    values = pd.concat([country(), rows("share", "france", {"FR": 250.0})])
    _, catalog = house(card)
    table = dashboard(read([card], values), catalog, AROUND.benchmarks | {("cls", "essai"): "Essai"})
    assert table[["zone_name", "benchmark_name", "verdict"]].to_numpy().tolist() == [
        ["Essai", "Grand Est", "worse"], ["Essai", "France", "worse"],
    ]  # fmt: skip
    assert table["rank"].nunique() == 1


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
    found = similar(values, AROUND)
    assert found.columns[-4:-1].tolist() == list(traits)
    assert found.iloc[0][["zone_type", "zone_code"]].tolist() == ["cls", "essai"]
    found = found.iloc[1:]
    scaled = {}
    for name in traits:
        column = np.array(list(table[name].values()))
        column = np.log(column) if name != "age_share_75plus" else column
        scaled[name] = (column - column.mean()) / column.std()
    distance = np.sqrt(sum((column - column[0]) ** 2 for column in scaled.values()))
    nearest = [code for _, code in sorted(zip(distance[1:], EPCI, strict=True))][:8]
    assert found["zone_code"].tolist() == nearest
    assert found["distance"].to_numpy() == pytest.approx(np.sort(distance[1:])[:8])


def test_similar_territories_add_up_their_counts_and_take_the_middle_of_what_is_published():
    alike = pd.DataFrame({"zone_type": ["cls", *["epci"] * 3], "zone_code": ["essai", *EPCI[:3]]})
    counts = dict(zip(EPCI[:3], [10.0, 20.0, 90.0], strict=True))
    shares = rows("share", "epci", counts, people=np.array([100.0, 100.0, 300.0]) * 10, interval=False)
    medians = pd.DataFrame(
        {"indicator_id": "income", "zone_type": "epci", "zone_code": EPCI[:3], "period": "2021",
         "value": [20.0, 30.0, 22.0], "reliability": "ok"}
    )  # fmt: skip
    counted = rows("count", "epci", counts, interval=False).assign(denominator=np.nan)
    partly = rows("partly", "epci", dict.fromkeys(EPCI[:2], 10.0), interval=False)
    methods = {"share": "ratio", "income": "published", "count": "sum", "partly": "ratio"}
    values = pd.concat([shares, medians, counted, partly], ignore_index=True)
    values["method"] = values["indicator_id"].map(methods)
    values = values.assign(coverage=1.0, comparison="not_compared")
    found = similar_values(values, alike, "essai").set_index("indicator_id")
    assert found["zone_type"].unique().tolist() == ["similar"]
    assert found["value"].to_dict() == {"share": pytest.approx(100 * 120 / 5000), "income": 22}


def test_nothing_is_similar_to_a_territory_whose_structure_is_unknown():
    values = pd.DataFrame(columns=["indicator_id", "zone_type", "zone_code", "period", "value"])
    assert similar(values, AROUND).empty


def test_a_share_that_grew_between_two_censuses_is_worsening_and_says_since_when():
    now, before = country(own=300.0), rows("share", "cls", {"essai": 220.0}).assign(period="2016")
    card = indicator("share", interval="wilson")
    row = line(read([card], pd.concat([now, before])))
    assert (row["trend"], row["trend_from"], row["trend_to"], row["trend_first"]) == ("worsening", 2016, 2022, 22)
    assert row["trend_test"] == "chi2"
    near = line(read([card], pd.concat([now, before.assign(period="2019")])))
    assert (near["trend"], near["trend_test"], near["trend_from"]) == ("not_tested", "", 2019)


def test_events_of_near_years_and_published_series_have_their_own_tests():
    now = country("births", own=300.0)
    before = rows("births", "cls", {"essai": 220.0}).assign(period="2021")
    births = line(read([indicator("births", interval="byar")], pd.concat([now, before])))
    assert (births["change"], births["trend_test"]) == ("rising", "chi2")
    series = pd.concat(
        [rows("rate", "cls", {"essai": 100.0 + 5 * n}, interval=False).assign(period=str(2015 + n)) for n in range(7)]
    )
    published = indicator("rate", {"kind": "published", "value": "x@2021"}, direction="higher_is_better")
    row = line(read([published], series))
    assert (row["trend"], row["trend_test"], row["trend_slope"]) == ("improving", "mann_kendall", pytest.approx(0.5))
    short = line(read([published], series[series["period"] > "2017"]))
    assert (short["trend"], short["trend_first"]) == ("not_tested", 11.5)


def test_a_few_peers_of_a_snapshot_are_not_france():
    people = rows("pop_municipal", "epci", dict.fromkeys([f"{n:09d}" for n in range(200)], 100.0), interval=False)
    row = line(read([indicator("share", interval="wilson")], pd.concat([country(), people])))
    assert np.isnan(row["rank"])
    assert np.isnan(row["position"])
