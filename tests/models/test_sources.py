"""The three networks that edge is made for come from hosts that live: what is there, and what goes wrong on the way."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from record_references import pictures
from rigs.http import FileServer, serving
from rigs.sources import NAME, catalogue_toml, digest, published, source_of, zipped
from rigs.weights import Floats, reference
from rigs.zoo import scores_of_mxnet

from edge.cli import main
from edge.engines import measure
from edge.errors import FetchError, ModelError
from edge.installer.converter import convert as converter
from edge.installer.converter.networks import NETWORKS
from edge.models.catalogue import CONVERTED, STRUCTURES, Source, load_catalogue
from edge.models.checkpoint import find_checkpoint
from edge.models.fetch import Fetched, Fetcher
from edge.models.store import installed, verify

pytestmark = pytest.mark.integration


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving({}) as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Path]:
    """The store of the test's user; what it holds is large."""
    folder = tmp_path / "xdg-data" / "edge" / "models"
    folder.mkdir(parents=True)
    yield folder
    shutil.rmtree(folder)


# ---- a whole network, through the whole command


def difference(found: Floats, expected: Floats) -> float:
    return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("kind", CONVERTED)
@pytest.mark.parametrize("name", ["inception-v3", "vgg16", "resnet-152"])
def test_it_is_fetched_converted_and_installed(
    name: str, kind: str, server: FileServer, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest
) -> None:
    """With a first host that is dead, one that redirects, as GitHub and Hugging Face do, and connections that break."""
    store, long = request.getfixturevalue("store"), request.getfixturevalue("long")
    if (name, kind) != ("inception-v3", CONVERTED[0]) and not long:
        pytest.skip("up to half a GB: scripts/test --long")
    entry = load_catalogue()[name]
    source = source_of(kind, entry)
    weights = reference(name, kind).write(kind, store / "weights").read_bytes()
    (store / "weights").unlink()
    server.files, server.cut_after = published(source, weights), len(weights) * 2 // 5
    with serving({}) as front:
        front.redirect_to = server.url
        urls = {kind: ["http://127.0.0.1:9/", front.url]}
        text = catalogue_toml(entry, urls, {kind: digest(kind, weights)})
        (store / "catalogue.toml").write_text(text, encoding="utf-8")
        # that each model is measured is tested elsewhere
        request.getfixturevalue("monkeypatch").setattr(measure, "FRAMES", 2)
        assert main(["models", "fetch", name]) == 0, capsys.readouterr().err
    assert [bool(asked) for _, asked in server.asked] == [False, True, True]  # in three pieces
    told = capsys.readouterr().err
    assert f"http://127.0.0.1:9/: Connection refused. Trying {front.url}." in told
    (one,) = installed([store])
    assert verify(one) == []
    assert one.manifest is not None
    assert one.manifest.licence == source.licence
    assert one.manifest.origin == f"{front.url}{source.params}"
    checkpoint = find_checkpoint(name)
    top1 = source.top1 or entry.top1
    assert (checkpoint.about.top1, checkpoint.input) == (top1, source.input)
    found = scores_of_mxnet(checkpoint, list(pictures(source.input.size)))
    assert difference(found, reference(name, kind).outputs) < 1e-5
    assert main(["models", "list"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith(name))
    assert f"{top1:.1%}" in row
    assert row.split()[4:6] == [source.licence, "127.0.0.1"]


# ---- what goes wrong, with files that are small


def convert_nothing(_source: Source, weights: Path, prefix: Path) -> None:
    """Stands in for the conversion, which is not what is tested here."""
    for what in ("symbol.json", "0000.params"):
        shutil.copyfile(weights, prefix.with_name(f"{prefix.name}-{what}"))


FILES = {"imgclsmob": b"parameters of Gluon" * 1000, "timm": b"safetensors" * 2000}


def all_published() -> dict[str, bytes]:
    """What the hosts have of them."""
    files: dict[str, bytes] = {}
    for kind, data in FILES.items():
        files |= published(source_of(kind), data)
    return files


class Run:
    """One fetch from a server on the loopback, with what it told."""

    def __init__(self, store: Path, urls: dict[str, list[str]], timeout_s: float = 5.0) -> None:
        self.told: list[str] = []
        (store / "catalogue.toml").write_text(
            catalogue_toml(load_catalogue()[NAME], urls, {kind: digest(kind, data) for kind, data in FILES.items()})
        )
        self.entry = load_catalogue([store])[NAME]
        self.fetcher = Fetcher(store, tell=self.told.append, timeout_s=timeout_s)

    def fetch(self) -> Fetched:
        return self.fetcher.fetch(self.entry, convert_nothing)


def test_the_first_source_that_answers_is_taken(server: FileServer, store: Path) -> None:
    server.files = all_published()
    fetched = Run(store, {"imgclsmob": [server.url], "timm": [server.url]}).fetch()
    assert fetched.checkpoint.params.read_bytes() == FILES["imgclsmob"]
    assert fetched.licence == "MIT"
    assert fetched.checkpoint.about.top1 == 0.7949
    assert [path for path, _ in server.asked] == [source_of("imgclsmob").params]


@pytest.mark.parametrize("fault", ["dead", "gone", "wrong sum", "not a zip", "another file in the zip", "silent"])
def test_what_the_first_does_not_have_the_second_gives(server: FileServer, store: Path, fault: str) -> None:
    first = source_of("imgclsmob").params
    name = first.rsplit("/", 1)[-1].removesuffix(".zip")
    said = {
        "dead": "Connection refused",
        "gone": "HTTP status 404",
        "wrong sum": f"{name} is not the published file (its SHA-1 differs)",
        "not a zip": f"{name}.zip is not a zip with {name} in it",
        "another file in the zip": f"{name}.zip is not a zip with {name} in it",
        "silent": "no answer in time",
    }[fault]
    server.files = all_published()
    with serving(all_published()) as ill:
        if fault == "gone":
            ill.status = 404
        elif fault == "wrong sum":
            ill.files[first] = zipped(name, b"x" + FILES["imgclsmob"][1:])
        elif fault == "not a zip":
            ill.files[first] = b"PK\x03\x04 and no more"
        elif fault == "another file in the zip":
            ill.files[first] = zipped("../else.params", FILES["imgclsmob"])
        elif fault == "silent":
            ill.stall_after = 0
        url = "http://127.0.0.1:9/" if fault == "dead" else ill.url
        run = Run(store, {"imgclsmob": [url], "timm": [server.url]}, timeout_s=0.5)
        fetched = run.fetch()
    assert fetched.checkpoint.params.read_bytes() == FILES["timm"]
    assert (fetched.licence, fetched.checkpoint.about.top1) == ("Apache-2.0", 0.7747)
    assert fetched.checkpoint.input.mean == (127.5, 127.5, 127.5)
    assert f"{url}: {said}. Trying {server.url}." in run.told


def test_where_all_are_ill_each_is_named_with_its_reason(server: FileServer, store: Path) -> None:
    server.files = all_published()
    second = source_of("timm").params
    server.files[second] = server.files[second][:-1] + b"?"
    with serving({}) as gone:
        run = Run(store, {"imgclsmob": ["http://127.0.0.1:9/", gone.url], "timm": [server.url]})
        with pytest.raises(FetchError) as refused:
            run.fetch()
        line = str(refused.value)
        assert "\n" not in line
        assert "http://127.0.0.1:9/: Connection refused" in line
        assert f"{gone.url}: HTTP status 404" in line
        assert f"{server.url}: model.safetensors is not the published file (its SHA-256 differs)" in line
        assert len([told for told in run.told if ". Trying " in told]) == 2


def test_what_cannot_be_converted_is_told_and_the_next_is_asked(server: FileServer, store: Path) -> None:
    server.files = all_published()
    run = Run(store, {"imgclsmob": [server.url], "timm": [server.url]})

    def convert(source: Source, weights: Path, prefix: Path) -> None:
        if source.kind == "imgclsmob":
            raise ModelError(f"{weights}: 'more' is not a layer of {source.name}")
        convert_nothing(source, weights, prefix)

    fetched = run.fetcher.fetch(run.entry, convert)
    assert fetched.licence == "Apache-2.0"
    assert any("'more' is not a layer of inception_v3. Trying its other files." in line for line in run.told)


@pytest.mark.parametrize("kind", CONVERTED)
def test_a_cut_connection_is_taken_up_where_it_ended(server: FileServer, store: Path, kind: str) -> None:
    server.files, server.cut_after = all_published(), 9000
    Run(store, {kind: [server.url]}).fetch()
    assert [asked for _, asked in server.asked] == ["", "bytes=9000-", "bytes=18000-"][: len(server.asked)]
    assert len(server.asked) > 1


@pytest.mark.parametrize("layout", ["as at the hosts", "side by side", "unzipped", "by name"])
def test_from_a_folder_without_a_network(store: Path, tmp_path: Path, layout: str) -> None:
    stick = tmp_path / "stick"
    kind = "timm" if layout == "by name" else "imgclsmob"
    source = source_of(kind)
    name = source.params.rsplit("/", 1)[-1]
    path = {
        "as at the hosts": source.params,
        "side by side": name,
        "unzipped": name.removesuffix(".zip"),
        "by name": "inception_v3.tv_in1k.safetensors",
    }[layout]
    (stick / path).parent.mkdir(parents=True)
    whole = FILES[kind] if layout in ("unzipped", "by name") else published(source, FILES[kind])[source.params]
    (stick / path).write_bytes(whole)
    run = Run(store, {kind: ["http://127.0.0.1:9/"]})
    run.fetcher._origin = str(stick)
    assert run.fetch().checkpoint.params.read_bytes() == FILES[kind]


# ---- what is known of them


def test_where_it_would_look_can_be_seen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "fetch", "resnet-152", "--list-sources"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(",")[0].strip() for line in lines[1::2]] == [
        *("imgclsmob", "timm", "gluon", "gluon", "checkpoint", "checkpoint"),
    ]
    assert lines[:3] == [
        "1. https://github.com/osmr/imgclsmob/releases/download/v0.0.518/resnet152-0444-15f2dd80.params.zip",
        "   imgclsmob, MIT, top-1 80.8%, top-5 95.6%, SHA-1 15f2dd80...",
        "2. https://huggingface.co/timm/resnet152.tv_in1k/resolve/main/model.safetensors",
    ]
    assert (
        lines[-1] == "   checkpoint, licence unknown, top-1 76.5%, top-5 93.1%, checksum pinned at the first download"
    )


