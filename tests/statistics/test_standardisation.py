"""Direct, indirect, life table: against loops, published rules, and the real files where they are."""

from __future__ import annotations

import math
import re
import zipfile

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from diagnostics.errors import StatisticsError
from diagnostics.statistics import standardisation as std
from diagnostics.statistics.ages import check_bands, group_bands, read_band

BANDS = ["0-39", "40-64", "65+"]


def table(rows, bands=BANDS):
    """rows: {zone: (events by band, population by band)} -> the long table of the module."""
    return pd.DataFrame(
        [
            {"zone": zone, "band": band, "events": events[i], "population": population[i]}
            for zone, (events, population) in rows.items()
            for i, band in enumerate(bands)
        ]
    )


def test_the_european_standard_is_complete():
    assert std.ESP2013.weights.sum() == 100_000
    assert len(std.ESP2013.weights) == 21
    assert group_bands(std.ESP2013.weights, ["0-64", "65+"]).to_dict() == {"0-64": 80_500, "65+": 19_500}


def test_bands_are_read_and_ordered():
    assert read_band("1-4") == (1, 4)
    assert read_band("0") == (0, 0)
    assert read_band("95+") == (95, math.inf)
    assert check_bands(["5+", "0-4"]) == ["0-4", "5+"]
    assert check_bands(["25-44", "45-64"], (25, 64)) == ["25-44", "45-64"]


@pytest.mark.parametrize(
    ("bands", "words"),
    [
        (["0-39", "40-64", "60+"], "« 40-64 » et « 60+ » se recouvrent"),
        (["0-39", "0-39", "40+"], "se recouvrent"),
        (["0-39", "50-64", "65+"], "« 50-64 » commence à 50 ans, 40 ans attendus"),
        (["1-39", "40-64", "65+"], "« 1-39 » commence à 1 ans, 0 ans attendus"),
        (["0-39", "40-64", "65-79"], "« 65-79 » finit à 79 ans"),
        (["0-39", "40-64", "vieux"], "« vieux » illisible"),
        ([], "aucune tranche"),
    ],
)
def test_overlaps_holes_and_nonsense_are_refused(bands, words):
    with pytest.raises(StatisticsError, match=re.escape(words)):
        check_bands(bands)


def test_direct_rate_against_a_loop():
    rows = {"54431": ((2, 8, 30), (4000, 3000, 1000)), "57463": ((5, 20, 90), (9000, 5000, 2000))}
    standard = std.Standard("essai", pd.Series([50.0, 30, 20], index=BANDS))
    frame = std.direct(table(rows), standard)
    for zone, (events, population) in rows.items():
        wanted = sum(w * o / n for w, o, n in zip((0.5, 0.3, 0.2), events, population, strict=True))
        assert frame.loc[zone, "value"] == pytest.approx(1e5 * wanted, rel=1e-12)
    assert frame.loc["54431", "value"] == pytest.approx(705.0)
    assert frame.standard.unique().tolist() == ["essai"]
    assert std.direct(table(rows).sample(frac=1, random_state=2), standard).loc[list(rows)].equals(frame)


def test_a_finer_standard_is_grouped_and_a_straddling_one_refused():
    frame = std.direct(table({"x": ((2, 8, 30), (4000, 3000, 1000))}), std.ESP2013)
    w = [47_000, 33_500, 19_500]  # the European standard of 0-39, 40-64 and 65+
    wanted = sum(a * b / c for a, b, c in zip(w, (2, 8, 30), (4000, 3000, 1000), strict=True))
    assert frame.value.iloc[0] == pytest.approx(wanted, rel=1e-12)
    with pytest.raises(StatisticsError, match="à cheval"):
        std.direct(table({"x": ((2, 8, 30), (4000, 3000, 1000))}, ["0-41", "42-64", "65+"]), std.ESP2013)


