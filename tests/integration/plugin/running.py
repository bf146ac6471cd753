"""The console script against a real API server; the tests play the operator by writing the status."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.cluster.control_plane import ControlPlane

SCRIPT = Path(sys.executable).parent / "kubectl-mailfetch"
Plugin = Callable[..., subprocess.CompletedProcess[str]]

AWAITING: dict[str, Any] = {
    "conditions": [
        {"type": "Ready", "status": "True", "reason": "AwaitingApproval", "message": "1,234 new mails."},
        {"type": "Active", "status": "False", "reason": "AwaitingApproval", "message": ""},
        {"type": "Approved", "status": "False", "reason": "Required", "message": "1,234 new mails."},
    ],
    "estimate": {
        "newMessages": 1234,
        "totalMessages": 20110,
        "confidence": "High",
        "checkedAt": "2026-01-31T10:00:00Z",
    },
    "approval": {"epoch": 2},
}
LISTENING: dict[str, Any] = {
    "conditions": [
        {"type": "Ready", "status": "True", "reason": "Idle", "message": ""},
        {"type": "Active", "status": "True", "reason": "Listening", "message": ""},
        {"type": "Approved", "status": "True", "reason": "Acknowledged", "message": ""},
    ],
}


def make(cluster: ControlPlane, namespace: str, name: str, *, user: str = "", **spec: Any) -> None:
    manifest = {
        "apiVersion": "mailfetch.dev/v1alpha1",
        "kind": "MailConnection",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "protocol": "IMAP",
            "server": {"host": f"{name}.mail.example.com"},
            "auth": {
                "type": "Password",
                "username": user or f"{name}@example.com",
                "passwordSecretRef": {"name": f"{name}-mailbox"},
            },
            **spec,
        },
    }
    cluster.kubectl("create", "-f", "-", input=json.dumps(manifest))


def report(cluster: ControlPlane, namespace: str, name: str, status: dict[str, Any]) -> None:
    """Writes the status as the operator would."""
    now = "2026-01-31T12:00:00Z"
    full = {**status, "conditions": [{**c, "lastTransitionTime": now} for c in status["conditions"]]}
    cluster.kubectl(
        "patch", "mconn", name, "-n", namespace, "--subresource=status", "--type=merge", "-p",
        json.dumps({"status": full}),
    )  # fmt: skip


def annotations(cluster: ControlPlane, namespace: str, name: str) -> dict[str, str]:
    found = json.loads(cluster.kubectl("get", "mconn", name, "-n", namespace, "-o", "json").stdout)
    result: dict[str, str] = found["metadata"].get("annotations", {})
    return result
