"""Files, folders and images: their times, their pace, their faults."""

import logging
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from rigs.camera import HEIGHT, WIDTH, is_red, number_in, scene, write_clip, write_image

from edge.cameras import open_camera
from edge.cameras.player import Player
from edge.errors import CameraError
from edge.settings import CameraSettings
from edge.stages import Camera, EndOfFrames, Frame, Pixels
from edge.vision.images import ImageReel, read_image
from edge.vision.orientation import webp_orientation

pytestmark = pytest.mark.integration


def _frames(camera: Camera) -> Iterator[Frame]:
    """All frames until the end."""
    with closing(camera):
        while True:
            try:
                frame = camera.read(timeout_s=5)
            except EndOfFrames:
                return
            if frame is not None:
                yield frame


def _all(path: Path) -> list[Frame]:
    return list(_frames(open_camera(CameraSettings(source=str(path), image_s=0.5), every_frame=True)))


@pytest.mark.parametrize(
    ("name", "codec", "rate_hz"),
    [
        ("a.mp4", "mp4v", 25),
        ("a.mp4", "mp4v", 29.97),
        ("a.webm", "VP80", 30),
        ("a.avi", "MJPG", 10),
        ("a%03d.mkv", "MJPG", 15),
    ],
)
def test_every_frame_comes_once_with_its_own_time(tmp_path: Path, name: str, codec: str, rate_hz: float) -> None:
    frames = _all(write_clip(tmp_path / name, 20, rate_hz, codec))
    assert [number_in(frame) for frame in frames] == list(range(20))
    assert [frame.sequence for frame in frames] == list(range(20))
    # WebM has whole milliseconds
    assert [frame.media_s for frame in frames] == pytest.approx([i / rate_hz for i in range(20)], abs=0.001)
    assert frames[0].media_s == 0
    assert all(is_red(frame) for frame in frames)


