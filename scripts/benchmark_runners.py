"""The far side of benchmark.py: one network with one engine, in a separate process (edge/worker.py).

Every process has the interpreter, numpy, OpenCV and the same preprocessing, so that the memory of all engines can be
compared. Requests, one at a time, each {"do": WHAT}:

    load      from nothing loaded, not even the engine, to the first result: load_s
    classify  look at `frames` pictures after one that does not count: times_ms, forwards_ms
    cost      what it has taken so far: cpu_s, peak_mib
    graph     make the graph that onnx and openvino run, and what those read that are named in `for`: problems
    choose    open what `engine = auto` takes within `budget_mib` in a `precision`: engine
"""

import contextlib
import importlib
import itertools
import os
import shutil
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.engines import open_classifier
from edge.engines.backend import Backend
from edge.engines.preprocess import to_input
from edge.errors import EdgeError, ModelError, NoModelFits
from edge.host.memory import peak_rss_mib
from edge.importer.cache import graph_of
from edge.importer.graph import PROBABILITIES
from edge.models.checkpoint import Checkpoint, InputSpec, from_json

FLOAT, FLOAT16, INT8 = "float32", "float16", "int8"
PLAIN = "plain"
"""Float32, of a peer without what makes it fast."""
WINOGRAD = "Winograd's convolution"
"""Fewer multiplications in 3 x 3 layers."""
MADE_FAST_BY = {"opencv": WINOGRAD, "pnnx": WINOGRAD, "litert": "XNNPACK"}
"""What a peer can be run without."""
OURS = ("module", "mxnet", "onnx", "openvino", "ncnn")
GRAPH, PNNX, LITERT = "network.onnx", "network.ncnn", "network.tflite"
_SAMPLES = "calibration_image_sample_data_20x128x128x3_float32.npy"
LARGEST_LITERT_MIB = 32
CONVERT_S = 120.0
"""A conversion that takes longer than all else is none that people make."""
Floats = NDArray[np.float32]


class Runner(ABC):
    """A network that is loaded."""

    input: InputSpec

    @abstractmethod
    def run(self, network_input: Floats) -> Floats:
        """Return the probabilities (float32, N) of an input (float32 1 x 3 x size x size)."""


class Ours(Runner):
    """One of edge's engines, or MXNet as the tutorials use it."""

    def __init__(self, checkpoint: Checkpoint, engine: str, precision: str) -> None:
        self._network = open_classifier(checkpoint, Backend(engine, precision))
        self.input = self._network.input

    def run(self, network_input: Floats) -> Floats:
        return self._network.probabilities(network_input)


class OpencvPeer(Runner):
    """OpenCV's module dnn."""

    def __init__(self, folder: Path, spec: InputSpec, precision: str) -> None:
        self.input = spec
        self._network = cv2.dnn.readNetFromONNX(str(folder / GRAPH))
        self._network.enableWinograd(precision != PLAIN)

    def run(self, network_input: Floats) -> Floats:
        self._network.setInput(network_input)
        found: Floats = np.array(self._network.forward()[0])
        return found


class PnnxPeer(Runner):
    """ncnn with what pnnx makes of the graph, in float32, or in float16 as ncnn does by itself."""

    def __init__(self, folder: Path, spec: InputSpec, precision: str) -> None:
        import ncnn

        self.input = spec
        self._ncnn, self._network = ncnn, ncnn.Net()
        options = self._network.opt
        options.use_winograd_convolution = precision != PLAIN
        if precision != FLOAT16:
            options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        self._network.load_param(str(folder / f"{PNNX}.param"))
        self._network.load_model(str(folder / f"{PNNX}.bin"))
        self._names = self._network.input_names()[0], self._network.output_names()[0]

    def run(self, network_input: Floats) -> Floats:
        extractor = self._network.create_extractor()
        # a copy: where the first layer writes into its input, ncnn crashes on memory of numpy's
        extractor.input(self._names[0], self._ncnn.Mat(network_input[0]).clone())
        found: Floats = np.array(extractor.extract(self._names[1])[1], np.float32).ravel()
        return found


