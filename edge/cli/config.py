"""`edge config`: the settings in effect."""

import argparse
import os
from pathlib import Path

from edge.cli.common import settings_of
from edge.config import load, to_toml
from edge.errors import EX_OK
from edge.host.terminal import printable

IN_EFFECT = Path()
"""Value of --check without a file: check the settings in effect."""


def config(options: argparse.Namespace) -> int:
    """edge config: print the effective settings, or check a file."""
    from edge.input.keymap import read_keymap
    from edge.link import settings as link_settings

    if options.check is None:
        print(to_toml(settings_of(options)), end="")
    elif options.check == IN_EFFECT:
        read_keymap(settings_of(options).input)
        # not everyone may read it, for example not the daemon
        if os.access(link_settings.DEFAULT_PATH, os.R_OK):
            link_settings.load()
        print("The settings in effect are good.")
    else:
        if options.check.name.endswith(link_settings.DEFAULT_PATH.name):
            link_settings.load(options.check, environment={})
        else:
            read_keymap(load(options.check, environment={}).input)
        print(f"{printable(str(options.check))}: good")
    return EX_OK
