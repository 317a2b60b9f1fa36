"""Old codes carried to the pivot: every rule against a plain loop, and the published totals of France."""

from __future__ import annotations

import zipfile

import numpy as np
import pandas as pd
import places
import pytest
from conftest import read_text
from hypothesis import given, settings
from hypothesis import strategies as st

from diagnostics.errors import GeographyError
from diagnostics.geography.passage import COLUMNS, carry_to_pivot
from diagnostics.geography.reference import build_reference

WEIGHTS = pd.Series({"01010": 300.0, "01011": 100.0})
REFERENCE = build_reference(places.insee_tables())


def at_pivot(carried, variable="people"):
    rows = carried.observations[carried.observations["variable"] == variable]
    return {r.geo_code: r.value if r.status == "ok" else r.status for r in rows.itertuples()}


# Members of each pivot commune in a file of 2020, written by hand.
FAMILIES = {
    "01001": [("01001", 1.0)],
    "01002": [("01002", 1.0), ("01003", 1.0), ("01006", 1.0)],
    "01004": [("01005", 1.0)],
    "01010": [("01010", 0.75)],
    "01011": [("01010", 0.25)],
    "2A004": [("2A004", 1.0)],
    "75056": [("75101", 1.0), ("75102", 1.0)],
}


def by_hand(rule, values, weights):
    """The rules again, commune by commune."""
    result = {}
    for code, family in FAMILIES.items():
        members = [(values[old], weights.get(old), share) for old, share in family]
        states = [v for v, _, _ in members if isinstance(v, str)]
        if states:
            result[code] = "secret" if "secret" in states else "missing"
        elif rule == "sum":
            result[code] = sum(v * share for v, _, share in members)
        elif rule == "max":
            result[code] = max(v for v, _, _ in members)
        elif rule == "keep":
            result[code] = members[0][0] if len(members) == 1 and members[0][2] == 1 else "missing"
        elif rule.startswith("mean") and len(members) == 1:
            result[code] = members[0][0]
        elif rule.startswith("mean"):
            known = all(not isinstance(w, str) for _, w, _ in members) and sum(w for _, w, _ in members) > 0
            total = sum(w for _, w, _ in members) if known else 0
            result[code] = sum(v * w for v, w, _ in members) / total if known else "missing"
        elif len({v for v, _, _ in members}) == 1:
            result[code] = members[0][0]
        elif any(isinstance(w, str) for _, w, _ in members):
            result[code] = "missing"
        else:
            scores = {}
            for v, w, share in members:
                scores[v] = scores.get(v, 0) + w * share
            result[code] = max(scores, key=lambda v: (scores[v], v))
    return result


CODES = [code for code in places.COMMUNES_2020 if code != "75056"] + places.DISTRICTS
CELL = st.one_of(st.integers(0, 9), st.sampled_from(["secret", "missing"]))
KNOWN = st.integers(0, 9)


@settings(deadline=None, max_examples=40)
@given(
    rule=st.sampled_from(["sum", "max", "keep", "mean:heads", "majority:heads"]),
    values=st.fixed_dictionaries(dict.fromkeys(CODES, CELL)),
    heads=st.fixed_dictionaries(dict.fromkeys(CODES, CELL)),
)
def test_every_rule_does_what_a_plain_loop_does(rule, values, heads):
    observations = pd.concat([places.observed(values), places.observed(heads, "heads")], ignore_index=True)
    carried = at_pivot(carry_to_pivot(observations, REFERENCE, {"people": rule, "heads": "sum"}, WEIGHTS))
    expected = by_hand(rule, values, heads)
    assert carried.keys() == expected.keys()
    for code, value in expected.items():
        assert carried[code] == (value if isinstance(value, str) else pytest.approx(value)), code


@settings(deadline=None, max_examples=15)
@given(values=st.fixed_dictionaries(dict.fromkeys(CODES, CELL)))
def test_the_account_of_a_sum_balances(values):
    rows = {**values, "97501": 5, "99999": 7}
    report = carry_to_pivot(places.observed(rows), REFERENCE, {"people": "sum"}, WEIGHTS).report
    one = report.sums.iloc[0]
    assert one["before"] == sum(v for v in rows.values() if not isinstance(v, str))
    assert one["before"] == pytest.approx(one[["after", "withheld", "districts", "unknown", "outside"]].sum())
    assert report.unknown.values.tolist() == [["census", "99999", 1]]
    assert report.outside.values.tolist() == [["census", "97501", 1]]


def test_the_shape_and_the_order_of_columns(reference):
    carried = carry_to_pivot(places.observed({"01003": 1, "01005": 2}), reference, {"people": "sum"}).observations
    assert list(carried.columns) == COLUMNS
    assert set(carried["cog_year"]) == {2025}
    assert set(carried["geo_type"]) == {"commune"}


