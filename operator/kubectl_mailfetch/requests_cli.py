"""The commands `test`, `estimate`, `fetch` and `refetch`."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from kubectl_mailfetch.errors import PluginError
from kubectl_mailfetch.options import EPILOG, Context, Kubeconfig, Name, Namespace, Output, Timeout, Wait, connect, talk
from kubectl_mailfetch.output import Format

if TYPE_CHECKING:
    from kubectl_mailfetch.model import Connection
    from kubectl_mailfetch.page import Line

_WHAT = (
    "uid:5,7-9 (UIDs of an IMAP folder), since:2026-01-31 (what arrived since), or quarantined (what was set aside)."
    " Gets a #suffix, so that it is done even if it was done before."
)


def register(app: typer.Typer) -> None:
    """Adds the commands."""
    for command in (estimate, fetch, refetch):
        app.command(epilog=EPILOG)(command)


def estimate(
    name: Name,
    namespace: Namespace = "",
    output: Output = Format.table,
    wait: Wait = True,
    timeout: Timeout = 120,
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Count the new mails of a MailConnection now. Downloads nothing."""
    from kubectl_mailfetch.page import estimate_lines

    asked = Asking(name, namespace, output=output, timeout=timeout, context=context, kubeconfig=kubeconfig)
    done = asked.request("estimate", wait=wait)
    if done is None:
        return
    asked.show(done, estimate_lines(done, now=datetime.now(UTC)))
    if done.estimate is None or done.ready.status == "False":
        raise PluginError(f"not counted: {done.ready.reason}: {done.ready.message}")


def fetch(
    name: Name,
    namespace: Namespace = "",
    output: Output = Format.table,
    wait: Wait = True,
    timeout: Timeout = 120,
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Look for new mail now, without waiting for the interval."""
    from kubectl_mailfetch.page import fetch_lines

    asked = Asking(name, namespace, output=output, timeout=timeout, context=context, kubeconfig=kubeconfig)
    if done := asked.request("fetch", wait=wait):
        asked.show(done, fetch_lines(done, now=datetime.now(UTC)))


def refetch(
    name: Name,
    value: Annotated[str, typer.Argument(help=_WHAT, show_default=False)],
    namespace: Namespace = "",
    output: Output = Format.table,
    wait: Wait = True,
    timeout: Timeout = 120,
    context: Context = "",
    kubeconfig: Kubeconfig = "",
) -> None:
    """Download mails again. They come with another id, so consumers take them for new (docs/annotations.md)."""
    from kubectl_mailfetch.page import fetch_lines
    from kubectl_mailfetch.requesting import refetch_value, refusal_of

    asked = Asking(name, namespace, output=output, timeout=timeout, context=context, kubeconfig=kubeconfig)
    before = asked.connection
    done = asked.request("refetch", value=refetch_value(value, before, datetime.now(UTC)), wait=wait)
    if done is None:
        return
    if why := refusal_of(before, done):
        raise PluginError(f"nothing was downloaded again: {why}")
    asked.show(done, fetch_lines(done, now=datetime.now(UTC)))


class Asking:
    """One request of a connection that is saved."""

    def __init__(
        self, name: str, namespace: str, *, output: Format, timeout: float, context: str, kubeconfig: str
    ) -> None:
        from kubectl_mailfetch.model import Connection

        self._objects = connect(kubeconfig, context)
        self._output = output
        self._talk = talk(yes=True, timeout=timeout, aside=output not in (Format.table, Format.wide))
        self.connection = Connection(self._objects.get(namespace or self._objects.namespace, name))

    def request(self, kind: str, *, wait: bool, value: str = "") -> "Connection | None":
        """Makes the request; without a value it gets one of its own."""
        from kubectl_mailfetch.requesting import new_value, request

        return request(
            objects=self._objects,
            connection=self.connection,
            kind=kind,
            value=value or new_value(datetime.now(UTC)),
            talk=self._talk,
            wait=wait,
        )

    def show(self, connection: "Connection", page: "Iterable[Line]") -> None:
        """The page, or the object for a program."""
        from kubectl_mailfetch import output as printer

        printer.print_connection(
            connection, self._output, lambda: printer.print_page(list(page), out=printer.console())
        )
