"""Professionals counted by month without keeping one name: what the RPPS card promises."""

from __future__ import annotations

import datetime
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from official_layouts import rpps
from producer import storage_in

from diagnostics.catalog import load_catalog
from diagnostics.catalog.models import Kept
from diagnostics.errors import SourceError
from diagnostics.sources.contract import check
from diagnostics.sources.history import keep_history, month_before, month_of, read_history, with_history, withdraw
from diagnostics.sources.observe import observe
from diagnostics.sources.receipts import RawFile, make_receipt

NAMES = ("DURAND", "MARTIN", "PETIT")


@pytest.fixture(scope="module")
def card():
    source = load_catalog().sources["ans_rpps"]
    return source, source.distributions[0].model_copy(update={"rows": None})


def edition(card, folder: Path, day: str, lines: list[tuple]) -> RawFile:
    source, distribution = card
    path = folder / f"{day.replace(' ', '-')}.txt"
    path.write_bytes(rpps(lines))
    receipt = make_receipt(source, distribution, path, path=path.name, resolved="", last_modified=f"{day} 06:00:00 GMT")
    return RawFile(path, receipt)


# Identifier, name, profession, category, speciality, mode, commune.
GP = ("10", "C", "Spécialiste en Médecine Générale", "L")
OCTOBER = [
    ("810000000001", "DURAND", *GP, "54431"),
    ("810000000001", "DURAND", *GP, "54431"),  # a second activity in the same place
    ("810000000002", "MARTIN", *GP, "54431"),
    ("810000000003", "PETIT", *GP, "54395"),
    ("810000000004", "ETUDIANT", "10", "E", "", "L", "54395"),
    ("810000000005", "SANS LIEU", *GP, ""),
]
NOVEMBER = [OCTOBER[0], ("810000000003", "PETIT", *GP, "54395"), ("810000000009", "NEUF", *GP, "54395")]


def test_persons_are_counted_once_in_each_commune(card, tmp_path):
    raw = edition(card, tmp_path, "Sun, 04 Oct 2026", [*OCTOBER, *others()])
    found = observe(*card, raw.path).query("variable == 'rpps_gp'").set_index("geo_code")["value"]
    assert found.to_dict() == {"54431": 2, "54395": 1}


def others() -> list[tuple]:
    """One of each other profession: a profession that vanished from the file is an error."""
    return [(f"81000000010{i}", "X", code, "C", "", "L", "54395") for i, code in enumerate(("50", "60", "70"))]


def test_a_month_is_kept_as_counts_and_never_changes(card, tmp_path):
    storage = storage_in(tmp_path)
    first = keep_history(*card, edition(card, tmp_path, "Sun, 04 Oct 2026", OCTOBER), storage)
    before = first.read_bytes()
    assert keep_history(*card, edition(card, tmp_path, "Sun, 25 Oct 2026", NOVEMBER), storage) == first
    assert first.read_bytes() == before
    kept = pd.read_parquet(first)
    assert list(kept.columns) == ["commune", "profession", "specialite", "mode", "count"]
    assert kept[["commune", "count"]].to_numpy().tolist() == [["54395", 1], ["54431", 2]]
    assert not any(name.encode() in before for name in (*NAMES, "8100000000"))


def rows_of(frame, variable: str) -> dict:
    rows = frame[frame["variable"] == variable]
    return rows.set_index(["geo_code", "period"])["value"].to_dict()


def test_the_months_kept_become_observations(card, tmp_path):
    """A month stands under its own name; the count of a year ago, beside that of today, once it was kept."""
    source, distribution = card
    storage = storage_in(tmp_path)
    kept = edition(card, tmp_path, "Sat, 04 Oct 2025", OCTOBER)
    keep_history(*card, kept, storage)
    now = edition(card, tmp_path, "Sun, 04 Oct 2026", [*NOVEMBER, *others()])
    keep_history(*card, now, storage)
    observed = observe(*card, now.path)

    found = with_history(observed, source, distribution, now, storage)
    assert rows_of(found, "rpps_gp_monthly") == {
        ("54431", "2025-10"): 2, ("54395", "2025-10"): 1, ("54431", "2026-10"): 1, ("54395", "2026-10"): 2,
    }  # fmt: skip
    assert rows_of(found, "rpps_gp_year_before") == {("54431", "2026"): 2, ("54395", "2026"): 1}
    assert found.attrs["rows"] == observed.attrs["rows"]
    assert [r.detail for r in check(source, distribution, found) if not r.passed] == []


