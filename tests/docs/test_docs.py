"""The documentation: links lead somewhere, commands and settings exist, reference pages match the code."""

import argparse
import ast
import contextlib
import dataclasses
import io
import itertools
import json
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

import bundle
import pytest
import reference
import yaml

from edge import errors
from edge.announce.decisions import Reason
from edge.cli import EX_BROKEN_PIPE
from edge.cli.parser import parser as edge_parser
from edge.config import load
from edge.daemon.control_commands import ControlCommands
from edge.daemon.control_state import ControlState
from edge.input.actions import Action
from edge.link import settings as link_settings
from edge.link.mqtt.commands import COMMANDS
from edge.link.mqtt.discovery import discovery_of
from edge.link.mqtt.names import Names
from edge.link.mqtt.payload import announcement_of, state_of
from edge.link.state import DOWN
from edge.models.checkpoint import find_checkpoint
from edge.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
TOP = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CODE_OF_CONDUCT.md", "CHANGELOG.md")
DECISIONS = sorted((ROOT / "docs/decisions").glob("*.md"))
PAGES = [
    *(ROOT / name for name in TOP),
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs/reference").glob("*.md")),
]
HELP = [page for page in PAGES if page.name != "CHANGELOG.md"]
"""Pages that tell how things are now; the changelog also tells how they were."""
OF_CODE = ("CONTRIBUTING.md", "frame-walk.md", "structure.md", "events.md", "journal.md", "socket.md")
"""Pages with names from the code; tests compare the last three with it."""
SOURCES = sorted((ROOT / "edge").rglob("*.py"))
TABLES_OF = {
    table.name: whole for whole in (Settings(), link_settings.LinkSettings()) for table in dataclasses.fields(whole)
}
"""All settings of edge.toml or of link.toml, by the name of each table."""
KEYS = {table: {one.name for one in dataclasses.fields(getattr(TABLES_OF[table], table))} for table in TABLES_OF}


NAMES = Names("kitchen", "0" * 12, "edge kitchen", "homeassistant")
"""Of the edge that the pages about MQTT have as an example."""
OF_LINK = {table.name for table in dataclasses.fields(link_settings.LinkSettings)}


def name(page: Path) -> str:
    return str(page.relative_to(ROOT))


def without_code(text: str) -> str:
    """Return Markdown without its code blocks."""
    text = re.sub(r"(?ms)^```.*?^```", "", text)
    return re.sub(r"(?m)^(?: {4}|\t).*$", "", text)


def blocks(text: str) -> list[str]:
    """Return the code blocks of a page (indented by four spaces, or by seven in a list), without their indentation."""
    found = []
    lines = text.split("\n")
    for is_code, group in itertools.groupby(lines, lambda line: not line.strip() or line.startswith("    ")):
        block = "\n".join(group).strip("\n")
        if is_code and block.strip():
            indent = len(block) - len(block.lstrip())
            found.append("\n".join(line[indent:] for line in block.split("\n")))
    return found


