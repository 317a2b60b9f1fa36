"""From geometries in metres to what stands on the page: paths, lines and names, in points.

Everything is simplified to what a printed page can show and cut at the edge of the map, then kept on the context, so
that the maps of one CLS prepare their surroundings once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import geopandas as gpd
import numpy as np
import shapely
from matplotlib.path import Path
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from diagnostics import french
from diagnostics.cartography import fonts
from diagnostics.cartography.fonts import TextStyle
from diagnostics.cartography.model import MapContext
from diagnostics.cartography.placement import Box, Label, Placed, around_point, place_first

TOLERANCE = 0.12  # points: a third of a pixel at 200 dpi
DIGITS = 2  # decimals of a point kept on the page: they make the weight of the SVG
# Ground shown around the CLS, as a share of its larger side: little when it is coloured alone, more amid other zones.
Stage = Literal["alone", "amid", "around one"]
MARGINS: dict[Stage, float] = {"alone": 0.05, "amid": 0.3, "around one": 0.85}
SHORTEST_BORDER = 3.0  # points
SMALLEST_RING = 5.0  # square points
INSET = 4.0  # points between a name and the edge of the map
TOWN_DOT = 1.5  # radius, points
TOWN_LIMIT = 14
FIRST_TOWNS = 5  # named before the EPCI, which can move more easily
TOWN_SPACING = 30.0  # points between two named towns
LARGE_CIRCLE = 6.0
NEIGHBOUR_LIMIT = 12
NEIGHBOUR_SPACING = 70.0
NEIGHBOUR_SMALLEST = 700.0  # square points: smaller pieces at the edge stay unnamed

EPCI_STYLE = TextStyle("Semibold", 9.0, "#3a3a3a")
TOWN_STYLE = TextStyle("Regular", 7.5, "#1f1f1f")
OUTSIDE_TOWN_STYLE = TextStyle("Regular", 7.0, "#7a7a7a")
COLOURED_TOWN_STYLE = TextStyle("Regular", 7.0, "#3a3a3a")
NEIGHBOUR_STYLE = TextStyle("It", 7.0, "#8a8a8a")
COLOURED_NEIGHBOUR_STYLE = TextStyle("It", 7.0, "#3a3a3a")


Town = tuple[str, float, float, bool]  # name, x, y, inside the CLS


@dataclass(frozen=True)
class View:
    """A part of the ground fitted into a box of the page: `page = metres * scale + offset`."""

    frame: Box
    scale: float
    offset: tuple[float, float]

    @classmethod
    def fit(cls, bounds: Iterable[float], frame: Box, margin: float) -> View:
        left, bottom, right, top = bounds
        pad = margin * max(right - left, top - bottom)
        width, height = right - left + 2 * pad, top - bottom + 2 * pad
        scale = min(frame.width / width, frame.height / height)
        x, y = frame.centre
        return cls(frame, scale, (x - scale * (left + right) / 2, y - scale * (bottom + top) / 2))

    def project(self, geometries: NDArray) -> NDArray:
        """Geometries in metres to geometries in points, simplified and cut to what the page can show."""
        return self.cut(shapely.simplify(self._move(geometries), TOLERANCE))

    def _move(self, geometries: NDArray) -> NDArray:
        return shapely.transform(geometries, lambda xy: xy * self.scale + self.offset)

    def borders(self, polygons: NDArray, land: NDArray | None = None) -> NDArray:
        """Border lines inside the frame, each shared border once: a dashed line drawn twice would be a full one.

        With `land`, borders that run along its outer edge (a coast, a foreign country) are left out.
        """
        # Before any simplification, which could pull apart the two sides of a border.
        lines = shapely.union_all(shapely.boundary(self.cut(self._move(polygons))))
        edges = shapely.box(*self.frame).exterior
        if land is not None:
            edges = shapely.union(edges, shapely.union_all(self.cut(self._move(land))).boundary)
        merged = shapely.get_parts(shapely.line_merge(shapely.difference(lines, shapely.buffer(edges, 0.2))))
        return shapely.simplify(merged[~_crumbs(merged)], TOLERANCE)

    def cut(self, geometries: NDArray) -> NDArray:
        return shapely.clip_by_rect(geometries, *self.frame)


def _crumbs(lines: NDArray) -> NDArray[np.bool_]:
    """Bits too short to see, and closed slivers, left where two outlines do not quite agree."""
    areas = np.array([shapely.Polygon(line).area if line.is_closed else np.inf for line in lines])
    return (shapely.length(lines) < SHORTEST_BORDER) | (areas < SMALLEST_RING)


@dataclass(frozen=True)
class Basemap:
    """What every map of one CLS shares, for one view."""

    view: View
    perimeter: BaseGeometry
    neighbours: list[Path]
    departements: list[Path]
    epci: list[Path]
    outline: list[Path]
    scale_bar: Box
    labels: tuple[tuple[str, Placed], ...]
    dots: tuple[tuple[float, float, bool], ...]


def polygon_paths(geometries: NDArray) -> list[Path]:
    """One compound path for each (multi)polygon, holes included, in order; an empty geometry gives an empty path."""
    return [_compound(shapely.get_rings(shapely.get_parts(geometry)), close=True) for geometry in geometries]


def line_paths(geometries: NDArray) -> list[Path]:
    """One path for each line."""
    return [_compound([line], close=False) for line in shapely.get_parts(geometries) if not line.is_empty]


def _compound(lines: Iterable[BaseGeometry], *, close: bool) -> Path:
    vertices, codes = [], []
    for line in lines:
        points = np.round(shapely.get_coordinates(line), DIGITS)
        code = np.full(len(points), Path.LINETO, dtype=Path.code_type)
        code[0] = Path.MOVETO
        if close:
            code[-1] = Path.CLOSEPOLY
        vertices.append(points)
        codes.append(code)
    if not vertices:
        return Path(np.empty((0, 2)))
    return Path(np.concatenate(vertices), np.concatenate(codes))


def basemap(context: MapContext, frame: Box, stage: Stage) -> Basemap:
    """The shared layers of `context` fitted into `frame`, prepared once for each stage."""
    key = (frame, stage)
    if key not in context.prepared:
        context.prepared[key] = _prepare(context, frame, stage)
    return context.prepared[key]


def _prepare(context: MapContext, frame: Box, stage: Stage) -> Basemap:
    if context.frame is None:
        view = View.fit(context.perimeter.bounds, frame, MARGINS[stage])
    else:
        view = View.fit(context.frame.bounds, frame, MARGINS["alone"])
    perimeter = view.project(np.array([context.perimeter]))[0]
    around = _visible(context.neighbours, view)
    grey = around.geometry.to_numpy()
    grey = grey[~shapely.covered_by(grey, shapely.buffer(perimeter, 2 * TOLERANCE))]
    epci = _visible(context.epci, view)
    scale_bar = _quiet_corner(perimeter, frame)
    labels, dots = _names(
        context, view, perimeter, epci=epci, around=around, scale_bar=scale_bar, coloured=stage != "alone"
    )
    return Basemap(
        view=view,
        perimeter=perimeter,
        neighbours=polygon_paths(grey),
        departements=line_paths(
            view.borders(context.departements.geometry.to_numpy(), context.neighbours.geometry.to_numpy())
        ),
        epci=line_paths(view.borders(context.epci.geometry.to_numpy())),
        outline=line_paths(view.borders(np.array([context.perimeter]))),
        scale_bar=scale_bar,
        labels=labels,
        dots=dots,
    )


def _visible(frame: gpd.GeoDataFrame, view: View) -> gpd.GeoDataFrame:
    """The part of a layer that shows, in points."""
    pieces = view.project(frame.geometry.to_numpy())
    shown = frame.assign(geometry=gpd.GeoSeries(pieces, index=frame.index))
    return shown[~shapely.is_empty(pieces)]


def _quiet_corner(perimeter: BaseGeometry, frame: Box) -> Box:
    """Where scale bar and north arrow hide least of the CLS."""
    width, height = 0.26 * frame.width, 30.0
    corners = [
        Box(frame.left, frame.bottom, frame.left + width, frame.bottom + height),
        Box(frame.right - width, frame.bottom, frame.right, frame.bottom + height),
        Box(frame.left, frame.top - height, frame.left + width, frame.top),
        Box(frame.right - width, frame.top - height, frame.right, frame.top),
    ]
    return min(corners, key=lambda box: round(perimeter.intersection(shapely.box(*box)).area, 3))


# --- names -----------------------------------------------------------------------------------------------------------


class _Lettering:
    """Names put on one map, one after the other; each keeps clear of those before it."""

    def __init__(self, frame: Box, taken: Iterable[Box]) -> None:
        self.room = Box(frame.left + INSET, frame.bottom + INSET, frame.right - INSET, frame.top - INSET)
        self.taken = list(taken)
        self.labels: list[tuple[str, Placed]] = []
        self.dots: list[tuple[float, float, bool]] = []

    def put(self, kind: str, variants: Sequence[Label]) -> Placed | None:
        placed = place_first(variants, self.room, self.taken)
        if placed is not None:
            self.labels.append((kind, placed))
            self.taken.append(placed.box)
        return placed

    def towns(self, towns: Iterable[Town], outside: TextStyle) -> None:
        """A name beside its dot, for towns far enough from those already named."""
        for name, x, y, inside in towns:
            dot = Box.around(x, y, 2 * TOWN_DOT, 2 * TOWN_DOT)
            near = any(np.hypot(x - other[0], y - other[1]) < TOWN_SPACING for other in self.dots)
            if len(self.dots) >= TOWN_LIMIT or near or any(dot.touches(box) for box in self.taken):
                continue
            if self.put("town", [_beside(name, TOWN_STYLE if inside else outside, x, y, TOWN_DOT)]):
                self.taken.append(dot)
                self.dots.append((x, y, inside))

    def neighbours(self, pieces: Iterable[tuple[str, BaseGeometry]], perimeter: BaseGeometry, style: TextStyle) -> None:
        """Names spread over the surroundings, wholly outside the CLS."""
        spots: list[tuple[float, float]] = []
        for name, piece in pieces:
            variants = [
                _clear_of(label, perimeter, spots)
                for lines in _foldings(name, style)
                for label in [_within(lines, style, piece, must_fit=False)]
            ]
            placed = self.put("neighbour", variants)
            if placed is not None:
                spots.append(placed.box.centre)
            if len(spots) >= NEIGHBOUR_LIMIT:
                return


def _names(
    context: MapContext,
    view: View,
    perimeter: BaseGeometry,
    *,
    epci: gpd.GeoDataFrame,
    around: gpd.GeoDataFrame,
    scale_bar: Box,
    coloured: bool,
) -> tuple[tuple[tuple[str, Placed], ...], tuple[tuple[float, float, bool], ...]]:
    """Names by rank: the first towns, the EPCI, the other towns, the neighbours."""
    lettering = _Lettering(view.frame, [scale_bar])
    outside = COLOURED_TOWN_STYLE if coloured else OUTSIDE_TOWN_STYLE
    grey_names = set() if coloured else set(around["name"])
    towns = [town for town in _towns(context, view, perimeter) if town[3] or town[0] not in grey_names]
    lettering.towns(towns[:FIRST_TOWNS], outside)
    named = _named_epci(epci, perimeter)
    for name, piece in named:
        lettering.put("epci", _epci_variants(name, piece))
    lettering.towns(towns[FIRST_TOWNS:], outside)
    known = {name for name, _ in named} | {p.label.lines[0] for kind, p in lettering.labels if kind == "town"}
    around_names = ((name, piece) for name, piece in _neighbour_names(around, perimeter) if name not in known)
    lettering.neighbours(around_names, perimeter, COLOURED_NEIGHBOUR_STYLE if coloured else NEIGHBOUR_STYLE)
    return tuple(lettering.labels), tuple(lettering.dots)


def names_beside_circles(
    base: Basemap, circles: Iterable[tuple[str, float, float, float]]
) -> tuple[tuple[str, Placed], ...]:
    """The names of the base map without its towns, then those of the circles (name, x, y, radius), in their order."""
    kept = [(kind, placed) for kind, placed in base.labels if kind != "town"]
    circles = list(circles)
    # The core of a large circle is kept clear: a name there would be read as its own.
    cores = [Box.around(x, y, 1.5 * radius, 1.5 * radius) for _, x, y, radius in circles if radius >= LARGE_CIRCLE]
    lettering = _Lettering(base.view.frame, [base.scale_bar, *(placed.box for _, placed in kept), *cores])
    for name, x, y, radius in circles:
        if len(lettering.labels) < TOWN_LIMIT:
            lettering.put("zone", [_beside(name, TOWN_STYLE, x, y, radius)])
    return (*kept, *lettering.labels)


def _beside(name: str, style: TextStyle, x: float, y: float, radius: float) -> Label:
    bare = Label((name,), style, ())
    return replace(bare, centres=around_point(x, y, bare.size, radius + 0.6))


def _within(lines: tuple[str, ...], style: TextStyle, piece: BaseGeometry, *, must_fit: bool) -> Label:
    bare = Label(lines, style, ())
    return replace(bare, centres=_spots(piece, bare.size, must_fit=must_fit))


def _clear_of(label: Label, perimeter: BaseGeometry, spots: Sequence[tuple[float, float]]) -> Label:
    """The label's places that lie off the CLS and far from `spots`."""
    if not label.centres:
        return label
    centres, (width, height) = np.array(label.centres), label.size
    x, y = centres.T
    # Even a corner of the name over the CLS would read as the name of something inside it.
    boxes = shapely.box(x - width / 2, y - height / 2, x + width / 2, y + height / 2)
    kept = ~shapely.intersects(boxes, perimeter)
    for a, b in spots:
        kept &= np.hypot(x - a, y - b) >= NEIGHBOUR_SPACING
    return replace(label, centres=tuple(map(tuple, centres[kept].tolist())))


