"""Tables whose text columns repeat a few words: the words once, and an integer per row.

A categorical column is such a column. The tables of observations have millions of rows and a few hundred distinct
words: as plain text they would take ten times the memory, and each comparison would read characters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd


def as_words(frame: pd.DataFrame, columns: Sequence[str]) -> pd.DataFrame:
    """The same frame, its `columns` categorical; nothing is copied when they already are."""
    plain = [name for name in columns if not isinstance(frame[name].dtype, pd.CategoricalDtype)]
    return frame.astype(dict.fromkeys(plain, "category")) if plain else frame


def distinct(frame: pd.DataFrame, columns: Sequence[str]) -> tuple[np.ndarray, pd.DataFrame]:
    """An integer per distinct combination of `columns`, in order of appearance, and the table of these combinations.

    An empty cell is a value like any other. The table has plain text where the frame has categorical columns.
    """
    key = np.zeros(len(frame), dtype="int64")
    for name in columns:
        column = frame[name]
        if isinstance(column.dtype, pd.CategoricalDtype):
            ids, size = column.cat.codes.to_numpy(), len(column.cat.categories)
        else:
            ids, words = pd.factorize(column)
            size = len(words)
        key = key * (size + 1) + ids + 1
    ids, values = pd.factorize(key)
    first = np.zeros(len(values), dtype="int64")
    first[ids[::-1]] = np.arange(len(frame))[::-1]
    table = frame[list(columns)].take(first).reset_index(drop=True)
    words = [name for name in columns if isinstance(table[name].dtype, pd.CategoricalDtype)]
    return ids, table.astype(dict.fromkeys(words, "str"))


def stacked(frames: Sequence[pd.DataFrame], words: Sequence[str]) -> pd.DataFrame:
    """Frames one under the other, in the columns of the first; `words` categorical in all of them and in the result."""
    full = [frame for frame in frames if len(frame)] or frames[:1]
    if len(full) == 1:
        return full[0].reset_index(drop=True)
    columns = {}
    for name in full[0].columns:
        if name in words:
            columns[name] = pd.api.types.union_categoricals([frame[name] for frame in full])
        else:
            columns[name] = pd.concat([frame[name] for frame in full], ignore_index=True)
    return pd.DataFrame(columns)
