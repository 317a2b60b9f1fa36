"""data.gouv.fr tells the newest resource; a probe tells whether an address is right."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from producer import Producer, card, cut, hang_up, redirect, status, storage_in, table, whole

from diagnostics.errors import SourceError
from diagnostics.sources.fetch import fetch
from diagnostics.sources.gates import refresh
from diagnostics.sources.probe import ProbeResult, probe
from diagnostics.sources.web import Patience, WebError

BODY = table(60)
NEWER = table(62)


@pytest.fixture
def producer():
    with Producer() as server:
        yield server


def resource(producer, file: str, modified: str, body: bytes | None = None, title: str = "") -> dict:
    """As the API of data.gouv.fr lists it."""
    checksum = {"type": "sha1", "value": hashlib.sha1(body).hexdigest()} if body else None
    return {
        "title": title or file,
        "url": producer.url(f"/files/{file}"),
        "last_modified": modified,
        "checksum": checksum,
        "filesize": len(body) if body else None,
    }


def dataset(producer, *resources: dict):
    return whole(json.dumps({"id": "5f", "title": "Population", "resources": list(resources)}).encode())


@pytest.fixture
def published(producer):
    """A dataset with a dated file of each year, a notice, and the address of its newest CSV."""
    producer.serve("/files/pop-2024.csv", whole(BODY))
    producer.serve("/files/pop-2025.csv", whole(NEWER))
    producer.serve(
        "/api/1/datasets/pop/",
        dataset(
            producer,
            resource(producer, "notice.pdf", "2026-09-01T00:00:00+00:00"),
            resource(producer, "pop-2025.csv", "2026-07-01T00:00:00.123000+00:00", NEWER),
            resource(producer, "pop-2024.csv", "2025-07-01T00:00:00", BODY),
        ),
    )
    return card(producer.url("/api/1/datasets/pop/#newest=pop-*.csv"))


def test_the_newest_matching_resource_is_taken(producer, published, tmp_path):
    raw = fetch(published, published.distributions[0], storage_in(tmp_path), web=producer.web())
    assert raw.path.read_bytes() == NEWER
    assert raw.path.name == "d0.csv"
    assert raw.receipt.resolved == producer.url("/files/pop-2025.csv")
    assert raw.receipt.checksum == f"sha1:{hashlib.sha1(NEWER).hexdigest()}"


def test_an_unchanged_checksum_spares_the_download(producer, published, tmp_path):
    distribution, storage = published.distributions[0], storage_in(tmp_path)
    refresh(published, distribution, storage, web=producer.web())
    before = len(producer.asked)
    assert refresh(published, distribution, storage, web=producer.web()).state == "unchanged"
    assert [a.path for a in producer.asked[before:]] == ["/api/1/datasets/pop/"]


def test_a_file_that_is_not_what_data_gouv_announces_is_refused(producer, published, tmp_path):
    producer.serve("/files/pop-2025.csv", whole(BODY))
    with pytest.raises(SourceError, match=r"sha1 annoncé par data\.gouv\.fr"):
        fetch(published, published.distributions[0], storage_in(tmp_path), web=producer.web())


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b'{"resources": []}', "aucune ressource"),
        (b'{"resources": [{"title": "pop-1.csv"}]}', "décrite autrement"),
        (b'{"message": "gone"}', "`resources` absente"),
        (b"[]", "`resources` absente"),
        (b"<html>", "pas du JSON"),
    ],
)
def test_an_answer_that_is_no_dataset_is_told(producer, published, tmp_path, answer, told):
    producer.serve("/api/1/datasets/pop/", whole(answer))
    with pytest.raises(SourceError, match=told) as caught:
        fetch(published, published.distributions[0], storage_in(tmp_path), web=producer.web())
    assert "`essai`" in str(caught.value)


# --- probe -----------------------------------------------------------------------------------------------------------


def look(producer, *behaviours, path="/pop.csv") -> ProbeResult:
    source = card(producer.serve(path, *behaviours))
    return probe(source, source.distributions[0], producer.web())


def test_a_probe_reads_the_first_bytes_and_no_more(producer):
    big = table(900) * 30
    result = look(producer, whole(big, etag='"v1"', Content_Type="text/csv"))
    assert result.verified
    assert (result.status, result.kind, result.etag, result.first_line) == (200, "texte", '"v1"', "code;annee;pop")
    assert result.size == len(big)
    assert producer.asked[0].headers["Range"] == "bytes=0-65535"
    assert ProbeResult.model_validate_json(result.model_dump_json()) == result


def test_a_probe_follows_redirects_and_discovers(producer, published):
    producer.serve("/files/pop-2025.csv", redirect("/files/pop-2024.csv"))
    result = probe(published, published.distributions[0], producer.web())
    assert (result.verified, result.resolved) == (True, producer.url("/files/pop-2024.csv"))


@pytest.mark.parametrize(
    ("behaviour", "path", "told"),
    [
        (status(404), "/pop.csv", "404"),
        (status(503), "/pop.csv", "503"),
        (whole(b"<html>"), "/pop.csv", "html"),
        (whole(b"<html>"), "/datasets/r/0f", "html"),
        (whole(b""), "/pop.csv", "vide"),
        (whole(b"code;pop\n"), "/pop.zip", "zip"),
        (hang_up, "/pop.csv", "connexion rompue"),
    ],
)
def test_a_probe_says_what_is_wrong(producer, behaviour, path, told):
    result = look(producer, behaviour, path=path)
    assert not result.verified
    assert told in result.problem


def test_a_probe_of_a_local_address_is_an_error(producer):
    source = card("mirror://jeu/pop.csv")
    with pytest.raises(SourceError, match="pas une adresse du web"):
        probe(source, source.distributions[0], producer.web())


# --- any sequence of faults ------------------------------------------------------------------------------------------

FAULTS = st.one_of(
    st.sampled_from([408, 429, 500, 502, 503, 504]).map(status),
    st.integers(1, len(BODY) - 1).map(lambda at: cut(BODY, at, ETag='"v1"')),
    st.integers(1, len(BODY) - 1).map(lambda at: cut(BODY, at)),
    st.integers(1, len(NEWER) - 1).map(lambda at: cut(NEWER, at, ETag='"v2"')),
    st.just(hang_up),
)


@settings(max_examples=30, deadline=None)
@given(faults=st.lists(FAULTS, max_size=7))
def test_whatever_goes_wrong_first_the_file_is_whole_or_there_is_none(tmp_path_factory, faults):
    folder = tmp_path_factory.mktemp("fetch")
    with Producer() as producer:
        source = card(producer.serve("/pop.csv", *faults, whole(BODY, etag='"v1"')))
        web = producer.web(Patience(attempts=6, connect=2, silence=2))
        try:
            raw = fetch(source, source.distributions[0], storage_in(folder), web=web)
        except WebError:
            assert len(faults) >= 6
            assert not (folder / "raw" / "essai" / "2024" / "pop.csv").exists()
        else:
            assert len(faults) < 6
            assert raw.path.read_bytes() == BODY
