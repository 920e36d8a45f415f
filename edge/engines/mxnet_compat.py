"""Import MXNet 1.9.1, the last release (2022), with current versions of numpy and Python.

MXNet reads names that numpy has since removed: `bool` in 1.24, about a dozen in 2.0, a few in 2.4. From Python 3.12 on
`distutils` is missing too. Only missing names are restored: a numpy that has a name keeps its own. The wheel for arm64
also needs a patch on disk: scripts/mend-mxnet.

Its import is made short. By itself it writes and compiles the Python code of 2500 operators, and imports what trains or
exports networks. A network that is read from a file needs none of that, so both wait until they are used: 0.11 s of CPU
time instead of 0.66, and 21 MiB less (x86_64).
"""

import contextlib
import importlib
import os
import re
import sys
import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

from edge.errors import ModelError
from edge.host.libraries import preload

_ALIASES = {
    "PZERO": 0.0,
    "NZERO": -0.0,
    "PINF": float("inf"),
    "NINF": float("-inf"),
    "Inf": float("inf"),
    "NAN": float("nan"),
    "NaN": float("nan"),
}
_RENAMED = {
    "alltrue": "all",
    "sometrue": "any",
    "product": "prod",
    "round_": "round",
    "in1d": "isin",
    "trapz": "trapezoid",
    "row_stack": "vstack",
}
# numpy's financial functions and msort have no successor; MXNet only lists them, and no network uses them
_GONE = ("mirr", "npv", "pmt", "ppmt", "pv", "rate", "msort")

_LATER = (
    *("mxnet.contrib.onnx", "mxnet.contrib.quantization", "mxnet.contrib.tensorboard", "mxnet.contrib.text"),
    *("mxnet.gluon", "mxnet.rnn", "mxnet.test_utils"),
)
"""Modules of MXNet that no other one needs while it is imported. With `onnx` installed they import that, too."""
_importing = threading.RLock()


def import_mxnet() -> Any:
    """Return the module mxnet. If it cannot be imported, raises ModelError: one line that says what to install."""
    with _importing:  # another thread would get half of it
        return sys.modules["mxnet"] if "mxnet" in sys.modules else _import()


def _import() -> Any:
    if sys.maxsize < 2**32:
        raise ModelError("this is a 32-bit system, for which there is no MXNet; install the 64-bit Raspberry Pi OS")
    import numpy as np

    # otherwise each bind prints to stderr which subgraph backend it uses
    os.environ.setdefault("MXNET_SUBGRAPH_VERBOSE", "0")

    _mend_threads()
    preload("mxnet", "libmxnet.so")
    restore_numpy_names(np)
    try:
        with _stand_ins(*_LATER), _lazy_operators():
            return importlib.import_module("mxnet")
    except (ImportError, OSError, AttributeError) as error:
        raise ModelError(
            f"MXNet cannot be imported: {error}; run ./scripts/run, which installs and repairs it"
        ) from error


def restore_numpy_names(np: Any) -> None:
    """Restore in the module `np` each name that MXNet reads and this numpy lacks."""
    missing: dict[str, Any] = {"bool": bool, **_ALIASES}
    missing |= {old: getattr(np, new, None) for old, new in _RENAMED.items()}
    missing |= {name: _unavailable(name) for name in _GONE}
    with warnings.catch_warnings():
        # numpy 1.20 to 1.25 warns when an outdated name is read
        warnings.simplefilter("ignore")
        for name, value in missing.items():
            if not hasattr(np, name):
                setattr(np, name, value)


def restore_distutils() -> None:
    """Make `from distutils.version import LooseVersion, StrictVersion` work without distutils.

    Python has no distutils since 3.12. The replacement in setuptools takes 11 MiB for these two classes.
    """
    package, version = ModuleType("distutils"), ModuleType("distutils.version")
    version.__dict__.update(LooseVersion=_Version, StrictVersion=_Version)
    package.__dict__.update(version=version, __path__=[])
    if "distutils" not in sys.modules:
        sys.modules.update({"distutils": package, "distutils.version": version})


