"""What is read of other machines' /proc and /sys."""

import os
from pathlib import Path

import pytest
from rigs.boards import BOARDS, Board, meminfo, write, write_board, write_group

from edge.host.machine import Machine

HUGE, HUGE_32 = 9223372036854771712, 8796093018112
"""What version 1 shows where there is no limit, with 64 and with 32 bits."""
MIB = 2**20


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_board(tmp_path, Board("", 4000, 3000))


@pytest.mark.parametrize(
    ("board", "kind"),
    [("zero-2", "pizero2"), ("pi3", "pi3"), ("pi4-2", "pi4"), ("pi4-8", "pi4"), ("pi5-16", "pi5")],
)
def test_a_board_is_known_by_its_model(tmp_path: Path, board: str, kind: str) -> None:
    machine = Machine(write_board(tmp_path, BOARDS[board]))
    assert (machine.board, machine.kind, machine.is_raspberry_pi) == (BOARDS[board].model, kind, True)
    assert machine.key.startswith(BOARDS[board].model)
    assert machine.memory_reading().available_mib == BOARDS[board].available_mib


def test_a_compute_module_is_like_its_board(tmp_path: Path) -> None:
    assert Machine(write_board(tmp_path, Board("Raspberry Pi Compute Module 4 Rev 1.1", 1, 1))).kind == "pi4"
    assert Machine(write_board(tmp_path, Board("Raspberry Pi Model B Rev 2", 1, 1))).kind == "pi"


@pytest.mark.parametrize(("model", "kind"), [("Raspberry Pi 400 Rev 1.0", "pi4"), ("Raspberry Pi 500 Rev 1.0", "pi5")])
def test_a_keyboard_is_like_the_board_in_it(tmp_path: Path, model: str, kind: str) -> None:
    assert Machine(write_board(tmp_path, Board(model, 1, 1))).kind == kind


def test_elsewhere_the_processor_is_the_key(root: Path) -> None:
    write(root / "proc" / "cpuinfo", "processor\t: 0\nmodel name\t: Some CPU @ 2GHz\n")
    assert (Machine(root).board, Machine(root).is_raspberry_pi) == ("", False)
    assert Machine(root).key.startswith("Some CPU @ 2GHz, ")


def test_this_machine_says_something() -> None:
    reading = Machine().memory_reading()
    assert reading.available_mib is not None
    assert reading.total_mib is not None
    assert 0 < reading.available_mib < reading.total_mib


@pytest.mark.parametrize("huge", [HUGE, HUGE_32])
def test_without_limits_there_is_none(root: Path, huge: int) -> None:
    write_group(root, 2, "/user.slice", max="max", high="max", current=MIB, stat="inactive_file 0")
    write_group(root, 1, "/user.slice", limit_in_bytes=huge, usage_in_bytes=MIB, stat="total_inactive_file 0")
    assert Machine(root).cgroup_limit() is None
    assert Machine(root).memory_reading().cgroup_headroom_mib is None


@pytest.mark.parametrize("mounted_root", ["/", "/system.slice/edge.service"])
def test_the_limit_of_version_2(root: Path, mounted_root: str) -> None:
    """Also in a container, where our group is the root of what is mounted."""
    group = write_group(
        root, 2, "/system.slice/edge.service", mounted_root,
        max=400 * MIB, high=350 * MIB, current=300 * MIB, stat=f"anon 1\ninactive_file {40 * MIB}\nfile 2",
    )  # fmt: skip
    limit = Machine(root).cgroup_limit()
    assert limit is not None
    assert (limit[0], limit[1]) == (350, str(group / "memory.high"))
    reading = Machine(root).memory_reading()
    assert (reading.cgroup_headroom_mib, reading.cgroup_limit_mib) == (90, 350)


def test_the_limit_of_version_1(root: Path) -> None:
    group = write_group(
        root, 1, "/edge", limit_in_bytes=300 * MIB, usage_in_bytes=290 * MIB, stat=f"total_inactive_file {100 * MIB}"
    )
    assert Machine(root).cgroup_limit() == (300, str(group / "memory.limit_in_bytes"))
    assert Machine(root).memory_reading().cgroup_headroom_mib == 110


def test_an_ancestor_bounds_too(root: Path) -> None:
    group = write_group(root, 2, "/a/b/c", max="max", current=10 * MIB, stat="inactive_file 0")
    write(group.parent / "memory.max", f"{200 * MIB}\n")
    write(group.parent / "memory.current", f"{190 * MIB}\n")
    limit = Machine(root).cgroup_limit()
    assert limit is not None
    assert limit[0] == 200
    assert Machine(root).memory_reading().cgroup_headroom_mib == 10


