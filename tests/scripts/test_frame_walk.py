"""scripts/frame_walk.py: docs/frame-walk.md shows the real way of a frame."""

import subprocess
import sys
from pathlib import Path

import frame_walk
import numpy as np
import pytest
from frame_walk import ROOT, Call, function_at, inside, sentence, there_and_back, walk

from edge.cameras.pausable import PausableCamera
from edge.cameras.player import Player
from edge.speech.log import LogSpeaker
from edge.stages import Announcement, Frame, Outcome
from edge.vision.thumbnail import make_thumbnail


@pytest.mark.integration
def test_the_walk_is_that_of_a_traced_run() -> None:
    """If it differs: scripts/frame_walk.py --write."""
    command = [sys.executable, str(ROOT / "scripts" / "frame_walk.py")]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert done.stdout == frame_walk.DOCUMENT.read_text(encoding="utf-8")


def test_the_walk_leads_from_a_camera_to_a_speaker_in_few_hops() -> None:
    rows = [line for line in frame_walk.DOCUMENT.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    hops = [row for row in rows if row.split("|")[1].strip().isdigit()]
    assert 5 <= len(hops) <= frame_walk.MOST_HOPS
    assert "(../edge/cameras/" in hops[0]
    assert "(../edge/speech/" in hops[-1]
    assert any("(../edge/engines/" in hop for hop in hops)
    assert any("(../edge/announce/" in hop for hop in hops)


def hop(function: object, arguments: list[object], returned: object, begun: int, ended: int) -> Call:
    code = getattr(function, "__code__")  # noqa: B009 - a function of any kind
    return Call(Path.touch.__code__, code, arguments, begun, ended, returned)


def test_who_only_hears_of_the_frame_is_no_hop() -> None:
    frame = Frame(np.zeros((8, 8, 3), np.uint8), 0, 0.0)
    thumbnail = make_thumbnail(frame.pixels)
    words = Announcement("n1", "guitar", 0.9, "I see a guitar")
    calls = [
        hop(Player.read, [0.1], frame, 1, 2),
        hop(make_thumbnail, [frame.pixels], thumbnail, 3, 4),
        hop(sentence, [frame], None, 5, 6),
        hop(function_at, [17], True, 7, 8),
        hop(LogSpeaker.say, [words], True, 9, 10),
        hop(LogSpeaker.poll, [], [Outcome(words, heard=False, printed=True)], 11, 12),
        hop(LogSpeaker.poll, [], [], 13, 14),
    ]
    assert [call.callee.co_name for call in walk(calls)] == ["read", "make_thumbnail", "say", "poll"]
    there, back = there_and_back(walk(calls))
    assert [call.callee.co_name for call in there] == ["read", "make_thumbnail", "say"]
    assert [call.callee.co_name for call in back] == ["poll"]


def test_inside_a_hop_are_the_calls_of_its_module_during_it() -> None:
    update = hop(function_at, [], None, 10, 20)
    within = Call(function_at.__code__, make_thumbnail.__code__, [], 11, 12)
    again = Call(function_at.__code__, make_thumbnail.__code__, [], 13, 14)
    of_another = Call(Path.touch.__code__, LogSpeaker.say.__code__, [], 15, 16)
    after = Call(function_at.__code__, LogSpeaker.say.__code__, [], 21, 22)
    of_a_property = Call(function_at.__code__, vars(PausableCamera)["waits"].fget.__code__, [], 17, 18)
    assert inside(update, [update, within, again, of_another, of_a_property, after]) == [within]


@pytest.mark.parametrize(
    ("docstring", "first"),
    [
        ("Return it.", "Return it."),
        ("Return it. Raises EdgeError.", "Return it."),
        ("Return 0..1 x 3. . more; and so\non. Then that.", "Return 0..1 x 3. . more; and so on."),
        ("Return it\n\nand more. So.", "Return it"),
    ],
)
def test_the_sentence_of_a_hop_is_the_docstrings_first(docstring: str, first: str) -> None:
    assert sentence(docstring) == first


def test_a_function_without_any_docstring_is_asked_for_one() -> None:
    with pytest.raises(SystemExit, match=r"test_frame_walk\.py:\d+: silent is a hop of a frame, and needs a docstring"):
        function_at(silent.__code__)


def silent() -> None:
    pass
