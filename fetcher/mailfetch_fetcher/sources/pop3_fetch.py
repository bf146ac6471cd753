"""Downloading mails over POP3: RETR, sent ahead where the server allows, results in the order of the refs.

What is in flight is bounded by the connection: the server goes on sending only as far as the mails are taken. A mail
has no length that could be relied on before it is over: LIST decides whether it is read at all, and a mail that turns
out larger is read on with some patience, then given up.
"""

from collections.abc import Iterator, Sequence
from itertools import chain

from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources import imap_errors as common
from mailfetch_fetcher.sources import pop3_errors as errors
from mailfetch_fetcher.sources.base import Absent, Message, Ref, Unreadable
from mailfetch_fetcher.sources.pop3_errors import Refused
from mailfetch_fetcher.sources.pop3_identity import REACH, identity
from mailfetch_fetcher.sources.pop3_session import Pop3Session
from mailfetch_fetcher.sources.pop3_settings import Pop3Settings

_AHEAD = 16
"""Mails that are asked for before the first one has come."""

Result = Message | Absent | Unreadable


class Fetching:
    """Downloads in one session."""

    def __init__(self, session: Pop3Session, settings: Pop3Settings) -> None:
        self._session = session
        self._wire = session.wire
        self._settings = settings

    def fetch(self, refs: Sequence[Ref]) -> Iterator[Result]:
        """One result for each ref, in their order. A consumer that stops early ends the connection."""
        over = False
        try:
            yield from self._fetch(refs)
            over = True
        finally:
            if not over:
                self._session.close()

    def _fetch(self, refs: Sequence[Ref]) -> Iterator[Result]:
        found = [(ref, self._session.maildrop.find(ref.key)) for ref in refs]
        positions = [at for ref, at in found if at is not None and not self._too_large(ref, at)]
        commands = [b"RETR %d" % self._session.maildrop.numbers[at] for at in positions]
        answers = self._wire.each(commands, ahead=min(_AHEAD, self._session.ahead))
        for ref, at in found:
            if at is None:
                yield Absent(ref=ref, cursor=ref.key)
            elif size := self._too_large(ref, at):
                yield self._oversized(ref, at, size)
            else:
                last = next(answers) == len(commands) - 1
                yield from self._answer(ref, at, last=last)

    def _too_large(self, ref: Ref, at: int) -> int:
        size = self._session.maildrop.sizes[at] or ref.size
        return size if size > self._settings.max_message_size else 0

    def _answer(self, ref: Ref, at: int, *, last: bool) -> Iterator[Result]:
        try:
            self._wire.status()
        except Refused as e:
            yield self._refused(ref, at, e, last=last)
            return
        self._session.retrieved = True
        body = _Body(self._wire.body(self._settings.part_size), part_size=self._settings.part_size)
        if body.complete and body.length > self._settings.max_message_size:
            self._session.spoiled = True
            yield self._oversized(ref, at, body.length)
            return
        yield Message(
            ref=ref,
            cursor=ref.key,
            raw=body.whole,
            parts=None if body.whole is not None else chain(body.first, self._rest(ref, body)),
            flags=(),
            received=None,
            identity=identity(b"".join(body.first)),
            name=self._session.maildrop.name(at),
        )
        if not body.complete:
            raise self._wire.broken(common.cut(self._settings.address, "a mail was not taken to its end"))
        self._session.delivered.add(self._session.maildrop.numbers[at])

    def _rest(self, ref: Ref, body: "_Body") -> Iterator[bytes]:
        most = self._settings.max_message_size
        for part in body.rest():
            if body.length > most + most // 8:
                raise self._wire.broken(
                    SourceError(
                        "InvalidConfiguration",
                        f"the mail {ref.key} is larger than {self._settings.address} says, and than "
                        "spec.queue.maxMessageSize; raise that, or remove the mail from the mailbox",
                        pace=Pace.CONFIGURATION,
                    )
                )
            yield part

    def _refused(self, ref: Ref, at: int, refusal: Refused, *, last: bool) -> Unreadable:
        """A refused mail is a matter of that mail, unless the server asks for patience."""
        if error := errors.throttled(self._settings.address, refusal):
            raise self._wire.broken(error)
        if last:  # nothing follows that would prove it: the connection lives on
            self._prove()
        detail = f"the server says: {refusal.text or '-ERR'}"
        return Unreadable(ref=ref, cursor=ref.key, detail=detail, name=self._session.maildrop.name(at))

    def _prove(self) -> None:
        try:
            self._wire.run(b"NOOP")
        except Refused as e:
            raise self._wire.broken(errors.refused(self._settings.address, "go on", e)) from e

    def _oversized(self, ref: Ref, at: int, size: int) -> Unreadable:
        detail = f"it has {size} bytes, more than spec.queue.maxMessageSize; raise that"
        name = self._session.maildrop.name(at)
        return Unreadable(ref=ref, cursor=ref.key, detail=detail, too_large=size, name=name)


class _Body:
    """A mail that is being read: as much of it as holds the header is read at once.

    Attributes:
        first: The beginning.
        length: Bytes that were read so far.
        complete: It was read to its end.
    """

    def __init__(self, parts: Iterator[bytes], *, part_size: int) -> None:
        self._parts = parts
        self._part_size = part_size
        self.first: list[bytes] = []
        self.length = 0
        self.complete = False
        while not self.complete and self.length < REACH:
            if (part := self._next()) is not None:
                self.first.append(part)

    @property
    def whole(self) -> bytes | None:
        """The mail, if it is complete and small."""
        if not self.complete or self.length > self._part_size:
            return None
        return self.first[0] if len(self.first) == 1 else b"".join(self.first)

    def rest(self) -> Iterator[bytes]:
        """What follows `first`."""
        while not self.complete:
            if (part := self._next()) is not None:
                yield part

    def _next(self) -> bytes | None:
        part = next(self._parts, None)
        # A part that is shorter than asked for is the last one, and its end was read with it.
        self.complete = part is None or len(part) < self._part_size
        self.length += len(part or b"")
        return part
