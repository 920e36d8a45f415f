"""Whether a claim is news: what was said about things that are still in view. Pure: time is an argument.

A claim is not repeated until it has left the view or the cooldown has passed; the cooldown doubles each time. Nor is
the group of a label said after the label, or a label after its group. Only what reached a person counts as said. What
was not heard is tried again after `retry_s`, and keeps nothing else from being said. While there is no sound at all,
what is said counts as heard, so that the same is printed as would be heard; as soon as there is sound, what is in view
is news.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from edge.announce.claims import Claim, Kind
from edge.announce.decisions import Decision, Reason
from edge.settings import AnnounceSettings
from edge.stages import Group, Outcome

_LONGEST_COOLDOWN_S = 3600.0
"""The cooldown doubles up to an hour, unless the settings have a longer one."""


@dataclass
class Told:
    """A claim that was handed to the speaker, or was held back by quiet hours or snooze."""

    claim: Claim
    at_s: float
    last_in_view_s: float
    text: str = ""
    """The sentence that was said; for an implied group, the sentence of the label."""
    frames_out_of_view: int = 0
    delivered: bool | None = None
    """None until the outcome is known."""
    lasting: bool = False
    """True if it was not delivered, and nothing can be heard for now."""
    fault: str = ""
    """Why it was not delivered."""
    silent: bool = False
    """True if quiet hours or snooze held it back."""
    times: int = 1
    """How often it was said since it came into view."""
    implied: bool = False
    """True for the group of an announced label: it makes the group's other labels old only if their words are equal."""

    @property
    def failed(self) -> bool:
        """Return True if it was not heard although there is sound."""
        return self.delivered is False and not self.lasting


class News:
    """What was said, by the claim's id."""

    def __init__(self, settings: AnnounceSettings) -> None:
        self.configure(settings)
        self._told: dict[str, Told] = {}

    def configure(self, settings: AnnounceSettings) -> None:
        """Use other settings. What was said stays said."""
        self._settings = settings

    def said_about(
        self, claim: Claim, seen_s: float, groups: Iterable[Group], text: Callable[[Claim], str]
    ) -> Told | None:
        """Return what was said that makes the claim old; None: it is news. `text` returns a claim's sentence."""
        return next((told for told in self._told.values() if self._covers(told, claim, seen_s, groups, text)), None)

    def why(self, told: Told) -> Decision:
        """Return the decision that follows from `told`."""
        if told.failed:
            again_s = told.at_s + self._settings.retry_s
            return Decision(Reason.NOT_HEARD, detail=told.fault, until_s=again_s)
        if told.lasting:
            return Decision(Reason.NO_SOUND, detail=told.fault)
        return Decision(Reason.SPEAKING if told.delivered is None else Reason.ALREADY_SAID, detail=told.text)

    def remember(self, claim: Claim, text: str, seen_s: float, groups: Iterable[Group], *, silent: bool) -> None:
        """Record that the claim's sentence is being said, or that `silent` hours held it back."""
        delivered = True if silent else None
        before = self._told.get(claim.id)
        times = before.times + 1 if before is not None and before.delivered and not before.implied else 1
        self._told[claim.id] = Told(claim, seen_s, seen_s, text, delivered=delivered, silent=silent, times=times)
        if claim.kind is not Kind.LABEL:
            return
        for group in groups:
            old = self._told.get(group.id)
            if claim.id in group.members and (old is None or (old.implied and old.failed)):
                implied = Claim(Kind.GROUP, group.id, group.name, claim.probability, group.members, claim.best)
                self._told[group.id] = Told(
                    implied, seen_s, seen_s, text, delivered=delivered, silent=silent, implied=True
                )

    def finished(self, outcome: Outcome) -> None:
        """Record whether it reached a person."""
        said = outcome.announcement.id
        for told in self._told.values():
            if told.claim.id == said or (told.implied and said in told.claim.members and told.delivered is None):
                told.delivered, told.lasting, told.fault = outcome.delivered, outcome.lasting, outcome.reason

    def forget_what_left(self, seen_s: float, in_view: Callable[[Claim], bool]) -> None:
        """Forget what was said about things that left the view: they are news when they come back."""
        for identity, told in list(self._told.items()):
            if in_view(told.claim):
                told.last_in_view_s, told.frames_out_of_view = seen_s, 0
                continue
            told.frames_out_of_view += 1
            # one bad frame does not count as leaving, even if it covers a long time
            left = told.frames_out_of_view >= 2 and seen_s - told.last_in_view_s >= self._settings.leave_s
            waits = told.failed and not told.implied and seen_s - told.at_s < self._settings.retry_s
            if left and not waits:
                del self._told[identity]

    def forget_what_was_held_back(self) -> None:
        """Forget what quiet hours or snooze held back: what is still in view is news when they end."""
        self._keep(lambda told: not told.silent)

    def forget_what_was_not_heard(self) -> None:
        """Forget it when there is sound again."""
        self._keep(lambda told: told.delivered is not False)

    def forget(self, *, all_of_it: bool) -> None:
        """Forget what was said, except what is being said, unless `all_of_it`."""
        self._keep(lambda told: not all_of_it and told.delivered is None)

    def _keep(self, wanted: Callable[[Told], bool]) -> None:
        self._told = {identity: told for identity, told in self._told.items() if wanted(told)}

    def _covers(
        self, told: Told, claim: Claim, seen_s: float, groups: Iterable[Group], text: Callable[[Claim], str]
    ) -> bool:
        """Return True if an earlier announcement makes the claim old."""
        if told.failed:
            # an announcement that was not heard does not hold back other words
            return told.claim.id == claim.id and not told.implied and seen_s - told.at_s < self._settings.retry_s
        if told.claim.id == claim.id:
            # what rests in view is repeated with growing delays
            cooldown_s = min(self._settings.cooldown_s * 2.0 ** min(told.times - 1, 20), _LONGEST_COOLDOWN_S)
            cooldown_s = max(cooldown_s, self._settings.cooldown_s)
            return told.delivered is None or not 0 < cooldown_s <= seen_s - told.at_s
        if claim.kind is Kind.NOT_SURE:
            return True  # something stronger was said about this view
        if claim.kind is Kind.LABEL:
            if told.claim.kind is Kind.LABEL:
                # probably the model's second guess about what is still there: another breed
                return any({claim.id, told.claim.id} <= group.members for group in groups)
            if claim.id not in told.claim.members:
                return False
            return not told.implied or told.text == text(claim)
        return bool(told.claim.members & claim.members)
