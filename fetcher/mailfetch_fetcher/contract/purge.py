"""What a purge Job gets and leaves behind (`mailfetch-fetcher purge`, for `deletionPolicy: Purge`).

It has the Redis mount of a fetcher (no Secrets of mailboxes), and the assignment of its one connection
(`assignment.encode`) in `VARIABLE`. It removes what Redis holds of that connection, and may begin anew after a crash.
Exit status 0: nothing of it is left; then the operator lets the MailConnection go. Any other: the result with a
`problem` stands in `probe.PATH`, and it is tried again.
"""

import msgspec

from mailfetch_fetcher.contract.report import Problem
from mailfetch_fetcher.contract.struct import Struct

VARIABLE = "MAILFETCH_PURGE"
"""Environment variable with the `Assignments` of one connection."""


class PurgeResult(Struct, frozen=True, kw_only=True):
    """The termination message. `removed` counts the mails that were taken from the stream."""

    uid: str = ""
    removed: int = 0
    problem: Problem | None = None


def encode(result: PurgeResult) -> bytes:
    """JSON; far below what Kubernetes keeps."""
    return msgspec.json.encode(result)


def decode(text: str | bytes) -> PurgeResult:
    """Reads a termination message.

    Raises:
        ValueError: the text is not a result (for example because the container was killed).
    """
    try:
        return msgspec.json.decode(text, type=PurgeResult)
    except msgspec.DecodeError as e:
        raise ValueError(f"purge result: {e}") from e
