"""The maps of one CLS: which zones, around what, with which words. One sheet per indicator that can be drawn.

A ratio is coloured by commune where communes are known, by EPCI otherwise; a count is drawn as circles. A CLS that is
one commune is shown amid the communes of its EPCI: no open source gives the outlines of its IRIS.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from matplotlib.figure import Figure

from diagnostics import french
from diagnostics.cartography.classes import class_breaks
from diagnostics.cartography.maps import alternative_text, choropleth, proportional_symbols
from diagnostics.cartography.model import MapContext, MapSpec, Mark
from diagnostics.cartography.page import MARK_LIMIT
from diagnostics.catalog import Catalog, Indicator, Territory
from diagnostics.errors import GeographyError
from diagnostics.geography.boundaries import outlines

AROUND = 40_000
"""How far around the perimeter communes are kept as neighbours, in metres."""

TOUCHING = 500
"""EPCI this near, in metres, count as neighbours: outlines are generalised.
"""

TINY = 200
"""Communes under this population; where most are so small, circles of inhabitants are laid over the map."""

LEVELS = ("epci", "departement", "region")
STATUS = {"unstable": "unstable", "masked": "masked"}
NEIGHBOURING_EPCI = "intercommunalités"


@dataclass(frozen=True)
class Sheet:
    """One map, ready to be saved, and what it shows in words."""

    indicator_id: str
    figure: Figure
    alt: str


@dataclass(frozen=True, eq=False)
class Land:
    """The ground of every map of a CLS: its communes and those around, in one projection in metres.

    `communes`: GeoDataFrame(code, name, population, epci, departement, region, inside, geometry).
    """

    territory: Territory
    communes: gpd.GeoDataFrame
    zone_names: dict[tuple[str, str], str]

    @classmethod
    def of(
        cls,
        territory: Territory,
        boundaries: dict[int, gpd.GeoDataFrame],
        membership: pd.DataFrame,
        zones: pd.DataFrame,
        populations: pd.Series,
    ) -> Land:
        """`boundaries`: EPSG -> communes (code, name, geometry); `populations`: inhabitants by commune code."""
        members = set(membership.loc[
            (membership["parent_type"] == "cls") & (membership["parent_code"] == territory.id), "child_code"
        ])  # fmt: skip
        frame = next((f for f in boundaries.values() if members & set(f["code"])), None)
        if frame is None:
            raise GeographyError(f"Territoire « {territory.id} » : aucune de ses communes n'a de contour connu.")
        core = frame[frame["code"].isin(members)]
        window = core.total_bounds + np.array([-AROUND, -AROUND, AROUND, AROUND])
        near = frame.cx[window[0] : window[2], window[1] : window[3]]
        near = near[~near.geometry.is_empty & near.geometry.notna()].copy()
        near["population"] = near["code"].map(populations).fillna(0.0)
        near["inside"] = near["code"].isin(members)
        for level in LEVELS:
            links = membership[(membership["child_type"] == "commune") & (membership["parent_type"] == level)]
            near[level] = near["code"].map(links.drop_duplicates("child_code").set_index("child_code")["parent_code"])
        keys = zip(zones["zone_type"], zones["zone_code"], strict=True)
        return cls(territory, near.reset_index(drop=True), dict(zip(keys, zones["zone_name"], strict=True)))

    @property
    def is_one_commune(self) -> bool:
        return self.territory.kind == "commune"

    @cached_property
    def shown(self) -> gpd.GeoDataFrame:
        """The communes that are coloured: those of the CLS, or those of the EPCI around a single commune."""
        if not self.is_one_commune:
            return self.communes[self.communes["inside"]]
        own = self.communes.loc[self.communes["inside"], "epci"]
        return self.communes[self.communes["epci"].isin(own)]

    @cached_property
    def epci(self) -> gpd.GeoDataFrame:
        """Outlines of the EPCI of the shown communes: GeoDataFrame(code, name, geometry, inside)."""
        return self._dissolved(self.shown, "epci")

    @cached_property
    def epci_around(self) -> gpd.GeoDataFrame:
        """Outlines of the EPCI of the CLS (`inside`) and of those that touch it, drawn where communes are unknown."""
        near = self.communes.geometry.intersects(self.context.perimeter.buffer(TOUCHING))
        return self._dissolved(self.communes[self.communes["epci"].isin(self.communes.loc[near, "epci"])], "epci")

    @cached_property
    def epci_seen(self) -> gpd.GeoDataFrame:
        """Outlines of every EPCI that a map of this CLS may show, cut where its neighbours are."""
        return self._dissolved(self.communes, "epci")

    def _dissolved(self, communes: gpd.GeoDataFrame, level: str) -> gpd.GeoDataFrame:
        frame = _joined(communes, level)
        frame["name"] = [french.short_epci_name(self.zone_names.get((level, code), code)) for code in frame["code"]]
        frame["population"] = frame["code"].map(communes.groupby(level)["population"].sum())
        frame["inside"] = frame["code"].isin(communes.loc[communes["inside"], level])
        return frame

    @cached_property
    def context(self) -> MapContext:
        inside = self.communes[self.communes["inside"]]
        towns = self.shown.sort_values("population", ascending=False)[["name", "population", "geometry"]].copy()
        towns["geometry"] = towns.geometry.representative_point()
        neighbours = self.communes[["code", "name", "population", "geometry"]]
        return MapContext(
            perimeter=_joined(inside.assign(cls=self.territory.id), "cls").geometry.iloc[0],
            epci=self.epci,
            departements=self._dissolved(self.communes, "departement"),
            neighbours=neighbours,
            towns=towns,
        )

    @cached_property
    def context_amid(self) -> MapContext:
        """The same, seen as far as the communes that are coloured."""
        return self.context.framed(shapely.box(*self.shown.total_bounds))

    def around(self, level: str) -> list[str]:
        """The zones of a level that hold communes of the CLS."""
        return sorted(self.communes.loc[self.communes["inside"], level].dropna().unique())

    @property
    def zones_of_interest(self) -> list[tuple[str, str]]:
        """(zone_type, zone_code) of all that a map of this CLS can show or mark."""
        zones = [("cls", self.territory.id), ("france", "FR")]
        zones += [("commune", code) for code in self.shown["code"]]
        zones += [("epci", code) for code in self.epci_around["code"]]
        return zones + [(level, code) for level in ("departement", "region") for code in self.around(level)]

    @property
    def mostly_tiny(self) -> bool:
        return bool((self.shown["population"] < TINY).mean() > 0.5)


def _joined(communes: gpd.GeoDataFrame, level: str) -> gpd.GeoDataFrame:
    """The outlines of the zones named by the column `level`: GeoDataFrame(code, geometry, …)."""
    known = communes.dropna(subset=[level])
    links = pd.DataFrame(
        {"child_type": "commune", "child_code": known["code"], "parent_type": level, "parent_code": known[level]}
    )
    epsg = known.crs.to_epsg()
    return outlines({epsg: known}, links, level)[epsg]


def atlas(
    land: Land,
    catalog: Catalog,
    values: pd.DataFrame,
    *,
    reference: pd.DataFrame,
    produced_on: datetime.date,
) -> Iterator[Sheet]:
    """One sheet for each indicator of the CLS's axes that has something to draw.

    `values`: rows of the public table for the zones around; `reference`: every commune of France
    (`indicator_id, value, population`) for the indicators that `is_classed_on_france`.
    """
    latest = latest_of(values)
    by_indicator = dict(tuple(latest.groupby("indicator_id")))
    national = dict(tuple(reference.groupby("indicator_id")))
    for indicator_id in land.territory.indicator_ids():
        indicator, rows = catalog.indicators[indicator_id], by_indicator.get(indicator_id)
        if indicator.map == "none" or rows is None:
            continue
        level, zones = zones_drawn(land, rows)
        if not zones["status"].isin(["ok", "unstable"]).any():
            continue
        spec = spec_of(
            land, catalog, indicator, rows,
            level=level, national=national.get(indicator_id), produced_on=produced_on,
        )  # fmt: skip
        context = land.context.with_marks(*marks_of(land, rows))
        if indicator.map == "symbols":
            figure = proportional_symbols(spec, zones, context)
        else:
            figure = choropleth(spec, zones, context, population_dots=land.mostly_tiny and level == "commune")
        yield Sheet(indicator_id, figure, alternative_text(spec, zones))


def latest_of(values: pd.DataFrame) -> pd.DataFrame:
    """The rows of the latest period of each indicator and zone."""
    return values.sort_values("period").drop_duplicates(["indicator_id", "zone_type", "zone_code"], keep="last")


def zones_drawn(land: Land, rows: pd.DataFrame) -> tuple[str, gpd.GeoDataFrame]:
    """The zones to draw with their values: communes when any is known, else EPCI (with those around, to compare)."""
    for level, ground in (("commune", land.shown), ("epci", land.epci_around)):
        known = rows[rows["zone_type"] == level].set_index("zone_code")
        zones = ground.assign(
            value=ground["code"].map(known["value"]), status=ground["code"].map(known["reliability"]).map(status_of)
        )
        zones["status"] = zones["status"].fillna("missing").where(
            zones["value"].notna() | (zones["status"] == "masked"), "missing"
        )  # fmt: skip
        if zones.loc[zones["inside"], "status"].isin(["ok", "unstable"]).any() or level == "epci":
            return level, zones
    raise AssertionError("unreachable: the last level returns")


def status_of(reliability: str) -> str:
    return STATUS.get(reliability, "ok")


def is_classed_on_france(indicator: Indicator) -> bool:
    """Whether the bounds of its classes are computed from every commune of France: its card gives none."""
    return indicator.map == "choropleth" and not indicator.classification.breaks


def bounds_over_france(indicator: Indicator, rows: pd.DataFrame, national: pd.DataFrame) -> tuple[float, ...]:
    """The bounds of its classes, the same for every territory. Its rows of the frames of `atlas`."""
    return class_breaks(
        national["value"], national["population"], method=indicator.classification.method,
        count=indicator.classification.classes, decimals=indicator.decimals, benchmark=_of_france(rows),
    )  # fmt: skip


def _of_france(rows: pd.DataFrame) -> float | None:
    found = rows.loc[rows["zone_type"] == "france", "value"]
    return float(found.iloc[0]) if len(found) and pd.notna(found.iloc[0]) else None


def spec_of(
    land: Land,
    catalog: Catalog,
    indicator: Indicator,
    rows: pd.DataFrame,
    *,
    level: str,
    national: pd.DataFrame | None,
    produced_on: datetime.date,
) -> MapSpec:
    drawn = rows[rows["zone_type"] == level]
    first = drawn.iloc[0]
    datasets = first["dataset_ids"].split(",")
    sources = [catalog.sources[d] for d in datasets]
    breaks = tuple(indicator.classification.breaks or ()) or None
    if level == "commune" and national is not None and is_classed_on_france(indicator):
        breaks = bounds_over_france(indicator, rows, national)
    snapshot = (drawn["reliability"] == "snapshot").any()
    notes = [indicator.reserve]
    if snapshot:
        notes.append("Repères calculés antérieurement par le projet (voir le rapport).")
    return MapSpec(
        title=indicator.label,
        subtitle=_subtitle(land, indicator, rows, first["period"]),
        unit=indicator.unit,
        decimals=indicator.decimals,
        theme=catalog.theme_of[indicator.id].palette,
        direction=indicator.direction,
        classification=indicator.classification.method,
        breaks=breaks,
        source=french.listing(_each_once(re.sub(r"^Sources?\s*:\s*", "", s.citation) for s in sources)),
        vintage=french.listing(_each_once(re.findall(r"(?<=[@,])([^#;,]+)(?=[#,])", first["source_version"]))),
        geography="communes au 1er janvier 2025" if level == "commune" else NEIGHBOURING_EPCI,
        licence=told_once(s.licence for s in sources),
        produced_on=produced_on,
        reserve=" ".join(n for n in notes if n) or None,
        class_count=indicator.classification.classes,
        benchmark=_of_france(rows),
        zone_noun="communes" if level == "commune" else NEIGHBOURING_EPCI,
    )


def told_once(credits: Iterable[str]) -> str:
    """What several datasets owe, each part said once: « a » and « a pour les données d’origine ; b » are « a ; b ».

    A list of producers is one part each; a phrase (« mis en forme par… ») is not cut.
    """
    parts = [part for text in credits for part in re.split(r"\s?;\s", text)]
    parts = [name for part in parts for name in (part.split(", ") if re.fullmatch(LIST_OF_NAMES, part) else [part])]
    shorter = [next((other for other in parts if part.startswith(f"{other} pour ")), part) for part in parts]
    return f"{french.NARROW}; ".join(_each_once(shorter))


LIST_OF_NAMES = r"[A-Z]\S*(, [A-Z]\S*)+"


def _each_once(words: Iterable[str]) -> list[str]:
    """Two files of one producer are credited once."""
    return list(dict.fromkeys(words))


def _subtitle(land: Land, indicator: Indicator, rows: pd.DataFrame, period: str) -> str:
    own = rows.loc[(rows["zone_type"] == "cls") & (rows["zone_code"] == land.territory.id), "value"]
    france = rows.loc[rows["zone_type"] == "france", "value"]
    # A sign stands with each number; a unit in words stands once, before them.
    sign = indicator.unit if indicator.unit in french.SIGNS else ""
    parts = [] if sign else [indicator.unit[:1].upper() + indicator.unit[1:]]
    for name, series in ((land.territory.name, own), ("France", france)):
        if len(series) and pd.notna(series.iloc[0]):
            parts.append(f"{name}{french.NO_BREAK}: {french.quantity(series.iloc[0], sign, indicator.decimals)}")
    return f"{' · '.join([*parts, period.replace('-', '–')])}"


def marks_of(land: Land, rows: pd.DataFrame) -> list[Mark]:
    """The CLS, its EPCI, then its benchmarks, each on the axis of the values."""
    territory = land.territory
    found = {(r.zone_type, r.zone_code): r.value for r in rows.itertuples() if pd.notna(r.value)}
    epci = list(land.epci.loc[land.epci["inside"], "code"])
    benchmarks = [(level, code, "benchmark") for level in ("departement", "region") for code in land.around(level)[:2]]
    benchmarks.append(("france", "FR", "benchmark"))
    wanted = [("cls", territory.id, "territory")]
    if not (territory.kind == "epci" and ("cls", territory.id) in found):
        role = "benchmark" if land.is_one_commune else "member"
        wanted += [("epci", code, role) for code in epci[: MARK_LIMIT - 1 - len(benchmarks)]]
    wanted += benchmarks
    marks = {}
    for level, code, role in wanted:
        if (level, code) in found:
            # Overseas, the région is the département again: its name says so, once is enough.
            label = french.short_epci_name(land.zone_names.get((level, code), code))
            marks.setdefault(label, Mark(label, found[level, code], role))
    return list(marks.values())
