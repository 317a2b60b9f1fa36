"""What changed between two dated copies, and the history that keeps them."""

from __future__ import annotations

import datetime

import pandas as pd
import pytest

from diagnostics import changes
from diagnostics.catalog import load_catalog
from diagnostics.changes.history import COLUMNS, CopyFacts, DatedCopy, FileUsed, Refused
from diagnostics.errors import DiagnosticError

FIRST, SECOND = datetime.date(2026, 10, 3), datetime.date(2026, 11, 3)
ZONES = {"cls/essai": "CLS essai", "region/44": "Grand Est", "france/FR": "France"}
INDICATOR = "pop_density"  # fixed bounds 15, 30, 80, 200, 1000; no decimal


@pytest.fixture(scope="module")
def catalog():
    return load_catalog()


def copy(date, rows, *, communes=None, files=(), refused=(), profile="mirror"):
    """rows: (zone_type, zone_code, period, value)."""
    frame = pd.DataFrame([(INDICATOR, *row, "hab/km²", "ok", 1.0, "not_compared") for row in rows], columns=COLUMNS)
    facts = CopyFacts(
        territory="essai", name="CLS essai", date=date, profile=profile, communes=communes or {"54001": "Une"},
        zones=ZONES, files=list(files), refused=list(refused),
    )  # fmt: skip
    return DatedCopy(facts, frame)


def used(vintage, sha):
    return FileUsed(dataset="jeu", distribution="d", title="Un jeu", vintage=vintage, sha256=sha)


def both(cls, france=100.0, period="2023"):
    return [("cls", "essai", period, cls), ("france", "FR", period, france)]


def test_nothing_changed_is_said(catalog):
    found = changes.compare(copy(FIRST, both(50.0)), copy(SECOND, both(50.0)), catalog)
    assert not found.any
    assert "rien n’a changé" in changes.to_markdown(found)


@pytest.mark.parametrize(("after", "told"), [(50.4, False), (50.6, True), (float("nan"), True)])
def test_a_revision_counts_beyond_rounding_only(catalog, after, told):
    found = changes.compare(copy(FIRST, both(50.0)), copy(SECOND, both(after)), catalog)
    assert bool(found.revisions) is told


def test_a_threshold_and_a_side(catalog):
    found = changes.compare(copy(FIRST, both(70.0)), copy(SECOND, both(120.0)), catalog)
    (crossing,) = found.crossings
    assert crossing.thresholds == (80,)
    (side,) = found.sides
    assert (side.benchmark, side.before, side.after) == ("France", -1, 1)
    text = changes.to_markdown(found)
    assert "au-dessous | au-dessus" in text
    assert "hausse" in text


def test_figures_that_read_the_same_are_not_revised(catalog):
    # One decimal: 12.049 and 11.951 are both 12,0, further apart than half a tenth.
    before, after = (copy(day, [("france", "FR", "2023", v)]) for day, v in ((FIRST, 12.049), (SECOND, 11.951)))
    for one in (before, after):
        one.values["indicator_id"] = "unemployment_rate_rp"
    assert catalog.indicators["unemployment_rate_rp"].decimals == 1
    assert changes.compare(before, after, catalog).revisions == []


def test_a_threshold_is_told_as_it_is_declared(catalog):
    before, after = (copy(day, [("cls", "essai", "2023", v)]) for day, v in ((FIRST, 3.6), (SECOND, 3.1)))
    for one in (before, after):
        one.values["indicator_id"] = "apl_gp"
    text = changes.to_markdown(changes.compare(before, after, catalog))
    assert "| 3,25 | 3,6 | 3,1 (baisse) |" in text
    assert text.count("consultations par an et par habitant") == 2, "the unit stands with the name, not with figures"


def test_figures_of_two_years_are_on_no_side(catalog):
    late = [("cls", "essai", "2023", 120.0), ("france", "FR", "2022", 100.0)]
    found = changes.compare(copy(FIRST, both(70.0)), copy(SECOND, late), catalog)
    assert found.sides == []


