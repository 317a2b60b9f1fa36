"""Has the producer published something else than the file that serves? Asked without downloading it.

    seen = look(source, distribution, storage, web)
    seen.moved, seen.version, seen.problem

Only `gates.refresh` says whether the bytes differ and whether they may serve: this is what makes it worth running.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus

from diagnostics import french
from diagnostics.catalog.models import Distribution, Source
from diagnostics.errors import SourceError
from diagnostics.sources.addresses import Web as WebAddress
from diagnostics.sources.addresses import parse_address, raw_name
from diagnostics.sources.discover import discover
from diagnostics.sources.fetch import manual_path, raw_folder
from diagnostics.sources.receipts import Receipt, read_receipt, receipt_path, serves
from diagnostics.sources.web import Patience, Web
from diagnostics.storage import Storage

GLANCE = Patience(attempts=1, connect=5.0, silence=10.0, overall=20.0)
"""A look is repeated at the next tick: it does not wait for a server that is down."""


@dataclass(frozen=True)
class Published:
    """`version` is whatever tells two versions apart, in the producer's words; empty when `problem` says why."""

    version: str
    moved: bool
    problem: str = ""


def look(source: Source, distribution: Distribution, storage: Storage, web: Web) -> Published:
    """What stands at the address of `distribution` now, against its receipt. A producer who fails is a `problem`."""
    name = raw_name(source, distribution)
    folder = raw_folder(source, distribution, storage)
    receipt = read_receipt(receipt_path(folder, name))
    current = receipt is not None and serves(receipt, folder, distribution)
    address = parse_address(source, distribution)
    if not isinstance(address, WebAddress) or manual_path(source, name, storage).is_file():
        file = folder / receipt.path if receipt else None
        if file is None or not file.is_file():
            return Published("jamais récupéré" if receipt is None else "disparu", True)
        stat = file.stat()
        return Published(f"{french.number(stat.st_size)} octets, {stat.st_mtime_ns}", not current)
    try:
        if address.newest:
            resource = discover(address.url, address.newest, web)
            if resource.checksum:
                return Published(resource.checksum, not current or receipt.checksum != resource.checksum)
        url = resource.url if address.newest else address.url
        answer = web.peek(url)
    except SourceError as error:
        return Published("", False, str(error))
    if answer.status != HTTPStatus.OK:
        return Published("", False, f"statut HTTP {answer.status}")
    told = {"etag": answer.etag, "last_modified": answer.last_modified, "size": answer.size}
    version = next((str(value) for value in told.values() if value is not None), "")
    return Published(version, not current or _differs(receipt, told), "" if version else "le serveur ne dit rien")


def _differs(receipt: Receipt, told: dict[str, str | int | None]) -> bool:
    """By the first thing that both the server and the receipt know."""
    for key, value in told.items():
        known = getattr(receipt, key)
        if value is not None and known is not None:
            return value != known
    return False
