"""Workshops on the embedded products: one to read, one whose own products may be changed."""

import shutil

import pytest
from upath import UPath

from diagnostics.catalog import load_catalog
from diagnostics.storage import Storage
from diagnostics.workshop import Workshop


@pytest.fixture(scope="session")
def workshop(embedded_data):
    return Workshop(load_catalog(), "embedded", Storage(UPath(embedded_data)))


@pytest.fixture
def copied(embedded_data, tmp_path):
    """The same products in a folder of the test: raw files and territories copied, the large stages linked."""
    root = tmp_path / "data"
    for name in ("raw", "processed/territories"):
        shutil.copytree(embedded_data / name, root / name)
    for name in ("geography", "indicators", "observations", "tables"):
        (root / "processed" / name).symlink_to(embedded_data / "processed" / name, target_is_directory=True)
    return Workshop(load_catalog(), "embedded", Storage(UPath(root)))
