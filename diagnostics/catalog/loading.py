"""Reading `catalog/` into models, and the checks that need several cards at once."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from diagnostics.catalog import models
from diagnostics.catalog.models import Indicator, Profile, Source, Territory, Theme
from diagnostics.errors import CatalogError
from diagnostics.storage import PROJECT_ROOT

CATALOG = PROJECT_ROOT / "catalog"
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Catalog:
    """Every card, by identifier. `folder` is where they were read."""

    folder: Path
    sources: dict[str, Source]
    themes: dict[str, Theme]
    territories: dict[str, Territory]

    @cached_property
    def indicators(self) -> dict[str, Indicator]:
        return {i.id: i for theme in self.themes.values() for i in theme.indicators}

    @cached_property
    def theme_of(self) -> dict[str, Theme]:
        return {i.id: theme for theme in self.themes.values() for i in theme.indicators}

    def territory(self, territory_id: str) -> Territory:
        if territory_id in self.territories:
            return self.territories[territory_id]
        raise CatalogError(
            f"Territoire inconnu : « {territory_id} ».{suggestion(territory_id, self.territories)} "
            f"Territoires déclarés : {', '.join(sorted(self.territories))}. "
            "Pour en ajouter un : `diagnostic new-territory`."
        )

    def of_indicators(self, names: Collection[str]) -> Catalog:
        """The same catalogue with these indicators only."""
        themes = {
            key: theme.model_copy(update={"indicators": [i for i in theme.indicators if i.id in names]})
            for key, theme in self.themes.items()
        }
        return replace(self, themes=themes)

    def is_computable(self, indicator: Indicator, profile: Profile) -> bool:
        """Whether the distributions of `profile` give every variable, and table, of the indicator's formula."""
        formula = indicator.formula_for(profile)
        if formula is None:
            return False
        available = self._available[profile]
        known = [available.get(t.variable, frozenset()) & {t.period, "*"} for t in formula.terms()]
        if formula.kind == "derived" and not set(formula.tables) <= set(self.table_owners(profile)):
            return False
        # Each term of a published figure is one vintage of it: one is enough.
        return any(known) if formula.kind == "published" else all(known)

    @cached_property
    def _available(self) -> dict[Profile, dict[str, set[str]]]:
        return {profile: self.available_variables(profile) for profile in ("embedded", "mirror", "official")}

    def table_owners(self, profile: Profile) -> dict[str, str]:
        """table -> the dataset that gives it in `profile`."""
        return {d.table_name: s.id for s in self.sources.values() for d in s.of_profile(profile) if d.table is not None}

    def beside(self, dataset: str, profile: Profile) -> list[str]:
        """The other datasets whose tables this one brings beside its own (`joined`)."""
        asked = {name for joined in self.sources[dataset].joined_of(profile) for name in joined.tables}
        owners = self.table_owners(profile) if asked else {}
        return sorted({owners[name] for name in asked if name in owners} - {dataset})

    def available_variables(self, profile: Profile) -> dict[str, set[str]]:
        """variable -> periods that the distributions of `profile` can give ({"*"} when read from the file)."""
        found: dict[str, set[str]] = {}
        for source in self.sources.values():
            for part in source.observing(profile):
                for block in part.observations:
                    for variable in block.values:
                        found.setdefault(variable, set()).add(block.period or "*")
            for distribution in source.of_profile(profile):
                for variable, kept in distribution.history.values.items() if distribution.history else ():
                    found.setdefault(variable, set()).add(kept.period or "*")
        return found


def suggestion(word: str, among: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(among), n=1)
    return f" Vouliez-vous dire « {close[0]} » ?" if close else ""


def load_catalog(folder: Path = CATALOG) -> Catalog:
    """Read and cross-check every card under `folder`. Raises CatalogError on the first file that is wrong."""
    folder = Path(folder)
    sources = _load_folder(folder / "sources", Source, "id")
    themes = _load_folder(folder / "indicators", Theme, "theme")
    territories = _load_folder(folder / "territories", Territory, "id")
    catalog = Catalog(folder, sources, themes, territories)
    _check_joined(catalog)
    _check_indicators(catalog)
    _check_variables(catalog)
    _check_on_demand(catalog)
    _check_axes(catalog)
    return catalog


def _load_folder(folder: Path, model: type[Model], key: str) -> dict[str, Model]:
    if not folder.is_dir():
        raise CatalogError(f"{folder} : dossier absent. Le catalogue contient sources/, indicators/, territories/.")
    cards = {}
    for path in sorted(folder.glob("*.yaml")):
        card = load_card(path, model)
        identifier = getattr(card, key)
        if identifier != path.stem:
            raise CatalogError(
                f"{_name(path)} : clé `{key}` = « {identifier} », mais le fichier s'appelle « {path.stem} ». "
                "Les deux doivent être égaux : renommer l'un ou l'autre."
            )
        cards[identifier] = card
    return cards


