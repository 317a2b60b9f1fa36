"""From the bytes as published to a plain UTF-8 file DuckDB can stream: gzip, LZMA, one member of a zip, encodings.

Everything is streamed in blocks, checked to its end (CRC, end-of-stream marker), and never accepted by halves.
"""

from __future__ import annotations

import codecs
import gzip
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import BinaryIO

from diagnostics.errors import SourceError

BLOCK = 1 << 22
#: No open file of the catalogue unpacks to a quarter of this; an archive that does is a decompression bomb.
LARGEST_UNPACKED = 12 << 30
BROKEN_STREAM = (EOFError, OSError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, NotImplementedError, RuntimeError)

LineFilter = Callable[[Iterator[bytes]], Iterator[bytes]]


def plain_text(
    path: Path, folder: Path, encoding: str, *, member: str | None = None, keep: LineFilter | None = None
) -> Path:
    """A UTF-8 file holding the text of `path` (or of its zip `member`, a name or a pattern), without BOM.

    `path` itself when it already is one. `keep` filters blocks of whole lines. Raises SourceError when the file is
    cut, corrupted, or not in `encoding`.
    """
    codec = _codec(path, encoding)
    compressed = member is not None or path.suffix in {".gz", ".lzma", ".xz"}
    if not compressed and codec == "utf-8" and keep is None and not _has_bom(path):
        return path
    target = folder / "text.csv"
    try:
        with _stream(path, member) as stream, target.open("wb") as out:
            blocks = _utf8(path, _blocks(path, stream), codec)
            for block in keep(blocks) if keep else blocks:
                out.write(block)
    except BROKEN_STREAM as error:
        raise SourceError(
            f"{path.name} : fichier tronqué ou corrompu ({error}). Le télécharger de nouveau : la taille et le sha256 "
            "doivent être ceux annoncés par le producteur."
        ) from error
    return target


@contextmanager
def _stream(path: Path, member: str | None) -> Iterator[BinaryIO]:
    if member is not None:
        with zipfile.ZipFile(path) as archive, archive.open(_member(path, archive, member)) as stream:
            yield stream
        return
    opener = {".gz": gzip.open, ".lzma": lzma.open, ".xz": lzma.open}.get(path.suffix, open)
    with opener(path, "rb") as stream:
        yield stream


def _member(path: Path, archive: zipfile.ZipFile, wanted: str) -> zipfile.ZipInfo:
    """The one member whose name, or base name, is or matches `wanted`. Nothing is ever extracted under its own name."""
    files = [info for info in archive.infolist() if not info.is_dir()]
    exact = [info for info in files if wanted in (info.filename, Path(info.filename).name)]
    pattern = wanted.lower()
    found = exact or [info for info in files if fnmatch(Path(info.filename).name.lower(), pattern)]
    if len(found) != 1:
        problem = "aucun fichier" if not found else f"{len(found)} fichiers"
        listing = ", ".join(info.filename for info in files[:12]) or "(archive vide)"
        raise SourceError(
            f"{path.name} : {problem} de l'archive répond à « {wanted} ». L'archive contient : {listing}. "
            "Corriger l'option `member` de la fiche."
        )
    return found[0]


def _blocks(path: Path, stream: BinaryIO) -> Iterator[bytes]:
    total = 0
    while block := stream.read(BLOCK):
        total += len(block)
        if total > LARGEST_UNPACKED:
            raise SourceError(
                f"{path.name} : plus de {LARGEST_UNPACKED >> 30} Gio une fois décompressé. "
                "Fichier refusé (bombe de décompression ?)."
            )
        yield block


def _utf8(path: Path, blocks: Iterator[bytes], codec: str) -> Iterator[bytes]:
    """Blocks re-encoded in UTF-8. A file said to be cp1252 that is UTF-8 through and through is refused: its accents
    would silently turn into two signs each."""
    decoder, probe = codecs.getincrementaldecoder(codec)(), codecs.getincrementaldecoder("utf-8")()
    first, accents, is_utf8, offset = True, False, codec != "utf-8", 0
    for block in blocks:
        text = _decoded(path, decoder, block, codec, offset)
        offset += len(block)
        if is_utf8:
            accents = accents or not block.isascii()
            try:
                probe.decode(block)
            except UnicodeDecodeError:
                is_utf8 = False
        if first and text:
            first, text = False, text.removeprefix("\ufeff")
        yield text.encode("utf-8")
    _decoded(path, decoder, b"", codec, offset, final=True)
    if codec in {"cp1252", "iso8859-1", "iso8859-15"} and is_utf8 and accents:
        raise SourceError(
            f"{path.name} : la fiche annonce l'encodage {codec}, mais le fichier est en UTF-8. "
            "Le producteur a changé d'encodage : écrire `encoding: utf-8` dans la fiche."
        )


def _decoded(path: Path, decoder, block: bytes, codec: str, offset: int, *, final: bool = False) -> str:
    try:
        return decoder.decode(block, final)
    except UnicodeDecodeError as error:
        bad = error.object[error.start : error.start + 1].hex()
        raise SourceError(
            f"{path.name} : n'est pas en {codec} (octet 0x{bad}, vers la position {offset + error.start}). "
            "Le producteur a changé d'encodage, ou le fichier est abîmé : corriger l'option `encoding` de la fiche "
            "(utf-8, cp1252, latin-1)."
        ) from error


def _codec(path: Path, encoding: str) -> str:
    try:
        name = codecs.lookup(encoding).name
    except LookupError as error:
        raise SourceError(
            f"{path.name} : encodage inconnu « {encoding} » dans la fiche (utf-8, utf-8-sig, cp1252, latin-1, utf-16)."
        ) from error
    return "utf-8" if name == "utf-8-sig" else name


def _has_bom(path: Path) -> bool:
    with path.open("rb") as stream:
        return stream.read(3) == codecs.BOM_UTF8
