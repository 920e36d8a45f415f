"""Devices that come and go, and their events, through pipes and, where the kernel has it, uinput."""

import os
import random
import struct
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from rigs.keys import (
    EV_KEY,
    EV_SYN,
    F2,
    RECORD,
    SYN_DROPPED,
    UINPUT,
    VOLUME_DOWN,
    VOLUME_UP,
    FifoDevice,
    fifo_device,
    kernel_device,
)
from rigs.presses import Interval, meaning
from rigs.processes import wait_until

from edge.input.actions import Action
from edge.input.device import InputDevice
from edge.input.keymap import read_keymap
from edge.input.keys import Keys
from edge.input.patterns import Pattern
from edge.input.watch import KeyWatch, Pressed
from edge.settings import InputSettings

ONE_BUTTON = {"KEY_F2": "look", "KEY_F2 double": "missed", "KEY_F2 long": "snooze", "KEY_F2 hold": "pause"}
ACTIONS = {
    Pattern.PRESS: Action.LOOK,
    Pattern.DOUBLE: Action.MISSED,
    Pattern.LONG: Action.SNOOZE,
    Pattern.HOLD: Action.PAUSE,
}
"""What a key of ONE_BUTTON asks for."""


class Clock:
    """The time, which passes only when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Watched:
    """A KeyWatch with a clock of its own, and what it has told."""

    def __init__(self, *devices: str, folder: Path = Path("/nowhere"), keys: Mapping[str, str] = ONE_BUTTON) -> None:
        settings = InputSettings(devices=devices, keys=keys)
        self.clock = Clock()
        self.downs: list[int] = []
        self.pressed: list[Pressed] = []
        self.watch = KeyWatch(
            devices,
            read_keymap(settings),
            lambda _device, code: self.downs.append(code),
            self.pressed.append,
            folder=folder,
        )

    def at(self, now_s: float) -> None:
        """Go on to this time of its clock."""
        self.clock.now_s = now_s
        self.watch.step(self.clock, 0.0)

    def pass_(self, seconds: float) -> None:
        self.at(self.clock.now_s + seconds)

    @property
    def patterns(self) -> list[Pattern]:
        return [one.pattern for one in self.pressed]


@pytest.fixture
def button(tmp_path: Path) -> Iterator[FifoDevice]:
    with fifo_device(tmp_path / "button") as device:
        yield device


@pytest.fixture
def watched(button: FifoDevice) -> Iterator[Watched]:
    watched = Watched(str(button.path))
    watched.pass_(0)
    yield watched
    watched.watch.close()


def feed(watched: Watched, device: FifoDevice, contacts: list[Interval], chance: random.Random) -> None:
    """Send the contacts' events with their stamps; they are read at once, or up to some seconds later."""
    edges = [(at_s, value) for closed_s, opened_s in contacts for at_s, value in ((closed_s, 1), (opened_s, 0))]
    for index, (at_s, value) in enumerate(edges):
        device.key(F2, value, at_s)
        if value and chance.random() < 0.3:
            device.key(F2, 2, at_s + 0.0001)
        until_s = edges[index + 1][0] if index + 1 < len(edges) else at_s + 10
        if chance.random() < 0.6:
            watched.at(chance.uniform(at_s + 0.0001, until_s))
    watched.at(edges[-1][0] + 10)


# ---- records through a pipe


def test_random_series_of_events_lead_to_what_the_model_says(button: FifoDevice, watched: Watched, long: bool) -> None:
    """Also when they are read late, as while a model loads and leaves the thread no time."""
    settings = InputSettings()
    for seed in range(1000 if long else 60):
        chance = random.Random(seed)
        at_s = watched.clock.now_s + 1
        contacts: list[Interval] = []
        for _ in range(chance.randrange(1, 9)):
            lasts_s = chance.choice([chance.uniform(0.001, 0.03), chance.uniform(0.05, 1.3), chance.uniform(0.9, 6)])
            contacts.append((at_s, at_s + lasts_s))
            at_s += lasts_s + chance.choice([chance.uniform(0.001, 0.05), chance.uniform(0.05, 1)])
        watched.pressed.clear()
        feed(watched, button, contacts, chance)
        expected = meaning(
            # a record's stamp counts microseconds
            [(round(closed_s, 6), round(opened_s, 6)) for closed_s, opened_s in contacts],
            [*Pattern],
            bounce_s=settings.bounce_s,
            double_s=settings.double_s,
            long_s=settings.long_s,
            hold_s=settings.hold_s,
        )
        assert watched.patterns == expected, (seed, contacts)
        assert [one.action for one in watched.pressed] == [ACTIONS[one.pattern] for one in watched.pressed]


