"""The pivot reference as files, one Parquet per frame, so that a later stage reads back exactly what was built."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pandas as pd
from upath import UPath

from diagnostics.errors import GeographyError
from diagnostics.geography.reference import PIVOT_YEAR, Reference
from diagnostics.storage import on_disk, write_parquet

FRAMES = tuple(f.name for f in fields(Reference) if f.name != "pivot_year")


def write_reference(reference: Reference, folder: UPath | Path) -> None:
    """Write every frame under `folder/reference/`."""
    for name in FRAMES:
        write_parquet(getattr(reference, name), UPath(folder) / "reference" / f"{name}.parquet")


def read_reference(folder: UPath | Path) -> Reference:
    """The reference that `write_reference` wrote. GeographyError when it was not."""
    folder = UPath(folder) / "reference"
    if not (folder / "communes.parquet").exists():
        raise GeographyError(
            f"Géographie absente sous {folder}. Matérialiser l'asset « geography/reference », "
            "ou lancer `diagnostic run`."
        )
    return Reference(
        **{name: pd.read_parquet(on_disk(folder / f"{name}.parquet")) for name in FRAMES}, pivot_year=PIVOT_YEAR
    )
