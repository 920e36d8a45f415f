"""A camera that is lost comes back by itself."""

import threading

import pytest
from doubles import ScriptedCamera, frame
from rigs.processes import wait_until

from edge.cameras.reopening import Reopening
from edge.errors import CameraError
from edge.stages import Frame

Script = list[Frame | Exception | None]


class Socket:
    """Cameras that are plugged in one after the other; an exception: none can be opened."""

    def __init__(self, *scripts: Script | CameraError) -> None:
        self._scripts = list(scripts)
        self.cameras: list[ScriptedCamera] = []

    def open(self) -> ScriptedCamera:
        script = self._scripts.pop(0)
        if isinstance(script, CameraError):
            raise script
        self.cameras.append(ScriptedCamera(script))
        return self.cameras[-1]


def test_a_camera_that_was_never_there_is_an_error() -> None:
    with pytest.raises(CameraError, match="none"):
        Reopening(Socket(CameraError("none")).open, print)


def test_a_lost_camera_is_opened_until_it_works() -> None:
    lines: list[str] = []
    socket = Socket([frame(0), CameraError("unplugged")], CameraError("not there"), [frame(7)])
    camera = Reopening(socket.open, lines.append)
    assert camera.read(0.01) is not None
    assert camera.read(0.01) is None
    back = wait_until(lambda: camera.read(0.01))
    assert back is not None
    assert back.sequence == 7
    assert [one.closed for one in socket.cameras] == [True, False]
    assert lines == [
        "unplugged (it is tried again until it works)",
        "Camera: a scripted camera is back.",
    ]
    camera.close()
    assert socket.cameras[1].closed
    wait_until(lambda: not any(thread.name == "camera" for thread in threading.enumerate()))


def test_closed_while_it_is_lost() -> None:
    socket = Socket([CameraError("unplugged")], [frame(1)])
    camera = Reopening(socket.open, lambda line: None)
    assert camera.read(0.01) is None
    camera.close()
    camera.close()
    wait_until(lambda: not any(thread.name == "camera" for thread in threading.enumerate()))
    assert all(one.closed for one in socket.cameras)
