"""An archive brings taught things to another machine, and no archive can do harm."""

import dataclasses
import io
import json
import os
import resource
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from rigs.taught import pictures, same, thing

from edge.errors import ModelError
from edge.models.taught import archive as archive_module
from edge.models.taught.archive import Archive, export_things, import_things
from edge.models.taught.pictures import KeptPictures, digest_of, pictures_from_file
from edge.models.taught.record import TaughtThing, from_file, to_bytes
from edge.models.taught.store import TaughtStore


@pytest.fixture
def store(tmp_path: Path) -> TaughtStore:
    """A store with two things; the pictures of one are kept."""
    store = TaughtStore(tmp_path / "state" / "taught", pytest.fail)
    store.add([thing(), thing("the cup")], {"taught:my keys": pictures()})
    return store


def test_it_brings_things_and_pictures(store: TaughtStore, tmp_path: Path) -> None:
    path = tmp_path / "things.edge"
    path.write_bytes(b"an older one, which anybody may read")
    assert [one.name for one in export_things(store, path)] == ["my keys", "the cup"]
    assert path.stat().st_mode & 0o777 == 0o600
    other = TaughtStore(tmp_path / "other", pytest.fail)
    archive = Archive(path)
    assert archive.names == {"taught:my keys": "my keys", "taught:the cup": "the cup"}
    assert import_things(archive, other) == ["my keys", "the cup"]
    assert all(same(*both) for both in zip(store.read(), other.read(), strict=True))
    assert other.pictures(other.read()[0]) == pictures()
    # a second time there is nothing to do
    version = other.version()
    assert import_things(archive, other) == []
    assert other.version() == version
    # one was taught anew meanwhile
    other.add([thing("The Cup", views=5)])
    assert import_things(archive, other) == ["the cup"]


def test_pictures_can_stay_at_home(store: TaughtStore, tmp_path: Path) -> None:
    path = tmp_path / "things.edge"
    export_things(store, path, pictures=False)
    (tmp_path / "plain").touch()
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode
    import_things(Archive(path), other := TaughtStore(tmp_path / "other", pytest.fail))
    assert [one.pictures for one in other.read()] == ["", ""]
    assert not list(other.folder.glob("*.pictures"))


def test_a_full_disk_is_one_line_and_says_what_was_imported(store: TaughtStore, tmp_path: Path) -> None:
    path = tmp_path / "things.edge"
    store.add([thing("the largest", views=40, features=256)])
    export_things(store, path)
    other = TaughtStore(tmp_path / "other", pytest.fail)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (12000, before[1]))
    try:
        with pytest.raises(ModelError, match="nothing was written"):
            export_things(store, path)
        with pytest.raises(ModelError, match=r"^[^\n]*Free some space \(2 of 3 things were imported\)$"):
            import_things(Archive(path), other)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert len(other.read()) == 2
    assert len(Archive(path).names) == 3


