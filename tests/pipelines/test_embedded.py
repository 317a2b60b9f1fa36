"""The default run, whole: from nothing but the package index to a report worth opening."""

import os
import re
import subprocess
import sys
import zipfile
from html.parser import HTMLParser
from pathlib import Path

import duckdb
import pytest

ROOT = Path(__file__).resolve().parents[2]


class Page(HTMLParser):
    """Visible text, pictures and headings of a page."""

    def __init__(self):
        super().__init__()
        self.text, self.pictures, self.skip = [], [], 0

    def handle_starttag(self, tag, attrs):
        self.skip += tag in ("style", "script", "svg")
        if tag == "img":
            self.pictures.append(dict(attrs))

    def handle_endtag(self, tag):
        self.skip -= tag in ("style", "script", "svg")

    def handle_data(self, data):
        if not self.skip:
            self.text.append(data)


@pytest.fixture
def products(embedded_data):
    return embedded_data / "processed"


@pytest.fixture
def diagnostic(embedded_data):
    """The command, on the shared products: for what must change nothing."""
    env = {k: v for k, v in os.environ.items() if not k.startswith("DIAGNOSTIC_")}
    env |= {"DIAGNOSTIC_DATA": str(embedded_data), "DAGSTER_HOME": str(embedded_data.parent)}

    def run(*arguments):
        return subprocess.run(
            [sys.executable, "-m", "pipelines.cli", *arguments],
            cwd=ROOT, env=env, capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip

    return run


def page_of(products, territory):
    page = Page()
    page.feed((products / "territories" / territory / "rapport.html").read_text(encoding="utf-8"))
    return page


@pytest.mark.parametrize("territory", ["val-de-lorraine", "saint-egreve"])
def test_the_report_shows_french_numbers_and_no_identifier(products, territory):
    text = " ".join(page_of(products, territory).text)
    addresses = r"\S*(https?|package|mirror|snapshot)://\S+|[0-9a-f]{12,}"
    versions = r"\b\d+\.\d+\.\d+\b|(Ouverte|ODbL|EUPL) \d\.\d"
    prose = re.sub(f"{addresses}|{versions}", "", text)
    assert not re.findall(r"(?<![\d.])\d+\.\d+(?![\d.])", prose)
    assert not re.findall(r"\b[a-z]+(?:_[a-z0-9]+)+\b", prose)


@pytest.mark.parametrize("territory", ["val-de-lorraine", "saint-egreve"])
def test_every_picture_of_the_report_has_words(products, territory):
    pictures = page_of(products, territory).pictures
    assert pictures
    assert all(len(p.get("alt", "")) > 20 for p in pictures)
    assert all(p["src"].startswith("data:image/") for p in pictures)


def test_the_snapshot_is_said_to_be_one(products):
    assert "repère calculé antérieurement" in " ".join(page_of(products, "val-de-lorraine").text)


def test_the_public_table_keeps_its_contract(products):
    path = str(products / "indicators" / "values.parquet")
    twice = duckdb.sql(
        f"select count(*) from (select 1 from '{path}' "
        "group by indicator_id, zone_type, zone_code, period having count(*) > 1)"
    ).fetchall()[0][0]
    assert twice == 0
    words = dict(duckdb.sql(f"select 'r', list(distinct reliability) from '{path}'").fetchall())["r"]
    assert set(words) <= {"ok", "unstable", "masked", "context", "modelled", "incomplete", "snapshot"}
    hidden = duckdb.sql(f"select count(value) from '{path}' where reliability = 'masked'").fetchall()[0][0]
    assert hidden == 0
    population = duckdb.sql(
        f"select value from '{path}' where indicator_id = 'pop_municipal' and zone_type = 'cls' "
        "and zone_code = 'val-de-lorraine'"
    ).fetchall()[0][0]
    assert population == 118_025


def test_the_annex_is_a_workbook(products):
    with zipfile.ZipFile(products / "territories" / "val-de-lorraine" / "annexe.xlsx") as book:
        assert book.testzip() is None


def test_a_second_run_makes_nothing_anew(products, diagnostic):
    report = products / "territories" / "val-de-lorraine" / "rapport.html"
    before = report.stat().st_mtime_ns
    second = diagnostic("run", "val-de-lorraine", "saint-egreve")
    assert "Tout est à jour" in second.stdout
    assert report.stat().st_mtime_ns == before


def test_a_new_territory_is_checked_before_its_card_is_written(diagnostic, tmp_path):
    codes = tmp_path / "communes.txt"
    codes.write_text("54395\n54999\n", encoding="utf-8")
    answer = diagnostic("new-territory", "--id", "essai-perimetre", "--name", "Essai", "--communes", str(codes))
    assert answer.returncode == 4, answer.stderr
    assert "54999" in answer.stderr
    assert not (ROOT / "catalog" / "territories" / "essai-perimetre.yaml").exists()
