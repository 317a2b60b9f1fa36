"""The drawing of the cover: the territory's outline over its members, as a small inline SVG."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape

import shapely
from shapely.geometry.base import BaseGeometry

SIZE = 400.0  # drawing units of the longer side
STROKE = 4.0


def outline_svg(perimeter: BaseGeometry, members: Iterable[BaseGeometry], label: str) -> str:
    """An `<svg>` of the outline of `perimeter` and of its `members` (EPCI or communes), all in one CRS in metres.

    Colours follow the page (`currentColor`, class `member`), so that it prints and darkens with it. `label` is its
    alternative text.
    """
    west, south, east, north = perimeter.bounds
    scale = SIZE / max(east - west, north - south)
    width, height = (east - west) * scale, (north - south) * scale

    def path(geometry: BaseGeometry) -> str:
        # Half a drawing unit is below what a screen shows.
        simple = shapely.simplify(geometry, 0.5 / scale, preserve_topology=True)
        rings = shapely.get_rings(shapely.get_parts(simple))
        return "".join(
            "M" + "L".join(f"{(x - west) * scale:.1f},{(north - y) * scale:.1f}" for x, y in ring.coords[:-1]) + "Z"
            for ring in rings
        )

    inner = "".join(f'<path class="member" d="{path(member)}"/>' for member in members)
    box = f"{-STROKE:.0f} {-STROKE:.0f} {width + 2 * STROKE:.0f} {height + 2 * STROKE:.0f}"
    return (
        f'<svg class="outline" viewBox="{box}" role="img" aria-label="{escape(label)}">'
        f'{inner}<path class="perimeter" d="{path(perimeter)}"/></svg>'
    )
