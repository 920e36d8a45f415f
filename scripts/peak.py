#!/usr/bin/env python3
"""Run a command and print the largest memory that it and all its children had together.

    scripts/peak.py edge run --frames 200 ...

It is the largest sum of PSS of the process tree, sampled 50 times a second (process_memory.py says why), as the
memory budget promises to bound it. Prints to stderr, and exits as the command does.
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import signal
import subprocess
import sys

from process_memory import PeakSampler


def main() -> int:
    if len(sys.argv) < 2:
        print("peak: give a command, as in: scripts/peak.py edge run --frames 200", file=sys.stderr)
        return 2
    try:
        child = subprocess.Popen(sys.argv[1:])
        # Ctrl-C is for the command, which receives it too; the memory is printed after its end
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except OSError as error:
        print(f"peak: {sys.argv[1]}: {error.strerror}", file=sys.stderr)
        return 127
    with PeakSampler(child.pid) as sampler:
        code = child.wait()
    print(f"peak {sampler.peak_mib:.0f} MiB in {sampler.samples} samples; at that moment:", file=sys.stderr)
    for pid, (command, share) in sampler.at_peak.items():
        print(f"  {share:7.1f} MiB  {pid}  {command[:90]}", file=sys.stderr)
    return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main())
