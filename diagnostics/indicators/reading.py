"""What an observatory reads out of the public table for one CLS: tested comparisons, trends, rank in France, inequality
inside, similar territories, and the rows its points of vigilance are drawn from.

Pure: tables in, tables out. Every statistic comes from `diagnostics.statistics`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from diagnostics import french
from diagnostics.catalog import Catalog, Indicator, Territory
from diagnostics.catalog.models import Formula
from diagnostics.statistics import comparison, deprivation

STRUCTURE = ("pop_municipal", "pop_density", "age_share_75plus")
"""Size, density and ageing: with income, what makes two territories alike, each trait with the same weight."""
INCOME, INSTEAD = "income_median_uc", "fdep_score"
"""A median income is published zone by zone and adds up for no group of them: the index of deprivation, of which income
is one of the four parts, then stands for it."""
LOGARITHMIC = ("pop_municipal", "pop_density")
SIMILAR = 8
SIMILAR_TYPE, SIMILAR_NAME = "similar", "Territoires similaires"
MINIMUM_TRAITS = 3
OWN = "cls"
CENSUS_GAP = 5
COMPONENTS = frozenset({"unemployment_rate_rp", "workers_share_active", "bac_or_more_share_15plus", "fdep_score"})
"""What the index of deprivation is made of: unequal by deprivation by construction, and so never read that way."""
FRANCE = ("france", "FR")
KEYS = ["indicator_id", "zone_type", "zone_code"]
PEERS = {"epci": "des intercommunalités de France", "commune": "des communes de 5 000 habitants ou plus"}
READ = 0.8
"""Share of the denominator of the CLS that the communes read for an inequality hold, at least: those that are masked
are the small ones, and not by chance."""
ENOUGH = 0.5
"""Share of the inhabited peers that must have a figure for a rank among them, or a resemblance, to be told."""
SAME = ("value", "ci_low", "ci_high", "numerator", "denominator", "reliability", "period")

Key = tuple[str, str]


@dataclass(frozen=True)
class Around:
    """What a CLS is read against.

    `own`: the zones that are its very perimeter, the CLS first; `members`: its intercommunalities, when it has several;
    `benchmarks`: what it is compared with, from the nearest to France, with their names; `main`: the région, else
    France; `departements`: code -> its communes in each; `peers`: the zone type it is ranked among; `communes`: all its
    members.
    """

    own: Sequence[Key]
    members: Sequence[Key]
    benchmarks: Mapping[Key, str]
    main: Key
    departements: Mapping[str, Sequence[str]]
    peers: str
    communes: Sequence[str]


@dataclass(frozen=True)
class Reading:
    """All that is read out for one CLS. `values`: the public rows it rests on, with those of the similar territories
    together; `compared`, `table`, `alike`: what `comparisons`, `observatory` and `similar` return."""

    values: pd.DataFrame
    compared: pd.DataFrame
    table: pd.DataFrame
    alike: pd.DataFrame


def read_out(
    indicators: Sequence[Indicator], profile: str, values: pd.DataFrame, around: Around, classes: pd.Series
) -> Reading:
    """Read one CLS out of the public table. `classes`: class of deprivation of its communes."""
    alike = similar(values, around)
    benchmarks = dict(around.benchmarks)
    if len(alike):
        values = pd.concat([values, similar_values(values, alike, around.own[0][1])], ignore_index=True)
        benchmarks = {(SIMILAR_TYPE, around.own[0][1]): SIMILAR_NAME, **benchmarks}
    compared = comparisons(indicators, profile, values, replace(around, benchmarks=benchmarks))
    return Reading(values, compared, observatory(indicators, profile, values, around, classes), alike)


# --- comparisons -----------------------------------------------------------------------------------------------------


def comparisons(indicators: Iterable[Indicator], profile: str, values: pd.DataFrame, around: Around) -> pd.DataFrame:
    """Every comparison of the diagnostic, one row each: `indicator_id, zone_type, zone_code, benchmark_type,
    benchmark_code, period, value, benchmark, p_value, p_adjusted, verdict`.

    The CLS against each of its benchmarks, its members against the main one, and each département against France where
    only the département is known (`nature: context`). The tests of one zone against one benchmark, over all the
    indicators, are one table: they are adjusted together (Benjamini-Hochberg) and the verdict rests on the adjusted
    test. Values of different vintages, counts, and what compares with France only (`reference: france`) are left out.
    """
    cards = {i.id: (i, f) for i in indicators if (f := _formula(i, profile)) and f.kind not in ("sum", "median")}
    known = _latest(values[values["value"].notna() & values["indicator_id"].isin(list(cards))])
    every = values[values["value"].notna()].drop_duplicates(["indicator_id", "zone_type", "zone_code", "period"])
    local = {name for name, (card, _) in cards.items() if card.nature != "context"}
    pairs = [
        *((_own(known, around.own), around.own[0], target, local) for target in around.benchmarks),
        *((_at(known, zone), zone, around.main, local) for zone in around.members),
        *((_at(known, zone), zone, FRANCE, set(cards) - local) for zone in _departements(around)),
    ]
    chosen = ((mine[mine["indicator_id"].isin(ids)], zone, target) for mine, zone, target, ids in pairs)
    return pd.concat([_pair(*pair, every, cards) for pair in chosen], ignore_index=True)


def _pair(
    mine: pd.DataFrame, zone: Key, target: Key, every: pd.DataFrame, cards: Mapping[str, tuple[Indicator, Formula]]
) -> pd.DataFrame:
    """One zone against one benchmark over every indicator: one family of tests."""
    other = _at(every, target)[["indicator_id", "period", "value"]].rename(columns={"value": "benchmark"})
    rows = mine.merge(other, on=["indicator_id", "period"])
    comparable = [name for name, (card, _) in cards.items() if target == FRANCE or card.reference != "france"]
    rows = rows[rows["indicator_id"].isin(comparable)].reset_index(drop=True)
    rows["p_value"] = _p_values(rows, cards)
    rows["p_adjusted"] = comparison.benjamini_hochberg(rows["p_value"])
    rows["verdict"] = comparison.compare(
        rows["value"], rows["ci_low"], rows["ci_high"], rows["benchmark"],
        [cards[name][0].direction for name in rows["indicator_id"]], p_adjusted=rows["p_adjusted"],
    )  # fmt: skip
    rows = rows.assign(zone_type=zone[0], zone_code=zone[1], benchmark_type=target[0], benchmark_code=target[1])
    return rows[
        ["indicator_id", "zone_type", "zone_code", "benchmark_type", "benchmark_code", "period", "value", "benchmark",
         "p_value", "p_adjusted", "verdict"]
    ]  # fmt: skip


def _p_values(rows: pd.DataFrame, cards: Mapping[str, tuple[Indicator, Formula]]) -> pd.Series:
    """The test that the interval of each indicator inverts; missing without counts."""
    interval = rows["indicator_id"].map({name: card.interval for name, (card, _) in cards.items()})
    multiplier = rows["indicator_id"].map({name: _multiplier(formula) for name, (_, formula) in cards.items()})
    counted = rows["numerator"].notna() & rows["denominator"].notna()
    found = pd.Series(np.nan, index=rows.index, dtype=float)
    for name, test in (("wilson", _proportion), ("byar", _events)):
        chosen = counted & (interval == name)
        if chosen.any():
            part = rows[chosen]
            found[chosen] = test(part["numerator"], part["denominator"], part["benchmark"] / multiplier[chosen])
    return found


def _proportion(count: pd.Series, total: pd.Series, expected: pd.Series) -> np.ndarray:
    return comparison.proportion_test(count, total, expected)


def _events(count: pd.Series, total: pd.Series, expected: pd.Series) -> np.ndarray:
    return comparison.poisson_test(count, expected * total)


def _formula(indicator: Indicator, profile: str) -> Formula | None:
    """The formula of the profile, else the one behind a figure that was computed earlier."""
    return indicator.formula_for(profile) or next(iter(indicator.formulas.values()), None)


def _multiplier(formula: Formula) -> float:
    return getattr(formula, "multiplier", 100.0)


def _at(rows: pd.DataFrame, zone: Key) -> pd.DataFrame:
    return rows[(rows["zone_type"] == zone[0]) & (rows["zone_code"] == zone[1])]


def _own(rows: pd.DataFrame, zones: Sequence[Key]) -> pd.DataFrame:
    """The rows of the CLS; an indicator it has not is that of the first zone that is the same perimeter."""
    return pd.concat([_at(rows, zone) for zone in zones]).drop_duplicates("indicator_id")


def _latest(rows: pd.DataFrame) -> pd.DataFrame:
    """The row of the most recent period of each indicator and zone."""
    return rows.sort_values("period", kind="stable").drop_duplicates(KEYS, keep="last")


def _departements(around: Around) -> list[Key]:
    return [("departement", code) for code in around.departements]


# --- the observatory -------------------------------------------------------------------------------------------------


def observatory(
    indicators: Sequence[Indicator],
    profile: str,
    values: pd.DataFrame,
    around: Around,
    classes: pd.Series,
) -> pd.DataFrame:
    """One row per indicator and zone: the CLS, its members; its départements for figures of context.

    `values`: rows of the public table (the zones of `around`, its communes, every peer); `classes`: class of
    deprivation of its communes. Columns: `indicator_id, zone_type, zone_code, direction`, those of `SAME`; `change,
    trend, trend_from, trend_to` (years), `trend_first, trend_p_adjusted, trend_test` (see `_trends`); `rank, rank_low,
    rank_high, ranked, position` (0: the best of the peers); for the CLS, those of `deprivation.inequality`.
    """
    cards = {i.id: (i, f) for i in indicators if (f := _formula(i, profile))}
    known = values.loc[values["value"].notna() & values["indicator_id"].isin(list(cards)), [*KEYS, *SAME]]
    read = [*around.own, *around.members, *_departements(around)]
    near = known[pd.MultiIndex.from_frame(known[["zone_type", "zone_code"]]).isin(read)].sort_values("period")
    histories = dict(tuple(near.groupby(KEYS, sort=False, observed=True)))
    trends = _trends(histories, cards)
    peers = known[known["zone_type"].isin([around.peers, "departement"])]
    # A few peers of a snapshot are not France: a place among them would say nothing of a place in France.
    people = values[(values["indicator_id"] == "pop_municipal") & values["value"].notna()]
    inhabited = people.groupby("zone_type")["zone_code"].nunique()
    there = peers.groupby(["indicator_id", "zone_type", "period"])["zone_code"].transform("size")
    peers = peers[there.astype(float) >= ENOUGH * peers["zone_type"].map(inhabited.to_dict()).astype(float).fillna(0)]
    fields = _by_indicator(peers)
    inside = (known["zone_type"] == "commune") & known["zone_code"].isin(list(around.communes))
    communes = _by_indicator(known[inside])
    rows = [
        row
        for name, (indicator, formula) in cards.items()
        for row in _rows(
            indicator,
            formula,
            histories=histories,
            trends=trends,
            field=fields.get(name),
            communes=communes.get(name),
            around=around,
            classes=classes,
        )
    ]
    if not rows:
        return pd.DataFrame(columns=["indicator_id", "zone_type", "zone_code"])
    table = pd.DataFrame(rows).astype({"trend_from": "Int64", "trend_to": "Int64"})
    # The trends of one zone are a table of tests too.
    zones = table.groupby(["zone_type", "zone_code"], sort=False)["trend_p_value"]
    table["trend_p_adjusted"] = zones.transform(comparison.benjamini_hochberg)
    table["change"] = comparison.change_of(table["trend_slope"], table["trend_p_adjusted"])
    table["trend"] = comparison.trend_marker(table["change"], table["direction"])
    return table.drop(columns=["trend_p_value"])


def _by_indicator(rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    return dict(tuple(rows.groupby("indicator_id", sort=False, observed=True)))


def _rows(
    indicator: Indicator,
    formula: Formula,
    *,
    histories: Mapping[tuple[str, str, str], pd.DataFrame],
    trends: Mapping[tuple[str, str, str], dict[str, object]],
    field: pd.DataFrame | None,
    communes: pd.DataFrame | None,
    around: Around,
    classes: pd.Series,
) -> Iterable[dict[str, object]]:
    """The lines of one indicator. `histories`: every vintage of a zone, oldest first; `trends`: what they say; `field`:
    its peers; `communes`: the members."""
    context = indicator.nature == "context"
    ranked: dict[tuple[str, Key], pd.DataFrame] = {}
    for zone in _departements(around) if context else [around.own[0], *around.members]:
        same = around.own if zone == around.own[0] else [zone]
        key = next((key for near in same if (key := (indicator.id, *near)) in histories), None)
        if key is None:
            continue
        own = histories[key].iloc[-1]
        row = {"indicator_id": indicator.id, "zone_type": zone[0], "zone_code": zone[1]}
        row |= {"direction": indicator.direction, **{name: own[name] for name in SAME}}
        row |= trends.get(key, NO_TREND)
        row |= _rank(own, zone, indicator, formula, field=field, around=around, ranked=ranked)
        first = zone == around.own[0] and communes is not None
        members = communes[communes["period"] == own["period"]] if first else None
        yield row | _inequality(members, own["denominator"], classes, indicator, formula)


NO_TREND = {
    "trend_first": np.nan, "trend_slope": np.nan, "trend_p_value": np.nan, "trend_from": None, "trend_to": None,
    "trend_test": "",
}  # fmt: skip


def _trends(
    histories: Mapping[tuple[str, str, str], pd.DataFrame], cards: Mapping[str, tuple[Indicator, Formula]]
) -> dict[tuple[str, str, str], dict[str, object]]:
    """What the vintages of each history say, from the first to the last: `trend_from, trend_to` (years), `trend_first`
    (value), `trend_slope, trend_p_value` and the `trend_test` they come from. Those of a single vintage are left out.

    Shares and rates with counts: chi-squared test for linear trend, the census every five years only (its surveys
    overlap). Published series of five vintages or more: Mann-Kendall. Others move without a test (`trend_test` empty):
    measured on everyone, or by a model, chance has no part in them.
    """
    keys = {"/".join(key): key for key in histories}
    said: dict[tuple[str, str, str], dict[str, object]] = {}
    counted: dict[tuple[str, int], list[pd.DataFrame]] = {}
    for key, history in histories.items():
        indicator, formula = cards[key[0]]
        rows = history[history["period"].str.fullmatch(r"\d{4}")].sort_values("period")
        if len(rows) < 2:
            continue
        years, values = rows["period"].astype(int), rows["value"]
        said[key] = NO_TREND | {
            "trend_from": years.iloc[0], "trend_to": years.iloc[-1], "trend_first": values.iloc[0],
        }  # fmt: skip
        if formula.kind == "ratio" and rows[["numerator", "denominator"]].notna().all(axis=None):
            events = indicator.interval == "byar" or (rows["numerator"] > rows["denominator"]).any()
            test = ("rate" if events else "proportion", 1 if indicator.interval == "byar" else CENSUS_GAP)
            # A zone of one indicator is one series: all those of a test are tested at once.
            series = rows[["numerator", "denominator"]].assign(zone="/".join(key), period=years)
            counted.setdefault(test, []).append(series)
        if formula.kind == "published":
            found = comparison.series_trend(years, values)
            if not np.isnan(found["p_value"]):
                said[key] |= {
                    "trend_slope": found["slope"], "trend_p_value": found["p_value"], "trend_test": "mann_kendall",
                }  # fmt: skip
    tested = [
        comparison.trend(pd.concat(tables, ignore_index=True), "neutral", kind, minimum_gap=gap)
        for (kind, gap), tables in counted.items()
    ]
    for zone, slope, p_value, change in (
        row for found in tested for row in found[["slope", "p_value", "change"]].itertuples(name=None)
    ):
        key = keys[zone]
        if change != "not_tested":
            multiplier = cards[key[0]][1].multiplier
            said[key] |= {"trend_slope": slope * multiplier, "trend_p_value": p_value, "trend_test": "chi2"}
    return said


def _rank(
    own: pd.Series,
    zone: Key,
    indicator: Indicator,
    formula: Formula,
    *,
    field: pd.DataFrame | None,
    around: Around,
    ranked: dict[tuple[str, Key], pd.DataFrame],
) -> dict[str, float]:
    """Where the zone stands among its peers, with the ranks that the intervals allow; a count is not ranked.

    A zone that is one of the peers is read in their ranking, made once (`ranked`); the CLS takes its place among them.
    """
    none = dict.fromkeys(("rank", "rank_low", "rank_high", "ranked", "position"), np.nan)
    if indicator.direction == "neutral" or formula.kind in ("sum", "median") or field is None:
        return none
    kind = "departement" if indicator.nature == "context" else around.peers
    first = zone == around.own[0]
    key = (own["period"], zone if first else (kind, ""))
    if key not in ranked:
        peers = field[(field["zone_type"] == kind) & (field["period"] == own["period"])]
        if first:
            same = [code for zone_type, code in around.own if zone_type == kind]
            peers = peers[~peers["zone_code"].isin(same)]
        bounds = ("value", "ci_low", "ci_high")
        before = {name: [own[name]] if first else [] for name in bounds}
        found = comparison.rank_within(
            *(np.concatenate([before[name], peers[name].to_numpy(dtype=float)]) for name in bounds), indicator.direction
        )
        ranked[key] = found.set_axis(pd.Index([*([zone[1]] if first else []), *peers["zone_code"]]))
    table = ranked[key]
    if len(table) < 2 or zone[1] not in table.index:
        return none
    found = table.loc[zone[1]]
    return {**found.to_dict(), "position": (found["rank"] - 1) / (found["ranked"] - 1)}


def _inequality(
    members: pd.DataFrame | None, whole: float, classes: pd.Series, indicator: Indicator, formula: Formula
) -> dict[str, float]:
    """Slope and relative index of inequality over the classes of deprivation of the member communes.

    `whole`: the denominator of the CLS, of which the communes that can be read hold `READ` at least.
    """
    names = ("sii", "sii_low", "sii_high", "rii", "rii_low", "rii_high")
    none = dict.fromkeys(names, np.nan) | {"classes": 0, "units": 0, "unequal": False}
    readable = formula.kind in ("ratio", "weighted_mean") and indicator.id not in COMPONENTS
    if indicator.direction == "neutral" or not readable or members is None:
        return none
    members = members[members["numerator"].notna() & members["zone_code"].map(classes).notna()]
    if not members["denominator"].sum() >= READ * whole > 0:
        return none
    frame = pd.DataFrame(
        {
            "zone": OWN,
            "class": members["zone_code"].map(classes).astype(float),
            "population": members["denominator"],
            "numerator": members["numerator"],
            "denominator": members["denominator"],
        }
    )
    multiplier = _multiplier(formula) if formula.kind == "ratio" else 1.0
    return deprivation.inequality(frame, multiplier=multiplier).iloc[0].to_dict()


def dashboard(reading: Reading, catalog: Catalog, names: Mapping[Key, str]) -> pd.DataFrame:
    """The observatory as one table to take away: a line per indicator, zone and benchmark.

    What belongs to the zone (value, trend, rank, inequality) is repeated on each of its lines; a zone compared with
    nothing has one line without benchmark. `names`: zone -> its name.
    """
    against = reading.compared.drop(columns=["value", "period"])
    lines = reading.table.merge(against, on=KEYS, how="left", validate="1:m")
    label = {name: (card.label, card.unit, card.decimals) for name, card in catalog.indicators.items()}
    told = pd.DataFrame([label[name] for name in lines["indicator_id"]], columns=["label", "unit", "decimals"])
    named = {
        f"{role}_name": [names.get(key, "") for key in zip(lines[f"{role}_type"], lines[f"{role}_code"], strict=True)]
        for role in ("zone", "benchmark")
    }
    return pd.concat([lines, told], axis=1).assign(**named)[DASHBOARD]


DASHBOARD = [
    "indicator_id", "label", "unit", "decimals", "direction", "zone_type", "zone_code", "zone_name", "period", "value",
    "ci_low", "ci_high", "numerator", "denominator", "reliability", "benchmark_type", "benchmark_code",
    "benchmark_name", "benchmark", "p_value", "p_adjusted", "verdict", "change", "trend", "trend_from", "trend_to",
    "trend_first", "trend_slope", "trend_p_adjusted", "trend_test", "rank", "rank_low", "rank_high", "ranked", "sii",
    "sii_low", "sii_high", "rii", "rii_low", "rii_high", "classes", "units", "unequal",
]  # fmt: skip


# --- points of vigilance ---------------------------------------------------------------------------------------------


def vigilance_rows(reading: Reading, around: Around, territory: Territory, catalog: Catalog) -> pd.DataFrame:
    """The observatory as `points_of_vigilance` wants it: one row per axis × indicator, with the words of the card.

    The CLS against its main benchmark, or France where it compares with no other. A figure of context is that of the
    département where most of its people live, against France; the other départements are named with it (`zone_name`).
    """
    table, compared = reading.table, reading.compared
    shares = departement_shares(reading.values, around)
    table = table.assign(
        zone_name=[_context_words(row, table, shares, around, catalog) for row in table.to_dict("records")]
    )
    foremost = [around.own[0], *(("departement", code) for code in shares.index[:1])]
    zones = pd.MultiIndex.from_frame(table[["zone_type", "zone_code"]])
    table = table[zones.isin(foremost)]
    order = {target: n for n, target in enumerate([around.main, FRANCE])}
    targets = zip(compared["benchmark_type"], compared["benchmark_code"], strict=True)
    mains = compared.assign(place=[order.get(target, len(order)) for target in targets])
    mains = mains[mains["place"] < len(order)].sort_values("place", kind="stable").drop_duplicates(KEYS)
    names = {**around.benchmarks, FRANCE: "France"}
    mains["benchmark_name"] = [names[key] for key in zip(mains["benchmark_type"], mains["benchmark_code"], strict=True)]
    table = table.merge(mains[[*KEYS, "benchmark", "benchmark_name", "verdict"]], on=KEYS, how="left")
    table["comparison"] = table.pop("verdict").fillna("not_compared")
    table["peers"] = table["zone_type"].map({"departement": "des départements"}).fillna(PEERS[around.peers])
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


def departement_shares(values: pd.DataFrame, around: Around) -> pd.Series:
    """département -> share (0-1) of the CLS's people, largest first; of its communes when no population is known."""
    people = _latest(values[(values["indicator_id"] == "pop_municipal") & (values["zone_type"] == "commune")])
    people = people.set_index("zone_code")["value"]
    size = pd.Series({code: people.reindex(list(inside)).sum() for code, inside in around.departements.items()})
    if not size.sum() > 0:
        size = pd.Series({code: float(len(inside)) for code, inside in around.departements.items()})
    return (size / size.sum()).sort_values(ascending=False, kind="stable")


