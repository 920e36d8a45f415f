"""Make an archive that installs edge on a Pi without internet.

It contains the Debian packages with all their dependencies, the Python wheels, Ansible for the Pi itself, models, this
project, the list of these components (sbom.py), and the checksum of each file.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

DEPLOY = Path(__file__).resolve().parents[1]
PROJECT = DEPLOY.parent
sys.path.insert(0, str(DEPLOY / "filter_plugins"))

from edge_filters import source_digest, source_version  # noqa: E402  (found by the line above)
from sbom import sbom, sha256  # noqa: E402  (an import above it is found by that line)

PYTHONS = {"bookworm": "3.11", "trixie": "3.13"}
PLATFORMS = {"amd64": "x86_64", "arm64": "aarch64"}
MANYLINUX = ("2014", "_2_17", "_2_24", "_2_26", "_2_27", "_2_28", "_2_31", "_2_34", "_2_35", "_2_36")
"""Tags of wheels that run on the C library of Debian 12 (2.36) and later."""
PAGES = ("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md")
MIRROR = "http://deb.debian.org/debian"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
PACKAGES = [
    *("python3-venv", "python3-apt", "python3-numpy", "python3-systemd"),
    *("espeak-ng", "libespeak-ng1", "alsa-utils", "libgl1", "libgomp1"),
]
"""As in roles/edge/vars/main.yml; tests compare the two."""
REQUIREMENTS = DEPLOY / "roles/edge/files/requirements.txt"
FEATURES = {
    file.stem.removeprefix("requirements-"): file for file in sorted(REQUIREMENTS.parent.glob("requirements-*.txt"))
}
GLIB = {"bookworm": "libglib2.0-0", "trixie": "libglib2.0-0t64"}
FOR_MXNET = {"amd64": ["libquadmath0"], "arm64": ["libopenblas0-pthread", "liblapacke", "libgfortran5"]}
INSTALL = """\
#!/usr/bin/env bash
# Installs edge from this folder, without internet; the arguments are those of deploy/install. It verifies the checksum
# of every file before it changes anything.
set -euo pipefail
cd "$(dirname "$0")"
sha256sum --check --strict --quiet SHA256SUMS || {
  echo "This bundle is damaged (see above); nothing was changed. Copy it again." >&2
  exit 78
}
exec ./project/deploy/controller/from-bundle "$PWD" "$@"
"""


class BundleError(Exception):
    """There is no bundle: the reason in one line, with advice."""


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    try:
        made = make(options)
    except BundleError as error:
        print(f"deploy/bundle: {error}", file=sys.stderr)
        return 69
    print(f"\n{made}: {made.stat().st_size / 2**20:.0f} MiB. On the Pi:\n")
    print(f"    sha256sum --check {made.name}.sha256 && tar xf {made.name} && {made.name.removesuffix('.tar')}/install")
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="deploy/bundle", description=__doc__.partition("\n")[0])
    parser.add_argument("--release", choices=list(PYTHONS), default="bookworm", help="the Pi's system")
    parser.add_argument("--arch", choices=list(PLATFORMS), default="arm64", help="the Pi's architecture")
    parser.add_argument(
        "--with",
        dest="features",
        type=lambda text: sorted(set(filter(None, text.split(",")))),
        default=[],
        metavar="FEATURE,...",
        help=f"optional features: {', '.join(FEATURES)}",
    )
    parser.add_argument(
        "--model", action="append", default=[], metavar="NAME", help="a model of the catalogue to download"
    )
    parser.add_argument("--from", dest="origin", metavar="DIR|URL", help="download --model from here")
    parser.add_argument(
        "--model-folder",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a folder with a checkpoint to include",
    )
    parser.add_argument("--mirror", default=MIRROR, metavar="URL", help=f"Debian archive (default: {MIRROR})")
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="LINE",
        help="an additional line of sources.list, as for picamera2",
    )
    parser.add_argument("--package", action="append", default=[], metavar="NAME", help="an additional Debian package")
    parser.add_argument(
        "--keyring", type=Path, default=KEYRING, metavar="FILE", help=f"keys of the Debian archive (default: {KEYRING})"
    )
    parser.add_argument("-o", "--output", type=Path, default=Path(), metavar="DIR", help="the folder for the archive")
    return parser


def make(options: argparse.Namespace) -> Path:
    """Make the archive, complete or not at all, and return its path. Raises BundleError."""
    name = f"edge-{source_version(str(PROJECT))}-{options.release}-{options.arch}"
    for folder in options.model_folder:
        if not any(folder.glob("*-symbol.json")):
            raise BundleError(f"{folder} has no checkpoint (NAME-symbol.json): give the folder with its files")
    for feature in options.features:
        if feature not in FEATURES:
            raise BundleError(f"--with: there is no {feature}; known: {', '.join(FEATURES)}")
    for tool in ("apt-get", "dpkg-deb"):
        if shutil.which(tool) is None:
            raise BundleError(f"there is no {tool}: make the bundle on Debian, Ubuntu or Raspberry Pi OS")
    if not options.keyring.exists():
        raise BundleError(f"{options.keyring} is missing: sudo apt install debian-archive-keyring")
    with tempfile.TemporaryDirectory(prefix="edge-bundle-") as work:
        whole = Path(work) / name
        target = whole / "target"
        for folder in (target / "debs", target / "wheels", target / "models", whole / "controller"):
            folder.mkdir(parents=True)
        with step("edge itself"):
            copy_project(whole / "project")
        with step("Python packages"):
            for requirements in (REQUIREMENTS, *(FEATURES[feature] for feature in options.features)):
                download_wheels(requirements, target / "wheels", options.release, options.arch)
        with step("Ansible, for the Pi itself"):
            download_wheels(DEPLOY / "controller/requirements.txt", whole / "controller", options.release, options.arch)
        with step("Debian packages, with all that they depend on"):
            download_debs(options, target / "debs", Path(work) / "apt")
        for model in options.model:
            with step(f"the model {model}"):
                fetch_model(model, target / "models", options.origin)
        for folder in options.model_folder:
            shutil.copytree(folder, target / "models" / folder.resolve().name)
        models = sorted(folder.name for folder in (target / "models").iterdir())
        (whole / "models").write_text("".join(f"{model}\n" for model in models))
        version, digest = source_version(str(PROJECT)), source_digest(str(PROJECT))
        listed = json.dumps(sbom(version, digest, options.release, target, whole / "controller"), indent=1)
        (whole / "sbom.cdx.json").write_text(f"{listed}\n", encoding="utf-8")
        write_apt_settings(target)
        with step("checksums, and the archive"):
            note_checksums(target)
            pack(target, whole / "target.tar")
            shutil.rmtree(target)
            (whole / "install").write_text(INSTALL)
            (whole / "install").chmod(0o755)
            (whole / "features").write_text("".join(f"{feature}\n" for feature in options.features))
            (whole / "kind").write_text(f"{options.release} {options.arch}\n")
            note_checksums(whole)
            options.output.mkdir(parents=True, exist_ok=True)
            archive: Path = options.output / f"{name}.tar"
            half = archive.with_suffix(".part")
            pack(whole, half)
            half.replace(archive)
        digest = sha256(archive)
        Path(f"{archive}.sha256").write_text(f"{digest}  {archive.name}\n")
    return archive


@contextmanager
def step(what: str) -> Iterator[None]:
    """Print the current step, and how long it took."""
    print(f"{what} ...", end="", flush=True)
    begun_s = time.monotonic()
    yield
    print(f" {time.monotonic() - begun_s:.0f} s", flush=True)


def run(*command: str, environment: dict[str, str] | None = None) -> str:
    """Run a command and return its output. Raises BundleError with its last line if it fails."""
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "LC_ALL": "C.UTF-8", **(environment or {})},
    )
    if done.returncode:
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        errors = [line for line in lines if line.startswith(("E:", "ERROR:"))]
        raise BundleError(f"{Path(command[0]).name}: {(errors or lines or ['failed'])[-1]}")
    return done.stdout


def copy_project(folder: Path) -> None:
    """Copy the parts of this project that a deploy needs, and make what a release is made of."""
    unwanted = shutil.ignore_patterns("__pycache__", ".venv", ".cache", "inventory.yml", "host_vars", "*.egg-info")
    for name in ("deploy", "docs", "edge", "scripts", "systemd"):
        shutil.copytree(PROJECT / name, folder / name, ignore=unwanted, symlinks=True)
    for name in (*PAGES, "LICENSE", "NOTICE", "pyproject.toml", "setup.cfg"):
        shutil.copy(PROJECT / name, folder)
    # the playbook looks here before it makes them
    parts = folder / "deploy/.cache" / source_digest(str(PROJECT))[:16]
    run(str(DEPLOY / "roles/edge/files/make-parts"), str(folder), str(parts), sys.executable)


def download_wheels(requirements: Path, folder: Path, release: str, architecture: str) -> None:
    """Download the wheels of a requirements file, which has their checksums, for another machine."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--no-deps"]
    pip += ["--only-binary", ":all:", "--require-hashes", "--python-version", PYTHONS[release]]
    pip += [f"--platform=manylinux{tag}_{PLATFORMS[architecture]}" for tag in MANYLINUX]
    run(*pip, "--dest", str(folder), "-r", str(requirements))


