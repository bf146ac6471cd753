"""Microsoft Graph as a `Source`. The parts are in the modules `graph_*`.

A mail is named by its immutable id; the ledger decides what is new. The cursor is the link of the page of changes that
comes next, so it moves page by page, and a page that is read again adds nothing.

The changes tell of mails that come, and of mails that leave the folder (`Window.gone`), but never of one that left and
came back: whoever compares the ledger with `listing` from time to time finds those (`Names.prune`), as their names were
forgotten when they left. `fetch` looks first whether such a mail is really here.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence

from mailfetch_fetcher.auth.bearer import Bearer
from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.probe import StepName
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
from mailfetch_fetcher.sources.graph_actions import Actions
from mailfetch_fetcher.sources.graph_changes import Changes, Told
from mailfetch_fetcher.sources.graph_fetch import Fetching
from mailfetch_fetcher.sources.graph_folders import Folder, look_again
from mailfetch_fetcher.sources.graph_http import GraphHttp
from mailfetch_fetcher.sources.graph_open import open_mailbox
from mailfetch_fetcher.sources.graph_pages import Pages
from mailfetch_fetcher.sources.graph_select import Selection, read_since
from mailfetch_fetcher.sources.graph_settings import GraphSettings
from mailfetch_fetcher.sources.imap_idle import sleep
from mailfetch_fetcher.sources.source import Advance, Digest, Known
from mailfetch_fetcher.sources.transport import Observe


def _ignore(_stage: StepName, _detail: str) -> None:
    pass


class GraphSource(Closable):
    """Implements `Source`. Used by one thread, except for `wake` and `close`; downloads with some of its own."""

    most_actions = 100
    by_name = True
    lasting_names = True
    login_delay = 0.0
    lists_all = True

    def __init__(
        self,
        settings: GraphSettings,
        *,
        bearer: Bearer,
        clock: Clock | None = None,
        observe: Observe = _ignore,
        alive: Callable[[], None] = nothing,
    ) -> None:
        """Prepares a connection; nothing is opened yet.

        Args:
            settings: Where and how.
            bearer: Gives tokens.
            clock: Tells how old a mail is; None: the machine's.
            observe: Is told each stage that has succeeded.
            alive: A sign of life while something long is read; may raise to give up.

        Raises:
            SourceError: the CA cannot be read.
        """
        super().__init__()
        self._settings = settings
        self._bearer = bearer
        self._clock = clock or Clock()
        self._observe = observe
        self._http = GraphHttp(settings, bearer=bearer, alive=alive)
        self._reached(self._http.shut)
        self._folder: Folder
        self._pages: Pages
        self._actions: Actions
        self._changes: Changes
        self._selection: Selection | None = None

    # ---- Source: looking ----

    def open(self) -> Opened:
        """Connects, shows a token, and finds the folders.

        Raises:
            SourceError: a stage failed.
        """
        self._own()
        self._folder, target = open_mailbox(self._http, self._settings, bearer=self._bearer, observe=self._observe)
        self._pages = Pages(self._http, self._settings, self._folder)
        self._pages.some(1)  # shows whether ids are lasting ones here, before anything is made of them
        self._actions = Actions(self._http, self._settings, pages=self._pages, target=target)
        self._changes = Changes(
            self._pages,
            total=lambda: self._now().total,
            place=f"{self._settings.base} {self._folder.id}",
            moved=self._actions.moved,
        )
        return Opened(uid_validity="", insecure=False, can_push=False)

    def changed(self, cursor: str, *, anchor: str, digest: Digest) -> str:
        """Never: what is new does not depend on the cursor."""
        return ""

    def snapshot(self, cursor: str, *, known: Known, unseen: bool = False) -> Snapshot:
        """See `Source`. Reads the changes ahead; without a link it compares a list with the ledger."""
        look = self._changes.look(cursor, known, far=unseen)  # whoever asks for both tells people
        if not unseen:
            return look
        total = max(look.total, self._now().total)
        return dataclasses.replace(look, total=total, unseen=self._pages.unread())

    def discover(self, cursor: str, *, known: Known) -> Iterator[Window]:
        """See `Source`; a window for each page. When a link has expired it stops, to begin anew with the next round."""
        self._selection = None
        return self._changes.windows(cursor, known)

    def listing(self) -> Iterator[Listing]:
        """See `Source`."""
        for entries in self._pages.listed():
            mails = tuple(Listed(ref=entry.ref, name=entry.name, received=entry.received) for entry in entries)
            yield Listing(mails=mails, cursor="")

    def sample(self, cursor: str, count: int) -> list[bytes]:
        """See `Source`; the newest ones."""
        return [entry.name for entry in self._pages.some(count)]

    def baseline(self, *, since: int | None) -> Baseline:
        """See `Source`. Read as changes, as these lack nothing when mails leave meanwhile; so does the first round."""
        return self._changes.baseline(since)

    def select(self, wanted: str, *, after: str, cursor: str, known: Known) -> Iterator[Window]:
        """See `Source`; the oldest mails first."""
        start = read_since(wanted)
        self._selection = Selection(self._pages, known=known)
        return self._selection.windows(start, after=after)

    @property
    def more(self) -> bool:
        """See `Source`."""
        return self._changes.more

    # ---- Source: taking and changing ----

    def fetch(self, refs: Sequence[Ref]) -> Iterator[Message | Absent | Unreadable]:
        """See `Source`."""
        told = Told() if self._selection else self._changes.told
        cursors = self._selection.cursors if self._selection else dict.fromkeys((ref.key for ref in refs), told.cursor)
        fetching = Fetching(self._http, self._settings, pages=self._pages, clock=self._clock, cursors=cursors)
        return fetching.fetch(refs, told=told.entries, first=told.first)

    def finish(
        self,
        actions: Sequence[PendingAction],
        *,
        digest: Digest,
        advance: Advance,
        confirm: Callable[[], None],
    ) -> list[Outcome]:
        """See `Source`. An immutable id is that of one mail for ever, so there is nothing else to be compared.

        When Graph asks for patience the rest of the actions waits, and `rest` raises that.
        """
        return self._actions.run(actions, confirm=confirm)

    def rest(self, *, durable: Callable[[], bool]) -> None:
        """See `Source`. There is nothing to end, only what stopped the actions to be told.

        Raises:
            SourceError: what stopped them.
        """
        if failure := self._actions.failure:
            raise failure

    def wait(self, seconds: float) -> bool:
        """See `Source`."""
        return sleep(self._waker, seconds)

    def _free(self) -> None:
        with contextlib.suppress(OSError):
            self._http.close()

    def _now(self) -> Folder:
        return look_again(self._http, self._settings, self._folder)
