"""A network camera on the loopback that sends its pictures as one real camera or another does, or says why not."""

import base64
import http.server
import random
import time
from collections import Counter
from collections.abc import Callable

import cv2
import numpy as np
from rigs.camera import HEIGHT, WIDTH, scene
from rigs.http import Server

USER, PASSWORD = "me", "p@ss/w%rd"
MULTIPART = "multipart/x-mixed-replace; boundary=frame"


def jpeg(number: int, scale: int = 1) -> bytes:
    picture = cv2.resize(scene(number), (WIDTH * scale, HEIGHT * scale), interpolation=cv2.INTER_NEAREST)
    return cv2.imencode(".jpg", np.ascontiguousarray(picture[..., ::-1]))[1].tobytes()


class WebCamera(Server):
    """Its path is the kind; a query may follow. Each kind is a method of the handler."""

    def __init__(self) -> None:
        super().__init__(0, _Handler)
        self.asked: list[str] = []
        self.rate_hz = 20.0
        self.picture = jpeg
        """Returns the JPEG with a number, for the kind `standard`."""
        self.kind = "standard"
        """The kind that `changing` is now."""
        self.happened: Counter[str] = Counter()
        """The events of the `day` so far."""
        self.silent_s = 1.0
        """The `read_timeout_s` of the watcher."""
        self.rng = random.Random(1)

    def url(self, kind: str, user: str = "") -> str:
        return f"http://{user}127.0.0.1:{self.server_port}/{kind}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is no news."""


