"""Delimited text, plain or packed: read by DuckDB as text columns, streamed."""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from diagnostics.errors import SourceError
from diagnostics.sources.readers.columns import find_header, first_rows, literal, unique_names
from diagnostics.sources.readers.unpacking import LineFilter, plain_text

HEADER_SEARCH = 60
#: A commune outline written as hexadecimal takes up to several megabytes on one line.
LONGEST_LINE = 64 << 20

FINESS_SECTIONS = {
    "structureet": (
        "nofinesset nofinessej rs rslongue complrs compldistrib numvoie typvoie voie compvoie lieuditbp commune "
        "departement libdepartement ligneacheminement telephone telecopie categetab libcategetab categagretab "
        "libcategagretab siret codeape codemft libmft codesph libsph dateouv dateautor datemaj numuai"
    ),
    "geolocalisation": "nofinesset coordxet coordyet sourcecoordet datemaj",
    "equipementsocial": (
        "nofinesset de libde ta libta client libclient sourceinfo capinstot capinstm capinstf capinsthab ageminiinst "
        "agemaxiinst indsupinst datederinst datepremautor capautot capautm capautf capauthab ageminiaut agemaxiaut "
        "indsupaut dateautor datemajaut datemajinst"
    ),
}


@dataclass(frozen=True)
class Dialect:
    """How a delimited file is written. `header` (a cell to find) wins over `header_row` (1-based)."""

    separator: str = ";"
    encoding: str = "utf-8"
    quoting: bool = True
    header_row: int = 1
    header: str | None = None
    skip_rows: int = 0
    columns: tuple[str, ...] | None = None
    null: str = ""
    units_rows: int = 0


def read_delimited(
    path: Path, dialect: Dialect, connection: duckdb.DuckDBPyConnection, folder: Path, keep: LineFilter | None = None
) -> duckdb.DuckDBPyRelation:
    """The rows of `path` as text; an empty cell is NULL. `skip_rows` lines come before the header; `units_rows` after.

    Raises SourceError naming the line that has too many or too few cells.
    """
    text = plain_text(path, folder, dialect.encoding, keep=keep)
    if dialect.columns is not None:
        names, skip = unique_names(dialect.columns), dialect.skip_rows
    else:
        names, skip = _header(path, text, dialect)
    return connection.sql(_scan(text, names, skip + dialect.units_rows, dialect))


def read_finess(
    path: Path,
    connection: duckdb.DuckDBPyConnection,
    folder: Path,
    *,
    section: str,
    encoding: str = "latin-1",
) -> duckdb.DuckDBPyRelation:
    """One section of a FINESS extraction (no header; each line says its section first)."""
    if section not in FINESS_SECTIONS:
        raise SourceError(
            f"{path.name} : section FINESS inconnue « {section} ». Sections connues : {', '.join(FINESS_SECTIONS)}."
        )
    columns = ("section", *FINESS_SECTIONS[section].split())
    prefix = section.encode() + b";"
    dialect = Dialect(encoding=encoding, quoting=False, columns=columns)

    def only_section(blocks: Iterator[bytes]) -> Iterator[bytes]:
        for lines in _whole_lines(blocks):
            yield b"".join(line.rstrip(b"\r\n") + b"\n" for line in lines if line.startswith(prefix))

    relation = read_delimited(path, dialect, connection, folder, keep=only_section)
    if relation.limit(1).fetchall() == []:
        raise SourceError(f"{path.name} : aucune ligne de la section « {section} ». Vérifier l'extraction FINESS.")
    return relation


def read_melodi(path: Path, connection: duckdb.DuckDBPyConnection, folder: Path, **options) -> duckdb.DuckDBPyRelation:
    """An Insee Melodi file. `GEO` keeps the code alone (`2026-DEP-58` -> `58`); `OBS_VALUE` holds the status letter
    where there is no figure: `C` confidential, `K` counted with another commune, `O` missing."""
    raw = read_delimited(path, Dialect(**options), connection, folder)
    required = [name for name in ("GEO", "TIME_PERIOD", "OBS_VALUE") if name not in raw.columns]
    if required:
        raise SourceError(
            f"{path.name} : colonne(s) {', '.join(required)} absente(s) d'un fichier Melodi. "
            f"Colonnes trouvées : {', '.join(raw.columns)}."
        )
    cases = []
    if "CONF_STATUS" in raw.columns:
        cases.append("WHEN CONF_STATUS IN ('C', 'N') THEN 'C'")
    if "OBS_STATUS" in raw.columns:
        cases.append("WHEN OBS_STATUS IN ('K', 'O', 'M') THEN OBS_STATUS")
    value = f"CASE {' '.join(cases)} ELSE OBS_VALUE END" if cases else "OBS_VALUE"
    return raw.project(f"* REPLACE (regexp_extract(GEO, '[^-]*$') AS GEO, {value} AS OBS_VALUE)")


def _header(path: Path, text: Path, dialect: Dialect) -> tuple[list[str], int]:
    """Names of the columns, and the number of physical lines before the first line of data."""
    with text.open(encoding="utf-8", newline="") as stream:
        try:
            lines = _numbered(stream, dialect)
            rows = list(itertools.islice(lines, dialect.skip_rows, HEADER_SEARCH + dialect.skip_rows))
        except UnicodeDecodeError as error:
            raise SourceError(
                f"{path.name} : n'est pas en UTF-8 ({error.reason}). Corriger l'option `encoding` de la fiche "
                "(cp1252, latin-1)."
            ) from error
        except csv.Error as error:
            raise SourceError(f"{path.name} : en-tête illisible ({error}).") from error
    if dialect.header is None:
        index = dialect.header_row - 1
        if index >= len(rows):
            raise SourceError(
                f"{path.name} : l'en-tête était attendu ligne {dialect.header_row}, le fichier n'a que "
                f"{len(rows)} ligne(s). Fichier vide ou tronqué : le télécharger de nouveau."
            )
    else:
        found = find_header([row for row, _ in rows], dialect.header)
        if not found:
            raise SourceError(
                f"{path.name} : aucune cellule « {dialect.header} » dans les {HEADER_SEARCH} premières lignes. "
                f"Premières lignes trouvées : {first_rows([row for row, _ in rows])}. "
                "Si le producteur a renommé la colonne, corriger `header` et les colonnes dans la fiche."
            )
        index = found[0]
    cells, consumed = rows[index]
    return unique_names(cells), consumed


def _numbered(stream, dialect: Dialect) -> Iterator[tuple[list[str], int]]:
    csv.field_size_limit(LONGEST_LINE)
    quoting = csv.QUOTE_MINIMAL if dialect.quoting else csv.QUOTE_NONE
    reader = csv.reader(stream, delimiter=dialect.separator, quoting=quoting)
    return ((row, reader.line_num) for row in reader)


def _scan(text: Path, names: list[str], skip: int, dialect: Dialect) -> str:
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in names)
    quote = literal('"') if dialect.quoting else "''"
    nulls = f"['', {literal(dialect.null)}]" if dialect.null else "''"
    return (
        f"SELECT * FROM read_csv({literal(str(text))}, auto_detect=false, header=false, skip={skip}, "
        f"delim={literal(dialect.separator)}, quote={quote}, escape={quote}, nullstr={nulls}, "
        f"max_line_size={LONGEST_LINE}, strict_mode=true, columns={{{columns}}})"
    )


def _whole_lines(blocks: Iterator[bytes]) -> Iterator[list[bytes]]:
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).splitlines(keepends=True) or [b""]
        if rest.endswith(b"\n"):
            lines, rest = [*lines, rest], b""
        yield lines
    yield [rest]
