"""Asking a producer's server for a file, patiently and politely.

Only what may heal is tried again: 408, 429, 5xx and broken connections, after a growing wait with jitter, or after the
`Retry-After` that the server asks for. Everything else is a `WebError` at once. What has arrived is kept in
`<target>.part` and resumed by Range if the server still holds the same version (If-Range).
"""

from __future__ import annotations

import os
import ssl
import time
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Any
from urllib.parse import urlsplit

import httpx
import tenacity
from pydantic import BaseModel, ConfigDict

from diagnostics.errors import SourceError
from diagnostics.sources.receipts import write_json

Progress = Callable[[int, int | None], None]
AGENT = "diagnostic-cls (diagnostic territorial de sante ; donnees ouvertes)"
TRANSIENT = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_MANY_REQUESTS}
# Melodi announces 30 requests a minute; the margin covers clocks that differ.
PER_MINUTE = {"api.insee.fr": 28}
# A quota without a stated delay is usually by the minute: six tries must outlast one.
QUOTA_WAIT = 15.0
HEAD_BYTES = 1 << 16


@dataclass(frozen=True)
class Patience:
    """How long one file may take. Times in seconds, `largest` in bytes."""

    attempts: int = 6
    first_wait: float = 1.0
    longest_wait: float = 60.0
    longest_retry_after: float = 600.0
    connect: float = 20.0
    silence: float = 60.0
    overall: float = 4 * 3600.0
    redirects: int = 10
    largest: int = 8 << 30


class WebError(SourceError):
    """The server will not give this file, or not now. `status` is None when it never answered properly.
    `lasting` is False when trying later may help."""

    def __init__(self, message: str, *, status: int | None = None, lasting: bool = True):
        super().__init__(message)
        self.status = status
        self.lasting = lasting


class Validators(BaseModel):
    """What the server said of a version: enough to ask whether it has changed, or to resume it."""

    model_config = ConfigDict(frozen=True)

    url: str
    etag: str | None = None
    last_modified: str | None = None

    def conditional(self) -> dict[str, str]:
        headers = {"If-None-Match": self.etag, "If-Modified-Since": self.last_modified}
        return {name: value for name, value in headers.items() if value}

    def if_range(self) -> str | None:
        """A weak ETag must not serve for If-Range (RFC 9110, 13.1.5)."""
        return self.etag if self.etag and not self.etag.startswith("W/") else self.last_modified

    def may_be(self, response: httpx.Response) -> bool:
        """False when an answer says of itself something else than what is known: some servers give one ETag for ever,
        and two halves of two versions must never be glued."""
        told = {"etag": response.headers.get("ETag"), "last_modified": response.headers.get("Last-Modified")}
        return all(told[key] in (None, known) for key, known in self.model_dump(exclude={"url"}).items() if known)


@dataclass(frozen=True)
class Arrival:
    """A whole body, at `file`. `url` is the address after redirects."""

    file: Path
    url: str
    validators: Validators


@dataclass(frozen=True)
class Answer:
    """The first bytes of an answer, for a check that does not download."""

    status: int
    url: str
    content_type: str | None
    size: int | None
    etag: str | None
    last_modified: str | None
    head: bytes


class _UnsteadyError(Exception):
    """May heal. `after` is the wait that the server asks for, in seconds."""

    def __init__(self, reason: str, *, status: int | None = None, after: float | None = None):
        super().__init__(reason)
        self.status = status
        self.after = after


class Pace:
    """No more than so many requests a minute to a host, over all clients of this process."""

    def __init__(self, per_minute: Mapping[str, int], sleep: Callable[[float], None], clock: Callable[[], float]):
        self._per_minute, self._sleep, self._clock = per_minute, sleep, clock
        self._past: dict[str, deque[float]] = defaultdict(deque)
        self._lock = Lock()

    def wait(self, host: str) -> None:
        allowed = self._per_minute.get(host)
        if allowed is None:
            return
        with self._lock:
            past = self._past[host]
            if len(past) == allowed:
                self._sleep(max(0.0, past.popleft() + 60 - self._clock()))
            past.append(self._clock())


