"""Every command of the README before the code got its folders: whoever learnt edge from it can go on.

That README is the one of commit 297612d. What needs root, systemd, Ansible or minutes is asked for its --help, or read
by the shell, and says why.
"""

import csv
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
from rigs.daemon import daemon, named, read_events
from rigs.processes import wait_until, workers
from rigs.stores import DEMO

from edge.cameras import opencv, picamera2
from edge.cameras.demo import open_clip
from edge.cli import main
from edge.settings import CameraSettings
from edge.stages import EndOfFrames

pytestmark = pytest.mark.integration
ROOT = Path(__file__).resolve().parents[2]
COMMIT = "297612d"
QUIET = "--speech log --frames 2"
"""What `edge run` gets besides, so that it ends, and needs no sound card."""


@dataclass(frozen=True)
class Row:
    """A command as the README had it, what is run for it, and the exit code."""

    readme: str
    run: str
    code: int = 0
    says: str = ""
    """What it prints, among other things."""
    long: bool = False
    """It takes half a minute, or needs such a row before it, and other tests do the same: only with --long."""


# {home} has a network `toy` of somebody's own, pictures of it, and nothing else; edge has no network and no sound card
COMMANDS = [
    # ./scripts/run passes its arguments to `edge run`; what it installs is tested in tests/scripts
    Row("./scripts/run", f"edge run {QUIET}", says="2 frames in"),
    Row("./scripts/run --model DIR/NAME", f"edge run --model {{home}}/toy/toy {QUIET}", says="Model: toy"),
    Row("./scripts/run --model DIR/NAME-0126.params", f"edge run --model {{home}}/toy126/toy-0126.params {QUIET}"),
    Row("--model demo", f"edge run --model demo {QUIET}", says="Model: demo"),
    Row("--model DIR", f"edge run --model {{home}}/toy {QUIET}", says="Model: toy"),
    Row("--synset FILE", f"edge run --model {{home}}/toy --synset {{home}}/toy/synset.txt {QUIET}"),
    Row(
        "--size 224 --mean 123.68,116.779,103.939 ...",
        "edge classify --model {home}/toy --size 64 --mean 123.68,116.779,103.939 --std 58.393,57.12,57.375"
        " --channels rgb --resize crop --short-side 72 {picture}",
        says="%",
    ),
    Row("edge models add DIR/NAME", "edge models add {home}/toy/toy --name toy2", says="I see a"),
    Row("--model NAME", f"edge run --model toy2 {QUIET}", says="Model: toy2"),
    Row("edge models list", "edge models list", says="toy2"),
    Row("edge models verify", "edge models verify", says="toy2: good"),
    Row("edge models measure", "edge models measure toy2", says="mxnet"),
    Row("edge models choose", "edge models choose", says="toy2"),
    # nobody has the files here, and there is no network
    Row("edge models fetch inception-v3", "edge models fetch inception-v3", 69, says="cannot be fetched now"),
    Row("edge models fetch inception-v3 --from DIR", "edge models fetch inception-v3 --from {home}", 69),
    Row("edge run --budget-mib 300", f"edge run --budget-mib 300 {QUIET}"),
    Row("edge run --engine auto", f"edge run --engine auto {QUIET}"),
    Row("edge bench", "edge bench --frames 2", says="toy2"),
    Row("edge bench --engines mxnet,onnx,openvino", "edge bench --engines mxnet,onnx,openvino --frames 2"),
    Row("edge bench --against module", "edge bench --against module --frames 2", says="module"),
    Row(
        "edge models quantize NAME --images DIR",
        "edge models quantize toy2 --images {few}",
        says="Written to",
        long=True,
    ),
    Row("--from-camera", "edge models quantize demo --from-camera --help", says="--from-camera"),
    Row("edge run --engine auto --precision int8", f"edge run --engine auto --precision int8 {QUIET}", long=True),
    Row("edge models calibrate", "edge models calibrate toy2 --images {pictures} --labels {labels}", long=True),
    Row("edge models remove", "edge models remove toy2", says="Removed toy2"),
    Row("edge compare cat.jpg", "edge compare {picture}", says="demo"),
    Row("edge classify IMAGE...", "edge classify {picture} {picture}", says="%"),
    Row("edge classify --json", "edge classify --json {picture}", says='"predictions"'),
    Row("edge say TEXT", "edge say hello", 69, says="nowhere"),
    Row("edge say --list-devices", "edge say --list-devices"),
    Row("edge voices", "edge voices", says="en"),
    Row("edge voices LANGUAGE", "edge voices de", says="German"),
    Row("edge config", "edge config", says="memory_budget_mib"),
    Row("edge config --check FILE", "edge config --check {settings}", says="good"),
    Row("--config FILE", f"edge run --config {{settings}} {QUIET}", says="Model: demo"),
    Row("edge doctor", "edge doctor", 1, says="nowhere"),
    # cameras
    Row("--camera auto", f"edge run --camera auto {QUIET}"),
    Row("--camera csi", f"edge run --camera csi {QUIET}", 69, says="camera csi"),
    Row("--camera csi:1", f"edge run --camera csi:1 {QUIET}", 69, says="camera csi"),
    Row("--camera usb", f"edge run --camera usb {QUIET}", 69, says="camera usb:0"),
    Row("--camera usb:1", f"edge run --camera usb:1 {QUIET}", 69, says="camera usb:1"),
    Row("--camera clip.mp4", f"edge run --camera {DEMO}/clip.mp4 {QUIET}"),
    Row("--camera folder/", f"edge run --camera {{pictures}} {QUIET}"),
    Row("--camera picture.jpg", f"edge run --camera {{picture}} {QUIET}"),
    Row("--loop", f"edge run --camera {{picture}} --loop {QUIET}"),
    Row("--every-frame", f"edge run --camera {DEMO}/clip.mp4 --every-frame {QUIET}"),
    Row("--camera http://...", f"edge run --camera http://127.0.0.1:9/ {QUIET}", 69, says="stream"),
    Row("--camera rtsp://...", f"edge run --camera rtsp://127.0.0.1:9/ {QUIET}", 69, says="stream"),
    Row("--camera demo", f"edge run --camera demo {QUIET}"),
    Row("EDGE_CAMERA_SOURCE=usb", f"EDGE_CAMERA_SOURCE=usb edge run {QUIET}", 69, says="camera usb:0"),
    # for programs
    Row("edge run --events FILE", f"edge run --events {{home}}/events {QUIET}"),
    Row("edge run --events -", f"edge run --events - {QUIET}", says='"event": "ready"'),
    Row("--events-frames", f"edge run --events - --events-frames {QUIET}", says='"event": "frame"'),
    Row("--frames", "edge run --speech log --frames 1", says="1 frames"),
    Row("--seconds", "edge run --speech log --seconds 0.5", says="Said"),
    Row("--debug", f"edge run --debug {QUIET}"),
    Row("edge COMMAND --help", "edge --help", says="status"),
    Row("exit code 2", "edge run --no-such-flag", 2, says="--no-such-flag"),
    Row("exit code 78", "edge run --model no-such-model", 78, says="no-such-model"),
]

