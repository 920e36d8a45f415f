"""What benchmark.py found, as lines for a terminal, as Markdown and as a plot (SVG)."""

import datetime
import platform
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from importlib import metadata
from pathlib import Path

from edge.cli.table import table as aligned

REFERENCE = "module"
NAMES = {"module": "mx.mod.Module", "opencv": "OpenCV DNN", "litert": "LiteRT", "pnnx": "ncnn by pnnx"}
NAMES["pnnx float16"] = "ncnn by pnnx, float16"
PEERS = ("opencv", "pnnx", "litert")
PACKAGES = ("mxnet", "onnxruntime", "openvino", "opencv-python", "ncnn", "ai-edge-litert", "numpy")
FLAGS = (
    *("sse4_2", "f16c", "fma", "avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8"),
    *("asimd", "fphp", "asimdhp", "asimddp", "i8mm", "bf16", "sve"),
)
"""Of a processor's instruction sets, those that decide how fast float32, float16 and int8 are."""
WHY_NOT = {
    "pnnx": "is the library that the engine ncnn runs too: the files that edge and pnnx write for it make the "
    "difference",
    "litert": "is no engine of edge because its converter needs TensorFlow, which no Pi of a fleet should have to "
    "install; its XNNPACK arranges all weights beforehand and keeps the channels of a picture last",
    "opencv": "reads the same graph, but keeps the weights more than once",
}


@dataclass(frozen=True)
class Row:
    """One network with one engine in one precision."""

    network: str
    variant: str
    """The engine, and its precision where it is not float32: 'onnx int8'."""
    median_ms: float
    """A picture, from its pixels to the probabilities copied out."""
    peak_mib: float
    """The peak memory of its process (VmHWM)."""
    load_s: float
    """From nothing loaded, not even the engine, to the first result."""
    idle_ms: float
    """CPU time a second while it looks at one picture a second."""


@dataclass(frozen=True)
class Overhead:
    """`edge run` as a whole beside the bare forward."""

    network: str
    engine: str
    whole_ms: float
    """A turn of the loop: frame asked of the camera's process, check, preprocessing, forward, decision, event."""
    bare_ms: float
    """The forward alone, in another process."""
    ratio: float
    parts_ms: dict[str, float]
    """Medians of capture, preprocess and inference, by the daemon's own events."""


@dataclass(frozen=True)
class Plain:
    """A peer with and without what makes it fast, in turn; medians of a picture in milliseconds."""

    network: str
    variant: str
    made_fast_by: str
    with_ms: float
    without_ms: float


@dataclass(frozen=True)
class Result:
    """All of a run."""

    rows: list[Row]
    absent: dict[str, str]
    auto: list[str]
    plain: list[Plain]
    overhead: Overhead | None
    command: str
    seconds: float
    frames: int


@dataclass(frozen=True)
class Goal:
    """What a row must keep to, of the reference's."""

    network: str
    variants: tuple[str, ...]
    """One of them is enough."""
    time: float | None = None
    memory: float | None = None
    most_mib: float | None = None


OURS = ("mxnet", "onnx", "openvino", "ncnn")
INT8 = ("onnx int8", "openvino int8")
GOALS = (
    Goal("inception-v3", ("openvino",), time=0.60),
    Goal("inception-v3", ("onnx",), memory=0.40),
    Goal("inception-v3", ("openvino int8",), time=0.20),
    Goal("inception-v3", ("onnx int8",), memory=0.28),
    Goal("vgg16", INT8, time=0.20, most_mib=450),
    Goal("resnet-152", INT8, time=0.20, most_mib=400),
)
MOST_OVERHEAD = 1.05
MOST_OF_PEERS = 1.03
"""Of the best peer's time, and of the memory of ncnn by pnnx: what the best of edge's engines may take in float."""
FLOATS = {"float32": (OURS, PEERS), "float16": (("ncnn float16", *OURS), ("pnnx float16",))}


def name_of(variant: str) -> str:
    return NAMES.get(variant, variant)


def reference_of(row: Row, rows: Sequence[Row]) -> Row | None:
    return next((one for one in rows if (one.network, one.variant) == (row.network, REFERENCE)), None)


