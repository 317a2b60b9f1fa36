"""Families of territories: classes of EPCI or communes with like profiles, how firm they are, what they share.

Chain: winsorise each variable at 1 % and 99 % of the population, standardise with population weights, keep the
principal components that hold 80 % of the variance, Ward's tree, k-means from Ward's centres, as many classes as the
tree still gains by without the silhouette falling. Exploratory: run it on a region or on France, never on the 13
communes of one CLS.

Sources: indicators.md §10.10; Ward 1963; Rousseeuw 1987 (silhouette); Hubert & Arabie 1985 (adjusted Rand index);
Lebart, Morineau & Piron 1995 (test values).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.cluster.hierarchy import fcluster, ward
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist

from diagnostics.errors import StatisticsError
from diagnostics.statistics.inputs import numeric, refuse_negative

WINSOR = (0.01, 0.99)
VARIANCE_KEPT = 0.80
CLASSES = range(3, 7)
"""Six at most: nobody tells seven colours apart on a map."""
INERTIA_GAIN = 0.10
NEAR_BEST = 0.06
RESAMPLES = 50
STABLE = 0.6
NOTABLE = 1.96
MARKED = 0.3
"""Distance to the mean, in standard deviations, under which a trait says little, however sure it is."""
TRAITS = 3
SILHOUETTE_SAMPLE = 5_000
DISTANCES_AT_ONCE = 500
WARD_LIMIT = 4_000
KMEANS_ROUNDS = 30
SEED = 19_630_301


@dataclass(frozen=True)
class Typology:
    """What `typology` found.

    `classes`: class of each zone (1 = most populated), NA where a variable is missing; `profile`: long table `class,
    variable, mean, overall, gap, v_test` (means weighted by population; `gap` = mean of its zones less that of all, in
    standard deviations); `summary`: one row per class, `zones, population, description` in French;
    `stability`: mean adjusted Rand index under resampling (1 = the same classes each time),
    `stable` when it is 0.6 or more; `choices`: one row per number of classes tried, `inertia_gain, silhouette`.
    """

    classes: pd.Series
    profile: pd.DataFrame
    summary: pd.DataFrame
    stability: float
    choices: pd.DataFrame
    variance: float

    @property
    def stable(self) -> bool:
        return self.stability >= STABLE


def typology(
    variables: pd.DataFrame,
    population: pd.Series,
    words: dict[str, tuple[str, str]],
    *,
    classes: int | None = None,
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Typology:
    """Classify zones (rows) by their variables (columns, 2 or more), weighted by population where it standardises.

    `words`: what a class is said to be when it is high in a variable, and when it is low (« population âgée »,
    « population jeune »). `classes` fixes their number. Zones with a missing variable or without population are not
    classified. Refused: fewer than 30 complete zones, a constant variable.
    """
    names = list(variables.columns)
    if len(names) < 2 or not set(names) <= set(words):
        raise StatisticsError(f"Typologie : au moins deux variables, chacune avec ses mots ; reçu {names}.")
    if not variables.index.equals(population.index):
        raise StatisticsError("Typologie : variables et population n’ont pas les mêmes zones dans le même ordre.")
    data = np.column_stack([numeric(name, variables[name], variables.index) for name in names])
    persons = numeric("population", population, population.index)
    refuse_negative("population", persons, population.index)
    known = ~np.isnan(data).any(axis=1) & (persons > 0)
    if known.sum() < 30:
        raise StatisticsError(f"Typologie : {int(known.sum())} zones complètes, 30 au moins sont nécessaires.")
    # A fixed order of zones, so that the classes do not depend on the order of the rows.
    order = np.flatnonzero(known)[np.argsort(variables.index[known].astype(str), kind="stable")]
    raw, weight = data[order], persons[order] / persons[order].sum()
    scores, variance = _components(raw, weight, names)
    tree = _Tree(scores)
    choices = _choices(tree, CLASSES if classes is None else [classes], seed)
    number = classes or _best(choices)
    found = tree.classes(number)
    ranks = pd.Series(persons[order]).groupby(found).sum().rank(ascending=False, method="first").astype(int)
    found = ranks.loc[found].to_numpy()
    result = pd.Series(pd.NA, index=variables.index, dtype="Int64", name="class")
    result.iloc[order] = found
    profile = _profile(raw, weight, found, names)
    return Typology(
        result,
        profile,
        _summary(profile, found, persons[order], words),
        _stability(scores, found, number, resamples, seed),
        choices,
        variance,
    )


def winsorise(column: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Pull the values beyond the 1st and 99th population percentiles back to them."""
    order = np.argsort(column, kind="stable")
    middle = np.cumsum(weight[order]) - weight[order] / 2
    low, high = np.interp(np.array(WINSOR) * weight.sum(), middle, column[order])
    return np.clip(column, low, high)


