"""Check of the limits of speech: quiet hours, mutes, and the most announcements a minute."""

import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from edge.announce.limits import limits_in_force
from edge.announce.mutes import read_mutes, state_file
from edge.announce.schedule import Moment
from edge.doctor.finding import Finding, good, warning
from edge.host.installation import edge_command
from edge.settings import Settings

_LASTING = ("quiet hours", "snoozed", "rate limit", "muted", "muted in settings")
"""Reasons of a silence that lasts, and is no fault."""


def check_silence(settings: Settings, running: Mapping[str, Any] | None) -> Finding:
    """Check quiet hours, mutes and a low limit; a `running` edge also tells why it is silent at this moment."""
    try:
        mutes = running["mutes"] if running is not None else read_mutes(state_file())
    except (OSError, ValueError):
        mutes = []  # the daemon reports it
    limits = "; ".join(limits_in_force(settings, mutes, Moment(time.monotonic(), datetime.now())))
    why = (running or {}).get("silent_because") or {}
    if why.get("reason") in _LASTING:
        return warning(
            "silence",
            f"the running edge is silent because {why['because']}" + (f"; {limits}" if limits else ""),
            f"`{edge_command()} why` tells what was not said",
        )
    if "in force now" in limits:
        return warning("silence", limits, "[announce] quiet_hours sets them")
    return good("silence", limits or "no quiet hours, no mutes, no low limit of announcements")
