"""Networks come over the loopback, with all that goes wrong on the way."""

import errno
import hashlib
import io
import os
import random
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from rigs.http import FileServer, serving

from edge.cli import main
from edge.errors import FetchError, ModelError
from edge.models.catalogue import Entry, Source, load_catalogue
from edge.models.download import CutError, read_piece
from edge.models.fetch import Fetched, Fetcher
from edge.models.store import installed, verify

pytestmark = pytest.mark.integration
DEMO = Path(str(resources.files("edge") / "data" / "demo"))
CATALOGUE = """
[labels]
hosts = [{hosts}]
synset = "labels/synset.txt"

[toy]
title = "a toy"
top1 = 0.5
download_mib = 2
[[toy.source]]
kind = "checkpoint"
hosts = [{hosts}]
symbol = "a/demo-symbol.json"
params = "a/demo-0000.params"
sha1 = "{sha1}"
input = {{ size = 64, mean = [127.5, 127.5, 127.5], std = [127.5, 127.5, 127.5], short_side = 64 }}
"""


def files() -> dict[str, bytes]:
    return {
        "a/demo-symbol.json": (DEMO / "demo-symbol.json").read_bytes(),
        "a/demo-0000.params": (DEMO / "demo-0000.params").read_bytes(),
        "labels/synset.txt": (DEMO / "synset.txt").read_bytes(),
    }


def sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


@pytest.fixture
def server() -> Iterator[FileServer]:
    with serving(files()) as server:
        yield server


@pytest.fixture
def store(tmp_path: Path) -> Path:
    folder = tmp_path / "store"
    folder.mkdir()
    return folder


def write_catalogue(store: Path, *urls: str, checksum: str | None = None) -> None:
    hosts = ", ".join(f'"{url}"' for url in urls)
    checksum = sha1(files()["a/demo-0000.params"]) if checksum is None else checksum
    text = CATALOGUE.format(hosts=hosts, sha1=checksum)
    (store / "catalogue.toml").write_text(text, encoding="utf-8")


def no_conversion(source: Source, weights: Path, prefix: Path) -> None:
    raise AssertionError("nothing is to be converted")


class Run:
    """One fetch of the toy, with what it told."""

    def __init__(self, store: Path, **options: Any) -> None:
        self.told: list[str] = []
        self.seen: list[tuple[str, int, int | None]] = []
        self.store = store
        options.setdefault("timeout_s", 5.0)
        self.fetcher = Fetcher(store, progress=lambda *step: self.seen.append(step), tell=self.told.append, **options)

    @property
    def entry(self) -> Entry:
        return load_catalogue([self.store])["toy"]

    def fetch(self) -> Fetched:
        return self.fetcher.fetch(self.entry, no_conversion)


def is_complete(fetched: Fetched) -> bool:
    found = [path.read_bytes() for path in (fetched.checkpoint.symbol, fetched.checkpoint.params)]
    return found == [files()["a/demo-symbol.json"], files()["a/demo-0000.params"]]


def test_it_comes_with_progress_and_what_is_known_of_it(server: FileServer, store: Path) -> None:
    write_catalogue(store, server.url)
    run = Run(store)
    fetched = run.fetch()
    assert is_complete(fetched)
    assert (fetched.checkpoint.about.top1, fetched.checkpoint.input.size) == (0.5, 64)
    size = len(files()["a/demo-0000.params"])
    assert ("demo-0000.params", size, size) in run.seen
    assert "about 2 MiB to download. Meanwhile it takes 6 MiB of disk space" in run.told[0]
    assert any("synset.txt has no published checksum" in line for line in run.told)


def test_the_size_is_told_once_however_many_hosts_are_asked(server: FileServer, store: Path) -> None:
    write_catalogue(store, "http://127.0.0.1:9/", "http://127.0.0.1:10/", server.url)
    run = Run(store)
    assert is_complete(run.fetch())
    assert sum("MiB to download" in line for line in run.told) == 1


def test_from_a_folder_nothing_is_downloaded(tmp_path: Path, store: Path) -> None:
    write_catalogue(store, "http://127.0.0.1:9/")
    for name, content in files().items():
        (tmp_path / Path(name).name).write_bytes(content)
    run = Run(store, origin=str(tmp_path))
    assert is_complete(run.fetch())
    assert "about 2 MiB to copy. Meanwhile it takes 6 MiB" in run.told[0]


