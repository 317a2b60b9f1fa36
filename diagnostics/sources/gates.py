"""Before a new file replaces the last good one: is it still the same dataset, only newer?

    outcome = refresh(source, distribution, storage)
    outcome.state      # unchanged, adopted, refused, unreachable
    outcome.raw        # the file that serves, whatever happened

A refused file is kept beside with its reasons; the last good one keeps serving until a person accepts the new one
(`accept`) or the producer mends it. Switching is one rename (see `receipts.py`), so a process killed at any moment
leaves the last good file serving.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from diagnostics import french
from diagnostics.catalog.models import Distribution, Source
from diagnostics.errors import SourceError
from diagnostics.sources import contract
from diagnostics.sources.addresses import Web as WebAddress
from diagnostics.sources.addresses import parse_address, place_of, raw_name
from diagnostics.sources.fetch import (
    Progress,
    RejectedError,
    candidate,
    dropped,
    fetch,
    locked,
    raw_folder,
)
from diagnostics.sources.history import write_counts
from diagnostics.sources.observe import observe, observe_and_count, read_table
from diagnostics.sources.receipts import RawFile, Receipt, local, read_receipt, receipt_path, serves, write_json
from diagnostics.sources.refusals import (
    Decision,
    FileFacts,
    GateResult,
    Outcome,
    Refusal,
    Standing,
    accept,
    accepted_files,
    adopt,
    decisions,
    read_standing,
    refusals,
    set_aside,
)
from diagnostics.sources.web import Web, WebError
from diagnostics.storage import Storage

__all__ = ["FileFacts", "GateResult", "Outcome", "Status", "accept", "judge", "measure", "refresh", "status"]

SIZE_MOVES = 0.25
ROWS_MOVE = 0.10
COMMUNE = re.compile(contract.CODE_PATTERNS["commune"])
SHOWN = 10
CLAUSES = {
    "schema": "colonnes et codes", "unique_keys": "clés uniques", "forbidden_columns": "colonnes jumelles",
    "range": "bornes", "control": "total de contrôle",
}  # fmt: skip


@dataclass(frozen=True)
class Status:
    """What is known of a distribution on this machine, for `diagnostic sources` and the checks of an asset."""

    receipt: Receipt | None
    standing: Standing | None
    refused: list[Refusal]
    decisions: list[Decision]


def refresh(
    source: Source,
    distribution: Distribution,
    storage: Storage,
    *,
    mirror: Path | None = None,
    progress: Progress | None = None,
    web: Web | None = None,
    offline_ok: bool = True,
) -> Outcome:
    """Ask the producer whether there is a newer file, and let it serve if it passes the gates.

    A file dropped by hand is held to its card alone: a person put it there, knowing the former one. What lies in a
    package, the mirror or the snapshot is simply fetched.
    offline_ok: with a good file here, a producer who does not answer gives `unreachable` instead of an error.
    Raises SourceError when no file can serve in the end.
    """
    name = raw_name(source, distribution)
    folder = raw_folder(source, distribution, storage)
    with locked(source, name, storage):
        receipt = read_receipt(receipt_path(folder, name))
        drop = dropped(source, distribution, storage, receipt)
        if drop is not None:
            return _renew_drop(drop, source, distribution, storage)
    if not isinstance(parse_address(source, distribution), WebAddress):
        return Outcome("unchanged", fetch(source, distribution, storage, mirror=mirror), [])
    with locked(source, name, storage):
        receipt = read_receipt(receipt_path(folder, name))
        if receipt is None or not serves(receipt, folder, distribution):
            new = candidate(source, distribution, storage, progress=progress, web=web)
            return _admit(new, None, source, distribution, storage)
        served = RawFile(folder / receipt.path, receipt)
        try:
            return _renew(served, source, distribution, storage, progress=progress, web=web)
        except RejectedError as error:
            return Outcome("refused", served, error.results, str(error))
        except WebError as error:
            if offline_ok:
                since = french.date(receipt.fetched_at)
                return Outcome("unreachable", served, [], f"{error} Le fichier du {since} continue de servir.")
            raise


def judge(
    previous: FileFacts | None, candidate: FileFacts | None, source: Source, distribution: Distribution
) -> list[GateResult]:
    """Hold the facts of a new file against those of the last good one and against its card. Pure: reads no file.

    candidate: None when there is no file. previous: None for a first file, held against its card only.
    """
    if candidate is None:
        return [GateResult("présence", False, f"{place_of(source, distribution)} : aucun fichier")]
    results = [GateResult("vide", candidate.size > 0 and candidate.rows > 0, _rows(candidate.rows))]
    if distribution.rows:
        low, high = distribution.rows
        detail = f"{_rows(candidate.rows)}, la fiche en attend de {french.number(low)} à {french.number(high)}"
        results.append(GateResult("lignes attendues", low <= candidate.rows <= high, detail))
    results += [
        GateResult(f"fiche : {_clause(c.name)}", c.passed, c.detail) for c in candidate.checks if c.name != "rows"
    ]
    if previous is not None:
        results += [
            _moved("taille", "octets", previous.size, candidate.size, SIZE_MOVES),
            _moved("lignes", "lignes", previous.rows, candidate.rows, ROWS_MOVE),
            _kept("communes", previous.communes, candidate.communes),
            _kept("périodes", previous.periods, candidate.periods),
        ]
    return results


def measure(source: Source, distribution: Distribution, path: Path) -> FileFacts:
    """Read a file as its card says and count what the gates compare. Raises SourceError when it cannot be read."""
    return _measured(source, distribution, path)[0]


def _measured(source: Source, distribution: Distribution, path: Path) -> tuple[FileFacts, pd.DataFrame | None]:
    """`measure`, and the counts to keep when the card keeps a history: a file of 0.7 GB is read once for both."""
    counts = None
    communes: set[str] = set()
    periods: set[str] = set()
    checks: list[contract.CheckResult] = []
    rows = 0
    if distribution.table:
        table = read_table(source, distribution, path)
        rows = table.attrs["rows"]
        communes |= _codes(table)
    if distribution.observations:
        if distribution.history is None:
            frame = observe(source, distribution, path)
        else:
            frame, counts = observe_and_count(source, distribution, path)
        rows = frame.attrs["rows"]
        communes |= set(frame.loc[frame["geo_type"] == "commune", "geo_code"].unique())
        periods |= set(frame["period"].unique())
        checks = contract.check(source, distribution, frame)
    facts = FileFacts(
        size=path.stat().st_size,
        rows=rows,
        communes=frozenset(communes),
        periods=frozenset(periods),
        checks=[GateResult(c.name, bool(c.passed), c.detail) for c in checks],
    )
    return facts, counts


def status(source: Source, distribution: Distribution, storage: Storage) -> Status:
    """Receipt, last judgement, refused files that wait for a decision, and past decisions. Reads no data file."""
    folder, name = raw_folder(source, distribution, storage), raw_name(source, distribution)
    return Status(
        read_receipt(receipt_path(folder, name)),
        read_standing(folder, name),
        refusals(folder, name),
        decisions(folder, name),
    )


def _renew(
    served: RawFile,
    source: Source,
    distribution: Distribution,
    storage: Storage,
    *,
    progress: Progress | None,
    web: Web | None,
) -> Outcome:
    folder, name = raw_folder(source, distribution, storage), raw_name(source, distribution)
    waiting = refusals(folder, name)
    # A version that was refused is not downloaded again at each refresh.
    latest = RawFile(folder / waiting[-1].receipt.path, waiting[-1].receipt) if waiting else served
    new = candidate(source, distribution, storage, latest=latest, progress=progress, web=web)
    if waiting and new == latest:
        return Outcome("refused", served, waiting[-1].results, _refused(waiting[-1], source, distribution, folder))
    if new.receipt.sha256 == served.receipt.sha256:
        return Outcome("unchanged", _seen_again(new, served, folder, name), [])
    return _admit(new, served, source, distribution, storage)


def _renew_drop(drop: RawFile, source: Source, distribution: Distribution, storage: Storage) -> Outcome:
    """Let a file dropped by hand serve if it holds to its card. It stays where it was put, for a person to mend."""
    folder, name = raw_folder(source, distribution, storage), raw_name(source, distribution)
    standing = read_standing(folder, name)
    serving = read_receipt(receipt_path(folder, name))
    if serving == drop.receipt and standing is not None and standing.sha256 == drop.receipt.sha256:
        return Outcome("unchanged", drop, [])
    facts, _, results = _judged(drop, None, source, distribution, storage)
    failed = [r for r in results if not r.passed]
    if failed:
        reasons = "".join(f"\n  - {r.name} : {r.detail}" for r in failed)
        raise SourceError(
            f"{place_of(source, distribution)} : le fichier déposé {drop.path} ne tient pas à sa fiche.{reasons}\n"
            f"Le corriger sur place, ou corriger catalog/sources/{source.id}.yaml, puis relancer."
        )
    standing = Standing(sha256=drop.receipt.sha256, judged_at=datetime.now(UTC), facts=facts, results=results)
    adopt(drop.receipt, folder, name, standing)
    return Outcome("adopted", drop, results)


def _admit(
    new: RawFile, served: RawFile | None, source: Source, distribution: Distribution, storage: Storage
) -> Outcome:
    """Judge a candidate for every distribution that reads the same file; adopt it or set it aside."""
    folder, name = raw_folder(source, distribution, storage), raw_name(source, distribution)
    facts, counts, results = _judged(new, served, source, distribution, storage)
    failed = [r for r in results if not r.passed]
    if not failed or new.receipt.sha256 in accepted_files(folder, name):
        standing = Standing(sha256=new.receipt.sha256, judged_at=datetime.now(UTC), facts=facts, results=results)
        adopt(new.receipt, folder, name, standing)
        for reader in _readers_of_same_file(source, distribution):
            if reader.id in counts:
                write_counts(counts[reader.id], source, reader, new.receipt, storage)
        return Outcome("adopted", new, results)
    message = _refused(set_aside(new, folder, name, results, facts), source, distribution, folder)
    if served is None:
        raise SourceError(message)
    return Outcome("refused", served, results, f"{message} Le fichier précédent continue de servir.")


def _judged(
    new: RawFile, served: RawFile | None, source: Source, distribution: Distribution, storage: Storage
) -> tuple[dict[str, FileFacts], dict[str, pd.DataFrame], list[GateResult]]:
    """Facts and counts to keep, by distribution that reads the file, and what the gates say of it."""
    facts: dict[str, FileFacts] = {}
    counts: dict[str, pd.DataFrame] = {}
    results: list[GateResult] = []
    for reader in _readers_of_same_file(source, distribution):
        try:
            facts[reader.id], counted = _measured(source, reader, new.path)
        except SourceError as error:
            results.append(GateResult("lecture", False, str(error)))
            continue
        if counted is not None:
            counts[reader.id] = counted
        previous, remark = (None, []) if new.receipt.scheme == "manual" else _previous(source, reader, served, storage)
        results += [*remark, *judge(previous, facts[reader.id], source, reader)]
    return facts, counts, results


def _refused(refusal: Refusal, source: Source, distribution: Distribution, folder: Path) -> str:
    reasons = "".join(f"\n  - {reason}" for reason in refusal.reasons())
    return (
        f"{place_of(source, distribution)} : le nouveau fichier de {refusal.receipt.resolved} est refusé.{reasons}\n"
        f"Il est gardé ici : {folder / refusal.receipt.path}. Après vérification, l'accepter par "
        f'`diagnostic sources accept {source.id} --because "…"`.'
    )


def _seen_again(new: RawFile, served: RawFile, folder: Path, name: str) -> RawFile:
    """Note that the producer still gives the file that serves, with today's validators; drop a second copy of it."""
    if new.path != served.path:
        new.path.unlink()
    keep = ("path", "mtime_ns", "fetched_at")
    receipt = new.receipt.model_copy(
        update={"checked_at": datetime.now(UTC)} | {key: getattr(served.receipt, key) for key in keep}
    )
    write_json(receipt, receipt_path(folder, name))
    return RawFile(served.path, receipt)


