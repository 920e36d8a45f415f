"""Files of labels as people have them: each is read as what it is, or rejected with its name."""

import json
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edge.errors import ModelError
from edge.models.labels import Label, how_read, read_label_file, read_labels, to_text
from edge.models.manifest import MANIFEST

ROOT = Path(__file__).resolve().parents[2]
IMAGENET = read_labels(ROOT / "edge" / "data" / "imagenet.txt")
PANDAS = [
    Label("n02509815", ("red panda", "lesser panda")),
    Label("n02510455", ("giant panda", "coon bear")),
    Label("n02012849", ("crane",)),
    Label("n03126707", ("crane",)),
    Label("n03590841", ("jack-o'-lantern",)),
    Label("n02346627", ("porcupine", "hedgehog")),
]


def ids(labels: list[Label]) -> list[str]:
    return [label.id for label in labels]


def firsts(labels: list[Label]) -> list[str]:
    return [label.name for label in labels]


def numbered(labels: list[Label]) -> list[tuple[int, Label]]:
    """The labels with their outputs, in another order."""
    return random.Random(1).sample(list(enumerate(labels)), len(labels))


def lines(template: str, *, in_order: bool = True) -> Callable[[list[Label]], str]:
    """A line for each label; k: its output, n: the same from 1 on, first: its name, all: with the synonyms."""

    def text(labels: list[Label]) -> str:
        found = list(enumerate(labels)) if in_order else numbered(labels)
        return "".join(
            template.format(
                k=k, n=k + 1, id=one.id, first=one.name, all=", ".join(one.synonyms), low=one.name.replace(" ", "_")
            )
            for k, one in found
        )

    return text


def enclosed(begin: str, middle: str, end: str, *, in_order: bool = True) -> Callable[[list[Label]], str]:
    return lambda labels: begin + lines(middle, in_order=in_order)(labels) + end


def as_json(value: Callable[[list[tuple[int, Label]]], object]) -> Callable[[list[Label]], str]:
    return lambda labels: json.dumps(value(numbered(labels)))


def synonyms(label: Label) -> str:
    return ", ".join(label.synonyms)


# name -> (suffix, words of the line about it, has ids, the file's text)
FORMATS: dict[str, tuple[str, str, bool, Callable[[list[Label]], str]]] = {
    "synset": (".txt", "lines 'id label'", True, to_text),
    "tab": (".txt", "tabs", True, lines("{id}\t{all}\n")),
    "tab and number": (".txt", "tabs", True, lines("{k}\t{id}\t{first}\n", in_order=False)),
    "names": (".txt", "names without ids", False, lines("{first}\n")),
    "names with synonyms": (".txt", "names without ids", False, lines("{all}\n")),
    "quoted lines": (".txt", "names without ids", False, lines('"{all}",\n')),
    "bullets": (".txt", "names without ids", False, lines("- {all}\n")),
    "numbers": (".txt", "numbers with labels", False, lines("{k}: {all}\n", in_order=False)),
    "names to numbers": (".txt", "numbers with labels", False, lines("{all}={n}\n", in_order=False)),
    "numbered list": (".txt", "numbers with labels", False, lines("{n}. {all}\n")),
    "numbers twice": (".txt", "numbers with labels", False, lines("{n} {n:03}.{low}\n")),
    "folders": (".txt", "lines of id and label", True, lines("{id}-{low}\n")),
    "devkit": (".txt", "devkit", True, lines("{id} {n} {low}\n", in_order=False)),
    "arrows": (".txt", "numbers with labels", False, lines("{k} -> {all}\n", in_order=False)),
    "numbers in brackets": (".txt", "numbers with labels", False, lines("[{k}] {all}\n")),
    "the inside of a dict": (".txt", "a Python dict of numbers", False, lines('{k}: "{all}",\n')),
    "javascript": (
        ".js",
        "a Python dict of numbers",
        False,
        enclosed("export const X = {\n", '{k}: "{all}",\n', "};\n"),
    ),
    "csv of another header": (".csv", "CSV", True, enclosed("ID,LABELS\n", '{id},"{all}"\n', "")),
    "csv of an unknown header": (".csv", "CSV", True, enclosed("a,b\n", '{id},"{all}"\n', "")),
    "python dict": (".txt", "a Python dict of numbers", False, enclosed("{", '{k}: "{all}",\n ', "}")),
    "python dict of ids": (".txt", "a Python dict of ids", True, enclosed("{", "'{id}': \"{first}\", ", "}")),
    "python module": (".py", "a Python list", False, enclosed("CLASSES = [\n", '    "{all}",  # {k}\n', "]\n")),
    "python tuples": (".txt", "a Python list", True, enclosed("(", "('{id}', \"{first}\"),", ")")),
    "keras": (
        ".json",
        "class index of Keras",
        True,
        as_json(lambda labels: {str(k): [one.id, one.name.replace(" ", "_")] for k, one in labels}),
    ),
    "json list": (".json", "a JSON list", False, as_json(lambda labels: [synonyms(one) for _, one in sorted(labels)])),
    "json map of ids": (
        ".json",
        "a JSON map of ids",
        True,
        as_json(lambda labels: {one.id: synonyms(one) for _, one in sorted(labels)}),
    ),
    "json lists of synonyms": (
        ".json",
        "a JSON map of ids",
        True,
        as_json(lambda labels: {one.id: one.synonyms for _, one in sorted(labels)}),
    ),
    "json config": (
        ".json",
        "a JSON map of numbers",
        False,
        as_json(lambda labels: {"model_type": "x", "id2label": {str(k): synonyms(one) for k, one in labels}}),
    ),
    "json annotations": (
        ".json",
        "a JSON list of maps",
        False,
        as_json(lambda labels: {"categories": [{"id": k + 1, "name": synonyms(one)} for k, one in labels]}),
    ),
    "csv": (".csv", "CSV", True, enclosed("index,wnid,name\n", '{k},{id},"{all}"\n', "", in_order=False)),
    "csv without a header": (".txt", "CSV", True, lines("{id},{first}\n")),
    "csv of one column": (".csv", "CSV", False, enclosed("label\n", '"{all}"\n', "")),
    "csv with semicolons": (".csv", "CSV", False, lines("{k};{all}\n", in_order=False)),
}


