"""The tables of `queue` and `log`. What stands in them comes out of mails: nothing of it may drive a terminal. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from kubectl_mailfetch.mail_query import Answer
from kubectl_mailfetch.model import moment, plain
from kubectl_mailfetch.page import Tone
from kubectl_mailfetch.times import age, utc

Row = Mapping[str, Any]

_TONES: dict[str, Tone] = {
    "Filtered": "wait",
    "Processing": "good",
    "Failed": "bad",
    "Quarantined": "bad",
    "Succeeded": "good",
    "Skipped": "wait",
    "Error": "bad",
}


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column; those that may shrink give way first when the terminal is narrow."""

    name: str
    cell: Callable[[Row, datetime], str]
    shrinks: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    """What `output.print_table` takes."""

    header: tuple[tuple[str, bool], ...]
    rows: tuple[tuple[str, ...], ...]
    tones: tuple[Tone, ...]
    toned: str


def queue_table(entries: Sequence[Row], *, now: datetime, wide: bool, namespaces: bool) -> Table:
    """The mails of the queue."""
    return _table(_QUEUE + (_QUEUE_WIDE if wide else ()), entries, toned="STATE", now=now, namespaces=namespaces)


def log_table(lines: Sequence[Row], *, now: datetime, wide: bool, namespaces: bool) -> Table:
    """The lines of the log."""
    return _table(_LOG + (_LOG_WIDE if wide else ()), lines, toned="RESULT", now=now, namespaces=namespaces)


def reference(row: Row) -> str:
    """What `show` and `requeue` find a mail by."""
    return text(row, "id") or text(row, "entry")


def tone_of(word: str) -> Tone:
    """How a state or a result looks."""
    return _TONES.get(word, "")


def text(row: Row, key: str) -> str:
    """A value fit for a terminal, in one line, or empty."""
    value = row.get(key)
    return "" if value is None else " ".join(plain(value).split())


def summary(answer: Answer) -> str:
    """How many mails there are in each state."""
    counts = [(text({"s": state}, "s"), n) for state, n in (answer.get("counts") or {}).items() if n]
    return ", ".join(f"{n:,} {state}" for state, n in counts) or "no mails"


def size(row: Row) -> str:
    """`12.3 KiB`."""
    value = row.get("size")
    if not isinstance(value, int):
        return ""
    number, unit = float(value), "B"
    for larger in ("KiB", "MiB", "GiB"):
        if number < 1024:
            break
        number, unit = number / 1024, larger
    return f"{value} B" if unit == "B" else f"{number:.1f} {unit}"


def _table(columns: tuple[Column, ...], rows: Sequence[Row], *, toned: str, now: datetime, namespaces: bool) -> Table:
    columns = (*((_NAMESPACE,) if namespaces else ()), *columns)
    key = toned.lower()
    return Table(
        header=tuple((c.name, c.shrinks) for c in columns),
        rows=tuple(tuple(c.cell(row, now) for c in columns) for row in rows),
        tones=tuple(tone_of(text(row, key)) for row in rows),
        toned=toned,
    )


def _text(key: str) -> Callable[[Row, datetime], str]:
    return lambda row, _: text(row, key)


def _age(*keys: str) -> Callable[[Row, datetime], str]:
    return lambda row, now: age(_first(row, keys), now=now)


def _utc(*keys: str) -> Callable[[Row, datetime], str]:
    return lambda row, _: utc(found) if (found := _first(row, keys)) else ""


def _first(row: Row, keys: Sequence[str]) -> datetime | None:
    found = next((m for key in keys if (m := moment(row.get(key)))), None)
    return found if found and found.tzinfo else None


_STORED = ("committed", "markedAt", "date")
"""A mail in quarantine was never stored."""
_NAMESPACE = Column(name="NAMESPACE", cell=_text("namespace"), shrinks=True)
_QUEUE: tuple[Column, ...] = (
    Column(name="STATE", cell=_text("state")),
    Column(name="FROM", cell=_text("from"), shrinks=True),
    Column(name="SUBJECT", cell=_text("subject"), shrinks=True),
    Column(name="WHEN", cell=_age(*_STORED)),
    Column(name="CONNECTION", cell=_text("connection"), shrinks=True),
    # The entry is half as long as the id, and the commands take both.
    Column(name="ID", cell=lambda row, _: text(row, "entry") or text(row, "id")),
)
_QUEUE_WIDE: tuple[Column, ...] = (
    Column(name="MAIL-ID", cell=_text("id")),
    Column(name="STORED", cell=_utc(*_STORED)),
    Column(name="TO", cell=_text("to")),
    Column(name="FOLDER", cell=_text("folder")),
    Column(name="SIZE", cell=lambda row, _: size(row)),
    Column(name="DELIVERIES", cell=_text("deliveries")),
    Column(name="GROUP", cell=_text("group")),
    Column(name="CONSUMER", cell=_text("consumer")),
    Column(name="MESSAGE-ID", cell=_text("messageId")),
    Column(name="REASON", cell=_text("reason")),
)
_LOG: tuple[Column, ...] = (
    Column(name="FROM", cell=_text("from"), shrinks=True),
    Column(name="SUBJECT", cell=_text("subject"), shrinks=True),
    Column(name="WHEN", cell=_age("time")),
    Column(name="CATEGORY", cell=_text("category")),
    Column(name="RESULT", cell=_text("result")),
    Column(name="STEP", cell=_text("step"), shrinks=True),
)
_LOG_WIDE: tuple[Column, ...] = (
    Column(name="TIME", cell=_utc("time")),
    Column(name="CONNECTION", cell=_text("connection")),
    Column(name="MESSAGE-ID", cell=_text("messageId")),
    Column(name="MAIL-ID", cell=_text("id")),
    Column(name="EXECUTION", cell=_text("execution")),
    Column(name="DETAIL", cell=_text("detail")),
)
