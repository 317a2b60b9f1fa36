"""Do neighbours look alike? Moran's I for the whole, local Moran (LISA) for the places, on rates made comparable.

Weights: queen contiguity, row-standardised; a zone without neighbour (an island, or one whose neighbours are all
missing) is tied to its 6 nearest. Contiguity and rates are PySAL's (`libpysal`, `esda`); local draws are made here,
because a correction over 2 000 zones needs 100 times more of them than `esda` draws in the same time. Compute on the
département and its neighbours, show inside. Sources: Moran 1950; Anselin 1995; Assunção & Reis 1999; Benjamini &
Hochberg 1995.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING

import geopandas
import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from diagnostics.errors import StatisticsError
from diagnostics.statistics.comparison import benjamini_hochberg
from diagnostics.statistics.inputs import columns, refuse, refuse_negative

if TYPE_CHECKING:
    from libpysal.graph import Graph

NEAREST = 6
PERMUTATIONS = 999
DRAWS = 99_999
"""Local tests are many: after correction, the first of 2 000 zones must pass p = 0.000025."""
TIE = 1e-9
SEED = 19_950_601
MINIMUM_ZONES = 20


@dataclass(frozen=True)
class Neighbours:
    """Queen contiguity of a set of zones: their index, pairs of touching positions (both ways), a point in each."""

    index: pd.Index
    pairs: np.ndarray
    points: np.ndarray

    def graph(self, kept: np.ndarray) -> Graph:
        """Row-standardised graph of the zones where `kept` is True, the isolated tied to their 6 nearest."""
        from libpysal.graph import Graph  # noqa: PLC0415 - see `neighbours`

        place = np.cumsum(kept) - 1
        inside = self.pairs[kept[self.pairs].all(axis=1)]
        pairs = place[inside]
        size = int(kept.sum())
        alone = np.setdiff1d(np.arange(size), pairs[:, 0])
        if len(alone):
            points = self.points[kept]
            near = cKDTree(points).query(points[alone], k=min(NEAREST + 1, size))[1]
            extra = np.array([(zone, other) for zone, row in zip(alone, near, strict=True) for other in row])
            pairs = np.concatenate([pairs, extra[extra[:, 0] != extra[:, 1]]])
        pairs = pairs[np.lexsort((pairs[:, 1], pairs[:, 0]))]
        return Graph.from_arrays(pairs[:, 0], pairs[:, 1], np.ones(len(pairs))).transform("r")


def neighbours(boundaries: geopandas.GeoSeries) -> Neighbours:
    """Queen contiguity (a shared point is enough) of polygons indexed by zone code, in metres (EPSG:2154)."""
    if boundaries.crs is None or boundaries.crs.is_geographic:
        raise StatisticsError("Contours en degrés ou sans projection : donnez-les en Lambert-93 (EPSG:2154).")
    refuse(boundaries.index.duplicated(), boundaries.index, lambda i: "zone en double.")
    refuse((boundaries.isna() | boundaries.is_empty).to_numpy(), boundaries.index, lambda i: "contour absent.")
    # Slow to load: code that only declares who computes what does not pay for it.
    from libpysal.graph import Graph  # noqa: PLC0415

    inside = boundaries.representative_point()
    with warnings.catch_warnings():
        # Isolated zones are expected and mended in `graph`.
        warnings.simplefilter("ignore")
        contiguity = Graph.build_contiguity(boundaries.reset_index(drop=True), rook=False, strict=True)
    links = contiguity.adjacency
    pairs = links.index.to_frame().to_numpy()[links.to_numpy() > 0]
    return Neighbours(boundaries.index, pairs, np.column_stack([inside.x, inside.y]))


@dataclass(frozen=True)
class Moran:
    """Global I, what chance alone would give, two-sided permutation p-value, and the number of zones used."""

    value: float
    expected: float
    p_value: float
    zones: int


def comparable_rates(events, population) -> pd.Series:
    """Rates standardised by their empirical Bayes variance (Assunção & Reis): small zones no longer look extreme.

    Missing events or population, or an empty zone, stay missing.
    """
    from esda.smoothing import assuncao_rate  # noqa: PLC0415 - see `neighbours`

    index, (count, total) = columns(events=events, population=population)
    refuse_negative("events", count, index)
    refuse_negative("population", total, index)
    known = ~np.isnan(count) & (total > 0)
    standard = np.full(len(index), np.nan)
    if known.any() and count[known].sum() > 0:
        standard[known] = assuncao_rate(count[known], total[known])
    return pd.Series(standard, index=index, name="comparable_rate")


def moran(values: pd.Series, near: Neighbours, permutations: int = PERMUTATIONS, seed: int = SEED) -> Moran:
    """Global Moran's I of values indexed like `near`, missing zones left out. For rates: `comparable_rates` first."""
    _, standard, graph = _prepared(values, near)
    weights = graph.sparse
    size = len(standard)
    value = standard @ (weights @ standard) / (standard @ standard)
    generator = np.random.default_rng(seed)
    drawn = np.array([_shuffled(standard, weights, generator) for _ in range(permutations)])
    expected = -1 / (size - 1)
    extreme = (np.abs(drawn - expected) >= abs(value - expected)).sum()
    return Moran(float(value), expected, float(extreme + 1) / (permutations + 1), size)


