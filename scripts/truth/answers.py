"""What networks answer to the frames of films and to the pictures of a calibration: each is asked once.

The answers are log-probabilities before calibration, so that every threshold and calibration can be tried on them.
"""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
from numpy.typing import NDArray

import edge.engines.preprocess
import edge.models.calibrator
from edge.engines import Network, open_classifier
from edge.engines.agreement import driver_of
from edge.engines.backend import Backend
from edge.engines.preprocess import to_input, whole_square
from edge.errors import ModelError
from edge.host.machine import Machine
from edge.importer.quantised import FLOAT32, INT8
from edge.models.calibration_file import Calibration
from edge.models.calibrator.answers import OTHERS, frames_of, others_of
from edge.models.calibrator.fit import open_set_of
from edge.models.checkpoint import find_checkpoint
from edge.models.confidence import log_of
from edge.models.fingerprint import fingerprint
from edge.models.labels import Label, read_labels
from edge.models.temperature_scaling import fit_temperature
from edge.vision.images import read_image
from edge.vision.thumbnail import make_thumbnail
from edge.vision.visibility import shows_something
from truth.camera import Pixels
from truth.films import Film, Photo
from truth.processes import count, run_all

Floats = NDArray[np.float32]
Bools = NDArray[np.bool_]
HALVES = {"fit": "01234567", "judge": "89abcdef"}
"""First characters of the names of each half's photos."""


@dataclass(frozen=True)
class Model:
    """An installed model in one precision."""

    name: str
    precision: str = FLOAT32

    @classmethod
    def parse(cls, text: str) -> Self:
        """Return the model for NAME or NAME:int8. Raises ValueError for another precision."""
        name, _, precision = text.partition(":")
        if not name or precision not in ("", FLOAT32, INT8):
            raise ValueError(f"{text!r}: give NAME or NAME:{INT8}")
        return cls(name, precision or FLOAT32)

    def __str__(self) -> str:
        return self.name if self.precision == FLOAT32 else f"{self.name} {self.precision}"


@dataclass(frozen=True, eq=False)
class Seen:
    """What one network answers to a film."""

    visible: Bools
    """Which frames show something: F. Only these are classified."""
    logs: Floats
    """The log-probabilities of those, before calibration: N x C."""


@dataclass(frozen=True, eq=False)
class Answers:
    """One network's answers, as log-probabilities before calibration."""

    films: Mapping[str, Seen]
    """By the half of the photos that the film shows."""
    photos: Floats
    """Of the calibration's frames of each photo: P x K x C."""
    accepted: Bools
    """Which labels are right for the photo: P x C."""
    digit: NDArray[np.str_]
    """First character of the photo's name, which tells its half: P."""
    others: Floats
    """Of pictures that show none of the labels: M x C."""

    def fitted_to(self, digits: str, background: Bools) -> Calibration:
        """Return the calibration fitted to the photos whose names begin with one of these characters.

        edge wants more photos, to judge the fit by itself: here that is done with other photos. Raises ModelError.
        """
        used = np.isin(self.digit, list(digits))
        photos, accepted = self.photos[used], self.accepted[used]
        open_set = open_set_of(photos, accepted, self.others, background)
        return Calibration(fit_temperature(photos, accepted), len(photos), 0.0, 0.0, "", open_set)

    def save(self, path: Path) -> None:
        """Write them to a file, under another name until it is complete."""
        films = {f"film_{half}": seen.logs for half, seen in self.films.items()}
        visible = {f"visible_{half}": seen.visible for half, seen in self.films.items()}
        unfinished = path.with_suffix(".part.npz")
        np.savez(
            unfinished,
            allow_pickle=False,
            photos=self.photos,
            accepted=self.accepted,
            digit=self.digit,
            others=self.others,
            **films,
            **visible,
        )
        unfinished.replace(path)

    @classmethod
    def load(cls, path: Path) -> Self:
        """Return what was saved. Raises OSError or ValueError."""
        with np.load(path, allow_pickle=False) as file:
            films = {half: Seen(file[f"visible_{half}"], file[f"film_{half}"]) for half in HALVES}
            return cls(films, file["photos"], file["accepted"], file["digit"], file["others"])


@dataclass(frozen=True, eq=False)
class Opened:
    """A network with what the questions need of its checkpoint."""

    network: Network
    labels: Sequence[Label]

    def probabilities(self, pixels: Pixels) -> Floats:
        """Return the uncalibrated probabilities (C) of a frame's largest square: what edge looks at by default."""
        return self.network.probabilities(to_input(pixels, whole_square(self.network.input)))


