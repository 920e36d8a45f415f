"""`edge models quantize`: make a model's int8 version, with images like those of its camera."""

import argparse
import dataclasses
import hashlib
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from edge.cli.common import print_json, settings_of
from edge.cli.models.pictures import camera_pictures
from edge.cli.progress import Progress, bar
from edge.cli.table import table
from edge.errors import EX_OK, CameraError, ModelError
from edge.stages import Pixels

if TYPE_CHECKING:
    from edge.quantizer.quantize import Judged
    from edge.quantizer.views import Parts, Picture

MOST_PICTURES = 600
"""More images do not improve the result, and take longer."""
_END_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def quantize(options: argparse.Namespace) -> int:
    """edge models quantize: find ranges and layers, judge on held-out images, install the result if it passes."""
    from edge.engines import INT8_ENGINES
    from edge.engines.agreement import driver_of
    from edge.engines.backend import Backend
    from edge.host.machine import Machine
    from edge.importer.quantised import INT8, install_quantised, quantised_folder
    from edge.models.checkpoint import DEMO, find_checkpoint
    from edge.quantizer.judge import passes
    from edge.quantizer.quantize import made_in
    from edge.quantizer.quantize import quantize as make
    from edge.quantizer.tools import import_tools
    from edge.quantizer.views import divide

    settings = settings_of(options)
    checkpoint = find_checkpoint(options.name)
    if options.remove:
        return _remove(checkpoint.name, quantised_folder(checkpoint), dry=options.dry_run)
    if checkpoint.name == DEMO:
        raise ModelError("the bundled demo is small enough without int8; quantise an installed model")
    if (options.images is None) is not options.from_camera:
        raise ModelError("give images with --images DIR, or use the camera's own frames with --from-camera")
    import_tools()
    folder = checkpoint.params.parent
    if not options.dry_run and not os.access(folder, os.W_OK):
        # raised before the user waits for the result
        raise ModelError(f"{folder}: not writable; run it as the owner of the folder (sudo), or with --dry-run")
    with Progress() as progress:
        # an int8 version is judged against the results of the same engine in float
        driver_of(checkpoint, Backend(INT8_ENGINES[0]), Machine().key, progress.line)
        if options.from_camera:
            short_side = checkpoint.input.scaled_short_side
            frames = camera_pictures(settings.camera, options.frames, short_side, progress)
            parts = divide([partial(_same, one) for one in frames], in_order=True)
        else:
            parts = divide(_pictures(options.images, progress))
        with _scratch_folder() as scratch:
            tell = partial(_show, progress, checkpoint.name)
            judged = make(checkpoint, parts, scratch, tell)
            about = judged.about
            good = passes(about.figures.values())
            installs = good and not options.dry_run
            written = install_quantised(checkpoint, made_in(scratch, checkpoint)) if installs else None
            made = sum(path.stat().st_size for path in made_in(scratch, checkpoint).iterdir())
            sizes = (checkpoint.params.stat().st_size, made)
    if options.json:
        found = dataclasses.asdict(about) | {"model": checkpoint.name, "precision": INT8, "passes": good}
        found |= {"unable": judged.unable, "pictures": _counts(parts), "installed": str(written) if written else None}
        del found["mark"]
        print_json(found)
    else:
        print(report(checkpoint.name, judged, parts, sizes))
    if not good:
        raise ModelError(
            f"model {checkpoint.name}: its int8 version differs too much from float, so it is rejected; nothing was "
            "changed"
        )
    if not options.json:
        print(f"Written to {written}." if written else "Nothing was written (--dry-run).")
        if written and settings.model.precision != INT8:
            print('onnx and openvino use it with [model] precision = "int8" (or --precision int8).')
    return EX_OK


