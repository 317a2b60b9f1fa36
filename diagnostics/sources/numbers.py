"""Figures as French files write them -> DOUBLE, in one DuckDB expression.

Accepted: `1234`, `-3.5`, `12,3`, `1 234,5` (ordinary, no-break, narrow or thin spaces between groups of three),
`12,3 %` (read as 12.3), `1.5e-05`, the typographic minus. Refused, so that a doubt never becomes a figure: `1,234.5`,
`1.234,5`, `12 34`, `<5`, `n.d.`, `inf`.
"""

from __future__ import annotations

SPACES = " \t\r\n\u00a0\u2007\u2009\u202f\ufeff"
_GROUP = r"[ \x{00A0}\x{2007}\x{2009}\x{202F}]"
_PLAIN = r"-?\d+(?:\.\d+)?"
_FRENCH = rf"[+\-\x{{2212}}]?(?:(?:\d{{1,3}}(?:{_GROUP}\d{{3}})+|\d+)(?:[.,]\d*)?|[.,]\d+)(?:[eE][+\-]?\d+)?{_GROUP}?%?"


def stripped(text: str) -> str:
    """SQL: the cell as text without the spaces around it; an empty cell is the empty string."""
    return f"trim(coalesce(CAST({text} AS VARCHAR), ''), '{SPACES}')"


def number(text: str) -> str:
    """SQL: the figure that a stripped text holds, NULL when it holds none or one too large for a double."""
    bare = f"regexp_replace({text}, '{_GROUP}|%', '', 'g')"
    spelt = f"replace(replace({bare}, '\u2212', '-'), ',', '.')"
    figure = (
        f"CASE WHEN regexp_full_match({text}, '{_PLAIN}') THEN TRY_CAST({text} AS DOUBLE) "
        f"WHEN regexp_full_match({text}, '{_FRENCH}') THEN TRY_CAST({spelt} AS DOUBLE) END"
    )
    return f"list_filter([{figure}], lambda x: isfinite(x))[1]"
