"""Which ranges, and which layers stay in float: tried on some pictures, and judged once, on others.

The search sees the second part of the pictures again and again, and so may please just these by chance. That is why the
figures that count come from the third, which nothing was chosen by.
"""

import dataclasses
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edge.engines import GRAPH_ENGINES, Network, import_problem, open_classifier
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
"""Hears what it is at, how much of it is done, and of how much."""

ENGINE = "onnx"
"""What the search runs; in the end each that is installed is judged."""
RANGE_VIEWS = 48
"""The ranges are measured on so many views, or on each picture once where there are more."""
MOST_RANGE_PICTURES = 200
FEW = 60
"""Views on which layers are compared with each other."""
MARGIN = 0.5
"""Of what the gate allows, the search allows so much: what was chosen by these pictures does worse on others."""
KEPT = (1, 2, 4, 8, 12, 16, 24, 32)
"""So many of the layers that hurt most are kept in float, one number after the other, until it is enough."""
MOST_KEPT = 0.75
"""Of all layers. What needs more of them in float is not worth the trouble."""
NEAR, NEARER = 0.003, 0.0015
"""Nats. The search is content with no more divergence than this: on few pictures agreement is a matter of luck. Where
it keeps layers in float, the network is one that int8 harms, and it goes on until it is nearer."""
MOST_FLIPS = 64
"""So many layers are tried alone, at most: the first ones, where most is lost."""
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
    """An int8 version, and what was found of it."""

    about: QuantisedInfo
    unable: Mapping[str, str]
    """Why an engine that is installed cannot run it here, in one line, by engine: those have no figures."""


def quantize(
    checkpoint: Checkpoint, parts: Parts, scratch: Path, tell: Tell = lambda _what, _done, _of: None
) -> Judged:
    """Make and judge the int8 version of a checkpoint, in `scratch` (see `made_in`), whatever the figures are.

    Raises ModelError without the tools, for a checkpoint that is damaged, and for pictures that cannot be used.
    """
    search = _Search(checkpoint, scratch, tell)
    best = search.best(parts)
    engines = [engine for engine in GRAPH_ENGINES if not import_problem(engine)]
    count = views_each(parts.held_out)
    views = len(parts.held_out) * count
    search.write(best)
    figures, unable = {}, {}
    for engine in engines:
        found = []
        try:
            # int8 first: there are processors for which OpenVINO has no int8 kernels
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
    """Make an int8 version with min-max ranges that nobody has judged: to measure time and memory, not to be used."""
    search = _Search(checkpoint, scratch, lambda _what, _done, _of: None)
    found = Scheme(MIN_MAX, search.tools.min_max(search.inputs(views_of(pictures, 1, _RANGES))))
    search.write(found)
    return search.write(found, answer=search.answer())


def made_in(scratch: Path, checkpoint: Checkpoint) -> Path:
    """Return where `quantize` has put it."""
    return quantised_folder(_copy(checkpoint, scratch))


def _copy(checkpoint: Checkpoint, scratch: Path) -> Checkpoint:
    """The same checkpoint in another place, so that its int8 version there is no other's; uncalibrated."""
    return dataclasses.replace(checkpoint, params=scratch / checkpoint.params.name, calibration=None)


class _Search:
    """Schemes for one checkpoint, and what they say."""

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
        """Return the first scheme that pleases the search's pictures, else the one nearest to the float network."""
        each = views_each(parts.search)
        self._pictures = len(parts.search)
        total = self._pictures * each
        seen = self.inputs(_told(views_of(parts.search, each, _SEARCH), self._tell, "pictures to choose by", total))
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
        """Write a scheme to where `made_in` says, and what is known of it."""
        graph = self.tools.write(self._folder, scheme.ranges, scheme.kept)
        return self._note(scheme, graph, figures or {}, answer)

    def probabilities(self, backend: Backend, inputs: Iterable[Floats]) -> Floats:
        """Return what the float network, or what was written last, says of inputs: inputs x labels."""
        network = self._open(backend)
        try:
            return np.array([network.probabilities(one) for one in inputs])
        finally:
            network.close()

    def answer(self) -> Answer:
        """Return what was written last says of the known picture."""
        network = self._open(Backend(ENGINE, INT8))
        try:
            return answer_of(network)
        finally:
            network.close()

    def inputs(self, views: Iterable[Pixels]) -> Iterator[Floats]:
        """Yield what the network gets of each view."""
        for pixels in views:
            yield to_input(pixels, self.tools.input)

    def _calibration(self, parts: Parts, what: str) -> Iterator[Floats]:
        pictures = parts.calibration[:MOST_RANGE_PICTURES]
        each = views_each(pictures, RANGE_VIEWS)
        return self.inputs(_told(views_of(pictures, each, _RANGES), self._tell, what, len(pictures) * each))

    def _try(self, scheme: Scheme) -> tuple[Figures, float]:
        """How a scheme does on the search's views, and how far from the float network it is."""
        self._tries += 1
        self._tell("ways tried", self._tries, MOST_TRIES)
        self.write(scheme)
        found = self._of_views(INT8, self._views)
        return compare(self._floats, found, self._pictures), divergence(self._floats, found)

    def _worst_first(self, scheme: Scheme) -> list[str]:
        """The layers by how much is lost when each alone is in int8."""
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
    """Whether the search is content: with a margin, for what was chosen by these pictures does worse on others."""
    wrong, most_wrong = 1 - figures.agreement, 1 - LEAST_AGREEMENT
    return wrong <= MARGIN * most_wrong + 1e-9 and figures.moved <= MARGIN * MOST_MOVED and nats <= most_nats


def _told(views: Iterable[Pixels], tell: Tell, what: str, total: int) -> Iterator[Pixels]:
    """The same views, while `tell` hears how many of them are done."""
    for done, one in enumerate(views):
        tell(what, done, total)
        yield one
