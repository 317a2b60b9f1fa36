"""The one model of a report. Renderers (`html`, `workbook`, later `pdf` and `docx`) read it and nothing else.

Everything is already decided here: which figures, in which order, with which words. A renderer only lays them out, and
formats numbers through `diagnostics.french`. Texts are French, ready to print; numbers stay numbers.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Verdict = Literal["better", "similar", "worse", "not_compared"]
Course = Literal["improving", "worsening", "stable", "not_tested"]
Role = Literal["territory", "member", "benchmark", "commune", "iris"]
BlockKind = Literal["measured", "members", "context"]


@dataclass(frozen=True)
class SourceUse:
    """One file that really served: what its card says of it, and what its receipt says of the bytes."""

    dataset_id: str
    title: str
    producer: str
    vintage: str
    licence: str
    address: str
    sha256: str | None
    fetched_at: datetime.datetime | None


@dataclass(frozen=True)
class MapFile:
    """The two files of one map, and what it shows in words (for those who cannot see it)."""

    png: Path
    svg: Path
    alt: str


@dataclass(frozen=True)
class Vigilance:
    """A point of vigilance of one axis: the analyst's sentence and the reserve that goes with it.

    `overall` is its rank in the whole CLS (1 = first); one indicator has the same in every axis.
    """

    axis_id: str
    sentence: str
    reserve: str = ""
    indicator_id: str = ""
    overall: int = 1


@dataclass(frozen=True)
class Zone:
    """A zone as a reader names it. `of` is the name after « de » (« de la Meuse »), `role` its place in the report.
    `also_region`: a département that is a région by itself, as overseas: it is shown once."""

    type: str
    code: str
    name: str
    of: str
    role: Role
    also_region: bool = False

    @property
    def key(self) -> tuple[str, str]:
        return self.type, self.code

    @property
    def is_region(self) -> bool:
        return self.type == "region" or self.also_region


@dataclass(frozen=True)
class Figure:
    """One value of one indicator in one zone. `value` is None when it is masked, withheld or unknown."""

    indicator_id: str
    zone: Zone
    period: str
    value: float | None
    low: float | None
    high: float | None
    numerator: float | None
    denominator: float | None
    unit: str
    decimals: int
    reliability: str
    coverage: float | None
    comparison: Verdict
    dataset_ids: tuple[str, ...]
    method: str
    source_version: str

    @property
    def known(self) -> bool:
        return self.value is not None

    @property
    def tested(self) -> bool:
        """Whether an interval allows a comparison that chance cannot explain."""
        return self.known and self.low is not None and self.high is not None


@dataclass(frozen=True)
class Row:
    """A line of a comparison table: a figure, and in words how it stands against what it is compared with.

    `short_words` leave out the name of the benchmark and that nothing was tested: the header and the mark of the line
    say them.
    """

    figure: Figure
    verdict: Verdict
    words: str
    short_words: str
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Trend:
    """How the territory's figure moved between its first and its last vintage: `words` for a column, `sentence` for the
    reader of the indicator. Without a test, `course` is `not_tested` and the words say so."""

    arrow: str
    words: str
    years: str
    course: Course
    sentence: str


@dataclass(frozen=True)
class MapFigure:
    """A numbered map, ready to be placed."""

    number: int
    png: Path
    svg: Path
    alt: str
    caption: str


@dataclass(frozen=True)
class Sensitivity:
    """What other thresholds would give: a share (%) by threshold of access (lines) and deprivation (columns)."""

    accesses: tuple[float, ...]
    classes: tuple[int, ...]
    shares: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Block:
    """One indicator in full.

    `kind`: `measured` (a value for the territory), `members` (published for its EPCI only: never one figure),
    `context` (known above the territory only).
    """

    anchor: str
    indicator_id: str
    label: str
    short: str
    unit: str
    decimals: int
    direction: str
    kind: BlockKind
    countable: bool  # a count: never compared with a larger zone
    aggregable: bool  # False for what its producer publishes zone by zone
    period: str
    reading: str
    own: Row | None
    members: tuple[Row, ...]
    benchmarks: tuple[Row, ...]
    trend: Trend | None
    rank: str  # a sentence, or nothing
    inside: str  # a sentence on the gradient between its communes, or nothing
    sensitivity: Sensitivity | None
    map: MapFigure | None
    definition: str
    formula: str
    method_note: str
    computed: str  # what the computation itself said of the value
    reserve: str
    notes: tuple[str, ...]
    source_numbers: tuple[int, ...]


@dataclass(frozen=True)
class Reference:
    """A line of the overview of a section: an indicator, where its block is, and its main comparison."""

    block: Block
    section_title: str | None  # where the block stands, when it is another section
    complementary: bool
    figures: tuple[Figure | None, ...]  # territory, then the columns of the overview
    verdict: Verdict
    words: str


@dataclass(frozen=True)
class Trait:
    """A trait of structure: its name, its unit, its decimals."""

    label: str
    unit: str
    decimals: int


@dataclass(frozen=True)
class Alike:
    """The territory and those of like structure: the traits compared, and a line per territory, nearest first.

    `rows`: name, values in the order of `traits`, distance (None for the territory itself).
    """

    traits: tuple[Trait, ...]
    rows: tuple[tuple[str, tuple[float, ...], float | None], ...]


@dataclass(frozen=True)
class Gradient:
    """How unequal an indicator is between the communes of the territory, from the least to the most deprived.

    `slope` is in the unit of the indicator, `ratio` how many times the most deprived end has what the other has.
    """

    block: Block
    slope: float
    low: float
    high: float
    ratio: float | None
    ratio_low: float | None
    ratio_high: float | None
    communes: int
    unequal: bool
    unfavourable: bool


@dataclass(frozen=True)
class Inequality:
    """The inequalities inside the territory: a finding, the gradients from the widest, a drawing of them.

    Without any gradient the finding says why.
    """

    finding: str
    gradients: tuple[Gradient, ...]
    drawing: str
    alt: str


@dataclass(frozen=True)
class Looked:
    """One indicator that was looked at: level, zones with a value, Moran's I, what was `found` in the CLS."""

    label: str
    level: str
    period: str
    zones: int
    morans_i: float
    sure: bool
    found: str
    map: MapFigure | None


