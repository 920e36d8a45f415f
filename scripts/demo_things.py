"""What the demo network knows: everyday things, their pictures in an emoji font, and other pictures that are none.

Sprites are uint8, H x W x 4 with the colours already multiplied by alpha, so that they can be resized and warped
without dark fringes.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

FONT = Path("/usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")
FONT_PX = 109
"""The only size in which the font has its pictures (136 x 128 pixels each)."""

# The first number of every seed: what is drawn for one purpose is never drawn for another.
TRAINING, TESTING, CLIP, CALIBRATING = 1, 2, 3, 5

BACKGROUND = "background"


class FontError(Exception):
    """The font or the library that reads it is missing. The message says what to install."""


@dataclass(frozen=True)
class Thing:
    """Something the network knows."""

    id: str
    """Its WordNet 3.0 noun, as ImageNet writes it."""
    names: str
    """Its synonyms; the first one is spoken."""
    emoji: str
    """Its pictures, one a character."""


THINGS = (
    Thing("n03467517", "guitar", "🎸"),
    Thing("n04536866", "violin, fiddle", "🎻"),
    Thing("n03110669", "trumpet, cornet, horn", "🎺"),
    Thing("n03249569", "drum, membranophone", "🥁"),
    Thing("n02121620", "cat, true cat", "🐱🐈"),
    Thing("n02084071", "dog, domestic dog", "🐶🐕"),
    Thing("n04507155", "umbrella", "☂☔"),
    Thing("n03613294", "key", "🔑"),
    Thing("n02834778", "bicycle, bike", "🚲"),
    Thing("n02958343", "car, auto, automobile", "🚗"),
    Thing("n02924116", "bus, autobus, coach", "🚌"),
    Thing("n02691156", "airplane, aeroplane, plane", "✈"),
    Thing("n04099429", "rocket, projectile", "🚀"),
    Thing("n07753592", "banana", "🍌"),
    Thing("n07739125", "apple", "🍎"),
    Thing("n07745940", "strawberry", "🍓"),
    Thing("n07753275", "pineapple, ananas", "🍍"),
    Thing("n07730207", "carrot", "🥕"),
    Thing("n07873807", "pizza, pizza pie", "🍕"),
    Thing("n07697100", "hamburger, burger", "🍔"),
    Thing("n07614730", "ice-cream cone", "🍦"),
    Thing("n07629988", "birthday cake", "🎂"),
    Thing("n03147509", "cup", "☕"),
    Thing("n02694662", "alarm clock, alarm", "⏰"),
    Thing("n03665924", "light bulb, lightbulb, bulb", "💡"),
    Thing("n02870092", "book, volume", "📖"),
    Thing("n04148054", "scissors, pair of scissors", "✂"),
    Thing("n03481172", "hammer", "🔨"),
    Thing("n04401088", "telephone, phone", "☎"),
    Thing("n02942699", "camera, photographic camera", "📷"),
    Thing("n04405907", "television, television set, tv", "📺"),
    Thing("n03001627", "chair", "🪑"),
    Thing("n03874599", "padlock", "🔒"),
    Thing("n02782329", "balloon", "🎈"),
    Thing("n04254680", "soccer ball", "⚽"),
    Thing("n02802426", "basketball", "🏀"),
    Thing("n13104059", "tree", "🌳"),
    Thing("n11842204", "cactus", "🌵"),
    Thing("n13000891", "mushroom", "🍄"),
    Thing("n11978233", "sunflower, helianthus", "🌻"),
    Thing("n02512053", "fish", "🐟🐠"),
    Thing("n02274259", "butterfly", "🦋"),
    Thing("n01944390", "snail", "🐌"),
    Thing("n01662784", "turtle", "🐢"),
    Thing("n02055803", "penguin", "🐧"),
    Thing("n02503517", "elephant", "🐘"),
    Thing("n01970164", "octopus, devilfish", "🐙"),
    Thing("n01639765", "frog, toad", "🐸"),
    Thing("n03138669", "crown, diadem", "👑"),
    Thing("n04399382", "teddy, teddy bear", "🧸"),
    Thing("n02709367", "anchor", "⚓"),
    Thing("n04272054", "glasses, spectacles, eyeglasses", "👓"),
)

# Other pictures, about which nothing should be said. None looks like one of the things: a taxi may be called a car.
DISTRACTORS = (
    "😀😢😎🤖👻👽💀🎃👍👋👂👀👃🧠🦷🦴💪🦶❤💔⭐🌙🌞🌈🔥💧🌊❄⛄⚡"
    "🍇🍉🍐🍒🥝🥑🍆🌽🌶🥦🥜🍞🥐🥨🧀🍗🍳🌮🍿🍱🍙🍜🍩🍪🍫🍬🍭🍯🍼🍷🍸🍹🥢🍴🥄"
    "🐝🐞🦂🕷🦀🦐🐍🦎🦒🦓🐎🐄🐖🐑🐪🦘🐇🐿🦔🦇🦅🦆🦉🦚🦜🦩🐓🐳🐬🦈🐚"
    "🏠🏰🗼⛩🎡⛺🗿🚂🚜🚁🚢⛵🚦🛑🚧⚙🧲🔧🪛🪚🔩🧰🪜🧪🔬🔭📡💉💊🩹🚪🛏🛁🚽🧻🧼🪥🧹🧺🔌🔋💻🖨🖱💾💿📞"
    "👕👖👗👙👔🧦🧤🧣👟👠👢🎩🎒👜💍💎💄🏆🥇🏈🎳🏓🎯🎮🎲🧩🎨🎭✏📎📌📏📦📁📅📊✉📬🗑🔍🕯🔦🏮🎁🎀🎏🎐🔔📣🔮🧿🛒🚬🧯🎹🪗"
)
HELD_OUT = DISTRACTORS[::5]
"""These are kept from training, so that tests can ask what the network says of things it never saw."""


def load_sprite(emoji: str, font_file: Path = FONT) -> Pixels:
    """Return the picture of one emoji, cut to what can be seen of it. Raises FontError."""
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise FontError("Pillow is missing, which draws the emoji: pip install 'pillow>=10.1'") from error
    try:
        font = ImageFont.truetype(str(font_file), FONT_PX)
    except OSError as error:
        raise FontError(f"cannot read the font {font_file}: apt install fonts-noto-color-emoji, or --font") from error
    image = Image.new("RGBA", (FONT_PX * 3 // 2, FONT_PX * 3 // 2))
    ImageDraw.Draw(image).text((8, 8), emoji, font=font, embedded_color=True)
    box = image.getbbox()
    if box is None:
        raise FontError(f"the font {font_file} has no picture of {emoji}: use fonts-noto-color-emoji 2.042 or newer")
    rgba = np.array(image.crop(box), dtype=np.float32)
    rgba[..., :3] *= rgba[..., 3:] / 255
    return np.rint(rgba).astype(np.uint8)
