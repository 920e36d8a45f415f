"""A model is opened, and proven sound before it is believed: whole files, no crash, the known answer."""

from edge.engines import open_classifier
from edge.engines.selftest import TOLERANCES, check_answer
from edge.errors import ModelError
from edge.importer.quantised import FLOAT32, about_quantised
from edge.models.crash_marker import CrashMarker
from edge.models.manifest import Answer
from edge.models.store import verify
from edge.selection.option import Option
from edge.stages import Classifier


class Opener:
    """Opens models, and notes while it does which one may kill the daemon."""

    def __init__(self, crash_marker: CrashMarker, top: int, *, knows_answers: bool) -> None:
        """`top` is how many labels a classifier returns.

        Without `knows_answers` the known answers do not count: of another input, or with other labels, nobody knows
        them.
        """
        self._crash_marker = crash_marker
        self._top = top
        self._knows_answers = knows_answers

    def open(self, option: Option) -> Classifier:
        """Return the model, open and checked. Raises ModelError, and leaves nothing open, where it is unsound."""
        if option.installed is not None and (faults := verify(option.installed)):
            raise ModelError(f"model {option.name}: {faults[0]}")
        with self._crash_marker.loading(option.checkpoint):
            classifier = open_classifier(option.checkpoint, option.driver(option.engine), self._top)
            try:
                answer = _known_answer(option) if self._knows_answers else None
                if answer is not None:
                    check_answer(classifier, answer, TOLERANCES[option.precision])
            except ModelError:
                classifier.close()
                raise
        return classifier


def _known_answer(option: Option) -> Answer | None:
    """Return what the model said of the known picture when it was installed, or quantised; None: nobody has asked."""
    if option.precision != FLOAT32:
        info = about_quantised(option.checkpoint, option.precision)
        return info.answer if info else None
    if option.agreement is not None and option.agreement.unfused and option.agreement.answer is not None:
        # an edge that did not ask may have noted what the fusion said
        return option.agreement.answer
    return option.installed.manifest.answer if option.installed and option.installed.manifest else None
