"""The real Home Assistant: what its user sees of edge, and what the user's clicks do."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from rigs.audio.card import RecordingCard
from rigs.booted import why_not
from rigs.broker import Broker, judging, mosquitto
from rigs.daemon import ROOT, apart, daemon, named, read_events
from rigs.home_assistant import HomeAssistant, home_assistant
from rigs.link import NODE, ask, forget, link, settings
from rigs.processes import wait_until
from rigs.voices import was_heard

pytestmark = [
    pytest.mark.integration,
    pytest.mark.root,
    pytest.mark.system,
    pytest.mark.long,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"),
    pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="needs espeak-ng"),
]

PAGE = ROOT / "docs" / "home-assistant.md"
# whatever it sees is not sure enough
SILENT = """
[camera]
source = "demo"
loop = true
[announce]
floor = 1.0
sure = 1.0
maybe = 1.0
"""
DEVICE = f"edge {NODE}"
UNITS = {
    "sensor.edge_door_sees": None,
    "sensor.edge_door_confidence": "%",
    "sensor.edge_door_last_said": None,
    "sensor.edge_door_model": None,
    "sensor.edge_door_inference_time": "ms",
    "sensor.edge_door_temperature": "°C",
    "sensor.edge_door_memory": "MiB",
    "binary_sensor.edge_door_sight": None,
    "binary_sensor.edge_door_sound": None,
    "binary_sensor.edge_door_camera": None,
    "event.edge_door_announcement": None,
    "button.edge_door_look": None,
    "button.edge_door_wake": None,
    "switch.edge_door_looking": None,
    "switch.edge_door_quiet": None,
    "notify.edge_door_say": None,
    "text.edge_door_teach": None,
    "button.edge_door_cancel_teaching": None,
    "sensor.edge_door_taught": None,
}
CLASSES = {
    "sensor.edge_door_inference_time": "duration",
    "sensor.edge_door_temperature": "temperature",
    "sensor.edge_door_memory": "data_size",
    "binary_sensor.edge_door_sight": "problem",
    "binary_sensor.edge_door_sound": "problem",
    "binary_sensor.edge_door_camera": "connectivity",
}


@dataclass
class Home:
    """A Home Assistant, its broker, an edge that plays the demo on a recording card, and the link."""

    assistant: HomeAssistant
    broker: Broker
    card: RecordingCard
    folder: Path

    @property
    def events(self) -> list[dict[str, Any]]:
        return read_events(self.folder / "events")

    def state(self, entity: str) -> str:
        return str(self.assistant.states().get(entity, {}).get("state", "is missing"))

    def becomes(self, entity: str, state: str) -> None:
        wait_until(lambda: self.state(entity) == state)

    def status(self) -> dict[str, Any]:
        return ask(self.folder, {"command": "status"})

    def hears(self, text: str) -> None:
        wait_until(lambda: was_heard(self.card, text, self.folder))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    folder = tmp_path_factory.mktemp("home")
    (folder / "card").mkdir()
    card = RecordingCard(folder / "card")
    with mosquitto(folder / "broker") as broker, home_assistant(folder / "machine") as assistant:
        assistant.connect(broker)
        events = ("--events", str(folder / "events"))
        with daemon(folder, *events, **card.environment, **apart(folder)), link(folder, settings(folder, broker)):
            wait_until(lambda: assistant.has_device(DEVICE))
            wait_until(lambda: named(read_events(folder / "events"), "announced"))
            yield Home(assistant, broker, card, folder)


def test_each_entity_has_the_right_state_and_unit(home: Home) -> None:
    wait_until(lambda: home.state("binary_sensor.edge_door_camera") == "on")
    entities = home.assistant.entities_of(DEVICE)
    assert {name: one["attributes"].get("unit_of_measurement") for name, one in entities.items()} == UNITS
    classes = {name: one["attributes"].get("device_class") for name, one in entities.items()}
    assert {name: classes[name] for name in CLASSES} == CLASSES
    # what nothing can be known of here is unknown, and nothing is unavailable
    assert not [name for name, one in entities.items() if one["state"] == "unavailable"]
    status = home.status()
    assert entities["sensor.edge_door_model"]["state"] == status["model"]
    assert entities["sensor.edge_door_model"]["attributes"]["engine"] == status["engine"]
    assert float(entities["sensor.edge_door_inference_time"]["state"]) > 0
    assert float(entities["sensor.edge_door_memory"]["state"]) > 10
    assert entities["binary_sensor.edge_door_sight"]["state"] == "off"
    assert entities["binary_sensor.edge_door_sound"]["state"] == "off"
    assert entities["switch.edge_door_looking"]["state"] == "on"
    assert entities["switch.edge_door_quiet"]["state"] == "off"


def test_what_it_sees_and_says_is_what_edge_announces(home: Home) -> None:
    """Home Assistant's states follow the events of one run of the clip."""
    assistant = home.assistant
    seen = set()

    def announced_anew() -> bool:
        states = assistant.states()
        seen.add((states["sensor.edge_door_sees"]["state"], states["sensor.edge_door_last_said"]["state"]))
        return len({sees for sees, _ in seen}) > 2 and len({said for _, said in seen}) > 1

    wait_until(lambda: home.state("sensor.edge_door_last_said") != "unknown")
    wait_until(announced_anew)
    announced = named(home.events, "announced")
    labels = {one["label"] for one in [*announced, *named(home.events, "in_view")]}
    assert {sees for sees, _ in seen} <= labels | {"nothing"}
    assert {said for _, said in seen} <= {one["text"] for one in [*announced, *named(home.events, "notice")]}
    event = assistant.states()["event.edge_door_announcement"]["attributes"]
    assert event["event_type"] == "announced"
    assert event["label"] in labels
    assert 0 < event["probability"] <= 1


