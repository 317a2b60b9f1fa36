"""`fetch` from a producer that misbehaves: every fault ends in a whole file or in one clear error."""

from __future__ import annotations

import gzip
import io
import resource
import select
import shutil
import socket
import socketserver
import ssl
import subprocess
import threading
import time
import zipfile
from email.utils import formatdate
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from producer import (
    FakeTime,
    Producer,
    announce,
    card,
    cut,
    hang_up,
    redirect,
    stall,
    status,
    storage_in,
    table,
    whole,
)

from diagnostics.errors import SourceError
from diagnostics.sources.fetch import fetch
from diagnostics.sources.web import PER_MINUTE, Pace, Patience, Web, WebError

BODY = table(200)


@pytest.fixture
def producer():
    with Producer() as server:
        yield server


@pytest.fixture
def get(producer, tmp_path):
    """Fetch the one distribution of a card whose address answers with these behaviours."""

    def run(*behaviours, path="/pop.csv", patience=None, progress=None, **fields):
        source = card(producer.serve(path, *behaviours), **fields)
        web = producer.web(patience)
        return fetch(source, source.distributions[0], storage_in(tmp_path), web=web, progress=progress)

    return run


def left_behind(folder) -> set[str]:
    files = (p for p in (folder / "raw").rglob("*") if p.is_file() and ".locks" not in p.parts)
    return {p.relative_to(folder / "raw" / "essai" / "2024").as_posix() for p in files}


def test_a_file_arrives_whole_with_its_receipt(get, producer, tmp_path):
    steps = []
    raw = get(
        whole(BODY, etag='"v1"', last_modified="Mon, 02 Mar 2026 10:00:00 GMT"), progress=lambda *s: steps.append(s)
    )
    assert raw.path == tmp_path / "raw" / "essai" / "2024" / "pop.csv"
    assert raw.path.read_bytes() == BODY
    receipt = raw.receipt
    assert (receipt.size, receipt.etag, receipt.last_modified) == (len(BODY), '"v1"', "Mon, 02 Mar 2026 10:00:00 GMT")
    assert (receipt.licence, receipt.producer, receipt.vintage) == ("Licence Ouverte 2.0", "Producteur d'essai", "2024")
    assert steps[-1] == (len(BODY), len(BODY))
    assert left_behind(tmp_path) == {"pop.csv", "pop.csv.receipt.json"}
    assert producer.asked[0].headers["Accept-Encoding"] == "identity"


def test_a_file_already_here_asks_nothing(get, producer):
    first = get(whole(BODY))
    assert get(whole(b"code;pop\nautre;1\n")) == first
    assert len(producer.asked) == 1


@pytest.mark.parametrize(
    ("code", "meaning"),
    [
        (400, "refusée"),
        (401, "réservé"),
        (418, "418"),
        (403, "interdit"),
        (404, "introuvable"),
        (405, "refusée"),
        (410, "retiré"),
    ],
)
def test_a_permanent_refusal_is_asked_once_and_says_what_to_do(get, producer, tmp_path, code, meaning):
    with pytest.raises(WebError) as caught:
        get(status(code))
    message = str(caught.value)
    assert len(producer.asked) == 1
    assert producer.time.slept == []
    assert caught.value.status == code
    for told in ("`essai`", "`d0`", producer.url("/pop.csv"), str(code), meaning, "catalog/sources/essai.yaml"):
        assert told in message
    assert str(tmp_path / "manual" / "essai" / "pop.csv") in message
    assert left_behind(tmp_path) == set()


def test_the_file_dropped_where_the_message_says_is_used(get, producer, tmp_path):
    with pytest.raises(WebError):
        get(status(404))
    drop = tmp_path / "manual" / "essai" / "pop.csv"
    drop.parent.mkdir(parents=True)
    drop.write_bytes(BODY)
    raw = get(status(404))
    assert (raw.path, raw.receipt.scheme) == (drop, "manual")
    assert len(producer.asked) == 1


