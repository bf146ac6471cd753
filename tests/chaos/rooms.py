"""The servers that cases share, and the mailbox of one case on them, with proxies before it."""

import itertools
import random
from dataclasses import dataclass
from typing import Final

from tests.chaos import judge, stores
from tests.chaos.catalogue import Server
from tests.chaos.framing import Http, Imap, Pop3
from tests.chaos.inboxes import DovecotInbox, GraphInbox, Inbox
from tests.chaos.sealed import Seal
from tests.chaos.stores import Kind, Store
from tests.chaos.tap import Tap
from tests.chaos.trap import Trap
from tests.chaos.world import Protocol
from tests.servers.authority import Authority
from tests.servers.certs import Certificates
from tests.servers.dovecot import Dovecot
from tests.servers.graph import GraphFake

WORN = 25
"""Cases after which a store is replaced: its append-only file is read for each."""
PROTOCOLS: Final[dict[Server, Protocol]] = {
    "imap": "IMAP",
    "imap-old": "IMAP",
    "pop3": "POP3",
    "graph": "MicrosoftGraph",
    "graph-untidy": "MicrosoftGraph",
}
LOGIN, GRAPH = "login.microsoftonline.com", "graph.microsoft.com"
NO_MOVE = "IMAP4rev1 SASL-IR UIDPLUS IDLE ESEARCH"


@dataclass(frozen=True, kw_only=True)
class Room:
    """The mailbox of a case.

    Attributes:
        mail: The proxy before its server; it records what touches the mailbox.
        login: The proxy before whoever gives tokens, if there is one.
    """

    user: str
    inbox: Inbox
    mail: Tap
    login: tuple[Tap, ...] = ()


class Rooms:
    """The servers; started when first needed."""

    def __init__(self, certificates: Certificates) -> None:
        """Starts nothing yet.

        Args:
            certificates: They cover the names of Microsoft.
        """
        self._certificates = certificates
        self._dovecots: dict[bool, Dovecot] = {}
        self._stores: dict[Kind, Store] = {}
        self._tenant: tuple[Authority, GraphFake] | None = None
        self._numbers = itertools.count(1)

    def room(self, server: Server, trap: Trap, rng: random.Random) -> Room:
        """A mailbox that nobody had before."""
        number = next(self._numbers)
        if PROTOCOLS[server] == "MicrosoftGraph":
            return self._at_graph(f"chaos{number}@contoso.com", trap, chaotic=rng if server == "graph-untidy" else None)
        return self._on_dovecot(f"chaos{number}@mail.test", server, trap)

    def store(self, kind: Kind) -> Store:
        """The Redis of a case."""
        found = self._stores.get(kind)
        if found and found.used >= WORN:
            self._stores.pop(kind).stop()
            found = None
        if found is None:
            found = self._stores[kind] = stores.start(kind)
        found.used += 1
        return found

    def close(self) -> None:
        for server in self._dovecots.values():
            server.stop()
        for store in self._stores.values():
            store.stop()
        for double in self._tenant or ():
            double.__exit__(None, None, None)

    def _on_dovecot(self, user: str, server: Server, trap: Trap) -> Room:
        old = server == "imap-old"
        if old not in self._dovecots:
            self._dovecots[old] = Dovecot(self._certificates, capability=NO_MOVE if old else "")
            self._dovecots[old].start()
        dovecot = self._dovecots[old]
        dovecot.add_user(user, "pass")
        if server == "pop3":
            touches = judge.TOUCHES["POP3"]
            tap = Tap(dovecot.pop3_port, via="mail", framing=Pop3, trap=trap, record=touches, answers="^(?i:UIDL)")
        else:
            tap = Tap(dovecot.imap_port, via="mail", framing=Imap, trap=trap, record=judge.TOUCHES["IMAP"])
        return Room(user=user, inbox=DovecotInbox(dovecot, user, port=tap.port, encrypted=False), mail=tap)

    def _at_graph(self, user: str, trap: Trap, *, chaotic: random.Random | None) -> Room:
        if self._tenant is None:
            authority = Authority(self._certificates)
            authority.register_client("app", secret="s")
            self._tenant = authority, GraphFake(certificates=self._certificates, check=authority.look_up)
        authority, graph = self._tenant
        graph.chaotic = chaotic
        mail = Tap(
            graph.port,
            via="mail",
            framing=Http,
            trap=trap,
            record=judge.TOUCHES["MicrosoftGraph"],
            seal=Seal(certificates=self._certificates, host=GRAPH),
        )
        seal = Seal(certificates=self._certificates, host=LOGIN)
        login = Tap(authority.port, via="login", framing=Http, trap=trap, seal=seal)
        addresses = {(GRAPH, 443): mail.port, (LOGIN, 443): login.port}
        inbox = GraphInbox(graph, authority, user, addresses=addresses, ca=self._certificates.ca)
        return Room(user=user, inbox=inbox, mail=mail, login=(login,))
