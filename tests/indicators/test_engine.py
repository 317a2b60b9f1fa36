"""The engine against a dumb loop: every kind, every level, with holes, secrets and empty communes."""

import dataclasses
import datetime
import math

import numpy as np
import pandas as pd
import pytest

from diagnostics.catalog import Catalog, Indicator, Source, Theme
from diagnostics.indicators.engine import VALUE_COLUMNS, compute
from diagnostics.quality import impossible_values

NOW = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
POPULATION = {"kind": "sum", "numerator": "people@2022"}


def indicator(id_, formula, **more):
    base = {"label": id_, "short": id_, "definition": "d", "unit": "unité", "direction": "higher_is_worse"}
    return Indicator.model_validate({"id": id_, "formula": formula} | base | more)


def catalog_of(*indicators):
    indicators = [indicator("pop_municipal", POPULATION), *indicators]
    theme = Theme(theme="test", title="Essai", palette="population", indicators=indicators)
    names = {t.variable for i in indicators for t in i.formula.terms()}
    source = Source.model_validate(
        {
            "id": "essai", "title": "Essai", "producer": "P", "licence": "L", "homepage": "h", "citation": "c",
            "theme": "t", "variables": {name: {"label": name} for name in names},
            "distributions": [
                {
                    "id": "fichier", "profiles": ["mirror"], "address": "mirror://essai/f.csv", "vintage": "2022",
                    "layout": "csv",
                    "observations": [
                        {
                            "geo": [{"type": "commune", "code": "c"}], "period_column": "year",
                            "values": {name: name for name in names},
                        }
                    ],
                }
            ],
        }
    )  # fmt: skip
    return Catalog(None, {"essai": source}, {"test": theme}, {})


