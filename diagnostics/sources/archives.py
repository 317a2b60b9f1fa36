"""Opening compressed files that come from elsewhere: no path outside the folder, no bomb, no half.

Bounds hold on the bytes that really come out, not on what the archive announces.
"""

from __future__ import annotations

import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from diagnostics.errors import SourceError
from diagnostics.storage import replacing

BLOCK = 1 << 20
OPENERS = {".gz": gzip.open, ".xz": lzma.open, ".lzma": lzma.open}


@dataclass(frozen=True)
class Bounds:
    """How much may come out of one archive. `ratio` counts once `tolerated` bytes are out: a small file of zeros is
    harmless, and repetitive CSV reach 50:1. The largest open file known is 1.5 GB (the located BPE)."""

    total: int = 16 << 30
    ratio: float = 200.0
    tolerated: int = 64 << 20


BOUNDS = Bounds()


def check_zip(path: Path, bounds: Bounds = BOUNDS) -> list[str]:
    """Read every member of a zip to its end. Returns the names of its files.

    Raises SourceError: it does not open, a member leaves the folder, a checksum is wrong, or it is a bomb.
    """
    with _zip(path) as archive:
        members = _members(archive, path)
        for _ in _blocks((_member_blocks(archive, m, path) for m in members), path, bounds):
            pass
        return [m.filename for m in members]


def extract(path: Path, member: str, target: Path, bounds: Bounds = BOUNDS) -> Path:
    """Write one member of a zip to `target`, whole or not at all. Raises SourceError as `check_zip` does."""
    with _zip(path) as archive:
        named = {m.filename: m for m in _members(archive, path)}
        if member not in named:
            raise SourceError(
                f"Archive {path.name} : « {member} » n'y est pas. Elle contient : {', '.join(sorted(named))}."
            )
        _write(_blocks([_member_blocks(archive, named[member], path)], path, bounds), target)
    return target


def decompressed(path: Path, bounds: Bounds = BOUNDS) -> Iterator[bytes]:
    """The blocks of a `.gz`, `.xz` or `.lzma` file. Raises SourceError: corrupted, cut, or a bomb."""
    return _blocks([_stream_blocks(path)], path, bounds)


def _zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise SourceError(f"Archive {path.name} : elle ne s'ouvre pas ({error})") from error


def _members(archive: zipfile.ZipFile, path: Path) -> list[zipfile.ZipInfo]:
    members = [m for m in archive.infolist() if not m.is_dir()]
    for member in members:
        # zipfile drops `..` on extraction, but an archive that tries is not the producer's.
        name = PurePosixPath(member.orig_filename.replace("\\", "/"))
        if name.is_absolute() or ".." in name.parts or ":" in name.parts[0]:
            raise SourceError(
                f"Archive {path.name} : le membre « {member.orig_filename} » sortirait de son dossier. archive refusée"
            )
    if not members:
        raise SourceError(f"Archive {path.name} : elle est vide")
    return members


def _member_blocks(archive: zipfile.ZipFile, member: zipfile.ZipInfo, path: Path) -> Iterator[bytes]:
    try:
        with archive.open(member) as stream:
            yield from _read(stream)
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, NotImplementedError, RuntimeError) as error:
        raise SourceError(f"Archive {path.name} : le membre « {member.filename} » est illisible ({error})") from error


def _stream_blocks(path: Path) -> Iterator[bytes]:
    if path.stat().st_size == 0:
        # gzip takes no bytes at all for a whole, empty stream.
        raise SourceError(f"Fichier {path.name} : vide")
    try:
        with OPENERS[path.suffix.lower()](path, "rb") as stream:
            yield from _read(stream)
    except (gzip.BadGzipFile, zlib.error, lzma.LZMAError, EOFError) as error:
        raise SourceError(f"Fichier {path.name} : compression corrompue ou tronquée ({error})") from error


def _read(stream: IO[bytes]) -> Iterator[bytes]:
    while block := stream.read(BLOCK):
        yield block


def _blocks(sources: Iterable[Iterator[bytes]], path: Path, bounds: Bounds) -> Iterator[bytes]:
    """The blocks of all sources, within bounds of the compressed size of `path`."""
    out, allowed = 0, max(bounds.tolerated, int(bounds.ratio * path.stat().st_size))
    for source in sources:
        for block in source:
            out += len(block)
            if out > min(allowed, bounds.total):
                raise SourceError(
                    f"Fichier {path.name} : il contient plus de {out >> 20} Mio pour {path.stat().st_size} octets "
                    "compressés, ce qui ressemble à une bombe de décompression"
                )
            yield block


def _write(blocks: Iterator[bytes], target: Path) -> None:
    with replacing(target) as temporary, Path(temporary).open("wb") as out:
        for block in blocks:
            out.write(block)