@dataclass(frozen=True)
class TypeLine:
    """One class: its number and name, how it differs, how many zones of the CLS and of France are of it."""

    number: int
    name: str
    description: str
    own: tuple[str, ...]
    own_count: int
    zones: int
    population: float


@dataclass(frozen=True)
class TypeTable:
    """The classes of one level; `unclassified` zones of the CLS lack a published value."""

    title: str
    level: str
    lines: tuple[TypeLine, ...]
    unclassified: int
    stability: float
    zones: int
    map: MapFigure | None


@dataclass(frozen=True)
class Patterns:
    """Where values concentrate, and what the territory is like.

    `not_looked`: indicators that could not be looked at, each with its reason.
    """

    concentration_finding: str
    looked: tuple[Looked, ...]
    not_looked: tuple[tuple[str, str], ...]
    smoothed: tuple[MapFigure, ...]
    type_finding: str
    types: tuple[TypeTable, ...]

    @property
    def maps(self) -> tuple[MapFigure, ...]:
        of_lines = (line.map for line in (*self.looked, *self.types) if line.map)
        return (*of_lines, *self.smoothed)


@dataclass(frozen=True)
class Unknown:
    """What the report cannot say, and why. `partial` when something is shown nonetheless."""

    label: str
    reason: str
    axes: tuple[str, ...]
    partial: bool = False


