"""One supervised child process: it gets one request at a time; if it is late, its process group is killed and replaced.

Vendor libraries that may block forever, and cannot be stopped from inside, run in such a child. The daemon's side is
`Worker`; the child's side is `main`, started by exec (`python -m edge.worker MODULE FOLDER`), never by a fork of a
process with vendor libraries in it. They exchange JSON, one line a message: the options first, then one request at a
time. The child answers each with one line, the fields of a `Reply`.

A driver module has a function `open_driver(options)`, which returns the function that answers one request. An EdgeError
from either is an answer; any other exception is a bug: it is reported, and the child is replaced.

The child never outlives the daemon, even after kill -9: the replies' pipe has no reader then, and a thread of the child
cleans up and kills the group. (PR_SET_PDEATHSIG would kill the child alone, and leave the processes that it has
started.) That thread wakes only then: a request wakes the thread that answers it, and no other.
"""

import contextlib
import importlib
import json
import math
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edge.errors import EdgeError, one_line

REAP_S = 0.5
"""How long to wait for a killed child to end. If a device driver hangs, it takes longer."""


class WorkerError(Exception):
    """The child could not start; the text gives the reason in one line."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to one request: a JSON value, or the error (empty if there is none)."""

    value: Any = None
    error: str = ""
    died_of: str = ""
    """'SIGKILL' or 'exit status 1' if the child died by itself without a reply; empty if it lives or we killed it."""


class Worker:
    """A child process with a driver in it, replaced when it dies or is late.

    Only the constructor waits; other methods wait only for a killed child to end (milliseconds, at most `reap_s`).
    `close` may be called from any thread.
    """

    def __init__(
        self,
        module: str,
        options: Mapping[str, Any],
        what: str,
        start_timeout_s: float = 10.0,
        *,
        wait: bool = True,
        private_folder: bool = True,
        pass_fds: Sequence[int] = (),
        reap_s: float = REAP_S,
    ) -> None:
        """Start the child. `what` is its name in messages ('the voice').

        With `wait`, return when its driver is open, as `wait_until_ready` does. Without `wait`, either call that, or
        the reply to the first request has the error. The child gets its own folder for temporary files if
        `private_folder`, and inherits the file descriptors `pass_fds` under their numbers. `reap_s` is how long a
        killed child may take to end: one with much memory takes longer.
        """
        self._module, self._options, self._start_timeout_s = module, options, start_timeout_s
        self._what = what
        self._private_folder, self._pass_fds = private_folder, tuple(pass_fds)
        self._reap_s = reap_s
        self._lock = threading.Lock()
        self._child: _Child | None = None
        self._ready = self._busy = self._closed = False
        self._timeout_s = math.inf  # longest time for the request
        self._deadline_s = math.inf  # time.monotonic() at which the child must have answered
        self._fault = ""  # why there is no child
        self._start()
        if wait:
            self.wait_until_ready()

    @property
    def pid(self) -> int | None:
        """Process id of the child, and of its group and session; None while there is no child."""
        child = self._child
        return child.pid if child else None

    def wait_until_ready(self) -> None:
        """Wait until the driver is open; call this before the first request.

        Raises WorkerError, and closes this, if opening fails or takes longer than `start_timeout_s`.
        """
        try:
            while not self._ready and self._child is not None:
                self.wait(0.25)
                self.poll()
        except BaseException:  # Ctrl-C too
            self.close()
            raise
        if not self._ready:
            self.close()
            raise WorkerError(self._fault)

    def ask(self, request: object, timeout_s: float) -> bool:
        """Send a request (a JSON value); return False while another is being answered, or after `close`.

        If a ready child has not answered after `timeout_s` seconds, it is killed with all processes it has started, and
        replaced.
        """
        with self._lock:
            if self._busy or self._closed:
                return False
            self._busy = True
            if self._child is None:
                self._start()
            if self._child is not None:
                self._child.send(request)
                self._timeout_s = timeout_s
                if self._ready:  # else its start has a deadline, and the request's begins when it is ready
                    self._deadline_s = time.monotonic() + timeout_s
            return True

    def poll(self) -> Reply | None:
        """Return the reply to the last request if it has come, and supervise the child. Call it often."""
        with self._lock:
            reply = None if self._closed else self._look()
            if not self._busy:  # a fault that concerns no request: the next one shows whether it lasts
                return None
            self._busy = reply is None
            return reply

    def wait(self, timeout_s: float) -> None:
        """Wait until `poll` may have a reply, at most `timeout_s`."""
        child = self._child
        until_s = min(timeout_s, max(0.0, self._deadline_s - time.monotonic()))
        if child is None:
            time.sleep(until_s)
        else:
            child.wait(until_s)

    def interrupt(self) -> None:
        """Kill the child if it is answering a request, and start another. There will be no reply."""
        with self._lock:
            if self._busy and not self._closed:
                if self._child:
                    self._child.kill()
                    self._child = None
                self._busy = False
                self._start()

    def close(self) -> None:
        """Kill the child and all processes it has started, at once. May be called twice."""
        with self._lock:
            self._closed = True
            if self._child:
                self._child.kill()
                self._child = None

    def _start(self) -> None:
        self._ready = False
        self._deadline_s = time.monotonic() + self._start_timeout_s
        try:
            self._child = _Child(
                self._module,
                self._options,
                self._pass_fds,
                self._reap_s,
                private_folder=self._private_folder,
            )
        except OSError as error:
            self._fault = f"cannot start a process for {self._what}: {error}"

    def _look(self) -> Reply | None:
        if self._child is None:
            return Reply(error=self._fault)
        try:
            for reply in self._child.receive():
                if self._ready:
                    self._deadline_s = math.inf
                    return reply
                if reply.error:
                    return self._replace(reply.error)
                self._ready = True
                self._deadline_s = time.monotonic() + self._timeout_s if self._busy else math.inf
        except EOFError:
            return self._replace("")
        if time.monotonic() > self._deadline_s:
            return self._replace(f"{self._what} did not answer in time and was killed")
        return None

    def _replace(self, fault: str) -> Reply:
        """Kill the child. Start a new one only if the old one was ready and had a request: no crash loops."""
        assert self._child
        status = self._child.kill()
        self._child = None
        died_of = "" if fault else _ending(status)
        self._fault = fault or f"{self._what} died ({died_of})"
        reply = Reply(error=self._fault, died_of=died_of)
        if self._busy and self._ready:
            self._start()
        return reply


