"""Transcripts of a terminal, compared with golden files: what differs from run to run is named instead of shown."""

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from rich.cells import cell_len

from tests.e2e.terminal import Masks, Screen

_AGE = r"\d+[smhdy](?:\d+[smhd])?"
_RULES = (
    (re.compile(rf"\b{_AGE} ago \(\d{{4}}-\d\d-\d\d \d\d:\d\d UTC\)"), "<age> ago (<time>)"),
    (re.compile(rf"\bfor {_AGE} \(since \d{{4}}-\d\d-\d\d \d\d:\d\d UTC\)"), "for <age> (since <time>)"),
    (re.compile(r"\b\d{8}T\d{6}Z-[0-9a-f]{4}\b"), "<request>"),
    (re.compile(r"^(  )\d\d-\d\d \d\d:\d\d:\d\d "), r"\1<time>         "),
    (re.compile(r" [ \d,]{5}\d ms\b"), "    <n> ms"),
    (re.compile(r"\bexecution [0-9a-f]{16}\b"), "execution <execution>"),
    (re.compile(r"\b\d+(?:\.\d+){3}\b"), "<address>"),
)
"""Pattern, what stands for it. Ages, times, values of requests, milliseconds, executions, addresses."""
_TIMES = frozenset({"AGE", "LAST", "WHEN"})
"""Columns that hold an age."""
_HEADER = re.compile(r"[A-Z-]+(?: {2,}[A-Z-]+)+")
_AFTER_TABLE = ("In the queue: ", "There are more ")


class Transcript:
    """Makes texts comparable. The same thing has the same name all the way through.

    Args:
        known: What this test alone knows → its name.
        numbered: Kind of a thing → its pattern; the first of them is called `<kind 1>`.
    """

    def __init__(self, *, known: Mapping[str, str], numbered: Mapping[str, str]) -> None:
        self._known = known
        self._numbered = {kind: re.compile(pattern) for kind, pattern in numbered.items()}
        self._names: dict[str, str] = {}
        self._counts: dict[str, int] = {}

    def text(self, screens: Iterable[Screen]) -> str:
        """All commands and their screens, one below the other."""
        return "\n".join(f"$ {self._line(one.command)}\n{self._screen(one)}" for one in screens)

    def _screen(self, screen: Screen) -> str:
        lines = [line.rstrip() for line in screen.text.splitlines()]  # a coloured row has spaces at its end
        found: list[str] = []
        while lines:
            if not _HEADER.fullmatch(lines[0]):
                found.append(self._line(lines.pop(0)))
                continue
            end = next((n for n, line in enumerate(lines) if line.startswith(_AFTER_TABLE)), len(lines))
            found += table(lines[:end], self._line)
            del lines[:end]
        return "".join(f"{_masked(line, screen.masks)}\n" for line in found)

    def _line(self, line: str) -> str:
        for value, name in self._known.items():
            line = line.replace(value, name)
        for kind, pattern in self._numbered.items():
            line = pattern.sub(partial(self._name, kind), line)
        for pattern, name in _RULES:
            line = pattern.sub(name, line)
        return line

    def _name(self, kind: str, match: re.Match[str]) -> str:
        value = match[0]
        if value not in self._names:
            self._counts[kind] = self._counts.get(kind, 0) + 1
            self._names[value] = f"<{kind} {self._counts[kind]}>"
        return self._names[value]


def _masked(line: str, masks: Masks) -> str:
    for pattern, name in masks:
        line = re.sub(pattern, name, line)
    return line


def table(lines: Sequence[str], name: Callable[[str], str]) -> list[str]:
    """A table laid out anew, as wide as what stands for its cells.

    Raises:
        AssertionError: a row does not stand below its header.
    """
    starts = [match.start() for match in re.finditer(r"[A-Z-]+", lines[0])]
    rows = [[cell.rstrip() for cell in cut(line, starts)] for line in lines]
    for row in rows[1:]:
        for number, column in enumerate(rows[0]):
            row[number] = re.sub(rf"^{_AGE}$", "<age>", row[number]) if column in _TIMES else name(row[number])
    widths = [max(cell_len(row[number]) for row in rows) for number in range(len(starts))]
    return [
        "  ".join(cell + " " * (width - cell_len(cell)) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    ]


def cut(line: str, starts: Sequence[int]) -> list[str]:
    """The cells of a row; some characters take two columns."""
    cells = ["" for _ in starts]
    column = 0
    for character in line:
        number = max(n for n, start in enumerate(starts) if start <= column)
        at_end = number + 1 < len(starts) and column == starts[number + 1] - 1
        assert not at_end or character == " ", f"not aligned in column {column}: {line!r}"
        cells[number] += character
        column += cell_len(character)
    return cells


def compare(path: Path, text: str) -> None:
    """Delete the golden file to have it written anew, then review the difference.

    Raises:
        AssertionError: with the difference, or because the file was just written.
    """
    if not path.exists():
        path.write_text(text)
        raise AssertionError(f"{path} was written; review and commit it")
    expected = path.read_text()
    difference = difflib.unified_diff(expected.splitlines(), text.splitlines(), "expected", "found", lineterm="", n=4)
    assert text == expected, "\n".join(("the transcript is another one:", *difference))
