"""The words on their way: from a network's labels to what is announced, muted, missed, and checked for a translator."""

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from doubles import at, rules

from edge.announce.announcer import Announcer, Missed
from edge.announce.check import TEMPLATES
from edge.announce.claims import Knowledge
from edge.announce.schedule import Schedule
from edge.announce.sentences import SENTENCES
from edge.announce.wording import Words
from edge.cli import main
from edge.daemon.control_commands import ControlCommands
from edge.daemon.control_state import ControlState
from edge.models.groups import load_groups
from edge.models.labels import read_labels
from edge.settings import SpeechSettings
from edge.stages import Announcement, Outcome, Prediction

DATA = Path(str(resources.files("edge") / "data"))
LABELS = {label.id: label.name for label in read_labels(DATA / "imagenet.txt")}
KNOWLEDGE = Knowledge(groups=load_groups(LABELS), calibrated=True)
CRANE_BIRD, CRANE_MACHINE, TENCH, GOLDFISH = "n02012849", "n03126707", "n01440764", "n01443537"
SUNGLASS, SUNGLASSES, GUITAR, WARDROBE = "n04355933", "n04356056", "n03272010", "n04550184"
HALF_GERMAN = """\
[sentences]
"I see {label}" = "Ich sehe {label}"
"maybe {label}" = "vielleicht {label}"
"maybe {label} or {other}" = "vielleicht {label} oder {other}"
[labels]
fish = "einen Fisch"
goldfish = "einen Goldfisch"
"""


class Life:
    """An announcer that knows ImageNet, and whose every word is heard."""

    def __init__(self, speech: SpeechSettings | None = None, **announce: Any) -> None:
        self.told: list[str] = []
        self.missed: list[Missed] = []
        settings = rules(**announce)
        words = Words(settings, speech or SpeechSettings(), self.told.append)
        self.subject = Announcer(settings, words, Schedule(settings), self.missed.append, KNOWLEDGE)
        self.now_s = 0.0

    def see(self, seconds: float, scene: Mapping[str, float], local: str = "12:00") -> list[Announcement]:
        """Show something for so long; return what is announced."""
        said = []
        seen = [Prediction(identity, LABELS[identity], share) for identity, share in scene.items()]
        for _ in range(round(10 * seconds)):
            self.now_s += 0.1
            now = at(self.now_s, local)
            if announcement := self.subject.update(seen, self.now_s, now):
                self.subject.taken(announcement, self.now_s, now)
                self.subject.finished(Outcome(announcement, heard=True))
                said.append(announcement)
        return said

    def texts(self, seconds: float, scene: Mapping[str, float]) -> list[str]:
        return [announcement.text for announcement in self.see(seconds, scene)]


@pytest.fixture
def half_german(tmp_path: Path) -> SpeechSettings:
    path = tmp_path / "half.toml"
    path.write_text(HALF_GERMAN, encoding="utf-8")
    return SpeechSettings(translations=str(path))


def test_the_label_stays_the_network_s_and_the_text_is_what_is_said() -> None:
    (announcement,) = Life().see(3, {CRANE_MACHINE: 0.95})
    assert (announcement.id, announcement.label) == (CRANE_MACHINE, "crane")
    assert announcement.text == "I see a construction crane"
    assert Life().texts(3, {CRANE_BIRD: 0.45, TENCH: 0.4}) == ["maybe a crane, the bird, or a tench fish"]
    german = SpeechSettings(language="de")
    assert Life(german).texts(3, {CRANE_BIRD: 0.95}) == ["Ich sehe einen Kranich"]
    assert Life(german).texts(3, {CRANE_BIRD: 0.45, TENCH: 0.4}) == ["vielleicht ein Kranich oder eine Schleie"]


