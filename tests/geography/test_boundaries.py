"""Outlines of communes: one valid coverage, completed only by what is known, and the zones drawn from it."""

from __future__ import annotations

import geopandas as gpd
import pandas as pd
import places
import pytest
import shapely
from conftest import read_text

from diagnostics.errors import GeographyError
from diagnostics.geography.boundaries import (
    commune_boundaries,
    label_points,
    lacking,
    neighbours,
    outlines,
    projection_of,
    read_boundaries,
    unattributed,
    write_boundaries,
)
from diagnostics.geography.membership import build_membership
from diagnostics.geography.reference import build_reference

STEP = 2_000.0  # metres
CORNER = (850_000.0, 6_550_000.0)  # Lambert-93, in the Ain


def square(column: float, row: float, width: float = 1, height: float = 1) -> shapely.Geometry:
    """A rectangle of the grid, in Lambert-93, with a vertex at every crossing as in a true coverage."""
    x, y = CORNER[0] + column * STEP, CORNER[1] + row * STEP
    box = shapely.box(x, y, x + width * STEP, y + height * STEP)
    return shapely.segmentize(box, STEP)


def as_package(table: pd.DataFrame, shapes: dict[tuple[str, str], shapely.Geometry]) -> pd.DataFrame:
    """The package's table with these outlines, by (type, code), in its own encoding."""
    geographic = dict(zip(shapes, gpd.GeoSeries(list(shapes.values()), crs=2154).to_crs(4326), strict=True))
    wkb = [
        shapely.to_wkb(shapely.multipolygons([geographic[key]]), hex=True) if key in geographic else r"\N"
        for key in zip(table["type"], table["code"], strict=True)
    ]
    return table.assign(geometry=wkb)


# 01002 was drawn before it absorbed 01003 and 01006; 01004 has no outline but its former seat has; 01010 still covers
# 01011; Paris overlaps it by 30 m; a slit 40 m high parts 01001 from 01002.
#
#   row 2   01002   01005   2A004
#   row 1   01002   (land)  2A004
#   row 0   01001   01010   75056
SHAPES = {
    ("COM", "01001"): square(0, 0).difference(square(0.2, 0.98, 0.6, 0.02)),
    ("COM", "01002"): square(0, 1, 1, 2),
    ("COMA", "01005"): square(1, 2),
    ("COM", "2A004"): square(2, 1, 1, 2),
    ("COM", "01010"): square(1, 0),
    ("COM", "75056"): square(1.985, 0, 1.015, 1),
}


def country(**without):
    reference = build_reference({**places.package_tables(), "movements": places.insee_tables()["movements"]})
    shapes = {key: shape for key, shape in SHAPES.items() if key not in without.get("without", ())}
    return as_package(places.package_tables()["package_communes"], shapes), reference


def test_the_coverage_is_valid_and_completed():
    package, reference = country()
    made = commune_boundaries(package, reference)
    assert list(made) == [2154]
    frame = made[2154]
    geometry = frame.geometry.to_numpy()
    assert shapely.coverage_is_valid(geometry)
    assert shapely.is_valid(geometry).all()
    assert frame.crs.to_epsg() == 2154
    assert dict(zip(frame["code"], frame["origin"], strict=True)) == {
        "01001": "published",
        "01002": "completed",
        "01004": "from_parts",
        "01010": "former",
        "2A004": "published",
        "75056": "published",
    }
    area = frame.set_index("code")["area_km2"]
    assert area["01002"] == pytest.approx(12, rel=0.02)
    assert area["01004"] == pytest.approx(4, rel=0.02)
    assert area.sum() == pytest.approx(9 * 4, rel=0.01)
    assert frame.set_index("code").loc["01001", "name"] == "L'Abergement"
    assert lacking(made, reference)["code"].tolist() == ["01011"]
    assert unattributed(made).empty
    whole = shapely.coverage_union_all(geometry)
    assert whole.geom_type == "Polygon"
    assert not whole.interiors


def test_land_that_no_neighbour_absorbed_stays_blank():
    package = as_package(places.package_tables()["package_communes"], SHAPES)
    tables = places.package_tables()
    tables["package_communes"] = tables["package_communes"][tables["package_communes"]["code"] != "01003"]
    made = commune_boundaries(package[package["code"] != "01003"], build_reference(tables))
    blank = unattributed(made)
    assert blank["area_km2"].tolist() == [pytest.approx(4, rel=0.02)]
    assert {"01002", "01004", "01010", "2A004"} <= set(blank["neighbours"].iloc[0])
    assert set(made[2154]["origin"]) == {"published", "from_parts"}


def test_cantons_tell_the_missing_land_at_the_edge():
    shapes = {**SHAPES, ("COM", "2A004"): square(2, 2), ("COM", "75056"): square(2, 0)}
    reference = build_reference({**places.package_tables(), "movements": places.insee_tables()["movements"]})
    package = as_package(places.package_tables()["package_communes"], shapes)
    canton = places.text("id|code|type", "0|0101|C")
    canton = as_package(canton, {("C", "0101"): square(0, 0, 3, 3)})
    without = commune_boundaries(package, reference)[2154].set_index("code")
    assert without.loc["01002", "origin"] == "published"
    made = commune_boundaries(package, reference, canton)
    assert made[2154].set_index("code").loc["01002", "area_km2"] == pytest.approx(16, rel=0.02)
    assert shapely.coverage_is_valid(made[2154].geometry.to_numpy())


