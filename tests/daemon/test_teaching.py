"""Teaching before a camera: the demo model learns drawn things, and whatever ends a lesson leaves all as before."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from rigs.boards import Board, write_board
from rigs.lessons import empty_place, finished, with_thing

from edge.announce import teaching as sentences
from edge.announce.wording import Words
from edge.config import load
from edge.daemon import teaching as module
from edge.daemon.control_commands import ControlCommands
from edge.daemon.control_state import ControlState
from edge.daemon.dialogue import Phase
from edge.daemon.mute_list import Refused
from edge.daemon.teaching import Teaching
from edge.host.machine import Machine
from edge.models.taught.record import MOST_NAME, Floats, TaughtThing
from edge.models.taught.store import MOST_THINGS, TaughtStore, taught_folder
from edge.selection.opening import model_of
from edge.selection.selector import ModelSelector
from edge.selection.taught import drawn_others
from edge.settings import AnnounceSettings, Settings, SpeechSettings, TeachSettings
from edge.stages import Frame, Pixels

pytestmark = pytest.mark.integration
BOARD = Board("Raspberry Pi 4 Model B Rev 1.4", 1900, 1500)
FRAME_S = 0.2
SHOWN = "Now show me my keys, slowly, from all sides."
KEYS, REX, CUP = 5, 6, 8
"""Kinds that the demo model tells apart: the first from the two others."""
Show = Callable[[str, int], Pixels | None]


class FakeAnswers:
    """Says each sentence at once."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.held = False

    def tell(self, text: str) -> None:
        self.said.append(text)

    def is_speaking(self) -> bool:
        return False

    def hold(self, held: bool) -> None:
        self.held = held


class FakeReporter:
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.steps: list[dict[str, Any]] = []
        self.ends: list[dict[str, Any]] = []

    def teaching(self, **step: Any) -> None:
        self.steps.append(step)

    def taught_one(self, name: str, text: str, **end: Any) -> None:
        self.ends.append({"name": name, "text": text, **end})


class Room:
    """A daemon's loop with a camera, in which a person teaches."""

    def __init__(self, selector: ModelSelector, folder: Path, language: str = "") -> None:
        self.selector = selector
        self.camera = SimpleNamespace(lost=False)
        self.equipment = SimpleNamespace(
            selector=selector, classifier=selector.open(), camera=self.camera, settings=Settings()
        )
        self.answers, self.reporter = FakeAnswers(), FakeReporter()
        self.state = ControlState(folder / "mutes.json")
        words = Words(AnnounceSettings(), SpeechSettings(language=language))
        self.teaching = Teaching(
            self.state,
            self.answers,  # type: ignore[arg-type]
            self.equipment,  # type: ignore[arg-type]
            self.reporter,  # type: ignore[arg-type]
            about=words.about,
        )
        self.state.teaching = self.teaching
        self.commands = ControlCommands(self.state)
        self.now_s = 50.0
        self.number = 0

    @property
    def phase(self) -> str:
        return str(self.teaching.state["phase"]) if self.teaching.state else ""

    def turn(self, pixels: Pixels | None) -> None:
        self.now_s += FRAME_S
        self.number += 1
        frame = None if pixels is None else Frame(pixels, self.number, self.now_s)
        self.teaching.attend(frame, self.now_s)
        if self.teaching.wants_exchange and not self.teaching.take_network():
            self.equipment.classifier = self.selector.know_taught()

    def until(self, condition: Callable[[], object], show: Show) -> None:
        """Show something in each turn until the condition holds."""
        for _ in range(600):
            if condition():
                return
            self.turn(show(self.phase, self.number))
        raise AssertionError(f"it did not come to that: {self.answers.said}")

    def ask(self, **request: Any) -> dict[str, Any]:
        return self.commands.answer(request)

    def teach(self, name: str, show: Show, **flags: bool) -> dict[str, Any]:
        """Teach a thing to the end; return what is reported then."""
        assert self.ask(command="teach", name=name, **flags) == {"teaching": name}
        self.turn(None)
        self.until(lambda: not self.teaching.active, show)
        self.turn(None)
        return self.reporter.ends[-1]

    def names(self, kind: int) -> str:
        """What the running classifier says of a new view of a thing."""
        return str(self.equipment.classifier.classify(Frame(with_thing(kind, 777), 0, 0.0))[0].id)


def showing(kind: int) -> Show:
    """A person who does as asked, with a thing of this kind."""
    return lambda phase, number: empty_place(number) if phase == "empty" else with_thing(kind, number)


