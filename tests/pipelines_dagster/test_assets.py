"""Every asset of the house on a tiny project, with an ephemeral instance."""

from __future__ import annotations

import re
from pathlib import Path

import dagster as dg
import pandas as pd
import pytest
from tiny import CLS, POPULATION

from assets.maps import forget_others
from pipelines.definitions import build_definitions
from pipelines.jobs import DELIVERABLES, DIAGNOSTIC, FIGURES
from pipelines.stale import stale_assets, stale_deliverables

POPULATION_KEY = dg.AssetKey(["observations", "population"])


def execute(tiny, instance, job, partition=None, **more):
    definitions = build_definitions(workshop=tiny.workshop())
    return definitions.resolve_job_def(job).execute_in_process(
        instance=instance, partition_key=partition, raise_on_error=False, **more
    )


def cells(metadata):
    """Every cell of a table shown on a page."""
    return {cell for record in metadata.value.records for cell in record.data.values()}


def checks_of(result):
    return {(e.asset_key.to_user_string(), e.check_name): e for e in result.get_asset_check_evaluations()}


def test_the_whole_diagnostic_of_one_territory(tiny_project, instance):
    result = execute(tiny_project, instance, DIAGNOSTIC, "essai")
    assert result.success
    workshop = tiny_project.workshop()
    assert stale_assets(workshop) == []
    assert stale_deliverables(workshop, "essai") == []
    values = pd.read_parquet(workshop.storage.values)
    row = values[(values["indicator_id"] == "pop_municipal") & (values["zone_code"] == "essai")]
    assert row["value"].tolist() == [sum(POPULATION[code] for code in CLS)]
    assert (workshop.storage.territory("essai") / "rapport.html").exists()


def test_pages_show_rows_schema_source_and_map(tiny_project, instance):
    result = execute(tiny_project, instance, DIAGNOSTIC, "essai")
    metadata = {
        e.asset_key.to_user_string(): e.step_materialization_data.materialization.metadata
        for e in result.get_asset_materialization_events()
    }
    observed = metadata["observations/population"]
    assert observed["dagster/row_count"].value == len(POPULATION)
    assert all(c.description for c in observed["dagster/column_schema"].value.columns)
    assert "VALEUR" in cells(observed["Variables"])
    lineage = metadata["indicators/values"]["dagster/column_lineage"].value.deps_by_column
    assert POPULATION_KEY in {d.asset_key for d in lineage["value"]}
    assert "data:image/png;base64," in metadata["territories/maps"]["Carte : Densité de pharmacies"].value
    assert metadata["raw/population"]["Dernier millésime"].value == "2023"


def test_pictures_are_served_under_the_path_that_a_proxy_shows(tiny_project, tmp_path, monkeypatch):
    monkeypatch.setenv("DAGSTER_WEBSERVER_PATH_PREFIX", "/diagnostic")
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        result = execute(tiny_project, instance, DIAGNOSTIC, "essai")
        (event,) = [e for e in result.get_asset_materialization_events() if e.asset_key.path[-1] == "maps"]
        shown = event.step_materialization_data.materialization.metadata["Carte : Densité de pharmacies"].value
        found = re.fullmatch(r"!\[.+\]\(/diagnostic/logs/(.+)/png\)", shown)
        assert found, shown
        kept = instance.compute_log_manager.get_captured_local_path(found[1].split("/"), "png")
    assert Path(kept).read_bytes().startswith(b"\x89PNG")


def test_only_maps_of_former_runs_are_forgotten(tmp_path):
    for name in ("kept.png", "kept.svg", "former.png", "former.svg", ".other.3f2a.png", "index.json"):
        (tmp_path / name).touch()
    forget_others(tmp_path, {"kept"})
    assert {path.name for path in tmp_path.iterdir()} == {"kept.png", "kept.svg", ".other.3f2a.png", "index.json"}


def test_checks_say_what_they_found_and_warn_only(tiny_project, instance):
    tiny_project.publish("pharmacies", dict.fromkeys(CLS, 1))
    result = execute(tiny_project, instance, DIAGNOSTIC, "essai")
    assert result.success
    found = checks_of(result)["indicators/values", "couverture_nationale"]
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert "95" in found.description
    assert "pharmacy_density_10k" in cells(found.metadata["Lignes en cause"])


def test_a_broken_total_leaves_the_former_product_and_stops_what_follows(tiny_project, instance):
    assert execute(tiny_project, instance, DIAGNOSTIC, "essai").success
    workshop = tiny_project.workshop()
    kept = {path: path.read_bytes() for path in (workshop.observations_path("population"), workshop.storage.values)}
    tiny_project.publish("population", POPULATION | {CLS[0]: 5000})
    result = execute(tiny_project, instance, FIGURES)
    assert not result.success
    check = checks_of(result)["observations/population", "contrat"]
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.ERROR
    assert "trouvé" in check.description
    assert "indicators/values" not in {e.asset_key.to_user_string() for e in result.get_asset_materialization_events()}
    assert all(path.read_bytes() == content for path, content in kept.items())


def test_one_asset_run_alone_does_not_hide_that_what_is_above_moved(tiny_project, instance):
    assert execute(tiny_project, instance, FIGURES).success
    tiny_project.publish("pharmacies", dict.fromkeys(POPULATION, 2))
    assert execute(tiny_project, instance, FIGURES, asset_selection=[dg.AssetKey(["indicators", "values"])]).success
    stale = stale_assets(tiny_project.workshop())
    assert ("observations", "pharmacies") in stale
    assert ("indicators", "values") in stale
    assert ("observations", "population") not in stale


def test_many_territories_in_one_run(tiny_project, instance, monkeypatch):
    monkeypatch.setenv("DIAGNOSTIC_TERRITORIES_PER_RUN", "all")
    assert execute(tiny_project, instance, FIGURES).success
    span = {"dagster/asset_partition_range_start": "autre", "dagster/asset_partition_range_end": "essai"}
    result = execute(tiny_project, instance, DELIVERABLES, tags=span)
    assert result.success
    workshop = tiny_project.workshop()
    assert stale_deliverables(workshop, "essai") == stale_deliverables(workshop, "autre") == []
    made = {(e.asset_key.path[-1], e.partition) for e in result.get_asset_materialization_events()}
    assert {("report", "essai"), ("report", "autre")} <= made


@pytest.mark.parametrize("wanted", ["0", "deux", "-1"])
def test_a_wrong_number_of_territories_per_run_is_told(tiny_project, monkeypatch, wanted):
    monkeypatch.setenv("DIAGNOSTIC_TERRITORIES_PER_RUN", wanted)
    with pytest.raises(Exception, match="DIAGNOSTIC_TERRITORIES_PER_RUN"):
        build_definitions(workshop=tiny_project.workshop())


def test_producers_are_observed_with_a_data_version(tiny_project, instance):
    assert execute(tiny_project, instance, FIGURES).success
    assert execute(tiny_project, instance, "interroger_les_producteurs").success
    (record,) = instance.fetch_observations(dg.AssetKey(["producers", "population"]), limit=1).records
    assert "octets" in record.asset_observation.tags["dagster/data_version"]
