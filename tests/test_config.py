"""Settings: layers, limits, and messages that a person can act on."""

import re
from importlib import resources
from pathlib import Path

import pytest

from edge.config import load, to_toml
from edge.errors import ConfigError
from edge.settings import Settings


def write(folder: Path, text: str) -> Path:
    path = folder / "edge.toml"
    path.write_text(text, encoding="utf-8")
    return path


def faults(path: Path | None = None, **layers: dict[str, object]) -> str:
    with pytest.raises(ConfigError) as caught:
        load(path, environment=layers.get("environment", {}), flags=layers.get("flags"))  # type: ignore[arg-type]
    return str(caught.value)


def test_layers_go_before_each_other(tmp_path: Path) -> None:
    path = write(tmp_path, '[camera]\nsource = "usb"\nwidth = 320\nheight = 240\n')
    settings = load(
        path, environment={"EDGE_CAMERA_WIDTH": "800", "EDGE_CAMERA_HEIGHT": "600"}, flags={"camera": {"height": 64}}
    )
    assert (settings.camera.source, settings.camera.width, settings.camera.height) == ("usb", 800, 64)


def test_the_environment_has_types() -> None:
    environment = {"EDGE_CAMERA_LOOP": "true", "EDGE_ANNOUNCE_FLOOR": "0.7", "EDGE_MODEL_NAME": "x", "EDGE_OTHER": "1"}
    settings = load(environment=environment)
    assert (settings.camera.loop, settings.announce.floor, settings.model.name) == (True, 0.7, "x")


@pytest.mark.parametrize(
    ("file", "environment", "flags", "engine"),
    [
        ("", {}, {"precision": "int8"}, "auto"),
        ('precision = "int8"', {}, {}, "auto"),
        ("", {"EDGE_MODEL_PRECISION": "int8"}, {}, "auto"),
        # an engine that was chosen for float32
        ('engine = "mxnet"', {}, {"precision": "int8"}, "auto"),
        ('engine = "openvino"', {}, {"precision": "int8"}, "openvino"),
        ('precision = "int8"', {}, {"engine": "onnx"}, "onnx"),
        ('engine = "mxnet"', {}, {}, "mxnet"),
        ('precision = "int8"', {}, {"precision": "float32"}, "mxnet"),
    ],
)
def test_int8_alone_takes_an_engine_that_can(
    tmp_path: Path, file: str, environment: dict[str, str], flags: dict[str, str], engine: str
) -> None:
    path = write(tmp_path, f"[model]\n{file}\n")
    assert load(path, environment=environment, flags={"model": flags}).model.engine == engine


def test_mxnet_that_is_asked_for_in_int8_is_a_fault(tmp_path: Path) -> None:
    path = write(tmp_path, '[model]\nengine = "mxnet"\nprecision = "int8"\n')
    assert re.search(r"edge\.toml: \[model\] precision = 'int8' does not work with mxnet", faults(path))
    later = faults(write(tmp_path, '[model]\nprecision = "int8"\n'), flags={"model": {"engine": "mxnet"}})
    assert "edge.toml and command line: [model] precision = 'int8'" in later


