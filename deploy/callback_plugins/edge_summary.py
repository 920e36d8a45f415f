"""Print a line for each machine at the end: the running release, or the reason why there is none."""

from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: edge_summary
type: aggregate
short_description: a table of the machines, what runs there, or why not
description: Prints, after the recap, a line for each machine of the inventory's group edge.
"""

_COLUMNS = ("host", "version", "model", "camera", "sound", "state")
_WIDTHS = {"camera": 32, "sound": 24}


class CallbackModule(CallbackBase):  # type: ignore[misc]
    """Collects the fact edge_report, which the role sets, and failures."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "edge_summary"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._hosts: list[str] = []
        self._rows: dict[str, dict[str, str]] = {}

    def v2_playbook_on_play_start(self, play: Any) -> None:
        """Note every host of the play, so that hosts that are never reached are listed too."""
        inventory = play.get_variable_manager()._inventory
        # in a rollout in batches, Ansible passes only one batch
        names = [host.name for host in inventory.get_hosts(play.hosts, ignore_restrictions=True)]
        self._hosts += [name for name in names if name not in self._hosts]

    def v2_runner_on_ok(self, result: Any) -> None:
        """Take the role's report about a host."""
        report = result._result.get("ansible_facts", {}).get("edge_report")
        if report:
            self._rows[result._host.name] = dict(report)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        """Note the first failure of a host; later ones are consequences."""
        if not ignore_errors:
            self._fail(result, f"failed: {result._task.get_name().partition(' : ')[2] or result._task.get_name()}")

    def v2_runner_on_unreachable(self, result: Any) -> None:
        """Note that a host cannot be reached."""
        self._fail(result, "unreachable")

    def _fail(self, result: Any, state: str) -> None:
        row = self._rows.setdefault(result._host.name, {})
        row["state"] = state
        if result._result.get("runs"):
            row["version"] = result._result["runs"]
        # in a loop, the failed item
        parts = [part for part in result._result.get("results", []) if part.get("failed")] or [result._result]
        row["why"] = "\n".join(_reason(part) for part in parts)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        """Print the table, and below it the complete reasons."""
        if not any(self._rows.values()):
            return
        untouched = {"state": "not touched: an earlier host failed"}
        rows = [{"host": name, **self._rows.get(name, untouched)} for name in self._hosts]
        cells = [[name.upper() for name in _COLUMNS]]
        cells += [[_shortened(row.get(name) or "-", _WIDTHS.get(name)) for name in _COLUMNS] for row in rows]
        widths = [max(len(line[column]) for line in cells) for column in range(len(_COLUMNS))]
        self._display.banner("EDGE")
        for line in cells:
            padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self._display.display("  ".join(padded).rstrip())
        for row in rows:
            if row.get("why"):
                self._display.display(f"\n{row['host']}: {row['why']}")


def _reason(result: Any) -> str:
    """Return the message of a failed task; for a command, the end of its output."""
    printed = str(result.get("stderr") or result.get("stdout") or "").strip()
    said = str(result.get("msg") or "").strip()
    for prefix in ("Task failed: ", "Module failed: ", "Action failed: "):
        said = said.removeprefix(prefix)
    return printed if printed and "cmd" in result else said


def _shortened(text: str, width: int | None) -> str:
    return text if width is None or len(text) <= width else text[: width - 1] + "…"
