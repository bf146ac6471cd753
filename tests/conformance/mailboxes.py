"""The mail servers of the suite behind one interface: a mailbox that can be filled, looked at and changed by others.

What a server cannot do stands in its `lacks`: what is missing → why. Tests skip by it and so name it.
"""

import contextlib
import imaplib
import itertools
import ssl
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import pytest

from tests.conformance import raw_imap, raw_pop3
from tests.conformance.raw_imap import Held
from tests.servers import courier, greenmail, popa3d
from tests.servers.certs import Certificates
from tests.servers.courier import Courier
from tests.servers.dovecot import Dovecot
from tests.servers.greenmail import GreenMail
from tests.servers.popa3d import Popa3d

Protocol = Literal["IMAP", "POP3"]
Encryption = Literal["TLS", "StartTLS", "None"]
ENCRYPTIONS: tuple[Encryption, ...] = ("TLS", "StartTLS", "None")


class Server(ABC):
    """A running server.

    Attributes:
        name: Its name.
        lacks: What it cannot do: what → why.
        separator: Between the names of nested folders.
        prefix: Before every folder name but INBOX, for IMAP clients.
    """

    name: str
    lacks: Mapping[str, str]
    separator = "/"
    prefix = ""

    def __init__(self, certificates: Certificates) -> None:
        self.certificates = certificates
        self._numbers = itertools.count(1)

    @abstractmethod
    def port(self, protocol: Protocol, encryption: Encryption) -> int:
        """Where it listens."""

    @abstractmethod
    def new_user(self) -> tuple[str, str]:
        """A user with an empty mailbox, and the password."""

    @abstractmethod
    def deliver(self, user: str, mails: Sequence[bytes]) -> None:
        """Puts mails into INBOX as a mail server does: with any bytes that it keeps."""

    def restart(self) -> None:
        """Cuts all connections and starts anew, with the mails."""
        raise NotImplementedError

    def change_uid_validity(self, user: str, folder: str) -> None:
        """In place, while the mails stay. `folder` as IMAP writes it."""
        raise NotImplementedError


class DovecotServer(Server):
    """Dovecot."""

    name = "Dovecot"
    lacks: Mapping[str, str] = {}

    def __init__(self, certificates: Certificates, dovecot: Dovecot) -> None:
        super().__init__(certificates)
        self._dovecot = dovecot

    def port(self, protocol: Protocol, encryption: Encryption) -> int:
        ports = {"IMAP": ("imap_port", "imaps_port"), "POP3": ("pop3_port", "pop3s_port")}
        return int(getattr(self._dovecot, ports[protocol][encryption == "TLS"]))

    def new_user(self) -> tuple[str, str]:
        user = f"grün{next(self._numbers)}@mail.test"
        self._dovecot.add_user(user, "Käse-☃ 1€")
        return user, "Käse-☃ 1€"

    def deliver(self, user: str, mails: Sequence[bytes]) -> None:
        self._dovecot.fill(user, mails, received=datetime.now(UTC))

    def restart(self) -> None:
        self._dovecot.restart()

    def change_uid_validity(self, user: str, folder: str) -> None:
        self._dovecot.set_uid_validity(user, 1_000_000 + next(self._numbers), folder=folder)


class CourierServer(Server):
    """Courier."""

    name = "Courier"
    lacks: Mapping[str, str] = {}
    separator = "."
    prefix = "INBOX."

    def __init__(self, certificates: Certificates, courier: Courier) -> None:
        super().__init__(certificates)
        self._courier = courier

    def port(self, protocol: Protocol, encryption: Encryption) -> int:
        ports = {"IMAP": ("imap_port", "imaps_port"), "POP3": ("pop3_port", "pop3s_port")}
        return int(getattr(self._courier, ports[protocol][encryption == "TLS"]))

    def new_user(self) -> tuple[str, str]:
        return f"user{next(self._numbers)}", courier.PASSWORD

    def deliver(self, user: str, mails: Sequence[bytes]) -> None:
        self._courier.fill(user, mails)

    def restart(self) -> None:
        self._courier.restart()

    def change_uid_validity(self, user: str, folder: str) -> None:
        self._courier.new_uid_validity(user, folder)


