"""The parser of the command `edge`."""

from pathlib import Path

from edge import __version__
from edge.cli.config import IN_EFFECT
from edge.cli.flags import (
    Commands,
    Parser,
    add_input_flags,
    add_language,
    add_socket,
    common_flags,
    duration,
    jpeg_file,
    positive,
    positive_whole,
)
from edge.cli.models.parser import add_models
from edge.input.actions import Action


def parser() -> Parser:
    """Return the parser of all commands. What it returns has `command`, a function, and `is_service`."""
    top = Parser(prog="edge", description="Say what the camera sees.")
    top.add_argument("--version", action="version", version=f"edge {__version__}")
    common, model = common_flags("the settings file (default: /etc/edge/edge.toml)"), _model_flags()
    commands = Commands(top, common)
    # in the order of `edge --help`
    _add_run(commands, model)
    _add_images(commands, model)
    add_models(commands.group("models", "list, install, check, calibrate and choose models"), common)
    _add_speech(commands)
    _add_control(commands)
    _add_teaching(commands, model)
    _add_link(commands)
    _add_set_up(commands)
    return top


def _model_flags() -> Parser:
    model = Parser(add_help=False)
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
        type=positive_whole,
        metavar="N",
        help="the most memory, in MiB, that edge may use (default: 640; for a model that you name: what is free)",
    )
    add_input_flags(model)
    return model


def _add_run(commands: Commands, model: Parser) -> None:
    sub = commands.add("edge.cli.run:run", "recognise what the camera sees and say it, until Ctrl-C", model)
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
    add_language(sub)
    what = "on a Raspberry Pi with a camera: download a better model while edge runs, and switch to it"
    sub.add_argument("--fetch", action="store_true", help=what)
    sub.add_argument(
        "--no-fetch", dest="model.fetch", action="store_false", default=None, help="do not download a better model"
    )
    sub.add_argument("--frames", type=positive_whole, metavar="N", help="exit after N frames")
    sub.add_argument("--seconds", type=positive, metavar="N", help="exit after N seconds")
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
    sub.set_defaults(is_service=True)


def _add_images(commands: Commands, model: Parser) -> None:
    sub = commands.add("edge.cli.classify:classify", "print the most likely labels of images", model)
    sub.add_argument("images", nargs="+", metavar="IMAGE|FOLDER", help="an image file, or a folder of images")
    sub.add_argument("--top", type=positive_whole, default=5, metavar="N", help="number of labels (default: 5)")
    sub.add_argument("--json", action="store_true", help="print a JSON list instead of text")

    what = "print the most likely labels of several models for the same images, side by side"
    sub = commands.add("edge.cli.compare:compare", what)
    sub.add_argument("images", nargs="+", metavar="IMAGE|FOLDER", help="an image file, or a folder of images")
    sub.add_argument("--models", metavar="A,B,...", help="names or prefixes (default: all installed models)")
    sub.add_argument(
        "--engine", dest="model.engine", metavar="ENGINE", help="inference engine (default: [model] engine)"
    )
    sub.add_argument("--precision", metavar="A,B", help="float32, float16, int8 (default: [model] precision)")
    sub.add_argument("--json", action="store_true", help="print a JSON list instead of text")

    sub = commands.add("edge.cli.compare:bench", "measure the time and memory of models, side by side")
    sub.add_argument("--models", metavar="A,B,...", help="names or prefixes (default: all installed models)")
    sub.add_argument("--engines", metavar="A,B,...", help="default: [model] engine; auto: all installed engines")
    sub.add_argument("--precision", metavar="A,B", help="float32, float16, int8 (default: [model] precision)")
    sub.add_argument("--against", choices=("module",), help="also measure mx.mod.Module, which MXNet's tutorials use")
    sub.add_argument(
        "--frames", type=positive_whole, default=60, metavar="N", help="number of timed frames (default: 60)"
    )
    sub.add_argument("--json", action="store_true", help="print JSON instead of a table")


