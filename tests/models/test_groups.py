"""Groups of labels: their data are what the script makes of WordNet, and say what a person would."""

import re
import sys
from importlib import resources
from pathlib import Path

import make_groups
import pytest

from edge.announce.english import load_english
from edge.models.groups import load_groups

TEXT = (resources.files("edge") / "data" / "groups.toml").read_text(encoding="utf-8")
IDS = set(re.findall(r'"(n\d{8})"', TEXT))
WORDNET = Path("/usr/share/wordnet/data.noun")
GROUPS = {group.name: group.members for group in load_groups(IDS)}

MALAMUTE, TABBY, LION, VIOLIN = "n02110063", "n02123045", "n02129165", "n04536866"
KITE, COBRA, HAMMERHEAD, LADYBUG = "n01608432", "n01748264", "n01494475", "n02165456"
GORILLA, HARVESTMAN, COYOTE, CANDLE, BALLOON = "n02480855", "n01770081", "n02114855", "n02948072", "n02782093"
GRAND_PIANO, WATER_JUG, TEAPOT, CORN = "n03452741", "n04560804", "n04398044", "n12144580"
CASTLE, DESK = "n02980441", "n03179701"
TANDEM, GOBLET, GRANNY_SMITH, LAPTOP = "n02835271", "n03443371", "n07742313", "n03642806"


@pytest.mark.parametrize(
    ("member", "names"),
    [
        (MALAMUTE, {"dog", "husky"}),
        (TABBY, {"cat"}),
        (LION, {"big cat"}),
        (VIOLIN, {"musical instrument", "stringed instrument"}),
        (KITE, {"bird", "bird of prey"}),
        (COBRA, {"snake"}),
        (HAMMERHEAD, {"fish", "shark"}),
        (LADYBUG, {"insect", "beetle"}),
        (TANDEM, {"bicycle"}),
        (GOBLET, set()),
        (GRANNY_SMITH, {"fruit"}),
        (LAPTOP, {"computer", "laptop"}),
        (GORILLA, {"ape"}),
        (HARVESTMAN, set()),
        (COYOTE, set()),
        (CANDLE, set()),
        (BALLOON, set()),
        (GRAND_PIANO, {"musical instrument", "piano"}),
        (WATER_JUG, {"jug"}),
        (TEAPOT, {"pot"}),
        (CORN, {"vegetable", "corn"}),
        (CASTLE, {"building"}),
        (DESK, {"furniture", "table"}),
    ],
)
def test_what_a_person_would_call_it(member: str, names: set[str]) -> None:
    assert {name for name, members in GROUPS.items() if member in members} == names


def test_the_smallest_comes_first_and_none_is_a_group_of_one() -> None:
    sizes = [len(group.members) for group in load_groups(IDS)]
    assert sizes == sorted(sizes)
    assert sizes[0] >= 2
    assert len(GROUPS["dog"]) == 119
    assert [group.name for group in load_groups([MALAMUTE, "n02110185", TABBY])] == ["husky", "dog"]


def test_other_ids_have_no_groups() -> None:
    assert load_groups(["guitar", "cat"]) == ()


def test_each_has_words_that_can_be_said() -> None:
    assert len(GROUPS) == len(load_groups(IDS))
    for group in load_groups(IDS):
        assert load_english()[group.id].label == group.name
        assert re.fullmatch(r"[a-z' ]+", load_english()[group.id].said)


def test_each_correction_corrects_something_and_says_why() -> None:
    names = set(make_groups.GROUPS.values())
    for corrections in (make_groups.NOT, make_groups.ALSO):
        assert corrections.keys() <= names
        assert all(why for ids in corrections.values() for why in ids.values())
    with pytest.raises(ValueError, match="dog: WordNet has it so already"):
        make_groups.corrected({group: ["n02115641"] for group in make_groups.GROUPS}, {"n02115641"})


@pytest.mark.skipif(not WORDNET.exists(), reason="needs WordNet: apt install wordnet-base")
def test_the_data_are_what_the_script_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    synset = tmp_path / "synset.txt"
    synset.write_text("".join(f"{one} x\n" for one in sorted({*IDS, GOBLET})), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["make_groups.py", str(synset)])
    make_groups.main()
    assert capsys.readouterr().out == TEXT
