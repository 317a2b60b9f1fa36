"""A PETR over two départements and a commune of the same house, with every kind of figure a report can meet."""

from __future__ import annotations

import datetime
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image
from report_frames import membership_table, source_use, value_row, values_table, zones_table

from diagnostics.catalog import Catalog, Indicator, Source, Territory, Theme
from diagnostics.indicators.reading import read_out
from diagnostics.reporting import MapFile, Report, build_report
from diagnostics.reporting.place import Place

COMPUTED_ON = datetime.date(2026, 11, 22)
HOSTILE = '<script>alert("x")</script>'


def indicator(indicator_id: str, label: str, **other) -> Indicator:
    fields = {
        "short": label, "definition": f"Définition de l’indicateur : {label.lower()}", "unit": "%",
        "direction": "higher_is_worse",
        "formula": {"kind": "ratio", "numerator": "cases@2022", "denominator": "people@2022", "multiplier": 100},
    }  # fmt: skip
    return Indicator.model_validate({"id": indicator_id, "label": label} | fields | other)


@pytest.fixture(scope="session")
def catalog() -> Catalog:
    variables = {
        "cases": {"label": "Personnes concernées"},
        "people": {"label": "Population"},
        "income": {"label": "Niveau de vie médian"},
    }
    observed = {
        "geo": [{"type": "commune", "code": "C"}],
        "period": "2022",
        "values": {v: v.upper() for v in variables},
    }
    source = Source.model_validate(
        {
            "id": "insee_rp", "title": "Recensement de la population", "producer": "Insee",
            "licence": "Licence Ouverte 2.0", "homepage": "https://exemple.invalid/rp", "theme": "population",
            "citation": "Insee, Recensement de la population 2022.", "variables": variables,
            "distributions": [
                {"id": "main", "profiles": ["mirror", "embedded"], "address": "mirror://insee_rp/rp.csv",
                 "vintage": "2022", "layout": "export", "observations": [observed]}
            ],
        }
    )  # fmt: skip
    people = {"unit": "habitants", "direction": "neutral"}
    money = {"unit": "€", "decimals": 0, "direction": "higher_is_better"}
    published = {"kind": "published", "value": "income@2022"}
    total = {"kind": "sum", "numerator": "people@2022"}
    density = {"kind": "density", "numerator": "people@2022", "denominator": "people@2022"}
    themes = [
        Theme(
            theme="population", title="Population", palette="population",
            indicators=[
                indicator("pop_municipal", "Population municipale", formula=total, decimals=0, **people),
                indicator("pop_density", "Densité de population", formula=density, **people),
            ],
        ),
        Theme(
            theme="fragility", title="Fragilités", palette="fragility",
            indicators=[
                indicator("unemployment_rate_rp", "Taux de chômage", interval="wilson", reserve="Au recensement"),
                indicator("living_alone", "Personnes vivant seules"),
                indicator("income_median_uc", "Niveau de vie médian", formula=published, **money),
                indicator("apa_rate", "Bénéficiaires de l’APA", nature="context", direction="neutral"),
                indicator("apl_gp", "Accès aux généralistes", formula=None, formulas={"mirror": density}),
                indicator("withheld", "Indicateur retenu"),
                indicator("closed", "Refus de soins", formula=None, unavailable="donnée fermée, détenue par la CPAM"),
                indicator("partial", "Logements anciens"),
                indicator("hidden", "Évènements rares"),
                indicator("nowhere", "Indicateur absent"),
            ],
        ),
    ]  # fmt: skip
    return Catalog(Path("catalog"), {"insee_rp": source}, {theme.theme: theme for theme in themes}, {})


@pytest.fixture(scope="session")
def petr() -> Territory:
    access = ["unemployment_rate_rp", "income_median_uc", "apl_gp"]
    autonomy = ["apa_rate", "living_alone", "withheld", "closed", "partial", "hidden", "nowhere"]
    return Territory.model_validate(
        {
            "id": "val-test", "name": "PETR Val de Test", "kind": "petr", "siren": "200000001", "cog_year": 2025,
            "contract": "Contrat 2025-2029", "source": "Arrêté préfectoral",
            "communes": ["54001", "54002", "57001"],
            "epci": [{"siren": "200000011", "name": "CC Un"}, {"siren": "200000012", "name": "CC Deux"}],
            "axes": [
                {"id": "a1", "title": "Accès aux soins", "indicators": access, "complementary": ["living_alone"]},
                {"id": "a2", "title": "Autonomie", "indicators": autonomy},
                {"id": "a3", "title": "Santé mentale"},
            ],
        }
    )  # fmt: skip


@pytest.fixture(scope="session")
def membership():
    rest = {"region": "44"}
    return membership_table(
        {
            "54001": {"epci": "200000011", "departement": "54", "cls": "val-test", "petr": "200000001"} | rest,
            "54002": {"epci": "200000011", "departement": "54", "cls": "val-test", "petr": "200000001"} | rest,
            "57001": {"epci": "200000012", "departement": "57", "cls": "val-test", "petr": "200000001"} | rest,
            "38001": {"epci": "200000099", "departement": "38", "cls": "ville", "region": "84"},
            "38002": {"epci": "200000099", "departement": "38", "region": "84"},
        },
        iris={"380010101": "38001", "380010102": "38001"},
    )


