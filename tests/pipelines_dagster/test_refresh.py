"""Schedules over a simulated year, sensors in front of a producer who publishes, alerts that keep secrets."""

from __future__ import annotations

import datetime
import json
import shutil
import smtplib
import threading
import traceback
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from zoneinfo import ZoneInfo

import dagster as dg
import httpx
import pytest
from dagster._utils.schedules import schedule_execution_time_iterator
from tiny import POPULATION, SUPPLY

from diagnostics.sources.web import Patience, Web
from pipelines import alerts
from pipelines.definitions import build_definitions
from pipelines.jobs import DIAGNOSTIC, FIGURES
from pipelines.stale import stale_assets

PARIS = ZoneInfo("Europe/Paris")


def tick(tiny, instance, name, *, cursor=None, **more):
    """One evaluation of a sensor or a schedule, as the daemon does it."""
    definitions = build_definitions(workshop=tiny.workshop(**more))
    repository = definitions.get_repository_def()
    context = dg.build_sensor_context(
        instance=instance, cursor=cursor, repository_def=repository, resources={"workshop": tiny.workshop(**more)}
    )
    return repository.get_sensor_def(name).evaluate_tick(context)


def run_requests(tiny, instance, requests):
    definitions = build_definitions(workshop=tiny.workshop())
    for request in requests:
        job = definitions.resolve_job_def(request.job_name or FIGURES)
        assert job.execute_in_process(
            instance=instance, partition_key=request.partition_key, asset_selection=request.asset_selection
        ).success


def asked(requests):
    return {key.to_user_string() for request in requests for key in request.asset_selection}


def test_a_simulated_year_of_schedules(tiny_project, instance):
    repository = build_definitions(workshop=tiny_project.workshop()).get_repository_def()
    start = datetime.datetime(2026, 1, 1, tzinfo=PARIS).timestamp()
    runs = {}
    for name in ("refresh_mensuel", "refresh_annuel"):
        schedule = repository.get_schedule_def(name)
        assert schedule.execution_timezone == "Europe/Paris"
        for moment in schedule_execution_time_iterator(start, schedule.cron_schedule, schedule.execution_timezone):
            if moment.astimezone(PARIS).year > 2026:
                break
            with dg.build_schedule_context(
                instance=instance,
                scheduled_execution_time=moment,
                repository_def=repository,
                resources={"workshop": tiny_project.workshop()},
            ) as context:
                (request,) = schedule.evaluate_tick(context).run_requests
            runs.setdefault(name, []).append((moment.astimezone(PARIS), request))
    assert [m.month for m, _ in runs["refresh_mensuel"]] == list(range(1, 13))
    # Summer time does not move the hour that people read.
    assert {(m.day, m.hour) for m, _ in runs["refresh_mensuel"]} == {(3, 4)}
    assert [(m.month, m.day, m.hour) for m, _ in runs["refresh_annuel"]] == [(1, 15, 5)]
    keys = [r.run_key for _, r in runs["refresh_mensuel"]]
    assert len(set(keys)) == len(keys)


def test_a_month_without_news_only_asks(tiny_project, instance):
    definitions = build_definitions(workshop=tiny_project.workshop())
    assert definitions.resolve_job_def(FIGURES).execute_in_process(instance=instance).success
    repository = definitions.get_repository_def()
    with dg.build_schedule_context(
        instance=instance,
        scheduled_execution_time=datetime.datetime(2026, 3, 3, 4, tzinfo=PARIS),
        repository_def=repository,
        resources={"workshop": tiny_project.workshop()},
    ) as context:
        (request,) = repository.get_schedule_def("refresh_mensuel").evaluate_tick(context).run_requests
    assert asked([request]) == {"raw/pharmacies"}


