"""Workbooks, read by calamine: the header is found by what it says, never by where it stood last year."""

from __future__ import annotations

import datetime
import zipfile
from collections.abc import Sequence
from pathlib import Path

import duckdb
import pyarrow as pa
from python_calamine import CalamineError, CalamineWorkbook

from diagnostics.errors import SourceError
from diagnostics.sources import archives
from diagnostics.sources.readers.columns import clean, find_header, first_rows, unique_names

HEADER_SEARCH = 60
#: Doubles hold every whole number up to here.
LARGEST_WHOLE = 2**53
Cell = object


def read_workbook(
    path: Path,
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    *,
    header: str,
    sheet: str | None = None,
    units_rows: int = 0,
) -> duckdb.DuckDBPyRelation:
    """One sheet as text. `header` is the text of a cell of the header row, found among the first 60 rows; `sheet` is
    compared without its surrounding spaces, the only sheet by default; `units_rows` lines under the header are dropped.

    Numbers become their shortest text (`1001.0` is `1001`). Raises SourceError when the workbook is damaged, the sheet
    is not there, or the header cell is absent or stands in several rows.
    """
    rows = _rows(path, sheet)
    found = find_header(rows[:HEADER_SEARCH], header)
    where = f"{path.name}, feuille « {sheet} »" if sheet else path.name
    if not found:
        raise SourceError(
            f"{where} : aucune cellule « {header} » dans les {HEADER_SEARCH} premières lignes, l'en-tête a bougé ou "
            f"changé. Premières lignes trouvées : {first_rows(rows)}. "
            "Ouvrir le classeur et corriger `options.header` dans la fiche."
        )
    if len(found) > 1:
        lines = ", ".join(str(i + 1) for i in found)
        raise SourceError(
            f"{where} : la cellule « {header} » se trouve sur plusieurs lignes ({lines}) : l'en-tête est ambigu. "
            "Choisir pour `options.header` une cellule propre à la ligne des noms de colonnes."
        )
    names = unique_names(rows[found[0]])
    body = [row for row in rows[found[0] + 1 + units_rows :] if any(cell != "" for cell in row)]
    columns = map(_column, zip(*body, strict=True)) if body else [pa.array([], pa.string())] * len(names)
    return connection.from_arrow(pa.table(list(columns), names=names))


def _rows(path: Path, sheet: str | None) -> list[list[Cell]]:
    try:
        if zipfile.is_zipfile(path):
            # calamine does not compare the checksums of the archive: a damaged cell would pass for a figure.
            archives.check_archive(path)
        workbook = CalamineWorkbook.from_path(str(path))
        names = {clean(name): name for name in workbook.sheet_names}
        if (len(names) > 1) if sheet is None else (clean(sheet) not in names):
            asked = f"feuille « {sheet} » absente" if sheet else "plusieurs feuilles, la fiche n'en nomme aucune"
            raise SourceError(
                f"{path.name} : {asked}. Feuilles trouvées : {', '.join(names)}. Corriger `options.sheet` de la fiche."
            )
        name = names[clean(sheet)] if sheet else workbook.sheet_names[0]
        return workbook.get_sheet_by_name(name).to_python(skip_empty_area=False)
    except (CalamineError, OSError) as error:
        raise SourceError(
            f"{path.name} : classeur tronqué ou corrompu ({error}). Le télécharger de nouveau."
        ) from error


def _column(cells: Sequence[Cell]) -> pa.Array:
    """One column as text; a column of figures only, the common case, is written by Arrow in one go."""
    if set(map(type, cells)) != {float}:
        return pa.array(map(_text, cells), pa.string())
    figures = pa.array(cells, pa.float64())
    if all(map(float.is_integer, cells)) and max(map(abs, cells)) < LARGEST_WHOLE:
        return figures.cast(pa.int64()).cast(pa.string())
    return figures.cast(pa.string())


def _text(cell: Cell) -> str | None:
    if type(cell) is str:
        return cell.strip() or None
    if type(cell) is float:
        return str(int(cell)) if cell.is_integer() and abs(cell) < LARGEST_WHOLE else repr(cell)
    if isinstance(cell, datetime.date | datetime.time):
        return cell.isoformat()
    if cell is None:
        return None
    return str(cell)
