"""Stage 5: the maps of one CLS, one partition per territory."""

import datetime
import json

import dagster as dg
import pandas as pd
from upath import UPath

from assets.shared import GROUP_MAPS, Picture, territory_asset
from diagnostics.cartography import save
from diagnostics.cartography.atlas import Land, atlas, is_classed_on_france
from diagnostics.cartography.kept import ground_digest, sheet_digests
from diagnostics.cartography.maps import locator
from diagnostics.catalog import Territory
from diagnostics.geography.boundaries import read_boundaries
from diagnostics.indicators import REFERENCE_POPULATION
from diagnostics.sql import query
from diagnostics.stamps import code_digest
from diagnostics.storage import on_disk, replacing
from diagnostics.workshop import Workshop

INDEX = "index.json"
"""Indicator -> what its map shows, in words."""
MADE_FROM = "made_from.json"
"""Map -> digest of what it was drawn from."""
COVER = "territoire"


def map_assets(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    return [
        territory_asset(
            "maps",
            draw,
            partitions,
            group=GROUP_MAPS,
            kinds={"matplotlib", "geopandas"},
            deps=[["indicators", "values"], ["geography", "boundaries"]],
            description="Cartes d'un territoire en PNG (200 points par pouce) et SVG : une par indicateur de ses axes "
            "qui se laisse cartographier, plus son contour pour la couverture.",
        )
    ]


def draw(workshop: Workshop, territory: Territory) -> tuple[dict[str, object], str]:
    """The maps of one territory; those that would be made from the same things again stay. See `for_each_territory`."""
    folder = workshop.storage.territory(territory.id) / "maps"
    catalog, land = workshop.catalog, read_land(workshop, territory)
    cards = [catalog.indicators[i] for i in territory.indicator_ids()]
    values = read_values(workshop, land, [card.id for card in cards])
    reference = read_reference_values(workshop, [card.id for card in cards if is_classed_on_france(card)])
    ground = ground_digest(land, code_digest("cartography"))
    wanted = {COVER: ground} | sheet_digests(land, catalog, values, reference, ground)
    former, words = read_words(folder / MADE_FROM), read_words(folder / INDEX)
    kept = {name for name in former if former[name] == wanted.get(name) and _is_whole(folder, name)}
    # Killed while it draws, a run leaves a list of maps that are what the list says.
    write_words({name: former[name] for name in kept}, folder / MADE_FROM)
    if COVER not in kept:
        save(locator(land.context, "around one" if land.is_one_commune else "alone"), folder, COVER)
    drawn = {}
    moved = values[~values["indicator_id"].isin(kept)]
    for sheet in atlas(land, catalog, moved, reference=reference, produced_on=datetime.date.today()):
        workshop.announce(f"{territory.name} : carte {len(drawn) + 1}")
        save(sheet.figure, folder, sheet.indicator_id)
        drawn[sheet.indicator_id] = sheet.alt
    known = drawn | {name: words[name] for name in kept - {COVER}}
    shown = {name: known[name] for name in territory.indicator_ids() if name in known}
    forget_others(folder, {COVER, *shown})
    write_words(shown, folder / INDEX)
    write_words({name: wanted[name] for name in (COVER, *shown)}, folder / MADE_FROM)
    stamp = workshop.record(f"maps/{territory.id}")
    metadata = {
        "Cartes": dg.MetadataValue.int(len(shown)),
        "Cartes redessinées": dg.MetadataValue.int(len(drawn)),
        "Dossier": dg.MetadataValue.path(str(folder)),
        **{
            f"Carte : {catalog.indicators[i].label}": Picture(folder / f"{i}.png", alt)
            for i, alt in list(shown.items())[:3]
        },
    }
    return metadata, stamp


def read_words(path: UPath) -> dict[str, str]:
    """What is written of each map; nothing before the first run."""
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def write_words(words: dict[str, str], path: UPath) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(words, ensure_ascii=False, indent=1), encoding="utf-8")


def _is_whole(folder: UPath, name: str) -> bool:
    return all((folder / f"{name}{suffix}").exists() for suffix in (".png", ".svg"))


def read_land(workshop: Workshop, territory: Territory) -> Land:
    populations = query(
        """
        select zone_code, arg_max(value, period) as population from read_parquet(?)
        where indicator_id = ? and zone_type = 'commune' group by zone_code
        """,
        [str(on_disk(workshop.storage.values)), REFERENCE_POPULATION],
    )
    return Land.of(
        territory,
        read_boundaries(workshop.storage.geography),
        workshop.read_membership(),
        workshop.read_zones(),
        populations.set_index("zone_code")["population"],
    )


def read_values(workshop: Workshop, land: Land, indicator_ids: list[str]) -> pd.DataFrame:
    """The rows of the public table that maps of these indicators can need: zones of the CLS, around, benchmarks."""
    return query(
        """
        select v.* exclude (file_row_number) from read_parquet($path, file_row_number = true) v
        semi join wanted using (zone_type, zone_code)
        where list_contains($ids, indicator_id) order by file_row_number
        """,
        {"path": str(on_disk(workshop.storage.values)), "ids": indicator_ids},
        wanted=pd.DataFrame(land.zones_of_interest, columns=["zone_type", "zone_code"]),
    )


def read_reference_values(workshop: Workshop, indicator_ids: list[str]) -> pd.DataFrame:
    """Every commune of France, latest period, for these indicators: what class bounds are computed from."""
    return query(
        """
        with latest as (
            select indicator_id, zone_code, arg_max(value, period) as value
            from read_parquet($path)
            where zone_type = 'commune' and value is not null and list_contains($ids, indicator_id)
            group by indicator_id, zone_code
        ),
        people as (
            select zone_code, arg_max(value, period) as population
            from read_parquet($path)
            where zone_type = 'commune' and value is not null and indicator_id = $population
            group by zone_code
        )
        select indicator_id, value, population from latest join people using (zone_code)
        """,
        {"path": str(on_disk(workshop.storage.values)), "ids": indicator_ids, "population": REFERENCE_POPULATION},
    )


def forget_others(folder, stems: set[str]) -> None:
    """Maps of a former run that this one does not draw any more would be taken for current.

    What another run is writing at this moment, under a name that begins with a dot, is its own.
    """
    for path in folder.iterdir():
        if path.suffix in {".png", ".svg"} and path.stem not in stems and not path.name.startswith("."):
            path.unlink(missing_ok=True)
