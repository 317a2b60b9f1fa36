"""The code location as the server loads it, the UI in a real browser, and runs killed in the middle."""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pandas as pd
import pytest
from tiny import CLS, POPULATION

ROOT = Path(__file__).resolve().parents[2]
DEFINITIONS = """
from pathlib import Path
from upath import UPath
from diagnostics.catalog import load_catalog
from diagnostics.storage import Storage
from diagnostics.workshop import Workshop
from pipelines.definitions import build_definitions

here = Path(__file__).parent
defs = build_definitions(workshop=Workshop(load_catalog(here / "catalog"), "mirror", Storage(UPath(here / "data"))))
"""
RUN = """
import sys
import dagster as dg
sys.path.insert(0, sys.argv[1])
from definitions import defs
with dg.DagsterInstance.get() as instance:
    job = defs.resolve_job_def(sys.argv[2])
    done = job.execute_in_process(instance=instance, partition_key=sys.argv[3] or None, raise_on_error=False)
sys.exit(0 if done.success else 1)
"""


@pytest.fixture
def project(tiny_project):
    """The tiny project with the file that a server loads and the house's `dagster.yaml`."""
    (tiny_project.folder / "definitions.py").write_text(DEFINITIONS, encoding="utf-8")
    shutil.copy(ROOT / "dagster.yaml", tiny_project.home)
    return tiny_project


def command(project, *arguments):
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"}
    return subprocess.Popen(
        [sys.executable, *arguments], cwd=project.home, env=environment, stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL, start_new_session=True,
    )  # fmt: skip


def run(project, job, partition=""):
    return command(project, "-c", RUN, str(project.folder), job, partition)


def test_the_server_accepts_the_project_as_it_is_declared(tmp_path):
    environment = os.environ | {"DAGSTER_HOME": str(tmp_path), "DIAGNOSTIC_DATA": str(tmp_path / "data")}
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    done = subprocess.run(
        [Path(sys.executable).parent / "dagster", "definitions", "validate"], cwd=ROOT, env=environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "data").exists(), "loading the code location must write nothing"


def test_loading_reads_the_catalogue_and_nothing_else(tmp_path):
    program = """
import sys
opened = []
def audit(event, arguments):
    if event == "socket.connect": opened.append(str(arguments))
    if event == "open" and str(arguments[0]).endswith((".parquet", ".csv", ".receipt.json")):
        opened.append(str(arguments[0]))
sys.addaudithook(audit)
import pipelines.definitions
sys.exit("\\n".join(opened) or 0)
"""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_runs_killed_at_random_moments_leave_no_half_product(project):
    chance = random.Random(20261122)
    for _ in range(3):
        process = run(project, "diagnostic_complet", "essai")
        try:
            process.wait(timeout=chance.uniform(3.0, 9.0))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        for path in (project.folder / "data" / "processed").rglob("*.parquet"):
            if not path.name.startswith("."):
                pd.read_parquet(path)
    assert run(project, "diagnostic_complet", "essai").wait(timeout=300) == 0
    workshop = project.workshop()
    values = pd.read_parquet(workshop.storage.values)
    row = values[(values["indicator_id"] == "pop_municipal") & (values["zone_code"] == "essai")]
    assert row["value"].tolist() == [sum(POPULATION[code] for code in CLS)]
    assert workshop.is_current("values")
    assert workshop.is_current("report/essai")


# --- a real browser --------------------------------------------------------------------------------------------------


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Ui:
    """`dagster-webserver` on loopback, and what Chromium shows of its pages."""

    def __init__(self, project, browser):
        self.project, self.browser, self.port = project, browser, free_port()

    def __enter__(self):
        arguments = ["-h", "127.0.0.1", "-p", str(self.port), "-f", str(self.project.folder / "definitions.py")]
        self.process = command(self.project, "-m", "dagster_webserver", *arguments)
        for _ in range(240):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/server_info", timeout=2):
                    return self
            except OSError:
                time.sleep(0.5)
        self.__exit__()
        raise AssertionError("the web server did not start")

    def __exit__(self, *_):
        os.killpg(self.process.pid, signal.SIGTERM)
        self.process.wait(timeout=30)

    def page(self, path):
        done = subprocess.run(
            [
                self.browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1500,1700",
                f"--user-data-dir={self.project.folder / 'browser'}", "--virtual-time-budget=30000", "--dump-dom",
                f"http://127.0.0.1:{self.port}/{path}",
            ],
            capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return done.stdout


@pytest.fixture
def browser():
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        pytest.skip("Chromium absent de cette machine : l'interface n'est pas ouverte dans un vrai navigateur")
    return found


def test_the_ui_shows_the_flow_a_map_and_an_explained_failure_after_a_restart(project, browser):
    assert run(project, "diagnostic_complet", "essai").wait(timeout=300) == 0
    project.publish("population", POPULATION | {CLS[0]: 5000})
    assert run(project, "indicateurs_france").wait(timeout=300) == 1
    # Each block is a server of its own: what the second shows is what survived the first.
    with Ui(project, browser) as ui:
        assert "g1_fichiers_bruts" in ui.page("asset-groups")
        assert "Carte : Densité de pharmacies" in ui.page("assets/territories/maps")
    with Ui(project, browser) as ui:
        check = ui.page("assets/observations/population?view=checks&checkDetail=contrat")
        assert "Failed" in check
        assert "clause non tenue" in check
        assert "diagnostic_complet" in ui.page("runs")
