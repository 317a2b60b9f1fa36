"""Proportions, rates and means with their confidence intervals, vectorised over columns.

Every function takes scalars, arrays or Series of one length (n rows) and returns a frame of n rows, same index:
`value, ci_low, ci_high` (float, times `multiplier`), `statistic` (what is measured) and `method` (the interval used).

Defined results: a missing count or denominator gives a missing value and interval; a zero denominator too (an empty
zone has no rate); `statistic` and `method` are always kept. Counts may be decimal: the census is weighted.
Refused with the row's name (StatisticsError): negative or infinite input, text, a numerator over its denominator.

Sources: indicators.md §10.4; Wilson 1927; Breslow & Day 1987 (Byar); Dobson et al. 1991; Fay & Feuer 1997.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy import special

from diagnostics.errors import StatisticsError
from diagnostics.statistics.inputs import (
    ROUNDING,
    check_confidence,
    check_multiplier,
    columns,
    numeric,
    refuse,
    refuse_negative,
    row_name,
)

EXACT_BELOW = 10
"""Under this many events Byar's approximation gives way to the exact Poisson interval."""


def wilson(numerator, denominator, multiplier: float = 1.0, confidence: float = 0.95) -> pd.DataFrame:
    """Proportion with Wilson's score interval; `multiplier=100` for a percentage. Always within [0, multiplier]."""
    check_confidence(confidence)
    check_multiplier(multiplier)
    index, (count, total) = columns(numerator=numerator, denominator=denominator)
    refuse_negative("numerator", count, index)
    refuse_negative("denominator", total, index)
    refuse(
        count > total * (1 + ROUNDING) + ROUNDING,
        index,
        lambda i: (
            f"le numérateur ({count[i]:g}) dépasse le dénominateur ({total[i]:g}). Une part est au plus égale à 1."
        ),
    )
    z = normal_quantile(confidence)
    total = np.where(total > 0, total, np.nan)
    share = np.minimum(count / total, 1.0)
    middle = share + z**2 / (2 * total)
    half = z * np.sqrt(share * (1 - share) / total + (z / (2 * total)) ** 2)
    scale = 1 + z**2 / total
    return result(
        index,
        multiplier * share,
        # Algebra puts the bounds around the value and within [0, 1]; rounding of the last digit must not undo it.
        (
            multiplier * np.clip((middle - half) / scale, 0, share),
            multiplier * np.clip((middle + half) / scale, share, 1),
        ),
        "percentage" if multiplier == 100 else _per("proportion", multiplier),
        "wilson",
    )


def byar(events, denominator, multiplier: float = 1.0, confidence: float = 0.95, statistic="rate") -> pd.DataFrame:
    """Rate (or ratio to expected events) with Byar's interval; exact Poisson under 10 events, and `method` says so.

    `denominator` is a population, person-years, or expected events (then `multiplier=100` gives an ICM).
    """
    index, (count, total) = _counts(events, denominator, multiplier, confidence)
    low, high = byar_limits(count, confidence)
    method = np.where(count < EXACT_BELOW, "poisson_exact", "byar")
    return result(index, *_divided(count, low, high, total, multiplier), _per(statistic, multiplier), method)


def poisson_exact(
    events, denominator, multiplier: float = 1.0, confidence: float = 0.95, statistic="rate"
) -> pd.DataFrame:
    """Rate with the exact Poisson (chi-squared) interval whatever the count."""
    index, (count, total) = _counts(events, denominator, multiplier, confidence)
    low, high = poisson_limits(count, confidence)
    return result(index, *_divided(count, low, high, total, multiplier), _per(statistic, multiplier), "poisson_exact")


