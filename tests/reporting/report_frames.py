"""Tables in the public contracts, invented: what `build_report` reads, small enough to reason about."""

from __future__ import annotations

import datetime
import zlib

import numpy as np
import pandas as pd

from diagnostics.catalog import Catalog, Territory
from diagnostics.reporting import SourceUse

PARENTS = ("commune", "epci", "cls", "departement", "region", "france")
VALUE_COLUMNS = [
    "indicator_id", "zone_type", "zone_code", "period", "numerator", "denominator", "value", "unit", "ci_low",
    "ci_high", "method", "reliability", "coverage", "comparison", "dataset_ids", "source_version", "computed_at",
]  # fmt: skip


def value_row(indicator_id: str, zone_type: str, zone_code: str, value: float | None, **other) -> dict:
    """One row of the values table; masked and unknown values are given as None."""
    row = {
        "indicator_id": indicator_id, "zone_type": zone_type, "zone_code": zone_code, "period": "2022",
        "numerator": np.nan, "denominator": np.nan, "value": np.nan if value is None else value, "unit": "",
        "ci_low": np.nan, "ci_high": np.nan, "method": "ratio", "reliability": "ok", "coverage": 1.0,
        "comparison": "not_compared", "dataset_ids": "insee_rp", "source_version": "v1",
        "computed_at": pd.Timestamp("2026-11-22"),
    }  # fmt: skip
    assert set(other) <= set(row)
    return row | other


def values_table(*rows: dict) -> pd.DataFrame:
    return pd.DataFrame(list(rows), columns=VALUE_COLUMNS)


def membership_table(communes: dict[str, dict[str, str]], iris: dict[str, str] | None = None) -> pd.DataFrame:
    """`communes`: code -> {parent_type: parent_code}; `iris`: code -> commune."""
    rows = [
        ("commune", code, parent_type, parent_code)
        for code, parents in communes.items()
        for parent_type, parent_code in ({"commune": code, "france": "FR"} | parents).items()
    ]
    rows += [("iris", code, "commune", commune) for code, commune in (iris or {}).items()]
    return pd.DataFrame(rows, columns=["child_type", "child_code", "parent_type", "parent_code"])


def zones_table(names: dict[tuple[str, str], str], tncc: dict[tuple[str, str], str] | None = None) -> pd.DataFrame:
    table = pd.DataFrame([(t, c, n) for (t, c), n in names.items()], columns=["zone_type", "zone_code", "zone_name"])
    if tncc is not None:
        table["tncc"] = [tncc.get(key) for key in names]
    return table


def source_use(dataset_id: str, **other) -> SourceUse:
    fields = {
        "title": f"Fichier {dataset_id}", "producer": "Insee", "vintage": "2022", "licence": "Licence Ouverte 2.0",
        "address": f"https://exemple.invalid/{dataset_id}.csv",
        "sha256": f"{zlib.crc32(dataset_id.encode()):08x}" * 8, "fetched_at": datetime.datetime(2026, 11, 22, 5, 0),
    }  # fmt: skip
    return SourceUse(dataset_id=dataset_id, **(fields | other))


def sample_values(
    catalog: Catalog, territory: Territory, membership: pd.DataFrame, profile: str, seed: int = 1
) -> pd.DataFrame:
    """Plausible values for every indicator and zone around `territory`: intervals, masked communes, snapshots."""
    rng = np.random.default_rng(seed)
    zones = membership[["parent_type", "parent_code"]].drop_duplicates()
    iris = membership.loc[membership["child_type"] == "iris", "child_code"]
    keys = [*zones.itertuples(index=False, name=None), *(("iris", code) for code in iris)]
    centres = {
        "%": 18.0, "€": 23000.0, "habitants": 100_000.0, "habitants par km²": 92.0, "% par an": 0.3,
        "consultations par an et par habitant": 3.1,
    }  # fmt: skip
    rows = []
    for indicator in catalog.indicators.values():
        formula = indicator.formula_for(profile) if catalog.is_computable(indicator, profile) else None
        centre = centres.get(indicator.unit, 30.0)
        for zone_type, code in keys:
            published = formula is not None and formula.kind == "published"
            context = indicator.nature == "context"
            snapshot = formula is None and indicator.unavailable is None
            if formula is None and not snapshot:
                continue
            if snapshot and zone_type in ("iris", "commune"):
                continue
            if (published and zone_type in ("cls", "petr")) or (
                context and zone_type not in ("departement", "region", "france")
            ):
                continue
            value = centre * float(rng.lognormal(0, 0.12 if zone_type != "commune" else 0.4))
            other: dict = {"dataset_ids": "insee_popref", "numerator": value * 10, "denominator": 1000.0}
            if indicator.id == "pop_municipal":
                size = {"commune": 750, "iris": 2400, "epci": 26_000, "cls": 104_000, "petr": 104_000}
                value = float(round(size.get(zone_type, 2_000_000) * rng.lognormal(0, 0.2)))
            if indicator.id == "pop_density":
                other |= {"numerator": 104_000.0, "denominator": 1130.0}
            if indicator.interval != "none":
                half = value * (0.25 if zone_type in ("commune", "iris") else 0.03)
                other |= {"ci_low": value - half, "ci_high": value + half}
            if zone_type == "commune" and indicator.secrecy != "none" and rng.random() < 0.3:
                rows.append(value_row(indicator.id, zone_type, code, None, **other, reliability="masked"))
                continue
            reliability = "snapshot" if snapshot else "context" if context else "ok"
            coverage = 0.982 if zone_type == "region" and indicator.unit == "%" else 1.0
            rows.append(
                value_row(indicator.id, zone_type, code, value, **other, reliability=reliability, coverage=coverage)
            )
    return values_table(*rows)
