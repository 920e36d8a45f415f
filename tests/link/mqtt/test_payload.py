"""What is published: the state, without noise, and the device, as Home Assistant reads it."""

import dataclasses
import json
from typing import Any

import pytest
from jinja2 import Environment

from edge.daemon.control_socket import LONGEST_LINE
from edge.host.control_client import line_of
from edge.link.mqtt.commands import LONGEST_COMMAND, Refused, request_of
from edge.link.mqtt.discovery import discovery_of
from edge.link.mqtt.names import Names
from edge.link.mqtt.payload import LONGEST_TEXT, encoded, settled, state_of
from edge.link.state import LinkState
from edge.models.taught.record import MOST_NAME

NAMES = Names("front-door", "0123456789ab", "Front door", "homeassistant")
STATE = LinkState(
    up=True,
    version="1.0",
    model="resnet50",
    engine="onnx",
    in_view="coffee mug",
    in_view_text="I see a coffee mug",
    probability=0.934,
    last_words='I see a "coffee mug"',
    sound="the sound card is missing",
    camera_up=True,
    inference_ms=41.26,
    temperature_c=51.2,
    memory_mib=312.7,
    taught=("Rex", "my keys"),
)


def test_noise_is_no_news() -> None:
    published = state_of(STATE, NAMES)
    noise = dataclasses.replace(STATE, probability=0.96, inference_ms=44.0, temperature_c=52.4, memory_mib=318.0)
    assert settled(published, state_of(noise, NAMES)) == published


@pytest.mark.parametrize(
    ("change", "key", "value"),
    [
        ({"probability": 0.7}, "confidence", 70),
        ({"inference_ms": 60.0}, "inference_ms", 60),
        ({"temperature_c": 54.0}, "temperature", 54),
        ({"memory_mib": 400.0}, "memory_mib", 400),
        ({"temperature_c": None}, "temperature", None),
        # of another thing every number is news
        ({"in_view": "cup", "probability": 0.95}, "confidence", 95),
    ],
)
def test_news_is_no_noise(change: dict[str, Any], key: str, value: float | None) -> None:
    published = state_of(STATE, NAMES)
    assert settled(published, state_of(dataclasses.replace(STATE, **change), NAMES))[key] == value


def test_a_slow_drift_is_published_in_the_end() -> None:
    published = state_of(STATE, NAMES)
    for degrees in range(51, 61):
        published = settled(published, state_of(dataclasses.replace(STATE, temperature_c=float(degrees)), NAMES))
    assert abs(published["temperature"] - 60) < 1.5


def test_no_text_is_longer_than_home_assistant_takes() -> None:
    many = tuple(f"{number:080}" for number in range(200))
    published = state_of(dataclasses.replace(STATE, last_words="a" * 1000, in_view="\ud800", taught=many), NAMES)
    assert len(published["last_said"]) == len(published["taught"]) == LONGEST_TEXT
    encoded(published).decode()


# ---- the device


def entities() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(encoded(discovery_of(NAMES)))["components"]
    return found


def shown(template: str, state: LinkState) -> str:
    """What Home Assistant makes of a template and the published state."""
    value = json.loads(encoded(state_of(state, NAMES)))
    return Environment().from_string(template).render(value_json=value)


@pytest.mark.parametrize(
    ("entity", "change", "expected"),
    [
        ("sees", {}, "coffee mug"),
        ("sees", {"in_view": None}, "nothing"),
        ("confidence", {}, "93"),
        # what Home Assistant takes for unknown
        ("confidence", {"probability": None}, "None"),
        ("last_said", {}, 'I see a "coffee mug"'),
        ("model", {}, "resnet50"),
        ("inference_time", {}, "41"),
        ("inference_time", {"inference_ms": 3.14159}, "3.1"),
        ("temperature", {}, "51"),
        ("memory", {}, "313"),
        ("sight", {}, "OFF"),
        ("sight", {"sight": "The camera is covered."}, "ON"),
        ("sound", {}, "ON"),
        ("camera", {}, "ON"),
        ("camera", {"camera_up": False}, "OFF"),
        ("looking", {}, "ON"),
        ("looking", {"paused": True}, "OFF"),
        ("quiet", {}, "OFF"),
        ("quiet", {"snoozed_until": "2026-11-27T12:00:00+00:00"}, "ON"),
        ("teach", {}, ""),
        ("teach", {"teaching": "my keys"}, "my keys"),
        ("taught", {}, "Rex, my keys"),
        ("taught", {"taught": ()}, "nothing"),
    ],
)
def test_the_templates_show_the_state(entity: str, change: dict[str, Any], expected: str) -> None:
    assert shown(entities()[entity]["value_template"], dataclasses.replace(STATE, **change)) == expected


