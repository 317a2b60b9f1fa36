"""The small versioned snapshot: figures at EPCI level and above that this project computed in the mirror profile.

A run that has no network compares with it. Every value taken from it is flagged `snapshot`, with its vintage.
"""

from __future__ import annotations

from collections.abc import Collection

import duckdb
import pandas as pd
import pyarrow as pa

from diagnostics.indicators.engine import VALUES_SCHEMA
from diagnostics.storage import PROJECT_ROOT

SNAPSHOT = PROJECT_ROOT / "snapshot" / "values.parquet"
DEPARTEMENTS = ("38", "54", "55", "57")
"""The départements of the founding territories, whose EPCI the snapshot holds."""


def extract_snapshot(values: pa.Table, membership: pd.DataFrame, whole_communes: list[str]) -> pa.Table:
    """The rows of `values` that may be versioned: EPCI of `DEPARTEMENTS`, PETR, CLS above the commune, and up.

    `whole_communes`: CLS that are a single commune or less, which stay out.
    """
    with duckdb.connect() as db:
        db.register("all_values", values)
        db.register("membership", membership)
        return db.sql(
            """
            with near as (
                select distinct e.parent_code as zone_code
                from membership e join membership d using (child_type, child_code)
                where e.parent_type = 'epci' and d.parent_type = 'departement' and list_contains(?, d.parent_code)
            )
            select * from all_values
            where zone_type in ('petr', 'departement', 'region', 'france')
               or (zone_type = 'cls' and not list_contains(?, zone_code))
               or (zone_type = 'epci' and zone_code in (select zone_code from near))
            order by indicator_id, zone_type, zone_code, period
            """,
            params=[list(DEPARTEMENTS), whole_communes],
        ).to_arrow_table()


def from_snapshot(snapshot: pa.Table, known: Collection[str]) -> pa.Table:
    """The snapshot's figures, flagged, for the indicators that this run could not compute at all (not in `known`).

    An indicator computed here is never mixed with another vintage of itself.
    """
    with duckdb.connect() as db:
        db.register("snapshot", snapshot)
        return (
            db.sql(
                """
            select * replace (
                'snapshot' as reliability,
                method || '; repère calculé le ' || strftime(computed_at, '%d/%m/%Y') as method)
            from snapshot
            where not list_contains(?, indicator_id) and value is not null
            order by indicator_id, zone_type, zone_code, period
            """,
                params=[sorted(known)],
            )
            .to_arrow_table()
            .cast(VALUES_SCHEMA)
        )
