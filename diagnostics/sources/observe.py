"""From a raw file and its card to observations: typed, tidy facts, each with its status.

Everything is computed by DuckDB over whole columns. A figure is never guessed: a sign that is neither a number nor a
marker the card declares is an error, and so are a column that vanished, a code that lost its zeros and a repeated key.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb
import pandas as pd

from diagnostics.catalog.models import Coded, Distribution, Joined, Observations, Source
from diagnostics.errors import SourceError
from diagnostics.sources import history
from diagnostics.sources.blocks import BlockReader
from diagnostics.sources.contract import corrected
from diagnostics.sources.expressions import Columns, Expression
from diagnostics.sources.readers import opened, session
from diagnostics.sources.readers.columns import quoted


def observe(source: Source, distribution: Distribution, path: Path) -> pd.DataFrame:
    """The observations of one file (contract `observations` of docs/architecture.md), all blocks of the card.

    `attrs["rows"]` is the number of data lines of the file. Raises SourceError naming dataset, file, column and rows.
    """
    place = f"{source.id}, {Path(path).name}"
    with naming(source), session(path, distribution.layout, distribution.options) as (connection, file):
        return observations_of(source, distribution, _load(source, distribution, file, place), connection)


def observe_and_count(source: Source, distribution: Distribution, path: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """`observe`, and the counts that `history` of the card keeps, in one reading of the file."""
    place = f"{source.id}, {Path(path).name}"
    with naming(source), session(path, distribution.layout, distribution.options) as (connection, file):
        columns = _load(source, distribution, file, place)
        counts = history.counted(distribution.history, connection.table("loaded"), columns)
        return observations_of(source, distribution, columns, connection), counts.to_arrow_table().to_pandas()


def observations_of(
    source: Source, part: Distribution | Joined, columns: Columns, connection: duckdb.DuckDBPyConnection
) -> pd.DataFrame:
    """What the blocks of `part` say of the table `loaded`, whose columns are `columns`; `attrs["rows"]`: its lines."""
    ((rows,),) = connection.execute("SELECT count(*) FROM loaded").fetchall()
    reader = BlockReader(source, part, columns, run=lambda sql: connection.execute(sql).fetchall())
    selects = [
        reader.observations(block, geo, f"block_{i}_{j}")
        for i, block in enumerate(part.observations)
        for j, geo in enumerate(block.geo)
    ]
    frame = connection.sql(" UNION ALL ".join(selects)).to_arrow_table().to_pandas()
    frame["cog_year"] = frame["cog_year"].astype("Int64")
    frame.attrs["rows"] = rows
    return frame


def read_table(source: Source, distribution: Distribution, path: Path) -> pd.DataFrame:
    """The reference table of a `table:` distribution, under our names; `attrs["rows"]` is the number of data lines."""
    place = f"{source.id}, {Path(path).name}"
    with naming(source), opened(path, distribution.layout, distribution.options) as file:
        columns = Columns.of(file, place)
        asked = {f"table.{ours}": theirs for ours, theirs in distribution.table.items()}
        if distribution.table_where:
            asked["table_where"] = distribution.table_where
        resolved = {key: columns.bound(file, text, key) for key, text in asked.items()}
        raw = corrected(source, distribution, file, columns)
        rows = raw.count("*").fetchall()[0][0]
        where = resolved.pop("table_where", None)
        kept = raw.filter(where.sql) if where else raw
        selection = ", ".join(f"{e.sql} AS {quoted(key.removeprefix('table.'))}" for key, e in resolved.items())
        frame = kept.project(selection).to_arrow_table().to_pandas()
    if frame.empty:
        raise SourceError(f"{place} : aucune ligne retenue par `table_where` ({distribution.table_where}).")
    frame.attrs["rows"] = rows
    return frame


@contextmanager
def naming(source: Source) -> Iterator[None]:
    """Readers know files, not datasets: put the dataset in front of what they say."""
    try:
        yield
    except SourceError as error:
        if str(error).startswith(f"{source.id}, "):
            raise
        raise SourceError(f"{source.id}, {error}") from error


def _load(source: Source, distribution: Distribution, file: duckdb.DuckDBPyRelation, place: str) -> Columns:
    """Load the columns that the card uses, and those only, into the table `loaded`; return them."""
    columns = Columns.of(file, place)
    corrections = [c for c in source.corrections if c.distribution == distribution.id]
    expressions = [columns.resolve(c.column, "corrections.column") for c in corrections]
    expressions += [columns.bound(file, c.where, "corrections.where") for c in corrections]
    for block in distribution.observations:
        expressions += expressions_of(block, columns, file)
    if distribution.history:
        expressions += history.expressions_of(distribution.history, file, columns)
    used = dict.fromkeys(column for expression in expressions for column in expression.columns)
    selection = ", ".join(map(quoted, used)) or "1 AS nothing"
    loaded = corrected(source, distribution, file.project(selection), columns)
    loaded.create("loaded")
    return Columns.of(loaded, place) if used else columns


def expressions_of(block: Observations, columns: Columns, file: duckdb.DuckDBPyRelation) -> list[Expression]:
    """Every expression of a block, understood: over cells of text, or over figures where they make a value."""
    texts = [("geo.code", geo.code) for geo in block.geo]
    texts += [("geo.where", geo.where) for geo in block.geo if geo.where]
    named = ("where", "period_column", "variable_column", "value_column")
    texts += [(key, text) for key in named if (text := getattr(block, key))]
    expressions = [columns.bound(file, text, key) for key, text in texts]
    if block.variable_column:
        return expressions
    for variable, value in block.values.items():
        key, text = f"values.{variable}", value.column if isinstance(value, Coded) else value
        if text == "*":
            continue
        if isinstance(value, Coded) or block.aggregate in ("count", "distinct"):
            expressions.append(columns.bound(file, text, key))
        else:
            figures = ", ".join(f"CAST(NULL AS DOUBLE) AS {quoted(c)}" for c in columns.resolve(text, key).columns)
            expressions.append(columns.bound(file.project(figures or "1 AS nothing"), text, key))
    return expressions
