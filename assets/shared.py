"""What every asset module says in the same way: groups, owners, tags, and how a product shows itself."""

import base64
import io
import os
import unicodedata
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from numbers import Integral, Real

import dagster as dg
import pandas as pd
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager
from PIL import Image
from upath import UPath

from diagnostics import french
from diagnostics.catalog import Source, Territory
from diagnostics.errors import DiagnosticError
from diagnostics.stamps import digest
from diagnostics.storage import replacing
from diagnostics.workshop import Workshop

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


def asset(stage: str, name: str, *, group: str, kinds: set[str], description: str, **more):
    """`dg.asset` with what all assets of the house say alike; `more` goes to it as it is."""
    return dg.asset(
        key=[stage, name],
        group_name=group,
        owners=OWNERS,
        kinds=kinds,
        description=description,
        required_resource_keys=FROM_WORKSHOP,
        **more,
    )


def table_metadata(frame: pd.DataFrame, columns: Mapping[str, str], preview: int = 10) -> dict[str, dg.MetadataValue]:
    """Row count, column schema with the meaning of each column in French, and the first rows as a table."""
    schema = dg.TableSchema(
        [dg.TableColumn(name, str(frame[name].dtype), description=columns.get(name, "")) for name in frame.columns]
    )
    return {
        "dagster/row_count": dg.MetadataValue.int(len(frame)),
        "dagster/column_schema": dg.MetadataValue.table_schema(schema),
        "Aperçu": table(frame, preview),
    }


def table(frame: pd.DataFrame, rows: int = 20) -> dg.MetadataValue:
    """The first rows as a table that the UI shows at once: of Markdown it folds whatever is longer than a few lines."""
    if frame.empty:
        return dg.MetadataValue.text("aucune ligne")
    schema = dg.TableSchema([dg.TableColumn(str(name), str(kind)) for name, kind in frame.dtypes.items()])
    shown = frame.head(rows).astype(object)
    records = [
        dg.TableRecord({str(name): _cell(value) for name, value in row.items()})
        for row in shown.to_dict(orient="records")
    ]
    return dg.MetadataValue.table(records, schema)


def _cell(value: object) -> str | int | float | None:
    if pd.isna(value):
        return None
    if isinstance(value, Integral):
        return int(value)
    return float(f"{value:.6g}") if isinstance(value, Real) else str(value)


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
    plain = unicodedata.normalize("NFKD", text.replace("’", " ").replace("'", " "))
    kept = "".join(c if c.isalnum() else " " for c in plain if c.isascii())
    return "-".join(kept.split())[:63].strip("-")


PREVIEW = (520, 372)
"""Pixels, at most, of a picture on an asset's page: what the column of values takes on a laptop's screen."""

PATH_PREFIX = "DAGSTER_WEBSERVER_PATH_PREFIX"
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


Produce = Callable[[Workshop, Territory], tuple[dict[str, object], str]]
"""Makes the products of one territory; gives the metadata of its page and the stamp it recorded."""


def territory_asset(
    name: str, produce: Produce, partitions: dg.PartitionsDefinition, *, group: str, kinds: set[str], **more
) -> dg.AssetsDefinition:
    """A product of each CLS, one partition per territory."""

    @asset(
        "territories",
        name,
        group=group,
        kinds=kinds,
        partitions_def=partitions,
        backfill_policy=backfill_policy(),
        **more,
    )
    def product(context) -> dg.MaterializeResult:
        return for_each_territory(context, produce)

    return product


def for_each_territory(context: dg.AssetExecutionContext, produce: Produce) -> dg.MaterializeResult:
    """The territories of this run: one, or many when a backfill puts them together."""
    workshop: Workshop = context.resources.workshop
    stamps = []
    for key in context.partition_keys:
        metadata, stamp = produce(workshop, workshop.catalog.territory(key))
        shown = {name: show(v, context, key) if isinstance(v, Picture) else v for name, v in metadata.items()}
        context.add_asset_metadata(shown, partition_key=key)
        stamps.append(stamp)
    return dg.MaterializeResult(data_version=dg.DataVersion(stamps[0] if len(stamps) == 1 else digest(stamps)))


@dataclass(frozen=True)
class Picture:
    """A PNG file that an asset's page must show, and the words for those who cannot see it."""

    path: UPath
    alt: str


def show(picture: Picture, context: dg.AssetExecutionContext, partition: str) -> dg.MetadataValue:
    """The picture on the asset's page. Dagster has no image type, and its UI folds any Markdown of 1,000 characters:
    a picture that stands in its own text is one click away. One that stands among the logs of the run has a short
    address on the same server, and is seen at once. Where logs are not kept on this machine, it goes into the text.

    A server that a proxy shows under a path (`/diagnostic`) is told so by the variable that `dagster-webserver` reads.
    """
    with picture.path.open("rb") as stream, Image.open(stream) as image:
        # Of a picture with a palette Pillow can only drop points, which breaks its letters.
        full = image.convert("RGB")
    full.thumbnail(PREVIEW)
    small = io.BytesIO()
    full.quantize(64, method=Image.Quantize.FASTOCTREE).save(small, "PNG")
    logs = context.instance.compute_log_manager
    if isinstance(logs, LocalComputeLogManager):
        key = [context.run.run_id, "cartes", f"{partition}-{picture.path.stem}"]
        with replacing(UPath(logs.get_captured_local_path(key, "png"))) as temporary:
            temporary.write_bytes(small.getvalue())
        address = f"{os.environ.get(PATH_PREFIX, '')}/logs/{'/'.join(key)}/png"
    else:
        address = f"data:image/png;base64,{base64.b64encode(small.getvalue()).decode()}"
    return dg.MetadataValue.md(f"![{picture.alt}]({address})")
