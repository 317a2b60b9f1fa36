"""Run by the tests: processes that die at their n-th file operation, for every n, or at any moment.

    killed.py FOLDER ADDRESS refresh|accept|download|run

`FOLDER/prepared` is copied anew for each death. For `refresh` and `accept`, prints one JSON object per n: what serves
after the death (read with the producer out of reach), and what serves once the action is done again. `run` brings the
assets `raw` and `observations` up to date as the pipeline does (fetch, gates, adoption, history, observations, ledger),
dying at each file operation, then at moments spread over its duration; it prints what stands after each death, and once
the run is done again. `download` just refreshes in FOLDER, waiting to be killed from outside.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from producer import FakeTime, Loopback, card, storage_in

from diagnostics.catalog import Catalog
from diagnostics.sources import contract
from diagnostics.sources.fetch import fetch
from diagnostics.sources.gates import accept, refresh
from diagnostics.sources.web import Patience, Web
from diagnostics.workshop import Workshop

DEAD = 9
MOST_STEPS = 120
STEPS, MOMENTS = 16, 6
HISTORY = {"by": {"commune": "code"}, "distinct": "annee"}
KEPT = {"years_told": {"where": "true"}}


def act(action: str, folder: Path, address: str) -> None:
    source = card(address)
    storage = storage_in(folder)
    if action == "accept":
        accept("essai", "vérifié", storage, who="Ada")
        return
    clock = FakeTime()
    with Web(Patience(connect=2, silence=30), transport=Loopback(), sleep=clock.sleep, clock=clock.clock) as web:
        if action == "run":
            run(workshop_in(folder, address, web))
        else:
            refresh(source, source.distributions[0], storage, web=web)


def workshop_in(folder: Path, address: str, web: Web) -> Workshop:
    source = card(address, history=HISTORY, kept=KEPT)
    return Workshop(Catalog(folder, {"essai": source}, {}, {}), "official", storage_in(folder), web=web)


def run(workshop: Workshop) -> None:
    # Dagster takes seconds to load: the other actions do without.
    import dagster as dg  # noqa: PLC0415

    from assets.observations import observation_assets  # noqa: PLC0415
    from assets.raw import raw_assets  # noqa: PLC0415

    assets = [*raw_assets(workshop.catalog), *observation_assets(workshop.catalog)]
    keys = [dg.AssetKey([stage, "essai"]) for stage in ("raw", "observations")]
    with dg.DagsterInstance.ephemeral() as instance:
        dg.materialize(
            assets,
            selection=dg.AssetSelection.assets(*keys),
            resources={"workshop": workshop},
            instance=instance,
            run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
        )


def changes_a_file(event: str, arguments: tuple) -> bool:
    if event == "open":
        return bool(arguments[2] & (os.O_WRONLY | os.O_RDWR)) and ".locks" not in str(arguments[0])
    return event in {"os.rename", "os.remove", "os.mkdir"}


def die_at(step: int, folder: Path) -> None:
    """End this process, without any clean-up, at its `step`-th operation on a file of `folder`."""
    seen = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal seen
        if changes_a_file(event, arguments) and str(folder) in str(arguments[0]):
            seen += 1
            if seen == step:
                os._exit(DEAD)

    sys.addaudithook(hook)


def forked(work: Callable[[], None]) -> int:
    """The exit code of a child that does `work`. DuckDB's threads only ever start in children."""
    child = os.fork()
    if child == 0:
        work()
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def serving(folder: Path, address: str) -> str:
    """What `fetch` serves when the producer cannot be reached."""
    source = card(address)
    with Web(Patience(attempts=1), transport=Loopback()) as web:
        web.download = None  # any attempt to go and look is an error
        return fetch(source, source.distributions[0], storage_in(folder), web=web, verify=True).path.read_text()


