"""A small invented France, and the real one where the mirror is."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import places
import pytest

from diagnostics.geography.reference import Reference, build_reference


@pytest.fixture
def reference() -> Reference:
    return build_reference(places.insee_tables())


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


def read_text(path: Path, **options) -> pd.DataFrame:
    return pd.read_csv(path, dtype=str, keep_default_na=False, **options)
