"""Lines that libraries write to standard error by themselves go to the debug log."""

import json
import logging
import os
import shutil
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import cv2
import pytest
from rigs.stores import DEMO

from edge.host.noise import quiet

KNOWN = DEMO.parent / "known.png"


def test_what_is_written_in_the_block_is_logged(
    capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    with caplog.at_level(logging.DEBUG, "edge"):
        for _ in range(100):
            with quiet():
                os.write(2, b"Corrupt JPEG data\n\nmore \xff\n")
        os.write(2, b"after\n")
    assert caplog.messages == ["Corrupt JPEG data", "more \ufffd"] * 100
    assert capfd.readouterr().err == "after\n"
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors


def test_blocks_of_several_threads(capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    inside, leave = threading.Barrier(4), threading.Event()

    def work() -> None:
        with quiet():
            inside.wait(10)
            os.write(2, b"noise\n")
            assert leave.wait(10)

    threads = [threading.Thread(target=work) for _ in range(3)]
    with caplog.at_level(logging.DEBUG, "edge"):
        for thread in threads:
            thread.start()
        inside.wait(10)
        with quiet(), pytest.raises(ZeroDivisionError):
            _ = 1 // 0
        leave.set()
        for thread in threads:
            thread.join()
    assert caplog.messages == ["noise"] * 3
    os.write(2, b"after\n")
    assert capfd.readouterr().err == "after\n"


def png_with_a_bad_profile() -> bytes:
    png = KNOWN.read_bytes()
    content = b"iCCPx\0\0" + zlib.compress(bytes(200))
    size = (len(content) - 4).to_bytes(4, "big")
    return png[:33] + size + content + zlib.crc32(content).to_bytes(4, "big") + png[33:]


def jpeg_with_more_bytes() -> bytes:
    jpeg = cv2.imencode(".jpg", cv2.imread(str(KNOWN)))[1].tobytes()
    start = jpeg.index(b"\xff\xda")
    return jpeg[:start] + bytes(20) + jpeg[start:]


@pytest.mark.integration
@pytest.mark.parametrize("engine", ["mxnet", "onnx"])
def test_commands_are_quiet_unless_the_debug_log_is_wanted(engine: str, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png_with_a_bad_profile())
    (tmp_path / "b.jpg").write_bytes(jpeg_with_more_bytes())
    model = Path(shutil.copytree(DEMO, tmp_path / "model"))
    symbol = json.loads((model / "demo-symbol.json").read_text())
    symbol["attrs"] = {"mxnet_version": ["int", 800]}
    (model / "demo-symbol.json").write_text(json.dumps(symbol))
    command = [
        sys.executable,
        "-m",
        "edge",
        "classify",
        "--model",
        str(model / "demo"),
        "--engine",
        engine,
        "--top",
        "1",
    ]
    words = ["libpng warning: iCCP", "Corrupt JPEG data"] + ["upgrade"] * (engine == "mxnet")
    for debug in (False, True):
        done = subprocess.run(
            [*command, *(["--debug"] if debug else []), str(tmp_path / "a.png"), str(tmp_path / "b.jpg")],
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("guitar") == 2
        missing = [word for word in words if word not in done.stderr]
        assert missing == ([] if debug else words), done.stderr
        assert not debug or all(f"edge: {word}" in done.stderr for word in words[:2])
