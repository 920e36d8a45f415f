"""What `edge doctor` advises: each command in it is run, where that changes nothing, else as dry as its program can."""

import ast
import functools
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from edge.cli.parser import parser as edge_parser
from edge.host import installation

ROOT = Path(__file__).resolve().parents[2]
ROLE = ROOT / "deploy/roles/edge"
FILES = [*sorted((ROOT / "edge" / "doctor").glob("*.py")), ROOT / "edge" / "cli" / "doctor.py"]
HOW_TO = sorted(name for name in vars(installation) if name.startswith("how_to_"))
PROGRAMS = "sudo|apt|apt-get|pip|systemctl|journalctl|timedatectl|alsamixer|alsactl"


def literals(file: Path) -> Iterator[str]:
    """The texts of a module but its docstrings, with what it puts into them."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in ast.walk(node)}
    parts -= {id(node) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr)}
    parts |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    module = importlib.import_module(".".join(file.relative_to(ROOT).with_suffix("").parts))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value
        elif isinstance(node, ast.JoinedStr) and any("`" in ast.unparse(part) for part in node.values):
            # a command may have in it only what any reader can know: no variables of its function
            yield eval(compile(ast.Expression(node), str(file), "eval"), vars(module))


def commands(text: str) -> list[str]:
    """The commands of an advice, of which several may be in one `...`."""
    return [one.strip() for quoted in re.findall(r"`([^`]+)`", text) for one in re.split(r"&&|;", quoted)]


ADVISED = sorted({one for file in FILES for text in literals(file) for one in commands(text)})


Try = Callable[..., None]


def tried_once(attempt: Try) -> Try:
    """Remember how it ended, a skip or a failure too: many advices are the same, and apt and pip take seconds."""

    @functools.cache
    def ending(*words: str) -> BaseException | None:
        try:
            attempt(*words)
        except (AssertionError, pytest.skip.Exception, pytest.fail.Exception) as raised:
            return raised
        return None

    @functools.wraps(attempt)
    def tried(*words: str) -> None:
        if raised := ending(*words):
            raise raised

    return tried


@tried_once
def dry_apt(*words: str) -> None:
    assert words[0] == "install"
    if shutil.which("apt-get") is None:
        pytest.skip("this system has no apt")
    done = subprocess.run(["apt-get", "--simulate", *words], capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return
    for name in words[1:]:
        if subprocess.run(["apt-cache", "show", name], capture_output=True, check=False).returncode:
            if name == "python3-picamera2" and not installation.PI_OS.exists():
                pytest.skip("only Raspberry Pi OS has python3-picamera2")
            if subprocess.run(["apt-cache", "show", "python3-venv"], capture_output=True, check=False).returncode:
                pytest.skip("apt has no lists of packages: sudo apt update")
            pytest.fail(f"there is no package {name}")
    pytest.fail(done.stderr)


def dry_systemctl(*words: str) -> None:
    if shutil.which("systemctl") is None:
        pytest.skip("this system has no systemd")
    told = subprocess.run(["systemctl", "--help"], capture_output=True, text=True, check=True).stdout
    assert re.search(rf"(?m)^  {words[0]}\b", told), told
    for unit in words[1:]:
        if unit == "--now":
            continue
        assert (ROOT / "systemd" / f"{unit}.service").exists()


def dry_journalctl(*words: str) -> None:
    if shutil.which("journalctl") is None:
        pytest.skip("this system has no systemd")
    # 1: there is no journal, or none of that unit
    done = subprocess.run(["journalctl", *words, "--no-pager"], capture_output=True, text=True, check=False)
    assert done.returncode == 0 or "option" not in done.stderr, done.stderr


def dry_help(program: str, *words: str) -> None:
    if shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin") is None:
        pytest.skip(f"{program} is not installed")
    path = shutil.which(program, path=f"{os.environ['PATH']}:/usr/sbin")
    done = subprocess.run([str(path), "--help"], capture_output=True, text=True, check=False)
    assert all(word in done.stdout + done.stderr for word in words)


def dry_edge(*words: str) -> None:
    assert edge_parser().parse_args(list(words))


@functools.cache
def index_answers() -> bool:
    """Whether pip reaches an index of packages, by asking for one that all have."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--dest", os.devnull, "--quiet", "six==0"]
    return "from versions: 0." in subprocess.run(command, capture_output=True, text=True, check=False).stderr


