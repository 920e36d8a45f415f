"""The settings: one frozen dataclass for each table of edge.toml, and how they are read.

Defaults < file < environment (EDGE_TABLE_KEY) < flags. Each layer is a nested dict {table: {key: value}}; every fault
of every layer is told at once, with its file, key and value.
"""

import dataclasses
import difflib
import json
import os
import string
import tomllib
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.errors import ConfigError

DEFAULT_PATH = Path("/etc/edge/edge.toml")
ENVIRONMENT_PREFIX = "EDGE_"


def _setting(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str, ...] = (),
    fault: Callable[[Any], str] = lambda _value: "",
) -> Any:
    """A dataclass field with what `load` checks: limits (both ends included), choices, or any other fault."""
    return field(default=default, metadata={"low": low, "high": high, "choices": choices, "fault": fault})


def template_fault(template: str) -> str:
    """Return what is wrong with a template of [announce], or nothing: its only field is {label}, and it has one."""
    try:
        fields = [field for field in string.Formatter().parse(template) if field[1] is not None]
    except ValueError as error:
        return f"is no template: {error}; write {{{{ and }}}} for braces that are said"
    if any(name != "label" or form or conversion for _, name, form, conversion in fields):
        return "has another field than {label}; write it as 'I see {label}'"
    return "" if fields else "would say the same of everything: put {label} in it, as in 'I see {label}'"


@dataclass(frozen=True)
class CameraSettings:
    """[camera]: where the frames come from."""

    source: str = _setting("auto")
    """auto | csi[:N] | usb[:N] | a video file | a folder of images | an http(s) or rtsp URL | demo"""
    loop: bool = _setting(False)
    """Play a file, folder or the demo clip again and again."""
    width: int = _setting(640, low=32, high=8192)
    """Pixels asked of a camera; it may give what comes nearest."""
    height: int = _setting(480, low=32, high=8192)
    """Pixels asked of a camera."""
    image_s: float = _setting(2.0, low=0.01, high=3600)
    """How long each image of a folder is shown, in seconds."""
    open_timeout_s: float = _setting(10.0, low=0.1, high=120)
    """How long a camera or stream may take to open and to give its first frame."""
    read_timeout_s: float = _setting(3.0, low=0.1, high=120)
    """How long a camera or stream may give no frame before it counts as lost."""


@dataclass(frozen=True)
class ModelSettings:
    """[model]: which network looks at the frames."""

    name: str = _setting("auto")
    """auto (the most accurate installed model that fits the memory budget; the demo where none is installed), the name
    of an installed model, or a checkpoint: DIR/NAME for epoch 0, DIR/NAME-0126.params for another."""
    memory_budget_mib: int = _setting(0, low=0, high=1_000_000)
    """What the daemon and all its processes may take together, in MiB. 0: 640 for a model that edge chooses, and no
    bound but the machine's own for one that is named. A cgroup's limit and the available memory bound it too."""
    max_latency_ms: float = _setting(0.0, low=0, high=600_000)
    """The slowest that a chosen model may be, in milliseconds a frame (median); 0: no bound."""
    step_down: bool = _setting(True)
    """Change to a smaller installed model while the machine's memory is tight, and back after a long calm."""
    top: int = _setting(5, low=2, high=1000)
    """How many of the best labels the announcer gets to see."""


@dataclass(frozen=True)
class AnnounceSettings:
    """[announce]: what is worth saying, and when."""

    floor: float = _setting(0.6, low=0, high=1)
    """The smoothed probability a label needs to be announced."""
    margin: float = _setting(0.2, low=0, high=1)
    """How far it must be ahead of the second label."""
    hold: float = _setting(0.35, low=0, high=1)
    """An announced label stays in view while its smoothed probability is above this (hysteresis; at most floor)."""
    smoothing_s: float = _setting(0.3, low=0, high=60)
    """Time constant of the smoothing over frames, in seconds; 0 switches it off."""
    persistence_s: float = _setting(0.5, low=0, high=60)
    """How long, and for at least two frames, a label must be the best before it is announced."""
    leave_s: float = _setting(1.5, low=0, high=3600)
    """A label below `hold` for this long has left the view, and is news when it comes back."""
    cooldown_s: float = _setting(300.0, low=0, high=86400)
    """A label that stays in view is said again after this long; 0: never."""
    retry_s: float = _setting(10.0, low=0.1, high=3600)
    """After words that nobody could hear, the same label is tried again no sooner than this."""
    template: str = _setting("I see {label}", fault=template_fault)
    """What is said: {label} becomes the label with its article ('a guitar')."""


@dataclass(frozen=True)
class SpeechSettings:
    """[speech]: the voice."""

    driver: str = _setting("pyttsx3", choices=("pyttsx3", "espeak", "log"))
    """pyttsx3, espeak (espeak-ng piped to aplay), or log (print only)."""
    voice: str = _setting("")
    """The synthesiser's name of a voice, such as en-us; empty for its own default."""
    rate_wpm: int = _setting(200, low=80, high=450)
    """Words a minute."""
    volume: float = _setting(1.0, low=0, high=1)
    """0 (silent) to 1."""


