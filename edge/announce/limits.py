"""What keeps edge from speaking, in words: for the log at the start, and for `edge doctor`."""

from collections.abc import Iterable
from pathlib import Path

from edge.announce.schedule import MINUTE_S, QUIET_HOURS, Moment, Schedule
from edge.settings import AnnounceSettings, Settings


def limits_in_force(settings: Settings, mutes: Iterable[str], now: Moment) -> list[str]:
    """Return quiet hours, mutes, and a low limit of announcements as texts; an empty list if there are none.

    `mutes` are those of `edge mute`. The limit is low if it is below the default, or below the number of images that a
    folder shows in a minute.
    """
    announce, limits = settings.announce, []
    if announce.quiet_hours:
        in_force = Schedule(announce).silence(now) == QUIET_HOURS
        limits.append(f"quiet hours {announce.quiet_hours}{', in force now' if in_force else ''}")
    if announce.muted:
        limits.append(f"muted in the settings: {', '.join(announce.muted)}")
    if by_command := list(mutes):
        limits.append(f"muted by edge mute: {', '.join(by_command)}")
    images = MINUTE_S / settings.camera.image_s if Path(settings.camera.source).is_dir() else 0.0
    if announce.per_minute < max(images, AnnounceSettings().per_minute):
        shown = f", and {images:.0f} images are shown in one" if announce.per_minute < images else ""
        limits.append(f"no more announcements a minute than per_minute = {announce.per_minute}{shown}")
    return limits
