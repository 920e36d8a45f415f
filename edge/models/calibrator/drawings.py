"""Draw pictures that show none of a model's labels: bare surfaces, and drawings, charts, texts and codes.

A classifier must choose one of its labels for these too. They are what it learns to say nothing about
(models/calibrator/open_set.py). Everything is drawn from a seed, so that the same seed gives the same pictures.
"""

import string
from collections.abc import Callable, Iterator

import cv2
import numpy as np
from numpy.typing import NDArray

from edge.stages import Pixels

WIDTH, HEIGHT = 640, 480
Rng = np.random.Generator
Floats = NDArray[np.float32]


def other_pictures(count: int, seed: int = 0) -> Iterator[Pixels]:
    """Yield `count` drawings (uint8 HEIGHT x WIDTH x 3), of each kind in turn."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        yield _KINDS[number % len(_KINDS)](rng)


def other_picture(rng: Rng) -> Pixels:
    """Return a drawing of any kind (uint8 HEIGHT x WIDTH x 3)."""
    return _KINDS[int(rng.integers(len(_KINDS)))](rng)


def _canvas(color: tuple[int, ...]) -> Pixels:
    return np.full((HEIGHT, WIDTH, 3), color, np.uint8)


def _color(rng: Rng, low: int = 0, high: int = 256) -> tuple[int, int, int]:
    red, green, blue = (int(value) for value in rng.integers(low, high, 3))
    return red, green, blue


def _point(rng: Rng) -> tuple[int, int]:
    return int(rng.integers(0, WIDTH)), int(rng.integers(0, HEIGHT))


def _paper(rng: Rng) -> Pixels:
    """Return an empty page, light or (one in four) dark."""
    return _canvas(_color(rng, 0, 60) if rng.random() < 0.25 else _color(rng, 190, 256))


def _ink(rng: Rng, paper: Pixels) -> tuple[int, int, int]:
    return _color(rng, 0, 90) if paper[0, 0].mean() > 128 else _color(rng, 160, 256)


def _word(rng: Rng) -> str:
    letters = string.ascii_lowercase if rng.random() < 0.8 else string.digits + string.ascii_uppercase
    return "".join(rng.choice(list(letters), int(rng.integers(1, 11))))


def _write(picture: Pixels, text: str, at: tuple[int, int], scale: float, color: tuple[int, int, int]) -> int:
    """Write a text; return its width in pixels."""
    thickness = max(1, round(2 * scale))
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, color, thickness, cv2.LINE_AA)
    return int(cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, scale, thickness)[0][0])


def _text(rng: Rng) -> Pixels:
    """A page or a screen of text, in lines and paragraphs."""
    page = _paper(rng)
    ink, scale = _ink(rng, page), float(rng.uniform(0.35, 1.6))
    step, left = round(42 * scale), int(rng.integers(5, 120))
    y = step
    while y < HEIGHT + step:
        x, end = left, WIDTH - int(rng.integers(5, 200))
        while x < end:
            x += _write(page, _word(rng), (x, y), scale, ink) + round(14 * scale)
        y += step * (1 if rng.random() < 0.85 else 2)
    return page


def _sign(rng: Rng) -> Pixels:
    """A few large words on a coloured ground."""
    sign = _canvas(_color(rng))
    for _ in range(int(rng.integers(1, 4))):
        x, y = _point(rng)
        _write(sign, _word(rng), (x // 3, max(60, y)), float(rng.uniform(1.5, 5)), _color(rng))
    return sign


def _bars(rng: Rng) -> Pixels:
    """A chart with bars, axes and numbers."""
    chart = _paper(rng)
    ink, bars = _ink(rng, chart), int(rng.integers(3, 16))
    color, width = _color(rng), (WIDTH - 100) // bars
    for bar in range(bars):
        top, left = int(rng.integers(40, HEIGHT - 60)), 60 + bar * width
        cv2.rectangle(chart, (left, top), (left + round(width * 0.7), HEIGHT - 40), color, -1)
        _write(chart, _word(rng)[:3], (left, HEIGHT - 15), 0.5, ink)
        color = color if rng.random() < 0.7 else _color(rng)
    cv2.line(chart, (50, 20), (50, HEIGHT - 40), ink, 2)
    cv2.line(chart, (50, HEIGHT - 40), (WIDTH - 20, HEIGHT - 40), ink, 2)
    return chart


def _curves(rng: Rng) -> Pixels:
    """A chart with one or more curves over a grid."""
    chart = _paper(rng)
    ink = _ink(rng, chart)
    for line in range(0, WIDTH, int(rng.integers(40, 120))):
        cv2.line(chart, (line, 0), (line, HEIGHT), tuple(int(v) for v in (chart[0, 0] / 2 + np.array(ink) / 2)), 1)
    for line in range(0, HEIGHT, int(rng.integers(40, 120))):
        cv2.line(chart, (0, line), (WIDTH, line), tuple(int(v) for v in (chart[0, 0] / 2 + np.array(ink) / 2)), 1)
    x = np.arange(0, WIDTH, 8)
    for _ in range(int(rng.integers(1, 5))):
        y = HEIGHT / 2 + np.cumsum(rng.normal(0, rng.uniform(2, 25), x.size))
        cv2.polylines(
            chart, [np.stack([x, y], 1).astype(np.int32)], False, _color(rng), int(rng.integers(1, 6)), cv2.LINE_AA
        )
    return chart


def _pie(rng: Rng) -> Pixels:
    """A pie chart."""
    chart = _paper(rng)
    radius, angle = int(rng.integers(90, 220)), 0.0
    while angle < 360:
        end = min(360.0, angle + float(rng.uniform(15, 120)))
        cv2.ellipse(chart, (WIDTH // 2, HEIGHT // 2), (radius, radius), 0, angle, end, _color(rng), -1, cv2.LINE_AA)
        angle = end
    return chart


def _shapes(rng: Rng) -> Pixels:
    """Coloured shapes over each other."""
    drawing = _canvas(_color(rng))
    for _ in range(int(rng.integers(2, 25))):
        kind, size = rng.integers(0, 4), int(rng.integers(10, 180))
        x, y = _point(rng)
        fill = -1 if rng.random() < 0.7 else int(rng.integers(1, 10))
        if kind == 0:
            cv2.circle(drawing, (x, y), size, _color(rng), fill, cv2.LINE_AA)
        elif kind == 1:
            cv2.rectangle(drawing, (x, y), (x + size, y + int(rng.integers(10, 180))), _color(rng), fill)
        elif kind == 2:
            corners = (np.array([x, y]) + rng.integers(-size, size + 1, (int(rng.integers(3, 7)), 2))).astype(np.int32)
            cv2.fillPoly(drawing, [corners], _color(rng), cv2.LINE_AA)
        else:
            cv2.line(drawing, (x, y), _point(rng), _color(rng), int(rng.integers(1, 20)), cv2.LINE_AA)
    return drawing


def _figure(rng: Rng) -> Pixels:
    """A cartoon of a person or an animal that does not exist: outlines, a face, a body, limbs."""
    drawing = _canvas(_color(rng, 120, 256))
    if rng.random() < 0.6:
        cv2.rectangle(drawing, (0, int(rng.integers(250, 420))), (WIDTH, HEIGHT), _color(rng), -1)
    for _ in range(int(rng.integers(1, 4))):
        x, y, size = int(rng.integers(80, WIDTH - 80)), int(rng.integers(90, 260)), int(rng.integers(30, 110))
        line, skin, cloth = int(rng.integers(2, 7)), _color(rng, 100, 256), _color(rng)
        for side in (-1, 1):
            hand = (x + side * int(rng.integers(size, 3 * size)), y + int(rng.integers(-size, 3 * size)))
            foot = (x + side * int(rng.integers(size // 3, size)), y + 4 * size)
            cv2.line(drawing, (x, y + round(1.4 * size)), hand, (0, 0, 0), line + 3, cv2.LINE_AA)
            cv2.line(drawing, (x, y + 2 * size), foot, (0, 0, 0), line + 3, cv2.LINE_AA)
            if rng.random() < 0.5:
                cv2.ellipse(
                    drawing, (x + side * size, y - size), (size // 3, size // 2), 0, 0, 360, skin, -1, cv2.LINE_AA
                )
        for center, axes, color in (
            ((x, y + 2 * size), (size * 3 // 4, round(1.2 * size)), cloth),
            ((x, y), (size, size), skin),
        ):
            cv2.ellipse(drawing, center, axes, 0, 0, 360, color, -1, cv2.LINE_AA)
            cv2.ellipse(drawing, center, axes, 0, 0, 360, (0, 0, 0), line, cv2.LINE_AA)
        for side in (-1, 1):
            eye = (x + side * size * 2 // 5, y - size // 5)
            cv2.circle(drawing, eye, max(3, size // 4), (255, 255, 255), -1, cv2.LINE_AA)
            cv2.circle(drawing, eye, max(2, size // 9), (0, 0, 0), -1, cv2.LINE_AA)
        cv2.ellipse(drawing, (x, y + size // 3), (size // 2, size // 3), 0, 0, 180, (20, 20, 60), line, cv2.LINE_AA)
    return drawing


def _code(rng: Rng) -> Pixels:
    """A matrix of black and white squares, as a QR code is, or the bars of a barcode."""
    page = _paper(rng)
    side, cells = int(rng.integers(180, 440)), int(rng.integers(17, 45))
    matrix = np.kron(rng.integers(0, 2, (cells, cells if rng.random() < 0.8 else 1)), np.ones((1, 1))).astype(np.uint8)
    if matrix.shape[1] == 1:
        matrix = np.repeat(matrix.T, 2, axis=0)
    else:
        for row, column in ((0, 0), (0, cells - 7), (cells - 7, 0)):
            matrix[row : row + 7, column : column + 7] = 0
            matrix[row + 1 : row + 6, column + 1 : column + 6] = 1
            matrix[row + 2 : row + 5, column + 2 : column + 5] = 0
    code = cv2.resize(255 * matrix, (side, side), interpolation=cv2.INTER_NEAREST)
    x, y = int(rng.integers(0, WIDTH - side)), int(rng.integers(0, HEIGHT - side))
    page[y : y + side, x : x + side] = code[:, :, np.newaxis]
    return page


def _map(rng: Rng) -> Pixels:
    """A street map: areas, roads of several widths, names."""
    plan = _canvas(_color(rng, 200, 250))
    for _ in range(int(rng.integers(2, 9))):
        corners = (np.array(_point(rng)) + rng.integers(-160, 161, (6, 2))).astype(np.int32)
        cv2.fillPoly(plan, [cv2.convexHull(corners)], _color(rng, 140, 240))
    for _ in range(int(rng.integers(5, 30))):
        points = np.array(_point(rng)) + np.cumsum(rng.normal(0, 90, (5, 2)), axis=0)
        width = int(rng.choice([2, 4, 8, 14]))
        cv2.polylines(plan, [points.astype(np.int32)], False, (150, 150, 150), width + 3, cv2.LINE_AA)
        cv2.polylines(plan, [points.astype(np.int32)], False, _color(rng, 220, 256), width, cv2.LINE_AA)
    for _ in range(int(rng.integers(2, 14))):
        _write(plan, _word(rng), _point(rng), 0.5, (60, 60, 60))
    return plan


def _screen(rng: Rng) -> Pixels:
    """A program's windows, with bars, boxes and lines of text."""
    screen = _canvas(_color(rng))
    for _ in range(int(rng.integers(1, 4))):
        x, y = int(rng.integers(0, 250)), int(rng.integers(0, 180))
        width, height = int(rng.integers(250, WIDTH - x + 1)), int(rng.integers(200, HEIGHT - y + 1))
        window = _paper(rng)[:height, :width].copy()
        ink = _ink(rng, window)
        cv2.rectangle(window, (0, 0), (width, 28), _color(rng), -1)
        for line in range(60, height, 26):
            if rng.random() < 0.8:
                _write(window, " ".join(_word(rng) for _ in range(int(rng.integers(1, 9)))), (12, line), 0.5, ink)
            else:
                cv2.rectangle(window, (12, line - 14), (12 + int(rng.integers(40, 200)), line + 6), _color(rng), -1)
        screen[y : y + height, x : x + width] = window
    return screen


