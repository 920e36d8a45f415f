"""Stores with copies of the demo in them, each under a name and with figures of its own; and scenes of its clip."""

import shutil
from importlib import resources
from pathlib import Path

import cv2
import numpy as np

from edge.cameras.demo import open_clip
from edge.engines import ENGINES, engine_version
from edge.engines.agreement import Agreement, Agreements
from edge.engines.backend import Backend
from edge.host.machine import Machine
from edge.models.checkpoint import Checkpoint, find_checkpoint
from edge.models.fingerprint import fingerprint
from edge.models.manifest import Answer, Examined
from edge.models.measurements import Measurement, Measurements
from edge.settings import CameraSettings
from edge.stages import EndOfFrames

DEMO = Path(str(resources.files("edge") / "data" / "demo"))


def unexamined(_checkpoint: Checkpoint) -> Examined:
    """Stands in for what takes a child with MXNet, where that is not what is tested."""
    return Examined(401413, Answer("n03467517", "guitar", 0.98, "mxnet"))


def store_of(folder: Path, machine: Machine, **peaks_mib: float) -> Path:
    """A store with copies of the demo that count as so large, the larger the more accurate."""
    store = folder / "edge" / "models"
    for name, peak_mib in peaks_mib.items():
        shutil.copytree(DEMO, store / name)
        for old in list((store / name).glob("demo-*")):
            old.rename(old.with_name(old.name.replace("demo", name)))
        (store / name / "manifest.json").unlink()
        toml = (store / name / "model.toml").read_text()
        (store / name / "model.toml").write_text(f"{toml}\n[about]\ntop1 = {peak_mib / 2000}\n")
        # no two networks have the same bytes
        symbol = store / name / f"{name}-symbol.json"
        symbol.write_text(symbol.read_text() + "\n" * len(list(store.iterdir())))
        identity = fingerprint(find_checkpoint(str(store / name)))
        measured = Measurement(peak_mib, 1.0, 10.0, 5.0, 6.0, 30)
        assert Measurements([store], machine.key).keep(identity, engine_version(Backend("mxnet")), measured)
        # as edge models add leaves it: all engines were asked
        Agreements([store], machine.key).keep(identity, Agreement(asked=ENGINES))
    return store


def write_scenes(folder: Path) -> None:
    """Write pictures of the demo's clip, a third of a second apart."""
    clip = open_clip(CameraSettings(), every_frame=True)
    number = 0
    try:
        while (frame := clip.read(1.0)) is not None:
            if number % 5 == 0:
                cv2.imwrite(str(folder / f"{number:04}.png"), np.ascontiguousarray(frame.pixels[:, :, ::-1]))
            number += 1
    except EndOfFrames:
        pass
    finally:
        clip.close()
