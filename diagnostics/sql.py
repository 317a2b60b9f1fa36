"""Questions asked to tables in SQL: DuckDB reads only the columns and the rows of a Parquet file that answer them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import duckdb
import pandas as pd

from diagnostics.threads import threads


def query(sql: str, parameters: Sequence | Mapping[str, object] = (), **tables: pd.DataFrame) -> pd.DataFrame:
    """The answer to a question. `tables`: frames that it may name; `parameters`: what its `?` or `$name` stand for.

    Moments are in UTC. Rows come in no order unless the question asks for one. Raises duckdb.Error.
    """
    with duckdb.connect(config={"threads": threads()}) as db:
        db.execute("set enable_progress_bar = false; set timezone = 'UTC'")
        for name, table in tables.items():
            db.register(name, table)
        return frame_of(db.sql(sql, params=parameters or None))


def frame_of(found: duckdb.DuckDBPyRelation) -> pd.DataFrame:
    """What DuckDB found, by way of Arrow: its own `.df()` calls pandas in a way that pandas 3 warns against."""
    return found.to_arrow_table().to_pandas()
