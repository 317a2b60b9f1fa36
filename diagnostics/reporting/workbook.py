"""`annexe.xlsx`: every figure of the report by commune, EPCI, CLS and benchmark, as real numbers with their flags.

Codes are text (leading zeros, Corsica), masked values the word « masqué », unknown ones an empty cell: never a zero.
"""

from __future__ import annotations

import datetime
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import xlsxwriter
from upath import UPath
from xlsxwriter.format import Format
from xlsxwriter.worksheet import Worksheet

from diagnostics import french
from diagnostics.reporting import narrative
from diagnostics.reporting.model import Figure, Report, Zone
from diagnostics.storage import replacing

FONT = "Calibri"  # on every office machine; the report's own typeface is not
MASKED = "masqué"
VERDICTS = {
    "worse": "plus défavorable",
    "similar": "comparable",
    "better": "plus favorable",
    "not_compared": "non comparé",
}
UNTESTED = "écart non testé"
ROLES = {
    "territory": "territoire",
    "member": "EPCI membre",
    "benchmark": "repère",
    "commune": "commune",
    "iris": "IRIS",
}


WIDE = {"Communes": "commune", "IRIS": "iris"}
"""Sheets of one line a zone, and the role of these zones."""


def write_workbook(report: Report, target: UPath | Path) -> None:
    """Write the annex, whole or not at all."""
    content = render_workbook(report)
    with replacing(target) as temporary:
        temporary.write_bytes(content)


def render_workbook(report: Report) -> bytes:
    """The annex as the bytes of an `.xlsx`, the sheets that it lists in its own first one."""
    target = io.BytesIO()
    book = xlsxwriter.Workbook(target, {"in_memory": True, "nan_inf_to_errors": False})
    # The creation date is that of the figures: the same figures give the same bytes, whenever they are written.
    created = datetime.datetime.combine(report.computed_on, datetime.time())
    book.set_properties({"title": report.title, "author": "diagnostic-cls", "created": created})
    styles = _Styles(book)
    _readme(book, styles, report)
    latest = _latest(report)
    _summary(book, styles, report, latest)
    _dashboard(book, styles, report)
    for name, role in WIDE.items():
        if len(_zones(report, role)) > 1:
            _wide(book, styles, report, name, latest)
    _long(book, styles, report)
    _dictionary(book, styles, report)
    _sources(book, styles, report)
    book.close()
    return target.getvalue()


class _Styles:
    """The few cell formats of the annex, one number format a precision."""

    def __init__(self, book: xlsxwriter.Workbook) -> None:
        self._book = book
        self._numbers: dict[tuple[int, bool], Format] = {}
        self.text = self._add({"num_format": "@", "valign": "top"})
        self.wrapped = self._add({"text_wrap": True, "valign": "top"})
        self.header = self._add({"bold": True, "text_wrap": True, "valign": "bottom", "bottom": 1})
        self.title = self._add({"bold": True, "font_size": 15})
        self.strong = self._add({"bold": True, "valign": "top"})
        self.flag = self._add({"font_color": "#59646B", "italic": True, "align": "right"})

    def _add(self, properties: dict) -> Format:
        return self._book.add_format({"font_name": FONT, "font_size": 11, **properties})

    def number(self, decimals: int, *, bold: bool = False) -> Format:
        """Thousands grouped; Excel shows the decimal mark of the reader's language."""
        key = (decimals, bold)
        if key not in self._numbers:
            pattern = "#,##0" + ("." + "0" * decimals if decimals else "")
            self._numbers[key] = self._add({"num_format": pattern, "bold": bold, "valign": "top"})
        return self._numbers[key]


def _zones(report: Report, role: str) -> list[Zone]:
    return [zone for zone in report.zones if zone.role == role]


