"""From tables and cards to the report model. Pure: frames in, model out; nothing is fetched, no indicator computed.

Inputs follow the public contracts of `docs/architecture.md`. A comparison is decided by
`diagnostics.statistics.comparison.compare` (interval against benchmark); where there is no interval only the gap is
said, with the words « sans test ».
"""

from __future__ import annotations

import datetime
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import pandas as pd

from diagnostics import french
from diagnostics.catalog import Catalog, Indicator, Territory
from diagnostics.errors import GeographyError
from diagnostics.reporting import narrative
from diagnostics.reporting.model import (
    Block,
    Figure,
    KeyRow,
    MapFigure,
    MapFile,
    Matrix,
    Perimeter,
    Reference,
    Report,
    Row,
    Section,
    SourceNote,
    SourceUse,
    Term,
    Unknown,
    Verdict,
    Vigilance,
    Zone,
)
from diagnostics.statistics.comparison import compare

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
KEY_SIZE = 12
MATRIX_WIDTH = 4
COVERAGE_PUBLISHED = 0.95  # docs/architecture.md: under it a value is withheld

FINDING_RULE = (
    "Le constat retenu pour chaque axe suit une règle fixe : parmi les indicateurs dont le sens est établi, celui qui "
    "s’écarte le plus de la région (écart relatif) du côté défavorable, d’abord quand l’intervalle de confiance à 95 % "
    "exclut la valeur régionale, ensuite sans test. Les valeurs fragiles ne sont jamais retenues."
)

NOTHING_DECLARED = (
    "Aucune donnée ouverte de maille locale n’alimente encore cet axe : le catalogue ne lui en associe pas."
)


def build_report(
    territory: Territory,
    catalog: Catalog,
    values: pd.DataFrame,
    zones: pd.DataFrame,
    membership: pd.DataFrame,
    *,
    sources: Sequence[SourceUse],
    maps: Mapping[str, MapFile],
    points_of_vigilance: Sequence[Vigilance] | None,
    profile: str,
    computed_on: datetime.date,
    outline_svg: str = "",
) -> Report:
    """The report of one CLS.

    `values`, `zones`, `membership`: the public tables, all zones of France; `zones` may carry `tncc` (the COG's article
    code) so that « de l’Isère » is written as it should. `maps`: one map an indicator. `outline_svg`: the drawing of
    the cover (see `outline.outline_svg`). Raises GeographyError when the territory has no commune in `membership`.
    """
    place = _Place(territory, zones, membership)
    facts = _Facts(values, place, catalog, profile)
    numbers = _SourceNumbers(catalog, sources, profile)
    blocks, map_number = {}, 0
    portrait_ids = _portrait_ids(territory, catalog)
    for indicator_id in (*portrait_ids, *territory.indicator_ids()):
        block = _block(catalog.indicators[indicator_id], facts, place, numbers)
        if block and indicator_id in maps:
            map_number += 1
            block = replace(block, map=_map(map_number, maps[indicator_id], block, numbers, territory.cog_year))
        if block:
            blocks[indicator_id] = block
    unknown = {i: u for i in territory.indicator_ids() if (u := _unknown(i, facts, place, blocks.get(i)))}
    key_blocks = _key_blocks(blocks)
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
        finding_rule=FINDING_RULE,
        portrait=_portrait([blocks[i] for i in portrait_ids if i in blocks], place),
        sections=_sections(territory, blocks, unknown, place, points_of_vigilance or ()),
        iris=_iris(facts, place, blocks),
        unknown=tuple(unknown.values()),
        sources=numbers.notes(),
        zones=tuple(sorted(place.by_key.values(), key=_zone_order)),
        figures=tuple(sorted(facts.all, key=lambda f: (f.indicator_id, *_zone_order(f.zone), f.period))),
        dictionary=tuple(_term(i, catalog, profile) for i in facts.indicator_ids()),
    )


# --- where -----------------------------------------------------------------------------------------------------------


