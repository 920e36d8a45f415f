"""The far side of the recording card: samples on standard input become one WAV file in SINK_DIR.

The file `pace` there says how: `instant` takes them as fast as they come, `real` as fast as a loudspeaker would,
`stuck` never does, `stalls` only the first quarter of a second.
"""

# only what is needed for the first sample: others are imported when it is here, since the start delays it
import fcntl
import os
import sys
import time

BYTES_A_SECOND = 2 * 22050  # S16_LE, mono


def main() -> None:
    folder = os.environ["SINK_DIR"]
    with open(f"{folder}/pace") as file:  # noqa: PTH123 - pathlib takes longer to import than Python to start
        pace = file.read()
    if pace == "stuck":
        time.sleep(3600)
    try:  # noqa: SIM105 - contextlib is not loaded yet
        fcntl.fcntl(sys.stdin, fcntl.F_SETPIPE_SZ, 4096)
    except OSError:
        pass  # only to have a small buffer, so that the player feels the pace
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
    import wave
    from pathlib import Path

    # renamed when complete: who finds a WAV here can read it
    unfinished = Path(folder, f"{opened}.part")
    with wave.open(str(unfinished), "wb") as file:
        file.setparams((1, 2, BYTES_A_SECOND // 2, 0, "NONE", "NONE"))
        file.writeframes(samples)
    if first:
        unfinished.with_suffix(".first").write_text(str(first))
    unfinished.rename(unfinished.with_suffix(".wav"))


if __name__ == "__main__":
    main()
