"""`diagnostic sources …` as a person types it, against a producer on loopback."""

from __future__ import annotations

import datetime
from types import SimpleNamespace

import pytest
from producer import Producer, card, status, storage_in, table, whole
from typer.testing import CliRunner

from diagnostics import french
from diagnostics.catalog import Catalog
from diagnostics.errors import CatalogError, SourceError
from diagnostics.workshop import Workshop
from pipelines import cli_sources

GOOD, HALF = table(200), table(100)


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """`run(*words)`: one command; `serve(*behaviours)`: what the producer answers from now on."""
    with Producer() as producer:
        source = card(producer.url("/pop.csv"))
        dropped = card("manual://releve/releve.csv").model_copy(update={"id": "releve"})
        catalog = Catalog(tmp_path, {"essai": source, "releve": dropped}, {}, {})
        workshop = Workshop(catalog, "official", storage_in(tmp_path), web=producer.web())
        monkeypatch.setattr(cli_sources, "open_workshop", lambda _profile: workshop)

        def run(*words):
            return CliRunner().invoke(cli_sources.app, list(words), catch_exceptions=True)

        yield SimpleNamespace(
            run=run, serve=lambda *b: producer.serve("/pop.csv", *b), folder=tmp_path, asked=producer.asked
        )


def test_the_plain_command_lists(shop):
    for words in ((), ("list",)):
        done = shop.run(*words)
        assert done.exit_code == 0
        assert "essai/d0" in done.stdout
        assert "jamais" in done.stdout


def test_fetch_tells_rows_and_gates_in_the_list(shop):
    shop.serve(whole(GOOD, etag='"v1"'))
    assert shop.run("fetch", "essai").exit_code == 0
    line = next(line for line in shop.run("list").stdout.splitlines() if line.startswith("essai/d0"))
    assert " 400 " in line
    assert "/" in line.split("400")[1]
    asked = len(shop.asked)
    assert shop.run("fetch", "essai").exit_code == 0
    assert len(shop.asked) == asked  # what is here is not asked for again


def test_a_refused_file_fails_the_command_and_is_let_in_by_a_person(shop):
    shop.serve(whole(GOOD, etag='"v1"'))
    shop.run("fetch", "essai")
    shop.serve(whole(HALF, etag='"v2"'))
    refused = shop.run("refresh", "essai")
    assert refused.exit_code == SourceError.exit_code
    assert "refusé" in refused.stdout
    assert "sources accept essai" in refused.stderr
    assert "nouveau refusé" in shop.run("list").stdout
    assert "communes" in shop.run("list", "--dataset", "essai").stdout

    assert shop.run("accept", "essai").exit_code != 0  # a reason is asked for
    accepted = shop.run("accept", "essai", "--because", "fusion de communes vérifiée au COG")
    assert accepted.exit_code == 0
    assert "accepté malgré" in accepted.stdout
    assert "fusion de communes vérifiée" in shop.run("list", "--dataset", "essai").stdout
    assert shop.run("refresh", "essai").exit_code == 0


def test_check_keeps_a_receipt_and_says_how_to_record_it(shop):
    shop.serve(whole(GOOD, etag='"v1"'))
    done = shop.run("check", "essai")
    assert done.exit_code == 0
    assert "verified: 20" in done.stdout
    assert "catalog/sources/essai.yaml" in done.stdout
    (receipt,) = shop.folder.glob("raw/essai/*/*.check.json")
    assert '"etag": "\\"v1\\""' in receipt.read_text()
    line = next(line for line in shop.run("list").stdout.splitlines() if line.startswith("essai/d0"))
    assert french.date(datetime.datetime.now(datetime.UTC), "dd/MM/y") in line


def test_check_of_a_moved_file_fails(shop):
    shop.serve(status(404))
    done = shop.run("check", "essai")
    assert done.exit_code == SourceError.exit_code
    assert "404" in done.stdout
    assert ", échec" in shop.run("list").stdout


def test_a_file_to_drop_has_a_template_and_says_where_it_is_awaited(shop):
    absent = shop.run("fetch", "releve")
    assert absent.exit_code == SourceError.exit_code
    assert "absent" in absent.stdout
    done = shop.run("template", "releve")
    assert done.exit_code == 0
    (model,) = shop.folder.glob("manual/releve/modele-*.csv")
    assert model.read_text("utf-8-sig").strip() == "code;annee;pop;producer;obtained_on;reference"
    assert shop.run("fetch", "releve").exit_code == SourceError.exit_code  # a template is not the file
    model.with_name("releve.csv").write_bytes(
        b"code;annee;pop;producer;obtained_on;reference\n55001;2024;12;ARS;2026-03-31;lettre du 2 mars\n"
    )
    assert shop.run("fetch", "releve").exit_code == 0


DROP = b"code;annee;pop;producer;obtained_on;reference\n55001;2024;%s;ARS;2026-03-31;lettre du 2 mars\n"


def test_a_dropped_file_is_held_to_its_card_before_it_serves(shop):
    place = shop.folder / "manual" / "releve" / "releve.csv"
    place.parent.mkdir(parents=True)
    place.write_bytes(DROP % b"douze")
    refused = shop.run("fetch", "releve")
    assert refused.exit_code == SourceError.exit_code
    for told in ("ne tient pas à sa fiche", "« douze »", str(place)):
        assert told in " ".join(refused.stderr.split())
    assert place.read_bytes() == DROP % b"douze"  # it stays where it was put

    place.write_bytes(DROP % b"12")
    done = shop.run("fetch", "releve")
    assert (done.exit_code, "nouveau" in done.stdout) == (0, True)
    line = next(line for line in shop.run("list").stdout.splitlines() if line.startswith("releve/d0"))
    assert " 1 " in line  # rows
    assert "/" in line.split("manual://")[0]  # gates
    assert "inchangé" in shop.run("refresh", "releve").stdout

    place.write_bytes(DROP % b"-")  # a later drop that is wrong does not serve, nor does the former any more
    assert shop.run("refresh", "releve").exit_code == SourceError.exit_code
    assert "–" in next(line for line in shop.run("list").stdout.splitlines() if line.startswith("releve/d0"))


def test_a_dataset_that_is_downloaded_has_no_template(shop):
    done = shop.run("template", "essai")
    assert isinstance(done.exception, SourceError)
    assert "releve" in str(done.exception)


def test_an_unknown_dataset_is_told_with_the_nearest_name(shop):
    done = shop.run("fetch", "esai")
    assert isinstance(done.exception, CatalogError)
    assert "« essai »" in str(done.exception)
