"""Stage 0: what the producers publish, observed and never fetched. Raw files hang from it in the lineage.

Its data version is what the producer says of his file (ETag, date, size), or what the disk says of a file of ours:
when it moves, Dagster shows the raw files as out of date, before anything was downloaded.
"""

from collections.abc import Mapping

import dagster as dg
import pandas as pd

from assets.shared import FROM_WORKSHOP, GROUP_PRODUCERS, OWNERS, identity, table
from diagnostics.catalog import Catalog
from diagnostics.sources.published import Published
from diagnostics.workshop import Workshop

STAGE = "producers"


def producer_assets(catalog: Catalog) -> list[dg.AssetsDefinition]:
    specs = [
        dg.AssetSpec(
            [STAGE, source.id],
            group_name=GROUP_PRODUCERS,
            owners=OWNERS,
            kinds={"web"},
            metadata=identity(source),
            description=f"Ce que {source.producer} publie sous « {source.title} ». Observer demande au producteur si "
            "son fichier a changé, sans le télécharger.",
        )
        for source in catalog.sources.values()
    ]

    @dg.multi_observable_source_asset(
        name="producteurs", specs=specs, can_subset=True, required_resource_keys=FROM_WORKSHOP
    )
    def producers(context):
        workshop: Workshop = context.resources.workshop
        for key in sorted(context.selected_asset_keys):
            dataset = key.path[-1]
            if dataset in workshop.sources:
                workshop.announce(f"Producteur : {workshop.catalog.sources[dataset].title}")
                yield observation(key, workshop.published(dataset))

    return [producers]


def observation(key: dg.AssetKey, published: Mapping[str, Published]) -> dg.ObserveResult:
    """What was seen of each distribution; no data version when a producer did not answer, so that nothing moves."""
    lines = []
    for name, seen in published.items():
        state = "injoignable" if seen.problem else "nouveau" if seen.moved else "connu"
        lines.append({"distribution": name, "état": state, "version": seen.version, "remarque": seen.problem})
    known = [f"{name}={seen.version}" for name, seen in published.items() if seen.version]
    whole = len(known) == len(published)
    return dg.ObserveResult(
        asset_key=key,
        metadata={"Publié": table(pd.DataFrame(lines), len(lines))},
        data_version=dg.DataVersion("; ".join(known)) if whole and known else None,
    )
