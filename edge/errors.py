"""The errors that a person can do something about, each with its exit code.

A message is one line and names what is wrong, where (file, key, value), and what to do. Vendor exceptions are
translated where they occur with `raise ... from`. The numbers are those of sysexits.h.
"""

import errno
import re

EX_OK = 0
EX_FAULT = 1  # what was looked at is not as it should be: `edge doctor`
EX_USAGE = 2  # what argparse, and so every Python command, leaves with; sysexits.h has 64
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_CONFIG = 78


def one_line(error: BaseException) -> str:
    """Return what an error of somebody else says, without its line breaks."""
    return " ".join(str(error).split())


def os_reason(error: OSError) -> str:
    """Return in a few words why something could not be read or written."""
    return "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)


def hide_secrets(url: str) -> str:
    """Return the URL for people to read: without user, password and query, which often carries a password too.

    Everything up to the last @ goes, lest half of a password that was not percent-encoded stays.
    """
    return re.sub(r"//.*@", "//***@", url).partition("?")[0]


class EdgeError(Exception):
    """Anything that ends as one line on the terminal; never raised itself."""

    exit_code = EX_SOFTWARE


class ConfigError(EdgeError, ValueError):
    """A setting that cannot be used. `faults` holds one line for each fault: all of them are told at once."""

    exit_code = EX_CONFIG

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class ModelError(EdgeError):
    """A checkpoint that is missing, broken or at odds with its labels: starting again would not help."""

    exit_code = EX_CONFIG


class NoModelFits(ModelError):  # noqa: N818 - the name says it better without Error
    """No installed network fits the memory there is; a line for each with what it needs."""


class FetchError(EdgeError):
    """A network that cannot be downloaded now: no host has it, or the disk is full. What is installed stays."""

    exit_code = EX_UNAVAILABLE


class CameraError(EdgeError, OSError):
    """No frames: the camera, file, folder, image or stream is missing, busy, broken or gone."""

    exit_code = EX_UNAVAILABLE


class SpeechError(EdgeError):
    """Nothing could be said aloud: no player, no card, no synthesiser."""

    exit_code = EX_UNAVAILABLE


class ControlError(EdgeError):
    """The daemon cannot be spoken to: it does not run, or the socket may not be used."""

    exit_code = EX_UNAVAILABLE
