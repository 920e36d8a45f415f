"""What the daemon has open is closed, and what it was loading is not taken for what has killed it."""

import os
import shutil
from pathlib import Path

import pytest
from doubles import RecordingAnswers
from rigs.http import running
from rigs.web_camera import WebCamera

from edge.announce.voice import Voice
from edge.config import load
from edge.daemon.equipment import Equipment
from edge.errors import CameraError
from edge.host.folders import runtime_folder
from edge.host.memory import tree
from edge.models.checkpoint import find_checkpoint
from edge.selection.selector import ModelSelector
from edge.stages import Classifier

pytestmark = pytest.mark.integration


def ignore(_line: str) -> None:
    """Nobody hears of it."""


def test_the_model_is_closed_and_a_forced_end_leaves_no_mark() -> None:
    settings = load(environment={}, flags={"camera": {"source": "demo"}, "speech": {"driver": "log"}})
    equipment = Equipment(settings, Voice(), ignore, ignore)
    equipment.end_children()  # there are none yet
    equipment.open(RecordingAnswers(), paused=False)
    selector = equipment.selector
    with selector.crash_marker.loading(find_checkpoint("demo")):
        assert list(runtime_folder().glob("loading-*"))
        equipment.end_children()
        assert not list(runtime_folder().glob("loading-*"))
    assert selector.classifier is equipment.classifier
    equipment.close()
    with pytest.raises(AssertionError):
        _ = selector.classifier
    equipment.close()


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng")
def test_voice_and_camera_start_before_the_model_loads_and_the_camera_is_awaited_after_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    while_loading: list[list[str]] = []
    load_model = ModelSelector.open

    def watched(selector: ModelSelector) -> Classifier:
        commands = [Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0") for pid in tree(os.getpid())[1:]]
        while_loading.append(sorted(word for command in commands for word in command if word.startswith("edge.")))
        return load_model(selector)

    monkeypatch.setattr(ModelSelector, "open", watched)
    with running(WebCamera()) as web:
        flags = {"camera": {"source": web.url("standard")}, "speech": {"driver": "espeak"}, "model": {"name": "demo"}}
        equipment = Equipment(load(environment={}, flags=flags), Voice(), ignore, ignore)
        try:
            equipment.open(RecordingAnswers(), paused=False)
            assert while_loading == [["edge.cameras.child", "edge.speech.espeak", "edge.worker", "edge.worker"]]
            assert not equipment.camera.waits
            assert equipment.camera.read(5.0) is not None
        finally:
            equipment.close()
    assert len(tree(os.getpid())) == 1


def test_a_camera_that_cannot_be_opened_leaves_nothing_open() -> None:
    flags = {"camera": {"source": "http://127.0.0.1:1/"}, "speech": {"driver": "log"}, "model": {"name": "demo"}}
    equipment = Equipment(load(environment={}, flags=flags), Voice(), ignore, ignore)
    with pytest.raises(CameraError, match="127"):
        equipment.open(RecordingAnswers(), paused=False)
    equipment.close()
    assert len(tree(os.getpid())) == 1
