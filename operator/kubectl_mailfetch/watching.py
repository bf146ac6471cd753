"""`--watch`: drawn anew on a terminal, one line a change elsewhere; until Ctrl-C."""

import io
import shutil
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, Any

from kubectl_mailfetch import output as printer
from kubectl_mailfetch.errors import Exit, PluginError
from kubectl_mailfetch.model import Connection
from kubectl_mailfetch.output import Format
from kubectl_mailfetch.page import progress_text

TICK = 2
"""Seconds after which a page is drawn anew although nothing changed: ages move on."""
_PAUSE = 0.2
"""Seconds between two drawings at least: hundreds of connections may change at once; a tick shows the rest."""

Snapshots = Iterator[Sequence[Mapping[str, Any]]]
"""All objects, each time that one of them changed, and at each tick."""


def watch(
    snapshots: Snapshots,
    *,
    form: Format,
    choose: Callable[[Connection], bool],
    page: Callable[[Any, list[Connection]], None],
) -> None:
    """Follows connections until Ctrl-C.

    Args:
        snapshots: What there is.
        form: How to print; table and wide are drawn on a terminal.
        choose: Which of them count.
        page: Prints them on a console.
    """
    for_people = form in (Format.table, Format.wide)
    screen = _Screen(page) if for_people and sys.stdout.isatty() else _Lines(form, sys.stdout)
    try:
        for objects in snapshots:
            screen.show([c for c in map(Connection, objects) if choose(c)])
    except KeyboardInterrupt:
        return


def one(snapshots: Snapshots, name: str) -> Snapshots:
    """The same, until the only connection in them is deleted.

    Raises:
        PluginError: it was deleted.
    """
    for objects in snapshots:
        if not objects:
            raise PluginError(f"{name} was deleted", code=Exit.NOT_FOUND)
        yield objects


def summary(connection: Connection) -> str:
    """What changes about a connection, in one line."""
    parts = [f"{connection.namespace}/{connection.name}", connection.ready.reason or "Unknown"]
    active = connection.condition("Active")
    if active.reason and active.reason != connection.ready.reason:
        parts.append(active.reason)
    if progress := progress_text(connection):
        parts.append(progress)
    else:
        parts.append(f"{connection.number('status', 'fetch', 'messages'):,} mails")
    if lag := connection.number("status", "fetch", "lag"):
        parts.append(f"lag {lag:,}")
    if connection.ready.message:
        parts.append(connection.ready.message)
    return "  ".join(parts)


class _Screen:
    """A terminal whose content is replaced."""

    def __init__(self, page: Callable[[Any, list[Connection]], None]) -> None:
        self._page = page
        self._drawn = float("-inf")

    def show(self, connections: list[Connection]) -> None:
        if time.monotonic() - self._drawn < _PAUSE:
            return
        size = shutil.get_terminal_size()
        buffer = io.StringIO()
        self._page(printer.console(buffer, size.columns, terminal=True), connections)
        lines = [f"Every {TICK} s; Ctrl-C ends. {datetime.now(UTC):%H:%M:%S} UTC", "", *buffer.getvalue().splitlines()]
        if len(lines) >= size.lines:
            more = len(lines) - size.lines + 2
            lines = [*lines[: size.lines - 2], f"… {more} more lines"]
        # Home, each line up to its end, then nothing below: it does not flicker as clearing first would.
        sys.stdout.write("\x1b[H" + "".join(f"{line}\x1b[K\n" for line in lines) + "\x1b[J")
        sys.stdout.flush()
        self._drawn = time.monotonic()


class _Lines:
    """A pipe or a file: what changed is appended."""

    def __init__(self, form: Format, out: IO[str]) -> None:
        self._form = form
        self._out = out
        self._known: dict[tuple[str, str], str] = {}

    def show(self, connections: list[Connection]) -> None:
        gone = self._known.keys() - {(c.namespace, c.name) for c in connections}
        for key in sorted(gone):
            del self._known[key]
            if self._form in (Format.table, Format.wide):
                self._line(f"{key[0]}/{key[1]}  deleted")
        for c in sorted(connections, key=lambda c: (c.namespace, c.name)):
            people = self._form in (Format.table, Format.wide)
            new = summary(c) if people else c.text("metadata", "resourceVersion")
            if self._known.get((c.namespace, c.name)) != new:
                self._known[c.namespace, c.name] = new
                self._line(new) if people else self._object(c)
        self._out.flush()

    def _line(self, text: str) -> None:
        self._out.write(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}  {text}\n")

    def _object(self, c: Connection) -> None:
        if self._form is Format.name:
            printer.print_names([c], out=self._out)
            return
        if self._form is Format.yaml:
            self._out.write("---\n")
        printer.print_object(c.raw, self._form, out=self._out)
