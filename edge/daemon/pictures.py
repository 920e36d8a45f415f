"""Makes the pictures for the clients that look: at most five a second for all of them, and none while none looks.

A thread for each picture turns the frame into a JPEG, so that the loop only copies the frame.
"""

import base64
import threading
import time
from datetime import timedelta

from edge.daemon.viewers import Viewers
from edge.host.clock import local_time
from edge.host.control_client import line_of
from edge.stages import Frame, Pixels
from edge.vision.focus import FocusMeter, read
from edge.vision.images import fitted, jpeg

EVERY_S = 0.2
"""Time between two pictures."""
_EARLY_S = 0.03
"""A frame that comes this much too early is taken: otherwise a rate that is no multiple would lose many."""
LONGEST_SIDE = 640
"""Width or height of a picture in pixels, at most."""
QUALITY = 80
"""Quality of the JPEG, 0..100."""


class Pictures:
    """Turns frames into lines for the viewers. For the loop's thread."""

    def __init__(self, viewers: Viewers) -> None:
        self._viewers = viewers
        self._due_s = 0.0
        self._round = -1
        self._meter = FocusMeter()
        self._thread: threading.Thread | None = None

    def take(self, frame: Frame, now_s: float) -> None:
        """Show a frame, if a client looks and a picture is due."""
        if not len(self._viewers) or now_s < self._due_s - _EARLY_S:
            return
        if self._thread is not None and self._thread.is_alive():
            return
        round_ = self._viewers.round
        if round_ != self._round:
            self._round, self._meter = round_, FocusMeter()
        self._due_s = max(self._due_s, now_s) + EVERY_S
        # the camera soon overwrites its frame
        arguments = (frame.pixels.copy(), frame.sequence, frame.captured_s, self._meter, round_)
        self._thread = threading.Thread(target=self._publish, args=arguments, name="picture", daemon=True)
        self._thread.start()

    def _publish(self, pixels: Pixels, sequence: int, captured_s: float, meter: FocusMeter, round_: int) -> None:
        reading = read(pixels)
        meter.update(reading)
        small = fitted(pixels, LONGEST_SIDE)
        taken = local_time() - timedelta(seconds=time.monotonic() - captured_s)
        picture = {
            "sequence": sequence,
            "time": taken.isoformat(timespec="milliseconds"),
            "width": small.shape[1],
            "height": small.shape[0],
            "sharpness": round(meter.sharpness, 6),
            "best": round(meter.best, 6),
            "light": "dark" if reading.dark else "bright" if reading.bright else "good",
            "still": not meter.moves,
            "jpeg": base64.b64encode(jpeg(small, QUALITY)).decode("ascii"),
        }
        self._viewers.publish(line_of(picture), round_)
