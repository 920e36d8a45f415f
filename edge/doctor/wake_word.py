"""Check of the wake word: its package and its microphone."""

import array
from collections.abc import Iterator, Mapping
from typing import Any

from edge.doctor.finding import Finding, fault, good, warning
from edge.errors import InputError, SpeechError
from edge.host.installation import edge_command
from edge.input.detector import Detector
from edge.input.microphone import Microphone, candidates, open_microphone
from edge.settings import InputSettings, SpeechSettings
from edge.speech.sound import find_aplay, probe

LISTEN_S = 1.0
"""How long the microphone is listened to."""
_CHOOSE = "connect one, or set [input] microphone to one that `arecord -L` lists"
_PRIVATE = "what it hears is neither kept nor sent"


def check_wake_word(
    settings: InputSettings, speech: SpeechSettings, running: Mapping[str, Any] | None
) -> Iterator[Finding]:
    """Check the package, and the microphone; if an edge is `running`, it has the microphone: use its status.

    There is no finding if no word is set: then no microphone is ever opened.
    """
    if not settings.word:
        return
    try:
        Detector(settings.word)
        yield good("wake word", f'"{settings.word}" does what the press of a key does')
    except InputError as error:
        text, _, advice = str(error).partition("; ")
        yield fault("wake word", text, advice)
        return
    status = ((running or {}).get("input") or {}).get("wake_word")
    if isinstance(status, Mapping):
        yield microphone_in_use(status, paused=bool((running or {}).get("paused")))
        return
    try:
        microphone = open_microphone(candidates(settings.microphone, speech.device))
    except InputError as error:
        yield fault("microphone", str(error), _CHOOSE)
        return
    try:
        yield _judge(microphone)
        yield from _plays_and_records(microphone, speech)
    except InputError as error:
        yield fault("microphone", str(error))
    finally:
        microphone.close()


def microphone_in_use(status: Mapping[str, Any], *, paused: bool) -> Finding:
    """Return the finding about the microphone of a running edge, by the status of its wake word."""
    if problem := status.get("problem"):
        return fault("microphone", str(problem), _CHOOSE)
    if paused:
        return warning("microphone", "closed: edge is paused", f"`{edge_command()} resume` opens it again")
    if not status.get("open"):
        return warning("microphone", "not open yet", "wait a moment and run this again")
    return good("microphone", f"{status.get('microphone')} is open in the running edge; {_PRIVATE}")


def _judge(microphone: Microphone) -> Finding:
    """Listen for a moment. Raises InputError."""
    samples = array.array("h", microphone.read(LISTEN_S))
    loudest = max(map(abs, samples)) / 32768
    what = f"{microphone.name}: the loudest moment was {loudest:.1%} of full scale; {_PRIVATE}"
    if loudest == 0:
        return warning("microphone", f"{microphone.name} gives only silence", "`alsamixer` shows whether it is muted")
    if loudest >= 1 - 1 / 32768:
        return warning("microphone", f"{what}, and this is too loud", "turn it down in `alsamixer`, page Capture")
    return good("microphone", what)


def _plays_and_records(microphone: Microphone, speech: SpeechSettings) -> Iterator[Finding]:
    """Yield a fault if edge's card can be played on only after the microphone is closed; this closes it then."""
    if speech.driver == "log":
        return
    try:
        probe(find_aplay(), speech.device)
    except SpeechError as error:
        microphone.close()
        try:
            probe(find_aplay(), speech.device)
        except SpeechError:
            return  # the check of the sound reports it
        yield fault(
            "microphone",
            f"{microphone.name}: while it is open, edge cannot be heard: {error}",
            "set [input] microphone to another card",
        )
