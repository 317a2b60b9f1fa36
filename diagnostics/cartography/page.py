"""The A4 page of a map: title, frame, legend column, histogram, marks, foot. Everything is placed in points.

Artists carry a `gid` (`title`, `label-town-3`, `legend-class-0`…), kept as ids in the SVG, so that a page can be
checked and a drawing program can find its way in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.backend_bases import GraphicsContextBase, RendererBase
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D
from numpy.typing import NDArray

from diagnostics import french
from diagnostics.cartography import fonts, palettes
from diagnostics.cartography.classes import class_indices
from diagnostics.cartography.fonts import TextStyle
from diagnostics.cartography.layers import TOWN_DOT, Basemap
from diagnostics.cartography.model import MapSpec, Mark
from diagnostics.cartography.placement import HALO, Box, Placed
from diagnostics.errors import DiagnosticError

WIDTH, HEIGHT = 841.89, 595.28  # A4 landscape, points
DPI = 200
SIDE = 28.0
COLUMN = 172.0
GUTTER = 14.0

INK, GREY, PALE = "#1f1f1f", "#6b6b6b", "#c9c9c9"
TITLE = TextStyle("Semibold", 16.0, INK)
LONG_TITLE = TextStyle("Semibold", 14.0, INK)
SUBTITLE = TextStyle("Regular", 9.5, GREY)
HEADING = TextStyle("Semibold", 8.5, INK)
BODY = TextStyle("Regular", 8.5, INK)
SMALL = TextStyle("Regular", 7.5, GREY)
FOOT = TextStyle("Regular", 7.0, GREY)
RESERVE = TextStyle("It", 7.0, GREY)

LINE_COLOURS = {"zone": "#ffffff", "epci": "#4a4a4a", "perimeter": "#1a1a1a", "departement": "#6b6b6b"}
LINE_WIDTHS = {"zone": 0.3, "epci": 1.0, "perimeter": 2.0, "departement": 0.9}
WHITE = 0.4
"""Points of white around the letters of a name; placement keeps more room around it (`HALO`)."""
MARK_LIMIT = 9

Align = Literal["left", "center", "right"]
SHARE_AT_LEFT: dict[Align, float] = {"left": 0.0, "center": 0.5, "right": 1.0}
"""Share of a text's width that lies at the left of the point that it is put at."""


class Line(Text):
    """One line of text whose place is known. matplotlib would lay it out again at each drawing: half the time of a map.

    With a halo it is drawn as outlines, which are kept: the names of a CLS are those of all its maps.
    """

    def __init__(self, left: float, baseline: float, content: str, style: TextStyle, *, halo: bool, **artist) -> None:
        super().__init__(
            left, baseline, content, color=style.colour, fontproperties=style.font, parse_math=False, **artist
        )
        self.style, self.halo = style, halo

    def draw(self, renderer: RendererBase) -> None:
        renderer.open_group("text", self.get_gid())
        x, y = self.get_transform().transform(self.get_position())
        gc = renderer.new_gc()
        gc.set_foreground(self.style.colour)
        if self.halo:
            self._draw_outlines(renderer, gc, x, y)
        else:
            if renderer.flipy():
                y = renderer.get_canvas_width_height()[1] - y
            renderer.draw_text(gc, x, y, self.get_text(), self.style.font, 0.0, mtext=self)
        gc.restore()
        renderer.close_group("text")

    def _draw_outlines(self, renderer: RendererBase, gc: GraphicsContextBase, x: float, y: float) -> None:
        letters = fonts.outlines(self.get_text(), self.style.weight)
        place = Affine2D().scale(renderer.points_to_pixels(self.style.size) / fonts.OUTLINE_SIZE).translate(x, y)
        ink = gc.get_rgb()
        gc.set_foreground("white")
        gc.set_linewidth(renderer.points_to_pixels(2 * WHITE))
        gc.set_joinstyle("round")
        renderer.draw_path(gc, letters, place, ink)
        gc.set_linewidth(0.0)
        renderer.draw_path(gc, letters, place, ink)


