"""`diagnostic sources …`: what is known of every file, and what a person decides about it.

Commands that bring files end with exit code 3 (see `diagnostics/errors.py`) as soon as one file is lacking, refused or
out of date, after having done all they could: a script can tell, and nothing good was lost.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TransferSpeedColumn
from rich.table import Table

from diagnostics import french
from diagnostics.errors import CatalogError, SourceError

if TYPE_CHECKING:
    from diagnostics.catalog import Distribution, Profile, Source
    from diagnostics.sources.gates import Status
    from diagnostics.sources.probe import ProbeResult
    from diagnostics.sources.refusals import Outcome
    from diagnostics.workshop import Workshop

app = typer.Typer(
    help="Les jeux de données : les lister, vérifier leurs adresses, les récupérer, accepter un fichier refusé.",
    rich_markup_mode=None,
)

STATES = {
    "unchanged": "inchangé",
    "adopted": "nouveau",
    "refused": "refusé",
    "unreachable": "injoignable",
    "absent": "absent",
}
WELL = {"unchanged", "adopted"}

ProfileOption = Annotated[
    str,
    typer.Option(
        "--profile",
        "-p",
        envvar="DIAGNOSTIC_PROFILE",
        help="D'où viennent les fichiers : embedded (paquets Python), mirror (dossier DIAGNOSTIC_MIRROR), "
        "official (producteurs).",
    ),
]
OfficialOption = Annotated[str, typer.Option("--profile", "-p", help="embedded, mirror ou official.")]
Datasets = Annotated[list[str] | None, typer.Argument(help="Identifiants des jeux ; tous si aucun n'est donné.")]
DatasetOption = Annotated[str | None, typer.Option("--dataset", help="Le détail d'un seul jeu.")]


def open_workshop(profile: str) -> Workshop:
    """The workshop of the project in this profile."""
    from pipelines.run import workshop_for  # noqa: PLC0415

    return workshop_for(profile, lambda _step: None)


# --- what is known --------------------------------------------------------------------------------------------------


DECIDED = {"accepted": "accepté", "restored": "le précédent remis"}


@app.callback(invoke_without_command=True)
def _default(context: typer.Context, profile: ProfileOption = "embedded", dataset: DatasetOption = None) -> None:
    """Sans commande : la liste."""
    if context.invoked_subcommand is None:
        _list(profile, dataset)


@app.command("list", help="Lister les jeux d'un profil : millésime, adresse, vérification, récupération, contrôles.")
def list_command(profile: ProfileOption = "embedded", dataset: DatasetOption = None) -> None:
    _list(profile, dataset)


def _list(profile: Profile, dataset: str | None) -> None:
    workshop = open_workshop(profile)
    if dataset is not None:
        _detail(workshop, _source(workshop, dataset))
        return
    lines = [_known(workshop, s, d) for s, d in _distributions(workshop, list(workshop.offered))]
    if Console().is_terminal:
        _print_by_dataset(workshop, lines)
        return
    table = Table(*COLUMNS, "Adresse", box=None, pad_edge=False)
    for source, distribution, cells in lines:
        table.add_row(f"{source.id}/{distribution.id}", *cells, distribution.address)
    _print(table)


COLUMNS = ("Jeu de données", "Millésime", "Adresse vérifiée", "Récupéré le", "Lignes", "Contrôles")


def _known(workshop: Workshop, source: Source, distribution: Distribution) -> tuple[Source, Distribution, list[str]]:
    """What is known of a file, under `COLUMNS` but the first."""
    status = _status(workshop, source, distribution)
    receipt = workshop.receipt(source.id, distribution)
    return source, distribution, [
        distribution.vintage,
        _verification(workshop, source, distribution),
        _day(receipt.fetched_at) if receipt else "à la demande" if source.on_demand else "–",
        _rows(status, distribution),
        _gates(status),
    ]  # fmt: skip


def _print_by_dataset(workshop: Workshop, lines: list[tuple[Source, Distribution, list[str]]]) -> None:
    """A heading per dataset, a line per file with its address below: nothing is cut in a window of 100 columns."""
    out = Console(highlight=False)
    named = [[distribution.id, *cells] for _, distribution, cells in lines]
    widths = [max(map(len, column)) for column in zip(("Fichier", *COLUMNS[1:]), *named, strict=True)]

    def line(cells: Iterable[str]) -> str:
        return "  " + "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()

    out.print(line(("Fichier", *COLUMNS[1:])), style="bold", markup=False, soft_wrap=True)
    heading = None
    for (source, distribution, _), cells in zip(lines, named, strict=True):
        if source.id != heading:
            heading = source.id
            out.print(f"\n{source.id} : {source.title}, {source.producer}", style="bold", markup=False, soft_wrap=True)
        out.print(line(cells), markup=False, soft_wrap=True)
        out.print(f"    {distribution.address}", style="dim", markup=False, soft_wrap=True)


def _detail(workshop: Workshop, source: Source) -> None:
    _say(f"{source.title} ({source.producer})\n{source.licence} · {source.homepage}")
    if source.notes:
        _say(source.notes)
    if source.on_demand:
        _say(
            f"Aucun indicateur n'en dépend : récupéré à la demande seulement (`diagnostic sources fetch {source.id}`)."
        )
    for distribution in source.distributions:
        status = _status(workshop, source, distribution)
        receipt = workshop.receipt(source.id, distribution)
        _say(f"\n{distribution.id}, millésime {distribution.vintage}, profils {', '.join(distribution.profiles)}")
        _say(f"  adresse      {distribution.address}")
        _say(f"  vérifiée     {_verification(workshop, source, distribution)}")
        if receipt:
            size = french.number(receipt.size)
            _say(f"  récupéré le  {french.date(receipt.fetched_at)}, {size} octets, sha256 {receipt.sha256}")
        else:
            _say("  récupéré le  jamais, ou l'adresse de la fiche a changé depuis")
        _say(f"  lignes       {_rows(status, distribution)}")
        for result in status.standing.results if status.standing else []:
            _say(f"  {'réussi' if result.passed else 'ÉCHEC '}       {result.name} : {result.detail}")
        for refusal in status.refused:
            _say(f"  REFUSÉ le {french.date(refusal.refused_at)} : {refusal.receipt.path}")
            for reason in refusal.reasons():
                _say(f"    - {reason}")
        for decision in status.decisions:
            when = french.date(decision.decided_at)
            _say(f"  {DECIDED[decision.kind]} par {decision.who} le {when} : {decision.because}")


def _verification(workshop: Workshop, source: Source, distribution: Distribution) -> str:
    """The day that the card gives, else that of the last check from this machine."""
    if distribution.verified != "unverified":
        return f"{_day(distribution.verified)}, fiche"
    if not distribution.address.startswith("https://"):
        return "–"
    from diagnostics.sources.probe import read_probe  # noqa: PLC0415

    probe = read_probe(source, distribution, workshop.storage)
    if probe is None:
        return "jamais"
    return f"{_day(probe.checked_at)}{'' if probe.verified else ', échec'}"


def _day(moment: datetime.date) -> str:
    return french.date(moment, "dd/MM/y")


def _rows(status: Status, distribution: Distribution) -> str:
    facts = status.standing.facts.get(distribution.id) if status.standing else None
    return french.number(facts.rows) if facts else "–"


def _gates(status: Status) -> str:
    if status.refused:
        return "nouveau refusé"
    if status.standing is None:
        return "–"
    results = status.standing.results
    passed = sum(r.passed for r in results)
    return f"{passed}/{len(results)}" + (", accepté" if passed < len(results) else "")


def _status(workshop: Workshop, source: Source, distribution: Distribution) -> Status:
    from diagnostics.sources.gates import status  # noqa: PLC0415

    return status(source, distribution, workshop.storage)


# --- asking the producers -------------------------------------------------------------------------------------------


@app.command("check", help="Demander à chaque adresse officielle si elle répond, et avec quoi ; en garder le reçu.")
def check_command(datasets: Datasets = None) -> None:
    from diagnostics.sources.probe import keep_probe, probe  # noqa: PLC0415
    from diagnostics.sources.web import Web  # noqa: PLC0415

    workshop = open_workshop("official")
    asked = [
        (source, distribution)
        for source, distribution in _distributions(workshop, datasets or list(workshop.offered))
        if distribution.address.startswith("https://")
    ]
    if not asked:
        raise SourceError(
            "Aucune adresse du web parmi ces jeux : un fichier à déposer se vérifie en le récupérant "
            "(`diagnostic sources fetch`)."
        )
    table = Table(box=None, pad_edge=False)
    table.add_column("Jeu de données", no_wrap=True)
    table.add_column("Résultat", ratio=1)
    table.add_column("Type", no_wrap=True)
    table.add_column("Octets", justify="right", no_wrap=True)
    narrow = Console().is_terminal
    if not narrow:
        table.add_column("Adresse")
    results: list[tuple[Source, Distribution, ProbeResult]] = []
    with _steps() as step:
        client = workshop.web or Web()
        try:
            for source, distribution in asked:
                step(f"{source.id}/{distribution.id}")
                result = probe(source, distribution, client)
                keep_probe(result, source, distribution, workshop.storage)
                results.append((source, distribution, result))
        finally:
            if workshop.web is None:
                client.close()
    for source, distribution, result in results:
        table.add_row(
            f"{source.id}/{distribution.id}",
            "répond" if result.verified else result.problem,
            result.kind or "–",
            "–" if result.size is None else french.number(result.size),
            *([] if narrow else [result.resolved or result.address]),
        )
    _print(table)
    for source, distribution, result in results:
        if not result.verified:
            _say(f"\n{source.id}/{distribution.id} : {result.problem}\n  {result.resolved or result.address}")
    _say_how_to_record([(s, d, r) for s, d, r in results if r.verified and d.verified == "unverified"])
    failed = sum(not r.verified for _, _, r in results)
    if failed:
        _err().print(f"{failed} adresse(s) sur {len(results)} ne donnent pas ce que la fiche attend.")
        raise typer.Exit(SourceError.exit_code)


def _say_how_to_record(seen: list[tuple[Source, Distribution, ProbeResult]]) -> None:
    if not seen:
        return
    _say(
        "\nLes reçus sont gardés à côté des fichiers bruts. Les fiches ne changent pas d'elles-mêmes : pour y inscrire "
        "ces vérifications, après avoir relu le contenu, remplacer `verified: unverified` par"
    )
    for source, distribution, result in seen:
        _say(f"  catalog/sources/{source.id}.yaml, {distribution.id} : verified: {result.checked_at:%Y-%m-%d}")


@app.command(
    "fetch", help="Récupérer ce qui n'est pas encore là, ou les jeux nommés ; ce qui est là n'est pas redemandé."
)
def fetch_command(datasets: Datasets = None, profile: OfficialOption = "official") -> None:
    _bring(profile, datasets, renew=False)


@app.command("refresh", help="Demander aux producteurs s'il y a plus récent, et le faire passer par les contrôles.")
def refresh_command(datasets: Datasets = None, profile: OfficialOption = "official") -> None:
    _bring(profile, datasets, renew=True)


def _bring(profile: str, datasets: list[str] | None, *, renew: bool) -> None:
    workshop = open_workshop(profile)
    workshop.require_mirror()
    brought: list[tuple[str, Distribution, Outcome]] = []
    with _download() as (step, progress):
        for name in datasets or list(workshop.sources):
            source = _source(workshop, name)
            step(source.title)
            brought += [(name, d, o) for d, o in workshop.fetch(name, renew=renew, progress=progress)]
    table = Table("Jeu de données", "État", box=None, pad_edge=False)
    table.add_column("Octets", justify="right")
    table.add_column("Récupéré le")
    for name, distribution, outcome in brought:
        receipt = outcome.raw.receipt if outcome.raw else None
        table.add_row(
            f"{name}/{distribution.id}",
            STATES[outcome.state],
            french.number(receipt.size) if receipt else "–",
            _day(receipt.fetched_at) if receipt else "–",
        )
    _print(table)
    troubles = [outcome.message for _, _, outcome in brought if outcome.state not in WELL]
    for message in troubles:
        _err().print(f"\n{message}", soft_wrap=True, markup=False)
    if troubles:
        raise typer.Exit(SourceError.exit_code)


# --- what a person decides ------------------------------------------------------------------------------------------


@app.command("accept", help="Laisser servir un fichier refusé, en disant pourquoi ; la décision est écrite.")
def accept_command(
    dataset: Annotated[str, typer.Argument(help="Identifiant du jeu.")],
    because: Annotated[str, typer.Option("--because", help="Ce qui a été vérifié, et pourquoi le fichier est bon.")],
) -> None:
    from diagnostics.sources.gates import accept  # noqa: PLC0415

    workshop = open_workshop("official")
    _source(workshop, dataset)
    for decision in accept(dataset, because, workshop.storage):
        _say(f"{decision.dataset}/{decision.distribution} : le fichier {decision.sha256[:12]}… sert désormais.")
        for reason in decision.reasons:
            _say(f"  accepté malgré : {reason}")


@app.command("restore", help="Défaire une acceptation : le fichier d'avant sert à nouveau ; la décision est écrite.")
def restore_command(
    dataset: Annotated[str, typer.Argument(help="Identifiant du jeu.")],
    because: Annotated[str, typer.Option("--because", help="Pourquoi le fichier accepté ne convient pas.")],
) -> None:
    from diagnostics.sources.refusals import restore  # noqa: PLC0415

    workshop = open_workshop("official")
    _source(workshop, dataset)
    for decision in restore(dataset, because, workshop.storage):
        _say(f"{decision.dataset}/{decision.distribution} : le fichier {decision.sha256[:12]}… sert à nouveau.")


@app.command("template", help="Écrire le modèle CSV d'un fichier à déposer à la main, provenance comprise.")
def template_command(
    dataset: Annotated[str, typer.Argument(help="Identifiant du jeu.")],
) -> None:
    from diagnostics.sources.addresses import raw_name  # noqa: PLC0415
    from diagnostics.sources.fetch import manual_path  # noqa: PLC0415
    from diagnostics.sources.manual import write_template  # noqa: PLC0415

    workshop = open_workshop("official")
    source = _source(workshop, dataset)
    dropped = [d for d in source.distributions if d.address.startswith("manual://")]
    if not dropped:
        raise SourceError(
            f"Jeu `{dataset}` : ses fichiers se récupèrent, aucun n'est à déposer à la main. "
            "Jeux à déposer : " + ", ".join(s.id for s in workshop.offered.values() if _is_dropped(s)) + "."
        )
    for distribution in dropped:
        place = manual_path(source, raw_name(source, distribution), workshop.storage)
        model = write_template(distribution, place.with_name(f"modele-{place.name}"))
        _say(f"Modèle écrit : {model}\nLe remplir, puis l'enregistrer ici : {place}")


def _is_dropped(source: Source) -> bool:
    return any(d.address.startswith("manual://") for d in source.distributions)


# --- shared ---------------------------------------------------------------------------------------------------------


def _source(workshop: Workshop, dataset: str) -> Source:
    from diagnostics.catalog.loading import suggestion  # noqa: PLC0415

    sources = workshop.catalog.sources
    if dataset not in sources:
        raise CatalogError(
            f"Jeu de données inconnu : « {dataset} ».{suggestion(dataset, sources)} Voir `diagnostic sources list`."
        )
    return sources[dataset]


def _distributions(workshop: Workshop, datasets: list[str]) -> Iterator[tuple[Source, Distribution]]:
    for name in datasets:
        source = _source(workshop, name)
        for distribution in workshop.distributions(name):
            yield source, distribution


def _say(text: str) -> None:
    """One line of text, never cut: paths and addresses are copied from the terminal."""
    Console(highlight=False).print(text, soft_wrap=True, markup=False)


def _err() -> Console:
    return Console(stderr=True, highlight=False)


def _print(table: Table) -> None:
    """Whole columns when piped: a script must not meet words cut at 80 characters."""
    out = Console(highlight=False)
    (out if out.is_terminal else Console(width=1000, highlight=False)).print(table)


@contextmanager
def _steps() -> Iterator[Callable[[str], None]]:
    with _download() as (step, _progress):
        yield step


@contextmanager
def _download() -> Iterator[tuple[Callable[[str], None], Callable[[int, int | None], None] | None]]:
    """A line that tells the dataset, the bytes and the speed on a terminal; silence when piped."""
    err = _err()
    if not err.is_terminal:
        yield (lambda _step: None), None
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        DownloadColumn(),
        TransferSpeedColumn(),
    )
    with Progress(*columns, console=err, transient=True) as bar:
        task = bar.add_task("Démarrage", total=None)

        def step(text: str) -> None:
            bar.reset(task, description=text, total=None)

        def progress(here: int, total: int | None) -> None:
            bar.update(task, completed=here, total=total)

        yield step, progress
