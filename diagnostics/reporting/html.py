"""`rapport.html`: one self-contained page, readable on a phone, printable, accessible.

The template lays out the report model; every number passes through the filters below, that is through
`diagnostics.french`. Autoescaping is on: names come from files that we do not control.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup
from upath import UPath

from diagnostics import french
from diagnostics.reporting import narrative
from diagnostics.reporting.assets import FAMILY, font_faces, screen_images
from diagnostics.reporting.model import Block, Figure, Report
from diagnostics.storage import replacing

TEMPLATES = Path(__file__).parent / "templates"


def write_html(report: Report, target: UPath | Path) -> None:
    """Write the page, whole or not at all."""
    page = render_html(report)
    with replacing(target) as temporary:
        temporary.write_text(page, encoding="utf-8")


def render_html(report: Report) -> str:
    """The page as text. Reads the PNG of each map, and keeps it at screen size beside it; nothing else."""
    page = _environment().get_template("rapport.html.j2")
    paths = [block.map.png for block in report.blocks if block.map]
    paths += [figure.png for figure in report.patterns.maps] if report.patterns else []
    return page.render(
        report=report,
        images=screen_images(paths),
        fonts=Markup(font_faces()),
        style=Markup((TEMPLATES / "rapport.css").read_text(encoding="utf-8").replace("$FAMILY", FAMILY)),
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=StrictUndefined,
        finalize=lambda value: narrative.typography(value) if type(value) is str else value,
    )
    environment.filters |= {
        "number": french.number,
        "quantity": french.quantity,
        "date": french.date,
        "plural": narrative.plural,
        "cell": cell,
        "kind": narrative.kind,
        "interval": lambda figure: french.interval(figure.low, figure.high, figure.decimals),
        "css_string": css_string,
        "members_range": members_range,
        "signed": lambda value, decimals: french.number(value, decimals, sign=True),
        "bounds": lambda bounds, decimals: french.interval(*bounds, decimals),
        "initial_lower": lambda text: text[:1].lower() + text[1:],
    }
    environment.globals |= {
        "verdicts": narrative.VERDICTS,
        "reliability": narrative.RELIABILITY,
    }
    return environment


def cell(figure: Figure | None, places: int | None = None) -> Markup:
    """A value of a table, without its unit. `places` decimals of room keep several precisions on one decimal mark.

    A masked value is a word, never a number.
    """
    if figure is None or not figure.known:
        masked = figure is not None and figure.reliability == "masked"
        return Markup('<span class="none">{}</span>').format("masqué" if masked else "n.d.")
    text = french.number(figure.value, figure.decimals)
    if places is None:
        return Markup('<span class="n">{}</span>').format(text)
    whole, mark, fraction = text.partition(",")
    return Markup('<span class="n">{}<span class="f f{}">{}</span></span>').format(whole, places, mark + fraction)


def members_range(block: Block) -> str:
    """« 21 340 à 24 110 »: the spread of what is published for the EPCI only."""
    known = sorted(row.figure.value for row in block.members if row.figure.known)
    if not known:
        return french.UNKNOWN
    low, high = french.number(known[0], block.decimals), french.number(known[-1], block.decimals)
    return low if low == high else f"{low} à {high}"


def css_string(text: str) -> Markup:
    """`text` as a CSS string literal: every character outside letters and digits is escaped by its code point."""
    return Markup('"{}"').format(Markup("".join(c if c.isascii() and c.isalnum() else f"\\{ord(c):x} " for c in text)))
