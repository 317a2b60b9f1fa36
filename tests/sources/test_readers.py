"""Each layout gives back, as text, what its producer wrote; what it cannot read it names."""

from __future__ import annotations

import datetime
import gzip
import json
import lzma
import struct
import zipfile
from pathlib import Path

import duckdb
import pandas as pd
import pytest
import xlsxwriter

from diagnostics.errors import SourceError
from diagnostics.sources.readers import LAYOUTS, opened, read, to_parquet


def rows(frame: pd.DataFrame) -> list[list]:
    return [[None if pd.isna(cell) else cell for cell in row] for row in frame.to_numpy().tolist()]


def write(path: Path, content: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(content.encode(encoding))
    return path


# --- delimited text -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_csv_keeps_codes_as_text_and_empty_cells_as_nothing(tmp_path, newline, encoding):
    content = newline.join(["CODGEO;LIBGEO;POP", "01001;L'Abergement;832", '2A004;"Ajaccio; ville";', ""])
    frame = read(write(tmp_path / "f.csv", content, encoding), "csv")
    assert list(frame.columns) == ["CODGEO", "LIBGEO", "POP"]
    assert rows(frame) == [["01001", "L'Abergement", "832"], ["2A004", "Ajaccio; ville", None]]


@pytest.mark.parametrize(
    ("encoding", "text"), [("cp1252", "Œuilly – 12 €"), ("latin-1", "Épinal"), ("utf-16", "Épinal")]
)
def test_csv_in_other_encodings(tmp_path, encoding, text):
    path = write(tmp_path / "f.csv", f"code;nom\n51410;{text}\n", encoding)
    assert rows(read(path, "csv", {"encoding": encoding})) == [["51410", text]]


def test_csv_said_to_be_ansi_but_in_utf8_is_refused(tmp_path):
    path = write(tmp_path / "f.csv", "code;nom\n88160;Épinal\n", "utf-8")
    with pytest.raises(SourceError, match="le fichier est en UTF-8"):
        read(path, "csv", {"encoding": "cp1252"})


def test_csv_said_to_be_utf8_but_in_ansi_is_refused(tmp_path):
    for content in ("code;nom\n88160;Épinal\n", "code;département\n88160;Epinal\n"):
        with pytest.raises(SourceError, match="encod"):
            read(write(tmp_path / "f.csv", content, "cp1252"), "csv")


def test_bytes_that_no_cp1252_text_holds_are_refused(tmp_path):
    path = tmp_path / "f.csv"
    path.write_bytes(b"code;nom\n88160;\x81\x8d\n")
    with pytest.raises(SourceError, match=r"f\.csv : n'est pas en cp1252"):
        read(path, "csv", {"encoding": "cp1252"})


def test_header_found_by_row_or_by_content_under_title_lines(tmp_path):
    path = write(tmp_path / "f.csv", "Titre;;\nChamp : France;;\nCode;Libellé;Part\n54395;Nancy;12\n")
    expected = [["54395", "Nancy", "12"]]
    assert rows(read(path, "csv", {"header_row": 3})) == expected
    assert rows(read(path, "csv", {"header": "Code"})) == expected
    assert rows(read(path, "csv", {"skip_rows": 2})) == expected
    assert rows(read(path, "cartosante")) == expected
    with pytest.raises(SourceError, match=r"aucune cellule « Code commune ».*Titre.*Champ : France"):
        read(path, "csv", {"header": "Code commune"})


def test_units_row_under_a_csv_header_is_dropped(tmp_path):
    path = write(tmp_path / "f.csv", "code;apl\n;consultations\n54395;3,1\n")
    assert rows(read(path, "csv", {"units_rows": 1})) == [["54395", "3,1"]]


def test_names_are_cleaned_completed_and_made_unique(tmp_path):
    path = write(tmp_path / "f.csv", '"Code\n INSEE";;taux;Taux; \n1;2;3;4;5\n')
    assert list(read(path, "csv").columns) == ["Code INSEE", "column_2", "taux", "Taux_2", "column_5"]


def test_quoting_off_keeps_quotes_as_they_are(tmp_path):
    path = write(tmp_path / "ps.txt", 'Identifiant PP|Raison sociale|\n1|CABINET "LE PRE|\n2|"A|\n')
    frame = read(path, "rpps")
    assert list(frame.columns) == ["Identifiant PP", "Raison sociale", "column_3"]
    assert rows(frame) == [["1", 'CABINET "LE PRE', None], ["2", '"A', None]]


def test_packed_files_read_as_plain_ones(tmp_path):
    content = "id,code,geometry\n1,01001,\\N\n2,01002,00FF\n"
    plain = write(tmp_path / "f.csv", content)
    (tmp_path / "f.csv.gz").write_bytes(gzip.compress(content.encode()))
    (tmp_path / "f.csv.lzma").write_bytes(lzma.compress(content.encode(), format=lzma.FORMAT_ALONE))
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        archive.writestr("dossier/base.CSV", content)
        archive.writestr("meta_base.CSV", "a,b\n")
    expected = rows(read(plain, "lzma_csv"))
    assert expected == [["1", "01001", None], ["2", "01002", "00FF"]]
    comma = {"separator": ",", "null": r"\N"}
    assert rows(read(tmp_path / "f.csv.gz", "csv", comma)) == expected
    assert rows(read(tmp_path / "f.csv.lzma", "lzma_csv")) == expected
    assert rows(read(tmp_path / "f.zip", "zip_csv", {"member": "base.CSV", **comma})) == expected
    with pytest.raises(SourceError, match=r"2 fichiers de l'archive.*dossier/base\.CSV, meta_base\.CSV"):
        read(tmp_path / "f.zip", "zip_csv", {"member": "*.csv", **comma})
    with pytest.raises(SourceError, match="aucun fichier"):
        read(tmp_path / "f.zip", "zip_csv", {"member": "autre.csv", **comma})
    with pytest.raises(SourceError, match="`member`"):
        read(tmp_path / "f.zip", "zip_csv")


def test_an_archive_with_a_member_that_leaves_its_folder_is_refused(tmp_path):
    archive_folder = tmp_path / "a" / "b"
    archive_folder.mkdir(parents=True)
    with zipfile.ZipFile(archive_folder / "f.zip", "w") as archive:
        archive.writestr("../../evil.csv", "code;pop\n54395;1\n")
    with pytest.raises(SourceError, match=r"evil\.csv.*refusée"):
        read(archive_folder / "f.zip", "zip_csv", {"member": "evil.csv"})
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [archive_folder / "f.zip"]


def test_a_decompression_bomb_is_refused(tmp_path):
    (tmp_path / "f.csv.gz").write_bytes(gzip.compress(b"code;pop\n" + b"0" * (80 << 20)))
    with pytest.raises(SourceError, match="bombe"):
        read(tmp_path / "f.csv.gz", "csv")


def test_a_commune_outline_of_several_megabytes_on_one_line(tmp_path):
    outline = "0A" * 3_000_000
    path = write(tmp_path / "f.csv", f"code,geometry\n97302,{outline}\n97301,\\N\n")
    frame = read(path, "lzma_csv")
    assert len(frame.loc[0, "geometry"]) == 6_000_000
    assert frame["geometry"].isna().tolist() == [False, True]


@pytest.mark.parametrize("line", ["54395", "54395;1;2", '54395;"1'])
def test_a_line_with_other_cells_than_the_header_is_named(tmp_path, line):
    path = write(tmp_path / "f.csv", f"code;pop\n54001;2\n{line}\n")
    with pytest.raises(SourceError, match=r"f\.csv : lecture impossible.*54395"):
        read(path, "csv")


# --- official layouts ------------------------------------------------------------------------------------------------


def test_melodi_strips_prefixes_and_carries_the_status_in_the_value(tmp_path):
    lines = [
        '"GEO";"GEO_OBJECT";"EC_MEASURE";"TIME_PERIOD";"OBS_VALUE";"OBS_STATUS";"CONF_STATUS"',
        '"2026-COM-57463";"COM";"DTH";"2024";"1021";"A";"F"',
        '"COM-2A004";"COM";"DTH";"2024";"";"O";"F"',
        '"55138";"COM";"DTH";"2024";"";"K";"F"',
        '"2026-DEP-58";"DEP";"DTH";"2024";"12";"A";"C"',
    ]
    with zipfile.ZipFile(tmp_path / "DS.zip", "w") as archive:
        archive.writestr("DS_EC_2024_data.csv", "\n".join(lines) + "\n")
        archive.writestr("DS_EC_2024_metadata.csv", '"COD_VAR"\n"GEO"\n')
    frame = read(tmp_path / "DS.zip", "melodi")
    assert frame[["GEO", "OBS_VALUE"]].values.tolist() == [
        ["57463", "1021"],
        ["2A004", "O"],
        ["55138", "K"],
        ["58", "C"],
    ]


def test_melodi_without_its_columns_says_which(tmp_path):
    path = write(tmp_path / "f.csv", "CODGEO;VALEUR\n1;2\n")
    with pytest.raises(SourceError, match=r"GEO, TIME_PERIOD, OBS_VALUE absente.*CODGEO, VALEUR"):
        read(path, "melodi")


def test_finess_sections(tmp_path):
    establishment = ["structureet", "540000015", "540000023", 'CHRU "NANCY"', *[""] * 8, "395", "54", *[""] * 18]
    place = "geolocalisation;540000015;934567.8;6845678.9;1,BAN;2024-01-02"
    header = "finess;etalab;94;2025-01-02"
    content = "\r\n".join([header, ";".join(establishment), place, ""])
    path = write(tmp_path / "etalab.csv", content, "latin-1")
    found = read(path, "finess", {"section": "structureet"})
    assert found.loc[0, ["nofinesset", "rs", "commune", "departement"]].tolist() == [
        "540000015", 'CHRU "NANCY"', "395", "54",
    ]  # fmt: skip
    assert read(path, "finess", {"section": "geolocalisation"}).loc[0, "coordxet"] == "934567.8"
    with pytest.raises(SourceError, match="aucune ligne de la section « equipementsocial »"):
        read(path, "finess", {"section": "equipementsocial"})
    with pytest.raises(SourceError, match="section FINESS inconnue « lits »"):
        read(path, "finess", {"section": "lits"})


def test_finess_capacities(tmp_path):
    cells = ["equipementsocial", "540000031", "924", "Accueil pour Personnes Âgées", "11", "Héberg. Complet Internat",
             "711", "Personnes Agées dépendantes", "S", "85", *[""] * 5, "N", *[""] * 2, "90", *[""] * 9]  # fmt: skip
    path = write(tmp_path / "cs.csv", "finess;etalab;86;2025-01-02\n" + ";".join(cells) + "\n", "latin-1")
    row = read(path, "finess", {"section": "equipementsocial"}).loc[0]
    assert (row["capinstot"], row["indsupinst"], row["capautot"], row["libde"]) == ("85", "N", "90", cells[3])


def test_a_page_of_an_api_is_read_only_when_it_holds_all_that_was_asked(tmp_path):
    path = tmp_path / "page.json"
    path.write_text('{"count": 2, "next": null, "data": [{"a": 1, "b": "x"}, {"a": null, "c": [1]}]}')
    assert rows(read(path, "json_records")) == [["1", "x", None], [None, None, "[1]"]]
    path.write_text('{"count": 20001, "data": [{"a": 1}]}')
    with pytest.raises(SourceError, match=r"1 ligne\(s\) sur les 20001.*tranches plus petites"):
        read(path, "json_records")
    for broken in ('{"count": 1, "data": [{"a"', '{"results": []}', "[]", '{"count": 1, "data": [3]}'):
        path.write_text(broken)
        with pytest.raises(SourceError, match="réponse JSON complète"):
            read(path, "json_records")


def test_geojson_properties(tmp_path):
    features = [
        {"type": "Feature", "properties": {"code_qp": "QN05401M", "communes": ["54395", "54547"]}, "geometry": None},
        {"type": "Feature", "properties": {"code_qp": "QN05402M", "pop": 1200}, "geometry": None},
    ]
    path = write(tmp_path / "qp.geojson", json.dumps({"type": "FeatureCollection", "features": features}))
    assert rows(read(path, "geojson_properties")) == [
        ["QN05401M", '["54395", "54547"]', None],
        ["QN05402M", None, "1200"],
    ]


def test_dbase(tmp_path):
    fields = [(b"CODE", 5), (b"NOM", 8)]
    header = b"".join(struct.pack("<11sc4xB15x", name, b"C", width) for name, width in fields) + b"\r"
    records = [" 54395" + "Nancy".ljust(8), "*54001" + "Efface".ljust(8), " 88160" + "Épinal".ljust(8)]
    start = struct.pack("<BBBBIHH20x", 3, 124, 1, 1, len(records), 32 + len(header), 14)
    content = start + header + "".join(records).encode("cp1252") + b"\x1a"
    (tmp_path / "t.dbf").write_bytes(content)
    assert rows(read(tmp_path / "t.dbf", "dbf")) == [["54395", "Nancy"], ["88160", "Épinal"]]
    (tmp_path / "t.dbf").write_bytes(content[:-10])
    with pytest.raises(SourceError, match="tronquée"):
        read(tmp_path / "t.dbf", "dbf")


def test_parquet_keeps_numbers(tmp_path):
    path = tmp_path / "f.parquet"
    pd.DataFrame({"code": ["54395"], "pop": [104885], "part": [12.5]}).to_parquet(path)
    frame = read(path, "parquet")
    assert frame["pop"].dtype == "int64"
    assert frame["part"].dtype == "float64"


# --- workbooks -------------------------------------------------------------------------------------------------------


def workbook(path: Path, sheets: dict[str, list[list]]) -> Path:
    with xlsxwriter.Workbook(path, {"default_date_format": "yyyy-mm-dd"}) as book:
        for name, lines in sheets.items():
            sheet = book.add_worksheet(name)
            for i, line in enumerate(lines):
                sheet.write_row(i, 0, line)
    return path


APL = [
    ["Indicateur d'accessibilité potentielle localisée (APL) 2024 aux médecins généralistes"],
    [],
    ["Millésime : 2024"],
    ["Code commune INSEE", "Commune", "APL aux médecins\n généralistes\u00a0"],
    ["", "", "En nombre de consultations"],
    ["01001", "L'Abergement-Clémenciat", 1.89],
    ["", "", ""],
    ["2A004", "Ajaccio", 3.0],
]
APL_OPTIONS = {"sheet": "APL 2024", "header": "Code commune INSEE", "units_rows": 1}


@pytest.mark.parametrize("shift", [0, 3])
def test_workbook_header_is_found_wherever_it_moved(tmp_path, shift):
    path = workbook(tmp_path / "apl.xlsx", {"Paramètres": [["x"]], "APL 2024 ": [[]] * shift + APL})
    frame = read(path, "workbook", APL_OPTIONS)
    assert list(frame.columns) == ["Code commune INSEE", "Commune", "APL aux médecins généralistes"]
    assert rows(frame) == [["01001", "L'Abergement-Clémenciat", "1.89"], ["2A004", "Ajaccio", "3"]]


def test_workbook_cells_become_their_shortest_text(tmp_path):
    line = [1001, 0.1, 1e-05, 123456789012, True, datetime.date(2024, 3, 1), "", " 12 "]
    path = workbook(tmp_path / "f.xlsx", {"COM": [list("ABCDEFGH"), line]})
    expected = [["1001", "0.1", "0.00001", "123456789012", "True", "2024-03-01", None, "12"]]
    assert rows(read(path, "workbook", {"header": "A"})) == expected


def test_workbook_without_the_header_says_what_it_found(tmp_path):
    path = workbook(tmp_path / "apl.xlsx", {"APL 2024": [*APL[:3], ["Code INSEE", "Commune", "APL"], *APL[5:]]})
    with pytest.raises(SourceError) as error:
        read(path, "workbook", APL_OPTIONS)
    for told in ("apl.xlsx", "feuille « APL 2024 »", "« Code commune INSEE »", "Millésime : 2024", "options.header"):
        assert told in str(error.value)


def test_workbook_with_the_header_cell_on_two_rows_is_ambiguous(tmp_path):
    sheet = [["CODGEO", "Établissements"], ["CODGEO", "NB_D101"], ["01001", 2]]
    path = workbook(tmp_path / "bpe.xlsx", {"COM": sheet})
    with pytest.raises(SourceError, match=r"plusieurs lignes \(1, 2\)"):
        read(path, "workbook", {"header": "CODGEO"})
    assert rows(read(path, "workbook", {"header": "NB_D101"})) == [["01001", "2"]]


def test_workbook_sheet_that_vanished_lists_the_others(tmp_path):
    path = workbook(tmp_path / "apl.xlsx", {"APL 2022": APL, "APL 2023": APL})
    with pytest.raises(SourceError, match=r"feuille « APL 2024 » absente.*APL 2022, APL 2023"):
        read(path, "workbook", APL_OPTIONS)
    with pytest.raises(SourceError, match="n'en nomme aucune"):
        read(path, "workbook", {"header": "Commune"})


def test_any_layout_reads_a_member_of_a_zip(tmp_path):
    book = workbook(tmp_path / "table_passage.xlsx", {"COM": [["titre"], ["CODGEO_INI", "CODGEO_2025"], ["01001", 1]]})
    table = tmp_path / "f.parquet"
    pd.DataFrame({"code": ["54395"]}).to_parquet(table)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.write(book, "dossier/table_passage.xlsx")
        archive.write(table, "dossier/f.parquet")
    found = read(tmp_path / "all.zip", "workbook", {"member": "table_passage*.xlsx", "header": "CODGEO_INI"})
    assert rows(found) == [["01001", "1"]]
    assert rows(read(tmp_path / "all.zip", "parquet", {"member": "*.parquet"})) == [["54395"]]
    with pytest.raises(SourceError, match=r"all\.zip : archive.*`member`"):
        read(tmp_path / "all.zip", "csv")


def test_messages_about_a_member_carry_its_name(tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        archive.writestr("d/base.csv", "a;b\n1\n")
    with pytest.raises(SourceError, match=r"base\.csv : lecture impossible, ligne 2, 1 cellule"):
        read(tmp_path / "all.zip", "csv", {"member": "*.csv"})


# --- the door itself -------------------------------------------------------------------------------------------------


def test_unknown_layout_and_unknown_option_list_the_known_ones(tmp_path):
    path = write(tmp_path / "f.csv", "a;b\n1;2\n")
    with pytest.raises(SourceError, match=r"« workbook ».*cartosante, csv, dbf"):
        read(path, "worbook")
    with pytest.raises(SourceError, match=r"`separateur`.*« separator »"):
        read(path, "csv", {"separateur": ","})
    assert set(LAYOUTS) >= {"csv", "zip_csv", "parquet", "workbook", "melodi", "finess", "rpps", "ods_export"}


def test_absent_and_empty_files(tmp_path):
    with pytest.raises(SourceError, match=r"fichier absent"):
        read(tmp_path / "f.csv", "csv")
    (tmp_path / "f.csv").touch()
    with pytest.raises(SourceError, match="fichier vide"):
        read(tmp_path / "f.csv", "csv")
    write(tmp_path / "f.csv", "\n")
    with pytest.raises(SourceError):
        read(tmp_path / "f.csv", "csv", {"header_row": 4})


def test_an_error_met_while_the_relation_is_consumed_is_told_in_french(tmp_path):
    path = write(tmp_path / "f.csv", "code;pop\n54001;2\n54395\n")
    with pytest.raises(SourceError, match="lecture impossible"), opened(path, "csv") as relation:
        relation.fetchall()


def test_to_parquet_streams_what_is_asked(tmp_path):
    lines = "\n".join(f"{i}|10|{54000 + i % 500}" for i in range(5000))
    path = write(tmp_path / "ps.txt", "Identifiant PP|Code profession|Code commune\n" + lines + "\n")
    target = tmp_path / "rpps.parquet"
    count = to_parquet(path, "rpps", {}, target, select='"Code commune" AS code', where="\"Code profession\" = '10'")
    assert count == 5000
    assert duckdb.sql(f"SELECT count(DISTINCT code) FROM '{target}'").fetchall() == [(500,)]


def test_to_parquet_leaves_the_last_good_file_when_the_source_is_cut(tmp_path):
    target = tmp_path / "f.parquet"
    good = write(tmp_path / "good.csv", "a;b\n1;2\n")
    to_parquet(good, "csv", {}, target)
    before = target.read_bytes()
    with pytest.raises(SourceError):
        to_parquet(write(tmp_path / "cut.csv", "a;b\n1;2\n3"), "csv", {}, target)
    assert target.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cut.csv", "f.parquet", "good.csv"]
