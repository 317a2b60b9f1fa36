"""The files of `deploy/`: what Dagster accepts, what the environment must give, and a worker that no longer answers."""

from __future__ import annotations

import re
from types import SimpleNamespace

import pytest
import yaml
from dagster._core.instance.config import dagster_instance_config
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus

from diagnostics.storage import PROJECT_ROOT

DEPLOY = PROJECT_ROOT / "deploy"
COMPOSE = (DEPLOY / "compose.yaml").read_text(encoding="utf-8")


def test_dagster_accepts_the_configuration_of_several_machines():
    config, _ = dagster_instance_config(str(DEPLOY))
    assert config["run_launcher"] | {"config": None} == {
        "module": "deploy.launcher", "class": "WatchfulCeleryRunLauncher", "config": None,
    }  # fmt: skip
    assert config["run_retries"]["retry_on_asset_or_op_failure"] is False


def test_every_variable_of_compose_is_explained_and_no_secret_is_kept():
    example = dict(re.findall(r"^(\w+)=(.*)$", (DEPLOY / "env.example").read_text(encoding="utf-8"), re.M))
    assert set(re.findall(r"(?<!\$)\$\{(\w+)", COMPOSE)) <= set(example)
    assert [name for name, value in example.items() if re.search("PASSWORD|KEY", name) and value] == []
    assert set(re.findall(r"env: (\w+)", (DEPLOY / "dagster.yaml").read_text(encoding="utf-8"))) <= set(
        re.findall(r"DIAGNOSTIC_\w+", COMPOSE + (DEPLOY / "Dockerfile").read_text(encoding="utf-8"))
    )


def test_only_loopback_is_published():
    services = yaml.safe_load(COMPOSE)["services"]
    published = [port for service in services.values() for port in service.get("ports", [])]
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
