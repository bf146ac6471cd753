"""After-download actions. Every mail that comes here is durable in the store; everything here may be done twice.

A mail is named by UIDVALIDITY and UID, and by its fingerprint if another session downloaded it (`store.md` hazard 20).
Without UIDPLUS (RFC 4315) EXPUNGE would also remove what other people flagged as deleted. Such a folder is
left alone until nobody else's flag is in it: the simplest of the ways of RFC 4549 section 4.2.4 that cannot do harm.
"""

from collections.abc import Callable, Sequence

from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources.base import ActionPhase, Outcome, PendingAction
from mailfetch_fetcher.sources.imap_answers import uid_set
from mailfetch_fetcher.sources.imap_fetch import object_item
from mailfetch_fetcher.sources.imap_folders import Folder, quoted
from mailfetch_fetcher.sources.imap_look import look, present, search
from mailfetch_fetcher.sources.imap_move import Target
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.imap_wire import Refused, Wire

Digest = Callable[[bytes], str]
Advance = Callable[[PendingAction, ActionPhase], PendingAction]

_GIVE_UP = 3
"""Refusals one after the other until the rest of a batch is not tried."""


class _Impossible(Exception):
    """The whole batch cannot be done now; the text says why."""


class Actions:
    """Acts on one open folder."""

    def __init__(
        self, wire: Wire, *, folder: Folder, settings: ImapSettings, capabilities: frozenset[str], target: bytes
    ) -> None:
        self._wire = wire
        self._folder = folder
        self._settings = settings
        self._object_item = object_item(capabilities)
        self._can_expunge = bool({"UIDPLUS", "IMAP4REV2"} & capabilities)
        self._can_move = bool({"MOVE", "IMAP4REV2"} & capabilities)
        self._target = Target(wire, folder=folder, settings=settings, name=target, object_item=self._object_item)

    def finish(self, actions: Sequence[PendingAction], *, digest: Digest, advance: Advance) -> list[Outcome]:
        """See `Source.finish`."""
        if self._folder.read_only:
            return [_failed(action, "the folder was opened read-only") for action in actions]
        own = [a for a in actions if a.uid_validity == str(self._folder.uid_validity)]
        outcomes = [
            Outcome(action=a, result="dropped", detail="the server numbered the mails anew (UIDVALIDITY) since")
            for a in actions
            if a.uid_validity != str(self._folder.uid_validity)
        ]
        for kind, do in (("MarkSeen", self._mark_seen), ("Delete", self._delete), ("Move", self._move)):
            if chosen := [a for a in own if a.kind == kind]:
                outcomes += do(chosen, digest, advance)
        return outcomes

    # ---- the three kinds ----

    def _mark_seen(self, actions: list[PendingAction], _digest: Digest, _advance: Advance) -> list[Outcome]:
        return self._each(actions, lambda uids: self._store(uids, rb"\Seen"))

    def _delete(self, actions: list[PendingAction], digest: Digest, _advance: Advance) -> list[Outcome]:
        proven, outcomes = self._proven(actions, digest)
        return outcomes + self._each(proven, self._expunge)

    def _move(self, actions: list[PendingAction], digest: Digest, advance: Advance) -> list[Outcome]:
        proven, outcomes = self._proven(actions, digest)
        if not proven:
            return outcomes
        self._target.refuse_same_folder(proven[0], digest)
        if self._can_move:
            command = b"UID MOVE %s " + quoted(self._target.name)
            return outcomes + self._each(proven, lambda uids: self._run(command % uid_set(uids)))
        copied, failed = self._target.copy(proven, advance)
        return outcomes + failed + self._each(copied, self._expunge)

    # ---- commands ----

    def _run(self, command: bytes) -> None:
        self._wire.run(command)

    def _store(self, uids: list[int], flag: bytes) -> None:
        self._wire.run(b"UID STORE %s +FLAGS.SILENT (%s)" % (uid_set(uids), flag))

    def _expunge(self, uids: list[int]) -> None:
        if self._can_expunge:
            self._store(uids, rb"\Deleted")
            self._wire.run(b"UID EXPUNGE " + uid_set(uids))
            return
        self._refuse_foreign(uids)
        self._store(uids, rb"\Deleted")
        self._refuse_foreign(uids)  # somebody may have flagged a mail in between
        self._wire.run(b"EXPUNGE")

    def _refuse_foreign(self, uids: list[int]) -> None:
        self._wire.run(b"NOOP")  # lets the server tell us of flags that changed
        if foreign := set(search(self._wire, b"DELETED")) - set(uids):
            raise _Impossible(
                f"{len(foreign)} other mails in the folder {self._settings.folder} are flagged as deleted (UID "
                f"{min(foreign)} is one), and this server (no UIDPLUS) would remove them together with ours; "
                "expunge or undelete them with a mail program"
            )

    # ---- batches ----

    def _proven(self, actions: list[PendingAction], digest: Digest) -> tuple[list[PendingAction], list[Outcome]]:
        """The actions whose mail under this UID is the one that was downloaded."""
        unsure = [a for a in actions if not a.same_session]
        if not unsure:
            return actions, []
        try:
            seen = look(self._wire, {a.uid for a in unsure}, object_item=self._object_item)
            there = present(self._wire, {a.uid for a in unsure} - seen.keys()) if len(seen) < len(unsure) else set()
        except Refused as e:
            self._endure(e)
            return [a for a in actions if a.same_session], [_failed(a, e.text) for a in unsure]
        outcomes = []
        for action in unsure:
            if action.uid in there:
                outcomes.append(_failed(action, "the server does not show the mail"))
            elif action.uid not in seen:
                outcomes.append(_done(action))  # gone: what we wanted, or somebody else's will
            elif digest(seen[action.uid].identity) != action.fingerprint:
                text = "another mail stands under this UID now"
                outcomes.append(Outcome(action=action, result="dropped", detail=text))
        settled = {outcome.action.uid for outcome in outcomes}
        return [a for a in actions if a.uid not in settled], outcomes

    def _each(self, actions: list[PendingAction], do: Callable[[list[int]], None]) -> list[Outcome]:
        """All at once; what is refused, one by one."""
        if not actions:
            return []
        try:
            do(sorted(a.uid for a in actions))
            return [_done(a) for a in actions]
        except _Impossible as e:
            return [_failed(a, str(e)) for a in actions]
        except Refused as e:
            self._endure(e)
            if len(actions) > 1:
                return self._one_by_one(actions, do)
            return [self._refused(actions[0], e)]

    def _one_by_one(self, actions: list[PendingAction], do: Callable[[list[int]], None]) -> list[Outcome]:
        outcomes: list[Outcome] = []
        failures, text = 0, ""
        for action in actions:
            if failures == _GIVE_UP:
                outcomes.append(_failed(action, text))
                continue
            [outcome] = self._each([action], do)
            failures, text = (failures + 1, outcome.detail) if outcome.result == "failed" else (0, "")
            outcomes.append(outcome)
        return outcomes

    def _refused(self, action: PendingAction, refusal: Refused) -> Outcome:
        """Refused because the mail is gone is as good as done (RFC 2180 section 4.2)."""
        try:
            gone = action.uid not in present(self._wire, [action.uid])
        except Refused:
            gone = False
        return _done(action) if gone else _failed(action, f"{action.kind}: the server says: {refusal.text}")

    def _endure(self, refusal: Refused) -> None:
        if error := errors.throttled(self._settings.address, refusal.text):
            raise error from refusal


def _done(action: PendingAction) -> Outcome:
    return Outcome(action=action, result="done")


def _failed(action: PendingAction, detail: str) -> Outcome:
    return Outcome(action=action, result="failed", detail=detail)
