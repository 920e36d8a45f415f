"""A button and the service in a booted systemd: its rights, and how soon a press is heard while the model computes.

This kernel has no uinput perhaps: a FIFO that only the group input may read stands in for the button.
"""

import contextlib
import json
import os
import shutil
import statistics
import time
from collections.abc import Iterator
from typing import Any

import pytest
from rigs.audio.card import samples_of
from rigs.bases import PROJECT, wheel
from rigs.booted import Booted, booted, why_not
from rigs.keys import F2, records
from rigs.processes import wait_until
from rigs.service import events, lay_card, until

pytestmark = [
    pytest.mark.integration,
    pytest.mark.root,
    pytest.mark.system,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"),
]

BUTTON = "/run/buttons/button"
RECORDED = "run/recorded"
# it classifies each frame as fast as it can, and says nothing by itself
BUSY = """
[camera]
source = "demo"
loop = true
max_fps = 1000
[model]
still_s = 0
[announce]
floor = 1.0
sure = 1.0
maybe = 1.0
[speech]
driver = "espeak"
"""
INPUT = """
[input]
devices = ["/run/buttons/button"]
keys = {"KEY_F2" = "look", "KEY_F2 double" = "missed", "KEY_F2 long" = "snooze", "KEY_F2 hold" = "pause"}
"""
EDGE = ["/opt/edge/current/bin/python", "-P", "-m", "edge"]
DROP_IN = (PROJECT / "systemd" / "drop-ins" / "input.conf").read_text()