@functools.cache
def the_keys(root: Path) -> TaughtThing:
    """The keys as the demo model knows them."""
    selector = new_selector(root)
    selector.open()
    pictures = [with_thing(KEYS, number) for number in range(8)]
    empty = [empty_place(number) for number in range(4)]
    model = model_of(selector.option)
    lesson = finished(selector.begin_lesson(), model, "my keys", pictures, empty, store=TaughtStore(root / "taught"))
    selector.end()
    return lesson.thing()


def keep_the_keys(root: Path) -> None:
    """Let the keys have been taught before."""
    TaughtStore().add([the_keys(root)])


@functools.cache
def drawings_of_the_demo(machine_root: Path) -> Floats:
    selector = new_selector(machine_root)
    selector.open()
    features = np.stack(list(drawn_others(selector.begin_lesson())))
    selector.end()
    return features


def new_selector(root: Path) -> ModelSelector:
    settings = load(environment={}, flags={"model": {"name": "demo", "engine": "onnx"}})
    return ModelSelector(settings, machine=Machine(root))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_board(tmp_path_factory.mktemp("board"), BOARD)


@pytest.fixture
def make_room(root: Path, tmp_path: Path) -> Iterator[Callable[..., Room]]:
    from edge.models.checkpoint import find_checkpoint
    from edge.models.fingerprint import fingerprint

    TaughtStore().keep_others(fingerprint(find_checkpoint("demo")), "demo", drawings_of_the_demo(root))
    rooms = []

    def make(language: str = "") -> Room:
        rooms.append(Room(new_selector(root), tmp_path, language))
        return rooms[-1]

    yield make
    for room in rooms:
        room.selector.end()


@pytest.fixture
def room(make_room: Callable[..., Room]) -> Room:
    return make_room()


def test_from_the_question_to_the_thing_in_view(room: Room) -> None:
    assert not room.names(KEYS).startswith("taught:")
    end = room.teach("my keys", showing(KEYS))
    assert room.answers.said == ["First show me the place without my keys.", SHOWN, "I know my keys now."]
    assert (end["name"], end["reason"], end["tested"]) == ("my keys", "", (3, 3))
    assert [thing.name for thing in TaughtStore().read()] == ["my keys"]
    # it is known at once, without another start
    assert room.names(KEYS) == "taught:my keys"
    assert not room.names(REX).startswith("taught:")
    assert room.selector.taught == {"taught:my keys": "my keys"}
    assert not room.answers.held
    assert room.teaching.state is None
    phases = [step["phase"] for step in room.reporter.steps]
    assert list(dict.fromkeys(phases)) == ["empty", "thing", "learning"]
    assert [step["done"] for step in room.reporter.steps if step["phase"] == "empty"] == [0, 1, 2, 3]
    # and another one beside it
    room.teach("Rex", showing(REX))
    assert (room.names(KEYS), room.names(REX)) == ("taught:my keys", "taught:rex")


def test_nothing_is_named_while_a_thing_is_taught(room: Room) -> None:
    room.teach("my keys", showing(KEYS))
    room.ask(command="teach", name="Rex")
    room.until(lambda: room.phase == "thing", showing(REX))
    assert room.answers.held
    assert room.equipment.classifier.classify(Frame(with_thing(KEYS, 5), 0, 0.0)) == []
    # muted names stay known
    assert room.selector.labels.items() >= {"taught:my keys": "my keys"}.items()
    assert room.state.status()["teaching"] == {"name": "Rex", "phase": "thing", "done": 0, "wanted": 10}


def test_it_speaks_the_language_with_the_users_words(make_room: Callable[..., Room]) -> None:
    room = make_room("de")
    room.teach("meine Schlüssel", showing(KEYS))
    assert room.answers.said == [
        "Bitte zuerst die Stelle ohne meine Schlüssel zeigen.",
        "Jetzt bitte meine Schlüssel zeigen, langsam und von allen Seiten.",
        "Jetzt kenne ich meine Schlüssel.",
    ]


@pytest.mark.parametrize("language", ["", "de", "fr"])
@pytest.mark.parametrize("name", ["{label}", "%s {0}", "<speak>&amp;</speak>", "../../etc/passwd", "x" * MOST_NAME])
def test_a_name_may_have_any_characters(language: str, name: str) -> None:
    words = Words(AnnounceSettings(), SpeechSettings(language=language))
    term = module.Request(name).term
    for sentence in sentences.SENTENCES:
        said = words.about(sentence, term, term)
        assert said.count(name) == sentence.count("{"), said


