"""MXNet 1.9.1 beside each line of numpy, and beside Pythons that have no distutils."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from edge.engines import mxnet_compat

USE_MXNET = """
import sys
from edge.engines.mxnet_compat import import_mxnet
mx = import_mxnet()
import numpy as np
assert np.__version__.startswith(sys.argv[1]), np.__version__
data = mx.sym.Variable("data")
net = mx.sym.softmax(mx.sym.FullyConnected(data, num_hidden=3, name="fc"))
weight, bias = mx.nd.array(np.eye(3)), mx.nd.array(np.array([0.0, 1.0, 2.0]))
out = net.bind(mx.cpu(), {"data": mx.nd.zeros((1, 3)), "fc_weight": weight, "fc_bias": bias}).forward()[0].asnumpy()
expected = np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum()
assert np.allclose(out[0], expected), out
assert (mx.nd.array([1, 2, 3]) > 2).asnumpy().tolist() == [0, 0, 1]
"""


@pytest.mark.integration
@pytest.mark.parametrize(
    "line", ["1.24", *(pytest.param(line, marks=pytest.mark.long) for line in ("1.26", "2.2")), "2"]
)
def test_mxnet_computes_beside_this_numpy(line: str, tmp_path: Path) -> None:
    """In an interpreter of its own, with that numpy before the environment's: 2 is the newest."""
    wanted = f"numpy=={line}.*"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-compile", "--only-binary=:all:"]
    got = subprocess.run([*pip, "--target", tmp_path, wanted], capture_output=True, text=True, timeout=300, check=False)
    if got.returncode:
        pytest.skip(f"no {wanted} for this Python to be had: {got.stderr.strip().splitlines()[-1]}")
    done = subprocess.run(
        [sys.executable, "-c", USE_MXNET, line],
        env={"PYTHONPATH": f"{tmp_path}:{Path(__file__).resolve().parents[2]}", "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr


IMPORT = "import sys; from edge.engines.mxnet_compat import import_mxnet; mx = import_mxnet()\n"


def run_python(code: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.integration
def test_neither_the_code_of_operators_nor_what_trains_or_exports_is_there_after_the_import() -> None:
    code = f"""{IMPORT}
print(sorted({{"onnx", "requests", "mxnet.gluon", "mxnet.rnn", "mxnet.test_utils"}} & set(sys.modules)))
print({{name for name in sys.modules if name.startswith("distutils")}} <= {{"distutils", "distutils.version"}})
made = [one for one in vars(mx.sym.op).values() if getattr(one, "__closure__", None)]
print(len(made) > 200, all(cell.cell_contents is None for one in made for cell in one.__closure__[:1]))
"""
    assert run_python(code).splitlines() == ["[]", "True", "True True"]


USES = """
mx.contrib.quant.quantize_model
mx.gluon.nn.Dense(2)
mx.rnn.LSTMCell
mx.test_utils.assert_almost_equal
mx.contrib.text.vocab
mx.contrib.tensorboard.LogMetricsCallback
mx.nd.contrib.box_nms
mx.np.sum(mx.np.ones((2, 3)))
"""


@pytest.mark.integration
def test_what_was_left_out_comes_when_it_is_used() -> None:
    uses = USES.split("\n")[1:-1]
    assert len(run_python(IMPORT + "".join(f"print({use})\n" for use in uses)).splitlines()) == len(uses)


@pytest.mark.integration
def test_an_operator_made_at_its_first_call_computes_and_names_itself_as_mxnets_own() -> None:
    code = f"""{IMPORT}
picture = mx.nd.arange(9).reshape((1, 1, 3, 3))
for _ in range(2):
    print(mx.nd.Pooling(picture, kernel=(2, 2), pool_type="max").asnumpy().ravel().tolist(), mx.nd.Pooling.__name__)
print(mx.sym.Pooling(mx.sym.var("data"), kernel=(2, 2), name="pool").list_outputs())
try:
    mx.nd.Pooling(picture, kernal=(2, 2))
except mx.base.MXNetError as error:
    print("kernal" in str(error))
"""
    row = "[4.0, 5.0, 7.0, 8.0] Pooling"
    assert run_python(code).splitlines() == [row, row, "['pool_output']", "True"]


def test_what_numpy_still_has_stays_its_own() -> None:
    own = object()
    np = SimpleNamespace(**dict.fromkeys(("all", "any", "prod", "round", "isin", "trapezoid", "vstack"), own), NaN=own)
    mxnet_compat.restore_numpy_names(np)
    assert np.NaN is own
    assert np.bool is bool
    assert np.alltrue is own
    with pytest.raises(AttributeError, match=r"numpy\.pmt no longer exists"):
        np.pmt()


def test_an_interpreter_without_distutils_gets_its_versions() -> None:
    code = """
import sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] == "distutils":
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Gone())
for name in [name for name in sys.modules if name.split(".")[0] == "distutils"]:
    del sys.modules[name]
from edge.engines.mxnet_compat import restore_distutils
restore_distutils()
from distutils.version import LooseVersion, StrictVersion
assert LooseVersion("1.9") < LooseVersion("1.17") <= "1.17"
assert StrictVersion("2.2.4") > StrictVersion("2.2") >= "2.2"
assert LooseVersion("1.9") == "1.9"
"""
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], check=True, timeout=60)


def test_no_engine_at_all_is_one_line() -> None:
    code = """
import sys
class Gone:
    def find_spec(self, name, path=None, target=None):
        if name in ("mxnet", "onnxruntime", "openvino", "ncnn"):
            raise ModuleNotFoundError(f"No module named '{name}'")
sys.meta_path.insert(0, Gone())
from edge.cli import main
sys.exit(main(["classify", "nothing.jpg"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 78
    assert done.stderr.count("\n") == 1
    assert done.stderr == "edge: mxnet is not installed; run ./scripts/run, which installs it\n"
