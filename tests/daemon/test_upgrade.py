"""A better network comes while edge looks with what is there: fetched beside it, opened beside it, and handed over."""

import hashlib
import json
import logging
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rigs.boards import BOARDS, meminfo, write, write_board
from rigs.camera import MjpegServer
from rigs.camera import serving as streaming
from rigs.daemon import group_of
from rigs.http import FileServer, serving
from rigs.packages import hide
from rigs.processes import PATIENCE_S, wait_until, workers
from rigs.stores import DEMO, store_of

from edge import service
from edge.announce.notices import BETTER, READY
from edge.cli import main
from edge.config import load
from edge.daemon.upgrade import Upgrade
from edge.engines.backend import Backend
from edge.engines.measure import examine
from edge.errors import NoModelFits
from edge.host.machine import Machine
from edge.models.catalogue import load_catalogue
from edge.models.checkpoint import find_checkpoint
from edge.models.store import Store, installed, verify
from edge.pipeline import Limits
from edge.selection.selector import ModelSelector
from edge.stages import Pixels
from edge.worker import Reply

pytestmark = pytest.mark.integration
CATALOGUE = """
["better"]
title = "the demo, as if it were a better one"
top1 = 0.95
download_mib = 2
estimate.x86_64 = {{ peak_mib = 160, median_ms = 5 }}
[["better".source]]
kind = "checkpoint"
hosts = ["{url}"]
symbol = "demo-symbol.json"
params = "demo-0000.params"
synset = "synset.txt"
sha1 = "{sha1}"
licence = "Apache-2.0"
input = {{ size = 64, mean = [127.5, 127.5, 127.5], std = [127.5, 127.5, 127.5], short_side = 64 }}
"""


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(write_board(tmp_path / "root", BOARDS["pi4-4"]))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "xdg-data" / "edge" / "models"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def server(store: Path) -> Iterator[FileServer]:
    """A host that has the better network, and a catalogue that names it."""
    names = ("demo-symbol.json", "demo-0000.params", "synset.txt")
    files = {name: (DEMO / name).read_bytes() for name in names}
    with serving(files) as server:
        sha1 = hashlib.sha1(files["demo-0000.params"], usedforsecurity=False).hexdigest()
        (store / "catalogue.toml").write_text(CATALOGUE.format(url=server.url, sha1=sha1))
        yield server


@pytest.fixture
def camera() -> Iterator[MjpegServer]:
    """A live camera, before which something moves."""

    def show(number: int) -> Pixels:
        pixels = np.full((96, 160, 3), 40, np.uint8)
        pixels[20:70, 10 + 8 * (number % 10) : 60 + 8 * (number % 10)] = (230, 200, 60)
        return pixels

    rig = MjpegServer(rate_hz=20)
    rig.show = show
    with streaming(rig):
        yield rig


class Until(Limits):
    """Ends a daemon soon after an event, or after a long while."""

    def __init__(self, events: Path, event: str) -> None:
        super().__init__(seconds=PATIENCE_S)
        object.__setattr__(self, "_sought", (events, f'"{event}"'))

    def __getattribute__(self, name: str) -> Any:
        if name == "seconds":
            events, event = super().__getattribute__("_sought")
            _, _, after = events.read_text(encoding="utf-8").partition(event)
            if after.count('"frame"') > 8:
                return 0.0
        return super().__getattribute__(name)


def run(
    machine: Machine, camera: str, events: Path, limits: Limits, *, speech: str = "log", **model: Any
) -> list[dict[str, Any]]:
    """Be the daemon for so long; return what it tells programs."""
    told = {"events": str(events), "events_frames": True}
    model.setdefault("still_s", 0.0)
    speaker = {"driver": speech}
    settings = load(
        environment={}, flags={"camera": {"source": camera}, "speech": speaker, "service": told, "model": model}
    )
    assert service.run(settings, limits, machine=machine, fetch=True) == 0
    assert workers(os.getpid()) == []
    return [json.loads(line) for line in events.read_text(encoding="utf-8").splitlines()]


