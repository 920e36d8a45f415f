"""Certificates of a small authority of the tests' own, made with openssl."""

import shutil
import subprocess
from pathlib import Path

import pytest


class Authority:
    """Signs certificates; `file` is its own, which clients trust."""

    def __init__(self, folder: Path, name: str = "tests") -> None:
        """Make it, in `folder`; skip the test where openssl is missing."""
        if shutil.which("openssl") is None:
            pytest.skip("needs openssl")
        self._folder = folder
        self._name = name
        self.file = folder / f"{name}.pem"
        key = f"-newkey rsa:2048 -nodes -keyout {name}.key -out {name}.pem"
        self._openssl(f"req -x509 -days 30 -subj /CN={name} {key}")

    def certificate(self, name: str, address: str = "IP:127.0.0.1,DNS:localhost", days: int = 30) -> tuple[Path, Path]:
        """Return the files (certificate, key) for a server, or a client, of this name; with -1 day it has expired."""
        (self._folder / f"{name}.ext").write_text(f"subjectAltName={address}\n")
        self._openssl(f"req -new -subj /CN={name} -newkey rsa:2048 -nodes -keyout {name}.key -out {name}.csr")
        signed = f"-CA {self._name}.pem -CAkey {self._name}.key -CAcreateserial"
        # Debian 13's openssl takes no negative days, and Debian 12's no end
        can_end = "-not_after" in self._openssl("x509 -help").stderr
        until = "-not_after 20200102000000Z -not_before 20200101000000Z" if days < 0 and can_end else f"-days {days}"
        self._openssl(f"x509 -req -in {name}.csr {signed} {until} -extfile {name}.ext -out {name}.pem")
        key = self._folder / f"{name}.key"
        key.chmod(0o600)
        return self._folder / f"{name}.pem", key

    def _openssl(self, arguments: str) -> "subprocess.CompletedProcess[str]":
        command = ["openssl", *arguments.split()]
        return subprocess.run(command, cwd=self._folder, check=True, capture_output=True, text=True, timeout=60)
