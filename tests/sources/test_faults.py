"""The tables of docs/faults.md, line by line: a good file serves, the fault happens, and what was promised holds.

Each fault of the two first tables is made here, through `Workshop.fetch` with a producer on loopback, or is the subject
of the test that `ELSEWHERE` names, as are the gates and the faults of this machine. A line of the page without a test,
or the reverse, fails.
"""

from __future__ import annotations

import gzip
import io
import json
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from pathlib import Path

import pytest
from producer import (
    Behaviour,
    Handler,
    Producer,
    announce,
    card,
    cut,
    hang_up,
    redirect,
    stall,
    status,
    storage_in,
    table,
    whole,
)

from diagnostics.catalog import Catalog
from diagnostics.sources.web import Patience
from diagnostics.workshop import Workshop

HERE = Path(__file__).parent
PAGE = HERE.parents[1] / "docs" / "faults.md"
FORMER, NEW = table(200), table(205, population=120)
HALF = len(NEW) // 2
MONDAY, TUESDAY = "Mon, 02 Mar 2026 10:00:00 GMT", "Tue, 03 Mar 2026 10:00:00 GMT"
HTML = b"<!DOCTYPE html><title>Connexion au portail</title><form>Identifiez-vous</form>"


@dataclass
class Fault:
    """What the producer does once the former file serves, and what must come of it.

    `serves`: the bytes that serve then; `told`: words of the message; `asked`: how many requests, when it matters.
    """

    behaviours: list[Behaviour]
    state: str
    told: str = ""
    asked: int | None = None
    serves: bytes | None = None
    form: str = "csv"
    patience: Patience = field(default_factory=lambda: Patience(connect=2, silence=2))
    also: dict[str, Behaviour] = field(default_factory=dict)


def refused(body: bytes, told: str, form: str = "csv", **headers: str) -> Fault:
    return Fault([whole(body, etag='"v2"', **headers)], "refused", told, form=form)


def heals(*behaviours: Behaviour, asked: int | None = None, **more) -> Fault:
    return Fault([*behaviours], "adopted", asked=asked, **more)


def gives_up(*behaviours: Behaviour, told: str, asked: int | None = None, **more) -> Fault:
    return Fault([*behaviours], "unreachable", told, asked, **more)


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def damaged(archive: bytes) -> bytes:
    """One bit of the content turned over: the checksum is wrong."""
    return archive[:60] + bytes([archive[60] ^ 1]) + archive[61:]


def chunked(body: bytes, until: int | None = None, **headers: str) -> Behaviour:
    """Sent by blocks, without a length; broken off after `until` bytes."""

    def behave(handler: Handler) -> None:
        handler.send_response(200)
        for name, value in {"Transfer-Encoding": "chunked", **headers}.items():
            handler.send_header(name, value)
        handler.end_headers()
        for i in range(0, until or len(body), 1000):
            block = body[: until or len(body)][i : i + 1000]
            handler.wfile.write(f"{len(block):x}\r\n".encode() + block + b"\r\n")
        if until is None:
            handler.wfile.write(b"0\r\n\r\n")
        else:
            handler.hang_up()

    return behave


def until_closed(body: bytes) -> Behaviour:
    """As HTTP 1.0 does: no length, the end of the connection is the end of the file."""

    def behave(handler: Handler) -> None:
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(body)
        handler.hang_up()

    return behave


