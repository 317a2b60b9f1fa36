"""Whether two installations made the same products: byte for byte, or the same but for the moments written in them.

Four formats say when they were made (`computed_at`, `fetched_at`, `created`, `last_change`): Parquet tables of
indicators, the DuckDB file, the GeoPackage, and the data package, which also gives the size and sha256 of the others.
All the rest, pictures, pages and workbooks, is compared byte for byte.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from diagnostics.storage import on_disk

MOMENTS = {"computed_at", "fetched_at", "created", "last_change"}
DATED = {".parquet", ".gpkg"}
"""Formats of a territory's folder whose bytes hold a moment, hence whose sha256 in `datapackage.json` does too."""


@dataclass
class Sameness:
    """Paths under `processed/`, sorted. `same`: equal once the moments are left aside; `absent`: in one folder only."""

    identical: list[str] = field(default_factory=list)
    same: list[str] = field(default_factory=list)
    different: list[str] = field(default_factory=list)
    absent: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.different and not self.absent


def compare(before: UPath | Path, after: UPath | Path) -> Sameness:
    """Every file under two `processed/` folders, on a disk or in a remote store."""
    files = [_files(UPath(before)), _files(UPath(after))]
    found = Sameness(absent=sorted(files[0].keys() ^ files[1].keys()))
    for name in sorted(files[0].keys() & files[1].keys()):
        pair = [on_disk(each[name]) for each in files]
        if pair[0].read_bytes() == pair[1].read_bytes():
            found.identical.append(name)
        elif (content := CONTENTS.get(pair[0].suffix)) and content(pair[0]) == content(pair[1]):
            found.same.append(name)
        else:
            found.different.append(name)
    return found


def _files(folder: UPath) -> dict[str, UPath]:
    start = len(folder.path.rstrip("/")) + 1
    return {path.path[start:]: path for path in folder.rglob("*") if path.is_file()}


def _rows_of_parquet(path: Path):
    table = pq.read_table(path)
    # Text is compared, not the dictionary that each row group gives it.
    plain = [(f.name, f.type.value_type if pa.types.is_dictionary(f.type) else f.type) for f in table.schema]
    schema = pa.schema([(name, kind) for name, kind in plain if name not in MOMENTS])
    return table.select(schema.names).cast(schema)


def _rows_of_duckdb(path: Path) -> dict:
    with duckdb.connect(path, read_only=True) as db:
        names = [name for (name,) in db.sql("select table_name from duckdb_tables() order by 1").fetchall()]
        kept = f"columns(lambda c: c not in {tuple(MOMENTS)})"
        return {name: db.sql(f'select {kept} from "{name}" order by all').to_arrow_table() for name in names}


def _rows_of_geopackage(path: Path) -> dict:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        tables = {}
        for (name,) in db.execute("select name from sqlite_master where type = 'table' order by 1").fetchall():
            columns = [c for _, c, *_ in db.execute(f'pragma table_info("{name}")').fetchall() if c not in MOMENTS]
            selected = ", ".join(f'"{c}"' for c in columns)
            tables[name] = db.execute(f'select {selected} from "{name}"').fetchall()
        return tables


def _said_in_json(path: Path):
    content = json.loads(path.read_text(encoding="utf-8"))
    for resource in content.get("resources", []) if isinstance(content, dict) else []:
        if Path(resource["path"]).suffix in DATED:
            resource.update(bytes=None, hash=None)
    return _timeless(content)


def _timeless(content):
    if isinstance(content, dict):
        return {key: _timeless(value) for key, value in content.items() if key not in MOMENTS}
    return [_timeless(item) for item in content] if isinstance(content, list) else content


CONTENTS = {
    ".parquet": _rows_of_parquet,
    ".duckdb": _rows_of_duckdb,
    ".gpkg": _rows_of_geopackage,
    ".json": _said_in_json,
}
