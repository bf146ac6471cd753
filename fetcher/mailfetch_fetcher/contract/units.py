"""Durations, sizes, retention periods and days as they are written in manifests."""

import re
from datetime import UTC, datetime

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|s|m|h)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_SIZE = re.compile(r"([0-9]+(?:\.[0-9]+)?)(Ki|Mi|Gi|k|M|G)?")
_BYTES = {None: 1, "Ki": 1 << 10, "Mi": 1 << 20, "Gi": 1 << 30, "k": 10**3, "M": 10**6, "G": 10**9}
_PERIOD = re.compile(r"([0-9]+)([dh])")


def duration(text: str, *, default: float) -> float:
    """Seconds of a duration such as `1m30s`; an empty or zero duration is `default`.

    Raises:
        ValueError: the text is not a duration.
    """
    if not text:
        return default
    if not re.fullmatch(rf"({_DURATION.pattern})+", text):
        raise ValueError(f"'{text}' is not a duration; write it as in 30s, 1m or 1h30m")
    seconds = sum(float(n) * _SECONDS[unit] for n, unit in _DURATION.findall(text))
    return seconds or default


def size(value: int | str) -> int:
    """Bytes of a quantity such as `150Mi` or `1048576`.

    Raises:
        ValueError: the value is not a quantity.
    """
    match = _SIZE.fullmatch(str(value))
    if not match:
        raise ValueError(f"'{value}' is not a size; write it as in 150Mi")
    return int(float(match[1]) * _BYTES[match[2]])


def period(text: str) -> int:
    """Seconds of a retention period such as `7d` or `12h`.

    Raises:
        ValueError: the text is not a period.
    """
    match = _PERIOD.fullmatch(text)
    if not match:
        raise ValueError(f"'{text}' is not a period; write it as in 12h or 7d")
    return int(match[1]) * (86400 if match[2] == "d" else 3600)


def day(text: str) -> int:
    """The beginning (UTC) of a day such as `2026-01-31`, in seconds since 1970.

    Raises:
        ValueError: the text is not a date.
    """
    try:
        return int(datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).timestamp())
    except ValueError:
        raise ValueError(f"'{text}' is not a date; write it as 2026-01-31") from None
