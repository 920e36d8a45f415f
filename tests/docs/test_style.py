"""The house style of prose, and its spelling."""

import subprocess
import sys
from pathlib import Path

import pytest
import style

from edge.cli.parser import parser as edge_parser

ROOT = Path(__file__).resolve().parents[2]


def test_checked_prose_avoids_what_the_house_style_avoids() -> None:
    found, unused = style.faults(style.files(style.CHECKED))
    assert [str(hit) for hit in found] == []
    assert unused == [], "lines of scripts/style-allowed.txt that match nothing"


def test_a_reason_belongs_to_each_allowed_hit() -> None:
    assert all(len(reason) > 10 for reason in style.allowed().values())


@pytest.mark.parametrize(
    ("suffix", "text", "expected"),
    [
        (".md", "Nobody reads this.", ["nobody"]),
        (".md", "It is made\nanew, `nobody` and\n\n    nobody\n", ["anew"]),
        (".md", "the name of\nwhat runs", ["of what"]),
        (".md", "[here](nobody.md) and everybody", []),
        (".py", 'x = nobody("anew")  # of\ny = 1\n', ["anew"]),
        (".py", "# the cause of\n# which\n", ["of which"]),
        (".py", 'def f():\n    """Whether it is told\n    of what."""\n', ["is told", "of what"]),
        (".toml", '# seldom\nkey = "nobody"\n', ["seldom"]),
    ],
)
def test_it_finds_forms_in_prose_alone(tmp_path: Path, suffix: str, text: str, expected: list[str]) -> None:
    file = tmp_path / f"page{suffix}"
    file.write_text(text)
    assert [hit.text for hit in style.hits(file, tmp_path)] == expected


def test_every_command_and_flag_has_a_help_text() -> None:
    import reference

    lacking = [
        f"{name} {action.dest}"
        for name, parser in reference.leaves(edge_parser(), "edge")
        for action in parser._actions
        if not action.help
    ]
    assert lacking == []


def test_words_are_spelt_right() -> None:
    checked = subprocess.run(
        [sys.executable, "-m", "codespell_lib", *("edge", "docs", "scripts", "deploy", "systemd", ".github")]
        + [path.name for path in ROOT.glob("*.md")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
