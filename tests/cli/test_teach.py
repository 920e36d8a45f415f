"""edge teach, taught, forget: as a person at a terminal has them, and a daemon that uses what was taught."""

import contextlib
import dataclasses
import io
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rigs.daemon import daemon, named, read_events, say
from rigs.processes import wait_until
from rigs.taught import thing

from edge.cli import main
from edge.engines import engine_problem
from edge.models.taught.archive import export_things
from edge.models.taught.store import TaughtStore

pytestmark = pytest.mark.integration
DEMO = ("--model", "demo", "--engine", "onnx")


def picture(kind: int, number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Stripes of one kind, each time moved a little."""
    rng = np.random.default_rng(kind)
    colors = rng.integers(0, 256, (4, 3))
    rows, columns = np.mgrid[:96, :128]
    slope, width = rng.uniform(-1, 1, 2), rng.uniform(8, 30)
    bands = ((rows * slope[0] + columns * slope[1] + 3 * number) / width).astype(int) % 4
    return np.asarray(colors[bands], np.uint8)


def folder_of(path: Path, kind: int, count: int = 8) -> Path:
    path.mkdir(parents=True)
    for number in range(count):
        cv2.imwrite(str(path / f"{number:02}.png"), picture(kind, number))
    return path


def edge(*arguments: object, code: int = 0) -> str:
    """What it prints; without the lines of progress, which only a slow machine has."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        ended = main(list(map(str, arguments)))
    assert ended == code, out.getvalue() + err.getvalue()
    # lines of progress come only on a slow machine
    told = [
        line
        for line in err.getvalue().splitlines(keepends=True)
        if not re.match(r"(Reading|Learning)  [#.]{24}|Loading", line)
    ]
    return out.getvalue() + "".join(told)


def test_from_the_first_thing_to_the_last(tmp_path: Path) -> None:
    assert edge("taught") == 'edge was taught nothing yet: edge teach "my keys"\n'
    keys, rex = folder_of(tmp_path / "keys", 1), folder_of(tmp_path / "rex", 2)
    assert edge("teach", "--images", keys, "my keys", *DEMO) == (
        "I know my keys now. Test: 2 of 2 pictures recognised.\n"
        "edge recognises my keys more often with pictures of the place without my keys: --empty DIR.\n"
    )
    assert edge("teach", "--images", keys, "My Keys", *DEMO, code=78) == (
        "edge: edge knows 'my keys' already: add views (--more), or have it learnt from new views alone (--replace)\n"
    )
    assert edge("teach", "--images", keys, "--more", "my keys", *DEMO).startswith("I know my keys now")
    edge("teach", "--images", rex, "Rex", *DEMO)
    assert edge("taught").splitlines() == ["NAME     MODEL  VIEWS", "my keys  demo      40", "Rex      demo      40"]
    assert json.loads(edge("taught", "--json"))[1] == {"name": "Rex", "model": "demo", "views": 40, "pictures": False}
    found = json.loads(edge("classify", rex / "00.png", "--json", *DEMO))
    assert found[0]["predictions"][0]["id"] == "taught:rex"

    archive = tmp_path / "things.edge"
    assert edge("taught", "--export", archive) == f"Exported 2 things to {archive}.\n"
    assert edge("forget", "my keys") == "Forgotten: my keys.\n"
    assert edge("taught", "--import", archive, code=78) == (
        "edge: edge knows Rex already. Nothing was changed; --replace takes what is in the file\n"
    )
    assert edge("taught", "--import", archive, "--replace") == "Imported 1 thing: my keys.\n"
    assert edge("taught", "--import", archive, "--replace") == (
        "edge already knows everything in this file. Nothing was changed.\n"
    )
    # other engines give the same answer
    first = found[0]["predictions"][0]
    for engine in ("mxnet", "openvino"):
        if engine_problem(engine):
            continue
        again = json.loads(edge("classify", rex / "00.png", "--json", "--model", "demo", "--engine", engine))
        other = again[0]["predictions"][0]
        assert other["id"] == first["id"]
        assert other["probability"] == pytest.approx(first["probability"], abs=0.01)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], 'edge: give the thing a name: edge teach "my keys"'),
        (
            ["--empty", "{few}", "x"],
            "edge: --empty belongs to --images DIR; without it, edge uses its own camera and model",
        ),
        (
            ["my keys"],
            "edge: --model belongs to --images DIR; without it, edge uses its own camera and model",
        ),
        (["--images", "none", "x"], "edge: none: there is no such folder; give the path of a folder with images"),
        (["--images", "{few}", "x"], "edge: {few}: 2 good pictures are too few; 4 at least, 10 are better"),
        (["--images", "{few}", "..."], "edge: '...': a name needs a letter or a digit"),
        (["--images", "{few}", "a\nb\x07"], "edge: 'a\\nb\\x07': the name has characters that cannot be printed"),
    ],
)
def test_a_mistake_is_one_line(tmp_path: Path, arguments: list[str], said: str) -> None:
    few = folder_of(tmp_path / "few", 1, 2)
    given = [one.format(few=few) for one in arguments]
    code = 69 if "none" in given else 78
    assert edge("teach", *given, *DEMO, code=code) == said.format(few=few) + "\n"
    assert not (tmp_path / "xdg-state" / "edge" / "taught").exists()


