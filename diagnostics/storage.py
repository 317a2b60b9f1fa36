"""Where files live, and how they are written so that a killed run leaves nothing half-written.

Everything lies under one folder: `data/` of the project, or the folder (path or `s3://…`) named by `DIAGNOSTIC_DATA`.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from upath import UPath

PROJECT_ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Storage:
    """The folders of one installation. `root` holds `raw/` and `processed/`."""

    root: UPath

    @classmethod
    def from_environment(cls) -> Storage:
        """`DIAGNOSTIC_DATA` when set, else `data/` of the project."""
        return cls(UPath(os.environ.get("DIAGNOSTIC_DATA") or PROJECT_ROOT / "data"))

    @property
    def raw(self) -> UPath:
        return self.root / "raw"

    @property
    def processed(self) -> UPath:
        return self.root / "processed"

    @property
    def geography(self) -> UPath:
        return self.processed / "geography"

    @property
    def observations(self) -> UPath:
        return self.processed / "observations"

    @property
    def values(self) -> UPath:
        """The public table of indicators."""
        return self.processed / "indicators" / "values.parquet"

    def territory(self, territory_id: str) -> UPath:
        return self.processed / "territories" / territory_id


@contextmanager
def replacing(target: UPath | Path) -> Iterator[UPath]:
    """Yield a temporary path beside `target`; rename it over `target` on success, remove it on any failure."""
    target = UPath(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    # The suffix stays last because several writers choose their format by it.
    temporary = target.with_name(f".{target.stem}.{uuid.uuid4().hex[:8]}{target.suffix}")
    try:
        yield temporary
        temporary.rename(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_parquet(frame: pd.DataFrame, target: UPath | Path) -> None:
    """Write a (Geo)DataFrame as zstd Parquet, whole or not at all."""
    with replacing(target) as temporary:
        frame.to_parquet(temporary, compression="zstd", index=False)