def test_look_is_heard(home: Home) -> None:
    before = len(named(home.events, "notice"))
    home.assistant.call("button", "press", entity_id="button.edge_door_look")
    wait_until(lambda: len(named(home.events, "notice")) > before)
    home.hears(named(home.events, "notice")[before]["text"])


def test_say_speaks(home: Home) -> None:
    text = "the washing machine is done"
    home.assistant.call("notify", "send_message", entity_id="notify.edge_door_say", message=text)
    home.hears(text)


def test_quiet_snoozes(home: Home) -> None:
    home.assistant.call("switch", "turn_on", entity_id="switch.edge_door_quiet")
    wait_until(lambda: home.status()["snoozed_until"])
    home.becomes("switch.edge_door_quiet", "on")
    home.assistant.call("switch", "turn_off", entity_id="switch.edge_door_quiet")
    wait_until(lambda: not home.status()["snoozed_until"])
    home.becomes("switch.edge_door_quiet", "off")


def test_wake_ends_a_snooze(home: Home) -> None:
    ask(home.folder, {"command": "snooze", "seconds": 3600})
    home.becomes("switch.edge_door_quiet", "on")
    home.assistant.call("button", "press", entity_id="button.edge_door_wake")
    home.becomes("switch.edge_door_quiet", "off")
    assert not home.status()["snoozed_until"]


def test_looking_pauses_and_resumes(home: Home) -> None:
    home.assistant.call("switch", "turn_off", entity_id="switch.edge_door_looking")
    wait_until(lambda: home.status()["paused"])
    home.becomes("switch.edge_door_looking", "off")
    home.assistant.call("switch", "turn_on", entity_id="switch.edge_door_looking")
    wait_until(lambda: not home.status()["paused"])
    home.becomes("switch.edge_door_looking", "on")


def test_a_name_begins_to_teach_and_the_button_cancels(home: Home) -> None:
    home.becomes("sensor.edge_door_taught", "nothing")
    home.assistant.call("text", "set_value", entity_id="text.edge_door_teach", value="my keys")
    home.becomes("text.edge_door_teach", "my keys")
    home.hears(wait_until(lambda: [one["text"] for one in named(home.events, "teaching") if one["text"]])[0])
    home.assistant.call("button", "press", entity_id="button.edge_door_cancel_teaching")
    home.becomes("text.edge_door_teach", "")
    wait_until(lambda: [one["reason"] for one in named(home.events, "teaching_ended")] == ["cancelled"])


def test_the_automation_of_the_page_works_as_it_stands(home: Home, tmp_path: Path) -> None:
    """What the edge at the door announces is heard in the kitchen, from an edge that says nothing by itself."""
    (automation,) = (one for one in re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL) if "alias:" in one)
    home.assistant.automations(yaml.safe_dump([yaml.safe_load(automation)]))
    (tmp_path / "card").mkdir()
    card = RecordingCard(tmp_path / "card")
    (tmp_path / "edge.toml").write_text(SILENT)
    kitchen = settings(tmp_path, home.broker, node="kitchen")
    with daemon(tmp_path, "--config", str(tmp_path / "edge.toml"), **card.environment), link(tmp_path, kitchen):
        wait_until(lambda: home.state("notify.edge_kitchen_say") not in ("is missing", "unavailable"))
        home.assistant.call("automation", "reload")
        wait_until(lambda: "automation.hear_in_the_kitchen_what_the_door_camera_sees" in home.assistant.states())

        def is_heard() -> bool:
            texts = {one["text"] for one in named(home.events, "announced")}
            return any(was_heard(card, f"At the door: {text}", tmp_path) for text in texts)

        wait_until(is_heard)
    forget(tmp_path, kitchen)
    home.assistant.automations("[]")
    home.assistant.call("automation", "reload")


def test_a_restarted_home_assistant_knows_it_again(home: Home) -> None:
    home.assistant.restart()
    wait_until(lambda: home.state("switch.edge_door_looking") == "on")
    assert set(home.assistant.entities_of(DEVICE)) == set(UNITS)


def test_it_complains_of_nothing(home: Home) -> None:
    complaints = [line for line in home.assistant.log().splitlines() if "WARNING" in line or "ERROR" in line]
    assert not [line for line in complaints if "mqtt" in line.lower() or "edge" in line.lower()]


def test_forget_removes_the_device(home: Home) -> None:
    """The last test: the link that runs would publish the device again when it connects anew."""
    forget(home.folder, settings(home.folder, home.broker))
    wait_until(lambda: not home.assistant.has_device(DEVICE))
    assert not [name for name in home.assistant.states() if "edge_door" in name]
    with judging(home.broker) as judge:
        judge.publish("end", b"1")
        judge.wait_for("end", b"1")
        assert not [topic for topic, payload, _ in judge.messages if payload and topic != "end"]
