"""Colours: readable with the three colour-blindnesses and in a grey print."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from diagnostics.cartography import palettes
from diagnostics.cartography.palettes import from_lab, to_lab
from diagnostics.errors import DiagnosticError

# Machado, Oliveira & Fernandes 2009, severity 1.0, applied to linear RGB.
MACHADO = {
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
EYES = ["full", *MACHADO, "grey"]
THEMES = list(palettes.SEQUENTIAL)


def seen(colours: tuple[str, ...], eye: str) -> np.ndarray:
    """CIE L*a*b* of the colours as that eye (or a grey print) gives them."""
    rgb = np.array([to_rgb(c) for c in colours])
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    if eye in MACHADO:
        linear = np.clip(linear @ np.array(MACHADO[eye]).T, 0, 1)
    elif eye == "grey":
        linear = np.repeat((linear @ [0.2126, 0.7152, 0.0722])[:, None], 3, axis=1)
    return to_lab(np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055))


def gaps(lab: np.ndarray) -> np.ndarray:
    return np.linalg.norm(np.diff(lab, axis=0), axis=1)


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("count", [2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("theme", THEMES)
def test_sequential_ramps_darken_step_by_step_for_every_eye(theme: str, count: int, eye: str) -> None:
    lab = seen(palettes.sequential(theme, "higher_is_worse", count), eye)
    assert np.all(np.diff(lab[:, 0]) < -5), "each class darker than the one before"
    assert np.all(gaps(lab) > 7), "adjacent classes told apart"


@pytest.mark.parametrize("eye", EYES[:-1])
@pytest.mark.parametrize("direction", ["higher_is_worse", "higher_is_better", "neutral"])
@pytest.mark.parametrize("arms", [(1, 1), (2, 2), (3, 3), (1, 3)])
def test_diverging_ramps_keep_their_two_sides(direction: str, arms: tuple[int, int], eye: str) -> None:
    below, above = arms
    lab = seen(palettes.diverging(direction, below, above, middle=True), eye)
    assert len(lab) == below + above + 1
    assert np.all(np.diff(lab[: below + 1, 0]) > 5)
    assert np.all(np.diff(lab[below:, 0]) < -5)
    assert np.all(gaps(lab) > 9)
    for i in range(1, min(arms) + 1):
        assert np.linalg.norm(lab[below - i] - lab[below + i]) > 12, "the same distance on either side differs in hue"


def test_the_bad_side_is_the_same_colour_whichever_way_the_indicator_runs() -> None:
    worse, better = (palettes.diverging(d, 2, 2, middle=True) for d in ("higher_is_worse", "higher_is_better"))
    assert worse == tuple(reversed(better))
    red, _, blue = to_rgb(worse[-1])
    assert red > blue


@pytest.mark.parametrize("eye", EYES[:-1])
def test_kinds_are_told_apart_by_every_eye(eye: str) -> None:
    lab = seen(palettes.qualitative(6), eye)
    distances = [np.linalg.norm(lab[i] - lab[j]) for i in range(6) for j in range(i)]
    assert min(distances) > 12


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("direction", ["higher_is_worse", "higher_is_better", "neutral"])
def test_concentrations_are_told_apart_by_every_eye_and_from_no_data(direction: str, eye: str) -> None:
    colours = palettes.clusters(direction)
    lab = seen((*colours.values(), palettes.MISSING), eye)
    apart = np.linalg.norm(lab[:, None] - lab[None], axis=2)[np.triu_indices(len(lab), 1)]
    assert apart.min() > 5, dict(zip(colours, lab.round(), strict=False))


def test_seven_kinds_are_refused() -> None:
    with pytest.raises(DiagnosticError, match="6 au plus"):
        palettes.qualitative(7)


@pytest.mark.parametrize("eye", EYES)
@pytest.mark.parametrize("theme", THEMES)
def test_no_class_looks_like_no_data(theme: str, eye: str) -> None:
    colours = palettes.sequential(theme, "higher_is_worse", 5)
    missing = seen((palettes.MISSING,), eye)[0]
    assert min(np.linalg.norm(lab - missing) for lab in seen(colours, eye)) > 5


@pytest.mark.parametrize("theme", THEMES)
def test_unstable_keeps_lightness_and_loses_colour(theme: str) -> None:
    for colour in palettes.sequential(theme, "higher_is_worse", 5):
        before, after = to_lab(to_rgb(colour))[0], to_lab(to_rgb(palettes.desaturated(colour)))[0]
        assert after[0] == pytest.approx(before[0], abs=1.5)
        assert np.hypot(*after[1:]) == pytest.approx(0.3 * np.hypot(*before[1:]), abs=2)


def test_an_indicator_without_a_bad_side_takes_no_danger_colour() -> None:
    neutral = palettes.sequential("population", "neutral", 5)
    assert palettes.sequential("health", "neutral", 5) == neutral
    assert palettes.sequential("fragility", "neutral", 5) == neutral
    assert palettes.sequential("ageing", "neutral", 5) != neutral


def test_unknown_theme_is_named() -> None:
    with pytest.raises(DiagnosticError, match=r"palette « santé » inconnue ; attendu : care"):
        palettes.sequential("santé", "neutral", 3)


def test_lab_is_its_own_inverse_and_knows_white() -> None:
    rgb = np.array([[0.1, 0.5, 0.9], [1.0, 1.0, 1.0], [0.0, 0.0, 0.0]])
    assert from_lab(to_lab(rgb)) == pytest.approx(rgb, abs=1e-6)
    assert to_lab(rgb)[1] == pytest.approx([100, 0, 0], abs=0.02)
