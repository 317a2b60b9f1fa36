"""Observations of every dataset brought to one table of facts: what the engine computes from.

Communes stand at the pivot COG; IRIS keep their own code; other zones are as published.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import duckdb
import pandas as pd

from diagnostics.catalog import Catalog, Profile, Source
from diagnostics.geography.passage import Carried, carry_to_pivot
from diagnostics.geography.reference import Reference

UNDIVIDED = "0000"
"""Last four characters of the one IRIS of a commune that is not divided."""


def build_facts(
    observations: Sequence[pd.DataFrame], sources: Iterable[Source], reference: Reference, population_variable: str
) -> Iterator[Carried]:
    """Each dataset's observations at the pivot geography, with the report of what the passage did to it.

    One dataset at a time, so that memory holds one. `population_variable`: the population that shares splits and
    decides class majorities. Raises GeographyError when a total moved.
    """
    rules = {name: variable.carry for source in sources for name, variable in source.variables.items()}
    populations = latest_populations(observations, population_variable, rules)
    for frame in observations:
        yield carry_to_pivot(with_communes_of_iris(frame, rules), reference, rules, populations)


def needed_variables(catalog: Catalog, profile: Profile) -> list[str]:
    """The variables that the formulas of a profile name, and those that weigh them through a merger."""
    names = {t.variable for i in catalog.indicators.values() if catalog.is_computable(i, profile)
             for t in i.formula_for(profile).terms()}  # fmt: skip
    rules = {name: v.carry for source in catalog.sources.values() for name, v in source.variables.items()}
    return sorted(names | {rules[name].partition(":")[2] for name in names} - {""})


def latest_populations(observations: Sequence[pd.DataFrame], variable: str, rules: dict[str, str]) -> pd.Series:
    """Latest known population by commune code, codes of older geographies included."""
    counted = [with_communes_of_iris(frame[frame["variable"] == variable], rules) for frame in observations]
    rows = pd.concat(counted, ignore_index=True)
    rows = rows[rows["geo_type"].isin(["commune", "district"]) & (rows["status"] == "ok")]
    return rows.sort_values("period").drop_duplicates("geo_code", keep="last").set_index("geo_code")["value"]


def with_communes_of_iris(observations: pd.DataFrame, rules: dict[str, str]) -> pd.DataFrame:
    """Add the communes that IRIS rows give: stocks are summed, other figures exist for undivided communes only.

    A commune is known when all its IRIS are; one secret IRIS makes it secret.
    """
    if not (observations["geo_type"] == "iris").any():
        return observations
    summed = [name for name, rule in rules.items() if rule == "sum"]
    with duckdb.connect() as db:
        db.register("observations", observations)
        communes = db.execute(
            """
            select dataset_id, variable, 'commune' as geo_type, left(geo_code, 5) as geo_code,
                   any_value(cog_year) as cog_year, period,
                   case when bool_and(status = 'ok') then sum(value) end as value,
                   case when bool_and(status = 'ok') then 'ok' when bool_or(status = 'secret') then 'secret'
                        else 'missing' end as status
            from observations
            where geo_type = 'iris' and (list_contains(?, variable) or right(geo_code, 4) = ?)
            group by dataset_id, variable, left(geo_code, 5), period
            """,
            [summed, UNDIVIDED],
        ).df()
    communes["cog_year"] = communes["cog_year"].astype("Int64")
    published = observations.loc[observations["geo_type"] == "commune", ["dataset_id", "variable", "period"]]
    if len(published):
        # Where the producer gives the commune himself, his figure stands.
        key = ["dataset_id", "variable", "period"]
        known = communes.merge(published.drop_duplicates(), on=key, how="left", indicator=True, validate="m:1")
        communes = communes[(known["_merge"] == "left_only").to_numpy()]
    return pd.concat([observations, communes], ignore_index=True)
