"""SIGHUP: the running daemon reads its settings anew, and bad ones change nothing."""

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from rigs.camera import MjpegServer, serving
from rigs.daemon import daemon, named, read_events, socket_of
from rigs.processes import PATIENCE_S, wait_until, workers
from rigs.stores import store_of
from rigs.systemd import Listener

from edge.announce.notices import LOST, SIGHT_AGAIN
from edge.host.control_client import ask
from edge.host.machine import Machine

pytestmark = pytest.mark.integration

GOOD = '[camera]\nsource = "demo"\nloop = true\n[speech]\ndriver = "log"\n'


class Reloading:
    """A daemon with a settings file that is changed while it runs."""

    def __init__(self, child: subprocess.Popen[str], config: Path, events: Path) -> None:
        self.child, self.config, self.events = child, config, events

    def reload(self, text: str) -> str:
        """Have these settings read; return which event told of the end of it."""
        before = len(self.answers())
        self.config.write_text(text)
        self.child.send_signal(signal.SIGHUP)
        wait_until(lambda: len(self.answers()) > before)
        return str(self.answers()[-1]["event"])

    def answers(self) -> list[dict[str, object]]:
        return [event for event in read_events(self.events) if event["event"] in ("reloaded", "reload_refused")]

    def said(self) -> list[str]:
        return [str(event["text"]) for event in named(read_events(self.events), "announced")]

    def changes(self) -> list[dict[str, Any]]:
        """Wait for a change of the model, which is told after the reload, and return all of them."""
        return wait_until(lambda: named(read_events(self.events), "model_changed"))

    def notices(self) -> list[str]:
        return [str(event["text"]) for event in named(read_events(self.events), "notice")]


def command(config: Path, events: Path) -> list[str]:
    return ["--config", str(config), "--events", str(events), "--events-frames"]


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    config = tmp_path / "edge.toml"
    config.write_text(GOOD)
    return config, tmp_path / "events"


def test_other_settings_hold_and_bad_ones_do_not(tmp_path: Path, files: tuple[Path, Path], listener: Listener) -> None:
    with daemon(tmp_path, *command(*files)) as child:
        running = Reloading(child, *files)
        wait_until(running.said)
        model = named(read_events(running.events), "ready")
        assert running.reload(GOOD + '[announce]\ntemplate = "There is {label}"\n') == "reloaded"
        wait_until(lambda: running.said()[-1].startswith("There is "))
        states = listener.heard()
        (at,) = (number for number, state in enumerate(states) if state.startswith("RELOADING=1\nMONOTONIC_USEC="))
        assert "READY=1" in states[at:]

        sentence = {"command": "say", "text": "Dinner is ready"}
        assert ask([socket_of(tmp_path)], sentence, PATIENCE_S)["queued"]
        wait_until(lambda: "Dinner is ready" in running.notices())
        assert running.reload(GOOD + '[announce]\ntemplate = "There is {label}"\n[link]\nsay = "off"\n') == "reloaded"
        assert "[link] say" in ask([socket_of(tmp_path)], sentence, PATIENCE_S)["error"]

        assert running.reload("[announce]\ntempalte = 3\n[camera]\nwidth = 1\n") == "reload_refused"
        reason = str(running.answers()[-1]["reason"])
        assert "tempalte" in reason
        assert "width" in reason
        assert running.reload("not TOML") == "reload_refused"
        said = len(running.said())
        wait_until(lambda: len(running.said()) > said)
        assert running.said()[-1].startswith("There is ")

        # what was not changed was not opened anew
        assert running.notices() == ["I'm ready.", "Dinner is ready"]
        assert named(read_events(running.events), "ready") == model
        child.terminate()
        assert child.wait(10) == 0
        assert child.stdout is not None
        assert "The settings were not reloaded: " in child.stdout.read()


def test_another_camera_is_opened_and_the_old_one_closed(tmp_path: Path, files: tuple[Path, Path]) -> None:
    config, events = files
    with serving(MjpegServer()) as first, serving(MjpegServer()) as second:
        config.write_text(GOOD.replace("demo", first.url))
        with daemon(tmp_path, *command(*files)) as child:
            running = Reloading(child, *files)
            wait_until(lambda: first.watched == 1 and named(read_events(events), "ready"))
            assert running.reload(GOOD.replace("demo", second.url)) == "reloaded"
            wait_until(lambda: (first.watched, second.watched) == (0, 1))
            frames = len(named(read_events(events), "frame"))
            wait_until(lambda: len(named(read_events(events), "frame")) > frames + 5)
            assert len(workers(child.pid)) == 1

            # one that is not there: back to the one before
            nobody = GOOD.replace("demo", "http://127.0.0.1:9/")
            assert running.reload(nobody) == "reload_refused"
            assert "127.0.0.1:9" in str(running.answers()[-1]["reason"])
            wait_until(lambda: second.watched == 1)
            frames = len(named(read_events(events), "frame"))
            wait_until(lambda: len(named(read_events(events), "frame")) > frames + 5)
            assert not {LOST, SIGHT_AGAIN} & set(running.notices())


