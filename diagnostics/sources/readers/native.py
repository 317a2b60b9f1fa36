"""Files that carry their own types: Parquet, JSON, GeoJSON properties, dBase."""

from __future__ import annotations

import itertools
import json
import struct
from pathlib import Path

import duckdb
import pyarrow as pa

from diagnostics.errors import SourceError
from diagnostics.sources.readers.columns import literal, unique_names


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
    return connection.from_arrow(_text_table(rows))


def read_json_records(
    path: Path, connection: duckdb.DuckDBPyConnection, folder: Path, *, records: str = "data", count: str = "count"
) -> duckdb.DuckDBPyRelation:
    """One page of an API (Hub'Eau): the objects under `records` as text. `count` is how many the query has in all: when
    the page holds fewer, the query must be cut into smaller ones, and this is an error."""
    try:
        content = json.loads(path.read_text(encoding="utf-8-sig"))
        rows, announced = content[records], content[count]
        table = _text_table(rows)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise SourceError(
            f"{path.name} : n'est pas une réponse JSON complète, `{records}` et `{count}` attendus ({error}). La "
            "télécharger de nouveau."
        ) from error
    if announced != len(rows):
        raise SourceError(
            f"{path.name} : {len(rows)} ligne(s) sur les {announced} de la requête. Demander des tranches plus petites "
            "(moins de communes, une période plus courte) dans les adresses de la fiche."
        )
    return connection.from_arrow(table)


def _text_table(rows: list[dict]) -> pa.Table:
    """Objects of JSON as columns of text, in the order their keys are met."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    columns = [pa.array([_json_text(row.get(name)) for row in rows], pa.string()) for name in names]
    return pa.table(columns, names=unique_names(names))


def read_dbf(
    path: Path, connection: duckdb.DuckDBPyConnection, folder: Path, *, encoding: str = "cp1252"
) -> duckdb.DuckDBPyRelation:
    """A dBase table as text; deleted records are left out."""
    content = path.read_bytes()
    records, start, width = struct.unpack_from("<xxxxIHH", content.ljust(32))
    if len(content) < start + records * width:
        raise _broken_dbf(path, f"{records} enregistrements de {width} octets annoncés, {len(content)} octets trouvés")
    fields = [content[i : i + 32] for i in range(32, start - 31, 32)]
    widths = [field[16] for field in fields]
    if sum(widths) + 1 != width:
        raise _broken_dbf(path, f"{len(fields)} colonnes de {sum(widths)} octets pour des lignes de {width}")
    lines = [content[start + i * width : start + (i + 1) * width] for i in range(records)]
    ends = list(itertools.accumulate(widths, initial=1))
    columns = {
        name: pa.array([line[a:b].decode(encoding).strip() or None for line in lines if line[:1] != b"*"], pa.string())
        for name, a, b in zip(
            unique_names(f[:11].split(b"\0")[0].decode() for f in fields), ends, ends[1:], strict=False
        )
    }
    return connection.from_arrow(pa.table(columns))


def _broken_dbf(path: Path, found: str) -> SourceError:
    return SourceError(f"{path.name} : table dBase tronquée ou abîmée ({found}). La télécharger de nouveau.")


def _json_text(value: object) -> str | None:
    if value is None or isinstance(value, str):
        return value or None
    return json.dumps(value, ensure_ascii=False)