def _cells(row: Row, rows: Sequence[Row]) -> list[str]:
    reference = reference_of(row, rows)
    time = f"{row.median_ms / reference.median_ms:.2f}" if reference else "-"
    memory = f"{row.peak_mib / reference.peak_mib:.2f}" if reference else "-"
    return [
        *(name_of(row.variant), f"{row.median_ms:.1f}", time, f"{row.peak_mib:.0f}", memory),
        *(f"{row.load_s:.1f}", f"{row.idle_ms:.0f}"),
    ]


HEADER = ("", "ms", "ratio", "MiB", "ratio", "load s", "idle ms/s")


def table(rows: Sequence[Row]) -> list[str]:
    """Lines for one network."""
    if not rows:
        return []
    cells = [_cells(row, rows) for row in rows]
    return aligned((rows[0].network, *HEADER[1:]), cells, numbers=range(1, len(HEADER))).splitlines()


def machine() -> list[str]:
    """Return the processor with its relevant features, and the versions; nothing that names the host."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    model = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", info, re.MULTILINE)
    flags = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", info, re.MULTILINE)
    cores = len(re.findall(r"^processor\s*:", info, re.MULTILINE))
    has = [flag for flag in FLAGS if flag in (flags[1].split() if flags else [])]
    versions = []
    for package in PACKAGES:
        try:
            versions.append(f"{package} {metadata.version(package)}")
        except metadata.PackageNotFoundError:
            continue
    return [
        f"{model[1] if model else 'unknown processor'}, {platform.machine()}, {cores} cores, with the instruction sets "
        f"{', '.join(has) or 'none of ' + ', '.join(FLAGS)}",
        f"Python {platform.python_version()}, {', '.join(versions)}",
    ]


def goals(result: Result) -> list[str]:
    """Return each goal that was measured, with the result."""
    lines = []
    for goal in GOALS:
        rows = [row for row in result.rows if row.network == goal.network and row.variant in goal.variants]
        found = []
        for row in rows:
            reference = reference_of(row, result.rows)
            checks: list[tuple[str, float, float]] = []
            if goal.most_mib is not None:
                checks.append(("MiB", row.peak_mib, goal.most_mib))
            if reference and goal.time is not None:
                checks.append(("of the time", row.median_ms / reference.median_ms, goal.time))
            if reference and goal.memory is not None:
                checks.append(("of the memory", row.peak_mib / reference.peak_mib, goal.memory))
            if len(checks) == sum(limit is not None for limit in (goal.time, goal.memory, goal.most_mib)):
                found.append((all(value <= limit for _, value, limit in checks), row, checks))
        if not found:
            continue
        held = [one for one in found if one[0]]
        _, row, checks = (held or found)[0]
        words = ", ".join(f"{_number(value)} {what} (at most {_number(limit)})" for what, value, limit in checks)
        lines.append(f"{'holds' if held else 'DOES NOT HOLD'}: {goal.network}, {name_of(row.variant)}: {words}")
    lines += [
        line for network in dict.fromkeys(row.network for row in result.rows) for line in _beside(network, result)
    ]
    if (one := result.overhead) and (one.network, one.engine) == ("inception-v3", "onnx"):
        held_word = "holds" if one.ratio <= MOST_OVERHEAD else "DOES NOT HOLD"
        lines.append(
            f"{held_word}: edge run as a whole, {one.network}, {one.engine}: {one.ratio:.3f} of the bare forward "
            f"(at most {MOST_OVERHEAD})"
        )
    return lines


def _beside(network: str, result: Result) -> list[str]:
    """Return how the best of edge's engines stands beside the best peer: a line for each precision."""
    lines = []
    rows = {row.variant: row for row in result.rows if row.network == network}
    for precision, (ours, peers) in FLOATS.items():
        mine, theirs = ([rows[variant] for variant in some if variant in rows] for some in (ours, peers))
        if not mine or not theirs:
            continue
        parts = []
        best, peer = (min(some, key=lambda row: row.median_ms) for some in (mine, theirs))
        parts.append(("time", best, peer, best.median_ms / peer.median_ms))
        if pnnx := [row for row in theirs if row.variant.startswith("pnnx")]:
            least = min(mine, key=lambda row: row.peak_mib)
            parts.append(("memory", least, pnnx[0], least.peak_mib / pnnx[0].peak_mib))
        holds = all(share <= MOST_OF_PEERS for *_, share in parts)
        words = ", ".join(
            f"{one.variant} {share:.2f} of the {what} of {name_of(other.variant)}" for what, one, other, share in parts
        )
        lines.append(
            f"{'holds' if holds else 'DOES NOT HOLD'}: {network}, {precision}: {words} (at most {MOST_OF_PEERS})"
        )
    return lines


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"


