"""What the daemon has open is closed, and what it was loading is not taken for what has killed it."""

import pytest
from doubles import RecordingAnswers

from edge.announce.voice import Voice
from edge.config import load
from edge.daemon.equipment import Equipment
from edge.host.folders import runtime_folder
from edge.models.checkpoint import find_checkpoint

pytestmark = pytest.mark.integration


def ignore(_line: str) -> None:
    """Nobody hears of it."""


def test_the_model_is_closed_and_a_forced_end_leaves_no_mark() -> None:
    settings = load(environment={}, flags={"camera": {"source": "demo"}, "speech": {"driver": "log"}})
    equipment = Equipment(settings, Voice(), ignore, ignore)
    equipment.end_children()  # there are none yet
    equipment.open(RecordingAnswers(), paused=False)
    selector = equipment.selector
    with selector.crash_marker.loading(find_checkpoint("demo")):
        assert list(runtime_folder().glob("loading-*"))
        equipment.end_children()
        assert not list(runtime_folder().glob("loading-*"))
    assert selector.classifier is equipment.classifier
    equipment.close()
    with pytest.raises(AssertionError):
        _ = selector.classifier
    equipment.close()