def test_a_tone_is_due_once_for_each_press(button: FifoDevice, watched: Watched) -> None:
    now_s = watched.clock.now_s
    # the contact bounces, then the key repeats, and all of it is read at once
    for offset_s, value in ((0, 1), (0.002, 0), (0.004, 1), (0.5, 2), (0.6, 2), (0.7, 0), (0.702, 1), (0.703, 0)):
        button.key(F2, value, now_s + offset_s)
    for offset_s, value in ((0.8, 1), (0.9, 0)):
        button.key(F2, value, now_s + offset_s)
    watched.pass_(2)
    assert watched.downs == [F2, F2]
    assert watched.patterns == [Pattern.DOUBLE]


def test_keys_do_not_disturb_each_other(tmp_path: Path) -> None:
    with fifo_device(tmp_path / "remote") as remote:
        watched = Watched(str(remote.path), keys={**ONE_BUTTON, "KEY_VOLUMEUP": "louder", "KEY_VOLUMEDOWN": ""})
        watched.pass_(0)
        now_s = watched.clock.now_s
        remote.key(F2, 1, now_s)
        remote.key(VOLUME_UP, 1, now_s + 0.1)
        remote.key(VOLUME_DOWN, 1, now_s + 0.15)
        remote.key(VOLUME_UP, 0, now_s + 0.2)
        remote.key(F2, 0, now_s + 2)
        watched.pass_(3)
        assert [one.action for one in watched.pressed] == [Action.LOUDER, Action.SNOOZE]
        assert watched.downs == [F2, VOLUME_UP]
        watched.watch.close()


def test_a_repeat_without_a_press_is_of_a_key_that_was_down_before(button: FifoDevice, watched: Watched) -> None:
    now_s = watched.clock.now_s
    for offset_s, value in ((0.1, 2), (0.2, 2), (9, 0)):
        button.key(F2, value, now_s + offset_s)
    watched.pass_(12)
    assert (watched.patterns, watched.downs) == ([], [])


def test_after_lost_events_the_keys_are_asked_for(button: FifoDevice, watched: Watched) -> None:
    """A FIFO cannot be asked, and says that no key is down: so the key has been released."""
    now_s = watched.clock.now_s
    button.key(F2, 1, now_s)
    watched.pass_(0.1)
    stamp = divmod(round(1e6 * (now_s + 0.2)), 1_000_000)
    button.write(RECORD.pack(*stamp, EV_SYN, SYN_DROPPED, 0) + RECORD.pack(*stamp, EV_KEY, VOLUME_UP, 1))
    button.write(RECORD.pack(*stamp, EV_SYN, 0, 0))
    watched.pass_(2)
    assert watched.patterns == [Pattern.PRESS]


@pytest.mark.parametrize("offset_s", [-1e6, 1e6])
def test_a_stamp_of_another_clock_is_the_time_of_reading(button: FifoDevice, watched: Watched, offset_s: float) -> None:
    now_s = watched.clock.now_s
    button.key(F2, 1, max(0.0, now_s + offset_s))
    watched.at(now_s + 1)
    button.key(F2, 0, max(0.0, now_s + 0.1 + offset_s))
    watched.at(now_s + 4)
    watched.at(now_s + 5)
    assert watched.patterns == [Pattern.LONG]


def test_garbage_is_no_reason_to_stop(button: FifoDevice, watched: Watched) -> None:
    chance = random.Random(1)
    for _ in range(50):
        button.write(chance.randbytes(RECORD.size * chance.randrange(1, 5)))
        watched.pass_(0.01)
    # half a record ends the device, which is opened again
    button.write(b"x")
    for _ in range(5):
        watched.pass_(20)
    watched.pressed.clear()
    now_s = watched.clock.now_s
    button.key(F2, 1, now_s)
    button.key(F2, 0, now_s + 0.1)
    watched.pass_(2)
    assert watched.patterns == [Pattern.PRESS]