def test_a_cut_connection_is_taken_up_where_it_ended(server: FileServer, store: Path) -> None:
    write_catalogue(store, server.url)
    server.cut_after = 700_000
    assert is_complete(Run(store).fetch())
    assert [asked for path, asked in server.asked if path.endswith(".params")] == [
        "",
        "bytes=700000-",
        "bytes=1400000-",
    ]


def test_without_ranges_it_begins_anew(server: FileServer, store: Path) -> None:
    write_catalogue(store, server.url)
    server.cut_after, server.ranges = 700_000, False
    with pytest.raises(FetchError, match="cut"):
        Run(store).fetch()
    server.cut_after = None
    assert is_complete(Run(store).fetch())


def test_what_changed_meanwhile_is_not_glued_together(server: FileServer, store: Path) -> None:
    write_catalogue(store, server.url, checksum="")
    whole = server.files["a/demo-0000.params"]
    server.files["a/demo-0000.params"] = bytes(len(whole))
    server.cut_after = 400_000
    with pytest.raises(FetchError):
        Run(store).fetch()
    server.files["a/demo-0000.params"] = whole
    server.cut_after = None
    assert is_complete(Run(store).fetch())


def test_a_wrong_checksum_is_refused_and_the_next_host_asked(server: FileServer, store: Path) -> None:
    with serving(files()) as damaged:
        damaged.files["a/demo-0000.params"] = b"x" + damaged.files["a/demo-0000.params"][1:]
        write_catalogue(store, damaged.url, server.url)
        assert is_complete(Run(store).fetch())
    write_catalogue(store, server.url, checksum="0" * 40)
    with pytest.raises(FetchError, match="not the published file"):
        Run(store).fetch()


def test_a_file_without_a_checksum_is_pinned(server: FileServer, store: Path) -> None:
    write_catalogue(store, server.url, checksum="")
    run = Run(store)
    run.fetch()
    run.fetcher.clear(run.entry)
    assert sum("pinned now" in line for line in run.told) == 3
    server.files["a/demo-0000.params"] = b"x" + server.files["a/demo-0000.params"][1:]
    with pytest.raises(FetchError, match="differs from the file that was first fetched") as refused:
        Run(store).fetch()
    assert "pins.json" in str(refused.value)


def test_a_redirect_is_followed(server: FileServer, store: Path) -> None:
    with serving({}) as first:
        first.redirect_to = server.url
        write_catalogue(store, first.url)
        assert is_complete(Run(store).fetch())


@pytest.mark.parametrize("where", ["file:///etc/", "ftp://127.0.0.1:1/"])
def test_a_redirect_does_not_lead_to_files_of_this_machine(store: Path, where: str) -> None:
    with serving({}) as first:
        first.redirect_to = where
        write_catalogue(store, first.url)
        with pytest.raises(FetchError):
            Run(store).fetch()


@pytest.mark.parametrize("status", [403, 404, 500, 503])
def test_all_sources_dead_is_one_line_that_says_what_to_do(server: FileServer, store: Path, status: int) -> None:
    server.status = status
    write_catalogue(store, server.url, "http://127.0.0.1:9/")
    with pytest.raises(FetchError) as refused:
        Run(store).fetch()
    line = str(refused.value)
    assert f"HTTP status {status}" in line
    assert "Connection refused" in line
    assert "--from" in line
    assert "\n" not in line


def test_a_host_that_says_nothing_is_left(server: FileServer, store: Path) -> None:
    with serving(files()) as silent:
        silent.stall_after = 0
        write_catalogue(store, silent.url, server.url)
        assert is_complete(Run(store, timeout_s=0.3).fetch())


class BrokenResponse(io.BytesIO):
    """What a connection says when its network is gone, which is no ConnectionError."""

    def read(self, _size: int | None = -1) -> bytes:
        raise OSError(errno.EHOSTUNREACH, os.strerror(errno.EHOSTUNREACH))


def test_a_network_that_is_gone_is_not_the_disks_fault() -> None:
    with pytest.raises(CutError, match="No route to host"):
        read_piece(BrokenResponse())


def test_a_disk_without_room_is_said_before_it_starts(server: FileServer, store: Path) -> None:
    write_catalogue(store, server.url)
    with pytest.raises(FetchError, match="needs 6 MiB of disk and 5 MiB are free"):
        Run(store, room=lambda _folder: 5 * 2**20).fetch()
    assert server.asked == []


