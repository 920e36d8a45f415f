"""The whole daemon with a button: what a press leads to, also while a model loads and without a camera."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rigs.audio.card import RecordingCard
from rigs.daemon import daemon, named, read_events, say
from rigs.keys import F2, VOLUME_UP, FifoDevice, fifo_device
from rigs.processes import wait_until

ONE_BUTTON = {"KEY_F2": "look", "KEY_F2 double": "missed", "KEY_F2 long": "snooze", "KEY_F2 hold": "pause"}
NOTHING_SAID = {"EDGE_ANNOUNCE_FLOOR": "1.0", "EDGE_ANNOUNCE_SURE": "1.0", "EDGE_ANNOUNCE_MAYBE": "1.0"}


@pytest.fixture
def button(tmp_path: Path) -> Iterator[FifoDevice]:
    with fifo_device(tmp_path / "button") as device:
        yield device


def settings(button: FifoDevice, card: RecordingCard, **more: str) -> dict[str, str]:
    return {
        "EDGE_INPUT_DEVICES": json.dumps([str(button.path)]),
        "EDGE_INPUT_KEYS": json.dumps(ONE_BUTTON),
        "EDGE_SPEECH_DRIVER": "espeak",
        **NOTHING_SAID,
        **card.environment,
        **more,
    }


def asked(events: Path) -> list[str]:
    return [one["action"] for one in named(read_events(events), "asked")]


def keys_of(folder: Path) -> dict[str, Any]:
    answer = say(folder, "status", "--json")
    found: dict[str, Any] = json.loads(answer.stdout or "{}").get("input", {}).get("keys", {})
    return found


def test_each_pattern_leads_to_one_action_and_status_shows_the_device(
    tmp_path: Path, button: FifoDevice, card: RecordingCard
) -> None:
    events = tmp_path / "events"
    with daemon(tmp_path, "--model", "demo", "--events", str(events), **settings(button, card)):
        wait_until(lambda: keys_of(tmp_path) == {"devices": ["button"], "problem": None})
        wait_until(lambda: re.search(r"(?m)^keys +button$", say(tmp_path, "status").stdout))
        expected = []
        for seconds, action in ((0.1, "look"), (2.0, "snooze"), (2.0, "snooze"), (6.0, "pause"), (6.0, "pause")):
            button.press(F2, seconds)
            expected.append(action)
            wait_until(lambda: asked(events) == expected)
        button.press(F2, 0.05, 0.05)
        wait_until(lambda: asked(events) == [*expected, "missed"])


def test_no_press_is_lost_while_edge_starts_and_without_a_camera(
    tmp_path: Path, button: FifoDevice, card: RecordingCard, long: bool
) -> None:
    """Its model loads while the first come, and its camera is never there."""
    events = tmp_path / "events"
    without = {"EDGE_CAMERA_SOURCE": "http://127.0.0.1:9/none", "EDGE_CAMERA_WAIT": "true"}
    with daemon(tmp_path, "--config", "/dev/null", "--events", str(events), **settings(button, card, **without)):
        count = 50 if long else 8
        for _ in range(count):
            button.press(F2, 2.0)
        wait_until(lambda: len(asked(events)) == count)
        wait_until(lambda: named(read_events(events), "camera_lost") or named(read_events(events), "ready"))
        for _ in range(count):
            button.press(F2, 2.0)
        wait_until(lambda: len(asked(events)) == 2 * count)
    assert set(asked(events)) == {"snooze"}


def test_a_reload_takes_another_device_and_refuses_a_mistake(
    tmp_path: Path, button: FifoDevice, card: RecordingCard
) -> None:
    events, file = tmp_path / "events", tmp_path / "edge.toml"
    file.write_text('[camera]\nsource = "demo"\nloop = true\n')
    environment = settings(button, card)
    del environment["EDGE_INPUT_DEVICES"], environment["EDGE_INPUT_KEYS"]
    arguments = ("--config", str(file), "--model", "demo", "--events", str(events))
    with daemon(tmp_path, *arguments, **environment) as child, fifo_device(tmp_path / "remote") as remote:
        wait_until(lambda: named(read_events(events), "ready"))
        assert keys_of(tmp_path) == {}

        def reload(table: str, event: str) -> None:
            before = len(named(read_events(events), event))
            file.write_text(f'[camera]\nsource = "demo"\nloop = true\n[input]\n{table}\n')
            child.send_signal(1)
            wait_until(lambda: len(named(read_events(events), event)) > before)

        for device in (button, remote):
            reload(f'devices = ["{device.path}"]', "reloaded")
            wait_until(lambda: keys_of(tmp_path).get("devices") == [device.path.name])  # noqa: B023
        button.press(VOLUME_UP)
        remote.press(VOLUME_UP)
        wait_until(lambda: asked(events) == ["louder"])
        reload(f'devices = ["{button.path}"]\nkeys = {{"KEY_VOLUMUP" = "louder"}}', "reload_refused")
        (refused,) = named(read_events(events), "reload_refused")
        assert "did you mean KEY_VOLUMEUP?" in refused["reason"]
        wait_until(lambda: keys_of(tmp_path).get("devices") == ["remote"])
        remote.press(VOLUME_UP)
        wait_until(lambda: asked(events) == ["louder", "louder"])
