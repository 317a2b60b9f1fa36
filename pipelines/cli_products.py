"""`diagnostic verify`: the command that proves a diagnostic rebuilds. It computes nothing itself."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


def verify_command(
    territory: Annotated[str, typer.Argument(help="Identifiant du territoire, déjà produit.")],
) -> None:
    """Refaire un diagnostic à partir de son `datapackage.json`, et prouver que les chiffres sont les mêmes."""
    from pipelines.verify import verify  # noqa: PLC0415

    with err.status("Démarrage") as status:
        verdict = verify(territory, status.update)
    for line in verdict.changed_code:
        out.print(f"Changé depuis : {line}.", soft_wrap=True, markup=False)
    if verdict.holds:
        out.print("Vérifié : mêmes fichiers, mêmes chiffres (indicateurs, annexe et rapport).")
        return
    if verdict.inputs:
        err.print("Le diagnostic ne peut pas être refait : ses fichiers ne sont plus les mêmes.")
    else:
        err.print("Les fichiers sont les mêmes, mais des chiffres diffèrent.")
    for line in (*verdict.inputs, *verdict.figures):
        err.print(f"  - {line}", soft_wrap=True, markup=False)
    raise typer.Exit(1)
