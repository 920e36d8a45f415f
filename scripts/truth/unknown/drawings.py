"""Cartoons, codes and abstract forms."""

import numpy as np

from truth.camera import Pixels
from truth.patterns import as_pixels, clouds, ink
from truth.unknown.canvas import HEIGHT, WIDTH, Family, Random, sheet_of, write


def _cartoon_face(rng: Random) -> Pixels:
    """A head with eyes, a mouth and hair, in flat colours and thick lines."""
    import cv2

    sheet = sheet_of(ink(rng, (0, 0.5), (150, 255)))
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

    sheet = sheet_of(ink(rng, (0.1, 0.5), (200, 255)))
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
    sheet = sheet_of(ink(rng, (0, 0.2), (200, 255)))
    top, left = (HEIGHT - side) // 2, (WIDTH - side) // 2 + int(rng.integers(-60, 61))
    sheet[top : top + side, left : left + side] = code[:, :, None]
    return sheet


def _barcode(rng: Random) -> Pixels:
    sheet = sheet_of(rng.integers(230, 256))
    x, module = int(rng.integers(50, 120)), int(rng.integers(3, 7))
    top, low = int(rng.integers(60, 140)), int(rng.integers(320, 400))
    while x < 560:
        wide = module * int(rng.integers(1, 4))
        sheet[top:low, x : x + wide] = 15
        x += wide + module * int(rng.integers(1, 4))
    write(sheet, " ".join(str(one) for one in rng.integers(0, 10, 13)), (90, low + 45), 1.0, (15, 15, 15), bold=2)
    return sheet


def _shapes(rng: Random) -> Pixels:
    """Triangles, circles and rectangles in any colours."""
    import cv2

    sheet = sheet_of(ink(rng, (0, 1), (30, 255)))
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

    sheet = sheet_of(250)
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

    sheet, shade = sheet_of(ink(rng, (0, 0.3), (200, 255))), ink(rng, (0.3, 1), (0, 200))
    step = int(rng.integers(9, 28))
    sizes = clouds(rng, (HEIGHT, WIDTH), 3, 2)
    for y in range(0, HEIGHT, step):
        for x in range((y // step % 2) * step // 2, WIDTH, step):
            size = int(step * np.clip(0.35 + 0.2 * sizes[y, x], 0.05, 0.7))
            cv2.circle(sheet, (x, y), size, shade, -1, cv2.LINE_AA)
    return sheet


DRAWINGS: dict[str, Family] = {
    "cartoon face": _cartoon_face,
    "cartoon scene": _cartoon_scene,
    "QR code": _qr,
    "bar code": _barcode,
    "shapes": _shapes,
    "blocks": _blocks,
    "mosaic": _mosaic,
    "plasma": _plasma,
    "waves": _waves,
    "dots": _dots,
}
"""How each family is drawn."""
