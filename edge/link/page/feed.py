"""What all open pages show: one thread asks the daemon for all of them, and only while a page is open."""

import json
import logging
import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from edge.errors import ControlError, NotRunning
from edge.link.parts import Ask
from edge.link.state import LinkState

_log = logging.getLogger(__name__)
STATUS_S = 1.0
"""How often the status is asked while a page is open; after an event at once, but at most every SOONEST_S."""
SOONEST_S = 0.25
HEARTBEAT_S = 4.0
"""Longest silence on a page's stream: the page knows then that the link is there, and the link that the page is."""
AGAIN_S = 2.0
"""Pause before the next try to get pictures."""
MOST_SAID = 50
_TURN_S = 0.5
_LEFT_OUT = ("pid", "frames", "looks", "frame_age_s", "event", "elapsed_s", "time")
"""Fields of the status that change each second, and that the page does not show."""
_QUIET_EVENTS = ("frame", "status")
_TEACHING = ("teaching", "teaching_ended")
_SAYING = ("announced", "spoken", "notice", "answered", "missed", "asked")


class PictureSource(Protocol):
    """A connection to the daemon that gets pictures (edge/host/control_client.py, Pictures)."""

    def next(self, timeout_s: float | None) -> dict[str, Any] | None:
        """Return the next picture; None if none came in time. Raises ControlError at the end."""


OpenPictures = Callable[[], AbstractContextManager[PictureSource]]


