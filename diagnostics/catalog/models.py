"""What a card of `catalog/` may say: source cards, indicator files, territory cards.

Cards are data that an analyst edits; these models hold them. A key that is not named here is refused, so that a
misspelt one never passes silently. `loading.py` turns refusals into messages that name the file, the key and the fix.
"""

from __future__ import annotations

import datetime
import re
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

Profile = Literal["embedded", "mirror", "official"]
ZoneType = Literal["iris", "commune", "epci", "petr", "cls", "departement", "region", "france"]
Direction = Literal["higher_is_worse", "higher_is_better", "neutral"]
CommuneCode = Annotated[str, Field(pattern=r"^(\d{2}|2[AB])\d{3}$")]
Siren = Annotated[str, Field(pattern=r"^\d{9}$")]
Identifier = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Slug = Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]*$")]


class Card(BaseModel):
    """Base of every card: unknown keys are errors, values never change after loading."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


# --- sources ---------------------------------------------------------------------------------------------------------


class Geo(Card):
    """How a row names its zone. `code` and `where` are DuckDB expressions over the producer's columns, as text."""

    type: Literal["iris", "commune", "epci", "departement", "region", "france", "bassin_de_vie", "zone_emploi"]
    code: str
    where: str | None = None


class Coded(Card):
    """A class column whose labels are carried as numbers. A label that is not listed is an error."""

    column: str
    codes: dict[str, float]


class Observations(Card):
    """Facts to take from a file. One block per geography and period.

    `values` maps our variable to a column name, to an expression whose columns stand in double quotes
    (`"P22_POP" * "pct" / 100`), or to a `Coded` column. In a long file `variable_column` and `value_column` name the
    pivots, and `values` maps our variable to the producer's code. `aggregate: sum` adds up lines of one zone, `mean`
    and `max` take their mean and the largest, `count` counts them, `distinct` counts the different values of an
    expression (persons with several activities).
    """

    geo: list[Geo] = Field(min_length=1)
    period: str | None = None
    period_column: str | None = None
    where: str | None = None
    values: dict[Identifier, str | Coded]
    variable_column: str | None = None
    value_column: str | None = None
    aggregate: Literal["none", "sum", "mean", "max", "count", "distinct"] = "none"

    @model_validator(mode="after")
    def _one_period(self) -> Observations:
        if (self.period is None) == (self.period_column is None):
            raise ValueError("indiquer soit `period`, soit `period_column`")
        if (self.variable_column is None) != (self.value_column is None):
            raise ValueError("`variable_column` et `value_column` vont ensemble")
        return self


class Kept(Card):
    """A variable that the months kept give, by commune: the sum of the counts that pass `where`, a DuckDB test over the
    columns of `by`.

    Every month kept is a period of it (`AAAA-MM`), unless `months_before` says which one counts: that many months
    before the one of the file that serves. It then stands under `period`, beside what the file itself gives, and has no
    line as long as that month was not kept.
    """

    where: str
    months_before: Annotated[int, Field(gt=0)] | None = None
    period: str | None = None

    @model_validator(mode="after")
    def _period_of_a_month(self) -> Kept:
        if (self.months_before is None) != (self.period is None):
            raise ValueError("`months_before` et `period` vont ensemble")
        return self


class History(Card):
    """Counts of a file that the producer overwrites, to be kept at each edition (see `sources/history.py`).

    One row per combination of `by` (our column: an expression of the file), with the number of different `distinct` in
    it. Nothing else of the file is kept: no name, no identifier. `values`: the variables that the months kept give.
    """

    by: dict[Identifier, str] = Field(min_length=1)
    distinct: str
    where: str | None = None
    values: dict[Identifier, Kept] = {}

    @model_validator(mode="after")
    def _by_commune(self) -> History:
        if self.values and "commune" not in self.by:
            raise ValueError("`values` demande une colonne `commune` sous `by`")
        return self