# with a daemon that runs; without one each ends with 69
TO_THE_DAEMON = [
    Row("edge status", "edge status", says="demo"),
    Row("edge look", "edge look"),
    Row("edge missed", "edge missed"),
    Row("edge snooze 30m", "edge snooze 30m"),
    Row("edge wake", "edge wake"),
    # the demo's network knows no web site
    Row("edge mute web site", "edge mute light bulb"),
    Row("edge unmute", "edge unmute light bulb"),
    Row("edge pause", "edge pause"),
    Row("edge resume", "edge resume"),
    Row("edge snapshot now.jpg", "edge snapshot {home}/now.jpg"),
]

# what they need instead of running here, and why
ELSEWHERE = [
    Row("deploy/install", "deploy/install --help", says="deploy/install"),  # root, and Ansible from the network
    Row("deploy/install -i deploy/inventory.yml", "deploy/install --help", says="-i deploy/inventory.yml"),
    Row("deploy/install --check --diff", "deploy/install --help", says="--check --diff"),
    Row("deploy/rollback", "deploy/rollback --help", says="deploy/rollback"),
    Row("deploy/uninstall", "deploy/uninstall --help", says="deploy/uninstall"),
    Row("deploy/bundle", "bash -n deploy/bundle"),  # even its --help installs what it needs from the network
    Row("./scripts/run", "bash -n scripts/run"),  # installs, as root or with sudo
    Row("./scripts/test", "bash -n scripts/test"),  # would start these tests again
    Row("./scripts/test --long", "bash -n scripts/test"),
    Row("./scripts/test tests/test_store.py", "bash -n scripts/test"),
    # minutes
    Row("scripts/train_demo.py --seed 1 --out DIR", "scripts/train_demo.py --help", says="--seed"),
    Row("scripts/make_demo_clip.py --seed N --out CLIP.mp4", "scripts/make_demo_clip.py --help", says="--seed"),
    Row("scripts/score_clip.py CLIP.mp4...", "scripts/score_clip.py --help"),
    Row("scripts/make_random_checkpoint.py", "scripts/make_random_checkpoint.py --help"),
    Row("scripts/benchmark.py", "scripts/benchmark.py --help", says="--out"),
    Row("scripts/peak.py", "scripts/peak.py true"),  # it measures any command
]

