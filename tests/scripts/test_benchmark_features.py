"""What features cost is judged by an interval: noise is never taken off a figure."""

import pytest
from benchmark_features import judge, main


@pytest.mark.parametrize(
    ("low_ms", "high_ms", "more_mib", "verdict"),
    [
        (-0.2, 0.4, 1.0, "within"),
        (0.1, 0.5, 5.0, "within"),
        (0.6, 3.0, 1.0, "over"),
        (-9.0, 9.0, 1.0, "unclear"),
        (0.4, 0.6, 1.0, "unclear"),
        (0.0, 0.1, 5.1, "over"),
    ],
)
def test_the_whole_interval_must_be_on_one_side(low_ms: float, high_ms: float, more_mib: float, verdict: str) -> None:
    assert judge(low_ms, high_ms, more_mib) == verdict


def test_one_engine_is_measured(capsys: pytest.CaptureFixture[str]) -> None:
    code = main(["demo", "--engines", "onnx", "--rounds", "2", "--frames", "2", "--pairs", "1"])
    head, row = capsys.readouterr().out.splitlines()
    assert head.split()[:2] == ["model", "engine"]
    assert row.split()[:2] == ["demo", "onnx"]
    assert {"within": 0, "over": 1, "unclear": 2}[row.split()[-1]] == code
