"""MailConnections as an API server returns them, for the plugin's tests."""

from datetime import UTC, datetime
from typing import Any

from kubectl_mailfetch.model import Connection

NOW = datetime(2026, 1, 31, 12, 0, tzinfo=UTC)


def connection(name: str = "support", **changes: Any) -> Connection:
    """A connection on a password mailbox; `status`, `annotations`, `spec` and `namespace` may be given."""
    raw: dict[str, Any] = {
        "apiVersion": "mailfetch.dev/v1alpha1",
        "kind": "MailConnection",
        "metadata": {
            "name": name,
            "namespace": changes.get("namespace", "helpdesk"),
            "creationTimestamp": "2026-01-28T12:00:00Z",
            "managedFields": [{"manager": "kubectl"}],
            "annotations": changes.get("annotations", {}),
        },
        "spec": {
            "protocol": "IMAP",
            "description": "Customer support inbox",
            "server": {"host": "imap.example.com", "encryption": "TLS"},
            "auth": {
                "type": "Password",
                "username": "support@example.com",
                "passwordSecretRef": {"name": "support-mailbox", "key": "password"},
            },
            "approval": {"maxMessages": 100},
            "afterDownload": {"action": "MarkSeen", "when": "Persisted"},
            **changes.get("spec", {}),
        },
    }
    if "status" in changes:
        raw["status"] = changes["status"]
    return Connection(raw)


def condition(kind: str, status: str, reason: str, message: str = "") -> dict[str, str]:
    """One condition, an hour old."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": "2026-01-31T11:00:00Z",
    }


def estimate(new: int, *, confidence: str = "High") -> dict[str, Any]:
    """An estimate, two hours old."""
    return {
        "newMessages": new,
        "totalMessages": 20110,
        "unseenMessages": 40,
        "mailbox": "New",
        "accuracy": "Exact",
        "confidence": confidence,
        "method": "UidRange",
        "checkedAt": "2026-01-31T10:00:00Z",
    }


def awaiting(new: int, *, epoch: int = 1, confidence: str = "High") -> dict[str, Any]:
    """The status of a connection whose gate is closed."""
    return {
        "conditions": [
            condition("Ready", "True", "AwaitingApproval", "The backlog needs an acknowledgement."),
            condition("Active", "False", "AwaitingApproval"),
            condition("Approved", "False", "Required", "The backlog needs an acknowledgement."),
        ],
        "estimate": estimate(new, confidence=confidence),
        "approval": {"epoch": epoch},
    }


def flowing() -> dict[str, Any]:
    """The status of a connection that downloads."""
    return {
        "conditions": [
            condition("Ready", "True", "Idle", "All mails are downloaded."),
            condition("Active", "True", "Listening"),
            condition("Approved", "True", "Acknowledged"),
            condition("AfterDownload", "True", "Done"),
        ],
        "estimate": estimate(1234),
        "approval": {"epoch": 1, "acceptedMessages": 1234},
        "fetch": {"messages": 10234, "lag": 3, "lastMessageTime": "2026-01-31T11:55:00Z", "consecutiveFailures": 0},
        "placement": {"fetcher": "mailfetch-pool-default"},
    }
