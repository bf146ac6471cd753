"""What the tools print, and what they know of a mail in the queue."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

import msgspec

from mailfetch_fetcher.clock import rfc3339
from mailfetch_fetcher.store.outbox import parse_entry

State = Literal["New", "Filtered", "Processing", "Failed", "Quarantined", "Done"]


@dataclass(frozen=True, kw_only=True, slots=True)
class GroupView:
    """A consumer group of a stream.

    Attributes:
        last: Last delivered entry.
        lag: Entries that it has not got; None if Redis does not know.
        pending: Delivered to it and not acknowledged.
    """

    name: str
    last: str
    lag: int | None
    pending: int
    consumers: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Held:
    """A consumer that has got a mail and not acknowledged it."""

    group: str
    consumer: str
    idle: int
    deliveries: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """Where a mail stands. Texts are empty and numbers 0 where they say nothing."""

    state: State
    reason: str = ""
    group: str = ""
    consumer: str = ""
    deliveries: int = 0
    idle: int = 0
    marked_at: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mail:
    """An entry of the queue without its body, or a record of the quarantine (then `entry` is empty).

    Attributes:
        held: The consumers that have got it and not acknowledged it.
        waits: A group that counts and has not got it yet; empty if there is no group; None: all have got it.
        milliseconds: Since 1970: when it came.
    """

    entry: str
    stream: str
    fields: dict[str, str]
    verdict: Verdict
    held: tuple[Held, ...] = ()
    waits: str | None = None
    milliseconds: int = 0


class Row(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What is printed: frozen, camelCase in JSON, every field always there."""


class Entry(Row, frozen=True, kw_only=True):
    """A mail of the queue or the quarantine. For a quarantined one `id` is the ref of the mail."""

    entry: str
    stream: str
    id: str
    connection: str
    folder: str
    state: str
    sender: str = msgspec.field(name="from")
    to: str
    subject: str
    message_id: str
    date: str
    committed: str
    size: int
    deliveries: int
    consumer: str
    group: str
    idle_milliseconds: int
    reason: str
    marked_at: str


class Group(Row, frozen=True, kw_only=True):
    """A consumer group."""

    stream: str
    name: str
    named: bool
    lag: int | None
    pending: int
    consumers: int
    last_delivered: str


class Queue(Row, frozen=True, kw_only=True):
    """Answer of `tools queue`."""

    entries: list[Entry]
    counts: dict[str, int]
    groups: list[Group]
    truncated: bool


class Line(Row, frozen=True, kw_only=True):
    """A line of the log."""

    line: str
    time: str
    stream: str
    connection: str
    category: str
    result: str
    step: str
    execution: str
    entry: str
    id: str
    message_id: str
    sender: str = msgspec.field(name="from")
    subject: str
    detail: str
    consumer: str


class Log(Row, frozen=True, kw_only=True):
    """Answer of `tools log`."""

    lines: list[Line]
    truncated: bool


class Attempt(Row, frozen=True, kw_only=True):
    """One delivery to a consumer group, as far as its consumer told of it."""

    execution: str
    group: str
    consumer: str
    deliveries: int
    steps: list[Line]


class Whole(Entry, frozen=True, kw_only=True):
    """A mail with all that is known of it."""

    headers: list[tuple[str, str]]
    attempts: list[Attempt]


class Shown(Row, frozen=True, kw_only=True):
    """Answer of `tools show`; lines oldest first."""

    entry: Whole
    log: list[Line]


class Copied(Row, frozen=True, kw_only=True):
    """A mail that was requeued."""

    entry: str
    new_entry: str
    id: str
    new_id: str


class Refused(Row, frozen=True, kw_only=True):
    """A mail that was not requeued, and why."""

    ref: str
    reason: str


class Requeued(Row, frozen=True, kw_only=True):
    """Answer of `tools requeue`."""

    requeued: list[Copied]
    refused: list[Refused]


class Purged(Row, frozen=True, kw_only=True):
    """Answer of `tools purge`; `why` says what keeps the rest, or is empty."""

    matched: int
    purged: int
    kept: int
    why: str


class NoSuchMail(Exception):
    """A REF names no mail; the text says so."""


class Ambiguous(Exception):
    """A REF names several mails; the text lists them."""


@dataclass(frozen=True, kw_only=True)
class Filter:
    """Which mails are meant; what is empty does not restrict.

    Attributes:
        before: RFC 3339 in UTC: only mails that were stored before.
    """

    connection: str = ""
    states: frozenset[str] = field(default_factory=frozenset)
    search: str = ""
    before: str = ""

    def fits(self, mail: Mail) -> bool:
        """Whether the mail is meant."""
        f = mail.fields
        if self.connection and f.get("connection", "") != self.connection:
            return False
        if self.states and mail.verdict.state not in self.states:
            return False
        if self.before and not f.get("committed", "") < self.before:
            return False
        return contains(self.search, *(f.get(name, "") for name in ("from", "to", "subject", "message_id", "id")))


def contains(term: str, *texts: str) -> bool:
    """Whether one of the texts has the term in it, whatever the case; an empty one is everywhere."""
    folded = term.casefold()
    return any(folded in text.casefold() for text in texts)


def parse_id(entry: str) -> tuple[int, int]:
    """Id of a stream entry as numbers that can be compared; (0, 0) if it is none."""
    try:
        return parse_entry(entry)
    except ValueError:
        return 0, 0


def time_of(milliseconds: int) -> str:
    """RFC 3339, or empty where no clock can have said that."""
    try:
        return rfc3339(datetime.fromtimestamp(milliseconds / 1000, UTC)) if milliseconds > 0 else ""
    except (ValueError, OverflowError, OSError):
        return ""


def entry_of(mail: Mail) -> Entry:
    """As it is printed."""
    f, verdict = mail.fields, mail.verdict
    size = f.get("size", "")
    return Entry(
        entry=mail.entry,
        stream=mail.stream,
        id=f.get("id", ""),
        connection=f.get("connection", ""),
        folder=f.get("folder", ""),
        state=verdict.state,
        sender=f.get("from", ""),
        to=f.get("to", ""),
        subject=f.get("subject", ""),
        message_id=f.get("message_id", ""),
        date=f.get("date", ""),
        committed=f.get("committed", ""),
        size=int(size) if size.isdecimal() else 0,
        deliveries=verdict.deliveries,
        consumer=verdict.consumer,
        group=verdict.group,
        idle_milliseconds=verdict.idle,
        reason=verdict.reason,
        marked_at=verdict.marked_at,
    )
