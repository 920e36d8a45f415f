#!/usr/bin/env python3
"""Write edge/data/groups.toml: what people call a thing when its kind is guesswork.

    scripts/make_groups.py SYNSET [--wordnet /usr/share/wordnet/data.noun] > edge/data/groups.toml

SYNSET has the labels whose ids are WordNet's, one a line ('n02084071 dog'); Debian's package wordnet-base is WordNet
3.0, in which ImageNet's ids are the offsets of nouns. The format is that of wndb(5WN).

A group begins with WordNet's hierarchy. Everyday sense has the last word: "I see a bottle" must be right for each
member. So NOT lists members of WordNet that people would not call so (a candle is no lamp), ALSO lists missing members,
and BY_HAND has groups that WordNet lacks. Ids that share their spoken words must share a group, or edge would say the
same twice.
"""

import argparse
from pathlib import Path

# The synset of each group, and its name. Chosen by hand: a word that tells something to somebody who cannot see, and
# does not mislead (WordNet's "cat" includes cougars, its "artifact" half the world). What is said of a group stands in
# edge/data/words-en.txt and the translations, by this id.
GROUPS = {
    "n02084071": "dog",
    "n02121808": "cat",
    "n02127808": "big cat",
    "n01503061": "bird",
    "n01604330": "bird of prey",
    "n01816887": "parrot",
    "n01726692": "snake",
    "n01674464": "lizard",
    "n01662784": "turtle",
    "n01639765": "frog",
    "n01629276": "salamander",
    "n02512053": "fish",
    "n01482330": "shark",
    "n02159955": "insect",
    "n02164464": "beetle",
    "n02274259": "butterfly",
    "n01772222": "spider",
    "n01976957": "crab",
    "n01982650": "lobster",
    "n02484322": "monkey",
    "n02470325": "ape",
    "n02131653": "bear",
    "n02114100": "wolf",
    "n02118333": "fox",
    "n02503517": "elephant",
    "n02324045": "rabbit",
    "n02329401": "rodent",
    "n02419796": "antelope",
    "n02062744": "whale",
    "n12992868": "fungus",
    "n07705931": "fruit",
    "n07707451": "vegetable",
    "n07679356": "bread",
    "n07695965": "sandwich",
    "n07609840": "dessert",
    "n07881800": "drink",
    "n11669921": "flower",
    "n09359803": "mountain",
    "n02958343": "car",
    "n04490091": "truck",
    "n02924116": "bus",
    "n02834778": "bicycle",
    "n02858304": "boat",
    "n04194289": "ship",
    "n02686568": "aircraft",
    "n03800933": "musical instrument",
    "n04338517": "stringed instrument",
    "n04586932": "wind instrument",
    "n03928116": "piano",
    "n03467517": "guitar",
    "n02778669": "ball",
    "n02876657": "bottle",
    "n03001627": "chair",
    "n03082979": "computer",
    "n04401088": "telephone",
    "n02942699": "camera",
    "n03046257": "clock",
    "n03636248": "lamp",
    "n03497657": "hat",
    "n03513137": "helmet",
    "n04199027": "shoe",
    "n03057021": "coat",
    "n04230808": "skirt",
    "n03051540": "clothing",
    "n02773037": "bag",
    "n03623556": "knife",
    "n03467984": "gun",
    "n03990474": "pot",
    "n03880531": "pan",
    "n02801938": "basket",
    "n03405725": "furniture",
    "n04451818": "tool",
    "n02898711": "bridge",
    "n03327234": "fence",
    "n02913152": "building",
    "n02113335": "poodle",
    "n02096756": "schnauzer",
    "n02112826": "corgi",
    "n02092468": "terrier",
    "n02101108": "spaniel",
    "n02099029": "retriever",
    "n02100399": "setter",
    "n02496913": "lemur",
    "n02008041": "heron",
    "n02002075": "stork",
    "n01754876": "rattlesnake",
    "n02411705": "sheep",
    "n01696633": "crocodile",
    "n04202417": "shop",
    "n04379243": "table",
    "n03603722": "jug",
    "n04128499": "sailboat",
    "n07715561": "squash",
    "n04371563": "swimsuit",
}

# Groups whose members are not named one by one. Which clothes a person wears is guesswork for these models.
COLLECTIVE = {"clothing"}