def test_other_levels_go_through_untouched(reference):
    iris = places.observed({"010030101": 4}, geo_type="iris")
    everything = pd.concat([places.observed({"01001": 1}), iris], ignore_index=True)
    carried = carry_to_pivot(everything, reference, {"people": "sum"}).observations
    kept = carried[carried["geo_type"] == "iris"]
    pd.testing.assert_frame_equal(kept.reset_index(drop=True), iris[COLUMNS], check_dtype=False)


def test_a_file_of_the_pivot_year_does_not_move(reference):
    values = {code: i for i, code in enumerate(places.COMMUNES_2025)}
    carried = carry_to_pivot(places.observed(values, cog_year=2025), reference, {"people": "keep"})
    assert at_pivot(carried) == values
    assert carried.report.mergers.empty
    assert carried.report.splits.empty


def test_a_file_older_than_the_merger_that_was_undone_is_not_shared_out(reference):
    values = {"01010": 8, "01011": 3}
    assert at_pivot(carry_to_pivot(places.observed(values, cog_year=2016), reference, {"people": "sum"})) == values


def test_a_split_needs_populations_for_counts_only(reference):
    file = places.observed({"01010": 8})
    with pytest.raises(GeographyError, match=r"census \(COG 2020\).*01010 a été scindée.*01011"):
        carry_to_pivot(file, reference, {"people": "sum"})
    assert at_pivot(carry_to_pivot(file, reference, {"people": "max"})) == {"01010": 8, "01011": 8}
    assert at_pivot(carry_to_pivot(file, reference, {"people": "keep"})) == {"01010": "missing", "01011": "missing"}
    shares = carry_to_pivot(file, reference, {"people": "sum"}, WEIGHTS).report.splits
    assert shares.values.tolist() == [["census", "01010", "01010", 0.75], ["census", "01010", "01011", 0.25]]


def test_a_member_without_a_row_leaves_counts_alone_and_rates_unknown(reference):
    file = places.observed({"01002": 5})
    carried = carry_to_pivot(file, reference, {"people": "sum"})
    assert at_pivot(carried) == {"01002": 5}
    assert carried.report.absent["old_code"].tolist() == ["01003", "01006"]
    for rule in ("max", "keep", "majority"):
        assert at_pivot(carry_to_pivot(file, reference, {"people": rule})) == {"01002": "missing"}


def test_a_majority_nobody_can_weigh_is_reported(reference):
    file = places.observed({"01002": 1, "01003": 3, "01006": 1})
    undecided = carry_to_pivot(file, reference, {"people": "majority"}).report.undecided
    assert undecided.values.tolist() == [["census", "people", "2020", "01002"]]
    weighed = carry_to_pivot(file, reference, {"people": "majority"}, pd.Series({"01002": 10, "01003": 18, "01006": 9}))
    assert at_pivot(weighed) == {"01002": 1}


class TestParis:
    def test_commune_and_arrondissements_are_counted_once(self, reference):
        carried = carry_to_pivot(
            places.observed({"75056": 100, "75101": 40, "75102": 60}), reference, {"people": "sum"}
        )
        assert at_pivot(carried) == {"75056": 100}
        one = carried.report.sums.iloc[0]
        assert (one["before"], one["after"], one["districts"]) == (200, 100, 100)
        assert carried.report.districts[["commune_value", "districts_value"]].values.tolist() == [[100, 100]]

    def test_a_median_is_taken_from_the_commune_only(self, reference):
        both = places.observed({"75056": 21, "75101": 20, "75102": 23})
        assert at_pivot(carry_to_pivot(both, reference, {"people": "keep"})) == {"75056": 21}
        parts = places.observed({"75101": 20, "75102": 23})
        assert at_pivot(carry_to_pivot(parts, reference, {"people": "keep"})) == {"75056": "missing"}

    def test_some_variables_by_commune_others_by_arrondissement(self, reference):
        file = pd.concat(
            [places.observed({"75056": 7}, "wide"), places.observed({"75101": 1, "75102": 2}, "fine")],
            ignore_index=True,
        )
        carried = carry_to_pivot(file, reference, {"wide": "keep", "fine": "sum"})
        assert at_pivot(carried, "wide") == {"75056": 7}
        assert at_pivot(carried, "fine") == {"75056": 3}

    def test_a_contradiction_is_refused(self, reference):
        with pytest.raises(GeographyError, match=r"75056 vaut 100,0 mais ses arrondissements totalisent 70,0"):
            carry_to_pivot(places.observed({"75056": 100, "75101": 10, "75102": 60}), reference, {"people": "sum"})


