"""Who may import whom: the house stands on it, so it is read from the code itself."""

import ast
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1] / "edge"
MODULES = sorted(str(path.relative_to(ROOT)) for path in ROOT.rglob("*.py"))
STANDARD_LIBRARY: set[str] = set()

# module or folder -> what of edge it may import. The longest match counts.
ALLOWED = {
    "__init__.py": STANDARD_LIBRARY,
    "__main__.py": {"edge.cli"},
    "errors.py": STANDARD_LIBRARY,
    "host/atomic.py": STANDARD_LIBRARY,
    "stages.py": STANDARD_LIBRARY,
    "host/systemd.py": STANDARD_LIBRARY,
    "settings.py": STANDARD_LIBRARY,
    "config.py": {"edge.errors", "edge.settings"},
    "daemon/events.py": {"edge.errors"},
    "worker.py": {"edge.errors"},
    "announce/schedule.py": {"edge.settings", "edge.stages"},
    "announce/announcer.py": {"edge.announce.schedule", "edge.settings", "edge.stages"},
    "announce/notices.py": {"edge.settings"},
    "daemon/control_state.py": {"edge.announce.announcer", "edge.host.atomic"},
    "daemon/control_socket.py": {"edge.errors"},
    "vision/thumbnail.py": {"edge.stages"},
    "vision/motion.py": {"edge.vision.thumbnail"},
    "vision/visibility.py": {"edge.stages", "edge.vision.thumbnail"},
    "pipeline.py": {f"edge.{name}" for name in ("aloud", "errors", "etiquette", "picture", "stages")},
    "daemon/signals.py": {"edge.errors"},
    "host/machine.py": STANDARD_LIBRARY,
    "host/memory.py": STANDARD_LIBRARY,
    "host/libraries.py": STANDARD_LIBRARY,
    "host/installation.py": {"edge.host.libraries"},
    "daemon/health.py": {"edge.host.machine"},
    "daemon/reporter.py": {f"edge.{name}" for name in ("announcer", "events", "pipeline", "stages", "systemd")},
    "daemon/monitors.py": {
        f"edge.{name}" for name in ("aloud", "cameras", "health", "loader", "machine", "sight", "stages")
    },
    "daemon/requests.py": {
        *(f"edge.{name}" for name in ("aloud", "announcer", "cameras", "desk", "etiquette", "loader", "pipeline")),
        *("edge", "edge.daemon.reporter", "edge.vision.visibility", "edge.stages"),
    },
    "installer/install.py": {
        *(f"edge.{name}" for name in ("converter", "engines", "errors", "machine", "models", "worker")),
    },
    "selection/selector.py": {
        *(f"edge.{name}" for name in ("aloud", "engines", "errors", "importer", "machine", "models", "settings")),
        *("edge.installer.packaged", "edge.stages"),
    },
    "cameras": {f"edge.{name}" for name in ("cameras", "errors", "installation", "libraries", "settings", "stages")},
    "installer/packaged.py": {f"edge.{name}" for name in ("converter", "durable", "errors", "importer", "models")},
    "cameras/process.py": {"edge.errors", "edge.settings", "edge.stages", "edge.worker"},
    "models": {"edge.host.atomic", "edge.errors", "edge.models"},
    "models/groups.py": {"edge.stages"},
    "models/fetch.py": {"edge", "edge.models", "edge.errors"},
    "models/measurements.py": {"edge.models"},
    "engines/measure.py": {"edge.host.memory", "edge.host.machine", "edge.models", "edge.errors", "edge.worker"},
    "converter": {"edge.installer.converter", "edge.errors", "edge.importer"},
    "importer": {"edge.host.atomic", "edge.errors", "edge.importer", "edge.models"},
    "engines": {
        *(
            f"edge.{name}"
            for name in ("engines", "errors", "importer", "installation", "libraries", "models", "stages")
        ),
    },
    "engines/selftest.py": {
        *(f"edge.{name}" for name in ("cameras", "engines", "errors", "importer", "models", "stages")),
    },
    "engines/trial.py": {"edge.engines", "edge.host.memory", "edge.models"},
    "quantizer": {
        *(
            f"edge.{name}"
            for name in ("durable", "engines", "errors", "importer", "installation", "models", "quantizer", "stages")
        ),
    },
    "speech": {"edge.errors", "edge.settings", "edge.speech", "edge.stages"},
    "speech/process.py": {"edge.errors", "edge.settings", "edge.speech", "edge.stages", "edge.worker"},
    "announce/articles.py": {"edge.errors"},
    "daemon/equipment.py": {
        *(f"edge.{name}" for name in ("cameras", "errors", "loader", "machine")),
        *(f"edge.{name}" for name in ("models", "settings", "speech", "stages")),
    },
    "doctor": {
        *(f"edge.{name}" for name in ("cameras", "desk", "doctor", "errors", "health", "loader", "machine", "models")),
        *(
            f"edge.{name}"
            for name in ("installation", "libraries", "packaged", "picture", "settings", "sight", "speech")
        ),
        "edge.stages",
    },
    "service.py": {
        "edge",
        *(f"edge.{name}" for name in ("aloud", "clerk", "control", "desk", "etiquette", "gate", "guards", "sight")),
        *(f"edge.{name}" for name in ("announcer", "equipment", "errors", "events", "health", "settings")),
        *(f"edge.{name}" for name in ("machine", "models", "pipeline", "reporter", "speech", "stages", "stopper")),
        "edge.host.systemd",
        "edge.daemon.upgrade",
    },
    "daemon/upgrade.py": {"edge.errors", "edge.selection.selector", "edge.models", "edge.stages", "edge.worker"},
    "cli": {
        "edge",
        *(
            f"edge.{name}"
            for name in (
                *("aloud", "cameras", "cli", "config", "control", "doctor", "engines", "errors", "importer"),
                *("model_installer", "loader", "gate", "installation", "machine", "models", "packaged", "picture"),
                "quantizer",
            )
        ),
        *(f"edge.{name}" for name in ("pipeline", "service", "settings", "speech", "stages", "systemd", "worker")),
    },
}
# vendor library -> the only modules that may import it, inside a function
DOORS = {
    "mxnet": {"engines/mxnet_compat.py"},
    "onnx": {"quantizer/tools.py"},
    "onnxruntime": {"engines/onnx.py"},
    "openvino": {"engines/openvino.py"},
    "picamera2": {"cameras/picamera2.py", "cameras/__init__.py"},
    "libcamera": {"cameras/picamera2.py"},
    "pyttsx3": {"speech/pyttsx3.py"},
    "systemd": {"host/systemd.py"},
    "cv2": {
        *(f"cameras/{name}.py" for name in ("opencv", "files", "images", "picamera2")),
        "engines/preprocess.py",
    },
}