def test_a_dropped_error_page_is_not_used(get, tmp_path):
    drop = tmp_path / "manual" / "essai" / "pop.csv"
    drop.parent.mkdir(parents=True)
    drop.write_bytes(b"<!DOCTYPE html><p>non</p>")
    with pytest.raises(SourceError, match="page HTML"):
        get(status(404))


def test_retry_after_in_seconds_is_honoured(get, producer):
    assert get(status(429, Retry_After="17"), whole(BODY)).path.read_bytes() == BODY
    assert producer.time.slept == [17.0]


def test_retry_after_as_a_date_is_honoured(get, producer):
    later = formatdate(producer.time.now + 42, usegmt=True)
    assert get(status(503, Retry_After=later), whole(BODY)).path.read_bytes() == BODY
    assert producer.time.slept == pytest.approx([42.0])


def test_retry_after_beyond_patience_is_not_waited_for(get, producer):
    with pytest.raises(WebError, match=r"429.*86400 s") as caught:
        get(status(429, Retry_After="86400"))
    assert producer.time.slept == []
    assert not caught.value.lasting


def test_a_quota_without_a_delay_is_outlasted(get, producer):
    with pytest.raises(WebError, match="429"):
        get(status(429))
    assert sum(producer.time.slept) > 60


def test_a_meaningless_retry_after_leaves_the_ordinary_wait(get, producer):
    assert get(status(503, Retry_After="bientôt".encode().decode("latin-1")), whole(BODY)).path.read_bytes() == BODY
    assert 0 < producer.time.slept[0] <= 2


def test_two_500_then_the_file_with_growing_waits(get, producer):
    assert get(status(500), status(500), whole(BODY)).path.read_bytes() == BODY
    first, second = producer.time.slept
    assert 1 <= first <= 2 <= second <= 3


def test_a_server_that_never_heals_is_left_after_the_attempts(get, producer, tmp_path):
    with pytest.raises(WebError, match=r"503 \(service indisponible\), après 6 essais") as caught:
        get(status(503))
    assert len(producer.asked) == 6
    assert "Relancer plus tard" in str(caught.value)
    assert left_behind(tmp_path) == set()


def test_a_cut_at_half_is_resumed_by_range(get, producer):
    half = len(BODY) // 2
    raw = get(cut(BODY, half, ETag='"v1"'), whole(BODY, etag='"v1"'))
    assert raw.path.read_bytes() == BODY
    resumed = producer.asked[1].headers
    assert (resumed["Range"], resumed["If-Range"]) == (f"bytes={half}-", '"v1"')


def test_last_modified_is_enough_to_resume(get, producer):
    date = "Mon, 02 Mar 2026 10:00:00 GMT"
    assert get(cut(BODY, 100, Last_Modified=date), whole(BODY, last_modified=date)).path.read_bytes() == BODY
    assert producer.asked[1].headers["If-Range"] == date