class LitertPeer(Runner):
    """LiteRT (once TensorFlow Lite), with what onnx2tf makes of the graph, on as many threads as there are cores."""

    def __init__(self, folder: Path, spec: InputSpec, precision: str) -> None:
        from ai_edge_litert.interpreter import Interpreter, OpResolverType

        self.input = spec
        layers = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES if precision == PLAIN else OpResolverType.AUTO
        self._network = Interpreter(
            str(folder / LITERT), num_threads=os.cpu_count(), experimental_op_resolver_type=layers
        )
        self._network.allocate_tensors()
        self._in = self._network.get_input_details()[0]
        self._out = self._network.get_output_details()[0]["index"]
        self._last = self._in["shape"][-1] == 3

    def run(self, network_input: Floats) -> Floats:
        fed = network_input.transpose(0, 2, 3, 1) if self._last else network_input
        self._network.set_tensor(self._in["index"], np.ascontiguousarray(fed))
        self._network.invoke()
        found: Floats = self._network.get_tensor(self._out)[0]
        return found


PEERS: dict[str, Callable[[Path, InputSpec, str], Runner]] = {
    "opencv": OpencvPeer,
    "pnnx": PnnxPeer,
    "litert": LitertPeer,
}
"""The peers that have this option."""


class Host:
    """Has the network, and answers for it."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        """Keep the options.

        They are the checkpoint (models.checkpoint.to_json), engine, precision, `pictures` (uint8 N x H x W x 3, a .npy
        file) and the folder with the files that peers read.
        """
        self._checkpoint = from_json(options["checkpoint"])
        self._engine, self._precision = options["engine"], options["precision"]
        self._folder, self._pictures_file = Path(options["folder"]), options["pictures"]
        self._onnx2tf = options["onnx2tf"]
        self._quantised = self._folder / INT8
        if self._precision == INT8:
            # beside its own weights there may be a version that somebody uses
            self._checkpoint = replace(self._checkpoint, params=self._quantised / self._checkpoint.params.name)

    def answer(self, request: Mapping[str, Any]) -> dict[str, Any]:
        steps = {"load": self._load, "classify": self._classify, "cost": self._cost}
        steps |= {"graph": self._graph, "choose": self._choose}
        try:
            return steps[request["do"]](request)
        except EdgeError:
            raise
        except Exception as error:  # peers do not document their exceptions
            said = (str(error).strip().splitlines() or ["no reason given"])[0]
            raise ModelError(f"{self._engine}: {type(error).__name__}: {said[:160]}") from error

    def _load(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        spec = self._checkpoint.input
        if self._engine in PEERS:
            # theirs is the same graph; of the normalisation it does the same
            with graph_of(self._checkpoint) as graph:
                spec = graph.input
        begun_s = time.perf_counter()
        if self._engine in PEERS:
            self._runner: Runner = PEERS[self._engine](self._folder, spec, self._precision)
        else:
            self._runner = Ours(self._checkpoint, self._engine, self._precision)
        size = self._runner.input.size
        self._runner.run(np.zeros((1, 3, size, size), np.float32))
        load_s = time.perf_counter() - begun_s
        self._pictures = itertools.cycle(np.load(self._pictures_file))
        return {"load_s": load_s}

    def _classify(self, request: Mapping[str, Any]) -> dict[str, Any]:
        times_ms, forwards_ms = [], []
        for _ in range(request["frames"] + 1):
            picture = next(self._pictures)
            begun_s = time.perf_counter()
            network_input = to_input(picture, self._runner.input)
            ready_s = time.perf_counter()
            found = self._runner.run(network_input)
            done_s = time.perf_counter()
            times_ms.append(1000 * (done_s - begun_s))
            forwards_ms.append(1000 * (done_s - ready_s))
        return {"times_ms": times_ms[1:], "forwards_ms": forwards_ms[1:], "top": int(found.argmax())}

    def _cost(self, _request: Mapping[str, Any]) -> dict[str, Any]:
        return {"cpu_s": time.process_time(), "peak_mib": peak_rss_mib()}

    def _graph(self, request: Mapping[str, Any]) -> dict[str, Any]:
        problems: dict[str, str] = {}
        self._folder.mkdir(parents=True, exist_ok=True)
        with graph_of(self._checkpoint) as graph:
            if set(request["for"]) & set(PEERS) and not (self._folder / GRAPH).exists():
                self._write_in_one_file(graph.file)
        steps = {"pnnx": self._convert_with_pnnx, "litert": self._convert_for_litert, INT8: self._quantise}
        for what, convert in steps.items():
            if what in request["for"]:
                try:
                    convert()
                except EdgeError as error:
                    problems[what] = str(error)
        return {"problems": problems}

    def _write_in_one_file(self, graph: Path) -> None:
        """Peers don't find weights in another file, and don't know which of two outputs is meant."""
        from edge.quantizer.tools import import_onnx

        onnx = import_onnx()
        model = onnx.load(str(graph))
        for output in [one for one in model.graph.output if one.name != PROBABILITIES]:
            model.graph.output.remove(output)
        for number, node in enumerate(model.graph.node):
            node.name = f"n{number}"  # TensorFlow knows fewer characters
        onnx.save(model, str(self._folder / GRAPH))

    def _convert_with_pnnx(self) -> None:
        if (self._folder / f"{PNNX}.bin").exists():
            return
        # the package's own module imports torch, which the program beside it does without
        program = next(
            (path for place in sys.path if (path := Path(place) / "pnnx" / "pnnx").is_file()), Path("pnnx is missing")
        )
        with contextlib.suppress(OSError):
            program.chmod(0o755)
        size = self._checkpoint.input.size
        self._call("pnnx", program, GRAPH, f"inputshape=[1,3,{size},{size}]", "fp16=0", made=f"{PNNX}.bin")

    def _convert_for_litert(self) -> None:
        if (self._folder / LITERT).exists():
            return
        size_mib = (self._folder / GRAPH).stat().st_size / 2**20
        if size_mib > LARGEST_LITERT_MIB:
            raise ModelError(
                f"onnx2tf takes minutes and gigabytes for {size_mib:.0f} MiB of weights (for the 91 of Inception v3 "
                "three minutes of CPU time and 3.9 GiB)"
            )
        # what it compares its steps with; else it asks the internet for pictures
        np.save(self._folder / _SAMPLES, np.random.default_rng(0).random((20, 128, 128, 3), np.float32))
        self._call("onnx2tf", self._onnx2tf, "-i", GRAPH, "-o", "litert", "-n", made="litert/network_float32.tflite")
        (self._folder / "litert" / "network_float32.tflite").rename(self._folder / LITERT)

    def _quantise(self) -> None:
        """Random weights cannot be judged, and how fast it is does not depend on how right it is."""
        if self._quantised.with_suffix(".done").exists():
            return
        try:
            quantize = importlib.import_module("edge.quantizer.quantize")
        except ImportError as error:
            raise ModelError(f"it cannot be quantised here: {error}") from error
        shutil.rmtree(self._quantised, ignore_errors=True)
        self._quantised.mkdir()
        pictures = [partial(np.array, picture) for picture in np.load(self._pictures_file)]
        quantize.quantize_unjudged(self._checkpoint, pictures, self._quantised)
        shutil.rmtree(self._quantised / "float")
        self._quantised.with_suffix(".done").touch()

    def _call(self, name: str, *command: object, made: str) -> None:
        log = self._folder / f"{name}.log"
        try:
            with log.open("w") as output:
                done = subprocess.run(
                    [str(word) for word in command],
                    cwd=self._folder,
                    env={
                        **{"ORT_DISABLE_TELEMETRY": "1", **os.environ},  # onnx2tf has its own ONNX Runtime
                        "PATH": f"{Path(str(command[0])).parent}:{os.environ.get('PATH', '')}",
                    },
                    stdout=output,
                    stderr=output,
                    timeout=CONVERT_S,
                    check=False,
                )
        except subprocess.TimeoutExpired as error:
            raise ModelError(f"{name} has not converted it within {CONVERT_S:g} s") from error
        except OSError as error:
            raise ModelError(f"{name} cannot be started: {error.strerror}: {error.filename}") from error
        if not (self._folder / made).exists():
            said = [line for line in log.read_text(errors="replace").splitlines() if line.strip()]
            raise ModelError(f"{name} cannot convert it ({done.returncode}): {said[-1][:120] if said else 'no word'}")

    def _choose(self, request: Mapping[str, Any]) -> dict[str, Any]:
        from edge.config import load
        from edge.selection.selector import ModelSelector

        model = {"name": self._checkpoint.name, "engine": "auto", "precision": request["precision"]}
        model["memory_budget_mib"] = request["budget_mib"]
        flags = {"model": model, "camera": {"source": "csi"}, "speech": {"driver": "log"}}
        selector = ModelSelector(load(environment={}, flags=flags))
        try:
            selector.open()
        except NoModelFits:
            return {"engine": ""}
        try:
            return {"engine": selector.running[1]}
        finally:
            selector.close()


def open_driver(options: Mapping[str, Any]) -> Callable[[Mapping[str, Any]], dict[str, Any]]:
    """See edge/worker.py."""
    return Host(options).answer