def test_a_range_of_ages_uses_its_part_of_the_standard():
    frame = std.direct(table({"x": ((10, 30), (4000, 3000))}, ["0-39", "40-64"]), std.ESP2013, ages=(0, 64))
    assert frame.value.iloc[0] == pytest.approx((47_000 * 10 / 4000 + 33_500 * 30 / 3000) / 80_500 * 1e5)
    with pytest.raises(StatisticsError, match="finit à 64 ans"):
        std.direct(table({"x": ((10, 30), (4000, 3000))}, ["0-39", "40-64"]), std.ESP2013)


def test_direct_is_withheld_under_ten_events_and_undefined_without_people():
    rows = {
        "few": ((1, 2, 6), (4000, 3000, 1000)),
        "some": ((1, 2, 9), (4000, 3000, 1000)),
        "empty band": ((0, 20, 30), (0, 3000, 1000)),
        "masked": ((np.nan, 20, 30), (4000, 3000, 1000)),
        "desert": ((0, 0, 0), (0, 0, 0)),
    }
    frame = std.direct(table(rows), std.ESP2013)
    assert frame.reliability.tolist() == ["masked", "unstable", "masked", "masked", "masked"]
    assert frame.value.notna().tolist() == [False, True, False, False, False]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.drop(index=1), "Ligne x / 40-64 : tranche d’âges absente"),
        (lambda t: pd.concat([t, t.iloc[[1]]]), "Ligne x / 40-64 : ligne en double"),
        (lambda t: t.assign(events=[1, -1, 3, 1, 1, 1]), "Ligne x / 40-64 : « events » est négatif"),
        (lambda t: t.iloc[:0], "Tableau vide"),
    ],
)
def test_direct_names_the_row_it_refuses(change, words):
    long = table({"x": ((2, 8, 30), (4000, 3000, 1000)), "y": ((2, 8, 30), (4000, 3000, 1000))})
    with pytest.raises(StatisticsError, match=words):
        std.direct(change(long), std.ESP2013)


@pytest.mark.parametrize("weights", [[], [0, 0, 0], [1, -1, 3], [1, np.nan, 3]])
def test_an_empty_standard_is_refused(weights):
    with pytest.raises(StatisticsError, match="vide"):
        std.Standard("essai", pd.Series(weights, index=BANDS[: len(weights)], dtype=float))


def test_comparative_figure_of_the_reference_is_one_hundred():
    rates = std.direct(table({"x": ((2, 8, 30), (4000, 3000, 1000))}), std.ESP2013)
    frame = std.comparative_figure(rates, rates.value.iloc[0])
    assert frame.value.iloc[0] == pytest.approx(100)
    assert frame.ci_low.iloc[0] < 100 < frame.ci_high.iloc[0]
    with pytest.raises(StatisticsError, match="Taux de référence"):
        std.comparative_figure(rates, 0)


def test_five_years_are_pooled_and_a_secret_year_is_not_a_zero():
    long = pd.concat(
        table({"x": ((1, 2, 3), (10, 20, 30)), "y": ((1, 1, 1), (10, 20, 30))}).assign(year=year)
        for year in range(2017, 2022)
    ).reset_index(drop=True)
    long.loc[(long.zone == "y") & (long.band == "65+") & (long.year == 2019), "events"] = np.nan
    pooled = std.pool(long, 2021).set_index(["zone", "band"])
    assert pooled.loc[("x", "65+"), "events"] == 15
    assert pooled.loc[("x", "65+"), "population"] == 150
    assert np.isnan(pooled.loc[("y", "65+"), "events"])
    assert pooled.period.unique().tolist() == ["2017-2021"]
    assert pooled.covid.all()
    assert not std.pool(long, 2019, years=3).covid.any()
    assert std.pool(long[long.year != 2018], 2021).events.isna().all()
    with pytest.raises(StatisticsError, match="ligne en double"):
        std.pool(pd.concat([long, long.iloc[[0]]]), 2021)
    with pytest.raises(StatisticsError, match="Aucune ligne"):
        std.pool(long, 2010)


COMMUNES = [f"5400{i}" for i in range(6)]
STRATA = pd.MultiIndex.from_product([["female", "male"], ["0-64", "65+"]])


