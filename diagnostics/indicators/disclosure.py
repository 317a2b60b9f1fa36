"""Secrecy over the whole hierarchy: the counts that go with the masked ones, so that no total gives them away."""

from __future__ import annotations

import numpy as np
import pandas as pd

from diagnostics.statistics.reliability import flag_events
from diagnostics.statistics.secrecy import SECONDARY, protect

ZONE = ["zone_type", "zone_code"]


def withheld_with(counts: pd.DataFrame, belongs: pd.DataFrame) -> pd.MultiIndex:
    """The zones (zone_type, zone_code) whose count must be masked besides those that the rule on events masks.

    `counts`: one row per zone, `zone_type, zone_code, numerator` (missing when unknown), `published` (False when
    something else already withholds it); `belongs`: `unit` (commune), `zone_type, zone_code`. Every published count is
    the sum of its communes of known count.
    """
    known = counts[counts["numerator"].notna()]
    values, units_shown = _indexed(known[known["zone_type"] == "commune"].drop(columns="zone_type"), "zone_code")
    pairs = belongs[(belongs["zone_type"] != "commune") & belongs["unit"].isin(values.index)]
    totals, zones_shown = _indexed(known.merge(pairs[ZONE].drop_duplicates(), on=ZONE), ZONE)
    if not len(values) or not len(totals):
        return pd.MultiIndex.from_arrays([[], []], names=ZONE)
    pairs = pairs[pd.MultiIndex.from_frame(pairs[ZONE]).isin(totals.index)]
    found = protect(values, totals, pairs, _masked(values, units_shown), _masked(totals, zones_shown))
    units = found.units.index[found.units == SECONDARY]
    communes = pd.MultiIndex.from_arrays([["commune"] * len(units), units], names=ZONE)
    return communes.append(found.zones.index[found.zones == SECONDARY])


def _indexed(rows: pd.DataFrame, key) -> tuple[pd.Series, np.ndarray]:
    rows = rows.set_index(key).sort_index()
    return rows["numerator"], rows["published"].to_numpy(dtype=bool)


def _masked(counts: pd.Series, shown: np.ndarray) -> np.ndarray:
    return (flag_events(counts) == "masked") | ~shown
