"""Nobody finds a masked count in all that is published: levels, indicators and products tried together.

The attacker is written apart, with numerical linear algebra: an unknown per variable and smallest zone, an equation per
published number. He finds a masked count when its own equation is a combination of the published ones.
"""

import datetime
import itertools

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.catalog import Catalog, Indicator, Source, Theme, load_catalog
from diagnostics.indicators.engine import compute
from diagnostics.statistics import secrecy

NOW = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
RULES = {
    "people": "0",
    "deaths": "0",
    "births": "0",
    "young": "E11",
    "old": "E11",
    "insured": "0",
    "without": "E11",
}
"""Variable -> the rule of its dataset; each variable is a dataset of its own."""


def card(id_, numerator, denominator=None, **more):
    kind = {"kind": "ratio", "denominator": denominator, "multiplier": 100} if denominator else {"kind": "sum"}
    base = {"label": id_, "short": id_, "definition": "d", "unit": "%", "direction": "neutral"}
    return Indicator.model_validate({"id": id_, "formula": kind | {"numerator": numerator}} | base | more)


INDICATORS = [
    card("pop_municipal", "people@2022"),
    card("death_rate", "deaths@2022", "people@2022", secrecy="events", interval="byar"),
    card("deaths", "deaths@2022", secrecy="events"),
    card("deaths_pooled", "deaths@2021 + deaths@2022", "people@2022", secrecy="events"),
    card("young_rate", "young@2022", "people@2022"),
    card("old_rate", "old@2022", "people@2022"),
    card("everyone", "young@2022 + old@2022"),
    card("without", "without@2022", "insured@2022", interval="wilson"),
    card("with_one", "insured@2022 - without@2022", "insured@2022"),
    card("insured", "insured@2022"),
]


def catalog_of(indicators):
    def source(variable, rule):
        block = {"geo": [{"type": "commune", "code": "c"}], "period_column": "year", "values": {variable: "v"}}
        distribution = {"id": "f", "profiles": ["mirror"], "address": "mirror://f", "vintage": "1", "layout": "csv",
                        "observations": [block]}  # fmt: skip
        return Source.model_validate(
            {"id": variable, "title": "T", "producer": "P", "licence": "L", "homepage": "h", "citation": "c",
             "theme": "t", "secrecy": rule, "variables": {variable: {"label": variable}},
             "distributions": [distribution]}
        )  # fmt: skip

    theme = Theme(theme="test", title="Essai", palette="population", indicators=indicators)
    return Catalog(None, {name: source(name, rule) for name, rule in RULES.items()}, {"test": theme}, {})


def published(indicators, counts, membership):
    """The public table of a world: `counts`: variable, period, geo_type, geo_code, value."""
    facts = counts.assign(dataset_id=counts["variable"], status="ok")
    table = compute(catalog_of(indicators), "mirror", [facts], membership, versions={}, computed_at=NOW)
    return table.to_pandas().astype({"indicator_id": str, "zone_type": str, "zone_code": str})


def found_by_an_attacker(table, indicators, inside, unknowns):
    """Rows of `table` masked by a rule whose numerator an outsider works out.

    `inside`: (zone_type, zone_code) -> its smallest zones; `unknowns`: (variable, period) -> those it is known for.
    """
    place = {key: i for i, key in enumerate((term, unit) for term, units in unknowns.items() for unit in units)}

    def equation(zone, terms):
        line = np.zeros(len(place))
        for term, unit in itertools.product(terms, inside[zone]):
            if ((term.variable, term.period), unit) in place:
                line[place[(term.variable, term.period), unit]] += term.coefficient
        return line

    known, hidden = [], []
    formulas = {i.id: i.formula.roles() for i in indicators}
    for row in table.to_dict("records"):
        roles, zone = formulas[row["indicator_id"]], (row["zone_type"], row["zone_code"])
        if np.isfinite(row["value"]):
            # Whoever reads the value and the denominator has the numerator.
            known += [equation(zone, terms) for terms in roles.values()]
        elif row["reliability"] == "masked":
            hidden.append((row["indicator_id"], zone, equation(zone, roles["numerator"])))
    _, strength, axes = np.linalg.svd(np.array(known).reshape(-1, len(place)), full_matrices=True)
    free = axes[int((strength > 1e-9).sum()) :]
    # A combination of what is known is orthogonal to all that what is known leaves free.
    return [(name, zone) for name, zone, line in hidden if not len(free) or np.abs(free @ line).max() < 1e-7]


