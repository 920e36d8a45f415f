"""The releases of edge on a machine: which one is used, and how another one replaces it.

    /opt/edge/releases/NAME/      a virtual environment with the release's unit in share/edge/; `complete` comes last
    /opt/edge/releases/NAME/left/ the settings, and what had been offered, when another release replaced it
    /opt/edge/current, previous   links to two of them
    /opt/edge/offered.toml        the last settings that a deploy offered
    /opt/edge/undo.json           while a release is on trial: the files before it
    /opt/edge/.lock               held while a release is made or tried

The use of a release is planned first, as a list of files and links. Then these are written together, and restored
together if the service does not become active.
"""

import contextlib
import fcntl
import grp
import json
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

UNIT = "edge.service"
SETTINGS = "/etc/edge/edge.toml"
SETTLE_S = 8.0
"""How long a service must stay active before it counts as running."""
MOST_RESTARTS = 2
"""After this many restarts the start has failed."""
START_TIMEOUT_S = 900.0
"""How long a release that has run before may take to become active."""
LOCK_S = 1800.0
"""How long to wait for another deploy."""
_POLL_S = 0.5


class ReleaseError(Exception):
    """A release cannot be used: the reason and advice in a few lines. The machine is unchanged."""


@dataclass(frozen=True)
class File:
    """The content of a path: a text with a mode, or a link; neither: there is nothing."""

    text: str | None = None
    mode: int = 0o644
    group: str = "root"
    link: str | None = None


@dataclass(frozen=True)
class Change:
    """A path with its old and new content."""

    path: str
    before: File
    after: File


@dataclass
class Plan:
    """The changes that using a release needs on this machine."""

    release: str
    changes: list[Change] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    """Messages for the user, a line each."""
    settings: str = ""
    """The settings that will be in effect."""