def inline(text: str) -> list[str]:
    """Return what stands in backticks outside code blocks, also where it is broken at the end of a line."""
    return [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", without_code(text))]


# ---- links


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found = set()
    for heading in re.findall(r"(?m)^#+ (.*)$", without_code(page.read_text())):
        words = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", r"\1", heading).lower()
        found.add(re.sub(r"[^\w\- ]", "", words).replace(" ", "-"))
    return found


def links(page: Path) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", without_code(page.read_text()))


@pytest.mark.parametrize("page", [*PAGES, *DECISIONS], ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue  # no network here
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{name(page)}: {link} does not exist"
        assert target.is_relative_to(ROOT), f"{name(page)}: {link} is outside the project"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{name(page)}: {link}: no such heading"


def test_every_page_is_in_the_index() -> None:
    index = ROOT / "docs/README.md"
    listed = {(index.parent / link.partition("#")[0]).resolve() for link in links(index)}
    missing = [name(page) for page in PAGES if "docs" in page.parts and page != index and page not in listed]
    assert missing == []


def test_the_readme_is_short_and_leads_to_every_page_within_two_clicks() -> None:
    readme = ROOT / "README.md"
    assert len(readme.read_text().splitlines()) <= 150
    first = {(readme.parent / link.partition("#")[0]).resolve() for link in links(readme) if ":" not in link}
    second = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in first
        if page.suffix == ".md"
        for link in links(page)
        if ":" not in link
    }
    assert [name(page) for page in PAGES if page != readme and page not in first | second] == []


@pytest.mark.parametrize("page", [page for page in PAGES if "docs" in page.parts], ids=name)
def test_the_first_paragraph_says_for_whom_a_page_is(page: Path) -> None:
    paragraphs = [one for one in without_code(page.read_text()).split("\n\n") if not one.startswith(("#", "!", "\n"))]
    assert re.search(r"\bis for\b", paragraphs[0]), paragraphs[0]


@pytest.mark.parametrize("page", HELP, ids=name)
def test_files_that_are_named_exist(page: Path) -> None:
    made = ("deploy/inventory.yml", "deploy/host_vars/this-pi.yml")
    for code in inline(page.read_text()):
        path = re.fullmatch(r"\.?/?((?:edge|scripts|tests|docs|deploy|systemd|\.github)/[\w./-]+?)/?(?: .*)?", code)
        # topics of MQTT begin with edge/ too
        if path and path[1] not in made and not re.search(r"NAME|CODE|^edge/(NODE|kitchen)/", path[1]):
            assert (ROOT / path[1]).exists(), f"{name(page)}: {path[1]} does not exist"


def test_what_a_step_of_contributing_names_is_defined_in_its_file() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    checked = 0
    for step in re.findall(r"(?ms)^\d\. .*?(?=^\d\. |\n\n)", text):
        # (file, what the step says about it); names of a test's file are those of the code
        for file, words in re.findall(r"(?s)\]\((edge/[^)#\s]+\.py)\):(.*?)(?=\n   \[|\Z)", step):
            source = (ROOT / file).read_text()
            for word in re.findall(r"`(\w+)`", words):
                assert re.search(rf"(?m)^(?:def|class) {word}\b|^{word}\b.* = |^    {word}: ", source), (file, word)
                checked += 1
    assert checked > 5


# ---- commands


def documented_commands(page: Path) -> Iterator[tuple[str, bool]]:
    """Yield (a command of edge without the program's name, whether it is complete)."""
    text = page.read_text()
    starts = r"(?:sudo )?(?:\.venv/bin/|/opt/edge/current/bin/)?edge(?= )|(?:\./)?scripts/run"
    for block in blocks(text):
        for line in block.split("\n"):
            for part in re.split(r" && | \| |  +#", line)[: None if " && " in line else 1]:
                if found := re.match(rf"({starts})(.*)", part.strip()):
                    yield (f"run{found[2]}" if "scripts/run" in found[1] else found[2].strip()), True
    for code in inline(text):
        if found := re.fullmatch(rf"({starts})(.*)", code):
            yield (f"run{found[2]}" if "scripts/run" in found[1] else found[2].strip()), False


def can_be_parsed(words: list[str]) -> bool:
    with contextlib.redirect_stderr(io.StringIO()), contextlib.redirect_stdout(io.StringIO()):
        try:
            edge_parser().parse_args(words)
        except SystemExit as leaving:
            return not leaving.code
    return True


def is_known(command: str, *, complete: bool) -> bool:
    """Whether edge knows a command and all its flags; one in running text may lack its arguments."""
    command = re.sub(r" --with[ =]\S+", "", command) if command.startswith("run") else command  # of scripts/install
    words = shlex.split(command)
    if can_be_parsed(words):
        return True
    if complete:
        return False
    parser: argparse.ArgumentParser = edge_parser()
    names = list(itertools.takewhile(lambda word: not word.startswith("-"), words))
    for word in names:
        below = reference.subcommands(parser)
        if word not in below:
            return False
        parser = below[word]
    flags = {flag for action in parser._actions for flag in action.option_strings}
    return all(word in flags for word in words if word.startswith("--"))


@pytest.mark.parametrize("page", HELP, ids=name)
def test_every_documented_command_can_be_parsed(page: Path) -> None:
    unknown = [command for command, complete in documented_commands(page) if not is_known(command, complete=complete)]
    assert unknown == []


@pytest.mark.parametrize("page", HELP, ids=name)
def test_blocks_of_python_can_be_compiled(page: Path) -> None:
    for block in blocks(page.read_text()):
        if block.startswith("import "):
            compile(block, name(page), "exec")


def test_the_program_that_reads_events_reads_them() -> None:
    page = ROOT / "docs/reference/events.md"
    (program,) = (block for block in blocks(page.read_text()) if block.startswith("import "))
    events = [{"event": "started"}, {"event": "announced", "text": "I see a guitar", "probability": 0.99}]
    lines = "".join(json.dumps(event) + "\n" for event in events)
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, check=True, input=lines, capture_output=True, text=True, timeout=60)
    assert done.stdout == "I see a guitar 0.99\n"