def student_mean(mean, standard_deviation, size, multiplier: float = 1.0, confidence: float = 0.95) -> pd.DataFrame:
    """Mean of `size` observations with Student's interval; no interval (NaN) under 2 observations."""
    check_confidence(confidence)
    check_multiplier(multiplier)
    index, (centre, spread, count) = columns(mean=mean, standard_deviation=standard_deviation, size=size)
    refuse_negative("standard_deviation", spread, index)
    refuse_negative("size", count, index)
    centre = np.where(count > 0, centre, np.nan)
    count = np.where(count >= 2, count, np.nan)
    half = special.stdtrit(count - 1, 0.5 + confidence / 2) * spread / np.sqrt(count)
    return result(
        index,
        multiplier * centre,
        (multiplier * (centre - half), multiplier * (centre + half)),
        _per("mean", multiplier),
        "student",
    )


def dobson(events, population, weights, multiplier: float = 100_000, confidence: float = 0.95) -> pd.DataFrame:
    """Directly standardised rate with Dobson's interval: `events`, `population` zones × bands, `weights` by band.

    DSR = Σ w·O/n / Σ w; the interval of the total count (Byar, exact under 10) is stretched to the variance of the DSR.
    A band that is missing or has no population leaves the zone without value (its rate is undefined); with no event at
    all the value is 0 and there is no interval.
    """
    index, rate, variance, count, _ = _standardised(events, population, weights, multiplier, confidence)
    low, high = byar_limits(count, confidence)
    with np.errstate(divide="ignore", invalid="ignore"):
        stretch = np.sqrt(variance / np.where(count > 0, count, np.nan))
    return result(
        index,
        multiplier * rate,
        (
            multiplier * np.clip(rate + stretch * (low - count), 0, None),
            multiplier * (rate + stretch * (high - count)),
        ),
        _per("standardised rate", multiplier),
        np.where(count < EXACT_BELOW, "dobson_poisson_exact", "dobson_byar"),
    )


def gamma_fay_feuer(events, population, weights, multiplier: float = 100_000, confidence: float = 0.95) -> pd.DataFrame:
    """Directly standardised rate with Fay and Feuer's gamma interval; same shapes and rules as `dobson`.

    Conservative by design; defined even without any event (lower bound 0).
    """
    index, rate, variance, _, step = _standardised(events, population, weights, multiplier, confidence)
    tail = (1 - confidence) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        low = variance / rate * special.gammaincinv(rate**2 / variance, tail)
        low = np.where(rate == 0, 0.0, low)
        raised, spread = rate + step, variance + step**2
        high = spread / raised * special.gammainccinv(raised**2 / spread, tail)
    return result(
        index,
        multiplier * rate,
        (multiplier * low, multiplier * high),
        _per("standardised rate", multiplier),
        "gamma_fay_feuer",
    )


