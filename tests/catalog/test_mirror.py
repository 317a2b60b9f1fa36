"""Each card that names a file of the mirror tells its bytes and its rows, and the file keeps the card's contract."""

from __future__ import annotations

import csv
import os
from pathlib import Path

import pytest

from diagnostics.catalog.loading import load_catalog
from diagnostics.sources.contract import check
from diagnostics.sources.observe import observe, read_table
from diagnostics.storage import PROJECT_ROOT

MIRROR = Path(os.environ.get("DIAGNOSTIC_MIRROR") or PROJECT_ROOT.parent / "shared" / "open-data")
SCHEME = "mirror://"
CATALOG = load_catalog()
OF_THE_MIRROR = [
    pytest.param(source, distribution, id=f"{source.id}.{distribution.id}")
    for source in CATALOG.sources.values()
    for distribution in source.distributions
    if distribution.address.startswith(SCHEME)
]


@pytest.fixture(scope="module")
def manifest() -> dict[str, dict[str, str]]:
    path = MIRROR / "MANIFEST.csv"
    if not path.exists():
        pytest.skip(f"miroir absent : {MIRROR} (variable DIAGNOSTIC_MIRROR)")
    with path.open(encoding="utf-8", newline="") as stream:
        return {row["path"]: row for row in csv.DictReader(stream)}


@pytest.mark.parametrize(("source", "distribution"), OF_THE_MIRROR)
def test_a_card_tells_the_sha256_and_the_rows_of_the_manifest(manifest, source, distribution):
    row = manifest[distribution.address.removeprefix(SCHEME)]
    assert row["dataset_id"] == source.id
    assert distribution.sha256 == row["sha256"]
    assert distribution.rows is not None
    sheet = distribution.options.get("sheet")
    if sheet is None or row["notes"].startswith(f"sheet={sheet};"):  # the manifest counts the main sheet only
        low, high = distribution.rows
        assert low <= int(row["rows"]) <= high


@pytest.mark.parametrize(("source", "distribution"), OF_THE_MIRROR)
def test_a_file_of_the_mirror_keeps_the_contract_of_its_card(manifest, source, distribution):
    path = MIRROR / distribution.address.removeprefix(SCHEME)
    if distribution.table is not None:
        rows = read_table(source, distribution, path).attrs["rows"]
        assert distribution.rows[0] <= rows <= distribution.rows[1]
    if distribution.observations:
        observations = observe(source, distribution, path)
        broken = [result.detail for result in check(source, distribution, observations) if not result.passed]
        assert broken == []


def test_every_known_dataset_of_health_use_has_a_card(manifest):
    """Left out on purpose: reference lists, points without a commune, and files the notes of the mirror warn about."""
    without_card = {
        "anct_qpv_2024",
        "dgcl_banatic_2022",
        "eau_potable_refs",
        "envir_t1d_bv_dep",
        "eurostat_hopitaux_2020",
        "finess_autorisations",
        "geodair_2023",
        "insee_mortalite_nationale",
        "metric_gironde",
    }
    assert {row["dataset_id"] for row in manifest.values()} == without_card | (
        {row["dataset_id"] for row in manifest.values()} & set(CATALOG.sources)
    )
