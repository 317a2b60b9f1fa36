"""Pages as files: few colours, and the flat ones as they are."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.cartography.saving import EXACT, in_few_colours


def page(colours: np.ndarray) -> np.ndarray:
    """Opaque pixels (height, width, 4) of these colours (height, width, 3)."""
    return np.dstack([colours, np.full(colours.shape[:2], 255)]).astype(np.uint8)


@given(st.integers(1, EXACT), st.integers(0, 2**32 - 1))
def test_a_page_of_few_colours_is_kept_as_it_is(count: int, seed: int) -> None:
    generator = np.random.default_rng(seed)
    palette = generator.integers(0, 256, (count, 3))
    drawn = page(palette[generator.integers(0, count, (20, 30))])
    assert (np.asarray(in_few_colours(drawn).convert("RGB")) == drawn[:, :, :3]).all()


def test_among_thousands_of_colours_flat_ones_stay_exact_and_the_others_near() -> None:
    drawn = page(np.random.default_rng(7).integers(0, 256, (200, 300, 3)) // 4)
    flat = [(241, 241, 239), (9, 70, 136), (249, 222, 127)]
    for row, colour in enumerate(flat):
        drawn[row, :, :3] = colour
    reduced = in_few_colours(drawn)
    seen = np.asarray(reduced.convert("RGB")).astype(int)
    assert len(reduced.getcolors()) <= 256
    assert [tuple(seen[row, 0]) for row in range(3)] == flat
    assert np.abs(seen - drawn[:, :, :3]).mean() < 8
