"""The device as Home Assistant shows it: one retained message for all its entities. Pure.

The keys are those of Home Assistant's MQTT discovery: https://www.home-assistant.io/integrations/mqtt/
"""

from typing import Any

from edge import __version__
from edge.link.mqtt.names import OFFLINE, ONLINE, Names

MOST_NAME = 80
"""Characters of a thing's name, as in edge/models/taught/record.py."""
_OBJECT_IDS = str.maketrans("-", "_")


def discovery_of(names: Names) -> dict[str, Any]:
    """Return the payload of the device discovery."""
    components = {key: _component(names, key, entity) for key, entity in _entities(names).items()}
    return {
        "device": {
            "identifiers": [names.device],
            "name": names.device_name,
            "manufacturer": "edge",
            "model": "A Raspberry Pi that says what it sees",
            "sw_version": __version__,
        },
        "origin": {"name": "edge link", "sw_version": __version__},
        "availability_topic": names.availability,
        "payload_available": ONLINE,
        "payload_not_available": OFFLINE,
        "components": components,
    }


def _component(names: Names, key: str, entity: dict[str, Any]) -> dict[str, Any]:
    node = names.node.lower().translate(_OBJECT_IDS)
    return {
        **entity,
        "unique_id": f"{names.device}_{key}",
        "default_entity_id": f"{entity['platform']}.edge_{node}_{key}",
    }


def _entities(names: Names) -> dict[str, dict[str, Any]]:
    def of_state(platform: str, name: str, template: str, **more: Any) -> dict[str, Any]:
        return {"platform": platform, "name": name, "state_topic": names.state, "value_template": template, **more}

    def value(key: str) -> str:
        return f"{{{{ value_json.{key} }}}}"

    def problem(name: str, key: str) -> dict[str, Any]:
        return of_state(
            "binary_sensor",
            name,
            f"{{{{ 'ON' if value_json.{key} else 'OFF' }}}}",
            device_class="problem",
            json_attributes_topic=names.state,
            json_attributes_template=f"{{{{ {{'problem': value_json.{key}}} | tojson }}}}",
        )

    def command(platform: str, name: str, topic: str, **more: Any) -> dict[str, Any]:
        return {"platform": platform, "name": name, "command_topic": names.command(topic), **more}

    measured = {"entity_category": "diagnostic", "state_class": "measurement"}
    switch = {"state_on": "ON", "state_off": "OFF"}
    return {
        "sees": of_state(
            "sensor",
            "Sees",
            "{{ value_json.sees or 'nothing' }}",
            icon="mdi:eye",
            json_attributes_topic=names.state,
            json_attributes_template="{{ {'text': value_json.text} | tojson }}",
        ),
        "confidence": of_state(
            "sensor",
            "Confidence",
            value("confidence"),
            unit_of_measurement="%",
            state_class="measurement",
            icon="mdi:percent",
        ),
        "last_said": of_state("sensor", "Last said", value("last_said"), icon="mdi:account-voice"),
        "model": of_state(
            "sensor",
            "Model",
            value("model"),
            entity_category="diagnostic",
            icon="mdi:brain",
            json_attributes_topic=names.state,
            json_attributes_template="{{ {'engine': value_json.engine, 'version': value_json.version} | tojson }}",
        ),
        "inference_time": of_state(
            "sensor",
            "Inference time",
            value("inference_ms"),
            device_class="duration",
            unit_of_measurement="ms",
            **measured,
        ),
        "temperature": of_state(
            "sensor",
            "Temperature",
            value("temperature"),
            device_class="temperature",
            unit_of_measurement="°C",
            **measured,
        ),
        "memory": of_state(
            "sensor",
            "Memory",
            value("memory_mib"),
            device_class="data_size",
            unit_of_measurement="MiB",
            **measured,
        ),
        "sight": problem("Sight", "sight"),
        "sound": problem("Sound", "sound"),
        "camera": of_state(
            "binary_sensor",
            "Camera",
            "{{ 'ON' if value_json.camera else 'OFF' }}",
            device_class="connectivity",
        ),
        "announcement": {
            "platform": "event",
            "name": "Announcement",
            "state_topic": names.announced,
            "event_types": ["announced"],
            "icon": "mdi:bullhorn",
        },
        "look": command("button", "Look", "look", icon="mdi:eye-circle"),
        "wake": command("button", "Wake", "wake", icon="mdi:alarm"),
        # the topic is called pause, and the switch is on while edge looks
        "looking": {
            **of_state("switch", "Looking", "{{ 'ON' if value_json.looking else 'OFF' }}", icon="mdi:cctv", **switch),
            "command_topic": names.command("pause"),
            "payload_on": "OFF",
            "payload_off": "ON",
        },
        "quiet": {
            **of_state("switch", "Quiet", "{{ 'ON' if value_json.quiet else 'OFF' }}", icon="mdi:sleep", **switch),
            "command_topic": names.command("snooze"),
        },
        "say": command("notify", "Say", "say", icon="mdi:message-text"),
        # its text is the name while the thing is being taught, and empty at other times
        "teach": {
            **of_state("text", "Teach", "{{ value_json.teaching or '' }}", icon="mdi:school", max=MOST_NAME),
            "command_topic": names.command("teach"),
        },
        "cancel_teaching": command("button", "Cancel teaching", "cancel_teaching", icon="mdi:cancel"),
        "taught": of_state(
            "sensor",
            "Taught things",
            "{{ value_json.taught or 'nothing' }}",
            entity_category="diagnostic",
            icon="mdi:shape-plus",
        ),
    }