def _named_epci(epci: gpd.GeoDataFrame, perimeter: BaseGeometry) -> list[tuple[str, BaseGeometry]]:
    """Short name and room of each EPCI worth naming: the members of the CLS, or the one that a commune lies in.

    A CLS that is one EPCI needs no name on itself: the title says it.
    """
    shapes = epci.geometry.to_numpy()
    shared = shapely.area(shapely.intersection(shapes, perimeter))
    members = np.flatnonzero(shared > 1.0)
    names = [french.short_epci_name(name) for name in epci["name"]]
    if len(members) == 1:
        whole = shapes[members[0]]
        alone = perimeter.area > 0.9 * whole.area
        return [] if alone else [(names[members[0]], shapely.difference(whole, perimeter))]
    order = members[np.lexsort((epci["code"].to_numpy(dtype=str)[members], -shared[members]))]
    return [(names[i], shapely.intersection(shapes[i], perimeter)) for i in order]


def _towns(context: MapContext, view: View, perimeter: BaseGeometry) -> Iterator[Town]:
    """Towns inside the frame, those of the CLS first, then by population, then by name."""
    names = context.towns["name"].to_numpy(dtype=str)
    x, y = (shapely.get_coordinates(context.towns.geometry.to_numpy()) * view.scale + view.offset).T
    inside = shapely.contains_xy(perimeter, x, y)
    frame, room = view.frame, 3.0
    shown = (x > frame.left + room) & (x < frame.right - room) & (y > frame.bottom + room) & (y < frame.top - room)
    for i in np.lexsort((names, -context.towns["population"].to_numpy(dtype=float), ~inside)):
        if shown[i]:
            yield str(names[i]), float(x[i]), float(y[i]), bool(inside[i])


