"""Checks of the answers to keys and words: the tones, and volume and rate as they were changed by request."""

import time
from collections.abc import Iterator, Mapping
from typing import Any

from edge.announce.adjustments import Adjustments, adjustments_file
from edge.announce.mutes import state_file
from edge.doctor.finding import Finding, good, warning
from edge.host.installation import edge_command
from edge.settings import Settings
from edge.speech.tones import RISING, TonePlayer

QUIET = 0.25
"""A volume below this is easily taken for silence: 12 dB below the loudest."""


def check_answers(settings: Settings, running: Mapping[str, Any] | None, *, speak: bool) -> Iterator[Finding]:
    """Check the tones, and with `speak` play one; check volume and rate in effect, those of a `running` edge if any."""
    if settings.speech.driver != "log":
        yield _tones(settings, speak=speak and running is None)
    adjustments = Adjustments(adjustments_file(state_file()), settings.speech)
    volume = (running or {}).get("volume", adjustments.volume)
    rate_wpm = (running or {}).get("rate_wpm", adjustments.rate_wpm)
    kept = [
        f"{name} {now:g}, changed by request (settings: {given:g})"
        for name, now, given in (
            ("volume", volume, settings.speech.volume),
            ("rate", rate_wpm, settings.speech.rate_wpm),
        )
        if now != given
    ]
    text = "; ".join(kept) or f"volume {volume:g} and rate {rate_wpm} as in the settings"
    if kept and volume < QUIET:
        yield warning("loudness", text, f"`{edge_command()} louder`, while edge runs")
    else:
        yield good("loudness", text)


def _tones(settings: Settings, *, speak: bool) -> Finding:
    if not settings.input.tones:
        return good("tones", "off: a key is answered in words only ([input] tones)")
    if not speak:
        return good("tones", "on: two notes when a key goes down")
    player = TonePlayer(settings.speech)
    player.play(RISING)
    while player.is_playing():
        time.sleep(0.01)
    return good("tones", "on: two rising notes were played; did you hear them?")
