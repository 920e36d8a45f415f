"""How this edge is installed, and so which commands call, mend or complete it: commands in `...` are for a shell."""

import platform
import shlex
import shutil
import site
import sys
from importlib import metadata
from pathlib import Path

from edge.host.libraries import is_installed

PROJECT = Path(__file__).resolve().parents[2]
"""The clone, where edge runs from one."""
RELEASES = Path("/opt/edge/releases")
"""Where deploys put environments (deploy/roles/edge)."""
DEBIANS = "/usr/lib/python3/dist-packages"
"""Where apt puts Python packages."""
FEATURES = {"openvino": "openvino", "onnx": "quantize"}
"""The feature that brings a package (deploy/roles/edge/files/requirements-*.txt); all others come with edge."""
PI_OS = Path("/etc/rpi-issue")
"""Raspberry Pi OS alone has this file, and a package of picamera2."""


def is_clones() -> bool:
    """Whether this Python is the one that scripts/install has made in the clone."""
    return Path(sys.prefix).parent == PROJECT and (PROJECT / "scripts" / "install").is_file()


def is_release() -> bool:
    """Whether this Python is in a release that a deploy has made."""
    return Path(sys.prefix).resolve().parent == RELEASES


def sees_debians() -> bool:
    """Whether this Python imports what apt installs: not in an environment without the system's packages."""
    return DEBIANS in site.getsitepackages()


def edge_command() -> str:
    """Return how edge is called in a shell: by its name where that finds this one, else by its path."""
    here = Path(sys.prefix) / "bin" / "edge"
    found = shutil.which("edge")
    if not here.exists():
        return f"{shlex.quote(sys.executable)} -m edge"
    return "edge" if found and Path(found).resolve() == here.resolve() else shlex.quote(str(here))


def how_to_repair(package: str) -> str:
    """Return what installs a package that pip knows anew, its commands in `...`: for the Python that runs."""
    python, prefix = shlex.quote(sys.executable), shlex.quote(sys.prefix)
    if is_clones():
        # what is broken and not missing pip would leave; the stamps say that nothing is to be done
        script = shlex.quote(str(PROJECT / "scripts" / "install"))
        return f"`{python} -m pip uninstall -y {package}; rm -f {prefix}/installed-for-*; {script} run`"
    if is_release():
        # what is complete no deploy makes again, and what runs none restarts
        return f"`sudo rm {prefix}/complete`, then deploy edge again, and `sudo systemctl restart edge`"
    try:
        wanted = f"--force-reinstall --no-deps {package}=={metadata.version(package)}"
    except metadata.PackageNotFoundError:
        # a release of its own has what newer Pythons cannot resolve (setup.cfg)
        wanted = "--no-deps mxnet==1.9.1" if package == "mxnet" else package
    return f"`{python} -m pip install {wanted}`"


def how_to_get(package: str) -> str:
    """Return what brings a package that cannot be imported, its command in `...`: for the Python that runs."""
    feature = FEATURES.get(package)
    if feature is None or is_installed(package):
        return how_to_repair(package)
    if is_clones():
        return f"`{shlex.quote(str(PROJECT / 'scripts' / 'install'))} run --with {feature}`"
    if is_release():
        return f"where it was deployed from: `deploy/install -e '{{edge_with: [{feature}]}}'`"
    return f"`{shlex.quote(sys.executable)} -m pip install {package}`"


def how_to_get_systemd() -> str:
    """Return what brings systemd-python, its command in `...`: for the Python that runs."""
    if sees_debians():
        return "`sudo apt install python3-systemd`"
    needs = "gcc pkg-config libsystemd-dev python3-dev"
    return f"`sudo apt install {needs} && {shlex.quote(sys.executable)} -m pip install systemd-python`"


def how_to_get_picamera2() -> str:
    """Return what brings picamera2, which needs what apt alone has, its command in `...`: for the Python that runs."""
    if not PI_OS.exists():
        return f"only Raspberry Pi OS has it, and this is {_system()}: use a USB camera, or that system"
    install = "sudo apt install python3-picamera2"
    if sees_debians():
        return f"`{install}`"
    if is_clones():
        return f"`{install} && {shlex.quote(str(PROJECT / 'scripts' / 'install'))} run`"
    if sys.base_prefix != "/usr":
        return f"`{install}`, and run edge with the system's Python, /usr/bin/python3: this one is {sys.executable}"
    return f"`{install} && /usr/bin/python3 -m venv --system-site-packages {shlex.quote(sys.prefix)}`"


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()
