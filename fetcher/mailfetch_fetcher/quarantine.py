"""Mails that are there and that the server does not give out (`store.md` 38): put aside, and tried again by themselves.

A mail enters the quarantine only after another mail was fetched behind it, which proves that it is not the server that
is ill. Until then it waits here, in memory, and the cursor waits before it.
"""

import logging
from collections.abc import Callable, Collection, Iterable

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.report import NoticeReason
from mailfetch_fetcher.contract.units import size
from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.sources.base import Ref, Unreadable
from mailfetch_fetcher.store.model import Batch, LogLine, Quarantined

log = logging.getLogger(__name__)
RETRIES = (3600, 6 * 3600, 86400, 3 * 86400)
"""Seconds from each failure to the next attempt; the last one for ever."""
MOST = 5
"""Unreadable mails of one hour; more of them are the server's fault."""
_HOUR = 3600
_LONGEST = 300

Tell = Callable[[NoticeReason, str], None]


def next_retry(attempts: int) -> int:
    """Seconds to wait after so many failures."""
    return RETRIES[min(attempts, len(RETRIES)) - 1]


def is_due(record: Quarantined, *, now: int, limit: int) -> bool:
    """It may be tried again; `limit` is spec.queue.maxMessageSize."""
    return record.size <= limit if record.kind == "TooLarge" else record.retry <= now


def make_record(item: Unreadable, before: Quarantined | None, *, now: int) -> Quarantined:
    """The record of a mail that failed (again)."""
    attempts = before.attempts + 1 if before else 1
    return Quarantined(
        ref=item.ref.key,
        uid=item.ref.uid,
        size=item.too_large or item.ref.size,
        kind="TooLarge" if item.too_large else "Unreadable",
        detail=item.detail[:_LONGEST],
        since=before.since if before else now,
        attempts=attempts,
        retry=now + next_retry(attempts),
        name=item.name or (before.name if before else b""),
    )


def too_many(failures: Iterable[int], *, now: int) -> bool:
    """More mails became unreadable within an hour than a healthy server has; `failures` are times of first failures."""
    return sum(since > now - _HOUR for since in failures) > MOST


def log_line(record: Quarantined) -> LogLine:
    """The line of the Incoming Mail Log."""
    return LogLine(step="quarantined", result="Failed", fields={"ref": record.ref, "detail": record.detail})


class Quarantine:
    """Of one connection to the mailbox."""

    def __init__(
        self,
        *,
        assignment: Assignment,
        records: Iterable[Quarantined],
        clock: Clock,
        tell: Tell,
        count: Callable[[int], None],
    ) -> None:
        """Takes what the store holds.

        Args:
            assignment: What is wanted.
            records: What was put aside before.
            clock: Wall clock, as the records outlive processes.
            tell: Tells people once.
            count: Told how many mails are in quarantine, whenever that changes.
        """
        self._extra = {"namespace": assignment.namespace, "connection": assignment.name}
        self._folder = assignment.folder
        self._by_name = assignment.spec.protocol != "IMAP"
        self._limit = size(assignment.spec.queue.max_message_size)
        self._limit_text = str(assignment.spec.queue.max_message_size)
        self._clock = clock
        self._tell = tell
        self._count = count
        self._records = {record.ref: record for record in records}
        self._aside: list[Quarantined] = []
        self._failures = [record.since for record in self._records.values() if record.kind == "Unreadable"]
        count(len(self._records))

    # -- in the session's thread -------------------------------------------------------------

    def put(self, item: Unreadable) -> None:
        """A mail could not be had: it waits until `take`.

        Raises:
            SourceError: too many within an hour.
        """
        now, before = self._now(), self._records.get(item.ref.key)
        record = make_record(item, before, now=now)
        self._aside.append(record)
        if record.kind == "Unreadable" and before is None:
            self._failures.append(now)
        if record.kind == "Unreadable" and too_many(self._failures, now=now):
            raise SourceError(
                "ConnectionFailed",
                f"the server did not give out more than {MOST} mails within an hour, the last was "
                f"{self._name(record)}: {item.detail}; its storage may be down. Nothing is skipped",
                pace=Pace.CONFIGURATION,
            )

    def again(self, item: Unreadable) -> Quarantined:
        """The record of a mail that is in quarantine and failed again."""
        return make_record(item, self._records.get(item.ref.key), now=self._now())

    @property
    def waiting(self) -> bool:
        """Something waits for the proof that the server is healthy."""
        return any(record.kind == "Unreadable" for record in self._aside)

    def take(self) -> list[Quarantined]:
        """What waits, to be committed now."""
        taken, self._aside = self._aside, []
        return taken

    def unproven(self) -> SourceError:
        """What waits could not be put aside, as no other mail shows that the server is healthy."""
        first = next(record for record in self._aside if record.kind == "Unreadable")
        self._aside = []
        return SourceError(
            "ConnectionFailed",
            f"the server does not give out {self._name(first)}: {first.detail}; move it out of the folder, or repair "
            "it there",
            pace=Pace.CONFIGURATION,
        )

    def holds(self, ref: str) -> bool:
        """This mail is in quarantine."""
        return ref in self._records

    def name_of(self, ref: str) -> bytes:
        """The name by which the ledger knows a mail that is in quarantine; empty if it is none, or has none."""
        return self._records[ref].name if ref in self._records else b""

    def refs(self) -> list[str]:
        """All that are in quarantine."""
        return sorted(self._records)

    def forget(self, *, keep: Collection[str]) -> None:
        """After a reset: of all other refs nothing is in quarantine any more."""
        self._records = {ref: record for ref, record in self._records.items() if ref in keep}
        self._count(len(self._records))

    def due(self, *, everything: bool = False) -> list[Ref]:
        """Those to be tried again now; with `everything`, all."""
        now = self._now()
        return [
            Ref(key=record.ref, uid=record.uid, size=record.size)
            for record in self._records.values()
            if everything or is_due(record, now=now, limit=self._limit)
        ]

    # -- in the writer's thread --------------------------------------------------------------

    def committed(self, batch: Batch) -> None:
        """A batch was committed: takes note of what it put aside and released."""
        if not batch.quarantine and not batch.released:
            return
        fresh = [record for record in batch.quarantine if record.ref not in self._records]
        for ref in batch.released:
            self._records.pop(ref, None)
        self._records.update((record.ref, record) for record in batch.quarantine)
        self._count(len(self._records))
        if fresh:
            text = self._told(fresh)
            log.warning(text, extra=self._extra)
            self._tell("MailQuarantined", text)

    # -- inside ------------------------------------------------------------------------------

    def _told(self, fresh: list[Quarantined]) -> str:
        last = fresh[-1]
        others = f" (and {len(fresh) - 1} more)" if len(fresh) > 1 else ""
        where = f"{self._name(last)}{others} is in quarantine, the others go on:"
        if last.kind == "TooLarge":
            return (
                f"{where} it has {last.size} bytes, more than spec.queue.maxMessageSize ({self._limit_text}); it is "
                "downloaded as soon as that is raised"
            )
        return (
            f"{where} the server does not give it out ({last.detail}); it is tried again by itself, or at once with "
            "the annotation mailfetch.dev/refetch=quarantined"
        )

    def _name(self, record: Quarantined) -> str:
        if self._by_name:
            return f"the mail {record.ref}"
        return f"the mail with UID {record.uid} in folder {self._folder}"

    def _now(self) -> int:
        return int(self._clock.now().timestamp())
