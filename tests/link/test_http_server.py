"""The link's HTTP server: what it answers, what it refuses, and that nobody can occupy it."""

import contextlib
import http.client
import random
import socket
import ssl
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

import pytest
from rigs.certificates import Authority
from rigs.processes import wait_until

from edge.errors import EX_UNAVAILABLE, ConfigError, LinkError
from edge.link import http_server
from edge.link.http_server import CLIENT_S, LONGEST_BODY, LONGEST_HEAD, MOST_CLIENTS, HttpServer, Request, Response
from edge.link.settings import address_of, load

BODY = b"hello\n"


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "_POLL_S", 0.01)


@contextlib.contextmanager
def serving(page: Callable[[Request], Response] | None = None, listen: str = "127.0.0.1:0") -> Iterator[HttpServer]:
    server = HttpServer(listen, {"/page": page or (lambda _request: Response(BODY))})
    server.start()
    try:
        yield server
    finally:
        server.stop()
        wait_until(lambda: not serving_threads())


def serving_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if "process_request_thread" in thread.name]


def told(server: HttpServer, request: bytes) -> bytes:
    """All that it answers to these bytes until it closes the connection."""
    with socket.create_connection((server.host, server.port), 10) as client:
        answer = b""
        # it may close before it has read everything
        with contextlib.suppress(ConnectionError):
            client.sendall(request)
            while chunk := client.recv(65536):
                answer += chunk
        return answer


def status(answer: bytes) -> int:
    return int(answer.split()[1])


def is_well(server: HttpServer) -> bool:
    with urllib.request.urlopen(f"{server.url}/page", timeout=10) as answer:
        return bool(answer.read() == BODY)


def test_a_page_is_served_and_its_request_is_known() -> None:
    asked: list[Request] = []

    def page(request: Request) -> Response:
        asked.append(request)
        return Response(b"{}", "application/json", headers={"X-One": "1"})

    with serving(page) as server:
        with urllib.request.urlopen(f"{server.url}/page?a=1", timeout=10) as answer:
            assert answer.read() == b"{}"
            assert answer.headers["Content-Type"] == "application/json"
            assert (answer.headers["X-One"], answer.headers["Connection"]) == ("1", "close")
            assert answer.headers["Server"].strip() == "edge"
        assert told(server, b"HEAD /page HTTP/1.1\r\nHost: x\r\n\r\n").endswith(b"\r\n\r\n")
    assert (asked[0].path, asked[0].query, asked[0].headers["host"]) == ("/page", "a=1", f"127.0.0.1:{server.port}")
    assert len(asked) == 2


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 404),
        (b"GET /page/ HTTP/1.1\r\n\r\n", 404),
        (b"GET /../page HTTP/1.1\r\n\r\n", 404),
        (b"GET /%70age HTTP/1.1\r\n\r\n", 404),
        (b"GET http://[x/page HTTP/1.1\r\n\r\n", 400),
        (b"POST /page HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc", 405),
        (b"DELETE /page HTTP/1.1\r\n\r\n", 405),
        (b"OPTIONS * HTTP/1.1\r\n\r\n", 405),
        (b"BREW /page HTTP/1.1\r\n\r\n", 501),
        (b"GET /page HTTP/9.9\r\n\r\n", 505),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
        (b"GET /" + LONGEST_HEAD * b"a" + b" HTTP/1.1\r\n\r\n", 431),
        (b"GET /page HTTP/1.1\r\nA: " + LONGEST_HEAD * b"a" + b"\r\n\r\n", 431),
        (b"GET /page HTTP/1.1\r\n" + 200 * b"A: b\r\n" + b"\r\n", 431),
    ],
)
def test_what_it_does_not_serve_is_refused(request_: bytes, code: int) -> None:
    with serving() as server:
        answer = told(server, request_)
        assert answer.startswith(b"HTTP/1.1 "), answer
        assert status(answer) == code
        assert b"Python" not in answer
        assert is_well(server)


def test_several_requests_on_one_connection_are_one() -> None:
    with serving() as server:
        answer = told(server, 3 * b"GET /page HTTP/1.1\r\nConnection: keep-alive\r\n\r\n")
        assert answer.count(b"HTTP/1.1") == 1


