"""Reading .params without MXNet: the same as mx.nd.load reads, in all its formats, and nothing else."""

import struct
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.engines.mxnet_compat import import_mxnet
from edge.engines.mxnet_params import MappedParams

pytestmark = pytest.mark.integration

ARRAYS = {
    "arg:conv_weight": np.random.default_rng(0).normal(0, 1, (4, 3, 5, 5)).astype(np.float32),
    "arg:bias": np.array([1.5, -2.0], np.float32),
    "aux:Größe": np.zeros((1, 2, 3, 4, 5), np.float32),
}


def written_by(release: str, arrays: dict[str, NDArray[np.float32]] = ARRAYS) -> bytes:
    """What mx.nd.save of an old release wrote."""
    parts = [struct.pack("<QQQ", 0x112, 0, len(arrays))]
    for array in arrays.values():
        if release == "0.8":
            parts.append(struct.pack(f"<I{array.ndim}I", array.ndim, *array.shape))
        elif release == "0.12":
            parts.append(struct.pack(f"<II{array.ndim}q", 0xF993FAC8, array.ndim, *array.shape))
        else:
            parts.append(struct.pack(f"<IiI{array.ndim}q", 0xF993FAC9, 0, array.ndim, *array.shape))
        parts += [struct.pack("<iii", 1, 0, 0), array.tobytes()]
    names = [name.encode() for name in arrays]
    return b"".join([*parts, struct.pack("<Q", len(names)), *(struct.pack("<Q", len(n)) + n for n in names)])


def test_what_mxnet_saves_is_read(tmp_path: Path) -> None:
    mx = import_mxnet()
    mx.nd.save(str(tmp_path / "a.params"), {name: mx.nd.array(array) for name, array in ARRAYS.items()})
    found = MappedParams(tmp_path / "a.params").arrays
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("release", ["0.8", "0.12", "1.9"])
def test_the_formats_of_old_releases_are_read_as_mxnet_reads_them(tmp_path: Path, release: str) -> None:
    mx = import_mxnet()
    path = tmp_path / "a.params"
    path.write_bytes(written_by(release))
    found, expected = MappedParams(path).arrays, mx.nd.load(str(path))
    assert set(found) == set(expected) == set(ARRAYS)
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name].asnumpy())


def test_dropped_pages_come_back_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.params"
    path.write_bytes(written_by("1.9"))
    mapped = MappedParams(path)
    path.unlink()
    with mapped.dropping():
        np.testing.assert_array_equal(mapped.arrays["arg:conv_weight"], ARRAYS["arg:conv_weight"])
    np.testing.assert_array_equal(mapped.arrays["arg:conv_weight"], ARRAYS["arg:conv_weight"])


@pytest.mark.parametrize("release", ["0.8", "0.12", "1.9"])
def test_a_file_that_is_cut_anywhere_is_left_to_mxnet(tmp_path: Path, release: str) -> None:
    path = tmp_path / "a.params"
    whole = written_by(release)
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert MappedParams.open(path) is None
    assert MappedParams.open(tmp_path / "none") is None


def test_a_file_with_flipped_bits_never_reads_beyond_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.params"
    random = np.random.default_rng(1)
    whole = np.frombuffer(written_by("1.9"), np.uint8)
    for _ in range(300):
        damaged = whole.copy()
        damaged[random.integers(0, 60, 2)] = random.integers(0, 256, 2)
        path.write_bytes(damaged.tobytes())
        mapped = MappedParams.open(path)
        if mapped is not None:
            assert sum(array.nbytes for array in mapped.arrays.values()) < len(whole)


def test_other_types_and_lists_without_names_are_left_to_mxnet(tmp_path: Path) -> None:
    mx = import_mxnet()
    path = tmp_path / "a.params"
    sparse = mx.nd.array(np.eye(3)).tostype("csr")
    for arrays in ({"a": mx.nd.zeros(3, dtype="float16")}, [mx.nd.zeros(3)], {"a": sparse}):
        mx.nd.save(str(path), arrays)
        assert MappedParams.open(path) is None