def download_debs(options: argparse.Namespace, folder: Path, work: Path) -> None:
    """Download all Debian packages, from the C library to the voice, with an apt that sees an empty machine."""
    for name in ("etc/apt/apt.conf.d", "etc/apt/preferences.d", "var/lib/apt/lists/partial", "var/lib/dpkg"):
        (work / name).mkdir(parents=True)
    (work / "var/cache/apt/archives/partial").mkdir(parents=True)
    (work / "var/lib/dpkg/status").touch()
    signed = f"deb [signed-by={options.keyring}] {options.mirror}"
    security = f"{options.mirror.rstrip('/')}-security {options.release}-security main"
    (work / "etc/apt/sources.list").write_text(
        f"{signed} {options.release} main\n{signed} {options.release}-updates main\n"
        f"deb [signed-by={options.keyring}] {security}\n" + "".join(f"{line}\n" for line in options.source)
    )
    settings = work / "apt.conf"
    settings.write_text(
        f'Dir "{work}";\nDir::State::status "{work}/var/lib/dpkg/status";\nDir::Etc::main "{work}/none";\n'
        f'APT::Architecture "{options.arch}";\nAPT::Architectures "{options.arch}";\n'
        'APT::Install-Recommends "false";\nAcquire::Languages "none";\nAPT::Sandbox::User "";\n'
    )
    apt = {"APT_CONFIG": str(settings)}
    run("apt-get", "update", "-qq", environment=apt)
    wanted = [*PACKAGES, GLIB[options.release], *FOR_MXNET[options.arch], *options.package]
    run("apt-get", "install", "-qq", "--yes", "--download-only", *wanted, environment=apt)
    index = []
    for deb in sorted((work / "var/cache/apt/archives").glob("*.deb")):
        moved = folder / deb.name.replace("%3a", ":")
        shutil.move(deb, moved)
        control = run("dpkg-deb", "--field", str(moved)).rstrip("\n")
        index.append(f"{control}\nFilename: ./{moved.name}\nSize: {moved.stat().st_size}\nSHA256: {sha256(moved)}\n")
    (folder / "Packages").write_text("\n".join(index))


