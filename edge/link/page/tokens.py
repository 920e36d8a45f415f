"""The token of the page: the file that has it, and how it is made."""

import os
import re
import secrets
from pathlib import Path

from edge.errors import LinkError, os_reason
from edge.host.atomic import write_text

ALPHABET = "abcdefghjkmnpqrstuvwxyz23456789"
"""Letters and digits that are hard to take for each other: no i, l, o, 0, 1."""
GROUPS, OF_EACH = 5, 5
"""Five groups of five: 31^25 is more than 2^123."""
SHORTEST = 16
"""Shortest token that is accepted from a file that a person has written."""
SERVICE_FOLDER = Path("/var/lib/edge-link")
"""The service's StateDirectory=."""


def token_path(setting: str) -> Path:
    """Return the file by [page] token_file; without one it is in the service's folder, or in that of this user."""
    if setting:
        return Path(setting)
    if given := os.environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0]) / "page-token"
    if SERVICE_FOLDER.is_dir() and os.geteuid() == 0:
        return SERVICE_FOLDER / "page-token"
    base = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(base) / "edge" / "page-token"


def path_to_show(setting: str) -> Path:
    """Return the file whose token a person wants to see: that of this user's link, else that of the service."""
    path = token_path(setting)
    if not setting and SERVICE_FOLDER.is_dir() and not path.exists():
        return SERVICE_FOLDER / "page-token"
    return path


def read(path: Path) -> str:
    """Return the token in a file. Raises LinkError if it cannot be read or is too short."""
    try:
        with path.open("rb") as file:
            text = file.read(4096).decode("utf-8", "replace").partition("\n")[0].strip()
    except FileNotFoundError:
        raise LinkError(
            f"{path}: there is no token yet: edge link makes it when it starts with listen in [page] "
            "(the service: sudo systemctl restart edge-link)"
        ) from None
    except PermissionError as error:
        raise LinkError(f"{path}: you may not read it: sudo edge link --token") from error
    except OSError as error:
        raise LinkError(f"{path}: {os_reason(error)}") from error
    if len(bare(text)) < SHORTEST:
        raise LinkError(
            f"{path}: its first line is no token: {SHORTEST} letters or digits are needed at least; remove the file, "
            "and edge link makes a new one"
        )
    return text


def read_or_make(path: Path) -> str:
    """Return the token in a file; make the file if it is missing, for its owner alone. Raises LinkError."""
    try:
        path.stat()
    except FileNotFoundError:
        pass
    except OSError as error:
        raise LinkError(f"{path}: {os_reason(error)}") from error
    else:
        return read(path)
    token = new()
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_text(path, f"{token}\n", mode=0o600)
    except OSError as error:
        raise LinkError(f"{path}: the token cannot be written: {os_reason(error)}") from error
    return token


def new() -> str:
    """Return a new token."""
    return "-".join("".join(secrets.choice(ALPHABET) for _ in range(OF_EACH)) for _ in range(GROUPS))


def bare(token: str) -> str:
    """Return a token as it is compared: hyphens, spaces and case are for people."""
    return re.sub(r"[\s-]", "", token).lower()