def test_every_template_of_attributes_gives_json() -> None:
    templates = [one["json_attributes_template"] for one in entities().values() if "json_attributes_template" in one]
    assert len(templates) == 4
    for template in templates:
        assert isinstance(json.loads(shown(template, STATE)), dict)


def test_every_entity_has_its_own_id_and_only_topics_of_this_edge() -> None:
    found = entities()
    ids = [one["unique_id"] for one in found.values()]
    assert len(set(ids)) == len(ids) == 19
    for one in found.values():
        for key in ("state_topic", "command_topic"):
            assert one.get(key, "edge/front-door/").startswith("edge/front-door/")
        assert one["default_entity_id"].startswith(f"{one['platform']}.edge_front_door_")


def test_the_text_for_a_name_takes_names_of_every_length() -> None:
    assert entities()["teach"]["max"] == MOST_NAME <= LONGEST_TEXT


def test_every_command_of_an_entity_is_one_that_the_daemon_knows() -> None:
    asked = {}
    for key, one in entities().items():
        if "command_topic" in one:
            name = one["command_topic"].removeprefix(NAMES.command(""))
            for payload in (one.get("payload_on", "ON"), one.get("payload_off", "OFF")):
                asked[key, payload] = request_of(name, payload.encode())["command"]
    assert asked == {
        ("look", "ON"): "look",
        ("look", "OFF"): "look",
        ("wake", "ON"): "wake",
        ("wake", "OFF"): "wake",
        # the topic is called pause: OFF switches the looking on
        ("looking", "OFF"): "resume",
        ("looking", "ON"): "pause",
        ("quiet", "ON"): "snooze",
        ("quiet", "OFF"): "wake",
        ("say", "ON"): "say",
        ("say", "OFF"): "say",
        ("teach", "ON"): "teach",
        ("teach", "OFF"): "teach",
        ("cancel_teaching", "ON"): "teach",
        ("cancel_teaching", "OFF"): "teach",
    }
    assert (entities()["looking"]["payload_on"], entities()["looking"]["payload_off"]) == ("OFF", "ON")


@pytest.mark.parametrize(
    ("name", "payload", "request_"),
    [
        ("look", b"PRESS", {"command": "look"}),
        ("snooze", b"90", {"command": "snooze", "seconds": 90.0}),
        ("snooze", b"on", {"command": "snooze", "seconds": 604800}),
        ("snooze", b"0", {"command": "wake"}),
        ("pause", b" OFF\n", {"command": "resume"}),
        ("say", "Guten Tag, Jürgen".encode(), {"command": "say", "text": "Guten Tag, Jürgen"}),
        ("teach", " meine Schlüssel\n".encode(), {"command": "teach", "name": "meine Schlüssel"}),
        ("cancel_teaching", b"", {"command": "teach", "cancel": True}),
        ("forget", b"my keys", {"command": "forget", "name": "my keys"}),
    ],
)
def test_commands(name: str, payload: bytes, request_: dict[str, object]) -> None:
    assert request_of(name, payload) == request_


@pytest.mark.parametrize(
    ("name", "payload"),
    [
        ("", b""),
        ("look/../say", b"x"),
        ("reboot", b""),
        ("snooze", b""),
        ("snooze", b"nan"),
        ("snooze", b"inf"),
        ("snooze", b"-5"),
        ("snooze", b"1e9"),
        ("snooze", b"9" * 1000),
        ("pause", b"maybe"),
        ("say", b"\xff\xfe"),
        ("say", b" "),
        ("say", b"a" * 5000),
        ("teach", b""),
        ("teach", b"\xff"),
        ("forget", b" \n"),
        ("look", b"a" * 1_000_000),
    ],
)
def test_what_is_no_command_is_refused_in_a_short_line(name: str, payload: bytes) -> None:
    with pytest.raises(Refused) as caught:
        request_of(name, payload)
    assert 0 < len(str(caught.value)) < 200


@pytest.mark.parametrize("character", ["a", '"', "\N{SNOWMAN}", "\N{PARTY POPPER}"])
def test_each_text_that_is_taken_fits_in_a_request(character: str) -> None:
    # else the daemon would say that a request is a line of JSON, which is no help to whoever published the text
    payload = (character * LONGEST_COMMAND).encode()[:LONGEST_COMMAND]
    assert len(line_of(request_of("say", payload))) <= LONGEST_LINE