def _neighbour_names(around: gpd.GeoDataFrame, perimeter: BaseGeometry) -> Iterator[tuple[str, BaseGeometry]]:
    pieces = shapely.difference(around.geometry.to_numpy(), perimeter)
    areas = shapely.area(pieces)
    rank = around["population"].to_numpy(dtype=float) if "population" in around.columns else areas
    for i in np.lexsort((around["name"].to_numpy(dtype=str), -rank)):
        if areas[i] >= NEIGHBOUR_SMALLEST:
            yield french.short_epci_name(str(around["name"].iloc[i])), pieces[i]


def _foldings(text: str, style: TextStyle) -> list[tuple[str, ...]]:
    """The text on one, two and three lines, without repeats."""
    return list(dict.fromkeys(tuple(fonts.balanced(text, style, count)) for count in (1, 2, 3)))


def _epci_variants(name: str, piece: BaseGeometry) -> list[Label]:
    """Foldings that lie wholly inside the polygon first, then smaller ones, then any that has its centre there."""
    smaller = replace(EPCI_STYLE, size=7.5)
    # Two lines sit best in a polygon; then one, then three.
    folded = sorted(_foldings(name, EPCI_STYLE), key=lambda lines: (len(lines) != 2, len(lines)))
    return [
        _within(lines, style, piece, must_fit=must_fit)
        for must_fit in (True, False)
        for style in (EPCI_STYLE, smaller)
        for lines in folded
    ]


