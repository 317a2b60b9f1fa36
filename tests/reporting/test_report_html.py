"""`rapport.html`: one file, French, accessible, safe."""

from __future__ import annotations

import itertools
import re
import shutil
import subprocess

import pytest
from bs4 import BeautifulSoup

from diagnostics.reporting import render_html, write_html
from diagnostics.reporting.html import css_string

HOSTILE = '<script>alert("x")</script>'


@pytest.fixture(scope="module")
def page(report) -> str:
    return render_html(report)


@pytest.fixture(scope="module")
def soup(page):
    return BeautifulSoup(page, "html.parser")


@pytest.fixture(scope="module")
def visible(page) -> str:
    """What a reader sees, but for addresses, names of licences and other words quoted as they are."""
    soup = BeautifulSoup(page, "html.parser")
    for hidden in soup.select("style, script, .verbatim"):
        hidden.decompose()
    return soup.get_text(" ")


def test_it_is_french_and_of_one_file(soup):
    assert soup.html["lang"] == "fr"
    assert not soup.select("script, link, iframe")
    embedded = [tag["src"] for tag in soup.select("img, source")]
    assert embedded
    assert all(source.startswith("data:image/png;base64,") for source in embedded)
    addresses = re.findall(r"url\(([^)]{0,40})", soup.style.string)
    assert addresses
    assert all(address.startswith("data:") for address in addresses)


def test_no_identifier_is_visible(visible, catalog):
    for identifier in [*catalog.indicators, *catalog.themes, "not_compared", "val-test", "insee_rp"]:
        if "_" in identifier or "-" in identifier:
            assert not re.search(rf"(?<!Fichier )\b{identifier}\b", visible), identifier


def test_no_wrong_decimal_mark_and_no_leftover(visible):
    assert not re.search(r"\d\.\d", visible)
    for leftover in ("nan", "None", "{{", "}}", "Undefined", "inf "):
        assert leftover not in visible


def test_no_mark_can_begin_a_line(visible):
    assert not re.findall(r"\w [:;?!»]|\d %", visible)


def test_headings_go_down_one_step_at_a_time(soup):
    levels = [int(tag.name[1]) for tag in soup.find_all(re.compile(r"^h[1-6]$"))]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_identifiers_are_unique_and_inner_links_arrive(soup):
    identifiers = [tag["id"] for tag in soup.select("[id]")]
    assert len(identifiers) == len(set(identifiers))
    targets = [a["href"][1:] for a in soup.select('a[href^="#"]')]
    assert targets
    assert set(targets) <= set(identifiers)
    labels = [name for tag in soup.select("[aria-labelledby]") for name in tag["aria-labelledby"].split()]
    assert set(labels) <= set(identifiers)


def test_pictures_speak(soup):
    assert all(image["alt"].strip() for image in soup.select("img"))
    assert all(figure.figcaption.get_text(strip=True) for figure in soup.select("figure"))


def test_tables_have_a_caption_scopes_and_whole_rows(soup):
    for table in soup.select("table"):
        assert table.caption.get_text(strip=True)
        assert all(th.get("scope") for th in table.select("th"))
        width = len(table.select("thead th"))
        for row in table.select("tbody tr"):
            assert sum(int(cell.get("colspan", 1)) for cell in row.find_all(["td", "th"])) == width


def test_landmarks_and_skip_link(soup):
    assert soup.body.find(True)["href"] == "#contenu"
    assert soup.select_one("main#contenu")
    assert soup.select_one("header")
    assert soup.select_one("nav[aria-labelledby]")
    assert soup.select_one("footer")


def test_no_part_is_empty(soup):
    for part in soup.select("section, article, figure, table, ul, ol, dl"):
        assert part.get_text(strip=True) or part.img, part
    for section in soup.select("section"):
        body = section.get_text(" ", strip=True).removeprefix(section.find(re.compile("^h")).get_text(" ", strip=True))
        assert body.strip()


def test_hostile_names_are_text(page, soup):
    assert HOSTILE not in page
    assert HOSTILE in soup.get_text()


def test_flags_are_shown(visible):
    assert "repère calculé antérieurement (millésime 2021)" in visible
    assert "couvre 97,5" in visible
    assert "Valeurs communales masquées" in visible


def test_colour_never_stands_alone(soup):
    for dot in soup.select(".dot"):
        assert dot.parent.get_text(strip=True)


def test_sources_can_be_walked_back(soup):
    (entry,) = soup.select("#source-1")
    text = entry.get_text(" ")
    for part in ("2022", "Licence Ouverte 2.0", "https://exemple.invalid/insee_rp.csv", "SHA-256"):
        assert part in text
    assert soup.select('.method a[href="#source-1"]')


def test_a_page_title_cannot_leave_its_css_string():
    assert css_string('a"; } body { x') == '"a\\22 \\3b \\20 \\7d \\20 body\\20 \\7b \\20 x"'


def test_a_commune_shows_its_iris_and_masks_them(commune_report):
    soup = BeautifulSoup(render_html(commune_report), "html.parser")
    cells = {row.th.get_text(strip=True): row.td.get_text(" ", strip=True) for row in soup.select(".matrix tbody tr")}
    assert cells["IRIS 0102"] == "masqué"
    assert cells["Centre"].startswith("18,5")


def test_the_same_report_gives_the_same_page(report, page, tmp_path):
    write_html(report, tmp_path / "out" / "rapport.html")
    assert (tmp_path / "out" / "rapport.html").read_text(encoding="utf-8") == page
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["rapport.html"]


CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium absent : la largeur sur téléphone n'est pas vérifiée")
def test_a_phone_never_scrolls_sideways(page, tmp_path):
    """Loads the page in a frame of 320 px and lets the browser say how wide it is."""
    (tmp_path / "rapport.html").write_text(page, encoding="utf-8")
    (tmp_path / "frame.html").write_text(
        '<iframe id="f" src="rapport.html" style="width:320px;height:900px;border:0"></iframe><script>'
        "onload=()=>{const d=document.getElementById('f').contentDocument.documentElement;"
        "document.title='x';document.body.append('width='+d.scrollWidth)}</script>",
        encoding="utf-8",
    )
    command = [
        CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}", "--virtual-time-budget=5000",
        "--dump-dom", (tmp_path / "frame.html").as_uri(),
    ]  # fmt: skip
    dom = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
    assert int(re.search(r"width=(\d+)", dom)[1]) <= 320
