#!/usr/bin/env python3
"""Compare time and memory of MXNet as its tutorials use it, edge's engines, and peers, on the same networks.

    scripts/benchmark.py [--networks A,B,...] [--engines A,B,...] [--rounds N] [--frames N] [--out DIR]
    scripts/benchmark.py --quick            # two minutes, to check the set-up; writes nothing

On another board, one line makes a page to send in, board/benchmark.md; it names the processor and no host:

    ./scripts/install run --with ncnn,openvino,quantize && scripts/benchmark.py --out board

Each engine runs in its own process. All classify the same images, a few at a time, one engine after the other, so that
other programs on the machine slow them alike. A row has medians. Then each classifies one image per second, for its
idle CPU time. Finally `edge run` as a whole is compared with the bare forward. It takes ten minutes on two cores and 8
GiB.

A network is one that a Python package brings, a name of scripts/make_random_checkpoint.py, or DIR/NAME. The weights of
the second kind are random, which makes no difference to memory and speed, unless --checkpoints has trained ones. The
peers need `pip install -e '.[benchmark]'` and `pip install --no-deps pnnx`. LiteRT's converter, onnx2tf, needs other
package versions: install it in another environment, and name it with --onnx2tf PATH.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import contextlib
import json
import os
import shlex
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

import benchmark_daemon
import benchmark_report
import numpy as np
from benchmark_report import Overhead, Plain, Result, Row
from benchmark_runners import FLOAT, INT8, MADE_FAST_BY, OURS, PEERS, PLAIN
from make_random_checkpoint import ARCHITECTURES

from edge.cli.progress import Progress
from edge.engines import engine_problem, engine_version, installed_engines, precision_problem
from edge.engines.backend import Backend
from edge.errors import EdgeError, ModelError
from edge.installer.packaged import install
from edge.models.catalogue import load_catalogue
from edge.importer.quantised import identity_of, quantised_folder, weights_mib
from edge.host.libraries import is_installed
from edge.host.machine import Machine
from edge.models.checkpoint import Checkpoint, find_checkpoint, store_folders, to_json
from edge.selection.choice import budget, choose, Candidate, overhead_mib
from edge.models.measurements import Measurement, Measurements
from edge.worker import Worker

HERE = Path(__file__).resolve().parent
NETWORKS = "inception-v3,resnet-152,vgg16,mobilenet_v2_1.0,squeezenet_v1.0"
NETWORKS += ",efficientnet-lite0,efficientnet-lite1,efficientnet-lite2"
DAEMON_NETWORK, DAEMON_ENGINE = "inception-v3", "onnx"
ENGINES = "module,mxnet,onnx,openvino,ncnn,ncnn float16,onnx int8,openvino int8,opencv,pnnx,pnnx float16,litert"
ROUNDS, FRAMES, IDLE_S = 6, 60, 6
PICTURES, HEIGHT, WIDTH = 8, 480, 640
STEP_S = 600.0
SETTLE_S = 0.15
"""Threads of the engine before may go on waiting for work for so long."""
IDLE_BUSY_S = 0.6
"""Engines that look at one picture a second together, in turn, may be at work for so long of it."""
PACKAGES = {"opencv": "onnx", "pnnx": "ncnn", "litert": "ai_edge_litert"}
EACH_MIB, WEIGHTS_TIMES = 100.0, 17.0
"""What all engines take that hold a network at the same time: so much each, and together so many times its weights."""
BLOCK = 20
"""Frames in a row of the daemon, and then of the bare forward."""
EXPLAIN_FRAMES = 5
"""A turn of a peer without what may make it fast."""
DAEMON_TURNS = 3
"""They take so many turns for each round of the engines: what is looked for is a few parts of a hundred."""


class Child:
    """One engine with one network, in its process."""

    def __init__(self, variant: str, checkpoint: Checkpoint, pictures: Path, folder: Path, onnx2tf: str) -> None:
        self.variant = variant
        engine, _, precision = variant.partition(" ")
        options = {
            "checkpoint": to_json(checkpoint),
            "engine": engine,
            "precision": precision or "float32",
            "pictures": str(pictures),
            "folder": str(folder),
            "onnx2tf": onnx2tf,
        }
        self._worker = Worker("benchmark_runners", options, variant, 60.0)
        self.times_ms: list[float] = []
        self.forwards_ms: list[float] = []
        self.load_s = self.idle = 0.0

    def ask(self, step: str, **fields: Any) -> dict[str, Any]:
        """Have it do one step. Raises ModelError with its message, or with the reason of its end."""
        self._worker.ask({"do": step, **fields}, STEP_S)
        while (reply := self._worker.poll()) is None:
            self._worker.wait(1.0)
        if reply.error:
            raise ModelError(reply.error)
        value: dict[str, Any] = reply.value
        return value

    def look(self, frames: int) -> None:
        """Classify, and keep the times."""
        time.sleep(SETTLE_S)
        found = self.ask("classify", frames=frames)
        self.times_ms += found["times_ms"]
        self.forwards_ms += found["forwards_ms"]

    def close(self) -> None:
        self._worker.close()


class Benchmark:
    """A run."""

    def __init__(self, options: argparse.Namespace, folder: Path, progress: Progress) -> None:
        self._options, self._folder, self._progress = options, folder, progress
        self._pictures = folder / "pictures.npy"
        np.save(self._pictures, make_pictures())
        self._variants: list[str] = options.engines
        self.rows: list[Row] = []
        self.absent: dict[str, str] = {}
        """Why a variant has no row, by itself or by 'network: variant'."""
        self.auto: list[str] = []
        self.plain: list[Plain] = []
        self.overhead: Overhead | None = None

    def run(self) -> None:
        for name in self._options.networks:
            self._measure(name, self._checkpoint(name))
        if not self._options.no_daemon:
            self._measure_daemon()

    def _checkpoint(self, name: str) -> Checkpoint:
        entry = load_catalogue().get(name)
        if entry is not None and entry.package is not None:
            self._progress.show(f"{name}: making it from its package")
            return find_checkpoint(str(install(entry, store_folders()[0]).folder))
        if name not in ARCHITECTURES:
            return find_checkpoint(name)
        # so it counts as installed, and auto knows what it takes
        place = store_folders()[0] / name
        real = self._options.checkpoints / name if self._options.checkpoints else None
        if not place.exists() and real is not None and real.is_dir():
            copy_real(real, place)
        elif not place.exists():
            self._progress.show(f"{name}: writing it with random weights")
            make = [sys.executable, str(HERE / "make_random_checkpoint.py"), name, "--out", str(place)]
            subprocess.run(make, check=True, stdout=subprocess.DEVNULL)
        return find_checkpoint(str(place / name))

    def _child(self, variant: str, checkpoint: Checkpoint) -> Child:
        return Child(variant, checkpoint, self._pictures, self._folder_of(checkpoint), self._options.onnx2tf)

    def _folder_of(self, checkpoint: Checkpoint) -> Path:
        """Where what was made of it lies."""
        return self._folder / "peers" / checkpoint.name

    def _measure(self, name: str, checkpoint: Checkpoint) -> None:
        needs_mib = EACH_MIB * len(self._variants) + WEIGHTS_TIMES * weights_mib(checkpoint, FLOAT)
        has_mib = Machine().memory_reading().available_mib
        if has_mib is not None and has_mib < needs_mib:
            self.absent[name] = f"all engines beside each other would take {needs_mib:.0f} MiB; {has_mib:.0f} are free"
            return
        problems = {variant: why_absent(variant, self._options.onnx2tf) for variant in self._variants}
        problems |= self._convert(checkpoint, [variant for variant in self._variants if not problems[variant]])
        children: list[Child] = []
        with ExitStack() as open_ones:
            for variant in self._variants:
                if not problems.get(variant):
                    self._progress.show(f"{checkpoint.name}: {variant} loads")
                    child = self._child(variant, checkpoint)
                    open_ones.callback(child.close)
                    try:
                        child.load_s = child.ask("load")["load_s"]
                        child.ask("classify", frames=2)
                    except ModelError as error:
                        problems[variant] = str(error)
                        child.close()
                    else:
                        children.append(child)
            self._take_turns(checkpoint.name, children)
            self._idle(checkpoint.name, children)
            rows = [self._row(checkpoint, child) for child in children]
            self._explain(checkpoint, rows, {child.variant: child for child in children})
        self.rows += rows
        for variant, problem in problems.items():
            if problem:
                everywhere = problem == why_absent(variant, self._options.onnx2tf)
                self.absent[variant if everywhere else f"{checkpoint.name}: {variant}"] = problem
        if not self._options.no_auto:
            for precision in (FLOAT, INT8):
                self._check_auto(checkpoint, rows, precision)
        for line in benchmark_report.table(rows):
            self._progress.line(line)

    def _convert(self, checkpoint: Checkpoint, variants: Sequence[str]) -> dict[str, str]:
        """Make what the engines read. Return the problems of those for which that fails."""
        self._progress.show(f"{checkpoint.name}: made into an ONNX graph, and what the peers read")
        wanted = {variant: INT8 if variant.endswith(INT8) else variant.partition(" ")[0] for variant in variants}
        child = self._child("the conversion", checkpoint)
        try:
            problems = child.ask("graph", **{"for": sorted(set(wanted.values()) & {*PEERS, INT8})})["problems"]
        finally:
            child.close()
        return {variant: problems[what] for variant, what in wanted.items() if what in problems}

    def _take_turns(self, name: str, children: Sequence[Child]) -> None:
        rounds, block = self._options.rounds, max(1, self._options.frames // self._options.rounds)
        for number in range(rounds):
            # each is as often the first after another as the last before it
            for child in children if number % 2 else reversed(children):
                self._progress.show(f"{name}: round {number + 1} of {rounds}, {child.variant}")
                child.look(block)

    def _idle(self, name: str, children: Sequence[Child]) -> None:
        """What each takes that looks at one picture a second: so few at a time that none waits for another."""
        groups: list[list[Child]] = []
        busy_s = 0.0
        for child in children:
            took_s = statistics.median(child.times_ms) / 1000
            if not groups or busy_s + took_s > IDLE_BUSY_S:
                groups.append([])
                busy_s = 0.0
            groups[-1].append(child)
            busy_s += took_s
        seconds = self._options.idle
        for number, group in enumerate(groups):
            before = [child.ask("cost")["cpu_s"] for child in group]
            begun_s = time.monotonic()
            for second in range(seconds):
                self._progress.show(f"{name}: one picture a second, group {number + 1} of {len(groups)}, {second} s")
                for child in group:
                    child.ask("classify", frames=0)
                time.sleep(max(0.0, begun_s + second + 1 - time.monotonic()))
            took_s = time.monotonic() - begun_s
            for child, before_s in zip(group, before, strict=True):
                child.idle = (child.ask("cost")["cpu_s"] - before_s) / took_s

    def _row(self, checkpoint: Checkpoint, child: Child) -> Row:
        return Row(
            network=checkpoint.name,
            variant=child.variant,
            median_ms=statistics.median(child.times_ms),
            peak_mib=child.ask("cost")["peak_mib"],
            load_s=child.load_s,
            idle_ms=1000 * child.idle,
        )

    def _explain(self, checkpoint: Checkpoint, rows: Sequence[Row], children: Mapping[str, Child]) -> None:
        """How fast a peer that is faster than ours is without what makes it fast, beside itself with it."""
        for peer, _ours in benchmark_report.faster_peers(rows):
            if peer.variant not in MADE_FAST_BY:
                continue
            with_it, without = children[peer.variant], self._child(f"{peer.variant} {PLAIN}", checkpoint)
            try:
                without.ask("load")
                with_it.times_ms.clear()
                for number in range(self._options.rounds):
                    self._progress.show(f"{checkpoint.name}: {without.variant}, {number + 1} of {self._options.rounds}")
                    for child in (with_it, without):
                        child.look(EXPLAIN_FRAMES)
                medians = [statistics.median(child.times_ms) for child in (with_it, without)]
                self.plain.append(Plain(checkpoint.name, peer.variant, MADE_FAST_BY[peer.variant], *medians))
            finally:
                without.close()

    def _check_auto(self, checkpoint: Checkpoint, rows: Sequence[Row], precision: str) -> None:
        """Have `engine = auto` choose within several budgets by these figures, and compare with what fits."""
        backends = [Backend(engine, precision) for engine in installed_engines()]
        able = [str(backend) for backend in backends if not precision_problem(backend)]
        ours = {row.variant: row for row in rows if row.variant in able}
        # auto would measure those that are missing
        if len(ours) < max(2, len(able)) or checkpoint.symbol.parent.parent != store_folders()[0]:
            return
        if precision == INT8 and not quantised_folder(checkpoint).exists():
            quantised_folder(checkpoint).symlink_to(
                self._folder_of(checkpoint) / INT8 / quantised_folder(checkpoint).name
            )
        machine, identity = Machine(), identity_of(checkpoint, precision)
        kept = Measurements(store_folders(), machine.key)
        needs = {}
        ample = budget(2.0**20, None, None, named=True)
        file_mib = weights_mib(checkpoint, precision)
        for variant, row in ours.items():
            measured = Measurement(row.peak_mib, row.load_s, 0.0, row.median_ms, row.median_ms, self._options.frames)
            kept.keep(identity, engine_version(Backend.parse(variant)), measured)
            candidate = Candidate(checkpoint.name, None, measured, file_mib)
            needs[variant] = choose([candidate], ample, overhead_mib("csi", "log", on_a_pi=False))[0].need_mib or 0.0
        name = checkpoint.name if precision == FLOAT else f"{checkpoint.name} {precision}"
        for budget_mib in [round(min(needs.values())) - 2, *(round(need) + 2 for need in sorted(needs.values()))]:
            fit = [ours[variant] for variant, need in needs.items() if need <= budget_mib]
            best = min(fit, key=lambda row: row.median_ms).variant if fit else ""
            self._progress.show(f"{name}: auto within {budget_mib} MiB")
            child = self._child("auto", checkpoint)
            try:
                taken = child.ask("choose", budget_mib=budget_mib, precision=precision)["engine"]
            finally:
                child.close()
            right = "right" if taken == best else f"WRONG: {best or 'none'} is the fastest that fits"
            self.auto.append(f"{name}, {budget_mib} MiB: {taken or 'none fits'} ({right})")

    def _measure_daemon(self) -> None:
        """The whole of `edge run` beside the bare forward of the same network in another process, in turn."""
        network = DAEMON_NETWORK if DAEMON_NETWORK in self._options.networks else self._options.networks[0]
        if why := engine_problem(DAEMON_ENGINE):
            self.absent["the daemon"] = why
            return
        checkpoint = self._checkpoint(network)
        rounds = DAEMON_TURNS * self._options.rounds
        with ExitStack() as open_ones:
            bare = self._child(DAEMON_ENGINE, checkpoint)
            open_ones.callback(bare.close)
            self._progress.show(f"{checkpoint.name}: the bare forward loads")
            bare.ask("load")
            self._progress.show(f"{checkpoint.name}: the daemon starts")
            daemon = open_ones.enter_context(daemon_of(checkpoint, self._pictures, self._folder))
            wholes: list[float] = []
            forwards: list[float] = []
            events: list[dict[str, Any]] = []
            for number in range(rounds + 1):
                self._progress.show(f"{checkpoint.name}: the daemon beside the bare forward, {number} of {rounds}")
                frames = daemon.look(BLOCK)
                bare.forwards_ms.clear()
                bare.look(BLOCK)
                if not all(frame["looked"] for frame in frames):
                    self.absent["the daemon"] = "it did not classify every frame"
                    return
                if number:  # the first is for warming up
                    # the first of each was waited for
                    spent = frames[-1]["elapsed_s"] - frames[0]["elapsed_s"]
                    wholes.append(1000 * spent / (len(frames) - 1))
                    forwards.append(statistics.mean(bare.forwards_ms))
                    events += frames[1:]
        parts = {
            part: statistics.median(frame[f"{part}_ms"] for frame in events)
            for part in ("capture", "preprocess", "inference")
        }
        ratio = statistics.median(whole / forward for whole, forward in zip(wholes, forwards, strict=True))
        self.overhead = Overhead(
            checkpoint.name, DAEMON_ENGINE, statistics.median(wholes), statistics.median(forwards), ratio, parts
        )


class Daemon:
    """An `edge run` that classifies on request."""

    START_S, LOOK_S = 120.0, 120.0

    def __init__(self, process: subprocess.Popen[bytes], gate: Path, events: Path) -> None:
        self._process, self._gate, self._events = process, gate, events

    def look(self, frames: int) -> list[dict[str, Any]]:
        """Let it look at so many frames or a few more; return their events. Raises ModelError when it ends."""
        time.sleep(SETTLE_S)
        before = len(self._frames())
        self._gate.touch()
        until_s = time.monotonic() + self.LOOK_S
        try:
            while len(found := self._frames()[before:]) < frames:
                if self._process.poll() is not None or time.monotonic() > until_s:
                    raise ModelError(f"edge run gave no frames (exit code {self._process.returncode})")
                time.sleep(0.2)
        finally:
            self._gate.unlink()
        time.sleep(SETTLE_S)
        return found[:frames]

    def _frames(self) -> list[dict[str, Any]]:
        lines = self._events.read_text(encoding="utf-8").splitlines() if self._events.exists() else []
        return [event for line in lines if line.endswith("}") and (event := json.loads(line))["event"] == "frame"]


@contextlib.contextmanager
def daemon_of(checkpoint: Checkpoint, pictures: Path, folder: Path) -> Iterator[Daemon]:
    """Start `edge run` on pictures that are always at hand; it classifies none before a request."""
    gate, events = folder / "gate", folder / "events"
    events.unlink(missing_ok=True)
    command = [sys.executable, str(HERE / "benchmark_daemon.py"), "run", "--camera", "usb", "--every-frame"]
    command += ["--model", checkpoint.prefix, "--engine", DAEMON_ENGINE, "--speech", "log"]
    command += ["--events", str(events), "--events-frames"]
    told = {
        benchmark_daemon.PICTURES: str(pictures),
        benchmark_daemon.GATE: str(gate),
        "EDGE_CAMERA_READ_TIMEOUT_S": "120",
        "XDG_RUNTIME_DIR": str(folder),
    }
    with (folder / "daemon.log").open("w") as log:
        process = subprocess.Popen(command, env={**os.environ, **told}, stdout=log, stderr=log)
    try:
        yield Daemon(process, gate, events)
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def copy_real(real: Path, place: Path) -> None:
    """Copy a checkpoint DIR/NAME with DIR/synset.txt, and write its input as the Gluon zoo has it. Raises OSError."""
    spec = ARCHITECTURES[real.name]
    place.mkdir(parents=True)
    for path in (real / f"{real.name}-symbol.json", real / f"{real.name}-0000.params", real.parent / "synset.txt"):
        shutil.copyfile(path, place / path.name)
    about = f"[input]\nsize = {spec.size}\nmean = {list(spec.mean)}\nstd = {list(spec.std)}\n"
    (place / "model.toml").write_text(about, encoding="utf-8")


def make_pictures() -> Any:
    """Return uint8 N x HEIGHT x WIDTH x 3: blocks with sharp edges and a sensor's noise. edge run classifies each.

    Soft shapes would be too blurred for it, or so alike that nothing moves.
    """
    import cv2

    random = np.random.default_rng(0)
    blocks = [random.uniform(30, 220, (6, 8, 3)) for _ in range(PICTURES)]
    pictures = [cv2.resize(one, (WIDTH, HEIGHT), interpolation=cv2.INTER_NEAREST) for one in blocks]
    return np.stack([(one + random.normal(0, 4, one.shape)).clip(0, 255).astype(np.uint8) for one in pictures])


def why_absent(variant: str, onnx2tf: str) -> str:
    """Why an engine cannot run here, in one line; empty when it can."""
    engine, _, _ = variant.partition(" ")
    if engine in OURS:
        return engine_problem(engine)
    if not is_installed(PACKAGES[engine]):
        return f"{PACKAGES[engine]} is not installed: pip install -e '.[benchmark]'"
    if engine == "pnnx" and not is_installed("pnnx"):
        return "pnnx is not installed: pip install --no-deps pnnx"
    if engine == "litert" and not onnx2tf:
        return "no converter: pip install onnx2tf in a separate environment, then --onnx2tf ITS/bin/onnx2tf"
    return ""


def names(known: Sequence[str] | None, what: str) -> Any:
    """Return what makes a list of 'A,B'."""

    def parse(text: str) -> list[str]:
        found = [one.strip() for one in text.split(",") if one.strip()]
        if unknown := [one for one in found if known is not None and one not in known]:
            raise argparse.ArgumentTypeError(f"there is no {what} {unknown[0]!r}; known: {', '.join(known or ())}")
        if not found:
            raise argparse.ArgumentTypeError(f"name one {what} at least")
        return found

    return parse


def at_least(least: int) -> Any:
    def parse(text: str) -> int:
        if not text.isdigit() or int(text) < least:
            raise argparse.ArgumentTypeError(f"{text!r} is no number from {least} on")
        return int(text)

    return parse


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    engines = ENGINES.split(",")
    parser.add_argument("--networks", type=names(None, "network"), default=NETWORKS, metavar="A,B,...")
    parser.add_argument("--engines", type=names(engines, "engine"), default=ENGINES, metavar="A,B,...", help=ENGINES)
    parser.add_argument("--rounds", type=at_least(1), default=ROUNDS, metavar="N", help="turns per engine (default: 6)")
    parser.add_argument(
        "--frames", type=at_least(1), default=FRAMES, metavar="N", help="images per engine (default: 60)"
    )
    parser.add_argument(
        "--idle", type=at_least(1), default=IDLE_S, metavar="S", help="seconds at one image per second (default: 6)"
    )
    parser.add_argument("--no-daemon", action="store_true", help="skip edge run as a whole")
    parser.add_argument("--no-auto", action="store_true", help="skip the choice of engine = auto")
    parser.add_argument("--quick", action="store_true", help="the smallest network, few images")
    parser.add_argument(
        "--checkpoints", type=Path, metavar="DIR", help="trained weights, DIR/NAME/NAME-0000.params and so on"
    )
    parser.add_argument("--onnx2tf", default="", metavar="PATH", help="the program that converts for LiteRT")
    parser.add_argument("--cache", type=Path, metavar="DIR", help="keep networks and conversions there (5 GB)")
    parser.add_argument("--out", type=Path, metavar="DIR", help="where benchmark.md and .svg go (default: docs)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures as JSON")
    options = parser.parse_args()
    if options.quick:
        options.networks, options.rounds, options.frames, options.idle = ["squeezenet1.1"], 2, 6, 2
    elif options.out is None:
        options.out = HERE.parent / "docs"
    return options


def shown_command(options: argparse.Namespace) -> str:
    """The command that gives the same figures elsewhere: without what is only where it was run."""
    words = ["scripts/benchmark.py"]
    for name, default in (("networks", NETWORKS), ("engines", ENGINES)):
        value = ",".join(Path(one).name for one in getattr(options, name))
        words += [f"--{name}", value] if value != default else []
    for name, usual in (("rounds", ROUNDS), ("frames", FRAMES), ("idle", IDLE_S)):
        words += [f"--{name}", str(getattr(options, name))] if getattr(options, name) != usual else []
    words += [flag for flag in ("--no-daemon", "--no-auto") if getattr(options, flag[2:].replace("-", "_"))]
    words += ["--checkpoints", "DIR"] if options.checkpoints else []
    words += ["--onnx2tf", "PATH"] if options.onnx2tf else []
    return shlex.join(words)


def main() -> int:
    options = parse_arguments()
    begun_s = time.monotonic()
    try:
        with contextlib.ExitStack() as closing:
            folder = options.cache
            if folder is None:
                folder = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="edge-benchmark-")))
            folder.mkdir(parents=True, exist_ok=True)
            # graphs and measurements are no business of the user's own store
            os.environ["XDG_DATA_HOME"] = str(folder.absolute() / "data")
            progress = closing.enter_context(Progress())
            benchmark = Benchmark(options, folder.absolute(), progress)
            benchmark.run()
        result = Result(
            rows=benchmark.rows,
            absent=benchmark.absent,
            auto=benchmark.auto,
            plain=benchmark.plain,
            overhead=benchmark.overhead,
            command=shown_command(options),
            seconds=time.monotonic() - begun_s,
            frames=options.frames,
        )
        if options.json:
            options.json.write_text(json.dumps(asdict(result), indent=1) + "\n", encoding="utf-8")
        print("\n".join(benchmark_report.text(result)))
        if options.out:
            options.out.mkdir(parents=True, exist_ok=True)
            (options.out / "benchmark.md").write_text(benchmark_report.markdown(result), encoding="utf-8")
            (options.out / "benchmark.svg").write_text(benchmark_report.svg(result), encoding="utf-8")
    except (EdgeError, OSError, subprocess.CalledProcessError) as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
