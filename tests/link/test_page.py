"""The page at a real daemon, asked as a program asks it."""

import contextlib
import http.client
import json
import random
import socket
import ssl
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from rigs.broker import free_port
from rigs.certificates import Authority
from rigs.daemon import daemon, socket_of
from rigs.link import ask, link, log_of, logs
from rigs.processes import wait_until

from edge.cli import main
from edge.doctor.finding import Grade
from edge.doctor.link import check_link
from edge.errors import ConfigError
from edge.link import program
from edge.link.page import tokens
from edge.link.page.access import FREE_TRIES
from edge.link.settings import LinkSettings, MetricsSettings, PageSettings, load

pytestmark = pytest.mark.integration


def write_settings(folder: Path, port: int, more: str = "") -> Path:
    file = folder / "link.toml"
    file.write_text(f'[page]\nlisten = "127.0.0.1:{port}"\ntoken_file = "{folder / "token"}"\n{more}')
    return file


class Client:
    """A browser without a window: it keeps the cookie, and says where its requests come from."""

    def __init__(self, folder: Path, port: int) -> None:
        self.host = f"127.0.0.1:{port}"
        self.token = (folder / "token").read_text().strip()
        self.cookie = ""

    def request(
        self, method: str, path: str, body: Any = None, **more: str
    ) -> tuple[int, Any, http.client.HTTPMessage]:
        connection = http.client.HTTPConnection(self.host, timeout=20)
        headers = {"Host": self.host, "Cookie": self.cookie}
        if method == "POST":
            headers |= {"Content-Type": "application/json", "Origin": f"http://{self.host}"}
        headers |= {name.replace("_", "-"): value for name, value in more.items()}
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            text = answer.read().decode()
        finally:
            connection.close()
        is_json = answer.headers.get_content_type() == "application/json"
        return answer.status, json.loads(text) if is_json else text, answer.headers

    def enter(self) -> "Client":
        status, _, headers = self.request("POST", "/enter", {"token": self.token})
        assert status == 200
        self.cookie = str(headers["Set-Cookie"]).split(";")[0]
        return self

    def ask(self, command: str, **arguments: Any) -> dict[str, Any]:
        status, answer, _ = self.request("POST", "/ask", {"command": command, **arguments})
        assert status == 200, answer
        return dict(answer)

    @contextlib.contextmanager
    def events(self, query: str = "") -> Iterator[Iterator[tuple[str, dict[str, Any]]]]:
        """The stream of events, as (kind, message)."""
        connection = http.client.HTTPConnection(self.host, timeout=20)
        try:
            connection.request("GET", f"/events{query}", headers={"Cookie": self.cookie})
            # the answer takes the connection over
            sock = connection.sock
            answer = connection.getresponse()
            assert answer.status == 200

            def read() -> Iterator[tuple[str, dict[str, Any]]]:
                kind = ""
                while line := answer.readline().decode():
                    name, _, value = line.rstrip("\n").partition(": ")
                    if name == "event":
                        kind = value
                    elif name == "data":
                        yield kind, json.loads(value)

            yield read()
        finally:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
            connection.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, int]]:
    folder = tmp_path_factory.mktemp("page")
    port = free_port()
    with daemon(folder, "--speech", "log", XDG_STATE_HOME=str(folder / "state")):
        wait_until(socket_of(folder).exists)
        with link(folder, write_settings(folder, port)):
            logs(folder, "Page: http")
            logs(folder, "is reached")
            wait_until(lambda: ask(folder, {"command": "status"}).get("model"))
            yield folder, port


@pytest.fixture
def page(running: tuple[Path, int]) -> Client:
    return Client(*running).enter()


def is_well(running: tuple[Path, int]) -> bool:
    return Client(*running).request("GET", "/")[0] == 200


# ---- what it shows


def test_without_the_token_it_tells_nothing(running: tuple[Path, int]) -> None:
    stranger = Client(*running)
    status, text, headers = stranger.request("GET", "/")
    assert (status, "Enter the token" in text) == (200, True)
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert stranger.request("GET", "/events")[0] == 401
    assert stranger.request("POST", "/ask", {"command": "look"})[0] == 401
    assert stranger.request("POST", "/enter", {"token": "no"})[0] == 403
    stranger.cookie = "edge_page=0"
    assert stranger.request("GET", "/events")[0] == 401


def test_the_page_asks_for_nothing_at_other_hosts(running: tuple[Path, int]) -> None:
    for path in ("/", "/page.css", "/page.js", "/icon.svg"):
        status, text, _ = Client(*running).request("GET", path)
        assert status == 200
        assert "//" not in text.replace("http://www.w3.org/2000/svg", "").replace("// ", ""), path


