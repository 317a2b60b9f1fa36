"""Statistics on the real files: what each function says of France, against figures found another way."""

import math

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from diagnostics.statistics import rates, standardisation


@pytest.fixture(scope="module")
def national(mirror):
    """Quotients and population of France by sex and age, 2016 to 2019."""
    quotients = pd.read_csv(mirror / "insee_mortalite_nationale" / "quotients_mortalite_t69.csv.gz")
    quotients = quotients[
        (quotients["geo"] == "france") & (quotients["def.age"] == "current age (approx)")
        & quotients["sex"].isin(["female", "male"]) & quotients["year"].between(2016, 2019)
    ]  # fmt: skip
    people = pd.read_csv(mirror / "insee_mortalite_nationale" / "population_1901_2026.csv.gz")
    people = people[(people["geo"] == "france") & people["year"].between(2016, 2019)]
    people = people.assign(sex=people["sex"].map({"F": "female", "H": "male", "M": "male"}))
    return quotients, people.rename(columns={"age0101": "age", "popx": "population"})


@pytest.mark.parametrize("sex", ["female", "male"])
def test_an_abridged_life_table_agrees_with_the_complete_one_of_insee(national, sex):
    """Chiang's table in 21 bands, from national rates, against survival read age by age in Insee's quotients."""
    quotients, people = national
    quotients, people = quotients[quotients["sex"] == sex], people[people["sex"] == sex]
    bands = list(standardisation.ESP2013.weights.index)
    rates = standardisation.national_rates(quotients, people, bands).loc[sex]
    years = people.assign(band=pd.cut(people["age"], [0, 1, *range(5, 100, 5), np.inf], right=False, labels=bands))
    lived = years.groupby("band", observed=True)["population"].sum()
    table = pd.DataFrame({"zone": "FR", "band": bands, "population": lived.reindex(bands).to_numpy()})
    table["events"] = rates.reindex(bands).to_numpy() * table["population"]
    found = standardisation.life_expectancy(table).loc["FR"]

    alive, total = 1.0, 0.0
    for age, q in quotients.groupby("age")["qx"].mean().sort_index().items():
        total += alive * (1 - q * (0.9 if age == 0 else 0.5))
        alive *= 1 - q
    assert found["value"] == pytest.approx(total, abs=0.15)
    assert found["ci_high"] - found["ci_low"] < 0.1


@pytest.fixture(scope="module")
def communes(mirror):
    """A thousand communes drawn once, their deaths, unemployed, active and inhabitants; half have under 10 deaths."""
    file = mirror / "insee_comparateur_2024" / "communes_2024.csv.gz"
    names = {"deces_2022": "deaths", "population_2021": "people", "pop_15_64_chomage_2021": "unemployed",
             "pop_15_64_active_2021": "active"}  # fmt: skip
    table = pd.read_csv(file, dtype=str).set_index("insee_com").rename(columns=names)
    table = table[list(names.values())].apply(pd.to_numeric, errors="coerce").dropna()
    table = table[(table["people"] > 0) & (table["active"] > 0)]
    few = table["deaths"] < 10
    return pd.concat([table[few].sample(500, random_state=7), table[~few].sample(500, random_state=7)])


@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.998])
def test_intervals_of_a_thousand_communes_against_a_plain_loop(communes, confidence):
    z = stats.norm.ppf(0.5 + confidence / 2)
    tail = (1 - confidence) / 2
    deaths = rates.byar(communes["deaths"], communes["people"], 1000, confidence)
    exact = rates.poisson_exact(communes["deaths"], communes["people"], 1000, confidence)
    share = rates.wilson(communes["unemployed"], communes["active"], 100, confidence)
    for code, row in communes.iterrows():
        o, n = row["deaths"], row["people"]
        low = stats.chi2.ppf(tail, 2 * o) / 2 if o else 0.0
        high = stats.chi2.ppf(1 - tail, 2 * o + 2) / 2
        assert exact.loc[code, ["ci_low", "ci_high"]].tolist() == pytest.approx(
            [1000 * low / n, 1000 * high / n], rel=1e-9
        )
        if o >= 10:
            low = o * (1 - 1 / (9 * o) - z / (3 * math.sqrt(o))) ** 3
            high = (o + 1) * (1 - 1 / (9 * (o + 1)) + z / (3 * math.sqrt(o + 1))) ** 3
        found = deaths.loc[code]
        assert [found["value"], found["ci_low"], found["ci_high"]] == pytest.approx(
            [1000 * o / n, 1000 * low / n, 1000 * high / n], rel=1e-9
        )
        assert found["method"] == ("byar" if o >= 10 else "poisson_exact")
        p, m = row["unemployed"] / row["active"], row["active"]
        middle, half = p + z**2 / (2 * m), z * math.sqrt(p * (1 - p) / m + z**2 / (4 * m**2))
        assert share.loc[code, ["ci_low", "ci_high"]].tolist() == pytest.approx(
            [100 * (middle - half) / (1 + z**2 / m), 100 * (middle + half) / (1 + z**2 / m)], rel=1e-9, abs=1e-12
        )
