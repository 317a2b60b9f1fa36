"""Writing the card of a new territory: the perimeter is checked before anything is written."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import yaml

from diagnostics.catalog import Territory
from diagnostics.catalog.loading import load_card
from diagnostics.errors import CatalogError, GeographyError
from diagnostics.geography.membership import check_perimeter
from diagnostics.geography.reference import Reference
from diagnostics.geography.stored import read_reference
from diagnostics.storage import replacing
from pipelines.run import bring_geography, workshop_for

MODEL = "val-de-lorraine"
"""The card whose axes a new territory starts from, to be rewritten in its own words."""


def new_territory(
    identifier: str,
    name: str,
    *,
    epci: list[str],
    communes: Path | None,
    profile: str,
    announce: Callable[[str], None],
) -> tuple[Path, Territory]:
    """Check the perimeter and write `catalog/territories/<identifier>.yaml`. Refuses to overwrite a card."""
    if not epci and communes is None:
        raise CatalogError("De quelles communes ? Donner un ou plusieurs `--epci SIREN`, ou `--communes FICHIER`.")
    if epci and communes is not None:
        raise CatalogError("Donner soit un ou plusieurs `--epci SIREN`, soit `--communes FICHIER`, pas les deux.")
    if not re.fullmatch(r"[a-z][a-z0-9-]*", identifier):
        raise CatalogError(
            f"Identifiant « {identifier} » : une lettre minuscule, puis des minuscules, des chiffres ou des tirets, "
            "sans accent ni espace (exemple : mon-cls)."
        )
    if not name.strip():
        raise CatalogError("Le nom du territoire (`--name`) est vide : il est le titre du rapport et des cartes.")
    workshop = workshop_for(profile, announce)
    target = workshop.catalog.folder / "territories" / f"{identifier}.yaml"
    if target.exists():
        raise CatalogError(f"{target} existe déjà : choisir un autre `--id`, ou modifier cette carte.")
    bring_geography(workshop)
    reference = read_reference(workshop.storage.geography)
    codes = codes_of_epci(epci, reference) if epci else read_codes(communes)
    codes = check_perimeter(codes, reference, reference.pivot_year, f"Territoire « {identifier} »")
    members = reference.epci[reference.epci["code"].isin(epci)] if epci else epci_of(codes, reference)
    model = workshop.catalog.territory(MODEL)
    content = {
        "id": identifier,
        "name": name,
        "kind": kind_of(epci, codes),
        "siren": epci[0] if len(epci) == 1 else None,
        "contract": "",
        "cog_year": reference.pivot_year,
        "epci": [{"siren": row.code, "name": row.name} for row in members.itertuples(index=False)],
        "communes": codes,
        "axes_from": model.name,
        "axes": [axis.model_dump(mode="json") for axis in model.axes],
        "source": f"Périmètre vérifié sur le code officiel géographique {reference.pivot_year} "
        "par `diagnostic new-territory`.",
    }
    content = {key: value for key, value in content.items() if value is not None}
    with replacing(target) as temporary:
        header = (
            f"# Axes repris de « {MODEL} », ce que dit le rapport : les remplacer par ceux du contrat, dans ses\n"
            "# propres mots, puis effacer la ligne `axes_from`.\n"
        )
        temporary.write_text(
            header + yaml.safe_dump(content, allow_unicode=True, sort_keys=False, width=120), encoding="utf-8"
        )
        territory = load_card(Path(temporary), Territory)
    return Path(target), territory


def codes_of_epci(epci: list[str], reference: Reference) -> list[str]:
    unknown = sorted(set(epci) - set(reference.epci["code"]))
    if unknown:
        raise GeographyError(
            f"SIREN inconnu parmi les EPCI de {reference.pivot_year} : {', '.join(unknown)}. "
            "Un PETR n'est pas un EPCI : donner le SIREN de chacun de ses EPCI membres."
        )
    return sorted(reference.communes.loc[reference.communes["epci"].isin(epci), "code"])


def epci_of(codes: list[str], reference: Reference):
    """The EPCI that hold these communes, whole or in part."""
    held = reference.communes.loc[reference.communes["code"].isin(codes), "epci"].dropna().unique()
    return reference.epci[reference.epci["code"].isin(held)]


def kind_of(epci: list[str], codes: list[str]) -> str:
    if len(codes) == 1:
        return "commune"
    return "epci" if len(epci) == 1 else "free"


def read_codes(path: Path) -> list[str]:
    """One commune code per line; blank lines and `#` comments are skipped."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise CatalogError(f"{path} : fichier illisible ({error.strerror}).") from error
    except UnicodeDecodeError as error:
        raise CatalogError(
            f"{path} : le texte n'est pas en UTF-8. L'enregistrer sous « CSV UTF-8 » ou « Texte (UTF-8) »."
        ) from error
    return [code for line in lines if (code := line.split("#")[0].strip())]
