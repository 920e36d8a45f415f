"""What a user has taught is kept: whole or not at all, and no file or archive can do harm."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from edge.errors import ModelError
from edge.models.taught import store as store_module
from edge.models.taught.record import (
    MOST_BYTES,
    MOST_EMPTY,
    MOST_FEATURES,
    MOST_VIEWS,
    TaughtThing,
    checked_name,
    file_name_of,
    from_bytes,
    id_of,
    to_bytes,
)
from edge.models.taught.store import MOST_THINGS, TaughtStore, export_things, read_archive, taught_folder


def thing(name: str = "my keys", views: int = 3, empty: int = 1, features: int = 8) -> TaughtThing:
    numbers = np.random.default_rng(len(name)).random((views + empty, features)).astype(np.float16).astype(np.float32)
    return TaughtThing(name, "0123456789abcdef", "efficientnet-lite0", numbers[:views], numbers[views:])


def same(one: TaughtThing, other: TaughtThing) -> bool:
    return (
        (one.name, one.model, one.model_name) == (other.name, other.model, other.model_name)
        and np.array_equal(one.views, other.views)
        and np.array_equal(one.empty, other.empty)
    )


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
        ("x" * 81, "81 characters"),
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
    assert line == f"{path}: it is damaged: a checksum differs; it is now {path.stem}.damaged. Teach the thing again."
    assert path.with_suffix(".damaged").read_bytes() == bytes(data)
    assert [one.name for one in store.read()] == ["the cup"]
    assert len(told) == 1


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
        with pytest.raises(ModelError, match=r"taught: File too large; nothing was changed\. Free some space, or use"):
            store.add([thing(views=9)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(store.read()[0].views) == 3
    assert [path.name for path in store.folder.iterdir()] == [file_name_of("my keys")]


def test_killed_at_any_moment_all_are_there_or_all_but_the_new_one(tmp_path: Path, long: bool) -> None:
    script = (
        "import sys, numpy as np\n"
        "from pathlib import Path\n"
        "from edge.models.taught.record import TaughtThing\n"
        "from edge.models.taught.store import TaughtStore\n"
        "store = TaughtStore(Path(sys.argv[1]))\n"
        "print('ready', flush=True)\n"
        "for number in range(10000):\n"
        "    rows = np.full((20, 1280), number % 7, np.float32)\n"
        "    store.add([TaughtThing(f'thing {number % 5}', 'm', 'n', rows, rows[:0])])\n"
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


def test_an_archive_brings_the_things_to_another_machine(store: TaughtStore, tmp_path: Path) -> None:
    store.add([thing(), thing("the cup")])
    export_things(store.read(), tmp_path / "things.edge")
    other = TaughtStore(tmp_path / "other", pytest.fail)
    other.add(read_archive(tmp_path / "things.edge"))
    assert all(same(*both) for both in zip(store.read(), other.read(), strict=True))


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


def hostile() -> dict[str, tuple[bytes, str]]:
    whole = to_bytes(thing())
    line, _, numbers = whole.partition(b"\n")

    def changed(**entries: object) -> bytes:
        return json.dumps({**json.loads(line), **entries}).encode() + b"\n" + numbers

    nan = TaughtThing("x", "m", "n", np.full((1, 4), np.nan, np.float32), np.zeros((0, 4), np.float32))
    return {
        "empty": (b"", "it is empty"),
        "zip": (b"PK\x03\x04" + bytes(5000), "it is not a file of taught things"),
        "text": (b"hello\n", "it is not a file of taught things"),
        "list": (b"[]\n", "it is not a file of taught things"),
        "deep": (b"[" * 2000 + b"\n", "it is not a file of taught things"),
        "cut": (whole[:-3], "it ends in the middle of a thing"),
        "tail": (whole + b"x", "it ends in the middle of a thing"),
        "huge": (changed(views=30, features=8192), "it ends in the middle of a thing"),
        "more": (changed(views=10**9), "views must be a whole number"),
        "bomb": (changed(views=1000, features=10**6), "which is not possible"),
        "none": (changed(views=0, empty=4), "which is not possible"),
        "negative": (changed(empty=-1), "empty must be a whole number"),
        "later": (changed(version=2), "a later release of edge has written it"),
        "name": (changed(name="a\nb" * 9), "name must be a short text"),
        "long": (changed(name="x" * 300), "the name has 300 characters"),
        "model": (changed(model=["x"]), "model must be a short text"),
        "changed": (whole[:-1] + b"\xff", "a checksum differs"),
        "nan": (to_bytes(nan), "not all of its numbers are finite"),
        "twice": (whole + whole, "it has 'my keys' twice"),
        "many": (b"".join(to_bytes(thing(f"t {n}", 1, 0, 1)) for n in range(201)), "more than 200 things"),
    }


@pytest.mark.parametrize("kind", list(hostile()))
def test_a_hostile_archive_is_one_line(tmp_path: Path, kind: str) -> None:
    data, why = hostile()[kind]
    path = tmp_path / "things.edge"
    path.write_bytes(data)
    with pytest.raises(ModelError) as caught:
        read_archive(path)
    assert why in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_no_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "none"):
        with pytest.raises(ModelError, match="there is no such file"):
            read_archive(path)


def test_changed_bytes_are_an_error_and_no_more() -> None:
    whole = to_bytes(thing())
    random = np.random.default_rng(3)
    for _ in range(500):
        changed = bytearray(whole)
        for place in random.integers(0, len(changed), 2):
            changed[place] = random.integers(256)
        try:
            found = list(from_bytes(bytes(changed)))
        except ValueError:
            continue
        assert len(found) == 1
