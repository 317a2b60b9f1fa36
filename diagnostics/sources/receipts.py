"""The receipt beside each raw file: which bytes, whence, when, under which licence.

The receipt is also the switch. It names the file that serves, so replacing it (one rename) is what makes a new file
take over: a process killed before that instant leaves the former file serving.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError
from upath import UPath

from diagnostics.catalog.models import Distribution, Source
from diagnostics.errors import SourceError
from diagnostics.storage import replacing


class Receipt(BaseModel):
    """What is known of one raw file. `path` is relative to the folder of the receipt, or absolute when the file is read
    in place (mirror, snapshot, manual). `size` in bytes; `mtime_ns` tells a touched file without hashing it again.
    `verified` is the card's own statement; `pinned` says whether the card's sha256 was compared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    distribution: str
    title: str
    producer: str
    licence: str
    vintage: str
    scheme: str
    address: str
    resolved: str
    path: str
    size: int
    mtime_ns: int
    sha256: str
    pinned: bool
    verified: str
    fetched_at: datetime
    checked_at: datetime
    etag: str | None = None
    last_modified: str | None = None
    checksum: str | None = None


@dataclass(frozen=True)
class RawFile:
    """A local file and what is known of it."""

    path: Path
    receipt: Receipt


def local(folder: UPath) -> Path:
    """A folder of the installation as a local one: readers need files, and a download is resumed in place."""
    if folder.protocol not in ("", "file", "local"):
        raise SourceError(
            f"Les fichiers bruts demandent un disque local, mais l'installation désigne {folder}. "
            "Indiquer un dossier de cette machine, ou partagé entre les machines, par DIAGNOSTIC_FILES."
        )
    return Path(folder.path)


def receipt_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.receipt.json"


def read_receipt(path: Path) -> Receipt | None:
    """The receipt, or None when there is none yet. A receipt edited by hand into nonsense is an error."""
    try:
        stat = path.stat()
    except FileNotFoundError:
        return None
    return _read(path, stat.st_ino, stat.st_size, stat.st_mtime_ns)


@lru_cache(maxsize=1024)
def _read(path: Path, *_version: int) -> Receipt:
    """A receipt, asked for many times in a run. A new one takes the place of the former: it is another file."""
    try:
        return Receipt.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise SourceError(
            f"Reçu illisible : {path} ({error.error_count()} clé(s) en défaut). "
            "Supprimer ce reçu : le fichier sera vérifié ou récupéré à nouveau."
        ) from error


def write_json(model: BaseModel, path: Path) -> None:
    """A model as readable JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(model.model_dump_json(indent=2) + "\n", encoding="utf-8")


def make_receipt(
    source: Source,
    distribution: Distribution,
    file: Path,
    *,
    path: str,
    resolved: str,
    scheme: str | None = None,
    now: datetime | None = None,
    etag: str | None = None,
    last_modified: str | None = None,
    checksum: str | None = None,
) -> Receipt:
    """Hash `file` and describe it. `path` is what the receipt will say of its place."""
    now = now or datetime.now(UTC)
    stat = file.stat()
    return Receipt(
        dataset=source.id,
        distribution=distribution.id,
        title=source.title,
        producer=source.producer,
        licence=source.licence,
        vintage=distribution.vintage,
        scheme=scheme or distribution.address.partition("://")[0],
        address=distribution.address,
        resolved=resolved,
        path=path,
        size=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
        sha256=file_sha256(file),
        pinned=distribution.sha256 is not None,
        verified=str(distribution.verified),
        fetched_at=now,
        checked_at=now,
        etag=etag,
        last_modified=last_modified,
        checksum=checksum,
    )


def serves(receipt: Receipt, folder: Path, distribution: Distribution) -> bool:
    """Whether the receipt still describes the bytes on disk and the card, without reading the bytes."""
    file = folder / receipt.path
    if receipt.address != distribution.address or distribution.sha256 not in (None, receipt.sha256):
        return False
    if not file.is_file():
        return False
    stat = file.stat()
    return (stat.st_size, stat.st_mtime_ns) == (receipt.size, receipt.mtime_ns)


def moved(receipt: Receipt, file: Path) -> Receipt:
    """The same bytes, now at `file` in the folder of the receipt."""
    return receipt.model_copy(update={"path": file.name, "mtime_ns": file.stat().st_mtime_ns})


def file_sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
