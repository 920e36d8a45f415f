"""Sentences that edge says about itself. Pure: time comes as an argument.

A topic has a state, not a history: a notice describes the current state. So a state that ended before speaking was
allowed is not announced. A state that lasts through quiet hours is announced at their end. A state whose notice was
not heard does not count as said.
"""

import math
from collections.abc import Sequence
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
PAUSED = "I've stopped looking."
RESUMED = "I'm looking again."
SIGHT_AGAIN = "I can see again."
DEAF = "I can't hear you."
HEARS_AGAIN = "I can hear you again."
HOT = "I'm too hot, so I'm slowing down."
SMALLER = "Using a smaller model."
ANOTHER = "Using another model."
BETTER = "Using a better model."
WATCHED = "Somebody is looking."
TEACH_AGAIN = "Please teach me again:"
"""Comes before the names of taught things that another model does not know."""
AND_OTHERS = "and others"
"""Comes after them if there are more than MOST_NAMES."""
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
    DEAF,
    HEARS_AGAIN,
    HOT,
    SMALLER,
    ANOTHER,
    BETTER,
    WATCHED,
    TEACH_AGAIN,
    AND_OTHERS,
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
    "hearing": "deaf",
    "heat": "hot",
    "model": "smaller_model",
    "lessons": "smaller_model",
    "viewers": "watched",
}
"""Setting that switches each topic."""
_FLAPPING = ("sight", "hearing")
"""Topics that may come and go by themselves; others are events, or a person's wish."""
MOST_NAMES = 5
"""How many names a sentence has: a listener remembers no more."""
LONGEST_REPEAT_S = 3600.0
"""A sentence that comes back again and again is said no more often than this in the end."""


def sentence_of(condition: Condition | None) -> str:
    """Return edge's sentence for a condition; '' for None."""
    return _OF_CONDITIONS[condition] if condition else ""


def teach_again(names: Sequence[str]) -> str:
    """Return the request to teach these things again; '' for none of them."""
    others = f" {AND_OTHERS}" if len(names) > MOST_NAMES else ""
    return f"{TEACH_AGAIN} {', '.join(names[:MOST_NAMES])}{others}." if names else ""


def code_of(condition: Condition | None) -> str | None:
    """Return the condition in one word for programs, such as 'dark'; None for None."""
    return condition.name.lower() if condition else None


@dataclass
class _Topic:
    well: str = ""
    """Sentence for when all is well again; empty: none."""
    now: str = ""
    """Sentence for the current state; empty: all is well."""
    said: str = ""
    """`now` as it was when edge last spoke about the topic; empty: never spoken, or all was well."""
    heard: str = ""
    """The same, of the last notice that was heard."""
    at_s: dict[str, float] = field(default_factory=dict)
    """Time at which each sentence was said."""
    wait_s: dict[str, float] = field(default_factory=dict)
    """How long each sentence must wait since then."""


class Notices:
    """Pending notices. Topics that are switched off are not said.

    No sentence is said twice within `repeat_s`. If it is about sight or hearing, that time doubles each time it comes
    back soon, up to LONGEST_REPEAT_S: a camera with a loose plug must not make edge talk all day.
    """

    def __init__(self, settings: AloudSettings) -> None:
        self._topics: dict[str, _Topic] = {}
        self._in_the_air: list[_Topic] = []
        self.configure(settings)

    def configure(self, settings: AloudSettings) -> None:
        """Use other settings. Notices that were said still count as said."""
        self._repeat_s = settings.repeat_s
        self._off = {topic for topic, key in _SWITCHES.items() if not getattr(settings, key)}

    def set(self, topic: str, sentence: str, well: str = "") -> None:
        """Set a topic's sentence for its current state. Empty means that all is well: then `well` is said."""
        one = self._topics.setdefault(topic, _Topic(well))
        one.now = sentence
        if not sentence and not one.well:  # its end is not announced: the next occurrence is news
            one.said = one.heard = ""

    def skip(self, topic: str) -> None:
        """Record that a person knows a topic's current state: it was the answer to a request."""
        if topic in self._topics:
            one = self._topics[topic]
            one.said = one.heard = one.now

    def forget(self, topic: str) -> None:
        """Drop a topic: neither its state nor its end is said any more."""
        self._topics.pop(topic, None)

    def see(self, fault: Condition | None, note: Condition | None) -> None:
        """Set the camera's condition: why nothing can be seen, and what makes seeing hard. None: no such problem."""
        self.set("sight", sentence_of(fault), SIGHT_AGAIN)
        self.set("focus", sentence_of(note))

    def once(self, topic: str, sentence: str) -> None:
        """Queue a sentence to be said one time, even if it was said before."""
        one = self._topics.setdefault(topic, _Topic())
        # an event, not a state: if it is not heard, it is not repeated later
        one.now, one.said, one.heard = sentence, "", sentence

    def due(self, now_s: float) -> str:
        """Return the sentence to say now, or ''. It stays the same until `told` is called."""
        for name, topic in self._topics.items():
            sentence = self._sentence(topic)
            due_s = topic.at_s.get(sentence, -math.inf) + topic.wait_s.get(sentence, 0.0)
            if name not in self._off and sentence and now_s >= due_s:
                return sentence
        return ""

    def told(self, sentence: str, now_s: float) -> None:
        """Record that the speaker has begun to say it."""
        for name, topic in self._topics.items():
            if self._sentence(topic) == sentence:
                topic.said = topic.now
                since_s, wait_s = now_s - topic.at_s.get(sentence, -math.inf), topic.wait_s.get(sentence, 0.0)
                soon = since_s < 2 * wait_s and name in _FLAPPING
                longer_s = min(2 * wait_s, LONGEST_REPEAT_S) if soon else 0.0
                topic.at_s[sentence], topic.wait_s[sentence] = now_s, max(longer_s, self._repeat_s)
                self._in_the_air.append(topic)

    def ended(self, *, heard: bool, lasting: bool) -> None:
        """Record the end of the last notice. If unheard, it is said again after `repeat_s` or a `lasting` fault."""
        for topic in self._in_the_air:
            if heard:
                topic.heard = topic.said
            elif not lasting:
                topic.said = topic.heard
        self._in_the_air = []

    def audible_again(self) -> None:
        """Record that the speaker's lasting problem is gone: a state whose notice was not heard is news."""
        for topic in self._topics.values():
            if topic.said != topic.heard and topic not in self._in_the_air:
                topic.said = topic.heard
                topic.at_s.clear()

    @staticmethod
    def _sentence(topic: _Topic) -> str:
        if topic.now == topic.said:
            return ""
        return topic.now or topic.well
