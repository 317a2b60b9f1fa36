"""Secrecy over all that is published: the rows that go with the masked ones, so that nothing gives them away.

What is published of a count: its sums over the zones (IRIS ⊂ commune ⊂ EPCI, PETR, CLS, département, region, France),
by one indicator or several, as a numerator or as a denominator. Whoever knows a value and its denominator knows the
numerator. Three ways to a masked count are shut: from a total and its other members, within each count; from two
indicators that add up a count over different communes, by holding each total to its own members; from other counts
(a whole and its parts), by showing a count that others give only where they are all shown.

Left out: the counts of derived figures (deaths behind the ICM), whose functions mask what is small by themselves, and
which no other can be subtracted from: shown above the commune only, where none is small, over years of their own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
import pandas as pd

from diagnostics.statistics.secrecy import NOTHING, PUBLISHED, protect

FINEST = ("commune", "departement")
"""What totals are made of: communes, or départements for what is known by département only."""


@dataclass(frozen=True)
class Shown:
    """One count that an indicator shows, as numerator or denominator.

    `terms`: variable and period -> coefficient; `ruled`: a rule of secrecy bears on it; `rows`, one per zone: `zone`
    (its number), `count` (missing when unknown), `masked` (by that rule), `published` (False when something else
    withholds the row).
    """

    indicator: str
    terms: Mapping[tuple[str, str], float]
    ruled: bool
    rows: pd.DataFrame

    @property
    def form(self) -> frozenset:
        return frozenset(self.terms.items())


@dataclass(frozen=True)
class Places:
    """The zones that counts are shown for. A zone goes by its number: its place in `kind`, which tells its type.

    `unit`, `zone`: a line per commune or département of each zone above it, and per IRIS of each commune.
    """

    kind: np.ndarray
    unit: np.ndarray
    zone: np.ndarray

    @cached_property
    def commune_of(self) -> np.ndarray:
        """The commune of each IRIS; -1 for other zones."""
        owned = (self.kind[self.unit] == "iris") & (self.kind[self.zone] == "commune")
        communes = np.full(len(self.kind), -1)
        communes[self.unit[owned]] = self.zone[owned]
        return communes

    def above(self, finest: str) -> tuple[np.ndarray, np.ndarray]:
        """(unit, zone): the zones that each unit of the kind `finest` is part of."""
        higher = (self.kind[self.unit] == finest) & (self.kind[self.zone] != finest)
        return self.unit[higher], self.zone[higher]


def withheld_with(shown: Sequence[Shown], places: Places) -> dict[str, np.ndarray]:
    """indicator -> the zones it must not show, besides what its own rule masks.

    Every published count is the sum of its members of known count.
    """
    shown = _concerned(shown)
    groups: dict[frozenset, list[Shown]] = {}
    # What no rule bears on comes first: it is shown as it is, and what it gives of the others is hidden there.
    for one in sorted(shown, key=lambda s: (any(o.ruled for o in shown if o.form == s.form), len(s.terms))):
        groups.setdefault(one.form, []).append(one)
    given = _given_by_others(list(groups))
    tied = set(given) | {i for others in given.values() for i in others}
    # Where nothing is masked, and no other count tells anything, there is nothing to protect.
    counts = {
        i: _Count.of(group, places)
        for i, group in enumerate(groups.values())
        if i in tied or any(one.rows["masked"].any() for one in group)
    }
    changed = True
    while changed:
        for count in counts.values():
            count.protect()
        changed = sum(_agree(counts[i], [counts[j] for j in others]) for i, others in given.items()) > 0
    found = {}
    for one, i in ((one, i) for i, group in enumerate(groups.values()) if i in counts for one in group):
        zones = counts[i].hidden()
        found[one.indicator] = np.union1d(found.get(one.indicator, zones), zones)
    return found


def _concerned(shown: Sequence[Shown]) -> list[Shown]:
    """The counts that a rule bears on, and those that share a variable with them, near or far."""
    kept = [one for one in shown if one.ruled]
    variables = {term for one in kept for term in one.terms}
    while more := [one for one in shown if one not in kept and variables & set(one.terms)]:
        kept += more
        variables |= {term for one in more for term in one.terms}
    return kept


def _given_by_others(forms: list[frozenset]) -> dict[int, list[int]]:
    """position of a form -> those of the earlier ones it is a combination of (a whole, its parts); others left out."""
    atoms = sorted({term for form in forms for term, _ in form})
    vectors = np.zeros((len(forms), len(atoms)))
    for i, form in enumerate(forms):
        for term, coefficient in form:
            vectors[i, atoms.index(term)] = coefficient
    free: list[int] = []
    given = {}
    for i, vector in enumerate(vectors):
        weights, *_ = np.linalg.lstsq(vectors[free].T, vector, rcond=None) if free else (np.zeros(0),)
        if free and np.abs(vectors[free].T @ weights - vector).max() < NOTHING:
            given[i] = [free[k] for k in np.flatnonzero(np.abs(weights) > NOTHING)]
        else:
            free.append(i)
    return given


def _agree(whole: _Count, parts: list[_Count]) -> bool:
    """Hide `whole` where a part is hidden, and a part where `whole` is and every part is shown. True if any was."""
    hidden = np.concatenate([part.hidden() for part in parts])
    acted = whole.mask(hidden)
    sensitive = next((part for part in parts[::-1] if part.ruled), parts[-1])
    return sensitive.mask(np.setdiff1d(whole.hidden(), hidden)) or acted


@dataclass
class _Count:
    """One count over its units (the finest zones) and its totals; several indicators may show it.

    Units and totals have numbers of their own; `places` tells the zone of each. A zone has as many totals as there are
    sets of known members.
    """

    ruled: bool
    values: pd.Series
    totals: pd.Series
    pairs: pd.DataFrame
    places: np.ndarray
    masked: np.ndarray
    """Of the units, then of the totals, in their order: what is not shown."""

    @classmethod
    def of(cls, group: Sequence[Shown], places: Places) -> _Count:
        group = sorted(group, key=lambda one: one.indicator)
        rows = pd.concat([one.rows[one.rows["count"].notna()].assign(by=by) for by, one in enumerate(group)])
        masked = np.zeros(len(places.kind), dtype=bool)
        masked[rows.loc[rows["masked"], "zone"]] = True
        kind = places.kind[rows["zone"]]
        finest = next((level for level in FINEST if (kind == level).any()), None)
        # A total withheld for want of coverage is no secret: nobody sees it, and nothing need protect it. A unit that
        # is not shown still counts in the totals: it is held to be known.
        seen = masked[rows["zone"]] | rows["published"].to_numpy(dtype=bool)
        rows = rows[seen | (kind == "iris") | (kind == finest)]
        units = _units(rows, finest, places)
        spoken = [rows.loc[rows["by"] == by, "zone"] for by in range(len(group))]
        members = pd.concat([_members(known, units, finest, places).assign(by=by) for by, known in enumerate(spoken)])
        totals, pairs = _totals(members)
        counts = rows.set_index(["zone", "by"])["count"]
        names = pd.MultiIndex.from_arrays([places.kind[totals["zone"]], totals.index], names=["zone_type", "zone_code"])
        here = np.concatenate([units["zone"], totals["zone"]])
        return cls(
            ruled=any(one.ruled for one in group),
            values=units["count"],
            totals=counts.loc[pd.MultiIndex.from_frame(totals)].set_axis(names),
            pairs=pairs.assign(zone_type=names.get_level_values("zone_type").take(pairs["zone_code"])),
            places=here,
            # The rest of a commune is hidden from everyone and secret for nobody: it hides others, and needs no hiding.
            masked=masked[here] & (here != REST),
        )

    def protect(self) -> None:
        if not len(self.totals):
            return
        size = len(self.values)
        found = protect(self.values, self.totals, self.pairs, self.masked[:size], self.masked[size:])
        self.masked = np.append(found.units != PUBLISHED, found.zones != PUBLISHED)

    def mask(self, zones: np.ndarray) -> bool:
        """Hide `zones` too; True when one of them was shown."""
        more = np.isin(self.places, zones) & ~self.masked
        self.masked = self.masked | more
        return bool(more.any())

    def hidden(self) -> np.ndarray:
        """The zones that are not shown: masked by a rule, or given up to protect another."""
        zones = np.unique(self.places[self.masked])
        return zones[zones != REST]


REST = -1
"""Stands for the zone of what a commune has beyond its IRIS of known count: never shown, and unknown."""


def _units(rows: pd.DataFrame, finest: str | None, places: Places) -> pd.DataFrame:
    """`zone, count, holder` of each unit; `holder`: the commune or département that it makes up with others or alone,
    -1 when none.

    A commune whose IRIS are known is a total of them, and of the rest when they do not make it up; its IRIS stand apart
    from it when they add up to more (two sources). A commune without IRIS is a unit.
    """
    known = rows.drop_duplicates("zone").sort_values("zone")
    kind = places.kind[known["zone"]]
    iris, whole = known[kind == "iris"], known[kind == finest]
    owner = places.commune_of[iris["zone"]]
    inside = pd.Series(iris["count"].to_numpy()).groupby(owner).sum().reindex(whole["zone"]).to_numpy()
    gap = whole["count"].to_numpy() - inside
    slack = 1e-6 * np.maximum(1, whole["count"].to_numpy())
    divided = whole["zone"].to_numpy()[gap >= -slack]
    alone = whole[~(gap >= -slack)]
    left = whole[gap > slack].assign(count=gap[gap > slack])
    units = [
        iris.assign(holder=np.where(np.isin(owner, divided), owner, -1)),
        alone.assign(holder=alone["zone"]),
        left.assign(holder=left["zone"], zone=REST),
    ]
    return pd.concat(units, ignore_index=True)[["zone", "count", "holder"]]


def _members(known: pd.Series, units: pd.DataFrame, finest: str | None, places: Places) -> pd.DataFrame:
    """`zone, unit`: the units that each total of one indicator adds up, in their order; `known`: zones it speaks of."""
    spoken = np.zeros(len(places.kind), dtype=bool)
    spoken[known] = True
    own = units[(units["holder"] >= 0) & spoken[units["holder"]]]
    own = pd.DataFrame({"unit": own.index, "holder": own["holder"], "itself": own["zone"] == own["holder"]})
    part, zone = places.above(finest)
    above = pd.DataFrame({"holder": part, "zone": zone})[spoken[zone]]
    # A commune is a total of its IRIS; one that is a unit is no total of itself.
    divided = own.loc[~own["itself"], ["unit", "holder"]].rename(columns={"holder": "zone"})
    both = pd.concat([own.merge(above, on="holder")[["unit", "zone"]], divided], ignore_index=True)
    return both.sort_values(["zone", "unit"], ignore_index=True)


def _totals(members: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(`zone, by` of each total, `unit, zone_code` of its members: `zone_code` is its number).

    Totals of one zone over the same members are one total, whoever shows them.
    """
    zone, by, unit = (members[name].to_numpy() for name in ("zone", "by", "unit"))
    starts = np.flatnonzero(np.append(True, (np.diff(zone) != 0) | (np.diff(by) != 0))[: len(zone)])
    groups = [slice(start, end) for start, end in pairwise([*starts, len(zone)])]
    first: dict[tuple[int, bytes], slice] = {}
    for group in groups:
        first.setdefault((zone[group.start], unit[group].tobytes()), group)
    chosen = sorted(first.values(), key=lambda group: (zone[group.start], by[group.start]))
    starts = [group.start for group in chosen]
    pairs = pd.DataFrame(
        {
            "unit": np.concatenate([unit[group] for group in chosen]) if chosen else unit[:0],
            "zone_code": np.repeat(np.arange(len(chosen)), [group.stop - group.start for group in chosen]),
        }
    )
    return pd.DataFrame({"zone": zone[starts], "by": by[starts]}), pairs
