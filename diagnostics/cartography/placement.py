"""Where names go: greedy, deterministic, on real text sizes, so that no two boxes ever touch.

Boxes are in page points. A label brings its candidate places in order of preference; the first that lies inside the
frame and clear of everything already placed is taken; a label with no clear place is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from diagnostics.cartography import fonts
from diagnostics.cartography.fonts import TextStyle

HALO = 1.1  # points of white around a name


class Box(NamedTuple):
    """A rectangle in page points."""

    left: float
    bottom: float
    right: float
    top: float

    @classmethod
    def around(cls, x: float, y: float, width: float, height: float) -> Box:
        return cls(x - width / 2, y - height / 2, x + width / 2, y + height / 2)

    @property
    def width(self) -> float:
        return self.right - self.left

    @property
    def height(self) -> float:
        return self.top - self.bottom

    @property
    def centre(self) -> tuple[float, float]:
        return (self.left + self.right) / 2, (self.bottom + self.top) / 2

    def touches(self, other: Box) -> bool:
        return (
            self.left < other.right and other.left < self.right and self.bottom < other.top and other.bottom < self.top
        )

    def inside(self, other: Box) -> bool:
        return (
            self.left >= other.left
            and self.right <= other.right
            and self.bottom >= other.bottom
            and self.top <= other.top
        )


@dataclass(frozen=True)
class Label:
    """A name on one or more lines, and the centres it may take, best first."""

    lines: tuple[str, ...]
    style: TextStyle
    centres: tuple[tuple[float, float], ...]

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the text with its halo, in points."""
        width = max(fonts.width(line, self.style) for line in self.lines)
        height = self.style.leading * (len(self.lines) - 1) + self.style.size * (fonts.ASCENT + fonts.DESCENT)
        return width + 2 * HALO, height + 2 * HALO


@dataclass(frozen=True)
class Placed:
    """A label and the box it was given."""

    label: Label
    box: Box


def place(label: Label, frame: Box, taken: Iterable[Box]) -> Placed | None:
    """The first of the label's places that is inside `frame` and touches none of `taken`."""
    width, height = label.size
    taken = tuple(taken)
    for x, y in label.centres:
        box = Box.around(x, y, width, height)
        if box.inside(frame) and not any(box.touches(other) for other in taken):
            return Placed(label, box)
    return None


def place_first(variants: Sequence[Label], frame: Box, taken: Iterable[Box]) -> Placed | None:
    """The first variant (fewer lines, larger type…) that finds a place."""
    taken = tuple(taken)
    return next((placed for label in variants if (placed := place(label, frame, taken))), None)


def around_point(x: float, y: float, size: tuple[float, float], distance: float) -> tuple[tuple[float, float], ...]:
    """The eight centres of a name beside its dot: right, left, above, below, then the corners."""
    across, up = size[0] / 2 + distance, size[1] / 2 + distance
    near = 0.7 * distance
    return (
        (x + across, y),
        (x - across, y),
        (x, y + up),
        (x, y - up),
        (x + across - near, y + up - near),
        (x + across - near, y - up + near),
        (x - across + near, y + up - near),
        (x - across + near, y - up + near),
    )
