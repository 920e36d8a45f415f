"""A network camera with the faults of network cameras, through the real OpenCV in the real child process."""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest
from rigs.camera import BLOCK, MjpegServer, is_red, scene, serving
from rigs.processes import wait_until, workers

from edge.cameras.process import ProcessCamera
from edge.errors import CameraError
from edge.settings import CameraSettings
from edge.stages import Frame, Pixels

pytestmark = pytest.mark.integration
READ_TIMEOUT_S = 1.0


class Viewer:
    """Looks at a stream, and keeps what it was told."""

    def __init__(self, url: str, read_timeout_s: float = READ_TIMEOUT_S) -> None:
        self.lost: list[str] = []
        self.back: list[str] = []
        self.camera = ProcessCamera(
            CameraSettings(source=url, read_timeout_s=read_timeout_s, open_timeout_s=2),
            self.lost.append,
            self.back.append,
        )

    def read_until(self, condition: Callable[[], object]) -> None:
        wait_until(lambda: condition() or (self.camera.read(0.1) and None))

    def each_reason_came_once(self) -> bool:
        """Whether it was told once that it is lost, and once why it cannot be opened; and that it is back."""
        return len(self.back) == 1 and 1 <= len(self.lost) == len(set(self.lost)) <= 3

    def next_frame(self) -> Frame:
        frame = wait_until(lambda: self.camera.read(0.25))
        assert frame is not None
        return frame


@contextmanager
def watching(url: str, read_timeout_s: float = READ_TIMEOUT_S) -> Iterator[Viewer]:
    viewer = Viewer(url, read_timeout_s)
    try:
        yield viewer
    finally:
        viewer.camera.close()
        wait_until(lambda: workers(os.getpid()) == [])


@pytest.mark.parametrize("fault", ["silent", "closes", "missing", "heads"])
def test_it_comes_back_from(fault: str) -> None:
    with serving(MjpegServer()) as server, watching(server.url) as viewer:
        viewer.next_frame()
        switch: threading.Event = getattr(server, fault)
        switch.set()
        viewer.read_until(lambda: viewer.lost)
        assert viewer.lost[0].startswith(f"stream {server.url}: ")
        tries = server.asked
        viewer.read_until(lambda: server.asked > tries + 1)
        assert viewer.back == []
        switch.clear()
        viewer.read_until(lambda: viewer.back)
        assert is_red(viewer.next_frame())
        assert viewer.each_reason_came_once()


def noisy(number: int) -> Pixels:
    return (scene(number) + np.random.default_rng(number).integers(0, 40, scene(0).shape)).clip(0, 255).astype(np.uint8)


def test_a_server_that_is_started_again() -> None:
    with serving(MjpegServer()) as server:
        port = server.server_port
        viewer = Viewer(server.url)
        try:
            viewer.next_frame()
        except BaseException:
            viewer.camera.close()
            raise
    try:
        viewer.read_until(lambda: viewer.lost)
        with serving(MjpegServer(port=port)):
            viewer.read_until(lambda: viewer.back)
            assert is_red(viewer.next_frame())
        assert viewer.each_reason_came_once()
    finally:
        viewer.camera.close()


@pytest.mark.parametrize("damage", ["heads", "halves"])
def test_damaged_pictures_between_good_ones_do_no_harm(damage: str) -> None:
    """What has only a head is skipped; of half a picture the half is shown."""
    # on a busy machine a good picture may come late
    with serving(MjpegServer()) as server, watching(server.url, read_timeout_s=10) as viewer:
        server.show = noisy  # half of it is more than a JPEG's head
        switch: threading.Event = getattr(server, damage)
        for _ in range(6):
            viewer.next_frame()
            switch.set()
            time.sleep(0.2)
            frame = viewer.camera.read(0.25)
            assert frame is None or frame.pixels[BLOCK:32, :, 0].mean() > 150, "its upper part is red"
            switch.clear()
            assert is_red(viewer.next_frame())
        assert viewer.lost == viewer.back == []


def test_what_was_never_there_is_told_at_once() -> None:
    with serving(MjpegServer()) as server:
        server.missing.set()
        with pytest.raises(
            CameraError, match=r"^stream http://.*: there is nothing at this address \(404 Not Found\)"
        ) as caught:
            Viewer(server.url)
        assert "\n" not in str(caught.value)
    wait_until(lambda: workers(os.getpid()) == [])
