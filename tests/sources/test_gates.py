"""What serves after a refresh: the newer file when it is sound, the last good one otherwise, whatever happens."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from producer import Producer, card, cut, stall, status, storage_in, table, whole

from diagnostics import french
from diagnostics.catalog.models import History
from diagnostics.errors import SourceError
from diagnostics.sources.fetch import fetch
from diagnostics.sources.gates import FileFacts, accept, judge, measure, refresh
from diagnostics.sources.gates import status as status_of
from diagnostics.sources.history import keep_history, months_kept
from diagnostics.sources.refusals import decisions, restore
from diagnostics.sources.web import WebError

GOOD = table(200)
HERE = Path(__file__).parent


@pytest.fixture
def producer():
    with Producer() as server:
        yield server


class Ground:
    """One distribution of one dataset, and what the producer answers now."""

    def __init__(self, producer: Producer, folder: Path, **fields):
        self.producer, self.folder = producer, folder
        self.source = card(producer.url("/pop.csv"), **fields)
        self.distribution = self.source.distributions[0]
        self.storage = storage_in(folder)

    def refresh(self, *behaviours, **options):
        self.producer.serve("/pop.csv", *behaviours)
        web = self.producer.web(options.pop("patience", None))
        return refresh(self.source, self.distribution, self.storage, web=web, **options)

    def serving(self) -> bytes:
        """What the rest of the pipeline reads, with the producer gone."""
        self.producer.serve("/pop.csv", status(410))
        web = self.producer.web()
        return fetch(self.source, self.distribution, self.storage, web=web, verify=True).path.read_bytes()

    def status(self):
        return status_of(self.source, self.distribution, self.storage)


@pytest.fixture
def ground(producer, tmp_path):
    ground = Ground(producer, tmp_path)
    assert ground.refresh(whole(GOOD, etag='"v1"')).state == "adopted"
    return ground


def failed(results) -> set[str]:
    return {r.name for r in results if not r.passed}


# --- refresh ---------------------------------------------------------------------------------------------------------


def test_a_first_file_is_judged_and_its_facts_are_kept(ground):
    facts = ground.status().standing.facts["d0"]
    assert (facts.rows, len(facts.communes), facts.periods) == (400, 200, {"2023", "2024"})
    assert ground.serving() == GOOD


def test_an_unchanged_file_is_not_downloaded(ground):
    assert ground.refresh(whole(GOOD, etag='"v1"')).state == "unchanged"
    assert ground.producer.asked[-1].headers["If-None-Match"] == '"v1"'


def test_last_modified_serves_when_there_is_no_etag(producer, tmp_path):
    ground = Ground(producer, tmp_path)
    behaviour = whole(GOOD, last_modified="Mon, 02 Mar 2026 10:00:00 GMT")
    ground.refresh(behaviour)
    assert ground.refresh(behaviour).state == "unchanged"
    assert producer.asked[-1].headers["If-Modified-Since"] == "Mon, 02 Mar 2026 10:00:00 GMT"


def test_the_same_bytes_under_a_new_etag_are_unchanged_and_the_etag_is_kept(ground):
    outcome = ground.refresh(whole(GOOD, etag='"v2"'))
    assert outcome.state == "unchanged"
    assert ground.status().receipt.etag == '"v2"'
    assert ground.status().receipt.fetched_at < ground.status().receipt.checked_at


def test_a_sound_newer_file_takes_over_and_the_former_bytes_stay(ground):
    newer = table(205, population=120)
    outcome = ground.refresh(whole(newer, etag='"v2"'))
    assert outcome.state == "adopted"
    assert not failed(outcome.results)
    assert ground.serving() == newer
    former = ground.folder / "raw" / "essai" / "2024" / "pop.csv"
    assert former.read_bytes() == GOOD
    line = json.loads((former.parent / "pop.csv.superseded.jsonl").read_text().splitlines()[0])
    assert (line["path"], line["etag"]) == ("pop.csv", '"v1"')


@pytest.mark.parametrize(
    ("body", "gates"),
    [
        (table(140), {"taille", "lignes", "communes"}),
        (table(195), {"communes"}),
        (table(200, years=(2024,)), {"taille", "lignes", "périodes"}),
        (table(260), {"taille", "lignes"}),
        (b"code;annee;pop\n", {"lecture"}),
        (b"code;annee;habitants\n" + GOOD.split(b"\n", 1)[1], {"lecture"}),
        (GOOD.replace(b"55001;2023;101", b"55001;2023;??"), {"lecture"}),
    ],
)
def test_a_doubtful_file_is_kept_aside_with_its_reasons(ground, body, gates):
    outcome = ground.refresh(whole(body, etag='"v2"'))
    assert outcome.state == "refused"
    assert failed(outcome.results) == gates
    assert ground.serving() == GOOD
    (refusal,) = ground.status().refused
    kept = ground.folder / "raw" / "essai" / "2024" / refusal.receipt.path
    assert kept.read_bytes() == body
    assert kept.name == f"pop.csv.refused-{refusal.receipt.sha256[:8]}"
    assert json.loads(kept.with_name(f"{kept.name}.json").read_text())["results"]
    for told in ("essai", str(kept), "accept", *gates):
        assert told in outcome.message


@pytest.mark.parametrize("answer", [status(404), status(503), cut(table(210), 90), cut(table(210), 90, ETag='"v2"')])
def test_a_producer_who_fails_leaves_the_last_good_file(ground, answer):
    outcome = ground.refresh(answer)
    assert (outcome.state, outcome.raw.receipt.etag) == ("unreachable", '"v1"')
    assert "essai" in outcome.message
    assert ground.serving() == GOOD


def test_a_producer_who_fails_is_an_error_when_asked_to_be(ground):
    with pytest.raises(WebError):
        ground.refresh(status(503), offline_ok=False)
    assert ground.serving() == GOOD


@pytest.mark.parametrize("page", [b"<html>maintenance</html>", b"", b'{"error": 1}'])
def test_an_error_page_is_refused_and_nobody_can_accept_it(ground, page):
    outcome = ground.refresh(whole(page))
    assert (outcome.state, failed(outcome.results)) == ("refused", {"contenu"})
    assert ground.serving() == GOOD
    with pytest.raises(SourceError, match="ne peut pas être accepté"):
        accept("essai", "je force", ground.storage)
    assert ground.serving() == GOOD


def test_a_first_file_that_fails_serves_nothing_and_says_why(producer, tmp_path):
    ground = Ground(producer, tmp_path, rows=(1000, 2000))
    with pytest.raises(SourceError, match="lignes attendues"):
        ground.refresh(whole(GOOD))
    with pytest.raises(SourceError):
        ground.serving()


CONTROL = {"variable": "pop", "period": "2024", "sum": 40100.0, "tolerance": 0.5, "source": "total publié"}


def test_a_control_total_that_is_off_refuses_the_file(producer, tmp_path):
    ground = Ground(producer, tmp_path, controls=(CONTROL,))
    assert ground.refresh(whole(GOOD, etag='"v1"')).state == "adopted"
    outcome = ground.refresh(whole(table(200, population=101), etag='"v2"'))
    assert outcome.state == "refused"
    (reason,) = [r for r in outcome.results if not r.passed]
    assert french.number(40_300) in reason.detail
    assert "total publié" in reason.detail


def test_a_refused_version_is_not_downloaded_again(ground):
    doubtful = whole(table(150), etag='"v2"')
    ground.refresh(doubtful)
    outcome = ground.refresh(doubtful)
    assert ground.producer.asked[-1].headers["If-None-Match"] == '"v2"'
    assert outcome.state == "refused"
    assert "communes" in outcome.message


def test_a_producer_who_mends_his_file_is_let_in_and_the_refusal_is_history(ground):
    ground.refresh(whole(table(150), etag='"v2"'))
    assert ground.refresh(whole(table(203), etag='"v3"')).state == "adopted"
    assert ground.serving() == table(203)
    assert ground.status().refused == []
    with pytest.raises(SourceError, match="aucun fichier refusé"):
        accept("essai", "trop tard", ground.storage)


def test_a_producer_who_takes_his_file_back_is_unchanged(ground):
    ground.refresh(whole(table(150), etag='"v2"'))
    assert ground.refresh(whole(GOOD, etag='"v1"')).state == "unchanged"
    assert ground.status().refused == []


def test_a_new_vintage_is_compared_with_the_former_one(ground):
    ground.source = card(ground.producer.url("/pop.csv"), vintage="2025")
    ground.distribution = ground.source.distributions[0]
    with pytest.raises(SourceError, match="communes"):
        ground.refresh(whole(table(150, years=(2024, 2025))))
    assert ground.refresh(whole(table(200, years=(2024, 2025)))).state == "adopted"


def test_every_distribution_that_reads_the_file_judges_it(producer, tmp_path):
    url = producer.serve("/pop.csv", whole(GOOD, etag='"v1"'))
    ground = Ground(producer, tmp_path)
    ground.source = card(url, url)
    moved = ground.source.distributions[1].model_copy(
        update={"observations": [ground.distribution.observations[0].model_copy(update={"where": "annee = '2023'"})]}
    )
    ground.source = ground.source.model_copy(update={"distributions": [ground.distribution, moved]})
    assert ground.refresh(whole(GOOD, etag='"v1"')).state == "adopted"
    outcome = ground.refresh(whole(table(200, years=(2022, 2024)), etag='"v2"'))
    assert outcome.state == "refused"
    assert "lecture" in failed(outcome.results)


# --- accept ----------------------------------------------------------------------------------------------------------


def test_a_person_lets_a_refused_file_in_and_it_is_written_down(ground):
    ground.refresh(whole(table(150), etag='"v2"'))
    (decision,) = accept("essai", "fusion de communes vérifiée", ground.storage, who="Ada")
    assert (decision.who, decision.because) == ("Ada", "fusion de communes vérifiée")
    assert any("communes" in reason for reason in decision.reasons)
    assert ground.serving() == table(150)
    assert ground.status().decisions == [decision]
    assert ground.status().refused == []
    assert not list(ground.folder.rglob("*.refused-*"))
    assert ground.refresh(whole(table(150), etag='"v2"')).state == "unchanged"
    assert ground.refresh(whole(table(151), etag='"v3"')).state == "adopted"


def test_the_last_of_several_refused_versions_is_the_one_accepted(ground):
    ground.refresh(whole(table(150), etag='"v2"'))
    ground.refresh(whole(table(140), etag='"v3"'))
    accept("essai", "vérifié", ground.storage)
    assert ground.serving() == table(140)


def test_a_decision_needs_a_reason_and_something_to_decide(ground):
    with pytest.raises(SourceError, match="motif"):
        accept("essai", "  ", ground.storage)
    with pytest.raises(SourceError, match="aucun fichier refusé"):
        accept("essai", "vérifié", ground.storage)


# --- restore ---------------------------------------------------------------------------------------------------------


def test_an_acceptance_is_undone_and_the_gates_judge_the_file_again(ground):
    doubtful = whole(table(150), etag='"v2"')
    ground.refresh(doubtful)
    (accepted,) = accept("essai", "fusion vérifiée", ground.storage, who="Ada")
    (back,) = restore("essai", "la fusion n'a pas eu lieu", ground.storage, who="Alan")
    assert ground.serving() == GOOD
    assert (back.kind, back.who, back.because) == ("restored", "Alan", "la fusion n'a pas eu lieu")
    (log,) = Path(str(ground.storage.raw)).rglob("*.decisions.jsonl")
    taken = decisions(log.parent, log.name.removesuffix(".decisions.jsonl"))
    assert [(d.kind, d.sha256) for d in taken] == [("accepted", accepted.sha256), ("restored", back.sha256)]
    assert ground.refresh(doubtful).state == "refused"
    assert ground.serving() == GOOD
    accept("essai", "finalement si", ground.storage)
    assert ground.serving() == table(150)


def test_the_months_counted_in_a_file_that_is_undone_are_put_aside(ground):
    history = History(by={"commune": '"code"'}, distinct='"pop"')
    kept = ground.distribution.model_copy(update={"history": history})

    def keep() -> None:
        keep_history(ground.source, kept, fetch(ground.source, ground.distribution, ground.storage), ground.storage)

    ground.refresh(whole(table(150), etag='"v2"', last_modified="Wed, 04 Mar 2020 10:00:00 GMT"))
    keep()
    accept("essai", "fusion vérifiée", ground.storage)
    keep()
    first, second = months_kept(ground.source, kept, ground.storage)
    restore("essai", "la fusion n'a pas eu lieu", ground.storage)
    assert months_kept(ground.source, kept, ground.storage) == [second]  # that of the file that serves again
    assert first == "2020-03"


def test_only_an_acceptance_is_undone_once_and_with_a_reason(ground):
    with pytest.raises(SourceError, match="aucun fichier accepté"):
        restore("essai", "rien à défaire", ground.storage)
    ground.refresh(whole(table(150), etag='"v2"'))
    accept("essai", "vérifié", ground.storage)
    with pytest.raises(SourceError, match="motif"):
        restore("essai", " ", ground.storage)
    restore("essai", "erreur", ground.storage)
    with pytest.raises(SourceError, match="aucun fichier accepté"):
        restore("essai", "encore", ground.storage)


def test_nothing_is_put_back_when_the_former_bytes_changed(ground):
    ground.refresh(whole(table(150), etag='"v2"'))
    former = fetch(ground.source, ground.distribution, ground.storage).path
    accept("essai", "vérifié", ground.storage)
    former.write_bytes(b"autre")
    with pytest.raises(SourceError, match="a changé"):
        restore("essai", "erreur", ground.storage)
    assert ground.serving() == table(150)


# --- judge -----------------------------------------------------------------------------------------------------------

SOURCE = card("https://127.0.0.1:9/pop.csv")
FACTS = st.builds(
    FileFacts,
    size=st.integers(0, 10_000),
    rows=st.integers(0, 10_000),
    communes=st.frozensets(st.sampled_from(["55001", "55002", "2A004", "97105"])),
    periods=st.frozensets(st.sampled_from(["2022", "2023"])),
)


@given(FACTS, FACTS)
def test_judge_follows_the_thresholds_to_the_letter(before, after):
    expected = set()
    if after.size == 0 or after.rows == 0:
        expected.add("vide")
    if before.size and abs(after.size - before.size) * 100 > 25 * before.size:
        expected.add("taille")
    if before.rows and abs(after.rows - before.rows) * 100 > 10 * before.rows:
        expected.add("lignes")
    for code in before.communes:
        if code not in after.communes:
            expected.add("communes")
    for year in before.periods:
        if year not in after.periods:
            expected.add("périodes")
    assert failed(judge(before, after, SOURCE, SOURCE.distributions[0])) == expected


@pytest.mark.parametrize(("rows", "refused"), [(99, True), (100, False), (120, False), (121, True)])
def test_the_number_of_lines_is_the_one_the_card_expects(rows, refused):
    expecting = SOURCE.distributions[0].model_copy(update={"rows": (100, 120)})
    results = judge(None, FileFacts(size=1000, rows=rows), SOURCE, expecting)
    assert failed(results) == ({"lignes attendues"} if refused else set())


def test_a_missing_file_fails_presence():
    assert failed(judge(None, None, SOURCE, SOURCE.distributions[0])) == {"présence"}


def test_measure_counts_what_the_card_reads(tmp_path):
    file = tmp_path / "pop.csv"
    file.write_bytes(GOOD)
    facts = measure(SOURCE, SOURCE.distributions[0], file)
    assert (facts.size, facts.rows, len(facts.communes)) == (len(GOOD), 400, 200)


# --- killed at any moment --------------------------------------------------------------------------------------------


def run_killed(tmp_path: Path, producer: Producer, *arguments: str) -> subprocess.Popen:
    command = [sys.executable, str(HERE / "killed.py"), str(tmp_path), producer.url("/pop.csv"), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


@pytest.mark.parametrize("action", ["refresh", "accept"])
def test_a_process_killed_at_any_step_leaves_a_good_file_serving(producer, tmp_path, action):
    """`killed.py` dies at the first file operation, then at the second, and so on until it gets to the end."""
    prepared = tmp_path / "prepared"
    ground = Ground(producer, prepared)
    ground.refresh(whole(GOOD, etag='"v1"'))
    newer = table(205) if action == "refresh" else table(150)
    if action == "accept":
        ground.refresh(whole(newer, etag='"v2"'))
    producer.serve("/pop.csv", whole(newer, etag='"v2"'))
    process = run_killed(tmp_path, producer, action)
    out, _ = process.communicate(timeout=240)
    assert process.returncode == 0
    steps = json.loads(out)
    assert len(steps) > 8
    good, new = GOOD.decode(), newer.decode()
    assert {step["serving"] for step in steps} == {good, new}
    assert steps[0]["serving"] == good
    assert steps[-1]["serving"] == new
    assert all(step["again"] == new for step in steps)


def test_a_process_killed_in_the_middle_of_a_download_resumes_it(producer, tmp_path):
    ground = Ground(producer, tmp_path)
    good, newer = table(900), table(910)
    ground.refresh(whole(good, etag='"v1"'))
    producer.serve("/pop.csv", stall(newer, 20_000))
    process = run_killed(tmp_path, producer, "download")
    part = tmp_path / "raw" / "essai" / "2024" / ".arriving" / "pop.csv.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size):
        assert process.poll() is None
        assert time.monotonic() < deadline, "le téléchargement n'a pas commencé"
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=20)
    kept = part.stat().st_size
    assert ground.serving() == good
    assert ground.refresh(whole(newer, etag='"lent"')).state == "adopted"
    assert producer.asked[-1].headers["Range"] == f"bytes={kept}-"
    assert ground.serving() == newer
