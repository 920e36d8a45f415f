"""Change of the model while edge runs: to a smaller or larger one by the memory, or to a better fetched one."""

import time
from typing import TYPE_CHECKING

from edge import pipeline
from edge.announce.notices import BETTER, SMALLER, Notices, teach_again
from edge.daemon.equipment import Equipment
from edge.daemon.monitors import MemoryMonitor
from edge.daemon.reporter import Cause, Reporter

if TYPE_CHECKING:
    from edge.daemon.upgrade import Upgrade

_WORK_S = 0.3
"""Time for forwards in a turn of the loop, while things are learnt again; a slow machine makes one."""
_TAUGHT_EVERY_S = 2.0
"""How often the folder of taught things is looked at."""


class ModelChanges:
    """Decides once a turn whether another model should run, and swaps it in."""

    def __init__(
        self,
        equipment: Equipment,
        reporter: Reporter,
        notices: Notices,
        summary: pipeline.Summary,
        *,
        fetch: bool,
    ) -> None:
        """Start to watch. With `fetch`, and if the settings allow it, a Pi with a camera fetches its best model."""
        self._equipment = equipment
        self._reporter = reporter
        self._notices = notices
        self._summary = summary
        self._fetch = fetch
        self._upgrade: Upgrade | None = None
        self._not_known: list[str] = []
        self.renew()

    def renew(self) -> None:
        """Start again with the equipment that is open now; a new selector starts a new search for a better model."""
        equipment = self._equipment
        selector, settings = equipment.selector, equipment.settings.model
        self._memory = MemoryMonitor(selector, enabled=settings.step_down)
        self._memory_wants = self._is_better = False
        """Whether the memory asks for another model, and whether a better one is ready."""
        self._taught_changed, self._next_look_s = False, 0.0
        fetch = self._fetch and settings.fetch and selector.machine.is_raspberry_pi and equipment.camera.live
        if self._upgrade is not None and (not fetch or self._upgrade.selector is not selector):
            self._upgrade.close()
            self._upgrade = None
        if fetch and self._upgrade is None:
            # imported here: most daemons have no better model to look for
            from edge.daemon.upgrade import Upgrade

            self._upgrade = Upgrade(selector, settings.engine)

    def look(self, now_s: float, *, teaching: bool) -> None:
        """Update `wanted`; call it in each turn of the loop. While `teaching`, only tight memory changes the model."""
        self._memory_wants, self._is_better = self._memory.look(now_s), False
        if teaching:
            self._memory_wants &= self._memory.wanted == "down"
            self._taught_changed, self._next_look_s = False, 0.0  # known when the lesson ends
            return
        if now_s >= self._next_look_s:
            self._next_look_s = now_s + _TAUGHT_EVERY_S
            self._taught_changed = self._equipment.selector.taught_changed()
        elif self._summary.frames > 1:  # READY comes first
            self._work()
            self._ask_to_be_taught()
        if self._upgrade is not None and self._summary.frames > 1:  # READY comes first
            self._upgrade.look(now_s)
            self._is_better = self._ready_upgrade() is not None

    @property
    def wanted(self) -> bool:
        """True if another model should run, or know other things: then call `change`."""
        return self._memory_wants or self._taught_changed or self._is_better

    def change(self) -> bool:
        """Take the better model, or the one that the memory allows; return True if it was the better one.

        Raises NoModelFits if no model fits any more.
        """
        memory_wants, self._memory_wants, self._is_better = self._memory_wants, False, False
        if upgrade := self._ready_upgrade():
            self._take(upgrade)
            return True
        if self._taught_changed:
            self.know_taught()
        elif memory_wants:
            if self._upgrade is not None:
                self._upgrade.close()  # the memory does not hold two models
            self._step(down=self._memory.wanted == "down")
        return False

    def know_taught(self) -> None:
        """Let the model name what is taught now, and report that if it has changed."""
        selector = self._equipment.selector
        changed, self._taught_changed = selector.taught_changed(), False
        self._equipment.classifier = selector.know_taught()
        if changed:
            self._reporter.taught(list(selector.taught.values()))

    def close(self) -> None:
        """Stop fetching or loading. May be called twice."""
        if self._upgrade is not None:
            self._upgrade.close()

    def end_children(self) -> None:
        """End the processes at once; may be called from any thread."""
        if self._upgrade is not None:
            self._upgrade.end_child()

    def _ready_upgrade(self) -> "Upgrade | None":
        # let words end that are being spoken: a new voice would not know their outcome
        if self._memory.wanted == "down" or self._summary.in_the_air:
            return None
        return self._upgrade if self._upgrade is not None and self._upgrade.is_ready else None

    def _take(self, upgrade: "Upgrade") -> None:
        selector = self._equipment.selector
        before = selector.running
        self._equipment.take_network(upgrade.take)
        self._reporter.model_changed(
            before, selector.running, Cause.BETTER, "it is more accurate, and was just fetched"
        )
        self._notices.once("model", BETTER)

    def _work(self) -> None:
        """Let the model learn things again, for a short time: the loop goes on, and no second model needs memory."""
        begun_s = time.monotonic()
        while self._equipment.selector.work() and time.monotonic() - begun_s < _WORK_S:
            pass

    def _ask_to_be_taught(self) -> None:
        """Ask for the things that must be taught again; each time others are missing."""
        if (names := self._equipment.selector.not_known) != self._not_known:
            self._not_known = list(names)
            if sentence := teach_again(names):
                self._notices.once("lessons", sentence)

    def _step(self, *, down: bool) -> None:
        selector = self._equipment.selector
        before, why = selector.running, self._memory.reason
        self._equipment.classifier = selector.step_down() if down else selector.step_up()
        if selector.running == before:
            return
        self._reporter.model_changed(before, selector.running, Cause.MEMORY if down else Cause.ROOM, why)
        if down:
            self._notices.once("model", SMALLER)
