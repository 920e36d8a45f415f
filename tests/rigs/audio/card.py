"""A sound card for tests, which needs no hardware: it records what is played."""

import os
import wave
from pathlib import Path

HERE = Path(__file__).parent
SAMPLE_RATE = 22050


class RecordingCard:
    """Put `environment` into the environment of what shall play on it."""

    def __init__(self, folder: Path, pace: str = "instant") -> None:
        self.folder = folder
        self.environment = {
            "ALSA_CONFIG_PATH": str(HERE / "asound.conf"),
            "SINK": str(HERE / "sink.py"),
            "SINK_DIR": str(folder),
        }
        self.set_pace(pace)

    def set_pace(self, pace: str) -> None:
        """From its next opening on be `instant`, `real`, `stuck` or `stalls`, as sink.py has them."""
        (self.folder / "pace").write_text(pace)

    def recordings(self) -> list[bytes]:
        """The samples (S16_LE, mono, 22050 Hz) of each time that something was played: a mere probe is silent."""
        played = [samples_of(path) for path in sorted(self.folder.glob("*.wav"))]
        return [samples for samples in played if any(samples)]


def samples_of(path: Path) -> bytes:
    """The samples of a WAV file, without its header."""
    with wave.open(os.fspath(path)) as file:
        samples: bytes = file.readframes(file.getnframes())
    return samples
