#!/usr/bin/env python3
"""Write edge/data/groups.toml: what people call a thing when its kind is guesswork, from WordNet's hierarchy.

    scripts/make_groups.py SYNSET [--wordnet /usr/share/wordnet/data.noun] > edge/data/groups.toml

SYNSET has the labels whose ids are WordNet's, one a line ('n02084071 dog'); Debian's package wordnet-base is WordNet
3.0, in which ImageNet's ids are the offsets of nouns. The format is that of wndb(5WN).
"""

import argparse
from pathlib import Path

# the synset of each group, and what people say. Chosen by hand: a word that tells something to somebody who cannot see,
# and does not mislead (WordNet's "cat" includes cougars, its "artifact" half the world).
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
}

HEADER = """\
# What people call a thing when its kind is guesswork: for each group its WordNet id, its name and its members, which
# are ids of ImageNet's thousand labels. Made by scripts/make_groups.py; the hierarchy is that of WordNet 3.0, the
# choice of groups is ours.
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
    print(text(groups(labels, read_hypernyms(options.wordnet))), end="")


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


def text(members: dict[str, list[str]]) -> str:
    """Return the file."""
    lines = [HEADER]
    for group, ids in members.items():
        lines += [f"[{group}]", f'name = "{GROUPS[group]}"', "members = ["]
        for start in range(0, len(ids), COLUMNS):
            lines.append("    " + " ".join(f'"{one}",' for one in ids[start : start + COLUMNS]))
        lines += ["]", ""]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
