"""The settings: one frozen dataclass for each table of edge.toml. How they are read is in config.py."""

import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


def _setting(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str | int, ...] = (),
    fault: Callable[[Any], str] = lambda _value: "",
) -> Any:
    """A dataclass field with what `load` checks: limits (both ends included), choices, or any other fault."""
    kept = {"default_factory": lambda: default} if isinstance(default, dict) else {"default": default}
    return field(**kept, metadata={"low": low, "high": high, "choices": choices, "fault": fault})


def template_fault(template: str, fields: tuple[str, ...] = ("label",), example: str = "I see {label}") -> str:
    """Return what is wrong with a template of [announce], or nothing: it has all of these fields, and no other.

    A field may name a form of the language that is spoken: {label:accusative}.
    """
    try:
        found = [field for field in string.Formatter().parse(template) if field[1] is not None]
    except ValueError as error:
        return f"is no template: {error}; write {{{{ and }}}} for braces that are said"
    known = " and ".join(f"{{{name}}}" for name in fields)
    if any(
        name not in fields or (form and not form.isidentifier()) or conversion for _, name, form, conversion in found
    ):
        return f"has another field than {known}; write it as {example!r}"
    if {name for _, name, _, _ in found} != set(fields):
        return f"would say the same of everything: put {known} in it, as in {example!r}"
    return ""


def _two_labels_fault(template: str) -> str:
    return template_fault(template, ("label", "other"), "maybe {label} or {other}")


def quiet_hours_fault(text: str) -> str:
    """Return what is wrong with quiet hours, or nothing: empty, or two times of a day, as in 22:00-07:00."""
    if not text or re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", text):
        return ""
    return "are no quiet hours; write them as '22:00-07:00', or leave them empty for none"


@dataclass(frozen=True)
class CameraSettings:
    """[camera]: where the frames come from."""

    source: str = _setting("auto")
    """auto | csi[:N] | usb[:N] | a video file | a folder of images | an http(s) or rtsp URL | demo"""
    loop: bool = _setting(False)
    """Play a file, folder or the demo clip again and again."""
    width: int = _setting(640, low=32, high=8192)
    """Pixels asked of a camera; it may give what comes nearest."""
    height: int = _setting(480, low=32, high=8192)
    """Pixels asked of a camera."""
    frame_rate: float = _setting(0.0, low=0, high=1000)
    """Frames a second asked of a CSI or USB camera; 0: as it likes. Fewer let it expose for longer in the dark."""
    rotation: int = _setting(0, choices=(0, 90, 180, 270))
    """Degrees by which a live camera's picture is turned clockwise, to stand upright."""
    mirror: bool = _setting(False)
    """Then left and right of a live camera's picture change places."""
    exposure: str = _setting("normal", choices=("normal", "short", "long"))
    """How a CSI camera shares brightness out between exposure time and gain: short freezes motion."""
    focus: str = _setting("continuous", choices=("continuous", "once", "manual"))
    """A CSI camera whose lens moves follows what it sees, or focuses at the start, or stays at focus_m."""
    focus_m: float = _setting(1.0, low=0.05, high=1000)
    """Metres to what is to be sharp, where focus is manual."""
    image_s: float = _setting(2.0, low=0.01, high=3600)
    """How long each image of a folder is shown, in seconds."""
    open_timeout_s: float = _setting(10.0, low=0.1, high=120)
    """How long a camera or stream may take to open and to give its first frame."""
    read_timeout_s: float = _setting(3.0, low=0.1, high=120)
    """How long a camera or stream may give no frame before it counts as lost."""
    wait: bool = _setting(False)
    """Wait for a live camera that is not there at the start, and with auto for any, instead of ending or playing the
    demo: for the service, which nobody watches."""
    max_fps: float = _setting(10.0, low=0.01, high=1000)
    """How many frames a second are looked at, at most."""


