"""Answers of the tools, for the plugin's tests."""

from typing import Any

EVIL = "a\x1b]0;title\x07b\u202ec\x9bd\r\ne"
"""Would set the title of a terminal, turn the direction of writing, and begin a line of its own."""
CALM = "a ]0;title b c d e"


def entry(**changes: Any) -> dict[str, Any]:
    """A mail in the queue."""
    return {
        "entry": "1769860000000-0",
        "stream": "support",
        "id": "0123456789abcdef0123456789abcdef",
        "connection": "support",
        "folder": "INBOX",
        "state": "New",
        "from": "Ann Example <ann@example.com>",
        "to": "support@example.com",
        "subject": "The quarterly report is late",
        "messageId": "<1@example.com>",
        "date": "2026-01-31T11:00:00Z",
        "committed": "2026-01-31T11:55:00Z",
        "size": 2048,
        "deliveries": 0,
        "consumer": "",
        "group": "",
        "idleMilliseconds": 0,
        "reason": "",
        "markedAt": "",
        **changes,
    }


def line(**changes: Any) -> dict[str, Any]:
    """A line of the log."""
    return {
        "line": "1769860000001-0",
        "time": "2026-01-31T11:55:00Z",
        "stream": "support",
        "connection": "support",
        "category": "Process",
        "result": "Error",
        "step": "failed",
        "execution": "ticketing/1769860000000-0/2",
        "entry": "1769860000000-0",
        "id": "0123456789abcdef0123456789abcdef",
        "messageId": "<1@example.com>",
        "from": "Ann Example <ann@example.com>",
        "subject": "The quarterly report is late",
        "detail": "the ticket system refused it",
        "consumer": "worker-1",
        **changes,
    }


def group(**changes: Any) -> dict[str, Any]:
    """A consumer group."""
    return {
        "stream": "support",
        "name": "ticketing",
        "named": True,
        "lag": 1234,
        "pending": 3,
        "consumers": 2,
        "lastDelivered": "1769860000000-0",
        **changes,
    }


def queue(*entries: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """The answer of `tools queue`."""
    states = [e["state"] for e in entries]
    counts = {state: states.count(state) for state in dict.fromkeys(states)}
    return {"entries": list(entries), "counts": counts, "groups": [group()], "truncated": False, **changes}
