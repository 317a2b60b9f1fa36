"""Is this file what its name says? Producers' servers answer 200 with an error page, or with half a file."""

from __future__ import annotations

import codecs
from itertools import islice
from pathlib import Path

import pyarrow
import pyarrow.parquet

from diagnostics.errors import SourceError
from diagnostics.sources.archives import BOUNDS, Bounds, check_archive, decompressed

HEAD = 1 << 16
TEXT = {".csv", ".txt", ".tsv"}
MAGIC = {
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
    b"\x1f\x8b": "gz",
    b"\xfd7zXZ\x00": "xz",
    b"]\x00\x00": "lzma",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"PAR1": "parquet",
    b"\xd0\xcf\x11\xe0": "xls",
    b"SQLite format 3\x00": "gpkg",
}
EXPECTED = {
    ".zip": "zip", ".xlsx": "zip", ".ods": "zip", ".gz": "gz", ".xz": "xz", ".lzma": "lzma", ".7z": "7z",
    ".parquet": "parquet", ".xls": "xls", ".gpkg": "gpkg", ".json": "json", ".geojson": "json",
    ".csv": "texte", ".txt": "texte", ".tsv": "texte",
}  # fmt: skip
HTML = (b"<!doctype html", b"<html", b"<head", b"<body", b"<script", b"<!--")
WORKBOOK = {".xlsx": "[Content_Types].xml", ".ods": "content.xml"}


def sniff(head: bytes) -> str:
    """What the first bytes are: `vide html json xml texte`, or a binary format (`zip gz xz 7z parquet xls gpkg`)."""
    for magic, kind in MAGIC.items():
        if head.startswith(magic):
            return kind
    text = head.removeprefix(codecs.BOM_UTF8).lstrip()
    if not text:
        return "vide"
    if text[:32].lower().startswith(HTML) or (text.startswith(b"<?xml") and b"<html" in text[:2048].lower()):
        return "html"
    if text.startswith(b"<"):
        return "xml"
    if text[:1] in b"{[":
        return "json"
    utf16 = head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    return "binaire" if b"\0" in head and not utf16 else "texte"


def check_content(path: Path, name: str, bounds: Bounds = BOUNDS) -> None:
    """Raise SourceError unless the bytes of `path` are whole and of the kind that `name` announces by its suffix.

    A name without a known suffix accepts any kind but an HTML page. Encodings are the reader's matter.
    """
    suffix = Path(name).suffix.lower()
    with path.open("rb") as stream:
        head = stream.read(HEAD)
    found = sniff(head)
    expected = EXPECTED.get(suffix)
    if found == "vide":
        raise SourceError(f"fichier vide au lieu de {name}")
    if found == "html":
        raise SourceError(f"page HTML au lieu de {name} (début : {_excerpt(head)})")
    if expected is not None and found != expected:
        raise SourceError(f"contenu « {found} » au lieu de « {expected} » pour {name} (début : {_excerpt(head)})")
    if suffix in TEXT:
        _check_text(head, name)
    if found in ("zip", "7z"):
        members = check_archive(path, bounds)
        if suffix in WORKBOOK and WORKBOOK[suffix] not in members:
            raise SourceError(f"une archive zip, mais pas un classeur, au lieu de {name}")
    elif suffix in (".gz", ".xz", ".lzma"):
        _check_compressed(path, name, bounds)
    elif found == "parquet":
        _check_parquet(path, name)
    elif expected == "json":
        _check_json_end(path, name)


def _check_text(head: bytes, name: str) -> None:
    lines = [line for line in head.splitlines() if line.strip()]
    if len(lines) < 2 and not any(separator in head for separator in b";,|\t"):
        raise SourceError(f"une seule ligne sans séparateur au lieu de {name} : {_excerpt(head)}")


def _check_compressed(path: Path, name: str, bounds: Bounds) -> None:
    blocks = decompressed(path, bounds)
    head = next(blocks, b"")
    for _ in blocks:
        pass
    inner = Path(name).stem
    if sniff(head[:HEAD]) in ("vide", "html"):
        raise SourceError(f"{sniff(head[:HEAD])} une fois décompressé, au lieu de {inner}")


def _check_parquet(path: Path, name: str) -> None:
    try:
        pyarrow.parquet.read_metadata(path)
    except (pyarrow.ArrowException, OSError) as error:
        raise SourceError(f"Parquet illisible ou tronqué : {name} ({str(error).splitlines()[0]})") from error


def _check_json_end(path: Path, name: str) -> None:
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - 64))
        end = stream.read().rstrip()
    if end[-1:] not in (b"}", b"]"):
        raise SourceError(f"JSON tronqué : {name} ne se termine pas")


def _excerpt(head: bytes) -> str:
    words = head.decode("utf-8", "replace").replace("\x00", "").split()
    return "« " + " ".join(islice(words, 12))[:100] + " »"
