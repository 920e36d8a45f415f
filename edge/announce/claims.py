"""What can be claimed about the current view: probabilities smoothed over frames, and what they are enough for. Pure.

'I see a violin' needs a label that reaches `sure` (uncalibrated: `floor`, and clearly ahead). Else 'I see a musical
instrument' needs a group whose labels reach that together. Else a calibrated model allows 'maybe a violin or a cello',
and 'I'm not sure' if the settings ask for it.
"""

import enum
import functools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from edge.announce.decisions import Decision, Reason
from edge.announce.english import plain
from edge.settings import AnnounceSettings
from edge.stages import Group, Prediction, Term, is_taught

NOT_SURE = "not sure"
"""The id of the claim that something unknown is there."""
_FADED = 1e-4
"""Smoothed probability below which a label is dropped: else all labels of a network would be kept for months."""

_TAUGHT_SHARE = 0.6
"""Smoothed probability that a taught thing needs. In each frame it is either sure or not there (models/taught), so this
is the share of the last frames that show it."""

_SUREST = 0.999
"""Larger probabilities make a claim no quicker: no model is that sure rightly."""


class Kind(enum.IntEnum):
    """Strength of a claim. A claim that just reaches what it needs must last its value times `persistence_s`."""

    LABEL = 1
    GROUP = 2
    MAYBE = 3
    NOT_SURE = 4


@dataclass(frozen=True)
class Claim:
    """Something that could be said about the current view."""

    kind: Kind
    id: str
    label: str
    probability: float
    members: frozenset[str]
    """Ids of the labels that it covers."""
    best: str
    """Id of the best label of the view."""
    needed: float = 0.0
    """The probability that it needs."""
    other: str = ""
    """Second label of a 'maybe'."""
    ids: tuple[str, ...] = ()
    """Ids of the labels of a 'maybe', in the same order."""

    @property
    def terms(self) -> list[Term]:
        """Return the one or two terms that it names."""
        labels = [self.label, self.other] if self.other else [self.label]
        return [Term(*both) for both in zip(labels, self.ids or (self.id,), strict=True)]

    @property
    def pace(self) -> float:
        """Return how fast evidence for it grows: 1 if it just reaches what it needs, more if it is surer.

        A "maybe" is in doubt however probable it is: a moment later one label may be sure.

        The chance that it is wrong is 1 - p in one frame and (1 - p)^n in n independent ones, so that evidence, as the
        logarithm of that chance, grows with log(1 - p): Wald, "Sequential Tests of Statistical Hypotheses", 1945.
        """
        if self.kind not in (Kind.LABEL, Kind.GROUP):
            return 1.0
        least = min(max(self.needed, 0.01), _SUREST)
        return max(1.0, math.log(1.0 - min(self.probability, _SUREST)) / math.log(1.0 - least))

    @property
    def name(self) -> str:
        """Return its labels as one text."""
        return f"{self.label} or {self.other}" if self.other else self.label


@dataclass(frozen=True)
class Knowledge:
    """What must be known about the model in use."""

    background: frozenset[str] = frozenset()
    """Ids that are never announced; while one is best, nothing else is announced either."""
    groups: Sequence[Group] = ()
    """Groups, the smallest first."""
    calibrated: bool = False
    """True if its probabilities are calibrated."""
    independent: bool = False
    """True if each label has its own independent probability: an equally likely other label is no reason for doubt."""

    def groups_of(self, identity: str) -> Sequence[Group]:
        """Return the groups that a label belongs to, the smallest first."""
        return self._groups_by_member.get(identity, ())

    @functools.cached_property
    def _groups_by_member(self) -> Mapping[str, Sequence[Group]]:
        found: dict[str, list[Group]] = {}
        for group in self.groups:
            for member in group.members:
                found.setdefault(member, []).append(group)
        return found


@dataclass(frozen=True)
class View:
    """Smoothed probabilities at one frame."""

    smoothed: Mapping[str, float] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    """Label of each id in `smoothed`."""
    best_now: str = ""
    """Best id of the newest frame itself."""

    def after(self, predictions: Sequence[Prediction], share: float) -> "View":
        """Return the view after a frame that counts for this share, 0..1."""
        labels = {**self.labels, **{prediction.id: prediction.label for prediction in predictions}}
        new = {prediction.id: prediction.probability for prediction in predictions}
        smoothed = {
            identity: (1.0 - share) * self.smoothed.get(identity, 0.0) + share * new.get(identity, 0.0)
            for identity in {**self.smoothed, **new}
        }
        kept = {identity: value for identity, value in smoothed.items() if value > _FADED}
        return View(kept, {identity: labels[identity] for identity in kept}, predictions[0].id if predictions else "")

    def total(self, members: Iterable[str]) -> float:
        """Return the sum of these labels' probabilities."""
        return sum(self.smoothed.get(identity, 0.0) for identity in members)

    def best(self) -> Prediction | None:
        """Return the most probable label with its smoothed probability; None if there is none."""
        if not self.smoothed:
            return None
        best = max(self.smoothed, key=self.smoothed.__getitem__)
        return Prediction(best, self.labels[best], self.smoothed[best])

    def ranked(self) -> list[str]:
        """Return the ids, the most probable first."""
        return sorted(self.smoothed, key=self.smoothed.__getitem__, reverse=True)


