"""Every failure of a fetcher, classified once: which condition reason it is, and how soon to try again.

Sources and the store raise these; the session only looks at `reason` and `pace`. The message is for the
administrator: what happened and what to change. It never holds a secret.
"""

from enum import Enum

from mailfetch_fetcher.contract.reasons import Gate, Reason


class Pace(Enum):
    """How soon a failure is tried again (full jitter, doubling from the first number, in seconds)."""

    QUICK = (1.0, 60.0)
    """A fault that may pass any moment: a cut connection, a store that restarts."""
    SLOW = (30.0, 900.0)
    """A login that was refused: repeating it may lock the account. A changed Secret is tried at once."""
    CONFIGURATION = (10.0, 60.0)
    """Somebody has to change something; looking is cheap."""


class FetchError(Exception):
    """A failure with its condition reason.

    Attributes:
        reason: Condition reason.
        message: What happened and what to do about it.
        pace: How soon to try again.
        retry_after: Seconds that the other side asked us to wait, if it did.
    """

    def __init__(
        self, reason: Reason, message: str, *, pace: Pace = Pace.QUICK, retry_after: float | None = None
    ) -> None:
        super().__init__(message)
        self.reason: Reason = reason
        self.message = message
        self.pace = pace
        self.retry_after = retry_after


class SourceError(FetchError):
    """The way to the mailbox, or the mailbox itself."""


class StoreError(FetchError):
    """The way to Redis, or what Redis answered. Whatever was being committed is not known to be committed."""


class Fenced(StoreError):
    """Somebody else owns the mailbox, or the state is not what we read: drop everything in memory and start anew."""

    def __init__(self, message: str) -> None:
        super().__init__("StoreUnavailable", message)


class GateClosed(Exception):
    """The session must stop until people approve again; nothing was touched."""

    def __init__(self, gate: Gate, message: str) -> None:
        super().__init__(message)
        self.gate: Gate = gate
        self.message = message