SHARED_PACE = Pace(PER_MINUTE, time.sleep, time.time)


class Web:
    """One polite client for all producers. `transport`, `sleep`, `clock` and `pace` are there for tests.

    Proxies come from the usual variables, authorities from SSL_CERT_FILE or SSL_CERT_DIR, and one more from
    DIAGNOSTIC_CA (PEM), for networks that inspect TLS.
    """

    def __init__(
        self,
        patience: Patience | None = None,
        *,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.time,
        pace: Pace | None = None,
    ):
        self.patience = patience or Patience()
        self._sleep, self._clock = sleep, clock
        self._pace = pace or SHARED_PACE
        self._client = httpx.Client(
            transport=transport,
            verify=_authorities(),
            follow_redirects=True,
            max_redirects=self.patience.redirects,
            timeout=httpx.Timeout(self.patience.silence, connect=self.patience.connect),
            headers={"User-Agent": AGENT, "Accept-Encoding": "identity"},
            event_hooks={"request": [self._before]},
        )

    def __enter__(self) -> Web:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self._client.close()

    def download(
        self, url: str, target: Path, *, known: Validators | None = None, progress: Progress | None = None
    ) -> Arrival | None:
        """Bring the whole body of `url` to `target`. None when the server says that `known` is still current (304).

        progress is told (bytes here, bytes in all or None). Raises WebError.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        return self._patiently(lambda deadline: self._attempt(url, target, known, progress, deadline))

    def json(self, url: str) -> Any:
        """A small JSON document. Raises WebError."""

        def attempt(deadline: float) -> Any:
            with self._asked(url, {}) as response:
                _raise_for_status(response, self._clock)
                body = b"".join(self._body(response, deadline, largest=64 << 20))
            try:
                return httpx.Response(200, content=body).json()
            except ValueError as error:
                raise WebError(f"réponse qui n'est pas du JSON ({error})", status=response.status_code) from error

        return self._patiently(attempt)

    def peek(self, url: str) -> Answer:
        """Status, headers and first bytes. GET with a Range, because many servers answer 405 to HEAD.
        Raises WebError when no answer comes; a bad status is an answer."""

        def attempt(deadline: float) -> Answer:
            with self._asked(url, {"Range": f"bytes=0-{HEAD_BYTES - 1}"}) as response:
                if _heals(response.status_code):
                    _raise_for_status(response, self._clock)
                head = b""
                for block in self._body(response, deadline, largest=self.patience.largest):
                    head += block
                    if len(head) >= HEAD_BYTES:
                        break
                headers = response.headers
                return Answer(
                    HTTPStatus.OK if response.status_code == HTTPStatus.PARTIAL_CONTENT else response.status_code,
                    str(response.url),
                    headers.get("Content-Type"),
                    _announced(response, 0),
                    headers.get("ETag"),
                    headers.get("Last-Modified"),
                    head[:HEAD_BYTES],
                )

        return self._patiently(attempt)

    # --- one request -------------------------------------------------------------------------------------------------

    def _attempt(
        self, url: str, target: Path, known: Validators | None, progress: Progress | None, deadline: float
    ) -> Arrival | None:
        part = _Part(target)
        offset, stored = part.resumable(url)
        headers = {"Range": f"bytes={offset}-", "If-Range": stored.if_range()} if stored else {}
        if not stored and known:
            headers = known.conditional()
        with self._asked(url, headers) as response:
            if response.status_code == HTTPStatus.NOT_MODIFIED and not stored:
                return None
            if response.status_code == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and stored:
                # The whole body had arrived when the process was killed; otherwise start again.
                if response.headers.get("Content-Range") == f"bytes */{offset}":
                    return part.finish(str(response.url), stored)
                part.drop()
                raise _UnsteadyError("reprise refusée par le serveur", after=0)
            _raise_for_status(response, self._clock)
            if response.status_code == HTTPStatus.PARTIAL_CONTENT:
                asked = response.headers.get("Content-Range", "").startswith(f"bytes {offset}-")
                if not (stored and asked and stored.may_be(response)):
                    part.drop()
                    raise _UnsteadyError("réponse partielle qui n'est pas celle demandée", after=0)
            else:
                offset, stored = 0, part.begin(url, response)
            total = _announced(response, offset)
            if (total or 0) > self.patience.largest:
                raise WebError(f"{total} octets annoncés, plus que le maximum admis ({self.patience.largest})")
            here = offset
            with part.file.open("ab" if offset else "wb") as out:
                for block in self._body(response, deadline, largest=self.patience.largest - offset):
                    out.write(block)
                    here += len(block)
                    if progress:
                        progress(here, total)
            if total is not None and here != total:
                raise _UnsteadyError(f"{here} octets reçus pour {total} annoncés")
            return part.finish(str(response.url), stored)

    @contextmanager
    def _asked(self, url: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """The streamed answer, with httpx's errors told apart: those that may heal and those that will not."""
        try:
            with self._client.stream("GET", url, headers=headers) as response:
                yield response
        except httpx.TooManyRedirects as error:
            raise WebError(f"plus de {self.patience.redirects} redirections (boucle)") from error
        except httpx.DecodingError as error:
            raise WebError(f"corps compressé corrompu ({error})") from error
        except httpx.ProxyError as error:
            raise WebError(f"le proxy refuse ({error}) ; vérifier HTTPS_PROXY et NO_PROXY", lasting=False) from error
        except (httpx.UnsupportedProtocol, httpx.InvalidURL, httpx.LocalProtocolError) as error:
            raise WebError(f"adresse ou redirection inutilisable ({error})") from error
        except httpx.TransportError as error:
            if isinstance(_root(error), ssl.SSLCertVerificationError):
                raise WebError(
                    f"certificat non reconnu ({_root(error)}) ; derrière un proxy qui inspecte le trafic, indiquer son "
                    "autorité par DIAGNOSTIC_CA=/chemin/autorite.pem",
                    lasting=False,
                ) from error
            raise _UnsteadyError(_told(error)) from error

    def _body(self, response: httpx.Response, deadline: float, *, largest: int) -> Iterator[bytes]:
        received = 0
        for block in response.iter_bytes():
            received += len(block)
            if received > largest:
                raise WebError(f"plus de {largest} octets, le maximum admis")
            if self._clock() > deadline:
                raise WebError(f"inachevé après {self.patience.overall:.0f} s, le maximum admis", lasting=False)
            yield block

    def _before(self, request: httpx.Request) -> None:
        if request.url.scheme != "https":
            raise WebError(f"redirection vers une adresse non chiffrée : {request.url}")
        self._pace.wait(request.url.host)

    # --- trying again ------------------------------------------------------------------------------------------------

    def _patiently(self, attempt: Callable[[float], Any]) -> Any:
        patience, deadline = self.patience, self._clock() + self.patience.overall
        backoff = tenacity.wait_exponential_jitter(
            patience.first_wait, patience.longest_wait, jitter=patience.first_wait
        )

        def wait(state: tenacity.RetryCallState) -> float:
            error = state.outcome.exception()
            if error.after is not None:
                return error.after
            return backoff(state) + (QUOTA_WAIT if error.status == HTTPStatus.TOO_MANY_REQUESTS else 0)

        def too_long(state: tenacity.RetryCallState) -> bool:
            asked = state.outcome.exception().after or 0
            return asked > patience.longest_retry_after or self._clock() + asked > deadline

        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_UnsteadyError),
            stop=tenacity.stop_any(tenacity.stop_after_attempt(patience.attempts), too_long),
            wait=wait,
            sleep=self._sleep,
            reraise=True,
        )
        try:
            return retrying(attempt, deadline)
        except _UnsteadyError as error:
            number = retrying.statistics["attempt_number"]
            tries = f"après {number} essais" if number > 1 else "au premier essai"
            asked = f" ; le serveur demande d'attendre {error.after:.0f} s" if error.after else ""
            raise WebError(f"{error}, {tries}{asked}", status=error.status, lasting=False) from error