def test_a_file_that_changed_during_the_cut_is_taken_again_from_the_start(get, producer):
    other = table(150)
    raw = get(cut(BODY, len(BODY) // 2, ETag='"v1"'), whole(other, etag='"v2"'))
    assert raw.path.read_bytes() == other
    assert raw.receipt.etag == '"v2"'


def test_without_a_validator_nothing_is_resumed(get, producer):
    assert get(cut(BODY, len(BODY) // 2), whole(BODY)).path.read_bytes() == BODY
    assert "Range" not in producer.asked[1].headers


def test_a_weak_etag_is_not_used_to_resume(get, producer):
    assert get(cut(BODY, 50, ETag='W/"v1"'), whole(BODY, etag='W/"v1"')).path.read_bytes() == BODY
    assert "Range" not in producer.asked[1].headers


def test_a_partial_answer_of_another_range_is_not_glued(get, producer):
    wrong = status(206, Content_Range="bytes 3-5/900", ETag='"v1"')
    assert get(cut(BODY, 50, ETag='"v1"'), wrong, whole(BODY, etag='"v1"')).path.read_bytes() == BODY


def test_a_body_complete_when_the_process_was_killed_is_not_downloaded_again(get, producer, tmp_path):
    folder = tmp_path / "raw" / "essai" / "2024"
    (folder / ".arriving").mkdir(parents=True)
    url = producer.url("/pop.csv")
    (folder / ".arriving/pop.csv.part").write_bytes(BODY)
    (folder / ".arriving/pop.csv.part.json").write_text(f'{{"url": "{url}", "etag": "\\"v1\\""}}')
    raw = get(whole(BODY, etag='"v1"'))
    assert raw.path.read_bytes() == BODY
    assert producer.asked[0].headers["Range"] == f"bytes={len(BODY)}-"
    assert left_behind(tmp_path) == {"pop.csv", "pop.csv.receipt.json"}


def test_always_cut_gives_an_error_and_keeps_what_came_for_next_time(get, producer, tmp_path):
    with pytest.raises(WebError, match="connexion rompue"):
        get(cut(BODY, 60, ETag='"v1"'))
    assert "pop.csv" not in left_behind(tmp_path)
    assert get(whole(BODY, etag='"v1"')).path.read_bytes() == BODY
    assert producer.asked[-1].headers["Range"] == "bytes=60-"


def test_fewer_bytes_than_announced_is_never_a_file(get, tmp_path):
    with pytest.raises(WebError, match=r"connexion rompue|annoncés"):
        get(announce(BODY, len(BODY) + 500))
    assert "pop.csv" not in left_behind(tmp_path)


def test_more_bytes_than_announced_is_refused_when_the_card_pins_the_file(get, tmp_path):
    with pytest.raises(SourceError, match="sha256 attendu"):
        get(announce(BODY, len(BODY) - 40), sha256="0" * 64)
    assert "pop.csv" not in left_behind(tmp_path)


def test_a_stall_is_broken_off_and_resumed(get, producer):
    raw = get(stall(BODY, 80), whole(BODY, etag='"lent"'), patience=Patience(silence=0.2))
    assert raw.path.read_bytes() == BODY
    assert producer.asked[1].headers["Range"] == "bytes=80-"


def test_a_connection_closed_without_a_word_is_tried_again(get):
    assert get(hang_up, whole(BODY)).path.read_bytes() == BODY


def test_a_refused_connection_is_tried_again_then_told(producer, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    source = card(f"https://127.0.0.1:{port}/pop.csv")
    with pytest.raises(WebError, match=r"connexion impossible à 127\.0\.0\.1.*6 essai") as caught:
        fetch(source, source.distributions[0], storage_in(tmp_path), web=producer.web())
    assert not caught.value.lasting
    assert len(producer.time.slept) == 5


def test_two_at_once_cost_one_download(producer, tmp_path):
    def slowly(handler):
        time.sleep(0.3)
        whole(BODY)(handler)

    source = card(producer.serve("/pop.csv", slowly))
    arrived = []

    def run():
        web = producer.web()
        arrived.append(fetch(source, source.distributions[0], storage_in(tmp_path), web=web).path.read_bytes())

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=20)
    assert arrived == [BODY] * 3
    assert len(producer.asked) == 1


def test_a_full_disk_is_an_error_and_leaves_no_file(get, tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))
    try:
        with pytest.raises(SourceError, match="écriture impossible"):
            get(whole(table(900)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert "pop.csv" not in left_behind(tmp_path)


def test_a_drip_does_not_outlast_the_overall_bound(producer, tmp_path):
    source = card(producer.serve("/pop.csv", whole(BODY * 2000)))
    ticking = iter(range(0, 10_000_000, 1000))
    web = producer.web(Patience(overall=5000, silence=2), clock=lambda: float(next(ticking)))
    with pytest.raises(WebError, match="inachevé après 5000 s"):
        fetch(source, source.distributions[0], storage_in(tmp_path), web=web)


def test_a_file_larger_than_admitted_is_refused_before_it_is_written(get):
    with pytest.raises(WebError, match="maximum admis"):
        get(whole(BODY), patience=Patience(largest=100))


def test_an_unannounced_body_larger_than_admitted_is_stopped(get):
    def endless(handler):
        handler.send_response(200)
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(BODY * 10)
        handler.hang_up()

    with pytest.raises(WebError, match="maximum admis"):
        get(endless, patience=Patience(largest=len(BODY)))


@pytest.mark.parametrize(
    "page",
    [b"<!DOCTYPE html><title>Maintenance</title>", b"\xef\xbb\xbf \n<HTML><body>", b"<?xml version='1.0'?><html>"],
)
@pytest.mark.parametrize("path", ["/pop.csv", "/pop.zip", "/pop.xlsx", "/pop.parquet", "/datasets/r/0f0f"])
def test_an_html_page_served_as_200_is_not_the_file(get, tmp_path, page, path):
    with pytest.raises(SourceError, match="page HTML") as caught:
        get(whole(page), path=path)
    kept = [name for name in left_behind(tmp_path) if ".refused-" in name]
    assert len(kept) == 2
    assert kept[0].removesuffix(".json") in str(caught.value) or kept[1].removesuffix(".json") in str(caught.value)


PACKED = gzip.compress(BODY, mtime=0)


@pytest.mark.parametrize(
    ("body", "path", "told"),
    [
        (b"", "/pop.csv", "vide"),
        (b"  \n", "/pop.csv", "vide"),
        (b'{"error": "unknown dataset"}', "/pop.csv", "json"),
        (b"Service indisponible", "/pop.csv", "une seule ligne"),
        (b"PK\x03\x04 tronque", "/pop.zip", "ne s'ouvre pas"),
        (b"code;pop\n", "/pop.zip", "au lieu de « zip »"),
        (b"PAR1....", "/pop.parquet", "tronqué"),
        (b'{"type": "FeatureCollection", "features": [{', "/pop.geojson", "tronqué"),
        (PACKED[:-9], "/pop.csv.gz", "corrompue ou tronquée"),
        (
            PACKED[:20] + b"\xff" * 30 + PACKED[50:],
            "/pop.csv.gz",
            "corrompue ou tronquée",
        ),
        (gzip.compress(b"<html>non</html>", mtime=0), "/pop.csv.gz", "html"),
    ],
)
def test_what_is_not_the_kind_announced_is_refused(get, tmp_path, body, path, told):
    with pytest.raises(SourceError, match=told):
        get(whole(body), path=path)
    assert path[1:] not in left_behind(tmp_path)


def zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return out.getvalue()


def test_a_good_zip_is_taken(get):
    assert get(whole(zipped(**{"a.csv": BODY})), path="/pop.zip").path.read_bytes()[:2] == b"PK"


@pytest.mark.parametrize("member", ["../../x", "/etc/x", "a/../../x", "..\\x", "C:/x"])
def test_a_member_that_leaves_its_folder_condemns_the_archive(get, tmp_path, member):
    with pytest.raises(SourceError, match="sortirait de son dossier"):
        get(whole(zipped(**{"bon.csv": BODY, member: b"1"})), path="/pop.zip")
    assert not (tmp_path / "x").exists()


def test_a_zip_bomb_is_refused(get):
    with pytest.raises(SourceError, match="bombe"):
        get(whole(zipped(**{"a.csv": b"0" * (80 << 20)})), path="/pop.zip")


def test_a_gzip_bomb_is_refused(get):
    with pytest.raises(SourceError, match="bombe"):
        get(whole(gzip.compress(b"0" * (80 << 20))), path="/pop.csv.gz")


def test_a_zip_that_is_no_workbook_is_not_an_xlsx(get):
    with pytest.raises(SourceError, match="pas un classeur"):
        get(whole(zipped(**{"a.csv": BODY})), path="/apl_xlsx")


def test_a_corrupted_transfer_encoding_is_refused(get):
    broken = whole(gzip.compress(BODY, mtime=0)[:20] + b"\xff" * 40, Content_Encoding="gzip")
    with pytest.raises(WebError, match="corrompu"):
        get(broken)


def test_a_server_that_compresses_although_asked_not_to_is_understood(get):
    assert get(whole(gzip.compress(BODY, mtime=0), Content_Encoding="gzip")).path.read_bytes() == BODY


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "utf-8-sig", "utf-16"])
def test_another_encoding_is_kept_byte_for_byte_for_the_reader(get, encoding):
    body = "code;nom\n55001;Étain\n55002;Épinal\n".encode(encoding)
    assert get(whole(body)).path.read_bytes() == body


def test_a_redirect_chain_is_followed_and_told(get, producer):
    producer.serve("/b", redirect("/c.csv"))
    producer.serve("/c.csv", whole(BODY))
    raw = get(redirect("/b"))
    assert raw.path.read_bytes() == BODY
    assert raw.receipt.resolved == producer.url("/c.csv")


def test_an_address_may_say_how_its_file_is_called(producer, tmp_path):
    producer.serve("/datasets/r/0f", whole(BODY))
    source = card(producer.url("/datasets/r/0f#file=pop.csv"))
    raw = fetch(source, source.distributions[0], storage_in(tmp_path), web=producer.web())
    assert (raw.path.name, raw.path.read_bytes()) == ("pop.csv", BODY)
    assert producer.asked[0].path == "/datasets/r/0f"


def test_a_redirect_loop_is_given_up(get, producer):
    with pytest.raises(WebError, match="redirections"):
        get(redirect("/pop.csv"))
    assert len(producer.asked) == 11


def test_a_redirect_out_of_https_is_refused(get, producer):
    with pytest.raises(WebError, match="non chiffrée"):
        get(redirect(f"http://127.0.0.1:{producer.port}/c.csv"))
    assert len(producer.asked) == 1


def test_the_pin_of_the_card_names_what_was_expected_and_found(get):
    with pytest.raises(SourceError) as caught:
        get(whole(BODY), sha256="0" * 64)
    for told in ("essai", "d0", "0" * 64, "sha256 trouvé", "catalog/sources/essai.yaml"):
        assert told in str(caught.value)


def test_the_pace_of_a_host_is_kept(producer, tmp_path):
    for i in range(4):
        producer.serve(f"/{i}.csv", whole(BODY))
    source = card(*(producer.url(f"/{i}.csv") for i in range(4)))
    web = producer.web(pace=Pace({"127.0.0.1": 2}, producer.time.sleep, producer.time.clock))
    for distribution in source.distributions:
        fetch(source, distribution, storage_in(tmp_path), web=web)
    assert producer.time.slept == [60.0, 0.0]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 40), min_size=40, max_size=120))
