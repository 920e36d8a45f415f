"""`edge models check`: whether the stated preprocessing fits a model, by its answers to pictures."""

import argparse
import dataclasses
import json
import random
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from edge.cli.common import overrides_of, print_json, settings_of
from edge.cli.models.pictures import backend_for, open_uncalibrated, readable
from edge.cli.progress import Progress
from edge.cli.table import table, wrapped
from edge.errors import EX_OK, ModelError
from edge.models.checkpoint import GREY, Checkpoint, InputSpec
from edge.models.labelled import Labelled, read_labelled
from edge.models.labels import read_labels

if TYPE_CHECKING:
    from edge.engines import Network
    from edge.engines.backend import Backend
    from edge.engines.input_check import Answers, Finding

MOST_PICTURES = 500
"""More pictures take longer, and hardly tell more."""


@dataclasses.dataclass(frozen=True)
class Check:
    """What the pictures say about the preprocessing of a model."""

    stated: "Answers"
    normalisations: list["Finding"]
    """Other channel orders, means and stds, compared with the stated input."""
    base: "Answers"
    """The best of these: with its normalisation the sizes and crops were tried."""
    shapes: list["Finding"]
    """Other sizes and crops, compared with `base`."""
    suggested: InputSpec | None
    """The input that is clearly better than the stated one; None if there is none."""

    @property
    def undecided(self) -> list[InputSpec]:
        """The inputs that these pictures do not tell from the best one."""
        same = [one.answers.input for one in self.shapes if not (one.better or one.worse)]
        if self.base is self.stated:
            same = [one.answers.input for one in self.normalisations if not (one.better or one.worse)] + same
        return same


def check(options: argparse.Namespace) -> int:
    """edge models check: compare the stated preprocessing with the likely mistakes, and name what fits better."""
    from edge.engines.input_check import LEAST_PICTURES
    from edge.models.checkpoint import find_checkpoint

    checkpoint = find_checkpoint(options.name, overrides_of(options), options.synset)
    if options.images is None:
        raise ModelError(
            "--images DIR is missing; give images like those of its camera, and better their labels too (--labels CSV)"
        )
    pictures = _pictures(options.images, options.labels, checkpoint)
    if len(pictures) < LEAST_PICTURES:
        raise ModelError(f"{len(pictures)} images are too few: {LEAST_PICTURES} is the minimum, 100 or more are better")
    with Progress() as progress:
        if len(pictures) > MOST_PICTURES:
            progress.line(f"Of {len(pictures)} images, {MOST_PICTURES} are used, chosen at random.")
            pictures = random.Random(0).sample(pictures, MOST_PICTURES)
        backend = backend_for(checkpoint, settings_of(options).model.engine, progress)
        found = _Examination(checkpoint, backend, pictures, progress).run()
    if options.json:
        print_json(_as_json(checkpoint.name, str(backend), found))
    else:
        print(report(checkpoint, found))
    return EX_OK


def _pictures(folder: Path, labels: Path | None, checkpoint: Checkpoint) -> list[Labelled]:
    from edge.vision.images import images_in

    if labels is not None:
        return read_labelled(labels, folder, read_labels(checkpoint.synset))
    return [Labelled(path) for path in images_in(folder)]


