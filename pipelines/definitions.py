"""The code location that Dagster loads. `build_definitions` lets tests and the command line make their own."""

import dagster as dg

from assets.changes import change_assets
from assets.geography import geography_assets
from assets.indicators import indicator_assets
from assets.maps import map_assets
from assets.observations import observation_assets
from assets.patterns import pattern_assets, typology_assets
from assets.producers import producer_assets
from assets.products import database_assets, package_assets
from assets.raw import raw_assets
from assets.reports import report_assets
from diagnostics.catalog import Catalog, load_catalog
from diagnostics.workshop import Workshop
from pipelines.alerts import alert_on_failure
from pipelines.checks import quality_checks
from pipelines.jobs import jobs
from pipelines.partitions import territory_partitions
from pipelines.resources import workshop_from_environment
from pipelines.schedules import schedules
from pipelines.sensors import sensors


def build_assets(catalog: Catalog) -> list[dg.AssetsDefinition]:
    """Every asset of the house, in the order of the flow."""
    partitions = territory_partitions(catalog)
    return [
        *producer_assets(catalog),
        *raw_assets(catalog),
        *observation_assets(catalog),
        *geography_assets(catalog),
        *indicator_assets(catalog),
        *typology_assets(),
        *database_assets(),
        *map_assets(partitions),
        *pattern_assets(partitions),
        *report_assets(partitions),
        *package_assets(partitions),
        *change_assets(partitions),
    ]


def build_definitions(catalog: Catalog | None = None, workshop: Workshop | None = None) -> dg.Definitions:
    """The whole code location, on the project's catalogue unless another is given."""
    catalog = catalog or (workshop.catalog if workshop else load_catalog())
    return dg.Definitions(
        assets=build_assets(catalog),
        asset_checks=quality_checks(catalog),
        jobs=jobs(),
        schedules=schedules(catalog),
        sensors=[*sensors(catalog), alert_on_failure],
        resources={"workshop": workshop or workshop_from_environment},
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster loads. Built when it is asked for: a command that makes its own pays for one only."""
    return build_definitions()