def test_a_group_outside_of_what_is_mounted_is_the_mounts_root(root: Path) -> None:
    write(root / "proc" / "self" / "cgroup", "4:memory:/docker/abc\n")
    write(
        root / "proc" / "self" / "mountinfo", "30 24 0:26 /other /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    )
    write(root / "sys/fs/cgroup/memory/memory.limit_in_bytes", f"{100 * MIB}\n")
    limit = Machine(root).cgroup_limit()
    assert limit is not None
    assert limit[0] == 100


def test_pressure_of_the_group_goes_before_the_machines(root: Path) -> None:
    assert Machine(root).memory_reading().pressure is None
    write(root / "proc" / "pressure" / "memory", "some avg10=1.50 avg60=0.00 total=1\nfull avg10=0.00\n")
    assert Machine(root).memory_reading().pressure == 1.5
    write_group(root, 2, "/edge", pressure="some avg10=33.00 avg60=0.00 total=1\nfull avg10=9.00")
    assert Machine(root).memory_reading().pressure == 33.0


@pytest.mark.parametrize("garbage", ["", "nonsense", "MemAvailable: many kB\n", "\0\0\0", "some avg10=x"])
def test_garbage_is_no_answer(tmp_path: Path, garbage: str) -> None:
    for name in ("meminfo", "self/cgroup", "self/mountinfo", "pressure/memory", "device-tree/model", "cpuinfo"):
        write(tmp_path / "proc" / name, garbage)
    machine = Machine(tmp_path)
    reading = machine.memory_reading()
    assert (reading.available_mib, reading.cgroup_headroom_mib, reading.pressure) == (None, None, None)
    assert machine.cgroup_limit() is None
    assert machine.kind
    assert machine.key


@pytest.mark.parametrize("text", ["\u00b2", "9" * 5000, "-5", "1e9", ""])
def test_a_number_that_is_none_is_no_limit(root: Path, text: str) -> None:
    write_group(root, 2, "/edge", max=text, current=text, stat=f"inactive_file {text}", pressure=f"some avg10={text}x")
    write(root / "proc" / "meminfo", f"MemTotal: {text} kB\nMemAvailable: {text} kB\n")
    assert Machine(root).cgroup_limit() is None
    assert Machine(root).memory_reading().total_mib is None


@pytest.mark.parametrize("mount", ["sys/fs", "/g\0", "/../..", "/nowhere"])
@pytest.mark.parametrize("path", ["/a\0b", "a/b", "/../other", ""])
def test_a_control_group_that_is_nowhere_has_no_limit(root: Path, mount: str, path: str) -> None:
    write(root / "proc" / "self" / "cgroup", f"0::{path}\n:\n4:memory\n")
    write(root / "proc" / "self" / "mountinfo", f"30 24 0:26 / {mount} rw - cgroup2 cgroup2 rw\n1 2 3 - cgroup2\n")
    assert Machine(root).cgroup_limit() is None
    assert Machine(root).memory_reading().available_mib == 3000


def test_a_limit_that_changes_is_seen(root: Path) -> None:
    """And so is another group, with the same Machine: systemd may set the one and move us to the other."""
    group = write_group(root, 2, "/edge", max="max", current=100 * MIB, stat="inactive_file 0")
    machine = Machine(root)
    assert machine.memory_reading().cgroup_headroom_mib is None
    write(group / "memory.max", f"{150 * MIB}\n")
    assert machine.memory_reading().cgroup_headroom_mib == 50
    write(root / "proc" / "self" / "cgroup", "0::/other\n")
    write(group.parent / "other" / "memory.max", f"{80 * MIB}\n")
    assert machine.cgroup_limit() == (80, str(group.parent / "other" / "memory.max"))


def test_a_machine_without_proc_says_nothing(tmp_path: Path) -> None:
    assert Machine(tmp_path).memory_reading().total_mib is None
    write(tmp_path / "proc" / "meminfo", meminfo(10, 5))
    assert Machine(tmp_path).memory_reading().total_mib == 10


@pytest.mark.parametrize(("text", "degrees"), [("48312\n", 48.312), ("hot\n", None), ("", None)])
def test_the_temperature(tmp_path: Path, text: str, degrees: float | None) -> None:
    assert Machine(tmp_path).temperature_c() is None
    write(tmp_path / "sys" / "class" / "thermal" / "thermal_zone0" / "temp", text)
    assert Machine(tmp_path).temperature_c() == degrees


@pytest.mark.parametrize("node", ["soc/soc:firmware", "soc@107c000000/soc@107c000000:firmware"])
def test_the_firmware_slows_it_down(tmp_path: Path, node: str) -> None:
    machine = Machine(tmp_path)
    for flags, throttled in (("0", False), ("4", True), ("50000", False), ("8", True), ("1", False), ("what", False)):
        write(tmp_path / "sys" / "devices" / "platform" / node / "get_throttled", f"{flags}\n")
        assert machine.is_throttled() == throttled


def test_a_board_whose_kernel_does_not_say_is_asked_by_its_own_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "bin" / "vcgencmd"
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    machine = Machine(tmp_path)
    for flags, throttled in (("0x0", False), ("0x50004", True), ("0x50000", False)):
        write(program, f"#!/bin/sh\n[ $1 = get_throttled ] && echo throttled={flags}\n")
        program.chmod(0o755)
        assert machine.is_throttled() == throttled
    write(program, f"#!/bin/sh\necho asked >> {tmp_path}/asked; exit 1\n")
    assert [machine.is_throttled() for _ in range(3)] == [False] * 3
    assert (tmp_path / "asked").read_text() == "asked\n"
