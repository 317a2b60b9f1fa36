"""The public table is made of parts: what each part is computed from, and the table put together from them.

A part is one indicator with its former vintages, or several that secrecy binds: what one of them masks, another could
give away, so they are computed together or not at all. The file carries the stamp that each of its indicators was made
on: table and stamps are replaced by one rename, so that a killed run leaves the former table with the former stamps.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from upath import UPath

from diagnostics.catalog import Catalog, Profile
from diagnostics.catalog.models import Derived, Formula
from diagnostics.indicators.engine import COUNTS, VALUES_SCHEMA, reference_population
from diagnostics.storage import on_disk, replacing

STAMPS = b"diagnostic.stamps"
"""Under this key the file says `{indicator: stamp}`."""

PRESENTATION = {
    "label", "short", "definition", "reserve", "map", "classification", "unavailable", "space", "typology",
}  # fmt: skip
"""What a card says to readers and to later stages only: no figure depends on it."""


@dataclass(frozen=True)
class Part:
    """`indicators`: those computed together; `datasets`: those their figures come from, weights and tables included."""

    indicators: tuple[str, ...]
    datasets: tuple[str, ...]


def parts(catalog: Catalog, profile: Profile) -> dict[str, Part]:
    """indicator -> the part it belongs to, for every indicator that `profile` can compute."""
    formulas = {
        i.id: (i.formula_for(profile), *i.earlier.get(profile, ()))
        for i in catalog.indicators.values()
        if catalog.is_computable(i, profile)
    }
    owners: dict[str, set[str]] = {}
    for source in catalog.sources.values():
        if source.of_profile(profile):
            for variable in source.variables:
                owners.setdefault(variable, set()).add(source.id)
    weights = {name: v.carry.partition(":")[2] for s in catalog.sources.values() for name, v in s.variables.items()}
    tables = catalog.table_owners(profile)
    population = reference_population(catalog, profile)
    found = {}
    for group in _bound(catalog, profile, formulas, owners):
        variables = {t.variable for name in group for formula in formulas[name] for t in formula.terms()} | {population}
        variables |= {weights[variable] for variable in variables} - {""}
        datasets = {dataset for variable in variables for dataset in owners.get(variable, ())}
        datasets |= {
            tables[table]
            for name in group
            for formula in formulas[name]
            if isinstance(formula, Derived)
            for table in formula.tables
        }
        part = Part(tuple(sorted(group)), tuple(sorted(datasets)))
        found |= dict.fromkeys(group, part)
    return found


def _bound(
    catalog: Catalog, profile: Profile, formulas: Mapping[str, tuple[Formula, ...]], owners: Mapping[str, set[str]]
) -> list[set[str]]:
    """The indicators whose counts secrecy binds, group by group, and each other indicator alone.

    A rule bears on a count; whatever shares a term with it, near or far, is bound to it.
    """
    counts, ruled = [], set()
    for name, (formula, role) in ((n, c) for n, group in formulas.items() for f in group for c in _counts(f)):
        terms = {(t.variable, t.period) for t in formula.roles()[role]}
        counts.append((name, terms))
        declared = [catalog.sources[dataset].secrecy for variable, _ in terms for dataset in owners.get(variable, ())]
        if role == COUNTS[formula.kind][0] and (catalog.indicators[name].secrecy == "events" or set(declared) - {"0"}):
            ruled |= terms
    bound = [
        {name for name, terms in counts if terms & together}
        for together in _merged(terms for _, terms in counts)
        if together & ruled
    ]
    return _merged([*({name} for name in formulas), *bound])


def _counts(formula: Formula) -> list[tuple[Formula, str]]:
    """The roles of a formula whose sums are shown."""
    return [(formula, role) for role in COUNTS.get(formula.kind, ())]


def _merged(sets: Iterable[set]) -> list[set]:
    """Sets that share an element, near or far, put together."""
    merged: list[set] = []
    for one in sets:
        touched = [other for other in merged if other & one]
        merged = [other for other in merged if not other & one] + [one.union(*touched)]
    return merged


def stamps_of(path: UPath | Path) -> dict[str, str]:
    """indicator -> the stamp its rows in the table were made on; nothing when there is no table, or one without."""
    if not UPath(path).exists():
        return {}
    return json.loads((pq.read_schema(on_disk(path)).metadata or {}).get(STAMPS, b"{}"))


def by_indicator(table: pa.Table) -> dict[str, pa.Table]:
    """The rows of each indicator, in the order they stand in."""
    found: dict[str, list[pa.RecordBatch]] = {}
    for batch in table.to_batches():
        names = batch["indicator_id"].dictionary_decode().to_numpy(zero_copy_only=False)
        starts = [0, *(np.flatnonzero(names[1:] != names[:-1]) + 1)] if len(names) else []
        for start, end in zip(starts, [*starts[1:], len(names)], strict=True):
            found.setdefault(names[start], []).append(batch.slice(start, end - start))
    return {name: pa.Table.from_batches(batches).unify_dictionaries() for name, batches in found.items()}


def write_values(
    path: UPath | Path,
    fresh: Mapping[str, pa.Table],
    *,
    kept: Collection[str] = (),
    stamps: Mapping[str, str] | None = None,
) -> int:
    """Write the public table, one row group per indicator in the order of their names; returns its number of rows.

    `fresh`: indicator -> rows just made; `kept`: the indicators whose rows are those of the table that stands at
    `path`; `stamps`: indicator -> what its rows were made from, for `stamps_of`.
    """
    former = pq.ParquetFile(on_disk(path)) if kept else None
    standing = _row_groups(former, kept) if former else {}
    schema = VALUES_SCHEMA.with_metadata({STAMPS: json.dumps(stamps or {}, sort_keys=True).encode()})
    rows = 0
    # A dictionary of codes or of amounts is as long as the column: it only delays the writer and those who read.
    repeated = [field.name for field in schema if pa.types.is_dictionary(field.type)]
    options = {"compression": "zstd", "use_dictionary": repeated}
    with replacing(path) as temporary, pq.ParquetWriter(temporary, schema, **options) as writer:
        for name in sorted({*fresh, *standing}):
            table = fresh[name] if name in fresh else former.read_row_groups(standing[name])
            writer.write_table(table.cast(schema))
            rows += table.num_rows
    return rows


def _row_groups(file: pq.ParquetFile, names: Collection[str]) -> dict[str, list[int]]:
    """indicator -> its row groups in a table that `write_values` wrote."""
    found: dict[str, list[int]] = {}
    for number in range(file.num_row_groups):
        name = file.metadata.row_group(number).column(0).statistics.min
        if name in names:
            found.setdefault(name, []).append(number)
    return found
