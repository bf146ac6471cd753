"""Downloading mails: one command for many, results in the order of the refs, whatever the order of the answers.

- A mail counts only if a literal of the announced length arrived for its UID; anything else ends the connection.
- A large mail is handed out in parts *of one literal*, not by partial FETCHes: nothing can be regenerated between
  parts (`store.md` hazard 46), its length is known before it is read, and RFC822.SIZE stays a hint.
- What the server leaves out is asked for alone before it counts as absent (hazard 37) or unreadable.
- A mail above the size limit is not read: where RFC822.SIZE says so, one byte beyond the limit proves it; where only
  the announced literal does, it is read away without being kept.
"""

import contextlib
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import chain, takewhile

from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources.base import Absent, Message, Ref, Unreadable
from mailfetch_fetcher.sources.imap_answers import Items, items, pieces, uid_and_size, uid_set
from mailfetch_fetcher.sources.imap_cursor import Cursor
from mailfetch_fetcher.sources.imap_folders import Folder
from mailfetch_fetcher.sources.imap_identity import REACH, identity
from mailfetch_fetcher.sources.imap_look import RUNS
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.imap_wire import Answer, Refused, Wire

HELD = 8 << 20
"""Bytes of mails that came before their turn; beyond that the last ones are dropped and fetched again."""
_GIVE_UP = 3
"""Mails said to be unavailable, one after the other, until all of them are."""

Result = Message | Absent | Unreadable


