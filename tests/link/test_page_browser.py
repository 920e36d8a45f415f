"""The page in a real browser: what a person sees, presses and hears, and what a screen reader gets.

axe-core judges it by WCAG 2.2 AA; it comes from npm, by its hash, and stays out of the project.
"""

import base64
import hashlib
import json
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rigs.bases import ROOTS
from rigs.broker import free_port
from rigs.browser import Browser, Tab, browser
from rigs.camera import MjpegServer, serving
from rigs.daemon import daemon, named, read_events, socket_of
from rigs.lessons import Stage
from rigs.link import ask, link, logs
from rigs.processes import wait_until
from rigs.taught import thing

from edge.models.taught.store import TaughtStore

pytestmark = pytest.mark.integration

AXE = "axe-core@4.10.3"
AXE_SHA512 = "Xm7bpRXnDSX2YE2YFfBk2FnF0ep6tmG7xPh8iHee8MIcrgq762Nkce856dYtJYLkuIoYZvGfTs/PbZhideTcEg=="
STANDARDS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with browser(tmp_path_factory.mktemp("chromium")) as running:
        yield running


@contextmanager
def served(folder: Path, *arguments: str, **environment: str) -> Iterator[Path]:
    """A daemon with the page and this temp folder; yields the folder."""
    (folder / "port").write_text(str(port := free_port()))
    settings = f'[page]\nlisten = "127.0.0.1:{port}"\ntoken_file = "{folder / "token"}"\n'
    (folder / "link.toml").write_text(settings)
    with daemon(folder, "--speech", "log", *arguments, XDG_STATE_HOME=str(folder / "state"), **environment):
        wait_until(socket_of(folder).exists)
        with link(folder, folder / "link.toml"):
            logs(folder, "Page: http")
            wait_until(lambda: ask(folder, {"command": "status"}).get("model"))
            yield folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, chromium: Browser) -> Iterator[Path]:
    """The temp folder of a daemon with the page."""
    with served(tmp_path_factory.mktemp("page")) as folder:
        yield folder


def url(folder: Path) -> str:
    return f"http://127.0.0.1:{(folder / 'port').read_text()}/"


def token(folder: Path) -> str:
    return (folder / "token").read_text().strip()


@pytest.fixture
def tab(folder: Path, chromium: Browser) -> Iterator[Tab]:
    """A tab with the page open, and signed in as a phone does it: with the address of the QR code."""
    tab = chromium.page(f"{url(folder)}#{token(folder)}")
    wait_until(lambda: tab.shown("page") and tab.shown("image"))
    yield tab
    assert tab.faults() == []
    tab.close()


def status(folder: Path) -> dict[str, Any]:
    return ask(folder, {"command": "status"})


def test_it_opens_with_the_token_and_not_without(folder: Path, chromium: Browser) -> None:
    chromium.call("Storage.clearCookies")
    tab = chromium.page(url(folder))
    wait_until(lambda: tab.shown("enter"))
    assert not tab.shown("page")
    assert tab.run("document.activeElement.id") == "token"
    tab.type("not the token")
    tab.key("Enter")
    wait_until(lambda: "This is not the token" in tab.text("enter-fault"))
    tab.run("document.getElementById('token').value = ''")
    tab.type(token(folder).upper())
    tab.key("Enter")
    wait_until(lambda: tab.shown("page") and tab.shown("image"))
    assert token(folder) not in tab.run("document.cookie + location.href + JSON.stringify(localStorage)")
    tab.go(url(folder))
    wait_until(lambda: tab.shown("page"))
    tab.click("#leave")
    wait_until(lambda: tab.shown("enter"))
    tab.go(url(folder))
    wait_until(lambda: tab.shown("enter"))
    assert not tab.shown("page")
    tab.close()


def test_the_address_of_the_code_leaves_no_token_behind(tab: Tab, folder: Path) -> None:
    assert tab.run("location.href") == url(folder)
    assert {one.split("?")[0] for one in tab.asked() if not one.startswith("data:")} == {
        f"{url(folder)}{name}" for name in ("", "page.css", "page.js", "icon.svg", "enter", "events")
    }


def test_the_picture_changes_and_the_words_follow(tab: Tab, folder: Path) -> None:
    source = "document.getElementById('image').src"
    before = tab.run(source)
    wait_until(lambda: tab.run(source) not in (before, ""))
    assert tab.run("document.getElementById('image').naturalWidth") > 0
    said = wait_until(lambda: [one["text"] for one in ask(folder, {"command": "history"})["history"] if one["labels"]])
    wait_until(lambda: said[-1] in tab.text("said"))
    wait_until(
        lambda: tab.run("document.getElementById('sharpness').getAttribute('aria-valuetext')").endswith("so far")
    )
    assert "demo" in tab.text("facts")