def test_sensors_make_what_moved_and_nothing_else(tiny_project, instance):
    run_requests(tiny_project, instance, tick(tiny_project, instance, "figures_a_refaire").run_requests)
    assert tick(tiny_project, instance, "figures_a_refaire").run_requests == []
    first = tick(tiny_project, instance, "nouveaux_millesimes")
    assert first.run_requests == []
    tiny_project.publish("pharmacies", SUPPLY | {"54001": 4})
    late = {d: c | {"asked": 0} for d, c in json.loads(first.cursor).items()}
    second = tick(tiny_project, instance, "nouveaux_millesimes", cursor=json.dumps(late))
    assert asked(second.run_requests) == {"raw/pharmacies"}
    late = {d: c | {"asked": 0} for d, c in json.loads(second.cursor).items()}
    third = tick(tiny_project, instance, "nouveaux_millesimes", cursor=json.dumps(late))
    assert third.run_requests == [], "a version is requested once, even if its run failed"
    run_requests(tiny_project, instance, second.run_requests)
    follow = tick(tiny_project, instance, "figures_a_refaire").run_requests
    assert {"observations/pharmacies", "indicators/values"} <= asked(follow)
    assert not {"observations/population", "geography/reference", "raw/population"} & asked(follow)
    run_requests(tiny_project, instance, follow)
    assert stale_assets(tiny_project.workshop()) == []


def test_deliverables_follow_only_for_territories_already_made(tiny_project, instance):
    definitions = build_definitions(workshop=tiny_project.workshop())
    assert definitions.resolve_job_def(DIAGNOSTIC).execute_in_process(instance=instance, partition_key="essai").success
    assert tick(tiny_project, instance, "livrables_a_refaire").run_requests == []
    tiny_project.publish("pharmacies", SUPPLY | {"54001": 4})
    assert definitions.resolve_job_def(FIGURES).execute_in_process(instance=instance).success
    requests = tick(tiny_project, instance, "livrables_a_refaire").run_requests
    assert [r.partition_key for r in requests] == ["essai"]
    assert "territories/changes" in asked(requests)


# --- a producer on loopback ------------------------------------------------------------------------------------------


class Producer(BaseHTTPRequestHandler):
    def do_GET(self):
        body = self.server.body
        self.send_response(200)
        self.send_header("ETag", f'"{hash(body)}"')
        self.send_header("Content-Type", "text/csv")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.server.asked += 1
        self.wfile.write(body)

    def log_message(self, *_):
        """Silence."""


class InClear(httpx.BaseTransport):
    """`https://127.0.0.1:port` carried in clear to the test's own server, and nowhere else."""

    def __init__(self):
        self.inner = httpx.HTTPTransport()

    def handle_request(self, request):
        assert request.url.host == "127.0.0.1"
        request.url = request.url.copy_with(scheme="http")
        return self.inner.handle_request(request)


@pytest.fixture
def producer():
    server = HTTPServer(("127.0.0.1", 0), Producer)
    server.asked, server.body = 0, b""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_producer_publishes_a_new_vintage(tiny_project, instance, producer):
    def csv_of(values):
        return ("COM,VALEUR\n" + "".join(f"{c},{v}\n" for c, v in values.items())).encode()

    def move(card):
        address = f"https://127.0.0.1:{producer.server_port}/pharmacies.csv"
        card["distributions"][0] |= {"address": address, "profiles": ["mirror", "official"]}

    tiny_project.edit("sources/pharmacies.yaml", move)
    producer.body = csv_of(SUPPLY)
    patience = Patience(attempts=1, connect=2, silence=2, overall=5)
    with Web(patience, transport=InClear()) as web:
        workshop = tiny_project.workshop(web=web)
        official = type(workshop)(workshop.catalog, "official", workshop.storage, web=web)
        ((_, outcome),) = official.fetch("pharmacies")
        assert outcome.state == "adopted"
        assert not official.published("pharmacies")["fichier"].moved
        producer.body = csv_of(SUPPLY | {"54001": 7})
        seen = official.published("pharmacies")["fichier"]
        assert seen.moved
        before = producer.asked
        assert official.published("pharmacies")["fichier"].version == seen.version
        assert producer.asked == before + 1
        first = tick(tiny_project, instance, "nouveaux_millesimes", web=web)
        assert "raw/pharmacies" in asked(first.run_requests)
        ((_, outcome),) = official.fetch("pharmacies")
        assert outcome.state == "adopted"
        assert not official.published("pharmacies")["fichier"].moved