class Page:
    """A matplotlib figure without axes, drawn in points from the bottom left corner."""

    def __init__(self, width: float = WIDTH, height: float = HEIGHT) -> None:
        self.width, self.height = width, height
        self.figure = Figure(figsize=(width / 72, height / 72), dpi=DPI, facecolor="white")
        self.points = Affine2D().scale(1 / 72) + self.figure.dpi_scale_trans

    def text(
        self,
        x: float,
        baseline: float,
        content: str,
        style: TextStyle,
        *,
        gid: str,
        align: Align = "left",
        halo: bool = False,
        zorder: float = 20,
    ) -> None:
        left = x - fonts.width(content, style) * SHARE_AT_LEFT[align]
        self.figure.add_artist(
            Line(left, baseline, content, style, halo=halo, transform=self.points, gid=gid, zorder=zorder)
        )

    def lines(self, x: float, top: float, lines: Sequence[str], style: TextStyle, *, gid: str) -> float:
        """Lines under `top`; returns the bottom of the last one."""
        for i, line in enumerate(lines):
            self.text(x, top - style.size * fonts.ASCENT - i * style.leading, line, style, gid=f"{gid}-{i}")
        return top - len(lines) * style.leading

    def paths(
        self,
        paths: Sequence[Path],
        *,
        gid: str,
        fill: Sequence[str] | str = "none",
        edge: Sequence[str] | str = "none",
        line: float = 0.0,
        dash: tuple[float, ...] | None = None,
        hatch: str | None = None,
        zorder: float = 1,
    ) -> None:
        if not paths:
            return
        self.figure.add_artist(
            PathCollection(
                paths,
                facecolors=fill,
                edgecolors=edge,
                linewidths=line,
                linestyles=[(0, dash)] if dash else "solid",
                joinstyle="round",
                capstyle="butt" if dash else "round",
                hatch=hatch,
                transform=self.points,
                zorder=zorder,
                gid=gid,
            )
        )

    def box(self, box: Box, *, gid: str, fill: str, edge: str = "none", line: float = 0.0, zorder: float = 10) -> None:
        self.figure.add_artist(
            PathPatch(
                rectangle(box),
                facecolor=fill,
                edgecolor=edge,
                linewidth=line,
                transform=self.points,
                gid=gid,
                zorder=zorder,
            )
        )

    def hatched(self, paths: Sequence[Path], *, gid: str, zorder: float) -> None:
        """The light hatch of what may not be shown, all zones as one: a hatch is slow to draw."""
        if paths:
            collection = PathCollection(
                [Path.make_compound_path(*paths)],
                facecolors=palettes.MASKED,
                edgecolors=palettes.MASKED_HATCH,
                linewidths=0,
                hatch="//////",
                transform=self.points,
                zorder=zorder,
                gid=gid,
            )
            collection.set_hatch_linewidth(0.45)
            self.figure.add_artist(collection)


def rectangle(box: Box) -> Path:
    left, bottom, right, top = box
    return Path(
        [(left, bottom), (right, bottom), (right, top), (left, top), (left, bottom)],
        [Path.MOVETO, Path.LINETO, Path.LINETO, Path.LINETO, Path.CLOSEPOLY],
    )


def circle(x: float, y: float, radius: float) -> Path:
    unit = Path.unit_circle()
    return Path(unit.vertices * radius + (x, y), unit.codes)


# --- the page's furniture --------------------------------------------------------------------------------------------