def test_files_periods_communes_and_refusals(catalog):
    refusal = Refused(title="Un jeu", refused_at=datetime.datetime(2026, 11, 2), reasons=["taille : moitié moins"])
    first = copy(FIRST, both(70.0), communes={"54001": "Une", "54002": "Deux"}, files=[used("2023", "a")])
    second = copy(
        SECOND, both(70.0) + both(71.0, period="2024"), communes={"54001": "Une"}, files=[used("2023", "b")],
        refused=[refusal],
    )  # fmt: skip
    found = changes.compare(first, second, catalog)
    assert [(p.before, p.after) for p in found.periods] == [("2023", "2024")]
    assert found.files[0].same_vintage
    assert found.left == {"54002": "Deux"}
    page = changes.to_html(found)
    assert "fichier corrigé" in page
    assert "moitié moins" in page
    assert page.count("<h2>") == 4


def test_the_page_escapes_what_it_is_given(catalog):
    first = copy(FIRST, both(70.0), communes={"54001": "<script>alert(1)</script>", "54002": "b"})
    page = changes.to_html(changes.compare(first, copy(SECOND, both(70.0), communes={"54002": "b"}), catalog))
    assert "<script>" not in page
    assert "&lt;script&gt;" in page


def test_two_profiles_do_not_compare(catalog, tmp_path):
    changes.write_copy(copy(FIRST, both(70.0), profile="embedded"), tmp_path)
    assert changes.former(tmp_path, "essai", SECOND, "mirror") is None
    changes.write_copy(copy(FIRST, both(70.0)), tmp_path)
    assert changes.former(tmp_path, "essai", SECOND, "mirror").facts.date == FIRST
    assert changes.former(tmp_path, "essai", FIRST, "mirror") is None


def test_a_copy_is_read_back_as_it_was(tmp_path):
    made = copy(SECOND, both(70.0), files=[used("2023", "a")])
    changes.write_copy(made, tmp_path)
    back = changes.read_copy(tmp_path, SECOND, "essai")
    assert back.facts == made.facts
    pd.testing.assert_frame_equal(back.values, made.values, check_dtype=False)
    assert changes.dates(tmp_path) == [SECOND]


def test_an_unknown_date_names_the_known_ones(tmp_path):
    changes.write_copy(copy(FIRST, both(70.0)), tmp_path)
    with pytest.raises(DiagnosticError, match="2026-10-03"):
        changes.read_copy(tmp_path, SECOND, "essai")


def test_take_keeps_the_cls_and_what_contains_it():
    columns = ["child_type", "child_code", "parent_type", "parent_code"]
    membership = pd.DataFrame(
        [("commune", c, t, p) for c, t, p in [
            ("54001", "cls", "essai"), ("54001", "cls", "autre"), ("54001", "epci", "2"), ("54001", "france", "FR"),
            ("57001", "cls", "autre"), ("57001", "epci", "3")]],
        columns=columns,
    )  # fmt: skip
    zones = pd.DataFrame(
        [("commune", "54001", "Une"), ("cls", "essai", "CLS essai")], columns=["zone_type", "zone_code", "zone_name"]
    )
    rows = [("cls", "essai"), ("cls", "autre"), ("epci", "2"), ("epci", "3"), ("commune", "54001"), ("france", "FR")]
    values = pd.DataFrame([("x", t, c, "2023", 1.0, "", "ok", 1.0, "better") for t, c in rows], columns=COLUMNS)
    made = changes.take("essai", "CLS essai", values, membership, zones, date=FIRST, profile="mirror", files=[])
    assert set(zip(made.values["zone_type"], made.values["zone_code"], strict=True)) == {
        ("cls", "essai"), ("epci", "2"), ("france", "FR"),
    }  # fmt: skip
    assert made.facts.communes == {"54001": "Une"}
