"""Typology: known families are found again, described, and do not depend on the order of rows."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import adjusted_rand_score, silhouette_score

from diagnostics.errors import StatisticsError
from diagnostics.statistics import typology as module

WORDS = {
    "ageing": ("population âgée", "population jeune"),
    "poverty": ("pauvreté élevée", "pauvreté faible"),
    "access": ("généralistes accessibles", "généralistes peu accessibles"),
}


def families(size=90, noise=0.3, seed=1):
    generator = np.random.default_rng(seed)
    truth = np.arange(size) % 3
    centres = np.array([[20.0, 10, 3], [10, 22, 4], [8, 8, 6]])
    data = centres[truth] + generator.normal(0, noise, (size, 3))
    index = [f"2000{i:05}" for i in range(size)]
    people = pd.Series(np.where(truth == 2, 50_000, 10_000) + generator.integers(0, 100, size), index=index)
    return pd.DataFrame(data, index=index, columns=list(WORDS)), people, truth


def test_known_families_are_found_and_firm():
    variables, people, truth = families()
    found = module.typology(variables, people, WORDS, resamples=10)
    assert adjusted_rand_score(truth, found.classes) == 1
    assert found.stability == pytest.approx(1)
    assert found.stable
    assert found.choices.silhouette.idxmax() == 3
    assert found.variance >= 0.8
    # Class 1 is the most populated family: young, well-off, well served.
    assert (found.classes[truth == 2] == 1).all()
    assert found.summary.loc[1, "zones"] == 30
    assert found.summary.loc[1, "description"] == ("Généralistes accessibles, population jeune, pauvreté faible")


def test_noise_is_not_stable():
    generator = np.random.default_rng(2)
    variables = pd.DataFrame(generator.normal(size=(120, 3)), columns=list(WORDS))
    found = module.typology(variables, pd.Series(1.0, index=variables.index), WORDS, classes=5, resamples=10)
    assert found.stability < 0.9
    assert found.classes.nunique() == 5


def test_the_order_of_rows_does_not_matter():
    variables, people, _ = families(noise=3)
    first = module.typology(variables, people, WORDS, resamples=2)
    order = np.random.default_rng(0).permutation(len(variables))
    again = module.typology(variables.iloc[order], people.iloc[order], WORDS, resamples=2)
    pd.testing.assert_series_equal(again.classes.loc[variables.index], first.classes)
    assert again.stability == first.stability


def test_profile_and_test_values_against_a_loop():
    variables, people, _ = families()
    found = module.typology(variables, people, WORDS, resamples=1)
    inside = (found.classes == 2).to_numpy()
    column = variables["poverty"]
    row = found.profile.query("`class` == 2 and variable == 'poverty'").iloc[0]
    assert row["mean"] == pytest.approx(np.average(column[inside], weights=people[inside]))
    assert row["overall"] == pytest.approx(np.average(column, weights=people))
    n, k = len(column), inside.sum()
    error = (column.var(ddof=1) / k * (n - k) / (n - 1)) ** 0.5
    assert row["gap"] == pytest.approx((column[inside].mean() - column.mean()) / column.std(ddof=1))
    assert row["v_test"] == pytest.approx((column[inside].mean() - column.mean()) / error)


def test_incomplete_and_empty_zones_are_not_classified():
    variables, people, _ = families()
    variables.iloc[4, 1] = np.nan
    people.iloc[5] = 0
    found = module.typology(variables, people, WORDS, resamples=1)
    assert found.classes.isna().to_numpy().nonzero()[0].tolist() == [4, 5]


def test_an_extreme_value_does_not_make_a_class():
    variables, people, truth = families(size=300)
    variables.iloc[0, 0] = 1e6
    found = module.typology(variables, people, WORDS, resamples=1)
    assert adjusted_rand_score(truth, found.classes) == 1
    pulled = module.winsorise(np.array([1.0, 2, 3, 1000]), np.array([1.0, 99, 99, 1]))
    assert pulled.max() < 1000


def test_refusals():
    variables, people, _ = families()
    with pytest.raises(StatisticsError, match="29 zones complètes"):
        module.typology(variables.iloc[:29], people.iloc[:29], WORDS)
    with pytest.raises(StatisticsError, match="« poverty » est identique partout"):
        module.typology(variables.assign(poverty=1.0), people, WORDS)
    with pytest.raises(StatisticsError, match="chacune avec ses mots"):
        module.typology(variables, people, {"ageing": WORDS["ageing"]})
    with pytest.raises(StatisticsError, match="Ligne 200000003 : « population » est négatif"):
        module.typology(variables, people.mask(people.index == "200000003", -1), WORDS)


def test_as_many_classes_as_the_data_hold():
    truth = np.arange(240) % 6
    centres = 12.0 * np.concatenate([np.eye(3), -np.eye(3)])
    generator = np.random.default_rng(5)
    variables = pd.DataFrame(centres[truth] + generator.normal(0, 0.5, (240, 3)), columns=list(WORDS))
    found = module.typology(variables, pd.Series(1.0, index=variables.index), WORDS, resamples=2)
    assert found.classes.nunique() == 6
    assert adjusted_rand_score(truth, found.classes) == 1


def test_a_class_like_all_the_others_is_said_so():
    variables, people, _ = families()
    profile = module.typology(variables, people, WORDS, resamples=1).profile.query("`class` == 1")
    assert module.describe(profile.assign(gap=0.1), WORDS) == "Profil proche de la moyenne"
    assert module.describe(profile, WORDS, traits=1) == "Généralistes accessibles"


@pytest.mark.parametrize("seed", range(5))
def test_silhouettes_and_adjusted_rand_are_those_of_scikit_learn(seed):
    generator = np.random.default_rng(seed)
    points = generator.normal(size=(700, 3))
    divisions = [generator.integers(0, number, len(points)) for number in (2, 3, 6)]
    # A class of one point, and class numbers with holes.
    divisions.append(np.where(np.arange(len(points)) == 7, 40, divisions[0]))
    expected = [silhouette_score(points, found) for found in divisions]
    assert module.silhouettes(points, divisions) == pytest.approx(expected, abs=1e-12)
    for first, second in itertools.combinations(divisions, 2):
        assert module.adjusted_rand(first, second) == adjusted_rand_score(first, second)
    assert module.adjusted_rand(divisions[0], 5 - divisions[0]) == 1
