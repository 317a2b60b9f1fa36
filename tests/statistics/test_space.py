"""Moran's I and LISA against double loops; islands, missing zones and refusals."""

from __future__ import annotations

import esda
import geopandas
import numpy as np
import pandas as pd
import pytest
from shapely.geometry import box

from diagnostics.errors import StatisticsError
from diagnostics.statistics import space


def grid(side=8, islands=0):
    cells = [box(x, y, x + 1, y + 1) for x in range(side) for y in range(side)]
    cells += [box(50 + 3 * i, 0, 51 + 3 * i, 1) for i in range(islands)]
    return geopandas.GeoSeries(cells, index=[f"z{i:03}" for i in range(len(cells))], crs=2154)


def touching(boundaries):
    """Dumb queen contiguity of unit squares."""
    corners = [tuple(map(round, shape.bounds[:2])) for shape in boundaries]
    return {
        i: [j for j, b in enumerate(corners) if i != j and max(abs(a[0] - b[0]), abs(a[1] - b[1])) == 1]
        for i, a in enumerate(corners)
    }


def test_global_and_local_moran_against_double_loops():
    boundaries = grid()
    values = pd.Series(np.random.default_rng(1).normal(size=64), index=boundaries.index)
    values += np.arange(64) / 16
    near = space.neighbours(boundaries)
    around = touching(boundaries)
    z = [(value - values.mean()) / values.std(ddof=0) for value in values]
    lag = [sum(z[j] for j in around[i]) / len(around[i]) for i in range(64)]
    found = space.moran(values, near)
    assert found.value == pytest.approx(
        sum(a * b for a, b in zip(z, lag, strict=True)) / sum(a * a for a in z), abs=1e-9
    )
    assert found.expected == -1 / 63
    assert found.p_value == 0.001
    assert found.zones == 64
    local = space.lisa(values, near)
    assert local.lag.tolist() == pytest.approx(lag, abs=1e-9)
    # esda divides by the sum of squares over n − 1.
    assert local.local_i.tolist() == pytest.approx([a * b * 63 / 64 for a, b in zip(z, lag, strict=True)], abs=1e-9)
    for row in local.itertuples():
        if row.cluster != "not_significant":
            words = row.cluster.split("_")
            assert words == ["high" if row.standard > 0 else "low", "high" if row.lag > 0 else "low"]
            assert row.p_adjusted <= 0.05


@pytest.mark.filterwarnings("ignore:The alternative hypothesis:DeprecationWarning")
def test_local_p_values_against_a_loop_of_permutations_and_against_esda():
    boundaries = grid(6, islands=1)
    values = pd.Series(np.random.default_rng(6).normal(size=37) + np.arange(37) / 12, index=boundaries.index)
    near = space.neighbours(boundaries)
    found = space.lisa(values, near, draws=19_999)
    z = ((values - values.mean()) / values.std(ddof=0)).to_numpy()
    around = touching(boundaries)
    middle = boundaries.representative_point()
    around[36] = np.argsort(middle.iloc[:36].distance(middle.iloc[36]).to_numpy())[:6]
    generator = np.random.default_rng(7)
    for zone in (0, 8, 21, 35, 36):
        others, observed = np.delete(z, zone), sum(z[j] for j in around[zone])
        sums = np.array([generator.permutation(others)[: len(around[zone])].sum() for _ in range(4_000)])
        p_value = min(1, 2 * (min((sums >= observed).sum(), (sums <= observed).sum()) + 1) / 4_001)
        assert found.p_value.iloc[zone] == pytest.approx(p_value, abs=0.04), zone
    graph = near.graph(np.full(37, True))
    pysal = esda.Moran_Local(values.to_numpy(), graph, permutations=9_999, seed=1, n_jobs=1)
    assert found.local_i.tolist() == pytest.approx(pysal.Is.tolist(), abs=1e-9)
    folded = np.minimum((pysal.sim >= pysal.Is).sum(axis=0), (pysal.sim <= pysal.Is).sum(axis=0))
    assert found.p_value.to_numpy() == pytest.approx(np.minimum(1, 2 * (folded + 1) / 10_000), abs=0.04)


def test_zeros_amid_zeros_are_no_discovery():
    boundaries = grid(20)
    rare = pd.Series(np.where(np.arange(400) % 97 == 0, 1.0, 0.0), index=boundaries.index)
    assert set(space.lisa(rare, space.neighbours(boundaries)).cluster) == {"not_significant"}


