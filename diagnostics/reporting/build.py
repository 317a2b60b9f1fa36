"""From tables and cards to the report model. Pure: frames in, model out; nothing is fetched, no indicator computed.

Inputs follow the public contracts of `docs/architecture.md`. A comparison is decided by
`diagnostics.statistics.comparison.compare` (interval against benchmark); where there is no interval only the gap is
said, with the words « sans test ».
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from dataclasses import replace

import pandas as pd

from diagnostics import french
from diagnostics.catalog import Catalog, Territory
from diagnostics.indicators.reading import Reading
from diagnostics.reporting import narrative
from diagnostics.reporting.blocks import block_of, formula_text, main_row, main_words, map_of, read_into
from diagnostics.reporting.dashboard import dashboard_of
from diagnostics.reporting.figures import Facts
from diagnostics.reporting.findings import FINDING_RULE, finding_of
from diagnostics.reporting.gradients import inequality_of
from diagnostics.reporting.methods import METHODS
from diagnostics.reporting.model import (
    Alike,
    Block,
    KeyRow,
    MapFile,
    Matrix,
    Perimeter,
    Reference,
    Report,
    Section,
    SourceUse,
    Term,
    Trait,
    Unknown,
    Vigilance,
)
from diagnostics.reporting.patterns import PatternTables, patterns_of
from diagnostics.reporting.place import Place, zone_order
from diagnostics.reporting.references import SourceNumbers
from diagnostics.reporting.unknown import unknown_of

OF_COMMUNES = ("commune_size_median", "small_commune_pop_share")

# What the cover and the key figures show first, when the territory has them; its own indicators complete the list.
KEY_INDICATORS = (
    "pop_municipal",
    "pop_growth_annual",
    "age_share_75plus",
    "apl_gp",
    "poverty_rate_60",
    "unemployment_rate_rp",
    "living_alone_80plus",
    "income_median_uc",
    "apl_gp_under25_pop_share",
    "single_parent_household_share",
    "household_no_car_share",
    "ageing_index",
)
COVER_SIZE = 5
VIGILANCE_SIZE = 8
KEY_SIZE = 10
MATRIX_WIDTH = 4


def build_report(
    territory: Territory,
    catalog: Catalog,
    reading: Reading,
    zones: pd.DataFrame,
    membership: pd.DataFrame,
    *,
    sources: Sequence[SourceUse],
    maps: Mapping[str, MapFile],
    points_of_vigilance: Sequence[Vigilance] | None,
    profile: str,
    computed_on: datetime.date,
    outline_svg: str = "",
    patterns: PatternTables | None = None,
) -> Report:
    """The report of one CLS.

    `reading`: what was read out of the public table (`diagnostics.indicators.reading.read_out`): its values, their
    comparisons, trends, ranks and gradients, the territories of like structure.

    `zones`, `membership`: the public tables, all zones of France; `zones` may carry `tncc` (the COG's article
    code) so that « de l’Isère » is written as it should. `maps`: one map an indicator. `outline_svg`: the drawing of
    the cover (see `outline.outline_svg`). `patterns`: concentrations, types of territories and their maps. Raises
    GeographyError when the territory has no commune in `membership`.
    """
    place = Place(territory, zones, membership, similar=len(reading.alike) > 0)
    facts = Facts(reading.values, place, catalog, profile, reading.compared)
    numbers = SourceNumbers(catalog, sources)
    blocks, map_number = {}, 0
    read = {(row["indicator_id"], row["zone_type"], row["zone_code"]): row for row in reading.table.to_dict("records")}
    portrait_ids = _portrait_ids(territory, catalog)
    for indicator_id in (*portrait_ids, *territory.indicator_ids()):
        block = block_of(catalog.indicators[indicator_id], facts, place, numbers)
        if block and indicator_id in maps:
            map_number += 1
            block = replace(block, map=map_of(map_number, maps[indicator_id], block, numbers, territory.cog_year))
        if block:
            blocks[indicator_id] = read_into(block, read, place)
    unknown = {i: u for i in territory.indicator_ids() if (u := unknown_of(i, facts, place, blocks.get(i)))}
    key_blocks = _key_blocks(blocks)
    found = patterns and patterns_of(
        patterns, place, catalog, numbers, datasets=_datasets(reading.values), first_map=map_number + 1
    )
    return Report(
        territory_id=territory.id,
        title=f"Diagnostic territorial de santé {place.territory.of}",
        territory=place.territory,
        main=place.main,
        profile=profile,
        profile_words=narrative.PROFILES[profile],
        computed_on=computed_on,
        perimeter=_perimeter(facts, place),
        outline_svg=outline_svg,
        cover=tuple(b for b in key_blocks if b.kind == "measured")[:COVER_SIZE],
        key_columns=place.benchmarks,
        key_figures=tuple(_key_row(block, place) for block in key_blocks[:KEY_SIZE]),
        vigilance=_first_points(points_of_vigilance) if points_of_vigilance is not None else None,
        methods=(("Constat de chaque axe", FINDING_RULE), *METHODS),
        similar=_alike(reading.alike, place, catalog),
        inequality=inequality_of(_of_territory(reading.table, place), blocks, len(place.communes)),
        portrait=_portrait([blocks[i] for i in portrait_ids if i in blocks], place),
        sections=_sections(territory, blocks, unknown, place, points_of_vigilance or ()),
        patterns=found,
        iris=_iris(facts, place, blocks),
        unknown=tuple(unknown.values()),
        sources=numbers.notes(),
        zones=tuple(sorted(place.by_key.values(), key=zone_order)),
        dashboard=dashboard_of(reading, place, catalog),
        figures=tuple(sorted(facts.all, key=lambda f: (f.indicator_id, *zone_order(f.zone), f.period))),
        dictionary=tuple(_term(i, catalog, profile) for i in facts.indicator_ids()),
    )


def _datasets(values: pd.DataFrame) -> dict[str, list[str]]:
    """indicator -> the datasets that its figures name."""
    told = values.drop_duplicates("indicator_id").set_index("indicator_id")["dataset_ids"]
    return {name: text.split(",") for name, text in told.items()}


def _first_points(points: Sequence[Vigilance]) -> tuple[Vigilance, ...]:
    """The first points of the whole CLS: an indicator that several axes share is said once."""
    once = {point.indicator_id or point.sentence: point for point in sorted(points, key=lambda p: -p.overall)}
    return tuple(sorted(once.values(), key=lambda p: p.overall)[:VIGILANCE_SIZE])


# --- sections --------------------------------------------------------------------------------------------------------


def _sections(
    territory: Territory,
    blocks: Mapping[str, Block],
    unknown: Mapping[str, Unknown],
    place: Place,
    vigilance: Sequence[Vigilance],
) -> tuple[Section, ...]:
    home: dict[str, str] = {}
    told: dict[str, Unknown] = {}
    sections = []
    for position, axis in enumerate(territory.axes, start=1):
        listed = list(dict.fromkeys((*axis.indicators, *axis.complementary)))
        shown = [i for i in listed if i in blocks]
        finding, verdict = finding_of([blocks[i] for i in shown], place, declared=bool(listed))
        absent = {i: told.get(i, unknown[i]) for i in listed if i in unknown and not unknown[i].partial}
        sections.append(
            Section(
                anchor=f"axe-{position}",
                number=str(position),
                title=axis.title,
                finding=finding,
                finding_verdict=verdict,
                vigilance=tuple(point for point in vigilance if point.axis_id == axis.id),
                overview_columns=("Territoire", *_overview_zones(place)),
                overview=tuple(_reference(blocks[i], home.get(i), i not in axis.indicators, place) for i in shown),
                blocks=tuple(blocks[i] for i in shown if i not in home),
                unknown=tuple(absent.values()),
            )
        )
        # Why an indicator is absent is said once, in the first axis that awaits it.
        elsewhere = f"dit plus haut, dans « {axis.title} »"
        told |= {i: replace(absent[i], reason=narrative.sentence(elsewhere)) for i in absent if i not in told}
        home |= {i: axis.title for i in shown if i not in home}
    return tuple(sections)


def _portrait_ids(territory: Territory, catalog: Catalog) -> list[str]:
    """What describes any territory and that no axis claims: the key indicators, and the theme of population.

    What describes a set of communes says nothing of a single one.
    """
    claimed = set(territory.indicator_ids())
    population = [i.id for i in catalog.themes["population"].indicators] if "population" in catalog.themes else []
    wanted = dict.fromkeys((*population, *KEY_INDICATORS))
    ids = [i for i in wanted if i in catalog.indicators and i not in claimed]
    return [i for i in ids if territory.kind != "commune" or i not in OF_COMMUNES]


def _portrait(blocks: Sequence[Block], place: Place) -> Section:
    finding, verdict = finding_of(blocks, place)
    return Section(
        anchor="portrait",
        number="",
        title="Portrait du territoire",
        finding=finding,
        finding_verdict=verdict,
        vigilance=(),
        overview_columns=("Territoire", *_overview_zones(place)),
        overview=tuple(_reference(block, None, False, place) for block in blocks),
        blocks=tuple(blocks),
        unknown=(),
    )


def _overview_zones(place: Place) -> tuple[str, ...]:
    return tuple(dict.fromkeys((place.main.name, place.benchmarks[-1].name)))


def _reference(block: Block, elsewhere: str | None, complementary: bool, place: Place) -> Reference:
    by_zone = {row.figure.zone: row.figure for row in block.benchmarks}
    zones = dict.fromkeys((place.main, place.benchmarks[-1]))
    main = main_row(block, place)
    return Reference(
        block=block,
        section_title=elsewhere,
        complementary=complementary,
        figures=(block.own.figure if block.own else None, *(by_zone.get(zone) for zone in zones)),
        verdict=main.verdict if main else "not_compared",
        words=main_words(main, place),
    )


def _of_territory(observatory: pd.DataFrame, place: Place) -> pd.DataFrame:
    zone_type, code = place.territory.key
    return observatory[(observatory["zone_type"] == zone_type) & (observatory["zone_code"] == code)]


def _alike(similar: pd.DataFrame, place: Place, catalog: Catalog) -> Alike | None:
    """The territory, then those of like structure, with the traits that make them so."""
    traits = [name for name in similar.columns if name in catalog.indicators]
    if similar.empty:
        return None
    cards = [catalog.indicators[name] for name in traits]
    return Alike(
        traits=tuple(Trait(card.short, card.unit, card.decimals) for card in cards),
        rows=tuple(
            (
                place.name_of(row["zone_type"], row["zone_code"]) if row["position"] else place.territory.name,
                tuple(float(row[name]) for name in traits),
                float(row["distance"]) if row["position"] else None,
            )
            for row in similar.to_dict("records")
        ),
    )


# --- key figures, IRIS, unknowns -------------------------------------------------------------------------------------


def _key_blocks(blocks: Mapping[str, Block]) -> list[Block]:
    order = dict.fromkeys((*(i for i in KEY_INDICATORS if i in blocks), *blocks))
    return [blocks[i] for i in order if blocks[i].kind != "context"]


def _key_row(block: Block, place: Place) -> KeyRow:
    by_zone = {row.figure.zone: row.figure for row in block.benchmarks}
    main = main_row(block, place)
    return KeyRow(
        block=block,
        figures=(block.own.figure if block.own else None, *(by_zone.get(zone) for zone in place.benchmarks)),
        verdict=main.verdict if main else "not_compared",
        words=main_words(main, place),
    )


def _iris(facts: Facts, place: Place, blocks: Mapping[str, Block]) -> tuple[Matrix, ...]:
    """The neighbourhoods (IRIS) of a commune CLS, a few indicators a table so that it stays readable."""
    having = [b for b in blocks.values() if any((f := facts.find(b.indicator_id, z)) and f.known for z in place.iris)]
    groups = [having[start : start + MATRIX_WIDTH] for start in range(0, len(having), MATRIX_WIDTH)]
    return tuple(
        Matrix(
            title=french.listing([block.short for block in group]),
            blocks=tuple(group),
            rows=(
                *((zone, tuple(facts.find(b.indicator_id, zone) for b in group)) for zone in place.iris),
                (place.territory, tuple(b.own.figure if b.own else None for b in group)),
            ),
        )
        for group in groups
    )


# --- territory, sources, dictionary ----------------------------------------------------------------------------------

KINDS = {
    "petr": "pôle d’équilibre territorial et rural (PETR)",
    "epci": "intercommunalité (EPCI)",
    "commune": "commune",
    "free": "groupement de communes",
}


def _perimeter(facts: Facts, place: Place) -> Perimeter:
    population = facts.own("pop_municipal")
    density = facts.own("pop_density")
    known = population if population and population.known else None
    return Perimeter(
        kind=KINDS[place.card.kind],
        contract=place.card.contract,
        axes_from=place.card.axes_from,
        cog_year=place.card.cog_year,
        commune_count=len(place.communes),
        epci=place.epci,
        departements=tuple(z for z in place.benchmarks if z.type == "departement"),
        regions=tuple(z for z in place.benchmarks if z.is_region),
        population=known.value if known else None,
        population_period=known.period if known else "",
        # The density's denominator is the area, in km².
        area_km2=density.denominator if density else None,
        density=density.value if density else None,
        density_period=density.period if density else "",
        source=place.card.source,
    )


def _term(indicator_id: str, catalog: Catalog, profile: str) -> Term:
    indicator = catalog.indicators[indicator_id]
    return Term(
        indicator_id=indicator_id,
        theme=catalog.theme_of[indicator_id].title,
        label=indicator.label,
        definition=narrative.sentence(indicator.definition),
        formula=formula_text(indicator, catalog, profile),
        unit=indicator.unit,
        direction=narrative.DIRECTIONS[indicator.direction],
        method_note=narrative.sentence(indicator.method_note),
        reserve=narrative.sentence(indicator.reserve),
    )
