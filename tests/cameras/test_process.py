"""A camera in a child, with a driver that does whatever goes wrong: the frames come back, and nothing is left."""

import fcntl
import importlib.util
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from rigs.camera import closed_at_the_end, next_frame
from rigs.faulty_camera import FAULTS, RATE_HZ, picture
from rigs.processes import command, grown, left_in_shared_memory, shared_memory, wait_until, workers

from edge.cameras.child import Host, Slot
from edge.cameras.pausable import PausableCamera
from edge.cameras.process import HEARTBEAT_S, SLOTS, ProcessCamera, patience_s
from edge.errors import CameraError
from edge.settings import CameraSettings

pytestmark = pytest.mark.integration
DRIVER = "rigs.faulty_camera:open_faulty"
PERIOD_S = 1 / RATE_HZ


class Rig:
    """A camera that does what is written into a file, and what it told."""

    def __init__(self, orders: Path) -> None:
        self.orders = orders
        self.order("good")
        self.lost: list[str] = []
        self.back: list[str] = []

    def order(self, word: str) -> None:
        """From now on."""
        new = self.orders.with_suffix(".new")
        new.write_text(word)
        new.replace(self.orders)

    def open(self, **settings: float) -> ProcessCamera:
        return ProcessCamera(
            CameraSettings(source=str(self.orders), **settings),  # type: ignore[arg-type]
            self.lost.append,
            self.back.append,
            DRIVER,
        )


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    return Rig(tmp_path / "orders")


@pytest.fixture
def camera(rig: Rig) -> Iterator[ProcessCamera]:
    with closed_at_the_end(rig.open(width=64, height=48)) as camera:
        yield camera


def read_for_ever(camera: ProcessCamera) -> None:
    while True:
        camera.read(0.25)


def belongings() -> tuple[int, int, int]:
    """File descriptors, threads, children."""
    return (
        len(list(Path("/proc/self/fd").iterdir())),
        threading.active_count(),
        len(workers(os.getpid())),
    )


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def use_all_slots(camera: ProcessCamera) -> None:
    """Read so many frames that each part of the shared memory is mapped: a mapping has a descriptor too."""
    for _ in range(2 * SLOTS):
        next_frame(camera)


def test_it_comes_back_from_every_fault(rig: Rig, camera: ProcessCamera, long: bool) -> None:
    dice = random.Random(200)
    faults = (
        [dice.choice(FAULTS) for _ in range(200)] if long else ["hang", "crash", "bug", "timeout", "garbage", "leak"]
    )
    use_all_slots(camera)
    before, before_mib = belongings(), resident_mib()
    last = -1
    for count, fault in enumerate(faults, 1):
        rig.order(fault)
        wait_until(lambda: len(rig.lost) == count or (camera.read(0.25) and None))  # noqa: B023
        for _ in range(dice.randrange(8)):
            camera.read(0.25)
        rig.order("good")
        frame = next_frame(camera)
        assert frame.sequence > last, "the sequence goes on"
        last = frame.sequence
        assert len(rig.lost) == len(rig.back) == count, (fault, rig.lost[-3:])
    use_all_slots(camera)
    wait_until(lambda: not grown(before, belongings()))
    assert resident_mib() < before_mib + 4


def test_one_that_hangs_when_it_is_opened_again_is_not_waited_for_as_at_the_start(rig: Rig) -> None:
    """The fault ends while another child hangs in opening; that may take half a minute at the start."""
    camera = rig.open(open_timeout_s=30)
    try:
        next_frame(camera)
        rig.order("hang")
        wait_until(lambda: camera.read(0.25) or rig.lost)
        wait_until(lambda: camera.read(0.25) or rig.orders.with_suffix(".hangs").exists())
        rig.order("good")
        next_frame(camera)
        assert len(rig.lost) == len(rig.back) == 1
    finally:
        camera.close()


@pytest.mark.parametrize(
    ("took_s", "tries", "expected"),
    [
        (None, 1, 31.0),  # never opened: the driver's own deadline comes first
        (None, 3, 31.0),
        (0.6, 1, HEARTBEAT_S),
        (0.6, 3, HEARTBEAT_S),
        (0.6, 4, 31.0),  # it may need more than it did
        (0.6, 5, HEARTBEAT_S),
        (2.0, 1, 8.0),
        (20.0, 1, 31.0),
    ],
)
def test_how_long_opening_may_take(took_s: float | None, tries: int, expected: float) -> None:
    assert patience_s(30.0, took_s, tries) == expected