class _Place:
    """The territory among its zones: what it is made of, what it is compared with."""

    def __init__(self, territory: Territory, zones: pd.DataFrame, membership: pd.DataFrame) -> None:
        self.card = territory
        names = zones.assign(tncc=zones.get("tncc"))
        self._names = {
            (t, c): (n, a) for t, c, n, a in names[["zone_type", "zone_code", "zone_name", "tncc"]].to_numpy()
        }
        kind = "commune" if territory.kind == "commune" else "cls"
        self.territory = Zone("cls", territory.id, territory.name, narrative.of(territory.name, kind), "territory")
        of_communes = membership[membership["child_type"] == "commune"]
        mine = of_communes[(of_communes["parent_type"] == "cls") & (of_communes["parent_code"] == territory.id)]
        self.commune_codes = frozenset(mine["child_code"])
        if not self.commune_codes:
            raise GeographyError(
                f"Rapport : le territoire « {territory.name} » n'a aucune commune dans la table d'appartenance "
                "(attendu : parent_type = cls). Recalculer la géographie."
            )
        parents = of_communes[of_communes["child_code"].isin(self.commune_codes)]
        self.parents = {t: sorted(set(codes)) for t, codes in parents.groupby("parent_type")["parent_code"]}
        inside = parents.groupby(["parent_type", "parent_code"])["child_code"].nunique()
        around = of_communes[of_communes["parent_type"] == "epci"]
        whole = around.groupby(["parent_type", "parent_code"])["child_code"].nunique()
        entirely = {key for key in inside.index.intersection(whole.index) if inside[key] == whole[key]}
        count = len(self.commune_codes)
        # Zones that are the same set of communes: a figure published for one of them is the territory's own.
        self.same = [self.territory.key, *sorted(key for key in entirely if inside[key] == count)]
        if count == 1:
            self.same += [("commune", code) for code in self.commune_codes]
        members = [
            code for code in self.parents.get("epci", []) if ("epci", code) in entirely and inside["epci", code] < count
        ]
        self.members = tuple(self.zone("epci", code, "member") for code in members)
        self.epci = tuple(self.zone("epci", code, "member") for code in self.parents.get("epci", []))
        larger = [code for code in self.parents.get("epci", []) if ("epci", code) not in entirely]
        above = larger if len(self.epci) == 1 else []  # one intercommunality around: the natural first benchmark
        self.benchmarks = (
            *(self.zone("epci", code, "benchmark") for code in above),
            *(self.zone("departement", code, "benchmark") for code in self.parents.get("departement", [])),
            *(self.zone("region", code, "benchmark") for code in self.parents.get("region", [])),
            self.zone("france", "FR", "benchmark"),
        )
        self.communes = tuple(self.zone("commune", code, "commune") for code in sorted(self.commune_codes))
        iris = membership[
            (membership["child_type"] == "iris")
            & (membership["parent_type"] == "commune")
            & membership["parent_code"].isin(self.commune_codes)
        ]["child_code"].unique()
        self.iris = (
            tuple(self.zone("iris", code, "iris") for code in sorted(iris)) if count == 1 and len(iris) > 1 else ()
        )

    def zone(self, zone_type: str, code: str, role: str) -> Zone:
        name, tncc = self._names.get((zone_type, code), (code, None))
        if zone_type == "france":
            name = "France"
        return Zone(zone_type, code, name, narrative.of(name, zone_type, tncc if isinstance(tncc, str) else None), role)

    @property
    def main(self) -> Zone:
        """What findings compare with: the région, or France when the territory spreads over several."""
        regions = [zone for zone in self.benchmarks if zone.type == "region"]
        return regions[0] if len(regions) == 1 else self.benchmarks[-1]

    @cached_property
    def by_key(self) -> dict[tuple[str, str], Zone]:
        """Every zone whose figures the report keeps."""
        listed = (self.territory, *self.iris, *self.communes, *self.epci, *self.benchmarks)
        return {zone.key: zone for zone in listed}


# --- figures ---------------------------------------------------------------------------------------------------------


def _amount(value: object) -> float | None:
    return None if value is None or pd.isna(value) or math.isinf(float(value)) else float(value)


def _words(cell: object) -> str:
    return "" if cell is None or (isinstance(cell, float) and math.isnan(cell)) else str(cell)


