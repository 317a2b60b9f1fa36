"""Stage 1: the bytes as published, with their receipts. One asset per source card."""

import dagster as dg

from assets.shared import FROM_WORKSHOP, GROUP_RAW, OWNERS
from diagnostics.catalog import Catalog, Source
from diagnostics.workshop import Workshop


def raw_assets(catalog: Catalog) -> list[dg.AssetsDefinition]:
    return [_raw_asset(source) for source in catalog.sources.values()]


def _raw_asset(source: Source) -> dg.AssetsDefinition:
    @dg.asset(
        key=["raw", source.id],
        group_name=GROUP_RAW,
        owners=OWNERS,
        kinds={"file"},
        tags={"producteur": _tag(source.producer), "rythme": source.rhythm},
        description=describe(source),
        required_resource_keys=FROM_WORKSHOP,
    )
    def raw(context) -> dg.MaterializeResult:
        workshop: Workshop = context.resources.workshop
        workshop.announce(f"Fichiers : {source.title}")
        files = workshop.fetch(source.id)
        stamp = workshop.record(f"raw/{source.id}")
        if not files:
            return dg.MaterializeResult(
                metadata={"Remarque": f"Aucune distribution dans le profil « {workshop.profile} »."}
            )
        lines = ["| distribution | millésime | adresse | octets | sha256 |", "|---|---|---|---:|---|"]
        for file in files:
            r = file.receipt
            lines.append(f"| {r.distribution} | {r.vintage} | {r.address} | {r.size} | {r.sha256[:12]}… |")
        return dg.MaterializeResult(
            metadata={
                "Fichiers": dg.MetadataValue.md("\n".join(lines)),
                "Octets": dg.MetadataValue.int(sum(f.receipt.size for f in files)),
                "Licence": source.licence,
                "Producteur": source.producer,
                "Page du jeu de données": dg.MetadataValue.url(source.homepage),
            },
            data_version=dg.DataVersion(stamp),
        )

    return raw


def describe(source: Source) -> str:
    """The card in a few French lines, for the asset's page."""
    rhythm = {
        "monthly": "mensuelle", "quarterly": "trimestrielle", "yearly": "annuelle", "irregular": "irrégulière",
        "static": "aucune (fichier figé)",
    }[source.rhythm]  # fmt: skip
    text = f"**{source.title}** — {source.producer}. Licence : {source.licence}. Mise à jour : {rhythm}."
    return f"{text}\n\n{source.notes}" if source.notes else text


def _tag(text: str) -> str:
    """Dagster tags take letters, digits, `-_.` and 63 characters at most."""
    return "".join(c if c.isascii() and c.isalnum() else "-" for c in text)[:63].strip("-")
