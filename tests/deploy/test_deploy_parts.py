"""The deploy's parts that need no machine: its filters, its table, its variables, and ansible-lint's judgement."""

import configparser
import json
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bundle
import edge_filters
import pytest
import yaml
from edge_filters import (
    doctor_faults,
    features,
    reads_keys,
    release_name,
    settings_file,
    source_digest,
    source_version,
    type_mistakes,
)
from hypothesis import given
from hypothesis import strategies as st
from packaging.requirements import Requirement

import edge
from edge.config import load

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
ROLE = DEPLOY / "roles" / "edge"
DEFAULTS = (ROOT / "edge/data/edge.toml").read_text()
OPTIONS = yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"]


# large files, and what other tests may be writing at this moment
IGNORED = ("*.npz", "*.params", "*.mp4", "__pycache__")


def loaded(tmp_path: Path, text: str) -> Any:
    file = tmp_path / "edge.toml"
    file.write_text(text)
    return load(file, environment={})


# ---- the settings file


def test_with_no_settings_it_is_the_commented_file_of_the_defaults(tmp_path: Path) -> None:
    assert settings_file({}, DEFAULTS) == DEFAULTS
    assert loaded(tmp_path, DEFAULTS) == load(None, environment={})


def test_a_setting_takes_its_default_s_place(tmp_path: Path) -> None:
    settings: dict[str, dict[str, Any]] = {
        "camera": {"source": "usb", "loop": True},
        "announce": {"muted": ["web site", 'a "b"'], "rename": {"notebook": "a laptop"}, "floor": 0.5},
        "model": {"memory_budget_mib": 900},
    }
    text = settings_file(settings, DEFAULTS)
    assert len(text.splitlines()) == len(DEFAULTS.splitlines())
    effective = loaded(tmp_path, text)
    assert (effective.camera.source, effective.camera.loop) == ("usb", True)
    assert list(effective.announce.muted) == ["web site", 'a "b"']
    assert effective.announce.rename == {"notebook": "a laptop"}
    assert effective.model.memory_budget_mib == 900


def test_a_key_that_there_is_not_is_written_for_edge_to_refuse(tmp_path: Path) -> None:
    text = settings_file({"camera": {"sauce": 1}, "cook": {"x": 1}}, DEFAULTS)
    with pytest.raises(Exception, match=r"unknown key sauce = 1 in \[camera\]") as told:
        loaded(tmp_path, text)
    assert "[cook]" in str(told.value)


@given(st.text())
def test_any_text_survives(text: str) -> None:
    written = settings_file({"announce": {"not_sure_text": text}}, DEFAULTS)
    (line,) = [line for line in written.split("\n") if line.startswith("not_sure_text = ")]
    assert tomllib.loads(line)["not_sure_text"] == text


# ---- what a release is called


def test_the_version_is_edge_s() -> None:
    assert source_version(str(ROOT)) == edge.__version__


