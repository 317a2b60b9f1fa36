"""`carto.gpkg`: the figures of one CLS on its outlines, ready for QGIS.

One layer a level (`communes`, `epci`, `cls`), one column per indicator and one for its reliability, latest period of
each; a table `champs` says what each column means.
"""

from __future__ import annotations

import datetime
import shutil
import tempfile
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio
from upath import UPath

from diagnostics.catalog import Catalog
from diagnostics.errors import GeographyError
from diagnostics.geography.boundaries import read_boundaries
from diagnostics.storage import replacing
from diagnostics.workshop import Workshop

LAYERS = {"communes": "commune", "epci": "epci", "cls": "cls"}
RELIABILITY = "_fiabilite"


def layers_of(workshop: Workshop, territory_id: str, values: pd.DataFrame) -> dict[str, gpd.GeoDataFrame]:
    """Layer name -> GeoDataFrame(code, nom, <indicator>, <indicator>_fiabilite…, geometry), in one projection.

    `values`: rows of the public table. Raises GeographyError when the CLS has no outline.
    """
    membership, zones = workshop.read_membership(), workshop.read_zones()
    epsg, perimeter = outline_of(workshop, territory_id)
    members = membership.loc[
        (membership["parent_type"] == "cls") & (membership["parent_code"] == territory_id), "child_code"
    ]
    links = membership[(membership["child_type"] == "commune") & membership["child_code"].isin(members)]
    layers = {}
    for layer, level in LAYERS.items():
        codes = [territory_id] if level == "cls" else links.loc[links["parent_type"] == level, "parent_code"].unique()
        ground = perimeter if level == "cls" else read_boundaries(workshop.storage.geography, level)[epsg]
        ground = ground.loc[ground["code"].isin(codes), ["code", "geometry"]].sort_values("code")
        names = zones[zones["zone_type"] == level].set_index("zone_code")["zone_name"]
        frame = ground.assign(nom=ground["code"].map(names))[["code", "nom", "geometry"]]
        layers[layer] = frame.merge(wide(values[values["zone_type"] == level]), on="code", how="left", validate="1:1")
    return layers


def outline_of(workshop: Workshop, territory_id: str) -> tuple[int, gpd.GeoDataFrame]:
    """(EPSG, GeoDataFrame of one row) of the outline of a CLS."""
    for epsg, frame in read_boundaries(workshop.storage.geography, "cls").items():
        own = frame[frame["code"] == territory_id]
        if len(own):
            return epsg, own
    raise GeographyError(f"Territoire « {territory_id} » : aucun contour connu. Relancer `diagnostic run`.")


def wide(values: pd.DataFrame) -> pd.DataFrame:
    """DataFrame(code, <indicator>, <indicator>_fiabilite, …): latest period; indicators never known are left out."""
    latest = values.sort_values("period").drop_duplicates(["indicator_id", "zone_code"], keep="last")
    latest = latest.astype({"indicator_id": str, "reliability": str, "zone_code": str})
    figures = latest.pivot(index="zone_code", columns="indicator_id", values="value").dropna(axis=1, how="all")
    flags = latest.pivot(index="zone_code", columns="indicator_id", values="reliability")[figures.columns]
    both = pd.concat([figures, flags.add_suffix(RELIABILITY)], axis=1)
    order = [name for indicator in figures.columns for name in (indicator, indicator + RELIABILITY)]
    return both[order].rename_axis("code").rename_axis(columns=None).reset_index()


def meanings(layers: dict[str, gpd.GeoDataFrame], catalog: Catalog, values: pd.DataFrame) -> pd.DataFrame:
    """DataFrame(champ, libelle, unite, periode, sources): one row per indicator of the layers."""
    present = {name for frame in layers.values() for name in frame.columns if name in catalog.indicators}
    rows = (
        values[values["indicator_id"].isin(present)].sort_values("period").drop_duplicates("indicator_id", keep="last")
    )
    told = rows.set_index("indicator_id")
    return pd.DataFrame(
        [
            {
                "champ": name,
                "libelle": catalog.indicators[name].label,
                "unite": catalog.indicators[name].unit,
                "periode": told.at[name, "period"],
                "sources": told.at[name, "dataset_ids"],
            }
            for name in sorted(present)
        ]
    )


def write_layers(workshop: Workshop, territory_id: str, values: pd.DataFrame, target: UPath) -> dict[str, int]:
    """Write the GeoPackage, whole or not at all; returns layer -> number of zones.

    The same figures give the same bytes: the file says when they were computed, not when it was written.
    """
    layers = layers_of(workshop, territory_id, values)
    computed_at = pd.Timestamp(values["computed_at"].max()).tz_convert(datetime.UTC)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / target.name
        # The GeoPackage driver writes the date of each layer from this option, and from the clock without it.
        pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": f"{computed_at:%Y-%m-%dT%H:%M:%S.000Z}"})
        try:
            for name, frame in layers.items():
                pyogrio.write_dataframe(
                    frame, made, layer=name, driver="GPKG", append=made.exists(), promote_to_multi=True
                )
            pyogrio.write_dataframe(
                meanings(layers, workshop.catalog, values), made, layer="champs", driver="GPKG", append=True
            )
        finally:
            pyogrio.set_gdal_config_options({"OGR_CURRENT_DATE": None})
        with replacing(target) as temporary, made.open("rb") as source, temporary.open("wb") as destination:
            shutil.copyfileobj(source, destination, 1 << 20)
    return {name: len(frame) for name, frame in layers.items()}