def named(events: list[dict[str, Any]], name: str) -> list[dict[str, Any]]:
    return [event for event in events if event["event"] == name]


@pytest.mark.usefixtures("server")
def test_it_looks_at_once_and_changes_over(
    tmp_path: Path, machine: Machine, store: Path, camera: MjpegServer, capsys: pytest.CaptureFixture[str]
) -> None:
    store_of(tmp_path / "xdg-data", machine, small=100)
    events = run(machine, camera.url, tmp_path / "events", Until(tmp_path / "events", "model_changed"))
    assert named(events, "ready")[0]["model"] == "small"
    (change,) = named(events, "model_changed")
    assert (change["before"], change["model"]) == ("small", "better")
    # where much else runs, the camera may be lost for a moment, which is told too
    notices = [event["text"] for event in named(events, "notice")]
    assert [text for text in notices if text in (READY, BETTER)] == [READY, BETTER]
    frames = named(events, "frame")
    at_s = change["elapsed_s"]
    assert sum(frame["elapsed_s"] < at_s for frame in frames) > 5
    assert sum(frame["elapsed_s"] > at_s for frame in frames) > 5
    # the camera stayed open
    assert [frame["sequence"] for frame in frames] == sorted(frame["sequence"] for frame in frames)
    told = capsys.readouterr().out.splitlines()
    order = ["Model: small", "I'm ready", "better is more accurate", "better is installed", "Model: better"]
    places = [next(place for place, line in enumerate(told) if line.startswith(start)) for start in order]
    assert places == sorted(places)
    # nothing of it is left, and the next start begins with it
    assert not (store / ".fetch" / "better").exists()
    assert {one.name for one in installed([store])} == {"small", "better"}


