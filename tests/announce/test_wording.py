"""The words: renamed labels, and translations, of which a missing line is told once and a fault is one line."""

import re
from importlib import resources
from pathlib import Path

import pytest

from edge.announce import notices
from edge.announce.articles import with_article
from edge.announce.check import check, same_to_a_listener
from edge.announce.english import bare, load_english, plain
from edge.announce.sentences import SENTENCES
from edge.announce.translation import LARGEST, Translation, our_translation, read_translation
from edge.announce.wording import TOLD, Words
from edge.errors import ConfigError
from edge.models.groups import load_all_groups
from edge.models.labels import read_labels
from edge.settings import AnnounceSettings, SpeechSettings
from edge.stages import Term

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


FORMS = "[language]\nforms = ['wer', 'wen']\n[kinds]\nm = ['ein', 'einen']\n"


@pytest.fixture
def german(tmp_path: Path) -> SpeechSettings:
    path = tmp_path / "german.toml"
    path.write_text(GERMAN)
    return SpeechSettings(translations=str(path))


def test_english() -> None:
    words = Words(AnnounceSettings())
    assert words.sure(Term("electric_guitar")) == "I see an electric guitar"
    assert words.maybe(Term("violin")) == "maybe a violin"
    assert words.maybe(Term("violin"), Term("cello")) == "maybe a violin or a cello"
    assert words.not_sure() == "I'm not sure"
    assert words.notice(notices.READY) == "I'm ready."


def test_renamed() -> None:
    words = Words(AnnounceSettings(rename={"Notebook": "a laptop", "web site": "screen", "{label}": "{other}"}))
    assert words.sure(Term("notebook")) == "I see a laptop"
    assert words.maybe(Term("Web_site"), Term("notebook")) == "maybe a screen or a laptop"
    assert words.sure(Term("{label}")) == "I see a {other}"
    assert words.sure(Term("{label.x}")) == "I see a {label.x}"


def test_translated(german: SpeechSettings) -> None:
    told: list[str] = []
    words = Words(AnnounceSettings(), german, told.append)
    assert words.sure(Term("Electric_guitar")) == "Ich sehe eine E-Gitarre"
    assert words.maybe(Term("electric guitar"), Term("cello")) == "vielleicht eine E-Gitarre oder ein Cello"
    assert words.notice(notices.SIGHT_AGAIN) == "Ich sehe wieder."
    assert told == []


def test_no_sentence_mixes_languages_and_what_is_missing_is_told_once(german: SpeechSettings) -> None:
    told: list[str] = []
    words = Words(AnnounceSettings(), german, told.append)
    hourglass, cello = Term("hourglass"), Term("cello", "x1")
    for _ in range(3):
        assert words.sayable([hourglass]) is None
        assert words.sayable([hourglass, cello]) == cello
        assert words.maybe(cello) == "maybe a cello"
        assert words.notice(notices.READY) == notices.READY
    assert told == [
        "german.toml has no line for 'hourglass': edge does not say it.",
        "german.toml has no line for 'maybe {label}': edge says it in English.",
        'german.toml has no line for "I\'m ready.": edge says it in English.',
    ]
    told.clear()
    words = Words(AnnounceSettings(), german, told.append)
    assert words.sayable([hourglass, cello]) == words.sayable([hourglass, cello]) == cello
    assert told == ["german.toml has no line for 'hourglass': edge says its group, 'ein Cello'."]


def test_of_a_file_that_lacks_nearly_all_not_everything_is_told(german: SpeechSettings) -> None:
    told: list[str] = []
    words = Words(AnnounceSettings(), german, told.append)
    for number in range(3 * TOLD):
        words.sayable([Term(f"thing {number}")])
    assert len(told) == TOLD + 1
    assert told[-1] == f"german.toml lacks more lines; edge voices --check {german.translations} lists them."


def test_what_the_user_has_put_into_words_needs_no_translation(german: SpeechSettings) -> None:
    told: list[str] = []
    own = AnnounceSettings(template="Da ist {label}!", not_sure_text="Hm", rename={"notebook": "einen Rechner"})
    words = Words(own, german, told.append)
    assert words.sure(Term("notebook")) == "Da ist einen Rechner!"
    assert words.sure(Term("cello")) == "Da ist ein Cello!"
    assert words.not_sure() == "Hm"
    assert told == []


