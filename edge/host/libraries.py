"""Libraries that are imported late: whether they are there, and loading them without keeping other threads waiting."""

import ctypes
import importlib.util
import os
from importlib.machinery import ModuleSpec
from pathlib import Path


def is_installed(package: str) -> bool:
    """Whether there is a package of that name; it is not imported, so it may be broken."""
    return _spec(package) is not None


def _spec(package: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None


def preload(package: str, pattern: str) -> None:
    """Load the first file that matches `pattern` in the package's folder, which importing the package does too.

    An import holds the lock while the dynamic linker reads and relocates the library: half a second for libmxnet.so
    from a cold disk. A call through ctypes does not. What cannot be loaded here is left to the import, which says why.
    """
    spec = _spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob(pattern))[:1]:
            dlopen = ctypes.CDLL(None).dlopen
            dlopen.argtypes, dlopen.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
            dlopen(os.fsencode(path), os.RTLD_NOW | os.RTLD_LOCAL)
