"""What people say of a label."""

from pathlib import Path

import pytest

from edge.announce.articles import with_article
from edge.announce.wording import Words
from edge.settings import AnnounceSettings
from edge.stages import Term


@pytest.mark.parametrize(
    "said",
    [
        # by sound, not by letter
        "an electric guitar",
        "a guitar",
        "an umbrella",
        "an upright piano",
        "an urn",
        "an unidentified object",
        "a unicycle",
        "a uniform",
        "a ukulele",
        "a urinal",
        "a utensil",
        "a Ukrainian flag",
        "a European fire salamander",
        "a eucalyptus",
        "a ewe",
        "an Ewok",
        "a one-armed bandit",
        "an onion",
        "an hourglass",
        "an heirloom",
        "an honest man",
        "a honeycomb",
        "a horse",
        "a yawl",
        "an Old English sheepdog",
        "an iPod",
        # letters and numbers
        "an X-ray",
        "an x-ray machine",
        "a xylophone",
        "an MRI",
        "an MRI scanner",
        "an LED lamp",
        "an SUV",
        "an RV",
        "an mp3 player",
        "a CD player",
        "a TV",
        "a USB stick",
        "a UFO",
        "a U-boat",
        "an EU flag",
        "an F-16",
        "a T-shirt",
        "a McDonald's",
        "a SIM card",
        "a St. Bernard",
        "an 8-ball",
        "an 18-wheeler",
        "a 180 degree turn",
        "a 3D printer",
        # plurals and what is not counted
        "scissors",
        "sunglasses",
        "binoculars",
        "jeans",
        "swimming trunks",
        "people",
        "red wine",
        "mashed potato",
        "a potato",
        "a bus",
        "a lens",
        "a beer glass",
        "a mantis",
        "a pair of scissors",
        "a glass of water",
        "a hen-of-the-woods",
        "the moon",
    ],
)
def test_article(said: str) -> None:
    label = said.split(" ", 1)[1] if said.startswith(("a ", "an ")) else said
    assert with_article(label) == said
    assert with_article(label.replace(" ", "_")) == said


@pytest.mark.parametrize(
    ("label", "said"),
    [
        ("  ELECTRIC__GUITAR\n", "an ELECTRIC GUITAR"),
        ("an_hourglass", "an hourglass"),
        ("blue_jean", "blue jeans"),
        ("Sunglass", "sunglasses"),
        ("an apple", "an apple"),
        ("épée", "an épée"),
        ("", "a something"),
        ("-of-x", "a -of-x"),
    ],
)
def test_labels_are_tidied(label: str, said: str) -> None:
    assert with_article(label) == said


def test_template() -> None:
    assert Words(AnnounceSettings()).sure(Term("unicycle")) == "I see a unicycle"
    assert Words(AnnounceSettings(template="{{look}}: {label}!")).sure(Term("{label}")) == "{look}: a {label}!"


def test_all_labels_of_imagenet(shared: Path) -> None:
    lines = (shared / "checkpoints" / "synset.txt").read_text().splitlines()
    labels = {line.split(" ", 1)[1].split(",")[0] for line in lines}
    surprising = set()
    for label in labels:
        said = with_article(label)
        article = said.removesuffix(label).strip() if said.endswith(label) else ""
        assert article in {"", "a", "an"}, said
        assert label in said
        if article != ("an" if label[0].lower() in "aeiou" else "a"):
            surprising.add(said)
    # read once by a person; everything else has the article that its first letter asks for
    assert surprising == set(SURPRISING)


SURPRISING = """\
a European fire salamander; a European gallinule; a unicycle; an hourglass; binoculars; broccoli; carbonara; chain mail;
chocolate sauce; consomme; corn; dough; eggnog; face powder; guacamole; hair spray; hay; jeans; lotion; mashed potato;
pajamas; parallel bars; perfume; rapeseed; red wine; sunglasses; sunscreen; swimming trunks; thatch; toilet tissue;
velvet; wool""".replace("\n", " ").split("; ")
