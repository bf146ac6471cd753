"""Which mails of a Graph mailbox a request means (pure)."""

import re
from datetime import UTC, datetime

_SINCE = re.compile(r"since:(\d{4}-\d{2}-\d{2})(#.*)?")


def read_since(wanted: str) -> float:
    """The moment of `since:2026-01-31`, in seconds since 1970.

    Raises:
        ValueError: something else is wanted; the text says what can be asked for.
    """
    match = _SINCE.fullmatch(wanted)
    if match is None:
        raise ValueError(
            f"Microsoft Graph cannot select '{wanted}': its mails have no UIDs; use since:YYYY-MM-DD (by the time at "
            "which they were received) or quarantined"
        )
    try:
        return datetime.strptime(match[1], "%Y-%m-%d").replace(tzinfo=UTC).timestamp()
    except ValueError:
        raise ValueError(f"'{match[1]}' is not a date; write it as since:2026-01-31") from None
