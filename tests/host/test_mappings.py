"""What is mapped, and what of it is given back: in a process of its own, since it drops what this one uses, too."""

import subprocess
import sys
from pathlib import Path

GIVE_BACK = """
import ctypes, mmap, sys
from edge.host.memory import give_back_start, mappings

MIB = 2**20
file = open(sys.argv[1], "rb")
clean = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
shared = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
# as the dynamic linker does with addresses: written, then read-only
written = mmap.mmap(file.fileno(), 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE)
written[5 * 4096] = 7
place = ctypes.addressof(ctypes.c_char.from_buffer(written))
assert ctypes.CDLL(None).mprotect(ctypes.c_void_p(place), ctypes.c_size_t(len(written)), mmap.PROT_READ) == 0
sums = [sum(one[::4096]) for one in (clean, shared, written)]


def resident():
    found = {}
    for one in mappings():
        if one.file == sys.argv[1]:
            found[one.permissions, one.start == place] = one.pss_kib, one.anonymous_kib
    return found


before = resident()
give_back_start()
after = resident()
for kind in before:
    print(kind, before[kind], after[kind])
assert sums == [sum(one[::4096]) for one in (clean, shared, written)]
assert all(before[kind][0] > 300 for kind in before), before  # 1 MiB that three mappings share
assert before["r--p", True][1] > 0
for kind in before:
    assert after[kind][0] == 0 or kind == ("r--p", True), after
"""


def test_only_what_can_be_read_again_is_given_back(tmp_path: Path) -> None:
    file = tmp_path / "library"
    file.write_bytes(bytes(range(256)) * 4096)
    run = [sys.executable, "-c", GIVE_BACK, str(file)]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(done.stdout.splitlines()) == 3
