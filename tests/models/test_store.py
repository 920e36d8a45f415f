"""The installed networks: checked, complete, and never half there."""

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rigs.stores import DEMO, unexamined

from edge.engines.backend import Backend
from edge.engines.measure import examine
from edge.errors import ModelError
from edge.models.checkpoint import Checkpoint, find_checkpoint
from edge.models.fingerprint import sha256
from edge.models.labels import read_labels
from edge.models.manifest import Answer, Examined
from edge.models.store import Store, installed, to_toml, verify

FILES = {"net-symbol.json", "net-0000.params", "synset.txt", "model.toml", "calibration.json", "manifest.json"}


def really(checkpoint: Checkpoint) -> Examined:
    return examine(checkpoint, Backend("mxnet"))[0]


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A copy of the demo to be damaged."""
    return Path(shutil.copytree(DEMO, tmp_path / "own"))


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def hidden(store: Store) -> list[Path]:
    return list(store.folder.glob(".new-*"))


def test_add_copies_and_notes(store: Store) -> None:
    store.add(find_checkpoint("demo"), "net", unexamined, "a test")
    (one,) = installed([store.folder])
    assert {path.name for path in one.folder.iterdir()} == FILES
    assert (one.name, verify(one)) == ("net", [])
    assert one.manifest is not None
    assert (one.manifest.origin, one.manifest.parameters) == ("a test", 401413)
    assert one.manifest.answer == Answer("n03467517", "guitar", 0.98, "mxnet")
    assert one.digests is not None
    assert one.digests["net-0000.params"] == sha256(DEMO / "demo-0000.params")
    found = find_checkpoint(str(one.folder))
    assert (found.name, found.input) == ("net", find_checkpoint("demo").input)
    assert found.background == find_checkpoint("demo").background


def test_labels_of_another_format_are_installed_as_lines(store: Store, own: Path) -> None:
    labels = read_labels(own / "synset.txt")
    (own / "synset.txt").write_text(json.dumps({one.id: one.synonyms for one in labels}))
    assert (own / "synset.txt").read_text().startswith('{"n03467517": ["guitar"]')
    store.add(find_checkpoint(str(own)), "net", unexamined, "a test")
    (one,) = installed([store.folder])
    assert (one.folder / "synset.txt").read_bytes() == (DEMO / "synset.txt").read_bytes()
    assert verify(one) == []


def test_what_is_known_of_a_checkpoint_is_read_back(tmp_path: Path, own: Path) -> None:
    (own / "model.toml").write_text(
        '[input]\nsize = 64\nmean = [1, 2.5, 3]\nchannels = "bgr"\nresize = "squash"\n'
        '[output]\nbackground = ["background"]\n[about]\ntop1 = 0.7\nsource = "a \\"book\\""\nrandom_weights = true\n'
    )
    before = find_checkpoint(str(own))
    assert before.about.source == 'a "book"'
    (own / "model.toml").write_text(to_toml(before))
    assert find_checkpoint(str(own)) == before


@pytest.mark.integration
@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        ("truncated", "truncated, or not MXNet parameters"),
        ("nan", "holds nan or infinity"),
        ("labels", "52 labels, but the model has 53 outputs"),
        ("symbol", "parameters are missing"),
        ("garbage", "not an MXNet symbol file"),
        ("gone", "No such file"),
    ],
)
def test_add_refuses_and_leaves_the_old_one(store: Store, own: Path, damage: str, cause: str) -> None:
    store.add(find_checkpoint("demo"), "net", unexamined, "a test")
    before = contents(store.folder / "net")
    params = own / "demo-0000.params"
    if damage == "truncated":
        params.write_bytes(params.read_bytes()[:700_000])
    elif damage == "nan":
        data = bytearray(params.read_bytes())
        data[800_000:800_016] = b"\xff" * 16
        params.write_bytes(data)
    elif damage == "labels":
        lines = (own / "synset.txt").read_text().splitlines()
        (own / "synset.txt").write_text("\n".join(lines[:20] + lines[21:]))
    elif damage == "symbol":
        text = (own / "demo-symbol.json").read_text()
        (own / "demo-symbol.json").write_text(text.replace("conv", "other"))
    elif damage == "garbage":
        (own / "demo-symbol.json").write_text("{}")
    checkpoint = find_checkpoint(str(own))
    if damage == "gone":
        params.unlink()
    with pytest.raises(ModelError, match=cause):
        store.add(checkpoint, "net", really, "a test")
    assert contents(store.folder / "net") == before
    assert hidden(store) == []


def test_a_disk_without_room_is_said_before_anything_is_copied(store: Store) -> None:
    with pytest.raises(ModelError, match=r"net needs 2 MiB there, and 1 MiB are free"):
        store.add(find_checkpoint("demo"), "net", unexamined, "", room=lambda _folder: 2**20)
    assert installed([store.folder]) == []


def test_what_changes_while_it_is_installed_is_refused(store: Store, own: Path) -> None:
    def meddle(_checkpoint: Checkpoint) -> Examined:
        with (own / "demo-0000.params").open("r+b") as file:
            file.seek(800_000)
            file.write(b"?")
        return unexamined(_checkpoint)

    with pytest.raises(ModelError, match="changed while"):
        store.add(find_checkpoint(str(own)), "net", meddle, "")
    assert installed([store.folder]) == []


@pytest.mark.parametrize("name", ["", ".hidden", "a/b", "..", "auto", "demo", "a b", "ä", "x" * 65, "-net"])
def test_not_everything_is_a_name(store: Store, name: str) -> None:
    with pytest.raises(ModelError, match="name"):
        store.add(find_checkpoint("demo"), name, unexamined, "")
    with pytest.raises(ModelError, match="no model"):
        store.remove(name)


def test_a_store_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ModelError, match="--store") as refused:
        Store(tmp_path / "file" / "store").add(find_checkpoint("demo"), "net", unexamined, "")
    assert "\n" not in str(refused.value)


def test_replacing_and_removing(store: Store) -> None:
    first = find_checkpoint("demo")
    store.add(first, "net", unexamined, "first")
    store.add(first, "net", unexamined, "second")
    (one,) = installed([store.folder])
    assert one.manifest is not None
    assert one.manifest.origin == "second"
    assert hidden(store) == []
    store.remove("net")
    assert installed([store.folder]) == []
    assert hidden(store) == []


def test_a_network_may_be_added_from_its_own_place(store: Store) -> None:
    """After its model.toml was edited, for instance."""
    folder = store.add(find_checkpoint("demo"), "net", unexamined, "first").folder
    toml = folder / "model.toml"
    toml.write_text(toml.read_text().replace("random_weights = false", "top1 = 0.9"))
    store.add(find_checkpoint(str(folder)), "net", unexamined, "second")
    assert verify(installed([store.folder])[0]) == []
    assert find_checkpoint(str(folder)).about.top1 == 0.9


@pytest.mark.parametrize("damage", ["byte", "label", "size", "gone", "manifest"])
def test_verify_finds(store: Store, damage: str) -> None:
    folder = store.add(find_checkpoint("demo"), "net", unexamined, "").folder
    params, synset = folder / "net-0000.params", folder / "synset.txt"
    if damage == "byte":
        data = bytearray(params.read_bytes())
        data[900_000] ^= 1
        params.write_bytes(data)
    elif damage == "label":
        lines = synset.read_text().splitlines(keepends=True)
        synset.write_text("".join(lines[1:]))
    elif damage == "size":
        params.write_bytes(params.read_bytes()[:-1])
    elif damage == "gone":
        params.rename(folder / "other-0000.params")
    else:
        (folder / "manifest.json").write_text('{"files": 3}')
    (one,) = installed([store.folder])
    (fault,) = verify(one)
    named = {"byte": params, "label": synset, "size": params, "gone": params, "manifest": folder / "manifest.json"}
    assert str(named[damage]) in fault
    assert "edge models add" in fault


def test_a_folder_made_by_hand_is_installed_and_unverified(store: Store) -> None:
    shutil.copytree(DEMO, store.folder / "hand")
    (store.folder / "hand" / "manifest.json").unlink()
    (one,) = installed([store.folder])
    assert (one.manifest, one.digests, verify(one)) == (None, None, [])


def test_the_earlier_store_goes_first(tmp_path: Path) -> None:
    for name in ("first", "second"):
        Store(tmp_path / name).add(find_checkpoint("demo"), "net", unexamined, name)
    (one,) = installed([tmp_path / "first", tmp_path / "second", tmp_path / "none"])
    assert one.folder == tmp_path / "first" / "net"


ADDING = """
import sys
from pathlib import Path
from edge.models.checkpoint import find_checkpoint
from edge.models.manifest import Answer, Examined
from edge.models.store import Store
while True:
    Store(Path(sys.argv[1])).add(
        find_checkpoint("demo"), "net", lambda c: Examined(1, Answer("a", "b", 0.5, "mxnet")), "again"
    )
    print("added", flush=True)
