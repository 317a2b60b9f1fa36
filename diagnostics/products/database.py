"""`diagnostic.duckdb`: every figure of the last run in one read-only file, with comments on every column.

DuckDB lets one process write and none read meanwhile, or many read: so the file is never written in place. It is
made whole under another name and takes the place of the former one by a rename: an open notebook keeps the file it
opened, a refresh waits for nobody.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

import duckdb
import pandas as pd
from upath import UPath

from diagnostics.catalog import Catalog, Profile
from diagnostics.errors import DiagnosticError
from diagnostics.indicators import patterns
from diagnostics.products import dictionary
from diagnostics.products.code_version import code_version
from diagnostics.products.examples import EXAMPLES
from diagnostics.reporting.blocks import formula_text
from diagnostics.storage import Storage, on_disk, replacing
from diagnostics.workshop import Workshop

DATABASE = "diagnostic.duckdb"


def database_path(storage: Storage) -> UPath:
    return storage.processed / DATABASE


def connect(storage: Storage | None = None) -> duckdb.DuckDBPyConnection:
    """A read-only connection to the product. DiagnosticError when nothing was computed yet."""
    path = database_path(storage or Storage.from_environment())
    if not path.exists():
        raise DiagnosticError(
            f"{path} n’existe pas encore : aucun indicateur n’a été calculé dans ce dossier. "
            "Lancer `make diagnostic` (ou `diagnostic run val-de-lorraine`), ou désigner par DIAGNOSTIC_DATA un "
            "dossier où l’on a déjà calculé."
        )
    return duckdb.connect(on_disk(path), read_only=True)


def write_database(workshop: Workshop) -> UPath:
    """Make the file from the products of the run and swap it in; returns its path."""
    target = database_path(workshop.storage)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / DATABASE
        with duckdb.connect(made) as db:
            db.execute("set enable_progress_bar = false; set threads = 2")
            _fill(db, workshop)
        with replacing(target) as temporary, made.open("rb") as source, temporary.open("wb") as destination:
            shutil.copyfileobj(source, destination, 1 << 20)
    return target


def _fill(db: duckdb.DuckDBPyConnection, workshop: Workshop) -> None:
    catalog, profile = workshop.catalog, workshop.profile
    _figures(db, on_disk(workshop.storage.values))
    tables = {
        "indicators": (indicator_rows(catalog, profile), dictionary.INDICATORS, "Le catalogue des indicateurs."),
        "zones": (workshop.read_zones(), dictionary.ZONES, "Les zones au-dessus de l’IRIS, avec leur nom."),
        "membership": (workshop.read_membership(), dictionary.MEMBERSHIP, "Qui fait partie de quoi (COG 2025)."),
        "axes": (axis_rows(catalog), dictionary.AXES, "Les axes de chaque contrat et leurs indicateurs."),
        "sources": (source_rows(workshop), dictionary.SOURCES, "Les jeux de données du profil."),
        "files": (file_rows(workshop), dictionary.FILES, "Les fichiers employés, avec leur empreinte."),
        "examples": (
            pd.DataFrame(EXAMPLES.items(), columns=list(dictionary.EXAMPLES)),
            dictionary.EXAMPLES,
            "Requêtes d’exemple : `select query from examples`.",
        ),
        "run": (run_row(db, workshop), dictionary.RUN, "L’exécution dont viennent ces chiffres."),
    }
    for name, (frame, columns, text) in tables.items():
        db.register("frame", frame[list(columns)])
        db.execute(f"create table {name} as select * from frame")
        db.unregister("frame")
        comment(db, "table", name, text, columns)
    _patterns(db, workshop)
    _views(db, catalog)


def _patterns(db: duckdb.DuckDBPyConnection, workshop: Workshop) -> None:
    """The typology of France, and the concentrations of the territories for which they are up to date."""
    storage = workshop.storage
    looked = [t for t in sorted(workshop.catalog.territories) if workshop.is_current(f"patterns/{t}")]
    tables = {
        "types": (
            [storage.types("zones")],
            patterns.TYPES,
            dictionary.TYPES,
            "La classe de chaque commune et EPCI (typologie exploratoire).",
        ),
        "type_classes": (
            [storage.types("classes")],
            patterns.CLASSES,
            dictionary.TYPE_CLASSES,
            "Les classes de la typologie.",
        ),
        "type_profiles": (
            [storage.types("profile")],
            patterns.PROFILE,
            dictionary.TYPE_PROFILES,
            "Ce que chaque classe a de propre.",
        ),
        "concentrations": (
            [storage.patterns(territory) / "concentrations.parquet" for territory in looked],
            patterns.CONCENTRATIONS,
            dictionary.CONCENTRATIONS,
            "Où se groupent les valeurs (LISA), dans chaque territoire et autour ; seulement ceux qui sont à jour.",
        ),
        "moran": (
            [storage.patterns(territory) / "moran.parquet" for territory in looked],
            patterns.MORAN,
            dictionary.MORAN,
            "L’indice de Moran de chaque indicateur regardé, par territoire.",
        ),
    }
    for name, (paths, types, columns, text) in tables.items():
        frame = patterns.typed([pd.read_parquet(on_disk(path)) for path in paths], types)
        db.register("frame", frame[list(columns)])
        db.execute(f"create table {name} as select * from frame")
        db.unregister("frame")
        comment(db, "table", name, text, columns)
    named = {"label": "libellé de l’indicateur", "zone_name": "nom de la zone", "class_name": "traits de la classe"}
    db.execute("""
        create view concentrations_named as
        select c.*, i.label, z.zone_name
        from concentrations c
        join indicators i using (indicator_id)
        left join zones z using (zone_type, zone_code)
    """)
    comment(db, "view", "concentrations_named", "Les concentrations, avec les noms.", dictionary.CONCENTRATIONS | named)
    db.execute("""
        create view types_named as
        select t.*, z.zone_name, c.name as class_name, c.stability
        from types t
        left join zones z using (zone_type, zone_code)
        left join type_classes c using (zone_type, class)
    """)
    comment(db, "view", "types_named", "La classe de chaque zone, avec les noms.",
            dictionary.TYPES | dictionary.TYPE_CLASSES | named)  # fmt: skip


def _figures(db: duckdb.DuckDBPyConnection, values: Path) -> None:
    """The long table in two: what varies with the zone, and what is the same over thousands of rows."""
    db.execute(
        """
        create table provenance as
        select row_number() over (order by indicator_id, method, source_version) as provenance_id, *
        from (select distinct indicator_id, unit, method, dataset_ids, source_version, computed_at
              from read_parquet($p))
        """,
        {"p": str(values)},
    )
    db.execute(
        """
        create table figures as
        select p.provenance_id, v.indicator_id, v.zone_type, v.zone_code, v.period, v.numerator, v.denominator, v.value,
               v.ci_low, v.ci_high, v.reliability, v.coverage, v.comparison, true as is_latest
        from read_parquet($p) v join provenance p using (indicator_id, method, source_version)
        """,
        {"p": str(values)},
    )
    # Few indicators have several periods: marking their older rows costs less than ranking every row.
    db.execute("""
        update figures set is_latest = false
        from (
            select indicator_id, zone_type, zone_code, max(period) as period from figures
            where indicator_id in (select indicator_id from figures group by 1 having count(distinct period) > 1)
            group by all
        ) newest
        where figures.indicator_id = newest.indicator_id and figures.zone_type = newest.zone_type
          and figures.zone_code = newest.zone_code and figures.period < newest.period
    """)
    # The join is one to one unless a provenance were null or told twice: then the product would lie.
    (kept, given), *_ = db.execute(
        "select (select count(*) from figures), (select count(*) from read_parquet(?))", [str(values)]
    ).fetchall()
    if kept != given:
        raise DiagnosticError(
            f"{DATABASE} : {kept} lignes sur {given} ont une provenance et une seule dans {values}. "
            "Recalculer les indicateurs : `diagnostic run`."
        )
    own = {"provenance_id": "provenance de la ligne (table provenance)"}
    latest = {"is_latest": "vrai pour la période la plus récente de la zone"}
    comment(db, "table", "figures", "Chaque chiffre ; lire plutôt la vue `indicator_values`.",
            own | dictionary.VALUES | latest)  # fmt: skip
    comment(db, "table", "provenance", "Unité, méthode et sources des chiffres.", own | dictionary.VALUES)


def _views(db: duckdb.DuckDBPyConnection, catalog: Catalog) -> None:
    columns = ", ".join(dictionary.VALUES)
    db.execute(f"""
        create view indicator_values as
        select {columns}, is_latest from figures join provenance using (provenance_id, indicator_id)
    """)
    latest = {"is_latest": "vrai pour la période la plus récente de la zone"}
    comment(db, "view", "indicator_values", "La table publique : une ligne par indicateur, zone et période.",
            dictionary.VALUES | latest)  # fmt: skip
    db.execute(f"""
        create view values_latest as
        select {columns.replace("indicator_id", "v.indicator_id", 1).replace("unit", "v.unit", 1)},
               i.theme_title, i.label, z.zone_name
        from indicator_values v
        join indicators i using (indicator_id)
        left join zones z using (zone_type, zone_code)
        where is_latest
    """)
    named = {
        "theme_title": "thème",
        "label": "libellé de l’indicateur",
        "zone_name": "nom de la zone (vide pour un IRIS)",
    }
    comment(db, "view", "values_latest", "La période la plus récente de chaque indicateur et zone, avec les noms.",
            dictionary.VALUES | named)  # fmt: skip
    known = [name for (name,) in db.sql("select distinct indicator_id from figures order by 1").fetchall()]
    wide = ",\n".join(f"max(value) filter (indicator_id = '{name}') as {name}" for name in known)
    db.execute(f"""
        create view zones_wide as
        select zone_type, zone_code, any_value(zone_name) as zone_name{"," if known else ""} {wide}
        from figures left join zones using (zone_type, zone_code) where is_latest group by zone_type, zone_code
    """)
    labels = {name: f"{catalog.indicators[name].label} ({catalog.indicators[name].unit})" for name in known}
    comment(db, "view", "zones_wide", "Une ligne par zone, une colonne par indicateur (dernière période).",
            dictionary.ZONES | labels)  # fmt: skip


def comment(db: duckdb.DuckDBPyConnection, kind: str, name: str, text: str, columns: Mapping[str, str]) -> None:
    """COMMENT ON a table or view and on those of its columns that `columns` explains."""
    present = [column for (column,) in db.execute(f"select column_name from (describe {name})").fetchall()]
    statements = [f"comment on {kind} {name} is {_quoted(text)}"]
    statements += [f'comment on column {name}."{c}" is {_quoted(columns[c])}' for c in present if c in columns]
    db.execute(";".join(statements))


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def indicator_rows(catalog: Catalog, profile: Profile) -> pd.DataFrame:
    """One row per declared indicator, computable or not."""
    rows = []
    for indicator in catalog.indicators.values():
        theme = catalog.theme_of[indicator.id]
        rows.append(
            {
                "indicator_id": indicator.id,
                "theme": theme.theme,
                "theme_title": theme.title,
                "computable": catalog.is_computable(indicator, profile),
                "formula": formula_text(indicator, catalog, profile) if indicator.formula_for(profile) else "",
                **{
                    name: getattr(indicator, name)
                    for name in ("label", "short", "definition", "unit", "decimals", "direction", "nature", "reserve")
                },
                "unavailable": indicator.unavailable or "",
            }
        )
    return pd.DataFrame(rows, columns=list(dictionary.INDICATORS))


def axis_rows(catalog: Catalog) -> pd.DataFrame:
    rows = [
        (territory.id, order, axis.title, indicator, indicator in axis.complementary)
        for territory in catalog.territories.values()
        for order, axis in enumerate(territory.axes, start=1)
        for indicator in dict.fromkeys((*axis.indicators, *axis.complementary))
    ]
    return pd.DataFrame(rows, columns=list(dictionary.AXES))


def source_rows(workshop: Workshop) -> pd.DataFrame:
    """The datasets of the profile, and those behind the snapshot's figures: every one a row of values may name."""
    rows = [
        {"dataset_id": s.id} | {name: getattr(s, name) for name in dictionary.SOURCES if name != "dataset_id"}
        for s in workshop.catalog.sources.values()
    ]
    return pd.DataFrame(rows, columns=list(dictionary.SOURCES))


def file_rows(workshop: Workshop) -> pd.DataFrame:
    """The files that serve, by their receipts."""
    rows = [
        (source, receipt.distribution, receipt.vintage, receipt.address, receipt.size, receipt.sha256,
         pd.Timestamp(receipt.fetched_at))
        for source in workshop.sources
        for distribution in workshop.distributions(source)
        if (receipt := workshop.receipt(source, distribution)) is not None
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=list(dictionary.FILES))


def run_row(db: duckdb.DuckDBPyConnection, workshop: Workshop) -> pd.DataFrame:
    ((newest,),) = db.execute("select max(computed_at) from provenance").fetchall()
    row = (workshop.profile, newest, code_version(), workshop.stamp("values"))
    return pd.DataFrame([row], columns=list(dictionary.RUN))
