"""A camera that can be told not to look."""

import time

from edge.cameras.process import ProcessCamera
from edge.stages import Camera, Frame


class PausableCamera:
    """Gives a camera's frames, and none while it is shut: then a live camera is closed, not just ignored."""

    def __init__(self, camera: Camera) -> None:
        self._camera = camera
        self.description = camera.description
        self.live = camera.live
        self.paused = isinstance(camera, ProcessCamera) and camera.paused

    @property
    def waits(self) -> bool:
        """Whether no frame is to be expected now: shut, being opened, lost and tried again, or played at a pace."""
        camera = self._camera
        return (
            self.paused or not self.live or (isinstance(camera, ProcessCamera) and (camera.missing or camera.opening))
        )

    def read(self, timeout_s: float) -> Frame | None:
        if self.paused:
            time.sleep(timeout_s)
            return None
        frame = self._camera.read(timeout_s)
        self.description = self._camera.description  # known only when it is open
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
        """Take a live camera for lost."""
        if isinstance(self._camera, ProcessCamera):
            self._camera.reopen(why)

    def close(self) -> None:
        self._camera.close()
