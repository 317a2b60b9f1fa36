"""Professionals counted by month without keeping one name: what the RPPS card promises."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from official_layouts import rpps
from producer import storage_in

from diagnostics.catalog import load_catalog
from diagnostics.errors import SourceError
from diagnostics.sources.history import departures_unreplaced, keep_history, read_history
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


def test_departures_that_nobody_replaced(card, tmp_path):
    storage = storage_in(tmp_path)
    for day, lines in (("Sun, 04 Oct 2026", OCTOBER), ("Wed, 04 Nov 2026", NOVEMBER)):
        keep_history(*card, edition(card, tmp_path, day, lines), storage)
    history = read_history(*card, storage)
    moves = departures_unreplaced(history, "2026-10", "2026-11", "profession = '10' AND mode = 'L'")
    assert moves.to_dict("list") == {
        "zone": ["54395", "54431"], "before": [1, 2], "after": [2, 1], "unreplaced": [0, 1],
    }  # fmt: skip


def test_a_month_that_was_not_kept_is_told(card, tmp_path):
    storage = storage_in(tmp_path)
    with pytest.raises(SourceError, match="aucun état"):
        read_history(*card, storage)
    keep_history(*card, edition(card, tmp_path, "Sun, 04 Oct 2026", OCTOBER), storage)
    with pytest.raises(SourceError, match="2025-10"):
        departures_unreplaced(read_history(*card, storage), "2025-10", "2026-10", "true")
