"""The writer half of a session: gathers mails into batches and commits them in a thread of its own.

While Redis takes batch k the session already reads batch k+1 from the mailbox. Batches are committed strictly in
the order in which they were gathered; after any failure nothing that was queued behind it is sent, and the failure
is raised in the session's thread at its next step.
"""

import queue
import threading
from collections.abc import Callable, Sequence

from mailfetch_fetcher.store.model import Batch, Blob, LogLine, Mail, Quarantined

MAX_MAILS = 100
MAX_BYTES = 1_000_000
DEPTH = 4


class Committer:
    """Use as a context manager: leaving it without an error commits what is left.

    With an error, batches that were handed over are still committed (they are whole and in order), the rest is dropped.
    Wherever a cursor is passed, None leaves it where it is.
    """

    def __init__(self, *, commit: Callable[[Batch], None], committed: Callable[[Batch], None]) -> None:
        """Makes the writer.

        Args:
            commit: Commits one batch, in the writer's thread.
            committed: Told of each committed batch, in the writer's thread.
        """
        self._commit = commit
        self._committed = committed
        self._queue: queue.Queue[Batch | None] = queue.Queue(DEPTH)
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._handed_over: str | None = None
        self._most = MAX_MAILS
        self._begin()

    def _begin(self) -> None:
        self._mails: list[Mail] = []
        self._log: list[LogLine] = []
        self._quarantine: list[Quarantined] = []
        self._released: list[str] = []
        self._bytes = 0
        self._cursor: str | None = None

    def __enter__(self) -> "Committer":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self.flush()
        finally:
            self._end()
        if error is None:
            self._raise()

    def add(
        self, mail: Mail, *, cursor: str | None, records: Sequence[Quarantined] = (), released: Sequence[str] = ()
    ) -> None:
        """Takes the next mail; `cursor` is the cursor behind it.

        Args:
            mail: The mail.
            cursor: Passes it.
            records: Enter the quarantine in the same commit: mails before this one that the cursor passes too.
            released: Leave the quarantine in the same commit.
        """
        size = len(mail.body) if isinstance(mail.body, bytes) else 0
        if self._mails and self._bytes + size > MAX_BYTES:
            self.flush()
        self._mails.append(mail)
        self._bytes += size
        self._quarantine += records
        self._released += released
        self.move(cursor)
        if len(self._mails) >= self._most:
            self.flush()

    def limit(self, room: int) -> None:
        """Batches are no larger than what fits into the queue: a larger one would be refused as a whole, for ever."""
        self._most = max(1, min(MAX_MAILS, room))

    def note(self, line: LogLine, *, cursor: str | None, released: Sequence[str] = ()) -> None:
        """Takes a log line that lets the cursor pass something that is no mail (a proven absence)."""
        self._log.append(line)
        self._released += released
        self.move(cursor)
        if len(self._log) >= MAX_MAILS:
            self.flush()

    def quarantine(self, records: Sequence[Quarantined], *, cursor: str | None) -> None:
        """Takes records that let the cursor pass mails that cannot be had."""
        self._quarantine += records
        self.move(cursor)

    def move(self, cursor: str | None) -> None:
        """The cursor behind everything taken so far is (also) this one."""
        if cursor is not None:
            self._cursor = cursor

    def flush(self) -> None:
        """Hands over what was gathered; waits while the writer is `DEPTH` batches behind.

        Raises:
            Exception: what a commit raised; everything behind it was dropped.
        """
        self._raise()
        content = self._mails or self._log or self._quarantine or self._released
        if not content and self._cursor in (None, self._handed_over):
            return
        self._handed_over = self._cursor if self._cursor is not None else self._handed_over
        batch = Batch(
            mails=tuple(self._mails),
            cursor=self._cursor,
            log=tuple(self._log),
            quarantine=tuple(self._quarantine),
            released=tuple(self._released),
        )
        self._begin()
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._write, name=threading.current_thread().name + "-w", daemon=True
            )
            self._thread.start()
        self._queue.put(batch)

    def drain(self) -> None:
        """Returns when everything taken so far is committed (so that the session may use the writer's link)."""
        self.flush()
        self._queue.join()
        self._raise()

    def _write(self) -> None:
        while True:
            batch = self._queue.get()
            try:
                if batch is None:
                    return
                if self._failure is None:  # after a failure: only empty the queue, so that nobody waits for ever
                    self._commit(batch)
                    self._committed(batch)
            except BaseException as e:  # raised again in the session's thread
                self._failure = e
            finally:
                self._queue.task_done()

    def _end(self) -> None:
        if self._thread:
            self._queue.put(None)
            self._thread.join()
            self._thread = None

    def _raise(self) -> None:
        if self._failure:
            raise self._failure


def body_size(mails: Sequence[Mail]) -> int:
    """Bytes of mail in a batch, blobs included."""
    return sum(m.body.size if isinstance(m.body, Blob) else len(m.body) for m in mails)
