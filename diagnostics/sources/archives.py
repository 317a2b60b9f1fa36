"""Opening compressed files that come from elsewhere: no path outside the folder, no bomb, no half.

Bounds hold on the bytes that really come out, not on what the archive announces.
"""

from __future__ import annotations

import gzip
import lzma
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import py7zr
from py7zr.exceptions import ArchiveError, DecompressionBombError, PasswordRequired
from py7zr.io import Py7zIO, WriterFactory

from diagnostics.errors import SourceError
from diagnostics.storage import replacing

BLOCK = 1 << 20
SEVEN = b"7z\xbc\xaf\x27\x1c"
OPENERS = {".gz": gzip.open, ".xz": lzma.open, ".lzma": lzma.open}


@dataclass(frozen=True)
class Bounds:
    """How much may come out of one archive. `ratio` counts once `tolerated` bytes are out: a small file of zeros is
    harmless, and repetitive CSV reach 50:1. The largest open file known is 1.5 GB (the located BPE)."""

    total: int = 16 << 30
    ratio: float = 200.0
    tolerated: int = 64 << 20


BOUNDS = Bounds()


def check_archive(path: Path, bounds: Bounds = BOUNDS) -> list[str]:
    """Read every member of a zip or 7z archive to its end. Returns the names of its files.

    Raises SourceError: it does not open, a member leaves the folder, a checksum is wrong, or it is a bomb.
    """
    names = members(path)
    if _is_seven(path):
        _unpack_seven(path, None, None, bounds)
        return names
    with _zip(path) as archive:
        blocks = (_member_blocks(archive, member, path) for member in archive.infolist() if not member.is_dir())
        for _ in _blocks(blocks, path, bounds):
            pass
    return names


def members(path: Path) -> list[str]:
    """The names of the files of a zip or 7z archive, as they must be written to be extracted.

    Raises SourceError: it does not open, is empty, or a member would leave the folder.
    """
    if _is_seven(path):
        with _seven(path) as archive:
            listed = [member.filename for member in archive.files if not member.is_directory]
            return _inside(listed, listed, path)
    with _zip(path) as archive:
        infos = [info for info in archive.infolist() if not info.is_dir()]
        # zipfile drops what follows a zero byte, and `..` on extraction: an archive that tries is not the producer's.
        return _inside([info.filename for info in infos], [info.orig_filename for info in infos], path)


def extract(path: Path, member: str, target: Path, bounds: Bounds = BOUNDS) -> Path:
    """Write one member of a zip or 7z to `target`, whole or not at all. Raises SourceError as `check_archive` does."""
    names = members(path)
    if member not in names:
        raise SourceError(
            f"Archive {path.name} : « {member} » n'y est pas. Elle contient : {', '.join(sorted(names))}."
        )
    if _is_seven(path):
        with replacing(target) as temporary, Path(temporary).open("wb") as out:
            _unpack_seven(path, member, out, bounds)
        return target
    with _zip(path) as archive:
        _write(_blocks([_member_blocks(archive, archive.getinfo(member), path)], path, bounds), target)
    return target


def decompressed(path: Path, bounds: Bounds = BOUNDS) -> Iterator[bytes]:
    """The blocks of a `.gz`, `.xz` or `.lzma` file. Raises SourceError: corrupted, cut, or a bomb."""
    return _blocks([_stream_blocks(path)], path, bounds)


def _zip(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise SourceError(f"Archive {path.name} : elle ne s'ouvre pas ({error})") from error


def _inside(names: list[str], written: list[str], path: Path) -> list[str]:
    """`names`, unless one of them, as `written` in the archive, would leave the folder where it is extracted."""
    for name in written:
        place = PurePosixPath(name.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or ":" in name.partition("/")[0]:
            raise SourceError(f"Archive {path.name} : le membre « {name} » sortirait de son dossier. archive refusée")
    if not names:
        raise SourceError(f"Archive {path.name} : elle est vide")
    return names


# --- 7z --------------------------------------------------------------------------------------------------------------


class _Stream(Py7zIO):
    """Where py7zr writes a member, block by block. It never chooses the place: only what it is given is written."""

    def __init__(self, out: IO[bytes] | None):
        self._out, self._size = out, 0

    def write(self, s: bytes | bytearray) -> int:
        self._size += len(s)
        if self._out is not None:
            self._out.write(s)
        return len(s)

    def read(self, size: int | None = None) -> bytes:
        return b""

    def seek(self, offset: int, whence: int = 0) -> int:
        return offset

    def flush(self) -> None:
        """The stream is flushed by its owner."""

    def size(self) -> int:
        return self._size


class _Into(WriterFactory):
    def __init__(self, out: IO[bytes] | None):
        self._out = out

    def create(self, filename: str) -> Py7zIO:
        return _Stream(self._out)


def _is_seven(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(len(SEVEN)) == SEVEN


@contextmanager
def _seven(path: Path, most: int | None = None) -> Iterator[py7zr.SevenZipFile]:
    """The archive, open in this thread alone: py7zr reads in several when it opens the file itself."""
    try:
        with path.open("rb") as stream, py7zr.SevenZipFile(stream, max_extract_size=most) as archive:
            yield archive
    except DecompressionBombError as error:
        raise _bomb(path, most) from error
    except PasswordRequired as error:
        raise SourceError(f"Archive {path.name} : elle demande un mot de passe") from error
    # A damaged header gives any of these, from several depths of py7zr.
    except (ArchiveError, lzma.LZMAError, zlib.error, EOFError, ValueError, TypeError, LookupError, AttributeError,
            OverflowError, MemoryError, AssertionError) as error:  # fmt: skip
        raise SourceError(f"Archive {path.name} : elle ne s'ouvre pas ou est abîmée ({error!r})") from error


def _unpack_seven(path: Path, member: str | None, out: IO[bytes] | None, bounds: Bounds) -> None:
    """Read one member to `out`, or all of them to nowhere. A solid archive is read up to the member."""
    with _seven(path, _allowed(path, bounds)) as archive:
        archive.extract(targets=None if member is None else [member], factory=_Into(out))


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


def _allowed(path: Path, bounds: Bounds) -> int:
    return min(max(bounds.tolerated, int(bounds.ratio * path.stat().st_size)), bounds.total)


def _bomb(path: Path, out: int) -> SourceError:
    return SourceError(
        f"Fichier {path.name} : il contient plus de {out >> 20} Mio pour {path.stat().st_size} octets compressés, "
        "ce qui ressemble à une bombe de décompression"
    )


def _blocks(sources: Iterable[Iterator[bytes]], path: Path, bounds: Bounds) -> Iterator[bytes]:
    """The blocks of all sources, within bounds of the compressed size of `path`."""
    out, allowed = 0, _allowed(path, bounds)
    for source in sources:
        for block in source:
            out += len(block)
            if out > allowed:
                raise _bomb(path, out)
            yield block


def _write(blocks: Iterator[bytes], target: Path) -> None:
    with replacing(target) as temporary, Path(temporary).open("wb") as out:
        for block in blocks:
            out.write(block)
