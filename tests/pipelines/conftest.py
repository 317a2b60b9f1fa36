"""A copy of the house's catalogue in a temporary folder, with data and history of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environment(tmp_path, monkeypatch):
    """Environment of a command: its own data, its own history, no mirror."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text(encoding="utf-8"), encoding="utf-8")
    env = {k: v for k, v in os.environ.items() if not k.startswith("DIAGNOSTIC_")}
    return env | {"DIAGNOSTIC_DATA": str(tmp_path / "data"), "DAGSTER_HOME": str(home), "COLUMNS": "200"}


@pytest.fixture
def diagnostic(environment):
    """Run the command as a user does: a process of its own."""

    def run(*arguments, **more):
        return subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *arguments],
            cwd=ROOT, env=environment | more, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip

    return run