def _add_speech(commands: Commands) -> None:
    sub = commands.add(
        "edge.cli.speech:say", "have the running edge say a text; or speak it with that voice if none runs"
    )
    sub.add_argument("text", nargs="*", metavar="TEXT", help="text to speak")
    sub.add_argument(
        "--urgent",
        action="store_true",
        help='break off what the running edge says, at any hour; [link] say = "urgent" allows it',
    )
    add_socket(sub)
    sub.add_argument(
        "--speech",
        dest="speech.driver",
        metavar="DRIVER",
        help="pyttsx3, espeak or log (print only); with this or the next three, no running edge is asked",
    )
    sub.add_argument("--device", dest="speech.device", metavar="NAME", help="sound card, or any ALSA device")
    sub.add_argument("--voice", dest="speech.voice", metavar="NAME", help="a voice that `edge voices` lists")
    add_language(sub)
    sub.add_argument("--list-devices", action="store_true", help="list the sound cards, and whether each works")

    sub = commands.add("edge.cli.speech:voices", "list the installed voices, or check a translation file")
    sub.add_argument(
        "language", nargs="?", default="", metavar="LANGUAGE", help="list only the voices of this language, such as de"
    )
    sub.add_argument(
        "--check", type=Path, metavar="FILE", help="check a translation file: print what is missing and what is wrong"
    )
    sub.add_argument("--all", action="store_true", help="with --check: print all missing entries")


def _add_control(commands: Commands) -> None:
    """Add the commands for the running edge."""
    for name, text in (
        ("edge.cli.queries:status", "show the state of the running edge, and why it is silent"),
        ("edge.cli.queries:why", "list what edge saw last, and why it said it or not"),
        ("edge.cli.queries:missed", "list what edge would have said while it was silent"),
        ("edge.cli.queries:history", "list what was said in the last hour"),
        ("edge.cli.queries:look", "print and say what is in view now"),
    ):
        sub = commands.add(name, text)
        sub.add_argument("--json", action="store_true", help="print JSON instead of lines")
        if name == "edge.cli.queries:why":
            sub.add_argument(
                "--last", type=int, default=10, metavar="N", help="number of decisions (default: 10; edge keeps 100)"
            )
        add_socket(sub)
    sub = commands.add("edge.cli.control:snooze", "silence the running edge for a while")
    sub.add_argument(
        "duration",
        nargs="?",
        type=duration,
        default=1800.0,
        metavar="TIME",
        help="how long: 90s, 30m (the default), 2h, 1h30m",
    )
    add_socket(sub)
    add_socket(commands.add("edge.cli.control:wake", "end a snooze"))
    add_socket(commands.add("edge.cli.queries:aim", "help to aim the camera and turn its lens, by ear, for a minute"))
    for change, text in (
        ("edge.cli.control:louder", "speak louder"),
        ("edge.cli.control:quieter", "speak more quietly"),
        ("edge.cli.control:faster", "speak faster"),
        ("edge.cli.control:slower", "speak more slowly"),
    ):
        add_socket(commands.add(change, text))
    sub = commands.add("edge.cli.control:volume", "set the volume, or show it")
    sub.add_argument(
        "percent", nargs="?", type=float, metavar="PERCENT", help="from 10 to 100; without it, show the volume"
    )
    add_socket(sub)
    sub = commands.add("edge.cli.control:press", "do what a key does, with its tone and its answer aloud")
    sub.add_argument("action", nargs="+", metavar="ACTION", help=f"one of: {', '.join(Action)}")
    add_socket(sub)
    add_socket(commands.add("edge.cli.control:pause", "close the camera"))
    add_socket(commands.add("edge.cli.control:resume", "open the camera again"))
    sub = commands.add("edge.cli.queries:snapshot", "save the current frame to a file")
    sub.add_argument("file", type=jpeg_file, metavar="FILE.jpg", help="the file to write")
    add_socket(sub)
    sub = commands.add("edge.cli.control:mute", "never announce a label again, or list the muted labels")
    sub.add_argument(
        "label", nargs="*", metavar="LABEL", help="a label, the words that edge says for it, or a group such as dog"
    )
    sub.add_argument("--last", action="store_true", help="mute what was said last")
    add_socket(sub)
    sub = commands.add("edge.cli.control:unmute", "announce a muted label again")
    sub.add_argument("label", nargs="+", metavar="LABEL", help="a muted label")
    add_socket(sub)


