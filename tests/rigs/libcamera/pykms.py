"""Stands for the display library of that name, which picamera2 imports and a headless camera never uses."""


class _Formats:
    def __getattr__(self, name: str) -> str:
        return name


PixelFormat = _Formats()
