"""Compares the sentences with the truth of a film."""

import statistics
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.models.temperature_scaling import ece, ece_by_chance
from truth.films import GAPS, KINDS, Film, Shot
from truth.intervals import bootstrap, wilson

FORMS = ("I see, label", "I see, group", "maybe X", "maybe X or Y", "not sure")
SURE = FORMS[:2]
AFTERGLOW_S = 0.3
"""A sentence that comes so soon after a shot has ended belongs to it, not to the gap."""


@dataclass(frozen=True)
class Sentence:
    """Something that was said."""

    text: str
    id: str
    form: str
    probability: float
    at_s: float
    """Time of its frame in the part of the film."""
    part: int
    shot: int
    """Index of the shot in the part."""
    right: bool
    again: bool
    """True if the same was said in the same shot before."""


@dataclass(frozen=True)
class Seen:
    """The best label of the smoothed view at the end of a visit."""

    probability: float
    right: bool


@dataclass(frozen=True)
class Listened:
    """Everything that was said in a part of a film, and what was thought at the end of its visits."""

    sentences: tuple[Sentence, ...]
    seen: tuple[Seen, ...]


def read_groups() -> dict[str, frozenset[str]]:
    """Return the members of each group of labels, by the group's id."""
    text = (resources.files("edge") / "data" / "groups.toml").read_text(encoding="utf-8")
    return {identity: frozenset(one["members"]) for identity, one in tomllib.loads(text).items()}


def form_of(identity: str, groups: Mapping[str, frozenset[str]]) -> str:
    """Return the form (one of FORMS) of a sentence by its id."""
    if identity == "not sure":
        return FORMS[4]
    if identity.startswith("maybe "):
        return FORMS[2]
    return FORMS[3] if " or " in identity else FORMS[1] if identity in groups else FORMS[0]