def _readers_of_same_file(source: Source, distribution: Distribution) -> list[Distribution]:
    return [d for d in source.distributions if (d.address, d.vintage) == (distribution.address, distribution.vintage)]


def _previous(
    source: Source, distribution: Distribution, served: RawFile | None, storage: Storage
) -> tuple[FileFacts | None, list[GateResult]]:
    """The facts to compare with: those of the file that serves, else those of the distribution's last vintage."""
    folder = raw_folder(source, distribution, storage)
    if served is None:
        return _former_vintage(source, distribution, folder, storage), []
    standing = read_standing(folder, raw_name(source, distribution))
    if standing and standing.sha256 == served.receipt.sha256 and distribution.id in standing.facts:
        return standing.facts[distribution.id], []
    try:
        return measure(source, distribution, served.path), []
    except SourceError as error:
        remark = f"le fichier qui sert ne se lit plus avec la fiche d'aujourd'hui ({error}) : rien à comparer"
        return None, [GateResult("comparaison", True, remark)]


def _former_vintage(source: Source, distribution: Distribution, folder: Path, storage: Storage) -> FileFacts | None:
    """Facts of the same distribution in another vintage. Its periods are its own: a new vintage leaves the old year."""
    found = []
    for path in (local(storage.raw) / source.id).glob("*/*.gates.json"):
        standing = read_standing(path.parent, path.name.removesuffix(".gates.json"))
        if path.parent != folder and distribution.id in standing.facts:
            found.append((standing.judged_at, standing.facts[distribution.id]))
    if not found:
        return None
    return max(found, key=lambda pair: pair[0])[1].model_copy(update={"periods": frozenset()})


