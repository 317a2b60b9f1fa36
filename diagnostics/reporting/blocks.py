"""One indicator in full: its figures over the territory and its benchmarks, compared and put into words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from diagnostics import french
from diagnostics.catalog import Catalog, Indicator
from diagnostics.reporting import narrative
from diagnostics.reporting.figures import Facts, quantity
from diagnostics.reporting.model import Block, Figure, MapFigure, MapFile, Row, Sensitivity, Verdict
from diagnostics.reporting.place import Place
from diagnostics.reporting.references import SourceNumbers
from diagnostics.statistics.vulnerability import GRID, read_grid


def _compared(
    figure: Figure | None, benchmark: Figure | None, indicator: Indicator, facts: Facts
) -> tuple[Verdict, str, str]:
    """Verdict, words and short words for `figure` against `benchmark`; no words where nothing can be said."""
    if figure is None or benchmark is None or not (figure.known and benchmark.known):
        return "not_compared", "", ""
    if "sum" in _formula_kinds(indicator):
        return "not_compared", "", ""  # a count against the count of a larger zone says nothing
    if figure.period != benchmark.period:
        return "not_compared", *(("millésimes différents, non comparés",) * 2)
    zone = benchmark.zone
    if indicator.reference == "france" and zone.type != "france":
        return "not_compared", "", ""  # standardised on France: two zones do not compare with one another
    verdict = facts.verdict(figure, benchmark)
    words = partial(
        narrative.comparison_words,
        verdict,
        figure.value,
        benchmark.value,
        unit=figure.unit,
        decimals=figure.decimals,
    )
    return verdict, words(than=narrative.against(zone.type, zone.name, zone.of)), words(brief=True)


def _figure_notes(figure: Figure, period: str) -> tuple[str, ...]:
    """What must be said under a figure: its flag, its coverage, a vintage that is not that of the block."""
    words = narrative.reliability_words(figure.reliability, figure.period, figure.coverage)
    covered = figure.known and figure.coverage is not None and figure.coverage < 1
    silent = ("masked", "context", *(("incomplete",) if covered else ()))
    notes = [words] if words and figure.reliability not in silent else []
    if covered:
        notes.append(f"couvre {narrative.coverage_words(figure.coverage)} de la population")
    if figure.period != period and figure.reliability != "snapshot":
        notes.append(f"millésime {figure.period}")
    return tuple(notes)


def block_of(indicator: Indicator, facts: Facts, place: Place, numbers: SourceNumbers) -> Block | None:
    """The block of one indicator, or None when no zone of the report has a value for it."""
    own = facts.own(indicator.id)
    own = own if own and own.known else None
    period = own.period if own else None
    members = [f for z in place.members if (f := facts.find(indicator.id, z, period))]
    benchmarks = [f for z in place.benchmarks if (f := facts.find(indicator.id, z, period)) and f.known]
    if not own and not any(f.known for f in members) and not benchmarks:
        return None
    kind = "measured" if own else "members" if any(f.known for f in members) else "context"
    if period is None:
        reference = next((f for f in members if f.known), None) or benchmarks[0]
        period = reference.period
    main = next((f for f in benchmarks if f.zone == place.main), None)
    used = [own, *members, *benchmarks] if own else [*members, *benchmarks]
    notes = {f.zone: _figure_notes(f, period) for f in used}
    # What is true of every figure is said once, above the table.
    common = set.intersection(*(set(notes[f.zone]) for f in used if f.known))
    notes = {zone: tuple(note for note in said if note not in common) for zone, said in notes.items()}
    member_rows = tuple(Row(f, *_compared(f, main, indicator, facts), notes[f.zone]) for f in members)
    benchmark_rows = tuple(Row(f, *_compared(own, f, indicator, facts), notes[f.zone]) for f in benchmarks)
    block = Block(
        anchor=f"indicateur-{narrative.anchor(indicator.id)}",
        indicator_id=indicator.id,
        label=indicator.label,
        short=indicator.short,
        unit=indicator.unit,
        decimals=indicator.decimals,
        direction=indicator.direction,
        kind=kind,
        countable="sum" in _formula_kinds(indicator),
        aggregable="published" not in _formula_kinds(indicator),
        period=period,
        reading="",
        own=Row(own, own.comparison, "", "", notes[own.zone]) if own else None,
        members=member_rows if kind != "context" else (),
        benchmarks=benchmark_rows,
        trend=None,
        rank="",
        inside="",
        sensitivity=_sensitivity(own.method) if own else None,
        map=None,
        definition=narrative.sentence(indicator.definition),
        formula=formula_text(indicator, facts.catalog, facts.profile, brief=True),
        method_note=narrative.sentence(indicator.method_note),
        computed=narrative.sentence(narrative.computed_words(own.method, indicator.method_note, GRID)) if own else "",
        reserve=narrative.sentence(indicator.reserve),
        notes=(
            *(f"Tous ces chiffres : {note}." for note in sorted(common)),
            *_block_notes(indicator, facts, place, own),
        ),
        source_numbers=numbers.of(i for f in used for i in f.dataset_ids),
    )
    return replace(block, reading=_reading(block, place))


def _sensitivity(method: str) -> Sensitivity | None:
    """The grid of thresholds that a method tells, when it does."""
    grid = read_grid(method)
    accesses, classes = (tuple(sorted({key[n] for key in grid})) for n in (0, 1))
    shares = tuple(tuple(grid.get((access, level)) for level in classes) for access in accesses)
    return Sensitivity(accesses, classes, shares) if grid else None


def _formula_kinds(indicator: Indicator) -> set[str]:
    """Kinds of its formulas over all profiles: a snapshot may rest on a formula that this profile has not."""
    return {formula.kind for formula in (indicator.formula, *indicator.formulas.values()) if formula}


def _block_notes(indicator: Indicator, facts: Facts, place: Place, own: Figure | None) -> tuple[str, ...]:
    notes = []
    if own and own.reliability == "unstable":
        notes.append("Valeur fragile : petits effectifs, à lire avec son intervalle.")
    communes = [f for z in place.communes if (f := facts.find(indicator.id, z, own.period if own else None))]
    masked = sum(f.reliability == "masked" for f in communes)
    if masked and len(place.communes) > 1:
        notes.append(
            f"Valeurs communales masquées : {narrative.plural(masked, 'commune')} sur {len(place.communes)}, "
            "faute d’effectifs suffisants."
        )
    return tuple(notes)


def formula_text(indicator: Indicator, catalog: Catalog, profile: str, *, brief: bool = False) -> str:
    """The formula in words: that of the profile, else the one behind a figure computed earlier; empty without any."""
    formula = indicator.formula_for(profile) or next(iter(indicator.formulas.values()), None)
    return narrative.formula_words(formula, _variable_label(catalog), brief=brief) if formula else ""


def _variable_label(catalog: Catalog):
    labels = {
        name: variable.label for source in catalog.sources.values() for name, variable in source.variables.items()
    }
    return lambda name: labels[name][:1].lower() + labels[name][1:] if labels[name][1:2].islower() else labels[name]


def _reading(block: Block, place: Place) -> str:
    """The figure in one sentence."""
    if block.kind == "context":
        shown = [
            f"{row.figure.zone.name} : {quantity(row.figure)}"
            for row in block.benchmarks
            if row.figure.zone.type != "france"
        ]
        # Overseas, a région and its only département have one name, and often one figure.
        known = dict.fromkeys(shown) or [f"France : {quantity(block.benchmarks[-1].figure)}"]
        return narrative.sentence(f"donnée de contexte, inconnue à l’échelle du territoire ({' ; '.join(known)})")
    if block.kind == "members":
        known = sorted((row.figure for row in block.members if row.figure.known), key=lambda f: f.value)
        if len(known) == 1:
            return narrative.sentence(
                f"connu pour une seule intercommunalité, {known[0].zone.name} : {quantity(known[0])}"
            )
        low, high = known[0], known[-1]
        why = "n’est pas calculé ici" if block.aggregable else "ne se calcule pas"
        return narrative.sentence(
            f"de {_first(low)} ({low.zone.name}) à {quantity(high)} ({high.zone.name}) ; "
            f"ce chiffre {why} pour l’ensemble du territoire"
        )
    if block.countable:
        return narrative.sentence(f"{quantity(block.own.figure)} dans le territoire")
    words = [
        row.words for row in block.benchmarks if row.words and row.figure.zone in (place.main, place.benchmarks[-1])
    ]
    return narrative.sentence(f"{quantity(block.own.figure)} dans le territoire" + "".join(f" ; {w}" for w in words))


def _first(figure: Figure) -> str:
    """The first of two values: a unit in words is said once, after the second."""
    return quantity(replace(figure, unit=figure.unit if figure.unit in french.SIGNS else ""))


def read_into(block: Block, read: Mapping[tuple[str, str, str], Mapping], place: Place) -> Block:
    """The block with what the observatory says of it: trend, rank, gradient between its communes.

    `read`: (indicator, zone type, zone code) -> line of the observatory. A figure of context is read département by
    département, beside its value.
    """
    if block.kind == "context":
        rows = tuple(replace(row, notes=(*row.notes, *_context_notes(block, row, read))) for row in block.benchmarks)
        return replace(block, benchmarks=rows)
    line = read.get((block.indicator_id, *place.territory.key))
    if line is None or block.kind != "measured":
        return block
    return replace(
        block,
        trend=narrative.trend_of(line, block.unit, block.decimals),
        rank=narrative.rank_words(line, place.peers),
        inside=narrative.inside_words(line, block.unit, block.decimals),
    )


def _context_notes(block: Block, row: Row, read: Mapping[tuple[str, str, str], Mapping]) -> tuple[str, ...]:
    zone = row.figure.zone
    line = read.get((block.indicator_id, *zone.key)) if zone.type == "departement" else None
    if line is None:
        return ()
    trend = narrative.trend_of(line, block.unit, block.decimals)
    return (
        *([f"{trend.arrow} {trend.words}, {trend.years}"] if trend else []),
        *([narrative.brief_rank(line)] if narrative.rank_words(line, zone.type) else []),
    )


def map_of(number: int, files: MapFile, block: Block, numbers: SourceNumbers, cog_year: int) -> MapFigure:
    caption = f"{block.label} ({block.unit}), {block.period}. " if block.unit else f"{block.label}, {block.period}. "
    credit = numbers.credit(block.source_numbers)
    caption += " ".join(filter(None, (credit, f"Géographie au 1er janvier {cog_year}.")))
    return MapFigure(number, files.png, files.svg, files.alt, caption)


def main_row(block: Block, place: Place) -> Row | None:
    """The comparison that findings use: with the région, else with France."""
    rows = {row.figure.zone: row for row in block.benchmarks}
    main = rows.get(place.main)
    return main if main and main.words else rows.get(place.benchmarks[-1]) or main


def main_words(row: Row | None, place: Place) -> str:
    """Its words for a column headed by the main benchmark: they name the benchmark when it is another."""
    if row is None:
        return ""
    return row.short_words if row.figure.zone == place.main else row.words
