"""The requests of the control socket: checks each, carries it out, and makes the answer.

It answers in the socket's thread, at once, even while the loop is busy.
"""

import base64
import logging
from collections.abc import Callable, Mapping
from typing import Any

from edge.announce.adjustments import VOLUMES
from edge.announce.english import plain
from edge.daemon.control_state import Answering, ControlState, Teaching
from edge.daemon.mute_list import Refused
from edge.errors import ModelError
from edge.host.terminal import one_line
from edge.input.actions import Action
from edge.models.taught.listing import knowledge_of, listing
from edge.models.taught.store import TaughtStore

_log = logging.getLogger(__name__)

LONGEST_SNOOZE_S = 7 * 86400.0
FEW_DECISIONS = 10
"""Number of decisions in an answer, if the client names none."""
LONGEST_LABEL = 200
LONGEST_SENTENCE = 300
"""Number of characters; edge speaks for about 20 s then, and names nothing meanwhile."""
_PAUSED = "edge is paused: edge resume opens the camera again"


class ControlCommands:
    """Answers the requests with the help of the control state."""

    def __init__(self, state: ControlState) -> None:
        self._state = state

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Carry out a request {"command": ...} and return the answer; {"error": ...} if that is impossible."""
        command = request.get("command")
        do = _COMMANDS.get(command) if isinstance(command, str) else None
        if do is None:
            return {"error": f"unknown command {command!r}; known: {', '.join(_COMMANDS)}"}
        try:
            return do(self, request)
        except Refused as error:
            return {"error": str(error)}

    def _snooze(self, request: Mapping[str, Any]) -> dict[str, Any]:
        seconds = request.get("seconds")
        if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not 1 <= seconds <= LONGEST_SNOOZE_S:
            raise Refused(f"cannot snooze for {seconds!r} s; give 1 s to 7 days")
        self._state.snooze(seconds)
        return {"until": self._state.snoozed_until()}

    def _wake(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"snoozed": self._state.wake()}

    def _mute(self, request: Mapping[str, Any]) -> dict[str, Any]:
        if request.get("last") is True:
            return self._carry_out(Action.MUTE_LAST)
        muted, lasting = self._state.mutes.mute(_label(request))
        return {"muted": muted, "lasting": lasting}

    def _unmute(self, request: Mapping[str, Any]) -> dict[str, Any]:
        label = _label(request)
        return {"unmuted": label, "lasting": self._state.mutes.unmute(label)}

    def _list_mutes(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"mutes": self._state.mutes.labels}

    def _tell_status(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return self._state.status()

    def _subscribe(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Accept a subscription: from then on the socket sends the events (daemon/control_socket.py)."""
        if not isinstance(frames := request.get("frames", False), bool):
            raise Refused(f"frames: {frames!r} is neither true nor false")
        return {"subscribed": True}

    def _show_picture(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        """Accept a viewer: from then on the socket sends pictures (daemon/control_socket.py)."""
        return {"watching": True}

    def _tell_labels(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"labels": self._state.mutes.known}

    def _examine(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        if self._state.checkup is None:
            raise Refused("edge is starting")
        return self._state.checkup.ask()

    def _tell_missed(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"missed": self._state.missed()}

    def _tell_why(self, request: Mapping[str, Any]) -> dict[str, Any]:
        last = request.get("last", FEW_DECISIONS)
        if isinstance(last, bool) or not isinstance(last, int) or last < 1:
            raise Refused(f"{last!r} is no number of decisions: from 1")
        return {"decisions": self._state.decisions(last)}

    def _pause(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        was, lasting = self._state.set_paused(True)
        return {"was": was, "lasting": lasting}

    def _resume(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        was, lasting = self._state.set_paused(False)
        return {"was": was, "lasting": lasting}

    def _change(self, request: Mapping[str, Any]) -> dict[str, Any]:
        return self._carry_out(Action(request["command"]))

    def _set_volume(self, request: Mapping[str, Any]) -> dict[str, Any]:
        percent, (low, high) = request.get("percent"), (100 * VOLUMES[0], 100 * VOLUMES[1])
        if isinstance(percent, bool) or not isinstance(percent, int | float) or not low <= percent <= high:
            raise Refused(f"{percent!r} is no volume: from {low:.0f} to {high:.0f} percent")
        return self._answering().set_volume(round(percent / 100, 2))

    def _say(self, request: Mapping[str, Any]) -> dict[str, Any]:
        text, urgent = request.get("text"), request.get("urgent", False)
        if not isinstance(urgent, bool):
            raise Refused(f"urgent: {urgent!r} is neither true nor false")
        line = one_line(text) if isinstance(text, str) else ""
        if not any(map(str.isalnum, line)) or len(line) > LONGEST_SENTENCE:
            raise Refused(f"a sentence is a text with a letter or a digit, of at most {LONGEST_SENTENCE} characters")
        return self._answering().say(line, urgent=urgent)

    def _tell_history(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"history": self._state.history.recent()}

    def _aim(self, request: Mapping[str, Any]) -> dict[str, Any]:
        on = request.get("on")
        if on is not None and not isinstance(on, bool):
            raise Refused(f"{on!r} is neither true nor false")
        answering = self._answering()
        if on and self._state.paused:
            raise Refused(_PAUSED)
        return answering.aim(on=on)

    def _teach(self, request: Mapping[str, Any]) -> dict[str, Any]:
        flags = {key: request.get(key, False) for key in ("more", "replace", "cancel")}
        for key, value in flags.items():
            if not isinstance(value, bool):
                raise Refused(f"{key}: {value!r} is neither true nor false")
        if flags.pop("cancel"):
            return self._teaching().cancel()
        return self._teaching().begin(_name(request), **flags)

    def _forget(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            return {"forgotten": TaughtStore(tell=_log.info).forget(_name(request))}
        except ModelError as error:
            raise Refused(str(error)) from error

    def _list_taught(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        store, status = TaughtStore(tell=_log.info), self._state.status()
        try:
            things = listing(store)
        except ModelError as error:
            raise Refused(str(error)) from error
        for thing in things:
            thing["state"] = knowledge_of(thing["name"], status) if "taught" in status else None
        return {"things": things, "folder": str(store.folder)}

    def _teaching(self) -> Teaching:
        if self._state.teaching is None:
            raise Refused("edge is starting")
        return self._state.teaching

    def _press(self, request: Mapping[str, Any]) -> dict[str, Any]:
        try:
            action = Action(str(request.get("action")))
        except ValueError:
            known = ", ".join(Action)
            raise Refused(f"unknown action {request.get('action')!r}; known: {known}") from None
        answering = self._answering()
        answering.on_down()
        answering.on_action(action)
        return {"action": action}

    def _take_snapshot(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        if self._state.paused:
            raise Refused(_PAUSED)
        jpeg = self._state.take_snapshot()
        return {"jpeg": base64.b64encode(jpeg).decode("ascii") if jpeg else None}

    def _take_a_look(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return self._carry_out(Action.LOOK)

    def _carry_out(self, action: Action) -> dict[str, Any]:
        answer = self._answering().carry_out(action)
        if "error" in answer:
            raise Refused(answer["error"])
        return answer

    def _answering(self) -> Answering:
        if self._state.answering is None:
            raise Refused("edge is starting")
        return self._state.answering


def _label(request: Mapping[str, Any]) -> str:
    label = request.get("label")
    if not isinstance(label, str) or not plain(label) or len(label) > LONGEST_LABEL:
        raise Refused(f"a label is a text of at most {LONGEST_LABEL} characters")
    return label


def _name(request: Mapping[str, Any]) -> str:
    name = request.get("name")
    if not isinstance(name, str):
        raise Refused("a name is a text")
    return name


_COMMANDS: dict[str, Callable[[ControlCommands, Mapping[str, Any]], dict[str, Any]]] = {
    "status": ControlCommands._tell_status,
    "snooze": ControlCommands._snooze,
    "wake": ControlCommands._wake,
    "mute": ControlCommands._mute,
    "unmute": ControlCommands._unmute,
    "mutes": ControlCommands._list_mutes,
    "missed": ControlCommands._tell_missed,
    "why": ControlCommands._tell_why,
    "look": ControlCommands._take_a_look,
    "pause": ControlCommands._pause,
    "resume": ControlCommands._resume,
    "snapshot": ControlCommands._take_snapshot,
    "louder": ControlCommands._change,
    "quieter": ControlCommands._change,
    "faster": ControlCommands._change,
    "slower": ControlCommands._change,
    "history": ControlCommands._tell_history,
    "aim": ControlCommands._aim,
    "press": ControlCommands._press,
    "teach": ControlCommands._teach,
    "taught": ControlCommands._list_taught,
    "forget": ControlCommands._forget,
    "say": ControlCommands._say,
    "volume": ControlCommands._set_volume,
    "doctor": ControlCommands._examine,
    "labels": ControlCommands._tell_labels,
    "subscribe": ControlCommands._subscribe,
    "picture": ControlCommands._show_picture,
}
