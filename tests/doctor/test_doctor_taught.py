"""What the doctor says about taught things."""

from pathlib import Path

import pytest
from rigs.taught import pictures, thing

from edge.config import load
from edge.doctor import Finding, Grade, examine
from edge.doctor.model import check_model
from edge.models.taught.store import TaughtStore
from edge.settings import Settings

pytestmark = pytest.mark.integration


@pytest.fixture
def settings() -> Settings:
    return load(environment={}, flags={"model": {"name": "demo", "engine": "onnx"}})


def found(settings: Settings, running: dict[str, object] | None = None) -> list[Finding]:
    return [one for one in check_model(settings, [], running, taught=True) if one.check != "model"]


def test_without_taught_things_it_says_nothing_about_them(settings: Settings) -> None:
    assert found(settings) == []
    assert found(settings, {"model": "demo"}) == []  # a release that cannot be taught has no such entries


def test_what_the_model_does_not_know_is_a_warning_with_what_to_do(settings: Settings) -> None:
    keys = thing("my keys")
    TaughtStore().add([keys, thing("Rex")], {keys.id: pictures()})
    unknown, learnable = sorted(found(settings), key=lambda one: one.grade == Grade.GOOD)
    assert (unknown.check, unknown.grade) == ("taught", Grade.WARNING)
    assert unknown.text == "model demo does not know 1 taught thing: Rex"
    assert "teach them again, or set [model] name to the model that they were taught with" in unknown.advice
    assert learnable.grade == Grade.GOOD
    assert learnable.text == "as soon as edge runs, model demo learns from kept pictures: my keys"
    # each is said once
    model = [one for one in check_model(settings, [], None) if one.check == "model"]
    assert [one.grade for one in model] == [Grade.GOOD]


def test_a_running_edge_tells_what_it_knows(settings: Settings) -> None:
    many = [f"thing {number}" for number in range(7)]
    (known,) = found(settings, {"model": "demo", "taught": many, "not_known": []})
    assert known.grade == Grade.GOOD
    assert known.text == "model demo knows 7 taught things: thing 0, thing 1, thing 2, thing 3, thing 4 and 2 more"
    unknown, known = found(settings, {"model": "demo", "taught": ["Rex"], "not_known": ["my keys"]})
    assert (unknown.grade, known.text) == (Grade.WARNING, "model demo knows 1 taught thing: Rex")
    (again,) = found(settings, {"model": "demo", "taught": [], "not_known": [], "learning_again": ["my keys"]})
    assert (again.grade, again.text) == (Grade.GOOD, "model demo learns from kept pictures: my keys")


def test_damaged_files_are_counted(settings: Settings) -> None:
    store = TaughtStore()
    store.add([thing()])
    (file,) = store.folder.iterdir()
    file.write_bytes(b"nothing")
    store.read()
    (damaged,) = [
        one for one in examine(settings, {"model": "demo", "mutes": []}, speak=False) if one.check == "taught"
    ]
    assert damaged.grade == Grade.WARNING
    assert damaged.text == f"1 damaged file in {store.folder}, such as {Path(file).stem}.damaged"
