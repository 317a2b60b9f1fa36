"""The whole pipeline on the mirror profile: figures of France, deliverables of one CLS, what a second run costs.

`run()` gives one dictionary per case: `name`, `seconds`, `peer_seconds` (None without a peer), `ratio` (seconds over
the peer's), `limit` and `limit_on` (`seconds` or `ratio`), `memory_mb` and `memory_limit_mb` where memory is held.
Every case runs in a fresh process, in a folder of its own that is removed at the end; products of the project are
neither read nor touched.
"""

from __future__ import annotations

import dataclasses
import datetime
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import pandas as pd

from diagnostics.catalog import load_catalog
from diagnostics.geography.stored import read_reference
from diagnostics.indicators import build_facts, compute, needed_variables, reference_population
from diagnostics.sources.receipts import file_sha256
from diagnostics.threads import VARIABLE
from diagnostics.workshop import Workshop

ROOT = Path(__file__).resolve().parents[1]
MIRROR = Path(os.environ.get("DIAGNOSTIC_MIRROR", ROOT.parent / "shared" / "open-data"))
TERRITORY = "val-de-lorraine"
SMALL_SOURCE = "spf_odisse_departements"
SEVEN = ("coeur-de-lorraine", "echirolles", "metz", "pont-de-claix", "saint-egreve", "thionville", TERRITORY)
"""In the order of a backfill of Dagster's: the longest comes last, alone on its worker at the end."""
FASTER = 1.6
"""How many times faster two workers must be than one."""

FIRST_INDICATORS = [
    "pop_municipal",
    "pop_density",
    "pop_growth_annual",
    "commune_size_median",
    "rural_pop_share",
    "birth_rate_crude",
    "death_rate_crude",
    "age_share_65plus",
    "age_share_75plus",
    "age_share_80plus",
    "ageing_index",
    "old_old_index",
    "living_alone_80plus",
    "one_person_household_share",
    "single_parent_household_share",
    "income_median_uc",
    "poverty_rate_60",
    "unemployment_rate_rp",
    "social_housing_share",
    "household_no_car_share",
    "edi_q5_pop_share",
    "apl_gp",
    "apl_gp_65",
    "apl_gp_retirement_gap",
    "apl_gp_under25_pop_share",
    "apl_nurse",
    "apl_dentist",
    "apl_midwife",
    "pharmacy_density_10k",
    "pharmacy_none_pop_share",
    "msp_count",
    "emergency_count",
    "nurse_zoning_pop_share",
    "radon_class3_pop_share",
    "apa_rate_60plus",
]
"""The indicators that the diagnostic began with: the limits of time and memory were set on them."""


def run() -> list[dict]:
    """Every case; a single skipped one when there is no mirror."""
    if not MIRROR.is_dir():
        return [{"name": "pipeline, mirror profile", "skipped": f"no mirror folder at {MIRROR.name}"}]
    with tempfile.TemporaryDirectory() as name, _told(_environment(Path(name))):
        return _cases()


@contextmanager
def _told(variables: dict[str, str]) -> Iterator[None]:
    """These variables of the environment, here and in the processes that start meanwhile."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _environment(folder: Path) -> dict[str, str]:
    home = folder / "home"
    home.mkdir()
    shutil.copy(ROOT / "dagster.yaml", home)
    return {
        "DIAGNOSTIC_MIRROR": str(MIRROR),
        "DIAGNOSTIC_DATA": str(folder / "data"),
        "DIAGNOSTIC_PROFILE": "mirror",
        "DAGSTER_HOME": str(home),
    }


def _cases() -> list[dict]:
    _alone(_fetch)
    figures, figures_memory = _alone(_figures)
    deliverables, memory = _alone(_deliverables)
    _forget(TERRITORY)
    plain, _ = _alone(_deliverables_without_dagster)
    full = figures + deliverables
    second, loaded = _command(SECOND_RUN), _command(CODE_LOCATION)
    one, two = _backfill(workers=1), _backfill(workers=2)
    first, first_memory = _alone(_first_indicators)
    ours, theirs = _alone(_engine_and_pandas, timed=False)
    # Last: it leaves figures that the catalogue does not explain.
    refresh, refresh_memory = _refreshed()
    sources = len(Workshop.from_environment().sources)
    return [
        _case("from the raw files to every figure of France", figures, memory=figures_memory),
        _case("35 first indicators, facts to figures", first, limit=15, memory=first_memory, memory_limit=2000),
        _case("engine against plain pandas, ratios of the 35", ours, theirs, limit=1.0, limit_on="ratio"),
        _case(f"deliverables of one CLS ({TERRITORY})", deliverables, limit=45, memory=memory),
        _case("the same deliverables, Dagster against plain calls", deliverables, plain, limit=1.2, limit_on="ratio"),
        _case("second run, nothing changed (command included)", second, limit=5),
        _case("code location loaded (Python included)", loaded, limit=4),
        _case(
            f"one small source of {sources} moved, figures and one CLS, against everything", refresh, full, limit=0.2,
            limit_on="ratio", memory=refresh_memory,
        ),
        _case(f"{len(SEVEN)} CLS on two workers, against one", two, one, limit=1 / FASTER, limit_on="ratio"),
    ]  # fmt: skip


def _case(
    name: str,
    seconds: float,
    peer: float | None = None,
    *,
    limit: float | None = None,
    limit_on: str = "seconds",
    memory: float | None = None,
    memory_limit: float | None = None,
) -> dict:
    return {
        "name": name, "seconds": seconds, "peer_seconds": peer, "ratio": seconds / peer if peer else None,
        "limit": limit, "limit_on": limit_on, "memory_mb": memory, "memory_limit_mb": memory_limit,
    }  # fmt: skip


def _alone(function: Callable, *, timed: bool = True) -> tuple[float, float]:
    """Seconds and peak memory (MB) of one call in a fresh process; or what it returns, when it times itself."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(*((_timed, function) if timed else (function,))).result()