class Feed:
    """Keeps the newest state, list and picture, and gives them to all pages as server-sent events.

    A page that reads slowly misses pictures and states in between, and never gets old ones.
    """

    def __init__(self, open_pictures: OpenPictures) -> None:
        self._open_pictures = open_pictures
        self._changed = threading.Condition()
        self._messages: dict[str, tuple[int, bytes]] = {}
        """The newest message of each kind, ready to send, with its number."""
        self._number = 0
        self._pages = self._lookers = 0
        """Pages that are open, and those of them that show the picture."""
        self._up = self._paused = self._stopping = False
        self._ask_now = self._lists_now = True
        self._threads: list[threading.Thread] = []

    def start(self, ask: Ask) -> None:
        """Start the threads; they sleep until a page is open."""
        for name, work in (("page status", lambda: self._follow(ask)), ("page pictures", self._look)):
            thread = threading.Thread(target=work, name=name, daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self) -> None:
        """End the threads and all streams."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()

    def alive(self) -> bool:
        """Return False if a thread has ended."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def pages(self) -> int:
        """Return the number of open pages."""
        return self._pages

    # ---- the subscription's thread

    def changed(self, state: LinkState) -> None:
        """Take the new state."""
        with self._changed:
            self._up, self._paused = state.up, state.paused
            self._ask_now = True
            if not state.up:
                self._put("state", {"up": False})
            if self._paused or not state.up:
                self._no_picture("paused" if self._paused else "stopped")
            self._changed.notify_all()

    def happened(self, event: Mapping[str, Any]) -> None:
        """Take an event of the daemon: ask again what may have changed."""
        name = event.get("event")
        if name in _QUIET_EVENTS:
            return
        with self._changed:
            self._ask_now = True
            self._lists_now = self._lists_now or name in _SAYING
            if name in _TEACHING and self._pages and event.get("text"):
                self._put("teaching", {key: event.get(key) for key in ("event", "name", "text")})
            self._changed.notify_all()

    # ---- a page's thread

    def stream(self, *, pictures: bool) -> Generator[bytes, None, None]:
        """Yield server-sent events for one page: first everything as it is, then what changes.

        Source of the format: https://html.spec.whatwg.org/multipage/server-sent-events.html
        """
        with self._open_page(pictures):
            sent = 0
            yield b"retry: 2000\n\n"
            while True:
                messages = self._wait_for_newer(sent, pictures=pictures)
                if self._stopping:
                    return
                sent = max([sent, *(number for number, _ in messages)])
                yield b"".join(message for _, message in messages) or b": nothing new\n\n"

    @contextmanager
    def _open_page(self, pictures: bool) -> Iterator[None]:
        with self._changed:
            if not self._pages:
                # what is known from the page before may be old
                self._ask_now = self._lists_now = True
            self._pages += 1
            self._lookers += pictures
            self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._pages -= 1
                self._lookers -= pictures
                if not self._pages:
                    self._messages.pop("teaching", None)  # a page that opens later has not asked
                if not self._lookers:
                    self._messages.pop("picture", None)  # the last picture is not kept
                self._changed.notify_all()

    def _wait_for_newer(self, sent: int, *, pictures: bool) -> list[tuple[int, bytes]]:
        """Return the messages with a higher number than `sent`; none if none came within HEARTBEAT_S."""

        def newer() -> list[tuple[int, bytes]]:
            return [
                (number, message)
                for kind, (number, message) in self._messages.items()
                if number > sent and (pictures or kind != "picture")
            ]

        with self._changed:
            self._changed.wait_for(lambda: self._stopping or newer(), HEARTBEAT_S)
            return newer()

    def _put(self, kind: str, message: Mapping[str, Any]) -> None:
        """Keep a message as the newest of its kind, unless it is the same as the last one."""
        encoded = f"event: {kind}\ndata: {json.dumps(message)}\n\n".encode()
        if self._messages.get(kind, (0, b""))[1] != encoded:
            self._number += 1
            self._messages[kind] = (self._number, encoded)
            self._changed.notify_all()

    def _no_picture(self, reason: str) -> None:
        self._put("picture", {"jpeg": None, "reason": reason})

    # ---- the thread of the status

    def _follow(self, ask: Ask) -> None:
        asked_s = 0.0
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._pages)
                now_s = time.monotonic()
                self._changed.wait_for(lambda: self._stopping or self._ask_now, asked_s + STATUS_S - now_s)
                if self._stopping:
                    return
                lists, self._ask_now, self._lists_now = self._lists_now, False, False
            asked_s = time.monotonic()
            self._ask(ask, lists)
            time.sleep(SOONEST_S)

    def _ask(self, ask: Ask, lists: bool) -> None:
        """Ask for the status, and with `lists` for the sentences and the missed labels."""
        try:
            status = ask({"command": "status"})
            state = {"up": True, **{key: value for key, value in status.items() if key not in _LEFT_OUT}}
            said = _said(ask) if lists else None
        except NotRunning:
            state, said = {"up": False}, None
        except ControlError as error:
            state, said = {"up": False, "error": str(error)}, None
        with self._changed:
            self._lists_now = self._lists_now or (lists and said is None)
            self._put("state", state)
            if said is not None:
                self._put("said", said)

    # ---- the thread of the pictures

    def _look(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._is_wanted())
                if self._stopping:
                    return
            reason = ""
            try:
                with self._open_pictures() as source:
                    reason = self._pass_on(source)
            except NotRunning:
                reason = "stopped"
            except ControlError as error:
                reason = str(error)
            with self._changed:
                if reason:
                    self._no_picture(reason)
                # a pause and a daemon that has ended are waited for above; anything else is tried again
                self._changed.wait_for(lambda: self._stopping or not self._lookers, AGAIN_S)

    def _is_wanted(self) -> bool:
        return bool(self._lookers and self._up and not self._paused)

    def _pass_on(self, source: PictureSource) -> str:
        """Give the pictures to the pages while one is wanted; return why the daemon has ended them."""
        while True:
            picture = source.next(_TURN_S)
            with self._changed:
                if self._stopping or not self._is_wanted():
                    return ""
                if picture is None:
                    continue
                if "ended" in picture:
                    return str(picture["ended"])
                if "jpeg" in picture:
                    self._put("picture", picture)


def _said(ask: Ask) -> dict[str, Any]:
    """Return what was said, and what was not while edge was silent; the newest first."""
    history = ask({"command": "history"}).get("history")
    missed = ask({"command": "missed"}).get("missed")
    return {
        "history": history[:MOST_SAID] if isinstance(history, list) else [],
        "missed": missed[-MOST_SAID:] if isinstance(missed, list) else [],
    }
