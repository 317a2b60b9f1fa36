"""Checks that warn, beside the blocking contract that each observation asset carries itself (`assets/observations.py`).

One step per dataset that has something to say, one for the public table, one for the outlines. A warning stops
nothing; its page says in French what was found and shows the rows in cause.
"""

from collections.abc import Iterable

import dagster as dg
import geopandas as gpd
import pandas as pd

from assets.geography import outlined
from assets.shared import FROM_WORKSHOP, table
from diagnostics import quality
from diagnostics.catalog import Catalog, Source
from diagnostics.changes.history import last_values
from diagnostics.geography.boundaries import read_boundaries
from diagnostics.geography.stored import read_reference
from diagnostics.sources.contract import CheckResult
from diagnostics.sql import query
from diagnostics.storage import on_disk
from diagnostics.workshop import Workshop

VALUES = dg.AssetKey(["indicators", "values"])
BOUNDARIES = dg.AssetKey(["geography", "boundaries"])

OF_DATASET = {
    "couverture": "Aucune grandeur n’est publiée avec plus de 5 % de valeurs manquantes.",
    "continuite": "D’un millésime au suivant, les mêmes zones et des niveaux qui se suivent.",
    "valeurs_inattendues": "Aucune zone ne quitte brutalement la trajectoire des autres entre les deux derniers "
    "millésimes.",
    "reconciliation": "La somme des zones fines égale le total publié au-dessus, à 0,5 % près.",
}
OF_VALUES = {
    "couverture_nationale": "Chaque indicateur repose sur au moins 95 % de la population de la France.",
    "valeurs_impossibles": "Aucune part ne sort de 0 à 100 %, aucun effectif n’est négatif.",
    "sommes_par_niveau": "Les effectifs des communes, départements et régions somment à celui de la France.",
    "totaux_publies": "Les effectifs nationaux, une fois portés au COG pivot, égalent les totaux publiés.",
    "ecarts_avec_la_derniere_fois": "À période égale, aucun repère ne bouge de plus de 25 % depuis la dernière copie "
    "datée.",
}
OUTLINES = "contours_de_france"


def quality_checks(catalog: Catalog) -> list[dg.AssetChecksDefinition]:
    """Every warning of the house, generated from the cards."""
    observed = [s for s in catalog.sources.values() if s.joined or any(d.observations for d in s.distributions)]
    return [*(_dataset_checks(source) for source in observed), _values_checks(catalog), _outline_check()]


def _dataset_checks(source: Source) -> dg.AssetChecksDefinition:
    key = dg.AssetKey(["observations", source.id])
    names = ["couverture"]
    if quality.has_several_periods(source):
        names += ["continuite", "valeurs_inattendues"]
    if quality.has_several_levels(source):
        names.append("reconciliation")
    measures = {
        "couverture": quality.coverage,
        "continuite": quality.continuity,
        "valeurs_inattendues": quality.outliers,
        "reconciliation": lambda frame: quality.reconciliation(source, frame),
    }

    @dg.multi_asset_check(
        name=f"qualite_{source.id}",
        specs=[dg.AssetCheckSpec(name, asset=key, description=OF_DATASET[name]) for name in names],
        can_subset=True,
        required_resource_keys=FROM_WORKSHOP,
    )
    def checks(context):
        workshop: Workshop = context.resources.workshop
        asked = {check.name for check in context.selected_asset_check_keys}
        if source.id not in workshop.observed:
            yield from (_nothing_here(key, name, workshop) for name in names if name in asked)
            return
        frame = pd.read_parquet(on_disk(workshop.observations_path(source.id)))
        yield from (as_warning(key, measures[name](frame)) for name in names if name in asked)

    return checks


def _values_checks(catalog: Catalog) -> dg.AssetChecksDefinition:
    agreements = quality.load_agreements(catalog.folder)
    described = OF_VALUES | {a.id: f"Accord entre sources : {a.title}." for a in agreements}

    @dg.multi_asset_check(
        name="qualite_indicateurs",
        specs=[dg.AssetCheckSpec(name, asset=VALUES, description=text) for name, text in described.items()],
        can_subset=True,
        required_resource_keys=FROM_WORKSHOP,
    )
    def checks(context):
        workshop: Workshop = context.resources.workshop
        asked = {check.name for check in context.selected_asset_check_keys}
        for result in _results_of_values(workshop, agreements):
            if result.name in asked:
                yield as_warning(VALUES, result)

    return checks


