"""The contract of a card: what its observations must look like before anything is computed from them."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import duckdb
import pandas as pd

from diagnostics import french
from diagnostics.catalog.models import Control, Distribution, Observations, Source
from diagnostics.errors import SourceError
from diagnostics.sources.expressions import Columns
from diagnostics.sources.readers.columns import literal, quoted
from diagnostics.sql import frame_of

COLUMNS = ["dataset_id", "variable", "geo_type", "geo_code", "cog_year", "period", "value", "status"]
KEY = ["dataset_id", "variable", "geo_type", "geo_code", "cog_year", "period"]
STATUSES = ["ok", "secret", "missing"]

#: What a code of each kind of zone looks like. A code that lost its zeros fits none of them.
CODE_PATTERNS = {
    "iris": r"(\d{2}|2[AB])\d{7}",
    "commune": r"(\d{2}|2[AB])\d{3}",
    "epci": r"\d{9}",
    "departement": r"\d{2}|2[AB]|97\d|98\d",
    "region": r"\d{2}",
    "france": r"FR",
    "bassin_de_vie": r"(\d{2}|2[AB])\d{2,3}",
    "zone_emploi": r"\d{4}",
}


@dataclass(frozen=True)
class CheckResult:
    """The outcome of one clause. `detail` is a French sentence; `failed_rows` shows at most 20 lines that break it."""

    name: str
    passed: bool
    detail: str
    failed_rows: pd.DataFrame | None = None


def check(source: Source, distribution: Distribution, observations: pd.DataFrame) -> list[CheckResult]:
    """Hold what `observe` gave for one distribution to its card. Never raises for a broken clause: see `require`.

    `observations.attrs["rows"]`, set by `observe` and kept by Parquet, is the number of data lines of the file.
    """
    results = [_schema(observations), _keys(observations), _forbidden(distribution)]
    if distribution.rows:
        results.append(_row_count(distribution, observations))
    results += _ranges(source, distribution, observations)
    results += _parts(source, distribution, observations)
    for name, control in _named(source.controls):
        if _concerned(control, distribution, observations):
            results.append(_control(name, control, observations))
    return results


def check_table(distribution: Distribution, table: pd.DataFrame) -> list[CheckResult]:
    """Hold a reference table (`read_table`) to its card: its number of lines."""
    return [_row_count(distribution, table)] if distribution.rows else []


def require(results: Iterable[CheckResult], place: str = "") -> None:
    """Raise SourceError with every clause that failed."""
    failed = [result for result in results if not result.passed]
    if failed:
        lines = [f"  - {result.name} : {result.detail}{_sample(result.failed_rows)}" for result in failed]
        raise SourceError(f"{place or 'Observations'} : contrat de la fiche rompu.\n" + "\n".join(lines))


def corrected(
    source: Source, distribution: Distribution, raw: duckdb.DuckDBPyRelation, columns: Columns
) -> duckdb.DuckDBPyRelation:
    """`raw` with the known mistakes of the producer mended, as the card declares them.

    Raises SourceError when a mistake is no longer there: the correction must then leave the card.
    """
    for correction in source.corrections:
        if correction.distribution != distribution.id:
            continue
        key = f"corrections ({correction.column})"
        column = columns.resolve(correction.column, key).columns[0]
        where = columns.bound(raw, correction.where, key).sql
        wrong = f"({where}) AND trim(CAST({quoted(column)} AS VARCHAR)) = {literal(correction.expect)}"
        if not raw.filter(wrong).limit(1).fetchall():
            raise SourceError(
                f"{columns.place} : la correction de `{correction.column}` ({correction.because}) ne trouve plus "
                f"« {correction.expect} » là où {correction.where}. Le producteur a sans doute réparé son fichier : "
                "vérifier, puis retirer cette correction de la fiche."
            )
        replacement = f"CASE WHEN {wrong} THEN {literal(correction.replace)} ELSE CAST({quoted(column)} AS VARCHAR) END"
        raw = raw.project(f"* REPLACE ({replacement} AS {quoted(column)})")
    return raw


def _schema(observations: pd.DataFrame) -> CheckResult:
    text = {"dtype": "str", "nullable": False, "coerce": False}
    codes = observations["geo_type"].map(CODE_PATTERNS) if "geo_type" in observations else None
    import pandera.pandas as pa  # noqa: PLC0415 - slow to load, and only a run that observes comes here

    schema = pa.DataFrameSchema(
        {
            "dataset_id": pa.Column(**text),
            "variable": pa.Column(**text),
            "geo_type": pa.Column(**text, checks=pa.Check.isin(list(CODE_PATTERNS))),
            "geo_code": pa.Column(**text, checks=pa.Check(lambda column: _well_written(column, codes), name="code")),
            "cog_year": pa.Column("Int64", nullable=True),
            "period": pa.Column(**text),
            "value": pa.Column("float64", nullable=True),
            "status": pa.Column(**text, checks=pa.Check.isin(STATUSES)),
        },
        checks=[
            pa.Check(lambda f: f["value"].notna() == (f["status"] == "ok"), name="valeur si et seulement si ok"),
            pa.Check(lambda f: f["cog_year"].notna() == (f["geo_type"] == "commune"), name="cog_year des communes"),
        ],
        strict=True,
        ordered=True,
    )
    try:
        schema.validate(observations, lazy=True)
    except pa.errors.SchemaErrors as errors:
        cases = errors.failure_cases
        broken = "; ".join(dict.fromkeys(f"{row.column} : {row.check}" for row in cases.itertuples()))
        index = pd.to_numeric(cases["index"], errors="coerce").dropna().unique()[:20]
        return CheckResult("schema", False, broken, observations.loc[index] if len(index) else cases.head(20))
    return CheckResult("schema", True, f"{french.number(len(observations))} observations, colonnes et codes conformes")


def _well_written(codes: pd.Series, patterns: pd.Series) -> pd.Series:
    fit = pd.Series(False, index=codes.index)
    for pattern in patterns.dropna().unique():
        kind = patterns == pattern
        fit[kind] = codes[kind].str.fullmatch(pattern)
    return fit


def _keys(observations: pd.DataFrame) -> CheckResult:
    twice = observations[observations.duplicated(KEY, keep=False)]
    if twice.empty:
        return CheckResult("unique_keys", True, "aucune clé répétée")
    return CheckResult("unique_keys", False, f"{french.number(len(twice))} lignes ont une clé répétée", twice.head(20))


def _forbidden(distribution: Distribution) -> CheckResult:
    """The Cnam publishes beside each column a `*_integer` twin where secrets are replaced by zero."""
    values = [value for block in distribution.observations for value in block.values.values()]
    texts = [value if isinstance(value, str) else value.column for value in values]
    texts += [block.value_column for block in distribution.observations if block.value_column]
    used = sorted({text for text in texts if "_integer" in text})
    if used:
        return CheckResult(
            "forbidden_columns", False, f"colonnes jumelles `*_integer` (le secret y est un zéro) : {', '.join(used)}"
        )
    return CheckResult("forbidden_columns", True, "aucune colonne `*_integer`")


def _row_count(distribution: Distribution, observations: pd.DataFrame) -> CheckResult:
    low, high = distribution.rows
    rows = observations.attrs["rows"]
    detail = f"{french.number(rows)} lignes lues, de {french.number(low)} à {french.number(high)} attendues"
    return CheckResult("rows", low <= rows <= high, detail)


def _ranges(source: Source, distribution: Distribution, observations: pd.DataFrame) -> list[CheckResult]:
    names = dict.fromkeys(name for block in distribution.observations for name in block.values)
    bounded = {name: v for name in names if (v := source.variables[name]).minimum is not None or v.maximum is not None}
    known = observations[["variable", "value"]].dropna()
    extremes = known.groupby("variable")["value"].agg(["min", "max"])
    results = []
    for name, variable in bounded.items():
        low = -math.inf if variable.minimum is None else variable.minimum
        high = math.inf if variable.maximum is None else variable.maximum
        if name not in extremes.index:
            results.append(CheckResult(f"range_{name}", True, f"aucune valeur connue de `{name}`"))
            continue
        found = f"`{name}` va de {_figure(extremes.loc[name, 'min'])} à {_figure(extremes.loc[name, 'max'])}"
        if low <= extremes.loc[name, "min"] and extremes.loc[name, "max"] <= high:
            results.append(CheckResult(f"range_{name}", True, found))
            continue
        outside = observations[(observations["variable"] == name) & ~observations["value"].between(low, high)]
        outside = outside[outside["status"] == "ok"]
        detail = f"{found}, hors de [{_figure(low)} ; {_figure(high)}] sur {french.number(len(outside))} ligne(s)"
        results.append(CheckResult(f"range_{name}", False, detail, outside.head(20)))
    return results


def _parts(source: Source, distribution: Distribution, observations: pd.DataFrame) -> list[CheckResult]:
    names = dict.fromkeys(name for block in distribution.observations for name in block.values)
    zone = ["geo_type", "geo_code", "period"]
    results = []
    for name in names:
        if (whole := source.variables[name].part_of) is None:
            continue
        part, all_of_it = (observations[observations["variable"] == v] for v in (name, whole))
        pairs = part.merge(all_of_it[[*zone, "value"]], on=zone, suffixes=("", "_whole"))
        over = pairs[pairs["value"] > pairs["value_whole"]]
        detail = f"`{name}` dépasse `{whole}` sur {french.number(len(over))} ligne(s)"
        results.append(CheckResult(f"part_{name}", over.empty, detail, None if over.empty else over.head(20)))
    return results


def _concerned(control: Control, distribution: Distribution, observations: pd.DataFrame) -> bool:
    """Whether this distribution is the one that must show the total: it gives the variable, at that period."""

    def gives(block: Observations) -> bool:
        types = {geo.type for geo in block.geo}
        if control.variable not in block.values or control.geo_type not in types:
            return False
        if block.period is not None:
            return block.period == control.period
        return bool((observations["period"] == control.period).any())

    return any(gives(block) for block in distribution.observations)


def _named(controls: Iterable[Control]) -> list[tuple[str, Control]]:
    """Each control under a name fit for an asset check, unique in the card."""
    names = [re.sub(r"\W", "_", f"control_{control.variable}_{control.period}") for control in controls]
    seen: Counter[str] = Counter()
    named = []
    for name, control in zip(names, controls, strict=True):
        seen[name] += 1
        named.append((name if seen[name] == 1 else f"{name}_{seen[name]}", control))
    return named


def _control(name: str, control: Control, observations: pd.DataFrame) -> CheckResult:
    kept = observations[(observations["period"] == control.period) & (observations["geo_type"] == control.geo_type)]
    if control.where:
        with duckdb.connect() as connection:
            kept = frame_of(connection.from_df(kept).filter(control.where))
    kept = kept[kept["status"] == "ok"]
    values = kept[kept["variable"] == control.variable].set_index("geo_code")["value"]
    if control.sum is not None:
        found, expected, label = float(values.sum()), control.sum, "somme"
    else:
        weights = kept[kept["variable"] == control.weight].set_index("geo_code")["value"]
        pairs = pd.concat({"value": values, "weight": weights}, axis=1, join="inner")
        total = float(pairs["weight"].sum())
        found = float((pairs["value"] * pairs["weight"]).sum() / total) if total else float("nan")
        expected, label = control.mean, f"moyenne pondérée par `{control.weight}`"
    passed = abs(found - expected) <= control.tolerance
    detail = (
        f"{label} de `{control.variable}` {control.period} : {_figure(found)} trouvé, {_figure(expected)} attendu à "
        f"{_figure(control.tolerance)} près ({control.source})"
    )
    return CheckResult(name, passed, detail)


def _figure(value: float) -> str:
    """With as many digits as tell it from its neighbours; an infinite bound is `∞`."""
    if math.isinf(value):
        return "∞" if value > 0 else "−∞"
    return french.number(value) if float(value).is_integer() else french.number(value, 6).rstrip("0")


def _sample(rows: pd.DataFrame | None) -> str:
    return "" if rows is None else "\n" + rows.head(5).to_string(index=False)
