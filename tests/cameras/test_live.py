"""Live sources: streams from a server that hangs, dies or is fast, and the CSI camera's double with its faults."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace

import cv2
import pytest
from rigs.camera import HEIGHT, WIDTH, FakeCapture, FakePicamera2, MjpegServer, is_red, number_in, serving
from rigs.processes import PATIENCE_S, wait_until

from edge.cameras import open_camera
from edge.cameras.opencv import LiveCapture, configure
from edge.cameras.picamera2 import PiCamera, is_present
from edge.errors import CameraError
from edge.settings import CameraSettings
from edge.stages import Camera, Pixels


@pytest.fixture(autouse=True)
def _no_threads_left() -> Iterator[None]:
    """A grabber that nobody waits for must end by itself soon."""
    yield
    wait_until(lambda: not any(thread.name.startswith("grabber") for thread in threading.enumerate()))


OPENCV_S = 30.0
"""How long OpenCV waits for a stream that is not told another time."""


def _read_until_lost(camera: Camera, why: str = "lost") -> None:
    """Return when the camera has told that it is lost, and why."""
    with pytest.raises(CameraError, match=why):
        wait_until(lambda: camera.read(timeout_s=0.05) and None)
    with pytest.raises(CameraError, match=why):
        camera.read(timeout_s=0.05)


@pytest.mark.integration
def test_a_slow_reader_of_a_stream_gets_the_newest_frame() -> None:
    with (
        serving(MjpegServer(rate_hz=25)) as server,
        closing(open_camera(CameraSettings(source=server.url))) as camera,
    ):

        def is_newest() -> bool:
            first = wait_until(lambda: camera.read(timeout_s=1))
            assert first is not None
            sent = server.sent
            wait_until(lambda: server.sent >= sent + 15)
            sent = server.sent
            second = wait_until(lambda: camera.read(timeout_s=1))
            assert second is not None
            # what is on its way, in sockets and decoders, is not the reader's
            return number_in(second) >= sent - 10 and second.sequence > first.sequence + 1

        # on a busy machine the thread that takes the frames falls behind at times; a queue would give the one after
        # `first` each time
        wait_until(is_newest)


@pytest.mark.integration
def test_a_server_that_never_answers_is_an_error_in_time() -> None:
    with serving(MjpegServer(hang=True)) as server:
        began_s = time.monotonic()
        with pytest.raises(CameraError, match=r"stream http://127\.0\.0\.1"):
            open_camera(CameraSettings(source=server.url, open_timeout_s=0.5))
        assert time.monotonic() - began_s < OPENCV_S / 2


@pytest.mark.integration
def test_a_server_that_dies_is_a_lost_camera() -> None:
    with serving(MjpegServer()) as server:
        camera = open_camera(CameraSettings(source=server.url, read_timeout_s=0.5))
    with closing(camera):
        _read_until_lost(camera, "lost|nothing listens")


@pytest.mark.integration
def test_a_server_that_falls_silent_is_lost() -> None:
    with serving(MjpegServer()) as server:
        camera = open_camera(CameraSettings(source=server.url, read_timeout_s=1))
        server.silent.set()
        _read_until_lost(camera)
        camera.close()


@pytest.mark.integration
def test_neither_read_nor_close_waits_for_a_camera_that_hangs() -> None:
    with serving(MjpegServer()) as server:
        camera = open_camera(CameraSettings(source=server.url, read_timeout_s=2 * PATIENCE_S))
        server.silent.set()
        began_s = time.monotonic()
        for _ in range(3):
            wait_until(lambda: camera.read(timeout_s=0.05) is None)
        camera.close()
        assert time.monotonic() - began_s < PATIENCE_S


def test_no_server_at_all_is_an_error() -> None:
    with pytest.raises(CameraError, match="nothing listens at 127"):
        open_camera(CameraSettings(source="http://127.0.0.1:1/stream"))


def _capture(double: FakeCapture, is_present: Callable[[], bool] = lambda: True) -> LiveCapture:
    return LiveCapture(lambda: (double, ""), "a camera", CameraSettings(), lambda: "plug it in again", is_present)


def test_what_nobody_asks_for_is_not_decoded() -> None:
    double = FakeCapture()
    with closing(_capture(double)) as camera:
        assert camera.read(PATIENCE_S)
        decoded, grabbed = double.decoded, double.grabbed
        wait_until(lambda: double.grabbed > grabbed + 10)
        assert double.decoded <= decoded + 1, "one may have been at work"
        frame = camera.read(PATIENCE_S)
        assert frame is not None
        assert frame.sequence > grabbed + 8, "none of those that nobody asked for"


class SlowDecoder(FakeCapture):
    """Decodes the second picture only when it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self.decoding, self.go_on = threading.Event(), threading.Event()

    def retrieve(self) -> tuple[bool, Pixels]:
        if self.decoded == 1:
            self.decoding.set()
            assert self.go_on.wait(PATIENCE_S)
        return super().retrieve()


