"""Ansible's module around module_utils/edge_releases.py."""

import base64
import os
import signal
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.edge_releases import ReleaseError, Releases, diff_of

DOCUMENTATION = """
module: edge_release
short_description: Use a release of edge, or return to the previous one
description:
  - Puts a release's unit, the settings and the links in place at once, starts the service and waits until it is active.
  - If it does not become active, everything is restored, and the module fails with the reason.
options:
  release: {type: str, description: "the folder below /opt/edge/releases; empty for the previous release"}
  settings_base64: {type: str, description: "the offered settings file; without it the settings stay"}
  drop_ins: {type: dict, description: "text of each drop-in of the unit by its name; an empty text removes it"}
  link_settings_base64: {type: str, description: "the same for the link; without it they stay, empty removes them"}
  link_ports: {type: list, elements: int, description: "ports that the link's unit must allow besides its own"}
  start_timeout_s: {type: int, description: "seconds that the service may take to become active"}
"""


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "release": {"type": "str", "default": ""},
            # Not in the target's log, because a stream's URL may contain a password. Encoded, because Ansible hides all
            # text that equals such a parameter, and the difference has to be shown.
            "settings_base64": {"type": "str", "no_log": True},
            "drop_ins": {"type": "dict", "default": {}},
            "link_settings_base64": {"type": "str", "no_log": True},
            "link_ports": {"type": "list", "elements": "int"},
            "start_timeout_s": {"type": "int", "default": 900},
        },
        supports_check_mode=True,
    )
    # independent of the deploying user's mask: new folders are readable for all
    os.umask(0o022)
    releases = Releases()
    try:
        if module.check_mode:
            told = work(module, releases)
        else:
            with releases.alone():
                told = work(module, releases)
    except ReleaseError as error:
        module.fail_json(msg=str(error), runs=releases.used())
    except OSError as error:
        # a full disk, or one that cannot be written to
        module.fail_json(msg=f"{error.filename or 'this machine'}: {error.strerror}", runs=releases.used())
    module.exit_json(**told)


def work(module: AnsibleModule, releases: Releases) -> dict[str, Any]:
    """Use a release, or only plan it, and return the report for Ansible. Raises ReleaseError and OSError."""
    release = module.params["release"] or releases.used("previous")
    if not release or (not module.params["release"] and release == releases.used()):
        raise ReleaseError("There is no release before this one to go back to.")
    drop_ins = {name: text or None for name, text in module.params["drop_ins"].items()}
    settings, link_settings = (
        None if (encoded := module.params[name]) is None else base64.b64decode(encoded).decode()
        for name in ("settings_base64", "link_settings_base64")
    )
    plan = releases.plan(release, settings or None, drop_ins, link_settings, module.params["link_ports"])
    changed = bool(plan.changes) or not (releases.running() and releases.link_runs())
    told = {"changed": changed, "diff": [diff_of(change) for change in plan.changes], "notes": plan.notes}
    told |= {"release": release, "removed": []}
    if module.check_mode:
        return told
    if changed:
        # the connection may break: a trial that has begun is completed
        for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if not settings:
            releases.fit_settings(plan)
            told |= {"diff": [diff_of(change) for change in plan.changes], "notes": plan.notes}
        releases.check(plan)
        releases.use(plan, module.params["start_timeout_s"])
    told["removed"] = releases.prune()
    told["changed"] = changed or bool(told["removed"])
    return told


if __name__ == "__main__":
    main()
