"""Deleting over POP3: DELE for each mail, then QUIT, whose +OK alone makes it true (RFC 1939 section 6).

- A mail is deleted only if it is the one that was downloaded: in another session than that one, its header must hash
  to the fingerprint of the action (`store.md` hazards 20 and 21).
- Mails that share a UIDL are told apart by their occurrence in the list (23). So none of them is deleted before all of
  them are known, nor while a later one stays: it would take the name of the deleted one.
- After anything but +OK to QUIT nothing is known: the actions stay, and the list of the next session decides.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from mailfetch_fetcher.sources.base import Outcome, PendingAction
from mailfetch_fetcher.sources.pop3_errors import Refused
from mailfetch_fetcher.sources.pop3_identity import identity
from mailfetch_fetcher.sources.pop3_session import AreKnown, Pop3Session
from mailfetch_fetcher.sources.source import Digest

_Wanted = dict[int, list[PendingAction]]
"""Actions by the position of their mail."""

GONE = "it is not in the mailbox any more"
"""`Outcome.detail` of a mail that was not listed: done, but not proven to be our doing."""

_NOT_DURABLE = "a mail that is not downloaded yet was read in this session; it is tried again in another one"
"""`Outcome.detail` where QUIT could remove more than what is to be deleted."""


class Deleting:
    """Carries out the deletions of one session; QUIT ends it, if anything was deleted."""

    def __init__(
        self, session: Pop3Session, *, digest: Digest, confirm: Callable[[], None], are_known: AreKnown
    ) -> None:
        self._session = session
        self._maildrop = session.maildrop
        self._digest = digest
        self._confirm = confirm
        self._are_known = are_known
        self._outcomes: dict[str, Outcome] = {}

    def run(self, actions: Sequence[PendingAction]) -> list[Outcome]:
        """One outcome for each action."""
        wanted: _Wanted = {}  # more than one: the mail was asked for once more (refetch)
        for action in actions:
            position = self._maildrop.find(action.key)
            if position is None:
                self._outcomes[action.member] = Outcome(action=action, result="done", detail=GONE, was_gone=True)
            else:
                wanted.setdefault(position, []).append(action)
        wanted = self._without_strangers(wanted)
        wanted = self._without_first_twins(wanted)
        if wanted and not self._session.quit_is_harmless(self._are_known):
            for some in wanted.values():
                self._settle(some, "failed", _NOT_DURABLE)
        elif wanted:
            self._delete(wanted)
        return [self._outcomes[action.member] for action in actions]

    # ---- what may be deleted ----

    def _without_strangers(self, wanted: _Wanted) -> _Wanted:
        """Without mails that are not those that were downloaded."""
        numbers = self._maildrop.numbers
        kept = {at: actions for at, actions in wanted.items() if numbers[at] in self._session.delivered}
        doubtful = [at for at in wanted if at not in kept]
        heads = self._session.heads([numbers[at] for at in doubtful], retrieve=True)
        for at, head in zip(doubtful, heads, strict=True):
            if head is None:
                self._settle(wanted[at], "failed", "the server does not show the header, so it cannot be compared")
                continue
            fingerprint = self._digest(identity(head))
            same = [action for action in wanted[at] if action.fingerprint == fingerprint]
            others = [action for action in wanted[at] if action.fingerprint != fingerprint]
            self._settle(others, "dropped", "another mail has its UIDL now")
            if same:
                kept[at] = same
                self._session.unsaved.discard(numbers[at])  # it is the one that is durable
            elif numbers[at] in self._session.unsaved:
                self._session.spoiled = True
        return kept

    def _without_first_twins(self, wanted: _Wanted) -> _Wanted:
        """Without mails whose later twins stay, or are not known."""
        kept = {}
        for at, actions in wanted.items():
            twins = self._maildrop.same(at)
            if len(twins) > 1 and not self._are_known([self._maildrop.name(twin) for twin in twins]):
                self._settle(actions, "failed", "another mail with the same UIDL is not downloaded yet")
            elif any(twin not in wanted for twin in twins[twins.index(at) :]):
                self._settle(actions, "failed", "another mail with the same UIDL has to be deleted first")
            else:
                kept[at] = actions
        return kept

    # ---- deleting ----

    def _delete(self, wanted: _Wanted) -> None:
        deleted: list[PendingAction] = []
        try:
            for at, refusal in self._marked(wanted):
                if refusal:
                    self._settle(wanted[at], "failed", refusal)
                else:
                    deleted += wanted[at]
            if not deleted:
                return
            self._confirm()
        except BaseException:
            self._session.close()  # without QUIT nothing of it happens
            raise
        why = self._session.quit()
        if why:
            self._settle(deleted, "failed", f"it is not known whether the mail was deleted: {why}")
        else:
            self._settle(deleted, "done", "")

    def _marked(self, wanted: _Wanted) -> Iterator[tuple[int, str]]:
        """Sends DELE for all; position and refusal (or empty) of each."""
        numbers = self._maildrop.numbers
        alone = [at for at in wanted if len(self._maildrop.same(at)) == 1]
        for index in self._session.wire.each([b"DELE %d" % numbers[at] for at in alone], ahead=self._session.ahead):
            yield alone[index], self._refusal()
        kept: set[int] = set()
        for at in sorted(set(wanted) - set(alone), reverse=True):  # twins: the last one first
            first = self._maildrop.same(at)[0]
            if first in kept:
                yield at, "another mail with the same UIDL could not be deleted"
                continue
            self._session.wire.command(b"DELE %d" % numbers[at])
            refusal = self._refusal()
            if refusal:
                kept.add(first)
            yield at, refusal

    def _refusal(self) -> str:
        try:
            self._session.wire.status()
        except Refused as e:
            return f"the server refuses to delete it: {e.text or 'no reason given'}"
        return ""

    def _settle(
        self, actions: Sequence[PendingAction], result: Literal["done", "dropped", "failed"], detail: str
    ) -> None:
        for action in actions:
            self._outcomes[action.member] = Outcome(action=action, result=result, detail=detail)
