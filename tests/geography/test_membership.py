"""Which zone belongs to which, and what a wrong perimeter is told."""

from __future__ import annotations

from types import SimpleNamespace

import places
import pytest

from diagnostics.errors import GeographyError
from diagnostics.geography.membership import build_membership, build_zones, check_perimeter, unplaced_iris


def parents(membership, code, child_type="commune"):
    rows = membership[(membership["child_type"] == child_type) & (membership["child_code"] == code)]
    return sorted(zip(rows["parent_type"], rows["parent_code"], strict=True))


def test_a_commune_lies_in_every_zone_above_it(reference):
    membership = build_membership(reference, [places.territory(kind="petr", siren="200000009")])
    assert parents(membership, "01002") == [
        ("cls", "bourg"),
        ("commune", "01002"),
        ("departement", "01"),
        ("epci", "200000001"),
        ("france", "FR"),
        ("petr", "200000009"),
        ("region", "84"),
    ]
    assert ("epci", "") not in parents(membership, "2A004")
    assert not membership.duplicated().any()
    assert not membership.isna().any().any()


def test_a_perimeter_of_another_year_is_carried_to_the_pivot(reference):
    card = places.territory(cog_year=2020, communes=["01003", "01005", "01010"])
    members = build_membership(reference, [card]).query("parent_type == 'cls'")["child_code"]
    assert sorted(members) == ["01002", "01004", "01010", "01011"]


def test_an_epci_gone_from_the_year_s_table_keeps_the_communes_of_the_card(reference):
    gone = SimpleNamespace(siren="200000077", name="CA d'avant")
    alone = places.territory(id="avant", siren=gone.siren, epci=[gone], communes=["01010"])
    membership = build_membership(reference, [alone])
    assert ("epci", "200000077") in parents(membership, "01010")
    assert ("epci", "200000002") in parents(membership, "01010")
    zones = build_zones(reference, [alone])
    assert ("epci", "200000077", "CA d'avant") in list(zones.itertuples(index=False, name=None))

    with_other = places.territory(epci=[*places.territory().epci, gone], communes=["01001", "01002", "01004", "01010"])
    held = build_membership(reference, [with_other]).query("parent_code == '200000077'")["child_code"]
    assert list(held) == ["01010"]

    two = places.territory(epci=[gone, SimpleNamespace(siren="200000078", name="CC d'avant")])
    with pytest.raises(GeographyError, match="200000077 et 200000078 n'existent plus"):
        build_membership(reference, [two])


def test_iris_go_to_the_commune_of_today_or_are_named(reference):
    iris = ["010010000", "010030101", "751020203", "999990000"]
    membership = build_membership(reference, [], iris)
    assert parents(membership, "010030101", "iris") == [("commune", "01002")]
    assert parents(membership, "751020203", "iris") == [("commune", "75056")]
    assert unplaced_iris(iris, reference) == ["999990000"]


def test_every_zone_has_one_name(reference):
    zones = build_zones(reference, [places.territory(kind="petr", siren="200000009", name="PETR du Bourg")])
    assert not zones.duplicated(["zone_type", "zone_code"]).any()
    named = zones.set_index(["zone_type", "zone_code"])["zone_name"]
    assert named["petr", "200000009"] == named["cls", "bourg"] == "PETR du Bourg"
    assert named["france", "FR"] == "France"
    links = build_membership(reference, [places.territory(kind="petr", siren="200000009")])
    known = set(zip(zones["zone_type"], zones["zone_code"], strict=True))
    assert set(zip(links["parent_type"], links["parent_code"], strict=True)) <= known


@pytest.mark.parametrize(
    ("codes", "year", "said"),
    [
        ([], 2025, "aucune commune"),
        (["01001", "01001"], 2025, "01001 ; chaque commune ne compte qu'une fois"),
        (["01003"], 2025, r"n'existe pas au COG 2025 \(code valable jusqu'en 2021\).*01002 \(Le Bourg\)"),
        (["01011"], 2020, r"01011 \(Celles\) n'existait pas au COG 2020, où elle faisait partie de 01010"),
        (["01004"], 2020, r"valable depuis 2025"),
        (["75101"], 2025, r"arrondissement municipal ; indiquer la commune 75056 \(Paris\)"),
        (["01012"], 2025, r"codes proches : .*01011 \(Celles\)"),
        (["1002"], 2025, r"zéro de tête : écrire 01002 \(Le Bourg\)"),
        (["Lyon"], 2025, "attendu : cinq caractères, COG 2025"),
    ],
)
def test_a_wrong_perimeter_is_explained(reference, codes, year, said):
    with pytest.raises(GeographyError, match=said):
        check_perimeter(codes, reference, year)


def test_real_perimeters(real_reference):
    def communes_of(*sirens):
        return real_reference.communes.loc[real_reference.communes["epci"].isin(sirens), "code"].tolist()

    val = communes_of("245400601", "200041515", "200070738", "200070589")
    coeur = communes_of("200034874", "245501176", "245500327", "200066140")
    assert [len(check_perimeter(c, real_reference, 2025)) for c in (val, coeur)] == [133, 123]
    assert check_perimeter(["15141"], real_reference, 2024) == ["15031", "15035", "15047", "15141", "15171"]
    with pytest.raises(GeographyError, match=r"L'Oie.* 2020, où elle faisait partie de 85084"):
        check_perimeter(["85165"], real_reference, 2020)
