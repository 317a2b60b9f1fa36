"""Classes of a map: from values to a few bounds a reader can say aloud.

Bounds are the inner ones. Class i holds the values from `breaks[i - 1]` included to `breaks[i]` excluded, and the two
outer classes are open, so that the same bounds serve every territory and every year.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from diagnostics import french
from diagnostics.errors import DiagnosticError

Method = Literal["quantiles", "jenks", "fixed", "diverging"]

# Fisher-Jenks is exact but quadratic: beyond this many values it works on evenly spaced ranks of them.
JENKS_LIMIT = 400
# How far a bound may move, as a share of the way to the bounds beside it, to become a round number.
SLACK = 0.2


def class_breaks(
    values: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    method: Method = "quantiles",
    count: int = 5,
    decimals: int = 1,
    benchmark: float | None = None,
) -> tuple[float, ...]:
    """Inner bounds, increasing and rounded, of at most `count` classes.

    `values` in the indicator's unit, NaN ignored; `weights` (population of each zone) serve `quantiles` and
    `diverging`, each zone counting for one without them. `diverging` needs `benchmark`, which falls inside the middle
    class. Fewer bounds come out when the values do not allow so many classes. `fixed` bounds are chosen by people:
    asking for them here raises DiagnosticError.
    """
    values = np.asarray(values, dtype=float)
    weights = np.ones_like(values) if weights is None else np.nan_to_num(np.asarray(weights, dtype=float))
    known = np.isfinite(values)
    values, weights = values[known], weights[known]
    if len(np.unique(values)) < 2:
        return ()
    low, high = float(values.min()), float(values.max())
    if method == "quantiles":
        raw = weighted_quantiles(values, weights, np.arange(1, count) / count)
    elif method == "jenks":
        raw = _natural_breaks(values, count)
    elif method == "diverging":
        if benchmark is None:
            raise DiagnosticError("classes « diverging » : donner la valeur de référence (`benchmark`)")
        return _around(values, weights, benchmark=benchmark, count=count, decimals=decimals)
    else:
        raise DiagnosticError(f"classes « {method} » : donner les bornes (`breaks`), elles ne se calculent pas")
    return readable([low, *raw, high], decimals)


def weighted_quantiles(values: ArrayLike, weights: ArrayLike, shares: ArrayLike) -> list[float]:
    """Bounds below which lies at least each share of the weight, halfway to the next distinct value."""
    values, weights = np.asarray(values, dtype=float), np.asarray(weights, dtype=float)
    if weights.sum() <= 0:
        raise DiagnosticError("quantiles pondérés : la population de toutes les zones est nulle ou inconnue")
    distinct, inverse = np.unique(values, return_inverse=True)
    cumulated = np.cumsum(np.bincount(inverse, weights=weights))
    # The tolerance keeps a share that falls exactly on a value from being missed by a rounding error.
    ranks = np.searchsorted(cumulated, np.asarray(shares) * cumulated[-1] * (1 - 1e-12))
    return [float((distinct[r] + distinct[r + 1]) / 2) for r in ranks if r + 1 < len(distinct)]


def _natural_breaks(values: NDArray[np.float64], count: int) -> list[float]:
    # It brings scikit-learn, slow to load: code that only declares who draws what does not pay for it.
    from mapclassify import FisherJenks  # noqa: PLC0415

    ordered = np.sort(values)
    if len(ordered) > JENKS_LIMIT:
        ordered = ordered[np.linspace(0, len(ordered) - 1, JENKS_LIMIT).round().astype(int)]
    distinct = np.unique(ordered)
    with warnings.catch_warnings():
        # It advises to install numba; on so few values plain Python is quick enough.
        warnings.filterwarnings("ignore", message="Numba not installed")
        uppers = FisherJenks(ordered, k=min(count, len(distinct))).bins[:-1]
    nexts = np.searchsorted(distinct, uppers, side="right")
    return [float((upper + distinct[n]) / 2) for upper, n in zip(uppers, nexts, strict=True) if n < len(distinct)]


def _around(
    values: NDArray[np.float64], weights: NDArray[np.float64], *, benchmark: float, count: int, decimals: int
) -> tuple[float, ...]:
    """Bounds at benchmark ± h, ± 3h…: even steps, the benchmark in the middle of the middle class, h a round number."""
    arms = max(1, (count - 1) // 2)
    distances = np.abs(values - benchmark)
    usual = next(iter(weighted_quantiles(distances, weights, [0.9])), float(distances.max()))
    half = max(_round_near(usual / (2 * arms)), 10.0**-decimals)
    offsets = [half * (2 * arm + 1) for arm in range(arms)]
    bounds = [benchmark - o for o in reversed(offsets)] + [benchmark + o for o in offsets]
    return tuple(dict.fromkeys(round(bound, decimals) + 0.0 for bound in bounds))


def _round_near(value: float) -> float:
    """The nearest 1, 2 or 5 × 10ⁿ, by ratio."""
    power = 10.0 ** math.floor(math.log10(value))
    return min((m * power for m in (1, 2, 5, 10)), key=lambda candidate: abs(math.log(candidate / value)))


def readable(edges: Sequence[float], decimals: int) -> tuple[float, ...]:
    """Inner bounds of `edges` (lowest value, bounds, highest value) moved to the roundest number within reach.

    The bounds stay increasing, with no more than `decimals` decimals, and none leaves all values on one side.
    """
    low, high = edges[0], edges[-1]
    edges = [low, *sorted({float(b) for b in edges[1:-1] if low < b <= high}), high]
    rounded = [
        _roundest(bound, SLACK * min(bound - before, after - bound), decimals)
        for before, bound, after in zip(edges, edges[1:-1], edges[2:], strict=False)
    ]
    return tuple(sorted({bound for bound in rounded if low < bound <= high}))


def _roundest(value: float, reach: float, decimals: int) -> float:
    exponent = math.ceil(math.log10(max(abs(value), 1e-9))) + 1
    while exponent > -decimals:
        exponent -= 1
        for digit in (5, 2, 1):
            step = digit * 10.0**exponent
            candidate = round(value / step) * step
            if abs(candidate - value) <= reach:
                return round(candidate, decimals) + 0.0
    return round(value, decimals) + 0.0


def class_indices(values: ArrayLike, breaks: Sequence[float]) -> NDArray[np.int64]:
    """Class of each value, from 0; -1 for NaN."""
    values = np.asarray(values, dtype=float)
    return np.where(np.isfinite(values), np.searchsorted(np.asarray(breaks, dtype=float), values, side="right"), -1)


def shown_decimals(numbers: Sequence[float], at_most: int) -> int:
    """The fewest decimals that write every number exactly, up to `at_most`."""
    return next(
        (d for d in range(at_most) if all(math.isclose(round(n, d), n, abs_tol=1e-9) for n in numbers)), at_most
    )


def class_labels(breaks: Sequence[float], values: ArrayLike, decimals: int) -> list[str]:
    """Bounds of each class in words, lowest first; no class at all without a bound or a value.

    Whole values give closed bounds: `1`, `2 à 4`, `5 ou plus`.
    """
    values = np.asarray(values, dtype=float)
    values = values[np.isfinite(values)]
    if not breaks and not len(values):
        return []
    if not breaks:
        low, high = float(values.min()), float(values.max())
        texts = dict.fromkeys([french.number(low, decimals), french.number(high, decimals)])
        return [" à ".join(texts)]
    digits = shown_decimals(breaks, decimals)
    say = [french.number(b, digits) for b in breaks]
    if decimals == 0 and np.all(values == np.round(values)):
        return _whole_labels([math.ceil(b) for b in breaks], values)
    middle = [f"{a} à moins de {b}" for a, b in pairwise(say)]
    return [f"moins de {say[0]}", *middle, f"{say[-1]} ou plus"]


def _whole_labels(firsts: list[int], values: NDArray[np.float64]) -> list[str]:
    """A class of one whole number is named by it; an outer class only when its values here are that number."""
    first, last = firsts[0], firsts[-1]
    lowest = french.number(first - 1) if values.min(initial=np.inf) == first - 1 else f"moins de {french.number(first)}"
    highest = french.number(last) if values.max(initial=-np.inf) == last else f"{french.number(last)} ou plus"
    middle = [
        french.number(a) if b - a == 1 else f"{french.number(a)} à {french.number(b - 1)}" for a, b in pairwise(firsts)
    ]
    return [lowest, *middle, highest]
