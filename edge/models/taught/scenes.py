"""Photos without a taught thing, as the networks that edge knows see them: numbers, no pictures.

edge/data/scenes/FINGERPRINT.npy has the features of a network for some photos (N x M, float16), from
scripts/make_scenes.py.
"""

from importlib import resources

import numpy as np

from edge.models.taught.record import Floats


def scenes_of(model: str) -> Floats | None:
    """Return the features of photos (N x M) of the network with this fingerprint; None if edge has none of it."""
    # the folder is searched, no path is made: the fingerprint may come from somebody else's file
    for file in (resources.files("edge") / "data" / "scenes").iterdir():
        if file.name == f"{model}.npy":
            with file.open("rb") as data:
                return np.asarray(np.load(data, allow_pickle=False), np.float32)
    return None