def _codes(table: pd.DataFrame) -> set[str]:
    """The commune codes of a reference table: its first column that holds nothing else."""
    for column in table.columns:
        values = table[column].dropna()
        if len(values) and all(isinstance(v, str) and COMMUNE.fullmatch(v) for v in values):
            return set(values)
    return set()


def _clause(name: str) -> str:
    """The clause of the contract, as a person reads it: names of clauses are fit for asset checks."""
    kind, _, subject = name.partition("_")
    return CLAUSES.get(name) or (f"{CLAUSES[kind]} ({subject})" if kind in CLAUSES else name)


def _rows(count: int) -> str:
    return f"{french.number(count)} ligne(s) de données"


def _moved(name: str, unit: str, before: int, after: int, tolerated: float) -> GateResult:
    share = (after - before) / before if before else 0.0
    detail = (
        f"{french.number(before)} {unit} avant, {french.number(after)} maintenant "
        f"({french.quantity(100 * share, '%', 1, sign=True)} ; {french.quantity(100 * tolerated, '%')} tolérés)"
    )
    return GateResult(name, abs(share) <= tolerated, detail)


def _kept(name: str, before: Iterable[str], after: Iterable[str]) -> GateResult:
    lost = sorted(set(before) - set(after))
    shown = ", ".join(lost[:SHOWN]) + (", …" if len(lost) > SHOWN else "")
    return GateResult(name, not lost, f"{french.number(len(lost))} de moins : {shown}" if lost else "aucune de moins")