def test_commands_are_found_and_wrong_ones_are_noticed(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "Text\n`edge look`, `edge lock`\n\n    edge run --camera usb   # comment\n    ./scripts/run --nothing\n"
    )
    found = list(documented_commands(page))
    assert found == [("run --camera usb", True), ("run --nothing", True), ("look", False), ("lock", False)]
    assert [is_known(command, complete=complete) for command, complete in found] == [True, False, True, False]
    assert sum(len(list(documented_commands(one))) for one in HELP) > 100


@pytest.mark.parametrize("page", HELP, ids=name)
def test_scripts_know_the_flags_that_are_documented(page: Path) -> None:
    text = page.read_text()
    for line in [*(line for block in blocks(text) for line in block.split("\n")), *inline(text)]:
        command = line.partition("  #")[0]
        if found := re.match(r"(?:sudo )?(?:\./)?((?:scripts|deploy)/[\w.-]+) (.*)", command):
            script = (ROOT / found[1]).read_text()
            ours = found[2].partition(" -- ")[0]
            for flag in re.findall(r"(?<!\S)--[\w-]+", ours):
                if found[1] == "deploy/bundle":
                    assert any(flag in action.option_strings for action in bundle.parser()._actions), command
                elif found[1] == "scripts/run":
                    assert flag == "--with" or is_known(f"run {flag}", complete=False), command
                elif found[1].startswith("scripts/"):
                    assert flag in script, command
                else:
                    # for ansible-playbook
                    assert flag in (script, "--check", "--diff", "--limit", "--ask-become-pass", "--purge"), command


METRICS = set(re.findall(r"`((?:edge|process)_\w+)`", (ROOT / "docs/metrics.md").read_text()))
"""The metrics, which begin as the variables of the deploy do. (tests/link/test_monitoring.py compares them.)"""


@pytest.mark.parametrize("page", HELP, ids=name)
def test_variables_of_the_deploy_exist(page: Path) -> None:
    options = yaml.safe_load((ROOT / "deploy/roles/edge/meta/argument_specs.yml").read_text())
    known = options["argument_specs"]["main"]["options"]
    # not the entities of Home Assistant: sensor.edge_kitchen_sees
    assert set(re.findall(r"(?<![\w.])edge_(?!filters|release)\w+\b", page.read_text())) <= set(known) | METRICS


# ---- settings


def checked(tmp_path: Path, text: str) -> None:
    """Raise ConfigError if this is not a good settings file."""
    file = tmp_path / "settings.toml"
    file.write_text(text)
    if tomllib.loads(text).keys() <= OF_LINK:
        link_settings.load(file, environment={})
    else:
        load(file, environment={})


def documented_settings(page: Path) -> Iterator[str]:
    """Yield each setting in running text as TOML: '[camera] source', 'sure = 0.8', `[aloud]`."""
    text = page.read_text()
    for code in inline(text):
        found = re.fullmatch(r"\[(\w+)\](?: (\w+)(?: = (.+))?)?", code)
        if found and found[1] in TABLES_OF:
            default = reference._defaults(TABLES_OF[found[1]], found[1])
            value = found[3] if found[3] not in (None, "N") else default.get(found[2] or "", "'unknown'")
            yield f"[{found[1]}]\n" + (f"{found[2]} = {value}\n" if found[2] else "")
        elif (pair := re.fullmatch(r"(\w+) = (.+)", code)) and pair[1] not in ("top1", "size"):
            tables = [table for table in sorted(TABLES_OF) if pair[1] in KEYS[table]]
            engine = 'engine = "auto"\n' if pair[1] == "precision" else ""  # mxnet cannot
            yield f"[{(tables or ['camera'])[0]}]\n{engine}{pair[0]}\n"


@pytest.mark.parametrize("page", HELP, ids=name)
def test_every_documented_setting_is_accepted(page: Path, tmp_path: Path) -> None:
    for text in documented_settings(page):
        checked(tmp_path, text)
    for variable, value in re.findall(r"\b(EDGE_[A-Z_]+)=([\w.]+)", page.read_text()):
        if variable not in {"EDGE_EVENT", "EDGE_TEST_MACHINES"}:
            load(None, environment={variable: value})
            link_settings.load(None, environment={variable: value})


