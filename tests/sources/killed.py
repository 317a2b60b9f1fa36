"""Run by test_gates.py: processes that die at their n-th file operation, for every n.

    killed.py FOLDER ADDRESS refresh|accept|download

`FOLDER/prepared` is copied anew for each n. For `refresh` and `accept`, prints one JSON object per n: what serves
after the death (read with the producer out of reach), and what serves once the action is done again. `download` just
refreshes in FOLDER, waiting to be killed from outside.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
from producer import FakeTime, Loopback, card, storage_in

from diagnostics.sources import contract
from diagnostics.sources.fetch import fetch
from diagnostics.sources.gates import accept, refresh
from diagnostics.sources.web import Patience, Web

DEAD = 9
MOST_STEPS = 120


def act(action: str, folder: Path, address: str) -> None:
    source = card(address)
    storage = storage_in(folder)
    if action == "accept":
        accept("essai", "vérifié", storage, who="Ada")
        return
    clock = FakeTime()
    with Web(Patience(connect=2, silence=30), transport=Loopback(), sleep=clock.sleep, clock=clock.clock) as web:
        refresh(source, source.distributions[0], storage, web=web)


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


if __name__ == "__main__":
    base, address, action = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
    if action == "download":
        act("refresh", base, address)
    else:
        print(json.dumps(every_step(action, base, address)))
