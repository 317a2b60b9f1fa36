"""The command line, `diagnostic`. It says in French what it does; it computes nothing itself.

Exit codes: 0 done, 1 anything else, 2 catalogue or arguments, 3 source, 4 geography, 5 statistics (see
`diagnostics/errors.py`).
"""

from __future__ import annotations

import gettext
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from typer.exceptions import TyperException

from diagnostics.errors import CatalogError, DiagnosticError
from pipelines.cli_history import diff_command
from pipelines.cli_products import verify_command
from pipelines.cli_sources import ProfileOption
from pipelines.cli_sources import app as sources_app

# The library speaks through gettext when it prints: its French words stand beside this file.
os.environ["LANGUAGE"] = "fr"
gettext.bindtextdomain("messages", str(Path(__file__).with_name("locale")))

app = typer.Typer(
    help="Le diagnostic territorial de santé d'un Contrat Local de Santé, à partir des données ouvertes.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    # A plain traceback: the rich one would print whole tables.
    pretty_exceptions_enable=False,
)
out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


@app.command("run", help="Produire le diagnostic d'un ou plusieurs territoires.")
def run_command(
    territories: Annotated[list[str] | None, typer.Argument(help="Identifiants des territoires.")] = None,
    profile: ProfileOption = "embedded",
    every: Annotated[bool, typer.Option("--all", help="Tous les territoires déclarés.")] = False,
) -> None:
    # Dagster and the geographic libraries take a second to load: only the command that needs them pays.
    from pipelines.run import run, workshop_for  # noqa: PLC0415

    with _progress() as announce:
        workshop = workshop_for(profile, announce)
        names = sorted(workshop.catalog.territories) if every else list(territories or [])
        if not names:
            raise CatalogError(
                "Aucun territoire demandé. Donner un identifiant, ou `--all`. Voir `diagnostic territories`."
            )
        for name in names:
            workshop.catalog.territory(name)
        workshop.require_mirror()
        made = run(workshop, names)
    for dataset, distribution in workshop.absent():
        err.print(f"Fichier absent : {dataset}/{distribution.id}. Voir `diagnostic sources fetch {dataset}`.")
    if not made:
        out.print("Tout est à jour : rien n'a changé depuis la dernière exécution.")
    for name in names:
        folder = workshop.storage.territory(name)
        out.print(f"{workshop.catalog.territory(name).name}")
        out.print(f"  rapport : {folder / 'rapport.html'}", soft_wrap=True)
        out.print(f"  annexe  : {folder / 'annexe.xlsx'}", soft_wrap=True)
        out.print(f"  cartes  : {folder / 'maps'}", soft_wrap=True)


@app.command("territories", help="Lister les territoires déclarés.")
def territories_command() -> None:
    from diagnostics.catalog import load_catalog  # noqa: PLC0415

    table = Table("Identifiant", "Nom", "Communes", "COG", "Contrat", box=None, pad_edge=False)
    for territory in load_catalog().territories.values():
        first = territory.contract.split(". ")[0]
        table.add_row(territory.id, territory.name, str(len(territory.communes)), str(territory.cog_year), first)
    _print_table(table)


@app.command("indicators", help="Lister les indicateurs et les profils qui les calculent.")
def indicators_command() -> None:
    from diagnostics.catalog import load_catalog  # noqa: PLC0415

    catalog = load_catalog()
    table = Table("Identifiant", "Libellé", "Unité", "embedded", "mirror", "official", box=None, pad_edge=False)
    for indicator in catalog.indicators.values():
        known = [
            "oui" if catalog.is_computable(indicator, profile) else "–"
            for profile in ("embedded", "mirror", "official")
        ]
        table.add_row(indicator.id, indicator.label, indicator.unit, *known)
    _print_table(table)


# The list of commands has room for a few words: `short_help`; the page of a command says more.
app.add_typer(sources_app, name="sources", short_help="Lister, vérifier et récupérer les jeux de données.")
app.command(
    "diff",
    short_help="Dire ce qui a changé entre deux copies datées.",
    help="Comparer deux copies datées : ce qui a changé pour chaque territoire.",
)(diff_command)
app.command(
    "verify",
    short_help="Refaire un diagnostic et prouver qu'il est le même.",
    help="Refaire un diagnostic à l'identique, et prouver que les chiffres sont les mêmes.",
)(verify_command)


