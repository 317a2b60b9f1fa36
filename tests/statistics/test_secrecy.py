"""Nobody finds a masked value: an attacker written apart (numerical linear algebra) tries on every drawn geography."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize

from diagnostics.errors import StatisticsError
from diagnostics.statistics import secrecy
from diagnostics.statistics.secrecy import MASKED, PUBLISHED, SECONDARY


def attack(values, totals, membership, protection):
    """Labels of the masked units and zones an outsider can compute from all that is published.

    He knows every published count and total, and which units make each zone. A masked quantity is found when its
    indicator vector lies in the row space of the published ones: least squares, none of the code under test.
    """
    units = list(values.index)
    indicators = {("unit", unit): np.eye(len(units))[i] for i, unit in enumerate(units)}
    for zone in totals.index:
        inside = membership[(membership.zone_type == zone[0]) & (membership.zone_code == zone[1])]["unit"]
        indicators[zone] = np.isin(units, inside).astype(float)
    words = {("unit", unit): word for unit, word in protection.units.items()} | dict(protection.zones.items())
    known = np.array([indicators[key] for key in indicators if words[key] == PUBLISHED]).reshape(-1, len(units))
    found = []
    for key, vector in indicators.items():
        if words[key] == PUBLISHED:
            continue
        rest = vector.copy()
        if len(known):
            rest = vector - known.T @ np.linalg.lstsq(known.T, vector, rcond=None)[0]
        if np.abs(rest).max() < 1e-7:
            found.append(key)
    return found


def pinned(values, totals, membership, protection):
    """Masked units whose count is certain when one also knows that counts are not negative (linear programming)."""
    units = list(values.index)
    rows, right = [], []
    for i, unit in enumerate(units):
        if protection.units[unit] == PUBLISHED:
            rows.append(np.eye(len(units))[i])
            right.append(values[unit])
    for zone in totals.index[protection.zones == PUBLISHED]:
        inside = membership[(membership.zone_type == zone[0]) & (membership.zone_code == zone[1])]["unit"]
        rows.append(np.isin(units, inside).astype(float))
        right.append(totals[zone])
    found = []
    for i, unit in enumerate(units):
        if protection.units[unit] == PUBLISHED:
            continue
        bounds = []
        for sign in (1, -1):
            answer = optimize.linprog(
                sign * np.eye(len(units))[i],
                A_eq=np.array(rows) if rows else None,
                b_eq=np.array(right) if rows else None,
                bounds=(0, None),
            )
            bounds.append(sign * answer.fun if answer.status == 0 else np.inf)
        if bounds[1] - bounds[0] < 1e-6:
            found.append(unit)
    return found


def geography(zones):
    """{(type, code): units} -> membership."""
    return pd.DataFrame(
        [(unit, kind, code) for (kind, code), units in zones.items() for unit in units],
        columns=["unit", "zone_type", "zone_code"],
    )


def sums(values, zones):
    index = pd.MultiIndex.from_tuples(list(zones), names=["zone_type", "zone_code"])
    return pd.Series([float(values[list(units)].sum()) for units in zones.values()], index=index)


@st.composite
def territories(draw):
    """Communes ⊂ EPCI, départements that cut across EPCI, CLS that are anything, and France."""
    count = draw(st.integers(1, 14))
    units = [f"c{i:02}" for i in range(count)]
    values = pd.Series(draw(st.lists(st.integers(0, 40), min_size=count, max_size=count)), index=units, dtype=float)
    epci = draw(st.lists(st.integers(0, 4), min_size=count, max_size=count))
    departement = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    zones = {}
    for kind, codes in (("epci", epci), ("departement", departement)):
        for code in sorted(set(codes)):
            zones[(kind, str(code))] = [unit for unit, own in zip(units, codes, strict=True) if own == code]
    for number in range(draw(st.integers(0, 4))):
        zones[("cls", str(number))] = draw(st.lists(st.sampled_from(units), min_size=1, unique=True))
    zones[("france", "FR")] = units
    return values, zones


@settings(max_examples=300)
@given(territories(), st.booleans())
def test_no_masked_value_can_be_recovered_by_differencing(territory, mask_zones):
    values, zones = territory
    totals, membership = sums(values, zones), geography(zones)
    masked_zones = secrecy.primary(totals) if mask_zones else None
    protection = secrecy.protect(values, totals, membership, secrecy.primary(values), masked_zones)
    assert attack(values, totals, membership, protection) == []
    assert (protection.units[secrecy.primary(values)] == MASKED).all()
    if mask_zones:
        assert (protection.zones[secrecy.primary(totals)] == MASKED).all()


@settings(max_examples=100)
@given(territories(), st.integers(0, 30))
def test_knowing_that_counts_are_not_negative_gives_nothing_more(territory, taken):
    """Many communes at zero, so that published totals leave little to share: nothing becomes certain."""
    values, zones = territory
    values = (values - taken).clip(lower=0)
    totals, membership = sums(values, zones), geography(zones)
    protection = secrecy.protect(values, totals, membership, secrecy.primary(values))
    assert pinned(values, totals, membership, protection) == []


@given(territories(), st.randoms())
def test_order_of_units_does_not_matter(territory, random):
    values, zones = territory
    values = values + np.arange(len(values)) / 100  # distinct counts: no tie to break
    totals, membership = sums(values, zones), geography(zones)
    first = secrecy.protect(values, totals, membership, secrecy.primary(values))
    order = list(values.index)
    random.shuffle(order)
    again = secrecy.protect(
        values[order], totals, membership.sample(frac=1, random_state=3), secrecy.primary(values[order])
    )
    assert attack(values, totals, membership, again) == []
    assert (again.units != PUBLISHED).sum() == pytest.approx((first.units != PUBLISHED).sum(), abs=2)


def run(values, zones, rule="D10"):
    values = pd.Series(values, dtype=float)
    totals = sums(values, zones)
    return secrecy.protect(values, totals, geography(zones), secrecy.primary(values, rule=rule))


def test_one_masked_member_takes_the_smallest_other_with_it():
    protection = run({"a": 4, "b": 50, "c": 30}, {("epci", "1"): "abc"})
    assert protection.units.to_dict() == {"a": MASKED, "b": PUBLISHED, "c": SECONDARY}
    assert (protection.zones == PUBLISHED).all()


def test_two_masked_members_protect_each_other():
    protection = run({"a": 4, "b": 6, "c": 30}, {("epci", "1"): "abc"})
    assert protection.units.to_dict() == {"a": MASKED, "b": MASKED, "c": PUBLISHED}


def test_an_all_masked_zone_keeps_its_total():
    protection = run({"a": 4, "b": 6, "c": 9}, {("epci", "1"): "abc"})
    assert (protection.units == MASKED).all()
    assert (protection.zones == PUBLISHED).all()


def test_a_commune_that_is_its_own_cls_loses_both():
    protection = run({"a": 4, "b": 50, "c": 30}, {("cls", "a"): "a", ("epci", "1"): "abc"})
    assert protection.zones[("cls", "a")] == SECONDARY
    assert protection.zones[("epci", "1")] == PUBLISHED
    assert protection.units.to_dict() == {"a": MASKED, "b": PUBLISHED, "c": SECONDARY}


def test_one_commune_with_everything_does_not_say_that_the_others_have_nothing():
    protection = run({"a": 0, "b": 0, "c": 120}, {("epci", "1"): "abc"})
    assert protection.units.to_dict() == {"a": MASKED, "b": MASKED, "c": SECONDARY}
    assert (protection.zones == PUBLISHED).all()


def test_nothing_anywhere_hides_the_total_too():
    protection = run({"a": 0, "b": 0}, {("epci", "1"): "ab"})
    assert (protection.units == MASKED).all()
    assert protection.zones[("epci", "1")] == SECONDARY


def test_an_epci_across_two_departements_does_not_cost_a_departement():
    zones = {
        ("epci", "1"): "abc",
        ("epci", "2"): "def",
        ("epci", "3"): "ghi",
        ("departement", "54"): "abcd",
        ("departement", "57"): "efghi",
    }
    values = dict(zip("abcdefghi", (20, 30, 5, 4, 70, 80, 6, 7, 90), strict=True))
    protection = run(values, zones)
    assert (protection.zones.loc[["departement"]] == PUBLISHED).all()
    membership = geography(zones)
    values = pd.Series(values, dtype=float)
    assert attack(values, sums(values, zones), membership, protection) == []


def test_a_masked_epci_takes_a_sibling_and_not_the_departement():
    zones = {("epci", "1"): "ab", ("epci", "2"): "cd", ("epci", "3"): "ef", ("departement", "55"): "abcdef"}
    values = pd.Series(dict(zip("abcdef", (3, 4, 50, 60, 200, 300), strict=True)), dtype=float)
    totals = sums(values, zones)
    protection = secrecy.protect(values, totals, geography(zones), secrecy.primary(values), secrecy.primary(totals))
    assert protection.zones.to_dict() == {
        ("epci", "1"): MASKED,
        ("epci", "2"): SECONDARY,
        ("epci", "3"): PUBLISHED,
        ("departement", "55"): PUBLISHED,
    }


def test_a_producers_secret_is_protected_without_being_known():
    zones = {("epci", "1"): "abc"}
    values = pd.Series({"a": np.nan, "b": 50, "c": 30})
    totals = pd.Series([84.0], index=pd.MultiIndex.from_tuples(list(zones)))
    protection = secrecy.protect(values, totals, geography(zones))
    assert protection.units.to_dict() == {"a": MASKED, "b": PUBLISHED, "c": SECONDARY}
    shown, sums_shown = protection.hide(values, totals)
    assert shown.isna().tolist() == [True, False, True]
    assert sums_shown.tolist() == [84.0]


def test_bad_geographies_are_refused_by_name():
    zones = {("epci", "1"): "ab"}
    values = pd.Series({"a": 20.0, "b": 30})
    totals, membership = sums(values, zones), geography(zones)
    with pytest.raises(StatisticsError, match=r"Ligne epci / 1 : total publié 99, somme de ses membres 50"):
        secrecy.protect(values, totals + 49, membership)
    with pytest.raises(StatisticsError, match="Ligne a / epci / 1 : appartenance en double"):
        secrecy.protect(values, totals, pd.concat([membership, membership]))
    with pytest.raises(StatisticsError, match="Ligne z / epci / 1 : unité absente"):
        secrecy.protect(values, totals, membership.replace("a", "z"))
    with pytest.raises(StatisticsError, match="Ligne a / epci / 2 : zone absente"):
        secrecy.protect(values, totals, membership.replace("1", "2"))
    with pytest.raises(StatisticsError, match="Ligne b : « values » est négatif"):
        secrecy.protect(values * [1, -1], totals, membership)
    with pytest.raises(StatisticsError, match="2 booléens attendus"):
        secrecy.protect(values, totals, membership, [True])


@pytest.mark.parametrize(
    ("rule", "count", "base", "hidden"),
    [
        ("D10", [9, 10, np.nan], None, [True, False, True]),
        ("E11", [10, 11, 0], None, [True, False, True]),
        ("C5", [4, 5, 0], None, [True, False, True]),
        ("RP", [5, 5, 5], [199, 200, np.nan], [True, False, True]),
        ("0", [0, 1, np.nan], None, [False, False, True]),
    ],
)
def test_primary_rules(rule, count, base, hidden):
    assert secrecy.primary(count, base, rule).tolist() == hidden


def test_rounding_and_unknown_rules():
    assert secrecy.round_as_producer([7.4, 7.5, 12, np.nan], "C5")[:3].tolist() == [5, 10, 10]
    assert secrecy.round_as_producer([7.4], "D10").tolist() == [7.4]
    with pytest.raises(StatisticsError, match="X9"):
        secrecy.primary([1], rule="X9")
    with pytest.raises(StatisticsError, match="dénominateur"):
        secrecy.primary([1], rule="RP")