"""


def test_killed_at_any_moment_there_is_always_a_whole_one(store: Store, long: bool) -> None:
    generator = random.Random(5)
    store.add(find_checkpoint("demo"), "net", unexamined, "first")
    for _ in range(100 if long else 8):
        child = subprocess.Popen([sys.executable, "-c", ADDING, str(store.folder)], stdout=subprocess.PIPE)
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == b"added\n"
            time.sleep(generator.uniform(0.0, 0.1))
            for _ in range(5):  # whoever looks meanwhile sees a whole one too
                assert [one.name for one in installed([store.folder])] == ["net"]
        finally:
            child.send_signal(signal.SIGKILL)
            child.wait(20)
            child.stdout.close()
        (one,) = installed([store.folder])
        assert verify(one) == []
    store.add(find_checkpoint("demo"), "net", unexamined, "last")
    assert hidden(store) == []


def test_two_at_once_take_turns(store: Store) -> None:
    command = [sys.executable, "-c", ADDING.replace("while True:", "for _ in range(5):"), str(store.folder)]
    children = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in range(3)]
    assert [child.wait(120) for child in children] == [0, 0, 0]
    assert verify(installed([store.folder])[0]) == []
    assert hidden(store) == []


def test_everybody_may_read_what_is_installed(store: Store) -> None:
    """The service runs as another user than the one who installs."""
    folder = store.add(find_checkpoint("demo"), "net", unexamined, "a test").folder
    assert all(path.stat().st_mode & 0o044 == 0o044 for path in (folder, *folder.iterdir()))
