"""The observatory as lines of the annex: every indicator read, for the territory, its members and its départements."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from diagnostics.catalog import Catalog
from diagnostics.indicators.reading import Reading
from diagnostics.reporting import narrative
from diagnostics.reporting.model import DashboardLine, Verdict
from diagnostics.reporting.place import Place, zone_order

VerdictKey = tuple[str, str, str, str, str]


def dashboard_of(reading: Reading, place: Place, catalog: Catalog) -> tuple[DashboardLine, ...]:
    """One line per indicator and zone, in the order of the catalogue."""
    names = ["indicator_id", "zone_type", "zone_code", "benchmark_type", "benchmark_code", "verdict"]
    verdicts = {tuple(row[:5]): row[5] for row in reading.compared[names].to_numpy()}
    lines = [(row["indicator_id"], _line(row, verdicts, place, catalog)) for row in reading.table.to_dict("records")]
    order = {name: position for position, name in enumerate(catalog.indicators)}
    return tuple(line for _, line in sorted(lines, key=lambda pair: (order[pair[0]], zone_order(pair[1].zone))))


def _line(row: Mapping, verdicts: Mapping[VerdictKey, Verdict], place: Place, catalog: Catalog) -> DashboardLine:
    card = catalog.indicators[row["indicator_id"]]
    key = row["indicator_id"], row["zone_type"], row["zone_code"]
    trend = narrative.trend_of(row, card.unit, card.decimals)
    return DashboardLine(
        label=card.label, unit=card.unit, decimals=card.decimals,
        zone=place.by_key[row["zone_type"], row["zone_code"]], period=row["period"], value=float(row["value"]),
        low=_amount(row["ci_low"]), high=_amount(row["ci_high"]), reliability=row["reliability"],
        verdicts=tuple(verdicts.get((*key, *zone.key)) for zone in place.benchmarks), trend=trend,
        first=_amount(row["trend_first"]), test=narrative.TESTS.get(row["trend_test"], "sans test") if trend else "",
        rank=tuple(_amount(row[name]) for name in ("rank", "rank_low", "rank_high", "ranked")),
        slope=tuple(_amount(row[name]) for name in ("sii", "sii_low", "sii_high")),
        ratio=tuple(_amount(row[name]) for name in ("rii", "rii_low", "rii_high")),
        communes=int(row["units"]) or None,
    )  # fmt: skip


def _amount(value: float) -> float | None:
    return None if pd.isna(value) else float(value)