def test_a_slow_client_is_dropped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also one that sends a byte now and then: its time is over when it is over."""
    monkeypatch.setattr(http_server, "CLIENT_S", 0.5)
    with serving() as server, socket.create_connection((server.host, server.port)) as slow:
        slow.settimeout(0.05)
        ended = False
        deadline_s = time.monotonic() + 20 * CLIENT_S
        while not ended and time.monotonic() < deadline_s:
            try:
                slow.sendall(b"a")
                ended = slow.recv(100) == b""
            except TimeoutError:
                pass
            except ConnectionError:
                ended = True
        assert ended
        assert is_well(server)


def test_many_that_hold_their_connection_keep_nobody_out() -> None:
    with serving() as server, contextlib.ExitStack() as closing:
        for _ in range(10 * MOST_CLIENTS):
            slow = closing.enter_context(socket.create_connection((server.host, server.port), 10))
            slow.sendall(b"GET /page HTTP/1.1\r\nX: ")
        assert is_well(server)
        assert len(serving_threads()) <= 2 * MOST_CLIENTS
        wait_until(lambda: len(serving_threads()) <= MOST_CLIENTS)


def test_a_page_that_fails_is_one_closed_connection(caplog: pytest.LogCaptureFixture) -> None:
    def page(_request: Request) -> Response:
        raise RuntimeError("broken")

    with serving(page) as server:
        with pytest.raises((http.client.HTTPException, urllib.error.URLError)):
            urllib.request.urlopen(f"{server.url}/page", timeout=10)
        assert status(told(server, b"GET / HTTP/1.1\r\n\r\n")) == 404
    assert "could not answer" in caplog.text


def test_random_bytes_do_nothing(request: pytest.FixtureRequest) -> None:
    """Requests with wrong bytes in them, cut off, or nothing but noise. 10,000 with --long."""
    chance = random.Random(27)
    whole = b"GET /page HTTP/1.1\r\nHost: localhost\r\nAccept: text/plain;q=1\r\n\r\n"
    with serving() as server:
        for _ in range(10_000 if request.config.getoption("--long") else 300):
            kind = chance.randrange(3)
            sent = bytearray(whole if kind < 2 else chance.randbytes(chance.randrange(300)))
            for _ in range(chance.randrange(1, 5) if kind == 0 else 0):
                sent[chance.randrange(len(sent))] = chance.randrange(256)
            client = socket.create_connection((server.host, server.port), 10)
            with client, contextlib.suppress(ConnectionError):
                client.sendall(sent[: chance.randrange(len(sent) + 1)] if kind == 1 else sent)
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
        assert is_well(server)
        wait_until(lambda: not serving_threads())


def test_a_port_that_is_taken_is_one_line() -> None:
    with serving() as server:
        listen = f"127.0.0.1:{server.port}"
        with pytest.raises(LinkError, match=rf"{listen}: another program has this port.*ss -ltnp") as error:
            HttpServer(listen, {})
        assert error.value.exit_code == EX_UNAVAILABLE
    with serving(listen=listen):
        pass


def test_an_address_of_another_machine_is_one_line() -> None:
    with pytest.raises(LinkError, match=r"192\.0\.2\.1:9417: this machine does not have this address"):
        HttpServer("192.0.2.1:9417", {})


def test_it_listens_where_it_is_told_and_nowhere_else() -> None:
    with serving() as server, pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.2", server.port), 5)


def test_ipv6_takes_ipv4_too() -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 here")
    with serving(listen="[::]:0") as server:
        for address in ("127.0.0.1", "[::1]"):
            with urllib.request.urlopen(f"http://{address}:{server.port}/page", timeout=10) as answer:
                assert answer.read() == BODY


@pytest.mark.parametrize(
    ("listen", "address"),
    [
        ("127.0.0.1:9417", ("127.0.0.1", 9417)),
        ("localhost:9417", ("127.0.0.1", 9417)),
        ("0.0.0.0:1", ("0.0.0.0", 1)),
        ("[::1]:65535", ("::1", 65535)),
    ],
)
def test_addresses(listen: str, address: tuple[str, int]) -> None:
    assert address_of(listen) == address


NO_ADDRESSES = ["9417", ":9417", "::1:9417", "kitchen:9417", "127.0.0.1", "127.0.0.1:", "1.2.3.4:65536"]


@pytest.mark.parametrize("listen", NO_ADDRESSES)
def test_what_is_no_address(listen: str) -> None:
    with pytest.raises(ConfigError, match=r"\[metrics\] listen = .*127\.0\.0\.1:9417"):
        load(None, {"EDGE_METRICS_LISTEN": listen})


# ---- what takes a POST, and streams


def posted(server: HttpServer, body: bytes = b"{}", **headers: str) -> int:
    request = urllib.request.Request(f"{server.url}/do", body, {"Content-Type": "application/json", **headers})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def test_a_post_brings_its_body_and_its_client() -> None:
    asked: list[Request] = []

    def do(request: Request) -> Response:
        asked.append(request)
        return Response(b"")

    server = HttpServer("127.0.0.1:0", {"/page": lambda _request: Response(BODY)}, posts={"/do": do})
    server.start()
    try:
        assert posted(server, b"{1}") == 200
        assert (asked[0].body, asked[0].client) == (b"{1}", "127.0.0.1")
        assert posted(server, b"x" * LONGEST_BODY) == 200
        assert posted(server, b"x" * (LONGEST_BODY + 1)) == 413
        assert status(told(server, b"POST /do HTTP/1.1\r\n\r\n")) == 411
        assert status(told(server, b"POST /do HTTP/1.1\r\nContent-Length: -1\r\n\r\n")) == 411
        assert status(told(server, b"POST /do HTTP/1.1\r\nContent-Length: 9999999999999\r\n\r\n")) == 413
        chunked = b"POST /do HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
        assert status(told(server, chunked)) == 411
        refused = told(server, b"GET /do HTTP/1.1\r\n\r\n")
        assert (status(refused), b"Allow: POST\r\n" in refused) == (405, True)
        assert status(told(server, b"POST /page HTTP/1.1\r\nContent-Length: 0\r\n\r\n")) == 405
        assert status(told(server, b"POST /no HTTP/1.1\r\nContent-Length: 0\r\n\r\n")) == 404
        assert len(asked) == 2
    finally:
        server.stop()


@contextlib.contextmanager
def streaming(most: int) -> Iterator[tuple[HttpServer, list[str]]]:
    """A server with a stream at /stream, and what has happened to its streams."""
    happened: list[str] = []

    def parts() -> Generator[bytes, None, None]:
        happened.append("begun")
        try:
            while True:
                yield b"part\n"
                time.sleep(0.05)
        finally:
            happened.append("ended")

    pages = {"/stream": lambda _request: Response(b"", stream=parts()), "/page": lambda _request: Response(BODY)}
    server = HttpServer("127.0.0.1:0", pages, most_streams=most)
    server.start()
    try:
        yield server, happened
    finally:
        server.stop()
        wait_until(lambda: not serving_threads())


def test_a_stream_lives_longer_than_a_client_and_ends_with_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_server, "CLIENT_S", 0.3)
    with streaming(1) as (server, happened):
        with urllib.request.urlopen(f"{server.url}/stream", timeout=10) as stream:
            # ten times as many as CLIENT_S allows
            assert [stream.readline() for _ in range(60)] == 60 * [b"part\n"]
            with pytest.raises(urllib.error.HTTPError, match="503"):
                urllib.request.urlopen(f"{server.url}/stream", timeout=10)
            assert is_well(server)
            assert happened == ["begun"]
        wait_until(lambda: happened == ["begun", "ended"])
        with urllib.request.urlopen(f"{server.url}/stream", timeout=10) as stream:
            assert stream.readline() == b"part\n"


def test_a_server_that_stops_ends_its_streams() -> None:
    with streaming(2) as (server, happened), urllib.request.urlopen(f"{server.url}/stream", timeout=10) as stream:
        assert stream.readline() == b"part\n"
        server.stop()
        while stream.readline():
            pass
        wait_until(lambda: happened == ["begun", "ended"])


def test_tls(tmp_path: Path) -> None:
    """A client that never begins its handshake keeps no other client out."""
    authority = Authority(tmp_path)
    certificate, key = authority.certificate("page")
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    server = HttpServer("127.0.0.1:0", {"/page": lambda _request: Response(BODY)}, tls=tls)
    server.start()
    trusted = ssl.create_default_context(cafile=str(authority.file))
    trusted.verify_flags &= ~ssl.VERIFY_X509_STRICT
    try:
        with socket.create_connection((server.host, server.port)):
            assert server.url.startswith("https://")
            with urllib.request.urlopen(f"{server.url}/page", timeout=10, context=trusted) as answer:
                assert answer.read() == BODY
            assert b"HTTP" not in told(server, b"GET /page HTTP/1.1\r\n\r\n")
    finally:
        server.stop()
        wait_until(lambda: not serving_threads())
