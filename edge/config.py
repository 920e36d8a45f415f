"""Reads the settings (settings.py) from edge.toml, the environment and flags.

Defaults < file < environment (EDGE_TABLE_KEY) < flags. Each layer is a nested dict {table: {key: value}}. All faults of
all layers are reported at once, each with its file, key and value. `edge link` reads its own file in the same way
(link/settings.py).
"""

import dataclasses
import difflib
import json
import os
import tomllib
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edge.errors import ConfigError
from edge.settings import Settings

DEFAULT_PATH = Path("/etc/edge/edge.toml")
ENVIRONMENT_PREFIX = "EDGE_"
TABLES: dict[str, Any] = {f.name: typing.get_type_hints(Settings)[f.name] for f in dataclasses.fields(Settings)}
_ABLE = {"float16": ("ncnn",), "int8": ("onnx", "openvino")}
"""The engines that can compute in each precision that not all can."""


def load(
    path: Path | None = None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, Mapping[str, Any]] | None = None,
) -> Settings:
    """Return the effective settings.

    `path` None means /etc/edge/edge.toml if it exists. `flags` has the shape {table: {key: value}}. A precision that
    mxnet cannot compute in makes the engine `auto`, unless the same or a later layer sets the engine.
    Raises ConfigError with every fault found.
    """
    faults: list[str] = []
    values: dict[str, dict[str, Any]] = {table: {} for table in TABLES}
    origins: list[str] = []
    engine_origin, precision_origin = "", ""
    for where, layer in _layers(TABLES, DEFAULT_PATH, path, environment, flags, faults=faults):
        _merge(values, TABLES, layer, where, faults)
        announce = layer.get("announce")
        if isinstance(announce, Mapping) and {"hold", "floor", "sure", "maybe"} & set(announce):
            origins.append(where)
        model = layer.get("model")
        if isinstance(model, Mapping) and "precision" in model:
            # an engine of an earlier layer was chosen for another precision
            engine_origin, precision_origin = "", where
        if isinstance(model, Mapping) and "engine" in model:
            engine_origin = where
    if faults:
        raise ConfigError(*faults)
    settings = Settings(**{table: kind(**values[table]) for table, kind in TABLES.items()})
    announce = settings.announce
    for high in ("floor", "sure"):
        if announce.hold > getattr(announce, high):
            faults.append(
                f"{' and '.join(origins)}: [announce] hold = {announce.hold} is above {high} = "
                f"{getattr(announce, high)}: a label would be dropped as soon as it is announced; set hold lower"
            )
    able = _ABLE.get(settings.model.precision)
    if able and settings.model.engine not in (*able, "auto"):
        if engine_origin:
            both = dict.fromkeys((precision_origin, engine_origin))
            faults.append(
                f"{' and '.join(both)}: [model] precision = {settings.model.precision!r} does not work with "
                f"{settings.model.engine}; set engine to {', '.join(able)} or auto, or leave it out"
            )
        settings = dataclasses.replace(settings, model=dataclasses.replace(settings.model, engine="auto"))
    if announce.sure < announce.maybe and "maybe" not in values["announce"]:
        # a file that sets only `sure` worked with any default of `maybe`
        settings = dataclasses.replace(settings, announce=dataclasses.replace(announce, maybe=announce.sure))
    elif announce.sure < announce.maybe < 1:
        faults.append(
            f"{' and '.join(origins)}: [announce] maybe = {announce.maybe} is above sure = {announce.sure}; set it "
            "lower, or to 1 for never"
        )
    if "floor" in values["announce"] and "margin" not in values["announce"]:
        # a file that sets only `floor` decides by it alone: two labels of less than 1 - floor leave this margin
        margin = max(0.0, min(announce.margin, 2 * announce.floor - 1))
        settings = dataclasses.replace(settings, announce=dataclasses.replace(settings.announce, margin=margin))
    if faults:
        raise ConfigError(*faults)
    return settings


def read_tables(
    tables: Mapping[str, Any], default_path: Path, path: Path | None, environment: Mapping[str, str] | None
) -> dict[str, Any]:
    """Return an instance of each table's dataclass in `tables`, by name, from a file and the environment.

    `path` None means `default_path` if it exists. Raises ConfigError with every fault found.
    """
    faults: list[str] = []
    values: dict[str, dict[str, Any]] = {table: {} for table in tables}
    for where, layer in _layers(tables, default_path, path, environment, None, faults=faults):
        _merge(values, tables, layer, where, faults)
    if faults:
        raise ConfigError(*faults)
    return {table: kind(**values[table]) for table, kind in tables.items()}


