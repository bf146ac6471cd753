"""Times as they stand in a status: RFC 3339 in UTC, whole seconds."""

from datetime import UTC, datetime


def rfc3339(time: datetime) -> str:
    """For example `2026-01-31T12:00:00Z`."""
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse(text: str) -> datetime | None:
    """Reads a time of the API; None if it is absent."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None
