"""A real popa3d (POP3 over mbox) for tests: an unpacked package in namespaces of its own, a free port; as root.

It knows neither CAPA nor TLS, and its UIDLs are hashes of headers: equal mails have equal UIDLs.
Users are `user1` … `user400`, all with the password `PASSWORD`.
"""

import fcntl
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.cluster.processes import free_ports, run
from tests.servers.private_mounts import PrivateServer, installed

PASSWORD = "Käse-☃ 1€"
USERS = 400
_FIRST_UID = 65_000 - USERS
_MAIL_GROUP = 8


class Popa3d:
    """One running server."""

    def __init__(self) -> None:
        (self.pop3_port,) = free_ports(1)
        self._directory = Path(tempfile.mkdtemp(prefix="mail-"))
        self._directory.chmod(0o755)
        script = Path(__file__).with_name("popa3d_inside.sh")
        self._server = PrivateServer(unpacked=installed("popa3d"), directory=self._directory, script=script)

    def __enter__(self) -> Self:
        self._write_files()
        try:
            self.start()
        except BaseException:
            self._server.remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.remove()

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
        self._server.start(ports=(self.pop3_port,), variables=variables)

    def restart(self) -> None:
        """Cuts every connection and starts anew."""
        self._server.stop()
        self.start()

    @property
    def log(self) -> str:
        return self._server.log

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
