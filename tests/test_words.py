"""The words: renamed labels, and translations, of which a missing line is told once and a fault is one line."""

import re
from importlib import resources
from pathlib import Path

import pytest

from edge import aloud
from edge.errors import ConfigError
from edge.models.groups import load_groups
from edge.models.labels import read_labels
from edge.settings import AnnounceSettings, SpeechSettings
from edge.speech.words import LARGEST, TOLD, Words, read_translation

DATA = Path(str(resources.files("edge") / "data"))
GERMAN = """\
[sentences]
"I see {label}" = "Ich sehe {label}"
"maybe {label} or {other}" = "vielleicht {label} oder {other}"
"I can see again." = "Ich sehe wieder."
[labels]
"electric guitar" = "eine E-Gitarre"
"Cello" = "ein Cello"
"""


@pytest.fixture
def german(tmp_path: Path) -> SpeechSettings:
    path = tmp_path / "german.toml"
    path.write_text(GERMAN)
    return SpeechSettings(translations=str(path))


def test_english() -> None:
    words = Words(AnnounceSettings())
    assert words.sure("electric_guitar") == "I see an electric guitar"
    assert words.maybe("violin") == "maybe a violin"
    assert words.maybe("violin", "cello") == "maybe a violin or a cello"
    assert words.not_sure() == "I'm not sure"
    assert words.notice(aloud.READY) == "I'm ready."


def test_renamed() -> None:
    words = Words(AnnounceSettings(rename={"Notebook": "a laptop", "web site": "screen", "{label}": "{other}"}))
    assert words.sure("notebook") == "I see a laptop"
    assert words.maybe("Web_site", "notebook") == "maybe a screen or a laptop"
    assert words.sure("{label}") == "I see a {other}"
    assert words.sure("{label.x}") == "I see a {label.x}"


def test_translated(german: SpeechSettings) -> None:
    told: list[str] = []
    words = Words(AnnounceSettings(), german, told.append)
    assert words.sure("Electric_guitar") == "Ich sehe eine E-Gitarre"
    assert words.maybe("electric guitar", "cello") == "vielleicht eine E-Gitarre oder ein Cello"
    assert words.notice(aloud.SIGHT_AGAIN) == "Ich sehe wieder."
    assert told == []


def test_a_missing_line_is_said_in_english_and_told_once(german: SpeechSettings) -> None:
    told: list[str] = []
    words = Words(AnnounceSettings(), german, told.append)
    for _ in range(3):
        assert words.sure("hourglass") == "Ich sehe an hourglass"
        assert words.maybe("cello") == "maybe ein Cello"
        assert words.notice(aloud.READY) == aloud.READY
    assert told == [
        "german.toml has no line for 'hourglass': it is said in English.",
        "german.toml has no line for 'maybe {label}': it is said in English.",
        'german.toml has no line for "I\'m ready.": it is said in English.',
    ]


def test_of_a_file_that_lacks_nearly_all_not_everything_is_told(german: SpeechSettings) -> None:
    told: list[str] = []
    words = Words(AnnounceSettings(), german, told.append)
    for number in range(3 * TOLD):
        words.sure(f"thing {number}")
    assert len(told) == TOLD + 1
    assert told[-1] == "german.toml lacks more lines: they are said in English."


def test_what_the_user_has_put_into_words_needs_no_translation(german: SpeechSettings) -> None:
    told: list[str] = []
    own = AnnounceSettings(template="Da ist {label}!", not_sure_text="Hm", rename={"notebook": "einen Rechner"})
    words = Words(own, german, told.append)
    assert words.sure("notebook") == "Da ist einen Rechner!"
    assert words.sure("cello") == "Da ist ein Cello!"
    assert words.not_sure() == "Hm"
    assert told == []


def test_a_renamed_label_may_be_translated_too(german: SpeechSettings) -> None:
    words = Words(AnnounceSettings(rename={"acoustic guitar": "electric guitar"}), german)
    assert words.sure("acoustic guitar") == "Ich sehe eine E-Gitarre"


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("[labels", [r"not TOML: "]),
        ("\udcff", [r"not TOML: "]),
        ("[sätze]", [r"not TOML: "]),
        ("[words]\na = 'b'", [r"unknown table or key words; known: \[sentences\] and \[labels\]"]),
        ("labels = 3", [r"unknown table or key labels; known: "]),
        ("[labels]\ncat = 3\ndog = ' '", [r"\[labels\] 'cat' = 3 must be a text", r"\[labels\] 'dog' = ' ' must be a"]),
        ("[sentences]\n'I see {label}' = 'Ich sehe'", [r"must have \{label\}, as the English has$"]),
        ("[sentences]\n'I can see again.' = 'Ich sehe {label}'", [r"must have no field, as the English has$"]),
        ("[sentences]\n'I see {label}' = 'Ich {label!r}'", [r"is no template: only \{label\} and \{other\} are known"]),
        ("[sentences]\n'I see {label}' = 'Ich {label.x}'", [r"is no template: only \{label\} and \{other\} are known"]),
        ("[sentences]\n'I see {label}' = 'Ich {label'", [r"is no template: "]),
        (f"# {'x' * LARGEST}", [r"bytes are too many for translations; at most 1048576"]),
    ],
)
def test_faults_are_a_line_each(text: str, faults: list[str], tmp_path: Path) -> None:
    path = tmp_path / "translation.toml"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(ConfigError) as caught:
        read_translation(path)
    lines = str(caught.value).splitlines()
    assert len(lines) == len(faults)
    for line, fault in zip(lines, faults, strict=True):
        assert line.startswith(f"{path}: ")
        assert re.search(fault, line), line


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.toml: No such file.*\[speech\] translations names a file"):
        Words(AnnounceSettings(), SpeechSettings(translations=str(tmp_path / "none.toml")))


def test_german_comes_with_edge() -> None:
    told: list[str] = []
    for language in ("de", "de-AT", "DE_de"):
        words = Words(AnnounceSettings(), SpeechSettings(language=language), told.append)
        assert words.sure("violin") == "Ich sehe eine Geige"
    sentences = [words.notice(sentence) for sentence in aloud.SENTENCES]
    assert len(set(sentences)) == len(aloud.SENTENCES)
    for group in load_groups(re.findall(r'"(n\d{8})"', (DATA / "groups.toml").read_text(encoding="utf-8"))):
        words.sure(group.name)
    for label in read_labels(DATA / "demo" / "synset.txt"):
        if label.id != "background":
            assert words.maybe(label.name, label.name) != words.sure(label.name)
    assert words.not_sure() == "Ich bin nicht sicher"
    assert told == []


def test_an_article_stands_before_nearly_each_german_label() -> None:
    bare = {"Brot", "Brokkoli", "Haarspray", "Kleidung", "Mais", "Parfüm", "Rotwein", "Sonnencreme", "Toilettenpapier"}
    _, labels = read_translation(DATA / "translation-de.toml")
    assert len(labels) > 400
    without = {text for text in labels.values() if text.split()[0] not in ("ein", "eine", "einen")}
    assert without == bare | {"Wolle"}


def test_a_language_without_a_file_is_told_once() -> None:
    told: list[str] = []
    words = Words(AnnounceSettings(), SpeechSettings(language="fr"), told.append)
    assert words.sure("violin") == words.sure("violin") == "I see a violin"
    assert told == ["edge has no translation for 'fr': it speaks English; [speech] translations names a file of them."]
    assert Words(AnnounceSettings(), SpeechSettings(language="en-GB"), told.append).sure("cat") == "I see a cat"
    assert len(told) == 1