def dataset_ids(cell: object) -> tuple[str, ...]:
    """The identifiers of a `dataset_ids` cell, whether it is a list or a text with any separator."""
    text = " ".join(map(str, cell)) if isinstance(cell, Iterable) and not isinstance(cell, str) else _words(cell)
    return tuple(dict.fromkeys(re.findall(r"[a-z][a-z0-9_]*", text)))


def _period_order(period: str) -> tuple[int, str]:
    """By last year named, so that `2018-2022` stands before `2023`."""
    years = re.findall(r"\d{4}", period)
    return (int(years[-1]) if years else 0, period)


@dataclass(frozen=True)
class _Facts:
    """The figures of the territory's zones, by indicator and zone."""

    values: pd.DataFrame
    place: _Place
    catalog: Catalog
    profile: str

    @cached_property
    def all(self) -> tuple[Figure, ...]:
        keep = self.values["indicator_id"].isin(self.catalog.indicators)
        of_place = pd.Series(False, index=self.values.index)
        for zone_type in {key[0] for key in self.place.by_key}:
            codes = {code for kind, code in self.place.by_key if kind == zone_type}
            of_place |= (self.values["zone_type"] == zone_type) & self.values["zone_code"].isin(codes)
        return tuple(self._figure(row) for row in self.values[keep & of_place].to_dict("records"))

    def _figure(self, row: dict) -> Figure:
        indicator = self.catalog.indicators[row["indicator_id"]]
        # A masked value is nothing a reader may see, whatever the table holds.
        shown = row["reliability"] != "masked"
        return Figure(
            indicator_id=indicator.id,
            zone=self.place.by_key[row["zone_type"], row["zone_code"]],
            period=_words(row["period"]),
            value=_amount(row["value"]) if shown else None,
            low=_amount(row["ci_low"]) if shown else None,
            high=_amount(row["ci_high"]) if shown else None,
            numerator=_amount(row["numerator"]) if shown else None,
            denominator=_amount(row["denominator"]),
            unit=indicator.unit,
            decimals=indicator.decimals,
            reliability=row["reliability"],
            coverage=_amount(row["coverage"]),
            comparison=row["comparison"],
            dataset_ids=dataset_ids(row["dataset_ids"]),
            method=_words(row["method"]),
            source_version=_words(row["source_version"]),
        )

    @cached_property
    def _by_zone(self) -> dict[tuple[str, str, str], list[Figure]]:
        found: dict[tuple[str, str, str], list[Figure]] = {}
        for figure in self.all:
            found.setdefault((figure.indicator_id, *figure.zone.key), []).append(figure)
        return {key: sorted(figures, key=lambda f: _period_order(f.period)) for key, figures in found.items()}

    def find(self, indicator_id: str, zone: Zone, period: str | None = None) -> Figure | None:
        """The figure of `period` when there is one, else the latest that is known, else the latest."""
        figures = self._by_zone.get((indicator_id, *zone.key), [])
        same = [figure for figure in figures if figure.period == period]
        known = [figure for figure in figures if figure.known]
        return (same or known or figures or [None])[-1]

    def own(self, indicator_id: str) -> Figure | None:
        """The territory's figure, or the one published for an EPCI or a commune that is the very same perimeter."""
        found = [f for key in self.place.same if (f := self.find(indicator_id, self.place.by_key[key]))]
        best = next((figure for figure in found if figure.known), found[0] if found else None)
        return replace(best, zone=self.place.territory) if best else None

    def indicator_ids(self) -> list[str]:
        """Indicators of the axes first, in order, then the others that have figures."""
        return list(dict.fromkeys([*self.place.card.indicator_ids(), *sorted({f.indicator_id for f in self.all})]))


def _zone_order(zone: Zone) -> tuple[int, str]:
    rank = {"territory": 0, "member": 1, "benchmark": 2, "commune": 3, "iris": 4}[zone.role]
    return rank, zone.code


# --- blocks ----------------------------------------------------------------------------------------------------------


def _verdict(figure: Figure, benchmark: Figure, direction: str) -> Verdict:
    if not (figure.tested and benchmark.known):
        return "not_compared"
    return str(compare([figure.value], [figure.low], [figure.high], [benchmark.value], direction)[0])