def hostile() -> dict[str, tuple[bytes, str]]:
    whole = to_bytes(thing())
    line, _, numbers = whole.partition(b"\n")

    def changed(**entries: object) -> bytes:
        return json.dumps({**json.loads(line), **entries}).encode() + b"\n" + numbers

    def pictured(kept: KeptPictures, digest: str = "") -> bytes:
        data = kept.to_bytes()
        return changed(pictures=digest or digest_of(data)) + data

    def listed(**entries: object) -> bytes:
        table = {"kind": "edge taught pictures", "version": 1, "views": [9], "empty": [], **entries}
        return changed(pictures="0" * 16) + json.dumps(table).encode() + b"\n" + bytes(9)

    good = pictures()
    picture = good.views[0]
    frame = picture.index(b"\xff\xc0")
    huge = picture[: frame + 5] + b"\xff\xff\xff\xff" + picture[frame + 9 :]
    scans = picture[:frame] + b"\xff\xc2" + picture[frame + 2 :]
    nan = TaughtThing("x", "m", "n", np.full((1, 4), np.nan, np.float32), np.zeros((0, 4), np.float32))
    return {
        "empty": (b"", "it is empty"),
        "zip": (b"PK\x03\x04" + bytes(5000), "it is not a file of taught things"),
        "text": (b"hello\n", "it is not a file of taught things"),
        "list": (b"[]\n", "it is not a file of taught things"),
        "deep": (b"[" * 2000 + b"\n", "it is not a file of taught things"),
        "digits": (b'{"kind": ' + b"9" * 2000 + b"}\n", "it is not a file of taught things"),
        "cut": (whole[:-3], "it ends in the middle of a thing"),
        "tail": (whole + b"x", "it ends in the middle of a thing"),
        "huge": (changed(views=30, features=8192), "it ends in the middle of a thing"),
        "more": (changed(views=10**9), "views must be a whole number"),
        "bomb": (changed(views=1000, features=10**6), "which is not possible"),
        "none": (changed(views=0, empty=4), "which is not possible"),
        "negative": (changed(empty=-1), "empty must be a whole number"),
        "truth": (changed(views=True), "views must be a whole number"),
        "later": (changed(version=2), "a newer edge wrote it"),
        "name": (changed(name="a\nb" * 9), "name must be a short text"),
        "bidi": (changed(name="a\u202eb"), "name must be a short text"),
        "half": (changed(name="a\ud800"), "name must be a short text"),
        "spaces": (changed(name=" "), "a name needs a letter or a digit"),
        "long": (changed(name="x" * 300), "the name has 300 characters"),
        "model": (changed(model=["x"]), "model must be a short text"),
        "changed": (whole[:-1] + b"\xff", "its numbers do not match their checksum"),
        "nan": (to_bytes(nan), "not all of its numbers are finite"),
        "twice": (whole + whole, "it has 'my keys' twice"),
        "case": (whole + to_bytes(thing("MY keys")), "it has 'MY keys' twice"),
        "form": (to_bytes(thing("caf\u00e9")) + to_bytes(thing("cafe\u0301")), "twice"),
        "many": (b"".join(to_bytes(thing(f"t {n}", 1, 0, 1)) for n in range(201)), "more than 200 things"),
        "path": (changed(pictures="../../../../x"), "its pictures have no checksum"),
        "number": (changed(pictures=7), "pictures must be a short text"),
        "missing": (changed(pictures="0" * 16), "it lacks pictures"),
        "other": (changed(pictures="0" * 16) + whole, "it is not a file of taught things"),
        "digest": (pictured(good, "0" * 16), "its pictures do not match their checksum"),
        "no picture": (pictured(KeptPictures((), good.empty)), "it lacks pictures"),
        "text as picture": (pictured(KeptPictures((b"hello",), ())), "not a JPEG, or is larger than 300 pixels"),
        "large picture": (pictured(KeptPictures((huge,), ())), "not a JPEG, or is larger than 300 pixels"),
        "slow picture": (pictured(KeptPictures((scans,), ())), "not a JPEG, or is larger than 300 pixels"),
        "half a picture": (
            pictured(KeptPictures((picture[: frame + 6],), ())),
            "not a JPEG, or is larger than 300 pixels",
        ),
        "many pictures": (listed(views=[9] * 21), "at most 20 pictures of one kind"),
        "long picture": (listed(views=[2**40]), "a picture of more than 65536 bytes"),
        "negative picture": (listed(views=[-1]), "is not a positive number"),
        "no sizes": (listed(views={"a": 1}), "at most 20 pictures of one kind"),
    }


@pytest.mark.parametrize("kind", list(hostile()))
def test_a_hostile_one_is_one_line(store: TaughtStore, tmp_path: Path, kind: str) -> None:
    data, why = hostile()[kind]
    path = tmp_path / "things.edge"
    path.write_bytes(data)
    version = store.version()
    with pytest.raises(ModelError) as caught:
        Archive(path)
    assert why in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)
    assert store.version() == version


def test_what_is_no_file_is_no_archive(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, why in [
        (".", "Is a directory"),
        ("pipe", "this is not a file"),
        ("zero", "this is not a file"),
        ("loop", "Too many levels of symbolic links"),
        ("none", "No such file or directory"),
    ]:
        with pytest.raises(ModelError, match=why):
            Archive(tmp_path / name)
    with (tmp_path / "holes").open("wb") as file:
        file.truncate(archive_module.MOST_ARCHIVE + 1)
    with pytest.raises(ModelError, match="it has more than 256 MiB"):
        Archive(tmp_path / "holes")


def test_a_large_one_takes_the_memory_of_one_thing(tmp_path: Path) -> None:
    path = tmp_path / "things.edge"
    with path.open("wb") as file:
        for number in range(60):
            file.write(to_bytes(thing(f"thing {number}", views=40, empty=10, features=8192)))
    assert path.stat().st_size > 40e6
    tracemalloc.start()
    try:
        Archive(path)
        assert tracemalloc.get_traced_memory()[1] < 10e6
    finally:
        tracemalloc.stop()


def test_one_that_changes_while_it_is_read_loses_nothing(store: TaughtStore, tmp_path: Path) -> None:
    path = tmp_path / "things.edge"
    export_things(store, path)
    archive = Archive(path)
    path.write_bytes(path.read_bytes()[:-1])
    other = TaughtStore(tmp_path / "other", pytest.fail)
    with pytest.raises(ModelError, match=r"it ends in the middle of a thing"):
        import_things(archive, other)
    assert [one.name for one in other.read()] == ["my keys"]


def test_changed_bytes_are_an_error_and_no_more(long: bool) -> None:
    data = pictures().to_bytes()
    whole = to_bytes(dataclasses.replace(thing(), pictures=digest_of(data))) + data
    random = np.random.default_rng(3)
    refusals = set()
    for _ in range(20_000 if long else 300):
        changed = bytearray(whole)
        for place in random.integers(0, len(changed), random.integers(1, 4)):
            changed[place] = random.integers(256)
        if random.random() < 0.2:
            del changed[random.integers(len(changed)) :]
        file = io.BytesIO(changed)
        try:
            while found := from_file(file):
                if found.pictures:
                    pictures_from_file(file, found.pictures)
        except ValueError as error:
            refusals.add(str(error))
    assert len(refusals) >= 4
    assert not any("\n" in one for one in refusals)
