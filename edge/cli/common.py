"""What several commands share: settings and overrides from flags, and JSON as output."""

import argparse
import json
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from edge.config import load
from edge.errors import EX_OK, CameraError
from edge.host.clock import local_time
from edge.host.terminal import expect_json, tell
from edge.settings import Settings


def settings_of(options: argparse.Namespace) -> Settings:
    """Return the settings, with the flags as the last layer over file and environment; a flag not given is None."""
    flags: dict[str, dict[str, Any]] = {}
    for name, value in vars(options).items():
        table, dot, key = name.partition(".")
        if dot and value is not None:
            flags.setdefault(table, {})[key] = value
    return load(options.config, flags=flags)


def overrides_of(options: argparse.Namespace) -> dict[str, Any]:
    """Return the flags that take precedence over model.toml."""
    names = ("size", "channels", "mean", "std", "resize", "short_side")
    return {name: getattr(options, name) for name in names if getattr(options, name) is not None}


def image_files(given: Sequence[str]) -> tuple[list[str], int]:
    """Return these files, with the images of each folder in its place, and an exit code.

    A folder without images is reported, and determines the code.
    """
    from edge.vision.images import images_in

    files: list[str] = []
    code = EX_OK
    for one in given:
        try:
            files += map(str, images_in(Path(one))) if Path(one).is_dir() else [one]
        except CameraError as error:
            tell(f"edge: {error}")
            code = error.exit_code
    return files, code


@contextmanager
def interruptible() -> Iterator[None]:
    """In the block, Ctrl-C and SIGTERM raise KeyboardInterrupt: elsewhere they end a command at once (__main__.py)."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def print_json(value: object) -> None:
    """Print a value as JSON in UTF-8, in any locale."""
    expect_json(sys.stdout)
    print(json.dumps(value, indent=2, ensure_ascii=False))


def clock(iso: str, *, day: bool = False) -> str:
    """Return when that is, for a person: 14:05, or Monday 14:05; with `day` 14:05:09 for a time of today."""
    when = local_time(datetime.fromisoformat(iso))
    today = when.date() == local_time().date()
    return when.strftime("%H:%M:%S" if day and today else "%H:%M" if today else "%A %H:%M")