@dataclass(frozen=True)
class ModelSettings:
    """[model]: which network looks at the frames."""

    name: str = _setting("auto")
    """auto (the most accurate installed model that fits the memory budget; the demo where none is installed), the name
    of an installed model, or a checkpoint: DIR/NAME for epoch 0, DIR/NAME-0126.params for another."""
    engine: str = _setting("mxnet", choices=("mxnet", "onnx", "openvino", "auto"))
    """What computes: mxnet (where it cannot be imported, another that is installed), onnx (ONNX Runtime), openvino, or
    auto (of those that are installed and fit the budget, the one that was measured to be fastest on this machine)."""
    precision: str = _setting("float32", choices=("float32", "int8"))
    """What it computes with: float32 as trained, or int8, which `edge models quantize NAME` makes of a model and which
    onnx and openvino can run."""
    memory_budget_mib: int = _setting(0, low=0, high=1_000_000)
    """What the daemon and all its processes may take together, in MiB. 0: 640 for a model that edge chooses, and no
    bound but the machine's own for one that is named. A cgroup's limit and the available memory bound it too."""
    max_latency_ms: float = _setting(0.0, low=0, high=600_000)
    """The slowest that a chosen model may be, in milliseconds a frame (median); 0: no bound."""
    step_down: bool = _setting(True)
    """Change to a smaller installed model while the machine's memory is tight, and back after a long calm."""
    fetch: bool = _setting(True)
    """Let ./scripts/run fetch a better model than those that are installed while edge runs, on a Raspberry Pi with a
    camera, and change over to it. Any other start fetches nothing."""
    still_s: float = _setting(5.0, low=0, high=3600)
    """A scene in which nothing moves is classified again after so many seconds; 0: every frame is classified."""
    top: int = _setting(20, low=2, high=1000)
    """How many of the best labels the announcer gets to see; what a group of them comes to is summed over these."""


@dataclass(frozen=True)
class AnnounceSettings:
    """[announce]: what is worth saying, and when."""

    floor: float = _setting(0.6, low=0, high=1)
    """The smoothed probability a label of an uncalibrated network needs to be announced."""
    margin: float = _setting(0.2, low=0, high=1)
    """How far it must be ahead of the second label; a calibrated network needs no margin."""
    sure: float = _setting(0.8, low=0, high=1)
    """The smoothed probability that a calibrated network needs for 'I see'."""
    maybe: float = _setting(0.4, low=0, high=1)
    """And for 'maybe', on one label or on the best two together; 1: never say maybe."""
    not_sure: bool = _setting(False)
    """Say that something is there when a calibrated network is not even that sure what it is."""
    hold: float = _setting(0.35, low=0, high=1)
    """An announced label stays in view while its smoothed probability is above this (hysteresis; at most floor)."""
    smoothing_s: float = _setting(0.3, low=0, high=60)
    """Time constant of the smoothing over frames, in seconds; 0 switches it off."""
    persistence_s: float = _setting(0.5, low=0, high=60)
    """How long, and for at least two frames, a label must be the best before it is announced."""
    leave_s: float = _setting(1.5, low=0, high=3600)
    """A label below `hold` for this long has left the view, and is news when it comes back."""
    cooldown_s: float = _setting(300.0, low=0, high=86400)
    """A label that stays in view is said again after this long; 0: never."""
    retry_s: float = _setting(10.0, low=0.1, high=3600)
    """After words that nobody could hear, the same label is tried again no sooner than this."""
    interrupt: str = _setting("never", choices=("never", "when-surer", "always"))
    """Whether words that are being said are broken off when something else has come into view: never, when it is the
    more probable of the two, or always."""
    expiry_s: float = _setting(5.0, low=0.1, high=60)
    """What could not begin to be said so long after its frame was taken is not said."""
    per_minute: int = _setting(12, low=1, high=60)
    """How many times a minute edge speaks at most."""
    quiet_hours: str = _setting("", fault=quiet_hours_fault)
    """From when to when nothing at all is said, in local time, as in 22:00-07:00; empty: never quiet."""
    groups: bool = _setting(True)
    """Say 'a dog' where it is clearly a dog but not which breed; for networks with the labels of ImageNet."""
    muted: tuple[str, ...] = _setting(())
    """Labels (or names of groups) that are never said."""
    rename: Mapping[str, str] = _setting({})
    """What is said instead of a label: {"notebook" = "a laptop"}. With its article, or as a plain noun."""
    template: str = _setting("I see {label}", fault=template_fault)
    """What is said: {label} becomes the label with its article ('a guitar')."""
    maybe_template: str = _setting("maybe {label}", fault=template_fault)
    """What is said when it is probable but not sure."""
    maybe_or_template: str = _setting("maybe {label} or {other}", fault=_two_labels_fault)
    """What is said when it is one of two."""
    not_sure_text: str = _setting("I'm not sure")
    """What is said when something is there, and [announce] not_sure asks for it."""


