"""One `observations` block of a card compiled to DuckDB: lines parsed, held to their rules, and given as observations.

The columns of the file stand in the table `loaded`. A block becomes a table with one line per line kept: `code`,
`period`, and for each column read as figures its text, its figure and its status; then one SELECT per variable.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from diagnostics.catalog.models import Coded, Distribution, Geo, Joined, Observations, Source
from diagnostics.errors import SourceError
from diagnostics.sources import numbers
from diagnostics.sources.contract import CODE_PATTERNS
from diagnostics.sources.expressions import TOKEN, Columns, Expression
from diagnostics.sources.readers import layout_named
from diagnostics.sources.readers.columns import literal, quoted

OK, MISSING, SECRET, UNKNOWN = range(4)
STATUS_NAMES = "['ok', 'missing', 'secret']"
SHOWN = 3
REAL = ("FLOAT", "DOUBLE")
TOTALS = {"sum": "sum", "count": "sum", "mean": "avg", "max": "max"}


@dataclass(frozen=True)
class _Figure:
    """A column read as figures: its cell as stripped text (SQL over `loaded`), and the codes of its labels, if any."""

    column: str
    text: str
    coded: Coded | None

    def number(self, text: str) -> str:
        if self.coded is None:
            return numbers.number(text)
        cases = " ".join(f"WHEN {literal(label.strip())} THEN {code!r}" for label, code in self.coded.codes.items())
        return f"CASE {text} {cases} END"

    @property
    def allowed(self) -> str:
        if self.coded is None:
            return "ni un nombre, ni un marqueur déclaré sous `markers`"
        return "libellés admis : " + ", ".join(self.coded.codes)


@dataclass(frozen=True)
class _Quantity:
    """A variable of a block: `sql` over the parsed columns, resting on figures `rests_on`; `code` in a long file."""

    variable: str
    sql: str
    rests_on: tuple[int, ...]
    code: str | None = None


@dataclass(frozen=True)
class _Plan:
    """What a block asks of its lines: figures to read, lines to count, quantities made of both."""

    figures: list[_Figure]
    counters: list[str]
    quantities: list[_Quantity]


@dataclass(frozen=True)
class BlockReader:
    """One loaded file and its card. `run` executes SQL and gives its rows; `place` opens every message."""

    source: Source
    distribution: Distribution | Joined
    columns: Columns
    run: Callable[[str], list[tuple]]

    @property
    def place(self) -> str:
        return self.columns.place

    def observations(self, block: Observations, geo: Geo, name: str) -> str:
        """Parse one block for one kind of zone into the table `name`, hold it to its rules; the SELECT of its rows."""
        plan = self._plan(block)
        self._parse(block, geo, plan, name)
        self._refuse_empty(block, geo, plan, name)
        self._refuse_periods(block, name)
        self._refuse_codes(geo, name)
        self._refuse_tokens(plan, name)
        if block.aggregate == "none":
            self._refuse_duplicates(block, geo, name)
        cog_year = self._cog_year(geo)
        return " UNION ALL ".join(self._select(block, geo, quantity, cog_year, name) for quantity in plan.quantities)

    def _plan(self, block: Observations) -> _Plan:
        if block.variable_column:
            (column,) = self.columns.resolve(block.value_column, "value_column").columns
            named = [_Quantity(variable, "figure_0", (0,), str(code)) for variable, code in block.values.items()]
            return _Plan([self._figure(column)], [], named)
        figures: dict[tuple[str, str], _Figure] = {}
        counters: list[str] = []
        quantities = []

        def index(column: str, coded: Coded | None = None) -> int:
            key = (column, coded.model_dump_json() if coded else "")
            figures.setdefault(key, self._figure(column, coded))
            return list(figures).index(key)

        for variable, value in block.values.items():
            key = f"values.{variable}"
            if block.aggregate in ("count", "distinct"):
                quantities.append(_Quantity(variable, f"counter_{len(counters)}", ()))
                counters.append(self._counter(block, value, key))
            elif isinstance(value, Coded):
                position = index(self.columns.resolve(value.column, key).columns[0], value)
                quantities.append(_Quantity(variable, f"figure_{position}", (position,)))
            else:
                expression = self.columns.resolve(value, key)
                places = {column: index(column) for column in expression.columns}
                quantities.append(_Quantity(variable, _over(expression, places), tuple(places.values())))
        return _Plan(list(figures.values()), counters, quantities)

    def _figure(self, column: str, coded: Coded | None = None) -> _Figure:
        name = quoted(column)
        if self.columns.types[column] in REAL:
            # Parquet may hold NaN, and writes whole numbers `9999.0`: bring both back to what a text file would say.
            text = f"CASE WHEN isfinite({name}) THEN regexp_replace(CAST({name} AS VARCHAR), '\\.0$', '') ELSE '' END"
            return _Figure(column, text, coded)
        return _Figure(column, numbers.stripped(name), coded)

    def _status(self, text: str, number: str) -> str:
        layout = layout_named(self.distribution.layout)
        markers = {
            kind: {*(token.strip() for token in self.source.markers.get(kind, [])), *layout.markers.get(kind, ())}
            for kind in ("secret", "missing")
        }
        markers["missing"].add("")
        tests = [
            f"WHEN {text} IN ({', '.join(map(literal, sorted(markers[kind])))}) THEN {status}"
            for kind, status in (("secret", SECRET), ("missing", MISSING))
            if markers[kind]
        ]
        return f"CASE {' '.join(tests)} WHEN {number} IS NOT NULL THEN {OK} ELSE {UNKNOWN} END"

    def _counter(self, block: Observations, value: str | Coded, key: str) -> str:
        """1 where the line counts: `*` counts every line, a test those that pass it, a column those that fill it.
        What is counted once each (`distinct`) is its text, nothing where it is blank."""
        if isinstance(value, Coded):
            raise SourceError(f"{self.place} : `{key}` : un décompte ne prend pas de `codes`.")
        if value == "*":
            return "1"
        expression = self.columns.resolve(value, key)
        if block.aggregate == "distinct":
            return f"nullif({numbers.stripped(expression.sql)}, '')"
        ((kind,),) = self.run(f"SELECT typeof({expression.sql}) FROM loaded LIMIT 1") or [("VARCHAR",)]
        test = expression.sql if kind == "BOOLEAN" else f"{numbers.stripped(expression.sql)} <> ''"
        return f"CASE WHEN {test} THEN 1 ELSE 0 END"

    def _parse(self, block: Observations, geo: Geo, plan: _Plan, name: str) -> None:
        resolve = self.columns.resolve
        code = resolve(geo.code, "geo.code").sql
        period = resolve(block.period_column, "period_column").sql if block.period_column else literal(block.period)
        selected = [f"{numbers.stripped(code)} AS code", f"{numbers.stripped(period)} AS period"]
        filters = [resolve(text, "where").sql for text in (block.where, geo.where) if text]
        if block.variable_column:
            variable = numbers.stripped(resolve(block.variable_column, "variable_column").sql)
            codes = ", ".join(literal(quantity.code) for quantity in plan.quantities)
            selected.append(f"{variable} AS variable")
            filters.append(f"{variable} IN ({codes})")
        selected += [f"{figure.text} AS text_{i}" for i, figure in enumerate(plan.figures)]
        selected += [f"{counter} AS counter_{i}" for i, counter in enumerate(plan.counters)]
        where = " AND ".join(f"({text})" for text in filters) or "true"
        cells = f"SELECT {', '.join(selected)} FROM loaded WHERE {where}"
        read = ", ".join(["*", *(f"{f.number(f'text_{i}')} AS number_{i}" for i, f in enumerate(plan.figures))])
        known = [self._status(f"text_{i}", f"number_{i}") for i in range(len(plan.figures))]
        states = ", ".join(["*", *(f"{status} AS status_{i}" for i, status in enumerate(known))])
        # A marker may itself look like a figure (9999): only what is known goes on as one.
        figures = [f"CASE WHEN status_{i} = {OK} THEN number_{i} END AS figure_{i}" for i in range(len(plan.figures))]
        self.run(
            f"CREATE TABLE {name} AS SELECT {', '.join(['*', *figures])} "
            f"FROM (SELECT {states} FROM (SELECT {read} FROM ({cells})))"
        )

    def _select(self, block: Observations, geo: Geo, quantity: _Quantity, cog_year: str, name: str) -> str:
        worst = f"greatest({', '.join([str(OK), *(f'status_{i}' for i in quantity.rests_on)])})"
        where = f"WHERE variable = {literal(quantity.code)}" if quantity.code is not None else ""
        # A quotient by zero, or an expression that gives nothing, is not known: it must not travel as infinity. A
        # secret stays one even where the expression provides for unknown columns (`CASE WHEN "pop" = 0 THEN 0 …`).
        found = f"CASE WHEN {worst} = {SECRET} THEN {SECRET} WHEN isfinite(value) THEN {OK} ELSE {MISSING} END"
        lines = f"SELECT *, CAST({quantity.sql} AS DOUBLE) AS value FROM {name} {where}"
        lines = f"SELECT code, period, value, {found} AS state FROM ({lines})"
        if block.aggregate == "distinct":
            counted = f"CAST(count(DISTINCT {quantity.sql}) AS DOUBLE) AS value, {OK} AS state"
            lines = f"SELECT code, period, {counted} FROM {name} GROUP BY code, period ORDER BY period, code"
        elif block.aggregate != "none":
            totals = f"{TOTALS[block.aggregate]}(value) AS value, max(state) AS state"
            lines = f"SELECT code, period, {totals} FROM ({lines}) GROUP BY code, period ORDER BY period, code"
        return (
            f"SELECT {literal(self.source.id)} AS dataset_id, {literal(quantity.variable)} AS variable, "
            f"{literal(geo.type)} AS geo_type, code AS geo_code, {cog_year} AS cog_year, period, "
            f"CASE WHEN state = {OK} THEN value END AS value, {STATUS_NAMES}[state + 1] AS status FROM ({lines})"
        )

    def _cog_year(self, geo: Geo) -> str:
        if geo.type != "commune":
            return "CAST(NULL AS BIGINT)"
        if self.distribution.cog_year is None:
            raise SourceError(
                f"{self.place} : la distribution `{self.distribution.id}` donne des communes sans dire leur `cog_year`."
            )
        return f"CAST({self.distribution.cog_year} AS BIGINT)"

    def _refuse_empty(self, block: Observations, geo: Geo, plan: _Plan, name: str) -> None:
        if not self.run(f"SELECT 1 FROM {name} LIMIT 1"):
            filters = " et ".join(f"`{text}`" for text in (block.where, geo.where) if text) or "ce bloc"
            raise SourceError(
                f"{self.place} : aucune ligne retenue pour les zones « {geo.type} » ({filters}). "
                "Le fichier est vide, ou le producteur a changé les codes que filtre la fiche."
            )
        if block.variable_column:
            present = {row[0] for row in self.run(f"SELECT DISTINCT variable FROM {name}")}
            absent = sorted({quantity.code for quantity in plan.quantities} - present)
            if absent:
                variable = numbers.stripped(self.columns.resolve(block.variable_column, "variable_column").sql)
                found = self.run(f"SELECT DISTINCT {variable} FROM loaded ORDER BY 1 LIMIT 30")
                raise SourceError(
                    f"{self.place} : code(s) {', '.join(absent)} introuvable(s) dans `{block.variable_column}`. "
                    f"Codes trouvés : {', '.join(row[0] for row in found)}."
                )

    def _refuse_periods(self, block: Observations, name: str) -> None:
        if block.period_column and self.run(f"SELECT 1 FROM {name} WHERE period = '' LIMIT 1"):
            raise SourceError(f"{self.place} : des lignes n'ont pas de période dans `{block.period_column}`.")

    def _refuse_codes(self, geo: Geo, name: str) -> None:
        bad = f"FROM {name} WHERE NOT regexp_full_match(code, '{CODE_PATTERNS[geo.type]}')"
        examples = self.run(f"SELECT code, count(*) AS n {bad} GROUP BY code ORDER BY n DESC, code LIMIT 5")
        if examples:
            total = self.run(f"SELECT count(*) {bad}")[0][0]
            shown = ", ".join(f"« {code} »" for code, _ in examples)
            hint = (
                " Si les zéros de tête sont perdus, écrire `lpad(\"colonne\", 5, '0')` ; "
                "si ce sont des lignes de total, les écarter par `where`."
            )
            raise SourceError(
                f"{self.place} : {total} ligne(s) dont le code ({geo.code}) n'est pas celui d'une zone "
                f"« {geo.type} » : {shown}.{hint}"
            )

    def _refuse_tokens(self, plan: _Plan, name: str) -> None:
        for i, figure in enumerate(plan.figures):
            bad = f"FROM {name} WHERE status_{i} = {UNKNOWN}"
            tokens = self.run(f"SELECT text_{i}, count(*) AS n {bad} GROUP BY ALL ORDER BY n DESC, 1 LIMIT 5")
            if tokens:
                shown = ", ".join(f"« {token} » ({count} fois)" for token, count in tokens)
                rows = self.run(f"SELECT code, period, text_{i} {bad} ORDER BY ALL LIMIT {SHOWN}")
                lines = " ; ".join(f"{code} ({period}) = « {token} »" for code, period, token in rows)
                raise SourceError(
                    f"{self.place}, colonne « {figure.column} » : valeur(s) inconnue(s) {shown} : {figure.allowed}. "
                    f"Lignes : {lines}. Si c'est une façon de dire « secret » ou « non disponible », l'ajouter à "
                    f"`markers` (ou à `codes`) dans catalog/sources/{self.source.id}.yaml."
                )

    def _refuse_duplicates(self, block: Observations, geo: Geo, name: str) -> None:
        key = "code, period, variable" if block.variable_column else "code, period"
        twice = f"SELECT {key}, count(*) AS n FROM {name} GROUP BY {key} HAVING n > 1"
        found = self.run(f"{twice} ORDER BY n DESC, {key} LIMIT 5")
        if found:
            total = self.run(f"SELECT count(*) FROM ({twice})")[0][0]
            shown = " ; ".join(f"{' / '.join(row[:-1])} ({row[-1]} fois)" for row in found)
            raise SourceError(
                f"{self.place} : {total} clé(s) répétée(s) parmi les zones « {geo.type} » : {shown}. "
                "Écarter les lignes en trop par `where`, ou dire `aggregate: sum`."
            )


def _over(expression: Expression, places: dict[str, int]) -> str:
    """The expression with each column replaced by the figure read from it."""
    return TOKEN.sub(lambda m: f"figure_{places[m[2]]}" if m[2] in places else m[0], expression.sql)
