"""Who may import whom: the contracts in setup.cfg, and what import-linter cannot say, read from the code itself."""

import ast
import copy
import importlib
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grimp
import pytest
from importlinter.api import read_configuration
from importlinter.contracts.acyclic_siblings import AcyclicSiblingsContract
from importlinter.contracts.forbidden import ForbiddenContract
from importlinter.contracts.layers import LayersContract
from importlinter.contracts.protected import ProtectedContract
from importlinter.domain.contract import Contract
from structure import ROOT, circle, import_graph, known_text, layers, module_name, named_modules

EDGE = ROOT / "edge"
MODULES = sorted(str(path.relative_to(EDGE)) for path in EDGE.rglob("*.py"))
TYPES: dict[str, type[Contract]] = {
    kind.type_name: kind for kind in (AcyclicSiblingsContract, ForbiddenContract, LayersContract, ProtectedContract)
}
CONFIGURATION = read_configuration(str(ROOT / "setup.cfg"))
CONTRACTS: dict[str, dict[str, Any]] = {options["id"]: options for options in CONFIGURATION["contracts_options"]}
GRAPH = import_graph()


def is_kept(contract: str, graph: grimp.ImportGraph) -> bool:
    """Whether a graph keeps a contract of setup.cfg; prints what breaks it."""
    options = CONTRACTS[contract]
    checker = TYPES[options["type"]](options["name"], CONFIGURATION["session_options"], options)
    check = checker.check(copy.deepcopy(graph), verbose=False)
    if not check.kept:
        checker.render_broken_contract(check)
    return check.kept


def listed(value: str | list[str] | None) -> list[str]:
    """The lines of an option, of which one alone is no list."""
    return [value] if isinstance(value, str) else value or []


def doors() -> dict[str, set[str]]:
    """Each library that only some modules of edge may import, with those modules: what setup.cfg excepts."""
    found: dict[str, set[str]] = {}
    for options in CONTRACTS.values():
        excepted = [line.split(" -> ") for line in listed(options.get("ignore_imports"))]
        for vendor in listed(options.get("forbidden_modules")):
            if vendor.split(".")[0] != "edge" and excepted:
                found[vendor] = {importer for importer, imported in excepted if imported == vendor}
    return found


DOORS = doors()


@pytest.mark.parametrize("contract", CONTRACTS)
def test_the_contract_is_kept_also_through_names_in_strings(contract: str) -> None:
    assert is_kept(contract, GRAPH)


