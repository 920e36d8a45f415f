"""Checkpoints and labels on disk: what is found, and what is refused with which words."""

from pathlib import Path

import pytest

from edge.errors import ModelError
from edge.models.checkpoint import find_checkpoint
from edge.models.labels import read_labels


def touch(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()


@pytest.fixture
def net(tmp_path: Path) -> Path:
    """A prefix with both files and a model.toml."""
    touch(tmp_path, "net-symbol.json", "net-0000.params", "net-0126.params")
    (tmp_path / "model.toml").write_text('[input]\nsize = 224\nmean = 127.5\n[output]\nbackground = ["bg"]\n')
    return tmp_path / "net"


def test_the_demo_is_there_by_name() -> None:
    for name in ("auto", "demo"):
        checkpoint = find_checkpoint(name)
        assert (checkpoint.name, checkpoint.params.is_file(), checkpoint.synset.is_file()) == ("demo", True, True)
        assert checkpoint.background == {"background"}


def test_a_prefix_is_epoch_0_and_a_params_file_another(net: Path) -> None:
    assert find_checkpoint(str(net)).params.name == "net-0000.params"
    other = find_checkpoint(f"{net}-0126.params")
    assert (other.name, other.params.name, other.symbol.name) == ("net", "net-0126.params", "net-symbol.json")


def test_model_toml_is_read_and_flags_go_before_it(net: Path) -> None:
    assert find_checkpoint(str(net)).input.mean == (127.5, 127.5, 127.5)
    spec = find_checkpoint(str(net), {"size": 96, "mean": [1.0, 2.0, 3.0]}).input
    assert (spec.size, spec.mean, spec.channels) == (96, (1.0, 2.0, 3.0), "rgb")
    assert find_checkpoint(str(net)).background == {"bg"}


def test_a_name_is_looked_up_in_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    touch(tmp_path / "edge" / "models" / "birds", "b-symbol.json", "b-0000.params")
    checkpoint = find_checkpoint("birds", {"size": 32})
    assert checkpoint.symbol == tmp_path / "edge" / "models" / "birds" / "b-symbol.json"
    # as does a path of the folder; and of whatever epoch its only weights are
    touch(tmp_path / "other", "o-symbol.json", "o-0126.params")
    assert find_checkpoint(str(tmp_path / "other"), {"size": 32}).params.name == "o-0126.params"
    with pytest.raises(ModelError, match="did you mean birds"):
        find_checkpoint("brids")


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ("[input]\nsize = 0\n", "size = 0 must be at least 1"),
        ("[input]\nsize = 'big'\n", "size = 'big' must be a whole number"),
        ("[input]\nsize = 2.0\n", "size = 2.0 must be a whole number"),
        ("[input]\nsize = 9999999\n", "up to 4096"),
        ("[input]\nsize = 2\nmean = [1, 2]\n", "mean = .* must be one number, or three"),
        ("[input]\nsize = 2\nmean = nan\n", "mean = nan"),
        ("[input]\nsize = 2\nstd = 0\n", "std = .* has a 0"),
        ("[input]\nsize = 2\nchannels = 'xyz'\n", "channels = 'xyz' must be rgb, bgr or grey"),
        ("[input]\nsize = 2\nresize = 'fit'\n", "resize = 'fit' must be crop or squash"),
        ("[input]\nsize = 64\nshort_side = 32\n", "short_side = 32 is less than size = 64"),
        ("[input]\nsise = 2\n", r"unknown key sise in \[input\]"),
        ("[inputs]\n", "inputs is not one of the tables"),
        ("[output]\nbackground = 'bg'\n", "must be a list of ids"),
        ("[input\n", "cannot be read as TOML"),
        ("", "no input size"),
    ],
)
def test_a_bad_model_toml_is_one_line(net: Path, toml: str, message: str) -> None:
    net.with_name("model.toml").write_text(toml)
    with pytest.raises(ModelError, match=message) as caught:
        find_checkpoint(str(net))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("missing", "words"), [("net-symbol.json", "its graph"), ("net-0000.params", "weights")])
def test_half_a_checkpoint_names_the_other_half(net: Path, missing: str, words: str) -> None:
    net.with_name(missing).unlink()
    with pytest.raises(ModelError, match=rf"{missing} \(.*{words}\) is missing"):
        find_checkpoint(str(net))


def test_no_such_model_tells_where_it_looked(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"there is no .*nothing-symbol\.json.*known: demo"):
        find_checkpoint(str(tmp_path / "nothing"))


@pytest.mark.parametrize("name", ["", ".", "/", "x" * 300, "a/" * 3000, "\0"])
def test_a_name_that_cannot_be_one_is_one_line(name: str) -> None:
    with pytest.raises(ModelError) as caught:
        find_checkpoint(name)
    assert "\n" not in str(caught.value)


def test_a_store_that_may_not_be_read_is_passed_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("XDG_DATA_HOME")
    monkeypatch.setenv("HOME", "/proc/1/root/nowhere")
    with pytest.raises(ModelError, match="no model has that name"):
        find_checkpoint("birds")


def test_labels_have_ids_and_synonyms(tmp_path: Path) -> None:
    path = tmp_path / "synset.txt"
    path.write_text("n1 tench, Tinca tinca\nn2 great white shark\n\n", encoding="utf-8")
    labels = read_labels(path)
    assert [(label.id, label.name, label.synonyms) for label in labels] == [
        ("n1", "tench", ("tench", "Tinca tinca")),
        ("n2", "great white shark", ("great white shark",)),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"n1 tench\nn2\n", r"synset\.txt:2: 'n2'"),
        (b"\xffn1 a", "not a text file"),
        (b"n1 a\n\nn2 b\n", ":2: is empty"),
        (b"n1 a\nn1 b\n", ":2: the id n1"),
    ],
)
def test_bad_labels_name_the_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "synset.txt"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=message):
        read_labels(path)


def test_a_byte_order_mark_is_no_part_of_the_first_id(tmp_path: Path) -> None:
    path = tmp_path / "synset.txt"
    path.write_bytes(b"\xef\xbb\xbfn1 a\r\nn2 b\r\n")
    assert [(label.id, label.name) for label in read_labels(path)] == [("n1", "a"), ("n2", "b")]


def test_control_characters_of_labels_are_blanks(tmp_path: Path) -> None:
    """A terminal would obey them."""
    path = tmp_path / "synset.txt"
    path.write_bytes("n1 red\x1b[31m \x00guitar\x9b, other\n".encode())
    assert read_labels(path)[0].synonyms == ("red guitar", "other")


def test_missing_labels_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="--synset"):
        read_labels(tmp_path / "none.txt")