def test_a_renamed_label_may_be_translated_too(german: SpeechSettings) -> None:
    words = Words(AnnounceSettings(rename={"acoustic guitar": "electric guitar"}), german)
    assert words.sure(Term("acoustic guitar")) == "Ich sehe eine E-Gitarre"


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("[labels", [r"not TOML: "]),
        ("\udcff", [r"not TOML: "]),
        ("[sätze]", [r"not TOML: "]),
        ("[wörter]", [r"not TOML: "]),
        ("[others]\na = 'b'", [r"unknown table or key others; known: \[language\], .* and \[labels\]$"]),
        ("labels = 3", [r"unknown table or key labels; known: "]),
        ("[language]\nforms = ['a', 'a']", [r"\[language\] forms = .* must be different names, each one word"]),
        ("[language]\nforms = 'a'\nname = 3\nx = 1", [r"no key x", r"must be a list", r"name = 3 must be a text"]),
        ("[kinds]\nm = 'ein'", [r"\[kinds\] m = 'ein' must be a list of articles"]),
        ("[kinds]\nm = ['ein', 'einen']", [r"must have an article for each of the 1 forms"]),
        ("[words]\na = 3", [r"\[words\] a must be lines between '''"]),
        (
            "[words]\na = '''\nn01 ein Hund\nn01 ein Tier\nn02\n'''",
            [r"line 4: .* already has words, in line 3", r"line 5: "],
        ),
        (
            f"{FORMS}[words]\na = '''\nn1 m a | b | c\nn2 x a | b'''",
            [r"line 7: .* at most 2 forms", r"unknown kind 'x'"],
        ),
        (
            f"{FORMS}[sentences]\n'I see {{label}}' = 'Ich sehe {{label:den}}'",
            [r"'den' in \{label:den\} is not one of the"],
        ),
        (f"{FORMS}[labels]\ngnome = 'a | b | c'", [r"'gnome' = 'a . b . c' has more forms than the language"]),
        ("[labels]\ncat = 3\ndog = ' '", [r"\[labels\] 'cat' = 3 must be a text", r"\[labels\] 'dog' = ' ' must be a"]),
        ("[sentences]\n'I see {label}' = 'Ich sehe'", [r"must have \{label\}, like the English sentence$"]),
        ("[sentences]\n'I can see again.' = 'Ich sehe {label}'", [r"must have no field, like the English sentence$"]),
        (
            "[sentences]\n'I see {label}' = 'Ich {label!r}'",
            [r"is not a template: only \{label\} and \{other\} are known"],
        ),
        (
            "[sentences]\n'I see {label}' = 'Ich {label.x}'",
            [r"is not a template: only \{label\} and \{other\} are known"],
        ),
        ("[sentences]\n'I see {label}' = 'Ich {label'", [r"is not a template: "]),
        (f"# {'x' * LARGEST}", [r"bytes are too many for a translation file; at most 1048576"]),
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
    with pytest.raises(
        ConfigError, match=r"none.toml: No such file.*\[speech\] translations must name a translation file"
    ):
        Words(AnnounceSettings(), SpeechSettings(translations=str(tmp_path / "none.toml")))


LABELS = {label.id: label.name for label in read_labels(DATA / "imagenet.txt")}
GROUPS = {group.id: group for group in load_all_groups()}
MEMBERS = {identity: group.members for identity, group in GROUPS.items()}
ENGLISH = load_english()


def test_english_has_words_for_each_label_and_group() -> None:
    for identity, name in LABELS.items():
        assert ENGLISH[identity].label == name
    for identity, group in GROUPS.items():
        assert ENGLISH[identity].label == group.name
    words = Words(AnnounceSettings())
    assert words.sure(Term("crane", "n02012849")) == "I see a crane, the bird"
    assert words.maybe(Term("crane", "n02012849"), Term("crane", "n03126707")) == (
        "maybe a crane, the bird, or a construction crane"
    )
    assert words.maybe(Term("sunglass", "n04355933"), Term("sunglasses", "n04356056")) == "maybe sunglasses"


def test_articles_go_by_sound() -> None:
    for identity, entry in ENGLISH.items():
        assert entry.said == entry.said.strip()
        first = entry.said.split()[0]
        if first in ("a", "an"):
            assert entry.said == with_article(bare(entry.said)) or bare(entry.said) in LOOK_UNCOUNTED, identity
        else:
            assert first != "the"
    bare_ones = {entry.said for entry in ENGLISH.values() if entry.said == bare(entry.said)}
    # read once by a person: nothing else is without an article
    assert bare_ones == set(WITHOUT_ARTICLE)


