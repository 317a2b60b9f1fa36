"""What starts a run when something moved. All are off until someone turns them on, the failure alert apart.

| sensor | looks at | requests |
|---|---|---|
| `nouveaux_millesimes` | the producers, a few at a time, each as often as it may publish | raw files that moved |
| `figures_a_refaire` | the stamps above the territories | what is stale, and nothing else |
| `livrables_a_refaire` | the stamps of each territory | the stale deliverables of each territory |

The stamps of `diagnostics.workshop` are the truth: a sensor only asks them. A version that was requested is remembered
in the cursor: a file that the gates refuse is not asked for again at each tick.
"""

import json
import time

import dagster as dg

from assets.producers import STAGE, observation
from diagnostics.catalog import Catalog
from diagnostics.stamps import digest
from diagnostics.workshop import Workshop
from pipelines.jobs import DELIVERABLES, FIGURES
from pipelines.stale import product_of, stale_assets, stale_of_each

DAY = 24 * 3600
ASK_EVERY = {"monthly": DAY, "quarterly": 2 * DAY, "yearly": 7 * DAY, "irregular": 7 * DAY, "static": 30 * DAY}
"""Seconds between two questions to a producer, by his rhythm."""

BUDGET = 30.0
"""Seconds that one tick may spend asking: Dagster stops a sensor after sixty."""

TICK = 900
BUSY = [dg.DagsterRunStatus.QUEUED, dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED]  # fmt: skip


def sensors(catalog: Catalog) -> list[dg.SensorDefinition]:
    return [_new_vintages(catalog), _stale_figures(), _stale_deliverables()]


def _new_vintages(catalog: Catalog) -> dg.SensorDefinition:
    @dg.sensor(
        name="nouveaux_millesimes",
        job_name=FIGURES,
        minimum_interval_seconds=TICK,
        required_resource_keys={"workshop"},
        description="Demande aux producteurs si leurs fichiers ont changé et ne récupère que ceux-là.",
    )
    def sensor(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        workshop: Workshop = context.resources.workshop
        cursor: dict[str, dict] = json.loads(context.cursor) if context.cursor else {}
        now = time.time()
        due = [d for d in workshop.sources if now - cursor.get(d, {}).get("asked", 0) >= ASK_EVERY[_rhythm(catalog, d)]]
        due.sort(key=lambda dataset: cursor.get(dataset, {}).get("asked", 0))
        moved, events = [], []
        for dataset in due:
            if time.time() - now > BUDGET:
                break
            published = workshop.published(dataset)
            seen = observation(dg.AssetKey([STAGE, dataset]), published)
            events.append(_event(seen))
            version = digest([[name, p.version] for name, p in sorted(published.items()) if p.moved])
            if any(p.moved for p in published.values()) and version != cursor.get(dataset, {}).get("requested"):
                moved.append(dataset)
                cursor[dataset] = {"asked": now, "requested": version}
            else:
                cursor[dataset] = cursor.get(dataset, {}) | {"asked": now}
        requests = [_request([dg.AssetKey(["raw", d]) for d in moved], json.dumps(cursor))] if moved else []
        return dg.SensorResult(
            run_requests=requests,
            skip_reason=None if requests else f"{len(events)} producteur(s) interrogé(s), rien de nouveau.",
            cursor=json.dumps(cursor, sort_keys=True),
            asset_events=events,
        )

    return sensor


def _stale_figures() -> dg.SensorDefinition:
    @dg.sensor(
        name="figures_a_refaire",
        job_name=FIGURES,
        minimum_interval_seconds=120,
        required_resource_keys={"workshop"},
        description="Refait les observations, la géographie et les indicateurs dont une entrée a changé, et eux seuls.",
    )
    def sensor(context: dg.SensorEvaluationContext):
        workshop: Workshop = context.resources.workshop
        if _busy(context):
            return dg.SkipReason("Une exécution est en cours : ses produits diront ce qui reste à faire.")
        stale = stale_assets(workshop)
        if not stale:
            return dg.SkipReason("Tous les indicateurs sont à jour.")
        # The key is what they would be made from: a failure is not tried again until something moves.
        key = digest([[*k, workshop.stamp(product_of(k))] for k in stale])
        return _request([dg.AssetKey(list(k)) for k in stale], key)

    return sensor


def _stale_deliverables() -> dg.SensorDefinition:
    @dg.sensor(
        name="livrables_a_refaire",
        job_name=DELIVERABLES,
        minimum_interval_seconds=120,
        required_resource_keys={"workshop"},
        description="Refait les cartes, le rapport et le bilan des changements des territoires dont les chiffres ont "
        "changé. Ne concerne que les territoires déjà produits une fois.",
    )
    def sensor(context: dg.SensorEvaluationContext):
        workshop: Workshop = context.resources.workshop
        if _busy(context):
            return dg.SkipReason("Une exécution est en cours : ses produits diront ce qui reste à faire.")
        if not workshop.is_current("values"):
            return dg.SkipReason("Les indicateurs ne sont pas à jour : les livrables attendent.")
        requests = []
        for territory, stale in stale_of_each(workshop, sorted(workshop.catalog.territories)).items():
            if stale and (workshop.storage.territory(territory) / "rapport.html").exists():
                key = digest([[*k, workshop.stamp(f"{k[-1]}/{territory}")] for k in stale])
                keys = [dg.AssetKey(list(k)) for k in stale]
                requests.append(
                    dg.RunRequest(run_key=f"{territory}:{key}", partition_key=territory, asset_selection=keys)
                )
        return dg.SensorResult(requests) if requests else dg.SkipReason("Tous les livrables sont à jour.")

    return sensor


def _request(keys: list[dg.AssetKey], key: str) -> dg.RunRequest:
    return dg.RunRequest(run_key=digest(key), asset_selection=keys)


def _event(seen: dg.ObserveResult) -> dg.AssetObservation:
    version = {"dagster/data_version": seen.data_version.value} if seen.data_version else {}
    return dg.AssetObservation(asset_key=seen.asset_key, metadata=seen.metadata, tags=version)


def _busy(context: dg.SensorEvaluationContext) -> bool:
    return bool(context.instance.get_runs(filters=dg.RunsFilter(statuses=BUSY), limit=1))


def _rhythm(catalog: Catalog, dataset: str) -> str:
    return catalog.sources[dataset].rhythm
