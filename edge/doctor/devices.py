"""Checks of the camera and the sound card, used as the daemon uses them."""

import dataclasses
import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from edge.announce.notices import sentence_of
from edge.cameras import open_lasting
from edge.doctor.finding import Finding, fault, good, warning
from edge.errors import CameraError, SpeechError
from edge.host.installation import edge_command
from edge.host.sound_cards import find_cards
from edge.settings import CameraSettings, SpeechSettings
from edge.speech import open_speaker, say_and_wait
from edge.speech.sound import find_aplay, player, probe
from edge.stages import Announcement, EndOfFrames, Frame, Pixels
from edge.vision.thumbnail import make_thumbnail
from edge.vision.visibility import fault as why_nothing_is_seen

LOOK_S = 3.0
"""How long frames are counted."""
SENTENCE = "This is edge. If you hear this, the sound works."
_COLOURED = 20.0
"""Least difference between the channels' means (of 255) for a colour; below it is grey."""


def check_camera(settings: CameraSettings, running: Mapping[str, Any] | None) -> Iterator[Finding]:
    """Check frames, frame rate, brightness and colour; if an edge is `running`, it has the camera: use its status."""
    if running is not None:
        yield camera_in_use(running)
        return
    try:
        # the user waits for an answer: do not wait for a camera
        camera = open_lasting(dataclasses.replace(settings, wait=False))
    except CameraError as error:
        yield fault("camera", str(error))
        return
    try:
        frames = []
        until_s = time.monotonic() + LOOK_S
        while (left_s := until_s - time.monotonic()) > 0:
            if (frame := camera.read(left_s)) is not None:
                frames.append(frame)
    except EndOfFrames:
        pass
    except CameraError as error:
        yield fault("camera", str(error))
        return
    finally:
        camera.close()
    if not camera.live and settings.source == "auto":
        # the service waits for a camera, and says nothing until then
        found = fault if settings.wait else warning
        yield found("camera", "no camera was found", "plug in a CSI or USB camera, or set [camera] source")
        if settings.wait:
            return
    yield from _judge(frames, camera.description, live=camera.live)


def camera_in_use(running: Mapping[str, Any]) -> Finding:
    """Return the finding about the camera of a running edge, by its status."""
    what = f"{running.get('camera')}, in use by the running edge (process {running.get('pid')})"
    if running.get("paused"):
        advice = f"`{edge_command()} resume` opens the camera again"
        return warning("camera", "the running edge is paused", advice)
    if visibility := running.get("sight"):
        return fault("camera", f"{what}: {visibility}", "check its cable, its lens and the light")
    if not running.get("frames"):
        return warning("camera", f"{what}: no frame yet", "wait a moment and run this again")
    return good("camera", f"{what}, {running.get('frames_per_second', 0):.1f} frames a second")


def _judge(frames: list[Frame], description: str, *, live: bool) -> Iterator[Finding]:
    if not frames:
        yield fault("camera", f"{description}: no frame within {LOOK_S:g} s", "check its cable")
        return
    pixels = frames[-1].pixels
    height, width = pixels.shape[:2]
    span_s = frames[-1].captured_s - frames[0].captured_s
    rate = f", {(len(frames) - 1) / span_s:.0f} frames a second" if span_s > 0 else ""
    yield good("camera", f"{description}: {width} x {height}{rate}")
    brightness = float(np.mean(pixels))
    if live and (reason := why_nothing_is_seen(make_thumbnail(pixels))):
        yield fault(
            "picture",
            f"{sentence_of(reason).rstrip('.')} (mean brightness {brightness:.0f} of 255)",
            "check the lens and the light",
        )
        return
    yield good(
        "picture",
        f"mean brightness {brightness:.0f} of 255; the middle is {_colour(pixels)}"
        + (" (hold something red there: if this says blue, the colours are swapped)" if live else ""),
    )


def _colour(pixels: Pixels) -> str:
    """Return the rough colour of the middle of a picture."""
    height, width = pixels.shape[:2]
    middle = pixels[height * 3 // 8 : height * 5 // 8 + 1, width * 3 // 8 : width * 5 // 8 + 1]
    means = middle.reshape(-1, 3).mean(axis=0)
    names = {
        **{(True, False, False): "red", (False, True, False): "green", (False, False, True): "blue"},
        **{(True, True, False): "yellow", (True, False, True): "purple", (False, True, True): "turquoise"},
    }
    if float(means.max() - means.min()) < _COLOURED:
        return "grey"
    red, green, blue = (bool(value > (means.max() + means.min()) / 2) for value in means)
    return names[red, green, blue]


def check_sound(settings: SpeechSettings, *, speak: bool) -> Iterator[Finding]:
    """Check the voice, the card and its volume; with `speak`, speak a test sentence too."""
    if settings.driver == "log":
        yield good("sound", 'announcements are printed: [speech] driver = "log"')
        return
    cards = find_cards()
    try:
        probe(find_aplay(), settings.device)
        name = settings.device or "ALSA's default"
        yield good("sound", f"{name} works; the cards here: {', '.join(card.id for card in cards) or 'none'}")
    except SpeechError as error:
        yield fault("sound", str(error), f"`{edge_command()} say --list-devices` shows the cards")
    yield from _volume(settings)
    try:
        speaker = open_speaker(settings)
    except SpeechError as error:
        yield fault("voice", str(error))
        return
    try:
        yield good("voice", speaker.description)
        if speak:
            outcome = say_and_wait(speaker, Announcement(id="", label="", probability=1.0, text=SENTENCE))
            if outcome.heard:
                yield good("speaking", f'"{SENTENCE}" was played; did you hear it?')
            else:
                yield fault("speaking", f"nothing could be heard: {outcome.reason}")
    finally:
        speaker.close()


def _volume(settings: SpeechSettings) -> Iterator[Finding]:
    """Check the mixer controls of the card in use."""
    amixer = shutil.which("amixer")
    device = re.search(r"CARD=([^,]+)", " ".join(player("aplay", settings.device)))
    if amixer is None or not find_cards():
        return
    card = ["-c", device[1]] if device else []
    done = subprocess.run(
        [amixer, *card, "scontents"], capture_output=True, encoding="utf-8", errors="replace", check=False, timeout=10
    )
    quiet = quiet_controls(done.stdout)
    if quiet:
        yield warning("volume", f"turned down or off: {', '.join(quiet)}", "`alsamixer`, then `sudo alsactl store`")
    elif levels := re.findall(r"Playback.*?\[(\d+)%\]", done.stdout):
        yield good("volume", f"{', '.join(f'{level} %' for level in dict.fromkeys(levels))}")


def quiet_controls(scontents: str) -> list[str]:
    """Return the playback controls in the output of `amixer scontents` that are off or at 0 %."""
    quiet = []
    for block in re.split(r"(?m)^(?=Simple mixer control )", scontents):
        name = re.match(r"Simple mixer control '([^']*)'", block)
        channels = re.findall(r"(?m)^  [^\n:]+: (?:Playback )?(?:\d+ )?((?:\[[^\]]*\] ?)+)$", block)
        if not name or "pvolume" not in block or not channels:
            continue
        if all("[off]" in channel or "[0%]" in channel for channel in channels):
            quiet.append(name[1])
    return quiet
