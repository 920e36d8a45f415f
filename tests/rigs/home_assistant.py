"""The real Home Assistant, from PyPI, in a booted Debian 13: set up by its own HTTP interface, as its app does.

The packages are installed once, into a layer that is kept beside the bases (rigs/bases.py).
"""

import fcntl
import json
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from rigs.bases import ROOTS
from rigs.booted import Booted, booted
from rigs.broker import PASSWORD, USER, Broker, free_port
from rigs.processes import wait_until

T = TypeVar("T")

# the last one for Python 3.13
VERSION = "2026.2.3"
_BASE = "fresh-trixie"
_ENVIRONMENT = "/opt/home-assistant"
_CONFIGURATION = "/home/pi/configuration"
_CLIENT = "http://127.0.0.1/"
_SETTINGS = """
homeassistant:
  name: Tests
  latitude: 0
  longitude: 0
  elevation: 0
  unit_system: metric
  time_zone: UTC
  country: DE
http:
  server_host: 127.0.0.1
  server_port: {port}
logger:
  default: info
api:
config:
automation: !include automations.yaml
"""

# it would install what its parts need while it runs: the same, in the same versions, but before
_CORE = """
from importlib.metadata import requires

print("\\n".join(requires("homeassistant")))
"""
_PARTS = """
import json
from pathlib import Path

import homeassistant.components
from homeassistant.bootstrap import CORE_INTEGRATIONS, CRITICAL_INTEGRATIONS, DEFAULT_INTEGRATIONS

(place, *_) = homeassistant.components.__path__
found, seen = set(), set()
todo = [*CORE_INTEGRATIONS, *CRITICAL_INTEGRATIONS, *DEFAULT_INTEGRATIONS, "api", "config", "mqtt"]
while todo:
    name = todo.pop()
    file = Path(place, name, "manifest.json")
    if name not in seen and file.exists():
        seen.add(name)
        manifest = json.loads(file.read_text())
        found |= set(manifest.get("requirements", []))
        todo += manifest.get("dependencies", [])
print("\\n".join(sorted(found)))
"""
_INSTALL = f"""
apt-get update -qq
apt-get install -y -qq --no-install-recommends python3-venv python3-dev gcc libc6-dev
python3 -m venv {_ENVIRONMENT}
cd {_ENVIRONMENT}
bin/pip install -q --no-deps homeassistant=={VERSION}
for what in core parts; do
  bin/python $what.py >$what.txt
  bin/pip install -q -r $what.txt -c lib/python3.13/site-packages/homeassistant/package_constraints.txt
done
bin/hass --version
"""


def _layer() -> Path:
    """Return what an installed Home Assistant adds to the base; it is made where it is missing (minutes)."""
    place = ROOTS / "home-assistant"
    stamp = place / "recipe"
    recipe = _INSTALL + _CORE + _PARTS
    ROOTS.mkdir(parents=True, exist_ok=True)
    with place.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not stamp.exists() or stamp.read_text() != recipe:
            shutil.rmtree(place, ignore_errors=True)
            with booted(place, _BASE, network="host", host="home") as machine:
                machine.write(f"{_ENVIRONMENT}/core.py", _CORE)
                machine.write(f"{_ENVIRONMENT}/parts.py", _PARTS)
                machine.run("sh", "-euc", _INSTALL, timeout_s=1800)
            stamp.write_text(recipe)
    return place / "upper"


