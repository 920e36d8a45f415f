"""Which keys ask for which actions, and which devices `auto` takes."""

import difflib
import functools
from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass
from importlib import resources

from edge.errors import ConfigError
from edge.input.actions import Action
from edge.input.patterns import Pattern, Times
from edge.settings import InputSettings

AUTO = "auto"
"""Value in [input] devices for every device that has only such keys as remotes, keypads and single buttons have."""
ONE_BUTTON: Mapping[Pattern, Action] = {
    Pattern.PRESS: Action.LOOK,
    Pattern.DOUBLE: Action.MISSED,
    Pattern.LONG: Action.SNOOZE,
    Pattern.HOLD: Action.PAUSE,
}
"""Actions of a device with one key."""
DEFAULT_KEYS: Mapping[str, Action] = {
    # media remotes, headsets, volume knobs
    "KEY_PLAYPAUSE": Action.LOOK,
    "KEY_PLAYCD": Action.LOOK,
    "KEY_PLAY": Action.LOOK,
    "KEY_PAUSECD": Action.SNOOZE,
    "KEY_STOPCD": Action.SNOOZE,
    "KEY_STOP": Action.SNOOZE,
    "KEY_MUTE": Action.SNOOZE,
    "KEY_NEXTSONG": Action.MISSED,
    "KEY_PREVIOUSSONG": Action.HISTORY,
    "KEY_FASTFORWARD": Action.FASTER,
    "KEY_REWIND": Action.SLOWER,
    "KEY_VOLUMEUP": Action.LOUDER,
    "KEY_VOLUMEDOWN": Action.QUIETER,
    # television remotes
    "KEY_OK": Action.LOOK,
    "KEY_SELECT": Action.LOOK,
    "KEY_ENTER": Action.LOOK,
    "KEY_UP": Action.LOUDER,
    "KEY_DOWN": Action.QUIETER,
    "KEY_RIGHT": Action.FASTER,
    "KEY_LEFT": Action.SLOWER,
    "KEY_INFO": Action.MISSED,
    "KEY_RED": Action.MUTE_LAST,
    "KEY_GREEN": Action.AIM,
    "KEY_YELLOW": Action.HISTORY,
    "KEY_BLUE": Action.PAUSE,
    # presenters: forward, back, start or end of the show, black screen
    "KEY_PAGEDOWN": Action.LOOK,
    "KEY_PAGEUP": Action.MISSED,
    "KEY_F5": Action.SNOOZE,
    "KEY_ESC": Action.SNOOZE,
    "KEY_B": Action.PAUSE,
    "KEY_DOT": Action.PAUSE,
    # numeric keypads
    "KEY_KPENTER": Action.LOOK,
    "KEY_KP5": Action.LOOK,
    "KEY_KP0": Action.SNOOZE,
    "KEY_KPDOT": Action.PAUSE,
    "KEY_KPPLUS": Action.LOUDER,
    "KEY_KPMINUS": Action.QUIETER,
    "KEY_KP6": Action.FASTER,
    "KEY_KP4": Action.SLOWER,
    "KEY_KP1": Action.MISSED,
    "KEY_KP3": Action.HISTORY,
    "KEY_KP7": Action.MUTE_LAST,
    "KEY_KP9": Action.AIM,
}
"""Actions of the keys of a device with several."""
_ALSO_ON_REMOTES = (
    *(f"KEY_{digit}" for digit in range(10)),
    *(f"KEY_KP{digit}" for digit in range(10)),
    *(f"KEY_NUMERIC_{digit}" for digit in range(10)),
    *(f"KEY_F{number}" for number in range(1, 25)),
    *(f"KEY_PROG{number}" for number in range(1, 5)),
    *(f"BTN_{digit}" for digit in range(10)),
    *("KEY_POWER", "KEY_POWER2", "KEY_SLEEP", "KEY_WAKEUP", "KEY_MENU", "KEY_BACK", "KEY_EXIT", "KEY_HOMEPAGE"),
    *("KEY_EPG", "KEY_PROGRAM", "KEY_FAVORITES", "KEY_CHANNEL", "KEY_CHANNELUP", "KEY_CHANNELDOWN", "KEY_LAST"),
    *("KEY_CONFIG", "KEY_SETUP", "KEY_HELP", "KEY_RECORD", "KEY_EJECTCD", "KEY_PAUSE", "KEY_BOOKMARKS"),
    *("KEY_MICMUTE", "KEY_PHONE", "KEY_SUBTITLE", "KEY_LANGUAGE", "KEY_TEXT", "KEY_TITLE", "KEY_ANGLE", "KEY_CLEAR"),
    *("KEY_NUMLOCK", "KEY_KPSLASH", "KEY_KPASTERISK", "KEY_KPEQUAL", "KEY_KPCOMMA", "KEY_BACKSPACE", "KEY_TAB"),
    *("KEY_ROOT_MENU", "KEY_MEDIA_TOP_MENU", "KEY_NUMERIC_11", "KEY_NUMERIC_12", "KEY_MEDIA", "KEY_TV", "KEY_RADIO"),
)
"""Keys without a default action that `auto` accepts beside others."""
_NO_BUTTON = ("KEY_POWER", "KEY_POWER2", "KEY_SLEEP", "KEY_SUSPEND", "KEY_WAKEUP", "KEY_RESTART")
"""Keys that are no single button for edge: they switch the machine off or on."""
_POINTERS = range(0x10A, 0x160)
"""Codes of buttons of mice, joysticks, gamepads and tablets."""