class _Child:
    """The process itself, the pipes to it and its folder for temporary files."""

    def __init__(
        self,
        module: str,
        options: Mapping[str, Any],
        pass_fds: Sequence[int],
        reap_s: float,
        *,
        private_folder: bool,
    ) -> None:
        self._reap_s = reap_s
        self._folder = _temporary_folder() if private_folder else None
        self._unread = b""
        # let the child find the same modules as this process, and with -P none in the current directory
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}
        if self._folder:
            environment["TMPDIR"] = str(self._folder)
            if "XDG_RUNTIME_DIR" not in environment:
                # without a session, libpulse, which comes with espeak-ng, would make a folder in the user's home
                environment.setdefault("PULSE_RUNTIME_PATH", str(self._folder))
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "edge.worker", module, str(self._folder or "")],
                pass_fds=pass_fds,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                env=environment,
                start_new_session=True,
            )
        except OSError:
            _remove(self._folder)
            raise
        assert self._process.stdin
        assert self._process.stdout
        self._requests, self._replies = self._process.stdin, self._process.stdout
        os.set_blocking(self._requests.fileno(), False)
        os.set_blocking(self._replies.fileno(), False)
        self.pid = self._process.pid
        self.send(options)

    def send(self, message: object) -> None:
        # a message that the pipe (64 KiB) cannot take, or without a reader, gets no answer: the deadline handles that
        with contextlib.suppress(BrokenPipeError):
            self._requests.write(json.dumps(message).encode() + b"\n")

    def receive(self) -> list[Reply]:
        """Return the replies that have come. Raises EOFError if the child is dead and all its replies were returned."""
        while chunk := self._replies.read(65536):  # None: nothing yet; b"": the other end is closed
            self._unread += chunk
        *lines, self._unread = self._unread.split(b"\n")
        if chunk == b"" and not lines:
            raise EOFError
        return [Reply(**json.loads(line)) for line in lines]

    def wait(self, timeout_s: float) -> bool:
        """Return True if the child has written something or died; wait for that at most `timeout_s`."""
        try:
            poll = select.poll()
            poll.register(self._replies, select.POLLIN)
            return bool(poll.poll(1000 * timeout_s))
        except (OSError, ValueError):
            return True  # it has been closed

    def kill(self) -> int | None:
        """Kill the group, reap the child and remove the folder. Return the child's exit status as Popen has it."""
        # the child has not been reaped yet, so its id cannot belong to another group
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        self._requests.close()
        self._replies.close()
        try:
            self._process.wait(self._reap_s)
        except subprocess.TimeoutExpired:
            # a driver hangs, or the machine is very busy: a thread reaps the child when it ends
            with contextlib.suppress(RuntimeError):  # there may be no memory for a thread
                threading.Thread(target=self._process.wait, name="reaper", daemon=True).start()
        _remove(self._folder)
        return self._process.returncode