@contextmanager
def _scratch_folder() -> Iterator[Path]:
    """Yield a folder on disk that is removed in the end, even after Ctrl-C or a shutdown: it may be large."""
    # not in memory, as /tmp may be: it takes several hundred MiB
    place = os.environ.get("TMPDIR") or ("/var/tmp" if os.access("/var/tmp", os.W_OK) else None)
    with tempfile.TemporaryDirectory(prefix="edge-quantize-", dir=place) as folder:

        def end(number: int, _frame: FrameType | None) -> None:
            shutil.rmtree(folder, ignore_errors=True)
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)

        # an ignored signal (nohup) stays ignored
        numbers = [one for one in _END_SIGNALS if signal.getsignal(one) != signal.SIG_IGN]
        before = {number: signal.signal(number, end) for number in numbers}
        try:
            yield Path(folder)
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _remove(name: str, folder: Path, *, dry: bool) -> int:
    if not folder.exists():
        raise ModelError(f"model {name} has no int8 version, so there is nothing to remove")
    if not dry:
        try:
            shutil.rmtree(folder)
        except OSError as error:
            # the error has only the name of the file, without its folder
            raise ModelError(f"{folder}: {error.strerror}; run it as the owner of the folder (sudo)") from error
    print(f"The int8 version of {name} {'would be deleted (--dry-run)' if dry else 'was deleted'}.")
    return EX_OK


def report(name: str, judged: "Judged", parts: "Parts", sizes: Sequence[int]) -> str:
    """Return the figures with their descriptions, in 80 columns."""
    from edge.quantizer.judge import LEAST_AGREEMENT, MOST_MOVED, passes

    about, counts = judged.about, _counts(parts)
    rows = [
        [
            engine,
            f"{one.agreement:.1%}",
            f"{one.moved:.3f}",
            f"{one.views}",
            f"{one.pictures}",
            "passes" if passes([one]) else "rejected",
        ]
        for engine, one in about.figures.items()
    ]
    rows.append(["required", f"{LEAST_AGREEMENT:.1%}", f"{MOST_MOVED:.3f}", "", "", ""])
    lines = [
        f"{name} in int8, compared with float: {sizes[1] / 2**20:.1f} instead of {sizes[0] / 2**20:.1f} MiB on disk",
        "",
        table(["engine", "same first label", "change", "views", "images", ""], rows, numbers=range(1, 5)),
        "",
        f"Ranges         {about.method}, from {counts['calibration']} images",
        f"Layers         chosen with {counts['search']} other images",
        f"Judged         on {counts['held_out']} images that neither step has seen",
    ]
    if about.kept:
        kept = [one.rpartition("#")[0] or one for one in about.kept]
        lines += [f"Kept in float  {kept[0]}", *(f"               {one}" for one in kept[1:])]
    else:
        lines.append("Kept in float  no layer")
    lines += [f"Not judged     with {engine}: {why}" for engine, why in judged.unable.items()]
    return "\n".join(lines)


def _counts(parts: "Parts") -> dict[str, int]:
    return {key: len(getattr(parts, key)) for key in ("calibration", "search", "held_out")}


def _pictures(folder: Path, progress: Progress) -> "list[Picture]":
    """Return the readable images of a folder, each once: a copy in two parts would be judged by itself."""
    from edge.vision.images import images_in, read_image

    paths = images_in(folder)
    if len(paths) > MOST_PICTURES:
        progress.line(f"Using {MOST_PICTURES} of {len(paths)} images, chosen at random.")
        paths = random.Random(0).sample(paths, MOST_PICTURES)
    found: dict[bytes, Path] = {}
    for number, path in enumerate(paths):
        _show(progress, folder.name, "images", number, len(paths))
        try:
            pixels = read_image(path)
        except CameraError as error:
            progress.line(f"edge: {error}; skipped")
            continue
        same = found.setdefault(hashlib.sha256(repr(pixels.shape).encode() + pixels.tobytes()).digest(), path)
        if same != path:
            progress.line(f"edge: {path.name} is the same image as {same.name}; skipped")
    return [partial(read_image, path) for path in found.values()]


def _same(pixels: Pixels) -> Pixels:
    return pixels


def _show(progress: Progress, name: str, what: str, done: int, total: int) -> None:
    progress.show(bar(name[:24], done, total, f"{what} {done} of {total}"))
