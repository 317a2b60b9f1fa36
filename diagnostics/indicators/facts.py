"""Observations of every dataset brought to one table of facts: what the engine computes from.

Communes stand at the pivot COG, municipal arrondissements beside theirs; IRIS keep their own code; other zones are as
published.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd

from diagnostics.catalog import Catalog, Profile, Source
from diagnostics.geography.passage import MISSING, OK, SECRET, WORDS, Carried, Passage
from diagnostics.geography.reference import Reference
from diagnostics.words import as_words, distinct, stacked

SERIES = ["dataset_id", "variable", "period"]
UNDIVIDED = "0000"
"""Last four characters of the one IRIS of a commune that is not divided."""


def build_facts(
    observations: Sequence[pd.DataFrame], sources: Iterable[Source], reference: Reference, population_variable: str
) -> Iterator[Carried]:
    """Each dataset's observations at the pivot geography, with the report of what the passage did to it.

    One dataset at a time, so that memory holds one. `population_variable`: the population that shares splits and
    decides class majorities. Raises GeographyError when a total moved.
    """
    sources = list(sources)
    rules = {name: variable.carry for source in sources for name, variable in source.variables.items()}
    populations = latest_populations(observations, population_variable, rules)
    passage = Passage(reference, rules, populations)
    listed = {name for source in sources for name, v in source.variables.items() if v.absent == "zero"}
    for frame in observations:
        carried = passage.carry(with_communes_of_iris(frame, rules))
        facts = carried.observations
        if len(carried.districts):
            facts = stacked([as_words(facts, WORDS), carried.districts], WORDS)
        yield replace(carried, observations=with_zeros(facts, listed, reference))


def with_zeros(observations: pd.DataFrame, listed: Collection[str], reference: Reference) -> pd.DataFrame:
    """Add a zero for each pivot commune without a line of a `listed` variable: a directory names who is there only.

    One that names municipal arrondissements is empty in those that it does not name.
    """
    added = []
    for kind, codes in (("commune", reference.communes["code"]), ("district", reference.municipal_districts["code"])):
        rows = observations[observations["variable"].isin(listed) & (observations["geo_type"] == kind)]
        if rows.empty:
            continue
        rows = rows.astype(dict.fromkeys(WORDS, "str"))
        every = rows[SERIES].drop_duplicates().merge(codes.rename("geo_code"), how="cross")
        known = pd.MultiIndex.from_frame(rows[[*SERIES, "geo_code"]])
        empty = every[~pd.MultiIndex.from_frame(every).isin(known)].assign(
            geo_type=kind, cog_year=reference.pivot_year, value=0.0, status=OK
        )
        added.append(as_words(empty.astype({"cog_year": observations["cog_year"].dtype}), WORDS))
    return stacked([as_words(observations, WORDS), *added], WORDS) if added else observations


def needed_variables(catalog: Catalog, profile: Profile) -> list[str]:
    """The variables that the formulas of a profile name, and those that weigh them through a merger."""
    names = {t.variable for i in catalog.indicators.values() if catalog.is_computable(i, profile)
             for formula in (i.formula_for(profile), *i.earlier.get(profile, ())) for t in formula.terms()}  # fmt: skip
    rules = {name: v.carry for source in catalog.sources.values() for name, v in source.variables.items()}
    return sorted(names | {rules[name].partition(":")[2] for name in names} - {""})


def latest_populations(observations: Sequence[pd.DataFrame], variable: str, rules: dict[str, str]) -> pd.Series:
    """Latest known population by commune code, codes of older geographies included."""
    counted = [
        with_communes_of_iris(frame[here], rules)
        for frame in observations
        if (here := (frame["variable"] == variable).to_numpy()).any()
    ]
    rows = stacked(counted, WORDS)
    rows = rows[rows["geo_type"].isin(["commune", "district"]) & (rows["status"] == OK)]
    rows = rows.astype({"geo_code": "str", "period": "str"})
    return rows.sort_values("period").drop_duplicates("geo_code", keep="last").set_index("geo_code")["value"]


def with_communes_of_iris(observations: pd.DataFrame, rules: dict[str, str]) -> pd.DataFrame:
    """Add the communes that IRIS rows give: stocks are summed, other figures exist for undivided communes only.

    A commune is known when all its IRIS are; one secret IRIS makes it secret. Where the producer gives the communes of
    a variable himself, his figures stand. Text columns come back categorical.
    """
    observations = as_words(observations, WORDS)
    iris = observations[(observations["geo_type"] == "iris").to_numpy()]
    if iris.empty:
        return observations
    series, names = distinct(iris, SERIES)
    published = observations.loc[(observations["geo_type"] == "commune").to_numpy(), SERIES].drop_duplicates()
    given = pd.MultiIndex.from_frame(names).isin(pd.MultiIndex.from_frame(published))
    summed = names["variable"].isin([name for name, rule in rules.items() if rule == "sum"]).to_numpy()
    code = iris["geo_code"].cat.categories.to_series()
    undivided = (code.str[-4:] == UNDIVIDED).to_numpy()[iris["geo_code"].cat.codes]
    kept = ~given[series] & (summed[series] | undivided)
    iris, series = iris[kept], series[kept]

    owner, communes = pd.factorize(code.str[:5])
    key = series * len(communes) + owner[iris["geo_code"].cat.codes]
    group, keys = pd.factorize(key)
    value = np.bincount(group, weights=np.nan_to_num(iris["value"].to_numpy()), minlength=len(keys))
    secret, unknown = (
        np.bincount(group, weights=(iris["status"] == status).to_numpy(), minlength=len(keys)) > 0
        for status in (SECRET, MISSING)
    )
    first = np.zeros(len(keys), dtype="int64")
    first[group[::-1]] = np.arange(len(iris))[::-1]
    added = iris.take(first).assign(
        geo_type=pd.Categorical.from_codes(np.zeros(len(keys), dtype="int8"), ["commune"]),
        geo_code=pd.Categorical.from_codes(keys % len(communes), communes),
        value=np.where(secret | unknown, np.nan, value),
        status=pd.Categorical.from_codes(np.select([secret, unknown], [2, 1], 0), [OK, MISSING, SECRET]),
    )
    return stacked([observations, added], WORDS)
