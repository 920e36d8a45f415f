"""Tight memory, lived through minute by minute."""

import itertools
import math

import pytest

from edge.daemon.health import HeatWatch, MemoryWatch
from edge.host.machine import MemoryReading

ROOMY = MemoryReading(900.0, 1900.0)
MILD = MemoryReading(80.0, 1900.0)  # below 5 %
DEEP = MemoryReading(30.0, 1900.0)
GROWTH_MIB = 200.0


class Day:
    """A watch and the second it is."""

    def __init__(self, calm_s: float = 600.0) -> None:
        self.watch = MemoryWatch(calm_s)
        self.now_s = 0.0

    def live(
        self, seconds: int, reading: MemoryReading, growth_mib: float | None = GROWTH_MIB
    ) -> list[tuple[int, str]]:
        """What it said, and after how many seconds."""
        said = []
        for second in range(seconds):
            self.now_s += 1.0
            if word := self.watch.update(reading, self.now_s, growth_mib):
                said.append((second, word))
        return said

    def wait_for_up(self) -> int:
        """Live calmly until it wants to go up again; how many seconds that took."""
        for second in range(1, 100_000):
            if self.live(1, ROOMY):
                return second
        raise AssertionError("it never went up")


def test_nothing_happens_while_there_is_room() -> None:
    assert Day().live(86400, ROOMY, growth_mib=None) == []


def test_one_bad_second_is_no_reason() -> None:
    day = Day()
    for _ in range(100):
        assert day.live(2, MILD, None) + day.live(30, ROOMY, None) == []


def test_what_lasts_is() -> None:
    assert Day().live(5, MILD, None) == [(2, "down")]


def test_a_deep_low_is_at_once() -> None:
    assert Day().live(1, DEEP, None) == [(0, "down")]


def test_a_change_is_given_time_to_show() -> None:
    day = Day()
    assert day.live(1, DEEP) == [(0, "down")]
    assert day.live(10, DEEP) == []
    assert day.live(2, DEEP) == [(0, "down")]


def test_the_time_that_a_change_takes_does_not_count() -> None:
    """Nobody looks meanwhile, so what is seen then has had no time to show."""
    day = Day()
    assert day.live(1, DEEP) == [(0, "down")]
    day.now_s += 30.0
    assert day.live(10, DEEP) == []
    assert day.live(1, DEEP) == [(0, "down")]


def test_up_again_only_after_a_long_calm() -> None:
    day = Day()
    day.live(1, DEEP)
    assert day.live(599, ROOMY) == []
    assert day.live(3, ROOMY) == [(1, "up")]
    assert day.live(86400, ROOMY, growth_mib=None) == []


def test_any_tightness_starts_the_calm_anew() -> None:
    day = Day()
    day.live(1, DEEP)
    day.live(590, ROOMY)
    assert day.live(1, MILD) == []
    assert day.live(599, ROOMY) == []
    assert day.live(3, ROOMY) != []


def test_up_only_where_there_is_room_for_it() -> None:
    day = Day()
    day.live(1, DEEP)
    # twice the floor of 95 MiB must be left beside the larger network
    assert day.live(7200, MemoryReading(380.0, 1900.0)) == []
    assert day.live(10, MemoryReading(400.0, 1900.0)) == [(0, "up")]


def test_what_was_too_soon_takes_longer_each_time() -> None:
    day = Day()
    day.live(1, DEEP)
    waits = []
    for _ in range(8):
        waits.append(day.wait_for_up())
        day.live(60, ROOMY)
        assert day.live(20, MILD)[0][1] == "down"
    assert waits[:4] == [601, 1201, 2401, 4801]
    assert waits[-1] == 6 * 3600 + 1
    # after one that held, it is as patient as at first
    day.wait_for_up()
    day.live(7 * 3600, ROOMY, None)
    day.live(1, DEEP)
    assert day.wait_for_up() == 601


def test_the_floor_is_bounded() -> None:
    """5 % of a large machine would be gigabytes, of a small one next to nothing."""
    assert Day().live(10, MemoryReading(250.0, 24_000.0), None) == []
    assert Day().live(10, MemoryReading(150.0, 24_000.0), None) != []
    assert Day().live(10, MemoryReading(60.0, 416.0), None) == []
    assert Day().live(10, MemoryReading(40.0, 416.0), None) != []


def test_the_limit_of_a_group_counts_like_the_machines_memory() -> None:
    roomy = MemoryReading(900.0, 1900.0, cgroup_headroom_mib=60.0, cgroup_limit_mib=400.0)
    tight = MemoryReading(900.0, 1900.0, cgroup_headroom_mib=15.0, cgroup_limit_mib=400.0)
    assert Day().live(10, roomy, None) == []
    assert Day().live(10, tight, None) == [(2, "down")]


def test_waiting_for_memory_is_tight_too() -> None:
    assert Day().live(10, MemoryReading(900.0, 1900.0, pressure=5.0), None) == []
    assert Day().live(10, MemoryReading(900.0, 1900.0, pressure=40.0), None) == [(2, "down")]


def test_what_is_too_much_after_going_up_goes_down_at_once() -> None:
    """Nothing more is given back then, unlike after a step down."""
    day = Day()
    day.live(1, DEEP)
    day.wait_for_up()
    assert day.live(1, DEEP) == [(0, "down")]
    day.wait_for_up()
    assert day.live(5, MILD) == [(2, "down")]


@pytest.mark.parametrize("thrash", [40.0, 100.0])
def test_pressure_that_only_fades_is_one_step_down(thrash: float) -> None:
    """Every two seconds the kernel takes e^(-2/10) of it away; there is memory again from the first second on."""
    day = Day()
    said = day.live(1, MemoryReading(30.0, 1900.0, pressure=thrash), None)
    for second in range(120):
        pressure = thrash * math.exp(-second / 10)
        said += day.live(1, MemoryReading(900.0, 1900.0, pressure=pressure), None)
    assert said == [(0, "down")]


def test_pressure_that_lasts_is_another() -> None:
    day = Day()
    said = day.live(60, MemoryReading(900.0, 1900.0, pressure=40.0), None)
    assert [word for _, word in said] == ["down", "down", "down"]
    assert [later - earlier for (earlier, _), (later, _) in itertools.pairwise(said)] == [23, 23]


def test_an_evening_of_cooking() -> None:
    """Something large runs now and then: each time one step down, and up when it is over for as long as ever."""
    day = Day()
    for _ in range(6):
        assert day.live(12, MILD) == [(2, "down")]
        assert day.wait_for_up() == 601
        assert day.live(3000, ROOMY, None) == []


def test_a_machine_that_says_nothing_is_left_alone() -> None:
    assert Day().live(100, MemoryReading(None, None), None) == []


def test_hot_is_hot_until_it_is_clearly_cooler() -> None:
    watch = HeatWatch()
    readings = (60.0, 77.9, 78.0, 75.0, 72.0, 71.9, 77.0)
    assert [watch.update(reading) for reading in readings] == [False, False, True, True, True, False, False]


def test_without_a_thermometer_the_firmware_says_when() -> None:
    watch = HeatWatch()
    assert [watch.update(None, throttled=flag) for flag in (False, True, True, False, False)] == [
        False,
        True,
        True,
        True,
        False,
    ]
