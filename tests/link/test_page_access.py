"""Who may use the page: token, cookie, host and origin."""

from email.message import Message
from pathlib import Path

import pytest

from edge.errors import LinkError
from edge.link.page import tokens
from edge.link.page.access import COOKIE, FREE_TRIES, MOST_CLIENTS, TRY_EVERY_S, Access, cleared
from edge.link.page.invitation import addresses, code, invitation
from edge.link.page.requests import REQUESTS, MalformedError, parsed
from edge.link.settings import PageSettings

TOKEN = "abcde-fghjk-mnpqr-stuvw-xyz23"


@pytest.fixture
def access() -> Access:
    return Access(TOKEN, "https://edge.example.org/", ("kitchen", "kitchen.local"))


def headers(**given: str) -> Message:
    message = Message()
    for name, value in given.items():
        message[name.replace("_", "-")] = value
    return message


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "192.168.1.7:8417",
        "[::1]:8417",
        "localhost:8417",
        "kitchen",
        "Kitchen.local:8417",
        "kitchen.local.",
        "edge.example.org",
        "edge.example.org:443",
    ],
)
def test_names_of_this_machine_are_allowed(access: Access, host: str) -> None:
    assert access.is_host_allowed(host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "kitchen.evil.example",
        "evil.example:8417",
        "kitchen.local.evil.example",
        "127.0.0.1.evil.example",
        "edge.example.org.evil",
        "kitchen@evil.example",
        "evil.example/kitchen",
        "kitchen:port",
        "[::1",
        "kitchen:99999",
        "\x00",
    ],
)
def test_names_of_others_are_refused(access: Access, host: str) -> None:
    """A page of another site whose name points here for a moment (DNS rebinding)."""
    assert not access.is_host_allowed(host)


def test_only_the_page_itself_may_change_something(access: Access) -> None:
    host = "kitchen.local:8417"
    same = headers(Host=host, Origin=f"http://{host}", Sec_Fetch_Site="same-origin")
    assert access.is_same_origin(same)
    assert access.is_same_origin(headers(Host=host, Origin=f"http://{host}"))  # Safari before 16.4
    assert access.is_same_origin(headers(Host="edge.example.org", Origin="https://edge.example.org"))
    for origin in (
        "http://evil.example",
        "http://kitchen.local:8123",
        "http://kitchen.local",
        "null",
        "",
        host,
        "http://[",
        "http://\u2100",
    ):
        assert not access.is_same_origin(headers(Host=host, Origin=origin)), origin
    assert not access.is_same_origin(headers(Host=host))
    assert not access.is_same_origin(headers(Origin="http://"))
    for site in ("cross-site", "same-site", "none"):
        assert not access.is_same_origin(headers(Host=host, Origin=f"http://{host}", Sec_Fetch_Site=site)), site


def test_the_cookie_is_no_token_and_only_its_own(access: Access) -> None:
    cookie = access.cookie(secure=True)
    assert cookie.endswith("; HttpOnly; SameSite=Strict; Secure")
    assert "Secure" not in access.cookie(secure=False)
    assert tokens.bare(TOKEN) not in cookie
    value = cookie.split(";")[0]
    assert access.has_cookie(headers(Cookie=f"other=1; {value}"))
    assert Access(TOKEN).has_cookie(headers(Cookie=value)), "it holds after a restart"
    assert not Access(tokens.new()).has_cookie(headers(Cookie=value)), "another token ends it"
    for wrong in ("", value[:-1], f"{COOKIE}=", f"{COOKIE}=ä", f"x{value}", '"', cleared().split(";")[0]):
        assert not access.has_cookie(headers(Cookie=wrong)), wrong


def test_a_token_is_read_as_a_person_types_it(access: Access) -> None:
    for typed in (TOKEN, TOKEN.upper(), TOKEN.replace("-", ""), f" {TOKEN.replace('-', ' ')} "):
        assert access.is_token("10.0.0.1", typed, 0.0)