@st.composite
def worlds(draw):
    """Communes, some of IRIS, in EPCI, in départements that cut across them, and in a CLS that is anything."""
    communes = [f"0100{i}" for i in range(draw(st.integers(2, 7)))]
    iris = {c: [f"{c}0{k}" for k in range(draw(st.sampled_from([0, 0, 2, 3])))] for c in communes}
    parents = {
        c: {("epci", draw(st.sampled_from("AB"))), ("departement", draw(st.sampled_from("12")))} for c in communes
    }
    for c in draw(st.lists(st.sampled_from(communes), unique=True)):
        parents[c].add(("cls", "essai"))
    rows = [(kind, child, *parent) for c in communes
            for kind, child in (("commune", c), *(("iris", i) for i in iris[c]))
            for parent in (("commune", c), *sorted(parents[c]), ("france", "FR"))]  # fmt: skip
    membership = pd.DataFrame(rows, columns=["child_type", "child_code", "parent_type", "parent_code"])
    small = st.one_of(st.integers(0, 14), st.integers(15, 90))
    counts = []
    for variable, period in [(v, "2022") for v in RULES] + [("deaths", "2021")]:
        for c in communes:
            parts = {i: float(draw(small)) for i in iris[c]} or {c: float(draw(small))}
            if variable == "people":
                parts = {name: 1000.0 + value for name, value in parts.items()}
            if variable == "insured":
                parts = dict.fromkeys(parts, 100.0)
            counts += [(variable, period, "iris", i, v) for i, v in parts.items() if i != c]
            counts.append((variable, period, "commune", c, sum(parts.values())))
    counts = pd.DataFrame(counts, columns=["variable", "period", "geo_type", "geo_code", "value"])
    smallest = {c: iris[c] or [c] for c in communes}
    inside = {("iris", i): [i] for parts in iris.values() for i in parts} | {
        ("commune", c): units for c, units in smallest.items()
    }
    for c, zones in parents.items():
        for zone in (*zones, ("france", "FR")):
            inside[zone] = inside.get(zone, []) + smallest[c]
    return counts, membership, inside


@settings(max_examples=10)
@given(worlds(), st.sets(st.integers(1, len(INDICATORS) - 1), min_size=1, max_size=6))
def test_nothing_masked_is_found_over_levels_and_indicators(world, some):
    """A count and its rate, two periods and one of them, a whole and its parts, who has and who has not."""
    counts, membership, inside = world
    indicators = [INDICATORS[0], *(INDICATORS[i] for i in sorted(some))]
    table = published(indicators, counts, membership)
    units = sorted({unit for parts in inside.values() for unit in parts})
    terms = {(t.variable, t.period) for i in indicators for t in i.formula.terms()}
    assert found_by_an_attacker(table, indicators, inside, dict.fromkeys(terms, units)) == []


def test_the_attacker_finds_what_is_badly_hidden():
    """A proof of the test itself: masking by hand the one small commune is seen through."""
    inside = {("commune", "a"): ["a"], ("commune", "b"): ["b"], ("epci", "A"): ["a", "b"]}
    rows = [("deaths", "commune", "a", np.nan, "masked"), ("deaths", "commune", "b", 50.0, "ok"),
            ("deaths", "epci", "A", 54.0, "ok")]  # fmt: skip
    table = pd.DataFrame(rows, columns=["indicator_id", "zone_type", "zone_code", "value", "reliability"])
    found = found_by_an_attacker(table, [INDICATORS[2]], inside, {("deaths", "2022"): ["a", "b"]})
    assert found == [("deaths", ("commune", "a"))]


def world_of(rows, parents):
    membership = pd.DataFrame(
        [("commune", c, *p) for c, p in parents.items()]
        + [("commune", c, t, z) for c in parents for t, z in (("commune", c), ("france", "FR"))],
        columns=["child_type", "child_code", "parent_type", "parent_code"],
    )
    counts = pd.DataFrame(rows, columns=["variable", "geo_code", "value"]).assign(period="2022", geo_type="commune")
    return counts, membership


def test_the_rule_of_a_dataset_masks_and_few_who_are_not_counted_too():
    """Eleven people at least without a doctor (E11), and eleven at least with one."""
    parents = dict.fromkeys(["01001", "01002", "01003", "01004"], ("epci", "A"))
    without = dict(zip(parents, (10.0, 400.0, 495.0, 300.0), strict=True))
    rows = [("people", c, 1000.0) for c in parents] + [("insured", c, 500.0) for c in parents]
    table = published(
        [INDICATORS[0], INDICATORS[7]], *world_of(rows + [("without", *w) for w in without.items()], parents)
    )
    shown = table[table["indicator_id"] == "without"].set_index("zone_code")
    assert shown["reliability"].to_dict() == {
        "01001": "masked", "01002": "ok", "01003": "masked", "01004": "ok", "A": "ok", "FR": "ok",
    }  # fmt: skip
    assert shown.loc["01001", ["numerator", "denominator", "value", "ci_low", "ci_high"]].isna().all()


def test_a_whole_is_not_shown_where_one_of_its_two_parts_is_hidden():
    parents = dict.fromkeys(["01001", "01002", "01003"], ("epci", "A"))
    young = dict(zip(parents, (4.0, 5.0, 60.0), strict=True))
    rows = [("people", c, 1000.0) for c in parents] + [("old", c, 50.0) for c in parents]
    table = published(
        [INDICATORS[0], *INDICATORS[4:7]], *world_of(rows + [("young", *w) for w in young.items()], parents)
    )
    shown = table.set_index(["indicator_id", "zone_code"])["reliability"]
    assert shown["old_rate"].to_dict() == dict.fromkeys([*parents, "A", "FR"], "ok")
    assert shown["everyone"].to_dict() == {"01001": "masked", "01002": "masked", "01003": "ok", "A": "ok", "FR": "ok"}


