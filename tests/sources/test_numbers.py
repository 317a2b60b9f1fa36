"""The number parser against a loop that reads one sign at a time."""

from __future__ import annotations

import math

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.sources import numbers

DIGITS = "0123456789"
SPACES = "\u00a0\u2007\u2009\u202f "


def parsed(cells: list[str | None]) -> list[float | None]:
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (i INTEGER, cell VARCHAR)")
        connection.executemany("INSERT INTO t VALUES (?, ?)", list(enumerate(cells)))
        text = numbers.stripped("cell")
        return [row[0] for row in connection.sql(f"SELECT {numbers.number(text)} FROM t ORDER BY i").fetchall()]


def taken(text: list[str], signs: str, most: int = 1000) -> str:
    """Take from the front of `text` the signs that are among `signs`."""
    found = ""
    while text and text[0] in signs and len(found) < most:
        found += text.pop(0)
    return found


def dumb(cell: str) -> float | None:
    """Sign, groups of digits, at most one mark, digits, exponent, percent: one sign after the other."""
    text = list(cell.strip(numbers.SPACES))
    sign = -1.0 if taken(text, "+-\u2212", 1) in ("-", "\u2212") else 1.0
    groups = [taken(text, DIGITS)]
    while groups[0] and len(text) > 1 and text[0] in SPACES and text[1] in DIGITS:
        text.pop(0)
        groups.append(taken(text, DIGITS))
    if len(groups) > 1 and not (len(groups[0]) <= 3 and all(len(group) == 3 for group in groups[1:])):
        return None
    decimals = taken(text, DIGITS) if taken(text, ",.", 1) else ""
    if not "".join(groups) + decimals:
        return None
    exponent = "0"
    if taken(text, "eE", 1):
        exponent = taken(text, "+-", 1) + taken(text, DIGITS)
        if not exponent.strip("+-"):
            return None
    if len(text) == 2 and text[0] in SPACES and text[1] == "%":
        text.pop(0)
    taken(text, "%", 1)
    found = sign * float(f"{''.join(groups) or '0'}.{decimals or '0'}e{exponent}")
    return found if not text and math.isfinite(found) else None


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("1234", 1234), ("12,3", 12.3), ("12.3", 12.3), ("-15,7", -15.7), ("\u22123,5", -3.5), ("+4", 4), (",5", 0.5),
        ("1 234,5", 1234.5), ("1\u202f234\u00a0567", 1234567), ("67\u2009760\u2009573", 67760573), ("  12  ", 12),
        ("12,3 %", 12.3), ("12,3\u202f%", 12.3), ("50%", 50), ("1.5e-05", 1.5e-05), ("1e+16", 1e16), ("007", 7),
        ("5.", 5), ("\ufeff3", 3),
    ],
)  # fmt: skip
def test_what_is_a_number(cell, expected):
    assert parsed([cell]) == [expected]
    assert dumb(cell) == pytest.approx(expected)


@pytest.mark.parametrize(
    "cell",
    ["", " ", None, "s", "nd", "n.d.", "-", "+", ".", ",", "%", "1,234.5", "1.234,5", "1 23", "12 34", "1  234", "<5",
     "1_000", "inf", "-inf", "nan", "NaN", "0x10", "1e", "1e999", "12%%", "1 %2", "--1", "2015 (1)", "2006*",
     "#VALEUR!", "١٢", "N/A - secret statistique", "1,2,3", "1234 567"],
)  # fmt: skip
def test_what_is_not(cell):
    assert parsed([cell]) == [None]


alphabet = st.text(alphabet="0123456789,.-+% \u00a0\u202f\u2212eEsn", max_size=9)
groups = st.lists(st.text("0123456789", min_size=1, max_size=4), min_size=1, max_size=4)
written = st.builds(
    lambda sign, parts, space, tail, percent: sign + space.join(parts) + tail + percent,
    st.sampled_from(["", "-", "\u2212", "+"]),
    groups,
    st.sampled_from(list(SPACES)),
    st.sampled_from(["", ",5", ".25", ",", "e3", "e-2", ",5e2"]),
    st.sampled_from(["", "%", " %", "\u202f%"]),
)


@given(st.lists(alphabet | written, min_size=1, max_size=40))
def test_parser_agrees_with_the_loop(cells):
    for cell, found, expected in zip(cells, parsed(cells), map(dumb, cells), strict=True):
        assert (found is None) == (expected is None), repr(cell)
        if found is not None:
            assert found == pytest.approx(expected, rel=1e-15), repr(cell)


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=40))
def test_every_double_survives_its_shortest_text(values):
    assert parsed([repr(value) for value in values]) == values
    assert parsed([repr(value).replace(".", ",") for value in values]) == values