def test_what_is_no_archive_is_one_line_and_an_exit_code(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = TaughtStore(tmp_path / "xdg-state" / "edge" / "taught")
    store.add(thing(f"thing {number}", views=1, empty=0) for number in range(150))
    before = store.version()
    other = TaughtStore(tmp_path / "other")
    other.add(thing(f"mine {number}", views=1, empty=0) for number in range(60))
    export_things(other, tmp_path / "many.edge")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("/dev/zero")
    (tmp_path / "text").write_text("hello\n")
    for name, why in [
        ("pipe", "this is not a file; edge taught --export FILE makes one"),
        ("link", "this is not a file; edge taught --export FILE makes one"),
        ("text", "it is not a file of taught things; nothing was changed"),
        ("none", "No such file or directory"),
    ]:
        assert main(["taught", "--import", str(tmp_path / name), "--replace"]) == 78
        assert capsys.readouterr() == ("", f"edge: {tmp_path / name}: {why}\n")
    assert main(["taught", "--import", str(tmp_path / "many.edge")]) == 78
    said = capsys.readouterr().err
    assert said == "edge: edge can know 200 things, and knows 150; forget 10 of them first: edge forget NAME\n"
    assert store.version() == before
    assert main(["taught", "--export", str(tmp_path / "none" / "x")]) == 78
    assert capsys.readouterr().err.endswith("No such file or directory; nothing was written\n")
    assert main(["forget", "x" * 10_000]) == 78
    assert len(capsys.readouterr().err) < 200


def test_dark_and_broken_pictures_are_left_out(tmp_path: Path) -> None:
    keys = folder_of(tmp_path / "keys", 1)
    cv2.imwrite(str(keys / "dark.png"), np.zeros((96, 128, 3), np.uint8))
    (keys / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    lines = edge("teach", "--images", keys, "my keys", *DEMO).splitlines()
    assert f"edge: {keys}/dark.png: it is too dark; skipped" in lines
    assert any(f"{keys}/broken.png" in line and line.endswith("; skipped") for line in lines)
    assert lines[0].startswith("I know my keys now")


def test_what_cannot_be_told_apart_is_not_learnt(tmp_path: Path) -> None:
    keys = folder_of(tmp_path / "keys", 1)
    edge("teach", "--images", keys, "my keys", *DEMO)
    said = edge("teach", "--images", keys, "Rex", *DEMO, code=78)
    # which of two equal things is better is chance
    assert re.fullmatch(
        r"edge: I can't tell Rex from my keys \(Test: [01] of 2 pictures recognised\)\. Nothing was changed\. Take "
        r"nearer pictures, from all sides, in even light\.\n",
        said,
    )
    assert edge("taught").splitlines()[1:] == ["my keys  demo      40"]


def test_a_full_disk_keeps_what_was_there(tmp_path: Path) -> None:
    keys = folder_of(tmp_path / "keys", 1)
    edge("teach", "--images", keys, "my keys", *DEMO)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    rex = folder_of(tmp_path / "rex", 2)
    command = [sys.executable, "-P", "-m", "edge", "teach", "--images", str(rex), "Rex", *DEMO]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1])),
    )
    assert done.returncode == 78, done.stdout + done.stderr
    assert done.stderr.endswith("taught: File too large; nothing was changed. Free some space\n")
    assert "my keys" in edge("taught")
    assert not list((tmp_path / "xdg-state" / "edge" / "taught").glob(".*"))


