"""Libraries that are imported late: check whether they are installed, and load them without blocking other threads."""

import ctypes
import importlib.util
import os
from importlib.machinery import ModuleSpec
from pathlib import Path


def is_installed(package: str) -> bool:
    """Return True if the package exists; it is not imported, so it may be broken."""
    return _spec(package) is not None


def installed_version(package: str) -> str:
    """Return the version of an installed package, whose distribution has the same name; '' if it is not installed."""
    spec = _spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        names = [path.stem for path in Path(folder).parent.glob(f"{package}-*.dist-info")]
        version = names[0].partition("-")[2] if len(names) == 1 else ""
        if version and "_" not in version:  # else the folder's name has it in another form
            return version
    from importlib import metadata  # late: it parses e-mail, and takes as long as ten modules of edge

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def _spec(package: str) -> ModuleSpec | None:
    try:
        return importlib.util.find_spec(package)
    except (ImportError, ValueError):
        return None


def preload(package: str, pattern: str) -> None:
    """Load the first file in the package's folder that matches `pattern`; the later import of the package needs it.

    An import holds the GIL while the dynamic linker reads and relocates the library: half a second for libmxnet.so
    from a cold disk. A call through ctypes does not. If the file cannot be loaded here, the import reports why.
    """
    spec = _spec(package)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        for path in sorted(Path(folder).glob(pattern))[:1]:
            dlopen = ctypes.CDLL(None).dlopen
            dlopen.argtypes, dlopen.restype = [ctypes.c_char_p, ctypes.c_int], ctypes.c_void_p
            dlopen(os.fsencode(path), os.RTLD_NOW | os.RTLD_LOCAL)
