"""Reading .params without MXNet: the same as mx.nd.load reads, in all its formats, and nothing else."""

import contextlib
import gzip
import io
import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from edge.engines.memory import repeatedly
from edge.engines.mxnet_compat import import_mxnet
from edge.errors import ModelError
from edge.importer.params import Params, open_params

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
    found = Params(tmp_path / "a.params").arrays
    assert list(found) == list(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(found[name], array)


@pytest.mark.parametrize("release", ["0.8", "0.12", "1.9"])
def test_the_formats_of_old_releases_are_read_as_mxnet_reads_them(tmp_path: Path, release: str) -> None:
    mx = import_mxnet()
    path = tmp_path / "a.params"
    path.write_bytes(written_by(release))
    found, expected = Params(path).arrays, mx.nd.load(str(path))
    assert set(found) == set(expected) == set(ARRAYS)
    for name, array in found.items():
        np.testing.assert_array_equal(array, expected[name].asnumpy())


def test_dropped_pages_come_back_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "a.params"
    path.write_bytes(written_by("1.9"))
    mapped = Params(path)
    path.unlink()
    with repeatedly(mapped.drop, 0.001):
        np.testing.assert_array_equal(mapped.arrays["arg:conv_weight"], ARRAYS["arg:conv_weight"])
    np.testing.assert_array_equal(mapped.arrays["arg:conv_weight"], ARRAYS["arg:conv_weight"])


def refusal(path: Path) -> str:
    with pytest.raises(ModelError) as caught:
        open_params(path)
    said = str(caught.value)
    assert str(path) in said
    assert "\n" not in said
    return said


@pytest.mark.parametrize("release", ["0.8", "0.12", "1.9"])
def test_a_file_that_is_cut_anywhere_is_refused(tmp_path: Path, release: str) -> None:
    path = tmp_path / "a.params"
    whole = written_by(release)
    for length in range(7, len(whole), 7):
        path.write_bytes(whole[:length])
        assert "truncated, or not MXNet parameters" in refusal(path)
    assert "No such file" in refusal(tmp_path / "none")
    assert "Is a directory" in refusal(tmp_path)


def test_a_file_with_flipped_bits_never_reads_beyond_its_end(tmp_path: Path) -> None:
    path = tmp_path / "a.params"
    random = np.random.default_rng(1)
    whole = np.frombuffer(written_by("1.9"), np.uint8)
    for _ in range(300):
        damaged = whole.copy()
        damaged[random.integers(0, 60, 2)] = random.integers(0, 256, 2)
        path.write_bytes(damaged.tobytes())
        with contextlib.suppress(ModelError):
            assert sum(array.nbytes for array in open_params(path).arrays.values()) < len(whole)


def test_arrays_of_other_kinds_are_named_and_the_others_read(tmp_path: Path) -> None:
    mx = import_mxnet()
    path = tmp_path / "a.params"
    eye = mx.nd.array(np.eye(3))
    kinds = ("float16", "float64", "int8", "uint8", "int32", "int64", "bool")
    arrays = {f"arg:{kind}": mx.nd.array([1, 0, 1], dtype=kind) for kind in kinds}
    arrays |= {"arg:csr": eye.tostype("csr"), "arg:rows": eye.tostype("row_sparse"), "arg:last": mx.nd.ones((2, 2))}
    mx.nd.waitall()
    mx.nd.save(str(path), arrays)
    found = open_params(path)
    assert set(found.arrays) == {"arg:float16", "arg:float64", "arg:last"}
    np.testing.assert_array_equal(found.arrays["arg:last"], np.ones((2, 2)))
    assert set(found.unusable) == set(arrays) - set(found.arrays)
    assert "is sparse (csr)" in found.unusable["arg:csr"]
    assert "is sparse (row_sparse)" in found.unusable["arg:rows"]
    assert "holds int64 numbers" in found.unusable["arg:int64"]


def test_arrays_without_names_are_told(tmp_path: Path) -> None:
    mx = import_mxnet()
    path = tmp_path / "a.params"
    mx.nd.save(str(path), [mx.nd.zeros(3)])
    assert "its arrays have no names; save it with" in refusal(path)


def test_what_else_people_have_is_told_for_what_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.params"
    npz = io.BytesIO()
    np.savez(npz, weight=np.zeros(3))
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("net-0000.params", written_by("1.9"))
    for data, said in (
        (b"", "this is an empty file: copy it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1607988\n", "a Git LFS pointer: fetch"),
        (b"\n<!DOCTYPE html><html><body>Not found", "this is a web page: download the file itself"),
        (gzip.compress(written_by("1.9")), "this is compressed (gzip): unpack it"),
        (archive.getvalue(), "this is a zip archive: unpack it"),
        (npz.getvalue(), "this is an npz, as MXNet 2 saves parameters"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), "a Keras file (HDF5)"),
        (b"\x1c\x00\x00\x00TFL3" + bytes(99), "a TensorFlow Lite file"),
        (pickle.dumps({"weight": 1}, protocol=2), "a PyTorch file or a pickle"),
    ):
        path.write_bytes(data)
        assert said in refusal(path)
