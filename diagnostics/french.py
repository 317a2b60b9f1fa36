"""French typography for everything an analyst or an elected official reads: numbers, units, dates, lists.

Built on Babel's CLDR data for `fr`; narrow no-break spaces (U+202F) group thousands and precede units.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import ROUND_HALF_UP, Decimal

from babel.dates import format_date
from babel.numbers import format_decimal

NARROW = "\u202f"
NO_BREAK = "\u00a0"
UNKNOWN = "n.d."
SIGNS = ("%", "€", "‰")
UNSAID = ("score", "indice")
"""Units that name what the number is and cannot follow it: « une défavorisation de 0,61 »."""
INVARIABLE = ("décès",)


def number(value: float | None, decimals: int = 0, *, sign: bool = False) -> str:
    """`1 234,5`. An unknown value (None or NaN) is `n.d.`; the minus is U+2212."""
    if value is None or math.isnan(value):
        return UNKNOWN
    # Half goes up, as readers expect; the shortest decimal writing of the float is what they would round.
    rounded = Decimal(str(float(value))).quantize(Decimal(1).scaleb(-decimals), ROUND_HALF_UP)
    text = format_decimal(abs(rounded), format="#,##0." + "0" * decimals, locale="fr", decimal_quantization=False)
    if decimals == 0:
        text = text.rstrip(",")
    prefix = "\u2212" if rounded < 0 else ("+" if sign and rounded > 0 else "")
    return prefix + text


def quantity(value: float | None, unit: str, decimals: int = 0, *, sign: bool = False) -> str:
    """`12,3 %`, `1 234 habitants`, `1 habitant`. An unknown value carries no unit."""
    text = number(value, decimals, sign=sign)
    if text == UNKNOWN or not unit or unit.startswith(UNSAID):
        return text
    noun, space, rest = unit.partition(" ")
    # French takes the plural from two on: 1,9 consultation.
    if abs(round(value, decimals)) < 2 and noun not in INVARIABLE:
        noun = noun.removesuffix("s")
    return f"{text}{NARROW if unit in SIGNS else NO_BREAK}{noun}{space}{rest}"


def interval(low: float | None, high: float | None, decimals: int = 0) -> str:
    """`[12,1 ; 14,8]`; empty when there is no interval."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    return f"[{number(low, decimals)}{NO_BREAK}; {number(high, decimals)}]"


def listing(items: Sequence[str]) -> str:
    """`a, b et c`."""
    items = list(items)
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " et " + items[-1] if items else ""


def amid(label: str) -> str:
    """A label as it stands inside a sentence: its capital goes, unless it begins an acronym."""
    return label if label[1:2].isupper() else label[:1].lower() + label[1:]


def short_epci_name(name: str) -> str:
    """`CC du Bassin de Pompey`: the kind of EPCI by its usual initials."""
    for kind, initials in (
        ("Communauté de communes", "CC"),
        ("Communauté d['’]agglomération", "CA"),
        ("Communauté urbaine", "CU"),
    ):
        name = re.sub(rf"^{kind}\b", initials, name, flags=re.IGNORECASE)
    return name


def date(value, pattern: str = "d MMMM y") -> str:
    """`22 novembre 2026`; the first of the month is `1er`."""
    text = format_date(value, pattern, locale="fr")
    return text.replace("1 ", "1er ", 1) if text.startswith("1 ") else text