@tried_once
def dry_python(python: str, module: str, *words: str) -> None:
    match [module, *words]:
        case ["edge", *_]:
            dry_edge(*words)
        case ["pip", "install", *_]:
            if not index_answers():
                pytest.skip("no index of Python packages can be reached")
            done = subprocess.run(
                [python, "-m", "pip", *words, "--dry-run", "--quiet"], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
        case ["pip", "uninstall", "-y", package]:
            subprocess.run([python, "-m", "pip", "--version"], capture_output=True, check=True)
            assert package
        case ["venv", *_]:
            # what it is for is looked at by who made the environment
            subprocess.run([python, "-m", "venv", *words], check=True)
        case _:
            pytest.fail(f"nobody knows how to try {module} {words}")


def dry_run(command: str) -> None:
    """Run a command without changing anything; fail where it would not work, skip where nobody can tell here."""
    words = shlex.split(command)
    if words[0] == "sudo":
        del words[0]
    program = Path(words[0])
    match [program.name, *words[1:]]:
        case ["apt", *rest]:
            dry_apt(*rest)
        case ["systemctl", *rest]:
            dry_systemctl(*rest)
        case ["journalctl", *rest]:
            dry_journalctl(*rest)
        case ["timedatectl" | "alsamixer" | "alsactl" as name, *rest]:
            dry_help(name, *rest)
        case ["arecord", "-L"]:  # it only lists
            if shutil.which("arecord") is None:
                pytest.skip("arecord is not installed")
            assert subprocess.run(words, capture_output=True, check=True, timeout=60).stdout
        case ["edge", *rest]:
            assert shutil.which(words[0])
            dry_edge(*rest)
        case ["rm", *rest]:
            assert all(word == "-f" or word.startswith(f"{sys.prefix}/") for word in rest) or "complete" in rest[0]
        case ["install", "run", *rest] if program.is_absolute():
            assert os.access(program, os.X_OK)
            subprocess.run(["bash", "-n", str(program)], check=True)
            if rest:
                assert rest[0] == "--with"
                assert (ROLE / f"files/requirements-{rest[1]}.txt").exists()
        case ["install", "-e", variables]:
            assert os.access(ROOT / program, os.X_OK)
            specs = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]
            for variable, value in yaml.safe_load(variables).items():
                assert set(value) <= set(specs["main"]["options"][variable]["choices"])
        case [name, "-m", module, *rest] if name.startswith("python"):
            dry_python(str(program), module, *rest)
        case _:
            pytest.fail(f"nobody knows how to try {command}")


@pytest.mark.parametrize("command", ADVISED)
def test_what_the_doctor_advises_can_be_done(command: str) -> None:
    dry_run(command)


def test_commands_are_marked_as_such() -> None:
    """Or the test above would not see them."""
    assert len(ADVISED) > 8
    (subcommands,) = (action.choices for action in edge_parser()._actions if isinstance(action.choices, dict))
    programs = f"{PROGRAMS}|edge ({'|'.join(subcommands)})"
    for file in FILES:
        for text in literals(file):
            if " " in text:
                assert not re.search(rf"\b({programs})\b", re.sub(r"`[^`]*`", "", text)), (file.name, text)


# ---- what depends on how edge is installed

ASK = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from edge.host import installation
if sys.argv[2] == "release":
    installation.RELEASES = Path(sys.prefix).resolve().parent
