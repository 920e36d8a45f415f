"""What was taught with one engine is known by every other, in float and int8, after an archive has brought it."""

from pathlib import Path

import numpy as np
import pytest
from rigs.lessons import empty_place, finished, with_thing

from edge.engines import installed_engines, open_classifier
from edge.engines.backend import ABLE, Backend
from edge.importer.quantised import FLOAT32
from edge.installer.packaged import install
from edge.models.catalogue import load_catalogue
from edge.models.checkpoint import find_checkpoint
from edge.models.fingerprint import fingerprint
from edge.models.packages import is_here
from edge.models.taught.archive import Archive, export_things, import_things
from edge.models.taught.store import TaughtStore
from edge.selection.taught_classifier import TaughtClassifier
from edge.stages import Frame

pytestmark = [pytest.mark.integration, pytest.mark.long]
LITE0 = "efficientnet-lite0"
THINGS = {"my keys": 1, "the blue cup": 2, "Rex": 3}


def test_an_archive_gives_the_same_answers_in_every_engine_and_precision(tmp_path: Path) -> None:
    entry = load_catalogue()[LITE0]
    if not is_here(entry):
        pytest.skip(f"needs the Python package of {LITE0}")
    install(entry, tmp_path)
    checkpoint = find_checkpoint(str(tmp_path / LITE0))
    model = fingerprint(checkpoint)
    first = TaughtStore(tmp_path / "first")
    here = installed_engines()
    backends = [Backend(engine, precision) for precision, able in ABLE.items() for engine in here if engine in able]
    network = open_classifier(checkpoint, backends[0], square=True, features=True)
    for name, kind in THINGS.items():
        views = [with_thing(kind, number) for number in range(8)]
        lesson = finished(network, model, name, views, [empty_place(number) for number in range(4)], store=first)
        lesson.keep(lesson.result())
    network.close()
    export_things(first, tmp_path / "things.edge")
    second = TaughtStore(tmp_path / "second")
    import_things(Archive(tmp_path / "things.edge"), second)

    frames = [with_thing(kind, number) for kind in THINGS.values() for number in range(20, 24)]
    frames += [empty_place(number) for number in range(20, 24)]
    answers = {}
    for backend in backends:
        network = open_classifier(checkpoint, backend, square=True, features=True)
        classifier = TaughtClassifier(network, model, second)
        best = [classifier.classify(Frame(frame, 0, 0.0))[0] for frame in frames]
        classifier.close()
        answers[backend] = [(one.id, one.probability) if one.id.startswith("taught:") else ("", 0.0) for one in best]
    exact = answers[backends[0]]
    assert {identity for identity, _ in exact} == {"", "taught:my keys", "taught:the blue cup", "taught:rex"}
    for backend in backends[1:]:
        found = answers[backend]
        assert [identity for identity, _ in found] == [identity for identity, _ in exact], backend
        most = 1e-3 if backend.precision == FLOAT32 else 0.02
        assert np.abs(np.subtract([one for _, one in found], [one for _, one in exact])).max() < most, backend
