"""A child that is asked for the numbers a network makes of others: it may crash, and is then started again."""

import contextlib
import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


class AskedChild:
    """A program that reads lines with [what, file of inputs, file for outputs] as JSON and answers each with a line.

    That is ok when the outputs are there, otherwise the reason in one line. Both files are arrays of NumPy's.
    """

    def __init__(self, command: Sequence[str], folder: Path, env: Mapping[str, str] | None = None) -> None:
        """`folder` is for the two files."""
        self._command, self._folder, self._env = command, folder, env
        self._child: subprocess.Popen[str] | None = None

    def ask(self, what: Any, inputs: Floats) -> Floats | str:
        """Return the outputs, or why there are none: a line of the child's, empty when it has died."""
        if self._child is None:
            self._child = subprocess.Popen(
                self._command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
                start_new_session=True,
                env=self._env,
            )
        assert self._child.stdin
        assert self._child.stdout
        given, out = self._folder / "inputs.npy", self._folder / "out.npy"
        np.save(given, inputs)
        with contextlib.suppress(BrokenPipeError):
            print(json.dumps([what, str(given), str(out)]), file=self._child.stdin, flush=True)
        answer = self._child.stdout.readline().strip()
        if not answer:
            self.close()  # it may not have ended yet
        if answer != "ok":
            return answer
        found: Floats = np.load(out)
        return found

    def close(self) -> None:
        """End the child. May be called twice."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            for stream in (self._child.stdin, self._child.stdout):
                if stream is not None:
                    with contextlib.suppress(BrokenPipeError):
                        stream.close()
            self._child = None
