"""The page docs/announce-curve.md: the figures behind the defaults of [announce]."""

import datetime
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmark_report import machine

from truth.curve import CLOSE, FRAMES, LEAST, Point, Sum, add_up, choose, family
from truth.intervals import wilson


@dataclass(frozen=True)
class About:
    """How the figures were made."""

    command: str
    seconds: float
    date: datetime.date
    films: str
    """What the films show, in words."""


def page(points: Sequence[Point], about: About) -> str:
    """Return the page."""
    lines = [
        "# The curve behind the defaults",
        "",
        "![Curves: precision against recall, and latency, for each setting and model](announce-curve.svg)",
        "",
        *filled(
            "This page is for people who want to change when edge speaks: in their own settings, or its defaults. It "
            "shows what each threshold of `[announce]` gains and costs. [speech.md](speech.md) explains the settings."
        ),
        "",
        *filled(
            f"`{about.command}` wrote it on {about.date.isoformat()}, in {about.seconds / 60:.0f} minutes. No figure "
            "is edited by hand. " + " ".join(f"{one}." for one in machine())
        ),
        "",
        "## How it is measured",
        "",
        *filled(
            f"{about.films} Each network is asked once about each frame. Then edge's announcer runs over its answers "
            "with every setting. It sees 10 frames a second on a simulated clock, and speaking takes no time. Each "
            f"shot follows a long gap, and is short: {FRAMES['visit']} frames of a photo, {FRAMES['unknown']} of an "
            f"unknown thing, {FRAMES['wall']} of a gap. A sentence that would come later is not counted. Therefore "
            "recall is a little lower than in `scripts/score_truth.py`, which shows each photo for 4 s."
        ),
        "",
        *filled(
            "Each model is calibrated as `edge models calibrate` does it, on the photos of one half, and judged on the "
            "other half; then the other way round. The tables add both halves. Intervals are Wilson's, with 95 %."
        ),
        "",
        "## At the defaults",
        "",
        *_defaults(points),
        "## How the defaults were chosen",
        "",
        *_rule(points),
    ]
    for title, names, text in FAMILIES:
        found = family(points, *names)
        lines += [f"## {title}", "", *filled(text), "", *_sums(add_up(found), names), ""]
    return "\n".join(lines)


FAMILIES = (
    (
        "`sure` and `maybe`, for calibrated models",
        ("sure", "maybe"),
        "All models added. They see the same photos, so their errors come together, and the true intervals are a "
        'little wider than these. `maybe = 1` never says "maybe".',
    ),
    (
        "`floor` and `margin`, for uncalibrated models",
        ("floor", "margin"),
        "A margin below `2 * floor - 1` changes nothing: the second label can have at most what the first one leaves.",
    ),
    (
        "`smoothing_s`",
        ("smoothing_s",),
        "The calibration is fitted to probabilities that are smoothed with the default.",
    ),
    ("`persistence_s`", ("persistence_s",), 'A sure label needs less than this, a group twice, a "maybe" three times.'),
)
"""Title, settings and explanation of each table."""


def _defaults(points: Sequence[Point]) -> list[str]:
    lines = []
    for calibrated in (True, False):
        rows = [point for point in points if point.setting.calibrated == calibrated and point.setting.is_default]
        if not rows:
            continue
        cells = [_default_cells(point) for point in rows]
        lines += table(
            ["calibrated" if calibrated else "uncalibrated", *cells[0]],
            [[point.model, *one.values()] for point, one in zip(rows, cells, strict=True)],
        )
        lines.append("")
    lines += filled(
        "*Right* is the share of the sentences at a photo that are true; a group is true if it contains the label. "
        "*Photos named* is recall. *Seconds* is the median from the first frame of the photo to the frame at which "
        "edge speaks. *Unknown things* and *gaps* count those with a false sentence."
    )
    return [*lines, ""]


