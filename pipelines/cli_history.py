"""`diagnostic diff`: two dated copies of a CLS side by side. Reads the history; computes nothing anew."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Annotated

import typer

from diagnostics.catalog import load_catalog
from diagnostics.errors import CatalogError, DiagnosticError
from diagnostics.storage import Storage, replacing


def diff_command(
    first: Annotated[str, typer.Argument(metavar="DATE1", help="Copie la plus ancienne, AAAA-MM-JJ.")],
    second: Annotated[str, typer.Argument(metavar="DATE2", help="Copie la plus récente, AAAA-MM-JJ.")],
    territory: Annotated[
        list[str] | None, typer.Option("--territory", "-t", help="Territoire (répétable) ; tous par défaut.")
    ] = None,
    html: Annotated[
        Path | None, typer.Option("--html", help="Écrire aussi une page par territoire dans ce dossier.")
    ] = None,
) -> None:
    from diagnostics import changes  # noqa: PLC0415
    from diagnostics.changes.history import territories  # noqa: PLC0415

    catalog, processed = load_catalog(), Storage.from_environment().processed
    before, after = sorted((_day(first), _day(second)))
    for name in territory or []:
        catalog.territory(name)
    names = territory or [t for t in territories(processed, after) if t in territories(processed, before)]
    if not names:
        known = ", ".join(d.isoformat() for d in changes.dates(processed)) or "aucune"
        raise DiagnosticError(
            f"Aucun territoire n'a de copie à la fois au {before.isoformat()} et au {after.isoformat()}. "
            f"Dates gardées : {known}."
        )
    for name in names:
        found = changes.compare(
            changes.read_copy(processed, before, name), changes.read_copy(processed, after, name), catalog
        )
        typer.echo(changes.to_markdown(found))
        if html is not None:
            with replacing(html / f"{name}.html") as temporary:
                temporary.write_text(changes.to_html(found), encoding="utf-8")


def _day(text: str) -> datetime.date:
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise CatalogError(f"« {text} » n'est pas une date : écrire AAAA-MM-JJ, par exemple 2026-11-22.") from None