def test_melodi_is_never_asked_more_than_thirty_times_in_a_minute(pauses):
    """Whatever else the process does between two requests, in any sixty seconds."""
    time_ = FakeTime()
    pace = Pace(PER_MINUTE, time_.sleep, time_.clock)
    asked: list[float] = []
    for pause in pauses:
        pace.wait("api.insee.fr")
        asked.append(time_.now)
        time_.now += pause / 40
    for i, moment in enumerate(asked):
        assert sum(moment <= other < moment + 60 for other in asked[i:]) <= 30


def test_a_proxy_of_the_environment_is_used(monkeypatch, tmp_path):
    """The proxy sees CONNECT and refuses: nothing goes round it."""
    seen = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def refuse():
            connection, _ = listener.accept()
            with connection:
                seen.append(connection.recv(4096))
                connection.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=refuse, daemon=True)
        thread.start()
        for name in ("NO_PROXY", "no_proxy", "ALL_PROXY", "all_proxy", "https_proxy"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{listener.getsockname()[1]}")
        source = card("https://127.0.0.1:9/pop.csv")
        with Web(Patience(connect=2, silence=2)) as web, pytest.raises(WebError, match="proxy"):
            fetch(source, source.distributions[0], storage_in(tmp_path), web=web)
        thread.join(timeout=5)
    assert seen[0].startswith(b"CONNECT 127.0.0.1:9 ")


@pytest.fixture
def secured(producer, tmp_path):
    """The producer behind TLS, with an authority that nobody knows."""
    if shutil.which("openssl") is None:
        pytest.skip("openssl est absent : pas de certificat d'essai")
    key, certificate = tmp_path / "key.pem", tmp_path / "ca.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
         "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True,
    )  # fmt: skip
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    producer.secure(context)
    return certificate