def _components(raw: np.ndarray, weight: np.ndarray, names: list[str]) -> tuple[np.ndarray, float]:
    """(scores of the first components holding at least 80 % of the variance, share they hold)."""
    data = np.column_stack([winsorise(column, weight) for column in raw.T])
    mean = weight @ data
    spread = np.sqrt(weight @ (data - mean) ** 2)
    flat = spread <= 1e-12 * np.maximum(1, np.abs(mean))
    if flat.any():
        raise StatisticsError(f"Typologie : « {names[int(np.argmax(flat))]} » est identique partout.")
    centred = (data - mean) / spread
    values, vectors = np.linalg.eigh((centred * weight[:, None]).T @ centred)
    values, vectors = values[::-1], vectors[:, ::-1]
    vectors = vectors * np.where(vectors.sum(axis=0) < 0, -1, 1)
    share = np.cumsum(values) / values.sum()
    kept = int(np.searchsorted(share, VARIANCE_KEPT - 1e-12)) + 1
    return centred @ vectors[:, :kept], float(share[kept - 1])


def _choices(tree: _Tree, numbers, seed: int) -> pd.DataFrame:
    scores = tree.scores
    generator = np.random.default_rng(seed)
    sample = generator.choice(len(scores), min(SILHOUETTE_SAMPLE, len(scores)), replace=False)
    divisions = [tree.classes(number) for number in numbers]
    widths = silhouettes(scores[sample], [found[sample] for found in divisions])
    rows, before = [], _inertia(scores, tree.classes(min(numbers) - 1))
    for number, found, width in zip(numbers, divisions, widths, strict=True):
        inertia = _inertia(scores, found)
        rows.append({"classes": number, "inertia_gain": 1 - inertia / before, "silhouette": width})
        before = inertia
    return pd.DataFrame(rows).set_index("classes")


def silhouettes(points: np.ndarray, divisions: Sequence[np.ndarray]) -> list[float]:
    """Mean silhouette of each division of the points into classes; distances are measured once for all of them.

    A point alone in its class has a silhouette of 0.
    """
    places = [np.unique(found, return_inverse=True)[1] for found in divisions]
    members = [np.eye(place.max() + 1)[place] for place in places]
    totals = [np.zeros(len(points)) for _ in divisions]
    for start in range(0, len(points), DISTANCES_AT_ONCE):
        rows = np.arange(start, min(start + DISTANCES_AT_ONCE, len(points)))
        apart = cdist(points[rows], points)
        for place, inside, total in zip(places, members, totals, strict=True):
            sums, size = apart @ inside, inside.sum(axis=0)
            own = (np.arange(len(rows)), place[rows])
            alike = sums[own] / np.maximum(size[place[rows]] - 1, 1)
            sums /= size
            sums[own] = np.inf
            nearest = sums.min(axis=1)
            with np.errstate(divide="ignore", invalid="ignore"):
                width = (nearest - alike) / np.maximum(nearest, alike)
            total[rows] = np.where(size[place[rows]] > 1, np.nan_to_num(width), 0.0)
    return [float(total.mean()) for total in totals]


def _best(choices: pd.DataFrame) -> int:
    """The finest division whose last split still removes 10 % of the inertia and whose silhouette comes near the best.

    The best silhouette alone nearly always takes the coarsest division. Without any useful split, the fewest classes.
    """
    useful = choices[choices["inertia_gain"] >= INERTIA_GAIN]
    if useful.empty:
        return int(choices.index[0])
    return int(useful.index[useful["silhouette"] >= useful["silhouette"].max() - NEAR_BEST].max())


def _inertia(scores: np.ndarray, found: np.ndarray) -> float:
    return float(sum(((scores[found == k] - scores[found == k].mean(axis=0)) ** 2).sum() for k in np.unique(found)))


