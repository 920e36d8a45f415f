"""What the hosts of the catalogue's networks have, and catalogues that name other hosts."""

import hashlib
import io
import json
import zipfile

from edge.models.catalogue import Entry, Source, load_catalogue

NAME = "inception-v3"


def zipped(name: str, data: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as opened:
        opened.writestr(name, data)
    return archive.getvalue()


def catalogue_toml(entry: Entry, urls: dict[str, list[str]], checksums: dict[str, str]) -> str:
    """A catalogue with the entry's sources, but other hosts and checksums by kind."""
    lines = [f'["{entry.name}"]', f'title = "{entry.title}"', f"top1 = {entry.top1}", "download_mib = 2"]
    for source in entry.sources:
        if source.kind not in urls:
            continue
        spec = source.input
        lines += [f'[["{entry.name}".source]]', f'kind = "{source.kind}"', f"hosts = {json.dumps(urls[source.kind])}"]
        lines += [f'name = "{source.name}"', f'params = "{source.params}"', f'licence = "{source.licence}"']
        digits = checksums[source.kind]
        lines += [f'{"sha256" if len(digits) == 64 else "sha1"} = "{digits}"']
        lines += [f"top1 = {source.top1}"] if source.top1 is not None else []
        lines += [f"input = {{ size = {spec.size}, mean = {list(spec.mean)}, std = {list(spec.std)} }}"]
    labels = f'[labels]\nfile = "{entry.labels[1]}"\n'
    return labels + "\n".join(lines)


def digest(kind: str, data: bytes) -> str:
    return hashlib.new("sha256" if kind == "timm" else "sha1", data).hexdigest()


def source_of(kind: str, entry: Entry | None = None) -> Source:
    return next(one for one in (entry or load_catalogue()[NAME]).sources if one.kind == kind)


def published(source: Source, weights: bytes) -> dict[str, bytes]:
    """What the host has."""
    name = source.params.rsplit("/", 1)[-1]
    if not name.endswith(".zip"):
        return {source.params: weights}
    return {source.params: zipped(name.removesuffix(".zip"), weights)}
