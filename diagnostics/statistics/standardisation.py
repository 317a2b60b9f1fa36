"""Rates freed from the age structure: direct, indirect (SMR, ICM), comparative figure, life expectancy.

Shapes: long tables, one row per zone × age band, columns `zone, band, events, population` (population = person-years of
the window). Results: one row per zone with `value, ci_low, ci_high, statistic, method, events, reliability`.
Withheld (missing value, `masked`) under 10 events. Sources: indicators.md §10.2 to §10.4 and §10.11; European Standard
Population 2013 (Eurostat, Revision of the European Standard Population, 2013); Dobson et al. 1991; Chiang 1984;
Silcocks et al. 2001; Toson & Baker 2003 (smallest population for a life expectancy).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from diagnostics.errors import StatisticsError
from diagnostics.statistics.ages import Ages, check_bands, group_bands, read_band
from diagnostics.statistics.inputs import columns, numeric, refuse, refuse_negative
from diagnostics.statistics.rates import byar, dobson, gamma_fay_feuer, normal_quantile, result
from diagnostics.statistics.reliability import flag_events, hide_masked

COVID_YEARS = (2020, 2021, 2022)
EHPAD_SHARE = 0.05
"""A commune whose EHPAD places pass this share of its 75+ has its deaths by domicile inflated."""
MINIMUM_COVERAGE = 0.95
LIFE_TABLE_MINIMUM = 5_000
"""Person-years under which a life expectancy is withheld."""


@dataclass(frozen=True)
class Standard:
    """A standard population: its name (shown with every rate) and its persons by age band."""

    name: str
    weights: pd.Series

    def __post_init__(self):
        weights = numeric("population type", self.weights, self.weights.index)
        if not len(weights) or not np.isfinite(weights).all() or (weights < 0).any() or weights.sum() <= 0:
            raise StatisticsError(f"Population type « {self.name} » vide, négative ou incomplète.")
        check_bands(self.weights.index, where=f"Population type « {self.name} »")


ESP2013 = Standard(
    "Population européenne standard 2013",
    pd.Series(
        {
            "0": 1000, "1-4": 4000, "5-9": 5500, "10-14": 5500, "15-19": 5500, "20-24": 6000, "25-29": 6000,
            "30-34": 6500, "35-39": 7000, "40-44": 7000, "45-49": 7000, "50-54": 7000, "55-59": 6500, "60-64": 6000,
            "65-69": 5500, "70-74": 5000, "75-79": 4000, "80-84": 2500, "85-89": 1500, "90-94": 800, "95+": 200,
        }
    ),
)  # fmt: skip


def french_standard(population: pd.Series, vintage: str) -> Standard:
    """The French census population by age band as a standard; `vintage` (`RP 2020`) becomes part of its name."""
    return Standard(f"Population française {vintage}", population)


def direct(
    table: pd.DataFrame,
    standard: Standard,
    *,
    ages: Ages | None = None,
    multiplier: float = 100_000,
    confidence: float = 0.95,
    interval: str = "dobson",
) -> pd.DataFrame:
    """Directly standardised rate per zone (Σ w·O/n / Σ w), with Dobson's or Fay and Feuer's interval.

    `standard` may be finer than the data: its bands are summed. `ages=(0, 64)` restricts to a range of ages the bands
    must tile. Adds `standard` (its name), `events` and `reliability`. Refused with zone and band: overlapping bands, a
    hole, a missing band, a repeated line, a standard that does not match.
    """
    intervals = {"dobson": dobson, "gamma_fay_feuer": gamma_fay_feuer}
    if interval not in intervals:
        raise StatisticsError(f"Intervalle « {interval} » inconnu : {' ou '.join(intervals)}.")
    events, population = by_band(table, ages)
    weights = group_bands(standard.weights, events.columns).reindex(events.columns)
    rates = intervals[interval](events, population, weights, multiplier, confidence)
    return _withheld(rates.assign(standard=standard.name), events.sum(axis=1, skipna=False))


def comparative_figure(rates: pd.DataFrame, reference: float) -> pd.DataFrame:
    """Comparative mortality figure: rate of each zone / reference rate × 100; the reference is taken without error.

    `rates` comes from `direct`; `reference` must be the same rate, same standard, of the area of comparison.
    """
    if not (reference > 0 and math.isfinite(reference)):
        raise StatisticsError(f"Taux de référence {reference} : un taux positif est attendu.")
    scaled = {name: rates[name] / reference * 100 for name in ("value", "ci_low", "ci_high")}
    return rates.assign(**scaled, statistic="comparative mortality figure")


def by_band(table: pd.DataFrame, ages: Ages | None = None) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(events, population): zones × bands in order of age, from a long table whose bands have been proved sound."""
    table = table.reset_index(drop=True)
    rows = pd.MultiIndex.from_frame(table[["zone", "band"]])
    if not len(table):
        raise StatisticsError("Tableau vide : aucune zone à standardiser.")
    refuse(rows.duplicated(), rows, lambda i: "ligne en double. Une zone a une seule ligne par tranche d’âges.")
    for name in ("events", "population"):
        refuse_negative(name, numeric(name, table[name], rows), rows)
    bands = check_bands(table["band"].unique(), ages, where="Données")
    matrices = [
        table.pivot(index="zone", columns="band", values=name)
        .reindex(index=pd.Index(table["zone"].unique(), name="zone"), columns=bands)
        .astype(float)
        for name in ("events", "population")
    ]
    lines = table.groupby("zone", sort=False).size()
    if (lines < len(bands)).any():
        zone = lines.index[lines < len(bands)][0]
        gap = [band for band in bands if band not in set(table.loc[table["zone"] == zone, "band"])]
        raise StatisticsError(
            f"Ligne {zone} / {gap[0]} : tranche d’âges absente. Une tranche sans décès s’écrit 0, une valeur secrète "
            "reste une ligne sans valeur."
        )
    return matrices[0], matrices[1]


