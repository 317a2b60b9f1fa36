"""Age bands written as text (`0`, `1-4`, `95+`): read, checked for overlaps and holes, and grouped into one another."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

import pandas as pd

from diagnostics.errors import StatisticsError

BAND = re.compile(r"(?P<low>\d+)(?:-(?P<high>\d+)|(?P<open>\+))?")

Ages = tuple[int, float]
"""First and last whole year of age, both included; the last is `math.inf` for an open band."""


def read_band(label) -> Ages:
    """`1-4` -> (1, 4); `0` -> (0, 0); `95+` -> (95, inf). Anything else is refused."""
    match = BAND.fullmatch(str(label).strip())
    if not match:
        raise StatisticsError(f"Tranche d’âges « {label} » illisible : écrivez « 0 », « 1-4 » ou « 95+ ».")
    low = int(match["low"])
    high = math.inf if match["open"] else int(match["high"] or low)
    if high < low:
        raise StatisticsError(f"Tranche d’âges « {label} » renversée : la première borne dépasse la seconde.")
    return low, high


def check_bands(labels: Iterable, ages: Ages | None = None, where: str = "") -> list:
    """Labels sorted by age, once proved that they tile `ages` (default: from 0 to an open last band) exactly once.

    `where` opens the error message (the row or zone that holds the bands).
    """
    labels = list(labels)
    start, end = ages or (0, math.inf)
    prefix = f"{where} : " if where else ""
    if not labels:
        raise StatisticsError(f"{prefix}aucune tranche d’âges. Attendu : de {start} à {_end(end)}.")
    ordered = sorted(labels, key=read_band)
    following, previous = start, None
    for label in ordered:
        low, high = read_band(label)
        if low < following and previous is not None:
            raise StatisticsError(f"{prefix}les tranches d’âges « {previous} » et « {label} » se recouvrent.")
        if low != following:
            found = f"« {label} » commence à {low} ans, {following} ans attendus"
            raise StatisticsError(f"{prefix}{found} : il y a un trou ou un débordement. Ajoutez la tranche manquante.")
        following, previous = high + 1, label
    if following != end + 1:
        raise StatisticsError(
            f"{prefix}la dernière tranche « {previous} » finit à {_end(following - 1)}, {_end(end)} attendu."
        )
    return ordered


def group_bands(fine: pd.Series, coarse: Iterable) -> pd.Series:
    """Sum a Series indexed by fine bands into the coarse bands; refused when a fine band straddles two coarse ones.

    Fine bands out of the range of the coarse ones are left out (a rate under 65 uses the standard under 65).
    """
    coarse = sorted(coarse, key=read_band)
    totals = dict.fromkeys(coarse, 0.0)
    covered = dict.fromkeys(coarse, 0.0)
    for label, amount in fine.items():
        low, high = read_band(label)
        for band in coarse:
            first, last = read_band(band)
            if low > last or high < first:
                continue
            if low < first or high > last:
                raise StatisticsError(
                    f"Tranche « {label} » de la population type à cheval sur « {band} » : aucune somme de ses "
                    "tranches ne donne celles des données. Choisissez une population type compatible."
                )
            totals[band] += amount
            covered[band] += high - low + 1
    for band in coarse:
        first, last = read_band(band)
        if covered[band] != last - first + 1:
            raise StatisticsError(f"Tranche « {band} » des données absente ou incomplète dans la population type.")
    return pd.Series(totals, dtype=float)


def _end(age: float) -> str:
    return "la fin de la vie" if math.isinf(age) else f"{age:g} ans"
