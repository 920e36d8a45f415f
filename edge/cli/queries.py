"""Commands that show what the running edge knows and sees."""

import argparse
import base64
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edge.cli.asking import ask_running
from edge.cli.common import clock, interruptible, print_json
from edge.cli.table import table, wrapped
from edge.errors import EX_OK, ControlError

AIM_EVERY_S = 0.3
"""How often `edge aim` shows a line."""
BAR = 40
"""Width of its bar, in characters."""
SNAPSHOT_S = 5.0
"""How long a snapshot may take: a large model needs a second for a frame."""


def status(options: argparse.Namespace) -> int:
    """edge status: show the state of the running edge."""
    answer = ask_running(options, command="status")
    if options.json:
        print_json(answer)
        return EX_OK
    if answer.get("starting"):
        print(f"edge {answer['version']}, process {answer['pid']}, is starting.")
        return EX_OK
    calibrated = "" if answer.get("calibrated") else ", uncalibrated"
    rows = [
        ["model", f"{answer.get('model')}, run by {answer.get('engine')}{calibrated}"],
        ["camera", f"{answer.get('camera')}{_problem(answer.get('sight'))}"],
        ["speed", f"{answer.get('frames_per_second', 0):.1f} frames a second, {answer.get('frames', 0)} in all"],
        ["voice", f"{answer.get('speech')}{_problem(answer.get('sound'))}"],
        ["in view", answer.get("in_view_text") or answer.get("in_view") or "nothing it would name"],
        ["last words", answer.get("last_words") or "none yet"],
    ]
    if keys := (answer.get("input") or {}).get("keys"):
        rows.append(["keys", f"{', '.join(keys['devices']) or 'none'}{_problem(keys['problem'])}"])
    if word := (answer.get("input") or {}).get("wake_word"):
        rows.append(["microphone", _microphone(word)])
    if watched := answer.get("watched"):
        rows.append(["picture", f"SHOWN to {watched} program{'' if watched == 1 else 's'}: somebody is looking"])
    if lesson := answer.get("teaching"):
        rows.append(["learns", f"{lesson['name']}: {lesson['phase']}, {lesson['done']} of {lesson['wanted']}"])
    if answer["mutes"]:
        rows.append(["muted", ", ".join(answer["mutes"])])
    print(table(["edge", f"{answer.get('version')}, process {answer.get('pid')}"], rows))
    if (why := answer.get("silent_because")) and not why["said"]:
        print(wrapped(f"silent because {why['because']}", indent=2))
    return EX_OK


def _microphone(wake_word: Mapping[str, Any]) -> str:
    """Return whether a microphone is open, from the wake word's part of the status."""
    if wake_word.get("problem"):
        return f"closed{_problem(wake_word['problem'])}"
    if not wake_word.get("open"):
        return "closed"
    return f"OPEN, {wake_word['microphone']}, for the word {wake_word['word']}; no sound is kept or sent"


def why(options: argparse.Namespace) -> int:
    """edge why: tell what was seen, and why it was said or not."""
    found = ask_running(options, command="why", last=options.last)["decisions"]
    if options.json:
        print_json(found)
        return EX_OK
    for one in found:
        what = f"{one['label']} ({one['probability']:.0%}), " if one["label"] else ""
        silence = "not said: " if one["label"] and not one["said"] else ""
        print(wrapped(f"{clock(one['time'], day=True)}  {what}{silence}{one['because']}", indent=10))
    if not found:
        print("Nothing has been in view yet. edge status tells why it is silent.")
    return EX_OK


def missed(options: argparse.Namespace) -> int:
    """edge missed: list what was recognised during silence."""
    found = ask_running(options, command="missed")["missed"]
    if options.json:
        print_json(found)
    elif found:
        rows = [
            [
                clock(one["time"], day=True),
                one.get("text") or one["label"],
                "" if one["probability"] is None else f"{one['probability']:.0%}",
                one["reason"],
            ]
            for one in found
        ]
        print(table(["when", "what", "sure", "why it was not said"], rows))
    else:
        print("Nothing was missed.")
    return EX_OK


def history(options: argparse.Namespace) -> int:
    """edge history: list what was said in the last hour."""
    found = ask_running(options, command="history")["history"]
    if options.json:
        print_json(found)
    elif found:
        rows = [[clock(one["time"], day=True), one["text"], "" if one["heard"] else "printed"] for one in found]
        print(table(["when", "what", ""], rows))
    else:
        print("Nothing was said in the last hour.")
    return EX_OK


def aim(options: argparse.Namespace) -> int:
    """edge aim: tell for a minute, aloud and in lines, how sharp, light and still the picture is."""
    answer = ask_running(options, command="aim", on=True)
    lines = 0
    try:
        with interruptible():
            while answer["aiming"]:
                print(_aim_line(answer), flush=True)
                lines += 1
                time.sleep(AIM_EVERY_S)
                answer = ask_running(options, command="aim")
    except KeyboardInterrupt:
        ask_running(options, command="aim", on=False)
    print("Aiming has ended.")
    return EX_OK


def _aim_line(answer: Mapping[str, Any]) -> str:
    """Return the sharpness as a bar, whose whole width is the best so far, and its other values."""
    share = answer["sharpness"] / answer["best"] if answer["best"] else 0.0
    bar = "#" * round(BAR * min(share, 1.0))
    still = "" if answer["still"] else ", moving"
    word = f', "{answer["word"]}"' if answer["word"] else ""
    return f"{answer['left_s']:4.0f} s  {bar:{BAR}}  {min(share, 1.0):4.0%} of the best; {answer['light']}{still}{word}"


def look(options: argparse.Namespace) -> int:
    """edge look: print and say what is in view now."""
    answer = ask_running(options, command="look")
    if options.json:
        print_json(answer)
    else:
        share = f" ({answer['probability']:.0%})" if answer.get("probability") else ""
        print(f"{answer.get('text') or 'It has not seen anything yet.'}{share}")
    return EX_OK


def snapshot(options: argparse.Namespace) -> int:
    """edge snapshot: save the current frame to a file."""
    until_s = time.monotonic() + SNAPSHOT_S
    while not (jpeg := ask_running(options, command="snapshot")["jpeg"]):
        if time.monotonic() > until_s:
            raise ControlError("there is no frame: edge status shows why nothing can be seen")
        time.sleep(0.05)
    file: Path = options.file
    new = file.with_name(f".{file.name}.{os.getpid()}")
    try:
        new.write_bytes(base64.b64decode(jpeg))
        new.replace(file)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise ControlError(f"{file}: {error.strerror or error}") from error
    print(f"{file}: the current frame.")
    return EX_OK


def _problem(text: str | None) -> str:
    return f" ({text.rstrip('.')})" if text else ""
