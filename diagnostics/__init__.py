"""How it is computed: plain Python, no Dagster, usable from a notebook: `import diagnostics as dx`.

The public functions are those of `diagnostics.api`. They are loaded at first use, because they bring pandas, DuckDB and
matplotlib with them and most imports of the package want none of the three.
"""

from __future__ import annotations

import importlib

__all__ = [
    "boundaries",
    "compare",
    "compute",
    "connect",
    "indicator",
    "list_indicators",
    "list_sources",
    "list_territories",
    "map",
    "scenario_access",
    "values",
    "variables",
]


def __getattr__(name: str):
    if name in __all__:
        return getattr(importlib.import_module("diagnostics.api"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