def glued(body: bytes, start: int, **headers: str) -> Behaviour:
    """Answers the rest of `body` to any Range, whatever If-Range says."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    span = f"bytes {start}-{len(body) - 1}/{len(body)}"
    return lambda handler: handler.answer(206, body[start:], {"Content-Range": span, **sent})


LOGIN = {"/login": whole(HTML)}
SOON = formatdate(1_800_000_000 + 30, usegmt=True)

FAULTS: dict[str, Fault] = {
    # --- the server
    "400, 401, 403, 404, 405, 410, any other 4xx": gives_up(status(410), told="410", asked=1),
    "429 or 503 with `Retry-After` (seconds or HTTP date)": heals(
        status(429, Retry_After="7"), status(503, Retry_After=SOON), whole(NEW), asked=3
    ),
    "429 without `Retry-After`": heals(status(429), whole(NEW), asked=2),
    "408, 5xx": heals(status(500), status(500), status(408), whole(NEW), asked=4),
    "connection refused, reset, closed without a word": heals(hang_up, whole(NEW), asked=2),
    "stall (no byte for 60 s)": heals(
        stall(NEW, 80), whole(NEW, etag='"lent"'), patience=Patience(connect=2, silence=0.2), asked=2
    ),
    "cut at half, version known (strong `ETag`, or `Last-Modified`)": heals(
        cut(NEW, HALF, ETag='"v2"'), whole(NEW, etag='"v2"'), asked=2
    ),
    "cut at half, version unknown or weak `ETag`": heals(
        cut(NEW, HALF, ETag='W/"v2"'), whole(NEW, etag='W/"v2"'), asked=2
    ),
    "file changed between the two halves": heals(
        cut(table(200, population=140), HALF, ETag='"v2"'), whole(NEW, etag='"v3"'), asked=2
    ),
    "same `ETag` for two versions, seen by another `Last-Modified`": heals(
        cut(table(200, population=140), HALF, ETag='"v2"', Last_Modified=MONDAY),
        glued(NEW, HALF, ETag='"v2"', Last_Modified=TUESDAY),
        whole(NEW, etag='"v2"', last_modified=TUESDAY),
        asked=3,
    ),
    "same `ETag`, other content, sent whole": heals(
        lambda handler: handler.answer(200, NEW, {"ETag": '"v1"'}), asked=1
    ),
    "partial answer (206) that is not the range asked": heals(
        cut(NEW, HALF, ETag='"v2"'), glued(NEW, 3, ETag='"v2"'), whole(NEW, etag='"v2"'), asked=3
    ),
    "range not satisfiable (416)": heals(
        cut(NEW, HALF, ETag='"v2"'), status(416, Content_Range="bytes */12"), whole(NEW, etag='"v2"'), asked=3
    ),
    "fewer bytes than announced": gives_up(announce(NEW, len(NEW) + 500), told="essais", asked=6),
    "more bytes than announced": Fault(
        [announce(zipped({"pop.csv": NEW}), 400)], "refused", "ne s'ouvre pas", form="zip"
    ),
    "no length at all (chunks), broken off": heals(chunked(NEW, HALF), chunked(NEW), asked=2),
    "no length at all (end of the connection), broken off": Fault(
        [until_closed(NEW[: HALF + 3])], "refused", "lecture"
    ),
    "larger than 8 GiB, announced or not": gives_up(
        until_closed(NEW), told="maximum admis", patience=Patience(connect=2, silence=2, largest=len(FORMER))
    ),
    "redirect chain": heals(redirect("/a"), also={"/a": redirect("/b"), "/b": whole(NEW)}, asked=3),
    "redirect loop": gives_up(redirect("/pop.csv"), told="redirections", asked=11),
    "redirect to `http://`": gives_up(redirect("http://127.0.0.1:9/pop.csv"), told="non chiffrée", asked=1),
    "captive portal (redirect to a page to log in)": Fault(
        [redirect("/login")], "refused", "page HTML", also=LOGIN, asked=2
    ),
    "body compressed although `identity` was asked": heals(
        whole(gzip.compress(NEW, mtime=0), Content_Encoding="gzip"), asked=1
    ),
    "`Last-Modified` to come, or nonsense": heals(whole(NEW, last_modified="Fri, 31 Dec 2099 23:59:59 GMT"), asked=1),
    # --- the content
    "an HTML page": refused(HTML, "page HTML"),
    "empty, or blank": refused(b" \n", "vide"),
    "JSON error for a CSV, CSV for a zip, …": refused(b'{"error": "dataset not found"}', "json"),
    "one line without a separator for a CSV": refused(b"Service indisponible", "une seule ligne"),
    "zip that does not open, member with a wrong checksum, sizes that lie": refused(
        damaged(zipped({"pop.csv": NEW})), "illisible", "zip"
    ),
    "zip or 7z member `../../x`, `/x`, `C:/x`, `..\\x`": refused(
        zipped({"pop.csv": NEW, "../../x": b"1"}), "sortirait de son dossier", "zip"
    ),
    "zip, 7z or gzip bomb (over 200:1 beyond 64 MiB, or over 16 GiB)": refused(
        zipped({"pop.csv": b"0" * (80 << 20)}), "bombe", "zip"
    ),
    "gzip or xz cut or corrupted; an error page once decompressed": refused(
        gzip.compress(NEW, mtime=0)[:-9], "corrompue ou tronquée", "gz"
    ),
    "a zip that is no workbook, for `.xlsx`": refused(zipped({"pop.csv": NEW}), "pas un classeur", "xlsx"),
    "Parquet or JSON cut": refused(b"PAR1" + NEW, "tronqué", "parquet"),
    "a page of an API with fewer lines than its query": refused(
        b'{"count": 20001, "data": [{"code": "55001", "annee": "2024", "pop": "7"}]}', "tranches plus petites", "json"
    ),
    "another encoding": refused(NEW.replace(b"code;annee;pop", "code;annee;pop;é".encode("latin-1")), "UTF-8"),
    "a column that vanished or was renamed, a changed header": refused(
        NEW.replace(b"code;annee;pop", b"code;annee;habitants"), "habitants"
    ),
    "a new column": heals(whole(re.sub(rb"(?m)$\n", b";x\n", NEW)), serves=re.sub(rb"(?m)$\n", b";x\n", NEW)),
}

ELSEWHERE = {
    "drip (a few bytes at a time for hours)": "test_a_drip_does_not_outlast_the_overall_bound",
    "unknown certificate": "test_an_unknown_authority_is_refused_at_once_and_diagnostic_ca_mends_it",
    "authority of the network in `SSL_CERT_FILE`": "test_the_authority_of_ssl_cert_file_is_trusted",
    "proxy of the environment": "test_a_proxy_of_the_environment_carries_the_file",
    "proxy that refuses": "test_a_proxy_of_the_environment_is_used",
    "more than 28 requests a minute to Melodi": "test_melodi_is_never_asked_more_than_thirty_times_in_a_minute",
    "disk full": "test_a_full_disk_is_an_error_and_leaves_no_file",
    "sha256 other than the card's": "test_the_pin_of_the_card_names_what_was_expected_and_found",
    "checksum other than data.gouv.fr's": "test_a_file_that_is_not_what_data_gouv_announces_is_refused",
    "data.gouv.fr: no resource matches, or the API has changed": "test_an_answer_that_is_no_dataset_is_told",
    # --- the gates
    "`lecture`": "test_a_doubtful_file_is_kept_aside_with_its_reasons",
    "`vide`": "test_judge_follows_the_thresholds_to_the_letter",
    "`lignes attendues`": "test_the_number_of_lines_is_the_one_the_card_expects",
    "`fiche : …`": "test_a_control_total_that_is_off_refuses_the_file",
    "`taille`": "test_a_doubtful_file_is_kept_aside_with_its_reasons",
    "`lignes`": "test_a_doubtful_file_is_kept_aside_with_its_reasons",
    "`communes`": "test_a_doubtful_file_is_kept_aside_with_its_reasons",
    "`périodes`": "test_a_doubtful_file_is_kept_aside_with_its_reasons",
    # --- this machine
    "process killed at any moment": "test_a_process_killed_at_any_step_leaves_a_good_file_serving",
    "killed in the middle of a download": "test_a_process_killed_in_the_middle_of_a_download_resumes_it",
    "two processes fetch one file": "test_two_at_once_cost_one_download",
    "file deleted or altered since": "test_a_file_that_was_touched_or_deleted_comes_again",
    "mirror folder not named or not there": "test_a_mirror_that_is_not_there_says_which_folder_and_how_to_name_it",
    "file missing from the mirror or the snapshot": "test_a_file_missing_from_the_mirror_says_where_it_was_expected",
    "mirror file replaced": "test_a_mirror_file_that_changed_is_hashed_again_and_held_to_the_pin",
    "dropped file without `producer`, `obtained_on`, `reference`": "test_a_drop_without_provenance_is_refused_by_line",
    "dropped file that does not hold to its card": "test_a_dropped_file_is_held_to_its_card_before_it_serves",
    "killed between a file and its products": "test_the_next_run_ends_the_work",
    "pip cannot reach its index": "test_a_package_or_member_that_is_not_there_is_named",
    "`DIAGNOSTIC_DATA` on S3": "test_a_store_that_is_not_a_local_disk_is_refused",
}


def _workbook(body: bytes) -> bytes:
    import xlsxwriter  # noqa: PLC0415

    out = io.BytesIO()
    with xlsxwriter.Workbook(out) as book:
        sheet = book.add_worksheet()
        for i, line in enumerate(body.decode().splitlines()):
            sheet.write_row(i, 0, line.split(";"))
    return out.getvalue()


def _parquet(body: bytes) -> bytes:
    import pandas as pd  # noqa: PLC0415

    out = io.BytesIO()
    pd.read_csv(io.BytesIO(body), sep=";", dtype=str).to_parquet(out)
    return out.getvalue()


def _page(body: bytes) -> bytes:
    header, *lines = (line.split(";") for line in body.decode().splitlines())
    return json.dumps({"count": len(lines), "data": [dict(zip(header, line, strict=True)) for line in lines]}).encode()


FORMS: dict[str, tuple[str, dict, Callable[[bytes], bytes]]] = {
    "csv": ("/pop.csv", {}, lambda body: body),
    "zip": (
        "/pop.zip",
        {"layout": "zip_csv", "options": {"member": "pop.csv"}},
        lambda body: zipped({"pop.csv": body}),
    ),
    "gz": ("/pop.csv.gz", {}, lambda body: gzip.compress(body, mtime=0)),
    "xlsx": ("/pop.xlsx", {"layout": "workbook", "options": {"header": "code"}}, _workbook),
    "parquet": ("/pop.parquet", {"layout": "parquet"}, _parquet),
    "json": ("/pop.json", {"layout": "json_records"}, _page),
}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda name: re.sub(r"\W+", "_", name)[:50])
def test_what_the_page_promises_holds(fault, tmp_path):
    asked = FAULTS[fault]
    path, fields, make = FORMS[asked.form]
    former = make(FORMER)
    with Producer() as producer:
        source = card(producer.serve(path, whole(former, etag='"v1"')), **fields)
        catalog = Catalog(tmp_path, {"essai": source}, {}, {})
        workshop = Workshop(catalog, "official", storage_in(tmp_path), web=producer.web(asked.patience))
        assert [outcome.state for _, outcome in workshop.fetch("essai")] == ["adopted"]

        for name, behaviour in asked.also.items():
            producer.serve(name, behaviour)
        producer.serve(path, *asked.behaviours)
        before = len(producer.asked)
        ((distribution, outcome),) = workshop.fetch("essai")
        requests = len(producer.asked) - before

        assert outcome.state == asked.state, outcome.message
        assert asked.told in outcome.message
        assert asked.asked in (None, requests)
        serving = workshop.raw_file("essai", distribution)
        expected = (asked.serves or make(NEW)) if asked.state == "adopted" else former
        assert serving.path.read_bytes() == expected
        if asked.state != "adopted":
            for word in ("essai", "d0", "127.0.0.1"):
                assert word in outcome.message
        kept = list(tmp_path.rglob("*.refused-????????"))
        assert len(kept) == (asked.state == "refused")


def test_the_page_and_the_tests_tell_the_same_faults():
    text = PAGE.read_text(encoding="utf-8")
    promised = [
        cells[1].strip()
        for line in text.splitlines()
        if line.startswith("| ") and (cells := re.split(r"(?<!\\)\|", line))[1].strip() not in ("fault", "gate", "---")
    ]
    assert sorted(promised) == sorted([*FAULTS, *ELSEWHERE])
    tests = "".join(p.read_text(encoding="utf-8") for p in HERE.glob("test_*.py"))
    for name in ELSEWHERE.values():
        assert f"def {name}(" in tests