def test_what_was_being_decoded_while_another_was_served_is_not_shown_later() -> None:
    double = SlowDecoder()
    with closing(_capture(double)) as camera:
        assert double.decoding.wait(PATIENCE_S)
        first = camera.read(PATIENCE_S)
        assert first is not None
        assert first.sequence == 0
        double.go_on.set()
        wait_until(lambda: double.grabbed > 10)
        second = camera.read(PATIENCE_S)
        assert second is not None
        assert second.sequence > 8


def test_a_usb_camera_is_asked_for_compressed_pictures_before_their_size() -> None:
    asked: list[tuple[int, float]] = []
    double = SimpleNamespace(set=lambda *what: asked.append(what))
    configure(double, CameraSettings(width=1280, height=720, frame_rate=15))  # type: ignore[arg-type]
    assert asked == [
        (cv2.CAP_PROP_FOURCC, int.from_bytes(b"MJPG", "little")),
        (cv2.CAP_PROP_FRAME_WIDTH, 1280),
        (cv2.CAP_PROP_FRAME_HEIGHT, 720),
        (cv2.CAP_PROP_FPS, 15),
    ]


def test_an_unplugged_camera_is_lost_although_opencv_goes_on() -> None:
    double = FakeCapture()
    plugged = threading.Event()
    plugged.set()
    with closing(_capture(double, plugged.is_set)) as camera:
        assert camera.read(timeout_s=5) is not None
        plugged.clear()
        _read_until_lost(camera, "unplugged")
    assert double.released.wait(5)


def test_a_fault_in_the_grabber_reaches_the_reader() -> None:
    double = FakeCapture(cv2.error("out of memory"))
    with pytest.raises(CameraError, match="a camera: error in OpenCV; plug it in again"):
        _capture(double)
    assert double.released.wait(5)


def test_a_camera_that_does_not_open_is_released() -> None:
    double = FakeCapture(opens=False)
    with pytest.raises(CameraError, match="cannot be opened"):
        _capture(double)
    assert double.released.wait(5)


def test_csi_frames_are_red_and_their_buffers_go_back() -> None:
    library = FakePicamera2()
    camera = PiCamera(CameraSettings(), library=library)
    for sequence in range(10):
        frame = camera.read(timeout_s=1)
        assert frame is not None
        assert frame.sequence == sequence
        assert is_red(frame)
    assert library.lent == 0
    camera.close()
    assert library.closed == 1


def test_a_csi_camera_that_insists_on_yuv_is_converted() -> None:
    library = FakePicamera2()
    library.gives = "YUV420"
    with closing(PiCamera(CameraSettings(), library=library)) as camera:
        frame = camera.read(timeout_s=1)
    assert frame is not None
    assert frame.pixels.shape == (HEIGHT, WIDTH, 3)
    assert is_red(frame)
    library.gives = "MJPEG"
    with pytest.raises(CameraError, match="cannot be started: its format is MJPEG"):
        PiCamera(CameraSettings(), library=library)