# ---- devices


def test_what_is_no_input_device_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for path, told in (
        (tmp_path / "nothing", "not found"),
        (tmp_path / "file", "no input device"),
        (tmp_path, "no input device"),
        (Path("/dev/null"), "no input device"),
    ):
        watched = Watched(str(path))
        watched.pass_(0)
        assert str(path) in watched.watch.problem
        assert told in watched.watch.problem
        watched.watch.close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_a_device_that_may_not_be_opened_is_told_and_tried_again(tmp_path: Path) -> None:
    with fifo_device(tmp_path / "button") as button:
        button.path.chmod(0)
        watched = Watched(str(button.path))
        watched.pass_(0)
        assert "group input" in watched.watch.problem
        button.path.chmod(0o600)
        watched.pass_(40)
        assert (watched.watch.problem, watched.watch.devices) == ("", ("button",))
        watched.watch.close()


def test_a_device_is_found_when_it_comes_and_missed_when_it_goes(tmp_path: Path) -> None:
    watched = Watched(str(tmp_path / "button"))
    watched.pass_(0)
    assert watched.watch.problem == f"{tmp_path / 'button'}: not found"
    for _ in range(3):
        with fifo_device(tmp_path / "button") as button:
            watched.pass_(1)
            assert (watched.watch.problem, watched.watch.devices) == ("", ("button",))
            now_s = watched.clock.now_s
            button.key(F2, 1, now_s)
            button.key(F2, 0, now_s + 0.1)
            watched.pass_(0.2)
        # the press was complete, though the device is gone before it is certain that it was no double
        watched.pass_(1)
        watched.pass_(1)
        assert watched.watch.devices == ()
        assert "not found" in watched.watch.problem
    assert watched.patterns == [Pattern.PRESS] * 3
    watched.watch.close()


def test_a_device_whose_node_was_removed_is_closed(tmp_path: Path) -> None:
    path = tmp_path / "button"
    watched = Watched(str(path))
    before = count_of_descriptors()
    for _ in range(3):
        with fifo_device(path) as button:
            watched.pass_(1)
            now_s = watched.clock.now_s
            button.key(F2, 1, now_s)
            button.key(F2, 0, now_s + 0.1)
            path.unlink()
            watched.pass_(1)
            assert watched.watch.devices == ()
            # what the test itself has open
            assert count_of_descriptors() == before + 1
    assert watched.patterns == [Pattern.PRESS] * 3
    watched.watch.close()


def test_by_name_it_finds_devices_in_the_folder(tmp_path: Path) -> None:
    """A FIFO's name is that of its file."""
    watched = Watched("EVENT1", folder=tmp_path)
    with fifo_device(tmp_path / "event0"), fifo_device(tmp_path / "event1"), fifo_device(tmp_path / "mouse1"):
        watched.pass_(0)
        assert (watched.watch.devices, watched.watch.problem) == (("event1",), "")
    watched.watch.close()


def count_of_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


class Requests:
    """A receiver that keeps what it is asked."""

    def __init__(self) -> None:
        self.downs_s: list[float] = []
        self.actions: list[Action] = []

    def on_down(self) -> None:
        self.downs_s.append(time.monotonic())

    def on_action(self, action: Action) -> None:
        self.actions.append(action)


def test_pulled_and_put_back_nothing_leaks_and_every_press_counts(tmp_path: Path, long: bool) -> None:
    requests, path = Requests(), tmp_path / "button"
    settings = InputSettings(devices=(str(path),), keys={"KEY_F2": "look"})
    before, threads = count_of_descriptors(), threading.active_count()
    keys = Keys(settings, requests)
    times = 100 if long else 5
    try:
        for count in range(1, times + 1):
            with fifo_device(path) as button:
                wait_until(lambda: keys.status() == {"devices": ["button"], "problem": None})
                # the thread's descriptors, and both ends of the FIFO
                assert count_of_descriptors() == before + 3
                button.press(F2)
                wait_until(lambda count=count: len(requests.actions) == count)  # type: ignore[misc]
            wait_until(lambda: keys.problem != "")
    finally:
        keys.close()
    assert requests.actions == [Action.LOOK] * times
    assert len(requests.downs_s) == times
    assert (count_of_descriptors(), threading.active_count()) == (before, threads)


