"""Maps at screen size: lighter, the same colours, made once for each map."""

import base64
import io
import os

import numpy as np
import pytest
from PIL import Image

from diagnostics.reporting.assets import screen_images


@pytest.fixture
def drawn(tmp_path):
    """A page of three flat colours, two of them near each other, as the house saves its maps: with a palette."""
    pixels = np.full((1400, 2000, 3), 255, dtype=np.uint8)
    pixels[:, 600:1200] = (241, 241, 239)
    pixels[:, 1200:] = (20, 60, 140)
    path = tmp_path / "carte.png"
    Image.fromarray(pixels).quantize(256).save(path)
    return path


def opened(image):
    content = base64.b64decode(image.source.removeprefix("data:image/png;base64,"))
    return Image.open(io.BytesIO(content)).convert("RGB")


def test_flat_colours_stay_exact(drawn):
    image = screen_images([drawn])[drawn]
    assert (image.width, image.height) == (1400, 980)
    assert [opened(image).getpixel((x, 500)) for x in (100, 600, 1300)] == [
        (255, 255, 255),
        (241, 241, 239),
        (20, 60, 140),
    ]


def test_what_was_made_serves_as_long_as_the_map_is_the_same(drawn):
    first = screen_images([drawn])[drawn]
    kept = drawn.parent / "screen" / drawn.name
    os.utime(kept, (1, 1))
    assert screen_images([drawn])[drawn] == first
    assert kept.stat().st_mtime == 1
    Image.new("RGB", (300, 200), "red").save(drawn)
    again = screen_images([drawn])[drawn]
    assert (again.width, opened(again).getpixel((5, 5))) == (300, (255, 0, 0))


def test_a_map_that_is_not_drawn_any_more_leaves_nothing(drawn):
    other = drawn.with_name("autre.png")
    other.write_bytes(drawn.read_bytes())
    screen_images([drawn, other])
    screen_images([other])
    assert [file.name for file in (drawn.parent / "screen").iterdir()] == ["autre.png"]