def load_card(path: Path, model: type[Model]) -> Model:
    """One YAML file as one model."""
    try:
        # The same loader as `safe_load`, in C: a hundred cards in a tenth of a second instead of a whole one.
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"ligne {mark.line + 1}, colonne {mark.column + 1}" if mark else "position inconnue"
        raise CatalogError(f"{_name(path)}, {where} : YAML illisible ({getattr(error, 'problem', error)}).") from error
    if not isinstance(content, dict):
        raise CatalogError(f"{_name(path)} : le fichier doit contenir des clés et des valeurs.")
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise CatalogError(_explain(path, error)) from error


def _explain(path: Path, error: ValidationError) -> str:
    lines = []
    for problem in error.errors()[:5]:
        key = ".".join(str(part) for part in problem["loc"]) or "(fichier)"
        if problem["type"] == "extra_forbidden":
            lines.append(f"clé inconnue `{key}`.{suggestion(str(problem['loc'][-1]), _known_keys())}")
        elif problem["type"] == "missing":
            lines.append(f"clé obligatoire absente `{key}` : l'ajouter.")
        else:
            lines.append(
                f"clé `{key}` : {problem['msg'].removeprefix('Value error, ')} (lu : {problem['input']!r:.80})"
            )
    return f"{_name(path)} :\n  - " + "\n  - ".join(lines)


def _known_keys() -> set[str]:
    """Every key the models know: enough to suggest the nearest word."""
    known = [m for m in vars(models).values() if isinstance(m, type) and issubclass(m, BaseModel)]
    return {name for model in known for name in model.model_fields}


def _check_joined(catalog: Catalog) -> None:
    """The tables that a card brings together are given in each profile where it does."""
    for source in catalog.sources.values():
        for joined in source.joined:
            for profile in joined.profiles:
                owners = catalog.table_owners(profile)
                for name in joined.tables:
                    if name not in owners:
                        raise CatalogError(
                            f"sources/{source.id}.yaml, rapprochement `{joined.id}` : aucune distribution du profil "
                            f"« {profile} » ne donne la table `{name}`.{suggestion(name, owners)}"
                        )


def _check_indicators(catalog: Catalog) -> None:
    seen: dict[str, str] = {}
    for theme in catalog.themes.values():
        for indicator in theme.indicators:
            if indicator.id in seen:
                raise CatalogError(
                    f"indicators/{theme.theme}.yaml : l'indicateur `{indicator.id}` existe déjà dans "
                    f"indicators/{seen[indicator.id]}.yaml. En renommer un."
                )
            seen[indicator.id] = theme.theme


def _check_variables(catalog: Catalog) -> None:
    """Each formula names variables some distribution of its profile gives, at a period it gives."""
    declared = {v for source in catalog.sources.values() for v in source.variables}
    available = {p: catalog.available_variables(p) for p in ("embedded", "mirror", "official")}
    everywhere: dict[str, set[str]] = {}
    for variables in available.values():
        for variable, periods in variables.items():
            everywhere.setdefault(variable, set()).update(periods)
    for theme in catalog.themes.values():
        for indicator in theme.indicators:
            earlier = [(profile, formula) for profile, some in indicator.earlier.items() for formula in some]
            for profile, formula in [(None, indicator.formula), *indicator.formulas.items(), *earlier]:
                if formula is None:
                    continue
                given = available[profile] if profile else everywhere
                for term in formula.terms():
                    place = f"indicators/{theme.theme}.yaml, indicateur `{indicator.id}`"
                    if term.variable not in declared:
                        raise CatalogError(
                            f"{place} : variable inconnue `{term.variable}`.{suggestion(term.variable, declared)} "
                            "Les variables se déclarent sous `variables` dans catalog/sources/."
                        )
                    periods = given.get(term.variable, set())
                    if "*" not in periods and term.period not in periods:
                        scope = f"le profil « {profile} »" if profile else "aucun profil"
                        raise CatalogError(
                            f"{place} : la période `{term.variable}@{term.period}` n'est donnée par {scope} "
                            f"(périodes connues : {', '.join(sorted(periods)) or 'aucune'})."
                        )


def _check_on_demand(catalog: Catalog) -> None:
    """No indicator waits for a dataset that a run does not fetch."""
    owners = {variable: s.id for s in catalog.sources.values() if s.on_demand for variable in s.variables}
    for indicator in catalog.indicators.values():
        for formula in (indicator.formula, *indicator.formulas.values()):
            for term in formula.terms() if formula else ():
                if term.variable in owners:
                    raise CatalogError(
                        f"sources/{owners[term.variable]}.yaml : `on_demand: true`, alors que l'indicateur "
                        f"`{indicator.id}` demande `{term.variable}`. Retirer `on_demand` : un calcul irait sans lui."
                    )


def _check_axes(catalog: Catalog) -> None:
    for territory in catalog.territories.values():
        for axis in territory.axes:
            for indicator_id in (*axis.indicators, *axis.complementary):
                if indicator_id not in catalog.indicators:
                    raise CatalogError(
                        f"territories/{territory.id}.yaml, axe `{axis.id}` : indicateur inconnu `{indicator_id}`."
                        f"{suggestion(indicator_id, catalog.indicators)}"
                    )


def _name(path: Path) -> str:
    return f"catalog/{path.parent.name}/{path.name}"
