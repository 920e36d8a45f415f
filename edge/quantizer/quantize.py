"""Choose the ranges and the layers that stay in float: try them on some pictures, and judge once, on others.

The search sees the second part of the pictures again and again, so it may fit just these by chance. The final figures
therefore come from the third part, which no choice was based on.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.engines import INT8_ENGINES, Network, import_problem, open_classifier
from edge.engines.backend import Backend
from edge.engines.preprocess import to_input
from edge.engines.selftest import answer_of
from edge.errors import ModelError
from edge.host.atomic import write_text
from edge.importer.cache import ABOUT, graph_of, key_of
from edge.importer.graph import Graph
from edge.importer.quantised import FLOAT32, INT8, Figures, QuantisedInfo, quantised_folder, to_table
from edge.models.checkpoint import Checkpoint
from edge.models.manifest import Answer
from edge.quantizer.judge import LEAST_AGREEMENT, MOST_MOVED, compare, divergence
from edge.quantizer.tools import MIN_MAX, PERCENTILES, Ranges, Tools
from edge.quantizer.views import Parts, Picture, views_each, views_of
from edge.stages import Pixels

Floats = NDArray[np.float32]
Tell = Callable[[str, int, int], None]
"""Gets the name of the step, the count done, and the total count."""

ENGINE = "onnx"
"""The engine of the search; at the end every installed engine is judged."""
RANGE_VIEWS = 48
"""Number of views that the ranges are measured on; with more pictures, one view of each."""
MOST_RANGE_PICTURES = 200
FEW = 60
"""Views on which layers are compared with each other."""
MARGIN = 0.5
"""The share of the gate's limits that the search allows: a choice based on these pictures does worse on others."""
KEPT = (1, 2, 4, 8, 12, 16, 24, 32)
"""Numbers of the worst layers to keep in float, tried in this order until the result is good enough."""
MOST_KEPT = 0.75
"""Share of all layers. A network that needs more of them in float is not worth quantising."""
NEAR, NEARER = 0.003, 0.0015
"""Nats. The search stops at a divergence of at most NEAR: on few pictures agreement is a matter of luck. If it must
keep layers in float, int8 harms the network, and the search goes on to NEARER."""
MOST_FLIPS = 64
"""Most layers to try alone: the first ones, where most is lost."""
MOST_TRIES = 2 + len(PERCENTILES) + len(KEPT)
_RANGES, _SEARCH, _HELD_OUT = range(3)
"""Seeds of the views of each part."""


@dataclass(frozen=True)
class Scheme:
    """A way to quantise."""

    method: str
    ranges: Ranges
    kept: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judged:
    """An int8 version, and its judgement."""

    about: QuantisedInfo
    unable: Mapping[str, str]
    """Why an installed engine cannot run it here, in one line, by engine: these engines have no figures."""


def quantize(
    checkpoint: Checkpoint, parts: Parts, scratch: Path, tell: Tell = lambda _what, _done, _of: None
) -> Judged:
    """Make and judge the int8 version of a checkpoint, in `scratch` (see `made_in`), even if the figures are bad.

    Raises ModelError if the tools are missing, the checkpoint is damaged, or the pictures cannot be used.
    """
    search = _Search(checkpoint, scratch, tell)
    best = search.best(parts)
    engines = [engine for engine in INT8_ENGINES if not import_problem(engine)]
    count = views_each(parts.held_out)
    views = len(parts.held_out) * count
    search.write(best)
    figures, unable = {}, {}
    for engine in engines:
        found = []
        try:
            # int8 first: for some processors OpenVINO has no int8 kernels
            for precision in (INT8, FLOAT32):
                seen = _told(views_of(parts.held_out, count, _HELD_OUT), tell, f"judging {engine} {precision}", views)
                found.append(search.probabilities(Backend(engine, precision), search.inputs(seen)))
        except ModelError as error:
            if engine == ENGINE:
                raise
            unable[engine] = str(error).removeprefix(f"model {checkpoint.name}: ")
        else:
            figures[engine] = compare(found[1], found[0], len(parts.held_out))
    return Judged(search.write(best, figures, search.answer()), unable)


def quantize_unjudged(checkpoint: Checkpoint, pictures: Sequence[Picture], scratch: Path) -> QuantisedInfo:
    """Make an unjudged int8 version with min-max ranges: to measure time and memory, not for use."""
    search = _Search(checkpoint, scratch, lambda _what, _done, _of: None)
    found = Scheme(MIN_MAX, search.tools.min_max(search.inputs(views_of(pictures, 1, _RANGES))))
    search.write(found)
    return search.write(found, answer=search.answer())


def made_in(scratch: Path, checkpoint: Checkpoint) -> Path:
    """Return the folder where `quantize` has written the int8 version."""
    return quantised_folder(_copy(checkpoint, scratch))


def _copy(checkpoint: Checkpoint, scratch: Path) -> Checkpoint:
    """Return the checkpoint with its weights in `scratch`, uncalibrated, so that it has a separate int8 version."""
    return dataclasses.replace(checkpoint, params=scratch / checkpoint.params.name, calibration=None)


