"""Opens a model, and checks it before use: its files are complete, it does not crash, its known answer is right."""

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
    """Opens models, and records which one is being loaded in case it kills the daemon."""

    def __init__(self, crash_marker: CrashMarker, top: int, *, square: bool, knows_answers: bool) -> None:
        """`top` is how many labels a classifier returns; if `square`, it looks at the largest square of a frame.

        Without `knows_answers` the known answers are not checked: they do not apply to another input or other labels.
        """
        self._crash_marker = crash_marker
        self._top, self._square = top, square
        self._knows_answers = knows_answers

    def open(self, option: Option) -> Classifier:
        """Return the open and checked model. Raises ModelError, and leaves nothing open, if a check fails."""
        if option.installed is not None and (faults := verify(option.installed)):
            raise ModelError(f"model {option.name}: {faults[0]}")
        with self._crash_marker.loading(option.checkpoint):
            classifier = open_classifier(
                option.checkpoint, option.driver(option.engine), self._top, square=self._square
            )
            try:
                answer = _known_answer(option) if self._knows_answers else None
                if answer is not None:
                    check_answer(classifier, answer, TOLERANCES[option.precision])
            except ModelError:
                classifier.close()
                raise
        return classifier


def _known_answer(option: Option) -> Answer | None:
    """Return the model's answer to the known picture when it was installed or quantised; None if not recorded."""
    if option.precision != FLOAT32:
        info = about_quantised(option.checkpoint, option.precision)
        return info.answer if info else None
    if option.agreement is not None and option.agreement.unfused and option.agreement.answer is not None:
        # a release that did not compare engines may have recorded the answer with fusion
        return option.agreement.answer
    return option.installed.manifest.answer if option.installed and option.installed.manifest else None