def test_other_source_or_another_python_is_another_release(tmp_path: Path) -> None:
    for name in ("edge", "systemd", "scripts", "deploy/roles/edge/files"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns(*IGNORED))
    for name in ("setup.cfg", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    digest = source_digest(str(tmp_path))
    (tmp_path / "edge/__pycache__").mkdir(exist_ok=True)
    (tmp_path / "edge/__pycache__/x.pyc").touch()
    (tmp_path / "README.md").touch()
    assert source_digest(str(tmp_path)) == digest
    unit = tmp_path / "systemd/edge.service"
    unit.write_text(unit.read_text() + "\n")
    assert source_digest(str(tmp_path)) != digest
    names = {release_name("1", one, python) for one in (digest, "x") for python in ("3.11", "3.13")}
    assert len(names) == 4
    assert all(re.fullmatch(r"1-[0-9a-f]{8}", name) for name in names)


def test_other_features_are_another_release() -> None:
    names = {release_name("1", "x", "3.11", some) for some in ((), ("openvino",), ("openvino", "quantize"))}
    assert len(names) == 3
    assert release_name("1", "x", "3.11", ["quantize", "openvino"]) in names


OPENVINO = '[model]\nengine = "openvino"\n'
AUTO = '[model]\nengine = "auto"\n'


@pytest.mark.parametrize(
    ("wanted", "has", "settings", "paths", "expected"),
    [
        ([], [], ["", ""], [], []),
        (["quantize"], [], [""], ["/opt/edge/current/lib/python3.11/site-packages/openvino"], ["quantize"]),
        ([], ["quantize"], [""], [], ["quantize"]),
        ([], [], [OPENVINO, ""], [], ["openvino"]),
        ([], [], ['[model]\nengine = "ncnn"\n'], [], ["ncnn"]),
        ([], [], ["", OPENVINO], [], ["openvino"]),
        ([], [], ["Environment=EDGE_SPEECH_DRIVER=log EDGE_MODEL_ENGINE=openvino"], [], ["openvino"]),
        # auto is content without it, but not worse than before
        ([], [], [AUTO], [], []),
        ([], [], [AUTO], ["/opt/edge/current/lib/python3.11/site-packages/openvino"], ["openvino"]),
        (["quantize"], ["openvino"], ["this is no TOML"], [], ["openvino", "quantize"]),
        ([], [], ['[input]\nword = "okay_nabu"\n'], [], ["wake-word"]),
        ([], [], ['[input]\nword = ""\n'], [], []),
        ([], [], ["Environment=EDGE_INPUT_WORD=okay_nabu"], [], ["wake-word"]),
    ],
)
def test_an_upgrade_keeps_what_is_there_and_what_settings_need(
    wanted: list[str], has: list[str], settings: list[str], paths: list[str], expected: list[str]
) -> None:
    assert features(wanted, has, settings, paths) == expected


def test_each_feature_can_be_asked_for_everywhere() -> None:
    names = set(OPTIONS["edge_with"]["choices"])
    assert names == set(bundle.FEATURES)
    assert '"$files"/requirements*.txt' in (ROLE / "files/make-parts").read_text()
    assert all((ROLE / f"files/requirements-{name}.txt").exists() for name in names)


# ---- the lock

LOCK = [*(ROLE / "files").glob("requirements*.txt"), *(ROOT / "scripts/requirements").glob("*.txt")]
LOCKED = {file.name: re.findall(r"(?m)^([a-z0-9.-]+)==(\S+)", file.read_text()) for file in LOCK}


def test_a_package_is_locked_once_in_one_version_for_each_python() -> None:
    everything = [one for packages in LOCKED.values() for one in packages]
    twice = {name for name, _ in everything if sum(other == name for other, _ in everything) > 1}
    # another numpy and another Ansible for Python 3.13 than for 3.11, each in one file
    for name in twice:
        assert sum(any(other == name for other, _ in packages) for packages in LOCKED.values()) == 1, name
    for file in LOCK:
        if file.name != "sizes.txt":
            entries = re.split(r"(?m)^(?=[a-z0-9.-]+==)", file.read_text())[1:]
            assert all("--hash=sha256:" in entry for entry in entries), file


def test_the_lock_has_what_setup_cfg_asks_for() -> None:
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    parts = {
        "requirements.txt": "\n".join(
            (setup["options"]["install_requires"], extras["mxnet"], extras["onnx"], extras["lite"])
        ),
        "requirements-ncnn.txt": extras["ncnn"],
        "requirements-openvino.txt": extras["openvino"],
        "requirements-quantize.txt": extras["quantize"],
        "requirements-wake-word.txt": extras["wake-word"],
        "test.txt": f"{extras['test']}\n{extras['dev']}",
    }
    for name, text in parts.items():
        for line in filter(None, text.splitlines()):
            wanted = Requirement(line)
            versions = [
                version for packages in LOCKED.values() for one, version in packages if one == wanted.name.lower()
            ]
            assert versions, line
            assert all(wanted.specifier.contains(version) for version in versions) or wanted.marker, (name, line)
    assert {name for name, _ in LOCKED["requirements.txt"]} >= {"mxnet", "onnxruntime", "opencv-python", "pyttsx3"}
    assert not {"numpy", "systemd-python", "ncnn", "openvino", "onnx"} & {
        name for name, _ in LOCKED["requirements.txt"]
    }


def test_sizes_are_known_for_each_file_of_the_lock() -> None:
    lines = (ROOT / "scripts/requirements/sizes.txt").read_text().splitlines()[1:]
    machines = {(python, machine) for python in bundle.PYTHONS.values() for machine in bundle.PLATFORMS.values()}
    wanted = {f"{file.name} {python} {machine}" for file in LOCK for python, machine in machines}
    assert {line.rpartition(" ")[0] for line in lines} == {one for one in wanted if "sizes.txt" not in one}


# ---- variables, packages, files


def test_every_variable_is_described_has_a_default_and_stands_in_the_table() -> None:
    described = set(yaml.safe_load((ROLE / "meta/argument_specs.yml").read_text())["argument_specs"]["main"]["options"])
    defaults = set(yaml.safe_load((ROLE / "defaults/main.yml").read_text())) - {"edge_purge"}
    table = set(re.findall(r"(?m)^\| `(edge_\w+)` \|", (ROOT / "docs/deploy.md").read_text()))
    assert described == defaults == table
    example = re.findall(r"edge_\w+", (DEPLOY / "inventory.example.yml").read_text())
    assert set(example) <= described


def test_the_defaults_and_the_example_have_the_types_of_their_variables() -> None:
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    assert type_mistakes(defaults, OPTIONS) == []
    group = yaml.safe_load((DEPLOY / "inventory.example.yml").read_text())["edge"]
    for host in group["hosts"].values():
        assert type_mistakes({**defaults, **group["vars"], **(host or {})}, OPTIONS) == []


@pytest.mark.parametrize(
    ("name", "value", "form"),
    [
        ("edge_memory_budget_mib", "900", "900"),
        ("edge_memory_budget_mib", True, "900"),
        ("edge_memory_cgroup", "yes", "true"),
        ("edge_members", "pi", "[one, two]"),
        ("edge_muted", [1], "[one, two]"),
        ("edge_camera", None, "text"),
        ("edge_settings", {"camera": 1}, "{table: {key: value}}"),
        ("edge_settings", {"camera": None}, "{table: {key: value}}"),
    ],
)
def test_a_value_of_another_type_is_refused_with_what_to_write(name: str, value: object, form: str) -> None:
    defaults = yaml.safe_load((ROLE / "defaults/main.yml").read_text())
    (told,) = type_mistakes({**defaults, name: value}, OPTIONS)
    assert told.startswith(f"{name} cannot be {json.dumps(value)}; write {name}: {form}, ")


def test_every_handler_that_is_notified_exists() -> None:
    """Ansible finds it out only when something has changed."""
    handlers = {one["name"] for one in yaml.safe_load((ROLE / "handlers/main.yml").read_text())}
    tasks = "".join(file.read_text() for file in (ROLE / "tasks").iterdir())
    notified = set(re.findall(r"(?m)^ +notify: (.+)$", tasks))
    assert notified
    assert notified <= handlers


@pytest.mark.parametrize(
    ("texts", "reads"),
    [
        ([], False),
        ([DEFAULTS, "", "Environment=EDGE_CAMERA_WAIT=true"], False),
        (["", '[input]\ndevices = ["auto"]\n'], True),
        (["[input]\ndevices = []\ntones = true\n"], False),
        (["this is no TOML", "input = 3"], False),
        (['Environment=EDGE_CAMERA_WAIT=true EDGE_INPUT_DEVICES=["auto"]'], True),
    ],
)
def test_the_service_may_read_keys_only_if_settings_ask_for_it(texts: list[str], reads: bool) -> None:
    assert reads_keys(texts) == reads


def test_nothing_is_copied_with_a_backup_where_windows_rules_for_names_hold() -> None:
    # Ansible's names of backups have colons, which the file system of /boot/firmware refuses
    assert "backup" not in (ROLE / "tasks/board.yml").read_text().replace("Ansible's own backup", "")


def test_a_bundle_has_what_the_role_installs() -> None:
    listed = yaml.safe_load((ROLE / "vars/main.yml").read_text())["edge_packages"]
    role = set(re.findall(r"'([a-z][a-z0-9.+-]+)'", listed)) - {"trixie", "arm64", "python3-picamera2"}
    ours = {*bundle.PACKAGES, *bundle.GLIB.values(), *(name for names in bundle.FOR_MXNET.values() for name in names)}
    assert role == ours


def test_no_file_of_the_deploy_names_a_package_index_or_keeps_a_secret() -> None:
    for file in DEPLOY.rglob("*"):
        if file.is_file() and not {".venv", ".cache", "__pycache__", "host_vars"} & set(file.parts):
            assert not re.search(r"--(extra-)?index-url|find-links http|password:", file.read_text()), file


@pytest.mark.integration
def test_ansible_lint_finds_nothing(tmp_path: Path) -> None:
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path), "LC_ALL": "C.UTF-8"}
    lint = [
        sys.executable,
        "-m",
        "ansiblelint",
        "--offline",
        "-q",
        "--nocolor",
        "--profile",
        "production",
        "deploy",
    ]
    done = subprocess.run(lint, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == ""


# ---- the table at the end


class Shown:
    """Ansible's display."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def banner(self, text: str) -> None:
        self.lines.append(text)

    def display(self, text: str) -> None:
        self.lines.append(text)


def result(host: str, **values: Any) -> Any:
    task = SimpleNamespace(get_name=lambda: "edge : Use the release")
    return SimpleNamespace(_host=SimpleNamespace(name=host), _result=values, _task=task)


def test_the_table_has_a_line_for_each_and_the_reasons_whole() -> None:
    import edge_summary

    table = edge_summary.CallbackModule()
    table._display = shown = Shown()
    hosts = [SimpleNamespace(name=name) for name in ("one", "two", "three", "four")]
    inventory = SimpleNamespace(get_hosts=lambda _pattern, ignore_restrictions: hosts)
    table.v2_playbook_on_play_start(
        SimpleNamespace(hosts="edge", get_variable_manager=lambda: SimpleNamespace(_inventory=inventory))
    )
    report = {"version": "1-ab", "model": "demo", "camera": "x" * 50, "sound": "pyttsx3", "state": "active"}
    table.v2_runner_on_ok(result("one", ansible_facts={"edge_report": report}))
    table.v2_runner_on_failed(result("two", msg="Task failed: Module failed: bad key\nmend it", runs="1-aa"))
    table.v2_runner_on_failed(result("two", msg="ignored"), ignore_errors=True)
    table.v2_runner_on_unreachable(result("three", msg="no route"))
    table.v2_playbook_on_stats(None)
    banner, header, *rows = shown.lines
    assert banner == "EDGE"
    assert header.split() == ["HOST", "VERSION", "MODEL", "CAMERA", "SOUND", "STATE"]
    assert rows[0].split() == ["one", "1-ab", "demo", "x" * 31 + "…", "pyttsx3", "active"]
    assert rows[1].split()[:2] == ["two", "1-aa"]
    assert rows[1].endswith("failed: Use the release")
    assert rows[2].endswith("unreachable")
    assert rows[3].endswith("not touched: an earlier host failed")
    assert rows[4:] == ["\ntwo: bad key\nmend it", "\nthree: no route"]


def test_of_a_command_what_it_printed_is_told_and_of_a_loop_what_failed() -> None:
    import edge_summary

    table = edge_summary.CallbackModule()
    table._display = shown = Shown()
    table._hosts = ["one"]
    parts = [
        {"failed": False, "msg": "fine"},
        {"failed": True, "cmd": ["edge"], "stderr": "edge: no such model\n", "msg": "x"},
    ]
    table.v2_runner_on_failed(result("one", msg="One or more items failed", results=parts))
    table.v2_playbook_on_stats(None)
    assert shown.lines[-1] == "\none: edge: no such model"


def test_faults_of_the_doctor_and_what_it_prints_when_it_fails() -> None:
    fault = {"check": "camera", "grade": "fault", "text": "none", "advice": "plug one in"}
    assert doctor_faults(json.dumps([fault, {**fault, "grade": "warning"}])) == ["camera: none -> plug one in"]
    assert doctor_faults("edge: --service: no systemd\n") == ["edge: --service: no systemd"]
    assert set(edge_filters.FilterModule().filters()) == {
        "edge_source_version", "edge_source_digest", "edge_release_name", "edge_settings_file", "edge_type_mistakes",
        "edge_doctor_faults", "edge_features", "edge_reads_keys",
    }  # fmt: skip


# ---- the scripts


@pytest.mark.parametrize("script", ["install", "uninstall", "rollback", "bundle"])
def test_each_script_tells_what_it_does(script: str) -> None:
    if script == "bundle":  # it needs its environment for that
        with pytest.raises(SystemExit) as ended:
            bundle.main(["--help"])
        assert ended.value.code == 0
        return
    done = subprocess.run([DEPLOY / script, "--help"], capture_output=True, text=True, check=True)
    assert f"deploy/{script}" in done.stdout


def test_a_bundle_that_cannot_be_made_says_why(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert bundle.main(["--model-folder", str(tmp_path), "-o", str(tmp_path)]) == 69
    assert "has no checkpoint" in capsys.readouterr().err
    assert bundle.main(["--keyring", str(tmp_path / "none"), "-o", str(tmp_path)]) == 69
    assert "debian-archive-keyring" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []
