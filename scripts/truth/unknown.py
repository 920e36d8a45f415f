"""Pictures that no label of ImageNet is right for, drawn here: text, charts, drawings, codes, maps, patterns.

Each is drawn by a family with a random generator, so the same number and seed give the same picture. Forms that are
a label of ImageNet are avoided, such as a clock, a maze, a honeycomb or a stone wall. Two families may still be called
by a label: see ACCEPTED.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from truth.camera import Pixels
from truth.patterns import as_pixels, clouds, ink

HEIGHT, WIDTH = 480, 640
ACCEPTED = {
    "page": frozenset({"n06359193"}),  # web site
    "terminal": frozenset({"n06359193"}),
    "cartoon face": frozenset({"n06596364"}),  # comic book
    "cartoon scene": frozenset({"n06596364"}),
}
"""Labels that are not false for a picture of a family."""
_WORDS = (
    "about above after again along answer around before begin below between board bring build carry change city close "
    "country cover cross during early earth enough every example family father figure first follow friend great group "
    "grow hand head hear high house idea important keep kind large last learn leave letter light line list little live "
    "long make mean might money morning mother music name near never next night number often open order other page "
    "paper part people piece place plant point problem question quick reach ready right river round school second set"
).split()
Random = np.random.Generator


def unknown_picture(number: int, seed: int) -> tuple[str, Pixels]:
    """Return picture `number` and the name of its family; the families take turns."""
    family = family_of(number)
    return family, FAMILIES[family](np.random.default_rng((seed, number)))


def family_of(number: int) -> str:
    """Return the name of the family that draws picture `number`."""
    return list(FAMILIES)[number % len(FAMILIES)]


def _sheet(shade: Any) -> Pixels:
    sheet = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    sheet[:] = shade
    return sheet


def _write(picture: Pixels, text: str, at: tuple[int, int], size: float, shade: Any, *, bold: int = 1) -> None:
    import cv2

    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, size, shade, bold, cv2.LINE_AA)


def _words(rng: Random, count: int) -> str:
    return " ".join(rng.choice(_WORDS, count))


def _page(rng: Random) -> Pixels:
    """Black text on white: a heading and paragraphs, in one or two columns."""
    sheet = _sheet(rng.integers(225, 256))
    _write(sheet, _words(rng, 3).title(), (30, 50), rng.uniform(0.8, 1.4), (20, 20, 20), bold=2)
    size = rng.uniform(0.35, 0.65)
    columns = int(rng.integers(1, 3))
    for column in range(columns):
        wide = (WIDTH - 60) // columns
        for line, y in enumerate(range(90, HEIGHT - 10, int(42 * size))):
            if line % int(5 + 4 * columns) == 4:
                continue
            text = _words(rng, 20)[: int(wide / (19 * size))]
            _write(sheet, text, (30 + column * wide, y), size, (40, 40, 40))
    return sheet


def _terminal(rng: Random) -> Pixels:
    """Lines of code or of a log, in colours on a dark screen."""
    sheet = _sheet(ink(rng, (0, 0.5), (5, 45)))
    shades = [ink(rng, (0, 0.7), (170, 255)) for _ in range(5)]
    size = rng.uniform(0.4, 0.7)
    for y in range(25, HEIGHT, int(45 * size)):
        x = 12 + 30 * int(rng.integers(0, 4))
        for _ in range(rng.integers(1, 7)):
            word = str(rng.choice(_WORDS)) + str(rng.choice(["", "()", " =", ":", ",", " ->"]))
            _write(sheet, word, (x, y), size, shades[rng.integers(5)])
            x += int(21 * size * len(word)) + 8
    return sheet


def _table(rng: Random) -> Pixels:
    """A spreadsheet: a grid, a header, numbers."""
    import cv2

    sheet = _sheet(255)
    wide, high = int(rng.integers(70, 130)), int(rng.integers(22, 40))
    cv2.rectangle(sheet, (0, 0), (WIDTH, high), ink(rng, (0.1, 0.5), (150, 230)), -1)
    for row, y in enumerate(range(0, HEIGHT, high)):
        cv2.line(sheet, (0, y), (WIDTH, y), (190, 190, 190), 1)
        for x in range(0, WIDTH, wide):
            cv2.line(sheet, (x, 0), (x, HEIGHT), (190, 190, 190), 1)
            text = str(rng.choice(_WORDS)) if row == 0 or x == 0 else f"{rng.uniform(-99, 999):.{rng.integers(3)}f}"
            if rng.uniform() < 0.85:
                _write(sheet, text[:9], (x + 5, y + high - 8), 0.42, (30, 30, 30))
    return sheet


def _axes(rng: Random, sheet: Pixels) -> None:
    import cv2

    for y in range(60, 430, 60):
        cv2.line(sheet, (60, y), (610, y), (215, 215, 215), 1)
        _write(sheet, str(int(rng.integers(10, 999))), (15, y + 5), 0.4, (60, 60, 60))
    cv2.line(sheet, (60, 30), (60, 420), (20, 20, 20), 2)
    cv2.line(sheet, (60, 420), (610, 420), (20, 20, 20), 2)
    _write(sheet, _words(rng, 4).capitalize(), (150, 25), 0.6, (20, 20, 20))
    for x in range(90, 600, 90):
        _write(sheet, str(rng.choice(_WORDS))[:6], (x, 445), 0.4, (60, 60, 60))


def _bars(rng: Random) -> Pixels:
    import cv2

    sheet = _sheet(rng.integers(240, 256))
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

    sheet = _sheet(rng.integers(240, 256))
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

    sheet = _sheet(rng.integers(235, 256))
    shares = rng.dirichlet(np.ones(int(rng.integers(3, 8)))) * 360
    start, centre, radius = 0.0, (230, 255), int(rng.integers(130, 190))
    _write(sheet, _words(rng, 3).capitalize(), (60, 40), 0.8, (20, 20, 20), bold=2)
    for number, share in enumerate(shares):
        shade = ink(rng)
        cv2.ellipse(sheet, centre, (radius, radius), 0, start, start + share, shade, -1, cv2.LINE_AA)
        cv2.rectangle(sheet, (460, 90 + 40 * number), (485, 112 + 40 * number), shade, -1)
        _write(sheet, f"{share / 3.6:.0f} % {rng.choice(_WORDS)}", (495, 108 + 40 * number), 0.45, (30, 30, 30))
        start += share
    return sheet


def _scatter(rng: Random) -> Pixels:
    import cv2

    sheet = _sheet(rng.integers(235, 256))
    _axes(rng, sheet)
    for _ in range(rng.integers(1, 5)):
        shade, centre = ink(rng), rng.uniform((150, 100), (520, 350))
        for x, y in rng.normal(centre, rng.uniform(15, 60, 2), (int(rng.integers(20, 150)), 2)).astype(int).tolist():
            if 62 < x < 608 and 30 < y < 418:
                cv2.circle(sheet, (x, y), int(rng.integers(2, 7)), shade, -1, cv2.LINE_AA)
    return sheet


def _cartoon_face(rng: Random) -> Pixels:
    """A head with eyes, a mouth and hair, in flat colours and thick lines."""
    import cv2

    sheet = _sheet(ink(rng, (0, 0.5), (150, 255)))
    x, y = int(rng.integers(250, 390)), int(rng.integers(220, 270))
    wide, high = int(rng.integers(110, 190)), int(rng.integers(130, 200))
    skin, black = ink(rng, (0.2, 0.9), (120, 255)), (15, 15, 15)
    cv2.ellipse(sheet, (x, y - high // 3), (wide + 15, high), 0, 180, 360, ink(rng), -1, cv2.LINE_AA)
    for shade, thick in ((skin, -1), (black, 5)):
        cv2.ellipse(sheet, (x, y), (wide, high), 0, 0, 360, shade, thick, cv2.LINE_AA)
    eye = int(rng.integers(18, 45))
    for side in (-1, 1):
        at = (x + side * wide // 2, y - high // 4)
        cv2.circle(sheet, at, eye, (255, 255, 255), -1, cv2.LINE_AA)
        cv2.circle(sheet, at, eye, black, 4, cv2.LINE_AA)
        cv2.circle(sheet, (at[0] + int(rng.integers(-8, 9)), at[1]), eye // 3, black, -1, cv2.LINE_AA)
        brow = y - high // 4 - eye - 12
        cv2.line(sheet, (at[0] - eye, brow), (at[0] + eye, brow + side * int(rng.integers(-15, 16))), black, 6)
    start, end = (0, 180) if rng.uniform() < 0.7 else (180, 360)
    cv2.ellipse(sheet, (x, y + high // 2), (wide // 2, high // 5), 0, start, end, (170, 30, 40), 8, cv2.LINE_AA)
    cv2.line(sheet, (x, y - 10), (x + int(rng.integers(-25, 26)), y + 25), black, 5, cv2.LINE_AA)
    return sheet


def _cartoon_scene(rng: Random) -> Pixels:
    """A child's drawing: hills, a sun, a cloud, figures of lines."""
    import cv2

    sheet = _sheet(ink(rng, (0.1, 0.5), (200, 255)))
    for _ in range(3):
        centre = (int(rng.integers(0, WIDTH)), int(rng.integers(440, 560)))
        axes = (int(rng.integers(180, 400)), int(rng.integers(90, 220)))
        cv2.ellipse(sheet, centre, axes, 0, 0, 360, ink(rng, (0.5, 1), (90, 220)), -1, cv2.LINE_AA)
    sun = (int(rng.integers(60, 580)), 70)
    cv2.circle(sheet, sun, 40, (255, 220, 40), -1, cv2.LINE_AA)
    for ray in np.linspace(0, 2 * np.pi, 12, endpoint=False):
        tip = (int(sun[0] + 70 * np.cos(ray)), int(sun[1] + 70 * np.sin(ray)))
        cv2.line(sheet, sun, tip, (255, 220, 40), 4, cv2.LINE_AA)
    left = int(rng.integers(30, 500))
    for puff in range(4):
        cv2.circle(sheet, (left + 28 * puff, 110 + int(rng.integers(-8, 9))), 26, (255, 255, 255), -1, cv2.LINE_AA)
    for _ in range(rng.integers(1, 5)):
        x, y, tall = int(rng.integers(60, 580)), int(rng.integers(260, 330)), int(rng.integers(60, 120))
        shade = ink(rng, (0.3, 1), (20, 160))
        cv2.circle(sheet, (x, y), tall // 4, shade, 4, cv2.LINE_AA)
        hip = (x, y + tall)
        cv2.line(sheet, (x, y + tall // 4), hip, shade, 4, cv2.LINE_AA)
        for side in (-1, 1):
            cv2.line(sheet, (x, y + tall // 2), (x + side * tall // 2, y + int(rng.integers(0, tall))), shade, 4)
            cv2.line(sheet, hip, (x + side * tall // 3, hip[1] + tall // 2), shade, 4, cv2.LINE_AA)
    return sheet


def _qr(rng: Random) -> Pixels:
    import cv2

    text = "".join(rng.choice(list("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 ./:"), int(rng.integers(12, 120))))
    code = np.asarray(cv2.QRCodeEncoder.create().encode(text), np.uint8)
    side = int(rng.integers(260, 440))
    code = np.asarray(cv2.resize(code, (side, side), interpolation=cv2.INTER_NEAREST), np.uint8)
    sheet = _sheet(ink(rng, (0, 0.2), (200, 255)))
    top, left = (HEIGHT - side) // 2, (WIDTH - side) // 2 + int(rng.integers(-60, 61))
    sheet[top : top + side, left : left + side] = code[:, :, None]
    return sheet


def _barcode(rng: Random) -> Pixels:
    sheet = _sheet(rng.integers(230, 256))
    x, module = int(rng.integers(50, 120)), int(rng.integers(3, 7))
    top, low = int(rng.integers(60, 140)), int(rng.integers(320, 400))
    while x < 560:
        wide = module * int(rng.integers(1, 4))
        sheet[top:low, x : x + wide] = 15
        x += wide + module * int(rng.integers(1, 4))
    _write(sheet, " ".join(str(one) for one in rng.integers(0, 10, 13)), (90, low + 45), 1.0, (15, 15, 15), bold=2)
    return sheet


def _map(rng: Random) -> Pixels:
    """Streets, a river, parks and names, from above."""
    import cv2

    sheet = _sheet(ink(rng, (0, 0.15), (225, 245)))
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
        _write(sheet, str(rng.choice(_WORDS)).title(), at, rng.uniform(0.35, 0.7), (80, 80, 90))
    return sheet


def _shapes(rng: Random) -> Pixels:
    """Triangles, circles and rectangles in any colours."""
    import cv2

    sheet = _sheet(ink(rng, (0, 1), (30, 255)))
    for _ in range(rng.integers(4, 30)):
        x, y, size = (int(one) for one in rng.integers((0, 0, 20), (WIDTH, HEIGHT, 150)))
        shade, form = ink(rng, (0.2, 1), (30, 255)), rng.integers(3)
        if form == 0:
            cv2.circle(sheet, (x, y), size // 2, shade, -1, cv2.LINE_AA)
        elif form == 1:
            cv2.rectangle(sheet, (x, y), (x + size, y + int(rng.integers(20, 150))), shade, -1)
        else:
            points = (np.array([x, y]) + rng.normal(0, size, (3, 2))).astype(np.int32)
            cv2.fillPoly(sheet, [points], shade, cv2.LINE_AA)
    return sheet


def _blocks(rng: Random) -> Pixels:
    """A field divided again and again, each part in one colour, with black lines."""
    import cv2

    sheet = _sheet(250)
    parts = [(0, 0, WIDTH, HEIGHT)]
    for _ in range(rng.integers(6, 25)):
        left, top, right, low = parts.pop(int(rng.integers(len(parts))))
        at = rng.uniform(0.3, 0.7)
        if right - left > low - top:
            x = int(left + at * (right - left))
            parts += [(left, top, x, low), (x, top, right, low)]
        else:
            y = int(top + at * (low - top))
            parts += [(left, top, right, y), (left, y, right, low)]
    thick = int(rng.integers(2, 12))
    for left, top, right, low in parts:
        cv2.rectangle(sheet, (left, top), (right, low), ink(rng, (0, 1), (120, 255)), -1)
        cv2.rectangle(sheet, (left, top), (right, low), (15, 15, 15), thick)
    return sheet


def _mosaic(rng: Random) -> Pixels:
    """Cells about random points, each in one colour."""
    points = rng.uniform((0, 0), (WIDTH, HEIGHT), (int(rng.integers(30, 200)), 2)).astype(np.float32)
    shades = np.array([ink(rng, (0.1, 0.9), (50, 255)) for _ in points], np.uint8)
    down, across = np.mgrid[0:HEIGHT:2, 0:WIDTH:2].astype(np.float32)
    nearest = np.zeros(down.shape, np.intp)
    least = np.full(down.shape, np.inf, np.float32)
    for number, (x, y) in enumerate(points):
        distance = (across - x) ** 2 + (down - y) ** 2
        nearest[distance < least] = number
        least = np.minimum(least, distance)
    return np.asarray(shades[nearest].repeat(2, axis=0).repeat(2, axis=1), np.uint8)


def _plasma(rng: Random) -> Pixels:
    """Colours that flow into each other."""
    coarsest, gain = int(rng.integers(2, 20)), rng.uniform(30, 75)
    layers = [clouds(rng, (HEIGHT, WIDTH), coarsest, int(rng.integers(1, 6))) for _ in range(3)]
    return as_pixels(128 + np.float32(gain) * np.stack(layers, axis=2))


def _waves(rng: Random) -> Pixels:
    """Rings or stripes that cross, as in moire."""
    down, across = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    total = np.zeros((HEIGHT, WIDTH), np.float32)
    for _ in range(rng.integers(2, 5)):
        x, y = rng.uniform((-300, -300), (WIDTH + 300, HEIGHT + 300))
        total += np.sin(np.hypot(across - x, down - y) * 2 * np.pi / rng.uniform(14, 60))
    share = ((total - total.min()) / np.ptp(total))[:, :, None]
    first, second = (np.array(ink(rng, (0, 1), (0, 255)), np.float32) for _ in range(2))
    return as_pixels((1 - share) * first + share * (255 - first if rng.uniform() < 0.5 else second))


def _dots(rng: Random) -> Pixels:
    """A raster of dots whose sizes follow a soft pattern, as in print."""
    import cv2

    sheet, shade = _sheet(ink(rng, (0, 0.3), (200, 255))), ink(rng, (0.3, 1), (0, 200))
    step = int(rng.integers(9, 28))
    sizes = clouds(rng, (HEIGHT, WIDTH), 3, 2)
    for y in range(0, HEIGHT, step):
        for x in range((y // step % 2) * step // 2, WIDTH, step):
            size = int(step * np.clip(0.35 + 0.2 * sizes[y, x], 0.05, 0.7))
            cv2.circle(sheet, (x, y), size, shade, -1, cv2.LINE_AA)
    return sheet


def _diagram(rng: Random) -> Pixels:
    """Boxes with words, and arrows between them."""
    import cv2

    sheet = _sheet(rng.integers(240, 256))
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
        _write(sheet, str(rng.choice(_WORDS)), (x - wide + 6, y + 5), 0.5, (20, 20, 20))
    return sheet


def _app(rng: Random) -> Pixels:
    """The screen of a program: a bar, a list, buttons."""
    import cv2

    dark = rng.uniform() < 0.4
    sheet, text = _sheet(35 if dark else 245), (225,) * 3 if dark else (40,) * 3
    accent = ink(rng, (0.5, 1), (120, 230))
    cv2.rectangle(sheet, (0, 0), (WIDTH, 48), accent, -1)
    _write(sheet, _words(rng, 2).title(), (20, 33), 0.8, (255, 255, 255), bold=2)
    side = int(rng.integers(120, 220))
    for y in range(85, HEIGHT, int(rng.integers(32, 55))):
        _write(sheet, str(rng.choice(_WORDS)).title(), (20, y), 0.5, text)
        cv2.line(sheet, (0, y + 14), (side, y + 14), (128, 128, 128), 1)
        _write(sheet, _words(rng, 4)[:34], (side + 60, y), 0.5, text)
        cv2.circle(sheet, (side + 30, y - 5), 11, ink(rng), -1, cv2.LINE_AA)
    for number in range(rng.integers(1, 4)):
        left = side + 30 + 130 * number
        cv2.rectangle(sheet, (left, 425), (left + 110, 462), accent, -1)
        _write(sheet, str(rng.choice(_WORDS)).title(), (left + 14, 450), 0.55, (255, 255, 255))
    return sheet


FAMILIES: dict[str, Callable[[Random], Pixels]] = {
    "page": _page, "terminal": _terminal, "table": _table, "app": _app,
    "bar chart": _bars, "line chart": _lines, "pie chart": _pie, "scatter chart": _scatter, "diagram": _diagram,
    "cartoon face": _cartoon_face, "cartoon scene": _cartoon_scene,
    "QR code": _qr, "bar code": _barcode, "map": _map,
    "shapes": _shapes, "blocks": _blocks, "mosaic": _mosaic, "plasma": _plasma, "waves": _waves, "dots": _dots,
}  # fmt: skip
"""How the pictures of each family are drawn: 480 x 640 x 3, uint8, RGB."""