@dataclass(frozen=True)
class SpeechSettings:
    """[speech]: the voice."""

    driver: str = _setting("pyttsx3", choices=("pyttsx3", "espeak", "log"))
    """pyttsx3, espeak (espeak-ng piped to aplay), or log (print only)."""
    voice: str = _setting("")
    """The synthesiser's name of a voice, such as en-us; empty for its own default."""
    rate_wpm: int = _setting(200, low=80, high=450)
    """Words a minute."""
    volume: float = _setting(1.0, low=0, high=1)
    """0 (silent) to 1."""
    device: str = _setting("")
    """The sound card by its name, or any ALSA device (`edge say --list-devices` shows them); empty: ALSA's default."""
    lead_in_ms: int = _setting(0, low=0, high=5000)
    """Silence before the words, in milliseconds: Bluetooth speakers swallow the first half second."""
    language: str = _setting("")
    """The language that is spoken, as in de: it chooses the voice, unless that is set; empty: English."""
    translations: str = _setting("")
    """A TOML file with what is said in that language instead of each label and sentence; empty: the one that edge has
    for the language, else English words."""

    @property
    def spoken_voice(self) -> str:
        """The voice, or the language's; empty: the synthesiser's own default."""
        return self.voice or self.language


@dataclass(frozen=True)
class AloudSettings:
    """[aloud]: what edge says of itself. Quiet hours and per_minute hold for this too."""

    ready: bool = _setting(True)
    """That it is ready, after the start."""
    blind: bool = _setting(True)
    """That it cannot see (the camera is lost, covered or frozen, it is too dark or bright), and that it can again."""
    blurred: bool = _setting(True)
    """That what it sees is blurred."""
    paused: bool = _setting(True)
    """That the camera is closed (`edge pause`), and that it looks again."""
    hot: bool = _setting(True)
    """That the board is too hot and slows down."""
    smaller_model: bool = _setting(True)
    """That another network looks: a smaller one, because the memory is tight, or a better one."""
    repeat_s: float = _setting(60.0, low=1, high=86400)
    """The same sentence is said again no sooner than this."""


@dataclass(frozen=True)
class ServiceSettings:
    """[service]: the daemon itself."""

    events: str = _setting("")
    """A file that gets one JSON object a line for what happens, or - for standard output; empty for none."""
    events_frames: bool = _setting(False)
    """One event for every frame too."""
    control: str = _setting("auto")
    """The socket for `edge status`, `edge snooze` and so on: a path, auto (in RUNTIME_DIRECTORY or XDG_RUNTIME_DIR), or
    empty for none."""


@dataclass(frozen=True)
class Settings:
    """All tables of edge.toml."""

    camera: CameraSettings = CameraSettings()
    model: ModelSettings = ModelSettings()
    announce: AnnounceSettings = AnnounceSettings()
    speech: SpeechSettings = SpeechSettings()
    aloud: AloudSettings = AloudSettings()
    service: ServiceSettings = ServiceSettings()
