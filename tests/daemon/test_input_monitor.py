"""What is reported of keys and the wake word, and what is said of a microphone that is lost."""

from dataclasses import dataclass
from typing import Any

from edge import pipeline
from edge.announce.notices import DEAF, HEARS_AGAIN, Notices
from edge.daemon.events import Events
from edge.daemon.history import History
from edge.daemon.monitors import InputMonitor
from edge.daemon.reporter import Reporter
from edge.input import KEYS, WAKE_WORD
from edge.settings import AloudSettings

GONE = "no microphone: it has been unplugged"


@dataclass
class FakeSource:
    problem: str = ""
    microphone: str | None = None
    is_key: bool = False

    def set_paused(self, paused: bool) -> None: ...

    def status(self) -> dict[str, Any]:
        return {} if self.is_key else {"open": bool(self.microphone), "microphone": self.microphone}

    def close(self) -> None: ...


class Told(Reporter):
    """A reporter that keeps what it reports of input."""

    def __init__(self) -> None:
        super().__init__(Events(""), pipeline.Summary(), History())
        self.told: list[str] = []

    def input_lost(self, source: str, why: str) -> None:
        self.told.append(f"{source} lost: {why}")

    def input_back(self, source: str) -> None:
        self.told.append(f"{source} back")

    def microphone_open(self, name: str) -> None:
        self.told.append(f"open: {name}")


def test_a_loss_and_its_end_are_told_once_and_a_pause_is_neither() -> None:
    reporter, notices = Told(), Notices(AloudSettings(repeat_s=1))
    monitor, source, key = InputMonitor(reporter, notices), FakeSource(), FakeSource(is_key=True)
    now_s = 0.0

    def turns(*expected: str, said: str) -> None:
        nonlocal now_s
        for _ in range(3):
            now_s += 2.0
            monitor.look({WAKE_WORD: source, KEYS: key})
            sentence = notices.due(now_s)
            if sentence:
                reporter.told.append(sentence)
                notices.told(sentence, now_s)
                notices.ended(heard=True, lasting=False)
        assert reporter.told == [*expected, *([said] if said else [])]
        reporter.told.clear()

    turns(said="")  # it is starting
    source.microphone = "default"
    turns("open: default", said="")
    source.microphone, source.problem = None, GONE
    turns(f"wake_word lost: {GONE}", said=DEAF)
    source.problem = ""  # a pause: it is closed on purpose
    turns(said="")
    source.problem = GONE  # the end of the pause has not brought it back
    turns(said="")
    source.problem, source.microphone = "", "default"
    turns("wake_word back", "open: default", said=HEARS_AGAIN)
    source.microphone = None
    turns(said="")
    source.microphone = "default"
    turns("open: default", said="")
    key.problem = "button: it is gone"
    turns("keys lost: button: it is gone", said="")
    key.problem = ""
    turns("keys back", said="")


def test_after_the_word_is_taken_from_the_settings_nothing_is_said_of_it() -> None:
    reporter, notices = Told(), Notices(AloudSettings(repeat_s=1))
    monitor = InputMonitor(reporter, notices)
    monitor.look({WAKE_WORD: FakeSource(problem=GONE)})
    assert notices.due(10.0) == DEAF
    notices.told(DEAF, 10.0)
    monitor.look({})
    assert notices.due(20.0) == ""