def _compared(figure: Figure | None, benchmark: Figure | None, indicator: Indicator) -> tuple[Verdict, str, str]:
    """Verdict, words and short words for `figure` against `benchmark`; no words where nothing can be said."""
    if figure is None or benchmark is None or not (figure.known and benchmark.known):
        return "not_compared", "", ""
    if "sum" in _formula_kinds(indicator):
        return "not_compared", "", ""  # a count against the count of a larger zone says nothing
    if figure.period != benchmark.period:
        return "not_compared", *(("millésimes différents, non comparés",) * 2)
    verdict = _verdict(figure, benchmark, indicator.direction)
    zone = benchmark.zone
    words = partial(
        narrative.comparison_words,
        verdict,
        figure.value,
        benchmark.value,
        unit=figure.unit,
        decimals=figure.decimals,
    )
    return verdict, words(than=narrative.against(zone.type, zone.name, zone.of)), words()


def _figure_notes(figure: Figure, period: str) -> tuple[str, ...]:
    """What must be said under a figure: its flag, its coverage, a vintage that is not that of the block."""
    words = narrative.reliability_words(figure.reliability, figure.period, figure.coverage)
    notes = [words] if words and figure.reliability not in ("masked", "context") else []
    if figure.known and figure.coverage is not None and figure.coverage < 1 and figure.reliability != "incomplete":
        notes.append(f"couvre {narrative.coverage_words(figure.coverage)} de la population")
    if figure.period != period and figure.reliability != "snapshot":
        notes.append(f"millésime {figure.period}")
    return tuple(notes)


def _block(indicator: Indicator, facts: _Facts, place: _Place, numbers: _SourceNumbers) -> Block | None:
    """The block of one indicator, or None when no zone of the report has a value for it."""
    own = facts.own(indicator.id)
    own = own if own and own.known else None
    period = own.period if own else None
    members = [f for z in place.members if (f := facts.find(indicator.id, z, period))]
    benchmarks = [f for z in place.benchmarks if (f := facts.find(indicator.id, z, period)) and f.known]
    if not own and not any(f.known for f in members) and not benchmarks:
        return None
    kind = "measured" if own else "members" if any(f.known for f in members) else "context"
    if period is None:
        reference = next((f for f in members if f.known), None) or benchmarks[0]
        period = reference.period
    main = next((f for f in benchmarks if f.zone == place.main), None)
    member_rows = tuple(Row(f, *_compared(f, main, indicator), _figure_notes(f, period)) for f in members)
    benchmark_rows = tuple(Row(f, *_compared(own, f, indicator), _figure_notes(f, period)) for f in benchmarks)
    used = [own, *members, *benchmarks] if own else [*members, *benchmarks]
    block = Block(
        anchor=f"indicateur-{narrative.anchor(indicator.id)}",
        indicator_id=indicator.id,
        label=indicator.label,
        short=indicator.short,
        unit=indicator.unit,
        decimals=indicator.decimals,
        direction=indicator.direction,
        kind=kind,
        countable="sum" in _formula_kinds(indicator),
        aggregable="published" not in _formula_kinds(indicator),
        period=period,
        reading="",
        own=Row(own, own.comparison, "", "", _figure_notes(own, period)) if own else None,
        members=member_rows if kind != "context" else (),
        benchmarks=benchmark_rows,
        map=None,
        definition=narrative.sentence(indicator.definition),
        formula=_formula(indicator, facts),
        method_note=narrative.sentence(indicator.method_note),
        reserve=narrative.sentence(indicator.reserve),
        notes=_block_notes(indicator, facts, place, own),
        source_numbers=numbers.of(i for f in used for i in f.dataset_ids),
    )
    return replace(block, reading=_reading(block, place))


def _formula_kinds(indicator: Indicator) -> set[str]:
    """Kinds of its formulas over all profiles: a snapshot may rest on a formula that this profile has not."""
    return {formula.kind for formula in (indicator.formula, *indicator.formulas.values()) if formula}