def test_a_camera_that_was_never_there_is_an_error(rig: Rig) -> None:
    before = belongings()
    rig.order("leak")
    with pytest.raises(CameraError, match=r"^the faulty camera: opened in vain$"):
        rig.open()
    wait_until(lambda: not grown(before, belongings()))


def test_no_password_is_told_before_the_camera_has_said_its_own_name() -> None:
    settings = CameraSettings(source="rtsp://me:secret@127.0.0.1:9/x", wait=True)
    camera = ProcessCamera(settings, lambda _why: None, lambda _name: None, DRIVER, paused=True)
    try:
        assert camera.description == "camera rtsp://***@127.0.0.1:9/x"
    finally:
        camera.close()


def test_what_a_driver_lacks_is_said_in_one_line(capfd: pytest.CaptureFixture[str]) -> None:
    if importlib.util.find_spec("picamera2"):
        pytest.skip("picamera2 is installed")
    with pytest.raises(CameraError, match=r"^camera csi: picamera2 cannot be imported"):
        ProcessCamera(CameraSettings(source="csi"))
    wait_until(lambda: workers(os.getpid()) == [])
    assert capfd.readouterr().err == ""


def test_one_that_hangs_while_it_is_opened_is_an_error_in_time(rig: Rig) -> None:
    rig.order("hang")
    with pytest.raises(CameraError, match="did not answer in time"):
        rig.open(open_timeout_s=0.5)


def test_frames_are_whole_and_the_newest_and_do_not_change_while_they_are_looked_at(
    rig: Rig, camera: ProcessCamera, long: bool
) -> None:
    size = (48, 64, 3)
    last = -1
    for count in range(600 if long else 60):
        asked_s = time.monotonic()
        frame = next_frame(camera)
        # a camera's frame is up to a period old when it is asked for
        assert frame.captured_s > asked_s - PERIOD_S
        assert frame.sequence > last
        last = frame.sequence
        if count % 20 == 0:
            time.sleep(0.5)  # a slow network
        assert len(np.unique(frame.pixels[..., 0])) == 1
        shown = int(frame.pixels[0, 0, 0]) + 256 * int(frame.pixels[0, 0, 1])
        assert np.array_equal(frame.pixels, picture(shown, size))


def test_what_waited_while_nobody_asked_is_not_shown(rig: Rig, camera: ProcessCamera) -> None:
    next_frame(camera)
    asked_s = time.monotonic()
    assert camera.read(0.0) is None  # asked for, and not waited for
    time.sleep(1.0)  # another network is loaded
    assert next_frame(camera).captured_s > asked_s + 0.5


def test_paused_it_is_closed_and_resumed_it_is_opened(rig: Rig, camera: ProcessCamera) -> None:
    next_frame(camera)
    (child,) = workers(os.getpid())
    camera.pause()
    wait_until(lambda: not command(child))
    for _ in range(3):
        assert camera.read(0.1) is None
    assert workers(os.getpid()) == []
    camera.resume()
    next_frame(camera)
    assert (rig.lost, rig.back) == ([], [])


def test_one_that_is_being_opened_is_waited_for(rig: Rig, camera: ProcessCamera) -> None:
    """It has a deadline of its own, and systemd's watchdog is no second one."""
    pausable = PausableCamera(camera)
    assert not pausable.waits
    pausable.set_shut(True)
    pausable.set_shut(False)
    seen = []
    while (frame := pausable.read(0.01)) is None:
        seen.append(pausable.waits)
    # it has begun with the first read; once it is open the next frame is near
    assert seen[0]
    assert seen == sorted(seen, reverse=True)
    assert frame
    assert not pausable.waits


def test_a_crash_leaves_no_picture_on_the_disk(camera: ProcessCamera) -> None:
    next_frame(camera)
    (child,) = workers(os.getpid())
    assert resource.prlimit(child, resource.RLIMIT_CORE) == (0, 0)