# what systemd does by itself is tried in booted machines (tests/deploy); here it is what the unit has for it
OF_SYSTEMD = {
    "systemctl status edge": "Type=notify",
    "journalctl -u edge EDGE_EVENT=announced": "",  # the fields are tests/daemon/test_events.py's
    "sudo systemctl reload edge": "ExecReload=/opt/edge/current/bin/python -P -m edge config --check",
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new home, with a network of somebody's own and pictures of what it knows."""
    home = tmp_path_factory.mktemp("home")
    toy = home / "toy"
    toy.mkdir()
    for name in ("synset.txt", "model.toml"):
        shutil.copy(DEMO / name, toy)
    shutil.copy(DEMO / "demo-symbol.json", toy / "toy-symbol.json")
    shutil.copy(DEMO / "demo-0000.params", toy / "toy-0000.params")
    shutil.copytree(toy, home / "toy126")
    (home / "toy126" / "toy-0000.params").rename(home / "toy126" / "toy-0126.params")
    (home / "edge.toml").write_text('[model]\nname = "demo"\n[camera]\nsource = "demo"\n', encoding="utf-8")
    write_pictures(home / "pictures", home / "labels.csv")
    (home / "few").mkdir()
    for path in sorted((home / "pictures").iterdir())[::5]:
        shutil.copy(path, home / "few")
    return home


def write_pictures(folder: Path, labels: Path) -> None:
    """The frames of the demo's clip on which one thing is to be seen, sharp and blurred, and which it is."""
    folder.mkdir()
    things = json.loads((DEMO / "clip.json").read_text(encoding="utf-8"))["things"]
    clip = open_clip(CameraSettings(), every_frame=True)
    rows = []
    try:
        while (frame := clip.read(1.0)) is not None:
            assert frame.media_s is not None
            for thing in things:
                if thing["from_s"] + 0.2 < frame.media_s < thing["to_s"] - 0.2:
                    bgr = np.ascontiguousarray(frame.pixels[:, :, ::-1])
                    for name, picture in (("a", bgr), ("b", cv2.GaussianBlur(bgr, (0, 0), 7))):
                        cv2.imwrite(str(folder / f"{frame.sequence:04}{name}.png"), picture)
                        rows.append((f"{frame.sequence:04}{name}.png", thing["id"]))
    except EndOfFrames:
        pass
    finally:
        clip.close()
    with labels.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    assert len(rows) >= 200


@pytest.fixture
def alone(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No settings of this machine's, no network, and a sound card that there is not."""
    for name in [name for name in os.environ if name.startswith(("EDGE_", "XDG_"))]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(home))
    monkeypatch.setenv("EDGE_SPEECH_DEVICE", "nowhere")
    monkeypatch.setenv("EDGE_MODEL_FETCH", "false")
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    # it keeps the proxies of its first use, also for the tests of other files
    monkeypatch.setattr("urllib.request._opener", None)
    monkeypatch.chdir(home)


def words_of(row: Row, home: Path) -> list[str]:
    pictures = home / "pictures"
    return shlex.split(
        row.run.format(
            home=home,
            pictures=pictures,
            few=home / "few",
            picture=min(pictures.iterdir()),
            labels=home / "labels.csv",
            settings=home / "edge.toml",
        )
    )


def run(row: Row, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    words = words_of(row, home)
    while "=" in words[0]:
        monkeypatch.setenv(*words.pop(0).split("=", 1))
    assert words[0] == "edge"
    try:
        code = main(words[1:])
    except SystemExit as end:  # --help
        code = int(end.code or 0)
    captured = capsys.readouterr()
    assert code == row.code, captured.err
    assert row.says in captured.out + captured.err
    assert "Traceback" not in captured.err
    assert not workers(os.getpid()), "what a command starts ends with it"


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize(
    "row",
    [pytest.param(row, marks=[pytest.mark.long] if row.long else [], id=row.readme) for row in COMMANDS],
)
def test_the_command_does_what_it_did(
    row: Row, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if row.code == 69 and "camera" in row.says and (opencv.usb_nodes() or picamera2.is_present()):
        pytest.skip("a camera is here")
    run(row, home, capsys, monkeypatch)


def have_happened(events: Path, name: str | None) -> bool:
    return name is None or bool(named(read_events(events), name))


@pytest.mark.usefixtures("alone")
def test_what_is_asked_of_the_daemon_is_done(
    home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    events = home / "of-the-daemon"
    with daemon(home, "--model", "demo", "--speech", "log", "--events", str(events)) as child:
        assert child.stdout is not None
        assert any("ready" in line for line in child.stdout)
        for row in TO_THE_DAEMON:
            run(row, home, capsys, monkeypatch)
            # the loop has to turn in between
            wait_until(
                partial(have_happened, events, {"edge pause": "paused", "edge resume": "resumed"}.get(row.readme))
            )
        assert (home / "now.jpg").read_bytes().startswith(b"\xff\xd8")
        child.terminate()
        assert child.wait(30) == 0
    for name in ("paused", "resumed", "snapshot", "stopped"):
        assert named(read_events(events), name)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("row", TO_THE_DAEMON, ids=lambda row: row.readme)
def test_without_a_daemon_one_line_says_so(
    row: Row, home: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(Row(row.readme, row.run, 69, "edge is not running here"), home, capsys, monkeypatch)


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("row", ELSEWHERE, ids=lambda row: row.readme)
def test_what_cannot_run_here_is_there(row: Row, home: Path) -> None:
    words = words_of(row, home)
    if words[0].endswith(".py"):
        words = [sys.executable, *words]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == row.code, done.stderr
    assert row.says in done.stdout
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(("command", "line"), OF_SYSTEMD.items())
def test_the_unit_has_what_systemd_is_asked_for(command: str, line: str) -> None:
    unit = (ROOT / "systemd" / "edge.service").read_text(encoding="utf-8").splitlines()
    assert not line or line in unit, command


def old(path: str) -> str:
    """A file as that release had it."""
    done = subprocess.run(["git", "show", f"{COMMIT}:{path}"], cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip("the history of the project is not here")
    return done.stdout


def test_no_command_of_that_readme_is_left_out() -> None:
    tried = {row.readme for row in (*COMMANDS, *TO_THE_DAEMON, *ELSEWHERE)} | set(OF_SYSTEMD)
    readme = old("README.md")
    commands = re.findall(r"(?m)^    ((?:edge|sudo|systemctl|journalctl|deploy/|\./scripts/)[^#\n]*)", readme)
    assert len(commands) > 20
    for command in (command.strip() for command in commands):
        assert any(command == one or one.startswith(f"{command} ") for one in tried), command
    for row in re.findall(r"(?m)^\| (`(?:edge|--|demo|csi|usb|auto|clip|http)[^|]*) \|", readme):
        for name in re.findall(r"`(?:edge )?([a-z]+)", row):
            assert any(re.search(rf"\b{name}\b", one) for one in tried), row


@pytest.mark.usefixtures("alone")
def test_each_setting_of_that_release_is_still_one(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The commented file of defaults that came with it, with all its keys set."""
    text = re.sub(r"(?m)^# ?(?=\w+ = )", "", old("edge/data/edge.toml"))
    assert text.count(" = ") > 30
    settings = home / "old.toml"
    settings.write_text(text, encoding="utf-8")
    assert main(["config", "--check", str(settings)]) == 0, capsys.readouterr().err
