"""The version of a package, read without the parser of its metadata."""

from importlib import metadata
from pathlib import Path

import pytest

from edge.host.libraries import installed_version


@pytest.mark.parametrize("package", ["mxnet", "onnx", "onnxruntime", "openvino", "numpy"])
def test_a_package_has_the_version_that_its_metadata_states(package: str) -> None:
    try:
        stated = metadata.version(package)
    except metadata.PackageNotFoundError:
        stated = ""
    assert installed_version(package) == stated


@pytest.mark.parametrize(
    ("folders", "version"),
    [
        (["wares-1.2.3.dist-info"], "1.2.3"),
        (["wares-1.2.3.dist-info", "wares_more-9.dist-info"], "1.2.3"),
        # an upgrade was broken off: the metadata says which counts
        (["wares-1.2.3.dist-info", "wares-2.0.dist-info"], "7"),
        (["wares-1.2.3_local.dist-info"], "7"),
        ([], ""),
    ],
)
def test_odd_installations(tmp_path: Path, folders: list[str], version: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "wares").mkdir()
    (tmp_path / "wares" / "__init__.py").touch()
    for folder in folders:
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "METADATA").write_text("Metadata-Version: 2.1\nName: wares\nVersion: 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert installed_version("wares") == version
