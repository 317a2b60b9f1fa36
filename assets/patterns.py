"""Stages 4 and 5: what no single figure shows: families of territories for all France, and, for one CLS, where like
values stand together, with the maps of both."""

import datetime

import dagster as dg
import geopandas as gpd
import pandas as pd

from assets.maps import INDEX, forget_others, read_land, read_reference_values, write_words
from assets.shared import GROUP_INDICATORS, GROUP_MAPS, Picture, asset, table, territory_asset
from diagnostics.cartography import save
from diagnostics.cartography.atlas import Land, is_classed_on_france
from diagnostics.cartography.patterns import concentration_sheets, smoothed_sheets, type_sheets
from diagnostics.catalog import Territory
from diagnostics.geography.boundaries import read_boundaries
from diagnostics.indicators import REFERENCE_POPULATION
from diagnostics.indicators.patterns import (
    Concentrations,
    Types,
    concentrations,
    departements_around,
    ground_of,
    smoothable,
    smoothed,
    types_of_territory,
)
from diagnostics.sql import query
from diagnostics.storage import on_disk, write_parquet
from diagnostics.workshop import Workshop


def typology_assets() -> list[dg.AssetsDefinition]:
    @asset(
        "indicators",
        "typology",
        group=GROUP_INDICATORS,
        kinds={"scikitlearn", "parquet"},
        deps=[["indicators", "values"]],
        description="Classes de communes et d'EPCI de France selon leur profil (Ward, exploratoire) : "
        "la classe de chaque zone, ce que chaque classe a de propre, et la stabilité de l'ensemble.",
    )
    def typology(context) -> dg.MaterializeResult:
        workshop: Workshop = context.resources.workshop
        workshop.announce("Typologie des communes et des EPCI")
        found = types_of_territory(workshop.catalog, read_for_types(workshop), REFERENCE_POPULATION)
        write_types(found, workshop)
        stamp = workshop.record("typology")
        return dg.MaterializeResult(
            metadata={
                "Zones classées": dg.MetadataValue.int(int(found.zones["class"].notna().sum())),
                "Classes": table(found.classes),
            },
            data_version=dg.DataVersion(stamp),
        )

    return [typology]


