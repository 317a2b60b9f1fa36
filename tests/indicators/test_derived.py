"""Derived figures against plain loops over a drawn country."""

import math
import re

import numpy as np
import pandas as pd
import pytest

from diagnostics.catalog.models import Derived
from diagnostics.indicators.derived import (
    BANDS,
    METHODS,
    OPTIONAL,
    SEXES,
    Inputs,
    comparative_share,
    derive,
    double_vulnerability,
    fdep_fifth,
    fdep_score,
    icm,
    standardised_share,
)
from diagnostics.statistics import standardisation
from diagnostics.statistics.ages import read_band
from diagnostics.statistics.vulnerability import read_grid

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
    return Inputs(
        communes.assign(deaths=draw.integers(5, 90, len(CODES)).astype(float)), belongs(), national(), "2013-2017"
    )


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


def test_an_icm_tells_the_zones_whose_nursing_homes_swell_the_deaths():
    inputs = mortality_inputs()
    assert icm(inputs)["method"].str.contains("EHPAD sur le domicile des décès non mesuré").all()
    inputs.communes["people_75plus"] = 200.0
    inputs.communes["ehpad_places"] = 0.0
    inputs.communes.loc[CODES[0], "ehpad_places"] = 12.0
    told = icm(inputs).set_index(["zone_type", "zone_code"])["method"]
    assert "dont les EHPAD gonflent les décès" in told["epci", "A"]
    assert "EHPAD" not in told["epci", "B"]


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
            "schooled": people,
            "active": people,
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


def vulnerable_inputs():
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
    return Inputs(communes, belongs(), {}, "2023")


def test_double_vulnerability_counts_the_people_of_communes_past_every_threshold():
    inputs = vulnerable_inputs()
    communes = inputs.communes
    people = communes["population"]
    found = double_vulnerability(inputs).set_index(["zone_type", "zone_code"])
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
    grid = read_grid(found.loc[("france", "FR"), "method"])
    assert len(grid) == 9
    assert grid[2.5, 4] == pytest.approx(found.loc[("france", "FR"), "value"], abs=0.05)


def shares_by_age(period="2022"):
    """Three bands; the second commune of A is not known over 80, and one has nobody over 80."""
    draw = np.random.default_rng(11)
    columns = {"population": draw.integers(900, 4000, len(CODES)).astype(float)}
    columns["people_0_14"] = draw.integers(200, 400, len(CODES)).astype(float)
    for band, low, high in (("15_54", 400, 900), ("55_79", 200, 700), ("80plus", 30, 200)):
        columns[f"people_{band}"] = draw.integers(low, high, len(CODES)).astype(float)
        columns[f"events_{band}"] = np.floor(columns[f"people_{band}"] * draw.uniform(0.1, 0.5, len(CODES)))
    communes = pd.DataFrame(columns, index=pd.Index(CODES, name="commune"))
    communes.loc[CODES[3], "events_80plus"] = np.nan
    communes.loc[CODES[1], ["people_80plus", "events_80plus"]] = 0.0
    communes.loc[CODES[3], "population"] = 1.0
    return Inputs(communes, belongs(), {}, period)


def test_a_share_at_the_ages_of_france_against_a_plain_loop():
    inputs = shares_by_age()
    c = inputs.communes
    found = standardised_share(inputs).set_index(["zone_type", "zone_code"])
    bands = ("15_54", "55_79", "80plus")
    known = [code for code in CODES if not math.isnan(c.loc[code, "events_80plus"])]
    weights = {b: sum(c.loc[code, f"people_{b}"] for code in known) for b in bands}
    members = [code for n, code in enumerate(CODES) if n % 3 == 0 and code in known]
    rate = sum(
        weights[b] * sum(c.loc[m, f"events_{b}"] for m in members) / sum(c.loc[m, f"people_{b}"] for m in members)
        for b in bands
    )
    row = found.loc[("epci", "A")]
    assert row["value"] == pytest.approx(100 * rate / sum(weights.values()), rel=1e-12)
    assert row["ci_low"] < row["value"] < row["ci_high"]
    assert 0.95 < row["coverage"] < 1
    assert "Population française RP 2022" in row["method"]
    france = found.loc[("france", "FR")]
    assert france["value"] == pytest.approx(100 * france["numerator"] / france["denominator"], rel=1e-12)
    empty = found.loc[("commune", CODES[1])]
    assert empty["reliability"] == "masked"
    unknown = found.loc[("commune", CODES[3])]
    assert unknown["reliability"] == "incomplete"
    assert found.loc[found["value"].isna(), ["numerator", "denominator", "ci_low"]].isna().all(axis=None)


def european_inputs():
    draw = np.random.default_rng(2)
    ages = [f"{a}_{a + 4}" for a in range(0, 95, 5)] + ["95plus"]
    people = {f"people_{a}": draw.integers(5_000, 9_000, len(CODES)).astype(float) for a in ages}
    events = {f"events_{a}": draw.integers(10, 900, len(CODES)).astype(float) for a in ages}
    frame = pd.DataFrame({**people, **events, "population": 1.0}, index=pd.Index(CODES, name="commune"))
    return Inputs(frame, belongs(), {}, "2024")


