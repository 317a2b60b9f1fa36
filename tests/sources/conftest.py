"""Where the real files are, and cards built in a line for the tests of readers and observations."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from diagnostics.catalog.models import Source

settings.register_profile("house", deadline=None, max_examples=60, suppress_health_check=list(HealthCheck))
settings.load_profile("house")


@pytest.fixture(scope="session")
def mirror() -> Path:
    root = Path(__file__).resolve().parents[2]
    folder = Path(os.environ.get("DIAGNOSTIC_MIRROR", root.parent / "shared" / "open-data"))
    if not (folder / "MANIFEST.csv").exists():
        pytest.skip("miroir de données ouvertes absent (DIAGNOSTIC_MIRROR ou ../shared/open-data)")
    return folder


@pytest.fixture(scope="session")
def card() -> Callable[..., Source]:
    """`card(block, layout=…, options=…, variables=…, **rest of the source)`: a source of one distribution."""

    def build(*blocks: dict, layout: str = "csv", options: dict | None = None, **more) -> Source:
        distribution = {
            "id": "fichier",
            "profiles": ["mirror"],
            "address": "mirror://jeu/fichier",
            "vintage": "2024",
            "cog_year": 2024,
            "layout": layout,
            "options": options or {},
            "observations": list(blocks),
        }
        for key in ("rows", "table", "table_where", "cog_year"):
            if key in more:
                distribution[key] = more.pop(key)
        names = {name for block in blocks for name in block["values"]}
        variables = {name: {"label": name} for name in names} | more.pop("variables", {})
        return Source.model_validate(
            {
                "id": "jeu",
                "title": "Un jeu",
                "producer": "Insee",
                "licence": "Licence Ouverte 2.0",
                "homepage": "https://www.insee.fr",
                "citation": "Insee",
                "theme": "population",
                "variables": variables,
                "distributions": [distribution],
                **more,
            }
        )

    return build