# what reports to its vendor when it is imported, or must be mended first: nobody may pass by the door, nor may a script
GUARDED = {"mxnet", "onnx", "onnxruntime", "openvino"}
PROJECT = ROOT.parent
ALL_FILES = sorted(
    str(path.relative_to(PROJECT))
    for folder in ("edge", "scripts", "tests", "deploy")
    for path in (PROJECT / folder).rglob("*.py")
    # not what deploys keep there, nor this, which has examples of what is forbidden
    if path != Path(__file__) and not any(part.startswith(".") for part in path.relative_to(PROJECT).parts)
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
            if node.module == "edge":
                # `from edge import pipeline` names a module, `from edge import __version__` does not
                for alias in node.names:
                    is_module = (ROOT / f"{alias.name}.py").exists() or (ROOT / alias.name).is_dir()
                    yield (f"edge.{alias.name}" if is_module else "edge", id(node) in top)
            else:
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
                names = [text_of(first)] if function in ("import_module", "importorskip", "__import__") else []
            case ast.Constant(value=str(text)) if "import" in text:
                names = list(guarded_imports(parsed(text)))
            case _:
                continue
        yield from (name for name in names if name.split(".")[0] in GUARDED)


def text_of(node: ast.expr) -> str:
    """A text as far as it is known: also the beginning of f"onnxruntime.{part}"."""
    first = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else node
    return first.value if isinstance(first, ast.Constant) and isinstance(first.value, str) else ""


def parsed(text: str) -> ast.AST:
    try:
        return ast.parse(textwrap.dedent(text))
    except SyntaxError:
        return ast.Module([], [])


def allowed(module: str) -> set[str]:
    matches = [key for key in ALLOWED if module == key or module.startswith(f"{key}/")]
    assert matches, f"{module} has no place in the house yet: add it to ALLOWED"
    return ALLOWED[max(matches, key=len)]


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_it_may(module: str) -> None:
    may = allowed(module)
    for name, _ in imports(ROOT / module):
        if name.split(".")[0] == "edge":
            inside = any(name == other or (other != "edge" and name.startswith(f"{other}.")) for other in may)
            assert inside, f"{module} imports {name}"


@pytest.mark.parametrize("module", MODULES)
def test_each_vendor_library_has_one_door(module: str) -> None:
    for name, at_top in imports(ROOT / module):
        vendor = name.split(".")[0]
        if vendor in DOORS:
            assert module in DOORS[vendor], f"{module} imports {name}"
            assert not at_top, f"{module} imports {name} at the top level: it must be inside the function that opens it"


@pytest.mark.parametrize("file", ALL_FILES)
def test_nobody_imports_an_engine_but_through_its_door(file: str) -> None:
    """Tests and scripts neither, for a person runs them too."""
    for name in guarded_imports(ast.parse((PROJECT / file).read_text(encoding="utf-8"))):
        doors = {f"edge/{door}" for door in DOORS[name.split(".")[0]]}
        assert file in doors, f"{file} imports {name}; {' or '.join(doors)} has a function for it"


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


def test_the_rules_name_only_what_exists() -> None:
    for key in ALLOWED:
        assert (ROOT / key).exists(), key
    for doors in DOORS.values():
        for door in doors:
            assert (ROOT / door).exists(), door
