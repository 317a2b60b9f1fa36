"""Colours from published sets: ColorBrewer 2.0 (Cynthia Brewer), Scientific colour maps (Fabio Crameri), Okabe & Ito.

A ramp of k classes takes k colours at even steps of CIE lightness along the published anchors, so that classes keep
their order in a grey print and for the three kinds of colour-blindness.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from matplotlib.colors import to_hex, to_rgb
from numpy.typing import ArrayLike, NDArray

from diagnostics.errors import DiagnosticError

Theme = Literal["care", "ageing", "fragility", "environment", "health", "population"]
Direction = Literal["higher_is_worse", "higher_is_better", "neutral"]

# Anchors from light to dark.
SEQUENTIAL: dict[str, tuple[str, ...]] = {
    # ColorBrewer GnBu
    "care": ("#f7fcf0", "#e0f3db", "#ccebc5", "#a8ddb5", "#7bccc4", "#4eb3d3", "#2b8cbe", "#0868ac", "#084081"),
    # ColorBrewer Purples
    "ageing": ("#fcfbfd", "#efedf5", "#dadaeb", "#bcbddc", "#9e9ac8", "#807dba", "#6a51a3", "#54278f", "#3f007d"),
    # Crameri lajolla, reversed, every 32nd colour
    "fragility": ("#fffecb", "#f7d971", "#ecac54", "#e58751", "#d9604e", "#a64644", "#67342a", "#372411", "#191900"),
    # ColorBrewer Greens
    "environment": ("#f7fcf5", "#e5f5e0", "#c7e9c0", "#a1d99b", "#74c476", "#41ab5d", "#238b45", "#006d2c", "#00441b"),
    # ColorBrewer RdGy, its red half
    "health": ("#ffffff", "#fddbc7", "#f4a582", "#d6604d", "#b2182b", "#67001f"),
    # ColorBrewer Blues
    "population": ("#f7fbff", "#deebf7", "#c6dbef", "#9ecae1", "#6baed6", "#4292c6", "#2171b5", "#08519c", "#08306b"),
}

# Middle, then both arms outwards. Crameri vik: brick for the bad side, blue for the good one.
JUDGED = ("#ece5e0", ("#dcac90", "#c37243", "#942f06", "#590008"), ("#94bed2", "#307da6", "#034481", "#001261"))
# Crameri broc: blue under, olive over, for what has no bad side.
UNJUDGED = ("#ebeeec", ("#a5bbd0", "#5b82a9", "#294b7d", "#2c1a4c"), ("#d4d4aa", "#9b9b62", "#5d5d2d", "#262600"))

# Okabe & Ito, in an order that puts far apart the colours most often side by side.
QUALITATIVE = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")

# A ramp that says danger is kept for indicators that have a bad side.
JUDGING_THEMES = frozenset({"fragility", "health"})

MISSING = "#d0d0d0"
MASKED = "#f6f6f6"
MASKED_HATCH = "#9a9a9a"
NEIGHBOUR = "#f1f1ef"
NOT_SIGNIFICANT = "#f3edda"  # cream: told apart from the greys of what is unknown or outside

LIGHTEST, DARKEST = 89.0, 30.0
_D65 = np.array([0.95047, 1.0, 1.08883])
_RGB_TO_XYZ = np.array(
    [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
)


def to_lab(colours: ArrayLike) -> NDArray[np.float64]:
    """sRGB in 0..1, shape (n, 3), to CIE L*a*b* under D65."""
    rgb = np.atleast_2d(np.asarray(colours, dtype=float))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    ratio = linear @ _RGB_TO_XYZ.T / _D65
    f = np.where(ratio > (6 / 29) ** 3, np.cbrt(ratio), ratio / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.column_stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])])


def from_lab(lab: ArrayLike) -> NDArray[np.float64]:
    """CIE L*a*b* under D65, shape (n, 3), to sRGB clipped to 0..1."""
    lab = np.atleast_2d(np.asarray(lab, dtype=float))
    fy = (lab[:, 0] + 16) / 116
    f = np.column_stack([fy + lab[:, 1] / 500, fy, fy - lab[:, 2] / 200])
    xyz = np.where(f > 6 / 29, f**3, 3 * (6 / 29) ** 2 * (f - 4 / 29)) * _D65
    linear = np.clip(xyz @ np.linalg.inv(_RGB_TO_XYZ).T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def _at_lightness(anchors: tuple[str, ...], lightness: NDArray[np.float64]) -> tuple[str, ...]:
    """The colours of the published line through `anchors` that have the wanted CIE lightness."""
    lab = to_lab([to_rgb(colour) for colour in anchors])
    order = np.argsort(lab[:, 0])
    a_b = [np.interp(lightness, lab[order, 0], lab[order, axis]) for axis in (1, 2)]
    return tuple(to_hex(rgb) for rgb in from_lab(np.column_stack([lightness, *a_b])))


def sequential(theme: Theme, direction: Direction, count: int) -> tuple[str, ...]:
    """`count` colours from light (few) to dark (many).

    An indicator without a bad side never takes a ramp that says danger: it takes the neutral one.
    """
    if theme not in SEQUENTIAL:
        raise DiagnosticError(f"palette « {theme} » inconnue ; attendu : {', '.join(SEQUENTIAL)}")
    name = "population" if direction == "neutral" and theme in JUDGING_THEMES else theme
    steps = np.linspace(LIGHTEST, DARKEST, count) if count > 1 else np.array([(LIGHTEST + DARKEST) / 2])
    return _at_lightness(SEQUENTIAL[name], steps)


def diverging(direction: Direction, below: int, above: int, *, middle: bool) -> tuple[str, ...]:
    """Colours of `below` classes under the benchmark, the neutral class if any, and `above` classes over it.

    The bad side is brick and the good one blue, whichever way the indicator runs; without a bad side, blue and olive.
    """
    neutral, low_arm, high_arm = UNJUDGED if direction == "neutral" else JUDGED
    if direction == "higher_is_worse":
        low_arm, high_arm = high_arm, low_arm
    reach = max(below, above, 1)
    steps = np.linspace(78.0, 36.0, reach) if reach > 1 else np.array([60.0])
    low = _at_lightness((neutral, *low_arm), steps)[:below]
    high = _at_lightness((neutral, *high_arm), steps)[:above]
    return (*reversed(low), *((neutral,) if middle else ()), *high)


CLUSTER_LIGHTNESS = {"high_high": 36.0, "low_low": 52.0, "high_low": 66.0, "low_high": 78.0}


def clusters(direction: Direction) -> dict[str, str]:
    """A colour for each kind of concentration: two hues for the two sides, as in `diverging`, pale for a zone that
    differs from its neighbours; four lightnesses, so that a grey print tells them apart."""
    neutral, low_arm, high_arm = UNJUDGED if direction == "neutral" else JUDGED
    if direction == "higher_is_worse":
        low_arm, high_arm = high_arm, low_arm
    arms = {"high": (neutral, *high_arm), "low": (neutral, *low_arm)}
    colours = {
        kind: _at_lightness(arms[kind.split("_")[0]], np.array([lightness]))[0]
        for kind, lightness in CLUSTER_LIGHTNESS.items()
    }
    return colours | {"not_significant": NOT_SIGNIFICANT}


def qualitative(count: int) -> tuple[str, ...]:
    """`count` colours for classes without an order; six at most, because nobody tells seven apart on a map."""
    if count > len(QUALITATIVE):
        raise DiagnosticError(
            f"typologie à {count} classes : {len(QUALITATIVE)} au plus se distinguent sur une carte ; en regrouper"
        )
    return QUALITATIVE[:count]


def desaturated(colour: str) -> str:
    """The same hue and lightness, most of the colour gone: a value that rests on few events."""
    lightness, a, b = to_lab(to_rgb(colour))[0]
    return to_hex(from_lab([[lightness, 0.3 * a, 0.3 * b]])[0])
