"""Commands that tell the running edge something, or do what a key does."""

import argparse
from collections.abc import Mapping
from typing import Any

from edge.announce import mutes
from edge.cli.asking import ask_running, socket_paths
from edge.cli.common import clock
from edge.errors import EX_OK, ControlError, NotRunning, os_reason
from edge.host.control_client import ask

_SILENCES = {"snoozed": "a snooze (edge wake ends it)", "quiet hours": "quiet hours"}


def snooze(options: argparse.Namespace) -> int:
    """edge snooze: say nothing for a while."""
    answer = ask_running(options, command="snooze", seconds=options.duration)
    print(f"Snoozed until {clock(answer['until'])}. edge wake ends it; edge missed lists what was seen.")
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


def _warn(answer: Mapping[str, Any]) -> None:
    if not answer["lasting"]:
        print("This could not be saved: it ends when edge restarts.")