class HomeAssistant:
    """One that runs; its first user is us."""

    def __init__(self, machine: Booted) -> None:
        self._machine = machine
        self._port = free_port()
        self._token = ""
        machine.write(f"{_CONFIGURATION}/configuration.yaml", _SETTINGS.format(port=self._port))
        self.automations("[]")
        machine.run("chown", "-R", "pi:pi", _CONFIGURATION)
        self._start()
        self._become_its_user()

    def automations(self, text: str) -> None:
        """Let this be its automations.yaml; a running one reads it when it is told: call("automation", "reload")."""
        self._machine.write(f"{_CONFIGURATION}/automations.yaml", text)

    def _start(self) -> None:
        hass = [f"{_ENVIRONMENT}/bin/hass", "--config", _CONFIGURATION, "--skip-pip"]
        options = ["--quiet", "--collect", "--unit=hass", "--uid=pi", "--gid=pi", "--setenv=HOME=/home/pi"]
        self._machine.run("systemd-run", *options, *hass)
        self._patiently(lambda: self._machine.show("ActiveState", unit="hass")["ActiveState"] == "active")
        self._patiently(self._answers)

    def restart(self) -> None:
        """End it in order and start it again, with all that it has stored."""
        self._machine.run("systemctl", "stop", "hass")
        self._start()

    def _patiently(self, condition: Callable[[], T]) -> T:
        """Like wait_until, but for what takes it some time on a busy machine."""
        try:
            return wait_until(condition)
        except AssertionError:
            return wait_until(condition)

    def _answers(self) -> bool:
        try:
            self._ask("GET", "/manifest.json")
        except (OSError, ValueError):
            return False
        return True

    def _ask(self, method: str, path: str, body: Any = None, form: bool = False) -> Any:
        data = None
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        if body is not None:
            data = urllib.parse.urlencode(body).encode() if form else json.dumps(body).encode()
            headers["Content-Type"] = "application/x-www-form-urlencoded" if form else "application/json"
        request = urllib.request.Request(f"http://127.0.0.1:{self._port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                text = response.read().decode()
        except urllib.error.HTTPError as error:
            raise ValueError(f"{method} {path}: {error.code} {error.read().decode()[:500]}") from None
        try:
            return json.loads(text)
        except ValueError:
            return text

    def _become_its_user(self) -> None:
        user = {"client_id": _CLIENT, "name": "Tests", "username": "tests", "password": "tests", "language": "en"}
        code = self._patiently(lambda: self._ask("POST", "/api/onboarding/users", user))["auth_code"]
        grant = {"grant_type": "authorization_code", "code": code, "client_id": _CLIENT}
        self._token = self._ask("POST", "/auth/token", grant, form=True)["access_token"]

    def connect(self, broker: Broker) -> None:
        """Set its MQTT integration up, as its user would."""
        flow = self._ask("POST", "/api/config/config_entries/flow", {"handler": "mqtt"})
        answer = {"broker": "127.0.0.1", "port": broker.port, "username": USER, "password": PASSWORD}
        done = self._ask("POST", f"/api/config/config_entries/flow/{flow['flow_id']}", answer)
        assert done["type"] == "create_entry", (flow, done)

    def states(self) -> dict[str, dict[str, Any]]:
        """Return its entities by id, each with state and attributes."""
        return {one["entity_id"]: one for one in self._ask("GET", "/api/states")}

    def entities_of(self, device: str) -> dict[str, dict[str, Any]]:
        """Return the entities of a device by its name; none if it has no such device."""
        found = self.template(f"{{{{ device_entities(device_id({device!r})) | sort | tojson }}}}")
        states = self.states()
        return {name: states[name] for name in found if name in states}

    def has_device(self, name: str) -> bool:
        return self.template(f"{{{{ device_id({name!r}) }}}}") not in ("None", None)

    def template(self, text: str) -> Any:
        """Return what one of its templates says."""
        return self._ask("POST", "/api/template", {"template": text})

    def call(self, domain: str, service: str, **data: Any) -> None:
        """Call one of its services, as its buttons and automations do."""
        self._ask("POST", f"/api/services/{domain}/{service}", data)

    def log(self) -> str:
        """Return what it has logged."""
        return self._machine.run("journalctl", "-u", "hass", "--no-pager", "-o", "cat").stdout


@contextmanager
def home_assistant(folder: Path) -> Iterator[HomeAssistant]:
    """A Home Assistant of its own, with nothing in it yet; it sees this machine's loopback."""
    with booted(folder, _BASE, network="host", host="home", on=_layer()) as machine:
        yield HomeAssistant(machine)
