"""Two dated copies of a CLS side by side. Pure: what is found depends on the two copies and the catalogue alone."""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

import pandas as pd

from diagnostics import french
from diagnostics.catalog import Catalog
from diagnostics.catalog.models import Indicator
from diagnostics.changes.history import CopyFacts, DatedCopy, Refused

KEY = ["indicator_id", "zone_type", "zone_code", "period"]
BENCHMARKS = ("departement", "region", "france")


@dataclass(frozen=True)
class NewFile:
    """A raw file that is not the one it was. `before` is None for a file that was not used before."""

    title: str
    before: str | None
    after: str | None

    @property
    def same_vintage(self) -> bool:
        return self.before == self.after


@dataclass(frozen=True)
class NewPeriod:
    """An indicator whose latest known period of the CLS moved."""

    indicator: Indicator
    before: str | None
    after: str | None


@dataclass(frozen=True)
class Revision:
    """A figure of the same indicator, zone and period that moved beyond rounding, appeared or vanished (None)."""

    indicator: Indicator
    zone: str
    period: str
    before: float | None
    after: float | None


@dataclass(frozen=True)
class Crossing:
    """The figure of the CLS passed from one class of its declared thresholds to another."""

    indicator: Indicator
    thresholds: tuple[float, ...]
    before: float
    after: float


@dataclass(frozen=True)
class Side:
    """The figure of the CLS was on one side of a benchmark and is now on the other (-1 below, 0 equal, 1 above)."""

    indicator: Indicator
    benchmark: str
    before: int
    after: int


@dataclass(frozen=True)
class Changes:
    before: CopyFacts
    after: CopyFacts
    files: list[NewFile]
    periods: list[NewPeriod]
    revisions: list[Revision]
    crossings: list[Crossing]
    sides: list[Side]
    left: dict[str, str]
    joined: dict[str, str]
    refused: list[Refused]
    gone: list[str]
    """Labels of indicators that are no longer in the catalogue, but were in the former copy."""

    @property
    def any(self) -> bool:
        return any((self.files, self.periods, self.revisions, self.crossings, self.sides, self.left, self.joined,
                    self.refused, self.gone))  # fmt: skip


def compare(before: DatedCopy, after: DatedCopy, catalog: Catalog) -> Changes:
    """What changed from one copy of a CLS to a later one of the same CLS."""
    known = catalog.indicators
    old, new = (_latest(copy) for copy in (before, after))
    return Changes(
        before=before.facts,
        after=after.facts,
        files=_files(before.facts, after.facts),
        periods=_periods(old, new, after.facts.territory, known),
        revisions=_revisions(before, after, known),
        crossings=_crossings(old, new, after.facts.territory, known),
        sides=_sides(old, new, after.facts, known),
        left={c: n for c, n in before.facts.communes.items() if c not in after.facts.communes},
        joined={c: n for c, n in after.facts.communes.items() if c not in before.facts.communes},
        refused=after.facts.refused,
        gone=sorted(set(before.values["indicator_id"]) - set(known)),
    )


def rounding(indicator: Indicator) -> float:
    """Half a unit of the last figure shown: a smaller move is none."""
    return 0.5 * 10.0**-indicator.decimals


def revised(before: float, after: float, indicator: Indicator) -> bool:
    """Whether a figure moved beyond rounding, and reads otherwise than before."""
    shown = [french.number(value, indicator.decimals) for value in (before, after)]
    return abs(after - before) > rounding(indicator) and shown[0] != shown[1]


Latest = dict[tuple[str, str, str], tuple[str, float]]
"""(indicator, zone type, zone code) -> period and value of its latest known figure."""


def _latest(copy: DatedCopy) -> Latest:
    known = copy.values.dropna(subset=["value"]).sort_values("period")
    return {(r.indicator_id, r.zone_type, r.zone_code): (r.period, r.value) for r in known.itertuples()}


def _files(before: CopyFacts, after: CopyFacts) -> list[NewFile]:
    old, new = ({(f.dataset, f.distribution): f for f in facts.files} for facts in (before, after))
    found = []
    for key in sorted(old.keys() | new.keys()):
        a, b = old.get(key), new.get(key)
        if a is None or b is None or a.sha256 != b.sha256:
            found.append(NewFile((b or a).title, a and a.vintage, b and b.vintage))
    # Several files of one dataset that move together are one piece of news.
    return list(dict.fromkeys(found))


def _periods(old: Latest, new: Latest, territory: str, known: dict[str, Indicator]) -> list[NewPeriod]:
    found = []
    for name, indicator in known.items():
        a, b = old.get((name, "cls", territory)), new.get((name, "cls", territory))
        first, last = a and a[0], b and b[0]
        if first != last:
            found.append(NewPeriod(indicator, first, last))
    return found


def _revisions(before: DatedCopy, after: DatedCopy, known: dict[str, Indicator]) -> list[Revision]:
    both = before.values[[*KEY, "value"]].merge(
        after.values[[*KEY, "value"]], on=KEY, how="inner", suffixes=("_before", "_after")
    )
    names = before.facts.zones | after.facts.zones
    found = []
    for row in both[both["indicator_id"].isin(known)].itertuples():
        indicator = known[row.indicator_id]
        a, b = _or_none(row.value_before), _or_none(row.value_after)
        if (a is None) != (b is None) or (a is not None and revised(a, b, indicator)):
            zone = names.get(f"{row.zone_type}/{row.zone_code}", row.zone_code)
            found.append(Revision(indicator, zone, row.period, a, b))
    return found


def _crossings(old: Latest, new: Latest, territory: str, known: dict[str, Indicator]) -> list[Crossing]:
    found = []
    for name, indicator in known.items():
        breaks = indicator.classification.breaks
        a, b = old.get((name, "cls", territory)), new.get((name, "cls", territory))
        if not breaks or a is None or b is None:
            continue
        low, high = sorted((bisect_right(breaks, a[1]), bisect_right(breaks, b[1])))
        if low != high:
            found.append(Crossing(indicator, tuple(breaks[low:high]), a[1], b[1]))
    return found


def _sides(old: Latest, new: Latest, facts: CopyFacts, known: dict[str, Indicator]) -> list[Side]:
    benchmarks = [key.split("/", 1) for key in facts.zones if key.split("/", 1)[0] in BENCHMARKS]
    found = []
    for name, indicator in known.items():
        if indicator.formula is not None and indicator.formula.kind == "sum":
            continue  # a count of a CLS is always below that of France
        for zone_type, code in benchmarks:
            here, there = (name, "cls", facts.territory), (name, zone_type, code)
            sides = [_side(latest.get(here), latest.get(there), rounding(indicator)) for latest in (old, new)]
            if None not in sides and sides[0] != sides[1]:
                found.append(Side(indicator, facts.zones[f"{zone_type}/{code}"], *sides))
    return found


def _side(here: tuple[str, float] | None, there: tuple[str, float] | None, equal: float) -> int | None:
    # Figures of two different years are not on two sides of anything.
    if here is None or there is None or here[0] != there[0]:
        return None
    gap = here[1] - there[1]
    return 0 if abs(gap) <= equal else int(math.copysign(1, gap))


def _or_none(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
