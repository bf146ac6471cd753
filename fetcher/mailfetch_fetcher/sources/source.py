"""The `Source` protocol: what a session needs from a mailbox, whatever the protocol.

A source never touches the store and never changes a mailbox except in `finish` (and `rest`, on POP3). Any method may
raise `SourceError`; after that the source is closed and a new one is made.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

from mailfetch_fetcher.sources.base import (
    Absent,
    ActionPhase,
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

Known = Callable[[Sequence[bytes]], Sequence[bool]]
"""Which of these names the ledger knows. Sources whose mails have no names never call it."""
Digest = Callable[[bytes], str]
"""The store's keyed fingerprint of an `identity`, in hexadecimal."""
Advance = Callable[[Sequence[PendingAction], ActionPhase], Sequence[PendingAction]]
"""Makes a phase of actions durable in the outbox before the step that it announces; returns the actions with their new
phase and member, in the same order."""


class Source(Protocol):
    """One way to one mailbox."""

    most_actions: int
    """Actions that one `finish` takes at most: 100, or more where one command (QUIT) carries out all."""
    by_name: bool
    """Mails are told apart by their names in the ledger (POP3, Graph), not by the cursor alone (IMAP)."""
    login_delay: float
    """Seconds that the server wants between two logins (RFC 2449 section 6.5); 0 if it does not say."""
    lasting_names: bool
    """A name is that of one mail for ever, in all mailboxes (Graph), not only while the mail is there (POP3)."""

    @property
    def lists_all(self) -> bool:
        """A list shows every mail. Not at Gmail over POP3: it hides what was read, and shows the next ones instead."""
        ...

    def open(self) -> Opened:
        """Connects, encrypts, logs in and opens the folder (read-write only if actions need it)."""
        ...

    def changed(self, cursor: str, *, anchor: str, digest: Digest) -> str:
        """Why the cursor cannot be relied on in the mailbox as it is now, or an empty text (`store.md` 36).

        On IMAP: UIDVALIDITY changed, UIDNEXT fell below the cursor, or another mail stands under the UID of the anchor
        (`<uid>:<fingerprint>` or empty). One round trip at most. Where mails have names: always empty.
        """
        ...

    def snapshot(self, cursor: str, *, known: Known, unseen: bool = False) -> Snapshot:
        """Counts without downloading; an empty cursor is the beginning. Few round trips; `unseen` costs another."""
        ...

    def discover(self, cursor: str, *, known: Known) -> Iterator[Window]:
        """Walks what lies beyond the cursor; memory is bounded by the window, not by the mailbox."""
        ...

    def baseline(self, *, since: int | None) -> Baseline:
        """Where to begin if the mails that are there now are not wanted.

        Args:
            since: Seconds since 1970: mails received before are old, one whose date is unknown is not; None: all are.
        """
        ...

    def listing(self) -> Iterator[Listing]:
        """Every mail of the mailbox in its stable order, from the beginning, in pieces of bounded size.

        Costs about 200 bytes a mail on IMAP (identities), nothing beyond the list itself on POP3.
        """
        ...

    def sample(self, cursor: str, count: int) -> list[bytes]:
        """Names (as `Listed.name`) of at most `count` mails up to the cursor, spread over all (`store.md` 45)."""
        ...

    def select(self, wanted: str, *, after: str, cursor: str, known: Known) -> Iterator[Window]:
        """The mails that a `refetch` request names, in a stable order (`store.md` 44).

        New mails, as `discover` would find them with the same arguments, are left to it: they would come twice.

        Args:
            wanted: `uid:5,7-9` or `since:2026-01-31`.
            after: `Window.cursor`/`Message.cursor` up to which they were delivered already; empty: none.
            cursor: See `discover`.
            known: See `discover`.

        Raises:
            ValueError: this protocol cannot select that; the text says why and what can be asked for.
        """
        ...

    def fetch(self, refs: Sequence[Ref]) -> Iterator[Message | Absent | Unreadable]:
        """The mails of `refs`, one result for each, in the order of `refs`. Never sets a flag."""
        ...

    def finish(
        self, actions: Sequence[PendingAction], *, digest: Digest, advance: Advance, confirm: Callable[[], None]
    ) -> list[Outcome]:
        """Carries out at most `most_actions` actions of one kind; one outcome for each.

        Args:
            actions: Actions whose mails are durable. So is everything that was fetched on this connection.
            digest: See `Digest`.
            advance: See `Advance`.
            confirm: Confirms the lease; called right before each command that changes the mailbox for good.
        """
        ...

    def rest(self, *, durable: Callable[[], bool]) -> None:
        """The round is over.

        POP3 ends its session here (the next `snapshot` makes a new one): with QUIT only if `durable()`, as QUIT may
        remove what was retrieved (`store.md` 22); else by closing the socket.
        """
        ...

    @property
    def more(self) -> bool:
        """`discover` stopped early, to be gone on with at once after `rest`."""
        ...

    def wait(self, seconds: float) -> bool:
        """Waits for news at most that long (IDLE where offered, else just the time). True: look now.

        Returns early and with True after `wake`.
        """
        ...

    def wake(self) -> None:
        """Ends a `wait` from another thread."""
        ...

    def close(self) -> None:
        """Closes the connection without changing the mailbox. Never raises; may be called from another thread."""
        ...
