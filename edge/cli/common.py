"""Settings and overrides from the flags of a command."""

import argparse
from typing import Any

from edge.config import load
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