def test_counts_are_rounded_as_their_producer_rounds_them(monkeypatch):
    """A commune that was split holds a share of a rounded count: it is rounded again, and its rate with it."""
    monkeypatch.setitem(RULES, "old", "C5")
    rows = [("people", "01001", 1000.0), ("old", "01001", 37.3)]
    table = published([INDICATORS[0], INDICATORS[5]], *world_of(rows, {"01001": ("epci", "A")}))
    rate = table[(table["indicator_id"] == "old_rate") & (table["zone_type"] == "commune")].iloc[0]
    assert (rate["numerator"], rate["value"]) == (35, 3.5)


def test_every_rule_of_a_dataset_is_one_of_the_rules_and_is_explained():
    cards = {source.secrecy for source in load_catalog().sources.values()}
    assert cards <= set(secrecy.RULES)
    assert all(rule.text.endswith(".") for rule in secrecy.RULES.values())


@pytest.fixture(scope="module")
def births_and_deaths(mirror):
    """The births and deaths of every commune of three regions of small communes, as the engine publishes them; the
    perimeters of the CLS are those of the catalogue."""
    file = mirror / "insee_comparateur_2024" / "communes_2024.csv.gz"
    raw = pd.read_csv(file, dtype={"insee_com": str, "insee_dep": str})
    raw = raw[raw["insee_reg"].astype(str).isin(["27", "28", "44"])].drop_duplicates("insee_com").set_index("insee_com")
    epci = pd.read_excel(mirror / "dgcl_epci" / "epcicom2025.xlsx", dtype=str, engine="calamine").set_index("insee")[
        "siren"
    ]
    catalog = load_catalog()
    pairs = [(c, "commune", c) for c in raw.index] + [(c, "france", "FR") for c in raw.index]
    pairs += [(c, "departement", d) for c, d in raw["insee_dep"].items()]
    pairs += [(c, "epci", siren) for c, siren in epci.items() if c in raw.index]
    pairs += [(c, "cls", t.id) for t in catalog.territories.values() for c in t.communes if c in raw.index]
    membership = pd.DataFrame(pairs, columns=["child_code", "parent_type", "parent_code"]).assign(child_type="commune")
    columns = {
        "population_2021": ("people", "2022"),
        "deces_2022": ("deaths", "2022"),
        "naissances_2022": ("births", "2022"),
    }
    counts = pd.concat(
        pd.DataFrame({"variable": name, "period": period, "geo_type": "commune", "geo_code": raw.index,
                      "value": pd.to_numeric(raw[column], errors="coerce").to_numpy()})
        for column, (name, period) in columns.items()
    ).dropna()  # fmt: skip
    indicators = [INDICATORS[0], *INDICATORS[1:3], card("birth_rate", "births@2022", "people@2022", secrecy="events")]
    return published(indicators, counts, membership), membership


@pytest.mark.parametrize("names", [("death_rate", "deaths"), ("birth_rate",)])
def test_nothing_masked_is_found_on_the_real_births_and_deaths(births_and_deaths, names):
    """The same attacker: communes that the same totals hold are one unknown, for they cannot be told apart."""
    table, membership = births_and_deaths
    table = table[table["indicator_id"].isin(names)]
    shown = table[table["value"].notna()]
    seen = set(shown.loc[shown["zone_type"] == "commune", "zone_code"])
    hidden = membership[~membership["child_code"].isin(seen) & (membership["parent_type"] != "commune")]
    totals = set(zip(shown["zone_type"], shown["zone_code"], strict=True))
    zones = pd.Series(list(zip(hidden["parent_type"], hidden["parent_code"], strict=True)), index=hidden["child_code"])
    alike: dict[tuple, list[str]] = {}
    for code, around in zones.groupby(level=0).agg(set).items():
        alike.setdefault(tuple(sorted(around & totals)), []).append(code)
    keys = list(alike)
    rows = {zone: i for i, zone in enumerate(sorted({zone for key in keys for zone in key}))}
    matrix = np.zeros((len(rows), len(keys)))
    for column, key in enumerate(keys):
        matrix[[rows[zone] for zone in key], column] = 1
    _, strength, axes = np.linalg.svd(matrix, full_matrices=True)
    free = axes[int((strength > 1e-9).sum()) :]
    masked = table[table["reliability"] == "masked"]
    secret = set(masked.loc[masked["zone_type"] == "commune", "zone_code"])
    assert len(secret) > 5_000
    certain = np.flatnonzero(np.abs(free).max(axis=0) < 1e-7)
    assert [alike[keys[i]] for i in certain if len(alike[keys[i]]) == 1 and alike[keys[i]][0] in secret] == []
    for zone in set(zip(masked["zone_type"], masked["zone_code"], strict=True)) - {("commune", c) for c in secret}:
        inside = set(zones.index[zones == zone])
        share = np.array([len(inside.intersection(alike[key])) / len(alike[key]) for key in keys])
        whole = set(share) <= {0.0, 1.0}
        assert not whole or np.abs(free @ share).max() > 1e-7, zone
