"""Making a diagnostic a second time, beside the first, from the very same files: the work of `diagnostic verify`."""

from __future__ import annotations

import dataclasses
import tempfile
from dataclasses import dataclass, field

from upath import UPath

from diagnostics.products.package import read_package
from diagnostics.products.verify import code_differences, figure_differences, input_differences
from diagnostics.storage import Storage
from diagnostics.workshop import Workshop
from pipelines.run import Announce, Jobs, workshop_for
from pipelines.stale import DATABASE, stale_assets, stale_deliverables

NOT_COMPARED = ("package", "changes")
"""Deliverables that hold no figure of their own."""


@dataclass(frozen=True)
class Verdict:
    """`inputs`, `figures`: what differs, in French. `changed_code`: what changed in the installation since, which
    is told but is no failure as long as the figures are the same."""

    inputs: list[str] = field(default_factory=list)
    figures: list[str] = field(default_factory=list)
    changed_code: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        return not self.inputs and not self.figures


def verify(territory_id: str, announce: Announce) -> Verdict:
    """Rebuild a diagnostic from its `datapackage.json` in a temporary folder, and compare every figure.

    Stops at the files when they are no longer the same: figures made from others would prove nothing.
    Raises DiagnosticError when the diagnostic was never made.
    """
    here = workshop_for("embedded", announce)
    here.catalog.territory(territory_id)
    package = read_package(here, territory_id)
    made = workshop_for(package["parameters"]["run_profile"], announce)
    announce("Empreintes des fichiers")
    changed_code = code_differences(package)
    if inputs := input_differences(package, made):
        return Verdict(inputs=inputs, changed_code=changed_code)
    with tempfile.TemporaryDirectory(prefix="diagnostic-verify-") as folder:
        # The same raw files, which nothing here writes to: no producer is asked for anything.
        remade = dataclasses.replace(made, storage=Storage(UPath(folder), files=made.storage.raw.parent))
        _make(remade, territory_id)
        announce("Comparaison des chiffres")
        figures = figure_differences(territory_id, made, remade)
    return Verdict(inputs=[], figures=figures, changed_code=changed_code)


def _make(workshop: Workshop, territory_id: str) -> None:
    """All that a run makes of the raw files and that verify compares, in a history that is forgotten at once."""
    from dagster import DagsterInstance  # noqa: PLC0415

    # Nothing is there yet: what is stale is everything, in the order of the flow.
    figures = [key for key in stale_assets(workshop) if key[0] != "raw" and key != DATABASE]
    deliverables = [key for key in stale_deliverables(workshop, territory_id) if key[1] not in NOT_COMPARED]
    jobs = Jobs(workshop)
    with DagsterInstance.ephemeral() as instance:
        jobs.execute(figures, instance)
        jobs.execute(deliverables, instance, territory_id)
