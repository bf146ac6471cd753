"""One round of a session: download what is new and commit it, oldest first; try again what is in quarantine."""

import logging
from collections.abc import Callable, Iterator, Sequence

from mailfetch_fetcher.committer import Committer
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.mails import wanted_action
from mailfetch_fetcher.memory import Memory
from mailfetch_fetcher.progress import Meter
from mailfetch_fetcher.pulse import Pulse
from mailfetch_fetcher.quarantine import Quarantine
from mailfetch_fetcher.sources.base import Absent, Listing, Message, Ref, Snapshot, Unreadable, Window
from mailfetch_fetcher.sources.source import Source
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import Batch, LogLine
from mailfetch_fetcher.transfer import Fetched, Transfer, chunks, without_cursor

log = logging.getLogger(__name__)

ACT_AFTER = 1000
"""Mails after which a long download carries out after-download actions in between."""
_PROOFS = 3
"""Mails of each piece of a listing that are fetched again, at most, to see whether the server is healthy."""


class Round:
    """Lives as long as one connection to the mailbox.

    Attributes:
        cursor: Where the next download begins.
        downloading: A download is under way, or failed.
        proof: A mail that the server gave out before: fetched again when it must show that it is healthy.
    """

    def __init__(
        self,
        *,
        assignment: Assignment,
        uid_validity: str,
        source: Source,
        mailbox: Mailbox,
        transfer: Transfer,
        quarantine: Quarantine,
        meter: Meter,
        memory: Memory,
        pulse: Pulse,
        guard: Callable[[Snapshot], None],
        act: Callable[[], None],
    ) -> None:
        """Does nothing yet.

        Args:
            assignment: What is wanted.
            uid_validity: Of the open folder.
            source: Where mails come from.
            mailbox: Where they go.
            transfer: The way from there to here.
            quarantine: Mails that cannot be had.
            meter: Is told what is to come.
            memory: Whether to be careful.
            pulse: Sign of life.
            guard: Looks at the count before anything is downloaded; may raise to stop it.
            act: Carries out after-download actions; called in the session's thread.
        """
        self._uid_validity = uid_validity
        self._source = source
        self._mailbox = mailbox
        self._transfer = transfer
        self._quarantine = quarantine
        self._meter = meter
        self._memory = memory
        self._pulse = pulse
        self._guard = guard
        self._act = act
        # Where one command (QUIT) carries out all actions it also ends what is being read.
        self._acts_between = wanted_action(assignment.spec) is not None and not source.by_name
        self._extra = {"namespace": assignment.namespace, "connection": assignment.name}
        self.cursor = ""
        self.downloading = False
        self.proof: Ref | None = None
        self._behind: str | None = None

    def download(self) -> None:
        """Commits every mail beyond the cursor, oldest first.

        Raises:
            Stopped: the session was asked to end.
        """
        self.downloading = True
        self._pulse.connecting()  # where a session lasts for a round only, this makes a new one
        known = self._mailbox.known
        look = self._source.snapshot(self.cursor, known=known)
        self._guard(look)
        self._meter.begin(look.new)
        cursor = None
        try:
            with self._transfer.committer(then=self._committed) as committer:
                for window in self._source.discover(self.cursor, known=known):
                    self._window(window, committer)
                    cursor = window.cursor
                self.settle(committer, cursor)
        except SourceError:
            self._memory.careful = True
            raise
        self._meter.end()
        if self._meter.done:
            log.info("downloaded: %d", self._meter.done, extra=self._extra)
        self._mailbox.trim()
        self.downloading = False

    def retry(self, *, everything: bool = False) -> None:
        """Tries again what is in quarantine and due; with `everything`, all of it.

        Raises:
            Stopped: the session was asked to end.
        """
        refs = self._quarantine.due(everything=everything)
        if not refs:
            return
        with self._transfer.committer(wrap=without_cursor, then=self._quarantine.committed) as committer:
            for some in chunks(refs):
                for item in self._transfer.fetch(some, committer):
                    self._retried(item, committer)

    def returned(self, piece: Listing) -> None:
        """Downloads what is listed and not known, and what the cursor's way does not tell of: it left and came back."""
        answers = self._mailbox.known([mail.name for mail in piece.mails])
        refs = [mail.ref for mail, is_known in zip(piece.mails, answers, strict=True) if not is_known]
        if not refs:
            return
        with self._transfer.committer(wrap=without_cursor, then=self._quarantine.committed) as committer:
            for run in self.runs(refs):
                for item in self._transfer.fetch(run, committer):
                    self.take(item, committer)
                self.prove_each(committer)
            self.settle(committer, None)

    def take(self, item: Fetched | Absent | Unreadable, committer: Committer) -> None:
        """Commits what was fetched, or puts it aside, whatever it is."""
        if isinstance(item, Fetched):
            self._memory.careful = False
            self.proof = Ref(key=item.mail.ref, uid=item.mail.uid, size=item.mail.size)
            released = [item.mail.ref] if self._quarantine.holds(item.mail.ref) else []
            # That it came proves that the server is healthy: what it did not give out before is put aside.
            committer.add(item.mail, cursor=item.cursor, records=self._quarantine.take(), released=released)
        elif isinstance(item, Absent):
            committer.note(absent(item), cursor=self._passing(item.cursor))
        else:
            try:
                self._quarantine.put(item)
            except SourceError:
                self._memory.careful = True
                committer.drain()  # what came before it is safe, and never fetched again
                raise
            self._behind = item.cursor or None
            if not self._quarantine.waiting:
                committer.quarantine(self._quarantine.take(), cursor=item.cursor)

    def runs(self, refs: Sequence[Ref]) -> Iterator[list[Ref]]:
        """What is asked for at once: chunks, or single mails as long as it is necessary to be careful."""
        rest = list(refs)
        while rest:
            run = rest[:1] if self._memory.careful else next(chunks(rest))
            yield run
            rest = rest[len(run) :]

    def prove_each(self, committer: Committer) -> None:
        """After each run: many mails in a row that cannot be had are put aside one by one, not given up together.

        Where no earlier mail proves that the server is healthy, a later one may.
        """
        if self._memory.careful:
            self._prove(committer, self._behind)

    def settle(self, committer: Committer, cursor: str | None) -> None:
        """Nothing came behind a mail that the server does not give out: looks at one that it gave out before.

        Raises:
            SourceError: it gives out none.
        """
        if not self._prove(committer, cursor):
            raise self._quarantine.unproven()

    # -- inside ------------------------------------------------------------------------------

    def _prove(self, committer: Committer, cursor: str | None) -> bool:
        """Puts aside what waits, if an earlier mail proves that the server is healthy; True if nothing waits then."""
        if not self._quarantine.waiting:
            return True
        committer.drain()
        for ref in self._proofs():
            for item in self._source.fetch([ref]):
                self._pulse.check()
                if isinstance(item, Message):
                    for _ in item.parts or ():
                        self._pulse.check()
                    committer.quarantine(self._quarantine.take(), cursor=cursor)
                    return True
        return False

    def _window(self, window: Window, committer: Committer) -> None:
        if window.gone:
            # Before the cursor passes: after a crash the same page finds these names forgotten, and changes nothing.
            committer.drain()
            self._mailbox.forget(window.gone)
        acted = self._meter.done
        for refs in self.runs(window.refs):
            for item in self._transfer.fetch(refs, committer):
                self.take(item, committer)
            self.prove_each(committer)
            if self._acts_between and self._meter.done - acted >= ACT_AFTER:
                committer.drain()
                acted, self.downloading = self._meter.done, False
                self._act()
                self.downloading = True
        committer.move(self._passing(window.cursor))
        if not window.refs:
            committer.flush()  # many such windows in a row get on even if a later one fails

    def _passing(self, cursor: str) -> str | None:
        """The cursor does not pass what waits for its proof."""
        return None if self._quarantine.waiting else cursor

    def _retried(self, item: Fetched | Absent | Unreadable, committer: Committer) -> None:
        if isinstance(item, Fetched):
            committer.add(item.mail, cursor=None, released=[item.mail.ref])
        elif isinstance(item, Absent):
            if name := self._quarantine.name_of(item.ref.key):
                committer.drain()
                self._mailbox.forget([name])
            committer.note(absent(item), cursor=None, released=[item.ref.key])
        else:
            committer.quarantine([self._quarantine.again(item)], cursor=None)
            self._transfer.once_more(item.ref)

    def _proofs(self) -> Iterator[Ref]:
        if self.proof:
            yield self.proof
        elif self._source.by_name:
            for piece in self._source.listing():
                known = self._mailbox.known([mail.name for mail in piece.mails])
                refs = [mail.ref for mail, is_known in zip(piece.mails, known, strict=True) if is_known]
                yield from [ref for ref in refs if not self._quarantine.holds(ref.key)][:_PROOFS]
        elif anchor := self._mailbox.state.anchor:
            uid = anchor.partition(":")[0]
            yield Ref(key=f"{self._uid_validity}/{uid}", uid=int(uid), size=0)

    # -- the writer's thread ---------------------------------------------------------------

    def _committed(self, batch: Batch) -> None:
        if batch.cursor is not None:
            self.cursor = batch.cursor
        self._quarantine.committed(batch)


def absent(item: Absent) -> LogLine:
    """The log line of a mail that is proven to be gone."""
    return LogLine(step="absent", result="Skipped", fields={"ref": item.ref.key})
