"""Printing: tables and pages with rich, colours on a terminal only, JSON and YAML for programs."""

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import IO, Any

from kubectl_mailfetch.model import RESOURCE, Connection
from kubectl_mailfetch.page import Line, Tone, tone
from kubectl_mailfetch.rows import Listing

_STYLES = {"": "", "good": "green", "wait": "yellow", "bad": "red"}
_NO_LIMIT = 100_000
_LABEL = 18


class Format(StrEnum):
    """What `-o` takes."""

    table = "table"
    wide = "wide"
    json = "json"
    yaml = "yaml"
    name = "name"


def console(file: IO[str] | None = None, width: int | None = None, *, terminal: bool | None = None) -> Any:
    """A console as wide as the terminal; into a pipe or file nothing is shortened (COLUMNS overrides both).

    Args:
        file: Default: standard output.
        width: In columns.
        terminal: Whether there are colours; default: if the file is a terminal.
    """
    from rich.console import Console

    out = file or sys.stdout
    if width is None and not out.isatty() and not os.environ.get("COLUMNS", "").isdigit():
        width = _NO_LIMIT
    return Console(
        file=out, width=width, force_terminal=terminal, markup=False, highlight=False, emoji=False, soft_wrap=False
    )


def print_listing(listing: Listing, connections: Sequence[Connection], *, out: Any, wide: bool) -> None:
    """The table of `list`; `wide` is never shortened."""
    header = [(c.name, c.shrinks) for c in listing.columns]
    tones = [tone(c) for c in sorted(connections, key=lambda c: (c.namespace, c.name))]
    print_table(header, listing.rows, tones, toned="STATE", out=out, wide=wide)


def print_table(
    header: Sequence[tuple[str, bool]],
    rows: Sequence[Sequence[str]],
    tones: Sequence[Tone],
    *,
    toned: str,
    out: Any,
    wide: bool,
) -> None:
    """A table with a line for each row.

    Args:
        header: Name of each column, and whether it gives way when the terminal is narrow.
        rows: The texts.
        tones: Of each row.
        toned: The column that shows the tone.
        out: A console.
        wide: Nothing is shortened.
    """
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name, shrinks in header:
        table.add_column(name, no_wrap=not shrinks or wide, overflow="ellipsis")
    for row, how in zip(rows, tones, strict=True):
        styles = [_STYLES[how] if name == toned else "" for name, _ in header]
        # Of its own accord a text with spaces would be continued on the next line.
        cells = (Text(v, style=s, no_wrap=True, overflow="ellipsis") for v, s in zip(row, styles, strict=True))
        table.add_row(*cells)
    if wide:
        out.width = _NO_LIMIT
    with out.capture() as captured:
        out.print(table)
    out.file.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def print_page(lines: Sequence[Line], *, out: Any) -> None:
    """A page: headings, labelled texts that are folded at the terminal's width, commands that never are."""
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    for line in lines:
        if line.command:
            out.print(Text(f"{'':{_LABEL + 4}}{line.command}", style="bold"), soft_wrap=True)
        elif not line.text:
            out.print(Text(line.label, style="bold"))
        else:
            grid = Table.grid(padding=(0, 2, 0, 0))
            grid.add_column(width=_LABEL, no_wrap=True)
            grid.add_column(overflow="fold")
            grid.add_row(Text(line.label), Text(line.text, style=_STYLES[line.tone]))
            with out.capture() as captured:
                out.print(Padding(grid, (0, 0, 0, 2)))
            out.file.write("".join(f"{text.rstrip()}\n" for text in captured.get().splitlines()))


def print_object(value: Mapping[str, Any], form: Format, *, out: IO[str]) -> None:
    """The object as the API server returned it, without the bookkeeping of field managers."""
    print_value(_tidy(value), form, out=out)


def print_objects(values: Sequence[Mapping[str, Any]], form: Format, *, out: IO[str]) -> None:
    """A list of objects, in the form that kubectl uses."""
    items = [_tidy(v) for v in values]
    print_value({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}, form, out=out)


def print_connection(connection: Connection, form: Format, page: Callable[[], None]) -> None:
    """One connection on standard output, for a program or for people.

    Args:
        connection: The connection.
        form: How to print.
        page: Prints it for people.
    """
    if form is Format.name:
        print_names([connection], out=sys.stdout)
    elif form in (Format.json, Format.yaml):
        print_object(connection.raw, form, out=sys.stdout)
    else:
        page()


def print_names(connections: Sequence[Connection], *, out: IO[str]) -> None:
    """One `mailconnection.mailfetch.dev/NAME` a line."""
    out.write("".join(f"{RESOURCE}/{c.name}\n" for c in connections))


def _tidy(value: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in value.get("metadata", {}).items() if k != "managedFields"}
    return {**value, "metadata": metadata}


def print_value(value: Mapping[str, Any], form: Format, *, out: IO[str]) -> None:
    """JSON or YAML. Characters that would drive the reader's terminal are written as escapes: the same value."""
    import json

    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    if form is Format.json:
        out.write("".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text))
    else:
        import yaml

        printable = text.replace("\n", "").isprintable()
        yaml.safe_dump(dict(value), out, sort_keys=False, allow_unicode=printable)
