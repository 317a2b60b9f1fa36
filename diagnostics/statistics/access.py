"""Access to care by enhanced two-step floating catchment areas (E2SFCA): a tool for scenarios, not a published APL.

Step 1 gives each site what it can offer per person in need within reach, `R_j = S_j / Σ_i w_ij·P*_i`; step 2 adds up,
for each place, what its people can reach, `A_i = Σ_j w_ij·R_j`. So `Σ_i P*_i·A_i` is the supply that someone can reach.

Sources: Luo & Qi 2009 (E2SFCA); Barlet, Coldefy, Collin & Lucas-Gabrielli 2012 (DREES, Études et résultats 795), of
which `DECAY` takes the weights by travel time. What the producer publishes also knows real travel times, activity
and needs by age: only differences between two scenarios of the same assumptions should be read here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from diagnostics.errors import StatisticsError

DECAY = ((10.0, 1.0), (15.0, 2 / 3), (20.0, 1 / 3))
"""(minutes at most, weight): a site further than the last bound counts for nothing."""

SPEED_KMH = 50.0
"""Mean speed by car on rural and suburban roads: an assumption, to be stated beside every result."""

DETOUR = 1.3
"""Road length over straight-line length: the usual order of magnitude, another stated assumption."""


@dataclass(frozen=True)
class Access:
    """`values`: per person in need at each place, in the unit of supply. `ratios`: supply per person in need at each
    site, NaN where nobody can reach it. `out_of_reach`: supply of the sites that nobody reaches."""

    values: NDArray[np.float64]
    ratios: NDArray[np.float64]
    out_of_reach: float


def two_step_access(needs: ArrayLike, supply: ArrayLike, weights: csr_array) -> Access:
    """E2SFCA of `needs` (n people in need) and `supply` (m quantities), by `weights` (n × m, between 0 and 1).

    Raises StatisticsError when shapes do not fit or a quantity is negative or unknown.
    """
    needs, supply = _quantities(needs, "besoins"), _quantities(supply, "offre")
    if weights.shape != (len(needs), len(supply)):
        raise StatisticsError(
            f"Accessibilité : la matrice des poids est de {weights.shape[0]} × {weights.shape[1]}, pour {len(needs)} "
            f"lieux et {len(supply)} sites. Une ligne par lieu, une colonne par site."
        )
    demand = weights.T @ needs
    reached = demand > 0
    ratios = np.full(len(supply), np.nan)
    ratios[reached] = supply[reached] / demand[reached]
    return Access(weights @ np.where(reached, ratios, 0.0), ratios, float(supply[~reached].sum()))


def weights_by_time(minutes: ArrayLike, steps: Sequence[tuple[float, float]] = DECAY) -> csr_array:
    """Weights (n × m) of a table of travel times in minutes (n × m); NaN where there is no way."""
    minutes = np.asarray(minutes, dtype=np.float64)
    return csr_array(_decayed(minutes, steps))


def weights_by_distance(
    places: ArrayLike,
    sites: ArrayLike,
    *,
    speed_kmh: float = SPEED_KMH,
    detour: float = DETOUR,
    steps: Sequence[tuple[float, float]] = DECAY,
) -> csr_array:
    """Weights (n × m) from coordinates in metres (n × 2 and m × 2), where no table of travel times is at hand.

    A straight line of d metres takes `d / 1000 · detour / speed_kmh · 60` minutes. Only pairs within reach are made.
    Raises StatisticsError for a speed or detour that is not positive, or steps out of order.
    """
    if speed_kmh <= 0 or detour <= 0:
        raise StatisticsError(
            f"Accessibilité : la vitesse ({speed_kmh} km/h) et le détour ({detour}) doivent être positifs."
        )
    places, sites = (np.asarray(points, dtype=np.float64).reshape(-1, 2) for points in (places, sites))
    shape = (len(places), len(sites))
    if 0 in shape:
        return csr_array(shape)
    minutes_per_metre = 60 * detour / (1000 * speed_kmh)
    reach = _checked(steps)[-1][0] / minutes_per_metre
    # As records and not as a sparse matrix: a distance of zero is a pair, not an absence.
    pairs = cKDTree(places).sparse_distance_matrix(cKDTree(sites), reach * (1 + 1e-12), output_type="ndarray")
    weights = _decayed(pairs["v"] * minutes_per_metre, steps)
    return csr_array((weights, (pairs["i"], pairs["j"])), shape=shape)


def _decayed(minutes: NDArray[np.float64], steps: Sequence[tuple[float, float]]) -> NDArray[np.float64]:
    """The weight of each time; 0 beyond the last bound and where the time is unknown."""
    bounds, weights = (np.array(part) for part in zip(*_checked(steps), strict=True))
    return np.append(weights, 0.0)[np.searchsorted(bounds, minutes, side="left")]


def _checked(steps: Sequence[tuple[float, float]]) -> Sequence[tuple[float, float]]:
    bounds, weights = [s[0] for s in steps], [s[1] for s in steps]
    rising = all(a < b for a, b in pairwise(bounds))
    if not steps or not rising or bounds[0] < 0 or not all(0 < w <= 1 for w in weights):
        raise StatisticsError(
            f"Accessibilité : paliers « {list(steps)} » incorrects. Donner des couples (minutes, poids), minutes "
            "croissantes, poids entre 0 (exclu) et 1."
        )
    return steps


def _quantities(values: ArrayLike, name: str) -> NDArray[np.float64]:
    array = np.asarray(values, dtype=np.float64).reshape(-1)
    wrong = np.flatnonzero(~(np.isfinite(array) & (array >= 0)))
    if len(wrong):
        raise StatisticsError(
            f"Accessibilité : {name}, ligne {wrong[0] + 1} : « {array[wrong[0]]} » trouvé, un nombre positif ou nul "
            "attendu."
        )
    return array