def pool(table: pd.DataFrame, last_year: int, years: int = 5, keys: tuple[str, ...] = ("zone", "band")) -> pd.DataFrame:
    """Sum `events` and `population` of a table with a `year` column over the `years` ending in `last_year`.

    Result: `*keys, events, population` (person-years), `period` (`2019-2023`) and `covid` (the window holds 2020, 2021
    or 2022). A zone missing one year, or masked that year, is missing in the pool: a secret is not a zero.
    """
    window = range(last_year - years + 1, last_year + 1)
    keys = [key for key in keys if key in table]
    kept = table[table["year"].isin(window)].reset_index(drop=True)
    if kept.empty:
        raise StatisticsError(f"Aucune ligne entre {window[0]} et {last_year}.")
    lines = pd.MultiIndex.from_frame(kept[[*keys, "year"]])
    refuse(lines.duplicated(), lines, lambda i: "ligne en double pour cette année.")
    groups = kept.groupby(keys, sort=False)
    pooled = groups[["events", "population"]].sum(skipna=False)
    complete = groups["year"].nunique() == years
    pooled = pooled.where(complete)
    label = f"{window[0]}-{last_year}" if years > 1 else str(last_year)
    return pooled.reset_index().assign(period=label, covid=has_covid(window))


def has_covid(years) -> bool:
    """Does the window hold a Covid year (2020 to 2022)?"""
    return any(year in COVID_YEARS for year in years)


def expected_events(population: pd.DataFrame, rates: pd.Series, years: float = 1) -> pd.Series:
    """Σ rate × population × years by zone: `population` zones × strata, `rates` per person-year by the same strata.

    Strata are any labels (age bands, or (sex, band) pairs) but must be the same on both sides. A missing stratum gives
    a missing expectation.
    """
    strata, given = set(population.columns), set(rates.index)
    if strata != given or len(rates) != len(given) or not given:
        odd = sorted(map(str, strata ^ given))[:5]
        raise StatisticsError(
            f"Taux de référence et population n’ont pas les mêmes tranches : {', '.join(odd) or 'doublon ou vide'}."
        )
    rate = numeric("taux", rates, rates.index)
    refuse(~(rate >= 0), rates.index, lambda i: f"taux de référence {rate[i]:g} : un nombre positif est attendu.")
    persons = np.column_stack(
        [numeric(f"population {label}", population[label], population.index) for label in rates.index]
    )
    refuse((persons < 0).any(axis=1), population.index, lambda i: "une population est négative.")
    return pd.Series(persons @ rate * years, index=population.index, name="expected")