def test_a_year_ago_is_unknown_until_it_was_kept(card, tmp_path):
    source, distribution = card
    storage = storage_in(tmp_path)
    now = edition(card, tmp_path, "Sun, 04 Oct 2026", [*OCTOBER, *others()])
    keep_history(*card, now, storage)
    found = with_history(observe(*card, now.path), source, distribution, now, storage)
    assert rows_of(found, "rpps_gp_year_before") == {}
    assert set(rows_of(found, "rpps_gp_monthly")) == {("54431", "2026-10"), ("54395", "2026-10")}


def test_months_after_the_file_that_serves_do_not_count(card, tmp_path):
    source, distribution = card
    storage = storage_in(tmp_path)
    now = edition(card, tmp_path, "Sun, 04 Oct 2026", [*OCTOBER, *others()])
    for raw in (now, edition(card, tmp_path, "Wed, 04 Nov 2026", NOVEMBER)):
        keep_history(*card, raw, storage)
    found = with_history(observe(*card, now.path), source, distribution, now, storage)
    assert {period for _, period in rows_of(found, "rpps_gp_monthly")} == {"2026-10"}


def test_the_months_of_a_file_that_should_not_have_served_are_put_aside(card, tmp_path):
    """The month is then that of the next edition; what was counted wrongly stays beside, and counts no more."""
    source, _ = card
    storage = storage_in(tmp_path)
    keep_history(*card, edition(card, tmp_path, "Sun, 04 Oct 2026", OCTOBER), storage)
    wrong = edition(card, tmp_path, "Wed, 04 Nov 2026", OCTOBER[:1])
    month = keep_history(*card, wrong, storage)
    assert withdraw(source.id, "0" * 64, storage) == []
    (aside,) = withdraw(source.id, wrong.receipt.sha256, storage)
    assert (aside.is_file(), month.exists()) == (True, False)
    assert set(read_history(*card, storage)["month"]) == {"2026-10"}
    assert keep_history(*card, edition(card, tmp_path, "Wed, 25 Nov 2026", NOVEMBER), storage) == month
    november = read_history(*card, storage).query("month == '2026-11'").set_index("commune")["count"]
    assert november.to_dict() == {"54395": 2, "54431": 1}


@given(st.dates(datetime.date(2000, 1, 1)), st.integers(0, 200))
def test_months_are_counted_back_one_by_one(day, months):
    expected = day.replace(day=1)
    for _ in range(months):
        expected = (expected - datetime.timedelta(days=1)).replace(day=1)
    assert month_before(f"{day:%Y-%m}", months) == f"{expected:%Y-%m}"


@pytest.mark.parametrize(
    ("told", "month"),
    [
        ("Sun, 04 Oct 2026 06:00:00 GMT", "2026-10"),
        ("Sun, 04 Oct 2026 06:00:00", "2026-10"),
        ("Fri, 04 Oct 2097 06:00:00 GMT", "2026-11"),  # a server whose clock is ahead
        ("hier", "2026-11"),
        (None, "2026-11"),
    ],
)
def test_the_month_of_a_file_is_never_to_come(card, tmp_path, told, month):
    path = tmp_path / "f.txt"
    path.write_bytes(b"x")
    came = datetime.datetime(2026, 11, 22, tzinfo=datetime.UTC)
    receipt = make_receipt(*card, path, path="f.txt", resolved="", last_modified=told, now=came)
    assert month_of(receipt) == month


def test_a_test_that_does_not_read_is_told_with_its_columns(card, tmp_path):
    source, distribution = card
    storage = storage_in(tmp_path)
    now = edition(card, tmp_path, "Sun, 04 Oct 2026", [*OCTOBER, *others()])
    keep_history(*card, now, storage)
    wrong = distribution.history.model_copy(update={"values": {"rpps_gp_monthly": Kept(where="profesion = '10'")}})
    distribution = distribution.model_copy(update={"history": wrong})
    with pytest.raises(SourceError, match=r"history\.values\.rpps_gp_monthly.*profession"):
        with_history(observe(*card, now.path), source, distribution, now, storage)


def test_a_message_about_a_damaged_line_names_nobody(card, tmp_path):
    path = edition(card, tmp_path, "Sun, 04 Oct 2026", [*OCTOBER, *others()]).path
    path.write_bytes(path.read_bytes().replace(b"|MARTIN|", b"|MARTIN|COUPE\r\n", 1))
    with pytest.raises(SourceError, match=r"ligne 4.*cellule") as caught:
        observe(*card, path)
    assert not any(name in str(caught.value) for name in (*NAMES, "COUPE", "8100000"))


def test_a_history_that_was_never_kept_is_told(card, tmp_path):
    with pytest.raises(SourceError, match="aucun état"):
        read_history(*card, storage_in(tmp_path))