def _context_words(row: Mapping, table: pd.DataFrame, shares: pd.Series, around: Around, catalog: Catalog) -> str:
    """« Meurthe-et-Moselle, 98 % des habitants ; Moselle : 27,1 % »; empty for the CLS itself."""
    if row["zone_type"] != "departement":
        return ""
    own = around.benchmarks["departement", row["zone_code"]]
    if len(shares) == 1:
        return own
    card = catalog.indicators[row["indicator_id"]]
    others = table[(table["indicator_id"] == card.id) & (table["zone_code"] != row["zone_code"])]
    parts = [f"{own}, {french.quantity(100 * shares[row['zone_code']], '%')} des habitants"]
    parts += [
        f"{around.benchmarks['departement', code]} : {french.quantity(value, card.unit, card.decimals)}"
        for code, value in zip(others["zone_code"], others["value"], strict=True)
    ]
    return " ; ".join(parts)


# --- similar territories ---------------------------------------------------------------------------------------------


def similar(values: pd.DataFrame, around: Around, count: int = SIMILAR) -> pd.DataFrame:
    """The CLS and the peers nearest to it by structure: `position` (0 for itself), `zone_type, zone_code, distance`,
    and one column per trait, with its value.

    A trait that is not known for the CLS is left out; empty under three traits, or with too few peers.
    """
    wanted = [*STRUCTURE, INCOME, INSTEAD]
    rows = _latest(values[values["indicator_id"].isin(wanted) & values["value"].notna()])
    own = _own(rows, around.own).set_index("indicator_id")
    income = INCOME if INCOME in own.index else INSTEAD
    traits = [name for name in (*STRUCTURE, income) if name in own.index]
    rows = rows[rows["indicator_id"].isin(traits)]
    same = pd.MultiIndex.from_frame(rows[["zone_type", "zone_code"]]).isin(around.own)
    # An income of another year is another income.
    dated = rows["period"] == rows["indicator_id"].map(own["period"])
    peers = rows[(rows["zone_type"] == around.peers) & ~same & dated]
    structure = peers.pivot(index="zone_code", columns="indicator_id", values="value").reindex(columns=traits).dropna()
    logarithmic = tuple(name for name in LOGARITHMIC if name in traits)
    structure = structure[(structure[list(logarithmic)] > 0).all(axis=1)]
    inhabited = peers.loc[peers["indicator_id"] == "pop_municipal", "zone_code"].nunique()
    if len(traits) < MINIMUM_TRAITS or len(structure) < max(count, ENOUGH * inhabited):
        return pd.DataFrame(columns=["position", "zone_type", "zone_code", "distance"])
    structure.loc[OWN] = own["value"][traits]
    found = comparison.similar_territories(structure, dict.fromkeys(traits, 1.0), count, logarithmic)
    mine = found[found["zone"] == OWN].rename(columns={"similar": "zone_code"})[["position", "zone_code", "distance"]]
    mine = pd.concat([pd.DataFrame({"position": [0], "zone_code": [OWN], "distance": [0.0]}), mine], ignore_index=True)
    mine = mine.join(structure[traits], on="zone_code")
    mine["zone_type"] = [around.own[0][0], *[around.peers] * count]
    return mine.assign(zone_code=[around.own[0][1], *mine["zone_code"].iloc[1:]])