@dataclass(frozen=True)
class Section:
    """One axis of the contract, in its own words; or, without number, the portrait of the territory."""

    anchor: str
    number: str
    title: str
    finding: str
    finding_verdict: Verdict
    vigilance: tuple[Vigilance, ...]
    overview_columns: tuple[str, ...]
    overview: tuple[Reference, ...]
    blocks: tuple[Block, ...]
    unknown: tuple[Unknown, ...]


@dataclass(frozen=True)
class KeyRow:
    """One key figure, over the territory and its benchmarks (same order as `Report.key_columns`)."""

    block: Block
    figures: tuple[Figure | None, ...]
    verdict: Verdict
    words: str


@dataclass(frozen=True)
class Matrix:
    """A table of zones by indicators: `rows` pair a zone with one figure (or None) for each of `blocks`."""

    title: str
    blocks: tuple[Block, ...]
    rows: tuple[tuple[Zone, tuple[Figure | None, ...]], ...]


@dataclass(frozen=True)
class DashboardLine:
    """One indicator in one zone: what the annex shows of it on a line.

    `verdicts` follow `Report.key_columns` (None where nothing is compared); ranks, slopes and ratios are None when they
    are not known.
    """

    label: str
    unit: str
    decimals: int
    zone: Zone
    period: str
    value: float
    low: float | None
    high: float | None
    reliability: str
    verdicts: tuple[Verdict | None, ...]
    trend: Trend | None
    first: float | None
    test: str
    rank: tuple[float | None, float | None, float | None, float | None]  # rank, best, worst, how many
    slope: tuple[float | None, float | None, float | None]
    ratio: tuple[float | None, float | None, float | None]
    communes: int | None


@dataclass(frozen=True)
class SourceNote:
    """An entry of the annex of sources. Without `files`, its figures were computed in an earlier run."""

    number: int
    dataset_id: str
    title: str
    producer: str
    licence: str
    homepage: str
    citation: str
    files: tuple[SourceUse, ...]


@dataclass(frozen=True)
class Perimeter:
    """The territory in facts. Unknown amounts are None and are not printed."""

    kind: str
    contract: str
    axes_from: str  # name of the territory whose axes stand in for those of the contract, if any
    cog_year: int
    commune_count: int
    epci: tuple[Zone, ...]
    departements: tuple[Zone, ...]
    regions: tuple[Zone, ...]
    population: float | None
    population_period: str
    area_km2: float | None
    density: float | None
    density_period: str
    source: str


@dataclass(frozen=True)
class Term:
    """A line of the dictionary of indicators."""

    indicator_id: str
    theme: str
    label: str
    definition: str
    formula: str
    unit: str
    direction: str
    method_note: str
    reserve: str


@dataclass(frozen=True)
class Report:
    """The diagnostic of one CLS."""

    territory_id: str
    title: str
    territory: Zone
    main: Zone  # the benchmark of findings and overviews
    profile: str
    profile_words: str
    computed_on: datetime.date
    perimeter: Perimeter
    outline_svg: str
    cover: tuple[Block, ...]
    key_columns: tuple[Zone, ...]
    key_figures: tuple[KeyRow, ...]
    methods: tuple[tuple[str, str], ...]  # (what, how), for the annex of methods
    vigilance: tuple[Vigilance, ...] | None  # the first of the whole CLS; None when they were not looked for
    similar: Alike | None  # None when nothing can be said to be alike
    portrait: Section
    inequality: Inequality
    sections: tuple[Section, ...]
    patterns: Patterns | None  # concentrations and types of territories; None when they were not looked for
    iris: tuple[Matrix, ...]
    unknown: tuple[Unknown, ...]
    sources: tuple[SourceNote, ...]
    zones: tuple[Zone, ...]  # every zone of the annex, with or without figures
    dashboard: tuple[DashboardLine, ...]
    figures: tuple[Figure, ...]  # every value of the annex: communes, EPCI, CLS, benchmarks
    dictionary: tuple[Term, ...]

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Every indicator shown, once, in order."""
        return tuple(block for section in (self.portrait, *self.sections) for block in section.blocks)