def _timed(function: Callable) -> tuple[float, float]:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000


SECOND_RUN = ["-m", "pipelines.cli", "run", TERRITORY, "--profile", "mirror"]
CODE_LOCATION = ["-c", "from pipelines.definitions import defs; defs()"]


def _command(arguments: list[str]) -> float:
    """The better of two calls: the first one may have to compile a module or warm the disk."""
    times = []
    for _ in range(2):
        start = time.perf_counter()
        subprocess.run([sys.executable, *arguments], cwd=ROOT, check=True, capture_output=True)
        times.append(time.perf_counter() - start)
    return min(times)


# --- what each process does ------------------------------------------------------------------------------------------


def _fetch() -> None:
    """Raw files at hand before anything is timed: the mirror's, and the two packages'."""
    workshop = Workshop.from_environment()
    for dataset in workshop.sources:
        workshop.fetch(dataset)


def _figures() -> None:
    from pipelines.run import run as bring  # noqa: PLC0415

    bring(Workshop.from_environment(), [])


def _deliverables() -> None:
    from pipelines.run import run as bring  # noqa: PLC0415

    bring(Workshop.from_environment(), [TERRITORY])


def _deliverables_without_dagster() -> None:
    """The functions that the assets of a territory call, one after the other, then that of the database."""
    from assets.changes import keep_and_compare  # noqa: PLC0415
    from assets.maps import draw  # noqa: PLC0415
    from assets.patterns import look  # noqa: PLC0415
    from assets.products import pack  # noqa: PLC0415
    from assets.reports import write  # noqa: PLC0415
    from diagnostics.products.database import write_database  # noqa: PLC0415

    workshop = Workshop.from_environment()
    for produce in (draw, look, write, pack, keep_and_compare):
        produce(workshop, workshop.catalog.territory(TERRITORY))
    write_database(workshop)


def _refreshed() -> tuple[float, float]:
    """Seconds and peak memory of a refresh after one producer revised one figure of a small file."""
    with tempfile.TemporaryDirectory() as name:
        _mirror_with_a_revised_figure(Path(name))
        with _told({"DIAGNOSTIC_MIRROR": name}):
            return _alone(_refresh)


def _mirror_with_a_revised_figure(folder: Path) -> None:
    """The mirror by reference, but for the file of the small source: a copy in which one value is another."""
    for entry in MIRROR.iterdir():
        if entry.name != SMALL_SOURCE:
            (folder / entry.name).symlink_to(entry)
    file = _small_file(folder)
    file.parent.mkdir()
    table = pd.read_csv(_small_file(MIRROR), dtype=str)
    table.iloc[0, -1] = str(float(table.iloc[0, -1]) + 1)
    table.to_csv(file, index=False)


def _small_file(mirror: Path) -> Path:
    (distribution,) = load_catalog().sources[SMALL_SOURCE].of_profile("mirror")
    return mirror / distribution.address.removeprefix("mirror://")


def _refresh() -> None:
    """What `diagnostic run` does, once the card tells the sum of the new file."""
    from pipelines.run import run as bring  # noqa: PLC0415

    catalog = load_catalog()
    source = catalog.sources[SMALL_SOURCE]
    pinned = file_sha256(_small_file(Path(os.environ["DIAGNOSTIC_MIRROR"])))
    distributions = [d.model_copy(update={"sha256": pinned}) for d in source.distributions]
    moved = source.model_copy(update={"distributions": distributions})
    catalog = dataclasses.replace(catalog, sources=catalog.sources | {SMALL_SOURCE: moved})
    made = bring(Workshop(catalog, "mirror"), [TERRITORY])
    assert f"observations/{SMALL_SOURCE}" in made


