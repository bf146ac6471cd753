"""Requests such as `since:2026-01-31`, where mails have names and no UIDs (pure)."""

import re

from mailfetch_fetcher.contract.units import day

_SINCE = re.compile(r"since:(\d{4}-\d{2}-\d{2})(#.*)?")


def read_since(wanted: str, *, otherwise: str) -> float:
    """The moment of `since:2026-01-31`, in seconds since 1970.

    Args:
        wanted: Value of the request.
        otherwise: Why nothing else can be selected, and what can.

    Raises:
        ValueError: something else is wanted, or it is no date.
    """
    match = _SINCE.fullmatch(wanted)
    if match is None:
        raise ValueError(otherwise)
    try:
        return day(match[1])
    except ValueError:
        raise ValueError(f"'{match[1]}' is not a date; write it as since:2026-01-31") from None
