"""The trial run of a model in a temporary child process (edge/worker.py), so that a crash ends only the child.

The child runs what the daemon runs: the same engine, preprocessing and first forward pass. engines/measure.py sends one
request at a time, each {"do": STEP}. The steps and their results:

    start     nothing: the child has started
    finite    read all parameters, look for nan and infinity, and drop them again
    load      open the classifier: load_s, first_ms, parameters, peak_mib
    classify  classify the known picture `frames` times: times_ms, peak_mib
    finish    classify it twice more, for values that need no repetition: enqueue_ms, answer, peak_mib
    answer    classify the pictures for comparing engines (selftest.py: probes): probabilities (pictures x labels),
              independent, peak_mib
"""

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from edge.engines import check_finite, open_classifier
from edge.engines.backend import Backend
from edge.engines.preprocess import to_input
from edge.engines.selftest import answer_of, known_picture, probes
from edge.host.memory import peak_rss_mib
from edge.models.checkpoint import Checkpoint, from_json


def open_driver(options: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """Return the driver; `options` are the checkpoint (models.checkpoint.to_json) and the engine, a Backend as text."""
    # so that the kernel kills this process, and not the daemon that started it, if memory runs out
    Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")
    trial = _Trial(from_json(options["checkpoint"]), Backend.parse(options["engine"]))
    steps = {"start": trial.start, "finite": trial.finite, "load": trial.load, "classify": trial.classify}
    steps |= {"finish": trial.finish, "answer": trial.answer}
    return lambda request: steps[request["do"]](request)


class _Trial:
    def __init__(self, checkpoint: Checkpoint, backend: Backend) -> None:
        self._checkpoint = checkpoint
        self._backend = backend

    def start(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def finite(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        check_finite(self._checkpoint)
        return {}

    def load(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        start_s = time.perf_counter()
        self._classifier = open_classifier(self._checkpoint, self._backend)
        return {
            "load_s": time.perf_counter() - start_s,
            "first_ms": 1000 * self._classifier.first_s,
            "parameters": self._classifier.parameters,
            "peak_mib": peak_rss_mib(),
        }

    def classify(self, request: Mapping[str, Any]) -> dict[str, Any]:
        frame = known_picture()
        times_ms = []
        for _ in range(request["frames"]):
            start_s = time.perf_counter()
            self._classifier.classify(frame)
            times_ms.append(1000 * (time.perf_counter() - start_s))
        return {"times_ms": times_ms, "peak_mib": peak_rss_mib()}

    def finish(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        frame = known_picture()
        return {
            "enqueue_ms": 1000 * self._classifier.enqueue_s(to_input(frame.pixels, self._classifier.input)),
            "answer": asdict(answer_of(self._classifier)),
            "peak_mib": peak_rss_mib(),
        }

    def answer(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        network = self._classifier
        rows = [network.probabilities(to_input(picture, network.input)).tolist() for picture in probes(network.input)]
        return {
            "probabilities": rows,
            "independent": network.independent,
            "peak_mib": peak_rss_mib(),
        }