def members(zones):
    return pd.DataFrame(
        [{"commune": c, "zone_type": "epci", "zone_code": zone} for zone, codes in zones.items() for c in codes]
    )


@given(
    st.lists(st.integers(0, 200), min_size=6, max_size=6).filter(lambda deaths: sum(deaths) > 0),
    st.lists(st.integers(1, 5000), min_size=24, max_size=24),
)
def test_icm_of_france_is_one_hundred_and_members_add_up(deaths, persons):
    population = pd.DataFrame(np.reshape(persons, (6, 4)), index=COMMUNES, columns=STRATA)
    rates = pd.Series([0.001, 0.05, 0.002, 0.07], index=STRATA)
    zones = members({"a": COMMUNES[:2], "b": COMMUNES[2:], "all": COMMUNES})
    frame = std.icm(pd.Series(deaths, index=COMMUNES), population, rates, zones, std.Window(2013, 2017))
    france, a, b = (frame.loc[key] for key in [("france", "FR"), ("epci", "a"), ("epci", "b")])
    assert france.observed == sum(deaths)
    assert france.expected == pytest.approx(sum(deaths), rel=1e-12)
    assert a.observed + b.observed == france.observed
    assert a.expected + b.expected == pytest.approx(france.expected, rel=1e-12)
    if sum(deaths) >= 10:
        assert france.value == pytest.approx(100, rel=1e-12)
        assert france.ci_low < 100 < france.ci_high
    wanted = sum(
        rates.iloc[k] * persons[4 * i + k] * sum(deaths) for i in range(2) for k in range(4)
    ) / sum(rates.iloc[k] * persons[4 * i + k] for i in range(6) for k in range(4))  # fmt: skip
    assert a.expected == pytest.approx(wanted, rel=1e-9)


def test_icm_caveats_coverage_and_withholding():
    deaths = pd.Series([50, 40, np.nan, 3, 30, 0], index=COMMUNES)
    population = pd.DataFrame(1000.0, index=COMMUNES, columns=STRATA)
    population.loc[COMMUNES[5]] = 0
    rates = pd.Series([0.001, 0.05, 0.002, 0.07], index=STRATA)
    zones = members(
        {"whole": [*COMMUNES[:2], COMMUNES[5]], "hole": COMMUNES[1:3], "few": COMMUNES[3:4], "desert": COMMUNES[5:],
         "stranger": [COMMUNES[0], "99999"]}
    )  # fmt: skip
    share = pd.Series([0.2, 0.01], index=COMMUNES[:2])
    frame = std.icm(deaths, population, rates, zones, std.Window(2018, 2022), ehpad_share=share).loc["epci"]
    assert frame.reliability.to_dict() == {
        "whole": "ok",
        "hole": "incomplete",
        "few": "masked",
        "desert": "incomplete",
        "stranger": "incomplete",
    }
    assert frame.value.notna().to_dict() == {"whole": True, "hole": False, "few": False, "desert": False,
                                             "stranger": False}  # fmt: skip
    assert frame.loc["hole", "coverage"] == 0.5
    assert frame.loc["whole", "coverage"] == 1
    assert frame.ehpad.tolist() == [True, False, False, False, True]
    assert frame.covid.all()
    assert "EHPAD gonflent" in frame.loc["whole", "caveat"]
    assert "Covid-19" in frame.loc["whole", "caveat"]
    unknown = std.icm(deaths, population, rates, zones, std.Window(2013, 2017))
    assert unknown.ehpad.isna().all()
    assert "non mesuré" in unknown.caveat.iloc[0]


def test_icm_refuses_what_would_be_wrong():
    deaths = pd.Series(10, index=COMMUNES)
    population = pd.DataFrame(1000.0, index=COMMUNES, columns=STRATA)
    rates = pd.Series(0.01, index=STRATA)
    zones, window = members({"a": COMMUNES}), std.Window(2013, 2017)
    with pytest.raises(StatisticsError, match="54000 / epci / a : appartenance en double"):
        std.icm(deaths, population, rates, pd.concat([zones, zones]).iloc[[0, 6]], window)
    with pytest.raises(StatisticsError, match="mêmes tranches"):
        std.icm(deaths, population, rates.iloc[:3], zones, window)
    with pytest.raises(StatisticsError, match="mêmes communes"):
        std.icm(deaths.iloc[::-1], population, rates, zones, window)
    with pytest.raises(StatisticsError, match="Aucun décès attendu"):
        std.icm(deaths, population * 0, rates, zones, window)
    with pytest.raises(StatisticsError, match="négatif"):
        std.icm(-deaths, population, rates, zones, window)


