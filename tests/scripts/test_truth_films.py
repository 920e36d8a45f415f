"""scripts/truth/: every kind of shot is drawn, each differs, and the same seed gives the same film."""

import hashlib
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from truth.camera import Pixels
from truth.films import GAPS, KINDS, Counts, Film, make_film, read_photos
from truth.unknown import FAMILIES, unknown_picture

FILES = ("0a.png", "3b.png", "8c.png", "fd.png")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four pictures of coloured stripes, two in each half."""
    for number, file in enumerate(FILES):
        picture = np.full((120, 100 + 40 * number, 3), 40 + 50 * number, np.uint8)
        picture[::7] = (250, 30 * number, 10)
        cv2.imwrite(str(tmp_path / file), picture)
    lines = [f"{file},n0000000{number}|n0000001{number},elsewhere" for number, file in enumerate(FILES)]
    (tmp_path / "labels.csv").write_text("file,accepted_wnids,source_page\n" + "\n".join(lines) + "\n")
    return tmp_path


def film_of(folder: Path, seed: int = 1, fps: float = 2) -> Film:
    counts = Counts(visits=5, gaps=8, pans=2, pairs=2, unknown=4)
    return make_film(folder, read_photos(folder), counts, fps=fps, seed=seed)


def digest(frame: Pixels) -> str:
    return hashlib.sha256(frame.tobytes()).hexdigest()


def test_halves_are_by_the_first_digit(folder: Path) -> None:
    assert [one.file for one in read_photos(folder, "fit")] == ["0a.png", "3b.png"]
    assert [one.file for one in read_photos(folder, "judge")] == ["8c.png", "fd.png"]
    assert read_photos(folder)[1].ids == {"n00000001", "n00000011"}


@pytest.mark.parametrize(
    ("line", "said"),
    [("zoo.png,n1", "there is no such file"), ("0a.png,", "accepted ids"), ("0a.png", "accepted ids")],
)
def test_a_wrong_line_is_named(folder: Path, line: str, said: str) -> None:
    (folder / "labels.csv").write_text(f"file,ids\n{line}\n")
    with pytest.raises(ValueError, match=said) as caught:
        read_photos(folder)
    assert "labels.csv:2: " in str(caught.value)


def test_names_without_a_digit_cannot_be_halved(folder: Path) -> None:
    (folder / "0a.png").rename(folder / "zebra.png")
    (folder / "labels.csv").write_text("file,ids\nzebra.png,n1\n")
    assert len(read_photos(folder)) == 1
    with pytest.raises(ValueError, match="halves"):
        read_photos(folder, "fit")


def test_a_film_has_what_was_asked_for(folder: Path) -> None:
    film = film_of(folder)
    assert Counter(shot.kind for shot in film.shots) == {
        "visit": 5, "pair": 2, "pan": 2, "unknown": 4, "wall": 8, "dark": 8, "blur": 8,
    }  # fmt: skip
    assert film.shots[0].kind in GAPS
    assert film.shots[-1].kind in GAPS
    for before, after in zip(film.shots, film.shots[1:], strict=False):
        assert before.to_s == after.from_s
        assert before.kind in GAPS or after.kind in GAPS
    assert {shot.files[0] for shot in film.shots if shot.kind == "visit"} == set(FILES)
    truth = {one.file: one.ids for one in read_photos(folder)}
    for shot in film.shots:
        if shot.kind in ("visit", "pair", "pan"):
            assert shot.ids == frozenset().union(*(truth[file] for file in shot.files))


def test_there_is_a_gap_before_each_shot_even_if_fewer_were_asked_for(folder: Path) -> None:
    film = make_film(folder, read_photos(folder), Counts(visits=6, gaps=1))
    assert Counter(shot.kind in GAPS for shot in film.shots) == {True: 9, False: 6}


def test_each_kind_of_shot_is_drawn_and_can_be_drawn_again(folder: Path) -> None:
    film, again, other = (film_of(folder, seed, fps=1) for seed in (1, 1, 2))
    assert film == again
    drawn = set()
    for index, shot in enumerate(film.shots):
        frames = list(film.frames_of(index))
        assert len(frames) == round((shot.to_s - shot.from_s) * film.fps)
        assert {(frame.shape, frame.dtype) for frame in frames} == {((480, 640, 3), np.dtype(np.uint8))}
        assert [digest(frame) for frame in again.frames_of(index)] == [digest(frame) for frame in frames]
        assert len({digest(frame) for frame in frames}) == len(frames), "noise and motion make each frame differ"
        drawn.add(digest(frames[0]))
        assert film.detail(index)
    assert len(drawn) == len(film.shots)
    assert not drawn & {digest(next(other.frames_of(index))) for index in range(len(other.shots))}


def test_gaps_look_like_nothing(folder: Path) -> None:
    film = make_film(folder, read_photos(folder), Counts(gaps=12), fps=1)
    means: dict[str, list[float]] = {kind: [] for kind in GAPS}
    for index, shot in enumerate(film.shots):
        frame = next(film.frames_of(index)).astype(np.float32)
        means[shot.kind].append(float(frame.mean()))
        if shot.kind == "blur":
            small = cv2.GaussianBlur(frame, (0, 0), 3)
            assert np.abs(np.diff(small, axis=1)).max() < 14, "no edge is sharp"
    assert max(means["dark"]) < 30 < min(means["wall"])
    assert {film.detail(index) for index, shot in enumerate(film.shots) if shot.kind == "wall"} == {
        "plain", "plaster", "wallpaper", "carpet", "curtain", "corner",
    }  # fmt: skip


def test_a_square_photo_is_in_view_as_a_whole(folder: Path) -> None:
    picture = np.full((200, 200, 3), 200, np.uint8)
    picture[8:192, 8:192] = 20  # a frame of 8 pixels, 4 % on each side; the margin and the hand take up to that
    cv2.imwrite(str(folder / "0a.png"), picture)
    (folder / "labels.csv").write_text("file,ids\n0a.png,n1\n")
    film = make_film(folder, read_photos(folder), Counts(visits=1))
    index = next(n for n, shot in enumerate(film.shots) if shot.kind == "visit")
    for frame in film.frames_of(index):
        dark = frame.mean(axis=2) < 80
        assert 460 * 460 < dark.sum() <= 480 * 490


def test_a_pan_never_rests(folder: Path) -> None:
    rng = np.random.default_rng(1)
    for file, size in (("0a.png", (16, 2, 3)), ("3b.png", (12, 16, 3))):  # a very narrow one too
        cv2.imwrite(str(folder / file), rng.integers(0, 255, size).astype(np.uint8))
    film = make_film(folder, read_photos(folder, "fit"), Counts(pans=3))
    for index, shot in enumerate(film.shots):
        if shot.kind == "pan":
            lines = np.stack([frame[240].astype(np.float32) for frame in film.frames_of(index)])
            assert np.abs(np.diff(lines, axis=0)).mean(axis=(1, 2)).min() > 8, "the noise alone makes 5"


def test_a_part_begins_at_0_and_its_frames_are_those_of_the_film(folder: Path) -> None:
    film = film_of(folder)
    parts = film.parts(30)
    assert len(parts) > 1
    assert [part.shots[0].from_s for part in parts] == [0.0] * len(parts)
    assert [(s.kind, s.number) for part in parts for s in part.shots] == [(s.kind, s.number) for s in film.shots]
    assert all(part.shots[-1].kind in GAPS for part in parts)
    first = len(parts[0].shots)
    assert digest(next(parts[1].frames_of(0))) == digest(next(film.frames_of(first)))


def test_a_film_is_named_by_its_frames(folder: Path) -> None:
    first = film_of(folder).digest()
    assert film_of(folder).digest() == first
    assert film_of(folder, seed=2).digest() != first
    assert film_of(folder, fps=3).digest() != first
    cv2.imwrite(str(folder / "0a.png"), np.zeros((9, 9, 3), np.uint8))
    assert film_of(folder).digest() != first


def test_what_is_written_can_be_read(folder: Path, tmp_path: Path) -> None:
    film = make_film(folder, read_photos(folder), Counts(visits=1), fps=2)
    film.write(tmp_path / "film.avi")
    capture = cv2.VideoCapture(str(tmp_path / "film.avi"))
    read = [np.asarray(capture.read()[1]) for _ in range(round(film.shots[-1].to_s * film.fps))]
    assert not capture.read()[0]
    assert capture.get(cv2.CAP_PROP_FPS) == pytest.approx(2)
    for frame, written in zip(read, film.frames(), strict=True):
        assert np.abs(frame[:, :, ::-1].mean(axis=(0, 1)) - written.mean(axis=(0, 1))).max() < 2
    film.write(tmp_path / "ended.avi", stopping=lambda: True)
    assert (tmp_path / "ended.avi").stat().st_size < (tmp_path / "film.avi").stat().st_size / 2
    with pytest.raises(OSError, match="cannot write"):
        film.write(tmp_path / "nowhere" / "film.avi")


def test_unknown_pictures_are_all_different() -> None:
    drawn = [unknown_picture(number, 1) for number in range(120)]
    assert Counter(family for family, _ in drawn) == dict.fromkeys(FAMILIES, 6)
    small = [cv2.resize(picture, (32, 24), interpolation=cv2.INTER_AREA).astype(np.float32) for _, picture in drawn]
    differences = [float(np.abs(a - b).max()) for n, a in enumerate(small) for b in small[:n]]
    assert min(differences) > 20, "and not by single pixels"
    assert digest(unknown_picture(7, 1)[1]) == digest(drawn[7][1])
    assert digest(unknown_picture(7, 2)[1]) != digest(drawn[7][1])


def test_a_qr_code_can_be_read_by_others() -> None:
    number = list(FAMILIES).index("QR code")
    _, picture = unknown_picture(number, 1)
    assert cv2.QRCodeDetector().detectAndDecode(picture)[0]


def test_every_kind_is_known() -> None:
    assert set(GAPS) < set(KINDS)
