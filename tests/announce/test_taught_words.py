"""What was taught is said in the user's words, goes before the model's labels, and is never a "maybe"."""

import pytest
from doubles import PlainWords, at

from edge.announce.announcer import Announcer
from edge.announce.articles import as_taught
from edge.announce.claims import Kind, Knowledge
from edge.announce.notices import teach_again
from edge.announce.schedule import Schedule
from edge.announce.wording import Words
from edge.settings import AnnounceSettings, SpeechSettings
from edge.stages import Prediction, Term

KEYS = Prediction("taught:my keys", "my keys", 0.98)
LOCK, CUP = Prediction("n03874599", "padlock", 0.55), Prediction("n07930864", "cup", 0.44)
SETTINGS = AnnounceSettings()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("my keys", "my keys"),
        ("the blue cup", "the blue cup"),
        ("blue cup", "a blue cup"),
        ("umbrella", "an umbrella"),
        ("Rex", "Rex"),
        ("our cat", "our cat"),
        ("mum's mug", "mum's mug"),
        ("scissors", "scissors"),
        ("ключи", "ключи"),
        ("鍵", "鍵"),
        ("élan", "élan"),
        ("2 euro", "2 euro"),
    ],
)
def test_a_name_has_an_article_only_where_it_needs_one(name: str, said: str) -> None:
    assert as_taught(name) == said
    assert Words(SETTINGS).sure(Term(name, f"taught:{name}")) == f"I see {said}"


def test_another_language_says_it_in_the_user_s_words() -> None:
    told: list[str] = []
    words = Words(SETTINGS, SpeechSettings(language="de"), told.append)
    assert words.sure(Term("meine Schlüssel", "taught:meine schlüssel")) == "Ich sehe meine Schlüssel"
    assert words.sayable([Term("blue cup", "taught:blue cup")]) == Term("blue cup", "taught:blue cup")
    assert words.sure(Term("blue cup", "taught:blue cup")) == "Ich sehe blue cup"
    assert told == []


def test_it_is_renamed_and_muted_like_a_label() -> None:
    words = Words(AnnounceSettings(rename={"My Keys": "the house keys"}))
    assert words.sure(Term("my keys", "taught:my keys")) == "I see the house keys"
    muted = view([KEYS], settings=AnnounceSettings(muted=("my keys",)))
    assert muted.claims.judge(something=True)[0] == []


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("caf\u00e9 cup", "Cafe\u0301  CUP"),
        ("\u06a9\u0644\u06cc\u062f\u200c\u0647\u0627", "\u06a9\u0644\u06cc\u062f\u0647\u0627"),
        ("blue_cup", "blue cup"),
        ("\u9375", "\u9375"),
    ],
)
def test_a_name_in_any_letters_is_muted_and_renamed_however_it_is_written(name: str, written: str) -> None:
    prediction = Prediction(f"taught:{name}", name, 0.98)
    assert view([prediction]).claims.judge(something=True)[0]
    assert not view([prediction], settings=AnnounceSettings(muted=(written,))).claims.judge(something=True)[0]
    words = Words(AnnounceSettings(rename={written: "the other"}))
    assert words.sure(Term(name, f"taught:{name}")) == "I see the other"


def test_a_rename_gives_the_forms_of_a_language() -> None:
    words = Words(
        AnnounceSettings(rename={"Mein Hund": "mein Hund | meinen Hund"}), SpeechSettings(language="de"), pytest.fail
    )
    term = Term("mein Hund", "taught:mein hund")
    assert words.sure(term) == "Ich sehe meinen Hund"
    assert words.maybe(term) == "vielleicht mein Hund"
    assert words.notice("Please teach me again: mein Hund, Rex.") == "Bitte noch einmal beibringen: mein Hund, Rex."


def test_many_names_end_with_others_in_each_language() -> None:
    six, five = teach_again([*"abcdef"]), teach_again([*"abcde"])
    assert six == "Please teach me again: a, b, c, d, e and others."
    words = Words(AnnounceSettings(), SpeechSettings(language="de"), pytest.fail)
    assert words.notice(six) == "Bitte noch einmal beibringen: a, b, c, d, e und andere."
    assert words.notice(five) == "Bitte noch einmal beibringen: a, b, c, d, e."


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("blue cup", "the blue cup"),
        ("keys", "the keys"),
        ("my keys", "my keys"),
        ("Rex", "Rex"),
        ("Ann's cup", "Ann's cup"),
    ],
)
def test_a_lesson_is_about_this_one_thing(name: str, said: str) -> None:
    term = Term(name, f"taught:{name.casefold()}")
    assert Words(AnnounceSettings()).about("I know {label} now.", term) == f"I know {said} now."
    renamed = Words(AnnounceSettings(rename={name: "dog"}))
    assert renamed.about("I know {label} now.", term) == "I know the dog now."


def view(*frames: list[Prediction], settings: AnnounceSettings = SETTINGS, calibrated: bool = True) -> Announcer:
    """An announcer that has seen these frames, 0.1 s apart, each five times."""
    subject = Announcer(settings, PlainWords(), Schedule(settings), knowledge=Knowledge(calibrated=calibrated))
    for number, predictions in enumerate(one for one in frames for _ in range(5)):
        subject.update(predictions, number / 10, at(number / 10))
    return subject


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_sure_one_is_said(calibrated: bool) -> None:
    subject = Announcer(SETTINGS, PlainWords(), Schedule(SETTINGS), knowledge=Knowledge(calibrated=calibrated))
    said = [subject.update([KEYS, LOCK], number / 10, at(number / 10)) for number in range(3)]
    assert said[0] is None
    assert said[2] is not None
    assert said[2].text == "I see my keys"
    assert said[2].id == "taught:my keys"
    assert said[2].labels == ("my keys",)


def test_it_is_never_a_maybe_nor_beside_one() -> None:
    # in two frames of five it is there, in the others the model guesses
    frames = [[KEYS, LOCK] if number % 5 < 2 else [LOCK, CUP] for number in range(20)]
    for mixed in (frames, [[CUP, LOCK], *frames], [*frames, [LOCK, CUP]]):
        subject = Announcer(SETTINGS, PlainWords(), Schedule(SETTINGS), knowledge=Knowledge(calibrated=True))
        for number, predictions in enumerate(mixed):
            subject.update(predictions, number / 10, at(number / 10))
            for claim in subject.claims.judge(something=True)[0]:
                assert claim.kind is not Kind.MAYBE or not any(one.startswith("taught:") for one in claim.ids)


def test_without_one_a_maybe_is_as_before() -> None:
    (claim,) = view([LOCK, CUP]).claims.judge(something=True)[0]
    assert claim.kind is Kind.MAYBE
    assert claim.name == "padlock or cup"
