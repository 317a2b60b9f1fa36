"""FDep against a plain PCA on repeated rows, quintiles and slopes against loops, and the real communes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.errors import StatisticsError
from diagnostics.statistics import deprivation

NAMES = list(deprivation.FDEP_VARIABLES)


def country(size=200, seed=3):
    """Communes drawn around one hidden deprivation, with income and diplomas against it."""
    generator = np.random.default_rng(seed)
    hidden = generator.normal(size=size)
    signs = np.array([-3000, -8, 6, 4])
    data = np.array([22_000, 45, 25, 11]) + hidden[:, None] * signs + generator.normal(size=(size, 4)) * abs(signs) / 2
    index = [f"54{i:03}" for i in range(size)]
    people = pd.Series(generator.integers(1, 60, size), index=index)
    return pd.DataFrame(data, index=index, columns=NAMES), people


def test_fdep_is_the_plain_pca_of_the_inhabitants():
    """Weighting by population is the same as one line per inhabitant, which numpy's own SVD can treat."""
    variables, people = country()
    found = deprivation.fdep(variables, people)
    persons = variables.loc[variables.index.repeat(people)]
    scaled = ((persons - persons.mean()) / persons.std(ddof=0)).to_numpy()
    _, singular, axes = np.linalg.svd(scaled, full_matrices=False)
    axis = axes[0] * np.sign(axes[0][NAMES.index("unemployment_rate")])
    assert found.loadings.to_numpy() == pytest.approx(axis, abs=1e-9)
    assert found.explained == pytest.approx(singular[0] ** 2 / (singular**2).sum(), abs=1e-9)
    centre, spread = persons.mean().to_numpy(), persons.std(ddof=0).to_numpy()
    wanted = ((variables.to_numpy() - centre) / spread) @ axis
    assert found.scores.to_numpy() == pytest.approx(wanted, abs=1e-9)
    assert (found.scores * people).sum() == pytest.approx(0, abs=1e-6)
    assert found.loadings["unemployment_rate"] > 0 > found.loadings["median_income"]


def test_fdep_ignores_the_order_and_the_unit():
    variables, people = country()
    found = deprivation.fdep(variables, people).scores
    order = np.random.default_rng(0).permutation(len(variables))
    shuffled = deprivation.fdep(variables.iloc[order], people.iloc[order]).scores
    assert shuffled.loc[found.index].to_numpy() == pytest.approx(found.to_numpy(), abs=1e-9)
    rescaled = deprivation.fdep(variables / [1000, 100, 100, 100], people * 7).scores
    assert rescaled.to_numpy() == pytest.approx(found.to_numpy(), abs=1e-9)


def test_secret_income_is_not_imputed_and_empty_communes_weigh_nothing():
    variables, people = country()
    people.iloc[5] = 0
    full = deprivation.fdep(variables, people)
    hidden = variables.copy()
    hidden.iloc[5, 0] = np.nan
    found = deprivation.fdep(hidden, people)
    assert np.isnan(found.scores.iloc[5])
    assert np.isfinite(full.scores.iloc[5])
    assert found.scores.drop(found.scores.index[5]).to_numpy() == pytest.approx(
        full.scores.drop(full.scores.index[5]).to_numpy(), abs=1e-9
    )


def test_fdep_refuses_what_distinguishes_nothing():
    variables, people = country()
    with pytest.raises(StatisticsError, match="« blue_collar_share » est identique partout"):
        deprivation.fdep(variables.assign(blue_collar_share=20.0), people)
    with pytest.raises(StatisticsError, match="absentes unemployment_rate"):
        deprivation.fdep(variables[NAMES[:3]], people)
    with pytest.raises(StatisticsError, match="0 communes complètes"):
        deprivation.fdep(variables, people * 0)
    with pytest.raises(StatisticsError, match="Ligne 54001 : « population » est négatif"):
        deprivation.fdep(variables, people.mask(people.index == "54001", -1))


@given(st.lists(st.tuples(st.integers(-20, 20), st.integers(0, 500)), min_size=1, max_size=60))
def test_population_classes_against_a_loop(rows):
    rows = [*rows, (0, 1)]
    score, people = pd.Series([r[0] for r in rows], dtype=float), pd.Series([r[1] for r in rows])
    found = deprivation.population_classes(score, people)
    total = people.sum()
    for value, place in zip(score, found, strict=True):
        below, own = people[score < value].sum(), people[score == value].sum()
        assert place == min(int((below + own / 2) / total * 5), 4) + 1
    assert found.between(1, 5).all()


def test_classes_hold_a_fifth_of_the_people_each():
    generator = np.random.default_rng(4)
    score, people = pd.Series(generator.normal(size=20_000)), pd.Series(generator.integers(1, 500, 20_000))
    share = people.groupby(deprivation.population_classes(score, people)).sum() / people.sum()
    assert share.to_numpy() == pytest.approx(0.2, abs=0.001)


def test_classes_defined_results():
    people = pd.Series([10, 20, 30])
    found = deprivation.population_classes(pd.Series([1.0, np.nan, 2.0]), people)
    assert found.isna().tolist() == [False, True, False]
    assert deprivation.population_classes(pd.Series([np.nan] * 3), people).isna().all()
    with pytest.raises(StatisticsError, match="Population nulle"):
        deprivation.population_classes(pd.Series([1.0, 2, 3]), people * 0)
    # One commune with everyone: its middle is the middle of the country.
    assert deprivation.population_classes(pd.Series([1.0, 2, 3]), pd.Series([0, 99, 0])).tolist() == [1, 3, 5]


