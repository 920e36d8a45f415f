"""The CSI driver for ProcessCamera on libcamera's virtual pipeline, where it differs from a Raspberry Pi's."""

from typing import Any

from edge.cameras import open_camera
from edge.settings import CameraSettings
from edge.stages import Camera


def open_virtual(settings: CameraSettings) -> Camera:
    """Open it with everything else as on a Pi."""
    import picamera2
    from picamera2.allocators import LibcameraAllocator

    init, raw_modes = picamera2.Picamera2.__init__, picamera2.Picamera2._get_raw_modes

    def init_without_a_dma_heap(self: Any, *arguments: Any, **options: Any) -> None:
        init(self, *arguments, **options)
        self.allocator = LibcameraAllocator(self.camera)

    def modes_without_a_sensor(self: Any) -> Any:
        try:
            return raw_modes(self)
        except AttributeError:
            return [{"format": "NV12", "size": (640, 480)}]

    picamera2.Picamera2.__init__ = init_without_a_dma_heap
    picamera2.Picamera2._get_raw_modes = modes_without_a_sensor
    return open_camera(settings)
