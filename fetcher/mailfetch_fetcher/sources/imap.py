"""IMAP (RFC 9051 and 3501) as a `Source`: one connection to one folder. The parts are in the modules `imap_*`.

Rules that hold everywhere: UID commands only; BODY.PEEK, so that nothing is marked as seen by reading it; never CLOSE,
which would expunge; progress never depends on a flag.
"""

import contextlib
import ssl
import threading
from collections.abc import Callable, Iterator, Sequence

from mailfetch_fetcher.clock import Clock
from mailfetch_fetcher.contract.probe import StepName
from mailfetch_fetcher.sources import imap_errors as errors
from mailfetch_fetcher.sources import imap_folders as folders
from mailfetch_fetcher.sources.base import (
    Absent,
    ActionPhase,
    Message,
    Opened,
    Outcome,
    PendingAction,
    Ref,
    Snapshot,
    Unreadable,
    Window,
)
from mailfetch_fetcher.sources.imap_actions import Actions
from mailfetch_fetcher.sources.imap_connect import Login, Observe, connect
from mailfetch_fetcher.sources.imap_discover import Discovery
from mailfetch_fetcher.sources.imap_fetch import Fetching, object_item
from mailfetch_fetcher.sources.imap_idle import LONGEST_IDLE, Idle, Waker, sleep
from mailfetch_fetcher.sources.imap_look import look
from mailfetch_fetcher.sources.imap_settings import ImapSettings
from mailfetch_fetcher.sources.imap_wire import Refused, Wire


def _ignore(_stage: StepName, _detail: str) -> None:
    pass


def _nothing() -> None:
    pass


class ImapSource:
    """Implements `Source`. Used by one thread, except for `wake` and `close`."""

    def __init__(
        self,
        settings: ImapSettings,
        *,
        context: ssl.SSLContext | None,
        clock: Clock | None = None,
        observe: Observe = _ignore,
        longest_idle: float = LONGEST_IDLE,
    ) -> None:
        """Prepares a connection; nothing is opened yet.

        Args:
            settings: Where and how.
            context: From `tls.client_context`; None only with encryption None.
            clock: For waiting.
            observe: Is told each stage of `open` that has succeeded.
            longest_idle: Seconds after which IDLE is renewed.
        """
        self._settings = settings
        self._context = context
        self._clock = clock or Clock()
        self._observe = observe
        self._longest_idle = longest_idle
        self._waker = Waker()
        self._owner = 0
        self._wire: Wire | None = None
        self._shut: Callable[[], None] = _nothing
        self._closed = False

    # ---- Source ----

    def open(self) -> Opened:
        """Connects, encrypts, logs in, opens the folder and checks that the after-download action is possible.

        Raises:
            SourceError: a stage failed.
        """
        self._owner = threading.get_ident()
        login = connect(self._settings, context=self._context, observe=self._observe, reach=self._reached)
        self._wire = login.wire
        try:
            return self._open_folder(login)
        except Refused as e:
            raise errors.refused(self._settings.address, "open the mailbox", e.text) from e

    def snapshot(self, cursor: str, *, unseen: bool = False) -> Snapshot:
        """See `Source`; `unseen` costs one round trip more."""
        with _no_refusal(self._settings, "count the mails"):
            return self._discovery.snapshot(cursor, unseen=unseen)

    def discover(self, cursor: str) -> Iterator[Window]:
        """See `Source`."""
        return self._discovery.windows(cursor)

    def fetch(self, refs: Sequence[Ref]) -> Iterator[Message | Absent | Unreadable]:
        """See `Source`. A consumer that stops early ends the connection."""
        return self._fetching.fetch(refs)

    def finish(
        self,
        actions: Sequence[PendingAction],
        *,
        digest: Callable[[bytes], str],
        advance: Callable[[PendingAction, ActionPhase], PendingAction],
    ) -> list[Outcome]:
        """See `Source`."""
        with _no_refusal(self._settings, "carry out the after-download action"):
            return self._actions.finish(actions, digest=digest, advance=advance)

    def wait(self, seconds: float) -> bool:
        """See `Source`."""
        return self._idle.wait(seconds) if self._idle else sleep(self._waker, seconds)

    def wake(self) -> None:
        """See `Source`."""
        self._waker.wake()

    def close(self) -> None:
        """See `Source`. From another thread it only ends the connection; the thread that uses it then frees it."""
        self._closed = True
        self._waker.wake()
        if self._owner not in (0, threading.get_ident()):
            with contextlib.suppress(OSError):  # it has ended already
                self._shut()
            return
        self._waker.close()
        if self._wire:
            self._wire.close()

    # ---- beyond Source ----

    def identity(self, uid: int) -> bytes | None:
        """What identifies the mail under a UID (as `Message.identity`), or None if there is none; for anchors.

        Raises:
            SourceError: the server does not show it.
        """
        assert self._wire is not None
        with _no_refusal(self._settings, "show a header"):
            seen = look(self._wire, [uid], object_item=self._object_item).get(uid)
            return seen.identity if seen else None

    # ---- inside ----

    def _reached(self, shut: Callable[[], None]) -> None:
        """From now on this is what ends the connection; at once if `close` came from another thread meanwhile."""
        self._shut = shut
        if self._closed:
            with contextlib.suppress(OSError):
                shut()

    def _open_folder(self, login: Login) -> Opened:
        wire, capabilities, settings = login.wire, login.capabilities, self._settings
        folder = folders.open_folder(wire, settings)
        self._observe("folder", f"{settings.folder}: {wire.exists} mails")
        permission = folders.check_permission(wire, settings, folder, capabilities)
        target = b""
        if settings.action == "Move":
            target = folders.find_target(wire, settings, folder)
            folders.check_target_rights(wire, settings, target, capabilities)
        self._observe("permission", permission)
        self._object_item = object_item(capabilities)
        self._discovery = Discovery(
            wire, folder=folder, name=settings.folder, address=settings.address, capabilities=capabilities
        )
        self._fetching = Fetching(wire, folder=folder, settings=settings, capabilities=capabilities)
        self._actions = Actions(wire, folder=folder, settings=settings, capabilities=capabilities, target=target)
        push = settings.push and "IDLE" in capabilities
        self._idle = Idle(wire, self._waker, clock=self._clock, longest=self._longest_idle) if push else None
        return Opened(uid_validity=str(folder.uid_validity), insecure=login.insecure, can_push=push)


class _no_refusal:  # noqa: N801 - reads like a statement
    """A refusal of a command that should always work ends the connection with a `SourceError`."""

    def __init__(self, settings: ImapSettings, doing: str) -> None:
        self._settings = settings
        self._doing = doing

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Refused):
            raise errors.refused(self._settings.address, self._doing, error.text) from error
