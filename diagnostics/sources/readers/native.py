"""Files that carry their own types: Parquet, GeoJSON properties, dBase."""

from __future__ import annotations

import json
from pathlib import Path

import duckdb
import pandas as pd
import pyogrio

from diagnostics.errors import SourceError
from diagnostics.sources.readers.columns import literal


def read_parquet(path: Path, connection: duckdb.DuckDBPyConnection, folder: Path) -> duckdb.DuckDBPyRelation:
    """The file as it is: numbers stay numbers."""
    return connection.sql(f"SELECT * FROM read_parquet({literal(str(path))})")


def read_geojson_properties(path: Path, connection: duckdb.DuckDBPyConnection, folder: Path) -> duckdb.DuckDBPyRelation:
    """The properties of each feature as text; a list or an object stays JSON. Geometries are left aside."""
    try:
        features = json.loads(path.read_text(encoding="utf-8-sig"))["features"]
        rows = [feature["properties"] or {} for feature in features]
    except (ValueError, KeyError, TypeError) as error:
        raise SourceError(
            f"{path.name} : n'est pas un GeoJSON complet ({error}). Le télécharger de nouveau."
        ) from error
    names = list(dict.fromkeys(name for row in rows for name in row))
    frame = pd.DataFrame({name: pd.array([_json_text(row.get(name)) for row in rows], "str") for name in names})
    return connection.from_df(frame)


def read_dbf(
    path: Path, connection: duckdb.DuckDBPyConnection, folder: Path, *, encoding: str = "cp1252"
) -> duckdb.DuckDBPyRelation:
    """A dBase table; numbers stay numbers."""
    try:
        frame = pyogrio.read_dataframe(path, read_geometry=False, encoding=encoding)
    except pyogrio.errors.DataSourceError as error:
        raise SourceError(f"{path.name} : table dBase illisible ({error}). La télécharger de nouveau.") from error
    return connection.from_df(frame)


def _json_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    return json.dumps(value, ensure_ascii=False)