def test_closed_twice_and_from_another_thread_it_ends(tmp_path: Path) -> None:
    before = count_of_descriptors()
    with fifo_device(tmp_path / "button") as button:
        keys = Keys(InputSettings(devices=(str(button.path),)), Requests())
        wait_until(lambda: keys.status()["devices"] == ["button"])
        closers = [threading.Thread(target=keys.close) for _ in range(4)]
        for closer in closers:
            closer.start()
        for closer in closers:
            closer.join(10)
        keys.close()
    assert count_of_descriptors() == before


# ---- the kernel's own devices

needs_uinput = pytest.mark.skipif(
    not os.access(UINPUT, os.W_OK), reason="this kernel has no /dev/uinput, or only root may use it"
)


@needs_uinput
def test_a_kernel_s_button_is_recognised_by_auto_and_by_name(long: bool) -> None:
    requests = Requests()
    keys = Keys(InputSettings(devices=("auto",)), requests)
    before = count_of_descriptors()
    try:
        for count in range(1, (100 if long else 3) + 1):
            with kernel_device("edge test button", [F2], repeats=True) as button:
                wait_until(lambda: "edge test button" in keys.status()["devices"])
                for value in (1, 0):
                    button.key(F2, value)
                    time.sleep(0.05)
                wait_until(lambda count=count: len(requests.actions) == count)  # type: ignore[misc]
            wait_until(lambda: "edge test button" not in keys.status()["devices"])
            # for a moment it has another device open, to look at its keys
            wait_until(lambda: count_of_descriptors() <= before)
    finally:
        keys.close()
    assert set(requests.actions) == {Action.LOOK}


@needs_uinput
def test_of_a_kernel_s_device_it_knows_name_keys_and_what_is_down() -> None:
    with kernel_device("edge test remote", [VOLUME_UP, VOLUME_DOWN]) as remote:
        path = node_of("edge test remote")
        with_none = InputDevice(path)
        assert with_none.name == "edge test remote"
        assert set(with_none.keys) == {VOLUME_UP, VOLUME_DOWN}
        assert not with_none.down_at_start
        assert not with_none.has_axes
        remote.key(VOLUME_UP, 1)
        (event,) = wait_until(lambda: with_none.read(time.monotonic()))
        assert (event.code, event.value) == (VOLUME_UP, 1)
        assert 0 <= time.monotonic() - event.at_s < 5
        second = InputDevice(path)
        assert set(second.down_at_start) == {VOLUME_UP}
        # too many events for its buffer, and all of them unread: it asks which keys are down
        for _ in range(2000):
            for value in (0, 1):
                remote.key(VOLUME_DOWN, value)
        events = wait_until(lambda: second.read(time.monotonic()))
        down = {VOLUME_UP}
        for event in events:
            (down.add if event.value else down.discard)(event.code)
        assert down == {VOLUME_UP, VOLUME_DOWN}
        # a device that is grabbed tells nobody else
        second.grab()
        with_none.read(time.monotonic())
        remote.key(VOLUME_UP, 0)
        assert wait_until(lambda: second.read(time.monotonic()))
        assert with_none.read(time.monotonic()) == []
        second.close()
        with_none.close()


@needs_uinput
@pytest.mark.parametrize(
    ("name", "codes", "taken"),
    [("edge test keyboard", list(range(1, 120)), False), ("edge test power", [116], False)],
)
def test_auto_leaves_a_kernel_s_keyboard_and_power_button_alone(name: str, codes: list[int], taken: bool) -> None:
    with kernel_device(name, codes):
        node_of(name)
        watched = Watched("auto", folder=Path("/dev/input"))
        watched.pass_(0)
        assert (name in watched.watch.devices) == taken
        watched.watch.close()


def node_of(name: str) -> Path:
    """The node of a device of the kernel with this name."""
    (event,) = wait_until(
        lambda: [
            path.parent.parent.name
            for path in Path("/sys/class/input").glob("event*/device/name")
            if path.read_text().strip() == name and (Path("/dev/input") / path.parent.parent.name).exists()
        ]
    )
    return Path("/dev/input") / event


def test_a_record_is_as_long_as_the_kernel_s() -> None:
    assert RECORD.size == (24 if struct.calcsize("P") == 8 else 16)