@app.command(
    "new-territory",
    short_help="Vérifier un périmètre et écrire sa carte.",
    help="Vérifier un périmètre et écrire la carte d'un nouveau territoire.",
)
def new_territory_command(
    identifier: Annotated[str, typer.Option("--id", help="Identifiant : minuscules, chiffres et tirets.")],
    name: Annotated[str, typer.Option("--name", help="Nom du territoire, tel qu'il paraîtra dans le rapport.")],
    epci: Annotated[list[str] | None, typer.Option("--epci", help="SIREN d'un EPCI membre (répétable).")] = None,
    communes: Annotated[
        Path | None, typer.Option("--communes", help="Fichier texte : un code de commune (COG 2025) par ligne.")
    ] = None,
    profile: ProfileOption = "embedded",
) -> None:
    from pipelines.territories import new_territory  # noqa: PLC0415

    with _progress() as announce:
        path, territory = new_territory(
            identifier, name, epci=epci or [], communes=communes, profile=profile, announce=announce
        )
    out.print(f"{territory.name} : {len(territory.communes)} communes. Carte écrite : {path}", soft_wrap=True)
    out.print(f"Pour produire le diagnostic : diagnostic run {territory.id}")


@app.command(
    "snapshot",
    short_help="Refaire les repères versionnés.",
    help="Refaire les repères versionnés (snapshot/), à partir du profil mirror.",
)
def snapshot_command() -> None:
    from pipelines.run import write_snapshot  # noqa: PLC0415

    with _progress() as announce:
        path, rows = write_snapshot(announce)
    out.print(f"{rows} valeurs écrites dans {path}", soft_wrap=True)


def _print_table(table: Table) -> None:
    """Whole columns when piped: a script must not meet words cut at 80 characters."""
    (out if out.is_terminal else Console(width=1000, highlight=False)).print(table)


@contextmanager
def _progress() -> Iterator:
    """A progress line on a terminal; silence when piped."""
    if not err.is_terminal:
        yield lambda _step: None
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
    with Progress(*columns, console=err, transient=True) as progress:
        task = progress.add_task("Démarrage", total=None)
        yield lambda step: progress.update(task, description=step, advance=1)


def main() -> None:
    """Entry point: an error that was foreseen is one message and its exit code, never a traceback."""
    logging.getLogger("dagster").setLevel(logging.CRITICAL)
    try:
        code = app(standalone_mode=False)
    except DiagnosticError as error:
        _fail(str(error), error.exit_code)
    except TyperException as error:
        if not (said := _in_french(error)):
            out.print(error.format_message(), markup=False)
            sys.exit(error.exit_code)
        path = error.ctx.command_path if error.ctx else "diagnostic"
        _fail(f"{said} Voir `{path} --help`.", error.exit_code)
    except (typer.Abort, KeyboardInterrupt):
        _fail("interrompu ; relancer la commande reprend là où elle en était.", 130)
    sys.exit(code or 0)


def _fail(message: str, code: int) -> NoReturn:
    err.print(f"Erreur : {message}", soft_wrap=True, markup=False)
    sys.exit(code)


def _in_french(error: TyperException) -> str:
    """What the library says, in English only, of the words of a command; nothing when it is the help."""
    match type(error).__name__:
        case "NoArgsIsHelpError":
            return ""
        case "NoSuchOption":
            near = f" Options proches : {', '.join(sorted(error.possibilities))}." if error.possibilities else ""
            return f"option inconnue : {error.option_name}.{near}"
        case "MissingParameter":
            kind = "l’argument" if error.param.param_type_name == "argument" else "l’option"
            return f"il manque {kind} {error.param.metavar or ' / '.join(error.param.opts)}."
        case "BadOptionUsage":
            return f"l’option {error.option_name} est mal employée : lui donner une valeur."
        case "BadParameter":
            return f"valeur refusée pour {' / '.join(error.param.opts)}."
        case _:
            return error.format_message()


if __name__ == "__main__":
    main()