def test_the_three_networks_have_two_living_hosts_first() -> None:
    for name in (NAME, "vgg16", "resnet-152"):
        first, second, *old = load_catalogue()[name].sources
        assert (first.kind, second.kind) == CONVERTED
        assert old
        assert all(source.kind in ("gluon", "checkpoint") for source in old)
        for source in (first, second):
            assert source.licence
            assert source.checksum
        # the file's name has the first digits of its checksum
        assert first.checksum[:8] in first.params


def test_the_catalogue_and_the_converter_know_the_same() -> None:
    assert tuple(NETWORKS) == STRUCTURES
    assert converter.KINDS == CONVERTED


def test_an_older_manifest_has_no_licence(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And one with a licence has nothing that an older edge would stumble over."""
    from rigs.stores import DEMO, unexamined

    from edge.models.manifest import read_manifest
    from edge.models.store import Store

    Store(store).add(find_checkpoint(str(DEMO)), "own", unexamined, "added from here", licence="MIT")
    path = store / "own" / "manifest.json"
    table = json.loads(path.read_text())
    assert table.pop("licence") == "MIT"
    path.write_text(json.dumps(table))
    found = read_manifest(store / "own")
    assert found is not None
    assert replace(found, licence="MIT") != found
    assert "licence" not in (store / "own" / "model.toml").read_text()
    assert main(["models", "list"]) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("own"))
    assert row.split()[4:6] == ["-", "added"]
