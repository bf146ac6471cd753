"""After-download actions of a session: only for mails that are durable, only what the spec asks for now."""

import logging
from collections.abc import Callable, Sequence

from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.report import ActionState
from mailfetch_fetcher.contract.units import duration
from mailfetch_fetcher.environment import Environment
from mailfetch_fetcher.mails import wanted_action
from mailfetch_fetcher.memory import RESUME, Memory
from mailfetch_fetcher.pulse import Pulse
from mailfetch_fetcher.sources.base import Outcome, PendingAction
from mailfetch_fetcher.sources.source import Source
from mailfetch_fetcher.store.mailbox import Mailbox

log = logging.getLogger(__name__)

DURABLE = 1000
"""Actions that one barrier covers."""
BARRIER = 30.0
"""Seconds that a barrier may take: with `appendfsync everysec` it watches the disk for up to five times two seconds."""


class Acting:
    """Lives as long as one connection to the mailbox.

    Attributes:
        waiting: There are actions that will be possible soon, when their mails are durable.
        deleted: Mails were deleted since this was last set to False.
        more: This connection can carry out no more of them (QUIT ended it), and there are more.
    """

    def __init__(
        self,
        *,
        assignment: Assignment,
        source: Source,
        mailbox: Mailbox,
        env: Environment,
        pulse: Pulse,
        memory: Memory,
        paused_at: Callable[[], int],
    ) -> None:
        """Does nothing yet.

        Args:
            assignment: What is wanted.
            source: Where it is done.
            mailbox: Where it is noted.
            env: For the report.
            pulse: Sign of life.
            memory: Counts what could not be proven.
            paused_at: The store went back in time and nobody has resumed the actions; 0: go on.
        """
        after = assignment.spec.after_download
        self._assignment = assignment
        self._source = source
        self._mailbox = mailbox
        self._env = env
        self._pulse = pulse
        self._memory = memory
        self._paused_at = paused_at
        self._extra = {"connection": assignment.name, "namespace": assignment.namespace}
        self._action = wanted_action(assignment.spec)
        self._delay = duration(after.delay, default=0.0)
        self._group = after.consumer_group if after.when == "Acknowledged" else ""
        self._in_vain = 0
        self.waiting = False
        self.deleted = False
        self.more = False

    def finish(self) -> None:
        """Carries out what is due. A failing action never stops downloading; it is told and tried again."""
        failed, self._in_vain, self.more = "", 0, False
        while not (paused := self._paused()):
            self._pulse.check()
            self._pulse.beat(extra=BARRIER)
            actions = self._due()
            outcomes = self._carry_out_all(actions)
            failed = next((o.detail for o in outcomes if o.result == "failed"), failed)
            if all(o.result == "failed" for o in outcomes):
                break  # nothing got on
            if self._source.by_name and any(o.result == "done" for o in outcomes):
                self.more = len(actions) >= self._most()
                break
        pending = self._mailbox.outbox_size()
        state = self._state(pending, failed=failed, paused=paused)
        self.waiting = state.reason == "Pending"
        self._env.hub.update(self._assignment.name, actions=state)

    def _paused(self) -> int:
        """Seen and not seen can be repeated; Delete and Move wait for people after the store went back in time."""
        destructive = self._action is not None and self._action.kind in ("Delete", "Move")
        return self._paused_at() if destructive else 0

    def _most(self) -> int:
        return max(DURABLE, self._source.most_actions) if self._source.by_name else DURABLE

    def _due(self) -> Sequence[PendingAction]:
        due = self._mailbox.due_actions(self._most(), delay=self._delay, group=self._group)
        self._in_vain = due.waiting
        self._memory.unproven += due.unproven
        return due.actions

    def _carry_out_all(self, actions: Sequence[PendingAction]) -> list[Outcome]:
        """What an earlier spec asked for is dropped (`store.md` I8), the rest goes to the server."""
        now = self._action
        stale = [a for a in actions if now is None or (a.kind, a.folder) != (now.kind, now.folder)]
        outcomes = [Outcome(action=a, result="dropped", detail="spec.afterDownload has changed") for a in stale]
        self._settle(outcomes)
        wanted = [a for a in actions if now is not None and (a.kind, a.folder) == (now.kind, now.folder)]
        most = self._source.most_actions
        for start in range(0, len(wanted), most):
            self._pulse.check()  # the assignment may have gone meanwhile
            some = self._source.finish(
                wanted[start : start + most],
                digest=self._mailbox.digest,
                advance=self._mailbox.advance,
                confirm=self._mailbox.confirm_lease,
            )
            self._settle(some)
            outcomes += some
        return outcomes

    def _settle(self, outcomes: Sequence[Outcome]) -> None:
        if not outcomes:
            return
        self._mailbox.settle(outcomes)
        self.deleted |= any(o.result == "done" and o.action.kind == "Delete" for o in outcomes)
        for outcome in outcomes:
            if outcome.result == "dropped":
                extra = self._extra | {"ref": outcome.action.key}
                log.warning("after-download action dropped: %s", outcome.detail, extra=extra)

    def _state(self, pending: int, *, failed: str, paused: int) -> ActionState:
        unproven = self._memory.unproven
        if pending and paused:
            text = (
                "Redis went back in time (an older copy was restored, or a failover lost the end): step "
                f"{paused} was seen before. The stream may lack mails that are still in the mailbox, so nothing is "
                f"deleted or moved until people agree: annotate mailfetch.dev/{RESUME}={paused}"
            )
            return ActionState(reason="StoreWentBack", message=text, pending=pending, unproven=unproven)
        safety = self._mailbox.safety()
        if not safety.ok:
            return ActionState(reason="StoreUnsafe", message=safety.message, pending=pending, unproven=unproven)
        if failed:
            return ActionState(reason="Failed", message=failed, pending=pending, unproven=unproven)
        if pending > self._in_vain and not self.more:
            text = "waiting until the mails are durable in Redis"
            return ActionState(reason="Pending", message=text, pending=pending, unproven=unproven)
        return ActionState(message=self._waits_for() if pending else "", pending=pending, unproven=unproven)

    def _waits_for(self) -> str:
        """What the mails in the outbox rightly wait for."""
        after, reasons = self._assignment.spec.after_download, []
        if self._delay:
            reasons.append(f"until {after.delay} have passed (spec.afterDownload.delay)")
        if self._group:
            reasons.append(f"until consumer group {self._group} has acknowledged them")
        return f"these mails wait {' and '.join(reasons)}" if reasons else ""
