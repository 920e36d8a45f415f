"""A camera that can be paused."""

import time

from edge.cameras.process import ProcessCamera
from edge.stages import Camera, Frame


class PausableCamera:
    """Gives a camera's frames, and none while paused. A paused live camera is closed, not just ignored."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self.description = camera.description
        self.live = camera.live
        self.paused = isinstance(camera, ProcessCamera) and camera.paused

    @property
    def waits(self) -> bool:
        """Return True if missing frames are normal now: it is paused, being opened, lost and retried, or not live."""
        camera = self._camera
        return (
            self.paused or not self.live or (isinstance(camera, ProcessCamera) and (camera.missing or camera.opening))
        )

    @property
    def lost(self) -> bool:
        """Return True while it gives no frames because of a fault, and is opened again and again."""
        return isinstance(self._camera, ProcessCamera) and self._camera.missing and not self.paused

    def wait_until_open(self) -> None:
        """Wait until a camera is open that was opened without waiting. Raises CameraError as `open_lasting` does."""
        if isinstance(self._camera, ProcessCamera):
            self._camera.wait_until_open()
            self.description = self._camera.description

    def read(self, timeout_s: float) -> Frame | None:
        if self.paused:
            time.sleep(timeout_s)
            return None
        frame = self._camera.read(timeout_s)
        self.description = self._camera.description  # known only once it is open
        return frame

    def set_shut(self, paused: bool) -> None:
        """Close the camera, or open it again."""
        if paused == self.paused:
            return
        self.paused = paused
        if isinstance(self._camera, ProcessCamera):
            if paused:
                self._camera.pause()
            else:
                self._camera.resume()

    def reopen(self, why: str) -> None:
        """Treat a live camera as lost, for the reason `why`, and reopen it."""
        if isinstance(self._camera, ProcessCamera):
            self._camera.reopen(why)

    def close(self) -> None:
        self._camera.close()
