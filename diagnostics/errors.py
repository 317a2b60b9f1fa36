"""The one family of errors a user of the project is meant to read.

Every message says where (file, line or key), what was found, what was expected, and what to do. The text is in
French because analysts read it; the command line prints it without a traceback and exits with `exit_code`.
"""

from __future__ import annotations


class DiagnosticError(Exception):
    """Something the user can mend. `exit_code` is what a script sees."""

    exit_code = 1


class CatalogError(DiagnosticError):
    """A card of `catalog/` is wrong: names the file, the key and the fix."""

    exit_code = 2


class SourceError(DiagnosticError):
    """A distribution cannot be fetched, read, or does not keep its contract."""

    exit_code = 3


class GeographyError(DiagnosticError):
    """A code, a perimeter or a control total does not fit the pivot geography."""

    exit_code = 4


class StatisticsError(DiagnosticError, ValueError):
    """Input that no rate or interval can be computed from; names the row."""

    exit_code = 5
