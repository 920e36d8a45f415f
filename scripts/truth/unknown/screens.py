"""Text and screens: pages, a terminal, a table, a program."""

from truth.camera import Pixels
from truth.patterns import ink
from truth.unknown.canvas import HEIGHT, WIDTH, WORDS, Family, Random, sheet_of, words, write


def _page(rng: Random) -> Pixels:
    """Black text on white: a heading and paragraphs, in one or two columns."""
    sheet = sheet_of(rng.integers(225, 256))
    write(sheet, words(rng, 3).title(), (30, 50), rng.uniform(0.8, 1.4), (20, 20, 20), bold=2)
    size = rng.uniform(0.35, 0.65)
    columns = int(rng.integers(1, 3))
    for column in range(columns):
        wide = (WIDTH - 60) // columns
        for line, y in enumerate(range(90, HEIGHT - 10, int(42 * size))):
            if line % int(5 + 4 * columns) == 4:
                continue
            text = words(rng, 20)[: int(wide / (19 * size))]
            write(sheet, text, (30 + column * wide, y), size, (40, 40, 40))
    return sheet


def _terminal(rng: Random) -> Pixels:
    """Lines of code or of a log, in colours on a dark screen."""
    sheet = sheet_of(ink(rng, (0, 0.5), (5, 45)))
    shades = [ink(rng, (0, 0.7), (170, 255)) for _ in range(5)]
    size = rng.uniform(0.4, 0.7)
    for y in range(25, HEIGHT, int(45 * size)):
        x = 12 + 30 * int(rng.integers(0, 4))
        for _ in range(rng.integers(1, 7)):
            word = str(rng.choice(WORDS)) + str(rng.choice(["", "()", " =", ":", ",", " ->"]))
            write(sheet, word, (x, y), size, shades[rng.integers(5)])
            x += int(21 * size * len(word)) + 8
    return sheet


def _table(rng: Random) -> Pixels:
    """A spreadsheet: a grid, a header, numbers."""
    import cv2

    sheet = sheet_of(255)
    wide, high = int(rng.integers(70, 130)), int(rng.integers(22, 40))
    cv2.rectangle(sheet, (0, 0), (WIDTH, high), ink(rng, (0.1, 0.5), (150, 230)), -1)
    for row, y in enumerate(range(0, HEIGHT, high)):
        cv2.line(sheet, (0, y), (WIDTH, y), (190, 190, 190), 1)
        for x in range(0, WIDTH, wide):
            cv2.line(sheet, (x, 0), (x, HEIGHT), (190, 190, 190), 1)
            text = str(rng.choice(WORDS)) if row == 0 or x == 0 else f"{rng.uniform(-99, 999):.{rng.integers(3)}f}"
            if rng.uniform() < 0.85:
                write(sheet, text[:9], (x + 5, y + high - 8), 0.42, (30, 30, 30))
    return sheet


def _app(rng: Random) -> Pixels:
    """The screen of a program: a bar, a list, buttons."""
    import cv2

    dark = rng.uniform() < 0.4
    sheet, text = sheet_of(35 if dark else 245), (225,) * 3 if dark else (40,) * 3
    accent = ink(rng, (0.5, 1), (120, 230))
    cv2.rectangle(sheet, (0, 0), (WIDTH, 48), accent, -1)
    write(sheet, words(rng, 2).title(), (20, 33), 0.8, (255, 255, 255), bold=2)
    side = int(rng.integers(120, 220))
    for y in range(85, HEIGHT, int(rng.integers(32, 55))):
        write(sheet, str(rng.choice(WORDS)).title(), (20, y), 0.5, text)
        cv2.line(sheet, (0, y + 14), (side, y + 14), (128, 128, 128), 1)
        write(sheet, words(rng, 4)[:34], (side + 60, y), 0.5, text)
        cv2.circle(sheet, (side + 30, y - 5), 11, ink(rng), -1, cv2.LINE_AA)
    for number in range(rng.integers(1, 4)):
        left = side + 30 + 130 * number
        cv2.rectangle(sheet, (left, 425), (left + 110, 462), accent, -1)
        write(sheet, str(rng.choice(WORDS)).title(), (left + 14, 450), 0.55, (255, 255, 255))
    return sheet


SCREENS: dict[str, Family] = {
    "page": _page,
    "terminal": _terminal,
    "table": _table,
    "app": _app,
}
"""How each family is drawn."""
