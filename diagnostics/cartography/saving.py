"""A figure as files: a PNG in few colours, and an SVG that carries its own letters."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from upath import UPath

from diagnostics.cartography.page import DPI
from diagnostics.storage import replacing

COLOURS = 256
EXACT = 64
"""Colours kept as they are: a map has fewer flat ones; the rest, antialiasing, share what is left of the palette."""


def save(figure: Figure, folder: UPath | Path, stem: str) -> tuple[UPath, UPath]:
    """Write `<stem>.png` (200 dpi) and `<stem>.svg`, whole or not at all; returns their paths.

    The same figure gives the same bytes: no date, fixed ids; the SVG holds its letters as outlines, so that it looks
    the same where the typeface is not installed.
    """
    targets = (UPath(folder) / f"{stem}.png", UPath(folder) / f"{stem}.svg")
    with replacing(targets[0]) as temporary, temporary.open("wb") as stream:
        in_few_colours(_pixels(figure)).save(stream, format="png", dpi=(DPI, DPI))
    settings = {"svg.hashsalt": "diagnostic-cls", "svg.fonttype": "path"}
    with matplotlib.rc_context(settings), replacing(targets[1]) as temporary, temporary.open("wb") as stream:
        figure.savefig(stream, format="svg", metadata={"Date": None, "Title": figure.get_label()})
    return targets


def _pixels(figure: Figure) -> NDArray[np.uint8]:
    """The page as (height, width, 4) bytes: red, green, blue, opacity."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def in_few_colours(pixels: NDArray[np.uint8]) -> Image.Image:
    """The opaque `pixels` (height, width, 4) in 256 colours, the 64 most frequent ones as they are.

    The file weighs a third, which counts in a report. Pillow alone looks at each pixel; a page is made of long runs of
    one colour, and of a few thousand colours.
    """
    flat = np.ascontiguousarray(pixels).view(np.uint32).ravel()
    starts = np.flatnonzero(np.append(True, flat[1:] != flat[:-1]))
    lengths = np.diff(np.append(starts, len(flat)))
    codes, found = pd.factorize(flat[starts])
    counts = np.bincount(codes, lengths).astype(int)
    rgb = found.view(np.uint8).reshape(-1, 4)[:, :3]
    ranked = np.argsort(-counts, kind="stable")
    exact, rare = ranked[:EXACT], ranked[EXACT:]
    index = np.empty(len(found), dtype=np.uint8)
    index[exact] = np.arange(len(exact))
    palette = rgb[exact].tobytes()
    if len(rare):
        sample = Image.fromarray(np.repeat(rgb[rare], counts[rare], axis=0)[None])
        reduced = sample.quantize(COLOURS - EXACT, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
        index[rare] = EXACT + np.asarray(reduced)[0, np.cumsum(counts[rare]) - 1]
        palette += bytes(reduced.getpalette())
    page = Image.fromarray(np.repeat(index[codes], lengths).reshape(pixels.shape[:2]), "P")
    page.putpalette(palette)
    return page
