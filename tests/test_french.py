"""French typography: what an elected official would mark in red."""

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from diagnostics import french


@pytest.mark.parametrize(
    ("value", "decimals", "expected"),
    [
        (1234567.891, 1, "1\u202f234\u202f567,9"),
        (2.5, 0, "3"),
        (0.125, 2, "0,13"),
        (-0.04, 1, "0,0"),
        (-3.2, 1, "\u22123,2"),
        (1000, 0, "1\u202f000"),
        (None, 1, "n.d."),
        (float("nan"), 0, "n.d."),
    ],
)
def test_numbers(value, decimals, expected):
    assert french.number(value, decimals) == expected


def test_an_unknown_quantity_has_no_unit():
    assert french.quantity(None, "%", 1) == "n.d."
    assert french.quantity(12.34, "%", 1) == "12,3\u202f%"
    assert french.quantity(3, "habitants") == "3\u00a0habitants"


def test_a_unit_agrees_with_its_number_and_a_score_has_none():
    assert french.quantity(1, "maisons de santé") == "1\u00a0maison de santé"
    assert (
        french.quantity(1.9, "consultations par an et par habitant", 1)
        == "1,9\u00a0consultation par an et par habitant"
    )
    assert french.quantity(1, "décès") == "1\u00a0décès"
    assert french.quantity(-0.01, "score", 2) == "−0,01"


def test_intervals_lists_and_dates():
    assert french.interval(1, 2.55, 1) == "[1,0\u00a0; 2,6]"
    assert french.interval(None, 2) == ""
    assert french.listing(["a", "b", "c"]) == "a, b et c"
    assert french.listing([]) == ""
    assert french.date(datetime.date(2026, 12, 1)) == "1er décembre 2026"


@given(st.floats(-1e9, 1e9), st.integers(0, 3))
def test_a_number_reads_back_to_itself(value, decimals):
    text = french.number(value, decimals).replace("\u202f", "").replace("\u2212", "-").replace(",", ".")
    assert abs(float(text) - value) <= 0.5 * 10**-decimals * (1 + 1e-6) + 1e-9


@pytest.mark.parametrize(
    ("label", "amid"),
    [("Chômage", "chômage"), ("APL infirmiers", "APL infirmiers"), ("75 ans et plus", "75 ans et plus"), ("", "")],
)
def test_a_label_inside_a_sentence_keeps_the_capitals_of_an_acronym_only(label, amid):
    assert french.amid(label) == amid
