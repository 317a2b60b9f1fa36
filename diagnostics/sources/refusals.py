"""Files that arrived and were not let in: kept beside the one that serves, with the reasons, until a person decides.

<file>.refused-<sha8>          the bytes
<file>.refused-<sha8>.json     receipt, facts and failed gates (`Refusal`)
<file>.decisions.jsonl         who accepted or put back what, when, why (`Decision`), one per line
<file>.superseded.jsonl        receipts of the files that served before, one per line; their bytes stay
"""

from __future__ import annotations

import getpass
import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from diagnostics.errors import SourceError
from diagnostics.sources.addresses import versioned_name
from diagnostics.sources.receipts import (
    RawFile,
    Receipt,
    file_sha256,
    local,
    moved,
    read_receipt,
    receipt_path,
    write_json,
)
from diagnostics.storage import Storage, replacing

CONTENT = "contenu"
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class GateResult:
    """One question put to a new file. `detail` gives the figures, in French."""

    name: str
    passed: bool
    detail: str


@dataclass(frozen=True)
class Outcome:
    """What a refresh did. `raw` serves now; `message` says in French why it is not the newest, when it is not.

    `raw` is None in one state, `absent`: no file can serve. `refresh` raises then; `Workshop.fetch` gives it, so that
    one dataset that is lacking does not stop the others.
    """

    state: Literal["unchanged", "adopted", "refused", "unreachable", "absent"]
    raw: RawFile | None
    results: list[GateResult]
    message: str = ""


class FileFacts(BaseModel):
    """What the gates compare between two files, as one distribution reads them. `size` in bytes, `rows` data lines;
    `checks` are the clauses of the card (schema, ranges, control totals)."""

    model_config = ConfigDict(frozen=True)

    size: int
    rows: int
    communes: frozenset[str] = frozenset()
    periods: frozenset[str] = frozenset()
    checks: list[GateResult] = []


class Refusal(BaseModel):
    """Why a file was not let in."""

    model_config = ConfigDict(frozen=True)

    receipt: Receipt
    results: list[GateResult]
    facts: dict[str, FileFacts] = {}
    refused_at: datetime

    def reasons(self) -> list[str]:
        return [f"{r.name} : {r.detail}" for r in self.results if not r.passed]

    def acceptable(self) -> bool:
        """A page of HTML or half an archive cannot be accepted by anyone: there is nothing in it to read."""
        return all(r.passed for r in self.results if r.name == CONTENT)