def _results_of_values(workshop: Workshop, agreements: list[quality.Agreement]) -> Iterable[CheckResult]:
    catalog, profile = workshop.catalog, workshop.profile
    # Each check reads the few rows and columns that it looks at: the whole table takes a gigabyte.
    benchmarks = _rows(workshop, "* exclude (file_row_number)", "zone_type in ('france', 'region', 'departement')")
    yield quality.national_coverage(benchmarks)
    refused = f"zone_type <> 'iris' and contains(method, '{quality.REFUSED}')"
    yield quality.impossible_values(_rows(workshop, "indicator_id, zone_type, zone_code, period, method", refused))
    counts = [i for i, indicator in catalog.indicators.items() if _is_count(indicator.formula_for(profile))]
    counted = f"zone_type in {quality.ZONE_LEVELS} and indicator_id in (select unnest($counts))"
    counted = _rows(workshop, "indicator_id, period, zone_type, value, coverage", counted, counts=counts)
    yield quality.sums_of_zones(counted, counts)
    yield quality.published_totals(benchmarks, catalog, profile)
    yield quality.against_last_time(benchmarks, last_values(workshop.storage.processed, profile))
    members = {declared.id: quality.comparable(declared, catalog, profile) for declared in agreements}
    compared = quality.variables_of(member for views in members.values() for member in views)
    rows = workshop.read_observations(compared) if compared else []
    observations = pd.concat(rows, ignore_index=True) if rows else pd.DataFrame()
    for declared in agreements:
        yield quality.agreement(declared, members[declared.id], observations)


def _rows(workshop: Workshop, columns: str, condition: str, **parameters: object) -> pd.DataFrame:
    """The rows of the public table where `condition` holds, as they stand in it."""
    return query(
        f"select {columns} from read_parquet($path, file_row_number = true) where {condition} order by file_row_number",
        {"path": str(on_disk(workshop.storage.values)), **parameters},
    )


def _outline_check() -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=BOUNDARIES,
        name=OUTLINES,
        description="Chaque commune, EPCI, CLS et département a son contour, une seule fois.",
        required_resource_keys=FROM_WORKSHOP,
    )
    def check(context) -> dg.AssetCheckResult:
        workshop: Workshop = context.resources.workshop
        membership = workshop.read_membership()
        communes = read_reference(workshop.storage.geography).communes
        expected = {"commune": set(communes["code"])}
        expected |= {
            level: set(membership.loc[membership["parent_type"].eq(level), "parent_code"])
            for level in outlined(workshop.catalog)
        }
        drawn = {level: _drawn(read_boundaries(workshop.storage.geography, level)) for level in expected}
        return as_warning(BOUNDARIES, quality.outline_counts(expected, drawn))

    return check


def _drawn(frames: dict[int, gpd.GeoDataFrame]) -> set[str]:
    return {code for frame in frames.values() for code in frame["code"]}


def _is_count(formula) -> bool:
    return formula is not None and formula.kind == "sum"


def _nothing_here(key: dg.AssetKey, name: str, workshop: Workshop) -> dg.AssetCheckResult:
    detail = f"Aucune observation de ce jeu dans le profil « {workshop.profile} »."
    return as_warning(key, CheckResult(name, True, detail))


def as_warning(key: dg.AssetKey, result: CheckResult) -> dg.AssetCheckResult:
    """A finding as Dagster shows it: the sentence, then the rows in cause as a table."""
    metadata = {}
    if not result.passed and result.failed_rows is not None:
        metadata["Lignes en cause"] = table(result.failed_rows)
    return dg.AssetCheckResult(
        passed=bool(result.passed),
        check_name=result.name,
        asset_key=key,
        severity=dg.AssetCheckSeverity.WARN,
        description=result.detail,
        metadata=metadata,
    )
