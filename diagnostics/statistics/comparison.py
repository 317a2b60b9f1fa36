"""Better, similar, worse: against a benchmark, over time, within France, and among similar territories.

Sources: indicators.md §0 (benchmarks); OHID Fingertips (a value differs from its benchmark when its interval leaves it
out; chi-squared test for trend); Benjamini & Hochberg 1995; Armitage 1955; Klein, Wright & Wieczorek 2020 (ranks).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from scipy import special
from scipy.spatial import cKDTree

from diagnostics.errors import StatisticsError
from diagnostics.statistics.inputs import check_confidence, columns, refuse, refuse_negative

SERIES = 5
"""Vintages of a published series under which its trend is not tested."""
DIRECTIONS = ("higher_is_worse", "higher_is_better", "neutral")
VERDICTS = np.array(["not_compared", "worse", "better", "similar"], dtype=object)


def compare(value, ci_low, ci_high, benchmark, direction, *, p_adjusted=None, alpha: float = 0.05) -> np.ndarray:
    """`better | similar | worse | not_compared` per row: is the benchmark outside the interval, and on which side?

    `benchmark` and `direction` (`higher_is_worse | higher_is_better | neutral`) may be scalars. Not compared: no value,
    no interval, no benchmark, or a neutral indicator. A benchmark equal to a bound is inside: `similar`. With
    `p_adjusted` (see `benjamini_hochberg`) a difference also needs p_adjusted <= alpha where that p-value is known.
    """
    index, (centre, low, high, target) = columns(value=value, ci_low=ci_low, ci_high=ci_high, benchmark=benchmark)
    refuse(low > high, index, lambda i: f"intervalle renversé [{low[i]:g} ; {high[i]:g}].")
    sense = _directions(direction)
    above, below = low > target, high < target
    if p_adjusted is not None:
        _, (_, p_value) = columns(value=value, p_adjusted=p_adjusted)
        significant = np.isnan(p_value) | (p_value <= alpha)
        above, below = above & significant, below & significant
    worse = np.where(sense == "higher_is_worse", above, below)
    better = np.where(sense == "higher_is_worse", below, above)
    unknown = np.isnan(centre) | np.isnan(low) | np.isnan(high) | np.isnan(target) | (sense == "neutral")
    return VERDICTS[np.select([unknown, worse, better], [0, 1, 2], 3)]


def proportion_test(numerator, denominator, benchmark) -> np.ndarray:
    """Two-sided p-value of the score test of a proportion against `benchmark` (share, 0–1): the test Wilson inverts."""
    index, (count, total, target) = columns(numerator=numerator, denominator=denominator, benchmark=benchmark)
    refuse_negative("numerator", count, index)
    refuse(count > total * (1 + 1e-9), index, lambda i: "le numérateur dépasse le dénominateur.")
    refuse((target < 0) | (target > 1), index, lambda i: f"valeur de référence {target[i]:g} : une part de 0 à 1.")
    with np.errstate(divide="ignore", invalid="ignore"):
        z = (count / total - target) / np.sqrt(target * (1 - target) / total)
    # Against 0 or 1 the test has no variance: equality is certain, any difference is impossible by chance.
    z = np.where((total > 0) & (count / np.where(total > 0, total, 1) == target), 0.0, z)
    return 2 * special.ndtr(-np.abs(z))


def poisson_test(events, expected) -> np.ndarray:
    """Two-sided exact p-value of a count against `expected` events (benchmark rate × denominator)."""
    index, (count, mean) = columns(events=events, expected=expected)
    refuse_negative("events", count, index)
    refuse_negative("expected", mean, index)
    at_most = special.gammaincc(count + 1, mean)
    at_least = np.where(count > 0, special.gammainc(np.where(count > 0, count, 1), mean), 1.0)
    p_value = np.minimum(2 * np.minimum(at_most, at_least), 1.0)
    return np.where(np.isnan(count) | np.isnan(mean), np.nan, p_value)


def benjamini_hochberg(p_values) -> np.ndarray:
    """Adjusted p-values (step-up false discovery rate); missing p-values stay missing and are not counted as tests."""
    index, (p_value,) = columns(p_values=p_values)
    refuse((p_value < 0) | (p_value > 1), index, lambda i: f"p = {p_value[i]:g} n’est pas une probabilité.")
    adjusted = np.full(p_value.shape, np.nan)
    known = np.flatnonzero(~np.isnan(p_value))
    order = known[np.argsort(p_value[known], kind="stable")]
    scaled = p_value[order] * len(order) / np.arange(1, len(order) + 1)
    adjusted[order] = np.minimum(np.minimum.accumulate(scaled[::-1])[::-1], 1.0)
    return adjusted


def trend(
    table: pd.DataFrame,
    direction: str,
    kind: str = "rate",
    confidence: float = 0.95,
    minimum_gap: int = 1,
) -> pd.DataFrame:
    """Trend of each zone over its vintages: chi-squared test for linear trend (Cochran-Armitage), 2 vintages or more.

    `table` (long): `zone, period` (year, number), `numerator, denominator`. `kind` is `proportion` (binomial variance)
    or `rate` (Poisson variance). Index of the result: zone; columns `periods, first, last` (values per 1),
    `slope` (per year), `p_value`, `change` (`rising|falling|stable|not_tested`), `trend`
    (`improving|worsening|stable|not_tested`), `method`. Vintages nearer than `minimum_gap` years to the one before are
    dropped from the most recent backwards (census cycles overlap: give 5). Not tested: fewer than 2 usable vintages, or
    no event at all. Missing or empty vintages are left out, never read as zero.
    """
    check_confidence(confidence)
    if kind not in ("rate", "proportion"):
        raise StatisticsError(f"Nature « {kind} » inconnue : « rate » ou « proportion » est attendu.")
    index, (period, count, total) = columns(
        period=table["period"], numerator=table["numerator"], denominator=table["denominator"]
    )
    refuse_negative("numerator", count, index)
    refuse_negative("denominator", total, index)
    if kind == "proportion":
        refuse(count > total * (1 + 1e-9), index, lambda i: "le numérateur dépasse le dénominateur.")
    rows = pd.DataFrame({"zone": table["zone"].to_numpy(), "x": period, "count": count, "total": total})
    refuse(
        rows.duplicated(["zone", "x"]).to_numpy(),
        index,
        lambda i: f"le millésime {period[i]:g} de « {rows['zone'][i]} » paraît deux fois.",
    )
    zones = pd.Index(rows["zone"].unique(), name="zone")
    rows = rows[(rows["total"] > 0) & rows["count"].notna()].sort_values(["zone", "x"], ascending=[True, False])
    rows = rows[_spaced(rows, minimum_gap)]
    rows["value"] = rows["count"] / rows["total"]
    groups = rows.groupby("zone", sort=False)
    # Score test: T = Σ(x − x̄)(O − E) with E the events expected without trend; Var(T) = p(1 − p)·Σn(x − x̄)².
    everyone = groups[["count", "total"]].transform("sum")
    rows["centred"] = rows["x"] - (rows["x"] * rows["total"]).groupby(rows["zone"]).transform("sum") / everyone["total"]
    rows["score"] = rows["centred"] * rows["count"]
    rows["spread"] = rows["centred"] ** 2 * rows["total"]
    sums = rows.groupby("zone", sort=False)[["count", "total", "score", "spread"]].sum().reindex(zones)
    pooled = sums["count"] / sums["total"]
    variance = pooled * (1 - pooled if kind == "proportion" else 1) * sums["spread"]
    testable = (variance > 0).to_numpy()
    z = (sums["score"] / np.sqrt(variance.where(testable))).to_numpy()
    p_value = 2 * special.ndtr(-np.abs(z))
    slope = sums["score"] / sums["spread"].where(testable)
    change = change_of(slope, p_value, 1 - confidence)
    return pd.DataFrame(
        {
            "periods": groups.size().reindex(zones, fill_value=0),
            "first": groups["value"].last().reindex(zones),
            "last": groups["value"].first().reindex(zones),
            "slope": slope,
            "p_value": p_value,
            "change": change,
            "trend": trend_marker(change, direction),
            "method": f"chi2_trend_{kind}",
        },
        index=zones,
    )


def series_trend(period, value) -> dict[str, float]:
    """Mann-Kendall test of a published series without counts: `slope` (Theil-Sen, per year) and `p_value`.

    Kendall's tau of the values against time, exact when no two are equal and the series is short; it asks nothing of
    their distribution. Missing values are left out; under `SERIES` vintages nothing is tested (NaN): with four, even a
    steady climb has one chance in twelve of being luck.
    """
    _, (year, level) = columns(period=period, value=value)
    known = ~np.isnan(year) & ~np.isnan(level)
    year, level = year[known], level[known]
    if len(year) < SERIES:
        return {"slope": np.nan, "p_value": np.nan}
    if (level == level[0]).all():
        return {"slope": 0.0, "p_value": 1.0}
    first, second = np.triu_indices(len(year), 1)
    years, change = year[second] - year[first], level[second] - level[first]
    apart = years != 0
    return {
        "slope": float(np.median(change[apart] / years[apart])),
        "p_value": _kendall(np.sign(years) * np.sign(change), [year, level]),
    }


EXACT_SERIES = 33
"""Values of a series up to which the chances of Kendall's tau are counted rather than approached."""


