"""The link and a real Mosquitto with TLS and a password: whatever happens to the broker, the state is right again."""

import functools
import itertools
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from rigs.broker import PASSWORD, Broker, Proxy, judging, mosquitto, proxy
from rigs.certificates import Authority
from rigs.daemon import daemon
from rigs.link import NODE, ask, link, log_of, memory_kib, settings
from rigs.processes import wait_until

pytestmark = pytest.mark.integration

STATE, AVAILABILITY = f"edge/{NODE}/state", f"edge/{NODE}/availability"
SLOW_S = 0.1
GROWTH_KIB = 4 * 1024


class Rig:
    """A broker with TLS, a way to it that can be bad, and the certificates that it may show."""

    def __init__(self, broker: Broker, way: Proxy, authority: Authority, folder: Path) -> None:
        self.broker = broker
        self.way = way
        self._folder = folder
        self._good = authority.certificate("good")
        self._expired = authority.certificate("expired", days=-1)
        broker.certificate(self._good)

    @contextmanager
    def killed(self) -> Iterator[None]:
        """It is gone at once, and with it all that was retained."""
        self.broker.kill()
        yield
        self.broker.start()

    @contextmanager
    def restarted(self) -> Iterator[None]:
        """As after an upgrade of its package: it says goodbye."""
        self.broker.stop()
        yield
        self.broker.start()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Somebody has changed the password, and changes it back."""
        self.broker.passwords("another")
        self._again()
        yield
        self.broker.passwords(PASSWORD)
        self._again()

    @contextmanager
    def expired_certificate(self) -> Iterator[None]:
        """Nobody has renewed the broker's certificate, and then somebody does."""
        self.broker.certificate(self._expired)
        self._again()
        yield
        self.broker.certificate(self._good)
        self._again()

    @contextmanager
    def slow(self) -> Iterator[None]:
        """Each piece takes its time on the way, also of the next connection."""
        self.way.delay_s = SLOW_S
        self.way.cut()
        yield

    @contextmanager
    def stalled(self) -> Iterator[None]:
        """The way takes everything and passes nothing on, and then the connections are gone."""
        self.way.stalled = True
        yield
        time.sleep(0.3)
        self.way.cut()
        self.way.stalled = False

    def recover(self) -> None:
        """The way is a good one again."""
        self.way.delay_s = 0.0

    def _again(self) -> None:
        """Start the broker anew, and wait until the link has tried to connect to it."""
        before = self.way.connections
        self.broker.stop()
        self.broker.start()
        wait_until(lambda: self.way.connections > before)


# what one of three repeats has; with --long each comes many times
FAULTS = (Rig.killed, Rig.refusing, Rig.expired_certificate, Rig.restarted, Rig.slow, Rig.stalled)


def test_the_state_is_right_again_after_each_fault(
    tmp_path: Path, long: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    """While the broker is away edge is paused, or resumed: what a new client is told must be of now."""
    authority = Authority(tmp_path)
    with (
        mosquitto(tmp_path / "broker", authority) as broker,
        proxy(broker.port) as way,
        daemon(tmp_path, "--speech", "log"),
        link(tmp_path, settings(tmp_path, broker, port=way.port)) as child,
    ):
        rig = Rig(broker, way, authority, tmp_path)
        wait_until(lambda: is_right(broker, paused=False))
        took_s, before = [], 0
        for number, fault in zip(range(100 if long else 3), itertools.cycle(FAULTS), strict=False):
            paused = number % 2 == 0
            with fault(rig):
                ask(tmp_path, {"command": "pause" if paused else "resume"})
            begun_s = time.monotonic()
            wait_until(functools.partial(is_right, broker, paused=paused))
            took_s.append((time.monotonic() - begun_s, fault.__name__))
            rig.recover()
            if number == 2:
                before = memory_kib(child.pid)
        grown = memory_kib(child.pid) - before
        assert child.poll() is None, log_of(tmp_path)
    with capsys.disabled():
        slowest_s, name = max(took_s)
        print(
            f"\n{len(took_s)} faults of a broker: right again after {slowest_s:.1f} s at most ({name}), "
            f"{len([s for s, _ in took_s if s > 10])} times after more than 10 s; memory {grown:+} KiB since the third"
        )
    assert grown < GROWTH_KIB
    assert "Traceback" not in log_of(tmp_path)


def is_right(broker: Broker, *, paused: bool) -> bool:
    """Whether a client that connects now is told that edge is there, and whether it looks."""
    with judging(broker, "edge/#") as judge:
        for _ in range(30):
            if judge.last.get(AVAILABILITY) == b"online" and STATE in judge.last:
                state: dict[str, Any] = json.loads(judge.last[STATE])
                if state["looking"] is not paused and state["camera"] is not None:
                    return True
            time.sleep(0.02)
    return False
