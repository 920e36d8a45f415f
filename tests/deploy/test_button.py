"""What the deploy writes into the firmware's settings for a button, with Ansible itself and the role's own tasks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
BEFORE = "# the firmware\ndtparam=audio=on\n[pi4]\narm_boost=1\n"
PLAY = [
    {
        "hosts": "localhost",
        "connection": "local",
        "gather_facts": False,
        "tasks": [{"ansible.builtin.include_role": {"name": "edge", "tasks_from": "board"}}],
    }
]


def play(folder: Path, gpio: int) -> str:
    """Run the tasks about the board; return what Ansible printed."""
    (folder / "play.yml").write_text(yaml.safe_dump(PLAY))
    variables = {
        "edge_boot_config": str(folder / "config.txt"),
        "edge_journal_conf": str(folder / "journald/edge.conf"),
        "edge_button_gpio": gpio,
        "ansible_python_interpreter": sys.executable,
    }
    done = subprocess.run(
        [
            Path(sys.executable).with_name("ansible-playbook"),
            *("-i", "localhost,", "-e", json.dumps(variables)),
            folder / "play.yml",
        ],
        env={
            **os.environ,
            "ANSIBLE_CONFIG": str(ROOT / "deploy/ansible.cfg"),
            "ANSIBLE_ROLES_PATH": str(ROOT / "deploy/roles"),
            "HOME": str(folder),
            "LC_ALL": "C.UTF-8",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.integration
@pytest.mark.root
def test_a_button_gets_its_overlay_once_and_loses_it_again(tmp_path: Path) -> None:
    file = tmp_path / "config.txt"
    file.write_text(BEFORE)
    assert "takes effect at the next boot: sudo reboot" in play(tmp_path, 17)
    added = file.read_text().removeprefix(BEFORE)
    # for every board, whatever section the file ended with
    assert "\n[all]\ndtoverlay=gpio-key,gpio=17,active_low=1,gpio_pull=up,keycode=60\n" in added
    assert "reboot" not in play(tmp_path, 17)
    assert "reboot" in play(tmp_path, 0)
    assert file.read_text() == BEFORE
    assert (tmp_path / "config.txt.before-edge").read_text() == BEFORE
