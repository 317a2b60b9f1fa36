"""The same doors on a disk and on an object store."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from upath import UPath

from diagnostics.errors import DiagnosticError, SourceError
from diagnostics.sources.receipts import local
from diagnostics.storage import PROJECT_ROOT, Storage, on_disk, replacing, write_parquet


@pytest.fixture(params=["disk", "s3"])
def root(request, tmp_path, monkeypatch):
    monkeypatch.setenv("DIAGNOSTIC_CACHE", str(tmp_path / "cache"))
    if request.param == "disk":
        return UPath(tmp_path / "data")
    return UPath(request.getfixturevalue("bucket"), use_listings_cache=False) / "prefix"


@pytest.fixture
def remote(bucket, tmp_path, monkeypatch):
    monkeypatch.setenv("DIAGNOSTIC_CACHE", str(tmp_path / "cache"))
    return UPath(bucket, use_listings_cache=False) / "prefix"


def put(target, text):
    with replacing(target) as temporary:
        temporary.write_text(text, encoding="utf-8")


def put_half(target):
    with replacing(target) as temporary:
        temporary.write_text("à moitié", encoding="utf-8")
        raise KeyboardInterrupt


def test_what_was_written_is_read_and_what_replaces_it_too(root):
    target = root / "processed" / "a" / "one.txt"
    put(target, "premier")
    assert on_disk(target).read_text(encoding="utf-8") == "premier"
    put(target, "second")
    assert on_disk(target).read_text(encoding="utf-8") == "second"
    assert [path.name for path in target.parent.iterdir()] == ["one.txt"]


def test_a_failure_leaves_the_former_file_and_nothing_else(root):
    target = root / "one.txt"
    put(target, "premier")
    with pytest.raises(KeyboardInterrupt):
        put_half(target)
    assert target.read_text(encoding="utf-8") == "premier"
    assert [path.name for path in root.iterdir()] == ["one.txt"]


def test_a_table_comes_back_whole(root):
    frame = pd.DataFrame({"code": ["54001", None], "value": [1.5, float("nan")]})
    write_parquet(frame, root / "table.parquet")
    pd.testing.assert_frame_equal(pd.read_parquet(on_disk(root / "table.parquet")), frame)


def test_a_file_that_is_not_there_says_so(root):
    put(root / "other.txt", "")
    with pytest.raises(FileNotFoundError):
        on_disk(root / "one.txt").read_text(encoding="utf-8")


def test_a_version_already_here_is_not_fetched_again(remote, monkeypatch):
    put(remote / "one.txt", "premier")
    kept = on_disk(remote / "one.txt")
    monkeypatch.setattr(type(remote.fs), "get_file", lambda *_: pytest.fail("fetched again"))
    assert on_disk(remote / "one.txt") == kept


def test_the_cache_is_bounded_and_spares_what_just_served(remote, tmp_path, monkeypatch):
    monkeypatch.setenv("DIAGNOSTIC_CACHE_BYTES", "2500")
    for name in "abcd":
        put(remote / name, name * 1000)
    copies = []
    for age, name in enumerate("abc"):
        copies.append(on_disk(remote / name))
        os.utime(copies[-1], (time.time() - 10_000 + age,) * 2)
    assert [copy.exists() for copy in copies] == [False, True, True], "the oldest made room"
    assert on_disk(remote / "b").read_text() == "b" * 1000
    on_disk(remote / "d")
    assert [copy.exists() for copy in copies] == [False, True, False], "b has just served: c goes"
    monkeypatch.setenv("DIAGNOSTIC_CACHE_BYTES", "1")
    assert on_disk(remote / "a").exists()


KILLED = """
import sys, time
from upath import UPath
from diagnostics.storage import replacing
with replacing(UPath(sys.argv[1]) / "one.txt") as temporary:
    temporary.write_text("à moitié", encoding="utf-8")
    print("written", flush=True)
    time.sleep(60)
"""


def test_a_killed_process_changes_nothing_in_the_store(remote):
    put(remote / "one.txt", "premier")
    environment = os.environ | {"PYTHONPATH": str(PROJECT_ROOT)}
    process = subprocess.Popen(
        [sys.executable, "-c", KILLED, str(remote)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "written\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert [path.name for path in remote.iterdir()] == ["one.txt"]
    assert (remote / "one.txt").read_text(encoding="utf-8") == "premier"


def test_the_raw_files_of_a_remote_store_stay_on_a_disk(monkeypatch, tmp_path):
    monkeypatch.setenv("DIAGNOSTIC_DATA", "s3://seau/prefixe")
    assert Storage.from_environment().raw == UPath(PROJECT_ROOT / "data" / "raw")
    monkeypatch.setenv("DIAGNOSTIC_FILES", str(tmp_path))
    storage = Storage.from_environment()
    assert (storage.raw, storage.manual) == (UPath(tmp_path / "raw"), UPath(tmp_path / "manual"))
    assert str(storage.values) == "s3://seau/prefixe/processed/indicators/values.parquet"
    with pytest.raises(SourceError, match="DIAGNOSTIC_FILES"):
        local(Storage(UPath("s3://seau")).raw)


@pytest.mark.parametrize("address", ["abfs://seau/prefixe", "inconnu://seau"])
def test_a_store_that_no_library_here_can_read_is_refused_at_once(monkeypatch, address):
    monkeypatch.setenv("DIAGNOSTIC_DATA", address)
    with pytest.raises(DiagnosticError, match=re.escape(address)):
        Storage.from_environment()
