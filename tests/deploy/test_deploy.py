"""deploy/ in booted machines that have nothing of ours: install, upgrade, rollback, uninstall, a fleet over SSH."""

import contextlib
import json
import platform
import random
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from edge_filters import source_digest
from rigs.bases import PROJECT, parts_of
from rigs.booted import Booted, booted, why_not
from rigs.network import cabled
from rigs.service import events, heard, lay_card, until, wait_for_announcement
from rigs.stores import write_scenes
from rigs.taught import pictures, thing

from edge.models.taught.archive import export_things
from edge.models.taught.store import TaughtStore

pytestmark = [
    pytest.mark.integration,
    pytest.mark.root,
    pytest.mark.system,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"),
]

DROP_INS = "/etc/systemd/system/edge.service.d"
# the bundled network by another name, as a model that the deploy has to bring
DEMO = {"edge_settings": {"camera": {"source": "demo", "loop": True}}, "edge_button_gpio": 17}
FIRMWARE = "# the firmware\ndtparam=audio=on\n[pi4]\narm_boost=1\n"
"""The firmware's settings on a card."""
OVERLAY = "\n[all]\ndtoverlay=gpio-key,gpio=17,active_low=1,gpio_pull=up,keycode=60\n"
REBOOT = "The change for the button in /boot/firmware/config.txt takes effect at the next boot: sudo reboot"
VARIABLES = "project/deploy/host_vars/this-pi.yml"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


# ---- machines


def lay_out(machine: Booted) -> None:
    """What a test needs in a machine before edge is installed."""
    lay_card(machine)
    machine.write("/boot/firmware/config.txt", FIRMWARE)
    if machine.slowness > 1:  # qemu cannot make network namespaces
        machine.write("/usr/lib/systemd/system/edge.service.d/emulated.conf", "[Service]\nPrivateNetwork=no\n")


def words(machine: Booted) -> list[str]:
    """The labels that the process which runs now has announced; waits for the first."""
    wait_for_announcement(machine)
    return [one["EDGE_LABEL"] for one in events(machine, "announced")]


def used(machine: Booted) -> str:
    """The name of the release that runs."""
    return machine.run("readlink", "/opt/edge/current").stdout.strip().removeprefix("releases/")


def begin(machine: Booted, folder: str, mode: str = "control-group") -> None:
    """Start deploy/install as a person would, and do not wait for it; `mode` is what ends with it (KillMode)."""
    run = ["systemd-run", "--unit=deploying", "--uid=pi", "--gid=pi", f"--property=KillMode={mode}"]
    run += ["--property=StandardOutput=file:/tmp/deploying", "--setenv=HOME=/home/pi", f"{folder}/install"]
    machine.run(*run)


def interrupt(machine: Booted, *, alone: bool = False) -> str:
    """Kill it, alone or with all that it has started; return the name of the task that it was at."""
    whom = "--kill-whom=main" if alone else "--kill-whom=all"
    machine.run("systemctl", "kill", "--signal=KILL", whom, "deploying", check=False)
    tasks = re.findall(r"TASK \[(.*?)\]", (machine.root / "tmp/deploying").read_text())
    return str(tasks[-1]) if tasks else "before the first task"


def recap(told: str) -> dict[str, int]:
    """What Ansible counts at the end, of the last host."""
    (*_, line) = re.findall(r"(?m)^\S+ +: (ok=.*)$", told)
    return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", line)}


def deploy(machine: Booted, folder: str, *arguments: str, check: bool = True, script: str = "install") -> str:
    """Run a script of deploy/ as a person would; returns what it printed."""
    done = machine.run_as("pi", f"{folder}/{script}", *arguments, check=False, timeout_s=600)
    told = done.stdout + done.stderr
    assert not check or done.returncode == 0, told[-6000:]
    assert check or done.returncode != 0, told[-6000:]
    return told


def flat(told: str) -> str:
    """What was printed, without the line breaks that Ansible puts into long messages."""
    return " ".join(told.split())


# ---- bundles


