"""The files of `deploy/`: what Dagster accepts, what the environment must give, and a worker that no longer answers."""

from __future__ import annotations

import importlib.util
import os
import re
import tomllib
from types import SimpleNamespace

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus

from diagnostics.sql import query
from diagnostics.storage import PROJECT_ROOT
from diagnostics.threads import VARIABLE, threads

DEPLOY = PROJECT_ROOT / "deploy"
COMPOSE = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")
SERVICES = yaml.safe_load(COMPOSE)["services"]
DOCKERFILE = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
EXAMPLE = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / "env.example").read_text(encoding="utf-8"), re.M))


def test_dagster_accepts_the_configuration_of_several_machines():
    config, _ = dagster_instance_config(str(DEPLOY))
    assert config["run_launcher"] | {"config": None} == {
        "module": "deploy.launcher", "class": "WatchfulCeleryRunLauncher", "config": None,
    }  # fmt: skip
    assert config["run_retries"]["retry_on_asset_or_op_failure"] is False


def test_compose_and_its_example_name_the_same_variables_and_keep_no_secret():
    assert set(re.findall(r"(?<!\$)\$\{(\w+)", COMPOSE)) == set(EXAMPLE)
    assert [name for name, value in EXAMPLE.items() if re.search("PASSWORD|KEY|SMTP|WEBHOOK", name) and value] == []


def test_every_variable_that_containers_are_given_is_read_and_those_that_dagster_asks_are_given():
    code = "".join(
        path.read_text(encoding="utf-8")
        for folder in ("deploy", "diagnostics", "assets", "pipelines")
        for path in (PROJECT_ROOT / folder).rglob("*.py")
    )
    dagster = set(re.findall(r"env: (\w+)", (DEPLOY / "dagster.yaml").read_text(encoding="utf-8")))
    in_image = dict(re.findall(r"(\w+)=(\S+)", DOCKERFILE.partition("ENV ")[2]))
    own = [SERVICES[name] for name in SERVICES if SERVICES[name]["image"] == "diagnostic-cls"]
    given = set(in_image).union(*(service["environment"] for service in own))
    ours = {name for name in given if name.startswith(("DIAGNOSTIC_", "OMP_"))}
    assert [name for name in sorted(ours - dagster) if f'"{name}"' not in code] == []
    assert dagster <= given


def test_the_image_holds_what_services_run_and_what_the_project_is_made_of():
    copied = [words.split()[:-1] for words in re.findall(r"^COPY (.+)$", DOCKERFILE, re.M)]
    paths = [path for line in copied for path in line]
    assert [path for path in paths if not (PROJECT_ROOT / path).exists()] == []
    ignored = (PROJECT_ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert set(paths) & set(ignored) == set()
    project = tomllib.loads((PROJECT_ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    assert {name.partition(".")[0] for name in project["tool"]["setuptools"]["packages"]} <= set(paths)


def test_the_commands_of_services_name_modules_that_exist(monkeypatch):
    monkeypatch.syspath_prepend(PROJECT_ROOT)
    commands = {name: service["command"] for name, service in SERVICES.items() if "command" in service}
    modules = {name: word for name, command in commands.items() for word in command if re.fullmatch(r"\w+\.\w+", word)}
    assert modules == {
        "serveur": "pipelines.definitions", "demon": "pipelines.definitions",
        "travailleur-1": "deploy.worker", "travailleur-2": "deploy.worker",
    }  # fmt: skip
    assert all(importlib.util.find_spec(module) for module in modules.values())
    compile(commands["seau"][2], "seau", "exec")


def test_each_worker_takes_one_core_and_keeps_its_own_copies():
    one, two = SERVICES["travailleur-1"], SERVICES["travailleur-2"]
    assert one["environment"]["OMP_NUM_THREADS"] == two["environment"]["OMP_NUM_THREADS"] == "${OMP_NUM_THREADS:-1}"
    assert len(set(one["volumes"]) & set(two["volumes"])) == 2
    assert not set(one["volumes"]) & {volume for volume in two["volumes"] if volume.startswith("cache")}


def test_a_process_told_to_take_one_core_asks_duckdb_for_one(monkeypatch):
    def of_duckdb():
        return query("select current_setting('threads') as threads")["threads"].iloc[0]

    monkeypatch.setenv(VARIABLE, "1")
    assert threads() == of_duckdb() == 1
    monkeypatch.delenv(VARIABLE)
    assert threads() == of_duckdb() == os.cpu_count()


def test_only_loopback_is_published():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published
    assert all(port.startswith("127.0.0.1:") for port in published)


@pytest.mark.parametrize(
    ("known", "answers", "expected"),
    [
        (WorkerStatus.RUNNING, [{"w2@ici": {"ok": "pong"}}], WorkerStatus.RUNNING),
        (WorkerStatus.RUNNING, [], WorkerStatus.FAILED),
        (WorkerStatus.SUCCESS, [], WorkerStatus.SUCCESS),
    ],
)
def test_a_run_is_lost_when_its_worker_no_longer_answers(monkeypatch, known, answers, expected):
    pytest.importorskip("dagster_celery", reason="extra « deploy » non installé")
    monkeypatch.syspath_prepend(PROJECT_ROOT)
    from dagster_celery.launcher import CeleryRunLauncher  # noqa: PLC0415

    from deploy.launcher import WatchfulCeleryRunLauncher  # noqa: PLC0415

    monkeypatch.setattr(CeleryRunLauncher, "check_run_worker_health", lambda *_: CheckRunHealthResult(known))
    launcher = WatchfulCeleryRunLauncher("dagster", broker="memory://", backend="cache+memory://")
    asked = []
    launcher.celery = SimpleNamespace(
        AsyncResult=lambda _task: SimpleNamespace(info={"hostname": "w2@ici", "pid": 1}),
        control=SimpleNamespace(ping=lambda destination, timeout: asked.append(destination) or answers),
    )
    health = launcher.check_run_worker_health(SimpleNamespace(tags={"dagster-celery/task_id": "une"}))
    assert health.status == expected
    assert asked in ([], [["w2@ici"]])