def overhead(one: Overhead) -> str:
    """A line."""
    rest = one.whole_ms - sum(one.parts_ms.values())
    return (
        f"{one.network} with {one.engine}: {one.whole_ms:.1f} ms from asking the camera's process for a frame to the "
        f"decision, {one.bare_ms:.1f} ms the bare forward in another process: {one.ratio:.3f} of it. Of the whole, "
        f"capture {one.parts_ms['capture']:.1f}, preprocessing {one.parts_ms['preprocess']:.1f}, the forward "
        f"{one.parts_ms['inference']:.1f}, check of the frame, decision and events {rest:.1f} ms."
    )


def faster_peers(rows: Sequence[Row]) -> list[tuple[Row, Row]]:
    """(a peer, our fastest in float) for each network where a peer is faster."""
    found = []
    for network in dict.fromkeys(row.network for row in rows):
        ours = [row for row in rows if row.network == network and row.variant in OURS]
        peers = [row for row in rows if row.network == network and row.variant in PEERS]
        if ours:
            best = min(ours, key=lambda row: row.median_ms)
            found += [(peer, best) for peer in peers if peer.median_ms < best.median_ms]
    return found


def why(one: Plain) -> str:
    """A line."""
    return (
        f"{one.network}: {name_of(one.variant)} takes {one.without_ms:.1f} ms without {one.made_fast_by}, "
        f"and {one.with_ms:.1f} beside that with it"
    )


def text(result: Result) -> list[str]:
    """Lines of at most 80 columns, but for names of packages; the tables have been printed one by one."""
    lines = ["", *machine()]
    lines += [f"absent: {variant}: {why}" for variant, why in result.absent.items()]
    if result.overhead:
        lines.append(overhead(result.overhead))
    lines += [f"auto: {line}" for line in result.auto]
    for peer, ours in faster_peers(result.rows):
        lines.append(
            f"a peer is faster: {peer.network}: {name_of(peer.variant)} {peer.median_ms:.1f} ms, ours at best "
            f"{ours.median_ms:.1f} ms ({ours.variant})"
        )
    lines += [why(one) for one in result.plain]
    lines += goals(result)
    lines.append(f"{result.seconds / 60:.1f} minutes: {result.command}")
    return [folded for line in lines for folded in (textwrap.wrap(line, 80, subsequent_indent="  ") or [""])]


def markdown(result: Result) -> str:
    """The page docs/benchmark.md."""
    lines = [
        "# Time and memory of each engine",
        "",
        "![Bars: time per frame and peak memory of each network with each engine](benchmark.svg)",
        "",
        *_filled(
            "This page is for people who choose an engine or a model, or compare edge with other software. It is the "
            "only place for these figures."
        ),
        "",
        *_filled(
            f"`{result.command}` wrote it on {datetime.date.today().isoformat()}, in one run of "
            f"{result.seconds / 60:.0f} minutes. No figure is edited by hand. "
            + " ".join(f"{one}." for one in machine())
        ),
        "",
        *_filled(
            "Each engine runs in its own process, and all are counted alike: interpreter, numpy and OpenCV included. "
            f"The engines take turns on the same weights and images (640 x 480, {result.frames} for each, a few at a "
            "time). *ms* is the median time per image, from its pixels to the probabilities copied out. *MiB* is the "
            "peak memory of the process. *ratio* compares both with mx.mod.Module, which MXNet's tutorials use. "
            "*load* is the time from nothing, not even the engine, to the first result (the graph for onnx and the "
            "others existed already). *idle* is the CPU time per second while it classifies one image per second. "
            "Peers read the same graph, in float32 if nothing else is said. Other processors, such as ARM, were not "
            "measured: run the command there."
        ),
        "",
    ]
    for network in dict.fromkeys(row.network for row in result.rows):
        rows = [row for row in result.rows if row.network == network]
        lines += [f"| {network} | {' | '.join(HEADER[1:])} |", f"|---|{'---:|' * (len(HEADER) - 1)}"]
        lines += [f"| {' | '.join(_cells(row, rows))} |" for row in rows]
        lines.append("")
    if result.overhead:
        lines += ["## The whole of `edge run`", "", *_filled(overhead(result.overhead)), ""]
    if found := goals(result):
        lines += ["## Goals", "", *(item for line in found for item in _item(line)), ""]
    if pairs := faster_peers(result.rows):
        lines += ["## Peers that are faster in float", ""]
        for peer, ours in pairs:
            lines += _item(
                f"{peer.network}: {name_of(peer.variant)} takes {peer.median_ms:.1f} ms, {ours.variant} "
                f"{ours.median_ms:.1f}"
            )
        for one in result.plain:
            lines += _item(why(one))
        lines.append("")
        for variant in dict.fromkeys(peer.variant for peer, _ in pairs):
            lines += [*_filled(f"{name_of(variant)} {WHY_NOT[variant]}."), ""]
    if result.auto:
        lines += [
            '## What `engine = "auto"` chooses',
            "",
            *_filled(
                "Calculated from these figures, with a CSI camera and without a voice, for budgets just below and "
                "above the need of each engine:"
            ),
            "",
            *(item for line in result.auto for item in _item(line)),
            "",
        ]
    if result.absent:
        lines += [
            "## Not measured",
            "",
            *(item for pair in result.absent.items() for item in _item(": ".join(pair))),
            "",
        ]
    return "\n".join(lines)


