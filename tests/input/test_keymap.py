"""Which keys ask for what, and which devices `auto` takes."""

import dataclasses

import pytest

from edge.errors import ConfigError
from edge.input.actions import Action
from edge.input.keymap import DEFAULT_KEYS, ONE_BUTTON, name_of, read_keymap
from edge.input.patterns import Pattern
from edge.settings import InputSettings

DEFAULTS = read_keymap(InputSettings())


def codes(*names: str) -> frozenset[int]:
    found = {name_of(code): code for code in range(0x300)}
    return frozenset(found[name] for name in names)


def code(name: str) -> int:
    (found,) = codes(name)
    return found


def with_keys(**keys: str) -> InputSettings:
    return InputSettings(keys={name.replace("__", " "): action for name, action in keys.items()})


LETTERS = [f"KEY_{letter}" for letter in "QWERTYUIOPASDFGHJKLZXCVBNM"]
KEYBOARD = ["KEY_ESC", "KEY_ENTER", "KEY_SPACE", "KEY_LEFTSHIFT", "KEY_UP", "KEY_DOWN", "KEY_PAGEUP", *LETTERS]
MEDIA = ["KEY_VOLUMEUP", "KEY_VOLUMEDOWN", "KEY_MUTE", "KEY_PLAYPAUSE", "KEY_NEXTSONG", "KEY_PREVIOUSSONG"]


@pytest.mark.parametrize(
    ("keys", "taken"),
    [
        (["KEY_F2"], True),  # gpio-key, whatever its key code
        (["KEY_Q"], True),
        (["BTN_0"], True),
        (MEDIA, True),
        (["KEY_VOLUMEUP", "KEY_VOLUMEDOWN"], True),
        ([*MEDIA, "KEY_POWER", *(f"KEY_{digit}" for digit in range(10)), "KEY_OK", "KEY_MENU"], True),
        (["KEY_POWER"], False),  # the Pi 5's own button
        (["KEY_POWER", "KEY_SLEEP", "KEY_WAKEUP"], False),
        (["BTN_TOUCH"], False),
        (["BTN_LEFT", "BTN_RIGHT", "BTN_MIDDLE"], False),
        (["BTN_SOUTH", "BTN_EAST", "BTN_TL", "BTN_TR"], False),
        (["KEY_1", "KEY_2"], False),  # nothing that it could ask for
        (KEYBOARD, False),
        ([*MEDIA, "KEY_CALC", "KEY_MAIL", "KEY_WWW"], False),  # a keyboard's second device
        ([], False),  # a lid, a jack
    ],
)
def test_auto_takes_only_devices_that_have_just_such_keys(keys: list[str], taken: bool) -> None:
    assert DEFAULTS.accepts(codes(*keys), has_axes=False) == taken
    assert not DEFAULTS.accepts(codes(*keys), has_axes=True)


def test_auto_takes_a_device_for_the_keys_of_the_settings() -> None:
    own = read_keymap(with_keys(KEY_1="look", KEY_POWER="pause"))
    assert own.accepts(codes("KEY_1", "KEY_2"), has_axes=False)
    assert own.accepts(codes("KEY_POWER"), has_axes=False)
    assert not own.accepts(codes(*KEYBOARD, "KEY_1"), has_axes=False)


def test_one_button_asks_for_four_things_and_the_same_key_of_a_remote_for_one() -> None:
    play = code("KEY_PLAYPAUSE")
    assert DEFAULTS.actions(play, {play}) == ONE_BUTTON
    assert DEFAULTS.actions(play, codes(*MEDIA)) == {Pattern.PRESS: Action.LOOK}
    assert DEFAULTS.actions(code("KEY_Q"), codes(*KEYBOARD)) == {}


def test_every_action_has_a_key_by_default() -> None:
    assert set(DEFAULT_KEYS.values()) == set(Action)
    for name in DEFAULT_KEYS:
        code(name)


def test_a_key_of_the_settings_loses_its_default_actions() -> None:
    keymap = read_keymap(with_keys(KEY_F2="louder", KEY_B__long="snooze", key_b__double="aim", KEY_MUTE=""))
    button = code("KEY_F2")
    assert keymap.actions(button, {button}) == {Pattern.PRESS: Action.LOUDER}
    assert keymap.actions(code("KEY_B"), codes(*KEYBOARD)) == {
        Pattern.LONG: Action.SNOOZE,
        Pattern.DOUBLE: Action.AIM,
    }
    assert keymap.actions(code("KEY_MUTE"), codes(*MEDIA)) == {}
    assert keymap.actions(code("KEY_VOLUMEUP"), codes(*MEDIA)) == {Pattern.PRESS: Action.LOUDER}


def test_a_key_may_be_given_by_its_number() -> None:
    assert read_keymap(InputSettings(keys={"115": "aim"})).own == {code("KEY_VOLUMEUP"): {Pattern.PRESS: Action.AIM}}


@pytest.mark.parametrize(
    ("key", "action", "told"),
    [
        ("KEY_VOLUMUP", "louder", "there is no key 'KEY_VOLUMUP'; did you mean KEY_VOLUMEUP?"),
        ("9999", "louder", "there is no key '9999'"),
        ("", "louder", "there is no key ''"),
        ("KEY_B twice", "look", "'twice' is no pattern; known: press, double, long, hold"),
        ("KEY_B", "loook", "there is no action 'loook'; did you mean look?"),
    ],
)
def test_a_mistake_in_the_keys_is_told(key: str, action: str, told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        read_keymap(InputSettings(keys={key: action, "KEY_X": "look"}))
    assert told in str(raised.value)
    assert f"[input] keys: {key!r} = {action!r}" in str(raised.value)


def test_all_mistakes_are_told_at_once() -> None:
    settings = InputSettings(keys={"KEY_Ü": "look", "KEY_B": "sing"}, long_s=5.0, hold_s=5.0, bounce_s=0.3)
    with pytest.raises(ConfigError) as raised:
        read_keymap(dataclasses.replace(settings, double_s=0.2))
    assert len(raised.value.faults) == 4
