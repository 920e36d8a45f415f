"""What a user has taught is kept: whole or not at all, and no file or archive can do harm."""

import dataclasses
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from rigs.taught import pictures, same, thing

from edge.errors import ModelError
from edge.models.taught import store as store_module
from edge.models.taught.record import (
    MOST_BYTES,
    MOST_EMPTY,
    MOST_FEATURES,
    MOST_VIEWS,
    checked_name,
    file_name_of,
    id_of,
    to_bytes,
)
from edge.models.taught.store import MOST_THINGS, TaughtStore, taught_folder


@pytest.fixture
def store(tmp_path: Path) -> TaughtStore:
    return TaughtStore(tmp_path / "state" / "taught", pytest.fail)


def test_things_come_back_as_they_were(store: TaughtStore) -> None:
    assert store.read() == []
    mine, cup = thing(), thing("the blue cup", empty=0)
    store.add([mine])
    first = store.version()
    store.add([cup])
    assert store.version() != first
    found = store.read()
    assert [one.name for one in found] == ["my keys", "the blue cup"]
    assert same(found[0], mine)
    assert same(found[1], cup)
    assert store.forget("My  KEYS") == "my keys"
    assert [one.name for one in store.read()] == ["the blue cup"]
    with pytest.raises(ModelError, match=r"^edge was never taught 'my keys'; edge taught lists what it knows$"):
        store.forget("my keys")


def test_a_thing_is_replaced_by_one_of_its_name(store: TaughtStore) -> None:
    store.add([thing("Rex", views=3)])
    store.add([thing("rex", views=5)])
    (found,) = store.read()
    assert found.name == "rex"
    assert len(found.views) == 5


@pytest.mark.parametrize("name", ["../../etc/passwd", "a/b", ".", "наши ключи", "鍵", "Ä" * 80, "CON", "-rf 1", "{x}"])
def test_any_name_is_a_file_in_the_folder(store: TaughtStore, name: str) -> None:
    try:
        checked = checked_name(name)
    except ValueError:
        assert name == "."
        return
    store.add([thing(checked)])
    assert [one.name for one in store.read()] == [checked]
    assert [path.name for path in store.folder.iterdir()] == [file_name_of(checked)]
    store.forget(checked)
    assert not list(store.folder.iterdir())


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "letter or a digit"),
        ("...", "letter or a digit"),
        ("   \u00a0\t", "letter or a digit"),
        ("\U0001f511", "letter or a digit"),
        ("\u200d", "letter or a digit"),
        ("x" * 81, "81 characters"),
        ("x" * 10_000, "10000 characters"),
        ("a\x00b", "cannot be printed"),
        ("a\udcff", "cannot be printed"),
        ("a\u2028b\ufeff", "cannot be printed"),
        ("a\x1b[31m", "cannot be printed"),
        ("a\u202eb", "cannot be printed"),
    ],
)
def test_what_cannot_be_a_name_is_refused(name: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        checked_name(name)


def test_the_same_name_written_otherwise_is_the_same_thing() -> None:
    assert checked_name("  my\n keys ") == "my keys"
    assert id_of("Cafe\u0301 Cup") == id_of("caf\u00e9  cup") == "taught:caf\u00e9 cup"
    # Persian and Hindi need a joiner in some words, which people leave out; so do some emoji
    for name in (
        "\u06a9\u0644\u06cc\u062f\u200c\u0647\u0627",
        "\u0915\u094d\u200d\u0937",
        "\U0001f9d1\u200d\U0001f680 suit",
    ):
        assert checked_name(name) == name
        assert id_of(name) == id_of(name.replace("\u200c", "").replace("\u200d", ""))


def test_a_damaged_file_is_put_aside_and_the_others_stay(tmp_path: Path) -> None:
    told: list[str] = []
    store = TaughtStore(tmp_path, told.append)
    store.add([thing(), thing("the cup")])
    path = tmp_path / file_name_of("my keys")
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))
    assert [one.name for one in store.read()] == ["the cup"]
    (line,) = told
    what = "it is damaged: its numbers do not match their checksum"
    assert line == f"{path}: {what}; it is now {path.stem}.damaged. Teach the thing again."
    assert path.with_suffix(".damaged").read_bytes() == bytes(data)
    assert [one.name for one in store.read()] == ["the cup"]
    assert len(told) == 1