def pattern_assets(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    return [
        territory_asset(
            "patterns",
            look,
            partitions,
            group=GROUP_MAPS,
            kinds={"matplotlib", "geopandas", "parquet"},
            deps=[["indicators", "values"], ["indicators", "typology"], ["geography", "boundaries"]],
            description="Où se concentrent les valeurs (Moran et LISA, sur le département et ses voisins), à quel type "
            "de territoire ressemblent les communes et les EPCI, et les cartes lissées des taux fragiles.",
        )
    ]


def look(workshop: Workshop, territory: Territory) -> tuple[dict[str, object], str]:
    """The concentrations of one territory and the maps of its patterns; see `for_each_territory`."""
    workshop.announce(f"{territory.name} : concentrations et typologie")
    folder = workshop.storage.patterns(territory.id)
    land = read_land(workshop, territory)
    membership = workshop.read_membership()
    departements = around(workshop, land)
    area = communes_of(membership, departements)
    values = read_area(workshop, land, area, membership)
    found = find(workshop, land, values, departements=departements, area=area, membership=membership)
    write_parquet(found.zones, folder / "concentrations.parquet")
    write_parquet(found.moran, folder / "moran.parquet")
    drawn = {}
    for sheet in sheets(workshop, land, values, found, area):
        save(sheet.figure, folder, sheet.name)
        drawn[sheet.name] = sheet.alt
    forget_others(folder, set(drawn))
    write_words(drawn, folder / INDEX)
    stamp = workshop.record(f"patterns/{territory.id}")
    metadata = {
        "Cartes": dg.MetadataValue.int(len(drawn)),
        "Départements regardés ensemble": dg.MetadataValue.text(", ".join(departements)),
        "Indices de Moran": table(found.moran.drop(columns=["territory_id", "departements"]), 40),
        **{f"Carte : {name}": Picture(folder / f"{name}.png", alt) for name, alt in list(drawn.items())[:3]},
    }
    return metadata, stamp


def around(workshop: Workshop, land: Land) -> list[str]:
    """The départements of the CLS and those that touch them."""
    return departements_around(outlines_of(workshop, land, "departement"), land.around("departement"))


def outlines_of(workshop: Workshop, land: Land, level: str) -> gpd.GeoDataFrame:
    """The outlines of a level in the projection of the CLS."""
    epsg = land.communes.crs.to_epsg()
    return read_boundaries(workshop.storage.geography, level, [epsg])[epsg]


def communes_of(membership: pd.DataFrame, departements: list[str]) -> set[str]:
    links = membership[(membership["child_type"] == "commune") & (membership["parent_type"] == "departement")]
    return set(links.loc[links["parent_code"].isin(departements), "child_code"])


def epci_of(membership: pd.DataFrame, communes: set[str]) -> set[str]:
    links = membership[(membership["child_type"] == "commune") & (membership["parent_type"] == "epci")]
    return set(links.loc[links["child_code"].isin(communes), "parent_code"])


def find(
    workshop: Workshop,
    land: Land,
    values: pd.DataFrame,
    *,
    departements: list[str],
    area: set[str],
    membership: pd.DataFrame,
) -> Concentrations:
    """Moran and LISA of every indicator whose card asks for them."""
    own = set(land.communes.loc[land.communes["inside"], "code"])
    grounds = {
        "commune": (outlines_of(workshop, land, "commune"), area, own),
        "epci": (outlines_of(workshop, land, "epci"), epci_of(membership, area), epci_of(membership, own)),
    }
    return concentrations(
        land.territory.id,
        [i for i in workshop.catalog.indicators.values() if i.space != "none"],
        values,
        {level: ground_of(*ground) for level, ground in grounds.items()},
        departements,
    )


def sheets(workshop: Workshop, land: Land, values: pd.DataFrame, found: Concentrations, area: set[str]):
    """Every map of the patterns of one CLS."""
    today = datetime.date.today()
    catalog = workshop.catalog
    yield from concentration_sheets(land, catalog, values, zones=found.zones, moran=found.moran, produced_on=today)
    types = read_types(workshop)
    yield from type_sheets(
        land, catalog, values, zones=types.zones, classes=types.classes, profile=types.profile, produced_on=today
    )
    series = smoothed_of(workshop, land, values, area)
    reference = read_reference_values(workshop, [i for i in series if is_classed_on_france(catalog.indicators[i])])
    yield from smoothed_sheets(land, catalog, values, series, reference=reference, produced_on=today)


def smoothed_of(workshop: Workshop, land: Land, values: pd.DataFrame, area: set[str]) -> dict[str, pd.Series]:
    """indicator of the CLS -> its smoothed communes, for those that need it."""
    found = {}
    own = land.shown["code"]
    rows = values[(values["zone_type"] == "commune") & values["zone_code"].isin(area)].sort_values("period")
    for indicator_id in land.territory.indicator_ids():
        indicator = workshop.catalog.indicators[indicator_id]
        if not smoothable(indicator, workshop.profile):
            continue
        mine = (
            rows[rows["indicator_id"] == indicator_id].sort_values("period").drop_duplicates("zone_code", keep="last")
        )
        multiplier = indicator.formula_for(workshop.profile).multiplier
        if (series := smoothed(mine, own, multiplier)) is not None:
            found[indicator_id] = series
    return found


def read_for_types(workshop: Workshop) -> pd.DataFrame:
    """Communes and EPCI of France for the variables of the typology and the population that weighs them."""
    wanted = [i.id for i in workshop.catalog.indicators.values() if i.typology] + [REFERENCE_POPULATION]
    return query(
        """
        select indicator_id, zone_type, zone_code, period, value from read_parquet($path)
        where zone_type in ('commune', 'epci') and list_contains($wanted, indicator_id)
        """,
        {"path": str(on_disk(workshop.storage.values)), "wanted": wanted},
    )


def read_area(workshop: Workshop, land: Land, area: set[str], membership: pd.DataFrame) -> pd.DataFrame:
    """The rows of the public table that the patterns of this CLS are found in, and that their maps mark."""
    zones = set(land.zones_of_interest)
    zones |= {("commune", code) for code in area | set(land.communes["code"])}
    zones |= {("epci", code) for code in epci_of(membership, area | set(land.communes["code"]))}
    cards = workshop.catalog.indicators.values()
    own = set(land.territory.indicator_ids())
    wanted = [
        i.id for i in cards if i.space != "none" or i.typology or (i.id in own and smoothable(i, workshop.profile))
    ]
    return query(
        """
        select v.* exclude (file_row_number) from read_parquet($path, file_row_number = true) v
        semi join zones using (zone_type, zone_code)
        where list_contains($wanted, indicator_id) order by file_row_number
        """,
        {"path": str(on_disk(workshop.storage.values)), "wanted": wanted},
        zones=pd.DataFrame(sorted(zones), columns=["zone_type", "zone_code"]),
    )


def write_types(found: Types, workshop: Workshop) -> None:
    for name in ("zones", "classes", "profile"):
        write_parquet(getattr(found, name), workshop.storage.types(name))


def read_types(workshop: Workshop) -> Types:
    return Types(*(pd.read_parquet(on_disk(workshop.storage.types(name))) for name in ("zones", "classes", "profile")))