BREAKS = [
    ("layers", "edge.errors", "edge.stages"),
    ("layers", "edge.models.store", "edge.engines.trial"),
    ("layers", "edge.vision.images", "edge.cameras"),
    ("layers", "edge.engines", "edge.selection.selector"),
    ("layers", "edge.pipeline", "edge.daemon.events"),
    ("layers", "edge.daemon.reporter", "edge.service"),
    ("layers", "edge.service", "edge.cli"),
    ("layers", "edge.announce.wording", "edge.speech"),
    ("layers", "edge.installer.install", "edge.quantizer.tools"),
    ("layers", "edge.worker", "edge.config"),
    ("circles", "edge.host.libraries", "edge.host.installation"),
    ("circles", "edge.importer.onnx", "edge.importer.translate"),
    ("circles", "edge.selection.option", "edge.selection.options"),
    ("circles", "edge.importer.operators.common", "edge.importer.operators.layers"),
    ("mxnet", "edge.engines.mxnet", "mxnet"),
    ("onnx", "edge.importer.onnx", "onnx"),
    ("onnxruntime", "edge.quantizer.tools", "onnxruntime"),
    ("openvino", "edge.engines.graph", "openvino"),
    ("ncnn", "edge.engines.graph", "ncnn"),
    ("picamera2", "edge.cameras.sources", "picamera2"),
    ("picamera2", "edge.doctor.devices", "libcamera"),
    ("prometheus_client", "edge.link.program", "prometheus_client"),
    ("segno", "edge.link.program", "segno"),
    ("pymicro_wakeword", "edge.input.wake_word", "pymicro_wakeword"),
    ("pyttsx3", "edge.speech", "pyttsx3"),
    ("systemd", "edge.daemon.reporter", "systemd"),
    ("opencv", "edge.vision.thumbnail", "cv2"),
    ("light", "edge.worker", "numpy"),
    ("light", "edge.worker", "edge.stages"),
    ("spine", "edge.pipeline", "edge.settings"),
    ("spine", "edge.pipeline", "edge.cameras"),
    ("spine", "edge.service", "edge.engines"),
    ("spine", "edge.service", "edge.cameras"),
    ("spine", "edge.service", "edge.vision.visibility"),
    ("spine", "edge.stages", "edge.errors"),
    ("spine", "edge.settings", "edge.errors"),
    ("spine", "edge.config", "edge.host.machine"),
    ("spine", "edge.worker", "edge.settings"),
    ("spine", "edge.__main__", "edge.service"),
    ("host", "edge.host.atomic", "edge.errors"),
    ("host", "edge.host.systemd", "edge.host.machine"),
    ("vision", "edge.vision.motion", "edge.settings"),
    ("vision", "edge.vision.visibility", "edge.announce.notices"),
    ("layers", "edge.vision.visibility", "edge.announce.notices"),
    ("announce", "edge.announce.announcer", "edge.announce.notices"),
    ("announce", "edge.announce.schedule", "edge.errors"),
    ("drivers", "edge.cameras.opencv", "edge.worker"),
    ("drivers", "edge.cameras.demo", "edge.models.store"),
    ("drivers", "edge.speech.espeak", "edge.worker"),
    ("input", "edge.input.actions", "edge.daemon.answers"),
    ("hosts", "edge.cameras.sources", "edge.cameras.process"),
    ("hosts", "edge.speech.driver", "edge.speech.process"),
    ("models", "edge.models.store", "edge.host.machine"),
    ("models", "edge.importer.graph", "edge.engines"),
    ("models", "edge.installer.converter.pth", "edge.models.store"),
    ("engines", "edge.engines.mxnet", "edge.worker"),
    ("engines", "edge.engines", "edge.settings"),
    ("engines", "edge.quantizer.quantize", "edge.vision.images"),
    ("choosing", "edge.installer.packaged", "edge.engines"),
    ("choosing", "edge.installer.provisioner", "edge.worker"),
    ("choosing", "edge.selection.selector", "edge.announce.notices"),
    ("choosing", "edge.selection.choice", "edge.announce.wording"),
    ("choosing", "edge.selection.selector", "edge.cameras"),
    ("daemon", "edge.daemon.health", "edge.settings"),
    ("daemon", "edge.daemon.monitors", "edge.speech"),
    ("daemon", "edge.daemon.requests", "edge.engines"),
    ("daemon", "edge.daemon.wiring", "edge.cameras"),
    ("daemon", "edge.daemon.wiring", "edge.selection.selector"),
    ("daemon", "edge.daemon.control_socket", "edge.daemon.control_state"),
    ("link", "edge.link.subscription", "edge.daemon.control_socket"),
    ("link", "edge.link.state", "edge.stages"),
    ("paho", "edge.link.mqtt.session", "paho"),
    ("doctor", "edge.doctor.model", "edge.daemon.equipment"),
    ("doctor", "edge.doctor", "edge.engines"),
    ("cli", "edge.cli.control", "edge.daemon.control_state"),
    ("cli", "edge.cli.models.quantize", "edge.cameras.opencv"),
]


@pytest.mark.parametrize(("contract", "importer", "imported"), BREAKS)
def test_the_contract_is_broken_by_an_import_that_it_forbids(contract: str, importer: str, imported: str) -> None:
    graph = copy.deepcopy(GRAPH)
    if imported not in graph.modules:
        graph.add_module(imported, is_squashed=True)
    assert importer in graph.modules
    assert not graph.direct_import_exists(importer=importer, imported=imported)
    graph.add_import(importer=importer, imported=imported)
    assert not is_kept(contract, graph)


def test_each_contract_is_shown_to_be_broken_by_something() -> None:
    assert {contract for contract, _, _ in BREAKS} == set(CONTRACTS)


def test_no_module_imports_one_that_imports_it() -> None:
    assert not circle(GRAPH)


HOUSE = {
    "__init__": "",
    "kitchen": "import importlib\nimport house.door\nSTART = ['-m', 'house.oven']\n",
    "oven": "def load(part):\n    return importlib.import_module(f'onnx.{part}')\n",
    "door": "",
}


