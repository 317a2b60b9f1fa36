"""Two parts of the report that speak of the whole map: where values concentrate, and what the territory is like.

Frames in, model out. Nothing is computed here: the tables are those of `diagnostics.indicators.patterns`.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import pandas as pd

from diagnostics import french
from diagnostics.catalog import Catalog
from diagnostics.indicators.clusters import CLUSTER_WORDS, PLURAL, told_clusters
from diagnostics.reporting import narrative
from diagnostics.reporting.model import Looked, MapFigure, MapFile, Patterns, TypeLine, TypeTable
from diagnostics.reporting.place import Place
from diagnostics.reporting.references import SourceNumbers

LEVELS = {"commune": "communes", "epci": "EPCI"}
SURE = 0.05
FEW_MAPS = 6


@dataclass(frozen=True, eq=False)
class PatternTables:
    """What was found: `concentrations` and `moran` of one CLS, the classes of France (`types`, `classes`), and the
    maps by name (`concentrations-<indicator>`, `typologie-communes`, `typologie-epci`, `lisse-<indicator>`)."""

    concentrations: pd.DataFrame
    moran: pd.DataFrame
    types: pd.DataFrame
    classes: pd.DataFrame
    maps: Mapping[str, MapFile] = field(default_factory=dict)


def patterns_of(
    tables: PatternTables,
    place: Place,
    catalog: Catalog,
    numbers: SourceNumbers,
    *,
    datasets: Mapping[str, list[str]],
    first_map: int,
) -> Patterns:
    """The two parts of the report of one CLS.

    `datasets`: indicator -> the datasets of its figures; `first_map`: the number of the first map.
    """
    credit = {name: numbers.credit(numbers.of(found)) for name, found in datasets.items()}
    looked, not_looked = _looked(tables, place, catalog, credit)
    types = [table for level in ("epci", "commune") if (table := _types(tables, place, level))]
    smoothed = [
        _map(files, f"{catalog.indicators[name].label} : carte lissée (bayésien empirique) ; les tableaux donnent les "
             f"valeurs brutes. {credit.get(name, '')}")
        for name, files in _named(tables.maps, "lisse-").items()
    ]  # fmt: skip
    count = itertools.count(first_map)
    return Patterns(
        concentration_finding=_concentration_finding(looked),
        looked=tuple(replace(line, map=_numbered(line.map, count)) for line in looked),
        not_looked=tuple(not_looked),
        smoothed=tuple(_numbered(figure, count) for figure in smoothed),
        type_finding=_type_finding(types, place),
        types=tuple(replace(table, map=_numbered(table.map, count)) for table in types),
    )


def _named(maps: Mapping[str, MapFile], prefix: str) -> dict[str, MapFile]:
    return {name.removeprefix(prefix): files for name, files in maps.items() if name.startswith(prefix)}


def _numbered(figure: MapFigure | None, count: Iterator[int]) -> MapFigure | None:
    return replace(figure, number=next(count)) if figure else None


def _map(files: MapFile, caption: str) -> MapFigure:
    return MapFigure(0, files.png, files.svg, files.alt, caption.strip())


# --- concentrations --------------------------------------------------------------------------------------------------


def _looked(
    tables: PatternTables, place: Place, catalog: Catalog, credit: Mapping[str, str]
) -> tuple[list[Looked], list[tuple[str, str]]]:
    looked, not_looked = [], []
    maps = _named(tables.maps, "concentrations-")
    for row in tables.moran.itertuples():
        card = catalog.indicators[row.indicator_id]
        if pd.isna(row.zone_type):
            not_looked.append((card.label, row.reason))
            continue
        mine = tables.concentrations[tables.concentrations["indicator_id"] == row.indicator_id]
        own = mine.loc[mine["inside"], "cluster"]
        period = row.period.replace("-", "–")
        caption = (
            f"{card.label} : concentrations dans l’espace, {period}. Indice de Moran "
            f"{french.number(row.morans_i, 2)} sur {french.number(row.zones)} {LEVELS[row.zone_type]} ; tests locaux "
            f"par {french.number(row.draws)} tirages, corrigés pour leur nombre. {credit.get(row.indicator_id, '')}"
        )
        looked.append(
            Looked(
                label=card.label,
                level=LEVELS[row.zone_type],
                period=period,
                zones=int(row.zones),
                morans_i=row.morans_i,
                sure=bool(row.p_value <= SURE and row.morans_i > row.expected),
                found=told_clusters(own, row.zone_type) if own.isin(list(CLUSTER_WORDS)).any() else "",
                map=_map(maps[row.indicator_id], caption) if row.indicator_id in maps else None,
            )
        )
    # The most telling first: those found in the territory, then the strongest.
    looked.sort(key=lambda line: (not line.found, -line.morans_i))
    shown = [line.label for line in looked if line.map][:FEW_MAPS]
    return [line if line.label in shown else replace(line, map=None) for line in looked], not_looked


def _concentration_finding(looked: list[Looked]) -> str:
    if not looked:
        return "Les concentrations dans l’espace ne sont pas connues : trop peu de valeurs sont publiées."
    found = [line for line in looked if line.found]
    seen = narrative.plural(len(looked), "indicateur regardé", "indicateurs regardés")
    if not found:
        return (
            f"Sur {seen}, aucun ne fait ressortir de concentration dans le territoire : ses valeurs, hautes ou basses, "
            "n’y sont pas groupées plus que le hasard ne le ferait."
        )
    named = french.listing([line.label[:1].lower() + line.label[1:] for line in found[:3]])
    return (
        f"Sur {seen}, {french.number(len(found))} {'font' if len(found) > 1 else 'fait'} ressortir une concentration "
        f"dans le territoire : {named}{'…' if len(found) > 3 else '.'} Pour les autres, les valeurs voisines n’y sont "
        "pas groupées plus que le hasard ne le ferait."
    )


# --- types -----------------------------------------------------------------------------------------------------------


def _types(tables: PatternTables, place: Place, level: str) -> TypeTable | None:
    classes = tables.classes[tables.classes["zone_type"] == level].sort_values("class")
    if classes.empty:
        return None
    codes = place.commune_codes if level == "commune" else {zone.code for zone in place.epci}
    of_level = tables.types[tables.types["zone_type"] == level].set_index("zone_code")["class"]
    own = of_level.reindex(sorted(codes))
    names = {zone.code: zone.name for zone in place.epci}
    lines = tuple(
        TypeLine(
            number=int(row["class"]),
            name=row["name"],
            description=row["description"],
            own=tuple(names[code] for code in own.index[own == row["class"]]) if level == "epci" else (),
            own_count=int((own == row["class"]).sum()),
            zones=int(row["zones"]),
            population=float(row["population"]),
        )
        for row in classes.to_dict("records")
    )
    name = "typologie-epci" if level == "epci" else "typologie-communes"
    title = "Les types d’intercommunalités" if level == "epci" else "Les types de communes"
    first = classes.iloc[0]
    caption = (
        f"{title} : classes établies sur {french.number(classes['zones'].sum())} {PLURAL[level]} de France et "
        f"{first['variables']} indicateurs ; stabilité {french.number(first['stability'], 2)}. Exploratoire."
    )
    return TypeTable(
        title=title,
        level=level,
        lines=lines,
        unclassified=int(own.isna().sum()),
        stability=float(first["stability"]),
        zones=int(classes["zones"].sum()),
        map=_map(tables.maps[name], caption) if name in tables.maps else None,
    )


def _type_finding(types: list[TypeTable], place: Place) -> str:
    said = [sentence for table in types if (sentence := _said(table, place))]
    return " ".join(said) or "Le territoire n’a pas pu être classé : une des valeurs qu’il faudrait n’est pas publiée."


def _said(table: TypeTable, place: Place) -> str:
    present = sorted((line for line in table.lines if line.own_count), key=lambda line: -line.own_count)
    if not present:
        return ""
    first, known = present[0], sum(line.own_count for line in present)
    kind = f"« {first.name[:1].lower()}{first.name[1:]} »"
    if table.level == "epci":
        if known == 1:
            return f"{first.own[0]} est du type {kind}."
        return (
            f"Les {french.number(known)} intercommunalités classées relèvent de "
            f"{narrative.plural(len(present), 'type')}, d’abord {kind} ({french.number(first.own_count)})."
        )
    if known == 1 and not table.unclassified:
        return f"{place.territory.name} est une commune du type {kind}."
    part = "toutes" if not table.unclassified else f"sur {french.number(known + table.unclassified)}"
    return (
        f"{narrative.plural(known, 'commune classée', 'communes classées')} ({part}) : d’abord le type {kind} "
        f"({french.number(first.own_count)})."
    )
