"""Intervals against the vectors of the catalogue, against scipy row by row, and as properties."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import optimize, stats

from diagnostics.errors import StatisticsError
from diagnostics.statistics import rates

Z95 = stats.norm.ppf(0.975)
FRAME = ["value", "ci_low", "ci_high", "statistic", "method"]


def close(left, right, tolerance=1e-9):
    assert left == pytest.approx(right, rel=tolerance, abs=tolerance, nan_ok=True)


def loop_wilson(count, total, z):
    p = count / total
    middle, half = p + z * z / (2 * total), z * math.sqrt(p * (1 - p) / total + z * z / (4 * total * total))
    return (middle - half) / (1 + z * z / total), (middle + half) / (1 + z * z / total)


def loop_byar(count, confidence=0.95):
    if count < 10:
        tail = (1 - confidence) / 2
        low = stats.chi2.ppf(tail, 2 * count) / 2 if count else 0.0
        return low, stats.chi2.ppf(1 - tail, 2 * count + 2) / 2
    z = stats.norm.ppf(0.5 + confidence / 2)
    up = count + 1
    return (
        count * (1 - 1 / (9 * count) - z / (3 * math.sqrt(count))) ** 3,
        up * (1 - 1 / (9 * up) + z / (3 * math.sqrt(up))) ** 3,
    )


# The vectors printed in the indicator catalogue, §10.4: (count, low, high) to their four printed decimals.
@pytest.mark.parametrize(
    ("count", "low", "high", "method"),
    [
        (10, 4.7874, 18.3915, "byar"),
        (25, 16.1743, 36.9065, "byar"),
        (100, 81.3621, 121.6279, "byar"),
        (0, 0, 3.6889, "poisson_exact"),
        (1, 0.0253, 5.5716, "poisson_exact"),
        (5, 1.6235, 11.6683, "poisson_exact"),
        (9, 4.1154, 17.0848, "poisson_exact"),
    ],
)
def test_printed_vectors_of_counts(count, low, high, method):
    row = rates.byar(count, 1).iloc[0]
    assert (round(row.ci_low, 4), round(row.ci_high, 4), row.method) == (low, high, method)
    close([row.ci_low, row.ci_high], list(loop_byar(count)))


@pytest.mark.parametrize(
    ("count", "total", "low", "high"),
    [(81, 263, 0.2553, 0.3662), (15, 148, 0.0624, 0.1605), (0, 20, 0, 0.1611), (1, 29, 0.0061, 0.1718)],
)
def test_printed_vectors_of_proportions(count, total, low, high):
    row = rates.wilson(count, total).iloc[0]
    assert (round(row.ci_low, 4), round(row.ci_high, 4)) == (low, high)
    close([row.ci_low, row.ci_high], list(loop_wilson(count, total, Z95)))


def test_printed_vector_of_dobson():
    row = rates.dobson([2, 8, 30], [4000, 3000, 1000], [0.5, 0.3, 0.2]).iloc[0]
    assert (round(row.value, 1), round(row.ci_low, 3), round(row.ci_high, 3)) == (705.0, 498.113, 966.990)
    count, value = 40, sum(w * o / n for w, o, n in zip((0.5, 0.3, 0.2), (2, 8, 30), (4000, 3000, 1000), strict=True))
    spread = sum(w * w * o / n / n for w, o, n in zip((0.5, 0.3, 0.2), (2, 8, 30), (4000, 3000, 1000), strict=True))
    low, high = loop_byar(count)
    expected = [value + math.sqrt(spread / count) * (bound - count) for bound in (low, high)]
    close([row.ci_low, row.ci_high], [1e5 * bound for bound in expected])


def test_printed_vector_of_the_mortality_ratio():
    expected = 4000 * 0.0004 + 3000 * 0.002 + 1000 * 0.025
    row = rates.byar(40, expected, 100).iloc[0]
    assert round(expected, 1) == 32.6
    assert (round(row.value, 2), round(row.ci_low, 2), round(row.ci_high, 2)) == (122.70, 87.65, 167.09)


def test_gamma_interval_without_weights_is_the_exact_poisson_interval():
    """With one band the method of Fay and Feuer must give back the exact interval of a count."""
    row = rates.gamma_fay_feuer([7], [1000], [1], multiplier=1).iloc[0]
    low, high = loop_byar(7)
    close([row.ci_low, row.ci_high], [low / 1000, high / 1000])


def test_gamma_interval_against_its_formula():
    w, o, n = np.array([0.5, 0.3, 0.2]), np.array([2, 8, 30]), np.array([4000, 3000, 1000])
    y, v, k = (w * o / n).sum(), (w**2 * o / n**2).sum(), (w / n).max()
    row = rates.gamma_fay_feuer(o, n, w, multiplier=1).iloc[0]
    close(row.ci_low, v / (2 * y) * stats.chi2.ppf(0.025, 2 * y * y / v))
    close(row.ci_high, (v + k * k) / (2 * (y + k)) * stats.chi2.ppf(0.975, 2 * (y + k) ** 2 / (v + k * k)))


def test_exact_interval_solves_its_own_definition():
    """P(X >= 6 | low) = P(X <= 6 | high) = 2.5 %, found by a root search and not by the chi-squared law."""
    row = rates.poisson_exact(6, 1).iloc[0]
    close(row.ci_low, optimize.brentq(lambda mean: stats.poisson.sf(5, mean) - 0.025, 0.1, 6, xtol=1e-13))
    close(row.ci_high, optimize.brentq(lambda mean: stats.poisson.cdf(6, mean) - 0.025, 6, 40, xtol=1e-13))


def test_student_mean_against_scipy():
    sample = np.array([3.1, 4.5, 2.2, 6.0, 5.1])
    row = rates.student_mean(sample.mean(), sample.std(ddof=1), sample.size, confidence=0.9).iloc[0]
    low, high = stats.t.interval(0.9, sample.size - 1, sample.mean(), stats.sem(sample))
    close([row.ci_low, row.ci_high], [low, high])
    assert np.isnan(rates.student_mean(3.0, 0.0, 1).ci_low.iloc[0])


@given(
    st.lists(st.tuples(st.floats(0, 1e6), st.floats(0, 1), st.sampled_from([1, 100])), min_size=1, max_size=20),
    st.floats(0.01, 0.999),
)
def test_wilson_contains_its_value_and_agrees_with_a_loop(rows, confidence):
    total = np.array([row[0] for row in rows]) + 1
    count = total * np.array([row[1] for row in rows])
    frame = rates.wilson(count, total, 100, confidence)
    assert list(frame.columns) == FRAME
    assert ((frame.ci_low <= frame.value) & (frame.value <= frame.ci_high)).all()
    assert ((frame.ci_low >= 0) & (frame.ci_high <= 100)).all()
    z = stats.norm.ppf(0.5 + confidence / 2)
    for row, o, n in zip(frame.itertuples(), count, total, strict=True):
        low, high = loop_wilson(o, n, z)
        close([row.ci_low, row.ci_high], [100 * max(low, 0), 100 * min(high, 1)], 1e-7)


@given(
    st.lists(st.tuples(st.floats(0, 1e5), st.floats(0.1, 1e7)), min_size=1, max_size=20),
    st.floats(0.01, 0.999),
    st.sampled_from([rates.byar, rates.poisson_exact]),
)
def test_count_intervals_contain_their_value(rows, confidence, method):
    events, population = np.array(rows).T
    frame = method(events, population, 1e5, confidence)
    assert np.isfinite(frame[["value", "ci_low", "ci_high"]].to_numpy()).all()
    assert ((frame.ci_low <= frame.value) & (frame.value <= frame.ci_high) & (frame.ci_low >= 0)).all()


@given(st.integers(0, 1000), st.integers(1, 10_000), st.floats(0.5, 100))
def test_scaling_population_and_events_leaves_the_rate(events, population, factor):
    one, more = (rates.byar(events * k, population * k).value.iloc[0] for k in (1, factor))
    close(one, more)


@given(st.permutations(range(6)))
def test_order_of_rows_does_not_matter(order):
    frame = pd.DataFrame({"n": [0, 3, 9, 10, 55.5, np.nan], "d": [10, 0, 30, 40, 60, 70.0]}, index=list("abcdef"))
    direct = rates.byar(frame.n, frame.d)
    shuffled = frame.iloc[list(order)]
    pd.testing.assert_frame_equal(rates.byar(shuffled.n, shuffled.d), direct.iloc[list(order)])


@pytest.mark.parametrize("method", [rates.wilson, rates.byar, rates.poisson_exact])
def test_missing_and_empty_have_a_defined_result(method):
    count = pd.Series([pd.NA, 0, 3, 2], index=["38151", "55039", "57463", "54431"], dtype="Float64")
    total = pd.Series([10, 0, np.nan, 4], index=count.index)
    frame = method(count, total)
    assert frame.index.equals(count.index)
    assert frame.iloc[:3][["value", "ci_low", "ci_high"]].isna().all(axis=None)
    assert frame.iloc[3].value == 0.5
    assert frame[["statistic", "method"]].notna().all(axis=None)


@pytest.mark.parametrize(
    ("count", "total", "words"),
    [
        ([1, -2], [5, 5], ["Ligne 55545", "négatif"]),
        ([1, 2], [5, -5], ["Ligne 55545", "négatif"]),
        ([1, 9], [5, 5], ["Ligne 55545", "dépasse"]),
        ([1, math.inf], [5, 5], ["Ligne 55545", "infini"]),
        ([1, "s"], [5, 5], ["Ligne 55545", "« s »", "secret"]),
    ],
)
def test_bad_rows_are_refused_by_name(count, total, words):
    index = ["55001", "55545"]
    with pytest.raises(StatisticsError) as refusal:
        rates.wilson(pd.Series(count, index=index), pd.Series(total, index=index))
    assert all(word in str(refusal.value) for word in words)


def test_columns_that_do_not_match_are_refused():
    with pytest.raises(StatisticsError, match="index diffère"):
        rates.wilson(pd.Series([1], index=["a"]), pd.Series([2], index=["b"]))
    with pytest.raises(StatisticsError, match="même longueur"):
        rates.wilson([1, 2, 3], [2, 3])
    with pytest.raises(StatisticsError, match="mêmes zones ou les mêmes tranches"):
        rates.dobson([1, 2, 3], [10, 20], [1, 1, 1])
    with pytest.raises(StatisticsError, match="Population type"):
        rates.dobson([1, 2], [10, 20], [0, 0])
    with pytest.raises(StatisticsError, match="tranche 1 : « events » vaut -2"):
        rates.dobson([1, -2], [10, 20], [1, 1])


@pytest.mark.parametrize("confidence", [0, 1, 95])
def test_confidence_is_a_share(confidence):
    with pytest.raises(StatisticsError, match="Niveau de confiance"):
        rates.byar(1, 2, confidence=confidence)


@pytest.mark.parametrize("method", [rates.dobson, rates.gamma_fay_feuer])
def test_an_empty_or_masked_band_leaves_no_rate(method):
    frame = method([[1, 20], [np.nan, 20], [0, 0]], [[0, 100], [50, 100], [50, 100]], [1, 1])
    assert frame.value.isna().tolist() == [True, True, False]
    assert frame.value.iloc[2] == 0
