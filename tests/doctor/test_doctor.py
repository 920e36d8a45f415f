"""edge doctor: each check on what it must tell apart, and the command on this machine."""

import json
import os
import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from rigs.boards import BOARDS, write, write_board
from rigs.camera import MjpegServer, serving
from rigs.daemon import daemon
from rigs.processes import wait_until

from edge.announce.adjustments import Adjustments
from edge.announce.mutes import write_mutes
from edge.cli import main
from edge.doctor import Finding, Grade, devices, examine
from edge.doctor.answers import check_answers
from edge.doctor.board import check_clock, check_disk, check_memory_group, check_power
from edge.doctor.devices import check_camera, quiet_controls
from edge.doctor.packages import _ENGINES, check_packages
from edge.doctor.service import check_service, confinement, judge_service
from edge.doctor.silence import check_silence
from edge.host.machine import Machine
from edge.settings import AnnounceSettings, CameraSettings, InputSettings, Settings, SpeechSettings

ROOT = Path(__file__).resolve().parents[2]
THROTTLED = "sys/devices/platform/soc/soc:firmware/get_throttled"
HEAT = "sys/class/thermal/thermal_zone0/temp"


def by_check(findings: Iterable[Finding]) -> dict[str, Finding]:
    return {one.check: one for one in findings}


# ---- the board


@pytest.mark.parametrize(
    ("flags", "grade", "words"),
    [
        ("0", Grade.GOOD, "no throttling and no low voltage"),
        ("1", Grade.FAULT, "the voltage is too low now"),
        ("10000", Grade.WARNING, "the voltage is too low at times"),
        ("50005", Grade.FAULT, "the voltage is too low now"),
        ("4", Grade.WARNING, "the processor is throttled now"),
        ("80000", Grade.WARNING, "the soft limit of the temperature is reached at times"),
    ],
)
def test_what_the_firmware_says_of_power(tmp_path: Path, flags: str, grade: Grade, words: str) -> None:
    write_board(tmp_path, BOARDS["pi4-4"])
    write(tmp_path / THROTTLED, f"{flags}\n")
    found = [one for one in check_power(Machine(tmp_path)) if one.check == "power"]
    assert found[0].grade is grade
    assert found[0].text.startswith(words)
    assert bool(found[0].advice) == (grade is not Grade.GOOD)


def test_sysfs_and_vcgencmd_may_differ_and_both_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_board(tmp_path, BOARDS["pi4-4"])
    write(tmp_path / THROTTLED, "0\n")
    tool = tmp_path / "vcgencmd"
    tool.write_text("#!/bin/sh\necho throttled=0x50000\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    texts = [one.text for one in check_power(Machine(tmp_path))]
    assert texts == [
        "the voltage is too low at times (since the board started)",
        "the processor is throttled at times (since the board started)",
    ]
    tool.write_text("#!/bin/sh\nexit 255\n")
    assert [one.grade for one in check_power(Machine(tmp_path))] == [Grade.GOOD]


def test_heat(tmp_path: Path) -> None:
    write(tmp_path / HEAT, "85123\n")
    (hot,) = check_power(Machine(tmp_path))
    assert (hot.grade, hot.text) == (Grade.WARNING, "85 °C")
    write(tmp_path / HEAT, "45000\n")
    (cool,) = check_power(Machine(tmp_path))
    assert (cool.grade, cool.text) == (Grade.GOOD, "45 °C")


def test_a_kernel_without_a_memory_control_group(tmp_path: Path) -> None:
    write(tmp_path / "sys/fs/cgroup/cgroup.controllers", "cpuset cpu io pids\n")
    for on_a_pi in (True, False):
        found = check_memory_group(tmp_path, on_a_pi=on_a_pi)
        assert found.grade is Grade.WARNING
        # which no other computer has
        assert ("/boot/firmware/cmdline.txt" in found.advice) is on_a_pi
    write(tmp_path / "sys/fs/cgroup/cgroup.controllers", "cpuset cpu io memory pids\n")
    assert check_memory_group(tmp_path, on_a_pi=True).grade is Grade.GOOD


def test_disk_and_clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = check_disk([tmp_path, tmp_path / "not" / "yet"])
    assert found.grade is Grade.GOOD
    monkeypatch.setattr("edge.doctor.board.LITTLE_MIB", 10**9)
    (found,) = check_disk([tmp_path])
    assert found.grade is Grade.WARNING
    monkeypatch.setenv("PATH", "")  # no timedatectl
    assert check_clock("", tmp_path).grade is Grade.GOOD
    assert check_clock("22:00-07:00", tmp_path).grade is Grade.WARNING
    write(tmp_path / "run/systemd/timesync/synchronized", "")
    assert check_clock("22:00-07:00", tmp_path).grade is Grade.GOOD


# ---- devices


def test_a_live_camera_is_counted_and_judged() -> None:
    pytest.importorskip("cv2")
    with serving(MjpegServer()) as server:
        settings = CameraSettings(source=server.url)
        found = by_check(check_camera(settings, None))
        assert found["camera"].grade is Grade.GOOD
        rate = re.search(r"(\d+) frames a second", found["camera"].text)
        assert rate
        assert int(rate[1]) > 3
        assert "the middle is" in found["picture"].text
        server.show = lambda _number: np.zeros((480, 640, 3), np.uint8)
        found = by_check(check_camera(settings, None))
        assert found["picture"].grade is Grade.FAULT
        assert "covered" in found["picture"].text
    found = by_check(check_camera(settings, None))
    assert found["camera"].grade is Grade.FAULT


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        *(((200, 20, 30), "red"), ((20, 30, 200), "blue"), ((30, 180, 40), "green")),
        *(((99, 100, 101), "grey"), ((200, 190, 20), "yellow")),
    ],
)
def test_a_colour_has_its_name_so_that_swapped_ones_are_seen(colour: tuple[int, int, int], name: str) -> None:
    assert devices._colour(np.full((48, 64, 3), colour, np.uint8)) == name