@pytest.mark.parametrize(
    ("file", "rules", "said"),
    [
        (places.observed({"01001": 1}), {}, "aucune règle pour la variable « people »"),
        (places.observed({"01001": 1}), {"people": "median"}, "règle « median » inconnue"),
        (places.observed({"01001": 1, "01002": 2}, geo_code="01001"), {"people": "sum"}, "deux lignes pour la commune"),
        (places.observed({"01001": "hidden"}), {"people": "sum"}, "statut « hidden » inconnu"),
        (places.observed({"01001": float("nan")}), {"people": "sum"}, "statut « ok » sans valeur"),
        (places.observed({"01002": 1}).drop(columns="period"), {"people": "sum"}, "period manquante"),
        (
            places.observed({"01002": 1, "01003": 2, "01006": 1}),
            {"people": "mean:heads"},
            "se pondère par « heads », absente du jeu",
        ),
    ],
)
def test_input_that_cannot_be_carried_is_refused(reference, file, rules, said):
    with pytest.raises(GeographyError, match=said):
        carry_to_pivot(file, reference, rules)


def observe(table: pd.DataFrame, key: str, column: str, dataset: str, cog_year: int) -> pd.DataFrame:
    value = pd.to_numeric(table[column], errors="coerce")
    return pd.DataFrame(
        {
            "dataset_id": dataset,
            "variable": column,
            "geo_type": "commune",
            "geo_code": table[key],
            "cog_year": cog_year,
            "period": "x",
            "value": value,
            "status": np.where(value.isna(), "missing", "ok"),
        }
    )


@pytest.fixture(scope="session")
def population(mirror, real_reference):
    """PMUN of every year at the pivot, from the latest: it shares the splits of the earlier ones."""
    carried, weights = {}, None
    for year, rp in ((2025, 2023), (2024, 2022)):
        file = read_text(mirror / "insee_popref" / f"donnees_communes_rp{rp}.csv.gz", sep=";")
        carried[rp] = carry_to_pivot(
            observe(file, "COM", "PMUN", "popref", year), real_reference, {"PMUN": "sum"}, weights
        )
        weights = carried[2023].observations.set_index("geo_code")["value"]
    return carried


@pytest.mark.parametrize(("rp", "total", "mergers"), [(2022, 67_760_573, 49), (2023, 68_094_280, 3)])
def test_real_populations_reach_the_published_total_to_the_unit(population, rp, total, mergers):
    carried = population[rp]
    assert carried.observations["value"].sum() == pytest.approx(total, abs=1e-6)
    assert carried.report.unknown.empty
    assert len(carried.report.mergers) == mergers
    assert carried.observations["geo_code"].is_unique
    assert len(carried.observations) == 34_875 - 17  # Mayotte is published apart


def test_real_split_of_neussargues(population):
    report = population[2022].report
    assert report.splits["new_code"].tolist() == ["15031", "15035", "15047", "15141", "15171"]
    assert report.splits["share"].sum() == pytest.approx(1)


def test_real_petr_val_de_lorraine(mirror, real_reference, population):
    epci = real_reference.communes.set_index("code")["epci"]
    members = epci.index[epci.isin(["245400601", "200041515", "200070738", "200070589"])]
    values = population[2022].observations.set_index("geo_code")["value"]
    assert len(members) == 133
    assert values[members].sum() == 117_928


def test_real_radon_of_2016_has_no_unknown_code(mirror, real_reference):
    file = read_text(mirror / "irsn_radon" / "radon.csv.gz", sep=";")
    file = file[file["reg"] == "FR"].assign(insee_com=lambda f: f["insee_com"].str.zfill(5))
    assert len(file) == 35_798
    rows = observe(file, "insee_com", "classe_potentiel", "radon", 2016)
    carried = carry_to_pivot(rows, real_reference, {"classe_potentiel": "max"})
    assert carried.report.unknown.empty
    assert carried.report.absent.empty
    assert set(carried.observations["status"]) == {"ok"}
    assert carried.report.splits["old_code"].unique().tolist() == ["76676", "85084"]
    metropole = ~real_reference.communes["code"].str.startswith("97")
    assert set(carried.observations["geo_code"]) == set(real_reference.communes.loc[metropole, "code"])


def test_real_file_with_paris_twice(mirror, real_reference):
    with zipfile.ZipFile(mirror / "insee_comparateur_rp2018" / "base_cc_comparateur_csv.zip") as archive:
        file = read_text(archive.open("base_cc_comparateur.CSV"), sep=";")
    rows = observe(file, "CODGEO", "P18_POP", "comparateur", 2021)
    equal_weights = pd.Series(1.0, index=real_reference.communes["code"])
    carried = carry_to_pivot(rows, real_reference, {"P18_POP": "sum"}, equal_weights)
    one = carried.report.sums.iloc[0]
    assert one["after"] == pytest.approx(66_732_538, abs=1)
    assert sorted(carried.report.districts["commune"]) == ["13055", "69123", "75056"]
