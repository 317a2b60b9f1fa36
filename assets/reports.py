"""Stage 6: the report and the annex of one CLS, one partition per territory."""

import datetime
import json
from collections.abc import Sequence
from html import escape

import dagster as dg
import pandas as pd

from assets.maps import COVER, INDEX
from assets.patterns import read_types
from assets.shared import GROUP_REPORTS, table, territory_asset
from diagnostics import french
from diagnostics.catalog import Territory
from diagnostics.indicators.reading import Around, Reading, dashboard, read_out, vigilance_rows
from diagnostics.reporting import MapFile, SourceUse, Vigilance, build_report, write_html, write_workbook
from diagnostics.reporting.html import members_range
from diagnostics.reporting.model import Figure, Report
from diagnostics.reporting.patterns import PatternTables
from diagnostics.reporting.place import Place
from diagnostics.sql import query
from diagnostics.statistics.deprivation import population_classes
from diagnostics.statistics.vigilance import points_of_vigilance
from diagnostics.storage import on_disk, write_parquet
from diagnostics.workshop import Workshop


def report_assets(partitions: dg.PartitionsDefinition) -> list[dg.AssetsDefinition]:
    return [
        territory_asset(
            "report",
            write,
            partitions,
            group=GROUP_REPORTS,
            kinds={"html", "excel"},
            deps=[["territories", "maps"], ["territories", "patterns"]],
            description="Rapport d'un territoire (`rapport.html`, un seul fichier) et annexe chiffrée "
            "(`annexe.xlsx`) : chiffres clés, une section par axe du CLS, ce qui n'a pas pu être connu, sources.",
        )
    ]


def write(workshop: Workshop, territory: Territory) -> tuple[dict[str, dg.MetadataValue], str]:
    """The report and the annex of one territory; see `for_each_territory`."""
    workshop.announce(f"{territory.name} : rapport et annexe")
    folder = workshop.storage.territory(territory.id)
    membership = workshop.read_membership()
    zones = workshop.read_zones()
    values = read_values(workshop, territory, membership)
    place = Place(territory, zones, membership)
    reading = read(workshop, values, place.around)
    made = build_report(
        territory,
        workshop.catalog,
        reading,
        zones,
        membership,
        sources=source_uses(workshop),
        maps=map_files(folder / "maps"),
        points_of_vigilance=points(workshop, territory, reading, place.around),
        profile=workshop.profile,
        computed_on=datetime.date.today(),
        outline_svg=cover_svg(folder / "maps" / f"{COVER}.svg", territory),
        patterns=read_patterns(workshop, territory),
    )
    write_html(made, folder / "rapport.html")
    write_workbook(made, folder / "annexe.xlsx")
    named = {zone.key: zone.name for zone in made.zones}
    write_parquet(dashboard(reading, workshop.catalog, named), folder / DASHBOARD)
    stamp = workshop.record(f"report/{territory.id}")
    metadata = {
        "Rapport": dg.MetadataValue.path(str(folder / "rapport.html")),
        "Annexe": dg.MetadataValue.path(str(folder / "annexe.xlsx")),
        "Indicateurs renseignés": dg.MetadataValue.int(sum(len(s.blocks) for s in made.sections)),
        "Inconnues expliquées": dg.MetadataValue.int(len(made.unknown)),
        "Chiffres clés": table(key_figures(made)),
        "Points de vigilance": table(pd.DataFrame({"Point": [point.sentence for point in made.vigilance or ()]})),
    }
    return metadata, stamp


def key_figures(report: Report) -> pd.DataFrame:
    """What the first pages of the report say, for the asset's page: the territory, its main benchmark, France."""
    zones = dict.fromkeys((report.main, report.key_columns[-1]))
    columns = {zone.name: 1 + report.key_columns.index(zone) for zone in zones}
    return pd.DataFrame(
        {
            "Indicateur": row.block.label,
            "Période": row.block.period,
            report.territory.name: members_range(row.block) if row.block.kind == "members" else _told(row.figures[0]),
            **{name: _told(row.figures[place]) for name, place in columns.items()},
            "Lecture": row.words,
        }
        for row in report.key_figures
    )


def _told(figure: Figure | None) -> str:
    return french.quantity(figure.value, figure.unit, figure.decimals) if figure else french.UNKNOWN


def read_patterns(workshop: Workshop, territory: Territory) -> PatternTables:
    """The concentrations found for the CLS, the classes of France, and the maps of both."""
    folder, types = workshop.storage.patterns(territory.id), read_types(workshop)
    concentrations, moran = (
        pd.read_parquet(on_disk(folder / name)) for name in ("concentrations.parquet", "moran.parquet")
    )
    return PatternTables(concentrations, moran, types.zones, types.classes, map_files(folder))


