#!/usr/bin/env python3
"""Write the size of the download for each file of the lock; scripts/install prints it before it starts.

    scripts/lock_sizes.py OUTPUT REQUIREMENTS...

Each line of OUTPUT is: file, Python, machine, megabytes (10^6 bytes). pip chooses the wheels; nothing is downloaded.
"""

import functools
import json
import re
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "deploy/controller"))

from bundle import MANYLINUX, PLATFORMS, PYTHONS  # noqa: E402  (found by the line above)

SOURCE_ONLY = "systemd-python"
"""Has no wheel; some 60 kB, and not to be built for another machine."""


def pinned(file: Path, python: str, machine: str) -> list[str]:
    """The packages that a file of the lock has for such a machine, 'name==version', without those of files it includes.

    pip itself would judge the markers by the Python that runs, not by the one that is asked for.
    """
    target = {"python_version": python, "python_full_version": f"{python}.0", "platform_machine": machine}
    lines = re.findall(r"(?m)^[a-z0-9.-]+==.*?(?= *\\?$)", file.read_text(encoding="utf-8"))
    wanted = [one for one in map(Requirement, lines) if one.marker is None or one.marker.evaluate(target)]
    return [f"{one.name}{one.specifier}" for one in wanted if one.name != SOURCE_ONLY]


def wheels(packages: list[str], python: str, machine: str) -> list[str]:
    """The addresses of the wheels that pip would install on such a machine."""
    pip = [sys.executable, "-m", "pip", "install", "--dry-run", "--quiet", "--no-deps", "--report", "-"]
    pip += ["--only-binary", ":all:", "--ignore-requires-python", "--python-version", python]
    pip += [f"--platform=manylinux{tag}_{machine}" for tag in MANYLINUX]
    # a target is asked for where the machine is another; a dry run writes nothing into it
    with tempfile.TemporaryDirectory() as target:
        done = subprocess.run([*pip, "--target", target, *packages], check=True, stdout=subprocess.PIPE, text=True)
    return [one["download_info"]["url"] for one in json.loads(done.stdout)["install"]]


@functools.cache
def size(url: str) -> int:
    """The bytes of a file on the index."""
    if url.startswith("file:"):
        return Path(urllib.request.url2pathname(url.removeprefix("file://"))).stat().st_size
    with urllib.request.urlopen(urllib.request.Request(url, method="HEAD"), timeout=60) as answer:
        return int(answer.headers["Content-Length"])


def main(arguments: list[str]) -> int:
    output, *files = (Path(argument) for argument in arguments)
    lines = []
    for file in files:
        for python in PYTHONS.values():
            for machine in PLATFORMS.values():
                total = sum(size(url) for url in wheels(pinned(file, python, machine), python, machine))
                lines.append(f"{file.name} {python} {machine} {total / 1e6:.0f}\n")
    output.write_text(
        "# What each file of the lock downloads, in megabytes; written by scripts/lock.\n" + "".join(lines)
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
