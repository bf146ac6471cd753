"""A real popa3d (POP3 over mbox) for tests: an unpacked package in namespaces of its own, a free port; as root.

It knows neither CAPA nor TLS, and its UIDLs are hashes of headers: equal mails have equal UIDLs.
Users are `user1` … `user400`, all with the password `PASSWORD`.
"""

import fcntl
import os
import sys
from collections.abc import Iterable
from pathlib import Path

from tests.cluster.processes import free_ports, run
from tests.servers.private_mounts import PrivateServer

PASSWORD = "Käse-☃ 1€"
USERS = 400
_FIRST_UID = 65_000 - USERS
_MAIL_GROUP = 8


class Popa3d(PrivateServer):
    """One running server."""

    def __init__(self) -> None:
        (self.pop3_port,) = free_ports(1)
        super().__init__("popa3d")

    def start(self) -> None:
        """Starts it on its port, with its users and mails."""
        variables = {
            "MAIL": str(self._directory / "mail"),
            "USERS": str(self._directory / "passwd"),
            "CRYPTED": run(["openssl", "passwd", "-6", "-stdin"], input=PASSWORD).stdout.strip(),
            "PYTHON": sys.executable,
            "INETD": str(Path(__file__).with_name("popa3d_inetd.py")),
            "PORT": str(self.pop3_port),
        }
        self._run(ports=(self.pop3_port,), variables=variables)

    def fill(self, user: str, mails: Iterable[bytes]) -> None:
        """Appends mails to the mbox, under the lock that popa3d takes; not while a client is logged in."""
        with (self._directory / "mail" / user).open("ab") as mbox:
            fcntl.lockf(mbox, fcntl.LOCK_EX)
            for raw in mails:
                lines = raw.replace(b"\r\n", b"\n").removesuffix(b"\n").split(b"\n")
                mbox.write(b"From sender@mail.test Mon Jan  1 00:00:00 2024\n")
                mbox.writelines((b">" if line.startswith(b"From ") else b"") + line + b"\n" for line in lines)
                mbox.write(b"\n")

    def _write_files(self) -> None:
        """Mailboxes and users."""
        mail = self._directory / "mail"
        mail.mkdir()
        lines = []
        for n in range(1, USERS + 1):
            lines.append(f"user{n}:x:{_FIRST_UID + n}:{_MAIL_GROUP}::/nonexistent:/bin/sh\n")
            box = mail / f"user{n}"
            box.touch(mode=0o660)
            os.chown(box, _FIRST_UID + n, _MAIL_GROUP)
        mail.chmod(0o1777)
        (self._directory / "passwd").write_text("".join(lines))
