"""The section "Consumers" of `status`: how far each consumer group of the connection's queue is."""

from collections.abc import Sequence

from kubectl_mailfetch.errors import PluginError
from kubectl_mailfetch.mail_query import Answer, stream_of
from kubectl_mailfetch.mail_rows import Row, text
from kubectl_mailfetch.model import Connection
from kubectl_mailfetch.page import Line
from kubectl_mailfetch.tools import Tools

TIMEOUT = 10.0
"""Seconds; the page is about more than this."""


def consumer_lines(connection: Connection, tools: Tools) -> list[Line]:
    """Asks the tools of its namespace; if they cannot be asked, a line says why."""
    words = ("queue", f"--stream={stream_of(connection)}", "--limit=1")
    try:
        answer = tools.ask(connection.namespace, *words, timeout=TIMEOUT)
    except PluginError as e:
        return [Line(label="Consumers"), Line(label="Not known", text=e.message.partition("\n")[0])]
    return group_lines(answer, named=[str(name) for name in connection.dig("spec", "queue", "consumerGroups") or ()])


def group_lines(answer: Answer, *, named: Sequence[str] = ()) -> list[Line]:
    """A line for each group; `named` are those that the spec names."""
    groups: list[Row] = answer.get("groups") or []
    if not groups and named:
        return [
            Line(label="Consumers"),
            Line(label="Groups", text=f"made when the download begins: {', '.join(named)}"),
        ]
    if not groups:
        text_ = "none yet: nothing reads this queue, so nothing is ever removed from it"
        return [Line(label="Consumers"), Line(label="Groups", text=text_, tone="wait")]
    return [Line(label="Consumers"), *(Line(label=text(g, "name"), text=_said(g)) for g in groups)]


def _said(group: Row) -> str:
    lag, pending, consumers = group.get("lag"), group.get("pending") or 0, group.get("consumers") or 0
    waits = f"{lag:,} not delivered yet" if isinstance(lag, int) else "how many are not delivered is not known"
    named = "" if group.get("named") else "; not named in any spec, so retention does not wait for it"
    return f"{waits}, {pending:,} delivered and not acknowledged, {consumers:,} consumer{'s' * (consumers != 1)}{named}"