NOT = {
    "wolf": {"n02114855": "a coyote"},
    "rodent": {"n02346627": "a porcupine: the label stands for hedgehogs too"},
    "vegetable": {
        "n07711569": "mashed potatoes",
        "n07730033": "a cardoon: the pictures show its thistles",
        "n07734744": "a mushroom",
    },
    "bread": {"n07871810": "meat loaf"},
    "drink": {"n07930864": "a cup"},
    "car": {"n02701002": "an ambulance"},
    "truck": {"n03770679": "a minivan", "n03977966": "a police van"},
    "ship": {"n04347754": "a submarine"},
    "aircraft": {"n02692877": "an airship", "n02782093": "a balloon"},
    "stringed instrument": {"n03452741": "a grand piano", "n04515003": "an upright piano"},
    "wind instrument": {"n02672831": "an accordion", "n03854065": "a pipe organ"},
    "ball": {"n04023962": "a punching bag"},
    "bottle": {"n03937543": "a pill bottle", "n04560804": "a water jug", "n04579145": "a whiskey jug"},
    "computer": {"n04238763": "a slide rule", "n06359193": "a website"},
    "lamp": {"n02948072": "a candle", "n03590841": "a jack-o'-lantern"},
    "clothing": {
        "n02807133": "a bathing cap",
        "n03026506": "a Christmas stocking",
        "n03127747": "a crash helmet",
        "n03188531": "a diaper",
        "n03379051": "a football helmet",
        "n03623198": "knee pads",
        "n03724870": "a mask",
        "n04162706": "a seat belt",
        "n04209133": "a shower cap",
        "n04584207": "a wig",
    },
    "swimsuit": {"n02837789": "a bikini: German has two words", "n04371430": "swimming trunks: likewise"},
    "terrier": {
        "n02097047": "a miniature schnauzer",
        "n02097130": "a giant schnauzer",
        "n02097209": "a standard schnauzer",
        "n02098413": "a Lhasa Apso",
    },
    "squash": {"n07716358": "a zucchini"},
    "bag": {"n04235860": "a sleeping bag"},
    "gun": {"n02950826": "a cannon"},
    "pot": {"n02939185": "a cauldron: this group is what one pours tea and coffee from"},
    "furniture": {
        "n03891251": "a park bench",
        "n03982430": "a pool table",
        "n04380533": "a table lamp",
        "n04447861": "a toilet seat",
    },
    "tool": {
        "n02951585": "a can opener",
        "n03041632": "a meat cleaver",
        "n03109150": "a corkscrew",
        "n03649909": "a lawn mower",
        "n03658185": "a letter opener",
        "n03967562": "a plow",
    },
    "fence": {"n04326547": "a stone wall"},
    "building": {"n02727426": "a beehive", "n03529860": "a home theater"},
    "table": {"n03982430": "a pool table"},
}
"""Members of WordNet's group that people would not call so: the id, and the reason."""

ALSO = {
    "dog": {"n02115641": "a dingo"},
    "big cat": {"n02125311": "a cougar"},
    "elephant": {"n01871265": "an elephant with tusks"},
    "fungus": {"n07734744": "a mushroom"},
    "vegetable": {"n12144580": "corn", "n13133613": "an ear of corn"},
    "flower": {"n07730033": "a cardoon"},
    "swimsuit": {"n03710637": "the other maillot: the pictures show swimsuits"},
    "boat": {"n02981792": "a catamaran", "n04483307": "a trimaran"},
    "ship": {"n04147183": "a sailing ship"},
    "sailboat": {"n04147183": "a sailing ship", "n04612504": "a yawl"},
    "terrier": {"n02087046": "an English toy terrier"},
    "spaniel": {"n02085782": "a Japanese spaniel", "n02086646": "a Blenheim spaniel"},
    "sheep": {"n02415577": "a bighorn sheep"},
    "shop": {"n03461385": "a grocery store"},
    "jug": {"n03950228": "a jug: the label is a pitcher"},
    "lamp": {"n03637318": "a lampshade", "n04380533": "a table lamp"},
    "hat": {"n03787032": "a graduation cap"},
    "helmet": {"n03929855": "a spiked helmet"},
    "shoe": {"n03047690": "clogs"},
    "clothing": {"n03045698": "a cloak"},
    "building": {"n02980441": "a castle"},
    "table": {"n03201208": "a dining table"},
}
"""What is missing in WordNet's group, and people would call so."""

BY_HAND = {
    "edge-husky": ("husky", {"n02109961": "a husky", "n02110063": "a malamute", "n02110185": "a Siberian husky"}),
    "edge-chicken": ("chicken", {"n01514668": "a rooster", "n01514859": "a hen"}),
    "edge-hare": (
        "rabbit or hare",
        {"n02325366": "a cottontail rabbit", "n02326432": "a hare", "n02328150": "an Angora rabbit"},
    ),
    "edge-corn": ("corn", {"n12144580": "corn", "n13133613": "an ear of corn"}),
    "edge-laptop": ("laptop", {"n03642806": "a laptop", "n03832673": "a laptop, as well: a notebook is one"}),
    "edge-missile": ("missile", {"n03773504": "a missile", "n04008634": "a missile: pictures show the same"}),
    "edge-sunglasses": ("sunglasses", {"n04355933": "sunglasses: the lenses", "n04356056": "sunglasses"}),
    "edge-screen": ("computer screen", {"n03782006": "a computer monitor", "n04152593": "a computer screen"}),
    "edge-baby-bed": ("baby bed", {"n02804414": "a bassinet", "n03125729": "a cradle", "n03131574": "a crib"}),
    "edge-cooking-pot": ("cooking pot", {"n02939185": "a cauldron", "n03259280": "a Dutch oven"}),
    "edge-train": (
        "train",
        {
            "n02917067": "a bullet train",
            "n03272562": "an electric locomotive",
            "n03393912": "a freight car",
            "n03895866": "a passenger car",
            "n04310018": "a steam locomotive",
        },
    ),
    "edge-cup": ("cup or mug", {"n03063599": "a coffee mug", "n07930864": "a cup"}),
}
"""Groups that WordNet has not, or not like this: their name, and the members."""

