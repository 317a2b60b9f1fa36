"""Opening archives that may be hostile or damaged: the right bytes, or one error, and never a file outside."""

from __future__ import annotations

import contextlib
import gzip
import io
import lzma
import zipfile
from pathlib import Path

import py7zr
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from producer import table

from diagnostics.errors import SourceError
from diagnostics.sources.archives import Bounds, check_archive, decompressed, extract
from diagnostics.sources.content import check_content, sniff
from diagnostics.sources.readers import read

BODY = table(300)


def zipped(members: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def sevened(members: dict[str, bytes]) -> bytes:
    """Solid, as the producers make them."""
    out = io.BytesIO()
    with py7zr.SevenZipFile(out, "w") as archive:
        for name, content in members.items():
            # py7zr refuses to write a name that climbs: it is changed in its list, the way a hostile archive is made.
            archive.writestr(content, name.replace("..", "__").replace("/etc", "_etc"))
            archive.files.files_list[-1]["filename"] = name
    return out.getvalue()


MAKERS = {"zip": zipped, "7z": sevened}


@pytest.fixture(params=list(MAKERS))
def archive(request, tmp_path):
    """`archive(members)`: the path of an archive of one kind, then of the other."""

    def build(members: dict[str, bytes]) -> Path:
        path = tmp_path / f"a.{request.param}"
        path.write_bytes(MAKERS[request.param](members))
        return path

    return build


def test_extract_gives_one_member_whole(archive, tmp_path):
    path = archive({"dossier/pop.csv": BODY, "autre.csv": b"x"})
    assert check_archive(path) == ["dossier/pop.csv", "autre.csv"]
    assert extract(path, "dossier/pop.csv", tmp_path / "pop.csv").read_bytes() == BODY
    assert extract(path, "autre.csv", tmp_path / "autre.csv").read_bytes() == b"x"
    with pytest.raises(SourceError, match=r"dossier/pop\.csv"):
        extract(path, "absent.csv", tmp_path / "absent.csv")
    assert not (tmp_path / "absent.csv").exists()


def test_an_empty_archive_is_refused(archive):
    with pytest.raises(SourceError, match=r"vide|ne s'ouvre pas"):
        check_archive(archive({}))


@pytest.mark.parametrize("member", ["../../x", "/etc/x", "a/../../x", "..\\x", "C:/x"])
def test_a_member_that_leaves_its_folder_condemns_the_archive(archive, tmp_path, member):
    path = archive({"bon.csv": BODY, member: b"1"})
    with pytest.raises(SourceError, match="sortirait de son dossier"):
        check_archive(path)
    with pytest.raises(SourceError, match="sortirait de son dossier"):
        extract(path, "bon.csv", tmp_path / "bon.csv")
    assert {p.name for p in tmp_path.iterdir()} == {path.name}


def test_extract_stops_at_the_bounds_and_leaves_nothing(archive, tmp_path):
    path = archive({"pop.csv": BODY * 50})
    with pytest.raises(SourceError, match="bombe"):
        extract(path, "pop.csv", tmp_path / "pop.csv", Bounds(total=1000, tolerated=1000))
    with pytest.raises(SourceError, match="bombe"):
        check_archive(path, Bounds(total=1000, tolerated=1000))
    assert {p.name for p in tmp_path.iterdir()} == {path.name}


def test_a_bomb_is_refused(archive):
    with pytest.raises(SourceError, match="bombe"):
        check_archive(archive({"a.csv": b"0" * (80 << 20)}))


def test_a_locked_archive_is_told(tmp_path):
    path = tmp_path / "a.7z"
    with py7zr.SevenZipFile(path, "w", password="secret") as archive:
        archive.writestr(BODY, "pop.csv")
    with pytest.raises(SourceError, match="mot de passe"):
        check_archive(path)


def test_a_member_of_a_7z_is_read_by_its_layout(tmp_path):
    path = tmp_path / "admin.7z"
    path.write_bytes(sevened({"ADMIN/lisez-moi.txt": b"IGN", "ADMIN/1_DONNEES/COMMUNE.csv": BODY}))
    assert len(read(path, "csv", {"member": "COMMUNE*.csv"})) == 600
    with pytest.raises(SourceError, match="`member`"):
        read(path, "csv")


def test_a_size_that_lies_is_caught_by_its_checksum(tmp_path):
    """The central directory says 10 bytes; the member holds more."""
    content = bytearray(zipped({"pop.csv": BODY}))
    directory = content.rindex(b"PK\x01\x02")
    content[directory + 24 : directory + 28] = (10).to_bytes(4, "little")
    archive = tmp_path / "a.zip"
    archive.write_bytes(content)
    with pytest.raises(SourceError, match="illisible"):
        check_archive(archive)


WHOLE = {
    **{kind: build({"pop.csv": BODY}) for kind, build in MAKERS.items()},
    "gz": gzip.compress(BODY, mtime=0),
    "xz": lzma.compress(BODY),
}


@settings(max_examples=200, deadline=None)
@given(at=st.integers(0, 2000), bit=st.integers(0, 7), cut=st.booleans(), kind=st.sampled_from(list(WHOLE)))
def test_a_damaged_archive_is_an_error_or_the_same_bytes(tmp_path_factory, at, bit, cut, kind):
    damaged = bytearray(WHOLE[kind])
    at %= len(damaged)
    if cut:
        del damaged[at:]
    else:
        damaged[at] ^= 1 << bit
    folder = tmp_path_factory.mktemp("archive")
    path = folder / f"a.{kind}"
    path.write_bytes(damaged)
    try:
        if kind in MAKERS:
            names = check_archive(path)
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