def _block_notes(indicator: Indicator, facts: _Facts, place: _Place, own: Figure | None) -> tuple[str, ...]:
    notes = []
    if indicator.nature == "modelled":
        notes.append("Estimation par modèle : ce chiffre n’est pas observé.")
    if own and own.reliability == "unstable":
        notes.append("Valeur fragile : petits effectifs, à lire avec son intervalle.")
    communes = [f for z in place.communes if (f := facts.find(indicator.id, z, own.period if own else None))]
    masked = sum(f.reliability == "masked" for f in communes)
    if masked and len(place.communes) > 1:
        notes.append(
            f"Valeurs communales masquées : {narrative.plural(masked, 'commune')} sur {len(place.communes)}, "
            "faute d’effectifs suffisants."
        )
    return tuple(notes)


def _formula(indicator: Indicator, facts: _Facts) -> str:
    formula = indicator.formula_for(facts.profile)
    if formula is None:
        return ""
    return narrative.formula_words(formula, _variable_label(facts.catalog))


def _variable_label(catalog: Catalog):
    labels = {
        name: variable.label for source in catalog.sources.values() for name, variable in source.variables.items()
    }
    return lambda name: labels[name][:1].lower() + labels[name][1:] if labels[name][1:2].islower() else labels[name]


def _quantity(figure: Figure) -> str:
    return french.quantity(figure.value, figure.unit, figure.decimals)


def _reading(block: Block, place: _Place) -> str:
    """The figure in one sentence."""
    if block.kind == "context":
        shown = [
            f"{row.figure.zone.name} : {_quantity(row.figure)}"
            for row in block.benchmarks
            if row.figure.zone.type != "france"
        ]
        known = shown or [f"France : {_quantity(block.benchmarks[-1].figure)}"]
        return narrative.sentence(f"donnée de contexte, inconnue à l’échelle du territoire ({' ; '.join(known)})")
    if block.kind == "members":
        known = sorted((row.figure for row in block.members if row.figure.known), key=lambda f: f.value)
        if len(known) == 1:
            return narrative.sentence(
                f"connu pour une seule intercommunalité, {known[0].zone.name} : {_quantity(known[0])}"
            )
        low, high = known[0], known[-1]
        why = "n’est pas calculé ici" if block.aggregable else "ne se calcule pas"
        return narrative.sentence(
            f"de {_quantity(low)} ({low.zone.name}) à {_quantity(high)} ({high.zone.name}) ; "
            f"ce chiffre {why} pour l’ensemble du territoire"
        )
    if block.countable:
        return narrative.sentence(f"{_quantity(block.own.figure)} dans le territoire")
    words = [
        row.words for row in block.benchmarks if row.words and row.figure.zone in (place.main, place.benchmarks[-1])
    ]
    return narrative.sentence(f"{_quantity(block.own.figure)} dans le territoire" + "".join(f" ; {w}" for w in words))


def _map(number: int, files: MapFile, block: Block, numbers: _SourceNumbers, cog_year: int) -> MapFigure:
    caption = f"{block.label} ({block.unit}), {block.period}. " if block.unit else f"{block.label}, {block.period}. "
    credit = numbers.credit(block.source_numbers)
    caption += f"{credit} Communes au 1er janvier {cog_year}." if credit else f"Communes au 1er janvier {cog_year}."
    return MapFigure(number, files.png, files.svg, files.alt, caption)


# --- sections --------------------------------------------------------------------------------------------------------


def _main_row(block: Block, place: _Place) -> Row | None:
    """The comparison that findings use: with the région, else with France."""
    rows = {row.figure.zone: row for row in block.benchmarks}
    return rows.get(place.main) or rows.get(place.benchmarks[-1])


def _sections(
    territory: Territory,
    blocks: Mapping[str, Block],
    unknown: Mapping[str, Unknown],
    place: _Place,
    vigilance: Sequence[Vigilance],
) -> tuple[Section, ...]:
    home: dict[str, str] = {}
    sections = []
    for position, axis in enumerate(territory.axes, start=1):
        listed = list(dict.fromkeys((*axis.indicators, *axis.complementary)))
        shown = [i for i in listed if i in blocks]
        finding, verdict = _finding([blocks[i] for i in shown], place) if listed else (NOTHING_DECLARED, "not_compared")
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
                unknown=tuple(unknown[i] for i in listed if i in unknown and not unknown[i].partial),
            )
        )
        home |= {i: axis.title for i in shown if i not in home}
    return tuple(sections)