installation.PI_OS = Path(sys.argv[1] if sys.argv[3] == "pi" else "/nowhere")
argument = {"how_to_repair": ["pyttsx3"], "how_to_get": [sys.argv[4]]}
told = {name: getattr(installation, name)(*argument.get(name, [])) for name in sys.argv[5:]}
print(json.dumps({**told, "edge": installation.edge_command(), "sees": installation.sees_debians()}))
"""


def ask(python: Path, kind: str = "", system: str = "debian", lacks: str = "openvino") -> dict[str, Any]:
    command = [str(python), "-c", ASK, str(ROOT), kind, system, lacks, *HOW_TO]
    told: dict[str, Any] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    return told


@pytest.fixture(scope="module")
def environments(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The Pythons of virtual environments of Debian's Python, with and without the system's packages."""
    if not Path("/usr/bin/python3").exists():
        pytest.skip("this system has no Python of its own")
    folder = tmp_path_factory.mktemp("an environment")
    found = {}
    for name, options in (("apart", []), ("seeing", ["--system-site-packages"])):
        done = subprocess.run(
            ["/usr/bin/python3", "-m", "venv", *options, str(folder / name)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            pytest.skip(f"the system's Python makes no environments: {done.stdout.splitlines()[:1]}")
        found[name] = folder / name / "bin" / "python"
    return found


@pytest.mark.integration
@pytest.mark.parametrize("how_to", HOW_TO)
@pytest.mark.parametrize("system", ["debian", "pi"])
@pytest.mark.parametrize("where", ["apart", "seeing", "release"])
def test_what_installs_a_library_fits_the_python_that_lacks_it(
    environments: dict[str, Path], where: str, system: str, how_to: str
) -> None:
    python = environments["seeing" if where == "release" else where]
    told = ask(python, where, system)
    assert told["sees"] == (where != "apart")
    tried = commands(told[how_to])
    if how_to == "how_to_get_picamera2" and system == "debian":
        assert tried == []
        assert "only Raspberry Pi OS has it" in told[how_to]
    else:
        assert tried
    # apt's alone is of no use to an environment that does not see it
    alone = len(tried) == 1 and "apt install" in tried[0]
    assert not (alone and where == "apart")
    skipped = []
    for command in tried:
        try:
            dry_run(command)
        except pytest.skip.Exception as reason:
            skipped.append(str(reason))
    if how_to == "how_to_get_picamera2" and system == "pi" and where == "apart":
        assert ask(python, where, system)["sees"], "the system's packages were to be seen"
        (python.parents[1] / "pyvenv.cfg").write_text(
            (python.parents[1] / "pyvenv.cfg").read_text().replace("packages = true", "packages = false")
        )
    if skipped:
        pytest.skip("; ".join(skipped))


@pytest.mark.parametrize(
    ("where", "lacks", "expected"),
    [
        ("apart", "openvino", r"`\S+python -m pip install openvino`"),
        ("apart", "onnx", r"`\S+python -m pip install onnx`"),
        ("release", "openvino", r"where it was deployed from: `deploy/install -e '\{edge_with: \[openvino\]\}'`"),
        ("release", "onnx", r"where it was deployed from: `deploy/install -e '\{edge_with: \[quantize\]\}'`"),
        ("release", "onnxruntime", r"`sudo rm .+/complete`, then deploy edge again, and `sudo systemctl restart edge`"),
    ],
)
def test_a_feature_is_brought_by_one_command(
    environments: dict[str, Path], where: str, lacks: str, expected: str
) -> None:
    told = ask(environments["seeing" if where == "release" else where], where, lacks=lacks)["how_to_get"]
    assert re.fullmatch(expected, re.sub(r"'/[^']*/bin/python'", "/bin/python", told)), told


def test_in_a_clone_a_feature_is_brought_by_its_script(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installation, "is_installed", lambda _package: False)
    if not installation.is_clones():
        pytest.skip("this environment is not the clone's own")
    assert commands(installation.how_to_get("onnx")) == [f"{ROOT}/scripts/install run --with quantize"]


@pytest.mark.parametrize("how_to", HOW_TO)
def test_what_installs_a_library_here(how_to: str) -> None:
    for command in commands(ask(Path(sys.executable))[how_to]):
        dry_run(command)


def test_edge_is_called_by_a_name_that_the_shell_finds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "edge"
    other.write_text("#!/bin/sh\n")
    other.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    mine = installation.edge_command()
    assert mine != "edge"
    words = shlex.split(mine)
    assert subprocess.run([*words, "--version"], capture_output=True, text=True, check=True).stdout.startswith("edge ")
    if len(words) == 1:
        monkeypatch.setenv("PATH", str(Path(words[0]).parent))
        assert installation.edge_command() == "edge"


@pytest.mark.parametrize(
    "package",
    sorted(
        {
            name
            for path in (ROOT / "edge").rglob("*.py")
            for names in re.findall(r"sudo apt install ((?:[a-z][a-z0-9.+-]+ ?)+)", path.read_text(encoding="utf-8"))
            for name in names.split()
        }
    ),
)
def test_what_any_message_tells_to_install_with_apt_is_there(package: str) -> None:
    dry_apt("install", package)
