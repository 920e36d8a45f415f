"""What travels through the house, and the three stages it passes. READ FIRST.

A camera makes a `Frame`, a classifier makes `Prediction`s of it. Now and then the announcer (announce/announcer.py)
makes an `Announcement` of those. A speaker says it and tells the `Outcome` later. The loop in pipeline.py joins them.
"""

import enum
import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""A picture: uint8 H x W x 3, in the order red, green, blue, each 0..255."""

INTERRUPTED, TOO_LATE = "interrupted", "too late"
"""Reasons of an outcome that are no fault: other words were more urgent, or these were about the past."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One picture and when it was taken."""

    pixels: Pixels
    sequence: int
    """Counts the camera's frames from 0. A gap is a frame that nobody had time for."""
    captured_s: float
    """When the sensor had it, in seconds of `time.monotonic()`."""
    media_s: float | None = None
    """Its own time in the file or clip it comes from, in seconds from the beginning; None for a live source."""
    shown_s: float = 0.0
    """How long it stays in view there, where it comes only once: an image of a folder. 0: the next frame tells."""


class Condition(enum.Enum):
    """What keeps the camera from seeing anything; the last one only from seeing it well."""

    DARK = enum.auto()
    BRIGHT = enum.auto()
    COVERED = enum.auto()
    FROZEN = enum.auto()
    LOST = enum.auto()
    BLURRED = enum.auto()


@dataclass(frozen=True, slots=True)
class Prediction:
    """One label and how probable the network finds it, 0..1."""

    id: str
    label: str
    probability: float


@dataclass(frozen=True, slots=True)
class Group:
    """Labels that people have one word for: the breeds of dogs."""

    id: str
    name: str
    members: frozenset[str]
    """The labels' ids."""


@dataclass(frozen=True, slots=True)
class Term:
    """A label or a group, to be put into words."""

    label: str
    """As the network has it, or the group's name."""
    id: str = ""
    """Empty: nothing but its label is known."""


@dataclass(frozen=True, slots=True)
class Announcement:
    """Something worth saying now."""

    id: str
    label: str
    probability: float
    text: str
    """What is said, word for word."""
    expires_s: float = math.inf
    """In seconds of time.monotonic(): when it has not begun by then, it is not said."""
    interrupts: bool = False
    """Whether what is being said is to be broken off for it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of an announcement that a speaker took."""

    announcement: Announcement
    heard: bool
    """True only when the sound was played to its end. Print is not sound."""
    reason: str = ""
    """Why it was not heard, in a few words for a person; empty when it was."""
    printed: bool = False
    """True when it was put in writing on purpose, instead of sound."""
    lasting: bool = False
    """True when nothing can be heard until the speaker's `problem` is gone: trying again is no use."""

    @property
    def delivered(self) -> bool:
        """Whether it reached a person in the way that was asked for."""
        return self.heard or self.printed


@dataclass(frozen=True, slots=True)
class Timing:
    """How long the last `classify` took, in seconds; `inference_s` ends when the result was copied out."""

    preprocess_s: float
    inference_s: float


class EndOfFrames(Exception):  # noqa: N818 - like StopIteration it is no error
    """A file, folder or clip has been played to its end."""


class Camera(Protocol):
    """A source of frames. Made open; `close` may be called twice."""

    description: str
    """For people: 'the demo clip', 'USB camera 0 (/dev/video0)'."""
    live: bool
    """True when it shows the world now, False for a file, a folder or a clip."""

    def read(self, timeout_s: float) -> Frame | None:
        """Return the newest frame that has not been returned yet, or None when none came within `timeout_s`.

        Raises EndOfFrames after the last frame of a file or folder, CameraError when the source is lost.
        """

    def close(self) -> None:
        """Give the device back."""


class Classifier(Protocol):
    """A network with its labels."""

    name: str
    engine: str
    """What computes, as in 'mxnet' or 'onnx int8'."""
    timing: Timing
    calibrated: bool
    """Whether its probabilities were fitted so that 0.9 means right nine times in ten."""
    independent: bool
    """Whether each label has a probability of its own; else they exclude each other, and come to 1."""

    def classify(self, frame: Frame) -> list[Prediction]:
        """Return the most probable labels, best first (how many is set at opening)."""

    def close(self) -> None:
        """Free the network's memory."""


class Speaker(Protocol):
    """Says one thing at a time."""

    description: str
    problem: str
    """Why nothing can be heard for now, in a few words; empty when words may be tried."""

    def say(self, announcement: Announcement) -> bool:
        """Begin to say it and return True at once; False when busy. Nothing is queued: late words are wrong words."""

    def poll(self) -> list[Outcome]:
        """Return, without waiting, the outcomes that have become known since the last call."""

    def interrupt(self) -> None:
        """Break off what is being said, if anything; its outcome is 'interrupted', and `say` is taken at once."""

    def close(self) -> None:
        """Stop at once, also in the middle of a word."""