def test_what_a_newer_edge_wrote_stays_for_it(tmp_path: Path) -> None:
    told: list[str] = []
    store = TaughtStore(tmp_path, told.append)
    store.add([thing(), thing("the cup")], {thing().id: pictures()})
    path = tmp_path / file_name_of("my keys")
    (kept,) = tmp_path.glob("*.pictures")
    files = {one: one.read_bytes().replace(b'"version": 1', b'"version": 2') for one in (path, kept)}
    for one, data in files.items():
        one.write_bytes(data)
    assert [one.name for one in store.read()] == ["the cup"]
    assert told == [f"{path}: a newer edge wrote it; it is not used."]
    store.add([thing("Rex")])
    store.forget("the cup")
    assert files.items() <= {one: one.read_bytes() for one in tmp_path.iterdir()}.items()
    assert store.damaged() == []
    # that of another thing of the same name takes its place
    store.add([thing()])
    assert [one.name for one in store.read()] == ["my keys", "Rex"]
    assert not kept.exists()


def test_there_are_at_most_two_hundred(store: TaughtStore) -> None:
    store.add(thing(f"thing {number}", views=1, empty=0) for number in range(MOST_THINGS))
    with pytest.raises(ModelError, match=r"^edge can know 200 things, and knows 200; forget one first: edge forget"):
        store.add([thing("one more")])
    store.add([thing("thing 7", views=2)])
    assert len(store.read()) == MOST_THINGS


def test_the_largest_thing_fits(store: TaughtStore) -> None:
    largest = thing("x" * 80, MOST_VIEWS, MOST_EMPTY, MOST_FEATURES)
    store.add([largest])
    assert len(to_bytes(largest)) <= MOST_BYTES
    assert same(store.read()[0], largest)