def national_rates(quotients: pd.DataFrame, population: pd.DataFrame, bands) -> pd.Series:
    """National death rates by (sex, band) from probabilities of death and population by single year of age.

    `quotients`: `year, sex, age, qx`; `population`: `year, sex, age, population`, all years of the window in both. The
    hazard −ln(1 − q) of each age is averaged over the years and the ages of the band, weighted by the population. Ages
    of the population over the last age of the quotients take the last one.
    """
    bands = check_bands(bands)
    keys = ["year", "sex", "age"]
    for name, frame in (("quotients", quotients), ("population", population)):
        lines = pd.MultiIndex.from_frame(frame[keys])
        refuse(lines.duplicated(), lines, lambda i, name=name: f"ligne en double dans « {name} ».")
    probability = numeric("qx", quotients["qx"], quotients.index)
    refuse(~((probability >= 0) & (probability <= 1)), quotients.index, lambda i: f"quotient {probability[i]:g}.")
    # A certain death within the year has an infinite hazard: tables close there, and 1 − 1/2 n is the usual stop.
    hazard = quotients[keys].assign(hazard=-np.log1p(-np.minimum(probability, 1 - 1e-6)))
    oldest = hazard.groupby(["year", "sex"])["age"].transform("max")
    last = hazard[hazard["age"] == oldest].rename(columns={"hazard": "closing", "age": "oldest"})
    people = population[[*keys, "population"]].merge(hazard, on=keys, how="left").merge(last, on=["year", "sex"])
    if len(people) != len(population):
        raise StatisticsError("Quotients et population ne couvrent pas les mêmes années et sexes.")
    rate = people["hazard"].fillna(people["closing"].where(people["age"] > people["oldest"]))
    refuse(rate.isna().to_numpy(), pd.MultiIndex.from_frame(people[keys]), lambda i: "quotient de mortalité absent.")
    limits = [read_band(band)[0] for band in bands] + [math.inf]
    people["band"] = pd.cut(people["age"], limits, right=False, labels=bands).astype(str)
    people["deaths"] = rate * people["population"]
    sums = people.groupby(["sex", "band"])[["deaths", "population"]].sum()
    return (sums["deaths"] / sums["population"]).rename("rate")


def indirect(
    events, expected, multiplier: float = 100, confidence: float = 0.95, statistic: str = "SMR"
) -> pd.DataFrame:
    """Standardised ratio events / expected × multiplier (100: 100 = reference) with Byar's interval, withheld under 10.

    Nothing expected gives a missing ratio. Two zones are comparable with the reference, not with each other.
    """
    ratio = byar(events, expected, multiplier, confidence, statistic)
    counts = columns(events=events, expected=expected)[1][0]
    return _withheld(ratio, pd.Series(counts, index=ratio.index))


@dataclass(frozen=True)
class Window:
    """The years a mortality ratio is pooled over; deaths are sums over it, population is one census at its middle."""

    first: int
    last: int

    @property
    def years(self) -> int:
        return self.last - self.first + 1

    @property
    def label(self) -> str:
        return str(self.first) if self.first == self.last else f"{self.first}-{self.last}"


