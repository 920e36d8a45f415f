"""The link stands apart: whether it is absent, hangs or is killed, the daemon says the same, word for word."""

import re
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from rigs.broker import free_port
from rigs.daemon import daemon, named, read_events
from rigs.link import end, link, log_of, settings
from rigs.processes import wait_until

pytestmark = pytest.mark.integration

FRAMES = 800
# what the clock says, and not the daemon
_PACE = re.compile(r"in \d+\.\d s, \d+\.\d a second")
_CLOCK = ("time", "elapsed_s", "frame_age_ms", "seconds", "pid")
PLAY = ("--every-frame", "--speech", "log", "--frames", str(FRAMES))


def played(folder: Path, *, linked: bool) -> tuple[str, list[dict[str, Any]]]:
    """(what it prints, its events) without the time; with a link that hangs and is killed meanwhile."""
    folder.mkdir()
    arguments = (*PLAY, "--events", str(folder / "events"))
    if not linked:
        with daemon(folder, *arguments) as child:
            printed, _ = child.communicate(timeout=120)
    else:
        config = settings(folder, metrics=free_port())
        with link(folder, config) as beside:  # which knows each frame
            wait_until(lambda: "the link keeps trying" in log_of(folder))
            with daemon(folder, *arguments) as child:
                wait_until(lambda: "is reached" in log_of(folder))
                beside.send_signal(signal.SIGSTOP)
                time.sleep(0.5)
                end(beside)
                printed, _ = child.communicate(timeout=120)
    assert child.returncode == 0
    # `in_view` comes at most once a second
    events = [one for one in read_events(folder / "events") if one["event"] != "in_view"]
    return _PACE.sub("", printed), [{key: one[key] for key in one if key not in _CLOCK} for one in events]


def test_it_says_the_same_without_the_link(tmp_path: Path) -> None:
    alone, its_events = played(tmp_path / "alone", linked=False)
    linked, events = played(tmp_path / "linked", linked=True)
    assert named(events, "announced")
    assert linked == alone
    assert events == its_events