def test_from_a_folder_without_a_network(store: Path, tmp_path: Path) -> None:
    write_catalogue(store, "http://127.0.0.1:9/")
    stick = tmp_path / "stick"
    stick.mkdir()
    for path, data in files().items():
        (stick / path.rsplit("/", 1)[-1]).write_bytes(data)
    assert is_complete(Run(store, origin=str(stick)).fetch())


def test_from_a_mirror(server: FileServer, store: Path) -> None:
    write_catalogue(store, "http://127.0.0.1:9/")
    assert is_complete(Run(store, origin=server.url.rstrip("/")).fetch())


def test_a_password_in_an_address_is_not_told(server: FileServer, store: Path) -> None:
    write_catalogue(store, server.url)
    server.status = 404
    origin = server.url.replace("http://", "http://user:secret@")
    with pytest.raises(FetchError) as refused:
        Run(store, origin=origin).fetch()
    assert "secret" not in str(refused.value)


def test_two_at_once_do_not_write_into_one_file(server: FileServer, store: Path) -> None:
    write_catalogue(store, server.url)
    run = Run(store)

    def again(name: str, done: int, total: int | None) -> None:
        with pytest.raises(FetchError, match="already fetching"):
            Run(store).fetch()

    Fetcher(store, progress=again).fetch(run.entry, no_conversion)


# the whole command, with the examination in its child


def fetch_command(store: Path, *arguments: str) -> int:
    return main(["models", "fetch", "toy", "--store", str(store), *arguments])


