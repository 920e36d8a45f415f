"""What keeps edge from speaking, as the start and the doctor tell it."""

from pathlib import Path

import pytest
from doubles import at

from edge.announce.limits import limits_in_force
from edge.settings import AnnounceSettings, CameraSettings, Settings


@pytest.mark.parametrize(
    ("announce", "mutes", "told"),
    [
        (AnnounceSettings(), [], []),
        (AnnounceSettings(quiet_hours="22:00-07:00"), [], ["quiet hours 22:00-07:00"]),
        (AnnounceSettings(quiet_hours="11:00-13:00"), [], ["quiet hours 11:00-13:00, in force now"]),
        (AnnounceSettings(muted=("dog", "web site")), [], ["muted in the settings: dog, web site"]),
        (AnnounceSettings(), ["bagel", "cat"], ["muted by edge mute: bagel, cat"]),
        (AnnounceSettings(per_minute=3), [], ["no more announcements a minute than per_minute = 3"]),
        (AnnounceSettings(per_minute=30), [], []),
        (
            AnnounceSettings(quiet_hours="22:00-07:00", muted=("dog",), per_minute=1),
            ["cat"],
            [
                "quiet hours 22:00-07:00",
                "muted in the settings: dog",
                "muted by edge mute: cat",
                "no more announcements a minute than per_minute = 1",
            ],
        ),
    ],
)
def test_limits(announce: AnnounceSettings, mutes: list[str], told: list[str]) -> None:
    assert limits_in_force(Settings(announce=announce), mutes, at(0.0, "12:00")) == told


@pytest.mark.parametrize(
    ("image_s", "told"),
    [(2.0, ["no more announcements a minute than per_minute = 12, and 30 images are shown in one"]), (5.0, [])],
)
def test_a_folder_that_shows_more_than_may_be_said(tmp_path: Path, image_s: float, told: list[str]) -> None:
    settings = Settings(camera=CameraSettings(source=str(tmp_path), image_s=image_s))
    assert limits_in_force(settings, [], at(0.0)) == told
