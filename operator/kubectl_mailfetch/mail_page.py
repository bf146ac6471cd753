"""The pages of `show` and of `log --expand`. Pure."""

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from kubectl_mailfetch.mail_query import Answer
from kubectl_mailfetch.mail_rows import Row, size, text, tone_of
from kubectl_mailfetch.model import moment
from kubectl_mailfetch.page import Line
from kubectl_mailfetch.times import ago

_FIELDS = (
    ("From", "from"),
    ("To", "to"),
    ("Subject", "subject"),
    ("Date", "date"),
    ("Message-ID", "messageId"),
    ("Connection", "connection"),
    ("Folder", "folder"),
    ("Stream", "stream"),
    ("Entry", "entry"),
)


def show_page(answer: Answer, *, now: datetime, wide: bool) -> list[Line]:
    """Everything about one mail; `wide` has its headers too."""
    entry: Row = answer.get("entry") or {}
    lines = [Line(label=text(entry, "id") or text(entry, "entry")), *_state(entry)]
    lines += [Line(label=label, text=value) for label, key in _FIELDS if (value := text(entry, key))]
    stored = moment(entry.get("committed"))
    lines += [Line(label="Stored", text=ago(stored, now=now))] if stored else []
    lines += [Line(label="Size", text=size(entry))] if size(entry) else []
    if wide:
        lines += _headers(entry)
    lines += _attempts(entry)
    return [*lines, Line(label="Log"), *(line for row in _rows(answer, "log") for line in _step(row))]


def log_page(lines: list[Row], *, now: datetime) -> Iterator[Line]:
    """Each line of the log with all that it says."""
    for row in lines:
        yield Line(label=text(row, "subject") or f"({text(row, 'step')})")
        for label, key in (("From", "from"), ("Message-ID", "messageId"), ("Mail", "id"), ("Connection", "connection")):
            if value := text(row, key):
                yield Line(label=label, text=value)
        yield Line(label="When", text=ago(moment(row.get("time")), now=now))
        result = text(row, "result")
        yield Line(label=text(row, "category") or "Result", text=result, tone=tone_of(result))
        for label, key in (("Execution", "execution"), ("Step", "step"), ("Detail", "detail")):
            if value := text(row, key):
                yield Line(label=label, text=value)


def _state(entry: Row) -> Iterator[Line]:
    state, parts = text(entry, "state"), []
    if group := text(entry, "group"):
        parts.append(f"group {group}" + (f", consumer {c}" if (c := text(entry, "consumer")) else ""))
    if deliveries := entry.get("deliveries"):
        parts.append(f"delivered {deliveries} time{'s' * (deliveries != 1)}")
    yield Line(label="State", text="; ".join([state, *parts]), tone=tone_of(state))
    if reason := text(entry, "reason"):
        yield Line(label="Why", text=reason, tone=tone_of(state))


def _headers(entry: Row) -> Iterator[Line]:
    yield Line(label="Headers")
    for pair in entry.get("headers") or ():
        if isinstance(pair, list | tuple) and len(pair) == 2:
            yield Line(label="", text=text({"h": f"{pair[0]}: {pair[1]}"}, "h"))


def _attempts(entry: Row) -> Iterator[Line]:
    for number, attempt in enumerate(_rows(entry, "attempts"), start=1):
        yield Line(label=f"Attempt {number}")
        for label, key in (("Execution", "execution"), ("Group", "group"), ("Consumer", "consumer")):
            if value := text(attempt, key):
                yield Line(label=label, text=value)
        for step in _rows(attempt, "steps"):
            yield from _step({**step, "execution": ""})


def _step(row: Row) -> Iterator[Line]:
    result, step = text(row, "result"), text(row, "step")
    what = f"{text(row, 'category')} {result}".strip() + (f", {step}" if step else "")
    if detail := text(row, "detail"):
        what += f": {detail}"
    if execution := text(row, "execution"):
        what += f" (execution {execution})"
    when = moment(row.get("time"))
    yield Line(label=f"{when:%m-%d %H:%M:%S}" if when else "", text=what, tone=tone_of(result))


def _rows(row: Any, key: str) -> list[Row]:
    return [r for r in row.get(key) or () if isinstance(r, dict)]
