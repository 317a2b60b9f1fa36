"""Readers against the plain alternative on the same file: APL workbooks, an RPPS-like file, the whole mirror.

`run()` gives one dictionary per case: `name`, `seconds`, `peer_seconds` (None without a peer), `ratio` (seconds over
peer's), `limit` and what it is on, `limit_on`, and `memory_mb`, the peak of the process.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import duckdb
import pandas as pd

from diagnostics.catalog.loading import CATALOG, load_card
from diagnostics.catalog.models import Source
from diagnostics.sources.contract import check, require
from diagnostics.sources.observe import observe, read_table
from diagnostics.sources.readers import read, to_parquet

ROOT = Path(__file__).resolve().parents[1]
MIRROR = Path(os.environ.get("DIAGNOSTIC_MIRROR", ROOT.parent / "shared" / "open-data"))
RPPS_ROWS = 1_200_000
#: The columns that the house keeps: no name of a person.
RPPS_COLUMNS = {
    "person": "Identifiant PP",
    "profession": "Code profession",
    "category": "Code catégorie professionnelle",
    "skill": "Code savoir-faire",
    "mode": "Code mode exercice",
    "sector": "Code secteur d'activité",
    "site": "Numéro FINESS site",
    "commune": "Code commune (coord. structure)",
}
SELECT = ", ".join(f'"{theirs}" AS {ours}' for ours, theirs in RPPS_COLUMNS.items())


def run() -> list[dict]:
    """Every case, each in a process of its own so that its memory can be read."""
    cases = []
    if MIRROR.is_dir():
        title = "Quatre classeurs APL, deux feuilles chacun"
        cases.append(_measured(title, _workbooks, _workbooks_pandas, limit=1 / 5))
    with tempfile.TemporaryDirectory() as name:
        text = _write_rpps(Path(name) / "ps-libreacces-personne-activite.txt")
        target = Path(name) / "rpps.parquet"
        size = text.stat().st_size >> 20
        title = f"RPPS engendré, {RPPS_ROWS} lignes, {size} Mio, vers Parquet"
        cases.append(_measured(title, _rpps, _rpps_copy, limit=1.5, arguments=(text, target)))
    title = "Tout le miroir, des fichiers aux observations contrôlées"
    if MIRROR.is_dir():
        cases.append(_measured(title, _mirror, None, limit=60))
    else:
        cases.append({"name": title, "skipped": f"no mirror folder at {MIRROR.name}"})
    return cases


def _measured(name: str, ours: Callable, peer: Callable | None, *, limit: float, arguments: tuple = ()) -> dict:
    """The better of two alternating rounds where there is a peer: a shared machine slows one side, then the other."""
    if peer is None:
        (seconds, memory), peer_seconds = _alone(ours, arguments), None
    else:
        rounds = [(_alone(ours, arguments), _alone(peer, arguments)[0]) for _ in range(2)]
        seconds, memory = min(ours for ours, _ in rounds)
        peer_seconds = min(peer for _, peer in rounds)
    return {
        "name": name,
        "seconds": seconds,
        "peer_seconds": peer_seconds,
        "ratio": seconds / peer_seconds if peer_seconds else None,
        "limit": limit,
        "limit_on": "ratio" if peer_seconds else "seconds",
        "memory_mb": memory,
    }


def _alone(function: Callable, arguments: tuple) -> tuple[float, float]:
    """Seconds and peak memory (MB) of one call in a fresh process, imports left out of the time."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_timed, (function, arguments))


def _timed(function: Callable, arguments: tuple) -> tuple[float, float]:
    start = time.perf_counter()
    function(*arguments)
    seconds = time.perf_counter() - start
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


def _apl_sheets() -> list[tuple[Path, str]]:
    return [(path, f"APL {year}") for path in sorted((MIRROR / "drees_apl").glob("*.xlsx")) for year in (2022, 2023)]


def _workbooks() -> None:
    for path, sheet in _apl_sheets():
        read(path, "workbook", {"sheet": sheet, "header": "Code commune INSEE", "units_rows": 1})


def _workbooks_pandas() -> None:
    for path, sheet in _apl_sheets():
        pd.read_excel(path, sheet_name=sheet, header=8, dtype=str, engine="openpyxl")


def _rpps(text: Path, target: Path) -> None:
    assert to_parquet(text, "rpps", {}, target, select=SELECT) == RPPS_ROWS


def _rpps_copy(text: Path, target: Path) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar=false")
        connection.execute(
            f"COPY (SELECT {SELECT} FROM read_csv('{text}', delim='|', quote='', escape='', header=true, "
            f"all_varchar=true)) TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
        )


def _write_rpps(path: Path) -> Path:
    """A file of the width of the real one: the eight columns kept among 55 of text, quotes left unclosed."""
    cells = {
        "person": "lpad(CAST(810000000000 + i % 950000 AS VARCHAR), 12, '0')",
        "profession": "['10', '21', '40', '50', '60', '70', '80'][1 + i % 7]",
        "category": "['C', 'E', 'M'][1 + i % 3]",
        "skill": "'SM' || lpad(CAST(i % 60 AS VARCHAR), 2, '0')",
        "mode": "['L', 'S', 'B', ''][1 + i % 4]",
        "sector": "'SA' || CAST(i % 40 AS VARCHAR)",
        "site": "CASE WHEN i % 3 = 0 THEN '' ELSE CAST(540000000 + i % 90000 AS VARCHAR) END",
        "commune": "CASE WHEN i % 11 = 0 THEN '' ELSE CAST(54000 + i % 600 AS VARCHAR) END",
    }
    columns = [f'{cells[ours]} AS "{theirs}"' for ours, theirs in RPPS_COLUMNS.items()]
    columns += [f'\'Colonne {n} "\' || CAST(i % {97 + n} AS VARCHAR) AS "Libellé {n}"' for n in range(47)]
    with duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar=false")
        connection.execute(
            f"COPY (SELECT {', '.join(columns)} FROM range({RPPS_ROWS}) t(i)) TO '{path}' "
            "(FORMAT csv, DELIMITER '|', QUOTE '', ESCAPE '', HEADER true)"
        )
    return path


def _mirror() -> None:
    for file in sorted((CATALOG / "sources").glob("*.yaml")):
        source = load_card(file, Source)
        for distribution in source.distributions:
            if not distribution.address.startswith("mirror://"):
                continue
            path = MIRROR / distribution.address.removeprefix("mirror://")
            if distribution.table:
                read_table(source, distribution, path)
            if distribution.observations:
                require(check(source, distribution, observe(source, distribution, path)), source.id)


if __name__ == "__main__":
    for case in run():
        print(case)
