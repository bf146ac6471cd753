"""POP3 (RFC 1939) as a `Source`: one session for each round. The parts are in the modules `pop3_*`.

Rules that hold everywhere: a mail is named by its UIDL (or header) and its occurrence, never by its number; what is
new is decided by the ledger; QUIT is sent only when everything that was retrieved is durable, as it may remove what was
read (`store.md` hazard 22), and otherwise the connection is just closed.
"""

import ssl
from collections.abc import Callable, Iterator, Sequence

from mailfetch_fetcher.contract.probe import StepName
from mailfetch_fetcher.errors import SourceError
from mailfetch_fetcher.sources.base import (
    Absent,
    Baseline,
    Listed,
    Listing,
    Message,
    Opened,
    Outcome,
    PendingAction,
    Ref,
    Snapshot,
    Unreadable,
    Window,
)
from mailfetch_fetcher.sources.closing import Closable, nothing
from mailfetch_fetcher.sources.imap_idle import sleep
from mailfetch_fetcher.sources.pop3_connect import connect
from mailfetch_fetcher.sources.pop3_delete import Deleting
from mailfetch_fetcher.sources.pop3_fetch import Fetching
from mailfetch_fetcher.sources.pop3_known import KnownNames
from mailfetch_fetcher.sources.pop3_listing import Maildrop, read_sizes
from mailfetch_fetcher.sources.pop3_select import old_positions, read_since
from mailfetch_fetcher.sources.pop3_session import Pop3Session
from mailfetch_fetcher.sources.pop3_settings import Pop3Settings
from mailfetch_fetcher.sources.source import Advance, Digest, Known
from mailfetch_fetcher.sources.transport import Observe

WINDOW = 5_000
"""Mails of one window, or piece of a listing, at most."""
_START = "listed"
"""The cursor says nothing here; this one is not that of a mail."""


def _ignore(_stage: StepName, _detail: str) -> None:
    pass


