#!/usr/bin/env python3
"""Write edge/data/scenes: photos without a taught thing, as a network sees them (docs/decisions/0038).

    scripts/make_scenes.py FOLDER [--model efficientnet-lite0]

FOLDER has photos and a labels.csv, as for scripts/score_truth.py. Of MOST photos of the half for fitting a part is
taken as a camera sees it, in other light and sharpness. The network runs with ONNX Runtime in full precision.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import io
import sys
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import cv2
import numpy as np
from teach.views import HEIGHT, WIDTH, Pixels, Place, Rng, seen
from truth.films import read_photos

from edge.cli.progress import Progress, bar
from edge.engines import Network, open_classifier
from edge.engines.backend import Backend
from edge.errors import EdgeError
from edge.host.atomic import write_bytes
from edge.models.checkpoint import find_checkpoint
from edge.models.fingerprint import fingerprint
from edge.models.taught.record import Floats
from edge.selection.taught import features_of
from edge.vision.images import read_image

MOST = 96
"""As many as there are drawings: 250 kB with 1280 features."""


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="photos and a labels.csv")
    parser.add_argument("--model", default="efficientnet-lite0", metavar="NAME")
    options = parser.parse_args()
    try:
        checkpoint = find_checkpoint(options.model)
        network = open_classifier(checkpoint, Backend.parse("onnx"), features=True, square=True)
        photos = sorted(photo.file for photo in read_photos(options.folder, "fit"))[:MOST]
        with Progress() as progress:
            rows = scenes(network, [options.folder / file for file in photos], progress)
        path = Path(str(resources.files("edge"))) / "data" / "scenes" / f"{fingerprint(checkpoint)}.npy"
        data = io.BytesIO()
        np.save(data, rows.astype(np.float16))
        path.parent.mkdir(exist_ok=True)
        write_bytes(path, data.getvalue())
    except (OSError, ValueError, EdgeError) as error:
        sys.exit(f"make_scenes.py: {error}")
    print(f"{path}: {len(rows)} photos, {len(data.getvalue()) // 1000} kB")
    return 0


def scenes(network: Network, photos: Sequence[Path], progress: Progress) -> Floats:
    """Return the network's features of a part of each photo (N x M)."""
    rows, rng = [], np.random.default_rng(38)
    for number, path in enumerate(photos, 1):
        progress.show(bar("Looking", number, len(photos), f"{number} of {len(photos)} photos"))
        rows.append(features_of(network, scene(rng, read_image(path))))
    return np.stack(rows)


def scene(rng: Rng, photo: Pixels) -> Pixels:
    """Return a part of a photo (HEIGHT x WIDTH x 3), as a camera takes it."""
    share = rng.uniform(0.55, 1)
    large = cv2.resize(photo, (WIDTH, WIDTH))
    rows, columns = int(HEIGHT * share), int(WIDTH * share)
    top, left = int(rng.integers(0, WIDTH - rows + 1)), int(rng.integers(0, WIDTH - columns + 1))
    part = cv2.resize(large[top : top + rows, left : left + columns], (WIDTH, HEIGHT))
    if rng.random() < 0.5:
        part = cv2.GaussianBlur(part, (0, 0), rng.uniform(0.5, 5))
    light = np.exp(rng.normal(0, 0.22) + rng.normal(0, 0.06, 3)).astype(np.float32)
    shown = np.asarray(part, np.uint8)
    return seen(rng, shown, Place(shown, light, float(rng.uniform(-0.4, 0.4)), float(rng.uniform(2, 8))))


if __name__ == "__main__":
    sys.exit(main())
