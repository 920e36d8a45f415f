"""The page docs/announce-curve.md: the figures behind the defaults of [announce]."""

import datetime
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmark_report import machine

from truth.curve import (
    CLOSE,
    DEFAULTS,
    FRAMES,
    LEAST,
    MOST_UNKNOWN,
    MOST_UNKNOWN_SURE,
    NOT_ASKED,
    PARTS,
    Point,
    Sum,
    View,
    add_up,
    choose,
    family,
)
from truth.intervals import wilson


@dataclass(frozen=True)
class About:
    """How the figures were made."""

    command: str
    seconds: float
    date: datetime.date
    films: str
    """What the films show, in words."""


def page(points: Sequence[Point], judged: Sequence[Point], about: About) -> str:
    """Return the page.

    `points` are those of the sweep, in the views with `own`. `judged` has the defaults and the chosen settings (of
    `chosen`) in the others.
    """
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
            f"unknown thing, {FRAMES['wall']} of a gap. A sentence that would come later is not counted. "
            "`scripts/score_truth.py` runs the real daemon on longer films. Intervals are Wilson's, with 95 %."
        ),
        "",
        *filled(
            "What is fitted on some photos is judged on others. The defaults are chosen on the photos whose names "
            f"begin with 0 to 7. There, each photo is seen with a calibration that was not fitted to it ({PARTS}-fold "
            "cross-validation). The defaults are judged on the photos with 8 to f. There, the calibration was fitted "
            "to all photos with 0 to 7. The same is done the other way round, as a check."
        ),
        "",
        "## At the defaults",
        "",
        *_defaults(judged),
        "## How the defaults were chosen",
        "",
        *_rule(points, judged),
    ]
    for title, names, text in FAMILIES:
        found = family([point for point in points if point.view == CHOOSE], *names)
        asked = [point for point in found if point.model not in NOT_ASKED]
        lines += [f"## {title}", "", *filled(text), "", *_sums(add_up(asked), names), ""]
    return "\n".join(lines)


CHOOSE, JUDGE = View("fit", own=True), View("judge", own=False)
"""Where the defaults are chosen, and where they are judged."""
DIGITS = {"fit": "0 to 7", "judge": "8 to f"}
FAMILIES = (
    (
        "`sure` and `maybe`, for calibrated models",
        ("sure", "maybe"),
        "On the photos with 0 to 7, all asked models added, as in the tables below. They see the same photos, so their "
        'errors come together, and the true intervals are a little wider than these. `maybe = 1` never says "maybe".',
    ),
    (
        "`floor` and `margin`, for uncalibrated models",
        ("floor", "margin"),
        "A margin below `2 * floor - 1` changes nothing: the second label can have at most what the first one leaves.",
    ),
    (
        "`smoothing_s`",
        ("smoothing_s",),
        "The calibration is fitted to probabilities that are smoothed with the default. In these films each photo "
        "follows a gap. So they show what smoothing gains, and not what it costs: it keeps an earlier view alive when "
        "one thing follows another. Therefore the default is not the rule's choice, but the shortest time that "
        "qualifies.",
    ),
    (
        "`persistence_s`",
        ("persistence_s",),
        'A sure label needs less than this, a group twice, a "maybe" three times.',
    ),
)
"""Title, settings and explanation of each table."""


def _defaults(judged: Sequence[Point]) -> list[str]:
    lines = []
    for half, why in (
        ("judge", "Neither the thresholds nor the calibrations have seen these photos."),
        ("fit", "The thresholds were chosen on these photos, the calibrations were not fitted to them."),
    ):
        lines += [*filled(f"On the photos with {DIGITS[half]}. {why}"), ""]
        for calibrated in (True, False):
            rows = [
                point
                for point in judged
                if point.view.half == half and point.setting.calibrated == calibrated and point.setting.is_default
            ]
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


def chosen(points: Sequence[Point]) -> dict[tuple[str, tuple[str, ...]], Sum | None]:
    """Return what the rule chooses for each family of settings, on each half of the photos."""
    return {
        (half, names): choose(family([point for point in points if point.view == View(half, own=True)], *names))
        for half in DIGITS
        for _, names, _ in FAMILIES
    }


def _rule(points: Sequence[Point], judged: Sequence[Point]) -> list[str]:
    text = (
        "Precision first: a listener who sees nothing cannot check. Then recall, then latency. As a rule: a setting "
        f'qualifies if, of each model, {LEAST["I see"]:.0%} of "I see", {LEAST["maybe"]:.0%} of "maybe" and '
        f"{LEAST['all']:.0%} of all sentences are right, if nothing is said in a gap, and if at most "
        f'{MOST_UNKNOWN_SURE:.0%} of the unknown things are named with "I see" and {MOST_UNKNOWN:.0%} at all. For all '
        'models together, the lower end of the interval must reach the same shares of "I see" and of all sentences. '
        f"Of these settings, all whose recall is within {CLOSE:.2f} of the best count the same, and the quickest of "
        "them wins. An uncalibrated model has one form, and is not asked about gaps and unknown things. "
        f"{' and '.join(sorted(NOT_ASKED))} is shown, but not asked: half of its first labels are wrong, and no "
        "threshold changes that."
    )
    rows, choices = [], chosen(points)
    for half, digits in DIGITS.items():
        (other,) = (one for one in DIGITS if one != half)
        for _, names, _ in FAMILIES:
            found = choices[half, names]
            row = [digits, " and ".join(f"`{name}`" for name in names)]
            row.append(", ".join(f"{getattr(DEFAULTS, name):g}" for name in names))
            if found is None:
                rows.append([*row, "none qualifies", "-", "-", "-", "-"])
                continue
            asked = [
                point
                for point in judged
                if point.view == View(other, own=False)
                and point.setting.key == found.setting.key
                and point.model not in NOT_ASKED
            ]
            (there,) = add_up(asked)
            row += [_values(found, names), _plain(found.every), _plain(found.recall)]
            rows.append([*row, _counted(there.every), _counted(there.recall)])
    head = [
        "on the photos",
        "settings",
        "default",
        "the rule chooses",
        "right",
        "named",
        "right on the others",
        "named",
    ]
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
        note = "default" if one.setting.is_default else "" if one.holds and one.surely_holds else "too often wrong"
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
