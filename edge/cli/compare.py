"""`edge compare` and `edge bench`: the tutorials' comparisons, with correct times."""

import argparse
import functools
import itertools
import textwrap
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.cli.common import image_files, print_json, settings_of
from edge.cli.progress import Progress
from edge.cli.table import WIDTH, milliseconds, table
from edge.errors import EX_OK, CameraError, ModelError
from edge.host.terminal import printable, tell
from edge.models.checkpoint import DEMO, Checkpoint, find_checkpoint, store_folders

if TYPE_CHECKING:
    from edge.engines.backend import Backend

TOP = 5


def checkpoints(names: str | None) -> list[Checkpoint]:
    """Return the models of a list with commas (names in the store, or prefixes); None: all installed, else the demo."""
    from edge.models.store import installed

    if names is None:
        names = ",".join(one.name for one in installed(store_folders())) or DEMO
    found = [find_checkpoint(name.strip()) for name in names.split(",") if name.strip()]
    if not found:
        raise ModelError("there is no model in this list; give names, separated by commas")
    return found


def compare(options: argparse.Namespace) -> int:
    """edge compare: print the labels of several models for the same images; only one model is in memory at a time."""
    from edge.engines import engine_for, open_classifier
    from edge.engines.agreement import driver_of
    from edge.engines.backend import Backend
    from edge.host.machine import Machine
    from edge.stages import Frame
    from edge.vision.images import read_image

    frames: dict[str, Frame] = {}
    images, code = image_files(options.images)
    for number, image in enumerate(images):
        try:
            frames[image] = Frame(read_image(Path(image)), number, time.monotonic())
        except CameraError as error:
            tell(f"edge: {error}")
            code = error.exit_code
    models = checkpoints(options.models)
    found: dict[str, dict[str, dict[str, Any]]] = {image: {} for image in frames}
    wanted = settings_of(options).model
    precisions = _precisions(options.precision or wanted.precision)
    given = getattr(options, "model.engine")
    engines = {
        precision: engine_for(given or _able_engine(wanted.engine, precision), tell, precision)
        for precision in precisions
    }
    for checkpoint, precision in itertools.product(models if frames else [], precisions):
        driver = driver_of(checkpoint, Backend(engines[precision], precision), Machine().key, tell)
        classifier = open_classifier(checkpoint, driver, TOP)
        name = checkpoint.name if len(precisions) == 1 else _name_in(checkpoint.name, precision)
        for image, frame in frames.items():
            classifier.classify(frame)  # the first frame of a size is slower
            predictions = classifier.classify(frame)
            found[image][name] = {
                "engine": classifier.engine,
                "ms": round(1000 * (classifier.timing.preprocess_s + classifier.timing.inference_s), 3),
                "random_weights": checkpoint.about.random_weights,
                "calibrated": classifier.calibrated,
                "predictions": [{"id": p.id, "label": p.label, "probability": p.probability} for p in predictions],
            }
        classifier.close()
    results = [
        {"image": image, "agreement": _agreement(by_model), "models": by_model} for image, by_model in found.items()
    ]
    if options.json:
        print_json(results)
        return code
    for result in results:
        print(_side_by_side(result))
    invented = [checkpoint.name for checkpoint in models if checkpoint.about.random_weights]
    if invented:
        print(f"Random weights, so their labels mean nothing: {', '.join(invented)}.")
    if len(precisions) > 1:
        invented += [_name_in(name, precision) for name, precision in itertools.product(invented, precisions)]
    seen = {name: one["calibrated"] for by_model in found.values() for name, one in by_model.items()}
    if rough := [name for name, calibrated in seen.items() if not calibrated and name not in invented]:
        print(uncalibrated(rough))
    return code


def _able_engine(engine: str, precision: str) -> str:
    """Return a value of [model] engine, or `auto` if that engine cannot compute in this precision."""
    from edge.engines import precision_problem
    from edge.engines.backend import Backend

    return "auto" if precision_problem(Backend(engine, precision)) else engine


def _precisions(names: str) -> list[str]:
    """Return the precisions of a list with commas. Raises ModelError for an unknown one."""
    from edge.importer.quantised import FLOAT16, FLOAT32, INT8

    found = [name.strip() for name in names.split(",")]
    if unknown := set(found) - {FLOAT32, FLOAT16, INT8}:
        raise ModelError(f"there is no precision {min(unknown)!r}; known: {FLOAT32}, {FLOAT16}, {INT8}")
    return found


