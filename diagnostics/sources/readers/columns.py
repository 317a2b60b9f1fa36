"""Names of columns as the producer wrote them, made fit to be quoted in a card."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence


def clean(text: str) -> str:
    """One line, single ordinary spaces: workbooks break lines and hide no-break spaces inside their headers."""
    return " ".join(text.replace("\ufeff", "").split())


def unique_names(cells: Iterable[object]) -> list[str]:
    """Header cells as distinct names. A nameless column is `column_<position>`; a repeated name gets `_2`, `_3`…

    Compared without case, as DuckDB does.
    """
    seen: Counter[str] = Counter()
    names = []
    for position, cell in enumerate(cells, start=1):
        name = clean("" if cell is None else str(cell)) or f"column_{position}"
        seen[name.casefold()] += 1
        names.append(name if seen[name.casefold()] == 1 else f"{name}_{seen[name.casefold()]}")
    return names


def find_header(rows: Sequence[Sequence[object]], wanted: str) -> list[int]:
    """Indices of the rows that hold a cell whose text is `wanted`."""
    target = clean(wanted)
    return [
        i for i, row in enumerate(rows) if any(clean(str(cell)) == target for cell in row if cell not in ("", None))
    ]


def first_rows(rows: Sequence[Sequence[object]], count: int = 4) -> str:
    """The first rows that hold something, for messages."""
    shown = [[clean(str(cell))[:40] for cell in row if cell not in ("", None)][:6] for row in rows]
    return " / ".join(f"« {' | '.join(row)} »" for row in [row for row in shown if row][:count]) or "(rien)"


def quoted(name: str) -> str:
    """A DuckDB identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A DuckDB string literal."""
    return "'" + text.replace("'", "''") + "'"
