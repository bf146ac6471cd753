"""What to do in each state: the exact commands, below the message that the operator wrote. Pure."""

from collections.abc import Callable, Sequence

from kubectl_mailfetch.gate import acknowledgement_needed
from kubectl_mailfetch.model import ACKNOWLEDGE, TEST, Connection

Advice = Sequence[str]
"""Lines; those that begin with `$ ` are commands to copy."""

_OPERATOR = "$ kubectl get pods -A -l app.kubernetes.io/name=mailfetch"


def advice(connection: Connection) -> Advice:
    """What to do now; empty if there is nothing to do."""
    reason = connection.ready.reason
    if not reason:
        return [
            "The operator has not looked at it yet. If that lasts longer than a minute, look at the operator:",
            _OPERATOR,
        ]
    switched = connection.enabled == (reason == "Disabled")
    if switched and reason not in ("InvalidConfiguration", *_DELETED):
        return [
            "The annotation mailfetch.dev/enable was changed, and the operator has not taken note of it yet. If that"
            " lasts longer than a minute, look at the operator:",
            _OPERATOR,
        ]
    return remedy(connection, reason)


def remedy(connection: Connection, reason: str) -> Advice:
    """What to do about a reason, whatever the state of the connection."""
    make = _BY_REASON.get(reason)
    return make(connection) if make else []


def object_args(connection: Connection) -> str:
    """How a command names the object."""
    return f"{connection.name} -n {connection.namespace}"


def acknowledge_command(connection: Connection, value: str) -> str:
    """The kubectl command that acknowledges a backlog."""
    return f"kubectl annotate mconn {object_args(connection)} --overwrite {ACKNOWLEDGE}={value}"


def _disabled(c: Connection) -> Advice:
    return ["Enable it (you see the estimate first, if there is one):", f"$ kubectl mailfetch enable {object_args(c)}"]


def _awaiting(c: Connection) -> Advice:
    value = acknowledgement_needed(c)
    lines = ["Accept the backlog:", f"$ kubectl mailfetch enable {object_args(c)}"]
    if value:
        lines += ["which does the same as", f"$ {acknowledge_command(c, value)}"]
    return lines


def _suspended(c: Connection) -> Advice:
    patch = '{"spec":{"suspend":false}}'
    return [
        "Set spec.suspend to false where the manifest is kept (git), or here:",
        f"$ kubectl patch mconn {object_args(c)} --type=merge -p '{patch}'",
    ]


def _edit(c: Connection) -> Advice:
    return ["Correct the spec where the manifest is kept (git), or here:", f"$ kubectl edit mconn {object_args(c)}"]


def _authorize(c: Connection) -> Advice:
    if c.text("spec", "auth", "oauth2", "flow") == "Application":
        return ["Grant the permission that the message names at the provider (docs/providers).", *_test(c)]
    return [
        f"Sign in as {c.username}; the next login uses what that writes, nothing has to be restarted:",
        f"$ kubectl mailfetch authorize {object_args(c)}",
    ]


def _login(c: Connection) -> Advice:
    if secret := c.text("spec", "auth", "oauth2", "clientSecretRef", "name"):
        return [
            f"Correct what the message names: the client in the Secret {secret}, or the rights at the provider"
            " (docs/providers).",
            *_test(c),
        ]
    secret = c.text("spec", "auth", "passwordSecretRef", "name")
    key = c.text("spec", "auth", "passwordSecretRef", "key") or "password"
    if not secret:
        return _edit(c)
    patch = f'{{"stringData":{{"{key}":"THE-PASSWORD"}}}}'  # leaves the other keys of the Secret alone
    return [
        "Put the right password into its Secret; the next login uses it, nothing has to be restarted:",
        f"$ kubectl patch secret {secret} -n {c.namespace} --type=merge -p '{patch}'",
        *_test(c),
    ]


def _test(c: Connection) -> Advice:
    """A fetcher notices a new password by itself; while the gate is closed the next login may be minutes away."""
    if c.condition("Approved").status == "True":
        return []
    return ["and try it at once:", f'$ kubectl annotate mconn {object_args(c)} --overwrite {TEST}="$(date +%s)"']


def _server(c: Connection) -> Advice:
    return [*_edit(c), *_logs(c)]


def _logs(c: Connection) -> Advice:
    fetcher = c.text("status", "placement", "fetcher")
    return ["The fetcher's log:", f"$ kubectl logs -n {c.namespace} deploy/{fetcher} --tail=50"] if fetcher else []


def _fetcher(c: Connection) -> Advice:
    fetcher = c.text("status", "placement", "fetcher")
    lines = ["See why the fetcher does not run:", f"$ kubectl get pods -n {c.namespace}"]
    return [*lines, f"$ kubectl describe deploy {fetcher} -n {c.namespace}"] if fetcher else lines


def _pending(c: Connection) -> Advice:
    return ["Wait: this passes by itself, mostly within a minute. If it does not:", *_fetcher(c)[1:]]


def _throttled(_: Connection) -> Advice:
    return ["Nothing: the mail server asked for a pause, and the fetcher tries again by itself."]


def _queue_full(c: Connection) -> Advice:
    stream = c.text("spec", "queue", "stream") or c.name
    return [
        f"Let the consumers of mail:{{{c.namespace}/{stream}}}:queue catch up (they must XACK), or raise"
        " spec.queue.maxLength. Fetching resumes by itself.",
    ]


def _store(_: Connection) -> Advice:
    return ["Look at Redis; docs/operations.md has the settings that it needs. Fetching resumes by itself."]


def _purging(_: Connection) -> Advice:
    return ["Nothing: the connection was deleted, and it goes as soon as its data in Redis is removed."]


def _purge_failed(c: Connection) -> Advice:
    patch = '{"spec":{"deletionPolicy":"Retain"}}'
    return [
        "The connection was deleted, and waits for its data in Redis to be removed. Remove the cause (it is tried again"
        " by itself), or let it go and leave the data there:",
        f"$ kubectl patch mconn {object_args(c)} --type=merge -p '{patch}'",
    ]


_DELETED = ("Purging", "PurgeFailed")
_BY_REASON: dict[str, Callable[[Connection], Advice]] = {
    "Disabled": _disabled,
    "AwaitingApproval": _awaiting,
    "Suspended": _suspended,
    "InvalidConfiguration": _edit,
    "AuthFailed": _login,
    "AuthorizationRequired": _authorize,
    "ConnectionFailed": _server,
    "TLSFailed": _server,
    "FolderNotFound": _edit,
    "Throttled": _throttled,
    "QueueFull": _queue_full,
    "StoreUnavailable": _store,
    "StoreUnsafe": _store,
    "FetcherUnavailable": _fetcher,
    "FetcherLost": _fetcher,
    "Pending": _pending,
    "Purging": _purging,
    "PurgeFailed": _purge_failed,
}
