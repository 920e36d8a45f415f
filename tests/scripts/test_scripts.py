"""The shell scripts that install: what they refuse, and what they mend."""

import os
import subprocess
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
LINKS = {
    "libarmpl_lp64_mp.so": "libopenblas.so.0",
    "libamath.so": "liblapacke.so.3",
    "libastring.so": "libm.so.6",
}


def command(folder: Path, name: str, text: str) -> Path:
    """A stand-in for a program, first in the PATH."""
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(argument) for argument in arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("script", ["run", "test"])
def test_a_32_bit_userland_gets_one_line(tmp_path: Path, script: str) -> None:
    command(tmp_path / "bin", "dpkg", "echo armhf")
    done = run(SCRIPTS / script, PATH=f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    assert done.returncode == 69
    assert (done.stdout, done.stderr.count("\n")) == ("", 1)
    assert "this one is armhf" in done.stderr


def test_without_root_or_sudo_it_says_what_to_install(tmp_path: Path) -> None:
    # a PATH of its own, with all that the script calls but sudo
    for name in ("bash", "dirname", "sed", "grep", "cat", "env"):
        (tmp_path / name).symlink_to(next(p for p in (Path("/usr/bin") / name, Path("/bin") / name) if p.exists()))
    command(tmp_path, "dpkg", "echo amd64")
    command(tmp_path, "dpkg-query", "exit 1")
    command(tmp_path, "id", "echo 1000")
    done = run(SCRIPTS / "install", "run", PATH=str(tmp_path))
    assert done.returncode == 69
    assert done.stderr.count("\n") == 1
    assert "apt-get install python3-venv libgl1" in done.stderr


def fake_python(folder: Path, machine: str, package: str) -> Path:
    return command(folder, "python", f'case "$2" in *platform*) echo {machine};; *) echo "{package}";; esac')


def test_mending_links_what_the_arm64_wheel_asks_for(tmp_path: Path) -> None:
    package, libraries = tmp_path / "mxnet", tmp_path / "lib"
    package.mkdir()
    libraries.mkdir()
    for target in LINKS.values():
        (libraries / target).touch()
    python = fake_python(tmp_path / "bin", "aarch64", str(package))
    for _ in range(2):
        assert run(SCRIPTS / "mend-mxnet", python, libraries).returncode == 0
        assert {path.name: path.readlink() for path in package.iterdir()} == {
            link: libraries / target for link, target in LINKS.items()
        }


def test_mending_names_what_is_missing(tmp_path: Path) -> None:
    (tmp_path / "mxnet").mkdir()
    done = run(SCRIPTS / "mend-mxnet", fake_python(tmp_path / "bin", "aarch64", str(tmp_path / "mxnet")), tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (69, 1)
    assert "libopenblas0-pthread" in done.stderr
    done = run(SCRIPTS / "mend-mxnet", fake_python(tmp_path / "bin", "aarch64", ""), tmp_path)
    assert (done.returncode, done.stderr.count("\n")) == (78, 1)


def test_elsewhere_there_is_nothing_to_mend(tmp_path: Path) -> None:
    assert run(SCRIPTS / "mend-mxnet", fake_python(tmp_path / "bin", "x86_64", "/nowhere")).returncode == 0
