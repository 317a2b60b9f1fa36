"""What is up to date, written down by several processes at the same moment."""

from __future__ import annotations

import dataclasses
import multiprocessing
from concurrent.futures import ProcessPoolExecutor

from upath import UPath

from diagnostics.catalog import load_catalog
from diagnostics.storage import Storage
from diagnostics.workshop import Workshop

DATASETS = ["geographie", "population", "pharmacies"]


def record_often(catalog, data, product):
    workshop = Workshop(load_catalog(catalog), "mirror", Storage(UPath(data)))
    for _ in range(40):
        workshop.record(product)
    return product


def test_runs_side_by_side_lose_nothing_of_each_other(tiny_project):
    products = [f"raw/{dataset}" for dataset in DATASETS]
    folder = str(tiny_project.folder / "data")
    with ProcessPoolExecutor(3, mp_context=multiprocessing.get_context("spawn")) as pool:
        catalogs, folders = [str(tiny_project.catalog_folder)] * 3, [folder] * 3
        assert list(pool.map(record_often, catalogs, folders, products)) == products
    workshop = tiny_project.workshop()
    assert all(workshop.is_current(product) for product in products)
    left = [path.name for path in (tiny_project.folder / "data").rglob(".*")]
    assert left == [], "nothing temporary stays"


def test_a_dataset_of_another_profile_leaves_no_trace(tiny_project):
    elsewhere = dataclasses.replace(tiny_project.workshop(), profile="embedded")
    assert elsewhere.sources == {}
    elsewhere.record("raw/population")
    elsewhere.record("observations/population")
    assert not (tiny_project.folder / "data" / "processed" / "stamps").exists()


def test_a_product_made_on_something_out_of_date_stays_out_of_date(tiny_project):
    workshop = tiny_project.workshop()
    assert not workshop.is_current("raw/population"), "never made"
    workshop.record("observations/population")
    assert not workshop.is_current("observations/population"), "its raw file was not recorded"
    workshop.record("raw/population")
    workshop.record("observations/population")
    assert workshop.is_current("observations/population")


def test_a_workshop_that_already_answered_sees_a_file_that_moves_meanwhile(tiny_project):
    workshop = tiny_project.workshop()
    products = ("raw/population", "observations/population", "values", "raw/pharmacies")
    for dataset in DATASETS:
        workshop.fetch(dataset)
    before = {product: workshop.stamp(product) for product in products}
    tiny_project.publish("population", {"54001": 1234})
    tiny_project.workshop().fetch("population")
    after = {product: workshop.stamp(product) for product in products}
    assert [product for product in products if after[product] == before[product]] == ["raw/pharmacies"]
    assert after == {product: tiny_project.workshop().stamp(product) for product in products}
