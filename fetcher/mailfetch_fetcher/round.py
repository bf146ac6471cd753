"""One round of a session: download what is new and commit it, oldest first."""

import dataclasses
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from mailfetch_fetcher import metrics
from mailfetch_fetcher.bodies import Bodies
from mailfetch_fetcher.clock import rfc3339
from mailfetch_fetcher.committer import Committer, body_size
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.report import Progress
from mailfetch_fetcher.environment import Environment
from mailfetch_fetcher.errors import Pace, SourceError, StoreError
from mailfetch_fetcher.mails import build_mail, hash_of, seconds_since, wanted_action
from mailfetch_fetcher.pulse import Pulse
from mailfetch_fetcher.sources.base import Absent, Message, Ref, Source, Unreadable, Window
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import Batch, Blob, LogLine, Mail

log = logging.getLogger(__name__)

CHUNK = 6 * 1024 * 1024
"""Bytes of mail that one session asks for at once; its share of the process's byte budget."""
BACKLOG = 100
"""From this many new mails on a round shows its progress."""
ACT_AFTER = 1000
"""Mails after which a long download carries out after-download actions in between."""


FORESEEABLE = 365 * 86400.0
"""Seconds: no end is told that lies further away (a server may claim any number of mails)."""


class Round:
    """Lives as long as one connection to the mailbox.

    Attributes:
        downloading: A download is under way, or failed.
    """

    def __init__(
        self,
        *,
        assignment: Assignment,
        uid_validity: str,
        source: Source,
        mailbox: Mailbox,
        env: Environment,
        cursor: str,
        pulse: Pulse,
        act: Callable[[], None],
        committed: Callable[[], None],
    ) -> None:
        """Does nothing yet.

        Args:
            assignment: What is wanted.
            uid_validity: Of the open folder.
            source: Where mails come from.
            mailbox: Where they go.
            env: For budget and report.
            cursor: Where to begin.
            pulse: Sign of life.
            act: Carries out after-download actions; called in the session's thread.
            committed: Told of each commit, in the writer's thread.
        """
        self._assignment = assignment
        self._uid_validity = uid_validity
        self._source = source
        self._mailbox = mailbox
        self._bodies = Bodies(mailbox)
        self._env = env
        self._cursor = cursor
        self._pulse = pulse
        self._act = act
        self._told_commit = committed
        self._labels = (assignment.namespace, assignment.name)
        self._action = wanted_action(assignment.spec.after_download)
        self._done = 0
        self._total = 0
        self._began = 0.0
        self.downloading = False

    def download(self) -> None:
        """Commits every mail beyond the cursor, oldest first.

        Raises:
            Stopped: the session was asked to end.
        """
        self.downloading = True
        self._pulse.check()
        look = self._source.snapshot(self._cursor)
        self._done, self._total, self._began = 0, look.new, self._env.clock.monotonic()
        self._tell_lag()
        with Committer(commit=self._commit, committed=self._committed) as committer:
            for window in self._source.discover(self._cursor):
                self._download_window(window, committer)
        self._total = self._done
        self._tell_lag()
        if self._done:
            extra = {"namespace": self._labels[0], "connection": self._labels[1]}
            log.info("downloaded: %d", self._done, extra=extra)
        self._mailbox.trim()
        self.downloading = False

    def _download_window(self, window: Window, committer: Committer) -> None:
        acted = self._done
        for refs in _chunks(window.refs):
            share = min(CHUNK, sum(max(ref.size, 1024) for ref in refs))
            with self._env.budget.share(share, waiting=self._pulse.check):
                committer.limit(self._mailbox.queue_room())
                for item in self._source.fetch(refs):
                    self._pulse.check()
                    self._take(item, committer)
                committer.flush()
            if self._action and self._done - acted >= ACT_AFTER:
                acted, self.downloading = self._done, False
                self._act()
                self.downloading = True
        committer.move(window.cursor)

    def _take(self, item: Message | Absent | Unreadable, committer: Committer) -> None:
        if isinstance(item, Absent):
            committer.note(LogLine(step="absent", result="Skipped", fields={"ref": item.ref.key}), cursor=item.cursor)
        elif isinstance(item, Unreadable):
            committer.drain()  # what came before it is safe first
            raise self._unreadable(item)
        elif item.raw is not None:
            mail = self._mail(item, body=item.raw, head=item.raw, sha256=hash_of(item.raw))
            committer.add(mail, cursor=item.cursor)
        else:
            committer.drain()  # the parts of a large mail travel on the writer's own link
            committer.add(self._large(item), cursor=item.cursor)

    def _large(self, item: Message) -> Mail:
        body = self._bodies.stream(item.parts or (), check=self._pulse.check)
        return self._mail(item, body=body.blob, head=body.head, sha256=body.sha256)

    def _mail(self, item: Message, *, body: bytes | Blob, head: bytes, sha256: str) -> Mail:
        return build_mail(
            item,
            folder=self._assignment.folder,
            uid_validity=self._uid_validity,
            action=self._action,
            body=body,
            head=head,
            sha256=sha256,
        )

    def _unreadable(self, item: Unreadable) -> SourceError:
        where = f"the mail with UID {item.ref.uid} in folder {self._assignment.folder}"
        if item.too_large:
            text = (
                f"{where} has {item.too_large} bytes, more than spec.queue.maxMessageSize "
                f"({self._assignment.spec.queue.max_message_size}); raise it, or move the mail out of the folder"
            )
            return SourceError("InvalidConfiguration", text, pace=Pace.CONFIGURATION)
        text = f"the server does not give out {where}: {item.detail}; move it out of the folder, or repair it there"
        return SourceError("ConnectionFailed", text, pace=Pace.CONFIGURATION)

    # -- the writer's thread ---------------------------------------------------------------

    def _commit(self, batch: Batch) -> None:
        try:
            with metrics.COMMIT_SECONDS.time():
                self._mailbox.commit(dataclasses.replace(batch, mails=tuple(map(self._bodies.stored, batch.mails))))
        except StoreError as e:
            if e.reason == "QueueFull":  # refused as a whole; after other failures it may have been committed
                self._bodies.abandon()
            raise
        self._bodies.committed()

    def _committed(self, batch: Batch) -> None:
        self._cursor = batch.cursor
        self._pulse.beat()
        if not batch.mails:
            return
        self._told_commit()
        self._done += len(batch.mails)
        metrics.MESSAGES.labels(*self._labels).inc(len(batch.mails))
        metrics.BYTES.labels(*self._labels).inc(body_size(batch.mails))
        now, state = self._env.clock.now(), self._mailbox.state
        if self._total < BACKLOG:
            for mail in batch.mails:
                metrics.observe_arrival(seconds_since(mail.received, now))
        self._env.hub.update(
            self._assignment.name,
            quiet=True,
            messages=state.messages,
            seq=state.seq,
            last_message_time=rfc3339(now),
            progress=self._progress(),
        )
        self._tell_lag()

    def _progress(self) -> Progress | None:
        if self._total < BACKLOG:
            return None
        seconds = max(self._env.clock.monotonic() - self._began, 0.001)
        rate = self._done / seconds
        left = max(self._total - self._done, 0) / rate
        end = self._env.clock.now().timestamp() + left
        return Progress(
            done=self._done,
            total=max(self._total, self._done),
            per_second=round(rate),
            expected_end=rfc3339(datetime.fromtimestamp(end, UTC)) if left < FORESEEABLE else "",
        )

    def _tell_lag(self) -> None:
        lag = max(self._total - self._done, 0)
        metrics.LAG.labels(*self._labels).set(lag)
        self._env.hub.update(self._assignment.name, quiet=True, lag=lag)


def _chunks(refs: Sequence[Ref]) -> Iterator[list[Ref]]:
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
