"""The rows of `list`: the same columns as `kubectl get mailconnections`. Pure."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from kubectl_mailfetch.model import Connection, moment
from kubectl_mailfetch.times import age

Cell = Callable[[Connection, datetime], str]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column; those that may shrink give way first when the terminal is narrow."""

    name: str
    cell: Cell
    shrinks: bool = False


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Header, rows of text, and per column whether it may shrink."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]


def listing(connections: Sequence[Connection], *, now: datetime, wide: bool, namespaces: bool) -> Listing:
    """Lays out the connections, ordered by namespace and name."""
    columns = (*((_NAMESPACE,) if namespaces else ()), *_COLUMNS, *(_WIDE if wide else ()))
    ordered = sorted(connections, key=lambda c: (c.namespace, c.name))
    return Listing(columns=columns, rows=tuple(tuple(col.cell(c, now) for col in columns) for c in ordered))


def _number(*path: str) -> Cell:
    return lambda c, _: str(n) if isinstance(n := c.dig(*path), int) else ""


def _text(*path: str) -> Cell:
    return lambda c, _: c.text(*path)


def _age(*path: str) -> Cell:
    return lambda c, now: age(moment(c.dig(*path)), now=now)


_NAMESPACE = Column(name="NAMESPACE", cell=_text("metadata", "namespace"), shrinks=True)
_COLUMNS = (
    Column(name="NAME", cell=_text("metadata", "name"), shrinks=True),
    Column(name="MAILBOX", cell=lambda c, _: c.mailbox, shrinks=True),
    Column(name="STATE", cell=lambda c, _: c.ready.reason),
    Column(name="ACTIVE", cell=lambda c, _: c.condition("Active").status),
    Column(name="NEW", cell=_number("status", "estimate", "newMessages")),
    Column(name="LAG", cell=_number("status", "fetch", "lag")),
    Column(name="LAST", cell=_age("status", "fetch", "lastMessageTime")),
    Column(name="AGE", cell=_age("metadata", "creationTimestamp")),
)
_WIDE = (
    Column(name="PROTOCOL", cell=_text("spec", "protocol")),
    Column(name="READY", cell=lambda c, _: c.ready.status),
    Column(name="HOST", cell=lambda c, _: c.host),
    Column(name="FOLDER", cell=_text("spec", "folder")),
    Column(name="DESCRIPTION", cell=_text("spec", "description")),
    Column(name="FETCHER", cell=_text("status", "placement", "fetcher")),
    Column(name="MESSAGE", cell=lambda c, _: c.ready.message),
)
