"""Files of PyTorch's old format, right ones and hostile ones, are read without PyTorch, and nothing in them is run."""

import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from rigs.pth import DICT, MAGIC, keys, number, pth, small, storage, table, tensor, tensor_of, text, with_table

from edge.errors import ModelError
from edge.installer.converter.pth import read_pth

SCRIPTS = Path(__file__).resolve().parents[2] / "scripts"
ONE = np.arange(6, dtype=np.float32).reshape(2, 3)
END = struct.pack("<q", 6) + ONE.tobytes()


class Call:
    """Pickled, it calls os.system when Python unpickles it."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (self._command,)


def test_arrays_come_back_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "a.pth").write_bytes(pth(small()))
    found = read_pth(tmp_path / "a.pth")
    assert list(found) == list(small())
    for name, array in small().items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
        assert not found[name].flags.writeable


def one(**changes: bytes) -> bytes:
    """A file with one tensor, and what is to be another in it."""
    stored = changes.get("storage", storage("0", 6))
    made = changes.get("tensor", tensor(stored, (2, 3), (3, 1)))
    return with_table(table({"w": made}), ["0"], changes.get("end", END))


def nested(how_many: int, begin: bytes, end: bytes) -> bytes:
    return with_table(b"\x80\x02" + begin * how_many + b"N" + end * how_many + b".")


HOSTILE = {
    "nothing": b"",
    "an unknown global": (with_table(table({"w": b"cbuiltins\nexec\n"})), "builtins exec"),
    "a global of torch": (with_table(b"\x80\x02ctorch.hub\nload\n."), "torch.hub load"),
    "a call of a storage": with_table(b"\x80\x02ctorch\nFloatStorage\n)R."),
    "a dictionary of something": with_table(b"\x80\x02ccollections\nOrderedDict\n(K\x01tR."),
    "an instruction that builds objects": with_table(b"\x80\x02ccollections\nOrderedDict\n)\x81."),
    "attributes": with_table(b"\x80\x02" + DICT + b"}" + text("__class__") + b"Nsb."),
    "a storage of more than there is": (one(storage=storage("0", 2**31 - 1)), "6 numbers"),
    "a storage that says so too": (one(storage=storage("0", 2**31 - 1), end=struct.pack("<q", 2**31 - 1)), "would end"),
    "a storage of 2^62 numbers": one(end=struct.pack("<q", 2**62)),
    "a negative storage": one(storage=storage("0", -1), end=struct.pack("<q", -1)),
    "a tensor beyond its storage": (one(tensor=tensor(storage("0", 6), (2, 4), (4, 1))), "larger than its storage"),
    "an offset beyond it": one(tensor=tensor(storage("0", 6), (2, 3), (3, 1), 1)),
    "a negative offset": one(tensor=tensor(storage("0", 6), (2, 3), (3, 1), -1)),
    "strides of zero": one(tensor=tensor(storage("0", 6), (2**31 - 1,), (0,))),
    "strides beyond it": one(tensor=tensor(storage("0", 6), (2, 3), (2**31 - 1, 1))),
    "negative strides": one(tensor=tensor(storage("0", 6), (2, 3), (-3, 1))),
    "a size of zero": one(tensor=tensor(storage("0", 6), (0, 3), (3, 1))),
    "sixty dimensions": one(tensor=tensor(storage("0", 6), (1,) * 60, (1,) * 60)),
    "a storage that is described in two ways": with_table(
        table({"a": tensor_of("0", ONE), "b": tensor(storage("0", 3), (3,), (1,))}), ["0"], END
    ),
    "one name twice": with_table(b"\x80\x02" + DICT + 2 * (text("w") + tensor_of("0", ONE) + b"s") + b".", ["0"], END),
    "a storage that nobody has": with_table(table({}), ["0"], END),
    "a storage that is not there": with_table(table({"w": tensor_of("0", ONE)})),
    "one key twice": with_table(table({"w": tensor_of("0", ONE)}), ["0", "0"], END * 2),
    "something behind it": (one(end=END + b"\0"), "end"),
    "a long text": with_table(b"\x80\x02X" + struct.pack("<I", 2**32 - 1) + b"."),
    "a number of 2000 bytes": with_table(b"\x80\x02\x8a\xff" + b"\xff" * 255 + b"."),
    "a large memo": with_table(b"\x80\x02Nr" + struct.pack("<I", 2**32 - 1) + b"0."),
    "a memo of nothing": with_table(b"\x80\x02h\x07."),
    "a stack of nothing": with_table(b"\x80\x02\x87."),
    "a mark taken for a thing": with_table(b"\x80\x02(\x85."),
    "things left over": with_table(b"\x80\x02NN."),
    "tuples 10,000 deep": (nested(10_000, b"", b"\x85"), "nested values"),
    "marks 10,000 deep": (nested(10_000, b"(", b"t"), "nested values"),
    "dictionaries 10,000 deep": nested(10_000, b"}" + text("a"), b"s"),
    # a tuple of 200 tuples of 200 tuples ...: small in memory, and 200^7 things for who writes it out
    "a name that is a thousand million things": with_table(
        b"\x80\x02" + DICT + b"Nq\x00" + 7 * (b"(" + b"h\x00" * 200 + b"tq\x00") + b"Ns."
    ),
    "a shape that is a thousand million things": one(
        tensor=b"Nq\x00"
        + 7 * (b"(" + b"h\x00" * 200 + b"tq\x00")
        + b"ctorch._utils\n_rebuild_tensor_v2\n("
        + storage("0", 6)
        + number(0)
        + b"h\x00h\x00\x89"
        + DICT
        + b"tR"
    ),
    "a dictionary in itself": with_table(b"\x80\x02}q\x00" + text("a") + b"h\x00s."),
    "a hundred thousand empty tuples": with_table(b"\x80\x02" + b")" * 100_000 + b"."),
    "a large pickle": with_table(b"\x80\x02" + b"N" * 2**20 + b"."),
    "a name with a line break": with_table(table({"a\nb": tensor_of("0", ONE)}), ["0"], END),
    "no table": with_table(b"\x80\x02" + number(3) + b"."),
    "big-endian": pth(small()).replace(b"little_endian\x88", b"little_endian\x89"),
    "another protocol": pth(small()).replace(b"\x80\x02M\xe9\x03.", b"\x80\x02M\xe8\x03."),
    "the new format, a zip": b"PK\x03\x04" + bytes(2000),
    "what Python's pickle writes": pickle.dumps({"w": 1}),
    "a key that is no text": with_table(b"\x80\x02" + DICT + b"K\x01" + tensor_of("0", ONE) + b"s.", ["0"], END),
    "keys that are no texts": with_table(table({})).replace(keys([]), b"\x80\x02](K\x01e."),
}


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_file_is_one_clear_line_and_takes_no_memory(tmp_path: Path, case: str) -> None:
    content, said = HOSTILE[case] if isinstance(HOSTILE[case], tuple) else (HOSTILE[case], "")
    assert isinstance(content, bytes)
    path = tmp_path / "a.pth"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(ModelError, match=str(said) or None) as refused:
            read_pth(path)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert str(refused.value).startswith(str(path))
    assert "\n" not in str(refused.value)
    assert len(str(refused.value)) < 400
    # Python 3.13 takes 40 MiB for a hundred thousand opcodes, 3.11 less than 32
    assert peak < 64 * 2**20


@pytest.mark.parametrize("protocol", [0, 1, 2, 4, 5])
def test_a_call_in_a_pickle_is_not_made(tmp_path: Path, protocol: int) -> None:
    made = tmp_path / "made"
    evil = pickle.dumps(Call(f"touch {made}"), protocol)
    for content in (evil, with_table(evil), MAGIC + evil):
        (tmp_path / "a.pth").write_bytes(content)
        with pytest.raises(ModelError):
            read_pth(tmp_path / "a.pth")
    # it asks for os.system by the name that the platform's module has
    named = with_table(table({"w": b"cposix\nsystem\n(" + text(f"touch {made}") + b"tR"}))
    (tmp_path / "a.pth").write_bytes(named)
    with pytest.raises(ModelError, match="posix system"):
        read_pth(tmp_path / "a.pth")
    assert not made.exists()
    # and does it when Python reads it
    pickle.loads(evil)
    assert made.exists()


def test_a_file_that_is_cut_anywhere_is_refused(tmp_path: Path) -> None:
    whole = pth(small())
    for end in range(0, len(whole), 7):
        (tmp_path / "a.pth").write_bytes(whole[:end])
        with pytest.raises(ModelError):
            read_pth(tmp_path / "a.pth")


def test_what_cannot_be_opened_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="No such file"):
        read_pth(tmp_path / "none.pth")


def test_changed_at_random(long: bool) -> None:
    """100,000 files with --long. Each is an error or arrays, in bounds, and nothing is called."""
    runs = 100_000 if long else 1_000
    command = [sys.executable, str(SCRIPTS / "fuzz_pth.py"), "--runs", str(runs), "--seed", "1"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=1200)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{runs} files" in done.stdout
