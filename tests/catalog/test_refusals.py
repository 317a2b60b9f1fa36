"""A card that is wrong gives one message that names the file, the key and the fix."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from diagnostics.catalog.loading import CATALOG, load_catalog
from diagnostics.errors import CatalogError

SOURCE = {
    "id": "demo",
    "title": "Jeu d’essai",
    "producer": "Insee",
    "licence": "Licence Ouverte 2.0",
    "homepage": "https://example.org",
    "citation": "Source : essai",
    "theme": "Population",
    "variables": {"people": {"label": "Habitants", "unit": "habitants"}},
    "distributions": [
        {
            "id": "file",
            "profiles": ["mirror"],
            "address": "mirror://demo/file.csv",
            "vintage": "2023",
            "layout": "csv",
            "observations": [
                {"geo": [{"type": "commune", "code": '"COM"'}], "period": "2023", "values": {"people": "POP"}}
            ],
        }
    ],
}
THEME = {
    "theme": "population",
    "title": "Population",
    "palette": "population",
    "indicators": [
        {
            "id": "pop_total",
            "label": "Population",
            "short": "Population",
            "definition": "Nombre d’habitants.",
            "unit": "habitants",
            "direction": "neutral",
            "formula": {"kind": "sum", "numerator": "people@2023"},
        }
    ],
}
TERRITORY = {
    "id": "petit-pays",
    "name": "Petit pays",
    "kind": "free",
    "cog_year": 2025,
    "communes": ["54001", "54002"],
    "axes": [{"id": "axe-1", "title": "Tout", "indicators": ["pop_total"]}],
    "source": "essai",
}


@pytest.fixture
def folder(tmp_path: Path):
    """Writes a small catalogue, with one part changed by the test."""

    def write(source=None, theme=None, territory=None) -> Path:
        cards = {
            "sources/demo.yaml": {**SOURCE, **(source or {})},
            "indicators/population.yaml": {**THEME, **(theme or {})},
            "territories/petit-pays.yaml": {**TERRITORY, **(territory or {})},
        }
        for name, card in cards.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(yaml.safe_dump(card, allow_unicode=True), encoding="utf-8")
        return tmp_path

    return write


def indicator(**changes) -> dict:
    return {"indicators": [{**THEME["indicators"][0], **changes}]}


def refusal(folder: Path) -> str:
    with pytest.raises(CatalogError) as caught:
        load_catalog(folder)
    return str(caught.value)


def test_the_small_catalogue_is_right(folder):
    assert list(load_catalog(folder()).indicators) == ["pop_total"]


def test_a_misspelt_key_is_named_with_the_right_one(folder):
    message = refusal(folder(source={"licensing": "Licence Ouverte"}))
    assert "sources/demo.yaml" in message
    assert "`licensing`" in message
    assert "licence" in message.split("licensing")[1]


def test_no_indicator_waits_for_a_dataset_that_no_run_fetches(folder):
    message = refusal(folder(source={"on_demand": True}))
    assert "sources/demo.yaml" in message
    assert "`on_demand: true`" in message
    assert "`pop_total`" in message


def test_an_unknown_variable_is_named_with_the_nearest(folder):
    message = refusal(folder(theme=indicator(formula={"kind": "sum", "numerator": "peple@2023"})))
    assert "indicators/population.yaml" in message
    assert "`pop_total`" in message
    assert "`peple`" in message
    assert "people" in message


def test_an_unknown_period_tells_those_that_exist(folder):
    message = refusal(folder(theme=indicator(formula={"kind": "sum", "numerator": "people@2019"})))
    assert "people@2019" in message
    assert "2023" in message


def test_a_doubled_commune_is_named(folder):
    message = refusal(folder(territory={"communes": ["54001", "54002", "54001"]}))
    assert "territories/petit-pays.yaml" in message
    assert "communes" in message
    assert "54001" in message
    assert "doublon" in message


def test_a_commune_code_that_lost_its_zero_is_refused(folder):
    assert "communes" in refusal(folder(territory={"communes": ["1001"]}))


def test_an_unknown_indicator_in_an_axis_is_named_with_the_nearest(folder):
    axes = [{"id": "axe-1", "title": "Tout", "indicators": ["pop_totl"]}]
    message = refusal(folder(territory={"axes": axes}))
    assert "territories/petit-pays.yaml" in message
    assert "`axe-1`" in message
    assert "`pop_totl`" in message
    assert "pop_total" in message


def test_an_indicator_neither_computed_nor_explained_is_refused(folder):
    card = {k: v for k, v in THEME["indicators"][0].items() if k != "formula"}
    message = refusal(folder(theme={"indicators": [card]}))
    assert "indicators/population.yaml" in message
    assert "unavailable" in message


def test_a_value_without_its_variable_is_refused(folder):
    block = {"geo": [{"type": "commune", "code": '"COM"'}], "period": "2023", "values": {"births": "NAIS"}}
    distribution = {**SOURCE["distributions"][0], "observations": [block]}
    message = refusal(folder(source={"distributions": [distribution]}))
    assert "sources/demo.yaml" in message
    assert "births" in message


def test_an_unknown_scheme_is_refused(folder):
    distribution = {**SOURCE["distributions"][0], "address": "ftp://demo/file.csv"}
    assert "mirror://" in refusal(folder(source={"distributions": [distribution]}))


def test_a_card_under_another_name_is_refused(folder):
    root = folder()
    (root / "sources" / "demo.yaml").rename(root / "sources" / "autre.yaml")
    message = refusal(root)
    assert "sources/autre.yaml" in message
    assert "demo" in message


def test_unreadable_yaml_tells_the_line(folder):
    root = folder()
    (root / "territories" / "petit-pays.yaml").write_text("id: petit-pays\naxes: [\n", encoding="utf-8")
    message = refusal(root)
    assert "territories/petit-pays.yaml" in message
    assert "ligne" in message


def test_the_delivered_catalogue_is_the_default():
    assert load_catalog().folder == CATALOG
