"""Runs killed at random moments and resumed: no half product, no lost history, no lock left."""

from __future__ import annotations

import datetime
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
from tiny import CLS, POPULATION, TinyProject

from diagnostics import changes
from diagnostics.products.verify import figure_differences
from pipelines.stale import stale_assets, stale_deliverables

pytestmark = pytest.mark.xdist_group("processes")

ROOT = Path(__file__).resolve().parents[2]
KILLS = 8
LONG_AGO = datetime.date(2026, 1, 1)

# One process imports everything once; for each number it reads, a fork of it does what `diagnostic run essai` does and
# dies at that many file operations: as random as a power cut, and at the same place on a slow machine as on a fast one.
DRIVER = """
import os, signal, sys
from pathlib import Path
from upath import UPath
from diagnostics.catalog import load_catalog
from diagnostics.storage import Storage
from diagnostics.workshop import Workshop
from pipelines.run import run
import pipelines.checks, pipelines.definitions

folder = Path(sys.argv[1])
data = str(folder / "data")

def die_after(operations):
    left = [operations]
    def count(event, arguments):
        if event in ("open", "os.rename", "os.mkdir", "os.remove") and str(arguments[0]).startswith(data):
            left[0] -= 1
            if left[0] == 0:
                os.kill(os.getpid(), signal.SIGKILL)
    sys.addaudithook(count)

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            die_after(int(line))
            run(Workshop(load_catalog(folder / "catalog"), "mirror", Storage(UPath(data))), ["essai"])
            code = 0
        finally:
            os._exit(code)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
NEVER = 10**9


class Runner:
    """`run(operations)` -> the exit code of a run that is killed after that many file operations."""

    def __init__(self, tiny: TinyProject):
        shutil.copy(ROOT / "dagster.yaml", tiny.home)
        environment = os.environ | {
            "PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore", "DAGSTER_HOME": str(tiny.home),
            "DIAGNOSTIC_MIRROR": str(tiny.mirror),
        }  # fmt: skip
        self.process = subprocess.Popen(
            [sys.executable, "-c", DRIVER, str(tiny.folder)], cwd=tiny.home, env=environment, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.communicate(timeout=60)

    def __call__(self, operations: int) -> int:
        self.process.stdin.write(f"{operations}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())


def products(tiny: TinyProject) -> dict[str, Path]:
    """Every file that a reader would take for a product, by its place."""
    base = tiny.folder / "data"
    return {
        str(path.relative_to(base)): path
        for path in sorted(base.rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(base).parts)
    }


def leftovers(tiny: TinyProject) -> list[Path]:
    base = tiny.folder / "data"
    return [p for p in base.rglob(".*.*") if p.is_file() and ".locks" not in p.parts]


def assert_whole(path: Path) -> None:
    if path.suffix == ".parquet":
        pd.read_parquet(path)
    elif path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".html":
        assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")
    elif path.suffix == ".svg":
        assert path.read_text(encoding="utf-8").rstrip().endswith("</svg>")
    elif path.suffix == ".png":
        assert path.read_bytes().endswith(b"IEND\xaeB`\x82")


def test_killed_runs_end_like_an_undisturbed_one(tmp_path, monkeypatch):
    quiet, shaken = TinyProject(tmp_path / "quiet"), TinyProject(tmp_path / "shaken")
    with Runner(quiet) as run:
        assert run(NEVER) == 0
    copy = changes.read_copy(quiet.storage.processed, datetime.date.today(), "essai")
    facts = copy.facts.model_copy(update={"date": LONG_AGO})
    kept = changes.DatedCopy(facts, copy.values)
    for tiny in (quiet, shaken):
        changes.write_copy(kept, tiny.storage.processed)

    chance = random.Random(20261122)
    with Runner(shaken) as run:
        for _ in range(KILLS):
            assert run(chance.randint(1, 30)) == -signal.SIGKILL
            for path in products(shaken).values():
                assert_whole(path)
            pd.testing.assert_frame_equal(
                changes.read_copy(shaken.storage.processed, LONG_AGO, "essai").values, kept.values
            )
            for path in leftovers(shaken):
                os.utime(path, (time.time() - 7200,) * 2)
        assert run(NEVER) == 0
        assert run(NEVER) == 0
    assert leftovers(shaken) == []

    monkeypatch.setenv("DIAGNOSTIC_MIRROR", str(shaken.mirror))
    again = shaken.workshop()
    assert stale_assets(again) == stale_deliverables(again, "essai") == []
    assert figure_differences("essai", quiet.workshop(), again) == []
    values = pd.read_parquet(again.storage.values)
    row = values[(values["indicator_id"] == "pop_municipal") & (values["zone_code"] == "essai")]
    assert row["value"].tolist() == [sum(POPULATION[code] for code in CLS)]
    one, other = products(quiet), products(shaken)
    assert set(other) == set(one) | {name for name in other if name.endswith(("changes.md", "changes.html"))}
    for name, path in one.items():
        if path.suffix in (".png", ".svg"):
            assert path.read_bytes() == other[name].read_bytes(), name
