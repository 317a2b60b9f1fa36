"""Running the pipeline from a command: only what is out of date, in one process, with its history kept.

Dagster and the drawing libraries are loaded only when there is something to run: finding that nothing changed must be
immediate.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from diagnostics.catalog import load_catalog
from diagnostics.errors import CatalogError
from diagnostics.indicators import SNAPSHOT, extract_snapshot
from diagnostics.storage import PROJECT_ROOT, on_disk, replacing
from diagnostics.workshop import PROFILES, Workshop
from pipelines.stale import DATABASE, REFERENCE, Key, stale_assets, stale_deliverables

if TYPE_CHECKING:
    from dagster import DagsterInstance, Definitions

Announce = Callable[[str], None]

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""The command line says what it does in its own words; the history keeps every event."""


def run(workshop: Workshop, territory_ids: Sequence[str]) -> list[str]:
    """Bring these territories up to date; returns what was made anew (empty when nothing had changed).

    Raises the DiagnosticError of the step that failed; products of former runs stay as they were.
    """
    made, jobs = [], Jobs(workshop)
    if figures := _above_the_database(workshop):
        jobs.materialize(figures)
        made += ["/".join(key) for key in figures]
        # A new file may have moved what depends on it: the second look finds nothing unless it did.
        if follow_up := _above_the_database(workshop):
            jobs.materialize(follow_up)
    for territory_id in territory_ids:
        if deliverables := stale_deliverables(workshop, territory_id):
            jobs.materialize(deliverables, territory_id)
            made += [f"{'/'.join(key)}[{territory_id}]" for key in deliverables]
    if not workshop.is_current("database"):
        # Last, because it also holds the concentrations found for each territory.
        jobs.materialize([DATABASE])
        made.append("/".join(DATABASE))
    return made


def _above_the_database(workshop: Workshop) -> list[Key]:
    return [key for key in stale_assets(workshop) if key != DATABASE]


class Jobs:
    """The jobs of the code location on one workshop. They are built for the first run, and serve the next ones.

    A command makes nothing of the datasets of other profiles: they are left out.
    """

    def __init__(self, workshop: Workshop) -> None:
        self._workshop = workshop

    @cached_property
    def _definitions(self) -> Definitions:
        from pipelines.definitions import build_definitions  # noqa: PLC0415

        catalog = dataclasses.replace(self._workshop.catalog, sources=self._workshop.sources)
        return build_definitions(catalog, self._workshop)

    def materialize(self, keys: Sequence[Key], partition: str | None = None) -> None:
        """`execute` in the history of the installation."""
        import dagster as dg  # noqa: PLC0415

        os.environ.setdefault("DAGSTER_HOME", str(PROJECT_ROOT))
        with dg.DagsterInstance.get() as instance:
            self.execute(keys, instance, partition)

    def execute(self, keys: Sequence[Key], instance: DagsterInstance, partition: str | None = None) -> None:
        """One run of these assets and of their checks, by the job that the interface lists them under.

        Raises the error of the step that failed.
        """
        import dagster as dg  # noqa: PLC0415

        from pipelines.jobs import DELIVERABLES, FIGURES  # noqa: PLC0415

        self._definitions.resolve_job_def(DELIVERABLES if partition else FIGURES).execute_in_process(
            asset_selection=[dg.AssetKey(list(key)) for key in keys],
            partition_key=partition,
            run_config=QUIET,
            instance=instance,
            raise_on_error=True,
        )


def bring_geography(workshop: Workshop) -> None:
    """Make the pivot reference, and only what it needs, unless it is up to date. It does not depend on territories."""
    if workshop.is_current("reference"):
        return
    needed = [
        dataset
        for dataset, source in workshop.sources.items()
        if any(d.table for d in workshop.distributions(dataset)) or source.names_zones("iris", workshop.profile)
    ]
    Jobs(workshop).materialize([*((stage, d) for stage in ("raw", "observations") for d in needed), REFERENCE])


def write_snapshot(announce: Announce) -> tuple[Path, int]:
    """Bring the mirror profile's figures up to date and keep, in the repository, those that may be versioned."""
    workshop = workshop_for("mirror", announce)
    workshop.require_mirror()
    run(workshop, [])
    single = [t.id for t in workshop.catalog.territories.values() if t.kind == "commune"]
    table = extract_snapshot(pq.read_table(on_disk(workshop.storage.values)), workshop.read_membership(), single)
    with replacing(SNAPSHOT) as temporary:
        pq.write_table(table, temporary, compression="zstd")
    return SNAPSHOT, table.num_rows


def workshop_for(profile: str, announce: Announce) -> Workshop:
    """The workshop of the project in this profile."""
    if profile not in PROFILES:
        raise CatalogError(f"Profil inconnu : « {profile} ». Profils possibles : {', '.join(PROFILES)}.")
    return Workshop(load_catalog(), profile, announce=announce)
