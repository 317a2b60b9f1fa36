"""Maps of a territory: kinds with plain names, classes, palettes, one page layout.

Pure drawing: frames and geometries in, a matplotlib `Figure` out. Nothing here fetches, nothing computes an indicator.
"""

from diagnostics.cartography.classes import class_breaks
from diagnostics.cartography.maps import (
    alternative_text,
    choropleth,
    concentrations,
    locator,
    proportional_symbols,
    typology,
)
from diagnostics.cartography.model import MapContext, MapSpec, Mark
from diagnostics.cartography.saving import save

__all__ = [
    "MapContext",
    "MapSpec",
    "Mark",
    "alternative_text",
    "choropleth",
    "class_breaks",
    "concentrations",
    "locator",
    "proportional_symbols",
    "save",
    "typology",
]