class _Tree:
    """Ward's tree of the zones, cut and consolidated at any number of classes.

    Ward needs all distances: above 4 000 zones it is grown on 4 000 spread along the first component, and the
    consolidation gives the others their class.
    """

    def __init__(self, scores: np.ndarray):
        self.scores = self.base = scores
        if len(scores) > WARD_LIMIT:
            along = np.argsort(scores[:, 0], kind="stable")
            self.base = scores[along[np.linspace(0, len(scores) - 1, WARD_LIMIT).astype(int)]]
        self.links = ward(self.base)

    def classes(self, number: int) -> np.ndarray:
        """Class of each zone, from 0: Ward's, then k-means started from their centres."""
        if number == 1:
            return np.zeros(len(self.scores), dtype=int)
        first = fcluster(self.links, number, "maxclust") - 1
        centres = np.array([self.base[first == k].mean(axis=0) for k in np.unique(first)])
        return kmeans2(self.scores, centres, iter=KMEANS_ROUNDS, minit="matrix", missing="raise")[1]


def _stability(scores: np.ndarray, found: np.ndarray, number: int, resamples: int, seed: int) -> float:
    """Mean adjusted Rand index between the classes and those refound on 80 % of the zones drawn without replacement."""
    generator = np.random.default_rng(seed)
    size = int(0.8 * len(scores))
    indices = (np.sort(generator.choice(len(scores), size, replace=False)) for _ in range(resamples))
    return float(np.mean([adjusted_rand(found[kept], _Tree(scores[kept]).classes(number)) for kept in indices]))


def adjusted_rand(first: np.ndarray, second: np.ndarray) -> float:
    """Agreement of two divisions of the same zones: 1 when they are the same, 0 on average by chance."""
    places = [np.unique(found, return_inverse=True)[1] for found in (first, second)]
    shared = np.zeros([place.max() + 1 for place in places], dtype="int64")
    np.add.at(shared, tuple(places), 1)
    # Ordered pairs of zones: together in both, in the second only, in the first only, in neither.
    squares = int((shared**2).sum())
    both = squares - len(first)
    second_only = int((shared.sum(axis=0) ** 2).sum()) - squares
    first_only = int((shared.sum(axis=1) ** 2).sum()) - squares
    neither = len(first) ** 2 - second_only - first_only - squares
    if not second_only and not first_only:
        return 1.0
    chance = (both + first_only) * (first_only + neither) + (both + second_only) * (second_only + neither)
    return 2.0 * (both * neither - first_only * second_only) / chance


def _profile(raw: np.ndarray, weight: np.ndarray, found: np.ndarray, names: list[str]) -> pd.DataFrame:
    """Means by class weighted by population, and test values: (mean of the class − mean) / its standard error.

    The standard error is that of a mean of n_k zones drawn without replacement among n (unweighted, Lebart).
    """
    size = len(raw)
    rows = []
    for k in np.unique(found):
        inside = found == k
        share = weight[inside] / weight[inside].sum()
        count = inside.sum()
        for position, name in enumerate(names):
            column = raw[:, position]
            apart = column[inside].mean() - column.mean()
            error = np.sqrt(column.var(ddof=1) / count * (size - count) / (size - 1)) if count < size else np.nan
            rows.append(
                {
                    "class": int(k),
                    "variable": name,
                    "mean": float(share @ column[inside]),
                    "overall": float(weight @ column),
                    "gap": float(apart / column.std(ddof=1)),
                    "v_test": float(apart / error),
                }
            )
    return pd.DataFrame(rows)


def _summary(
    profile: pd.DataFrame, found: np.ndarray, persons: np.ndarray, words: dict[str, tuple[str, str]]
) -> pd.DataFrame:
    rows = []
    for k, part in profile.groupby("class"):
        inside = found == k
        rows.append(
            {
                "class": k,
                "zones": int(inside.sum()),
                "population": float(persons[inside].sum()),
                "description": describe(part, words),
            }
        )
    return pd.DataFrame(rows).set_index("class")


def marked(profile: pd.DataFrame) -> pd.DataFrame:
    """The rows of one class of `profile` that make it what it is, the most marked first."""
    part = profile[(profile["v_test"].abs() >= NOTABLE) & (profile["gap"].abs() >= MARKED)]
    return part.loc[part["gap"].abs().sort_values(ascending=False, kind="stable").index]


def describe(profile: pd.DataFrame, words: dict[str, tuple[str, str]], traits: int = TRAITS) -> str:
    """A class in a few French words, from its most marked traits (rows of one class of `profile`)."""
    part = marked(profile).head(traits)
    said = [words[name][0 if gap > 0 else 1] for name, gap in zip(part["variable"], part["gap"], strict=True)]
    text = ", ".join(said) or "profil proche de la moyenne"
    return text[:1].upper() + text[1:]
