"""What an edge is called at the broker."""

from pathlib import Path

import pytest

from edge.errors import ConfigError
from edge.link.mqtt.names import names_of
from edge.link.settings import MqttSettings


def test_topics_and_ids(tmp_path: Path) -> None:
    machine = tmp_path / "machine-id"
    machine.write_text("0123456789abcdef0123456789abcdef\n")
    names = names_of(MqttSettings(node="kitchen"), machine_id=machine)
    assert (names.state, names.availability) == ("edge/kitchen/state", "edge/kitchen/availability")
    assert (names.announced, names.command("say")) == ("edge/kitchen/announced", "edge/kitchen/cmd/say")
    assert names.config == f"homeassistant/device/edge_{names.id}/config"
    assert (names.birth, names.device_name) == ("homeassistant/status", "edge kitchen")
    assert "0123456789" not in names.id
    assert len(names.id) == 12


def test_every_node_of_every_machine_has_another_id(tmp_path: Path) -> None:
    machines = [tmp_path / "a", tmp_path / "b", tmp_path / "without an id"]
    machines[0].write_text("0123456789abcdef0123456789abcdef\n")
    machines[1].write_text("f123456789abcdef0123456789abcdef\n")

    def ids() -> list[str]:
        nodes = ("kitchen", "door")
        return [names_of(MqttSettings(node=node), machine_id=one).id for one in machines for node in nodes]

    assert len(set(ids())) == 6
    assert ids() == ids()


def test_without_a_node_it_is_the_machines_name() -> None:
    assert names_of(MqttSettings(), host_name="kitchen.home.arpa").node == "kitchen"
    with pytest.raises(ConfigError, match="the name of this machine, 'my machine', cannot be a part of a topic"):
        names_of(MqttSettings(), host_name="my machine")


def test_without_discovery_there_are_no_topics_of_it() -> None:
    names = names_of(MqttSettings(node="kitchen", discovery=""))
    assert (names.config, names.birth) == ("", "")
