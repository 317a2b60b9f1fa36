"""A refresh computes and draws what moved, keeps the rest as it stands, and ends with the table of a full run."""

from __future__ import annotations

import datetime
import shutil
from dataclasses import replace

import dagster as dg
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import yaml
from tiny import SUPPLY, TinyProject
from upath import UPath

from assets import maps
from assets.indicators import refresh_values
from assets.maps import draw
from diagnostics.catalog import load_catalog
from diagnostics.indicators import by_indicator, stamps_of, write_values
from diagnostics.indicators.parts import parts
from diagnostics.storage import Storage
from diagnostics.workshop import Workshop
from pipelines.definitions import build_assets, build_definitions
from pipelines.jobs import FIGURES
from pipelines.stale import REFERENCE, stale_assets

NEW = SUPPLY | {"54001": 4}
VALUES = ("indicators", "values")


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A tiny project with its figures, made once."""
    tiny = TinyProject(tmp_path_factory.mktemp("template") / "tiny")
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setenv("DIAGNOSTIC_MIRROR", str(tiny.mirror))
        patch.setenv("DAGSTER_HOME", str(tiny.home))
        job = build_definitions(workshop=tiny.workshop()).resolve_job_def(FIGURES)
        assert job.execute_in_process(instance=instance).success
    return tiny


@pytest.fixture
def made(tiny_project, template):
    """The tiny project with its figures: a copy of the template."""
    shutil.copytree(template.folder / "data", tiny_project.folder / "data", dirs_exist_ok=True)
    workshop = tiny_project.workshop()
    for dataset in workshop.sources:
        workshop.fetch(dataset)
    assert stale_assets(workshop) == []
    return tiny_project


def bring(tiny, instance, *keys):
    """Materialize these assets, or all that is stale."""
    for _ in range(2):
        wanted = keys or stale_assets(tiny.workshop())
        if wanted:
            job = build_definitions(workshop=tiny.workshop()).resolve_job_def(FIGURES)
            chosen = [dg.AssetKey(list(key)) for key in wanted]
            assert job.execute_in_process(instance=instance, asset_selection=chosen).success
        if keys:
            return


def table(storage):
    key = ["indicator_id", "zone_type", "zone_code", "period"]
    frame = pd.read_parquet(storage.values).astype(dict.fromkeys(key, "str"))
    return frame.sort_values(key, ignore_index=True)


def in_full(tiny):
    """The table of the same project computed whole, but when it was."""
    folder = tiny.folder / "elsewhere"
    shutil.copytree(tiny.folder / "data", folder)
    workshop = Workshop(load_catalog(tiny.catalog_folder), "mirror", Storage(UPath(folder)))
    workshop.storage.values.unlink()
    assert refresh_values(workshop).computed == set(workshop.parts)
    return table(workshop.storage).drop(columns="computed_at")


def same_figures(tiny, whole):
    ours = table(tiny.storage).drop(columns="computed_at")
    pd.testing.assert_frame_equal(ours, whole, check_categorical=False)


def computed_at(storage):
    return table(storage).groupby("indicator_id")["computed_at"].unique().map(list).to_dict()


def age(storage):
    """Make the table look a day old: what is computed again is seen to be."""
    rows = pq.read_table(storage.values)
    earlier = pc.subtract(rows["computed_at"], pa.scalar(datetime.timedelta(days=1)))
    rows = rows.set_column(rows.schema.get_field_index("computed_at"), "computed_at", earlier)
    write_values(storage.values, by_indicator(rows), stamps=stamps_of(storage.values))


def test_one_small_file_moves_and_the_table_is_that_of_a_full_run(made, instance):
    age(made.storage)
    before = computed_at(made.storage)
    made.publish("pharmacies", NEW)
    bring(made, instance, ("raw", "pharmacies"))
    bring(made, instance)
    after = computed_at(made.storage)
    assert after["pop_municipal"] == before["pop_municipal"]
    assert after["pharmacy_density_10k"] > before["pharmacy_density_10k"]
    same_figures(made, in_full(made))


def test_what_every_figure_leans_on_moves_them_all(made, instance):
    age(made.storage)
    before = computed_at(made.storage)
    made.edit("sources/population.yaml", lambda card: card.update(notes="Nouvelle édition."))
    bring(made, instance)
    after = computed_at(made.storage)
    assert all(after[name] > before[name] for name in before)


def test_figures_made_of_files_read_too_early_are_made_again(made, instance):
    made.publish("pharmacies", NEW)
    # The new file is here, its observations are not: whoever computes now computes from the former ones.
    bring(made, instance, ("raw", "pharmacies"), VALUES)
    bring(made, instance, ("observations", "pharmacies"))
    bring(made, instance, VALUES)
    same_figures(made, in_full(made))


def test_words_of_a_card_move_no_figure(made):
    before = made.workshop().part_stamps()
    relabel(made, "pharmacy_density_10k", label="Pharmacies")
    assert made.workshop().part_stamps() == before
    relabel(made, "pharmacy_density_10k", direction="neutral")
    after = made.workshop().part_stamps()
    assert {name for name in before if after[name] != before[name]} == {"pharmacy_density_10k"}


def test_the_figures_of_another_profile_are_never_kept(made):
    def everywhere(card):
        for distribution in card["distributions"]:
            distribution["profiles"] = ["mirror", "official"]

    for name in ("geographie", "population", "pharmacies"):
        made.edit(f"sources/{name}.yaml", everywhere)
    catalog = load_catalog(made.catalog_folder)
    ours, theirs = (Workshop(catalog, profile, made.storage).part_stamps() for profile in ("mirror", "official"))
    assert ours.keys() == theirs.keys()
    assert not set(ours.values()) & set(theirs.values())


def test_nothing_moved_nothing_is_computed(made):
    before = table(made.storage)
    assert refresh_values(made.workshop()).computed == set()
    pd.testing.assert_frame_equal(table(made.storage), before)


FEW = {"pop_municipal", "pop_growth_annual", "radon_class3_pop_share", "edi_q5_pop_share"}
MOVED = "irsn_radon"


def test_on_real_files_too_one_source_moves_and_the_table_is_that_of_a_full_run(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("DIAGNOSTIC_MIRROR", str(mirror))
    whole = load_catalog()
    catalog = whole.of_indicators(FEW)
    used = {dataset for part in parts(catalog, "mirror").values() for dataset in part.datasets}
    tables = {s.id for s in whole.sources.values() if any(d.table for d in s.of_profile("mirror"))}
    sources = {name: source for name, source in whole.sources.items() if name in used | tables}
    territories = {"val-de-lorraine": whole.territory("val-de-lorraine")}
    catalog = replace(catalog, sources=sources, territories=territories)
    workshop = Workshop(catalog, "mirror", Storage(UPath(tmp_path / "data")))
    observe(workshop, workshop.sources)
    made = build_assets(catalog)
    dg.materialize(made, selection=[dg.AssetKey(REFERENCE)], resources={"workshop": workshop})
    workshop.record("geography")
    first = refresh_values(workshop)
    assert first.computed == set(workshop.parts)

    revised = sources[MOVED].model_copy(update={"notes": "Nouvelle édition."})
    workshop = replace(workshop, catalog=replace(catalog, sources=sources | {MOVED: revised}))
    observe(workshop, [MOVED])
    assert refresh_values(workshop).computed == {"radon_class3_pop_share"}
    ours = table(workshop.storage).drop(columns="computed_at")
    workshop.storage.values.unlink()
    assert refresh_values(workshop).rows == first.rows
    theirs = table(workshop.storage).drop(columns="computed_at")
    pd.testing.assert_frame_equal(ours, theirs, check_categorical=False, rtol=1e-12)


def observe(workshop, datasets):
    keys = [dg.AssetKey([stage, dataset]) for stage in ("raw", "observations") for dataset in datasets]
    dg.materialize(build_assets(workshop.catalog), selection=keys, resources={"workshop": workshop})


# --- maps ------------------------------------------------------------------------------------------------------------


def relabel(tiny, name, **words):
    path = tiny.catalog_folder / "indicators" / "population.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    next(i for i in content["indicators"] if i["id"] == name).update(words)
    path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")


@pytest.fixture
def drawn(made):
    """The maps of a territory; gives the territory's folder of maps."""
    return maps_of(made)


