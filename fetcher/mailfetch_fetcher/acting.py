"""After-download actions of a session: only for mails that are durable, only what the spec asks for now."""

import logging
from collections.abc import Callable, Iterator, Sequence

from mailfetch_fetcher.contract.assignment import Assignment
from mailfetch_fetcher.contract.report import ActionState
from mailfetch_fetcher.environment import Environment
from mailfetch_fetcher.mails import wanted_action
from mailfetch_fetcher.memory import RESUME
from mailfetch_fetcher.pulse import Pulse
from mailfetch_fetcher.sources.base import Outcome, PendingAction, Source
from mailfetch_fetcher.store.mailbox import Mailbox

log = logging.getLogger(__name__)

COMMAND = 100
"""Actions of one command to the server."""
DURABLE = 1000
"""Actions that one barrier covers."""
BARRIER = 30.0
"""Seconds that a barrier may take: without WAITAOF it watches the disk for up to five times two seconds."""


class Acting:
    """Lives as long as one connection to the mailbox."""

    def __init__(
        self,
        *,
        assignment: Assignment,
        source: Source,
        mailbox: Mailbox,
        env: Environment,
        pulse: Pulse,
        paused_at: Callable[[], int],
    ) -> None:
        """Does nothing yet.

        Args:
            assignment: What is wanted.
            source: Where it is done.
            mailbox: Where it is noted.
            env: For the report.
            pulse: Sign of life.
            paused_at: The store went back in time and nobody has resumed the actions; 0: go on.
        """
        self._assignment = assignment
        self._source = source
        self._mailbox = mailbox
        self._env = env
        self._pulse = pulse
        self._paused_at = paused_at
        self._extra = {"connection": assignment.name, "namespace": assignment.namespace}
        self._action = wanted_action(assignment.spec.after_download)
        self.waiting = False
        """There are actions that will be possible soon, when their mails are durable."""

    def finish(self) -> None:
        """Carries out what is durable. A failing action never stops downloading; it is told and tried again."""
        failed = ""
        while not (paused := self._paused()):
            self._pulse.check()
            self._pulse.beat(extra=BARRIER)
            outcomes = [o for some in self._durable() for o in self._carry_out(some)]
            failed = next((o.detail for o in outcomes if o.result == "failed"), failed)
            if all(o.result == "failed" for o in outcomes):
                break  # nothing got on
        pending = self._mailbox.outbox_size()
        state = self._state(pending, failed=failed, paused=paused)
        self.waiting = state.reason == "Pending"
        self._env.hub.update(self._assignment.name, actions=state)

    def _paused(self) -> int:
        """Seen and not seen can be repeated; Delete and Move wait for people after the store went back in time."""
        destructive = self._action is not None and self._action.kind in ("Delete", "Move")
        return self._paused_at() if destructive else 0

    def _durable(self) -> Iterator[Sequence[PendingAction]]:
        actions = self._mailbox.durable_actions(DURABLE)
        for start in range(0, len(actions), COMMAND):
            yield actions[start : start + COMMAND]

    def _carry_out(self, actions: Sequence[PendingAction]) -> list[Outcome]:
        """One command to the server; what an earlier spec asked for is dropped (`store.md` I8)."""
        self._pulse.check()  # the assignment may have gone meanwhile
        now = self._action
        stale = [a for a in actions if now is None or (a.kind, a.folder) != (now.kind, now.folder)]
        outcomes = [Outcome(action=a, result="dropped", detail="spec.afterDownload has changed") for a in stale]
        wanted = [a for a in actions if a not in stale]
        if wanted:
            self._mailbox.confirm_lease()
            outcomes += self._source.finish(wanted, digest=self._mailbox.digest, advance=self._mailbox.advance)
        self._mailbox.settle(outcomes)
        for outcome in outcomes:
            if outcome.result == "dropped":
                extra = self._extra | {"uid": outcome.action.uid}
                log.warning("after-download action dropped: %s", outcome.detail, extra=extra)
        return outcomes

    def _state(self, pending: int, *, failed: str, paused: int) -> ActionState:
        if pending and paused:
            text = (
                "Redis went back in time (an older copy was restored, or a failover lost the end): step "
                f"{paused} was seen before. The stream may lack mails that are still in the mailbox, so nothing is "
                f"deleted or moved until people agree: annotate mailfetch.dev/{RESUME}={paused}"
            )
            return ActionState(reason="StoreWentBack", message=text, pending=pending)
        safety = self._mailbox.safety()
        if not safety.ok:
            return ActionState(reason="StoreUnsafe", message=safety.message, pending=pending)
        if failed:
            return ActionState(reason="Failed", message=failed, pending=pending)
        if pending:
            text = "waiting until the mails are durable in Redis"
            return ActionState(reason="Pending", message=text, pending=pending)
        return ActionState()
