"""Who may use the control socket: root, the daemon's user, and members of two groups, one of them without pictures.

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
from pathlib import Path

from edge.host.control_client import CONTROL_GROUP

_log = logging.getLogger(__name__)
_SO_PEERGROUPS = 59
"""unix(7), since Linux 4.13; the same on all machines that edge runs on. Python has no name for it."""
_NO_ID = 0xFFFFFFFF


def may_connect(uid: int, groups: Collection[int], allowed: int | None) -> bool:
    """Return True for a process of root, of the daemon's user, or of the group `allowed`; None: there is none."""
    return uid in (0, os.geteuid()) or allowed in groups


def let_in(path: Path, group: int) -> None:
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


def control_group() -> int | None:
    """Return the id of the group for programs; None: there is no such group."""
    with contextlib.suppress(KeyError):
        return grp.getgrnam(CONTROL_GROUP).gr_gid
    return None


def peer(sock: socket.socket) -> tuple[int, set[int]]:
    """Return the user and the groups of the process that has connected."""
    _pid, uid, gid = struct.unpack("3i", sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    try:
        raw = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERGROUPS, 1024)
        return uid, {gid, *struct.unpack(f"{len(raw) // 4}I", raw)}
    except OSError:  # an old kernel, or more groups than fit
        with contextlib.suppress(KeyError):
            return uid, {gid, *os.getgrouplist(pwd.getpwuid(uid).pw_name, gid)}
        return uid, {gid}