def test_the_stream_has_the_state_the_words_and_the_picture(page: Client, running: tuple[Path, int]) -> None:
    folder, _ = running
    with page.events() as events:
        found: dict[str, dict[str, Any]] = {}
        for kind, message in events:
            found[kind] = message
            if kind == "picture" and message["jpeg"] and found.get("state", {}).get("model") and "said" in found:
                break
        assert ask(folder, {"command": "status"})["watched"] == 1
    assert found["state"]["needed"]["see"] > 0
    assert isinstance(found["said"]["history"], list)
    assert {"sharpness", "best", "light", "still", "width", "height"} <= set(found["picture"])
    # nothing is taken when nobody looks
    wait_until(lambda: ask(folder, {"command": "status"})["watched"] == 0)


def test_a_page_without_the_picture_takes_none(page: Client, running: tuple[Path, int]) -> None:
    folder, _ = running
    with page.events("?picture=off") as events:
        kinds = [next(events)[0] for _ in range(4)]
        assert ask(folder, {"command": "status"})["watched"] == 0
    assert "picture" not in kinds


def test_a_pause_ends_the_picture_on_all_pages(page: Client, running: tuple[Path, int]) -> None:
    folder, _ = running
    with contextlib.ExitStack() as stack:
        streams = [stack.enter_context(page.events()) for _ in range(3)]
        for events in streams:
            while True:
                kind, message = next(events)
                if kind == "picture" and message["jpeg"]:
                    break
        page.ask("pause")
        try:
            for events in streams:
                while True:
                    kind, message = next(events)
                    if kind == "picture" and message["jpeg"] is None:
                        break
                assert message["reason"] == "paused"
            assert ask(folder, {"command": "status"})["watched"] == 0
        finally:
            page.ask("resume")
        kind, message = next(events)
        while not (kind == "picture" and message["jpeg"]):
            kind, message = next(events)


def test_what_is_asked_is_done(page: Client, running: tuple[Path, int]) -> None:
    folder, _ = running
    assert page.ask("look")["text"]
    page.ask("snooze", seconds=60)
    assert ask(folder, {"command": "status"})["snoozed_until"]
    page.ask("wake")
    assert ask(folder, {"command": "status"})["snoozed_until"] is None
    label = page.ask("labels")["labels"][0]
    page.ask("mute", label=label)
    assert ask(folder, {"command": "mutes"})["mutes"] == [label]
    page.ask("unmute", label=label)
    assert "error" in page.ask("mute", label="no such thing at all")
    assert page.request("POST", "/ask", {"command": "snapshot"})[0] == 400


def test_the_stream_tells_what_edge_asks_for(page: Client, running: tuple[Path, int]) -> None:
    folder, _ = running

    def next_of(events: Iterator[tuple[str, dict[str, Any]]], kind: str) -> dict[str, Any]:
        return next(message for name, message in events if name == kind)

    with page.events("?picture=off") as events:
        assert page.ask("teach", name="my keys") == {"teaching": "my keys"}
        asked = next_of(events, "teaching")
        assert (asked["event"], asked["name"]) == ("teaching", "my keys")
        assert asked["text"]
        assert "already" in page.ask("teach", name="Rex")["error"]
        assert page.ask("teach", cancel=True) == {"cancelled": "my keys"}
        while asked["event"] != "teaching_ended":
            asked = next_of(events, "teaching")
        assert asked["text"]
        wait_until(lambda: ask(folder, {"command": "status"})["teaching"] is None)
    assert "error" in page.ask("forget", name="my keys")
    assert page.request("POST", "/ask", {"command": "teach", "name": 5})[0] == 400


# ---- what others try


def test_requests_of_other_sites_do_nothing(page: Client, running: tuple[Path, int]) -> None:
    folder, port = running
    pause = {"command": "pause"}
    for refused in (
        {"Origin": "http://evil.example"},
        {"Origin": f"http://127.0.0.1:{port + 1}"},
        {"Origin": "null"},
        {"Sec_Fetch_Site": "cross-site"},
        {"Sec_Fetch_Site": "same-site"},
    ):
        status, _, headers = page.request("POST", "/ask", pause, **refused)
        assert status == 403, refused
        assert "Access-Control-Allow-Origin" not in headers
    # what a form of another site can send without asking
    assert page.request("POST", "/ask", pause, Content_Type="text/plain")[0] == 415
    assert page.request("GET", "/events", Sec_Fetch_Site="cross-site")[0] == 401
    assert page.request("OPTIONS", "/ask")[0] == 405
    assert page.request("GET", "/ask")[0] == 405
    assert not ask(folder, {"command": "status"})["paused"]