def test_every_button_does_its_work(tab: Tab, folder: Path) -> None:
    def toast(words: str) -> None:
        wait_until(lambda: words in tab.text("toast"))

    tab.click("[data-command=look]")
    wait_until(lambda: tab.text("toast"))
    tab.click("[data-command=quieter]")
    wait_until(lambda: status(folder)["volume"] < 1)
    tab.click("[data-command=louder]")
    wait_until(lambda: status(folder)["volume"] == 1)
    rate = status(folder)["rate_wpm"]
    tab.click("[data-command=faster]")
    wait_until(lambda: status(folder)["rate_wpm"] > rate)
    tab.click("[data-command=slower]")
    wait_until(lambda: status(folder)["rate_wpm"] == rate)
    wait_until(lambda: tab.run("document.getElementById('volume').value") == "100")
    tab.run("document.getElementById('volume').focus()")
    tab.key("ArrowLeft")
    wait_until(lambda: status(folder)["volume"] < 1)
    tab.key("ArrowRight")
    wait_until(lambda: status(folder)["volume"] == 1)
    tab.click("#words")
    tab.type("Dinner is ready")
    tab.click("#say-form button")
    toast("It says: Dinner is ready")
    wait_until(lambda: "Dinner is ready" in tab.text("said"))
    tab.click("#snooze-form button")
    wait_until(lambda: status(folder)["snoozed_until"])
    wait_until(lambda: tab.text("chip").startswith("Quiet until"))
    tab.click("#what-missed")
    wait_until(lambda: "missed" in tab.text("toast"))
    assert tab.run("document.getElementById('missed-box').open")
    tab.click("#wake")
    wait_until(lambda: status(folder)["snoozed_until"] is None)
    tab.click("#mute")
    wait_until(lambda: tab.run("document.getElementById('labels').children.length") > 0)
    label = tab.run("document.getElementById('labels').children[0].value")
    tab.type(label)
    # leaves the list of labels that the browser shows below the field, and goes to the button
    tab.key("Tab")
    assert tab.run("document.activeElement.textContent") == "Mute"
    tab.key(" ")
    wait_until(lambda: status(folder)["mutes"] == [label])
    wait_until(lambda: tab.text("mutes"))
    tab.click("#mutes button")
    wait_until(lambda: status(folder)["mutes"] == [])
    wait_until(lambda: tab.text("mutes") == "")
    tab.click("#said button")
    wait_until(lambda: len(status(folder)["mutes"]) == 1)
    wait_until(lambda: tab.text("mutes"))
    tab.click("#mutes button")
    wait_until(lambda: status(folder)["mutes"] == [])
    wait_until(lambda: tab.text("mutes") == "")
    tab.click("#aim")
    wait_until(lambda: ask(folder, {"command": "aim"})["aiming"])
    tab.click("#aim")
    wait_until(lambda: not ask(folder, {"command": "aim"})["aiming"])
    tab.click("#doctor")
    wait_until(lambda: "camera: " in tab.text("findings"))


def test_a_pause_takes_the_picture_away(tab: Tab, folder: Path) -> None:
    tab.click("#pause")
    wait_until(lambda: status(folder)["paused"])
    wait_until(lambda: not tab.shown("image"))
    assert tab.run("document.getElementById('image').hasAttribute('src')") is False
    assert tab.text("no-picture").startswith("The camera is closed")
    wait_until(lambda: tab.text("chip") == "Camera closed")
    wait_until(lambda: tab.text("pause") == "Open the camera")
    tab.click("#pause")
    wait_until(lambda: tab.shown("image"))
    assert not status(folder)["paused"]


def test_nothing_is_looked_at_while_it_is_hidden_or_unwanted(tab: Tab, folder: Path) -> None:
    wait_until(lambda: status(folder)["watched"] == 1)
    tab.click("#show-picture")
    wait_until(lambda: status(folder)["watched"] == 0)
    wait_until(lambda: not tab.shown("image"))
    tab.click("#show-picture")
    wait_until(lambda: status(folder)["watched"] == 1)
    # headless tabs are never hidden by others
    hide = "Object.defineProperty(document, 'hidden', {value: %s, configurable: true});"
    tab.run(hide % "true" + "document.dispatchEvent(new Event('visibilitychange'))")
    wait_until(lambda: status(folder)["watched"] == 0)
    tab.run(hide % "false" + "document.dispatchEvent(new Event('visibilitychange'))")
    wait_until(lambda: tab.shown("image") and status(folder)["watched"] == 1)


