"""Check of the packages: are they installed, do they load? Each loads in a separate process, because it may crash."""

import json
import platform
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from importlib import metadata

from edge.doctor.finding import Finding, fault, good, warning
from edge.host.installation import how_to_get_picamera2, how_to_get_systemd, how_to_repair
from edge.host.libraries import is_installed

LOAD_S = 120.0
"""How long a library may take to load: MXNet on a Pi Zero takes half a minute."""
_DEFAULT = "mxnet"
_ENGINES = {
    "mxnet": "from edge.engines.mxnet_compat import import_mxnet; import_mxnet()",
    "onnxruntime": "from edge.engines.onnx import import_onnxruntime; import_onnxruntime()",
    "openvino": "from edge.engines.openvino import import_openvino; import_openvino()",
    "ncnn": "from edge.engines.ncnn import import_ncnn; import_ncnn()",
}
"""The code that loads each inference engine; one of them is enough."""
_LOAD = {
    "numpy": "import numpy",
    "opencv-python": "import cv2",
    "pyttsx3": "import pyttsx3",
}
"""The code that loads each package, by the name under which it is installed."""
_WANTED = {
    "systemd-python": ("import systemd.journal", "journal entries have no fields", how_to_get_systemd),
}
_ON_A_PI = {
    "picamera2": ("import picamera2", "a CSI camera cannot be used", how_to_get_picamera2),
}
"""For each package: the code that loads it, the consequence if it is missing, and the command that installs it."""


def check_packages(*, on_a_pi: bool) -> Iterator[Finding]:
    """Check the interpreter, the architecture and the libraries."""
    yield _architecture()
    yield good("python", f"Python {platform.python_version()}, {sys.executable}")
    found: list[str] = []
    yield from _engines(found)
    for name, code in _LOAD.items():
        if reason := _why_not(code):
            yield fault(name, f"cannot be loaded: {reason}", how_to_repair(name))
        else:
            found.append(f"{name} {_version(name)}")
    for name, (code, follows, brings) in (_WANTED | (_ON_A_PI if on_a_pi else {})).items():
        if reason := _why_not(code):
            yield warning(name, f"{follows}: it cannot be loaded ({reason})", brings())
        else:
            found.append(f"{name} {_version(name)}")
    if found:
        yield good("packages", ", ".join(found))


def _engines(found: list[str]) -> Iterator[Finding]:
    """Yield the engines that are installed but do not load; `found` gets those that do. No engine at all is a fault."""
    broken = []
    for name, code in _ENGINES.items():
        reason = _why_not(code)
        if not reason:
            found.append(f"{name} {_version(name)}")
        elif is_installed(name) or name == _DEFAULT:
            broken.append((name, reason))
    for name, reason in broken:
        if not found:
            yield fault(name, f"cannot be loaded: {reason}", how_to_repair(name))
        elif is_installed(name):
            yield warning(name, f"cannot be loaded: {reason}; {found[0]} can be used instead", how_to_repair(name))


def _architecture() -> Finding:
    # the architecture of the programs: a 32-bit system may run on a 64-bit kernel
    dpkg = shutil.which("dpkg")
    if dpkg is None:
        return warning("system", f"{platform.platform()}, without dpkg: edge is tested on Debian only")
    name = subprocess.run(
        [dpkg, "--print-architecture"], capture_output=True, encoding="utf-8", errors="replace", check=False
    ).stdout.strip()
    if name not in ("amd64", "arm64"):
        return fault("system", f"{name}: MXNet has no build for it", "install the 64-bit Raspberry Pi OS")
    return good("system", f"{_os_release().get('PRETTY_NAME', platform.system())}, {name}")


def _os_release() -> Mapping[str, str]:
    try:
        return platform.freedesktop_os_release()
    except OSError:
        return {}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "of unknown version"


def _why_not(code: str) -> str:
    """Return why a library cannot be loaded; empty if it can."""
    # let the child find the same modules as this process
    start = f"import sys; sys.path[:] = {json.dumps(sys.path)}; "
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", start + code],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
            timeout=LOAD_S,
        )
    except subprocess.TimeoutExpired:
        return f"it does not load within {LOAD_S:.0f} s"
    if done.returncode < 0:
        return f"it crashes ({signal.Signals(-done.returncode).name})"
    if done.returncode:
        last = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
        return last.removeprefix("edge.errors.ModelError: ")
    return ""
