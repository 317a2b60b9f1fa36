"""Facts that no single file gives: lines of one table with those of others beside them, as a card declares (`joined`).

A FINESS number finds its commune in the directory, a victim its accident, a point the outline that holds it, a grid
square the nearest defibrillator. Nothing is lost in silence: a key that stands twice is an error, and each line left
without a match is counted and listed, an error over the share that the card allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import shapely

from diagnostics import french
from diagnostics.catalog.models import Joined, Match, Position, Source
from diagnostics.errors import SourceError
from diagnostics.sources import numbers
from diagnostics.sources.contract import CheckResult
from diagnostics.sources.expressions import Columns
from diagnostics.sources.observe import expressions_of, naming, observations_of
from diagnostics.sources.readers.columns import quoted

METRES_PER_DEGREE = 111_320.0
"""Along a meridian. Along a parallel a degree is shorter: what is found within `reach` is never farther than it."""
LISTED, SHOWN = 20, 5


def observe_joined(
    source: Source, joined: Joined, tables: Mapping[str, pd.DataFrame]
) -> tuple[pd.DataFrame, list[CheckResult]]:
    """The observations of one `joined` entry, and what each match left out.

    tables: the reference tables that it names, as `read_table` gives them. Raises SourceError: a table is lacking, a
    column vanished, a name stands in two tables, a key stands twice, or too many lines have no match.
    """
    place = f"{source.id}, rapprochement `{joined.id}`"
    with naming(source), duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar=false")
        _create(connection, "lines_0", _table(tables, joined.table, place))
        results = []
        for step, match in enumerate(joined.beside, start=1):
            join = _Join(connection, match, f"lines_{step - 1}", f"other_{step}", f"lines_{step}", place)
            where = join.where(_create(connection, "asked", _table(tables, match.table, place)))
            connection.execute(f"CREATE TABLE {join.other} AS SELECT * FROM asked WHERE {where}; DROP TABLE asked")
            results.append(join.inside() if match.within else join.nearest() if match.near else join.equal())
        columns = _loaded(connection, joined, f"lines_{len(joined.beside)}", place)
        for block in joined.observations:
            expressions_of(block, columns, connection.table("loaded"))
        return observations_of(source, joined, columns, connection), results


def _table(tables: Mapping[str, pd.DataFrame], name: str, place: str) -> pd.DataFrame:
    if name not in tables:
        raise SourceError(f"{place} : la table `{name}` manque. Tables à portée : {', '.join(sorted(tables)) or '-'}.")
    return tables[name]


def _create(connection: duckdb.DuckDBPyConnection, name: str, table: pd.DataFrame) -> duckdb.DuckDBPyRelation:
    """A table of DuckDB: the `rowid` of a line names it in what follows."""
    connection.from_arrow(pa.Table.from_pandas(table, preserve_index=False)).create(name)
    return connection.table(name)


def _loaded(connection: duckdb.DuckDBPyConnection, joined: Joined, lines: str, place: str) -> Columns:
    """The table `loaded` that blocks read: the lines gathered, or one of each combination of `unique`."""
    columns = Columns.of(connection.table(lines), place)
    kept = [quoted(_column(columns, name, "unique")) for name in joined.unique]
    selected = f"DISTINCT {', '.join(kept)}" if kept else "*"
    connection.execute(f"CREATE TABLE loaded AS SELECT {selected} FROM {lines}")
    return Columns.of(connection.table("loaded"), place)


def _column(columns: Columns, name: str, key: str) -> str:
    """A column as it stands in the table. Raises SourceError, with the columns found, when it has vanished."""
    if (found := columns.find(name)) is None:
        raise columns.vanished(name, key)
    return found


@dataclass(frozen=True)
class _Join:
    """One step: the lines of table `lines` with those of table `other`, into table `target`; the orphans beside."""

    connection: duckdb.DuckDBPyConnection
    match: Match
    lines: str
    other: str
    target: str
    place: str

    @property
    def ours(self) -> Columns:
        return Columns.of(self.connection.table(self.lines), self.place)

    @property
    def theirs(self) -> Columns:
        return Columns.of(self.connection.table(self.other), f"{self.place}, table `{self.match.table}`")

    def where(self, asked: duckdb.DuckDBPyRelation) -> str:
        """The lines of the other table that count, as SQL."""
        columns = Columns.of(asked, f"{self.place}, table `{self.match.table}`")
        return columns.bound(asked, self.match.where or "true", "where").sql

    def equal(self) -> CheckResult:
        """By equal keys; a blank key matches nothing."""
        resolved = [
            (_column(self.ours, a, f"key.{a}"), _column(self.theirs, b, f"key.{a}")) for a, b in self.match.key.items()
        ]
        mine = [numbers.stripped(f"a.{quoted(a)}") for a, _ in resolved]
        its = [numbers.stripped(f"b.{quoted(b)}") for _, b in resolved]
        if not self.match.many:
            self._refuse_twice(its)
        same = " AND ".join(f"{a} = {b} AND {a} <> ''" for a, b in zip(mine, its, strict=True))
        self.connection.execute(
            f"CREATE TABLE {self.target} AS SELECT a.*{self._brought([b for _, b in resolved])} "
            f"FROM {self.lines} a JOIN {self.other} b ON {same} ORDER BY a.rowid, b.rowid"
        )
        self.connection.execute(
            f"CREATE TABLE orphans_{self.target} AS SELECT a.* FROM {self.lines} a ANTI JOIN {self.other} b ON {same}"
        )
        unused = self._count(f"{self.other} b ANTI JOIN {self.lines} a ON {same}")
        return self._told(f"{french.number(unused)} ligne(s) de `{self.match.table}` sans usage", list(self.match.key))

    def inside(self) -> CheckResult:
        """By the outline that holds the point."""
        within = self.match.within
        geometry = _column(self.theirs, within.geometry, "within.geometry")
        found, near = self._outlines(geometry)
        self.connection.register("found", pd.DataFrame({"line": np.arange(len(found)), "outline": found}))
        lines = f"{self.lines} a JOIN found f ON f.line = a.rowid"
        self.connection.execute(
            f"CREATE TABLE {self.target} AS SELECT a.*{self._brought([geometry])} "
            f"FROM {lines} JOIN {self.other} b ON b.rowid = f.outline ORDER BY a.rowid"
        )
        self.connection.execute(f"CREATE TABLE orphans_{self.target} AS SELECT a.* FROM {lines} AND f.outline < 0")
        self.connection.unregister("found")
        remark = f"{french.number(near)} point(s) rattaché(s) au contour le plus proche"
        return self._told(remark, [within.longitude, within.latitude])

    def nearest(self) -> CheckResult:
        """By the point of the other table that is the nearest, and how far it is."""
        # Projections and trees are slow to load, and few cards ask for them.
        from diagnostics.sources import distances  # noqa: PLC0415

        near = self.match.near
        if self.ours.find(near.distance) or self.theirs.find(near.distance):
            raise SourceError(f"{self.place} : la colonne `{near.distance}` existe déjà. Changer `near.distance`.")
        here = self._placed(self.lines, self.ours, near.here, "near.here")
        there = self._placed(self.other, self.theirs, near.there, "near.there")
        known, candidates = (np.flatnonzero(np.isfinite(points[:, 0])) for points in (here, there))
        if not len(candidates):
            raise SourceError(f"{self.place} : aucun point situé dans la table `{self.match.table}`.")
        found, metres = np.full(len(here), -1, dtype="int64"), np.full(len(here), np.nan)
        closest, metres[known] = distances.nearest(here[known], there[candidates])
        found[known] = candidates[closest]
        pairs = pd.DataFrame({"line": np.arange(len(here)), "point": found, "metres": metres})
        self.connection.register("found", pairs)
        lines = f"{self.lines} a JOIN found f ON f.line = a.rowid"
        places = [_column(self.theirs, name, "near.there") for name in (near.there.x, near.there.y)]
        self.connection.execute(
            f"CREATE TABLE {self.target} AS SELECT a.*{self._brought(places)}, f.metres AS {quoted(near.distance)} "
            f"FROM {lines} JOIN {self.other} b ON b.rowid = f.point ORDER BY a.rowid"
        )
        self.connection.execute(f"CREATE TABLE orphans_{self.target} AS SELECT a.* FROM {lines} AND f.point < 0")
        self.connection.unregister("found")
        remark = f"{french.number(len(there) - len(candidates))} point(s) de `{self.match.table}` sans coordonnées"
        return self._told(remark, [near.here.x, near.here.y])

    def _placed(self, table: str, columns: Columns, position: Position, key: str) -> np.ndarray:
        """Longitude and latitude of each line of a table, NaN where the place is not known: (n, 2)."""
        from diagnostics.sources import distances  # noqa: PLC0415

        names = [_column(columns, getattr(position, axis), f"{key}.{axis}") for axis in ("x", "y")]
        return distances.to_degrees(self._figures(table, names), position.crs)

    def _figures(self, table: str, columns: list[str]) -> np.ndarray:
        """These columns of a table as figures, NaN where there is none: (lines, columns), in the order of the lines."""
        read = [f"coalesce({numbers.number(numbers.stripped(quoted(name)))}, 'NaN'::DOUBLE)" for name in columns]
        selected = ", ".join(f"{figure} AS c{i}" for i, figure in enumerate(read))
        found = self.connection.execute(f"SELECT {selected} FROM {table} ORDER BY rowid").fetchnumpy()
        return np.column_stack([found[f"c{i}"] for i in range(len(columns))])

    def _refuse_twice(self, keys: list[str]) -> None:
        filled = " AND ".join(f"{key} <> ''" for key in keys)
        twice = self.connection.execute(
            f"SELECT {', '.join(keys)}, count(*) AS n FROM {self.other} b WHERE {filled} GROUP BY ALL HAVING n > 1 "
            f"ORDER BY n DESC LIMIT {SHOWN}"
        ).fetchall()
        if twice:
            shown = " ; ".join(f"{' / '.join(row[:-1])} ({row[-1]} fois)" for row in twice)
            raise SourceError(
                f"{self.place} : la clé {', '.join(self.match.key.values())} figure plusieurs fois dans la table "
                f"`{self.match.table}` ({shown}) : chaque ligne rapprochée compterait plusieurs fois. Écarter les "
                "doublons par `where`, ou dire `many: true` si c'est voulu."
            )

    def _outlines(self, geometry: str) -> tuple[np.ndarray, int]:
        """For each line, the `rowid` of the outline that holds its point, -1 for none; how many were only near it."""
        within = self.match.within
        named = (("longitude", within.longitude), ("latitude", within.latitude))
        points = self._figures(self.lines, [_column(self.ours, name, f"within.{key}") for key, name in named])
        rows = self.connection.execute(
            f"SELECT rowid, {quoted(geometry)} FROM {self.other} WHERE {numbers.stripped(quoted(geometry))} <> '' "
            "ORDER BY rowid"
        ).fetchall()
        number = np.array([row[0] for row in rows], dtype="int64")
        outlines = shapely.from_wkb([row[1] for row in rows])
        known = np.flatnonzero(np.isfinite(points).all(axis=1))
        places = shapely.points(points[known])
        found = np.full(len(points), -1, dtype="int64")
        # The outlines ask the points, and not the reverse: each of them is then prepared once for all its points.
        outline, point = shapely.STRtree(places).query(outlines, predicate="intersects")
        # A point on a border touches two outlines: the first in the table holds it, being written last.
        order = np.lexsort((outline, point))[::-1]
        found[known[point[order]]] = number[outline[order]]
        left = np.flatnonzero(found[known] < 0)
        if not within.reach or not len(left):
            return found, 0
        point, outline = shapely.STRtree(outlines).query_nearest(
            places[left], max_distance=within.reach / METRES_PER_DEGREE, all_matches=False
        )
        found[known[left[point]]] = number[outline]
        return found, len(point)

    def _brought(self, left_out: list[str]) -> str:
        """The columns of the other table, for a SELECT, but its key; no name may stand twice."""
        brought = [name for name in self.theirs.types if name not in left_out]
        both = [name for name in brought if self.ours.find(name)]
        if both:
            raise SourceError(
                f"{self.place} : la table `{self.match.table}` apporte {', '.join(f'`{name}`' for name in both)}, "
                "déjà là. Renommer la colonne dans `table:` de l'une des fiches."
            )
        return "".join(f", b.{quoted(name)}" for name in brought)

    def _count(self, relation: str) -> int:
        return self.connection.execute(f"SELECT count(*) FROM {relation}").fetchall()[0][0]

    def _told(self, remark: str, keys: list[str]) -> CheckResult:
        """What the step left out, in a sentence and at most 20 lines. Raises SourceError over the share allowed."""
        total, lost = self._count(self.lines), self._count(f"orphans_{self.target}")
        share = lost / total if total else 0.0
        sample = self.connection.table(f"orphans_{self.target}").limit(LISTED).to_arrow_table().to_pandas()
        examples = [" / ".join(str(row[name]) for name in keys) for _, row in sample.head(SHOWN).iterrows()]
        detail = (
            f"{french.number(total)} ligne(s), dont {french.number(lost)} sans correspondance dans "
            f"`{self.match.table}` ({french.quantity(100 * share, '%', 2)} ; "
            f"{french.quantity(100 * self.match.orphans, '%', 2)} tolérés"
            f"{' ; par ex. ' + ', '.join(examples) if examples else ''}) ; {remark}"
        )
        if share > self.match.orphans:
            raise SourceError(
                f"{self.place} : {detail}. Vérifier que les deux fichiers sont du même millésime, et leurs clés de "
                "même forme (zéros de tête)."
            )
        return CheckResult(f"rapprochement_{self.match.table}", True, detail, sample if lost else None)