@pytest.fixture(scope="session")
def zones():
    names = {
        ("commune", "54001"): HOSTILE, ("commune", "54002"): "Bourg", ("commune", "57001"): "Hameau",
        ("commune", "38001"): "Échirolles", ("commune", "38002"): "Autre",
        ("epci", "200000011"): HOSTILE, ("epci", "200000012"): "CC Deux", ("epci", "200000099"): "Métropole Test",
        ("departement", "54"): "Meurthe-et-Moselle", ("departement", "57"): "Moselle", ("departement", "38"): "Isère",
        ("region", "44"): "Grand Est", ("region", "84"): "Auvergne-Rhône-Alpes", ("france", "FR"): "France",
        ("iris", "380010101"): "Centre",
    }  # fmt: skip
    return zones_table(names, tncc={("departement", "57"): "3", ("departement", "54"): "0"})


ABOVE = (("departement", "54"), ("departement", "57"), ("region", "44"), ("france", "FR"))


@pytest.fixture(scope="session")
def petr_values():
    """Chosen so that each comparison, flag and reason of absence is met once."""
    own = ("cls", "val-test")
    rows = [
        value_row("pop_municipal", *own, 12345, method="sum"),
        value_row("pop_density", *own, 61.7, numerator=12345, denominator=200.0, reliability="snapshot", period="2021"),
        value_row("unemployment_rate_rp", *own, 14.25, ci_low=13.5, ci_high=15.0, comparison="worse"),
        value_row("unemployment_rate_rp", "epci", "200000011", 16.0, ci_low=15.0, ci_high=17.0, coverage=1.0),
        value_row("unemployment_rate_rp", "epci", "200000012", 10.0, ci_low=9.0, ci_high=11.0, reliability="unstable"),
        value_row("unemployment_rate_rp", "departement", "54", 14.0),
        value_row("unemployment_rate_rp", "departement", "57", 15.5),
        value_row("unemployment_rate_rp", "region", "44", 12.0, coverage=0.9994),
        value_row("unemployment_rate_rp", "france", "FR", 11.5),
        value_row("unemployment_rate_rp", "commune", "54001", None, numerator=3, reliability="masked"),
        value_row("unemployment_rate_rp", "commune", "54002", 0.0),
        value_row("living_alone", *own, 22.2, comparison="not_compared"),
        *(value_row("living_alone", *zone, 20.0) for zone in ABOVE[:3]),
        value_row("living_alone", "france", "FR", 21.0, period="2021"),
        value_row("income_median_uc", *own, None, reliability="incomplete", coverage=0.0),
        value_row("income_median_uc", "epci", "200000011", 21340.0),
        value_row("income_median_uc", "epci", "200000012", 24110.0),
        *(value_row("income_median_uc", *zone, 22000.0) for zone in ABOVE),
        *(value_row("apa_rate", *zone, 71.5, reliability="context") for zone in ABOVE),
        value_row("withheld", *own, None, reliability="incomplete", coverage=0.412),
        value_row("hidden", *own, None, numerator=4, reliability="masked"),
        value_row("partial", *own, 33.0, reliability="incomplete", coverage=0.975),
    ]
    return values_table(*rows)


@pytest.fixture(scope="session")
def map_file(tmp_path_factory) -> MapFile:
    path = tmp_path_factory.mktemp("maps") / "chomage.png"
    Image.new("RGB", (2000, 1400), "white").save(path)
    return MapFile(path, path.with_suffix(".svg"), "Carte du chômage : le nord du territoire est le plus touché.")


@pytest.fixture(scope="session")
def build(petr, catalog, zones, membership):
    """`build_report` on the house's tables: give the values, and what a test wants otherwise.

    `classes`: the class of deprivation of each commune, none unless given.
    """

    def built(values, territory=petr, classes=None, **other) -> Report:
        fields = {
            "zones": zones, "membership": membership, "sources": [source_use("insee_rp")],
            "maps": {}, "points_of_vigilance": None, "profile": "mirror",
            "computed_on": COMPUTED_ON,
        }  # fmt: skip
        fields |= other
        around = Place(territory, fields["zones"], fields["membership"]).around
        classes = pd.Series(dtype=float) if classes is None else classes
        reading = read_out(list(catalog.indicators.values()), fields["profile"], values, around, classes)
        return build_report(territory, catalog, reading, **fields)

    return built


@pytest.fixture(scope="session")
def report(build, petr_values, map_file) -> Report:
    return build(petr_values, maps={"unemployment_rate_rp": map_file}, profile="embedded")


@pytest.fixture(scope="session")
def commune_report(build, petr) -> Report:
    other = {"id": "ville", "name": "Échirolles", "kind": "commune", "siren": None, "communes": ["38001"], "epci": []}
    card = petr.model_copy(update=other)
    keys = [("cls", "ville"), ("commune", "38001"), ("epci", "200000099"), ("departement", "38"), ("france", "FR")]
    rows = [value_row("unemployment_rate_rp", *key, 15.0, ci_low=14.0, ci_high=16.0) for key in keys]
    rows += [
        value_row("unemployment_rate_rp", "iris", "380010101", 18.5, ci_low=10.0, ci_high=27.0, reliability="unstable"),
        value_row("unemployment_rate_rp", "iris", "380010102", None, reliability="masked"),
        value_row("income_median_uc", "commune", "38001", 19500.0),
        value_row("income_median_uc", "epci", "200000099", 23000.0),
    ]
    return build(values_table(*rows), card)
