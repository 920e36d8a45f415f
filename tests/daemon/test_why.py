"""Why a daemon is silent: the real one is asked again and again while it looks at photos, with sound and without."""

import os
import shutil
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rigs.audio.card import RecordingCard
from rigs.daemon import daemon, named, read_events, socket_of

from edge.errors import ControlError
from edge.host.control_client import ask

pytestmark = pytest.mark.integration
MODEL = "mobilenet_v2_1.0"
FLAGS = ["--size", "224", "--mean", "127.5", "--std", "127.5", "--short-side", "256"]
ASK_S = 0.25
LONGEST_S = 240.0
"""For loading a network and looking at all photos, on a machine that does much else."""
SOUNDS = ("log", "card", "no card")
FEW = 4
"""Announcements a minute when only a few photos are shown."""


class Watched:
    """A daemon that looks at a folder of photos to its end, and what it answered meanwhile."""

    def __init__(self, folder: Path, arguments: list[str], sound: str, per_minute: int) -> None:
        folder.mkdir()
        self.statuses: list[dict[str, Any]] = []
        self.decisions: list[dict[str, Any]] = []
        self._folder, self._sound, self._per_minute = folder, sound, per_minute
        self._arguments = [*arguments, "--events", str(folder / "events")]
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()

    def _watch(self) -> None:
        environment = {"EDGE_ANNOUNCE_PER_MINUTE": str(self._per_minute), "EDGE_SPEECH_DRIVER": "pyttsx3"}
        # low enough that more is named than the limit allows
        environment |= {"EDGE_ANNOUNCE_FLOOR": "0.6", "EDGE_ANNOUNCE_MARGIN": "0.2"}
        if self._per_minute == FEW:  # few photos, so each may have the time that a busy machine needs
            environment["EDGE_CAMERA_IMAGE_S"] = "5"
        if self._sound == "log":
            environment["EDGE_SPEECH_DRIVER"] = "log"
        else:
            environment |= RecordingCard(self._folder).environment
        if self._sound == "no card":
            environment["ALSA_CONFIG_PATH"] = os.devnull  # ALSA without any card
        (self._folder / "edge.toml").touch()
        arguments = ["--config", str(self._folder / "edge.toml"), *self._arguments]
        with daemon(self._folder, *arguments, **environment) as child:
            until_s = time.monotonic() + LONGEST_S
            while child.poll() is None and time.monotonic() < until_s:
                time.sleep(ASK_S)
                try:
                    status = ask([socket_of(self._folder)], {"command": "status"})
                    self.decisions = ask([socket_of(self._folder)], {"command": "why", "last": 100})["decisions"]
                except ControlError:
                    continue  # not there yet, or not any more
                if not status.get("starting"):
                    self.statuses.append(status)

    @property
    def said(self) -> list[str]:
        return [event["text"] for event in named(read_events(self._folder / "events"), "announced")]


@pytest.fixture
def photos(shared: Path, tmp_path: Path, long: bool) -> Path:
    """All of the shared photos, or the first few."""
    if long:
        return shared / "images"
    folder = tmp_path / "photos"
    folder.mkdir()
    pictures = [path for path in sorted((shared / "images").iterdir()) if path.suffix != ".csv"]
    for path in pictures[:6]:
        (folder / path.name).symlink_to(path)
    return folder


@pytest.mark.skipif(not shutil.which("aplay") or not shutil.which("espeak-ng"), reason="needs aplay and espeak-ng")
def test_with_and_without_sound_the_same_is_said_and_each_silence_has_a_reason(
    shared: Path, photos: Path, tmp_path: Path, long: bool
) -> None:
    checkpoints = shared / "checkpoints"
    arguments = ["--camera", str(photos), "--model", str(checkpoints / MODEL / MODEL), *FLAGS]
    arguments += ["--synset", str(checkpoints / "synset.txt")]
    per_minute = 12 if long else FEW
    watched = [Watched(tmp_path / sound, arguments, sound, per_minute) for sound in SOUNDS]
    for one in watched:
        one.thread.join()
    log, card, no_card = watched
    # one of the announcements is that it is ready
    assert len(log.said) == per_minute - 1
    assert log.said == card.said == no_card.said
    for one in watched:
        # as often as it was asked, there was a reason
        assert one.statuses
        assert all(status["silent_because"]["because"] for status in one.statuses)
        for status in one.statuses:
            if status["in_view"]:
                assert status["silent_because"]["reason"] not in ("nothing", "no frame", "blind", "paused")
        # each photo is there, and each that was not named has a reason
        assert len(one.decisions) == len([path for path in photos.iterdir() if path.suffix != ".csv"])
        assert one.decisions[0]["reason"] == "rate limit"
        assert {decision["reason"] for decision in one.decisions if decision["said"]} <= {"said", "printed"}
    for one, reason in ((log, "printed"), (card, "said"), (no_card, "no sound")):
        assert [decision["reason"] for decision in one.decisions].count(reason) == per_minute - 1
    assert [decision["label"] for decision in log.decisions] == [decision["label"] for decision in card.decisions]
    assert [decision["label"] for decision in log.decisions] == [decision["label"] for decision in no_card.decisions]