def test_a_file_cut_off_ends_where_it_ends(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.avi", 40, 25, "MJPG").read_bytes()
    path = tmp_path / "half.avi"
    path.write_bytes(whole[: len(whole) // 2])
    assert 10 < len(_all(path)) < 30
    path.write_bytes(write_clip(tmp_path / "whole.mp4").read_bytes()[:-200])
    with pytest.raises(CameraError, match="not a video"):
        _all(path)


def test_a_file_that_grows_is_played_as_far_as_it_has_come(tmp_path: Path) -> None:
    whole = write_clip(tmp_path / "whole.mpg", 60, 25, "mpg1").read_bytes()
    path = tmp_path / "growing.mpg"
    path.write_bytes(whole[: len(whole) // 2])
    with closing(open_camera(CameraSettings(source=str(path)), every_frame=True)) as camera:
        first = camera.read(timeout_s=5)
        assert first is not None
        with path.open("ab") as file:
            file.write(whole[len(whole) // 2 :])
        assert number_in([first, *_frames(camera)][-1]) >= 58


def test_a_damaged_stretch_is_not_the_end(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 60)
    data = bytearray(path.read_bytes())
    third = data.index(b"moov") // 3
    data[third : 2 * third] = bytes(third)
    path.write_bytes(data)
    media_s = [frame.media_s for frame in _all(path) if frame.media_s is not None]
    assert len(media_s) < 60
    assert media_s[-1] == pytest.approx(59 / 25)
    assert media_s == sorted(set(media_s))


def test_a_loop_counts_frames_on_and_begins_its_time_anew(tmp_path: Path) -> None:
    for source in (write_clip(tmp_path / "clip.mp4", 5), write_image(tmp_path / "a.png")):
        settings = CameraSettings(source=str(source), loop=True, image_s=1)
        frames = [frame for frame, _ in zip(_frames(open_camera(settings, every_frame=True)), range(12), strict=False)]
        assert [frame.sequence for frame in frames] == list(range(12))
        times = [frame.media_s for frame in frames]
        length = times.index(0, 1)
        assert times == (times[:length] * 12)[:12]


def test_a_film_takes_its_time_and_an_endless_one_too(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 10, 20)
    began_s = time.monotonic()
    frames = list(_frames(open_camera(CameraSettings(source=str(path)))))
    assert time.monotonic() - began_s >= 0.5
    assert frames[-1].captured_s - frames[0].captured_s == pytest.approx(
        (frames[-1].media_s or 0) - (frames[0].media_s or 0), abs=0.3
    )


def test_images_of_a_folder_come_by_name_each_for_its_time(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number, name in enumerate(("a.bmp", "b.JPG", "c.png", "d.webp", "e.tiff")):
        write_image(tmp_path / name, number)
    (tmp_path / "aa.png").write_text("no image")
    (tmp_path / "labels.csv").write_text("no image, and none by its name")
    settings = CameraSettings(source=str(tmp_path), image_s=0.5, loop=True)
    with caplog.at_level(logging.WARNING):
        frames = [frame for frame, _ in zip(_frames(open_camera(settings, every_frame=True)), range(10), strict=False)]
    assert [number_in(frame) for frame in frames] == [0, 1, 2, 3, 4] * 2
    assert [frame.media_s for frame in frames] == [i * 0.5 for i in range(5)] * 2
    assert {frame.shown_s for frame in frames} == {0.5}
    assert len(caplog.messages) == 1
    assert "aa.png" in caplog.messages[0]


def test_an_image_on_show_is_looked_at_more_than_once(tmp_path: Path) -> None:
    """Or the announcer, which believes no single frame, would say nothing of it."""
    images = [write_image(tmp_path / f"{n}.png", n) for n in range(2)]
    reel = ImageReel(tmp_path, lambda: images, 0.5, once=False)
    assert [reel.advance() for _ in range(5)] == [0, 0.25, 0.5, 0.75, None]


def test_an_image_in_a_loop_is_read_again_only_when_it_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "one.png"
    write_image(path, 1)
    reel = ImageReel(path, lambda: [path], 0.5, once=True)

    def round_() -> Pixels | None:
        reel.rewind()
        reel.advance()
        return reel.picture()

    first = round_()
    assert round_() is first
    write_image(path, 2)
    os.utime(path, ns=(1, 1))  # within the clock's tick
    second = round_()
    assert second is not None
    assert number_in(Frame(second, 0, 0.0)) == 2
    path.unlink()
    with pytest.raises(CameraError):
        round_()


def test_a_file_that_vanishes_while_it_loops_is_an_error(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", 2)
    with closing(open_camera(CameraSettings(source=str(path), loop=True), every_frame=True)) as camera:
        camera.read(timeout_s=1)
        camera.read(timeout_s=1)
        path.unlink()
        with pytest.raises(CameraError, match="gone"):
            camera.read(timeout_s=1)


class _Watch:
    """A clock that only sleeping and working move."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s

    def sleep(self, seconds: float) -> None:
        self.now_s += seconds


class _Reel:
    """Ten pictures in a second, each of which costs `work_s` to skip."""

    interval_s = 0.1
    shown_s = 0.0

    def __init__(self, watch: _Watch, times_s: list[float], work_s: float = 0.0) -> None:
        self.watch, self.times_s, self.work_s, self.index, self.closed = watch, times_s, work_s, -1, False

    def advance(self) -> float | None:
        self.watch.sleep(self.work_s)
        self.index += 1
        return self.times_s[self.index] if self.index < len(self.times_s) else None

    def picture(self) -> Pixels | None:
        return scene(self.index)

    def rewind(self) -> None:
        self.index = -1

    def close(self) -> None:
        self.closed = True


def _player(times_s: list[float], work_s: float = 0.0, loop: bool = False) -> tuple[Player, _Watch]:
    watch = _Watch()
    return Player(_Reel(watch, times_s, work_s), "a reel", loop=loop, clock=watch, sleep=watch.sleep), watch


TENTHS = [i / 10 for i in range(100)]


def test_a_quick_reader_gets_each_picture_when_it_is_due() -> None:
    player, watch = _player(TENTHS)
    for number in range(5):
        frame = player.read(timeout_s=1)
        assert frame is not None
        assert frame.sequence == number
        assert watch.now_s == pytest.approx(100 + number / 10)


def test_a_reader_that_may_not_wait_long_gets_none() -> None:
    player, watch = _player(TENTHS)
    assert player.read(timeout_s=0.04) is not None
    assert player.read(timeout_s=0.04) is None
    assert player.read(timeout_s=0.04) is None
    assert watch.now_s == pytest.approx(100.08)
    assert player.read(timeout_s=0.04) is not None


@pytest.mark.parametrize("away_s", [0.25, 0.33, 1.0])
def test_a_slow_reader_skips_and_never_sees_an_old_picture(away_s: float) -> None:
    player, watch = _player(TENTHS)
    seen = []
    for _ in range(6):
        frame = player.read(timeout_s=1)
        assert frame is not None
        assert frame.media_s is not None
        assert 0 <= watch.now_s - 100 - frame.media_s < 0.1 + 1e-9
        assert frame.captured_s == pytest.approx(100 + frame.media_s)
        seen.append(frame.sequence)
        watch.sleep(away_s)
    assert seen == sorted(set(seen))
    assert seen[-1] > 10


def test_a_decoder_slower_than_the_film_slows_it_down_and_shows_it() -> None:
    player, _ = _player(TENTHS, work_s=0.3)
    frames = [player.read(timeout_s=0.05) for _ in range(10)]
    assert sum(frame is not None for frame in frames) >= 5


def test_the_last_picture_has_its_time_before_the_end_and_the_next_round() -> None:
    player, watch = _player([0.0, 0.1])
    for _ in range(2):
        player.read(timeout_s=1)
    with pytest.raises(EndOfFrames):
        player.read(timeout_s=1)
    assert watch.now_s == pytest.approx(100.2)
    with pytest.raises(EndOfFrames):
        player.read(timeout_s=1)
    player, watch = _player([0.0, 0.1], loop=True)
    frames = [player.read(timeout_s=1) for _ in range(5)]
    assert [frame and frame.media_s for frame in frames] == [0, 0.1, 0, 0.1, 0]
    assert watch.now_s == pytest.approx(100.4)


def test_a_film_of_slides_is_not_skipped_by_a_slow_reader() -> None:
    player, watch = _player([0.0, 2.0, 4.0, 6.0])
    for number in range(4):
        frame = None
        while frame is None:
            frame = player.read(timeout_s=1)
        assert frame.sequence == number
        watch.sleep(0.5 if number == 0 else 1.9)


def test_an_empty_reel_does_not_loop_for_ever() -> None:
    player, _ = _player([], loop=True)
    with pytest.raises(CameraError, match="no more frames"):
        player.read(timeout_s=1)


def test_images_of_all_kinds_become_rgb(tmp_path: Path) -> None:
    grey16 = np.full((4, 6), 0x8080, np.uint16)
    kinds: dict[str, Pixels | NDArray[np.uint16]] = {
        "grey.png": (grey16 >> 8).astype(np.uint8),
        "grey16.png": grey16,
        "grey16.tiff": grey16,
        "alpha.png": np.full((4, 6, 4), 128, np.uint8),
        "colour.bmp": np.full((4, 6, 3), 128, np.uint8),
        "colour.webp": np.full((4, 6, 3), 128, np.uint8),
        "colour.ppm": np.full((4, 6, 3), 128, np.uint8),
    }
    for name, image in kinds.items():
        assert cv2.imwrite(str(tmp_path / name), image)
        pixels = read_image(tmp_path / name)
        assert pixels.dtype == np.uint8
        assert pixels.shape == (4, 6, 3)
        assert np.abs(pixels.astype(int) - 128).max() <= 4
    assert np.array_equal(read_image(write_image(tmp_path / "red.png", 5)), scene(5))


def test_a_photo_taken_sideways_is_shown_upright(tmp_path: Path) -> None:
    path = write_image(tmp_path / "sideways.jpg")
    jpeg = path.read_bytes()
    # an EXIF block with one entry: orientation (0x0112), a short (3), 6: turn it by 90 degrees
    tiff = b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"
    block = b"Exif\0\0" + tiff
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + (len(block) + 2).to_bytes(2, "big") + block + jpeg[2:])
    assert read_image(path).shape == (WIDTH, HEIGHT, 3)


# EXIF's number for how a picture was stored -> the same with OpenCV (Exif 2.32, 4.6.4: orientation)
STORED: dict[int, Callable[[Pixels], Any]] = {
    1: lambda pixels: pixels,
    2: lambda pixels: cv2.flip(pixels, 1),
    3: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_180),
    4: lambda pixels: cv2.flip(pixels, 0),
    5: cv2.transpose,
    6: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_COUNTERCLOCKWISE),
    7: lambda pixels: cv2.rotate(cv2.transpose(pixels), cv2.ROTATE_180),
    8: lambda pixels: cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE),
}


def chunk(name: bytes, content: bytes) -> bytes:
    return name + len(content).to_bytes(4, "little") + content + bytes(len(content) % 2)


@pytest.mark.parametrize("order", ["little", "big"])
@pytest.mark.parametrize("orientation", STORED)
def test_a_webp_taken_sideways_is_shown_upright(orientation: int, order: str, tmp_path: Path) -> None:
    stored = STORED[orientation](scene(5)[..., ::-1])
    _, whole = cv2.imencode(".webp", np.ascontiguousarray(stored), [cv2.IMWRITE_WEBP_QUALITY, 101])
    height, width = stored.shape[:2]

    def short(number: int) -> bytes:
        return number.to_bytes(2, order)  # type: ignore[arg-type]

    start, count = (8, 2) if order == "little" else (0, 0)
    header = b"II*\0" + start.to_bytes(4, "little") if order == "little" else b"MM\0*" + (8).to_bytes(4, "big")
    tags = short(2) + (short(0x0100) + short(3) + bytes(8)) + (short(0x0112) + short(3) + bytes(4) + short(orientation))
    extended = bytes([8, 0, 0, 0]) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    content = chunk(b"VP8X", extended) + whole.tobytes()[12:] + chunk(b"EXIF", header + tags + bytes(count + 4))
    path = tmp_path / "sideways.webp"
    path.write_bytes(chunk(b"RIFF", b"WEBP" + content))
    assert np.array_equal(read_image(path), scene(5))


def test_damaged_notes_of_the_orientation_do_no_harm() -> None:
    rng = random.Random(1)
    good = b"RIFF\0\0\0\0WEBP" + chunk(b"EXIF", b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0")
    assert webp_orientation(good) == 6
    for _ in range(2000):
        changed = bytearray(good)
        for _ in range(rng.randint(1, 4)):
            changed[rng.randrange(12, len(changed))] = rng.randrange(256)
        assert webp_orientation(bytes(changed[: rng.randint(12, len(changed))])) in range(1, 9)


@pytest.mark.parametrize("missing", [1, 2])
def test_a_jpeg_without_its_last_bytes_is_shown(missing: int, tmp_path: Path) -> None:
    path = write_image(tmp_path / "a.jpg", 5)
    whole = read_image(path)
    path.write_bytes(path.read_bytes()[:-missing])
    assert np.array_equal(read_image(path), whole)
    path.write_bytes(path.read_bytes()[: len(path.read_bytes()) * 3 // 4])
    with pytest.raises(CameraError, match="damaged"):
        read_image(path)


@pytest.mark.parametrize("name", ["a.mjpeg", "A.MJPG"])
def test_a_raw_film_of_jpegs_shows_all_its_pictures(name: str, tmp_path: Path) -> None:
    """`rpicam-vid --codec mjpeg` writes one JPEG after the other."""
    path = tmp_path / name
    path.write_bytes(b"".join(cv2.imencode(".jpg", scene(number)[..., ::-1])[1].tobytes() for number in range(30)))
    frames = _all(path)
    assert [number_in(frame) for frame in frames] == list(range(30))
    assert [frame.media_s for frame in frames] == sorted({frame.media_s or 0.0 for frame in frames})


def test_a_folder_is_listed_again_in_each_round(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in (1, 2):
        write_image(tmp_path / f"{number}.png", number)
    (tmp_path / "3.png").write_bytes((tmp_path / "1.png").read_bytes()[:50])  # half written
    settings = CameraSettings(source=str(tmp_path), image_s=0.5, loop=True)
    frames = _frames(open_camera(settings, every_frame=True))
    with caplog.at_level(logging.WARNING):
        assert [number_in(next(frames)) for _ in range(4)] == [1, 2, 1, 2]
        assert len(caplog.messages) == 1
        write_image(tmp_path / "3.png", 3)
        write_image(tmp_path / "4.png", 4)
        (tmp_path / "1.png").unlink()
        assert [number_in(next(frames)) for _ in range(6)] == [2, 3, 4, 2, 3, 4]
        for path in tmp_path.iterdir():
            path.unlink()
        with pytest.raises(CameraError, match="there is no image in this folder"):
            list(frames)
    assert len(caplog.messages) == 1


def test_what_is_no_image_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("no image")
    for name in ("cut.png", "cut.jpg"):
        path = write_image(tmp_path / name)
        path.write_bytes(path.read_bytes()[:100])
    for name, told in {
        "missing.png": "no such file",
        ".": "folder",
        "empty.png": "empty",
        "text.png": "not an image",
        "cut.png": "damaged",
        "cut.jpg": "damaged",
    }.items():
        with pytest.raises(CameraError, match=told) as caught:
            read_image(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_an_image_too_large_for_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "huge.pgm"
    path.write_bytes(b"P5 40000 40000 255\n" + bytes(1000))
    with pytest.raises(CameraError, match="too large"):
        read_image(path)
