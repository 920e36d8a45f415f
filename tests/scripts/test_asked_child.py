"""The child of the scripts that ask what may crash."""

import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from asked_child import AskedChild

# doubles what it is given, refuses, or dies, as it is told
DOUBLER = """
import json, os, sys
import numpy as np
for line in sys.stdin:
    what, inputs, out = json.loads(line)
    if what == "die":
        os._exit(1)
    if what == "refuse":
        print("not this", flush=True)
        continue
    np.save(out, 2 * np.load(inputs))
    print("ok", flush=True)
"""
ONES = np.ones((2, 3), np.float32)


@pytest.fixture
def child(tmp_path: Path) -> Iterator[AskedChild]:
    one = AskedChild([sys.executable, "-c", DOUBLER], tmp_path)
    yield one
    one.close()


def test_it_answers_with_numbers_or_with_why_not(child: AskedChild) -> None:
    for factor in (1, 3):
        found = child.ask("double", factor * ONES)
        assert isinstance(found, np.ndarray)
        assert (found == 2 * factor).all()
    assert child.ask("refuse", ONES) == "not this"


def test_one_that_dies_is_started_again(child: AskedChild) -> None:
    for _ in range(5):
        assert child.ask("die", ONES) == ""
        found = child.ask("double", ONES)
        assert isinstance(found, np.ndarray)


def test_close_may_be_called_before_it_is_asked(child: AskedChild) -> None:
    child.close()
    child.close()
