"""What edge doctor says about input devices."""

import os
from pathlib import Path

import pytest
from rigs.keys import fifo_device

from edge.doctor.finding import Grade
from edge.doctor.keys import check_keys
from edge.settings import InputSettings


def test_without_a_device_in_the_settings_there_is_nothing_to_say() -> None:
    assert list(check_keys(InputSettings(), None)) == []


def test_a_device_that_can_be_read_is_well(tmp_path: Path) -> None:
    with fifo_device(tmp_path / "button") as button:
        (found,) = check_keys(InputSettings(devices=(str(button.path),)), None)
    assert (found.grade, found.text, found.advice) == (Grade.GOOD, "button", "")


def test_a_device_that_is_missing_is_a_warning(tmp_path: Path) -> None:
    (found,) = check_keys(InputSettings(devices=(str(tmp_path / "button"),)), None)
    assert found.grade is Grade.WARNING
    assert found.text == f"{tmp_path / 'button'}: not found"
    assert "keys`" in found.advice


@pytest.mark.skipif(os.geteuid() == 0, reason="root may open everything")
def test_a_device_that_may_not_be_read_is_a_fault(tmp_path: Path) -> None:
    with fifo_device(tmp_path / "button") as button:
        button.path.chmod(0)
        (found,) = check_keys(InputSettings(devices=(str(button.path),)), None)
    assert found.grade is Grade.FAULT
    assert "group input" in found.text
    assert "input.conf" in found.advice


def test_a_key_that_does_not_exist_is_a_fault() -> None:
    (found,) = check_keys(InputSettings(devices=("auto",), keys={"KEY_VOLUMUP": "louder"}), None)
    assert found.grade is Grade.FAULT
    assert "did you mean KEY_VOLUMEUP?" in found.text


def test_the_running_edge_tells_what_it_reads() -> None:
    settings = InputSettings(devices=("auto", "presenter"))
    keys = {"devices": ["button@11"], "problem": None}
    (found,) = check_keys(settings, {"input": {"keys": keys}})
    assert (found.grade, found.text) == (Grade.GOOD, "the running edge reads button@11")
    keys["problem"] = "presenter: not found"  # type: ignore[assignment]
    (found,) = check_keys(settings, {"input": {"keys": keys}})
    assert (found.grade, found.text) == (Grade.WARNING, "presenter: not found; the running edge reads button@11")