def _portrait_ids(territory: Territory, catalog: Catalog) -> list[str]:
    """What describes any territory and that no axis claims: the key indicators, and the theme of population."""
    claimed = set(territory.indicator_ids())
    population = [i.id for i in catalog.themes["population"].indicators] if "population" in catalog.themes else []
    wanted = dict.fromkeys((*population, *KEY_INDICATORS))
    return [i for i in wanted if i in catalog.indicators and i not in claimed]


def _portrait(blocks: Sequence[Block], place: _Place) -> Section:
    finding, verdict = _finding(blocks, place)
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


def _overview_zones(place: _Place) -> tuple[str, ...]:
    return tuple(dict.fromkeys((place.main.name, place.benchmarks[-1].name)))


def _reference(block: Block, elsewhere: str | None, complementary: bool, place: _Place) -> Reference:
    by_zone = {row.figure.zone: row.figure for row in block.benchmarks}
    zones = dict.fromkeys((place.main, place.benchmarks[-1]))
    main = _main_row(block, place)
    return Reference(
        block=block,
        section_title=elsewhere,
        complementary=complementary,
        figures=(block.own.figure if block.own else None, *(by_zone.get(zone) for zone in zones)),
        verdict=main.verdict if main else "not_compared",
        words=main.short_words if main else "",
    )


@dataclass(frozen=True)
class _Gap:
    """How far a block stands from its main benchmark, `unfavourable` by the indicator's direction."""

    block: Block
    row: Row
    relative: float
    unfavourable: bool

    @property
    def rank(self) -> tuple[int, float]:
        tier = {"worse": 3, "better": 1, "similar": 0}.get(self.row.verdict, 2 if self.unfavourable else 0.5)
        return tier, self.relative


def _gap(block: Block, place: _Place) -> _Gap | None:
    row = _main_row(block, place)
    if (
        block.kind != "measured"
        or block.direction == "neutral"
        or row is None
        or row.figure.period != block.own.figure.period
        or block.own.figure.reliability == "unstable"
        or not row.figure.value
    ):
        return None
    difference = block.own.figure.value - row.figure.value
    unfavourable = difference > 0 if block.direction == "higher_is_worse" else difference < 0
    return _Gap(block, row, abs(difference / row.figure.value), unfavourable and difference != 0)


def _finding(blocks: Sequence[Block], place: _Place) -> tuple[str, Verdict]:
    """The opening sentence of a section, by FINDING_RULE, and the verdict it rests on."""
    gaps = [gap for block in blocks if (gap := _gap(block, place))]
    if not blocks:
        return (
            "Aucun indicateur de cet axe n’est connu à ce jour ; les raisons sont données ci-dessous.",
            "not_compared",
        )
    if not gaps:
        first = blocks[0]
        return f"{first.label} : {first.reading[:1].lower()}{first.reading[1:]}", "not_compared"
    gap = max(gaps, key=lambda g: g.rank)
    own, other = gap.block.own.figure, gap.row.figure
    zone = f"la région {other.zone.name}" if other.zone.type == "region" else "la France"
    figures = f"{gap.block.label} : {_quantity(own)} dans le territoire, contre {_quantity(other)} pour {zone}"
    than = narrative.against(other.zone.type, other.zone.name, other.zone.of)
    difference = narrative.gap_words(own.value, other.value, unit=own.unit, decimals=own.decimals, than=than)
    if gap.row.verdict == "worse":
        return f"{figures}. L’écart est défavorable et dépasse ce que le hasard explique.", "worse"
    if gap.row.verdict == "not_compared" and gap.unfavourable:
        return f"{figures}, soit {difference}. L’écart est défavorable ; il n’est pas testé.", "not_compared"
    return (
        f"Aucun indicateur de cet axe n’est plus défavorable que {than}. Le plus marqué est : "
        f"{gap.block.label[:1].lower()}{gap.block.label[1:]}, {_quantity(own)} contre {_quantity(other)}.",
        gap.row.verdict,
    )