def open_page(spec: MapSpec) -> tuple[Page, Box, Box]:
    """A page with its title and foot; the boxes left for the map and for the column."""
    page = Page()
    page.figure.set_label(spec.title)
    full = WIDTH - 2 * SIDE
    style = TITLE if fonts.width(spec.title, TITLE) <= full else LONG_TITLE
    top = page.lines(SIDE, HEIGHT - SIDE + 4, fonts.wrap(spec.title, style, full), style, gid="title")
    top = page.lines(SIDE, top - 2, fonts.wrap(spec.subtitle, SUBTITLE, full), SUBTITLE, gid="subtitle")
    foot = _foot(page, spec, full)
    bottom = SIDE - 10 + foot + 8
    map_box = Box(SIDE, bottom, WIDTH - SIDE - COLUMN - GUTTER, top - 10)
    return page, map_box, Box(map_box.right + GUTTER, bottom, WIDTH - SIDE, top - 10)


def _foot(page: Page, spec: MapSpec, limit: float) -> float:
    """Provenance and reserve at the bottom; returns their height."""
    facts = [
        f"Source{french.NO_BREAK}: {spec.source}",
        f"Millésime{french.NO_BREAK}: {spec.vintage}",
        f"Géographie{french.NO_BREAK}: {spec.geography}",
        f"Carte du {french.date(spec.produced_on)}",
        f"Licence{french.NO_BREAK}: {spec.licence}",
    ]
    told = [("foot", line, FOOT) for line in fonts.wrap(" · ".join(facts), FOOT, limit)]
    if spec.reserve:
        told += [("reserve", line, RESERVE) for line in fonts.wrap(f"Réserve : {spec.reserve}", RESERVE, limit)]
    # One line takes the room of two: most maps of a CLS then share one frame, and what is prepared for it.
    height = max(2, len(told)) * FOOT.leading
    for i, (kind, line, style) in enumerate(told):
        page.text(SIDE, SIDE - 10 + height - (i + 1) * FOOT.leading + 2, line, style, gid=f"{kind}-{i}")
    return height


def draw_ground(page: Page, base: Basemap) -> None:
    """The grey around."""
    page.paths(base.neighbours, gid="neighbours", fill=palettes.NEIGHBOUR, edge="#ffffff", line=0.7, zorder=0)


def draw_lines(page: Page, base: Basemap) -> None:
    """Borders from the lightest to the heaviest."""
    page.paths(
        base.departements,
        gid="departements",
        edge=LINE_COLOURS["departement"],
        line=LINE_WIDTHS["departement"],
        dash=(4, 2.5),
        zorder=5,
    )
    page.paths(base.epci, gid="epci", edge=LINE_COLOURS["epci"], line=LINE_WIDTHS["epci"], zorder=6)
    page.paths(base.outline, gid="perimeter", edge=LINE_COLOURS["perimeter"], line=LINE_WIDTHS["perimeter"], zorder=7)


def draw_names(page: Page, base: Basemap, labels: Sequence[tuple[str, Placed]] | None = None) -> None:
    """Names with their halo, dots of the towns, scale bar and north arrow; `labels` replace those of the base map."""
    if labels is None:
        labels = base.labels
        page.paths(
            [circle(x, y, TOWN_DOT) for x, y, _ in base.dots],
            gid="town-dots",
            edge="#ffffff",
            line=0.5,
            zorder=11,
            fill=["#1f1f1f" if inside else "#7a7a7a" for _, _, inside in base.dots],
        )
    for rank, (kind, placed) in enumerate(labels):
        style, (x, _) = placed.label.style, placed.box.centre
        first = placed.box.top - HALO - style.size * fonts.ASCENT
        for i, line in enumerate(placed.label.lines):
            page.text(
                x,
                first - i * style.leading,
                line,
                style,
                gid=f"label-{kind}-{rank}-{i}",
                align="center",
                halo=True,
                zorder=12,
            )
    _scale_and_north(page, base)