def maps_of(tiny):
    workshop = tiny.workshop()
    draw(workshop, workshop.catalog.territory("essai"))
    return workshop.storage.territory("essai") / "maps"


def times(folder):
    return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.[ps][nv]g")}


def redrawn(folder, before):
    after = times(folder)
    return {name.partition(".")[0] for name in after if after[name] != before.get(name)}


def test_maps_of_what_did_not_move_stay(made, drawn):
    before = times(drawn)
    assert redrawn(maps_of(made), before) == set()
    relabel(made, "pharmacy_density_10k", label="Pharmacies pour 10 000 habitants")
    assert redrawn(maps_of(made), before) == {"pharmacy_density_10k"}


def test_a_map_follows_its_figures(made, drawn, instance):
    before = times(drawn)
    made.publish("pharmacies", NEW)
    bring(made, instance, ("raw", "pharmacies"))
    bring(made, instance)
    assert redrawn(maps_of(made), before) == {"pharmacy_density_10k"}


def test_a_map_that_lost_a_file_is_drawn_again(made, drawn):
    (drawn / "pop_municipal.svg").unlink()
    before = times(drawn)
    assert redrawn(maps_of(made), before) == {"pop_municipal"}


def test_maps_half_drawn_are_not_taken_for_done(made, drawn, monkeypatch):
    made.edit("indicators/population.yaml", lambda theme: theme.update(palette="care"))
    left = [1]

    def save_once(figure, folder, stem):
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return real(figure, folder, stem)

    real = maps.save
    monkeypatch.setattr(maps, "save", save_once)
    with pytest.raises(KeyboardInterrupt):
        maps_of(made)
    monkeypatch.undo()
    # Back to the former colours: the one map that has the new ones is drawn again.
    made.edit("indicators/population.yaml", lambda theme: theme.update(palette="population"))
    before = times(drawn)
    assert "pharmacy_density_10k" in redrawn(maps_of(made), before)
