"""Secrecy over all that is published: the rows that go with the masked ones, so that nothing gives them away.

What is published of a count: its sums over the zones (IRIS ⊂ commune ⊂ EPCI, PETR, CLS, département, region, France),
by one indicator or several, as a numerator or as a denominator. Whoever knows a value and its denominator knows the
numerator. Three ways to a masked count are shut: from a total and its other members, within each count; from two
indicators that add up a count over different communes, by holding each total to its own members; from other counts
(a whole and its parts), by showing a count that others give only where they are all shown.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from diagnostics.statistics.secrecy import NOTHING, PUBLISHED, protect

ZONE = ["zone_type", "zone_code"]
FINEST = ("commune", "departement")
"""What totals are made of: communes, or départements for what is known by département only."""


@dataclass(frozen=True)
class Shown:
    """One count that an indicator shows, as numerator or denominator.

    `terms`: variable and period -> coefficient; `ruled`: a rule of secrecy bears on it; `rows`: `zone_type, zone_code,
    count` (missing when unknown), `masked` (by that rule), `published` (False when something else withholds the row).
    """

    indicator: str
    terms: Mapping[tuple[str, str], float]
    ruled: bool
    rows: pd.DataFrame

    @property
    def form(self) -> frozenset:
        return frozenset(self.terms.items())


def withheld_with(shown: Sequence[Shown], belongs: pd.DataFrame) -> dict[str, pd.MultiIndex]:
    """indicator -> the zones (zone_type, zone_code) it must not show, besides what its own rule masks.

    `belongs`: `unit_type, unit_code, zone_type, zone_code`: communes and départements of each zone above them, IRIS of
    each commune. Every published count is the sum of its members of known count.
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
        i: _Count.of(group, belongs)
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
        found[one.indicator] = found[one.indicator].union(zones) if one.indicator in found else zones
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
    hidden = [part.hidden() for part in parts]
    acted = whole.mask(hidden[0].append(hidden[1:]))
    alone = whole.hidden()
    for zones in hidden:
        alone = alone.difference(zones)
    sensitive = next((part for part in parts[::-1] if part.ruled), parts[-1])
    return sensitive.mask(alone) or acted


@dataclass
class _Count:
    """One count over its units (the finest zones) and its totals; several indicators may show it.

    Units and totals go by a name of their own; `places` tells the zone (zone_type, zone_code) of each. A zone has as
    many totals as there are sets of known members.
    """

    ruled: bool
    values: pd.Series
    totals: pd.Series
    pairs: pd.DataFrame
    places: pd.MultiIndex
    masked: np.ndarray
    """Of the units, then of the totals, in their order: what is not shown."""

    @classmethod
    def of(cls, group: Sequence[Shown], belongs: pd.DataFrame) -> _Count:
        rows = pd.concat([one.rows[one.rows["count"].notna()].assign(indicator=one.indicator) for one in group])
        status = rows.assign(shown=rows["published"]).groupby(ZONE)[["masked", "shown"]].any()
        finest = next((level for level in FINEST if (rows["zone_type"] == level).any()), None)
        # A total withheld for want of coverage is no secret: nobody sees it, and nothing need protect it. A unit that
        # is not shown still counts in the totals: it is held to be known.
        seen = status["masked"].reindex(_zones(rows)).to_numpy() | rows["published"].to_numpy(dtype=bool)
        rows = rows[seen | rows["zone_type"].isin(["iris", finest]).to_numpy()]
        units, inside = _units(rows, finest, belongs)
        pairs = pd.concat(
            [_members(rows[rows["indicator"] == one.indicator], finest, inside, belongs) for one in group],
            ignore_index=True,
        )
        # Totals of one zone over the same members are one total, whoever shows them.
        totals = pairs.groupby(["indicator", *ZONE])["unit"].agg(frozenset).rename("members").reset_index()
        totals = totals.drop_duplicates([*ZONE, "members"]).merge(rows, on=["indicator", *ZONE])
        totals["name"] = totals["zone_code"] + " / " + totals["indicator"]
        totals = totals.set_index(pd.MultiIndex.from_frame(totals[["zone_type", "name"]])).sort_index()
        pairs = pairs.merge(totals[["indicator", *ZONE, "name"]].reset_index(drop=True), on=["indicator", *ZONE])
        places = units.index.append(_zones(totals))
        # The rest of a commune is hidden from everyone and secret for nobody: it hides others, and needs no hiding.
        masked = status["masked"].astype(bool).reindex(places, fill_value=False).to_numpy()
        return cls(
            ruled=any(one.ruled for one in group),
            values=units.set_axis(_named(units.index)),
            totals=totals["count"],
            pairs=pairs[["unit", "zone_type", "name"]].rename(columns={"name": "zone_code"}),
            places=places,
            masked=masked,
        )

    def protect(self) -> None:
        if not len(self.totals):
            return
        size = len(self.values)
        found = protect(self.values, self.totals, self.pairs, self.masked[:size], self.masked[size:])
        self.masked = np.append(found.units != PUBLISHED, found.zones != PUBLISHED)

    def mask(self, zones: pd.MultiIndex) -> bool:
        """Hide `zones` too; True when one of them was shown."""
        more = self.places.isin(zones) & ~self.masked
        self.masked = self.masked | more
        return bool(more.any())

    def hidden(self) -> pd.MultiIndex:
        """The zones that are not shown: masked by a rule, or given up to protect another."""
        zones = self.places[self.masked]
        return zones[zones.get_level_values("zone_type") != REST].unique()