LOOK_UNCOUNTED = {"daddy longlegs", "drummer's sticks"}
WITHOUT_ARTICLE = """\
binoculars; brain coral; bread; broccoli; chain mail armor; chocolate sauce; clear soup; clogs; corn;
cowboy boots; crutches; dough; eggnog; face powder; fruit; glasses; guacamole; hair spray; hay; ice cream; jeans;
knee pads; loafer shoes; lotion; maracas; mashed potatoes; matchsticks; metal armor; mittens; pajamas; panpipes;
paper towels; parallel bars; perfume; red wine; running shoes; sandals; scissors; shoes; skis; soap bubbles; socks;
somebody's clothes; spaghetti carbonara; sunglasses; sunscreen; swimming trunks; toilet paper; velvet; wind chimes;
wool""".replace("\n", " ").split("; ")


def test_what_a_network_calls_otherwise_is_said_as_it_calls_it() -> None:
    assert Words(AnnounceSettings()).sure(Term("Emma", "n02108089")) == "I see an Emma"
    german = Words(AnnounceSettings(), SpeechSettings(language="de"))
    assert german.sure(Term("boxer", "n02108089")) == "Ich sehe einen Boxer-Hund"
    assert german.sayable([Term("Emma", "n02108089")], spoken=False) is None
    # without an id of ImageNet the label decides, where it can mean one thing only
    assert german.sure(Term("Tench", "17")) == "Ich sehe eine Schleie"
    assert german.sayable([Term("crane", "17")], spoken=False) is None


def test_never_the_same_words_for_what_a_listener_would_tell_apart() -> None:
    languages = [{identity: entry.said for identity, entry in ENGLISH.items()}]
    for code in ("de", "fr"):
        languages.append({identity: format(forms, "") for identity, forms in translation(code).words.items()})
    for said in languages:
        by_words: dict[str, list[str]] = {}
        for identity, text in said.items():
            by_words.setdefault(plain(text), []).append(identity)
        for text, ids in by_words.items():
            for first in ids:
                assert all(same_to_a_listener(first, second, MEMBERS) for second in ids), text


def test_labels_with_the_same_words_share_a_group_so_that_nothing_is_said_twice() -> None:
    for code in ("en", "de", "fr"):
        words = Words(AnnounceSettings(), SpeechSettings(language=code))
        by_words: dict[str, list[str]] = {}
        for identity, name in LABELS.items():
            if term := words.sayable([Term(name, identity)], spoken=False):
                by_words.setdefault(words.sure(term), []).append(identity)
        for text, ids in by_words.items():
            assert len(ids) == 1 or any(set(ids) <= members for members in MEMBERS.values()), text


def translation(code: str) -> Translation:
    path = our_translation(code)
    assert path is not None
    return read_translation(path)


@pytest.mark.parametrize("code", ["de", "fr"])
def test_our_translations_have_no_fault(code: str) -> None:
    file = translation(code)
    report = check(file, SENTENCES, MEMBERS, {code})
    assert report.faults == ()
    assert report.missing_sentences == ()
    missing = set(report.missing_words)
    assert missing <= LABELS.keys()
    assert len(missing) <= {"de": 0, "fr": 300}[code]
    # behind # stands the English, for whoever reads the file
    for line in file.path.read_text(encoding="utf-8").splitlines():
        if match := re.match(r"((?:n\d{8}|edge-)\S*) .*?  # (.*)", line):
            assert match[2] == ENGLISH[match[1]].said, line


def test_german_words_stand_in_both_cases() -> None:
    file = translation("de")
    assert file.forms == ("nominative", "accusative")
    for identity in [*LABELS, *GROUPS]:
        nominative, accusative = (file.words[identity][form] for form in file.forms)
        kind = file.kind_of[identity]
        assert not re.search(r"\b(?:an?|the|some)\b", f"{nominative} {accusative}".replace(" an ", " ")), nominative
        if kind != "m":
            continue
        assert nominative != accusative
        # ein Großer Hund, einen Großen Hund; ein Affe, einen Affen; and nothing else changes
        for one, other in zip(nominative.split(), accusative.split(), strict=True):
            strong = (one, other) == ("ein", "einen") or one == other
            adjective = one.endswith("er") and other == one[:-1] + "n"
            weak = other.removeprefix(one) in ("n", "en", "en,") or other == one.replace(",", "en,")
            assert strong or adjective or weak, (nominative, accusative)