@pytest.fixture(scope="module")
def bundle(fresh: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An archive for the machines of this release."""
    _, release, architecture = parts_of(fresh)
    folder = tmp_path_factory.mktemp("bundle")
    lay_model(folder / "mine")
    options = [
        "--release",
        release,
        "--arch",
        architecture or ARCHITECTURES[platform.machine()],
        "--output",
        str(folder),
    ]
    options += ["--model-folder", str(folder / "mine"), "--with", "link,openvino,quantize"]
    done = subprocess.run([PROJECT / "deploy/bundle", *options], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (archive,) = folder.glob("*.tar")
    yield archive
    shutil.rmtree(folder)


def lay_model(folder: Path) -> None:
    """A folder with a checkpoint, as people have them."""
    shutil.copytree(PROJECT / "edge/data/demo", folder, ignore=shutil.ignore_patterns("clip.*", "manifest.json"))


def unpack(machine: Booted, archive: Path) -> str:
    """Bring an archive into a machine as its user would, and return the folder."""
    shutil.copy(archive, machine.root / "home/pi")
    shutil.copy(f"{archive}.sha256", machine.root / "home/pi")
    name = archive.stem
    machine.run_as(
        "pi",
        "sh",
        "-euc",
        f"sha256sum --quiet --check {archive.name}.sha256; tar xf {archive.name}; rm {archive.name}*",
    )
    machine.write(f"/home/pi/{name}/{VARIABLES}", json.dumps(DEMO))
    return f"/home/pi/{name}"


def other_version(machine: Booted, folder: str, tmp_path: Path, name: str, edits: dict[str, tuple[str, str]]) -> str:
    """A second project beside the bundle's, with edits (a pattern and what takes its place, by file), and its deploy/.

    Its wheel is built here, for the machine has no network.
    """
    project = tmp_path / name
    listed = ["git", "-C", str(PROJECT), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
    for one in filter(None, names):
        if not one.startswith("tests/") and (PROJECT / one).exists():
            (project / one).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / one, project / one)
    for file, (pattern, text) in edits.items():
        before = (project / file).read_text()
        after, count = re.subn(pattern, text, before)
        assert count, f"{file} has no {pattern}"
        (project / file).write_text(after)
    # as the playbook would
    parts = project / "deploy/.cache" / source_digest(str(project))[:16]
    subprocess.run([project / "deploy/roles/edge/files/make-parts", project, parts, sys.executable], check=True)
    machine.copy_in(project, f"{folder}/{name}", owner="pi")
    shutil.rmtree(project)
    machine.write(f"{folder}/{name}/deploy/host_vars/this-pi.yml", json.dumps({**DEMO, "edge_bundle": folder}))
    return f"{folder}/{name}/deploy"


CRASHES = {
    "edge/__init__.py": (r'__version__ = ".*"', '__version__ = "9.0.0"'),
    "edge/pipeline.py": (r"(?m)^from ", 'raise RuntimeError("boom")\nfrom '),
}
NEXT = {
    "edge/__init__.py": (r'__version__ = ".*"', '__version__ = "9.2.0"'),
    "edge/settings.py": (
        r'class InputSettings:\n    """.*"""\n',
        r'\g<0>\n    of_next: bool = setting(False)\n    """A key that only this release knows."""',
    ),
}
KNOWS_NO_PER_MINUTE = {
    "edge/__init__.py": (r'__version__ = ".*"', '__version__ = "9.1.0"'),
    "edge/settings.py": (r"\bper_minute\b", "words_per_minute"),
    "edge/announce/schedule.py": (r"\bper_minute\b", "words_per_minute"),
    "edge/announce/limits.py": (r"\bper_minute\b", "words_per_minute"),
    "edge/announce/announcer.py": (r"\bper_minute\b", "words_per_minute"),
    "edge/data/edge.toml": (r"\bper_minute\b", "words_per_minute"),
}


@pytest.fixture(scope="module")
def laid(fresh: str, bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, str]]:
    """The files of a machine with an unpacked bundle and a card, and the bundle's folder in it."""
    place = tmp_path_factory.mktemp("laid")
    machine = Booted(place, fresh)
    lay_out(machine)
    try:
        machine.boot()
        folder = unpack(machine, bundle)
    finally:
        machine.close()
    yield machine.upper, folder
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture(scope="module")
def installed(
    fresh: str, laid: tuple[Path, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Path, str]]:
    """The files of a machine with edge installed from a bundle, and the bundle's folder in it."""
    place = tmp_path_factory.mktemp("installed")
    machine = Booted(place, fresh)
    subprocess.run(["cp", "-a", f"{laid[0]}/.", machine.upper], check=True)
    try:
        machine.boot()
        begun_s = time.monotonic()
        told = deploy(machine, laid[1])
        took_s = time.monotonic() - begun_s
        (place / "took_s").write_text(f"{took_s}")
        print(f"{fresh}: installed in {took_s:.0f} s")
        assert re.search(r"(?m)^this-pi +\S+ +mine +the demo clip +pyttsx3 +active$", told), told[-3000:]
        assert REBOOT in flat(told)
        words(machine)
    finally:
        machine.close()
    yield machine.upper, laid[1]
    shutil.rmtree(place, ignore_errors=True)


@pytest.fixture
def pi(fresh: str, installed: tuple[Path, str], tmp_path: Path) -> Iterator[Booted]:
    """A machine on which edge was installed, and has just booted."""
    with booted(tmp_path / "pi", fresh, on=installed[0]) as machine:
        yield machine
    shutil.rmtree(tmp_path / "pi", ignore_errors=True)


# ---- as it is delivered


def test_after_a_boot_it_speaks_and_only_root_may_change_it(pi: Booted) -> None:
    first = words(pi)[0]
    assert pi.show("UnitFileState")["UnitFileState"] == "enabled"
    # the firmware's settings have the button, and the service may read its device, which this kernel cannot have
    assert (pi.root / "boot/firmware/config.txt").read_text().removeprefix(FIRMWARE).count(OVERLAY) == 1
    assert (pi.root / "boot/firmware/config.txt.before-edge").read_text() == FIRMWARE
    assert "input" in pi.show("SupplementaryGroups")["SupplementaryGroups"].split()
    keys = json.loads(pi.run("/usr/local/bin/edge", "status", "--json").stdout)["input"]["keys"]
    assert keys["devices"] == []
    assert keys["problem"]
    said = events(pi, "announced")[0]["MESSAGE"].rpartition(" (")[0]
    assert said.endswith(first)
    until(pi, lambda: heard(pi, said))
    # no file that others may write, or that runs as somebody else; and no way for the service's own user to its code
    listed = pi.files()
    ours = {path: about for path, about in listed.items() if path.startswith("/opt/edge/")}
    assert len(ours) > 1000
    user = pi.run("id", "-u", "edge").stdout.strip()
    for path, about in ours.items():
        mode, owner, *_ = about.split()
        assert owner == "0:0", (path, about)
        assert mode.startswith("l") or (mode[8] != "w" and mode[5] != "w" and not set("sStT") & set(mode[1:])), (
            path,
            about,
        )
    outside = {
        path: about for path, about in listed.items() if "edge" in path.split("/")[-1] and not path.startswith("/home")
    }
    for path, about in outside.items():
        mode, owner, *_ = about.split()
        assert mode.startswith("l") or mode[8] != "w", (path, about)
        if owner.startswith(f"{user}:"):
            assert path.startswith(("/var/lib/edge", "/run/edge")), (path, about)
    tried = pi.run("runuser", "-u", "edge", "--", "sh", "-c", "echo x > /opt/edge/current/bin/edge", check=False)
    assert "Permission denied" in tried.stderr


def test_features_are_added_kept_and_run_in_the_service(
    pi: Booted, installed: tuple[Path, str], tmp_path: Path
) -> None:
    """OpenVINO and the tools for int8: not there, then brought, kept by an upgrade that does not ask, and gone back."""
    if pi.slowness > 1:
        pytest.skip("ONNX Runtime cannot be imported where /proc/cpuinfo is another kind of processor's")
    edge = ["/usr/local/bin/edge"]
    set_engine(pi, "onnx")
    pi.run("sed", "--in-place", 's/.*engine = ".*"/engine = "openvino"/', "/etc/edge/edge.toml")
    # the running edge refuses what it cannot open, says what brings it, and goes on
    pi.run("systemctl", "reload", "edge", check=False)
    until(pi, lambda: "edge_with: [openvino]" in pi.run("journalctl", "--unit=edge", "--output=cat").stdout)
    # what the settings need comes with the next deploy, and so does what is asked for
    pi.write(f"{installed[1]}/{VARIABLES}", json.dumps({**DEMO, "edge_with": ["quantize"]}))
    deploy(pi, installed[1])
    second = used(pi)
    until(pi, lambda: json.loads(pi.run(*edge, "status", "--json").stdout)["engine"] == "openvino")
    write_scenes(pi.root / "tmp")
    told = pi.run("runuser", "-u", "edge", "--", *edge, "models", "quantize", "mine", "--images", "/tmp").stdout
    assert re.search(r"onnx +\d+.*passes\nopenvino +\d+.*passes", told), told
    pi.run("sed", "--in-place", 's/.*precision = ".*"/precision = "int8"/', "/etc/edge/edge.toml")
    pi.run("systemctl", "reload", "edge")
    until(pi, lambda: json.loads(pi.run(*edge, "status", "--json").stdout)["engine"] == "openvino int8")
    # a release that was made before there were features does not say which it has
    pi.run("rm", "/opt/edge/current/share/edge/features")
    folder = other_version(pi, installed[1], tmp_path, "next", NEXT)
    deploy(pi, folder)
    assert used(pi).startswith("9.2.0-")
    until(pi, lambda: json.loads(pi.run(*edge, "status", "--json").stdout)["engine"] == "openvino int8")
    assert words(pi)
    # what only the next release knows does not keep anybody from going back, and is not lost
    third, settings = used(pi), pi.root / "etc/edge/edge.toml"
    older = settings.read_text()
    newer = re.sub(r"(?m)^\[input\]$", "[input]\nof_next = true", older)
    newer = newer if newer != older else f"{older}\n[input]\nof_next = true\n"
    settings.write_text(newer)
    pi.run("systemctl", "reload", "edge")
    told = deploy(pi, folder, script="rollback")
    assert f"release {second} cannot use the present settings, so those are back" in flat(told)
    assert used(pi) == second
    assert settings.read_text() == older
    assert (settings.parent / f"edge.toml.{third}").read_text() == newer
    # a button's line in the firmware's settings is for each release
    assert OVERLAY in (pi.root / "boot/firmware/config.txt").read_text()
    until(pi, lambda: json.loads(pi.run(*edge, "status", "--json").stdout)["engine"] == "openvino int8")
    assert words(pi)


def set_engine(pi: Booted, engine: str) -> None:
    """Change the setting, and wait until the running service uses it."""
    pi.run("sed", "--in-place", f's/.*engine = ".*"/engine = "{engine}"/', "/etc/edge/edge.toml")
    pi.run("systemctl", "reload", "edge")
    until(pi, lambda: json.loads(pi.run("/usr/local/bin/edge", "status", "--json").stdout)["engine"] == engine)


def test_photos_are_named_without_a_route(pi: Booted, shared: Path) -> None:
    """The network of the first day came with the bundle: nothing is asked for on the way from a folder to its words."""
    pi.run("rm", "-r", "/var/lib/edge/models/mine")
    photos = pi.root / "tmp/photos"
    photos.mkdir()
    for file in (shared / "images").iterdir():
        shutil.copy(file, photos)
    pi.run("chmod", "-R", "a+rX", "/tmp/photos")
    # the settings of this machine play everything in a loop
    run = ["/usr/local/bin/edge", "run", "--camera", "/tmp/photos", "--every-frame", "--speech", "log"]
    done = pi.run_as("pi", *run, "--frames", "20", check=False, timeout_s=600)
    told = done.stdout + done.stderr
    assert done.returncode == 0, told
    assert "Model: efficientnet-lite0" in told
    # as many as it says in a minute, by the clock of the photos
    assert len(re.findall(r"(?m)^(?:I see|maybe) ", told)) >= 10, told


def test_a_second_run_changes_nothing_and_a_preview_tells_what_would_change(
    pi: Booted, installed: tuple[Path, str]
) -> None:
    words(pi)
    before = pi.files()
    pid = pi.show("MainPID")["MainPID"]
    told = deploy(pi, installed[1])
    assert recap(told)["changed"] == 0
    assert REBOOT not in flat(told)
    assert re.search(r"(?m)^this-pi .*active$", told)
    loud = {**DEMO, "edge_settings": {"camera": {"source": "demo", "loop": True}, "speech": {"rate_wpm": 250}}}
    pi.write(f"{installed[1]}/{VARIABLES}", json.dumps(loud))
    told = deploy(pi, installed[1], "--check", "--diff")
    assert recap(told)["changed"] == 1
    assert "-# rate_wpm = 200" in told
    assert "+rate_wpm = 250" in told
    assert pi.show("MainPID")["MainPID"] == pid
    changed = {path for path, about in pi.files().items() if before.get(path) != about}
    assert {
        path for path in changed if not path.startswith(("/home/pi/", "/var/log/", "/var/lib/systemd/", "/var/tmp/"))
    } == set()


# ---- upgrades


def test_an_upgrade_that_crashes_is_taken_back(pi: Booted, installed: tuple[Path, str], tmp_path: Path) -> None:
    words(pi)
    pi.write("/var/lib/edge/models/kept", "mine")
    before = {
        path: about
        for path, about in pi.files().items()
        if path.startswith(("/etc/edge", "/etc/systemd", "/var/lib/edge"))
    }
    first = used(pi)
    folder = other_version(pi, installed[1], tmp_path, "crashing", CRASHES)
    told = deploy(pi, folder, check=False)
    ended_s = time.time()
    assert "boom" in told
    assert f"Rolled back to {first}, which is running again." in told
    assert re.search(rf"(?m)^this-pi +{re.escape(first)} .*failed: Use the release", told)
    assert used(pi) == first
    words(pi)
    # from the moment the old one was stopped until the first word after it
    stopped = [float(one["__REALTIME_TIMESTAMP"]) / 1e6 for one in pi.journal("EDGE_EVENT=stopped")]
    spoken = [float(one["__REALTIME_TIMESTAMP"]) / 1e6 for one in pi.journal("EDGE_EVENT=announced")]
    silent_s = next(at for at in spoken if at > max(stopped)) - max(stopped)
    print(f"silent for {silent_s:.1f} s; the deploy ended {ended_s - max(stopped):.1f} s after the old one stopped")
    assert silent_s < 60 * pi.slowness
    after = {
        path: about
        for path, about in pi.files().items()
        if path.startswith(("/etc/edge", "/etc/systemd", "/var/lib/edge"))
    }
    assert after == before
    assert pi.run("ls", "/opt/edge/releases").stdout.split() == [first]


def test_settings_changed_by_hand_survive_and_a_removed_key_is_named(
    pi: Booted, installed: tuple[Path, str], tmp_path: Path
) -> None:
    first = used(pi)
    settings = pi.root / "etc/edge/edge.toml"
    mine = settings.read_text().replace("# per_minute = 12", "per_minute = 30")
    settings.write_text(mine)
    folder = other_version(pi, installed[1], tmp_path, "next", KNOWS_NO_PER_MINUTE)
    # what is cut off while the release is made, the next run completes
    begin(pi, folder)
    until(pi, (pi.root / "opt/edge/making").exists, 300.0)
    time.sleep(random.uniform(0.0, 8.0))
    print(f"killed in: {interrupt(pi)}")
    assert used(pi) == first
    told = deploy(pi, folder, check=False)
    assert "/etc/edge/edge.toml: unknown key per_minute = 30 in [announce]; did you mean words_per_minute?" in told
    assert "Nothing was changed." in told
    assert used(pi) == first
    assert pi.show("ActiveState")["ActiveState"] == "active"
    assert settings.read_text() == mine
    # the person does what it says
    mine = mine.replace("per_minute", "words_per_minute")
    settings.write_text(mine)
    told = deploy(pi, folder)
    assert "was changed by hand and stays as it is" in told
    assert settings.read_text() == mine
    assert "words_per_minute = 12" in (pi.root / "etc/edge/edge.toml.new").read_text()
    assert used(pi).startswith("9.1.0-")
    words(pi)
    # and back, by hand: what the older release does not know is named there too
    told = deploy(pi, folder, check=False, script="rollback")
    assert "unknown key words_per_minute" in told
    settings.write_text(mine.replace("words_per_minute", "per_minute"))
    deploy(pi, folder, script="rollback")
    assert used(pi) == first
    words(pi)


# ---- bundles


def test_a_bundle_lists_its_components(bundle: Path) -> None:
    with tarfile.open(bundle) as opened:
        file = opened.extractfile(f"{bundle.stem}/sbom.cdx.json")
        assert file
        listed = json.load(file)
    found = {(one["type"], one["name"]) for one in listed["components"]}
    lock = (PROJECT / "deploy/roles/edge/files/requirements.txt").read_text()
    assert {("library", name) for name in re.findall(r"(?m)^([a-z0-9-]+)==", lock)} <= found
    assert {("library", "espeak-ng"), ("library", "onnx"), ("machine-learning-model", "mine")} <= found


def test_a_damaged_bundle_is_refused_before_anything_is_changed(
    fresh: str, laid: tuple[Path, str], tmp_path: Path
) -> None:
    dice = random.Random(7)
    with booted(tmp_path / "pi", fresh, on=laid[0]) as machine:
        before = machine.files()
        place = machine.root / laid[1].lstrip("/")
        wheel_file = dice.choice(sorted((place / "controller").iterdir())).name
        files = ["target.tar", "SHA256SUMS", "project/deploy/site.yml", f"controller/{wheel_file}"]
        for name in files:
            with (place / name).open("r+b") as file:
                at = dice.randrange((place / name).stat().st_size)
                file.seek(at)
                byte = file.read(1)
                file.seek(at)
                file.write(bytes([byte[0] ^ 1 << dice.randrange(8)]))
            done = machine.run_as("pi", f"{laid[1]}/install", check=False)
            assert done.returncode == 78, (name, at, done.stdout, done.stderr)
            assert "nothing was changed" in done.stderr
            with (place / name).open("r+b") as file:
                file.seek(at)
                file.write(byte)
        after = machine.files()
        changed = {path for path in {*before, *after} if before.get(path) != after.get(path)}
        assert not {path for path in changed if not path.startswith(("/var/log/", "/var/lib/systemd/"))}
        # one for another kind of machine
        machine.write(f"{laid[1]}/kind", "sid riscv64\n")
        machine.run("sh", "-c", f"cd {laid[1]} && sed -i '/  kind$/d' SHA256SUMS && sha256sum kind >> SHA256SUMS")
        done = machine.run_as("pi", f"{laid[1]}/install", check=False)
        assert done.returncode == 78
        assert "This bundle is for sid riscv64" in done.stderr
    shutil.rmtree(tmp_path / "pi", ignore_errors=True)


# ---- taking it away

STAYS = r"""
/var/log(/.*)? | /var/lib/systemd(/.*)? | /var/lib/(dpkg|apt)(/.*)? | /var/cache(/.*)?  # logs, and apt's own state
| /etc/(passwd|group|shadow|gshadow|subuid|subgid)-? | /etc/\.pwd\.lock  # rewritten with the same users
| /etc/ld\.so\.cache | /etc/modules  # of packages
| /boot/firmware/config\.txt\.before-edge  # it is named
| /var/tmp/systemd-private-.* | /home/pi/\.sudo_as_admin_successful  # of any boot, and of anybody's first sudo
"""


def test_purge_leaves_what_it_names(
    fresh: str, laid: tuple[Path, str], pi: Booted, installed: tuple[Path, str], tmp_path: Path
) -> None:
    with booted(tmp_path / "before", fresh, on=laid[0]) as untouched:
        before = untouched.files()
    words(pi)
    pi.write("/var/lib/edge/models/kept", "mine")
    assert OVERLAY in (pi.root / "boot/firmware/config.txt").read_text()
    told = deploy(pi, f"{installed[1]}/project/deploy", script="uninstall")
    left = {
        path
        for path in pi.files()
        if "edge" in path.lower() and not path.startswith(("/home/", "/var/log", "/opt/test"))
    }
    assert {"/etc/edge/edge.toml", "/var/lib/edge/models/kept", "/usr/lib/sysusers.d/edge.conf"} <= left
    ours = {path for path in left if path.startswith(("/opt/", "/usr/local/", "/etc/systemd/", "/run/"))}
    assert ours <= {DROP_INS}
    # what the button had added is gone, and that takes effect later
    assert (pi.root / "boot/firmware/config.txt").read_text() == FIRMWARE
    assert REBOOT in flat(told)
    for part in ("/var/lib/edge (models", "/etc/edge (settings)", "the users edge and edge-link"):
        assert part in flat(told)
    assert pi.run("systemctl", "is-active", "edge", check=False).stdout == "inactive\n"
    told = deploy(pi, f"{installed[1]}/project/deploy", "--purge", script="uninstall")
    (named,) = re.findall(r"Debian packages that came with edge \(sudo apt remove them\): ([^']*)", told)
    after = pi.files()
    packages = set(re.sub(r"\s+", " ", named).split())
    assert {"espeak-ng", "alsa-utils", "python3-venv", "python3-apt"} <= packages
    assert not pi.run("getent", "passwd", "edge", check=False).stdout
    assert not pi.run("getent", "group", "edge", check=False).stdout
    # what else is there now belongs to packages of Debian
    owned = set()
    for file in (pi.root / "var/lib/dpkg/info").glob("*.list"):
        owned |= set(file.read_text().splitlines())
    usr_merged = {path.removeprefix("/usr") for path in owned} | {f"/usr{path}" for path in owned} | owned
    stays = re.compile(STAYS, re.VERBOSE)
    unexplained = {
        path
        for path in after
        if path not in before
        and path not in usr_merged
        and not stays.fullmatch(path)
        and not path.startswith("/home/pi/edge-")
    }
    unexplained = {path for path in unexplained if "__pycache__" not in path and not made_by_a_package(path)}
    assert unexplained == set()
    gone = {path for path in before if path not in after and not stays.fullmatch(path)}
    assert gone == set()


def made_by_a_package(path: str) -> bool:
    """What packages' own scripts make, and no list of files names: alternatives, links of enabled units, caches."""
    places = (
        "/etc/alternatives/",
        "/etc/systemd/system/",
        "/usr/share/",
        "/usr/lib/",
        "/usr/bin/",
        "/var/lib/",
        "/etc/rc",
        "/etc/init",
        "/etc/alsa",
    )
    return path.startswith(places) and "edge" not in path


# ---- a fleet


def inventory(place: Path, config: Path, hosts: dict[str, dict[str, object]]) -> Path:
    file = place / "inventory.json"
    common = {
        **DEMO,
        # the controller brings it, and not the bundle
        "edge_models": ["theirs"],
        "edge_models_from": f"{place}/models/",
        "ansible_user": "pi",
        "ansible_ssh_common_args": f"-F {config}",
    }
    file.write_text(json.dumps({"edge": {"vars": common, "hosts": hosts}}))
    return file


def row(told: str, host: str) -> str:
    (found,) = re.findall(rf"(?m)^{host}  .*$", told.partition("EDGE ***")[2])
    return str(found)


def test_a_fleet_over_ssh_with_a_canary(
    fresh: str, bundle: Path, installed: tuple[Path, str], tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    long = request.config.getoption("--long")
    subprocess.run(["tar", "xf", bundle, "-C", tmp_path], check=True)
    lay_model(tmp_path / "models" / "theirs")
    folder = tmp_path / bundle.stem
    if parts_of(fresh)[1] != platform.freedesktop_os_release().get("VERSION_CODENAME"):
        # it has Ansible for the machines' Python; a controller with another one has a network to get it from
        setup = f". {folder}/project/deploy/controller/setup; need_ansible"
        subprocess.run(["bash", "-euc", setup], check=True, timeout=300)
    with contextlib.ExitStack() as stack:
        cable = stack.enter_context(cabled(tmp_path / "cable"))
        machines = {}
        for host in ("kitchen", "workshop"):
            # members that have edge already; with --long new ones
            machine = Booted(tmp_path / host, fresh, network=cable, host=host, on=None if long else installed[0])
            lay_out(machine)
            stack.callback(machine.close)
            machine.boot()
            machine.let_in()
            machines[host] = machine

        def install(hosts: dict[str, dict[str, object]], *arguments: str) -> tuple[int, str]:
            listed = inventory(tmp_path, cable.config, hosts)
            done = cable.run(str(folder / "install"), "-i", str(listed), *arguments, check=False, timeout=900)
            return done.returncode, done.stdout + done.stderr

        if long:
            code, told = install({"kitchen": {}, "workshop": {"edge_muted": ["guitar"]}})
            assert code == 0, told[-6000:]
            for host, machine in machines.items():
                assert re.search(r" (theirs|mine) +the demo clip +pyttsx3 +active$", row(told, host))
                assert (machine.root / "var/lib/edge/models/theirs/manifest.json").exists()
            until(machines["workshop"], lambda: len(words(machines["workshop"])) > 2)
            assert "guitar" not in words(machines["workshop"])
            code, told = install({"kitchen": {}, "workshop": {"edge_muted": ["guitar"]}})
            assert code == 0
            assert not re.search(r"changed=[1-9]", told)
            assert "WARNING" not in told

        # one that is wrong fails alone, with the reason
        broken: dict[str, object] = {"edge_settings": {"camera": {"max_fps": -1}}}
        code, told = install({"kitchen": {"edge_muted": ["guitar"]}, "workshop": broken})
        assert code != 0
        assert re.search(r" (theirs|mine) +the demo clip +pyttsx3 +active$", row(told, "kitchen"))
        assert (machines["kitchen"].root / "var/lib/edge/models/theirs/manifest.json").exists()
        assert "failed: Use the release" in row(told, "workshop")
        assert re.search(
            r"(?m)^workshop: release \S+ cannot use the settings:\nedge: /etc/edge/edge.toml: .*max_fps", told
        )
        assert 'muted = ["guitar"]' in (machines["kitchen"].root / "etc/edge/edge.toml").read_text()

        # as the canary it stops the rest
        code, told = install({"workshop": broken, "kitchen": {}})
        assert code != 0
        assert "not touched: an earlier host failed" in row(told, "kitchen")
        assert 'muted = ["guitar"]' in (machines["kitchen"].root / "etc/edge/edge.toml").read_text()
        for machine in machines.values():
            assert machine.show("ActiveState")["ActiveState"] == "active"


# ---- interrupted


@pytest.mark.long
def test_a_deploy_that_is_killed_at_any_moment_is_completed_by_the_next(
    fresh: str, laid: tuple[Path, str], installed: tuple[Path, str], tmp_path: Path
) -> None:
    took_s = float((installed[0].parent / "took_s").read_text())
    dice = random.Random(20)
    for number in range(10):
        with booted(tmp_path / f"pi{number}", fresh, on=laid[0]) as machine:
            mode = dice.choice(["control-group", "process"])
            begin(machine, laid[1], mode)
            time.sleep(dice.uniform(0.1, 0.95) * took_s)
            print(f"{number}: killed ({mode}) in: {interrupt(machine, alone=mode == 'process')}")
            deploy(machine, laid[1])
            words(machine)
            assert recap(deploy(machine, laid[1]))["changed"] == 0
            assert len(machine.run("ls", "/opt/edge/releases").stdout.split()) == 1
        shutil.rmtree(tmp_path / f"pi{number}", ignore_errors=True)


# ---- with the network of this machine


@pytest.mark.long
def test_from_a_checkout_with_a_network(fresh: str, tmp_path: Path) -> None:
    machine = Booted(tmp_path / "pi", fresh, network="host")
    lay_out(machine)
    try:
        machine.boot()
        machine.copy_in(PROJECT, "/home/pi/edge", owner="pi")
        machine.write("/home/pi/edge/deploy/host_vars/this-pi.yml", json.dumps({**DEMO, "edge_models": []}))
        told = deploy(machine, "/home/pi/edge/deploy", "--check", "--diff")
        assert re.search(r"(?m)^this-pi .*would change$", told)
        assert not (machine.root / "opt/edge").exists()
        deploy(machine, "/home/pi/edge/deploy")
        assert words(machine)
        assert recap(deploy(machine, "/home/pi/edge/deploy"))["changed"] == 0
    finally:
        machine.close()
        shutil.rmtree(tmp_path / "pi", ignore_errors=True)


# ---- the link

SCRAPE = (
    "import urllib.request; print(urllib.request.urlopen('http://127.0.0.1:9500/metrics', timeout=5).read().decode())"
)


def scraped(machine: Booted) -> str:
    return machine.run("python3", "-c", SCRAPE, check=False).stdout


def lay_taught(scratch: Path, file: Path) -> None:
    """An export of two things; the pictures of one are kept."""
    store = TaughtStore(scratch / "lessons")
    keys = thing("my keys")
    store.add([keys, thing("the red cup")], {keys.id: pictures()})
    export_things(store, file)
    file.chmod(0o644)  # the user pi deploys


def taught_files(machine: Booted) -> dict[str, str]:
    """Mode, owner and checksum of each file of the service's taught things, but for what a model made of drawings."""
    about = "echo $one $(stat -c '%a %U:%G' $one) $(sha256sum < $one)"
    script = f"cd /var/lib/edge/taught && for one in *.thing *.pictures; do [ -e $one ] && {about}; done; true"
    lines = machine.run("sh", "-c", script).stdout.splitlines()
    return dict(line.split(" ", 1) for line in lines)


@pytest.mark.long
def test_the_link_and_taught_things_come_go_back_and_forth_and_leave_nothing(
    pi: Booted, laid: tuple[Path, str], tmp_path: Path
) -> None:
    folder = laid[1]
    link: dict[str, Any] = {"edge_link": {"metrics": {"listen": "127.0.0.1:9500"}}, "edge_taught": "things.edge"}
    lay_taught(tmp_path, pi.root / f"{folder}/project/deploy/things.edge".lstrip("/"))
    pi.write(f"{folder}/{VARIABLES}", json.dumps({**DEMO, **link}))
    deploy(pi, folder)
    until(pi, lambda: "\nedge_model_info{" in scraped(pi))
    shown = pi.show("ActiveState", "UnitFileState", "User", unit="edge-link")
    assert shown == {"ActiveState": "active", "UnitFileState": "enabled", "User": "edge-link"}
    assert pi.run("stat", "--format", "%a %U:%G", "/etc/edge/link.toml").stdout == "640 root:edge-link\n"
    kept = taught_files(pi)
    assert len(kept) == 3
    assert next(about for path, about in kept.items() if path.endswith(".pictures")).startswith("600 edge:edge ")
    assert "the red cup" in pi.run("/usr/local/bin/edge", "taught").stdout
    assert not (pi.root / "run/edge-taught").exists()
    # what people forget afterwards stays forgotten
    pi.run("/usr/local/bin/edge", "forget", "my keys")
    kept = taught_files(pi)
    assert len(kept) == 1
    # a second time there is nothing to do; a change of the link leaves edge alone
    assert recap(deploy(pi, folder))["changed"] == 0
    before = pi.show("MainPID")
    link["edge_link"]["metrics"]["listen"] = "0.0.0.0:9500"
    pi.write(f"{folder}/{VARIABLES}", json.dumps({**DEMO, **link}))
    deploy(pi, folder)
    until(pi, lambda: "\nedge_up 1" in scraped(pi))
    assert pi.show("MainPID") == before
    # the release before had no link
    deploy(pi, f"{folder}/project/deploy", script="rollback")
    assert pi.show("LoadState", unit="edge-link")["LoadState"] == "not-found"
    words(pi)
    assert taught_files(pi) == kept
    deploy(pi, f"{folder}/project/deploy", script="rollback")
    until(pi, lambda: "\nedge_model_info{" in scraped(pi))
    assert taught_files(pi) == kept
    # nobody wants it any more
    pi.write(f"{folder}/{VARIABLES}", json.dumps({**DEMO, "edge_link": {}}))
    deploy(pi, folder)
    assert pi.show("ActiveState", unit="edge-link")["ActiveState"] == "inactive"
    assert pi.run("cat", "/etc/edge/link.toml", check=False).returncode
    deploy(pi, f"{folder}/project/deploy", "--purge", script="uninstall")
    traces = ("edge-link", "/etc/edge", "/opt/edge", "taught")
    assert not [path for path in pi.files() if not path.startswith("/home/") and any(one in path for one in traces)]
    assert pi.run("getent", "group", "edge-link", "edge-control", "edge", check=False).stdout == ""
