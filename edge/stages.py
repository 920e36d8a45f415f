"""The data that passes through edge, and the interfaces of camera, classifier and speaker. READ FIRST.

A camera makes a `Frame`. A classifier turns it into `Prediction`s. Now and then the announcer (announce/announcer.py)
turns those into an `Announcement`. A speaker says it and reports the `Outcome` later. The loop in pipeline.py connects
them.
"""

import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ForwardRef, Protocol

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]
else:  # the process of the voice does without numpy
    Pixels = ForwardRef("NDArray[np.uint8]")
"""A picture: uint8 H x W x 3, in the order red, green, blue, each 0..255."""

INTERRUPTED, TOO_LATE = "interrupted", "too late"
"""Reasons of an outcome that are no fault: another announcement was more urgent, or this one was outdated."""

TAUGHT = "taught:"
"""How the id of a thing begins that the user has taught."""


def is_taught(identity: str) -> bool:
    """Return True for the id of a thing that the user has taught; any other id is the model's."""
    return identity.startswith(TAUGHT)


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture and when it was taken."""

    pixels: Pixels
    sequence: int
    """Number of the camera's frame, from 0. A gap means frames that were dropped because the loop was busy."""
    captured_s: float
    """When the sensor captured it, in seconds of `time.monotonic()`."""
    media_s: float | None = None
    """Its time in its file or clip, in seconds from the beginning; None for a live source."""
    shown_s: float = 0.0
    """How long it stays in view, for a frame that comes only once: an image of a folder. 0: until the next frame."""


class Condition(enum.Enum):
    """Reason why the camera sees nothing; BLURRED is noted, but is no fault."""

    DARK = enum.auto()
    BRIGHT = enum.auto()
    COVERED = enum.auto()
    FROZEN = enum.auto()
    LOST = enum.auto()
    BLURRED = enum.auto()


@dataclass(frozen=True, slots=True)
class Prediction:
    """One label and the probability that the model gives it, 0..1."""

    id: str
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Group:
    """Labels that share one common word, such as the breeds of dogs."""

    id: str
    name: str
    members: frozenset[str]
    """Ids of the labels."""
    collective: bool = False
    """True if the members are not named one by one: which clothes they are is guesswork while a person wears them."""


@dataclass(frozen=True, slots=True)
class Term:
    """A label or a group that is to be named in a sentence."""

    label: str
    """The model's label, or the group's name."""
    id: str = ""
    """Its id; empty if only the label is known."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """Something worth saying now."""

    id: str
    label: str
    probability: float
    text: str
    """The exact sentence to say."""
    expires_s: float = math.inf
    """Time, in seconds of time.monotonic(), after which it is not begun any more."""
    interrupts: bool = False
    """True if it interrupts the announcement being spoken."""
    labels: tuple[str, ...] = ()
    """The labels or groups that the sentence names, by their stored names."""
    form: str = ""
    """What it claims: 'label', 'group', 'maybe' or 'not_sure'; empty if it is about edge itself."""
    given: bool = False
    """True if another program gave the sentence."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Result of an announcement that a speaker accepted."""

    announcement: Announcement
    heard: bool
    """True only if the sound was played to its end. Printing does not count."""
    reason: str = ""
    """Why it was not heard, in a few words for a person; empty if it was."""
    printed: bool = False
    """True if it was printed on purpose instead of spoken."""
    lasting: bool = False
    """True if nothing can be heard until the speaker's `problem` is gone: trying again is useless."""

    @property
    def delivered(self) -> bool:
        """Return True if it was heard, or printed on purpose."""
        return self.heard or self.printed


@dataclass(frozen=True, slots=True)
class Timing:
    """Latency of the last `classify`, in seconds. `inference_s` includes copying out the result."""

    preprocess_s: float
    inference_s: float


class EndOfFrames(Exception):  # noqa: N818 - like StopIteration it is no error
    """Raised when a file, folder or clip has been played to its end."""


class Camera(Protocol):
    """A source of frames. It is open when created; `close` may be called twice."""

    description: str
    """Name for people: 'the demo clip', 'USB camera 0 (/dev/video0)'."""
    live: bool
    """True if it shows the world now, False for a file, a folder or a clip."""

    def read(self, timeout_s: float) -> Frame | None:
        """Return the newest frame that has not been returned yet, or None if none came within `timeout_s`.

        Raises EndOfFrames after the last frame of a file or folder, CameraError if the source is lost.
        """

    def close(self) -> None:
        """Release the device."""


class Classifier(Protocol):
    """A model with its labels."""

    name: str
    engine: str
    """Inference engine, such as 'mxnet' or 'onnx int8'."""
    timing: Timing
    calibrated: bool
    """True if its probabilities were fitted so that 0.9 means right nine times in ten."""
    independent: bool
    """True if each label has an independent probability; else the labels exclude each other and add up to 1."""

    def classify(self, frame: Frame) -> list[Prediction]:
        """Return the most probable labels, best first (how many is set at opening)."""

    def close(self) -> None:
        """Free the model's memory."""


class Speaker(Protocol):
    """Says one announcement at a time."""

    @property
    def description(self) -> str:
        """Return its name for people."""

    @property
    def problem(self) -> str:
        """Return why nothing can be heard for now, in a few words; '' if there is no known problem."""

    def say(self, announcement: Announcement) -> bool:
        """Begin to say it and return True at once; False if busy. Nothing is queued: late words are wrong words."""

    def poll(self) -> list[Outcome]:
        """Return, without waiting, the outcomes that became known since the last call."""

    def interrupt(self) -> None:
        """Stop the current announcement, if any. Its outcome is 'interrupted'; the next `say` is accepted at once."""

    def adjust(self, volume: float, rate_wpm: int) -> None:
        """Use another volume, 0..1, and another rate, in words per minute, from the next announcement on."""

    def close(self) -> None:
        """Stop at once, even in the middle of a word."""
