"""The kinds of maps, by plain names: choropleth, proportional symbols, typology, locator."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from matplotlib.figure import Figure
from matplotlib.path import Path
from numpy.typing import NDArray

from diagnostics import french
from diagnostics.cartography import fonts, palettes
from diagnostics.cartography import page as sheet
from diagnostics.cartography.classes import class_breaks, class_indices, class_labels
from diagnostics.cartography.layers import Basemap, Stage, basemap, names_beside_circles, polygon_paths, symbol_centres
from diagnostics.cartography.model import MapContext, MapSpec, checked, shown_values
from diagnostics.cartography.page import LegendEntry, Page
from diagnostics.cartography.placement import Box
from diagnostics.errors import DiagnosticError

LARGEST_SYMBOL = 30.0  # radius in points
UNIT_SYMBOL = 10.0  # a circle that stands for one (a health centre) is no larger
INKED = 0.18  # share of the zones' area that circles may cover
LARGEST_DOT = 10.0
DOT_COLOUR = "#1f1f1fa6"
LEADERS = 5
SMALLEST_SYMBOL = 0.9

CLUSTERS = {
    "high_high": "haut-haut : valeurs élevées groupées",
    "low_low": "bas-bas : valeurs faibles groupées",
    "high_low": "haut-bas : élevée parmi des faibles",
    "low_high": "bas-haut : faible parmi des élevées",
    "not_significant": "non significatif",
}
"""Kinds of concentrations, in the order of the legend, and how it says them."""


# --- kinds -----------------------------------------------------------------------------------------------------------


def choropleth(spec: MapSpec, zones: gpd.GeoDataFrame, context: MapContext, *, population_dots: bool = False) -> Figure:
    """Zones coloured by class: for ratios, never for counts.

    `zones`: GeoDataFrame(code, name, value, status, population, inside, geometry), `value` in `spec.unit`, `status` in
    ok | unstable | masked | missing, `inside` for the zones of the CLS; zones outside it are coloured where they have
    a value (the surroundings of a single commune). `population_dots` adds a circle for the inhabitants of each zone, so
    that wide and empty communes do not carry the map. Raises GeographyError or DiagnosticError on a faulty input.
    """
    breaks = breaks_of(spec, checked(zones, context))
    colours = class_colours(spec, breaks)
    page, column, base, zones, shapes = _set(spec, zones, context)
    values = shown_values(zones)
    states = _states(zones, values)
    sheet.draw_ground(page, base)
    _fill(page, polygon_paths(shapes), class_indices(values, breaks), states, colours)
    sheet.draw_lines(page, base)
    if population_dots:
        circles = _circles(shapes, zones["population"].to_numpy(dtype=float), LARGEST_DOT)
        page.paths(circles.paths, gid="population-dots", fill=DOT_COLOUR, edge="#ffffff", line=0.6, zorder=8)
        sheet.draw_names(page, base, names_beside_circles(base, circles.named(zones["name"])))
    else:
        sheet.draw_names(page, base)
    top = sheet.draw_legend(
        page,
        column,
        column.top,
        heading=spec.unit,
        noun=spec.zone_noun,
        entries=_class_entries(spec, values, breaks, colours, states),
    )
    if population_dots:
        top = _population_legend(page, column, top - 4, circles.largest)
    _distribution(page, column, top - 12, spec, context, values=values, breaks=breaks, colours=colours)
    return page.figure


def proportional_symbols(spec: MapSpec, zones: gpd.GeoDataFrame, context: MapContext) -> Figure:
    """A circle for each zone, its area in proportion to a count (`value`, at least 0). Same frames as `choropleth`."""
    page, column, base, zones, shapes = _set(spec, zones, context)
    values = shown_values(zones)
    if np.nanmin(np.append(values, 0.0)) < 0:
        raise DiagnosticError(f"carte « {spec.title} » : un effectif négatif ne se dessine pas en cercle")
    states = _states(zones, values)
    sheet.draw_ground(page, base)
    paths = polygon_paths(shapes)
    _fill(page, paths, np.zeros(len(values), dtype=int), states, ["#e6e6e2"], unstable=False)
    sheet.draw_lines(page, base)
    colour = palettes.sequential(spec.theme, spec.direction, 5)[3]
    circles = _circles(shapes, values, _symbol_radius(shapes, values))
    page.paths(circles.paths, gid="symbols", fill=colour, edge="#ffffff", line=0.6, zorder=8)
    sheet.draw_names(page, base, names_beside_circles(base, circles.named(zones["name"])))
    top = column.top
    if circles.largest > 0:
        top = _symbol_legend(page, column, top, spec=spec, circles=circles, colour=colour)
    entries = [
        LegendEntry("class", "zéro (sans cercle)", int(np.sum(values == 0)), "#e6e6e2"),
        *_special_entries(states, colour),
    ]
    entries = [entry for entry in entries if entry.count]
    if entries:
        top = sheet.draw_legend(page, column, top - 2, heading="", noun=spec.zone_noun, entries=entries)
    _leaders(page, column, top - 14, spec, zones.assign(value=values))
    return page.figure


def typology(
    spec: MapSpec,
    zones: gpd.GeoDataFrame,
    context: MapContext,
    categories: Sequence[str],
    *,
    notes: Sequence[str] = (),
) -> Figure:
    """Zones coloured by kind: `value` is one of `categories` (six at most, in the order of the legend).

    `notes`: paragraphs under the legend.
    """
    page, column, base, zones, shapes = _set(spec, zones, context)
    states = np.where(zones["value"].isna() & zones["status"].isin(["ok", "unstable"]), "missing", zones["status"])
    known = np.isin(states, ["ok", "unstable"])
    strangers = sorted(set(zones.loc[known, "value"]) - set(categories))
    if strangers:
        raise DiagnosticError(f"carte « {spec.title} » : classe(s) sans légende : {', '.join(map(str, strangers))}")
    colours = palettes.qualitative(len(categories))
    index = np.array([list(categories).index(v) if k else -1 for v, k in zip(zones["value"], known, strict=True)])
    sheet.draw_ground(page, base)
    _fill(page, polygon_paths(shapes), index, states, colours)
    sheet.draw_lines(page, base)
    sheet.draw_names(page, base)
    entries = [
        LegendEntry("class", category, int(np.sum(index == i)), colours[i]) for i, category in enumerate(categories)
    ]
    top = sheet.draw_legend(
        page,
        column,
        column.top,
        heading=spec.unit,
        noun=spec.zone_noun,
        entries=[*entries, *_special_entries(states, colours[0], {"missing": "non classée"})],
    )
    sheet.draw_notes(page, column, top - 10, notes)
    return page.figure


def concentrations(
    spec: MapSpec, zones: gpd.GeoDataFrame, context: MapContext, *, heading: str, notes: Sequence[str] = ()
) -> Figure:
    """Where like values stand together (LISA): `value` is one of `CLUSTERS`; legend and counts are those of the CLS.

    `zones` brings two more columns, `standard` and `lag` (a zone's value and the mean of its neighbours, in standard
    deviations), drawn one against the other under the legend with the zones of the CLS ringed. `heading` stands over
    that drawing (Moran's I), `notes` are the paragraphs under it.
    """
    page, column, base, zones, shapes = _set(spec, zones, context)
    known = zones["value"].isin(CLUSTERS) & (zones["status"] == "ok")
    states = np.where(known, "ok", np.where(zones["status"] == "masked", "masked", "missing"))
    palette = palettes.clusters(spec.direction)
    index = np.array([list(CLUSTERS).index(v) if k else -1 for v, k in zip(zones["value"], known, strict=True)])
    colours = [palette[kind] for kind in CLUSTERS]
    sheet.draw_ground(page, base)
    _fill(page, polygon_paths(shapes), index, states, colours)
    sheet.draw_lines(page, base)
    sheet.draw_names(page, base)
    own = zones["inside"].to_numpy(dtype=bool)
    entries = [
        LegendEntry("class", label, int(np.sum(own & (index == i))), colours[i])
        for i, label in enumerate(CLUSTERS.values())
    ]
    top = sheet.draw_legend(
        page,
        column,
        column.top,
        heading=spec.unit,
        noun="du territoire",
        entries=[*entries, *_special_entries(states, colours[0], own=own)],
    )
    drawn = zones[known].assign(colour=[colours[i] for i in index[known]])
    top = sheet.draw_scatter(page, column, top - 14, drawn, heading=heading)
    sheet.draw_notes(page, column, top - 8, notes)
    return page.figure


def locator(context: MapContext, stage: Stage = "alone", *, width: float = 425.0, height: float = 425.0) -> Figure:
    """The outline of the CLS among its neighbours, for a cover: no title, no legend. Size in points."""
    page = Page(width, height)
    base = basemap(context, Box(6, 6, width - 6, height - 6), stage)
    sheet.draw_ground(page, base)
    tint = palettes.sequential("population", "neutral", 6)[1]
    page.paths(polygon_paths(np.array([base.perimeter])), gid="territory", fill=tint, zorder=2)
    sheet.draw_lines(page, base)
    sheet.draw_names(page, base)
    return page.figure


# --- words and classes -----------------------------------------------------------------------------------------------


def breaks_of(spec: MapSpec, zones: gpd.GeoDataFrame) -> tuple[float, ...]:
    """The bounds of the map: those of the spec, or computed from the values that may be shown."""
    if spec.breaks is not None:
        if list(spec.breaks) != sorted(set(spec.breaks)):
            raise DiagnosticError(
                f"carte « {spec.title} » : bornes {spec.breaks} ; les donner croissantes, sans doublon"
            )
        return tuple(spec.breaks)
    return class_breaks(
        shown_values(zones),
        zones["population"],
        method=spec.classification,
        count=spec.class_count,
        decimals=spec.decimals,
        benchmark=spec.benchmark,
    )


def class_colours(spec: MapSpec, breaks: Sequence[float]) -> tuple[str, ...]:
    """One colour a class, lowest first."""
    if spec.classification != "diverging":
        return palettes.sequential(spec.theme, spec.direction, len(breaks) + 1)
    if spec.benchmark is None:
        raise DiagnosticError(f"carte « {spec.title} » : classes « diverging » sans valeur de référence (`benchmark`)")
    below = int(np.searchsorted(np.asarray(breaks), spec.benchmark, side="left"))
    # A benchmark that is itself a bound leaves no class in the middle.
    middle = spec.benchmark not in breaks
    above = len(breaks) + 1 - below - 1 if middle else len(breaks) - below
    below += 0 if middle else 1
    return palettes.diverging(spec.direction, below, above, middle=middle)


def alternative_text(spec: MapSpec, zones: gpd.GeoDataFrame) -> str:
    """What the map shows, in words, for a reader who cannot see it."""
    values = shown_values(zones)
    inside = zones["inside"].to_numpy(dtype=bool)
    known = np.isfinite(values) & inside
    parts = [f"Carte : {spec.title}. {spec.subtitle}."]
    if not known.any():
        return f"{parts[0]} Aucune valeur publiable parmi {int(inside.sum())} {spec.zone_noun}."
    names, shown = zones["name"].to_numpy()[known], values[known]
    low, high = int(shown.argmin()), int(shown.argmax())

    def say(i: int) -> str:
        return f"{french.number(float(shown[i]), spec.decimals)} ({names[i]})"

    span = f"de {say(low)} à {say(high)}" if shown[low] != shown[high] else say(low)
    parts.append(f"Valeurs connues : {int(known.sum())} {spec.zone_noun} sur {int(inside.sum())}, {span}.")
    parts.append(f"Unité : {spec.unit}.")
    return " ".join(parts)


# --- drawing ---------------------------------------------------------------------------------------------------------


def _set(
    spec: MapSpec, zones: gpd.GeoDataFrame, context: MapContext
) -> tuple[Page, Box, Basemap, gpd.GeoDataFrame, NDArray]:
    """The page, its column, the base map, the zones that fall inside the frame and their shapes on the page."""
    zones = checked(zones, context)
    page, map_box, column = sheet.open_page(spec)
    base = basemap(context, map_box, _stage(zones["inside"].to_numpy(dtype=bool)))
    shapes = base.view.project(zones.geometry.to_numpy())
    visible = shapely.area(shapes) > 0
    return page, column, base, zones[visible].reset_index(drop=True), shapes[visible]


def _stage(inside: NDArray[np.bool_]) -> Stage:
    if inside.all():
        return "alone"
    return "amid" if inside.sum() > 1 else "around one"


def _states(zones: gpd.GeoDataFrame, values: NDArray[np.float64]) -> NDArray:
    """Status of each zone, `missing` where an ok or unstable one brings no value."""
    status = zones["status"].to_numpy(dtype=str)
    return np.where(np.isin(status, ["ok", "unstable"]) & ~np.isfinite(values), "missing", status)


def _fill(
    page: Page,
    paths: Sequence,
    index: NDArray,
    states: NDArray,
    colours: Sequence[str],
    *,
    unstable: bool = True,
) -> None:
    """Zones under their hairlines; the ones hatched for secrecy apart: a hatch belongs to a whole collection."""
    masked = states == "masked"
    faded = [palettes.desaturated(c) for c in colours] if unstable else list(colours)

    def colour(i: int) -> str:
        if states[i] == "missing":
            return palettes.MISSING
        return (faded if states[i] == "unstable" else colours)[index[i]]

    hairline = {"edge": sheet.LINE_COLOURS["zone"], "line": sheet.LINE_WIDTHS["zone"]}
    plain, hidden = np.flatnonzero(~masked), [paths[i] for i in np.flatnonzero(masked)]
    page.paths([paths[i] for i in plain], gid="zones", fill=[colour(i) for i in plain], zorder=2, **hairline)
    page.hatched(hidden, gid="zones-masked", zorder=2)
    page.paths(hidden, gid="zones-masked-lines", zorder=3, **hairline)


def _class_entries(
    spec: MapSpec,
    values: NDArray[np.float64],
    breaks: Sequence[float],
    colours: Sequence[str],
    states: NDArray,
) -> list[LegendEntry]:
    """Highest class first, empty ones kept: the scale is the same on every map of the indicator."""
    specials = _special_entries(states, colours[len(colours) // 2])
    labels = spec.labels or class_labels(breaks, values, spec.decimals)
    if not labels:
        return specials
    if len(labels) != len(colours):
        raise DiagnosticError(f"carte « {spec.title} » : {len(labels)} libellés pour {len(colours)} classes")
    index = class_indices(values, breaks)
    entries = [LegendEntry("class", label, int(np.sum(index == i)), colours[i]) for i, label in enumerate(labels)]
    return [*reversed(entries), *specials]


def _special_entries(
    states: NDArray, colour: str, words: Mapping[str, str] | None = None, *, own: NDArray | None = None
) -> list[LegendEntry]:
    """The statuses found on the map; `words` say some of them otherwise, `own` are the zones that are counted."""
    colours = {"unstable": colour, "masked": palettes.MASKED, "missing": palettes.MISSING}
    counts = states if own is None else states[own]
    return [
        LegendEntry(kind, label, int(np.sum(counts == kind)), colours[kind])
        for kind, label in (sheet.SPECIAL_LABELS | dict(words or {})).items()
        if np.any(states == kind)
    ]


def _distribution(
    page: Page,
    column: Box,
    top: float,
    spec: MapSpec,
    context: MapContext,
    *,
    values: NDArray[np.float64],
    breaks: Sequence[float],
    colours: Sequence[str],
) -> None:
    """Histogram and marks on one axis."""
    known = values[np.isfinite(values)]
    marked = np.array([mark.value if mark.is_known else np.nan for mark in context.marks], dtype=float)
    on_axis = [*known, *marked[np.isfinite(marked)]]
    if not len(known):
        top = page.lines(column.left, top, ["Aucune valeur publiable."], sheet.SMALL, gid="nothing") - 8
    if not on_axis:
        return
    axis = sheet.Axis.over(on_axis, column.left, column.right)
    if len(known):
        top = sheet.draw_histogram(page, axis, top, values=known, breaks=breaks, colours=colours, spec=spec) - 8
    if context.marks:
        fills = [colours[i] for i in class_indices(marked, breaks)]
        sheet.draw_marks(page, axis, top, column.bottom, marks=context.marks, fills=fills, decimals=spec.decimals)


@dataclass(frozen=True)
class _Circles:
    """Circles on the page, the largest first: rank of the zone, centre, radius. `radius` is that of `largest`."""

    largest: float
    radius: float
    places: tuple[tuple[int, float, float, float], ...]

    @property
    def paths(self) -> list[Path]:
        return [sheet.circle(x, y, radius) for _, x, y, radius in self.places]

    def named(self, names: pd.Series) -> list[tuple[str, float, float, float]]:
        return [(names.iloc[i], x, y, radius) for i, x, y, radius in self.places]


def _symbol_radius(shapes: NDArray, values: NDArray[np.float64]) -> float:
    """Radius of the largest circle, such that all of them together cover a fair share of the zones and no more."""
    largest = np.nanmax(np.append(values, 0.0))
    if largest <= 0:
        return LARGEST_SYMBOL
    fair = np.sqrt(INKED * shapely.area(shapes).sum() / (np.pi * np.nansum(values) / largest))
    return float(np.clip(fair, LARGEST_SYMBOL / 3, min(LARGEST_SYMBOL, UNIT_SYMBOL * np.sqrt(max(largest, 1.0)))))


def _circles(shapes: NDArray, values: NDArray[np.float64], radius: float) -> _Circles:
    """Circles of area in proportion to the values, `radius` for the largest; none for zero or the unknown."""
    largest = float(np.nanmax(np.append(values, 0.0)))
    drawn = [i for i in np.argsort(-np.nan_to_num(values), kind="stable") if values[i] > 0]
    if not drawn:
        return _Circles(largest, radius, ())
    radii = np.maximum(SMALLEST_SYMBOL, radius * np.sqrt(values[drawn] / largest))
    centres = symbol_centres(shapes[drawn])
    return _Circles(
        largest,
        radius,
        tuple((i, float(x), float(y), float(r)) for i, (x, y), r in zip(drawn, centres, radii, strict=True)),
    )


def _population_legend(page: Page, column: Box, top: float, largest: float) -> float:
    """Three circles of inhabitants on one line; returns its bottom."""
    if largest <= 0:
        return top
    middle, x = top - LARGEST_DOT, column.left
    for i, value in enumerate(_round_steps(largest)):
        radius = max(SMALLEST_SYMBOL, LARGEST_DOT * float(np.sqrt(value / largest)))
        said = french.quantity(value, "hab.") if i == 0 else french.number(value)
        page.paths(
            [sheet.circle(x + radius, middle, radius)],
            gid=f"population-legend-{i}",
            fill=DOT_COLOUR,
            edge="#ffffff",
            line=0.6,
            zorder=10,
        )
        page.text(x + 2 * radius + 4, middle - 2.5, said, sheet.SMALL, gid=f"population-legend-text-{i}")
        x += 2 * radius + 4 + fonts.width(said, sheet.SMALL) + 10
    return top - 2 * LARGEST_DOT


def _symbol_legend(page: Page, column: Box, top: float, *, spec: MapSpec, circles: _Circles, colour: str) -> float:
    """Three nested circles of round values."""
    lines = fonts.wrap(spec.unit[:1].upper() + spec.unit[1:], sheet.HEADING, column.width)
    top = page.lines(column.left, top, lines, sheet.HEADING, gid="legend-heading") - 6
    rounds = [r for r in _round_steps(circles.largest) if r >= 10.0**-spec.decimals]
    radii = [circles.radius * float(np.sqrt(r / circles.largest)) for r in rounds]
    bottom = top - 2 * radii[0]
    x = column.left + radii[0]
    text_y = bottom + 2 * radii[0]
    for i, (value, radius) in enumerate(zip(rounds, radii, strict=True)):
        page.paths(
            [sheet.circle(x, bottom + radius, radius)], gid=f"legend-circle-{i}", fill=colour, edge="#ffffff", line=0.6
        )
        y = bottom + 2 * radius
        text_y = y if i == 0 else min(y, text_y - sheet.SMALL.leading)
        end = x + radii[0] + 12
        page.paths(
            [Path([(x, y), (end - 4, text_y), (end, text_y)])],
            gid=f"legend-leader-{i}",
            edge=sheet.GREY,
            line=0.4,
            zorder=10,
        )
        page.text(end + 4, text_y - 2.5, french.number(value, spec.decimals), sheet.SMALL, gid=f"legend-symbol-{i}")
    return min(bottom, text_y - 4) - 6


def _leaders(page: Page, column: Box, top: float, spec: MapSpec, zones: gpd.GeoDataFrame) -> None:
    """The zones of the CLS with the largest counts, by name: a circle is compared, not read."""
    own = zones[zones["inside"] & (zones["value"] > 0)]
    ranked = own.sort_values(["value", "name"], ascending=[False, True])
    # Never a choice among equals: what ties with the first one left out is left out too.
    bar = ranked["value"].iloc[LEADERS] if len(ranked) > LEADERS else 0.0
    first = ranked[ranked["value"] > bar]
    if first.empty:
        return
    top = page.lines(column.left, top, ["Les plus grands nombres"], sheet.SMALL, gid="leaders-title") - 3
    for i, (name, value) in enumerate(zip(first["name"], first["value"], strict=True)):
        said = french.number(value, spec.decimals)
        room = column.width - fonts.width(said, sheet.BODY) - 8
        baseline = top - sheet.BODY.size - i * 12.5
        page.text(column.left, baseline, sheet.shortened(name, sheet.BODY, room), sheet.BODY, gid=f"leader-{i}")
        page.text(column.right, baseline, said, sheet.BODY, gid=f"leader-value-{i}", align="right")


def _round_steps(largest: float) -> list[float]:
    """Three round values: near the largest, about a fifth and a twenty-fifth of it."""
    return list(dict.fromkeys(sheet.round_below(largest / share) for share in (1, 5, 25)))
