"""The parts of the report on concentrations and on types: what is said, counted, numbered, and said not to be known."""

from __future__ import annotations

import html
import re

import pandas as pd
import pytest

from diagnostics.indicators.patterns import CLASSES, CONCENTRATIONS, MORAN, TYPES, typed
from diagnostics.reporting.html import render_html
from diagnostics.reporting.patterns import PatternTables

MEMBERS = ["54001", "54002"]


def tables(map_file, clusters=("high_high", "not_significant"), classified=True) -> PatternTables:
    zones = [
        {"indicator_id": "unemployment_rate_rp", "zone_type": "commune", "zone_code": code, "inside": code in MEMBERS,
         "period": "2021", "cluster": cluster}
        for code, cluster in zip([*MEMBERS, "54999"], [*clusters, "low_low"], strict=True)
    ]  # fmt: skip
    moran = [
        {"indicator_id": "unemployment_rate_rp", "zone_type": "commune", "period": "2021", "morans_i": 0.4236,
         "expected": -0.01, "p_value": 0.001, "zones": 1234, "draws": 99_999, "departements": "54"},
        {"indicator_id": "income_median_uc", "reason": "trop peu de communes publiées"},
    ]  # fmt: skip
    classes = [
        {"zone_type": level, "class": k, "name": name, "description": "Chômage : 9,0 % contre 7,0 %", "zones": 600,
         "population": 1e6, "stability": 0.834, "stable": True, "variance": 0.8, "variables": 8}
        for level in ("commune", "epci")
        for k, name in ((1, "Chômage élevé, population âgée"), (2, "Revenus élevés"))
    ]  # fmt: skip
    types = [("epci", "200000011", 1), ("epci", "200000012", 1), ("commune", "54001", 2), ("commune", "54002", None)]
    return PatternTables(
        typed([pd.DataFrame(zones)], CONCENTRATIONS),
        typed([pd.DataFrame(moran)], MORAN),
        typed([pd.DataFrame(types if classified else types[:0], columns=["zone_type", "zone_code", "class"])], TYPES),
        typed([pd.DataFrame(classes if classified else [])], CLASSES),
        {"concentrations-unemployment_rate_rp": map_file, "typologie-epci": map_file},
    )


@pytest.fixture(scope="module")
def report(build, petr_values, map_file):
    return build(petr_values, maps={"unemployment_rate_rp": map_file}, patterns=tables(map_file))


def test_what_was_found_is_said_and_what_was_not_looked_at(report):
    patterns = report.patterns
    assert patterns.concentration_finding.startswith(
        "Sur 1\u00a0indicateur regardé, 1 fait ressortir une concentration"
    )
    (line,) = patterns.looked
    assert line.found == "1 commune sur 2 est dans une concentration de valeurs élevées"
    assert (line.zones, line.level, line.sure) == (1234, "communes", True)
    assert [reason for _, reason in patterns.not_looked] == ["trop peu de communes publiées"]


def test_maps_are_numbered_after_those_of_the_indicators(report):
    assert [figure.number for figure in report.patterns.maps] == [2, 3]
    caption = report.patterns.looked[0].map.caption
    assert "Indice de Moran 0,42 sur 1\u202f234 communes" in caption
    assert "99\u202f999 tirages" in caption


def test_types_are_counted_in_the_territory(report):
    epci, communes = report.patterns.types
    assert [line.own_count for line in epci.lines] == [2, 0]
    assert len(epci.lines[0].own) == 2
    assert [line.own_count for line in communes.lines] == [0, 1]
    assert communes.unclassified == 2
    assert "d’abord « chômage élevé, population âgée » (2)" in report.patterns.type_finding


def test_nothing_found_is_said_too(build, petr_values, map_file):
    quiet = build(petr_values, patterns=tables(map_file, clusters=("not_significant", "not_tested"))).patterns
    assert "aucun ne fait ressortir de concentration" in quiet.concentration_finding
    nothing = build(petr_values, patterns=tables(map_file, classified=False)).patterns
    assert nothing.types == ()
    assert "n’a pas pu être classé" in nothing.type_finding


def test_the_page_shows_both_parts_and_none_when_they_were_not_looked_for(report, build, petr_values):
    page = html.unescape(re.sub(r"<[^>]+>", " ", render_html(report)))
    assert "Concentrations dans l’espace" in page
    assert "trop peu de communes publiées" in page
    assert "(stabilité : 0,83 sur 1)" in page.replace("\u00a0", " ")
    without = render_html(build(petr_values))
    assert 'id="concentrations"' not in without
    assert 'href="#types"' not in without
