"""The "what changed" report in French, as Markdown and as one self-contained HTML page: same sections, same words."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from jinja2 import Environment

from diagnostics import french
from diagnostics.catalog.models import Indicator
from diagnostics.changes.compare import Changes, Crossing, NewFile, NewPeriod, Revision, Side

SHOWN = 200
"""Rows of a section that are printed; the rest is counted."""

SIDES = {-1: "au-dessous", 0: "à égalité", 1: "au-dessus"}


@dataclass(frozen=True)
class Section:
    title: str
    header: list[str]
    rows: list[list[str]]


def sections(changes: Changes) -> list[Section]:
    """The report's tables, those that have something to say, in the order a reader wants them."""
    every = [
        Section("Nouveaux fichiers", ["Jeu de données", "Avant", "Après"], [_file(f) for f in changes.files]),
        Section("Nouveaux millésimes", ["Indicateur", "Avant", "Après"], [_period(p) for p in changes.periods]),
        Section(
            "Seuils franchis par le territoire", ["Indicateur", "Seuil", "Avant", "Après"],
            [_crossing(c) for c in changes.crossings],
        ),
        Section(
            "Changements de position par rapport aux repères", ["Indicateur", "Repère", "Avant", "Après"],
            [_side(s) for s in changes.sides],
        ),
        Section(
            "Chiffres révisés à période égale", ["Indicateur", "Zone", "Période", "Avant", "Après"],
            [_revision(r) for r in changes.revisions],
        ),
        Section(
            "Communes du périmètre", ["Commune", "Code", "Changement"],
            [[n, c, "sortie ou fusionnée"] for c, n in changes.left.items()]
            + [[n, c, "entrée"] for c, n in changes.joined.items()],
        ),
        Section(
            "Fichiers refusés, qui attendent une décision", ["Jeu de données", "Depuis le", "Raisons"],
            [[r.title, french.date(r.refused_at), " ; ".join(r.reasons)] for r in changes.refused],
        ),
        Section("Indicateurs retirés du catalogue", ["Identifiant"], [[name] for name in changes.gone]),
    ]  # fmt: skip
    return [s for s in every if s.rows]


def title(changes: Changes) -> str:
    return f"{changes.after.name} : ce qui a changé"


def summary(changes: Changes) -> list[str]:
    """One or two sentences that stand for the whole report."""
    span = f"Du {french.date(changes.before.date)} au {french.date(changes.after.date)}"
    found = [
        _count(len(changes.files), "nouveau fichier", "nouveaux fichiers"),
        _count(len(changes.periods), "nouveau millésime", "nouveaux millésimes"),
        _count(len(changes.crossings), "seuil franchi", "seuils franchis"),
        _count(len(changes.sides), "changement de position", "changements de position"),
        _count(len(changes.revisions), "chiffre révisé", "chiffres révisés"),
        _count(len(changes.left) + len(changes.joined), "commune entrée ou sortie", "communes entrées ou sorties"),
        _count(len(changes.refused), "fichier refusé", "fichiers refusés"),
    ]
    told = french.listing([f for f in found if f])
    lines = [f"{span} : {told}." if told else f"{span}, rien n’a changé."]
    if changes.before.profile != changes.after.profile:
        lines.append(
            f"Attention : les deux copies viennent de profils différents ({changes.before.profile}, puis "
            f"{changes.after.profile}). Leurs chiffres ne se comparent pas."
        )
    return lines


def to_markdown(changes: Changes) -> str:
    lines = [f"# {title(changes)}", "", *summary(changes)]
    for section in sections(changes):
        lines += ["", f"## {section.title}", "", _line(section.header), _line(["---"] * len(section.header))]
        lines += [_line(row) for row in section.rows[:SHOWN]]
        if remark := _remainder(section):
            lines += ["", remark]
    return "\n".join(lines) + "\n"


def to_html(changes: Changes) -> str:
    return PAGE.render(
        title=title(changes), summary=summary(changes), sections=sections(changes), shown=SHOWN, remainder=_remainder
    )


def _file(file: NewFile) -> list[str]:
    if file.same_vintage:
        return [file.title, f"{file.before}", f"{file.after}, fichier corrigé"]
    return [file.title, file.before or "absent", file.after or "retiré"]


def _period(period: NewPeriod) -> list[str]:
    return [period.indicator.label, period.before or "inconnu", period.after or "inconnu"]


def _crossing(crossing: Crossing) -> list[str]:
    thresholds = french.listing([_threshold(t, crossing.indicator) for t in crossing.thresholds])
    arrow = "hausse" if crossing.after > crossing.before else "baisse"
    before, after = _value(crossing.before, crossing.indicator), _value(crossing.after, crossing.indicator)
    return [_name(crossing.indicator), thresholds, before, f"{after} ({arrow})"]


def _side(side: Side) -> list[str]:
    return [side.indicator.label, side.benchmark, SIDES[side.before], SIDES[side.after]]


def _revision(r: Revision) -> list[str]:
    return [_name(r.indicator), r.zone, r.period, _value(r.before, r.indicator), _value(r.after, r.indicator)]


SIGNS = ("%", "‰", "€")
"""Units short enough to stand beside every figure; the others are said once, with the name of the indicator."""


def _name(indicator: Indicator) -> str:
    return indicator.label if indicator.unit in SIGNS else f"{indicator.label} ({indicator.unit})"


def _value(value: float | None, indicator: Indicator) -> str:
    return french.quantity(value, indicator.unit if indicator.unit in SIGNS else "", indicator.decimals)


def _threshold(value: float, indicator: Indicator) -> str:
    """As it is declared: rounding it would name another one."""
    decimals = max(0, -Decimal(str(value)).normalize().as_tuple().exponent)
    return french.quantity(value, indicator.unit if indicator.unit in SIGNS else "", decimals)


def _count(count: int, singular: str, plural: str) -> str:
    return f"{french.number(count)} {plural if count >= 2 else singular}" if count else ""


def _remainder(section: Section) -> str:
    hidden = len(section.rows) - SHOWN
    return f"… et {_count(hidden, 'autre ligne', 'autres lignes')}." if hidden > 0 else ""


def _line(cells: list[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; color: #1d2733; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2rem; }
.scroll { overflow-x: auto; } table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; padding: .35rem .6rem; border-bottom: 1px solid #d8dee6; vertical-align: top; }
th { background: #f2f5f8; }
@media print { body { margin: 0; max-width: none; } tr { break-inside: avoid; } }
"""

PAGE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(
    """<!DOCTYPE html>
<html lang="fr">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{ title }}</title>
<style>"""
    + STYLE
    + """</style>
</head>
<body>
<h1>{{ title }}</h1>
{% for line in summary %}
<p>{{ line }}</p>
{% endfor %}
{% for section in sections %}
<section>
<h2>{{ section.title }}</h2>
<div class="scroll"><table>
<thead><tr>{% for cell in section.header %}<th scope="col">{{ cell }}</th>{% endfor %}</tr></thead>
<tbody>
{% for row in section.rows[:shown] %}
<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}
</tbody>
</table></div>
{% if remainder(section) %}<p>{{ remainder(section) }}</p>{% endif %}
</section>
{% endfor %}
</body>
</html>
"""
)
