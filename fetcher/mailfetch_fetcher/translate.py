"""After a reset: which pending after-download action belongs to which mail now (pure).

An action was made for a mail under its old UID. It goes on under the UID at which a mail with the same fingerprint
stands that was downloaded before; if there is none (any more), it is dropped.
"""

from collections import defaultdict
from collections.abc import Iterable

from mailfetch_fetcher.sources.base import PendingAction


class Translation:
    """Filled by one walk over the mailbox. Memory is bounded by the outbox, not by the mailbox."""

    def __init__(self, actions: Iterable[PendingAction]) -> None:
        """Takes the outbox as it was before the walk, oldest first."""
        self._actions: dict[str, list[PendingAction]] = defaultdict(list)
        for action in actions:
            self._actions[action.fingerprint].append(action)
        self._seen: dict[str, list[str]] = defaultdict(list)

    def __bool__(self) -> bool:
        """There is something to translate."""
        return bool(self._actions)

    def saw(self, key: str, fingerprint: str) -> None:
        """The walk met a mail that was downloaded before."""
        if fingerprint in self._actions:
            self._seen[fingerprint].append(key)

    def result(self) -> dict[str, str]:
        """Members of the outbox that change: old → new, or empty if the action must be dropped."""
        changes: dict[str, str] = {}
        for fingerprint, actions in self._actions.items():
            changes |= _pair(actions, self._seen[fingerprint])
        return changes


def _pair(actions: list[PendingAction], seen: list[str]) -> dict[str, str]:
    """Actions of mails that look the same: one that names such a mail keeps it, the others take the rest in order."""
    there = set(seen)
    kept = {action.key for action in actions if action.key in there}
    free = iter([key for key in seen if key not in kept])
    changes = {}
    for action in actions:
        if action.key not in kept:
            key = next(free, "")
            changes[action.member] = key and key + action.member.removeprefix(action.key)
    return changes
