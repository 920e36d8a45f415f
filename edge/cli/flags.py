"""What the parsers of several commands share: types of values, flags, and commands that are imported when they run."""

import argparse
import pkgutil
import re
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

from edge.errors import EX_USAGE
from edge.host.terminal import printable

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Parser(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(EX_USAGE, f"{self.prog}: {printable(message)}; see {self.prog} --help\n")


class Commands:
    """The subcommands of a parser. Each is a function, which is imported when it runs.

    So the others start sooner, and save the memory of its libraries.
    """

    def __init__(self, parser: Parser, base: Parser) -> None:
        """Add to this parser; each command has the flags of `base`."""
        self._parsers = parser.add_subparsers(required=True, metavar="COMMAND")
        self._base = base

    def add(self, function: str, text: str, *parents: Parser, name: str = "", base: Parser | None = None) -> Parser:
        """Add a command and return its parser.

        `function` is MODULE:NAME, such as edge.cli.compare:bench; `text` is the help, and `name` the command's name if
        it is not the function's.
        """
        sub: Parser = self._parsers.add_parser(
            name or function.partition(":")[2],
            help=text,
            description=sentence(text),
            parents=[base or self._base, *parents],
            allow_abbrev=False,
        )
        sub.set_defaults(is_service=False, command=_later(function))
        return sub

    def group(self, name: str, text: str) -> Parser:
        """Add a command that has subcommands, and return its parser."""
        sub: Parser = self._parsers.add_parser(name, help=text, description=sentence(text), allow_abbrev=False)
        return sub


def _later(function: str) -> Callable[[argparse.Namespace], int]:
    def command(options: argparse.Namespace) -> int:
        found: Callable[[argparse.Namespace], int] = pkgutil.resolve_name(function)
        return found(options)

    return command


def sentence(text: str) -> str:
    """Return a help text as a sentence: the description at the top of a command's own help."""
    return f"{text[0].upper()}{text[1:]}."


def common_flags(config: str) -> Parser:
    """Return a parser with the flags that every command has; `config` is the help of --config."""
    parser = Parser(add_help=False)
    parser.add_argument("--config", type=Path, metavar="FILE", help=config)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error, and the debug log")
    return parser


def add_language(parser: Parser) -> None:
    """Add the flag --language."""
    what = "language of the words and of the voice, such as de (default: English)"
    parser.add_argument("--language", dest="speech.language", metavar="LANGUAGE", help=what)


def add_input_flags(parser: Parser) -> None:
    """Add the flags that say how a network wants its input."""
    group = parser.add_argument_group("input", "these override the model.toml beside the checkpoint")
    group.add_argument("--size", type=whole, metavar="PIXELS", help="side of the square input")
    group.add_argument("--channels", choices=("rgb", "bgr", "grey"), help="channel order")
    group.add_argument("--mean", type=numbers, metavar="N[,N,N]", help="subtracted from each channel (0 to 255)")
    group.add_argument("--std", type=numbers, metavar="N[,N,N]", help="divisor of each channel, after the mean")
    group.add_argument(
        "--resize", choices=("crop", "squash"), help="crop: cut out the centre; squash: stretch the whole image"
    )
    group.add_argument(
        "--short-side", type=whole, metavar="PIXELS", help="with crop: scale the shorter side to this first"
    )
    group.add_argument(
        "--synset",
        type=Path,
        metavar="FILE",
        help="labels: lines 'id label, synonym', names, CSV, JSON or a Python dict",
    )


def add_socket(parser: argparse.ArgumentParser) -> None:
    """Add the flag --socket, which chooses the edge to ask."""
    parser.add_argument(
        "--socket", type=Path, metavar="PATH", help="control socket of the edge to ask (needed if several run)"
    )


def whole(text: str) -> int:
    """Return a whole number, for argparse."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def positive_whole(text: str) -> int:
    """Return a whole number above 0, for argparse."""
    if (number := whole(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def positive(text: str) -> float:
    """Return a number above 0, for argparse."""
    found = numbers(text)
    if len(found) != 1 or not 0 < found[0] < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return found[0]


def numbers(text: str) -> list[float]:
    """Return numbers with commas between, for argparse."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, or numbers with commas between") from None


def seconds(text: str) -> float:
    """Return the seconds of '90s', '30m', '1h30m' or '2d'; a plain number is minutes. Raises ValueError."""
    if re.fullmatch(r"\d{1,6}", text):
        return 60.0 * int(text)
    if not re.fullmatch(r"(?:\d{1,6}[smhd])+", text):
        raise ValueError(text)
    return float(sum(int(number) * _UNITS[unit] for number, unit in re.findall(r"(\d+)([smhd])", text)))


def duration(text: str) -> float:
    """Return the seconds of a duration, for argparse."""
    try:
        return seconds(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a duration: write 90s, 30m, 2h or 1h30m") from None


def jpeg_file(text: str) -> Path:
    """Return the path of a JPEG file, for argparse."""
    path = Path(text)
    if path.suffix.lower() not in (".jpg", ".jpeg"):
        raise argparse.ArgumentTypeError(f"{text!r}: a snapshot is a JPEG; use a name such as FILE.jpg")
    return path
