"""The cards of `catalog/`: their models, and loading them."""

from diagnostics.catalog.loading import Catalog, load_card, load_catalog
from diagnostics.catalog.models import (
    Axis,
    Control,
    Distribution,
    Formula,
    Indicator,
    Joined,
    Observations,
    Profile,
    Source,
    Territory,
    Theme,
    Variable,
)

__all__ = [
    "Axis",
    "Catalog",
    "Control",
    "Distribution",
    "Formula",
    "Indicator",
    "Joined",
    "Observations",
    "Profile",
    "Source",
    "Territory",
    "Theme",
    "Variable",
    "load_card",
    "load_catalog",
]
