#!/usr/bin/env python3
"""Show how the code is organised: the folders of edge/, what each is for, and who imports whom.

    scripts/structure.py             print it
    scripts/structure.py --write     print it, and update docs/structure.md

The rules are in setup.cfg, [importlinter]. A module that is started or loaded by its name in a string counts as
imported.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import ast
import configparser
import graphlib
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parents[1]
DOCUMENT = ROOT / "docs" / "structure.md"
UNIT = "edge.service"
"""The name of the systemd unit. It is no reference to the module."""
BY_NAME = "by a name in a string"
"""Stands in the graph instead of the line of an import."""
TO_READ_FIRST = ("stages", "pipeline", "service")
_LOADERS = ("import_module", "__import__")
_MODULE = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)+)(?::[A-Za-z_]\w*)?")


@dataclass(frozen=True)
class Wing:
    """A folder or a module at the top of edge/."""

    name: str
    purpose: str
    """The first paragraph of its docstring, in one line."""
    files: int
    lines: int
    imports: tuple[str, ...]
    """The others that its files import, or start by name."""
    is_folder: bool


def import_graph(package: str = "edge", folder: Path = ROOT) -> grimp.ImportGraph:
    """Return who imports whom, names of modules in strings included, and the packages of others by their first name.

    `folder` is where the package is; it must be importable from there.
    """
    graph = grimp.build_graph(package, include_external_packages=True, cache_dir=None)
    for path in sorted((folder / package).rglob("*.py")):
        importer = module_name(path, folder)
        for imported, line in named_modules(ast.parse(path.read_text(encoding="utf-8")), graph.modules):
            if imported not in graph.modules:
                graph.add_module(imported, is_squashed=True)
            if imported != importer:
                graph.add_import(importer=importer, imported=imported, line_number=line, line_contents=BY_NAME)
    return graph


def module_name(path: Path, folder: Path = ROOT) -> str:
    """Return the name by which a file below `folder` is imported."""
    parts = path.relative_to(folder).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def named_modules(tree: ast.AST, modules: set[str]) -> Iterator[tuple[str, int]]:
    """Yield (module, line) for each string that names one of `modules`, and for what a loading function is called with.

    "edge.cameras.sources:open_found" names a module too, and f"onnx.{part}" loads onnx. A logger's name is no import.
    """
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    loggers = {argument for call in calls if _function(call) == "getLogger" for argument in call.args}
    for node in ast.walk(tree):
        if node in loggers:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value != UNIT:
            match = _MODULE.fullmatch(node.value)
            if match and match[1] in modules:
                yield match[1], node.lineno
        elif isinstance(node, ast.Call) and node.args and _function(node) in _LOADERS:
            name = known_text(node.args[0]).split(".")[0]
            if name and name not in {module.split(".")[0] for module in modules if "." in module}:
                yield name, node.lineno


def _function(call: ast.Call) -> str:
    match call.func:
        case ast.Attribute(attr=name) | ast.Name(id=name):
            return name
    return ""


def known_text(node: ast.expr) -> str:
    """Return a text as far as it is known: also the beginning of f"onnxruntime.{part}"."""
    first = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else node
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def circle(graph: grimp.ImportGraph, package: str = "edge") -> list[str]:
    """Return modules that import each other in a circle, the first again at the end; empty when there is none."""
    imports = {
        module: graph.find_modules_directly_imported_by(module)
        for module in graph.modules
        if module.split(".")[0] == package
    }
    try:
        graphlib.TopologicalSorter(imports).prepare()
    except graphlib.CycleError as error:
        return list(reversed(error.args[1]))
    return []


def layers() -> list[list[str]]:
    """Return what stands at the top of edge/, as setup.cfg orders it: a layer imports only from those after it."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    lines = config["importlinter:contract:layers"]["layers"].split("\n")
    return [[name.strip() for name in line.split("|")] for line in lines if line.strip()]