def test_zones_are_unions_without_slivers():
    package, reference = country()
    made = commune_boundaries(package, reference)
    zones = outlines(made, build_membership(reference, [places.territory()]), "epci")[2154].set_index("code")
    assert zones.loc["200000001", "communes"] == 3
    assert zones.loc["200000001", "area_km2"] == pytest.approx(20, rel=0.02)
    assert zones.is_valid.all()
    assert all(not part.interiors for shape in zones.geometry for part in shapely.get_parts(shape))
    cls = outlines(made, build_membership(reference, [places.territory()]), "cls")[2154]
    assert cls.geometry.iloc[0].equals(zones.loc["200000001", "geometry"])
    assert shapely.contains(cls.geometry.to_numpy(), label_points(cls).to_numpy()).all()
    with pytest.raises(GeographyError, match="aucune zone de type « petr »"):
        outlines(made, build_membership(reference, [places.territory()]), "petr")


def test_neighbours_lie_within_the_distance():
    package, reference = country()
    made = commune_boundaries(package, reference)
    assert neighbours(["01001"], made, 10) == ["01002", "01010"]
    assert neighbours(["01001"], made, 1_990) == ["01002", "01010"]
    assert neighbours(["01001"], made, 2_010) == ["01002", "01004", "01010", "2A004", "75056"]
    assert neighbours(["99999"], made, 10) == []


def test_overseas_communes_have_their_own_projection():
    codes = ("54395", "2A004", "97105", "97209", "97302", "97411", "97608")
    assert [projection_of(code) for code in codes] == [2154, 2154, 5490, 5490, 2972, 2975, 4471]


def test_boundaries_are_read_back_as_written(tmp_path):
    package, reference = country()
    made = commune_boundaries(package, reference)
    write_boundaries(made, tmp_path / "boundaries")
    assert [p.name for p in (tmp_path / "boundaries").iterdir()] == ["commune_2154.parquet"]
    back = read_boundaries(tmp_path / "boundaries")
    assert list(back) == [2154]
    assert back[2154].crs == made[2154].crs
    pd.testing.assert_frame_equal(back[2154].drop(columns="geometry"), made[2154].drop(columns="geometry"))
    assert shapely.equals(back[2154].geometry.to_numpy(), made[2154].geometry.to_numpy()).all()
    with pytest.raises(GeographyError, match="epci_<EPSG>"):
        read_boundaries(tmp_path / "boundaries", "epci")


def test_an_outline_that_is_no_outline_is_refused():
    package, reference = country()
    package.loc[0, "geometry"] = "not hexadecimal"
    with pytest.raises(GeographyError, match="n'est plus du WKB"):
        commune_boundaries(package, reference)


@pytest.fixture(scope="module")
def france(package, real_reference):
    return commune_boundaries(package["package_communes"], real_reference, package["package_cantons"])


def test_real_coverage_of_france(france, real_reference):
    assert list(france) == [2154, 5490, 2972, 2975, 4471]
    for frame in france.values():
        geometry = frame.geometry.to_numpy()
        assert shapely.coverage_is_valid(geometry)
        assert shapely.is_valid(geometry).all()
        assert not shapely.is_empty(geometry).any()
    assert lacking(france, real_reference)["code"].tolist() == ["15031", "15035", "15047", "15171"]
    origin = pd.concat([frame.set_index("code")["origin"] for frame in france.values()])
    assert sorted(origin.index[origin == "from_parts"]) == ["12218", "14581", "49126", "69114"]
    assert origin.index[origin == "former"].tolist() == ["15141"]
    # The only land without commune inside France is a Spanish town.
    blanks = unattributed(france)
    assert blanks["area_km2"].round(1).tolist() == [13.0]
    assert "66025" in blanks["neighbours"].iloc[0]


def test_real_areas_are_those_of_insee(france, mirror, real_reference):
    """The outline holds lakes, glaciers and estuaries that the cadastral surface leaves out, and it is generalised."""
    table = read_text(mirror / "insee_comparateur_2024" / "communes_2024.csv.gz")
    districts = real_reference.municipal_districts.set_index("code")["commune"]
    passage = real_reference.passage.set_index("old_code")["new_code"]
    code = table["insee_com"].map(districts).fillna(table["insee_com"].map(passage))
    official = pd.to_numeric(table["superficie_km2"], errors="coerce").groupby(code).sum()
    for epsg, frame in france.items():
        if epsg == 4471:  # the file gives no surface for Mayotte
            continue
        ratio = frame.set_index("code")["area_km2"] / official
        ratio = ratio.dropna()
        assert ratio.median() == pytest.approx(1, abs=0.02), epsg
        if epsg == 2154:
            assert ratio.quantile([0.01, 0.99]).tolist() == pytest.approx([0.96, 1.08], abs=0.01)
            remade = frame.loc[frame["origin"] != "published", "code"]
            assert len(remade) == 51
            assert ratio[remade.drop(remade.index[remade == "15141"])].between(0.96, 1.04).all()


def test_real_zones_have_no_sliver(france, real_reference):
    membership = build_membership(real_reference, [])
    for level in ("epci", "departement", "region", "france"):
        for zones in outlines(france, membership, level).values():
            assert zones.is_valid.all()
            parts = zones.geometry.explode().to_numpy()
            assert (2 * shapely.area(parts) / shapely.length(parts) > 10).all(), level
            holes = [shapely.Polygon(ring) for part in parts for ring in part.interiors]
            # A hole is another zone's commune or a detached piece of one, never a slit between two outlines.
            assert all(2 * hole.area / hole.length > 50 for hole in holes), level


def test_real_neighbours_of_metz(france, real_reference):
    epci = real_reference.communes.set_index("code")["epci"]
    metz = epci.index[epci == "200039865"].tolist()
    around = neighbours(metz, france, 5_000)
    assert not set(around) & set(metz)
    assert {"57672", "54415"} <= set(neighbours(metz, france, 30_000))
    assert set(neighbours(metz, france, 100)) < set(around)
