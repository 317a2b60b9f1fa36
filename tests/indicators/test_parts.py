"""The parts of the public table: what each depends on, and a table put together from kept and new rows."""

import datetime

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from diagnostics.catalog import Catalog, Indicator, Source, Theme
from diagnostics.indicators.engine import compute
from diagnostics.indicators.parts import by_indicator, parts, stamps_of, write_values

BEFORE = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
AFTER = datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC)
DATASETS = {"census": ["people", "old"], "civil": ["deaths"], "care": ["doctors"], "income": ["rich"]}
OWNER = {variable: dataset for dataset, variables in DATASETS.items() for variable in variables}
PARENTS = {"01001": "A", "01002": "A", "01003": "B", "01004": "B"}


def indicator(name, formula, **more):
    base = {"label": name, "short": name, "definition": "d", "unit": "%", "direction": "higher_is_worse"}
    return Indicator.model_validate({"id": name, "formula": formula} | base | more)


def ratio(numerator, denominator="people@2022"):
    return {"kind": "ratio", "numerator": numerator, "denominator": denominator, "multiplier": 100}


INDICATORS = [
    indicator("pop_municipal", {"kind": "sum", "numerator": "people@2022"}),
    indicator("aged", ratio("old@2022"), earlier={"mirror": [ratio("old@2012", "people@2012")]}),
    indicator("death_rate", ratio("deaths@2022"), secrecy="events", interval="byar"),
    indicator("deaths", {"kind": "sum", "numerator": "deaths@2022"}),
    indicator("supply", {"kind": "density", "numerator": "doctors@2022", "denominator": "old@2022"}),
    indicator("wealth", {"kind": "weighted_mean", "value": "rich@2022", "weight": "people@2022"}),
    indicator("middle", {"kind": "median", "value": "rich@2022"}),
]


def source(name, variables):
    block = {"geo": [{"type": "commune", "code": "c"}], "period_column": "y", "values": {v: v for v in variables}}
    return Source.model_validate(
        {
            "id": name, "title": name, "producer": "P", "licence": "L", "homepage": "h", "citation": "c", "theme": "t",
            "variables": {v: {"label": v, "carry": "mean:people" if v == "rich" else "sum"} for v in variables},
            "distributions": [
                {"id": "f", "profiles": ["mirror", "official"], "address": "mirror://a/f.csv", "vintage": "2022",
                 "layout": "csv", "observations": [block]}
            ],
        }
    )  # fmt: skip


CATALOG = Catalog(
    None,
    {name: source(name, variables) for name, variables in DATASETS.items()},
    {"test": Theme(theme="test", title="Essai", palette="population", indicators=INDICATORS)},
    {},
)
MEMBERS = pd.DataFrame(
    [
        ("commune", commune, kind, code)
        for commune, epci in PARENTS.items()
        for kind, code in (("commune", commune), ("epci", epci), ("france", "FR"))
    ],
    columns=["child_type", "child_code", "parent_type", "parent_code"],
)
SERIES = [(v, "2022") for v in OWNER] + [("old", "2012"), ("people", "2012")]


def facts_of(figures):
    """{(variable, period, commune): value or None when secret} -> one frame per dataset."""
    rows = [
        (OWNER[variable], variable, period, "commune", commune, value, "secret" if value is None else "ok")
        for (variable, period, commune), value in figures.items()
    ]
    columns = ["dataset_id", "variable", "period", "geo_type", "geo_code", "value", "status"]
    frame = pd.DataFrame(rows, columns=columns).astype({"value": float})
    return [group for _, group in frame.groupby("dataset_id")]


def computed(figures, names, computed_at):
    catalog = CATALOG.of_indicators({*names, "pop_municipal"})
    versions = {name: f"{name}@2022" for name in DATASETS}
    table = compute(catalog, "mirror", facts_of(figures), MEMBERS, versions=versions, computed_at=computed_at)
    return {name: rows for name, rows in by_indicator(table).items() if name in names}


