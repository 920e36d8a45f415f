"""The whole dialogue in a booted machine: a film as camera, a recording card, and what is said in the next films."""

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import pytest
from rigs.bases import wheel
from rigs.booted import Booted, booted, why_not
from rigs.lessons import HEIGHT, WIDTH, empty_place, with_thing
from rigs.service import events, heard, lay_card, until

from edge.stages import Pixels

pytestmark = [
    pytest.mark.integration,
    pytest.mark.root,
    pytest.mark.system,
    pytest.mark.long,
    pytest.mark.skipif(bool(why_not()), reason=why_not() or "-"),
]
EDGE = ["/opt/edge/current/bin/python", "-P", "-m", "edge"]
SETTINGS = '[camera]\nsource = "/opt/test/{film}.mp4"\nloop = true\n[model]\nname = "demo"\n'
KEYS = 5
RATE_HZ = 10
EMPTY_S, SHOWN_S = 20, 70


def write_film(path: Path, seconds: int, show: Callable[[int], Pixels]) -> None:
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"mp4v"), RATE_HZ, (WIDTH, HEIGHT))
    assert writer.isOpened()
    for number in range(seconds * RATE_HZ):
        writer.write(show(number)[..., ::-1].copy())
    writer.release()


@pytest.fixture(scope="module")
def machine(debian: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Booted]:
    folder, films = tmp_path_factory.mktemp("machine"), tmp_path_factory.mktemp("films")
    begins_s = EMPTY_S * RATE_HZ
    write_film(
        films / "lesson.mp4",
        EMPTY_S + SHOWN_S,
        # turned once in half a second
        lambda number: empty_place(number) if number < begins_s else with_thing(KEYS, (number - begins_s) // 5),
    )
    write_film(films / "with.mp4", 30, lambda number: with_thing(KEYS, number // 20))
    write_film(films / "without.mp4", 30, empty_place)
    with booted(folder, debian) as one:
        one.install(wheel(tmp_path_factory.mktemp("wheel")))
        lay_card(one)
        for film in films.glob("*.mp4"):
            shutil.copy(film, one.root / "opt/test" / film.name)
        one.run("systemd-sysusers")
        one.run("systemd-tmpfiles", "--create")
        one.write("/run/recorded/pace", "real")
        one.run("systemctl", "daemon-reload")
        yield one
    shutil.rmtree(folder, ignore_errors=True)


def play(machine: Booted, film: str) -> None:
    """Restart the service with a film as camera, and wait until it is ready."""
    machine.write("/etc/edge/edge.toml", SETTINGS.format(film=film))
    machine.run("systemctl", "stop", "edge")
    machine.run("sh", "-c", "rm -f /run/recorded/*.wav")
    machine.run("systemctl", "start", "edge")
    until(machine, lambda: any(one["MESSAGE"] == "I'm ready." for one in events(machine, "notice")))


def edge(machine: Booted, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    return machine.run(*EDGE, *arguments, check=check)


def frames(machine: Booted) -> int:
    """How many frames of the film it has looked at."""
    return int(json.loads(edge(machine, "status", "--json").stdout)["frames"])


def test_the_dialogue_is_heard_and_the_thing_is_named_in_the_next_film(machine: Booted) -> None:
    play(machine, "lesson")
    told = edge(machine, "teach", "my keys")
    assert told.stdout.startswith("I know my keys now")
    asked = ["First show me the place without my keys.", "Now show me my keys, slowly, from all sides."]
    assert [line for line in told.stderr.splitlines() if line in asked] == asked
    (end,) = events(machine, "teaching")
    assert end["MESSAGE"].startswith("'my keys' was learnt: ")
    said = [one["MESSAGE"] for one in events(machine, "notice")]
    assert said[:3] == ["I'm ready.", *asked]
    for sentence in (*asked, said[-1]):
        until(machine, lambda sentence=sentence: heard(machine, sentence))
    assert said[-1] in ("I know my keys now.", "I know my keys now, but not from all sides.")

    play(machine, "with")
    until(machine, lambda: heard(machine, "I see my keys"))
    assert [one["EDGE_ID"] for one in events(machine, "announced")][:1] == ["taught:my keys"]

    play(machine, "without")
    until(machine, lambda: frames(machine) > 150)
    assert events(machine, "announced") == []
    assert not heard(machine, "I see my keys")
    assert edge(machine, "forget", "my keys").stdout == "Forgotten: my keys.\n"
