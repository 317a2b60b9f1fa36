"""Readers by layout, not by dataset: a layout name of a card -> the rows of its file, as text columns.

A layout is added by writing one function `(path, connection, folder, **options) -> relation` and naming it in
`LAYOUTS`. Each is lazy where it can be: DuckDB streams, so that a file of a gigabyte never sits in memory.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
from upath import UPath

from diagnostics.catalog.loading import suggestion
from diagnostics.errors import SourceError
from diagnostics.sources.readers.columns import literal
from diagnostics.sources.readers.delimited import Dialect, read_delimited, read_finess, read_melodi
from diagnostics.sources.readers.native import read_dbf, read_geojson_properties, read_json_records, read_parquet
from diagnostics.sources.readers.unpacking import extracted
from diagnostics.sources.readers.workbook import read_workbook
from diagnostics.storage import replacing

MEMORY_LIMIT = "1GB"
DELIMITED_OPTIONS = (
    "separator",
    "encoding",
    "quoting",
    "header_row",
    "header",
    "skip_rows",
    "columns",
    "null",
    "units_rows",
)


@dataclass(frozen=True)
class Layout:
    """How files of one make are opened. Every layout also takes `member`, the file to read inside a zip or a 7z.

    `zipped` is the member read when the file is an archive and the card names none; `markers` are the tokens the layout
    itself uses for unknown figures; `personal` says that lines name persons: no message shows one.
    """

    open: Callable[..., duckdb.DuckDBPyRelation]
    options: tuple[str, ...] = ()
    required: tuple[str, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)
    zipped: str | None = None
    markers: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    personal: bool = False


def _delimited(path: Path, connection, folder: Path, **options) -> duckdb.DuckDBPyRelation:
    if isinstance(options.get("columns"), list):
        options["columns"] = tuple(options["columns"])
    return read_delimited(path, Dialect(**options), connection, folder)


LAYOUTS: dict[str, Layout] = {
    "csv": Layout(_delimited, DELIMITED_OPTIONS),
    "zip_csv": Layout(_delimited, DELIMITED_OPTIONS, required=("member",)),
    "lzma_csv": Layout(_delimited, DELIMITED_OPTIONS, defaults={"separator": ",", "null": r"\N"}),
    "ods_export": Layout(_delimited, DELIMITED_OPTIONS, defaults={"encoding": "utf-8-sig"}),
    "cartosante": Layout(_delimited, DELIMITED_OPTIONS, defaults={"header": "Code"}),
    "rpps": Layout(_delimited, DELIMITED_OPTIONS, defaults={"separator": "|", "quoting": False}, personal=True),
    "melodi": Layout(
        read_melodi,
        ("separator", "encoding"),
        zipped="*_data.csv",
        markers={"secret": ("C",), "missing": ("K", "O", "M")},
    ),
    "finess": Layout(read_finess, ("section", "encoding"), required=("section",)),
    "workbook": Layout(read_workbook, ("header", "sheet", "units_rows"), required=("header",)),
    "parquet": Layout(read_parquet),
    "geojson_properties": Layout(read_geojson_properties),
    "json_records": Layout(read_json_records, ("records", "count")),
    "dbf": Layout(read_dbf, ("encoding",)),
}


def layout_named(name: str) -> Layout:
    """The layout a card names. Raises SourceError listing those that exist."""
    if name not in LAYOUTS:
        raise SourceError(
            f"Mise en forme inconnue : `layout: {name}`.{suggestion(name, LAYOUTS)} "
            f"Mises en forme connues : {', '.join(sorted(LAYOUTS))}."
        )
    return LAYOUTS[name]


@contextmanager
def session(
    path: Path | UPath, layout: str, options: Mapping[str, Any] | None = None
) -> Iterator[tuple[duckdb.DuckDBPyConnection, duckdb.DuckDBPyRelation]]:
    """A connection of its own and the rows of a file as a lazy relation, good until the block ends.

    Columns are text, except in Parquet. Raises SourceError on a missing, empty, cut or damaged file, an unknown layout
    or option, and on a line DuckDB cannot read (when the relation is consumed inside the block).
    """
    spec = layout_named(layout)
    arguments = _options(layout, spec, options or {})
    with tempfile.TemporaryDirectory(prefix="diagnostic-") as name, duckdb.connect() as connection:
        folder = Path(name)
        connection.execute(f"SET memory_limit='{MEMORY_LIMIT}'")
        connection.execute(f"SET temp_directory={literal(str(folder))}")
        connection.execute("SET enable_progress_bar=false")
        local = _member_of(_local(path, folder), arguments.pop("member", None), layout, folder)
        try:
            yield connection, spec.open(local, connection, folder, **arguments)
        except duckdb.Error as error:
            raise _unreadable(local, error, quote=not spec.personal) from error


@contextmanager
def opened(
    path: Path | UPath, layout: str, options: Mapping[str, Any] | None = None
) -> Iterator[duckdb.DuckDBPyRelation]:
    """The relation of `session`, alone."""
    with session(path, layout, options) as (_, relation):
        yield relation


def read(path: Path | UPath, layout: str, options: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """The whole file in memory, one text column per column of the producer."""
    with opened(path, layout, options) as relation:
        return relation.to_arrow_table().to_pandas()


def to_parquet(
    path: Path | UPath,
    layout: str,
    options: Mapping[str, Any] | None,
    target: Path | UPath,
    *,
    select: str = "*",
    where: str | None = None,
) -> int:
    """Stream a file of any size to Parquet (zstd), whole or not at all; returns the number of rows.

    `select` and `where` are DuckDB expressions over the columns.
    """
    with session(path, layout, options) as (connection, relation), replacing(target) as temporary:
        # Keeping the lines in order would keep whole row groups in memory.
        connection.execute("SET preserve_insertion_order=false")
        kept = relation.filter(where) if where else relation
        kept.project(select).write_parquet(str(temporary), compression="zstd")
        with duckdb.connect() as reader:
            return reader.sql(f"SELECT count(*) FROM read_parquet({literal(str(temporary))})").fetchall()[0][0]


def _options(layout: str, spec: Layout, given: Mapping[str, Any]) -> dict[str, Any]:
    known = (*spec.options, "member")
    for name in given:
        if name not in known:
            raise SourceError(
                f"Option inconnue `{name}` pour la mise en forme `{layout}`.{suggestion(name, known)} "
                f"Options connues : {', '.join(known)}."
            )
    merged = {**spec.defaults, **given}
    absent = [name for name in spec.required if name not in merged]
    if absent:
        raise SourceError(f"La mise en forme `{layout}` demande l'option {', '.join(f'`{name}`' for name in absent)}.")
    return merged


def _member_of(path: Path, member: str | None, layout: str, folder: Path) -> Path:
    """The file to read: `path`, or its member when it is an archive."""
    if member is None and path.suffix.lower() in (".zip", ".7z"):
        member = LAYOUTS[layout].zipped
        if member is None:
            raise SourceError(
                f"{path.name} : archive. Dire dans la fiche, par l'option `member`, quel fichier y lire "
                "(un nom ou un motif, par ex. `*_data.csv`)."
            )
    return path if member is None else extracted(path, member, folder)


def _local(path: Path | UPath, folder: Path) -> Path:
    """DuckDB and calamine read local files; what lies elsewhere is copied next to the work."""
    remote = UPath(path)
    if not remote.exists():
        raise SourceError(f"{remote} : fichier absent. Lancer `diagnostic sources fetch`, ou le déposer à cet endroit.")
    if remote.stat().st_size == 0:
        raise SourceError(f"{remote.name} : fichier vide. Le télécharger de nouveau.")
    if remote.protocol in ("", "file", "local"):
        return Path(str(path)) if not isinstance(path, UPath) else Path(remote.path)
    local = folder / remote.name
    with remote.open("rb") as source, local.open("wb") as copy:
        while block := source.read(1 << 22):
            copy.write(block)
    return local


def _unreadable(path: Path, error: duckdb.Error, *, quote: bool) -> SourceError:
    """What DuckDB says, in French; the line itself only where no one is named in it (`quote`)."""
    text = str(error)
    line = re.search(r"CSV Error on Line: (\d+)\s+Original Line: ?(.*)", text)
    cells = re.search(r"Expected Number of Columns: (\d+) Found: (\d+)", text)
    if not quote:
        told = f"ligne {line[1]}" if line else "une ligne n’a pas la forme attendue"
        if cells:
            told += f", {cells[2]} cellule(s) au lieu de {cells[1]}"
    elif cells and line:
        told = f"ligne {line[1]}, {cells[2]} cellule(s) au lieu de {cells[1]} : « {line[2][:120]} »"
    elif line and "unterminated quote" in text:
        told = f"ligne {line[1]}, guillemet jamais refermé : « {line[2][:120]} »"
    elif line and "unicode" in text:
        told = f"ligne {line[1]}, le texte n'est pas en UTF-8 (option `encoding`) : « {line[2][:120]} »"
    else:
        told = text.strip().splitlines()[0][:300]
    return SourceError(
        f"{path.name} : lecture impossible, {told}. "
        "Fichier tronqué, abîmé, ou d'une autre forme que ne le dit la fiche (séparateur, encodage, en-tête)."
    )
