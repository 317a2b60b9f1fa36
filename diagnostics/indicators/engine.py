"""Declared formulas compiled to one DuckDB query per kind, for every zone of France at once.

Input: `facts` (values of variables at the pivot geography), `membership` (who is part of what) and the catalogue.
Output: the public table `values` (docs/architecture.md). Counts are summed, then divided; rates are never averaged.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from diagnostics import french
from diagnostics.catalog import Catalog, Profile
from diagnostics.catalog.models import Derived, Formula, Indicator, Published, ShareOverThreshold, Term
from diagnostics.errors import CatalogError
from diagnostics.indicators.derived import Inputs, derive
from diagnostics.indicators.disclosure import Places, Shown, withheld_with
from diagnostics.sql import frame_of
from diagnostics.statistics import comparison, rates, reliability, secrecy
from diagnostics.statistics.inputs import ROUNDING
from diagnostics.words import distinct

PUBLISHABLE_COVERAGE = 0.95
"""Below this share of the reference population, an aggregate is withheld (indicators.md, 10.1)."""

BENCHMARK = ("france", "FR")
"""The zone that the `comparison` column compares with; reports compare with the nearer ones too."""

EARLIER = "~"

SHARED_OUT = "habitants des arrondissements estimés au prorata de leur population de référence"
"""How `method` says that a population known for a whole city only was shared between its arrondissements."""

REFERENCE_POPULATION = "pop_municipal"
"""The indicator whose variable weighs coverage."""

VALUE_COLUMNS = (
    "indicator_id", "zone_type", "zone_code", "period", "numerator", "denominator", "value", "unit",
    "ci_low", "ci_high", "method", "reliability", "coverage", "comparison", "dataset_ids", "source_version",
    "computed_at",
)  # fmt: skip


@dataclass(frozen=True)
class Aggregate:
    """How one kind of formula turns the operands of member communes into a figure.

    `x`, `y`, `w` name the roles of the formula. `n` and `d` are what one member adds to the numerator and to the
    denominator: SQL over its operands and `hit`. `value` is the figure once `n` and `d` are added up: SQL over them and
    the columns `multiplier` and `years` of the specification. `add` is how members are put together. `divided`: the
    members of a city whose `x` is known by municipal arrondissement are these; a mean or a majority of them would make
    the city pass or fail as one.
    """

    x: str
    y: str | None
    w: str | None
    n: str
    d: str = "null::double"
    value: str = "multiplier * n / nullif(d, 0)"
    add: str = "sum"
    divided: bool = False


AGGREGATES: dict[str, Aggregate] = {
    "ratio": Aggregate("numerator", "denominator", None, "x", "y"),
    "density": Aggregate("numerator", "denominator", None, "x", "y"),
    "index": Aggregate("numerator", "denominator", "weight", "w * x", "w * y"),
    "weighted_mean": Aggregate("value", None, "weight", "w * x", "w"),
    "share_over_threshold": Aggregate(
        "value", "population", None, "case when hit then y else 0 end", "y", divided=True
    ),
    "sum": Aggregate("numerator", None, None, "x", value="n"),
    "median": Aggregate("value", None, None, "x", value="n", add="median"),
    "maximum": Aggregate("value", None, None, "x", value="n", add="max"),
    "growth": Aggregate("end", "start", None, "x", "y", "100 * (power(n / nullif(d, 0), 1.0 / years) - 1)"),
}


def compute(
    catalog: Catalog,
    profile: Profile,
    facts: Iterable[pd.DataFrame],
    membership: pd.DataFrame,
    *,
    versions: dict[str, str],
    computed_at: datetime.datetime,
    tables: Mapping[str, pd.DataFrame] | None = None,
) -> pa.Table:
    """Every indicator of `profile`, for every zone.

    The rows of one vintage of one indicator stand together, in chunks of their own that carry their own few words.

    `facts`: frames of `dataset_id, variable, geo_type, geo_code, period, value, status`, communes at the pivot COG.
    `membership`: `child_type, child_code, parent_type, parent_code`; communes are members of themselves, municipal
    arrondissements (`district`) of their commune.
    `versions`: dataset -> the version of its files, as shown in `source_version`.
    `tables`: the reference tables that derived formulas name (`needed_tables`); one that is not there leaves unknown
    what needs it.
    Raises CatalogError when no reference population is at hand.
    """
    computable = {
        i.id: (i, i.formula_for(profile)) for i in catalog.indicators.values() if catalog.is_computable(i, profile)
    }
    # A former vintage is computed like an indicator of its own, and bears the name of the indicator in the table.
    computable |= {
        f"{name}{EARLIER}{n}": (indicator.model_copy(update={"id": f"{name}{EARLIER}{n}"}), formula)
        for name, (indicator, _) in computable.items()
        for n, formula in enumerate(indicator.earlier.get(profile, ()))
    }
    summed = {name: pair for name, pair in computable.items() if pair[1].kind != "derived"}
    with duckdb.connect() as db:
        # One thread adds up in one order: the same facts give the same figures to the last digit.
        db.execute("set threads = 1")
        db.execute("set enable_progress_bar = false")
        _members(db, membership)
        _facts(db, facts)
        _reference_population(db, reference_population(catalog, profile))
        _specification(db, summed)
        for kind in AGGREGATES:
            _operands(db, kind)
            _aggregate(db, kind)
        _published(db)
        derived = _derived(
            db,
            computable,
            tables or {},
            owners=catalog.table_owners(profile),
            versions=versions,
            computed_at=computed_at,
        )
        db.execute("drop table facts; drop table operands")
        finished = _finish(db, summed, versions, computed_at, _rules(db, catalog, summed))
        return pa.concat_tables([finished, *derived])


# Zones and series of facts are integers inside DuckDB, indicators and periods enumerations: joins, groups and sorts
# of millions of rows never read text.


def _members(db: duckdb.DuckDBPyConnection, membership: pd.DataFrame) -> None:
    """Tables `zones` and `belongs`: above the commune, zones are unions of communes; an IRIS stands for itself.

    `districts`: the city of each municipal arrondissement.
    """
    db.register("membership_frame", membership)
    db.execute("""
        create sequence zone_numbers;
        create table zones (zone uinteger default nextval('zone_numbers'), zone_type varchar, zone_code varchar);
        insert into zones (zone_type, zone_code)
        select child_type, child_code from membership_frame union select parent_type, parent_code from membership_frame;
        create table membership as
        select c.zone_type as child_type, c.zone, p.zone_type as parent_type, p.zone as parent
        from membership_frame
        join zones c on child_type = c.zone_type and child_code = c.zone_code
        join zones p on parent_type = p.zone_type and parent_code = p.zone_code;
        create table belongs as
        select zone, parent from membership where child_type = 'commune'
        union all
        select distinct zone, zone from membership where child_type = 'iris'
        union all
        -- a context figure is known by département: its region and France are unions of départements
        select distinct d.parent, z.parent
        from membership d join membership z using (zone)
        where d.child_type = 'commune' and d.parent_type = 'departement'
          and z.parent_type in ('departement', 'region', 'france');
        create table iris_of as
        select zone, parent from membership where child_type = 'iris' and parent_type = 'commune';
        create table districts as
        select zone, parent as city from membership where child_type = 'district' and parent_type = 'commune';
        drop table membership
    """)
    db.unregister("membership_frame")


SERIES = ["dataset_id", "variable", "period"]


def _facts(db: duckdb.DuckDBPyConnection, facts: Iterable[pd.DataFrame]) -> None:
    """Tables `series` (dataset_id, variable, period) and `facts`; zones that nobody is a member of join `zones`."""
    db.execute("""
        create table series (series usmallint, dataset_id varchar, variable varchar, period varchar);
        create table facts (series usmallint, zone uinteger, value double, secret boolean, missing boolean)
    """)
    known = 0
    for frame in facts:
        series, names = distinct(frame, SERIES)
        zone, zones = distinct(frame, ["geo_type", "geo_code"])
        db.register("names", names.assign(series=np.arange(len(names)) + known))
        db.execute("insert into series select series, dataset_id, variable, period from names")
        coded = pd.DataFrame(
            {
                "series": series + known,
                "zone": _zone_numbers(db, zones)[zone],
                "value": frame["value"].to_numpy(),
                "secret": (frame["status"] == "secret").to_numpy(),
                "missing": (frame["status"] == "missing").to_numpy(),
            }
        )
        db.register("coded", coded)
        db.execute("insert into facts select * from coded")
        db.unregister("coded")
        known += len(names)


def _zone_numbers(db: duckdb.DuckDBPyConnection, zones: pd.DataFrame) -> np.ndarray:
    """The number of each zone (geo_type, geo_code) of a frame, those seen for the first time included."""
    db.register("seen", zones.assign(place=np.arange(len(zones))))
    db.execute("""
        insert into zones (zone_type, zone_code)
        select geo_type, geo_code from seen s
        where not exists (select 1 from zones z where z.zone_type = s.geo_type and z.zone_code = s.geo_code)
    """)
    return db.sql("""
        select zone from seen s join zones z on z.zone_type = s.geo_type and z.zone_code = s.geo_code order by place
    """).fetchnumpy()["zone"]


def reference_population(catalog: Catalog, profile: Profile) -> str:
    """The variable that counts people in this profile: it weighs coverage, shares splits, decides majorities."""
    indicator = catalog.indicators.get(REFERENCE_POPULATION)
    formula = indicator.formula_for(profile) if indicator else None
    if formula is None:
        raise CatalogError(
            f"L'indicateur `{REFERENCE_POPULATION}` n'a pas de formule pour le profil « {profile} » : "
            "il donne la population de référence des taux de couverture. L'ajouter dans catalog/indicators/."
        )
    return formula.terms()[0].variable


def _reference_population(db: duckdb.DuckDBPyConnection, variable: str) -> None:
    """Latest known population of each commune, IRIS, arrondissement and département: it weighs coverage, and shares a
    city between its arrondissements."""
    db.execute(
        """
        create table weights as
        select zone, arg_max(value, period) as population
        from facts join series using (series) join zones using (zone)
        where variable = ? and not secret and not missing and zone_type in ('commune', 'iris', 'district')
        group by zone
        """,
        [variable],
    )
    db.execute("""
        create table zone_population as
        select parent as zone, sum(population) as population from belongs join weights using (zone) group by parent;
        insert into weights
        select zone, population from zone_population semi join (from zones where zone_type = 'departement') using (zone)
    """)


def _specification(db: duckdb.DuckDBPyConnection, computable: dict[str, tuple[Indicator, Formula]]) -> None:
    specs, terms = [], []
    for indicator, formula in computable.values():
        specs.append(
            {
                "indicator_id": indicator.id,
                "kind": formula.kind,
                "weighted": "weight" in formula.roles(),
                "counted": _counted(indicator, formula),
                **{f"n_{_letter(formula, role)}": len(terms) for role, terms in formula.roles().items()},
                "context": indicator.nature == "context",
                "period": period_of(formula),
                "multiplier": float(getattr(formula, "multiplier", 1.0)),
                "years": getattr(formula, "years", None),
                "test": getattr(formula, "test", None),
                "thresholds": _thresholds(formula),
                "quantile": getattr(formula, "quantile", None),
            }
        )
        for role, role_terms in formula.roles().items():
            letter = _letter(formula, role)
            terms += [
                {"indicator_id": indicator.id, "variable": t.variable, "period": t.period, letter: t.coefficient}
                for t in role_terms
            ]
    db.register("spec_frame", pa.Table.from_pylist(specs, schema=_SPEC_SCHEMA))
    db.register("terms_frame", pa.Table.from_pylist(terms, schema=_TERM_SCHEMA))
    db.execute(f"""
        create type indicator as enum (select indicator_id from spec_frame order by 1);
        create type period as enum (
            select period from spec_frame union select period from terms_frame order by 1
        );
        create macro plain(v) as case when v between -{ROUNDING} and 0 then 0 else v end;
        create table spec as select * replace (indicator_id::indicator as indicator_id, period::period as period)
        from spec_frame;
        create table terms as
        select indicator_id::indicator as indicator_id, kind, series, period::period as period, x, y, w
        from terms_frame join series using (variable, period) join spec_frame s using (indicator_id);
        create table results (
            indicator_id indicator, zone uinteger, period period,
            numerator double, denominator double, value double, coverage double, secret boolean, impossible boolean,
            shared_out boolean)
    """)


_SPEC_SCHEMA = pa.schema(
    [
        ("indicator_id", pa.string()),
        ("kind", pa.string()),
        ("weighted", pa.bool_()),
        ("counted", pa.bool_()),
        ("n_x", pa.int32()),
        ("n_y", pa.int32()),
        ("n_w", pa.int32()),
        ("context", pa.bool_()),
        ("period", pa.string()),
        ("multiplier", pa.float64()),
        ("years", pa.int32()),
        ("test", pa.string()),
        ("thresholds", pa.list_(pa.float64())),
        ("quantile", pa.float64()),
    ]
)
_TERM_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("indicator_id", "variable", "period")]
    + [(letter, pa.float64()) for letter in ("x", "y", "w")]
)
"""One line per term: its coefficient stands in the column of its role."""


def _thresholds(formula: Formula) -> list[float] | None:
    if not isinstance(formula, ShareOverThreshold) or formula.threshold is None:
        return None
    return [float(t) for t in formula.threshold] if isinstance(formula.threshold, list) else [float(formula.threshold)]


def _counted(indicator: Indicator, formula: Formula) -> bool:
    """Whether the first operand of a member cannot be negative: what the others add to it could not undo it."""
    if formula.kind in ("share_over_threshold", "published"):
        return False
    return formula.kind == "growth" or bounds(indicator, formula)[0] == 0


def _letter(formula: Formula, role: str) -> str:
    if isinstance(formula, Published):
        return "x"
    aggregate = AGGREGATES[formula.kind]
    return {aggregate.x: "x", aggregate.y: "y", aggregate.w: "w"}[role]


def period_of(formula: Formula) -> str:
    """The period a figure speaks of: that of its first role, `start-end` for a growth."""
    roles = formula.roles()
    terms: tuple[Term, ...] = roles["start"] + roles["end"] if formula.kind == "growth" else next(iter(roles.values()))
    periods = sorted({t.period for t in terms})
    return periods[0] if len(periods) == 1 else f"{periods[0]}-{periods[-1]}"


def _operands(db: duckdb.DuckDBPyConnection, kind: str) -> None:
    """x, y and w of each indicator of `kind` in each commune and IRIS, or in each département for a context indicator.

    A kind that divides cities has their arrondissements in place of them.

    An operand is known only when every term of its role is. One that is negative and cannot be (more people in
    households than people) is `impossible`; a difference of weighted decimals that should be nothing is nothing.
    """
    places = ("commune", "iris", "district") if AGGREGATES[kind].divided else ("commune", "iris")
    db.execute(
        f"""
        create or replace table operands as
        with added as (
            select t.indicator_id, f.zone,
                   sum(t.x * f.value) as x, count(t.x * f.value) as n_x,
                   sum(t.y * f.value) as y, count(t.y * f.value) as n_y,
                   sum(t.w * f.value) as w, count(t.w * f.value) as n_w,
                   bool_or(f.secret) as secret
            from terms t
            join (select indicator_id, context from spec) s using (indicator_id)
            join facts f using (series)
            join zones z using (zone)
            where t.kind = ?
              and case when s.context then z.zone_type = 'departement' else z.zone_type in {places} end
            group by t.indicator_id, f.zone
        ), known as (
            select a.indicator_id, a.zone, s.counted, secret,
                   case when a.n_x <> s.n_x then null when s.counted then plain(x) else x end as x,
                   case when a.n_y = s.n_y then plain(y) end as y,
                   case when not s.weighted then 1 when a.n_w = s.n_w then plain(w) end as w
            from added a join spec s using (indicator_id)
        )
        select indicator_id, zone, x, y, w, secret, coalesce(counted and x < 0, false) or coalesce(y < 0, false)
               or coalesce(w < 0, false) as impossible, false as shared_out
        from known
        """,
        [kind],
    )
    if AGGREGATES[kind].divided:
        _divide_cities(db)
    # The national threshold of a quantile test: the value under which that share of the people lives.
    db.execute("""
        create or replace table quantiles as
        with ranked as (
            select indicator_id, x, s.quantile, sum(y) over (partition by indicator_id order by x) as below,
                   sum(y) over (partition by indicator_id) as total
            from operands join spec s using (indicator_id) join zones using (zone)
            where s.quantile is not null and zone_type in ('commune', 'district')
              and x is not null and y is not null
        )
        select indicator_id, [min(x)] as thresholds from ranked where below >= quantile * total group by indicator_id
    """)


def _divide_cities(db: duckdb.DuckDBPyConnection) -> None:
    """In `operands`, the arrondissements of a city take its place where `x` is known by arrondissement, and are left
    out elsewhere.

    Where `y` is known for no arrondissement of the city, that of the city is shared between them by their latest
    population; one that nobody knows leaves them unknown.
    """
    db.execute("""
        create or replace table divided as
        with cities as (
            select distinct indicator_id, city from operands join districts using (zone) where x is not null
        ), parts as (
            select c.indicator_id, c.city, d.zone, o.x, o.y, coalesce(o.secret, false) as secret,
                   coalesce(o.impossible, false) as impossible, p.population,
                   count(o.y) over city = 0 as shared_out,
                   case when count(*) over city = count(p.population) over city then sum(p.population) over city end
                   as people
            from cities c
            join districts d using (city)
            left join operands o on o.indicator_id = c.indicator_id and o.zone = d.zone
            left join weights p on p.zone = d.zone
            window city as (partition by c.indicator_id, c.city)
        )
        select p.*, w.y * population / nullif(people, 0) as share
        from parts p left join operands w on w.indicator_id = p.indicator_id and w.zone = p.city;
        create or replace table operands as
        from operands
        where zone not in (select zone from districts)
          and (indicator_id, zone) not in (select (indicator_id, city) from divided)
        union all by name
        select indicator_id, zone, x, case when shared_out then share else y end as y, 1 as w, secret, impossible,
               shared_out
        from divided
    """)


_HIT = """case s.test when '<' then o.x < t[1] when '<=' then o.x <= t[1] when '>' then o.x > t[1]
                 when '>=' then o.x >= t[1] when '=' then o.x = t[1] when 'in' then list_contains(t, o.x) end"""


def _aggregate(db: duckdb.DuckDBPyConnection, kind: str) -> None:
    """One query for all indicators of `kind`: join the members, add up, then divide."""
    a = AGGREGATES[kind]
    known = " and ".join(f"o.{letter} is not null" for letter, role in (("x", a.x), ("y", a.y), ("w", a.w)) if role)
    hit = f"coalesce(s.thresholds, q.thresholds) as t, {_HIT} as hit," if kind == "share_over_threshold" else ""
    counts = "n, d" if a.add == "sum" else "null, null"
    # An arrondissement is part of its commune, and of all that its commune is part of.
    inside = "select d.zone, b.parent from districts d join belongs b on b.zone = d.city"
    above = f"(from belongs union all {inside})" if a.divided else "belongs"
    db.execute(
        f"""
        insert into results
        with members as materialized (
            select o.indicator_id, o.zone, {hit} {known} as known, o.secret and not known as secret,
                   o.impossible and known as impossible, o.shared_out and known as shared_out,
                   case when known then {a.n} end as n, case when known then {a.d} end as d,
                   case when known then p.population end as covered
            from operands o
            join spec s using (indicator_id)
            left join quantiles q using (indicator_id)
            left join weights p using (zone)
        ),
        -- a commune, an IRIS, a département of a context figure stands for itself: nothing to add up
        own as (
            select indicator_id, zone, n, d, covered, known, secret, impossible, shared_out
            from members semi join (select zone from belongs where zone = parent) using (zone)
        ),
        above as (
            -- what cannot be is not added up: its people are not covered
            select indicator_id, b.parent as zone, {a.add}(n) filter (not impossible) as n,
                   {a.add}(d) filter (not impossible) as d, sum(covered) filter (not impossible) as covered,
                   bool_or(known and not impossible) as known, bool_or(secret) as secret, false as impossible,
                   bool_or(shared_out) as shared_out
            from members m join {above} b using (zone) where b.parent <> m.zone group by indicator_id, b.parent
        )
        select indicator_id, zone, s.period, {counts}, {a.value},
               -- a zone without inhabitants has no one to cover: it is covered when its members are known
               case when coalesce(z.population, 0) > 0 then least(coalesce(covered, 0) / z.population, 1)
                    when known then 1 else 0 end,
               secret, impossible, shared_out
        from (from own union all from above)
        join spec s using (indicator_id)
        left join zone_population z using (zone)
        """
    )


def _published(db: duckdb.DuckDBPyConnection) -> None:
    """The producer's own figure for the zone, never aggregated; one row per period that he publishes."""
    db.execute("""
        insert into results
        select t.indicator_id, f.zone, t.period, null, null, t.x * f.value,
               case when f.secret then 0 else 1 end, f.secret, false, false
        from terms t join facts f using (series) join zones z using (zone)
        where t.kind = 'published' and not f.missing
          and z.zone_type in ('iris', 'commune', 'epci', 'departement', 'region', 'france')
    """)


