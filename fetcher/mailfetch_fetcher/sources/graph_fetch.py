"""Downloading mails from Graph: `$value` is the MIME of a mail (learn.microsoft.com "Get MIME content of a message").

An immutable id stays good when its mail is moved to another folder, and what a page tells may be an old word. So a mail
is downloaded without a further look only in the first round; of every other one it is asked first whether it is (still)
in the folder.
"""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources import graph_errors as errors
from mailfetch_fetcher.sources.base import Absent, Message, Ref, Unreadable
from mailfetch_fetcher.sources.graph_ahead import in_order
from mailfetch_fetcher.sources.graph_errors import UNCONVERTIBLE, Refused
from mailfetch_fetcher.sources.graph_http import GraphHttp
from mailfetch_fetcher.sources.graph_pages import Entry, Pages, id_of, message_path
from mailfetch_fetcher.sources.graph_settings import GraphSettings

YOUNG = 15 * 60
"""Seconds for which a mail may be listed before it can be had."""
AT_ONCE = 3
"""Mails that are read at once; a large one that is handed out in parts makes four, which is what Graph allows."""
LARGEST = 150 << 20
"""Bytes: Exchange Online takes no larger mails."""

Result = Message | Absent | Unreadable


class Fetching:
    """Downloads from one folder."""

    def __init__(
        self,
        http: GraphHttp,
        settings: GraphSettings,
        *,
        pages: Pages,
        clock: Clock,
        cursors: Mapping[str, str],
    ) -> None:
        """Asks nothing yet.

        Args:
            http: The way to Graph.
            settings: Of the mailbox.
            pages: The folder, for looks at single mails.
            clock: Tells how old a mail is.
            cursors: The cursor behind each mail, by its key.
        """
        self._http = http
        self._settings = settings
        self._pages = pages
        self._clock = clock
        self._cursors = cursors

    def fetch(self, refs: Sequence[Ref], *, told: Mapping[str, Entry], first: bool) -> Iterator[Result]:
        """One result for each ref, in their order.

        Args:
            refs: The mails.
            told: What a page has just told of them, by key.
            first: See `Told`.
        """
        tasks = [partial(self._begin, ref, told.get(ref.key), first=first) for ref in refs]
        for ref, found in zip(refs, in_order(tasks, at_once=AT_ONCE), strict=True):
            if isinstance(found, Entry):
                yield from self._large(ref, found)
            else:
                yield found

    def _begin(self, ref: Ref, entry: Entry | None, *, first: bool) -> Result | Entry:
        """The result; of a large mail only its entry, as it is read when its turn comes."""
        if entry is None or not first or not self._pages.holds(entry):
            now = self._pages.look(id_of(ref.key))
            if now is None or not self._pages.holds(now):
                return self._missing(ref, entry, now)
            entry = now
        try:
            with self._value(entry) as (pieces, length):
                if length is not None and length > self._settings.max_message_size:
                    return self._too_large(ref, entry, length)
                body = _Body(pieces, part_size=self._settings.part_size)
        except Refused as e:
            return self._refused(ref, entry, e)
        if not body.complete:
            return entry
        if body.length > self._settings.max_message_size:
            return self._too_large(ref, entry, body.length)
        return self._message(ref, entry, raw=body.first)

    def _large(self, ref: Ref, entry: Entry) -> Iterator[Result]:
        """One result. Graph tells no size: where that is limited to less than Exchange takes, it is counted first."""
        limit = self._settings.max_message_size
        try:
            if limit < LARGEST and (size := self._counted(entry)) > limit:
                yield self._too_large(ref, entry, size)
                return
            with self._value(entry) as (pieces, _):
                body = _Body(pieces, part_size=self._settings.part_size)
                yield self._message(ref, entry, parts=itertools.chain((body.first,), self._rest(ref, body)))
                if not body.complete:
                    raise errors.odd(self._settings, "was not read to the end of a mail")
        except Refused as e:
            yield self._refused(ref, entry, e)

    def _counted(self, entry: Entry) -> int:
        with self._value(entry) as (pieces, length):
            return sum(map(len, pieces)) if length is None else length

    def _value(self, entry: Entry) -> AbstractContextManager[tuple[Iterator[bytes], int | None]]:
        return self._http.download(f"{message_path(self._settings, entry.id)}/$value")

    def _message(
        self, ref: Ref, entry: Entry, *, raw: bytes | None = None, parts: Iterator[bytes] | None = None
    ) -> Message:
        return Message(
            ref=ref,
            cursor=self._at(ref),
            raw=raw,
            parts=parts,
            flags=("\\Seen",) if entry.read else (),
            received=entry.received,
            identity=b"graph " + entry.name,
            name=entry.name,
        )

    def _rest(self, ref: Ref, body: "_Body") -> Iterator[bytes]:
        for part in body.rest():
            if body.length > self._settings.max_message_size:
                raise SourceError(
                    "InvalidConfiguration",
                    f"the mail {ref.key} is larger than spec.queue.maxMessageSize; raise that, or remove the mail",
                    pace=Pace.CONFIGURATION,
                )
            yield part

    def _refused(self, ref: Ref, entry: Entry, refusal: Refused) -> Absent | Unreadable:
        """What is said of one mail only is a matter of that mail."""
        if refusal.code == UNCONVERTIBLE:
            detail = f"Exchange cannot make MIME of it ({UNCONVERTIBLE})"
            return Unreadable(ref=ref, cursor=self._at(ref), detail=detail, name=entry.name)
        if not refusal.not_found:
            raise refusal
        now = self._pages.look(entry.id)
        if not self._pages.holds(now):
            return self._missing(ref, entry, now)
        detail = f"it is in the folder, but {refusal.message}"
        return Unreadable(ref=ref, cursor=self._at(ref), detail=detail, name=entry.name)

    def _missing(self, ref: Ref, entry: Entry | None, now: Entry | None) -> Absent | Unreadable:
        """Not in the folder. A mail that is told of may take some minutes until it can be had (`store.md` 37).

        Until then it waits in quarantine, where it is looked for again: so it is never lost, and holds up nobody.
        """
        if now is None and entry is not None and self._age(entry) < YOUNG:
            detail = "Microsoft Graph tells of it, but does not find it yet"
            return Unreadable(ref=ref, cursor=self._at(ref), detail=detail, name=entry.name)
        return Absent(ref=ref, cursor=self._at(ref))

    def _too_large(self, ref: Ref, entry: Entry, size: int) -> Unreadable:
        detail = f"it has {size} bytes, more than spec.queue.maxMessageSize; raise that"
        return Unreadable(ref=ref, cursor=self._at(ref), detail=detail, too_large=size, name=entry.name)

    def _age(self, entry: Entry) -> float:
        """Seconds since it was made or came."""
        made = max(entry.created or 0, entry.received or 0)
        return self._clock.now().timestamp() - made

    def _at(self, ref: Ref) -> str:
        return self._cursors.get(ref.key, "")


class _Body:
    """A mail that is being read: one part of it is read at once.

    Attributes:
        first: The first part, or all of it.
        length: Bytes that were read so far.
        complete: It was read to its end.
    """

    def __init__(self, pieces: Iterator[bytes], *, part_size: int) -> None:
        self._pieces = pieces
        self._part_size = part_size
        self._left = bytearray()
        self.length = 0
        self.complete = False
        self.first = self._part()

    def rest(self) -> Iterator[bytes]:
        """The parts behind the first one."""
        while not self.complete:
            if part := self._part():
                yield part

    def _part(self) -> bytes:
        """The next part; the last one is found to be so only when it is longer than a part, or the end comes."""
        while len(self._left) <= self._part_size and not self.complete:
            if (piece := next(self._pieces, None)) is None:
                self.complete = True
            else:
                self._left += piece
                self.length += len(piece)
        cut = len(self._left) if self.complete else self._part_size
        part = bytes(self._left[:cut])
        del self._left[:cut]
        return part