def _kendall(agreements: np.ndarray, ranked: Sequence[np.ndarray]) -> float:
    """Two-sided p-value of Kendall's tau. `agreements`: 1, 0 or -1 for each pair of observations; `ranked`: the two
    variables, whose ties enter the variance (Kendall, Rank Correlation Methods, 1970)."""
    n, pairs = len(ranked[0]), len(agreements)
    against = int((agreements < 0).sum())
    ties = [np.unique(variable, return_counts=True)[1].astype(float) for variable in ranked]
    if n <= EXACT_SERIES and all((t == 1).all() for t in ties):
        fewest = min(against, pairs - against)
        if 2 * fewest == pairs:
            return 1.0
        # The share of the orders of n values with k inversions: each value adds 0 to its rank of them, all as likely.
        chances = np.ones(1)
        for rank in range(2, n + 1):
            chances = np.convolve(chances, np.full(rank, 1 / rank))
        return float(min(2 * chances[: fewest + 1].sum(), 1.0))
    (x0, x1, x2), (y0, y1, y2) = (
        ((t * (t - 1) / 2).sum(), (t * (t - 1) * (t - 2)).sum(), (t * (t - 1) * (2 * t + 5)).sum()) for t in ties
    )
    m = n * (n - 1)
    variance = (m * (2 * n + 5) - x2 - y2) / 18 + 2 * x0 * y0 / m + x1 * y1 / (9 * m * (n - 2))
    return float(special.erfc(abs(agreements.sum()) / np.sqrt(2 * variance)))


