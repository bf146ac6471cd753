"""IMAP (RFC 9051 and 3501) as a `Source`: one connection to one folder. The parts are in the modules `imap_*`.

Rules that hold everywhere: UID commands only (`sample` reads by place); BODY.PEEK, so that nothing is marked as seen by
reading it; never CLOSE, which would expunge; progress never depends on a flag.
"""

import contextlib
import ssl
from collections.abc import Callable, Iterator, Sequence

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.probe import StepName
from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources import imap_folders as folders
from mailfetch_fetcher.sources.base import (
    Absent,
    Baseline,
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
from mailfetch_fetcher.sources.imap_actions import Actions
from mailfetch_fetcher.sources.imap_batch import Means
from mailfetch_fetcher.sources.imap_connect import Login, connect
from mailfetch_fetcher.sources.imap_cursor import read_cursor
from mailfetch_fetcher.sources.imap_discover import Discovery
from mailfetch_fetcher.sources.imap_fetch import Fetching
from mailfetch_fetcher.sources.imap_idle import LONGEST_IDLE, Idle, sleep
from mailfetch_fetcher.sources.imap_listing import Listings
from mailfetch_fetcher.sources.imap_look import object_item
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.imap_walk import Walk
from mailfetch_fetcher.sources.imap_wire import Refused, Wire
from mailfetch_fetcher.sources.source import Advance, Digest, Known
from mailfetch_fetcher.sources.transport import Observe


def _ignore(_stage: StepName, _detail: str) -> None:
    pass


class ImapSource(Closable):
    """Implements `Source`. Used by one thread, except for `wake` and `close`."""

    most_actions = 100
    by_name = False
    login_delay = 0.0
    lasting_names = False
    lists_all = True

    def __init__(
        self,
        settings: ImapSettings,
        *,
        context: ssl.SSLContext | None,
        clock: Clock | None = None,
        observe: Observe = _ignore,
        alive: Callable[[], None] = nothing,
        longest_idle: float = LONGEST_IDLE,
    ) -> None:
        """Prepares a connection; nothing is opened yet.

        Args:
            settings: Where and how.
            context: From `tls.client_context`; None only with encryption None.
            clock: For waiting.
            observe: Is told each stage of `open` that has succeeded.
            alive: A sign of life while something long is read; may raise to give up.
            longest_idle: Seconds after which IDLE is renewed.
        """
        super().__init__()
        self._settings = settings
        self._context = context
        self._clock = clock or Clock()
        self._observe = observe
        self._alive = alive
        self._longest_idle = longest_idle
        self._wire: Wire | None = None

    # ---- Source ----

    def open(self) -> Opened:
        """Connects, encrypts, logs in, opens the folder and checks that the after-download action is possible.

        Raises:
            SourceError: a stage failed.
        """
        self._own()
        login = connect(
            self._settings, context=self._context, observe=self._observe, reach=self._reached, alive=self._alive
        )
        self._wire = login.wire
        try:
            return self._open_folder(login)
        except Refused as e:
            raise errors.refused(self._settings.address, "open the mailbox", e.text) from e

    def changed(self, cursor: str, *, anchor: str, digest: Digest) -> str:
        """See `Source`."""
        return self._discovery.changed(cursor, anchor=anchor, digest=digest)

    def snapshot(self, cursor: str, *, known: Known, unseen: bool = False) -> Snapshot:
        """See `Source`; `known` is never asked. `unseen` costs one round trip more."""
        with self._no_refusal("count the mails"):
            return self._discovery.snapshot(cursor, unseen=unseen)

    def discover(self, cursor: str, *, known: Known) -> Iterator[Window]:
        """See `Source`; `known` is never asked. A window may be empty where all its mails are older than wanted."""
        self._fetching.cursor = self._discovery.begin(cursor)
        return self._discovery.windows(self._fetching.cursor)

    def baseline(self, *, since: int | None) -> Baseline:
        """See `Source`."""
        with self._no_refusal("count the mails"):
            return Baseline(cursor=str(self._discovery.baseline(since=since)), old=iter(()))

    def listing(self) -> Iterator[Listing]:
        """See `Source`; at least one piece, whose cursor is where the folder ends."""
        return self._listings.listing()

    def sample(self, cursor: str, count: int) -> list[bytes]:
        """See `Source`."""
        with self._no_refusal("show some headers"):
            return self._listings.sample(cursor, count)

    def select(self, wanted: str, *, after: str, cursor: str, known: Known) -> Iterator[Window]:
        """See `Source`."""
        return self._listings.select(wanted, after=after, until=read_cursor(cursor).uid)

    def fetch(self, refs: Sequence[Ref]) -> Iterator[Message | Absent | Unreadable]:
        """See `Source`. A consumer that stops early ends the connection."""
        return self._fetching.fetch(refs)

    def finish(
        self, actions: Sequence[PendingAction], *, digest: Digest, advance: Advance, confirm: Callable[[], None]
    ) -> list[Outcome]:
        """See `Source`."""
        with self._no_refusal("carry out the after-download action"):
            return self._actions.finish(actions, Means(digest=digest, advance=advance, confirm=confirm))

    def rest(self, *, durable: Callable[[], bool]) -> None:
        """See `Source`: nothing to do, the connection goes on."""

    @property
    def more(self) -> bool:
        """See `Source`: a round always finds everything."""
        return False

    def wait(self, seconds: float) -> bool:
        """See `Source`."""
        return self._idle.wait(seconds) if self._idle else sleep(self._waker, seconds)

    # ---- inside ----

    def _free(self) -> None:
        if self._wire:
            self._wire.close()

    def _open_folder(self, login: Login) -> Opened:
        wire, capabilities, settings = login.wire, login.capabilities, self._settings
        folder = folders.open_folder(wire, settings)
        self._observe("folder", f"{settings.folder}: {wire.exists} mails")
        permission = folders.check_permission(wire, settings, folder, capabilities)
        target = self._find_target(wire, folder, capabilities)
        self._observe("permission", permission)
        item = object_item(capabilities)
        walk = Walk(wire, folder=folder, settings=settings)
        self._discovery = Discovery(wire, walk=walk, folder=folder, settings=settings, capabilities=capabilities)
        self._listings = Listings(wire, walk=walk, folder=folder, settings=settings, object_item=item)
        self._fetching = Fetching(wire, folder=folder, settings=settings, object_item=item)
        self._actions = Actions(wire, folder=folder, settings=settings, capabilities=capabilities, target=target)
        push = settings.push and "IDLE" in capabilities
        self._idle = Idle(wire, self._waker, clock=self._clock, longest=self._longest_idle) if push else None
        return Opened(uid_validity=str(folder.uid_validity), insecure=login.insecure, can_push=push)

    def _find_target(self, wire: Wire, folder: folders.Folder, capabilities: frozenset[str]) -> bytes:
        """The folder to which the action moves mails, or empty."""
        if self._settings.action == "Delete" and "X-GM-EXT-1" in capabilities:
            return folders.find_trash(wire, self._settings, capabilities)
        if self._settings.action != "Move":
            return b""
        target = folders.find_target(wire, self._settings, folder)
        folders.check_target_rights(wire, self._settings, target, capabilities)
        return target

    @contextlib.contextmanager
    def _no_refusal(self, doing: str) -> Iterator[None]:
        """A refusal of a command that should always work ends the connection with a `SourceError`."""
        try:
            yield
        except Refused as e:
            raise errors.refused(self._settings.address, doing, e.text) from e
