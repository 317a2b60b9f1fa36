"""Statistics at the size of France, each against a plain way of doing the same, timed in the same run."""

from __future__ import annotations

import math
import time
import tracemalloc
from collections.abc import Callable

import geopandas
import numpy as np
import pandas as pd
from scipy import stats
from shapely.geometry import box
from sklearn.cluster import AgglomerativeClustering, KMeans

from diagnostics.statistics import deprivation, rates, secrecy, space, typology

COMMUNES, EPCI = 34_900, 1_255
ZONES = COMMUNES + EPCI + 101 + 18 + 1 + 7
INDICATORS = 80
SAMPLE = 2_000


def run() -> list[dict]:
    """One line per measure: `name, seconds, peer_seconds, ratio` (ours / peer's), `limit` (s), `memory_mb` if told."""
    generator = np.random.default_rng(0)
    return [
        _intervals(generator, "intervals of every indicator and zone of France", ZONES * INDICATORS, 3.0),
        _intervals(generator, "intervals of a million rows", 1_000_000, 1.0),
        _lisa(generator),
        _fdep(generator),
        _secrecy(generator),
        _typology(generator),
    ]


def _seconds(work: Callable[[], object], times: int = 3) -> float:
    """The best of a few runs: the machine is shared, the slower ones measure the neighbours."""
    best = math.inf
    for _ in range(times):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best


def _line(name: str, seconds: float, peer: float, limit: float, memory: float | None = None) -> dict:
    line = {
        "name": name, "seconds": seconds, "peer_seconds": peer, "ratio": seconds / peer,
        "limit": limit, "limit_on": "seconds",
    }  # fmt: skip
    return line if memory is None else line | {"memory_mb": memory}


def _intervals(generator, name: str, rows: int, limit: float) -> dict:
    """Half census shares (Wilson, decimal counts), half small counts of events (Byar, exact under 10)."""
    half = rows // 2
    total = generator.lognormal(6, 1.5, half)
    share = total * generator.uniform(0, 0.5, half)
    events, people = generator.poisson(generator.lognormal(2.5, 1.2, rows - half)), np.full(rows - half, 5_000.0)

    def ours():
        rates.wilson(share, total, 100)
        rates.byar(events, people, 100_000)

    def plain():
        """Row by row with scipy.stats, on a sample."""
        z = stats.norm.ppf(0.975)
        for k, n in zip(share[:SAMPLE], total[:SAMPLE], strict=True):
            p = k / n
            middle, reach = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
            _ = ((middle - reach) / (1 + z * z / n), (middle + reach) / (1 + z * z / n))
        for k in events[:SAMPLE]:
            _ = (stats.chi2.ppf(0.025, 2 * k) / 2, stats.chi2.ppf(0.975, 2 * k + 2) / 2)

    seconds = _seconds(ours)
    peer = _seconds(plain, 1) * rows / (2 * SAMPLE)
    tracemalloc.start()
    ours()
    memory = tracemalloc.get_traced_memory()[1] / 1e6
    tracemalloc.stop()
    return _line(f"{name} ({rows} rows)", seconds, peer, limit, memory)