def change_of(slope, p_value, alpha: float = 0.05) -> np.ndarray:
    """`rising | falling | stable | not_tested` from a slope and its p-value, adjusted or not; missing: not tested."""
    index, (rise, chance) = columns(slope=slope, p_value=p_value)
    refuse((chance < 0) | (chance > 1), index, lambda i: f"p = {chance[i]:g} n’est pas une probabilité.")
    tested = ~np.isnan(rise) & ~np.isnan(chance)
    moving = tested & (chance <= alpha)
    conditions = [~tested, moving & (rise > 0), moving & (rise < 0)]
    return np.select(conditions, ["not_tested", "rising", "falling"], "stable").astype(object)


def trend_marker(change, direction) -> np.ndarray:
    """A change read by the direction of the indicator: `improving | worsening | stable | not_tested`.

    A neutral indicator moves without being better or worse for it: `not_tested`.
    """
    moved = np.asarray(change, dtype=object)
    sense = _directions(direction)
    good = np.where(sense == "higher_is_worse", "falling", "rising")
    marker = np.where(np.isin(moved, ["rising", "falling"]), np.where(moved == good, "improving", "worsening"), moved)
    return np.where(sense == "neutral", "not_tested", marker).astype(object)


def rank_within(value, ci_low, ci_high, direction: str) -> pd.DataFrame:
    """Rank of each row among all (1 = best), with the ranks its interval allows: `rank, rank_low, rank_high, ranked`.

    A zone is surely behind those whose whole interval is better than its own, and surely ahead of those whose whole
    interval is worse: rank_low = 1 + surely better, rank_high = n − surely worse. Ties share the mean rank. For
    `neutral` rank 1 is the highest value. Rows without value are not ranked; without interval the value stands alone.
    """
    index, (centre, low, high) = columns(value=value, ci_low=ci_low, ci_high=ci_high)
    sign = 1.0 if _directions(direction) == "higher_is_worse" else -1.0
    low, high = np.where(np.isnan(low), centre, low), np.where(np.isnan(high), centre, high)
    low, high = (sign * low, sign * high) if sign > 0 else (sign * high, sign * low)
    known = ~np.isnan(centre)
    count = int(known.sum())
    frame = pd.DataFrame({"rank": (sign * pd.Series(centre)).rank().to_numpy()}, index=index)
    frame["rank_low"] = np.where(known, 1 + np.searchsorted(np.sort(high[known]), low, side="left"), np.nan)
    frame["rank_high"] = np.where(known, np.searchsorted(np.sort(low[known]), high, side="right"), np.nan)
    frame["ranked"] = count
    return frame


