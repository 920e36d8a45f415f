"""What every driver promises, and which one a setting opens."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from rigs.camera import FakePicamera2, MjpegServer, is_red, serving, write_clip, write_image
from rigs.processes import wait_until

from edge.cameras import demo, open_camera, opencv
from edge.cameras.picamera2 import PiCamera, is_present
from edge.errors import CameraError, hide_secrets
from edge.settings import CameraSettings
from edge.stages import Camera

OpenDriver = Callable[[], Camera]


@pytest.fixture(
    params=[
        pytest.param("file", marks=pytest.mark.integration),
        pytest.param("folder", marks=pytest.mark.integration),
        pytest.param("demo", marks=pytest.mark.integration),
        pytest.param("stream", marks=pytest.mark.integration),
        pytest.param("usb", marks=pytest.mark.system),
        "csi",
    ]
)
def open_driver(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[OpenDriver]:
    """A function that opens the driver on something red."""
    with ExitStack() as stack:
        yield _driver(request.param, tmp_path, stack)


def _driver(name: str, folder: Path, stack: ExitStack) -> OpenDriver:
    if name == "csi":
        return lambda: PiCamera(CameraSettings(), library=FakePicamera2())
    if name == "usb":
        if not opencv.usb_nodes():
            pytest.skip("no USB camera: /sys/class/video4linux has none")
        return lambda: open_camera(CameraSettings(source="usb"))
    if name == "stream":
        server = stack.enter_context(serving(MjpegServer()))
        return lambda: open_camera(CameraSettings(source=server.url))
    if name == "demo":
        write_clip(folder / "clip.mp4")
        return lambda: demo.open_clip(CameraSettings(), folder=folder)
    if name == "file":
        source = write_clip(folder / "clip.mp4")
    else:
        source = folder
        for number in range(3):
            write_image(folder / f"{number}.png", number)
    return lambda: open_camera(CameraSettings(source=str(source)))


def test_frames_are_rgb_in_order_and_in_time(open_driver: OpenDriver, request: pytest.FixtureRequest) -> None:
    with closing(open_driver()) as camera:
        assert camera.description
        frames = [camera.read(timeout_s=5) for _ in range(3)]
        for frame in frames:
            assert frame is not None
            assert frame.pixels.dtype == np.uint8
            assert frame.pixels.ndim == 3
            assert frame.pixels.shape[2] == 3
            assert frame.pixels.flags.c_contiguous
            assert (frame.media_s is None) == camera.live
            assert frame.captured_s <= time.monotonic()
            assert "usb" in request.node.name or is_red(frame)
        for before, after in pairwise(frames):
            assert before is not None
            assert after is not None
            assert after.sequence > before.sequence
            assert after.captured_s > before.captured_s


def test_read_does_not_wait_longer_than_it_may(open_driver: OpenDriver) -> None:
    with closing(open_driver()) as camera:
        for timeout_s in (0, 0.001):
            # sooner or later it is back before there is a frame
            wait_until(lambda: camera.read(timeout_s) is None)  # noqa: B023


def test_close_can_be_called_twice_and_ends_reading(open_driver: OpenDriver) -> None:
    camera = open_driver()
    camera.read(timeout_s=5)
    camera.close()
    camera.close()
    with pytest.raises(CameraError, match="closed"):
        camera.read(timeout_s=0.1)


def _plug(sysfs: Path, node: str, socket: str, index: int = 0, bus: str = "usb") -> None:
    """Put a video node into a made-up /sys, as the kernel lays it out."""
    device = sysfs / "devices" / socket
    (sysfs / "bus" / bus).mkdir(parents=True, exist_ok=True)
    device.mkdir(parents=True, exist_ok=True)
    if not (device / "subsystem").exists():
        (device / "subsystem").symlink_to(sysfs / "bus" / bus)
    entry = sysfs / "class" / "video4linux" / node
    entry.mkdir(parents=True)
    (entry / "index").write_text(f"{index}\n")
    (entry / "device").symlink_to(device)


def test_usb_cameras_are_found_by_their_socket_and_nothing_else_is(tmp_path: Path) -> None:
    _plug(tmp_path, "video0", "usb1/1-2/1-2:1.0")
    _plug(tmp_path, "video1", "usb1/1-2/1-2:1.0", index=1)
    _plug(tmp_path, "video2", "usb1/1-1/1-1:1.0")
    _plug(tmp_path, "video10", "platform/bcm2835-codec", bus="platform")
    assert opencv.usb_nodes(tmp_path) == [Path("/dev/video2"), Path("/dev/video0")]
    assert opencv.usb_nodes(tmp_path / "nowhere") == []


def test_a_usb_camera_that_is_not_there_is_told_with_what_is(tmp_path: Path) -> None:
    with pytest.raises(CameraError) as caught:
        open_camera(CameraSettings(source="usb:3"), sysfs=tmp_path)
    assert str(caught.value) == ("camera usb:3: there is no such camera; found: none. Plug it in, or use --camera demo")
    _plug(tmp_path, "video4", "usb1/1-1/1-1:1.0")
    with pytest.raises(CameraError, match=r"found: usb:0 \(/dev/video4\)"):
        open_camera(CameraSettings(source="usb:1"), sysfs=tmp_path)


@pytest.mark.skipif(is_present(), reason="a CSI camera is here, and comes first")
def test_auto_takes_the_usb_camera_before_the_demo(tmp_path: Path) -> None:
    _plug(tmp_path, "video987", "usb1/1-1/1-1:1.0")
    with pytest.raises(CameraError, match=r"USB camera 0 \(/dev/video987\): no access"):
        open_camera(CameraSettings(source="auto"), sysfs=tmp_path)


@pytest.mark.integration
@pytest.mark.skipif(is_present(), reason="a CSI camera is here, and comes first")
def test_auto_without_a_camera_plays_the_demo_clip(tmp_path: Path) -> None:
    with closing(open_camera(CameraSettings(source="auto"), every_frame=True, sysfs=tmp_path)) as camera:
        assert camera.description == "the demo clip"
        assert not camera.live
        frame = camera.read(timeout_s=1)
    assert frame is not None
    assert frame.media_s == 0


def test_an_installation_without_the_clip_is_told(tmp_path: Path) -> None:
    with pytest.raises(CameraError, match="install edge again"):
        demo.open_clip(CameraSettings(), folder=tmp_path)


def test_csi_without_picamera2_names_the_package() -> None:
    try:
        import picamera2  # noqa: F401
    except ImportError:
        with pytest.raises(CameraError, match=r"apt install python3-picamera2|only Raspberry Pi OS has it"):
            open_camera(CameraSettings(source="csi"))
    else:
        pytest.skip("picamera2 is installed here")


def test_what_is_no_video_is_refused_in_one_line(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    (tmp_path / "letter.txt").write_text("No pictures in here.\n" * 100)
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "labels.csv").write_text("a,b\n")
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "a.png").write_text("no image")
    (tmp_path / "image.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    for name, told in {
        "fifo": "neither a file nor a folder",
        "empty.mp4": "is empty",
        "noise.mp4": "not a video",
        "letter.txt": "not a video",
        "folder": "no image in this folder",
        "broken": "none of its images can be read",
        "image.png": "damaged",
        "nothing": "no such file or folder",
        "usb:front": "no such file or folder",
        "\udcff.mp4": "no such file or folder",
    }.items():
        with pytest.raises(CameraError, match=told) as caught:
            open_camera(CameraSettings(source=str(tmp_path / name)))
        assert "\n" not in str(caught.value)
    with pytest.raises(CameraError, match=r"File name too long"):
        open_camera(CameraSettings(source="a" * 300))
    for source in ("", "ftp://host/clip.mp4", "/dev/null"):
        with pytest.raises(CameraError):
            open_camera(CameraSettings(source=source))


def test_a_name_that_opencv_would_crash_on_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "\udcff.mp4"
    path.write_bytes(b"not UTF-8")
    with pytest.raises(CameraError, match="UTF-8"):
        open_camera(CameraSettings(source=str(path)))
    with pytest.raises(CameraError, match="UTF-8"):
        open_camera(CameraSettings(source="http://127.0.0.1:1/\udcff"))


@pytest.mark.integration
def test_the_libraries_print_nothing(tmp_path: Path) -> None:
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(5000))
    write_image(tmp_path / "half.png")
    (tmp_path / "half.png").write_bytes((tmp_path / "half.png").read_bytes()[:-30])
    script = (
        "import sys; from edge.cameras import open_camera; from edge.settings import CameraSettings\n"
        "for source in sys.argv[1:]:\n"
        "    try: open_camera(CameraSettings(source=source, open_timeout_s=1))\n"
        "    except OSError as error: print(error)\n"
    )
    sources = [str(tmp_path / "noise.mp4"), str(tmp_path / "half.png"), "http://me:secret@127.0.0.1:1/"]
    run = subprocess.run(
        [sys.executable, "-c", script, *sources], capture_output=True, text=True, check=True, timeout=60
    )
    assert run.stderr == ""
    assert len(run.stdout.splitlines()) == 3
    assert "secret" not in run.stdout


def test_passwords_are_not_shown() -> None:
    assert hide_secrets("rtsp://me:secret@cam:554/live") == "rtsp://***@cam:554/live"
    assert hide_secrets("rtsp://me:se/c?re@t@cam/live") == "rtsp://***@cam/live"
    assert hide_secrets("http://cam/video?user=me&pwd=secret") == "http://cam/video"
    assert hide_secrets("http://cam/video#secret") == "http://cam/video"
    assert hide_secrets("rtsp://cam/user=me_password=secret_channel=1/x") == "rtsp://cam/user=me_password=***/x"
    assert hide_secrets("clips/what?#1.mp4") == "clips/what?#1.mp4"
