"""Better, similar, worse; trend; ranks; neighbours: against dumb loops and scipy."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from diagnostics.errors import StatisticsError
from diagnostics.statistics import comparison
from diagnostics.statistics.rates import wilson


@pytest.mark.parametrize(
    ("low", "high", "benchmark", "direction", "word"),
    [
        (1, 2, 0.5, "higher_is_worse", "worse"),
        (1, 2, 2.5, "higher_is_worse", "better"),
        (1, 2, 0.5, "higher_is_better", "better"),
        (1, 2, 2.5, "higher_is_better", "worse"),
        (1, 2, 2, "higher_is_better", "similar"),
        (1, 2, 0.5, "neutral", "not_compared"),
        (np.nan, np.nan, 0.5, "higher_is_worse", "not_compared"),
        (1, 2, np.nan, "higher_is_worse", "not_compared"),
    ],
)
def test_interval_and_direction_decide(low, high, benchmark, direction, word):
    assert comparison.compare([1.5], [low], [high], benchmark, direction)[0] == word


def test_direction_by_row_and_false_discoveries():
    words = comparison.compare([3, 3, 3], [2, 2, 2], [4, 4, 4], 1, "higher_is_worse", p_adjusted=[0.01, 0.2, np.nan])
    assert list(words) == ["worse", "similar", "worse"]
    words = comparison.compare([3, 3], [2, 2], [4, 4], [1, 1], ["higher_is_worse", "higher_is_better"])
    assert list(words) == ["worse", "better"]
    with pytest.raises(StatisticsError, match="Sens inconnu : up"):
        comparison.compare([1], [0], [2], 1, "up")
    with pytest.raises(StatisticsError, match="renversé"):
        comparison.compare([1], [2], [0], 1, "neutral")


@given(st.lists(st.one_of(st.floats(0, 1), st.just(float("nan"))), min_size=1, max_size=30))
def test_benjamini_hochberg_against_scipy(p_values):
    adjusted = comparison.benjamini_hochberg(p_values)
    known = ~np.isnan(p_values)
    assert np.isnan(adjusted[~known]).all()
    if known.any():
        expected = stats.false_discovery_control(np.array(p_values)[known])
        assert adjusted[known] == pytest.approx(expected, abs=1e-12)


def test_p_values_against_scipy():
    assert comparison.poisson_test(12, 7.3)[0] == pytest.approx(2 * stats.poisson.sf(11, 7.3), abs=1e-12)
    assert comparison.poisson_test(2, 7.3)[0] == pytest.approx(2 * stats.poisson.cdf(2, 7.3), abs=1e-12)
    z = (0.3 - 0.2) / np.sqrt(0.2 * 0.8 / 50)
    assert comparison.proportion_test(15, 50, 0.2)[0] == pytest.approx(2 * stats.norm.sf(z), abs=1e-12)
    assert comparison.proportion_test([0, 1], [50, 50], 0).tolist() == [1.0, 0.0]


@given(st.integers(1, 200), st.integers(0, 200), st.floats(0.02, 0.98))
def test_score_test_and_wilson_agree(total, count, benchmark):
    """The Wilson interval leaves out exactly the benchmarks its test rejects."""
    count = min(count, total)
    row = wilson(count, total).iloc[0]
    p_value = comparison.proportion_test(count, total, benchmark)[0]
    if abs(p_value - 0.05) > 1e-9:
        assert (p_value < 0.05) == (not row.ci_low <= benchmark <= row.ci_high)


def series(zone, periods, numerators, denominators):
    return pd.DataFrame({"zone": zone, "period": periods, "numerator": numerators, "denominator": denominators})


def test_trend_of_two_vintages_is_the_test_of_two_proportions():
    table = series("54431", [2017, 2022], [100, 150], [1000, 1100])
    row = comparison.trend(table, "higher_is_worse", "proportion").loc["54431"]
    chi2 = stats.chi2_contingency([[100, 900], [150, 950]], correction=False)
    assert row.p_value == pytest.approx(chi2.pvalue, rel=1e-9)
    assert (row.change, row.trend, row.periods) == ("rising", "worsening", 2)
    assert row.slope == pytest.approx((150 / 1100 - 0.1) / 5)


def test_trend_against_a_loop_of_cochran_and_armitage():
    years, counts, totals = [2012, 2016, 2021, 2022], [30, 24, 21, 15], [500, 510, 480, 490]
    p, mean = sum(counts) / sum(totals), sum(x * n for x, n in zip(years, totals, strict=True)) / sum(totals)
    score = sum((x - mean) * (o - n * p) for x, o, n in zip(years, counts, totals, strict=True))
    variance = p * (1 - p) * sum(n * (x - mean) ** 2 for x, n in zip(years, totals, strict=True))
    table = series("x", years, counts, totals)
    row = comparison.trend(table, "higher_is_worse", "proportion").loc["x"]
    assert row.p_value == pytest.approx(2 * stats.norm.sf(abs(score) / variance**0.5), rel=1e-9)
    rate = comparison.trend(table, "higher_is_better", "rate").loc["x"]
    assert rate.p_value == pytest.approx(2 * stats.norm.sf(abs(score) / (variance / (1 - p)) ** 0.5), rel=1e-9)
    assert rate.trend in ("worsening", "stable")


def test_trend_defined_results():
    table = pd.concat(
        [
            series("alone", [2022], [5], [10]),
            series("never", [2017, 2022], [0, 0], [10, 10]),
            series("masked", [2017, 2022], [np.nan, 4], [10, 10]),
            series("empty", [2017, 2022], [0, 4], [0, 10]),
            series("overlapping", [2017, 2021, 2022], [1, 9, 1], [100, 100, 100]),
        ]
    )
    frame = comparison.trend(table, "higher_is_worse", minimum_gap=5)
    assert frame.change.tolist() == ["not_tested"] * 4 + ["stable"]
    assert frame.periods.tolist() == [1, 2, 1, 1, 2]
    assert comparison.trend(table, "neutral").trend.unique().tolist() == ["not_tested"]
    with pytest.raises(StatisticsError, match="deux fois"):
        comparison.trend(series("x", [2022, 2022], [1, 2], [5, 5]), "neutral")


@given(
    st.lists(st.tuples(st.floats(-10, 10), st.floats(0, 3), st.floats(0, 3)), min_size=1, max_size=25),
    st.sampled_from(["higher_is_worse", "higher_is_better"]),
)
def test_ranks_against_a_loop(rows, direction):
    value = np.array([row[0] for row in rows])
    low, high = value - [row[1] for row in rows], value + [row[2] for row in rows]
    frame = comparison.rank_within(value, low, high, direction)
    for i, row in enumerate(frame.itertuples()):
        if direction == "higher_is_worse":
            ahead, behind = (high < low[i]).sum(), (low > high[i]).sum()
            better, ties = (value < value[i]).sum(), (value == value[i]).sum()
        else:
            ahead, behind = (low > high[i]).sum(), (high < low[i]).sum()
            better, ties = (value > value[i]).sum(), (value == value[i]).sum()
        assert (row.rank_low, row.rank_high) == (1 + ahead, len(rows) - behind)
        assert row.rank == better + (ties + 1) / 2
        assert row.rank_low <= row.rank <= row.rank_high


def test_a_zone_without_value_has_no_rank():
    frame = comparison.rank_within([1, np.nan, 2], [0.5, np.nan, np.nan], [1.5, np.nan, np.nan], "higher_is_worse")
    assert frame["rank"].tolist()[0::2] == [1, 2]
    assert frame.iloc[1][["rank", "rank_low", "rank_high"]].isna().all()
    assert frame.ranked.tolist() == [2, 2, 2]


def test_similar_territories_against_a_loop():
    generator = np.random.default_rng(1)
    frame = pd.DataFrame(
        {"population": generator.lognormal(9, 1, 40), "age": generator.normal(20, 3, 40)},
        index=[f"2000{i:05}" for i in range(40)],
    )
    frame.iloc[7, 1] = np.nan
    weights = {"population": 2.0, "age": 1.0}
    table = comparison.similar_territories(frame, weights, count=5, logarithmic=("population",))
    data = frame.dropna().assign(population=lambda f: np.log(f.population))
    scores = (data - data.mean()) / data.std(ddof=0)
    for zone in data.index:
        distance = {
            other: sum(w * (scores.loc[zone, name] - scores.loc[other, name]) ** 2 for name, w in weights.items())
            ** 0.5
            for other in data.index
            if other != zone
        }
        nearest = sorted(distance, key=distance.get)[:5]
        rows = table[table.zone == zone]
        assert rows.similar.tolist() == nearest
        assert rows.distance.tolist() == pytest.approx([distance[code] for code in nearest], abs=1e-12)
    assert frame.index[7] not in set(table.zone) | set(table.similar)


def test_twins_do_not_list_themselves():
    frame = pd.DataFrame({"size": [1.0, 1, 1, 1, 5]}, index=list("abcde"))
    table = comparison.similar_territories(frame, {"size": 1}, count=2)
    assert (table.zone != table.similar).all()
    assert (table.groupby("zone").size() == 2).all()


def test_similar_territories_refuse_nonsense():
    frame = pd.DataFrame({"size": [1.0, 2, 3], "flat": 1.0}, index=list("abc"))
    with pytest.raises(StatisticsError, match="absentes"):
        comparison.similar_territories(frame, {"density": 1}, count=1)
    with pytest.raises(StatisticsError, match="identique partout"):
        comparison.similar_territories(frame, {"flat": 1}, count=1)
    with pytest.raises(StatisticsError, match="3 zones comparables"):
        comparison.similar_territories(frame, {"size": 1}, count=3)
    with pytest.raises(StatisticsError, match="Ligne a"):
        comparison.similar_territories(frame - 1, {"size": 1}, count=1, logarithmic=("size",))


@given(
    years=st.lists(st.integers(1950, 2050), min_size=5, max_size=40, unique=True).map(sorted),
    data=st.data(),
)
def test_a_published_series_is_tested_as_scipy_does(years, data):
    """Short ones without ties are counted exactly, the others approached: both rules are scipy's too."""
    levels = st.integers(0, 5) if data.draw(st.booleans()) else st.integers(0, 10**9)
    level = data.draw(st.lists(levels, min_size=len(years), max_size=len(years)))
    found = comparison.series_trend(years, level)
    if len(set(level)) == 1:
        assert found == {"slope": 0.0, "p_value": 1.0}
        return
    assert found["p_value"] == pytest.approx(stats.kendalltau(years, level).pvalue, abs=1e-12)
    assert found["slope"] == pytest.approx(stats.theilslopes(level, years).slope)