def test_a_producer_who_is_down_is_a_remark_not_a_failure(tiny_project, instance, producer):
    tiny_project.edit(
        "sources/pharmacies.yaml",
        lambda card: card["distributions"][0].update(address="https://127.0.0.1:9/pharmacies.csv"),
    )
    with Web(Patience(attempts=1, connect=1, silence=1, overall=2), transport=InClear()) as web:
        seen = tiny_project.workshop(web=web).published("pharmacies")["fichier"]
    assert not seen.moved
    assert seen.problem


# --- alerts ----------------------------------------------------------------------------------------------------------


def test_an_alert_never_shows_a_secret():
    text = alerts.message("refresh", "1234", "https://moi:motdepasse@exemple.fr token=abc123 échec", "")
    assert "motdepasse" not in text
    assert "abc123" not in text
    assert "échec" in text
    channels = alerts.Channels.from_environment(
        {"DIAGNOSTIC_ALERT_WEBHOOK": "https://exemple.fr/secret-abc", "DIAGNOSTIC_SMTP": "smtps://moi:chut@exemple.fr"}
    )
    assert "secret-abc" not in repr(channels)
    assert "chut" not in repr(channels)


def test_a_webhook_that_fails_is_told_without_its_address(monkeypatch):
    def refuse(url, **_):
        raise httpx.ConnectError(f"cannot reach {url}")

    monkeypatch.setattr(httpx, "post", refuse)
    with pytest.raises(RuntimeError, match="webhook") as error:
        alerts.send("texte", "sujet", alerts.Channels(webhook="https://exemple.fr/secret-abc"))
    assert "secret-abc" not in str(error.value)


def test_an_alert_by_mail(monkeypatch):
    sent = []

    class Server:
        def __init__(self, host, port, timeout):
            self.where = (host, port)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def starttls(self):
            sent.append("tls")

        def login(self, user, password):
            sent.append((user, password))

        def send_message(self, mail):
            sent.append(mail["To"])

    monkeypatch.setattr(smtplib, "SMTP", Server)
    channels = alerts.Channels(recipients=("a@b.fr",), smtp="smtp://moi:p%40ss@exemple.fr", sender="x@y.fr")
    assert alerts.send("texte", "sujet", channels) == ["e-mail"]
    assert sent == ["tls", ("moi", "p@ss"), "a@b.fr"]


class Receiver(BaseHTTPRequestHandler):
    """The other end of a webhook."""

    def do_POST(self):
        self.server.received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        """Silence."""


@pytest.fixture
def receiver():
    server = HTTPServer(("127.0.0.1", 0), Receiver)
    server.received = []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_failed_run_is_told_and_no_secret_is_written_anywhere(tiny_project, receiver, monkeypatch):
    shutil.copy(Path(__file__).resolve().parents[2] / "dagster.yaml", tiny_project.home)
    monkeypatch.chdir(tiny_project.home)
    secrets = ("crochet-3f9a", "chut-77e1")
    monkeypatch.setenv("DIAGNOSTIC_ALERT_WEBHOOK", f"http://127.0.0.1:{receiver.server_port}/{secrets[0]}")
    monkeypatch.setenv("DIAGNOSTIC_ALERT_EMAIL", "equipe@exemple.fr")
    # Nobody listens there: the e-mail fails, and its error must not tell the password either.
    monkeypatch.setenv("DIAGNOSTIC_SMTP", f"smtps://moi:{secrets[1]}@127.0.0.1:9")
    tiny_project.publish("population", POPULATION | {"54001": 1})
    definitions = build_definitions(workshop=tiny_project.workshop())
    with dg.DagsterInstance.get() as instance:
        result = definitions.resolve_job_def(FIGURES).execute_in_process(instance=instance, raise_on_error=False)
        assert not result.success
        context = dg.build_run_status_sensor_context(
            sensor_name="alerte_echec",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
        ).for_run_failure()
        with pytest.raises(RuntimeError, match="e-mail") as error:
            alerts.alert_on_failure(context)
    (told,) = receiver.received
    assert "Jeu population" in told["text"]
    assert "Traceback" not in told["text"]
    assert not [s for s in secrets if s in told["text"] or s in "".join(traceback.format_exception(error.value))]
    written = [path for path in tiny_project.folder.rglob("*") if path.is_file()]
    assert any(path.suffix == ".db" for path in written)
    assert not [(path, s) for path in written for s in secrets if s.encode() in path.read_bytes()]
