"""Phase Reset: the server numbers its mails anew, so known ones are recognised by what they are (`store.md` 33–36).

The walk over the whole mailbox makes the ledger anew beside the old one; what the old one does not know is downloaded.
The cursor stays untouched until one commit ends the reset: it exchanges the ledgers, sets the cursor behind the walk,
translates the outbox and drops the records of the quarantine (their mails were tried again in the walk). So a crash at
any moment, or another renumbering, just makes the next session begin the walk anew.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from mailfetch_fetcher.committer import Committer
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.report import NoticeReason
from mailfetch_fetcher.errors import GateClosed
from mailfetch_fetcher.progress import Meter
from mailfetch_fetcher.pulse import Pulse
from mailfetch_fetcher.quarantine import Quarantine
from mailfetch_fetcher.round import Round
from mailfetch_fetcher.sources.base import Listed, Ref, Unreadable
from mailfetch_fetcher.sources.source import Source
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import RESET, STEADY, Batch, LogLine, State
from mailfetch_fetcher.transfer import Transfer, without_cursor
from mailfetch_fetcher.translate import Translation

log = logging.getLogger(__name__)
KEPT = 10_000
"""Refs of unknown mails that one walk keeps; of more of them only the number, and a second walk downloads them."""


@dataclass(frozen=True, kw_only=True)
class Approval:
    """Whether people approved what a reset would download again.

    They may have done so after it began, or before a fetcher noticed it: then the probe had counted it.

    Attributes:
        given: Nothing more is asked.
        kept: Epoch that the state gets when a reset begins, so that the approval still counts after a crash; None: the
            epoch stays. The commit that ends the reset uses it up.
    """

    given: bool
    kept: int | None = None


def approval_of(state: State, *, epoch_before: int, epoch: int) -> Approval:
    """The approval for a reset.

    Args:
        state: The state, opened.
        epoch_before: Its epoch before it was opened.
        epoch: Epoch of the assignment.
    """
    if state.reset_approved:
        return Approval(given=True)
    return Approval(given=True, kept=epoch_before) if epoch_before < epoch else Approval(given=False)


@dataclass(kw_only=True)
class Census:
    """What a walk found.

    Attributes:
        total: Mails of the mailbox.
        matched: Those that the ledger knows.
        old: Unknown ones that were there before the last mail was downloaded.
        unknown: All unknown ones.
        refs: Of them, as long as they are few.
        cursor: Cursor behind the walk.
        anchor: The last mail, for recognising the mailbox later.
    """

    total: int = 0
    matched: int = 0
    old: int = 0
    unknown: int = 0
    refs: list[Ref] = field(default_factory=list)
    cursor: str = ""
    anchor: str = ""

    @property
    def suspicious(self) -> int:
        """Mails that were probably downloaded before, and would be again.

        If less than half of the mailbox is recognised, its dates are not trusted either: a migration wrote them anew.
        """
        return self.unknown if 2 * self.matched < self.matched + self.unknown else self.old


class Reset:
    """Used once, by the session's own thread."""

    def __init__(
        self,
        *,
        assignment: Assignment,
        uid_validity: str,
        source: Source,
        mailbox: Mailbox,
        transfer: Transfer,
        quarantine: Quarantine,
        run: Round,
        meter: Meter,
        pulse: Pulse,
        approval: Approval,
        tell: Callable[[NoticeReason, str], None],
    ) -> None:
        """Does nothing yet.

        Args:
            assignment: What is wanted.
            uid_validity: Of the open folder.
            source: The open mailbox.
            mailbox: Its state.
            transfer: The way from there to here.
            quarantine: Mails that cannot be had.
            run: Takes what is downloaded.
            meter: Is told what is to come.
            pulse: Sign of life.
            approval: What people approved.
            tell: Tells people once.
        """
        self._assignment = assignment
        self._uid_validity = uid_validity
        self._source = source
        self._mailbox = mailbox
        self._transfer = transfer
        self._quarantine = quarantine
        self._run = run
        self._meter = meter
        self._pulse = pulse
        self._approval = approval
        self._tell = tell
        self._extra = {"namespace": assignment.namespace, "connection": assignment.name}
        self._translation = Translation(())
        self._last = -1
        self._aside: set[str] = set()
        """Refs that went into quarantine: the ledger must not know them, as their records go with the next reset."""

    def carry_out(self, why: str) -> None:
        """Walks, downloads, and ends the reset.

        Args:
            why: What happened to the mailbox; empty if that is not known any more.

        Raises:
            GateClosed: MailboxReset; nothing was downloaded.
        """
        state = self._mailbox.state
        log.warning("the mailbox is compared with what was downloaded: %s", why or "goes on", extra=self._extra)
        if (phase := f"{RESET} {self._uid_validity}") != state.phase:
            line = LogLine(step="reset", fields={"detail": f"begins: {why}"})
            self._mailbox.commit(Batch(phase=phase, gate_epoch=self._approval.kept, log=[line]))
        self._last = seconds_of(self._mailbox.last_message())
        known = self._mailbox.ledger_size()
        found = self._walk()
        self._decide(found, why)
        self._meter.begin(found.unknown)
        with self._transfer.committer(wrap=without_cursor, then=self._quarantine.committed) as committer:
            if found.unknown > len(found.refs):
                found = self._walk(committer)
            else:
                self._download(found.refs, committer)
            before: set[str] = set()
            while self._aside != before:
                before = set(self._aside)
                committer.drain()  # or what is still on its way into the ledger would be downloaded again
                found = self._walk(committer)
            self._run.settle(committer, None)
        self._meter.end()
        self._close(found, why, known=known)

    # -- inside ------------------------------------------------------------------------------

    def _walk(self, committer: Committer | None = None) -> Census:
        """Makes the new ledger; with a committer it also downloads what is unknown."""
        found = Census()
        self._translation = Translation(self._mailbox.outbox())
        stage = self._mailbox.stage()
        stage.begin()
        for piece in self._source.listing():
            self._pulse.check()
            mails = [mail for mail in piece.mails if mail.ref.key not in self._aside]
            known = stage.walk([mail.name for mail in mails])
            unknown = [
                ref for mail, is_known in zip(mails, known, strict=True) if (ref := self._judge(mail, is_known, found))
            ]
            if committer:
                self._download(unknown, committer)
            else:
                found.refs += unknown[: max(KEPT - len(found.refs), 0)]
            found.cursor = piece.cursor
        return found

    def _judge(self, mail: Listed, is_known: bool, found: Census) -> Ref | None:
        """Counts a mail; returns its ref if it is to be downloaded."""
        found.total += 1
        digest = self._mailbox.digest(mail.name)
        found.anchor = f"{mail.ref.uid}:{digest}"
        if is_known:
            found.matched += 1
            self._run.proof = self._run.proof or mail.ref
            self._translation.saw(mail.ref.key, digest)
            return None
        found.unknown += 1
        found.old += mail.received is None or mail.received <= self._last
        return mail.ref

    def _decide(self, found: Census, why: str) -> None:
        """Thousands of old mails are not downloaded again without a word (`store.md` 34)."""
        most = self._assignment.spec.approval.max_messages
        if found.suspicious <= most or self._approval.given:
            return
        raise GateClosed(
            "MailboxReset",
            f"{why or 'the mailbox was replaced'}; of {found.total} mails {found.matched} were recognised, "
            f"{found.unknown} would be downloaded, and {found.suspicious} of these probably once more; that is more "
            f"than spec.approval.maxMessages ({most}); nothing was downloaded",
        )

    def _download(self, refs: list[Ref], committer: Committer) -> None:
        for some in self._run.runs(refs):
            for item in self._transfer.fetch(some, committer):
                if isinstance(item, Unreadable):
                    self._aside.add(item.ref.key)
                self._run.take(item, committer)
            self._run.prove_each(committer)

    def _close(self, found: Census, why: str, *, known: int) -> None:
        """Ends the reset.

        If most of what was known is missing, the mailbox may be there only in part (its storage is not mounted, and the
        server made an empty one): the old ledger stays, so that nothing comes twice when the rest is back.
        """
        complete = 2 * found.matched >= known
        changes = self._translation.result()
        dropped = sum(not new for new in changes.values())
        text = (
            f"{why or 'the mailbox was replaced'}; {found.matched} mails were recognised and {self._meter.done} "
            f"downloaded; {len(changes) - dropped} after-download actions go on, {dropped} were dropped"
        )
        self._mailbox.commit(
            Batch(
                cursor=found.cursor,
                anchor=found.anchor,
                phase=STEADY,
                staged=complete,
                outbox=changes,
                released=[ref for ref in self._quarantine.refs() if ref not in self._aside],
                gate_epoch=max(self._assignment.gate_epoch, self._mailbox.state.gate_epoch),
                log=[LogLine(step="reset", fields={"detail": text})],
            )
        )
        if not complete:
            self._mailbox.stage().begin()  # frees what was made in vain
        self._quarantine.forget(keep=self._aside)
        log.info(text, extra=self._extra)
        self._tell("MailboxReset", text)


def seconds_of(moment: str) -> int:
    """Seconds since 1970 of an RFC 3339 text; -1 if it is empty."""
    return int(datetime.fromisoformat(moment).timestamp()) if moment else -1
