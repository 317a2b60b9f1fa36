"""One partition per territory card: a new card appears without code, when the code location is reloaded."""

import dagster as dg

from diagnostics.catalog import Catalog


def territory_partitions(catalog: Catalog) -> dg.StaticPartitionsDefinition:
    return dg.StaticPartitionsDefinition(sorted(catalog.territories))