def _pattern(rng: Rng) -> Pixels:
    """Stripes, checks, dots or waves all over, as of cloth or paper."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), float(np.exp(rng.uniform(np.log(6), np.log(120))))
    along = (x * np.cos(angle) + y * np.sin(angle)) / period
    across = (y * np.cos(angle) - x * np.sin(angle)) / period
    kind = rng.integers(0, 4)
    if kind == 0:
        value = np.sin(2 * np.pi * along)
    elif kind == 1:
        value = np.sign(np.sin(2 * np.pi * along) * np.sin(2 * np.pi * across))
    elif kind == 2:
        value = np.where(np.hypot(along % 1 - 0.5, across % 1 - 0.5) < rng.uniform(0.15, 0.45), 1, -1)
    else:
        value = np.sin(2 * np.pi * (along + 0.3 * np.sin(2 * np.pi * across)))
    share = (value[:, :, np.newaxis] + 1) / 2
    picture: Pixels = (share * np.array(_color(rng)) + (1 - share) * np.array(_color(rng))).astype(np.uint8)
    return picture


def rough(rng: Rng, exponent: float) -> Floats:
    """Return noise, HEIGHT x WIDTH, mean 0, deviation 1: its amplitude falls with frequency to the power `exponent`."""
    down, across = np.fft.fftfreq(HEIGHT)[:, np.newaxis], np.fft.rfftfreq(WIDTH)[np.newaxis]
    frequency = np.hypot(down, across)
    frequency[0, 0] = 1
    spectrum = np.exp(2j * np.pi * rng.random(frequency.shape)) / frequency**exponent
    spectrum[0, 0] = 0
    noise = np.fft.irfft2(spectrum, (HEIGHT, WIDTH))
    scaled: Floats = (noise / noise.std()).astype(np.float32)
    return scaled


def _texture(rng: Rng) -> Pixels:
    """A rough surface, as of stone, plaster, cloth or a carpet, of strong contrast."""
    noise = rough(rng, rng.uniform(0.3, 1.8)) * rng.uniform(8, 60)
    picture: Pixels = np.clip(np.array(_color(rng, 40, 216)) + noise[:, :, np.newaxis], 0, 255).astype(np.uint8)
    return picture


def _wall(rng: Rng) -> Pixels:
    """A bare wall, ceiling or floor, lit from one side, with a little texture."""
    y, x = np.mgrid[0:HEIGHT, 0:WIDTH].astype(np.float32)
    light = rng.normal(0, 50) * (x / WIDTH - 0.5) + rng.normal(0, 50) * (y / HEIGHT - 0.5)
    light += rough(rng, rng.uniform(0.5, 2)) * rng.uniform(0, 6)
    picture: Pixels = np.clip(np.array(_color(rng, 90, 240)) + light[:, :, np.newaxis], 0, 255).astype(np.uint8)
    return picture


def _folds(rng: Rng) -> Pixels:
    """The folds of a curtain, or slats of a blind."""
    place = np.arange(WIDTH) / WIDTH
    waves = sum(rng.normal(0, 18) * np.sin(2 * np.pi * (rng.uniform(2, 20) * place + rng.random())) for _ in range(5))
    light = np.broadcast_to(np.asarray(waves, np.float32)[np.newaxis], (HEIGHT, WIDTH))
    light = light + rough(rng, 1.0) * rng.uniform(0, 5)
    turned = cv2.resize(np.rot90(light), (WIDTH, HEIGHT)) if rng.random() < 0.3 else light
    picture: Pixels = np.clip(np.array(_color(rng, 40, 220)) + turned[:, :, np.newaxis], 0, 255).astype(np.uint8)
    return picture


def _room(rng: Rng) -> Pixels:
    """The bare corner of a room: walls, a floor, skirting, a dark opening."""
    room = _wall(rng)
    corner, floor = int(rng.integers(100, WIDTH - 100)), int(rng.integers(280, 440))
    shade = float(rng.uniform(0.6, 0.95))
    room[:, :corner] = (room[:, :corner] * shade).astype(np.uint8)
    left, right = int(rng.integers(floor, HEIGHT)), int(rng.integers(floor, HEIGHT))
    ground = np.array([[0, left], [corner, floor], [WIDTH, right], [WIDTH, HEIGHT], [0, HEIGHT]], np.int32)
    cv2.fillPoly(room, [ground], _color(rng, 40, 200))
    cv2.polylines(room, [ground[:3]], False, _color(rng), int(rng.integers(2, 12)), cv2.LINE_AA)
    if rng.random() < 0.4:
        x = int(rng.integers(0, WIDTH - 120))
        cv2.rectangle(room, (x, int(rng.integers(40, 200))), (x + int(rng.integers(60, 200)), floor), _color(rng), -1)
    return room


_KINDS: tuple[Callable[[Rng], Pixels], ...] = (
    *(_text, _sign, _bars, _curves, _pie, _shapes, _figure, _code, _map, _screen, _pattern, _texture),
    *(_wall, _folds, _room),
)