@dataclass(frozen=True)
class ServiceSettings:
    """[service]: the daemon itself."""

    events: str = _setting("")
    """A file that gets one JSON object a line for what happens, or - for standard output; empty for none."""
    events_frames: bool = _setting(False)
    """One event for every frame too."""


@dataclass(frozen=True)
class Settings:
    """All tables of edge.toml."""

    camera: CameraSettings = CameraSettings()
    model: ModelSettings = ModelSettings()
    announce: AnnounceSettings = AnnounceSettings()
    speech: SpeechSettings = SpeechSettings()
    service: ServiceSettings = ServiceSettings()


TABLES: dict[str, Any] = {f.name: typing.get_type_hints(Settings)[f.name] for f in dataclasses.fields(Settings)}


def load(
    path: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """Return the effective settings.

    `path` None means /etc/edge/edge.toml where it exists. `flags` has the shape {table: {key: value}}.
    Raises ConfigError with every fault found.
    """
    faults: list[str] = []
    values: dict[str, dict[str, Any]] = {table: {} for table in TABLES}
    origins: list[str] = []
    for where, layer in (
        _read_file(path),
        ("environment", _from_environment(os.environ if environment is None else environment, faults)),
        ("command line", flags or {}),
    ):
        _merge(values, layer, where, faults)
        announce = layer.get("announce")
        if isinstance(announce, Mapping) and {"hold", "floor"} & set(announce):
            origins.append(where)
    if faults:
        raise ConfigError(*faults)
    settings = Settings(**{table: kind(**values[table]) for table, kind in TABLES.items()})
    if settings.announce.hold > settings.announce.floor:
        raise ConfigError(
            f"{' and '.join(origins)}: [announce] hold = {settings.announce.hold} is above floor = "
            f"{settings.announce.floor}: a label would be dropped as soon as it is announced; set hold lower"
        )
    return settings


def to_toml(settings: Settings) -> str:
    """Return the settings as a TOML text that `load` reads back to the same."""
    lines: list[str] = []
    for table in TABLES:
        lines += [f"[{table}]"]
        for key, value in dataclasses.asdict(getattr(settings, table)).items():
            # JSON's strings, numbers and booleans are TOML's too
            lines += [f"{key} = {json.dumps(value, ensure_ascii=False)}"]
        lines += [""]
    return "\n".join(lines)


def _read_file(path: Path | None) -> tuple[str, Mapping[str, Any]]:
    if path is None:
        if not DEFAULT_PATH.exists():
            return "defaults", {}
        path = DEFAULT_PATH
    try:
        # editors of other systems put a byte order mark first
        return str(path), tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give the path of a settings file (TOML)") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _from_environment(environment: Mapping[str, str], faults: list[str]) -> dict[str, dict[str, Any]]:
    """EDGE_CAMERA_SOURCE=usb becomes {'camera': {'source': 'usb'}}; other EDGE_ variables are left alone."""
    layer: dict[str, dict[str, Any]] = {}
    for name, text in environment.items():
        table, _, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("_")
        if not name.startswith(ENVIRONMENT_PREFIX) or table not in TABLES or not key:
            continue
        kind = typing.get_type_hints(TABLES[table]).get(key, str)
        try:
            layer.setdefault(table, {})[key] = text if kind is str else json.loads(text.lower())
        except json.JSONDecodeError:
            faults.append(f"environment: {name} = {text!r} must be {_kind_name(kind)}")
    return layer


def _merge(values: dict[str, dict[str, Any]], layer: Mapping[str, Any], where: str, faults: list[str]) -> None:
    for table, keys in layer.items():
        if table not in TABLES:
            what = f"[{table}]" if isinstance(keys, Mapping) else f"{table} = {keys!r}"
            faults.append(f"{where}: unknown table or key {what}{_did_you_mean(table, TABLES)}")
            continue
        if not isinstance(keys, Mapping):
            faults.append(f"{where}: {table} = {keys!r} must be a table: write [{table}] and its keys below")
            continue
        fields = {f.name: f for f in dataclasses.fields(TABLES[table])}
        kinds = typing.get_type_hints(TABLES[table])
        for key, value in keys.items():
            if key not in fields:
                faults.append(f"{where}: unknown key {key} = {value!r} in [{table}]{_did_you_mean(key, fields)}")
                continue
            fault, checked = _check(value, kinds[key], fields[key].metadata)
            if fault:
                faults.append(f"{where}: [{table}] {key} = {value!r} {fault}")
            else:
                values[table][key] = checked


def _check(value: Any, kind: type, limits: Mapping[str, Any]) -> tuple[str, Any]:
    """Return (fault, value): the fault is empty when the value is good."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        return f"must be {_kind_name(kind)}", None
    low, high, choices = limits["low"], limits["high"], limits["choices"]
    # written so that nan is refused too
    if low is not None and not low <= value <= high:
        return f"must be between {low} and {high}", None
    if choices and value not in choices:
        return f"must be one of {', '.join(choices)}", None
    return limits["fault"](value), value


def _kind_name(kind: type) -> str:
    return {str: "a text in quotes", bool: "true or false", int: "a whole number", float: "a number"}[kind]


def _did_you_mean(word: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
