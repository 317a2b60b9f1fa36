"""Stage 7: what analysts take away: the DuckDB file of all figures, and the package of one CLS."""

import datetime

import dagster as dg

from assets.shared import GROUP_PRODUCTS, asset, table, territory_asset
from diagnostics.catalog import Territory
from diagnostics.products.database import connect, write_database
from diagnostics.products.extract import values_of
from diagnostics.products.layers import write_layers
from diagnostics.products.package import LAYERS, VALUES, write_package
from diagnostics.sql import frame_of
from diagnostics.storage import write_parquet
from diagnostics.workshop import Workshop


def database_assets() -> list[dg.AssetsDefinition]:
    # Whatever territories were looked at: the database holds what is up to date when it is made.
    patterns = dg.AssetDep(["territories", "patterns"], partition_mapping=dg.AllPartitionMapping())

    @asset(
        "indicators",
        "database",
        group=GROUP_PRODUCTS,
        kinds={"duckdb"},
        deps=[["indicators", "values"], ["indicators", "typology"], ["geography", "reference"], patterns],
        description="`diagnostic.duckdb` : tous les chiffres, le catalogue, les zones, les sources et les fichiers "
        "dans une base en lecture seule, commentée colonne par colonne. Elle remplace la précédente d'un seul coup : "
        "un carnet ouvert ne bloque rien et n'est pas bloqué.",
    )
    def database(context) -> dg.MaterializeResult:
        workshop: Workshop = context.resources.workshop
        workshop.announce("Base DuckDB")
        path = write_database(workshop)
        with connect(workshop.storage) as db:
            tables = frame_of(
                db.sql(
                    "select table_name, estimated_size as rows, comment from duckdb_tables() union all "
                    "select view_name, null, comment from duckdb_views() where not internal order by 1"
                )
            )
        stamp = workshop.record("database")
        return dg.MaterializeResult(
            metadata={
                "Fichier": dg.MetadataValue.path(str(path)),
                "Octets": dg.MetadataValue.int(path.stat().st_size),
                "Tables et vues": table(tables, len(tables)),
            },
            data_version=dg.DataVersion(stamp),
        )

    return [database]


def package_assets(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    return [
        territory_asset(
            "package",
            pack,
            partitions,
            group=GROUP_PRODUCTS,
            kinds={"parquet", "geopandas"},
            deps=[["territories", "report"], ["geography", "boundaries"]],
            description="Données d'un territoire : `indicators.parquet`, `carto.gpkg` (communes, EPCI et CLS, pour "
            "QGIS) et `datapackage.json`, qui décrit chaque fichier employé et produit ; `diagnostic verify` refait "
            "le diagnostic à partir de lui.",
        )
    ]


def pack(workshop: Workshop, territory: Territory) -> tuple[dict[str, dg.MetadataValue], str]:
    """The figures, the layers and the descriptor of one territory; see `for_each_territory`."""
    workshop.announce(f"{territory.name} : données")
    folder = workshop.storage.territory(territory.id)
    values = values_of(workshop, territory.id)
    write_parquet(values, folder / VALUES)
    layers = write_layers(workshop, territory.id, values, folder / LAYERS)
    path = write_package(workshop, territory, created=datetime.datetime.now(datetime.UTC))
    stamp = workshop.record(f"package/{territory.id}")
    metadata = {
        "Descripteur": dg.MetadataValue.path(str(path)),
        "Chiffres": dg.MetadataValue.int(len(values)),
        **{f"Couche {name}": dg.MetadataValue.int(size) for name, size in layers.items()},
    }
    return metadata, stamp
