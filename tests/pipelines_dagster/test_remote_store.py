"""The whole pipeline on an object store: the same products as on a disk, and nothing half-written by a killed run."""

from __future__ import annotations

import os
import random
import shutil
import signal
import subprocess
import sys

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from tiny import CLS, SUPPLY

from diagnostics.products.sameness import compare
from diagnostics.storage import PROJECT_ROOT, Storage, on_disk
from pipelines.definitions import build_definitions
from pipelines.jobs import DELIVERABLES, DIAGNOSTIC
from pipelines.stale import stale_assets, stale_deliverables


@pytest.fixture
def remote(tiny_project, bucket, tmp_path, monkeypatch):
    """The tiny project's products in a bucket; its raw files stay in its folder."""
    root = f"{bucket}/essai"
    monkeypatch.setenv("DIAGNOSTIC_DATA", root)
    monkeypatch.setenv("DIAGNOSTIC_FILES", str(tiny_project.folder / "data"))
    monkeypatch.setenv("DIAGNOSTIC_CACHE", str(tmp_path / "cache"))
    return Storage.from_environment()


def make(tiny, job, territory):
    with dg.DagsterInstance.ephemeral() as instance:
        definitions = build_definitions(workshop=tiny.workshop())
        done = definitions.resolve_job_def(job).execute_in_process(instance=instance, partition_key=territory)
        assert done.success


def test_the_products_are_those_of_a_disk(tiny_project, remote):
    disk = tiny_project.storage
    for storage in (disk, remote):
        tiny_project.storage = storage
        make(tiny_project, DIAGNOSTIC, "essai")
        make(tiny_project, DELIVERABLES, "autre")
        # The database also holds the concentrations of « autre », which came after it.
        assert stale_assets(tiny_project.workshop()) == [("indicators", "database")]
        assert stale_deliverables(tiny_project.workshop(), "essai") == []
    found = compare(disk.processed, remote.processed)
    assert (found.different, found.absent) == ([], [])
    dated = {"indicators.parquet", "carto.gpkg", "datapackage.json", "values.parquet", "diagnostic.duckdb"}
    assert {name.rpartition("/")[2] for name in found.same} <= dated
    assert {"territories/essai/rapport.html", "territories/essai/annexe.xlsx"} <= set(found.identical)
    assert not [path for path in (tiny_project.folder / "data").rglob("*") if "s3" in path.name]


def change(path, column, how):
    table = pq.read_table(path)
    place = table.column_names.index(column)
    pq.write_table(table.set_column(place, column, how(table[column])), path)


def test_a_difference_is_seen(tiny_project, tmp_path):
    make(tiny_project, DIAGNOSTIC, "essai")
    processed, copy = tiny_project.storage.processed, tmp_path / "copy"
    shutil.copytree(processed.path, copy)
    assert compare(processed, copy).same == []
    values = copy / "indicators" / "values.parquet"
    change(values, "computed_at", lambda column: pc.add(column, pa.scalar(3600, pa.duration("s"))))
    assert compare(processed, copy).same == ["indicators/values.parquet"]
    change(values, "value", lambda column: pc.add(column, 1.0))
    (copy / "territories" / "essai" / "annexe.xlsx").unlink()
    found = compare(processed, copy)
    assert (found.different, found.absent) == (["indicators/values.parquet"], ["territories/essai/annexe.xlsx"])


RUN = """
import sys
import dagster as dg
from diagnostics.catalog import load_catalog
from diagnostics.storage import Storage
from diagnostics.workshop import Workshop
from pipelines.definitions import build_definitions
workshop = Workshop(load_catalog(sys.argv[1]), "mirror", Storage.from_environment())
with dg.DagsterInstance.ephemeral() as instance:
    job = build_definitions(workshop=workshop).resolve_job_def("diagnostic_complet")
    job.execute_in_process(instance=instance, partition_key="essai")
"""


def test_killed_runs_leave_no_half_object_no_lock_and_no_lost_history(tiny_project, remote):
    tiny_project.storage = remote
    make(tiny_project, DIAGNOSTIC, "essai")
    history = {path.path: path.read_bytes() for path in (remote.processed / "history").rglob("*") if path.is_file()}
    tiny_project.publish("pharmacies", {code: value + 1 for code, value in SUPPLY.items()})
    chance = random.Random(20261122)
    environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT), "PYTHONWARNINGS": "ignore"}
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", RUN, str(tiny_project.catalog_folder)], env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            process.wait(timeout=chance.uniform(4.0, 8.0))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        objects = [path for path in remote.processed.rglob("*") if path.is_file()]
        assert not [path for path in objects if path.name.startswith(".")]
        for path in objects:
            if path.suffix == ".parquet":
                pd.read_parquet(on_disk(path))
        assert history.keys() <= {path.path for path in objects}
    make(tiny_project, DIAGNOSTIC, "essai")
    assert stale_assets(tiny_project.workshop()) == []
    values = pd.read_parquet(on_disk(remote.values))
    row = values[(values["indicator_id"] == "pharmacy_density_10k") & (values["zone_code"] == "essai")]
    assert row["numerator"].tolist() == [sum(SUPPLY[code] + 1 for code in CLS)]
