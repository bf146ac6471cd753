"""Carrying out one kind of change on many mails: all with one command; what is refused, one by one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources.base import Outcome, PendingAction
from mailfetch_fetcher.sources.imap_look import present
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.imap_wire import Refused, Wire
from mailfetch_fetcher.sources.source import Advance, Digest

_GIVE_UP = 3
"""Refusals one after the other until the rest of a batch is not tried."""


@dataclass(frozen=True, kw_only=True)
class Means:
    """What `Source.finish` is given besides the actions."""

    digest: Digest
    advance: Advance
    confirm: Callable[[], None]


class ImpossibleNow(Exception):
    """The whole batch cannot be done now; the text says why."""


class Batches:
    """Runs commands on one open folder."""

    def __init__(self, wire: Wire, *, settings: ImapSettings) -> None:
        self._wire = wire
        self._settings = settings

    def each(self, actions: Sequence[PendingAction], do: Callable[[list[int]], None]) -> list[Outcome]:
        """All at once; what is refused, one by one.

        Args:
            actions: At most as many as fit into one command.
            do: Changes the mails with these UIDs.
        """
        if not actions:
            return []
        try:
            do(sorted(a.uid for a in actions))
            return [done(a) for a in actions]
        except ImpossibleNow as e:
            return [failed(a, str(e)) for a in actions]
        except Refused as e:
            self.endure(e)
            if len(actions) > 1:
                return self._one_by_one(actions, do)
            return [self._refused(actions[0], e)]

    def endure(self, refusal: Refused) -> None:
        """A refusal fails an action, unless the server asks for patience.

        Raises:
            SourceError: it does.
        """
        if error := errors.throttled(self._settings.address, refusal.text):
            raise error from refusal

    def _one_by_one(self, actions: Sequence[PendingAction], do: Callable[[list[int]], None]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        failures, text = 0, ""
        for action in actions:
            if failures == _GIVE_UP:
                outcomes.append(failed(action, text))
                continue
            [outcome] = self.each([action], do)
            failures, text = (failures + 1, outcome.detail) if outcome.result == "failed" else (0, "")
            outcomes.append(outcome)
        return outcomes

    def _refused(self, action: PendingAction, refusal: Refused) -> Outcome:
        """Refused because the mail is gone is as good as done (RFC 2180 section 4.2)."""
        try:
            gone = action.uid not in present(self._wire, [action.uid])
        except Refused:
            gone = False
        return done(action) if gone else failed(action, f"{action.kind}: the server says: {refusal.text}")


def done(action: PendingAction) -> Outcome:
    """It was carried out, or there is nothing left to do."""
    return Outcome(action=action, result="done")


def failed(action: PendingAction, detail: str) -> Outcome:
    """It stays pending."""
    return Outcome(action=action, result="failed", detail=detail)
