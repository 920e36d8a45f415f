"""Recognises, by their first bytes, files that are not MXNet's although they should be."""

from pathlib import Path

_LFS = b"version https://git-lfs.github.com/spec/"
_START = 512
# first bytes, after white space -> (kind of file, advice)
_KINDS: tuple[tuple[bytes, str, str], ...] = (
    (_LFS, "a Git LFS pointer", "fetch the file itself (git lfs pull)"),
    (b"<!doctype html", "a web page", "download the file itself (on GitHub: the raw file)"),
    (b"<html", "a web page", "download the file itself (on GitHub: the raw file)"),
    (b"\x1f\x8b", "compressed (gzip)", "unpack it"),
    (b"\xfd7zXZ\x00", "compressed (xz)", "unpack it"),
    (b"BZh", "compressed (bzip2)", "unpack it"),
    (b"\x89HDF\r\n", "a Keras file (HDF5)", "edge runs MXNet checkpoints"),
    (b"\x80\x02", "a PyTorch file or a pickle", "edge runs MXNet checkpoints"),
    (b"\x80\x04", "a pickle", "edge runs MXNet checkpoints"),
)
_ZIP = b"PK\x03\x04"
_TFLITE = b"TFL3"


def foreign(path: Path) -> str:
    """Return what kind of file it is instead of MXNet's, with advice: 'this is ...: ...'; empty if unknown.

    Raises OSError.
    """
    with path.open("rb") as file:
        start = file.read(_START)
    if not start:
        return "this is an empty file: copy it again"
    bare = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for beginning, what, helps in _KINDS:
        if start.startswith(beginning) or bare.startswith(beginning):
            return f"this is {what}: {helps}"
    if start.startswith(_ZIP):
        # the name of its first member follows after 30 bytes
        if b".npy" in start[30:]:
            return "this is an npz, as MXNet 2 saves parameters: save them with MXNet 1 (mx.nd.save)"
        return "this is a zip archive: unpack it"
    if start[4:8] == _TFLITE:
        return "this is a TensorFlow Lite file: edge runs MXNet checkpoints"
    return ""
