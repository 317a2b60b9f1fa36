"""Does a producer's address answer, and with what? For `diagnostic sources check`, which writes the result down.

Cards start as `unverified`: the answer of a live server is the only proof that an address is right. The proof is kept
beside the data (`<file>.check.json`); the card is a person's to change.
"""

from __future__ import annotations

from datetime import UTC, datetime
from http import HTTPStatus
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from diagnostics.catalog.models import Distribution, Source
from diagnostics.errors import SourceError
from diagnostics.sources.addresses import Web as WebAddress
from diagnostics.sources.addresses import parse_address, place_of, raw_name
from diagnostics.sources.content import EXPECTED, sniff
from diagnostics.sources.discover import discover
from diagnostics.sources.fetch import raw_folder
from diagnostics.sources.receipts import write_json
from diagnostics.sources.web import Answer, Web
from diagnostics.storage import Storage


class ProbeResult(BaseModel):
    """The receipt of one check. `problem` is empty when the address gives what the card expects. `size` in bytes."""

    model_config = ConfigDict(frozen=True)

    dataset: str
    distribution: str
    address: str
    checked_at: datetime
    problem: str
    resolved: str | None = None
    status: int | None = None
    content_type: str | None = None
    kind: str | None = None
    size: int | None = None
    etag: str | None = None
    last_modified: str | None = None
    first_line: str | None = None

    @property
    def verified(self) -> bool:
        return not self.problem


def probe(source: Source, distribution: Distribution, web: Web) -> ProbeResult:
    """Ask for the first bytes of an `https://` distribution. A server that fails is a result, not an error.

    Raises SourceError for an address that is not on the web: fetching it is the check.
    """
    address = parse_address(source, distribution)
    if not isinstance(address, WebAddress):
        raise SourceError(
            f"{place_of(source, distribution)} : {distribution.address} n'est pas une adresse du web ; la vérifier en "
            "récupérant le fichier."
        )
    known = {
        "dataset": source.id,
        "distribution": distribution.id,
        "address": distribution.address,
        "checked_at": datetime.now(UTC),
    }
    try:
        url = discover(address.url, address.newest, web).url if address.newest else address.url
        answer = web.peek(url)
    except SourceError as error:
        return ProbeResult(**known, problem=str(error), status=getattr(error, "status", None))
    kind = sniff(answer.head)
    return ProbeResult(
        **known,
        problem=_problem(answer, kind, raw_name(source, distribution)),
        resolved=answer.url,
        status=answer.status,
        content_type=answer.content_type,
        kind=kind,
        size=answer.size,
        etag=answer.etag,
        last_modified=answer.last_modified,
        first_line=_first_line(answer.head) if kind == "texte" else None,
    )


def keep_probe(result: ProbeResult, source: Source, distribution: Distribution, storage: Storage) -> Path:
    """Write the receipt of a check beside the raw file of its distribution; a later check replaces it."""
    path = _probe_path(source, distribution, storage)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(result, path)
    return path


def read_probe(source: Source, distribution: Distribution, storage: Storage) -> ProbeResult | None:
    """The last check of this address, None when it was never checked or the card has changed its address since."""
    path = _probe_path(source, distribution, storage)
    if not path.is_file():
        return None
    try:
        result = ProbeResult.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise SourceError(f"Reçu de vérification illisible : {path}. Le supprimer, puis relancer.") from error
    return result if result.address == distribution.address else None


def _probe_path(source: Source, distribution: Distribution, storage: Storage) -> Path:
    return raw_folder(source, distribution, storage) / f"{raw_name(source, distribution)}.check.json"


def _problem(answer: Answer, kind: str, name: str) -> str:
    # A Range asked of an empty file is answered 416.
    if answer.status not in (HTTPStatus.OK, HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE):
        return f"statut HTTP {answer.status}"
    expected = EXPECTED.get(Path(name).suffix.lower())
    if kind in ("vide", "html") or (expected is not None and kind != expected):
        return f"contenu « {kind} » au lieu de « {expected or 'données'} »"
    return ""


def _first_line(head: bytes) -> str:
    line = head.splitlines()[0]
    return line.decode("utf-8-sig", "replace")[:500]
