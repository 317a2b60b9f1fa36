"""Counts of a file that its producer overwrites, kept once a month, so that departures can be told later.

    data/raw/<dataset>/history/<distribution>.<AAAA-MM>.parquet      commune, profession, specialite, mode, count

The columns are those of `history.by` in the card, and `count`, the persons that are different in each combination. The
month is that of the file (its `Last-Modified`, else the day it came). A month once written never changes: a second
edition in the same month is left aside. No name and no identifier of a person is written.
"""

from __future__ import annotations

import re
from email.utils import parsedate_to_datetime
from pathlib import Path

import duckdb
import pandas as pd

from diagnostics.catalog.models import Distribution, Source
from diagnostics.errors import SourceError
from diagnostics.sources import numbers
from diagnostics.sources.expressions import Columns
from diagnostics.sources.readers import session
from diagnostics.sources.readers.columns import quoted
from diagnostics.sources.receipts import RawFile, Receipt, local
from diagnostics.storage import Storage, replacing

COUNT = "count"
MONTH = re.compile(r"\.(\d{4}-\d{2})\.parquet$")


def month_of(receipt: Receipt) -> str:
    """`AAAA-MM` of the edition."""
    moment = parsedate_to_datetime(receipt.last_modified) if receipt.last_modified else receipt.fetched_at
    return f"{moment:%Y-%m}"


def keep_history(source: Source, distribution: Distribution, raw: RawFile, storage: Storage) -> Path:
    """Write the counts of this edition unless its month is already kept; returns their file.

    Raises SourceError when the distribution declares no `history`, or one of its columns has vanished.
    """
    if distribution.history is None:
        raise SourceError(f"Jeu `{source.id}`, distribution `{distribution.id}` : la fiche ne déclare pas `history`.")
    target = _folder(source, storage) / f"{distribution.id}.{month_of(raw.receipt)}.parquet"
    if target.exists():
        return target
    place = f"{source.id}, {raw.path.name}"
    with session(raw.path, distribution.layout, distribution.options) as (_, file):
        columns = Columns.of(file, place)
        by = {
            name: numbers.stripped(columns.bound(file, text, f"history.by.{name}").sql)
            for name, text in distribution.history.by.items()
        }
        counted = columns.bound(file, distribution.history.distinct, "history.distinct").sql
        where = columns.bound(file, distribution.history.where or "true", "history.where").sql
        names = ", ".join(map(quoted, by))
        selected = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in by.items())
        counts = (
            file.filter(where)
            .project(f"{selected}, {counted} AS counted")
            .aggregate(f"{names}, count(DISTINCT counted) AS {quoted(COUNT)}", names)
        )
        with replacing(target) as temporary:
            counts.order(names).write_parquet(str(temporary), compression="zstd")
    return target


def read_history(source: Source, distribution: Distribution, storage: Storage) -> pd.DataFrame:
    """Every month kept, one under the other: `month`, the columns of `history.by`, `count`. SourceError if none."""
    files = sorted(_folder(source, storage).glob(f"{distribution.id}.????-??.parquet"))
    if not files:
        raise SourceError(
            f"Jeu `{source.id}` : aucun état n'a encore été gardé. Le premier l'est quand le fichier est récupéré "
            f"(`diagnostic sources fetch {source.id}`) ; une évolution en demande deux."
        )
    months = [pd.read_parquet(file).assign(month=MONTH.search(file.name)[1]) for file in files]
    return pd.concat(months, ignore_index=True)


def departures_unreplaced(
    history: pd.DataFrame, start: str, end: str, where: str, zone: str = "commune"
) -> pd.DataFrame:
    """How many fewer persons each zone counts between two months: those who left and whom nobody replaced.

    history: as `read_history` gives it; start, end: months it holds; where: a DuckDB test over its columns, e.g.
    `profession = '10' AND mode = 'L'`. Gives zone, before, after, unreplaced (never under zero). A person who changes
    commune leaves one and joins another: sum the counts to a larger zone before comparing. Raises SourceError.
    """
    unknown = {start, end} - set(history["month"])
    if unknown:
        kept = ", ".join(sorted(set(history["month"])))
        raise SourceError(f"Mois non gardé(s) : {', '.join(sorted(unknown))}. Mois gardés : {kept}.")
    with duckdb.connect() as db:
        db.register("history", history)
        return db.execute(
            f"""
            SELECT {quoted(zone)} AS zone, CAST(coalesce(sum("count") FILTER (month = ?), 0) AS BIGINT) AS before,
                   CAST(coalesce(sum("count") FILTER (month = ?), 0) AS BIGINT) AS after,
                   greatest(before - after, 0) AS unreplaced
            FROM history WHERE ({where}) AND month IN (?, ?) GROUP BY zone ORDER BY zone
            """,
            [start, end, start, end],
        ).df()


def _folder(source: Source, storage: Storage) -> Path:
    return local(storage.raw) / source.id / "history"
