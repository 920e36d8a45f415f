"""The bundled demo clip, which edge plays when there is no camera."""

from importlib import resources
from pathlib import Path

from edge.cameras.files import VideoReel
from edge.cameras.player import Player
from edge.errors import CameraError
from edge.settings import CameraSettings

DESCRIPTION = "the demo clip"
_FOLDER = Path(str(resources.files("edge"))) / "data" / "demo"


def open_clip(settings: CameraSettings, every_frame: bool = False, folder: Path = _FOLDER) -> Player:
    """Open the demo clip. Raises CameraError if the installation lacks it."""
    clips = [path for path in (folder / "clip.mp4", folder / "clip.webm") if path.is_file()]
    if not clips:
        raise CameraError(f"camera demo: {folder} has no clip.mp4 or clip.webm; install edge again")
    return Player(VideoReel(clips[0]), DESCRIPTION, loop=settings.loop, every_frame=every_frame)
