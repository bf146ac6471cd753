"""What the tools are asked for: streams of connections, filters, times. Pure."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.model import Connection

Answer = Mapping[str, Any]
"""What the tools said."""


class State(StrEnum):
    """States of a mail in the queue."""

    new = "New"
    filtered = "Filtered"
    processing = "Processing"
    failed = "Failed"
    quarantined = "Quarantined"
    done = "Done"


class Category(StrEnum):
    """What a line of the log is about."""

    download = "Download"
    filter = "Filter"
    process = "Process"


class Result(StrEnum):
    """How a step ended."""

    succeeded = "Succeeded"
    skipped = "Skipped"
    error = "Error"


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where to look: streams of a namespace, and whether only for one of their connections."""

    namespace: str
    streams: tuple[str, ...]
    connection: str = ""

    @property
    def words(self) -> tuple[str, ...]:
        """As options of the tools."""
        own = (f"--connection={self.connection}",) if self.connection else ()
        return (*(f"--stream={stream}" for stream in self.streams), *own)


def stream_of(connection: Connection) -> str:
    """The stream that a connection writes into."""
    return connection.text("spec", "queue", "stream") or connection.name


def place_of(connection: Connection) -> Place:
    """Where the mails of one connection are; others may write into the same stream."""
    return Place(namespace=connection.namespace, streams=(stream_of(connection),), connection=connection.name)


def places_of(connections: Iterable[Connection]) -> list[Place]:
    """Where the mails of all of them are, by namespace."""
    streams: dict[str, set[str]] = {}
    for connection in connections:
        streams.setdefault(connection.namespace, set()).add(stream_of(connection))
    return [Place(namespace=n, streams=tuple(sorted(found))) for n, found in sorted(streams.items())]


def options(**values: object) -> list[str]:
    """Options of the tools; what is empty is left out. The value is never a word of its own: it may begin with `-`."""
    return [f"--{name.replace('_', '-')}={value}" for name, value in values.items() if value]


_AGO = re.compile(r"(\d{1,6})([smhdw])")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def instant(text: str, *, option: str, now: datetime) -> str:
    """A time as the tools take it, of `2026-01-31`, `2026-01-31T08:15:00Z` (UTC if it does not say) or `7d` ago.

    Raises:
        PluginError: it is none of these.
    """
    if not text:
        return ""
    try:
        if ago := _AGO.fullmatch(text):
            found = now - timedelta(**{_UNITS[ago[2]]: int(ago[1])})
        else:
            found = datetime.fromisoformat(text)
        found = found if found.tzinfo else found.replace(tzinfo=UTC)
        return f"{found.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"
    except (ValueError, OverflowError) as e:
        raise PluginError(
            f"{option} {text!r} is no time: write 2026-01-31, 2026-01-31T08:15:00Z, or 7d for seven days ago (s, m, h,"
            " d, w)",
            code=Exit.USAGE,
        ) from e


def merged(answers: Sequence[tuple[str, Answer]], *, rows: str) -> dict[str, Any]:
    """The answers of several namespaces as one; each row and group says whose it is."""
    found: dict[str, Any] = {rows: [], "truncated": any(a.get("truncated") for _, a in answers)}
    for namespace, answer in answers:
        for key in (rows, "groups"):
            if key in answer:
                found.setdefault(key, []).extend({"namespace": namespace, **row} for row in answer[key])
        for state, number in (answer.get("counts") or {}).items():
            counts = found.setdefault("counts", {})
            counts[state] = counts.get(state, 0) + number
    return found
