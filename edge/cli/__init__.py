"""The command `edge`: one function for each subcommand. What goes wrong leaves as one line and an exit code."""

import argparse
import dataclasses
import functools
import json
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from edge import __version__
from edge.cli import control, models
from edge.cli.calibrate import calibrate
from edge.cli.common import overrides_of, settings_of
from edge.cli.compare import bench, compare, uncalibrated
from edge.cli.doctor import doctor
from edge.cli.quantize import quantize
from edge.cli.speech import say, voices
from edge.config import load, to_toml
from edge.errors import EX_OK, EX_SOFTWARE, EX_UNAVAILABLE, EX_USAGE, EdgeError, one_line
from edge.host.systemd import lines_to, notify

if TYPE_CHECKING:
    from edge.stages import Classifier

_log = logging.getLogger(__name__)
EX_BROKEN_PIPE = 141
_IN_EFFECT = Path()
"""What `edge config --check` is about when no file is named."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; every error is told here."""
    # a closed standard stream is None in Python, and print() to it would be an error
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - open until the end
    try:
        options = _parser().parse_args(argv)
    except SystemExit as leaving:  # argparse has said why
        return int(leaving.code or EX_OK)
    logging.basicConfig(level=logging.WARNING, format="edge: %(message)s", stream=sys.stderr)
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        code = command(options)
        # here, where it is told that a disk is full; the daemon has printed line by line, and does not mind
        if command is not run:
            sys.stdout.flush()
    except EdgeError as error:
        if options.debug:
            traceback.print_exc()
        _tell_failure(str(error), error.exit_code, is_run=command is run)
        return error.exit_code
    except BrokenPipeError:
        # whoever read the output has gone; nothing more can be said there, not even by the flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EX_BROKEN_PIPE
    except OSError as error:
        if options.debug:
            traceback.print_exc()
        print(f"edge: {error}; run it again with --debug to see where", file=sys.stderr)
        return EX_UNAVAILABLE
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        what = f"{type(error).__name__}: {one_line(error)}"
        what = f"a bug: {what}; run it again with --debug and report it"
        _tell_failure(what, EX_SOFTWARE, is_run=command is run)
        return EX_SOFTWARE
    return code


def _tell_failure(text: str, code: int, *, is_run: bool) -> None:
    """Why the command fails, on standard error; of a service also in the journal's way and in `systemctl status`."""
    lines = text.splitlines()
    if is_run:
        notify(f"STATUS={lines[0]}")
    with lines_to(sys.stderr, _log) as handler:
        for line in lines:
            _log.error(f"edge: {line}", extra={"event": "failed" if is_run else None, "exit_code": code})
        handler.linger()


def run(options: argparse.Namespace) -> int:
    """edge run"""
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


def classify(options: argparse.Namespace) -> int:
    """edge classify: every picture is tried; a bad one is told, and makes the exit code."""
    from edge.selection.selector import ModelSelector

    settings = settings_of(options)
    settings = dataclasses.replace(settings, model=dataclasses.replace(settings.model, top=options.top))
    tell = functools.partial(print, file=sys.stderr)
    selector = ModelSelector(settings, overrides=overrides_of(options), synset=options.synset, tell=tell, bring=True)
    try:
        return _classify(options, selector.open())
    finally:
        selector.end()


def _classify(options: argparse.Namespace, classifier: "Classifier") -> int:
    from edge.errors import CameraError
    from edge.stages import Frame
    from edge.vision.images import read_image

    results: list[dict[str, Any]] = []
    code = EX_OK
    for number, image in enumerate(options.images):
        try:
            frame = Frame(read_image(Path(image)), number, time.monotonic())
        except CameraError as error:
            print(f"edge: {error}", file=sys.stderr)
            code = error.exit_code
            continue
        predictions = classifier.classify(frame)
        elapsed_ms = 1000 * (classifier.timing.preprocess_s + classifier.timing.inference_s)
        results.append(
            {
                "image": image,
                "model": classifier.name,
                "engine": classifier.engine,
                "predictions": [{"id": p.id, "label": p.label, "probability": p.probability} for p in predictions],
                "elapsed_ms": round(elapsed_ms, 3),
                "calibrated": classifier.calibrated,
            }
        )
        if not options.json:
            print(f"{image} ({classifier.name}, {elapsed_ms:.0f} ms)")
            for prediction in predictions:
                print(f"  {prediction.probability:6.1%}  {prediction.label} ({prediction.id})")
    if options.json:
        print(json.dumps(results, indent=2, ensure_ascii=False))
    elif results and not classifier.calibrated:
        print(uncalibrated([classifier.name]))
    return code