def _name_in(name: str, precision: str) -> str:
    """Return the name of a model among several precisions: 'demo int8', and in float32 'demo'."""
    from edge.importer.quantised import FLOAT32

    return name if precision == FLOAT32 else f"{name} {precision}"


def uncalibrated(names: Sequence[str]) -> str:
    """Return a warning about the confidence of uncalibrated models, in 80 columns."""
    text = f"Uncalibrated, so a label with 90 % may be right less often: {', '.join(names)} (edge models calibrate)."
    return textwrap.fill(text, WIDTH, break_on_hyphens=False)


def _agreement(by_model: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Return the label that most models put first, and how many do."""
    firsts = Counter(one["predictions"][0]["id"] for one in by_model.values())
    if not firsts:
        return {"id": None, "models": 0, "of": 0}
    best, count = firsts.most_common(1)[0]
    return {"id": best, "models": count, "of": len(by_model)}


def _side_by_side(result: dict[str, Any]) -> str:
    """Return blocks of at most three models each, one below the other, in 80 columns."""
    by_model: dict[str, dict[str, Any]] = result["models"]
    agreement = result["agreement"]
    lines = [printable(result["image"])]
    names = list(by_model)
    for start in range(0, len(names), 3):
        part = names[start : start + 3]
        width = (WIDTH - 2 - 2 * (len(part) - 1)) // len(part)
        rows = [[f"{name}, {milliseconds(by_model[name]['ms'])}" for name in part]]
        for rank in range(TOP):
            row = []
            for name in part:
                predictions = by_model[name]["predictions"]
                row.append(_cell(predictions[rank], width) if rank < len(predictions) else "")
            rows.append(row)
        lines += ["  " + "  ".join(cell[:width].ljust(width) for cell in row).rstrip() for row in rows]
    if agreement["of"] > 1:
        label = next(
            prediction["label"]
            for one in by_model.values()
            for prediction in one["predictions"]
            if prediction["id"] == agreement["id"]
        )
        most = (
            "none, each puts another label first"
            if agreement["models"] == 1
            else f"{agreement['models']} of {agreement['of']} put {label} first"
        )
        lines.append(f"  agreement: {most}")
    return "\n".join(lines)


def _cell(prediction: dict[str, Any], width: int) -> str:
    share = f"{prediction['probability']:6.1%}"
    room = width - len(share) - 1
    label = prediction["label"]
    return f"{share} {label if len(label) <= room else label[: room - 3] + '...'}"


def bench(options: argparse.Namespace) -> int:
    """edge bench: measure each model with each engine, each in its own child process, in one run, side by side."""
    from edge.engines import engine_problem, engines_for, precision_problem
    from edge.engines.backend import Backend
    from edge.engines.measure import measure_side_by_side

    models = checkpoints(options.models)
    wanted = settings_of(options).model
    precisions = _precisions(options.precision or wanted.precision)
    asked_for: list[Backend] = []
    lines: dict[str, None] = {}
    for precision in precisions:
        if options.engines is None:
            named, line = engines_for(_able_engine(wanted.engine, precision), precision)
        else:
            named, line = engines_for("auto") if options.engines == "auto" else (options.engines.split(","), "")
        lines[line] = None
        asked_for += [Backend(engine, precision) for engine in named]
    order = [backend.engine for backend in asked_for]
    asked_for.sort(key=lambda backend: order.index(backend.engine))
    for line in filter(None, lines):
        tell(line)
    backends = [backend for backend in asked_for if not precision_problem(backend)]
    left_out = [problem for backend in asked_for if (problem := precision_problem(backend))]
    if not backends:
        raise ModelError(left_out[0])
    for problem in left_out:
        tell(f"Skipped: {problem}.")
    ours = [str(backend) for backend in backends]
    if options.against:
        backends.append(Backend(options.against))
    rows: list[dict[str, Any]] = []
    problems = {backend: engine_problem(backend.engine) for backend in backends}
    with Progress() as progress:
        for checkpoint in models:
            drivers = _drivers(checkpoint, [backend for backend in backends if not problems[backend]], progress)
            usable = {backend: driver for backend, driver in drivers.items() if isinstance(driver, Backend)}
            show = functools.partial(progress.step, checkpoint.name)
            measured = measure_side_by_side(checkpoint, list(usable.values()), options.frames, show)
            results = {
                backend: driver if isinstance(driver, ModelError) else measured[driver]
                for backend, driver in drivers.items()
            }
            for backend in backends:
                row: dict[str, Any] = {
                    "model": checkpoint.name,
                    "engine": str(backend),
                    "file_mib": _file_mib(checkpoint, backend.precision),
                    "random_weights": checkpoint.about.random_weights,
                    "problem": problems[backend],
                }
                rows.append(row)
                result = results.get(backend)
                if isinstance(result, ModelError):
                    row["problem"] = str(result)
                elif result is not None:
                    row |= {key: value for key, value in vars(result).items() if key != "estimated"}
    ratios = _ratios(rows, ours, options.against)
    if options.json:
        print_json({"frames": options.frames, "rows": rows, "ratios": ratios})
    else:
        print(_bench_table(rows, options.frames))
        for ratio in ratios:
            what = f"{ratio['memory']:.2f} of the memory of {ratio['against']} and {ratio['time']:.2f} of its time"
            print(f"{ratio['model']}: {ratio['engine']} takes {what}")
    return EX_OK


def _drivers(
    checkpoint: Checkpoint, backends: Sequence["Backend"], progress: Progress
) -> dict["Backend", "Backend | ModelError"]:
    """Return for each backend the one to open, or the reason why it is not used for this model."""
    from edge.engines.agreement import driver_of
    from edge.host.machine import Machine

    found: dict[Backend, Backend | ModelError] = {}
    for backend in backends:
        try:
            found[backend] = driver_of(checkpoint, backend, Machine().key, progress.line)
        except ModelError as error:
            found[backend] = error
    return found


def _file_mib(checkpoint: Checkpoint, precision: str) -> float:
    """Return the size of the weights in MiB; 0 for an int8 version that does not exist."""
    from edge.importer.quantised import weights_mib

    try:
        return round(weights_mib(checkpoint, precision), 1)
    except OSError:
        return 0.0


def _ratios(rows: list[dict[str, Any]], engines: list[str], against: str | None) -> list[dict[str, Any]]:
    by_key = {(row["model"], row["engine"]): row for row in rows if row.get("median_ms")}
    return [
        {
            "model": model,
            "engine": engine,
            "against": against,
            "memory": round(row["peak_mib"] / base["peak_mib"], 3),
            "time": round(row["median_ms"] / base["median_ms"], 3),
        }
        for (model, engine), row in by_key.items()
        if engine in engines and engine != against and (base := by_key.get((model, against or "")))
    ]


def _bench_table(rows: list[dict[str, Any]], frames: int) -> str:
    header = ["model", "engine", "param.", "file", "load", "memory", "first", "median", "p95", "queued"]
    units = ["", "", "M", "MiB", "s", "MiB", "ms", "ms", "ms", "ms"]
    lines = []
    notes = []
    for row in rows:
        start = [row["model"] + ("*" if row["random_weights"] else ""), row["engine"]]
        size = f"{row['file_mib']:.0f}"
        if row["problem"]:
            notes.append(f"{row['model']}, {row['engine']}: {row['problem']}")
            lines.append([*start, "-", size, *"------"])
        elif row["killed"]:
            lines.append([*start, "-", size, "-", f">{row['peak_mib']:.0f}", *"----"])
        else:
            lines.append(
                [
                    *start,
                    f"{row['parameters'] / 1e6:.1f}",
                    size,
                    f"{row['load_s']:.1f}",
                    f"{row['peak_mib']:.0f}",
                    f"{row['first_ms']:.0f}",
                    f"{row['median_ms']:.1f}",
                    f"{row['p95_ms']:.1f}",
                    f"{row['enqueue_ms']:.2f}" if row["enqueue_ms"] else "-",
                ]
            )
    text = table(header, [units, *lines], numbers=range(2, 10))
    if any(row.get("killed") for row in rows):
        notes.append("> out of memory: it needs more than that")
    if any(row["random_weights"] for row in rows):
        notes.append("* random weights: memory and speed are real, labels mean nothing")
    notes.append(f"memory: peak of the process. median and p95: of {frames} frames, from pixels to result.")
    if any(row.get("enqueue_ms") for row in rows):
        notes.append("queued: time until forward() returns. It only queues the work, so no frame is done by then.")
    return "\n".join([text, *(textwrap.fill(note, WIDTH) for note in notes)])