def to_toml(settings: Any) -> str:
    """Return the settings, a dataclass of tables, as TOML; the same settings are read from it."""
    lines: list[str] = []
    for table in dataclasses.fields(settings):
        lines += [f"[{table.name}]"]
        for key, value in dataclasses.asdict(getattr(settings, table.name)).items():
            lines += [f"{key} = {_toml(value)}"]
        lines += [""]
    return "\n".join(lines)


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_toml(key)} = {_toml(one)}" for key, one in value.items()) + "}"
    # strings, numbers, booleans and lists of them are the same in JSON and TOML, except for one character
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def _layers(
    tables: Mapping[str, Any],
    default_path: Path,
    path: Path | None,
    environment: Mapping[str, str] | None,
    flags: Mapping[str, Mapping[str, Any]] | None,
    *,
    faults: list[str],
) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield (where it comes from, values) of each layer; what cannot be read of the environment is added to faults."""
    yield _read_file(path, default_path)
    yield "environment", _from_environment(tables, os.environ if environment is None else environment, faults)
    yield "command line", flags or {}


def _read_file(path: Path | None, default_path: Path) -> tuple[str, Mapping[str, Any]]:
    if path is None:
        if not default_path.exists():
            return "defaults", {}
        path = default_path
    try:
        # editors on other systems put a byte order mark first
        return str(path), tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; give the path of a settings file (TOML)") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not TOML: {error}") from error


def _from_environment(
    tables: Mapping[str, Any], environment: Mapping[str, str], faults: list[str]
) -> dict[str, dict[str, Any]]:
    """Return {'camera': {'source': 'usb'}} for EDGE_CAMERA_SOURCE=usb; other EDGE_ variables are ignored."""
    layer: dict[str, dict[str, Any]] = {}
    for name, text in environment.items():
        table, _, key = name.removeprefix(ENVIRONMENT_PREFIX).lower().partition("_")
        if not name.startswith(ENVIRONMENT_PREFIX) or table not in tables or not key:
            continue
        kind = typing.get_type_hints(tables[table]).get(key, str)
        try:
            plain = text.lower() if kind in (bool, int, float) else text
            layer.setdefault(table, {})[key] = text if kind is str else json.loads(plain)
        except json.JSONDecodeError:
            faults.append(f"environment: {name} = {text!r} must be {_kind_name(kind)}")
    return layer


def _merge(
    values: dict[str, dict[str, Any]],
    tables: Mapping[str, Any],
    layer: Mapping[str, Any],
    where: str,
    faults: list[str],
) -> None:
    for table, keys in layer.items():
        if table not in tables:
            what = f"[{table}]" if isinstance(keys, Mapping) else f"{table} = {keys!r}"
            faults.append(f"{where}: unknown table or key {what}{_did_you_mean(table, tables)}")
            continue
        if not isinstance(keys, Mapping):
            faults.append(f"{where}: {table} = {keys!r} must be a table: write [{table}] and its keys below")
            continue
        fields = {f.name: f for f in dataclasses.fields(tables[table])}
        kinds = typing.get_type_hints(tables[table])
        for key, value in keys.items():
            if key not in fields:
                faults.append(f"{where}: unknown key {key} = {value!r} in [{table}]{_did_you_mean(key, fields)}")
                continue
            fault, checked = _check(value, kinds[key], fields[key].metadata)
            if fault:
                faults.append(f"{where}: [{table}] {key} = {value!r} {fault}")
            else:
                values[table][key] = checked


def _check(value: Any, kind: Any, limits: Mapping[str, Any]) -> tuple[str, Any]:
    """Return (fault, value); the fault is empty if the value is valid."""
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind == tuple[str, ...] and isinstance(value, list):
        value = tuple(value)
    if not _is_of(kind, value):
        return f"must be {_kind_name(kind)}", None
    low, high, choices = limits["low"], limits["high"], limits["choices"]
    # written so that NaN is refused too
    if low is not None and not low <= value <= high:
        return f"must be between {low} and {high}", None
    if choices and value not in choices:
        return f"must be one of {', '.join(map(str, choices))}", None
    return limits["fault"](value), value


def _is_of(kind: Any, value: Any) -> bool:
    if kind == tuple[str, ...]:
        return isinstance(value, tuple) and all(isinstance(one, str) for one in value)
    if kind == Mapping[str, str]:
        return isinstance(value, Mapping) and all(isinstance(one, str) for one in value.values())
    return type(value) is kind


def _kind_name(kind: Any) -> str:
    return {
        str: "a text in quotes",
        bool: "true or false",
        int: "a whole number",
        float: "a number",
        tuple[str, ...]: 'a list of texts, as in ["cat", "dog"]',
        Mapping[str, str]: 'a table of texts, as in {"notebook" = "laptop"}',
    }[kind]


def _did_you_mean(word: str, known: Mapping[str, Any]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]}?" if near else f"; known: {', '.join(known)}"
