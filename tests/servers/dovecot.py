"""A real Dovecot 2.3 for tests (IMAP and POP3): own directory, free ports, Maildir; it dies with the test runner.

Users are `user1@mail.test` … `user50@mail.test` with passwords `pass1` … `pass50`, and whoever `add_user` adds (any
UTF-8 name and password). As root it runs as `nobody`, else as the current user.
"""

import base64
import contextlib
import grp
import imaplib
import os
import pwd
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path
from string import Template
from types import TracebackType
from typing import Literal, Self

from tests.cluster.processes import free_ports, run
from tests.servers.certs import Certificates, Kind
from tests.servers.dovecot_oauth2 import OAuth2, write_settings
from tests.servers.mailgen import FIRST_DATE

DOVECOT, DOVEADM = "/usr/sbin/dovecot", "/usr/bin/doveadm"
DEADLINE = 60.0
CONFIG = Template(Path(__file__).with_name("dovecot.conf").read_text())


class Dovecot:
    """One running server. Use it as a context manager, or call `start` and `stop`."""

    def __init__(
        self,
        certificates: Certificates,
        *,
        listen: str = "127.0.0.1",
        separator: str = "/",
        prefix: str = "",
        secure_only: bool = False,
        capability: str = "",
        uidl_format: str = "%08Xu%08Xv",
        uidl_duplicates: Literal["allow", "rename"] = "allow",
        lock_session: bool = False,
        oauth2: OAuth2 | None = None,
    ) -> None:
        """Prepares it.

        Args:
            certificates: From `certs.make_certificates`.
            listen: Addresses separated by commas; `0.0.0.0` to be reached from pods.
            separator: Separator of folder names.
            prefix: Prefix of the personal namespace, for example `INBOX.`.
            secure_only: Announces LOGINDISABLED without TLS (not on connections from an address to itself:
                listen on 127.0.0.1 and connect to it from 127.0.0.2, or the other way round).
            capability: Replaces the IMAP capabilities after login, in order to hide some.
            uidl_format: How POP3 makes UIDLs; `%v`, for example, gives all mails of a mailbox the same one.
            uidl_duplicates: What POP3 does with UIDLs that occur twice.
            lock_session: Only one POP3 session for each mailbox.
            oauth2: Also accepts tokens, about which it asks an authority; their users need not be added.
        """
        self.certificates = certificates
        self.certificate: Kind = "server"
        self.listen = listen
        self.host = "127.0.0.1" if listen == "0.0.0.0" else listen.split(",")[0].strip()
        self.imap_port, self.imaps_port, self.pop3_port, self.pop3s_port = free_ports(4)
        # Not pytest's own directory: the paths of Dovecot's sockets must stay below 108 characters.
        self.directory = Path(tempfile.mkdtemp(prefix="mail-"))
        self._options = {"separator": separator, "prefix": prefix, "capability": capability}
        self._options["secure_only"] = "yes" if secure_only else "no"
        self._options |= {"uidl_format": uidl_format, "uidl_duplicates": uidl_duplicates}
        self._options["lock_session"] = "yes" if lock_session else "no"
        self._options |= write_settings(oauth2, self.directory)
        self._root = os.geteuid() == 0
        self._account = pwd.getpwnam("nobody") if self._root else pwd.getpwuid(os.geteuid())
        self._process: subprocess.Popen[bytes] | None = None
        self._delivered = 0
        (self.directory / "mail").mkdir()
        (self.directory / "users").mkdir()
        (self.directory / "masters").mkdir()
        self._passwords: dict[str, str] = {}
        for n in range(1, 51):
            self._write_user(f"user{n}@mail.test", f"pass{n}")

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    # ---- running ----

    def start(self, *, certificate: Kind | None = None) -> None:
        """Starts it and returns when it answers; with another certificate from now on if one is given."""
        self.certificate = certificate or self.certificate
        self._write_config()
        for path in (self.directory, *self.directory.rglob("*")):
            self._own_one(path)
        command = ["setpriv", "--pdeathsig", "TERM"]
        if self._root:
            command += [f"--reuid={self._account.pw_uid}", f"--regid={self._account.pw_gid}", "--clear-groups"]
        with open(self.directory / "output", "ab") as output:
            self._process = subprocess.Popen(
                [*command, DOVECOT, "-F", "-c", str(self._config)],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        self._await_greeting()

    def halt(self) -> None:
        """Stops the server; mails, users and ports stay for the next `start`."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGTERM)
        try:
            self._process.wait(timeout=DEADLINE)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def restart(self, *, certificate: Kind | None = None) -> None:
        """Cuts every connection and starts anew."""
        self.halt()
        self.start(certificate=certificate)

    def stop(self) -> None:
        """Ends the server at once and removes everything."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None
        shutil.rmtree(self.directory, ignore_errors=True)

    @property
    def log(self) -> str:
        """What Dovecot wrote, for messages of failed tests."""
        names = (self.directory / "output", self.directory / "log")
        return "".join(name.read_text(errors="replace") for name in names if name.exists())

    # ---- users ----

    def add_user(self, user: str, password: str) -> None:
        """Adds a user, or changes the password, without a restart; returns when Dovecot knows."""
        known = user in self._passwords
        self._write_user(user, password)
        deadline = time.monotonic() + DEADLINE
        while known and self._process and not self._accepts(user, password) and time.monotonic() < deadline:
            time.sleep(0.05)  # Dovecot looks at the file of a user at most once a second

    def add_master(self, user: str, password: str) -> None:
        """Somebody who may open every mailbox by naming its owner as the authorization identity (SASL PLAIN)."""
        self._write_password("masters", user, password)

    def password(self, user: str) -> str:
        return self._passwords[user]

    # ---- mails ----

    def fill(
        self, user: str, mails: Iterable[bytes], *, folder: str = "INBOX", received: datetime = FIRST_DATE
    ) -> list[bytes]:
        """Delivers mails through the Maildir, thousands in a second; UIDs follow their order. Returns them.

        `received` becomes INTERNALDATE of the first; each further one is a second later.
        """
        path = self._maildir(user, folder)
        delivered = list(mails)
        names: list[str] = []
        for raw in delivered:
            self._delivered += 1
            seconds = int(received.timestamp()) + len(names)
            name = f"{1_000_000_000 + self._delivered}.M{self._delivered:06d}P1.test"
            file = path / "tmp" / name
            file.write_bytes(raw)
            os.utime(file, (seconds, seconds))
            self._own_one(file)
            names.append(name)
        for name in names:
            (path / "tmp" / name).rename(path / "new" / name)
        return delivered

    def make_unreadable(self, user: str, position: int, *, folder: str = "INBOX") -> None:
        """The storage cannot read one of the mails that were filled in (from 0), and does not know its size either."""
        sorted((self._maildir(user, folder) / "new").iterdir())[position].chmod(0)

    def deliver(self, user: str, raw: bytes, *, folder: str = "INBOX") -> None:
        """Delivers one mail now, as a mail server does; a client in IDLE is told within about half a second."""
        self.fill(user, [raw], folder=folder, received=datetime.fromtimestamp(time.time()).astimezone())

    def append(self, user: str, raw: bytes, *, folder: str = "INBOX", flags: str = "") -> None:
        """Appends one mail over IMAP, with flags if wanted."""
        with self.client(user) as imap:
            _ok(imap.append(f'"{folder}"', flags, "", raw))

    @contextlib.contextmanager
    def client(self, user: str, *, folder: str = "") -> Iterator[imaplib.IMAP4]:
        """Another mail program: a logged-in imaplib client, with a folder selected if one is named."""
        context = ssl.create_default_context(cafile=str(self.certificates.ca))
        context.check_hostname = False  # also while the server shows its wrong certificate
        context.verify_mode = ssl.CERT_NONE
        with imaplib.IMAP4_SSL(self.host, self.imaps_port, ssl_context=context, timeout=DEADLINE) as imap:
            secret = f"\0{user}\0{self._passwords[user]}".encode()
            _ok(imap.authenticate("PLAIN", lambda _: secret))
            if folder:
                _ok(imap.select(f'"{folder}"'))
            yield imap

    def flags(self, user: str, *, folder: str = "INBOX") -> dict[int, set[str]]:
        """Flags by UID, in lower case and without Recent."""
        out = self.doveadm("-f", "tab", "fetch", "-u", user, "uid flags", "mailbox", folder, "all")
        rows = [line.split("\t") for line in out.splitlines()[1:]]
        return {int(uid): set(names.lower().split()) - {"\\recent"} for uid, names in rows}

    def create_folder(self, user: str, folder: str) -> None:
        self.doveadm("mailbox", "create", "-u", user, folder)

    def delete_folder(self, user: str, folder: str) -> None:
        self.doveadm("mailbox", "delete", "-u", user, folder)

    def expunge(self, user: str, uid: int, *, folder: str = "INBOX") -> None:
        """Removes one mail, as another mail program does."""
        self.doveadm("expunge", "-u", user, "mailbox", folder, "uid", str(uid))

    def set_uid_validity(self, user: str, value: int, *, folder: str = "INBOX") -> None:
        """Changes UIDVALIDITY; sessions that have the folder open are cut."""
        self.doveadm("mailbox", "update", "-u", user, "--uid-validity", str(value), folder)

    def set_next_uid(self, user: str, value: int, *, folder: str = "INBOX") -> None:
        """Makes the next mail get at least this UID."""
        self.doveadm("mailbox", "update", "-u", user, "--min-next-uid", str(value), folder)

    def doveadm(self, *arguments: str) -> str:
        """Dovecot's own administration command; returns its output."""
        return run([DOVEADM, "-c", self._config, *arguments]).stdout

    # ---- inside ----

    @property
    def _config(self) -> Path:
        return self.directory / "dovecot.conf"

    def _write_config(self) -> None:
        account = self._account
        self._config.write_text(
            CONFIG.substitute(
                run=self.directory,
                name=self.directory.name,
                listen=self.listen,
                user=account.pw_name,
                group=grp.getgrgid(account.pw_gid).gr_name,
                uid=account.pw_uid,
                gid=account.pw_gid,
                certificate=self._copied(self.certificates.certificate(self.certificate)),
                key=self._copied(self.certificates.key(self.certificate)),
                imap=self.imap_port,
                imaps=self.imaps_port,
                pop3=self.pop3_port,
                pop3s=self.pop3s_port,
                **self._options,
            )
        )

    def _copied(self, file: Path) -> Path:
        """Dovecot's user may not read the directory of the certificates."""
        return Path(shutil.copy(file, self.directory / file.name))

    def _write_user(self, user: str, password: str) -> None:
        """A file for each user: a new one is known at once."""
        self._passwords[user] = password
        self._write_password("users", user, password)

    def _write_password(self, kind: str, user: str, password: str) -> None:
        file = self.directory / kind / user
        secret = base64.b64encode(password.encode()).decode()
        file.write_text(f"{user}:{{PLAIN.b64}}{secret}::::::\n")
        self._own_one(file)

    def _accepts(self, user: str, password: str) -> bool:
        return run([DOVEADM, "-c", self._config, "auth", "test", user, password], check=False).returncode == 0

    def _maildir(self, user: str, folder: str) -> Path:
        path = self.directory / "mail" / user / "Maildir"
        if folder.upper() != "INBOX":
            path = Path(self.doveadm("mailbox", "path", "-u", user, folder).strip())
        for name in ("cur", "new", "tmp"):
            (path / name).mkdir(parents=True, exist_ok=True)
        for owned in (self.directory / "mail" / user, path.parent, path, *path.iterdir()):
            self._own_one(owned)
        return path

    def _own_one(self, path: Path) -> None:
        if self._root:
            with contextlib.suppress(FileNotFoundError):  # a running Dovecot has renamed or removed it meanwhile
                os.chown(path, self._account.pw_uid, self._account.pw_gid, follow_symlinks=False)

    def _await_greeting(self) -> None:
        deadline = time.monotonic() + DEADLINE
        while time.monotonic() < deadline:
            with contextlib.suppress(OSError), socket.create_connection((self.host, self.imap_port), timeout=5) as s:
                if s.recv(100).startswith(b"* OK"):
                    return
            if self._process is None or self._process.poll() is not None:
                break
            time.sleep(0.05)
        raise RuntimeError(f"Dovecot did not start:\n{self.log}")


def _ok(answer: tuple[str, object]) -> None:
    if answer[0] != "OK":
        raise RuntimeError(f"IMAP answered {answer!r}")