def _scale_and_north(page: Page, base: Basemap) -> None:
    corner = base.scale_bar
    reach = corner.width - 34
    metres = round_below(reach / base.view.scale)
    length = metres * base.view.scale
    at_left = corner.left <= base.view.frame.left
    x = corner.left + 20 if at_left else corner.right - 8 - length
    north = x - 13
    y = corner.bottom + 8
    bar = Path([(x, y + 3), (x, y), (x + length, y), (x + length, y + 3)])
    arrow = Path([(north - 3, y), (north, y + 9), (north + 3, y), (north, y + 2.2), (north - 3, y)])
    page.paths([bar, arrow], gid="scale-halo", edge="#ffffff", line=0.8 + 2 * HALO, zorder=12.9)
    page.paths([bar], gid="scale-bar", edge=GREY, line=0.8, zorder=13)
    said = f"{french.number(metres / 1000)}{french.NO_BREAK}km" if metres >= 1000 else french.quantity(metres, "m")
    page.text(x + length / 2, y + 5, said, SMALL, gid="scale-text", align="center", halo=True)
    page.paths([arrow], gid="north-arrow", fill=GREY, zorder=13)
    page.text(north, y + 11, "N", SMALL, gid="north-text", align="center", halo=True)


def round_below(value: float) -> float:
    """The largest 1, 2 or 5 × 10ⁿ not above `value`."""
    power = 10.0 ** np.floor(np.log10(value))
    return float(max(m * power for m in (1, 2, 5) if m * power <= value))


# --- the column ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class LegendEntry:
    """One line of the legend: `kind` in class | unstable | masked | missing, and the number of zones."""

    kind: str
    label: str
    count: int
    colour: str = "none"


SPECIAL_LABELS = {
    "unstable": "valeur fragile (petits nombres)",
    "masked": "non publié (petit effectif)",
    "missing": "pas de donnée",
}


def draw_legend(
    page: Page, column: Box, top: float, *, heading: str, noun: str, entries: Sequence[LegendEntry]
) -> float:
    """Swatches, bounds and number of zones; returns the bottom."""
    count_width = max(fonts.width(noun, SMALL), 24.0)
    if heading:
        lines = fonts.wrap(heading[:1].upper() + heading[1:], HEADING, column.width)
        top = page.lines(column.left, top, lines, HEADING, gid="legend-heading")
    page.text(column.right, top - SMALL.size * fonts.ASCENT, noun, SMALL, gid="legend-noun", align="right")
    top -= SMALL.leading + 2
    for i, entry in enumerate(entries):
        if entry.kind != "class" and (i == 0 or entries[i - 1].kind == "class"):
            top -= 5
        swatch = Box(column.left, top - 11, column.left + 20, top)
        if entry.kind == "masked":
            page.hatched([rectangle(swatch)], gid=f"legend-swatch-{i}", zorder=10)
        elif entry.kind == "unstable":
            _unstable_swatch(page, swatch, entry.colour, i)
        else:
            page.box(swatch, gid=f"legend-swatch-{i}", fill=entry.colour)
        label_lines = fonts.wrap(entry.label, BODY, column.width - 26 - count_width - 4)
        baseline = top - 8.6
        page.text(
            column.right,
            baseline,
            french.number(entry.count),
            replace(BODY, colour=GREY),
            align="right",
            gid=f"legend-count-{entry.kind}-{i}",
        )
        for j, line in enumerate(label_lines):
            page.text(column.left + 26, baseline - j * BODY.leading, line, BODY, gid=f"legend-{entry.kind}-{i}-{j}")
        top -= 13.5 + (len(label_lines) - 1) * BODY.leading
    return top


def _unstable_swatch(page: Page, swatch: Box, colour: str, rank: int) -> None:
    middle = (swatch.left + swatch.right) / 2
    page.box(Box(swatch.left, swatch.bottom, middle, swatch.top), gid=f"legend-swatch-{rank}-sure", fill=colour)
    page.box(
        Box(middle, swatch.bottom, swatch.right, swatch.top),
        gid=f"legend-swatch-{rank}",
        fill=palettes.desaturated(colour),
    )


SCATTER_LIMIT = 3.0
"""Standard deviations shown on each side; the few zones beyond stand on the edge."""