MIXER = """\
Simple mixer control 'PCM',0
  Capabilities: pvolume pvolume-joined pswitch pswitch-joined
  Playback channels: Mono
  Limits: Playback -10239 - 400
  Mono: Playback -2000 [77%] [-20.00dB] [on]
Simple mixer control 'Headphone',0
  Capabilities: pvolume pswitch
  Playback channels: Front Left - Front Right
  Limits: Playback 0 - 87
  Front Left: Playback 0 [0%] [-65.25dB] [on]
  Front Right: Playback 0 [0%] [-65.25dB] [on]
Simple mixer control 'Speaker',0
  Capabilities: pvolume pswitch
  Playback channels: Front Left - Front Right
  Limits: Playback 0 - 87
  Front Left: Playback 80 [92%] [-5.25dB] [off]
  Front Right: Playback 80 [92%] [-5.25dB] [off]
Simple mixer control 'Mic',0
  Capabilities: cvolume cswitch
  Capture channels: Mono
  Mono: Capture 0 [0%] [off]
"""


def test_controls_that_are_turned_down_are_named() -> None:
    assert quiet_controls(MIXER) == ["Headphone", "Speaker"]
    assert quiet_controls("") == []


def test_sound_without_a_card() -> None:
    found = by_check(devices.check_sound(SpeechSettings(driver="log"), speak=True))
    assert found["sound"].grade is Grade.GOOD
    found = by_check(devices.check_sound(SpeechSettings(device="nobody's card"), speak=False))
    assert found["sound"].grade is Grade.FAULT
    assert "nobody's card" in found["sound"].text


@pytest.mark.integration
def test_tones_and_what_was_changed_by_request_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    found = by_check(check_answers(Settings(), None, speak=False))
    assert found["tones"].text == "on: two notes when a key goes down"
    assert (found["loudness"].grade, found["loudness"].text) == (
        Grade.GOOD,
        "volume 1 and rate 200 as in the settings",
    )
    off = Settings(input=InputSettings(tones=False))
    assert by_check(check_answers(off, None, speak=False))["tones"].text.startswith("off: a key is answered")
    adjustments = Adjustments(tmp_path / "edge" / "adjustments.json", SpeechSettings())
    adjustments.change(volume_steps=-6, rate_steps=1)
    found = by_check(check_answers(Settings(), None, speak=False))
    assert found["loudness"].grade is Grade.WARNING
    assert found["loudness"].text == (
        "volume 0.12, changed by request (settings: 1); rate 240, changed by request (settings: 200)"
    )
    running = {"volume": 0.5, "rate_wpm": 200}
    found = by_check(check_answers(Settings(), running, speak=False))
    assert found["loudness"].text == "volume 0.5, changed by request (settings: 1)"
    printing = Settings(speech=SpeechSettings(driver="log"))
    assert "tones" not in by_check(check_answers(printing, {}, speak=True))


# ---- packages


