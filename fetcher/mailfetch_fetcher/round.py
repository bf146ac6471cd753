"""One round of a session: download what is new, then carry out after-download actions whose mails are durable."""

import hashlib
import logging
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime

from mailfetch_fetcher import metrics
from mailfetch_fetcher.clock import rfc3339
from mailfetch_fetcher.committer import Committer, body_size
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.report import ActionState, Progress
from mailfetch_fetcher.contract.units import duration
from mailfetch_fetcher.environment import Environment
from mailfetch_fetcher.errors import Pace, SourceError
from mailfetch_fetcher.mails import HEAD, build_mail, hash_of, wanted_action
from mailfetch_fetcher.sources.base import (
    Absent,
    Message,
    Opened,
    Outcome,
    PendingAction,
    Ref,
    Source,
    Unreadable,
    Window,
)
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import Batch, LogLine, Mail

log = logging.getLogger(__name__)

CHUNK = 6 * 1024 * 1024
"""Bytes of mail that one session asks for at once; its share of the process's byte budget."""
BACKLOG = 100
"""From this many new mails on a round shows its progress."""
COMMAND = 100
"""Actions of one command to the server."""
DURABLE = 1000
"""Actions that one barrier covers."""


class Round:
    """Lives as long as one connection to the mailbox; `download` and `finish_actions` take turns."""

    def __init__(
        self,
        *,
        assignment: Assignment,
        opened: Opened,
        source: Source,
        mailbox: Mailbox,
        env: Environment,
        cursor: str,
        stopping: Callable[[], bool],
    ) -> None:
        self._assignment = assignment
        self._opened = opened
        self._source = source
        self._mailbox = mailbox
        self._env = env
        self._cursor = cursor
        self._stopping = stopping
        self._labels = (assignment.namespace, assignment.name)
        self._extra = {"connection": assignment.name, "namespace": assignment.namespace}
        self._action = wanted_action(assignment.spec.after_download)
        self._timeout = duration(assignment.spec.schedule.timeout, default=30.0)
        self._done = 0
        self._total = 0
        self._began = 0.0
        self._since_actions = 0
        self.actions_waiting = False

    # -- downloading -----------------------------------------------------------------------

    def download(self) -> None:
        """Commits every mail beyond the cursor, oldest first."""
        look = self._source.snapshot(self._cursor)
        self._alive()
        self._done, self._total, self._began = 0, look.new, self._env.clock.monotonic()
        self._tell_lag()
        if look.new >= BACKLOG:
            log.info("downloading %d mails", look.new, extra=self._extra)
        with Committer(commit=self._commit, committed=self._committed) as committer:
            for window in self._source.discover(self._cursor):
                self._alive()
                self._download_window(window, committer)
                if self._stopping():
                    return
        self._total = self._done
        self._tell_lag()
        self._mailbox.trim()

    def _download_window(self, window: Window, committer: Committer) -> None:
        for refs in _chunks(window.refs):
            share = min(CHUNK, sum(max(ref.size, 1024) for ref in refs))
            with self._env.budget.share(share, waiting=self._alive):
                for item in self._source.fetch(refs):
                    self._alive()
                    if self._stopping():
                        return
                    self._take(item, committer)
                committer.flush()
            if self._action and self._since_actions >= DURABLE:
                self.finish_actions()
        committer.move(window.cursor)

    def _take(self, item: Message | Absent | Unreadable, committer: Committer) -> None:
        if isinstance(item, Absent):
            committer.note(LogLine(step="absent", result="Skipped", fields={"ref": item.ref.key}), cursor=item.cursor)
            return
        if isinstance(item, Unreadable):
            committer.drain()  # what came before it is safe first
            if item.too_large:
                raise self._too_large(item.ref)
            raise SourceError(
                "ConnectionFailed",
                f"the server does not give out the mail with UID {item.ref.uid} in folder {self._assignment.folder}: "
                f"{item.detail}; move it out of the folder, or repair it at the server",
                pace=Pace.CONFIGURATION,
            )
        if item.raw is not None:
            committer.add(self._small(item), cursor=item.cursor)
        else:
            committer.drain()  # the parts of a large mail travel on the writer's own link
            committer.add(self._large(item), cursor=item.cursor)

    def _small(self, item: Message) -> Mail:
        raw = item.raw or b""
        return build_mail(
            item,
            folder=self._assignment.folder,
            uid_validity=self._opened.uid_validity,
            action=self._action,
            body=raw,
            head=raw,
            sha256=hash_of(raw),
        )

    def _large(self, item: Message) -> Mail:
        """Streams the parts into a blob; the head is kept for the headers."""
        digest, head = hashlib.sha256(), b""
        blob = self._mailbox.start_blob()
        for part in item.parts or ():
            self._alive()
            if len(head) < HEAD:
                head += part[: HEAD - len(head)]
            digest.update(part)
            blob.append(part)
        return build_mail(
            item,
            folder=self._assignment.folder,
            uid_validity=self._opened.uid_validity,
            action=self._action,
            body=blob.finish(),
            head=head,
            sha256=digest.hexdigest(),
        )

    def _too_large(self, ref: Ref) -> SourceError:
        limit = self._assignment.spec.queue.max_message_size
        return SourceError(
            "InvalidConfiguration",
            f"the mail with UID {ref.uid} in folder {self._assignment.folder} is larger than "
            f"spec.queue.maxMessageSize ({limit}); raise it, or move the mail out of the folder",
            pace=Pace.CONFIGURATION,
        )

    # -- the writer's thread ---------------------------------------------------------------

    def _commit(self, batch: Batch) -> None:
        with metrics.COMMIT_SECONDS.time():
            self._mailbox.commit(batch)

    def _committed(self, batch: Batch) -> None:
        self._cursor = batch.cursor
        self._alive()
        if not batch.mails:
            return
        self._done += len(batch.mails)
        self._since_actions += len(batch.mails)
        metrics.MESSAGES.labels(*self._labels).inc(len(batch.mails))
        metrics.BYTES.labels(*self._labels).inc(body_size(batch.mails))
        now = self._env.clock.now()
        state = self._mailbox.state
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
        left = max(self._total - self._done, 0) / rate if rate else 0.0
        end = self._env.clock.now().timestamp() + left
        return Progress(
            done=self._done,
            total=max(self._total, self._done),
            per_second=round(rate),
            expected_end=rfc3339(datetime.fromtimestamp(end, UTC)),
        )

    def _tell_lag(self) -> None:
        lag = max(self._total - self._done, 0)
        metrics.LAG.labels(*self._labels).set(lag)
        self._env.hub.update(self._assignment.name, quiet=True, lag=lag)

    # -- after-download actions ------------------------------------------------------------

    def finish_actions(self) -> None:
        """Carries out what is durable. A failing action never stops downloading; it is told and tried again."""
        failed, total, before = "", 0, -1
        self._since_actions = 0
        while not self._stopping():
            self._alive(extra=60.0)  # a barrier on a store without WAITAOF takes seconds
            actions = self._mailbox.durable_actions(DURABLE)
            for some in _commands(self._still_wanted(actions)):
                self._mailbox.confirm_lease()
                self._alive()
                outcomes = self._source.finish(some, digest=self._mailbox.digest, advance=self._mailbox.advance)
                self._mailbox.settle(outcomes)
                failed = next((o.detail for o in outcomes if o.result == "failed"), failed)
                self._log_dropped(outcomes)
            total = self._mailbox.outbox_size()
            if not actions or not total or total == before or failed:
                break
            before = total
        self.actions_waiting = bool(total) and not failed
        self._tell_actions(total, failed)

    def _still_wanted(self, actions: Sequence[PendingAction]) -> list[PendingAction]:
        """Only what the spec asks for now is carried out; what an earlier spec asked for is dropped (`store.md` I8)."""
        now = self._action
        stale = [a for a in actions if now is None or (a.kind, a.folder) != (now.kind, now.folder)]
        if stale:
            text = "spec.afterDownload has changed"
            self._mailbox.settle([Outcome(action=a, result="dropped", detail=text) for a in stale])
        gone = {a.member for a in stale}
        return [a for a in actions if a.member not in gone]

    def _tell_actions(self, pending: int, failed: str) -> None:
        safety = self._mailbox.safety()
        if not safety.ok:
            state = ActionState(reason="StoreUnsafe", message=safety.message, pending=pending)
        elif failed:
            state = ActionState(reason="Failed", message=failed, pending=pending)
        elif pending:
            state = ActionState(
                reason="Pending", message="waiting until the mails are durable in Redis", pending=pending
            )
        else:
            state = ActionState()
        self._env.hub.update(self._assignment.name, actions=state)

    def _log_dropped(self, outcomes: Sequence[Outcome]) -> None:
        for outcome in outcomes:
            if outcome.result == "dropped":
                text = "after-download action dropped: %s"
                log.warning(text, outcome.detail, extra=self._extra | {"uid": outcome.action.uid})

    def _alive(self, extra: float = 0.0) -> None:
        self._mailbox.progress(within=2 * self._timeout + extra)


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


def _commands(actions: Sequence[PendingAction]) -> Iterator[Sequence[PendingAction]]:
    for i in range(0, len(actions), COMMAND):
        yield actions[i : i + COMMAND]
