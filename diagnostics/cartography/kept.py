"""Which maps need not be drawn again: a digest of all that a sheet is made from, but the day it is drawn."""

from __future__ import annotations

import hashlib
import json

import pandas as pd

from diagnostics.cartography.atlas import LEVELS, Land, bounds_over_france, latest_of, zones_drawn
from diagnostics.catalog import Catalog

NOT_SHOWN = ["computed_at"]
"""Columns of the public table that no map tells."""


def ground_digest(land: Land, code: str) -> str:
    """Digest of the ground that every map of a CLS stands on; `code` is that of the drawing functions."""
    communes = land.communes.sort_values("code")
    names = sorted([*zone, name] for zone, name in land.zone_names.items() if zone[0] in LEVELS)
    return _digest(
        code,
        land.territory.model_dump(mode="json", exclude={"axes"}),
        names,
        communes.drop(columns="geometry").to_csv(index=False),
        *communes.geometry.to_wkb(),
    )


def sheet_digests(
    land: Land, catalog: Catalog, values: pd.DataFrame, reference: pd.DataFrame, ground: str
) -> dict[str, str]:
    """indicator -> digest of what its sheet is made from: its rows, the bounds of its classes over France, its cards,
    its ground. Frames as for `atlas`, in any order of rows."""
    key = ["zone_type", "zone_code", "period"]
    rows_of = dict(tuple(values.drop(columns=NOT_SHOWN).sort_values(key).groupby("indicator_id", observed=True)))
    latest = dict(tuple(latest_of(values).groupby("indicator_id", observed=True)))
    nation = dict(tuple(reference.groupby("indicator_id", observed=True)))
    found = {}
    for name in land.territory.indicator_ids():
        if (rows := rows_of.get(name)) is None:
            continue
        indicator = catalog.indicators[name]
        sources = [
            catalog.sources[d] for d in sorted({d for ids in rows["dataset_ids"].unique() for d in ids.split(",")})
        ]
        by_commune = zones_drawn(land, latest[name])[0] == "commune"
        bounds = bounds_over_france(indicator, latest[name], nation[name]) if by_commune and name in nation else None
        found[name] = _digest(
            ground,
            indicator.model_dump(mode="json"),
            catalog.theme_of[name].palette,
            [[source.citation, source.licence] for source in sources],
            rows.to_csv(index=False),
            bounds,
        )
    return found


def _digest(*parts: object) -> str:
    found = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else json.dumps(part, ensure_ascii=False, sort_keys=True).encode()
        found.update(len(content).to_bytes(8))
        found.update(content)
    return found.hexdigest()[:16]
