"""Where files live, how they are read from anywhere, and written so that a killed run leaves nothing half-written.

Products lie under one folder: `data/` of the project, or the folder (path or `s3://…`) named by `DIAGNOSTIC_DATA`.
Nothing else in the house knows whether that is a disk: a product is read through `on_disk` and written through
`replacing`, so pandas, DuckDB, GDAL and Pillow only ever see ordinary files.
"""

from __future__ import annotations

import glob
import hashlib
import os
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from upath import UPath

from diagnostics.errors import DiagnosticError

PROJECT_ROOT = Path(__file__).resolve().parents[1]

CACHE_BYTES = 5_000_000_000
"""How much of a remote store is kept on this machine, unless `DIAGNOSTIC_CACHE_BYTES` says otherwise."""
IN_USE_SECONDS = 900
"""A copy that served so recently may still be about to be opened: it is not forgotten."""
ASKED_AT_ONCE = 32
UNFINISHED_SECONDS = 3600
"""A temporary file that was not written to for that long belongs to a process that died."""


@dataclass(frozen=True)
class Storage:
    """The folders of one installation.

    `root` holds `processed/`, on a disk or an object store. `files`, `root` unless given, holds `raw/` and `manual/`:
    a download is resumed and locked in place, which asks for a disk, of this machine or shared by several.
    """

    root: UPath
    files: UPath | None = None

    @classmethod
    def from_environment(cls) -> Storage:
        """`DIAGNOSTIC_DATA` when set, else `data/` of the project; that one keeps the raw files of a remote store
        unless `DIAGNOSTIC_FILES` names another folder for them. DiagnosticError when the store cannot be reached for
        want of a library."""
        project = UPath(PROJECT_ROOT / "data")
        told, files = os.environ.get("DIAGNOSTIC_DATA"), os.environ.get("DIAGNOSTIC_FILES")
        root = _opened(told) if told else project
        return cls(root, UPath(files) if files else None if is_local(root) else project)

    @property
    def raw(self) -> UPath:
        return (self.files or self.root) / "raw"

    @property
    def manual(self) -> UPath:
        return (self.files or self.root) / "manual"

    @property
    def processed(self) -> UPath:
        return self.root / "processed"

    @property
    def geography(self) -> UPath:
        return self.processed / "geography"

    @property
    def observations(self) -> UPath:
        return self.processed / "observations"

    @property
    def values(self) -> UPath:
        """The public table of indicators."""
        return self.processed / "indicators" / "values.parquet"

    def types(self, table: str) -> UPath:
        """A table of the typology: `zones`, `classes` or `profile`."""
        return self.processed / "indicators" / f"typology_{table}.parquet"

    def territory(self, territory_id: str) -> UPath:
        return self.processed / "territories" / territory_id

    def patterns(self, territory_id: str) -> UPath:
        """The folder of the concentrations of one CLS and of the maps of its patterns."""
        return self.territory(territory_id) / "patterns"


def _opened(told: str) -> UPath:
    try:
        root = UPath(told)
        if not is_local(root):
            # A listing remembered by this process would hide what another worker wrote since.
            root = UPath(told, use_listings_cache=False)
            root.fs  # noqa: B018 - the library is loaded here
    except (ImportError, ValueError) as error:
        raise DiagnosticError(
            f"DIAGNOSTIC_DATA désigne {told}, que cette installation ne sait pas lire ({error}). "
            "Pour S3 : `pip install --constraint constraints.txt --editable '.[deploy]'`."
        ) from error
    return root


def is_local(path: UPath | Path) -> bool:
    """Whether `path` is a file of this machine, for libraries that know no other."""
    return UPath(path).protocol in ("", "file", "local")


def on_disk(path: UPath | Path) -> Path:
    """`path` as a file of this machine: itself, or a copy of the present version of a remote one.

    Copies are kept in a bounded folder (`DIAGNOSTIC_CACHE`, else the system's temporary one), each under the mark that
    the store gives to that very version, so a product made again elsewhere is never mistaken for the former one. They
    are to be read, not written. FileNotFoundError when there is no such file.
    """
    path = UPath(path)
    if is_local(path):
        return Path(path.path)
    version = hashlib.sha256(f"{path} {path.fs.ukey(path.path)}".encode()).hexdigest()[:24]
    copy = _cache() / version / path.name
    if not copy.exists():
        copy.parent.mkdir(parents=True, exist_ok=True)
        with replacing(copy) as temporary:
            path.fs.get_file(path.path, str(temporary))
        _forget_the_oldest(keep=copy)
    copy.touch()
    return copy


def read_texts(paths: Sequence[UPath]) -> list[str | None]:
    """What small text files say, None for those that do not exist. A remote store is asked for many at once."""
    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        return list(pool.map(_text, paths))


def _text(path: UPath) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def _cache() -> Path:
    told = os.environ.get("DIAGNOSTIC_CACHE")
    return Path(told) if told else Path(tempfile.gettempdir()) / f"diagnostic-cls-{os.getuid()}"


def _forget_the_oldest(keep: Path) -> None:
    """Remove the copies that served least recently until the others fit. Another worker may do so at the same time."""
    allowed = int(os.environ.get("DIAGNOSTIC_CACHE_BYTES", CACHE_BYTES))
    found = []
    for copy in _cache().glob("*/*"):
        try:
            stat = copy.stat()
        except FileNotFoundError:  # just removed by another worker, or a temporary name that got its own
            continue
        found.append((stat.st_mtime, stat.st_size, copy))
    total = sum(size for _, size, _ in found)
    for used_at, size, copy in sorted(found):
        if total <= allowed or time.time() - used_at < IN_USE_SECONDS:
            return
        if copy != keep:
            copy.unlink(missing_ok=True)
            total -= size


@contextmanager
def replacing(target: UPath | Path) -> Iterator[UPath]:
    """Yield a temporary file of this machine; on success it becomes `target` at once, on any failure it vanishes.

    On a disk it lies beside `target` and is renamed. A remote target is sent whole, as one object: those who read it
    meanwhile have the former one, and a process killed in the middle has changed nothing.
    """
    target = UPath(target)
    # The suffix stays last because several writers choose their format by it.
    name = f".{target.stem}.{uuid.uuid4().hex[:8]}{target.suffix}"
    if not is_local(target):
        with tempfile.TemporaryDirectory(prefix="diagnostic-") as folder:
            temporary = UPath(folder) / name
            yield temporary
            target.fs.put_file(str(temporary), target.path)
        return
    target.parent.mkdir(parents=True, exist_ok=True)
    _forget_unfinished(target)
    temporary = target.with_name(name)
    try:
        yield temporary
        temporary.rename(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _forget_unfinished(target: UPath) -> None:
    """Remove what killed processes left of earlier attempts at `target`: nobody has written to it for a long time."""
    for path in target.parent.glob(f".{glob.escape(target.stem)}.????????{glob.escape(target.suffix)}"):
        try:
            dead = time.time() - path.stat().st_mtime > UNFINISHED_SECONDS
        except FileNotFoundError:  # its writer has just finished
            continue
        if dead:
            path.unlink(missing_ok=True)


def write_parquet(frame: pd.DataFrame, target: UPath | Path) -> None:
    """Write a (Geo)DataFrame as zstd Parquet, whole or not at all."""
    with replacing(target) as temporary:
        frame.to_parquet(temporary, compression="zstd", index=False)
