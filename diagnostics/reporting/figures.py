"""The figures of the territory's zones, picked from the public table of values."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

import pandas as pd

from diagnostics import french
from diagnostics.catalog import Catalog
from diagnostics.reporting.model import Figure, Verdict, Zone
from diagnostics.reporting.place import Place


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


def quantity(figure: Figure) -> str:
    """The value with its unit: `12,3 %`."""
    return french.quantity(figure.value, figure.unit, figure.decimals)


@dataclass(frozen=True)
class Facts:
    """The figures of the territory's zones, by indicator and zone, and the verdicts of their comparisons.

    `compared`: the table of `diagnostics.indicators.reading.comparisons`.
    """

    values: pd.DataFrame
    place: Place
    catalog: Catalog
    profile: str
    compared: pd.DataFrame

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
        for figures in found.values():
            if len(figures) > 1:
                figures.sort(key=lambda f: _period_order(f.period))
        return found

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

    @cached_property
    def _verdicts(self) -> dict[tuple[str, ...], Verdict]:
        names = ["indicator_id", "zone_type", "zone_code", "benchmark_type", "benchmark_code"]
        return {tuple(row[:5]): row[5] for row in self.compared[[*names, "verdict"]].to_numpy()}

    def verdict(self, figure: Figure, benchmark: Figure) -> Verdict:
        """How a zone stands against a benchmark, its tests adjusted with the others of the same table."""
        return self._verdicts.get((figure.indicator_id, *figure.zone.key, *benchmark.zone.key), "not_compared")

    def indicator_ids(self) -> list[str]:
        """Indicators of the axes first, in order, then the others that have figures."""
        return list(dict.fromkeys([*self.place.card.indicator_ids(), *sorted({f.indicator_id for f in self.all})]))