def _lisa(generator) -> dict:
    side = math.ceil(math.sqrt(EPCI))
    cells = [box(x, y, x + 1, y + 1) for x in range(side) for y in range(side)][:EPCI]
    boundaries = geopandas.GeoSeries(cells, crs=2154)
    near = space.neighbours(boundaries)
    values = pd.Series(generator.normal(size=EPCI))
    links: list[list[int]] = [[] for _ in range(EPCI)]
    for i, j in near.pairs:
        links[i].append(j)

    def plain():
        """Conditional draws one zone at a time, a thousandth of them."""
        z = ((values - values.mean()) / values.std(ddof=0)).to_numpy()
        for i, around in enumerate(links):
            others = np.delete(z, i)
            for _ in range(space.DRAWS // 1000):
                _ = z[i] * generator.choice(others, len(around), replace=False).mean()

    seconds = _seconds(lambda: space.lisa(values, near))
    return _line("LISA of 1,255 EPCI, 99,999 draws", seconds, 1000 * _seconds(plain, 1), 10.0)


def _fdep(generator) -> dict:
    variables = pd.DataFrame(generator.normal(10, 2, (COMMUNES, 4)), columns=list(deprivation.FDEP_VARIABLES))
    people = pd.Series(generator.lognormal(6, 1.5, COMMUNES))

    def ours():
        deprivation.population_classes(deprivation.fdep(variables, people).scores, people)

    def plain():
        """Full singular value decomposition of the weighted table, then a cut of the cumulated population."""
        data, weight = variables.to_numpy(), (people / people.sum()).to_numpy()
        mean = weight @ data
        scaled = (data - mean) / np.sqrt(weight @ (data - mean) ** 2)
        _, _, axes = np.linalg.svd(scaled * np.sqrt(weight)[:, None], full_matrices=False)
        score = pd.Series(scaled @ axes[0]).sort_values()
        pd.cut(people[score.index].cumsum() / people.sum(), 5, labels=False)

    return _line("FDep and quintiles of 34,900 communes", _seconds(ours), _seconds(plain), 1.0)


def _secrecy(generator) -> dict:
    """Deaths of every commune; one EPCI in twenty cuts across two départements, as in France."""
    epci = np.sort(generator.integers(0, EPCI, COMMUNES))
    departement = epci * 101 // EPCI
    moved = (epci % 20 == 0) & (generator.random(COMMUNES) < 0.2)
    departement = np.where(moved, (departement + 1) % 101, departement)
    values = pd.Series(generator.poisson(generator.lognormal(2.5, 1.5, COMMUNES)).astype(float))
    kinds = {"epci": epci, "departement": departement, "region": departement % 18, "france": np.zeros(COMMUNES, int)}
    membership = pd.concat(
        pd.DataFrame({"unit": values.index, "zone_type": kind, "zone_code": codes}) for kind, codes in kinds.items()
    )
    totals = membership.join(values.rename("value"), on="unit").groupby(["zone_type", "zone_code"])["value"].sum()

    def ours():
        secrecy.protect(values, totals, membership, secrecy.primary(values), secrecy.primary(totals))

    def plain():
        """One numerical audit only, without any remedy: leverage of each family of masked communes, dense algebra."""
        masked = np.column_stack(list(kinds.values()))[secrecy.primary(values)]
        families = np.unique(masked, axis=0)
        rows = [families[:, k] == code for k in range(len(kinds)) for code in np.unique(families[:, k])]
        _, singular, axes = np.linalg.svd(np.array(rows, dtype=float), full_matrices=False)
        return (axes[singular > 1e-9] ** 2).sum(axis=0) > 1 - 1e-9

    return _line("secondary secrecy of 34,900 communes", _seconds(ours, 1), _seconds(plain, 1), 10.0)


def _typology(generator) -> dict:
    family = generator.integers(0, 4, EPCI)
    data = generator.normal(size=(4, 8))[family] * 1.5 + generator.normal(size=(EPCI, 8))
    names = [f"v{i}" for i in range(8)]
    variables = pd.DataFrame(data, columns=names)
    people = pd.Series(generator.integers(5_000, 500_000, EPCI))

    def plain():
        """The same number of trees and consolidations with scikit-learn, on the raw variables."""
        for number in [*range(2, 7), *[4] * typology.RESAMPLES]:
            first = AgglomerativeClustering(number).fit_predict(data)
            centres = np.array([data[first == k].mean(axis=0) for k in range(number)])
            KMeans(number, init=centres, n_init=1).fit(data)

    seconds = _seconds(lambda: typology.typology(variables, people, {name: (name, name) for name in names}), 1)
    return _line("typology of 1,255 EPCI, 50 resamples", seconds, _seconds(plain, 1), 20.0)


if __name__ == "__main__":
    print(pd.DataFrame(run()).to_string(index=False))
