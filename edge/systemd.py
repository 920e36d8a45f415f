"""Tell systemd how the daemon is doing, through systemd-python where it is installed. Without systemd: nothing."""

import os


def notify(state: str) -> bool:
    """Send lines such as 'READY=1' or 'STATUS=...'; return whether systemd took them."""
    if "NOTIFY_SOCKET" not in os.environ:
        return False
    try:
        from systemd import daemon

        return bool(daemon.notify(state))
    except (ImportError, OSError):
        # no systemd-python, or a socket that is not there any more: never a reason to stop
        return False