def draw_scatter(page: Page, column: Box, top: float, zones: pd.DataFrame, *, heading: str) -> float:
    """Each zone's value against the mean of its neighbours (`standard`, `lag`), in its colour; returns the bottom."""
    side = 96.0
    top = page.lines(column.left, top, fonts.wrap(heading, HEADING, column.width), HEADING, gid="scatter-heading") - 4
    top = page.lines(column.left + 12 + side / 2, top, ["moyenne des voisines"], FOOT, gid="scatter-y") - 1
    box = Box(column.left + 12, top - side, column.left + 12 + side, top)
    x0, y0 = box.centre
    scale = side / 2 / SCATTER_LIMIT
    cross = [Path([(box.left, y0), (box.right, y0)]), Path([(x0, box.bottom), (x0, box.top)])]
    page.paths(cross, gid="scatter-axes", edge=PALE, line=0.6, zorder=9)
    reach = SCATTER_LIMIT - 0.05
    x = x0 + scale * np.clip(zones["standard"].to_numpy(dtype=float), -reach, reach)
    y = y0 + scale * np.clip(zones["lag"].to_numpy(dtype=float), -reach, reach)
    own, colours = zones["inside"].to_numpy(dtype=bool), zones["colour"].to_numpy()
    for kind, chosen, edge, line in (("around", ~own, "#b5b5b5", 0.2), ("own", own, INK, 0.7)):
        page.paths(
            [circle(a, b, 1.7) for a, b in zip(x[chosen], y[chosen], strict=True)],
            gid=f"scatter-{kind}",
            fill=list(colours[chosen]),
            edge=edge,
            line=line,
            zorder=10,
        )
    page.text(box.right + 3, y0 - 2.5, "sa valeur", FOOT, gid="scatter-x")
    return box.bottom


def draw_notes(page: Page, column: Box, top: float, notes: Sequence[str]) -> float:
    """Paragraphs in small type; returns the bottom of the last one."""
    for rank, note in enumerate(notes):
        top = page.lines(column.left, top, fonts.wrap(note, SMALL, column.width), SMALL, gid=f"note-{rank}") - 4
    return top


@dataclass(frozen=True)
class Axis:
    """A horizontal axis of values shared by the histogram and the marks."""

    low: float
    high: float
    left: float
    right: float

    @classmethod
    def over(cls, values: Sequence[float], left: float, right: float) -> Axis:
        low, high = min(values), max(values)
        pad = 0.03 * (high - low) or max(abs(low) * 0.1, 0.5)
        return cls(low - pad, high + pad, left, right)

    def at(self, value: float) -> float:
        return self.left + (value - self.low) / (self.high - self.low) * (self.right - self.left)


def draw_histogram(
    page: Page,
    axis: Axis,
    top: float,
    *,
    values: NDArray[np.float64],
    breaks: Sequence[float],
    colours: Sequence[str],
    spec: MapSpec,
) -> float:
    """Number of zones by value, in the colours of the classes; returns the bottom."""
    page.text(
        axis.left, top - SMALL.size * fonts.ASCENT, f"Répartition des {spec.zone_noun}", SMALL, gid="histogram-title"
    )
    height, bins = 44.0, 26
    base = top - SMALL.leading - 4 - height
    edges = np.linspace(axis.low, axis.high, bins + 1)
    index = class_indices(values, breaks)
    by_class = np.array([np.histogram(values[index == i], edges)[0] for i in range(len(colours))])
    tallest = by_class.sum(axis=0).max()
    floor = np.zeros(bins)
    for i, counts in enumerate(by_class):
        bars = [
            rectangle(
                Box(
                    axis.at(edges[b]) + 0.3,
                    base + height * floor[b] / tallest,
                    axis.at(edges[b + 1]) - 0.3,
                    base + height * (floor[b] + counts[b]) / tallest,
                )
            )
            for b in np.flatnonzero(counts)
        ]
        page.paths(bars, gid=f"histogram-{i}", fill=colours[i], edge="#8a8a8a", line=0.15, zorder=10)
        floor += counts
    page.paths([Path([(axis.left, base), (axis.right, base)])], gid="histogram-axis", edge=GREY, line=0.6, zorder=11)
    ticks = _draw_ticks(page, axis, base, [values.min(), values.max(), *breaks], spec.decimals)
    return ticks