def _backfill(*, workers: int) -> float:
    """Seconds to make the deliverables of seven CLS, each a run of its own, from figures that are up to date.

    Workers are as `deploy/` starts them: up before the clock starts, one core each, and they make deliverables only;
    the database, which holds those of all, is made once after a backfill.
    """
    _forget(*SEVEN)
    with _told({VARIABLE: "1"}), ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        list(pool.map(_awake, range(4 * workers)))
        start = time.perf_counter()
        list(pool.map(_deliverables_of, SEVEN))
        return time.perf_counter() - start


def _forget(*territories: str) -> None:
    """Nothing of what was made for these territories is left to be kept."""
    processed = Workshop.from_environment().storage.processed
    for territory in territories:
        shutil.rmtree(processed / "territories" / territory, ignore_errors=True)
        for stamp in (processed / "stamps").glob(f"*/{territory}"):
            stamp.unlink()


def _awake(_number: int) -> None:
    _jobs()
    time.sleep(0.5)


@cache
def _jobs():
    """The workshop and the jobs of a worker: the code is loaded once."""
    import pipelines.definitions  # noqa: F401, PLC0415
    from pipelines.run import Jobs  # noqa: PLC0415

    workshop = Workshop.from_environment()
    return workshop, Jobs(workshop)


def _deliverables_of(territory: str) -> None:
    from pipelines.stale import stale_deliverables  # noqa: PLC0415

    workshop, jobs = _jobs()
    keys = stale_deliverables(workshop, territory)
    assert keys
    jobs.materialize(keys, territory)


def _first_indicators() -> None:
    workshop = Workshop(load_catalog().of_indicators(FIRST_INDICATORS), "mirror")
    _compute(workshop, (carried.observations for carried in _facts(workshop)))


def _engine_and_pandas() -> tuple[float, float]:
    """Seconds of the engine and of the plain way on the same facts, already at the pivot."""
    workshop = Workshop(load_catalog().of_indicators(FIRST_INDICATORS), "mirror")
    ratios = [i.id for i in workshop.catalog.indicators.values() if i.formula_for("mirror").kind in ("ratio", "sum")]
    workshop = Workshop(load_catalog().of_indicators(ratios), "mirror")
    frames = [carried.observations for carried in _facts(workshop)]
    start = time.perf_counter()
    _compute(workshop, frames)
    middle = time.perf_counter()
    _plain_pandas(workshop, frames)
    return middle - start, time.perf_counter() - middle


def _facts(workshop: Workshop):
    return build_facts(
        workshop.read_observations(needed_variables(workshop.catalog, "mirror")),
        workshop.sources.values(),
        read_reference(workshop.storage.geography),
        reference_population(workshop.catalog, "mirror"),
    )


def _compute(workshop: Workshop, frames) -> None:
    now = datetime.datetime.now(datetime.UTC)
    table = compute(workshop.catalog, "mirror", frames, workshop.read_membership(), versions={}, computed_at=now)
    assert table.num_rows


def _plain_pandas(workshop: Workshop, frames: list[pd.DataFrame]) -> pd.DataFrame:
    """Sums by zone of the numerator and the denominator, then their quotient: no interval, flag nor coverage."""
    facts = pd.concat([frame.astype({"geo_code": "str", "variable": "str", "period": "str"}) for frame in frames])
    facts = facts.set_index(["variable", "period"]).sort_index()
    membership = workshop.read_membership()
    links = membership[membership["child_type"] == "commune"].rename(columns={"child_code": "geo_code"})
    done = []
    for indicator in workshop.catalog.indicators.values():
        if not workshop.catalog.is_computable(indicator, "mirror"):
            continue
        sums = {}
        for role, terms in indicator.formula_for("mirror").roles().items():
            level = "departement" if indicator.nature == "context" else "commune"
            parts = []
            for term in terms:
                rows = facts.loc[[(term.variable, term.period)]]
                rows = rows[rows["geo_type"] == level]
                parts.append(rows.set_index("geo_code")["value"] * term.coefficient)
            known = sum(parts[1:], parts[0]).rename("value").reset_index()
            sums[role] = known.merge(links, on="geo_code").groupby(["parent_type", "parent_code"])["value"].sum()
        figure = pd.DataFrame(sums)
        figure["value"] = figure["numerator"] / figure.get("denominator", 1.0)
        done.append(figure.assign(indicator_id=indicator.id))
    return pd.concat(done)


if __name__ == "__main__":
    for case in run():
        print(case)
