"""Running the pipeline from a command: only what is out of date, in one process, with its history kept."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq

from diagnostics.catalog import load_catalog
from diagnostics.indicators import SNAPSHOT, extract_snapshot
from diagnostics.storage import PROJECT_ROOT, replacing
from diagnostics.workshop import Workshop
from pipelines.definitions import build_assets

Announce = Callable[[str], None]


def stale_assets(workshop: Workshop) -> list[dg.AssetKey]:
    """The assets above the territories that are not up to date, in the order of the flow.

    Raw files are always looked at, which costs nothing when nothing moved; a stage is stale when its stamp changed.
    """
    stale = [
        dg.AssetKey([stage, dataset])
        for stage in ("raw", "observations")
        for dataset in workshop.sources
        if not workshop.is_current(f"{stage}/{dataset}")
    ]
    if not workshop.is_current("geography"):
        stale += [dg.AssetKey(["geography", "reference"]), dg.AssetKey(["geography", "boundaries"])]
    if not workshop.is_current("values"):
        stale.append(dg.AssetKey(["indicators", "values"]))
    return stale


def stale_deliverables(workshop: Workshop, territory_id: str) -> list[dg.AssetKey]:
    return [
        dg.AssetKey(["territories", product])
        for product in ("maps", "report")
        if not workshop.is_current(f"{product}/{territory_id}")
    ]


def run(workshop: Workshop, territory_ids: Sequence[str]) -> list[str]:
    """Bring these territories up to date; returns what was made anew (empty when nothing had changed).

    Raises the DiagnosticError of the step that failed; products of former runs stay as they were.
    """
    made: list[str] = []
    figures = stale_assets(workshop)
    if figures:
        _materialize(workshop, figures, None)
        made += [key.to_user_string() for key in figures]
        # A new file may have moved what depends on it: the second look finds nothing unless it did.
        if follow_up := stale_assets(workshop):
            _materialize(workshop, follow_up, None)
    for territory_id in territory_ids:
        deliverables = stale_deliverables(workshop, territory_id)
        if deliverables:
            _materialize(workshop, deliverables, territory_id)
            made += [f"{key.to_user_string()}[{territory_id}]" for key in deliverables]
    return made


def _materialize(workshop: Workshop, keys: Sequence[dg.AssetKey], partition: str | None) -> None:
    assets = build_assets(workshop.catalog)
    os.environ.setdefault("DAGSTER_HOME", str(PROJECT_ROOT))
    with dg.DagsterInstance.get() as instance:
        dg.materialize(
            assets,
            selection=dg.AssetSelection.assets(*keys),
            resources={"workshop": workshop},
            partition_key=partition,
            instance=instance,
            raise_on_error=True,
        )


def bring_geography(workshop: Workshop) -> None:
    """Make the pivot reference, and only what it needs, unless it is up to date."""
    if workshop.is_current("geography"):
        return
    tables = [d for d in workshop.sources if any(x.table for x in workshop.distributions(d))]
    keys = [dg.AssetKey([stage, dataset]) for stage in ("raw", "observations") for dataset in tables]
    _materialize(workshop, [*keys, dg.AssetKey(["geography", "reference"])], None)


def write_snapshot(announce: Announce) -> tuple[Path, int]:
    """Bring the mirror profile's figures up to date and keep, in the repository, those that may be versioned."""
    workshop = workshop_for("mirror", announce)
    workshop.require_mirror()
    run(workshop, [])
    single = [t.id for t in workshop.catalog.territories.values() if t.kind == "commune"]
    table = extract_snapshot(pq.read_table(workshop.storage.values), workshop.read_membership(), single)
    with replacing(SNAPSHOT) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return SNAPSHOT, table.num_rows


def workshop_for(profile: str, announce: Announce) -> Workshop:
    return Workshop(load_catalog(), profile, announce=announce)
