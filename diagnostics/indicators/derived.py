"""Figures that take more than sums: mortality compared with France, deprivation, double vulnerability.

Each function of `METHODS` takes `Inputs` and returns one row per zone: `zone_type, zone_code, period, numerator,
denominator, value, ci_low, ci_high, method, reliability, coverage`; `method` carries what must be said with the value.
All statistics come from `diagnostics.statistics`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from diagnostics import french
from diagnostics.catalog import Catalog, Profile
from diagnostics.catalog.models import Derived
from diagnostics.errors import StatisticsError
from diagnostics.statistics import deprivation, standardisation, vulnerability
from diagnostics.statistics.ages import read_band

BANDS = {
    "0_2": "0-2", "3_17": "3-17", "18_24": "18-24", "25_39": "25-39", "40_54": "40-54", "55_64": "55-64",
    "65_79": "65-79", "80plus": "80+",
}  # fmt: skip
SEXES = {"women": "female", "men": "male"}

ACCESS, DEPRIVED = 2.5, 4
"""DREES's threshold of low access (consultations a year), and the first of the two most deprived fifths."""
ACCESS_TRIED, DEPRIVED_TRIED = [2.0, 2.5, 3.0], [3, 4, 5]

PUBLISHED = {"published": "le F-EDI publié", "published_fdep": "le FDep publié (0,95 ou plus attendu)"}
OPTIONAL = {*PUBLISHED, "ehpad_places", "people_75plus"}
"""Inputs that only add to what `method` says: without them a figure stands."""
AGREED_ON = 30
"""Communes that two indices share, at least, before their agreement is worth a number."""
PUBLISHABLE = 0.95
COLUMNS = [
    "zone_type", "zone_code", "period", "numerator", "denominator", "value", "ci_low", "ci_high", "method",
    "reliability", "coverage",
]  # fmt: skip


def needed_tables(catalog: Catalog, profile: Profile) -> list[str]:
    """The reference tables that the derived formulas of a profile name."""
    formulas = [i.formula_for(profile) for i in catalog.indicators.values() if catalog.is_computable(i, profile)]
    return sorted({table for formula in formulas if formula.kind == "derived" for table in formula.tables})


@dataclass(frozen=True)
class Inputs:
    """`communes`: index = code, one column per declared input, missing when unknown; `belongs`: `commune, zone_type,
    zone_code`, a commune being a zone of its own; `tables`: the reference tables that the formula names; `period`: that
    of its first input. For what is known by département only (`nature: context`), they are départements."""

    communes: pd.DataFrame
    belongs: pd.DataFrame
    tables: Mapping[str, pd.DataFrame]
    period: str

    @property
    def above(self) -> pd.DataFrame:
        """`belongs` without the communes themselves."""
        return self.belongs[self.belongs["zone_type"] != "commune"]


def derive(formula: Derived, inputs: Inputs) -> pd.DataFrame:
    """The rows of a derived indicator. When an input that no commune knows, a table that is not here, or figures that
    statistics refuse keep it from being computed, every zone is unknown and `method` says why: the other indicators
    must not wait for it, and a check of the public table lists what is unknown for all France.
    """
    lacking = [
        " + ".join(f"`{term.variable}@{term.period}`" for term in terms)
        for role, terms in formula.inputs.items()
        if role not in OPTIONAL and inputs.communes[role].isna().all()
    ]
    lacking += [f"table `{table}`" for table in formula.tables if table not in inputs.tables]
    if lacking:
        return _unknown(inputs, f"il manque : {french.listing(lacking)}")
    try:
        return METHODS[formula.method](inputs)
    except StatisticsError as refusal:
        return _unknown(inputs, f"entrées refusées : {refusal}")


NOT_COMPUTED = "non calculé,"
"""How `method` begins to say why a figure could not be made."""


def _unknown(inputs: Inputs, why: str) -> pd.DataFrame:
    unknown = inputs.belongs[["zone_type", "zone_code"]].drop_duplicates(ignore_index=True)
    return unknown.assign(
        **dict.fromkeys(["numerator", "denominator", "value", "ci_low", "ci_high"], math.nan),
        period=inputs.period,
        method=f"{NOT_COMPUTED} {why}",
        reliability="incomplete",
        coverage=0.0,
    )[COLUMNS]


def icm(inputs: Inputs) -> pd.DataFrame:
    """Comparative mortality of every zone above the commune: deaths observed / expected × 100, France being 100.

    The years are those of the deaths, its first input; the national rates are taken over the same ones.
    With the inputs `ehpad_places` and `people_75plus`, `method` says whether nursing homes swell the deaths of a zone.
    """
    strata = {(sex, band): f"{ours}_{name}" for ours, sex in SEXES.items() for name, band in BANDS.items()}
    population = pd.DataFrame({key: inputs.communes[name] for key, name in strata.items()})
    window = standardisation.Window(int(inputs.period[:4]), int(inputs.period[-4:]))
    rates = _national_rates(inputs.tables, window).reindex(pd.MultiIndex.from_tuples(strata))
    zones = inputs.above[inputs.above["zone_type"] != "france"]
    found = standardisation.icm(
        inputs.communes["deaths"], population, rates, zones, window, ehpad_share=_ehpad_share(inputs.communes)
    ).reset_index()
    # What a zone withholds, its observed deaths would tell.
    shown = found["value"].notna()
    return found.assign(
        numerator=found["observed"].where(shown),
        denominator=found["expected"].where(shown),
        method="ICM; " + found["method"] + "; " + found["caveat"].str.rstrip("."),
    )[COLUMNS]


