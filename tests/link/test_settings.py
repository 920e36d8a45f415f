"""The settings of the link: a file of its own, read as edge.toml is."""

import re
from importlib import resources
from pathlib import Path

import pytest

from edge.config import to_toml
from edge.errors import ConfigError
from edge.link.settings import LinkSettings, is_loopback, load


def write(folder: Path, text: str) -> Path:
    path = folder / "link.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_the_commented_file_shows_every_default(tmp_path: Path) -> None:
    text = (resources.files("edge") / "data" / "link.toml").read_text(encoding="utf-8")
    uncommented = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    assert load(write(tmp_path, uncommented), environment={}) == LinkSettings()
    keys = re.findall(r"^(\w+) = ", uncommented, flags=re.MULTILINE)
    assert keys == re.findall(r"^(\w+) = ", to_toml(LinkSettings()), flags=re.MULTILINE)
    assert load(write(tmp_path, text), environment={}) == LinkSettings()


def test_the_environment_goes_before_the_file(tmp_path: Path) -> None:
    path = write(tmp_path, '[mqtt]\nhost = "broker.local"\nport = 1884\n')
    settings = load(path, environment={"EDGE_MQTT_PORT": "1885"})
    assert (settings.mqtt.host, settings.mqtt.port) == ("broker.local", 1885)


def test_every_fault_is_told_with_its_place_and_a_suggestion(tmp_path: Path) -> None:
    path = write(tmp_path, '[mqtt]\nhots = "broker.local"\nport = 70000\nnode = "living/room"\n[metric]\n')
    with pytest.raises(ConfigError) as caught:
        load(path, environment={})
    assert caught.value.faults == (
        f"{path}: unknown key hots = 'broker.local' in [mqtt]; did you mean host?",
        f"{path}: [mqtt] port = 70000 must be between 0 and 65535",
        f"{path}: [mqtt] node = 'living/room' is no name for a node; write it with letters, digits, - and _, at most "
        "64, as in 'kitchen'",
        f"{path}: unknown table or key [metric]; did you mean metrics?",
    )


@pytest.mark.parametrize("node", ["a/b", "a+b", "#", "a b", "ä", "a" * 65, "\x00"])
def test_a_node_that_would_be_another_topic_is_refused(node: str) -> None:
    with pytest.raises(ConfigError, match="is no name for a node"):
        load(None, environment={"EDGE_MQTT_NODE": node})


@pytest.mark.parametrize("host", ["mqtt://broker", "user@broker", "broker local", "broker/1"])
def test_a_host_is_a_name_alone(host: str) -> None:
    with pytest.raises(ConfigError, match="is no host"):
        load(None, environment={"EDGE_MQTT_HOST": host})


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_this_machine_alone(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize("host", ["127.example.com", "0.0.0.0", "::", "192.168.1.2", "door.local", ""])
def test_what_may_be_another_machine(host: str) -> None:
    assert not is_loopback(host)