def test_a_running_edge_learns_and_forgets(tmp_path: Path) -> None:
    keys = folder_of(tmp_path / "keys", 1)
    events = tmp_path / "events"
    arguments = ["--camera", str(keys), "--loop", "--speech", "log", *DEMO, "--events", str(events)]
    with daemon(tmp_path, *arguments, XDG_STATE_HOME=str(tmp_path / "xdg-state")):
        wait_until(lambda: named(read_events(events), "ready"))
        edge("teach", "--images", keys, "my keys", *DEMO)
        wait_until(lambda: [one for one in named(read_events(events), "announced") if one.get("taught")])
        first = next(one for one in named(read_events(events), "announced") if one.get("taught"))
        assert first["id"] == "taught:my keys"
        assert first["text"] == "I see my keys"
        assert [one["things"] for one in named(read_events(events), "taught")] == [["my keys"]]
        assert json.loads(say(tmp_path, "status", "--json").stdout)["taught"] == ["my keys"]
        assert say(tmp_path, "mute", "My keys").stdout.startswith("Muted: my keys. edge unmute undoes it.")
        assert say(tmp_path, "forget", "my keys").stdout == "Forgotten: my keys.\n"
        wait_until(lambda: len(named(read_events(events), "taught")) == 2)
        assert named(read_events(events), "taught")[-1]["things"] == []


def test_taught_and_forget_ask_the_running_edge(tmp_path: Path) -> None:
    theirs = tmp_path / "their-state"
    store = TaughtStore(theirs / "edge" / "taught")
    store.add([thing("my keys")])
    TaughtStore(tmp_path / "xdg-state" / "edge" / "taught").add([thing("Rex")])
    assert edge("taught").splitlines() == ["NAME  MODEL               VIEWS", "Rex   efficientnet-lite0      3"]
    events = tmp_path / "events"
    arguments = ["--speech", "log", *DEMO, "--events", str(events)]
    with daemon(tmp_path, *arguments, XDG_STATE_HOME=str(theirs)):
        wait_until(lambda: named(read_events(events), "ready"))
        assert say(tmp_path, "taught").stdout.splitlines()[1].endswith("no, teach it again")
        (listed,) = json.loads(say(tmp_path, "taught", "--json").stdout)
        assert (listed["name"], listed["state"], listed["pictures"]) == ("my keys", "not_known", False)
        # only what the service was taught may be in another folder
        done = say(tmp_path, "taught", "--export", str(tmp_path / "things.edge"))
        assert (done.returncode, done.stderr) == (
            78,
            f"edge: the running edge keeps what it was taught in {store.folder}, which you may not use: run this as "
            "the user of that edge\n",
        )
        assert (
            say(tmp_path, "forget", "Rex").stderr
            == "edge: edge was never taught 'Rex'; edge taught lists what it knows\n"
        )
        assert say(tmp_path, "forget", "My keys").stdout == "Forgotten: my keys.\n"
        assert store.read() == []
        assert say(tmp_path, "taught").stdout == 'edge was taught nothing yet: edge teach "my keys"\n'
    assert say(tmp_path, "taught").stderr.startswith("edge: edge is not running here")


