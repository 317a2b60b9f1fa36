"""Which zone belongs to which: communes in every larger zone, IRIS and arrondissements in their commune, and the
perimeter of a CLS.

A PETR is published nowhere: it is the sum of its communes, written in the card of its territory.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from typing import Protocol

import pandas as pd

from diagnostics.errors import GeographyError
from diagnostics.french import listing
from diagnostics.geography.reference import OPEN_YEAR, Reference, valid_codes

FRANCE = "FR"
LINK_COLUMNS = ["child_type", "child_code", "parent_type", "parent_code"]
ZONE_COLUMNS = ["zone_type", "zone_code", "zone_name"]


class MemberEpci(Protocol):
    """An EPCI named by a card."""

    siren: str
    name: str


class Territory(Protocol):
    """What geography needs of a territory card: its name and its frozen perimeter."""

    id: str
    name: str
    kind: str
    siren: str | None
    cog_year: int
    epci: Sequence[MemberEpci]
    communes: Sequence[str]


def check_perimeter(codes: Iterable[str], reference: Reference, cog_year: int, where: str = "Périmètre") -> list[str]:
    """The communes of a perimeter at the pivot COG, sorted.

    codes: commune codes of the COG of `cog_year`; where: how the message names the perimeter.
    Errors: GeographyError for an empty perimeter, a doubled code, a code of another year (its successor is given), a
        code that never existed (close codes are given), a municipal arrondissement (its commune is given).
    """
    codes = [str(code) for code in codes]
    if not codes:
        raise GeographyError(f"{where} : aucune commune ; indiquer au moins un code de commune du COG {cog_year}.")
    doubled = sorted({code for code in codes if codes.count(code) > 1})
    if doubled:
        raise GeographyError(
            f"{where} : code(s) cité(s) plusieurs fois : {listing(doubled)} ; chaque commune ne compte qu'une fois."
        )
    successor = reference.passage.set_index("old_code")["new_code"]
    valid = _codes_of_year(reference, cog_year)
    for code in codes:
        if code not in valid:
            raise GeographyError(f"{where} : {_explain(code, reference, cog_year, successor, valid)}")
    parts = reference.splits[
        (reference.splits["first_year"] <= cog_year) & (reference.splits["last_year"] >= cog_year)
    ].groupby("old_code")["new_code"]
    parts = {old: list(new) for old, new in parts}
    return sorted({successor[part] for code in codes for part in parts.get(code, [code])})


def build_membership(
    reference: Reference, territories: Sequence[Territory], iris: Iterable[str] | None = None
) -> pd.DataFrame:
    """Every link from a commune to the zones that hold it, and from an IRIS or a municipal arrondissement (`district`)
    to its commune.

    Returns LINK_COLUMNS, all text. `parent_type` is commune (itself), epci, petr, cls, departement, region or france
    (`FR`). A CLS has the code of its territory, a PETR its SIREN. An EPCI that a card names but that is gone from the
    EPCI table of the year holds the card's communes that no other EPCI of the card holds, so a commune may lie in two
    EPCI, the present one and the one of the contract. IRIS that belong to no known commune are left out: see
    `unplaced_iris`.
    Errors: GeographyError when a perimeter is wrong, or when a card names several EPCI that are gone.
    """
    communes = reference.communes
    links = [_links("commune", communes["code"], "commune", communes["code"])]
    for parent in ("epci", "departement", "region"):
        links.append(_links("commune", communes["code"], parent, communes[parent]).dropna())
    links.append(_links("commune", communes["code"], "france", FRANCE))
    for territory in territories:
        members = _members(territory, reference)
        links.append(_links("commune", members, "cls", territory.id))
        if territory.kind == "petr":
            links.append(_links("commune", members, "petr", _petr_code(territory)))
        for former in _former_epci(territory, reference):
            present = communes.loc[communes["epci"].isin([e.siren for e in territory.epci]), "code"]
            links.append(_links("commune", sorted(set(members) - set(present)), "epci", former.siren))
    districts = reference.municipal_districts
    links.append(_links("district", districts["code"], "commune", districts["commune"]))
    if iris is not None:
        placed = _place_iris(iris, reference).dropna()
        links.append(_links("iris", placed["iris"], "commune", placed["commune"]))
    return pd.concat(links, ignore_index=True).drop_duplicates(ignore_index=True)


def build_zones(reference: Reference, territories: Sequence[Territory]) -> pd.DataFrame:
    """The name of every zone: ZONE_COLUMNS, one line per (zone_type, zone_code)."""
    frames = [
        _zones("commune", reference.communes["code"], reference.communes["name"]),
        _zones("epci", reference.epci["code"], reference.epci["name"]),
        _zones("departement", reference.departements["code"], reference.departements["name"]),
        _zones("region", reference.regions["code"], reference.regions["name"]),
        _zones("france", [FRANCE], ["France"]),
        _zones("cls", [t.id for t in territories], [t.name for t in territories]),
    ]
    for territory in territories:
        if territory.kind == "petr":
            frames.append(_zones("petr", [_petr_code(territory)], [territory.name]))
        former = _former_epci(territory, reference)
        frames.append(_zones("epci", [e.siren for e in former], [e.name for e in former]))
    return pd.concat(frames, ignore_index=True).drop_duplicates(["zone_type", "zone_code"], ignore_index=True)


def unplaced_iris(iris: Iterable[str], reference: Reference) -> list[str]:
    """IRIS whose commune (first five characters) no code of the reference explains, sorted."""
    placed = _place_iris(iris, reference)
    return sorted(placed.loc[placed["commune"].isna(), "iris"])


def _place_iris(iris: Iterable[str], reference: Reference) -> pd.DataFrame:
    codes = pd.Series(sorted(set(iris)), dtype="str")
    old = codes.str[:5]
    district = old.map(reference.municipal_districts.set_index("code")["commune"])
    return pd.DataFrame(
        {"iris": codes, "commune": district.fillna(old.map(reference.passage.set_index("old_code")["new_code"]))}
    )


def _members(territory: Territory, reference: Reference) -> list[str]:
    return check_perimeter(territory.communes, reference, territory.cog_year, f"Territoire « {territory.id} »")


def _petr_code(territory: Territory) -> str:
    if not territory.siren:
        raise GeographyError(
            f"Territoire « {territory.id} » : un PETR se reconnaît à son SIREN ; renseigner `siren` dans sa fiche."
        )
    return territory.siren


def _former_epci(territory: Territory, reference: Reference) -> list[MemberEpci]:
    """EPCI of the card that the EPCI table of the reference no longer has: at most one can be rebuilt."""
    former = [epci for epci in territory.epci if epci.siren not in set(reference.epci["code"])]
    if len(former) > 1:
        raise GeographyError(
            f"Territoire « {territory.id} » : les EPCI {listing([epci.siren for epci in former])} n'existent plus dans "
            "la table des EPCI et leurs communes ne peuvent être départagées ; mettre à jour `epci` dans la fiche."
        )
    return former


def _codes_of_year(reference: Reference, cog_year: int) -> set[str]:
    if cog_year >= reference.pivot_year:
        return set(reference.communes["code"])
    return valid_codes(reference, cog_year)


def _explain(code: str, reference: Reference, cog_year: int, successor: pd.Series, valid: set[str]) -> str:
    names = reference.communes.set_index("code")["name"]
    districts = reference.municipal_districts.set_index("code")["commune"]
    if code in districts.index:
        city = districts[code]
        return f"{code} est un arrondissement municipal ; indiquer la commune {city} ({names[city]})."
    if code in successor.index:
        new = successor[code]
        covering = reference.splits[
            (reference.splits["new_code"] == code)
            & (reference.splits["first_year"] <= cog_year)
            & (reference.splits["last_year"] >= cog_year)
        ]
        if len(covering):
            return (
                f"la commune {code} ({names[code]}) n'existait pas au COG {cog_year}, où elle faisait partie de "
                f"{covering['old_code'].iloc[0]}. Remplacer le code, ou corriger l'année du COG."
            )
        spans = reference.validity[reference.validity["code"] == code]
        years = [
            f"jusqu'en {span.last_year}" if span.first_year == 0 else _span(span.first_year, span.last_year)
            for span in spans.itertuples()
        ]
        when = f" (code valable {listing(years)})" if years else ""
        return (
            f"le code {code} n'existe pas au COG {cog_year}{when} ; sa commune est aujourd'hui "
            f"{new} ({names[new]}). Remplacer le code, ou corriger l'année du COG."
        )
    if f"0{code}" in valid:
        return f"le code {code} a perdu son zéro de tête : écrire {_named(f'0{code}', names)}."
    near = get_close_matches(code, sorted(valid), n=3, cutoff=0.75)
    hint = f" ; codes proches : {listing([_named(c, names) for c in near])}" if near else ""
    return f"le code {code} n'est celui d'aucune commune (attendu : cinq caractères, COG {cog_year}){hint}."


def _span(first: int, last: int) -> str:
    return f"depuis {first}" if last == OPEN_YEAR else f"de {first} à {last}"


def _named(code: str, names: pd.Series) -> str:
    return f"{code} ({names[code]})" if code in names.index else code


def _links(child_type: str, children, parent_type: str, parents) -> pd.DataFrame:
    frame = pd.DataFrame({"child_code": list(children)}, dtype="str")
    frame["parent_code"] = parents if isinstance(parents, str) else list(parents)
    return frame.assign(child_type=child_type, parent_type=parent_type)[LINK_COLUMNS].astype("str")


def _zones(zone_type: str, codes, names) -> pd.DataFrame:
    frame = pd.DataFrame({"zone_code": list(codes), "zone_name": list(names)}, dtype="str")
    return frame.assign(zone_type=zone_type)[ZONE_COLUMNS].astype("str")