def facts_of(rows):
    columns = ["variable", "period", "geo_type", "geo_code", "value", "status"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(dataset_id="essai")


def members(parents):
    """{commune: epci} -> membership of commune, EPCI and France."""
    rows = []
    for commune, epci in parents.items():
        rows += [("commune", commune, t, c) for t, c in [("commune", commune), ("epci", epci), ("france", "FR")]]
    return pd.DataFrame(rows, columns=["child_type", "child_code", "parent_type", "parent_code"])


def commune(variable, code, value, status="ok", period="2022"):
    return (variable, period, "commune", code, value, status)


def run(catalog, rows, parents):
    table = compute(catalog, "mirror", [facts_of(rows)], members(parents), versions={"essai": "v1"}, computed_at=NOW)
    return table.to_pandas().set_index(["indicator_id", "zone_type", "zone_code"])


PARENTS = {"01001": "A", "01002": "A", "01003": "B"}
PEOPLE = [commune("people", "01001", 1000.0), commune("people", "01002", 3000.0), commune("people", "01003", 500.0)]


def test_columns_are_the_public_contract():
    table = compute(
        catalog_of(), "mirror", [facts_of(PEOPLE)], members(PARENTS), versions={"essai": "v1"}, computed_at=NOW
    )
    assert tuple(table.column_names) == VALUE_COLUMNS


def test_a_ratio_sums_counts_then_divides():
    old = [commune("old", "01001", 100.0), commune("old", "01002", 900.0), commune("old", "01003", 5.0)]
    ratio = indicator(
        "share", {"kind": "ratio", "numerator": "old@2022", "denominator": "people@2022", "multiplier": 100}
    )
    values = run(catalog_of(ratio), PEOPLE + old, PARENTS)
    row = values.loc[("share", "epci", "A")]
    assert (row["numerator"], row["denominator"], row["value"]) == (1000, 4000, 25)  # the mean of rates would be 20
    assert values.loc[("share", "france", "FR"), "value"] == pytest.approx(100 * 1005 / 4500)
    assert row["dataset_ids"] == "essai"
    assert row["source_version"] == "v1"


def test_terms_are_added_with_their_signs():
    rows = [commune("old", c, 10.0) for c in PARENTS] + [commune("very_old", c, 4.0) for c in PARENTS]
    ratio = indicator("gap", {"kind": "ratio", "numerator": "old@2022 - 2*very_old@2022", "denominator": "people@2022"})
    assert run(catalog_of(ratio), PEOPLE + rows, PARENTS).loc[("gap", "epci", "A"), "numerator"] == 4


def test_a_missing_member_lowers_coverage_and_withholds_below_the_limit():
    old = [commune("old", "01002", 900.0), commune("old", "01003", 5.0)]
    ratio = indicator("share", {"kind": "ratio", "numerator": "old@2022", "denominator": "people@2022"})
    values = run(catalog_of(ratio), PEOPLE + old, PARENTS)
    epci = values.loc[("share", "epci", "A")]
    assert epci["coverage"] == pytest.approx(0.75)
    assert math.isnan(epci["value"])
    assert epci["reliability"] == "incomplete"
    assert values.loc[("share", "epci", "B"), "reliability"] == "ok"


def test_a_secret_member_is_neither_zero_nor_hole():
    old = [commune("old", "01001", None, "secret"), commune("old", "01002", 900.0), commune("old", "01003", 5.0)]
    ratio = indicator("share", {"kind": "ratio", "numerator": "old@2022", "denominator": "people@2022"})
    values = run(catalog_of(ratio), PEOPLE + old, PARENTS)
    assert values.loc[("share", "commune", "01001"), "reliability"] == "masked"
    assert values.loc[("share", "epci", "A"), "reliability"] == "masked"
    assert math.isnan(values.loc[("share", "epci", "A"), "numerator"])


def test_weighted_mean_and_index_weigh_before_comparing():
    rows = [commune("apl", "01001", 2.0), commune("apl", "01002", 4.0), commune("apl", "01003", 3.0)]
    rows += [commune("apl_young", "01001", 1.0), commune("apl_young", "01002", 4.0), commune("apl_young", "01003", 3.0)]
    mean = indicator("mean", {"kind": "weighted_mean", "value": "apl@2022", "weight": "people@2022"})
    gap = indicator(
        "gap",
        {
            "kind": "index", "numerator": "apl@2022 - apl_young@2022", "denominator": "apl@2022",
            "weight": "people@2022", "multiplier": 100,
        },
    )  # fmt: skip
    values = run(catalog_of(mean, gap), PEOPLE + rows, PARENTS)
    assert values.loc[("mean", "epci", "A"), "value"] == pytest.approx((1000 * 2 + 3000 * 4) / 4000)
    assert values.loc[("gap", "epci", "A"), "value"] == pytest.approx(100 * 1000 / 14000)


def test_an_index_without_weight_compares_plain_sums():
    rows = [commune("old", c, v) for c, v in zip(PARENTS, (10.0, 30.0, 7.0), strict=True)]
    rows += [commune("young", c, v) for c, v in zip(PARENTS, (20.0, 20.0, 7.0), strict=True)]
    index = indicator("ageing", {"kind": "index", "numerator": "old@2022", "denominator": "young@2022"})
    assert run(catalog_of(index), PEOPLE + rows, PARENTS).loc[("ageing", "epci", "A"), "value"] == 100


@pytest.mark.parametrize(
    ("test", "threshold", "expected"),
    [("<=", 2.0, 25), ("<", 2.0, 0), (">", 2.0, 75), (">=", 2.0, 100), ("=", 4.0, 75), ("in", [2.0, 9.0], 25)],
)
def test_share_over_threshold_counts_people_not_communes(test, threshold, expected):
    rows = [commune("apl", "01001", 2.0), commune("apl", "01002", 4.0), commune("apl", "01003", 3.0)]
    formula = {
        "kind": "share_over_threshold", "value": "apl@2022", "test": test, "threshold": threshold,
        "population": "people@2022",
    }  # fmt: skip
    values = run(catalog_of(indicator("low", formula)), PEOPLE + rows, PARENTS)
    assert values.loc[("low", "epci", "A"), "value"] == expected


def test_a_quantile_threshold_is_the_national_one_over_people():
    codes = [f"01{n:03d}" for n in range(1, 11)]
    rows = [commune("people", c, 100.0) for c in codes]
    rows += [commune("score", c, float(n)) for n, c in enumerate(codes)]
    formula = {
        "kind": "share_over_threshold", "value": "score@2022", "test": ">", "quantile": 0.8, "population": "people@2022"
    }  # fmt: skip
    values = run(catalog_of(indicator("q5", formula)), rows, {c: "A" if n < 5 else "B" for n, c in enumerate(codes)})
    assert values.loc[("q5", "france", "FR"), "value"] == pytest.approx(20)
    assert values.loc[("q5", "epci", "B"), "value"] == pytest.approx(40)


def test_growth_is_annual_and_speaks_of_two_years():
    rows = [commune("people", c, v, period="2016") for c, v in zip(PARENTS, (800.0, 2200.0, 500.0), strict=True)]
    growth = indicator("growth", {"kind": "growth", "start": "people@2016", "end": "people@2022", "years": 6})
    row = run(catalog_of(growth), PEOPLE + rows, PARENTS).loc[("growth", "epci", "A")]
    assert row["value"] == pytest.approx(100 * ((4000 / 3000) ** (1 / 6) - 1))
    assert row["period"] == "2016-2022"


def test_published_figures_are_never_aggregated():
    rows = [commune("median", c, 20000.0) for c in PARENTS] + [("median", "2022", "epci", "A", 21500.0, "ok")]
    rows += [("median", "2022", "epci", "B", None, "secret")]
    published = indicator("income", {"kind": "published", "value": "median@2022"})
    values = run(catalog_of(published), PEOPLE + rows, PARENTS)
    assert values.loc[("income", "epci", "A"), "value"] == 21500
    assert values.loc[("income", "epci", "B"), "reliability"] == "masked"
    assert ("income", "france", "FR") not in values.index


def test_median_describes_the_communes():
    median = indicator("size", {"kind": "median", "value": "people@2022"})
    assert run(catalog_of(median), PEOPLE, PARENTS).loc[("size", "france", "FR"), "value"] == 1000


def test_census_share_under_200_people_is_masked_and_few_events_too():
    people = [commune("people", "01001", 150.0), commune("people", "01002", 3000.0), commune("people", "01003", 500.0)]
    rows = [commune("old", c, 40.0) for c in PARENTS]
    rows += [commune("births", c, v) for c, v in zip(PARENTS, (9.0, 15.0, 40.0), strict=True)]
    share = indicator(
        "share", {"kind": "ratio", "numerator": "old@2022", "denominator": "people@2022"}, secrecy="census"
    )
    rate = indicator(
        "rate", {"kind": "density", "numerator": "births@2022", "denominator": "people@2022", "multiplier": 1000},
        secrecy="small_counts", interval="byar",
    )  # fmt: skip
    values = run(catalog_of(share, rate), people + rows, PARENTS)
    assert values.loc[("share", "commune", "01001"), "reliability"] == "masked"
    assert math.isnan(values.loc[("share", "commune", "01001"), "value"])
    assert values.loc[("rate", "commune", "01001"), "reliability"] == "masked"
    assert values.loc[("rate", "commune", "01002"), "reliability"] == "unstable"
    row = values.loc[("rate", "commune", "01003")]
    assert row["reliability"] == "ok"
    assert row["ci_low"] < row["value"] < row["ci_high"]
    assert row["comparison"] == "worse"
    assert values.loc[("rate", "france", "FR"), "comparison"] == "not_compared"


def test_a_commune_without_inhabitants_does_not_spoil_its_zone():
    people = [*PEOPLE, commune("people", "01004", 0.0)]
    old = [commune("old", c, 10.0) for c in PARENTS]
    ratio = indicator("share", {"kind": "ratio", "numerator": "old@2022", "denominator": "people@2022"})
    values = run(catalog_of(ratio), people + old, PARENTS | {"01004": "A"})
    assert values.loc[("share", "epci", "A"), "reliability"] == "ok"
    assert math.isnan(values.loc[("share", "commune", "01004"), "value"])


def test_an_iris_speaks_for_itself_only():
    rows = [
        *PEOPLE,
        ("people", "2022", "iris", "010010101", 400.0, "ok"),
        ("old", "2022", "iris", "010010101", 40.0, "ok"),
    ]
    rows += [commune("old", c, 10.0) for c in PARENTS]
    membership = pd.concat(
        [members(PARENTS), pd.DataFrame([("iris", "010010101", "commune", "01001")], columns=members(PARENTS).columns)]
    )
    ratio = indicator(
        "share", {"kind": "ratio", "numerator": "old@2022", "denominator": "people@2022", "multiplier": 100}
    )
    table = compute(
        catalog_of(ratio), "mirror", [facts_of(rows)], membership, versions={}, computed_at=NOW
    ).to_pandas().set_index(["indicator_id", "zone_type", "zone_code"])  # fmt: skip
    assert table.loc[("share", "iris", "010010101"), "value"] == 10
    assert table.loc[("share", "commune", "01001"), "value"] == 1


def test_against_a_dumb_loop_on_random_communes():
    rng = np.random.default_rng(20261122)
    codes = [f"{n:05d}" for n in range(1001, 1301)]
    parents = {c: f"E{n % 7}" for n, c in enumerate(codes)}
    people = dict(zip(codes, rng.integers(0, 5000, len(codes)).astype(float), strict=True))
    old = {c: float(rng.integers(0, people[c] + 1)) for c in codes if rng.random() > 0.02}
    rows = [commune("people", c, v) for c, v in people.items()] + [commune("old", c, v) for c, v in old.items()]
    ratio = indicator(
        "share", {"kind": "ratio", "numerator": "old@2022", "denominator": "people@2022", "multiplier": 100}
    )
    values = run(catalog_of(ratio), rows, parents)
    for epci in sorted(set(parents.values())):
        numerator = denominator = covered = everyone = 0.0
        for code in codes:
            if parents[code] != epci:
                continue
            everyone += people[code]
            if code in old:
                numerator += old[code]
                denominator += people[code]
                covered += people[code]
        row = values.loc[("share", "epci", epci)]
        assert row["coverage"] == pytest.approx(covered / everyone)
        if covered / everyone >= 0.95:
            assert row["value"] == pytest.approx(100 * numerator / denominator)
        else:
            assert math.isnan(row["value"])


def test_a_context_ratio_is_summed_from_departements_and_never_copied_down():
    membership = pd.concat(
        [
            members(PARENTS),
            pd.DataFrame(
                [("commune", c, t, z) for c, d in (("01001", "01"), ("01002", "01"), ("01003", "02"))
                 for t, z in (("departement", d), ("region", "84"))],
                columns=members(PARENTS).columns,
            ),
        ]
    )  # fmt: skip
    rows = [*PEOPLE, *[("helped", "2022", "departement", d, v, "ok") for d, v in (("01", 40.0), ("02", 10.0))]]
    rows += [("elders", "2022", "departement", d, v, "ok") for d, v in (("01", 400.0), ("02", 50.0))]
    formula = {"kind": "ratio", "numerator": "helped@2022", "denominator": "elders@2022", "multiplier": 1000}
    helped = indicator("helped_rate", formula, nature="context")
    values = compute(
        catalog_of(helped), "mirror", [facts_of(rows)], membership, versions={}, computed_at=NOW
    ).to_pandas().set_index(["indicator_id", "zone_type", "zone_code"])  # fmt: skip
    assert values.loc[("helped_rate", "departement", "02"), "value"] == 200
    assert values.loc[("helped_rate", "region", "84"), "value"] == pytest.approx(1000 * 50 / 450)
    assert values.loc[("helped_rate", "france", "FR"), "reliability"] == "context"
    assert not set(values.loc["helped_rate"].index.get_level_values(0)) & {"commune", "epci", "cls"}


def test_a_masked_count_takes_another_one_with_it_so_that_no_total_gives_it_away():
    """Deaths 4 and 60 in A, 70 and 80 in B: showing 60 and the total 64 would say 4."""
    parents = {"01001": "A", "01002": "A", "01003": "B", "01004": "B"}
    deaths = dict(zip(parents, (4.0, 60.0, 70.0, 80.0), strict=True))
    rows = [commune("people", c, 5000.0) for c in parents] + [commune("deaths", c, v) for c, v in deaths.items()]
    rate = indicator(
        "rate",
        {"kind": "ratio", "numerator": "deaths@2022", "denominator": "people@2022", "multiplier": 1000},
        secrecy="events",
        interval="byar",
    )
    count = indicator("count", {"kind": "sum", "numerator": "deaths@2022"}, secrecy="events")
    values = run(catalog_of(rate, count), rows, parents)
    for name in ("rate", "count"):
        shown = values.loc[name]
        assert shown.loc[("commune", "01001"), "reliability"] == "masked"
        assert shown.loc[("commune", "01002"), "reliability"] == "masked"
        assert shown.loc[("commune", "01002"), ["numerator", "denominator", "value", "ci_low"]].isna().all()
        assert "secret secondaire" in shown.loc[("commune", "01002"), "method"]
        assert shown.loc[("commune", "01003"), "reliability"] == "ok"
        assert shown.loc[("epci", "A"), "numerator"] == 64
        assert shown.loc[("france", "FR"), "numerator"] == 214


def test_a_former_vintage_of_an_indicator_bears_its_name_and_its_own_period():
    formula = {"kind": "ratio", "numerator": "old@2022", "denominator": "people@2022", "multiplier": 100}
    former = {"kind": "ratio", "numerator": "old@2016", "denominator": "people@2022", "multiplier": 100}
    share = indicator("share", formula, earlier={"mirror": [former]})
    rows = [commune("old", c, 50.0) for c in PARENTS] + [commune("old", c, 20.0, period="2016") for c in PARENTS]
    table = compute(
        catalog_of(share), "mirror", [facts_of(PEOPLE + rows)], members(PARENTS), versions={}, computed_at=NOW
    ).to_pandas()
    france = table[(table["indicator_id"] == "share") & (table["zone_type"] == "france")].set_index("period")
    assert france["numerator"].to_dict() == {"2022": 150, "2016": 60}


@pytest.mark.parametrize("interval", ["none", "wilson"])
def test_a_share_out_of_its_bounds_is_refused_for_its_zone_alone_and_says_what_was_found(interval):
    old = dict(zip(PARENTS, (-290.0, 300.0, 600.0), strict=True))
    ratio = {"kind": "ratio", "numerator": "old@2022", "denominator": "people@2022", "multiplier": 100}
    rows = [commune("old", c, v) for c, v in old.items()]
    values = run(catalog_of(indicator("share", ratio, unit="%", interval=interval)), PEOPLE + rows, PARENTS).loc[
        "share"
    ]
    for zone, told in ((("commune", "01001"), "−29,0"), (("commune", "01003"), "120,0"), (("epci", "B"), "120,0")):
        row = values.loc[zone]
        assert row[["numerator", "denominator", "value", "ci_low", "ci_high"]].isna().all()
        assert row["reliability"] == "incomplete"
        assert told in row["method"]
    assert values.loc[("commune", "01002"), "value"] == 10
    refused = impossible_values(values.reset_index().assign(indicator_id="share"))
    assert not refused.passed
    assert set(refused.failed_rows["zone_code"]) == {"01001", "01003", "B"}


def test_a_rate_a_growth_or_a_gap_may_pass_one_hundred_but_a_count_of_events_is_never_negative():
    rows = [commune("old", c, v) for c, v in zip(PARENTS, (-290.0, 9000.0, 600.0), strict=True)]
    ratio = {"kind": "ratio", "numerator": "old@2022", "denominator": "people@2022", "multiplier": 100}
    values = run(
        catalog_of(
            indicator("gap", ratio | {"kind": "index"}, unit="%"),
            indicator("rate", ratio, unit="pour 100 habitants"),
            indicator("events", ratio, unit="pour 100 habitants", interval="byar"),
        ),
        PEOPLE + rows,
        PARENTS,
    )
    assert values.loc[("gap", "commune", "01001"), "value"] == -29
    assert values.loc[("rate", "commune", "01002"), "value"] == 300
    assert values.loc[("events", "commune", "01002"), "value"] == 300
    assert math.isnan(values.loc[("events", "commune", "01001"), "value"])


@pytest.mark.parametrize("kind", ["ratio", "growth", "weighted_mean"])
def test_what_cannot_be_enters_no_sum_and_the_zone_above_is_covered_for_less(kind):
    """A commune with fewer than no people: its EPCI, half known, is withheld; the other one is as if it were not."""
    roles = {
        "ratio": {"numerator": "old@2022", "denominator": "people@2022", "multiplier": 100},
        "growth": {"start": "people@2022", "end": "old@2022", "years": 5},
        "weighted_mean": {"value": "old@2022", "weight": "people@2022"},
    }[kind]
    parents = PARENTS | {"01004": "C", "01005": "C"}
    people = [*PEOPLE, commune("people", "01004", 10.0), commune("people", "01005", 5000.0)]
    old = dict(zip(parents, (-2.0, 30.0, 50.0, -1.0, 40.0), strict=True))
    rows = [*people, *(commune("old", c, v) for c, v in old.items())]
    values = run(catalog_of(indicator("share", {"kind": kind} | roles, unit="%")), rows, parents).loc["share"]
    assert values.loc[("commune", "01001"), "reliability"] == "incomplete"
    assert "refusé, valeur impossible" in values.loc[("commune", "01001"), "method"]
    assert values.loc[("epci", "A"), ["coverage", "reliability"]].tolist() == [0.75, "incomplete"]
    assert math.isnan(values.loc[("epci", "A"), "value"])
    without = [row for row in rows if row[2:4] != ("commune", "01004") or row[0] == "people"]
    same = run(catalog_of(indicator("share", {"kind": kind} | roles, unit="%")), without, parents).loc["share"]
    columns = ["numerator", "denominator", "value", "coverage", "reliability"]
    assert 0.95 < values.loc[("epci", "C"), "coverage"] < 1
    assert values.loc[("epci", "C"), columns].tolist() == same.loc[("epci", "C"), columns].tolist()


def test_a_negative_denominator_is_refused_whatever_the_unit_and_enters_no_sum():
    rows = PEOPLE + [commune("homes", c, v) for c, v in zip(PARENTS, (-500.0, 2000.0, 400.0), strict=True)]
    rows += [commune("old", c, 30.0) for c in PARENTS]
    ratio = {"kind": "ratio", "numerator": "old@2022", "denominator": "homes@2022"}
    values = run(catalog_of(indicator("rate", ratio, unit="par logement")), rows, PARENTS).loc["rate"]
    assert "(30,0 sur −500,0)" in values.loc[("commune", "01001"), "method"]
    assert values.loc[("commune", "01001"), ["numerator", "denominator", "value"]].isna().all()
    assert values.loc[("epci", "A"), ["coverage", "reliability"]].tolist() == [0.75, "incomplete"]
    assert values.loc[("france", "FR"), "coverage"] == pytest.approx(3500 / 4500)


@pytest.mark.parametrize("rule", ["0", "C5", "E11"])
def test_an_impossible_count_is_refused_and_not_masked_whatever_its_secrecy(rule):
    """Secrecy bears on counts: what is fewer than none is no count, and protects nobody."""
    rows = PEOPLE + [commune("old", c, v) for c, v in zip(PARENTS, (-20.0, 400.0, 60.0), strict=True)]
    ratio = {"kind": "ratio", "numerator": "old@2022", "denominator": "people@2022", "multiplier": 1000}
    catalog = catalog_of(indicator("events", ratio, unit="pour 1 000 habitants", interval="byar", secrecy="events"))
    source = catalog.sources["essai"].model_copy(update={"secrecy": rule})
    values = run(dataclasses.replace(catalog, sources={"essai": source}), rows, PARENTS).loc["events"]
    assert "refusé, valeur impossible" in values.loc[("commune", "01001"), "method"]
    assert values.loc[("commune", "01001"), "reliability"] == "incomplete"
    assert values.loc[("commune", "01002"), "value"] == pytest.approx(400 / 3)


@pytest.mark.parametrize("interval", ["none", "wilson"])
def test_a_part_of_nobody_is_refused_and_a_residue_of_decimals_is_nothing(interval):
    rows = [commune("people", c, v) for c, v in zip(PARENTS, (0.0, 3000.0, 500.0), strict=True)]
    rows += [commune("old", c, v) for c, v in zip(PARENTS, (30.0, 100.0, 0.1 + 0.2), strict=True)]
    rows += [commune("counted", c, v) for c, v in zip(PARENTS, (0.0, 0.0, 0.3 + 1e-15), strict=True)]
    ratio = {"kind": "ratio", "numerator": "old@2022 - counted@2022", "denominator": "people@2022", "multiplier": 100}
    values = run(catalog_of(indicator("share", ratio, unit="%", interval=interval)), rows, PARENTS).loc["share"]
    assert values.loc[("commune", "01001"), "method"].endswith("refusé, valeur impossible : 30,0 sur 0,0")
    assert values.loc[("commune", "01001"), ["numerator", "denominator"]].isna().all()
    assert values.loc[("commune", "01003"), "value"] == 0


# --- cities published by municipal arrondissement -------------------------------------------------------------------

CITIES = {"C1": ("C1A1", "C1A2", "C1A3"), "C2": ("C2A1", "C2A2")}


def divided_world(seed):
    """(parents, people, score): communes and two cities; a score for every commune and every arrondissement."""
    rng = np.random.default_rng(seed)
    parents = {f"{n:05d}": f"E{n % 3}" for n in range(1001, 1031)} | {"C1": "E0", "C2": "E1"}
    people = {code: float(rng.integers(1, 3000)) for code in [*parents, *CITIES["C1"], *CITIES["C2"]]}
    people |= {city: sum(people[part] for part in parts) for city, parts in CITIES.items()}
    score = {code: float(rng.integers(0, 12)) for code in people}
    for city, parts in CITIES.items():  # as the passage makes it
        score[city] = sum(score[part] * people[part] for part in parts) / people[city]
    return parents, people, score


def divided_run(parents, facts, formula):
    rows = [(variable, "2022", "district" if code in sum(CITIES.values(), ()) else "commune", code, value, "ok")
            for variable, values in facts.items() for code, value in values.items()]  # fmt: skip
    links = [("district", part, "commune", city) for city, parts in CITIES.items() for part in parts]
    membership = pd.concat([members(parents), pd.DataFrame(links, columns=members(parents).columns)])
    catalog = catalog_of(indicator("share", formula, unit="%"))
    table = compute(catalog, "mirror", [facts_of(rows)], membership, versions={}, computed_at=NOW)
    return table.to_pandas().set_index(["indicator_id", "zone_type", "zone_code"]).loc["share"]


def dumb_shares(parents, units, bound):
    """zone -> share of the people of its `units` (code -> city or itself, people, score) above `bound`."""
    shares = {}
    for zone in [("france", "FR"), *(("epci", e) for e in set(parents.values())), *(("commune", c) for c in parents)]:
        above = everyone = 0.0
        for owner, people, score in units.values():
            if zone in (("france", "FR"), ("epci", parents[owner]), ("commune", owner)):
                everyone += people
                above += people if score > bound else 0.0
        shares[zone] = 100 * above / everyone
    return shares


def dumb_bound(units, part):
    """The smallest score that at least `part` of the people do not exceed."""
    total = sum(people for _, people, _ in units.values())
    for score in sorted({score for _, _, score in units.values()}):
        if sum(people for _, people, other in units.values() if other <= score) >= part * total:
            return score
    raise AssertionError


Q5 = {"kind": "share_over_threshold", "value": "score@2022", "test": ">", "quantile": 0.8, "population": "people@2022"}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("threshold", [None, 5.0])
def test_a_city_has_the_share_of_its_arrondissements_that_pass(seed, threshold):
    parents, people, score = divided_world(seed)
    owner = {part: city for city, parts in CITIES.items() for part in parts}
    units = {c: (owner.get(c, c), people[c], score[c]) for c in people if c not in CITIES}
    bound = dumb_bound(units, 0.8) if threshold is None else threshold
    formula = Q5 if threshold is None else {**Q5, "quantile": None, "threshold": threshold}
    values = divided_run(parents, {"people": people, "score": score}, formula)
    for zone, expected in dumb_shares(parents, units, bound).items():
        row = values.loc[zone]
        assert row["value"] == pytest.approx(expected)
        assert row["coverage"] == 1
        assert row["reliability"] == "ok"
        assert row["method"] == "share_over_threshold"
    assert set(values.index.get_level_values(0)) == {"commune", "epci", "france"}


def test_a_city_published_whole_is_tested_whole():
    parents, people, score = divided_world(1)
    whole = {code: value for code, value in score.items() if code in parents}
    units = {c: (c, people[c], score[c]) for c in parents}
    values = divided_run(parents, {"people": people, "score": whole}, Q5)
    for zone, expected in dumb_shares(parents, units, dumb_bound(units, 0.8)).items():
        assert values.loc[zone, "value"] == pytest.approx(expected)


def test_people_known_for_the_whole_city_are_shared_between_its_arrondissements_and_method_says_so():
    parents, people, score = divided_world(2)
    then = {code: people[code] + 10 * n for n, code in enumerate(parents)}
    formula = {**Q5, "quantile": None, "threshold": 5.0, "population": "then@2022"}
    values = divided_run(parents, {"people": people, "then": then, "score": score}, formula)
    owner = {part: city for city, parts in CITIES.items() for part in parts}
    shared = {part: then[city] * people[part] / people[city] for part, city in owner.items()}
    units = {c: (owner.get(c, c), (then | shared)[c], score[c]) for c in people if c not in CITIES}
    for zone, expected in dumb_shares(parents, units, 5.0).items():
        assert values.loc[zone, "value"] == pytest.approx(expected)
        touched = any(zone in (("france", "FR"), ("epci", parents[city]), ("commune", city)) for city in CITIES)
        assert ("au prorata" in values.loc[zone, "method"]) == touched


def test_an_arrondissement_without_score_is_not_covered():
    parents, people, score = divided_world(3)
    people |= dict(zip(CITIES["C1"], (600.0, 300.0, 100.0), strict=True)) | {"C1": 1000.0}
    del score["C1A2"]
    city = divided_run(parents, {"people": people, "score": score}, Q5).loc[("commune", "C1")]
    assert city["coverage"] == pytest.approx(0.7)
    assert math.isnan(city["value"])
    assert city["reliability"] == "incomplete"


def test_arrondissements_that_nobody_counts_leave_their_city_unknown():
    parents, people, score = divided_world(4)
    whole = {code: value for code, value in people.items() if code in parents}
    values = divided_run(parents, {"people": whole, "score": score}, {**Q5, "quantile": None, "threshold": 5.0})
    for city in CITIES:
        assert values.loc[("commune", city), "reliability"] == "incomplete"
        assert math.isnan(values.loc[("commune", city), "value"])
    assert values.loc[("epci", "E2"), "reliability"] == "ok"
