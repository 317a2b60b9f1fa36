"""Counts of a file that its producer overwrites, kept once a month, so that departures can be told later.

    data/raw/<dataset>/history/<distribution>.<AAAA-MM>.parquet      commune, profession, specialite, mode, count

The columns are those of `history.by` in the card, and `count`, the persons that are different in each combination. The
month is that of the file (its `Last-Modified`, else the day it came). A month once written never changes: a second
edition in the same month is left aside. No name and no identifier of a person is written.

The Parquet file remembers the sha256 of the one it counts (`attrs`): when a person undoes the acceptance of that one,
its months are put aside (`<AAAA-MM>.parquet.withdrawn-<sha8>`), and the next good edition of the month is counted.

What the months give (`history.values`) joins the observations of the dataset: see `with_history`.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from email.utils import parsedate_to_datetime
from pathlib import Path

import duckdb
import pandas as pd

from diagnostics.catalog.models import Distribution, History, Kept, Source
from diagnostics.errors import SourceError
from diagnostics.sources import numbers
from diagnostics.sources.contract import COLUMNS
from diagnostics.sources.expressions import Columns, Expression
from diagnostics.sources.readers import session
from diagnostics.sources.readers.columns import quoted
from diagnostics.sources.receipts import RawFile, Receipt, local
from diagnostics.sql import frame_of
from diagnostics.storage import Storage, replacing

COUNT, COUNTED = "count", "sha256"
FOLDER = "history"
MONTH = re.compile(r"\.(\d{4}-\d{2})\.parquet$")
MONTHS_OF_A_YEAR = 12


def month_of(receipt: Receipt) -> str:
    """`AAAA-MM` of the edition: of its `Last-Modified`, unless the server says none, nonsense, or a day to come."""
    return f"{min(_published(receipt) or receipt.fetched_at, receipt.fetched_at):%Y-%m}"


def _published(receipt: Receipt) -> datetime.datetime | None:
    try:
        moment = parsedate_to_datetime(receipt.last_modified or "")
    except ValueError:
        return None
    # A date without a zone is in GMT (RFC 9110, 5.6.7).
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)


# --- keeping ---------------------------------------------------------------------------------------------------------


def keep_history(source: Source, distribution: Distribution, raw: RawFile, storage: Storage) -> Path:
    """Write the counts of this edition unless its month is already kept; returns their file.

    Raises SourceError when the distribution declares no `history`, or one of its columns has vanished.
    """
    if distribution.history is None:
        raise SourceError(f"Jeu `{source.id}`, distribution `{distribution.id}` : la fiche ne déclare pas `history`.")
    target = _month_path(source, distribution, raw.receipt, storage)
    if target.exists():
        return target
    with session(raw.path, distribution.layout, distribution.options) as (_, file):
        columns = Columns.of(file, f"{source.id}, {raw.path.name}")
        counts = counted(distribution.history, file, columns).to_arrow_table().to_pandas()
    return write_counts(counts, source, distribution, raw.receipt, storage)


def write_counts(
    counts: pd.DataFrame, source: Source, distribution: Distribution, receipt: Receipt, storage: Storage
) -> Path:
    """Keep `counts`, as `counted` gives them, for the month of `receipt`, unless that month is kept."""
    target = _month_path(source, distribution, receipt, storage)
    if not target.exists():
        counts.attrs = {COUNTED: receipt.sha256}
        with replacing(target) as temporary:
            counts.to_parquet(temporary, compression="zstd", index=False)
    return target


def withdraw(dataset: str, sha256: str, storage: Storage) -> list[Path]:
    """Put aside the months of a dataset that were counted in a file that should not have served; returns where."""
    withdrawn = []
    for month in sorted((local(storage.raw) / dataset / FOLDER).glob("*.????-??.parquet")):
        if pd.read_parquet(month, columns=[COUNT]).attrs.get(COUNTED) == sha256:
            withdrawn.append(month.replace(month.with_name(f"{month.name}.withdrawn-{sha256[:8]}")))
    return withdrawn


def counted(history: History, file: duckdb.DuckDBPyRelation, columns: Columns) -> duckdb.DuckDBPyRelation:
    """One line per combination of `history.by`, with how many different persons it has: nothing else of them."""
    asked = {key: columns.bound(file, text, key).sql for key, text in _asked(history)}
    by = {name: numbers.stripped(asked[f"history.by.{name}"]) for name in history.by}
    names = ", ".join(map(quoted, by))
    selected = ", ".join(f"{sql} AS {quoted(name)}" for name, sql in by.items())
    return (
        file.filter(asked.get("history.where", "true"))
        .project(f"{selected}, {asked['history.distinct']} AS counted")
        .aggregate(f"{names}, count(DISTINCT counted) AS {quoted(COUNT)}", names)
        .order(names)
    )


def expressions_of(history: History, file: duckdb.DuckDBPyRelation, columns: Columns) -> Iterator[Expression]:
    """Every expression that `counted` reads of the file, understood."""
    return (columns.bound(file, text, key) for key, text in _asked(history))


def _asked(history: History) -> Iterator[tuple[str, str]]:
    yield from ((f"history.by.{name}", text) for name, text in history.by.items())
    yield "history.distinct", history.distinct
    if history.where:
        yield "history.where", history.where


# --- reading back ----------------------------------------------------------------------------------------------------


def months_kept(source: Source, distribution: Distribution, storage: Storage) -> list[str]:
    """The months of which counts are kept, oldest first."""
    return [MONTH.search(file.name)[1] for file in _files(source, distribution, storage)]


def read_history(source: Source, distribution: Distribution, storage: Storage) -> pd.DataFrame:
    """Every month kept, one under the other: `month`, the columns of `history.by`, `count`. SourceError if none."""
    files = _files(source, distribution, storage)
    if not files:
        raise SourceError(
            f"Jeu `{source.id}` : aucun état n'a encore été gardé. Le premier l'est quand le fichier est récupéré "
            f"(`diagnostic sources fetch {source.id}`) ; une évolution en demande deux."
        )
    months = [pd.read_parquet(file).assign(month=MONTH.search(file.name)[1]) for file in files]
    return pd.concat(months, ignore_index=True)


def with_history(
    observations: pd.DataFrame, source: Source, distribution: Distribution, raw: RawFile, storage: Storage
) -> pd.DataFrame:
    """`observations` and the rows that the months kept give, as the card's `history.values` says.

    Months later than that of `raw` do not count. `attrs` stay those of `observations`.
    """
    if distribution.history is None or not distribution.history.values:
        return observations
    history, last = read_history(source, distribution, storage), month_of(raw.receipt)
    history = history[history["month"] <= last]
    given = [
        _observed(_months_of(kept, history, last), kept, variable, source, distribution)
        for variable, kept in distribution.history.values.items()
    ]
    rows = pd.concat([observations, *given], ignore_index=True)
    rows.attrs = dict(observations.attrs)
    return rows


def _months_of(kept: Kept, history: pd.DataFrame, last: str) -> pd.DataFrame:
    """The lines of the months that count, with the period that each stands under."""
    if kept.months_before is None:
        return history.assign(period=history["month"])
    return history[history["month"] == month_before(last, kept.months_before)].assign(period=kept.period)


def _observed(
    history: pd.DataFrame, kept: Kept, variable: str, source: Source, distribution: Distribution
) -> pd.DataFrame:
    with duckdb.connect() as db:
        try:
            rows = frame_of(db.from_df(history).filter(kept.where).project(f'commune, period, "{COUNT}"'))
        except duckdb.Error as error:
            raise SourceError(
                f"Jeu `{source.id}`, distribution `{distribution.id}` : le test de `history.values.{variable}` ne se "
                f"lit pas : « {kept.where} » ({str(error).splitlines()[0]}). Colonnes : {', '.join(history.columns)}."
            ) from error
    rows = rows.groupby(["period", "commune"], as_index=False)[COUNT].sum().rename(columns={"commune": "geo_code"})
    rows = rows.assign(
        dataset_id=source.id, variable=variable, geo_type="commune", cog_year=distribution.cog_year,
        value=rows[COUNT].astype("float64"), status="ok",
    )  # fmt: skip
    return rows[COLUMNS].astype(
        {name: "str" for name in COLUMNS if name not in ("cog_year", "value")} | {"cog_year": "Int64"}
    )


def month_before(month: str, months: int) -> str:
    """`month_before("2026-11", 12)` is `2025-11`."""
    first = datetime.date.fromisoformat(f"{month}-01")
    years, index = divmod(first.year * MONTHS_OF_A_YEAR + first.month - 1 - months, MONTHS_OF_A_YEAR)
    return f"{years}-{index + 1:02d}"


def _files(source: Source, distribution: Distribution, storage: Storage) -> list[Path]:
    return sorted(_folder(source, storage).glob(f"{distribution.id}.????-??.parquet"))


def _month_path(source: Source, distribution: Distribution, receipt: Receipt, storage: Storage) -> Path:
    return _folder(source, storage) / f"{distribution.id}.{month_of(receipt)}.parquet"


def _folder(source: Source, storage: Storage) -> Path:
    return local(storage.raw) / source.id / FOLDER
