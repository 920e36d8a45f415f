"""The releases of edge on a machine: which one is used, and how another one replaces it.

    /opt/edge/releases/NAME/      a virtual environment with the release's unit in share/edge/; `complete` comes last
    /opt/edge/releases/NAME/left/ the settings, and what had been offered, when another release replaced it
    /opt/edge/current, previous   links to two of them
    /opt/edge/offered.toml        the last settings that a deploy offered; offered-link.toml: those of the link
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
LINK_UNIT = "edge-link.service"
SETTINGS, LINK_SETTINGS = "/etc/edge/edge.toml", "/etc/edge/link.toml"
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
    link_settings: str | None = None
    """Those of the link; None: there are none, or this release has no link."""


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

    def show(self, unit: str = UNIT) -> dict[str, str]:
        """Return the properties of a service."""
        keys = "ActiveState,SubState,NRestarts,Result,ExecMainStatus,StatusText,MainPID,UnitFileState"
        told = self.run("systemctl", "show", unit, f"--property={keys}").stdout
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
        self.undo = self.machine.place(self._undo)
        """This file exists while a release is on trial."""
        self._offered = {SETTINGS: f"{base}/offered.toml", LINK_SETTINGS: f"{base}/offered-link.toml"}
        """The file with the settings that a deploy offered last, for each file of settings."""
        self._of_link = {
            f"/etc/systemd/system/{LINK_UNIT}",
            f"/etc/systemd/system/{LINK_UNIT}.d/deploy-port.conf",
            LINK_SETTINGS,
        }
        """Paths whose change asks for a restart of the link alone."""
        self._silent = {*self._of_link, f"{base}/previous"}
        self._silent |= {*self._offered.values(), *(f"{settings}.new" for settings in self._offered)}
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

    def plan(
        self,
        release: str,
        settings: str | None,
        drop_ins: Mapping[str, str | None],
        link_settings: str | None = None,
        link_ports: Sequence[int] | None = None,
    ) -> Plan:
        """Return the changes that using a release needs.

        `settings` is the offered settings file; None keeps the settings. `drop_ins` has the text of each drop-in of the
        unit by its name; None removes it. Other drop-ins stay. `link_settings` is the same for the link; an empty text
        removes what an earlier deploy has written. `link_ports` are the ports that its unit must allow besides its own;
        None keeps the present ones.
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
            for path in (*self._offered, *self._offered.values()):
                text = self._settled(path).text
                wanted[self._left(trusted, path)] = File() if text is None else File(text, 0o600)
        wanted[f"{self._base}/current"] = File(link=f"releases/{release}")
        wanted["/usr/local/bin/edge"] = File(link=f"{self._base}/current/bin/edge")
        plan.settings = self.machine.read(SETTINGS).text or ""
        if settings is not None:
            files = self._settings(plan, SETTINGS, self._settings_file(SETTINGS, settings))
            wanted |= files
            plan.settings = files.get(SETTINGS, File()).text or plan.settings
        wanted |= self._link(plan, link_settings, link_ports)
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
        plan.settings = self._fitted(plan, SETTINGS, plan.settings)
        if plan.link_settings is not None:
            plan.link_settings = self._fitted(plan, LINK_SETTINGS, plan.link_settings)

    def _fitted(self, plan: Plan, path: str, present: str) -> str:
        """Return the settings of a file that will be in effect, after the plan was fitted to the release."""
        here, now = self.machine.read(path), self.used()
        beside = f"{path}.{plan.release}"
        put_aside = self.machine.read(beside)
        was_fitted = here.text is not None and here.text == self.machine.read(self._left(now, path)).text
        if put_aside.text is not None and was_fitted and not self._rejection(plan.release, put_aside.text, path):
            settings, wanted = put_aside, {beside: File()}
            note = f"{path} is again what it was when release {plan.release} was used last"
        else:
            text = self.machine.read(self._left(plan.release, path)).text
            if text is None or not self._rejection(plan.release, present, path):
                return present
            if self._rejection(plan.release, text, path):
                return present
            settings, wanted = self._settings_file(path, text), {f"{path}.{now}": here}
            note = (
                f"release {plan.release} cannot use the present settings, so those are back that it was last used "
                f"with; the present ones are kept in {path}.{now}, and return with that release"
            )
        wanted[path] = settings
        offered = self.machine.read(self._left(plan.release, self._offered[path])).text
        wanted[self._offered[path]] = File() if offered is None else File(offered, 0o600)
        self._add(plan, wanted)
        plan.notes.append(note)
        return settings.text or ""

    @staticmethod
    def _settings_file(path: str, text: str) -> File:
        if path == LINK_SETTINGS:
            # only the link's user may read it; its group exists where the link is installed
            return File(text, 0o640, "edge-link")
        # a stream's URL may contain a password
        return File(text, 0o640, "edge") if hide_secrets(text) != text else File(text)

    def _settings(self, plan: Plan, path: str, offered: File) -> dict[str, File]:
        """Return the files to write for offered settings. A file that a user has edited is never overwritten.

        As dpkg does, compare it with the last offered file to see whether it was edited.
        """
        here = self.machine.read(path)
        last = self.machine.read(self._offered[path]).text
        wanted = {self._offered[path]: File(offered.text, 0o600) if offered.text else File()}
        if here.text in (None, last, offered.text):
            wanted[f"{path}.new"] = File()
            if here.text != offered.text:
                wanted[path] = offered
        elif offered.text != last:
            wanted[f"{path}.new"] = offered
            what = f"what this deploy would write is in {path}.new" if offered.text else "this deploy would remove it"
            plan.notes.append(f"{path} was changed by hand and stays as it is; {what}")
        return wanted

    def _link(self, plan: Plan, offered: str | None, ports: Sequence[int] | None) -> dict[str, File]:
        """Return the files of the link: its unit if the release has the feature, and its settings."""
        share = self.folder(plan.release) / "share" / "edge"
        unit = share / "edge-link.service"
        features = share / "features"  # a release from before there were features has no such file
        has_link = unit.exists() and features.exists() and "link" in features.read_text(encoding="utf-8").split()
        folder = f"/etc/systemd/system/{LINK_UNIT}"
        wanted: dict[str, File] = {}
        if share.is_dir():  # with --check it may not have been made
            wanted[folder] = File(unit.read_text(encoding="utf-8") if has_link else None)
        if ports is not None:
            # the unit's own ports are allowed already
            text = "# Written by the deploy, for listen in [metrics] and [page].\n[Service]\n"
            text += "".join(f"SocketBindAllow=tcp:{port}\n" for port in ports)
            wanted[f"{folder}.d/deploy-port.conf"] = File(text if ports else None)
        here = self.machine.read(LINK_SETTINGS).text
        if offered is not None and (offered or self.machine.read(self._offered[LINK_SETTINGS]).text):
            files = self._settings(
                plan, LINK_SETTINGS, self._settings_file(LINK_SETTINGS, offered) if offered else File()
            )
            wanted |= files
            here = files[LINK_SETTINGS].text if LINK_SETTINGS in files else here
        plan.link_settings = here if has_link else None
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
        mend = "Nothing was changed. Mend {} (or the variables of the deploy), and deploy again."
        if lines := self._rejection(plan.release, plan.settings):
            raise ReleaseError(f"release {plan.release} cannot use the settings:\n{lines}\n{mend.format(SETTINGS)}")
        link = plan.link_settings
        if link is not None and (lines := self._rejection(plan.release, link, LINK_SETTINGS)):
            what = "cannot use the settings of the link"
            raise ReleaseError(f"release {plan.release} {what}:\n{lines}\n{mend.format(LINK_SETTINGS)}")
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
    def _candidate(self, settings: str, path: str = SETTINGS) -> Iterator[str]:
        """Write settings to a file that only the service's user may read, as long as the block runs."""
        candidate = "/etc/edge/.candidate.toml" if path == SETTINGS else "/etc/edge/.candidate-link.toml"
        try:
            self.machine.write(candidate, File(settings, 0o640, "edge" if path == SETTINGS else "root"))
            yield candidate
        finally:
            self.machine.write(candidate, File())

    def _rejection(self, release: str, settings: str, path: str = SETTINGS) -> str:
        """Return why a release cannot use settings, as it says itself; '' if it can. `path` is their usual place."""
        with self._candidate(settings, path) as candidate:
            told = self.machine.run(*self._edge(release), "config", "--check", candidate)
        lines = told.stderr.replace(candidate, path).strip()
        return (lines or f"exit code {told.returncode}") if told.returncode else ""

    def use(self, plan: Plan, start_timeout_s: float) -> None:
        """Carry out a plan, and wait until the service runs; otherwise restore everything.

        Raises ReleaseError if everything was restored, or if there was no release to return to.
        """
        if self.running() and all(change.path in self._silent for change in plan.changes):
            self._write_all({change.path: change.after for change in plan.changes})
            if self._of_link & {change.path for change in plan.changes} or not self.link_runs():
                self._start_link()
            return
        files = {change.path: vars(change.before) for change in plan.changes}
        undo: dict[str, Any] = {"release": self.used(), "files": files}
        if self.undo.exists():
            # if an earlier trial was not completed, the state before that one counts
            trial = self._on_trial()
            undo = {"release": trial["release"], "files": files | trial["files"]}
        self.machine.write(self._undo, File(json.dumps(undo), 0o600))
        try:
            self._write_all({change.path: change.after for change in plan.changes})
            self._start(start_timeout_s)
        except (ReleaseError, OSError) as error:
            if not undo["release"]:
                raise ReleaseError(
                    f"{error}\nIt is the first release here, so it stays: systemd keeps trying to start it."
                ) from None
            self._write_all({path: File(**file) for path, file in undo["files"].items()})
            try:
                # a short timeout for the trial must not stop the release that ran before
                self._start(max(start_timeout_s, START_TIMEOUT_S))
                ending = f"Rolled back to {undo['release']}, which is running again."
            except ReleaseError as second:
                ending = f"Rolled back to {undo['release']}, which fails too: {second}"
            self.undo.unlink()
            self._start_link()
            self.prune()
            raise ReleaseError(f"{error}\n{ending}") from None
        self.undo.unlink(missing_ok=True)
        self._start_link()

    def _write_all(self, files: Mapping[str, File]) -> None:
        """Write files and links; a unit of the link that goes is stopped first."""
        unit = f"/etc/systemd/system/{LINK_UNIT}"
        if unit in files and files[unit].text is None and self.machine.read(unit).text is not None:
            self.machine.run("systemctl", "disable", "--now", LINK_UNIT)
        for path, file in files.items():
            self.machine.write(path, file)

    def _start_link(self) -> None:
        """Restart the link, if this release has it. Where it fails, edge doctor tells why: edge itself runs."""
        if self.machine.read(f"/etc/systemd/system/{LINK_UNIT}").text is None:
            return
        self.machine.run("systemctl", "daemon-reload")
        self.machine.run("systemctl", "reset-failed", LINK_UNIT)
        self.machine.run("systemctl", "enable", LINK_UNIT)
        # without its settings systemd does not start it, and stops one that runs
        self.machine.run("systemctl", "restart", LINK_UNIT)

    def link_runs(self) -> bool:
        """Return True if the link runs, or is not to run: there is no unit of it, or there are no settings for it."""
        unit, settings = (self.machine.read(path).text for path in (f"/etc/systemd/system/{LINK_UNIT}", LINK_SETTINGS))
        if unit is None or settings is None:
            return True
        return self.machine.show(LINK_UNIT).get("ActiveState") == "active"

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