def test_two_labels_with_the_same_words_are_one_thing() -> None:
    life = Life()
    assert life.texts(3, {SUNGLASS: 0.5, SUNGLASSES: 0.45}) == ["I see sunglasses"]
    assert life.texts(3, {SUNGLASS: 0.95}) == []
    life = Life()
    assert life.texts(3, {SUNGLASS: 0.95}) == ["I see sunglasses"]
    assert life.texts(3, {SUNGLASSES: 0.95}) == []
    assert Life(groups=False).texts(4, {SUNGLASS: 0.5, SUNGLASSES: 0.3}) == ["maybe sunglasses"]


def test_what_the_language_has_no_words_for_is_called_by_its_group_or_not_said(half_german: SpeechSettings) -> None:
    life = Life(half_german)
    assert life.texts(3, {TENCH: 0.95}) == ["Ich sehe einen Fisch"]
    assert life.texts(3, {GUITAR: 0.95}) == []
    assert life.texts(5, {GUITAR: 0.45, WARDROBE: 0.4}) == []
    assert life.texts(5, {GOLDFISH: 0.45, GUITAR: 0.4}) == []
    assert life.texts(3, {GOLDFISH: 0.95}) == ["Ich sehe einen Goldfisch"]
    assert life.told == [
        "half.toml has no line for 'tench': edge says its group, 'einen Fisch'.",
        "half.toml has no line for 'electric guitar': edge does not say it.",
        "half.toml has no line for 'wardrobe': edge does not say it.",
    ]


def test_who_asks_gets_an_answer_also_where_words_are_missing(half_german: SpeechSettings) -> None:
    life = Life(half_german)
    life.see(1, {GUITAR: 0.95})
    assert life.subject.look(at(life.now_s)).text == "I'm not sure"


@pytest.mark.parametrize(
    ("muted", "silent", "said"),
    [
        # the label means both, as ever; the words mean one
        ("crane", {CRANE_BIRD, CRANE_MACHINE}, set()),
        ("a construction crane", {CRANE_MACHINE}, {CRANE_BIRD}),
        ("Construction_Crane", {CRANE_MACHINE}, {CRANE_BIRD}),
        ("ein Baukran", {CRANE_MACHINE}, {CRANE_BIRD}),
        ("Baukran", {CRANE_MACHINE}, {CRANE_BIRD}),
        ("einen Fisch", {TENCH, GOLDFISH}, {CRANE_BIRD}),
        ("fish", {TENCH, GOLDFISH}, {CRANE_BIRD}),
        ("tench", {TENCH}, {GOLDFISH}),
        ("sunglasses", {SUNGLASS, SUNGLASSES}, {GUITAR}),
    ],
)
def test_a_mute_takes_either_word(muted: str, silent: set[str], said: set[str], tmp_path: Path) -> None:
    german = SpeechSettings(language="de")
    for identity in silent | said:
        assert bool(Life(german, muted=(muted,)).see(2, {identity: 0.95})) == (identity in said), identity
        # the same through the desk, where a person asks for it
        life = Life(german)
        control_state = ControlState(tmp_path / identity / "mutes.json")
        control_state.mutes.know(lambda subject=life.subject: subject.claims.names(LABELS))  # type: ignore[misc]
        assert "error" not in ControlCommands(control_state).answer({"command": "mute", "label": muted})
        life.subject.claims.muted = control_state.mutes.plain
        assert bool(life.see(2, {identity: 0.95})) == (identity in said), identity
        # and in another language, later
        life = Life()
        life.subject.claims.muted = ControlState(tmp_path / identity / "mutes.json").mutes.plain
        assert bool(life.see(2, {identity: 0.95})) == (identity in said), identity
        assert "error" not in ControlCommands(control_state).answer({"command": "unmute", "label": muted})
        assert control_state.mutes.plain == frozenset()


def test_mutes_are_kept_by_label_and_where_two_have_it_by_words(tmp_path: Path) -> None:
    control_state = ControlState(tmp_path / "mutes.json")
    subject = Life(SpeechSettings(language="de")).subject
    control_state.mutes.know(lambda: subject.claims.names(LABELS))
    for said, kept in (
        ("eine Schleie", "tench"),
        ("a tench fish", "tench"),
        ("Kranich", "a crane, the bird"),
        ("crane", "crane"),
        ("ein Hund", "dog"),
        ("Hut", "hat"),
    ):
        assert ControlCommands(control_state).answer({"command": "mute", "label": said})["muted"] == kept
    assert (
        "did you mean tench?"
        in ControlCommands(control_state).answer({"command": "mute", "label": "eine Schleihe"})["error"]
    )


