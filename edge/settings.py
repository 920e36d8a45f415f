"""The settings: one frozen dataclass for each table of edge.toml. config.py reads them."""

import math
import re
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


def setting(
    default: Any,
    *,
    low: float | None = None,
    high: float | None = None,
    choices: tuple[str | int, ...] = (),
    fault: Callable[[Any], str] = lambda _value: "",
) -> Any:
    """Return a dataclass field with the checks of `load`: limits (both ends included), choices, or any other fault."""
    kept = {"default_factory": lambda: default} if isinstance(default, dict) else {"default": default}
    return field(**kept, metadata={"low": low, "high": high, "choices": choices, "fault": fault})


def template_fault(template: str, fields: tuple[str, ...] = ("label",), example: str = "I see {label}") -> str:
    """Return what is wrong with a template of [announce], or '': it must have all of these fields, and no other.

    A field may name a form of the spoken language: {label:accusative}.
    """
    try:
        found = [field for field in string.Formatter().parse(template) if field[1] is not None]
    except ValueError as error:
        return f"is not a template: {error}; write {{{{ and }}}} for literal braces"
    known = " and ".join(f"{{{name}}}" for name in fields)
    if any(
        name not in fields or (form and not form.isidentifier()) or conversion for _, name, form, conversion in found
    ):
        return f"has a field other than {known}; write it as {example!r}"
    if {name for _, name, _, _ in found} != set(fields):
        return f"would say the same for everything: put {known} in it, as in {example!r}"
    return ""


def _two_labels_fault(template: str) -> str:
    return template_fault(template, ("label", "other"), "maybe {label} or {other}")


def quiet_hours_fault(text: str) -> str:
    """Return what is wrong with quiet hours, or '': they are empty, or two times of a day, as in 22:00-07:00."""
    if not text or re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d-([01]\d|2[0-3]):[0-5]\d", text):
        return ""
    return "are not quiet hours; write them as '22:00-07:00', or leave them empty for none"


@dataclass(frozen=True)
class CameraSettings:
    """[camera]: the source of the frames."""

    source: str = setting("auto")
    """Where frames come from: auto, csi[:N], usb[:N], a video file, a folder of images, an http(s) or rtsp URL, or
    demo."""
    loop: bool = setting(False)
    """Play a file, a folder or the demo clip in a loop."""
    width: int = setting(640, low=32, high=8192)
    """Width in pixels that edge asks the camera for. The camera delivers the nearest size it has."""
    height: int = setting(480, low=32, high=8192)
    """Height in pixels that edge asks the camera for."""
    frame_rate: float = setting(0.0, low=0, high=1000)
    """Frames per second that edge asks a CSI or USB camera for. 0: the camera decides. A lower rate allows a longer
    exposure in the dark."""
    rotation: int = setting(0, choices=(0, 90, 180, 270))
    """Rotate the image of a live camera clockwise by 0, 90, 180 or 270 degrees."""
    mirror: bool = setting(False)
    """Mirror the image of a live camera (left and right), after the rotation."""
    exposure: str = setting("normal", choices=("normal", "short", "long"))
    """Exposure of a CSI camera: normal, short (freezes motion) or long (less noise in the dark)."""
    focus: str = setting("continuous", choices=("continuous", "once", "manual"))
    """Focus of a CSI camera whose lens can move: continuous, once (at the start) or manual (at focus_m)."""
    focus_m: float = setting(1.0, low=0.05, high=1000)
    """Distance in metres of the manual focus."""
    image_s: float = setting(2.0, low=0.01, high=3600)
    """Seconds that each image of a folder is shown."""
    open_timeout_s: float = setting(10.0, low=0.1, high=120)
    """Seconds that a camera or stream may take to open and to deliver its first frame."""
    read_timeout_s: float = setting(3.0, low=0.1, high=120)
    """Seconds without a frame after which a camera or stream counts as lost."""
    retry_s: float = setting(5.0, low=0.1, high=3600)
    """The longest pause in seconds between two tries to open a camera or stream that is lost; the first pauses are
    shorter. Some network cameras lock a user after a few tries with a wrong password."""
    wait: bool = setting(False)
    """Wait for a live camera that is missing at the start (with auto: for any camera), instead of exiting or playing
    the demo clip. For the service, which runs unattended."""
    max_fps: float = setting(10.0, low=0.01, high=1000)
    """The most frames per second that edge looks at."""


