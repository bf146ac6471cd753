"""What one connection to a mailbox does: the phase that the state is in, then round after round.

Order is everything: a mail is committed before its action is due, an action is due only when its mail is durable, and a
reset ends before anything is done at the mailbox (`store.md`).
"""

import logging
from collections.abc import Callable

from mailfetch_fetcher import baseline
from mailfetch_fetcher.acting import Acting
from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.environment import Environment
from mailfetch_fetcher.memory import RESUME, Memory
from mailfetch_fetcher.names import Names
from mailfetch_fetcher.news import News
from mailfetch_fetcher.progress import Meter
from mailfetch_fetcher.pulse import Pulse
from mailfetch_fetcher.quarantine import Quarantine
from mailfetch_fetcher.refetch import REQUEST, Refetch
from mailfetch_fetcher.reset import Reset, approval_of
from mailfetch_fetcher.round import Round
from mailfetch_fetcher.sources.base import Opened
from mailfetch_fetcher.sources.source import Source
from mailfetch_fetcher.store.mailbox import Mailbox
from mailfetch_fetcher.store.model import BASELINE, RESET
from mailfetch_fetcher.transfer import Transfer

log = logging.getLogger(__name__)


class Work:
    """Lives as long as one connection to the mailbox."""

    def __init__(
        self,
        *,
        assignment: Assignment,
        opened: Opened,
        source: Source,
        mailbox: Mailbox,
        env: Environment,
        memory: Memory,
        news: News,
        pulse: Pulse,
        epoch_before: int,
        requests: Callable[[], dict[str, str]],
        paused_at: Callable[[], int],
    ) -> None:
        """Does nothing yet.

        Args:
            assignment: What is wanted.
            opened: What is known of the open mailbox.
            source: The mailbox, open.
            mailbox: Its state, open.
            env: What all sessions share.
            memory: What the process knows of the state.
            news: Tells what happens.
            pulse: Sign of life.
            epoch_before: Epoch of the state before it was opened.
            requests: The requests, as they are now.
            paused_at: See `Acting`.
        """
        self._assignment = assignment
        self._opened = opened
        self._source = source
        self._mailbox = mailbox
        self._memory = memory
        self._news = news
        self._pulse = pulse
        self._requests = requests
        self._meter = Meter(assignment=assignment, env=env)
        self._transfer = Transfer(
            assignment=assignment,
            uid_validity=opened.uid_validity,
            source=source,
            mailbox=mailbox,
            env=env,
            pulse=pulse,
            meter=self._meter,
            memory=memory,
            flowing=news.committed,
        )
        self._quarantine = Quarantine(
            assignment=assignment,
            records=mailbox.quarantine(),
            clock=env.clock,
            tell=news.notice,
            count=news.quarantined,
        )
        self._acting = Acting(
            assignment=assignment,
            source=source,
            mailbox=mailbox,
            env=env,
            pulse=pulse,
            memory=memory,
            paused_at=paused_at,
        )
        self._approval = approval_of(mailbox.state, epoch_before=epoch_before, epoch=assignment.gate_epoch)
        self._names = Names(
            assignment=assignment,
            source=source,
            mailbox=mailbox,
            memory=memory,
            clock=env.clock,
            approval=self._approval,
            tell=news.notice,
        )
        self._run = self._make_round()
        self._refetch = Refetch(
            source=source,
            mailbox=mailbox,
            transfer=self._transfer,
            meter=self._meter,
            quarantine=self._quarantine,
            run=self._run,
            tell=news.notice,
            extra={"connection": assignment.name, "namespace": assignment.namespace},
        )

    @property
    def downloading(self) -> bool:
        """A download is under way, or failed."""
        return self._run.downloading

    @property
    def waiting(self) -> bool:
        """Actions will be possible soon, when their mails are durable."""
        return self._acting.waiting

    def prepare(self) -> None:
        """Brings the state into phase Steady.

        Raises:
            GateClosed: MailboxReset.
        """
        state = self._mailbox.state
        if state.phase == BASELINE:
            baseline.carry_out(self._source, self._mailbox, self._assignment.spec.backlog, check=self._pulse.check)
        elif not self._source.by_name:
            why = self._source.changed(state.cursor, anchor=state.anchor, digest=self._mailbox.digest)
            if why or state.phase.startswith(RESET):
                self._reset(why)
        self._run.cursor = self._mailbox.state.cursor

    def act(self) -> None:
        """Carries out after-download actions that are due."""
        self._acting.finish()

    @property
    def more(self) -> bool:
        """The round ended early, and is to be gone on with at once."""
        return self._source.more or self._acting.more

    def round(self) -> dict[str, str]:
        """Downloads what is new and does what is due; returns the requests that are done by it."""
        asked = self._requests()  # before the round: it does what was asked by now
        self._run.download()
        if not self._source.more:
            self._names.downloaded()
        self._run.retry()
        if REQUEST in asked:
            self._refetch.carry_out(asked[REQUEST])
        if not self._source.more:  # else the list is not complete
            deleted, request = self._acting.deleted, asked.get("fetch", "")
            self._names.prune(deleted=deleted, request=request, returned=self._run.returned)
            self._acting.deleted = False
        self._acting.finish()
        self._source.rest(durable=self._mailbox.durable)
        return {name: asked[name] for name in ("fetch", RESUME, REQUEST) if name in asked}

    # -- inside ------------------------------------------------------------------------------

    def _make_round(self) -> Round:
        return Round(
            assignment=self._assignment,
            uid_validity=self._opened.uid_validity,
            source=self._source,
            mailbox=self._mailbox,
            transfer=self._transfer,
            quarantine=self._quarantine,
            meter=self._meter,
            memory=self._memory,
            pulse=self._pulse,
            guard=self._names.guard,
            act=self._acting.finish,
        )

    def _reset(self, why: str) -> None:
        Reset(
            assignment=self._assignment,
            uid_validity=self._opened.uid_validity,
            source=self._source,
            mailbox=self._mailbox,
            transfer=self._transfer,
            quarantine=self._quarantine,
            run=self._run,
            meter=self._meter,
            pulse=self._pulse,
            approval=self._approval,
            tell=self._news.notice,
        ).carry_out(why)
