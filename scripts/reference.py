#!/usr/bin/env python3
"""Write the reference pages of commands and settings from the code, into docs/reference.

    scripts/reference.py            write commands.md, settings.md and link-settings.md
    scripts/reference.py --check    write nothing; exit with 1 if a page is out of date

The commands come from the parser of `edge`; the settings from edge/data/edge.toml and link.toml, and the dataclasses in
edge/settings.py and edge/link/settings.py. Run it after a change of a flag, a help text, a setting or its comment.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import dataclasses
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from edge.cli.parser import parser as edge_parser
from edge.config import to_toml
from edge.link.settings import LinkSettings
from edge.settings import Settings

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "reference"
GENERATED = "`scripts/reference.py` writes this page from the code, and a test compares the two."


def subcommands(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Return the subparsers of a parser by name, in the order of its help; empty if it has none."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return dict(action.choices)
    return {}


def leaves(parser: argparse.ArgumentParser, name: str) -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """Yield (full name, parser) of each command that has no subcommands, such as 'edge models list'."""
    below = subcommands(parser)
    if not below:
        yield name, parser
    for word, one in below.items():
        yield from leaves(one, f"{name} {word}")


def commands() -> str:
    """Return the page about the commands."""
    every = dict(leaves(edge_parser(), "edge"))
    # (flag, help): the --config of `edge link` names another file
    common = {_key(action) for action in every["edge config"]._actions if "--check" not in action.option_strings}
    lines = [
        "# Commands",
        "",
        "This page is for people who look up a command or a flag. In a clone the command is `.venv/bin/edge`, on a",
        f"deployed Pi `edge`. {GENERATED}",
        "",
        "Every command has these flags:",
        "",
        *_table(every["edge config"], only=common),
        "",
        "`edge --version` prints the version. [Exit codes](exit-codes.md) are the same for all commands. Flags",
        "override environment variables, and these override the [settings file](settings.md).",
        "",
    ]
    for name, one in every.items():
        lines += [f"## {name}", "", one.description or "", ""]
        if table := _table(one, without=common):
            lines += [*table, ""]
    return "\n".join(lines)


def _table(
    one: argparse.ArgumentParser,
    *,
    only: Collection[tuple[str, str]] | None = None,
    without: Collection[tuple[str, str]] = (),
) -> list[str]:
    rows = []
    for action in one._actions:
        flag = _key(action)[0]
        if _key(action) in without or (only is not None and _key(action) not in only):
            continue
        rows.append(f"| `{_form(action, flag)}` | {_cell(action.help or '')} |")
    return ["| argument | meaning |", "|---|---|", *rows] if rows else []


def _key(action: argparse.Action) -> tuple[str, str]:
    """Return the flag of an argument, '' if it has none, and its help."""
    return action.option_strings[-1] if action.option_strings else "", action.help or ""


def _form(action: argparse.Action, flag: str) -> str:
    value = "" if action.nargs == 0 else str(action.metavar or "|".join(action.choices or ()))
    if action.nargs == "?":
        value = f"[{value}]"
    elif action.nargs == "*":
        value = f"[{value}...]"
    elif action.nargs == "+":
        value = f"{value}..."
    return _cell(" ".join(filter(None, (flag, value))))


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def comments(file: str) -> dict[tuple[str, str], str]:
    """Return the comment of each setting in a file of edge/data, by (table, key)."""
    found: dict[tuple[str, str], str] = {}
    table = ""
    comment: list[str] = []
    for line in (resources.files("edge") / "data" / file).read_text(encoding="utf-8").splitlines():
        if head := re.fullmatch(r"\[(\w+)\]", line):
            table, comment = head[1], []
        elif key := re.match(r"# (\w+) = ", line):
            found[table, key[1]] = " ".join(comment)
            comment = []
        elif line.startswith("# "):
            comment.append(line[2:])
        else:
            comment = []
    return found


def settings() -> str:
    """Return the page about the settings of the daemon."""
    lines = [
        "# Settings",
        "",
        "This page is for people who look up a setting. The settings are in `/etc/edge/edge.toml`, or in the file that",
        "`--config` names. [edge/data/edge.toml](../../edge/data/edge.toml) is a commented copy with all defaults.",
        "`edge link` has its own [settings](link-settings.md).",
        GENERATED,
        "",
        "- An environment variable overrides the file: `EDGE_CAMERA_SOURCE=usb` sets `source` in `[camera]`.",
        "- A flag of `edge run` overrides both.",
        "- `edge config --check FILE` checks a file. `edge config` prints the settings in effect.",
        "- A running edge reads the file again at `systemctl reload edge`, or at SIGHUP.",
        "- An unknown table or key is an error.",
        "",
    ]
    return "\n".join(lines + _tables(Settings(), comments("edge.toml")))


def link_settings() -> str:
    """Return the page about the settings of `edge link`."""
    lines = [
        "# Settings of the link",
        "",
        "This page is for people who look up a setting of `edge link`. The settings are in `/etc/edge/link.toml`, or",
        "in the file that `--config` names. [edge/data/link.toml](../../edge/data/link.toml) is a commented copy with",
        f"all defaults. {GENERATED}",
        "",
        "- An environment variable overrides the file: `EDGE_MQTT_HOST=broker.local` sets `host` in `[mqtt]`.",
        "- `edge config --check` checks this file too, if it is there.",
        "- The link reads the file at its start: `sudo systemctl restart edge-link`.",
        "- An unknown table or key is an error.",
        "",
    ]
    return "\n".join(lines + _tables(LinkSettings(), comments("link.toml")))


def _tables(every: Any, said: Mapping[tuple[str, str], str]) -> list[str]:
    """Return the lines about all tables of a settings file; `said` has the comment of each key."""
    lines: list[str] = []
    for table in dataclasses.fields(every):
        lines += [f"## {table.name}", "", "| key | default | values | meaning |", "|---|---|---|---|"]
        values = getattr(every, table.name)
        defaults = _defaults(every, table.name)
        for one in dataclasses.fields(values):
            lines.append(
                f"| `{one.name}` | `{defaults[one.name]}` | {_values(one, getattr(values, one.name))} "
                f"| {_cell(said[table.name, one.name])} |"
            )
        lines.append("")
    return lines


def _defaults(every: Any, table: str) -> dict[str, str]:
    """Return the defaults of a table as TOML, by key."""
    text = to_toml(every).partition(f"[{table}]\n")[2].partition("\n[")[0]
    return dict(line.split(" = ", 1) for line in text.splitlines() if " = " in line)


def _values(one: "dataclasses.Field[Any]", default: object) -> str:
    low, high, choices = (one.metadata[name] for name in ("low", "high", "choices"))
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    if isinstance(default, bool):
        return "`true`, `false`"
    if low is not None:
        return f"{low:g} to {high:g}" if high < 1e6 else f"{low:g} to {high:.0f}"
    if isinstance(default, str):
        return "text"
    return "list of texts" if isinstance(default, tuple) else "table of texts"


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is out of date")
    options = parser.parse_args()
    code = 0
    for name, page in (
        ("commands.md", commands()),
        ("settings.md", settings()),
        ("link-settings.md", link_settings()),
    ):
        path = FOLDER / name
        if path.exists() and path.read_text(encoding="utf-8") == page:
            continue
        if options.check:
            print(f"docs/reference/{name} is out of date: run scripts/reference.py", file=sys.stderr)
            code = 1
        else:
            path.write_text(page, encoding="utf-8")
            print(f"wrote docs/reference/{name}")
    return code


if __name__ == "__main__":
    sys.exit(main())
