"""What the scripts that measure memory, start and a still scene tell of known things."""

import os
from types import FrameType, SimpleNamespace
from typing import cast

import measure_still
import memory_map
import pytest
import start_probe

SITE = "/opt/edge/lib/python3.11/site-packages"


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("", "heap, stacks and other memory without a file"),
        ("[heap]", "heap, stacks and other memory without a file"),
        ("/memfd:edge-frame (deleted)", "frames"),
        (f"{SITE}/cv2/cv2.abi3.so", "cv2"),
        (f"{SITE}/opencv_python.libs/libavcodec-76c43bf0.so.59.37.100", "cv2"),
        (f"{SITE}/numpy.libs/libopenblas64_p-r0-0cf96a72.3.23.dev.so", "numpy"),
        (f"{SITE}/onnxruntime/capi/onnxruntime_pybind11_state.cpython-311-x86_64-linux-gnu.so", "onnxruntime"),
        ("/usr/bin/python3.11", "python"),
        ("/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "libcrypto"),
    ],
)
def test_a_mapped_file_is_counted_for_its_library(file: str, name: str) -> None:
    assert memory_map.library(file) == name


def test_the_parts_of_a_process_add_up_to_its_sum() -> None:
    parts = {("", ""): 30.0, ("the daemon", ""): 20.0, ("the daemon", "cv2"): 15.0, ("the daemon", "libm"): 0.1}
    parts |= {("largest sum", ""): 40.0, ("aplay", ""): 10.0, ("aplay", "libasound"): 10.0}
    rows = [(title, float(value)) for title, value in memory_map.rows({"now": parts})]
    assert rows[:2] == [("**all processes**", 30.0), ("largest sum since the start", 40.0)]
    assert rows[2:5] == [("**the daemon**", 20.0), ("cv2", 15.0), ("the rest", 5.0)]
    assert rows[5:] == [("**aplay**", 10.0), ("libasound", 10.0), ("the rest", 0.0)]


def calls(*calls: tuple[str, str] | str) -> FrameType:
    """A stack of calls, the outermost first: (file, function), or the name of a module that is imported."""
    frame = None
    for call in calls:
        file, function = ("importlib", "_find_and_load") if isinstance(call, str) else call
        code = SimpleNamespace(co_filename=file, co_name=function)
        frame = SimpleNamespace(f_code=code, f_locals={"name": call}, f_back=frame)
    return cast(FrameType, frame)


MAIN = ("edge/cli/__init__.py", "main")
LOAD = ("edge/selection/selector.py", "open")


@pytest.mark.parametrize(
    ("stack", "what"),
    [
        ([MAIN], "command line and settings"),
        (["edge.cli", "edge.config", "tomllib"], start_probe.OWN),
        ([MAIN, "edge.service", "numpy", "numpy.core", "pickle"], "importing numpy"),
        ([MAIN, LOAD, "cv2", "numpy"], "importing cv2"),
        ([MAIN, LOAD, ("edge/engines/classifier.py", "__init__"), ("x.py", "run")], "loading the model"),
        ([MAIN, LOAD, ("edge/engines/classifier.py", "__init__"), ("edge/engines/classifier.py", "_run_first")],
         "first forward"),
        ([("runpy.py", "run")], "other"),
    ],
)  # fmt: skip
def test_a_start_is_accounted_for_by_what_is_done(stack: list[tuple[str, str] | str], what: str) -> None:
    assert start_probe.step(calls(*stack)) == what


def test_wake_ups_count_threads_that_came_later_and_not_those_that_went() -> None:
    before = measure_still.Used(10.0, 1.0, {(1, "1"): 100, (1, "2"): 50})
    after = measure_still.Used(20.0, 1.5, {(1, "1"): 180, (1, "3"): 20})
    assert measure_still.difference(before, after) == pytest.approx((5.0, 10.0))


def test_this_process_has_woken_up_and_used_time() -> None:
    used = measure_still.used_by(os.getpid())
    assert used.cpu_s > 0
    assert sum(used.wakes.values()) > 0
