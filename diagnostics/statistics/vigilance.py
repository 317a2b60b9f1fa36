"""Points of vigilance: which figures of a territory an analyst would read out first, and with what reserve.

The rule, the same for every territory and every axis:
- a figure with a direction earns 3 points when it is significantly worse than its benchmark (`comparison` is `worse`),
  2 when it has no interval and 80 % of comparable zones do better (`position`), 2 when its trend is `worsening`, 1 when
  it is unequal inside at the expense of the most deprived;
- one point is taken back, never below one, when the figure is `unstable`, `modelled` or `context`;
- `masked` and `incomplete` figures, neutral ones, and those without a point, are not listed;
- ranked by points, then by relative distance to the benchmark, then by label.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd

from diagnostics.errors import StatisticsError
from diagnostics.statistics.inputs import numeric

WORSE, DISTANT, WORSENING, UNEQUAL = 3, 2, 2, 1
BADLY_PLACED = 0.80
REQUIRED = (
    "axis", "indicator_id", "label", "unit", "decimals", "direction", "value", "ci_low", "ci_high", "benchmark",
    "benchmark_name", "comparison", "reliability",
)  # fmt: skip
OPTIONAL = {
    "position": np.nan,
    "trend": "not_tested",
    "trend_from": None,
    "trend_to": None,
    "trend_first": np.nan,
    "unequal": False,
    "sii": np.nan,
    "sii_low": np.nan,
    "sii_high": np.nan,
    "peers": "des territoires comparables",
    "zone_name": "",
    "reserve": "",
}
HIDDEN = ("masked", "incomplete")
RESERVES = {
    "unstable": "Petits effectifs : à confirmer sur plusieurs années.",
    "modelled": "Valeur modélisée : ordre de grandeur attendu, non observé.",
    "context": "Valeur de contexte{zone} : elle situe le territoire sans le décrire.",
    "snapshot": "Valeur reprise d’un instantané embarqué : à actualiser avec la source.",
}
NO_INTERVAL = "Sans intervalle de confiance : écart descriptif."

Quantity = Callable[[float, str, int], str]
Interval = Callable[[float, float, int], str]


def points_of_vigilance(
    rows: pd.DataFrame, quantity: Quantity, interval: Interval, limit: int | None = None
) -> pd.DataFrame:
    """Figures of one territory -> its points of vigilance, ranked within each axis (and `overall`).

    `rows`: one row per axis × indicator, with the columns of `REQUIRED`; those of `OPTIONAL` when known: `position`
    (share of the `peers` that do better, 0 to 1), `trend`, `trend_from`, `trend_to` (years), `trend_first` (value),
    `unequal`, `sii`, `sii_low`, `sii_high` (from `deprivation.inequality`), `zone_name` (for `context`), `reserve`
    (from the card). `quantity`, `interval` write numbers in French: `diagnostics.french.quantity` and `.interval`.

    Result: `axis, rank, overall, indicator_id, points, reasons` (words joined by ` + `), `gap` (relative distance to
    the benchmark), `sentence, reserve`. `limit` keeps the first of each axis. Empty when nothing stands out.
    """
    missing = [name for name in REQUIRED if name not in rows]
    if missing:
        raise StatisticsError(f"Points de vigilance : colonnes absentes {', '.join(missing)}.")
    table = rows.reset_index(drop=True).assign(**{k: v for k, v in OPTIONAL.items() if k not in rows})
    repeated = table.duplicated(["axis", "indicator_id"])
    if repeated.any():
        first = table.loc[repeated.idxmax()]
        raise StatisticsError(f"Ligne {first['axis']} / {first['indicator_id']} : indicateur en double dans cet axe.")
    table = table.join(_signals(table))
    table = table[table["points"] > 0]
    table = table.sort_values(["points", "gap", "label"], ascending=[False, False, True], na_position="last")
    table["overall"] = pd.factorize(table["indicator_id"])[0] + 1
    table["rank"] = table.groupby("axis", sort=False).cumcount() + 1
    if limit is not None:
        table = table[table["rank"] <= limit]
    records = table.to_dict("records")
    table = table.assign(
        sentence=[_sentence(row, quantity, interval) for row in records], reserve=[_reserve(row) for row in records]
    )
    columns = ["axis", "rank", "overall", "indicator_id", "points", "reasons", "gap", "sentence", "reserve"]
    return table.sort_values(["axis", "rank"])[columns].reset_index(drop=True)


def _signals(table: pd.DataFrame) -> pd.DataFrame:
    """Per row: `points, reasons, gap`, and the four signals they come from."""
    number = {
        name: numeric(name, table[name], table.index)
        for name in ("value", "ci_low", "benchmark", "position", "sii")
    }  # fmt: skip
    sense = table["direction"].map({"higher_is_worse": 1.0, "higher_is_better": -1.0, "neutral": 0.0})
    if sense.isna().any():
        raise StatisticsError(f"Sens inconnu : « {table.loc[sense.isna().idxmax(), 'direction']} ».")
    listed = (sense != 0) & ~table["reliability"].isin(HIDDEN) & ~np.isnan(number["value"])
    signals = pd.DataFrame(
        {
            "worse": table["comparison"] == "worse",
            "distant": np.isnan(number["ci_low"]) & (number["position"] >= BADLY_PLACED),
            "worsening": table["trend"] == "worsening",
            "unequal_inside": table["unequal"].astype(bool) & (np.nan_to_num(number["sii"]) * sense > 0),
        }
    )
    points = (signals * [WORSE, DISTANT, WORSENING, UNEQUAL]).sum(axis=1)
    reserved = table["reliability"].isin(["unstable", "modelled", "context"])
    points = points.where(~reserved | (points == 0), (points - 1).clip(lower=1)).where(listed, 0)
    target = np.where(number["benchmark"] == 0, np.nan, number["benchmark"])
    words = [" + ".join(name for name in signals if row[name]) for row in signals.to_dict("records")]
    gap = np.abs(number["value"] - target) / np.abs(target)
    return signals.assign(points=points.astype(int), reasons=words, gap=gap)


def _sentence(row: dict, quantity: Quantity, interval: Interval) -> str:
    shown = quantity(row["value"], row["unit"], row["decimals"])
    bounds = interval(row["ci_low"], row["ci_high"], row["decimals"])
    parts = []
    if (row["worse"] or row["distant"]) and not pd.isna(row["benchmark"]):
        side = "au-dessus" if row["value"] > row["benchmark"] else "au-dessous"
        firm = "significativement " if row["worse"] else ""
        reference = quantity(row["benchmark"], row["unit"], row["decimals"])
        parts.append(f"{firm}{side} de la référence ({row['benchmark_name']} : {reference})")
    if row["distant"]:
        # As long as one peer does no better, it is not all of them, whatever the rounding.
        share = 100 * row["position"] if row["position"] == 1 else min(100 * row["position"], 99)
        parts.append(f"moins favorable que dans {quantity(share, '%', 0)} {row['peers']}")
    if row["worsening"]:
        parts.append(_worsening(row, quantity))
    if row["unequal_inside"]:
        parts.append(_unequal(row, quantity, interval))
    head = f"{row['label']} : {shown}" + (f" {bounds}" if bounds else "")
    return f"{head}, {' ; '.join(parts)}."


def _worsening(row: dict, quantity: Quantity) -> str:
    """« évolution défavorable de 2016 (8,7 %) à 2022 »."""
    if pd.isna(row["trend_from"]) or pd.isna(row["trend_to"]):
        return "évolution défavorable"
    before = "" if pd.isna(row["trend_first"]) else f" ({quantity(row['trend_first'], row['unit'], row['decimals'])})"
    return f"évolution défavorable de {row['trend_from']}{before} à {row['trend_to']}"


def _unequal(row: dict, quantity: Quantity, interval: Interval) -> str:
    """« moins favorable dans les communes les plus défavorisées du territoire (écart estimé : 4,2 points […]) ».

    The gap is given in absolute value: the words say which side is worse.
    """
    where = "moins favorable dans les communes les plus défavorisées du territoire"
    if pd.isna(row["sii_low"]):
        return where
    low, high = sorted(abs(row[name]) for name in ("sii_low", "sii_high"))
    gap, unit = abs(row["sii"]), row["unit"]
    if "%" in unit:
        unit = "point" if round(gap, row["decimals"]) < 2 else "points"
    size = quantity(gap, unit, row["decimals"])
    return f"{where} (écart estimé : {size} {interval(low, high, row['decimals'])})"


def _reserve(row: dict) -> str:
    zone = f" ({row['zone_name']})" if row["zone_name"] else ""
    parts = [RESERVES[row["reliability"]].format(zone=zone)] if row["reliability"] in RESERVES else []
    if row["distant"]:
        parts.append(NO_INTERVAL)
    if row["reserve"]:
        parts.append(str(row["reserve"]))
    return " ".join(parts)
