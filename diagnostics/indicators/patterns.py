"""Patterns that no single figure shows: concentrations in space, and families of territories.

Both are read from the public table alone, so that nothing masked enters them: a withheld value has no place in a mean
of neighbours, in a class, nor in a smoothed map. Pure: tables and neighbourhoods in, tables out; every statistic comes
from `diagnostics.statistics`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd

from diagnostics import french
from diagnostics.catalog import Catalog, Indicator, Profile
from diagnostics.statistics import space
from diagnostics.statistics.reliability import UNSTABLE_BELOW_EVENTS, empirical_bayes
from diagnostics.statistics.typology import marked, typology

ALPHA = 0.05
KNOWN = 0.6
"""Share of the zones, in the area and in the CLS, that must have a value for a level to be looked at."""
AS_KNOWN = 0.9
TOUCHING = 500
"""Départements this near, in metres, are neighbours: outlines are generalised."""
LEVELS = ("commune", "epci")

CONCENTRATIONS = {
    "territory_id": "str", "indicator_id": "str", "zone_type": "str", "zone_code": "str", "inside": "bool",
    "period": "str", "standard": "float", "lag": "float", "local_i": "float", "p_value": "float",
    "p_adjusted": "float", "cluster": "str",
}  # fmt: skip
MORAN = {
    "territory_id": "str", "indicator_id": "str", "zone_type": "str", "period": "str", "morans_i": "float",
    "expected": "float", "p_value": "float", "zones": "Int64", "draws": "Int64", "departements": "str",
    "reason": "str",
}  # fmt: skip


def typed(frames: Sequence[pd.DataFrame], columns: Mapping[str, str]) -> pd.DataFrame:
    """`frames` one after the other, in these columns and types; an empty table has them too."""
    whole = pd.concat(frames, ignore_index=True) if frames else pd.DataFrame()
    return whole.reindex(columns=list(columns)).astype(dict(columns))


# --- concentrations --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Ground:
    """The zones of one level that are looked at together: who touches whom, and which are of the CLS (`own`)."""

    near: space.Neighbours
    own: frozenset[str]

    @property
    def zones(self) -> pd.Index:
        return self.near.index


@dataclass(frozen=True, eq=False)
class Concentrations:
    """`zones`: columns of `CONCENTRATIONS`, one row per indicator and zone of the area; `moran`: columns of `MORAN`,
    one row per indicator, with the reason when it could not be looked at."""

    zones: pd.DataFrame
    moran: pd.DataFrame


def departements_around(outlines: gpd.GeoDataFrame, own: Iterable[str]) -> list[str]:
    """The départements of the CLS and those that touch them. `outlines`: code, geometry, one projection in metres."""
    mine = outlines[outlines["code"].isin(set(own))]
    return sorted(outlines.loc[outlines.intersects(mine.union_all().buffer(TOUCHING)), "code"])


def ground_of(outlines: gpd.GeoDataFrame, zones: Iterable[str], own: Iterable[str]) -> Ground:
    """The neighbourhoods of `zones` (those that have an outline), in the order of their codes."""
    kept = outlines[outlines["code"].isin(set(zones))].sort_values("code").set_index("code")
    return Ground(space.neighbours(kept.geometry), frozenset(own) & frozenset(kept.index))


def concentrations(
    territory_id: str,
    indicators: Sequence[Indicator],
    values: pd.DataFrame,
    grounds: Mapping[str, Ground],
    departements: Sequence[str],
) -> Concentrations:
    """Moran's I and LISA of each indicator, by commune when enough of them are published, else by EPCI.

    `indicators`: those whose card declares `space`; `values`: their rows of the public table; `grounds`: by level. A
    rate is made comparable by the empirical Bayes variance of its counts before it is looked at.
    """
    rows, found = [], []
    for indicator in indicators:
        mine = values[values["indicator_id"] == indicator.id]
        row = {"territory_id": territory_id, "indicator_id": indicator.id, "departements": ",".join(departements)}
        series, level, period, reason = _looked_at(indicator, mine, grounds)
        if series is None:
            rows.append(row | {"reason": reason})
            continue
        ground = grounds[level]
        whole = space.moran(series, ground.near)
        local = space.lisa(series, ground.near, alpha=ALPHA)
        rows.append(
            row
            | {"zone_type": level, "period": period, "morans_i": whole.value, "expected": whole.expected}
            | {"p_value": whole.p_value, "zones": whole.zones, "draws": space.DRAWS}
        )
        found.append(
            local.rename_axis("zone_code")
            .reset_index()
            .assign(
                territory_id=territory_id,
                indicator_id=indicator.id,
                zone_type=level,
                period=period,
                inside=ground.zones.isin(ground.own),
            )
        )
    return Concentrations(typed(found, CONCENTRATIONS), typed([pd.DataFrame(rows)], MORAN))


def _looked_at(
    indicator: Indicator, rows: pd.DataFrame, grounds: Mapping[str, Ground]
) -> tuple[pd.Series | None, str | None, str | None, str | None]:
    """(values by zone of the ground, level, period, None), or the reason why it is not looked at, in French."""
    reason = "aucune valeur dans le territoire et ses environs"
    for level in LEVELS:
        of_level = rows[(rows["zone_type"] == level) & rows["value"].notna()]
        if of_level.empty or level not in grounds:
            continue
        ground = grounds[level]
        of_level = of_level[of_level["zone_code"].isin(ground.zones)]
        if of_level.empty:
            continue
        period = _period(of_level)
        table = of_level[of_level["period"] == period].set_index("zone_code").reindex(ground.zones)
        series = _comparable(indicator, table)
        noun, few = ("communes", "de communes") if level == "commune" else ("intercommunalités", "d’intercommunalités")
        known = series.notna()
        own = known[known.index.isin(ground.own)]
        if known.sum() < space.MINIMUM_ZONES:
            reason = f"{french.number(known.sum())} {noun} publiées, {space.MINIMUM_ZONES} au moins sont nécessaires"
        elif min(known.mean(), own.mean() if len(own) else 0.0) < KNOWN:
            reason = f"trop peu {few} publiées dans le territoire ou dans ses environs"
        elif np.isclose(series.std(), 0.0):
            reason = "même valeur partout"
        else:
            return series, level, period, None
    return None, None, None, reason


def _period(rows: pd.DataFrame) -> str:
    """One period for all zones: the latest that is nearly as well known as the best known one."""
    counted = rows.groupby("period").size().sort_index()
    return str(counted.index[counted >= AS_KNOWN * counted.max()][-1])


def _comparable(indicator: Indicator, table: pd.DataFrame) -> pd.Series:
    if indicator.space == "value":
        return table["value"].astype(float)
    counts = table[["numerator", "denominator"]].where(table["value"].notna()).astype(float)
    return space.comparable_rates(counts["numerator"], counts["denominator"])


# --- families of territories -----------------------------------------------------------------------------------------

MINIMUM_VARIABLES = 4
ENOUGH = 0.5
"""Share of the zones of France in which a variable must be known to take part: one that is missing loses the zone."""
RESAMPLES = {"commune": 10, "epci": 50}
"""Draws of the stability: 24 000 communes move less from one to the next than 1 200 EPCI."""

TYPES = {"zone_type": "str", "zone_code": "str", "class": "Int64"}
CLASSES = {
    "zone_type": "str", "class": "Int64", "name": "str", "description": "str", "zones": "Int64", "population": "float",
    "stability": "float", "stable": "bool", "variance": "float", "variables": "Int64",
}  # fmt: skip
PROFILE = {
    "zone_type": "str", "class": "Int64", "indicator_id": "str", "period": "str", "mean": "float", "overall": "float",
    "gap": "float", "v_test": "float",
}  # fmt: skip
TOLD_TRAITS = 5
SHORT_UNIT = 12
"""Characters of a unit that fits in a description; a longer one is left to the dictionary."""


@dataclass(frozen=True, eq=False)
class Types:
    """Tables of the typology, all levels together: `zones` (`TYPES`; `class` missing where a variable is unknown),
    `classes` (`CLASSES`) and `profile` (`PROFILE`)."""

    zones: pd.DataFrame
    classes: pd.DataFrame
    profile: pd.DataFrame


def types_of_territory(catalog: Catalog, values: pd.DataFrame, population: str) -> Types:
    """The classes of the communes of France, and those of its EPCI, by what their cards call `typology`.

    `values`: rows of the public table for those indicators and `population`, any periods, communes and EPCI.
    A level with fewer than 4 variables known in half of its zones has no classes.
    """
    parts = [_types_of_level(catalog, values[values["zone_type"] == level], level, population) for level in LEVELS]
    made = [part for part in parts if part is not None]
    return Types(
        zones=typed([part.zones for part in made], TYPES),
        classes=typed([part.classes for part in made], CLASSES),
        profile=typed([part.profile for part in made], PROFILE),
    )


def _types_of_level(catalog: Catalog, rows: pd.DataFrame, level: str, population: str) -> Types | None:
    known = rows[rows["value"].notna()]
    people = _wide(known[known["indicator_id"] == population])
    if people.empty:
        return None
    people = people[population]
    declared = [i for i in catalog.indicators.values() if i.typology and level in i.typology.levels]
    periods, columns = {}, {}
    for indicator in declared:
        mine = known[known["indicator_id"] == indicator.id]
        if mine.empty:
            continue
        period = _period(mine)
        column = mine[mine["period"] == period].set_index("zone_code")["value"].reindex(people.index)
        if column.notna().mean() >= ENOUGH:
            periods[indicator.id], columns[indicator.id] = period, column.astype(float)
    if len(columns) < MINIMUM_VARIABLES:
        return None
    words = {i.id: (i.typology.high, i.typology.low) for i in declared}
    found = typology(pd.DataFrame(columns), people, words, resamples=RESAMPLES[level])
    profile = found.profile.rename(columns={"variable": "indicator_id"}).assign(zone_type=level)
    profile["period"] = profile["indicator_id"].map(periods)
    classes = found.summary.reset_index().rename(columns={"description": "name"})
    told = [_told(profile[profile["class"] == number], catalog) for number in classes["class"]]
    classes = classes.assign(
        zone_type=level,
        description=told,
        stability=found.stability,
        stable=found.stable,
        variance=found.variance,
        variables=len(columns),
    )
    zones = found.classes.rename_axis("zone_code").reset_index().assign(zone_type=level)
    return Types(zones, classes, profile)


def _wide(rows: pd.DataFrame) -> pd.DataFrame:
    latest = rows.sort_values("period").drop_duplicates(["indicator_id", "zone_code"], keep="last")
    return latest.pivot(index="zone_code", columns="indicator_id", values="value")


def _told(profile: pd.DataFrame, catalog: Catalog) -> str:
    """A class in figures: « Chômage : 13,3 % contre 11,7 % ; ménages sans voiture : … », most marked traits first."""
    said = []
    for row in marked(profile).head(TOLD_TRAITS).itertuples():
        card = catalog.indicators[row.indicator_id]
        sign = card.unit if card.unit in french.SIGNS else ""
        unit = card.unit if sign or len(card.unit) <= SHORT_UNIT else ""
        mean = french.quantity(row.mean, sign, card.decimals)
        overall = french.quantity(row.overall, unit, card.decimals)
        label = french.amid(card.short) if said else card.short
        said.append(f"{label} : {mean} contre {overall}")
    return "\u202f; ".join(said) if said else "Aucun trait ne s’écarte nettement de la moyenne"


# --- smoothed maps ---------------------------------------------------------------------------------------------------

FRAGILE = 0.25
"""From this share of published communes with fewer than 20 events, the smoothed map is drawn."""
PUBLISHED = 0.5
"""Share of the communes of the CLS that must be published. Where secrecy leaves only those with many events, the mean
that the others are drawn to is that of a selection: too high."""


def smoothable(indicator: Indicator, profile: Profile) -> bool:
    """Whether small numbers blur its map: a ratio of counts of people or dwellings, with an interval and a secrecy."""
    formula = indicator.formula_for(profile)
    return (
        formula is not None
        and formula.kind == "ratio"
        and indicator.interval != "none"
        and indicator.secrecy != "none"
        and indicator.map == "choropleth"
    )


def smoothed(rows: pd.DataFrame, own: Iterable[str], multiplier: float) -> pd.Series | None:
    """Smoothed values of the published communes of the area, by code; None when the CLS has no need or no use of it,
    or when chance alone would make the communes differ as they do (all would get the mean).

    `rows`: one row per commune of the area, latest period, `zone_code, numerator, denominator, value`. A commune whose
    value is withheld gives nothing and gets nothing: the means that others are drawn to never saw its count.
    """
    table = rows.set_index("zone_code")
    published = table[table["value"].notna() & table["numerator"].notna() & (table["denominator"] > 0)]
    codes = list(own)
    mine = published[published.index.isin(codes)]
    if not codes or len(mine) < PUBLISHED * len(codes):
        return None
    if (mine["numerator"] < UNSTABLE_BELOW_EVENTS).mean() < FRAGILE:
        return None
    found = multiplier * empirical_bayes(published["numerator"].astype(float), published["denominator"].astype(float))
    return None if np.isclose(found.std(), 0.0) else found