def test_a_picture_that_does_not_move_is_a_lost_camera(rig: Rig, camera: ProcessCamera) -> None:
    next_frame(camera)
    camera.reopen("its picture is frozen")
    assert rig.lost == ["the faulty camera: its picture is frozen"]
    next_frame(camera)
    assert rig.back == ["the faulty camera"]


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_the_picture_is_turned_and_mirrored(rotation: int, mirror: bool) -> None:
    pixels = np.random.default_rng(7).integers(0, 255, (48, 80, 3), np.uint8)
    expected = np.rot90(pixels, -rotation // 90)
    expected = expected[:, ::-1] if mirror else expected
    memory = os.memfd_create("a slot")
    try:
        shape = Slot(memory).write(pixels, rotation, mirror=mirror)
        assert shape == expected.shape
        assert os.pread(memory, pixels.nbytes, 0) == expected.tobytes()
    finally:
        os.close(memory)


def test_a_child_takes_the_memory_of_one_with_larger_frames() -> None:
    """The memory is sealed against shrinking, and a camera may come back with another size."""
    memory = os.memfd_create("a slot", os.MFD_ALLOW_SEALING)
    fcntl.fcntl(memory, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK)
    try:
        for side in (64, 32, 128):
            pixels = np.full((side, side, 3), side, np.uint8)
            assert Slot(memory).write(pixels, 0, mirror=False) == pixels.shape
            assert os.pread(memory, pixels.nbytes, 0) == pixels.tobytes()
    finally:
        os.close(memory)


class ReadySlot(Slot):
    """Into which nobody copies."""

    def write(self, *_arguments: object, **_options: object) -> tuple[int, ...]:
        raise AssertionError("a copy too many")


def test_what_a_driver_puts_into_the_shared_memory_is_not_copied() -> None:
    memories = [os.memfd_create("a slot") for _ in range(2)]
    try:
        host = Host(
            CameraSettings(width=64, height=48), [ReadySlot(fd) for fd in memories], "rigs.faulty_camera:PlacingCamera"
        )
        host.answer({"open": True})
        slots = []
        for _ in range(4):
            told = host.answer({"read": 1.0})
            expected = picture(told["sequence"], told["shape"])
            assert os.pread(memories[told["slot"]], expected.nbytes, 0) == expected.tobytes()
            slots.append(told["slot"])
        assert slots == [0, 1, 0, 1]
    finally:
        for memory in memories:
            os.close(memory)


def test_a_picture_to_be_turned_is_put_elsewhere_first() -> None:
    memory = os.memfd_create("a slot")
    try:
        host = Host(
            CameraSettings(width=64, height=48, rotation=180), [Slot(memory)], "rigs.faulty_camera:PlacingCamera"
        )
        host.answer({"open": True})
        told = host.answer({"read": 1.0})
        expected = picture(told["sequence"], told["shape"])[::-1, ::-1]
        assert os.pread(memory, expected.nbytes, 0) == expected.tobytes()
    finally:
        os.close(memory)


def test_a_turned_picture_arrives(rig: Rig) -> None:
    camera = rig.open(width=64, height=48, rotation=90)
    try:
        pixels = next_frame(camera).pixels
        assert pixels.shape == (64, 48, 3)
        # its left half, the bright one, is above
        assert np.min(pixels[:32, :, 2]) == 220
        assert np.max(pixels[32:, :, 2]) == 40
    finally:
        camera.close()


def test_closed_from_another_thread_while_it_is_read(rig: Rig) -> None:
    before = belongings()
    camera = rig.open()
    rig.order("silence")
    timer = threading.Timer(0.5, camera.close)
    timer.start()
    with pytest.raises(CameraError, match="is closed"):
        read_for_ever(camera)
    timer.join()
    camera.close()
    wait_until(lambda: not grown(before, belongings()))


DAEMON = """
import sys
from edge.cameras.child import Host, Slot
from edge.cameras.process import ProcessCamera
from edge.settings import CameraSettings
camera = ProcessCamera(CameraSettings(source=sys.argv[1]), driver=sys.argv[2])
print("seeing", flush=True)
while True:
    camera.read(0.25)
"""


def test_whoever_is_killed_nothing_is_left(rig: Rig, long: bool) -> None:
    """The daemon, the child, or both, at any moment; also when the child holds Python's lock for ever."""
    before = shared_memory()
    dice = random.Random(9)
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parents[1])])}
    for _ in range(50 if long else 4):
        rig.order("good")
        run = [sys.executable, "-c", DAEMON, str(rig.orders), DRIVER]
        with subprocess.Popen(run, stdout=subprocess.PIPE, env=environment) as daemon:
            assert daemon.stdout
            try:
                if dice.random() < 0.7:
                    daemon.stdout.readline()
                    if dice.random() < 0.5:
                        rig.order("hang")
                time.sleep(dice.uniform(0, 1.5))
                children = workers(daemon.pid)
                for victim in dice.choice([[daemon.pid], children, [*children, daemon.pid]]):
                    with suppress(ProcessLookupError):
                        os.kill(victim, signal.SIGKILL)
                time.sleep(dice.uniform(0, 0.3))
            finally:
                children = workers(daemon.pid)
                daemon.kill()
        wait_until(none_of(children))
        assert left_in_shared_memory(before, {daemon.pid, *children}) == set()


def none_of(children: list[int]) -> Callable[[], bool]:
    return lambda: not any("edge.cameras.child" in command(child) for child in children)