HEADER = """\
# What people call a thing when its kind is guesswork: for each group its WordNet id, its name and its members, which
# are ids of ImageNet's thousand labels. Made by scripts/make_groups.py; the hierarchy is that of WordNet 3.0, the
# choice of groups and what everyday sense corrects (named there, each with its reason) are ours.
#
# WordNet 3.0 Copyright 2006 by Princeton University. All rights reserved.
#
# This software and database is being provided to you, the LICENSEE, by Princeton University under the following
# license. By obtaining, using and/or copying this software and database, you agree that you have read, understood, and
# will comply with these terms and conditions.: Permission to use, copy, modify and distribute this software and
# database and its documentation for any purpose and without fee or royalty is hereby granted, provided that you agree
# to comply with the following copyright notice and statements, including the disclaimer, and that the same appear on
# ALL copies of the software, database and documentation, including modifications that you make for internal use or for
# distribution. THIS SOFTWARE AND DATABASE IS PROVIDED "AS IS" AND PRINCETON UNIVERSITY MAKES NO REPRESENTATIONS OR
# WARRANTIES, EXPRESS OR IMPLIED. BY WAY OF EXAMPLE, BUT NOT LIMITATION, PRINCETON UNIVERSITY MAKES NO REPRESENTATIONS
# OR WARRANTIES OF MERCHANTABILITY OR FITNESS FOR ANY PARTICULAR PURPOSE OR THAT THE USE OF THE LICENSED SOFTWARE,
# DATABASE OR DOCUMENTATION WILL NOT INFRINGE ANY THIRD PARTY PATENTS, COPYRIGHTS, TRADEMARKS OR OTHER RIGHTS. The name
# of Princeton University or Princeton may not be used in advertising or publicity pertaining to distribution of the
# software and/or database. Title to copyright in this software, database and any associated documentation shall at all
# times remain with Princeton University and LICENSEE agrees to preserve same.
"""
COLUMNS = 10
"""Ids a line."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("synset", type=Path, metavar="SYNSET")
    parser.add_argument("--wordnet", type=Path, default=Path("/usr/share/wordnet/data.noun"), metavar="FILE")
    options = parser.parse_args()
    labels = {line.split()[0] for line in options.synset.read_text(encoding="utf-8").splitlines() if line.strip()}
    print(text(corrected(groups(labels, read_hypernyms(options.wordnet)), labels)), end="")


def read_hypernyms(path: Path) -> dict[str, list[str]]:
    """Return what each noun is a kind of, by id: 'n' and the eight digits of its offset."""
    found = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("  "):
            continue  # the licence
        # offset, file, type, number of words (hexadecimal), word and lex_id of each, number of pointers, pointers
        fields = line.partition(" | ")[0].split()
        at = 4 + 2 * int(fields[3], 16)
        pointers = fields[at + 1 :]
        kinds = [pointers[i : i + 3] for i in range(0, 4 * int(fields[at]), 4)]
        found[f"n{fields[0]}"] = [f"n{offset}" for symbol, offset, _ in kinds if symbol in ("@", "@i")]
    return found


def groups(labels: set[str], hypernyms: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the members of each of GROUPS among the labels, by the group's id."""
    members: dict[str, list[str]] = {group: [] for group in GROUPS}
    for label in sorted(labels):
        above, ahead = {label}, [label]
        while ahead:
            new = set(hypernyms.get(ahead.pop(), ())) - above
            above |= new
            ahead += new
        for group in above & set(GROUPS):
            members[group].append(label)
    return members


def corrected(members: dict[str, list[str]], labels: set[str]) -> list[tuple[str, str, list[str]]]:
    """Return (id, name, members) of each group by everyday sense. Raises ValueError for a correction of nothing."""
    unknown = (set(NOT) | set(ALSO)) - set(GROUPS.values())
    if unknown:
        raise ValueError(f"no such group: {sorted(unknown)}")
    found = []
    for group, name in GROUPS.items():
        wrong, missing = NOT.get(name, {}).keys() & labels, ALSO.get(name, {}).keys() & labels
        if idle := (wrong - set(members[group])) | (missing & set(members[group])):
            raise ValueError(f"{name}: WordNet has it so already: {sorted(idle)}")
        found.append((group, name, sorted((set(members[group]) - wrong) | missing)))
    return found + [(group, name, sorted(set(ids) & labels)) for group, (name, ids) in BY_HAND.items()]


def text(members: list[tuple[str, str, list[str]]]) -> str:
    """Return the file."""
    lines = [HEADER]
    for group, name, ids in members:
        lines += [f"[{group}]", f'name = "{name}"']
        if name in COLLECTIVE:
            lines.append("collective = true")
        lines.append("members = [")
        for start in range(0, len(ids), COLUMNS):
            lines.append("    " + " ".join(f'"{one}",' for one in ids[start : start + COLUMNS]))
        lines += ["]", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
