"""Translate a checkpoint for ncnn: each layer of the importer's graph becomes one of ncnn's, or a few."""

import mmap
import tempfile
from pathlib import Path
from typing import IO

from edge.host.atomic import to_disk
from edge.importer.graph import NCNN, Graph
from edge.importer.ncnn.elementwise import ELEMENTWISE
from edge.importer.ncnn.layers import LAYERS
from edge.importer.ncnn.shapes import SHAPES
from edge.importer.ncnn.translator import Translation, Translator
from edge.importer.translate import translate
from edge.models.checkpoint import Checkpoint

_TRANSLATIONS: dict[str, Translation] = {**LAYERS, **ELEMENTWISE, **SHAPES}


def make_ncnn_graph(checkpoint: Checkpoint, folder: Path) -> Graph:
    """Write ncnn's files of a checkpoint into an empty folder, and sync them to the disk.

    Raises ModelError if the checkpoint is damaged or not supported, NotInNcnnError if other engines can run it, OSError
    if the folder cannot be written to.
    """
    graph_file, weights_file = NCNN.files
    with tempfile.TemporaryFile(dir=folder) as floats, (folder / weights_file).open("wb") as file:
        layers = translate(checkpoint, floats)
        floats.flush()
        text = Translator(layers, _mapped(floats), file).text(_TRANSLATIONS)
    (folder / graph_file).write_text(text, encoding="ascii")
    for name in NCNN.files:
        to_disk(folder / name)
    return Graph(folder, layers.input, layers.parameters, layers.independent, NCNN)


def _mapped(file: IO[bytes]) -> mmap.mmap:
    """Map a file; an empty one cannot be mapped, and gets a byte."""
    if file.seek(0, 2) == 0:
        file.write(b"\0")
        file.flush()
    return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
