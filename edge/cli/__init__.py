"""The command `edge`: one module for each group of subcommands.

An error ends as one line and an exit code.
"""

import argparse
import dataclasses
import functools
import importlib
import logging
import os
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from edge import __version__
from edge.cli import control
from edge.cli.common import image_files, overrides_of, print_json, settings_of
from edge.cli.teach import forget, taught, teach
from edge.config import load, to_toml
from edge.errors import EX_OK, EX_SOFTWARE, EX_UNAVAILABLE, EX_USAGE, EdgeError, lines_of, one_line
from edge.host.noise import show_debug_log
from edge.host.systemd import lines_to, notify
from edge.host.terminal import LineFormatter, printable, tell, tolerate

if TYPE_CHECKING:
    from edge.stages import Classifier

_log = logging.getLogger(__name__)
EX_BROKEN_PIPE = 141
_IN_EFFECT = Path()
"""Value of `edge config --check` without a file: check the settings in effect."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code. All errors are reported here."""
    # a closed standard stream is None in Python, and print() to it would be an error
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115, PTH123 - open until the end
        tolerate(getattr(sys, name))
    try:
        options = _parser().parse_args(argv)
    except SystemExit as leaving:  # argparse has said why
        return int(leaving.code or EX_OK)
    _log_to_stderr()
    if options.debug:
        show_debug_log()
    command: Callable[[argparse.Namespace], int] = options.command
    try:
        code = command(options)
        # a full disk is reported here; the services print line by line, and tolerate it
        if command not in (run, _link):
            sys.stdout.flush()
    except EdgeError as error:
        if options.debug:
            traceback.print_exc()
        _tell_failure(lines_of(error), error.exit_code, is_service=command in (run, _link))
        return error.exit_code
    except BrokenPipeError:
        # the reader of the output is gone: nothing can be printed any more, not even by the flush at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EX_BROKEN_PIPE
    except OSError as error:
        if options.debug:
            traceback.print_exc()
        tell(f"edge: {error}; run it again with --debug to see where")
        return EX_UNAVAILABLE
    except Exception as error:
        if options.debug:
            traceback.print_exc()
        what = f"{type(error).__name__}: {one_line(error)}"
        what = f"a bug: {what}; run it again with --debug and report it"
        _tell_failure([what], EX_SOFTWARE, is_service=command in (run, _link))
        return EX_SOFTWARE
    return code