def _table(
    sheet: Worksheet, styles: _Styles, headers: Sequence[tuple[str, float]], *, row: int, count: int, fixed: int
):
    """Headers with their column widths, frozen, filterable over `count` lines."""
    for column, (header, width) in enumerate(headers):
        sheet.write_string(row, column, header, styles.header)
        sheet.set_column(column, column, width)
    sheet.freeze_panes(row + 1, fixed)
    sheet.autofilter(row, 0, row + max(count, 1), len(headers) - 1)
    sheet.repeat_rows(row)
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)
    sheet.set_footer("&L&A&R&P / &N")


def _write(
    sheet: Worksheet, styles: _Styles, row: int, column: int, figure: Figure | None, *, bold: bool = False
) -> None:
    """A value as a number, a masked one as a word, an unknown one as nothing."""
    if figure is None:
        return
    if figure.known:
        sheet.write_number(row, column, figure.value, styles.number(figure.decimals, bold=bold))
    elif figure.reliability == "masked":
        sheet.write_string(row, column, MASKED, styles.flag)


def _optional(sheet: Worksheet, row: int, column: int, value: float | None, style: Format) -> None:
    if value is not None:
        sheet.write_number(row, column, value, style)


Latest = Mapping[tuple[str, str, str], Figure]
"""The figure of each indicator and zone (its type, its code) at its last period."""


def _latest(report: Report) -> Latest:
    # Figures come sorted by period.
    found: dict[tuple[str, str, str], Figure] = {}
    for figure in report.figures:
        key = (figure.indicator_id, *figure.zone.key)
        if key not in found or figure.known:
            found[key] = figure
    return found


# --- sheets ----------------------------------------------------------------------------------------------------------


def _readme(book: xlsxwriter.Workbook, styles: _Styles, report: Report) -> None:
    sheet = book.add_worksheet("Lisez-moi")
    sheet.hide_gridlines(2)
    sheet.set_column(0, 0, 30)
    sheet.set_column(1, 1, 100)
    sheet.write_string(0, 0, report.title, styles.title)
    made = f"Annexe de données, établie le {french.date(report.computed_on)} à partir de données ouvertes"
    sheet.write_string(1, 0, f"{made} ({report.profile_words}).")
    wide = [
        (name, f"une ligne par {noun}, une colonne par indicateur (dernier millésime)")
        for name, noun, role in (("Communes", "commune", "commune"), ("IRIS", "quartier", "iris"))
        if len(_zones(report, role)) > 1
    ]
    lines = [
        ("Ce que contient ce classeur", None),
        ("Synthèse", "chaque indicateur pour le territoire, ses EPCI membres et ses repères"),
        ("Tableau de bord", "comparaisons, évolution, rang en France et inégalités intérieures de chaque indicateur"),
        *wide,
        ("Valeurs", "table longue et filtrable : toutes les valeurs, leur intervalle, leur fiabilité, leurs sources"),
        ("Dictionnaire", "définition, calcul, unité, sens et réserves de chaque indicateur"),
        ("Sources", "fichiers lus : millésime, licence, adresse, empreinte SHA-256, citation"),
        ("Règles de lecture", None),
        ("Cellule vide", "valeur non disponible ; ce n’est pas un zéro"),
        (MASKED, "effectif trop petit ou secret statistique du producteur ; ce n’est pas un zéro"),
        ("Codes", "les codes de communes, d’EPCI et de départements sont du texte (zéros initiaux, 2A et 2B)"),
        ("Agrégation", "les effectifs sont additionnés puis divisés ; un taux ou une médiane ne se moyenne jamais"),
        ("Départements", "chaque département couvert est un repère ; il n’est jamais recopié dans les communes"),
        ("Intervalle", "intervalle de confiance à 95 % ; vide pour une source exhaustive ou modélisée"),
        ("Comparaison", "feuille Tableau de bord : par l’intervalle et le sens, tests corrigés pour leur nombre"),
        ("Comparaison brute", "feuille Valeurs : par rapport à la France, par l’intervalle seul, sans correction"),
        ("Couverture", "part de la population qui vit dans les communes dont la donnée est connue"),
        ("Fiabilité", None),
        *((words or "(vide)", RELIABILITY_MEANING[key]) for key, words in narrative.RELIABILITY.items()),
    ]  # fmt: skip
    row = 3
    for left, right in lines:
        if right is None:
            row += 1
            sheet.write_string(row, 0, left, styles.header)
            sheet.write_blank(row, 1, None, styles.header)
        else:
            sheet.write_string(row, 0, left, styles.strong)
            sheet.write_string(row, 1, right, styles.wrapped)
        row += 1
    sheet.set_landscape()
    sheet.set_paper(9)
    sheet.fit_to_pages(1, 0)


