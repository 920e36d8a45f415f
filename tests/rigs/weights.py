"""Files of weights as other projects publish them, made of the arrays that tests/references were recorded with."""

import base64
import json
import struct
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from record_references import PICTURES, seeded

Floats = NDArray[np.float32]
REFERENCES = Path(__file__).resolve().parents[1] / "references"


@dataclass(frozen=True)
class Reference:
    """What a project's own network says, with these weights."""

    table: Mapping[str, Any]

    @property
    def outputs(self) -> Floats:
        """Scores: PICTURES x 1000."""
        return np.frombuffer(base64.b64decode(self.table["outputs"]), "<f4").reshape(PICTURES, -1)

    def shapes(self) -> dict[str, list[int]]:
        """By name."""
        return {name: shape for name, (shape, _, _) in self.table["arrays"].items()}

    def values(self, name: str) -> Floats:
        """The array of that name."""
        return seeded(name, *self.table["arrays"][name])

    def write(self, project: str, path: Path) -> Path:
        """Write the file that the project would publish."""
        if project == "timm":
            write_safetensors(path, self.shapes(), self.values, self.table["counters"])
        else:
            write_gluon(path, self.shapes(), self.values)
        return path


def reference(network: str, project: str) -> Reference:
    """Read what was recorded."""
    return Reference(json.loads((REFERENCES / f"{network}.{project}.json").read_text(encoding="utf-8")))


def write_gluon(path: Path, shapes: Mapping[str, Iterable[int]], values: Callable[[str], Floats]) -> None:
    """Write what Gluon's save_parameters writes in MXNet 1.6 and later."""
    with path.open("wb") as file:
        file.write(struct.pack("<QQQ", 0x112, 0, len(shapes)))
        for name in shapes:
            shape = list(shapes[name])
            file.write(struct.pack(f"<Iii{len(shape)}q", 0xF993FAC9, 0, len(shape), *shape))
            file.write(struct.pack("<iii", 1, 0, 0) + values(name).tobytes())
        file.write(struct.pack("<Q", len(shapes)))
        for name in shapes:
            file.write(struct.pack("<Q", len(name)) + name.encode())


def write_safetensors(
    path: Path,
    shapes: Mapping[str, Iterable[int]],
    values: Callable[[str], Floats],
    counters: Mapping[str, Iterable[int]],
) -> None:
    """Write what the library safetensors writes: by size of a value, then by name, and the header filled up to 8."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for kind, size, group in (("I64", 8, counters), ("F32", 4, shapes)):
        for name in sorted(group):
            end = place + size * int(np.prod(list(group[name])))
            header[name] = {"dtype": kind, "shape": list(group[name]), "data_offsets": [place, end]}
            place = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for _ in counters:
            file.write(struct.pack("<q", 91))
        for name in sorted(shapes):
            file.write(values(name).tobytes())
