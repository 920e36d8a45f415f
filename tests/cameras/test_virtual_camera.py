"""The real picamera2 and libcamera in the real child process, on libcamera's virtual camera.

Runs only where EDGE_LIBCAMERA_RIG names a folder for it: it needs root, a libcamera with the virtual pipeline (0.7, of
Debian forky or sid) and a library that stands for the kernel's /dev/udmabuf (LD_PRELOAD):

    LD_PRELOAD=SHIM.so EDGE_LIBCAMERA_RIG=/opt/frames pytest tests/cameras/test_virtual_camera.py

The folder is the `frames: path:` of one of the cameras in libcamera's virtual.yaml; the pictures are put there.
"""

import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest
from rigs.camera import closed_at_the_end, is_red, next_frame, number_in
from rigs.camera import scene as small_scene
from rigs.processes import wait_until, workers

from edge.cameras.process import ProcessCamera
from edge.settings import CameraSettings
from edge.stages import Frame

FOLDER = os.environ.get("EDGE_LIBCAMERA_RIG", "")
PICTURES = 60
pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not FOLDER, reason="no virtual libcamera here: EDGE_LIBCAMERA_RIG is not set"),
]


class Rig:
    """The camera that shows the folder, and what it told."""

    def __init__(self) -> None:
        self.lost: list[str] = []
        self.back: list[str] = []

    def open(self, **settings: object) -> ProcessCamera:
        return ProcessCamera(
            CameraSettings(source="csi:0", **settings),  # type: ignore[arg-type]
            self.lost.append,
            self.back.append,
            "virtual_camera:open_virtual",
        )


@pytest.fixture
def rig(monkeypatch: pytest.MonkeyPatch) -> Rig:
    for number in range(PICTURES):
        picture = cv2.resize(small_scene(number), (640, 384), interpolation=cv2.INTER_NEAREST)
        picture = cv2.copyMakeBorder(picture, 0, 96, 0, 0, cv2.BORDER_REPLICATE)
        assert cv2.imwrite(f"{FOLDER}/{number:03d}.jpg", picture[..., ::-1])
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "rigs" / "libcamera")  # also the child's
    return Rig()


@pytest.fixture
def camera(rig: Rig) -> Iterator[ProcessCamera]:
    with closed_at_the_end(rig.open()) as camera:
        yield camera


def shrunk(frame: Frame) -> Frame:
    """As camera_rig's readers expect it."""
    assert frame.pixels.shape == (480, 640, 3)
    pixels = cv2.resize(frame.pixels[:384], (160, 96), interpolation=cv2.INTER_AREA)
    return Frame(pixels, frame.sequence, frame.captured_s)  # type: ignore[arg-type]


def test_a_thousand_frames_are_red_and_in_order(camera: ProcessCamera) -> None:
    last_number, last = -1, -1.0
    for sequence in range(1000):
        frame = next_frame(camera)
        assert frame.sequence == sequence
        assert frame.captured_s > last
        assert frame.captured_s <= time.monotonic()
        small = shrunk(frame)
        assert is_red(small)
        number = number_in(small)
        step = (number - last_number) % PICTURES
        # others are skipped, as the camera is faster than we ask; and now and then it shows one twice itself
        assert last_number < 0 or step < PICTURES // 2
        last_number, last = number, frame.captured_s


def test_killed_it_comes_back(rig: Rig, camera: ProcessCamera) -> None:
    for _ in range(3):  # each shared memory is mapped when it is first used
        next_frame(camera)
    before = len(list(Path("/proc/self/fd").iterdir()))
    for count in range(1, 6):
        sequence = next_frame(camera).sequence
        (child,) = workers(os.getpid())
        os.kill(child, signal.SIGKILL)
        wait_until(lambda: camera.read(0.25) or len(rig.lost) == count)  # noqa: B023
        while len(rig.back) < count:
            camera.read(0.25)
        frame = next_frame(camera)
        assert frame.sequence > sequence
        assert is_red(shrunk(frame))
        assert len(rig.lost) == len(rig.back) == count
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_stopped_child_is_replaced(rig: Rig, camera: ProcessCamera) -> None:
    """As when libcamera holds Python's lock for ever."""
    next_frame(camera)
    (child,) = workers(os.getpid())
    os.kill(child, signal.SIGSTOP)
    wait_until(lambda: rig.back or (camera.read(0.25) and None))
    assert "answer in time" in rig.lost[0]
    assert is_red(shrunk(next_frame(camera)))
