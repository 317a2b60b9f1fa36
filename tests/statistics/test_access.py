"""Access in two steps: the toy of the specification, a dumb double loop, and what must always add up."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.errors import StatisticsError
from diagnostics.statistics.access import DECAY, two_step_access, weights_by_distance, weights_by_time

SPEED, DETOUR = 60.0, 1.0  # one kilometre a minute


def by_loops(needs, supply, minutes, steps=DECAY):
    """The two formulas, written as they are read."""

    def weight(t):
        return next((w for bound, w in steps if t <= bound), 0.0)

    ratios = []
    for j, offered in enumerate(supply):
        demand = sum(weight(minutes[i][j]) * needs[i] for i in range(len(needs)))
        ratios.append(offered / demand if demand else math.nan)
    return [
        sum(weight(minutes[i][j]) * r for j, r in enumerate(ratios) if not math.isnan(r)) for i in range(len(needs))
    ], ratios


def test_toy_of_the_specification():
    access = two_step_access([1000, 500], [4000, 1000], weights_by_time([[0, 12], [12, 0]]))
    assert access.ratios == pytest.approx([3.0, 0.857142857])
    assert access.values == pytest.approx([3.571428571, 2.857142857])
    assert access.out_of_reach == 0


def test_bounds_belong_to_the_nearer_step():
    weights = weights_by_time([[0, 10, 10.01, 15, 20, 20.01, math.nan]]).toarray()[0]
    assert weights == pytest.approx([1, 1, 2 / 3, 2 / 3, 1 / 3, 0, 0])


points = st.tuples(st.integers(0, 30_000), st.integers(0, 30_000))
worlds = st.tuples(
    st.lists(st.tuples(points, st.integers(0, 5000)), min_size=1, max_size=8),
    st.lists(st.tuples(points, st.integers(0, 9000)), min_size=1, max_size=8),
)


@given(worlds)
def test_same_as_loops_and_supply_is_shared_out_whole(world):
    places, sites = world
    needs, supply = [n for _, n in places], [s for _, s in sites]
    minutes = [[math.dist(p, s) / 1000 for s, _ in sites] for p, _ in places]
    weights = weights_by_distance([p for p, _ in places], [s for s, _ in sites], speed_kmh=SPEED, detour=DETOUR)
    access = two_step_access(needs, supply, weights)
    values, ratios = by_loops(needs, supply, minutes)
    np.testing.assert_allclose(access.values, values, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(access.ratios, ratios, rtol=1e-9)
    assert np.dot(needs, access.values) + access.out_of_reach == pytest.approx(sum(supply))


@given(worlds, st.integers(1, 500))
def test_more_supply_never_takes_access_away(world, more):
    places, sites = world
    weights = weights_by_distance([p for p, _ in places], [s for s, _ in sites], speed_kmh=SPEED, detour=DETOUR)
    supply = np.array([s for _, s in sites], dtype=float)
    needs = [n for _, n in places]
    before = two_step_access(needs, supply, weights).values
    supply[0] += more
    assert (two_step_access(needs, supply, weights).values >= before).all()


def test_detour_and_speed_are_minutes():
    # 10 km in a straight line, 13 km by road, at 52 km/h: fifteen minutes
    weights = weights_by_distance([[0, 0]], [[10_000, 0]], speed_kmh=52, detour=1.3)
    assert weights.toarray() == pytest.approx(np.array([[2 / 3]]))


def test_nobody_and_nothing():
    assert weights_by_distance([], [[0, 0]]).shape == (0, 1)
    access = two_step_access([], [10], weights_by_distance([], [[0, 0]]))
    assert len(access.values) == 0
    assert access.out_of_reach == 10


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda: two_step_access([1, -1], [1], weights_by_time([[0], [0]])), "ligne 2"),
        (lambda: two_step_access([1], [math.nan], weights_by_time([[0]])), "offre"),
        (lambda: two_step_access([1], [1], weights_by_time([[0, 0]])), "1 × 2"),
        (lambda: weights_by_time([[0]], steps=[(20, 1), (10, 0.5)]), "croissantes"),
        (lambda: weights_by_time([[0]], steps=[]), "croissantes"),
        (lambda: weights_by_distance([[0, 0]], [[0, 0]], speed_kmh=0), "vitesse"),
    ],
)
def test_refusals(call, word):
    with pytest.raises(StatisticsError, match=word):
        call()
