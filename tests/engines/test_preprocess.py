"""A picture becomes an input: where each pixel goes, and what its value becomes."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edge.engines.preprocess import to_input, whole_square
from edge.models.checkpoint import InputSpec


def thirds(height: int, width: int) -> NDArray[np.uint8]:
    """Red on the left, green in the middle, blue on the right."""
    pixels = np.zeros((height, width, 3), np.uint8)
    for channel in range(3):
        pixels[:, channel * width // 3 : (channel + 1) * width // 3, channel] = 255
    return pixels


@pytest.mark.parametrize("shape", [(240, 320), (320, 240), (100, 1000), (7, 5), (64, 64), (1, 1), (2000, 2001)])
@pytest.mark.parametrize("resize", ["crop", "squash"])
def test_any_picture_becomes_the_shape(shape: tuple[int, int], resize: str) -> None:
    result = to_input(np.zeros((*shape, 3), np.uint8), InputSpec(64, resize=resize))
    assert (result.shape, str(result.dtype), result.flags.c_contiguous) == ((1, 3, 64, 64), "float32", True)


def test_squash_keeps_all_of_the_picture_and_crop_its_centre() -> None:
    squashed = to_input(thirds(100, 300), InputSpec(30, resize="squash"))[0]
    assert squashed[:, 15, 2].tolist() == [255, 0, 0]
    assert squashed[:, 15, 27].tolist() == [0, 0, 255]
    cropped = to_input(thirds(100, 300), InputSpec(30, resize="crop", short_side=30))[0]
    assert (cropped[1] == 255).all()
    assert (cropped[0] == 0).all()


def test_of_a_panorama_the_centre_is_taken() -> None:
    panorama = np.zeros((10, 9001, 3), np.uint8)
    panorama[:, 4500] = 255
    for picture in (panorama, panorama.transpose(1, 0, 2)):
        result = to_input(np.ascontiguousarray(picture), InputSpec(11, short_side=11))[0, 0]
        assert np.max(abs(np.argwhere(result == np.max(result)).mean(axis=0) - 5)) <= 1


def test_channels_are_in_the_order_asked_for() -> None:
    red = np.full((10, 10, 3), (200, 100, 50), np.uint8)
    assert to_input(red, InputSpec(8))[0, :, 0, 0].tolist() == [200, 100, 50]
    assert to_input(red, InputSpec(8, channels="bgr"))[0, :, 0, 0].tolist() == [50, 100, 200]


def test_mean_and_std_are_of_that_order() -> None:
    picture = np.full((10, 10, 3), (200, 100, 50), np.uint8)
    spec = InputSpec(8, channels="bgr", mean=(50.0, 90.0, 0.0), std=(1.0, 2.0, 100.0))
    assert to_input(picture, spec)[0, :, 0, 0].tolist() == [0, 5, 2]


def test_the_crop_takes_seven_eighths_unless_told() -> None:
    assert InputSpec(224).scaled_short_side == 256
    assert InputSpec(299).scaled_short_side == 342
    assert InputSpec(227, short_side=256).scaled_short_side == 256


def test_shrinking_averages_instead_of_leaving_out() -> None:
    """A fine checkerboard is grey from afar; taking single pixels would leave it black or white."""
    board = (np.indices((512, 512)).sum(axis=0) % 2 * 255).astype(np.uint8)
    result = to_input(np.repeat(board[:, :, np.newaxis], 3, axis=2), InputSpec(64, resize="squash"))
    assert np.max(abs(result - 127.5)) < 2


def test_shrinking_by_little_leaves_no_pixel_out() -> None:
    """Without averaging, which takes five times as long; a dot is fainter where it falls between two pixels."""
    spec = InputSpec(64, short_side=64)
    found = []
    for row, column in np.ndindex(90, 90):
        dot = np.zeros((90, 90, 3), np.uint8)
        dot[row, column] = 255
        found.append(to_input(dot, spec).max() / 255)
    assert min(found) > 0.05
    assert max(found) < 1


def plainly(pixels: NDArray[np.uint8], spec: InputSpec) -> NDArray[np.float32]:
    """All of the picture scaled, the centre cut out, and each step on all of it."""
    height, width = pixels.shape[:2]
    scale = spec.scaled_short_side / min(height, width)
    high, wide = (max(spec.size, round(side * scale)) for side in (height, width))
    way = cv2.INTER_AREA if max(height / high, width / wide) > 1.5 else cv2.INTER_LINEAR
    top, left = (high - spec.size) // 2, (wide - spec.size) // 2
    square = cv2.resize(pixels, (wide, high), interpolation=way)[top : top + spec.size, left : left + spec.size]
    if spec.channels == "bgr":
        square = square[:, :, ::-1]
    normalised = (square.astype(np.float32) - np.asarray(spec.mean, np.float32)) / np.asarray(spec.std, np.float32)
    return np.asarray(normalised.transpose(2, 0, 1)[np.newaxis], np.float32)


@pytest.mark.parametrize("channels", ["rgb", "bgr"])
@pytest.mark.parametrize(
    ("shape", "size", "short_side"),
    [
        ((480, 640), 299, 0),  # by so little that it is not averaged
        ((768, 1024), 299, 0),
        ((480, 640), 224, 0),
        ((1080, 1920), 224, 0),
        ((640, 480), 227, 256),
        ((999, 1333), 224, 0),  # no divisor in common
        ((400, 300), 290, 290),  # the one side is cut, the other is not
        ((300, 300), 299, 300),  # nothing to scale
        ((200, 150), 224, 0),  # enlarged
        ((1000, 300), 299, 299),
    ],
)
def test_what_is_left_out_and_done_in_one_go_changes_nothing(
    shape: tuple[int, int], size: int, short_side: int, channels: str
) -> None:
    """Bit by bit the same as if all was scaled, and normalised step by step."""
    noise = np.random.default_rng(1).integers(0, 256, (*shape, 3), np.uint8)
    spec = InputSpec(size, channels, (123.675, 0.0, 103.53), (58.395, 57.12, 1.0), short_side=short_side)
    assert np.array_equal(to_input(noise, spec), plainly(noise, spec))


def test_of_a_camera_s_frame_the_largest_square_is_taken() -> None:
    """Its edges are in, what is beside it is not."""
    frame = np.zeros((480, 640, 3), np.uint8)
    frame[:, 80:560] = 100
    frame[:20, 80:560] = 200
    spec = whole_square(InputSpec(size=64))
    seen = to_input(frame, spec)[0, 0]
    # at the very edge pixels are mixed with those beside
    assert seen[:, 2:-2].min() >= 100
    assert seen[0, 2:-2].mean() > 190
    assert to_input(frame, InputSpec(size=64))[0, 0, 0, 2:-2].mean() == pytest.approx(100)
    squash = InputSpec(size=64, resize="squash")
    assert whole_square(squash) == squash