class _Handler(http.server.BaseHTTPRequestHandler):
    server: WebCamera
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Write nothing to the terminal."""

    def do_GET(self) -> None:
        self.close_connection = True
        kind = self.path.strip("/").partition("?")[0]
        self.server.asked.append(kind)
        getattr(self, f"_{kind}", lambda: self._answer(404))()

    def _answer(self, code: int, body: bytes = b"", kind: str = "text/plain", **headers: str) -> None:
        self.send_response(code)
        if kind:
            self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _stream(self, part: Callable[[int], bytes], kind: str = MULTIPART, *, chunked: bool = False) -> None:
        self.send_response(200)
        if kind:
            self.send_header("Content-Type", kind)
        if chunked:
            self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        number, now = 0, self.server.kind
        while not self.server.over.wait(1 / self.server.rate_hz) and self.server.kind == now:
            data = part(number)
            self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data) if chunked else data)
            number += 1

    # ---- kinds that show pictures

    def _standard(self) -> None:
        self._stream(lambda k: part(self.server.picture(k)))

    def _chunked(self) -> None:
        self._stream(lambda k: part(jpeg(k)), chunked=True)

    def _packets(self) -> None:
        """As over a network, a packet after the other."""

        def sent(number: int) -> bytes:
            whole, size = part(jpeg(number)), 100
            for at in range(0, len(whole) - size, size):
                self.wfile.write(whole[at : at + size])
                time.sleep(0.0005)
            return whole[-(len(whole) % size or size) :]

        self._stream(sent)

    def _esp32(self) -> None:
        self._stream(lambda k: part(jpeg(k), before=b"", after=b"\r\n--frame\r\n"))

    def _image_jpg(self) -> None:
        self._stream(lambda k: part(jpeg(k), "image/jpg"))

    def _no_type(self) -> None:
        self._stream(lambda k: part(jpeg(k), ""))

    def _no_length(self) -> None:
        self._stream(lambda k: part(jpeg(k), length=False))

    def _bare_parts(self) -> None:
        self._stream(lambda k: b"--frame\r\n\r\n" + jpeg(k) + b"\r\n")

    def _other_boundary(self) -> None:
        self._stream(lambda k: part(jpeg(k), before=b"--another\r\n"))

    def _dashes(self) -> None:
        self._stream(lambda k: part(jpeg(k)), "multipart/x-mixed-replace;boundary=--frame")

    def _unix_lines(self) -> None:
        self._stream(lambda k: part(jpeg(k)).replace(b"\r\n", b"\n", 4))

    def _untyped(self) -> None:
        self._stream(lambda k: part(jpeg(k)), "")

    def _raw(self) -> None:
        self._stream(jpeg, "video/x-motion-jpeg")

    def _raw_image(self) -> None:
        self._stream(jpeg, "image/jpeg")

    def _resize(self) -> None:
        self._stream(lambda k: part(jpeg(k, 2 if k >= 5 else 1)))

    def _other_parts(self) -> None:
        self._stream(lambda k: part(b'{"motion": false}', "application/json") + part(jpeg(k)))

    def _snapshot(self) -> None:
        self._answer(200, jpeg(len(self.server.asked)), "image/jpeg")

    def _snapshot_chunked(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        data = jpeg(len(self.server.asked))
        self.wfile.write(b"%x\r\n%s\r\n0\r\n\r\n" % (len(data), data))

    def _snapshot_as_text(self) -> None:
        self._answer(200, jpeg(len(self.server.asked)), "text/html")

    def _snapshot_without_end(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "image/jpeg")
        self.end_headers()
        self.wfile.write(jpeg(len(self.server.asked)))
        self.server.over.wait(60)

    def _single_parts(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", MULTIPART)
        self.end_headers()
        self.wfile.write(part(jpeg(len(self.server.asked))) + b"--frame--\r\n")

    def _png(self) -> None:
        drawing = [cv2.imencode(".png", np.ascontiguousarray(scene(k)[..., ::-1]))[1].tobytes() for k in range(40)]
        self._stream(lambda k: part(drawing[k % 40], "image/png", length=False))

    def _lines_as_text(self) -> None:
        self._stream(lambda k: part(jpeg(k)), "text/html")

    def _digest_wrong(self) -> None:
        self._answer(401, WWW_Authenticate='Digest realm="cam", nonce="1", qop="auth", algorithm=MD5')

    def _digest_of_several(self) -> None:
        given = self.headers.get("Authorization", "")
        if given.startswith("Digest") and "SHA-256" in given:
            self._standard()
            return
        self.send_response(401)
        for scheme in ('Basic realm="cam"', 'Digest realm="cam", nonce="1", qop="auth", algorithm="SHA-256"'):
            self.send_header("WWW-Authenticate", scheme)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _snapshot_untyped(self) -> None:
        self._answer(200, jpeg(len(self.server.asked)), "")

    def _moved(self) -> None:
        self._answer(302, Location="/standard")

    def _basic(self) -> None:
        right = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.headers.get("Authorization") == right:
            self._standard()
        else:
            self._answer(401, WWW_Authenticate='Basic realm="cam"')

    def _digest(self) -> None:
        if f'username="{USER}"' in self.headers.get("Authorization", ""):
            self._standard()
        else:
            self._answer(401, WWW_Authenticate='Digest realm="cam", nonce="1", qop="auth"')

    def _changing(self) -> None:
        """Whatever `kind` of the server says at the moment."""
        getattr(self, f"_{self.server.kind}", lambda: self._answer(404))()

    def _day(self) -> None:
        """What happens to a camera in a day: it drops, changes its size, sends broken pictures, and is busy."""
        server, rng = self.server, self.server.rng
        if rng.random() < 0.2:
            server.happened["refused"] += 1
            self._answer(rng.choice((401, 404, 500, 503)))
            return
        self.send_response(200)
        self.send_header("Content-Type", MULTIPART)
        self.end_headers()
        scale = 1
        while not server.over.wait(1 / server.rate_hz):
            # each event is followed by a good picture: between two events frames must go on
            self.wfile.write(part(jpeg(server.happened.total() % 512, scale)))
            what = rng.choices(tuple(DAY), tuple(DAY.values()))[0]
            server.happened[what] += 1
            if what == "size":
                scale = 3 - scale
                continue
            if what == "silent":
                server.over.wait(2 * server.silent_s)
                return
            whole = part(jpeg(server.happened.total() % 512, scale))
            if what == "drop":
                self.wfile.write(whole[: rng.randrange(len(whole))])
                return
            self.wfile.write(_broken(what, jpeg(0, scale), rng))

    # ---- kinds that show none

    def _login(self) -> None:
        self._answer(200, b"<html><body>login</body></html>", "text/html")

    def _page_without_type(self) -> None:
        self._answer(200, b"<!DOCTYPE html><html></html>", "")

    def _odd_pictures(self) -> None:
        self._answer(200, b"GIF89a" + bytes(99), "image/gif")

    def _drawing(self) -> None:
        self._answer(200, b'<svg xmlns="http://www.w3.org/2000/svg"/>', "image/svg+xml")

    def _json(self) -> None:
        self._answer(200, b"{}", "application/json")

    def _bearer(self) -> None:
        self._answer(401, WWW_Authenticate='Bearer realm="cam"')

    def _forbidden(self) -> None:
        self._answer(403)

    def _busy(self) -> None:
        self._answer(503)

    def _broken(self) -> None:
        self._answer(500)

    def _round(self) -> None:
        self._answer(302, Location="/round")

    def _away(self) -> None:
        self._answer(302, Location="ftp://127.0.0.1/x")

    def _mute(self) -> None:
        self.server.over.wait(60)

    def _empty(self) -> None:
        self._answer(200, b"", "image/jpeg")

    def _head_only(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", MULTIPART)
        self.end_headers()
        self.server.over.wait(60)

    def _hangs_up(self) -> None:
        """Close without an answer."""

    def _slow(self) -> None:
        """One picture, and then nothing for longer than a watcher waits."""
        self.send_response(200)
        self.send_header("Content-Type", MULTIPART)
        self.end_headers()
        self.wfile.write(part(jpeg(0)))
        self.server.over.wait(60)

    def _drips(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", MULTIPART)
        self.end_headers()
        while not self.server.over.is_set():
            self.wfile.write(b"-")
            self.wfile.flush()
            time.sleep(0.05)

    def _endless(self) -> None:
        self._stream(lambda k: bytes(2**20) if k else b"--frame\r\n\r\n\xff\xd8\xff\xe0")

    def _huge(self) -> None:
        self._stream(lambda _k: b"--frame\r\nContent-Length: 999999999\r\n\r\n")


DAY = {
    "cut": 25, "bytes": 25, "length": 10, "no length": 5, "text": 5, "empty": 5, "size": 22, "drop": 2.5, "silent": 0.5,
}  # fmt: skip
"""Event of the `day` -> how often it happens, in percent."""


def _broken(what: str, whole: bytes, rng: random.Random) -> bytes:
    """A part with a fault in it."""
    at = rng.randrange(20, len(whole))
    match what:
        case "cut":
            return part(whole[:at])
        case "bytes":
            return part(whole[:at] + rng.randbytes(20) + whole[at + 20 :])
        case "length":
            said = len(whole) + rng.randrange(-200, 200)
            return part(whole).replace(f"Length: {len(whole)}".encode(), f"Length: {said}".encode())
        case "no length":
            return part(whole[:at], length=False)
        case "text":
            return part(b"busy", "text/plain")
        case _:
            return part(b"")


def part(
    data: bytes,
    kind: str = "image/jpeg",
    *,
    before: bytes = b"--frame\r\n",
    after: bytes = b"\r\n",
    length: bool = True,
) -> bytes:
    head = f"Content-Type: {kind}\r\n" if kind else ""
    head += f"Content-Length: {len(data)}\r\n" if length else ""
    return before + head.encode() + b"\r\n" + data + after


SHOWN = (
    "standard", "chunked", "esp32", "image_jpg", "no_type", "no_length", "bare_parts", "other_boundary", "dashes",
    "unix_lines", "untyped", "raw", "raw_image", "resize", "other_parts", "snapshot", "snapshot_chunked",
    "snapshot_untyped", "snapshot_as_text", "snapshot_without_end", "single_parts", "png", "lines_as_text", "moved",
)  # fmt: skip
TOLD = {
    "login": "it sends a web page, and no pictures; check the address",
    "page_without_type": "it sends a web page",
    "odd_pictures": "it sends pictures, but damaged ones or of a format that edge does not know",
    "drawing": "it sends text instead of a picture",
    "json": "it sends JSON, and no pictures",
    "basic": r"it wants a user and a password \(401 Unauthorized\); write them as //USER:PASSWORD@",
    "bearer": "it wants a user and a password",
    "forbidden": r"it does not allow this \(403 Forbidden\)",
    "busy": r"the server is busy \(503 Service Unavailable\)",
    "broken": r"the server reports its own error \(500 Internal Server Error\)",
    "missing": r"there is nothing at this address \(404 Not Found\)",
    "round": r"from one address to another and back \(302 Found\)",
    "away": "it is no address that can be used|from one address to another",
    "mute": r"nothing came from 127\.0\.0\.1:[0-9]+ within 4\.8 s",
    "empty": "it ended the answer without a picture",
    "head_only": "it answered, but sent no picture",
    "hangs_up": r"hung up without an answer; is it https:// or rtsp://\?",
    "drips": r"it sends something, but no picture came within 4\.8 s|something else than pictures",
    "endless": "a part of more than 16 MiB",
    "huge": "a part of more than 16 MiB",
}
"""Kind -> what the user is told, with `open_timeout_s` = 3."""
