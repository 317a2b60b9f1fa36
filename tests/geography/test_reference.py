"""The pivot geography from its two flavours of tables."""

from __future__ import annotations

import places
import pytest
from conftest import read_text

from diagnostics.errors import GeographyError
from diagnostics.geography.reference import build_reference, valid_codes


def test_insee_names_keep_their_article_and_foreign_communes_stay_out(reference):
    communes = reference.communes.set_index("code")
    assert list(communes.index) == places.COMMUNES_2025
    assert communes.loc["01001", "name"] == "L'Abergement"
    assert communes.loc["2A004", "epci"] != communes.loc["2A004", "epci"]
    assert communes.loc["75056"].tolist() == ["Paris", "75", "11", "200000003"]
    assert dict(zip(reference.epci["code"], reference.epci["nature"], strict=True)) == {
        "200000001": "CC",
        "200000002": "CA",
        "200000003": "METRO",
    }


def test_both_flavours_tell_the_same_geography(reference):
    package = build_reference(places.package_tables())
    for name in ("communes", "departements", "regions", "municipal_districts"):
        ours, theirs = getattr(reference, name), getattr(package, name)
        assert ours.fillna("").values.tolist() == theirs.fillna("").values.tolist(), name
    assert package.epci["nature"].tolist() == reference.epci["nature"].tolist()
    assert package.validity.empty
    assert package.splits.empty


def test_the_package_ignores_a_commune_absorbed_without_being_delegated_until_movements_tell():
    tables = places.package_tables()
    assert "01006" not in set(build_reference(tables).passage["old_code"])
    tables["movements"] = places.insee_tables()["movements"]
    passage = build_reference(tables).passage.set_index("old_code")["new_code"]
    assert passage["01006"] == "01002"
    assert passage["01005"] == "01004"


def test_insee_rules_when_both_flavours_are_given(reference):
    both = build_reference({**places.insee_tables(), **places.package_tables()})
    assert both.epci["name"].tolist() == reference.epci["name"].tolist()


def test_valid_codes_follow_the_years(reference):
    assert valid_codes(reference, 2025) == set(places.COMMUNES_2025)
    assert valid_codes(reference, 2020) == set(places.COMMUNES_2020)
    assert "01011" in valid_codes(reference, 2016)


def test_a_split_is_known_for_the_years_it_lasted(reference):
    assert reference.splits.values.tolist() == [["01010", "01010", 2017, 2024], ["01010", "01011", 2017, 2024]]


def test_a_delegated_commune_corrects_the_one_heir_of_the_passage_table():
    tables = places.insee_tables()
    tables["passage"].loc[tables["passage"]["DEPCOM_HIST"] == "01003", "DEPCOM"] = "01001"
    passage = build_reference(tables).passage.set_index("old_code")["new_code"]
    assert passage["01003"] == "01002"


def _without_column(tables):
    tables["plm"] = tables["plm"].drop(columns="DEPCOM")


def _without_table(tables):
    del tables["passage"]


def _dead_end(tables):
    tables["passage"].loc[0, "DEPCOM"] = "99999"


def _two_heirs(tables):
    tables["passage"].loc[0, "DEPCOM_HIST"] = "01003"


def _orphan(tables):
    tables["cog_regions"] = tables["cog_regions"].iloc[1:]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (_without_column, "depcom introuvable"),
        (_without_table, "il manque la table « passage »"),
        (_dead_end, "mène à 99999"),
        (_two_heirs, "01003 a plusieurs successeurs"),
        (_orphan, "a pour region « 84 »"),
    ],
)
def test_a_table_that_does_not_hold_together_is_refused(spoil, said):
    tables = places.insee_tables()
    spoil(tables)
    with pytest.raises(GeographyError, match=said):
        build_reference(tables)


def test_real_codes_of_every_year_are_those_of_the_official_lists(mirror, real_reference):
    for year in range(2021, 2026):
        listed = read_text(mirror / "insee_cog" / f"communes_cog{year}.csv.gz")
        assert valid_codes(real_reference, year) == set(listed.loc[listed["TYPECOM"] == "COM", "COM"])


def test_real_counts_and_names(real_reference):
    communes = real_reference.communes.set_index("code")
    assert len(communes) == 34_875
    assert communes.loc[["01001", "38317"], "name"].tolist() == ["L'Abergement-Clémenciat", "Le Pont-de-Claix"]
    assert communes["epci"].value_counts().loc[["200039865", "200040715"]].tolist() == [46, 49]
    assert sorted(communes.index[communes["epci"].isna()]) == ["22016", "29083", "29155", "85113"]
    assert len(real_reference.municipal_districts) == 45
    parts = real_reference.splits[real_reference.splits["last_year"] == 2024]
    assert parts["new_code"].tolist() == ["15031", "15035", "15047", "15141", "15171"]
    # La Neuville-Garnier stayed with Les Hauts-Talican when Beaumont-les-Nonains took its code 60054 back.
    assert real_reference.passage.set_index("old_code")["new_code"]["60455"] == "60694"


def test_the_package_says_what_insee_says(package, real_reference):
    ours = build_reference(package)
    assert set(ours.communes["code"]) == set(real_reference.communes["code"])
    both = ours.passage.merge(real_reference.passage, on="old_code")
    assert (both["new_code_x"] == both["new_code_y"]).all()
