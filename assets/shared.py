"""What every asset module says in the same way: groups, owners, tags, and how a product shows itself."""

import os
import warnings
from collections.abc import Callable, Mapping
from datetime import timedelta

import dagster as dg
import pandas as pd

from diagnostics import french
from diagnostics.catalog import Source, Territory
from diagnostics.errors import DiagnosticError
from diagnostics.workshop import Workshop, digest

# Backfill policies and observable assets are announced as beta; an analyst has no use for the notice.
warnings.filterwarnings("ignore", category=dg.BetaWarning)

OWNERS = ["team:observatoire"]

GROUP_PRODUCERS = "g0_producteurs"
GROUP_RAW = "g1_fichiers_bruts"
GROUP_OBSERVATIONS = "g2_observations"
GROUP_GEOGRAPHY = "g3_geographie"
GROUP_INDICATORS = "g4_indicateurs"
GROUP_MAPS = "g5_cartes"
GROUP_REPORTS = "g6_rapports"
GROUP_PRODUCTS = "g7_produits"
GROUP_FOLLOW_UP = "g8_suivi"

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


RHYTHMS = {
    "monthly": "mensuelle", "quarterly": "trimestrielle", "yearly": "annuelle", "irregular": "irrégulière",
    "static": "aucune (fichier figé)",
}  # fmt: skip

DAYS_OF = {"monthly": 31, "quarterly": 92, "yearly": 366}
"""How long a producer of that rhythm may go without being asked; the others have no date to be late on."""


def freshness_of(source: Source) -> dg.FreshnessPolicy | None:
    """A warning when a source was not looked at for one and a half of its periods, a failure after two."""
    if source.rhythm not in DAYS_OF:
        return None
    period = timedelta(days=DAYS_OF[source.rhythm])
    return dg.FreshnessPolicy.time_window(fail_window=2 * period, warn_window=1.5 * period)


def identity(source: Source) -> dict[str, dg.MetadataValue | str]:
    """Whose data these are, under which licence and how often they come: on every page that shows them."""
    return {
        "Producteur": source.producer,
        "Licence": source.licence,
        "Citation": source.citation,
        "Mise à jour": RHYTHMS[source.rhythm],
        "Page du jeu de données": dg.MetadataValue.url(source.homepage),
    }


def tag_text(text: str) -> str:
    """Dagster tags take letters, digits, `-_.` and 63 characters at most."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text)[:63].strip("-")


TERRITORIES_PER_RUN = "DIAGNOSTIC_TERRITORIES_PER_RUN"


def backfill_policy() -> dg.BackfillPolicy:
    """How a backfill of many territories is cut: one run each, unless `DIAGNOSTIC_TERRITORIES_PER_RUN` says `all` or
    how many go together. One each isolates a failure; many together pay the start of a run once."""
    wanted = os.environ.get(TERRITORIES_PER_RUN, "1")
    if wanted == "all":
        return dg.BackfillPolicy.single_run()
    if not wanted.isdigit() or int(wanted) == 0:
        raise DiagnosticError(f"{TERRITORIES_PER_RUN} = « {wanted} » : écrire un nombre de territoires, ou `all`.")
    return dg.BackfillPolicy.multi_run(int(wanted))


Produce = Callable[[Workshop, Territory], tuple[dict[str, dg.MetadataValue], str]]
"""Makes the products of one territory; gives the metadata of its page and the stamp it recorded."""


def for_each_territory(context: dg.AssetExecutionContext, produce: Produce) -> dg.MaterializeResult:
    """The territories of this run: one, or many when a backfill puts them together."""
    workshop: Workshop = context.resources.workshop
    stamps = []
    for key in context.partition_keys:
        metadata, stamp = produce(workshop, workshop.catalog.territory(key))
        context.add_asset_metadata(metadata, partition_key=key)
        stamps.append(stamp)
    return dg.MaterializeResult(data_version=dg.DataVersion(stamps[0] if len(stamps) == 1 else digest(stamps)))
