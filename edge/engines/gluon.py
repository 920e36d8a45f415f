"""Converts parameters of the Gluon model zoo to a checkpoint: MXNet has the structure, the names get prefixes."""

from collections.abc import Callable, Mapping
from pathlib import Path

from edge.engines.mxnet_compat import import_mxnet
from edge.errors import ModelError, one_line


def convert(name: str, params: Path, prefix: Path) -> None:
    """Write prefix-symbol.json and prefix-0000.params for the zoo's model `name` with the parameters in `params`.

    Raises ModelError if MXNet does not know the model, or the parameters do not belong to it.
    """
    mx = import_mxnet()
    try:
        network = mx.gluon.model_zoo.vision.get_model(name, pretrained=False)
        network.load_parameters(str(params), ctx=mx.cpu())
        network.hybridize()
        # a forward pass creates the structure; the picture's size matters only to Inception v3, which reduces it most
        network(mx.nd.zeros((1, 3, 299, 299) if "inception" in name else (1, 3, 224, 224))).wait_to_read()
        network.export(str(prefix), epoch=0)
    except (mx.MXNetError, ValueError, AssertionError, KeyError, RuntimeError) as error:
        raise ModelError(f"{params}: not the parameters of the Gluon zoo's {name}: {one_line(error)[:200]}") from error


def open_driver(_options: Mapping[str, str]) -> Callable[[Mapping[str, str]], None]:
    """Return the driver for a worker (edge/worker.py), whose end frees all memory of the conversion.

    A request is {"name", "params", "prefix"}.
    """
    return lambda request: convert(request["name"], Path(request["params"]), Path(request["prefix"]))