def test_the_command_installs_it(server: FileServer, store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_catalogue(store, server.url)
    assert fetch_command(store) == 0
    (one,) = installed([store])
    assert (one.name, verify(one)) == ("toy", [])
    assert one.manifest is not None
    assert one.manifest.answer is not None
    assert one.manifest.answer.label == "guitar"
    assert "Installed toy" in capsys.readouterr().out
    assert not (store / ".fetch" / "toy").exists()


def test_a_refused_fetch_leaves_what_was_installed(
    server: FileServer, store: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_catalogue(store, server.url)
    assert fetch_command(store) == 0
    before = (store / "toy" / "manifest.json").read_bytes()
    damaged = bytearray(server.files["a/demo-0000.params"])
    damaged[len(damaged) // 2] ^= 0x40
    for break_it in ("checksum", "status", "symbol"):
        if break_it == "checksum":
            server.files["a/demo-0000.params"] = bytes(damaged)
        elif break_it == "status":
            server.files, server.status = files(), 404
        else:
            server.status = None
            (store / "pins.json").unlink()
            server.files["a/demo-symbol.json"] = b"{}"
        capsys.readouterr()
        assert fetch_command(store) in (69, 78)
        assert capsys.readouterr().err.strip().splitlines()[-1].startswith("edge: ")
        assert (store / "toy" / "manifest.json").read_bytes() == before
        assert verify(installed([store])[0]) == []


def test_killed_at_any_moment_it_is_all_or_what_was_before(
    server: FileServer, store: Path, tmp_path: Path, long: bool
) -> None:
    write_catalogue(store, server.url)
    server.chunk_s = 0.002
    command = [sys.executable, "-m", "edge", "models", "fetch", "toy", "--store", str(store)]
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    generator = random.Random(7)
    finished = 0
    for number in range(60 if long else 6):
        if number % 3 == 2:
            # the next one replaces an installed one
            server.files["a/demo-0000.params"] = files()["a/demo-0000.params"]
        child = subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        time.sleep(generator.uniform(0.1, 6.0))
        finished += child.poll() == 0
        child.send_signal(signal.SIGKILL)
        child.wait(20)
        for one in installed([store]):
            assert verify(one) == []
            assert one.manifest is not None
    server.chunk_s = 0.0
    assert fetch_command(store) == 0
    assert verify(installed([store])[0]) == []
    # nothing of the killed ones is left but what a next fetch would go on with
    assert not list(store.glob(".new-*"))


def test_a_proxy_is_used(server: FileServer, store: Path, tmp_path: Path) -> None:
    write_catalogue(store, "http://zoo.invalid/")
    with serving(files()) as proxy:
        environment = {**os.environ, "http_proxy": proxy.url, "XDG_RUNTIME_DIR": str(tmp_path), "no_proxy": ""}
        ran = subprocess.run(
            [sys.executable, "-m", "edge", "models", "fetch", "toy", "--store", str(store)],
            env=environment, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
        assert len(proxy.asked) == 3


@pytest.mark.system
@pytest.mark.root
def test_a_full_disk_leaves_the_old_one(server: FileServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "edge-test", str(small)], check=False).returncode:
        pytest.skip("this root may not mount")
    try:
        write_catalogue(small, server.url)
        assert fetch_command(small) == 0
        before = (small / "toy" / "manifest.json").read_bytes()
        (small / "ballast").write_bytes(bytes(8 * 2**20))
        assert fetch_command(small) in (69, 78)
        # without a word about its size it is noticed when the disk is full
        text = (small / "catalogue.toml").read_text().replace("download_mib = 2\n", "")
        (small / "catalogue.toml").write_text(text)
        server.files["a/demo-0000.params"] = bytes(6 * 2**20)
        assert fetch_command(small) in (69, 78)
        assert "free" in capsys.readouterr().err
        assert (small / "toy" / "manifest.json").read_bytes() == before
        assert verify(installed([small])[0]) == []
    finally:
        subprocess.run(["umount", str(small)], check=True)


def zipped(name: str, data: bytes) -> bytes:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as opened:
        opened.writestr(name, data)
    return archive.getvalue()


GLUON = """
[labels]
hosts = ["{url}"]
synset = "synset.txt"

[small]
top1 = 0.5
[[small.source]]
kind = "gluon"
hosts = ["{url}"]
name = "mobilenet0.25"
params = "gluon/models/mobilenet0.25-{short}.zip"
sha1 = "{sha1}"
input = {{ size = 128, mean = [123.675, 116.28, 103.53], std = [58.395, 57.12, 57.375] }}
"""


@pytest.fixture(scope="module")
def gluon_params(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """What the Gluon zoo's own writer makes of a network with random weights."""
    from edge.engines.mxnet_compat import import_mxnet

    mx = import_mxnet()
    mx.random.seed(3)
    network = mx.gluon.model_zoo.vision.get_model("mobilenet0.25")
    network.initialize(mx.init.Xavier())
    network(mx.nd.zeros((1, 3, 128, 128))).wait_to_read()
    path = tmp_path_factory.mktemp("gluon") / "net.params"
    network.save_parameters(str(path))
    return path.read_bytes()


def test_the_zoos_parameters_become_a_checkpoint(
    server: FileServer, store: Path, gluon_params: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    checksum = sha1(gluon_params)
    name = f"mobilenet0.25-{checksum[:8]}"
    server.files = {
        f"gluon/models/{name}.zip": zipped(f"{name}.params", gluon_params),
        "synset.txt": "".join(f"n{number:08} label {number}\n" for number in range(1000)).encode(),
    }
    text = GLUON.format(url=server.url, short=checksum[:8], sha1=checksum)
    (store / "catalogue.toml").write_text(text, encoding="utf-8")
    assert main(["models", "fetch", "small", "--store", str(store)]) == 0, capsys.readouterr().err
    (one,) = installed([store])
    assert one.manifest is not None
    # 470 thousand, as published
    assert 0.46e6 < one.manifest.parameters < 0.48e6
    assert main(["classify", "--model", str(one.folder), str(DEMO.parent / "known.png")]) == 0


@pytest.mark.parametrize("wrong", ["not a zip", "another name", "a path", "a damaged one"])
def test_a_zip_is_taken_only_for_what_it_should_be(
    server: FileServer, store: Path, gluon_params: bytes, wrong: str
) -> None:
    checksum = sha1(gluon_params)
    name = f"mobilenet0.25-{checksum[:8]}"
    damaged = bytearray(zipped(f"{name}.params", gluon_params))
    # the first byte after the file's header begins a block of a kind that there is not
    damaged[30 + len(f"{name}.params")] = 0x07
    archive = {
        "not a zip": b"PK nothing",
        "a damaged one": bytes(damaged),
        "another name": zipped("else.params", gluon_params),
        "a path": zipped(f"../{name}.params", gluon_params),
    }[wrong]
    server.files = {f"gluon/models/{name}.zip": archive, "synset.txt": b"n0 a\n"}
    text = GLUON.format(url=server.url, short=checksum[:8], sha1=checksum)
    (store / "catalogue.toml").write_text(text, encoding="utf-8")
    with pytest.raises(FetchError, match="is not a zip with"):
        Fetcher(store).fetch(load_catalogue([store])["small"], no_conversion)


def test_damaged_pins_are_told(server: FileServer, store: Path) -> None:
    write_catalogue(store, server.url, checksum="")
    (store / "pins.json").write_text("{")
    with pytest.raises(ModelError, match=r"pins\.json"):
        Run(store).fetch()
