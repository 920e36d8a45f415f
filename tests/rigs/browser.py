"""A headless Chromium, driven over its debugging pipe: no driver, no WebSocket, nothing to install but the browser.

The protocol: https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import contextlib
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rigs.processes import PATIENCE_S, wait_until

_FLAGS = (
    "--headless=new --remote-debugging-pipe --no-first-run --no-default-browser-check --disable-gpu "
    "--disable-dev-shm-usage --disable-background-networking --disable-component-update --disable-sync "
    "--disable-extensions --mute-audio --hide-scrollbars --force-color-profile=srgb"
)


class Browser:
    """The browser; `page()` opens a new tab in it."""

    def __init__(self, folder: Path, to: int, back: int) -> None:
        self.folder = folder
        self._to, self._back = to, back
        self._ids = itertools.count(1)
        self._received = b""
        self._answers: dict[int, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []

    def call(self, method: str, session: str = "", **arguments: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": arguments, **({"sessionId": session} if session else {})}
        os.write(self._to, json.dumps(message).encode() + b"\0")
        deadline_s = time.monotonic() + PATIENCE_S
        while number not in self._answers:
            assert time.monotonic() < deadline_s, f"{method}: no answer"
            self.read(1.0)
        answer = self._answers.pop(number)
        assert "error" not in answer, f"{method}: {answer['error']}"
        return dict(answer["result"])

    def read(self, timeout_s: float) -> None:
        """Take what the browser sends within a time."""
        if not select.select([self._back], [], [], timeout_s)[0]:
            return
        chunk = os.read(self._back, 1 << 20)
        assert chunk, "the browser has ended"
        *messages, self._received = (self._received + chunk).split(b"\0")
        for message in map(json.loads, messages):
            if "id" in message:
                self._answers[message["id"]] = message
            else:
                self.events.append(message)

    def page(self, url: str, width: int = 1280, height: int = 900) -> "Tab":
        """Open a page in a new tab."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        tab = Tab(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network"):
            tab.call(f"{domain}.enable")
        tab.resize(width, height)
        tab.go(url)
        return tab


class Tab:
    """A tab of the browser."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self.browser, self._session, self._target = browser, session, target

    def call(self, method: str, **arguments: Any) -> dict[str, Any]:
        return self.browser.call(method, self._session, **arguments)

    def go(self, url: str) -> None:
        """Load another page; return when it has been read."""
        self.call("Page.navigate", url=url)
        wait_until(lambda: self.run("document.readyState") == "complete")

    def resize(self, width: int, height: int, *, dark: bool = False) -> None:
        scale = {"deviceScaleFactor": 1, "mobile": width < 600}
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, **scale)
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)

    def run(self, script: str) -> Any:
        """Evaluate JavaScript, and return its value; a promise is awaited."""
        answer = self.call("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def text(self, id_: str) -> str:
        return str(self.run(f"document.getElementById({json.dumps(id_)}).textContent"))

    def shown(self, id_: str) -> bool:
        return bool(self.run(f"document.getElementById({json.dumps(id_)}).checkVisibility()"))

    def click(self, selector: str) -> None:
        """Click in the middle of an element, as a mouse does; it must be there and enabled."""
        find = f"document.querySelector({json.dumps(selector)})"
        wait_until(lambda: self.run(f"Boolean({find} && !{find}.disabled && {find}.checkVisibility())"))
        self.run(f"{find}.scrollIntoView({{block: 'center'}})")
        x, y = self.run(
            f"(() => {{ const r = {find}.getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2] }})()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, words: str) -> None:
        """Type into what has the focus."""
        self.call("Input.insertText", text=words)

    def key(self, name: str, *, shift: bool = False) -> None:
        """Press a key: 'Tab', 'Enter', 'Escape', ' ', 'ArrowRight'."""
        codes = {"Tab": 9, "Enter": 13, "Escape": 27, " ": 32, "ArrowLeft": 37, "ArrowRight": 39}
        text = {"Enter": "\r", " ": " "}.get(name, "")
        for kind in ("keyDown", "keyUp"):
            more = {"text": text} if text and kind == "keyDown" else {}
            code = codes[name]
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=name,
                windowsVirtualKeyCode=code,
                modifiers=8 * shift,
                **more,
            )

    def screenshot(self, file: Path, *, whole: bool = True, kind: str = "png") -> None:
        """Save what it looks like; `whole`: to the end of the page."""
        clip: dict[str, Any] = {}
        if whole:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"clip": {"x": 0, "y": 0, "scale": 1, "width": size["width"], "height": size["height"]}}
        more = {"quality": 80} if kind == "webp" else {}
        taken = self.call("Page.captureScreenshot", format=kind, captureBeyondViewport=whole, **clip, **more)
        file.write_bytes(base64.b64decode(taken["data"]))

    def faults(self) -> list[str]:
        """Errors that scripts of this tab threw, or that the browser logged, such as breaches of the page's policy."""
        self.browser.read(0.05)
        found = []
        for event in self.browser.events:
            if event.get("sessionId") != self._session:
                continue
            if event["method"] == "Runtime.exceptionThrown":
                found.append(str(event["params"]["exceptionDetails"]))
            if event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                entry = event["params"]["entry"]
                found.append(f"{entry['text']} {entry.get('url', '')}")
        return found

    def asked(self) -> list[str]:
        """The addresses that this tab has asked for."""
        self.browser.read(0.05)
        return [
            event["params"]["request"]["url"]
            for event in self.browser.events
            if event.get("sessionId") == self._session and event["method"] == "Network.requestWillBeSent"
        ]

    def close(self) -> None:
        self.browser.call("Target.closeTarget", targetId=self._target)


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """Start Chromium with an empty profile in a folder; nothing of it is left. Skip the test where there is none."""
    program = shutil.which("chromium")
    if program is None:
        pytest.skip("needs Debian's chromium: apt-get install --no-install-recommends chromium")
    to_read, to = os.pipe()
    back, back_write = os.pipe()
    flags = [*_FLAGS.split(), f"--user-data-dir={folder / 'profile'}"]
    # its sandbox needs a user of its own, and rights that a container does not give
    flags += ["--no-sandbox"]
    script = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@" about:blank'
    with (folder / "chromium.log").open("wb") as log:
        child = subprocess.Popen(
            ["bash", "-c", script, "browser", str(to_read), str(back_write), program, *flags],
            pass_fds=(to_read, back_write),
            env={**os.environ, "HOME": str(folder), "XDG_CONFIG_HOME": str(folder), "XDG_CACHE_HOME": str(folder)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    os.close(to_read)
    os.close(back_write)
    try:
        yield Browser(folder, to, back)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, 9)
        child.wait(10)
        os.close(to)
        os.close(back)