def _finish(
    db: duckdb.DuckDBPyConnection,
    computable: dict[str, tuple[Indicator, Formula]],
    versions: dict[str, str],
    computed_at: datetime.datetime,
    rules: dict[str, str],
) -> pa.Table:
    """Intervals, flags and the comparison with France, then the columns of the public table, indicator by indicator."""
    datasets = _datasets(db)
    db.execute(
        "create table ranked as select *, row_number() over (order by zone_type, zone_code) - 1 as rank from zones"
    )
    zones = db.sql("select zone_type, zone_code from ranked order by rank").to_arrow_table()
    zones = {"zone_type": zones["zone_type"].combine_chunks().dictionary_encode(), "zone_code": zones["zone_code"]}
    db.execute(f"""
        create table benchmarks as
        select indicator_id, period, zone as here, value as benchmark from results join zones using (zone)
        where (zone_type, zone_code) = {BENCHMARK}
    """)
    names = db.sql("select distinct indicator_id from results order by 1").fetchall()
    secondary = _secondary_secrecy(db, computable, rules, zones["zone_type"].to_numpy(zero_copy_only=False))
    blocks = []
    for (name,) in names:
        rows = _rows(db, name)
        given_up = np.zeros(len(zones["zone_type"]), dtype=bool)
        given_up[secondary.get(name, [])] = True
        said = _said_of(rows.select(_NUMBERS).to_pandas(), *computable[name], rules[name], given_up[rows["rank"]])
        constant = {
            "indicator_id": name.partition(EARLIER)[0],
            "unit": computable[name][0].unit,
            "dataset_ids": ",".join(datasets.get(name, [])),
            "source_version": ";".join(versions[d] for d in datasets.get(name, []) if d in versions),
        }
        blocks.append(_block(rows, zones, said, constant, computed_at))
    return pa.concat_tables(blocks) if blocks else VALUES_SCHEMA.empty_table()


