"""Stage 4: every declared indicator, for every zone of France, at once."""

import datetime
from collections.abc import Collection
from dataclasses import dataclass

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from assets.shared import GROUP_INDICATORS, asset, table, table_metadata
from diagnostics.catalog import Catalog
from diagnostics.geography.passage import Carried, Report
from diagnostics.geography.stored import read_reference
from diagnostics.indicators import (
    REFERENCE_POPULATION,
    SNAPSHOT,
    build_facts,
    by_indicator,
    compute,
    from_snapshot,
    needed_tables,
    needed_variables,
    reference_population,
    stamps_of,
    write_values,
)
from diagnostics.products.dictionary import VALUES
from diagnostics.sql import query
from diagnostics.storage import on_disk
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
        made = refresh_values(workshop)
        stamp = workshop.record("values")
        france = query(
            "select * from read_parquet(?) where zone_type = 'france' order by indicator_id, period desc",
            [str(on_disk(workshop.storage.values))],
        )
        return dg.MaterializeResult(
            metadata={
                **table_metadata(france, VALUES, preview=40),
                "dagster/row_count": dg.MetadataValue.int(made.rows),
                "Indicateurs recalculés": dg.MetadataValue.text(
                    f"{len(made.computed)} sur {len(workshop.parts)}. Les autres n’ont aucune entrée qui ait changé."
                ),
                **_passage_metadata(made.reports),
                "dagster/column_lineage": column_lineage(workshop),
            },
            data_version=dg.DataVersion(stamp),
        )

    return [values]


@dataclass(frozen=True)
class Refreshed:
    """`rows` of the whole table, the indicators `computed` anew, the `reports` of the passage of their datasets."""

    rows: int
    computed: set[str]
    reports: list[Report]


def refresh_values(workshop: Workshop) -> Refreshed:
    """Bring the public table up to date: the rows whose inputs did not move are those of the former table."""
    # Read before any input is: what moves meanwhile is computed again next time.
    stamps, firm, former = workshop.part_stamps(), workshop.firm_indicators(), stamps_of(workshop.storage.values)
    moved = {name for name, stamp in stamps.items() if former.get(name) != stamp}
    moved = {member for name in moved for member in workshop.parts[name].indicators}
    kept = set(stamps) - moved
    computed, reports = compute_values(workshop, moved)
    sound = {name: stamp for name, stamp in stamps.items() if name in kept or (name in computed and name in firm)}
    if workshop.profile == "embedded" and SNAPSHOT.exists():
        computed |= by_indicator(from_snapshot(pq.read_table(SNAPSHOT), {*computed, *kept}))
    return Refreshed(write_values(workshop.storage.values, computed, kept=kept, stamps=sound), moved, reports)


def compute_values(workshop: Workshop, names: Collection[str]) -> tuple[dict[str, pa.Table], list[Report]]:
    """The rows of these indicators, whole parts of the table, and what the passage to the pivot did to their facts."""
    # The reference population weighs the others: it is computed with them, and left out unless it is asked for.
    catalog, profile = workshop.catalog.of_indicators({*names, REFERENCE_POPULATION}), workshop.profile
    workshop.announce(f"Indicateurs : {len(names)} à calculer")
    passages = build_facts(
        workshop.read_observations(needed_variables(catalog, profile)),
        workshop.sources.values(),
        read_reference(workshop.storage.geography),
        reference_population(catalog, profile),
    )
    reports = []

    def keep(passage: Carried) -> pd.DataFrame:
        reports.append(passage.report)
        return passage.observations

    values = compute(
        catalog,
        profile,
        (keep(passage) for passage in passages),
        workshop.read_membership(),
        versions=workshop.versions(),
        computed_at=datetime.datetime.now(datetime.UTC).replace(microsecond=0),
        tables=workshop.read_tables(needed_tables(catalog, profile)),
    )
    return {name: rows for name, rows in by_indicator(values).items() if name in names}, reports


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
