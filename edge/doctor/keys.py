"""Check of the input devices whose keys edge reads."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from edge.doctor.finding import Finding, fault, good, warning
from edge.errors import ConfigError
from edge.host.installation import edge_command
from edge.input.keymap import read_keymap
from edge.input.watch import KeyWatch
from edge.settings import InputSettings

_DROP_IN = "deploy again, or add systemd/drop-ins/input.conf to the service (docs/keys.md)"


def check_keys(settings: InputSettings, running: Mapping[str, Any] | None) -> Iterator[Finding]:
    """Check that the devices are there and may be read; if an edge is `running`, by its status.

    There is no finding if the settings name no device.
    """
    if not settings.devices:
        return
    try:
        keymap = read_keymap(settings)
    except ConfigError as error:
        for one in error.faults:
            yield fault("keys", one, f"`{edge_command()} config --check FILE` checks a file")
        return
    status = ((running or {}).get("input") or {}).get("keys")
    if isinstance(status, Mapping):
        yield _finding(list(status.get("devices") or []), str(status.get("problem") or ""), "the running edge reads ")
        return
    watch = KeyWatch(settings.devices, keymap, lambda _device, _code: None, lambda _press: None)
    try:
        watch.step(time.monotonic, 0.0)
        yield _finding(list(watch.devices), watch.problem, "")
    finally:
        watch.close()


def _finding(devices: list[str], problem: str, who: str) -> Finding:
    read = f"{who}{', '.join(devices)}" if devices else ""
    if not problem:
        return good("keys", read)
    text = f"{problem}; {read}" if read else problem
    if "permission" in problem:
        return fault("keys", text, _DROP_IN)
    return warning("keys", text, f"plug it in; `sudo {edge_command()} keys` lists the devices that are there")