def test_german_comes_with_edge() -> None:
    told: list[str] = []
    for language in ("de", "de-AT", "DE_de"):
        words = Words(AnnounceSettings(), SpeechSettings(language=language), told.append)
        assert words.sure(Term("violin", "n04536866")) == "Ich sehe eine Geige"
    sentences = [words.notice(sentence) for sentence in SENTENCES]
    assert len(set(sentences)) == len(SENTENCES)
    dog, wolf = Term("dog", "n02084071"), Term("timber wolf", "n02114367")
    assert words.sure(dog) == "Ich sehe einen Hund"
    assert words.maybe(dog, wolf) == "vielleicht ein Hund oder ein grauer Wolf"
    assert (
        words.maybe(Term("jaguar", "n02128925"), wolf) == "vielleicht ein Jaguar, die Raubkatze, oder ein grauer Wolf"
    )
    for label in read_labels(DATA / "demo" / "synset.txt"):
        if label.id != "background":
            term = Term(label.name, label.id)
            assert words.sayable([term]) == term
            assert words.maybe(term, dog) != words.sure(term)
    assert words.not_sure() == "Ich bin mir nicht sicher"
    assert told == []


def test_the_user_s_own_template_takes_the_case_of_the_sentence_that_it_stands_for() -> None:
    dog = Term("dog", "n02084071")
    own = AnnounceSettings(template="Da sehe ich {label}!", maybe_template="eventuell {label}")
    words = Words(own, SpeechSettings(language="de"))
    assert words.sure(dog) == "Da sehe ich einen Hund!"
    assert words.maybe(dog) == "eventuell ein Hund"
    words = Words(AnnounceSettings(template="Da ist {label:nominative}!"), SpeechSettings(language="de"))
    assert words.sure(dog) == "Da ist ein Hund!"
    with pytest.raises(ConfigError, match=r"unknown form 'dativ' for \{label\}; known: nominative, accusative"):
        Words(AnnounceSettings(template="{label:dativ}"), SpeechSettings(language="de"))


def test_a_file_of_the_release_before_goes_on_working(tmp_path: Path) -> None:
    """It has labels by their English name, in one form; what it lacks comes from edge's own of the same language."""
    path = tmp_path / "mine.toml"
    path.write_text('[sentences]\n"I see {label}" = "Schau: {label}"\n[labels]\n"tench" = "einen Fisch"\n')
    words = Words(AnnounceSettings(), SpeechSettings(language="de", translations=str(path)))
    assert words.sure(Term("tench", "n01440764")) == "Schau: einen Fisch"
    assert words.sure(Term("dog", "n02084071")) == "Schau: einen Hund"
    assert words.notice(notices.READY) == "Ich bin bereit."
    reworded = '"I don\'t look any more." = "Pause."\n"I\'m too hot, so I slow down." = "Puh, zu warm."\n'
    path.write_text(f"[sentences]\n{reworded}")
    words = Words(AnnounceSettings(), SpeechSettings(language="de", translations=str(path)))
    assert (words.notice(notices.PAUSED), words.notice(notices.HOT)) == ("Pause.", "Puh, zu warm.")
    path.write_text('[labels]\ncardigan = "eine Strickjacke"\ncrane = "einen Kran"\n')
    words = Words(AnnounceSettings(), SpeechSettings(translations=str(path)))
    garment, dog, machine = Term("cardigan", "n02963159"), Term("Cardigan", "n02113186"), Term("crane", "n03126707")
    assert [words.sayable([term], spoken=False) for term in (garment, dog, machine)] == [garment, None, machine]


def test_a_new_word_may_have_both_cases() -> None:
    rename = {"garden gnome": "ein Gartenzwerg | einen Gartenzwerg", "a boxer dog": "electric guitar"}
    words = Words(AnnounceSettings(rename=rename), SpeechSettings(language="de"))
    assert words.sure(Term("garden gnome")) == "Ich sehe einen Gartenzwerg"
    assert words.maybe(Term("garden gnome")) == "vielleicht ein Gartenzwerg"
    # either word of the label names it; and the new word may be one that edge knows
    assert words.sure(Term("boxer", "n02108089")) == "Ich sehe eine E-Gitarre"


def test_all_the_words_by_which_a_person_may_call_a_thing() -> None:
    crane = Term("crane", "n02012849")
    assert Words(AnnounceSettings()).names(crane) == {"crane", "a crane, the bird", "crane, the bird"}
    german = Words(AnnounceSettings(), SpeechSettings(language="de")).names(crane)
    assert german >= {"crane", "a crane, the bird", "ein kranich", "einen kranich", "kranich"}


def test_a_language_without_a_file_is_told_once() -> None:
    told: list[str] = []
    words = Words(AnnounceSettings(), SpeechSettings(language="es"), told.append)
    assert words.sure(Term("violin")) == words.sure(Term("violin")) == "I see a violin"
    assert told == [
        "edge has no translation for 'es', so it speaks English; [speech] translations can name a translation file."
    ]
    assert Words(AnnounceSettings(), SpeechSettings(language="en-GB"), told.append).sure(Term("cat")) == "I see a cat"
    assert len(told) == 1