class Fetching:
    """Downloads from one open folder."""

    def __init__(self, wire: Wire, *, folder: Folder, settings: ImapSettings, object_item: bytes) -> None:
        self._wire = wire
        self._settings = settings
        self.cursor = Cursor(uid_validity=folder.uid_validity, uid=0)
        """As of what is being downloaded: says what the cursors of mails look like."""
        self._unavailable = 0
        self._items = object_item + b"UID FLAGS INTERNALDATE RFC822.SIZE"

    def fetch(self, refs: Sequence[Ref]) -> Iterator[Result]:
        """One result for each ref, in their order. A consumer that stops before the last ends the connection."""
        results = self._all(refs)
        for number, result in enumerate(results, start=1):
            yield self._ended(result, results) if number == len(refs) else result

    def _all(self, refs: Sequence[Ref]) -> Iterator[Result]:
        by_uid = {ref.uid: ref for ref in refs}
        for uids in pieces([ref.uid for ref in refs], runs=RUNS):
            yield from self._piece([by_uid[uid] for uid in uids])

    def _ended(self, result: Result, results: Iterator[Result]) -> Result:
        """The last result, with its command answered to the end: whoever asks for nothing more can go on at once."""
        if not isinstance(result, Message):
            return result
        if result.parts is not None:
            return replace(result, parts=chain(result.parts, _to_the_end(results)))
        for _ in _to_the_end(results):
            pass
        return result

    def _piece(self, refs: Sequence[Ref]) -> Iterator[Result]:
        waiting = deque(refs)
        held = _Held()
        while waiting:
            if (early := held.pop(waiting[0].uid)) is not None:
                yield self._whole(waiting.popleft(), *early)
                continue
            if self._seems_too_large(waiting[0]):
                yield from self._oversized(waiting.popleft())
                continue
            before = len(waiting)
            yield from self._pass(waiting, held)
            if len(waiting) == before:  # the server left the first one out
                yield from self._alone(waiting.popleft())

    def _pass(self, waiting: deque[Ref], held: "_Held") -> Iterator[Result]:
        """One command for all that wait (before one that is too large); takes from `waiting` what can be handed out."""
        ready = takewhile(lambda ref: not self._seems_too_large(ref), list(waiting))
        asked = [ref.uid for ref in ready if ref.uid not in held]
        missing = set(asked)
        try:
            for answer in self._answers(asked):
                found = items(answer.text)
                if found.uid not in missing or not (answer.body is not None or _told_all(found)):
                    continue  # twice, unasked for, or too large for what came before its body: asked for alone later
                if found.uid == waiting[0].uid:
                    yield self._result(waiting.popleft(), found, answer)
                    while waiting and (early := held.pop(waiting[0].uid)) is not None:
                        yield self._whole(waiting.popleft(), *early)
                elif answer.body is not None:
                    held.add(found, answer.body)
                else:
                    continue  # a large one before its turn
                missing.discard(found.uid)
        except Refused as e:
            self._endure(e)  # what did not come is asked for again, one by one

    def _answers(self, uids: Sequence[int], *, body: bytes = b"BODY.PEEK[]") -> Iterator[Answer]:
        """Only the answers that carry a body."""
        command = b"UID FETCH " + uid_set(uids) + b" (" + self._items + b" " + body + b")"
        for answer in self._wire.answers(self._wire.start(command), longest_body=self._settings.part_size):
            if answer.length >= 0 and answer.is_fetch:
                yield answer

    # ---- one mail alone ----

    def _seems_too_large(self, ref: Ref) -> bool:
        return ref.size > self._settings.max_message_size

    def _oversized(self, ref: Ref) -> Iterator[Result]:
        """RFC822.SIZE is a hint: a byte beyond the limit proves that it is right, without reading the mail."""
        limit = self._settings.max_message_size
        proven = False
        try:
            for answer in self._answers([ref.uid], body=b"BODY.PEEK[]<%d.1>" % limit):
                # A server that takes no notice of the range announces the whole mail.
                beyond = answer.length == 1 or answer.length > limit
                if beyond and not proven and items(answer.text).uid == ref.uid:
                    proven = True
                    yield self._too_large(ref, max(ref.size, answer.length))
        except Refused as e:
            self._endure(e)
        if not proven:
            yield from self._alone(ref)

    def _alone(self, ref: Ref) -> Iterator[Result]:
        """The last word on a mail that the server left out."""
        came = False
        try:
            if ref.uid not in self._uids(b"UID FETCH %d (UID)" % ref.uid):
                yield Absent(ref=ref, cursor=self._cursor(ref))
                return
            known = self._known(ref)
            for answer in self._answers([ref.uid]):
                found = items(answer.text)
                # Only a large body may come before its UID: then what follows it is looked at when it is there.
                if came or found.uid not in ((ref.uid,) if answer.chunks is None else (ref.uid, 0)):
                    continue
                came = True
                yield self._result(ref, found if _told_all(found) or known is None else known, answer)
            if not came:
                yield self._unreadable(ref, "the server leaves it out of its answers although it is there")
        except Refused as e:
            self._endure(e, alone=True)
            if not came:
                yield self._unreadable(ref, f"the server says: {e.text}")

    def _uids(self, command: bytes) -> set[int]:
        return {uid_and_size(answer.text)[0] for answer in self._wire.run(command) if answer.is_fetch}

    def _known(self, ref: Ref) -> Items | None:
        """What the server says about a mail when its body is not asked for."""
        try:
            answers = self._wire.run(b"UID FETCH %d (%s)" % (ref.uid, self._items))
        except Refused:
            return None
        return next((found for a in answers if a.is_fetch and (found := items(a.text)).uid == ref.uid), None)

    def _endure(self, refusal: Refused, *, alone: bool = False) -> None:
        """A refused body is a matter of that mail, unless the server asks for patience, or gives out none at all."""
        if errors.unavailable(refusal.text):
            self._unavailable += alone
            if self._unavailable < _GIVE_UP:
                return
        if error := errors.throttled(self._settings.address, refusal.text):
            raise error from refusal

    # ---- results ----

    def _result(self, ref: Ref, found: Items, answer: Answer) -> Result:
        if answer.length > self._settings.max_message_size:
            return self._too_large(ref, answer.length)
        self._unavailable = 0
        return self._large(ref, found, answer) if answer.body is None else self._whole(ref, found, answer.body)

    def _whole(self, ref: Ref, found: Items, body: bytes) -> Result:
        if len(body) > self._settings.max_message_size:
            return self._too_large(ref, len(body))
        return Message(
            ref=ref,
            cursor=self._cursor(ref),
            raw=body,
            parts=None,
            flags=found.flags,
            received=found.received,
            identity=_identity(found, body),
        )

    def _large(self, ref: Ref, found: Items, answer: Answer) -> Message:
        """Reads as much as holds the header; the rest comes as the consumer takes it."""
        parts = self._parts(ref, answer)
        first: list[bytes] = []
        while sum(map(len, first)) < REACH and (part := next(parts, None)) is not None:
            first.append(part)
        return Message(
            ref=ref,
            cursor=self._cursor(ref),
            raw=None,
            parts=chain(first, parts),
            flags=found.flags,
            received=found.received,
            identity=_identity(found, b"".join(first)),
        )

    def _parts(self, ref: Ref, answer: Answer) -> Iterator[bytes]:
        yield from answer.chunks or ()
        if items(answer.text).uid != ref.uid:
            raise self._wire.broken(errors.nonsense(self._settings.address, answer.text))

    def _unreadable(self, ref: Ref, detail: str) -> Unreadable:
        return Unreadable(ref=ref, cursor=self._cursor(ref), detail=detail)

    def _too_large(self, ref: Ref, size: int) -> Unreadable:
        detail = f"it has {size} bytes, more than spec.queue.maxMessageSize; raise that"
        return Unreadable(ref=ref, cursor=self._cursor(ref), detail=detail, too_large=size)

    def _cursor(self, ref: Ref) -> str:
        return str(self.cursor.at(ref.uid))


class _Held:
    """Mails that came before their turn, at most `HELD` bytes; the last ones go first, so that every pass gets on."""

    def __init__(self) -> None:
        self._mails: dict[int, tuple[Items, bytes]] = {}
        self._bytes = 0

    def __contains__(self, uid: int) -> bool:
        return uid in self._mails

    def add(self, found: Items, body: bytes) -> None:
        self._mails[found.uid] = (found, body)
        self._bytes += len(body)
        while self._bytes > HELD:
            self.pop(max(self._mails))

    def pop(self, uid: int) -> tuple[Items, bytes] | None:
        mail = self._mails.pop(uid, None)
        self._bytes -= len(mail[1]) if mail else 0
        return mail


def _to_the_end(results: Iterator[Result]) -> Iterator[bytes]:
    """Nothing is left to be handed out; what goes wrong now shows at the next command."""
    with contextlib.suppress(SourceError):
        for _ in results:
            pass
    yield from ()


def _told_all(found: Items) -> bool:
    return found.uid > 0 and found.size >= 0 and found.received is not None


def _identity(found: Items, head: bytes) -> bytes:
    return identity(header=head, received=found.received, size=found.size, object_id=found.object_id)