def test_an_unknown_authority_is_refused_at_once_and_diagnostic_ca_mends_it(producer, secured, monkeypatch, tmp_path):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    source = card(producer.serve("/pop.csv", whole(BODY)))
    with pytest.raises(WebError, match="DIAGNOSTIC_CA") as caught, producer.web(transport=None) as web:
        fetch(source, source.distributions[0], storage_in(tmp_path), web=web)
    assert not caught.value.lasting
    assert producer.time.slept == []
    monkeypatch.setenv("DIAGNOSTIC_CA", str(secured))
    with producer.web(transport=None) as web:
        assert fetch(source, source.distributions[0], storage_in(tmp_path), web=web).path.read_bytes() == BODY


def test_the_authority_of_ssl_cert_file_is_trusted(producer, secured, monkeypatch, tmp_path):
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy", "DIAGNOSTIC_CA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(secured))
    source = card(producer.serve("/pop.csv", whole(BODY)))
    with producer.web(transport=None) as web:
        assert fetch(source, source.distributions[0], storage_in(tmp_path), web=web).path.read_bytes() == BODY


@pytest.fixture
def tunnel():
    """A proxy on loopback that opens the tunnels it is asked for; `seen` are its requests."""
    seen: list[bytes] = []

    class Tunnel(socketserver.BaseRequestHandler):
        def handle(self):
            asked = self.request.recv(4096)
            seen.append(asked.splitlines()[0])
            host, _, port = asked.split()[1].decode().partition(":")
            with socket.create_connection((host, int(port))) as server:
                self.request.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                ends = {self.request: server, server: self.request}
                while True:
                    for ready in select.select(list(ends), [], [], 10)[0]:
                        block = ready.recv(65536)
                        if not block:
                            return
                        ends[ready].sendall(block)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Tunnel) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield SimpleNamespace(address=f"http://127.0.0.1:{server.server_address[1]}", seen=seen)
        server.shutdown()


