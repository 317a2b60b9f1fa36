"""Stage 1: the bytes as published, with their receipts. One asset per source card."""

import dagster as dg
import pandas as pd

from assets.shared import GROUP_RAW, RHYTHMS, asset, freshness_of, identity, table, tag_text
from diagnostics.catalog import Catalog, Distribution, Source
from diagnostics.sources.refusals import Outcome
from diagnostics.workshop import Workshop

ACCEPTANCE = "acceptation"
STATES = {
    "unchanged": "inchangé", "adopted": "nouveau, accepté", "refused": "nouveau refusé, le précédent sert",
    "unreachable": "producteur injoignable, le précédent sert", "absent": "absent",
}  # fmt: skip


def raw_assets(catalog: Catalog) -> list[dg.AssetsDefinition]:
    return [_raw_asset(source) for source in catalog.sources.values()]


def _raw_asset(source: Source) -> dg.AssetsDefinition:
    key = dg.AssetKey(["raw", source.id])

    @asset(
        "raw",
        source.id,
        group=GROUP_RAW,
        kinds={"file"},
        deps=[["producers", source.id]],
        tags={"producteur": tag_text(source.producer), "rythme": source.rhythm, "theme": tag_text(source.theme)},
        description=describe(source),
        metadata=identity(source),
        freshness_policy=freshness_of(source),
        check_specs=[
            dg.AssetCheckSpec(
                ACCEPTANCE,
                asset=key,
                description="Le fichier que donne le producteur est là et a été accepté. Un fichier refusé est gardé à "
                "part, le dernier bon continue de servir : voir `diagnostic sources list --dataset`.",
            )
        ],
    )
    def raw(context):
        workshop: Workshop = context.resources.workshop
        workshop.announce(f"Fichiers : {source.title}")
        brought = workshop.fetch(source.id)
        stamp = workshop.record(f"raw/{source.id}")
        yield _acceptance(key, brought)
        yield dg.MaterializeResult(
            asset_key=key, metadata=_metadata(source, workshop, brought), data_version=dg.DataVersion(stamp)
        )

    return raw


def _acceptance(key: dg.AssetKey, brought: list[tuple[Distribution, Outcome]]) -> dg.AssetCheckResult:
    """Failed when a file was refused or is lacking; a warning when a producer did not answer, or a drop is awaited."""
    troubles = [(d, o) for d, o in brought if o.message]
    mild = all(o.state == "unreachable" or d.address.startswith("manual://") for d, o in troubles)
    lines = []
    for distribution, outcome in brought:
        seen = {"distribution": distribution.id, "état": STATES[outcome.state]}
        lines += [
            seen | {"contrôle": r.name, "résultat": "réussi" if r.passed else "ÉCHEC", "détail": r.detail}
            for r in outcome.results
        ] or [seen]
    return dg.AssetCheckResult(
        check_name=ACCEPTANCE,
        asset_key=key,
        passed=not troubles,
        severity=dg.AssetCheckSeverity.WARN if mild else dg.AssetCheckSeverity.ERROR,
        description="\n\n".join(outcome.message for _, outcome in troubles) or None,
        metadata={"Contrôles": table(pd.DataFrame(lines), len(lines))},
    )


def _metadata(source: Source, workshop: Workshop, brought: list[tuple[Distribution, Outcome]]) -> dict:
    if not brought:
        return {"Remarque": f"Aucune distribution dans le profil « {workshop.profile} »."}
    files = [outcome.raw.receipt for _, outcome in brought if outcome.raw]
    listed = pd.DataFrame(
        [
            {"distribution": r.distribution, "millésime": r.vintage, "octets": r.size,
             "sha256": f"{r.sha256[:12]}…", "adresse": r.address}
            for r in files
        ]
    )  # fmt: skip
    return {
        "Dernier millésime": ", ".join(dict.fromkeys(r.vintage for r in files)) or "aucun",
        "Fichiers": table(listed, len(listed)),
        "Octets": dg.MetadataValue.int(sum(r.size for r in files)),
    }


def describe(source: Source) -> str:
    """The card in a few French lines, for the asset's page."""
    text = (
        f"**{source.title}** — {source.producer}. Licence : {source.licence}. Mise à jour : {RHYTHMS[source.rhythm]}."
    )
    return f"{text}\n\n{source.notes}" if source.notes else text
