"""A run that is killed, whatever it was doing, leaves the former data or the new ones; the next run ends its work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from killed import act
from producer import Producer, table, whole

HERE = Path(__file__).parent
FORMER, NEW = table(200), table(205, population=120)


def total(body: bytes) -> float:
    return float(sum(int(line.split(b";")[2]) for line in body.splitlines()[1:]))


@pytest.fixture(scope="module")
def deaths(tmp_path_factory) -> list[dict]:
    folder = tmp_path_factory.mktemp("killed")
    with Producer(most_requests=2_000) as producer:
        address = producer.serve("/pop.csv", whole(FORMER, etag='"v1"'))
        act("run", folder / "prepared", address)
        producer.serve("/pop.csv", whole(NEW, etag='"v2"'))
        command = [sys.executable, str(HERE / "killed.py"), str(folder), address, "run"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, cwd=HERE.parents[1])
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_the_run_was_really_killed_all_along(deaths):
    assert sum(death["died"] for death in deaths) >= 16
    found = {(death["after"]["raw"] == NEW.decode(), *death["after"]["current"]) for death in deaths}
    # Before the new file serves; before the ledger knows it; before the observations are made.
    assert {(False, True, True), (True, False, False), (True, True, False)} <= found


def test_the_file_that_serves_is_whole_and_is_the_former_or_the_new(deaths):
    for death in deaths:
        assert death["after"]["raw"] in (FORMER.decode(), NEW.decode()), death["moment"]
        assert death["after"]["whole"], death["moment"]


def test_observations_are_those_of_a_whole_file_and_never_said_current_when_they_are_not(deaths):
    for death in deaths:
        after = death["after"]
        assert after["observed"] in (total(FORMER), total(NEW)), death["moment"]
        raw_current, observations_current = after["current"]
        if observations_current and raw_current:
            assert after["observed"] == total(after["raw"].encode()), death["moment"]


def test_the_next_run_ends_the_work(deaths):
    for death in deaths:
        again = death["again"]
        assert (again["raw"], again["observed"]) == (NEW.decode(), total(NEW)), death["moment"]
        assert again["current"] == [True, True], death["moment"]
        assert again["months"] == death["after"]["months"], "a month once kept never changes"
