"""The figures of the wake word: few recordings and minutes, or those of docs/wake-word.md with --long."""

import re
import shutil
from pathlib import Path

import pytest
import score_wake_word
from score_wake_word import JUDGED, SPOKEN, VENDORS, false_starts, heard

from edge.input.detector import THRESHOLDS
from edge.settings import InputSettings

PAGE = Path(__file__).resolve().parents[2] / "docs" / "wake-word.md"


@pytest.fixture(scope="module", autouse=True)
def _needs_tools() -> None:
    if not shutil.which("espeak-ng"):
        pytest.skip("needs espeak-ng")
    pytest.importorskip("pymicro_wakeword")


def test_okay_nabu_is_heard_and_other_sound_is_not() -> None:
    found = heard("okay_nabu", THRESHOLDS["okay_nabu"], JUDGED[:2])
    assert len(found) == 20
    assert sum(count == 1 for _, count in found) >= 16
    assert sum(false_starts(3).values()) == 0


def test_every_word_of_the_settings_has_a_threshold() -> None:
    (word,) = [one for one in InputSettings.__dataclass_fields__.values() if one.name == "word"]
    assert set(word.metadata["choices"]) == {"", *THRESHOLDS}
    assert THRESHOLDS.keys() < SPOKEN.keys() == VENDORS.keys()


@pytest.mark.long
def test_words_that_are_heard_less_than_60_times_in_100_are_not_offered() -> None:
    for word in SPOKEN:
        found = heard(word, THRESHOLDS.get(word, VENDORS[word]))
        right = sum(count > 0 for _, count in found)
        assert len(found) == 100
        assert (right >= 60) == (word in THRESHOLDS), (word, right)
        assert word != "okay_nabu" or right >= 80
        # the page has the figures of this run
        row = re.search(rf"(?m)^\| `{word}` \|.*$", PAGE.read_text())
        assert row, word
        assert f" {right} " in row[0]


@pytest.fixture(scope="module")
def starts_in_eight_hours() -> dict[str, int]:
    return false_starts(480)


@pytest.mark.long
@pytest.mark.parametrize(
    "word",
    [
        pytest.param(
            word,
            marks=pytest.mark.xfail(
                word == "okay_nabu",
                reason="docs/wake-word.md: two false starts in eight hours, and one is the aim",
                raises=AssertionError,
                strict=False,
            ),
        )
        for word in THRESHOLDS
    ],
)
def test_eight_hours_of_other_sound_start_it_at_most_once(word: str, starts_in_eight_hours: dict[str, int]) -> None:
    assert starts_in_eight_hours[word] <= 1


def test_the_fit_prints_a_line_for_each_threshold(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(score_wake_word, "FITTED", score_wake_word.FITTED[:1])
    monkeypatch.setattr(score_wake_word, "NEAR", score_wake_word.NEAR[:1])
    assert score_wake_word.main(["--fit", "--minutes", "0.5"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(SPOKEN) * (1 + len(score_wake_word.THRESHOLDS_TRIED))
    assert lines[0].startswith("okay_nabu: threshold, heard of 10 recordings")
