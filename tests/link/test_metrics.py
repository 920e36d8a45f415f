"""The metrics: their names, what they count, and that they tell nothing of what was seen."""

import re
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from edge.link import http_server
from edge.link.metrics import Metrics, MetricsPart
from edge.link.state import DOWN, LinkState

UP = LinkState(
    up=True,
    version="0.2.0",
    model="efficientnet-lite0",
    engine="onnx int8",
    in_view="bagel",
    in_view_text="I see a bagel",
    last_words="I see a bagel",
    camera="USB camera C270 (/dev/video0)",
    camera_up=True,
    memory_mib=220.5,
    memory_budget_mib=640.0,
    temperature_c=51.5,
    throttled=False,
)
EVENTS: list[dict[str, Any]] = [
    {"event": "status", "frames": 100, "looks": 20, "sight_condition": None},
    {"event": "frame", "looked": True, "inference_ms": 80.0, "label": "bagel", "id": "n07693725"},
    {"event": "frame", "looked": False, "inference_ms": 0.0, "label": "bagel", "id": "n07693725"},
    {"event": "frame", "looked": True, "inference_ms": 80_000.0, "label": "bagel", "id": "n07693725"},
    {"event": "announced", "label": "bagel", "id": "n07693725", "text": "I see a bagel", "form": "label"},
    {"event": "announced", "label": "bagel", "id": "x", "text": "maybe a bagel", "form": "maybe"},
    {"event": "spoken", "text": "I see a bagel", "heard": True},
    {"event": "spoken", "text": "maybe a bagel", "heard": False, "reason": "interrupted"},
    {"event": "missed", "label": "bagel", "text": "I see a bagel", "reason": "quiet hours"},
    {"event": "missed", "label": "bagel", "text": "I see a bagel", "reason": "snoozed"},
    {
        "event": "model_changed",
        "before": "a",
        "model": "b",
        "engine": "onnx",
        "cause": "memory",
        "reason": "60 MiB left",
    },
    {"event": "camera_lost", "reason": "no frames"},
    {"event": "camera_back", "camera": "USB camera C270 (/dev/video0)"},
    {"event": "sight", "problem": "I can't see: it is dark.", "condition": "dark"},
    {"event": "notice", "text": "Using a smaller model."},
    {"event": "a new one"},
    {},
]


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Iterator[MetricsPart]:
    monkeypatch.setattr(http_server, "_POLL_S", 0.01)
    part = MetricsPart("127.0.0.1:0")
    part.start(lambda _request: {})
    yield part
    part.stop()


def scraped(part: MetricsPart) -> str:
    assert part.server
    with urllib.request.urlopen(f"{part.server.url}/metrics", timeout=10) as answer:
        assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        return str(answer.read().decode())


def values(text: str) -> dict[str, float]:
    """The value of each series, as in edge_missed_total{reason="snoozed"}."""
    found = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            found[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return found


def test_before_the_daemon_is_reached_only_what_is_known(part: MetricsPart) -> None:
    part.changed(DOWN)
    found = values(scraped(part))
    assert found["edge_up"] == 0
    gauges = ("edge_build_info", "edge_model_info", "edge_camera_up", "edge_paused", "edge_frame_age", "edge_last_look")
    assert not [name for name in found if name.startswith(gauges)]
    # series that begin at 0: the first increase of a series that was not there before would be lost
    assert found['edge_announcements_total{form="maybe"}'] == found['edge_utterances_total{heard="false"}'] == 0


def test_what_it_counts(part: MetricsPart) -> None:
    part.changed(UP)
    for event in EVENTS:
        part.happened(event)
    found = values(scraped(part))
    expected = {
        "edge_up": 1,
        'edge_build_info{version="0.2.0"}': 1,
        'edge_model_info{engine="onnx",model="efficientnet-lite0",precision="int8"}': 1,
        "edge_frames_total": 100,
        "edge_looks_total": 20,
        'edge_announcements_total{form="label"}': 1,
        'edge_announcements_total{form="maybe"}': 1,
        'edge_utterances_total{heard="true"}': 1,
        'edge_utterances_total{heard="false"}': 1,
        'edge_missed_total{reason="quiet_hours"}': 1,
        'edge_missed_total{reason="snoozed"}': 1,
        'edge_model_changes_total{reason="memory"}': 1,
        "edge_camera_restarts_total": 1,
        'edge_inference_duration_seconds_bucket{le="0.05"}': 0,
        'edge_inference_duration_seconds_bucket{le="0.1"}': 1,
        'edge_inference_duration_seconds_bucket{le="10.0"}': 1,
        'edge_inference_duration_seconds_bucket{le="+Inf"}': 2,
        "edge_inference_duration_seconds_count": 2,
        "edge_camera_up": 1,
        "edge_sound_up": 1,
        'edge_sight_problem{problem="dark"}': 1,
        'edge_sight_problem{problem="lost"}': 0,
        "edge_paused": 0,
        "edge_memory_bytes": 220.5 * 2**20,
        "edge_memory_budget_bytes": 640 * 2**20,
        "edge_temperature_celsius": 51.5,
        "edge_throttled": 0,
    }
    assert {name: found.get(name) for name in expected} == expected
    assert found["edge_inference_duration_seconds_sum"] == pytest.approx(80.08)
    assert found["edge_frame_age_seconds"] >= 0
    assert found["edge_last_look_timestamp_seconds"] > 1.7e9
    assert found["process_resident_memory_bytes"] > 2**20


def test_nothing_tells_what_was_seen(part: MetricsPart) -> None:
    """The metrics are kept for years, and read by others: they must not be a diary."""
    part.changed(UP)
    for event in EVENTS:
        part.happened(event)
    text = scraped(part)
    for word in ("bagel", "n07693725", "I see", "C270", "60 MiB"):
        assert word not in text
    allowed = {"form", "heard", "reason", "problem", "le", "version", "model", "engine", "precision"}
    assert set(re.findall(r'[{,](\w+)="', text)) <= allowed


def test_words_that_it_does_not_know_are_one_series() -> None:
    """Each value of a label is a series for ever: a text with a number in it would be thousands."""
    metrics = Metrics()
    for number in range(1000):
        for event, field in (("announced", "form"), ("missed", "reason"), ("model_changed", "cause")):
            metrics.happened({"event": event, field: f"{number} MiB"})
        metrics.happened({"event": "sight", "condition": f"{number}"})
    samples = [sample for family in metrics.collect() for sample in family.samples]
    names = [sample.name for sample in samples if "other" in sample.labels.values()]
    assert sorted(names) == ["edge_announcements_total", "edge_missed_total", "edge_model_changes_total"]
    assert len(samples) < 60


def test_while_the_daemon_is_away_its_state_is_unknown_and_the_counts_stay(part: MetricsPart) -> None:
    part.changed(UP)
    for event in EVENTS:
        part.happened(event)
    part.changed(DOWN)
    found = values(scraped(part))
    assert found["edge_up"] == 0
    assert "edge_temperature_celsius" not in found
    assert found['edge_announcements_total{form="label"}'] == 1