def _mend_threads() -> None:
    """Leave one number in OMP_NUM_THREADS: OpenMP allows a list, by level of nesting, and MXNet ends the process."""
    threads = os.environ.get("OMP_NUM_THREADS")
    if threads is None:
        return
    if first := re.match(r"\s*([0-9]{1,4})\s*(?:,|$)", threads):
        os.environ["OMP_NUM_THREADS"] = first[1]
    else:
        del os.environ["OMP_NUM_THREADS"]


@contextlib.contextmanager
def _stand_ins(*names: str) -> Iterator[None]:
    """Replace these modules, and two that MXNet hardly needs, by small ones while it, or a part of it, is imported."""
    before = set(sys.modules)
    restore_distutils()
    # 8 MiB, only for downloads
    later = {name: _Later(name) for name in ("requests", *names) if name not in before}
    sys.modules.update(later)
    try:
        with warnings.catch_warnings():
            # deprecations inside MXNet, which has no more releases
            warnings.simplefilter("ignore")
            yield
    finally:
        for name in {"distutils", "distutils.version", *later} - before:
            if sys.modules.get(name) is later.get(name, sys.modules.get(name)):
                sys.modules.pop(name, None)


class _Later(ModuleType):
    """A module that is imported at the first use of an attribute."""

    def __getattr__(self, name: str) -> Any:
        # the import system looks for such names in every module
        if name.startswith("__"):
            raise AttributeError(name)
        with _importing:
            if isinstance(sys.modules.get(self.__name__), _Later):
                # it is needed by another module while that is imported
                del sys.modules[self.__name__]
            with _stand_ins() if self.__name__.startswith("mxnet.") else contextlib.nullcontext():
                return getattr(importlib.import_module(self.__name__), name)


@contextlib.contextmanager
def _lazy_operators() -> Iterator[None]:
    """Let MXNet make the function of an operator when it is first called, and not when MXNet is imported."""
    finder = _BaseFinder()
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


class _BaseFinder:
    """Finds mxnet.base as ever, and has the two functions replaced that register operators."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None = None, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "mxnet.base" or (spec := PathFinder.find_spec(name, path, target)) is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for function in ("_init_op_module", "_init_np_op_module"):
                setattr(module, function, _registering_later(getattr(module, function)))

        # of this one spec; mypy takes no assignment to a method
        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _registering_later(register: Callable[..., None]) -> Callable[..., None]:
    """Return such a function of mxnet.base, whose last argument makes the functions, so that they are made later."""

    def registering(*args: Any, **named: Any) -> None:
        if "make_op_func" in named:
            register(*args, **named | {"make_op_func": _made_later(named["make_op_func"])})
        else:
            register(*args[:-1], _made_later(args[-1]), **named)

    return registering


def _made_later(make: Callable[[Any, str, str], Callable[..., Any]]) -> Callable[[Any, str, str], Callable[..., Any]]:
    """Return a function like `make`, which makes an operator's function, but one that is made at its first call."""

    def made(handle: Any, name: str, function_name: str) -> Callable[..., Any]:
        function: Callable[..., Any] | None = None

        def operator(*args: Any, **named: Any) -> Any:
            nonlocal function
            if function is None:
                function = make(handle, name, function_name)
            return function(*args, **named)

        operator.__name__ = function_name
        operator.__doc__ = ""  # MXNet alters it
        return operator

    return made


class _Version:
    """A version compared by the numbers in its text: MXNet needs no more from distutils."""

    def __init__(self, text: str) -> None:
        self.numbers = [int(number) for number in re.findall(r"\d+", text)]

    def __eq__(self, other: object) -> bool:
        return self.numbers == _numbers(other)

    def __lt__(self, other: object) -> bool:
        return self.numbers < _numbers(other)

    def __le__(self, other: object) -> bool:
        return self.numbers <= _numbers(other)

    def __gt__(self, other: object) -> bool:
        return self.numbers > _numbers(other)

    def __ge__(self, other: object) -> bool:
        return self.numbers >= _numbers(other)

    __hash__ = None  # type: ignore[assignment] # mutable, like its model in distutils


def _numbers(version: object) -> list[int]:
    return version.numbers if isinstance(version, _Version) else _Version(str(version)).numbers


def _unavailable(name: str) -> Callable[..., None]:
    def gone(*_args: object, **_kwargs: object) -> None:
        raise AttributeError(f"numpy.{name} no longer exists")

    gone.__name__ = name
    return gone
