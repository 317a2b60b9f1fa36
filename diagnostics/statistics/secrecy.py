"""Statistical secrecy as code: what a dataset must not show, and what must go with it so that nothing gives it away.

Primary: the rule of each dataset, declared once in `RULES`. Secondary: `protect` blanks further units or zones until no
masked value can be worked out exactly, by any addition or subtraction of what stays published, even knowing that a
count is never negative. Perimeters may overlap: a CLS can cut across départements, gather several EPCI, or be one
commune. The algebra is exact (rational numbers). What is not covered: bounds. Whoever knows the rule knows that a
masked count is under 10, and a published total bounds its members.

Sources: indicators.md §0 (codes) and §10.11; Hundepool et al. 2012, *Statistical Disclosure Control*, chapter 4.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pandas as pd

from diagnostics.errors import StatisticsError
from diagnostics.statistics.inputs import columns, numeric, refuse, refuse_negative

PUBLISHED, MASKED, SECONDARY = "published", "masked", "masked_secondary"

NOTHING = 1e-9
"""Under this, what a published total leaves to its masked members is zero (counts are sums of weighted decimals)."""


SHARED = 0.01
"""Over this, the linear programme has found a sharing of the totals that leaves something to a doubtful family."""


@dataclass(frozen=True)
class Rule:
    """Blank under `minimum` (of the numerator or of the denominator); round to a multiple of `rounding`."""

    minimum: float = 0
    on: str = "numerator"
    rounding: int | None = None
    text: str = ""


RULES = {
    "0": Rule(text="Aucun secret."),
    "RP": Rule(200, "denominator", text="Recensement : aucun pourcentage sur moins de 200 personnes."),
    "F": Rule(text="Filosofi : blanchi par le producteur, jamais reconstitué."),
    "C5": Rule(5, rounding=5, text="Caf et Dares : moins de 5 blanchi, arrondi au multiple de 5."),
    "B5": Rule(5, text="Caf à l’IRIS : moins de 5 blanchi, sans arrondi."),
    "N5": Rule(5, text="Cnam : moins de 5 professionnels non communiqué."),
    "E11": Rule(11, text="Données de santé : effectif inférieur à 11 blanchi."),
    "L11": Rule(11, text="Lovac : moins de 11 logements blanchi par le producteur."),
    "D10": Rule(10, text="Taux calculés ici : moins de 10 évènements non publié."),
}


def primary(numerator, denominator=None, rule: str = "D10") -> np.ndarray:
    """True where the rule (a key of `RULES`) forbids to show the row; a missing count is always masked."""
    spec = _rule(rule)
    if spec.on == "denominator" and denominator is None:
        raise StatisticsError(f"Règle « {rule} » : elle porte sur le dénominateur, donnez-le.")
    watched = denominator if spec.on == "denominator" else numerator
    index, (count, amount) = columns(numerator=numerator, watched=watched)
    refuse_negative("effectif", amount, index)
    return np.isnan(count) | np.isnan(amount) | (amount < spec.minimum)


def round_as_producer(values, rule: str) -> np.ndarray:
    """Values rounded as the producer does (half away from zero), untouched when the rule rounds nothing."""
    base = _rule(rule).rounding
    index, (amount,) = columns(values=values)
    refuse_negative("effectif", amount, index)
    return amount.copy() if base is None else np.floor(amount / base + 0.5) * base


@dataclass(frozen=True)
class Protection:
    """What may be shown: a word per unit and per zone, `published`, `masked` (primary) or `masked_secondary`."""

    units: pd.Series
    zones: pd.Series

    def hide(self, values: pd.Series, totals: pd.Series) -> tuple[pd.Series, pd.Series]:
        """`values` and `totals` with everything that is not published left missing."""
        return values.where(self.units == PUBLISHED), totals.where(self.zones == PUBLISHED)


def protect(
    values: pd.Series,
    totals: pd.Series,
    membership: pd.DataFrame,
    masked_units=None,
    masked_zones=None,
) -> Protection:
    """Secondary suppression over any set of zones, until no masked value is recoverable.

    `values`: one count per unit (commune, or EPCI when communes are not shown), missing when secret at the producer;
    `totals`: one count per zone, indexed by (zone_type, zone_code), missing when it is not published; `membership`:
    `unit, zone_type, zone_code`, units and zones being those of the two Series. `masked_units`, `masked_zones`:
    booleans of the primary rule; missing ones are masked too. Each total must be the sum of its units.

    What is given up, in order: the smallest other unit that hides the exposed one; then the smallest total among those
    that give it away (a neighbouring EPCI rather than the département). A zone whose every unit is masked keeps its
    total (if it has two or more); a zone of one masked unit loses it. With all but one unit at zero and masked, that
    one goes too.
    """
    units, zones = values.index, totals.index
    for name, index in (("unité", units), ("zone", zones)):
        refuse(index.duplicated(), index, lambda i, name=name: f"{name} en double.")
    amount, total = numeric("values", values, units), numeric("totals", totals, zones)
    refuse_negative("values", amount, units)
    refuse_negative("totals", total, zones)
    pairs = _pairs(units, zones, membership)
    state = _State(
        amount=amount,
        total=total,
        kind=zones.get_level_values(0).to_numpy(object),
        pairs=pairs,
        members=_members(pairs, zones),
        unit_open=~(np.isnan(amount) | _mask(masked_units, len(units), "masked_units")),
        zone_open=~(np.isnan(total) | _mask(masked_zones, len(zones), "masked_zones")),
    )
    state.check_sums(zones)
    first_units, first_zones = state.unit_open.copy(), state.zone_open.copy()
    while state.hide_more():
        pass
    return Protection(_words(first_units, state.unit_open, units), _words(first_zones, state.zone_open, zones))


@dataclass
class _State:
    """What is known and shown so far. `pairs`: zone and unit of every membership, zone by zone; `members`: the units of
    each zone.

    Units held by the same open zones make a *family*: `family` numbers that of each unit, `atoms` tells the zones of
    each. The masked units of one family can never be told apart.
    """

    amount: np.ndarray
    total: np.ndarray
    kind: np.ndarray
    pairs: tuple[np.ndarray, np.ndarray]
    members: list[np.ndarray]
    unit_open: np.ndarray
    zone_open: np.ndarray

    def __post_init__(self):
        # The smallest that holds something first, those at zero last.
        self.rank = np.empty(len(self.amount), dtype="int64")
        self.rank[np.lexsort((self.amount, self.amount <= 0))] = np.arange(len(self.amount))
        self.family, self.atoms = _families(*self.pairs, self.zone_open, len(self.amount))

    def check_sums(self, zones: pd.Index) -> None:
        """A total that is not the sum of its members would make every conclusion about what it reveals wrong."""
        sums = np.array([self.amount[members].sum() for members in self.members])
        scale = 1e-6 * np.maximum(1, np.abs(self.total))
        refuse(
            np.abs(sums - self.total) > scale,
            zones,
            lambda i: f"total publié {self.total[i]:g}, somme de ses membres {sums[i]:g}.",
        )

    def hide_more(self) -> bool:
        """One round: find what is exposed, give something up for it. False when nothing masked can be recovered.

        Where every family of masked units holds something, the true counts are a strictly positive solution, algebra
        tells all that can be found; positivity matters only for families that hold nothing.
        """
        return self._hide_for_zero_rest() or self._hide_for_algebra() or self._hide_for_positivity()

    def _hide_for_zero_rest(self) -> bool:
        """A published total entirely explained by its published members says that its masked ones are all zero."""
        acted = False
        for zone in np.flatnonzero(self.zone_open):
            members = self.members[zone]
            shown = self.unit_open[members]
            if shown.all() or self.total[zone] - self.amount[members[shown]].sum() > NOTHING:
                continue
            if not self._mask_smallest(members, positive=True):
                self._close(zone)
            acted = True
        return acted

    def _hide_for_algebra(self) -> bool:
        self.family, self.atoms = _families(*self.pairs, self.zone_open, len(self.amount))
        system, masked = _System(), self._masked_families()
        for zone in sorted(np.flatnonzero(self.zone_open), key=lambda z: len(self.members[z])):
            system.add(int(zone), masked[zone])
        inside = np.bincount(self.family[~self.unit_open], minlength=len(self.atoms))
        acted, touched = False, set()
        for family in system.recovered():
            atom = self.atoms[family]
            exposed = inside[family] == 1 or self._worth(system.combination(family)) <= NOTHING
            # One remedy can serve two neighbours: treat one exposure per smallest zone, then look again.
            nearest = min(atom, key=lambda zone: len(self.members[zone]))
            if exposed and nearest not in touched:
                self._hide_unit(family, atom, system)
                touched.add(nearest)
                acted = True
        if acted:
            return True
        given = {zone: self._zone_combination(zone, inside, system) for zone in np.flatnonzero(~self.zone_open)}
        exposed = [zone for zone, found in given.items() if found is not None]
        if not exposed:
            return False
        # A closed total whose members are all published (empty combination) is mended first: it may serve the others.
        first = min(exposed, key=lambda zone: len(given[zone]))
        self._hide_zone(first, given[first])
        return True

    def _masked_families(self) -> list[list[int]]:
        """The families of the masked units of each zone."""
        zone, unit = self.pairs
        masked = ~self.unit_open[unit]
        found = np.unique(zone[masked] * len(self.atoms) + self.family[unit[masked]])
        bounds = np.searchsorted(found, np.arange(len(self.members) + 1) * len(self.atoms))
        families = (found % len(self.atoms)).tolist()
        return [families[start:end] for start, end in pairwise(bounds.tolist())]

    def _hide_for_positivity(self) -> bool:
        """Families of masked units that hold nothing, and that no sharing of the totals could make positive."""
        from scipy import optimize, sparse  # noqa: PLC0415 - slow to load, and only the engine comes here

        masked = np.flatnonzero(~self.unit_open)
        masked = masked[np.array([len(atom) > 0 for atom in self.atoms], dtype=bool)[self.family[masked]]]
        place, families = pd.factorize(self.family[masked])
        # A producer's secret is unknown here too: its family may hold something.
        held = np.bincount(place, weights=np.nan_to_num(self.amount[masked], nan=1.0), minlength=len(families))
        doubtful = np.flatnonzero(held <= NOTHING)
        if not len(doubtful):
            return False
        zones = np.flatnonzero(self.zone_open)
        row = {zone: row for row, zone in enumerate(zones)}
        cells = [(row[zone], column) for column, family in enumerate(families) for zone in self.atoms[family]]
        matrix = sparse.coo_array((np.ones(len(cells)), tuple(zip(*cells, strict=True))), (len(zones), len(families)))
        shown = [members[self.unit_open[members]] for members in (self.members[zone] for zone in zones)]
        rest = self.total[zones] - [self.amount[units].sum() for units in shown]
        slack = 1e-9 * np.maximum(1, self.total[zones])
        while len(doubtful):
            gain = np.zeros(len(families))
            gain[doubtful] = -1
            answer = optimize.linprog(
                gain, sparse.vstack([matrix, -matrix]), np.concatenate([rest + slack, slack - rest]), method="highs"
            )
            if answer.x is None:
                raise StatisticsError(f"Totaux publiés incompatibles entre eux : {answer.message}")
            possible = answer.x[doubtful] > SHARED
            if not possible.any():
                family = families[doubtful[0]]
                if not self._mask_smallest(np.flatnonzero(self.family == family), positive=True):
                    self._close(self._least(self.atoms[family]))
                return True
            doubtful = doubtful[~possible]
        return False

    def _worth(self, combination: dict[int, Fraction]) -> float:
        """What a reader finds by combining published totals, less what is published of their members."""
        rest = 0.0
        for zone, factor in combination.items():
            members = self.members[zone]
            rest += float(factor) * (self.total[zone] - self.amount[members[self.unit_open[members]]].sum())
        return abs(rest)

    def _hide_unit(self, family: int, atom: tuple[int, ...], system: _System) -> None:
        """Mask the smallest unit that makes the exposed family unsolvable, or close one of the totals that give it."""
        combination = system.combination(family)

        def serves(other: int) -> bool:
            """A new unknown helps when no other unknown solves it: it weighs in the combination that gives the exposed
            one, and in none of the combinations that already cancel out."""
            zones = self.atoms[other]
            return sum(combination.get(zone, 0) for zone in zones) != 0 and all(
                sum(null.get(zone, 0) for zone in zones) == 0 for null in system.nulls
            )

        chosen = self._smallest(np.flatnonzero(self.unit_open & (self.family == family)))
        if chosen is None:
            near = np.concatenate([self.members[zone] for zone in atom])
            near = near[self.unit_open[near]]
            # Whether a unit serves depends on its family alone: the first of each, then the first that serves.
            first = np.full(len(self.atoms), len(self.amount))
            np.minimum.at(first, self.family[near], self.rank[near])
            order = np.argsort(first, kind="stable")[: np.count_nonzero(first < len(self.amount))]
            serving = next((other for other in order if serves(other)), None)
            if serving is not None:
                chosen = self._smallest(near[self.family[near] == serving])
        if chosen is None:
            self._close(self._least(combination))
        else:
            self.unit_open[chosen] = False

    def _smallest(self, units: np.ndarray) -> int | None:
        return units[np.argmin(self.rank[units])] if len(units) else None

    def _zone_combination(self, zone: int, inside: np.ndarray, system: _System):
        """Published zones that, combined, give the total of a closed zone; None when none does."""
        masked = self.members[zone][~self.unit_open[self.members[zone]]]
        families, counts = np.unique(self.family[masked], return_counts=True)
        return None if (counts != inside[families]).any() else system.solve(dict.fromkeys(families.tolist(), 1))

    def _hide_zone(self, zone: int, combination: dict[int, Fraction]) -> None:
        """Protect a closed total: hide one of its members, or a sibling total with one of its members."""
        if not combination:
            members = self.members[zone]
            if not self._mask_smallest(members, positive=True):
                self._mask_smallest(members, positive=False)
            return
        own = set(self.members[zone])
        outer = min((z for z, factor in combination.items() if factor > 0), key=lambda z: len(self.members[z]))
        siblings = [
            other
            for other in np.flatnonzero(self.zone_open & (self.kind == self.kind[zone]))
            if other != outer and not own.intersection(self.members[other]) and self._holds(outer, other)
        ]
        self._close(self._least([*combination, *siblings]))

    def _holds(self, outer: int, inner: int) -> bool:
        return set(self.members[inner]) <= set(self.members[outer])

    def _mask_smallest(self, candidates: np.ndarray, *, positive: bool) -> bool:
        candidates = candidates[self.unit_open[candidates]]
        if positive:
            candidates = candidates[self.amount[candidates] > 0]
        if not len(candidates):
            return False
        self.unit_open[candidates[np.argmin(self.amount[candidates])]] = False
        return True

    def _least(self, zones: Iterable[int]) -> int:
        """The zone of the smallest total; of equal ones the last, so that the order they come in decides nothing."""
        return min(zones, key=lambda zone: (self.total[zone], -zone))

    def _close(self, zone: int) -> None:
        """Families numbered so far keep their number and their zones, which the system of this round goes by: units
        that lose a zone move to another family."""
        self.zone_open[zone] = False
        number = {atom: family for family, atom in enumerate(self.atoms)}
        moved = np.arange(len(self.atoms))
        for family in np.unique(self.family[self.members[zone]]):
            left = tuple(other for other in self.atoms[family] if other != zone)
            moved[family] = number.setdefault(left, len(number))
        self.atoms = list(number)
        self.family = moved[self.family]


def _families(
    zone: np.ndarray, unit: np.ndarray, zone_open: np.ndarray, units: int
) -> tuple[np.ndarray, list[tuple[int, ...]]]:
    """(family of each unit, open zones of each family), families in the order of their zones."""
    around = np.lexsort((zone, unit))
    around = around[zone_open[zone[around]]]
    zone, unit = zone[around], unit[around]
    start = np.searchsorted(unit, np.arange(units + 1))
    size = np.diff(start)
    # One column per zone that a unit is in: -1 once there is no other, which comes before any zone.
    table = np.full((units, size.max(initial=0)), -1)
    table[unit, np.arange(len(unit)) - start[unit]] = zone
    order = np.lexsort(table.T[::-1]) if table.size else np.arange(units)
    new = np.ones(units, dtype=bool)
    new[1:] = (table[order][1:] != table[order][:-1]).any(axis=1)
    family = np.empty(units, dtype="int64")
    family[order] = np.cumsum(new) - 1
    first = order[new]
    return family, [tuple(row[:length]) for row, length in zip(table[first].tolist(), size[first], strict=True)]


class _System:
    """Published totals as exact linear equations on the masked sums, kept in reduced row echelon form.

    Columns are families; each reduced row remembers which combination of published zones it comes from.
    """

    def __init__(self):
        self.rows: dict = {}
        self.sources: dict = {}
        self.users = defaultdict(set)
        self.nulls: list[dict[int, Fraction]] = []

    def add(self, zone: int, families: list[int]) -> None:
        row, source = self._reduce(dict.fromkeys(families, 1), {zone: 1})
        if not row:
            self.nulls.append(source)
            return
        pivot = min(row)
        if row[pivot] != 1:
            scale = _whole(1 / Fraction(row[pivot]))
            row = {column: value * scale for column, value in row.items()}
            source = {origin: value * scale for origin, value in source.items()}
        for other in list(self.users[pivot]):
            factor = -self.rows[other][pivot]
            before = set(self.rows[other])
            _add(self.rows[other], row, factor)
            _add(self.sources[other], source, factor)
            for column in before ^ set(self.rows[other]):
                (self.users[column].add if column in self.rows[other] else self.users[column].discard)(other)
        self.rows[pivot], self.sources[pivot] = row, source
        for column in row:
            if column != pivot:
                self.users[column].add(pivot)

    def recovered(self) -> list[int]:
        """Families whose masked sum is given by published totals: rows reduced to their pivot."""
        return [pivot for pivot, row in self.rows.items() if len(row) == 1]

    def combination(self, family: int) -> dict[int, Fraction]:
        return self.sources[family]

    def solve(self, target: dict) -> dict[int, Fraction] | None:
        """The combination of published zones that equals `target`, or None. An empty target is an empty combination."""
        rest, source = self._reduce(target, {})
        return None if rest else {zone: -factor for zone, factor in source.items()}

    def _reduce(self, row: dict, source: dict) -> tuple[dict, dict]:
        for pivot in [column for column in row if column in self.rows]:
            factor = -row[pivot]
            _add(row, self.rows[pivot], factor)
            _add(source, self.sources[pivot], factor)
        return row, source


def _add(target: dict, other: dict, factor: Fraction) -> None:
    for column, value in other.items():
        total = target.get(column, 0) + factor * value
        if total == 0:
            target.pop(column, None)
        else:
            target[column] = total


def _whole(number: Fraction) -> Fraction | int:
    """The same number, as an integer when it is one: nearly all are, and they add up much faster."""
    return number.numerator if number.denominator == 1 else number


def _pairs(units: pd.Index, zones: pd.Index, membership: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Places of the zone and of the unit of each line of `membership`, zone by zone."""
    pairs = membership[["unit", "zone_type", "zone_code"]].reset_index(drop=True)
    lines = pd.MultiIndex.from_frame(pairs)
    refuse(lines.duplicated(), lines, lambda i: "appartenance en double.")
    unit = units.get_indexer(pairs["unit"])
    zone = zones.get_indexer(pd.MultiIndex.from_frame(pairs[["zone_type", "zone_code"]]))
    refuse(unit < 0, lines, lambda i: "unité absente des valeurs.")
    refuse(zone < 0, lines, lambda i: "zone absente des totaux.")
    order = np.argsort(zone, kind="stable")
    return zone[order], unit[order]


def _members(pairs: tuple[np.ndarray, np.ndarray], zones: pd.Index) -> list[np.ndarray]:
    zone, unit = pairs
    bounds = np.searchsorted(zone, np.arange(len(zones) + 1))
    refuse(np.diff(bounds) == 0, zones, lambda i: "zone sans aucun membre.")
    return [unit[start:end] for start, end in pairwise(bounds)]


def _mask(mask, size: int, name: str) -> np.ndarray:
    if mask is None:
        return np.zeros(size, dtype=bool)
    array = np.asarray(mask)
    if array.shape != (size,) or array.dtype != bool:
        raise StatisticsError(f"« {name} » : {size} booléens attendus, dans l’ordre des valeurs.")
    return array


def _words(before: np.ndarray, after: np.ndarray, index: pd.Index) -> pd.Series:
    return pd.Series(np.select([after, before], [PUBLISHED, SECONDARY], MASKED), index=index)


def _rule(name: str) -> Rule:
    if name not in RULES:
        raise StatisticsError(f"Règle de secret « {name} » inconnue. Règles : {', '.join(RULES)}.")
    return RULES[name]
