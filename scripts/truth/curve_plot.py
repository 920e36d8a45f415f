"""Draws the curves of truth/curve.py (SVG): how often edge is right, how much it names, and how soon."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape

from truth.curve import DEFAULTS, Point, family

COLOURS = ("#1b6ca8", "#2a9d6f", "#d98a2b", "#a23b72", "#6b6b6b", "#8c564b", "#17becf")
"""Of the models, in turn."""
PANEL_W, PANEL_H, LEFT, TOP, GAP_X, GAP_Y = 270, 210, 52, 70, 66, 86
COLUMNS = 3


@dataclass(frozen=True)
class Mark:
    """One setting of one model in a panel."""

    x: float
    y: float
    label: str
    """The value of the setting."""
    is_default: bool


@dataclass(frozen=True)
class Panel:
    """A diagram with a line for each model."""

    title: str
    x: str
    y: str
    lines: dict[str, list[Mark]]


Figure = Callable[[Point], float]


def right(form: str) -> Figure:
    """Return the function for the share of a form's sentences that are right; nan without a sentence."""
    return lambda point: _share(point.found["precision"][form])


def named(key: str = "recall") -> Figure:
    """Return the function for the share of the photos that are named rightly."""
    return lambda point: _share(point.found[key])


def wait(form: str) -> Figure:
    """Return the function for the median latency in seconds; nan without a sentence."""
    return lambda point: math.nan if (found := point.found["latency"][form]["median_s"]) is None else float(found)


def _share(found: dict[str, float]) -> float:
    return found["count"] / found["of"] if found["of"] else math.nan


def panels(points: Sequence[Point]) -> list[Panel]:
    """Return all diagrams."""
    sure, every = "“I see” that is right", "sentences that are right"
    photos, photos_sure, seconds = "photos named rightly", "photos named with “I see”", "median latency in seconds"

    def panel(title: str, name: str, x: tuple[str, Figure], y: tuple[str, Figure]) -> Panel:
        lines: dict[str, list[Mark]] = {}
        for point in family(points, name):
            value, default = getattr(point.setting.announce, name), getattr(DEFAULTS, name)
            mark = Mark(x[1](point), y[1](point), f"{value:g}", value == default)
            if not math.isnan(mark.x + mark.y):
                lines.setdefault(point.model, []).append(mark)
        return Panel(f"{title} (default {getattr(DEFAULTS, name):g})", x[0], y[0], lines)

    return [
        panel("sure", "sure", (photos_sure, named("recall_sure")), (sure, right("I see"))),
        panel("maybe", "maybe", (photos, named()), (every, right("all"))),
        panel("floor, uncalibrated", "floor", (photos, named()), (every, right("all"))),
        panel("sure", "sure", (photos_sure, named("recall_sure")), (seconds, wait("I see"))),
        panel("smoothing_s", "smoothing_s", (seconds, wait("all")), (every, right("all"))),
        panel("persistence_s", "persistence_s", (seconds, wait("all")), (every, right("all"))),
    ]


def plot(points: Sequence[Point]) -> str:
    """Return the SVG file."""
    drawn = panels(points)
    models = list(dict.fromkeys(point.model for point in points))
    colours = {model: COLOURS[number % len(COLOURS)] for number, model in enumerate(models)}
    rows = -(-len(drawn) // COLUMNS)
    width, height = LEFT + COLUMNS * (PANEL_W + GAP_X), TOP + rows * (PANEL_H + GAP_Y)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="sans-serif" font-size="12">',
        "<title>How often edge is right, how much it names and how soon, over the settings of [announce]</title>",
        f'<rect width="{width}" height="{height}" fill="#ffffff"/>',
    ]
    x = float(LEFT)
    for model in models:
        parts.append(f'<rect x="{x:.0f}" y="15" width="18" height="4" fill="{colours[model]}"/>')
        parts.append(_text(x + 24, 21, model))
        x += 48 + 6.6 * len(model)
    parts.append(f'<circle cx="{x + 6:.0f}" cy="17" r="6" fill="none" stroke="#222222" stroke-width="2"/>')
    parts.append(_text(x + 18, 21, "the default"))
    for number, panel in enumerate(drawn):
        row, column = divmod(number, COLUMNS)
        parts += _panel(panel, colours, LEFT + column * (PANEL_W + GAP_X), TOP + row * (PANEL_H + GAP_Y))
    return "\n".join([*parts, "</svg>", ""])


def _panel(panel: Panel, colours: dict[str, str], left: float, top: float) -> Iterator[str]:
    marks = [mark for line in panel.lines.values() for mark in line]
    low_x, high_x, step_x = scale([mark.x for mark in marks])
    low_y, high_y, step_y = scale([mark.y for mark in marks])

    def place(x: float, y: float) -> tuple[float, float]:
        across, up = (x - low_x) / (high_x - low_x), (y - low_y) / (high_y - low_y)
        return left + across * PANEL_W, top + (1 - up) * PANEL_H

    yield _text(left, top - 10, panel.title, ' font-weight="bold"')
    for number in range(round((high_x - low_x) / step_x) + 1):
        x, _ = place(low_x + number * step_x, low_y)
        yield f'<path d="M{x:.1f} {top}v{PANEL_H}" stroke="#e4e4e4"/>'
        yield _text(x, top + PANEL_H + 16, f"{low_x + number * step_x:.4g}", ' text-anchor="middle"')
    for number in range(round((high_y - low_y) / step_y) + 1):
        _, y = place(low_x, low_y + number * step_y)
        yield f'<path d="M{left} {y:.1f}h{PANEL_W}" stroke="#e4e4e4"/>'
        yield _text(left - 6, y + 4, f"{low_y + number * step_y:.4g}", ' text-anchor="end"')
    yield _text(left + PANEL_W / 2, top + PANEL_H + 34, panel.x, ' text-anchor="middle"')
    middle = top + PANEL_H / 2
    turned = f' text-anchor="middle" transform="rotate(-90 {left - 38:.0f} {middle:.0f})"'
    yield _text(left - 38, middle, panel.y, turned)
    for model, line in panel.lines.items():
        places = [place(mark.x, mark.y) for mark in line]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        yield f'<polyline points="{path}" fill="none" stroke="{colours[model]}" stroke-width="1.5"/>'
        for mark, (x, y) in zip(line, places, strict=True):
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.5" fill="{colours[model]}"/>'
            if mark.is_default:
                yield (
                    f'<circle cx="{x:.1f}" cy="{y:.1f}" r="6" fill="none" stroke="{colours[model]}" stroke-width="2"/>'
                )
        for end in {0, len(line) - 1}:
            x, y = places[end]
            yield _text(x + 5, y - 5, line[end].label, ' font-size="9"')


def scale(values: Sequence[float]) -> tuple[float, float, float]:
    """Return (low, high, step) of an axis with three to eight round steps that holds all values."""
    low, high = (min(values), max(values)) if values else (0.0, 1.0)
    span = max(high - low, 0.01)
    tenth = 10.0 ** math.floor(math.log10(span / 3))
    step = next(one * tenth for one in (1, 2, 2.5, 5, 10) if span / (one * tenth) <= 6)
    first = math.floor(low / step + 1e-9) * step
    last = math.ceil(high / step - 1e-9) * step
    return first, max(last, first + step), step


def _text(x: float, y: float, words: str, more: str = "") -> str:
    return f'<text x="{x:.0f}" y="{y:.0f}" fill="#222222"{more}>{escape(words)}</text>'
