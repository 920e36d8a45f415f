"""The errors that a user can do something about, each with its exit code.

A message is one line and names the problem, its place (file, key, value), and what to do. Vendor exceptions are
translated where they occur, with `raise ... from`. The numbers are those of sysexits.h.
"""

import errno
import re

EX_OK = 0
EX_FAULT = 1  # `edge doctor` has found a fault
EX_USAGE = 2  # the exit code of argparse, and so of every Python command; sysexits.h has 64
EX_UNAVAILABLE = 69
EX_SOFTWARE = 70
EX_CONFIG = 78


def one_line(error: BaseException) -> str:
    """Return the message of a foreign error, without its line breaks."""
    return " ".join(str(error).split())


def os_reason(error: OSError) -> str:
    """Return in a few words why a file could not be read or written."""
    return "the disk is full" if error.errno == errno.ENOSPC else error.strerror or str(error)


_SECRET = re.compile(r"(?i)((?:pass|pwd|token|key|secret|auth)\w*=)[^/]*")


def hide_secrets(url: str) -> str:
    """Return the URL for display: without user, password and query, which often contains a password too.

    Everything up to the last @ is removed: else half of a password that was not percent-encoded would stay. Some
    cameras take the password in the path (/user=admin_password=secret_channel=1).
    """
    if "://" not in url:
        return url
    return _SECRET.sub(r"\1***", re.split(r"[?#]", re.sub(r"//.*@", "//***@", url))[0])


class EdgeError(Exception):
    """Base class of the errors that end as one line on the terminal; never raised itself."""

    exit_code = EX_SOFTWARE


def lines_of(error: EdgeError) -> list[str]:
    """Return the lines of a message: one, but for errors that list faults or models."""
    if isinstance(error, ConfigError):
        return list(error.faults) or [str(error)]
    return str(error).splitlines() if isinstance(error, NoModelFits) else [str(error)]


class ConfigError(EdgeError, ValueError):
    """A setting that cannot be used. `faults` has one line for each fault; all are reported at once."""

    exit_code = EX_CONFIG

    def __init__(self, *faults: str) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


class ModelError(EdgeError):
    """A checkpoint that is missing, broken or does not match its labels: a restart would not help."""

    exit_code = EX_CONFIG


class NoModelFits(ModelError):  # noqa: N818 - the name says it better without Error
    """No installed model fits the available memory; the message has a line for each with its need."""


class FetchError(EdgeError):
    """A model cannot be downloaded now: no host has it, or the disk is full. The installed models stay."""

    exit_code = EX_UNAVAILABLE


class CameraError(EdgeError, OSError):
    """No frames: the camera, file, folder, image or stream is missing, busy, broken or gone."""

    exit_code = EX_UNAVAILABLE


class SpeechError(EdgeError):
    """No speech: the player, the card or the synthesiser is missing or fails."""

    exit_code = EX_UNAVAILABLE


class InputError(EdgeError):
    """No input: a microphone or its program is missing, lost or cannot be used."""

    exit_code = EX_UNAVAILABLE


class ControlError(EdgeError):
    """The daemon cannot be reached: it does not run, or its socket may not be used."""

    exit_code = EX_UNAVAILABLE


class NotRunning(ControlError):  # noqa: N818 - the name says it better without Error
    """No daemon answers at the control socket: none runs here."""


class LinkError(EdgeError):
    """What the link needs of the network is missing, or refuses: a broker, or a port to listen at."""

    exit_code = EX_UNAVAILABLE