def _ehpad_share(communes: pd.DataFrame) -> pd.Series | None:
    """EHPAD places per person of 75 or more; None where the formula does not tell the places (`ehpad_places`)."""
    if "ehpad_places" not in communes:
        return None
    return communes["ehpad_places"] / communes["people_75plus"].where(communes["people_75plus"] > 0)


def _national_rates(tables: Mapping[str, pd.DataFrame], window: standardisation.Window) -> pd.Series:
    """Death rates of France by (sex, band) over the window."""
    numbers = {"year": int, "age": int}
    quotients = tables["mortality_quotients"].astype(numbers | {"qx": float})
    people = tables["national_population"].astype(numbers | {"population": float})
    bands = sorted(BANDS.values(), key=read_band)
    quotients, people = (table[table["year"].between(window.first, window.last)] for table in (quotients, people))
    return standardisation.national_rates(quotients, people, bands)


def fdep_score(inputs: Inputs) -> pd.DataFrame:
    """Mean of the deprivation scores of the communes, weighted by their population."""
    scores, said = _fdep(inputs)
    return _per_inhabitant(inputs, scores, 1.0, f"FDep; moyenne pondérée par la population; {said}")


def fdep_fifth(inputs: Inputs) -> pd.DataFrame:
    """Share (%) of the people who live in the fifth of the communes that is most deprived, by population."""
    scores, said = _fdep(inputs)
    fifth = deprivation.population_classes(scores, inputs.communes["population"].where(scores.notna()))
    most = (fifth == 5).astype(float).where(fifth.notna())
    return _per_inhabitant(inputs, most, 100.0, f"FDep; part de population; {said}")


def _fdep(inputs: Inputs) -> tuple[pd.Series, str]:
    """Score of each commune, and how well it agrees with the indices that are published, those that the profile has."""
    # The four variables do not mean the same overseas: the index is that of métropole.
    c = inputs.communes[~inputs.communes.index.str.startswith("97")]
    variables = pd.DataFrame(
        {
            "median_income": c["income"],
            "baccalaureate_share": 100 * (1 - c["below_bac"] / c["schooled"].where(c["schooled"] > 0)),
            "blue_collar_share": 100 * c["blue_collar"] / c["in_work"].where(c["in_work"] > 0),
            "unemployment_rate": 100 * c["unemployed"] / c["active"].where(c["active"] > 0),
        }
    )
    found = deprivation.fdep(variables, c["population"])
    said = [f"première composante : {french.quantity(100 * found.explained, '%', 0)} de la variance"]
    for name, words in PUBLISHED.items():
        if name in c and (c[name].notna() & found.scores.notna()).sum() >= AGREED_ON:
            same = deprivation.agreement(found.scores, c[name])
            said.append(
                f"corrélation des rangs avec {words} : {french.number(same['spearman'], 2)} "
                f"sur {french.number(same['communes'])} communes"
            )
    return found.scores.reindex(inputs.communes.index), " ; ".join(said)


def _per_inhabitant(inputs: Inputs, values: pd.Series, multiplier: float, method: str) -> pd.DataFrame:
    """Σ population × value / Σ population over the communes where it is known; withheld under 95 % of the people."""
    people = inputs.communes["population"]
    weight = people.where(values.notna(), 0.0).where(people.notna())
    parts = pd.DataFrame({"people": people, "known": weight, "part": weight * values.fillna(0.0)})
    sums = inputs.belongs.join(parts, on="commune").groupby(["zone_type", "zone_code"])[list(parts)].sum()
    # The file has no line for 68 communes: their zones are covered less than it can tell.
    coverage = (sums["known"] / sums["people"]).where(sums["people"] > 0)
    complete = coverage >= PUBLISHABLE
    # A mean that is zero by construction is zero, not the last digit of a sum.
    value = (multiplier * sums["part"] / sums["known"].where(sums["known"] > 0)).where(complete).round(9)
    return sums.assign(
        numerator=sums["part"].where(complete) if multiplier != 1 else np.nan,
        denominator=sums["known"].where(complete),
        value=value,
        period=inputs.period,
        ci_low=np.nan,
        ci_high=np.nan,
        method=method,
        reliability=np.where(complete, "ok", "incomplete"),
        coverage=coverage.fillna(0.0),
    ).reset_index()[COLUMNS]


