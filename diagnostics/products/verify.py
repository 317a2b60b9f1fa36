"""The proof that a diagnostic rebuilds: what differs between its package and a second making of it, in French.

Figures are compared, not bytes: a date of production or a picture is no figure. Two doubles are the same figure when
they differ by less than `TOLERANCE` of their size: several threads add up in an order of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from html.parser import HTMLParser
from itertools import zip_longest
from numbers import Real
from pathlib import Path

import numpy as np
import pandas as pd
from python_calamine import CalamineWorkbook
from upath import UPath

from diagnostics.errors import DiagnosticError
from diagnostics.products.code_version import code_state
from diagnostics.products.extract import values_of
from diagnostics.products.package import VALUES
from diagnostics.sources.receipts import file_sha256
from diagnostics.storage import on_disk
from diagnostics.workshop import Workshop

TOLERANCE = 1e-9
SHOWN = 5
KEY = ["indicator_id", "zone_type", "zone_code", "period"]
MONTHS = "janvier|février|mars|avril|mai|juin|juillet|août|septembre|octobre|novembre|décembre"
DATE = re.compile(
    rf"\b(\d{{1,2}}|1er)[\s\u202f\u00a0]+({MONTHS})[\s\u202f\u00a0]+\d{{4}}\b|\b\d{{2}}/\d{{2}}/\d{{4}}\b"
)


def input_differences(package: dict, workshop: Workshop) -> list[str]:
    """Files of the package that are not here with the same bytes; every one is hashed again."""
    found = []
    here = {(s, d.id): d for s in workshop.sources for d in workshop.distributions(s)}
    for source in package["sources"]:
        name = f"{source['dataset']}/{source['distribution']}"
        distribution = here.pop((source["dataset"], source["distribution"]), None)
        if distribution is None:
            found.append(f"fichier {name} : la carte de source ne le nomme plus dans le profil « {workshop.profile} ».")
            continue
        receipt = workshop.receipt(source["dataset"], distribution)
        if receipt is None:
            found.append(f"fichier {name} : absent, ou remplacé depuis ({source['address']}).")
            continue
        sha256 = file_sha256(workshop.raw_file(source["dataset"], distribution).path)
        if f"sha256:{sha256}" != source["hash"]:
            found.append(f"fichier {name} : empreinte {sha256[:12]}…, {source['hash'][7:19]}… attendue.")
    added = [f"{s}/{d.id}" for (s, _), d in here.items() if workshop.receipt(s, d) is not None]
    return found + [f"fichier {name} : venu depuis, le diagnostic n’en disposait pas." for name in sorted(added)]


def code_differences(package: dict) -> list[str]:
    """What changed in the installation since: not an error, but why figures may differ."""
    then, now = package["code"], code_state()
    said = {"code": "le code", "cards": "les cartes du catalogue", "python": "la version de Python"}
    found = [f"{text} ({then[key]}, {now[key]} maintenant)" for key, text in said.items() if then[key] != now[key]]
    for name, version in now["libraries"].items():
        if then["libraries"].get(name) != version:
            found.append(f"la bibliothèque {name} ({then['libraries'].get(name, 'absente')}, {version} maintenant)")
    return found


def figure_differences(territory_id: str, made: Workshop, remade: Workshop) -> list[str]:
    """Values, annex and report of a CLS, as they stand and as made again. Empty when every figure is the same."""
    before, after = made.storage.territory(territory_id), remade.storage.territory(territory_id)
    return [
        *value_differences(pd.read_parquet(on_disk(_needed(before / VALUES))), values_of(remade, territory_id)),
        *cell_differences(_needed(before / "annexe.xlsx"), after / "annexe.xlsx"),
        *text_differences(_needed(before / "rapport.html"), after / "rapport.html"),
    ]


def value_differences(before: pd.DataFrame, after: pd.DataFrame) -> list[str]:
    """Rows of the public table that appeared, vanished or changed, `computed_at` left aside."""
    both = before.merge(after, on=KEY, how="outer", suffixes=("", "_again"), indicator=True, validate="1:1")
    both["row"] = both[KEY].astype(str).agg(" / ".join, axis=1)
    gone, come = (both.loc[both["_merge"] == side, "row"] for side in ("left_only", "right_only"))
    found = []
    if len(gone):
        found.append(f"indicators.parquet : {len(gone)} ligne(s) ne reviennent pas : {_some(gone)}.")
    if len(come):
        found.append(f"indicators.parquet : {len(come)} ligne(s) de plus : {_some(come)}.")
    kept = both[both["_merge"] == "both"]
    for column in before.columns:
        if column in KEY or column == "computed_at":
            continue
        differs = ~_same(kept[column], kept[f"{column}_again"])
        if differs.any():
            lines = kept[differs]
            shown = [f"{r.row} ({getattr(r, column)} → {getattr(r, column + '_again')})" for r in lines.itertuples()]
            found.append(f"indicators.parquet, colonne {column} : {len(lines)} ligne(s) : {_some(shown)}.")
    return found


def _same(before: pd.Series, after: pd.Series) -> np.ndarray:
    if pd.api.types.is_float_dtype(before) and pd.api.types.is_float_dtype(after):
        return np.isclose(before, after, rtol=TOLERANCE, atol=0, equal_nan=True)
    before, after = before.astype(object), after.astype(object)
    return ((before == after) | (before.isna() & after.isna())).to_numpy(dtype=bool)


def cell_differences(before: UPath | Path, after: UPath | Path) -> list[str]:
    """Cells of two workbooks that differ, dates of production left aside."""
    books = [CalamineWorkbook.from_path(str(on_disk(path))) for path in (before, after)]
    if books[0].sheet_names != books[1].sheet_names:
        return [f"annexe.xlsx : feuilles {books[0].sheet_names}, {books[1].sheet_names} en la refaisant."]
    found = []
    for name in books[0].sheet_names:
        rows = [book.get_sheet_by_name(name).to_python() for book in books]
        places = [
            f"ligne {i}, colonne {j} ({a} → {b})"
            for i, (line, again) in enumerate(zip_longest(*rows, fillvalue=[]), start=1)
            for j, (a, b) in enumerate(zip_longest(line, again, fillvalue=""), start=1)
            if not _same_cell(a, b)
        ]
        if places:
            found.append(f"annexe.xlsx, feuille « {name} » : {len(places)} cellule(s) : {_some(places)}.")
    return found


def _same_cell(a: object, b: object) -> bool:
    if isinstance(a, Real) and isinstance(b, Real):
        return bool(np.isclose(float(a), float(b), rtol=TOLERANCE, atol=0, equal_nan=True))
    return DATE.sub("date", str(a)) == DATE.sub("date", str(b))


def text_differences(before: UPath | Path, after: UPath | Path) -> list[str]:
    """Passages of the visible text of two pages that differ, dates left aside."""
    texts = [_visible_text(on_disk(path).read_text(encoding="utf-8")) for path in (before, after)]
    places = [f"« {a} » → « {b} »" for a, b in zip_longest(*texts, fillvalue="") if a != b]
    return [f"rapport.html : {len(places)} passage(s) : {_some(places)}."] if places else []


class _Text(HTMLParser):
    """The text that a reader sees."""

    def __init__(self) -> None:
        super().__init__()
        self.passages: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list) -> None:
        self._hidden += tag in ("style", "script")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("style", "script")

    def handle_data(self, data: str) -> None:
        if not self._hidden and data.strip():
            self.passages.append(DATE.sub("date", " ".join(data.split())))


def _visible_text(page: str) -> list[str]:
    reader = _Text()
    reader.feed(page)
    return reader.passages


def _needed(path: UPath) -> UPath:
    if not path.exists():
        raise DiagnosticError(
            f"{path} n’existe pas ou plus, alors que le descripteur le nomme. Relancer `diagnostic run`."
        )
    return path


def _some(items: Iterable[object]) -> str:
    items = [str(item) for item in items]
    return " ; ".join(items[:SHOWN]) + (" ; …" if len(items) > SHOWN else "")
