"""A request to the Graph double, from its first line to the last byte of its answer."""

import dataclasses
import gzip
from dataclasses import dataclass
from email.message import Message
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from tests.servers.graph_access import address, allow, bearing
from tests.servers.graph_api import respond
from tests.servers.graph_call import Call, parse
from tests.servers.graph_faults import Fault
from tests.servers.graph_mailbox import Mailbox
from tests.servers.graph_schema import Answer, Refused, Wrong, bad_request

if TYPE_CHECKING:
    from tests.servers.graph import GraphFake

CONCURRENT = 4
"""Requests that one mailbox serves at once."""


@dataclass(kw_only=True, eq=False)
class Seen:
    """A request as tests see it, without its token. `status` is 0 until it is answered."""

    method: str
    path: str
    query: str
    endpoint: str = ""
    mailbox: str = ""
    status: int = 0


class Running:
    def __init__(self, fake: "GraphFake", method: str, target: str, *, headers: Message, body: bytes) -> None:
        self.fault: Fault | None = None
        self._fake = fake
        self._mailbox: Mailbox | None = None
        self._call: Call | None = None
        self._refusal: Refused | None = None
        url = urlsplit(target)
        self._seen = Seen(method=method, path=url.path, query=url.query)
        try:
            call = parse(method, target, headers=headers, body=body)
            self._call = dataclasses.replace(call, ordinary=not fake.immutable or self._is_odd(call, "ordinary"))
            self._seen.endpoint = self._call.endpoint
            self._admit(self._call)
        except Refused as e:
            self._refuse(e)
        with fake.told:
            fake.requests.append(self._seen)
            fake.told.notify_all()

    def _admit(self, call: Call) -> None:
        fake = self._fake
        if call.host not in fake.hosts:
            raise bad_request(f"There is no Graph at {call.host!r}.")
        who = bearing(call, fake.check, demanded=fake.demanded)
        call.check()
        if not call.wants_immutable and call.endpoint != "me":
            fake.faults.append(f"{call.method} {self._seen.path}: without Prefer: IdType")
        mailbox = fake.find(address(call, who))
        if mailbox is None:
            raise Refused(404, "ErrorInvalidUser", f"The requested user '{call.user}' is invalid.")
        self._seen.mailbox = mailbox.address
        allow(call, who, mailbox, policy=fake.policy)
        with fake.lock:
            self._mailbox = mailbox
            mailbox.running += 1
            mailbox.highest = max(mailbox.highest, mailbox.running)
            if mailbox.running > CONCURRENT:
                text = "Application is over its MailboxConcurrency limit."
                raise Refused(429, "ApplicationThrottled", text, Retry_After="1")
        self.fault = fake.plan.take(call.endpoint, mailbox=mailbox.address, id=call.id)
        if not mailbox.enabled:
            text = "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
            raise Refused(404, "MailboxNotEnabledForRESTAPI", text)

    def answer(self, *, instead: Answer | None = None) -> Answer:
        """Carries the request out, unless another answer is to be given."""
        answer = instead or self._answer()
        self._seen.status = answer.status
        if self._call is None:
            return answer
        silent = answer.status >= 400 or self._is_odd(self._call, "quiet", "ordinary")
        applied = {} if silent else self._call.applied
        answer = dataclasses.replace(answer, headers={**applied, **answer.headers})
        return _zipped(answer) if "gzip" in self._call.headers.get("Accept-Encoding", "") and not instead else answer

    def _is_odd(self, call: Call, *ways: str) -> bool:
        return call.endpoint.startswith("delta") and self._fake.changes in ways

    def _answer(self) -> Answer:
        if self._refusal is None:
            assert self._call is not None
            assert self._mailbox is not None
            try:
                with self._fake.lock:
                    return respond(self._call, self._mailbox, chaos=self._fake.chaotic, counts=self._fake.counts)
            except Refused as e:
                self._refuse(e)
        assert self._refusal is not None
        return self._refusal.answer()

    def _refuse(self, error: Refused) -> None:
        self._refusal = error
        if isinstance(error, Wrong):
            self._fake.faults.append(f"{self._seen.method} {self._seen.path}: {error.message}")

    def done(self) -> None:
        """The request is over; may be called twice."""
        if self._mailbox:
            with self._fake.lock:
                self._mailbox.running -= 1
            self._mailbox = None


def _zipped(answer: Answer) -> Answer:
    if not answer.kind.startswith("application/json") or not answer.body:
        return answer
    headers = {**answer.headers, "Content-Encoding": "gzip"}
    return dataclasses.replace(answer, body=gzip.compress(answer.body, compresslevel=1), headers=headers)
