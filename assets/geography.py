"""Stage 3: the pivot geography: communes, membership, boundaries."""

import dagster as dg
import pandas as pd

from assets.shared import GROUP_GEOGRAPHY, asset, count, table, table_metadata
from diagnostics.catalog import Catalog
from diagnostics.geography.boundaries import commune_boundaries, lacking, outlines, write_boundaries
from diagnostics.geography.membership import build_membership, build_zones
from diagnostics.geography.reference import build_reference
from diagnostics.geography.stored import read_reference, write_reference
from diagnostics.storage import write_parquet
from diagnostics.workshop import Workshop

OUTLINED = ("epci", "departement")
"""The zones above the commune whose outlines are kept, for maps and for QGIS, beside the CLS."""

MEMBERSHIP_COLUMNS = {
    "child_type": "niveau de la zone membre",
    "child_code": "code de la zone membre",
    "parent_type": "niveau de la zone qui la contient",
    "parent_code": "code de la zone qui la contient",
}


def outlined(catalog: Catalog) -> list[str]:
    """The levels above the commune that have outlines: a catalogue without any territory has no CLS to draw."""
    return [*OUTLINED, *(["cls"] if catalog.territories else [])]


def geography_assets(catalog: Catalog) -> list[dg.AssetsDefinition]:
    """`deps` are the sources that declare a reference table, or name IRIS, in at least one profile."""
    needed = [s.id for s in catalog.sources.values() if any(d.table for d in s.distributions) or s.names_zones("iris")]

    @asset(
        "geography",
        "reference",
        group=GROUP_GEOGRAPHY,
        kinds={"pandas", "parquet"},
        description="Communes du COG pivot 2025, table de passage des anciens codes, appartenance des communes et des "
        "IRIS aux EPCI, PETR, CLS, départements, régions et à la France.",
        deps=[["observations", dataset] for dataset in needed],
    )
    def reference(context) -> dg.MaterializeResult:
        workshop: Workshop = context.resources.workshop
        workshop.announce("Géographie : communes et appartenances")
        made = build_reference(workshop.read_tables())
        write_reference(made, workshop.storage.geography)
        membership = build_membership(
            made, list(workshop.catalog.territories.values()), iris=workshop.read_iris_codes()
        )
        write_parquet(membership, workshop.storage.geography / "membership.parquet")
        stamp = workshop.record("reference")
        zones = build_zones(made, list(workshop.catalog.territories.values()))
        write_parquet(zones, workshop.storage.geography / "zones.parquet")
        return dg.MaterializeResult(
            metadata={
                "Communes": count(len(made.communes), "commune"),
                "EPCI": count(len(made.epci), "intercommunalité"),
                "Zones": table(zones.groupby("zone_type").size().rename("zones").reset_index()),
                **table_metadata(membership, MEMBERSHIP_COLUMNS),
            },
            data_version=dg.DataVersion(stamp),
        )

    @asset(
        "geography",
        "boundaries",
        group=GROUP_GEOGRAPHY,
        kinds={"geopandas", "parquet"},
        description="Contours des communes en GeoParquet, un fichier par projection (EPSG:2154 pour la métropole, la "
        "projection de chaque département outre-mer). Aucune source ouverte du projet ne donne les contours d'IRIS.",
        deps=[reference],
    )
    def boundaries(context) -> dg.MaterializeResult:
        workshop: Workshop = context.resources.workshop
        workshop.announce("Géographie : contours")
        pivot = read_reference(workshop.storage.geography)
        # Cantons only tell the missing land at the frontier; outlines stand without them.
        cantons = workshop.read_tables(["package_cantons"]).get("package_cantons")
        communes = commune_boundaries(workshop.read_table("package_communes"), pivot, cantons)
        write_boundaries(communes, workshop.storage.geography)
        membership = workshop.read_membership()
        for level in outlined(workshop.catalog):
            write_boundaries(outlines(communes, membership, level), workshop.storage.geography, level)
        stamp = workshop.record("geography")
        drawn = pd.DataFrame([{"EPSG": epsg, "communes": len(f)} for epsg, f in communes.items()])
        absent = lacking(communes, pivot)
        return dg.MaterializeResult(
            metadata={
                "Contours": table(drawn),
                "Communes sans contour propre": table(absent, 50),
            },
            data_version=dg.DataVersion(stamp),
        )

    return [reference, boundaries]
