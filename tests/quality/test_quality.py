"""Warnings of quality, each against a dumb count of what it must find."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics import quality
from diagnostics.catalog import load_catalog
from diagnostics.catalog.models import Source


def facts(*rows):
    """rows: (variable, geo_type, geo_code, period, value or None)."""
    columns = ["variable", "geo_type", "geo_code", "period", "value"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(status=frame["value"].notna().map({True: "ok", False: "missing"}))


def source(**variables):
    blocks = [{"geo": [{"type": "commune", "code": "c"}], "period": "2022", "values": dict.fromkeys(variables, "v")}]
    return Source.model_validate({
        "id": "jeu", "title": "Jeu", "producer": "Insee", "licence": "LO", "homepage": "x", "citation": "x",
        "theme": "x", "variables": {name: {"label": name, "carry": carry} for name, carry in variables.items()},
        "distributions": [{"id": "d", "profiles": ["mirror"], "address": "mirror://jeu/f", "vintage": "1",
                           "layout": "csv", "observations": blocks}],
    })  # fmt: skip


def communes(variable, period, values):
    return [(variable, "commune", f"54{n:03d}", period, value) for n, value in enumerate(values, start=1)]


@settings(deadline=None, max_examples=40)
@given(st.lists(st.one_of(st.none(), st.integers(0, 9)), min_size=1, max_size=60).filter(any))
def test_coverage_counts_missing_values(values):
    result = quality.coverage(facts(*communes("v", "2022", values)))
    assert result.passed is (sum(v is None for v in values) / len(values) <= quality.MISSING_SHARE)


def test_a_period_never_published_is_not_a_hole():
    rows = facts(*communes("v", "2021", [None] * 10), *communes("v", "2022", [1] * 10))
    assert quality.coverage(rows).passed
    assert not quality.coverage(facts(*communes("v", "2021", [None] * 10))).passed


def test_continuity_sees_zones_that_leave_and_levels_that_jump():
    steady = facts(*communes("v", "2021", [10] * 20), *communes("v", "2022", [11] * 20))
    assert quality.continuity(steady).passed
    gone = facts(*communes("v", "2021", [10] * 20), *communes("v", "2022", [10] * 15))
    assert not quality.continuity(gone).passed
    jump = quality.continuity(facts(*communes("v", "2021", [10] * 20), *communes("v", "2022", [30] * 20)))
    assert jump.failed_rows["évolution"].tolist() == [2.0]
    # Over ten years the same change is a slow one.
    assert quality.continuity(facts(*communes("v", "2012", [10] * 20), *communes("v", "2022", [30] * 20))).passed


def test_an_outlier_is_a_zone_out_of_the_movement_of_the_others():
    before = [100 + n for n in range(50)]
    after = [v + (n % 5) - 2 for n, v in enumerate(before)]
    assert quality.outliers(facts(*communes("v", "2021", before), *communes("v", "2022", after))).passed
    after[7] = 900
    found = quality.outliers(facts(*communes("v", "2021", before), *communes("v", "2022", after)))
    assert found.failed_rows["geo_code"].tolist() == ["54008"]


def test_only_stocks_are_reconciled_with_totals():
    rows = facts(
        *communes("stock", "2022", [10, 20]), ("stock", "france", "FR", "2022", 31.0),
        *communes("taux", "2022", [10, 20]), ("taux", "france", "FR", "2022", 15.0),
    )  # fmt: skip
    found = quality.reconciliation(source(stock="sum", taux="keep"), rows)
    assert found.failed_rows["variable"].tolist() == ["stock"]
    rows.loc[rows["geo_type"].eq("france") & rows["variable"].eq("stock"), "value"] = 30.0
    assert quality.reconciliation(source(stock="sum", taux="keep"), rows).passed


def agreement(level="departement", **more):
    members = [{"variable": "a", "period": "2022", "geo_type": "commune"},
               {"variable": "b", "period": "2021", "geo_type": "commune"} | more]  # fmt: skip
    return quality.Agreement.model_validate(
        {"id": "accord", "title": "Accord", "level": level, "tolerance": 0.01, "members": members}
    )


def test_sources_are_held_against_each_other_by_departement():
    declared = agreement()
    rows = [
        ("a", "commune", "54001", "2022", 100.0), ("a", "commune", "57001", "2022", 50.0),
        ("b", "commune", "54001", "2021", 100.5), ("b", "commune", "57001", "2021", 60.0),
    ]  # fmt: skip
    found = quality.agreement(declared, declared.members, facts(*rows))
    assert not found.passed
    assert found.failed_rows["zone"].tolist() == ["57"]


def test_arrondissements_are_not_counted_twice():
    declared = agreement()
    rows = [("a", "commune", "75056", "2022", 30.0), ("b", "commune", "75101", "2021", 10.0),
            ("b", "commune", "75102", "2021", 20.0), ("b", "commune", "75056", "2021", 30.0)]  # fmt: skip
    assert quality.agreement(declared, declared.members, facts(*rows)).passed
    assert quality.agreement(declared, declared.members, facts(*rows[:-1])).passed


def test_one_source_alone_has_nothing_to_agree_with():
    declared = agreement()
    assert quality.agreement(declared, declared.members[:1], facts()).passed


def test_sums_of_levels_against_france():
    rows = [("n", "2022", "commune", "1", 4.0), ("n", "2022", "commune", "2", 6.0), ("n", "2022", "region", "44", 9.0),
            ("n", "2022", "france", "FR", 10.0)]  # fmt: skip
    values = pd.DataFrame(rows, columns=["indicator_id", "period", "zone_type", "zone_code", "value"]).assign(
        coverage=1.0
    )
    found = quality.sums_of_zones(values, ["n"])
    assert found.failed_rows["niveau"].tolist() == ["region"]
    assert quality.sums_of_zones(values[values["zone_type"].ne("region")], ["n"]).passed


def test_benchmarks_are_compared_with_the_last_copy_only_at_equal_period():
    columns = ["indicator_id", "zone_type", "zone_code", "period", "value"]
    last = pd.DataFrame([("n", "france", "FR", "2022", 100.0), ("m", "france", "FR", "2021", 1.0)], columns=columns)
    now = pd.DataFrame([("n", "france", "FR", "2022", 130.0), ("m", "france", "FR", "2022", 9.0)], columns=columns)
    found = quality.against_last_time(now, last)
    assert found.failed_rows["indicator_id"].tolist() == ["n"]
    assert quality.against_last_time(now, None).passed


def test_outlines_missing_and_in_excess():
    found = quality.outline_counts({"commune": {"1", "2"}}, {"commune": {"2", "3"}})
    assert set(found.failed_rows["code"]) == {"1", "3"}
    assert quality.outline_counts({"commune": {"1"}}, {"commune": {"1"}}).passed


@pytest.mark.parametrize("declared", quality.load_agreements(), ids=lambda a: a.id)
def test_the_agreements_of_the_house_name_known_variables(declared):
    catalog = load_catalog()
    known = {v for s in catalog.sources.values() for v in s.variables}
    assert set(quality.variables_of(declared.members)) <= known
    assert any(len(quality.comparable(declared, catalog, p)) >= 2 for p in ("embedded", "mirror", "official"))
