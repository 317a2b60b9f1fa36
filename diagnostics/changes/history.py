"""The dated history: for each day and each CLS, a compact copy of its figures and of what they were made from.

    processed/history/<AAAA-MM-JJ>/<territory>/values.parquet    the CLS and the zones that contain its communes
                                               copy.json         perimeter, files, refused files, names of the zones
                                               changes.md, changes.html

The last run of a day replaces the day's copy.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from pydantic import BaseModel, ConfigDict
from upath import UPath

from diagnostics.errors import DiagnosticError
from diagnostics.storage import on_disk, replacing, write_parquet

COLUMNS = ["indicator_id", "zone_type", "zone_code", "period", "value", "unit", "reliability", "coverage", "comparison"]
ZONE_TYPES = ("cls", "epci", "departement", "region", "france")
"""Levels that are kept: the CLS and what it is compared with. A PETR is the CLS itself, or close to it."""
DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


class FileUsed(BaseModel):
    """One raw file behind the figures."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    distribution: str
    title: str
    vintage: str
    sha256: str


class Refused(BaseModel):
    """A newer file that the gates did not let in, and why."""

    model_config = ConfigDict(frozen=True)

    title: str
    refused_at: datetime.datetime
    reasons: list[str]


class CopyFacts(BaseModel):
    """What `copy.json` holds. `zones`: `zone_type/zone_code` -> name; `communes`: code -> name."""

    model_config = ConfigDict(frozen=True)

    territory: str
    name: str
    date: datetime.date
    profile: str
    communes: dict[str, str]
    zones: dict[str, str]
    files: list[FileUsed]
    refused: list[Refused] = []


@dataclass(frozen=True)
class DatedCopy:
    """The figures of one CLS on one day. `values` has `COLUMNS`."""

    facts: CopyFacts
    values: pd.DataFrame


def take(
    territory_id: str,
    territory_name: str,
    values: pd.DataFrame,
    membership: pd.DataFrame,
    zones: pd.DataFrame,
    *,
    date: datetime.date,
    profile: str,
    files: Iterable[FileUsed],
    refused: Iterable[Refused] = (),
) -> DatedCopy:
    """The copy of a CLS from the public tables `values`, `membership` and `zones` (docs/architecture.md)."""
    m = membership[membership["child_type"].eq("commune")]
    inside = m.loc[m["parent_type"].eq("cls") & m["parent_code"].eq(territory_id), "child_code"]
    above = m[m["child_code"].isin(inside) & m["parent_type"].isin(ZONE_TYPES)]
    # A commune may be in another CLS too: that one is another report.
    above = above[above["parent_type"].ne("cls") | above["parent_code"].eq(territory_id)]
    wanted = above[["parent_type", "parent_code"]].drop_duplicates()
    wanted.columns = ["zone_type", "zone_code"]
    names = zones.set_index(["zone_type", "zone_code"])["zone_name"]
    kept = values[COLUMNS].merge(wanted, on=["zone_type", "zone_code"])
    return DatedCopy(
        CopyFacts(
            territory=territory_id,
            name=territory_name,
            date=date,
            profile=profile,
            communes={code: names["commune", code] for code in sorted(inside)},
            zones={f"{t}/{c}": names.get((t, c), c) for t, c in wanted.itertuples(index=False)},
            files=list(files),
            refused=list(refused),
        ),
        kept.sort_values(COLUMNS[:4], ignore_index=True),
    )


def folder_of(processed: UPath | Path, date: datetime.date, territory_id: str) -> UPath:
    return UPath(processed) / "history" / date.isoformat() / territory_id


def write_copy(copy: DatedCopy, processed: UPath | Path) -> UPath:
    """Keep a copy; `copy.json` comes last, so that a killed run leaves no copy that looks whole."""
    folder = folder_of(processed, copy.facts.date, copy.facts.territory)
    write_parquet(copy.values, folder / "values.parquet")
    with replacing(folder / "copy.json") as temporary:
        temporary.write_text(copy.facts.model_dump_json(indent=1) + "\n", encoding="utf-8")
    return folder


def read_copy(processed: UPath | Path, date: datetime.date, territory_id: str) -> DatedCopy:
    """Raises DiagnosticError, naming the days there are, when there is no copy of that day."""
    folder = folder_of(processed, date, territory_id)
    if not (folder / "copy.json").exists():
        known = [d.isoformat() for d in dates(processed, territory_id)]
        raise DiagnosticError(
            f"Aucune copie de « {territory_id} » au {date.isoformat()}. "
            + (f"Dates gardées : {', '.join(known)}." if known else "Lancer d'abord `diagnostic run`.")
        )
    facts = CopyFacts.model_validate_json((folder / "copy.json").read_text(encoding="utf-8"))
    return DatedCopy(facts, pd.read_parquet(on_disk(folder / "values.parquet")))


def dates(processed: UPath | Path, territory_id: str | None = None) -> list[datetime.date]:
    """The days of which a copy is kept (of this territory, or of any), oldest first."""
    base = UPath(processed) / "history"
    if not base.exists():
        return []
    days = sorted(d.name for d in base.iterdir() if DAY.fullmatch(d.name))
    kept = [d for d in days if any((base / d).glob(f"{territory_id or '*'}/copy.json"))]
    return [datetime.date.fromisoformat(d) for d in kept]


def territories(processed: UPath | Path, date: datetime.date) -> list[str]:
    """The territories of which a copy of that day is kept."""
    return sorted(p.parent.name for p in (UPath(processed) / "history" / date.isoformat()).glob("*/copy.json"))


def former(processed: UPath | Path, territory_id: str, before: datetime.date, profile: str) -> DatedCopy | None:
    """The newest copy of an earlier day made with the same profile, if any: figures of two profiles do not compare."""
    for day in reversed(dates(processed, territory_id)):
        if day < before:
            copy = read_copy(processed, day, territory_id)
            if copy.facts.profile == profile:
                return copy
    return None


def last_values(processed: UPath | Path, profile: str) -> pd.DataFrame | None:
    """The rows of every territory of the newest day with a copy of this profile, each zone once."""
    for day in reversed(dates(processed)):
        copies = [read_copy(processed, day, name) for name in territories(processed, day)]
        frames = [c.values for c in copies if c.facts.profile == profile]
        if frames:
            return pd.concat(frames, ignore_index=True).drop_duplicates(COLUMNS[:4])
    return None