@pytest.mark.parametrize("labels", [PANDAS, IMAGENET], ids=["six", "imagenet"])
@pytest.mark.parametrize("form", FORMATS)
def test_a_file_is_read_as_what_it_is(form: str, labels: list[Label], tmp_path: Path) -> None:
    suffix, words, has_ids, text = FORMATS[form]
    path = tmp_path / f"labels{suffix}"
    path.write_text(text(labels), encoding="utf-8")
    if form == "names to numbers" and labels is IMAGENET:
        labels = labels[:100]  # ImageNet has two cranes and two maillots, which are one key
        path.write_text(text(labels), encoding="utf-8")
    read = read_label_file(path)
    assert firsts(read.labels) == firsts(labels)
    if has_ids:
        assert ids(read.labels) == ids(labels)
    assert words in read.kind
    assert bool(how_read(path, named=False)) == (form != "synset")
    line = how_read(path, named=True)
    assert line.startswith(f"{path}: {len(labels)} labels, read as ")
    # edge models add installs it so
    (tmp_path / "synset.txt").write_text(to_text(read.labels), encoding="utf-8")
    assert read_labels(tmp_path / "synset.txt") == read.labels


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_ends_of_lines_and_byte_order_marks_of_other_systems(encoding: str, end: str, tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_bytes(end.join(["red panda", "giant panda", "crème brûlée", ""]).encode(encoding))
    assert firsts(read_labels(path)) == ["red panda", "giant panda", "crème brûlée"]


@pytest.mark.parametrize(
    "lines",
    [
        ["1 euro", "2 euro", "5 euro"],
        ["737 airplane", "747 airplane"],
        ["A4 sheet", "letter sheet"],
        ["7up can", "cola can"],
        ["cat", "dog"],
        ["'tis", "jack-o'-lantern"],
    ],
)
def test_a_name_keeps_its_first_word(lines: list[str], tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(lines))
    assert firsts(read_labels(path)) == lines


@pytest.mark.parametrize(
    "lines",
    [
        ["cat Cat", "dog Dog"],
        ["hot_dog hot dog, frankfurter", "bun bun"],
        ["c1 red panda", "c2 giant panda"],
        ["0 red panda", "2 giant panda", "3 crane"],
        ["/m/01g317 Person", "/m/02dl1y Hiking equipment"],
        ["n02509815 red panda", "n02510455 giant panda", "background nothing"],
    ],
)
def test_ids_of_other_kinds(lines: list[str], tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(lines))
    labels = read_labels(path)
    assert [f"{label.id} {', '.join(label.synonyms)}" for label in labels] == lines


def test_any_word_is_an_id_in_an_installed_model(tmp_path: Path) -> None:
    """Earlier releases took the first word for an id, whatever it was."""
    path = tmp_path / "synset.txt"
    path.write_text("red panda\ngiant panda\n")
    (tmp_path / MANIFEST).write_text("{}")
    assert [(label.id, label.name) for label in read_labels(path)] == [("red", "panda"), ("giant", "panda")]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("item {\n  id: 1\n  name: 'x'\n}\n", r"labels: this is a label map of TensorFlow \(pbtxt\)"),
        ("names:\n  0: person\n", "this is YAML"),
        ("nc: 2\nnames: ['red panda', 'crane']\n", "this is YAML"),
        ("| id | name |\n|---|---|\n| 0 | tench |\n", "a table of Markdown"),
        ("['red panda' 'giant panda']", ":1: begins like JSON or a Python dict"),
        ("[labels]\n0=cat\n", ":1: begins like JSON or a Python dict"),
        ("<html><body>404</body></html>", "a web page"),
        ("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n", "a Git LFS pointer"),
        ("", "an empty file"),
        (" \n\n", "no labels"),
        ("# labels\nn1 tench\n", ":1: '# labels' is a comment"),
        ("n01440764\nn01443537\n", ":1: has WordNet ids, but the labels themselves are missing"),
        ("n01440764 0\nn01443537 1\n", ":1: 'n01440764 0' is an id and a number"),
        ('{"n01440764": 0, "n01443537": 1}', "has WordNet ids"),
        ('["tench", "gold', ":1: begins like JSON"),
        ('{"a": {"b": 1}}', "its label 0 is a list or map"),
        ('{"0": "tench", "0": "goldfish"}', "the number 0 twice"),
        ('{"0": "tench", "7": "goldfish"}', "none with the number 1"),
        ('{0: "tench", "x": "goldfish"}', "not all numbers, or all texts"),
        ("{}", "this is JSON, but no list or map of labels"),
        ("3: tench\n4: goldfish\n", "none with the number 1"),
        ('n1 5" disk\nn2 cat\n', ":1: .* quotes or brackets"),
        ("red panda], giant\ncat\n", ":1: .* quotes or brackets"),
        ("a\tb c\td\ne\tf\tg\n", "columns that may be the labels"),
        ("name,class\nred panda\n", ":2: has 1 columns of CSV, other lines have 2"),
        ("x" * 5000, ":1: is longer than 4096"),
        ("x\n" * 70000, "more than 65536 lines"),
        ("x" * 2**21 + "\n", "larger than 2 MiB"),
        ('["a", "a' + "[" * 100_000, "begins like JSON"),
        ("[" * 100_000, "begins like JSON"),
        ("(" * 3 + "9" * 6000, "begins like JSON"),
        ("r\x00e\x00d\x00\n\x00", "not a text file"),
    ],
)
def test_what_is_no_list_of_labels_is_rejected_with_its_name(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "labels"
    path.write_text(text)
    with pytest.raises(ModelError, match=message) as caught:
        read_labels(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_long_texts_as_pprint_writes_them_are_joined(tmp_path: Path) -> None:
    path = tmp_path / "labels.txt"
    path.write_text("{0: 'giant panda, '\n    'coon bear',\n 1: 'crane'}")
    assert [label.synonyms for label in read_labels(path)] == [("giant panda", "coon bear"), ("crane",)]


def test_a_map_of_labels_to_numbers_beside_other_things(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "x", "label2id": {"crane": 1, "red panda": 0}}')
    assert firsts(read_labels(path)) == ["red panda", "crane"]


def test_the_cases_that_went_wrong(shared: Path, tmp_path: Path) -> None:
    maker = shared / "cases" / "make_cases.py"
    if not maker.exists():
        pytest.skip("needs ../shared/cases")
    code = f"import runpy, sys; sys.argv[1:] = [{str(tmp_path)!r}]; runpy.run_path({str(maker)!r})['labels']()"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, timeout=300, capture_output=True)
    right = firsts(read_labels(shared / "checkpoints" / "synset.txt"))
    files = sorted((tmp_path / "labels").iterdir())
    assert len(files) >= 4
    for path in files:
        assert firsts(read_labels(path)) == right, path.name
