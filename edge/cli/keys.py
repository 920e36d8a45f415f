"""`edge keys`: show which keys are pressed and what they ask for, or learn the keys of a device."""

import argparse
import dataclasses
import os
import select
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from edge.cli.common import interruptible, settings_of
from edge.cli.table import table
from edge.config import DEFAULT_PATH
from edge.errors import EX_OK, ConfigError
from edge.host.installation import edge_command
from edge.host.terminal import printable
from edge.input.actions import Action
from edge.input.device import InputDevice, open_fault
from edge.input.keymap import AUTO, KeyMap, name_of, read_keymap
from edge.input.learn import input_lines, write_input
from edge.input.patterns import Pattern
from edge.input.watch import FOLDER, KeyWatch, Pressed
from edge.settings import InputSettings

MEANINGS = {
    Action.LOOK: "say what is in view",
    Action.MISSED: "say what was missed",
    Action.SNOOZE: "be quiet for half an hour, or speak again",
    Action.PAUSE: "close the camera, or open it",
    Action.LOUDER: "speak louder",
    Action.QUIETER: "speak more quietly",
    Action.FASTER: "speak faster",
    Action.SLOWER: "speak more slowly",
    Action.MUTE_LAST: "never again say the label that was said last",
    Action.AIM: "help to aim the camera, by ear",
    Action.HISTORY: "say what was said in the last hour",
}
_FEW_KEYS = 3
"""Number of keys of a device that are shown by name."""
_LEARN_S = 10.0
"""How long `--learn` waits for a key before it asks for the next."""
_STEP_S = 0.1


def keys(options: argparse.Namespace) -> int:
    """edge keys: show keys and their actions, or learn them."""
    settings = settings_of(options)
    mine = settings.input
    keymap = read_keymap(mine)
    if options.write and not options.learn:
        raise ConfigError("--write: only works with --learn; give both")
    if options.learn:
        return _learn(options, mine, keymap)
    wanted = tuple(options.device or mine.devices)
    _print_devices(wanted, keymap, every=options.all)
    if not wanted:
        print('[input] devices is empty, so edge reads no keys. This shows what devices = ["auto"] would do.')
    return _show(wanted or (AUTO,), mine, keymap, every=options.all, seconds=options.seconds)


def _show(wanted: Sequence[str], settings: InputSettings, keymap: KeyMap, *, every: bool, seconds: float | None) -> int:
    """Print what is pressed until Ctrl-C, or for some seconds."""

    def pressed(press: Pressed) -> None:
        meaning = f"{press.action}: {MEANINGS[press.action]}" if press.action else "no action"
        _say(f"{_clock()}  {press.device}  {name_of(press.code)} {press.pattern}  ->  {meaning}")

    watch = KeyWatch(
        wanted,
        keymap,
        lambda device, code: _say(f"{_clock()}  {device}  {name_of(code)} goes down"),
        pressed,
        every_key=True,
        every_device=every,
    )
    if settings.grab:
        _say("[input] grab is set: while edge runs, it alone gets the keys, and nothing is shown here.")
    _say("Press a key. Ctrl-C ends.")
    told: tuple[Sequence[str], str] = ((), "")
    until_s = float("inf") if seconds is None else time.monotonic() + seconds
    try:
        with interruptible():
            while (left_s := until_s - time.monotonic()) > 0:
                watch.step(time.monotonic, min(_STEP_S, left_s))
                if (watch.devices, watch.problem) != told:
                    told = (watch.devices, watch.problem)
                    if watch.devices:
                        _say(f"{_clock()}  reading {', '.join(watch.devices)}")
                    if watch.problem:
                        _say(f"{_clock()}  {watch.problem}; waiting for it")
    except KeyboardInterrupt:
        pass
    finally:
        watch.close()
    return EX_OK


def _print_devices(wanted: Sequence[str], keymap: KeyMap, *, every: bool) -> None:
    """Print the input devices that have keys, and whether edge reads each."""
    rows = []
    for path in sorted(FOLDER.glob("event*"), key=lambda path: (len(path.name), path.name)):
        try:
            device = InputDevice(path)
        except OSError as error:
            rows.append([str(path), "?", "", open_fault(error)])
            continue
        device.close()
        if device.keys:
            few = len(device.keys) <= _FEW_KEYS
            count = ", ".join(map(name_of, sorted(device.keys))) if few else f"{len(device.keys)} keys"
            rows.append([str(path), device.name, count, _is_read(device, wanted, keymap, every=every)])
    if rows:
        print(printable(table(["device", "name", "keys", "read by edge"], rows)) + "\n")
    else:
        print(f"This machine has no input device with keys ({FOLDER}/event*) yet.\n")


