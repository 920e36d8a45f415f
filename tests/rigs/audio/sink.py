"""The far side of the recording card: samples on standard input become one WAV file in SINK_DIR.

The file `pace` there says how: `instant` takes them as fast as they come, `real` as fast as a loudspeaker would,
`stuck` never does, `stalls` only the first quarter of a second.
"""

import contextlib
import fcntl
import os
import sys
import time
import wave
from pathlib import Path

BYTES_A_SECOND = 2 * 22050  # S16_LE, mono


def main() -> None:
    folder = Path(os.environ["SINK_DIR"])
    pace = (folder / "pace").read_text()
    if pace == "stuck":
        time.sleep(3600)
    with contextlib.suppress(OSError):  # a small buffer, so that the player feels the pace
        fcntl.fcntl(sys.stdin, fcntl.F_SETPIPE_SZ, 4096)
    opened = time.monotonic_ns()  # the clock on the wall may be set back
    samples, first = b"", 0
    while block := os.read(0, 2048):
        samples += block
        if not first and any(block):
            first = time.monotonic_ns()
        if pace == "real":
            time.sleep(len(block) / BYTES_A_SECOND)
        if pace == "stalls" and len(samples) > BYTES_A_SECOND / 4:
            time.sleep(3600)
    # renamed when complete: who finds a WAV here can read it
    unfinished = folder / f"{opened}.part"
    with wave.open(str(unfinished), "wb") as file:
        file.setparams((1, 2, BYTES_A_SECOND // 2, 0, "NONE", "NONE"))
        file.writeframes(samples)
    if first:
        unfinished.with_suffix(".first").write_text(str(first))
    unfinished.rename(unfinished.with_suffix(".wav"))


if __name__ == "__main__":
    main()
