"""The camera, model, voice and input that the settings choose; each is swapped by itself when its settings change."""

import dataclasses
import functools
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edge.announce.voice import Voice
from edge.cameras import DEMO_CLIP, PausableCamera, find_settings, open_lasting
from edge.errors import EdgeError, SpeechError
from edge.host.machine import Machine
from edge.host.memory import give_back_start
from edge.input import Source, open_sources
from edge.input.actions import Receiver
from edge.models.checkpoint import DEMO
from edge.selection.selector import ModelSelector
from edge.settings import ModelSettings, Settings
from edge.speech import StartedSpeaker, open_speaker, start_speaker
from edge.speech.log import LogSpeaker
from edge.speech.tones import TonePlayer
from edge.stages import Classifier, Speaker

_log = logging.getLogger(__name__)


class Equipment:
    """Opens and closes the parts that are slow, big or noisy."""

    camera: PausableCamera
    classifier: Classifier

    def __init__(
        self,
        settings: Settings,
        voice: Voice,
        lost: Callable[[str], object],
        back: Callable[[str], object],
        *,
        machine: Machine | None = None,
        every_frame: bool = False,
        overrides: Mapping[str, Any] | None = None,
        synset: Path | None = None,
    ) -> None:
        """Keep the arguments; nothing is opened yet. `lost` and `back` are for cameras.open_lasting."""
        self.settings = settings
        self.voice = voice
        self.sources: Mapping[str, Source] = {}
        """What a person can ask with: keys, a word."""
        self._lost, self._back = lost, back
        self._every_frame = every_frame
        self._new_selector = functools.partial(
            ModelSelector,
            machine=machine,
            overrides=overrides,
            synset=synset,
            tell=_log.info,
            bring=True,
            # a film that waits for each frame is over before anything is learnt
            meanwhile=not every_frame,
        )
        self._strict = False
        """True if a voice that cannot be opened is an error, not only a logged silence."""
        self._children: dict[str, PausableCamera | Voice] = {"voice": voice}
        """The parts that have processes: 'camera' and 'voice'."""
        self._selector: ModelSelector | None = None
        self._started: StartedSpeaker | None = None
        """The speaker whose process has been started, but not awaited."""

    @property
    def selector(self) -> ModelSelector:
        """The selector: it knows which model runs, and which others could."""
        assert self._selector, "it is closed"
        return self._selector

    def open(self, receiver: Receiver, *, paused: bool) -> None:
        """Open everything, except a live camera while `paused`. Raises EdgeError if something cannot be opened.

        `receiver` takes the requests by key and word. Voice and input come first: a person who asks while a camera is
        awaited or a model loads gets an answer. The processes of voice and camera start while this one loads what it
        needs: a camera is awaited after the model.
        """
        self._receiver = receiver
        self._begin_tones()
        self._start_speaker()
        self._found = find_settings(self.settings.camera)
        # this reads the store only: an error there is raised before a camera is opened
        self._selector = self._make_selector()
        self._start_camera(paused)
        self._use(self._find_speaker(prints=False))
        self._open_sources(paused)
        classifier = self.selector.open()
        self._await_camera()
        self._use_network(classifier)
        if self._is_demo_by_default():
            self._exchange_speaker(paused)

    def change(self, settings: Settings, *, paused: bool) -> str:
        """Reopen what the new settings change; return why they cannot be used, or ''. `paused` as for `open`.

        If they cannot be used, the old state is restored. Raises EdgeError if that fails too.
        """
        before, self.settings = self.settings, settings
        exchanged: list[Callable[[bool], None]] = []
        self._strict = True
        try:
            for exchange in self._affected(before, settings):
                exchanged.append(exchange)
                exchange(paused)
        except EdgeError as error:
            self.settings, self._strict = before, False
            for exchange in exchanged:
                exchange(paused)
            return str(error)
        finally:
            self._strict = False
        return ""

    def take_network(self, take: Callable[[], None]) -> None:
        """Let `take` swap the selector's model for another open one, and use that."""
        before = self.classifier.name
        take()
        self.classifier = self.selector.classifier
        _log.info(self._model_line())
        if before == DEMO:
            # after the demo, the results are worth speaking
            self._exchange_speaker(False)

    def give_back(self) -> None:
        """Release the memory that only the start needed."""
        give_back_start()

    def set_paused(self, paused: bool) -> None:
        """Close what a paused edge must not have open besides the camera, or open it again. From any thread."""
        for source in self.sources.values():
            source.set_paused(paused)

    def input_status(self) -> dict[str, Any]:
        """Return the state of tones, keys and wake word as a JSON object. From any thread."""
        return {
            "tones": self.settings.input.tones,
            **{name: source.status() for name, source in self.sources.items()},
        }

    def close(self) -> None:
        """Close everything. May be called twice."""
        self.end_children()
        if self._selector is not None:
            self._selector.end()

    def end_children(self) -> None:
        """End the processes at once, before a forced exit; may be called from any thread."""
        if self._selector is not None:
            # a forced exit while a model loads does not mean that the model crashes
            self._selector.crash_marker.clear()
        started = self._started
        if started is not None:
            started.close()
        for child in (*self._children.values(), *self.sources.values()):
            child.close()

    def _affected(self, old: Settings, new: Settings) -> list[Callable[[bool], None]]:
        """Return, in order, the swap functions for components whose settings changed."""
        affected: list[Callable[[bool], None]] = []
        if new.camera != old.camera:
            affected.append(self._exchange_camera)
        if _decides_the_model(new) != _decides_the_model(old):
            affected.append(self._exchange_network)
        # whether to speak at all depends on camera and model
        if affected or new.speech != old.speech:
            affected.append(self._exchange_speaker)
        # a microphone may be that of the card that edge speaks through
        if new.input != old.input or (new.input.word and new.speech.device != old.speech.device):
            affected.append(self._exchange_sources)
        return affected

    def _exchange_camera(self, paused: bool) -> None:
        self.camera.close()
        self._found = find_settings(self.settings.camera)
        self._start_camera(paused)
        self._await_camera()

    def _exchange_network(self, _paused: bool) -> None:
        self.selector.end()
        self._selector = self._make_selector()
        self._use_network(self.selector.open())

    def _exchange_speaker(self, _paused: bool) -> None:
        # the card may be one that opens once
        self.voice.use(None, None)
        self._begin_tones()
        self._use(self._find_speaker(prints=self._is_demo_by_default()))

    def _exchange_sources(self, paused: bool) -> None:
        for source in self.sources.values():
            source.close()
        self._open_sources(paused)

    def _open_sources(self, paused: bool) -> None:
        self.sources = open_sources(
            self.settings.input,
            self._receiver,
            sounding=self.voice.is_busy,
            speech_device=self.settings.speech.device,
        )
        self.set_paused(paused)

    def _make_selector(self) -> ModelSelector:
        return self._new_selector(self.settings, clip=self._found.source == DEMO)

    def _start_camera(self, paused: bool) -> None:
        """Open a file; begin to open a live camera, for which `_await_camera` waits."""
        self.camera = open_lasting(self._found, self._lost, self._back, self._every_frame, paused=paused, wait=False)
        self._children["camera"] = self.camera

    def _await_camera(self) -> None:
        settings = self.settings.camera
        self.camera.wait_until_open()
        if self.camera.live and self.camera.waits:
            pass  # the loss or the pause is logged elsewhere
        elif settings.source == "auto" and not self.camera.live:
            _log.info(f"No camera found: playing {self.camera.description}.")
        else:
            _log.info(f"Camera: {self.camera.description}.")

    def _use_network(self, classifier: Classifier) -> None:
        self.classifier = classifier
        _log.info(self._model_line())
        if self.camera.description == DEMO_CLIP and self.settings.model.name == "auto" and self.classifier.name == DEMO:
            _log.info("This is a demo: a drawn clip, and a model that knows 52 drawings and nothing of the world.")
        if self.camera.description == DEMO_CLIP and self.classifier.name != DEMO:
            _log.info("The demo clip was drawn for the demo model: use --model demo to see it recognised.")

    def _model_line(self) -> str:
        return f"Model: {self.selector.description}{'' if self.classifier.calibrated else ', uncalibrated'}."

    def _use(self, speaker: Speaker) -> None:
        """Speak with this speaker from now on, and make no tones if it only prints."""
        self.voice.use(speaker, None if isinstance(speaker, LogSpeaker) else self._tones)

    def _start_speaker(self) -> None:
        """Start the process of the voice, for which `_find_speaker` waits."""
        if self.settings.speech.driver != "log":
            self._started = start_speaker(self.settings.speech)

    def _begin_tones(self) -> None:
        """Make tones on the card of the settings: that can be done long before a voice is open."""
        self._tones = TonePlayer(self.settings.speech)
        if self.settings.speech.driver != "log":
            self.voice.use(None, self._tones)

    def _is_demo_by_default(self) -> bool:
        """Return True if the demo model runs on a live camera without being asked for."""
        return self.camera.live and self.settings.model.name == "auto" and self.classifier.name == DEMO

    def _find_speaker(self, *, prints: bool) -> Speaker:
        """Return the speaker of the settings, or one that only prints if sound is impossible or not wanted."""
        settings = self.settings.speech
        silent = dataclasses.replace(settings, driver="log")
        if prints:
            _log.info(
                "The demo model knows only 52 drawings, so announcements are printed, not spoken. Use --model demo to "
                "hear them, or --model PREFIX for a model that knows more."
            )
        elif settings != silent:
            try:
                speaker = self._started or start_speaker(settings)
                speaker.wait_until_open()
            except SpeechError as error:
                if self._strict:
                    raise
                _log.info(f"No sound ({error}): announcements are printed instead.")
            else:
                return speaker
            finally:
                self._started = None
        # a line is written for each announcement anyway
        return open_speaker(silent, printed=lambda _text: None)


def _decides_the_model(settings: Settings) -> tuple[ModelSettings, str, str, bool]:
    """Return the settings that decide which model runs. Camera, voice and wake word count: they take memory too."""
    model = dataclasses.replace(settings.model, still_s=0.0, step_down=True, fetch=True)
    return model, settings.camera.source, settings.speech.driver, bool(settings.input.word)