def test_a_full_disk_is_one_line_and_loses_nothing(store: TaughtStore) -> None:
    store.add([thing(views=3)])
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    # a write past the limit fails with EFBIG, as Python ignores its signal
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
    try:
        with pytest.raises(ModelError, match=r"taught: File too large; nothing was changed\. Free some space$"):
            store.add([thing(views=9)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(store.read()[0].views) == 3
    assert [path.name for path in store.folder.iterdir()] == [file_name_of("my keys")]


def test_killed_at_any_moment_all_are_there_or_all_but_the_new_one(tmp_path: Path, long: bool) -> None:
    script = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from edge.models.taught.pictures import KeptPictures\n"
        "from edge.models.taught.record import TaughtThing\n"
        "from edge.models.taught.store import TaughtStore\n"
        "store = TaughtStore(Path(sys.argv[1]))\n"
        "JPEG = bytes.fromhex('ffd8ffc0001108001000100301220002110103')\n"
        "print('ready', flush=True)\n"
        "for number in range(10000):\n"
        "    rows = np.full((20, 1280), number % 7, np.float32)\n"
        "    one = TaughtThing(f'thing {number % 5}', 'm', 'n', rows, rows[:0])\n"
        "    kept = KeptPictures((JPEG + bytes([number % 7]) * 9000,) * 20, ())\n"
        "    store.add([one], {one.id: kept} if number % 3 else {})\n"
    )
    store = TaughtStore(tmp_path, pytest.fail)
    store.add([thing("older")])
    random = np.random.default_rng(1)
    for _ in range(50 if long else 4):
        command = [sys.executable, "-P", "-c", script, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout
            assert process.stdout.readline() == "ready\n"
            try:
                process.wait(random.uniform(0, 0.2))
            except subprocess.TimeoutExpired:
                process.kill()
        names = [one.name for one in store.read()]
        assert names[0] == "older"
        assert set(names[1:]) <= {f"thing {number}" for number in range(5)}
        assert all(len(one.views) == 20 for one in store.read()[1:])
        # pictures are there for each thing that names them, and those of the same lesson
        for one in store.read()[1:]:
            kept = store.pictures(one)
            assert bool(kept) == bool(one.pictures)
            assert kept is None or kept.views[0][-1] == one.views[0, 0]


def test_the_folder_is_the_service_s_or_the_user_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert taught_folder() == tmp_path / "xdg-state" / "edge" / "taught"
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/one:/var/lib/two")
    assert taught_folder() == Path("/var/lib/one/taught")
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.delenv("XDG_STATE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setattr(store_module, "SERVICE_FOLDER", tmp_path / "service" / "taught")
    assert taught_folder() == tmp_path / ".local" / "state" / "edge" / "taught"
    (tmp_path / "service").mkdir()
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert taught_folder() == tmp_path / "service" / "taught"


def test_pictures_are_kept_for_their_owner_and_go_with_their_thing(store: TaughtStore) -> None:
    mine = thing()
    store.folder.mkdir(parents=True)
    owner = 54321 if os.geteuid() == 0 else os.geteuid()
    os.chown(store.folder, owner, -1)  # root teaches the service, which has a user of its own
    store.add([mine, thing("Rex")], {mine.id: pictures()})
    assert {path.stat().st_uid for path in store.folder.iterdir()} == {owner}
    rex, kept = sorted(store.read(), key=lambda one: one.name)
    assert same(kept, mine)
    assert store.pictures(kept) == pictures()
    assert store.pictures(rex) is None
    (file,) = store.folder.glob("*.pictures")
    assert file.stat().st_mode & 0o777 == 0o600
    assert (store.folder / file_name_of("my keys")).stat().st_mode & 0o777 == 0o644

    # others take their place, then none
    store.add([mine], {mine.id: pictures(2)})
    assert store.pictures(store.read()[0]) == pictures(2)
    assert len(list(store.folder.glob("*.pictures"))) == 1
    store.add([mine])
    assert not list(store.folder.glob("*.pictures"))
    store.add([mine], {mine.id: pictures()})
    (store.folder / f".{file.name}.12345").write_bytes(b"a killed process left this")
    store.forget("my keys")
    assert [path.name for path in store.folder.iterdir()] == [file_name_of("Rex")]


def test_a_thing_that_was_learnt_again_stands_for_the_first_one(store: TaughtStore) -> None:
    mine = thing()
    store.add([mine], {mine.id: pictures()})
    (kept,) = store.read()
    for model in ("1" * 16, "2" * 16, "3" * 16, "4" * 16):
        store.keep_again(dataclasses.replace(kept, model=model, views=kept.views + int(model[0])))
    version = store.version()
    assert same(store.read()[0], mine)
    assert same(store.read(mine.model)[0], mine)
    assert store.read("3" * 16)[0].model == "3" * 16
    assert np.array_equal(store.read("4" * 16)[0].views, (kept.views + 4).astype(np.float16))
    assert store.read("1" * 16)[0].model == mine.model  # only the last three are kept
    assert store.version() == version
    # taught anew, from other pictures: what was learnt from the old ones is gone, also if it comes late
    store.add([mine], {mine.id: pictures(2)})
    store.keep_again(dataclasses.replace(kept, model="4" * 16))
    assert store.read("4" * 16)[0].model == mine.model
    store.forget("my keys")
    assert not list(store.folder.iterdir())


@pytest.mark.parametrize("kind", ["gone", "cut", "changed", "folder"])
def test_damaged_pictures_are_told_and_the_thing_stays(tmp_path: Path, kind: str) -> None:
    told: list[str] = []
    store = TaughtStore(tmp_path, told.append)
    mine = thing()
    store.add([mine], {mine.id: pictures()})
    (file,) = tmp_path.glob("*.pictures")
    data = file.read_bytes()
    file.unlink()
    if kind == "folder":
        file.mkdir()
    elif kind != "gone":
        file.write_bytes(data[:-3] if kind == "cut" else data[:-1] + b"x")
    (kept,) = store.read()
    assert store.pictures(kept) is None
    assert len(told) == 1
    assert told[0].startswith(f"{file}: ")
    assert told[0].endswith("; the pictures of my keys cannot be used.")
    if kind in ("cut", "changed"):
        assert store.damaged() == [file.with_suffix(".damaged")]
        store.forget("my keys")
        assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("most", [100, 1500])
def test_a_full_disk_keeps_the_pictures_of_before(store: TaughtStore, most: int) -> None:
    mine = thing()
    store.add([mine], {mine.id: pictures()})
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, before[1]))
    try:
        # with little room the pictures do not fit, with more the thing does not
        with pytest.raises(ModelError, match="nothing was changed"):
            store.add([thing(views=40, features=64)], {mine.id: pictures(2, views=1, empty=0)})
        with pytest.raises(ModelError, match="nothing was changed"):
            store.add([thing("Rex", views=40, features=64)], {"taught:rex": pictures(2, views=1, empty=0)})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    (kept,) = store.read()
    assert same(kept, mine)
    assert store.pictures(kept) == pictures()
    assert len(list(store.folder.iterdir())) == 2


def test_two_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "from rigs.taught import pictures, thing\n"
        "from edge.models.taught.store import TaughtStore\n"
        "store = TaughtStore(Path(sys.argv[1]))\n"
        "for number in range(10):\n"
        "    one = thing(f'{sys.argv[2]} {number}')\n"
        "    store.add([one], {one.id: pictures(number)})\n"
    )
    command = [sys.executable, "-P", "-c", script, str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    running = [subprocess.Popen([*command, name], env=environment) for name in ("a", "b")]
    assert [process.wait(60) for process in running] == [0, 0]
    store = TaughtStore(tmp_path, pytest.fail)
    assert len(store.read()) == 20
    assert all(store.pictures(one) for one in store.read())