def ids_of(identity: str, groups: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """Return the ids of the labels that a sentence names: one is enough for it to be right."""
    return groups.get(identity) or frozenset(identity.removeprefix("maybe ").split(" or "))


def listen(events: Iterable[Mapping[str, Any]], film: Film, part: int = 0) -> Listened:
    """Return what the events of `edge run --events-frames` say about a part of a film."""
    groups = read_groups()
    sentences: list[Sentence] = []
    last: dict[int, Seen] = {}
    for event in events:
        if event["event"] == "announced":
            shot = _shot_at(film.shots, event["frame_s"])
            right = bool(ids_of(event["id"], groups) & film.shots[shot].ids)
            again = any(one.shot == shot and one.id == event["id"] for one in sentences)
            form = form_of(event["id"], groups)
            said = Sentence(
                event["text"], event["id"], form, event["probability"], event["frame_s"], part, shot, right, again
            )
            sentences.append(said)
        elif event["event"] == "frame" and event.get("smoothed") is not None:
            shot = _shot_at(film.shots, event["frame_s"], afterglow_s=0.0)
            visit = film.shots[shot]
            # an event tells of the frames before it, so a visit's first one tells of the gap
            if visit.kind == "visit" and event["frame_s"] - visit.from_s > 0.5 / film.fps:
                right = event["smoothed_id"] in visit.ids
                last[shot] = Seen(min(event["smoothed"], 1.0), right)
    return Listened(tuple(sentences), tuple(last.values()))


def _shot_at(shots: Sequence[Shot], at_s: float, afterglow_s: float = AFTERGLOW_S) -> int:
    """Return the index of the shot that was in view; for a while a gap counts as the shot before it."""
    index = next((n for n, shot in enumerate(shots) if at_s < shot.to_s - 1e-6), len(shots) - 1)
    early = at_s - shots[index].from_s < afterglow_s - 1e-6
    if index and early and shots[index].kind in GAPS and shots[index - 1].kind not in GAPS:
        return index - 1
    return index


def share(count: int, of: int) -> dict[str, Any]:
    """Return a share with its interval."""
    low, high = wilson(count, of)
    return {"count": count, "of": of, "share": round(count / of, 4) if of else None, "interval": [low, high]}


def score(parts: Sequence[Film], listened: Sequence[Listened], *, drawn: bool = True) -> dict[str, Any]:
    """Return all figures; truth/report.py says what each is.

    Without `drawn`, those that need random draws are left out: calibration errors, and the intervals of latencies.
    They take a second.
    """
    said = [one for part in listened for one in part.sentences]
    kind = {(part, index): shot.kind for part, film in enumerate(parts) for index, shot in enumerate(film.shots)}
    shots = Counter(kind.values())
    by_kind = {name: [one for one in said if kind[one.part, one.shot] == name] for name in KINDS}
    visits = by_kind["visit"]
    fps = parts[0].fps

    def with_any(sentences: Iterable[Sentence]) -> int:
        return len({(one.part, one.shot) for one in sentences})

    def right_of(sentences: Sequence[Sentence]) -> dict[str, Any]:
        return share(sum(one.right for one in sentences), len(sentences))

    known = [one for one in visits if one.form != FORMS[4]]
    precision = {form: right_of([one for one in visits if one.form == form]) for form in FORMS[:4]}
    precision["I see"] = right_of([one for one in visits if one.form in SURE])
    precision["maybe"] = right_of([one for one in visits if one.form in FORMS[2:4]])
    precision["all"] = right_of(known)
    false_unknown = [one for one in by_kind["unknown"] if not one.right and one.form != FORMS[4]]
    everything = [one for one in said if one.form != FORMS[4]]
    right_anywhere = [one for one in everything if one.right and kind[one.part, one.shot] not in ("pan", *GAPS)]
    found = {
        "shots": dict(shots),
        "precision": precision,
        "precision_of_pairs": right_of([one for one in by_kind["pair"] if one.form != FORMS[4]]),
        "precision_of_everything": share(len(right_anywhere), len(everything)),
        "recall": share(with_any(one for one in visits if one.right), shots["visit"]),
        "recall_sure": share(with_any(one for one in visits if one.right and one.form in SURE), shots["visit"]),
        "recall_of_pairs": share(with_any(one for one in by_kind["pair"] if one.right), shots["pair"]),
        "repeats": share(sum(one.again for one in said), len(said)),
        "gaps": {name: share(with_any(by_kind[name]), shots[name]) for name in GAPS},
        "sentences_in_gaps": {name: len(by_kind[name]) for name in GAPS},
        "pans": share(with_any(by_kind["pan"]), shots["pan"]),
        "unknown_sure": share(with_any(one for one in false_unknown if one.form in SURE), shots["unknown"]),
        "unknown_any": share(with_any(false_unknown), shots["unknown"]),
        "unknown_accepted": sum(one.right for one in by_kind["unknown"]),
        "not_sure": sum(one.form == FORMS[4] for one in said),
        "latency": _latency(parts, visits, fps, drawn=drawn),
    }
    if drawn:
        found["ece_said"] = reliability([(one.probability, one.right) for one in known])
        found["ece_seen"] = reliability([(one.probability, one.right) for part in listened for one in part.seen])
    return found


def _latency(parts: Sequence[Film], visits: Sequence[Sentence], fps: float, *, drawn: bool) -> dict[str, Any]:
    """Return the time from the first full view to the first sentence of a visit, by its form."""
    first: dict[tuple[int, int], Sentence] = {}
    for one in visits:
        first.setdefault((one.part, one.shot), one)
    waits = [(one.form, one.at_s - parts[one.part].shots[one.shot].from_s) for one in first.values()]
    found = {}
    for name, forms in (*((form, (form,)) for form in FORMS[:4]), ("I see", SURE), ("all", FORMS)):
        times = [wait for form, wait in waits if form in forms]
        interval = bootstrap(times, lambda some: float(np.median(some))) if times and drawn else ()
        median_s = statistics.median(times) if times else None
        found[name] = {
            "of": len(times),
            "median_s": None if median_s is None else round(median_s, 3),
            "interval": [round(one, 3) for one in interval] or None,
            # the first frame of the visit is one frame
            "median_frames": None if median_s is None else round(median_s * fps) + 1,
        }
    return found


def reliability(pairs: Sequence[tuple[float, bool]]) -> dict[str, Any]:
    """Return the calibration error of (probability, right) with its interval, and what chance alone gives at that n."""
    if not pairs:
        return {"of": 0, "ece": None, "interval": None, "by_chance": None, "says": None, "right": None}

    def error(drawn: NDArray[np.float64]) -> float:
        return ece(drawn[:, 0], drawn[:, 1].astype(bool))

    array = np.asarray(pairs, np.float64)
    low, high = bootstrap([(one, float(right)) for one, right in pairs], error)
    return {
        "of": len(pairs),
        "ece": round(error(array), 4),
        "interval": [round(low, 4), round(high, 4)],
        "by_chance": round(ece_by_chance(array[:, 0]), 4),
        "says": round(float(array[:, 0].mean()), 4),
        "right": round(float(array[:, 1].mean()), 4),
    }
