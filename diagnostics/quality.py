"""What deserves a look in figures that keep their contract: coverage, continuity, outliers, sums, agreements.

Every function is pure and returns `CheckResult`s: a French name, a French sentence, and the rows in cause. None of
them refuses a file (contracts and control totals do, `diagnostics.sources.contract`): they warn.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import pandas as pd
from pydantic import Field

from diagnostics import french
from diagnostics.catalog import Catalog, Profile, Source, load_card
from diagnostics.catalog.loading import CATALOG
from diagnostics.catalog.models import Card, Identifier, parse_terms
from diagnostics.indicators.engine import REFUSED
from diagnostics.sources.contract import CheckResult

MISSING_SHARE = 0.05
"""Above this share of unknown values, a published quantity is pointed out."""

ZONES_MOVE = 0.10
LEVEL_MOVES_PER_YEAR = 0.30
"""From one period to the next: share of zones that come or go, and yearly drift of the total of the common ones."""

OUTLIER_SCORE = 25.0
OUTLIER_MOVES = 0.5
"""A zone is out of line when its change is that many robust deviations from the median change, and that large."""

TOTAL_GAP = 0.005
RUN_MOVES = 0.25

LEVELS = ("commune", "departement", "region", "france")
"""Levels that partition France, finest first. Sums of a finer one must give the total of a coarser one."""

DISTRICTS = {"75056": "751", "69123": "6938", "13055": "132"}
"""Commune -> how the codes of its municipal arrondissements begin."""

ZONE_LEVELS = ("commune", "epci", "departement", "region", "france")


class Member(Card):
    """One view of a quantity: a variable at a period and a level, summed or averaged, as it is or per something."""

    variable: Identifier
    period: str
    geo_type: str
    statistic: Literal["sum", "mean"] = "sum"
    per: str | None = None
    multiplier: float = 1.0

    @property
    def label(self) -> str:
        return f"{self.variable}@{self.period}"


class Agreement(Card):
    """The same quantity by several producers."""

    id: Identifier
    title: str
    level: Literal["departement", "france"]
    tolerance: Annotated[float, Field(gt=0)]
    members: list[Member] = Field(min_length=2)


class Agreements(Card):
    """`catalog/agreements.yaml`."""

    agreements: list[Agreement]


def load_agreements(folder: Path = CATALOG) -> list[Agreement]:
    """The agreements of a catalogue; none when it declares none. Raises CatalogError."""
    path = folder / "agreements.yaml"
    return load_card(path, Agreements).agreements if path.exists() else []


def comparable(agreement: Agreement, catalog: Catalog, profile: Profile) -> list[Member]:
    """The members that the profile can give."""
    available = catalog.available_variables(profile)
    return [m for m in agreement.members if available.get(m.variable, set()) & {m.period, "*"}]


def variables_of(members: Iterable[Member]) -> list[str]:
    """The variables that an agreement reads, denominators included."""
    names = [n for m in members for n in (m.variable, *(t.variable for t in (parse_terms(m.per) if m.per else ())))]
    return list(dict.fromkeys(names))


# --- one dataset ------------------------------------------------------------------------------------------------------


def coverage(observations: pd.DataFrame) -> CheckResult:
    """Quantities published with more than `MISSING_SHARE` of missing values (secret ones are not missing).

    A period for which nothing at all is known was not published: it counts only when no other period is known either.
    """
    groups = observations.assign(manquantes=observations["status"].eq("missing")).groupby(
        ["variable", "geo_type", "period"], observed=True
    )
    table = groups["manquantes"].agg(zones="size", manquantes="sum", part="mean").reset_index()
    never = table.groupby("variable", observed=True)["part"].transform("min").eq(1)
    published = table["part"].lt(1) | never
    poor = table[published & (table["part"] > MISSING_SHARE)].sort_values("part", ascending=False)
    if poor.empty:
        return CheckResult("couverture", True, f"Aucune grandeur n'a plus de {_share(MISSING_SHARE)} de manquants.")
    return CheckResult(
        "couverture",
        False,
        f"{_many(len(poor), 'grandeur publiée', 'grandeurs publiées')} avec plus de {_share(MISSING_SHARE)} de valeurs "
        f"manquantes ; la plus trouée : `{poor.iloc[0]['variable']}` ({_share(poor.iloc[0]['part'])}).",
        poor.head(20),
    )


def continuity(observations: pd.DataFrame) -> CheckResult:
    """From one vintage of a quantity to the next, do the zones stay and does the level keep its order?"""
    broken = [row for before, after in _successive(observations) if (row := _break(before, after)) is not None]
    if not broken:
        return CheckResult("continuite", True, "D'un millésime au suivant, les zones et les niveaux se suivent.")
    return CheckResult(
        "continuite",
        False,
        f"{_many(len(broken), 'rupture', 'ruptures')} entre deux millésimes : zones apparues ou disparues, ou niveau "
        "déplacé.",
        pd.DataFrame(broken).head(20),
    )


def outliers(observations: pd.DataFrame) -> CheckResult:
    """Zones whose value left its course between the last two vintages, against the spread of all the others."""
    last = {(b["variable"].iloc[0], b["geo_type"].iloc[0]): (b, a) for b, a in _successive(observations)}
    found = [rows for before, after in last.values() if len(rows := _off_course(before, after))]
    if not found:
        return CheckResult(
            "valeurs_inattendues", True, "Aucune zone ne s'écarte brutalement de son millésime précédent."
        )
    rows = pd.concat(found, ignore_index=True).sort_values("score", ascending=False)
    return CheckResult(
        "valeurs_inattendues",
        False,
        f"{_many(len(rows), 'zone quitte', 'zones quittent')} brutalement la trajectoire des autres entre deux "
        "millésimes. Vérifier une fusion, une ouverture, une erreur de saisie.",
        rows.head(20),
    )


def reconciliation(source: Source, observations: pd.DataFrame) -> CheckResult:
    """Of a stock published at several levels, do the finer zones add up to the coarser total?"""
    stocks = [name for name, variable in source.variables.items() if variable.carry == "sum"]
    known = observations[observations["variable"].isin(stocks) & observations["status"].eq("ok")]
    totals = known.groupby(["variable", "period", "geo_type"], observed=True)["value"].sum().unstack("geo_type")
    levels = [level for level in LEVELS if level in totals.columns]
    rows = [
        {"variable": v, "période": p, "niveau fin": fine, "somme": row[fine], "niveau": coarse, "publié": row[coarse]}
        for (v, p), row in totals.iterrows()
        for fine, coarse in pairwise(levels)
        if abs(row[fine] - row[coarse]) > TOTAL_GAP * abs(row[coarse])
    ]
    if not rows:
        return CheckResult("reconciliation", True, "Les sommes des niveaux fins égalent les totaux publiés.")
    return CheckResult(
        "reconciliation",
        False,
        f"{_many(len(rows), 'total publié diffère', 'totaux publiés diffèrent')} de la somme de leurs parties de plus "
        f"de {_share(TOTAL_GAP)}.",
        pd.DataFrame(rows).head(20),
    )


def has_several_periods(source: Source) -> bool:
    """Whether some quantity of the card comes with more than one period."""
    periods: dict[str, set[str]] = {}
    for part in (*source.distributions, *source.joined):
        for block in part.observations:
            for name in block.values:
                periods.setdefault(name, set()).add(block.period or "*")
    return any("*" in found or len(found) > 1 for found in periods.values())


def has_several_levels(source: Source) -> bool:
    """Whether some stock of the card is published at more than one level."""
    levels: dict[str, set[str]] = {}
    for part in (*source.distributions, *source.joined):
        for block in part.observations:
            for name in block.values:
                levels.setdefault(name, set()).update(g.type for g in block.geo if g.type in LEVELS)
    return any(len(found) > 1 and source.variables[name].carry == "sum" for name, found in levels.items())


# --- several datasets -------------------------------------------------------------------------------------------------


def agreement(declared: Agreement, members: list[Member], observations: pd.DataFrame) -> CheckResult:
    """Hold the views of one quantity against the first one. `observations`: the rows of the variables involved."""
    if len(members) < 2:
        return CheckResult(declared.id, True, f"{declared.title} : une seule source dans ce profil, rien à comparer.")
    views = {m.label: _view(m, declared.level, observations) for m in members}
    table = pd.DataFrame(views)
    first = table.columns[0]
    # A zone that one source does not know at all is a matter of coverage, not of agreement.
    common = table.dropna()
    gap = common.sub(common[first], axis=0).abs().div(common[first].abs(), axis=0).max(axis=1)
    apart = common.assign(écart=gap)[gap > declared.tolerance].sort_values("écart", ascending=False)
    totals = " ; ".join(f"{name} : {_figure(common[name].sum())}" for name in common.columns)
    where = _many(len(common), "zone comparée", "zones comparées")
    if apart.empty and len(common):
        detail = f"{declared.title} : accord à {_share(declared.tolerance)} près ({where}). {totals}."
        return CheckResult(declared.id, True, detail)
    detail = (
        f"{declared.title} : {len(apart)} désaccord(s) de plus de {_share(declared.tolerance)} ({where}). {totals}."
    )
    return CheckResult(declared.id, False, detail, apart.rename_axis("zone").reset_index().head(20))


# --- the public table -------------------------------------------------------------------------------------------------


def national_coverage(values: pd.DataFrame, floor: float = 0.95) -> CheckResult:
    """Indicators whose national figure rests on less than `floor` of the population, or is withheld."""
    france = values[values["zone_type"].eq("france")]
    poor = france[(france["coverage"] < floor) | france["value"].isna()]
    if poor.empty:
        return CheckResult(
            "couverture_nationale", True, f"Chaque indicateur couvre au moins {_share(floor)} de la France."
        )
    shown = poor[["indicator_id", "period", "coverage", "reliability", "value"]].sort_values("coverage")
    detail = (
        f"{_many(len(poor), 'indicateur', 'indicateurs')} sous {_share(floor)} de couverture nationale, ou masqués."
    )
    return CheckResult("couverture_nationale", False, detail, shown.head(20))


def impossible_values(values: pd.DataFrame) -> CheckResult:
    """Figures that the engine refused: a share over 100 %, a negative count. `method` tells what was found."""
    # Millions of rows share a few hundred methods.
    told = [method for method in values["method"].dropna().unique() if REFUSED in method]
    refused = values[values["method"].isin(told)]
    if refused.empty:
        return CheckResult(
            "valeurs_impossibles", True, "Aucune part ne sort de 0 à 100 %, aucun effectif n'est négatif."
        )
    first = refused.iloc[0]
    return CheckResult(
        "valeurs_impossibles",
        False,
        f"{_many(len(refused), 'valeur refusée', 'valeurs refusées')} : les fichiers se contredisent. La première : "
        f"`{first['indicator_id']}`, {first['zone_type']} {first['zone_code']}.",
        refused[["indicator_id", "zone_type", "zone_code", "period", "method"]].head(20),
    )


def sums_of_zones(values: pd.DataFrame, additive: Iterable[str]) -> CheckResult:
    """Counts of the communes, EPCI, départements and régions against the count of France, where all are known."""
    rows = values[values["indicator_id"].isin(list(additive)) & values["zone_type"].isin(ZONE_LEVELS)]
    keys = ["indicator_id", "period"]
    totals = rows.groupby([*keys, "zone_type"], observed=True)["value"].sum().unstack("zone_type")
    whole = rows[rows["zone_type"].eq("france") & rows["coverage"].ge(1) & rows["value"].notna()]
    totals = totals.loc[totals.index.isin(pd.MultiIndex.from_frame(whole[keys]))]
    apart = [
        {"indicateur": i, "période": p, "niveau": level, "somme": row[level], "France": row["france"]}
        for (i, p), row in totals.iterrows()
        # Some communes belong to no EPCI: its sum may only be below.
        for level in ("commune", "departement", "region")
        if level in row and abs(row[level] - row["france"]) > 1e-6 * max(abs(row["france"]), 1)
    ]
    if apart:
        detail = f"{_many(len(apart), 'somme diffère', 'sommes diffèrent')} du total national."
        return CheckResult("sommes_par_niveau", False, detail, pd.DataFrame(apart).head(20))
    detail = f"{_many(len(totals), 'effectif', 'effectifs')} : communes, départements et régions somment à la France."
    return CheckResult("sommes_par_niveau", True, detail)


def published_totals(values: pd.DataFrame, catalog: Catalog, profile: Profile) -> CheckResult:
    """National counts at the pivot geography against the totals that the cards declare, to the tolerance they state.

    A control restricted by `where` speaks of a part of the file and is left to the contract.
    """
    controls: dict[tuple[str, str], list] = {}
    for source in catalog.sources.values():
        for control in source.controls:
            if control.sum is not None and control.where is None and control.geo_type == "commune":
                controls.setdefault((control.variable, control.period), []).append(control)
    france = values[values["zone_type"].eq("france")].set_index("indicator_id")["value"]
    rows, apart = 0, []
    for indicator in catalog.indicators.values():
        formula = indicator.formula_for(profile)
        if formula is None or formula.kind != "sum" or indicator.id not in france.index:
            continue
        known = [controls.get((t.variable, t.period)) for t in formula.terms()]
        if not all(known) or any(len(c) > 1 for c in known):
            continue
        expected = sum(t.coefficient * c[0].sum for t, c in zip(formula.terms(), known, strict=True))
        tolerance = max(sum(c[0].tolerance for c in known), 0.5)
        found = float(france.loc[[indicator.id]].iloc[0])
        rows += 1
        if not abs(found - expected) <= tolerance:
            apart.append({"indicateur": indicator.id, "France": found, "publié": expected, "écart": found - expected})
    if apart:
        detail = f"{_many(len(apart), 'total national diffère', 'totaux nationaux diffèrent')} du total publié."
        return CheckResult("totaux_publies", False, detail, pd.DataFrame(apart))
    return CheckResult(
        "totaux_publies", True, f"{_many(rows, 'total national égal', 'totaux nationaux égaux')} au publié."
    )


def against_last_time(values: pd.DataFrame, last: pd.DataFrame | None) -> CheckResult:
    """Benchmarks (France, régions, départements) that moved by more than `RUN_MOVES` since `last`, period by period."""
    name = "ecarts_avec_la_derniere_fois"
    if last is None or last.empty:
        return CheckResult(name, True, "Aucune copie datée antérieure : rien à comparer.")
    keys = ["indicator_id", "zone_type", "zone_code", "period"]
    benchmarks = values[values["zone_type"].isin(["france", "region", "departement"])]
    both = benchmarks[[*keys, "value"]].merge(last[[*keys, "value"]], on=keys, suffixes=("", "_avant")).dropna()
    moved = (both["value"] - both["value_avant"]).abs() / both["value_avant"].abs().where(both["value_avant"].ne(0))
    far = both.assign(écart=moved)[moved > RUN_MOVES].sort_values("écart", ascending=False)
    if far.empty:
        detail = (
            f"{_many(len(both), 'repère comparé', 'repères comparés')} : aucun ne bouge de plus de {_share(RUN_MOVES)}."
        )
        return CheckResult(name, True, detail)
    detail = f"{_many(len(far), 'repère bouge', 'repères bougent')} de plus de {_share(RUN_MOVES)} à période égale."
    return CheckResult(name, False, detail, far.head(20))


# --- the geography ----------------------------------------------------------------------------------------------------


def outline_counts(expected: Mapping[str, set[str]], drawn: Mapping[str, set[str]]) -> CheckResult:
    """Does every zone of France have its outline, once? level -> codes, on both sides."""
    lines = []
    for level, codes in expected.items():
        found = drawn.get(level, set())
        lines += [{"niveau": level, "code": code, "défaut": "sans contour"} for code in sorted(codes - found)]
        lines += [{"niveau": level, "code": code, "défaut": "contour sans zone"} for code in sorted(found - codes)]
    counts = ", ".join(f"{level} : {french.number(len(drawn.get(level, ())))}" for level in expected)
    if lines:
        detail = f"{_many(len(lines), 'zone', 'zones')} sans contour ou contour sans zone. Contours : {counts}."
        return CheckResult("contours_de_france", False, detail, pd.DataFrame(lines).head(20))
    return CheckResult("contours_de_france", True, f"Chaque zone a son contour. {counts}.")


# --- helpers ----------------------------------------------------------------------------------------------------------


def _successive(observations: pd.DataFrame) -> Iterable[tuple[pd.DataFrame, pd.DataFrame]]:
    """Known rows of each quantity and level, by pairs of successive periods. A period that covers less than half of
    the zones of the fullest one is a piece of vintage (one overseas département), not a vintage."""
    known = observations[observations["status"].eq("ok")]
    for _, rows in known.groupby(["variable", "geo_type"], observed=True):
        sizes = rows.groupby("period", observed=True)["geo_code"].nunique()
        periods = sorted(sizes[sizes >= sizes.max() / 2].index)
        by_period = dict(list(rows.groupby("period", observed=True)))
        for before, after in pairwise(periods):
            yield by_period[before], by_period[after]


def _break(before: pd.DataFrame, after: pd.DataFrame) -> dict | None:
    old, new = (f.drop_duplicates("geo_code").set_index("geo_code")["value"] for f in (before, after))
    common = old.index.intersection(new.index)
    moved = 1 - len(common) / max(len(old), len(new))
    base = abs(old[common].sum())
    drift = (new[common].sum() - old[common].sum()) / base if base else 0.0
    first, last = before["period"].iloc[0], after["period"].iloc[0]
    if moved <= ZONES_MOVE and abs(drift) <= LEVEL_MOVES_PER_YEAR * max(_years(first, last), 1):
        return None
    return {
        "variable": before["variable"].iloc[0], "niveau": before["geo_type"].iloc[0], "de": first, "à": last,
        "zones avant": len(old), "zones après": len(new), "zones communes": len(common), "évolution": round(drift, 3),
    }  # fmt: skip


def _off_course(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    both = before[["variable", "geo_type", "geo_code", "value"]].merge(
        after[["geo_code", "value"]], on="geo_code", suffixes=("_avant", "_après")
    )
    # The square root brings counts of very unequal zones to one spread (it is their Poisson scale).
    change = np.sqrt(both["value_après"].abs()) - np.sqrt(both["value_avant"].abs())
    spread = 1.4826 * (change - change.median()).abs().median()
    if not spread:
        return both.head(0)
    score = (change - change.median()).abs() / spread
    large = (both["value_après"] - both["value_avant"]).abs() > OUTLIER_MOVES * both["value_avant"].abs()
    rows = both.assign(de=before["period"].iloc[0], à=after["period"].iloc[0], score=score.round(1))
    return rows[(score > OUTLIER_SCORE) & large]


def _view(member: Member, level: str, observations: pd.DataFrame) -> pd.Series:
    where = {"geo_type": member.geo_type, "level": level}
    values = _by_zone(observations, member.variable, member.period, statistic=member.statistic, **where)
    if member.per is None:
        return values * member.multiplier
    (term,) = parse_terms(member.per)
    return member.multiplier * values / _by_zone(observations, term.variable, term.period, statistic="sum", **where)


def _by_zone(
    observations: pd.DataFrame, variable: str, period: str, *, geo_type: str, level: str, statistic: str
) -> pd.Series:
    o = observations
    kept = o[o["variable"].eq(variable) & o["period"].eq(period) & o["geo_type"].eq(geo_type) & o["status"].eq("ok")]
    # Files that give Paris, Lyon and Marseille both whole and by arrondissement would count them twice.
    code = kept["geo_code"]
    told_whole = tuple(prefix for city, prefix in DISTRICTS.items() if code.eq(city).any())
    kept = kept[~code.str.startswith(told_whole)]
    code = kept["geo_code"]
    overseas = code.str.startswith(("97", "98"))
    zone = code.str[:2].where(~overseas, code.str[:3]) if level == "departement" else pd.Series("FR", index=kept.index)
    return kept["value"].groupby(zone).agg(statistic)


def _years(first: str, last: str) -> int:
    """Years between two periods (`2019`, `2024-12`, `2020-2022`); one when they are not dates."""
    return int(last[:4]) - int(first[:4]) if first[:4].isdigit() and last[:4].isdigit() else 1


def _share(value: float) -> str:
    return french.quantity(100 * value, "%", 1 if value * 100 % 1 else 0)


def _figure(value: float) -> str:
    return french.number(value, 0 if abs(value) >= 1000 else 2)


def _many(count: int, singular: str, plural: str) -> str:
    return f"{french.number(count)} {plural if count >= 2 else singular}"
