"""`make deploy-proof`: the whole shape of `deploy/`, really run on this machine, against one process on one disk.

PostgreSQL and Redis from the system's packages and an S3 server from PyPI are started on loopback, on free ports, in a
temporary folder. One process makes the figures and twenty territories on a disk. Then the daemon, two Celery workers
and a backfill make them again in the S3 store, in the very same checkout and with `deploy/dagster.yaml` as it is; one
worker is killed (SIGKILL, the whole process group) while it draws. The two sets of products must be the same. Every
server is stopped by its own number, whatever happens.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
CODE = ("assets", "catalog", "deploy", "diagnostics", "pipelines", "snapshot", "pyproject.toml")
POSTGRES_BINARIES = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name))
S3 = "from moto.server import main; main(['--host', '127.0.0.1', '--port', '{port}'])"
FIGURES = "indicateurs_france"
BACKFILL = """
mutation ($asked: LaunchBackfillParams!) {
  launchPartitionBackfill(backfillParams: $asked) {
    __typename ... on LaunchBackfillSuccess { backfillId } ... on PythonError { message }
  }
}
"""
KILL_AFTER = 4
"""Territories done before a worker is killed."""


def main() -> int:
    asked = argparse.ArgumentParser(prog="python -m deploy.proof", description=__doc__.splitlines()[0])
    asked.add_argument("--profile", default="embedded", choices=["embedded", "mirror"])
    asked.add_argument("--territories", type=int, default=20)
    asked.add_argument("--indicators", type=int, default=1, help="indicators kept per axis: maps are what costs")
    asked.add_argument("--minutes", type=int, default=60, help="given up after that long")
    asked.add_argument("--keep", type=Path, help="work in this folder and keep it; what one machine made there serves")
    options = asked.parse_args()
    needed = [shutil.which("redis-server"), *POSTGRES_BINARIES]
    if len(needed) < 2 or needed[0] is None:
        sys.exit("Il faut PostgreSQL et Redis : apt-get install postgresql redis-server")
    # Told to stop, it stops its servers first.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with ExitStack() as stack:
        work = options.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deploy-proof-")))
        work.mkdir(parents=True, exist_ok=True)
        return prove(work.resolve(), options, stack, deadline=time.monotonic() + 60 * options.minutes)


def prove(work: Path, options: argparse.Namespace, stack: ExitStack, deadline: float) -> int:
    project = work / "project"
    if not project.exists():
        copy_project(project, options.territories, options.indicators)
    territories = sorted(path.stem for path in (project / "catalog" / "territories").glob("*.yaml"))
    common = {k: v for k, v in os.environ.items() if not k.startswith(("DIAGNOSTIC_", "DAGSTER_", "AWS_"))}
    common |= {
        "PYTHONPATH": str(project), "PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1",
        "DIAGNOSTIC_PROFILE": options.profile, "DIAGNOSTIC_MIRROR": os.environ.get("DIAGNOSTIC_MIRROR", ""),
    }  # fmt: skip
    one = work / "one"
    say(f"Une machine : {len(territories)} territoires, profil {options.profile}")
    spent = on_one_machine(project, common | {"DIAGNOSTIC_DATA": str(one)}, territories, options.profile, deadline)

    cluster = common | start_servers(work, stack)
    cluster |= {
        "DAGSTER_HOME": str(project / "deploy"), "DIAGNOSTIC_DATA": "s3://diagnostic/prod",
        "DIAGNOSTIC_FILES": str(one), "DIAGNOSTIC_LOGS": str(work / "logs"), "DIAGNOSTIC_CACHE": str(work / "cache"),
    }  # fmt: skip
    os.environ.update(cluster)
    sys.path.insert(0, str(project))
    figures, lasted = on_a_cluster(project, cluster, territories, stack, deadline)
    return judge(one, spent, figures, lasted, territories)


# --- the two ways ----------------------------------------------------------------------------------------------------


def copy_project(target: Path, count: int, indicators: int) -> None:
    """The code as it is, with a catalogue of `count` territories cut from those of the house."""
    for name in CODE:
        source = ROOT / name
        ignored = shutil.ignore_patterns("__pycache__", ".env")
        shutil.copytree(source, target / name, ignore=ignored) if source.is_dir() else shutil.copy(source, target)
    (target / "data").mkdir()
    folder = target / "catalog" / "territories"
    models = [yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yaml"))]
    for path in folder.glob("*.yaml"):
        path.unlink()
    models = [model for model in models if len(model["communes"]) > 10]
    axes = [
        {"id": axis["id"], "title": axis["title"], "indicators": axis["indicators"][:indicators]}
        for axis in models[0]["axes"]
    ]
    communes = [code for model in models for code in model["communes"]]
    size = len(communes) // count
    for n in range(count):
        name = f"essai-{n + 1:02d}"
        card = {
            "id": name, "name": f"Essai {n + 1}", "kind": "free", "cog_year": models[0]["cog_year"],
            "communes": communes[n * size : (n + 1) * size], "axes": axes, "source": "écrit par deploy/proof.py",
        }  # fmt: skip
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(card, allow_unicode=True), encoding="utf-8")


@dataclass(frozen=True)
class Spent:
    """Seconds of one process: on the clock, of processor."""

    clock: float
    processor: float


def on_one_machine(project: Path, environment: dict, territories: list[str], profile: str, deadline: float) -> Spent:
    home = project.parent / "home"
    home.mkdir(exist_ok=True)
    shutil.copy(ROOT / "dagster.yaml", home)
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    subprocess.run(
        python("-m", "pipelines.cli", "run", *territories, "--profile", profile), cwd=project, check=True,
        env=environment | {"DAGSTER_HOME": str(home)}, timeout=deadline - start, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = (after.ru_utime + after.ru_stime) - (before.ru_utime + before.ru_stime)
    return Spent(time.monotonic() - start, processor)


def on_a_cluster(
    project: Path, environment: dict, territories: list[str], stack: ExitStack, deadline: float
) -> tuple[float, list[float]]:
    """Everything by two workers, of which one is killed; seconds that the figures, and each territory, lasted."""
    from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter  # noqa: PLC0415

    # First of all: it makes the tables that the others use.
    instance = stack.enter_context(DagsterInstance.get())
    work = project.parent
    workers = {n: stack.enter_context(worker(n, project, environment, work)) for n in (1, 2)}
    daemon = ["-m", "dagster._daemon", "run", "-m", "pipelines.definitions"]
    stack.enter_context(running(python(*daemon), project, environment, work / "daemon.log"))

    say("Grappe : les indicateurs de la France")
    called("dagster", ["job", "launch", "-m", "pipelines.definitions", "-j", FIGURES], project, environment)
    made = RunsFilter(job_name=FIGURES, statuses=[DagsterRunStatus.SUCCESS])
    (figures,) = wait(lambda: instance.get_run_records(made), deadline, "les indicateurs")
    say("Grappe : rattrapage de tous les territoires")
    asked = launch_backfill(project, environment)

    def runs(status: DagsterRunStatus) -> list:
        return instance.get_run_records(RunsFilter(tags={"dagster/backfill": asked}, statuses=[status]))

    def done() -> set[str]:
        return {territory_of(r.dagster_run) for r in runs(DagsterRunStatus.SUCCESS)}

    wait(lambda: len(done()) >= min(KILL_AFTER, len(territories) - 2), deadline, "les premiers territoires")

    def in_the_middle():
        run = held_by(instance, runs(DagsterRunStatus.STARTED), number=2)
        return run if run and instance.all_logs(run.run_id, of_type=DagsterEventType.STEP_START) else None

    lost = wait(in_the_middle, deadline, "une exécution sur le travailleur 2")
    os.killpg(workers[2].pid, signal.SIGKILL)
    say(f"Travailleur 2 tué pendant « {territory_of(lost)} », après {len(done())} territoires")
    wait(lambda: done() == {*territories, ""}, deadline, "tous les territoires et la base")
    failed = [r.dagster_run.run_id for r in runs(DagsterRunStatus.FAILURE)]
    if failed != [lost.run_id]:
        sys.exit(f"Exécutions déclarées perdues : {failed} ; celle du travailleur tué : {lost.run_id}.")
    lasted = [r.end_time - r.start_time for r in runs(DagsterRunStatus.SUCCESS) if territory_of(r.dagster_run)]
    return figures.end_time - figures.start_time, lasted


def judge(one: Path, spent: Spent, figures: float, lasted: list[float], territories: list[str]) -> int:
    from upath import UPath  # noqa: PLC0415

    from diagnostics.products.sameness import compare  # noqa: PLC0415
    from diagnostics.storage import Storage  # noqa: PLC0415
    from diagnostics.workshop import Workshop  # noqa: PLC0415
    from pipelines.stale import stale_assets, stale_deliverables  # noqa: PLC0415

    workshop = Workshop.from_environment()
    stale = [*stale_assets(workshop), *(key for t in territories for key in stale_deliverables(workshop, t))]
    remote = Storage.from_environment().processed
    objects = [path for path in remote.rglob("*") if path.is_file()]
    halves = [str(path) for path in objects if path.name.startswith(".")]
    found = compare(UPath(one / "processed"), remote)
    total = sum(path.stat().st_size for path in objects)
    own = sum(path.stat().st_size for path in objects if "/territories/" in path.path)
    say(f"Une machine : {spent.clock:.0f} s à l'horloge, {spent.processor:.0f} s de processeur")
    say(f"Grappe : indicateurs en {figures:.0f} s, un territoire en {sum(lasted) / len(lasted):.1f} s en moyenne")
    say(
        f"Seau : {len(objects)} objets, {total / 1e6:.0f} Mo, dont {own / len(territories) / 1e6:.1f} Mo par territoire"
    )
    say(f"Identiques octet pour octet : {len(found.identical)} ; identiques aux dates près : {len(found.same)}")
    say(f"Différents : {found.different or 'aucun'} ; absents : {found.absent or 'aucun'}")
    say(f"À moitié écrits : {halves or 'aucun'} ; produits non à jour : {stale or 'aucun'}")
    sound = found.holds and not stale and not halves
    say("PREUVE FAITE" if sound else "ÉCHEC : les produits ne sont pas les mêmes")
    return 0 if sound else 1


def territory_of(run) -> str:
    """A backfill that may put several partitions in a run tells their range, of one here; none for the database."""
    return run.tags.get("dagster/asset_partition_range_start", "")


def held_by(instance, records: list, *, number: int):
    """The run that worker `number` is doing, if any."""
    for record in records:
        task = instance.run_launcher.celery.AsyncResult(record.dagster_run.tags["dagster-celery/task_id"])
        if task.state == "STARTED" and task.info["hostname"].startswith(f"w{number}@"):
            return record.dagster_run
    return None


# --- servers ---------------------------------------------------------------------------------------------------------


def start_servers(work: Path, stack: ExitStack) -> dict[str, str]:
    """PostgreSQL, Redis and S3 on free ports of loopback; the variables that name them."""
    postgres, redis, s3 = free_port(), free_port(), free_port()
    stack.enter_context(postgresql(postgres, work, stack))
    plain = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8"}
    serve = ["redis-server", "--port", str(redis), "--bind", "127.0.0.1", "--save", "", "--dir", str(work)]
    stack.enter_context(running(serve, work, plain, work / "redis.log"))
    stack.enter_context(running(python("-c", S3.format(port=s3)), work, plain, work / "s3.log"))
    for port in (postgres, redis, s3):
        wait(lambda port=port: answers(port), time.monotonic() + 60, f"le port {port}")
    variables = {
        "DIAGNOSTIC_POSTGRES": f"postgresql+psycopg2://preuve@127.0.0.1:{postgres}/postgres",
        "DIAGNOSTIC_REDIS": f"redis://127.0.0.1:{redis}/0",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{s3}", "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "preuve", "AWS_SECRET_ACCESS_KEY": "preuve",
    }  # fmt: skip
    make_bucket = "from upath import UPath; UPath('s3://diagnostic').mkdir()"
    subprocess.run(python("-c", make_bucket), env=os.environ | variables, check=True)
    return variables


@contextmanager
def postgresql(port: int, work: Path, stack: ExitStack) -> Iterator[None]:
    """A server of its own, which anyone of this machine may enter: it lives for minutes and holds nothing."""
    binaries, root = POSTGRES_BINARIES[-1], os.geteuid() == 0
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="deploy-proof-pg-")))
    who = {"user": "postgres", "group": "postgres", "extra_groups": []} if root else {}
    if root:
        shutil.chown(folder, "postgres", "postgres")
    data = folder / "data"
    subprocess.run(
        [binaries / "initdb", "--pgdata", data, "--username", "preuve", "--auth", "trust", "--encoding", "UTF8"],
        check=True, stdout=subprocess.DEVNULL, cwd=folder, **who,
    )  # fmt: skip
    serve = [binaries / "postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", folder]
    with running(serve, folder, dict(os.environ), work / "postgres.log", stop=signal.SIGINT, **who):
        yield


@contextmanager
def worker(number: int, project: Path, environment: dict, work: Path) -> Iterator[subprocess.Popen]:
    serve = python(
        "-m", "celery", "--app", "deploy.worker", "worker", "--concurrency", "1", "--queues", "dagster",
        "--hostname", f"w{number}@%h", "--loglevel", "info",
    )  # fmt: skip
    own = environment | {"DIAGNOSTIC_CACHE": str(work / f"cache-{number}"), "OMP_NUM_THREADS": "1"}
    with running(serve, project, own, work / f"worker-{number}.log") as process:
        yield process


@contextmanager
def running(
    command: list, folder: Path, environment: dict, log: Path, stop: signal.Signals = signal.SIGTERM, **who
) -> Iterator[subprocess.Popen]:
    """A server in a process group of its own until the block ends."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=out, stderr=out, start_new_session=True, **who
        )
    try:
        yield process
    finally:
        with suppress(subprocess.TimeoutExpired):
            process.send_signal(stop)
            process.wait(timeout=30)
        # What it started and left behind, if anything.
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def launch_backfill(project: Path, environment: dict) -> str:
    """What the interface asks for when all the partitions of the deliverables are chosen; the number of the backfill.

    A backfill of assets, not of a job: the daemon takes the latter for finished as soon as its runs are in the queue,
    and starts none of them again.
    """
    from pipelines.definitions import defs  # noqa: PLC0415

    keys = [key.path for key in defs().resolve_all_asset_keys() if key.path[0] == "territories"]
    # The database tells of every territory: it comes last.
    keys.append(["indicators", "database"])
    asked = {"asked": {"assetSelection": [{"path": path} for path in keys], "allPartitions": True}}
    arguments = ["-m", "pipelines.definitions", "-t", BACKFILL, "-v", json.dumps(asked)]
    said = called("dagster-graphql", arguments, project, environment)
    (answer,) = [json.loads(line) for line in said.splitlines() if line.startswith('{"data"')]
    given = answer["data"]["launchPartitionBackfill"]
    if given["__typename"] != "LaunchBackfillSuccess":
        sys.exit(f"Rattrapage refusé : {given}")
    return given["backfillId"]


def called(name: str, arguments: list[str], project: Path, environment: dict) -> str:
    """What a command of Dagster's answers."""
    command = [Path(sys.executable).parent / name, *arguments]
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{name} :\n{done.stdout}{done.stderr}")
    return done.stdout


def python(*arguments: str) -> list[str]:
    return [sys.executable, *arguments]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait(condition: Callable, deadline: float, what: str):
    """What `condition` gives as soon as it is true."""
    while not (given := condition()):
        if time.monotonic() > deadline:
            sys.exit(f"Délai dépassé : {what}.")
        time.sleep(0.5)
    return given


def say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')}  {text}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
