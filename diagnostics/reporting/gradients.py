"""The inequalities inside the territory: which indicators follow the deprivation of the communes, and their drawing."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

import pandas as pd

from diagnostics import french
from diagnostics.reporting import narrative
from diagnostics.reporting.model import Block, Gradient, Inequality

ONE_COMMUNE = "Ce territoire est fait d’une seule commune : les écarts entre communes n’y ont pas de sens."
UNKNOWN = (
    "Non connues : il faut des communes d’au moins trois cinquièmes de défavorisation (FDep), au moins cinq d’entre "
    "elles, et leurs effectifs, que ces données ne donnent pas toutes."
)


def inequality_of(rows: pd.DataFrame, blocks: Mapping[str, Block], communes: int) -> Inequality:
    """The gradients of a territory, the surest and widest first. `rows`: its lines of the observatory."""
    if communes == 1:
        return Inequality(ONE_COMMUNE, (), "", "")
    found = [
        _gradient(row, blocks[row["indicator_id"]])
        for row in rows.to_dict("records")
        if row["indicator_id"] in blocks and pd.notna(row["sii_low"])
    ]
    if not found:
        return Inequality(UNKNOWN, (), "", "")
    found.sort(key=lambda g: (not g.unequal, not g.unfavourable, -_width(g), g.block.label))
    alt = " ; ".join(
        f"{g.block.short} : {french.number(g.ratio, 2)} {french.interval(g.ratio_low, g.ratio_high, 2)}"
        for g in found
        if _drawable(g)
    )
    return Inequality(_finding(found), tuple(found), gradient_svg(found), f"Indice relatif d’inégalité. {alt}.")


def _gradient(row: Mapping, block: Block) -> Gradient:
    known = {name: None if pd.isna(row[name]) else float(row[name]) for name in ("rii", "rii_low", "rii_high")}
    return Gradient(
        block=block, slope=row["sii"], low=row["sii_low"], high=row["sii_high"], ratio=known["rii"],
        ratio_low=known["rii_low"], ratio_high=known["rii_high"], communes=int(row["units"]),
        unequal=bool(row["unequal"]), unfavourable=(row["sii"] > 0) == (row["direction"] == "higher_is_worse"),
    )  # fmt: skip


def _width(gradient: Gradient) -> float:
    return abs(math.log(gradient.ratio)) if gradient.ratio is not None and gradient.ratio > 0 else 0.0


def _finding(found: Sequence[Gradient]) -> str:
    """One sentence: how many indicators follow deprivation, and the one that does most."""
    count = narrative.plural(len(found), "indicateur")
    sure = [g for g in found if g.unequal and g.unfavourable]
    if not sure:
        return (
            f"Sur {count} observé{'s' if len(found) > 1 else ''}, aucun n’est nettement plus défavorable dans les "
            "communes les plus défavorisées du territoire."
        )
    first = sure[0]
    block = first.block
    return (
        f"Sur {count}, {french.number(len(sure))} {'est' if len(sure) == 1 else 'sont'} nettement plus "
        f"défavorable{'s' if len(sure) > 1 else ''} dans les communes les plus défavorisées. L’écart le plus marqué : "
        f"{block.label[:1].lower()}{block.label[1:]}, {narrative.slope_words(first.slope, block.unit, block.decimals)} "
        f"de la moins à la plus défavorisée {french.interval(first.low, first.high, block.decimals)}."
    )


# --- the drawing -----------------------------------------------------------------------------------------------------

WIDTH, LABELS, LINE, TOP, FOOT = 640.0, 250.0, 24.0, 8.0, 34.0
TICKS = (0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
WIDEST = 8.0
"""Beyond this ratio, or below its inverse, an interval runs to the edge of the drawing."""


def _drawable(gradient: Gradient) -> bool:
    bounds = (gradient.ratio, gradient.ratio_low, gradient.ratio_high)
    return all(bound is not None and bound > 0 for bound in bounds)


def gradient_svg(gradients: Sequence[Gradient]) -> str:
    """The relative index of each indicator with its interval, on a logarithmic axis; empty when none can be drawn."""
    shown = [g for g in gradients if _drawable(g)]
    if not shown:
        return ""
    low = max(min(0.5, *(g.ratio_low for g in shown)), 1 / WIDEST) / 1.05
    high = min(max(2.0, *(g.ratio_high for g in shown)), WIDEST) * 1.05
    span = math.log(high / low)
    bottom = TOP + LINE * len(shown)

    def place(ratio: float) -> str:
        return f"{LABELS + (WIDTH - LABELS) * math.log(min(max(ratio, low), high) / low) / span:.1f}"

    marks = [_tick(tick, place(tick), bottom) for tick in TICKS if low <= tick <= high]
    lines = [_line(g, TOP + LINE * (n + 0.5), place) for n, g in enumerate(shown)]
    ends = (
        f'<text class="axis" x="{LABELS:.0f}" y="{bottom + 30:.0f}">moins élevé dans les plus défavorisées</text>'
        f'<text class="axis" x="{WIDTH:.0f}" y="{bottom + 30:.0f}" text-anchor="end">'
        "plus élevé dans les plus défavorisées</text>"
    )
    return (
        f'<svg class="gradients" viewBox="0 0 {WIDTH:.0f} {bottom + FOOT:.0f}" aria-hidden="true">'
        f"{''.join(marks)}{''.join(lines)}{ends}</svg>"
    )


def _tick(ratio: float, x: str, bottom: float) -> str:
    kind = "one" if ratio == 1 else "tick"
    words = french.number(ratio) if ratio >= 1 else f"1/{french.number(1 / ratio)}"
    return (
        f'<line class="{kind}" x1="{x}" x2="{x}" y1="{TOP:.0f}" y2="{bottom:.0f}"/>'
        f'<text class="axis" x="{x}" y="{bottom + 14:.0f}" text-anchor="middle">{words}</text>'
    )


def _line(gradient: Gradient, y: float, place) -> str:
    kind = ("worse" if gradient.unfavourable else "better") if gradient.unequal else "similar"
    return (
        f'<g class="{kind}"><text x="{LABELS - 12:.0f}" y="{y + 4:.1f}" text-anchor="end">'
        f"{escape(gradient.block.short)}</text>"
        f'<line x1="{place(gradient.ratio_low)}" x2="{place(gradient.ratio_high)}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<circle cx="{place(gradient.ratio)}" cy="{y:.1f}" r="4"/></g>'
    )
