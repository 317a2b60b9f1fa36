"""The door of every statistic: columns become aligned float arrays, and bad rows are refused by name.

Missing (None, NaN, `pd.NA`) is a legal input everywhere and gives a missing result: a masked count is not a zero.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from diagnostics.errors import StatisticsError

# Sums of weighted decimals of the census can pass their own total by a few units of the last binary digit.
ROUNDING = 1e-9


def columns(**named) -> tuple[pd.Index, list[np.ndarray]]:
    """Scalars, sequences, arrays or Series -> (common index, float arrays of one common length, in the given order).

    The index is that of the first Series; scalars are repeated. Series must share the same index, in the same order:
    aligning silently would pair the deaths of one commune with the population of another.
    """
    series = {name: value for name, value in named.items() if isinstance(value, pd.Series)}
    lengths = {name: len(value) for name, value in named.items() if np.ndim(value) > 0}
    size = max(lengths.values(), default=1)
    for name, length in lengths.items():
        if length != size:
            raise StatisticsError(
                f"Colonne « {name} » : {length} lignes, {size} attendues. Donnez des colonnes de même longueur."
            )
    index = next(iter(series.values())).index if series else pd.RangeIndex(size)
    for name, value in series.items():
        if not value.index.equals(index):
            raise StatisticsError(
                f"Colonne « {name} » : son index diffère de celui de « {next(iter(series))} ». "
                "Alignez les colonnes sur les mêmes zones, dans le même ordre."
            )
    return index, [np.broadcast_to(numeric(name, value, index), (size,)) for name, value in named.items()]


def numeric(name: str, value, index: pd.Index) -> np.ndarray:
    """One column as float64, missing as NaN; text (`s`, `nd`…) and infinities are refused with their row."""
    column = value if isinstance(value, pd.Series) else pd.Series(np.atleast_1d(np.asarray(value)))
    try:
        array = column.to_numpy(dtype=float, na_value=np.nan)
    except (TypeError, ValueError) as error:
        readable = pd.to_numeric(column, errors="coerce").notna() | column.isna()
        position = int(np.argmin(readable.to_numpy()))
        raise StatisticsError(
            f"{row_name(index, position)} : « {name} » vaut « {column.iloc[position]} », un nombre est attendu. "
            "Un secret statistique se donne comme valeur manquante, jamais comme texte."
        ) from error
    refuse(np.isinf(array), index, lambda i: f"« {name} » est infini. Vérifiez la division qui l’a produit.")
    return array


def refuse(bad: np.ndarray, index: pd.Index, message: Callable[[int], str]) -> None:
    """Raise a StatisticsError naming the first row where `bad` holds, and saying how many others share it."""
    bad = np.asarray(bad)
    if not bad.any():
        return
    position = int(np.argmax(bad))
    others = int(bad.sum()) - 1
    tail = "" if others == 0 else f" ({others} autre{'s' * (others > 1)} ligne{'s' * (others > 1)} dans le même cas.)"
    raise StatisticsError(f"{row_name(index, position)} : {message(position)}{tail}")


def refuse_negative(name: str, array: np.ndarray, index: pd.Index) -> None:
    refuse(array < 0, index, lambda i: f"« {name} » est négatif ({array[i]:g}). Un effectif est positif ou nul.")


def row_name(index: pd.Index, position: int) -> str:
    """`Ligne 38151`: a row is named by its label when the index bears codes, by its position otherwise."""
    label = index[position] if position < len(index) else position
    return "Ligne " + (" / ".join(map(str, label)) if isinstance(label, tuple) else str(label))


def check_confidence(confidence: float) -> None:
    if not 0 < confidence < 1:
        raise StatisticsError(f"Niveau de confiance {confidence} : un nombre entre 0 et 1 exclus est attendu (0,95).")


def check_multiplier(multiplier: float) -> None:
    if not (multiplier > 0 and np.isfinite(multiplier)):
        raise StatisticsError(f"Multiplicateur {multiplier} : un nombre positif est attendu (1, 100, 1000, 100000…).")
