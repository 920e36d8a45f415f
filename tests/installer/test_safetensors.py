"""Files of safetensors: what the library writes is read, and what lies is refused in one line, with little memory."""

import json
import random
import resource
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edge.errors import ModelError
from edge.installer.converter.safetensors import Safetensors

ARRAYS: dict[str, Any] = {
    "counter": np.array(7, np.int64),
    "half": np.arange(6, dtype=np.float16).reshape(2, 3),
    "weight": np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 4),
    "wide": np.array([1e300, -0.0]),
}
_KINDS = {"int64": "I64", "float16": "F16", "float32": "F32", "float64": "F64"}


def header_of(arrays: dict[str, Any]) -> dict[str, Any]:
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    place = 0
    for name, array in arrays.items():
        end = place + array.nbytes
        header[name] = {"dtype": _KINDS[str(array.dtype)], "shape": list(array.shape), "data_offsets": [place, end]}
        place = end
    return header


def packed(header: Any, data: bytes) -> bytes:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def data_of(arrays: dict[str, Any]) -> bytes:
    return b"".join(array.tobytes() for array in arrays.values())


def read(folder: Path, content: bytes) -> Safetensors:
    path = folder / "model.safetensors"
    path.write_bytes(content)
    return Safetensors(path)


def test_it_reads_what_is_there(tmp_path: Path) -> None:
    found = read(tmp_path, packed(header_of(ARRAYS), data_of(ARRAYS)))
    assert set(found.arrays) == {"half", "weight", "wide"}
    assert found.others == {"counter"}
    for name, array in found.arrays.items():
        assert array.dtype == ARRAYS[name].dtype
        assert np.array_equal(array, ARRAYS[name])
    found.drop()
    assert np.array_equal(found.arrays["weight"], ARRAYS["weight"])


def test_padding_and_order_are_free(tmp_path: Path) -> None:
    header = dict(reversed(header_of(ARRAYS).items()))
    found = read(tmp_path, packed(json.dumps(header).encode() + b"   ", data_of(ARRAYS)))
    assert np.array_equal(found.arrays["wide"], ARRAYS["wide"])


def changed(name: str, **values: Any) -> dict[str, Any]:
    header = header_of(ARRAYS)
    header[name] |= values
    return header


HOSTILE = {
    "empty": b"",
    "short": b"\x01\x02",
    "no JSON": packed(b"{", data_of(ARRAYS)),
    "a list": packed([], data_of(ARRAYS)),
    "nested": packed(b"[" * 200_000, b""),
    "nested in an array": packed(b'{"a":' + b"[" * 100_000, b""),
    "not UTF-8": packed(b'{"\xff": 1}', b""),
    "a header beyond the file": struct.pack("<Q", 10**6) + b"{}",
    "a header of all there is": struct.pack("<Q", 2**63) + b"{}",
    "a header of 600 kB": packed(b"{}" + b" " * 600_000, b""),
    "an offset beyond the file": packed(changed("wide", data_offsets=[0, 2**40], shape=[2**37]), data_of(ARRAYS)),
    "huge sizes that multiply to nothing": packed(changed("wide", shape=[2**47, 2**47, 0]), data_of(ARRAYS)),
    "a negative offset": packed(changed("wide", data_offsets=[-16, 0]), data_of(ARRAYS)),
    "a negative size": packed(changed("wide", shape=[-2]), data_of(ARRAYS)),
    "a size of 2**70": packed(changed("wide", shape=[2**70]), data_of(ARRAYS)),
    "a size that is true": packed(changed("wide", shape=[True, 2]), data_of(ARRAYS)),
    "a size of 2.0": packed(changed("wide", shape=[2.0]), data_of(ARRAYS)),
    "nan": packed(json.dumps(changed("wide", shape=[float("nan")])).encode(), data_of(ARRAYS)),
    "too small for its shape": packed(changed("weight", shape=[2, 3, 5]), data_of(ARRAYS)),
    "two in one place": packed(changed("wide", data_offsets=[0, 16]), data_of(ARRAYS)),
    "another type": packed(changed("wide", dtype="PY"), data_of(ARRAYS)),
    "no type": packed(changed("wide", dtype=["F32"]), data_of(ARRAYS)),
    "another key": packed(changed("wide", code="import os"), data_of(ARRAYS)),
    "no table": packed({"wide": 3}, data_of(ARRAYS)),
    "a name with a line break": packed({"a\nb": header_of(ARRAYS)["wide"]}, data_of(ARRAYS)),
    "a name twice": packed(b'{"a":{},"a":{}}', b""),
    "nine dimensions": packed(changed("counter", shape=[1] * 9), data_of(ARRAYS)),
    "cut": packed(header_of(ARRAYS), data_of(ARRAYS)[:-1]),
    "more than it says": packed(header_of(ARRAYS), data_of(ARRAYS) + b"x"),
    "a gap": packed({"wide": {"dtype": "F64", "shape": [2], "data_offsets": [8, 24]}}, bytes(24)),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_lies_is_refused_in_one_line(what: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError) as refused:
        read(tmp_path, HOSTILE[what])
    line = str(refused.value)
    assert line.startswith(f"{tmp_path / 'model.safetensors'}: truncated, or not safetensors: ")
    assert "\n" not in line
    assert len(line) < 400 + len(str(tmp_path))


WORST = """
import resource, sys
from pathlib import Path
from edge.installer.converter.safetensors import Safetensors
from edge.errors import ModelError
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    try:
        Safetensors(Path(path))
    except ModelError:
        pass
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_small_file_takes_little_memory(tmp_path: Path) -> None:
    """Lists in a list are what Python needs most for."""
    worst = {"lists": b'{"a":[' + b"[]," * 170_000 + b"[]]}", "objects": b'{"a":[' + b"{}," * 170_000 + b"{}]}"}
    for name, text in worst.items():
        (tmp_path / name).write_bytes(packed(text, b""))
    paths = [str(tmp_path / name) for name in worst]
    done = subprocess.run([sys.executable, "-c", WORST, *paths], capture_output=True, text=True, timeout=60, check=True)
    assert int(done.stdout) < 40 * 1024 * (resource.getpagesize() // 4096)  # KiB


def test_mutations_are_refused_or_read(tmp_path: Path, long: bool) -> None:
    whole = packed(header_of(ARRAYS), data_of(ARRAYS))
    generator = random.Random(5)
    refused: list[str] = []
    for _ in range(20_000 if long else 1000):
        content = bytearray(whole)
        for _ in range(generator.choice((1, 1, 2, 8))):
            place = generator.randrange(len(content))
            content[place] = generator.choice((generator.randrange(256), content[place] ^ 1 << generator.randrange(8)))
        if generator.random() < 0.2:
            del content[generator.randrange(len(content)) :]
        try:
            found = read(tmp_path, bytes(content))
        except ModelError as error:
            refused.append(str(error))
        else:
            assert sum(array.nbytes for array in found.arrays.values()) <= len(content)
    assert refused
    assert not any("\n" in line for line in refused)