def test_a_comparative_share_is_one_hundred_in_france_and_takes_the_european_population():
    inputs = european_inputs()
    frame = inputs.communes
    ages = [name.removeprefix("people_") for name in frame if name.startswith("people_")]
    found = comparative_share(inputs).set_index(["zone_type", "zone_code"])
    assert found.loc[("france", "FR"), "value"] == pytest.approx(100)
    fine = standardisation.ESP2013.weights

    def rate(codes):
        total = 0.0
        for a in ages:
            weight = fine["0"] + fine["1-4"] if a == "0_4" else fine[a.replace("_", "-").replace("plus", "+")]
            total += weight * frame.loc[codes, f"events_{a}"].sum() / frame.loc[codes, f"people_{a}"].sum()
        return total

    mine = [code for n, code in enumerate(CODES) if n % 3 == 1]
    assert found.loc[("epci", "B"), "value"] == pytest.approx(100 * rate(mine) / rate(CODES), rel=1e-12)
    assert "Population européenne standard 2013" in found.loc[("epci", "B"), "method"]


def test_the_deprivation_that_is_computed_is_compared_with_each_index_that_is_published():
    inputs = deprivation_inputs()
    told = fdep_score(inputs)["method"].iloc[0]
    assert "le F-EDI publié" in told
    assert "FDep publié" not in told
    inputs.communes["published_fdep"] = 3 * inputs.communes["published"]
    inputs.communes.loc[CODES[0], "published_fdep"] = np.nan
    both = fdep_score(inputs)["method"].iloc[0]
    assert re.search(r"le FDep publié \(0,95 ou plus attendu\) : (0,9\d|1,00) sur 59 communes", both)
    inputs.communes["published_fdep"] = np.nan
    assert fdep_score(inputs)["method"].iloc[0] == told


WHOLE = {
    "icm": mortality_inputs,
    "fdep_score": deprivation_inputs,
    "fdep_fifth": deprivation_inputs,
    "double_vulnerability": vulnerable_inputs,
    "standardised_share": shares_by_age,
    "comparative_share": european_inputs,
}
LACKING = [
    (method, name) for method, inputs in WHOLE.items() for name in (*inputs().communes.columns, *inputs().tables)
]


def formula_of(method, inputs):
    named = {name: f"{name}@2022" for name in inputs.communes}
    return Derived(kind="derived", method=method, inputs=named, tables=list(inputs.tables))


def test_every_method_is_tried_without_each_of_its_inputs():
    assert set(WHOLE) == set(METHODS)


@pytest.mark.parametrize("method", WHOLE)
def test_a_derived_figure_with_all_it_needs_is_that_of_its_method(method):
    inputs = WHOLE[method]()
    found = derive(formula_of(method, inputs), inputs)
    pd.testing.assert_frame_equal(found, METHODS[method](inputs))
    assert found["value"].notna().any()


@pytest.mark.parametrize(("method", "name"), LACKING)
def test_an_absent_file_leaves_its_derived_figures_unknown_and_says_which(method, name):
    inputs = WHOLE[method]()
    formula = formula_of(method, inputs)
    inputs.communes.loc[:, inputs.communes.columns == name] = np.nan
    tables = {table: rows for table, rows in inputs.tables.items() if table != name}
    found = derive(formula, Inputs(inputs.communes, inputs.belongs, tables, inputs.period))
    if name in OPTIONAL:
        assert found["value"].notna().any()
        return
    assert found[["numerator", "denominator", "value", "ci_low", "ci_high"]].isna().all(axis=None)
    assert set(found["reliability"]) == {"incomplete"}
    assert found["method"].str.contains("il manque").all()
    assert found["method"].str.contains(f"`{name}").all()
    assert {"epci", "france"} <= set(found["zone_type"])


def test_a_comparative_share_is_unknown_when_that_of_france_is():
    inputs = european_inputs()
    inputs.communes.loc[:, inputs.communes.columns.str.startswith("events_")] = 0.0
    found = comparative_share(inputs)
    assert found["value"].isna().all()
    assert set(found["reliability"]) == {"incomplete"}


def test_a_national_table_that_makes_no_sense_is_refused_for_its_indicator_alone_with_its_line():
    inputs = mortality_inputs()
    quotients = inputs.tables["mortality_quotients"]
    quotients.loc[quotients["year"] == "2014", "qx"] = "1.4"
    found = derive(formula_of("icm", inputs), inputs)
    assert found["value"].isna().all()
    assert found["method"].str.contains(r"entrées refusées : Ligne \d+ : quotient 1.4", regex=True).all()


def test_an_icm_takes_the_national_rates_of_the_years_of_its_deaths_and_tells_the_covid():
    inputs = mortality_inputs()
    tables = {
        name: pd.concat([rows, rows.assign(year=(rows["year"].astype(int) + 7).astype(str))]).drop_duplicates(
            ["year", "sex", "age"]
        )
        for name, rows in inputs.tables.items()
    }
    found = icm(Inputs(inputs.communes, inputs.belongs, tables, "2019-2023"))
    assert set(found["period"]) == {"2019-2023"}
    assert found["method"].str.contains("Covid-19").all()
    assert found.set_index("zone_type").loc["france", "value"] == pytest.approx(100)
    assert not icm(inputs)["method"].str.contains("Covid-19").any()
