"""The atlas of a CLS on an invented country: which zones, which marks, which words."""

import datetime

import geopandas as gpd
import pandas as pd
import pytest
from shapely.geometry import box

from diagnostics.cartography.atlas import Land, atlas, told_once
from diagnostics.cartography.kept import sheet_digests
from diagnostics.cartography.page import MARK_LIMIT
from diagnostics.catalog import Catalog, Source, Territory, Theme

SIDE = 4_000


def country(members, epci_of):
    """A grid of square communes in EPSG:2154; `members` belong to the CLS."""
    codes = list(epci_of)
    corners = [(9e5 + SIDE * (i % 4), 68e5 + SIDE * (i // 4)) for i in range(len(codes))]
    frame = gpd.GeoDataFrame(
        {"code": codes, "name": [f"Commune {c}" for c in codes]},
        geometry=[box(x, y, x + SIDE, y + SIDE) for x, y in corners],
        crs=2154,
    )  # fmt: skip
    links = []
    for code, epci in epci_of.items():
        parents = [("commune", code), ("epci", epci), ("departement", "54"), ("region", "44"), ("france", "FR")]
        parents += [("cls", "essai")] if code in members else []
        links += [("commune", code, kind, parent) for kind, parent in parents]
    membership = pd.DataFrame(links, columns=["child_type", "child_code", "parent_type", "parent_code"])
    names = {
        ("cls", "essai"): "CLS d'essai",
        ("departement", "54"): "Meurthe-et-Moselle",
        ("region", "44"): "Grand Est",
    }
    names |= {("epci", e): f"Communauté de communes {e}" for e in set(epci_of.values())} | {("france", "FR"): "France"}
    zones = pd.DataFrame([(*k, v) for k, v in names.items()], columns=["zone_type", "zone_code", "zone_name"])
    territory = Territory.model_validate(
        {
            "id": "essai", "name": "CLS d'essai", "kind": "free", "cog_year": 2025, "communes": sorted(members),
            "axes": [{"id": "A", "title": "Axe", "indicators": ["share", "sites", "hidden"]}], "source": "essai",
        }
    )  # fmt: skip
    populations = pd.Series(dict.fromkeys(codes, 1000.0))
    return Land.of(territory, {2154: frame}, membership, zones, populations)


def catalog():
    base = {"definition": "d", "direction": "higher_is_worse", "unavailable": "essai"}
    theme = Theme.model_validate(
        {
            "theme": "essai", "title": "Essai", "palette": "care",
            "indicators": [
                {"id": "share", "label": "Une part", "short": "Part", "unit": "%", **base},
                {"id": "sites", "label": "Des sites", "short": "Sites", "unit": "sites", "map": "symbols",
                 "decimals": 0, **base},
                {"id": "hidden", "label": "Cachée", "short": "Cachée", "unit": "%", "map": "none", **base},
            ],
        }
    )  # fmt: skip
    source = Source.model_validate(
        {
            "id": "jeu", "title": "Jeu", "producer": "P", "licence": "Licence Ouverte 2.0", "homepage": "h",
            "citation": "Source : Insee, jeu", "theme": "t",
            "distributions": [
                {"id": "f", "profiles": ["mirror"], "address": "mirror://jeu/f", "vintage": "2022", "layout": "csv",
                 "table": {"code": "code"}}
            ],
        }
    )  # fmt: skip
    return Catalog(None, {"jeu": source}, {"essai": theme}, {})


def rows(indicator, zone_type, values, reliability="ok"):
    return pd.DataFrame(
        {
            "indicator_id": indicator, "zone_type": zone_type, "zone_code": list(values), "period": "2022",
            "value": list(values.values()), "reliability": reliability, "dataset_ids": "jeu",
            "source_version": "jeu@RP2022#abcd1234",
        }
    )  # fmt: skip


def drawn(land, values):
    reference = pd.DataFrame({"indicator_id": [], "value": [], "population": []})
    day = datetime.date(2026, 11, 22)
    return {s.indicator_id: s for s in atlas(land, catalog(), values, reference=reference, produced_on=day)}


CODES = [f"540{n:02d}" for n in range(1, 13)]


def test_communes_are_drawn_when_any_is_known_and_maps_none_is_respected():
    land = country(set(CODES[:6]), {c: "A" if n < 6 else "B" for n, c in enumerate(CODES)})
    values = pd.concat([rows("share", "commune", {c: float(n) for n, c in enumerate(CODES)}),
                        rows("hidden", "commune", dict.fromkeys(CODES, 1.0))])  # fmt: skip
    sheets = drawn(land, values)
    assert set(sheets) == {"share"}
    assert "6 communes sur 6" in sheets["share"].alt


def test_epci_are_drawn_when_no_commune_is_known():
    land = country(set(CODES[:6]), {c: "A" if n < 6 else "B" for n, c in enumerate(CODES)})
    sheets = drawn(land, rows("share", "epci", {"A": 3.0, "B": 5.0}, "snapshot"))
    assert "intercommunalités" in sheets["share"].alt


def test_nothing_to_draw_gives_no_map():
    land = country(set(CODES[:6]), dict.fromkeys(CODES, "A"))
    assert drawn(land, rows("share", "commune", dict.fromkeys(CODES), "masked")) == {}


def test_many_member_epci_do_not_overflow_the_axis_of_marks():
    land = country(set(CODES), {c: f"E{n:02d}" for n, c in enumerate(CODES)})
    values = pd.concat(
        [
            rows("share", "commune", {c: float(n) for n, c in enumerate(CODES)}),
            rows("share", "epci", {f"E{n:02d}": float(n) for n in range(12)}),
            rows("share", "cls", {"essai": 5.0}), rows("share", "departement", {"54": 6.0}),
            rows("share", "region", {"44": 7.0}), rows("share", "france", {"FR": 8.0}),
        ]
    )  # fmt: skip
    assert MARK_LIMIT >= 9
    assert set(drawn(land, values)) == {"share"}


@pytest.mark.parametrize("indicator", ["sites"])
def test_counts_are_circles(indicator):
    land = country(set(CODES), dict.fromkeys(CODES, "A"))
    assert indicator in drawn(land, rows(indicator, "commune", {c: float(n) for n, c in enumerate(CODES)}))


def test_a_sheet_depends_on_its_rows_and_on_the_bounds_of_its_classes_not_on_each_commune_of_france():
    land = country(set(CODES[:6]), dict.fromkeys(CODES, "A"))
    values = rows("share", "commune", {c: float(n) for n, c in enumerate(CODES)})
    nation = pd.DataFrame({"indicator_id": "share", "value": [float(n) for n in range(100)], "population": 1.0})

    def digest(values, nation):
        return sheet_digests(land, catalog(), values.assign(computed_at="hier"), nation, "sol")["share"]

    former = digest(values, nation)
    assert digest(values.sample(frac=1, random_state=1), nation.sample(frac=1, random_state=1)) == former
    nudged = nation.assign(value=nation["value"].replace(50.0, 50.1))
    assert digest(values, nudged) == former, "no bound moves"
    assert digest(values, nation.assign(value=3 * nation["value"])) != former
    assert digest(values.assign(value=values["value"] + 1), nation) != former


def test_what_is_owed_to_several_datasets_is_said_once():
    licences = [
        "Licence Ouverte 2.0 pour les données d’origine ; compilation sans licence énoncée",
        "Licence Ouverte 2.0",
    ]
    assert told_once(licences) == "Licence Ouverte 2.0\u202f; compilation sans licence énoncée"
    producers = ["Insee", "Insee, DGFiP, Cnaf", "Insee, mis en forme par un paquet"]
    assert told_once(producers) == "Insee\u202f; DGFiP\u202f; Cnaf\u202f; Insee, mis en forme par un paquet"