def every_step(action: str, base: Path, address: str) -> list[dict]:
    # pandera builds itself at its first use: once here rather than in each child.
    source = card(address)
    contract.check(source, source.distributions[0], pd.DataFrame(columns=contract.COLUMNS))
    steps = []
    for step in range(1, MOST_STEPS):
        folder = base / f"step-{step}"
        shutil.copytree(base / "prepared", folder, copy_function=shutil.copy2)

        def dying(step=step, folder=folder) -> None:
            die_at(step, folder)
            act(action, folder, address)

        code = forked(dying)
        after = serving(folder, address)
        # A decision that was wholly taken before the death has nothing left to accept.
        waiting = any(folder.rglob("*.refused-????????")) or action == "refresh"
        if code == DEAD and waiting:
            forked(lambda folder=folder: act(action, folder, address))
        steps.append({"step": step, "serving": after, "again": serving(folder, address)})
        if code != DEAD:
            assert code == 0, f"step {step} ended with {code}"
            return steps
    raise AssertionError(f"more than {MOST_STEPS} file operations")


def standing(folder: Path, address: str) -> dict:
    """What the next reader finds: the file that serves, the observations, the months kept, and what is said current."""
    with Web(Patience(attempts=1), transport=Loopback()) as web:
        web.download = None
        workshop = workshop_in(folder, address, web)
        (distribution,) = workshop.distributions("essai")
        raw = workshop.raw_file("essai", distribution)
        observed = pd.read_parquet(workshop.observations_path("essai"))
        kept = [f for f in folder.rglob("*.parquet") if f.parent.name == "history" and not f.name.startswith(".")]
        return {
            "raw": raw.path.read_text(),
            "whole": raw.path.stat().st_size == raw.receipt.size,
            "observed": float(observed.loc[observed["variable"] == "pop", "value"].sum()),
            "months": [int(pd.read_parquet(f)["count"].sum()) for f in kept],
            "current": [workshop.is_current(f"{stage}/essai") for stage in ("raw", "observations")],
        }


def every_moment(base: Path, address: str) -> list[dict]:
    """Deaths of a whole run: at file operations spread over it, then at instants spread over its duration."""
    deaths = []

    def die(name: str, kill: Callable[[Path], int]) -> None:
        folder = base / name
        shutil.copytree(base / "prepared", folder, copy_function=shutil.copy2)
        code = kill(folder)
        after = standing(folder, address)
        if code != 0:
            assert forked(lambda: act("run", folder, address)) == 0
        deaths.append({"moment": name, "died": code != 0, "after": after, "again": standing(folder, address)})
        shutil.rmtree(folder)

    def at_step(step: int, folder: Path) -> int:
        def dying() -> None:
            die_at(step, folder)
            act("run", folder, address)

        return forked(dying)

    # Dagster and pandera build themselves at their first use: once here rather than in each child.
    whole = base / "whole"
    for folder in (base / "first", whole):
        shutil.copytree(base / "prepared", folder, copy_function=shutil.copy2)
    act("run", base / "first", address)
    start = time.monotonic()
    steps = forked(lambda: os._exit(operations(whole, address)))
    lasts = time.monotonic() - start
    for step in sorted({1 + steps * n // STEPS for n in range(STEPS)}):
        die(f"step {step} of {steps}", lambda folder, step=step: at_step(step, folder))
    for n in range(MOMENTS):
        seconds = lasts * (n + 1) / (MOMENTS + 1)
        die(f"after {seconds:.2f} s of {lasts:.2f}", lambda folder, s=seconds: killed_after(s, folder, address))
    return deaths


def operations(folder: Path, address: str) -> int:
    """How many operations on files of `folder` a whole run makes."""
    seen = 0

    def hook(event: str, arguments: tuple) -> None:
        nonlocal seen
        seen += changes_a_file(event, arguments) and str(folder) in str(arguments[0])

    sys.addaudithook(hook)
    act("run", folder, address)
    return seen


def killed_after(seconds: float, folder: Path, address: str) -> int:
    """The exit code of a run killed from outside after `seconds`, unless it has ended."""
    child = os.fork()
    if child == 0:
        act("run", folder, address)
        os._exit(0)
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    base, address, action = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    if action == "download":
        act("refresh", base, address)
    elif action == "run":
        print(json.dumps(every_moment(base, address)))
    else:
        print(json.dumps(every_step(action, base, address)))
