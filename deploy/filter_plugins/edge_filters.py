"""Filters of the playbooks: version and digest of the source, names of releases, and a settings file from variables."""

import contextlib
import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

_SOURCE = ("edge", "systemd", "setup.cfg", "pyproject.toml", "scripts/mend-mxnet", "scripts/run-pip")
_SOURCE_OF_DEPLOY = "deploy/roles/edge/files"
_DEFAULT = re.compile(r"# ([a-z0-9_]+) = ")


def source_version(project: str) -> str:
    """Return the version of the project in a folder, such as '0.2.0'."""
    found = re.search(r'__version__ = "([^"]+)"', (Path(project) / "edge" / "__init__.py").read_text(encoding="utf-8"))
    assert found, "edge/__init__.py has no __version__"
    return found[1]


def source_digest(project: str) -> str:
    """Return the SHA-256, in hexadecimal, of all files that determine a release; equal sources have equal digests."""
    root = Path(project)
    whole = hashlib.sha256()
    for name in (*_SOURCE, _SOURCE_OF_DEPLOY):
        for file in sorted([root / name] if (root / name).is_file() else (root / name).rglob("*")):
            if file.is_file() and "__pycache__" not in file.parts:
                digest = hashlib.sha256(file.read_bytes()).hexdigest()
                whole.update(f"{file.relative_to(root)} {digest}\n".encode())
    return whole.hexdigest()


def release_name(version: str, digest: str, python: str, features: Iterable[str] = ()) -> str:
    """Return what a release is called: '0.2.0-3f9c2a1b'.

    Other source, another Python of the system, or other features are another release.
    """
    content = " ".join((digest, python, *sorted(features)))
    return f"{version}-{hashlib.sha256(content.encode()).hexdigest()[:8]}"


def features(
    wanted: Iterable[str], installed: Iterable[str], settings: Iterable[str], paths: Iterable[str]
) -> list[str]:
    """Return the features that a release is to have, sorted: an upgrade takes none away, nor what settings need.

    Args:
        wanted: What the deploy asks for.
        installed: What the release that runs was made with.
        settings: Texts of settings files, and of the service's environment: those in force, and those to come.
        paths: Where the release that runs has OpenVINO. Releases made before there were features all have it, and
            `auto` may have chosen it there.
    """
    engines, words = set(), set()
    for text in settings:
        engines.update(re.findall(r"\bEDGE_MODEL_ENGINE=(\w+)", text))
        words.update(re.findall(r"\bEDGE_INPUT_WORD=(\w+)", text))
        with contextlib.suppress(ValueError):  # edge itself reports invalid files
            table = tomllib.loads(text)
            engines.add(table.get("model", {}).get("engine"))
            words.add(table.get("input", {}).get("word"))
    needed = engines & {"ncnn", "openvino"}
    needed |= {"openvino"} if "auto" in engines and list(paths) else set()
    needed |= {"wake-word"} if any(words) else set()
    return sorted({*wanted, *installed, *needed})


def reads_keys(settings: Iterable[str]) -> bool:
    """Return True if any of these settings files, or the service's environment, names input devices."""
    for text in settings:
        if re.search(r"\bEDGE_INPUT_DEVICES=", text):
            return True
        with contextlib.suppress(ValueError):  # edge itself reports invalid files
            table = tomllib.loads(text).get("input")
            if isinstance(table, dict) and table.get("devices"):
                return True
    return False


def settings_file(settings: Mapping[str, Mapping[str, Any]], defaults: str) -> str:
    """A settings file with these values, made of the commented one with the defaults, so that it explains itself.

    `settings` has the shape {table: {key: value}}. A table or key that the defaults do not have is written all the
    same: edge itself tells what is wrong with it.
    """
    left = {table: dict(values) for table, values in settings.items()}
    lines: list[str] = []
    table = ""

    def rest() -> None:
        mine = left.pop(table, {})
        if mine:
            while lines and not lines[-1]:
                lines.pop()
            lines.extend(f"{key} = {_toml(value)}" for key, value in mine.items())
            lines.append("")

    for line in defaults.splitlines():
        if line.startswith("["):
            rest()
            table = line.strip("[]")
        found = _DEFAULT.match(line)
        if found and found[1] in left.get(table, {}):
            lines.append(f"{found[1]} = {_toml(left[table].pop(found[1]))}")
        else:
            lines.append(line)
    rest()
    for table in list(left):
        lines += ["", f"[{table}]"]
        rest()
    return "\n".join(lines).rstrip("\n") + "\n"


def type_mistakes(values: Mapping[str, Any], options: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Which variables have a value of another type than the role's argument_specs say, a line each with what to do.

    Ansible itself takes the text "900" for a number and the text "cat" for a list here, and uses it as a text later.
    """
    types = {"str": str, "int": int, "bool": bool, "list": list, "dict": dict}
    examples = {"int": "900", "bool": "true", "list": "[one, two]", "dict": "{table: {key: value}}", "str": "text"}
    mistakes = []
    for name, option in options.items():
        value, kind = values[name], option["type"]
        good = isinstance(value, types[kind]) and (kind != "int" or not isinstance(value, bool))
        if kind == "list" and option["elements"] == "str":
            good = good and all(isinstance(one, str) for one in value)
        if kind == "dict":
            good = good and all(isinstance(one, dict) for one in value.values())
        if not good:
            shown = json.dumps(value, default=str)
            form = f"{name}: {examples[kind]}"
            mistakes.append(f"{name} cannot be {shown}; write {form}, or on the command line: -e '{{{form}}}'")
    return mistakes


def doctor_faults(findings: str) -> list[str]:
    """The faults in what `edge doctor --json` printed, with their advice, a line each; else what it printed instead."""
    try:
        faults = [one for one in json.loads(findings) if one["grade"] == "fault"]
    except (ValueError, LookupError, TypeError):
        return [findings.strip() or "edge doctor did not answer"]
    return [f"{one['check']}: {one['text']}" + (f" -> {one['advice']}" if one["advice"] else "") for one in faults]


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{json.dumps(str(key))} = {_toml(one)}" for key, one in value.items()) + "}"
    # JSON's strings, numbers, booleans and lists of them are TOML's too, but for one character
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


class FilterModule:
    """How Ansible finds them."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        return {
            "edge_source_version": source_version,
            "edge_source_digest": source_digest,
            "edge_release_name": release_name,
            "edge_features": features,
            "edge_reads_keys": reads_keys,
            "edge_settings_file": settings_file,
            "edge_type_mistakes": type_mistakes,
            "edge_doctor_faults": doctor_faults,
        }
