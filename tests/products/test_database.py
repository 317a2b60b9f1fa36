"""The DuckDB product: whole, commented, read-only, and replaced under the feet of an open notebook."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from upath import UPath

from diagnostics.errors import DiagnosticError
from diagnostics.products import database
from diagnostics.products.dictionary import VALUES
from diagnostics.products.examples import EXAMPLES
from diagnostics.storage import Storage

READER = """
import sys, duckdb
db = duckdb.connect(sys.argv[1], read_only=True)
count = lambda: db.sql("select count(*) from figures").fetchall()[0][0]
print(count(), flush=True)
sys.stdin.readline()
print(count(), flush=True)
"""


@pytest.fixture
def db(workshop):
    with database.connect(workshop.storage) as connection:
        yield connection


def test_it_holds_the_public_table_and_nothing_else(db, workshop):
    columns = ", ".join(VALUES)
    path = str(workshop.storage.values)
    for left, right in (
        ("indicator_values", f"read_parquet('{path}')"),
        (f"read_parquet('{path}')", "indicator_values"),
    ):
        assert db.sql(f"select count(*) from (select {columns} from {left} except all select {columns} from {right})") \
            .fetchall() == [(0,)]  # fmt: skip


def test_every_table_view_and_column_is_explained_in_french(db):
    unexplained = db.sql("""
        select table_name, column_name from duckdb_columns() where not internal and comment is null
        union all select table_name, '' from duckdb_tables() where not internal and comment is null
        union all select view_name, '' from duckdb_views() where not internal and comment is null
    """).fetchall()
    assert unexplained == []


def test_one_latest_row_per_zone_and_indicator(db):
    twice = db.sql("""
        select indicator_id from values_latest group by indicator_id, zone_type, zone_code having count(*) > 1
    """).fetchall()
    assert twice == []
    latest, newest = db.sql("""
        select (select count(*) from values_latest),
               (select count(*) from (select distinct indicator_id, zone_type, zone_code from indicator_values))
    """).fetchall()[0]
    assert latest == newest


def test_the_wide_view_says_what_the_long_one_says(db):
    wide = db.sql("select ageing_index from zones_wide where zone_type = 'france'").fetchall()
    long = db.sql(
        "select value from values_latest where zone_type = 'france' and indicator_id = 'ageing_index'"
    ).fetchall()
    assert wide == long


@pytest.mark.parametrize("name", EXAMPLES)
def test_stored_examples_run_and_answer(db, name):
    ((query,),) = db.execute("select query from examples where example = ?", [name]).fetchall()
    assert len(db.sql(query).fetchall()) > 0


def test_nobody_writes_in_it(db):
    with pytest.raises(duckdb.Error, match="read-only"):
        db.execute("delete from figures")


def test_an_open_notebook_blocks_no_refresh_and_keeps_its_figures(copied, tmp_path):
    path = database.write_database(copied)
    values = copied.storage.values
    reader = subprocess.Popen(
        [sys.executable, "-c", READER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    first = int(reader.stdout.readline())
    # The next figures: one indicator less, in a file of their own.
    fewer = tmp_path / "fewer.parquet"
    duckdb.sql(f"copy (from read_parquet('{values}') where indicator_id <> 'ageing_index') to '{fewer}'")
    folder = Path(copied.storage.processed.path) / "indicators"
    former = folder.resolve()
    folder.unlink()
    shutil.copytree(former, folder, ignore=shutil.ignore_patterns("values.parquet"))
    os.replace(fewer, values)
    database.write_database(copied)
    with database.connect(copied.storage) as renewed:
        (second,) = renewed.sql("select count(*) from figures").fetchall()[0]
    assert second < first
    out, _ = reader.communicate("\n", timeout=60)
    assert int(out) == first


WRITER = """
import sys
from pathlib import Path
from upath import UPath
from diagnostics.catalog import load_catalog
from diagnostics.products import database
from diagnostics.storage import Storage
from diagnostics.workshop import Workshop

views = database._views

def wait(*arguments):
    print("half made", flush=True)
    sys.stdin.readline()
    views(*arguments)

database._views = wait
database.write_database(Workshop(load_catalog(), "embedded", Storage(UPath(sys.argv[1]))))
"""


def test_a_refresh_under_way_blocks_no_notebook(copied):
    database.write_database(copied)
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(copied.storage.root)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert writer.stdout.readline() == "half made\n"
    with database.connect(copied.storage) as db:
        (rows,) = db.sql("select count(*) from values_latest").fetchall()[0]
        assert rows > 0
        writer.communicate("\n", timeout=120)
        assert writer.returncode == 0
        assert db.sql("select count(*) from values_latest").fetchall() == [(rows,)]


def test_a_failed_refresh_leaves_the_former_file_alone(copied, monkeypatch):
    path = database.write_database(copied)
    before = path.read_bytes()

    def fail(*_arguments):
        raise RuntimeError("disque plein")

    monkeypatch.setattr(database, "_views", fail)
    with pytest.raises(RuntimeError):
        database.write_database(copied)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir() if p.name.startswith(".")] == []


def test_nothing_computed_yet_says_what_to_run(tmp_path):
    with pytest.raises(DiagnosticError, match="make diagnostic"):
        database.connect(Storage(UPath(tmp_path)))