def test_what_it_complains_about_is_said(room: Room) -> None:
    room.ask(command="teach", name="my keys")
    room.until(lambda: "too dark" in room.answers.said, lambda _phase, _number: np.zeros((120, 160, 3), np.uint8))
    room.until(lambda: room.phase == "thing", showing(KEYS))
    room.until(lambda: sentences.ONLY_EMPTY in room.answers.said, lambda _phase, number: empty_place(number))
    room.until(lambda: sentences.TURN in room.answers.said, lambda _phase, _number: with_thing(KEYS, 4))
    room.until(lambda: not room.teaching.active, showing(KEYS))
    assert room.answers.said[-1] == "I know my keys now."
    assert [step["text"] for step in room.reporter.steps if step["text"]] == room.answers.said[:-1]


def test_it_gives_up_if_nothing_is_shown(room: Room) -> None:
    end = room.teach("my keys", lambda _phase, number: empty_place(number))
    assert (end["reason"], end["text"]) == ("time", "I've learnt nothing new about my keys.")
    assert TaughtStore().read() == []
    assert not room.answers.held


def test_a_thing_like_another_is_asked_for_again_and_not_kept(room: Room) -> None:
    room.teach("my keys", showing(KEYS))
    room.answers.said.clear()
    end = room.teach("Rex", showing(KEYS))
    assert [said for said in room.answers.said[2:] if said != sentences.TURN] == [
        "I can't tell Rex from my keys: show me again, closer.",
        "I can't tell Rex from my keys, so I've learnt nothing new.",
    ]
    assert (end["reason"], end["tested"][1]) == ("confused", 3)
    assert [thing.name for thing in TaughtStore().read()] == ["my keys"]
    assert room.names(KEYS) == "taught:my keys"


def test_the_second_attempt_may_do(room: Room) -> None:
    room.teach("my keys", showing(KEYS))
    room.answers.said.clear()

    def better_at_last(phase: str, number: int) -> Pixels | None:
        again = any(said.endswith("show me again, closer.") for said in room.answers.said)
        return showing(REX if again else KEYS)(phase, number)

    room.teach("Rex", better_at_last)
    assert room.answers.said[-2:] == ["I can't tell Rex from my keys: show me again, closer.", "I know Rex now."]
    assert room.names(REX) == "taught:rex"


PHASES = [
    pytest.param(Phase.EMPTY, marks=pytest.mark.long),
    Phase.THING,
    pytest.param(Phase.LEARNING, marks=pytest.mark.long),
]


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize(
    ("what", "said", "reason"),
    [
        ("cancel", "I've stopped. I've learnt nothing new about Rex.", "cancelled"),
        ("pause", "My camera has stopped, so I've learnt nothing new about Rex.", "paused"),
        ("lost", "My camera has stopped, so I've learnt nothing new about Rex.", "camera"),
        ("camera", "My camera has stopped, so I've learnt nothing new about Rex.", "camera"),
        ("model", "I'm using another model now, so I've learnt nothing new about Rex.", "model"),
        ("stop", "", "stopped"),
    ],
)
def test_whatever_interrupts_it_leaves_all_as_before(
    make_room: Callable[..., Room],
    root: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    phase: Phase,
    what: str,
    said: str,
    reason: str,
) -> None:
    keep_the_keys(root)
    room = make_room()
    # one forward a turn: so there is a turn in which it learns
    monkeypatch.setattr(module, "LEARN_S", 0.0)
    monkeypatch.setattr(module, "WORK_S", 0.0)
    before = {path.name: path.read_bytes() for path in taught_folder().iterdir()}
    room.ask(command="teach", name="Rex")
    room.until(lambda: room.phase == phase, showing(REX))
    match what:
        case "cancel":
            assert room.ask(command="teach", cancel=True) == {"cancelled": "Rex"}
        case "pause":
            room.state.set_paused(True)
        case "lost":
            room.camera.lost = True
        case "camera":
            room.equipment.camera = SimpleNamespace(lost=False)
        case "model":
            room.equipment.classifier = room.selector.know_taught()
        case "stop":
            room.teaching.close()
    if what != "stop":
        room.turn(with_thing(REX, 1))
    assert not room.teaching.active
    assert not room.answers.held
    end = room.reporter.ends[-1]
    assert (end["name"], end["text"], end["reason"]) == ("Rex", said, reason)
    assert {path.name: path.read_bytes() for path in taught_folder().iterdir()} == before
    room.state.set_paused(False)
    room.camera.lost = False
    room.turn(None)
    assert room.names(KEYS) == "taught:my keys"
    # and it can begin again
    assert room.ask(command="teach", name="Rex") == {"teaching": "Rex"}
    room.until(lambda: room.phase == "thing", showing(REX))


