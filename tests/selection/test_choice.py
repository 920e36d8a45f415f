"""Which network runs, on which board, and why not the others."""

from dataclasses import replace
from pathlib import Path

import pytest
from rigs.boards import BOARDS, write_board, write_group

from edge.host.machine import Machine
from edge.models.catalogue import load_catalogue
from edge.models.measurements import Measurement
from edge.selection.choice import (
    DEFAULT_BUDGET_MIB,
    RESERVE_MIB,
    WAKE_WORD_MIB,
    Budget,
    Candidate,
    Verdict,
    budget,
    choose,
    fastest,
    no_model_fits,
    overhead_mib,
    smaller,
)

OVERHEAD_MIB = 50.0


def test_the_wake_words_process_counts() -> None:
    without = overhead_mib("csi", "espeak", on_a_pi=True)
    assert overhead_mib("csi", "espeak", on_a_pi=True, wake_word=True) == without + WAKE_WORD_MIB


def measured(peak_mib: float, median_ms: float = 50.0) -> Measurement:
    return Measurement(peak_mib, 1.0, 100.0, median_ms, 60.0, 30)


def of(mib: float) -> Budget:
    return Budget(mib, "a test")


VGG = Candidate("vgg16", 0.6986, measured(1265, 149))
RESNET = Candidate("resnet-152", 0.7833, measured(690, 103))
INCEPTION = Candidate("inception-v3", 0.7755, measured(410, 55))
SMALL = Candidate("squeezenet1.1", 0.5496, measured(180, 8))
ALL = [VGG, RESNET, INCEPTION, SMALL]


def chosen(verdicts: list[Verdict]) -> str:
    return next((verdict.candidate.name for verdict in verdicts if verdict.chosen), "")


def reasons(verdicts: list[Verdict]) -> dict[str, str]:
    return {verdict.candidate.name: verdict.reason for verdict in verdicts}


@pytest.mark.parametrize("speech", ["pyttsx3", "espeak"])
@pytest.mark.parametrize("board", list(BOARDS))
def test_the_default_is_inception_v3_on_every_pi_with_1_gb(tmp_path: Path, board: str, speech: str) -> None:
    machine = Machine(write_board(tmp_path, BOARDS[board]))
    within = budget(None, machine.memory_reading().available_mib, machine.cgroup_limit(), named=False)
    candidates = [
        Candidate(name, e.top1, e.estimate(machine.kind), e.download_mib) for name, e in load_catalogue().items()
    ]
    verdicts = choose(candidates, within, overhead_mib("auto", speech, machine.is_raspberry_pi))
    if board == "zero-2":
        # the best that fits
        assert chosen(verdicts) == next(v.candidate.name for v in verdicts if v.fits)
        assert chosen(verdicts) != "inception-v3"
        assert within.source == "90% of the available memory"
    else:
        assert chosen(verdicts) == "inception-v3"
    if BOARDS[board].total_mib > 1000:
        assert (within.mib, within.source) == (DEFAULT_BUDGET_MIB, "the default")


MIB_AND_MS = {
    "vgg16": {"mxnet": (676, 291), "onnx": (946, 162), "openvino": (687, 158), "ncnn": (896, 77)},
    "resnet-152": {"mxnet": (369, 218), "onnx": (359, 127), "openvino": (398, 116), "ncnn": (603, 98)},
    "inception-v3": {"mxnet": (232, 106), "onnx": (241, 57), "openvino": (249, 53), "ncnn": (256, 53)},
}
"""What scripts/benchmark.py measured of each engine (x86_64, 2 cores)."""


@pytest.mark.parametrize("engines", [["mxnet"], ["mxnet", "ncnn"], ["mxnet", "onnx", "openvino", "ncnn"]])
@pytest.mark.parametrize("speech", ["pyttsx3", "espeak"])
def test_more_engines_do_not_change_the_default(engines: list[str], speech: str) -> None:
    within, overhead = budget(None, 4000, None, named=False), overhead_mib("csi", speech, on_a_pi=True)
    catalogue = load_catalogue()
    best = []
    for name, figures in MIB_AND_MS.items():
        about = catalogue[name]
        ways = [Candidate(name, about.top1, measured(*figures[one]), about.download_mib, engine=one) for one in engines]
        best.append(fastest(ways, within, overhead)[0])
    assert chosen(choose(best, within, overhead)) == "inception-v3"