def read(path):
    key = ["indicator_id", "zone_type", "zone_code", "period"]
    return pd.read_parquet(path).astype(dict.fromkeys(key, "str")).sort_values(key, ignore_index=True)


counts = st.one_of(st.none(), st.integers(0, 40), st.integers(200, 5000)).map(lambda n: n if n is None else float(n))
worlds = st.fixed_dictionaries({(v, p, c): counts for v, p in SERIES for c in PARENTS})


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(before=worlds, after=worlds, moved=st.sampled_from(list(DATASETS)))
def test_what_moved_and_what_stayed_make_the_table_of_a_full_computation(tmp_path, before, after, moved):
    after = {key: (after if OWNER[key[0]] == moved else before)[key] for key in before}
    path, whole = tmp_path / "values.parquet", tmp_path / "whole.parquet"
    of = parts(CATALOG, "mirror")
    write_values(path, computed(before, set(of), BEFORE), stamps=dict.fromkeys(of, "before"))
    stale = {name for name, part in of.items() if moved in part.datasets}
    rows = write_values(path, computed(after, stale, AFTER), kept=set(of) - stale)
    write_values(whole, computed(after, set(of), AFTER))
    ours, theirs = read(path), read(whole)
    assert rows == len(theirs)
    stayed = ~ours["indicator_id"].isin(stale)
    assert (ours.loc[stayed, "computed_at"] == BEFORE).all()
    assert (ours.loc[~stayed, "computed_at"] == AFTER).all()
    same = [name for name in ours if name != "computed_at"]
    pd.testing.assert_frame_equal(ours[same], theirs[same], check_categorical=False, rtol=1e-12)


def test_a_part_names_every_dataset_its_figures_come_from():
    of = parts(CATALOG, "mirror")
    assert set(of) == {i.id for i in INDICATORS}
    assert of["aged"].datasets == ("census",)
    assert of["supply"].datasets == ("care", "census")
    # The reference population weighs coverage, and the mean follows people through a merger.
    assert of["middle"].datasets == ("census", "income")


def test_indicators_that_secrecy_binds_are_one_part():
    of = parts(CATALOG, "mirror")
    assert of["deaths"] is of["death_rate"]
    assert of["deaths"].indicators == ("death_rate", "deaths")
    assert of["aged"].indicators == ("aged",)


def test_a_rule_of_the_producer_binds_too():
    strict = CATALOG.sources["care"].model_copy(update={"secrecy": "E11"})
    other = indicator("beside", ratio("doctors@2022 + rich@2022"))
    theme = CATALOG.themes["test"].model_copy(update={"indicators": [*INDICATORS, other]})
    catalog = Catalog(None, CATALOG.sources | {"care": strict}, {"test": theme}, {})
    assert parts(catalog, "mirror")["supply"].indicators == ("beside", "supply")


def test_the_table_says_what_its_rows_were_made_from(tmp_path):
    path = tmp_path / "values.parquet"
    assert stamps_of(path) == {}
    figures = {(v, p, c): 300.0 for v, p in SERIES for c in PARENTS}
    write_values(path, computed(figures, {"aged"}, BEFORE), stamps={"aged": "abc"})
    assert stamps_of(path) == {"aged": "abc"}


def test_a_table_half_written_leaves_the_former_one(tmp_path):
    path = tmp_path / "values.parquet"
    figures = {(v, p, c): 300.0 for v, p in SERIES for c in PARENTS}
    rows = computed(figures, {"aged", "supply"}, BEFORE)
    write_values(path, rows, stamps={"aged": "abc", "supply": "abc"})
    former = path.read_bytes()
    broken = rows["supply"].set_column(6, "value", [["no number"] * rows["supply"].num_rows])
    with pytest.raises(ValueError, match="no number"):
        write_values(path, {"supply": broken}, kept={"aged"}, stamps={"aged": "new"})
    assert path.read_bytes() == former
    assert list(tmp_path.iterdir()) == [path]
