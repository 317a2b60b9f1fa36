"""Cards built in a line for the tests of readers and observations."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from diagnostics.catalog.models import Source


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