def byar_limits(events, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Bounds of a count: Byar from 10 events, exact Poisson below. Arrays of the shape of `events`."""
    count = np.atleast_1d(np.asarray(events, dtype=float))
    z = normal_quantile(confidence)
    large = np.where(count >= EXACT_BELOW, count, np.nan)
    low = large * (1 - 1 / (9 * large) - z / (3 * np.sqrt(large))) ** 3
    high = (large + 1) * (1 - 1 / (9 * (large + 1)) + z / (3 * np.sqrt(large + 1))) ** 3
    # At confidence levels near 1 Byar's cube turns negative at small counts: a bound of a count stays at zero.
    low = np.maximum(low, 0.0)
    small = count < EXACT_BELOW
    low[small], high[small] = poisson_limits(count[small], confidence)
    return low, high


def poisson_limits(events, confidence: float = 0.95) -> tuple[np.ndarray, np.ndarray]:
    """Exact bounds of a Poisson count: χ²(α/2; 2O)/2 and χ²(1 − α/2; 2O + 2)/2, written with the gamma law."""
    tail = (1 - confidence) / 2
    # Most counts repeat (deaths of small communes): invert the law once per distinct value.
    count, where = np.unique(np.atleast_1d(np.asarray(events, dtype=float)), return_inverse=True)
    # Under a thousandth of an event the lower bound, about tail^(1/O), is under 1e-300: zero.
    some = count > 1e-3
    low = np.where(some, special.gammaincinv(np.where(some, count, 1.0), tail), 0.0)
    low[np.isnan(count)] = np.nan
    high = special.gammainccinv(count + 1, tail)
    return low[where], high[where]


def normal_quantile(confidence: float) -> float:
    """z of a two-sided interval: 1.959964 at 95 %."""
    check_confidence(confidence)
    return float(special.ndtri(0.5 + confidence / 2))


def result(index, value, interval, statistic, method) -> pd.DataFrame:
    """The one frame every method of this package returns; the interval is missing wherever the value is."""
    low, high = interval
    known = ~np.isnan(value)
    return pd.DataFrame(
        {
            "value": value,
            "ci_low": np.where(known, low, np.nan),
            "ci_high": np.where(known, high, np.nan),
            "statistic": statistic,
            "method": method,
        },
        index=index,
    )


def band_matrix(name: str, table, index: pd.Index | None = None) -> tuple[pd.Index, list, np.ndarray]:
    """Zones × bands as (zones, band labels, float matrix); one row is enough for a single zone."""
    if isinstance(table, pd.DataFrame):
        matrix = np.column_stack([numeric(f"{name} {band}", table[band], table.index) for band in table.columns])
        return table.index, list(table.columns), matrix
    matrix = np.atleast_2d(np.asarray(table, dtype=float))
    return index if index is not None else pd.RangeIndex(len(matrix)), list(range(matrix.shape[1])), matrix


def _counts(events, denominator, multiplier, confidence):
    check_confidence(confidence)
    check_multiplier(multiplier)
    index, (count, total) = columns(events=events, denominator=denominator)
    refuse_negative("events", count, index)
    refuse_negative("denominator", total, index)
    return index, (count, total)


def _divided(count, low, high, total, multiplier):
    factor = multiplier / np.where(total > 0, total, np.nan)
    return count * factor, (low * factor, high * factor)


def _standardised(events, population, weights, multiplier, confidence):
    """(index, rate, variance, total events, largest weight of one event) of the direct method, per zone."""
    check_confidence(confidence)
    check_multiplier(multiplier)
    index, bands, count = band_matrix("events", events)
    zones, population_bands, total = band_matrix("population", population)
    if not index.equals(zones) or bands != population_bands:
        raise StatisticsError(
            f"Évènements ({len(index)} zones × {len(bands)} tranches) et population ({len(zones)} × "
            f"{len(population_bands)}) n’ont pas les mêmes zones ou les mêmes tranches d’âges. Alignez-les."
        )
    labels = list(weights.index) if isinstance(weights, pd.Series) else bands
    weight = np.asarray(weights, dtype=float)
    if weight.ndim != 1 or weight.size != len(bands) or (isinstance(events, pd.DataFrame) and labels != bands):
        raise StatisticsError(
            f"Population type : {weight.size} tranches {labels}, {len(bands)} attendues {bands}. "
            "La population type et les effectifs doivent porter les mêmes tranches d’âges."
        )
    if not (np.isfinite(weight).all() and (weight >= 0).all() and weight.sum() > 0):
        raise StatisticsError("Population type vide, négative ou incomplète : donnez un effectif positif par tranche.")
    for name, matrix in (("events", count), ("population", total)):
        bad_zone, bad_band = np.nonzero((matrix < 0) | np.isinf(matrix))
        if bad_zone.size:
            raise StatisticsError(
                f"{row_name(index, bad_zone[0])}, tranche {bands[bad_band[0]]} : « {name} » vaut "
                f"{matrix[bad_zone[0], bad_band[0]]:g}. Un effectif est positif ou nul."
            )
    total = np.where(total > 0, total, np.nan)
    share = weight / weight.sum()
    rate = (share * count / total).sum(axis=1)
    variance = (share**2 * count / total**2).sum(axis=1)
    return index, rate, variance, count.sum(axis=1), (share / total).max(axis=1)


def _per(statistic: str, multiplier: float) -> str:
    return statistic if multiplier == 1 else f"{statistic} per {multiplier:.10g}"