class Names(Protocol):
    """The part of wording.Words that mutes need."""

    def names(self, term: Term) -> frozenset[str]: ...
    def english(self, term: Term) -> str: ...


class Claims:
    """Turns the predictions of successive frames into what can be claimed."""

    def __init__(self, settings: AnnounceSettings, words: Names, knowledge: Knowledge) -> None:
        self.knowledge = knowledge
        self.muted: frozenset[str] = frozenset()
        """Plain words that are never said, in addition to those that the settings mute."""
        self.configure(settings, words)
        self.view = View()
        """Replaced as a whole: another thread may read it."""
        self._weight = 0.0
        """How much of a full average the frames since something is in view make, 0..1."""
        self._last_s = -math.inf

    @property
    def needed(self) -> dict[str, float | None]:
        """Return the probability that "I see" and "maybe" need with this model; None: it never says that."""
        settings = self._settings
        if not self.knowledge.calibrated:
            return {"see": settings.floor, "maybe": None}
        return {"see": settings.sure, "maybe": settings.maybe if settings.maybe < 1 else None}

    def configure(self, settings: AnnounceSettings, words: Names) -> None:
        """Use other settings and words."""
        self._settings = settings
        self._words = words
        self._muted_in_settings = frozenset(map(plain, settings.muted))

    def unknown_mutes(self, labels: Mapping[str, str]) -> list[str]:
        """Return the mutes of the settings that name none of these labels (by id) nor a group: they mute nothing."""
        if not self._settings.muted:
            return []
        known = {plain(one) for one in (*labels, *(group.id for group in self.knowledge.groups))}
        for label, words in self.names(labels):
            known |= {plain(label), *words}
        return [one for one in self._settings.muted if plain(one) not in known]

    def take(self, predictions: Sequence[Prediction], seen_s: float) -> None:
        """Smooth with the predictions of a frame: a moving average with a time constant in seconds, at any rate."""
        elapsed_s, self._last_s = seen_s - self._last_s, seen_s
        if elapsed_s < 0:
            self.forget()  # a clip has begun again: nothing before it counts
        share = self._settings.frame_share(elapsed_s)
        if predictions:
            # the shares of the frames since something is in view add up to 1, or the first frames would count less
            self._weight += share * (1.0 - self._weight)
            # two frames may have the same time
            self.view = self.view.after(predictions, share / self._weight if self._weight else 1.0)
        else:
            self._weight = 0.0
            self.view = self.view.after(predictions, share)

    def forget(self) -> None:
        """Start over with an empty view."""
        self.view = View()
        self._weight = 0.0

    def judge(self, *, something: bool) -> tuple[list[Claim], Decision | None]:
        """Return the claims that the view allows, the strongest first; if there are none, return why.

        `something` tells whether the frame shows anything at all. May be called from any thread.
        """
        # read once: another thread may ask while the next frame replaces the view
        view, settings = self.view, self._settings
        ranked = view.ranked()
        if not ranked or ranked[0] in self.knowledge.background:
            return [], Decision(Reason.NOTHING)
        best, value = ranked[0], view.smoothed[ranked[0]]
        second = ranked[1] if len(ranked) > 1 else ""
        least = settings.sure if self.knowledge.calibrated else settings.floor
        if is_taught(best):
            least = _TAUGHT_SHARE
        label = Claim(Kind.LABEL, best, view.labels[best], value, frozenset({best}), best, least)
        if muted := self._muting(label):
            return [], muted  # this is what the view shows, and the user does not want to hear about it
        groups = self.knowledge.groups_of(best) if settings.groups else ()
        worn = any(group.collective for group in groups)
        clear = value >= least if is_taught(best) else self._is_clear(value, view.smoothed.get(second, 0.0))
        claims = [label] if clear and not worn else []
        why: Decision | None = None
        for group in groups:
            total = self.together(group.members, view)
            rival = max((view.smoothed[one] for one in ranked if one not in group.members), default=0.0)
            if self._is_clear(total, rival):
                claim = Claim(Kind.GROUP, group.id, group.name, total, group.members, best, least)
                if (muted := self._muting(claim)) is None:
                    claims.append(claim)
                    break
                why = muted
        if self.knowledge.calibrated and not worn:
            maybe = self._maybe(view, best, second)
            if isinstance(maybe, Claim):
                claims.append(maybe)
            else:
                why = maybe or why
                if settings.not_sure and something:
                    claims.append(Claim(Kind.NOT_SURE, NOT_SURE, "", value, frozenset(), best))
        if claims:
            return claims, None
        return claims, why or self._doubt(view, best, second)

    def together(self, members: Iterable[str], view: View | None = None) -> float:
        """Return the probability that one of these labels is right."""
        view = view or self.view
        if not self.knowledge.independent:
            return view.total(members)
        return max((view.smoothed.get(identity, 0.0) for identity in members), default=0.0)

    def group_terms(self, members: frozenset[str]) -> Iterator[Term]:
        """Yield the groups that have one of these labels, the smallest first."""
        yield from (Term(group.name, group.id) for group in self.knowledge.groups if members & group.members)

    def names(self, labels: Mapping[str, str]) -> Iterator[tuple[str, frozenset[str]]]:
        """Yield, for each of these labels (by id) and each group, the name a mute is stored under and its plain words.

        The name is the label. If two have the same label (a crane and a crane), it is the words that tell them apart.
        """
        terms = [Term(label, identity) for identity, label in labels.items()]
        terms += [Term(group.name, group.id) for group in self.knowledge.groups]
        times = Counter(plain(term.label) for term in terms)
        for term in terms:
            label = plain(term.label)
            if times[label] == 1:
                yield term.label, self._words.names(term)
            else:
                yield term.label, frozenset({label})
                yield self._words.english(term), self._words.names(term) - {label}

    def _is_clear(self, value: float, rival: float) -> bool:
        if self.knowledge.calibrated:
            return value >= self._settings.sure
        ahead = self.knowledge.independent or value - rival >= self._settings.margin
        return value >= self._settings.floor and ahead

    def _maybe(self, view: View, best: str, second: str) -> Claim | Decision | None:
        """Return a 'maybe' of one label that is likely, or of two that are likely together.

        Return why it is muted, or None, if there is none.
        """
        settings = self._settings
        # a taught thing is sure or not named: it is no guess, neither for another thing nor beside one
        if settings.maybe >= 1 or is_taught(best):
            return None
        value, together = view.smoothed[best], self._two(view, best, second)
        if together >= settings.maybe and together > value:
            if second in self.knowledge.background:
                return None
            both = frozenset({best, second})
            name, label, other = " or ".join(sorted(both)), view.labels[best], view.labels[second]
            claim = Claim(
                Kind.MAYBE, name, label, together, both, best, settings.maybe, other=other, ids=(best, second)
            )
            return self._muting(claim) or claim
        if value >= settings.maybe:
            name, only = f"maybe {best}", frozenset({best})
            return Claim(Kind.MAYBE, name, view.labels[best], value, only, best, settings.maybe, ids=(best,))
        return None

    @staticmethod
    def _two(view: View, best: str, second: str) -> float:
        """Return the probability of the best two together if the second is worth naming; else that of the best."""
        value, next_value = view.smoothed[best], 0.0 if is_taught(second) else view.smoothed.get(second, 0.0)
        # the second is worth naming if it is at least a third of the first
        return value + next_value if second and 3 * next_value >= value else value

    def _doubt(self, view: View, best: str, second: str) -> Decision:
        """Return why the model is not sure enough about the best label to say anything."""
        settings, label, value = self._settings, view.labels[best], view.smoothed[best]
        if not self.knowledge.calibrated:
            if value < settings.floor:
                return Decision(Reason.UNSURE, best, label, value, settings.floor, best=best)
            return Decision(
                Reason.TOO_CLOSE, best, label, value, settings.margin, view.labels.get(second, ""), best=best
            )
        together = self._two(view, best, second)
        if together >= settings.maybe:
            return Decision(Reason.UNSURE, best, label, value, settings.sure, best=best)
        name = f"{label} or {view.labels[second]}" if together > value else label
        return Decision(Reason.UNSURE, best, name, together, settings.maybe, best=best)

    def _muting(self, claim: Claim) -> Decision | None:
        """Return which mute keeps the claim from being said; None: no mute does."""
        if not self.muted and not self._muted_in_settings:
            return None
        # a user who mutes dogs means every breed
        terms = (*claim.terms, *self.group_terms(claim.members))
        names = {plain(identity) for identity in (*claim.members, claim.id)}.union(*map(self._words.names, terms))
        for reason, muted in ((Reason.MUTED_IN_SETTINGS, self._muted_in_settings), (Reason.MUTED, self.muted)):
            if found := names & muted:
                return Decision(reason, claim.id, claim.name, claim.probability, detail=min(found), best=claim.best)
        return None