def as_another_model(tmp_path: Path) -> None:
    """Make the taught things those of another model than the one that is here."""
    store = TaughtStore(tmp_path / "xdg-state" / "edge" / "taught")
    for one in store.read():
        kept = store.pictures(one)
        store.add([dataclasses.replace(one, model="0" * 16)], {one.id: kept} if kept else {})


def test_another_model_learns_it_again_from_kept_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keys, rex = folder_of(tmp_path / "keys", 1), folder_of(tmp_path / "rex", 2)
    edge("teach", "--images", rex, "Rex", *DEMO)
    monkeypatch.setenv("EDGE_TEACH_KEEP_PICTURES", "true")
    said = edge("teach", "--images", keys, "my keys", *DEMO)
    assert "\nedge has kept small pictures of my keys, for other models; edge forget removes them.\n" in said
    (file,) = (tmp_path / "xdg-state" / "edge" / "taught").glob("*.pictures")
    assert file.stat().st_mode & 0o777 == 0o600
    as_another_model(tmp_path)
    events = tmp_path / "events"
    arguments = ["--camera", str(keys), "--loop", "--speech", "log", *DEMO, "--events", str(events)]

    def events_named(name: str) -> list[dict[str, Any]]:
        return named(read_events(events), name)

    with daemon(tmp_path, *arguments, XDG_STATE_HOME=str(tmp_path / "xdg-state")):
        wait_until(lambda: [one for one in events_named("announced") if one["taught"]])
        found = read_events(events)
        learnt = next(number for number, one in enumerate(found) if one["event"] == "taught")
        assert found[learnt]["things"] == ["my keys"]
        # before that, nothing taught was named
        assert not [one for one in found[:learnt] if one["event"] == "announced" and one["taught"]]
        # the other one has no pictures
        wait_until(
            lambda: "Please teach me again: Rex." in [one["text"] for one in named(read_events(events), "notice")]
        )
    assert edge("forget", "my keys") == "Forgotten: my keys.\n"
    assert not list(file.parent.glob(file.name[:20] + "*"))


def test_names_are_said_renamed_and_muted_in_another_language(tmp_path: Path) -> None:
    keys, dog = folder_of(tmp_path / "keys", 1), folder_of(tmp_path / "dog", 2)
    edge("teach", "--images", keys, "meine Schl\u00fcssel", *DEMO)
    edge("teach", "--images", dog, "Rex", *DEMO)
    for number in range(8):
        shutil.copy(dog / f"{number:02}.png", keys / f"9{number}.png")
    events = tmp_path / "events"
    arguments = ["--camera", str(keys), "--loop", "--speech", "log", *DEMO, "--events", str(events)]
    environment = {
        "XDG_STATE_HOME": str(tmp_path / "xdg-state"),
        "EDGE_SPEECH_LANGUAGE": "de",
        "EDGE_ANNOUNCE_RENAME": '{"rex": "der Hund | den Hund"}',
        "EDGE_CAMERA_IMAGE_S": "0.5",
    }
    with daemon(tmp_path, *arguments, **environment):

        def texts(identity: str) -> list[str]:
            return [one["text"] for one in named(read_events(events), "announced") if one["id"] == identity]

        wait_until(lambda: texts("taught:meine schl\u00fcssel") and texts("taught:rex"))
        assert texts("taught:meine schl\u00fcssel")[0] == "Ich sehe meine Schl\u00fcssel"
        assert texts("taught:rex")[0] == "Ich sehe den Hund"
        # as another system writes the umlaut, in capitals; and by the other name
        muted = say(tmp_path, "mute", "MEINE SCHLU\u0308SSEL")
        assert muted.stdout.startswith("Muted: meine Schl\u00fcssel."), muted
        assert say(tmp_path, "mute", "rEX").stdout.startswith("Muted: Rex.")
        assert json.loads(say(tmp_path, "status", "--json").stdout)["mutes"] == ["Rex", "meine Schl\u00fcssel"]
        wait_until(lambda: "muted" in say(tmp_path, "why").stdout)
