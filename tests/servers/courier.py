"""A real Courier (IMAP and POP3) for tests: unpacked packages in namespaces of its own, free ports, Maildir; as root.

Users are `user1` … `user400`, all with the password `PASSWORD`.
"""

import os
import pwd
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from tests.cluster.processes import free_ports, run
from tests.servers.certs import Certificates
from tests.servers.private_mounts import PrivateServer

PASSWORD = "Käse-☃ 1€"
USERS = 400


class Courier(PrivateServer):
    """One running server. Folders are named `INBOX.Name` with the separator `.`; no MOVE, no UIDNEXT in SELECT."""

    def __init__(self, certificates: Certificates) -> None:
        self.imap_port, self.imaps_port, self.pop3_port, self.pop3s_port = free_ports(4)
        self._certificates = certificates
        self._account = pwd.getpwnam("nobody")
        self._delivered = 0
        super().__init__("courier")

    def start(self) -> None:
        """Starts it on its ports, with its users and mails."""
        ports = {"IMAP": self.imap_port, "IMAPS": self.imaps_port, "POP3": self.pop3_port, "POP3S": self.pop3s_port}
        variables = {
            "MAIL": str(self._directory / "mail"),
            "USERS": str(self._directory / "userdb"),
            "PEM": str(self._directory / "server.pem"),
            "ACCOUNT": self._account.pw_name,
            **{name: str(port) for name, port in ports.items()},
        }
        self._run(ports=tuple(ports.values()), variables=variables)

    def fill(self, user: str, mails: Iterable[bytes], *, folder: str = "INBOX") -> None:
        """Delivers mails through the Maildir; their UIDs follow their order."""
        path = self.maildir(user, folder)
        names: list[str] = []
        for raw in mails:
            self._delivered += 1
            names.append(f"{1_000_000_000 + self._delivered}.M{self._delivered:06d}P1.test")
            file = path / "tmp" / names[-1]
            file.write_bytes(raw.replace(b"\r\n", b"\n"))  # Courier's Maildirs hold lines that end with LF
            os.utime(file, (int(time.time()), 1_704_067_200 + self._delivered))
            os.chown(file, self._account.pw_uid, self._account.pw_gid)
        for name in names:
            (path / "tmp" / name).rename(path / "new" / name)

    def new_uid_validity(self, user: str, folder: str = "INBOX") -> None:
        """Forgets the UIDs of a folder: it gets another UIDVALIDITY when it is opened next."""
        time.sleep(1.1 - time.time() % 1)  # UIDVALIDITY is the second in which the file is made
        (self.maildir(user, folder) / "courierimapuiddb").unlink(missing_ok=True)

    def maildir(self, user: str, folder: str = "INBOX") -> Path:
        """Where the mails of a folder are (an ASCII name, as in `INBOX.Done`)."""
        path = self._directory / "mail" / user / "Maildir"
        return path if folder == "INBOX" else path / folder.removeprefix("INBOX")

    def _write_files(self) -> None:
        """Mailboxes, users, and the certificate with its key."""
        uid, gid = self._account.pw_uid, self._account.pw_gid
        crypted = run(["openssl", "passwd", "-6", "-stdin"], input=PASSWORD).stdout.strip()
        lines = []
        for user in (f"user{n}" for n in range(1, USERS + 1)):
            home = self._directory / "mail" / user
            for name in ("cur", "new", "tmp"):
                (home / "Maildir" / name).mkdir(parents=True)
            lines.append(f"{user}\thome={home}|mail={home}/Maildir|uid={uid}|gid={gid}|systempw={crypted}\n")
        for path in (self._directory / "mail").rglob("*"):
            os.chown(path, uid, gid)
        (self._directory / "userdb").write_text("".join(lines))
        with (self._directory / "server.pem").open("wb") as pem:
            for part in (self._certificates.key("server"), self._certificates.certificate("server")):
                with part.open("rb") as source:
                    shutil.copyfileobj(source, pem)