def _spots(piece: BaseGeometry, size: tuple[float, float], *, must_fit: bool) -> tuple[tuple[float, float], ...]:
    """Centres on a fine grid inside `piece`, nearest to its middle first; `must_fit` wants the whole box inside."""
    if piece.is_empty:
        return ()
    part = max(shapely.get_parts(piece), key=lambda p: p.area)
    left, bottom, right, top = part.bounds
    step = max(3.0, min(right - left, top - bottom) / 24)
    xs, ys = np.meshgrid(np.arange(left, right, step), np.arange(bottom, top, step))
    xs, ys = xs.ravel(), ys.ravel()
    shapely.prepare(part)
    kept = shapely.contains_xy(part, xs, ys)
    xs, ys = xs[kept], ys[kept]
    if must_fit:
        w, h = size
        kept = shapely.contains(part, shapely.box(xs - w / 2, ys - h / 2, xs + w / 2, ys + h / 2))
        xs, ys = xs[kept], ys[kept]
    middle = part.centroid
    order = np.argsort(np.hypot(xs - middle.x, ys - middle.y), kind="stable")
    return tuple(zip(xs[order].tolist(), ys[order].tolist(), strict=True))


def symbol_centres(polygons: NDArray) -> NDArray[np.float64]:
    """Where a symbol stands: the centroid when it is inside the zone, else a point that is."""
    centroids = shapely.centroid(polygons)
    points = np.where(shapely.contains(polygons, centroids), centroids, shapely.point_on_surface(polygons))
    return shapely.get_coordinates(points)