def _rows(db: duckdb.DuckDBPyConnection, name: str) -> pa.Table:
    """The figures of one indicator, zone by zone: one at a time, so that memory never holds all of them twice."""
    rows = db.sql(
        """
        select rank, period, numerator, denominator, value, coverage, secret, impossible, shared_out,
               case when zone <> here then benchmark end as benchmark
        from results join (select zone, rank from ranked) using (zone) left join benchmarks using (indicator_id, period)
        where indicator_id = $name
        order by rank, period
        """,
        params={"name": name},
    )
    return rows.to_arrow_table().combine_chunks()


_NUMBERS = ["numerator", "denominator", "value", "coverage", "secret", "impossible", "shared_out", "benchmark"]
_WORDS = pa.dictionary(pa.int32(), pa.string())
"""Words travel as indices: a handful of them, repeated over every zone of France."""
VALUES_SCHEMA = pa.schema(
    [
        (name, kind)
        for names, kind in (
            (("indicator_id", "zone_type"), _WORDS),
            (("zone_code",), pa.string()),
            (("period",), _WORDS),
            (("numerator", "denominator", "value"), pa.float64()),
            (("unit",), _WORDS),
            (("ci_low", "ci_high"), pa.float64()),
            (("method", "reliability"), _WORDS),
            (("coverage",), pa.float64()),
            (("comparison", "dataset_ids", "source_version"), _WORDS),
            (("computed_at",), pa.timestamp("us", tz="UTC")),
        )
        for name in names
    ]
)


