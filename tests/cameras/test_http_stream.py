"""Network cameras as they are: each shows its pictures, or the user is told what is wrong, in words of its own."""

import re
import shutil
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import cv2
import numpy as np
import pytest
from rigs.camera import HEIGHT, is_red, number_in, write_clip
from rigs.http import FileServer, running
from rigs.processes import PATIENCE_S, wait_until
from rigs.web_camera import PASSWORD, SHOWN, TOLD, USER, WebCamera, jpeg, part

from edge.cameras import open_camera
from edge.cameras.multipart import MOST_BYTES, PictureSplitter, StreamError
from edge.errors import CameraError
from edge.settings import CameraSettings
from edge.stages import Camera

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def no_proxy_and_no_threads(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    yield
    wait_until(lambda: not any(thread.name.startswith("grabber") for thread in threading.enumerate()))


@pytest.fixture
def server() -> Iterator[WebCamera]:
    with running(WebCamera()) as server:
        yield server


def opened(url: str, open_timeout_s: float = 20.0) -> Camera:
    return open_camera(CameraSettings(source=url, open_timeout_s=open_timeout_s, read_timeout_s=2, max_fps=20))


def told(url: str) -> str:
    quick = not url.endswith(("endless", "huge", "odd_pictures", "drawing"))  # these are told because of what they send
    with pytest.raises(CameraError) as caught:
        # on a busy machine the camera's process needs a second to say what it has found in its share of the time
        opened(url, 6.0 if quick else 9.0).close()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.integration
@pytest.mark.parametrize("kind", SHOWN)
def test_a_camera_shows_its_pictures(kind: str, server: WebCamera) -> None:
    with closing(opened(server.url(kind))) as camera:
        seen: list[int] = []
        sizes = set()
        until_s = time.monotonic() + PATIENCE_S
        while len(seen) < 12 and time.monotonic() < until_s:
            frame = camera.read(1)
            if frame is None:
                continue
            sizes.add(frame.pixels.shape[0])
            if frame.pixels.shape[0] == HEIGHT:
                assert is_red(frame)
                seen.append(number_in(frame))
            else:
                seen.append(max(seen, default=0) + 1)
        assert len(seen) == 12
        assert seen == sorted(set(seen))
        assert sizes == ({HEIGHT, 2 * HEIGHT} if kind == "resize" else {HEIGHT})
        assert ("one picture" in camera.description) == kind.startswith("snapshot")
        if kind == "single_parts":
            assert len(server.asked) >= 12


@pytest.mark.integration
@pytest.mark.parametrize("kind", TOLD)
def test_a_camera_without_pictures_is_told_in_its_own_words(kind: str, server: WebCamera) -> None:
    began_s = time.monotonic()
    assert re.search(TOLD[kind], line := told(server.url(kind, "x:geheim@" if kind == "missing" else ""))), line
    assert "geheim" not in line
    assert time.monotonic() - began_s < 10


@pytest.mark.integration
@pytest.mark.parametrize("kind", ["basic", "digest", "digest_of_several"])
def test_user_and_password_of_the_address(kind: str, server: WebCamera) -> None:
    with closing(opened(server.url(kind, f"{USER}:{quote(PASSWORD, safe='')}@"))) as camera:
        assert wait_until(lambda: camera.read(1))
        assert PASSWORD not in camera.description
    if kind == "basic":
        assert "it refuses this user and password (401 Unauthorized)" in told(server.url(kind, "me:wrong@"))
    assert "in a way that edge does not know" in told(server.url("bearer", "me:wrong@"))


@pytest.mark.integration
def test_a_wrong_password_is_tried_once(server: WebCamera) -> None:
    """Many cameras lock a user after five wrong ones."""
    assert "it refuses this user and password" in told(server.url("digest_wrong", "me:wrong@"))
    assert len(server.asked) == 2  # without it, and with it


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate that nobody but the camera itself has signed."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl")
    path = tmp_path / "camera.pem"
    command = "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=camera -keyout key.pem -out cert.pem"
    subprocess.run(command.split(), cwd=tmp_path, check=True, capture_output=True, timeout=60)
    path.write_bytes((tmp_path / "key.pem").read_bytes() + (tmp_path / "cert.pem").read_bytes())
    return path


@pytest.mark.integration
def test_a_certificate_of_its_own_is_told(certificate: Path, server: WebCamera) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    with closing(opened(server.url("standard").replace("http:", "https:"))) as camera:
        assert wait_until(lambda: camera.read(1))
        assert camera.description.endswith("/standard (its certificate is not trusted)")
    assert re.search("is it https:// or rtsp://|does not speak HTTP", told(server.url("standard")))


