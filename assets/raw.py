"""Stage 1: the bytes as published, with their receipts. One asset per source card."""

import dagster as dg

from assets.shared import FROM_WORKSHOP, GROUP_RAW, OWNERS, RHYTHMS, freshness_of, identity, tag_text
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

    @dg.asset(
        key=key,
        deps=[["producers", source.id]],
        group_name=GROUP_RAW,
        owners=OWNERS,
        kinds={"file"},
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
        required_resource_keys=FROM_WORKSHOP,
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
    lines = ["| distribution | état | contrôle | résultat | détail |", "|---|---|---|---|---|"]
    for distribution, outcome in brought:
        state = STATES[outcome.state]
        if not outcome.results:
            lines.append(f"| {distribution.id} | {state} | – | – | – |")
        lines += [
            f"| {distribution.id} | {state} | {r.name} | {'réussi' if r.passed else '**échec**'} | {_cell(r.detail)} |"
            for r in outcome.results
        ]
    return dg.AssetCheckResult(
        check_name=ACCEPTANCE,
        asset_key=key,
        passed=not troubles,
        severity=dg.AssetCheckSeverity.WARN if mild else dg.AssetCheckSeverity.ERROR,
        description="\n\n".join(outcome.message for _, outcome in troubles) or None,
        metadata={"Contrôles": dg.MetadataValue.md("\n".join(lines))},
    )


def _metadata(source: Source, workshop: Workshop, brought: list[tuple[Distribution, Outcome]]) -> dict:
    if not brought:
        return {"Remarque": f"Aucune distribution dans le profil « {workshop.profile} »."}
    files = [outcome.raw.receipt for _, outcome in brought if outcome.raw]
    lines = ["| distribution | millésime | adresse | octets | sha256 |", "|---|---|---|---:|---|"]
    lines += [f"| {r.distribution} | {r.vintage} | {r.address} | {r.size} | {r.sha256[:12]}… |" for r in files]
    return {
        "Dernier millésime": ", ".join(dict.fromkeys(r.vintage for r in files)) or "aucun",
        "Fichiers": dg.MetadataValue.md("\n".join(lines)),
        "Octets": dg.MetadataValue.int(sum(r.size for r in files)),
    }


def _cell(text: str) -> str:
    """A message of several lines in one cell of a Markdown table."""
    return " ".join(text.replace("|", "¦").split())


def describe(source: Source) -> str:
    """The card in a few French lines, for the asset's page."""
    text = (
        f"**{source.title}** — {source.producer}. Licence : {source.licence}. Mise à jour : {RHYTHMS[source.rhythm]}."
    )
    return f"{text}\n\n{source.notes}" if source.notes else text
