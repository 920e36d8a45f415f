"""Decide what is worth saying now. Pure: no clock, no I/O; time is an argument, so a test can simulate a whole day.

`Announcer.update` takes the predictions of each frame, and answers these questions in order:
1. What can be claimed? (announce/claims.py)
2. Has something left? Only what was below `hold`, which is lower than the floor, for `leave_s` and two frames
   (hysteresis). If it comes back, it is news.
3. Is the claim news? (announce/news.py)
4. Has it lasted? A weaker claim must last longer, and each at least two frames. The newest frame must still show it.
5. May edge speak now? (announce/schedule.py, announce/attention.py) What quiet hours or a snooze hold back is kept as
   missed.
The first "no" is recorded as the reason for the silence (announce/decisions.py). An announcement counts as said only
when its outcome tells that it was heard.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

from edge.announce.attention import Attention
from edge.announce.claims import NOT_SURE, Claim, Claims, Kind, Knowledge
from edge.announce.decisions import Decision, Decisions, Reason
from edge.announce.news import News
from edge.announce.schedule import SNOOZED, Moment, Schedule
from edge.settings import AnnounceSettings
from edge.stages import Announcement, Outcome, Prediction, Term

_SLACK_S = 1e-6
"""Sums of times between frames are not exact."""


class Wording(Protocol):
    """The part of wording.Words that the announcer uses."""

    def sure(self, term: Term, *, spoken: bool = True) -> str: ...
    def maybe(self, term: Term, other: Term | None = None, *, spoken: bool = True) -> str: ...
    def not_sure(self, *, spoken: bool = True) -> str: ...
    def notice(self, text: str, *, spoken: bool = True) -> str: ...
    def about(self, sentence: str, term: Term, other: Term | None = None) -> str: ...
    def sayable(self, terms: Iterable[Term], *, spoken: bool = True) -> Term | None: ...
    def names(self, term: Term) -> frozenset[str]: ...
    def english(self, term: Term) -> str: ...


@dataclass(frozen=True)
class Missed:
    """A sentence that quiet hours or snooze held back."""

    label: str
    """Empty if another program gave the sentence."""
    probability: float
    why: str
    text: str = ""
    """The sentence that would have been said."""


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
        self.claims = Claims(settings, words, knowledge or Knowledge())
        self.decisions = Decisions()
        """What was decided about the current view and the last ones."""
        self._news = News(settings)
        self.attention = Attention(0)
        """The limit for an hour; without one until it is configured, for a camera that shows the world now."""
        self._nothing = Decision(Reason.NOTHING)
        """The decision about a frame that shows nothing."""
        self.configure(settings, words)
        self._last_s = -math.inf
        self._evidence_s: dict[str, float] = {}
        """How long each claim has held, by its id; time counts more, the surer the claim is (Claim.pace)."""

    def configure(self, settings: AnnounceSettings, words: Wording) -> None:
        """Use other settings and words. Claims that were announced and are still in view do not become news by this."""
        self._settings = settings
        self._words = words
        self.claims.configure(settings, words)
        self._news.configure(settings)

    def update(
        self, predictions: Sequence[Prediction], seen_s: float, now: Moment, *, something: bool = True
    ) -> Announcement | None:
        """Process the predictions (best first) of the frame at time `seen_s`; return the announcement to make, or None.

        An empty list means that nothing can be seen. `something` tells whether the frame shows anything at all. The
        same announcement is returned for the following frames until `taken` is called: a busy speaker loses nothing.
        """
        elapsed_s, self._last_s = seen_s - self._last_s, seen_s
        if elapsed_s < 0:  # a clip has begun again: nothing before it counts
            self._evidence_s = {}
            self._news.forget(all_of_it=True)
        self.claims.take(predictions, seen_s)
        self._news.forget_what_left(seen_s, self._is_in_view)
        if not self._schedule.silence(now):
            self._news.forget_what_was_held_back()
        chosen = self._choose(elapsed_s, seen_s, now, something=something)
        if isinstance(chosen, Announcement):
            return chosen
        self.decisions.note(chosen if something else self._nothing, now)
        return None

    def sees(self, fault: str, now: Moment) -> None:
        """Record edge's sentence for why nothing can be seen from now on; '' if something can."""
        why = fault.partition(": ")[2] or fault
        self._nothing = Decision(Reason.BLIND, detail=why.rstrip(".")) if fault else Decision(Reason.NOTHING)
        if fault:
            self.decisions.note(self._nothing, now)

    def silent_because(self, now: Moment) -> dict[str, Any]:
        """Return why nothing is said at this moment, as a JSON object. May be called from any thread."""
        if (silence := self._silence(now)) and self.decisions.now.decision.reason not in (Reason.PAUSED, Reason.BLIND):
            # nothing would be said, even with something else in view
            return silence.as_json(now)
        return self.decisions.now.as_json()

    def best(self) -> Prediction | None:
        """Return the most probable label of the smoothed view, with its smoothed probability; None if there is none.

        May be called from any thread.
        """
        return self.claims.view.best()

    def look(self, now: Moment, fault: str = "") -> Announcement:
        """Return the answer for a user who asks what is in view now, whether it is news or not.

        `fault` is edge's sentence for why nothing can be seen; empty if something can. May be called from any thread.
        """
        if fault:
            return Announcement("", "", 0.0, self._words.notice(fault, spoken=False), interrupts=True)
        for claim in self.claims.judge(something=True)[0]:
            announcement = self._announcement(claim, now.s, spoken=False)
            if claim.kind is not Kind.NOT_SURE and announcement is not None:
                return replace(announcement, interrupts=True)
        return Announcement(NOT_SURE, "", 0.0, self._words.not_sure(spoken=False), interrupts=True)

    def translate(self, sentence: str) -> str:
        """Return edge's sentence in the spoken language. May be called from any thread."""
        return self._words.notice(sentence)

    def about(self, sentence: str, term: Term, other: Term | None = None) -> str:
        """Return edge's sentence that names a thing, or two, in the spoken language."""
        return self._words.about(sentence, term, other)

    def notice(self, sentence: str, now: Moment) -> Announcement | None:
        """Return a sentence about edge itself as an announcement; None if speaking is not allowed now."""
        wait = self._schedule.in_the_air is not None or self._schedule.must_wait(now)
        if wait or self._schedule.silence(now):
            return None
        return Announcement("", "", 1.0, self._words.notice(sentence))

    def taken(self, announcement: Announcement, seen_s: float, now: Moment) -> None:
        """Record that the speaker has begun to say it."""
        self._schedule.began(announcement, now)
        claims, _ = self.claims.judge(something=True)
        claim = next((one for one in claims if one.id == announcement.id), None)
        if claim is not None:
            self._remember(claim, seen_s)
            self.decisions.note(_about(claim, Decision(Reason.SAID, detail=announcement.text)), now)
        if announcement.id:
            self.attention.spend(announcement.id, now.s)

    def refused(self, announcement: Announcement, now: Moment) -> None:
        """Record that the speaker was too busy to take it."""
        busy = Decision(Reason.BUSY, announcement.id, announcement.label, announcement.probability)
        self.decisions.note(busy, now)

    def finished(self, outcome: Outcome) -> None:
        """Record whether it reached a person."""
        self._schedule.ended(outcome.announcement)
        self._news.finished(outcome)
        self.decisions.finished(outcome)

    def forget(self) -> None:
        """Start over after a time without frames: what is in view now is news, and must persist again to count."""
        self.claims.forget()
        self._evidence_s = {}
        self._news.forget(all_of_it=False)

    def audible_again(self) -> None:
        """Record that the speaker's lasting problem is gone: claims in view that were not heard are news."""
        self._news.forget_what_was_not_heard()

    # ---- what is decided

    def _choose(self, elapsed_s: float, seen_s: float, now: Moment, *, something: bool) -> Announcement | Decision:
        """Return the announcement to make, or why there is none."""
        claims, doubt = self.claims.judge(something=something)
        before = self._evidence_s
        self._evidence_s = {
            claim.id: before[claim.id] + claim.pace * elapsed_s if claim.id in before else 0.0 for claim in claims
        }
        if not claims:
            return doubt or Decision(Reason.NOTHING)
        # while a stronger claim may still come, or after it was said, no weaker claim is made
        claim = claims[0]
        if told := self._news.said_about(claim, seen_s, self.claims.knowledge.groups, self._text):
            silence = self._silence(now) if told.silent else None
            return _about(claim, silence or self._news.why(told))
        missing_s = claim.kind * self._settings.persistence_s - self._evidence_s[claim.id]
        if claim.id not in before or missing_s > _SLACK_S:
            return _about(claim, Decision(Reason.TOO_SHORT, needed=max(missing_s, 0.0) / claim.pace))
        if not self._shows_now(claim):
            return _about(claim, Decision(Reason.CHANGING))
        return self._offer(claim, seen_s, now)

    def _offer(self, claim: Claim, seen_s: float, now: Moment) -> Announcement | Decision:
        """Return the claim as an announcement, or why speaking is not allowed now."""
        if silence := self._silence(now):
            self._remember(claim, seen_s, silent=True)
            if claim.kind is not Kind.NOT_SURE:
                self._missed(Missed(claim.name, claim.probability, silence.reason.code, self._text(claim)))
            return _about(claim, silence)
        if self._schedule.must_wait(now):
            limit = Decision(Reason.RATE_LIMIT, needed=self._schedule.per_minute, until_s=self._schedule.free_again_s())
            return _about(claim, limit)
        if (free_s := self.attention.free_again_s(claim.id, now.s)) > now.s:
            return _about(claim, Decision(Reason.OFTEN, needed=self.attention.per_hour, until_s=free_s))
        if now.s - seen_s > self._settings.expiry_s:
            return _about(claim, Decision(Reason.TOO_LATE))
        interrupts = False
        if (spoken_now := self._schedule.in_the_air) is not None:
            # sentences about edge itself are not interrupted
            surer = claim.probability > spoken_now.probability
            wanted = {"never": False, "when-surer": surer, "always": True}[self._settings.interrupt]
            if not spoken_now.id or not wanted:
                return _about(claim, Decision(Reason.SPEAKING, detail=spoken_now.text))
            interrupts = True
        announcement = self._announcement(claim, seen_s)
        if announcement is None:
            return _about(claim, Decision(Reason.NO_WORDS))
        return replace(announcement, interrupts=interrupts)

    def _silence(self, now: Moment) -> Decision | None:
        """Return the quiet hours or the snooze; None if there is neither."""
        if not (silence := self._schedule.silence(now)):
            return None
        reason = Reason.SNOOZED if silence == SNOOZED else Reason.QUIET_HOURS
        return Decision(reason, until_s=self._schedule.silent_until_s(now))

    def _remember(self, claim: Claim, seen_s: float, *, silent: bool = False) -> None:
        self._news.remember(claim, self._text(claim), seen_s, self.claims.knowledge.groups, silent=silent)

    def _is_in_view(self, claim: Claim) -> bool:
        if claim.kind is Kind.NOT_SURE:
            return claim.id in self._evidence_s
        return self.claims.together(claim.members) >= self._settings.hold

    def _shows_now(self, claim: Claim) -> bool:
        """Return True if the newest frame still shows it: what has just left is not announced."""
        return claim.kind is Kind.NOT_SURE or self.claims.view.best_now in claim.members

    # ---- in words

    def _text(self, claim: Claim) -> str:
        announcement = self._announcement(claim, 0.0, spoken=False)
        return announcement.text if announcement else ""

    def _ways_to_call(self, term: Term) -> Iterator[Term]:
        """Yield the label itself, then its groups, the smallest first."""
        yield term
        yield from self.claims.group_terms(frozenset({term.id}))

    def _announcement(self, claim: Claim, seen_s: float, *, spoken: bool = True) -> Announcement | None:
        """Return the claim in words; None if the spoken language has no words for it."""
        labels: tuple[str, ...] = ()
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
            labels = tuple(term.label for term in known[: 2 if claim.kind is Kind.MAYBE else 1])
        probability = min(claim.probability, 1.0)
        expires_s = seen_s + self._settings.expiry_s
        form = claim.kind.name.lower()
        return Announcement(claim.id, claim.name, probability, text, expires_s=expires_s, labels=labels, form=form)


def _about(claim: Claim, decision: Decision) -> Decision:
    """Return the decision with the claim's id, label and probability."""
    return decision._replace(id=claim.id, label=claim.name, probability=claim.probability, best=claim.best)
