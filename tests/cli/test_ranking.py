"""What edge models add says about the choice of a model."""

from pathlib import Path

import pytest

from edge.cli.models.ranking import doubt, what_runs
from edge.cli.table import WIDTH
from edge.models.measurements import Measurement
from edge.selection.choice import Budget, Candidate, Verdict, choose

TOML = Path("/store/mine/model.toml")
USE = ["To use this one:", "  edge run --model mine", 'or in the settings: [model] name = "mine"']


def verdicts(top1: dict[str, float | None], peak_mib: float = 100.0) -> list[Verdict]:
    """Verdicts on models with these accuracies; mine takes `peak_mib`."""
    return choose(
        [
            Candidate(name, share, Measurement(peak_mib if name == "mine" else 100.0, 1.0, 10.0, 5.0, 6.0, 30))
            for name, share in top1.items()
        ],
        Budget(640, "the default"),
        overhead=50,
    )


@pytest.mark.parametrize(
    ("top1", "lines"),
    [
        ({"mine": None}, ["edge run uses it from now on."]),
        ({"mine": 0.7, "other": 0.6}, ["edge run uses it from now on (top-1 70.0%)."]),
        (
            {"mine": 0.6, "other": 0.7},
            ["edge run uses other (top-1 70.0%), which is stated to be more accurate than", "mine.", *USE],
        ),
        (
            {"mine": None, "other": 0.7},
            [
                "edge run uses other (top-1 70.0%). The model.toml of mine states no top1, so it",
                "ranks last.",
                *USE,
                "Or state its accuracy, if you have measured it, in [about] top1 of",
                f"  {TOML}",
            ],
        ),
    ],
)
def test_which_one_runs_and_why(top1: dict[str, float | None], lines: list[str]) -> None:
    found = what_runs("mine", TOML, "auto", verdicts(top1))
    assert "\n".join(found).splitlines() == lines


def test_one_that_is_too_large_is_not_advised() -> None:
    text = "\n".join(what_runs("mine", TOML, "auto", verdicts({"mine": 0.8, "other": 0.7}, peak_mib=900.0)))
    assert text.replace("\n", " ") == (
        "edge run uses other (top-1 70.0%): mine cannot run here: needs 1040 MiB, 400 MiB too much."
    )


def test_the_settings_may_name_one() -> None:
    others = verdicts({"mine": 0.8, "other": 0.7})
    (line,) = what_runs("mine", TOML, "mine", others)
    assert line == 'The settings name it ([model] name = "mine"), so edge run uses it.'
    first, *use = what_runs("mine", TOML, "other", others)
    assert first == 'edge run uses other, which the settings name ([model] name = "other").'
    assert use == USE


def test_one_in_another_store_is_named_by_its_path() -> None:
    assert what_runs("mine", TOML, "auto", verdicts({"other": 0.7}))[1] == "  edge run --model /store/mine"


def test_a_doubt_says_how_it_ranks() -> None:
    found = verdicts({"mine": 0.8, "better": 0.9, "other": 0.7, "nothing": None})
    *text, path = "\n".join(doubt("mine", TOML, 0.8, 1_330_000, found)).splitlines()
    assert " ".join(text) == (
        "Warning: top1 = 0.8 is doubtful. The best published models with 1.3 million parameters reach 0.72. edge "
        "chooses by it: mine ranks before other (70.0%). If it is not the accuracy of this model, correct or "
        "delete the line [about] top1 in"
    )
    assert path == f"  {TOML}"
    assert all(len(line) <= WIDTH for line in text)
