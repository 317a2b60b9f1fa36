"""From the bytes as published to a plain UTF-8 file DuckDB can stream: gzip, LZMA, a member of a zip or 7z, encodings.

Everything is streamed in blocks, checked to its end (CRC, end-of-stream marker), and never accepted by halves.
"""

from __future__ import annotations

import codecs
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from diagnostics.errors import SourceError
from diagnostics.sources import archives

BLOCK = 1 << 22

LineFilter = Callable[[Iterator[bytes]], Iterator[bytes]]


def extracted(path: Path, member: str, folder: Path) -> Path:
    """The one member of the zip or 7z archive `path` whose name, or base name, is or matches `member`, in `folder`.

    Raises SourceError when the archive is cut, corrupted, a bomb, or holds no such member, or several.
    """
    name = _member(path, member)
    # Only its base name: a member never chooses where it is written.
    return archives.extract(path, name, folder / "member" / Path(name).name)


def plain_text(path: Path, folder: Path, encoding: str, *, keep: LineFilter | None = None) -> Path:
    """A UTF-8 file holding the text of `path`, decompressed, without BOM; `path` itself when it already is one.

    `keep` filters blocks of whole lines. Raises SourceError when the file is cut, corrupted, a decompression bomb, or
    not in `encoding`.
    """
    codec = _codec(path, encoding)
    packed = path.suffix.lower() in archives.OPENERS
    if not packed and codec == "utf-8" and keep is None and not _has_bom(path):
        return path
    blocks = _utf8(path, archives.decompressed(path) if packed else _blocks(path), codec)
    target = folder / "text.csv"
    with target.open("wb") as out:
        for block in keep(blocks) if keep else blocks:
            out.write(block)
    return target


def _member(path: Path, wanted: str) -> str:
    """The one member whose name, or base name, is or matches `wanted`."""
    files = archives.members(path)
    exact = [name for name in files if wanted in (name, Path(name).name)]
    found = exact or [name for name in files if fnmatch(Path(name).name.lower(), wanted.lower())]
    if len(found) != 1:
        problem = "aucun fichier" if not found else f"{len(found)} fichiers"
        raise SourceError(
            f"{path.name} : {problem} de l'archive répond à « {wanted} ». L'archive contient : "
            f"{', '.join(files[:12]) or '(rien)'}. Corriger l'option `member` de la fiche."
        )
    return found[0]


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
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