def config(options: argparse.Namespace) -> int:
    """edge config: the effective settings, or a check of a file."""
    if options.check is None:
        print(to_toml(settings_of(options)), end="")
    elif options.check == _IN_EFFECT:
        settings_of(options)
        print("The settings in effect are good.")
    else:
        load(options.check, environment={})
        print(f"{options.check}: good")
    return EX_OK


class _Parser(argparse.ArgumentParser):
    """argparse, but a mistake gets one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(EX_USAGE, f"{self.prog}: {message}; see {self.prog} --help\n")


def _parser() -> _Parser:
    common = _Parser(add_help=False)
    common.add_argument("--config", type=Path, metavar="FILE", help="settings (default: /etc/edge/edge.toml)")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    model = _Parser(add_help=False)
    model.add_argument("--model", dest="model.name", metavar="NAME|PREFIX", help="a name, DIR/NAME or ...-0126.params")
    model.add_argument(
        "--engine", dest="model.engine", metavar="ENGINE", help="what computes: mxnet, onnx, openvino or auto"
    )
    model.add_argument("--precision", dest="model.precision", metavar="PRECISION", help="float32, or int8 once made")
    model.add_argument(
        "--budget-mib",
        dest="model.memory_budget_mib",
        type=_positive_whole,
        metavar="N",
        help="what all of edge may take (default: 640 for a model that edge chooses)",
    )
    _add_input_flags(model)

    parser = _Parser(prog="edge", description="Says what the camera sees.")
    parser.add_argument("--version", action="version", version=f"edge {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(function: Callable[[argparse.Namespace], int], text: str, *parents: _Parser) -> _Parser:
        sub = commands.add_parser(
            function.__name__, help=text, description=text, parents=[common, *parents], allow_abbrev=False
        )
        sub.set_defaults(command=function)
        return sub

    sub = command(run, "look, recognise and speak until Ctrl-C", model)
    sub.add_argument(
        "--camera", dest="camera.source", metavar="SOURCE", help="auto, csi[:N], usb[:N], a file, folder or URL, demo"
    )
    sub.add_argument(
        "--loop", dest="camera.loop", action="store_true", default=None, help="play a file or folder again and again"
    )
    sub.add_argument("--every-frame", action="store_true", help="classify each frame of a file or folder, unpaced")
    sub.add_argument("--speech", dest="speech.driver", metavar="DRIVER", help="pyttsx3, espeak or log (print only)")
    what = "on a Raspberry Pi with a camera, fetch a better model meanwhile, and change over to it"
    sub.add_argument("--fetch", action="store_true", help=what)
    sub.add_argument(
        "--no-fetch", dest="model.fetch", action="store_false", default=None, help="not even if ./scripts/run wants it"
    )
    sub.add_argument("--frames", type=_positive_whole, metavar="N", help="end after N frames")
    sub.add_argument("--seconds", type=_positive, metavar="N", help="end after N seconds")
    sub.add_argument(
        "--events", dest="service.events", metavar="FILE|-", help="one JSON object a line for what happens"
    )
    sub.add_argument(
        "--events-frames", dest="service.events_frames", action="store_true", default=None, help="and for each frame"
    )

    sub = command(classify, "name what is in pictures", model)
    sub.add_argument("images", nargs="+", metavar="IMAGE")
    sub.add_argument("--top", type=_positive_whole, default=5, metavar="N", help="how many labels (default: 5)")
    sub.add_argument("--json", action="store_true", help="a list of objects instead of text")

    sub = command(compare, "what several networks say of the same pictures, side by side")
    sub.add_argument("images", nargs="+", metavar="IMAGE")
    sub.add_argument("--models", metavar="A,B,...", help="names or prefixes (default: all that are installed)")
    sub.add_argument("--engine", dest="model.engine", metavar="ENGINE", help="default: [model] engine")
    sub.add_argument("--precision", metavar="A,B", help="float32, int8 or both (default: [model] precision)")
    sub.add_argument("--json", action="store_true", help="a list of objects instead of text")

    sub = command(bench, "time and weigh networks side by side")
    sub.add_argument("--models", metavar="A,B,...", help="names or prefixes (default: all that are installed)")
    sub.add_argument("--engines", metavar="A,B,...", help="default: [model] engine; auto: all that are installed")
    sub.add_argument("--precision", metavar="A,B", help="float32, int8 or both (default: [model] precision)")
    sub.add_argument("--against", choices=("module",), help="the tutorials' way, mx.mod.Module, for comparison")
    sub.add_argument("--frames", type=_positive_whole, default=60, metavar="N", help="how many to time (default: 60)")
    sub.add_argument("--json", action="store_true", help="objects instead of a table")

    _add_models(commands, common)

    sub = command(say, "speak a text as `edge run` would")
    sub.add_argument("text", nargs="*", metavar="TEXT")
    sub.add_argument("--speech", dest="speech.driver", metavar="DRIVER", help="pyttsx3, espeak or log (print only)")
    sub.add_argument("--device", dest="speech.device", metavar="NAME", help="the sound card, or any ALSA device")
    sub.add_argument("--voice", dest="speech.voice", metavar="NAME", help="one of `edge voices`")
    sub.add_argument("--list-devices", action="store_true", help="the sound cards, and whether each can be used")

    sub = command(voices, "the voices there are; or a file of translations, checked")
    sub.add_argument("language", nargs="?", default="", metavar="LANGUAGE", help="only those of a language, as in de")
    sub.add_argument(
        "--check", type=Path, metavar="FILE", help="tell what a file of translations lacks, and what is wrong"
    )
    sub.add_argument("--all", action="store_true", help="with --check: everything that is missing")

    control.add_commands(command)

    sub = command(doctor, "look at everything that edge depends on, and say what to do")
    sub.add_argument("--service", action="store_true", help="as the service's user, with its confinement (as root)")
    sub.add_argument(
        "--unit", type=Path, metavar="FILE", help="with --service: this unit file's confinement, and this very edge"
    )
    sub.add_argument(
        "--before-use",
        action="store_true",
        help="only what an edge can be asked that does not run yet, beside one that does",
    )
    sub.add_argument("--speak", action="store_true", help="say a sentence, to be heard")
    sub.add_argument("--json", action="store_true", help="a list of objects instead of lines")
    control.add_socket(sub)

    sub = command(config, "print the effective settings")
    what = "only tell whether this file is good, or the settings in effect"
    sub.add_argument("--check", type=Path, nargs="?", const=_IN_EFFECT, metavar="FILE", help=what)
    return parser


def _add_input_flags(parser: _Parser) -> None:
    group = parser.add_argument_group("input", "flags go before the model.toml beside the checkpoint")
    group.add_argument("--size", type=_whole, metavar="PIXELS", help="the input's side")
    group.add_argument("--channels", choices=("rgb", "bgr", "grey"))
    group.add_argument("--mean", type=_numbers, metavar="N[,N,N]", help="subtracted from 0..255")
    group.add_argument("--std", type=_numbers, metavar="N[,N,N]", help="divided by")
    group.add_argument("--resize", choices=("crop", "squash"))
    group.add_argument("--short-side", type=_whole, metavar="PIXELS", help="for crop: scaled to this before the cut")
    group.add_argument("--synset", type=Path, metavar="FILE", help="labels, lines of 'id label, synonym'")


def _add_models(commands: Any, common: _Parser) -> None:
    text = "the networks on this machine: which there are, what they take, which one runs"
    parser = commands.add_parser("models", help=text, description=text, allow_abbrev=False)
    kinds = parser.add_subparsers(required=True, metavar="COMMAND")
    store = _Parser(add_help=False)
    store.add_argument("--store", type=Path, metavar="DIR", help="the folder of models to change (default: your own)")

    def command(function: Callable[[argparse.Namespace], int], text: str, *parents: _Parser) -> _Parser:
        name = function.__name__.removesuffix("_models")
        sub: _Parser = kinds.add_parser(
            name, help=text, description=text, parents=[common, *parents], allow_abbrev=False
        )
        sub.set_defaults(command=function)
        return sub

    sub = command(models.list_models, "what is installed, and what could be fetched")
    sub.add_argument("--json", action="store_true", help="objects instead of a table")

    sub = command(models.add, "check a checkpoint and copy it into the store", store)
    sub.add_argument(
        "prefix", metavar="PREFIX", help="DIR/NAME, DIR/NAME-0126.params, a folder with one in it, or a package's model"
    )
    sub.add_argument("--name", metavar="NAME", help="what it is called in the store (default: as the files)")
    _add_input_flags(sub)

    sub = command(models.fetch, "download a network of the catalogue", store)
    sub.add_argument("name", nargs="?", metavar="NAME", help="default: the one that this machine would choose")
    sub.add_argument("--from", dest="origin", metavar="DIR|URL", help="a folder with its files, or a mirror")
    sub.add_argument("--list-sources", action="store_true", help="only show where it would look, in this order")
    sub.add_argument("--machine", type=Path, metavar="DIR", help="choose for another: a folder with its proc and sys")

    sub = command(models.verify, "compare installed files with their checksums", store)
    sub.add_argument("names", nargs="*", metavar="NAME", help="default: all")

    sub = command(models.remove, "delete an installed network", store)
    sub.add_argument("name", metavar="NAME")

    sub = command(models.measure, "load and run networks in a throw-away child, and keep what they took")
    sub.add_argument("names", nargs="*", metavar="NAME", help="names or prefixes (default: all that are installed)")
    sub.add_argument("--json", action="store_true", help="objects instead of a table")

    sub = command(calibrate, "make a network's confidence true, with pictures of which one knows what they show")
    sub.add_argument("name", metavar="NAME|PREFIX", help="a name in the store, or DIR/NAME")
    sub.add_argument("--images", type=Path, metavar="DIR", help="the pictures: at least 200, better 1000 or more")
    sub.add_argument("--labels", type=Path, metavar="CSV", help="lines of file,label (text or id; several with |)")
    sub.add_argument("--dry-run", action="store_true", help="show what it is worth, and write nothing")
    sub.add_argument("--remove", action="store_true", help="take the calibration back")
    sub.add_argument("--json", action="store_true", help="an object instead of tables")

    sub = command(quantize, "make a network's int8 version, and judge it, with pictures as its camera will see them")
    sub.add_argument("name", metavar="NAME|PREFIX", help="a name in the store, or DIR/NAME")
    sub.add_argument("--images", type=Path, metavar="DIR", help="the pictures: at least 12, better 100 or more")
    sub.add_argument("--from-camera", action="store_true", help="the frames of [camera] source instead")
    what = "how many frames, a second apart at least (default: 60)"
    sub.add_argument("--frames", type=_positive_whole, default=60, metavar="N", help=what)
    sub.add_argument("--camera", dest="camera.source", metavar="SOURCE", help="default: [camera] source")
    sub.add_argument("--precision", choices=("int8",), default="int8", help="what to make (default: int8)")
    sub.add_argument("--dry-run", action="store_true", help="show what it is worth, and write nothing")
    sub.add_argument("--remove", action="store_true", help="delete the int8 version")
    sub.add_argument("--json", action="store_true", help="an object instead of a table")

    sub = command(models.choose, "which network would run, and why not the others")
    sub.add_argument("--budget-mib", dest="model.memory_budget_mib", type=_positive_whole, metavar="N")
    sub.add_argument("--max-latency-ms", dest="model.max_latency_ms", type=_positive, metavar="N")
    sub.add_argument("--catalogue", action="store_true", help="as if the whole catalogue were installed")
    sub.add_argument("--machine", type=Path, metavar="DIR", help="another machine's: a folder with its proc and sys")
    sub.add_argument("--json", action="store_true", help="objects instead of a table")


def _whole(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number") from None


def _positive_whole(text: str) -> int:
    if (number := _whole(text)) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return number


def _positive(text: str) -> float:
    numbers = _numbers(text)
    if len(numbers) != 1 or not 0 < numbers[0] < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not a number above 0")
    return numbers[0]


def _numbers(text: str) -> list[float]:
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number, or numbers with commas between") from None