def lisa(
    values: pd.Series,
    near: Neighbours,
    draws: int = DRAWS,
    alpha: float = 0.05,
    seed: int = SEED,
) -> pd.DataFrame:
    """Local Moran of each zone, false discoveries controlled. For rates, give `comparable_rates`.

    Index of `values`: `standard` (z-score), `lag` (mean z-score of its neighbours), `local_i`, `p_value` (two-sided, by
    conditional draws: never under 2/(draws + 1)), `p_adjusted` (Benjamini-Hochberg), `cluster`:
    `high_high | low_low | high_low | low_high | not_significant`, and `not_tested` for a missing value.
    """
    known, standard, graph = _prepared(values, near)
    counts = graph.cardinalities.to_numpy()
    lag = graph.sparse @ standard
    p_value = _conditional(standard, lag * counts, counts, draws, np.random.default_rng(seed))
    frame = pd.DataFrame(np.nan, index=values.index, columns=["standard", "lag", "local_i", "p_value", "p_adjusted"])
    frame.loc[known, "standard"] = standard
    frame.loc[known, "lag"] = lag
    # As `esda`: z-scores divide by n, the moment that the product is divided by, by n − 1.
    frame.loc[known, "local_i"] = standard * lag * (len(standard) - 1) / len(standard)
    frame.loc[known, "p_value"] = p_value
    frame["p_adjusted"] = benjamini_hochberg(frame["p_value"])
    side = np.char.add(np.where(standard > 0, "high_", "low_"), np.where(lag > 0, "high", "low")).astype(object)
    cluster = np.full(len(frame), "not_tested", dtype=object)
    cluster[known] = np.where(frame.loc[known, "p_adjusted"] <= alpha, side, "not_significant")
    return frame.assign(cluster=cluster)


def _conditional(
    standard: np.ndarray, totals: np.ndarray, counts: np.ndarray, draws: int, generator: np.random.Generator
) -> np.ndarray:
    """Two-sided p-value of each zone's sum over its neighbours, were they any `counts` of the other zones.

    One set of draws serves all zones: the first k of a row are a draw of k zones, and the rows that hold the zone
    itself among them are set aside for it. What equals the observed sum counts on both sides: where most values are
    alike (zeros), a sum that chance gives every other time is no discovery.
    """
    drawn = _distinct(len(standard), counts.max(), draws, generator)
    sums = np.cumsum(standard[drawn], axis=1)
    at_least, at_most = np.empty(len(standard)), np.empty(len(standard))
    for k in np.unique(counts):
        mine, ranked = counts == k, np.sort(sums[:, k - 1])
        at_least[mine] = draws - np.searchsorted(ranked, totals[mine] - TIE)
        at_most[mine] = np.searchsorted(ranked, totals[mine] + TIE, side="right")
    rows, columns = np.nonzero(np.arange(drawn.shape[1]) < counts[drawn])
    self_drawn = drawn[rows, columns]
    theirs, observed = sums[rows, counts[self_drawn] - 1], totals[self_drawn]
    aside = np.bincount(self_drawn, minlength=len(standard))
    at_least -= np.bincount(self_drawn, theirs >= observed - TIE, minlength=len(standard))
    at_most -= np.bincount(self_drawn, theirs <= observed + TIE, minlength=len(standard))
    return np.minimum(2 * (np.minimum(at_least, at_most) + 1) / (draws - aside + 1), 1.0)


def _distinct(size: int, count: int, draws: int, generator: np.random.Generator) -> np.ndarray:
    """`draws` rows of `count` different positions under `size`, in random order."""
    drawn = np.empty((count, draws), dtype=np.int32)
    for column in range(count):
        drawn[column] = generator.integers(0, size, draws)
        left = np.arange(draws)
        while len(left):
            twice = np.zeros(len(left), dtype=bool)
            for before in drawn[:column]:
                twice |= before[left] == drawn[column, left]
            left = left[twice]
            drawn[column, left] = generator.integers(0, size, len(left))
    return drawn.T


def _prepared(values: pd.Series, near: Neighbours):
    """(known rows, their z-scores, their graph); refused when too few or all alike."""
    if not values.index.equals(near.index):
        raise StatisticsError("Valeurs et voisinages n’ont pas les mêmes zones dans le même ordre : alignez-les.")
    _, (array,) = columns(values=values)
    known = ~np.isnan(array)
    if known.sum() < MINIMUM_ZONES:
        raise StatisticsError(f"{int(known.sum())} zones avec une valeur : {MINIMUM_ZONES} au moins sont nécessaires.")
    spread = array[known].std()
    if spread <= 1e-12 * max(1.0, np.abs(array[known]).max()):
        raise StatisticsError("Valeur identique partout : il n’y a pas de ressemblance à mesurer.")
    return known, (array[known] - array[known].mean()) / spread, near.graph(known)


def _shuffled(standard: np.ndarray, weights, generator: np.random.Generator) -> float:
    drawn = generator.permutation(standard)
    return drawn @ (weights @ drawn) / (drawn @ drawn)
