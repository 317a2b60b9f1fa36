"""The code location as the server loads it, and the UI in a real browser."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import TimeoutError as TooLong
from playwright.sync_api import expect, sync_playwright
from tiny import CLS, POPULATION

# These tests start servers and browsers: beside one another they would only wait for each other.
pytestmark = pytest.mark.xdist_group("processes")

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 240
"""Seconds: a machine under load takes its time, and a test that waits less would say so instead of telling a fault."""

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
    done = defs.resolve_job_def(sys.argv[2]).execute_in_process(instance=instance, raise_on_error=False)
sys.exit(0 if done.success else 1)
"""


def test_the_server_accepts_the_project_as_it_is_declared(tmp_path):
    environment = os.environ | {"DAGSTER_HOME": str(tmp_path), "DIAGNOSTIC_DATA": str(tmp_path / "data")}
    shutil.copy(ROOT / "dagster.yaml", tmp_path)
    done = subprocess.run(
        [Path(sys.executable).parent / "dagster", "definitions", "validate"], cwd=ROOT, env=environment,
        capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (tmp_path / "data").exists(), "loading the code location must write nothing"


def test_loading_reads_the_catalogue_and_nothing_else():
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
        [sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


# --- a real browser --------------------------------------------------------------------------------------------------


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


def run(project, job):
    """The exit code of a job made by a process of its own: what the server shows of it comes from the history."""
    return command(project, "-c", RUN, str(project.folder), job).wait(timeout=PATIENCE)


@pytest.fixture
def ui(project):
    """The address of the UI, started as `make ui` does, with its daemon."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    where = ["-h", "127.0.0.1", "-p", str(port), "-f", str(project.folder / "definitions.py")]
    server = command(project, "-m", "dagster", "dev", *where)
    try:
        address, limit = f"http://127.0.0.1:{port}", time.monotonic() + PATIENCE
        while not _answers(address):
            assert server.poll() is None, "the server stopped at once"
            assert time.monotonic() < limit, "the server did not start"
            time.sleep(0.5)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(timeout=PATIENCE)


def _answers(address):
    try:
        with urllib.request.urlopen(f"{address}/server_info", timeout=5):
            return True
    except OSError:
        return False


@pytest.fixture
def page():
    """A page of the Chromium of this machine."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if found is None:
        pytest.skip("Chromium absent de cette machine : l'interface n'est pas ouverte dans un vrai navigateur")
    expect.set_options(timeout=PATIENCE * 1000)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"], timeout=PATIENCE * 1000)
        opened = browser.new_page(viewport={"width": 1500, "height": 1200})
        opened.set_default_timeout(PATIENCE * 1000)
        yield opened
        browser.close()


def test_a_first_visit(project, page, ui):
    """The lineage, one territory materialised, its map on its page, and a check that failed, explained."""
    assert run(project, "indicateurs_france") == 0

    page.goto(f"{ui}/asset-groups")
    for group in ("g0_producteurs", "g1_fichiers_bruts", "g4_indicateurs", "g5_cartes", "g8_suivi"):
        expect(page.get_by_text(group).first).to_be_visible()

    page.goto(f"{ui}/assets/territories/maps")
    page.get_by_role("button", name="Materialize").first.click()
    page.get_by_text("Select a partition").click()
    page.get_by_text("essai", exact=True).first.click()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Launch 1 run").click()
    drawn = page.get_by_role("img", name="Densité de pharmacies").first
    limit = time.monotonic() + PATIENCE
    while not _appears(drawn):
        assert time.monotonic() < limit, "the map did not come"
        page.reload()
    assert drawn.evaluate("image => image.decode().then(() => image.naturalWidth)") > 300

    project.publish("population", POPULATION | {CLS[0]: 5000})
    assert run(project, "indicateurs_france") == 1
    page.goto(f"{ui}/assets/observations/population?view=checks&checkDetail=contrat")
    expect(page.get_by_text("clause non tenue").first).to_be_visible()
    expect(page.get_by_text("NON TENUE").first).to_be_visible()


def _appears(locator):
    try:
        locator.wait_for(timeout=5000)
    except TooLong:
        return False
    return True