@functools.cache
def _codes() -> dict[str, int]:
    text = (resources.files("edge") / "data" / "keys.txt").read_text(encoding="utf-8")
    return {line.split()[1]: int(line.split()[0]) for line in text.splitlines() if line[:1].isdigit()}


@functools.cache
def _names() -> dict[int, str]:
    return {code: name for name, code in _codes().items()}


def name_of(code: int) -> str:
    """Return the name of a key, such as 'KEY_VOLUMEUP'; its number if it has none here."""
    return _names().get(code, str(code))


@functools.cache
def _default_keys() -> dict[int, Mapping[Pattern, Action]]:
    return {_codes()[name]: {Pattern.PRESS: action} for name, action in DEFAULT_KEYS.items()}


@functools.cache
def _remote_keys() -> frozenset[int]:
    return frozenset(_default_keys()) | {_codes()[name] for name in _ALSO_ON_REMOTES}


@dataclass(frozen=True)
class KeyMap:
    """The key map in force: that of the settings, and the defaults for all other keys."""

    own: Mapping[int, Mapping[Pattern, Action]]
    """Actions from the settings by key and pattern; an empty mapping: the key does nothing."""
    times: Times

    def actions(self, code: int, device_keys: Set[int]) -> Mapping[Pattern, Action]:
        """Return the actions of a key of a device with these keys, by pattern; empty if it has none."""
        if code in self.own:
            return self.own[code]
        if device_keys == {code}:
            return ONE_BUTTON
        return _default_keys().get(code, {})

    def accepts(self, device_keys: Set[int], *, has_axes: bool) -> bool:
        """Return True if `auto` takes a device with these keys: a single button, a remote or a keypad.

        It takes no keyboard, mouse, touch screen or gamepad, and no power button.
        """
        if has_axes or not device_keys:
            return False
        if len(device_keys) == 1:
            (code,) = device_keys
            return code in self.own or (code not in _POINTERS and name_of(code) not in _NO_BUTTON)
        useful = _default_keys().keys() | self.own.keys()
        return device_keys <= _remote_keys() | self.own.keys() and not useful.isdisjoint(device_keys)


def read_keymap(settings: InputSettings) -> KeyMap:
    """Return the key map of the settings. Raises ConfigError with every fault found."""
    faults: list[str] = []
    own: dict[int, dict[Pattern, Action]] = {}
    for key, wish in settings.keys.items():
        where = f"[input] keys: {key!r} = {wish!r}"
        name, _, way = key.strip().partition(" ")
        code = int(name) if name.isdecimal() else _codes().get(name.upper(), -1)
        if not 0 < code < 0x300:
            faults.append(
                f"{where}: there is no key {name!r}{_nearest(name.upper(), _codes())}; `edge keys` shows names"
            )
            continue
        actions = own.setdefault(code, {})
        way = way.strip() or Pattern.PRESS
        if way not in list(Pattern):
            faults.append(f"{where}: {way!r} is no pattern; known: {', '.join(Pattern)}")
        elif wish not in ["", *Action]:
            faults.append(f"{where}: there is no action {wish!r}{_nearest(wish, Action)}; known: {', '.join(Action)}")
        elif wish:
            actions[Pattern(way)] = Action(wish)
    if settings.hold_s <= settings.long_s:
        faults.append(f"[input] hold_s = {settings.hold_s} must be above long_s = {settings.long_s}")
    if settings.bounce_s >= min(settings.double_s, settings.long_s):
        faults.append(f"[input] bounce_s = {settings.bounce_s} must be below double_s and long_s")
    if faults:
        raise ConfigError(*faults)
    return KeyMap(own, Times(settings.bounce_s, settings.double_s, settings.long_s, settings.hold_s))


def _nearest(word: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {near[0]}?" if near else ""