@dataclass(frozen=True)
class ModelSettings:
    """[model]: the model that classifies the frames."""

    name: str = setting("auto")
    """Which model runs: auto (the most accurate installed model that fits the memory budget; `edge models choose`
    explains the choice; the demo if no model is installed), the name of an installed model, or a checkpoint: "DIR/NAME"
    for epoch 0, "DIR/NAME-0126.params" for another epoch."""
    engine: str = setting("mxnet", choices=("mxnet", "onnx", "openvino", "ncnn", "auto"))
    """The inference engine: mxnet (if it cannot be imported, another installed engine), onnx (ONNX Runtime), openvino,
    ncnn, or auto (the fastest engine measured on this machine, of those that are installed and fit the budget)."""
    precision: str = setting("float32", choices=("float32", "float16", "int8"))
    """The precision of the inference: float32 as trained, float16 (the engine ncnn; for VGG-16 and the like), or int8
    (the engines onnx and openvino). `edge models quantize NAME` makes the int8 version of a model. If no engine is set,
    float16 and int8 make the engine auto."""
    memory_budget_mib: int = setting(0, low=0, high=1_000_000)
    """The memory limit in MiB for the daemon and all its processes together. 0: 640 for a model that edge chooses, and
    no such limit for a model that you name. The cgroup limit and the available memory apply as well."""
    max_latency_ms: float = setting(0.0, low=0, high=600_000)
    """The longest median time per frame, in milliseconds, that edge accepts when it chooses a model. 0: no limit."""
    step_down: bool = setting(True)
    """Switch to a smaller installed model while the machine's memory is tight, and back after a long calm."""
    fetch: bool = setting(True)
    """Let ./scripts/run download a better model while edge runs on a Raspberry Pi with a camera, and switch to it. Any
    other start downloads nothing."""
    still_s: float = setting(5.0, low=0, high=3600)
    """Seconds after which a scene without motion is classified again. 0: classify every frame."""
    view: str = setting("square", choices=("square", "model"))
    """The part of a frame that is classified: square (the largest square in its middle) or model (the smaller crop that
    the model's model.toml states)."""
    top: int = setting(20, low=2, high=1000)
    """How many of the best labels the announcer receives. The probability of a group is the sum over these."""


