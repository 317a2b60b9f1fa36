"""A made-up country on a grid: communes of 2 km, EPCI of 4 × 4 communes, two départements, towns in the middle."""

from __future__ import annotations

import re
from datetime import date

import geopandas as gpd
import numpy as np
import pandas as pd
import shapely
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import PathCollection
from matplotlib.figure import Figure
from matplotlib.text import Text

from diagnostics.cartography import MapContext, MapSpec, Mark

SIDE, CRS = 2000.0, "EPSG:2154"
EPCI_NAMES = (
    "Communauté de communes du Bassin de Pont-à-Mousson et de ses environs",
    "Communauté d'agglomération Portes de France",
    "Communauté de communes Mad et Moselle",
    "Métropole",
)


def communes(columns: int = 8, rows: int = 8, margin: int = 4) -> gpd.GeoDataFrame:
    """`columns` × `rows` communes of the CLS and `margin` communes all around it."""
    cells = [
        {
            "code": f"{(row + margin) * 100 + column + margin:05d}",
            "name": f"Saint-Exemple-sur-Meuse {column}-{row}",
            "population": float((column * 131 + row * 337) % 4000),
            "inside": 0 <= column < columns and 0 <= row < rows,
            "epci": f"{column // 4}-{row // 4}",
            "departement": "54" if column < columns // 2 else "57",
            "geometry": shapely.box(*(SIDE * np.array([column, row, column + 1, row + 1]))),
        }
        for row in range(-margin, rows + margin)
        for column in range(-margin, columns + margin)
    ]
    frame = gpd.GeoDataFrame(cells, crs=CRS)
    return frame.assign(geometry=frame.geometry.translate(900_000, 6_800_000))


def context(ground: gpd.GeoDataFrame, *marks: Mark) -> MapContext:
    own = ground[ground["inside"]]
    epci = own.dissolve("epci").reset_index()[["epci", "geometry"]].rename(columns={"epci": "code"})
    epci["name"] = [EPCI_NAMES[i % len(EPCI_NAMES)] for i in range(len(epci))]
    return MapContext(
        perimeter=own.union_all(),
        epci=epci,
        departements=ground.dissolve("departement").reset_index(),
        neighbours=ground[["code", "name", "population", "geometry"]],
        towns=ground.assign(geometry=ground.representative_point())[["name", "population", "geometry"]],
        marks=marks,
    )


def zones(ground: gpd.GeoDataFrame, value: str = "population", status: str = "ok") -> gpd.GeoDataFrame:
    own = ground[ground["inside"]]
    return own.assign(value=own[value].astype(float), status=status)[
        ["code", "name", "value", "status", "population", "inside", "geometry"]
    ]


def spec(**changes: object) -> MapSpec:
    words = {
        "title": "L’accès aux soins se creuse à l’ouest",
        "subtitle": "Consultations accessibles par habitant, 2023",
        "unit": "consultations par habitant",
        "decimals": 1,
        "theme": "care",
        "direction": "higher_is_better",
        "classification": "quantiles",
        "breaks": None,
        "source": "DREES",
        "vintage": "2023",
        "geography": "communes au 1er janvier 2025",
        "licence": "Licence Ouverte 2.0",
        "produced_on": date(2026, 11, 22),
    }
    return MapSpec(**(words | changes))


def texts(figure: Figure, prefix: str) -> dict[str, str]:
    """gid -> words of the texts whose gid starts with `prefix`."""
    return {a.get_gid(): a.get_text() for a in figure.artists if isinstance(a, Text) and a.get_gid().startswith(prefix)}


def boxes(figure: Figure, pattern: str) -> dict[str, tuple[float, float, float, float]]:
    """Drawn extents in points of the artists whose gid matches, as the renderer measures them."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    found = {}
    for artist in figure.artists:
        if not re.match(pattern, artist.get_gid()):
            continue
        if isinstance(artist, PathCollection):  # its paths are in points already
            corners = np.concatenate([path.get_extents().get_points() for path in artist.get_paths()])
        else:
            corners = artist.get_window_extent(renderer).get_points() * 72 / figure.dpi
        found[artist.get_gid()] = (*corners.min(axis=0), *corners.max(axis=0))
    return found


def overlapping(found: dict[str, tuple[float, float, float, float]], slack: float = 0.4) -> list[tuple[str, str]]:
    """Pairs of boxes that overlap by more than `slack` points (the rounding of a pixel)."""
    names = sorted(found)
    return [
        (a, b)
        for i, a in enumerate(names)
        for b in names[i + 1 :]
        if min(found[a][2], found[b][2]) - max(found[a][0], found[b][0]) > slack
        and min(found[a][3], found[b][3]) - max(found[a][1], found[b][1]) > slack
    ]


def gids(figure: Figure) -> set[str]:
    return {artist.get_gid() for artist in figure.artists}


def counts(figure: Figure, kind: str = "class") -> list[int]:
    """Numbers of zones in the legend, top to bottom."""
    found = texts(figure, f"legend-count-{kind}")
    return [int(re.sub(r"\D", "", found[gid])) for gid in sorted(found, key=lambda g: int(g.rsplit("-", 1)[1]))]


def typology_values(ground: gpd.GeoDataFrame, categories: list[str]) -> gpd.GeoDataFrame:
    frame = zones(ground)
    return frame.assign(
        value=pd.Series([categories[i % len(categories)] for i in range(len(frame))], index=frame.index)
    )