def similar_territories(
    structure: pd.DataFrame,
    weights: dict[str, float],
    count: int = 10,
    logarithmic: tuple[str, ...] = (),
) -> pd.DataFrame:
    """The `count` zones of nearest structure for each zone: weighted Euclidean distance on standardised variables.

    `structure`: one row per zone (index = code), one column per variable; `weights` names the variables used (size,
    density, ageing, income…) and their weight; those in `logarithmic` are taken in log first (they must be positive).
    Long result: `zone, position` (1 = nearest), `similar, distance`, so that the list can be shown. Zones with a
    missing variable are neither compared nor proposed. Ties follow the order of codes.
    """
    names = list(weights)
    missing = [name for name in (*names, *logarithmic) if name not in structure]
    if missing or not names or not all(weight > 0 for weight in weights.values()):
        raise StatisticsError(
            f"Territoires similaires : variables absentes {missing}, ou poids non positifs {weights}. "
            f"Colonnes disponibles : {', '.join(map(str, structure.columns))}."
        )
    if structure.index.has_duplicates:
        raise StatisticsError(f"Zone en double : {structure.index[structure.index.duplicated()][0]}.")
    data = structure[names].astype(float).dropna().sort_index()
    for name in logarithmic:
        refuse(data[name].to_numpy() <= 0, data.index, lambda i, name=name: f"« {name} » doit être positif.")
        data[name] = np.log(data[name])
    if len(data) <= count:
        raise StatisticsError(f"{len(data)} zones comparables pour {count} territoires similaires demandés.")
    spread = data.std(ddof=0)
    if (spread == 0).any():
        raise StatisticsError(f"« {spread.index[spread == 0][0]} » est identique partout : elle ne distingue rien.")
    points = ((data - data.mean()) / spread * np.sqrt(pd.Series(weights))).to_numpy()
    distance, near = cKDTree(points).query(points, k=count + 1)
    # Coincident zones can push the zone itself out of first place: put it first, then keep the next ones.
    own = near == np.arange(len(data))[:, None]
    own[~own.any(axis=1), -1] = True
    keep = np.argsort(own, axis=1, kind="stable")[:, :count]
    distance, near = np.take_along_axis(distance, keep, 1), np.take_along_axis(near, keep, 1)
    codes = data.index.to_numpy()
    return pd.DataFrame(
        {
            "zone": np.repeat(codes, count),
            "position": np.tile(np.arange(1, count + 1), len(data)),
            "similar": codes[near.ravel()],
            "distance": distance.ravel(),
        }
    )


def _directions(direction) -> np.ndarray:
    """One word, or one per row, held to be known."""
    sense = np.asarray(direction, dtype=object)
    unknown = sorted(set(map(str, pd.unique(sense.ravel()))) - set(DIRECTIONS))
    if unknown:
        raise StatisticsError(f"Sens inconnu : {', '.join(unknown)}. Mots admis : {', '.join(DIRECTIONS)}.")
    return sense


def _spaced(rows: pd.DataFrame, minimum_gap: int) -> np.ndarray:
    """Keep, zone by zone and from the newest back, the vintages at least `minimum_gap` years apart."""
    keep = np.ones(len(rows), dtype=bool)
    if minimum_gap <= 1:
        return keep
    zone, last = None, np.inf
    for position, (code, year) in enumerate(zip(rows["zone"], rows["x"], strict=True)):
        if code != zone:
            zone, last = code, np.inf
        keep[position] = last - year >= minimum_gap
        if keep[position]:
            last = year
    return keep
