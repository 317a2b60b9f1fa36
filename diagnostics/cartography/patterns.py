"""The maps of patterns of one CLS: concentrations, classes of territories, smoothed rates, and their words.

The tables are those of `diagnostics.indicators.patterns`; nothing is computed here.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import geopandas as gpd
import pandas as pd
from matplotlib.figure import Figure

from diagnostics import french
from diagnostics.cartography.atlas import Land, marks_of, spec_of, status_of, told_once
from diagnostics.cartography.maps import alternative_text, choropleth, concentrations, typology
from diagnostics.cartography.model import MapSpec
from diagnostics.catalog import Catalog, Indicator
from diagnostics.indicators.clusters import CLUSTER_WORDS, PLURAL, SINGULAR, told_clusters

GEOGRAPHY = {"commune": "communes au 1er janvier 2025", "epci": "intercommunalités"}
TYPES_TITLE = {
    "commune": "À quel type de communes ressemblent celles du territoire ?",
    "epci": "À quel type d’intercommunalités ressemblent celles du territoire ?",
}
SMOOTHED_RESERVE = (
    "Valeurs lissées, pour la carte seulement : chaque commune est rapprochée de la moyenne des départements du "
    "territoire et de leurs voisins, d’autant plus que son effectif est petit ; une anomalie locale réelle peut s’y "
    "effacer. Les tableaux donnent les valeurs brutes. Une commune non publiée n’entre pas dans le calcul."
)
LISA_RESERVE = "Une concentration n’est pas une cause ; les zones non publiées manquent à la moyenne de leurs voisines."
TYPES_RESERVE = (
    "Classification exploratoire : elle dit à quoi un territoire ressemble, sans juger ni expliquer ; les zones dont "
    "une valeur n’est pas publiée ne sont pas classées."
)


@dataclass(frozen=True)
class Sheet:
    """One map, ready to be saved: its file name, and what it shows in words."""

    name: str
    figure: Figure
    alt: str


def _rows(values: pd.DataFrame, indicator_id: str, period: str | None = None) -> pd.DataFrame:
    rows = values[values["indicator_id"] == indicator_id]
    if period is not None:
        return rows[rows["period"] == period]
    return rows.sort_values("period").drop_duplicates(["zone_type", "zone_code"], keep="last")


# --- concentrations --------------------------------------------------------------------------------------------------


def concentration_sheets(
    land: Land,
    catalog: Catalog,
    values: pd.DataFrame,
    *,
    zones: pd.DataFrame,
    moran: pd.DataFrame,
    produced_on: datetime.date,
) -> Iterator[Sheet]:
    """One map for each indicator that has a significant zone in the CLS: a map of nothing teaches nothing.

    `values`: rows of the public table for the zones drawn; `zones`, `moran`: tables of the same names.
    """
    by_indicator = dict(tuple(zones.groupby("indicator_id")))
    for row in moran[moran["zone_type"].notna()].itertuples():
        indicator = catalog.indicators[row.indicator_id]
        found = by_indicator[row.indicator_id].set_index("zone_code")
        # A single commune is looked at amid those of its EPCI, and its map shows them all.
        amid = land.is_one_commune and row.zone_type == "commune"
        own = found[found.index.isin(land.shown["code"])] if amid else found[found["inside"]]
        if not own["cluster"].isin(CLUSTER_WORDS).any():
            continue
        rows = _rows(values, row.indicator_id, row.period)
        ground = land.communes if row.zone_type == "commune" else land.epci_seen
        drawn = _with_clusters(ground, found, rows[rows["zone_type"] == row.zone_type])
        told = told_clusters(own["cluster"], row.zone_type, " de son intercommunalité" if amid else "")
        spec = spec_of(land, catalog, indicator, rows, level=row.zone_type, national=None, produced_on=produced_on)
        spec = dataclasses.replace(
            spec,
            title=f"{indicator.label} : concentrations dans l’espace",
            subtitle=f"{told} · {row.period.replace('-', '–')}",
            unit=f"Valeur de chaque {SINGULAR[row.zone_type]} et de ses voisines",
            geography=GEOGRAPHY[row.zone_type],
            zone_noun=PLURAL[row.zone_type],
            reserve=" ".join(part for part in (indicator.reserve, LISA_RESERVE) if part),
        )
        figure = concentrations(
            spec,
            drawn,
            land.context_amid if amid else land.context,
            heading=f"Indice de Moran : {french.number(row.morans_i, 2)}",
            notes=_notes(row),
        )
        alt = f"Carte : {spec.title}. {told}. Indice de Moran : {french.number(row.morans_i, 2)}."
        yield Sheet(f"concentrations-{row.indicator_id}", figure, alt)


def _with_clusters(ground: gpd.GeoDataFrame, found: pd.DataFrame, rows: pd.DataFrame) -> gpd.GeoDataFrame:
    """The zones of the ground that were looked at, or withheld, with their kind of concentration."""
    withheld = ground["code"].map(rows.set_index("zone_code")["reliability"]).eq("masked")
    zones = ground.assign(
        value=ground["code"].map(found["cluster"]),
        standard=ground["code"].map(found["standard"]),
        lag=ground["code"].map(found["lag"]),
    )
    tested = zones["value"].notna() & (zones["value"] != "not_tested")
    zones["status"] = "missing"
    zones.loc[withheld, "status"] = "masked"
    zones.loc[tested, "status"] = "ok"
    return zones[ground["code"].isin(found.index)]


def _notes(row) -> list[str]:
    area = len(row.departements.split(","))
    where = f"de {area} départements, ceux du territoire et leurs voisins" if area > 1 else "du département"
    strength = "se ressemblent" if row.p_value <= 0.05 and row.morans_i > row.expected else "ne se ressemblent pas plus"
    tail = "" if strength == "se ressemblent" else " que le hasard ne le ferait"
    return [
        f"Les voisines {strength}{tail} (p = {french.number(row.p_value, 3)}, 999 permutations) : "
        f"{french.number(row.zones)} {PLURAL[row.zone_type]} {where}.",
        f"Chaque zone est comparée à {french.number(row.draws)} tirages de voisines au hasard ; seuil de "
        f"{french.quantity(5, '%')}, corrigé pour le nombre de zones (Benjamini-Hochberg). Points cerclés : le "
        "territoire.",
    ]


# --- classes of territories ------------------------------------------------------------------------------------------


def type_sheets(
    land: Land,
    catalog: Catalog,
    values: pd.DataFrame,
    *,
    zones: pd.DataFrame,
    classes: pd.DataFrame,
    profile: pd.DataFrame,
    produced_on: datetime.date,
) -> Iterator[Sheet]:
    """The map of the classes of communes, and that of the EPCI with those around."""
    grounds = {"commune": ("typologie-communes", land.shown), "epci": ("typologie-epci", land.epci_around)}
    for level, (name, ground) in grounds.items():
        of_level = classes[classes["zone_type"] == level].sort_values("class")
        if of_level.empty:
            continue
        names = {row["class"]: f"{row['class']}. {row['name']}" for row in of_level.to_dict("records")}
        known = zones[zones["zone_type"] == level].set_index("zone_code")["class"]
        drawn = ground.assign(value=ground["code"].map(known).map(names), status="ok")
        inside = drawn[drawn["inside"]]
        if inside["value"].isna().all():
            continue
        spec = _types_spec(
            catalog, values[values["zone_type"] == level], profile[profile["zone_type"] == level], level, produced_on
        )
        first = of_level.iloc[0]
        notes = [
            f"Classes établies sur {french.number(of_level['zones'].sum())} {PLURAL[level]} de France et "
            f"{first['variables']} indicateurs, numérotées de la plus peuplée à la moins peuplée.",
            f"Stabilité (indice de Rand ajusté) : {french.number(first['stability'], 2)} ; 1 si les mêmes classes "
            "reviennent toujours quand on retire une zone sur cinq.",
        ]
        figure = typology(spec, drawn, land.context, list(names.values()), notes=notes)
        told = inside["value"].value_counts()
        alt = f"Carte : {spec.title} " + french.listing([f"{label} ({count})" for label, count in told.items()]) + "."
        yield Sheet(name, figure, alt)


def _types_spec(
    catalog: Catalog, values: pd.DataFrame, profile: pd.DataFrame, level: str, produced_on: datetime.date
) -> MapSpec:
    used = list(dict.fromkeys(profile["indicator_id"]))
    told = values.loc[values["indicator_id"].isin(used), "dataset_ids"].unique()
    sources = [catalog.sources[d] for d in sorted({d for text in told for d in text.split(",")})]
    periods = sorted(set(profile["period"].str[-4:]))
    shorts = french.listing([french.amid(catalog.indicators[i].short) for i in used])
    return MapSpec(
        title=TYPES_TITLE[level],
        subtitle=f"Classes de France d’après : {shorts}",
        unit=f"Classes de {PLURAL[level]} en France",
        decimals=0,
        theme="population",
        direction="neutral",
        classification="fixed",
        breaks=(),
        source=told_once(s.producer for s in sources),
        vintage=f"de {periods[0]} à {periods[-1]}" if len(periods) > 1 else periods[0],
        geography=GEOGRAPHY[level],
        licence=told_once(s.licence for s in sources),
        produced_on=produced_on,
        reserve=TYPES_RESERVE,
        # The other word for them would leave no room for the names of the classes.
        zone_noun=PLURAL["commune"] if level == "commune" else "EPCI",
    )


# --- smoothed rates --------------------------------------------------------------------------------------------------


def smoothed_sheets(
    land: Land,
    catalog: Catalog,
    values: pd.DataFrame,
    smoothed: Mapping[str, pd.Series],
    *,
    reference: pd.DataFrame,
    produced_on: datetime.date,
) -> Iterator[Sheet]:
    """The smoothed map of each indicator that needs one, in the classes of its ordinary map.

    `smoothed`: indicator -> smoothed value by commune; `reference`: as for `atlas`.
    """
    national = dict(tuple(reference.groupby("indicator_id")))
    for indicator_id, series in smoothed.items():
        indicator: Indicator = catalog.indicators[indicator_id]
        rows = _rows(values, indicator_id)
        spec = spec_of(
            land, catalog, indicator, rows,
            level="commune", national=national.get(indicator_id), produced_on=produced_on,
        )  # fmt: skip
        reserve = " ".join(part for part in (indicator.reserve, SMOOTHED_RESERVE) if part)
        spec = dataclasses.replace(
            spec,
            title=f"{indicator.label} (lissé)",
            subtitle=f"Lissé (bayésien empirique) · {spec.subtitle}",
            reserve=reserve,
        )
        known = rows[rows["zone_type"] == "commune"].set_index("zone_code")["reliability"]
        status = land.shown["code"].map(known).map(status_of)
        drawn = land.shown.assign(value=land.shown["code"].map(series), status=status)
        drawn["status"] = drawn["status"].where(drawn["value"].notna() | (drawn["status"] == "masked"), "missing")
        # Once smoothed, a small count is no more fragile than another: that is what smoothing is for.
        drawn["status"] = drawn["status"].replace("unstable", "ok")
        figure = choropleth(spec, drawn, land.context.with_marks(*marks_of(land, rows)))
        yield Sheet(f"lisse-{indicator_id}", figure, alternative_text(spec, drawn))
