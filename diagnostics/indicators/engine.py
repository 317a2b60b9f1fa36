"""Declared formulas compiled to one DuckDB query per kind, for every zone of France at once.

Input: `facts` (values of variables at the pivot geography), `membership` (who is part of what) and the catalogue.
Output: the public table `values` (docs/architecture.md). Counts are summed, then divided; rates are never averaged.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable
from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from diagnostics.catalog import Catalog, Profile
from diagnostics.catalog.models import Formula, Indicator, Published, ShareOverThreshold, Term
from diagnostics.errors import CatalogError
from diagnostics.indicators.disclosure import withheld_with
from diagnostics.statistics import comparison, rates, reliability

PUBLISHABLE_COVERAGE = 0.95
"""Below this share of the reference population, an aggregate is withheld (indicators.md, 10.1)."""

BENCHMARK = ("france", "FR")
"""The zone that the `comparison` column compares with; reports compare with the nearer ones too."""

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

    `x`, `y`, `w` name the roles of the formula; the SQL fragments see them as columns of the member communes, and
    `multiplier`, `years`, `threshold` as columns of the specification.
    """

    x: str
    y: str | None
    w: str | None
    numerator: str
    denominator: str
    value: str


_RATIO = "any_value(multiplier) * {n} / nullif({d}, 0)"


def _ratio(x: str, y: str, w: str | None, n: str, d: str) -> Aggregate:
    return Aggregate(x, y, w, n, d, _RATIO.format(n=n, d=d))


AGGREGATES: dict[str, Aggregate] = {
    "ratio": _ratio("numerator", "denominator", None, "sum(x)", "sum(y)"),
    "density": _ratio("numerator", "denominator", None, "sum(x)", "sum(y)"),
    "index": _ratio("numerator", "denominator", "weight", "sum(w * x)", "sum(w * y)"),
    "weighted_mean": _ratio("value", None, "weight", "sum(w * x)", "sum(w)"),
    "share_over_threshold": _ratio("value", "population", None, "coalesce(sum(y) filter (hit), 0)", "sum(y)"),
    "sum": Aggregate("numerator", None, None, "sum(x)", "null", "sum(x)"),
    "median": Aggregate("value", None, None, "null", "null", "median(x)"),
    "growth": Aggregate(
        "end", "start", None, "sum(x)", "sum(y)",
        "100 * (power(sum(x) / nullif(sum(y), 0), 1.0 / any_value(years)) - 1)",
    ),
}  # fmt: skip


def compute(
    catalog: Catalog,
    profile: Profile,
    facts: Iterable[pd.DataFrame],
    membership: pd.DataFrame,
    *,
    versions: dict[str, str],
    computed_at: datetime.datetime,
) -> pa.Table:
    """Every indicator of `profile`, for every zone.

    `facts`: frames of `dataset_id, variable, geo_type, geo_code, period, value, status`, communes at the pivot COG.
    `membership`: `child_type, child_code, parent_type, parent_code`; communes are members of themselves.
    `versions`: dataset -> the version of its files, as shown in `source_version`.
    Raises CatalogError when no reference population is at hand.
    """
    computable = {
        i.id: (i, i.formula_for(profile)) for i in catalog.indicators.values() if catalog.is_computable(i, profile)
    }
    with duckdb.connect() as db:
        db.execute("set threads = 2")
        _register(db, facts, membership)
        _reference_population(db, reference_population(catalog, profile))
        _specification(db, computable)
        _operands(db)
        for kind in AGGREGATES:
            _aggregate(db, kind)
        _published(db)
        return _finish(db, computable, versions, computed_at)


def _register(db: duckdb.DuckDBPyConnection, facts: Iterable[pd.DataFrame], membership: pd.DataFrame) -> None:
    db.execute("set enable_progress_bar = false")
    db.execute("""
        create table facts (
            dataset_id varchar, variable varchar, geo_type varchar, geo_code varchar, period varchar, value double,
            status varchar)
    """)
    for frame in facts:
        db.register("frame", frame)
        db.execute(
            "insert into facts select dataset_id, variable, geo_type, geo_code, period, value, status from frame"
        )
        db.unregister("frame")
    db.register("membership_frame", membership)
    # Above the commune, zones are unions of communes; an IRIS only ever stands for itself.
    db.execute("""
        create table belongs as
        select child_type as level, child_code as code, parent_type as zone_type, parent_code as zone_code
        from membership_frame where child_type = 'commune'
        union all
        select distinct 'iris', child_code, 'iris', child_code from membership_frame where child_type = 'iris'
        union all
        -- a context figure is known by département: its region and France are unions of départements
        select distinct 'departement', d.parent_code, z.parent_type, z.parent_code
        from membership_frame d join membership_frame z using (child_type, child_code)
        where d.parent_type = 'departement' and z.parent_type in ('departement', 'region', 'france')
    """)
    db.execute("""
        create table results (
            indicator_id varchar, zone_type varchar, zone_code varchar, period varchar,
            numerator double, denominator double, value double, coverage double, secret boolean)
    """)


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
    """Latest known population of each commune and IRIS: the weights of coverage, nothing else."""
    db.execute(
        """
        create table weights as
        select geo_type as level, geo_code as code, arg_max(value, period) as population
        from facts where variable = ? and status = 'ok' and geo_type in ('commune', 'iris') group by all
        """,
        [variable],
    )
    db.execute("""
        create table zone_population as
        select zone_type, zone_code, sum(population) as population
        from belongs join weights using (level, code) group by all
    """)
    db.execute("""
        insert into weights
        select zone_type, zone_code, population from zone_population where zone_type = 'departement'
    """)


