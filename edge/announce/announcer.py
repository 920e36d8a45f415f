"""Decide what is worth saying now. Pure: no clock, no I/O; time is an argument, so a test can simulate a whole day.

Six questions between a frame's predictions and words:
1. What can be claimed? Probabilities are smoothed over frames. 'I see a violin' needs a label above a floor and clearly
   ahead. Else 'I see a musical instrument' needs a group whose labels reach that together. Else a calibrated model
   allows 'maybe a violin or a cello', and 'I'm not sure' if the settings ask for it.
2. Does it last? A weaker claim must last longer, and each at least two frames. The newest frame must still show it.
3. Is it news? A claim is not repeated until it has left the view or the cooldown has passed. Nor does edge then say
   the group of a label it announced, or a label of a group it announced.
4. Has it left? Only if it was below `hold`, which is lower than the floor, for `leave_s` and two frames (hysteresis).
5. Is speaking allowed now? (announce/schedule.py) Announcements held back in quiet hours are kept as missed.
6. Was it heard? Only then does it count as said. An announcement that was not heard is tried again after `retry_s`.
"""

import enum
import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from edge.announce.english import plain
from edge.announce.schedule import Moment, Schedule
from edge.settings import AnnounceSettings
from edge.stages import Announcement, Group, Outcome, Prediction, Term

NOT_SURE = "not sure"
"""The id of the announcement that something unknown is there."""


class Wording(Protocol):
    """The part of wording.Words that the announcer uses."""

    def sure(self, term: Term, *, spoken: bool = True) -> str: ...
    def maybe(self, term: Term, other: Term | None = None, *, spoken: bool = True) -> str: ...
    def not_sure(self, *, spoken: bool = True) -> str: ...
    def notice(self, text: str, *, spoken: bool = True) -> str: ...
    def sayable(self, terms: Iterable[Term], *, spoken: bool = True) -> Term | None: ...
    def names(self, term: Term) -> frozenset[str]: ...
    def english(self, term: Term) -> str: ...


class Kind(enum.IntEnum):
    """Strength of a claim. It must last its value times `persistence_s`."""

    LABEL = 1
    GROUP = 2
    MAYBE = 3
    NOT_SURE = 4


@dataclass(frozen=True)
class _Claim:
    """Something that could be said about the current view."""

    kind: Kind
    id: str
    label: str
    probability: float
    members: frozenset[str]
    """Ids of the labels that it covers."""
    other: str = ""
    """Second label of a 'maybe'."""
    ids: tuple[str, ...] = ()
    """Ids of the labels of a 'maybe', in the same order."""

    @property
    def terms(self) -> list[Term]:
        """Return the one or two terms that it names."""
        labels = [self.label, self.other] if self.other else [self.label]
        return [Term(*both) for both in zip(labels, self.ids or (self.id,), strict=True)]


@dataclass
class _Told:
    """A claim that was handed to the speaker, or was held back by quiet hours or snooze."""

    claim: _Claim
    at_s: float
    last_in_view_s: float
    frames_out_of_view: int = 0
    delivered: bool | None = None
    """None until the outcome is known."""
    lasting: bool = False
    """True if it was not delivered and trying again is useless for now."""
    silent: bool = False
    """True if quiet hours or snooze held it back."""
    implied: bool = False
    """True for the group of an announced label: it makes the group's other labels old only if their words are equal."""
    text: str = ""
    """The sentence that was said; for an implied group, the sentence of the label."""


@dataclass(frozen=True)
class Knowledge:
    """What the announcer must know about the model in use."""

    background: frozenset[str] = frozenset()
    """Ids that are never announced; while one is best, nothing else is announced either."""
    groups: Sequence[Group] = ()
    """Groups, the smallest first."""
    calibrated: bool = False
    """True if its probabilities are calibrated."""
    independent: bool = False
    """True if each label has its own independent probability: an equally likely other label is no reason for doubt."""


@dataclass(frozen=True)
class Missed:
    """An announcement that quiet hours or snooze held back."""

    label: str
    probability: float
    why: str
    text: str = ""
    """The sentence that would have been said."""


@dataclass
class _View:
    """State that is smoothed from frame to frame."""

    smoothed: dict[str, float] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    """Label of each id in `smoothed`."""
    best_now: str = ""
    """Best id of the newest frame."""

    def total(self, members: Iterable[str]) -> float:
        return sum(self.smoothed.get(identity, 0.0) for identity in members)

    def ranked(self) -> list[str]:
        return sorted(self.smoothed, key=self.smoothed.__getitem__, reverse=True)