@pytest.mark.parametrize(
    ("settings", "controls"),
    [
        (CameraSettings(), {"AfMode": 2}),
        (CameraSettings(focus="once"), {"AfMode": 1, "AfTrigger": 0}),
        (CameraSettings(focus="manual", focus_m=0.25), {"AfMode": 0, "LensPosition": 4.0}),
        (CameraSettings(exposure="short"), {"AfMode": 2, "AeExposureMode": 1}),
        (
            CameraSettings(exposure="long", frame_rate=8),
            {"AfMode": 2, "AeExposureMode": 2, "FrameDurationLimits": (125000,) * 2},
        ),
    ],
)
def test_a_csi_camera_is_told_what_the_settings_want(settings: CameraSettings, controls: dict[str, object]) -> None:
    library = FakePicamera2()
    with closing(PiCamera(settings, library=library)):
        assert library.controls == controls


def test_a_control_that_a_csi_camera_has_not_is_told_only_if_it_was_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    library = FakePicamera2()
    library.has = ("FrameDurationLimits",)
    with closing(PiCamera(CameraSettings(), library=library)):
        assert library.controls == {}
    assert not caplog.messages
    with closing(PiCamera(CameraSettings(focus="manual", exposure="short", frame_rate=10), library=library)):
        assert library.controls == {"FrameDurationLimits": (100000, 100000)}
    assert [message.partition("(imx708) ")[2] for message in caplog.messages] == [
        "does not support [camera] focus: the setting is ignored.",
        "does not support [camera] exposure: the setting is ignored.",
    ]


def test_csi_numbers_leave_out_the_usb_cameras() -> None:
    library = FakePicamera2(ids=("/base/soc/i2c@1/imx219@10", "/base/scb/pcie/usb@0,0-1:1.0-046d:0825"))
    assert PiCamera(CameraSettings(), library=library).description == "CSI camera 0 (imx219)"
    with pytest.raises(CameraError, match=r"camera csi:1: there is no such camera; found: csi:0 \(imx219\)"):
        PiCamera(CameraSettings(), 1, library=library)
    assert library.opened == [0]
    assert is_present(library)
    assert not is_present(FakePicamera2(ids=()))


def test_a_late_csi_frame_is_fetched_by_the_next_read() -> None:
    library = FakePicamera2(interval_s=3600)
    with closing(PiCamera(CameraSettings(), library=library)) as camera:
        assert camera.read(timeout_s=0.001) is None
        library.interval_s = 0
        assert camera.read(timeout_s=5) is not None
        assert library.pending == 0


def test_a_stalled_csi_camera_is_lost_and_can_be_closed() -> None:
    library = FakePicamera2()
    camera = PiCamera(CameraSettings(read_timeout_s=0.2), library=library)
    assert camera.read(timeout_s=1) is not None
    library.stalled = True
    _read_until_lost(camera)
    camera.close()
    assert library.closed == 1
    assert library.lent == 0


def test_a_csi_frame_fetched_by_nobody_goes_back_at_closing() -> None:
    library = FakePicamera2(interval_s=3600)
    camera = PiCamera(CameraSettings(), library=library)
    assert camera.read(timeout_s=0) is None
    library.interval_s = 0
    camera.close()
    assert library.lent == 0


def test_a_broken_csi_frame_gives_its_buffer_back() -> None:
    library = FakePicamera2()
    library.broken = True
    with (
        closing(PiCamera(CameraSettings(), library=library)) as camera,
        pytest.raises(CameraError, match="broken frame"),
    ):
        camera.read(timeout_s=1)
    assert library.lent == 0


def test_a_busy_csi_camera_says_why() -> None:
    library = FakePicamera2()
    library.busy = True
    with pytest.raises(CameraError, match=r"CSI camera 0 \(imx708\): cannot be opened: .*Device or resource busy"):
        PiCamera(CameraSettings(), library=library)


def test_a_csi_camera_that_does_not_start_is_closed_again() -> None:
    library = FakePicamera2()
    library.refuses_size = True
    with pytest.raises(CameraError, match="cannot be started"):
        PiCamera(CameraSettings(), library=library)
    assert library.closed == 1