def test_a_full_or_broken_disk_keeps_what_was_there(room: Room) -> None:
    folder = taught_folder()
    for path in folder.iterdir():
        path.unlink()
    folder.rmdir()
    folder.write_text("not a folder")
    end = room.teach("my keys", showing(KEYS))
    assert (end["reason"], end["text"]) == ("disk", "I couldn't save what I learnt about my keys.")
    assert "nothing was changed" in end["detail"]
    assert not room.names(KEYS).startswith("taught:")
    folder.unlink()


def test_a_network_that_cannot_be_taught_says_so(room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "features_problem", lambda _symbol: "its last layer is not clear")
    end = room.teach("my keys", showing(KEYS))
    assert (end["text"], end["detail"]) == ("I can't learn new things with this model.", "its last layer is not clear")
    assert room.answers.said[-1] == "I can't learn new things with this model."


def test_more_and_replace(room: Room) -> None:
    room.teach("my keys", showing(KEYS))
    assert room.ask(command="teach", name="My  Keys") == {
        "error": "edge knows 'My Keys' already: add views (--more), or have it learnt from new views alone (--replace)"
    }
    room.teach("my keys", showing(REX), more=True)
    assert (room.names(KEYS), room.names(REX)) == ("taught:my keys", "taught:my keys")
    room.teach("my keys", showing(CUP), replace=True)
    assert room.names(CUP) == "taught:my keys"
    assert not room.names(KEYS).startswith("taught:")


def test_what_only_another_model_knows_is_taught_without_a_flag(room: Room) -> None:
    room.teach("my keys", showing(KEYS))
    store = TaughtStore()
    store.add([dataclasses.replace(store.read()[0], model="0" * 16)])
    room.selector.know_taught()
    assert room.selector.not_known == ["my keys"]
    assert room.ask(command="teach", name="my keys", more=True) == {
        "error": "this model does not know 'my keys', so there is nothing to add views to (--more)"
    }
    room.teach("my keys", showing(REX))
    assert room.names(REX) == "taught:my keys"


def test_forget_by_request(room: Room) -> None:
    room.teach("my keys", showing(KEYS))
    assert room.ask(command="forget", name="My keys") == {"forgotten": "my keys"}
    assert room.selector.taught_changed()
    assert "was never taught" in room.ask(command="forget", name="my keys")["error"]


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        ({"name": 3}, "a name is a text"),
        ({}, "a name is a text"),
        ({"name": "..."}, "'...': a name needs a letter or a digit"),
        ({"name": "a\u202eb"}, "'a\\u202eb': the name has characters that cannot be printed"),
        ({"name": "x" * 81}, f"{'x' * 80!r}: the name has 81 characters; at most 80 are allowed"),
        ({"name": "x", "more": 1}, "more: 1 is neither true nor false"),
        ({"cancel": "yes"}, "cancel: 'yes' is neither true nor false"),
    ],
)
def test_a_bad_request_is_refused(room: Room, request_: dict[str, Any], error: str) -> None:
    assert room.ask(command="teach", **request_) == {"error": error}
    room.turn(None)
    assert not room.teaching.active


def test_what_cannot_be_taught_now_is_refused_at_once(room: Room) -> None:
    assert room.ask(command="teach", cancel=True) == {"cancelled": None}
    room.state.set_paused(True)
    assert room.ask(command="teach", name="x")["error"].startswith("edge is paused")
    room.state.set_paused(False)
    room.ask(command="teach", name="my keys")
    assert room.ask(command="teach", name="Rex")["error"].startswith("edge is learning 'my keys' already")
    room.until(lambda: not room.teaching.active and room.reporter.ends, showing(KEYS))
    for number in range(MOST_THINGS):
        (taught_folder() / f"{number}.thing").touch()
    with pytest.raises(Refused, match="edge knows 200 things already"):
        room.teaching.begin("Rex")
    assert ControlCommands(ControlState(None)).answer({"command": "teach", "name": "x"}) == {
        "error": "edge is starting"
    }


@pytest.mark.parametrize("keeps", [False, True])
def test_pictures_are_kept_only_if_the_settings_say_so_and_that_is_told(
    make_room: Callable[..., Room], keeps: bool
) -> None:
    room = make_room()
    room.equipment.settings = Settings(teach=TeachSettings(keep_pictures=keeps))
    end = room.teach("my keys", showing(KEYS))
    (keys,) = TaughtStore().read()
    kept = TaughtStore().pictures(keys)
    assert end["text"].endswith("I've kept small pictures of this.") == keeps
    assert bool(kept) == bool(keys.pictures) == keeps
    if kept:
        assert len(kept.views) == 10
        assert 1 <= len(kept.empty) <= 10
