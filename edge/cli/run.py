"""`edge run`: the daemon."""

import argparse
import functools

from edge.cli.common import overrides_of, settings_of


def run(options: argparse.Namespace) -> int:
    """edge run: the daemon."""
    from edge import service
    from edge.pipeline import Limits

    return service.run(
        settings_of(options),
        Limits(options.frames, options.seconds),
        reread=functools.partial(settings_of, options),
        every_frame=options.every_frame,
        overrides=overrides_of(options),
        synset=options.synset,
        fetch=options.fetch,
    )