class Announcer:
    """Turns the predictions of successive frames into announcements."""

    def __init__(
        self,
        settings: AnnounceSettings,
        words: Wording,
        schedule: Schedule,
        missed: Callable[[Missed], object] = lambda _missed: None,
        knowledge: Knowledge | None = None,
    ) -> None:
        """Start with an empty view. `missed` is called for each announcement that quiet hours or snooze hold back."""
        self._schedule = schedule
        self._missed = missed
        self.knowledge = knowledge or Knowledge()
        self.muted: frozenset[str] = frozenset()
        """Labels and group names that are never said, in addition to those in the settings."""
        self.configure(settings, words)
        self._view = _View()
        self._last_s = -math.inf
        self._since: dict[str, float] = {}
        """Since when each claim has held, by its id."""
        self._told: dict[str, _Told] = {}
        """Announced claims, by their id."""

    def configure(self, settings: AnnounceSettings, words: Wording) -> None:
        """Use other settings and words. Claims that were announced and are still in view do not become news by this."""
        self._settings = settings
        self._words = words
        self._muted_always = frozenset(map(plain, settings.muted))

    def update(
        self, predictions: Sequence[Prediction], seen_s: float, now: Moment, *, something: bool = True
    ) -> Announcement | None:
        """Process the predictions (best first) of the frame at time `seen_s`; return the announcement to make, or None.

        An empty list means that nothing can be seen. `something` tells whether the frame shows anything at all. The
        same announcement is returned for the following frames until `taken` is called: a busy speaker loses nothing.
        """
        self._smooth(predictions, seen_s)
        self._forget_what_left(seen_s)
        if not self._schedule.silence(now):
            # a claim that was held back in the quiet hours and is still in view is news now
            self._told = {identity: told for identity, told in self._told.items() if not told.silent}
        claims = list(self._claims(something=something))
        first_seen = {claim.id for claim in claims} - set(self._since)
        self._since = {claim.id: self._since.get(claim.id, seen_s) for claim in claims}
        for claim in claims:
            if not self._is_news(claim, seen_s):
                # said already: nothing weaker is to be said about the same view
                return None
            persists = seen_s - self._since[claim.id] >= claim.kind * self._settings.persistence_s
            if claim.id not in first_seen and persists and self._shows_now(claim):
                return self._offer(claim, seen_s, now)
            if claim.kind is Kind.LABEL:
                # it may still last long enough: wait for that
                return None
        return None

    def look(self, now: Moment, fault: str = "") -> Announcement:
        """Return the answer for a user who asks what is in view now, whether it is news or not.

        `fault` is edge's sentence for why nothing can be seen; empty if something can. May be called from any thread.
        """
        if fault:
            return Announcement("", "", 0.0, self._words.notice(fault, spoken=False), interrupts=True)
        for claim in self._claims(something=True):
            announcement = self._announcement(claim, now.s, spoken=False)
            if claim.kind is not Kind.NOT_SURE and announcement is not None:
                return replace(announcement, interrupts=True)
        return Announcement(NOT_SURE, "", 0.0, self._words.not_sure(spoken=False), interrupts=True)

    def notice(self, sentence: str, now: Moment) -> Announcement | None:
        """Return a sentence about edge itself as an announcement; None if speaking is not allowed now."""
        wait = self._schedule.in_the_air is not None or self._schedule.must_wait(now)
        if wait or self._schedule.silence(now):
            return None
        return Announcement("", "", 1.0, self._words.notice(sentence))

    def taken(self, announcement: Announcement, seen_s: float, now: Moment) -> None:
        """Record that the speaker has begun to say it."""
        self._schedule.began(announcement, now)
        claim = next((one for one in self._claims(something=True) if one.id == announcement.id), None)
        if claim is not None:
            self._remember(claim, seen_s)

    def finished(self, outcome: Outcome) -> None:
        """Record whether it reached a person."""
        self._schedule.ended(outcome.announcement)
        for told in self._told.values():
            if told.claim.id == outcome.announcement.id or (
                told.implied and outcome.announcement.id in told.claim.members and told.delivered is None
            ):
                told.delivered, told.lasting = outcome.delivered, outcome.lasting

    def forget(self) -> None:
        """Start over after a time without frames: what is in view now is news, and must persist again to count."""
        self._view = _View()
        self._since = {}
        self._told = {identity: told for identity, told in self._told.items() if told.delivered is None}

    def audible_again(self) -> None:
        """Record that the speaker's lasting problem is gone: claims in view that were not heard are news."""
        self._told = {
            identity: told for identity, told in self._told.items() if told.delivered or told.delivered is None
        }

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

    # ---- what can be claimed?

    def _claims(self, *, something: bool) -> Iterator[_Claim]:
        """Yield the claims that the smoothed view allows, the strongest first."""
        # read once: another thread may ask while the next frame replaces the view
        view, settings = self._view, self._settings
        ranked = view.ranked()
        if not ranked or ranked[0] in self.knowledge.background:
            return
        best, value = ranked[0], view.smoothed[ranked[0]]
        second = ranked[1] if len(ranked) > 1 else ""
        label = _Claim(Kind.LABEL, best, view.labels[best], value, frozenset({best}))
        if self._is_muted(label):
            return  # this is what the view shows, and the user does not want to hear about it
        if self._is_clear(value, view.smoothed.get(second, 0.0)):
            yield label
        if settings.groups:
            for group in self.knowledge.groups:
                if best not in group.members:
                    continue
                total = self._together(view, group.members)
                claim = _Claim(Kind.GROUP, group.id, group.name, total, group.members)
                rival = max((view.smoothed[one] for one in ranked if one not in group.members), default=0.0)
                if self._is_clear(claim.probability, rival) and not self._is_muted(claim):
                    yield claim
                    break
        if not self.knowledge.calibrated:
            return
        maybe = self._maybe(view, best, second)
        if maybe is not None:
            yield maybe
        elif settings.not_sure and something:
            yield _Claim(Kind.NOT_SURE, NOT_SURE, "", value, frozenset())

    def _is_clear(self, value: float, rival: float) -> bool:
        if self.knowledge.calibrated:
            return value >= self._settings.sure
        ahead = self.knowledge.independent or value - rival >= self._settings.margin
        return value >= self._settings.floor and ahead

    def _maybe(self, view: _View, best: str, second: str) -> _Claim | None:
        """Return a 'maybe' claim: one label that is likely, or two that are likely together. None if there is none."""
        settings = self._settings
        value, next_value = view.smoothed[best], view.smoothed.get(second, 0.0)
        two = value + next_value
        if settings.maybe >= 1:
            return None
        # the second is worth naming if it is at least a third of the first
        if second and 3 * next_value >= value and two >= settings.maybe:
            if second in self.knowledge.background:
                return None
            members = frozenset({best, second})
            claim = _Claim(
                Kind.MAYBE,
                " or ".join(sorted(members)),
                view.labels[best],
                two,
                members,
                other=view.labels[second],
                ids=(best, second),
            )
            return None if self._is_muted(claim) else claim
        if value >= settings.maybe:
            return _Claim(Kind.MAYBE, f"maybe {best}", view.labels[best], value, frozenset({best}), ids=(best,))
        return None

    def _is_muted(self, claim: _Claim) -> bool:
        muted = self._muted_always | self.muted
        if not muted:
            return False
        if any(plain(identity) in muted for identity in (*claim.members, claim.id)):
            return True
        # a user who mutes dogs means every breed
        groups = [Term(group.name, group.id) for group in self.knowledge.groups if claim.members & group.members]
        return any(self._words.names(term) & muted for term in (*claim.terms, *groups))

    def _text(self, claim: _Claim) -> str:
        announcement = self._announcement(claim, 0.0, spoken=False)
        return announcement.text if announcement else ""

    def _ways_to_call(self, term: Term) -> Iterator[Term]:
        """Yield the label itself, then its groups, the smallest first."""
        yield term
        yield from (Term(group.name, group.id) for group in self.knowledge.groups if term.id in group.members)

    def _shows_now(self, claim: _Claim) -> bool:
        """Return True if the newest frame still shows it: what has just left is not announced."""
        return claim.kind is Kind.NOT_SURE or self._view.best_now in claim.members

    # ---- is it news?

    def _is_news(self, claim: _Claim, seen_s: float) -> bool:
        return not any(self._covers(told, claim, seen_s) for told in self._told.values())

    def _covers(self, told: _Told, claim: _Claim, seen_s: float) -> bool:
        """Return True if an earlier announcement makes the claim old."""
        if told.claim.id == claim.id:
            age_s = seen_s - told.at_s
            if told.delivered is False and not told.lasting:
                return age_s < self._settings.retry_s
            return not (told.delivered and 0 < self._settings.cooldown_s <= age_s)
        if told.delivered is False and not told.lasting and seen_s - told.at_s >= self._settings.retry_s:
            return False
        if claim.kind is Kind.NOT_SURE:
            return True  # something stronger was said about this view
        if claim.kind is Kind.LABEL:
            if told.claim.kind is Kind.LABEL:
                # probably the model's second guess about what is still there: another breed
                return any({claim.id, told.claim.id} <= group.members for group in self.knowledge.groups)
            if claim.id not in told.claim.members:
                return False
            return not told.implied or told.text == self._text(claim)
        return bool(told.claim.members & claim.members)

    def _remember(self, claim: _Claim, seen_s: float, *, silent: bool = False) -> None:
        delivered, text = True if silent else None, self._text(claim)
        self._told[claim.id] = _Told(claim, seen_s, seen_s, delivered=delivered, silent=silent, text=text)
        if claim.kind is Kind.LABEL:
            for group in self.knowledge.groups:
                if claim.id in group.members and group.id not in self._told:
                    implied = _Claim(Kind.GROUP, group.id, group.name, claim.probability, group.members)
                    self._told[group.id] = _Told(
                        implied, seen_s, seen_s, delivered=delivered, silent=silent, implied=True, text=text
                    )

    def _offer(self, claim: _Claim, seen_s: float, now: Moment) -> Announcement | None:
        """Return the claim as an announcement; None if speaking is not allowed now."""
        if silence := self._schedule.silence(now):
            self._remember(claim, seen_s, silent=True)
            said = f"{claim.label} or {claim.other}" if claim.other else claim.label
            if claim.kind is not Kind.NOT_SURE:
                would = self._announcement(claim, seen_s, spoken=False)
                self._missed(Missed(said, claim.probability, silence, would.text if would else ""))
            return None
        if self._schedule.must_wait(now) or now.s - seen_s > self._settings.expiry_s:
            return None
        interrupts = False
        if (spoken := self._schedule.in_the_air) is not None:
            # sentences about edge itself are not interrupted
            surer = claim.probability > spoken.probability
            wanted = {"never": False, "when-surer": surer, "always": True}[self._settings.interrupt]
            if not spoken.id or not wanted:
                return None
            interrupts = True
        announcement = self._announcement(claim, seen_s)
        return replace(announcement, interrupts=interrupts) if announcement else None

    def _announcement(self, claim: _Claim, seen_s: float, *, spoken: bool = True) -> Announcement | None:
        """Return the claim in words; None if the spoken language has no words for it."""
        if claim.kind is Kind.NOT_SURE:
            text = self._words.not_sure(spoken=spoken)
        else:
            terms = [self._words.sayable(self._ways_to_call(term), spoken=spoken) for term in claim.terms]
            known = [term for term in terms if term is not None]
            if len(known) < len(terms):
                return None
            if claim.kind is Kind.MAYBE:
                text = self._words.maybe(known[0], known[1] if len(known) > 1 else None, spoken=spoken)
            else:
                text = self._words.sure(known[0], spoken=spoken)
        label = f"{claim.label} or {claim.other}" if claim.other else claim.label
        return Announcement(
            claim.id, label, min(claim.probability, 1.0), text, expires_s=seen_s + self._settings.expiry_s
        )

    # ---- the view

    def _smooth(self, predictions: Sequence[Prediction], seen_s: float) -> None:
        """Apply an exponential moving average. Its time constant is in seconds, independent of the frame rate."""
        elapsed_s = seen_s - self._last_s
        self._last_s = seen_s
        if elapsed_s < 0:
            # a clip has begun again: nothing before it counts
            self._view, self._since, self._told = _View(), {}, {}
        if elapsed_s < 0 or self._settings.smoothing_s == 0:
            share = 1.0
        else:
            share = 1.0 - math.exp(-elapsed_s / self._settings.smoothing_s)
        view = self._view
        labels = view.labels | {prediction.id: prediction.label for prediction in predictions}
        new = {prediction.id: prediction.probability for prediction in predictions}
        smoothed: Mapping[str, float] = {
            identity: (1.0 - share) * view.smoothed.get(identity, 0.0) + share * new.get(identity, 0.0)
            for identity in {*view.smoothed, *new}
        }
        # faded labels are dropped: else all thousand labels of a network would be kept for months
        kept = {identity: value for identity, value in smoothed.items() if value > 1e-4}
        self._view = _View(
            kept, {identity: labels[identity] for identity in kept}, predictions[0].id if predictions else ""
        )

    def _forget_what_left(self, seen_s: float) -> None:
        for identity, told in list(self._told.items()):
            if self._is_in_view(told.claim):
                told.last_in_view_s, told.frames_out_of_view = seen_s, 0
                continue
            told.frames_out_of_view += 1
            # one bad frame does not count as leaving, even if it covers a long time
            left = told.frames_out_of_view >= 2 and seen_s - told.last_in_view_s >= self._settings.leave_s
            unheard = told.delivered is False and seen_s - told.at_s < self._settings.retry_s
            if left and not unheard:
                del self._told[identity]

    def _is_in_view(self, claim: _Claim) -> bool:
        if claim.kind is Kind.NOT_SURE:
            return claim.id in self._since
        return self._together(self._view, claim.members) >= self._settings.hold

    def _together(self, view: _View, members: Iterable[str]) -> float:
        """Return the probability that one of these labels is right."""
        if not self.knowledge.independent:
            return view.total(members)
        return max((view.smoothed.get(identity, 0.0) for identity in members), default=0.0)
