"""How far a figure can be trusted: flags by count and relative standard error, and Marshall's smoothing for maps.

Flags are the words of the public contract: `ok`, `unstable`, `masked`. Sources: indicators.md §0 (`D10`, `RP`) and
§10.11; Marshall 1991.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

from diagnostics.errors import StatisticsError
from diagnostics.statistics.inputs import columns, refuse, refuse_negative

MASKED_BELOW_EVENTS = 10
UNSTABLE_BELOW_EVENTS = 20
UNSTABLE_ABOVE_RSE = 0.23
CENSUS_MASKED_BELOW = 200
SEVERITY = ("ok", "unstable", "masked")


def relative_standard_error(events) -> np.ndarray:
    """RSE = 1/√events of a Poisson count (0.23 means 23 %); infinite without event, NaN when the count is missing."""
    index, (count,) = columns(events=events)
    refuse_negative("events", count, index)
    with np.errstate(divide="ignore"):
        return 1 / np.sqrt(count)


def flag_events(events, rse=None) -> np.ndarray:
    """`masked` under 10 events or when the count is missing, `unstable` under 20 events or RSE over 23 %, else `ok`.

    `rse` (share, not %) replaces 1/√events when the producer gives a better one.
    """
    index, (count,) = columns(events=events)
    refuse_negative("events", count, index)
    error = relative_standard_error(count) if rse is None else columns(events=events, rse=rse)[1][1]
    unstable = (count < UNSTABLE_BELOW_EVENTS) | (error > UNSTABLE_ABOVE_RSE)
    masked = np.isnan(count) | (count < MASKED_BELOW_EVENTS)
    return np.select([masked, unstable], ["masked", "unstable"], "ok")


def flag_census(denominator) -> np.ndarray:
    """Census percentages: `masked` when the denominator is under 200 persons or missing, else `ok`."""
    index, (persons,) = columns(denominator=denominator)
    refuse_negative("denominator", persons, index)
    return np.where(np.isnan(persons) | (persons < CENSUS_MASKED_BELOW), "masked", "ok")


def most_severe(*flags) -> np.ndarray:
    """The most severe of several columns of flags, row by row (`ok` < `unstable` < `masked`)."""
    rank = {word: position for position, word in enumerate(SEVERITY)}
    unknown = {str(word) for column in flags for word in np.unique(np.asarray(column, dtype=object))} - set(rank)
    if unknown:
        raise StatisticsError(f"Fiabilité inconnue : {', '.join(sorted(unknown))}. Mots admis : {', '.join(SEVERITY)}.")
    ranks = [pd.Series(np.asarray(column, dtype=object)).map(rank).to_numpy() for column in flags]
    return np.array(SEVERITY, dtype=object)[np.maximum.reduce(ranks)]


def hide_masked(frame: pd.DataFrame, flags) -> pd.DataFrame:
    """A copy of `frame` without value nor interval on the rows flagged `masked`."""
    shown = pd.Series(np.asarray(flags) != "masked", index=frame.index)
    quantities = [name for name in ("numerator", "value", "ci_low", "ci_high") if name in frame]
    return frame.assign(**{name: frame[name].where(shown) for name in quantities})


def empirical_bayes(events, expected) -> pd.Series:
    """Marshall's smoothed ratio events/expected (same unit as the raw ratio), for maps only, never for tables.

    m = ΣO/ΣE, s² = ΣE(r − m)²/ΣE − m/Ē (at least 0), result m + s²/(s² + m/E)·(r − m). `expected` may be a population:
    then the result is a smoothed rate. Missing rows stay missing; a zone with nothing expected (and no event) gets m.
    Its frame of reference is the set of rows given: give one whole country or region, not one CLS.
    """
    index, (count, base) = columns(events=events, expected=expected)
    refuse_negative("events", count, index)
    refuse_negative("expected", base, index)
    refuse(
        (base == 0) & (count > 0),
        index,
        lambda i: f"{count[i]:g} évènements pour un effectif attendu nul. Vérifiez la population de référence.",
    )
    known = ~(np.isnan(count) | np.isnan(base))
    total = base[known].sum()
    if total == 0:
        return pd.Series(np.nan, index=index, name="smoothed")
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.where(base > 0, count / base, 0.0)
        mean = count[known].sum() / total
        spread = (base[known] * (ratio[known] - mean) ** 2).sum() / total - mean / (total / known.sum())
        spread = max(spread, 0.0)
        trust = np.where(base > 0, spread / (spread + mean / base), 0.0) if mean > 0 else np.zeros_like(base)
    return pd.Series(np.where(known, mean + trust * (ratio - mean), np.nan), index=index, name="smoothed")
