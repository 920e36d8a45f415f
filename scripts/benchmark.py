#!/usr/bin/env python3
"""The tutorials' comparison in one run: memory and time of the known networks, as edge runs them and as mx.mod.Module.

    scripts/benchmark.py [--models A,B,...] [--frames N] [--json FILE] [--chart FILE.svg]

Writes each network with random weights (scripts/make_random_checkpoint.py) into a temporary folder, runs `edge bench
--against module` over them and prints its table. --chart draws it (`pip install matplotlib` first).
"""

import environment  # noqa: F401, I001 - goes first: it may start this again in .venv

import argparse
import json
import platform
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
MODELS = "vgg16,resnet-152,inception-v3,inception-bn,mobilenet1.0,squeezenet1.1"
COLOURS = {"mxnet": "#1b6ca8", "module": "#c9c9c9"}
NAMES = {"mxnet": "edge", "module": "mx.mod.Module"}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--models", default=MODELS, metavar="A,B,...", help=f"default: {MODELS}")
    parser.add_argument("--frames", type=int, default=60, metavar="N", help="frames to time (default: 60)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="keep the figures")
    parser.add_argument("--chart", type=Path, metavar="FILE.svg", help="draw them")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="edge-benchmark-") as folder:
        prefixes = []
        for name in options.models.split(","):
            make = [sys.executable, str(HERE / "make_random_checkpoint.py"), name, "--out", f"{folder}/{name}"]
            subprocess.run(make, check=True, stdout=sys.stderr)
            prefixes.append(f"{folder}/{name}/{name}")
        bench = [sys.executable, "-P", "-m", "edge", "bench", "--against", "module", "--frames", str(options.frames)]
        ran = subprocess.run(
            [*bench, "--models", ",".join(prefixes), "--json"], check=True, stdout=subprocess.PIPE, text=True
        )
    figures = json.loads(ran.stdout)
    print_table(figures)
    if options.json:
        options.json.write_text(ran.stdout, encoding="utf-8")
    if options.chart:
        draw(figures, options.chart)
    return 0


def print_table(figures: dict[str, Any]) -> None:
    """The table of README and docs, in Markdown."""
    print("| network | engine | parameters (M) | file (MiB) | load (s) | memory (MiB) | first (ms) | median (ms) |")
    print("|---|---|---|---|---|---|---|---|")
    for row in figures["rows"]:
        print(
            f"| {row['model']} | {NAMES[row['engine']]} | {row['parameters'] / 1e6:.1f} | {row['file_mib']:.0f} "
            f"| {row['load_s']:.1f} | {row['peak_mib']:.0f} | {row['first_ms']:.0f} | {row['median_ms']:.0f} |"
        )
    for ratio in figures["ratios"]:
        print(f"{ratio['model']}: memory {ratio['memory']:.2f}, time {ratio['time']:.2f} of mx.mod.Module's")


def draw(figures: dict[str, Any], path: Path) -> None:
    """Two charts of bars side by side: memory and time, as edge runs the networks and as the tutorials do."""
    import matplotlib as mpl
    from matplotlib import pyplot

    mpl.rcParams.update({"svg.hashsalt": "edge", "font.family": "DejaVu Sans", "font.size": 9})
    models = list(dict.fromkeys(row["model"] for row in figures["rows"]))
    figure, axes = pyplot.subplots(1, 2, figsize=(9, 0.55 * len(models) + 1.2), layout="constrained")
    for axis, key, title in (
        (axes[0], "peak_mib", "memory at its largest, MiB"),
        (axes[1], "median_ms", "a frame, ms"),
    ):
        for offset, engine in ((-0.2, "mxnet"), (0.2, "module")):
            values = [
                next(row[key] for row in figures["rows"] if (row["model"], row["engine"]) == (model, engine))
                for model in models
            ]
            places = [number + offset for number in range(len(models))]
            bars = axis.barh(places, values, height=0.38, color=COLOURS[engine], label=NAMES[engine])
            axis.bar_label(bars, fmt="%.0f", padding=3)
        axis.set_yticks(range(len(models)), models)
        axis.invert_yaxis()
        axis.margins(x=0.15)
        axis.set_title(title, loc="left")
        axis.spines[["top", "right"]].set_visible(False)
    axes[1].legend(frameon=False, loc="lower right")
    figure.savefig(path, metadata={"Date": None, "Description": f"{platform.machine()}, random weights"})


if __name__ == "__main__":
    sys.exit(main())
