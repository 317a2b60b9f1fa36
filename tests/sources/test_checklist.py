"""The list of docs/sources.md and the catalogue say the same: every official card is there, and serves something."""

from __future__ import annotations

import re
from pathlib import Path

from official_layouts import CATALOG, FILES

PAGE = (Path(__file__).parents[2] / "docs" / "sources.md").read_text(encoding="utf-8")
SECTION = PAGE.partition("## Every open dataset")[2].partition("Open, and without a card")[0]
LINES = {
    cells[2].strip(" `"): [cell.strip() for cell in cells]
    for line in SECTION.splitlines()
    if len(cells := line.split("|")) == 7 and "`" in cells[2]
}
OFFICIAL = {
    source.id: [d for d in source.of_profile("official") if not d.address.startswith("package://")]
    for source in CATALOG.sources.values()
}


def test_every_official_card_has_its_line():
    assert set(LINES) == {dataset for dataset, distributions in OFFICIAL.items() if distributions}


def test_each_line_says_how_its_files_are_read_and_tested():
    for dataset, (_, _, _, layout, tested, *_) in LINES.items():
        layouts = {d.layout for d in OFFICIAL[dataset]}
        assert layouts == set(re.findall(r"\w+", layout)) & layouts, dataset
        seen = [(dataset, d.id) in FILES for d in OFFICIAL[dataset]]
        assert tested.startswith("documented") == any(seen), dataset
        assert ("joined" in layout) == bool(CATALOG.sources[dataset].joined), dataset
        assert ("by hand" in layout) == any(d.address.startswith("manual://") for d in OFFICIAL[dataset]), dataset


def test_each_card_gives_an_indicator_or_says_why_not():
    given = {
        term.variable
        for indicator in CATALOG.indicators.values()
        if (formula := indicator.formula_for("official")) and CATALOG.is_computable(indicator, "official")
        for term in formula.terms()
    }
    for dataset, cells in LINES.items():
        gives = cells[5]
        used = bool(given & set(CATALOG.sources[dataset].variables))
        assert used != gives.startswith(("no indicator: ", "geography")), dataset


def test_what_a_person_fills_in_says_nothing_of_the_communes_it_does_not_name():
    by_hand = {
        name
        for source, distributions in OFFICIAL.items()
        for d in distributions
        if d.address.startswith("manual://")
        for block in d.observations
        for name in block.values
        if CATALOG.sources[source].variables[name].absent == "zero"
    }
    assert by_hand == set()
