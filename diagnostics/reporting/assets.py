"""What a self-contained page carries: the typeface, cut down to the characters of French, and the maps at screen size.

Source Sans Pro (SIL Open Font License) comes from the PyPI package `font-source-sans-pro`; its default figures are
tabular, so that columns of numbers align.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from importlib.resources import as_file, files
from pathlib import Path

import numpy as np
import PIL
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from upath import UPath

from diagnostics.stamps import code_digest
from diagnostics.storage import on_disk, replacing
from diagnostics.threads import threads

FAMILY = "Source Sans Diagnostic"  # its own name: a subset must not pass for the installed family
FACES = (("Regular", 400, "normal"), ("It", 400, "italic"), ("Semibold", 600, "normal"))
CHARACTERS = (
    "".join(map(chr, [*range(0x20, 0x7F), *range(0xA0, 0x180)]))
    + "\u2010\u2013\u2014\u2018\u2019\u201c\u201d\u2026\u2020\u2021\u2022\u202f\u2030\u20ac\u2190\u2191\u2192\u2193"
    + "\u2211\u2212\u2248\u2260\u2264\u2265\u25b2\u25bc"
)
SCREEN_WIDTH = 1400  # pixels: sharp on a phone at three pixels a point, 200 dpi across a printed A4
COLOURS = 128
APART = 8  # levels of red, green or blue
SCREEN = "screen"
"""Folder beside the maps that holds them at screen size."""


@cache
def font_faces() -> str:
    """The `@font-face` rules of the page, fonts inside, as WOFF."""
    return "".join(
        f'@font-face{{font-family:"{FAMILY}";font-weight:{weight};font-style:{style};font-display:swap;'
        f"src:url(data:font/woff;base64,{base64.b64encode(_subset(name)).decode()}) format('woff')}}"
        for name, weight, style in FACES
    )


def _subset(face: str) -> bytes:
    """One face with the characters of French only (about 25 kB instead of 230)."""
    # Slow to load: code that only declares who writes what does not pay for it.
    from fontTools import subset  # noqa: PLC0415

    options = subset.Options(
        flavor="woff", layout_features=["kern", "liga", "ccmp", "locl", "mark", "sups"], hinting=False
    )
    with as_file(files("font_source_sans_pro") / "files" / f"SourceSansPro-{face}.otf") as path:
        font = subset.load_font(str(path), options)
    cutter = subset.Subsetter(options)
    cutter.populate(text=CHARACTERS)
    cutter.subset(font)
    target = io.BytesIO()
    subset.save_font(font, target, options)
    return target.getvalue()


@dataclass(frozen=True)
class ScreenImage:
    """A picture ready to stand in a page: its data address, its width and height in pixels."""

    source: str
    width: int
    height: int


def screen_images(paths: Sequence[Path | UPath]) -> dict[Path | UPath, ScreenImage]:
    """Each PNG at screen size. What was made for a former page serves again as long as the PNG is the same, byte for
    byte: it lies in `screen/` beside it, and says what it was made from. Nothing else stays there."""
    # Pillow lets go of the interpreter while it works.
    with ThreadPoolExecutor(threads()) as pool:
        images = dict(zip(paths, pool.map(screen_image, paths), strict=True))
    serving = {_kept(path) for path in paths}
    for folder in {kept.parent for kept in serving}:
        for kept in set(folder.glob("[!.]*.png")) - serving:
            kept.unlink(missing_ok=True)
    return images


def _kept(path: Path | UPath) -> UPath:
    return UPath(path).parent / SCREEN / path.name


def screen_image(path: Path | UPath) -> ScreenImage:
    """A PNG at screen size; see `screen_images`."""
    drawn, kept = on_disk(path).read_bytes(), _kept(path)
    made_from = hashlib.sha256(drawn + f"{code_digest('reporting')} {PIL.__version__}".encode()).hexdigest()
    content = on_disk(kept).read_bytes() if kept.exists() else b""
    if made_from.encode() not in content:
        content = _reduced(drawn, made_from)
        with replacing(kept) as temporary:
            temporary.write_bytes(content)
    with Image.open(io.BytesIO(content)) as image:
        return ScreenImage(f"data:image/png;base64,{base64.b64encode(content).decode()}", image.width, image.height)


def _reduced(drawn: bytes, made_from: str) -> bytes:
    """A PNG at screen size that bears `made_from`.

    A few flat colours and their anti-aliasing: a palette divides the weight by ten without a visible change.
    """
    with Image.open(io.BytesIO(drawn)) as full:
        image, palette = full.convert("RGB"), _palette(full)
    if image.width > SCREEN_WIDTH:
        image = image.resize((SCREEN_WIDTH, round(image.height * SCREEN_WIDTH / image.width)), Image.Resampling.LANCZOS)
    target, words = io.BytesIO(), PngInfo()
    words.add_text("made_from", made_from)
    image.quantize(palette=palette, dither=Image.Dither.NONE).save(target, "PNG", pnginfo=words)
    return target.getvalue()


def _palette(drawn: Image.Image) -> Image.Image:
    """The colours that a drawing uses most, no two of them alike, as Pillow wants a palette: in an image.

    A drawing has looked for its colours already: choosing among them costs a tenth of looking again. Flat colours are
    the most used, so they stay exact. `APART` is the step at which Pillow looks a colour up in a palette: of two
    nearer ones, it could show white as the other.
    """
    if drawn.mode != "P":
        drawn = drawn.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    colours = np.array(drawn.getpalette(), dtype=int).reshape(-1, 3)
    kept = np.empty((0, 3), dtype=int)
    for _, number in sorted(drawn.getcolors(), reverse=True):
        if len(kept) < COLOURS and (np.abs(kept - colours[number]).max(axis=1) >= APART).all():
            kept = np.vstack([kept, colours[number]])
    palette = Image.new("P", (1, 1))
    palette.putpalette(kept.astype("uint8").tobytes())
    return palette
