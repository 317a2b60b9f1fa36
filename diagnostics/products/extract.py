"""The part of the public table that concerns one CLS: what its package carries and what a rebuild is held to."""

from __future__ import annotations

import pandas as pd

from diagnostics.sql import query
from diagnostics.storage import on_disk
from diagnostics.workshop import Workshop


def values_of(workshop: Workshop, territory_id: str) -> pd.DataFrame:
    """The rows of a CLS: its communes and their IRIS, and every zone that holds one of its communes.

    Columns of the public table; sorted by its key.
    """
    return query(
        """
        with inside as (
            select child_code as code from membership
            where child_type = 'commune' and parent_type = 'cls' and parent_code = $territory
        ), wanted as (
            select distinct parent_type as zone_type, parent_code as zone_code from membership
            where child_type = 'commune' and child_code in (select code from inside)
              and (parent_type <> 'cls' or parent_code = $territory)
            union
            select 'iris', child_code from membership
            where child_type = 'iris' and parent_type = 'commune' and parent_code in (select code from inside)
        )
        select * from read_parquet($path) semi join wanted using (zone_type, zone_code)
        order by indicator_id, zone_type, zone_code, period
        """,
        {"territory": territory_id, "path": str(on_disk(workshop.storage.values))},
        membership=workshop.read_membership(),
    )
