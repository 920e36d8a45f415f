"""List the components of a bundle as CycloneDX 1.5 (https://cyclonedx.org/docs/1.5/json/), for audits of a release.

It is plain JSON: the library cyclonedx-python-lib brings eight packages into Ansible's environment, which is also
installed on each Pi, for the few fields that are used here. tests/deploy/test_sbom.py checks these fields.
"""

import datetime
import email.parser
import hashlib
import re
import uuid
import zipfile
from email.message import Message
from pathlib import Path
from typing import Any
from urllib.parse import quote

Component = dict[str, Any]


def sbom(version: str, digest: str, release: str, target: Path, controller: Path) -> dict[str, Any]:
    """Return the list of components (CycloneDX 1.5) of a bundle before it is packed.

    Args:
        version: The version of edge.
        digest: The SHA-256 of its source, in hexadecimal.
        release: The Debian release, such as "bookworm".
        target: The folder with `wheels`, `debs` (with their index `Packages`) and `models`.
        controller: The folder with the wheels of Ansible. They are no part of the running edge.
    """
    edge = {
        "type": "application",
        "bom-ref": f"edge@{version}",
        "name": "edge",
        "version": version,
        "hashes": [{"alg": "SHA-256", "content": digest}],
        "licenses": [{"license": {"id": "Apache-2.0"}}],
    }
    parts = [*(_wheel(wheel) for wheel in sorted((target / "wheels").glob("*.whl"))), *_debs(target / "debs", release)]
    parts += [_model(folder) for folder in sorted((target / "models").iterdir())]
    known = {one["bom-ref"] for one in parts}
    tools = [_wheel(wheel) | {"scope": "excluded"} for wheel in sorted(controller.glob("*.whl"))]
    components = [*parts, *(one for one in tools if one["bom-ref"] not in known)]
    content = "\n".join(str(one.get("hashes", one["bom-ref"])) for one in (edge, *components))
    return {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, content)}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            "tools": {"components": [{"type": "application", "name": "deploy/bundle", "version": version}]},
            "component": edge,
        },
        "components": components,
        "dependencies": [{"ref": edge["bom-ref"], "dependsOn": sorted(known)}],
    }


def _wheel(wheel: Path) -> Component:
    with zipfile.ZipFile(wheel) as opened:
        (name,) = (one for one in opened.namelist() if re.fullmatch(r"[^/]+\.dist-info/METADATA", one))
        metadata = email.parser.Parser().parsestr(opened.read(name).decode("utf-8"))
    # https://packaging.python.org/en/latest/specifications/name-normalization/
    name = re.sub(r"[-_.]+", "-", metadata["Name"]).lower()
    purl = f"pkg:pypi/{name}@{quote(metadata['Version'], safe='')}"
    component: Component = {
        "type": "library",
        "bom-ref": purl,
        "name": name,
        "version": metadata["Version"],
        "purl": purl,
    }
    component["hashes"] = [{"alg": "SHA-256", "content": sha256(wheel)}]
    if licenses := _licenses(metadata):
        component["licenses"] = licenses
    return component


def _licenses(metadata: Message) -> list[dict[str, Any]]:
    """Return the licence that a wheel states: an expression, a short text or classifiers; maybe none."""
    if expression := metadata["License-Expression"]:
        return [{"expression": expression}]
    stated = metadata["License"] or ""
    if stated and len(stated) <= 100 and "\n" not in stated:
        return [{"license": {"name": stated}}]
    classified = [one for one in metadata.get_all("Classifier", []) if one.startswith("License ::")]
    return [{"license": {"name": one.rpartition(" :: ")[2]}} for one in classified]


def _debs(folder: Path, release: str) -> list[Component]:
    index = (folder / "Packages").read_text(encoding="utf-8")
    components = []
    for entry in filter(str.strip, re.split(r"\n\n+", index)):
        fields = dict(re.findall(r"(?m)^([A-Za-z0-9-]+): (.*)$", entry))
        name, version = fields["Package"], fields["Version"]
        purl = f"pkg:deb/debian/{name}@{quote(version, safe='')}?arch={fields['Architecture']}&distro={release}"
        hashes = [{"alg": "SHA-256", "content": fields["SHA256"]}]
        components.append(
            {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl, "hashes": hashes}
        )
    return sorted(components, key=lambda one: str(one["bom-ref"]))


def _model(folder: Path) -> Component:
    hashes = [{"alg": "SHA-256", "content": sha256(file)} for file in sorted(folder.glob("*.params"))[:1]]
    return {"type": "machine-learning-model", "bom-ref": f"model:{folder.name}", "name": folder.name, "hashes": hashes}


def sha256(file: Path) -> str:
    """Return the checksum of a file, in hexadecimal."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
