"""Charts, diagrams and maps."""

import numpy as np

from truth.camera import Pixels
from truth.patterns import ink
from truth.unknown.canvas import HEIGHT, WIDTH, WORDS, Family, Random, sheet_of, words, write


def _axes(rng: Random, sheet: Pixels) -> None:
    import cv2

    for y in range(60, 430, 60):
        cv2.line(sheet, (60, y), (610, y), (215, 215, 215), 1)
        write(sheet, str(int(rng.integers(10, 999))), (15, y + 5), 0.4, (60, 60, 60))
    cv2.line(sheet, (60, 30), (60, 420), (20, 20, 20), 2)
    cv2.line(sheet, (60, 420), (610, 420), (20, 20, 20), 2)
    write(sheet, words(rng, 4).capitalize(), (150, 25), 0.6, (20, 20, 20))
    for x in range(90, 600, 90):
        write(sheet, str(rng.choice(WORDS))[:6], (x, 445), 0.4, (60, 60, 60))


def _bars(rng: Random) -> Pixels:
    import cv2

    sheet = sheet_of(rng.integers(240, 256))
    _axes(rng, sheet)
    count, shades = int(rng.integers(4, 18)), [ink(rng) for _ in range(3)]
    wide = 540 / count
    for bar in range(count):
        top = int(rng.integers(50, 400))
        shade = shades[bar % int(rng.integers(1, 4))]
        cv2.rectangle(sheet, (int(66 + bar * wide), top), (int(62 + (bar + 0.75) * wide), 419), shade, -1)
    return sheet


def _lines(rng: Random) -> Pixels:
    import cv2

    sheet = sheet_of(rng.integers(240, 256))
    _axes(rng, sheet)
    for _ in range(rng.integers(1, 6)):
        points = int(rng.integers(6, 80))
        walk = np.cumsum(rng.normal(0, 1, points))
        y = 225 - 160 * walk / max(float(np.abs(walk).max()), 1e-6)
        xy = np.stack([np.linspace(62, 608, points), y], axis=1).astype(np.int32)
        shade = ink(rng)
        cv2.polylines(sheet, [xy], False, shade, int(rng.integers(1, 4)), cv2.LINE_AA)
        if points < 20:
            for x, y_ in xy.tolist():
                cv2.circle(sheet, (x, y_), 4, shade, -1)
    return sheet


def _pie(rng: Random) -> Pixels:
    import cv2

    sheet = sheet_of(rng.integers(235, 256))
    shares = rng.dirichlet(np.ones(int(rng.integers(3, 8)))) * 360
    start, centre, radius = 0.0, (230, 255), int(rng.integers(130, 190))
    write(sheet, words(rng, 3).capitalize(), (60, 40), 0.8, (20, 20, 20), bold=2)
    for number, share in enumerate(shares):
        shade = ink(rng)
        cv2.ellipse(sheet, centre, (radius, radius), 0, start, start + share, shade, -1, cv2.LINE_AA)
        cv2.rectangle(sheet, (460, 90 + 40 * number), (485, 112 + 40 * number), shade, -1)
        write(sheet, f"{share / 3.6:.0f} % {rng.choice(WORDS)}", (495, 108 + 40 * number), 0.45, (30, 30, 30))
        start += share
    return sheet


def _scatter(rng: Random) -> Pixels:
    import cv2

    sheet = sheet_of(rng.integers(235, 256))
    _axes(rng, sheet)
    for _ in range(rng.integers(1, 5)):
        shade, centre = ink(rng), rng.uniform((150, 100), (520, 350))
        for x, y in rng.normal(centre, rng.uniform(15, 60, 2), (int(rng.integers(20, 150)), 2)).astype(int).tolist():
            if 62 < x < 608 and 30 < y < 418:
                cv2.circle(sheet, (x, y), int(rng.integers(2, 7)), shade, -1, cv2.LINE_AA)
    return sheet


def _diagram(rng: Random) -> Pixels:
    """Boxes with words, and arrows between them."""
    import cv2

    sheet = sheet_of(rng.integers(240, 256))
    rows, columns = int(rng.integers(2, 5)), int(rng.integers(2, 5))
    cells = [(c * WIDTH // columns, r * HEIGHT // rows) for r in range(rows) for c in range(columns)]
    centres = [(x + WIDTH // columns // 2, y + HEIGHT // rows // 2) for x, y in cells]
    for _ in range(len(cells) + 2):
        start, end = rng.choice(len(cells), 2, replace=False)
        cv2.arrowedLine(sheet, centres[start], centres[end], (60, 60, 60), 2, cv2.LINE_AA, tipLength=0.08)
    for x, y in centres:
        wide, high = int(rng.integers(40, 65)), int(rng.integers(20, 36))
        shade = ink(rng, (0.1, 0.5), (190, 255))
        for fill, thick in ((shade, -1), ((50, 50, 50), 2)):
            if rng.uniform() < 0.75:
                cv2.rectangle(sheet, (x - wide, y - high), (x + wide, y + high), fill, thick)
            else:
                cv2.ellipse(sheet, (x, y), (wide, high), 0, 0, 360, fill, thick, cv2.LINE_AA)
        write(sheet, str(rng.choice(WORDS)), (x - wide + 6, y + 5), 0.5, (20, 20, 20))
    return sheet


def _map(rng: Random) -> Pixels:
    """Streets, a river, parks and names, from above."""
    import cv2

    sheet = sheet_of(ink(rng, (0, 0.15), (225, 245)))
    for _ in range(rng.integers(2, 6)):
        park = (rng.uniform((0, 0), (WIDTH, HEIGHT)) + rng.normal(0, 70, (6, 2))).astype(np.int32)
        cv2.fillPoly(sheet, [cv2.convexHull(park)], ink(rng, (0.15, 0.4), (200, 235)), cv2.LINE_AA)
    x = np.linspace(-20, 660, 40)
    y = 240 + rng.uniform(40, 140) * np.sin(x / rng.uniform(60, 200) + rng.uniform(0, 6))
    river = np.stack([x, y], axis=1) if rng.uniform() < 0.5 else np.stack([y, x], axis=1)
    cv2.polylines(sheet, [river.astype(np.int32)], False, (150, 195, 235), int(rng.integers(15, 45)), cv2.LINE_AA)
    for _ in range(rng.integers(12, 30)):
        ends = rng.uniform(-50, 700, (2, 2)).astype(int).tolist()
        wide = int(rng.integers(3, 12))
        cv2.line(sheet, ends[0], ends[1], (170, 170, 170), wide + 3, cv2.LINE_AA)
        cv2.line(sheet, ends[0], ends[1], (255, 255, 255) if wide < 9 else (250, 215, 120), wide, cv2.LINE_AA)
    for _ in range(12):
        at = (int(rng.integers(0, 560)), int(rng.integers(20, 470)))
        write(sheet, str(rng.choice(WORDS)).title(), at, rng.uniform(0.35, 0.7), (80, 80, 90))
    return sheet


CHARTS: dict[str, Family] = {
    "bar chart": _bars,
    "line chart": _lines,
    "pie chart": _pie,
    "scatter chart": _scatter,
    "diagram": _diagram,
    "map": _map,
}
"""How each family is drawn."""