@dataclass(frozen=True)
class AnnounceSettings:
    """[announce]: what is announced, and when."""

    floor: float = setting(0.8, low=0, high=1)
    """The smoothed probability, 0 to 1, that a label of an uncalibrated model needs before it is announced."""
    margin: float = setting(0.8, low=0, high=1)
    """How far that label must be ahead of the second one. If only `floor` is set, it decides alone."""
    sure: float = setting(0.96, low=0, high=1)
    """The smoothed probability that a label of a calibrated model needs for "I see"."""
    maybe: float = setting(0.8, low=0, high=1)
    """The same for "maybe": for one label, or for the best two together. 1: never say "maybe"."""
    not_sure: bool = setting(False)
    """Say "I'm not sure" when something is in view but no label reaches `maybe`. For calibrated models."""
    hold: float = setting(0.35, low=0, high=1)
    """An announced label stays in view while its smoothed probability is above this value (at most floor and sure)."""
    smoothing_s: float = setting(0.15, low=0, high=60)
    """Time constant, in seconds, of the smoothing over frames. 0: no smoothing."""
    persistence_s: float = setting(0.2, low=0, high=60)
    """Seconds (and at least two frames) that a label must be the best before it is announced, if it just reaches the
    probability that it needs. A surer label needs less time, a group twice and a "maybe" three times as much."""
    leave_s: float = setting(1.5, low=0, high=3600)
    """Seconds below `hold` after which a label has left the view. It is announced again when it comes back."""
    cooldown_s: float = setting(300.0, low=0, high=86400)
    """Seconds after which a label that stays in view is announced again; twice as many the next time, up to an hour. 0:
    never."""
    retry_s: float = setting(10.0, low=0.1, high=3600)
    """Seconds before a label is tried again after its announcement could not be heard."""
    interrupt: str = setting("never", choices=("never", "when-surer", "always"))
    """What happens if another announcement is due while edge speaks. never: edge finishes the sentence. when-surer: it
    breaks off if the new label is more probable. always: it breaks off."""
    expiry_s: float = setting(5.0, low=0.1, high=60)
    """An announcement is dropped if it could not start this many seconds after its frame was captured."""
    per_minute: int = setting(12, low=1, high=60)
    """The most announcements per minute."""
    per_hour: int = setting(60, low=0, high=3600)
    """The most announcements per hour, in the long run, in front of a live camera. Half of them may come at once. What
    was said in the last hour costs twice as much each time. 0: no limit."""
    quiet_hours: str = setting("", fault=quiet_hours_fault)
    """Quiet hours in local time, as in "22:00-07:00": edge says nothing at all. Empty: none."""
    groups: bool = setting(True)
    """Say "a dog" when it is clearly a dog but the breed is uncertain. For models with ImageNet labels."""
    muted: tuple[str, ...] = setting(())
    """Labels, or names of groups, that are never announced."""
    rename: Mapping[str, str] = setting({})
    """Words that replace a label, with an article or as a plain noun: {"notebook" = "a laptop"}."""
    template: str = setting("I see {label}", fault=template_fault)
    """The announcement of a certain label. {label} stands for the label with its article ('a guitar')."""
    maybe_template: str = setting("maybe {label}", fault=template_fault)
    """The announcement of a probable label."""
    maybe_or_template: str = setting("maybe {label} or {other}", fault=_two_labels_fault)
    """The announcement when two labels are probable. {other} stands for the second one."""
    not_sure_text: str = setting("I'm not sure")
    """The announcement when no label is probable (see not_sure)."""

    def frame_share(self, elapsed_s: float) -> float:
        """Return how much a frame counts in the smoothed probabilities, 0..1, `elapsed_s` after the frame before."""
        if self.smoothing_s == 0 or elapsed_s < 0:
            return 1.0
        return 1.0 - math.exp(-elapsed_s / self.smoothing_s)


@dataclass(frozen=True)
class SpeechSettings:
    """[speech]: the voice."""

    driver: str = setting("pyttsx3", choices=("pyttsx3", "espeak", "log"))
    """The speech driver: pyttsx3, espeak (espeak-ng piped to aplay) or log (print only)."""
    voice: str = setting("")
    """The voice, by the synthesiser's own name, such as en-us. Empty: the voice of the language, or the default."""
    rate_wpm: int = setting(200, low=80, high=450)
    """Speaking rate in words per minute."""
    volume: float = setting(1.0, low=0, high=1)
    """Volume, from 0 (silent) to 1."""
    device: str = setting("")
    """The sound card by its name, or any ALSA device (`edge say --list-devices` lists them). Empty: the ALSA
    default."""
    lead_in_ms: int = setting(0, low=0, high=5000)
    """Milliseconds of silence before the words. Bluetooth speakers cut off the first half second."""
    language: str = setting("")
    """The language, such as "de". It also selects the voice, unless `voice` is set. Empty: English."""
    translations: str = setting("")
    """A TOML file with the labels and sentences in that language. Empty: the built-in file for the language, else
    English words."""

    @property
    def spoken_voice(self) -> str:
        """The voice, else that of the language. Empty: the synthesiser's default."""
        return self.voice or self.language


@dataclass(frozen=True)
class AloudSettings:
    """[aloud]: what edge says about itself. Quiet hours and per_minute apply to this too."""

    ready: bool = setting(True)
    """Say that it is ready, after the start."""
    blind: bool = setting(True)
    """Say that it cannot see (camera lost, covered or frozen; too dark or too bright), and that it can see again."""
    blurred: bool = setting(True)
    """Say that the image is blurred."""
    paused: bool = setting(True)
    """Say that the camera is closed (`edge pause`), and that it is open again."""
    deaf: bool = setting(True)
    """Say that no microphone can be heard (see [input] word), and that it can be heard again."""
    hot: bool = setting(True)
    """Say that the board is too hot and edge slows down."""
    smaller_model: bool = setting(True)
    """Say that another model runs: a smaller one because memory is short, another one because the best is damaged, or a
    better one; and which taught things it does not know."""
    watched: bool = setting(True)
    """Say that somebody is looking at the picture, when that begins (see [link] picture)."""
    repeat_s: float = setting(60.0, low=1, high=86400)
    """Seconds before the same sentence about itself is repeated. For sentences about seeing and hearing (`blind`,
    `deaf`) it doubles each time the sentence comes back soon, up to an hour."""


