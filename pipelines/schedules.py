"""When the refresh runs by itself. Hours are of Paris; both schedules are off until someone turns them on.

| schedule | when | asks | recomputes |
|---|---|---|---|
| `refresh_mensuel` | the 3rd of each month, 04:00 | monthly, quarterly and irregular producers | what moved |
| `refresh_annuel` | 15 January, 05:00 | every producer | what moved |

The year turns when Insee's new populations and the new COG are out. Raw files are asked for with the gates of
`diagnostics.sources.gates`; all the rest is what `pipelines.stale` names when the schedule ticks, so a month without
news runs nothing but the question. What the answer makes stale is requested by the sensor `figures_a_refaire`, and the
deliverables by `livrables_a_refaire` (`sensors.py`).
"""

import dagster as dg

from diagnostics.catalog import Catalog
from pipelines.jobs import FIGURES
from pipelines.stale import stale_assets

PARIS = "Europe/Paris"
MONTHLY, YEARLY = "refresh_mensuel", "refresh_annuel"
ASKED_MONTHLY = {"monthly", "quarterly", "irregular"}


def schedules(catalog: Catalog) -> list[dg.ScheduleDefinition]:
    monthly = [dg.AssetKey(["raw", s.id]) for s in catalog.sources.values() if s.rhythm in ASKED_MONTHLY]
    every = [dg.AssetKey(["raw", s.id]) for s in catalog.sources.values()]
    return [
        _schedule(MONTHLY, "0 4 3 * *", monthly, "Chaque mois : interroger les producteurs mensuels, trimestriels et "
                  "irréguliers, puis refaire ce qui a bougé."),
        _schedule(YEARLY, "0 5 15 1 *", every, "Chaque année, après les populations de référence et le nouveau COG : "
                  "interroger tous les producteurs, puis refaire ce qui a bougé."),
    ]  # fmt: skip


def _schedule(name: str, cron: str, raw: list[dg.AssetKey], description: str) -> dg.ScheduleDefinition:
    @dg.schedule(
        name=name, cron_schedule=cron, execution_timezone=PARIS, job_name=FIGURES, description=description,
        required_resource_keys={"workshop"},
    )  # fmt: skip
    def refresh(context: dg.ScheduleEvaluationContext):
        workshop = context.resources.workshop
        here = [key for key in raw if key.path[-1] in workshop.sources]
        stale = [dg.AssetKey(list(key)) for key in stale_assets(workshop)]
        keys = sorted({*here, *stale})
        if not keys:
            return dg.SkipReason(f"Aucune source à interroger dans le profil « {workshop.profile} ».")
        return dg.RunRequest(
            run_key=context.scheduled_execution_time.isoformat(), asset_selection=keys, tags={"rafraichissement": name}
        )

    return refresh
