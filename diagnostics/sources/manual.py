"""Files that no producer opens (CPAM, CRCDC, ORS extractions, ARS zoning): dropped by hand, with their provenance.

Under `<data>/manual/<dataset>/<file>`, one CSV in the columns that the card names plus three of provenance on every
line: `producer`, `obtained_on` (AAAA-MM-JJ), `reference` (letter, convention or message that gave the right to use it).
"""

from __future__ import annotations

import csv
import datetime
import itertools
import re
from pathlib import Path

from diagnostics.catalog.models import Coded, Distribution
from diagnostics.errors import SourceError
from diagnostics.storage import replacing

PROVENANCE = ("producer", "obtained_on", "reference")
SEPARATOR = ";"


def template_columns(distribution: Distribution) -> list[str]:
    """The columns that the card reads, then those of provenance."""
    read: list[str] = list((distribution.table or {}).values())
    for block in distribution.observations:
        read += [geo.code for geo in block.geo]
        read += [c for c in (block.period_column, block.variable_column, block.value_column) if c]
        if block.variable_column is None:
            read += [v.column if isinstance(v, Coded) else v for v in block.values.values()]
    named = [name for text in read for name in re.findall(r'"([^"]+)"', text) or [text]]
    return [*dict.fromkeys(named), *PROVENANCE]


def write_template(distribution: Distribution, target: Path) -> Path:
    """An empty CSV that a spreadsheet opens and `fetch` accepts once filled in. Never overwrites a file."""
    if target.exists():
        raise SourceError(f"{target} existe déjà : le modèle ne le remplace pas.")
    with replacing(target) as temporary, Path(temporary).open("w", encoding="utf-8-sig", newline="") as out:
        csv.writer(out, delimiter=_separator(distribution)).writerow(template_columns(distribution))
    return target


def check_provenance(file: Path, distribution: Distribution) -> None:
    """Raise SourceError, naming the line, unless every line says from whom, when and by what right."""
    encoding = distribution.options.get("encoding", "utf-8-sig")
    try:
        with file.open(encoding=encoding, newline="") as stream:
            # A title may stand above the header, as producers like to put one.
            lines = stream
            if header := distribution.options.get("header"):
                lines = itertools.dropwhile(lambda line: header not in line, stream)
            _check_lines(csv.DictReader(lines, delimiter=_separator(distribution)), file)
    except UnicodeDecodeError as error:
        raise SourceError(
            f"{file} : n'est pas en {encoding} ({error.reason}). L'enregistrer en « CSV UTF-8 »."
        ) from error


def _check_lines(lines: csv.DictReader, file: Path) -> None:
    absent = [name for name in PROVENANCE if name not in (lines.fieldnames or [])]
    if absent:
        raise SourceError(
            f"{file}, ligne 1 : colonne(s) de provenance absente(s) : {', '.join(absent)}. "
            f"Colonnes trouvées : {', '.join(lines.fieldnames or [])}. Les ajouter et les remplir à chaque ligne."
        )
    for line in lines:
        for name in PROVENANCE:
            if not (line[name] or "").strip():
                raise SourceError(f"{file}, ligne {lines.line_num} : `{name}` est vide. Dire d'où vient ce chiffre.")
        try:
            datetime.date.fromisoformat(line["obtained_on"].strip())
        except ValueError as error:
            raise SourceError(
                f"{file}, ligne {lines.line_num} : `obtained_on` = « {line['obtained_on']} » n'est pas une date. "
                "L'écrire AAAA-MM-JJ, par ex. 2026-03-31."
            ) from error


def _separator(distribution: Distribution) -> str:
    return distribution.options.get("separator", SEPARATOR)