class _Search:
    """The search for the best scheme of one checkpoint."""

    def __init__(self, checkpoint: Checkpoint, scratch: Path, tell: Tell) -> None:
        with graph_of(checkpoint) as graph:
            (scratch / "float").mkdir()
            self.tools = Tools(graph, scratch / "float")
        self._scratch, self._tell = scratch, tell
        self._float = dataclasses.replace(checkpoint, calibration=None)
        self._copy = _copy(checkpoint, scratch)
        self._copy.params.symlink_to(checkpoint.params.absolute())
        self._folder = quantised_folder(self._copy)
        self._folder.mkdir()
        self._key = key_of(checkpoint)
        self._tries = 0

    def best(self, parts: Parts) -> Scheme:
        """Return the first scheme that is good enough on the search's pictures, else the one of least divergence."""
        each = views_each(parts.search)
        self._pictures = len(parts.search)
        total = self._pictures * each
        seen = self.inputs(_told(views_of(parts.search, each, _SEARCH), self._tell, "images to choose by", total))
        side, planes = self.tools.input.size, self.tools.input.planes
        # in a file: 200 views of 299 x 299 are 200 MiB
        self._views = np.memmap(self._scratch / "views", np.float32, "w+", shape=(total, planes, side, side))
        for number, one in enumerate(seen):
            self._views[number] = one[0]
        self._floats = self._of_views(FLOAT32, self._views)
        self.tools.learn_means(self._calibration(parts, "means"))
        first = Scheme(MIN_MAX, self.tools.min_max(self._calibration(parts, "ranges")))
        found = [(first, *self._try(first))]
        if _pleases(*found[0][1:], NEAR):
            return first
        for method, ranges in self.tools.histograms(self._calibration(parts, "finer ranges")).items():
            scheme = Scheme(method, ranges)
            found.append((scheme, *self._try(scheme)))
        best = min(found, key=lambda one: one[2])
        if _pleases(*best[1:], NEAR):
            return best[0]
        order = self._worst_first(best[0])
        most = int(MOST_KEPT * len(order))
        for number in sorted({min(number, most) for number in KEPT}):
            scheme = dataclasses.replace(best[0], kept=tuple(order[:number]))
            found.append((scheme, *self._try(scheme)))
            if _pleases(*found[-1][1:], NEARER):
                return scheme
        return min(found, key=lambda one: one[2])[0]

    def write(
        self, scheme: Scheme, figures: Mapping[str, Figures] | None = None, answer: Answer | None = None
    ) -> QuantisedInfo:
        """Write a scheme's graph and about.json into the folder that `made_in` returns."""
        graph = self.tools.write(self._folder, scheme.ranges, scheme.kept)
        return self._note(scheme, graph, figures or {}, answer)

    def probabilities(self, backend: Backend, inputs: Iterable[Floats]) -> Floats:
        """Return the probabilities of the float network, or of the scheme written last: inputs x labels."""
        network = self._open(backend)
        try:
            return np.array([network.probabilities(one) for one in inputs])
        finally:
            network.close()

    def answer(self) -> Answer:
        """Return the answer of the scheme written last for the known picture."""
        network = self._open(Backend(ENGINE, INT8))
        try:
            return answer_of(network)
        finally:
            network.close()

    def inputs(self, views: Iterable[Pixels]) -> Iterator[Floats]:
        """Yield the network's input for each view."""
        for pixels in views:
            yield to_input(pixels, self.tools.input)

    def _calibration(self, parts: Parts, what: str) -> Iterator[Floats]:
        pictures = parts.calibration[:MOST_RANGE_PICTURES]
        each = views_each(pictures, RANGE_VIEWS)
        return self.inputs(_told(views_of(pictures, each, _RANGES), self._tell, what, len(pictures) * each))

    def _try(self, scheme: Scheme) -> tuple[Figures, float]:
        """Return a scheme's figures on the search's views, and its divergence from the float network."""
        self._tries += 1
        self._tell("methods tried", self._tries, MOST_TRIES)
        self.write(scheme)
        found = self._of_views(INT8, self._views)
        return compare(self._floats, found, self._pictures), divergence(self._floats, found)

    def _worst_first(self, scheme: Scheme) -> list[str]:
        """Return the layers, those first that lose most when they alone are in int8."""
        every = max(1, len(self._views) // FEW)
        few, floats = self._views[::every], self._floats[::every]
        layers = self.tools.layers[:MOST_FLIPS]
        lost = {}
        for number, layer in enumerate(layers):
            self._tell("layers tried alone", number, len(layers))
            graph = self.tools.write(self._folder, scheme.ranges, only=[layer])
            self._note(scheme, graph, {}, None)
            lost[layer] = divergence(floats, self._of_views(INT8, few))
        return sorted(layers, key=lambda layer: -lost[layer])

    def _open(self, backend: Backend) -> Network:
        return open_classifier(self._float if backend.precision == FLOAT32 else self._copy, backend)

    def _of_views(self, precision: str, views: Floats) -> Floats:
        return self.probabilities(Backend(ENGINE, precision), (np.array(one[np.newaxis]) for one in views))

    def _note(
        self, scheme: Scheme, graph: Graph, figures: Mapping[str, Figures], answer: Answer | None
    ) -> QuantisedInfo:
        about = QuantisedInfo(self._key, scheme.method, scheme.kept, figures, answer)
        write_text(self._folder / ABOUT, json.dumps(to_table(about, graph), indent=1))
        return about


def _pleases(figures: Figures, nats: float, most_nats: float) -> bool:
    """Return True if a scheme is good enough, with a margin: a choice based on these pictures does worse on others."""
    wrong, most_wrong = 1 - figures.agreement, 1 - LEAST_AGREEMENT
    return wrong <= MARGIN * most_wrong + 1e-9 and figures.moved <= MARGIN * MOST_MOVED and nats <= most_nats


def _told(views: Iterable[Pixels], tell: Tell, what: str, total: int) -> Iterator[Pixels]:
    """Yield the same views, and report to `tell` how many are done."""
    for done, one in enumerate(views):
        tell(what, done, total)
        yield one
