"""What a test makes the Graph double do wrong, and how often."""

import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

from tests.servers.graph_schema import Answer, error, insufficient_claims

ENDPOINTS = (
    *("me", "folder", "folders", "children", "list", "delta", "delta_next", "delta_link"),
    *("message", "value", "patch", "move", "delete", "permanent_delete"),
)
"""`delta` is the first request of a round from the beginning, `delta_next` a nextLink, `delta_link` a deltaLink."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Fault:
    """One way to go wrong."""

    dropped: bool = False
    """The connection ends before the request is carried out."""
    answer: Answer | None = None
    """Sent instead; nothing is carried out."""
    lost: bool = False
    """The request is carried out, then the connection ends without an answer."""
    cut: int | None = None
    """The connection ends after so many bytes of the body."""
    stall: int | None = None
    """After so many bytes of the body the rest comes only when `release` is set."""
    endless: bytes = b""
    """This follows the body again and again, until the client ends the connection."""
    hold: bool = False
    """The request is carried out only when `release` is set."""
    chunked: bool | None = None
    """Whether the body has no Content-Length; None: as always."""
    release: threading.Event = field(default_factory=threading.Event)


def drop() -> Fault:
    return Fault(dropped=True)


def reply_lost() -> Fault:
    return Fault(lost=True)


def cut_body(after: int, *, chunked: bool = True) -> Fault:
    return Fault(cut=after, chunked=chunked)


def stall(after: int = 0, *, chunked: bool | None = None) -> Fault:
    return Fault(stall=after, chunked=chunked)


def hold() -> Fault:
    return Fault(hold=True)


def refuse(status: int, code: str, message: str = "", *, retry_after: str = "") -> Fault:
    headers = {"Retry-After": retry_after} if retry_after else {}
    return Fault(answer=error(status, code, message, headers=headers))


def throttled(retry_after: str = "", *, code: str = "ApplicationThrottled") -> Fault:
    return refuse(429, code, "Application is over its MailboxConcurrency limit.", retry_after=retry_after)


def unavailable(status: int = 503, *, retry_after: str = "") -> Fault:
    codes = {503: "ErrorMailboxMoveInProgress", 504: "UnknownError", 509: "BandwidthLimitExceeded"}
    return refuse(status, codes.get(status, "UnknownError"), "", retry_after=retry_after)


def access_denied() -> Fault:
    return refuse(403, "ErrorAccessDenied", "Access to OData is disabled.")


def no_mailbox() -> Fault:
    text = "The mailbox is either inactive, soft-deleted, or is hosted on-premise."
    return refuse(404, "MailboxNotEnabledForRESTAPI", text)


def not_found() -> Fault:
    return refuse(404, "ErrorItemNotFound", "The specified object was not found in the store.")


def conversion_failed() -> Fault:
    return refuse(500, "ErrorMimeContentConversionFailed", "MIME content conversion failed.")


def sync_lost(status: int = 410, code: str = "SyncStateNotFound") -> Fault:
    return refuse(status, code, "The sync state generation is not found; generation=1;[highest=2][2].")


def token_refused() -> Fault:
    return refuse(401, "InvalidAuthenticationToken", "Access token has expired or is not yet valid.")


_LATER: Mapping[str, object] = {"access_token": {"nbf": {"essential": True, "value": "1604106651"}}}


def claims(wanted: Mapping[str, object] = _LATER) -> Fault:
    """Once, another token is wanted, one that says more. GraphFake.demanded does so until there is one."""
    return Fault(answer=insufficient_claims(wanted).answer())


def html(status: int = 502) -> Fault:
    page = b"<html><body><h1>Our services aren't available right now</h1></body></html>"
    return Fault(answer=Answer(status=status, body=page, kind="text/html"))


def body(content: bytes, *, kind: str = "application/json", status: int = 200) -> Fault:
    """An answer of any content: no JSON, the wrong JSON, too much."""
    return Fault(answer=Answer(status=status, body=content, kind=kind, chunked=True))


def flood(start: bytes = b'{"value":[', *, filler: bytes = b"{}," * 20_000) -> Fault:
    """An answer without an end."""
    return Fault(answer=Answer(body=start, chunked=True), endless=filler)


@dataclass(kw_only=True)
class _Planned:
    endpoint: str
    fault: Fault
    times: int | None
    skip: int
    mailbox: str
    id: str


class Plan:
    """The faults to come. The first planned one that fits is taken."""

    def __init__(self, lock: threading.RLock) -> None:
        self._lock = lock
        self._planned: list[_Planned] = []
        self._made: list[Fault] = []

    def add(self, endpoint: str, fault: Fault, *, times: int | None, skip: int, id: str, mailbox: str = "") -> None:
        if endpoint != "*" and endpoint not in ENDPOINTS:
            raise ValueError(f"no such endpoint: {endpoint}; there are {', '.join(ENDPOINTS)}, and * for all")
        with self._lock:
            self._made.append(fault)
            planned = _Planned(endpoint=endpoint, fault=fault, times=times, skip=skip, mailbox=mailbox, id=id)
            self._planned.append(planned)

    def take(self, endpoint: str, *, mailbox: str, id: str) -> Fault | None:
        """The fault of this request."""
        with self._lock:
            for planned in self._planned:
                fits = (
                    planned.endpoint in ("*", endpoint) and planned.mailbox in ("", mailbox) and planned.id in ("", id)
                )
                if not fits:
                    continue
                if planned.skip:
                    planned.skip -= 1
                    continue
                if planned.times is not None:
                    planned.times -= 1
                    if not planned.times:
                        self._planned.remove(planned)
                return planned.fault
            return None

    def clear(self) -> None:
        """No more faults; whatever is held goes on."""
        with self._lock:
            self._planned.clear()
            for fault in self._made:
                fault.release.set()
