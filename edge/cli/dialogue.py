"""edge teach without pictures: the running edge learns the thing before its camera, and this follows the dialogue."""

import argparse

from edge.cli.asking import ask_running, socket_paths
from edge.cli.common import interruptible
from edge.cli.progress import Progress, bar
from edge.errors import EX_OK, ControlError, ModelError, NotRunning
from edge.host.control_client import Subscription, ask
from edge.host.terminal import printable

CANCEL_S = 5.0
"""How long a cancelled dialogue may take to end."""
_NAMES = {"empty": "Empty place", "thing": "Views", "learning": "Learning"}


def teach_by_camera(options: argparse.Namespace) -> int:
    """Begin the dialogue, print what edge says, and return when it has ended. Ctrl-C ends it.

    Raises ModelError if the thing was not learnt, and ControlError if edge does not answer or refuses.
    """
    paths = socket_paths(options)
    try:
        events = Subscription(paths)
    except NotRunning as error:
        raise NotRunning(f"{error}; without a camera, --images DIR learns from pictures") from error
    with events, Progress() as progress, interruptible():
        ask_running(options, command="teach", name=options.name, more=options.more, replace=options.replace)
        try:
            return _follow(events, progress, None)
        except KeyboardInterrupt:
            ask(paths, {"command": "teach", "cancel": True})
            return _follow(events, progress, CANCEL_S)


def cancel(options: argparse.Namespace) -> int:
    """edge teach --cancel: end the dialogue that goes on."""
    name = ask_running(options, command="teach", cancel=True)["cancelled"]
    print(printable(f"Stopped learning: {name}. Nothing was changed." if name else "edge is learning nothing now."))
    return EX_OK


def _follow(events: Subscription, progress: Progress, timeout_s: float | None) -> int:
    """Print what edge says until the dialogue has ended. Raises ModelError if nothing was learnt."""
    while (event := events.next(timeout_s)) is not None:
        if event["event"] == "teaching":
            if event["text"]:
                progress.line(event["text"])
            done, wanted = event["done"], event["wanted"]
            progress.show(bar(f"{_NAMES.get(event['phase'], ''):12}", done, wanted, f"{done} of {wanted}"))
        elif event["event"] == "teaching_ended":
            if not event["learnt"]:
                said = (event["text"] or "edge has ended").rstrip(".")
                detail = f" ({event['detail']})" if event["detail"] else ""
                raise ModelError(f"{said}{detail}; nothing was changed")
            print(printable(f"{event['text']} Test: {event['recognised']} of {event['held_back']} views recognised."))
            return EX_OK
    raise ControlError("edge does not answer; edge status shows what it does")
