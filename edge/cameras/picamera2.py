"""CSI cameras, through picamera2 (from apt: PyPI does not have libcamera's bindings).

libcamera holds the interpreter's lock while it waits. A stalled pipeline can freeze this whole process. Then no timeout
in this module helps: only another process can end it (process.py).
"""

import logging
import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.cameras.busy import csi_user
from edge.errors import CameraError, one_line
from edge.host.installation import how_to_get_picamera2
from edge.settings import CameraSettings
from edge.stages import Frame, Pixels
from edge.vision.images import Place, new_place

# Few, because buffers use the contiguous memory that the whole board shares.
_BUFFERS = 4
# libcamera names the byte order of a little-endian number: this is red, green, blue in memory
_RGB = "BGR888"
# libcamera's numbers (its control_ids): AeExposureMode, and AfMode, where 0 is manual.
_EXPOSURES = {"normal": 0, "short": 1, "long": 2}
_FOCUSES = {"manual": 0, "once": 1, "continuous": 2}
# Formats that some pipelines give instead of the requested one, and OpenCV's names for their conversion.
_YUV = {"NV12": "COLOR_YUV2RGB_NV12", "YUV420": "COLOR_YUV2RGB_I420"}

_log = logging.getLogger(__name__)


def is_present(library: Any = None) -> bool:
    """Return True if picamera2 is installed and finds a CSI camera."""
    try:
        return bool(_csi_cameras(library or load()))
    except CameraError:
        return False