def icm(
    deaths: pd.Series,
    population: pd.DataFrame,
    rates: pd.Series,
    membership: pd.DataFrame,
    window: Window,
    *,
    ehpad_share: pd.Series | None = None,
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Indice comparatif de mortalité (France = 100) of every zone of `membership`, and of France, on one same file.

    `deaths`: by commune of domicile, summed over the window; `population`: same communes × strata (sex, band), one
    census; `rates`: national, by the same strata; `membership`: `commune, zone_type, zone_code`. National rates are
    rescaled so that over the communes known on both sides Σ expected = Σ observed: France is 100 by construction.
    Result indexed by (zone_type, zone_code), row ("france", "FR") included: `observed, expected, value, ci_low,
    ci_high, statistic, method, events, reliability, coverage, period, covid, ehpad, caveat`.

    Coverage is the share of the zone's population in communes with known deaths and ages; under 95 % the zone is
    `incomplete` and has no value (unpopulated communes are given with zeros). `ehpad_share` (EHPAD places / 75+, by
    commune) flags zones where a commune passes 5 %; without it `ehpad` is unknown (NA), and the caveat says so.
    """
    if not deaths.index.equals(population.index):
        raise StatisticsError("Décès et population n’ont pas les mêmes communes dans le même ordre : alignez-les.")
    refuse(deaths.index.duplicated(), deaths.index, lambda i: "commune en double.")
    observed = pd.Series(numeric("deaths", deaths, deaths.index), index=deaths.index)
    refuse_negative("deaths", observed.to_numpy(), deaths.index)
    expected = expected_events(population, rates, window.years)
    known = observed.notna() & expected.notna()
    if not expected[known].sum() > 0:
        raise StatisticsError("Aucun décès attendu : la population ou les taux de référence sont nuls.")
    expected *= observed[known].sum() / expected[known].sum()
    persons = population.sum(axis=1, skipna=True)
    communes = pd.DataFrame(
        {
            "observed": observed.where(known, 0.0),
            "expected": expected.where(known, 0.0),
            "persons": persons,
            "covered": persons.where(known, 0.0),
        }
    )
    if ehpad_share is not None:
        communes["ehpad"] = ehpad_share.reindex(communes.index) > EHPAD_SHARE
    france = pd.DataFrame({"commune": communes.index, "zone_type": "france", "zone_code": "FR"})
    pairs = pd.concat([membership[["commune", "zone_type", "zone_code"]], france], ignore_index=True)
    lines = pd.MultiIndex.from_frame(pairs)
    refuse(lines.duplicated(), lines, lambda i: "appartenance en double : ses décès compteraient deux fois.")
    members = pairs.join(communes, on="commune")
    # A member the file ignores has an unknown population: no coverage can be stated for its zone.
    members["unknown"] = members["persons"].isna()
    zones = members.groupby(["zone_type", "zone_code"], sort=False)
    sums = zones[["observed", "expected", "persons", "covered"]].sum()
    coverage = (sums["covered"] / sums["persons"]).where(~zones["unknown"].any() & (sums["persons"] > 0))
    ratio = indirect(sums["observed"], sums["expected"], 100, confidence, "ICM")
    complete = coverage >= MINIMUM_COVERAGE
    ratio["reliability"] = ratio["reliability"].where(complete, "incomplete")
    quantities = ["value", "ci_low", "ci_high"]
    ratio[quantities] = ratio[quantities].where(complete)
    covid = has_covid(range(window.first, window.last + 1))
    ehpad = zones["ehpad"].any() if ehpad_share is not None else pd.Series(pd.NA, index=sums.index, dtype="boolean")
    caveat = [_icm_caveat(covid, flag) for flag in ehpad]
    return sums[["observed", "expected"]].join(ratio).assign(
        coverage=coverage, period=window.label, covid=covid, ehpad=ehpad.astype("boolean"), caveat=caveat
    )  # fmt: skip


def life_expectancy(table: pd.DataFrame, confidence: float = 0.95, first_years: float = 0.1) -> pd.DataFrame:
    """Life expectancy at birth per zone: abridged table of Chiang (II), variance with Silcocks's last-band term.

    `first_years` is the fraction of the first year lived by those who die in it (0.1), one half elsewhere. Withheld
    (`masked`) under 5 000 person-years, under 10 deaths, without death in the open band, with an empty band, or when a
    band has a probability of death over 1 (too few people for its width). Refused: more deaths than person-years.
    """
    z = normal_quantile(confidence)
    deaths, population = by_band(table)
    bands = [read_band(band) for band in deaths.columns]
    width = np.array([high - low + 1 for low, high in bands])
    lived = np.where([low == 0 and high == 0 for low, high in bands], first_years, 0.5)
    count, persons = deaths.to_numpy(), population.to_numpy()
    refuse(
        (count > persons).any(axis=1),
        deaths.index,
        lambda i: (
            f"plus de décès que d’années-personnes, tranche {deaths.columns[int(np.argmax(count[i] > persons[i]))]}."
        ),
    )
    rate = count / np.where(persons > 0, persons, np.nan)
    with np.errstate(divide="ignore", invalid="ignore"):
        dying = width[:-1] * rate[:, :-1] / (1 + width[:-1] * (1 - lived[:-1]) * rate[:, :-1])
        alive = np.cumprod(np.column_stack([np.ones(len(count)), 1 - dying]), axis=1)
        years = width[:-1] * (alive[:, 1:] + lived[:-1] * (alive[:, :-1] - alive[:, 1:]))
        years = np.column_stack([years, alive[:, -1] / rate[:, -1]])
        ahead = np.cumsum(years[:, ::-1], axis=1)[:, ::-1]
        remaining = ahead[:, 1:] / alive[:, 1:]
        # Var(q) = q²(1 − q)/D (Chiang); the open band adds Var(1/M) = 1/(D·M²), which Chiang leaves out (Silcocks).
        spread = np.where(count[:, :-1] > 0, dying**2 * (1 - dying) / count[:, :-1], 0.0)
        variance = (alive[:, :-1] ** 2 * spread * ((1 - lived[:-1]) * width[:-1] + remaining) ** 2).sum(axis=1)
        variance += alive[:, -1] ** 2 / (count[:, -1] * rate[:, -1] ** 2)
        half = z * np.sqrt(variance)
    value = ahead[:, 0]
    total = deaths.sum(axis=1, skipna=False)
    allowed = np.isfinite(value) & np.isfinite(half) & (persons.sum(axis=1) >= LIFE_TABLE_MINIMUM)
    allowed &= (dying <= 1).all(axis=1)
    value = np.where(allowed, value, np.nan)
    table = result(deaths.index, value, (value - half, value + half), "life expectancy", "chiang2_silcocks")
    return _withheld(table, total)


def _withheld(rates: pd.DataFrame, events: pd.Series) -> pd.DataFrame:
    flags = np.where(rates["value"].isna(), "masked", flag_events(events.to_numpy()))
    return hide_masked(rates.assign(events=events.to_numpy(), reliability=flags), flags)


def _icm_caveat(covid: bool, ehpad) -> str:
    parts = ["Comparable à la France, non d’un territoire à l’autre."]
    if covid:
        parts.append("Période marquée par la Covid-19 (2020-2022).")
    if ehpad is pd.NA:
        parts.append("Effet des EHPAD sur le domicile des décès non mesuré.")
    elif ehpad:
        parts.append("Au moins une commune dont les EHPAD gonflent les décès domiciliés.")
    return " ".join(parts)