@pytest.fixture
def get_secured(producer, secured, monkeypatch, tmp_path):
    """Fetch a file from the producer behind TLS, his authority being known by DIAGNOSTIC_CA."""
    monkeypatch.setenv("DIAGNOSTIC_CA", str(secured))

    def run():
        source = card(producer.serve("/pop.csv", whole(BODY)))
        with producer.web(transport=None) as web:
            return fetch(source, source.distributions[0], storage_in(tmp_path), web=web)

    return run


@pytest.mark.parametrize(("spared", "through"), [("", True), ("127.0.0.1", False)])
def test_a_proxy_of_the_environment_carries_the_file(get_secured, tunnel, monkeypatch, spared, through):
    for name in ("https_proxy", "ALL_PROXY", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", tunnel.address)
    monkeypatch.setenv("NO_PROXY", spared)
    raw = get_secured()
    assert raw.path.read_bytes() == BODY
    host = raw.receipt.address.split("/")[2]
    assert tunnel.seen == ([f"CONNECT {host} HTTP/1.1".encode()] if through else [])


def test_an_authority_file_that_is_none_is_an_error(monkeypatch, tmp_path):
    monkeypatch.setenv("DIAGNOSTIC_CA", str(tmp_path / "absent.pem"))
    with pytest.raises(SourceError, match="DIAGNOSTIC_CA"):
        Web()
