"""Groups of labels: their data are what the script makes of WordNet, and say what a person would."""

import re
import sys
from importlib import resources
from pathlib import Path

import make_groups
import pytest

from edge.models.groups import load_groups
from edge.speech.phrases import with_article

TEXT = (resources.files("edge") / "data" / "groups.toml").read_text(encoding="utf-8")
IDS = set(re.findall(r'"(n\d{8})"', TEXT))
WORDNET = Path("/usr/share/wordnet/data.noun")
GROUPS = {group.name: group.members for group in load_groups(IDS)}

MALAMUTE, TABBY, LION, VIOLIN = "n02110063", "n02123045", "n02129165", "n04536866"
KITE, COBRA, HAMMERHEAD, LADYBUG = "n01608432", "n01748264", "n01494475", "n02165456"
TANDEM, GOBLET, GRANNY_SMITH, LAPTOP = "n02835271", "n03443371", "n07742313", "n03642806"


@pytest.mark.parametrize(
    ("member", "names"),
    [
        (MALAMUTE, {"dog"}),
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
        (LAPTOP, {"computer"}),
    ],
)
def test_what_a_person_would_call_it(member: str, names: set[str]) -> None:
    assert {name for name, members in GROUPS.items() if member in members} == names


def test_the_smallest_comes_first_and_none_is_a_group_of_one() -> None:
    sizes = [len(group.members) for group in load_groups(IDS)]
    assert sizes == sorted(sizes)
    assert sizes[0] >= 2
    assert len(GROUPS["dog"]) == 118
    assert [group.name for group in load_groups([MALAMUTE, "n02110185", TABBY])] == ["dog"]


def test_other_ids_have_no_groups() -> None:
    assert load_groups(["guitar", "cat"]) == ()


def test_each_has_a_name_that_can_be_said() -> None:
    assert len(GROUPS) == len(load_groups(IDS))
    assert with_article("aircraft") == "an aircraft"
    assert with_article("clothing") == "clothing"
    for name in GROUPS:
        assert re.fullmatch(r"(an? )?[a-z ]+", with_article(name))


@pytest.mark.skipif(not WORDNET.exists(), reason="needs WordNet: apt install wordnet-base")
def test_the_data_are_what_the_script_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    synset = tmp_path / "synset.txt"
    synset.write_text("".join(f"{one} x\n" for one in sorted({*IDS, GOBLET})), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["make_groups.py", str(synset)])
    make_groups.main()
    assert capsys.readouterr().out == TEXT
