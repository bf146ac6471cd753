"""From the mailbox into the store: fetches the mails of some refs, and commits what the committer hands over.

What becomes of the mails (new ones, those of a reset, a request or the quarantine) is decided by whoever takes them.
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mailfetch_fetcher import metrics
from mailfetch_fetcher.bodies import Bodies
from mailfetch_fetcher.committer import Committer
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.environment import Environment
from mailfetch_fetcher.errors import SourceError, StoreError
from mailfetch_fetcher.mails import build_mail, hash_of, wanted_action
from mailfetch_fetcher.memory import Memory
from mailfetch_fetcher.progress import Meter
from mailfetch_fetcher.pulse import Pulse
from mailfetch_fetcher.quarantine import log_line
from mailfetch_fetcher.sources.base import Absent, Message, Ref, Unreadable
from mailfetch_fetcher.sources.source import Source
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import Batch, Blob, Mail

CHUNK = 6 * 1024 * 1024
"""Bytes of mail that one session asks for at once; its share of the process's byte budget."""
BREAKS = 5
"""Connections that may break at one mail until it is left out."""
_AT_A_MAIL = ("ConnectionFailed", "Throttled", "InvalidConfiguration")
"""Failures for which one mail may be the cause: it breaks the connection, is refused with words that ask for patience,
or is much larger than the server says."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Fetched:
    """A mail, ready to be committed; `cursor` is the cursor behind it."""

    mail: Mail
    cursor: str


def _as_it_is(batch: Batch) -> Batch:
    return batch


def without_cursor(batch: Batch) -> Batch:
    """For mails that are not the next ones: the cursor stays where it is."""
    return dataclasses.replace(batch, cursor=None)


class Transfer:
    """Lives as long as one connection to the mailbox."""

    def __init__(
        self,
        *,
        assignment: Assignment,
        uid_validity: str,
        source: Source,
        mailbox: Mailbox,
        env: Environment,
        pulse: Pulse,
        meter: Meter,
        memory: Memory,
        flowing: Callable[[], None],
    ) -> None:
        """Does nothing yet.

        Args:
            assignment: What is wanted.
            uid_validity: Of the open folder.
            source: Where mails come from.
            mailbox: Where they go.
            env: For the byte budget.
            pulse: Sign of life.
            meter: Is told of each commit with mails.
            memory: Knows at which mails connections broke.
            flowing: Called after each such commit, in the writer's thread.
        """
        self._assignment = assignment
        self._uid_validity = uid_validity
        self._source = source
        self._mailbox = mailbox
        self._bodies = Bodies(mailbox)
        self._env = env
        self._pulse = pulse
        self._meter = meter
        self._memory = memory
        self._flowing = flowing
        self._action = wanted_action(assignment.spec)

    def committer(
        self, *, wrap: Callable[[Batch], Batch] = _as_it_is, then: Callable[[Batch], None] | None = None
    ) -> Committer:
        """A writer for this connection.

        Args:
            wrap: Makes of a batch what is committed.
            then: Told of each batch that was committed, in the writer's thread.
        """

        def committed(batch: Batch) -> None:
            self._pulse.beat()
            if batch.mails:
                self._flowing()
                self._meter.committed(batch, self._mailbox.state)
            if then:
                then(batch)

        return Committer(commit=lambda batch: self._commit(wrap(batch)), committed=committed)

    def fetch(
        self, refs: Sequence[Ref], committer: Committer, *, refetch: str = ""
    ) -> Iterator[Fetched | Absent | Unreadable]:
        """One result for each ref, in their order. What the consumer gave to the committer is handed over at the end.

        Args:
            refs: At most a chunk (`chunks`).
            committer: Where the consumer puts what it takes.
            refetch: Value of the request that asks for these mails once more.
        """
        share = min(CHUNK, sum(max(ref.size, 1024) for ref in refs))
        with self._env.budget.share(share, waiting=self._pulse.check):
            committer.limit(self._mailbox.queue_room())
            held = {ref.key for ref in refs if self._memory.broken[ref.key] >= BREAKS}
            items = self._source.fetch([ref for ref in refs if ref.key not in held])
            for ref in refs:
                self._pulse.check()
                yield self._held(ref) if ref.key in held else self._next(ref, items, committer, refetch)
            for _ in items:  # nothing more comes; a source that is not asked to the end closes its session (POP3)
                pass
            committer.flush()

    def once_more(self, ref: Ref) -> None:
        """A mail at which connections always broke may be asked for again, once."""
        self._memory.broken[ref.key] = min(self._memory.broken[ref.key], BREAKS - 1)

    def _next(
        self, ref: Ref, items: Iterator[Message | Absent | Unreadable], committer: Committer, refetch: str
    ) -> Fetched | Absent | Unreadable:
        """The next result; if the connection breaks instead, that is remembered of this mail."""
        try:
            item = next(items)
            result = self._taken(item, committer, refetch) if isinstance(item, Message) else item
        except SourceError as e:
            if e.reason in _AT_A_MAIL:
                self._memory.broken[ref.key] += 1
            self._memory.careful = True
            raise
        del self._memory.broken[ref.key]
        return result

    def _held(self, ref: Ref) -> Unreadable:
        """A mail at which connections always break is not asked for, so that it does not stop the others."""
        name = b""
        if self._source.by_name:
            listed = (mail for piece in self._source.listing() for mail in piece.mails)
            name = next((mail.name for mail in listed if mail.ref.key == ref.key), b"")
        detail = f"the connection broke or was refused each of the last {self._memory.broken[ref.key]} times"
        return Unreadable(ref=ref, cursor="", detail=detail, name=name)

    def _taken(self, item: Message, committer: Committer, refetch: str) -> Fetched:
        body: bytes | Blob
        if item.raw is not None:
            body, head, sha256 = item.raw, item.raw, hash_of(item.raw)
        else:
            committer.drain()  # the parts of a large mail travel on the writer's own link
            streamed = self._bodies.stream(item.parts or (), check=self._pulse.check)
            body, head, sha256 = streamed.blob, streamed.head, streamed.sha256
        mail = build_mail(
            item,
            folder=self._assignment.folder,
            uid_validity=self._uid_validity,
            action=self._action,
            body=body,
            head=head,
            sha256=sha256,
            refetch=refetch,
        )
        return Fetched(mail=mail, cursor=item.cursor)

    def _commit(self, batch: Batch) -> None:
        lines = (*batch.log, *map(log_line, batch.quarantine))
        try:
            with metrics.COMMIT_SECONDS.time():
                mails = tuple(map(self._bodies.stored, batch.mails))
                self._mailbox.commit(dataclasses.replace(batch, mails=mails, log=lines))
        except StoreError as e:
            if e.reason == "QueueFull":  # refused as a whole; after other failures it may have been committed
                self._bodies.abandon()
            raise
        self._bodies.committed()


def chunks(refs: Sequence[Ref]) -> Iterator[list[Ref]]:
    """Runs of mails of at most `CHUNK` bytes (by the server's word; one larger mail is a run of its own)."""
    run: list[Ref] = []
    total = 0
    for ref in refs:
        if run and total + ref.size > CHUNK:
            yield run
            run, total = [], 0
        run.append(ref)
        total += ref.size
    if run:
        yield run