@pytest.mark.parametrize("page", HELP, ids=name)
def test_every_block_of_toml_is_accepted(page: Path, tmp_path: Path) -> None:
    for block in blocks(page.read_text()):
        if not re.match(r"\[\w+\]\n", block):
            continue
        found = tomllib.loads(block)
        tables = set(found)
        # a model.toml has a table of this name too
        if "input" in tables and not found["input"].keys() <= KEYS["input"]:
            write_model(tmp_path, block)
            assert find_checkpoint(str(tmp_path / "net")).input.size == 224
        elif tables <= TABLES_OF.keys():
            checked(tmp_path, block)
        else:
            assert tables <= {"language", "kinds", "sentences", "words", "labels"}, block


def write_model(folder: Path, text: str) -> None:
    (folder / "net-symbol.json").write_text("{}")
    (folder / "net-0000.params").write_bytes(b"")
    (folder / "synset.txt").write_text("a b\n")
    (folder / "model.toml").write_text(text)


@pytest.mark.parametrize("page", [one for one in HELP if one.name not in OF_CODE], ids=name)
def test_words_that_look_like_keys_are_settings(page: Path) -> None:
    """In pages about one table the keys stand alone: `frame_rate`, `persistence_s`. Variables of the deploy: above."""
    others = {"acl_file", "no_proxy", "cgroup_enable", "hard_sigmoid", "log_softmax", "giant_panda"}
    words = {"okay_nabu", "hey_mycroft", "hey_jarvis"}
    known = set().union(*KEYS.values()) | others | words | METRICS | state_of(DOWN, NAMES).keys() | COMMANDS.keys()
    for code in inline(page.read_text()):
        for word in re.findall(r"(?<![\w./-])(?!edge_)([a-z]+(?:_[a-z0-9]+)+)(?![\w./(-])", code):
            assert word in known, f"{name(page)}: {word}"


def test_the_switches_of_what_edge_says_about_itself_exist() -> None:
    text = (ROOT / "docs/speech.md").read_text()
    section = text.partition("## What it says about itself")[2].partition("\n## ")[0]
    switches = set(re.findall(r"(?m)\| `(\w+)` \|$", section))
    assert switches == KEYS["aloud"] - {"repeat_s"}


# ---- reference pages


@pytest.mark.parametrize(("page", "write"), [("commands.md", reference.commands), ("settings.md", reference.settings)])
def test_generated_pages_are_up_to_date(page: str, write: object) -> None:
    assert callable(write)
    assert (reference.FOLDER / page).read_text() == write(), "run scripts/reference.py"


def rows(page: str, before: str = "\0") -> dict[str, set[str]]:
    """Return the names in backticks of the second column of a page's tables, by that of the first.

    Only what comes `before` a heading counts.
    """
    found = {}
    for line in (ROOT / "docs/reference" / page).read_text().partition(before)[0].splitlines():
        if cells := re.match(r"\| `(\w+)` \|([^|]*)\|", line):
            found[cells[1]] = set(re.findall(r"`(\w+)`", cells[2]))
    return found


def functions() -> Iterator[ast.FunctionDef]:
    for source in SOURCES:
        yield from (node for node in ast.walk(ast.parse(source.read_text())) if isinstance(node, ast.FunctionDef))


def value_of(node: ast.expr, function: ast.FunctionDef) -> ast.expr:
    """Return what a local variable was assigned, and any other expression as it is."""
    if isinstance(node, ast.Name):
        for one in ast.walk(function):
            if isinstance(one, ast.Assign) and any(isinstance(at, ast.Name) and at.id == node.id for at in one.targets):
                return one.value
    return node


def names_of(node: ast.expr, function: ast.FunctionDef) -> set[str]:
    """Return the texts that an expression may be: a constant, or either side of 'a if b else c'."""
    node = value_of(node, function)
    if isinstance(node, ast.IfExp):
        return names_of(node.body, function) | names_of(node.orelse, function)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def keys_of(fields: Iterable[tuple[str | None, ast.expr]], function: ast.FunctionDef) -> set[str]:
    """Return the names of keyword arguments, or the keys of a dict; a name of None is an unpacked local dict."""
    found = set()
    for key, value in fields:
        if key is not None:
            found.add(key)
        else:
            unpacked = value_of(value, function)
            assert isinstance(unpacked, ast.Dict), ast.unparse(value)
            found |= keys_of(entries(unpacked), function)
    return found


def entries(node: ast.Dict) -> list[tuple[str | None, ast.expr]]:
    """Return (key, value) of each entry of a dict; the key of an unpacked one is None."""
    return [
        (str(key.value) if isinstance(key, ast.Constant) else None, value)
        for key, value in zip(node.keys, node.values, strict=True)
    ]