def test_a_lost_camera_exchanged_for_one_that_works(tmp_path: Path, files: tuple[Path, Path]) -> None:
    config, events = files
    with serving(MjpegServer()) as first, serving(MjpegServer()) as second:
        config.write_text(GOOD.replace("demo", first.url))
        with daemon(tmp_path, *command(*files), EDGE_CAMERA_READ_TIMEOUT_S="1") as child:
            running = Reloading(child, *files)
            wait_until(lambda: named(read_events(events), "ready"))
            first.missing.set()
            first.silent.set()
            wait_until(lambda: LOST in running.notices())
            assert running.reload(GOOD.replace("demo", second.url)) == "reloaded"
            wait_until(lambda: SIGHT_AGAIN in running.notices())
            assert running.notices().count(SIGHT_AGAIN) == running.notices().count(LOST) == 1


def test_a_voice_that_there_is_not_is_refused_and_the_old_one_speaks_on(
    tmp_path: Path, files: tuple[Path, Path]
) -> None:
    card = tmp_path / "asound.conf"
    card.write_text("pcm.!default { type null }\n")
    speaking = GOOD.replace('driver = "log"', 'driver = "espeak"')
    files[0].write_text(speaking)
    with daemon(tmp_path, *command(*files), ALSA_CONFIG_PATH=str(card)) as child:
        running = Reloading(child, *files)
        wait_until(lambda: any(event["heard"] for event in named(read_events(running.events), "spoken")))
        assert running.reload(speaking + 'voice = "nobody"\n') == "reload_refused"
        heard = sum(event["heard"] for event in named(read_events(running.events), "spoken"))
        wait_until(lambda: sum(event["heard"] for event in named(read_events(running.events), "spoken")) > heard)


def test_another_network_is_told(tmp_path: Path, files: tuple[Path, Path]) -> None:
    store_of(tmp_path / "data", Machine(), other=100.0)
    with daemon(tmp_path, *command(*files), XDG_DATA_HOME=str(tmp_path / "data")) as child:
        running = Reloading(child, *files)
        wait_until(running.said)
        assert named(read_events(running.events), "ready")[0]["model"] == "other"
        assert running.reload(GOOD + '[model]\nname = "demo"\n') == "reloaded"
        (changed,) = running.changes()
        assert (changed["before"], changed["model"]) == ("other", "demo")
        said = len(running.said())
        wait_until(lambda: len(running.said()) > said)


def test_another_engine_is_told(tmp_path: Path, files: tuple[Path, Path]) -> None:
    with daemon(tmp_path, *command(*files)) as child:
        running = Reloading(child, *files)
        wait_until(running.said)
        assert named(read_events(running.events), "ready")[0]["engine"] == "mxnet"
        assert running.reload(GOOD + '[model]\nengine = "onnx"\n') == "reloaded"
        (changed,) = running.changes()
        assert (changed["before"], changed["model"], changed["engine"]) == ("demo", "demo", "onnx")
        assert running.reload(GOOD + '[model]\nengine = "onyx"\n') == "reload_refused"
        said = len(running.said())
        wait_until(lambda: len(running.said()) > said)


def test_a_network_that_is_none_is_refused(tmp_path: Path, files: tuple[Path, Path]) -> None:
    with daemon(tmp_path, *command(*files)) as child:
        running = Reloading(child, *files)
        wait_until(running.said)
        assert running.reload(GOOD + '[model]\nname = "nobody"\n') == "reload_refused"
        assert "model nobody" in str(running.answers()[-1]["reason"])
        said = len(running.said())
        wait_until(lambda: len(running.said()) > said)
        # what holds only from the start on is told
        assert running.reload(GOOD + '[service]\ncontrol = ""\n') == "reloaded"
        child.terminate()
        assert child.wait(10) == 0
        assert child.stdout is not None
        assert "take effect at the next start" in child.stdout.read()
        assert json.loads(running.events.read_text().splitlines()[-1])["event"] == "stopped"