class Distribution(Card):
    """One file or one address of a dataset (the DCAT word), and how its bytes are read.

    `role`: the name its table answers to, when distributions of several profiles give the same table; `id` by default.
    """

    id: Identifier
    role: Identifier | None = None
    profiles: list[Profile] = Field(min_length=1)
    address: str
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    vintage: str
    published: str | None = None
    cog_year: int | None = None
    compilation_by: str | None = None
    verified: datetime.date | Literal["unverified"] = "unverified"
    layout: Identifier
    options: dict[str, Any] = {}
    rows: tuple[int, int] | None = None
    table: dict[Identifier, str] | None = None
    table_where: str | None = None
    observations: list[Observations] = []
    history: History | None = None

    @property
    def table_name(self) -> str:
        """How the rest of the house asks for the table, whichever profile gives it."""
        return self.role or self.id

    @field_validator("address")
    @classmethod
    def _known_scheme(cls, address: str) -> str:
        if not re.match(r"^(https|mirror|package|snapshot|manual)://", address):
            raise ValueError("l'adresse doit commencer par https://, mirror://, package://, snapshot:// ou manual://")
        return address


class Within(Card):
    """Points to find in outlines: the columns of the points (degrees, WGS 84) and those of the outlines' table.

    A point outside every outline goes to the nearest one when it is less than about `reach` metres away (quays,
    generalised borders); it has no match otherwise.
    """

    longitude: Identifier
    latitude: Identifier
    geometry: Identifier = "geometry"
    reach: float = Field(default=0.0, ge=0)


class Position(Card):
    """The columns that place a point: longitude and latitude in degrees, or metres in the projection `crs` (EPSG)."""

    x: Identifier
    y: Identifier
    crs: int = 4326


class Near(Card):
    """Points to bring to the nearest point of another table: `here` places ours, `there` those of that table.

    The lines take the columns of that nearest point, and under `distance` the metres to it as the crow flies (geodesic
    of the WGS 84 ellipsoid): no road is followed, however far it is.
    """

    here: Position
    there: Position
    distance: Identifier


class Match(Card):
    """A table brought beside the lines gathered so far, in `Joined`.

    `table`: a reference table of any dataset of the profile, `where` the lines of it that count. Either `key` maps our
    column to the column of its key, `within` finds points in its outlines, or `near` finds its nearest point. A key
    that stands twice in the table is an error, unless `many` says that each line takes all its matches. A line without
    a match, without a key or without a place, is left out and listed; over the share `orphans` of the lines, it is an
    error.
    """

    table: Identifier
    key: dict[Identifier, Identifier] = {}
    within: Within | None = None
    near: Near | None = None
    where: str | None = None
    many: bool = False
    orphans: float = Field(default=0.0, ge=0, lt=1)

    @model_validator(mode="after")
    def _one_way(self) -> Match:
        if bool(self.key) + (self.within is not None) + (self.near is not None) != 1:
            raise ValueError(
                "indiquer soit `key` (clés égales), soit `within` (points dans des contours), soit `near` (point le "
                "plus proche)"
            )
        return self


class Joined(Card):
    """Facts that no single file gives: lines of `table`, with those of other tables beside them (`beside`, in order).

    The tables are the reference tables of cards (`Distribution.table`), under our column names. `unique` keeps one
    line of each different combination of these columns, and these columns only: a sample taken for two networks of one
    commune counts once.
    """

    id: Identifier
    profiles: list[Profile] = Field(min_length=1)
    table: Identifier
    beside: list[Match] = Field(min_length=1)
    unique: list[Identifier] = []
    cog_year: int | None = None
    observations: list[Observations] = Field(min_length=1)

    layout: ClassVar[str] = "parquet"
    rows: ClassVar[None] = None

    @property
    def tables(self) -> list[str]:
        """Every table it reads, the first one first."""
        return list(dict.fromkeys([self.table, *(match.table for match in self.beside)]))


class Variable(Card):
    """A quantity of the house: what it is, and how it follows its commune through time.

    `carry`: `sum` for stocks; `mean:<variable>` for per-head means; `majority:<variable>` and `max` for classes, the
    variable being of the same dataset, or the reference population when none is named; `keep` for what cannot be
    recombined (medians, published rates): missing after a merger.

    `absent: zero` says that a commune without a line has none of it (a directory, a list of facilities), where the
    default says that it is not known.

    `part_of`: the variable of the same dataset that this one is a part of, hence never more in any zone.
    """

    label: str
    unit: str = ""
    carry: Annotated[str, Field(pattern=r"^(sum|max|keep|(majority|mean)(:[a-z0-9_]+)?)$")] = "sum"
    absent: Literal["unknown", "zero"] = "unknown"
    minimum: float | None = None
    maximum: float | None = None
    part_of: Identifier | None = None


