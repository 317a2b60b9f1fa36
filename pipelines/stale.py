"""Which assets are not up to date: what a command makes, what a schedule or a sensor requests."""

from __future__ import annotations

from collections.abc import Sequence

from diagnostics.workshop import Workshop

Key = tuple[str, str]
"""Path of an asset's key: its stage and its name."""

REFERENCE, BOUNDARIES = ("geography", "reference"), ("geography", "boundaries")
VALUES, TYPOLOGY = ("indicators", "values"), ("indicators", "typology")
DATABASE = ("indicators", "database")

ABOVE: dict[str, list[Key]] = {
    "geography": [REFERENCE, BOUNDARIES],
    "values": [VALUES],
    "typology": [TYPOLOGY],
    "database": [DATABASE],
}
"""Products of France, as the workshop stamps them, and the assets that make them, in the order of the flow."""

DELIVERABLES = ("maps", "patterns", "report", "package", "changes")
"""What is made for each territory, in the order of the flow."""


def stale_assets(workshop: Workshop) -> list[Key]:
    """The assets above the territories that are not up to date, in the order of the flow.

    Raw files are always looked at, which costs nothing when nothing moved; a stage is stale when its stamp changed.
    """
    of_datasets = [(stage, dataset) for stage in ("raw", "observations") for dataset in workshop.sources]
    makers = {product_of(key): [key] for key in of_datasets} | ABOVE
    return [key for product in workshop.stale(makers) for key in makers[product]]


def stale_deliverables(workshop: Workshop, territory_id: str) -> list[Key]:
    return stale_of_each(workshop, [territory_id])[territory_id]


def stale_of_each(workshop: Workshop, territory_ids: Sequence[str]) -> dict[str, list[Key]]:
    """territory -> its deliverables that are not up to date. All are looked at together: a store far away is slow."""
    asked = {f"{product}/{name}": (name, product) for name in territory_ids for product in DELIVERABLES}
    found: dict[str, list[Key]] = {name: [] for name in territory_ids}
    for name, product in map(asked.__getitem__, workshop.stale(asked)):
        found[name].append(("territories", product))
    return found


def product_of(key: Key) -> str:
    """What the workshop calls the product of an asset above the territories."""
    return next((product for product, makers in ABOVE.items() if key in makers), "/".join(key))