@pytest.mark.integration
def test_libraries_are_loaded_in_processes_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    found = by_check(check_packages(on_a_pi=False))
    for package in ("mxnet 1.9.1", "onnxruntime 1.", "openvino 20", "ncnn 1."):
        assert package in found["packages"].text
    broken = {
        "absent": "import nobody_s_module",
        "crashing": "import os; os.abort()",
    }
    monkeypatch.setattr("edge.doctor.packages._LOAD", broken)
    found = by_check(check_packages(on_a_pi=True))
    assert "No module named 'nobody_s_module'" in found["absent"].text
    assert "it crashes (SIGABRT)" in found["crashing"].text
    assert {found[name].grade for name in broken} == {Grade.FAULT}
    assert found["picamera2"].grade is Grade.WARNING
    monkeypatch.setattr("edge.doctor.packages._LOAD", {"slow": "import time; time.sleep(600)"})
    monkeypatch.setattr("edge.doctor.packages.LOAD_S", 1.0)
    found = by_check(check_packages(on_a_pi=False))
    assert found["slow"].grade is Grade.FAULT
    assert "within 1 s" in found["slow"].text


@pytest.mark.parametrize(("broken", "grade"), [(("mxnet",), Grade.WARNING), (tuple(_ENGINES), Grade.FAULT), ((), None)])
def test_one_engine_is_enough(broken: tuple[str, ...], grade: Grade | None, monkeypatch: pytest.MonkeyPatch) -> None:
    engines = {name: "import nobody_s_module" if name in broken else "" for name in _ENGINES}
    monkeypatch.setattr("edge.doctor.packages._ENGINES", engines)
    monkeypatch.setattr("edge.doctor.packages._LOAD", {})
    found = by_check(check_packages(on_a_pi=False))
    assert {name: found[name].grade for name in engines if name in found} == dict.fromkeys(broken, grade)
    if grade is Grade.WARNING:
        assert "can be used instead" in found["mxnet"].text
        assert "onnxruntime" in found["packages"].text


# ---- the service