def test_what_was_missed_has_the_words_too() -> None:
    life = Life(quiet_hours="22:00-07:00")
    assert life.see(3, {CRANE_MACHINE: 0.95}, "23:00") == []
    (missed,) = life.missed
    assert (missed.label, missed.text) == ("crane", "I see a construction crane")


# ---- edge voices --check


BROKEN = """\
[language]
name = "Broken"
code = "de"
forms = ["nominative", "accusative"]
[kinds]
m = ["ein", "einen"]
f = ["eine", "eine"]
m- = ["", ""]
[sentences]
"I see {label}" = "Ich sehe {label:accusative}"
"I see nothing." = "Ich sehe nichts."
[words]
first = '''
n02084071 m  ein Hund | ein Hund
n02121808 m  ein Kater | einen Kater
n02123045 f  ein Katze
n02123159 m- ein Brot
n01440764 f  eine Łódź
n02012849 m  ein Kran | einen Kran
n03126707 m  ein Kran | einen Kran   # a comment
n09999999 f  eine Sache
n07745940 f  eine Erd☃beere
'''
[labels]
gnome = "ein Цwerg"
"""


def test_a_file_is_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "broken.toml"
    path.write_text(BROKEN, encoding="utf-8")
    assert main(["voices", "--check", str(path)]) == 78
    out = capsys.readouterr().out
    assert out.splitlines()[0] == f"{path}: Broken, in the forms nominative and accusative."
    assert f"\nsentences                       1    {len(SENTENCES) + len(TEMPLATES)}\n" in out
    assert "\nImageNet's labels               6  1000\n" in out
    wrong = out.split("Faults:\n")[1].splitlines()
    expected = [
        "line 14: 'ein Hund': a word of kind m needs 2 forms: nominative, accusative",
        "line 16: 'ein Katze': a word of kind f must begin with 'eine' in the nominative",
        "line 17: 'ein Brot': a word of kind m- must have no article in the nominative",
        "[sentences] 'I see nothing.' is not one of edge's sentences",
        "line 21: edge does not know the id n09999999",
        "lines 19 and 20: 'ein Kran' stands for 'a crane, the bird' and 'a construction crane':"
        " a listener could not tell them apart",
        "line 18: 'eine Łódź': the voice cannot say 'Ł'",
        "line 18: 'eine Łódź': the voice cannot say 'ź'",
        "line 22: 'eine Erd☃beere': the voice cannot say '☃'",
        "[labels] 'ein Цwerg': the voice cannot say 'Ц'",
    ]
    assert sorted(wrong) == sorted(line for line in expected if "voice" not in line or line in wrong)
    if "Not checked" not in out:
        assert set(expected) <= set(wrong)


def test_a_good_file_has_nothing_wrong_and_tells_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["voices", "--check", str(DATA / "translation-de.toml")]) == 0
    assert "missing" not in capsys.readouterr().out
    path = tmp_path / "begun.toml"
    path.write_text('[sentences]\n"I\'m ready." = "Fertig."\n', encoding="utf-8")
    assert main(["voices", "--check", str(path)]) == 0
    short = capsys.readouterr().out
    assert "\nn02084071  # a dog\n" in short
    assert "more: --all shows them\n" in short
    assert main(["voices", "--check", str(path), "--all"]) == 0
    assert "\nn01440764  # a tench fish\n" in capsys.readouterr().out


def test_what_cannot_be_read_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "no.toml"
    path.write_text("[words", encoding="utf-8")
    for name in (path, tmp_path / "none.toml"):
        assert main(["voices", "--check", str(name)]) == 78
        assert len(capsys.readouterr().err.splitlines()) == 1
