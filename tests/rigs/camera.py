"""What the camera tests look at: a red scene with a number in it, as a file, a stream and a CSI camera's double."""

import http.server
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
from rigs.http import Server, running
from rigs.processes import wait_until, workers

from edge.cameras.process import ProcessCamera
from edge.stages import Frame, Pixels

WIDTH, HEIGHT, BITS, BLOCK = 160, 96, 10, 16


def scene(number: int) -> Pixels:
    """Return an RGB picture: red, and above it `number` as ten blocks, white for 1, the lowest bit first."""
    pixels = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    pixels[...] = (200, 0, 0)
    for bit in range(BITS):
        pixels[:BLOCK, bit * BLOCK : (bit + 1) * BLOCK] = 255 * (number >> bit & 1)
    return pixels


def number_in(frame: Frame) -> int:
    """Read the number back, also after a lossy codec."""
    middle = BLOCK // 2
    return sum((int(frame.pixels[middle, bit * BLOCK + middle, 1]) > 127) << bit for bit in range(BITS))


def is_red(frame: Frame) -> bool:
    """Whether the lower half is red, and not blue."""
    red, green, blue = frame.pixels[HEIGHT // 2 :].reshape(-1, 3).mean(axis=0)
    return bool(red > 150 and green < 60 and blue < 60)


def write_clip(path: Path, frames: int = 20, rate_hz: float = 25, codec: str = "mp4v") -> Path:
    """Write a video of the scenes 0, 1, 2..."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), rate_hz, (WIDTH, HEIGHT))
    assert writer.isOpened(), f"this OpenCV cannot write {codec}"
    for number in range(frames):
        writer.write(scene(number)[..., ::-1].copy())
    writer.release()
    return path


def write_image(path: Path, number: int = 0) -> Path:
    """Write one scene in the format that the suffix names."""
    assert cv2.imwrite(str(path), scene(number)[..., ::-1])
    return path


class MjpegServer(Server):
    """A network camera on the loopback: sends scenes at `rate_hz`. With `hang` it accepts and never answers."""

    def __init__(self, rate_hz: float = 25, hang: bool = False, port: int = 0) -> None:
        super().__init__(port, _MjpegHandler)
        self.rate_hz = rate_hz
        self.hang = hang
        self.sent = 0
        self.asked = 0
        """How many connections have asked for pictures."""
        self.show: Callable[[int], Pixels] = scene
        """Makes the picture of each number."""
        self.silent = threading.Event()
        """Set: sends nothing more, and keeps the connection."""
        self.closes = threading.Event()
        """Set: closes its connections, each after its first picture."""
        self.missing = threading.Event()
        """Set: closes its connections, and answers 404."""
        self.heads = threading.Event()
        """Set: sends the first hundred bytes of each picture."""
        self.halves = threading.Event()
        """Set: sends the first half of each picture."""
        self.watched = 0
        """How many connections there are now."""
        self.url = f"http://127.0.0.1:{self.server_port}/stream"


def serving(server: MjpegServer) -> AbstractContextManager[MjpegServer]:
    """Run the server; at the end its threads and sockets are gone."""
    return running(server)


class _MjpegHandler(http.server.BaseHTTPRequestHandler):
    server: MjpegServer

    def do_GET(self) -> None:
        server = self.server
        server.asked += 1
        if server.hang:
            server.over.wait()
            return
        if server.missing.is_set():
            self.send_error(404)
            return
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        server.watched += 1
        try:
            while not server.over.wait(1 / server.rate_hz) and not server.missing.is_set():
                if not server.silent.is_set():
                    self._send()
                if server.closes.is_set():
                    break
        except OSError:
            pass  # the camera under test hung up
        finally:
            server.watched -= 1

    def _send(self) -> None:
        jpeg = cv2.imencode(".jpg", self.server.show(self.server.sent)[..., ::-1])[1].tobytes()
        if self.server.heads.is_set():
            jpeg = jpeg[:100]
        if self.server.halves.is_set():
            jpeg = jpeg[: len(jpeg) // 2]
        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
        self.wfile.write(head.encode() + jpeg + b"\r\n")
        self.server.sent += 1

    def log_message(self, *_: object) -> None:
        """Write nothing to the terminal."""


class FakeCapture:
    """A double of cv2.VideoCapture on a live source: a frame each 10 ms, and what is in `faults` raised first."""

    def __init__(self, *faults: Exception, opens: bool = True) -> None:
        self.faults = list(faults)
        self.opens = opens
        self.released = threading.Event()
        self.decoded = self.grabbed = 0

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return self.opens

    def grab(self) -> bool:
        time.sleep(0.01)
        if self.faults:
            raise self.faults.pop()
        self.grabbed += 1
        return True

    def retrieve(self) -> tuple[bool, Pixels]:
        self.decoded += 1
        return True, scene(0)[..., ::-1].copy()

    def release(self) -> None:
        self.released.set()


class FakePicamera2:
    """A double of the module picamera2: one scene, `interval_s` between frames, and faults to switch on.

    `lent` counts the buffers that were not given back: with all four out, the camera stops, as the real one does.
    """

    def __init__(self, ids: tuple[str, ...] = ("/base/soc/i2c0mux/i2c@1/imx708@1a",), interval_s: float = 0.01) -> None:
        self.ids = ids
        self.interval_s = interval_s
        self.busy = self.stalled = self.broken = self.refuses_size = False
        self.gives = ""
        """The pixel format that it insists on, whatever it is asked for."""
        self.has: tuple[str, ...] = ("AfMode", "AfTrigger", "LensPosition", "AeExposureMode", "FrameDurationLimits")
        """The controls that it has."""
        self.controls: dict[str, Any] = {}
        """What it was told."""
        self.lent = 0
        self.opened: list[int] = []
        self.closed = 0
        self.pending = 0
        library = self

        class Picamera2(_FakeCamera):
            def __init__(self, camera_num: int = 0) -> None:
                super().__init__(library, camera_num)

            @staticmethod
            def global_camera_info() -> list[dict[str, Any]]:
                return [{"Id": name, "Model": name[-9:-3], "Num": 9} for name in library.ids]

        self.Picamera2, self.MappedArray = Picamera2, _FakeMapping


class _FakeCamera:
    def __init__(self, library: FakePicamera2, camera_num: int) -> None:
        self.library = library
        if library.busy:
            raise RuntimeError("Camera __init__ sequence did not complete.") from RuntimeError(
                "Failed to acquire camera: Device or resource busy"
            )
        library.opened.append(camera_num)
        self.camera_controls = dict.fromkeys(library.has, (0, 1, 0))

    def create_video_configuration(
        self, main: dict[str, Any], buffer_count: int, queue: bool, controls: dict[str, Any]
    ) -> Any:
        assert buffer_count <= 4
        assert not queue
        assert set(controls) <= set(self.library.has), "the real one refuses what it does not have"
        self.library.controls = controls
        return SimpleNamespace(main=main, buffer_count=buffer_count)

    def configure(self, configuration: Any) -> None:
        if self.library.refuses_size:
            raise RuntimeError("lores stream must be smaller than main")
        self.configuration = configuration
        configuration.main["format"] = self.library.gives or configuration.main["format"]

    def camera_configuration(self) -> dict[str, Any]:
        return {"main": {**self.configuration.main, "size": (WIDTH, HEIGHT)}}

    def start(self) -> None:
        pass

    def capture_request(self, wait: bool | float) -> "_FakeJob":
        assert wait is False, "a capture with a timeout swallows a frame when it is late"
        self.library.pending += 1
        return _FakeJob(self.library, self.configuration)

    def cancel_all_and_flush(self) -> None:
        self.library.pending = 0

    def close(self) -> None:
        assert not self.library.pending, "the real one would wait for ever for the capture before it"
        self.library.closed += 1


class _FakeJob:
    def __init__(self, library: FakePicamera2, configuration: Any) -> None:
        self.library = library
        self.configuration = configuration
        self.begun_s = time.monotonic()

    def get_result(self, timeout: float) -> "_FakeRequest":
        wait_s = self.begun_s + self.library.interval_s - time.monotonic()
        if self.library.stalled or self.library.lent >= self.configuration.buffer_count or wait_s > timeout:
            time.sleep(timeout)
            raise TimeoutError
        time.sleep(max(0.0, wait_s))
        self.library.pending -= 1
        self.library.lent += 1
        return _FakeRequest(self.library, self.configuration)


class _FakeRequest:
    def __init__(self, library: FakePicamera2, configuration: Any) -> None:
        self.library = library
        self.format = configuration.main["format"]

    def mapped(self) -> Pixels:
        if self.library.broken:
            raise RuntimeError("failed to find buffer")
        pixels = scene(0)
        if self.format == "YUV420":
            padded = np.pad(pixels, ((0, 0), (0, 32), (0, 0)))
            return np.asarray(cv2.cvtColor(padded, cv2.COLOR_RGB2YUV_I420), np.uint8)
        return pixels if self.format == "BGR888" else pixels[..., ::-1].copy()

    def get_metadata(self) -> dict[str, int]:
        return {"SensorTimestamp": time.monotonic_ns()}

    def release(self) -> None:
        self.library.lent -= 1


class _FakeMapping:
    """A buffer of the camera, which soon holds something else."""

    def __init__(self, request: _FakeRequest, name: str, *, write: bool) -> None:
        assert name == "main"
        assert not write
        self.array = request.mapped()

    def __enter__(self) -> "_FakeMapping":
        return self

    def __exit__(self, *_: object) -> None:
        self.array[...] = 0


@contextmanager
def closed_at_the_end(camera: ProcessCamera) -> Iterator[ProcessCamera]:
    """Close a camera at the end, and wait until its child is gone."""
    try:
        yield camera
    finally:
        camera.close()
        wait_until(lambda: workers(os.getpid()) == [])


def next_frame(camera: ProcessCamera) -> Frame:
    frame = wait_until(lambda: camera.read(0.25))
    assert frame is not None
    return frame
