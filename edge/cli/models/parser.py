"""The parsers of `edge models ...`."""

from pathlib import Path

from edge.cli.flags import Commands, Parser, add_input_flags, positive, positive_whole


def add_models(parser: Parser, common: Parser) -> None:
    """Add the subcommands of `edge models`; each has the flags of `common`."""
    commands = Commands(parser, common)
    store = Parser(add_help=False)
    store.add_argument("--store", type=Path, metavar="DIR", help="folder of installed models (default: your own)")

    sub = commands.add(
        "edge.cli.models.listing:list_models", "list the installed models, and those that can be fetched", name="list"
    )
    sub.add_argument("--json", action="store_true", help="print JSON instead of a table")

    sub = commands.add("edge.cli.models.installing:add", "check a checkpoint and install it", store)
    sub.add_argument(
        "prefix",
        metavar="PREFIX",
        help="DIR/NAME, DIR/NAME-0126.params, a folder with one checkpoint, or the name of a packaged model",
    )
    sub.add_argument("--name", metavar="NAME", help="name of the installed model (default: the name of the files)")
    add_input_flags(sub)

    sub = commands.add("edge.cli.models.installing:fetch", "download a model of the catalogue and install it", store)
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

    sub = commands.add(
        "edge.cli.models.installing:verify", "compare the files of installed models with their checksums", store
    )
    sub.add_argument("names", nargs="*", metavar="NAME", help="an installed model (default: all)")

    sub = commands.add("edge.cli.models.installing:remove", "delete an installed model", store)
    sub.add_argument("name", metavar="NAME", help="an installed model")

    sub = commands.add(
        "edge.cli.models.choosing:measure", "measure the memory and time of models, each in a child process"
    )
    sub.add_argument("names", nargs="*", metavar="NAME", help="names or prefixes (default: all installed models)")
    sub.add_argument("--json", action="store_true", help="print JSON instead of a table")

    what = "check on images whether the size, channels, mean, std and crop of a model are right"
    sub = commands.add("edge.cli.models.check:check", what)
    sub.add_argument("name", metavar="NAME|PREFIX", help="an installed model, or DIR/NAME")
    sub.add_argument("--images", type=Path, metavar="DIR", help="folder of the images: at least 20, better 100 or more")
    sub.add_argument(
        "--labels", type=Path, metavar="CSV", help="lines of file,label (a text or an id; separate several with |)"
    )
    sub.add_argument("--json", action="store_true", help="print JSON instead of a table")
    add_input_flags(sub)

    sub = commands.add("edge.cli.models.calibrate:calibrate", "calibrate a model's confidence on labelled images")
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
    sub.add_argument("--frames", type=positive_whole, default=60, metavar="N", help=what)
    sub.add_argument("--camera", dest="camera.source", metavar="SOURCE", help="the camera (default: [camera] source)")
    sub.add_argument("--dry-run", action="store_true", help="show the result, but write nothing")
    sub.add_argument("--remove", action="store_true", help="remove the calibration")
    sub.add_argument("--json", action="store_true", help="print JSON instead of tables")

    what = "make and judge the int8 version of a model, on images like those of its camera"
    sub = commands.add("edge.cli.models.quantize:quantize", what)
    sub.add_argument("name", metavar="NAME|PREFIX", help="an installed model, or DIR/NAME")
    sub.add_argument("--images", type=Path, metavar="DIR", help="folder of the images: at least 12, better 100 or more")
    sub.add_argument("--from-camera", action="store_true", help="use frames of the camera instead")
    what = "with --from-camera: number of frames, at least a second apart (default: 60)"
    sub.add_argument("--frames", type=positive_whole, default=60, metavar="N", help=what)
    sub.add_argument("--camera", dest="camera.source", metavar="SOURCE", help="the camera (default: [camera] source)")
    sub.add_argument(
        "--precision", choices=("int8",), default="int8", help="precision of the new version (default: int8)"
    )
    sub.add_argument("--dry-run", action="store_true", help="show the result, but write nothing")
    sub.add_argument("--remove", action="store_true", help="delete the int8 version")
    sub.add_argument("--json", action="store_true", help="print JSON instead of a table")

    sub = commands.add(
        "edge.cli.models.choosing:choose", "show which model would run here, and why the others would not"
    )
    sub.add_argument(
        "--budget-mib",
        dest="model.memory_budget_mib",
        type=positive_whole,
        metavar="N",
        help="the most memory, in MiB, that edge may use (default: [model] memory_budget_mib, or 640)",
    )
    sub.add_argument(
        "--max-latency-ms",
        dest="model.max_latency_ms",
        type=positive,
        metavar="N",
        help="longest median time per frame",
    )
    sub.add_argument("--catalogue", action="store_true", help="choose as if the whole catalogue were installed")
    sub.add_argument(
        "--machine", type=Path, metavar="DIR", help="choose for another machine, from a copy of its /proc and /sys"
    )
    sub.add_argument("--json", action="store_true", help="print JSON instead of a table")