# --- key figures, IRIS, unknowns -------------------------------------------------------------------------------------


def _key_blocks(blocks: Mapping[str, Block]) -> list[Block]:
    order = dict.fromkeys((*(i for i in KEY_INDICATORS if i in blocks), *blocks))
    return [blocks[i] for i in order if blocks[i].kind != "context"]


def _key_row(block: Block, place: _Place) -> KeyRow:
    by_zone = {row.figure.zone: row.figure for row in block.benchmarks}
    main = _main_row(block, place)
    return KeyRow(
        block=block,
        figures=(block.own.figure if block.own else None, *(by_zone.get(zone) for zone in place.benchmarks)),
        verdict=main.verdict if main else "not_compared",
        words=main.short_words if main else "",
    )


def _iris(facts: _Facts, place: _Place, blocks: Mapping[str, Block]) -> tuple[Matrix, ...]:
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


def _unknown(indicator_id: str, facts: _Facts, place: _Place, block: Block | None) -> Unknown | None:
    """Why an indicator of the axes has no figure, or not the whole of it; None when it is fully known."""
    indicator = facts.catalog.indicators[indicator_id]
    reason = _reason_absent(indicator, facts) if block is None else _reason_partial(block, facts)
    axes = tuple(a.title for a in place.card.axes if indicator_id in (*a.indicators, *a.complementary))
    return Unknown(indicator.label, narrative.sentence(reason), axes, partial=block is not None) if reason else None


def _reason_absent(indicator: Indicator, facts: _Facts) -> str:
    own = facts.own(indicator.id)
    if indicator.unavailable:
        return indicator.unavailable
    if indicator.formula_for(facts.profile) is None:
        others = [narrative.PROFILES[p] for p in indicator.formulas]
        return f"absent des {narrative.PROFILES[facts.profile]} ; se calcule avec : {french.listing(others)}"
    return _withheld(own) if own else "aucune valeur publiée pour ce territoire ni pour ses repères"


def _reason_partial(block: Block, facts: _Facts) -> str:
    own = facts.own(block.indicator_id)
    if block.kind == "measured":
        incomplete = own.reliability == "incomplete"
        return narrative.reliability_words("incomplete", own.period, own.coverage) if incomplete else ""
    if block.kind == "members" and not block.aggregable:
        return "publié pour chaque EPCI seulement : ne se calcule pas pour l’ensemble du territoire"
    if own is not None and own.reliability in ("masked", "incomplete"):
        shown = "les EPCI membres sont présentés" if block.kind == "members" else "seuls les repères sont connus"
        return f"{_withheld(own)} ; {shown}"
    if block.aggregable and facts.catalog.indicators[block.indicator_id].formula_for(facts.profile) is None:
        missing = narrative.PROFILES[facts.profile]
        return f"absent des {missing} : seules des valeurs calculées antérieurement sont reprises"
    scales = french.listing(list(dict.fromkeys(narrative.ZONE_TYPES[r.figure.zone.type] for r in block.benchmarks)))
    return f"inconnu à l’échelle du territoire : seuls des repères sont publiés ({scales})"


def _withheld(figure: Figure) -> str:
    """Why a row without a value has none."""
    if figure.reliability == "masked":
        return "masqué : effectifs trop petits ou secret statistique du producteur"
    if figure.coverage is not None and figure.coverage < COVERAGE_PUBLISHED:
        return (
            f"non publié : les communes dont la donnée est connue n’abritent que "
            f"{narrative.coverage_words(figure.coverage)} de la population "
            f"(il en faut au moins {french.quantity(COVERAGE_PUBLISHED * 100, '%')})"
        )
    return "la donnée manque dans le fichier du producteur"


# --- territory, sources, dictionary ----------------------------------------------------------------------------------

KINDS = {
    "petr": "pôle d’équilibre territorial et rural (PETR)",
    "epci": "intercommunalité (EPCI)",
    "commune": "commune",
    "free": "groupement de communes",
}


