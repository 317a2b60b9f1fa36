"""`datapackage.json`: the Frictionless descriptor of a diagnostic: every file used, every file made, and by which code.

Files made are `resources`, with their sha256; files used are `sources`, with theirs, their licence and their address.
From it `diagnostic verify` rebuilds the diagnostic and compares.
"""

from __future__ import annotations

import datetime
import hashlib
import json

from upath import UPath

from diagnostics.catalog import Territory
from diagnostics.errors import DiagnosticError
from diagnostics.geography.reference import PIVOT_YEAR
from diagnostics.indicators.snapshot import SNAPSHOT
from diagnostics.products import dictionary
from diagnostics.products.code_version import code_state
from diagnostics.stamps import file_digest
from diagnostics.storage import replacing
from diagnostics.workshop import Workshop

PACKAGE = "datapackage.json"
VALUES, LAYERS = "indicators.parquet", "carto.gpkg"
MEDIA = {
    ".html": ("html", "text/html", "Rapport du diagnostic"),
    ".xlsx": ("xlsx", "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "Annexe chiffrée"),
    ".parquet": ("parquet", "application/vnd.apache.parquet", "Indicateurs du territoire"),
    ".gpkg": ("gpkg", "application/geopackage+sqlite3", "Indicateurs et contours, pour QGIS"),
    ".png": ("png", "image/png", "Carte"),
    ".svg": ("svg", "image/svg+xml", "Carte"),
}
TITLES = {"tableau_de_bord.parquet": "Tableau de bord : comparaisons, évolutions, rangs et inégalités intérieures"}
NUMBERS = {"numerator", "denominator", "value", "ci_low", "ci_high", "coverage"}


def describe(workshop: Workshop, territory: Territory, *, created: datetime.datetime) -> dict:
    """The descriptor, from the files of the CLS's folder and the receipts of the profile's files."""
    sources = used_files(workshop)
    return {
        "profile": "data-package",
        "name": f"diagnostic-{territory.id}",
        "title": f"Diagnostic territorial de santé : {territory.name}",
        "description": "Indicateurs, cartes et rapport d’un contrat local de santé, calculés à partir de données "
        "ouvertes. Pour refaire les mêmes chiffres à partir des mêmes fichiers : "
        f"`diagnostic verify {territory.id}`.",
        "created": created.isoformat(timespec="seconds"),
        "version": str(code_state()["version"]),
        "licenses": [
            {"name": "etalab-2.0" if title.startswith("Licence Ouverte 2.0") else "other-open", "title": title}
            for title in dict.fromkeys(source["licence"] for source in sources)
        ],
        "contributors": [
            {"title": producer, "role": "publisher"} for producer in sorted({s["producer"] for s in sources})
        ],
        "resources": [
            resource(workshop.storage.territory(territory.id), path) for path in made_files(workshop, territory)
        ],
        "sources": sources,
        "code": code_state(),
        "parameters": {
            "territory": territory.id,
            "run_profile": workshop.profile,
            "pivot_year": PIVOT_YEAR,
            "communes": list(territory.communes),
            "snapshot_sha256": file_digest(SNAPSHOT) if workshop.profile == "embedded" else None,
        },
    }


def used_files(workshop: Workshop) -> list[dict]:
    """One entry per file that serves in the profile: all of them weigh on the figures or on their geography."""
    entries = []
    for source in workshop.sources.values():
        for distribution in workshop.distributions(source.id):
            receipt = workshop.receipt(source.id, distribution)
            if receipt is not None:
                entries.append(
                    {
                        "title": source.title,
                        "path": source.homepage,
                        "dataset": source.id,
                        "distribution": distribution.id,
                        "producer": source.producer,
                        "licence": source.licence,
                        "citation": source.citation,
                        "vintage": receipt.vintage,
                        "address": receipt.address,
                        "bytes": receipt.size,
                        "hash": f"sha256:{receipt.sha256}",
                        "fetched_at": receipt.fetched_at.isoformat(timespec="seconds"),
                    }
                )
    return entries


def made_files(workshop: Workshop, territory: Territory) -> list[UPath]:
    """The deliverables of a CLS: what its folder and its folder of maps hold, in order."""
    folder = workshop.storage.territory(territory.id)
    return [
        path
        for place in (folder, folder / "maps")
        if place.exists()
        for path in sorted(place.iterdir(), key=lambda p: p.name)
        if path.suffix in MEDIA and not path.name.startswith(".")
    ]


def resource(folder: UPath, path: UPath) -> dict:
    """A Frictionless resource: relative path, size, sha256, and the schema of the public table."""
    relative = path.name if path.parent == folder else f"{path.parent.name}/{path.name}"
    form, media, title = MEDIA[path.suffix]
    content = path.read_bytes()
    described = {
        "name": relative.lower().replace("/", "-").replace(".", "-").replace("_", "-"),
        "path": relative,
        "title": TITLES.get(path.name, title),
        "format": form,
        "mediatype": media,
        "bytes": len(content),
        "hash": f"sha256:{hashlib.sha256(content).hexdigest()}",
    }
    if path.name == VALUES:
        described["schema"] = {
            "fields": [
                {"name": name, "type": field_type(name), "description": text}
                for name, text in dictionary.VALUES.items()
            ],
            "primaryKey": ["indicator_id", "zone_type", "zone_code", "period"],
        }
    return described


def field_type(column: str) -> str:
    return "number" if column in NUMBERS else "datetime" if column == "computed_at" else "string"


def write_package(workshop: Workshop, territory: Territory, *, created: datetime.datetime) -> UPath:
    target = workshop.storage.territory(territory.id) / PACKAGE
    text = json.dumps(describe(workshop, territory, created=created), ensure_ascii=False, indent=1)
    with replacing(target) as temporary:
        temporary.write_text(text + "\n", encoding="utf-8")
    return target


def read_package(workshop: Workshop, territory_id: str) -> dict:
    """The descriptor of the last diagnostic of a CLS. DiagnosticError when there is none."""
    path = workshop.storage.territory(territory_id) / PACKAGE
    if not path.exists():
        raise DiagnosticError(
            f"{path} n’existe pas : ce diagnostic n’a pas encore été produit. Lancer `diagnostic run {territory_id}`."
        )
    return json.loads(path.read_text(encoding="utf-8"))
