#!/usr/bin/env python3
"""Take the pictures of docs/page.md: the page of the demo, in a headless Chromium.

    scripts/page_pictures.py [FOLDER]      write page-1280.webp and page-360.webp, into docs/ by default

It starts edge with the demo, and a link, in a temporary folder. Needs Debian's chromium and scripts/install test.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import socket
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
PATIENCE_S = 60.0
FULL_S = 12.0
"""Time for the demo to show some things, so that the lists have something."""


def main() -> None:
    from rigs.browser import browser
    from rigs.daemon import daemon, socket_of
    from rigs.link import ask, link

    to = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "docs"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = folder / "link.toml"
        config.write_text(f'[page]\nlisten = "127.0.0.1:{port}"\ntoken_file = "{folder / "token"}"\n', encoding="utf-8")
        state = {"XDG_STATE_HOME": str(folder / "state")}
        with daemon(folder, "--speech", "log", **state), browser(folder) as chromium:
            wait(socket_of(folder).exists)
            with link(folder, config):
                wait((folder / "token").exists)
                wait(lambda: ask(folder, {"command": "status"}).get("model"))
                token = (folder / "token").read_text(encoding="ascii").strip()
                time.sleep(FULL_S)
                tab = chromium.page(f"http://127.0.0.1:{port}/#{token}")
                tab.click("#doctor")
                wait(lambda: "camera: " in tab.text("findings"))
                for width, height in ((1280, 900), (360, 780)):
                    tab.resize(width, height)
                    # something in view says more than the empty scene
                    wait(lambda: tab.text("label").startswith("I see"))
                    tab.screenshot(to / f"page-{width}.webp", kind="webp")
                    print(f"wrote {to / f'page-{width}.webp'}")


def wait(condition: Callable[[], object]) -> None:
    """Return as soon as the condition is true."""
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        if time.monotonic() > until_s:
            raise SystemExit("The page did not show what it should in time.")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