class PiCamera:
    """The CSI camera with that number. `library` is the module picamera2, or a test double of it.

    Raises CameraError if picamera2 is missing, or the camera is missing, busy or broken.
    """

    live = True

    def __init__(self, settings: CameraSettings, number: int = 0, library: Any = None) -> None:
        library = library or load()
        # list the cameras before opening one: every failed attempt to open leaks a file descriptor
        cameras = _csi_cameras(library)
        if number >= len(cameras):
            found = ", ".join(f"csi:{i} ({info['Model']})" for i, (_, info) in enumerate(cameras)) or "none"
            raise CameraError(
                f"camera csi:{number}: there is no such camera; found: {found}. Check its cable, or use --camera demo"
            )
        index, info = cameras[number]
        self.description = f"CSI camera {number} ({info['Model']})"
        self.place: Place = new_place
        self._library = library
        self._closed = False
        self._sequence = 0
        self._job: Any = None
        """The requested capture that has not been fetched."""
        self._asked_s = 0.0
        self._silence_s = settings.open_timeout_s
        self._read_timeout_s = settings.read_timeout_s
        try:
            self._camera = library.Picamera2(index)
        except Exception as error:
            advice = csi_user() or "check that no other program uses it"
            raise self._failed("cannot be opened", error, advice) from error
        try:
            self._configure(settings)
            self._camera.start()
        except Exception as error:
            self.close()
            raise self._failed("cannot be started", error, "try another width and height") from error

    def read(self, timeout_s: float) -> Frame | None:
        """Return a frame taken after it was requested, waiting at most `timeout_s`; None if none came.

        Raises CameraError if none comes for `read_timeout_s` (the first one: `open_timeout_s`), and after `close`.
        """
        if self._closed:
            raise CameraError(f"{self.description}: it is closed, open it again")
        try:
            if self._job is None:
                # A capture with its own timeout would stay queued after it and swallow a later frame. This job is
                # kept, and the next read fetches it.
                self._job = self._camera.capture_request(wait=False)
                self._asked_s = time.monotonic()
            request = self._job.get_result(timeout=timeout_s)
        except TimeoutError as error:
            if time.monotonic() - self._asked_s < self._silence_s:
                return None
            # This process cannot recover: picamera2 stays stuck until its process ends.
            raise CameraError(
                f"{self.description}: lost, no frame came for {self._silence_s:g} s; check its cable"
            ) from error
        except Exception as error:
            raise self._failed("lost", error, "check its cable") from error
        self._job = None
        self._silence_s = self._read_timeout_s
        try:
            # make_array would copy it one more time
            with self._library.MappedArray(request, "main", write=False) as mapped:
                pixels = self._rgb(mapped.array)
            captured_s = request.get_metadata()["SensorTimestamp"] / 1e9
        except Exception as error:
            raise self._failed("gave a broken frame", error, "check its cable") from error
        finally:
            request.release()
        frame = Frame(pixels, self._sequence, captured_s)
        self._sequence += 1
        return frame

    def close(self) -> None:
        """Release the camera."""
        if self._closed:
            return
        self._closed = True
        try:
            if self._job is not None:
                self._drop_job()
            self._camera.close()
        except Exception as error:
            _log.warning(
                "%s", self._failed("was not closed cleanly", error, "restart edge if the camera does not open again")
            )

    def _configure(self, settings: CameraSettings) -> None:
        # Only once: configuring again would exhaust the memory of the buffers. No lores stream: main is as small as
        # the models need, and lores would be YUV on most boards.
        self._camera.configure(
            self._camera.create_video_configuration(
                main={"size": (settings.width, settings.height), "format": _RGB},
                buffer_count=_BUFFERS,
                # no frame from a queue: each is newer than its request
                queue=False,
                controls=self._controls(settings),
            )
        )
        main = self._camera.camera_configuration()["main"]
        self._format: str = main["format"]
        self._width: int = main["size"][0]
        if self._format != _RGB and self._format not in _YUV:
            raise CameraError(f"its format is {self._format}, not one of {', '.join((_RGB, *_YUV))}")

    def _controls(self, settings: CameraSettings) -> dict[str, Any]:
        """Return the controls to set. Unsupported ones are left out, with a log line if the settings ask for one."""
        wanted: dict[str, Any] = {"AfMode": _FOCUSES[settings.focus]}
        if settings.focus == "manual":
            wanted["LensPosition"] = 1 / settings.focus_m  # in dioptres
        if settings.focus == "once":
            wanted["AfTrigger"] = 0  # start
        if settings.exposure != "normal":
            wanted["AeExposureMode"] = _EXPOSURES[settings.exposure]
        if settings.frame_rate:
            duration_us = round(1e6 / settings.frame_rate)
            wanted["FrameDurationLimits"] = (duration_us, duration_us)
        has = self._camera.camera_controls
        asked = {"AfMode": "focus"} if settings.focus != "continuous" else {}
        asked |= {"AeExposureMode": "exposure", "FrameDurationLimits": "frame_rate"}
        for control, key in asked.items():
            if control in wanted and control not in has:
                _log.warning("%s does not support [camera] %s: the setting is ignored.", self.description, key)
        return {control: value for control, value in wanted.items() if control in has}

    def _rgb(self, array: NDArray[np.uint8]) -> Pixels:
        """Return a copy of the picture in the camera's buffer, which goes back to the camera."""
        if self._format != _RGB:
            import cv2

            # the rows of YUV are padded at their ends
            array = np.asarray(cv2.cvtColor(array, getattr(cv2, _YUV[self._format])), np.uint8)[:, : self._width]
        there = self.place(array.shape)
        np.copyto(there, array)
        return there

    def _drop_job(self) -> None:
        try:
            self._job.get_result(timeout=0).release()
        except TimeoutError:
            # else the stop would queue behind a capture that may never end
            self._camera.cancel_all_and_flush()

    def _failed(self, what: str, error: Exception, advice: str) -> CameraError:
        # the cause says more: 'Device or resource busy', while the error says 'sequence did not complete'
        return CameraError(f"{self.description}: {what}: {one_line(error.__cause__ or error)}; {advice}")


def load() -> Any:
    """Return the module picamera2. Raises CameraError, which says what to install, if it cannot be imported."""
    # else libcamera would write a page of messages to the terminal
    os.environ.setdefault("LIBCAMERA_LOG_LEVELS", "*:ERROR")
    try:
        import picamera2
    except Exception as error:  # not only ImportError: an incompatible numpy gives ValueError
        raise CameraError(
            f"camera csi: picamera2 cannot be imported ({one_line(error)}); {how_to_get_picamera2()}"
        ) from error
    return picamera2


def _csi_cameras(library: Any) -> list[tuple[int, Mapping[str, Any]]]:
    """Return (picamera2's number, description) of the CSI cameras only: libcamera lists USB cameras too."""
    try:
        cameras = library.Picamera2.global_camera_info()
    except Exception as error:
        raise CameraError(f"camera csi: libcamera does not work ({one_line(error)}); update the system") from error
    return [(index, info) for index, info in enumerate(cameras) if "/usb" not in info["Id"]]
