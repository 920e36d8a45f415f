"""A busy camera is named with who has it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from rigs.processes import wait_until

from edge.cameras.busy import csi_user, usb_user

HOLD = """
import fcntl, sys
file = open(sys.argv[1], "r+")
fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def node(tmp_path: Path) -> Path:
    (tmp_path / "dev").mkdir()
    node = tmp_path / "dev" / "media3"
    node.write_text("")
    return node


def test_who_has_a_usb_camera_open(node: Path) -> None:
    assert usb_user(node) == ""
    with (
        node.open(),
        subprocess.Popen(  # what this process itself has open does not count
            [sys.executable, "-c", HOLD, str(node)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as holder,
    ):
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        name = Path(f"/proc/{holder.pid}/comm").read_text().strip()
        assert usb_user(node) == f"it is used by {name} (process {holder.pid}); stop that first"
        assert holder.stdin
        holder.stdin.close()
    wait_until(lambda: usb_user(node) == "")


def test_who_has_locked_a_csi_camera(node: Path, tmp_path: Path) -> None:
    process = tmp_path / "proc" / "4711"
    process.mkdir(parents=True)
    (process / "comm").write_text("rpicam-hello\n")
    told = node.stat()
    device = f"{os.major(told.st_dev):02x}:{os.minor(told.st_dev):02x}"
    (process.parent / "locks").write_text(
        "1: FLOCK  ADVISORY  WRITE 99 00:05:77 0 EOF\n"
        f"2: POSIX  ADVISORY  WRITE 4711 {device}:{told.st_ino} 0 EOF\n"
        "2: -> POSIX  ADVISORY  WRITE 4712 00:05:1 0 EOF\n"
        f"3: POSIX  ADVISORY  WRITE 4713 ff:7f:{told.st_ino} 0 EOF\n"  # of another file system
    )
    assert csi_user(tmp_path) == "it is used by rpicam-hello (process 4711); stop that first"
    node.unlink()
    assert csi_user(tmp_path) == ""


def test_the_kernel_writes_locks_as_we_read_them(node: Path, tmp_path: Path) -> None:
    if not Path("/proc/locks").exists():
        pytest.skip("this kernel has no /proc/locks")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(node)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        (tmp_path / "proc").symlink_to("/proc")
        found = csi_user(tmp_path)
        assert holder.stdin
        holder.stdin.close()
    if not found:
        pytest.skip("this kernel does not list the locks")
    assert f"process {holder.pid}" in found