class Machine:
    """The machine's files, below `root`, and its systemd."""

    def __init__(self, root: Path = Path("/")) -> None:
        self.root = root

    def place(self, path: str) -> Path:
        return self.root / path.lstrip("/")

    def read(self, path: str) -> File:
        """Return the present content of a path."""
        place = self.place(path)
        if place.is_symlink():
            return File(link=str(place.readlink()))
        try:
            status = place.stat()
            # a user's text must be restored exactly
            text = place.read_text(encoding="utf-8", errors="surrogateescape")
        except FileNotFoundError:
            return File()
        return File(text, stat.S_IMODE(status.st_mode), _group_name(status.st_gid))

    def write(self, path: str, what: File) -> None:
        """Write it atomically, and flush it to the disk."""
        place = self.place(path)
        if what.text is None and what.link is None:
            place.unlink(missing_ok=True)
            return
        place.parent.mkdir(parents=True, exist_ok=True)
        if what.link is not None:
            beside = place.with_name(f".{place.name}.new")
            beside.unlink(missing_ok=True)
            beside.symlink_to(what.link)
        else:
            assert what.text is not None
            handle, name = tempfile.mkstemp(prefix=f".{place.name}.", dir=place.parent)
            beside = Path(name)
            with os.fdopen(handle, "w", encoding="utf-8", errors="surrogateescape") as file:
                file.write(what.text)
                file.flush()
                self.own(beside, what.group)
                beside.chmod(what.mode)
                os.fsync(file.fileno())
        beside.replace(place)
        folder = os.open(place.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def own(self, place: Path, group: str) -> None:
        """Give a file to root and a group."""
        shutil.chown(place, "root", group)

    def run(self, *command: str, timeout_s: float = 300.0) -> subprocess.CompletedProcess[str]:
        """Run a command and return its result."""
        try:
            return subprocess.run(command, check=False, capture_output=True, text=True, timeout=timeout_s)
        except subprocess.TimeoutExpired:
            return subprocess.CompletedProcess(command, 124, "", f"{command[0]}: no answer within {timeout_s:.0f} s")

    def show(self) -> dict[str, str]:
        """Return the properties of the service."""
        keys = "ActiveState,SubState,NRestarts,Result,ExecMainStatus,StatusText,MainPID,UnitFileState"
        told = self.run("systemctl", "show", UNIT, f"--property={keys}").stdout
        return dict(line.split("=", 1) for line in told.splitlines() if "=" in line)


def _group_name(number: int) -> str:
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


class Releases:
    """The releases of one machine."""

    def __init__(self, machine: Machine | None = None, base: str = "/opt/edge") -> None:
        self.machine = machine or Machine()
        self._base = base
        self._undo = f"{base}/undo.json"
        self._offered = f"{base}/offered.toml"
        self.undo = self.machine.place(self._undo)
        """This file exists while a release is on trial."""
        self._silent = {self._offered, f"{base}/previous", f"{SETTINGS}.new"}
        """Paths that may change without a restart of the service."""

    def folder(self, release: str) -> Path:
        return self.machine.place(f"{self._base}/releases/{release}")

    def used(self, name: str = "current") -> str:
        """Return the release that a link names, current or previous; empty if there is none."""
        link = self.machine.read(f"{self._base}/{name}").link
        release = Path(link).name if link else ""
        return release if release and (self.folder(release) / "complete").exists() else ""

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until no other deploy works on this machine, and make others wait. Raises ReleaseError.

        An interrupted deploy may still be completing its trial. The lock is that of make-release.
        """
        if not self.machine.place(self._base).is_dir():
            raise ReleaseError("edge is not installed here: deploy/install installs it.")
        with self.machine.place(f"{self._base}/.lock").open("w") as lock:
            deadline_s = time.monotonic() + LOCK_S
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    if time.monotonic() > deadline_s:
                        raise ReleaseError(
                            "another deploy is running on this machine: wait until it has finished"
                        ) from None
                    time.sleep(_POLL_S)
            yield

    def plan(self, release: str, settings: str | None, drop_ins: Mapping[str, str | None]) -> Plan:
        """Return the changes that using a release needs.

        `settings` is the offered settings file; None keeps the settings. `drop_ins` has the text of each drop-in of the
        unit by its name; None removes it. Other drop-ins stay.
        """
        share = self.folder(release) / "share" / "edge"
        plan = Plan(release)
        wanted: dict[str, File] = {}
        if share.is_dir():
            wanted[f"/etc/systemd/system/{UNIT}"] = File((share / "edge.service").read_text(encoding="utf-8"))
            newer = share / "newer-systemd.conf"
            wanted[f"/etc/systemd/system/{UNIT}.d/newer-systemd.conf"] = (
                File(newer.read_text(encoding="utf-8")) if self._systemd() >= 254 else File()
            )
        for name, drop_in in drop_ins.items():
            wanted[f"/etc/systemd/system/{UNIT}.d/{name}.conf"] = File(drop_in)
        trusted = self._on_trial()["release"] if self.undo.exists() else self.used()
        if trusted and trusted != release:
            wanted[f"{self._base}/previous"] = File(link=f"releases/{trusted}")
            for path in (SETTINGS, self._offered):
                text = self._settled(path).text
                wanted[self._left(trusted, path)] = File() if text is None else File(text, 0o600)
        wanted[f"{self._base}/current"] = File(link=f"releases/{release}")
        wanted["/usr/local/bin/edge"] = File(link=f"{self._base}/current/bin/edge")
        wanted |= self._settings(plan, settings)
        self._add(plan, wanted)
        return plan

    def _add(self, plan: Plan, wanted: Mapping[str, File]) -> None:
        for path, after in wanted.items():
            before = self.machine.read(path)
            if before != after:
                plan.changes.append(Change(path, before, after))

    def _left(self, release: str, path: str) -> str:
        """Return where a file's content is kept that a release was used with."""
        return f"{self._base}/releases/{release}/left/{Path(path).name}"

    def _settled(self, path: str) -> File:
        """Return the content of a path as it was before a trial that was not completed, else the present one."""
        files = self._on_trial()["files"] if self.undo.exists() else {}
        return File(**files[path]) if path in files else self.machine.read(path)

    def fit_settings(self, plan: Plan) -> None:
        """Let a plan without offered settings bring back other settings, if the present ones do not fit the release.

        A newer release may know tables and keys that an older one rejects. Then those return that the older one was
        last used with, and the present ones stay beside them, in a file with the name of their release. On the way
        forward that file becomes the settings again, unless somebody has changed the settings since.
        """
        here, now = self.machine.read(SETTINGS), self.used()
        beside = f"{SETTINGS}.{plan.release}"
        put_aside = self.machine.read(beside)
        was_fitted = here.text is not None and here.text == self.machine.read(self._left(now, SETTINGS)).text
        if put_aside.text is not None and was_fitted and not self._rejection(plan.release, put_aside.text):
            settings, wanted = put_aside, {beside: File()}
            note = f"{SETTINGS} is again what it was when release {plan.release} was used last"
        else:
            text = self.machine.read(self._left(plan.release, SETTINGS)).text
            if text is None or not self._rejection(plan.release, plan.settings):
                return
            if self._rejection(plan.release, text):
                return
            settings, wanted = self._settings_file(text), {f"{SETTINGS}.{now}": here}
            note = (
                f"release {plan.release} cannot use the present settings, so those are back that it was last used "
                f"with; the present ones are kept in {SETTINGS}.{now}, and return with that release"
            )
        wanted[SETTINGS] = settings
        offered = self.machine.read(self._left(plan.release, self._offered)).text
        wanted[self._offered] = File() if offered is None else File(offered, 0o600)
        self._add(plan, wanted)
        plan.settings = settings.text or ""
        plan.notes.append(note)

    @staticmethod
    def _settings_file(text: str) -> File:
        # a stream's URL may contain a password
        return File(text, 0o640, "edge") if hide_secrets(text) != text else File(text)

    def _settings(self, plan: Plan, offered: str | None) -> dict[str, File]:
        """Return the settings files to write. A file that a user has edited is never overwritten.

        As dpkg does, compare it with the last offered file to see whether it was edited.
        """
        path = SETTINGS
        here = self.machine.read(path)
        plan.settings = here.text or ""
        if offered is None:
            return {}
        last = self.machine.read(self._offered).text
        wanted = {self._offered: File(offered, 0o600)}
        if here.text in (None, last, offered):
            wanted[f"{path}.new"] = File()
            plan.settings = offered
            if here.text != offered:
                wanted[path] = self._settings_file(offered)
        elif offered != last:
            wanted[f"{path}.new"] = self._settings_file(offered)
            plan.notes.append(
                f"{path} was changed by hand and stays as it is; what this deploy would write is in {path}.new"
            )
        return wanted

    def _systemd(self) -> int:
        found = re.match(r"systemd (\d+)", self.machine.run("systemctl", "--version").stdout)
        return int(found[1]) if found else 0

    def check(self, plan: Plan) -> None:
        """Let the new release check the settings, its libraries and its engine, beside the running one.

        Raises ReleaseError with the fault and advice.
        """
        if not (self.folder(plan.release) / "complete").exists():
            raise ReleaseError(f"release {plan.release} is gone: another deploy has replaced it. Deploy again.")
        if self.machine.show().get("UnitFileState", "").startswith("masked"):
            raise ReleaseError(f"{UNIT} is masked, so it never starts; run: sudo systemctl unmask edge")
        if lines := self._rejection(plan.release, plan.settings):
            raise ReleaseError(
                f"release {plan.release} cannot use the settings:\n{lines}\n"
                "Nothing was changed. Mend /etc/edge/edge.toml (or the variables of the deploy), and deploy again."
            )
        unit = str(self.folder(plan.release) / "share" / "edge" / "edge.service")
        with self._candidate(plan.settings) as candidate:
            doctor = ["doctor", "--before-use", "--service", "--unit", unit, "--config", candidate, "--json"]
            told = self.machine.run(*self._edge(plan.release), *doctor, timeout_s=900)
        if told.returncode:
            faults = faults_of(told.stdout) or [told.stderr.strip() or f"exit code {told.returncode}"]
            raise ReleaseError(f"release {plan.release} has failed its checks:\n" + "\n".join(faults))

    def _edge(self, release: str) -> list[str]:
        return [str(self.folder(release) / "bin" / "python"), "-P", "-m", "edge"]

    @contextlib.contextmanager
    def _candidate(self, settings: str) -> Iterator[str]:
        """Write settings to a file that only the service's user may read, as long as the block runs."""
        candidate = "/etc/edge/.candidate.toml"
        try:
            self.machine.write(candidate, File(settings, 0o640, "edge"))
            yield candidate
        finally:
            self.machine.write(candidate, File())

    def _rejection(self, release: str, settings: str) -> str:
        """Return why a release cannot use settings, as it says itself; '' if it can."""
        with self._candidate(settings) as candidate:
            told = self.machine.run(*self._edge(release), "config", "--check", candidate)
        lines = told.stderr.replace(candidate, SETTINGS).strip()
        return (lines or f"exit code {told.returncode}") if told.returncode else ""

    def use(self, plan: Plan, start_timeout_s: float) -> None:
        """Carry out a plan, and wait until the service runs; otherwise restore everything.

        Raises ReleaseError if everything was restored, or if there was no release to return to.
        """
        if self.running() and all(change.path in self._silent for change in plan.changes):
            for change in plan.changes:
                self.machine.write(change.path, change.after)
            return
        files = {change.path: vars(change.before) for change in plan.changes}
        undo: dict[str, Any] = {"release": self.used(), "files": files}
        if self.undo.exists():
            # if an earlier trial was not completed, the state before that one counts
            trial = self._on_trial()
            undo = {"release": trial["release"], "files": files | trial["files"]}
        self.machine.write(self._undo, File(json.dumps(undo), 0o600))
        try:
            for change in plan.changes:
                self.machine.write(change.path, change.after)
            self._start(start_timeout_s)
        except (ReleaseError, OSError) as error:
            if not undo["release"]:
                raise ReleaseError(
                    f"{error}\nIt is the first release here, so it stays: systemd keeps trying to start it."
                ) from None
            for path, file in undo["files"].items():
                self.machine.write(path, File(**file))
            try:
                # a short timeout for the trial must not stop the release that ran before
                self._start(max(start_timeout_s, START_TIMEOUT_S))
                ending = f"Rolled back to {undo['release']}, which is running again."
            except ReleaseError as second:
                ending = f"Rolled back to {undo['release']}, which fails too: {second}"
            self.undo.unlink()
            self.prune()
            raise ReleaseError(f"{error}\n{ending}") from None
        self.undo.unlink(missing_ok=True)

    def _on_trial(self) -> dict[str, Any]:
        """Return the state before a trial that was not completed."""
        what: dict[str, Any] = json.loads(self.undo.read_text(encoding="utf-8"))
        return what

    def _start(self, timeout_s: float) -> None:
        """Restart the service and return when it stays active. Raises ReleaseError if it does not."""
        systemctl = "systemctl"
        self.machine.run(systemctl, "daemon-reload")
        self.machine.run(systemctl, "stop", UNIT)
        self.machine.run(systemctl, "reset-failed", UNIT)
        enabled = self.machine.run(systemctl, "enable", UNIT)
        if enabled.returncode:
            raise ReleaseError(f"systemctl enable {UNIT}: {enabled.stderr.strip()}")
        since_s = time.time()
        self.machine.run(systemctl, "start", "--no-block", UNIT)
        deadline_s = time.monotonic() + timeout_s
        active_since_s = None
        while True:
            told = self.machine.show()
            now_s = time.monotonic()
            if int(told.get("NRestarts") or 0) >= MOST_RESTARTS or told.get("ActiveState") == "failed":
                raise ReleaseError(f"the service does not run: {self._why(told, since_s)}")
            if told.get("ActiveState") != "active":
                active_since_s = None
            elif active_since_s is None:
                active_since_s = now_s
            elif now_s - active_since_s >= SETTLE_S:
                return
            # an active service gets SETTLE_S, even if that exceeds the deadline
            if active_since_s is None and now_s > deadline_s:
                raise ReleaseError(f"the service is not active after {timeout_s:.0f} s: {self._why(told, since_s)}")
            time.sleep(_POLL_S)

    def _why(self, told: Mapping[str, str], since_s: float) -> str:
        """Return the last message of the service."""
        # this match, unlike --unit, leaves out systemd's own messages
        command = ["journalctl", f"_SYSTEMD_UNIT={UNIT}", f"--since=@{since_s:.0f}", "--output=cat", "--no-pager"]
        lines = [line for line in self.machine.run(*command).stdout.splitlines() if line.strip()]
        status = told.get("StatusText") or f"{told.get('Result')}, exit status {told.get('ExecMainStatus')}"
        if told.get("Result") == "success" and int(told.get("NRestarts") or 0):
            # it is being restarted, and its last result is lost
            status = f"it ended {told['NRestarts']} times soon after its start"
        elif told.get("Result") == "success" and not told.get("StatusText"):
            status = f"it is {told.get('ActiveState')} and has reported no status"
        last = lines[-1].strip() if lines else ""
        return f"{status}; its last line: {last}" if last and status not in last else last or status

    def running(self) -> bool:
        """Return whether the service is active and starts at boot, and no trial is incomplete."""
        told = self.machine.show()
        return told.get("ActiveState") == "active" and told.get("UnitFileState") == "enabled" and not self.undo.exists()

    def prune(self) -> list[str]:
        """Delete all releases but the current and the previous one, and return their names."""
        kept = {self.used(), self.used("previous")}
        gone = []
        for folder in sorted(self.machine.place(f"{self._base}/releases").iterdir()):
            if folder.name not in kept:
                # first the mark of a complete release
                (folder / "complete").unlink(missing_ok=True)
                shutil.rmtree(folder)
                gone.append(folder.name)
        return gone


def faults_of(findings: str) -> list[str]:
    """Return the faults in the output of `edge doctor --json`, with their advice, a line each."""
    try:
        found: Sequence[Mapping[str, str]] = json.loads(findings)
        faults = [one for one in found if one["grade"] == "fault"]
    except (ValueError, LookupError, TypeError):
        return []
    return [f"{one['check']}: {one['text']}" + (f" -> {one['advice']}" if one["advice"] else "") for one in faults]


def hide_secrets(settings: str) -> str:
    """Return settings without the user, password and query of URLs. A query may be a password too."""
    return re.sub(r"(\w+://[^?\n]*\?)[^\s\"]+", r"\1***", re.sub(r"(\w+://).*@", r"\1***@", settings))


def diff_of(change: Change) -> dict[str, str]:
    """Return a change as Ansible shows it with --diff, without passwords."""

    def shown(what: File) -> str:
        if what.link is not None:
            return f"link to {what.link}\n"
        return hide_secrets(what.text or "").encode("utf-8", "replace").decode()

    return {
        "before_header": change.path,
        "after_header": change.path,
        "before": shown(change.before),
        "after": shown(change.after),
    }