class _Part:
    """The bytes received so far and the version they belong to, beside the target."""

    def __init__(self, target: Path):
        self.target = target
        self.file = target.with_name(f"{target.name}.part")
        self._note = target.with_name(f"{target.name}.part.json")

    def resumable(self, url: str) -> tuple[int, Validators | None]:
        """How many bytes can be kept, and the version they come from; (0, None) when nothing can."""
        if not (self.file.is_file() and self._note.is_file()):
            return 0, None
        stored = Validators.model_validate_json(self._note.read_bytes())
        size = self.file.stat().st_size
        return (size, stored) if size and stored.url == url and stored.if_range() else (0, None)

    def begin(self, url: str, response: httpx.Response) -> Validators:
        """Forget what was there and note the version that begins. A body compressed on the way is not resumed: its
        ranges count other bytes."""
        self.drop()
        headers = response.headers
        validators = Validators(url=url, etag=headers.get("ETag"), last_modified=headers.get("Last-Modified"))
        if not headers.get("Content-Encoding"):
            write_json(validators, self._note)
        return validators

    def finish(self, url: str, validators: Validators) -> Arrival:
        self.file.replace(self.target)
        self._note.unlink(missing_ok=True)
        return Arrival(self.target, url, validators)

    def drop(self) -> None:
        self.file.unlink(missing_ok=True)
        self._note.unlink(missing_ok=True)


