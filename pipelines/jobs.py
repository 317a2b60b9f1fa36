"""Which assets run together. Jobs name selections; when they run is said in `schedules.py` and `sensors.py`."""

import dagster as dg

DIAGNOSTIC = "diagnostic_complet"
FIGURES = "indicateurs_france"
DELIVERABLES = "livrables_territoire"
LOOK = "interroger_les_producteurs"

FIGURE_STAGES = ("raw", "observations", "geography", "indicators")


def jobs() -> list:
    figures = dg.AssetSelection.key_prefixes(*FIGURE_STAGES)
    deliverables = dg.AssetSelection.key_prefixes("territories")
    return [
        dg.define_asset_job(
            DIAGNOSTIC,
            selection=figures | deliverables,
            description="Tout le diagnostic d'un territoire : fichiers, indicateurs, cartes, rapport, annexe et ce qui "
            "a changé.",
        ),
        dg.define_asset_job(
            FIGURES, selection=figures, description="Fichiers, géographie et indicateurs de toute la France."
        ),
        dg.define_asset_job(
            DELIVERABLES,
            selection=deliverables,
            description="Cartes, rapport, annexe et ce qui a changé pour un territoire, à partir des indicateurs déjà "
            "calculés.",
        ),
        dg.define_asset_job(
            LOOK,
            selection=dg.AssetSelection.key_prefixes("producers", include_sources=True),
            description="Demander à chaque producteur si son fichier a changé, sans rien télécharger.",
        ),
    ]
