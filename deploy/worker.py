"""The Celery application of a worker: `celery --app deploy.worker worker --concurrency 1 --queues dagster`.

A worker takes one run at a time and acknowledges it only at its end. Should the whole machine vanish, Redis gives the
message to another worker after `VISIBILITY_SECONDS`, which finds a run already over and leaves it: what starts a lost
run again is Dagster's own daemon, at once (`run_monitoring` and `run_retries` of `dagster.yaml`).
"""

import os

from dagster_celery.make_app import make_app
from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

VISIBILITY_SECONDS = 7 * 3600
"""Longer than any run may last (`max_runtime_seconds` of `dagster.yaml`), or a run still going would be given twice."""

app = make_app(
    {
        "broker": os.environ["DIAGNOSTIC_REDIS"],
        "backend": os.environ["DIAGNOSTIC_REDIS"],
        "config_source": {
            "broker_connection_retry_on_startup": True,
            "broker_transport_options": {"visibility_timeout": VISIBILITY_SECONDS},
            # Memory that drawing libraries keep is given back to the system from time to time.
            "worker_max_tasks_per_child": 20,
            "worker_prefetch_multiplier": 1,
        },
    }
)
execute_job = create_execute_job_task(app, acks_late=True)
resume_job = create_resume_job_task(app, acks_late=True)
