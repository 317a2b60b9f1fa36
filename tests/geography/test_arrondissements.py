"""Paris, Lyon and Marseille through facts and formulas: their arrondissements stand beside the commune they make."""

from __future__ import annotations

import datetime

import pandas as pd
import places
import pytest

from diagnostics.catalog import load_catalog
from diagnostics.geography.membership import build_membership
from diagnostics.geography.passage import COLUMNS, carry_to_pivot
from diagnostics.indicators import build_facts, compute, needed_variables, reference_population
from diagnostics.indicators.facts import with_zeros
from diagnostics.sources.observe import observe

SHARES = ["edi_q5_pop_share", "nurse_zoning_pop_share", "dentist_zoning_pop_share", "radon_class3_pop_share"]


def test_arrondissements_are_kept_beside_their_commune_whichever_way_they_are_published(reference):
    for values in ({"75101": 1, "75102": "secret"}, {"75056": 3, "75101": 1, "75102": 2}):
        carried = carry_to_pivot(places.observed({"01001": 9, **values}), reference, {"people": "sum"})
        assert list(carried.districts.columns) == COLUMNS
        assert set(carried.districts["geo_type"].astype(str)) == {"district"}
        kept = carried.districts.astype({"geo_code": str, "status": str})
        kept = {r.geo_code: r.value if r.status == "ok" else r.status for r in kept.itertuples()}
        assert kept == {code: value for code, value in values.items() if code in places.DISTRICTS}
        assert "district" not in set(carried.observations["geo_type"])
    assert carry_to_pivot(places.observed({"75056": 3}), reference, {"people": "sum"}).districts.empty


def test_every_arrondissement_is_a_member_of_its_commune(reference):
    links = build_membership(reference, []).query("child_type == 'district'")
    assert links[["child_code", "parent_type", "parent_code"]].values.tolist() == [
        [code, "commune", "75056"] for code in places.DISTRICTS
    ]


def test_a_directory_by_arrondissement_has_nothing_in_those_it_does_not_name(reference):
    named = places.observed({"01001": 2, "75056": 1}, "doctors")
    whole = with_zeros(named, ["doctors"], reference)
    assert set(whole["geo_type"]) == {"commune"}
    split = pd.concat([named, places.observed({"75101": 1}, "doctors", geo_type="district")])
    split = with_zeros(split, ["doctors"], reference).astype({"geo_code": str}).query("geo_type == 'district'")
    assert dict(zip(split["geo_code"], split["value"], strict=True)) == {"75101": 1, "75102": 0}


@pytest.fixture(scope="module")
def real(mirror, real_reference):
    """(values of `SHARES` by indicator and zone, the observations they come from) on the mirror."""
    catalog = load_catalog().of_indicators({*SHARES, "pop_municipal"})
    wanted = set(needed_variables(catalog, "mirror"))
    observations = []
    sources = [source for source in catalog.sources.values() if wanted & set(source.variables)]
    for source in sources:
        for part in source.of_profile("mirror"):
            if part.observations and {name for block in part.observations for name in block.values} & wanted:
                frame = observe(source, part, mirror / part.address.removeprefix("mirror://"))
                observations.append(frame[frame["variable"].isin(wanted)])
    facts = build_facts(observations, sources, real_reference, reference_population(catalog, "mirror"))
    table = compute(
        catalog, "mirror", (carried.observations for carried in facts), build_membership(real_reference, []),
        versions={}, computed_at=datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC),
    )  # fmt: skip
    values = table.to_pandas().set_index(["indicator_id", "zone_type", "zone_code"])
    return values, pd.concat(observations, ignore_index=True)


@pytest.mark.parametrize(
    ("indicator", "zone", "value"),
    [
        ("edi_q5_pop_share", ("commune", "13055"), 47.37),
        ("edi_q5_pop_share", ("commune", "69123"), 16.53),
        ("edi_q5_pop_share", ("commune", "75056"), 34.61),
        ("edi_q5_pop_share", ("commune", "38421"), 0.0),  # Saint-Martin-d'Hères
        ("edi_q5_pop_share", ("epci", "200054807"), 23.65),  # Aix-Marseille-Provence
        ("edi_q5_pop_share", ("epci", "200040715"), 8.20),  # Grenoble-Alpes
        ("nurse_zoning_pop_share", ("commune", "75056"), 7.58),
        ("dentist_zoning_pop_share", ("commune", "13055"), 8.58),
        ("radon_class3_pop_share", ("commune", "69123"), 10.32),  # of class 3: the 9th arrondissement only
    ],
)
def test_real_cities_have_the_share_of_their_arrondissements(real, indicator, zone, value):
    row = real[0].loc[(indicator, *zone)]
    assert row["value"] == pytest.approx(value, abs=0.005)
    assert row["coverage"] == pytest.approx(1)
    assert row["reliability"] == "ok"


def test_the_real_fifth_of_the_index_is_that_of_a_plain_loop(real, real_reference):
    """Communes that never moved since 2021 and arrondissements, read in the file: ranked, then added up to a bound."""
    values, observations = real
    known = observations[(observations["period"] == "2021") & observations["value"].notna()]
    score, people = (known[known["variable"] == name].set_index("geo_code")["value"] for name in ("edi", "pmun"))
    cities = set(real_reference.municipal_districts["commune"])
    units = [(score[c], people[c], c) for c in score.index if c in people.index and c not in cities]
    total, below, bound = sum(count for _, count, _ in units), 0.0, None
    for value, count, _ in sorted(units):
        below += count
        if below >= 0.8 * total:
            bound = value
            break
    assert bound == pytest.approx(8.72, abs=0.005)
    above = sum(count for value, count, _ in units if value > bound)
    assert values.loc[("edi_q5_pop_share", "france", "FR"), "value"] == pytest.approx(100 * above / total, abs=0.02)
    for city in cities:
        parts = set(real_reference.municipal_districts.query("commune == @city")["code"])
        inside = [(value, count) for value, count, code in units if code in parts]
        share = 100 * sum(count for value, count in inside if value > bound) / sum(count for _, count in inside)
        assert values.loc[("edi_q5_pop_share", "commune", city), "value"] == pytest.approx(share)