class _Examination:
    """Shows the same pictures to a model with one preprocessing after another."""

    def __init__(
        self, checkpoint: Checkpoint, backend: "Backend", pictures: Sequence[Labelled], progress: Progress
    ) -> None:
        self._checkpoint, self._backend, self._progress = checkpoint, backend, progress
        self._pictures = list(pictures)

    def run(self) -> Check:
        """Return what the pictures say: first about the normalisation, then with the best one about size and crop."""
        from edge.engines.input_check import LEAST_GAIN_OF_SHAPE, best, compare, crops, normalisations, sizes

        network = open_uncalibrated(self._checkpoint, self._backend)
        try:
            spec = self._checkpoint.input
            if network.input.channels == GREY:  # one channel, even if model.toml says rgb
                spec = dataclasses.replace(spec, channels=GREY)
            stated, *others = self._ask(network, spec, normalisations(spec), "colours")
            first = compare(stated, others)
            better = best(first)
            base = better.answers if better else stated
            shapes = crops(base.input)
            answers = self._ask(network, spec, shapes, "crops") if shapes else []
        finally:
            network.close()
        for other in sizes(base.input):
            answers += self._ask_resized(dataclasses.replace(spec, size=other.size, short_side=0), other)
        second = compare(base, answers, LEAST_GAIN_OF_SHAPE)
        last = best(second) or better
        return Check(stated, first, base, second, last.answers.input if last else None)

    def _ask(self, network: "Network", opened: InputSpec, wanted: Sequence[InputSpec], what: str) -> list["Answers"]:
        """Return the answers of a network that was opened with `opened`, for each of the wanted inputs."""
        from edge.engines.input_check import Answers, fed_through, rarity, steadiness
        from edge.engines.preprocess import to_input

        fed = [fed_through(one, opened, network.input) for one in wanted]
        labelled = bool(self._pictures[0].accepted)
        rows: list[list[tuple[float, float, bool, int]]] = [[] for _ in wanted]
        sums: list[NDArray[np.float64] | float] = [0.0 for _ in wanted]
        used = []
        for one, pixels in readable(f"{self._checkpoint.name}, {what}", self._pictures, self._progress):
            used.append(one)
            mirrored = np.ascontiguousarray(pixels[:, ::-1])
            for number, spec in enumerate(fed):
                plain = network.probabilities(to_input(pixels, spec))
                # with labels the steadiness is not needed, and would double the time
                steady = 0.0 if labelled else steadiness(plain, network.probabilities(to_input(mirrored, spec)))
                first = int(np.argmax(plain))
                rows[number].append((float(plain[first]), steady, first in one.accepted, first))
                sums[number] = sums[number] + plain.astype(np.float64)
        self._pictures = used  # one that cannot be read is reported once
        found = []
        for spec, row, total in zip(wanted, rows, sums, strict=True):
            confidence, steady, right, labels = np.array(row, np.float64).T
            rare = rarity(labels.astype(np.int64), np.asarray(total) / len(used))
            found.append(Answers(spec, confidence, steady, rare, right.astype(np.bool_) if labelled else None))
        return found

    def _ask_resized(self, opened: InputSpec, wanted: InputSpec) -> list["Answers"]:
        """Return the answers with another size of the input; none if the network is made for one size."""
        from edge.importer.cache import forget_graph

        with _elsewhere(dataclasses.replace(self._checkpoint, input=opened)) as resized:
            try:
                network = open_uncalibrated(resized, self._backend)
            except ModelError:
                return []
            try:
                return self._ask(network, opened, [wanted], f"size {wanted.size}")
            finally:
                network.close()
                forget_graph(resized)


@contextmanager
def _elsewhere(checkpoint: Checkpoint) -> Iterator[Checkpoint]:
    """Yield the checkpoint under another path: its graph of another size would replace the one that is kept."""
    with tempfile.TemporaryDirectory(prefix="edge-check-") as folder:
        symbol, params = (Path(folder) / path.name for path in (checkpoint.symbol, checkpoint.params))
        symbol.symlink_to(checkpoint.symbol.absolute())
        params.symlink_to(checkpoint.params.absolute())
        yield dataclasses.replace(checkpoint, symbol=symbol, params=params)


def report(checkpoint: Checkpoint, found: Check) -> str:
    """Return the figures of each preprocessing, and what follows from them, in 80 columns."""
    labelled = found.stated.right is not None
    rows = [_row(found.stated, "as stated", found)]
    rows += [
        _row(one.answers, differences(found.stated.input, one.answers.input), found) for one in found.normalisations
    ]
    rows += [_row(one.answers, differences(found.stated.input, one.answers.input), found) for one in found.shapes]
    first = "top-1" if labelled else "score"
    count = len(found.stated.confidence)
    lines = [
        f"{checkpoint.name}: {count} images",
        "",
        table(["", "input", first, "confidence"], rows, numbers=(2, 3)),
        "",
    ]
    if not labelled:
        lines.append(
            wrapped(
                "score: whether an image and its mirror image get the same label, how surely, and how few images get "
                "that label. The confidence alone would mislead. With --labels CSV edge can tell more."
            )
        )
    lines += _conclusion(checkpoint, found)
    return "\n".join(lines)