def test_a_name_that_another_site_lets_point_here_is_refused(page: Client, running: tuple[Path, int]) -> None:
    folder, _ = running
    for path in ("/", "/events", "/page.js"):
        assert page.request("GET", path, Host="evil.example")[0] == 421
    evil = {"Host": "evil.example", "Origin": "http://evil.example"}
    assert page.request("POST", "/ask", {"command": "pause"}, **evil)[0] == 421
    assert page.request("POST", "/enter", {"token": page.token}, **evil)[0] == 421
    assert not ask(folder, {"command": "status"})["paused"]


def test_paths_outside_are_not_found(running: tuple[Path, int]) -> None:
    client = Client(*running)
    for path in (
        "/../token",
        "/%2e%2e/token",
        "/page.css/../../link.toml",
        "//etc/passwd",
        "/index.html",
        "/page",
        "/data/",
    ):
        assert client.request("GET", path)[0] == 404, path


def test_a_thousand_wrong_tokens(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """Only a few are judged, the log says it once, and who has the cookie goes on. 1000 with --long."""
    port = free_port()
    with link(tmp_path, write_settings(tmp_path, port)):
        logs(tmp_path, "Page: http")
        inside = Client(tmp_path, port).enter()
        guesser = Client(tmp_path, port)
        tries = 1000 if request.config.getoption("--long") else 60
        codes = [guesser.request("POST", "/enter", {"token": f"{turn:025}"})[0] for turn in range(tries)]
        assert FREE_TRIES <= codes.count(403) <= FREE_TRIES + 20
        assert codes.count(403) + codes.count(429) == tries
        status, _, headers = guesser.request("POST", "/enter", {"token": guesser.token})
        assert (status, int(headers["Retry-After"]) >= 1) == (429, True)
        with inside.events() as events:
            assert next(events)[0] == "state"
        assert log_of(tmp_path).count("A wrong token for the page came from 127.0.0.1") <= 3


def test_random_requests_do_nothing(page: Client, running: tuple[Path, int], request: pytest.FixtureRequest) -> None:
    """10,000 with --long."""
    folder, port = running
    chance = random.Random(28)
    before = ask(folder, {"command": "status"})
    head = f"POST /ask HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nOrigin: http://127.0.0.1:{port}\r\n"
    head += f"Content-Type: application/json\r\nCookie: {page.cookie}\r\nContent-Length: "
    bodies = [
        '{"command": "snooze", "seconds": 0}',
        '{"command": "mute", "label": "\\u0000"}',
        '{"command": "why", "last": -1}',
        '{"command": "teach", "more": 1}',
        '{"command": "forget", "name": [0]}',
    ]
    for _ in range(10_000 if request.config.getoption("--long") else 200):
        body = bytearray(chance.choice(bodies).encode())
        for _ in range(chance.randrange(4)):
            body[chance.randrange(len(body))] = chance.randrange(256)
        sent = bytearray(
            head.encode() + str(len(body) + chance.choice((0, 0, 0, -1, 1, 999999))).encode() + b"\r\n\r\n" + body
        )
        if chance.randrange(2):
            sent[chance.randrange(len(sent))] = chance.randrange(256)
        with socket.create_connection(("127.0.0.1", port), 20) as client, contextlib.suppress(ConnectionError):
            client.sendall(sent)
            client.shutdown(socket.SHUT_WR)
            while client.recv(65536):
                pass
    after = ask(folder, {"command": "status"})
    kept = ("paused", "snoozed_until", "mutes", "volume", "rate_wpm", "teaching", "taught", "not_known")
    assert {key: after[key] for key in kept} == {key: before[key] for key in kept}
    assert is_well(running)
    assert "Traceback" not in log_of(folder), log_of(folder)[-3000:]


def test_pages_that_do_not_read_keep_nobody_out(page: Client, running: tuple[Path, int]) -> None:
    folder, port = running
    line = f"GET /events HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nCookie: {page.cookie}\r\n\r\n".encode()
    with contextlib.ExitStack() as stack:
        for _ in range(10):
            slow = stack.enter_context(socket.socket())
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            slow.connect(("127.0.0.1", port))
            slow.sendall(line)
        with page.events() as events:
            until_s = time.monotonic() + 20
            pictures = 0
            while pictures < 10:
                assert time.monotonic() < until_s
                kind, message = next(events)
                pictures += kind == "picture" and bool(message["jpeg"])
        assert is_well(running)
    wait_until(lambda: ask(folder, {"command": "status"})["watched"] == 0)


# ---- the command line, TLS, and the check


def test_the_token_is_shown_with_its_address(running: tuple[Path, int], capsys: pytest.CaptureFixture[str]) -> None:
    folder, port = running
    assert main(["link", "--token", "--config", str(folder / "link.toml")]) == 0
    shown = capsys.readouterr().out
    token = (folder / "token").read_text().strip()
    assert shown.startswith(f"http://127.0.0.1:{port}/#{token}\n")
    assert "█" not in shown  # only for a terminal


def test_without_a_page_there_is_no_token(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"listen in \[page\] is not set"):
        program.invitation(LinkSettings(), with_code=False)


def test_two_parts_cannot_have_one_port() -> None:
    settings = LinkSettings(metrics=MetricsSettings("127.0.0.1:9417"), page=PageSettings("127.0.0.1:9417"))
    with pytest.raises(ConfigError, match="each needs its port"):
        program.parts_of(settings, [])


@pytest.mark.parametrize(
    "url", ["edge.example", "ftp://edge.example", "https://", "https://edge.example/#x", "https://[x"]
)
def test_what_is_no_address_of_a_page(url: str) -> None:
    with pytest.raises(ConfigError, match=r"\[page\] url = .*https://edge\.example\.org/"):
        load(None, {"EDGE_PAGE_URL": url})


def test_with_a_certificate_it_speaks_https_alone(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    certificate, key = authority.certificate("page")
    port = free_port()
    more = f'cert_file = "{certificate}"\nkey_file = "{key}"\n'
    with link(tmp_path, write_settings(tmp_path, port, more)):
        logs(tmp_path, "Page: https")
        trusted = ssl.create_default_context(cafile=str(authority.file))
        trusted.verify_flags &= ~ssl.VERIFY_X509_STRICT
        with urllib.request.urlopen(f"https://127.0.0.1:{port}/", timeout=20, context=trusted) as answer:
            assert b"Enter the token" in answer.read()
        with pytest.raises((http.client.HTTPException, OSError)):
            Client(tmp_path, port).request("GET", "/")


def findings(settings: PageSettings, folder: Path) -> list[tuple[Grade, str]]:
    found = check_link(LinkSettings(page=settings), [socket_of(folder)])
    return [(one.grade, one.text) for one in found if one.check == "page"]


def test_the_check_knows_the_page(running: tuple[Path, int], tmp_path: Path) -> None:
    folder, port = running
    token = str(folder / "token")
    assert findings(PageSettings(), folder) == [(Grade.GOOD, "off ([page] listen)")]
    url = f"http://127.0.0.1:{port}/"
    assert findings(PageSettings(listen=urlsplit(url).netloc, token_file=token), folder)[0] == (
        Grade.GOOD,
        f"the running link serves it at {url}",
    )
    free = free_port()
    ((grade, text),) = findings(PageSettings(listen=f"127.0.0.1:{free}", token_file=token), folder)
    assert (grade, text) == (Grade.GOOD, f"port {free} of 127.0.0.1 is free; this machine alone can open it")
    found = findings(PageSettings(listen=f"0.0.0.0:{free}", token_file=str(tmp_path / "none")), folder)
    assert (Grade.WARNING, "the token and the picture cross your network unencrypted") in found
    with socket.create_server(("127.0.0.1", 0)) as other:
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        assert findings(PageSettings(listen=taken, token_file=token), folder)[0][0] is Grade.FAULT
    authority = Authority(tmp_path)
    expired, key = authority.certificate("old", days=-1)
    tls = PageSettings(listen=f"127.0.0.1:{free}", token_file=token, cert_file=str(expired), key_file=str(key))
    assert any(grade is Grade.FAULT and "expired" in text for grade, text in findings(tls, folder))
    missing = PageSettings(listen=f"127.0.0.1:{free}", token_file=token, cert_file=str(tmp_path / "no.pem"))
    assert any(grade is Grade.FAULT and "no.pem" in text for grade, text in findings(missing, folder))


def test_nobody_else_may_read_a_token_that_is_made(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "token"
    token = tokens.read_or_make(path)
    assert tokens.read_or_make(path) == tokens.read(path) == token
    assert path.stat().st_mode & 0o777 == 0o600
    assert list(path.parent.iterdir()) == [path]