def _temporary_folder() -> Path:
    """Make a folder in which temporary files do not wear the SD card, and programs may run. Raises OSError."""
    # systemd empties the first two of these after us (the second with RemoveIPC=yes)
    for parent in (
        os.environ.get("RUNTIME_DIRECTORY", "").split(":")[0],
        "/dev/shm",
        os.environ.get("XDG_RUNTIME_DIR", ""),
    ):
        if os.access(parent, os.W_OK | os.X_OK) and not os.statvfs(parent).f_flag & os.ST_NOEXEC:
            _sweep(Path(parent))
            with contextlib.suppress(OSError):  # it may be full
                return Path(tempfile.mkdtemp(prefix=f"edge-{os.getpid()}-", dir=parent))
    return Path(tempfile.mkdtemp(prefix=f"edge-{os.getpid()}-"))


def _sweep(parent: Path) -> None:
    """Remove the folders of daemons that were killed together with their children."""
    for folder in parent.glob("edge-*-*"):
        pid = folder.name.split("-")[1]
        with contextlib.suppress(OSError, OverflowError):
            if pid.isdigit() and folder.stat().st_uid == os.getuid():
                try:
                    os.kill(int(pid), 0)  # no signal is sent (kill(2)); /proc may be missing in a container
                except ProcessLookupError:
                    _remove(folder)


def _remove(folder: Path | None) -> None:
    if folder is None:
        return
    for _ in range(10):  # again, if a process was just writing there
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return


def _ending(status: int | None) -> str:
    if status is None or status >= 0:
        return f"exit status {status}"
    return signal.Signals(-status).name


def main() -> None:
    """Run as the child: open the driver, answer requests, and end with the daemon."""
    module, folder = sys.argv[1], Path(sys.argv[2]) if sys.argv[2] else None
    os.environ.pop("PYTHONPATH", None)  # not for the programs that a driver starts
    # Ctrl-C and systemd's SIGTERM reach the whole group or unit: the daemon decides when this child ends
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    # a vendor's print must not be taken for a reply, and processes that it starts must not read our requests
    requests, replies = os.dup(0), os.dup(1)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(2, 1)
    threading.Thread(target=_end_with_the_daemon, args=(replies, folder), daemon=True).start()

    answer = None
    with os.fdopen(requests, "rb") as lines:
        for line in lines:
            if not line.endswith(b"\n"):
                break  # the daemon died in the middle of it
            request = json.loads(line)
            bug = False
            try:
                if answer is None:
                    answer, reply = importlib.import_module(module).open_driver(request), Reply()
                else:
                    reply = Reply(value=answer(request))
            except EdgeError as error:
                reply = Reply(error=one_line(error))
            except Exception as error:
                traceback.print_exc()
                reply, bug = Reply(error=f"{type(error).__name__}: {one_line(error)}"), True
            with contextlib.suppress(BrokenPipeError):
                os.write(replies, json.dumps(asdict(reply)).encode() + b"\n")
            if bug or answer is None:
                break
    _end(folder)


def _end_with_the_daemon(replies: int, folder: Path | None) -> None:
    """Wait until the replies' pipe has no reader any more, and end."""
    poll = select.poll()
    poll.register(replies, 0)  # for POLLERR alone, which needs no asking (poll(2), pipe(7))
    poll.poll()
    _end(folder)


def _end(folder: Path | None) -> None:
    _remove(folder)
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
