"""Commands for the running edge: they ask it, tell it something, or do what a key does."""

import argparse
import base64
import os
import re
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from edge.announce import mutes
from edge.cli.common import interruptible, print_json, settings_of
from edge.cli.table import table, wrapped
from edge.errors import EX_OK, ControlError, NotRunning, os_reason
from edge.host.clock import local_time
from edge.host.control_client import SERVICE_SOCKET, ask, control_path
from edge.host.folders import runtime_folder
from edge.input.actions import Action

AIM_EVERY_S = 0.3
"""How often `edge aim` shows a line."""
BAR = 40
"""Width of its bar, in characters."""
SNAPSHOT_S = 5.0
"""How long a snapshot may take: a large model needs a second for a frame."""
_SILENCES = {"snoozed": "a snooze (edge wake ends it)", "quiet hours": "quiet hours"}
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds(text: str) -> float:
    """Return the seconds of '90s', '30m', '1h30m' or '2d'; a plain number is minutes. Raises ValueError."""
    if re.fullmatch(r"\d{1,6}", text):
        return 60.0 * int(text)
    if not re.fullmatch(r"(?:\d{1,6}[smhd])+", text):
        raise ValueError(text)
    return float(sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smhd])", text)))


def duration(text: str) -> float:
    """Return the seconds of a duration, for argparse."""
    try:
        return seconds(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: write 90s, 30m, 2h or 1h30m") from None


def snooze(options: argparse.Namespace) -> int:
    """edge snooze: say nothing for a while."""
    answer = ask_running(options, command="snooze", seconds=options.duration)
    print(f"Snoozed until {_clock(answer['until'])}. edge wake ends it; edge missed lists what was seen.")
    return EX_OK


def wake(options: argparse.Namespace) -> int:
    """edge wake: end a snooze."""
    print("Awake." if ask_running(options, command="wake")["snoozed"] else "It was already awake.")
    return EX_OK


def mute(options: argparse.Namespace) -> int:
    """edge mute: never say this label; without a label, list the muted ones."""
    label = " ".join(options.label)
    if options.last:
        if label:
            raise ControlError("--last mutes what was said last: give no label with it")
        answer = ask_running(options, command="mute", last=True)
        print(f"Muted: {answer['muted']}. edge unmute undoes it." if answer["muted"] else "There is nothing to mute.")
        _warn(answer)
        return EX_OK
    if not label:
        muted = ask_running(options, command="mutes")["mutes"]
        print("\n".join(muted) if muted else "Nothing is muted. edge mute LABEL mutes a label.")
        return EX_OK
    answer = ask_running(options, command="mute", label=label)
    print(f"Muted: {answer['muted']}. edge unmute undoes it.")
    _warn(answer)
    return EX_OK


def unmute(options: argparse.Namespace) -> int:
    """edge unmute: say this label again; also while no edge runs."""
    label = " ".join(options.label)
    try:
        answer = ask_running(options, command="unmute", label=label)
    except NotRunning:
        if options.socket is not None:
            raise
        print(f"No longer muted: {_unmute_on_disk(label)}. This holds from the next start of edge.")
        return EX_OK
    print(f"No longer muted: {answer['unmuted']}.")
    _warn(answer)
    return EX_OK


def _unmute_on_disk(label: str) -> str:
    """Remove a mute from the user's file or the service's, and return its label. Raises ControlError."""
    muted: list[str] = []
    refusal = ""
    for file in dict.fromkeys((mutes.state_file(), mutes.SERVICE_FILE)):
        try:
            if found := mutes.unmute(file, label):
                return found
            muted += mutes.read_mutes(file)
        except PermissionError:
            refusal = f"{file}: you may not change it: sudo edge unmute {label}"
        except OSError as error:
            raise ControlError(f"{file}: {os_reason(error)}") from error
        except ValueError as error:
            raise ControlError(f"{file} is damaged ({error}); edge renames it at its next start") from error
    if refusal:
        raise ControlError(refusal)
    others = f"; muted are: {', '.join(muted)}" if muted else ""
    raise NotRunning(
        f"edge is not running here, and {label!r} is not muted (mutes in the settings are undone there){others}"
    )


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
        print(wrapped(f"{_clock(one['time'], day=True)}  {what}{silence}{one['because']}", indent=10))
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
                _clock(one["time"], day=True),
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
        rows = [[_clock(one["time"], day=True), one["text"], "" if one["heard"] else "printed"] for one in found]
        print(table(["when", "what", ""], rows))
    else:
        print("Nothing was said in the last hour.")
    return EX_OK


def louder(options: argparse.Namespace) -> int:
    """edge louder: turn the volume up by one step."""
    return _change(options, "louder")


def quieter(options: argparse.Namespace) -> int:
    """edge quieter: turn the volume down by one step."""
    return _change(options, "quieter")


def faster(options: argparse.Namespace) -> int:
    """edge faster: speak faster by one step."""
    return _change(options, "faster")


def slower(options: argparse.Namespace) -> int:
    """edge slower: speak more slowly by one step."""
    return _change(options, "slower")


def _change(options: argparse.Namespace, command: str) -> int:
    answer = ask_running(options, command=command)
    print(f"{answer['text']} Volume {answer['volume']:.0%}, {answer['rate_wpm']} words a minute.")
    _warn(answer)
    return EX_OK


def say_by_running(options: argparse.Namespace, text: str) -> bool:
    """Have the running edge say a text; return False if there is none to ask, unless the flags want one."""
    try:
        answer = ask(socket_paths(options), {"command": "say", "text": text, "urgent": options.urgent})
    except ControlError:
        if options.urgent or options.socket is not None:
            raise
        return False
    if "error" in answer:
        raise ControlError(str(answer["error"]))
    if answer["queued"]:
        print("The running edge says it as soon as it may.")
    else:
        print(f"Not said now, because of {_SILENCES[answer['reason']]}. edge missed lists it.")
    return True


def volume(options: argparse.Namespace) -> int:
    """edge volume: set the volume, or show it."""
    if options.percent is None:
        print(f"Volume {ask_running(options, command='status')['volume']:.0%}.")
        return EX_OK
    answer = ask_running(options, command="volume", percent=options.percent)
    print(f"Volume {answer['volume']:.0%}.")
    _warn(answer)
    return EX_OK


def press(options: argparse.Namespace) -> int:
    """edge press: do what a key for this action does, with its tone and its answer aloud."""
    ask_running(options, command="press", action=" ".join(options.action))
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


def pause(options: argparse.Namespace) -> int:
    """edge pause: close the camera."""
    answer = ask_running(options, command="pause")
    print("The camera is closed. edge resume opens it again.")
    _warn(answer)
    return EX_OK


def resume(options: argparse.Namespace) -> int:
    """edge resume: open the camera again."""
    answer = ask_running(options, command="resume")
    print("The camera is open again." if answer["was"] else "The camera was already open.")
    _warn(answer)
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


def jpeg_file(text: str) -> Path:
    """Return the path of a JPEG file, for argparse."""
    path = Path(text)
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        raise argparse.ArgumentTypeError(f"{text!r}: a snapshot is a JPEG; use a name such as FILE.jpg")
    return path


def add_commands(command: Any) -> None:
    """Add these commands; `command` makes a parser from a function and its help text."""
    for function, text in (
        (status, "show the state of the running edge, and why it is silent"),
        (why, "list what edge saw last, and why it said it or not"),
        (missed, "list what edge would have said while it was silent"),
        (history, "list what was said in the last hour"),
        (look, "print and say what is in view now"),
    ):
        sub = command(function, text)
        sub.add_argument("--json", action="store_true", help="print JSON instead of lines")
        if function is why:
            sub.add_argument(
                "--last", type=int, default=10, metavar="N", help="number of decisions (default: 10; edge keeps 100)"
            )
        add_socket(sub)
    sub = command(snooze, "silence the running edge for a while")
    sub.add_argument(
        "duration",
        nargs="?",
        type=duration,
        default=1800.0,
        metavar="TIME",
        help="how long: 90s, 30m (the default), 2h, 1h30m",
    )
    add_socket(sub)
    add_socket(command(wake, "end a snooze"))
    add_socket(command(aim, "help to aim the camera and turn its lens, by ear, for a minute"))
    for change, text in (
        (louder, "speak louder"),
        (quieter, "speak more quietly"),
        (faster, "speak faster"),
        (slower, "speak more slowly"),
    ):
        add_socket(command(change, text))
    sub = command(volume, "set the volume, or show it")
    sub.add_argument(
        "percent", nargs="?", type=float, metavar="PERCENT", help="from 10 to 100; without it, show the volume"
    )
    add_socket(sub)
    sub = command(press, "do what a key does, with its tone and its answer aloud")
    sub.add_argument("action", nargs="+", metavar="ACTION", help=f"one of: {', '.join(Action)}")
    add_socket(sub)
    add_socket(command(pause, "close the camera"))
    add_socket(command(resume, "open the camera again"))
    sub = command(snapshot, "save the current frame to a file")
    sub.add_argument("file", type=jpeg_file, metavar="FILE.jpg", help="the file to write")
    add_socket(sub)
    sub = command(mute, "never announce a label again, or list the muted labels")
    sub.add_argument(
        "label", nargs="*", metavar="LABEL", help="a label, the words that edge says for it, or a group such as dog"
    )
    sub.add_argument("--last", action="store_true", help="mute what was said last")
    add_socket(sub)
    sub = command(unmute, "announce a muted label again")
    sub.add_argument("label", nargs="+", metavar="LABEL", help="a muted label")
    add_socket(sub)


def add_socket(parser: argparse.ArgumentParser) -> None:
    """Add the flag --socket, which chooses the edge to ask."""
    parser.add_argument(
        "--socket", type=Path, metavar="PATH", help="control socket of the edge to ask (needed if several run)"
    )


def socket_paths(options: argparse.Namespace) -> list[Path]:
    """Return the sockets to try: the one that the flag names, else that of the settings, then the service's."""
    if options.socket is not None:
        return [options.socket]
    own = control_path(settings_of(options).service.control, runtime_folder())
    return [path for path in (own, SERVICE_SOCKET) if path is not None]


def ask_running(options: argparse.Namespace, **request: Any) -> dict[str, Any]:
    """Return the running edge's answer to a request. Raises ControlError if it does not answer, or refuses."""
    answer = ask(socket_paths(options), request)
    if "error" in answer:
        raise ControlError(str(answer["error"]))
    return answer


def _clock(iso: str, *, day: bool = False) -> str:
    when = local_time(datetime.fromisoformat(iso))
    today = when.date() == local_time().date()
    return when.strftime("%H:%M:%S" if day and today else "%H:%M" if today else "%A %H:%M")


def _problem(text: str | None) -> str:
    return f" ({text.rstrip('.')})" if text else ""


def _warn(answer: Mapping[str, Any]) -> None:
    if not answer["lasting"]:
        print("This could not be saved: it ends when edge restarts.")
