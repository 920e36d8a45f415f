"""Text on its way out: what a terminal cannot show, or would act on, is escaped."""

import codecs
import io
import logging
import re
import sys
from typing import TextIO

ESCAPED = "edge.escaped"
"""Name of the error handler for encoders: what they cannot encode is escaped as Python writes it."""
# control characters, separators of lines, changes of the writing direction, and surrogates, which are no text
_ACTED_ON = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
# how Python keeps the bytes of a name that is not text in the system's encoding (PEP 383)
_FIRST_BYTE, _LAST_BYTE = 0xDC80, 0xDCFF


def printable(text: str) -> str:
    """Return a text as one line without control characters; each is escaped as Python writes it."""
    return _ACTED_ON.sub(lambda match: _escape(match[0]), text)


def one_line(text: str) -> str:
    """Return a text as one line without control characters; each run of them and of spaces becomes one space."""
    return " ".join(_ACTED_ON.sub(" ", text).split())


def tell(line: str) -> None:
    """Print a line for the user on standard error."""
    print(printable(line), file=sys.stderr)


def tolerate(stream: TextIO) -> None:
    """Let a stream escape what its encoding lacks, instead of raising UnicodeEncodeError."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=ESCAPED)


def expect_json(stream: TextIO) -> None:
    """Let a stream write UTF-8, as JSON has to be, in any locale; bytes of a file's name become escaped surrogates."""
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(encoding="utf-8", errors="backslashreplace")


class LineFormatter(logging.Formatter):
    """Formats a record as one line; only a traceback adds more."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """Return the line, with control characters escaped."""
        return printable(super().formatMessage(record))


def _escape(character: str) -> str:
    code = ord(character)
    if _FIRST_BYTE <= code <= _LAST_BYTE:
        code -= 0xDC00
    named = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}.get(character)
    return named or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}")


def _encode(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(_escape(character) for character in error.object[error.start : error.end]), error.end


codecs.register_error(ESCAPED, _encode)