@pytest.mark.parametrize(
    ("mib", "name"),
    [(640, "inception-v3"), (1200, "resnet-152"), (3000, "resnet-152"), (300, "squeezenet1.1"), (60, "")],
)
def test_the_most_accurate_that_fits(mib: float, name: str) -> None:
    assert chosen(choose(ALL, of(mib), OVERHEAD_MIB)) == name


def test_the_reason_says_by_how_much() -> None:
    found = reasons(choose(ALL, of(640), OVERHEAD_MIB))
    need = 1.1 * 690 + OVERHEAD_MIB
    assert found["resnet-152"] == f"needs {need:.0f} MiB, {need - 640:.0f} MiB too much"
    assert found["inception-v3"] == "best fit: needs 501 of 640 MiB"
    assert found["squeezenet1.1"] == "fits: needs 254 of 640 MiB"


def test_the_weights_file_is_in_memory_while_it_is_loaded() -> None:
    assert choose([replace(RESNET, file_mib=230)], of(640), OVERHEAD_MIB)[0].need_mib == pytest.approx(
        690 + 230 + 50 + 69
    )


def test_the_limit_itself_still_fits() -> None:
    need = 180 + OVERHEAD_MIB + RESERVE_MIB
    assert chosen(choose([SMALL], of(need), OVERHEAD_MIB)) == "squeezenet1.1"
    assert chosen(choose([SMALL], of(need - 0.1), OVERHEAD_MIB)) == ""


def test_an_estimate_says_that_it_is_one() -> None:
    guess = replace(INCEPTION, measurement=replace(measured(410), estimated=True))
    assert "(estimate)" in reasons(choose([guess], of(640), OVERHEAD_MIB))["inception-v3"]
    assert "(estimate)" in reasons(choose([guess], of(64), OVERHEAD_MIB))["inception-v3"]


def test_of_equals_the_faster() -> None:
    slow, fast = Candidate("a", 0.7, measured(200, 50)), Candidate("b", 0.7, measured(300, 20))
    assert chosen(choose([slow, fast], of(640), OVERHEAD_MIB)) == "b"


def test_without_a_stated_accuracy_it_is_last() -> None:
    own = Candidate("own", None, measured(100, 1))
    assert chosen(choose([own, SMALL], of(640), OVERHEAD_MIB)) == "squeezenet1.1"
    assert chosen(choose([own], of(640), OVERHEAD_MIB)) == "own"


def test_latency_may_bound_it_too() -> None:
    verdicts = choose(ALL, of(3000), OVERHEAD_MIB, max_latency_ms=60)
    assert chosen(verdicts) == "inception-v3"
    assert reasons(verdicts)["resnet-152"] == "103 ms per frame, 43 ms more than max_latency_ms"


def test_what_was_killed_struck_or_never_measured_does_not_fit() -> None:
    killed = replace(RESNET, measurement=replace(measured(200), killed=True))
    rejected = replace(INCEPTION, rejected="loading it has killed edge before")
    unknown = replace(VGG, measurement=None)
    verdicts = choose([killed, rejected, unknown, SMALL], of(3000), OVERHEAD_MIB)
    assert chosen(verdicts) == "squeezenet1.1"
    found = reasons(verdicts)
    assert found["resnet-152"].startswith("needs more than 274 MiB")
    assert found["inception-v3"] == "loading it has killed edge before"
    assert found["vgg16"].startswith("not measured")


def test_none_fits_names_each_need() -> None:
    verdicts = choose(ALL, of(60), OVERHEAD_MIB)
    lines = str(no_model_fits(verdicts, of(60))).splitlines()
    assert lines[0] == "no model fits into 60 MiB (a test):"
    assert [line.split(":")[0].strip() for line in lines[1:5]] == [verdict.candidate.name for verdict in verdicts]
    assert no_model_fits(verdicts, of(60)).exit_code == 78


def test_a_step_down_goes_to_the_most_accurate_that_needs_clearly_less() -> None:
    close = Candidate("close", 0.7, measured(400))
    verdicts = choose([*ALL, close], of(3000), OVERHEAD_MIB)
    assert getattr(smaller(verdicts, "vgg16"), "candidate", None) == RESNET
    assert getattr(smaller(verdicts, "resnet-152"), "candidate", None) == INCEPTION
    assert getattr(smaller(verdicts, "inception-v3"), "candidate", None) == SMALL
    assert smaller(verdicts, "squeezenet1.1") is None


