"""A producer's server on loopback that misbehaves on demand, and the clock that makes patience instant.

    with Producer() as producer:
        producer.serve("/radon.csv", status(500), status(500), whole(b"..."))   # one behaviour per request
        web = producer.web()                                                     # a `Web` that can only reach it

Behaviours are functions of the request handler; the last one of a path repeats. Everything stops with the block.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from email.message import Message
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
from upath import UPath

from diagnostics.catalog.models import Source
from diagnostics.sources.web import Patience, Web
from diagnostics.storage import Storage

Behaviour = Callable[["Handler"], None]
MOST_REQUESTS = 200


@dataclass
class Asked:
    path: str
    headers: Message


@dataclass
class FakeTime:
    """A clock that only sleeping moves."""

    now: float = 1_800_000_000.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def clock(self) -> float:
        return self.now


class Loopback(httpx.BaseTransport):
    """Sends `https://127.0.0.1:port/` in clear to the server of the test, and nothing anywhere else."""

    def __init__(self):
        self._inner = httpx.HTTPTransport()

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        assert request.url.host == "127.0.0.1", f"a test reached for {request.url}"
        plain = httpx.Request(
            request.method,
            request.url.copy_with(scheme="http"),
            headers=request.headers,
            stream=request.stream,
            extensions=request.extensions,
        )
        return self._inner.handle_request(plain)

    def close(self) -> None:
        self._inner.close()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        with self.server.lock:
            self.server.asked.append(Asked(self.path, self.headers))
            behaviours = self.server.routes.get(path, [status(404)])
            behaviour = behaviours.pop(0) if len(behaviours) > 1 else behaviours[0]
            too_many = len(self.server.asked) > self.server.most_requests
        (status(410) if too_many else behaviour)(self)

    def answer(self, code: int, body: bytes = b"", headers: dict[str, str] | None = None) -> None:
        headers = {"Content-Length": str(len(body)), **(headers or {})}
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        self.wfile.flush()
        self.close_connection = True

    def log_message(self, *_: object) -> None:
        """The test looks at `asked`; nothing is printed."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False

    def __init__(self, most_requests: int):
        super().__init__(("127.0.0.1", 0), Handler)
        self.most_requests = most_requests
        self.routes: dict[str, list[Behaviour]] = {}
        self.asked: list[Asked] = []
        self.lock = threading.Lock()
        self.over = threading.Event()

    def handle_error(self, *_: object) -> None:
        """A client that hangs up in the middle of a body is what some tests are about."""


class Producer:
    def __init__(self, most_requests: int = MOST_REQUESTS):
        self._server = _Server(most_requests)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.time = FakeTime()
        self._webs: list[Web] = []

    def __enter__(self) -> Producer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        for web in self._webs:
            web.close()
        self._server.over.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5)

    @property
    def port(self) -> int:
        return self._server.server_address[1]

    @property
    def asked(self) -> list[Asked]:
        return self._server.asked

    def serve(self, path: str, *behaviours: Behaviour) -> str:
        """Give these behaviours in turn at `path`; returns its address."""
        self._server.routes[path] = list(behaviours)
        return self.url(path)

    def url(self, path: str) -> str:
        return f"https://127.0.0.1:{self.port}{path}"

    def secure(self, context: ssl.SSLContext) -> None:
        """Serve over TLS from now on. The handshake is done by the thread of each connection."""
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)

    def web(self, patience: Patience | None = None, **options) -> Web:
        settings = {"sleep": self.time.sleep, "clock": self.time.clock, "transport": Loopback(), **options}
        web = Web(patience or Patience(connect=2, silence=2), **settings)
        self._webs.append(web)
        return web


# --- behaviours ------------------------------------------------------------------------------------------------------