RELIABILITY_MEANING = {
    "ok": "valeur utilisable",
    "unstable": "repose sur peu d’évènements : à lire avec son intervalle, à ne pas commenter seule",
    "masked": "valeur retirée : effectif trop petit ou secret statistique",
    "context": "connue au-dessus du territoire seulement",
    "modelled": "calculée par un modèle, non observée",
    "incomplete": "une partie des communes n’a pas de donnée : voir la couverture",
    "snapshot": "calculée lors d’une exécution antérieure, au millésime indiqué, et reprise telle quelle",
}


def _summary(book: xlsxwriter.Workbook, styles: _Styles, report: Report, latest: Latest) -> None:
    zones = [report.territory, *_zones(report, "member"), *_zones(report, "benchmark")]
    ids = _shown_ids(report)
    terms = {term.indicator_id: term for term in report.dictionary}
    sheet = book.add_worksheet("Synthèse")
    headers = [("Indicateur", 46), ("Unité", 14), ("Période", 11)]
    headers += [(_column_name(zone), 16) for zone in zones]
    headers[4:4] = [("IC 95 % bas", 10), ("IC 95 % haut", 10), ("Fiabilité", 22)]
    _table(sheet, styles, headers, row=0, count=len(ids), fixed=1)
    own = {row.figure.indicator_id: row.figure for block in report.blocks if (row := block.own)}
    for row, indicator_id in enumerate(ids, start=1):
        figure = own.get(indicator_id) or latest.get((indicator_id, *report.territory.key))
        anyone = figure or next(f for zone in zones if (f := latest.get((indicator_id, *zone.key))))
        sheet.write_string(row, 0, terms[indicator_id].label, styles.wrapped)
        sheet.write_string(row, 1, terms[indicator_id].unit, styles.text)
        sheet.write_string(row, 2, anyone.period, styles.text)
        _write(sheet, styles, row, 3, figure, bold=True)
        if figure:
            style = styles.number(figure.decimals)
            _optional(sheet, row, 4, figure.low, style)
            _optional(sheet, row, 5, figure.high, style)
            words = narrative.reliability_words(figure.reliability, figure.period, figure.coverage)
            sheet.write_string(row, 6, words, styles.wrapped)
        for column, zone in enumerate(zones[1:], start=7):
            _write(sheet, styles, row, column, latest.get((indicator_id, *zone.key)))