def _announced(response: httpx.Response, offset: int) -> int | None:
    """The size of the whole body. Unknown when it is chunked or compressed on the way."""
    total = response.headers.get("Content-Range", "").rpartition("/")[2]
    if response.status_code == HTTPStatus.PARTIAL_CONTENT and total.isdigit():
        return int(total)
    length = response.headers.get("Content-Length", "")
    return offset + int(length) if length.isdigit() and not response.headers.get("Content-Encoding") else None


def _heals(status: int) -> bool:
    return status in TRANSIENT or status >= HTTPStatus.INTERNAL_SERVER_ERROR


def _raise_for_status(response: httpx.Response, clock: Callable[[], float]) -> None:
    status = response.status_code
    if status in (HTTPStatus.OK, HTTPStatus.PARTIAL_CONTENT):
        return
    told = f"statut HTTP {status} ({MEANING.get(status, response.reason_phrase or 'inconnu')})"
    if _heals(status):
        raise _UnsteadyError(told, status=status, after=_retry_after(response.headers.get("Retry-After"), clock))
    raise WebError(told, status=status)


def _retry_after(value: str | None, clock: Callable[[], float]) -> float | None:
    """Seconds, from a number of seconds or an HTTP date; None when absent or meaningless."""
    if value is None:
        return None
    if value.strip().isdigit():
        return float(value)
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    # A date without a zone is in GMT (RFC 9110, 5.6.7).
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, moment.timestamp() - clock())


def _authorities() -> ssl.SSLContext:
    context = httpx.create_ssl_context()
    extra = os.environ.get("DIAGNOSTIC_CA")
    if extra:
        try:
            context.load_verify_locations(cafile=extra)
        except (OSError, ssl.SSLError) as error:
            raise SourceError(
                f"DIAGNOSTIC_CA = {extra} : ce fichier ne contient pas d'autorité de certification lisible ({error}). "
                "Indiquer un fichier PEM."
            ) from error
    return context


def _root(error: BaseException) -> BaseException:
    while (deeper := error.__cause__ or error.__context__) is not None:
        error = deeper
    return error


def _told(error: httpx.TransportError) -> str:
    host = urlsplit(str(error.request.url)).hostname
    if isinstance(error, httpx.ConnectTimeout):
        return f"{host} ne répond pas"
    if isinstance(error, httpx.TimeoutException):
        return f"{host} n'envoie plus rien"
    if isinstance(error, httpx.ConnectError):
        return f"connexion impossible à {host} ({error})"
    return f"connexion rompue avec {host} ({error})"


MEANING = {
    400: "requête refusée",
    401: "accès réservé",
    403: "accès interdit",
    404: "introuvable",
    405: "méthode refusée",
    408: "délai dépassé",
    410: "retiré définitivement",
    429: "trop de requêtes",
    500: "erreur du serveur",
    502: "passerelle en erreur",
    503: "service indisponible",
    504: "passerelle sans réponse",
}
