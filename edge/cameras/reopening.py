"""A live camera that comes back: when it is lost, it is opened again and again in a thread, until it works."""

import threading
import time
from collections.abc import Callable

from edge.errors import CameraError
from edge.stages import Camera, Frame

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 5.0
"""Between two tries: the first, and what it doubles up to."""


class Reopening:
    """Gives a camera's frames, and none while the camera is lost."""

    live = True

    def __init__(self, open_: Callable[[], Camera], tell: Callable[[str], object]) -> None:
        """Open it. Raises CameraError when that fails: only what has worked is waited for."""
        self._open = open_
        self._tell = tell
        self._camera: Camera | None = open_()
        self.description = self._camera.description
        self._closed = threading.Event()
        self._opened: list[Camera] = []
        self._lock = threading.Lock()

    def read(self, timeout_s: float) -> Frame | None:
        if self._camera is None:
            with self._lock:
                self._camera = self._opened.pop() if self._opened else None
            if self._camera is None:
                time.sleep(timeout_s)
                return None
            self._tell(f"Camera: {self._camera.description} is back.")
        try:
            return self._camera.read(timeout_s)
        except CameraError as error:
            self._tell(f"{error} (it is tried again until it works)")
            lost, self._camera = self._camera, None
            threading.Thread(target=self._reopen, args=(lost,), name="camera", daemon=True).start()
            return None

    def close(self) -> None:
        self._closed.set()
        with self._lock:
            cameras, self._opened = self._opened, []
        for camera in (self._camera, *cameras):
            if camera is not None:
                camera.close()

    def _reopen(self, lost: Camera) -> None:
        lost.close()  # here, for a camera that hangs may hang in this too
        pause_s = FIRST_PAUSE_S
        while not self._closed.wait(pause_s):
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
            try:
                camera = self._open()
            except CameraError:
                continue  # it has been told that it is lost
            with self._lock:
                if not self._closed.is_set():
                    self._opened.append(camera)
                    return
            camera.close()
