"""Stage 7: what changed for one CLS since the last dated copy, one partition per territory."""

import datetime

import dagster as dg

from assets.shared import GROUP_FOLLOW_UP, territory_asset
from diagnostics import changes, french
from diagnostics.catalog import Territory
from diagnostics.changes.history import COLUMNS, ZONE_TYPES, FileUsed, Refused
from diagnostics.sources.fetch import raw_folder, raw_name
from diagnostics.sources.refusals import refusals
from diagnostics.sql import query
from diagnostics.storage import on_disk, replacing
from diagnostics.workshop import Workshop


def change_assets(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    return [
        territory_asset(
            "changes",
            keep_and_compare,
            partitions,
            group=GROUP_FOLLOW_UP,
            kinds={"markdown", "html"},
            deps=[["indicators", "values"]],
            description="Ce qui a changé pour un territoire depuis la dernière copie datée : fichiers et millésimes "
            "nouveaux, chiffres révisés, seuils franchis, changements de côté par rapport aux repères, communes, "
            "fichiers refusés. La copie du jour reste dans `history/`, pour `diagnostic diff`.",
        )
    ]


def keep_and_compare(workshop: Workshop, territory: Territory) -> tuple[dict[str, dg.MetadataValue], str]:
    """Keep today's copy of a territory and tell what moved since the former one; see `for_each_territory`."""
    workshop.announce(f"{territory.name} : ce qui a changé")
    today = datetime.date.today()
    processed = workshop.storage.processed
    copy = changes.take(
        territory.id,
        territory.name,
        query(
            f"select {', '.join(COLUMNS)} from read_parquet(?) where zone_type in {ZONE_TYPES}",
            [str(on_disk(workshop.storage.values))],
        ),
        workshop.read_membership(),
        workshop.read_zones(),
        date=today,
        profile=workshop.profile,
        files=files_used(workshop),
        refused=files_refused(workshop),
    )
    folder = changes.write_copy(copy, processed)
    former = changes.former(processed, territory.id, today, workshop.profile)
    metadata = {
        "Dossier": dg.MetadataValue.path(str(folder)),
        "Copie du jour": f"{french.number(len(copy.values))} valeurs",
    }
    if former is None:
        metadata["Constat"] = "Première copie de ce territoire dans ce profil : rien à comparer."
        for name in ("changes.md", "changes.html"):
            (folder / name).unlink(missing_ok=True)
    else:
        found = changes.compare(former, copy, workshop.catalog)
        text = changes.to_markdown(found)
        for name, content in (("changes.md", text), ("changes.html", changes.to_html(found))):
            with replacing(folder / name) as temporary:
                temporary.write_text(content, encoding="utf-8")
        metadata["Ce qui a changé"] = dg.MetadataValue.md(text)
    return metadata, workshop.record(f"changes/{territory.id}")


def files_used(workshop: Workshop) -> list[FileUsed]:
    """Every raw file that serves in the profile, as its receipt tells it."""
    return [
        FileUsed(
            dataset=source.id, distribution=d.id, title=source.title, vintage=receipt.vintage, sha256=receipt.sha256
        )
        for source in workshop.sources.values()
        for d in workshop.distributions(source.id)
        if (receipt := workshop.receipt(source.id, d)) is not None
    ]  # fmt: skip


def files_refused(workshop: Workshop) -> list[Refused]:
    """The newer files that wait for a decision."""
    found = {
        (source.title, refusal.refused_at): Refused(
            title=source.title, refused_at=refusal.refused_at, reasons=refusal.reasons()
        )
        for source in workshop.sources.values()
        for d in workshop.distributions(source.id)
        for refusal in refusals(raw_folder(source, d, workshop.storage), raw_name(source, d))
    }
    return list(found.values())