def similar_values(values: pd.DataFrame, alike: pd.DataFrame, territory_id: str) -> pd.DataFrame:
    """What the similar territories are worth together, as rows of the public table (`zone_type` `similar`).

    Counts are summed, then divided, where the figure of each of them is one same multiple of numerator / denominator;
    what is published zone by zone is the middle one, never a mean. Only what all of them have, in one same vintage.
    """
    codes = alike["zone_code"].iloc[1:]
    rows = values[values["zone_code"].isin(codes) & (values["zone_type"] == alike["zone_type"].iloc[-1])]
    rows = rows[rows["value"].notna()].copy()
    rows["factor"] = (rows["value"] * rows["denominator"] / rows["numerator"]).where(rows["numerator"] != 0)
    made = []
    for (indicator_id, period), group in rows.groupby(["indicator_id", "period"], sort=False, observed=True):
        value = _together(group) if len(group) == len(codes) else np.nan
        if np.isnan(value):
            continue
        counted = group["numerator"].notna().all()
        made.append(
            group.iloc[0].to_dict()
            | {
                "indicator_id": indicator_id, "period": period, "zone_type": SIMILAR_TYPE, "zone_code": territory_id,
                "value": value, "numerator": group["numerator"].sum() if counted else np.nan,
                "denominator": group["denominator"].sum() if counted else np.nan, "ci_low": np.nan, "ci_high": np.nan,
                "coverage": np.nan, "comparison": "not_compared",
                "reliability": group["reliability"].iloc[0] if group["reliability"].nunique() == 1 else "ok",
            }
        )  # fmt: skip
    return pd.DataFrame(made, columns=values.columns)


def _together(group: pd.DataFrame) -> float:
    """One value for several zones, or NaN where none is honest (counts, growth, medians over communes)."""
    if group["numerator"].notna().all() and group["denominator"].notna().all():
        factors = group["factor"].dropna()
        if factors.empty:
            return 0.0 if (group["numerator"] == 0).all() else np.nan
        if np.ptp(factors) > 1e-6 * abs(factors.iloc[0]):
            return np.nan
        return float(factors.iloc[0] * group["numerator"].sum() / group["denominator"].sum())
    published = group["method"].astype(str).str.startswith("published").all()
    return float(group["value"].median()) if published else np.nan
