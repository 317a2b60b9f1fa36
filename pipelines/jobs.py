"""Which assets run together. Jobs name selections; when they run is said in `schedules.py` and `sensors.py`."""

import dagster as dg

DIAGNOSTIC = "diagnostic_complet"
FIGURES = "indicateurs_france"
DELIVERABLES = "livrables_territoire"


def jobs(partitions: dg.PartitionsDefinition) -> list:
    figures = dg.AssetSelection.key_prefixes("raw", "observations", "geography", "indicators")
    deliverables = dg.AssetSelection.key_prefixes("territories")
    return [
        dg.define_asset_job(
            DIAGNOSTIC,
            selection=figures | deliverables,
            partitions_def=partitions,
            description="Tout le diagnostic d'un territoire : fichiers, indicateurs, cartes, rapport et annexe.",
        ),
        dg.define_asset_job(
            FIGURES, selection=figures, description="Fichiers, géographie et indicateurs de toute la France."
        ),
        dg.define_asset_job(
            DELIVERABLES,
            selection=deliverables,
            partitions_def=partitions,
            description="Cartes, rapport et annexe d'un territoire, à partir des indicateurs déjà calculés.",
        ),
    ]
