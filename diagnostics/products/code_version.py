"""Which code made a product: the version of the package, the commit where there is one, a digest of what computes."""

from __future__ import annotations

import importlib.metadata
import platform
import subprocess
from functools import cache

from diagnostics.stamps import digest, file_digest
from diagnostics.storage import PROJECT_ROOT

CODE, CARDS = ("diagnostics", "assets"), ("catalog",)
"""What figures depend on. `pipelines` says when things run, not what they are worth."""
LIBRARIES = ("duckdb", "geopandas", "matplotlib", "numpy", "pandas", "pyarrow", "pyproj", "scipy", "shapely")


@cache
def code_version() -> str:
    """`git describe` of the checkout, else the version of the installed package."""
    version = importlib.metadata.version("diagnostic-cls")
    described = (
        subprocess.run(
            ["git", "describe", "--always", "--dirty", "--tags"],
            cwd=PROJECT_ROOT, capture_output=True, text=True, check=False,
        )
        if (PROJECT_ROOT / ".git").exists()
        else None
    )  # fmt: skip
    return f"{version}+{described.stdout.strip()}" if described and described.returncode == 0 else version


@cache
def code_state() -> dict[str, object]:
    """Everything of the installation that a figure may depend on: compared by `diagnostic verify`."""
    return {
        "version": code_version(),
        "code": _digest_of(CODE, {".py", ".j2", ".css", ".html"}),
        "cards": _digest_of(CARDS, {".yaml"}),
        "python": platform.python_version(),
        "libraries": {name: importlib.metadata.version(name) for name in LIBRARIES},
    }


def _digest_of(folders: tuple[str, ...], suffixes: set[str]) -> str:
    files = sorted(f for name in folders for f in (PROJECT_ROOT / name).rglob("*") if f.suffix in suffixes)
    return digest([(f.relative_to(PROJECT_ROOT).as_posix(), file_digest(f)) for f in files])