def house(folder: Path, monkeypatch: pytest.MonkeyPatch, **changed: str) -> grimp.ImportGraph:
    """The graph of a small package of some modules."""
    (folder / "house").mkdir()
    for name, code in (HOUSE | changed).items():
        (folder / "house" / f"{name}.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(folder)
    importlib.invalidate_caches()
    return import_graph("house", folder)


def test_a_name_in_a_string_is_an_import(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = house(tmp_path, monkeypatch)
    assert graph.find_modules_directly_imported_by("house.kitchen") == {"house.door", "house.oven", "importlib"}
    assert graph.find_modules_directly_imported_by("house.oven") == {"onnx"}
    assert not circle(graph, "house")


@pytest.mark.parametrize(
    ("module", "code"),
    [
        ("door", "import house.kitchen"),
        ("door", "from house import kitchen"),
        ("door", "def late():\n    from house.kitchen import START"),
        ("oven", "'house.kitchen:START'"),
        ("oven", "TABLE = {'cook': 'house.kitchen'}"),
        ("oven", "import house.door\nimportlib.import_module('house.kitchen')"),
    ],
)
def test_a_circle_is_seen(module: str, code: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = circle(house(tmp_path, monkeypatch, **{module: code}), "house")
    assert found[0] == found[-1]
    assert {f"house.{module}", "house.kitchen"} <= set(found)


def test_what_edge_starts_by_name_is_seen() -> None:
    started = {
        "edge.cameras.process": {"edge.cameras.child", "edge.cameras.sources"},
        "edge.cameras": {"edge.cameras.sources"},
        "edge.speech": {"edge.speech.espeak", "edge.speech.pyttsx3"},
        "edge.engines.measure": {"edge.engines.trial"},
        "edge.engines": {
            f"edge.engines.{name}" for name in ("mxnet", "mxnet_compat", "ncnn", "onnx", "openvino", "unfused")
        },
        "edge.installer.install": {"edge.engines.gluon"},
        "edge.daemon.upgrade": {"edge.installer.install"},
    }
    for importer, imported in started.items():
        assert imported <= GRAPH.find_modules_directly_imported_by(importer)


@pytest.mark.parametrize("module", MODULES)
def test_a_name_of_a_module_stands_whole(module: str) -> None:
    """A name in parts, such as f"edge.engines.{name}", would be seen by nobody."""
    tree = ast.parse((EDGE / module).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr | ast.BinOp):
            first = node.left if isinstance(node, ast.BinOp) else node
            assert not known_text(first).startswith("edge."), f"{module}:{node.lineno}"


def test_the_top_of_the_house() -> None:
    """Nine modules, and folders that say what they are for."""
    top = {path.name for path in EDGE.iterdir() if path.name != "__pycache__"}
    spine = {"__init__", "__main__", "config", "errors", "pipeline", "service", "settings", "stages", "worker"}
    files = {name for name in top if (EDGE / name).is_file()}
    assert files == {f"{name}.py" for name in spine} | {"py.typed"}
    assert len(top - files) <= 17
    in_layers = {name for layer in layers() for name in layer}
    assert in_layers == (spine | top - files) - {"__init__", "data"}
    assert not list((EDGE / "data").rglob("*.py"))


@pytest.mark.parametrize("module", MODULES)
def test_a_module_has_a_place_in_the_house(module: str) -> None:
    """Each says what it is for, and a contract says what it may import of edge."""
    path = EDGE / module
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{module} does not say what it is for"
    name = module_name(path)
    contracts = [
        key
        for key, options in CONTRACTS.items()
        if "edge.**" in listed(options.get("forbidden_modules")) or key == "cli"
        for expression in listed(options["source_modules"])
        if name == expression or ("*" in expression and name in GRAPH.find_matching_modules(expression))
    ]
    assert len(contracts) == 1, f"{module} has no place in the house yet: add it to a contract in setup.cfg"


def test_the_contracts_name_only_what_exists() -> None:
    vendors = set(DOORS) | {"numpy"}
    for key, options in CONTRACTS.items():
        for option in ("source_modules", "forbidden_modules", "protected_modules", "allowed_importers"):
            for expression in listed(options.get(option)):
                assert expression in vendors or exists(expression), f"{key}: {expression}"
        for line in listed(options.get("ignore_imports")):
            importer, imported = line.split(" -> ")
            assert exists(importer), f"{key}: {line}"
            assert imported in vendors or exists(imported), f"{key}: {line}"


def exists(expression: str) -> bool:
    return bool(GRAPH.find_matching_modules(expression)) if "*" in expression else expression in GRAPH.modules


# what reports to its vendor when it is imported, or must be mended first: nobody may pass by the door, nor may a script
GUARDED = {"mxnet", "onnx", "onnxruntime", "openvino"}
ALL_FILES = sorted(
    str(path.relative_to(ROOT))
    for folder in ("edge", "scripts", "tests", "deploy")
    for path in (ROOT / folder).rglob("*.py")
    # not what deploys keep there, nor this, which has examples of what is forbidden
    if path != Path(__file__) and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
)


def imports(path: Path) -> Iterator[tuple[str, bool]]:
    """(module, whether the import is at the top level) for each import of a file."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, id(node) in top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            yield node.module, id(node) in top


def guarded_imports(tree: ast.AST) -> Iterator[str]:
    """What is guarded and imported: by a statement, by name through a function, or in code that is in a text."""
    for node in ast.walk(tree):
        match node:
            case ast.Import():
                names = [alias.name for alias in node.names]
            case ast.ImportFrom(module=str(name)):
                names = [name]
            case ast.Call(func=ast.Attribute(attr=function) | ast.Name(id=function), args=[first, *_]):
                names = [known_text(first)] if function in ("import_module", "importorskip", "__import__") else []
            case ast.Constant(value=str(text)) if "import" in text:
                names = list(guarded_imports(parsed(text)))
            case _:
                continue
        yield from (name for name in names if name.split(".")[0] in GUARDED)


def parsed(text: str) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(text))
    except SyntaxError:
        return ast.Module([], [])


def test_the_doors_are_known() -> None:
    """Where setup.cfg excepts somebody else, it is meant."""
    cameras = {f"edge.cameras.{name}" for name in ("child", "files", "opencv", "picamera2")}
    assert {
        "mxnet": {"edge.engines.mxnet_compat"},
        "onnx": {"edge.quantizer.tools"},
        "onnxruntime": {"edge.engines.onnx"},
        "openvino": {"edge.engines.openvino"},
        "ncnn": {"edge.engines.ncnn"},
        "paho": {"edge.link.mqtt.connection"},
        "picamera2": {"edge.cameras.picamera2"},
        "libcamera": {"edge.cameras.picamera2"},
        "prometheus_client": {"edge.link.metrics"},
        "segno": {"edge.link.page.invitation"},
        "pymicro_wakeword": {"edge.input.detector"},
        "pyttsx3": {"edge.speech.pyttsx3"},
        "systemd": {"edge.host.systemd"},
        "cv2": cameras
        | {"edge.engines.preprocess", "edge.models.calibrator.camera", "edge.models.calibrator.drawings"}
        | {"edge.vision.images", "edge.selection.copies"},
    } == DOORS


AT_TOP = {"models/calibrator/camera.py", "models/calibrator/drawings.py", "link/metrics.py"} | {
    "link/mqtt/connection.py"
}
"""Modules that need their library in each function. Only `edge models calibrate` imports those that draw, when it runs,
and `edge link` the metrics and MQTT, when the settings have them."""


@pytest.mark.parametrize("module", MODULES)
def test_each_vendor_library_has_one_door(module: str) -> None:
    for name, at_top in imports(EDGE / module):
        vendor = name.split(".")[0]
        if vendor in DOORS:
            assert module_name(EDGE / module) in DOORS[vendor], f"{module} imports {name}"
            assert not at_top or module in AT_TOP, (
                f"{module} imports {name} at the top level: it must be inside the function that opens it"
            )


@pytest.mark.parametrize("file", ALL_FILES)
def test_nobody_imports_an_engine_but_through_its_door(file: str) -> None:
    """Tests and scripts neither, for a person runs them too."""
    path = ROOT / file
    for name in guarded_imports(ast.parse(path.read_text(encoding="utf-8"))):
        may = DOORS[name.split(".")[0]]
        assert module_name(path) in may, f"{file} imports {name}; {' or '.join(may)} has a function for it"


@pytest.mark.parametrize(
    "code",
    [
        "import onnxruntime",
        "def load():\n    from onnxruntime.quantization import calibrate",
        "importlib.import_module('openvino.tools')",
        "from importlib import import_module\nimport_module('onnx')",
        "import_module(f'onnxruntime.{part}')",
        "__import__('mxnet')",
        "pytest.importorskip('onnx')",
        "CODE = 'import sys; import openvino'",
    ],
)
def test_each_way_to_import_is_seen(code: str) -> None:
    assert list(guarded_imports(ast.parse(code)))


@pytest.mark.parametrize(
    ("code", "named"),
    [
        ("START = 'edge.cameras.child'", {"edge.cameras.child"}),
        ("START = 'edge.cameras.sources:open_found'", {"edge.cameras.sources"}),
        ("UNIT = 'edge.service'", set()),
        ("logging.getLogger('edge.daemon')", set()),
        ("'''Joined by edge.pipeline in a text.'''", set()),
        ("import_module(f'onnxruntime.{part}')", {"onnxruntime"}),
        ("importlib.import_module('mxnet')", {"mxnet"}),
        ("__import__('cv2')", {"cv2"}),
        ("importlib.import_module(name)", set()),
    ],
)
def test_each_way_to_name_a_module_is_seen(code: str, named: set[str]) -> None:
    assert {module for module, _ in named_modules(ast.parse(code), GRAPH.modules)} == named


def test_a_contract_says_what_breaks_it(capsys: pytest.CaptureFixture[str]) -> None:
    graph = copy.deepcopy(GRAPH)
    graph.add_import(importer="edge.errors", imported="edge.host.atomic")
    assert not is_kept("layers", graph)
    assert "edge.errors is not allowed to import edge.host" in capsys.readouterr().out
