"""The list of a bundle's components."""

import hashlib
import json
import re
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest
from sbom import sbom

PACKAGES = """\
Package: espeak-ng
Architecture: arm64
Version: 1:1.51+dfsg-10~deb12u1
Depends: libc6 (>= 2.34), libespeak-ng1
Description: Multi-lingual software speech synthesizer
 eSpeak NG is a software speech synthesizer.
Filename: ./espeak-ng_1.51_arm64.deb
Size: 9
SHA256: aaaa

Package: alsa-utils
Architecture: arm64
Version: 1.2.8-1
Filename: ./alsa-utils_1.2.8_arm64.deb
Size: 9
SHA256: bbbb
"""


def wheel(folder: Path, name: str, version: str, licence: str = "") -> str:
    """Make a wheel with nothing but its metadata; return its SHA-256."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as opened:
        opened.writestr(
            f"{name.replace('-', '_')}-{version}.dist-info/METADATA",
            f"Metadata-Version: 2.4\nName: {name}\nVersion: {version}\n{licence}\nSome text\n",
        )
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture
def laid(tmp_path: Path) -> Path:
    """A bundle before it is packed."""
    target = tmp_path / "target"
    (target / "debs").mkdir(parents=True)
    (target / "debs/Packages").write_text(PACKAGES)
    (target / "models/mine").mkdir(parents=True)
    (target / "models/mine/mine-0000.params").write_bytes(b"weights")
    (tmp_path / "controller").mkdir()
    return tmp_path


def listed(folder: Path) -> dict[str, Any]:
    made = sbom("0.2.0", "cafe", "bookworm", folder / "target", folder / "controller")
    assert json.loads(json.dumps(made)) == made
    return made


def by_name(made: dict[str, Any]) -> dict[str, Any]:
    return {one["name"]: one for one in made["components"]}


def test_every_wheel_package_and_model_is_a_component(laid: Path) -> None:
    digest = wheel(laid / "target/wheels", "Some.Lib_x", "1.0+local", "License-Expression: MIT")
    wheel(laid / "controller", "ansible-core", "2.19.0", "License: GPL-3.0-or-later")
    made = listed(laid)
    found = by_name(made)
    assert set(found) == {"some-lib-x", "espeak-ng", "alsa-utils", "mine", "ansible-core"}
    assert found["some-lib-x"] == {
        "type": "library",
        "bom-ref": "pkg:pypi/some-lib-x@1.0%2Blocal",
        "name": "some-lib-x",
        "version": "1.0+local",
        "purl": "pkg:pypi/some-lib-x@1.0%2Blocal",
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "licenses": [{"expression": "MIT"}],
    }
    assert (
        found["espeak-ng"]["purl"] == "pkg:deb/debian/espeak-ng@1%3A1.51%2Bdfsg-10~deb12u1?arch=arm64&distro=bookworm"
    )
    assert found["espeak-ng"]["hashes"] == [{"alg": "SHA-256", "content": "aaaa"}]
    assert found["mine"]["type"] == "machine-learning-model"
    assert found["mine"]["hashes"][0]["content"] == hashlib.sha256(b"weights").hexdigest()
    # Ansible only runs the deploy
    assert found["ansible-core"]["scope"] == "excluded"
    assert found["ansible-core"]["licenses"] == [{"license": {"name": "GPL-3.0-or-later"}}]


def test_the_document_has_the_fields_of_cyclonedx(laid: Path) -> None:
    wheel(laid / "target/wheels", "one", "1.0")
    made = listed(laid)
    assert (made["bomFormat"], made["specVersion"], made["version"]) == ("CycloneDX", "1.5", 1)
    assert uuid.UUID(made["serialNumber"].removeprefix("urn:uuid:"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", made["metadata"]["timestamp"])
    component = made["metadata"]["component"]
    assert (component["name"], component["version"], component["type"]) == ("edge", "0.2.0", "application")
    references = [one["bom-ref"] for one in (component, *made["components"])]
    assert len(set(references)) == len(references)
    assert {one for entry in made["dependencies"] for one in (entry["ref"], *entry["dependsOn"])} <= set(references)


def test_the_same_content_has_the_same_serial_number(laid: Path) -> None:
    wheel(laid / "target/wheels", "one", "1.0")
    before = listed(laid)["serialNumber"]
    assert listed(laid)["serialNumber"] == before
    wheel(laid / "target/wheels", "two", "1.0")
    assert listed(laid)["serialNumber"] != before


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ("License-Expression: MIT OR Apache-2.0", [{"expression": "MIT OR Apache-2.0"}]),
        ("License: BSD", [{"license": {"name": "BSD"}}]),
        (f"License: {'long ' * 30}", []),
        ("Classifier: License :: OSI Approved :: MIT License", [{"license": {"name": "MIT License"}}]),
        ("Summary: none", []),
    ],
)
def test_a_wheel_s_licence_is_as_it_states_it(laid: Path, stated: str, expected: list[Any]) -> None:
    wheel(laid / "target/wheels", "one", "1.0", stated)
    assert by_name(listed(laid))["one"].get("licenses", []) == expected