def test_with_the_picture_switched_off_the_rest_works(tmp_path: Path, chromium: Browser) -> None:
    with served(tmp_path, EDGE_LINK_PICTURE="false"):
        tab = chromium.page(f"{url(tmp_path)}#{token(tmp_path)}")
        wait_until(lambda: tab.shown("page") and tab.text("said"))
        wait_until(lambda: tab.text("no-picture").startswith("The picture is switched off in the settings"))
        assert tab.run("document.getElementById('show-picture').disabled")
        tab.click("[data-command=look]")
        wait_until(lambda: tab.text("toast"))
        tab.click("[data-command=quieter]")
        wait_until(lambda: status(tmp_path)["volume"] < 1)
        assert not tab.shown("image")
        assert status(tmp_path)["watched"] == 0
        assert tab.faults() == []
        tab.close()


def test_the_keyboard_reaches_everything(tab: Tab) -> None:
    """Each control is reached by the Tab key, in the order of the page, and its focus can be seen."""
    wait_until(lambda: tab.run("document.querySelectorAll('#said button').length") > 0)
    wanted = tab.run(
        "[...document.querySelectorAll('button, input, select, summary')]"
        ".filter(e => !e.disabled && e.checkVisibility() && !e.closest('#said')).map(e => e.id || e.textContent)"
    )
    tab.run("document.activeElement.blur()")
    reached: list[str] = []
    for _ in range(len(wanted) + 80):
        tab.key("Tab")
        active = "document.activeElement"
        name = tab.run(f"{active}.closest('#said') ? '' : {active}.id || {active}.textContent")
        if name in wanted and name not in reached:
            reached.append(name)
            assert tab.run("getComputedStyle(document.activeElement).outlineStyle") == "solid", name
    assert reached == wanted
    tab.run("document.getElementById('doctor').focus()")
    tab.key(" ")
    wait_until(lambda: "camera: " in tab.text("findings"))


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (360, False)])
def test_nothing_is_wider_than_the_window(tab: Tab, width: int, dark: bool) -> None:
    tab.resize(width, 800, dark=dark)
    assert tab.run("document.documentElement.scrollWidth") == width
    # 2.5.8: large enough for a finger
    small = tab.run(
        "[...document.querySelectorAll('button, input, select')].filter(e => e.checkVisibility())"
        ".map(e => e.getBoundingClientRect()).filter(r => r.height < 20 || r.width < 20).length"
    )
    assert small == 0


# ---- teaching


def focus(tab: Tab) -> str:
    return str(tab.run("document.activeElement.id || document.activeElement.getAttribute('aria-label')"))


def is_open(tab: Tab) -> bool:
    return bool(tab.run("document.getElementById('forget').open"))


def test_the_keyboard_begins_a_dialogue_and_cancels_it(tab: Tab, folder: Path) -> None:
    """The page says what edge asks for, and the focus stays where the person is."""
    tab.click("#thing")
    tab.type("my keys")
    tab.key("Tab")
    tab.key(" ")
    wait_until(lambda: tab.text("teach-text"))
    wait_until(lambda: tab.shown("teaching"))
    assert not tab.shown("teach-form")
    assert "my keys" in tab.text("teach-step") or "empty place" in tab.text("teach-step")
    wait_until(lambda: focus(tab) == "cancel-teaching")
    tab.key(" ")
    wait_until(lambda: not status(folder)["teaching"])
    wait_until(lambda: tab.shown("teach-form"))
    # how it ended is told, and the name is not there any more
    wait_until(lambda: "my keys" in tab.text("teach-text"))
    assert focus(tab) == "taught-title"
    assert tab.run("document.getElementById('thing').value") == ""
    assert tab.run("document.getElementById('thing').disabled") is False


def test_a_thing_is_forgotten_only_if_a_person_confirms_it(tab: Tab, folder: Path) -> None:
    store = TaughtStore(folder / "state" / "edge" / "taught")
    store.add([thing("Rex")])  # with another model
    wait_until(lambda: "Rex" in tab.text("taught"))
    tab.click("#thing")
    tab.type(" REX")
    tab.key("Enter")
    wait_until(lambda: "edge was taught Rex already" in tab.text("toast"))
    tab.run("document.getElementById('thing').value = ''")
    for leave in ("Escape", "Enter"):  # the focus is on Keep
        tab.run("document.querySelector('#taught .forgets').focus()")
        assert focus(tab) == "Forget Rex"
        tab.key("Enter")
        wait_until(lambda: is_open(tab))
        assert tab.text("forget-title") == "Forget Rex?"
        assert focus(tab) == "keep"
        tab.key(leave)
        wait_until(lambda: not is_open(tab))
        assert focus(tab) == "Forget Rex"
    assert store.knows("Rex")
    tab.key(" ")
    wait_until(lambda: is_open(tab))
    tab.key("Tab")
    assert focus(tab) == "forget-now"
    tab.key(" ")
    wait_until(lambda: not store.knows("Rex"))
    wait_until(lambda: tab.text("toast") == "Rex is forgotten.")
    wait_until(lambda: tab.text("taught") == "" and tab.shown("taught-none"))
    assert focus(tab) == "taught-title"