def test_a_thousand_wrong_tokens_are_a_few(access: Access) -> None:
    """One client that guesses is slowed down; another one is not, and it is let in again later."""
    judged = 0
    for turn in range(1000):
        now_s = turn * 0.1
        if access.wait_s("10.0.0.1", now_s) == 0:
            judged += 1
            assert not access.is_token("10.0.0.1", f"{turn:025}", now_s)
    assert FREE_TRIES <= judged <= FREE_TRIES + 100 / TRY_EVERY_S
    assert 0 < access.wait_s("10.0.0.1", 100.0) <= TRY_EVERY_S
    assert access.wait_s("10.0.0.2", 100.0) == 0
    assert access.wait_s("10.0.0.1", 100.0 + FREE_TRIES * TRY_EVERY_S) == 0


def test_all_addresses_of_one_ipv6_network_are_one_client(access: Access) -> None:
    for host in range(FREE_TRIES):
        assert not access.is_token(f"2001:db8::{host:x}", "wrong", 0.0)
    assert access.wait_s("2001:db8::ffff", 0.0) > 0
    assert access.wait_s("2001:db8:0:1::1", 0.0) == 0
    assert access.wait_s("::ffff:10.0.0.9", 0.0) == 0


def test_the_memory_for_wrong_tokens_is_bounded(access: Access) -> None:
    for host in range(2 * MOST_CLIENTS):
        access.is_token(f"10.0.{host // 256}.{host % 256}", "wrong", 0.0)
    assert len(access._tries) == MOST_CLIENTS


def test_a_new_token_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "state" / "page-token"
    with pytest.raises(LinkError, match="there is no token yet: edge link makes it"):
        tokens.read(path)
    made = tokens.read_or_make(path)
    assert tokens.read_or_make(path) == tokens.read(path) == made
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert [one.name for one in path.parent.iterdir()] == ["page-token"]
    assert tokens.new() != tokens.new()
    path.write_text("short\n")
    with pytest.raises(LinkError, match=r"page-token: its first line is no token: 16 letters"):
        tokens.read_or_make(path)


def test_the_invitation_has_a_code_that_a_phone_can_read(tmp_path: Path) -> None:
    """The code is read back from the terminal's characters by another program."""
    cv2 = pytest.importorskip("cv2")
    numpy = pytest.importorskip("numpy")
    settings = PageSettings(listen="0.0.0.0:8417", url="https://edge.example.org/edge")
    assert addresses(settings) == ["https://edge.example.org/edge/"]
    text = invitation(settings, TOKEN, with_code=True)
    url = f"https://edge.example.org/edge/#{TOKEN}"
    assert url in text
    rows = [line[len("\033[97;40m") : -len("\033[0m")] for line in code(url).splitlines()]
    halves = {"█": (1, 1), "▀": (1, 0), "▄": (0, 1), " ": (0, 0)}
    white = [[halves[one][half] for one in row] for row in rows for half in (0, 1)]
    image = numpy.kron(numpy.array(white, numpy.uint8) * 255, numpy.ones((8, 8), numpy.uint8))
    assert cv2.QRCodeDetector().detectAndDecode(image)[0] == url


def test_the_addresses_are_those_that_a_phone_can_open() -> None:
    assert addresses(PageSettings(listen="127.0.0.1:8417")) == ["http://127.0.0.1:8417/"]
    assert "This machine alone" in invitation(PageSettings(listen="[::1]:8417"), TOKEN, with_code=False)
    everywhere = addresses(PageSettings(listen="0.0.0.0:8417"))
    assert everywhere[-1].endswith(".local:8417/")
    encrypted = addresses(PageSettings(listen="[::]:8417", cert_file="page.pem"))
    assert encrypted[0].startswith("https://")
    assert encrypted[0].endswith(".local:8417/")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"1",
        b'"look"',
        b"{}",
        b'{"command": 1}',
        b'{"command": ["look"]}',
        b'{"command": "snapshot"}',
        b'{"command": "subscribe"}',
        b'{"command": "picture"}',
        b'{"command": "status", "x": 1}',
        b'{"command": "look", "x": 1}',
        b'{"command": "snooze", "seconds": true}',
        b'{"command": "snooze", "seconds": "1"}',
        b'{"command": "mute", "label": 1}',
        b'{"command": "mute", "label": "a", "last": true}',
        b"\xff",
        b"[" * 8000,
        b'{"command": "look"',
    ],
)
def test_what_the_page_never_asks_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedError):
        parsed(body)


def test_what_the_page_asks_is_passed_on() -> None:
    assert parsed(b'{"command": "snooze", "seconds": 60}') == {"command": "snooze", "seconds": 60}
    assert "snapshot" not in REQUESTS
