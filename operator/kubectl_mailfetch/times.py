"""Times as people read them. Pure: now is always given."""

from datetime import UTC, datetime


def age(since: datetime | None, *, now: datetime) -> str:
    """How long ago, as kubectl writes it (`45s`, `12m`, `5h30m`, `3d`), or empty. A time to come is `0s`."""
    return span(max(0, int((now - since).total_seconds()))) if since else ""


def span(seconds: int) -> str:
    """A duration in at most two units."""
    minutes, hours, days = seconds // 60, seconds // 3600, seconds // 86400
    if seconds < 120:
        return f"{seconds}s"
    if minutes < 10:
        return _two(minutes, "m", seconds % 60, "s")
    if minutes < 180:
        return f"{minutes}m"
    if hours < 8:
        return _two(hours, "h", minutes % 60, "m")
    if hours < 48:
        return f"{hours}h"
    if days < 8:
        return _two(days, "d", hours % 24, "h")
    return f"{days}d" if days < 730 else _two(days // 365, "y", days % 365, "d")


def ago(since: datetime | None, *, now: datetime) -> str:
    """`12m ago (2026-01-31 08:15 UTC)`, or `never`."""
    if since is None:
        return "never"
    return f"{age(since, now=now)} ago ({utc(since)})"


def utc(when: datetime) -> str:
    """`2026-01-31 08:15 UTC`."""
    return f"{when.astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def _two(big: int, big_unit: str, small: int, small_unit: str) -> str:
    return f"{big}{big_unit}{small}{small_unit}" if small else f"{big}{big_unit}"
