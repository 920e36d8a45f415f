"""The score as lines to read, and as a contact sheet of everything that was said wrongly."""

import math
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np

from edge.cli.table import table
from truth.camera import Pixels
from truth.films import GAPS, Film
from truth.scoring import FORMS, Sentence

CELL = (320, 240)
"""Width and height of a picture of the sheet."""
COLUMNS, MOST = 5, 300
"""A sheet has at most MOST pictures."""
_LINE, _LINES = 18, 4


def report(found: Mapping[str, Any]) -> str:
    """Return the score as a table in 80 columns."""
    rows: list[list[str]] = []

    def add(name: str, one: Mapping[str, Any]) -> None:
        count, of = one["count"], one["of"]
        low, high = one["interval"]
        rows.append([name, "-" if not of else f"{count / of:.3f}", f"{low:.3f} to {high:.3f}", f"{count} of {of}"])

    def title(name: str) -> None:
        rows.append([name, "", "", ""])

    title("Right, of the sentences at a photo")
    for form in ("all", "I see", FORMS[0], FORMS[1], "maybe", FORMS[2], FORMS[3]):
        add(f"  {form}", found["precision"][form])
    add("Right, at two photos", found["precision_of_pairs"])
    add("Right, of everything said", found["precision_of_everything"])
    add("Photos named rightly", found["recall"])
    add("  with I see", found["recall_sure"])
    add("Pairs named rightly", found["recall_of_pairs"])
    add("Said again in a visit", found["repeats"])
    for kind, name in zip(GAPS, ("walls", "darkness", "blur"), strict=True):
        add(f"Gaps with a sentence: {name}", found["gaps"][kind])
    add("Pans with a sentence", found["pans"])
    add("Unknown things: false I see", found["unknown_sure"])
    add("  false sentence of any form", found["unknown_any"])
    title("Seconds to the sentence (median)")
    for form in ("all", "I see", FORMS[0], FORMS[1], FORMS[2], FORMS[3]):
        one = found["latency"][form]
        if one["of"]:
            low, high = one["interval"]
            rows.append(
                [
                    f"  {form}",
                    f"{one['median_s']:.2f}",
                    f"{low:.2f} to {high:.2f}",
                    f"{one['of']}, frame {one['median_frames']}",
                ]
            )
    title("Calibration error (ECE)")
    for name, one in (("said", found["ece_said"]), ("end of visit", found["ece_seen"])):
        if one["of"]:
            low, high = one["interval"]
            rows.append([f"  {name}", f"{one['ece']:.3f}", f"{low:.3f} to {high:.3f}", f"{one['of']}"])
            rows.append(["    by chance alone up to", f"{one['by_chance']:.3f}", "", ""])
            rows.append(["    says, and is right", f"{one['says']:.3f}", f"{one['right']:.3f}", ""])
    return table(["", "value", "95 % interval", "n"], rows, numbers=(1,))


def sheet(parts: Sequence[Film], wrong: Sequence[Sentence], labels: Mapping[str, str]) -> Pixels | None:
    """Return a contact sheet of these sentences, each with the frame at which it was said; None if there is none.

    `labels` has the name of each id, for the truth.
    """
    import cv2

    cells = [_cell(parts, one, labels) for one in wrong[:MOST]]
    if not cells:
        return None
    columns = min(COLUMNS, len(cells))
    cells += [np.full_like(cells[0], 255)] * (-len(cells) % columns)
    rows = [np.hstack(cells[start : start + columns]) for start in range(0, len(cells), columns)]
    return np.asarray(cv2.copyMakeBorder(np.vstack(rows), 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(255,) * 3), np.uint8)


def _cell(parts: Sequence[Film], one: Sentence, labels: Mapping[str, str]) -> Pixels:
    import cv2

    film = parts[one.part]
    shot = film.shots[one.shot]
    number = math.floor(min(max(one.at_s - shot.from_s, 0.0), shot.to_s - shot.from_s) * film.fps + 1e-6)
    frames = round((shot.to_s - shot.from_s) * film.fps)
    frame = next(islice(film.frames_of(one.shot), min(number, frames - 1), None))
    cell = np.full((CELL[1] + _LINES * _LINE + 6, CELL[0], 3), 255, np.uint8)
    cell[: CELL[1]] = cv2.resize(frame, CELL, interpolation=cv2.INTER_AREA)
    truth = " / ".join(sorted(labels.get(identity, identity).partition(",")[0] for identity in shot.ids))
    detail = film.detail(one.shot)
    lines = (f"{one.text} ({one.probability:.0%})", truth or "nothing is right", shot.kind, detail)
    for line, text in enumerate(lines):
        shade = (200, 0, 0) if line == 0 else (0, 0, 0)
        short = text.encode("ascii", "replace").decode()[:44]
        at = (4, CELL[1] + _LINE * (line + 1) - 3)
        cv2.putText(cell, short, at, cv2.FONT_HERSHEY_SIMPLEX, 0.43, shade, 1, cv2.LINE_AA)
    return np.asarray(cv2.copyMakeBorder(cell, 2, 2, 2, 2, cv2.BORDER_CONSTANT, value=(180,) * 3), np.uint8)