REST = "reste"
"""What a commune has beyond its IRIS of known count: never shown, and unknown."""


def _zones(rows: pd.DataFrame) -> pd.MultiIndex:
    return pd.MultiIndex.from_frame(rows[ZONE])


def _named(places: pd.MultiIndex) -> pd.Index:
    """A place goes by its type and code: an IRIS and a commune may bear one code."""
    return places.get_level_values("zone_type") + " " + places.get_level_values("zone_code")


def _units(rows: pd.DataFrame, finest: str | None, belongs: pd.DataFrame) -> tuple[pd.Series, pd.DataFrame]:
    """(count of each unit, by zone; `unit, unit_code`: the names of the units of each commune or département).

    A commune whose IRIS are known is a total of them, and of the rest when they do not make it up; its IRIS stand apart
    from it when they add up to more (two sources). A commune without IRIS is a unit.
    """
    known = rows.drop_duplicates(ZONE).set_index(ZONE)["count"].astype(float)
    whole = known[known.index.get_level_values("zone_type") == finest]
    iris = known[known.index.get_level_values("zone_type") == "iris"]
    of = belongs[(belongs["unit_type"] == "iris") & (belongs["zone_type"] == "commune")].set_index("unit_code")
    owner = pd.Series(of["zone_code"].reindex(iris.index.get_level_values("zone_code")).to_numpy(), index=iris.index)
    code = pd.Series(whole.index.get_level_values("zone_code"), index=whole.index)
    gap = whole - code.map(iris.groupby(owner).sum()).astype(float)
    slack = 1e-6 * np.maximum(1, whole)
    divided = gap >= -slack
    left = gap[gap > slack]
    left.index = pd.MultiIndex.from_product([[REST], code[left.index]], names=ZONE)
    units = pd.concat([iris, whole[~divided], left])
    holder = pd.concat([owner.where(owner.isin(code[divided])), code[~divided]])
    holder = pd.concat([holder, pd.Series(left.index.get_level_values("zone_code"), index=left.index)])
    inside = pd.DataFrame({"unit": _named(units.index), "unit_code": holder.to_numpy()})
    return units, inside.dropna()


def _members(rows: pd.DataFrame, finest: str | None, inside: pd.DataFrame, belongs: pd.DataFrame) -> pd.DataFrame:
    """`indicator, unit, zone_type, zone_code`: the units each total of one indicator adds up."""
    known = rows.loc[rows["zone_type"] == finest, "zone_code"]
    own = inside[inside["unit_code"].isin(known)]
    above = belongs[(belongs["unit_type"] == finest) & (belongs["zone_type"] != finest)]
    above = above[_zones(above).isin(_zones(rows))]
    found = own.merge(above[["unit_code", *ZONE]], on="unit_code")
    # A commune is a total of its IRIS; one that is a unit is no total of itself.
    divided = own[own["unit"] != f"{finest} " + own["unit_code"]]
    divided = divided.rename(columns={"unit_code": "zone_code"}).assign(zone_type=finest)
    both = pd.concat([found[["unit", *ZONE]], divided[["unit", *ZONE]]], ignore_index=True)
    return both.assign(indicator=rows["indicator"].iloc[0] if len(rows) else "")