def _filled(words: str) -> list[str]:
    return textwrap.wrap(words, 120, break_long_words=False, break_on_hyphens=False)


def _item(words: str) -> list[str]:
    return textwrap.wrap(f"- {words}", 120, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)


ROW, BAR, LEFT, WIDE, GAP = 17, 12, 190, 300, 80
COLOURS = {"module": "#b8b8b8", "ours": "#1b6ca8", "int8": "#2a9d6f", "peer": "#d98a2b"}


def svg(result: Result) -> str:
    """Two columns of bars, time and memory, a group for each network."""
    parts: list[str] = []
    y = 56
    for network in dict.fromkeys(row.network for row in result.rows):
        rows = [row for row in result.rows if row.network == network]
        parts.append(_text(10, y, network, "bold"))
        y += 8
        for row in rows:
            y += ROW
            parts.append(_text(LEFT - 8, y, name_of(row.variant), "end"))
            for column, (value, most, digits) in enumerate(
                (
                    (row.median_ms, max(one.median_ms for one in rows), 1 if row.median_ms < 9.95 else 0),
                    (row.peak_mib, max(one.peak_mib for one in rows), 0),
                )
            ):
                x = LEFT + column * (WIDE + GAP)
                width = max(1.0, value / most * WIDE)
                parts.append(_bar(x, y, width, _colour(row.variant)))
                parts.append(_text(x + width + 4, y, f"{value:.{digits}f}"))
        y += 26
    legend = (
        ("module", "MXNet as the tutorials use it"),
        ("ours", "edge"),
        ("int8", "edge, int8 or float16"),
        ("peer", "peers"),
    )
    x = LEFT
    for kind, words in legend:
        parts.append(_bar(x, y, BAR, COLOURS[kind]))
        parts.append(_text(x + 18, y, words))
        x += 40 + 7 * len(words)
    width, height = LEFT + 2 * WIDE + GAP + 60, y + 16
    head = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        f"<title>Time and memory of each network with each engine, {escape(machine()[0])}</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
        _text(LEFT, 24, "ms per image, median", "bold"),
        _text(LEFT + WIDE + GAP, 24, "peak memory, MiB", "bold"),
    ]
    return "\n".join([*head, *parts, "</svg>", ""])


def _bar(x: float, y: float, width: float, colour: str) -> str:
    return f'<rect x="{x}" y="{y - BAR + 2}" width="{width:.1f}" height="{BAR}" fill="{colour}"/>'


def _text(x: float, y: float, words: str, kind: str = "") -> str:
    style = {"bold": ' font-weight="bold"', "end": ' text-anchor="end"'}.get(kind, "")
    return f'<text x="{x:.0f}" y="{y}" fill="#222222"{style}>{escape(words)}</text>'


def _colour(variant: str) -> str:
    if variant in COLOURS:
        return COLOURS[variant]
    return COLOURS["peer" if variant.partition(" ")[0] in PEERS else "int8" if " " in variant else "ours"]