class Control(Card):
    """A total or a weighted mean known beforehand. Off by more than `tolerance` (absolute), the file is refused."""

    variable: Identifier
    period: str
    geo_type: str = "commune"
    where: str | None = None
    sum: float | None = None
    mean: float | None = None
    weight: Identifier | None = None
    tolerance: float = 0.0
    source: str

    @model_validator(mode="after")
    def _one_statistic(self) -> Control:
        if (self.sum is None) == (self.mean is None):
            raise ValueError("indiquer soit `sum`, soit `mean`")
        if (self.mean is None) != (self.weight is None):
            raise ValueError("`mean` demande `weight`")
        return self


class Correction(Card):
    """A known upstream mistake. Fails once the producer has repaired it (`expect` no longer found)."""

    distribution: Identifier
    where: str
    column: str
    expect: str
    replace: str
    because: str


class Source(Card):
    """A dataset of one producer.

    `secrecy`: the rule that its producer or its agreement sets on the counts it gives, a key of
    `diagnostics.statistics.secrecy.RULES`; whatever adds them up keeps it. `0`: it is public as it is.

    `on_demand`: no indicator rests on it, so that a run of the official profile leaves it alone until a person has
    asked for it (`diagnostic sources fetch`): one does not download two gigabytes for a second opinion.
    """

    id: Identifier
    title: str
    producer: str
    licence: str
    homepage: str
    citation: str
    theme: str
    rhythm: Literal["monthly", "quarterly", "yearly", "irregular", "static"] = "yearly"
    notes: str = ""
    markers: dict[Literal["secret", "missing"], list[str]] = {}
    municipal_districts: Literal["one_commune", "districts", "both", "none"] = "none"
    secrecy: Literal["0", "C5", "B5", "N5", "E11", "L11", "F"] = "0"
    on_demand: bool = False
    variables: dict[Identifier, Variable] = {}
    distributions: list[Distribution] = Field(min_length=1)
    joined: list[Joined] = []
    controls: list[Control] = []
    corrections: list[Correction] = []

    @model_validator(mode="after")
    def _consistent(self) -> Source:
        ids = [d.id for d in (*self.distributions, *self.joined)]
        if len(ids) != len(set(ids)):
            raise ValueError("deux distributions portent le même `id`")
        served = [(profile, d.table_name) for d in self.distributions for profile in d.profiles if d.table is not None]
        if len(served) != len(set(served)):
            raise ValueError("dans un même profil, deux distributions donnent la même table (`role`)")
        for distribution in self.distributions:
            if distribution.role is not None and distribution.table is None:
                raise ValueError(f"distribution `{distribution.id}` : `role` nomme une table, il faut `table`")
            if distribution.table is None and not distribution.observations:
                raise ValueError(f"distribution `{distribution.id}` : il faut `table` ou `observations`")
        for part in (*self.distributions, *self.joined):
            unknown = {name for block in part.observations for name in block.values} - set(self.variables)
            if unknown:
                raise ValueError(
                    f"distribution `{part.id}` : variable(s) non déclarée(s) sous `variables` : "
                    + ", ".join(sorted(unknown))
                )
        return self

    @model_validator(mode="after")
    def _wholes_declared(self) -> Source:
        unknown = {v.part_of for v in self.variables.values() if v.part_of} - set(self.variables)
        if unknown:
            raise ValueError(f"`part_of` : variable(s) non déclarée(s) sous `variables` : {', '.join(sorted(unknown))}")
        return self

    @model_validator(mode="after")
    def _history_declared(self) -> Source:
        for distribution in self.distributions:
            unknown = set(distribution.history.values if distribution.history else ()) - set(self.variables)
            if unknown:
                raise ValueError(
                    f"distribution `{distribution.id}`, `history` : variable(s) non déclarée(s) sous `variables` : "
                    + ", ".join(sorted(unknown))
                )
        return self

    def of_profile(self, profile: Profile) -> list[Distribution]:
        return [d for d in self.distributions if profile in d.profiles]

    def names_zones(self, level: ZoneType, profile: Profile | None = None) -> bool:
        """Whether its observations, in `profile` or in any, name zones of that level."""
        return any(
            geo.type == level
            for part in (*self.distributions, *self.joined)
            if profile is None or profile in part.profiles
            for block in part.observations
            for geo in block.geo
        )

    def joined_of(self, profile: Profile) -> list[Joined]:
        return [j for j in self.joined if profile in j.profiles]

    def observing(self, profile: Profile) -> list[Distribution | Joined]:
        """What gives observations in `profile`."""
        return [part for part in (*self.of_profile(profile), *self.joined_of(profile)) if part.observations]


