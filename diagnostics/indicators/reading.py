"""What an observatory reads out of the public table for one CLS: tested comparisons, rank in France, inequality inside,
similar territories, and the rows its points of vigilance are drawn from.

Pure: tables in, tables out. Every statistic comes from `diagnostics.statistics`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from diagnostics.catalog import Catalog, Indicator, Territory
from diagnostics.statistics import comparison, deprivation

STRUCTURE = {"pop_municipal": 1.0, "pop_density": 1.0, "age_share_75plus": 1.0, "fdep_score": 1.0}
"""What makes two territories alike: size, density, ageing and deprivation, each with the same weight."""
LOGARITHMIC = ("pop_municipal", "pop_density")
SIMILAR = 8
MINIMUM_TRAITS = 3
OWN = "cls"
CENSUS_GAP = 5
SAME = ("value", "ci_low", "ci_high", "numerator", "denominator", "reliability", "period")

Key = tuple[str, str]


@dataclass(frozen=True)
class Around:
    """What a CLS is read against.

    `own`: the zones that are its very perimeter, the CLS first; `benchmark`: the région, else France, and its name;
    `departement`: the one that holds most of its people (for figures of context), and its name; `peers`: the zone type
    it is ranked among; `communes`: its members.
    """

    own: Sequence[Key]
    benchmark: Key
    benchmark_name: str
    departement: Key
    departement_name: str
    peers: str
    communes: Sequence[str]


def observatory(
    indicators: Sequence[Indicator], profile: str, values: pd.DataFrame, around: Around, classes: pd.Series
) -> pd.DataFrame:
    """One row per indicator that is known for the CLS, or for its département when it is a figure of context.

    `values`: rows of the public table (the zones of `around`, its communes, every peer); `classes`: class of
    deprivation of its communes. Columns: `indicator_id`, those of `SAME`, `zone_name` (for context), `benchmark,
    benchmark_name, p_value, p_adjusted` (Benjamini-Hochberg over the whole table), `comparison`, `trend,
    trend_from, trend_to` (years), `rank, rank_low,
    rank_high, ranked, position` (0: the best of the peers), `sii, sii_low, sii_high, rii, unequal`.
    """
    known = values[values["value"].notna()]
    rows = [_row(i, known[known["indicator_id"] == i.id], around, classes, profile) for i in indicators]
    rows = [row for row in rows if row is not None]
    if not rows:
        return pd.DataFrame(columns=["indicator_id"])
    table = pd.DataFrame(rows).astype({"trend_from": "Int64", "trend_to": "Int64"})
    table["p_adjusted"] = comparison.benjamini_hochberg(table["p_value"])
    table["comparison"] = comparison.compare(
        table["value"],
        table["ci_low"],
        table["ci_high"],
        table["benchmark"],
        table["direction"],
        p_adjusted=table["p_adjusted"],
    )
    return table


def _row(indicator: Indicator, mine: pd.DataFrame, around: Around, classes: pd.Series, profile: str) -> dict | None:
    formula = indicator.formula_for(profile)
    if formula is None or formula.kind in ("sum", "median"):
        return None  # a count says nothing against a larger zone, nor does the middle of its communes
    keys = pd.MultiIndex.from_frame(mine[["zone_type", "zone_code"]])
    context = indicator.nature == "context"
    zones = [around.departement] if context else around.own
    own = next((latest(mine[keys.isin([zone])]) for zone in zones if keys.isin([zone]).any()), None)
    if own is None:
        return None
    target, target_name = (("france", "FR"), "France") if context else (around.benchmark, around.benchmark_name)
    moved = _trend(mine[keys.isin([(own["zone_type"], own["zone_code"])])], indicator, formula)
    mine, keys = mine[mine["period"] == own["period"]], keys[(mine["period"] == own["period"]).to_numpy()]
    other = mine.loc[keys.isin([target]), "value"]
    benchmark = float(other.iloc[0]) if len(other) else np.nan
    peers = mine[(mine["zone_type"] == ("departement" if context else around.peers)) & ~keys.isin(zones)]
    row = {"indicator_id": indicator.id, "direction": indicator.direction, **{name: own[name] for name in SAME}}
    row |= {"zone_name": around.departement_name if context else "", "benchmark": benchmark}
    row |= {"benchmark_name": target_name, "p_value": _p_value(own, benchmark, indicator, formula)}
    row |= moved
    row |= _rank(own, peers, indicator.direction)
    members = mine[(mine["zone_type"] == "commune") & mine["zone_code"].isin(around.communes)]
    return row | _inequality(members, classes, formula)


def latest(rows: pd.DataFrame) -> pd.Series:
    """The row of the most recent period."""
    return rows.sort_values("period").iloc[-1]


def _p_value(own: pd.Series, benchmark: float, indicator: Indicator, formula) -> float:
    """The test that the interval of the indicator inverts; missing without an interval."""
    multiplier = getattr(formula, "multiplier", 100.0)
    count, total = own["numerator"], own["denominator"]
    if np.isnan(benchmark) or pd.isna(count) or pd.isna(total):
        return np.nan
    if indicator.interval == "wilson":
        return float(comparison.proportion_test(count, total, benchmark / multiplier)[0])
    if indicator.interval == "byar":
        return float(comparison.poisson_test(count, benchmark / multiplier * total)[0])
    return np.nan


def _trend(own: pd.DataFrame, indicator: Indicator, formula) -> dict:
    """The trend marker over the vintages of a ratio of counts, five years apart at least (census surveys overlap)."""
    none = {"trend": "not_tested", "trend_from": None, "trend_to": None}
    own = own[own["period"].str.fullmatch(r"\d{4}") & own["numerator"].notna()]
    if formula.kind != "ratio" or indicator.direction == "neutral" or own["period"].nunique() < 2:
        return none
    table = own[["numerator", "denominator"]].assign(zone="cls", period=own["period"].astype(int))
    kind = "proportion" if indicator.unit == "%" else "rate"
    found = comparison.trend(table, indicator.direction, kind, minimum_gap=CENSUS_GAP).iloc[0]
    return {"trend": found["trend"], "trend_from": table["period"].min(), "trend_to": table["period"].max()}


def _rank(own: pd.Series, peers: pd.DataFrame, direction: str) -> dict[str, float]:
    """Where the CLS would stand among its peers, with the ranks that the intervals allow."""
    if direction == "neutral" or peers.empty:
        return dict.fromkeys(("rank", "rank_low", "rank_high", "ranked", "position"), np.nan)
    field = pd.concat([own[["value", "ci_low", "ci_high"]].to_frame().T, peers[["value", "ci_low", "ci_high"]]])
    field = field.astype(float).reset_index(drop=True)
    found = comparison.rank_within(field["value"], field["ci_low"], field["ci_high"], direction).iloc[0]
    return {**found.to_dict(), "position": (found["rank"] - 1) / (found["ranked"] - 1)}


def _inequality(members: pd.DataFrame, classes: pd.Series, formula) -> dict[str, float]:
    """Slope and relative index of inequality over the classes of deprivation of the member communes."""
    names = ("sii", "sii_low", "sii_high", "rii")
    if formula.kind != "ratio" or members["numerator"].isna().all():
        return dict.fromkeys(names, np.nan) | {"unequal": False}
    place = members["zone_code"].map(classes).astype(float)
    frame = pd.DataFrame(
        {
            "zone": "cls",
            "class": place,
            "population": members["denominator"],
            "numerator": members["numerator"],
            "denominator": members["denominator"],
        }
    )
    found = deprivation.inequality(frame, multiplier=formula.multiplier).iloc[0]
    return {name: float(found[name]) for name in names} | {"unequal": bool(found["unequal"])}


def vigilance_rows(table: pd.DataFrame, territory: Territory, catalog: Catalog) -> pd.DataFrame:
    """The observatory as `points_of_vigilance` wants it: one row per axis × indicator, with the words of the card."""
    cards = [
        {
            "axis": axis.id, "indicator_id": i, "label": catalog.indicators[i].label,
            "unit": catalog.indicators[i].unit, "decimals": catalog.indicators[i].decimals,
            "reserve": catalog.indicators[i].reserve,
        }
        for axis in territory.axes
        for i in dict.fromkeys((*axis.indicators, *axis.complementary))
    ]  # fmt: skip
    columns = ["axis", "indicator_id", "label", "unit", "decimals", "reserve"]
    rows = pd.DataFrame(cards, columns=columns).merge(table, on="indicator_id", how="inner")
    # The reserve of a figure of context already says that it does not describe the territory.
    return rows.assign(reserve=rows["reserve"].where(rows["zone_name"] == "", ""))


def similar(values: pd.DataFrame, around: Around, count: int = SIMILAR) -> tuple[pd.DataFrame, list[str]]:
    """The peers nearest to the CLS by structure (`position`, 1 = nearest, `zone_code, distance`), and the traits used.

    A trait that is not known for the CLS is left out; empty under three traits, or with too few peers.
    """
    rows = values[values["indicator_id"].isin(STRUCTURE) & values["value"].notna()].sort_values("period")
    rows = rows.drop_duplicates(["indicator_id", "zone_type", "zone_code"], keep="last")
    keys = pd.MultiIndex.from_frame(rows[["zone_type", "zone_code"]])
    own = rows[keys.isin([around.own[0]])].set_index("indicator_id")["value"]
    traits = [name for name in STRUCTURE if name in own.index]
    peers = rows[(rows["zone_type"] == around.peers) & ~keys.isin(around.own)]
    structure = peers.pivot(index="zone_code", columns="indicator_id", values="value").reindex(columns=traits).dropna()
    logarithmic = tuple(name for name in LOGARITHMIC if name in traits)
    structure = structure[(structure[list(logarithmic)] > 0).all(axis=1)]
    if len(traits) < MINIMUM_TRAITS or len(structure) < count:
        return pd.DataFrame(columns=["position", "zone_code", "distance"]), []
    structure.loc[OWN] = own[traits]
    weights = {name: STRUCTURE[name] for name in traits}
    found = comparison.similar_territories(structure, weights, count, logarithmic)
    mine = found[found["zone"] == OWN].rename(columns={"similar": "zone_code"})
    return mine[["position", "zone_code", "distance"]].reset_index(drop=True), traits