@pytest.mark.parametrize(
    ("setting", "available", "limit", "named", "expected"),
    [
        (None, 5000.0, None, False, (640, "the default")),
        (None, 5000.0, None, True, (4500, "90% of the available memory")),
        (300.0, 5000.0, None, True, (300, "memory_budget_mib")),
        (3000.0, 1000.0, None, False, (900, "90% of the available memory")),
        (3000.0, 5000.0, (256.0, "FILE"), False, (256, "the limit of the control group, FILE")),
        (None, None, None, True, (640, "the default")),
    ],
)
def test_the_smallest_budget_wins(
    setting: float | None,
    available: float | None,
    limit: tuple[float, str] | None,
    named: bool,
    expected: tuple[float, str],
) -> None:
    found = budget(setting, available, limit, named=named)
    assert (round(found.mib), found.source) == expected


@pytest.mark.parametrize("version", [1, 2])
def test_the_limit_of_a_control_group_is_a_budget(tmp_path: Path, version: int) -> None:
    root = write_board(tmp_path, BOARDS["pi4-4"])
    file = "limit_in_bytes" if version == 1 else "max"
    folder = write_group(root, version, "/system.slice/edge.service", "/", **{file: 300 * 2**20})
    machine = Machine(root)
    found = budget(None, machine.memory_reading().available_mib, machine.cgroup_limit(), named=False)
    assert found == Budget(300, f"the limit of the control group, {folder / f'memory.{file}'}", ours=False)


def test_what_other_programs_leave_may_be_more_in_a_moment_and_is_no_wrong_setting() -> None:
    """A service is started again after 69, and never after 78."""
    for within, code in (
        (budget(None, 200.0, None, named=False), 69),
        (budget(None, 5000.0, (200.0, "memory.max"), named=False), 78),
        (budget(200.0, 5000.0, None, named=False), 78),
    ):
        verdicts = choose([INCEPTION, RESNET], within, OVERHEAD_MIB)
        assert no_model_fits(verdicts, within).exit_code == code


@pytest.mark.parametrize("count", [1, 2])
def test_what_no_memory_would_help_is_a_wrong_setting_however_little_there_is(count: int) -> None:
    """A network without an int8 version, say: it would be started again and again."""
    passing = budget(None, 5000.0, None, named=True)
    rejected = [replace(one, rejected="there is no int8 version of it") for one in (SMALL, RESNET)[:count]]
    error = no_model_fits(choose(rejected, passing, OVERHEAD_MIB), passing)
    assert error.exit_code == 78
    assert "memory" not in str(error)
    assert str(error).count("there is no int8 version of it") == count
    slow = choose([RESNET], passing, OVERHEAD_MIB, max_latency_ms=60)
    assert no_model_fits(slow, passing).exit_code == 78


def with_engines(**figures: tuple[float, float]) -> list[Candidate]:
    """The same network, with peak and median by engine."""
    return [Candidate("one", 0.7, measured(*both), engine=engine) for engine, both in figures.items()]


def test_the_fastest_engine_that_fits_is_taken() -> None:
    three = with_engines(mxnet=(240, 55), onnx=(190, 39), openvino=(330, 27))
    for budget_mib, engine in ((1000, "openvino"), (330, "onnx"), (270, "onnx"), (50, "onnx")):
        best, fits = fastest(three, of(budget_mib), OVERHEAD_MIB)
        assert (best.engine, fits) == (engine, budget_mib > 50)
    quick = with_engines(mxnet=(240, 55), onnx=(400, 39))
    assert fastest(quick, of(360), OVERHEAD_MIB)[0].engine == "mxnet"
    assert fastest(quick, of(1000), OVERHEAD_MIB, max_latency_ms=45)[0].engine == "onnx"
    assert fastest(quick, of(1000), OVERHEAD_MIB, max_latency_ms=10)[1] is False


def test_an_engine_that_was_ended_for_lack_of_memory_is_the_last_that_is_taken() -> None:
    ended, larger = with_engines(onnx=(100, 0), mxnet=(500, 55))
    assert ended.measurement is not None
    ended = replace(ended, measurement=replace(ended.measurement, killed=True))
    assert fastest([ended, larger], of(1000), OVERHEAD_MIB)[0].engine == "mxnet"
    assert fastest([ended, larger], of(100), OVERHEAD_MIB)[0].engine == "mxnet"