def whole(body: bytes, *, etag: str | None = None, last_modified: str | None = None, **headers: str) -> Behaviour:
    """The body, with conditional requests and Range honoured as RFC 9110 says."""
    sent = {"ETag": etag, "Last-Modified": last_modified, **{k.replace("_", "-"): v for k, v in headers.items()}}
    sent = {name: value for name, value in sent.items() if value}

    def behave(handler: Handler) -> None:
        asked = handler.headers
        if (etag and asked.get("If-None-Match") == etag) or (
            last_modified and not etag and asked.get("If-Modified-Since") == last_modified
        ):
            handler.answer(304, headers=sent)
            return
        start = _start_of_range(asked, (etag, last_modified))
        if start is None:
            handler.answer(200, body, sent)
        elif start >= len(body):
            handler.answer(416, headers={**sent, "Content-Range": f"bytes */{len(body)}"})
        else:
            handler.answer(206, body[start:], {**sent, "Content-Range": f"bytes {start}-{len(body) - 1}/{len(body)}"})

    return behave


def _start_of_range(asked: Message, validators: tuple[str | None, ...]) -> int | None:
    wanted = asked.get("Range")
    condition = asked.get("If-Range")
    if wanted is None or (condition is not None and condition not in validators):
        return None
    return int(wanted.removeprefix("bytes=").partition("-")[0])


def status(code: int, **headers: str) -> Behaviour:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return lambda handler: handler.answer(code, b"non", sent)


def redirect(to: str) -> Behaviour:
    return lambda handler: handler.answer(302, headers={"Location": to})


def cut(body: bytes, at: int, **headers: str) -> Behaviour:
    """Announces everything, sends `at` bytes and hangs up."""

    def behave(handler: Handler) -> None:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        handler.answer(200, body[:at], {"Content-Length": str(len(body)), **sent})
        handler.hang_up()

    return behave


def announce(body: bytes, length: int) -> Behaviour:
    """Says `length` bytes, sends the whole body and hangs up."""

    def behave(handler: Handler) -> None:
        handler.answer(200, body, {"Content-Length": str(length)})
        handler.hang_up()

    return behave


def stall(body: bytes, at: int) -> Behaviour:
    """Sends `at` bytes, then nothing until the end of the test."""

    def behave(handler: Handler) -> None:
        handler.answer(200, body[:at], {"Content-Length": str(len(body)), "ETag": '"lent"'})
        handler.wfile.flush()
        handler.server.over.wait(20)
        handler.hang_up()

    return behave


def hang_up(handler: Handler) -> None:
    """Closes the connection without a word."""
    handler.hang_up()


# --- cards -----------------------------------------------------------------------------------------------------------


def card(*addresses: str, controls: tuple[dict, ...] = (), kept: dict | None = None, **fields) -> Source:
    """A source card with one distribution per address, that reads `code;pop` by commune. `kept`: variables of the
    months kept, by name, when `history` is among the fields."""
    if kept:
        fields["history"] = fields["history"] | {"values": kept}
    distributions = [
        {
            "id": f"d{i}",
            "profiles": ["official"],
            "address": address,
            "vintage": "2024",
            "cog_year": 2024,
            "layout": "csv",
            "observations": [
                {"geo": [{"type": "commune", "code": "code"}], "period_column": "annee", "values": {"pop": "pop"}}
            ],
            **fields,
        }
        for i, address in enumerate(addresses)
    ]
    return Source(
        id="essai",
        title="Jeu d'essai",
        producer="Producteur d'essai",
        licence="Licence Ouverte 2.0",
        homepage="https://producteur.example/jeu",
        citation="Essai",
        theme="Essai",
        variables={"pop": {"label": "Population"}} | {name: {"label": name} for name in kept or ()},
        distributions=distributions,
        controls=controls,
    )


def storage_in(folder) -> Storage:
    return Storage(UPath(folder))


def table(communes: int, years: tuple[int, ...] = (2023, 2024), population: int = 100) -> bytes:
    """A CSV that `card` reads: `communes` codes of the Meuse, one line per year."""
    lines = [f"55{i:03d};{year};{population + i}" for year in years for i in range(1, communes + 1)]
    return ("code;annee;pop\n" + "\n".join(lines) + "\n").encode()