def write_apt_settings(target: Path) -> None:
    """Write settings for APT_CONFIG: apt sees only the packages of the bundle; the lists of the system stay."""
    shutil.copy(DEPLOY / "roles/edge/files/point-apt-at", target)
    (target / "apt.conf.in").write_text(
        'Dir::Etc::sourcelist "@TARGET@/sources.list";\nDir::Etc::sourceparts "-";\n'
        'Dir::State::lists "@TARGET@/lists";\nDir::Cache "@TARGET@/cache";\n'
        'APT::Sandbox::User "root";\nAcquire::Languages "none";\n'
    )
    (target / "sources.list.in").write_text("deb [trusted=yes] file:@TARGET@/debs ./\n")


def fetch_model(name: str, folder: Path, origin: str | None) -> None:
    """Let edge download and check a model of its catalogue."""
    edge = [str(PROJECT / ".venv/bin/python"), "-P", "-m", "edge", "models", "fetch", name, "--store", str(folder)]
    run(*edge, *(["--from", origin] if origin else []))


def note_checksums(folder: Path) -> None:
    """Write SHA256SUMS of all files in a folder, as sha256sum reads it."""
    files = sorted(file for file in folder.rglob("*") if file.is_file())
    lines = [f"{sha256(file)}  {file.relative_to(folder)}\n" for file in files]
    (folder / "SHA256SUMS").write_text("".join(lines))


def pack(folder: Path, archive: Path) -> None:
    """Write a plain archive: its files are compressed already. It does not reveal who made it."""

    def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        entry.mode = 0o755 if entry.isdir() or entry.mode & 0o100 else 0o644
        return entry

    with tarfile.open(archive, "w") as opened:
        opened.add(folder, folder.name, filter=anonymous)


if __name__ == "__main__":
    sys.exit(main())
