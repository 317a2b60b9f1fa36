"""Points of the Earth: from any projection to degrees, and the nearest of others with its distance in metres."""

from __future__ import annotations

import numpy as np
from pyproj import Geod, Transformer
from scipy.spatial import KDTree

WGS84, GEOCENTRIC = 4326, 4978
GEOD = Geod(ellps="WGS84")


def to_degrees(points: np.ndarray, crs: int) -> np.ndarray:
    """(n, 2) coordinates of the projection `crs` (EPSG), easting or longitude first -> (n, 2) longitudes and latitudes.

    A point that is not known, or that no place of the Earth has in that projection, is NaN twice.
    """
    longitude, latitude = Transformer.from_crs(crs, WGS84, always_xy=True).transform(*points.T)
    placed = np.column_stack([longitude, latitude]).reshape(-1, 2)
    somewhere = np.isfinite(placed).all(axis=1) & (np.abs(placed) <= (180, 90)).all(axis=1)
    return np.where(somewhere[:, None], placed, np.nan)


def nearest(here: np.ndarray, there: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each point of `here`, the position in `there` of the nearest one, and the metres to it.

    here, there: (n, 2) and (m, 2) degrees, all known, m > 0. Metres follow the geodesic of the ellipsoid WGS 84. The
    nearest one is found on straight lines through the Earth: between two points as far as each other to within 2 cm
    over 100 km, either may be taken.
    """
    to_centre = Transformer.from_crs(WGS84, GEOCENTRIC, always_xy=True)

    def in_space(points: np.ndarray) -> np.ndarray:
        return np.column_stack(to_centre.transform(*points.T, np.zeros(len(points))))

    _, found = KDTree(in_space(there)).query(in_space(here))
    _, _, metres = GEOD.inv(*here.T, *there[found].T)
    return found, metres
