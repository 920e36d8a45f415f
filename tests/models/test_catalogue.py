"""The networks edge knows of, and those that users add to them."""

from pathlib import Path

import pytest

from edge.errors import ModelError
from edge.models.catalogue import load_catalogue
from edge.models.labels import read_labels

OWN = """
[hosts]
school = ["https://models.school.example/edge"]
[labels]
hosts = "school"
synset = "labels.txt"
[birds]
top1 = 0.91
[birds.estimate.pi5]
peak_mib = 150
median_ms = 30.5
[[birds.source]]
kind = "checkpoint"
hosts = "school"
symbol = "birds-symbol.json"
params = "birds-0000.params"
input = { size = 224, mean = [0, 0, 0], std = [1, 1, 1] }
"""


@pytest.fixture
def store(tmp_path: Path) -> Path:
    (tmp_path / "catalogue.toml").write_text(OWN, encoding="utf-8")
    return tmp_path


def test_each_network_can_be_had_from_two_places() -> None:
    """Hosts die. What comes as a package asks none."""
    for entry in load_catalogue().values():
        places = {host for source in entry.sources for host in source.hosts}
        assert len(places) >= 2 or entry.package, entry.name
        assert entry.top1 is not None
        assert 0.5 < entry.top1 < 1
        assert {"x86_64", "pi4", "pi5"} <= set(entry.estimates)


def test_ones_own_network_is_known_beside_ours(store: Path) -> None:
    found = load_catalogue([store])
    assert set(found) == {"birds", *load_catalogue()}
    birds = found["birds"]
    assert (birds.title, birds.top1) == ("birds", 0.91)
    assert birds.sources[0].hosts == ("https://models.school.example/edge/",)
    estimate = birds.estimate("pi5")
    assert estimate is not None
    assert (estimate.peak_mib, estimate.estimated) == (150, True)
    assert birds.estimate("pi4") is None


def test_ones_own_goes_before_ours(store: Path) -> None:
    (store / "catalogue.toml").write_text(OWN.replace("birds.", "vgg16.").replace("[birds]", "[vgg16]"))
    assert load_catalogue([store])["vgg16"].top1 == 0.91
    assert load_catalogue([store / "none", store])["vgg16"].top1 == 0.91


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("top1 = 0.91", "top1 = 91", "[birds]: top1 = 91 must be a number from 0 to 1"),
        ("top1 = 0.91", 'top_1 = "best"', "[birds]: unknown key top_1; known: title"),
        ("top1 = 0.91", "top1 = ", "cannot be read as TOML"),
        ("peak_mib = 150", "", "[birds] estimate pi5: peak_mib is missing"),
        ("peak_mib = 150", 'peak_mib = "little"', "[birds] estimate pi5: peak_mib = 'little'"),
        ('symbol = "birds-symbol.json"', "", "[birds] source 1: symbol is missing"),
        ('params = "birds-0000.params"', "", "[birds] source 1: params is missing"),
        ('kind = "checkpoint"', 'kind = "onnx"', "kind = 'onnx' must be one of gluon, checkpoint"),
        ('hosts = "school"\nsymbol', 'hosts = "home"\nsymbol', "hosts = 'home' is not in [hosts]; known: school"),
        ("https://models", "ftp://models", "must begin with http:// or https://"),
        ("[[birds.source]]", "[[birds.mirror]]", "[birds]: unknown key mirror"),
        ("size = 224", "size = 0", "size"),
        ("[hosts]", "birds = 3\n[hosts]", "cannot be read as TOML"),
        ("[hosts]", "bees = 3\n[hosts]", "[bees] must be a table"),
    ],
)
def test_a_fault_is_named_in_one_line(store: Path, old: str, new: str, cause: str) -> None:
    assert old in OWN
    (store / "catalogue.toml").write_text(OWN.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ModelError) as error:
        load_catalogue([store])
    assert str(error.value).startswith(f"{store / 'catalogue.toml'}: ")
    assert cause in str(error.value)
    assert "\n" not in str(error.value)


WORDNET = Path("/usr/share/wordnet/data.noun")


def test_the_labels_of_all_come_with_edge() -> None:
    """The hosts that had them are dead, or may be: without labels the best network is of no use."""
    for entry in load_catalogue().values():
        hosts, path = entry.labels
        assert hosts == ()
        labels = read_labels(Path(path))
        assert len(labels) == 1000
        # the order of the challenge, and so of the networks' outputs
        assert [label.id for label in labels] == sorted(label.id for label in labels)
    assert labels[402].name == "acoustic guitar"


@pytest.mark.skipif(not WORDNET.exists(), reason="needs WordNet: apt install wordnet-base")
def test_their_words_are_wordnet_s() -> None:
    words = {}
    for line in WORDNET.read_text(encoding="ascii").splitlines():
        offset, _, _, count, *rest = line.split(" ") if not line.startswith(" ") else ["", "", "", "0"]
        words[f"n{offset}"] = tuple(word.replace("_", " ") for word in rest[: 2 * int(count, 16) : 2])
    for label in read_labels(Path(load_catalogue()["inception-v3"].labels[1])):
        assert label.synonyms == words[label.id]