def test_two_halves_are_two_clusters_and_noise_is_none():
    boundaries = grid(10)
    near = space.neighbours(boundaries)
    halves = pd.Series(np.where(np.arange(100) < 50, 0.0, 1.0), index=boundaries.index)
    halves += np.random.default_rng(2).normal(0, 0.01, 100)
    # On the rim a zone has too few neighbours to be anything but luck: look at those that have eight.
    clusters = space.lisa(halves, near).cluster.to_numpy().reshape(10, 10)[:, 1:9]
    assert set(clusters[1:4].ravel()) == {"low_low"}
    assert set(clusters[6:9].ravel()) == {"high_high"}
    noise = pd.Series(np.random.default_rng(3).normal(size=100), index=boundaries.index)
    assert (space.lisa(noise, near).cluster != "not_significant").sum() <= 2
    assert space.moran(noise, near).p_value > 0.05


def test_the_same_seed_gives_the_same_map():
    boundaries = grid()
    near = space.neighbours(boundaries)
    values = pd.Series(np.random.default_rng(4).normal(size=64), index=boundaries.index)
    pd.testing.assert_frame_equal(space.lisa(values, near), space.lisa(values, near))
    assert space.moran(values, near) == space.moran(values, near)


def test_an_island_looks_at_its_six_nearest():
    boundaries = grid(5, islands=1)
    values = pd.Series(np.arange(26.0), index=boundaries.index)
    found = space.lisa(values, space.neighbours(boundaries))
    z = (values - values.mean()) / values.std(ddof=0)
    middle = boundaries.representative_point()
    nearest = middle.iloc[:25].distance(middle.iloc[25]).nsmallest(6).index
    assert found.lag.iloc[25] == pytest.approx(z[nearest].mean())


def test_a_missing_zone_is_out_of_its_neighbours_means():
    boundaries = grid(6)
    values = pd.Series(np.arange(36.0), index=boundaries.index)
    values.iloc[7] = np.nan
    found = space.lisa(values, space.neighbours(boundaries))
    assert found.cluster.iloc[7] == "not_tested"
    assert found.iloc[7, :5].isna().all()
    z = (values - values.mean()) / values.std(ddof=0)
    around = [j for j in touching(boundaries)[0] if j != 7]
    assert found.lag.iloc[0] == pytest.approx(z.iloc[around].mean())


def test_comparable_rates_against_a_loop():
    events, people = [30, 25, 25, 15, 33, 21, 30, 20], [100, 100, 110, 90, 100, 90, 110, 90]
    b = sum(events) / sum(people)
    s2 = sum(n * (o / n - b) ** 2 for o, n in zip(events, people, strict=True)) / sum(people)
    a = s2 - b / (sum(people) / len(people))
    wanted = [(o / n - b) / (a + b / n if a + b / n > 0 else b / n) ** 0.5 for o, n in zip(events, people, strict=True)]
    assert space.comparable_rates(events, people).tolist() == pytest.approx(wanted, rel=1e-9)


def test_comparable_rates_defined_results():
    found = space.comparable_rates([5, np.nan, 0, 7], [100, 100, 0, 150])
    assert found.isna().tolist() == [False, True, True, False]
    assert space.comparable_rates([0, 0], [10, 10]).isna().all()
    with pytest.raises(StatisticsError, match="Ligne 0 : « events » est négatif"):
        space.comparable_rates([-1], [10])


def test_refusals():
    boundaries = grid()
    near = space.neighbours(boundaries)
    flat = pd.Series(1.0, index=boundaries.index)
    with pytest.raises(StatisticsError, match="identique partout"):
        space.lisa(flat, near)
    with pytest.raises(StatisticsError, match="19 zones avec une valeur"):
        space.moran(flat.where(np.arange(64) < 19), near)
    with pytest.raises(StatisticsError, match="même ordre"):
        space.lisa(flat.iloc[::-1], near)
    with pytest.raises(StatisticsError, match="Lambert-93"):
        space.neighbours(boundaries.set_crs(4326, allow_override=True))
    with pytest.raises(StatisticsError, match="Ligne z001 : contour absent"):
        space.neighbours(boundaries.mask(boundaries.index == "z001"))
