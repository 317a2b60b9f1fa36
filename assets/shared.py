"""What every asset module says in the same way: groups, owners, tags, and how a product shows itself."""

from collections.abc import Mapping

import dagster as dg
import pandas as pd

from diagnostics import french

OWNERS = ["team:observatoire"]

GROUP_RAW = "g1_fichiers_bruts"
GROUP_OBSERVATIONS = "g2_observations"
GROUP_GEOGRAPHY = "g3_geographie"
GROUP_INDICATORS = "g4_indicateurs"
GROUP_MAPS = "g5_cartes"
GROUP_REPORTS = "g6_rapports"
GROUP_PRODUCTS = "g7_produits"

FROM_WORKSHOP = {"workshop"}
"""Every asset works in the `Workshop` that `pipelines/resources.py` provides."""


def table_metadata(frame: pd.DataFrame, columns: Mapping[str, str], preview: int = 10) -> dict[str, dg.MetadataValue]:
    """Row count, column schema with the meaning of each column in French, and the first rows as a table."""
    schema = dg.TableSchema(
        [dg.TableColumn(name, str(frame[name].dtype), description=columns.get(name, "")) for name in frame.columns]
    )
    return {
        "dagster/row_count": dg.MetadataValue.int(len(frame)),
        "dagster/column_schema": dg.MetadataValue.table_schema(schema),
        "Aperçu": dg.MetadataValue.md(frame.head(preview).to_markdown(index=False)),
    }


def count(value: int, noun: str) -> str:
    """`1 234 lignes`; French plural from two on."""
    return f"{french.number(value)} {noun}{'s' if value >= 2 else ''}"
