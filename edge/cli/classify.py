"""`edge classify`: the labels of image files."""

import argparse
import dataclasses
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edge.cli.common import image_files, overrides_of, print_json, settings_of
from edge.host.terminal import printable, tell

if TYPE_CHECKING:
    from edge.stages import Classifier


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
