"""Opens a model, and checks it before use: its files are complete, it does not crash, its known answer is right."""

from collections.abc import Callable
from pathlib import Path

from edge.engines import open_classifier
from edge.engines.selftest import TOLERANCES, check_answer
from edge.errors import ModelError
from edge.importer.last_layer import features_of
from edge.importer.quantised import INT8, about_quantised
from edge.importer.symbol import read_symbol
from edge.models.crash_marker import CrashMarker
from edge.models.fingerprint import fingerprint
from edge.models.manifest import Answer
from edge.models.store import verify
from edge.models.taught.store import TaughtStore
from edge.selection.option import Option
from edge.selection.taught_classifier import TaughtClassifier
from edge.stages import Classifier


class Opener:
    """Opens models, and records which one is being loaded in case it kills the daemon."""

    def __init__(
        self,
        crash_marker: CrashMarker,
        top: int,
        *,
        square: bool,
        knows_answers: bool,
        teaches: bool = False,
        meanwhile: bool = False,
        tell: Callable[[str], None] = lambda _line: None,
    ) -> None:
        """`top` is how many labels a classifier returns; if `square`, it looks at the largest square of a frame.

        Without `knows_answers` the known answers are not checked: they do not apply to another input or other labels.
        If it `teaches`, models give their features, and name no taught thing. `meanwhile` and `tell` are for
        TaughtClassifier.
        """
        self._teaches, self._meanwhile, self._tell = teaches, meanwhile, tell
        self._store = TaughtStore(tell=tell)
        self._version = self._store.version()
        self._crash_marker = crash_marker
        self._top, self._square = top, square
        self._knows_answers = knows_answers

    def open(self, option: Option, *, teaches: bool = False) -> Classifier:
        """Return the open and checked model; if something is taught or it `teaches`, as a TaughtClassifier.

        Raises ModelError, and leaves nothing open, if a check fails.
        """
        if option.installed is not None and (faults := verify(option.installed)):
            raise ModelError(f"model {option.name}: {faults[0]}")
        knows = teaches or (not self._teaches and self._knows_things(option))
        # asked for only then: without taught things nothing costs more
        more = {"features": True} if knows or self._teaches else {}
        with self._crash_marker.loading(option.checkpoint):
            network = open_classifier(
                option.checkpoint, option.driver(option.engine), self._top, square=self._square, **more
            )
            try:
                answer = _known_answer(option) if self._knows_answers else None
                if answer is not None:
                    check_answer(network, answer, TOLERANCES[option.precision])
            except ModelError:
                network.close()
                raise
        if not knows:
            return network
        return TaughtClassifier(network, model_of(option), self._store, meanwhile=self._meanwhile, tell=self._tell)

    def taught_changed(self) -> bool:
        """Return True if something was taught or forgotten since a model was opened."""
        return self._store.version() != self._version

    def _knows_things(self, option: Option) -> bool:
        """Return True if something is taught and a model can know it; report if it cannot."""
        self._version = self._store.version()
        if not self._version:
            return False
        if problem := features_problem(option.checkpoint.symbol):
            self._tell(f"{problem}.")
            return False
        return True


def model_of(option: Option) -> str:
    """Return the fingerprint that things are taught under. Raises ModelError if the files cannot be read."""
    return fingerprint(option.checkpoint, option.installed.digests if option.installed else None)


def features_problem(symbol: Path) -> str:
    """Return why a network cannot be taught; empty if it can."""
    try:
        features_of(read_symbol(symbol))
    except ModelError as error:
        return str(error)
    return ""


def _known_answer(option: Option) -> Answer | None:
    """Return the model's answer to the known picture when it was installed or quantised; None if not recorded."""
    if option.precision == INT8:
        info = about_quantised(option.checkpoint, option.precision)
        return info.answer if info else None
    if option.agreement is not None and option.agreement.unfused and option.agreement.answer is not None:
        # a release that did not compare engines may have recorded the answer with fusion
        return option.agreement.answer
    return option.installed.manifest.answer if option.installed and option.installed.manifest else None
