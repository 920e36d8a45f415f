"""How this edge is installed, and so which commands call, repair or extend it; commands in `...` are for a shell."""

import shlex
import shutil
import site
import sys
from pathlib import Path

from edge.host.libraries import is_installed

PROJECT = Path(__file__).resolve().parents[2]
"""The clone, if edge runs from one."""
RELEASES = Path("/opt/edge/releases")
"""Folder of the deployed environments (deploy/roles/edge)."""
DEBIANS = "/usr/lib/python3/dist-packages"
"""Folder in which apt installs Python packages."""
FEATURES = {
    "openvino": "openvino",
    "ncnn": "ncnn",
    "onnx": "quantize",
    "paho": "link",
    "prometheus_client": "link",
    "pymicro_wakeword": "wake-word",
    "segno": "link",
}
"""The feature that installs each package (deploy/roles/edge/files/requirements-*.txt); others come with edge."""
PI_OS = Path("/etc/rpi-issue")
"""Only Raspberry Pi OS has this file, and a package of picamera2."""


def is_clones() -> bool:
    """Return True if this Python is in the environment that scripts/install has made in the clone."""
    return Path(sys.prefix).parent == PROJECT and (PROJECT / "scripts" / "install").is_file()


def is_release() -> bool:
    """Return True if this Python is in a deployed release."""
    return Path(sys.prefix).resolve().parent == RELEASES


def sees_debians() -> bool:
    """Return True if this Python imports the packages of apt; an environment without system packages does not."""
    return DEBIANS in site.getsitepackages()


def edge_command() -> str:
    """Return the shell command for this edge: its name if PATH finds this one, else its path."""
    here = Path(sys.prefix) / "bin" / "edge"
    found = shutil.which("edge")
    if not here.exists():
        return f"{shlex.quote(sys.executable)} -m edge"
    return "edge" if found and Path(found).resolve() == here.resolve() else shlex.quote(str(here))


def how_to_repair(package: str) -> str:
    """Return how to reinstall a package of pip for this Python, with commands in `...`."""
    python, prefix = shlex.quote(sys.executable), shlex.quote(sys.prefix)
    if is_clones():
        # pip would keep a package that is broken but present; the stamps would make the script skip it
        script = shlex.quote(str(PROJECT / "scripts" / "install"))
        return f"`{python} -m pip uninstall -y {package}; rm -f {prefix}/installed-for-*; {script} run`"
    if is_release():
        # a deploy neither rebuilds a complete release nor restarts a running one
        return f"`sudo rm {prefix}/complete`, then deploy edge again, and `sudo systemctl restart edge`"
    from importlib import metadata  # late: it takes longer than the rest of this module

    try:
        wanted = f"--force-reinstall --no-deps {package}=={metadata.version(package)}"
    except metadata.PackageNotFoundError:
        # newer Pythons cannot resolve mxnet's requirements, hence --no-deps and a fixed release (setup.cfg)
        wanted = "--no-deps mxnet==1.9.1" if package == "mxnet" else package
    return f"`{python} -m pip install {wanted}`"


def how_to_get(package: str) -> str:
    """Return how to get a package that cannot be imported, for this Python, with the command in `...`."""
    feature = FEATURES.get(package)
    if feature is None or is_installed(package):
        return how_to_repair(package)
    if is_clones():
        return f"`{shlex.quote(str(PROJECT / 'scripts' / 'install'))} run --with {feature}`"
    if is_release():
        return f"where it was deployed from: `deploy/install -e '{{edge_with: [{feature}]}}'`"
    return f"`{shlex.quote(sys.executable)} -m pip install {package}`"


def how_to_get_systemd() -> str:
    """Return how to get systemd-python for this Python, with the command in `...`."""
    if sees_debians():
        return "`sudo apt install python3-systemd`"
    needs = "gcc pkg-config libsystemd-dev python3-dev"
    return f"`sudo apt install {needs} && {shlex.quote(sys.executable)} -m pip install systemd-python`"


def how_to_get_picamera2() -> str:
    """Return how to get picamera2 for this Python, with the command in `...`; only apt has its dependencies."""
    if not PI_OS.exists():
        return f"only Raspberry Pi OS has it, and this is {_system()}: use a USB camera, or install Raspberry Pi OS"
    install = "sudo apt install python3-picamera2"
    if sees_debians():
        return f"`{install}`"
    if is_clones():
        return f"`{install} && {shlex.quote(str(PROJECT / 'scripts' / 'install'))} run`"
    if sys.base_prefix != "/usr":
        return f"`{install}`, and run edge with the system's Python, /usr/bin/python3: this one is {sys.executable}"
    return f"`{install} && /usr/bin/python3 -m venv --system-site-packages {shlex.quote(sys.prefix)}`"


def _system() -> str:
    import platform

    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()