def wings(graph: grimp.ImportGraph) -> dict[str, Wing]:
    """Return what stands at the top of edge/, by name, in the order of the layers."""
    found = {}
    for name in (name for layer in layers() for name in layer):
        path = ROOT / "edge" / name
        files = sorted(path.rglob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
        imported = graph.find_modules_directly_imported_by(f"edge.{name}", as_package=True)
        others = {module.split(".")[1] for module in imported if module.startswith("edge.")} - {name}
        found[name] = Wing(
            name,
            purpose(path / "__init__.py" if path.is_dir() else files[0]),
            len(files),
            sum(len(file.read_text(encoding="utf-8").splitlines()) for file in files),
            tuple(sorted(others)),
            path.is_dir(),
        )
    return found


def purpose(path: Path) -> str:
    """Return the first paragraph of a module's docstring, in one line."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return " ".join(docstring.split("\n\n")[0].split())


def needed(imports: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return the imports without those that a longer path implies: a -> c if a -> b -> c."""

    def beyond(name: str) -> set[str]:
        return set().union(*({other} | beyond(other) for other in imports.get(name, set())))

    return {
        name: {other for other in others if not any(other in beyond(third) for third in others - {other})}
        for name, others in imports.items()
    }


def children(graph: grimp.ImportGraph) -> dict[str, list[str]]:
    """Return the modules that edge/worker.py runs in a child process, with the modules that start each.

    Each of them has a function `open_driver`.
    """
    programs = {}
    for path in sorted((ROOT / "edge").rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        if any(isinstance(node, ast.FunctionDef) and node.name == "open_driver" for node in tree.body):
            module = module_name(path)
            importers = graph.find_modules_that_directly_import(module)
            programs[module] = sorted(importer for importer in importers if _names(graph, importer, module))
    return programs


def _names(graph: grimp.ImportGraph, importer: str, imported: str) -> bool:
    details = graph.get_import_details(importer=importer, imported=imported)
    return any(detail["line_contents"] == BY_NAME for detail in details)


# --- docs/structure.md ----------------------------------------------------------------------------------------------


def table_of_modules(found: Mapping[str, Wing]) -> str:
    """The modules of the spine, as a table in Markdown. Numbers of lines would change with nearly every commit."""
    lines = ["| module | what it is for | imports |", "|---|---|---|"]
    spine = [wing for wing in found.values() if not wing.is_folder]
    for wing in sorted(spine, key=lambda wing: (*(wing.name != name for name in TO_READ_FIRST), wing.name)):
        lines.append(f"| {_link(wing)} | {wing.purpose} | {', '.join(wing.imports) or '-'} |")
    return "\n".join(lines)


def table_of_folders(found: Mapping[str, Wing]) -> str:
    """The folders, as a table in Markdown, upper layers first."""
    lines = ["| folder | what it is for | imports |", "|---|---|---|"]
    for wing in found.values():
        if wing.is_folder:
            lines.append(f"| {_link(wing)} | {wing.purpose} | {', '.join(wing.imports) or '-'} |")
    return "\n".join(lines)


def _link(wing: Wing) -> str:
    name = f"{wing.name}/" if wing.is_folder else f"{wing.name}.py"
    return f"[{name}](../edge/{name})"


def diagram_of_wings(found: Mapping[str, Wing]) -> str:
    """The layers, and who imports whom, in Mermaid. An import that a longer path implies is left out."""
    lines = ["```mermaid", "flowchart TD"]
    for number, layer in enumerate(layers()):
        if len(layer) > 1:
            lines += [f'  subgraph layer{number}[" "]', "    direction LR", *(f"    {name}" for name in layer), "  end"]
    for name, wing in found.items():
        shape = f'["{name}/"]' if wing.is_folder else f'(["{name}.py"])'
        lines.append(f"  {_node(name)}{shape}")
    for name, others in needed({name: set(wing.imports) for name, wing in found.items()}).items():
        lines += [f"  {_node(name)} --> {_node(other)}" for other in sorted(others)]
    return "\n".join([*lines, "```"])


def _node(name: str) -> str:
    return name.strip("_")


def diagram_of_processes(graph: grimp.ImportGraph) -> str:
    """The processes, and who starts each, in Mermaid. The child processes are found in the code."""
    lines = [
        "```mermaid",
        "flowchart LR",
        '  deploy["deploy/: Ansible, from another machine"] -- "installs a release and its units" --> systemd',
        '  systemd["systemd"] -- "starts, watches, reloads" --> daemon',
        '  clients["edge status, pause, mute, ...<br>edge/cli/asking.py"] -- "control socket: JSON lines" --> daemon',
        '  daemon -- "lines and fields" --> journal["journal"]',
        '  subgraph service["edge.service"]',
        '    daemon["edge run: the daemon"]',
    ]
    programs = children(graph)
    for module in programs:
        path = module.replace(".", "/") + ".py"
        lines.append(f'    {_node_of(module)}["{path}"]')
    lines.append("  end")
    for module, starters in programs.items():
        for starter in starters:
            # the starter is a child itself, or a module of the daemon
            node = _node_of(starter) if starter in programs else "daemon"
            path = starter.replace(".", "/")
            name = f"{path}/" if (ROOT / path).is_dir() else f"{path}.py"
            lines.append(f'  {node} -- "{name}" --> {_node_of(module)}')
    return "\n".join([*lines, "```"])


def _node_of(module: str) -> str:
    return module.removeprefix("edge.").replace(".", "_")


def document(text: str, parts: Mapping[str, str]) -> str:
    """Return the text with each part between its markers, <!-- name: written by ... --> and <!-- end of name -->."""
    for name, part in parts.items():
        begin, end = f"<!-- {name}: written by scripts/structure.py --write -->", f"<!-- end of {name} -->"
        if text.count(begin) != 1 or text.count(end) != 1:
            raise ValueError(f"{DOCUMENT}: the markers of {name} are not there once each")
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{part}\n{end}{rest.split(end)[1]}"
    return text


def renewed(graph: grimp.ImportGraph) -> str:
    """Return the text of docs/structure.md."""
    found = wings(graph)
    parts = {
        "spine": table_of_modules(found),
        "folders": table_of_folders(found),
        "imports": diagram_of_wings(found),
        "processes": diagram_of_processes(graph),
    }
    return document(DOCUMENT.read_text(encoding="utf-8"), parts)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--write", action="store_true", help="update docs/structure.md")
    chosen = parser.parse_args(arguments)
    graph = import_graph()
    for wing in wings(graph).values():
        name = f"{wing.name}/" if wing.is_folder else f"{wing.name}.py"
        print(f"{name:14} {wing.files:3} files {wing.lines:6} lines  {wing.purpose}")
        print(f"{'':14} imports {', '.join(wing.imports) or 'nothing of edge'}")
    print("\nLayers. Each imports only from those below it:")
    for layer in layers():
        print(f"  {' | '.join(layer)}")
    modules = circle(graph)
    print(f"\nA circle: {' -> '.join(modules)}" if modules else "\nNo module imports another that imports it.")
    if chosen.write:
        DOCUMENT.write_text(renewed(graph), encoding="utf-8")
        print(f"Written: {DOCUMENT.relative_to(ROOT)}")
    return 1 if modules else 0


if __name__ == "__main__":
    sys.exit(main())
