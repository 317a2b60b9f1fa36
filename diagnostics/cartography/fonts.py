"""The one typeface of every map, and the size of a text before it is drawn.

Source Sans Pro (SIL Open Font License) comes from the PyPI package `font-source-sans-pro`. Files are named directly
instead of being registered by family: matplotlib sees each weight of this family as a family of its own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.resources import files
from itertools import accumulate
from typing import Literal

from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import text_to_path

Weight = Literal["Regular", "It", "Semibold", "SemiboldIt"]

LINE_HEIGHT = 1.22
ASCENT = 0.74  # of the size: height of an accented capital above the baseline
DESCENT = 0.22
MEAN_WIDTH = 0.47  # of the size: width of a character in ordinary French text
OUTLINE_SIZE = float(text_to_path.FONT_SCALE)
OUTLINES = 2_000
"""Texts whose outlines are kept: those of a few territories."""


@dataclass(frozen=True)
class TextStyle:
    """A weight, a size in points and a colour."""

    weight: Weight
    size: float
    colour: str

    @property
    def font(self) -> FontProperties:
        return _font(self.weight, self.size)

    @property
    def leading(self) -> float:
        """Distance between two baselines, in points."""
        return self.size * LINE_HEIGHT


def font_file(weight: Weight) -> str:
    """Path of the TrueType file of one weight."""
    return str(files("font_source_sans_pro") / "files" / f"SourceSansPro-{weight}.ttf")


@cache
def _font(weight: Weight, size: float) -> FontProperties:
    return FontProperties(fname=font_file(weight), size=size)


@cache
def width(text: str, style: TextStyle) -> float:
    """Width of one line of text, in points."""
    # Measured by the same engine that draws it, without needing a renderer.
    return text_to_path.get_text_width_height_descent(text, style.font, False)[0] if text else 0.0


@lru_cache(maxsize=OUTLINES)
def outlines(text: str, weight: Weight) -> Path:
    """The letters of one line as one path, its origin at the left of the baseline, `OUTLINE_SIZE` points high."""
    return Path(*text_to_path.get_text_path(_font(weight, OUTLINE_SIZE), text))


def wrap(text: str, style: TextStyle, limit: float) -> list[str]:
    """Lines of `text` no wider than `limit` points, broken at ordinary spaces only (never at a no-break space).

    A single word wider than the limit stands alone on its line.
    """
    words = text.split(" ")
    lines: list[str] = []
    while words:
        count = _fitting(words, style, limit)
        lines.append(" ".join(words[:count]))
        words = words[count:]
    return lines


def _fitting(words: list[str], style: TextStyle, limit: float) -> int:
    """How many of these words, one at least, stand on a line; guessed first, for measuring is slow."""
    ends = accumulate(len(word) + 1 for word in words)
    count = max(1, sum(end <= limit / (MEAN_WIDTH * style.size) for end in ends))

    def fits(number: int) -> bool:
        return width(" ".join(words[:number]), style) <= limit

    while count < len(words) and fits(count + 1):
        count += 1
    while count > 1 and not fits(count):
        count -= 1
    return count


def balanced(text: str, style: TextStyle, count: int) -> list[str]:
    """`text` over at most `count` lines of widths as even as its spaces allow."""
    words = text.split(" ")
    narrowest = max(width(word, style) for word in words)
    widest = width(text, style)
    limit = max(narrowest, widest / count)
    lines = wrap(text, style, limit)
    while len(lines) > count:
        limit *= 1.06
        lines = wrap(text, style, limit)
    return lines