def loop_life_table(deaths, population, bands, first=0.1):
    """Chiang II line by line, with the variance term of the open band."""
    alive, rows = 1.0, []
    for d, n, band in zip(deaths, population, bands, strict=True):
        low, high = read_band(band)
        m, width = d / n, high - low + 1
        a = first if (low, high) == (0, 0) else 0.5
        q = 1.0 if math.isinf(width) else width * m / (1 + width * (1 - a) * m)
        lived = alive / m if math.isinf(width) else width * (alive * (1 - q) + a * alive * q)
        rows.append({"l": alive, "q": q, "L": lived, "d": d, "m": m, "n": width, "a": a})
        alive *= 1 - q
    variance = 0.0
    for i, row in enumerate(rows[:-1]):
        ahead = sum(r["L"] for r in rows[i + 1 :]) / rows[i + 1]["l"]
        spread = row["q"] ** 2 * (1 - row["q"]) / row["d"] if row["d"] else 0
        variance += row["l"] ** 2 * ((1 - row["a"]) * row["n"] + ahead) ** 2 * spread
    last = rows[-1]
    variance += last["l"] ** 2 / (last["d"] * last["m"] ** 2)
    return sum(row["L"] for row in rows), variance


LIFE_BANDS = ["0", "1-4", "5-14", "15-44", "45-64", "65-84", "85+"]


@given(
    st.lists(st.integers(0, 40), min_size=6, max_size=6),
    st.integers(5, 90),
    st.lists(st.integers(800, 9000), min_size=7, max_size=7),
)
def test_life_expectancy_against_a_loop(deaths, last, population):
    deaths = [*deaths, last]
    frame = std.life_expectancy(table({"x": (deaths, population)}, LIFE_BANDS))
    row = frame.loc["x"]
    if sum(deaths) < 10 or sum(population) < 5000:
        assert row.reliability == "masked"
        return
    value, variance = loop_life_table(deaths, population, LIFE_BANDS)
    half = stats.norm.ppf(0.975) * math.sqrt(variance)
    assert row.value == pytest.approx(value, rel=1e-9)
    assert (row.ci_low, row.ci_high) == pytest.approx((value - half, value + half), rel=1e-9)


def test_life_expectancy_is_withheld_or_refused():
    base = ((2, 1, 1, 5, 20, 60, 50), (900, 3000, 5000, 9000, 7000, 4000, 800))
    rows = {
        "fine": base,
        "nobody dies old": ((2, 1, 1, 5, 20, 60, 0), base[1]),
        "few people": (base[0], [n / 10 for n in base[1]]),
        "empty band": ((0, *base[0][1:]), (0, *base[1][1:])),
        "masked": ((np.nan, *base[0][1:]), base[1]),
        "certain death": ((2, 1, 1, 5, 20, 700, 50), base[1]),
    }
    frame = std.life_expectancy(table(rows, LIFE_BANDS))
    assert frame.reliability.tolist() == ["ok"] + ["masked"] * 5
    with pytest.raises(StatisticsError, match="Ligne x : plus de décès que d’années-personnes, tranche 45-64"):
        std.life_expectancy(
            table({"x": ((2, 1, 1, 5, 2000, 60, 50), (900, 3000, 5000, 9000, 70, 4000, 800))}, LIFE_BANDS)
        )