PEER_POPULATION = 5_000
"""A CLS of one commune is ranked among the communes of at least this many people."""
POINTS_PER_AXIS = 5
DASHBOARD = "tableau_de_bord.parquet"


def read(workshop: Workshop, values: pd.DataFrame, around: Around) -> Reading:
    """Everything an observatory reads out for one CLS: the whole catalogue, one family of tests."""
    communes = read_communes(workshop)
    classes = population_classes(communes["fdep_score"], communes["pop_municipal"].fillna(0))
    if around.peers == "commune":
        values = pd.concat([values, read_large_communes(workshop, around.communes)], ignore_index=True)
    return read_out(list(workshop.catalog.indicators.values()), workshop.profile, values, around, classes)


def points(workshop: Workshop, territory: Territory, reading: Reading, around: Around) -> list[Vigilance]:
    """The points of vigilance of each axis."""
    if reading.table.empty:
        return []
    rows = vigilance_rows(reading, around, territory, workshop.catalog)
    found = points_of_vigilance(rows, french.quantity, french.interval, POINTS_PER_AXIS)
    return [
        Vigilance(row.axis, row.sentence, row.reserve, row.indicator_id, row.overall)
        for row in found.itertuples(index=False)
    ]


def read_communes(workshop: Workshop) -> pd.DataFrame:
    """Deprivation score and population of every commune of France, by code."""
    rows = query(
        """
        select zone_code, indicator_id, arg_max(value, period) as value from read_parquet(?)
        where zone_type = 'commune' and indicator_id in ('fdep_score', 'pop_municipal') group by all
        """,
        [str(on_disk(workshop.storage.values))],
    )
    table = rows.pivot(index="zone_code", columns="indicator_id", values="value")
    return table.reindex(columns=["fdep_score", "pop_municipal"])


def read_large_communes(workshop: Workshop, besides: Sequence[str]) -> pd.DataFrame:
    """The rows of the communes that a CLS of one commune is ranked among."""
    return query(
        """
        select v.* exclude (file_row_number) from read_parquet($path, file_row_number = true) v semi join (
            select zone_code from read_parquet($path)
            where indicator_id = 'pop_municipal' and zone_type = 'commune'
            group by zone_code having arg_max(value, period) >= $size
        ) using (zone_code)
        where zone_type = 'commune' and not list_contains($besides, zone_code)
        order by file_row_number
        """,
        {"path": str(on_disk(workshop.storage.values)), "size": PEER_POPULATION, "besides": list(besides)},
    )


def read_values(workshop: Workshop, territory: Territory, membership: pd.DataFrame) -> pd.DataFrame:
    """The rows of the public table that concern the CLS: its communes and IRIS, and every zone above the commune."""
    return query(
        """
        with inside as (
            select child_code as code from membership
            where child_type = 'commune' and parent_type = 'cls' and parent_code = $territory
        ), iris as (
            select child_code as code from membership
            where child_type = 'iris' and parent_type = 'commune' and parent_code in (select code from inside)
        )
        select * exclude (file_row_number) from read_parquet($path, file_row_number = true)
        where zone_type in ('epci', 'petr', 'cls', 'departement', 'region', 'france')
           or (zone_type = 'commune' and zone_code in (select code from inside))
           or (zone_type = 'iris' and zone_code in (select code from iris))
        -- The engine gives back rows in the order that its threads end; sources are numbered as they are met.
        order by file_row_number
        """,
        {"territory": territory.id, "path": str(on_disk(workshop.storage.values))},
        membership=membership,
    )


def cover_svg(path, territory: Territory) -> str:
    """The drawing of the cover, ready to stand inside a page: no XML prologue, and a name for those who cannot see."""
    drawing = path.read_text(encoding="utf-8")
    drawing = drawing[drawing.index("<svg") :]
    label = escape(f"Carte de situation : {territory.name}")
    return drawing.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)


def map_files(folder) -> dict[str, MapFile]:
    index = json.loads((folder / INDEX).read_text(encoding="utf-8"))
    return {name: MapFile(folder / f"{name}.png", folder / f"{name}.svg", alt) for name, alt in index.items()}


def source_uses(workshop: Workshop) -> list[SourceUse]:
    """Every file of the profile, as its card and its receipt tell it."""
    return [
        SourceUse(
            dataset_id=source.id, title=source.title, producer=source.producer, vintage=distribution.vintage,
            licence=source.licence, address=distribution.address, sha256=receipt.sha256, fetched_at=receipt.fetched_at,
        )
        for source in workshop.sources.values()
        for distribution in workshop.distributions(source.id)
        if (receipt := workshop.receipt(source.id, distribution)) is not None
    ]  # fmt: skip
