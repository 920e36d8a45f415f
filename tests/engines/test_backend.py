"""A backend is text in files and on the screen, and the same again when it is read."""

import json
from pathlib import Path

import pytest

from edge.engines import ENGINES, engine_version, precision_problem
from edge.engines.backend import Backend
from edge.models.measurements import Measurement, Measurements


@pytest.mark.parametrize(
    ("backend", "text"),
    [
        (Backend("mxnet"), "mxnet"),
        (Backend("onnx", "float32"), "onnx"),
        (Backend("onnx", "int8"), "onnx int8"),
        (Backend("unfused"), "unfused"),
    ],
)
def test_its_text_is_read_back(backend: Backend, text: str) -> None:
    assert str(backend) == text
    assert Backend.parse(text) == backend


def test_an_engine_that_cannot_compute_so_says_which_can() -> None:
    assert precision_problem(Backend("mxnet", "int8")).startswith("mxnet cannot compute in int8; onnx and openvino can")
    assert precision_problem(Backend("onnx", "int8")) == ""
    assert [precision_problem(Backend(engine)) for engine in ENGINES] == [""] * len(ENGINES)


def test_what_a_release_before_has_measured_is_found(tmp_path: Path) -> None:
    """The keys of measurements.json: machine, engine with version and precision, fingerprint."""
    for backend in (Backend("onnx"), Backend("onnx", "int8")):
        version = engine_version(Backend("onnx"))
        key = f"a board, {version}{' int8' if backend.precision == 'int8' else ''}, 0123456789abcdef"
        kept = {"peak_mib": 100.0, "load_s": 1.0, "first_ms": 2.0, "median_ms": 3.0, "p95_ms": 4.0, "frames": 30}
        (tmp_path / "measurements.json").write_text(json.dumps({key: kept}))
        found = Measurements([tmp_path], "a board").find("0123456789abcdef", engine_version(backend))
        assert found == Measurement(100.0, 1.0, 2.0, 3.0, 4.0, 30)