def _conclusion(checkpoint: Checkpoint, found: Check) -> list[str]:
    from edge.engines.input_check import LEAST_GAIN

    stated = found.stated.input
    unclear = (
        ["?  These images do not show whether it is better or worse than the best one."] if found.undecided else []
    )
    if found.suggested is None:
        lines = [*unclear, "No other input is clearly better than the stated one."]
        likely = max(found.normalisations, key=lambda one: one.gain)
        if likely.gain >= LEAST_GAIN and not likely.better:
            lines.append(
                wrapped(
                    f"{differences(stated, likely.answers.input)} looks better, but {len(likely.answers.score)} images "
                    "are too few to be sure: give more."
                )
            )
        return lines
    toml = checkpoint.symbol.parent / "model.toml"
    lines = [
        *unclear,
        wrapped(f"-> {differences(stated, found.suggested)}: clearly better than the stated input. Its lines for"),
        f"{toml}:",
        "",
        *_toml(found.suggested),
        "",
    ]
    if (checkpoint.symbol.parent / "manifest.json").exists():
        lines += ["Then install it again, so that its known answer is up to date:", f"  edge models add {toml.parent}"]
    return lines


def differences(stated: InputSpec, other: InputSpec) -> str:
    """Return how an input differs from the stated one, in a few words: 'bgr, mean 0, std 1'."""
    parts = []
    if other.channels != stated.channels:
        parts.append(other.channels)
    parts += [
        f"{key} {_numbers(getattr(other, key))}"
        for key in ("mean", "std")
        if getattr(other, key) != getattr(stated, key)
    ]
    if other.size != stated.size:
        parts.append(f"size {other.size}")
    if other.resize != stated.resize:
        parts.append(other.resize)
    same_share = round(stated.scaled_short_side * other.size / stated.size)
    if other.resize == "crop" and abs(other.scaled_short_side - same_share) > 1:
        parts.append(f"short_side {other.scaled_short_side}")
    return ", ".join(parts) or "the same"


def _row(answers: "Answers", what: str, found: Check) -> list[str]:
    mark = "->" if answers.input == found.suggested else "?" if answers.input in found.undecided else ""
    return [mark, what, f"{np.mean(answers.score):.1%}", f"{np.mean(answers.confidence):.1%}"]


def _numbers(values: Sequence[float]) -> str:
    return ",".join(f"{value:.4g}" for value in (values[:1] if len(set(values)) == 1 else values))


def _toml(spec: InputSpec) -> list[str]:
    """Return the [input] table of model.toml."""
    values = {key: value for key, value in dataclasses.asdict(spec).items() if value != 0}
    return ["[input]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]


def _as_json(name: str, engine: str, found: Check) -> dict[str, Any]:
    def figures(answers: "Answers") -> dict[str, Any]:
        return {
            "input": dataclasses.asdict(answers.input),
            "top1": None if answers.right is None else float(np.mean(answers.right)),
            "steadiness": float(np.mean(answers.steadiness)) if answers.right is None else None,
            "score": float(np.mean(answers.score)),
            "confidence": float(np.mean(answers.confidence)),
        }

    others = [
        {**figures(one.answers), "gain": one.gain, "p": one.chance, "better": one.better, "worse": one.worse}
        for one in (*found.normalisations, *found.shapes)
    ]
    return {
        "model": name,
        "engine": engine,
        "pictures": len(found.stated.confidence),
        "stated": figures(found.stated),
        "others": others,
        "undecided": [dataclasses.asdict(one) for one in found.undecided],
        "suggested": dataclasses.asdict(found.suggested) if found.suggested else None,
        "toml": "\n".join(_toml(found.suggested)) if found.suggested else None,
    }