def _is_read(device: InputDevice, wanted: Sequence[str], keymap: KeyMap, *, every: bool) -> str:
    if every:
        return "yes, for now: --all"
    for one in wanted:
        if one.casefold() == device.name.casefold() or (one.startswith("/") and _same(one, device.path)):
            return "yes, by name" if not one.startswith("/") else "yes, by path"
    if keymap.accepts(device.keys, has_axes=device.has_axes):
        return "yes, by auto" if AUTO in wanted else 'no; "auto" would'
    return "no; if you want it, name it"


def _same(wanted: str, path: Path) -> bool:
    try:
        return Path(wanted).samefile(path)
    except OSError:
        return False


# ---- learning


def _learn(options: argparse.Namespace, settings: InputSettings, keymap: KeyMap) -> int:
    """Ask for a key for each action, and print or write the settings."""
    pressed: list[Pressed] = []
    # every key of every device, in every pattern; a mouse is no remote
    every = {code: dict.fromkeys(Pattern, Action.LOOK) for code in range(1, 0x300) if not 0x110 <= code < 0x160}
    wanted = tuple(options.device or ())
    watch = KeyWatch(
        wanted,
        dataclasses.replace(keymap, own=every),
        lambda _device, code: _say(f"  {name_of(code)} ..."),
        pressed.append,
        every_device=not wanted,
    )
    learned: dict[str, Action] = {}
    device = ""
    reader = _Lines()
    _say(
        "Press the key for each action: once, twice, long or held. Enter skips an action, and so does waiting "
        f"for {_LEARN_S:g} s. Ctrl-C ends the questions."
    )
    try:
        with interruptible():
            for action, meaning in MEANINGS.items():
                _say(f"{action}: {meaning}?")
                press = _await(watch, pressed, reader, device)
                if press is None:
                    continue
                device = press.device
                name = name_of(press.code) + ("" if press.pattern is Pattern.PRESS else f" {press.pattern}")
                if name in learned:
                    _say(f"  {name} is {learned[name]} already; {action} is skipped")
                    continue
                learned[name] = action
                _say(f"  {name} on {device}")
    except KeyboardInterrupt:
        print()
    finally:
        watch.close()
    if not learned:
        _say(watch.problem or "No key was pressed: nothing was learned.")
        return EX_OK
    return _finish(options, settings, device, learned)


def _finish(options: argparse.Namespace, settings: InputSettings, device: str, learned: dict[str, Action]) -> int:
    name = device if not device.startswith("/") else str(Path(device).resolve())
    devices = list(dict.fromkeys((*settings.devices, *(options.device or [name]))))
    # what was set for a learned key before is replaced in all patterns
    mine = {one.split()[0] for one in learned}
    kept = {one: action for one, action in settings.keys.items() if one.split()[0].upper() not in mine}
    values = {"devices": devices, "keys": {**kept, **{one: str(action) for one, action in learned.items()}}}
    file = options.config or DEFAULT_PATH
    if options.write:
        write_input(file, values)
        print(f"{file}: written. `sudo systemctl reload edge` lets the service use it.")
    else:
        print("\n[input]", *input_lines(values), sep="\n")
        print(f"\nWrite these lines into {file}, or run `{edge_command()} keys --learn --write` as root.")
    return EX_OK


def _await(watch: KeyWatch, pressed: list[Pressed], reader: "_Lines", device: str) -> Pressed | None:
    """Return the next press, on this device if it is not ''; None if Enter was pressed, or none came in time."""
    pressed.clear()
    until_s = time.monotonic() + _LEARN_S
    while (left_s := until_s - time.monotonic()) > 0:
        watch.step(time.monotonic, min(_STEP_S, left_s))
        for press in pressed:
            if press.device == (device or press.device):
                return press
        if reader.has_line():
            return None
    return None


class _Lines:
    """Lines from standard input, without waiting for one."""

    def __init__(self) -> None:
        self._open = True

    def has_line(self) -> bool:
        """Return True if Enter was pressed since the last call."""
        if not self._open or not select.select([sys.stdin.fileno()], [], [], 0)[0]:
            return False
        data = os.read(sys.stdin.fileno(), 4096)
        self._open = data != b""
        return b"\n" in data


def _clock() -> str:
    return time.strftime("%H:%M:%S")


def _say(line: str) -> None:
    print(printable(line), flush=True)