def units(rates, population=1000.0, repeat=4, zone="cls"):
    rows = [
        {
            "zone": zone,
            "class": q + 1,
            "population": population,
            "numerator": rate * population,
            "denominator": population,
        }
        for q, rate in enumerate(rates)
        for _ in range(repeat)
    ]
    return pd.DataFrame(rows)


def test_a_straight_gradient_has_its_slope():
    """Rates on a line: five equal classes have ranks 0.1, 0.3 … 0.9, so the slope is the step divided by 0.2."""
    found = deprivation.inequality(units([0.10, 0.12, 0.14, 0.16, 0.18])).loc["cls"]
    assert found.sii == pytest.approx(0.1)
    assert found.rii == pytest.approx((0.09 + 0.1) / 0.09)
    assert found.unequal
    assert found.sii_low <= found.sii <= found.sii_high
    flat = deprivation.inequality(units([0.1] * 5)).loc["cls"]
    assert flat.sii == pytest.approx(0, abs=1e-12)
    assert flat.rii == pytest.approx(1)
    assert not flat.unequal


def test_slope_against_numpy_polyfit():
    generator = np.random.default_rng(5)
    frame = pd.DataFrame(
        {
            "zone": "z",
            "class": generator.integers(1, 6, 50),
            "population": generator.integers(100, 5000, 50),
            "denominator": generator.integers(50, 400, 50),
        }
    )
    frame["numerator"] = frame.denominator * generator.uniform(0.1, 0.4, 50)
    by = frame.groupby("class")[["population", "numerator", "denominator"]].sum()
    share = by.population / by.population.sum()
    slope, start = np.polyfit(share.cumsum() - share / 2, by.numerator / by.denominator, 1, w=np.sqrt(share))
    found = deprivation.inequality(frame, multiplier=100).loc["z"]
    assert found.sii == pytest.approx(100 * slope, rel=1e-9)
    assert found.rii == pytest.approx((start + slope) / start, rel=1e-9)
    pd.testing.assert_series_equal(deprivation.inequality(frame, multiplier=100).loc["z"], found)
    shuffled = deprivation.inequality(frame.sample(frac=1, random_state=1), multiplier=100).loc["z"]
    assert shuffled.sii == pytest.approx(found.sii)


def test_inequality_defined_results():
    frame = pd.concat(
        [
            units([0.1, 0.2], zone="two classes"),
            units([0.1, 0.2, 0.3], repeat=1, zone="three units"),
            units([0.1, 0.2, 0.3], zone="masked").assign(numerator=np.nan),
            units([0.1, 0.2, 0.3], zone="nobody").assign(denominator=0, numerator=0),
        ]
    )
    found = deprivation.inequality(frame)
    assert found.sii.notna().tolist() == [False, True, False, False]
    assert found.sii_low.isna().all()
    assert not found.unequal.any()
    with pytest.raises(StatisticsError, match="« numerator » est négatif"):
        deprivation.inequality(units([-0.1, 0.2, 0.3]))


def test_fdep_of_real_communes(mirror):
    """Own FDep of the communes of France follows the published European index of deprivation (another method)."""
    iris = pd.read_parquet(mirror / "insee_rp2022_iris" / "iris_rp2022.parquet")
    classes = ["agri", "artis", "cadres", "profint", "employes", "ouvriers"]
    active = iris[[f"dsp_csp_{name}_pct_22" for name in classes]].sum(axis=1)
    iris = iris.assign(
        baccalaureate_share=100 - iris["dsp_dipl_infbac_pct_22"],
        blue_collar_share=100 * iris["dsp_csp_ouvriers_pct_22"] / active.where(active > 0),
        unemployment_rate=iris["soc_txchom_1564_22"],
    )
    # A mean over the population stands in for the exact stocks, which this file does not hold: enough for ranks.
    weight = iris["P22_POP"].where(iris[NAMES[1:]].notna().all(axis=1))
    grouped = iris[NAMES[1:]].mul(weight, axis=0).assign(weight=weight).groupby(iris["COM"]).sum()
    shares = grouped[NAMES[1:]].div(grouped["weight"].where(grouped["weight"] > 0), axis=0)
    income = pd.read_csv(
        mirror / "insee_filosofi_2021_com" / "cc_filosofi_2021_COM.csv.gz", sep=";", dtype=str
    ).set_index("CODGEO")["MED21"]
    income = pd.to_numeric(income.str.replace(",", "."), errors="coerce")
    variables = shares.assign(median_income=income.reindex(shares.index))[NAMES]
    people = iris.groupby("COM")["P22_POP"].sum().reindex(variables.index)
    found = deprivation.fdep(variables, people)
    assert found.explained > 0.5
    assert (np.sign(found.loadings) == [-1, -1, 1, 1]).all()
    published = pd.read_csv(mirror / "spf_fedi_2021" / "fedi_communes_2021.csv.gz", dtype={"code_commune": str})
    same = deprivation.agreement(found.scores, published.set_index("code_commune")["edi"].astype(float))
    assert same["communes"] > 30_000
    assert same["spearman"] > 0.6
