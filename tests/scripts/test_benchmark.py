"""scripts/benchmark.py: that it measures and tells; no figure of this machine is judged."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import benchmark_report
import pytest
from benchmark_report import Overhead, Plain, Result, Row

from edge.engines import installed_engines

ENGINES = "module,mxnet,onnx,openvino,ncnn,opencv"
SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "benchmark.py"


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.integration
def test_engines_take_turns_auto_is_checked_and_the_daemon_runs(tmp_path: Path) -> None:
    """With few pictures of a small network: every part of a whole run, down to the three files."""
    out, figures = tmp_path / "docs", tmp_path / "figures.json"
    done = run(
        *("--networks", "squeezenet1.1", "--engines", ENGINES, "--rounds", "1", "--frames", "2"),
        *("--idle", "1", "--out", out, "--json", figures),
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(figures.read_text())
    rows = {row["variant"]: row for row in found["rows"]}
    absent = found["absent"]
    assert set(rows) | set(absent) == set(ENGINES.split(","))
    assert set(installed_engines()) <= set(rows)
    assert "pip install -e '.[benchmark]'" in absent.get("opencv", "pip install -e '.[benchmark]'")
    for row in rows.values():
        assert all(row[figure] > 0 for figure in ("median_ms", "peak_mib", "load_s", "idle_ms")), row
    assert rows["module"]["peak_mib"] > rows["onnx"]["peak_mib"] > 40
    # one for which all is too little, and one that is just enough for each engine
    assert len(found["auto"]) == 1 + len(installed_engines())
    assert all(line.endswith("(right)") for line in found["auto"])
    overhead = found["overhead"]
    assert overhead["whole_ms"] > overhead["parts_ms"]["inference"] > overhead["parts_ms"]["preprocess"] > 0
    page = (out / "benchmark.md").read_text()
    assert "| mx.mod.Module |" in page
    assert str(tmp_path) not in page
    ElementTree.fromstring((out / "benchmark.svg").read_text())
    assert sorted(path.name for path in out.iterdir()) == ["benchmark.md", "benchmark.svg"]


def test_what_cannot_be_done_is_one_line() -> None:
    for arguments, code, said in (
        (("--engines", "tensorflow"), 2, "there is no engine 'tensorflow'; known: module,"),
        (("--rounds", "0"), 2, "'0' is no number from 1 on"),
        (("--networks", "nowhere/net", "--engines", "onnx", "--out", "/nonexistent/a"), 1, "there is no nowhere/net"),
    ):
        done = run(*arguments)
        assert done.returncode == code
        assert said in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def result() -> Result:
    rows = [
        Row("inception-v3", "module", 100.0, 1000.0, 2.0, 120.0),
        Row("inception-v3", "onnx", 70.0, 400.0, 0.5, 80.0),
        Row("inception-v3", "openvino", 61.0, 500.0, 0.5, 80.0),
        Row("inception-v3", "onnx int8", 50.0, 281.0, 0.5, 80.0),
        Row("inception-v3", "pnnx", 59.0, 300.0, 0.5, 80.0),
        Row("vgg16", "module", 200.0, 2300.0, 9.0, 200.0),
        Row("vgg16", "onnx int8", 30.0, 451.0, 0.5, 30.0),
        Row("vgg16", "openvino int8", 40.0, 450.0, 0.5, 30.0),
    ]
    parts = {"capture": 0.5, "preprocess": 1.0, "inference": 70.0}
    overhead = Overhead("inception-v3", "onnx", 73.0, 70.0, 1.043, parts)
    plain = [Plain("vgg16", "pnnx", "Winograd's convolution", 69.0, 170.0)]
    return Result(
        rows, {"litert": "no converter"}, ["vgg16, 900 MiB: onnx (right)"], plain, overhead, "command", 60.0, 10
    )


def test_each_goal_is_told_whether_it_holds() -> None:
    lines = benchmark_report.goals(result())
    assert lines == [
        "DOES NOT HOLD: inception-v3, openvino: 0.61 of the time (at most 0.60)",
        "holds: inception-v3, onnx: 0.40 of the memory (at most 0.40)",
        "DOES NOT HOLD: inception-v3, onnx int8: 0.28 of the memory (at most 0.28)",
        "holds: vgg16, openvino int8: 450 MiB (at most 450), 0.20 of the time (at most 0.20)",
        "DOES NOT HOLD: inception-v3, float32: openvino 1.03 of the time of ncnn by pnnx, onnx 1.33 of the memory of "
        "ncnn by pnnx (at most 1.03)",
        "holds: edge run as a whole, inception-v3, onnx: 1.043 of the bare forward (at most 1.05)",
    ]
    slow = dataclasses.replace(result(), overhead=Overhead("inception-v3", "onnx", 74.0, 70.0, 1.06, {}))
    assert benchmark_report.goals(slow)[-1].startswith("DOES NOT HOLD: edge run")


def test_a_faster_peer_is_named_with_why() -> None:
    page = benchmark_report.markdown(result())
    assert "ncnn by pnnx takes 59.0 ms, openvino 61.0" in page
    assert f"ncnn by pnnx {benchmark_report.WHY_NOT['pnnx'][:40]}" in page
    assert "- vgg16: ncnn by pnnx takes 170.0 ms without Winograd's convolution, and 69.0 beside" in page
    assert "litert: no converter" in page


def test_the_page_and_the_lines_are_readable_and_name_no_host() -> None:
    lines = benchmark_report.text(result()) + benchmark_report.table(result().rows[:5])
    assert max(map(len, lines)) <= 80
    assert os.uname().nodename not in "\n".join(lines)
    assert max(len(line) for line in benchmark_report.markdown(result()).splitlines()) <= 120


def test_the_plot_has_two_bars_for_each_row_in_proportion() -> None:
    root = ElementTree.fromstring(benchmark_report.svg(result()))
    widths = [float(one.get("width", "0")) for one in root.iter("{http://www.w3.org/2000/svg}rect")][1:]
    bars = widths[: 2 * len(result().rows)]
    assert bars[2] / bars[0] == pytest.approx(0.7, abs=0.01)
    assert bars[3] / bars[1] == pytest.approx(0.4, abs=0.01)