def _perimeter(facts: _Facts, place: _Place) -> Perimeter:
    population = facts.own("pop_municipal")
    density = facts.own("pop_density")
    known = population if population and population.known else None
    return Perimeter(
        kind=KINDS[place.card.kind],
        contract=place.card.contract,
        cog_year=place.card.cog_year,
        commune_count=len(place.communes),
        epci=place.epci,
        departements=tuple(z for z in place.benchmarks if z.type == "departement"),
        regions=tuple(z for z in place.benchmarks if z.type == "region"),
        population=known.value if known else None,
        population_period=known.period if known else "",
        # The density's denominator is the area, in km².
        area_km2=density.denominator if density else None,
        density=density.value if density else None,
        source=place.card.source,
    )


class _SourceNumbers:
    """Numbers the files that served, in order of first mention; adds the card of a dataset that served earlier only."""

    def __init__(self, catalog: Catalog, uses: Sequence[SourceUse], profile: str) -> None:
        self._catalog = catalog
        self._profile = profile
        self._uses: dict[str, list[SourceUse]] = {}
        for use in uses:
            self._uses.setdefault(use.dataset_id, []).append(use)
        self._numbered: list[tuple[str, SourceUse, bool]] = []

    def _number(self, dataset_id: str) -> list[int]:
        if not any(known == dataset_id for known, _, _ in self._numbered):
            uses = self._uses.get(dataset_id)
            self._numbered += (
                [(dataset_id, u, True) for u in uses] if uses else [(dataset_id, self._card(dataset_id), False)]
            )
        return [n for n, (known, _, _) in enumerate(self._numbered, start=1) if known == dataset_id]

    def _card(self, dataset_id: str) -> SourceUse:
        """A dataset no file of which was read in this run: a snapshot rests on it."""
        card = self._catalog.sources.get(dataset_id)
        if card is None:
            return SourceUse(dataset_id, dataset_id.replace("_", " "), "", "", "", "", None, None)
        vintages = french.listing(list(dict.fromkeys(d.vintage for d in card.distributions)))
        return SourceUse(dataset_id, card.title, card.producer, vintages, card.licence, card.homepage, None, None)

    def of(self, ids: Iterable[str]) -> tuple[int, ...]:
        return tuple(n for dataset_id in dict.fromkeys(ids) for n in self._number(dataset_id))

    def credit(self, numbers: Sequence[int]) -> str:
        """« Source : Insee, Recensement (2022) ; DREES, APL (2023). »"""
        vintages: dict[tuple[str, str], dict[str, None]] = {}
        for use in (self._numbered[n - 1][1] for n in numbers):
            vintages.setdefault((use.producer, use.title), {}).update({use.vintage: None} if use.vintage else {})
        parts = [
            ", ".join(filter(None, names)) + (f" ({', '.join(years)})" if years else "")
            for names, years in vintages.items()
        ]
        return f"{'Sources' if len(parts) > 1 else 'Source'} : {' ; '.join(parts)}." if parts else ""

    def notes(self) -> tuple[SourceNote, ...]:
        """Every source, those that no figure names (geography, boundaries) last."""
        for dataset_id in self._uses:
            self._number(dataset_id)
        cards = self._catalog.sources
        return tuple(
            SourceNote(
                number=number,
                use=use,
                citation=cards[dataset_id].citation if dataset_id in cards else "",
                notes=cards[dataset_id].notes if dataset_id in cards else "",
                fetched=fetched,
            )
            for number, (dataset_id, use, fetched) in enumerate(self._numbered, start=1)
        )


def _term(indicator_id: str, catalog: Catalog, profile: str) -> Term:
    indicator = catalog.indicators[indicator_id]
    formula = indicator.formula_for(profile)
    return Term(
        indicator_id=indicator_id,
        theme=catalog.theme_of[indicator_id].title,
        label=indicator.label,
        definition=narrative.sentence(indicator.definition),
        formula=narrative.formula_words(formula, _variable_label(catalog)) if formula else "",
        unit=indicator.unit,
        direction=narrative.DIRECTIONS[indicator.direction],
        method_note=narrative.sentence(indicator.method_note),
        reserve=narrative.sentence(indicator.reserve),
    )
