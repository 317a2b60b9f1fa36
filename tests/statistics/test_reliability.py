"""Flags at their thresholds, and Marshall's smoothing against a loop."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.errors import StatisticsError
from diagnostics.statistics import reliability


def test_flags_of_events():
    flags = reliability.flag_events([0, 9.9, 10, 19, 20, 500, np.nan])
    assert flags.tolist() == ["masked", "masked", "unstable", "unstable", "ok", "ok", "masked"]
    assert reliability.flag_events([500, 500], rse=[0.24, 0.23]).tolist() == ["unstable", "ok"]


def test_flags_of_the_census():
    assert reliability.flag_census([199.99, 200, np.nan, 0]).tolist() == ["masked", "ok", "masked", "masked"]


def test_worst_flag_wins_and_hides():
    flags = reliability.most_severe(["ok", "unstable", "ok"], ["ok", "ok", "masked"])
    assert flags.tolist() == ["ok", "unstable", "masked"]
    frame = pd.DataFrame({"numerator": [1.0, 2, 3], "value": [1.0, 2, 3], "method": "byar"})
    hidden = reliability.hide_masked(frame, flags)
    assert hidden.numerator.isna().tolist() == hidden.value.isna().tolist() == [False, False, True]
    assert frame.value.notna().all()
    with pytest.raises(StatisticsError, match="perhaps"):
        reliability.most_severe(["perhaps"])


@given(st.lists(st.tuples(st.integers(0, 60), st.floats(0.5, 100)), min_size=2, max_size=30))
def test_marshall_against_a_loop(rows):
    events, expected = zip(*rows, strict=True)
    mean = sum(events) / sum(expected)
    ratios = [o / e for o, e in rows]
    spread = sum(e * (r - mean) ** 2 for r, e in zip(ratios, expected, strict=True)) / sum(expected)
    spread = max(spread - mean / (sum(expected) / len(expected)), 0)
    wanted = [
        mean + (spread / (spread + mean / e) if mean else 0) * (r - mean) for r, e in zip(ratios, expected, strict=True)
    ]
    smoothed = reliability.empirical_bayes(events, expected)
    assert smoothed.tolist() == pytest.approx(wanted, rel=1e-9, abs=1e-12)
    between = (smoothed >= np.minimum(ratios, mean) - 1e-9) & (smoothed <= np.maximum(ratios, mean) + 1e-9)
    assert between.all()


def test_marshall_defined_results():
    smoothed = reliability.empirical_bayes([10, np.nan, 0, 30], [10, 10, 0, 10])
    assert np.isnan(smoothed[1])
    assert smoothed[2] == pytest.approx(40 / 20)
    with pytest.raises(StatisticsError, match="Ligne 1"):
        reliability.empirical_bayes([1, 3], [1, 0])