def _block(
    rows: pa.Table,
    zones: dict[str, pa.Array],
    said: dict[str, np.ndarray | pa.DictionaryArray],
    constant: dict[str, str],
    computed_at: datetime.datetime,
) -> pa.Table:
    """One indicator's part of the public table; `rank` of the rows is the place of their zone in `zones`."""

    def column(name: str, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
        if name == "computed_at":
            return pa.repeat(pa.scalar(computed_at, kind), rows.num_rows)
        if name in constant:
            return _worded(np.zeros(rows.num_rows, dtype=np.int32), [constant[name]])
        if name in zones:
            return zones[name].take(rows["rank"])
        return (pa.array(said[name], from_pandas=True) if name in said else rows[name]).cast(kind)

    return pa.table([column(field.name, field.type) for field in VALUES_SCHEMA], schema=VALUES_SCHEMA)


def _worded(places: np.ndarray, words: Sequence[str]) -> pa.DictionaryArray:
    """A column of `words`, from the place of that of each row; the dictionary holds those that are used."""
    used = np.bincount(places, minlength=len(words)) > 0
    codes = (np.cumsum(used) - 1).astype(np.int32)[places]
    return pa.DictionaryArray.from_arrays(pa.array(codes), pa.array(np.array(words, dtype=object)[used], pa.string()))


def _datasets(db: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    rows = db.sql("""
        select indicator_id::varchar, list(distinct dataset_id order by dataset_id)
        from terms join series using (series) group by indicator_id
    """).fetchall()
    return dict(rows)


SHARES = ("ratio", "weighted_mean", "share_over_threshold", "median", "maximum")
"""The kinds of formula that give a part of a whole when the unit is `%`."""

REFUSED = "refusé, valeur impossible :"
"""How `method` begins to say that a figure was out of its bounds."""

COUNTS = {"ratio": ("numerator", "denominator"), "density": ("numerator", "denominator"), "sum": ("numerator",),
          "growth": ("end", "start"), "index": ("numerator", "denominator")}  # fmt: skip
"""The roles whose sums the columns `numerator` and `denominator` show, by kind of formula."""


def _rules(
    db: duckdb.DuckDBPyConnection, catalog: Catalog, computable: dict[str, tuple[Indicator, Formula]]
) -> dict[str, str]:
    """indicator -> the rule of secrecy (a key of `secrecy.RULES`) that bears on its count: the strictest of its own and
    of those of the datasets that count it."""
    counted = db.sql("""
        select indicator_id::varchar, list(distinct dataset_id)
        from terms join series using (series) where x is not null group by indicator_id
    """).fetchall()
    counted = dict(counted)
    rules = {}
    for name, (indicator, formula) in computable.items():
        own = ["D10"] if indicator.secrecy == "events" else []
        role = formula.roles()[COUNTS[formula.kind][0]] if formula.kind in COUNTS else ()
        # A difference is no count: small does not mean few.
        theirs = counted.get(name, []) if role and all(term.coefficient > 0 for term in role) else []
        theirs = [catalog.sources[dataset].secrecy for dataset in theirs if dataset in catalog.sources]
        rules[name] = max(["0", *own, *theirs], key=lambda rule: secrecy.RULES[rule].minimum)
    return rules


def _secondary_secrecy(
    db: duckdb.DuckDBPyConnection,
    computable: dict[str, tuple[Indicator, Formula]],
    rules: dict[str, str],
    kinds: np.ndarray,
) -> dict[str, np.ndarray]:
    """indicator -> the ranks of the zones that it must not show, so that nothing gives a masked count away.

    `kinds`: the type of the zone of each rank.
    """
    counts = {
        (name, role): {(t.variable, t.period): t.coefficient for t in formula.roles()[role]}
        for name, (_, formula) in computable.items()
        if formula.kind in COUNTS and not formula.roles().get("weight")
        for role in COUNTS[formula.kind]
    }
    ruled = {name for name, rule in rules.items() if secrecy.RULES[rule].minimum}
    bears = {term for (name, role), terms in counts.items() if name in ruled and role == "numerator" for term in terms}
    if not bears:
        return {}
    shown = []
    for (name, role), terms in counts.items():
        # What shares no variable with any of them is left out; the rest `withheld_with` sorts.
        if not (bears & set(terms) or (name in ruled and role == "denominator")):
            continue
        column = "denominator" if COUNTS[computable[name][1].kind].index(role) else "numerator"
        rows = _rows(db, name).select(["rank", *_NUMBERS]).to_pandas()
        masked, _ = _secrecy(rows, computable[name][0], rules[name])
        own = name in ruled and column == "numerator"
        covered = (rows["coverage"] >= PUBLISHABLE_COVERAGE).to_numpy()
        # The sum of the members that a producer's secret leaves is no secret: it is not shown, that is all.
        counted = {"zone": rows["rank"], "count": rows[column].where(~rows["impossible"])}
        flags = {"masked": masked & covered & own, "published": covered & ~masked}
        shown.append(Shown(name, terms, own, pd.DataFrame(counted | flags)))
    belongs = db.sql("""
        select c.rank as unit, p.rank as zone
        from (from belongs union all from iris_of) b join ranked c using (zone) join ranked p on p.zone = b.parent
        where c.zone_type in ('commune', 'departement') or p.zone_type = 'commune'
    """).fetchnumpy()
    return withheld_with(shown, Places(kinds, belongs["unit"], belongs["zone"]))


def _derived(
    db: duckdb.DuckDBPyConnection,
    computable: dict[str, tuple[Indicator, Formula]],
    tables: Mapping[str, pd.DataFrame],
    *,
    owners: dict[str, str],
    versions: dict[str, str],
    computed_at: datetime.datetime,
) -> list[pa.Table]:
    """The parts of the public table that functions give, one per derived indicator; `owners`: table -> dataset."""
    derived = {name: pair for name, pair in computable.items() if isinstance(pair[1], Derived)}
    if not derived:
        return []
    above = frame_of(
        db.sql("""
            select c.zone_type as unit_type, c.zone_code as commune, z.zone_type, z.zone_code
            from belongs join zones c using (zone) join zones z on z.zone = parent
        """)
    )
    blocks = []
    for name, (indicator, formula) in derived.items():
        terms = [
            {
                "role": role,
                "variable": t.variable,
                "period": t.period,
                "coefficient": t.coefficient,
                "terms": len(group),
            }
            for role, group in formula.inputs.items()
            for t in group
        ]
        db.register("derived_terms", pa.Table.from_pylist(terms))
        unit = "departement" if indicator.nature == "context" else "commune"
        belongs = above.loc[above["unit_type"] == unit, ["commune", "zone_type", "zone_code"]]
        communes = pd.Index(belongs["commune"].unique(), name="commune").sort_values()
        operands = frame_of(
            db.sql(f"""
                select zone_code as commune, role,
                       case when count(value) = any_value(terms) then sum(coefficient * value) end as value
                from derived_terms join series using (variable, period) join facts using (series)
                join zones using (zone) where zone_type = '{unit}' group by all
            """)
        )
        operands = operands.pivot(index="commune", columns="role", values="value")
        operands = operands.reindex(index=communes, columns=list(formula.inputs))
        datasets = db.sql(
            "select distinct dataset_id from derived_terms join series using (variable, period) order by 1"
        )
        datasets = sorted({d for (d,) in datasets.fetchall()} | {owners[table] for table in formula.tables})
        held = {table: tables[table] for table in formula.tables if table in tables}
        rows = derive(formula, Inputs(operands, belongs, held, period_of(formula)))
        said = _said_of_derived(rows, indicator).assign(
            indicator_id=name,
            unit=indicator.unit,
            dataset_ids=",".join(datasets),
            source_version=";".join(versions[d] for d in datasets if d in versions),
            computed_at=computed_at,
        )
        blocks.append(pa.Table.from_pandas(said[VALUES_SCHEMA.names], preserve_index=False).cast(VALUES_SCHEMA))
    return blocks


def _said_of_derived(rows: pd.DataFrame, indicator: Indicator) -> pd.DataFrame:
    """The figures of a derived indicator, with its nature, its note and its comparison with France."""
    if indicator.secrecy == "census":
        few = (reliability.flag_census(rows["denominator"]) == "masked") & rows["value"].notna().to_numpy()
        numbers = ["numerator", "denominator", "value", "ci_low", "ci_high"]
        rows = rows.assign(
            reliability=rows["reliability"].where(~few, "masked"), **{n: rows[n].where(~few) for n in numbers}
        )
    here = (rows["zone_type"] == BENCHMARK[0]) & (rows["zone_code"] == BENCHMARK[1])
    benchmark = np.where(here, np.nan, rows.loc[here, "value"].max())
    note = f"; {indicator.method_note}" if indicator.method_note else ""
    plain = "ok" if indicator.nature == "observed" else indicator.nature
    return rows.assign(
        method="derived; " + rows["method"] + note,
        reliability=np.select(
            [rows["reliability"] != "ok", rows["coverage"] < 1 - 1e-9], [rows["reliability"], "incomplete"], plain
        ),
        comparison=comparison.compare(rows["value"], rows["ci_low"], rows["ci_high"], benchmark, indicator.direction),
    ).sort_values(["zone_type", "zone_code"])


def _said_of(
    rows: pd.DataFrame, indicator: Indicator, formula: Formula, rule: str, given_up: np.ndarray
) -> dict[str, np.ndarray | pa.DictionaryArray]:
    """What may be said of one indicator's rows: the figure or its absence, interval, reliability, comparison.

    `rule`: that of `secrecy.RULES` which bears on the count; `given_up`: rows not to be shown by it, or to protect
    others, and then `method` says so.
    """
    masked, unstable = _secrecy(rows, indicator, rule)
    given_up = given_up & ~masked & rows["value"].notna().to_numpy()
    masked = masked | given_up
    rows = _rounded(rows, formula, rule)
    withheld = masked | (rows["coverage"] < PUBLISHABLE_COVERAGE).to_numpy()
    low, high = bounds(indicator, formula)
    beyond = (rows["value"] < low - ROUNDING) | (rows["value"] > high * (1 + ROUNDING))
    # A part of nothing is no figure, and is no part.
    beyond |= (rows["numerator"] > 0) & (rows["denominator"] == 0) & (high < np.inf)
    impossible = ~withheld & (beyond | rows["impossible"]).to_numpy()
    withheld = withheld | impossible
    said = {name: np.where(withheld, np.nan, rows[name]) for name in ("numerator", "denominator", "value")}
    note = f"; {indicator.method_note}" if indicator.method_note else ""
    words = [formula.kind + note]
    method = np.zeros(len(rows), dtype=int)
    said["ci_low"] = said["ci_high"] = np.full(len(rows), np.nan)
    if indicator.interval != "none":
        interval = getattr(rates, indicator.interval)(
            said["numerator"], said["denominator"], multiplier=getattr(formula, "multiplier", 1.0)
        )
        said["ci_low"], said["ci_high"] = interval["ci_low"].to_numpy(), interval["ci_high"].to_numpy()
        place, names = pd.factorize(interval["method"])
        method = np.where(np.isnan(said["ci_low"]), method, len(words) + place)
        words += [f"{formula.kind}; {name}{note}" for name in names]
    method[rows["shared_out"].fillna(False).to_numpy(bool)] = len(words)
    words.append(f"{formula.kind}; {SHARED_OUT}{note}")
    method[given_up] = len(words)
    method[impossible] = len(words) + 1 + np.arange(impossible.sum())
    words.append(f"{words[0]}; secret secondaire : protège un autre effectif")
    words += [f"{words[0]}; {REFUSED} {found}" for found in _found(rows.loc[impossible])]
    said["method"] = _worded(method, words)
    reliable = np.select(
        [masked, (rows["coverage"] < 1 - 1e-9).to_numpy() | impossible, unstable], [0, 1, 2], default=3
    )
    plain = "ok" if indicator.nature == "observed" else indicator.nature
    said["reliability"] = _worded(reliable, ["masked", "incomplete", "unstable", plain])
    verdict, verdicts = pd.factorize(
        comparison.compare(said["value"], said["ci_low"], said["ci_high"], rows["benchmark"], indicator.direction)
    )
    said["comparison"] = _worded(verdict, verdicts)
    return said


def bounds(indicator: Indicator, formula: Formula) -> tuple[float, float]:
    """Between what a figure can be: a part of a whole from 0 to 100 %, what is counted or dense from 0 up.

    Growths, gaps and the figures of the producer (held by the card of their variable) may be anything.
    """
    if indicator.unit == "%" and formula.kind in SHARES:
        return 0.0, 100.0
    return (0.0 if formula.kind == "density" or indicator.interval != "none" else -np.inf), np.inf


def _found(rows: pd.DataFrame) -> list[str]:
    """What was found in each row: the value if there is one, and the counts behind it where there are some."""
    found = []
    for value, count, of in zip(rows["value"], rows["numerator"], rows["denominator"], strict=True):
        counts = french.number(count, 1) + ("" if np.isnan(of) else f" sur {french.number(of, 1)}")
        if np.isnan(value):
            found.append(counts)
        else:
            found.append(french.number(value, 1) + ("" if np.isnan(count) else f" ({counts})"))
    return found


def _secrecy(rows: pd.DataFrame, indicator: Indicator, rule: str) -> tuple[np.ndarray, np.ndarray]:
    """(masked, unstable) by the rule of its datasets, what the indicator declares, and the producer's own secret."""
    secret = (rows["secret"].fillna(0) == 1).to_numpy() & (rows["coverage"] < PUBLISHABLE_COVERAGE).to_numpy()
    # Nothing is known of a count that cannot be.
    count, total = (rows[name].where(rows[name] >= 0) for name in ("numerator", "denominator"))
    flags = np.full(len(rows), "ok", dtype=object)
    if indicator.secrecy == "census":
        flags = reliability.flag_census(total)
    elif indicator.secrecy in ("events", "small_counts"):
        flags = reliability.flag_events(count)
    hidden = flags == "masked"
    if secrecy.RULES[rule].minimum:
        hidden = hidden | secrecy.primary(count, rule=rule)
        if indicator.interval == "wilson":
            # Of people of two kinds, who is not counted is told by the count: few of those is a secret too.
            hidden = hidden | secrecy.primary((total - count).clip(lower=0), rule=rule)
    # What could not be added up at all is incomplete, not masked; what cannot be is refused.
    known = (rows["value"].notna() & ~rows["impossible"]).to_numpy()
    return secret | (hidden & known), (flags == "unstable") & known


def _rounded(rows: pd.DataFrame, formula: Formula, rule: str) -> pd.DataFrame:
    """`rows`, their count rounded as its producer rounds it, and the figure with it."""
    if secrecy.RULES[rule].rounding is None or formula.kind not in COUNTS:
        return rows
    count = secrecy.round_as_producer(rows["numerator"].where(rows["numerator"] >= 0), rule)
    with np.errstate(divide="ignore", invalid="ignore"):
        value = rows["value"] * np.where(rows["numerator"] > 0, count / rows["numerator"], 1.0)
    return rows.assign(numerator=np.where(rows["numerator"] < 0, rows["numerator"], count), value=value)