class Pop3Source(Closable):
    """Implements `Source`. Used by one thread, except for `wake` and `close`."""

    most_actions = 1000
    by_name = True
    lasting_names = False

    def __init__(
        self,
        settings: Pop3Settings,
        *,
        context: ssl.SSLContext | None,
        observe: Observe = _ignore,
        alive: Callable[[], None] = nothing,
    ) -> None:
        """Prepares a connection; nothing is opened yet.

        Args:
            settings: Where and how.
            context: From `tls.client_context`; None only with encryption None.
            observe: Is told each stage of a connection that has succeeded.
            alive: A sign of life while something long is read; may raise to give up.
        """
        super().__init__()
        self._settings = settings
        self._context = context
        self._observe = observe
        self._alive = alive
        self._session: Pop3Session | None = None
        self._names = KnownNames()
        self._more = False
        self.login_delay = 0.0

    # ---- Source: looking ----

    def open(self) -> Opened:
        """Connects, encrypts, logs in and lists the mailbox.

        Raises:
            SourceError: a stage failed.
        """
        self._own()
        return self._connect()

    def changed(self, cursor: str, *, anchor: str, digest: Digest) -> str:
        """Never: what is new does not depend on the cursor."""
        return ""

    def snapshot(self, cursor: str, *, known: Known, unseen: bool = False) -> Snapshot:
        """See `Source`. Lists the mailbox, in a new session if the last one has ended; POP3 has no flag Seen."""
        maildrop = self._ready().maildrop
        self._names.keep_listed(maildrop)
        new = sum(len(positions) for positions in self._names.unknown(maildrop, known))
        known_ones = len(maildrop) - new
        return Snapshot(
            new=new, total=len(maildrop), unseen=-1, exact=True, known=known_ones, doubt=self._doubt(maildrop)
        )

    def _doubt(self, maildrop: Maildrop) -> str:
        if not self.lists_all:
            return (
                "over POP3 this server (Gmail) lists only part of the mailbox: it hides what was read before, and "
                "shows further mails once these were downloaded, so there may be far more; over IMAP all are counted"
            )
        if maildrop.bare:
            return (
                f"the server gives {maildrop.bare} of {len(maildrop)} mails no lasting name (UIDL), so they are "
                "recognised by their headers: if it rewrites these, mails that were downloaded come once more"
            )
        return ""

    def discover(self, cursor: str, *, known: Known) -> Iterator[Window]:
        """See `Source`."""
        session = self._ready()
        self._more = False
        for positions in self._names.unknown(session.maildrop, known):
            for start in range(0, len(positions), WINDOW):
                # Gmail lists only the oldest mails, and the next ones when these have been read and QUIT was sent.
                self._more = "X-GOOGLE-RICO" in session.capabilities
                yield self._window(session, positions[start : start + WINDOW])

    def listing(self) -> Iterator[Listing]:
        """See `Source`."""
        maildrop = self._ready().maildrop
        for start in range(0, len(maildrop), WINDOW):
            mails = tuple(
                Listed(ref=_ref(maildrop, at), name=maildrop.name(at), received=None)
                for at in range(start, min(start + WINDOW, len(maildrop)))
            )
            yield Listing(mails=mails, cursor=mails[-1].ref.key)

    def sample(self, cursor: str, count: int) -> list[bytes]:
        """See `Source`."""
        maildrop = self._ready().maildrop
        taken = min(count, len(maildrop))
        return [maildrop.name(i * len(maildrop) // taken) for i in range(taken)]

    def baseline(self, *, since: int | None) -> Baseline:
        """See `Source`; by the header Date, as POP3 does not tell when a mail was received."""
        return Baseline(cursor=_START, old=self._old_names(self._ready(), since))

    def select(self, wanted: str, *, after: str, cursor: str, known: Known) -> Iterator[Window]:
        """See `Source`; in the order of the keys, which stays the same when mails leave the mailbox."""
        return self._selected(read_since(wanted), after, known)

    @property
    def lists_all(self) -> bool:
        """See `Source`."""
        return "X-GOOGLE-RICO" not in self._ready().capabilities

    @property
    def more(self) -> bool:
        """See `Source`."""
        return self._more

    # ---- Source: taking and changing ----

    def fetch(self, refs: Sequence[Ref]) -> Iterator[Message | Absent | Unreadable]:
        """See `Source`. A consumer that stops early ends the session."""
        return Fetching(self._ready(), self._settings).fetch(refs)

    def finish(
        self,
        actions: Sequence[PendingAction],
        *,
        digest: Digest,
        advance: Advance,
        confirm: Callable[[], None],
    ) -> list[Outcome]:
        """See `Source`. Delete ends the session, as nothing is deleted before QUIT; there is no flag to set."""
        if all(action.kind == "MarkSeen" for action in actions):
            return [Outcome(action=action, result="done") for action in actions]
        if any(action.kind != "Delete" for action in actions):
            return [Outcome(action=a, result="dropped", detail=f"POP3 cannot {a.kind}") for a in actions]
        session = self._ready()
        if not session.quit_is_harmless(self._names.are_known):
            self._end(session)  # what it has read must not be removed by its QUIT: another one deletes
            session = self._ready()
        return Deleting(session, digest=digest, confirm=confirm, are_known=self._names.are_known).run(actions)

    def rest(self, *, durable: Callable[[], bool]) -> None:
        """See `Source`. A QUIT that fails does no harm: nothing was marked as deleted."""
        session, self._session = self._session, None
        if session is None or session.ended:
            return
        if not session.retrieved or (session.quit_is_harmless(self._names.are_known) and durable()):
            session.quit()
        self._end(session)

    def wait(self, seconds: float) -> bool:
        """See `Source`."""
        return sleep(self._waker, seconds)

    # ---- sessions ----

    def _free(self) -> None:
        if self._session:
            self._session.close()

    def _ready(self) -> Pop3Session:
        """The session that there is, or a new one."""
        if self._session is None or self._session.ended:
            self._connect()
        assert self._session is not None
        return self._session

    def _connect(self) -> Opened:
        settings, self._session = self._settings, None
        if self._closed:
            raise SourceError("ConnectionFailed", f"the connection to {settings.address} was closed")
        login = connect(
            settings,
            context=self._context,
            observe=self._observe,
            reach=self._reached,
            alive=self._alive,
        )
        self.login_delay = login.capabilities.login_delay
        try:
            session = Pop3Session(login)
            self._observe("folder", f"INBOX: {len(session.maildrop)} mails")
            at_once = login.capabilities.expires_at_once
            self._observe(
                "permission", "the server may delete what was read (EXPIRE 0)" if at_once else "not asked for"
            )
        except BaseException:
            login.wire.close()
            raise
        self._session = session
        return Opened(uid_validity="", insecure=login.insecure, can_push=False)

    def _end(self, session: Pop3Session) -> None:
        self._session, self._shut = None, nothing
        session.close()

    # ---- windows ----

    def _window(self, session: Pop3Session, positions: Sequence[int]) -> Window:
        if not session.ended:  # else it has carried out actions meanwhile; sizes are only hints
            read_sizes(session.wire, session.maildrop, positions, ahead=session.ahead)
        refs = tuple(_ref(session.maildrop, at) for at in positions)
        return Window(refs=refs, cursor=refs[-1].key)

    def _old_names(self, session: Pop3Session, since: int | None) -> Iterator[list[bytes]]:
        maildrop = session.maildrop
        if since is not None:
            for positions in old_positions(session, since):
                yield [maildrop.name(at) for at in positions]
            return
        for start in range(0, len(maildrop), WINDOW):
            yield [maildrop.name(at) for at in range(start, min(start + WINDOW, len(maildrop)))]

    def _selected(self, since: float, after: str, known: Known) -> Iterator[Window]:
        session = self._ready()
        old = {at for positions in old_positions(session, since) for at in positions}
        wanted = ((session.maildrop.key(at), at) for at in range(len(session.maildrop)) if at not in old)
        chosen = [at for key, at in sorted(wanted) if key > after]
        answers = known([session.maildrop.name(at) for at in chosen])
        chosen = [at for at, is_known in zip(chosen, answers, strict=True) if is_known]
        for start in range(0, len(chosen), WINDOW):
            yield self._window(session, chosen[start : start + WINDOW])


def _ref(maildrop: Maildrop, at: int) -> Ref:
    return Ref(key=maildrop.key(at), uid=0, size=maildrop.sizes[at])