class Decision(BaseModel):
    """A person let a refused file in, or put back the one that served before."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["accepted", "restored"] = "accepted"
    dataset: str
    distribution: str
    sha256: str
    who: str
    decided_at: datetime
    because: str
    reasons: list[str]


class Standing(BaseModel):
    """What is known of the file that serves: facts by distribution, and the gates it went through."""

    model_config = ConfigDict(frozen=True)

    sha256: str
    judged_at: datetime
    facts: dict[str, FileFacts]
    results: list[GateResult]


def standing_path(folder: Path, name: str) -> Path:
    return folder / f"{name}.gates.json"


def read_standing(folder: Path, name: str) -> Standing | None:
    path = standing_path(folder, name)
    return _parse(path, Standing) if path.is_file() else None


def set_aside(
    raw: RawFile, folder: Path, name: str, results: list[GateResult], facts: dict[str, FileFacts] | None = None
) -> Refusal:
    """Move a file that was not let in beside the serving one, under its refused name, with the reasons."""
    kept = folder / f"{name}.refused-{raw.receipt.sha256[:8]}"
    refusal = Refusal(
        receipt=raw.receipt.model_copy(update={"path": kept.name}),
        results=results,
        facts=facts or {},
        refused_at=datetime.now(UTC),
    )
    write_json(refusal, folder / f"{kept.name}.json")
    raw.path.replace(kept)
    return refusal


def refusals(folder: Path, name: str) -> list[Refusal]:
    """The refused files that wait for a decision, oldest first. Once a later file serves, or the producer gives the
    serving one again, an older refusal is history."""
    serving = read_receipt(receipt_path(folder, name))
    found = [_parse(path, Refusal) for path in folder.glob(f"{_escaped(name)}.refused-????????.json")]
    waiting = [
        r
        for r in found
        if (folder / r.receipt.path).is_file() and (serving is None or r.refused_at > serving.checked_at)
    ]
    return sorted(waiting, key=lambda r: r.refused_at)


def adopt(receipt: Receipt, folder: Path, name: str, standing: Standing | None = None) -> None:
    """Let the file of `receipt` serve. The one rename that counts is that of the receipt; all before it can be lost."""
    former = read_receipt(receipt_path(folder, name))
    if former is not None and former.sha256 != receipt.sha256:
        _append(former, folder / f"{name}.superseded.jsonl")
    write_json(receipt, receipt_path(folder, name))
    if standing is not None:
        write_json(standing, standing_path(folder, name))


def accept(
    dataset: str, because: str, storage: Storage, *, who: str | None = None, now: datetime | None = None
) -> list[Decision]:
    """Let the refused files of a dataset serve, and write down who decided it and why.

    Of several refused versions of one file, the last serves. Raises SourceError: no reason given, nothing refused, or
    a file without readable content.
    """
    if not because.strip():
        raise SourceError('Une décision demande un motif : --because "ce qui a été vérifié".')
    base = local(storage.raw) / dataset
    latest: dict[tuple[Path, str], Refusal] = {}
    for path in sorted(base.glob("*/*.refused-????????.json")):
        name = path.name[: -len(".refused-00000000.json")]
        for refusal in refusals(path.parent, name):
            latest[path.parent, name] = refusal
    if not latest:
        raise SourceError(f"Jeu `{dataset}` : aucun fichier refusé n'attend de décision sous {base}.")
    for (folder, _), refusal in latest.items():
        if not refusal.acceptable():
            raise SourceError(
                f"Jeu `{dataset}` : {folder / refusal.receipt.path} ne peut pas être accepté : "
                f"{' ; '.join(refusal.reasons())}. Le supprimer et récupérer le fichier à nouveau."
            )
    decided = []
    for (folder, name), refusal in latest.items():
        decision = Decision(
            dataset=dataset,
            distribution=refusal.receipt.distribution,
            sha256=refusal.receipt.sha256,
            who=who or getpass.getuser(),
            decided_at=now or datetime.now(UTC),
            because=because.strip(),
            reasons=refusal.reasons(),
        )
        _let_in(refusal, decision, folder, name)
        decided.append(decision)
    return decided


def restore(
    dataset: str, because: str, storage: Storage, *, who: str | None = None, now: datetime | None = None
) -> list[Decision]:
    """Undo the last acceptance of a dataset: the files that served before serve again, and who decided it is written.

    The months that were counted in the accepted files are put aside (`history.withdraw`). The next refresh asks the
    producer again: the file that was accepted comes back to the gates that refused it. Raises SourceError: no reason
    given, no accepted file serves, or the bytes of the former one are not here unchanged.
    """
    # The readers of a history are slow to load, and every command loads this module.
    from diagnostics.sources.history import withdraw  # noqa: PLC0415

    if not because.strip():
        raise SourceError('Une décision demande un motif : --because "ce qui a été vérifié".')
    base = local(storage.raw) / dataset
    back: list[tuple[Path, str, Receipt, Receipt]] = []
    for path in sorted(base.glob("*/*.superseded.jsonl")):
        folder, name = path.parent, path.name.removesuffix(".superseded.jsonl")
        serving, taken = read_receipt(receipt_path(folder, name)), decisions(folder, name)
        if serving is None or not taken or (taken[-1].kind, taken[-1].sha256) != ("accepted", serving.sha256):
            continue
        former = Receipt.model_validate_json(path.read_text(encoding="utf-8").splitlines()[-1])
        kept = folder / former.path
        if not kept.is_file() or file_sha256(kept) != former.sha256:
            raise SourceError(f"Jeu `{dataset}` : le fichier précédent, {kept}, n'est plus là ou a changé.")
        back.append((folder, name, serving, former))
    if not back:
        raise SourceError(f"Jeu `{dataset}` : aucun fichier accepté par une décision ne sert sous {base}.")
    decided = []
    for folder, name, undone, former in back:
        decision = Decision(
            kind="restored",
            dataset=dataset,
            distribution=former.distribution,
            sha256=former.sha256,
            who=who or getpass.getuser(),
            decided_at=now or datetime.now(UTC),
            because=because.strip(),
            reasons=[],
        )
        _append(decision, folder / f"{name}.decisions.jsonl")
        # Before the switch: killed between the two, the file that still serves has its months counted again.
        withdraw(dataset, undone.sha256, storage)
        adopt(former, folder, name)
        decided.append(decision)
    return decided


def _let_in(refusal: Refusal, decision: Decision, folder: Path, name: str) -> None:
    _append(decision, folder / f"{name}.decisions.jsonl")
    kept = folder / refusal.receipt.path
    serving = folder / versioned_name(name, refusal.receipt.sha256)
    # A copy, not a move: until the receipt says otherwise, the file is still a refused one.
    with replacing(serving) as temporary:
        shutil.copy2(kept, temporary)
    standing = Standing(
        sha256=refusal.receipt.sha256, judged_at=refusal.refused_at, facts=refusal.facts, results=refusal.results
    )
    adopt(moved(refusal.receipt, serving), folder, name, standing)
    kept.unlink()
    kept.with_name(f"{kept.name}.json").unlink()


def decisions(folder: Path, name: str) -> list[Decision]:
    """The decisions taken on a file, oldest first."""
    path = folder / f"{name}.decisions.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines() if path.is_file() else []
    return [Decision.model_validate_json(line) for line in lines]


def accepted_files(folder: Path, name: str) -> list[str]:
    """The sha256 of the files that a person let in and nobody undid: a restoration undoes the last acceptance."""
    found: list[str] = []
    for decision in decisions(folder, name):
        if decision.kind == "accepted":
            found.append(decision.sha256)
        else:
            found.pop()
    return found


def _append(model: BaseModel, path: Path) -> None:
    with path.open("a", encoding="utf-8") as out:
        out.write(model.model_dump_json() + "\n")


def _parse(path: Path, model: type[Model]) -> Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise SourceError(f"Fichier illisible : {path}. Le supprimer, puis relancer.") from error


def _escaped(name: str) -> str:
    return name.replace("[", "[[]")
