"""Formulas compiled to SQL, every zone at once."""

from diagnostics.indicators.derived import needed_tables
from diagnostics.indicators.engine import REFERENCE_POPULATION, VALUE_COLUMNS, compute, reference_population
from diagnostics.indicators.facts import build_facts, needed_variables
from diagnostics.indicators.parts import by_indicator, stamps_of, write_values
from diagnostics.indicators.snapshot import SNAPSHOT, extract_snapshot, from_snapshot

__all__ = [
    "REFERENCE_POPULATION",
    "SNAPSHOT",
    "VALUE_COLUMNS",
    "build_facts",
    "by_indicator",
    "compute",
    "extract_snapshot",
    "from_snapshot",
    "needed_tables",
    "needed_variables",
    "reference_population",
    "stamps_of",
    "write_values",
]
