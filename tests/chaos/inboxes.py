"""The mailbox of a case as everybody but the fetcher sees it: past the proxies, and without the product's code."""

import hashlib
import itertools
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Protocol

from tests.servers import checker
from tests.servers.authority import Authority
from tests.servers.authority_model import TENANT
from tests.servers.dovecot import Dovecot
from tests.servers.graph import GraphFake
from tests.servers.graph_mailbox import Mailbox
from tests.servers.resolve import Addresses, child_environment

INBOX = "INBOX"


class Inbox(Protocol):
    """Mails are named by numbers: on IMAP their UIDs.

    Attributes:
        trash: The folder that Delete moves mails to; empty: they are gone.
    """

    trash: str

    def spec(self) -> dict[str, Any]:
        """Where it is and who opens it, as parts of a `spec`."""
        ...

    def secrets(self) -> dict[str, dict[str, str]]:
        """What the spec refers to."""
        ...

    def environment(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """What a fetcher needs in its environment to get here, together with what is given."""
        ...

    def fill(self, mails: Iterable[bytes], *, read: int = 0) -> None:
        """Mails come; the first few of the folder have been read already."""
        ...

    def mails(self, folder: str = INBOX) -> dict[int, checker.Original]:
        """What is in a folder now."""
        ...

    def flags(self) -> dict[int, set[str]]:
        """The same of INBOX without the contents."""
        ...

    def remove(self, number: int) -> None:
        """People remove a mail for good."""
        ...

    def number_anew(self, number: int) -> None:
        """What the fetcher remembers of its place is worth nothing any more: another UIDVALIDITY, an expired link."""
        ...

    def make_folder(self, name: str) -> None:
        """Makes it if there is none."""
        ...

    def complaints(self) -> list[str]:
        """What no correct client does and the fetcher did."""
        ...


class DovecotInbox:
    """On Dovecot, over IMAP or POP3."""

    trash = ""

    def __init__(self, dovecot: Dovecot, user: str, *, port: int, encrypted: bool) -> None:
        """Changes nothing.

        Args:
            dovecot: The server.
            user: Who is known there.
            port: Where the fetcher finds it (a proxy, as a rule).
            encrypted: With TLS; without, the proxy can read what passes.
        """
        self._dovecot = dovecot
        self._user = user
        self._server: dict[str, Any] = {"host": "127.0.0.1", "port": port}
        if not encrypted:
            self._server |= {"encryption": "None", "allowInsecureLogin": True}

    def spec(self) -> dict[str, Any]:
        auth = {"type": "Password", "username": self._user, "passwordSecretRef": {"name": "mailbox"}}
        return {"server": self._server, "auth": auth}

    def secrets(self) -> dict[str, dict[str, str]]:
        return {
            "mailbox": {"password": self._dovecot.password(self._user)},
            "ca": {"ca.crt": self._dovecot.certificates.ca.read_text()},
        }

    def environment(self, given: Mapping[str, str]) -> Mapping[str, str]:
        return given

    def fill(self, mails: Iterable[bytes], *, read: int = 0) -> None:
        self._dovecot.fill(self._user, mails)
        if read:
            with self._dovecot.client(self._user, folder=INBOX) as imap:
                imap.uid("STORE", f"1:{read}", "+FLAGS", r"(\Seen)")

    def mails(self, folder: str = INBOX) -> dict[int, checker.Original]:
        mailbox = checker.Mailbox(
            host="127.0.0.1",
            port=self._dovecot.imaps_port,
            user=self._user,
            password=self._dovecot.password(self._user),
            folder=folder,
            ca=self._dovecot.certificates.ca,
        )
        return checker.read_mailbox(mailbox)

    def flags(self) -> dict[int, set[str]]:
        return self._dovecot.flags(self._user)

    def remove(self, number: int) -> None:
        self._dovecot.expunge(self._user, number)

    def number_anew(self, number: int) -> None:
        self._dovecot.set_uid_validity(self._user, number)

    def make_folder(self, name: str) -> None:
        with self._dovecot.client(self._user) as imap:
            imap.create(name)  # says NO if there is one

    def complaints(self) -> list[str]:
        return []


class GraphInbox:
    """At the double of Microsoft Graph, opened with a refresh token that is replaced whenever it is used.

    Attributes:
        mailbox: There.
    """

    trash = "deleteditems"

    def __init__(self, graph: GraphFake, authority: Authority, user: str, *, addresses: Addresses, ca: Path) -> None:
        """Makes account and mailbox.

        Args:
            graph: Where the mails are.
            authority: Gives tokens; knows the client `app`.
            user: A name that nobody has.
            addresses: Where the fetcher finds both.
            ca: Whom it trusts.
        """
        self._graph = graph
        self._authority = authority
        self._user = user
        self._addresses = addresses
        self._ca = ca
        self._numbers: defaultdict[str, int] = defaultdict(itertools.count(1).__next__)
        self._lock = threading.Lock()
        self._before = (len(graph.faults), len(authority.faults))
        authority.account(user)
        scopes = [f"https://graph.microsoft.com/{scope}" for scope in ("Mail.Read", "Mail.ReadWrite")]
        self._refresh_token = authority.authorize("app", user, *scopes)
        self.mailbox: Mailbox = graph.mailbox(user)

    def number(self, id: str) -> int:
        """Of the mail with this immutable id."""
        with self._lock:
            return self._numbers[id]

    def spec(self) -> dict[str, Any]:
        oauth2 = {
            "clientSecretRef": {"name": "client"},
            "flow": "Delegated",
            "tokenSecretRef": {"name": "token"},
        }
        return {"auth": {"type": "MicrosoftOAuth2", "username": self._user, "oauth2": oauth2}}

    def secrets(self) -> dict[str, dict[str, str]]:
        return {
            "client": {"client-id": "app", "client-secret": "s", "tenant-id": TENANT},
            "token": {"refresh-token": self._refresh_token},
            "ca": {"ca.crt": self._ca.read_text()},
        }

    def environment(self, given: Mapping[str, str]) -> Mapping[str, str]:
        return child_environment(self._addresses, {**os.environ, **given})

    def fill(self, mails: Iterable[bytes], *, read: int = 0) -> None:
        with self.mailbox.lock:  # all of them at once, for whoever polls
            for raw in mails:
                self.mailbox.deliver(raw)
            for id_ in self.mailbox.ids()[:read]:
                self.mailbox.mark(id_, read=True)

    def mails(self, folder: str = INBOX) -> dict[int, checker.Original]:
        with self.mailbox.lock:
            found = [self.mailbox.mails[id_] for id_ in self.mailbox.ids(folder.lower() if folder == INBOX else folder)]
            return {
                self.number(mail.id): checker.Original(
                    sha256=hashlib.sha256(mail.raw).hexdigest(),
                    size=len(mail.raw),
                    flags=frozenset({"\\seen"} if mail.read else ()),
                )
                for mail in found
            }

    def flags(self) -> dict[int, set[str]]:
        return {number: set(mail.flags) for number, mail in self.mails().items()}

    def remove(self, number: int) -> None:
        self.mailbox.delete(next(id_ for id_ in self.mailbox.ids() if self.number(id_) == number))

    def number_anew(self, number: int) -> None:
        """Links expire; the names of the mails stay."""
        self.mailbox.expire_sync()

    def make_folder(self, name: str) -> None:
        try:
            self.mailbox.folder(name)
        except KeyError:
            self.mailbox.add_folder(name)

    def complaints(self) -> list[str]:
        graph, authority = self._before
        return [*self._graph.faults[graph:], *self._authority.faults[authority:]]
