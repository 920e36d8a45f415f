"""Volume and rate by key: within limits, kept over a restart, and given up when the settings change."""

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.announce.adjustments import RATES_WPM, VOLUMES, Adjustments, adjustments_file
from edge.settings import SpeechSettings

DEFAULTS = SpeechSettings()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return adjustments_file(tmp_path / "state" / "mutes.json")


def test_steps_go_to_the_limits_and_back(file: Path) -> None:
    subject = Adjustments(file, DEFAULTS)
    assert subject.change(volume_steps=1) == (False, True), "it is as loud as it goes"
    volumes = [subject.volume]
    while subject.change(volume_steps=-1)[0]:
        volumes.append(subject.volume)
    assert volumes == [1.0, 0.71, 0.5, 0.35, 0.25, 0.18, 0.13, 0.1]
    while subject.change(volume_steps=1)[0]:
        pass
    assert subject.volume == 1.0
    rates = [subject.rate_wpm]
    while subject.change(rate_steps=1)[0]:
        rates.append(subject.rate_wpm)
    assert rates == [200, 240, 288, 346, 415, 450]
    while subject.change(rate_steps=-1)[0]:
        pass
    assert subject.rate_wpm == 80


def test_a_change_survives_a_restart_and_ends_with_a_change_of_the_settings(file: Path) -> None:
    settings = SpeechSettings(volume=0.8)
    subject = Adjustments(file, settings)
    assert subject.changed() == {}
    assert subject.change(volume_steps=-1, rate_steps=1) == (True, True)
    assert (subject.volume, subject.rate_wpm) == (0.57, 240)
    again = Adjustments(file, settings)
    assert again.changed() == {"volume": (0.57, 0.8), "rate_wpm": (240, 200)}
    # another volume in the settings is the newer wish; the rate was not touched
    again.configure(SpeechSettings(volume=0.9))
    assert (again.volume, again.rate_wpm) == (0.9, 240)
    assert Adjustments(file, dataclasses.replace(settings, rate_wpm=150)).changed() == {"volume": (0.57, 0.8)}


def test_a_silent_voice_can_be_made_louder(file: Path) -> None:
    subject = Adjustments(file, SpeechSettings(volume=0.0))
    assert subject.volume == 0.0
    assert subject.change(volume_steps=-1) == (False, True)
    subject.change(volume_steps=1)
    assert subject.volume == VOLUMES[0]


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{",
        "\x00",
        '{"volume": 1}',
        '{"volume": {"now": "x", "settings": 1}}',
        '{"volume": {"now": 7, "settings": 1.0}}',
        '{"volume": {"now": true, "settings": 1.0}}',
        '{"rate_wpm": {"now": NaN, "settings": 200}}',
    ],
)
def test_a_damaged_file_changes_nothing(file: Path, content: str) -> None:
    file.parent.mkdir()
    file.write_text(content)
    assert Adjustments(file, DEFAULTS).changed() == {}


def test_a_state_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "state").touch()
    subject = Adjustments(tmp_path / "state" / "adjustments.json", DEFAULTS)
    assert subject.change(volume_steps=-1) == (True, False)
    assert subject.volume == 0.71
    assert Adjustments(None, DEFAULTS).change(rate_steps=1) == (True, False)


@given(st.lists(st.tuples(st.integers(-3, 3), st.integers(-3, 3)), max_size=30))
def test_no_sequence_leaves_the_limits(steps: list[tuple[int, int]]) -> None:
    subject = Adjustments(None, DEFAULTS)
    for volume_steps, rate_steps in steps:
        subject.change(volume_steps=volume_steps, rate_steps=rate_steps)
        assert VOLUMES[0] <= subject.volume <= VOLUMES[1]
        assert RATES_WPM[0] <= subject.rate_wpm <= RATES_WPM[1]
    json.dumps([subject.volume, subject.rate_wpm])
