"""Where mails have names (POP3, Graph): pruning the ledger, and no flood of old mails under new names.

A mailbox that was migrated may show all its mails under new names. Then as many known names vanish as unknown ones
appear, and people are asked before everything is downloaded once more (`store.md` 34, 39).
"""

from collections.abc import Callable

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.report import NoticeReason
from mailfetch_fetcher.errors import GateClosed
from mailfetch_fetcher.memory import Memory
from mailfetch_fetcher.reset import Approval
from mailfetch_fetcher.sources.base import Listing, Snapshot
from mailfetch_fetcher.sources.source import Source
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import RESET, STEADY, Batch, LogLine
from mailfetch_fetcher.store.prune import Pruned

EVERY = 3600.0
"""Seconds between two comparisons of the ledger with the mailbox."""
FLOOD = 10
"""So many times more unknown than known mails are a flood."""


def is_flood(look: Snapshot, *, most: int) -> bool:
    """More unknown mails than anybody approved, and hardly a known one."""
    return look.new > most and look.new > FLOOD * max(look.known, 0)


class Names:
    """Lives as long as one connection; does nothing where the cursor tells what is new (IMAP)."""

    def __init__(
        self,
        *,
        assignment: Assignment,
        source: Source,
        mailbox: Mailbox,
        memory: Memory,
        clock: Clock,
        approval: Approval,
        tell: Callable[[NoticeReason, str], None],
    ) -> None:
        """Does nothing yet.

        Args:
            assignment: What is wanted.
            source: The mailbox.
            mailbox: Its ledger.
            memory: When the ledger was last compared.
            clock: For that.
            approval: What people approved.
            tell: Tells people once.
        """
        self._assignment = assignment
        self._source = source
        self._mailbox = mailbox
        self._memory = memory
        self._clock = clock
        self._approval = approval
        self._tell = tell

    def guard(self, look: Snapshot) -> None:
        """Before a download: stops a flood of mails that were probably downloaded under other names.

        Raises:
            GateClosed: MailboxReset; nothing was downloaded.
        """
        most, state = self._assignment.spec.approval.max_messages, self._mailbox.state
        if not self._source.by_name or not is_flood(look, most=most) or not self._source.lists_all:
            return
        if not self._prune().frozen:
            return  # few known mails are missing: these are new ones
        if not state.phase.startswith(RESET):
            line = LogLine(step="reset", fields={"detail": f"begins: {look.new} unknown mails, known ones are missing"})
            self._mailbox.commit(Batch(phase=RESET, gate_epoch=self._approval.kept, log=[line]))
        if self._approval.given:
            return
        raise GateClosed(
            "MailboxReset",
            f"the mailbox shows {look.new} mails under names that were never seen, {look.known} known ones, and others "
            "that were downloaded are missing: it was probably migrated, and these mails would be downloaded once "
            f"more; that is more than spec.approval.maxMessages ({most}); nothing was downloaded",
        )

    def downloaded(self) -> None:
        """Everything that is there was downloaded: so ends what `guard` began."""
        state = self._mailbox.state
        if not self._source.by_name or not state.phase.startswith(RESET):
            return
        text = "the mails that the mailbox shows under new names were downloaded"
        line = LogLine(step="reset", fields={"detail": text})
        epoch = max(self._assignment.gate_epoch, state.gate_epoch)
        self._mailbox.commit(Batch(phase=STEADY, gate_epoch=epoch, log=[line]))
        self._tell("MailboxReset", text)

    def prune(self, *, deleted: bool, request: str, returned: Callable[[Listing], None]) -> None:
        """Compares the ledger with the mailbox, if it is time.

        Args:
            deleted: We have deleted mails: their names may be used again at once, unless they are lasting.
            request: Value of the last request to look at once.
            returned: Downloads what came back, where names are lasting.
        """
        if not self._source.by_name or not self._source.lists_all:
            return
        due = self._clock.monotonic() - self._memory.pruned_at >= EVERY
        if self._source.lasting_names:
            if due or request != self._memory.listed_for:
                self._prune(returned)
                self._memory.listed_for = request
        elif due or deleted:
            self._prune()

    def _prune(self, returned: Callable[[Listing], None] | None = None) -> Pruned:
        listed: list[bytes] = []
        for piece in self._source.listing():
            listed += [mail.name for mail in piece.mails]
            if returned:
                returned(piece)
        if returned or not self._source.lasting_names:
            self._memory.pruned_at = self._clock.monotonic()
        return self._mailbox.prune(listed, now=int(self._clock.now().timestamp()))