@pytest.mark.usefixtures("server")
def test_the_first_network_of_all_gets_a_voice(
    tmp_path: Path,
    machine: Machine,
    camera: MjpegServer,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The demo only prints before a live camera."""
    hide(monkeypatch, tmp_path / "packages")
    events = run(machine, camera.url, tmp_path / "events", Until(tmp_path / "events", "model_changed"), speech="espeak")
    assert named(events, "ready")[0]["model"] == "demo"
    told = capsys.readouterr().out
    before, _, after = told.partition("Model: better")
    assert "so announcements are printed" in before
    # here there is no card, which it hears of only now; or there is one, and it spoke
    assert "no sound card" in after.lower() or any(event["heard"] for event in named(events, "spoken"))


@pytest.mark.parametrize(
    "why", ["the setting", "no flag", "named", "int8", "no Pi", "a folder", "installed", "nothing better"]
)
def test_nothing_is_fetched(tmp_path: Path, store: Path, server: FileServer, camera: MjpegServer, why: str) -> None:
    machine = Machine(write_board(tmp_path / "root", BOARDS["pi4-4"]))
    arguments: dict[str, Any] = {}
    source = camera.url
    store_of(tmp_path / "xdg-data", machine, small=100)
    if why == "the setting":
        arguments["fetch"] = False
    elif why == "named":
        arguments["name"] = "small"
    elif why == "no Pi":
        (tmp_path / "root" / "proc" / "device-tree" / "model").unlink()
    elif why == "a folder":
        source = "demo"
    elif why == "installed":
        store_of(tmp_path / "xdg-data", machine, better=120)
    elif why == "nothing better":
        toml = store / "small" / "model.toml"
        toml.write_text(re.sub(r"top1 = .*", "top1 = 0.99", toml.read_text()))
    events = tmp_path / "events"
    settings = load(
        environment={},
        flags={
            "camera": {"source": source, "loop": True},
            "speech": {"driver": "log"},
            "service": {"events": str(events)},
            "model": arguments,
        },
    )
    if why == "int8":
        model = replace(settings.model, engine="onnx", precision="int8")
        with pytest.raises(NoModelFits):
            service.run(replace(settings, model=model), Limits(seconds=3), machine=machine, fetch=True)
    else:
        assert service.run(settings, Limits(seconds=2), machine=machine, fetch=why != "no flag") == 0
    assert server.asked == []
    assert "model_changed" not in events.read_text()


@pytest.mark.parametrize("fault", ["gone", "wrong", "dead"])
def test_where_it_cannot_be_had_edge_goes_on(
    tmp_path: Path, server: FileServer, camera: MjpegServer, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    machine = Machine(write_board(tmp_path / "root", BOARDS["pi4-4"]))
    store_of(tmp_path / "xdg-data", machine, small=100)
    if fault == "gone":
        server.status = 404
    elif fault == "wrong":
        server.files["demo-0000.params"] = bytes(1000)
    else:
        server.redirect_to = "http://127.0.0.1:9/"
    said = {"gone": "HTTP status 404", "wrong": "its SHA-1 differs", "dead": "Connection refused"}[fault]
    events = run(machine, camera.url, tmp_path / "events", Limits(seconds=8))
    (line,) = [one for one in capsys.readouterr().out.splitlines() if said in one]
    assert line.startswith("better cannot be fetched now")
    assert line.endswith("small keeps running.")
    assert not named(events, "model_changed")
    assert len(named(events, "frame")) > 5


def test_broken_off_it_is_taken_up_again(
    tmp_path: Path, machine: Machine, store: Path, server: FileServer, camera: MjpegServer
) -> None:
    store_of(tmp_path / "xdg-data", machine, small=100)
    server.chunk_s = 0.1  # 10 s for all
    run(machine, camera.url, tmp_path / "events", Limits(seconds=6))
    part = store / ".fetch" / "better" / "demo-0000.params.part"
    assert 0 < part.stat().st_size < len(server.files["demo-0000.params"])
    server.chunk_s, size = 0.0, part.stat().st_size
    events = run(machine, camera.url, tmp_path / "again", Until(tmp_path / "again", "model_changed"))
    assert ("demo-0000.params", f"bytes={size}-") in server.asked
    (change,) = named(events, "model_changed")
    assert (change["model"], change["cause"]) == ("better", "better")


DAEMON = """
import sys
from pathlib import Path
from edge import service
from edge.config import load
from edge.host.machine import Machine
flags = {"camera": {"source": sys.argv[2]}, "speech": {"driver": "log"}, "model": {"still_s": 0.0}}
sys.exit(service.run(load(environment={}, flags=flags), machine=Machine(Path(sys.argv[1])), fetch=True))
"""


@pytest.mark.usefixtures("machine")
@pytest.mark.parametrize("moment", ["is more accurate", "to download", "is loading", "runs instead"])
def test_a_signal_ends_it_at_any_moment(
    tmp_path: Path, store: Path, server: FileServer, camera: MjpegServer, moment: str
) -> None:
    store_of(tmp_path / "xdg-data", Machine(tmp_path / "root"), small=100)
    server.chunk_s = 0.02 if moment == "to download" else 0.0
    session = random.getrandbits(62)
    daemon = subprocess.Popen(
        [sys.executable, "-c", DAEMON, str(tmp_path / "root"), camera.url],
        env={**os.environ, "PYTHONUNBUFFERED": "1", "EDGE_TEST_SESSION": str(session)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert daemon.stdout is not None
    try:
        for line in daemon.stdout:
            if moment in line:
                break
        daemon.send_signal(signal.SIGTERM)
        rest = daemon.stdout.read()
        assert daemon.wait(PATIENCE_S) == 0
    finally:
        daemon.kill()
        daemon.wait()
        daemon.stdout.close()
    assert len([line for line in rest.splitlines() if " frames in " in line]) == 1
    # nor are its children there, or what they have started
    wait_until(lambda: not group_of(session))
    for one in installed([store]):
        assert one.name == "small" or verify(one) == []


def test_a_settings_file_that_is_read_anew_may_end_it(tmp_path: Path, machine: Machine, camera: MjpegServer) -> None:
    """What was begun for another network is given up."""
    settings = load(environment={}, flags={"speech": {"driver": "log"}, "camera": {"source": camera.url}})
    selector = ModelSelector(settings, machine=machine)
    selector.open()
    job = ScriptedJob(None)
    upgrade = Upgrade(selector, "mxnet", lambda _name, _engine: job)
    upgrade.look(0.0)
    assert not job.closed
    upgrade.close()
    upgrade.look(1.0)
    assert (job.closed, upgrade.is_ready) == (True, False)
    selector.close()


# ---- the hand-over, with an installation that is done


class ScriptedJob:
    """Stands in for a child: says its lines, and ends as it is told to."""

    def __init__(self, reply: Reply | None, *lines: tuple[str, str]) -> None:
        self._reply = reply
        self._lines = list(lines)
        self.closed = False

    def poll(self) -> Reply | None:
        return self._reply

    def lines(self) -> Iterator[tuple[str, str]]:
        while self._lines:
            yield self._lines.pop(0)

    def close(self) -> None:
        self.closed = True


class House:
    """A loader that runs the small network, and an upgrade to what `install` puts into the store."""

    def __init__(self, machine: Machine, store: Path, caplog: pytest.LogCaptureFixture, **model: Any) -> None:
        caplog.set_level(logging.INFO, "edge.daemon")
        self._caplog = caplog
        self.store = store
        flags = {"model": model, "speech": {"driver": "log"}, "camera": {"source": "demo"}}
        self.selector = ModelSelector(
            load(environment={}, flags=flags), machine=machine, tell=logging.getLogger("edge.daemon").info
        )
        self.selector.open()
        self.job = ScriptedJob(Reply(value="better"), ("tell", "a line"), ("show", "half of it"))
        self.upgrade = Upgrade(self.selector, "mxnet", self.start)

    @property
    def told(self) -> list[str]:
        """What a person reads of it."""
        return self._caplog.messages

    def start(self, name: str, engine: str) -> ScriptedJob:
        assert (name, engine) == ("better", "mxnet")
        Store(self.store).add(find_checkpoint(str(DEMO)), name, lambda one: examine(one, Backend("mxnet"))[0], "a test")
        self.install()
        return self.job

    def install(self) -> None:
        """What is wrong with it."""

    def turn(self) -> None:
        """Look until it has come to an end."""
        self.upgrade.look(0.0)
        wait_until(self.finished)
        self.upgrade.look(1.0)

    def finished(self) -> bool:
        self.upgrade.look(0.5)
        return not any(thread.name == "loading" for thread in threading.enumerate())


@pytest.fixture
def house(
    tmp_path: Path, machine: Machine, store: Path, server: FileServer, caplog: pytest.LogCaptureFixture
) -> Iterator[House]:
    store_of(tmp_path / "xdg-data", machine, small=100)
    house = House(machine, store, caplog)
    yield house
    house.upgrade.close()
    house.selector.close()


def test_what_is_ready_is_taken(house: House) -> None:
    house.turn()
    assert house.upgrade.is_ready
    assert house.told[1:] == ["a line", "better is installed and is loading."]
    assert house.selector.name == "small"
    house.upgrade.take()
    assert (house.selector.name, house.upgrade.is_ready) == ("better", False)
    assert house.selector.classifier.name == "better"
    # when memory gets tight there is still the small one
    assert house.selector.can_step_down()
    assert house.selector.step_down().name == "small"
    assert house.selector.step_up().name == "better"


@pytest.mark.parametrize("fault", ["answer", "byte", "label"])
def test_what_fails_its_known_answer_or_was_damaged_does_not_run(house: House, fault: str) -> None:
    folder = house.store / "better"

    def spoil() -> None:
        manifest = folder / "manifest.json"
        table = json.loads(manifest.read_text())
        if fault == "answer":
            table["answer"]["probability"] -= 0.3
        elif fault == "byte":
            params = folder / "better-0000.params"
            content = bytearray(params.read_bytes())
            content[900_000] ^= 0x10
            params.write_bytes(content)
        else:
            table["answer"] |= {"id": "n02121620", "label": "cat"}
        manifest.write_text(json.dumps(table))

    house.install = spoil  # type: ignore[method-assign]
    house.turn()
    assert not house.upgrade.is_ready
    cause = "was changed or damaged" if fault == "byte" else "the test image gives 'guitar'"
    assert cause in house.told[-1]
    assert house.told[-1].endswith("small keeps running.")
    assert house.selector.name == "small"
    # it is told once, and not tried again
    told = list(house.told)
    house.turn()
    assert house.told == told


def test_without_room_for_both_it_waits_for_the_next_start(house: House, tmp_path: Path) -> None:
    def tighten() -> None:
        write(tmp_path / "root" / "proc" / "meminfo", meminfo(3792, 60))

    house.install = tighten  # type: ignore[method-assign]
    house.turn()
    assert house.told[-1] == (
        "model better: there is no room for it beside small, so it will run after the next start. small keeps running."
    )
    assert house.selector.name == "small"


def test_what_is_given_up_meanwhile_is_closed(house: House) -> None:
    house.turn()
    opened = house.upgrade._opened
    assert opened is not None
    closed: list[bool] = []
    opened[1].close = lambda: closed.append(True)  # type: ignore[method-assign]
    house.upgrade.close()
    assert closed == [True]
    assert not house.upgrade.is_ready


# ---- which one it is


@pytest.mark.parametrize("board", BOARDS)
def test_with_it_installed_inception_v3_runs_on_each_board_with_a_gigabyte(
    board: str, tmp_path: Path, store: Path
) -> None:
    """By the catalogue's figures: nothing was measured on a board yet."""
    machine = Machine(write_board(tmp_path / "root", BOARDS[board]))
    settings = load(environment={}, flags={"camera": {"source": "csi"}})
    selector = ModelSelector(settings, machine=machine)
    (chosen,) = [verdict for verdict in selector.verdicts_of_catalogue if verdict.chosen]
    gigabyte = BOARDS[board].total_mib > 800
    assert (chosen.candidate.name == "inception-v3") is gigabyte
    entry = load_catalogue()["inception-v3"]
    assert entry.top1 == 0.7949
    assert chosen.need_mib is not None
    assert chosen.need_mib < (640 if gigabyte else 250)


@pytest.mark.parametrize("board", ["pi3", "pi4-2", "pi4-4", "pi5-16"])
def test_installed_it_is_what_runs_and_nothing_better_is_sought(board: str, tmp_path: Path, store: Path) -> None:
    machine = Machine(write_board(tmp_path / "root", BOARDS[board]))
    # as many bytes as Inception v3 has, with its name and accuracy; nobody opens it here
    shutil.copytree(DEMO, store / "inception-v3")
    for old in list((store / "inception-v3").glob("demo-*")):
        old.rename(old.with_name(old.name.replace("demo", "inception-v3")))
    os.truncate(store / "inception-v3" / "inception-v3-0000.params", 91 * 2**20)
    toml = store / "inception-v3" / "model.toml"
    toml.write_text(f"{toml.read_text()}\n[about]\ntop1 = 0.7949\n")
    store_of(tmp_path / "xdg-data", machine, small=100)
    selector = ModelSelector(load(environment={}, flags={"camera": {"source": "csi"}}), machine=machine)
    (chosen,) = [verdict for verdict in selector.verdicts if verdict.chosen]
    assert chosen.candidate.name == "inception-v3"


def test_run_takes_both_flags(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--fetch", "--no-fetch", "--camera", "demo", "--frames", "2", "--speech", "log"]) == 0
    assert "Fetching" not in capsys.readouterr().out
