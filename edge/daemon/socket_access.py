"""Who may use the control socket: root, the daemon's user, and members of two groups.

The kernel decides by the rights of the socket's file, and the daemon checks the groups that the kernel reports.
"""

import contextlib
import grp
import logging
import os
import pwd
import socket
import struct
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from edge.errors import ControlError
from edge.host.control_client import CONTROL_GROUP

_log = logging.getLogger(__name__)
_SO_PEERGROUPS = 59
"""unix(7), since Linux 4.13; the same on all machines that edge runs on. Python has no name for it."""
_NO_ID = 0xFFFFFFFF
_LONGEST_PATH = 107
"""Longest path of a socket in bytes (unix(7))."""


@dataclass(frozen=True)
class Peer:
    """The process at the other end of a connection."""

    uid: int
    owner: bool
    """True for root, the daemon's user and members of its group; False for those of the group edge-control alone."""

    @property
    def user(self) -> str:
        """Return the name of its user; the number if it has none."""
        try:
            return pwd.getpwuid(self.uid).pw_name
        except KeyError:
            return str(self.uid)


class Access:
    """Decides which processes may use a socket."""

    def __init__(self, path: Path) -> None:
        """Read the group of the socket's file, and whether the group edge-control exists."""
        self._own = path.stat().st_gid
        self._control = _control_group()

    def peer(self, sock: socket.socket) -> Peer | None:
        """Return the process that has connected; None if it may not use the socket."""
        _pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        groups = _groups_of(sock, uid, gid)
        if may_connect(uid, groups, self._own):
            return Peer(uid, owner=True)
        return Peer(uid, owner=False) if may_connect(uid, groups, self._control) else None


def may_connect(uid: int, groups: Collection[int], allowed: int | None) -> bool:
    """Return True for a process of root, of the daemon's user, or of the group `allowed`; None: there is none."""
    return uid in (0, os.geteuid()) or allowed in groups


def listen(path: Path) -> socket.socket:
    """Return the listening socket at a path. Raises ControlError if it cannot be made, or another edge has it."""
    if len(os.fsencode(path)) > _LONGEST_PATH:
        raise ControlError(f"{path}: the path is too long for a socket; set another path in [service] control")
    # a client that sees the file must be able to connect: it gets its name when all is done
    new = path.with_name(f".{os.getpid()}")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        if path.parent.stat().st_uid not in (os.geteuid(), 0):
            raise ControlError(f"{path.parent} belongs to another user; set another path in [service] control")
        if path.is_socket():
            _take_over(path)
        server = socket.socket(socket.AF_UNIX)
        try:
            new.unlink(missing_ok=True)
            server.bind(str(new))
            new.chmod(0o660)
            if (group := _control_group()) is not None:
                _let_in(new, group)
            server.listen(128)
            server.setblocking(False)
            path.hardlink_to(new)  # unlike a rename, it replaces nothing
        except BaseException:
            server.close()
            raise
        finally:
            new.unlink(missing_ok=True)
    except OSError as error:
        raise ControlError(f"{path}: {error.strerror or error}; set another path in [service] control") from error
    return server


def _let_in(path: Path, group: int) -> None:
    """Let members of another group than the file's own use the socket too (acl(5)).

    The kernel's form is that of linux/posix_acl_xattr.h: a version, then tag, rights and id of each entry.
    """
    user, own, other_group, mask, others, read_write = 0x01, 0x04, 0x08, 0x10, 0x20, 6
    entries = [(user, read_write, _NO_ID), (own, read_write, _NO_ID), (other_group, read_write, group)]
    entries += [(mask, read_write, _NO_ID), (others, 0, _NO_ID)]
    packed = struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)
    try:
        os.setxattr(path, "system.posix_acl_access", packed)
    except OSError as error:
        _log.info(f"The group {CONTROL_GROUP} cannot use the control socket: {error.strerror}.")


def _control_group() -> int | None:
    """Return the id of the group whose members may use the socket and nothing else; None: there is no such group."""
    with contextlib.suppress(KeyError):
        return grp.getgrnam(CONTROL_GROUP).gr_gid
    return None


def _groups_of(sock: socket.socket, uid: int, gid: int) -> set[int]:
    """Return the groups of the process that has connected."""
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 1024)
        return {gid, *struct.unpack(f"{len(raw) // 4}I", raw)}
    except OSError:  # an old kernel, or more groups than fit
        with contextlib.suppress(KeyError):
            return {gid, *os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)}
        return {gid}


def _take_over(path: Path) -> None:
    """Remove the socket of a dead daemon. Raises ControlError if a daemon answers on it."""
    with socket.socket(socket.AF_UNIX) as trial:
        trial.settimeout(1.0)
        try:
            trial.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
        except TimeoutError:
            pass
    raise ControlError(f"{path}: another edge is running and keeps this socket")
