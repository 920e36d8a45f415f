"""What edge says of itself: pure, with its clock as argument.

A topic has a state, not a history: what is said is how things are now. So nothing is said of what was over before one
may speak, and what lasts through quiet hours is said at their end. A state that nobody could hear of does not count as
said.
"""

import math
from dataclasses import dataclass, field

from edge.settings import AloudSettings
from edge.stages import Condition

READY = "I'm ready."
DARK = "I can't see: it is dark, or the camera is covered."
COVERED = "I can't see: the camera is covered."
BRIGHT = "I can't see: it is too bright."
FROZEN = "I can't see: the picture is frozen."
LOST = "I can't see: the camera is lost."
BLURRED = "What I see is blurred."
PAUSED = "I don't look any more."
RESUMED = "I'm looking again."
SIGHT_AGAIN = "I can see again."
HOT = "I'm too hot, so I slow down."
SMALLER = "Using a smaller model."
ANOTHER = "Using another model."
BETTER = "Using a better model."
SENTENCES = (
    READY,
    DARK,
    COVERED,
    BRIGHT,
    FROZEN,
    LOST,
    SIGHT_AGAIN,
    BLURRED,
    PAUSED,
    RESUMED,
    HOT,
    SMALLER,
    ANOTHER,
    BETTER,
)
_OF_CONDITIONS = {
    Condition.DARK: DARK,
    Condition.BRIGHT: BRIGHT,
    Condition.COVERED: COVERED,
    Condition.FROZEN: FROZEN,
    Condition.LOST: LOST,
    Condition.BLURRED: BLURRED,
}
_SWITCHES = {
    "ready": "ready",
    "sight": "blind",
    "focus": "blurred",
    "shutter": "paused",
    "heat": "hot",
    "model": "smaller_model",
}
"""The setting of each topic."""


def sentence_of(condition: Condition | None) -> str:
    """Return what edge says of it; '' of None."""
    return _OF_CONDITIONS[condition] if condition else ""


@dataclass
class _Topic:
    well: str = ""
    """What is said when all is well again; empty: nothing."""
    now: str = ""
    """What there is to say at present; empty: all is well."""
    said: str = ""
    """What was said last of it; empty: nothing, or that all is well."""
    heard: str = ""
    """The same of what somebody could hear."""
    at_s: dict[str, float] = field(default_factory=dict)
    """When each sentence was said."""


class Notices:
    """Keeps what there is to say; what is switched off is not said, and nothing twice within `repeat_s`."""

    def __init__(self, settings: AloudSettings) -> None:
        self._topics: dict[str, _Topic] = {}
        self._in_the_air: list[_Topic] = []
        self.configure(settings)

    def configure(self, settings: AloudSettings) -> None:
        """Take other settings; what was said stays said."""
        self._repeat_s = settings.repeat_s
        self._off = {topic for topic, key in _SWITCHES.items() if not getattr(settings, key)}

    def set(self, topic: str, sentence: str, well: str = "") -> None:
        """How the topic stands now: the sentence to say of it, empty when all is well; then `well` is said."""
        one = self._topics.setdefault(topic, _Topic(well))
        one.now = sentence
        if not sentence and not one.well:  # nothing to say of it: the next time is a new one
            one.said = one.heard = ""

    def see(self, fault: Condition | None, note: Condition | None) -> None:
        """How seeing stands now: why nothing can be seen, and what makes it hard; None: nothing."""
        self.set("sight", sentence_of(fault), SIGHT_AGAIN)
        self.set("focus", sentence_of(note))

    def once(self, topic: str, sentence: str) -> None:
        """Something to be said one time, again if it was said before."""
        one = self._topics.setdefault(topic, _Topic())
        # an event, not a state: who could not hear it hears nothing of it later
        one.now, one.said, one.heard = sentence, "", sentence

    def due(self, now_s: float) -> str:
        """The sentence to say now, or ''. The same until `told` is called."""
        for name, topic in self._topics.items():
            sentence = self._sentence(topic)
            if name not in self._off and sentence and now_s - topic.at_s.get(sentence, -math.inf) >= self._repeat_s:
                return sentence
        return ""

    def told(self, sentence: str, now_s: float) -> None:
        """The speaker has begun to say it."""
        for topic in self._topics.values():
            if self._sentence(topic) == sentence:
                topic.said = topic.now
                topic.at_s[sentence] = now_s
                self._in_the_air.append(topic)

    def ended(self, *, heard: bool, lasting: bool) -> None:
        """What was told last is over. Unheard it is said again after `repeat_s`, or when what is `lasting` is gone."""
        for topic in self._in_the_air:
            if heard:
                topic.heard = topic.said
            elif not lasting:
                topic.said = topic.heard
        self._in_the_air = []

    def audible_again(self) -> None:
        """What kept everything from being heard is gone: a state that nobody has heard of is news."""
        for topic in self._topics.values():
            if topic.said != topic.heard and topic not in self._in_the_air:
                topic.said = topic.heard
                topic.at_s.clear()

    @staticmethod
    def _sentence(topic: _Topic) -> str:
        if topic.now == topic.said:
            return ""
        return topic.now or topic.well
