"""The time of day, for people and for events."""

from datetime import UTC, datetime


def local_time(when: datetime | None = None) -> datetime:
    """Return a time, or the current one, in the local time zone; in UTC if TZ names one that no place has.

    C accepts zones of a day and more, such as XXX+30, and Python does not (ValueError).
    """
    try:
        return (when or datetime.now()).astimezone()
    except (ValueError, OverflowError):
        return when.astimezone(UTC) if when and when.tzinfo else datetime.now(UTC)
