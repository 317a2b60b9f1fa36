"""What changed in the diagnostic of a CLS between two dated copies of its figures.

history.write_copy(...)            keeps one
compare(before, after, catalog)    holds two side by side: pure
to_markdown(changes), to_html(changes)
"""

from diagnostics.changes.compare import Changes, compare
from diagnostics.changes.history import DatedCopy, dates, folder_of, former, last_values, read_copy, take, write_copy
from diagnostics.changes.render import to_html, to_markdown

__all__ = [
    "Changes",
    "DatedCopy",
    "compare",
    "dates",
    "folder_of",
    "former",
    "last_values",
    "read_copy",
    "take",
    "to_html",
    "to_markdown",
    "write_copy",
]
