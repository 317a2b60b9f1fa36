"""French words: articles, comparisons, formulas, no-break spaces."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.catalog.models import Derived, Growth, Published, Ratio, ShareOverThreshold, WeightedMean
from diagnostics.reporting import narrative

LABELS = {"young": "moins de 20 ans", "old": "65 ans et plus", "pop": "population", "apl": "APL"}


@pytest.mark.parametrize(
    ("name", "zone_type", "tncc", "expected"),
    [
        ("PETR Val de Lorraine", "cls", None, "du PETR Val de Lorraine"),
        ("CA Portes de France-Thionville", "cls", None, "de la CA Portes de France-Thionville"),
        ("Eurométropole de Metz", "cls", None, "de l’Eurométropole de Metz"),
        ("Métropole de Lyon", "epci", None, "de la Métropole de Lyon"),
        ("Grenoble-Alpes Métropole", "epci", None, "de Grenoble-Alpes Métropole"),
        ("Échirolles", "commune", None, "d’Échirolles"),
        ("Le Pont-de-Claix", "commune", None, "du Pont-de-Claix"),
        ("Les Abymes", "commune", None, "des Abymes"),
        ("La Rochelle", "commune", None, "de La Rochelle"),
        ("Saint-Égrève", "commune", None, "de Saint-Égrève"),
        ("Isère", "departement", "5", "de l’Isère"),
        ("Meuse", "departement", "3", "de la Meuse"),
        ("Rhône", "departement", "2", "du Rhône"),
        ("Ardennes", "departement", "4", "des Ardennes"),
        ("Meurthe-et-Moselle", "departement", "0", "de Meurthe-et-Moselle"),
        ("Isère", "departement", None, "du département Isère"),
        ("Grand Est", "region", "2", "de la région Grand Est"),
        ("France", "france", None, "de la France"),
    ],
)
def test_names_take_their_preposition(name, zone_type, tncc, expected):
    assert narrative.of(name, zone_type, tncc) == expected


@pytest.mark.parametrize(
    ("of_name", "expected"),
    [
        ("de l’Isère", "l’Isère"), ("de la Meuse", "la Meuse"), ("du Rhône", "le Rhône"),
        ("des Ardennes", "les Ardennes"), ("de Meurthe-et-Moselle", "Meurthe-et-Moselle"),
        ("d’Ille-et-Vilaine", "Ille-et-Vilaine"),
        ("du département Isère", "le département Isère"),
    ],
)  # fmt: skip
def test_a_benchmark_is_named_with_its_article(of_name, expected):
    assert narrative.against("departement", "?", of_name) == expected


def test_only_tested_differences_are_judged():
    numbers = {"value": 14.0, "benchmark": 12.0, "unit": "%", "decimals": 1, "than": "la région"}
    assert narrative.comparison_words("worse", **numbers) == "plus défavorable que la région"
    assert narrative.comparison_words("better", **numbers) == "plus favorable que la région"
    assert narrative.comparison_words("similar", **numbers) == "comparable à la région"
    assert narrative.comparison_words("similar", **(numbers | {"than": "le Rhône"})) == "comparable au Rhône"
    assert narrative.comparison_words("similar", **(numbers | {"than": "les Ardennes"})) == "comparable aux Ardennes"
    assert narrative.comparison_words("not_compared", **numbers) == "2,0\u00a0points de plus que la région (sans test)"


@pytest.mark.parametrize(
    ("value", "benchmark", "unit", "expected"),
    [
        (112.0, 100.0, "habitants", "12\u202f% de plus que la France"),
        (350.0, 100.0, "habitants", "3,5 fois plus que la France"),
        (1390.0, 100.0, "habitants", "14 fois plus que la France"),
        (88.0, 100.0, "habitants", "12\u202f% de moins que la France"),
        (14.5, 13.0, "%", "1,5\u00a0point de plus que la France"),
        (0.02, 0.01, "% par an", "au même niveau que la France"),
        (5.0, 0.0, "services", "5,0\u00a0services de plus que la France"),
        (100.04, 100.0, "habitants", "au même niveau que la France"),
        (100.6, 100.0, "habitants", "0,6\u202f% de plus que la France"),
    ],
)
def test_gaps_are_in_points_or_per_cent(value, benchmark, unit, expected):
    assert narrative.gap_words(value, benchmark, unit=unit, decimals=1, than="la France") == expected


@given(st.floats(0.1, 1e6), st.floats(0.1, 1e6), st.sampled_from(["%", "habitants"]), st.integers(0, 3))
def test_a_gap_tells_the_right_side_and_never_a_decimal_point(value, benchmark, unit, decimals):
    words = narrative.gap_words(value, benchmark, unit=unit, decimals=decimals, than="la région")
    shown = round(value, decimals) - round(benchmark, decimals)
    assert (" plus que" in words or "de plus" in words) == (shown > 10**-decimals / 2)
    assert ("de moins" in words) == (shown < -(10**-decimals) / 2)
    assert not re.search(r"\d\.\d", words)


def test_formulas_are_told_in_words():
    label = LABELS.__getitem__
    ratio = Ratio(kind="ratio", numerator="old@2022 - 2.5 * young@2022", denominator="pop@2022", multiplier=10000)
    assert narrative.formula_words(ratio, label) == (
        "Somme de [65 ans et plus (2022) − 2,5 × moins de 20 ans (2022)] divisée par somme de [population (2022)], "
        "× 10\u202f000."
    )
    share = ShareOverThreshold(
        kind="share_over_threshold", value="apl@2023", test="<=", threshold=2.5, population="pop@2023"
    )
    assert "où [APL (2023)] est inférieur ou égal à 2,5, × 100." in narrative.formula_words(share, label)
    listed = share.model_copy(update={"test": "in", "threshold": [5, 6, 7]})
    assert "vaut l’une des valeurs 5, 6 et 7" in narrative.formula_words(listed, label)
    mean = WeightedMean(kind="weighted_mean", value="apl@2023", weight="pop@2023")
    assert narrative.formula_words(mean, label) == "Moyenne de [APL (2023)], pondérée par [population (2023)]."
    growth = Growth(kind="growth", start="pop@2016", end="pop@2022", years=6)
    assert "sur 6\u00a0ans, à périmètre constant" in narrative.formula_words(growth, label)
    published = Published(kind="published", value="apl@2022 + apl@2023")
    assert narrative.formula_words(published, label).startswith("[APL (2022) ou APL (2023)], tel que publié")
    quintile = share.model_copy(update={"test": ">", "threshold": None, "quantile": 0.8})
    assert "vivent 80\u202f% des habitants de France" in narrative.formula_words(quintile, label)


def test_flags_say_their_vintage_and_their_coverage():
    assert narrative.reliability_words("snapshot", "2021", None) == "repère calculé antérieurement (millésime 2021)"
    assert "97,5\u202f%" in narrative.reliability_words("incomplete", "2022", 0.975)
    assert narrative.reliability_words("ok", "2022", 1.0) == ""
    assert narrative.coverage_words(0.99999) == "99,9\u202f%"


def test_no_line_can_begin_with_a_mark():
    assert narrative.typography("Le taux : 12 % ; « oui » ?") == (
        "Le taux\u00a0: 12\u202f%\u202f; «\u202foui\u202f»\u202f?"
    )
    assert narrative.typography("l'eau d'ici, 'mot'") == "l’eau d’ici, 'mot'"
    assert narrative.typography("https://exemple.invalid/a?b=1") == "https://exemple.invalid/a?b=1"


def test_plurals_begin_at_two():
    assert narrative.plural(1, "commune") == "1\u00a0commune"
    assert narrative.plural(133, "commune") == "133\u00a0communes"


def test_a_computation_from_many_series_is_told_in_brief_in_the_report():
    inputs = {f"input_{n}": f"v{n}@2020" for n in range(9)}
    formula = Derived.model_validate({"kind": "derived", "method": "icm", "inputs": inputs})
    brief = narrative.formula_words(formula, str.upper, brief=True)
    assert brief == "Calcul à partir de V0 (2020), V1 (2020), V2 (2020) et 6 autres séries, nommées dans l’annexe."
    assert "V8 (2020)" in narrative.formula_words(formula, str.upper)


def test_a_rank_shared_by_many_is_told_as_a_tie():
    row = {"rank": 422.5, "rank_low": 1, "rank_high": 844, "ranked": 1250, "ci_low": float("nan")}
    assert narrative.rank_words(row, "epci") == (
        "Rang : 1re sur 1\u202f250 intercommunalités, à égalité avec 843\u00a0autres."
    )
    assert narrative.brief_rank(row) == "1er sur 1\u202f250"
