"""One report model, several renderers: the diagnostic of a CLS as a page and as a workbook."""

from diagnostics.reporting.build import build_report
from diagnostics.reporting.html import render_html, write_html
from diagnostics.reporting.model import MapFile, Report, SourceUse, Vigilance
from diagnostics.reporting.outline import outline_svg
from diagnostics.reporting.place import zone_keys
from diagnostics.reporting.workbook import render_workbook, write_workbook

__all__ = [
    "MapFile",
    "Report",
    "SourceUse",
    "Vigilance",
    "build_report",
    "outline_svg",
    "render_html",
    "render_workbook",
    "write_html",
    "write_workbook",
    "zone_keys",
]