def _dashboard(book: xlsxwriter.Workbook, styles: _Styles, report: Report) -> None:
    """What an observatory reads out: one line per indicator and zone."""
    sheet = book.add_worksheet("Tableau de bord")
    against = [(f"Par rapport à : {_column_name(zone)}", 18) for zone in report.key_columns]
    headers = [
        ("Indicateur", 46), ("Unité", 14), ("Zone", 28), ("Période", 11), ("Valeur", 12), ("IC 95 % bas", 10),
        ("IC 95 % haut", 10), ("Fiabilité", 20), *against, ("Évolution", 20), ("Années", 12), ("Valeur de départ", 12),
        ("Test d’évolution", 24), ("Rang", 9), ("Rang, au mieux", 9), ("Rang, au pire", 9), ("Zones classées", 9),
        ("Indice de pente", 11), ("Pente, IC bas", 10), ("Pente, IC haut", 10), ("Indice relatif", 10),
        ("Relatif, IC bas", 10), ("Relatif, IC haut", 10), ("Communes lues", 10),
    ]  # fmt: skip
    _table(sheet, styles, headers, row=0, count=len(report.dashboard), fixed=3)
    for row, line in enumerate(report.dashboard, start=1):
        style, ratio, whole = styles.number(line.decimals), styles.number(2), styles.number(0)
        for column, text in enumerate((line.label, line.unit, line.zone.name, line.period)):
            sheet.write_string(row, column, text, styles.wrapped if column == 0 else styles.text)
        for column, amount in enumerate((line.value, line.low, line.high), start=4):
            _optional(sheet, row, column, amount, style)
        sheet.write_string(row, 7, narrative.RELIABILITY[line.reliability], styles.text)
        for column, verdict in enumerate(line.verdicts, start=8):
            if verdict is not None:
                sheet.write_string(
                    row, column, UNTESTED if verdict == "not_compared" else VERDICTS[verdict], styles.text
                )
        first = 8 + len(line.verdicts)
        if line.trend:
            sheet.write_string(row, first, f"{line.trend.arrow} {line.trend.words}", styles.text)
            sheet.write_string(row, first + 1, line.trend.years, styles.text)
        _optional(sheet, row, first + 2, line.first, style)
        sheet.write_string(row, first + 3, line.test, styles.text)
        amounts = [
            *((amount, whole) for amount in line.rank), *((amount, style) for amount in line.slope),
            *((amount, ratio) for amount in line.ratio), (line.communes, whole),
        ]  # fmt: skip
        for column, (amount, shown) in enumerate(amounts, start=first + 4):
            _optional(sheet, row, column, amount, shown)


def _shown_ids(report: Report) -> list[str]:
    """Indicators with at least one figure, in the order of the dictionary."""
    having = {figure.indicator_id for figure in report.figures if figure.zone.role not in ("commune", "iris")}
    return [term.indicator_id for term in report.dictionary if term.indicator_id in having]


def _column_name(zone: Zone) -> str:
    return (
        zone.name
        if zone.role != "benchmark" or zone.type in ("france", "similar")
        else f"{zone.name} ({narrative.kind(zone)})"
    )


def _wide(book: xlsxwriter.Workbook, styles: _Styles, report: Report, name: str, latest: Latest) -> None:
    zones = _zones(report, WIDE[name])
    shown = {zone.key for zone in zones}
    having = {indicator_id for indicator_id, *zone in latest if tuple(zone) in shown}
    terms = [term for term in report.dictionary if term.indicator_id in having]
    sheet = book.add_worksheet(name)
    headers = [("Code", 11), ("Nom", 32)]
    headers += [(f"{term.label}{f' ({term.unit})' if term.unit else ''}", 17) for term in terms]
    _table(sheet, styles, headers, row=0, count=len(zones), fixed=2)
    sheet.set_row(0, 78)
    for row, zone in enumerate(zones, start=1):
        sheet.write_string(row, 0, zone.code, styles.text)
        sheet.write_string(row, 1, zone.name, styles.text)
        for column, term in enumerate(terms, start=2):
            _write(sheet, styles, row, column, latest.get((term.indicator_id, *zone.key)))


