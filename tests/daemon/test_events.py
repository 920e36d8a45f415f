"""Events: one JSON object a line, whatever happens to the disk."""

import json
import os
import threading
from pathlib import Path

import pytest

from edge.daemon.events import Events
from edge.errors import ConfigError


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_each_event_has_its_name_time_and_fields(tmp_path: Path) -> None:
    events = Events(str(tmp_path / "e"))
    events.emit("announced", label="piñata", frame_s=None)
    events.close()
    (line,) = read(tmp_path / "e")
    assert (line["event"], line["label"], line["frame_s"]) == ("announced", "piñata", None)
    assert str(line["time"]).count(":") >= 2
    assert isinstance(line["elapsed_s"], float)


def test_a_second_run_appends(tmp_path: Path) -> None:
    for _ in range(2):
        events = Events(str(tmp_path / "e"))
        events.emit("started")
        events.close()
    assert len(read(tmp_path / "e")) == 2


def test_no_target_is_no_work() -> None:
    Events().emit("started")


def test_a_file_that_cannot_be_opened_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"\[service\] events = .*No such file"):
        Events(str(tmp_path / "none" / "e"))


def test_a_full_disk_loses_events_and_nothing_else() -> None:
    events = Events("/dev/full")
    events.emit("started")
    events.emit("ready")
    assert events.lost == 2
    events.close()


def test_a_fifo_without_a_reader_is_refused_and_with_one_served(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    with pytest.raises(ConfigError, match="events"):
        Events(str(path))
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    events = Events(str(path))
    events.emit("started")
    assert json.loads(os.read(reader, 1000))["event"] == "started"
    os.close(reader)
    events.emit("ready")
    assert events.lost == 1
    events.close()


def test_lines_of_two_threads_do_not_mix(tmp_path: Path) -> None:
    events = Events(str(tmp_path / "e"))

    def write() -> None:
        for _ in range(50):
            events.emit("x", text="y" * 5000)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    events.close()
    assert len(read(tmp_path / "e")) + events.lost == 200