@pytest.mark.integration
def test_wrong_addresses(server: WebCamera, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "does not speak TLS as it should; is it http://?" in told(server.url("standard").replace("http:", "https:"))
    assert "nothing listens at 127.0.0.1:1; check the port" in told("http://127.0.0.1:1/")
    assert "the name camera.invalid is not known" in told("http://camera.invalid/")
    for odd in ("http://127.0.0.1:99999/", "http://[::1/", "http://", "http://127.0.0.1:x/", "http://\u00ad.x/"):
        assert re.search("is no address|has no name|is not known", told(odd)), odd
    with socket.create_server(("127.0.0.1", 0)) as other:

        def greet() -> None:
            with other.accept()[0] as client:
                client.sendall(b"SSH-2.0-OpenSSH\r\n")
                client.recv(4096)

        thread = threading.Thread(target=greet)
        thread.start()
        assert "does not speak HTTP" in told(f"http://127.0.0.1:{other.getsockname()[1]}/")
        thread.join()
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    line = told(server.url("standard"))
    assert "the proxy of http_proxy cannot be used" in line
    assert "set no_proxy=127.0.0.1" in line
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    opened(server.url("standard")).close()


@pytest.mark.integration
def test_a_picture_is_asked_for_max_fps_times_a_second(server: WebCamera) -> None:
    settings = CameraSettings(source=server.url("snapshot"), max_fps=5)
    with closing(open_camera(settings)) as camera:
        wait_until(lambda: camera.read(1) and len(server.asked) >= 4)
        asked, began_s = len(server.asked), time.monotonic()
        wait_until(lambda: len(server.asked) >= asked + 10)
        assert (len(server.asked) - asked - 1) / (time.monotonic() - began_s) < 5.5


@pytest.mark.integration
def test_the_rest_of_a_picture_is_waited_for_at_once(server: WebCamera, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not a packet at a time: each would wake a thread."""
    sizes: list[int] = []
    feed = PictureSplitter.feed

    def counted(splitter: PictureSplitter, data: bytes) -> list[bytes]:
        sizes.append(len(data))
        return feed(splitter, data)

    monkeypatch.setattr(PictureSplitter, "feed", counted)
    with closing(opened(server.url("packets"))) as camera:
        for _ in range(3):
            assert wait_until(lambda: camera.read(1))
        sizes.clear()
        first = last = wait_until(lambda: camera.read(1))
        for _ in range(5):
            last = wait_until(lambda: camera.read(1))
        assert first
        assert last
        pictures = last.sequence - first.sequence
        assert is_red(last)
        # its head with the first packet, what is left of it, and what comes after it
        assert len(sizes) <= 4 * (pictures + 2)


@pytest.mark.integration
def test_a_stream_of_another_kind_is_left_to_opencv(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", 50, 25, "MJPG").read_bytes()
    with running(FileServer({"clip.avi": clip})) as files, closing(opened(f"{files.url}clip.avi")) as camera:
        assert wait_until(lambda: camera.read(1))


def pictures_of(data: bytes, boundary: str = "frame", step: int = 1) -> list[bytes]:
    splitter = PictureSplitter(boundary)
    return [picture for at in range(0, len(data), step) for picture in splitter.feed(data[at : at + step])]


def test_changed_at_random(long: bool) -> None:
    """100,000 files of labels and streams with --long. Each ends well, in 5 s and 64 MiB."""
    runs = 100_000 if long else 1_000
    command = [sys.executable, str(ROOT / "scripts" / "fuzz_streams.py"), "--runs", str(runs), "--seed", "1"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{runs} inputs" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("step", [1, 7, 100, 10**6])
def test_pictures_are_found_however_the_bytes_come(step: int) -> None:
    pictures = [jpeg(number) for number in range(3)]
    end = b"--frame--\r\n"
    for data in (
        b"".join(map(part, pictures)) + end,
        b"".join(part(one, before=b"", after=b"\r\n--frame\r\n") for one in pictures),
        b"".join(part(one, length=False) for one in pictures) + end,
        b"".join(b"--frame\r\n\r\n" + one + b"\r\n" for one in pictures) + end,
        b"junk\r\n" + b"".join(map(part, pictures)),
    ):
        assert pictures_of(data, step=step) == pictures
        assert pictures_of(data, "", step) == pictures
    assert pictures_of(b"".join(pictures), "", step) == pictures


@pytest.mark.parametrize("step", [1, 1000, 10**6])
def test_parts_that_are_not_as_they_should_be(step: int) -> None:
    """As cameras and small web servers send them; pictures of more than 16 KiB, as a camera's are."""
    rng = np.random.default_rng(1)
    noise = [rng.integers(0, 255, (160, 160, 3), np.uint8) for _ in range(3)]
    pictures = [cv2.imencode(".jpg", one)[1].tobytes() for one in noise]
    assert min(map(len, pictures)) > 2**14
    small = jpeg(0)
    exif = b"\xff\xe1" + (len(small) + 2).to_bytes(2, "big") + small
    with_small = [one[:2] + exif + one[2:] for one in pictures]
    without_end = [one[:-2] for one in pictures]
    drawings = [cv2.imencode(".png", one)[1].tobytes() for one in noise]
    right = str(len(pictures[0])).encode()
    end = b"--frame\r\n"
    for found, data in (
        (pictures, b"".join(part(one).replace(b"\r\n\r\n", b"\r\n\r\n\r\n", 1) for one in pictures)),
        (pictures, b"".join(part(one + bytes(2**15)) for one in pictures)),
        (pictures, b"".join(part(one).replace(str(len(one)).encode(), b"0", 1) for one in pictures)),
        (pictures, b"".join(part(one).replace(str(len(one)).encode(), b"9000", 1) for one in pictures)),
        (pictures, b"".join(part(one).replace(str(len(one)).encode(), b"70000", 1) for one in pictures)),
        (pictures, b"".join(part(one, after=b"\r\n--frame--\r\n") for one in pictures)),
        (pictures, b"".join(part(one).replace(b"Length:", b"length :") for one in pictures)),
        (pictures, b"".join(b"%s\r\n\r\n%s" % (right, one) for one in pictures)),
        (with_small, b"".join(map(part, with_small))),
        (with_small, b"".join(with_small)),
        (without_end, b"".join(map(part, without_end)) + end),
        (without_end[:-1], b"".join(without_end)),
        (drawings, b"".join(part(one, "image/png") for one in drawings)),
        (drawings, b"".join(part(one, "image/png", length=False) for one in drawings) + end),
    ):
        assert [one.rstrip(b"\r\n") for one in pictures_of(data, step=step)] == found


def test_a_wrong_length_costs_one_picture() -> None:
    pictures = [jpeg(number) for number in range(4)]
    short = part(pictures[1]).replace(b"Content-Length: ", b"Content-Length: 1", 1)  # longer than it is
    wrong = part(pictures[1]).replace(f"Content-Length: {len(pictures[1])}".encode(), b"Content-Length: 50")
    for damaged in (short[: short.index(b"\r\n\r\n")] + b"\r\n\r\n", wrong):
        found = pictures_of(part(pictures[0]) + damaged + b"".join(map(part, pictures * 60)))
        assert found[0] == pictures[0]
        assert found[-4:] == pictures


def test_how_many_bytes_are_missing_is_known_while_the_heads_are_right() -> None:
    picture = jpeg(0)
    right, wrong = part(picture), part(picture).replace(b"Content-Length: ", b"Content-Length: 1")
    splitter = PictureSplitter("frame")
    missing = []
    for one in (right, right, wrong, right, right, part(picture, length=False), right, right):
        splitter.feed(one[:200])
        missing.append(splitter.missing)
        splitter.feed(one[200:])
        assert splitter.missing == 0
    left = len(right) - 200 - len(b"\r\n")
    lie = int(f"1{len(picture)}") - (200 - wrong.index(picture))
    assert missing == [0, left, lie, 0, left, 0, 0, left]


def test_what_is_no_stream_of_pictures_ends() -> None:
    for data in (b"x" * 2**16, b"x\n" * 2**16, b"\xff\xd8" + bytes(MOST_BYTES), b"Content-Length: 99999999\r\n"):
        with pytest.raises(StreamError):
            pictures_of(data, step=2**16)


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@pytest.mark.integration
def test_the_kinds_that_went_wrong(shared: Path) -> None:
    program = shared / "cases" / "camera_server.py"
    if not program.exists():
        pytest.skip("needs ../shared/cases")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with subprocess.Popen([sys.executable, str(program), str(port)], cwd=ROOT, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: answers(port))
            for kind in ("standard", "no_type", "image_jpg", "esp32", "resize", "snapshot.jpg", "slow"):
                with closing(opened(f"http://127.0.0.1:{port}/{kind}")) as camera:
                    for _ in range(3):
                        assert wait_until(lambda: camera.read(1)), kind
                        if kind == "slow":
                            break
                    if kind == "slow":
                        with pytest.raises(CameraError, match=r"read_timeout_s"):
                            wait_until(lambda: camera.read(1) and None)
            lines = {kind: told(f"http://me:geheim@127.0.0.1:{port}/{kind}") for kind in (
                "login", "unauthorized", "busy", "missing")}  # fmt: skip
            assert len({line.partition(": ")[2] for line in lines.values()}) == 4
            assert not any("geheim" in line for line in lines.values())
        finally:
            process.terminate()
