"""`enable` and `disable`: show, ask, annotate, wait. The cluster, the person and the time are given to it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from kubectl_mailfetch.advice import object_args
from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.gate import acknowledgement_needed, settled
from kubectl_mailfetch.model import ACKNOWLEDGE, ENABLE, Connection
from kubectl_mailfetch.page import Line, estimate_lines


class Objects(Protocol):
    """The two calls that are needed of the cluster."""

    def get(self, namespace: str, name: str) -> dict[str, Any]:
        """Reads one MailConnection."""
        ...

    def annotate(self, namespace: str, name: str, annotations: dict[str, str]) -> dict[str, Any]:
        """Sets annotations; returns the object."""
        ...


@dataclass(frozen=True, kw_only=True)
class Talk:
    """The person at the terminal, and the time.

    Attributes:
        say: Prints a line.
        show: Prints lines of a page.
        ask: Asks a yes-or-no question; raises if it cannot.
        now: The wall clock.
        pause: Sleeps between two looks; returns False when the time to wait is over.
    """

    say: Callable[[str], None]
    show: Callable[[Sequence[Line]], None]
    ask: Callable[[str], bool]
    now: Callable[[], datetime]
    pause: Callable[[], bool]


def enable(*, objects: Objects, namespace: str, name: str, talk: Talk, wait: bool) -> None:
    """Enables a connection, and acknowledges its backlog if it needs that.

    Raises:
        PluginError: the person declined, the connection fails, or it did not settle in time.
    """
    connection = Connection(objects.get(namespace, name))
    if connection.enabled and not acknowledgement_needed(connection):
        return _outcome(connection, talk, before=f"{name} is enabled already")
    while True:
        asked, connection = acknowledgement_needed(connection), _change(objects, connection, talk)
        epoch = connection.epoch
        if not wait:
            return _follow(connection, talk)
        connection = _until_settled(objects, connection, talk)
        if not acknowledgement_needed(connection):
            return _outcome(connection, talk, before=name)
        if asked and connection.epoch > epoch:  # another flood than the one that was accepted a moment ago
            raise PluginError(
                f"the backlog of {name} was accepted, but then its gate closed again: {connection.ready.message}\n"
                f"Look at it before you enable again: kubectl mailfetch status {object_args(connection)}"
            )


def disable(*, objects: Objects, namespace: str, name: str, talk: Talk) -> None:
    """Disables a connection. The acknowledgement stays: it belongs to an epoch that ends now."""
    connection = Connection(objects.get(namespace, name))
    if not connection.enabled:
        talk.say(f"{name} is disabled already.")
        return
    connection = Connection(objects.annotate(namespace, name, {ENABLE: "false"}))
    talk.say(
        f'{name} is disabled: {ENABLE} is "false" now, and the operator stops it. What was downloaded stays; enabled'
        " again, it continues there after the new mails were counted."
    )


def _change(objects: Objects, connection: Connection, talk: Talk) -> Connection:
    """Asks, then sets the annotations that are missing."""
    value = acknowledgement_needed(connection)
    talk.show(estimate_lines(connection, now=talk.now()) if connection.estimate else [])
    if not talk.ask(question(connection)):
        raise PluginError("not confirmed; nothing was changed", code=Exit.DECLINED)
    wanted = {ENABLE: "true"} if not connection.enabled else {}
    if value:
        wanted[ACKNOWLEDGE] = value
    changed = Connection(objects.annotate(connection.namespace, connection.name, wanted))
    done = " and ".join(f'{k}="{v}"' for k, v in wanted.items())
    talk.say(f"Set {done} on mconn/{connection.name} in namespace {connection.namespace}.")
    if changed.suspended:
        talk.say("spec.suspend is true, so nothing is downloaded until that is false.")
    return changed


def question(connection: Connection) -> str:
    """What the person is asked, with the numbers in it."""
    name, estimate = connection.name, connection.estimate
    if estimate is None:
        return (
            f"Enable {name}? Its new mails are counted first; up to {connection.max_messages:,} of them are downloaded"
            " without asking again"
        )
    if connection.enabled:
        return f"Download the backlog of {estimate.new:,} mails of {name}?"
    return f"Enable {name} and download its {estimate.new:,} new mails?"


def _until_settled(objects: Objects, connection: Connection, talk: Talk) -> Connection:
    talk.say("Waiting for the operator … (Ctrl-C stops the waiting only)")
    while not settled(connection):
        if not talk.pause():
            why = connection.ready.message or connection.ready.reason or "the operator has not reported yet"
            raise PluginError(
                f"the annotations are set, but {connection.name} has not settled in time: {why}\n"
                f"Follow it with: kubectl mailfetch status {object_args(connection)}",
                code=Exit.TIMEOUT,
            )
        connection = Connection(objects.get(connection.namespace, connection.name))
    return connection


def _outcome(connection: Connection, talk: Talk, *, before: str) -> None:
    ready = connection.ready
    if ready.status == "False":
        raise PluginError(
            f"{connection.name} is enabled, but {ready.reason}: {ready.message}\n"
            f"What to do: kubectl mailfetch status {object_args(connection)}"
        )
    talk.say(f"{before}: {ready.reason or 'its state is not known yet'}. {ready.message}".rstrip())
    _follow(connection, talk)


def _follow(connection: Connection, talk: Talk) -> None:
    talk.say(f"Follow it with: kubectl mailfetch status {object_args(connection)}")
