"""Runs handed to Celery workers, and given up for dead when the worker that had taken one no longer answers.

`dagster-celery` knows that a run started, not that the machine it started on is still there: without this, a run whose
worker was killed would stay « started » until its time limit.
"""

from dagster import DagsterRun
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster_celery.launcher import CeleryRunLauncher
from dagster_celery.tags import DAGSTER_CELERY_TASK_ID_TAG

ANSWER_SECONDS = 10.0
"""A worker answers from the process that computes nothing, even when its own run takes every core."""


class WatchfulCeleryRunLauncher(CeleryRunLauncher):
    """Same configuration as `CeleryRunLauncher`. The result backend must be one that tells which worker holds a task
    (Redis does, `rpc://` does not)."""

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        health = super().check_run_worker_health(run)
        if health.status != WorkerStatus.RUNNING:
            return health
        holder = self.celery.AsyncResult(run.tags[DAGSTER_CELERY_TASK_ID_TAG]).info["hostname"]
        if self.celery.control.ping(destination=[holder], timeout=ANSWER_SECONDS):
            return health
        return CheckRunHealthResult(WorkerStatus.FAILED, f"Le travailleur {holder} ne répond plus.")