def _draw_ticks(page: Page, axis: Axis, base: float, wanted: Sequence[float], decimals: int) -> float:
    """Extremes first, then the bounds that find room. A bound beyond the axis has no place on it."""
    taken: list[Box] = []
    for rank, value in enumerate(wanted):
        if not axis.low <= value <= axis.high:
            continue
        text = french.number(value, decimals)
        half = fonts.width(text, FOOT) / 2
        x = min(max(axis.at(value), axis.left + half), axis.right - half)
        box = Box(x - half - 2.5, base - 10, x + half + 2.5, base)
        if any(box.touches(other) for other in taken):
            continue
        taken.append(box)
        at = axis.at(value)
        page.paths([Path([(at, base), (at, base - 2.2)])], gid=f"tick-{rank}", edge=GREY, line=0.5, zorder=11)
        page.text(x, base - 9, text, FOOT, gid=f"tick-text-{rank}", align="center")
    return base - 12


def draw_marks(
    page: Page,
    axis: Axis,
    top: float,
    bottom: float,
    *,
    marks: Sequence[Mark],
    fills: Sequence[str],
    decimals: int,
) -> float:
    """One row a mark, label and value over its own track, all on the axis of the histogram; returns the bottom."""
    if len(marks) > MARK_LIMIT:
        raise DiagnosticError(f"carte : {len(marks)} repères ; {MARK_LIMIT} au plus tiennent dans la colonne")
    step = min(21.0, (top - bottom) / len(marks))
    if step < 14.0:
        raise DiagnosticError("carte : la légende ne laisse pas la place des repères ; en retirer")
    own = next((m.value for m in marks if m.role == "territory" and m.is_known), None)
    if own is not None:
        x = axis.at(own)
        page.paths(
            [Path([(x, top + 1), (x, top - len(marks) * step)])],
            gid="mark-guide",
            edge="#8a8a8a",
            line=0.6,
            dash=(1.5, 1.5),
            zorder=10,
        )
    for i, mark in enumerate(marks):
        style = {
            "territory": TextStyle("Semibold", 8.0, INK),
            "member": TextStyle("Regular", 8.0, INK),
            "benchmark": TextStyle("It", 8.0, GREY),
        }[mark.role]
        y = top - i * step
        said = french.number(mark.value, decimals)
        room = axis.right - axis.left - fonts.width(said, style) - 8
        page.text(axis.left, y - 8, shortened(mark.label, style, room), style, gid=f"mark-label-{i}", halo=True)
        page.text(axis.right, y - 8, said, style, gid=f"mark-value-{i}", align="right", halo=True)
        track = y - 12.5 if step > 17 else y - 11
        page.paths(
            [Path([(axis.left, track), (axis.right, track)])], gid=f"mark-track-{i}", edge=PALE, line=0.5, zorder=9
        )
        if mark.is_known:
            page.paths(
                [circle(axis.at(mark.value), track, 3.4 if mark.role == "territory" else 2.6)],
                gid=f"mark-dot-{i}",
                fill=fills[i],
                edge=INK,
                line=1.1 if mark.role == "territory" else 0.6,
                zorder=14,
            )
    return top - len(marks) * step


def shortened(text: str, style: TextStyle, limit: float) -> str:
    """`text`, or its beginning and an ellipsis."""
    if fonts.width(text, style) <= limit:
        return text
    cut = next(n for n in range(len(text), 0, -1) if fonts.width(text[:n].rstrip() + "…", style) <= limit)
    return text[:cut].rstrip() + "…"