def _log_to_stderr() -> None:
    """Print warnings of all modules on standard error, each as one line; nothing if that is done already."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter("edge: %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler])


def _tell_failure(lines: Sequence[str], code: int, *, is_service: bool) -> None:
    """Print the reason on standard error; for a service also as a journal entry and in `systemctl status`."""
    if is_service:
        notify(f"STATUS={printable(lines[0])}")
    with lines_to(sys.stderr, _log) as handler:
        for line in lines:
            _log.error(f"edge: {line}", extra={"event": "failed" if is_service else None, "exit_code": code})
        handler.linger()


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


def classify(options: argparse.Namespace) -> int:
    """edge classify: try every image; a bad one is reported and determines the exit code."""
    from edge.selection.selector import ModelSelector

    settings = settings_of(options)
    # a photo has its object where the model expects it
    model = dataclasses.replace(settings.model, top=options.top, view="model")
    settings = dataclasses.replace(settings, model=model)
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
    images, code = image_files(options.images)
    for number, image in enumerate(images):
        try:
            frame = Frame(read_image(Path(image)), number, time.monotonic())
        except CameraError as error:
            tell(f"edge: {error}")
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
            print(printable(f"{image} ({classifier.name}, {elapsed_ms:.0f} ms)"))
            for prediction in predictions:
                print(printable(f"  {prediction.probability:6.1%}  {prediction.label} ({prediction.id})"))
    if options.json:
        print_json(results)
    elif results and not classifier.calibrated:
        from edge.cli.compare import uncalibrated

        print(uncalibrated([classifier.name]))
    return code


def config(options: argparse.Namespace) -> int:
    """edge config: print the effective settings, or check a file."""
    from edge.input.keymap import read_keymap
    from edge.link import settings as link_settings

    if options.check is None:
        print(to_toml(settings_of(options)), end="")
    elif options.check == _IN_EFFECT:
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


def _later(module: str, name: str) -> Callable[[argparse.Namespace], int]:
    """Return a command that is imported when it runs: others start sooner, and save the memory of its libraries."""

    def command(options: argparse.Namespace) -> int:
        function: Callable[[argparse.Namespace], int] = getattr(importlib.import_module(module), name)
        return function(options)

    command.__name__ = name
    return command


# a module of this package that is imported later takes its own name here: so these begin with an underscore
_compare, _bench = _later("edge.cli.compare", "compare"), _later("edge.cli.compare", "bench")
_keys = _later("edge.cli.keys", "keys")
_link = _later("edge.cli.link", "link")
_say, _voices = _later("edge.cli.speech", "say"), _later("edge.cli.speech", "voices")


class _Parser(argparse.ArgumentParser):
    """An argument parser that reports a mistake in one line."""

    def error(self, message: str) -> NoReturn:
        self.exit(EX_USAGE, f"{self.prog}: {printable(message)}; see {self.prog} --help\n")


def _parser() -> _Parser:
    common = _common("the settings file (default: /etc/edge/edge.toml)")
    model = _Parser(add_help=False)
    model.add_argument(
        "--model", dest="model.name", metavar="NAME|PREFIX", help="an installed model, or a checkpoint: DIR/NAME"
    )
    model.add_argument(
        "--engine", dest="model.engine", metavar="ENGINE", help="inference engine: mxnet, onnx, openvino, ncnn or auto"
    )
    model.add_argument(
        "--precision",
        dest="model.precision",
        metavar="PRECISION",
        help="float32, float16, or int8 for a model that has an int8 version; the last two set --engine auto if no "
        "engine is given",
    )
    model.add_argument(
        "--budget-mib",
        dest="model.memory_budget_mib",
        type=_positive_whole,
        metavar="N",
        help="the most memory, in MiB, that edge may use (default: 640; for a model that you name: what is free)",
    )
    _add_input_flags(model)

    parser = _Parser(prog="edge", description="Say what the camera sees.")
    parser.add_argument("--version", action="version", version=f"edge {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(
        function: Callable[[argparse.Namespace], int], text: str, *parents: _Parser, base: _Parser = common
    ) -> _Parser:
        sub = commands.add_parser(
            function.__name__, help=text, description=_sentence(text), parents=[base, *parents], allow_abbrev=False
        )
        sub.set_defaults(command=function)
        return sub

    sub = command(run, "recognise what the camera sees and say it, until Ctrl-C", model)
    sub.add_argument(
        "--camera",
        dest="camera.source",
        metavar="SOURCE",
        help="frame source: auto, csi[:N], usb[:N], demo, a file, a folder or a URL",
    )
    sub.add_argument(
        "--loop", dest="camera.loop", action="store_true", default=None, help="play a file or folder in a loop"
    )
    sub.add_argument(
        "--every-frame",
        action="store_true",
        help="classify every frame of a file or folder, and wait only while edge speaks",
    )
    sub.add_argument("--speech", dest="speech.driver", metavar="DRIVER", help="pyttsx3, espeak or log (print only)")
    _add_language(sub)
    what = "on a Raspberry Pi with a camera: download a better model while edge runs, and switch to it"
    sub.add_argument("--fetch", action="store_true", help=what)
    sub.add_argument(
        "--no-fetch", dest="model.fetch", action="store_false", default=None, help="do not download a better model"
    )
    sub.add_argument("--frames", type=_positive_whole, metavar="N", help="exit after N frames")
    sub.add_argument("--seconds", type=_positive, metavar="N", help="exit after N seconds")
    sub.add_argument(
        "--events",
        dest="service.events",
        metavar="FILE|-",
        help="write events as lines of JSON: to a file, or - for standard output",
    )
    sub.add_argument(
        "--events-frames",
        dest="service.events_frames",
        action="store_true",
        default=None,
        help="with --events: write an event for each frame too",
    )

    sub = command(classify, "print the most likely labels of images", model)
    sub.add_argument("images", nargs="+", metavar="IMAGE|FOLDER", help="an image file, or a folder of images")
    sub.add_argument("--top", type=_positive_whole, default=5, metavar="N", help="number of labels (default: 5)")
    sub.add_argument("--json", action="store_true", help="print a JSON list instead of text")

    sub = command(_compare, "print the most likely labels of several models for the same images, side by side")
    sub.add_argument("images", nargs="+", metavar="IMAGE|FOLDER", help="an image file, or a folder of images")
    sub.add_argument("--models", metavar="A,B,...", help="names or prefixes (default: all installed models)")
    sub.add_argument(
        "--engine", dest="model.engine", metavar="ENGINE", help="inference engine (default: [model] engine)"
    )
    sub.add_argument("--precision", metavar="A,B", help="float32, float16, int8 (default: [model] precision)")
    sub.add_argument("--json", action="store_true", help="print a JSON list instead of text")

    sub = command(_bench, "measure the time and memory of models, side by side")
    sub.add_argument("--models", metavar="A,B,...", help="names or prefixes (default: all installed models)")
    sub.add_argument("--engines", metavar="A,B,...", help="default: [model] engine; auto: all installed engines")
    sub.add_argument("--precision", metavar="A,B", help="float32, float16, int8 (default: [model] precision)")
    sub.add_argument("--against", choices=("module",), help="also measure mx.mod.Module, which MXNet's tutorials use")
    sub.add_argument(
        "--frames", type=_positive_whole, default=60, metavar="N", help="number of timed frames (default: 60)"
    )
    sub.add_argument("--json", action="store_true", help="print JSON instead of a table")

    _add_models(commands, common)

    sub = command(_say, "have the running edge say a text; or speak it with that voice if none runs")
    sub.add_argument("text", nargs="*", metavar="TEXT", help="text to speak")
    sub.add_argument(
        "--urgent",
        action="store_true",
        help='break off what the running edge says, at any hour; [link] say = "urgent" allows it',
    )
    control.add_socket(sub)
    sub.add_argument(
        "--speech",
        dest="speech.driver",
        metavar="DRIVER",
        help="pyttsx3, espeak or log (print only); with this or the next three, no running edge is asked",
    )
    sub.add_argument("--device", dest="speech.device", metavar="NAME", help="sound card, or any ALSA device")
    sub.add_argument("--voice", dest="speech.voice", metavar="NAME", help="a voice that `edge voices` lists")
    _add_language(sub)
    sub.add_argument("--list-devices", action="store_true", help="list the sound cards, and whether each works")

    sub = command(_voices, "list the installed voices, or check a translation file")
    sub.add_argument(
        "language", nargs="?", default="", metavar="LANGUAGE", help="list only the voices of this language, such as de"
    )
    sub.add_argument(
        "--check", type=Path, metavar="FILE", help="check a translation file: print what is missing and what is wrong"
    )
    sub.add_argument("--all", action="store_true", help="with --check: print all missing entries")

    control.add_commands(command)

    _add_teaching(command, model)

    # its settings are another file
    base = _common("the settings file of the link (default: /etc/edge/link.toml)")
    what = "tell the running edge's state to MQTT, Home Assistant, Prometheus and browsers, and take their commands"
    sub = command(_link, what, base=base)
    control.add_socket(sub)
    sub.add_argument("--check", action="store_true", help="only try each part, and say what is wrong")
    sub.add_argument("--json", action="store_true", help="with --check: print a JSON list instead of lines")
    what = "only remove this edge from Home Assistant, and its state from the broker; stop the link first"
    sub.add_argument("--forget", action="store_true", help=what)
    sub.add_argument("--token", action="store_true", help="only show how to open the page: its token, as a QR code too")

    sub = command(_later("edge.cli.doctor", "doctor"), "check everything that edge depends on, and advise on repairs")
    sub.add_argument(
        "--service", action="store_true", help="check as the service's user, with its confinement (needs root)"
    )
    sub.add_argument(
        "--unit",
        type=Path,
        metavar="FILE",
        help="with --service: use the confinement of this unit file, and this installation of edge",
    )
    sub.add_argument(
        "--before-use",
        action="store_true",
        help="only the checks that are possible while another release is still running",
    )
    sub.add_argument("--speak", action="store_true", help="speak a test sentence")
    sub.add_argument("--json", action="store_true", help="print a JSON list instead of lines")
    control.add_socket(sub)

    sub = command(_keys, "show which keys are pressed, and what they ask edge for")
    sub.add_argument(
        "--device",
        action="append",
        metavar="NAME|PATH|auto",
        help="read this device instead of [input] devices; may be given several times",
    )
    sub.add_argument("--all", action="store_true", help="read every device, keyboards too")
    sub.add_argument("--learn", action="store_true", help="ask for a key for each action, and print the settings")
    sub.add_argument("--write", action="store_true", help="with --learn: write them into the settings file")
    sub.add_argument("--seconds", type=_positive, metavar="N", help="end after N seconds")

    sub = command(config, "print the settings in effect, or check a settings file")
    what = "only check this file, edge.toml or link.toml (default: the settings in effect)"
    sub.add_argument("--check", type=Path, nargs="?", const=_IN_EFFECT, metavar="FILE", help=what)
    return parser


def _common(config: str) -> _Parser:
    """Return a parser with the flags that every command has; `config` is the help of --config."""
    parser = _Parser(add_help=False)
    parser.add_argument("--config", type=Path, metavar="FILE", help=config)
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error, and the debug log")
    return parser


def _add_teaching(command: Callable[..., _Parser], model: _Parser) -> None:
    sub = command(teach, "teach edge one of your things: before its camera, or from pictures", model)
    control.add_socket(sub)
    sub.add_argument(
        "name", metavar="NAME", nargs="?", default="", help='how edge is to call it: "my keys", "Rex", "blue cup"'
    )
    sub.add_argument("--images", type=Path, metavar="DIR", help="folder with pictures of it: at least 4, better 10")
    sub.add_argument("--empty", type=Path, metavar="DIR", help="with --images: pictures of the place without it")
    sub.add_argument("--cancel", action="store_true", help="end the dialogue that goes on before the camera")
    sub.add_argument("--more", action="store_true", help="add views to a thing that edge knows")
    sub.add_argument("--replace", action="store_true", help="learn a thing that edge knows from new views alone")
    sub = command(taught, "list the things that edge was taught, or bring them to another machine")
    sub.add_argument("--export", dest="export_file", type=Path, metavar="FILE", help="write them all to a file")
    sub.add_argument("--import", dest="import_file", type=Path, metavar="FILE", help="add those of such a file")
    sub.add_argument("--replace", action="store_true", help="with --import: replace things of the same names")
    sub.add_argument("--no-pictures", action="store_true", help="with --export: leave out pictures that edge has kept")
    sub.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    control.add_socket(sub)
    sub = command(forget, "forget a thing that edge was taught")
    sub.add_argument("name", metavar="NAME", help="its name, as edge taught lists it")
    control.add_socket(sub)


def _add_language(parser: _Parser) -> None:
    what = "language of the words and of the voice, such as de (default: English)"
    parser.add_argument("--language", dest="speech.language", metavar="LANGUAGE", help=what)


def _add_input_flags(parser: _Parser) -> None:
    group = parser.add_argument_group("input", "these override the model.toml beside the checkpoint")
    group.add_argument("--size", type=_whole, metavar="PIXELS", help="side of the square input")
    group.add_argument("--channels", choices=("rgb", "bgr", "grey"), help="channel order")
    group.add_argument("--mean", type=_numbers, metavar="N[,N,N]", help="subtracted from each channel (0 to 255)")
    group.add_argument("--std", type=_numbers, metavar="N[,N,N]", help="divisor of each channel, after the mean")
    group.add_argument(
        "--resize", choices=("crop", "squash"), help="crop: cut out the centre; squash: stretch the whole image"
    )
    group.add_argument(
        "--short-side", type=_whole, metavar="PIXELS", help="with crop: scale the shorter side to this first"
    )
    group.add_argument(
        "--synset",
        type=Path,
        metavar="FILE",
        help="labels: lines 'id label, synonym', names, CSV, JSON or a Python dict",
    )


def _add_models(commands: Any, common: _Parser) -> None:
    text = "list, install, check, calibrate and choose models"
    parser = commands.add_parser("models", help=text, description=_sentence(text), allow_abbrev=False)
    kinds = parser.add_subparsers(required=True, metavar="COMMAND")
    store = _Parser(add_help=False)
    store.add_argument("--store", type=Path, metavar="DIR", help="folder of installed models (default: your own)")

    def command(name: str, text: str, *parents: _Parser) -> _Parser:
        sub: _Parser = kinds.add_parser(
            name.removesuffix("_models"),
            help=text,
            description=_sentence(text),
            parents=[common, *parents],
            allow_abbrev=False,
        )
        sub.set_defaults(command=_later("edge.cli.models", name))
        return sub

    sub = command("list_models", "list the installed models, and those that can be fetched")
    sub.add_argument("--json", action="store_true", help="print JSON instead of a table")

    sub = command("add", "check a checkpoint and install it", store)
    sub.add_argument(
        "prefix",
        metavar="PREFIX",
        help="DIR/NAME, DIR/NAME-0126.params, a folder with one checkpoint, or the name of a packaged model",
    )
    sub.add_argument("--name", metavar="NAME", help="name of the installed model (default: the name of the files)")
    _add_input_flags(sub)

    sub = command("fetch", "download a model of the catalogue and install it", store)
    sub.add_argument(
        "name", nargs="?", metavar="NAME", help="a model of the catalogue (default: the best that fits this machine)"
    )
    sub.add_argument("--from", dest="origin", metavar="DIR|URL", help="take the files from a folder or a mirror")
    sub.add_argument(
        "--list-sources", action="store_true", help="only list the sources, in the order in which they are tried"
    )
    sub.add_argument(
        "--machine", type=Path, metavar="DIR", help="choose for another machine, from a copy of its /proc and /sys"
    )

    sub = command("verify", "compare the files of installed models with their checksums", store)
    sub.add_argument("names", nargs="*", metavar="NAME", help="an installed model (default: all)")

    sub = command("remove", "delete an installed model", store)
    sub.add_argument("name", metavar="NAME", help="an installed model")

    sub = command("measure", "measure the memory and time of models, each in a child process")
    sub.add_argument("names", nargs="*", metavar="NAME", help="names or prefixes (default: all installed models)")
    sub.add_argument("--json", action="store_true", help="print JSON instead of a table")

    sub = command("check", "check on images whether the size, channels, mean, std and crop of a model are right")
    sub.add_argument("name", metavar="NAME|PREFIX", help="an installed model, or DIR/NAME")
    sub.add_argument("--images", type=Path, metavar="DIR", help="folder of the images: at least 20, better 100 or more")
    sub.add_argument(
        "--labels", type=Path, metavar="CSV", help="lines of file,label (a text or an id; separate several with |)"
    )
    sub.add_argument("--json", action="store_true", help="print JSON instead of a table")
    _add_input_flags(sub)

    sub = command("calibrate", "calibrate a model's confidence on labelled images")
    sub.add_argument("name", metavar="NAME|PREFIX", help="an installed model, or DIR/NAME")
    sub.add_argument(
        "--images", type=Path, metavar="DIR", help="folder of the images: at least 100, better 1000 or more"
    )
    sub.add_argument(
        "--labels", type=Path, metavar="CSV", help="lines of file,label (a text or an id; separate several with |)"
    )
    sub.add_argument(
        "--from-camera",
        action="store_true",
        help="also use camera frames of your room, without the things that edge should name",
    )
    what = "with --from-camera: number of frames, a second apart (default: 60)"
    sub.add_argument("--frames", type=_positive_whole, default=60, metavar="N", help=what)
    sub.add_argument("--camera", dest="camera.source", metavar="SOURCE", help="the camera (default: [camera] source)")
    sub.add_argument("--dry-run", action="store_true", help="show the result, but write nothing")
    sub.add_argument("--remove", action="store_true", help="remove the calibration")
    sub.add_argument("--json", action="store_true", help="print JSON instead of tables")

    sub = command("quantize", "make and judge the int8 version of a model, on images like those of its camera")
    sub.add_argument("name", metavar="NAME|PREFIX", help="an installed model, or DIR/NAME")
    sub.add_argument("--images", type=Path, metavar="DIR", help="folder of the images: at least 12, better 100 or more")
    sub.add_argument("--from-camera", action="store_true", help="use frames of the camera instead")
    what = "with --from-camera: number of frames, at least a second apart (default: 60)"
    sub.add_argument("--frames", type=_positive_whole, default=60, metavar="N", help=what)
    sub.add_argument("--camera", dest="camera.source", metavar="SOURCE", help="the camera (default: [camera] source)")
    sub.add_argument(
        "--precision", choices=("int8",), default="int8", help="precision of the new version (default: int8)"
    )
    sub.add_argument("--dry-run", action="store_true", help="show the result, but write nothing")
    sub.add_argument("--remove", action="store_true", help="delete the int8 version")
    sub.add_argument("--json", action="store_true", help="print JSON instead of a table")

    sub = command("choose", "show which model would run here, and why the others would not")
    sub.add_argument(
        "--budget-mib",
        dest="model.memory_budget_mib",
        type=_positive_whole,
        metavar="N",
        help="the most memory, in MiB, that edge may use (default: [model] memory_budget_mib, or 640)",
    )
    sub.add_argument(
        "--max-latency-ms",
        dest="model.max_latency_ms",
        type=_positive,
        metavar="N",
        help="longest median time per frame",
    )
    sub.add_argument("--catalogue", action="store_true", help="choose as if the whole catalogue were installed")
    sub.add_argument(
        "--machine", type=Path, metavar="DIR", help="choose for another machine, from a copy of its /proc and /sys"
    )
    sub.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _sentence(text: str) -> str:
    """Return a help text as a sentence: the description at the top of a command's own help."""
    return f"{text[0].upper()}{text[1:]}."


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
