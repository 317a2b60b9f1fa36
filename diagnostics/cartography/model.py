"""What a map is made from: its words, its zones, and what surrounds them."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import date
from typing import Literal

import geopandas as gpd
import numpy as np
import pandas as pd
from shapely.geometry.base import BaseGeometry

from diagnostics.cartography.classes import Method
from diagnostics.cartography.palettes import Direction, Theme
from diagnostics.errors import GeographyError

Role = Literal["territory", "member", "benchmark"]

STATUSES = ("ok", "unstable", "masked", "missing")
ZONE_COLUMNS = ("code", "name", "value", "status", "population", "inside", "geometry")


@dataclass(frozen=True)
class MapSpec:
    """The words and choices of one map. Texts are in French, ready to print.

    `breaks` are the inner class bounds; given, they are used as they are (the same ones for every territory and year),
    otherwise they are computed from the zones of the map. `labels` names the classes in words (lowest first) where
    bounds would say less. `benchmark` is the value that `diverging` classes turn around.
    """

    title: str
    subtitle: str
    unit: str
    decimals: int
    theme: Theme
    direction: Direction
    classification: Method
    breaks: tuple[float, ...] | None
    source: str
    vintage: str
    geography: str
    licence: str
    produced_on: date
    reserve: str | None = None
    class_count: int = 5
    labels: tuple[str, ...] | None = None
    benchmark: float | None = None
    zone_noun: str = "communes"


@dataclass(frozen=True)
class Mark:
    """One value on the axis under the histogram: the CLS (`territory`), one of its EPCI (`member`), or a benchmark."""

    label: str
    value: float | None
    role: Role

    @property
    def is_known(self) -> bool:
        return self.value is not None and np.isfinite(self.value)


@dataclass(frozen=True, eq=False)
class MapContext:
    """What is drawn on every map of one CLS. All geometries share one projected CRS in metres.

    - `perimeter`: the outline of the CLS.
    - `epci`: GeoDataFrame(code, name, geometry), outlined and named.
    - `departements`: GeoDataFrame(geometry), dashed borders.
    - `neighbours`: GeoDataFrame(code, name, geometry[, population]), the grey around; may cover the perimeter too,
      where the zones are drawn over it. Names go by population where there is one, else by visible area.
    - `towns`: GeoDataFrame(name, population, geometry = points), the most populated named first.
    - `frame`: what the map must hold, when it is more than the perimeter.
    - `marks`: the values of the CLS and of its benchmarks; they change with the indicator, `with_marks` keeps the rest.

    Build one for each CLS and keep it: what it prepares (paths, label places) is reused by all its maps.
    """

    perimeter: BaseGeometry
    epci: gpd.GeoDataFrame
    departements: gpd.GeoDataFrame
    neighbours: gpd.GeoDataFrame
    towns: gpd.GeoDataFrame
    marks: tuple[Mark, ...] = ()
    frame: BaseGeometry | None = None
    prepared: dict = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        crs = self.epci.crs
        for name in ("epci", "departements", "neighbours", "towns"):
            found = getattr(self, name).crs
            if found is None or not found.is_projected or found != crs:
                raise GeographyError(
                    f"fond de carte « {name} » : projection {found} ; attendu la même projection en mètres pour tout "
                    f"({crs}) ; reprojeter par `to_crs`"
                )
        if self.perimeter.is_empty:
            raise GeographyError("fond de carte : le périmètre du CLS est vide ; vérifier les contours des communes")

    def framed(self, frame: BaseGeometry) -> MapContext:
        """The same surroundings seen from further away: nothing that was prepared holds."""
        return replace(self, frame=frame, prepared={})

    def with_marks(self, *marks: Mark) -> MapContext:
        """The same surroundings, with what was prepared for them, and other marks."""
        return replace(self, marks=tuple(marks))


def checked(zones: gpd.GeoDataFrame, context: MapContext) -> gpd.GeoDataFrame:
    """`zones` with a clean index, numeric population and no geometry missing; GeographyError names what is wrong."""
    absent = [column for column in ZONE_COLUMNS if column not in zones.columns]
    if absent:
        raise GeographyError(f"carte : colonne(s) absente(s) des zones : {', '.join(absent)}")
    if zones.crs != context.epci.crs:
        raise GeographyError(
            f"carte : zones en {zones.crs}, fond de carte en {context.epci.crs} ; reprojeter par `to_crs`"
        )
    unknown = sorted(set(map(str, zones["status"])) - set(STATUSES))
    if unknown:
        raise GeographyError(f"carte : statut(s) inconnu(s) {', '.join(unknown)} ; attendu : {', '.join(STATUSES)}")
    if not len(zones):
        raise GeographyError("carte : aucune zone à dessiner ; vérifier le périmètre")
    bare = zones.loc[zones.geometry.isna() | zones.geometry.is_empty, "code"]
    if len(bare):
        raise GeographyError(f"carte : zone(s) sans contour : {', '.join(bare.head(5))} ; les retirer ou les compléter")
    return zones.reset_index(drop=True).assign(
        population=pd.to_numeric(zones["population"].to_numpy(), errors="coerce")
    )


def shown_values(zones: gpd.GeoDataFrame) -> np.ndarray:
    """Values as floats; NaN wherever the status forbids showing one or there is none."""
    values = pd.to_numeric(zones["value"], errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    return np.where(zones["status"].isin(["ok", "unstable"]), values, np.nan)