def _default_cells(point: Point) -> dict[str, str]:
    """Return the columns of the first table. Without a calibration there is no "maybe"."""
    found, forms = point.found, point.found["precision"]
    seconds = {}
    for form in ("I see", "all"):
        wait = found["latency"][form]["median_s"]
        seconds[form] = "-" if wait is None else f"{wait:.1f}"
    gaps = [sum(one[key] for one in found["gaps"].values()) for key in ("count", "of")]
    cells = {"right": _share(forms["all"])}
    if point.setting.calibrated:
        cells |= {'"I see" right': _share(forms["I see"]), '"maybe" right': _share(forms["maybe"])}
    cells |= {"photos named": _share(found["recall"]), "seconds": seconds["all"]}
    if point.setting.calibrated:
        cells |= {'of "I see"': seconds["I see"], 'unknown things, "I see"': _share(found["unknown_sure"])}
    return cells | {"unknown things": _share(found["unknown_any"]), "gaps": f"{gaps[0]} of {gaps[1]}"}


def _rule(points: Sequence[Point]) -> list[str]:
    """Return the rule, and for each family of settings what it chooses on these films beside the default."""
    text = (
        "Precision first: a listener who sees nothing cannot check. Then recall, then latency. As a rule: the "
        "sentences of all models are added, because a default serves every model. A setting qualifies if "
        f'{LEAST["I see"]:.0%} of "I see", {LEAST["maybe"]:.0%} of "maybe" and {LEAST["all"]:.0%} of all '
        "sentences are right, and nothing is said in a gap. Of these, all settings whose recall is within "
        f"{CLOSE:.2f} of the best count the same, and the quickest of them wins. The defaults are stricter where "
        "they differ: each model by itself is to be as precise, in films of score_truth.py too, and a listener cannot "
        "check."
    )
    rows = []
    for _, names, _ in FAMILIES:
        sums = add_up(family(points, *names))
        default = next((one for one in sums if one.setting.is_default), None)
        rows.append([" and ".join(f"`{name}`" for name in names)])
        for one, without in ((default, "not tried"), (choose(sums), "none qualifies")):
            rows[-1] += [_values(one, names), _plain(one.every), _plain(one.recall)] if one else [without, "-", "-"]
    head = ["settings", "default", "right", "photos named", "the rule chooses", "right", "photos named"]
    return [*filled(text), "", *table(head, rows), ""]


def _values(one: Sum, names: Sequence[str]) -> str:
    return ", ".join(f"{getattr(one.setting.announce, name):g}" for name in names)


def _sums(sums: Sequence[Sum], names: Sequence[str]) -> list[str]:
    calibrated = bool(sums) and sums[0].setting.calibrated
    head = [*(f"`{name}`" for name in names), "right", *(['"I see" right', '"maybe" right'] if calibrated else [])]
    head += ["photos named", "seconds", "unknown things", "gaps", ""]
    rows = []
    for one in sums:
        forms = [_counted(one.sure), _counted(one.maybe)] if calibrated else []
        settings = _values(one, names).split(", ")
        note = "default" if one.setting.is_default else "" if one.holds else "too often wrong"
        rows.append(
            [
                *settings,
                _counted(one.every),
                *forms,
                _counted(one.recall),
                f"{one.wait_s:.2f}",
                f"{one.unknown[0]} of {one.unknown[1]}",
                f"{one.gaps[0]} of {one.gaps[1]}",
                note,
            ]
        )
    return table(head, rows)


def _share(found: dict[str, Any]) -> str:
    return _counted((found["count"], found["of"]))


def _counted(pair: tuple[int, int]) -> str:
    """Return a share with its interval and n."""
    count, of = pair
    if not of:
        return "-"
    low, high = wilson(count, of)
    return f"{count / of:.3f} ({low:.3f} to {high:.3f}, n = {of})"


def _plain(pair: tuple[int, int]) -> str:
    return f"{pair[0] / pair[1]:.3f}" if pair[1] else "-"


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table in Markdown."""
    return [f"| {' | '.join(line)} |" for line in (head, ["---"] * len(head), *rows)]


def filled(words: str) -> list[str]:
    """Return a paragraph in lines of at most 120 characters."""
    return textwrap.wrap(words, 120, break_long_words=False, break_on_hyphens=False)
