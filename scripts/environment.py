"""Imported first by the scripts here, so that they run in the project's environment however they are started."""

import os
import sys
from importlib.util import find_spec
from pathlib import Path

_VENV = Path(__file__).resolve().parents[1] / ".venv"

if find_spec("edge") is None:
    _python = _VENV / "bin" / "python"
    if sys.prefix == str(_VENV) or not _python.exists():
        sys.exit(f"{Path(sys.argv[0]).name}: run ./scripts/test once: it installs what this needs")
    os.execv(_python, [str(_python), *sys.argv])
