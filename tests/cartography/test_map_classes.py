"""Classes: against dumb loops, and as a reader would judge them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics.cartography import class_breaks
from diagnostics.cartography.classes import class_indices, class_labels, readable, weighted_quantiles
from diagnostics.errors import DiagnosticError

numbers = st.floats(-1e5, 1e5, allow_nan=False).map(lambda x: round(x, 3))


def test_weighted_quantile_is_the_first_value_under_which_the_share_lies() -> None:
    values, weights = [5.0, 1.0, 3.0, 2.0], [10.0, 40.0, 20.0, 30.0]
    # Sorted: 1 (40), 2 (70), 3 (90), 5 (100).
    assert weighted_quantiles(values, weights, [0.4, 0.5, 0.8]) == [1.5, 2.5, 4.0]


@given(st.lists(st.tuples(numbers, st.integers(1, 50)), min_size=2, max_size=40), st.sampled_from([0.2, 0.4, 0.5, 0.8]))
def test_weighted_quantile_equals_plain_quantile_of_repeated_values(pairs: list, share: float) -> None:
    repeated = sorted(v for v, w in pairs for _ in range(w))
    under = next(v for i, v in enumerate(repeated) if (i + 1) / len(repeated) >= share - 1e-12)
    above = [v for v in repeated if v > under]
    found = weighted_quantiles([v for v, _ in pairs], [w for _, w in pairs], [share])
    assert found == ([pytest.approx((under + above[0]) / 2)] if above else [])


@pytest.mark.parametrize("method", ["quantiles", "jenks", "diverging"])
@given(values=st.lists(numbers, min_size=1, max_size=40), decimals=st.integers(0, 2), count=st.integers(2, 7))
def test_breaks_increase_and_have_no_more_decimals_than_the_data(
    method: str, values: list[float], decimals: int, count: int
) -> None:
    breaks = class_breaks(values, method=method, count=count, decimals=decimals, benchmark=float(np.mean(values)))
    assert list(breaks) == sorted(set(breaks))
    assert len(breaks) <= count - 1 if method != "diverging" else len(breaks) <= max(2, count)
    assert all(b == round(b, decimals) for b in breaks)


def test_jenks_finds_the_groups_a_brute_force_finds() -> None:
    values = sorted([1.0, 1.2, 1.3, 5.0, 5.1, 5.4, 9.0, 9.1, 9.5, 9.6])

    def spread(group: list[float]) -> float:
        return sum((v - sum(group) / len(group)) ** 2 for v in group)

    best = min(
        itertools.combinations(range(1, len(values)), 2),
        key=lambda cuts: sum(spread(values[a:b]) for a, b in itertools.pairwise((0, *cuts, len(values)))),
    )
    groups = class_indices(values, class_breaks(values, method="jenks", count=3, decimals=1))
    assert [list(groups).index(1), list(groups).index(2)] == list(best)


def test_jenks_of_a_whole_country_is_bounded_and_repeatable() -> None:
    values = np.random.default_rng(7).lognormal(3, 1, 35_000)
    first = class_breaks(values, method="jenks", decimals=0)
    assert len(first) == 4
    assert first == class_breaks(values, method="jenks", decimals=0)


def test_a_reader_can_say_the_breaks() -> None:
    assert readable([0.0, 2.47, 3.98, 9.0], 2) == (2.5, 4.0)
    assert readable([3.0, 97.2, 481.0, 10_300.0, 80_000.0], 0) == (100.0, 500.0, 10_000.0)


def test_diverging_steps_are_even_and_hold_the_benchmark_in_the_middle() -> None:
    values = np.random.default_rng(3).normal(104, 12, 200)
    breaks = class_breaks(values, method="diverging", count=5, decimals=0, benchmark=100)
    assert breaks == (85, 95, 105, 115)


def test_fewer_values_than_classes() -> None:
    assert class_breaks([3.0, 3.0, np.nan]) == ()
    assert class_breaks([]) == ()
    assert len(class_breaks([1.0, 2.0], count=5)) == 1


def test_what_cannot_be_computed_is_said() -> None:
    with pytest.raises(DiagnosticError, match="bornes"):
        class_breaks([1.0, 2.0], method="fixed")
    with pytest.raises(DiagnosticError, match="référence"):
        class_breaks([1.0, 2.0], method="diverging")
    with pytest.raises(DiagnosticError, match="population"):
        class_breaks([1.0, 2.0], [0.0, 0.0])


@given(st.lists(numbers, max_size=30), st.lists(numbers, unique=True, max_size=6).map(sorted))
def test_class_of_a_value_by_a_dumb_loop(values: list[float], breaks: list[float]) -> None:
    assert list(class_indices(values, breaks)) == [sum(v >= b for b in breaks) for v in values]


def test_labels_are_french_and_leave_no_doubt_at_a_bound() -> None:
    assert class_labels((2.5, 4.0), [1.1, 9.9], 1) == ["moins de 2,5", "2,5 à moins de 4,0", "4,0 ou plus"]
    assert class_labels((1000.0,), [0.5, 2000.0], 1)[0] == "moins de 1\u202f000"
    assert class_labels((), [3.2, 3.2], 1) == ["3,2"]
    assert class_labels((), [], 1) == []


def test_labels_of_whole_numbers_name_the_number() -> None:
    assert class_labels((2.0, 3.0), [1.0, 2.0, 3.0], 0) == ["1", "2", "3"]
    assert class_labels((1.0, 2.0, 5.0), [0.0, 7.0], 0) == ["0", "1", "2 à 4", "5 ou plus"]
