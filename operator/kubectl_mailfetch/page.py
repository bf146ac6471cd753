"""The page of `status`: what a tired administrator wants to know, in this order. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from kubectl_mailfetch.advice import acknowledge_command, advice
from kubectl_mailfetch.gate import acknowledged, acknowledgement_needed
from kubectl_mailfetch.model import ACKNOWLEDGE, Connection, moment
from kubectl_mailfetch.times import age, ago, span, utc

Tone = Literal["", "good", "wait", "bad"]
BAR = 30


@dataclass(frozen=True, kw_only=True)
class Line:
    """One line: a label and a text, or a command to copy (never wrapped), or a heading (no text)."""

    label: str = ""
    text: str = ""
    command: str = ""
    tone: Tone = ""


def tone(connection: Connection) -> Tone:
    """Good: mail flows. Wait: stopped as declared, or not known yet. Bad: something must be done."""
    if connection.ready.status == "False":
        return "bad"
    return "good" if connection.condition("Active").status == "True" else "wait"


def status_page(connection: Connection, *, now: datetime, wide: bool = False) -> list[Line]:
    """The whole page."""
    lines = [*_state(connection, now), *_advisory(connection), *_mailbox(connection)]
    lines += [*estimate_lines(connection, now=now), *_gate(connection), *fetch_lines(connection, now=now)]
    return [*lines, *_after(connection), *_conditions(connection, now)] if wide else [*lines, *_after(connection)]


def estimate_lines(connection: Connection, *, now: datetime) -> list[Line]:
    """What the probe counted; `enable` shows it before it asks."""
    e = connection.estimate
    if e is None:
        return [Line(label="Estimate"), Line(label="New mails", text="not counted yet")]
    method = f"method {e.method}" if e.method else ""
    how = ", ".join(x for x in (f"accuracy {e.accuracy}", f"confidence {e.confidence}", method) if x)
    lines = [
        Line(label="Estimate"),
        Line(label="New mails", text=f"{e.new:,} of {e.total:,} in the folder ({e.unseen:,} unread); {how}"),
        Line(label="Counted", text=ago(e.checked, now=now)),
    ]
    return [*lines, *(Line(label="Note", text=n) for n in e.notes)]


def bar(done: int, total: int, *, width: int = BAR) -> str:
    """`[#####.....]  50%`."""
    share = min(1.0, done / total) if total > 0 else 1.0
    filled = int(share * width)
    return f"[{'#' * filled}{'.' * (width - filled)}] {int(share * 100):3d}%"


def _state(c: Connection, now: datetime) -> Iterator[Line]:
    description = c.text("spec", "description")
    yield Line(label=f"{c.namespace}/{c.name}" + (f": {description}" if description else ""))
    since = ""
    if c.ready.since:  # the time of the last change of the status, not of the reason
        since = f"; Ready has been {c.ready.status} for {age(c.ready.since, now=now)} (since {utc(c.ready.since)})"
    active = c.condition("Active")
    flowing = f" ({active.reason})" if active.reason and active.reason != c.ready.reason else ""
    yield Line(label="State", text=f"{c.ready.reason or 'not known yet'}{flowing}{since}", tone=tone(c))
    if c.ready.message:
        yield Line(label="Why", text=c.ready.message)
    label = "What to do"
    for line in advice(c):
        if line.startswith("$ "):
            yield Line(command=line[2:])
        else:
            yield Line(label=label, text=line)
            label = ""


def _advisory(c: Connection) -> Iterator[Line]:
    found = c.condition("Advisory")
    if found.status == "True":
        yield Line(label="Advisory", text=f"{found.reason}: {found.message}", tone="wait")


def _mailbox(c: Connection) -> Iterator[Line]:
    yield Line(label="Mailbox")
    server = f"{c.host}:{c.port} ({c.encryption})" if c.host else "unknown"
    yield Line(label="Server", text=f"{c.text('spec', 'protocol')} {server}")
    yield Line(label="User", text=c.username)
    if c.mailbox != c.username:
        yield Line(label="Shared mailbox", text=c.mailbox)
    if c.text("spec", "protocol") != "POP3":
        yield Line(label="Folder", text=c.text("spec", "folder") or "INBOX")


def _gate(c: Connection) -> Iterator[Line]:
    yield Line(label="Gate")
    approved = c.condition("Approved")
    value = acknowledgement_needed(c)
    accepted = acknowledged(c)
    because = c.text("status", "approval", "reason")
    epoch = f"epoch {c.epoch}" + (f", because of {because}" if because else "")
    if approved.status == "True":
        yield Line(label="Approved", text=f"yes ({approved.reason}), {epoch}", tone="good")
    else:
        yield Line(label="Approved", text=f"no ({approved.reason or 'not asked yet'}), {epoch}")
        if approved.message and approved.message != c.ready.message:
            yield Line(label="", text=approved.message)
    yield Line(label="Without asking", text=f"up to {c.max_messages:,} new mails (spec.approval.maxMessages)")
    if accepted is not None:
        yield Line(label="Acknowledged", text="any number" if accepted == -1 else f"{accepted:,} mails")
    elif given := c.annotation(ACKNOWLEDGE):
        text = f"'{given}' does not count under epoch {c.epoch}"
        yield Line(label="Acknowledged", text=text, tone="" if approved.status == "True" else "wait")
    if value:
        yield Line(label="To open", text=f'{ACKNOWLEDGE}: "{value}"', tone="wait")
        if c.ready.reason != "AwaitingApproval":
            yield Line(command=acknowledge_command(c, value))


def fetch_lines(c: Connection, *, now: datetime) -> Iterator[Line]:
    """How the download goes: backlog, counters, last error."""
    yield Line(label="Download")
    done, total = c.number("status", "progress", "done"), c.number("status", "progress", "total")
    if total:
        yield Line(label="Backlog", text=f"{bar(done, total)}  {_progress(c, done, total, now)}", tone="good")
    yield Line(label="Mails", text=f"{c.number('status', 'fetch', 'messages'):,} downloaded")
    lag = c.dig("status", "fetch", "lag")
    yield Line(
        label="Lag", text=f"{lag:,} at the server, not yet in the queue" if isinstance(lag, int) else "not known"
    )
    if quarantined := c.number("status", "fetch", "quarantined"):
        text = f"{quarantined:,} set aside, because they cannot be downloaded; tried again by themselves"
        yield Line(label="Quarantine", text=text, tone="wait")
    yield Line(label="Last mail", text=ago(moment(c.dig("status", "fetch", "lastMessageTime")), now=now))
    yield Line(label="Last success", text=ago(moment(c.dig("status", "fetch", "lastSuccessTime")), now=now))
    failures = c.number("status", "fetch", "consecutiveFailures")
    if reason := c.text("status", "fetch", "lastError", "reason"):
        when = ago(moment(c.dig("status", "fetch", "lastError", "time")), now=now)
        when = f", {failures} times in a row, first {when}" if failures > 1 else f" {when}"
        text = f"{reason}{when}: {c.text('status', 'fetch', 'lastError', 'message')}"
        yield Line(label="Last error", text=text, tone="bad" if failures else "")
    yield Line(label="Fetcher", text=c.text("status", "placement", "fetcher") or "none")


def progress_text(c: Connection) -> str:
    """`450 of 1,234 (36%)` while a backlog is downloaded, else nothing."""
    done, total = c.number("status", "progress", "done"), c.number("status", "progress", "total")
    return f"{done:,} of {total:,} ({100 * done // total}%)" if total else ""


def _progress(c: Connection, done: int, total: int, now: datetime) -> str:
    parts = [f"{done:,} of {total:,}"]
    if rate := c.number("status", "progress", "perSecond"):
        parts.append(f"{rate:,} a second")
    end = moment(c.dig("status", "progress", "expectedEnd"))
    if end and end > now:
        parts.append(f"done in about {span(int((end - now).total_seconds()))}")
    return ", ".join(parts)


def _after(c: Connection) -> Iterator[Line]:
    action = c.text("spec", "afterDownload", "action") or "MarkSeen"
    target = f" to {c.text('spec', 'afterDownload', 'folder')}" if action == "Move" else ""
    when = c.text("spec", "afterDownload", "when") or "Persisted"
    group, delay = c.text("spec", "afterDownload", "consumerGroup"), c.text("spec", "afterDownload", "delay")
    when += f" by {group}" if group else ""
    when += f", {delay} after it was stored at the earliest" if delay not in ("", "0s") else ""
    yield Line(label="After download", text=f"{action}{target}, when {when}")
    found = c.condition("AfterDownload")
    if found.reason:
        text = f"{found.reason}: {found.message}" if found.message else found.reason
        yield Line(text=text, tone="bad" if found.status == "False" and found.reason != "Pending" else "")


def _conditions(c: Connection, now: datetime) -> Iterator[Line]:
    yield Line(label="Conditions")
    for kind, found in c.conditions():
        yield Line(
            label=kind, text=f"{found.status} {found.reason} {age(found.since, now=now)}  {found.message}".rstrip()
        )
