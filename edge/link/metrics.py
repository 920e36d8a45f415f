"""The metrics of the daemon for Prometheus, at /metrics. No name or label tells what was seen."""

import contextlib
import logging
import resource
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.registry import Collector, CollectorRegistry

from edge.link.http_server import HttpServer, Request, Response
from edge.link.parts import Ask
from edge.link.state import DOWN, LinkState

_log = logging.getLogger(__name__)
BUCKETS_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the inference time's buckets: from a small network on a PC to a large one on a Pi 3."""
FORMS = ("label", "group", "maybe", "not_sure")
CAUSES = ("memory", "room", "better", "settings")
PROBLEMS = ("dark", "bright", "covered", "frozen", "lost")
SILENCES = {"quiet hours": "quiet_hours", "snoozed": "snoozed"}
_OTHER = "other"
_MIB = 2**20


class Metrics(Collector):
    """Counts the daemon's events, and gives all metrics when somebody asks. Several threads may use it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._state = DOWN
        self._frames = self._looks = 0
        self._problem: str | None = None
        self._announcements = Counter(dict.fromkeys(FORMS, 0))
        self._utterances = Counter({"true": 0, "false": 0})
        self._missed = Counter(dict.fromkeys(SILENCES.values(), 0))
        self._changes = Counter(dict.fromkeys(CAUSES, 0))
        self._camera_restarts = 0
        self._buckets = [0] * (len(BUCKETS_S) + 1)
        self._inference_s = 0.0
        self._frame_s: float | None = None
        """When the newest frame came, by time.monotonic()."""
        self._look_at_s: float | None = None
        """When the last frame was classified, by time.time()."""

    def changed(self, state: LinkState) -> None:
        """Take the new state."""
        with self._lock:
            self._state = state

    def happened(self, event: Mapping[str, Any]) -> None:
        """Count an event of the daemon."""
        with self._lock:
            match event.get("event"):
                case "frame":
                    self._frame(event)
                case "status":
                    self._frames, self._looks = int(event.get("frames") or 0), int(event.get("looks") or 0)
                    self._problem = event.get("sight_condition")
                case "sight":
                    self._problem = event.get("condition")
                case "announced":
                    self._announcements[_known(event.get("form"), FORMS)] += 1
                case "spoken":
                    self._utterances["true" if event.get("heard") else "false"] += 1
                case "missed":
                    self._missed[SILENCES.get(str(event.get("reason")), _OTHER)] += 1
                case "model_changed":
                    self._changes[_known(event.get("cause"), CAUSES)] += 1
                case "camera_back":
                    self._camera_restarts += 1

    def _frame(self, event: Mapping[str, Any]) -> None:
        self._frame_s = time.monotonic()
        if not event.get("looked"):
            return
        self._look_at_s = time.time()
        took_s = float(event.get("inference_ms") or 0.0) / 1000
        self._inference_s += took_s
        self._buckets[next((at for at, most_s in enumerate(BUCKETS_S) if took_s <= most_s), -1)] += 1

    def collect(self) -> Iterator[Metric]:
        """Yield all metrics as they are now. What is not known has no value."""
        with self._lock:
            yield from self._counted()
            yield from self._seen()
        yield from _own()

    def _counted(self) -> Iterator[Metric]:
        yield CounterMetricFamily("edge_frames", "Frames since the daemon's start", self._frames)
        yield CounterMetricFamily("edge_looks", "Frames that were classified since the daemon's start", self._looks)
        for name, text, label, counts in (
            ("edge_announcements", "Announcements, by what they claim", "form", self._announcements),
            ("edge_utterances", "Sentences whose end is known, by whether they were heard", "heard", self._utterances),
            ("edge_missed", "What was not announced, by the kind of silence", "reason", self._missed),
            ("edge_model_changes", "Changes of model or engine, by their cause", "reason", self._changes),
        ):
            family = CounterMetricFamily(name, text, labels=[label])
            for value, count in sorted(counts.items()):
                family.add_metric([value], count)
            yield family
        yield CounterMetricFamily(
            "edge_camera_restarts", "Times that a lost camera was opened again", self._camera_restarts
        )
        bounds = [*map(str, BUCKETS_S), "+Inf"]
        buckets = list(zip(bounds, accumulate(self._buckets), strict=True))
        yield HistogramMetricFamily(
            "edge_inference_duration_seconds",
            "Time that a model took for a frame, with copying out the result",
            buckets=buckets,
            sum_value=self._inference_s,
        )
        if self._frame_s is not None:
            age_s = time.monotonic() - self._frame_s
            yield GaugeMetricFamily("edge_frame_age_seconds", "Time since the newest frame", age_s)
        if self._look_at_s is not None:
            text = "When a frame was last classified, in seconds since 1970"
            yield GaugeMetricFamily("edge_last_look_timestamp_seconds", text, self._look_at_s)

    def _seen(self) -> Iterator[Metric]:
        state = self._state
        yield GaugeMetricFamily("edge_up", "1 while the daemon answers", state.up)
        if not state.up:
            return
        yield _info("edge_build_info", "The release of edge", version=state.version)
        if not state.ready:
            return
        engine, _, precision = (state.engine or "").partition(" ")
        precision = state.precision or precision or "float32"
        text = "The model that runs"
        yield _info("edge_model_info", text, model=state.model or "", engine=engine, precision=precision)
        yield GaugeMetricFamily("edge_paused", "1 while the camera is closed on request", state.paused)
        yield GaugeMetricFamily("edge_sound_up", "1 while edge can be heard, as far as it knows", state.sound is None)
        sight = GaugeMetricFamily("edge_sight_problem", "1 for the reason why edge cannot see", labels=["problem"])
        for problem in PROBLEMS:
            sight.add_metric([problem], problem == self._problem)
        yield sight
        for name, text, value in (
            ("edge_camera_up", "1 while the camera gives frames", state.camera_up),
            ("edge_memory_bytes", "Memory of the daemon and its processes", _bytes(state.memory_mib)),
            ("edge_memory_budget_bytes", "Memory that edge may use", _bytes(state.memory_budget_mib)),
            ("edge_temperature_celsius", "Temperature of the processor", state.temperature_c),
            ("edge_throttled", "1 while the firmware slows the processor down", state.throttled),
        ):
            if value is not None:
                yield GaugeMetricFamily(name, text, value)


class MetricsPart:
    """The part of the link that serves the metrics."""

    wants_frames = True
    """For the inference time of each frame, and the time of the last one."""

    def __init__(self, listen: str) -> None:
        """Prepare; `listen` is ADDRESS:PORT."""
        self._listen = listen
        self.metrics = Metrics()
        self._registry = CollectorRegistry()
        self._registry.register(self.metrics)
        self.changed = self.metrics.changed
        self.happened = self.metrics.happened
        self.server: HttpServer | None = None

    def start(self, _ask: Ask) -> None:
        """Open the port. Raises LinkError if it cannot be opened."""
        self.server = HttpServer(self._listen, {"/metrics": self._page})
        self.server.start()
        _log.info(f"Metrics: {self.server.url}/metrics", extra={"event": "metrics", "url": self.server.url})

    def _page(self, _request: Request) -> Response:
        # every Prometheus reads this format; a choice by the header Accept would be more to go wrong
        return Response(generate_latest(self._registry), CONTENT_TYPE_PLAIN_0_0_4)

    def alive(self) -> bool:
        """Return False if the server has ended."""
        return self.server is not None and self.server.alive()

    def describe(self) -> str:
        """Return where the metrics are."""
        return f"metrics at {self._listen}"

    def stop(self) -> None:
        """Close the port."""
        if self.server is not None:
            self.server.stop()


def _own() -> Iterator[Metric]:
    """Yield what the link itself needs. (The service lacks /proc/stat for the library's collector)."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    text = "Processor time of the link"
    yield CounterMetricFamily("process_cpu_seconds", text, used.ru_utime + used.ru_stime)
    with contextlib.suppress(OSError):
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        text = "Memory of the link"
        yield GaugeMetricFamily("process_resident_memory_bytes", text, pages * resource.getpagesize())


def _known(value: object, known: tuple[str, ...]) -> str:
    """Return a value of a closed set, or 'other': each new value of a label is a new time series."""
    return value if isinstance(value, str) and value in known else _OTHER


def _info(name: str, text: str, **labels: str) -> Metric:
    family = GaugeMetricFamily(name, text, labels=list(labels))
    family.add_metric(list(labels.values()), 1)
    return family


def _bytes(mib: float | None) -> float | None:
    return None if mib is None else mib * _MIB
