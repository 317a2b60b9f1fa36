"""A country of eight communes in the official layouts, with one of each accident that real communes had.

01001 never moved. 01002 absorbed 01003 (delegated, 2022) and 01006 (not delegated, 2022). 01004 is 01005 whose seat
moved in 2024. 01010 covered 01011 from 2017 to 2024. 75056 has two arrondissements. 2A004 is alone on its island and in
no EPCI. 97501 lies outside the départements.
"""

from __future__ import annotations

from types import SimpleNamespace

import pandas as pd

COMMUNES_2025 = ["01001", "01002", "01004", "01010", "01011", "2A004", "75056"]
COMMUNES_2020 = ["01001", "01002", "01003", "01005", "01006", "01010", "2A004", "75056"]
DISTRICTS = ["75101", "75102"]


def text(columns: str, *rows: str) -> pd.DataFrame:
    """A text frame; cells are separated by `|`."""
    return pd.DataFrame([row.split("|") for row in rows], columns=columns.split("|"), dtype="str")


def insee_tables() -> dict[str, pd.DataFrame]:
    return {
        "cog_communes": text(
            "TYPECOM|COM|REG|DEP|LIBELLE|COMPARENT",
            "COM|01001|84|01|L'Abergement|",
            "COM|01002|84|01|Le Bourg|",
            "COM|01004|84|01|Les Deux-Rives|",
            "COM|01010|84|01|Neussargues|",
            "COM|01011|84|01|Celles|",
            "COM|2A004|94|2A|Ajaccio|",
            "COM|75056|11|75|Paris|",
            "COMD|01002|||Le Bourg|01002",
            "COMD|01003|||Vieux-Bourg|01002",
            "COMD|01005|||Rive|01004",
            "ARM|75101|11|75|Paris 1er Arrondissement|75056",
            "ARM|75102|11|75|Paris 2e Arrondissement|75056",
            "COM|97501||975|Miquelon|",
        ),
        "cog_departements": text("DEP|REG|LIBELLE", "01|84|Ain", "2A|94|Corse-du-Sud", "75|11|Paris"),
        "cog_regions": text("REG|LIBELLE", "84|Auvergne-Rhône-Alpes", "94|Corse", "11|Île-de-France"),
        "passage": text(
            "DEPCOM_HIST|DEPCOM", *(f"{c}|{c}" for c in COMMUNES_2025), "01003|01002", "01006|01002", "01005|01004"
        ),
        "plm": text("ARN|DEPCOM", "75101|75056", "75102|75056"),
        "epci_membership": text(
            "insee|siren|raison_sociale|nature_juridique",
            "01001|200000001|CC du Bourg|CC",
            "01002|200000001|CC du Bourg|CC",
            "01004|200000001|CC du Bourg|CC",
            "01010|200000002|CA des Monts|CA",
            "01011|200000002|CA des Monts|CA",
            "75056|200000003|Métropole du Grand Paris|METRO",
        ),
        "movements": text(
            "MOD|DATE_EFF|TYPECOM_AV|COM_AV|TYPECOM_AP|COM_AP",
            "32|2017-01-01|COM|01010|COM|01010",
            "32|2017-01-01|COM|01010|COMD|01010",
            "32|2017-01-01|COM|01011|COM|01010",
            "32|2017-01-01|COM|01011|COMD|01011",
            "32|2022-01-01|COM|01002|COM|01002",
            "32|2022-01-01|COM|01003|COM|01002",
            "32|2022-01-01|COM|01003|COMD|01003",
            "31|2022-01-01|COM|01006|COM|01002",
            "50|2024-03-01|COM|01005|COM|01004",
            "21|2025-01-01|COM|01010|COM|01010",
            "21|2025-01-01|COM|01010|COM|01011",
            "21|2025-01-01|COMD|01011|COM|01011",
        ),
    }


def package_tables() -> dict[str, pd.DataFrame]:
    return {
        "package_communes": text(
            "id|code|type|nom|type_nom|departement_id|commune_parent_id|epci_id",
            r"0|01001|COM|Abergement|5|0|\N|0",
            r"1|01002|COM|Bourg|2|0|\N|0",
            r"2|01004|COM|Deux-Rives|4|0|\N|0",
            r"3|01010|COM|Neussargues|0|0|\N|1",
            r"4|01011|COM|Celles|0|0|\N|1",
            r"5|2A004|COM|Ajaccio|1|1|\N|\N",
            r"6|75056|COM|Paris|0|2|\N|2",
            r"7|01003|COMD|Vieux-Bourg|0|0|1|\N",
            r"8|01002|COMD|Bourg|2|0|1|\N",
            r"9|01005|COMA|Rive|0|0|2|\N",
            r"10|75101|ARM|Paris 1er Arrondissement|0|2|6|\N",
            r"11|75102|ARM|Paris 2e Arrondissement|0|2|6|\N",
            r"12|75056SR01|SRM|Paris — 1er secteur|0|2|6|\N",
        ),
        "package_epci": text(
            "id|code|nom|type",
            "0|200000001|Communauté de communes du Bourg|CC",
            "1|200000002|Communauté d'agglomération des Monts|CA",
            "2|200000003|Métropole du Grand Paris|ME",
        ),
        "package_departements": text("id|code|nom|region_id", "0|01|Ain|0", "1|2A|Corse-du-Sud|1", "2|75|Paris|2"),
        "package_regions": text("id|code|nom", "0|84|Auvergne-Rhône-Alpes", "1|94|Corse", "2|11|Île-de-France"),
    }


def territory(**changes) -> SimpleNamespace:
    """What geography reads of a territory card."""
    card = {
        "id": "bourg",
        "name": "CLS du Bourg",
        "kind": "epci",
        "siren": "200000001",
        "cog_year": 2025,
        "epci": [SimpleNamespace(siren="200000001", name="CC du Bourg")],
        "communes": ["01001", "01002", "01004"],
    }
    return SimpleNamespace(**{**card, **changes})


def observed(values: dict[str, float | str], variable: str = "people", cog_year: int = 2020, **other) -> pd.DataFrame:
    """Observations of communes: a number, or the status `secret` or `missing`."""
    rows = [
        {
            "dataset_id": "census",
            "variable": variable,
            "geo_type": "district" if code in DISTRICTS else "commune",
            "geo_code": code,
            "cog_year": cog_year,
            "period": "2020",
            "value": float("nan") if isinstance(value, str) else float(value),
            "status": value if isinstance(value, str) else "ok",
            **other,
        }
        for code, value in values.items()
    ]
    return pd.DataFrame(rows)