RUNNING = {
    **{"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "UnitFileState": "enabled"},
    **{"WatchdogUSec": "30s", "NRestarts": "0", "StatusText": "demo: looking through the demo clip"},
}


@pytest.mark.parametrize(
    ("change", "check", "grade"),
    [
        ({}, "service", Grade.GOOD),
        ({"LoadState": "not-found"}, "service", Grade.WARNING),
        ({"ActiveState": "failed", "ExecMainStatus": "78"}, "service", Grade.FAULT),
        ({"ActiveState": "inactive"}, "service", Grade.WARNING),
        ({"ActiveState": "activating"}, "service", Grade.WARNING),
        ({"UnitFileState": "disabled"}, "boot", Grade.WARNING),
        ({"WatchdogUSec": "0"}, "watchdog", Grade.WARNING),
        ({"NeedDaemonReload": "yes"}, "unit", Grade.WARNING),
    ],
)
def test_what_systemd_says_is_judged(change: dict[str, str], check: str, grade: Grade) -> None:
    found = by_check(judge_service(RUNNING | change))
    assert found[check].grade is grade
    others = [one.grade for name, one in found.items() if name != check]
    assert set(others) <= {Grade.GOOD}


def test_without_systemd_there_is_no_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    (found,) = check_service()
    assert found.grade is Grade.WARNING


def test_what_a_unit_says_of_confinement() -> None:
    unit = (ROOT / "systemd" / "edge.service").read_text()
    found = confinement(f"{unit}\n[Service]\nProtectHome=no\nEnvironment=A=b \\\n  C=d\n")
    assert found[-2:] == ["ProtectHome=no", "Environment=A=b C=d"]
    assert {"User=edge", "ProtectSystem=strict", "CapabilityBoundingSet="} <= set(found)
    keys = {line.partition("=")[0] for line in found}
    assert not keys & {"ExecStart", "Type", "Restart", "WatchdogSec", "Description", "WantedBy", "TimeoutStopSec"}


# ---- silence


def test_what_keeps_it_from_speaking_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    found = check_silence(Settings(), None)
    assert (found.grade, found.text) == (Grade.GOOD, "no quiet hours, no mutes, no low limit of announcements")
    write_mutes(tmp_path / "edge" / "mutes.json", ["bagel"])
    found = check_silence(Settings(announce=AnnounceSettings(per_minute=2, muted=("cat",))), None)
    assert found.grade is Grade.GOOD
    assert "muted in the settings: cat; muted by edge mute: bagel" in found.text
    assert "per_minute = 2" in found.text
    all_day = Settings(announce=AnnounceSettings(quiet_hours="00:00-00:00"))
    found = check_silence(all_day, None)
    assert (found.grade, "quiet hours 00:00-00:00, in force now" in found.text) == (Grade.WARNING, True)


@pytest.mark.parametrize(
    ("reason", "grade"), [("rate limit", Grade.WARNING), ("snoozed", Grade.WARNING), ("unsure", Grade.GOOD)]
)
def test_the_silence_of_the_running_edge_is_told(reason: str, grade: Grade) -> None:
    running = {"mutes": ["bagel"], "silent_because": {"reason": reason, "because": "of the test"}}
    found = check_silence(Settings(), running)
    assert found.grade is grade
    assert "bagel" in found.text
    assert ("of the test" in found.text) == (grade is Grade.WARNING)


def test_an_edge_of_the_release_before_tells_no_reason() -> None:
    assert check_silence(Settings(), {"mutes": []}).grade is Grade.GOOD


# ---- the command


@pytest.mark.integration
def test_before_it_is_used_it_is_asked_only_what_another_edge_does_not_hold(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EDGE_CAMERA_SOURCE", "/nowhere.mp4")
    monkeypatch.setenv("EDGE_MODEL_NAME", "nobody")
    assert main(["doctor", "--before-use", "--json"]) == 0
    # a disk for each of the folders where they are on several, as where /tmp is in memory
    found = list(dict.fromkeys(one["check"] for one in json.loads(capsys.readouterr().out)))
    assert found == ["settings", "system", "python", "packages", "disk", "model"]
    monkeypatch.setenv("EDGE_CAMERA_WIDTH", "wide")
    assert main(["doctor", "--before-use"]) == 1


def test_a_unit_file_goes_with_the_service(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--unit", "edge.service"]) == 78
    assert "--service" in capsys.readouterr().err


@pytest.mark.integration
def test_it_looks_at_everything_and_its_exit_code_says_whether_all_is_well(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    state = tmp_path / ("a-folder-of-a-long-name-" * 4) / "edge"
    state.mkdir(parents=True)
    monkeypatch.setenv("XDG_STATE_HOME", str(state.parent))
    monkeypatch.setenv("EDGE_SPEECH_DRIVER", "log")
    monkeypatch.setenv("EDGE_CAMERA_SOURCE", "demo")
    assert main(["doctor", "--json"]) == 0
    found = {one["check"]: one for one in json.loads(capsys.readouterr().out)}
    assert {
        "system",
        "python",
        "packages",
        "settings",
        "sound",
        "camera",
        "model",
        "memory",
        "clock",
        "disk",
        "silence",
        "loudness",
    } <= set(found)
    assert "passes its self-test" in found["model"]["text"]

    monkeypatch.setenv("EDGE_CAMERA_SOURCE", "/nowhere.mp4")
    monkeypatch.setenv("EDGE_MODEL_NAME", "nobody")
    assert main(["doctor"]) == 1
    lines = capsys.readouterr().out.splitlines()
    # but for a path, which nobody could copy from two lines; its line may begin with the name of the check
    assert all(len(line) <= 80 or " " not in line[17:].removeprefix("-> ").strip() for line in lines)
    assert any(line.startswith("✓ disk") and len(line) > 80 for line in lines)
    assert any(line.startswith("✗ camera ") for line in lines)
    assert any(line.startswith("✗ model ") for line in lines)
    assert lines[-1].startswith("2 faults, ")


def test_wrong_settings_are_a_finding(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.doctor.packages._LOAD", {})
    config = tmp_path / "edge.toml"
    config.write_text("[camera]\nsuorce = 1\n")
    assert main(["doctor", "--config", str(config)]) == 1
    assert "suorce" in capsys.readouterr().out


@pytest.mark.integration
def test_an_edge_that_runs_is_asked_for_it_has_the_camera(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edge.doctor.packages._LOAD", {})
    monkeypatch.setenv("EDGE_SPEECH_DRIVER", "log")
    socket = tmp_path / "edge" / "control.sock"
    with daemon(tmp_path, "--speech", "log") as child:
        wait_until(socket.exists)

        def asked() -> Finding | None:
            main(["doctor", "--json", "--socket", str(socket)])
            found = {one["check"]: one for one in json.loads(capsys.readouterr().out)}["camera"]
            return found if f"process {child.pid}" in found["text"] and "frames a second" in found["text"] else None

        wait_until(asked)


def test_a_check_that_goes_wrong_is_no_end_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_arguments: object, **_named: object) -> Iterable[Finding]:
        raise RuntimeError("a bug")
        yield

    monkeypatch.setattr("edge.doctor.check_camera", broken)
    monkeypatch.setattr("edge.doctor.check_model", lambda *_arguments, **_named: iter([]))
    settings = Settings(speech=SpeechSettings(driver="log"), announce=AnnounceSettings())
    found = by_check(examine(settings, None, speak=False))
    assert "a bug" in found["camera"].text
    assert found["sound"].grade is Grade.GOOD
