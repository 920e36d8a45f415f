"""Memory that is no longer used goes back to the kernel."""

import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from edge.engines import memory

HOLES = """
import ctypes, sys
from edge.engines.memory import give_back_free_memory, give_back_large_blocks
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]

def resident():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmRSS")) // 1024

def fill(size, count):
    blocks = [libc.malloc(size) for _ in range(count)]
    for block in blocks:
        ctypes.memset(block, 1, size)
    return blocks

if sys.argv[1] == "large":
    give_back_large_blocks()
# freeing one raises glibc's limit, so that the next ones would come from the heap
libc.free(fill(30 << 20, 1)[0])
size = 1 << 20 if sys.argv[1] == "large" else 4096
blocks = fill(size, (64 << 20) // size)
full = resident()
# holes: the heap cannot just shrink
for block in blocks[:-1]:
    libc.free(block)
last = libc.malloc(100)
if sys.argv[1] == "trim":
    give_back_free_memory()
print(full - resident())
"""


@pytest.mark.parametrize("way", ["large", "trim"])
def test_freed_blocks_do_not_stay_resident(way: str) -> None:
    run = [sys.executable, "-c", HOLES, way]
    done = subprocess.run(run, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) > 50


CODE = """
import sys
from pathlib import Path
from edge.engines.memory import give_back_code
import sqlite3

def resident():
    found = inside = 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if "-" in line.split()[0]:
            inside = line.endswith(sys.argv[1]) and " r-xp " in line
        elif inside and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found

sqlite3.connect(":memory:").execute("select 1 + 1").fetchall()
before = resident()
give_back_code(sys.argv[1])
after = resident()
assert sqlite3.connect(":memory:").execute("select 1 + 1").fetchall() == [(2,)]
give_back_code("libnone.so")
print(before, after)
"""


def test_dropped_code_is_read_again_when_it_runs() -> None:
    code = "import sqlite3; print(next(line.split()[5] for line in open('/proc/self/maps') if 'libsqlite3' in line))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    if found.returncode:
        pytest.skip("this Python has no shared library of SQLite")
    library = Path(found.stdout.strip()).name
    run = [sys.executable, "-c", CODE, library]
    done = subprocess.run(run, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=60, check=True)
    before, after = map(int, done.stdout.split())
    assert after < before


def test_a_thread_that_dies_before_it_begins_is_a_lack_of_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """It happens where memory runs out just then; nobody may wait for it for ever."""
    monkeypatch.setattr(memory, "_START_TIMEOUT_S", 0.1)
    monkeypatch.setattr("_thread.start_new_thread", lambda _work, _arguments: 0)
    with pytest.raises(MemoryError, match="thread"), memory.repeatedly(lambda: None, 0.01):
        pytest.fail("it has begun")


def test_what_is_given_back_repeatedly_ends_with_the_context() -> None:
    given: list[int] = []
    many = threading.Event()

    def give_back() -> None:
        given.append(1)
        if len(given) > 2:
            many.set()

    with memory.repeatedly(give_back, 0.001):
        assert many.wait(30)
    count = len(given)
    time.sleep(0.05)
    assert len(given) == count
