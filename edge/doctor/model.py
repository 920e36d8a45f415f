"""Check of the model: does it fit, are its files whole, and does it give its known answer?"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from edge.doctor.finding import Finding, fault, good, warning
from edge.doctor.taught import check_taught, taught_in_use
from edge.errors import ModelError, one_line
from edge.host.installation import edge_command
from edge.models.catalogue import load_catalogue
from edge.models.checkpoint import DEMO
from edge.models.packages import is_here
from edge.models.store import installed, verify
from edge.selection.selector import ModelSelector
from edge.selection.taught_classifier import TaughtClassifier
from edge.settings import Settings


def check_model(
    settings: Settings, stores: list[Path], running: Mapping[str, Any] | None, *, taught: bool = False
) -> Iterator[Finding]:
    """Check the installed models, and load the one that would run, unless an edge is `running`.

    With `taught`, check also which taught things it knows.
    """
    damaged = False
    stored = installed(stores)
    for one in stored:
        for what in verify(one):
            damaged = True
            yield fault("models", what)
    if stored and not damaged:
        yield good("models", f"installed and intact: {', '.join(one.name for one in stored)}")
    if running is not None:
        yield model_in_use(running)
        if taught:
            yield from taught_in_use(running)
        return
    told: list[str] = []
    try:
        selector = ModelSelector(settings, tell=told.append)
        classifier = selector.open()
    except ModelError as error:
        yield fault("model", one_line(error))
        return
    try:
        of_taught = classifier.told if isinstance(classifier, TaughtClassifier) else []
        for line in told:
            if line not in of_taught:
                yield warning("model", line)
        text = f"{selector.description}{'' if classifier.calibrated else ', uncalibrated'}: "
        answer = selector.option.installed.manifest if selector.option.installed else None
        text += "it passes its self-test" if answer and answer.answer else "it loads and runs"
        need = next((one.need_mib for one in selector.verdicts if one.candidate.name == selector.name), None)
        text += f"; needs {need or 0:.0f} of {selector.budget.mib:.0f} MiB ({selector.budget.source})"
        if selector.name == DEMO and settings.model.name == "auto":
            here = [name for name, entry in load_catalogue(stores).items() if is_here(entry)]
            advice = f"edge run installs {', '.join(here)}" if here else f"`{edge_command()} models fetch`"
            advice = f"the demo model knows 52 drawings and nothing of the world: {advice}"
            yield warning("model", text, advice)
        else:
            yield good("model", text)
        if taught:
            known, later = selector.taught.values(), selector.learning_again
            yield from check_taught(selector.name, known, selector.not_known, later, runs=False)
    finally:
        selector.close()


def model_in_use(running: Mapping[str, Any]) -> Finding:
    """Return the finding about the model of a running edge, by its status."""
    calibrated = "" if running.get("calibrated") else ", uncalibrated"
    return good(
        "model", f"{running.get('model')}, run by {running.get('engine')}{calibrated}; it was tested when edge started"
    )