class GreenMailServer(Server):
    """GreenMail."""

    name = "GreenMail"
    lacks: Mapping[str, str] = {
        "STARTTLS": "GreenMail offers neither STARTTLS nor STLS",
        "UTF-8 passwords": "GreenMail reads passwords as ASCII",
        "mails that survive a restart": "GreenMail keeps mails in memory",
        "UIDVALIDITY that can be changed": "GreenMail changes UIDVALIDITY only by deleting the folder",
        "TOP": "GreenMail does not announce TOP, so the dates of mails are not known before they are downloaded",
        "POP3 numbers that stay": "GreenMail numbers mails anew in a session when another one removes some",
        "any bytes": "GreenMail takes mails only over IMAP and SMTP, which know no NUL",
    }
    separator = "."

    def __init__(self, certificates: Certificates, greenmail: GreenMail) -> None:
        super().__init__(certificates)
        self._greenmail = greenmail

    def port(self, protocol: Protocol, encryption: Encryption) -> int:
        ports = {"IMAP": ("imap_port", "imaps_port"), "POP3": ("pop3_port", "pop3s_port")}
        return int(getattr(self._greenmail, ports[protocol][encryption == "TLS"]))

    def new_user(self) -> tuple[str, str]:
        user = f"user{next(self._numbers)}"
        self._greenmail.add_user(user, greenmail.PASSWORD)
        return user, greenmail.PASSWORD

    def deliver(self, user: str, mails: Sequence[bytes]) -> None:
        port = self.port("IMAP", "None")
        with raw_imap.login(port=port, context=None, user=user, password=greenmail.PASSWORD) as imap:
            for raw in mails:
                raw_imap.append(imap, "INBOX", raw)


class Popa3dServer(Server):
    """popa3d."""

    name = "popa3d"
    lacks: Mapping[str, str] = {
        "IMAP": "popa3d speaks POP3 only",
        "TLS": "popa3d has no TLS",
        "STARTTLS": "popa3d has no TLS",
    }

    def __init__(self, certificates: Certificates, popa3d: Popa3d) -> None:
        super().__init__(certificates)
        self._popa3d = popa3d

    def port(self, protocol: Protocol, encryption: Encryption) -> int:
        return self._popa3d.pop3_port

    def new_user(self) -> tuple[str, str]:
        return f"user{next(self._numbers)}", popa3d.PASSWORD

    def deliver(self, user: str, mails: Sequence[bytes]) -> None:
        self._popa3d.fill(user, mails)

    def restart(self) -> None:
        self._popa3d.restart()


NAMES = ("Dovecot", "Courier", "GreenMail", "popa3d")


@contextlib.contextmanager
def running(name: str, certificates: Certificates) -> Iterator[Server]:
    """Starts a server."""
    match name:
        case "Dovecot":
            with Dovecot(certificates) as dovecot:
                yield DovecotServer(certificates, dovecot)
        case "Courier":
            with Courier(certificates) as running_courier:
                yield CourierServer(certificates, running_courier)
        case "GreenMail":
            with GreenMail(certificates) as running_greenmail:
                yield GreenMailServer(certificates, running_greenmail)
        case "popa3d":
            with Popa3d() as running_popa3d:
                yield Popa3dServer(certificates, running_popa3d)
        case _:
            raise ValueError(name)


@dataclass(frozen=True, kw_only=True)
class Mailbox:
    """The mailbox of one user, and how the product reaches it."""

    server: Server
    protocol: Protocol
    encryption: Encryption
    user: str
    password: str

    @property
    def port(self) -> int:
        return self.server.port(self.protocol, self.encryption)

    def need(self, what: str) -> None:
        """Skips the test if the server cannot do that."""
        if why := self.server.lacks.get(what):
            pytest.skip(f"no {what}: {why}")

    def need_imap(self, what: str) -> None:
        """Skips the test on POP3, which lacks that."""
        if self.protocol != "IMAP":
            pytest.skip(f"no {what}: POP3 knows none")

    def fill(self, mails: Sequence[bytes]) -> None:
        """Delivers mails to INBOX."""
        self.server.deliver(self.user, mails)

    def read(self, folder: str = "INBOX") -> list[Held]:
        """What the mailbox holds, read by another program over the same protocol."""
        if self.protocol == "POP3":
            with self.pop3() as pop3:
                return raw_pop3.read(pop3)
        with self.imap() as imap:
            return raw_imap.read(imap, folder)

    def remove(self, numbers: Sequence[int]) -> None:
        """Another program removes mails of INBOX, named by `Held.uid`."""
        if self.protocol == "POP3":
            with self.pop3() as pop3:
                raw_pop3.remove(pop3, numbers)
        else:
            with self.imap() as imap:
                raw_imap.expunge(imap, "INBOX", numbers)

    def folder(self, *names: str) -> str:
        """The name of a nested folder as this server's clients write it (ASCII or modified UTF-7)."""
        return self.server.prefix + self.server.separator.join(names)

    @contextlib.contextmanager
    def imap(self) -> Iterator[imaplib.IMAP4]:
        """Another IMAP session of the user."""
        with raw_imap.login(**self._access("IMAP")) as session:
            yield session

    @contextlib.contextmanager
    def pop3(self) -> Iterator[raw_pop3.Pop3]:
        """Another POP3 session of the user."""
        with raw_pop3.login(**self._access("POP3")) as session:
            yield session

    def _access(self, protocol: Protocol) -> dict[str, Any]:
        context = None
        if "TLS" not in self.server.lacks:
            context = ssl.create_default_context(cafile=str(self.server.certificates.ca))
        port = self.server.port(protocol, "TLS" if context else "None")
        return {"port": port, "context": context, "user": self.user, "password": self.password}