def test_the_page_of_events_has_what_is_emitted() -> None:
    emitted: dict[str, set[str]] = {}
    for function in functions():
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            if isinstance(call.func, ast.Attribute) and ast.unparse(call.func).endswith("events.emit"):
                names = names_of(call.args[0], function)
                assert names, ast.unparse(call)
                for one in names:
                    fields = keys_of(((word.arg, word.value) for word in call.keywords), function)
                    emitted.setdefault(one, set()).update(fields)
    assert rows("events.md") == emitted


def test_the_page_of_the_journal_has_its_fields() -> None:
    logged: dict[str, set[str]] = {}
    for function in functions():
        for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
            extra = next((word.value for word in call.keywords if word.arg == "extra"), None)
            if not isinstance(extra, ast.Dict) or "event" not in (key for key, _ in entries(extra)):
                continue
            names = names_of(dict(entries(extra))["event"], function)
            assert names, ast.unparse(call)
            for one in names:
                fields = {f"EDGE_{key.upper()}" for key in keys_of(entries(extra), function) - {"event"}}
                logged.setdefault(one, set()).update(fields)
    assert rows("journal.md") == logged


def test_the_page_of_mqtt_has_its_topics_commands_and_fields() -> None:
    text = (ROOT / "docs/mqtt.md").read_text()
    topics = set(re.findall(r"(?m)^\| `(\S+)` \|", text))
    fixed = {NAMES.availability, NAMES.state, NAMES.announced, NAMES.command("..."), "homeassistant/device/.../config"}
    assert topics == fixed | {NAMES.command(name) for name in COMMANDS}
    shown = [json.loads(block) for block in blocks(text) if block.startswith("{")]
    assert [one.keys() for one in shown] == [state_of(DOWN, NAMES).keys(), json.loads(announcement_of({})).keys()]


def test_the_page_of_home_assistant_has_all_entities() -> None:
    text = (ROOT / "docs/home-assistant.md").read_text()
    listed = re.findall(r"(?m)^\| `([a-z_.]+)` \|", text)
    assert sorted(listed) == sorted(one["default_entity_id"] for one in discovery_of(NAMES)["components"].values())
    # the examples have no other, but for those of another edge and of the person's own things
    used = set(re.findall(r"\b[a-z_]+\.edge_\w+", text.replace("edge_door_", "edge_kitchen_")))
    assert used == set(listed)
    for block in re.findall(r"(?ms)^```yaml\n(.*?)^```", text):
        assert isinstance(yaml.safe_load(block), dict)


def test_the_page_of_exit_codes_has_all_of_them() -> None:
    documented = set(re.findall(r"(?m)^\| (\d+) \|", (ROOT / "docs/reference/exit-codes.md").read_text()))
    codes = {value for word, value in vars(errors).items() if word.startswith("EX_")} | {EX_BROKEN_PIPE}
    assert documented == {str(code) for code in codes}
    classes = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, errors.EdgeError)]
    assert {str(one.exit_code) for one in classes} <= documented


def test_the_page_about_silence_has_each_reason() -> None:
    reasons = set(re.findall(r"(?m)^\| `([a-z ]+)` \|", (ROOT / "docs/why-silent.md").read_text(encoding="utf-8")))
    assert reasons == {reason.code for reason in Reason} - {Reason.SAID.code, Reason.PRINTED.code}


def test_the_page_of_the_socket_has_its_commands() -> None:
    error = ControlCommands(ControlState(None)).answer({"command": "?"})["error"]
    assert set(rows("socket.md", before="## The state of the daemon")) == set(error.partition("known: ")[2].split(", "))


def test_each_request_has_a_way_without_a_keyboard_or_a_reason_why_not() -> None:
    page = (ROOT / "docs/asking.md").read_text(encoding="utf-8")
    table = page.partition("## Each request, and its way without a keyboard")[2]
    found = re.findall(r"(?m)^\| `([a-z]+)` \| ([a-z ]*?) ?\| (.*?) ?\|$", table)
    known = ControlCommands(ControlState(None)).answer({"command": "?"})["error"].partition("known: ")[2].split(", ")
    assert [request for request, _, _ in found] == sorted(known, key=[one for one, _, _ in found].index)
    for request, action, reason in found:
        assert bool(action) != bool(reason), request
        assert not action or action in list(Action), request
    assert {action for _, action, _ in found if action} == set(Action)
    first = page.partition("| action | what happens |")[2].partition("\n\n")[0]
    named = {action for line in re.findall(r"(?m)^\| ([a-z ,]+?) \|", first) for action in line.split(", ")}
    assert named == set(Action)