def test_the_settings_can_switch_teaching_off(tmp_path: Path, chromium: Browser) -> None:
    TaughtStore(tmp_path / "state" / "edge" / "taught").add([thing("Rex")])
    with served(tmp_path, EDGE_LINK_TEACH="false"):
        tab = chromium.page(f"{url(tmp_path)}#{token(tmp_path)}")
        wait_until(lambda: "Rex" in tab.text("taught"))
        assert "[link] teach" in tab.text("teach-hint")
        assert tab.run("[...document.querySelectorAll('.teaches, .forgets')].every(e => e.disabled)")
        assert tab.faults() == []
        tab.close()


@pytest.mark.long
def test_a_thing_is_taught_from_the_page(tmp_path: Path, chromium: Browser) -> None:
    """The whole dialogue before a camera; what edge asks for is read on the page."""
    events = tmp_path / "events"
    stage = Stage(events)
    with serving(MjpegServer(8)) as camera:
        camera.show = stage.show
        told = ("--camera", camera.url, "--events", str(events), "--model", "demo", "--engine", "onnx")
        with served(tmp_path, *told):
            tab = chromium.page(f"{url(tmp_path)}#{token(tmp_path)}")
            wait_until(lambda: tab.shown("page") and not tab.run("document.getElementById('thing').disabled"))
            tab.click("#thing")
            tab.type("my keys")
            tab.key("Enter")
            read: list[str] = []

            def is_read() -> bool:
                if (words := tab.text("teach-text")) and words not in read:
                    read.append(words)
                return bool(named(read_events(events), "teaching_ended")) and "my keys" in tab.text("taught")

            wait_until(is_read)
            (ended,) = named(read_events(events), "teaching_ended")
            assert ended["learnt"]
            wait_until(lambda: tab.text("teach-text") == ended["text"])
            asked = [one["text"] for one in named(read_events(events), "teaching") if one["text"]]
            assert [one for one in read if one in asked] == [one for one in asked if one in read]
            assert len(read) >= 2
            script = axe()
            tab.click("#taught .teaches")
            wait_until(lambda: tab.shown("teaching"))
            assert violations(tab, script) == []
            tab.click("#cancel-teaching")
            wait_until(lambda: not tab.shown("teaching"))
            tab.click("#taught .forgets")
            wait_until(lambda: is_open(tab))
            for width, dark in ((1280, False), (360, True)):
                tab.resize(width, 800, dark=dark)
                assert violations(tab, script) == [], (width, dark)
            tab.click("#forget-now")
            wait_until(lambda: ask(tmp_path, {"command": "status"})["taught"] == [])
            assert tab.faults() == []
            tab.close()


# ---- a judge of pages


def axe() -> str:
    """The text of axe-core; skip the test where npm cannot fetch it."""
    place = ROOTS / "programs" / AXE / "axe.min.js"
    if not place.exists():
        npm = shutil.which("npm")
        if npm is None:
            pytest.skip("needs npm, for axe-core")
        place.parent.mkdir(parents=True, exist_ok=True)
        command = [npm, "pack", AXE, "--silent", f"--cache={place.parent / 'cache'}"]
        done = subprocess.run(command, cwd=place.parent, check=False, capture_output=True, text=True, timeout=300)
        if done.returncode:
            pytest.skip(f"npm cannot fetch axe-core: {done.stderr.strip()[-200:]}")
        (package,) = place.parent.glob("*.tgz")
        assert base64.b64encode(hashlib.sha512(package.read_bytes()).digest()).decode() == AXE_SHA512
        with tarfile.open(package) as files:
            member = files.extractfile("package/axe.min.js")
            assert member is not None
            place.write_bytes(member.read())
    return place.read_text(encoding="utf-8")


def violations(tab: Tab, script: str) -> list[str]:
    tab.run(script)
    found = tab.run(f"axe.run(document, {{runOnly: {json.dumps(STANDARDS)}}}).then(r => r.violations)")
    return [f"{one['id']}: {one['help']}: {[node['html'] for node in one['nodes']]}" for one in found]


@pytest.mark.long
def test_axe_finds_no_violation(tab: Tab, folder: Path, chromium: Browser) -> None:
    script = axe()
    tab.click("#doctor")
    wait_until(lambda: "camera: " in tab.text("findings"))
    for width, dark in ((1280, False), (1280, True), (360, False), (360, True)):
        tab.resize(width, 800, dark=dark)
        assert violations(tab, script) == [], (width, dark)
    tab.click("#pause")
    wait_until(lambda: not tab.shown("image"))
    assert violations(tab, script) == []
    tab.click("#pause")
    wait_until(lambda: tab.shown("image"))
    chromium.call("Storage.clearCookies")
    stranger = chromium.page(url(folder))
    wait_until(lambda: stranger.shown("enter"))
    assert violations(stranger, script) == []
    stranger.close()