def double_vulnerability(inputs: Inputs) -> pd.DataFrame:
    """Share (%) of the people of communes of low access, deprived and aged; thresholds and their effect said."""
    c = inputs.communes
    old = c["old"].where(c["census"].notna()).sum() / c["census"].where(c["old"].notna()).sum() * 100
    communes = pd.DataFrame(
        {
            "population": c["population"],
            "access": c["access"],
            "deprivation": deprivation.population_classes(
                c["deprivation"].where(c["population"].notna()), c["population"]
            ),
            "ageing": 100 * c["old"] / c["census"].where(c["census"] > 0),
        }
    )
    thresholds = vulnerability.Thresholds(ACCESS, DEPRIVED, round(float(old), 1))
    found = vulnerability.vulnerability(communes, inputs.belongs, thresholds)
    tried = vulnerability.sensitivity(communes, inputs.above, ACCESS_TRIED, DEPRIVED_TRIED, [thresholds.ageing])
    known = dict(tuple(tried.dropna(subset="value").groupby(["zone_type", "zone_code"])))
    effect = [f"; {vulnerability.grid_words(known[key])}" if key in known else "" for key in found.index]
    people = inputs.belongs.join(c["population"], on="commune").groupby(["zone_type", "zone_code"])["population"].sum()
    counted = people.reindex(found.index) * found["coverage"]
    shown = found["value"].notna()
    return found.assign(
        numerator=counted * found["value"] / 100,
        denominator=counted.where(shown),
        period=inputs.period,
        ci_low=np.nan,
        ci_high=np.nan,
        method="seuils : " + found["thresholds"] + effect,
        coverage=found["coverage"].fillna(0.0),
    ).reset_index()[COLUMNS]


def standardised_share(inputs: Inputs) -> pd.DataFrame:
    """Share (%) that each zone would have with the ages of France, as its own census counts them."""
    return _standardised(inputs, lambda people: standardisation.french_standard(people, f"RP {inputs.period}"))


def comparative_share(inputs: Inputs) -> pd.DataFrame:
    """Share at the ages of the European standard population, France being 100; unknown where France's is."""
    return _standardised(inputs, lambda _people: standardisation.ESP2013, compared=True)


def _standardised(
    inputs: Inputs, standard: Callable[[pd.Series], standardisation.Standard], *, compared: bool = False
) -> pd.DataFrame:
    """Direct rate of every zone from its inputs `events_<band>`, `people_<band>` (`0_4`, `95plus`) and `population`,
    which weighs the coverage; ages without events stand in the standard only. `standard`: from the people of all France
    by band; `compared`: France is 100.

    A commune is known when its every band is. Under 95 % of the population known, the zone is `incomplete`.
    """
    every = {n.removeprefix("people_"): _band(n) for n in inputs.communes if n.startswith("people_")}
    bands = {name: band for name, band in every.items() if f"events_{name}" in inputs.communes}
    counts = inputs.communes[[n for n in inputs.communes if n.startswith(("events_", "people_"))]]
    known = counts.notna().all(axis=1)
    chosen = standard(pd.Series({band: counts.loc[known, f"people_{name}"].sum() for name, band in every.items()}))
    people = inputs.communes["population"]
    parts = counts.where(known, 0.0).assign(population=people, covered=people.where(known, 0.0))
    sums = inputs.belongs.join(parts, on="commune").groupby(["zone_type", "zone_code"])[list(parts)].sum()
    coverage = (sums["covered"] / sums["population"]).where(sums["population"] > 0, 0.0)
    complete = coverage >= PUBLISHABLE
    tables = {kind: pd.DataFrame({b: sums[f"{kind}_{n}"] for n, b in bands.items()}) for kind in ("events", "people")}
    long = pd.concat(
        [
            pd.DataFrame({"zone": range(len(sums)), "band": band, "events": tables["events"][band].to_numpy(),
                          "population": tables["people"][band].to_numpy()})
            for band in bands.values()
        ],
        ignore_index=True,
    )  # fmt: skip
    lowest = min(read_band(band)[0] for band in bands.values())
    found = standardisation.direct(long, chosen, ages=(lowest, math.inf), multiplier=100).set_axis(sums.index)
    name = f"taux à âge égal; {chosen.name}"
    if compared:
        france = float(found.loc[("france", "FR"), "value"])
        if math.isnan(france):
            complete[:] = False
        else:
            found = standardisation.comparative_figure(found, france)
        name = f"figure comparative, France 100; {chosen.name}"
    shown = complete & found["value"].notna()
    numbers = ["value", "ci_low", "ci_high"]
    return found.assign(
        **{column: found[column].where(shown) for column in numbers},
        numerator=tables["events"].sum(axis=1).where(shown),
        denominator=tables["people"].sum(axis=1).where(shown),
        period=inputs.period,
        method="standardisation directe; " + name + "; " + found["method"],
        reliability=found["reliability"].where(complete, "incomplete"),
        coverage=coverage,
    ).reset_index()[COLUMNS]


def _band(name: str) -> str:
    """`people_0_4` -> `0-4`; `events_95plus` -> `95+`."""
    return name.partition("_")[2].replace("_", "-").replace("plus", "+")


METHODS: dict[str, Callable[[Inputs], pd.DataFrame]] = {
    "icm": icm,
    "fdep_score": fdep_score,
    "fdep_fifth": fdep_fifth,
    "double_vulnerability": double_vulnerability,
    "standardised_share": standardised_share,
    "comparative_share": comparative_share,
}