def _add_teaching(commands: Commands, model: Parser) -> None:
    sub = commands.add(
        "edge.cli.teach:teach", "teach edge one of your things: before its camera, or from pictures", model
    )
    add_socket(sub)
    sub.add_argument(
        "name", metavar="NAME", nargs="?", default="", help='how edge is to call it: "my keys", "Rex", "blue cup"'
    )
    sub.add_argument("--images", type=Path, metavar="DIR", help="folder with pictures of it: at least 4, better 10")
    sub.add_argument("--empty", type=Path, metavar="DIR", help="with --images: pictures of the place without it")
    sub.add_argument("--cancel", action="store_true", help="end the dialogue that goes on before the camera")
    sub.add_argument("--more", action="store_true", help="add views to a thing that edge knows")
    sub.add_argument("--replace", action="store_true", help="learn a thing that edge knows from new views alone")
    sub = commands.add(
        "edge.cli.teach:taught", "list the things that edge was taught, or bring them to another machine"
    )
    sub.add_argument("--export", dest="export_file", type=Path, metavar="FILE", help="write them all to a file")
    sub.add_argument("--import", dest="import_file", type=Path, metavar="FILE", help="add those of such a file")
    sub.add_argument("--replace", action="store_true", help="with --import: replace things of the same names")
    sub.add_argument("--no-pictures", action="store_true", help="with --export: leave out pictures that edge has kept")
    sub.add_argument("--json", action="store_true", help="print a JSON list instead of a table")
    add_socket(sub)
    sub = commands.add("edge.cli.teach:forget", "forget a thing that edge was taught")
    sub.add_argument("name", metavar="NAME", help="its name, as edge taught lists it")
    add_socket(sub)


def _add_link(commands: Commands) -> None:
    # its settings are another file
    base = common_flags("the settings file of the link (default: /etc/edge/link.toml)")
    what = "tell the running edge's state to MQTT, Home Assistant, Prometheus and browsers, and take their commands"
    sub = commands.add("edge.cli.link:link", what, base=base)
    sub.set_defaults(is_service=True)
    add_socket(sub)
    sub.add_argument("--check", action="store_true", help="only try each part, and say what is wrong")
    sub.add_argument("--json", action="store_true", help="with --check: print a JSON list instead of lines")
    what = "only remove this edge from Home Assistant, and its state from the broker; stop the link first"
    sub.add_argument("--forget", action="store_true", help=what)
    sub.add_argument("--token", action="store_true", help="only show how to open the page: its token, as a QR code too")


def _add_set_up(commands: Commands) -> None:
    sub = commands.add("edge.cli.doctor:doctor", "check everything that edge depends on, and advise on repairs")
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
    add_socket(sub)

    sub = commands.add("edge.cli.keys:keys", "show which keys are pressed, and what they ask edge for")
    sub.add_argument(
        "--device",
        action="append",
        metavar="NAME|PATH|auto",
        help="read this device instead of [input] devices; may be given several times",
    )
    sub.add_argument("--all", action="store_true", help="read every device, keyboards too")
    sub.add_argument("--learn", action="store_true", help="ask for a key for each action, and print the settings")
    sub.add_argument("--write", action="store_true", help="with --learn: write them into the settings file")
    sub.add_argument("--seconds", type=positive, metavar="N", help="end after N seconds")

    sub = commands.add("edge.cli.config:config", "print the settings in effect, or check a settings file")
    what = "only check this file, edge.toml or link.toml (default: the settings in effect)"
    sub.add_argument("--check", type=Path, nargs="?", const=IN_EFFECT, metavar="FILE", help=what)
