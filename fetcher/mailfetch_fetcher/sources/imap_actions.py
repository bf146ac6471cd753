"""After-download actions. Every mail that comes here is durable in the store; everything here may be done twice.

A mail is named by UIDVALIDITY and UID, and by its fingerprint if another session downloaded it (`store.md` hazard 20).
Without UIDPLUS (RFC 4315) EXPUNGE would also remove what other people flagged as deleted. Such a folder is
left alone until nobody else's flag is in it: the simplest of the ways of RFC 4549 section 4.2.4 that cannot do harm.

On Gmail, Delete moves to the Trash (the folder with the special use Trash): a folder is a label there, and expunging a
mail from it may only take that label away, so that the mail stays in All Mail. Gmail empties its Trash after 30 days.
"""

from collections.abc import Sequence

from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources.base import Outcome, PendingAction
from mailfetch_fetcher.sources.imap_answers import uid_set
from mailfetch_fetcher.sources.imap_batch import Batches, ImpossibleNow, Means, done, failed
from mailfetch_fetcher.sources.imap_folders import Folder, quoted
from mailfetch_fetcher.sources.imap_look import look, object_item, present, search
from mailfetch_fetcher.sources.imap_move import Target
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.imap_wire import Refused, Wire


class Actions:
    """Acts on one open folder."""

    def __init__(
        self, wire: Wire, *, folder: Folder, settings: ImapSettings, capabilities: frozenset[str], target: bytes
    ) -> None:
        """Does nothing yet.

        Args:
            wire: The connection.
            folder: The open folder.
            settings: Of the connection.
            capabilities: Of the server.
            target: Name on the wire of the folder that Move (or on Gmail Delete) moves to, else empty.
        """
        self._wire = wire
        self._folder = folder
        self._settings = settings
        self._object_item = object_item(capabilities)
        self._can_expunge = bool({"UIDPLUS", "IMAP4REV2"} & capabilities)
        self._can_move = bool({"MOVE", "IMAP4REV2"} & capabilities)
        self._target = Target(wire, folder=folder, settings=settings, name=target, object_item=self._object_item)
        self._batches = Batches(wire, settings=settings)

    def finish(self, actions: Sequence[PendingAction], means: Means) -> list[Outcome]:
        """See `Source.finish`."""
        if self._folder.read_only:
            return [failed(action, "the folder was opened read-only") for action in actions]
        own = [a for a in actions if a.uid_validity == str(self._folder.uid_validity)]
        outcomes = [
            Outcome(action=a, result="dropped", detail="the server numbered the mails anew (UIDVALIDITY) since")
            for a in actions
            if a.uid_validity != str(self._folder.uid_validity)
        ]
        proven, settled = self._proven(own, means)
        outcomes += settled
        for kind, do in (("MarkSeen", self._mark_seen), ("Delete", self._delete), ("Move", self._move)):
            if chosen := [a for a in proven if a.kind == kind]:
                outcomes += do(chosen, means)
        return outcomes

    # ---- the three kinds ----

    def _mark_seen(self, actions: list[PendingAction], means: Means) -> list[Outcome]:
        return self._batches.each(actions, lambda uids: self._store(uids, rb"\Seen", means))

    def _delete(self, actions: list[PendingAction], means: Means) -> list[Outcome]:
        if self._target.name and not self._target.is_same(actions[0], means.digest):
            return self._move_all(actions, means)
        return self._batches.each(actions, lambda uids: self._expunge(uids, means))

    def _move(self, actions: list[PendingAction], means: Means) -> list[Outcome]:
        if self._target.is_same(actions[0], means.digest):
            raise errors.same_folder(self._settings.folder, self._settings.target)
        return self._move_all(actions, means)

    def _move_all(self, actions: list[PendingAction], means: Means) -> list[Outcome]:
        if self._can_move and all(a.phase == "pending" for a in actions):
            command = b"UID MOVE %s " + quoted(self._target.name)
            return self._batches.each(actions, lambda uids: self._change(command % uid_set(uids), means))
        copied, failures = self._target.copy(actions, means)
        return failures + self._batches.each(copied, lambda uids: self._expunge(uids, means))

    # ---- commands ----

    def _change(self, command: bytes, means: Means) -> None:
        """Everything that changes the mailbox goes through here (and `Target.copy`)."""
        means.confirm()
        self._wire.run(command)

    def _store(self, uids: list[int], flag: bytes, means: Means) -> None:
        self._change(b"UID STORE %s +FLAGS.SILENT (%s)" % (uid_set(uids), flag), means)

    def _expunge(self, uids: list[int], means: Means) -> None:
        if self._can_expunge:
            self._store(uids, rb"\Deleted", means)
            self._change(b"UID EXPUNGE " + uid_set(uids), means)
            return
        self._refuse_foreign(uids)
        self._store(uids, rb"\Deleted", means)
        self._refuse_foreign(uids)  # somebody may have flagged a mail in between
        self._change(b"EXPUNGE", means)

    def _refuse_foreign(self, uids: list[int]) -> None:
        self._wire.run(b"NOOP")  # lets the server tell us of flags that changed
        if foreign := set(search(self._wire, b"DELETED")) - set(uids):
            raise ImpossibleNow(
                f"{len(foreign)} other mails in the folder {self._settings.folder} are flagged as deleted (UID "
                f"{min(foreign)} is one), and this server (no UIDPLUS) would remove them together with ours; "
                "expunge or undelete them with a mail program"
            )

    # ---- proof ----

    def _proven(self, actions: list[PendingAction], means: Means) -> tuple[list[PendingAction], list[Outcome]]:
        """The actions whose mail under this UID is the one that was downloaded."""
        unsure = [a for a in actions if not a.same_session]
        if not unsure:
            return actions, []
        try:
            seen = look(self._wire, {a.uid for a in unsure}, object_item=self._object_item)
            there = present(self._wire, {a.uid for a in unsure} - seen.keys())
        except Refused as e:
            self._batches.endure(e)
            return [a for a in actions if a.same_session], [failed(a, e.text) for a in unsure]
        outcomes = []
        for action in unsure:
            if action.uid in there:
                outcomes.append(failed(action, "the server does not show the mail"))
            elif action.uid not in seen:
                outcomes.append(done(action))  # gone: what we wanted, or somebody else's will
            elif not seen[action.uid].fits(action.fingerprint, means.digest):
                text = "another mail stands under this UID now"
                outcomes.append(Outcome(action=action, result="dropped", detail=text))
        settled = {outcome.action.uid for outcome in outcomes}
        return [a for a in actions if a.uid not in settled], outcomes
