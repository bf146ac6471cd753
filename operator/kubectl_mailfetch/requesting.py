"""`test`, `estimate`, `fetch` and `refetch` of a saved connection: an annotation with a new value, then its echo.

`docs/annotations.md` says how requests work: each is done once per value, and `status.handledRequests` echoes it.
"""

import re
import secrets
from datetime import date, datetime

from kubectl_mailfetch.advice import object_args
from kubectl_mailfetch.enable import Objects, Talk
from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.model import GROUP, Connection

_UIDS = re.compile(r"uid:[0-9]{1,10}(-[0-9]{1,10})?(,[0-9]{1,10}(-[0-9]{1,10})?)*")
_DOWNLOADS = ("fetch", "refetch")


def new_value(now: datetime) -> str:
    """The value of a request that nobody made before."""
    return f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(2)}"


def refetch_value(text: str, connection: Connection, now: datetime) -> str:
    """What `mailfetch.dev/refetch` is set to: a value without a suffix gets one, so that it is done again.

    Raises:
        PluginError: it is none of the forms that a fetcher carries out.
    """
    what, mark, _ = text.partition("#")
    if not (what == "quarantined" or _UIDS.fullmatch(what) or _is_since(what)):
        raise PluginError(
            f"'{what}' says nothing to download again; write uid:5,7-9 or since:2026-01-31 or quarantined",
            code=Exit.USAGE,
        )
    if what.startswith("uid:") and connection.text("spec", "protocol") != "IMAP":
        raise PluginError(
            f"{connection.text('spec', 'protocol')} has no UIDs; use since:2026-01-31 or quarantined", code=Exit.USAGE
        )
    return text if mark else f"{what}#{new_value(now)}"


def _is_since(text: str) -> bool:
    try:
        return bool(date.fromisoformat(text.removeprefix("since:"))) and bool(
            re.fullmatch(r"since:\d{4}-\d\d-\d\d", text)
        )
    except ValueError:
        return False


def request(
    *, objects: Objects, connection: Connection, kind: str, value: str, talk: Talk, wait: bool
) -> Connection | None:
    """Sets the annotation and waits until its value is echoed.

    Returns:
        The connection as it is then; None if nobody waits.

    Raises:
        PluginError: it would not be done, or was not done in time.
    """
    _refuse_what_waits(connection, kind)
    key = f"{GROUP}/{kind}"
    connection = Connection(objects.annotate(connection.namespace, connection.name, {key: value}))
    talk.say(f'Set {key}="{value}" on mconn/{connection.name} in namespace {connection.namespace}.')
    if not wait:
        talk.say(f"Follow it with: kubectl mailfetch status {object_args(connection)}")
        return None
    talk.say("Waiting for the operator … (Ctrl-C stops the waiting only)")
    while connection.text("status", "handledRequests", kind) != value:
        if connection.annotation(key) != value:
            raise PluginError(
                f"somebody else made another request meanwhile: {key} is now '{connection.annotation(key)}'"
            )
        _refuse_what_cannot_run(connection, kind)
        if not talk.pause():
            raise _late(connection, kind)
        connection = Connection(objects.get(connection.namespace, connection.name))
    return connection


def refusal_of(before: Connection, after: Connection) -> str:
    """What the fetcher said of a refetch that it cannot carry out, or nothing."""
    known = before.dig("status", "notices") or []
    for notice in after.dig("status", "notices") or []:
        if notice not in known and notice.get("reason") == "RefetchRefused":
            return str(notice.get("message", ""))
    return ""


def _refuse_what_waits(c: Connection, kind: str) -> None:
    """Only a connection that downloads can do so now; the request would lie there and be done at a later time."""
    _refuse_what_cannot_run(c, kind)
    if kind not in _DOWNLOADS:
        return
    if c.suspended:
        raise PluginError(f"{c.name} is suspended (spec.suspend), so there is nothing to {kind}; nothing was changed")
    if not c.enabled or c.ready.reason == "AwaitingApproval":
        why = "waits for an acknowledgement" if c.enabled else "is disabled"
        raise PluginError(
            f"{c.name} {why}, so there is nothing to {kind}; nothing was changed\n"
            f"Enable it: kubectl mailfetch enable {object_args(c)}"
        )


def _refuse_what_cannot_run(c: Connection, kind: str) -> None:
    seen = c.number("status", "observedGeneration") == c.number("metadata", "generation")
    if c.ready.reason == "InvalidConfiguration" and seen:
        raise PluginError(
            f"{c.name} cannot run, so no {kind} is done: {c.ready.message}\n"
            f"What to do: kubectl mailfetch status {object_args(c)}"
        )


def _late(c: Connection, kind: str) -> PluginError:
    why = c.ready.message or c.ready.reason or "the operator has not reported yet"
    return PluginError(
        f"the annotation is set, but the {kind} of {c.name} was not done in time: {why}\n"
        f"Follow it with: kubectl mailfetch status {object_args(c)}",
        code=Exit.TIMEOUT,
    )
