"""A tiny project, and a Dagster history of its own."""

from __future__ import annotations

import dagster as dg
import pytest
from tiny import TinyProject


@pytest.fixture
def tiny_project(tmp_path, monkeypatch):
    """Twelve communes and one CLS, in `tmp_path`; see `tiny.py`."""
    tiny = TinyProject(tmp_path / "tiny")
    monkeypatch.setenv("DIAGNOSTIC_MIRROR", str(tiny.mirror))
    monkeypatch.setenv("DIAGNOSTIC_DATA", str(tiny.folder / "data"))
    monkeypatch.setenv("DAGSTER_HOME", str(tiny.home))
    return tiny


@pytest.fixture
def instance(tiny_project):
    with dg.DagsterInstance.ephemeral() as made:
        yield made
