"""Stage 4: every declared indicator, for every zone of France, at once."""

import datetime

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from assets.shared import GROUP_INDICATORS, asset, table, table_metadata
from diagnostics.catalog import Catalog
from diagnostics.geography.passage import Carried, Report
from diagnostics.geography.stored import read_reference
from diagnostics.indicators import (
    SNAPSHOT,
    build_facts,
    compute,
    needed_tables,
    needed_variables,
    reference_population,
    with_snapshot,
)
from diagnostics.products.dictionary import VALUES
from diagnostics.storage import replacing
from diagnostics.workshop import PROFILES, Workshop


def indicator_assets(catalog: Catalog) -> list[dg.AssetsDefinition]:
    tables = {name for profile in PROFILES for name in needed_tables(catalog, profile)}
    facts_of = [
        s.id
        for s in catalog.sources.values()
        if s.joined or any(d.observations or (d.table is not None and d.table_name in tables) for d in s.distributions)
    ]

    @asset(
        "indicators",
        "values",
        group=GROUP_INDICATORS,
        kinds={"duckdb", "parquet"},
        description="La table publique : chaque indicateur du catalogue pour chaque IRIS, commune, EPCI, PETR, CLS, "
        "département, région et la France, avec intervalle, fiabilité, couverture, comparaison et sources.",
        # Outlines are no input, but the membership of a new perimeter is only whole once they are made.
        deps=[["geography", "boundaries"], *(["observations", dataset] for dataset in facts_of)],
    )
    def values(context) -> dg.MaterializeResult:
        workshop: Workshop = context.resources.workshop
        workshop.announce("Indicateurs : passage au COG pivot")
        passages = build_facts(
            workshop.read_observations(needed_variables(workshop.catalog, workshop.profile)),
            workshop.sources.values(),
            read_reference(workshop.storage.geography),
            reference_population(workshop.catalog, workshop.profile),
        )
        reports = []

        def keep(passage: Carried) -> pd.DataFrame:
            reports.append(passage.report)
            return passage.observations

        table = compute(
            workshop.catalog,
            workshop.profile,
            (keep(passage) for passage in passages),
            workshop.read_membership(),
            versions=workshop.versions(),
            computed_at=datetime.datetime.now(datetime.UTC).replace(microsecond=0),
            tables={name: workshop.read_table(name) for name in needed_tables(workshop.catalog, workshop.profile)},
        )
        if workshop.profile == "embedded" and SNAPSHOT.exists():
            table = with_snapshot(table, pq.read_table(SNAPSHOT))
        write_values(table, workshop)
        stamp = workshop.record("values")
        france = table.filter(pa.compute.equal(table["zone_type"], "france")).to_pandas()
        return dg.MaterializeResult(
            metadata={
                **table_metadata(france, VALUES, preview=40),
                "dagster/row_count": dg.MetadataValue.int(table.num_rows),
                **_passage_metadata(reports),
                "dagster/column_lineage": column_lineage(workshop),
            },
            data_version=dg.DataVersion(stamp),
        )

    return [values]


def write_values(table: pa.Table, workshop: Workshop) -> None:
    with replacing(workshop.storage.values) as temporary:
        pq.write_table(table, temporary, compression="zstd")


LINEAGE = {
    "numerator": "value", "denominator": "value", "value": "value", "period": "period", "dataset_ids": "dataset_id",
    "zone_type": "geo_type",
}  # fmt: skip
"""Columns of the public table -> the column of the observations that they come from."""


def column_lineage(workshop: Workshop) -> dg.TableColumnLineage:
    facts = [dg.AssetKey(["observations", dataset]) for dataset in workshop.observed]
    lineage = {
        column: [dg.TableColumnDep(asset_key=key, column_name=origin) for key in facts]
        for column, origin in LINEAGE.items()
    }
    membership = dg.AssetKey(["geography", "reference"])
    lineage["zone_code"] = [dg.TableColumnDep(asset_key=membership, column_name="parent_code")]
    return dg.TableColumnLineage(lineage)


def _passage_metadata(reports: list[Report]) -> dict[str, dg.MetadataValue]:
    """What carrying old commune codes did, in a few numbers, and the codes that nobody knows."""
    unknown = pd.concat([report.unknown for report in reports])
    return {
        "Passage au pivot : fusions": dg.MetadataValue.int(sum(len(report.mergers) for report in reports)),
        "Passage au pivot : scissions": dg.MetadataValue.int(sum(len(report.splits) for report in reports)),
        "Passage au pivot : codes inconnus": table(unknown, 50),
    }
