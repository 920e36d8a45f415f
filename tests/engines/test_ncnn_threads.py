"""How long ncnn's threads wait for each other, and that nothing else learns of it."""

import importlib
import os
import platform
import re
import subprocess
import sys

import pytest

from edge.engines import engine_problem
from edge.engines.ncnn import import_ncnn
from edge.errors import ModelError

SPINS, POLICY = "GOMP_SPINCOUNT", "OMP_WAIT_POLICY"
OURS = {"x86_64": "3000", "aarch64": "60000"}.get(platform.machine(), "0")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {SPINS: OURS}),
        ({SPINS: "7"}, {SPINS: "7"}),
        ({SPINS: ""}, {SPINS: ""}),
        ({POLICY: "active"}, {POLICY: "active"}),
        ({"OMP_NUM_THREADS": "1"}, {SPINS: OURS}),
    ],
)
def test_the_library_alone_is_told_how_long_threads_wait_and_the_users_choice_is_obeyed(
    given: dict[str, str], expected: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (SPINS, POLICY):
        monkeypatch.delenv(name, raising=False)
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    before, during = dict(os.environ), {}

    def load(_name: str) -> None:
        during.update({name: os.environ[name] for name in (SPINS, POLICY) if name in os.environ})
        raise ImportError("a library is missing")

    monkeypatch.setattr(importlib, "import_module", load)
    with pytest.raises(ModelError, match=r"^ncnn cannot be imported: a library is missing; "):
        import_ncnn()
    assert during == expected
    assert dict(os.environ) == before


@pytest.mark.integration
def test_gnus_openmp_reads_it() -> None:
    """It does so when it is loaded, and only then; other engines must not have loaded this copy before."""
    if problem := engine_problem("ncnn"):
        pytest.skip(problem)
    program = "from edge.engines.mxnet_compat import import_mxnet; import_mxnet()\n"
    program += "from edge.engines.ncnn import import_ncnn; import_ncnn()"
    kept = {name: value for name, value in os.environ.items() if name not in (SPINS, POLICY)}
    environment = kept | {"OMP_DISPLAY_ENV": "verbose", "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    told = re.findall(rf"{SPINS} = '(\d+)'", done.stderr)
    # MXNet's copy, and the others that came with it, keep their own
    assert told.count(OURS) == 1
    assert told[-1] == OURS