def open_model(model: Model, engine: str) -> Opened:
    """Return the opened model. Raises ModelError if it cannot run, or its labels do not exclude each other."""
    checkpoint = find_checkpoint(model.name)
    backend = driver_of(checkpoint, Backend(engine, model.precision), Machine().key)
    network = open_classifier(checkpoint, backend)
    if network.independent:
        network.close()
        raise ModelError(f"model {model.name}: its labels have independent probabilities, which no temperature fits")
    return Opened(network, read_labels(checkpoint.synset))


@dataclass(frozen=True)
class Questions:
    """What the networks are asked about."""

    models: tuple[Model, ...]
    engine: str
    """As in [model] engine; a model in int8 needs one that runs the importer's graph."""
    folder: Path
    photos: tuple[Photo, ...]
    """Of both halves."""
    films: Mapping[str, Film]
    """By the half of the photos that the film shows."""

    @property
    def total(self) -> int:
        """Return the number of frames and pictures."""
        pictures = len(self.models) * (len(self.photos) + OTHERS)
        return sum(frames_in(film) for film in self.films.values()) + pictures

    def digest(self, model: Model) -> str:
        """Return a name for a model's answers: if it, the photos, or code that makes frames changes, so does the name.

        Raises ModelError if the checkpoint cannot be read.
        """
        checkpoint = find_checkpoint(model.name)
        code = hashlib.sha256()
        preprocess, calibrator = edge.engines.preprocess.__file__, Path(edge.models.calibrator.__file__).parent
        for path in (Path(preprocess), *sorted(calibrator.glob("*.py")), Path(__file__)):
            code.update(path.read_bytes())
        films = [self.films[half].digest() for half in HALVES]
        photos = [(photo.file, sorted(photo.ids)) for photo in self.photos]
        code.update(repr((fingerprint(checkpoint), checkpoint.input, str(model), self.engine, films, photos)).encode())
        return code.hexdigest()[:16]


def frames_in(film: Film) -> int:
    """Return the number of a film's frames."""
    return round(film.shots[-1].to_s * film.fps)


def ask(questions: Questions, tell: Callable[[int], object]) -> dict[Model, Answers]:
    """Return all answers. Each frame is drawn once.

    `tell` is called now and then with how many frames and pictures are done. Raises ModelError, OSError and ValueError.
    """
    jobs = [*((_ask_film, questions, half) for half in HALVES), (_ask_pictures, questions)]
    *films, pictures = run_all(jobs, tell)
    return {
        model: Answers({half: film[model] for half, film in zip(HALVES, films, strict=True)}, *pictures[model])
        for model in questions.models
    }


def _ask_film(questions: Questions, half: str) -> dict[Model, Seen]:
    """Return what each network answers to a film."""
    film = questions.films[half]
    networks = {model: open_model(model, questions.engine) for model in questions.models}
    visible: list[bool] = []
    rows: dict[Model, list[Floats]] = {model: [] for model in networks}
    for frame in film.frames():
        count()
        visible.append(shows_something(make_thumbnail(frame)))
        if visible[-1]:
            for model, opened in networks.items():
                rows[model].append(np.asarray(log_of(opened.probabilities(frame)), np.float32))
    if not any(visible):
        raise ValueError(f"no frame of the half {half!r} shows anything")
    return {model: Seen(np.array(visible), np.stack(found)) for model, found in rows.items()}


def _ask_pictures(questions: Questions) -> dict[Model, tuple[Floats, Bools, NDArray[np.str_], Floats]]:
    """Return (photos, accepted, digit, others) of Answers, from the frames that `edge models calibrate` makes."""
    answers = {}
    for model in questions.models:
        opened = open_model(model, questions.engine)
        ids = np.array([label.id for label in opened.labels])
        found, accepted, digits = [], [], []
        for number, photo in enumerate(questions.photos):
            count()
            frames = frames_of(read_image(questions.folder / photo.file), opened.probabilities, number)
            if frames is not None:
                found.append(frames)
                accepted.append(np.isin(ids, sorted(photo.ids)))
                digits.append(photo.file[0].lower())
        others = []
        for other in others_of(opened.probabilities):
            count()
            if other is not None:
                others.append(other)
        if not found or not others:
            raise ValueError(f"{questions.folder}: no photo shows anything")
        answers[model] = np.stack(found), np.stack(accepted), np.array(digits), np.stack(others)
    return answers
