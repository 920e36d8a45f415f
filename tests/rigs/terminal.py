"""A person's or a program's view of the commands: what they print, and their exit codes."""

import json
from typing import Any

import pytest

from edge.cli import main
from edge.cli.table import WIDTH


class Terminal:
    """Runs a command and keeps what it printed."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.out = self.err = ""

    def run(self, *arguments: object) -> int:
        self._capsys.readouterr()
        code = main([str(argument) for argument in arguments])
        self.out, self.err = self._capsys.readouterr()
        return code

    def json(self, *arguments: object) -> Any:
        assert self.run(*arguments, "--json") == 0, self.err
        return json.loads(self.out)

    def fits(self) -> bool:
        return all(len(line) <= WIDTH for line in self.out.splitlines())