def test_national_rates_against_a_loop():
    quotients = pd.DataFrame(
        [(y, s, a, 0.001 * (a + 1) + 0.0001 * (y - 2020)) for y in (2020, 2021) for s in "FM" for a in range(4)],
        columns=["year", "sex", "age", "qx"],
    )
    population = pd.DataFrame(
        [(y, s, a, 100.0 + 10 * a) for y in (2020, 2021) for s in "FM" for a in range(6)],
        columns=["year", "sex", "age", "population"],
    )
    rates = std.national_rates(quotients, population, ["0-1", "2+"])
    deaths = persons = 0.0
    for year in (2020, 2021):
        for age in range(2, 6):
            q = 0.001 * (min(age, 3) + 1) + 0.0001 * (year - 2020)
            deaths += -math.log(1 - q) * (100 + 10 * age)
            persons += 100 + 10 * age
    assert rates[("F", "2+")] == pytest.approx(deaths / persons, rel=1e-12)
    with pytest.raises(StatisticsError, match="quotient de mortalité absent"):
        std.national_rates(quotients[quotients.age != 1], population, ["0-1", "2+"])
    with pytest.raises(StatisticsError, match="mêmes années"):
        std.national_rates(quotients[quotients.year == 2020], population, ["0-1", "2+"])
    with pytest.raises(StatisticsError, match="quotient 2"):
        std.national_rates(quotients.assign(qx=2.0), population, ["0+"])


CENSUS = ["0-2", "3-5", "6-10", "11-17", "18-24", "25-39", "40-54", "55-64", "65-79", "80+"]


def test_icm_of_real_epci(mirror):
    """Deaths 2013-2017 by domicile, census ages 2020, national quotients: France is 100, and the sums hold."""
    folder = mirror / "insee_mortalite_nationale"
    quotients = pd.read_csv(folder / "quotients_mortalite_t69.csv.gz").query(
        "geo == 'france' and `def.age` == 'current age (approx)' and 2013 <= year <= 2017 and sex != 'all'"
    )
    people = pd.read_csv(folder / "population_1901_2026.csv.gz").query("geo == 'france' and 2013 <= year <= 2017")
    people = people.assign(sex=people.sex.map({"F": "female", "M": "male"})).rename(
        columns={"age0101": "age", "popx": "population"}
    )
    rates = std.national_rates(quotients, people, CENSUS)
    deaths_of_the_tables = sum(
        rates[(sex, band)] * people.loc[(people.sex == sex) & people.age.between(*read_band(band)), "population"].sum()
        for sex, band in rates.index
    )
    ages = pd.read_csv(mirror / "insee_rp2020_age_sexe" / "age-insee-2020.csv.gz", sep=";", dtype=str)
    ages.index = ages.iloc[:, 0].str.zfill(5)
    ages = ages[~ages.index.str.match("751|6938|132|976")]
    population = pd.DataFrame(
        {(s, b): ages[("F" if s == "female" else "H") + b].astype(float) for s in ("female", "male") for b in CENSUS}
    )
    with zipfile.ZipFile(mirror / "insee_comparateur_rp2018" / "base_cc_comparateur_csv.zip") as archive:
        local = pd.read_csv(archive.open("base_cc_comparateur.CSV"), sep=";", dtype={"CODGEO": str})
    deaths = local.set_index("CODGEO")["DECE1318"].reindex(population.index)
    # Five years of deaths by domicile, and what the tables say of the same years: the same country within 1.5 %.
    assert deaths.sum() == pytest.approx(deaths_of_the_tables, rel=0.015)
    zones = pd.DataFrame({"commune": ages.index, "zone_type": "epci", "zone_code": ages["EPCI"].to_numpy()})
    frame = std.icm(deaths, population, rates, zones.dropna(), std.Window(2013, 2017))
    assert frame.loc[("france", "FR"), "value"] == pytest.approx(100, abs=1e-9)
    epci = frame.loc["epci"]
    assert len(epci) > 1200
    assert epci["value"].between(60, 180).mean() > 0.99
    # Grenoble-Alpes dies less than expected; Mad et Moselle far more, by a few communes (Gorze: 323 for 78 expected).
    assert epci.loc["200040715", "ci_high"] < 100
    assert epci.loc["200070738", "value"] > 150
