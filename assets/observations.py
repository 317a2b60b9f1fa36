"""Stage 2: typed facts held to the card's contract. One asset per source card, checked before it replaces the last.

A file that breaks its contract leaves the former product in place and fails the blocking check of its asset.
"""

import dagster as dg
import pandas as pd

from assets.shared import GROUP_OBSERVATIONS, asset, count, identity, table, table_metadata, tag_text
from diagnostics.catalog import Catalog, Source
from diagnostics.errors import SourceError
from diagnostics.sources.contract import CheckResult, check, check_table
from diagnostics.sources.history import with_history
from diagnostics.sources.joining import observe_joined
from diagnostics.sources.observe import observe, read_table
from diagnostics.storage import write_parquet
from diagnostics.workshop import PROFILES, Workshop

COLUMNS = {
    "dataset_id": "jeu de données",
    "variable": "grandeur, déclarée dans la carte de la source",
    "geo_type": "type de zone, au niveau publié par le producteur",
    "geo_code": "code de la zone (texte)",
    "cog_year": "année du code officiel géographique des communes",
    "period": "année ou période que décrit la valeur",
    "value": "valeur ; vide si secrète ou inconnue",
    "status": "ok, secret ou missing : un secret n'est jamais un zéro",
}
CONTRACT = "contrat"


def observation_assets(catalog: Catalog) -> list[dg.AssetsDefinition]:
    return [
        _observation_asset(source, {name for profile in PROFILES for name in catalog.beside(source.id, profile)})
        for source in catalog.sources.values()
    ]


def _observation_asset(source: Source, beside: set[str]) -> dg.AssetsDefinition:
    """`beside`: the other datasets whose tables it brings beside its own."""
    key = dg.AssetKey(["observations", source.id])

    @asset(
        "observations",
        source.id,
        group=GROUP_OBSERVATIONS,
        kinds={"duckdb", "parquet"},
        deps=[["raw", source.id], *(["observations", dataset] for dataset in sorted(beside))],
        tags={"theme": tag_text(source.theme)},
        metadata=identity(source),
        description=f"Faits typés tirés de « {source.title} » ({source.producer}), tenus au contrat de la carte "
        f"`catalog/sources/{source.id}.yaml`.",
        check_specs=[
            dg.AssetCheckSpec(
                CONTRACT,
                asset=key,
                blocking=True,
                description="Colonnes, clés, bornes, nombre de lignes et totaux de contrôle déclarés dans la carte.",
            )
        ],
    )
    def observations(context):
        workshop: Workshop = context.resources.workshop
        workshop.announce(f"Observations : {source.title}")
        frames, tables, results = [], {}, []
        for distribution in workshop.present(source.id):
            file = workshop.raw_file(source.id, distribution)
            if distribution.table is not None:
                table = read_table(source, distribution, file.path)
                results += [(distribution.id, r) for r in check_table(distribution, table)]
                tables[distribution.table_name] = table
            if distribution.observations:
                frame = with_history(
                    observe(source, distribution, file.path), source, distribution, file, workshop.storage
                )
                results += [(distribution.id, r) for r in check(source, distribution, frame)]
                frames.append(frame)
        for joined in workshop.joined(source.id):
            held = {name: tables[name] if name in tables else workshop.read_table(name) for name in joined.tables}
            frame, matched = observe_joined(source, joined, held)
            results += [(joined.id, r) for r in (*matched, *check(source, joined, frame))]
            frames.append(frame)
        failed = [r for _, r in results if not r.passed]
        yield dg.AssetCheckResult(
            check_name=CONTRACT,
            asset_key=key,
            passed=not failed,
            severity=dg.AssetCheckSeverity.ERROR,
            description=_verdict(results),
            metadata=_explain(results),
        )
        if failed:
            raise SourceError(
                f"{source.title} : le fichier ne respecte pas son contrat, le produit précédent reste en place. "
                + " ; ".join(r.detail for r in failed[:5])
            )
        for name, table in tables.items():
            write_parquet(table, workshop.table_path(source.id, name))
        facts = pd.concat(frames, ignore_index=True) if frames else None
        if facts is not None:
            write_parquet(facts, workshop.observations_path(source.id))
        stamp = workshop.record(f"observations/{source.id}")
        used = dict.fromkeys(workshop.raw_file(source.id, d).receipt.vintage for d in workshop.present(source.id))
        vintages = {"Dernier millésime": ", ".join(used) or "aucun fichier dans ce profil"}
        yield dg.MaterializeResult(
            asset_key=key, metadata=vintages | _metadata(source, facts, tables), data_version=dg.DataVersion(stamp)
        )

    return observations


Results = list[tuple[str, CheckResult]]
"""What each clause gave, and of which distribution."""

CLAUSES = {
    "schema": "colonnes et codes", "unique_keys": "clés", "forbidden_columns": "colonnes interdites",
    "rows": "nombre de lignes", "range": "bornes", "part": "partie d’un tout",
    "control": "total de contrôle",
}  # fmt: skip


def _clause(name: str) -> str:
    return CLAUSES.get(name) or CLAUSES.get(name.split("_", maxsplit=1)[0], name)


def _verdict(results: Results) -> str:
    """What a reader must know before opening anything."""
    failed = [(place, r) for place, r in results if not r.passed]
    if not failed:
        return f"{count(len(results), 'clause')} de la carte : toutes tenues."
    broken = " ; ".join(f"{_clause(r.name)} de `{place}` : {r.detail}" for place, r in failed[:5])
    return f"{count(len(failed), 'clause')} non tenue{'s' if len(failed) > 1 else ''} sur {len(results)}. {broken}"


def _explain(results: Results) -> dict[str, dg.MetadataValue]:
    """The rows in cause, then every clause, broken ones first."""
    clauses = pd.DataFrame(
        [
            {"résultat": "tenue" if r.passed else "NON TENUE", "clause": _clause(r.name), "fichier": place,
             "détail": r.detail}
            for place, r in sorted(results, key=lambda result: result[1].passed)
        ]
    )  # fmt: skip
    rows = {
        f"Lignes en cause : {_clause(r.name)} ({place}, {r.name})": table(r.failed_rows)
        for place, r in results
        if not r.passed and r.failed_rows is not None
    }
    return rows | {"Clauses": table(clauses, len(clauses))}


def _metadata(source: Source, facts: pd.DataFrame | None, tables: dict[str, pd.DataFrame]) -> dict:
    metadata = {f"Table {name}": count(len(table), "ligne") for name, table in tables.items()}
    if facts is None:
        return metadata
    present = set(facts["variable"].unique())
    columns = _producer_columns(source)
    variables = pd.DataFrame(
        [
            {"variable": name, "sens": v.label, "unité": v.unit, "chez le producteur": columns.get(name)}
            for name, v in source.variables.items()
            if name in present
        ]
    )
    return (
        metadata
        | table_metadata(facts, COLUMNS)
        | {
            "Variables": table(variables, len(variables)),
            "Valeurs secrètes": dg.MetadataValue.int(int((facts["status"] == "secret").sum())),
            "Valeurs manquantes": dg.MetadataValue.int(int((facts["status"] == "missing").sum())),
        }
    )


def _producer_columns(source: Source) -> dict[str, str]:
    """variable -> the columns or expressions of the producer's files that it comes from: its lineage, in words."""
    found: dict[str, list[str]] = {}
    for part in (*source.distributions, *source.joined):
        for block in part.observations:
            for name, value in block.values.items():
                found.setdefault(name, []).append(value if isinstance(value, str) else value.column)
    return {name: ", ".join(dict.fromkeys(texts)) for name, texts in found.items()}
