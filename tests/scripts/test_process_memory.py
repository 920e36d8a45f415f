"""How much memory processes take: counted on children that take a known amount."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from process_memory import PeakSampler
from rigs.processes import wait_until

from edge.host.memory import peak_rss_mib, pss_mib, rss_mib, tree
from edge.host.processes import stat_fields

ROOT = Path(__file__).resolve().parents[2]
PEAK = ROOT / "scripts" / "peak.py"
MIB = 2**20

# takes argv[1] MiB, starts itself with the further numbers, says so, and waits to be told to end
TAKER = """
import subprocess, sys
block = bytearray(b"x" * (int(sys.argv[1]) << 20))
child = None
if len(sys.argv) > 2:
    child = subprocess.Popen([sys.executable, "-c", sys.orig_argv[2], *sys.argv[2:]], stdin=0, stdout=subprocess.PIPE)
    child.stdout.readline()
print("ready", flush=True)
sys.stdin.read()
"""
# takes 64 MiB that it shares with as many children as it is told
SHARER = """
import mmap, os, sys
shared = mmap.mmap(-1, 64 << 20)
shared.write(b"x" * (64 << 20))
for _ in range(int(sys.argv[1])):
    ready, done = os.pipe()
    if not os.fork():
        sum(shared[at] for at in range(0, len(shared), 4096))
        os.write(done, b"x")
        sys.stdin.read()
        os._exit(0)
    os.read(ready, 1)
print("ready", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def start() -> Iterator[Callable[..., int]]:
    """Start one of the above and wait until it has its memory; its pid."""
    children: list[subprocess.Popen[bytes]] = []

    def begin(code: str, *arguments: int) -> int:
        child = subprocess.Popen(
            [sys.executable, "-c", code, *map(str, arguments)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        children.append(child)
        assert child.stdout
        assert child.stdout.readline() == b"ready\n"
        return child.pid

    yield begin
    for child in children:
        with child:  # its input ends, and so does everything it has started
            pass


def total_mib(pid: int) -> float:
    return sum(pss_mib(one) for one in tree(pid))


def test_a_tree_has_all_descendants(start: Callable[..., int]) -> None:
    pid = start(TAKER, 1, 1, 1)
    assert len(tree(pid)) == 3
    assert tree(pid)[0] == pid
    assert set(tree(pid)) < set(tree(os.getpid()))


def test_what_each_takes_adds_up(start: Callable[..., int]) -> None:
    little = total_mib(start(TAKER, 1, 1))
    much = total_mib(start(TAKER, 51, 101))
    assert 140 < much - little < 160


def test_what_is_shared_counts_once(start: Callable[..., int]) -> None:
    """Resident memory would count it in each of them."""
    alone, many = start(SHARER, 0), start(SHARER, 4)
    assert len(tree(many)) == 5
    assert sum(rss_mib(pid) for pid in tree(many)) > 5 * 64
    assert total_mib(alone) > 64
    assert total_mib(many) - total_mib(alone) < 64


def test_a_process_that_is_gone_takes_nothing() -> None:
    child = subprocess.Popen(["true"])
    # dead, but not yet waited for
    wait_until(lambda: stat_fields(child.pid)[0] == "Z")
    assert (pss_mib(child.pid), rss_mib(child.pid)) == (0.0, 0.0)
    assert child.pid not in tree(os.getpid())
    child.wait()
    assert (pss_mib(child.pid), rss_mib(child.pid), peak_rss_mib(child.pid)) == (0.0, 0.0, 0.0)
    assert tree(child.pid) == [child.pid]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_another_users_process_counts_with_what_can_be_read() -> None:
    try:
        Path("/proc/1/smaps_rollup").read_bytes()
    except PermissionError:
        pass
    else:
        pytest.skip("process 1 is this user's own here, as in a container")
    assert pss_mib(1) == rss_mib(1) > 0


def test_the_high_water_mark_stays(start: Callable[..., int]) -> None:
    pid = start(TAKER, 50)
    assert peak_rss_mib(pid) >= rss_mib(pid) > 50
    assert peak_rss_mib() >= rss_mib(os.getpid()) > 0


def test_the_peak_is_kept_when_it_is_over(start: Callable[..., int]) -> None:
    before = total_mib(os.getpid())
    with PeakSampler(os.getpid()) as sampler:
        block = bytearray(b"x" * (80 * MIB))
        seen = sampler.samples
        wait_until(lambda: sampler.samples > seen + 1)
        del block
        seen = sampler.samples
        wait_until(lambda: sampler.samples > seen + 1)
    assert sampler.peak_mib > before + 70
    assert sampler.peak_mib == pytest.approx(sum(share for _, share in sampler.at_peak.values()))
    count = sampler.samples
    time.sleep(3 * sampler.EVERY_S)
    assert sampler.samples == count


def test_what_does_not_count_is_left_out(start: Callable[..., int]) -> None:
    pid = start(TAKER, 60)
    with PeakSampler(os.getpid(), without=[os.getpid()]) as sampler:
        wait_until(lambda: sampler.samples > 1)
    assert os.getpid() not in sampler.at_peak
    assert sampler.at_peak[pid][1] > 50


def peak(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PEAK), *command], capture_output=True, text=True, timeout=60, check=False, cwd=ROOT
    )


def test_the_script_tells_the_peak_of_a_command_and_who_had_it() -> None:
    inner = "import time; block = bytearray(b'x' * (60 << 20)); time.sleep(0.5)"
    outer = f"import subprocess, sys; print('out', flush=True); subprocess.run([sys.executable, '-c', {inner!r}])"
    done = peak(sys.executable, "-c", f"{outer}; sys.exit(7)")
    assert (done.returncode, done.stdout) == (7, "out\n")
    first, *rows = done.stderr.splitlines()
    assert first.startswith("peak ")
    mib = float(first.split()[1])
    assert 60 < mib < 140
    shares = [float(row.split()[0]) for row in rows]
    assert len(shares) == 2
    assert sum(shares) == pytest.approx(mib, abs=1)
    assert max(shares) > 60


def test_the_script_ends_as_the_command_does() -> None:
    assert peak(sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)").returncode == 137
    assert peak("true").returncode == 0
    missing = peak("/nowhere/command")
    assert (missing.returncode, missing.stderr.count("\n")) == (127, 1)
    assert (peak().returncode, peak().stderr.count("\n")) == (2, 1)


def test_ctrl_c_is_for_the_command_and_the_peak_is_told() -> None:
    code = """
import signal, sys
signal.signal(signal.SIGINT, lambda *_: sys.exit(5))
print("ready", flush=True)
signal.pause()
"""
    child = subprocess.Popen(
        [sys.executable, str(PEAK), sys.executable, "-c", code],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True,
    )  # fmt: skip
    with child:
        assert child.stdout
        assert child.stdout.readline() == "ready\n"
        os.killpg(child.pid, signal.SIGINT)
        _, told = child.communicate(timeout=60)
    assert child.returncode == 5
    assert told.startswith("peak ")
