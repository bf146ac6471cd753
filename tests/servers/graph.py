"""A double of Microsoft Graph mail: strict, stateful, over HTTPS, with faults on demand.

    with GraphFake(certificates=certificates, check=tokens.get) as fake:
        mailbox = fake.mailbox("u@contoso.com")
        id = mailbox.deliver(b"Subject: one\r\n\r\nHello\r\n")
        mailbox.fail("value", graph_faults.throttled("3"), times=2)
        with resolve({("graph.microsoft.com", 443): fake.port}):
            ...

Whatever no correct client does is kept in `faults` and fails the test at the end. There is no real server to test
against; the double follows what is documented and what users report.
"""

import ssl
import threading
from collections.abc import Collection, Mapping
from email.message import Message
from random import Random
from types import TracebackType
from typing import Literal, Self

from tests.servers.certs import Certificates
from tests.servers.graph_access import Check
from tests.servers.graph_faults import Fault, Plan
from tests.servers.graph_http import GraphServer
from tests.servers.graph_mailbox import Mailbox
from tests.servers.graph_running import Running, Seen
from tests.servers.resolve import GRAPHS

__all__ = ["GraphFake"]


class GraphFake:
    """Listens on a free port of 127.0.0.1; which cloud it plays says the Host header.

    Args:
        certificates: Its own must cover `hosts`.
        check: Tells what is known of an access token; `Authority.look_up` or a dictionary's `get`.
        hosts: The names that it serves.
        chaotic: Makes delta rounds as untidy as is allowed.
    """

    def __init__(
        self,
        *,
        certificates: Certificates,
        check: Check,
        hosts: Collection[str] = GRAPHS,
        chaotic: Random | None = None,
    ) -> None:
        self.check = check
        self.hosts = frozenset(hosts)
        self.chaotic = chaotic
        self.policy: set[str] | None = None
        """The mailboxes that applications may open; None: all."""
        self.counts = True
        """False: `$count` is answered with -1."""
        self.immutable = True
        """False: the wish for immutable ids is ignored."""
        self.changes: Literal["told", "quiet", "ordinary"] = "told"
        """Of delta alone: `quiet` does not say that it gives immutable ids, `ordinary` does not give them."""
        self.demanded: Mapping[str, object] = {}
        """Claims that a token's request must have asked for; others are challenged."""
        self.faults: list[str] = []
        self.requests: list[Seen] = []
        self.bytes_sent = 0
        self.lock = threading.RLock()
        self.told = threading.Condition(self.lock)
        self.plan = Plan(self.lock)
        self._mailboxes: dict[str, Mailbox] = {}
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate("server"), certificates.key("server"))
        self._server = GraphServer(self, context)
        self.port = int(self._server.server_address[1])
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.plan.clear()
        self._server.end()
        if error is None and self.faults:
            raise AssertionError(f"the fake Graph saw: {self.faults}")

    def mailbox(self, address: str) -> Mailbox:
        """The mailbox of that address; made if there is none."""
        with self.lock:
            if address.lower() not in self._mailboxes:
                self._mailboxes[address.lower()] = Mailbox(address, lock=self.lock, plan=self.plan)
            return self._mailboxes[address.lower()]

    def find(self, address: str) -> Mailbox | None:
        return self._mailboxes.get(address.lower())

    def fail(self, endpoint: str, fault: Fault, *, times: int | None = 1, skip: int = 0, id: str = "") -> None:
        """Plans a fault.

        Args:
            endpoint: One of graph_faults.ENDPOINTS, or `*` for all.
            fault: See graph_faults.py.
            times: How often; None: always.
            skip: Requests that go well before.
            id: Only requests for this mail or folder, as their path names it.
        """
        self.plan.add(endpoint, fault, times=times, skip=skip, id=id)

    def count(self, endpoint: str) -> int:
        """How often an endpoint was asked, refusals included."""
        with self.lock:
            return sum(seen.endpoint == endpoint for seen in self.requests)

    def await_request(self, endpoint: str, *, times: int = 1) -> None:
        """Returns when an endpoint was asked so many times."""
        with self.told:
            assert self.told.wait_for(lambda: self.count(endpoint) >= times, timeout=60), self.requests

    def begin(self, method: str, target: str, *, headers: Message, body: bytes) -> Running:
        return Running(self, method, target, headers=headers, body=body)
