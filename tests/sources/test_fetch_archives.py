"""Opening archives that may be hostile or damaged: the right bytes, or one error, and never a file outside."""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import zipfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from producer import table

from diagnostics.errors import SourceError
from diagnostics.sources.archives import Bounds, check_zip, decompressed, extract
from diagnostics.sources.content import check_content, sniff

BODY = table(300)


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_extract_gives_one_member_whole(tmp_path):
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped({"dossier/pop.csv": BODY, "autre.csv": b"x"}))
    assert check_zip(archive) == ["dossier/pop.csv", "autre.csv"]
    assert extract(archive, "dossier/pop.csv", tmp_path / "pop.csv").read_bytes() == BODY
    with pytest.raises(SourceError, match=r"dossier/pop\.csv"):
        extract(archive, "absent.csv", tmp_path / "absent.csv")
    assert not (tmp_path / "absent.csv").exists()


def test_an_empty_archive_is_refused(tmp_path):
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped({}))
    with pytest.raises(SourceError, match="vide"):
        check_zip(archive)


def test_extract_stops_at_the_bounds_and_leaves_nothing(tmp_path):
    archive = tmp_path / "a.zip"
    archive.write_bytes(zipped({"pop.csv": BODY * 50}))
    with pytest.raises(SourceError, match="bombe"):
        extract(archive, "pop.csv", tmp_path / "pop.csv", Bounds(total=1000, tolerated=1000))
    assert {p.name for p in tmp_path.iterdir()} == {"a.zip"}


def test_a_size_that_lies_is_caught_by_its_checksum(tmp_path):
    """The central directory says 10 bytes; the member holds more."""
    content = bytearray(zipped({"pop.csv": BODY}))
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
    archive = tmp_path / "a.zip"
    archive.write_bytes(content)
    with pytest.raises(SourceError, match="illisible"):
        check_zip(archive)


@settings(max_examples=150, deadline=None)
@given(at=st.integers(0, 2000), bit=st.integers(0, 7), cut=st.booleans(), kind=st.sampled_from(["zip", "gz", "xz"]))
def test_a_damaged_archive_is_an_error_or_the_same_bytes(tmp_path_factory, at, bit, cut, kind):
    whole = {"zip": zipped({"pop.csv": BODY}), "gz": gzip.compress(BODY, mtime=0), "xz": lzma.compress(BODY)}[kind]
    damaged = bytearray(whole)
    at %= len(whole)
    if cut:
        del damaged[at:]
    else:
        damaged[at] ^= 1 << bit
    folder = tmp_path_factory.mktemp("archive")
    path = folder / f"a.{kind}"
    path.write_bytes(damaged)
    try:
        if kind == "zip":
            names = check_zip(path)
            content = extract(path, names[0], folder / "out").read_bytes()
        else:
            content = b"".join(decompressed(path))
    except SourceError:
        return
    assert content == BODY


@settings(max_examples=200, deadline=None)
@given(head=st.binary(max_size=80), name=st.sampled_from(["a.csv", "a.zip", "a.xlsx", "a.parquet", "a.json", "a.data"]))
def test_any_bytes_have_a_kind_and_either_pass_or_are_a_source_error(tmp_path_factory, head, name):
    kinds = {"vide", "html", "json", "xml", "texte", "binaire"}
    assert sniff(head) in kinds | {"zip", "gz", "xz", "lzma", "7z", "parquet", "xls", "gpkg"}
    path = tmp_path_factory.mktemp("content") / name
    path.write_bytes(head)
    with contextlib.suppress(SourceError):
        check_content(path, name)
