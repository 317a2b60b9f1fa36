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
    state = _State(
        amount=amount,
        total=total,
        kind=np.array([label[0] for label in zones], dtype=object),
        members=_members(units, zones, membership),
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
    amount: np.ndarray
    total: np.ndarray
    kind: np.ndarray
    members: list[np.ndarray]
    unit_open: np.ndarray
    zone_open: np.ndarray

    def __post_init__(self):
        self.around = [[] for _ in self.amount]
        for zone, members in enumerate(self.members):
            for unit in members:
                self.around[unit].append(zone)
        # For each unit, the open zones that hold it: masked units with the same ones can never be told apart.
        self.atoms = [tuple(zone for zone in around if self.zone_open[zone]) for around in self.around]

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
        atoms = self.atoms
        system = _System()
        for zone in sorted(np.flatnonzero(self.zone_open), key=lambda z: len(self.members[z])):
            masked = self.members[zone][~self.unit_open[self.members[zone]]]
            system.add(int(zone), {atoms[unit] for unit in masked})
        inside = defaultdict(list)
        for unit in np.flatnonzero(~self.unit_open):
            inside[atoms[unit]].append(unit)
        acted, touched = False, set()
        for atom in system.recovered():
            exposed = len(inside[atom]) == 1 or self._worth(system.combination(atom)) <= NOTHING
            # One remedy can serve two neighbours: treat one exposure per smallest zone, then look again.
            nearest = min(atom, key=lambda zone: len(self.members[zone]))
            if exposed and nearest not in touched:
                self._hide_unit(atom, atoms, system)
                touched.add(nearest)
                acted = True
        if acted:
            return True
        given = {zone: self._zone_combination(zone, atoms, inside, system) for zone in np.flatnonzero(~self.zone_open)}
        exposed = [zone for zone, found in given.items() if found is not None]
        if not exposed:
            return False
        # A closed total whose members are all published (empty combination) is mended first: it may serve the others.
        first = min(exposed, key=lambda zone: len(given[zone]))
        self._hide_zone(first, given[first])
        return True

    def _hide_for_positivity(self) -> bool:
        """Families of masked units that hold nothing, and that no sharing of the totals could make positive."""
        from scipy import optimize, sparse  # noqa: PLC0415 - slow to load, and only the engine comes here

        atoms = self.atoms
        masked = np.flatnonzero(~self.unit_open)
        families = {atom: i for i, atom in enumerate(dict.fromkeys(atoms[unit] for unit in masked if atoms[unit]))}
        held = np.zeros(len(families))
        for unit in masked:
            if atoms[unit]:
                # A producer's secret is unknown here too: its family may hold something.
                held[families[atoms[unit]]] += 1 if np.isnan(self.amount[unit]) else self.amount[unit]
        doubtful = np.flatnonzero(held <= NOTHING)
        if not len(doubtful):
            return False
        zones = np.flatnonzero(self.zone_open)
        place = {zone: row for row, zone in enumerate(zones)}
        cells = [(place[zone], column) for atom, column in families.items() for zone in atom]
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
                atom = next(atom for atom, column in families.items() if column == doubtful[0])
                near = np.array([unit for unit in self.members[atom[0]] if atoms[unit] == atom])
                if not self._mask_smallest(near, positive=True):
                    self._close(min(atom, key=lambda zone: self.total[zone]))
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

    def _hide_unit(self, atom: tuple[int, ...], atoms, system: _System) -> None:
        """Mask the smallest unit that makes the exposed one unsolvable, or close one of the totals that give it."""
        combination = system.combination(atom)
        near = np.unique(np.concatenate([self.members[zone] for zone in atom]))
        near = near[self.unit_open[near]]
        # The smallest that holds something first, those at zero last; the search stops at the first that serves.
        near = near[np.lexsort((self.amount[near], self.amount[near] <= 0))]

        def serves(unit: int) -> bool:
            """A new unknown helps when no other unknown solves it: it weighs in the combination that gives the exposed
            one, and in none of the combinations that already cancel out."""
            return sum(combination.get(zone, 0) for zone in atoms[unit]) != 0 and all(
                sum(null.get(zone, 0) for zone in atoms[unit]) == 0 for null in system.nulls
            )

        alike = next((unit for unit in near if atoms[unit] == atom), None)
        chosen = alike if alike is not None else next((unit for unit in near if serves(unit)), None)
        if chosen is None:
            self._close(min(combination, key=lambda zone: self.total[zone]))
        else:
            self.unit_open[chosen] = False

    def _zone_combination(self, zone: int, atoms, inside, system: _System):
        """Published zones that, combined, give the total of a closed zone; None when none does."""
        masked = self.members[zone][~self.unit_open[self.members[zone]]]
        counts = defaultdict(int)
        for unit in masked:
            counts[atoms[unit]] += 1
        if any(count != len(inside[atom]) for atom, count in counts.items()):
            return None
        return system.solve(dict.fromkeys(counts, 1))

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
        self._close(min([*combination, *siblings], key=lambda z: self.total[z]))

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

    def _close(self, zone: int) -> None:
        self.zone_open[zone] = False
        for unit in self.members[zone]:
            self.atoms[unit] = tuple(other for other in self.around[unit] if self.zone_open[other])


class _System:
    """Published totals as exact linear equations on the masked sums, kept in reduced row echelon form.

    Columns are atoms; each reduced row remembers which combination of published zones it comes from.
    """

    def __init__(self):
        self.rows: dict = {}
        self.sources: dict = {}
        self.users = defaultdict(set)
        self.nulls: list[dict[int, Fraction]] = []

    def add(self, zone: int, atoms: set) -> None:
        row, source = self._reduce(dict.fromkeys(atoms, 1), {zone: 1})
        if not row:
            self.nulls.append(source)
            return
        pivot = min(row)
        if row[pivot] != 1:
            scale = 1 / Fraction(row[pivot])
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

    def recovered(self) -> list:
        """Atoms whose masked sum is given by published totals: rows reduced to their pivot."""
        return [pivot for pivot, row in self.rows.items() if len(row) == 1]

    def combination(self, atom) -> dict[int, Fraction]:
        return self.sources[atom]

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


def _members(units: pd.Index, zones: pd.Index, membership: pd.DataFrame) -> list[np.ndarray]:
    pairs = membership[["unit", "zone_type", "zone_code"]].reset_index(drop=True)
    lines = pd.MultiIndex.from_frame(pairs)
    refuse(lines.duplicated(), lines, lambda i: "appartenance en double.")
    unit = units.get_indexer(pairs["unit"])
    zone = zones.get_indexer(pd.MultiIndex.from_frame(pairs[["zone_type", "zone_code"]]))
    refuse(unit < 0, lines, lambda i: "unité absente des valeurs.")
    refuse(zone < 0, lines, lambda i: "zone absente des totaux.")
    order = np.argsort(zone, kind="stable")
    bounds = np.searchsorted(zone[order], np.arange(len(zones) + 1))
    members = [unit[order[start:end]] for start, end in pairwise(bounds)]
    refuse(np.array([len(group) == 0 for group in members], dtype=bool), zones, lambda i: "zone sans aucun membre.")
    return members


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
