"""The newest resource of a data.gouv.fr dataset, rather than a dated file name that dies at the next edition.

The official client (`datagouv-client` 0.5.1) was measured and set aside (docs/sources.md): it replaces urllib3 for
every library, asks for a dataset twice, and asks a server that refuses five times without waiting as `Retry-After`
says. One GET of the public API does the work.
API: `https://www.data.gouv.fr/api/1/datasets/<id or slug>/` -> `{"resources": [{"title", "url", "checksum", ...}]}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from diagnostics.errors import SourceError
from diagnostics.sources.web import Web


@dataclass(frozen=True)
class Resource:
    """One file of a dataset. `checksum` is `algorithm:hexadecimal` when the platform knows it; `size` in bytes."""

    url: str
    title: str
    last_modified: datetime
    checksum: str | None
    size: int | None


def discover(url: str, pattern: str, web: Web) -> Resource:
    """The resource of the dataset at `url` whose title or file name matches `pattern` and that changed last.

    Raises SourceError (WebError included): no answer, an answer that is not a dataset, nothing that matches.
    """
    dataset = web.json(url)
    listed = dataset.get("resources") if isinstance(dataset, dict) else None
    if not isinstance(listed, list):
        raise SourceError(f"la réponse de {url} ne décrit pas un jeu de données (clé `resources` absente)")
    matching = [r for r in map(_resource, listed) if _matches(r, pattern)]
    if not matching:
        titles = ", ".join(f"« {r.get('title', '?')} »" for r in listed[:12]) or "aucune"
        raise SourceError(f"aucune ressource de {url} ne répond au motif « {pattern} ». Ressources trouvées : {titles}")
    return max(matching, key=lambda r: r.last_modified)


def _matches(resource: Resource, pattern: str) -> bool:
    file = unquote(PurePosixPath(urlsplit(resource.url).path).name)
    return any(fnmatch(name.lower(), pattern.lower()) for name in (resource.title, file))


def _resource(listed: Mapping[str, Any]) -> Resource:
    try:
        checksum = listed.get("checksum")
        moment = datetime.fromisoformat(listed["last_modified"])
        return Resource(
            listed["url"],
            listed.get("title") or "",
            moment if moment.tzinfo else moment.replace(tzinfo=UTC),
            f"{checksum['type']}:{checksum['value']}" if checksum else None,
            listed.get("filesize"),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise SourceError(
            f"une ressource de data.gouv.fr est décrite autrement que prévu ({type(error).__name__} : {error}) ; "
            "l'API a peut-être changé"
        ) from error