def test_a_whole_number_will_do_for_a_number(tmp_path: Path) -> None:
    assert load(write(tmp_path, "[announce]\ncooldown_s = 5\n"), environment={}).announce.cooldown_s == 5.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[camera]\nsorce = 1\n", r"unknown key sorce = 1 in \[camera\]; did you mean source\?"),
        ("[camra]\n", r"unknown table or key \[camra\]; did you mean camera\?"),
        ("floor = 1\n", "unknown table or key floor = 1"),
        ("camera = 3\n", r"camera = 3 must be a table"),
        ("[camera]\nwidth = 'wide'\n", r"\[camera\] width = 'wide' must be a whole number"),
        ("[camera]\nwidth = true\n", r"\[camera\] width = True must be a whole number"),
        ("[camera]\nwidth = 5\n", r"\[camera\] width = 5 must be between 32 and 8192"),
        ("[camera]\nloop = 1\n", r"loop = 1 must be true or false"),
        ("[announce]\nfloor = nan\n", r"floor = nan must be between"),
        ("[announce]\nfloor = 0.2\n", r"hold = 0.35 is above floor = 0.2"),
        ("[announce]\nsure = 0.3\nmaybe = 1\n", r"hold = 0.35 is above sure = 0.3"),
        ("[announce]\nmaybe = 0.97\n", r"maybe = 0.97 is above sure = 0.96; set it lower, or to 1 for never"),
        (
            "[announce]\nquiet_hours = '22-7'\n",
            r"quiet_hours = '22-7' are not quiet hours; write them as '22:00-07:00'",
        ),
        ("[announce]\nquiet_hours = '24:00-07:00'\n", "are not quiet hours"),
        ("[announce]\nmuted = 'cat'\n", r"muted = 'cat' must be a list of texts"),
        ("[announce]\nmuted = ['cat', 3]\n", r"muted = \['cat', 3\] must be a list of texts"),
        ("[announce.rename]\ncat = 3\n", r"rename = {'cat': 3} must be a table of texts"),
        ("[announce]\nmaybe_or_template = 'maybe {label}'\n", "put {label} and {other} in it"),
        ("[speech]\ndriver = 'siri'\n", r"driver = 'siri' must be one of pyttsx3, espeak, log"),
        ("[camera\n", r"not TOML"),
        ("[announce]\ntemplate = 'hello'\n", "template = 'hello' would say the same for everything"),
        ("[announce]\ntemplate = '{'\n", "template = '{' is not a template"),
        *(
            (f"[announce]\ntemplate = '{template}'\n", "has a field other than {label}")
            for template in ("{lable}", "{}", "{0}", "{label} {x}", "{label.upper}", "{label!r}", "{label:>9}")
        ),
    ],
)
def test_each_fault_is_a_line_with_file_key_and_value(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    said = faults(path)
    assert re.search(message, said)
    assert "\n" not in said
    assert said.startswith(f"{path}: ")


def test_all_faults_at_once(tmp_path: Path) -> None:
    path = write(tmp_path, "[camera]\nwidth = 1\nsorce = 2\n[speech]\nvolume = 9\n")
    said = faults(path, environment={"EDGE_CAMERA_LOOP": "maybe"})
    assert len(said.splitlines()) == 4


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "edge.toml"
    path.write_bytes(b"\xef\xbb\xbf[camera]\nwidth = 64\n")
    assert load(path, environment={}).camera.width == 64


@pytest.mark.parametrize("template", ["I see {label}", "{label}", "{label}, {{really}} {label}"])
def test_good_templates(template: str) -> None:
    assert load(environment={}, flags={"announce": {"template": template}}).announce.template == template


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    assert str(tmp_path / "none.toml") in faults(tmp_path / "none.toml")


def test_printed_settings_read_back_to_the_same(tmp_path: Path) -> None:
    environment = {
        "EDGE_SPEECH_VOICE": 'a "quoted" ñ\\voice\x7f',
        "EDGE_CAMERA_LOOP": "true",
        "EDGE_ANNOUNCE_MUTED": '["Cat", "a \\"b\\""]',
        "EDGE_ANNOUNCE_RENAME": '{"web site": "Seite"}',
    }
    settings = load(environment=environment)
    assert settings.announce.muted == ("Cat", 'a "b"')
    assert load(write(tmp_path, to_toml(settings)), environment={}) == settings


def test_the_commented_file_shows_every_default(tmp_path: Path) -> None:
    text = (resources.files("edge") / "data" / "edge.toml").read_text(encoding="utf-8")
    uncommented = re.sub(r"^# (\w+ = )", r"\1", text, flags=re.MULTILINE)
    path = write(tmp_path, uncommented)
    assert load(path, environment={}) == Settings()
    keys = re.findall(r"^(\w+) = ", uncommented, flags=re.MULTILINE)
    assert keys == re.findall(r"^(\w+) = ", to_toml(Settings()), flags=re.MULTILINE)
    assert load(write(tmp_path, text), environment={}) == Settings()


def test_a_file_of_an_earlier_release_that_sets_only_sure_still_works(tmp_path: Path) -> None:
    """Its `maybe` was 0.4 by default, and is 0.8 now: it follows `sure`."""
    (tmp_path / "edge.toml").write_text("[announce]\nsure = 0.7\n")
    announce = load(tmp_path / "edge.toml").announce
    assert (announce.sure, announce.maybe) == (0.7, 0.7)


@pytest.mark.parametrize(("floor", "margin"), [(0.4, 0.0), (0.6, 0.2), (0.95, 0.8)])
def test_a_file_of_an_earlier_release_that_sets_only_floor_still_decides_by_it(
    floor: float, margin: float, tmp_path: Path
) -> None:
    (tmp_path / "edge.toml").write_text(f"[announce]\nfloor = {floor}\n")
    assert load(tmp_path / "edge.toml").announce.margin == pytest.approx(margin)
    (tmp_path / "edge.toml").write_text(f"[announce]\nfloor = {floor}\nmargin = 0.5\n")
    assert load(tmp_path / "edge.toml").announce.margin == 0.5