# --- indicators ------------------------------------------------------------------------------------------------------

TERM = re.compile(r"\s*([+-]?)\s*(?:(\d+(?:\.\d+)?)\s*\*\s*)?([a-z][a-z0-9_]*)@([0-9][0-9A-Za-z-]*)\s*")


class Term(Card):
    """`coefficient * variable@period`."""

    variable: Identifier
    period: str
    coefficient: float = 1.0


def parse_terms(text: str) -> tuple[Term, ...]:
    """`"pop_65_79@2022 + pop_80plus@2022"` -> terms. Refuses anything that is not a sum of `variable@period`."""
    terms, position = [], 0
    while position < len(text):
        match = TERM.match(text, position)
        if not match or (position and not match[1]):
            raise ValueError(f"« {text} » n'est pas une somme de termes `variable@période`, par ex. `pop_65plus@2022`")
        sign = -1.0 if match[1] == "-" else 1.0
        terms.append(Term(variable=match[3], period=match[4], coefficient=sign * float(match[2] or 1)))
        position = match.end()
    if not terms:
        raise ValueError("expression vide : écrire par ex. `pop_65plus@2022`")
    return tuple(terms)


def _as_terms(value: Any) -> Any:
    return parse_terms(value) if isinstance(value, str) else value


Terms = Annotated[tuple[Term, ...], BeforeValidator(_as_terms)]


class _Formula(Card):
    def roles(self) -> dict[str, tuple[Term, ...]]:
        """The terms of each role the formula names."""
        return {name: value for name in type(self).model_fields if isinstance(value := getattr(self, name), tuple)}

    def terms(self) -> tuple[Term, ...]:
        return tuple(term for terms in self.roles().values() for term in terms)


class Ratio(_Formula):
    """Σ numerator / Σ denominator × multiplier. A share, a rate, a density."""

    kind: Literal["ratio", "density"]
    numerator: Terms
    denominator: Terms
    multiplier: float = 1.0


class Sum(_Formula):
    """Σ numerator: a count."""

    kind: Literal["sum"]
    numerator: Terms


class WeightedMean(_Formula):
    """Σ weight·value / Σ weight, for values that are means per head (APL)."""

    kind: Literal["weighted_mean"]
    value: Terms
    weight: Terms


class ShareOverThreshold(_Formula):
    """Population of the communes whose value meets the test / population of all: a distribution, never a mean.

    The threshold is given, or is the national `quantile` of the value over people (0.8: the fifth quintile begins).
    """

    kind: Literal["share_over_threshold"]
    value: Terms
    test: Literal["<", "<=", ">", ">=", "=", "in"]
    threshold: float | list[float] | None = None
    quantile: Annotated[float, Field(gt=0, lt=1)] | None = None
    population: Terms
    multiplier: float = 100.0

    @model_validator(mode="after")
    def _one_threshold(self) -> ShareOverThreshold:
        if (self.threshold is None) == (self.quantile is None):
            raise ValueError("indiquer soit `threshold`, soit `quantile`")
        return self


class Published(_Formula):
    """The figure the producer publishes for that very zone, never aggregated; each term is one vintage of it."""

    kind: Literal["published"]
    value: Terms


class Index(_Formula):
    """Σ weight·numerator / Σ weight·denominator × multiplier: two aggregates compared, after aggregating both."""

    kind: Literal["index"]
    numerator: Terms
    denominator: Terms
    weight: Terms | None = None
    multiplier: float = 100.0


class Growth(_Formula):
    """((Σ end / Σ start)^(1/years) − 1) × 100, at constant perimeter."""

    kind: Literal["growth"]
    start: Terms
    end: Terms
    years: int = Field(gt=0)


class Median(_Formula):
    """Median over the member communes: describes the communes, not the people."""

    kind: Literal["median"]
    value: Terms


class Maximum(_Formula):
    """The largest value among the member communes: what the most exposed of them meet."""

    kind: Literal["maximum"]
    value: Terms


class Derived(_Formula):
    """What no sum gives: `method` names a function of `diagnostics.indicators.derived`.

    `inputs`: the terms, by commune, of each quantity it asks for; `tables`: the reference tables it reads.
    """

    kind: Literal["derived"]
    method: Identifier
    inputs: dict[Identifier, Terms] = Field(min_length=1)
    tables: list[Identifier] = []

    def roles(self) -> dict[str, tuple[Term, ...]]:
        return dict(self.inputs)