def _specification(db: duckdb.DuckDBPyConnection, computable: dict[str, tuple[Indicator, Formula]]) -> None:
    specs, terms = [], []
    for indicator, formula in computable.values():
        specs.append(
            {
                "indicator_id": indicator.id,
                "kind": formula.kind,
                "weighted": "weight" in formula.roles(),
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
                {
                    "indicator_id": indicator.id, "kind": formula.kind, "role": letter, "n_terms": len(role_terms),
                    "variable": t.variable, "period": t.period, "coefficient": t.coefficient,
                }
                for t in role_terms
            ]  # fmt: skip
    db.register("spec_frame", pa.Table.from_pylist(specs, schema=_SPEC_SCHEMA))
    db.execute("create table spec as select * from spec_frame")
    db.register("terms_frame", pd.DataFrame(terms))
    db.execute("create table terms as select * from terms_frame")


_SPEC_SCHEMA = pa.schema(
    [
        ("indicator_id", pa.string()),
        ("kind", pa.string()),
        ("weighted", pa.bool_()),
        ("context", pa.bool_()),
        ("period", pa.string()),
        ("multiplier", pa.float64()),
        ("years", pa.int32()),
        ("test", pa.string()),
        ("thresholds", pa.list_(pa.float64())),
        ("quantile", pa.float64()),
    ]
)


def _thresholds(formula: Formula) -> list[float] | None:
    if not isinstance(formula, ShareOverThreshold) or formula.threshold is None:
        return None
    return [float(t) for t in formula.threshold] if isinstance(formula.threshold, list) else [float(formula.threshold)]


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


def _operands(db: duckdb.DuckDBPyConnection) -> None:
    """x, y and w of each indicator in each commune and IRIS, or in each département for a context indicator.

    An operand is known only when every term of its role is.
    """
    db.execute("""
        create table operands as
        with roles as (
            select t.indicator_id, t.role, f.geo_type as level, f.geo_code as code,
                   case when count(f.value) = any_value(t.n_terms) then sum(t.coefficient * f.value) end as value,
                   bool_or(f.status = 'secret') as secret
            from terms t
            join (select indicator_id, context from spec) s using (indicator_id)
            join facts f using (variable, period)
            where t.kind <> 'published'
              and case when s.context then f.geo_type = 'departement' else f.geo_type in ('commune', 'iris') end
            group by t.indicator_id, t.role, f.geo_type, f.geo_code
        )
        select indicator_id, level, code,
               max(value) filter (role = 'x') as x,
               max(value) filter (role = 'y') as y,
               case when any_value(s.weighted) then max(value) filter (role = 'w') else 1 end as w,
               bool_or(secret) as secret
        from roles join spec s using (indicator_id)
        group by indicator_id, level, code
    """)
    # The national threshold of a quantile test: the value under which that share of the people lives.
    db.execute("""
        create table quantiles as
        with ranked as (
            select indicator_id, x, s.quantile, sum(y) over (partition by indicator_id order by x) as below,
                   sum(y) over (partition by indicator_id) as total
            from operands join spec s using (indicator_id)
            where s.quantile is not null and level = 'commune' and x is not null and y is not null
        )
        select indicator_id, [min(x)] as thresholds from ranked where below >= quantile * total group by indicator_id
    """)


_HIT = """case s.test when '<' then o.x < t[1] when '<=' then o.x <= t[1] when '>' then o.x > t[1]
                 when '>=' then o.x >= t[1] when '=' then o.x = t[1] when 'in' then list_contains(t, o.x) end"""


def _aggregate(db: duckdb.DuckDBPyConnection, kind: str) -> None:
    """One query for all indicators of `kind`: join the members, add up, then divide."""
    a = AGGREGATES[kind]
    known = " and ".join(f"o.{letter} is not null" for letter, role in (("x", a.x), ("y", a.y), ("w", a.w)) if role)
    hit = _HIT if kind == "share_over_threshold" else "null"
    db.execute(
        f"""
        insert into results
        with members as (
            select o.indicator_id, b.zone_type, b.zone_code, s.multiplier, s.years,
                   coalesce(s.thresholds, q.thresholds) as t, {hit} as hit,
                   o.x, o.y, o.w, o.secret, p.population, ({known}) as known
            from operands o
            join spec s using (indicator_id)
            left join quantiles q using (indicator_id)
            join belongs b using (level, code)
            left join weights p using (level, code)
            where s.kind = '{kind}'
        ),
        totals as (
            select indicator_id, zone_type, zone_code,
                   {a.numerator} as numerator, {a.denominator} as denominator, {a.value} as value,
                   sum(population) as covered
            from members where known group by indicator_id, zone_type, zone_code
        ),
        seen as (
            select indicator_id, zone_type, zone_code, bool_or(secret and not known) as secret
            from members group by indicator_id, zone_type, zone_code
        )
        select seen.indicator_id, zone_type, zone_code, s.period, t.numerator, t.denominator, t.value,
               -- a zone without inhabitants has no one to cover: it is covered when its members are known
               case when coalesce(z.population, 0) > 0 then least(coalesce(t.covered, 0) / z.population, 1)
                    when t.indicator_id is not null then 1 else 0 end,
               seen.secret
        from seen
        join spec s using (indicator_id)
        left join totals t using (indicator_id, zone_type, zone_code)
        left join zone_population z using (zone_type, zone_code)
        """
    )


def _published(db: duckdb.DuckDBPyConnection) -> None:
    """The producer's own figure for the zone, never aggregated; one row per period that he publishes."""
    db.execute("""
        insert into results
        select t.indicator_id, f.geo_type, f.geo_code, f.period, null, null, t.coefficient * f.value,
               case when f.status = 'ok' then 1 else 0 end, f.status = 'secret'
        from terms t join facts f on f.variable = t.variable and f.period = t.period
        where t.kind = 'published' and f.status <> 'missing'
          and f.geo_type in ('iris', 'commune', 'epci', 'departement', 'region', 'france')
    """)


def _finish(
    db: duckdb.DuckDBPyConnection,
    computable: dict[str, tuple[Indicator, Formula]],
    versions: dict[str, str],
    computed_at: datetime.datetime,
) -> pa.Table:
    """Intervals, flags and the comparison with France, then the columns of the public table, indicator by indicator."""
    datasets = _datasets(db)
    secondary = _secondary_secrecy(db, computable)
    blocks = []
    for name in sorted(computable):
        rows = db.sql(
            """
            select r.*, case when (r.zone_type, r.zone_code) <> ($type, $code) then b.value end as benchmark
            from results r
            left join (select period, value from results
                       where indicator_id = $name and zone_type = $type and zone_code = $code) b using (period)
            where r.indicator_id = $name
            order by r.zone_type, r.zone_code, r.period
            """,
            params={"name": name, "type": BENCHMARK[0], "code": BENCHMARK[1]},
        ).to_arrow_table()
        if not rows.num_rows:
            continue
        given_up = _is_among(rows, secondary[name]) if name in secondary else np.zeros(rows.num_rows, dtype=bool)
        said = _said_of(rows.select(_NUMBERS).to_pandas(), *computable[name], given_up)
        constant = {
            "unit": computable[name][0].unit,
            "dataset_ids": ",".join(datasets.get(name, [])),
            "source_version": ";".join(versions[d] for d in datasets.get(name, []) if d in versions),
        }
        blocks.append(_block(rows, said, constant, computed_at))
    return pa.concat_tables(blocks).unify_dictionaries() if blocks else _SCHEMA.empty_table()


_NUMBERS = ["numerator", "denominator", "value", "coverage", "secret", "benchmark"]
_WORDS = pa.dictionary(pa.int32(), pa.string())
"""Words travel as indices: a handful of them, repeated over every zone of France."""
_SCHEMA = pa.schema(
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


def _block(rows: pa.Table, said: pd.DataFrame, constant: dict[str, str], computed_at: datetime.datetime) -> pa.Table:
    """One indicator's part of the public table."""

    def column(name: str, kind: pa.DataType) -> pa.Array | pa.ChunkedArray:
        if name == "computed_at":
            return pa.repeat(pa.scalar(computed_at, kind), rows.num_rows)
        if name in constant:
            indices = pa.array(np.zeros(rows.num_rows, dtype=np.int32))
            return pa.DictionaryArray.from_arrays(indices, pa.array([constant[name]], pa.string()))
        if name in said:
            return pa.array(said[name].to_numpy(), from_pandas=True).cast(kind)
        return rows[name].dictionary_encode() if kind == _WORDS else rows[name]

    return pa.table([column(field.name, field.type) for field in _SCHEMA], schema=_SCHEMA)


def _datasets(db: duckdb.DuckDBPyConnection) -> dict[str, list[str]]:
    rows = db.sql("""
        select t.indicator_id, list(distinct f.dataset_id order by f.dataset_id)
        from terms t join (select distinct variable, period, dataset_id from facts) f using (variable, period)
        group by t.indicator_id
    """).fetchall()
    return dict(rows)


def _secondary_secrecy(
    db: duckdb.DuckDBPyConnection, computable: dict[str, tuple[Indicator, Formula]]
) -> dict[str, pd.MultiIndex]:
    """indicator -> the zones masked so that no total gives a masked count away; indicators of one count share them.

    Of the indicators that share a count, the one that is known in most zones speaks for all.
    """
    groups: dict[tuple[Term, ...], list[str]] = {}
    for name, (indicator, formula) in computable.items():
        if indicator.secrecy == "events":
            groups.setdefault(formula.roles()["numerator"], []).append(name)
    if not groups:
        return {}
    belongs = db.sql("select code as unit, zone_type, zone_code from belongs where level = 'commune'").df()
    found = {}
    for names in groups.values():
        counts = [
            db.sql(
                """
                select zone_type, zone_code, numerator, coverage >= $enough as published from results
                where indicator_id = $name and zone_type <> 'iris'
                """,
                params={"name": name, "enough": PUBLISHABLE_COVERAGE},
            ).df()
            for name in names
        ]
        found |= dict.fromkeys(names, withheld_with(max(counts, key=lambda c: c["numerator"].count()), belongs))
    return found


def _is_among(rows: pa.Table, zones: pd.MultiIndex) -> np.ndarray:
    return pd.MultiIndex.from_frame(rows.select(["zone_type", "zone_code"]).to_pandas()).isin(zones)


def _said_of(rows: pd.DataFrame, indicator: Indicator, formula: Formula, given_up: np.ndarray) -> pd.DataFrame:
    """What may be said of one indicator's rows: the figure or its absence, interval, reliability, comparison.

    `given_up`: rows masked to protect others, whose `method` says so.
    """
    masked, unstable = _secrecy(rows, indicator)
    masked = masked | given_up
    withheld = masked | (rows["coverage"] < PUBLISHABLE_COVERAGE).to_numpy()
    said = rows[["numerator", "denominator", "value"]].copy()
    said.loc[withheld] = np.nan
    note = f"; {indicator.method_note}" if indicator.method_note else ""
    method = formula.kind + note
    said["ci_low"] = said["ci_high"] = np.nan
    said["method"] = method
    if indicator.interval != "none":
        interval = getattr(rates, indicator.interval)(
            said["numerator"], said["denominator"], multiplier=getattr(formula, "multiplier", 1.0)
        )
        said["ci_low"], said["ci_high"] = interval["ci_low"], interval["ci_high"]
        said["method"] = (formula.kind + "; " + interval["method"] + note).where(interval["ci_low"].notna(), method)
    said["method"] = said["method"].where(~given_up, method + "; secret secondaire : protège un autre effectif")
    said["reliability"] = np.select(
        [masked, (rows["coverage"] < 1 - 1e-9).to_numpy(), unstable],
        ["masked", "incomplete", "unstable"],
        default="ok" if indicator.nature == "observed" else indicator.nature,
    )
    said["comparison"] = comparison.compare(
        said["value"], said["ci_low"], said["ci_high"], rows["benchmark"], indicator.direction
    )
    return said


def _secrecy(rows: pd.DataFrame, indicator: Indicator) -> tuple[np.ndarray, np.ndarray]:
    """(masked, unstable) by the rule that the indicator declares, and the producer's own secret."""
    secret = (rows["secret"].fillna(0) == 1).to_numpy() & (rows["coverage"] < PUBLISHABLE_COVERAGE).to_numpy()
    flags = np.full(len(rows), "ok", dtype=object)
    if indicator.secrecy == "census":
        flags = reliability.flag_census(rows["denominator"])
    elif indicator.secrecy in ("events", "small_counts"):
        flags = reliability.flag_events(rows["numerator"])
    # What could not be added up at all is incomplete, not masked.
    known = rows["value"].notna().to_numpy()
    return secret | ((flags == "masked") & known), (flags == "unstable") & known
