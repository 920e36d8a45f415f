"""Watches input devices as they come and go, and reports the patterns in which their keys were pressed.

It is a loop without a thread: keys.py runs it in one for the daemon, and `edge keys` runs it in the terminal.
"""

import math
import select
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from edge.host.backoff import Backoff
from edge.input.actions import Action
from edge.input.device import REPEAT, UP, InputDevice, KeyEvent, open_fault
from edge.input.keymap import AUTO, KeyMap
from edge.input.patterns import Pattern, PatternRecogniser

FOLDER = Path("/dev/input")
SCAN_S = 0.25
"""How often new devices are looked for: a Bluetooth remote that wakes up is a new device."""
LONGEST_WAIT_S = 30.0
"""Longest time between two tries to open a device."""
_Identity = tuple[int, int]
"""Device and inode number of a node: one that was removed and made again is another."""


@dataclass(frozen=True)
class Pressed:
    """A key was pressed in a pattern."""

    device: str
    """Name of its device."""
    code: int
    pattern: Pattern
    action: Action | None
    """The action that this asks for; None: none."""


class KeyWatch:
    """Opens the devices that are wanted, and reads them.

    A device that is missing, or may not be opened, is tried again.
    """

    def __init__(
        self,
        wanted: Sequence[str],
        keymap: KeyMap,
        went_down: Callable[[str, int], object],
        pressed: Callable[[Pressed], object],
        *,
        grab: bool = False,
        every_key: bool = False,
        every_device: bool = False,
        folder: Path = FOLDER,
    ) -> None:
        """Keep the arguments; `step` opens the devices.

        `wanted` has names, paths and AUTO. `went_down` gets the name of the device and the code of the key at the
        moment a key goes down; `pressed` gets its pattern later. With `every_key`, keys without an action are reported
        too; with `every_device`, every device that has keys is wanted.
        """
        self._wanted, self._keymap = tuple(wanted), keymap
        self._went_down, self._pressed = went_down, pressed
        self._grab, self._every_key, self._every_device = grab, every_key, every_device
        self._folder = folder
        self._open: dict[_Identity, _Keys] = {}
        self._unwanted: set[_Identity] = set()
        self._retries: dict[_Identity, _Retry] = {}
        self._scanned_s = -math.inf
        self._poll = select.poll()
        self.devices: tuple[str, ...] = ()
        """Names of the open devices."""
        self.problem = ""
        """Why a device that is wanted is not open, in one line; empty if all are. Known after the first `step`."""

    def watch_also(self, fd: int) -> None:
        """End the wait of `step`, too, when this file descriptor can be read."""
        self._poll.register(fd, select.POLLIN)

    def step(self, clock: Callable[[], float], longest_s: float) -> None:
        """Wait for events, at most `longest_s`, and report them; look for new devices when that is due.

        `clock` is time.monotonic.
        """
        now_s = clock()
        if now_s >= self._scanned_s + SCAN_S:
            self._scan(now_s)
        until_s = min([now_s + longest_s, self._scanned_s + SCAN_S, *(keys.due_s for keys in self._open.values())])
        ready = {fd for fd, _ in self._poll.poll(1000 * max(0.0, until_s - now_s))}
        # every event before this moment is in the kernel's buffer, and is read before the time is advanced to it
        now_s = clock()
        for identity, keys in list(self._open.items()):
            if keys.device.fileno() in ready and not self._read(identity, keys, now_s):
                self._lose(identity, now_s)
                continue
            for code, recogniser in keys.recognisers.items():
                self._tell(keys, code, recogniser.advance(now_s))

    def close(self) -> None:
        """Close the devices; another `step` would open them again. May be called twice."""
        for keys in self._open.values():
            self._poll.unregister(keys.device)
            keys.device.close()
        self._open.clear()
        self.devices = ()

    # ---- keys

    def _read(self, identity: _Identity, keys: "_Keys", now_s: float) -> bool:
        """Take the events that a device has; return False if it is gone."""
        try:
            events = keys.device.read(now_s)
        except OSError:
            return False
        if events:
            self._retries.pop(identity, None)
        for event in events:
            self._take(keys, event)
        return True

    def _take(self, keys: "_Keys", event: KeyEvent) -> None:
        """Pass an event to the recogniser of its key."""
        recogniser = keys.recognisers.get(event.code)
        if recogniser is None:
            actions = self._keymap.actions(event.code, keys.device.keys)
            if not actions and not self._every_key:
                return
            recogniser = PatternRecogniser(actions.keys() or {Pattern.PRESS}, self._keymap.times)
            keys.recognisers[event.code] = recogniser
            if event.code in keys.device.down_at_start:
                recogniser.hold_already(event.at_s)
        self._tell(keys, event.code, recogniser.advance(event.at_s))
        if recogniser.held or event.value == UP:
            patterns = recogniser.change(event.at_s, down=event.value != UP)
        elif event.value == REPEAT:  # it went down unseen
            recogniser.hold_already(event.at_s)
            return
        else:
            self._went_down(keys.device.name, event.code)
            patterns = recogniser.change(event.at_s, down=True)
        self._tell(keys, event.code, patterns)

    def _tell(self, keys: "_Keys", code: int, patterns: Sequence[Pattern]) -> None:
        for pattern in patterns:
            action = self._keymap.actions(code, keys.device.keys).get(pattern)
            self._pressed(Pressed(keys.device.name, code, pattern, action))

    # ---- devices

    def _scan(self, now_s: float) -> None:
        """Open the devices that are new and wanted, and those whose next try is due."""
        self._scanned_s = now_s
        nodes = dict(self._nodes())
        for identity in self._open.keys() - nodes.keys():
            # a device that was unplugged tells it by itself, a node that was only removed does not
            self._read(identity, self._open[identity], now_s)
            self._lose(identity, now_s)
        self._unwanted &= nodes.keys()
        for identity in self._retries.keys() - nodes.keys():
            del self._retries[identity]
        for identity, path in nodes.items():
            retry = self._retries.get(identity)
            if identity in self._open or identity in self._unwanted or (retry and now_s < retry.at_s):
                continue
            try:
                self._try(identity, path)
            except OSError as error:
                error.filename = str(path)
                self._try_later(identity, now_s, open_fault(error))
        self._note(nodes)

    def _nodes(self) -> Iterator[tuple[_Identity, Path]]:
        """Yield the device nodes that may be wanted, each once, with its identity; those named by path come first."""
        paths = [Path(one) for one in self._wanted if _is_path(one)]
        if self._every_device or len(paths) < len(self._wanted):
            paths += sorted(self._folder.glob("event*"))
        found: set[_Identity] = set()
        for path in paths:
            if (identity := _identity(path)) and identity not in found:
                found.add(identity)
                yield identity, path

    def _try(self, identity: _Identity, path: Path) -> None:
        """Open a device, and keep it if it is wanted. Raises OSError."""
        device = InputDevice(path)
        try:
            if not self._wants(device):
                device.close()
                self._unwanted.add(identity)
                return
            if self._grab:
                device.grab()
        except BaseException:
            device.close()
            raise
        self._poll.register(device, select.POLLIN)
        self._open[identity] = _Keys(device)

    def _wants(self, device: InputDevice) -> bool:
        if self._every_device and device.keys:
            return True
        for one in self._wanted:
            if one == AUTO:
                if self._keymap.accepts(device.keys, has_axes=device.has_axes):
                    return True
            elif one == str(device.path) or one.casefold() == device.name.casefold():
                return True
        return False

    def _lose(self, identity: _Identity, now_s: float) -> None:
        """Close a device that is gone. A press that was complete still counts."""
        keys = self._open.pop(identity)
        self._poll.unregister(keys.device)
        keys.device.close()
        for code, recogniser in keys.recognisers.items():
            self._tell(keys, code, [*recogniser.advance(now_s), *recogniser.forget()])
        self._try_later(identity, now_s, f"{keys.device.name}: it is gone")

    def _try_later(self, identity: _Identity, now_s: float, fault: str) -> None:
        retry = self._retries.setdefault(identity, _Retry(fault))
        retry.fault, retry.at_s = fault, now_s + retry.backoff.double()

    def _note(self, nodes: Mapping[_Identity, Path]) -> None:
        """Note which devices are open, and why one that is wanted is not."""
        self.devices = tuple(keys.device.name for keys in self._open.values())
        names = {name.casefold() for name in self.devices}
        missing = [
            one
            for one in self._wanted
            if not (self._open if one == AUTO else one.casefold() in names)
            and not (_is_path(one) and _identity(Path(one)) in self._open)
        ]
        faults = [retry.fault for identity, retry in self._retries.items() if identity in nodes]
        if missing and faults:
            self.problem = faults[0]
        elif missing:
            self.problem = ", ".join("no button, remote or keypad" if one == AUTO else one for one in missing)
            self.problem += " was found" if missing == [AUTO] else ": not found"
        else:
            self.problem = ""


@dataclass
class _Keys:
    """An open device with the recognisers of its keys."""

    device: InputDevice
    recognisers: dict[int, PatternRecogniser] = field(default_factory=dict)

    @property
    def due_s(self) -> float:
        """Time at which a pattern may be complete without another event."""
        return min((recogniser.due_s for recogniser in self.recognisers.values()), default=math.inf)


@dataclass
class _Retry:
    """A device that could not be opened, or was lost."""

    fault: str
    at_s: float = 0.0
    """Time of the next try."""
    backoff: Backoff = field(default_factory=lambda: Backoff(SCAN_S, LONGEST_WAIT_S))


def _is_path(wanted: str) -> bool:
    return wanted.startswith("/")


def _identity(path: Path) -> _Identity | None:
    """Return the identity of a device node; None if it does not exist."""
    try:
        node = path.stat()
    except OSError:
        return None
    return node.st_dev, node.st_ino
