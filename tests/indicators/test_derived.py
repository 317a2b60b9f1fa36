"""Derived figures against plain loops over a drawn country."""

import math

import numpy as np
import pandas as pd
import pytest

from diagnostics.indicators.derived import BANDS, SEXES, Inputs, double_vulnerability, fdep_fifth, fdep_score, icm
from diagnostics.statistics.ages import read_band

CODES = [f"01{n:03d}" for n in range(60)]


def belongs(codes=CODES):
    rows = [
        (code, kind, zone)
        for n, code in enumerate(codes)
        for kind, zone in (("commune", code), ("epci", "ABC"[n % 3]), ("france", "FR"))
    ]
    return pd.DataFrame(rows, columns=["commune", "zone_type", "zone_code"])


def national():
    """Quotients that grow with age, and one thousand people at each age."""
    rows = [(year, sex, age) for year in range(2012, 2019) for sex in ("female", "male") for age in range(100)]
    frame = pd.DataFrame(rows, columns=["year", "sex", "age"])
    quotients = frame.assign(qx=0.0005 * 1.07 ** frame["age"] * np.where(frame["sex"] == "male", 1.3, 1)).astype(str)
    return {"mortality_quotients": quotients, "national_population": frame.assign(population="1000")}


def mortality_inputs():
    draw = np.random.default_rng(3)
    columns = {f"{sex}_{band}": draw.integers(5, 60, len(CODES)).astype(float) for sex in SEXES for band in BANDS}
    communes = pd.DataFrame(columns, index=pd.Index(CODES, name="commune"))
    return Inputs(communes.assign(deaths=draw.integers(5, 90, len(CODES)).astype(float)), belongs(), national(), "2018")


def test_icm_is_observed_over_expected_with_france_at_one_hundred():
    inputs = mortality_inputs()
    found = icm(inputs).set_index(["zone_type", "zone_code"])
    expected = dict.fromkeys(CODES, 0.0)
    for sex, english in SEXES.items():
        for name, band in BANDS.items():
            low, high = read_band(band)
            ages = range(low, int(min(high, 99)) + 1)
            factor = 1.3 if english == "male" else 1.0
            rate = np.mean([-math.log1p(-0.0005 * 1.07**age * factor) for age in ages])
            for code in CODES:
                expected[code] += inputs.communes.loc[code, f"{sex}_{name}"] * rate * 5
    scale = inputs.communes["deaths"].sum() / sum(expected.values())
    mine = [code for n, code in enumerate(CODES) if n % 3 == 0]
    value = 100 * sum(inputs.communes.loc[c, "deaths"] for c in mine) / sum(expected[c] * scale for c in mine)
    assert found.loc[("epci", "A"), "value"] == pytest.approx(value)
    assert found.loc[("france", "FR"), "value"] == pytest.approx(100)
    assert found.loc[("epci", "A"), "period"] == "2013-2017"
    assert "EHPAD" in found.loc[("epci", "A"), "method"]
    assert "commune" not in found.index.get_level_values(0)


def test_an_icm_whose_deaths_are_unknown_has_no_figure_at_all():
    inputs = mortality_inputs()
    inputs.communes.loc[[CODES[0], CODES[3], CODES[6], CODES[9]], "deaths"] = np.nan
    row = icm(inputs).set_index(["zone_type", "zone_code"]).loc[("epci", "A")]
    assert row["reliability"] == "incomplete"
    assert row[["numerator", "denominator", "value"]].isna().all()


def deprivation_inputs():
    draw = np.random.default_rng(5)
    hard = draw.normal(size=len(CODES))
    people = draw.integers(200, 5000, len(CODES)).astype(float)
    noise = draw.normal(0, 0.1, (4, len(CODES)))
    communes = pd.DataFrame(
        {
            "income": 20_000 - 2_000 * hard + 100 * noise[0],
            "below_bac": people * (0.5 + 0.05 * hard + 0.01 * noise[1]),
            "blue_collar": people * (0.15 + 0.02 * hard + 0.01 * noise[2]),
            "in_work": people * 0.6,
            "unemployed": people * (0.1 + 0.02 * hard + 0.01 * noise[3]),
            "described": people,
            "population": people,
            "published": hard,
        },
        index=pd.Index(CODES, name="commune"),
    )
    return Inputs(communes, belongs(), {}, "2021")


def test_fdep_of_a_zone_is_the_mean_of_its_inhabitants_and_a_fifth_lives_in_the_fifth_class():
    inputs = deprivation_inputs()
    scores = fdep_score(inputs).set_index(["zone_type", "zone_code"])["value"]
    people = inputs.communes["population"]
    mine = [code for n, code in enumerate(CODES) if n % 3 == 1]
    mean = sum(scores[("commune", c)] * people[c] for c in mine) / people[mine].sum()
    assert scores[("epci", "B")] == pytest.approx(mean)
    assert scores[("france", "FR")] == pytest.approx(0, abs=1e-9)
    share = fdep_fifth(inputs).set_index(["zone_type", "zone_code"])
    assert share.loc[("france", "FR"), "value"] == pytest.approx(20, abs=4)
    worst = scores["commune"].idxmax()
    assert share.loc[("commune", worst), "value"] == 100
    assert "corrélation" in share.loc[("france", "FR"), "method"]


def test_double_vulnerability_counts_the_people_of_communes_past_every_threshold():
    draw = np.random.default_rng(8)
    people = draw.integers(100, 900, len(CODES)).astype(float)
    communes = pd.DataFrame(
        {
            "access": draw.uniform(1.5, 4, len(CODES)),
            "deprivation": draw.normal(size=len(CODES)),
            "old": people * draw.uniform(0.05, 0.2, len(CODES)),
            "census": people,
            "population": people,
        },
        index=pd.Index(CODES, name="commune"),
    )
    found = double_vulnerability(Inputs(communes, belongs(), {}, "2023")).set_index(["zone_type", "zone_code"])
    mean = round(100 * communes["old"].sum() / people.sum(), 1)
    ordered = communes.sort_values("deprivation")
    middle = (ordered["population"].cumsum() - ordered["population"] / 2) / people.sum()
    poor = set(middle.index[middle >= 0.6])
    counted = sum(
        row["population"]
        for code, row in communes.iterrows()
        if row["access"] <= 2.5 and code in poor and 100 * row["old"] / row["census"] >= mean
    )
    assert counted > 0
    assert found.loc[("france", "FR"), "value"] == pytest.approx(100 * counted / people.sum())
    assert found.loc[("france", "FR"), "numerator"] == pytest.approx(counted)
    assert "seuil d’accès" in found.loc[("france", "FR"), "method"]