Formula = Annotated[
    Ratio | Sum | WeightedMean | ShareOverThreshold | Published | Index | Growth | Median | Maximum | Derived,
    Field(discriminator="kind"),
]


class Classification(Card):
    """Map classes. `fixed` bounds are the inner breaks; the others are computed once for France."""

    method: Literal["quantiles", "jenks", "fixed", "diverging"] = "quantiles"
    classes: int = Field(default=5, ge=2, le=7)
    breaks: list[float] | None = None


class Traits(Card):
    """The words a class of the typology takes from one of its variables, high or low: « population âgée »."""

    levels: list[Literal["commune", "epci"]] = Field(min_length=1)
    high: str
    low: str


class Indicator(Card):
    """One figure of the diagnostic: what it says, how it is computed, how it may be shown.

    `formula` serves every profile unless `formulas` names one for that profile. An indicator without any formula
    stands in the catalogue to say why it is not known (`unavailable`). `earlier`: the same formula at former vintages,
    for trends.

    `secrecy`: `census` masks shares of fewer than 200 persons; `events` masks fewer than 10 events, and what would give
    them away; `small_counts` masks fewer than 10, of things that are public one by one; `producer`: masked by him.

    `reference`: what it compares with; `france` for what is standardised on France (two ICM have different weights).

    `space`: its concentrations are looked for (Moran, LISA), as a `rate` of counts that small zones make unsure, or as
    a `value` that stands alone. `typology`: it takes part in the classes of these levels, with these words.
    """

    id: Identifier
    label: str
    short: str
    definition: str
    unit: str
    decimals: int = Field(default=1, ge=0, le=3)
    direction: Direction
    interval: Literal["none", "wilson", "byar"] = "none"
    secrecy: Literal["none", "census", "events", "small_counts", "producer"] = "none"
    nature: Literal["observed", "modelled", "context"] = "observed"
    reference: Literal["all", "france"] = "all"
    formula: Formula | None = None
    formulas: dict[Profile, Formula] = {}
    earlier: dict[Profile, list[Formula]] = {}
    unavailable: str | None = None
    method_note: str = ""
    reserve: str = ""
    map: Literal["choropleth", "symbols", "none"] = "choropleth"
    classification: Classification = Classification()
    space: Literal["none", "rate", "value"] = "none"
    typology: Traits | None = None

    @model_validator(mode="after")
    def _computable_or_explained(self) -> Indicator:
        if self.formula is None and not self.formulas and self.unavailable is None:
            raise ValueError("ni `formula` ni `unavailable` : dire comment il se calcule, ou pourquoi il est inconnu")
        return self

    def formula_for(self, profile: Profile) -> Formula | None:
        return self.formulas.get(profile, self.formula)


class Theme(Card):
    """One file of `catalog/indicators/`."""

    theme: Identifier
    title: str
    palette: Literal["care", "ageing", "fragility", "environment", "health", "population"]
    indicators: list[Indicator] = Field(min_length=1)


# --- territories -----------------------------------------------------------------------------------------------------


class MemberEpci(Card):
    siren: Siren
    name: str


class Axis(Card):
    """One axis, priority or objective of the CLS, in its own words."""

    id: str
    title: str
    indicators: list[Identifier] = []
    complementary: list[Identifier] = []


class Territory(Card):
    """The perimeter of one CLS, frozen as a list of communes at a stated COG year.

    `axes_from`: name of the territory whose axes stand in for those of the contract until someone writes them.
    """

    id: Slug
    name: str
    kind: Literal["petr", "epci", "commune", "free"]
    siren: Siren | None = None
    contract: str = ""
    cog_year: int
    epci: list[MemberEpci] = []
    communes: list[CommuneCode] = Field(min_length=1)
    axes: list[Axis] = Field(min_length=1)
    axes_from: str = ""
    source: str

    @field_validator("communes")
    @classmethod
    def _no_overlap(cls, communes: list[str]) -> list[str]:
        twice = sorted({code for code in communes if communes.count(code) > 1})
        if twice:
            raise ValueError(f"commune(s) citée(s) deux fois : {', '.join(twice)} ; retirer le doublon")
        return communes

    def indicator_ids(self) -> list[str]:
        """Every indicator of every axis, each once, in order."""
        return list(dict.fromkeys(i for axis in self.axes for i in (*axis.indicators, *axis.complementary)))
