"""Deprivation of communes (FDep, quintiles of population) and how unequal a territory is inside (SII, RII).

Sources: Rey et al. 2009 (FDep: first component of a population-weighted PCA of four variables); Mackenbach & Kunst 1997
(slope and relative index of inequality); Efron & Tibshirani 1993 (percentile bootstrap). See indicators.md §10.6.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from diagnostics.errors import StatisticsError
from diagnostics.statistics.inputs import check_confidence, columns, numeric, refuse, refuse_negative

FDEP_VARIABLES = ("median_income", "baccalaureate_share", "blue_collar_share", "unemployment_rate")
SIGN_VARIABLE = "unemployment_rate"
SEED = 20_090_209


@dataclass(frozen=True)
class Fdep:
    """Scores (high = deprived, population-weighted mean 0), loadings of unit length, share of variance explained."""

    scores: pd.Series
    loadings: pd.Series
    explained: float


def fdep(variables: pd.DataFrame, population: pd.Series) -> Fdep:
    """First component of the population-weighted PCA of `FDEP_VARIABLES` (one row per commune).

    Weighted means and standard deviations; sign fixed so that unemployment weighs positively. A commune with a missing
    variable (Filosofi secrecy) keeps a missing score; one without population is scored but weighs nothing. Métropole
    only: the four variables do not mean the same overseas.
    """
    missing = [name for name in FDEP_VARIABLES if name not in variables]
    if missing:
        raise StatisticsError(f"FDep : variables absentes {', '.join(missing)}. Attendu : {', '.join(FDEP_VARIABLES)}.")
    if not variables.index.equals(population.index):
        raise StatisticsError("FDep : variables et population n’ont pas les mêmes communes dans le même ordre.")
    data = np.column_stack([numeric(name, variables[name], variables.index) for name in FDEP_VARIABLES])
    persons = numeric("population", population, population.index)
    refuse_negative("population", persons, population.index)
    known = ~np.isnan(data).any(axis=1) & ~np.isnan(persons)
    weight = persons[known]
    if (weight > 0).sum() <= len(FDEP_VARIABLES):
        raise StatisticsError(f"FDep : {int((weight > 0).sum())} communes complètes et peuplées, c’est trop peu.")
    weight = weight / weight.sum()
    mean = weight @ data[known]
    spread = np.sqrt(weight @ (data[known] - mean) ** 2)
    if (spread <= 1e-12 * np.maximum(1, np.abs(mean))).any():
        flat = FDEP_VARIABLES[int(np.argmin(spread / np.maximum(1, np.abs(mean))))]
        raise StatisticsError(f"FDep : « {flat} » est identique partout, elle ne distingue aucune commune.")
    centred = (data - mean) / spread
    correlation = (centred[known] * weight[:, None]).T @ centred[known]
    values, vectors = np.linalg.eigh(correlation)
    loading = vectors[:, -1]
    loading = loading * np.sign(loading[FDEP_VARIABLES.index(SIGN_VARIABLE)] or 1)
    scores = pd.Series(np.where(known, centred @ loading, np.nan), index=variables.index, name="fdep")
    return Fdep(scores, pd.Series(loading, index=FDEP_VARIABLES), float(values[-1] / values.sum()))


def population_classes(scores: pd.Series, population: pd.Series, classes: int = 5) -> pd.Series:
    """Class 1 (lowest scores) to `classes` (highest), each holding about the same population.

    A commune goes whole to the class where the middle of its population falls; equal scores go together, as one. A
    missing score has no class (NA).
    """
    index, (score, persons) = columns(scores=scores, population=population)
    refuse_negative("population", persons, index)
    refuse(~np.isnan(score) & np.isnan(persons), index, lambda i: "population manquante pour un score connu.")
    known = ~np.isnan(score)
    total = persons[known].sum()
    result = pd.Series(pd.NA, index=index, dtype="Int64", name="class")
    if not known.any():
        return result
    if total == 0:
        raise StatisticsError("Population nulle : aucune classe de population ne peut être formée.")
    levels, level = np.unique(score[known], return_inverse=True)
    mass = np.bincount(level, weights=persons[known], minlength=len(levels))
    middle = (np.cumsum(mass) - mass / 2) / total
    place = np.minimum((middle * classes).astype(int), classes - 1) + 1
    result[known] = place[level]
    return result


def agreement(computed: pd.Series, published: pd.Series) -> dict[str, float]:
    """Rank correlation of two scores over the communes they share: `communes`, `spearman` (> 0.95, says §10.6)."""
    both = pd.concat([computed.rename("computed"), published.rename("published")], axis=1, join="inner").dropna()
    if len(both) < 3:
        raise StatisticsError(f"{len(both)} communes en commun entre le calcul et la publication : trop peu.")
    ranks = both.rank()
    return {"communes": len(both), "spearman": float(np.corrcoef(ranks["computed"], ranks["published"])[0, 1])}


def inequality(
    frame: pd.DataFrame, confidence: float = 0.95, draws: int = 999, seed: int = SEED, multiplier: float = 1
) -> pd.DataFrame:
    """Slope (SII) and relative (RII) index of inequality of each zone over its classes of deprivation.

    `frame`: one row per member unit, `zone, class` (1 = least deprived), `population, numerator, denominator`. The rate
    of each class present is regressed on its rank by population (0 = least, 1 = most deprived), weighted by population.
    SII = fitted(1) − fitted(0), in units of the rate × `multiplier`; RII = fitted(1) / fitted(0), missing when the
    fitted rate of the least deprived is not positive. Percentile bootstrap over the units, fixed seed.

    One row per zone: `sii, sii_low, sii_high, rii, rii_low, rii_high, classes, units, unequal` (the interval of the SII
    leaves zero out). Units with a missing figure or class are left out and not counted; under 3 classes nothing is
    computed (two points always make a line); intervals need 5 units.
    """
    check_confidence(confidence)
    index, (place, persons, count, total) = columns(
        **{name: frame[name] for name in ("class", "population", "numerator", "denominator")}
    )
    for name, array in (("population", persons), ("numerator", count), ("denominator", total)):
        refuse_negative(name, array, index)
    kept = ~np.isnan(np.column_stack([place, persons, count, total])).any(axis=1) & (total > 0)
    table = pd.DataFrame({"zone": frame["zone"].to_numpy(), "place": place, "n": count, "d": total, "w": persons})
    zones = pd.unique(table["zone"])
    groups = dict(tuple(table[kept].groupby("zone", sort=False)))
    rows = [_inequality_of_zone(groups.get(zone), confidence, draws, seed, multiplier) for zone in zones]
    return pd.DataFrame(rows, index=pd.Index(zones, name="zone"))


def _inequality_of_zone(units: pd.DataFrame | None, confidence, draws, seed, multiplier) -> dict[str, float]:
    names = ("sii", "sii_low", "sii_high", "rii", "rii_low", "rii_high")
    row = dict.fromkeys(names, np.nan) | {"classes": 0, "units": 0, "unequal": False}
    if units is None:
        return row
    levels, level = np.unique(units["place"], return_inverse=True)
    row |= {"classes": len(levels), "units": len(units)}
    if len(levels) < 3:
        return row
    member = np.eye(len(levels))[level]
    parts = [member * units[name].to_numpy()[:, None] for name in ("n", "d", "w")]
    row["sii"], row["rii"] = (float(found[0]) for found in _slopes(np.ones((1, len(units))), parts, multiplier))
    if len(units) < 5:
        return row
    generator = np.random.default_rng(seed)
    times = generator.multinomial(len(units), np.full(len(units), 1 / len(units)), size=draws)
    tail = 50 * (1 - confidence)
    for name, found in zip(("sii", "rii"), _slopes(times, parts, multiplier), strict=True):
        drawn = found[np.isfinite(found)]
        if len(drawn) >= 0.9 * draws and np.isfinite(row[name]):
            low, high = np.percentile(drawn, [tail, 100 - tail])
            row |= {f"{name}_low": float(low), f"{name}_high": float(high)}
    row["unequal"] = bool(row["sii_low"] > 0 or row["sii_high"] < 0)
    return row


def _slopes(times: np.ndarray, parts: list[np.ndarray], multiplier: float) -> tuple[np.ndarray, np.ndarray]:
    """(SII, RII) for each line of `times` (how often each unit is drawn): weighted least squares in closed form."""
    count, total, persons = (times @ part for part in parts)
    share = persons / persons.sum(axis=1, keepdims=True)
    rank = np.cumsum(share, axis=1) - share / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        rate = np.where(total > 0, count / total, 0.0)
        weight = np.where(total > 0, share, 0.0)
        weight = weight / weight.sum(axis=1, keepdims=True)
        rank_mean, rate_mean = (weight * rank).sum(axis=1), (weight * rate).sum(axis=1)
        gap = rank - rank_mean[:, None]
        slope = (weight * gap * rate).sum(axis=1) / (weight * gap**2).sum(axis=1)
        start = rate_mean - slope * rank_mean
        ratio = np.where(start > 0, (start + slope) / start, np.nan)
    return multiplier * slope, ratio