@dataclass(frozen=True)
class InputSettings:
    """[input]: how a person asks without a keyboard."""

    devices: tuple[str, ...] = setting(())
    """The input devices whose keys edge reads: "auto" (single buttons, remotes and keypads; no keyboards), the name of
    a device, or its path. Empty: none. `edge keys` lists the devices."""
    keys: Mapping[str, str] = setting({})
    """The action of a key, after the key's name and, if it is no simple press, the pattern: {"KEY_B" = "look", "KEY_B
    long" = "snooze"}. It replaces all default actions of that key. "": no action. `edge keys` shows names and
    actions."""
    grab: bool = setting(False)
    """Take the devices for edge alone: no other program gets their keys."""
    double_s: float = setting(0.35, low=0.1, high=2)
    """The longest time between the two presses of a double press."""
    long_s: float = setting(1.0, low=0.3, high=10)
    """A key that is released after this time was pressed long."""
    hold_s: float = setting(5.0, low=1, high=30)
    """A key that is down for this time is held: its action comes before the release."""
    bounce_s: float = setting(0.03, low=0, high=0.3)
    """A release shorter than this is a bounce of the contact, and is ignored."""
    tones: bool = setting(True)
    """Play a short tone when a key goes down."""
    word: str = setting("", choices=("", "okay_nabu", "alexa", "hey_mycroft"))
    """A word that does what the press of a key does: okay_nabu ("Okay Nabu"), alexa or hey_mycroft. While it is set a
    microphone is open, and what it hears is neither kept nor sent. It needs the feature wake-word. Empty: no microphone
    is ever opened."""
    microphone: str = setting("")
    """The microphone by its card's name, or any ALSA device (`arecord -L` lists them). Empty: the sound card that edge
    speaks through, else ALSA's default, else the first card that can record."""


@dataclass(frozen=True)
class TeachSettings:
    """[teach]: what is kept of the things that edge is taught."""

    keep_pictures: bool = setting(False)
    """Keep small pictures of taught things (at most 300 pixels wide and high, 30 a thing), so that another model can
    learn them again by itself. Only edge can read them, they leave this machine only with `edge taught --export`, and
    `edge forget` removes them."""


@dataclass(frozen=True)
class LinkSettings:
    """[link]: what other programs may do through the control socket."""

    say: str = setting("polite", choices=("off", "polite", "urgent"))
    """Whether edge says sentences that others give it (`edge say`): off; polite (it waits until edge has finished
    speaking, and in quiet hours or during a snooze edge only keeps it for `edge missed`); or urgent (others may also
    ask to break off what is being said, at any hour)."""
    picture: bool = setting(True)
    """Let programs show what the camera sees, while somebody looks: the page of `edge link` does. `edge status` and the
    log tell when one does. `edge snapshot`, for root and the group edge, does not depend on it."""
    teach: bool = setting(True)
    """Let programs teach edge a thing before its camera, and forget one: the page, Home Assistant and MQTT do (`edge
    link`). It concerns the group edge-control; root and the group edge may always."""


@dataclass(frozen=True)
class ServiceSettings:
    """[service]: the daemon itself."""

    events: str = setting("")
    """A file to which edge appends one JSON object per event and line, or "-" for standard output. Empty: none."""
    events_frames: bool = setting(False)
    """Write an event for every frame too."""
    control: str = setting("auto")
    """The control socket for `edge status`, `edge snooze` and so on: a path, "auto" (control.sock
    in RUNTIME_DIRECTORY, else in the folder edge of XDG_RUNTIME_DIR), or empty for none."""


@dataclass(frozen=True)
class Settings:
    """All tables of edge.toml."""

    camera: CameraSettings = CameraSettings()
    model: ModelSettings = ModelSettings()
    announce: AnnounceSettings = AnnounceSettings()
    speech: SpeechSettings = SpeechSettings()
    aloud: AloudSettings = AloudSettings()
    input: InputSettings = InputSettings()
    teach: TeachSettings = TeachSettings()
    link: LinkSettings = LinkSettings()
    service: ServiceSettings = ServiceSettings()
