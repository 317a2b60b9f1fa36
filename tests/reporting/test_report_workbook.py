"""`annexe.xlsx` read back: the same numbers, codes as text, masked as a word."""

from __future__ import annotations

import io

import openpyxl
import pytest
from python_calamine import CalamineWorkbook

from diagnostics.reporting import render_workbook, write_workbook


@pytest.fixture(scope="module")
def content(report) -> bytes:
    return render_workbook(report)


@pytest.fixture(scope="module")
def book(content):
    return openpyxl.load_workbook(io.BytesIO(content))


def records(sheet) -> list[dict]:
    header, *rows = sheet.iter_rows(values_only=True)
    return [dict(zip(header, row, strict=True)) for row in rows]


def test_its_sheets(book):
    assert book.sheetnames == [
        "Lisez-moi",
        "Synthèse",
        "Tableau de bord",
        "Communes",
        "Valeurs",
        "Dictionnaire",
        "Sources",
    ]


def test_every_figure_is_there_with_the_same_number(book, report):
    rows = records(book["Valeurs"])
    assert len(rows) == len(report.figures)
    for row, figure in zip(rows, report.figures, strict=True):
        assert row["Code"] == figure.zone.code
        assert isinstance(row["Code"], str)
        assert row["Période"] == figure.period
        if figure.known:
            assert row["Valeur"] == pytest.approx(figure.value, abs=0)
        else:
            assert row["Valeur"] == ("masqué" if figure.reliability == "masked" else None)
        assert row["IC 95 % bas"] == figure.low


def test_a_masked_value_is_never_a_zero_and_a_zero_stays_one(book):
    by_code = {row["Code"]: row["Taux de chômage (%)"] for row in records(book["Communes"])}
    assert by_code == {"54001": "masqué", "54002": 0, "57001": None}


def test_another_reader_finds_the_same(content, report):
    sheet = CalamineWorkbook.from_filelike(io.BytesIO(content)).get_sheet_by_name("Valeurs").to_python()
    values = [row[9] for row in sheet[1:] if isinstance(row[9], float)]
    assert values == [figure.value for figure in report.figures if figure.known]


def test_numbers_carry_the_decimals_of_their_indicator(book):
    sheet = book["Valeurs"]
    formats = {sheet.cell(r, 2).value: sheet.cell(r, 10).number_format for r in range(2, sheet.max_row + 1)}
    assert formats["Population municipale"] == "#,##0"
    assert formats["Taux de chômage"] == "#,##0.0"


def test_tables_can_be_filtered_and_keep_their_header(book):
    for name in ("Synthèse", "Communes", "Valeurs", "Dictionnaire", "Sources"):
        assert book[name].auto_filter.ref
        assert book[name].freeze_panes


def test_names_are_never_formulas(book):
    assert all(cell.data_type != "f" for sheet in book for row in sheet.iter_rows() for cell in row)


def test_iris_have_their_sheet_when_there_are_some(commune_report):
    book = openpyxl.load_workbook(io.BytesIO(render_workbook(commune_report)))
    assert "IRIS" in book.sheetnames
    assert [row["Nom"] for row in records(book["IRIS"])] == ["Centre", "IRIS 0102"]


def test_the_same_report_gives_the_same_bytes(report, content, tmp_path):
    write_workbook(report, tmp_path / "annexe.xlsx")
    assert (tmp_path / "annexe.xlsx").read_bytes() == content