def _long(book: xlsxwriter.Workbook, styles: _Styles, report: Report) -> None:
    terms = {term.indicator_id: term for term in report.dictionary}
    sheet = book.add_worksheet("Valeurs")
    headers = [
        ("Thème", 22), ("Indicateur", 46), ("Type de zone", 13), ("Rôle", 13), ("Code", 12), ("Nom de la zone", 30),
        ("Période", 11), ("Numérateur", 14), ("Dénominateur", 14), ("Valeur", 12), ("Unité", 16), ("IC 95 % bas", 11),
        ("IC 95 % haut", 11), ("Fiabilité", 24), ("Couverture (%)", 11), ("Comparaison brute à la France", 18),
        ("Méthode", 26), ("Jeux de données", 40), ("Identifiant", 28),
    ]  # fmt: skip
    _table(sheet, styles, headers, row=0, count=len(report.figures), fixed=2)
    for row, figure in enumerate(report.figures, start=1):
        term, zone, style = terms[figure.indicator_id], figure.zone, styles.number(figure.decimals)
        texts = (
            term.theme,
            term.label,
            narrative.kind(zone),
            ROLES[zone.role],
            zone.code,
            zone.name,
            figure.period,
        )
        for column, text in enumerate(texts):
            sheet.write_string(row, column, text, styles.text)
        _optional(sheet, row, 7, figure.numerator, styles.number(0))
        _optional(sheet, row, 8, figure.denominator, styles.number(0))
        _write(sheet, styles, row, 9, figure)
        sheet.write_string(row, 10, figure.unit, styles.text)
        _optional(sheet, row, 11, figure.low, style)
        _optional(sheet, row, 12, figure.high, style)
        sheet.write_string(row, 13, narrative.RELIABILITY[figure.reliability], styles.text)
        _optional(sheet, row, 14, None if figure.coverage is None else figure.coverage * 100, styles.number(1))
        sheet.write_string(row, 15, VERDICTS[figure.comparison], styles.text)
        sheet.write_string(row, 16, narrative.method_words(figure.method), styles.text)
        sheet.write_string(row, 17, ", ".join(figure.dataset_ids), styles.text)
        sheet.write_string(row, 18, figure.indicator_id, styles.text)


def _dictionary(book: xlsxwriter.Workbook, styles: _Styles, report: Report) -> None:
    sheet = book.add_worksheet("Dictionnaire")
    headers = [
        ("Thème", 24), ("Indicateur", 40), ("Définition", 60), ("Calcul", 60), ("Unité", 16), ("Sens", 26),
        ("Méthode", 46), ("Réserve", 46), ("Identifiant", 28),
    ]  # fmt: skip
    _table(sheet, styles, headers, row=0, count=len(report.dictionary), fixed=2)
    for row, term in enumerate(report.dictionary, start=1):
        texts = (
            term.theme, term.label, term.definition, term.formula, term.unit, term.direction, term.method_note,
            term.reserve, term.indicator_id,
        )  # fmt: skip
        for column, text in enumerate(texts):
            sheet.write_string(row, column, text, styles.wrapped)


def _sources(book: xlsxwriter.Workbook, styles: _Styles, report: Report) -> None:
    """One line a file; one too for a dataset no file of which was read."""
    sheet = book.add_worksheet("Sources")
    headers = [
        ("N°", 5), ("Titre", 50), ("Producteur", 24), ("Licence", 26), ("Millésime", 18), ("Adresse", 60),
        ("SHA-256", 68), ("Lu le", 18), ("Présentation", 44), ("Citer", 60), ("Jeu de données", 28),
    ]  # fmt: skip
    lines = [(note, file) for note in report.sources for file in note.files or (None,)]
    _table(sheet, styles, headers, row=0, count=len(lines), fixed=2)
    for row, (note, file) in enumerate(lines, start=1):
        about = (
            (file.vintage, file.address, file.sha256 or "", french.date(file.fetched_at) if file.fetched_at else "")
            if file
            else ("", "", "", "non lu : fonde des repères calculés antérieurement")
        )
        sheet.write_number(row, 0, note.number, styles.number(0))
        texts = (note.title, note.producer, note.licence, *about, note.homepage, note.citation, note.dataset_id)
        for column, text in enumerate(texts, start=1):
            # write_string never turns an address into a link nor « =… » into a formula.
            sheet.write_string(row, column, text, styles.wrapped)