@pytest.fixture(scope="module")
def machine(debian: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    folder = tmp_path_factory.mktemp("machine")
    with booted(folder, debian) as one:
        one.install(wheel(tmp_path_factory.mktemp("wheel")))
        one.write("/etc/edge/edge.toml", BUSY + INPUT)
        lay_card(one)
        one.run("systemd-sysusers")
        one.run("systemd-tmpfiles", "--create")
        one.run("sh", "-c", f"mkdir /run/buttons && mkfifo -m 640 {BUTTON} && chgrp input {BUTTON}")
        one.run("systemctl", "daemon-reload")
        yield one
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def button(machine: Booted) -> Iterator[int]:
    """A descriptor of the button: records go into it."""
    fd = os.open(machine.root / BUTTON.lstrip("/"), os.O_RDWR | os.O_NONBLOCK)
    yield fd
    os.close(fd)


@pytest.fixture
def allowed(machine: Booted) -> Iterator[Booted]:
    """The machine with the service that may read input devices."""
    machine.drop_in("input", DROP_IN)
    machine.run("systemctl", "daemon-reload")
    start_quietly(machine)
    until(machine, lambda: keys_of(machine).get("devices"))
    yield machine
    machine.run("rm", "/etc/systemd/system/edge.service.d/input.conf")
    machine.run("systemctl", "daemon-reload")


def start_quietly(machine: Booted) -> None:
    """Start it, and wait until it has said that it is ready; it announces nothing."""
    machine.run("systemctl", "restart", "edge")
    until(machine, lambda: any(one["MESSAGE"] == "I'm ready." for one in events(machine, "notice")))


def keys_of(machine: Booted) -> dict[str, Any]:
    told = machine.run(*EDGE, "status", "--json", check=False).stdout
    found: dict[str, Any] = json.loads(told or "{}").get("input", {}).get("keys", {})
    return found


def problem(machine: Booted) -> str:
    """Why the button cannot be read; empty while it can, or while edge does not answer."""
    return str(keys_of(machine).get("problem") or "")


def recordings(machine: Booted) -> list[tuple[float, bytes]]:
    """When the first sample of each sound came that is complete and no mere probe, and its samples, oldest first."""
    # a recording gets its name when it is complete, and its time before that
    found = [wav for wav in (machine.root / RECORDED).glob("*.wav") if wav.with_suffix(".first").exists()]
    return sorted((int(wav.with_suffix(".first").read_text()) / 1e9, samples_of(wav)) for wav in found)


# ---- rights


def test_with_the_drop_in_it_is_confined_as_well(machine: Booted) -> None:
    unit = (machine.root / "etc/systemd/system/edge.service").read_text()
    machine.write("/run/delivered/keys.service", f"{unit}\n{DROP_IN}")
    verified = machine.run("systemd-analyze", "verify", "/run/delivered/keys.service")
    assert verified.stdout + verified.stderr == ""
    told = machine.run("systemd-analyze", "security", "--offline=true", "--no-pager", "/run/delivered/keys.service")
    exposure = float(told.stdout.rpartition("keys.service:")[2].split()[0])
    print(f"exposure {exposure}")
    assert exposure <= 0.9


def test_without_the_drop_in_it_may_not_read_and_says_so(machine: Booted) -> None:
    machine.run("sh", "-c", "mkdir -p /dev/input && mknod -m 666 /dev/input/event31 c 13 95")
    start_quietly(machine)
    assert "no permission" in until(machine, lambda: problem(machine))
    doctor = machine.run(*EDGE, "doctor", "--service", check=False).stdout
    assert "no permission" in doctor
    # everyone may read this node, but no unit without the drop-in; and there is no device behind it
    for drop_in, told in (("", "no permission"), (DROP_IN, "No such device")):
        machine.write("/etc/edge/edge.toml", BUSY + INPUT.replace(BUTTON, "/dev/input/event31"))
        machine.drop_in("input", drop_in)
        machine.run("systemctl", "daemon-reload")
        start_quietly(machine)
        assert told in until(machine, lambda: problem(machine))
    machine.write("/etc/edge/edge.toml", BUSY + INPUT)
    machine.run("rm", "-r", "/dev/input", "/etc/systemd/system/edge.service.d/input.conf")
    machine.run("systemctl", "daemon-reload")


# ---- how soon it is heard

ALONE = """
import os, subprocess, time
environment = {"ALSA_CONFIG_PATH": "/opt/test/asound.conf", "SINK": "/opt/test/sink.py", "SINK_DIR": "/run/recorded"}
print(time.monotonic_ns())
subprocess.run(["aplay", "-q", "/tmp/alone.wav"], env={**os.environ, **environment}, check=True)
"""


def alone_ms(machine: Booted) -> float:
    """How long a sound takes to the recording card without edge: aplay and the program behind the card start."""
    before = len(recordings(machine))
    machine.run("espeak-ng", "-v", "en", "-w", "/tmp/alone.wav", "one")
    begun_s = int(machine.run("python3", "-c", ALONE).stdout) / 1e9
    wait_until(lambda: len(recordings(machine)) == before + 1)
    return 1000 * (recordings(machine)[-1][0] - begun_s)


def test_a_press_is_answered_while_the_model_computes(allowed: Booted, button: int, long: bool) -> None:
    """The key goes down, the tone sounds, and the words are those of espeak-ng; how soon, it prints."""
    tones_ms, words_ms = [], []
    for _ in range(30 if long else 4):
        notices = len(events(allowed, "notice"))
        heard = len(recordings(allowed))
        down_s = time.monotonic()
        os.write(button, records(F2, 1, down_s))
        time.sleep(0.08)
        os.write(button, records(F2, 0))
        wait_until(lambda heard=heard: len(recordings(allowed)) == heard + 2)  # type: ignore[misc]
        (tone_s, _), (word_s, samples) = recordings(allowed)[heard:]
        tones_ms.append(1000 * (tone_s - down_s))
        words_ms.append(1000 * (word_s - down_s))
        until(allowed, lambda notices=notices: len(events(allowed, "notice")) > notices)
        text = events(allowed, "notice")[-1]["MESSAGE"]
        allowed.run("espeak-ng", "-v", "en", "-s", "200", "-w", "/tmp/oracle.wav", text)
        oracle = samples_of(allowed.root / "tmp/oracle.wav")
        assert samples.startswith(oracle)
        assert not any(samples[len(oracle) :])
    alone = [alone_ms(allowed) for _ in tones_ms]
    print(f"the card alone: median {statistics.median(alone):.0f} ms; load {os.getloadavg()[0]:.0f}")
    print(f"tone: median {statistics.median(tones_ms):.0f} ms, longest {max(tones_ms):.0f}")
    print(f"first word: median {statistics.median(words_ms):.0f} ms, longest {max(words_ms):.0f}")


def test_every_pattern_works_in_the_service(allowed: Booted, button: int) -> None:
    past_s = time.monotonic() - 100
    expected = [
        ([0.1], "I"),
        ([0.1, 0.1], "You missed nothing."),
        ([2.0], "I'll be quiet for half an hour."),
        ([2.0], "I'm listening again."),
        ([6.0], "I've stopped looking."),
        ([6.0], "I'm looking again."),
    ]
    for seconds, answer in expected:
        before = len(events(allowed, "notice"))
        data = b""
        for lasts_s in seconds:
            data += records(F2, 1, past_s) + records(F2, 0, past_s + lasts_s)
            past_s += lasts_s + 0.2
        past_s += 2
        os.write(button, data)
        until(
            allowed,
            lambda before=before, answer=answer: any(
                one["MESSAGE"].startswith(answer) for one in events(allowed, "notice")[before:]
            ),
        )


def test_the_daemon_leaves_no_descriptor_when_the_button_comes_and_goes(allowed: Booted, long: bool) -> None:
    def of_buttons() -> int:
        """How many descriptors of buttons it has, also of removed ones."""
        folder = allowed.root / "proc" / allowed.show("MainPID")["MainPID"] / "fd"
        count = 0
        for fd in folder.iterdir():
            with contextlib.suppress(OSError):  # it may have been closed since
                count += "/buttons/" in os.readlink(fd)  # noqa: PTH115
        return count

    assert of_buttons() == 1
    for _ in range(100 if long else 3):
        allowed.run("rm", BUTTON)
        until(allowed, lambda: problem(allowed))
        allowed.run("sh", "-c", f"mkfifo -m 640 {BUTTON} && chgrp input {BUTTON}")
        until(allowed, lambda: keys_of(allowed).get("devices"))
    assert of_buttons() == 1
