"""Printing: tables and pages with rich, colours on a terminal only, JSON and YAML for programs."""

import os
import sys
from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import IO, Any

from kubectl_mailfetch.model import RESOURCE, Connection
from kubectl_mailfetch.page import Line, tone
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


def console(file: IO[str] | None = None, width: int | None = None) -> Any:
    """A console as wide as the terminal; into a pipe or file nothing is shortened (COLUMNS overrides both)."""
    from rich.console import Console

    out = file or sys.stdout
    if width is None and not out.isatty() and not os.environ.get("COLUMNS", "").isdigit():
        width = _NO_LIMIT
    return Console(file=out, width=width, markup=False, highlight=False, emoji=False, soft_wrap=False)


def print_listing(listing: Listing, connections: Sequence[Connection], *, out: Any, wide: bool) -> None:
    """The table of `list`; `wide` is never shortened."""
    from rich.table import Table
    from rich.text import Text

    by_key = {(c.namespace, c.name): tone(c) for c in connections}
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in listing.columns:
        table.add_column(column.name, no_wrap=not column.shrinks or wide, overflow="ellipsis")
    names = [c.name for c in listing.columns]
    for connection, row in zip(sorted(connections, key=lambda c: (c.namespace, c.name)), listing.rows, strict=True):
        style = _STYLES[by_key[connection.namespace, connection.name]]
        table.add_row(*(Text(v, style=style if n == "STATE" else "") for n, v in zip(names, row, strict=True)))
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
    _dump(_tidy(value), form, out)


def print_objects(values: Sequence[Mapping[str, Any]], form: Format, *, out: IO[str]) -> None:
    """A list of objects, in the form that kubectl uses."""
    items = [_tidy(v) for v in values]
    _dump({"apiVersion": "v1", "kind": "List", "metadata": {}, "items": items}, form, out)


def print_value(value: Mapping[str, Any], form: Format, *, out: IO[str]) -> None:
    """What is no object of Kubernetes."""
    _dump(value, form, out)


def print_names(connections: Sequence[Connection], *, out: IO[str]) -> None:
    """One `mailconnection.mailfetch.dev/NAME` a line."""
    out.write("".join(f"{RESOURCE}/{c.name}\n" for c in connections))


def _tidy(value: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in value.get("metadata", {}).items() if k != "managedFields"}
    return {**value, "metadata": metadata}


def _dump(value: Mapping[str, Any], form: Format, out: IO[str]) -> None:
    if form is Format.json:
        import json

        out.write(json.dumps(value, indent=2, ensure_ascii=False) + "\n")
    else:
        import yaml

        yaml.safe_dump(dict(value), out, sort_keys=False, allow_unicode=True)
